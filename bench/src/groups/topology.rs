//! Changing the list of shards under load: how long the change takes, and the longest that a caller waits meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use redis::AsyncCommands;
use rendis::{Ring, ShardSettings};
use tokio::runtime::Builder;

use crate::groups::{Scope, Stage};
use crate::load::key;

const GROUP: &str = "topology";
const TASKS: usize = 64;

pub(super) fn run(stage: &mut Stage) -> Result<(), String> {
    for (shards, least) in [(3, Scope::Smoke), (100, Scope::Full)] {
        let name = format!("{shards} shards and one more, {TASKS} tasks");
        if !stage.wants(GROUP, &name, least) {
            continue;
        }
        let cluster = stage.shards(shards + 1);
        let urls = cluster.urls();
        let settings = urls.iter().enumerate().map(|(at, url)| {
            ShardSettings::new(format!("shard{at}"), url).map_err(|error| error.to_string())
        });
        let all: Vec<ShardSettings> = settings.collect::<Result<_, _>>()?;
        let runtime =
            Builder::new_current_thread().enable_all().build().map_err(|error| error.to_string())?;
        let begun = Instant::now();
        let builder = all[..shards].iter().cloned().fold(Ring::builder(), rendis::RingBuilder::shard_with);
        let ring = runtime.block_on(builder.build()).map_err(|error| error.to_string())?;
        let built = begun.elapsed();
        stage.rounds(GROUP, &name, &["undisturbed", "shards come and go"], |at, seconds| {
            let lists = if at == 0 { None } else { Some([&all[..], &all[..shards]]) };
            let length = Duration::from_secs_f64(seconds.max(0.3) * 2.0);
            let seen = runtime.block_on(load(&ring, lists, length))?;
            let mut figures = vec![
                ("longest call ms", seen.longest.as_secs_f64() * 1e3),
                ("calls/s", seen.calls as f64 / length.as_secs_f64()),
                ("errors", seen.errors as f64),
            ];
            if at == 1 {
                figures.push(("change µs", seen.change.as_secs_f64() * 1e6));
                figures.push(("build ms", built.as_secs_f64() * 1e3));
            }
            Ok(figures)
        });
    }
    Ok(())
}

struct Seen {
    longest: Duration,
    calls: u64,
    errors: u64,
    /// The longest change, as its caller sees it.
    change: Duration,
}

/// Loads a ring, and changes its shards every 100 ms where there are lists to change between.
async fn load(ring: &Ring, lists: Option<[&[ShardSettings]; 2]>, length: Duration) -> Result<Seen, String> {
    let over = Arc::new(AtomicBool::new(false));
    let (longest, errors) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let tasks: Vec<_> = (0..TASKS)
        .map(|seed| {
            let (mut ring, over) = (ring.clone(), Arc::clone(&over));
            let (longest, errors) = (Arc::clone(&longest), Arc::clone(&errors));
            tokio::spawn(async move {
                let (mut random, mut calls) = (fastrand::Rng::with_seed(seed as u64), 0_u64);
                while !over.load(Ordering::Relaxed) {
                    let (key, begun) = (key(random.u32(0..100_000)), Instant::now());
                    if ring.set::<_, _, ()>(&key, "value").await.is_err() {
                        errors.fetch_add(1, Ordering::Relaxed);
                    }
                    longest.fetch_max(begun.elapsed().as_nanos() as u64, Ordering::Relaxed);
                    calls += 1;
                }
                calls
            })
        })
        .collect();
    let (begun, mut change, mut number) = (Instant::now(), Duration::ZERO, 0);
    while begun.elapsed() < length {
        tokio::time::sleep(Duration::from_millis(50)).await;
        if let Some(lists) = lists {
            let before = Instant::now();
            ring.set_shards(lists[number % 2].to_vec()).map_err(|error| error.to_string())?;
            change = change.max(before.elapsed());
            number += 1;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    over.store(true, Ordering::Relaxed);
    let mut calls = 0;
    for task in tasks {
        calls += task.await.map_err(|error| error.to_string())?;
    }
    if let Some([_, fewer]) = lists {
        ring.set_shards(fewer.to_vec()).map_err(|error| error.to_string())?;
    }
    let longest = Duration::from_nanos(longest.load(Ordering::Relaxed));
    Ok(Seen { longest, calls, errors: errors.load(Ordering::Relaxed), change })
}
