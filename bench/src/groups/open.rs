//! Open loops: operations begin by the clock, and their time counts from when they were due.

use crate::groups::{Scope, Stage, library, proxy};
use crate::load::{Load, Operation, Outcome};
use crate::system::{Driver, Kind, peers, redis_benchmark};
use crate::wire;

pub(super) fn run(stage: &mut Stage) -> Result<(), String> {
    proxies(stage)?;
    libraries(stage)
}

/// Fixed rates, as parts of the proxy's own peak in this run.
fn proxies(stage: &mut Stage) -> Result<(), String> {
    const GROUP: &str = "proxy, open loop";
    let spots = [
        ("half of the peak", 0.5, false, Scope::Smoke),
        ("a quarter of the peak", 0.25, false, Scope::Full),
        ("half of the peak, keys by Zipf", 0.5, true, Scope::Full),
    ];
    let spots: Vec<_> =
        spots.into_iter().filter(|(name, .., least)| stage.wants(GROUP, name, *least)).collect();
    if spots.is_empty() {
        return Ok(());
    }
    let cluster = stage.shards(3);
    let kinds = [Kind::Rendis(1), Kind::Twemproxy, Kind::Envoy, Kind::Direct, Kind::Floor(64)];
    let servers = stage.servers(&kinds, &cluster);
    let names: Vec<&str> = servers.iter().map(|server| server.kind().name()).collect();
    let load = Load::mixed(50);
    proxy::fill(&cluster, &servers, &load)?;
    let measured =
        stage.results.cell("proxy", "50 clients, P=1").map(|cell| cell.figures("rendis", "ops/s").median());
    let peak = match (measured, servers.first()) {
        (Some(peak), _) if peak > 0.0 => peak,
        (_, Some(server)) => {
            redis_benchmark(server, &load, 100_000, &["-t".to_owned(), "get".to_owned()])?.rate
        }
        _ => return Ok(()),
    };
    for (name, part, zipf, _) in spots {
        let rate = peak * part;
        stage.rounds(GROUP, name, &names, |at, seconds| {
            let (server, cpu) = (&servers[at], servers[at].cpu());
            let load = Load { seconds: seconds * 2.0, zipf, ..load.clone() };
            let outcome = wire::open(server.address(), &load, rate)?;
            Ok(figures(&Outcome { cpu: server.cpu() - cpu, ..outcome }, rate))
        });
    }
    Ok(())
}

fn libraries(stage: &mut Stage) -> Result<(), String> {
    const GROUP: &str = "library, open loop";
    let spots = [
        ("20 000 operations a second", 20_000.0, Scope::Full),
        ("100 000 operations a second", 100_000.0, Scope::Quick),
    ];
    let spots: Vec<_> =
        spots.into_iter().filter(|(name, _, least)| stage.wants(GROUP, name, *least)).collect();
    if spots.is_empty() {
        return Ok(());
    }
    let cluster = stage.shards(3);
    let mut drivers = Vec::new();
    for system in peers(stage.go())
        .into_iter()
        .filter(|system| !["raw", "rendis-boxed", "rendis-frames"].contains(system))
    {
        drivers.push(stage.driver(system, 1, &cluster.urls(), false)?);
    }
    library::fill(&cluster, &mut drivers, &Load::mixed(1))?;
    for (name, rate, _) in spots {
        // go-redis's Ring is at its end there.
        let mut able: Vec<&mut Driver> =
            drivers.iter_mut().filter(|driver| rate < 50_000.0 || driver.system() != "go-redis").collect();
        let names: Vec<String> = able.iter().map(|driver| driver.system().to_owned()).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        stage.rounds(GROUP, name, &names, |at, seconds| {
            let load =
                Load { seconds: seconds * 2.0, rate: Some(rate), ..Load::mixed(1).of(Operation::Mixed, 1) };
            Ok(figures(&able[at].run(&load)?, rate))
        });
    }
    Ok(())
}

fn figures(outcome: &Outcome, rate: f64) -> Vec<(&'static str, f64)> {
    let latency = outcome.latency.unwrap_or_default();
    vec![
        ("rate", rate),
        ("p50 ms", latency.p50),
        ("p99 ms", latency.p99),
        ("p99.9 ms", latency.p999),
        ("longest ms", latency.longest),
        ("CPU µs/op", outcome.cpu * 1e6 / outcome.operations.max(1) as f64),
    ]
}
