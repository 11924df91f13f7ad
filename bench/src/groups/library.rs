//! The library beside its peers: throughput and processor time in closed loops.

use rendis_testkit::Cluster;

use crate::groups::stage::WARM;
use crate::groups::{Scope, Stage};
use crate::load::{Load, Operation, Outcome};
use crate::machine::{forget_peak, memory_kib};
use crate::system::{BEFORE, Driver, peers};

/// Groups of cells, by their shards and threads, which drivers are started for.
const SETTINGS: [(usize, usize); 4] = [(3, 1), (3, 2), (10, 1), (100, 1)];

struct Spot {
    group: &'static str,
    name: String,
    load: Load,
    least: Scope,
}

pub(super) fn run(stage: &mut Stage) -> Result<(), String> {
    for (shards, threads) in SETTINGS {
        let spots: Vec<Spot> = spots(shards, threads)
            .into_iter()
            .filter(|spot| stage.wants(spot.group, &spot.name, spot.least))
            .collect();
        if spots.is_empty() {
            continue;
        }
        let cluster = stage.shards(shards);
        let urls = cluster.urls();
        let mut drivers = Vec::new();
        for system in [peers(stage.go()), stage.before()].concat() {
            // The raw limit is a loop on one thread.
            if threads > 1 && ["raw", "rendis-frames", "redis-rs-manager", BEFORE].contains(&system) {
                continue;
            }
            match stage.driver(system, threads, &urls, false) {
                Ok(driver) => drivers.push(driver),
                Err(error) => stage.note(format!("library: {system} does not start: {error}")),
            }
        }
        let mut filled = None;
        for spot in spots {
            let content = (spot.load.value, spot.load.keys);
            if filled != Some(content) {
                fill(&cluster, &mut drivers, &spot.load)?;
                filled = Some(content);
            }
            cell(stage, &spot, &mut drivers);
        }
    }
    Ok(())
}

/// Empties the shards, and has every driver set all keys where it places them.
pub(super) fn fill(cluster: &Cluster, drivers: &mut [Driver], load: &Load) -> Result<(), String> {
    cluster.iter().for_each(|shard| {
        shard.command(&["FLUSHALL"]);
    });
    // The raw limit places keys as the others do that place them by hand.
    for driver in drivers.iter_mut().filter(|driver| driver.system() != "raw") {
        driver.run(&load.fill()).map_err(|error| format!("{}: {error}", driver.system()))?;
    }
    Ok(())
}

fn cell(stage: &mut Stage, spot: &Spot, drivers: &mut [Driver]) {
    let able = |driver: &Driver| match driver.system() {
        "raw" => matches!(spot.load.operation, Operation::Mixed | Operation::Pipeline),
        "rendis-boxed" => ["library", "library, two threads"].contains(&spot.group),
        BEFORE => !["library, shards", "library, keys by Zipf"].contains(&spot.group),
        _ => true,
    };
    let mut able: Vec<&mut Driver> = drivers.iter_mut().filter(|driver| able(driver)).collect();
    let names: Vec<String> = able.iter().map(|driver| driver.system().to_owned()).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    stage.rounds(spot.group, &spot.name, &names, |at, seconds| {
        let driver = &mut able[at];
        driver.restart()?;
        driver.run(&Load { seconds: seconds * WARM, ..spot.load.clone() })?;
        forget_peak(driver.id());
        let outcome = driver.run(&Load { seconds, ..spot.load.clone() })?;
        let mut figures = figures(&outcome);
        figures.push(("peak MiB", memory_kib(driver.id(), "VmHWM").unwrap_or(0.0) / 1024.0));
        Ok(figures)
    });
}

/// Of a closed loop.
pub(super) fn figures(outcome: &Outcome) -> Vec<(&'static str, f64)> {
    let operations = outcome.operations.max(1) as f64;
    vec![("ops/s", operations / outcome.seconds), ("CPU µs/op", outcome.cpu * 1e6 / operations)]
}

fn spots(shards: usize, threads: usize) -> Vec<Spot> {
    let mut spots = Vec::new();
    let mut add = |group, name: &str, load, least| {
        spots.push(Spot { group, name: name.to_owned(), load, least });
    };
    match (shards, threads) {
        (3, 1) => {
            for (tasks, least) in [(1, Scope::Quick), (64, Scope::Quick), (512, Scope::Smoke)] {
                add("library", &plural(tasks), Load::mixed(tasks), least);
            }
            for (tasks, least) in [(1, Scope::Full), (64, Scope::Quick), (512, Scope::Full)] {
                let load = Load::mixed(tasks).of(Operation::Pipeline, 16);
                add("library, pipelines", &format!("16 commands, {}", plural(tasks)), load, least);
            }
            let load = Load::mixed(8).of(Operation::Pipeline, 1000);
            add("library, pipelines", "1 000 commands, 8 tasks", load, Scope::Quick);
            for (tasks, least) in [(64, Scope::Full), (512, Scope::Full)] {
                add("library, keys by Zipf", &plural(tasks), Load::mixed(tasks).zipf(), least);
            }
            for (batch, tasks) in [(10, 64), (100, 16)] {
                for (word, operation) in [("MGET", Operation::Mget), ("MSET", Operation::Mset)] {
                    let name = format!("{word} of {batch} keys, {tasks} tasks");
                    let least = if (batch, word) == (100, "MGET") { Scope::Quick } else { Scope::Full };
                    add("library, commands", &name, Load::mixed(tasks).of(operation, batch), least);
                }
            }
            let eval = Load::mixed(64).of(Operation::Eval, 1);
            add("library, commands", "EVAL of a key, 64 tasks", eval, Scope::Full);
            for (name, value, tasks, least) in [
                ("16 B, 64 tasks", 16, 64, Scope::Full),
                ("4 KiB, 64 tasks", 4096, 64, Scope::Quick),
                ("1 MiB, 8 tasks", 1 << 20, 8, Scope::Full),
            ] {
                add("library, values", name, Load::mixed(tasks).value(value), least);
            }
        }
        (3, _) => {
            for tasks in [64, 512] {
                add("library, two threads", &plural(tasks), Load::mixed(tasks), Scope::Full);
            }
        }
        (shards, _) => {
            add("library, shards", &format!("{shards} shards, 512 tasks"), Load::mixed(512), Scope::Full);
        }
    }
    spots
}

fn plural(tasks: usize) -> String {
    if tasks == 1 { "1 task".to_owned() } else { format!("{tasks} tasks") }
}
