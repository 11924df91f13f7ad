//! What callers of rendis notice while real servers fail under load.
//!
//! ```text
//! rendis-faults trials [--write] [WORD…]                   every fault, on both products; those whose names hold a word
//! rendis-faults soak [--write] [--minutes N] [--seed S]    random faults, half of the time on each product
//! ```
//! `scripts/faults.sh` and `scripts/soak.sh` build and run it, with a network of its own where the machine allows that.
//! It uses rendis as a stranger would, the `redis` crate included, and is part of neither product.

mod machine;
mod model;
mod system;
mod load;
mod stage;
mod trial;
mod report;
mod soak;

use std::process::ExitCode;
use std::time::Duration;

use stage::{Fault, Stage};
use system::Product;

fn main() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.expect("a runtime");
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let write = take(&mut arguments, "--write").is_some();
    let good = match arguments.first().map(String::as_str) {
        Some("trials") => {
            runtime.block_on(async { tokio::spawn(trials(arguments[1..].to_vec(), write)).await })
        }
        Some("soak") => {
            let minutes = value(&mut arguments, "--minutes").unwrap_or(10);
            let seed = value(&mut arguments, "--seed").unwrap_or_else(|| fastrand::u64(..1 << 32));
            runtime.block_on(async { tokio::spawn(soak(minutes, seed, write)).await })
        }
        _ => {
            eprintln!(
                "usage: rendis-faults trials [--write] [WORD…] | soak [--write] [--minutes N] [--seed S]"
            );
            return ExitCode::from(2);
        }
    };
    if good.expect("it ran to its end") { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

async fn trials(words: Vec<String>, write: bool) -> bool {
    let mut stage = tokio::task::block_in_place(Stage::new);
    let mut all = Vec::new();
    for product in [Product::Library, Product::Proxy] {
        for (fault, idle) in Fault::ALL.map(|fault| (fault, false)).into_iter().chain(IDLE) {
            let name = format!("{product:?} {fault:?} {}", if idle { "idle" } else { "load" }).to_lowercase();
            let wanted = words.iter().all(|word| name.contains(&word.to_lowercase()));
            if !wanted {
                continue;
            }
            if !stage.can(fault) {
                eprintln!("left out, this machine allows no network namespaces: {name}");
                continue;
            }
            let figures = trial::run(&mut stage, product, fault, idle).await;
            eprintln!("{}", figures.line());
            all.push(figures);
        }
    }
    if write {
        report::write("trials", &report::tables(&all));
    }
    all.iter().all(trial::Figures::good)
}

async fn soak(minutes: u64, seed: u64, write: bool) -> bool {
    eprintln!("soak: {minutes} minutes, seed {seed}");
    let mut stage = tokio::task::block_in_place(Stage::new);
    let (mut rows, mut all_good) = (soak::HEAD.to_owned(), true);
    for product in [Product::Library, Product::Proxy] {
        let (row, good) = soak::run(&mut stage, product, Duration::from_secs(minutes * 30), seed).await;
        eprintln!("{row}");
        rows = rows + &row + "\n";
        all_good &= good;
    }
    if write {
        report::write("soak", &rows);
    }
    all_good
}

/// Faults that are also tried while nobody calls.
const IDLE: [(Fault, bool); 3] = [(Fault::Killed, true), (Fault::Frozen, true), (Fault::CutOff, true)];

fn take(arguments: &mut Vec<String>, name: &str) -> Option<usize> {
    let at = arguments.iter().position(|argument| argument == name)?;
    arguments.remove(at);
    Some(at)
}

fn value(arguments: &mut Vec<String>, name: &str) -> Option<u64> {
    let at = take(arguments, name)?;
    assert!(at < arguments.len(), "{name} needs a number");
    Some(arguments.remove(at).parse().unwrap_or_else(|_| panic!("{name} needs a number")))
}
