//! A library as a system under test: a process that is told loads on its standard input, one JSON object a line, and
//! answers each with what became of it. The driver of go-redis (`bench/go`) speaks the same.

mod library;
mod closed;
mod open;
mod raw;
mod rendis;
mod redis_rs;
mod fred;
mod rustis;

use std::io::{BufRead, Write};
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Runtime};

use crate::drive::library::Library;
use crate::load::{Load, Operation, Outcome};
use crate::machine::cpu_seconds;

/// Runs a closure, and says how many allocations this thread made meanwhile, where they are counted.
pub type Count = fn(&mut dyn FnMut()) -> Option<u64>;

/// The libraries there are.
pub const LIBRARIES: [&str; 8] =
    ["raw", "rendis", "rendis-boxed", "rendis-frames", "redis-rs", "redis-rs-manager", "fred", "rustis"];

/// What a driver is told at its start.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The library.
    #[arg(long)]
    system: String,
    /// Threads of the runtime; 1 is a single-threaded one.
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// URLs of the shards.
    #[arg(long, value_delimiter = ',')]
    shards: Vec<String>,
}

/// Serves loads until its input ends.
///
/// # Errors
/// Where there is no such library, or a message about what failed.
pub fn serve(arguments: &Arguments, count: Count) -> Result<(), String> {
    let runtime = runtime(arguments.threads).map_err(|error| error.to_string())?;
    let shards = &arguments.shards;
    match arguments.system.as_str() {
        "raw" => {
            let mut raw = runtime.block_on(raw::Raw::connect(shards));
            answer(&runtime, |load| {
                raw.prepare(load);
                measured(count, || runtime.block_on(raw.run(load)))
            })
        }
        "rendis" => drive::<rendis::Typed>(&runtime, shards, count),
        "rendis-boxed" => drive::<rendis::Boxed>(&runtime, shards, count),
        "rendis-frames" => drive::<rendis::Untyped>(&runtime, shards, count),
        "redis-rs" => drive::<redis_rs::Multiplexed>(&runtime, shards, count),
        "redis-rs-manager" => drive::<redis_rs::Managed>(&runtime, shards, count),
        "fred" => drive::<fred::Fred>(&runtime, shards, count),
        "rustis" => drive::<rustis::Rustis>(&runtime, shards, count),
        other => Err(format!("no library {other}; there are {}", LIBRARIES.join(", "))),
    }
}

fn runtime(threads: usize) -> std::io::Result<Runtime> {
    match threads {
        1 => Builder::new_current_thread().enable_all().build(),
        _ => Builder::new_multi_thread().worker_threads(threads).enable_all().build(),
    }
}

fn drive<L: Library>(runtime: &Runtime, shards: &[String], count: Count) -> Result<(), String> {
    let mut library = runtime.block_on(L::connect(shards));
    answer(runtime, |load| {
        library.prepare(load);
        measured(count, || match (load.operation, load.rate) {
            (Operation::Fill, _) => runtime.block_on(closed::fill(&library, load)),
            (_, Some(rate)) => runtime.block_on(open::run(&library, load, rate)),
            _ => runtime.block_on(closed::run(&library, load)),
        })
    })
}

/// Runs a load, and adds what it cost.
fn measured(count: Count, mut run: impl FnMut() -> Outcome) -> Outcome {
    let me = std::process::id();
    let (started, cpu) = (Instant::now(), cpu_seconds(me).unwrap_or(0.0));
    let mut outcome = Outcome::default();
    let allocations = count(&mut || outcome = run());
    outcome.seconds = started.elapsed().as_secs_f64();
    outcome.cpu = cpu_seconds(me).unwrap_or(0.0) - cpu;
    outcome.allocations = allocations;
    outcome
}

/// Runs what is asked for. The runtime runs between loads too, for what a library does in the background.
fn answer(runtime: &Runtime, mut run: impl FnMut(&Load) -> Outcome) -> Result<(), String> {
    let (asked, mut questions) = tokio::sync::mpsc::channel(1);
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if asked.blocking_send(line).is_err() {
                return;
            }
        }
    });
    let mut out = std::io::stdout().lock();
    writeln!(out, "ready").and_then(|()| out.flush()).map_err(|error| error.to_string())?;
    while let Some(line) = runtime.block_on(questions.recv()) {
        let load: Load = serde_json::from_str(&line).map_err(|error| format!("{line}: {error}"))?;
        let outcome = serde_json::to_string(&run(&load)).map_err(|error| error.to_string())?;
        writeln!(out, "{outcome}").and_then(|()| out.flush()).map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// How long a load runs.
fn length(load: &Load) -> Duration {
    Duration::from_secs_f64(load.seconds)
}
