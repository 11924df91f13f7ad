//! The tables of the groups.

use std::fmt::Write as _;

use crate::figures::{Table, short};
use crate::layout::Layout;
use crate::report::order::systems;
use crate::results::{Cell, Results};

/// What is said about a group below its heading.
const GROUPS: [(&str, &str, &[&str]); 21] = [
    ("library", "", &["ops/s", "CPU µs/op", "peak MiB"]),
    ("library, two threads", "A runtime with two threads.", &["ops/s", "CPU µs/op"]),
    ("library, pipelines", "The operation is the command.", &["ops/s", "CPU µs/op"]),
    ("library, commands", "The operation is the call.", &["ops/s", "CPU µs/op"]),
    ("library, values", "", &["ops/s", "CPU µs/op", "peak MiB"]),
    ("library, keys by Zipf", "Zipf's distribution with exponent 0.99.", &["ops/s", "CPU µs/op"]),
    ("library, shards", "Many small servers, limited to 64 MiB each.", &["ops/s", "CPU µs/op"]),
    ("library, open loop", "", &[]),
    ("library, allocations", "With one allocation a call in go-redis's driver itself, for the key.", &[]),
    ("library, system calls", "", &[]),
    ("library, handles", "", &[]),
    ("proxy", "", &["ops/s", "CPU µs/op", "p99 ms", "peak MiB"]),
    (
        Layout::Beside.proxies(),
        "Proxy and shards share a processor, and the generator of the load has another.",
        &["ops/s", "CPU µs/op", "p99 ms"],
    ),
    (
        Layout::Apart.proxies(),
        "The proxy has a processor to itself. On a machine with two, shards and generator share the other.",
        &["ops/s", "CPU µs/op", "p99 ms"],
    ),
    ("proxy, commands", "The operation is the call.", &["ops/s", "CPU µs/op"]),
    ("proxy, values", "", &["ops/s", "CPU µs/op", "p99 ms", "peak MiB"]),
    ("proxy, shards", "Many small servers, limited to 64 MiB each.", &["ops/s", "CPU µs/op"]),
    ("proxy, open loop", "", &[]),
    ("proxy, memory", "Resident memory. Of a value: `SET`, then `GET`, of 64 MiB by one client.", &[]),
    ("proxy, system calls", "`GET` alone.", &[]),
    ("topology", "`Ring::set_shards` every 100 ms, and the longest that one of the callers waits.", &[]),
];

pub(super) fn write(text: &mut String, results: &Results, plots: Option<&str>) {
    for (group, remark, metrics) in GROUPS {
        let cells: Vec<&Cell> = results.cells.iter().filter(|cell| cell.group == group).collect();
        if cells.is_empty() {
            continue;
        }
        let _ = write!(text, "\n## {}\n\n", heading(group));
        if !remark.is_empty() {
            let _ = write!(text, "{remark}\n\n");
        }
        if let (Some(directory), Some(file)) = (plots, super::plot::file_of(group)) {
            let _ = write!(text, "![{group}]({directory}/{file})\n\n");
        }
        for metric in metrics {
            let better = if *metric == "ops/s" { "more is better" } else { "less is better" };
            let _ = write!(text, "{metric} of rendis, and the ratio to each peer ({better}):\n\n");
            let _ = writeln!(text, "{}", ratios(&cells, metric));
        }
        match metrics {
            [] => text.push_str(&format!("{}\n", by_system(&cells))),
            _ => text.push_str(&format!("All, medians of ops/s and CPU µs/op:\n\n{}", absolute(&cells))),
        }
    }
    placement(text, results, plots);
}

/// A row a cell: ours, and ours through each peer's.
fn ratios(cells: &[&Cell], metric: &str) -> Table {
    let systems = systems(cells);
    let peers = systems.iter().filter(|system| **system != "rendis");
    let mut table = Table::new(
        ["".to_owned(), "rendis".to_owned()].into_iter().chain(peers.clone().map(|peer| format!("÷ {peer}"))),
    );
    for cell in cells {
        let ours = [cell.name.clone(), cell.figures("rendis", metric).text()];
        let theirs = peers.clone().map(|peer| cell.ratio("rendis", peer, metric).text());
        table.row(ours.into_iter().chain(theirs));
    }
    table
}

/// A row a cell, a column a system.
fn absolute(cells: &[&Cell]) -> Table {
    let systems = systems(cells);
    let mut table = Table::new([""].into_iter().chain(systems.iter().copied()));
    for cell in cells {
        let of = |system: &&str| match cell.figures(system, "ops/s") {
            rate if rate.is_empty() => "–".to_owned(),
            rate => {
                format!("{}, {}", short(rate.median()), short(cell.figures(system, "CPU µs/op").median()))
            }
        };
        table.row([cell.name.clone()].into_iter().chain(systems.iter().map(of)));
    }
    table
}

/// A row a cell and system, a column a metric.
fn by_system(cells: &[&Cell]) -> Table {
    let mut metrics: Vec<&str> = Vec::new();
    for name in cells.iter().flat_map(|cell| cell.systems.values()).flat_map(|metrics| metrics.keys()) {
        if !metrics.contains(&name.as_str()) {
            metrics.push(name);
        }
    }
    let mut table = Table::new(["", ""].into_iter().chain(metrics.iter().copied()));
    for cell in cells {
        for (row, system) in systems(&[cell]).into_iter().enumerate() {
            let name = if row == 0 { cell.name.clone() } else { String::new() };
            let figures = metrics.iter().map(|metric| cell.figures(system, metric).text());
            table.row([name, system.to_owned()].into_iter().chain(figures));
        }
    }
    table
}

/// Placement has presets for systems, which are many: a row each.
fn placement(text: &mut String, results: &Results, plots: Option<&str>) {
    let cells: Vec<&Cell> = results.cells.iter().filter(|cell| cell.group == "placement").collect();
    if cells.is_empty() {
        return;
    }
    text.push_str(
        "\n## Placement\n\nNanoseconds to place a key, and milliseconds to build the placement.\n\n",
    );
    if let (Some(directory), Some(file)) = (plots, super::plot::file_of("placement")) {
        let _ = write!(text, "![placement]({directory}/{file})\n\n");
    }
    let names = cells.iter().flat_map(|cell| [format!("ns, {}", cell.name), format!("build, {}", cell.name)]);
    let mut table = Table::new(["".to_owned()].into_iter().chain(names));
    for preset in systems(&cells) {
        let figures = cells.iter().flat_map(|cell| {
            ["ns/key", "build ms"].map(|metric| short(cell.figures(preset, metric).median()))
        });
        table.row([preset.to_owned()].into_iter().chain(figures));
    }
    let _ = write!(text, "{table}");
}

fn heading(group: &str) -> String {
    let mut letters = group.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}
