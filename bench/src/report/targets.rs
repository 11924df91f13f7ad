//! What was to be reached, and whether it was.

use crate::figures::{Figures, Table, short};
use crate::layout::Layout;
use crate::results::Results;

/// One target.
#[derive(Clone)]
struct Target {
    what: String,
    wanted: Wanted,
    found: Figures,
}

#[derive(Clone, Copy)]
enum Wanted {
    AtLeast(f64),
    AtMost(f64),
}

/// All targets that this run says something about.
pub(super) fn table(results: &Results) -> Table {
    let mut table = Table::new(["target", "wanted", "found", ""]);
    let all = [library(results), proxy(results), rest(results)].concat();
    for target in all.into_iter().filter(|target| !target.found.is_empty()) {
        let median = target.found.median();
        let (wanted, limit, met) = match target.wanted {
            Wanted::AtLeast(limit) => (format!("at least {}", short(limit)), limit, median >= limit),
            Wanted::AtMost(limit) => (format!("at most {}", short(limit)), limit, median <= limit),
        };
        let (least, greatest) = target.found.spread();
        let verdict = if met { "met" } else { "**missed**" };
        let near = if least < limit && limit < greatest { ", within the spread" } else { "" };
        table.row([target.what, wanted, target.found.text(), format!("{verdict}{near}")]);
    }
    table
}

fn ratio(results: &Results, group: &str, name: &str, one: &str, other: &str, metric: &str) -> Figures {
    results.cell(group, name).map_or_else(Figures::default, |cell| cell.ratio(one, other, metric))
}

fn figures(results: &Results, group: &str, name: &str, system: &str, metric: &str) -> Figures {
    results.cell(group, name).map_or_else(Figures::default, |cell| cell.figures(system, metric))
}

fn library(results: &Results) -> Vec<Target> {
    use Wanted::{AtLeast, AtMost};
    let mut targets = Vec::new();
    let mut add = |name: &str, group: &str, one: &str, peer: &str, metric: &str, wanted| {
        let subject = match one {
            "rendis" => "library",
            "rendis-boxed" => "library through redis::AsyncCommands",
            _ => "library with untyped frames",
        };
        let kind = if metric == "ops/s" { "throughput" } else { "processor time" };
        let threads = if group.contains("two") { ", two threads" } else { "" };
        let what = format!("{subject}, {name}{threads}: {kind} through that of {peer}");
        targets.push(Target { what, wanted, found: ratio(results, group, name, one, peer, metric) });
    };
    for (peer, limit) in [("redis-rs", 2.0), ("rustis", 1.2), ("go-redis", 10.0)] {
        add("512 tasks", "library", "rendis", peer, "ops/s", AtLeast(limit));
    }
    add("64 tasks", "library", "rendis", "redis-rs", "ops/s", AtLeast(1.3));
    for peer in ["redis-rs", "redis-rs-manager", "fred", "rustis", "go-redis"] {
        add("1 task", "library", "rendis", peer, "ops/s", AtLeast(1.0));
    }
    add("512 tasks", "library, two threads", "rendis", "redis-rs", "ops/s", AtLeast(1.8));
    add("512 tasks", "library", "rendis", "redis-rs", "CPU µs/op", AtMost(0.5));
    for (name, limit) in [("512 tasks", 2.0), ("64 tasks", 1.3), ("1 task", 1.0)] {
        add(name, "library", "rendis-boxed", "redis-rs", "ops/s", AtLeast(limit));
    }
    add("512 tasks", "library", "rendis-boxed", "redis-rs", "CPU µs/op", AtMost(0.5));
    add("512 tasks", "library", "rendis-frames", "raw", "CPU µs/op", AtMost(1.6));
    let handles = "10 000 handles; a pipeline of 1 000 commands";
    for (what, group, name, metric, wanted) in [
        (
            "library: allocations of a GET",
            "library, allocations",
            "GET, 64 tasks",
            "allocations/op",
            AtMost(3.0),
        ),
        ("library: bytes of a handle", "library, handles", handles, "bytes a handle", AtMost(1024.0)),
        (
            "library: connections for 10 000 handles more",
            "library, handles",
            handles,
            "connections more",
            AtMost(0.0),
        ),
        (
            "library: writes a shard for a pipeline of 1 000",
            "library, handles",
            handles,
            "writes a shard",
            AtMost(1.0),
        ),
    ] {
        let found = figures(results, group, name, "rendis", metric);
        targets.push(Target { what: what.to_owned(), wanted, found });
    }
    targets
}

