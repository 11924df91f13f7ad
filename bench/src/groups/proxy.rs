//! The proxy beside its peers, loaded by redis-benchmark.

use rendis_testkit::Cluster;

use crate::groups::stage::WARM;
use crate::groups::{Scope, Stage};
use crate::layout::{Layout, Role};
use crate::load::{Load, Operation};
use crate::machine::{forget_peak, memory_kib};
use crate::system::{Benchmarked, Kind, Server, redis_benchmark};
use crate::wire::{Client, idle};

/// What redis-benchmark is asked for.
#[derive(Clone)]
enum Ask {
    /// `SET`, then `GET`, for half of the time each.
    SetGet,
    /// One command, in its words.
    Words(Vec<String>),
}

struct Spot {
    group: &'static str,
    name: String,
    load: Load,
    ask: Ask,
    least: Scope,
}

pub(super) fn run(stage: &mut Stage) -> Result<(), String> {
    if !crate::machine::has("redis-benchmark") {
        stage
            .note("redis-benchmark is not installed (package redis-tools): no figures of proxies".to_owned());
        return Ok(());
    }
    let free = [3, 10, 100].map(|shards| (shards, Layout::Free, spots(shards)));
    let placed = [Layout::Beside, Layout::Apart].map(|layout| (3, layout, placed(layout)));
    for (shards, layout, mut spots) in free.into_iter().chain(placed) {
        spots.retain(|spot| stage.wants(spot.group, &spot.name, spot.least));
        if spots.is_empty() {
            continue;
        }
        if !layout.fits() {
            stage.note(format!("{}: processes cannot be bound to two processors here", spots[0].group));
            continue;
        }
        let cluster = layout.place(Role::Shards, || stage.shards(shards));
        over(stage, &cluster, layout, spots)?;
    }
    memory(stage);
    Ok(())
}

/// Runs cells over the same shards.
fn over(stage: &mut Stage, cluster: &Cluster, layout: Layout, spots: Vec<Spot>) -> Result<(), String> {
    let mut kinds = kinds(64, cluster.len());
    if layout != Layout::Free {
        // A server that is asked directly would have for itself what proxies share with the shards.
        kinds.retain(|kind| matches!(kind, Kind::Rendis(1) | Kind::Before | Kind::Twemproxy | Kind::Envoy));
    }
    let mut servers = layout.place(Role::System, || stage.servers(&kinds, cluster));
    let mut filled = None;
    for spot in spots {
        let content = (spot.load.value, spot.load.keys);
        if filled != Some(content) {
            // The floor's values have one size; the others take any.
            servers.retain(|server| !matches!(server.kind(), Kind::Floor(_)));
            if layout == Layout::Free {
                servers.extend(stage.servers(&[Kind::Floor(spot.load.value)], cluster));
            }
            fill(cluster, &servers, &spot.load)?;
            filled = Some(content);
        }
        cell(stage, &spot, layout, &mut servers);
    }
    Ok(())
}

/// The servers of the tables. Two threads only where there are few shards.
fn kinds(value: usize, shards: usize) -> Vec<Kind> {
    let mut kinds = vec![Kind::Rendis(1)];
    if shards == 3 {
        kinds.extend([Kind::Rendis(2), Kind::QuietTwemproxy]);
    }
    kinds.extend([Kind::Before, Kind::Twemproxy, Kind::Envoy, Kind::Direct, Kind::Floor(value)]);
    kinds
}

/// Empties the shards, and sets all keys through every server, which places them.
pub(super) fn fill(cluster: &Cluster, servers: &[Server], load: &Load) -> Result<(), String> {
    cluster.iter().for_each(|shard| {
        shard.command(&["FLUSHALL"]);
    });
    for server in servers {
        let mut client = Client::connect(server.address()).map_err(|error| error.to_string())?;
        client.fill(load).map_err(|error| format!("{}: {error}", server.kind().name()))?;
    }
    Ok(())
}

