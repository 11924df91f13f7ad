//! The closed loop: each task begins an operation when its last has ended.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::drive::length;
use crate::drive::library::{Key, Library};
use crate::load::{Draw, Load, Operation, Outcome, key, zipf_table};

pub(super) async fn run<L: Library>(library: &L, load: &Load) -> Outcome {
    let (over, zipf) = (Arc::new(AtomicBool::new(false)), zipf_table(load));
    let tasks: Vec<_> = (0..load.tasks)
        .map(|seed| {
            let draw = Draw::new(load, zipf.as_ref(), seed as u64);
            tokio::spawn(task(library.clone(), load.clone(), draw, Arc::clone(&over)))
        })
        .collect();
    tokio::time::sleep(length(load)).await;
    over.store(true, Ordering::Relaxed);
    let mut operations = 0;
    for task in tasks {
        match task.await {
            Ok(done) => operations += done,
            Err(error) => return Outcome { error: Some(error.to_string()), ..Outcome::default() },
        }
    }
    Outcome { operations, ..Outcome::default() }
}

async fn task<L: Library>(mut library: L, load: Load, mut draw: Draw, over: Arc<AtomicBool>) -> u64 {
    let value = "x".repeat(load.value);
    let mut text = String::new();
    let mut keys = vec![String::new(); load.batch];
    let mut done = 0;
    while !over.load(Ordering::Relaxed) {
        if let Operation::Mixed | Operation::Get | Operation::Set | Operation::Eval = load.operation {
            let number = draw.number();
            write_key(&mut text, number);
            let key = Key { number, text: &text };
            match (load.operation, done % 2) {
                (Operation::Eval, _) => library.eval(&text).await,
                (Operation::Get, _) | (Operation::Mixed, 0) => library.get(key).await,
                _ => library.set(key, &value).await,
            }
            done += 1;
            continue;
        }
        keys.iter_mut().for_each(|key| write_key(key, draw.number()));
        done += match load.operation {
            Operation::Mget => {
                library.mget(&keys).await;
                1
            }
            Operation::Mset => {
                library.mset(&keys, &value).await;
                1
            }
            _ => {
                library.pipeline(&keys, &value, false).await;
                keys.len() as u64
            }
        };
    }
    done
}

/// Sets every key.
pub(super) async fn fill<L: Library>(library: &L, load: &Load) -> Outcome {
    let mut library = library.clone();
    let (value, numbers) = ("x".repeat(load.value), (0..load.keys).collect::<Vec<u32>>());
    for part in numbers.chunks(load.batch) {
        let keys: Vec<String> = part.iter().copied().map(key).collect();
        library.pipeline(&keys, &value, true).await;
    }
    Outcome { operations: u64::from(load.keys), ..Outcome::default() }
}

/// A key into a text that is used again, so that the loop itself allocates nothing.
fn write_key(text: &mut String, number: u32) {
    text.clear();
    let _ = write!(text, "key:{number:012}");
}
