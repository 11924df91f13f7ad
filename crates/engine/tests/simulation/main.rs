//! The engine under faults: a simulated network on virtual time, and a checker of what callers were told.
//!
//! A seed decides everything: the number of shards, the settings, what callers ask for, when which fault begins and ends.
//! What has to hold for every seed is in `oracle`. A seed that fails prints itself and the last events before it; it is
//! run again, all of its events shown, by
//!
//! ```sh
//! RENDIS_SEED=17 cargo test -p rendis-engine --test simulation every -- --nocapture
//! ```
//!
//! `RENDIS_SEEDS=1000..9000` runs others than the usual ones; `scripts/simulate.sh` does so in an optimised build.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test fails by panicking"
)]

mod callers;
mod calls;
mod faults;
mod listeners;
#[path = "../network/mod.rs"]
mod network;
mod oracle;
mod outs;
mod rings;
mod trace;
mod transactions;
mod world;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::env;
use std::ops::Range;
use std::panic::catch_unwind;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use crate::oracle::Summary;

#[test]
fn every_seed_keeps_the_promises() {
    let seeds = seeds();
    let (next, failed) = (AtomicU64::new(seeds.start), Mutex::new(Vec::new()));
    let total = Mutex::new(Summary::default());
    let running = Mutex::new(BTreeMap::new());
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                return;
            }
            let _running = Running::begin(&running, seed);
            match catch_unwind(|| world::run(seed)) {
                Ok(run) => {
                    if env::var("RENDIS_SEED").is_ok() {
                        println!("{}", run.events.join("\n"));
                    }
                    total.lock().unwrap().add(&run.summary);
                    if let Some(wrong) = run.wrong {
                        println!("{wrong}");
                        failed.lock().unwrap().push(seed);
                    }
                }
                Err(_) => failed.lock().unwrap().push(seed),
            }
        }
    };
    thread::scope(|scope| {
        let (done, waiting) = mpsc::channel::<Infallible>();
        scope.spawn(|| end_what_hangs(waiting, &running));
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            let done = done.clone();
            scope.spawn(move || {
                work();
                drop(done);
            });
        }
        drop(done);
    });
    let failed = failed.into_inner().unwrap();
    let total = total.into_inner().unwrap();
    println!("seeds {seeds:?}: {total:#?}");
    if seeds.end - seeds.start >= 100 {
        assert!(total.has_all(), "something never happened");
    }
    assert!(failed.is_empty(), "seeds that failed, to be run again with RENDIS_SEED: {failed:?}");
}

#[test]
fn a_seed_replays_exactly() {
    for seed in seeds().take(10) {
        let (one, two) = (world::run(seed).events, world::run(seed).events);
        let difference = one.iter().zip(&two).position(|(one, two)| one != two);
        if let Some(at) = difference {
            panic!("seed {seed}: event {at} is\n{}\nand then\n{}", one[at], two[at]);
        }
        assert_eq!(one.len(), two.len(), "seed {seed}");
        assert!(one.len() > 100, "seed {seed}: hardly anything happened");
    }
}

/// The seeds that run now, and since when.
type Seeds = Mutex<BTreeMap<u64, Instant>>;

/// A seed is running, until this is dropped.
struct Running<'s>(&'s Seeds, u64);

impl<'s> Running<'s> {
    fn begin(seeds: &'s Seeds, seed: u64) -> Self {
        seeds.lock().unwrap().insert(seed, Instant::now());
        Self(seeds, seed)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.lock().unwrap().remove(&self.1);
    }
}

/// What turns round and round without its clock going on cannot be ended from within: the seed is named, and all ends.
fn end_what_hangs(done: Receiver<Infallible>, running: &Seeds) {
    while done.recv_timeout(Duration::from_secs(1)) == Err(RecvTimeoutError::Timeout) {
        let running = running.lock().unwrap();
        if let Some((seed, _)) = running.iter().find(|(_, since)| since.elapsed() > LONGEST) {
            println!("seed {seed} hangs");
            std::process::abort();
        }
    }
}

/// A seed takes a fraction of a second.
const LONGEST: Duration = Duration::from_secs(60);

fn seeds() -> Range<u64> {
    let number = |text: &str| text.trim().parse().expect("RENDIS_SEED=n or RENDIS_SEEDS=from..to");
    match (env::var("RENDIS_SEED"), env::var("RENDIS_SEEDS")) {
        (Ok(seed), _) => number(&seed)..number(&seed) + 1,
        (_, Ok(seeds)) => {
            let (from, to) = seeds.split_once("..").expect("RENDIS_SEEDS=from..to");
            number(from)..number(to)
        }
        _ => 0..200,
    }
}