fn cell(stage: &mut Stage, spot: &Spot, layout: Layout, servers: &mut [Server]) {
    let able = |server: &&mut Server| match server.kind() {
        Kind::Rendis(2) | Kind::QuietTwemproxy => spot.group == "proxy",
        Kind::Before => spot.group != "proxy, shards",
        // It does not know what MGET answers.
        Kind::Floor(_) => matches!(spot.ask, Ask::SetGet),
        _ => true,
    };
    let mut able: Vec<&mut Server> = servers.iter_mut().filter(able).collect();
    let names: Vec<&str> = able.iter().map(|server| server.kind().name()).collect();
    // How fast each was in the round before: how many requests fill its time.
    let guess = (4_000 * spot.load.batch) as f64 / (spot.load.value as f64 / 4096.0).max(1.0);
    let mut rates = vec![guess / 0.2; able.len()];
    stage.rounds(spot.group, &spot.name, &names, |at, seconds| {
        layout.place(Role::System, || able[at].restart())?;
        let server = &*able[at];
        let least = (spot.load.tasks * spot.load.batch * 2) as f64;
        let run = |requests: f64, words: &[String]| {
            let requests = requests.max(least);
            let generator = || redis_benchmark(server, &spot.load, requests as u64, words);
            layout.place(Role::Generator, generator).map(|benchmarked| (requests.floor(), benchmarked))
        };
        let parts = |requests: f64| match &spot.ask {
            Ask::SetGet => {
                let test = |name: &str| ["-t".to_owned(), name.to_owned()];
                Ok(vec![run(requests / 2.0, &test("set"))?, run(requests / 2.0, &test("get"))?])
            }
            Ask::Words(words) => Ok::<_, String>(vec![run(requests, words)?]),
        };
        parts(rates[at] * seconds * WARM)?;
        forget_peak(server.id());
        let cpu = server.cpu();
        let parts = parts(rates[at] * seconds)?;
        let (rate, figures) = together(&parts, server.cpu() - cpu);
        rates[at] = rate;
        let peak = memory_kib(server.id(), "VmHWM").unwrap_or(0.0) / 1024.0;
        Ok([figures, vec![("peak MiB", peak)]].concat())
    });
}