fn proxy(results: &Results) -> Vec<Target> {
    use Wanted::{AtLeast, AtMost};
    let mut targets = Vec::new();
    let mut add = |group: &str, name: &str, peer: &str, metric: &str, wanted| {
        let kind = match metric {
            "ops/s" => "throughput",
            "CPU µs/op" => "processor time",
            other => other,
        };
        let what = format!("{group}, {name}: {kind} through that of {peer}");
        targets.push(Target { what, wanted, found: ratio(results, group, name, "rendis", peer, metric) });
    };
    for layout in [Layout::Free, Layout::Beside, Layout::Apart] {
        let group = layout.proxies();
        for clients in [50, 500] {
            for (depth, rate, cpu) in [(1, 1.15, 0.75), (16, 1.9, 0.27)] {
                let name = format!("{clients} clients, P={depth}");
                add(group, &name, "twemproxy", "ops/s", AtLeast(rate));
                add(group, &name, "twemproxy", "CPU µs/op", AtMost(cpu));
                add(group, &name, "twemproxy", "p99 ms", AtMost(1.0));
            }
            add(group, &format!("{clients} clients, P=16"), "Envoy", "ops/s", AtLeast(2.0));
        }
        let group = if layout == Layout::Free { "proxy, commands" } else { group };
        add(group, "MGET of 100 keys, 50 clients", "twemproxy", "ops/s", AtLeast(1.5));
    }
    // Where they share processors with nobody, they are no measure.
    for clients in [50, 500] {
        add("proxy", &format!("{clients} clients, P=1"), "floor", "CPU µs/op", AtMost(1.25));
        add("proxy", &format!("{clients} clients, P=16"), "redis-server", "ops/s", AtLeast(0.85));
    }
    for cell in results.cells.iter().filter(|cell| cell.group == "proxy, values") {
        let (rate, cpu) = if cell.name.ends_with("P=16") { (1.9, 0.27) } else { (1.15, 0.75) };
        add("proxy, values", &cell.name, "twemproxy", "ops/s", AtLeast(rate));
        add("proxy, values", &cell.name, "twemproxy", "CPU µs/op", AtMost(cpu));
        if cell.name.ends_with("P=16") {
            add("proxy, values", &cell.name, "redis-server", "ops/s", AtLeast(0.85));
        }
    }
    let found = ratio(results, "proxy", "50 clients, P=1", "rendis, 2 threads", "rendis", "ops/s");
    let what = "proxy, 50 clients, P=1: throughput of two threads through that of one".to_owned();
    targets.push(Target { what, wanted: AtLeast(1.0), found });
    targets
}

fn rest(results: &Results) -> Vec<Target> {
    use Wanted::AtMost;
    let mut targets = Vec::new();
    let mut add = |what: &str, found: Figures, limit| {
        targets.push(Target { what: what.to_owned(), wanted: AtMost(limit), found });
    };
    let memory = |name, metric| figures(results, "proxy, memory", name, "rendis", metric);
    add("proxy: KiB of an idle client, of 10 000", memory("10 000 idle clients", "KiB a client"), 3.0);
    add("proxy: peak MiB when 64 MiB pass", memory("a value of 64 MiB", "peak MiB"), 160.0);
    if let Some(cell) = results.cell("proxy, open loop", "half of the peak") {
        let (ours, direct) = (cell.get("rendis", "p99.9 ms"), cell.get("redis-server", "p99.9 ms"));
        let above = Figures::of(ours.iter().zip(direct).map(|(ours, direct)| ours - direct));
        add("proxy, open loop at half of the peak: ms of p99.9 above the direct connection's", above, 2.0);
    }
    let place = |name| figures(results, "placement", name, "go-redis", "ns/key");
    add("placement over 3 shards: ns a key", place("3 shards"), 50.0);
    add("placement over 1 000 shards: ns a key", place("1000 shards"), 2000.0);
    targets
}
