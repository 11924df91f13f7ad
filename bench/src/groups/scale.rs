//! What many clients and many shards cost: the cost of one shard, measured, from which the report's table is computed.

use std::time::{Duration, Instant};

use rendis_testkit::Cluster;

use crate::groups::{Scope, Stage};
use crate::machine::memory_kib;
use crate::results::Cell;
use crate::system::{Driver, Kind, Server};

const GROUP: &str = "scale";
const NAME: &str = "one shard more";

pub(super) fn run(stage: &mut Stage) -> Result<(), String> {
    if !stage.wants(GROUP, NAME, Scope::Full) {
        return Ok(());
    }
    let begun = Instant::now();
    let (few, many) = (stage.shards(10), stage.shards(100));
    let mut cell = Cell::new(GROUP, NAME);
    let library = |shards: &Cluster, stage: &Stage| {
        stage.driver("rendis", 1, &shards.urls(), false).map(|driver| (driver.id(), Keep::Driver(driver)))
    };
    let proxy = |shards: &Cluster, stage: &Stage| {
        let addresses: Vec<_> = shards.iter().map(rendis_testkit::RedisServer::address).collect();
        Server::start(Kind::Rendis(1), &stage.tools, &addresses)
            .map(|server| (server.id(), Keep::Server(server)))
    };
    measure("library", &mut cell, &few, &many, |shards| library(shards, stage))?;
    measure("proxy, one thread", &mut cell, &few, &many, |shards| proxy(shards, stage))?;
    stage.put(cell, begun);
    Ok(())
}

/// Systems that are kept while they are looked at.
#[expect(dead_code, reason = "they are kept, not used")]
enum Keep {
    Driver(Driver),
    Server(Server),
}

fn measure(
    system: &str,
    cell: &mut Cell,
    few: &Cluster,
    many: &Cluster,
    start: impl Fn(&Cluster) -> Result<(u32, Keep), String>,
) -> Result<(), String> {
    let connections = |shards: &Cluster| info(shards, "clients", "connected_clients:");
    let pings = |shards: &Cluster| info(shards, "commandstats", "cmdstat_ping:calls=");
    let before = (connections(many), info(many, "memory", "mem_clients_normal:"));
    let ((small, _small), (large, _large)) = (start(few)?, start(many)?);
    std::thread::sleep(Duration::from_secs(2));
    let (begun, pinged) = (Instant::now(), pings(many));
    std::thread::sleep(Duration::from_secs(3));
    let probes = (pings(many) - pinged) / begun.elapsed().as_secs_f64();
    let after = (connections(many), info(many, "memory", "mem_clients_normal:"));
    let kib = |process| memory_kib(process, "VmRSS").unwrap_or(0.0);
    let count = many.len() as f64;
    let opened = (after.0 - before.0) / count;
    cell.add(system, "connections", opened);
    cell.add(system, "probes/s", probes / count);
    cell.add(system, "client KiB", (kib(large) - kib(small)) / (count - few.len() as f64));
    cell.add(system, "server KiB a connection", (after.1 - before.1) / 1024.0 / count / opened.max(1.0));
    Ok(())
}

/// The sum over all shards of a number in their `INFO`.
fn info(shards: &Cluster, section: &str, field: &str) -> f64 {
    let of = |shard: &rendis_testkit::RedisServer| {
        let reply = shard.command(&["INFO", section]);
        let line = reply.text().lines().find_map(|line| line.strip_prefix(field).map(str::to_owned))?;
        line.split(|byte: char| !byte.is_ascii_digit()).next()?.parse::<f64>().ok()
    };
    shards.iter().filter_map(of).sum()
}
