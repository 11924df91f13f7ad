//! What a handle to a ring costs, and how many writes a long pipeline takes.

use std::time::Instant;

use rendis::Ring;
use tokio::runtime::Builder;

use crate::groups::{Scope, Stage};
use crate::machine::memory_kib;
use crate::results::Cell;

const GROUP: &str = "library, handles";
const NAME: &str = "10 000 handles; a pipeline of 1 000 commands";

pub(super) fn run(stage: &mut Stage) -> Result<(), String> {
    if !stage.wants(GROUP, NAME, Scope::Quick) {
        return Ok(());
    }
    let (begun, cluster) = (Instant::now(), stage.shards(3));
    let runtime = Builder::new_current_thread().enable_all().build().map_err(|error| error.to_string())?;
    let mut cell = Cell::new(GROUP, NAME);
    runtime.block_on(async {
        let named = cluster.urls().into_iter().enumerate().map(|(at, url)| (format!("shard{at}"), url));
        let mut ring = Ring::builder().shards(named).build().await.map_err(|error| error.to_string())?;
        let connected = || cluster.iter().map(clients).sum::<usize>() as f64;
        let resident = || memory_kib(std::process::id(), "VmRSS").unwrap_or(0.0);
        let before = (resident(), connected());
        let handles: Vec<Ring> = (0..10_000).map(|_| ring.clone()).collect();
        let each = (resident() - before.0).max(0.0) * 1024.0 / handles.len() as f64;
        cell.add("rendis", "bytes a handle", each.max(size_of::<Ring>() as f64));
        cell.add("rendis", "connections more", connected() - before.1);
        let writes = |ring: &Ring| ring.stats().shards.iter().map(|shard| shard.writes).sum::<u64>() as f64;
        for _ in 0..=stage.rounds {
            let before = writes(&ring);
            let mut pipe = redis::pipe();
            (0..1000).for_each(|number| {
                pipe.set(format!("key:{number}"), number).ignore();
            });
            pipe.exec_async(&mut ring).await.map_err(|error| error.to_string())?;
            cell.add("rendis", "writes a shard", (writes(&ring) - before) / cluster.len() as f64);
        }
        Ok::<_, String>(())
    })?;
    stage.put(cell, begun);
    Ok(())
}

/// How many clients a shard has, the one that asks counted.
fn clients(shard: &rendis_testkit::RedisServer) -> usize {
    shard.command(&["CLIENT", "LIST"]).text().lines().count()
}