/// The rate and the figures of runs one after the other.
fn together(parts: &[(f64, Benchmarked)], cpu: f64) -> (f64, Vec<(&'static str, f64)>) {
    let requests: f64 = parts.iter().map(|(requests, _)| requests).sum();
    let seconds: f64 = parts.iter().map(|(requests, part)| requests / part.rate).sum();
    let worst = |of: fn(&Benchmarked) -> f64| parts.iter().map(|(_, part)| of(part)).fold(0.0, f64::max);
    let rate = requests / seconds;
    let figures = vec![
        ("ops/s", rate),
        ("CPU µs/op", cpu * 1e6 / requests),
        ("p50 ms", worst(|part| part.p50)),
        ("p99 ms", worst(|part| part.p99)),
    ];
    (rate, figures)
}

/// What depends most on who runs where.
fn placed(layout: Layout) -> Vec<Spot> {
    let group = layout.proxies();
    let names = [
        "50 clients, P=1",
        "500 clients, P=1",
        "50 clients, P=16",
        "500 clients, P=16",
        "MGET of 100 keys, 50 clients",
    ];
    let chosen =
        |spot: &Spot| ["proxy", "proxy, commands"].contains(&spot.group) && names.contains(&&*spot.name);
    let least = |spot: &Spot| match spot.least {
        Scope::Smoke => Scope::Smoke,
        _ => Scope::Full,
    };
    let spots = spots(3).into_iter().filter(chosen);
    spots.map(|spot| Spot { group, least: least(&spot), ..spot }).collect()
}

fn spots(shards: usize) -> Vec<Spot> {
    let mut spots = Vec::new();
    let mut add = |group, name: &str, load, ask, least| {
        spots.push(Spot { group, name: name.to_owned(), load, ask, least });
    };
    let piped = |clients: usize, depth: usize| Load::mixed(clients).of(Operation::Pipeline, depth);
    if shards > 3 {
        for depth in [1, 16] {
            let name = format!("{shards} shards, 50 clients, P={depth}");
            add("proxy, shards", &name, piped(50, depth), Ask::SetGet, Scope::Full);
        }
        return spots;
    }
    for (clients, depth, least) in [
        (1, 1, Scope::Full),
        (50, 1, Scope::Smoke),
        (500, 1, Scope::Quick),
        (1, 16, Scope::Full),
        (50, 16, Scope::Quick),
        (500, 16, Scope::Quick),
    ] {
        let word = if clients == 1 { "client" } else { "clients" };
        let name = format!("{clients} {word}, P={depth}");
        add("proxy", &name, piped(clients, depth), Ask::SetGet, least);
    }
    for (keys, least) in [(10, Scope::Full), (100, Scope::Quick)] {
        let name = |word: &str| format!("{word} of {keys} keys, 50 clients");
        let mut words = vec!["MGET".to_owned()];
        words.extend((0..keys).map(|_| "key:__rand_int__".to_owned()));
        add("proxy, commands", &name("MGET"), piped(50, 1), Ask::Words(words), least);
        let mut words = vec!["MSET".to_owned()];
        words.extend((0..keys).flat_map(|_| ["key:__rand_int__".to_owned(), "x".repeat(64)]));
        add("proxy, commands", &name("MSET"), piped(50, 1), Ask::Words(words), Scope::Full);
    }
    let words = ["EVAL", "return redis.call('GET', KEYS[1])", "1", "key:__rand_int__"];
    let words = words.map(str::to_owned).to_vec();
    add("proxy, commands", "EVAL of a key, 50 clients", piped(50, 1), Ask::Words(words), Scope::Full);
    for (text, value) in [("16 B", 16), ("4 KiB", 4096), ("1 MiB", 1 << 20)] {
        for depth in [1, 16] {
            let clients = if value > 4096 { 8 } else { 50 };
            if value > 4096 && depth > 1 {
                continue;
            }
            let least = if value == 4096 { Scope::Quick } else { Scope::Full };
            let name = format!("{text}, {clients} clients, P={depth}");
            add("proxy, values", &name, piped(clients, depth).value(value), Ask::SetGet, least);
        }
    }
    spots
}

/// What idle clients cost, and what one large value needs.
fn memory(stage: &mut Stage) {
    const CLIENTS: usize = 10_000;
    const LARGE: usize = 64 << 20;
    let mut kinds = kinds(64, 100);
    kinds.retain(|kind| !matches!(kind, Kind::Before | Kind::Floor(_)));
    for (name, least) in [("10 000 idle clients", Scope::Full), ("a value of 64 MiB", Scope::Full)] {
        if !stage.wants("proxy, memory", name, least) {
            continue;
        }
        let cluster = stage.shards(3);
        let servers = stage.servers(&kinds, &cluster);
        let names: Vec<&str> = servers.iter().map(|server| server.kind().name()).collect();
        let rounds = std::mem::replace(&mut stage.rounds, 1);
        let mut warm = vec![false; servers.len()];
        stage.rounds("proxy, memory", name, &names, |at, _| {
            let server = &servers[at];
            let kib = |which| memory_kib(server.id(), which).unwrap_or(0.0);
            // What is measured can be measured once in a process.
            if !std::mem::replace(&mut warm[at], true) {
                return Ok(Vec::new());
            }
            if name.contains("idle") {
                // What the first few make a process load and set up is no client's.
                let _few = idle(server.address(), 100)?;
                let before = kib("VmRSS");
                let clients = idle(server.address(), CLIENTS)?;
                let each = (kib("VmRSS") - before) / clients.len() as f64;
                return Ok(vec![("KiB a client", each)]);
            }
            forget_peak(server.id());
            let before = kib("VmRSS");
            let mut client = Client::connect(server.address()).map_err(|error| error.to_string())?;
            let asked =
                client.ask(&["SET", "large", &"x".repeat(LARGE)]).and_then(|_| client.ask(&["GET", "large"]));
            asked.map_err(|error| error.to_string())?;
            Ok(vec![("peak MiB", kib("VmHWM") / 1024.0), ("MiB before", before / 1024.0)])
        });
        stage.rounds = rounds;
    }
}
