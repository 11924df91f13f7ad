//! The report, made of a run's figures: tables, targets, plots, and the README's table.

mod before;
mod flames;
mod order;
mod plot;
mod scale;
mod tables;
mod targets;

use std::fmt::Write as _;
use std::path::Path;

use crate::figures::{Figures, Table};
use crate::layout::Layout;
use crate::results::Results;

/// Where the report's files are, below the repository.
const REPORT: &str = "docs/benchmarks.md";
const PLOTS: &str = "docs/plots";
const README: &str = "README.md";
const BEGIN: &str = "<!-- figures: written by scripts/bench.sh -->";
const END: &str = "<!-- end of figures -->";

/// The report in Markdown; with plots where there is a directory for them, named as the report sees it.
#[must_use]
pub fn text(results: &Results, plots: Option<&str>) -> String {
    let mut text = String::new();
    let _ = write!(text, "# Benchmarks\n\n{INTRODUCTION}\n## The run\n\n");
    let _ = writeln!(text, "- {}", results.machine);
    results.versions.iter().for_each(|version| text.push_str(&format!("- {version}\n")));
    let _ = writeln!(text, "- {}", results.run);
    match results.missing.as_slice() {
        [] => text.push_str("- No peer is missing, and nothing failed.\n"),
        missing => missing.iter().for_each(|what| text.push_str(&format!("- Missing: {what}\n"))),
    }
    let targets = targets::table(results);
    if !targets.is_empty() {
        let _ = write!(text, "\n## Targets\n\n{TARGETS}\n{targets}");
    }
    flames::write(&mut text, results, plots);
    before::write(&mut text, results);
    tables::write(&mut text, results, plots);
    scale::write(&mut text, results);
    text
}

/// Writes the report, its plots, and the README's table, below a repository.
///
/// # Errors
/// When a file cannot be written, or the README has no place for the table.
pub fn write(results: &Results, repository: &Path) -> Result<(), String> {
    let plots = repository.join(PLOTS);
    std::fs::create_dir_all(&plots).map_err(|error| error.to_string())?;
    plot::all(results, &plots)?;
    flames(results, &plots)?;
    let report = repository.join(REPORT);
    std::fs::write(&report, text(results, Some("plots"))).map_err(|error| error.to_string())?;
    let readme = repository.join(README);
    let text = std::fs::read_to_string(&readme).map_err(|error| error.to_string())?;
    let (before, rest) = text.split_once(BEGIN).ok_or_else(|| format!("{README} has no line {BEGIN}"))?;
    let (_, after) = rest.split_once(END).ok_or_else(|| format!("{README} has no line {END}"))?;
    let table = short(results);
    std::fs::write(&readme, format!("{before}{BEGIN}\n{table}{END}{after}"))
        .map_err(|error| error.to_string())
}

/// Draws the flame graphs into a directory.
///
/// # Errors
/// When a file cannot be written.
pub fn flames(results: &Results, directory: &Path) -> Result<(), String> {
    std::fs::create_dir_all(directory).map_err(|error| error.to_string())?;
    flames::draw(results, directory)
}

/// The README's table: what one would choose between, in one line each.
fn short(results: &Results) -> String {
    let mut table = Table::new(["", "beside", "throughput", "processor time of an operation"]);
    let rows = [
        ("library, 1 task", "library", "1 task", "redis-rs"),
        ("library, 64 tasks", "library", "64 tasks", "redis-rs"),
        ("library, 512 tasks", "library", "512 tasks", "redis-rs"),
        ("library, 512 tasks, `redis::AsyncCommands`", "library", "512 tasks", "redis-rs"),
        ("library, EVAL of a key, 64 tasks", "library, commands", "EVAL of a key, 64 tasks", "redis-rs"),
        ("library, 512 tasks", "library", "512 tasks", "fred"),
        ("", "library", "512 tasks", "rustis"),
        ("", "library", "512 tasks", "go-redis"),
        ("proxy, 50 clients", "proxy", "50 clients, P=1", "twemproxy"),
        ("", "proxy", "50 clients, P=1", "twemproxy, quiet"),
        ("", "proxy", "50 clients, P=1", "Envoy"),
        ("the same, shards on its processor", Layout::Beside.proxies(), "50 clients, P=1", "twemproxy"),
        ("the same, shards on others", Layout::Apart.proxies(), "50 clients, P=1", "twemproxy"),
        ("proxy, 50 clients, pipelines of 16", "proxy", "50 clients, P=16", "twemproxy"),
        ("", "proxy", "50 clients, P=16", "twemproxy, quiet"),
        ("", "proxy", "50 clients, P=16", "Envoy"),
        ("", "proxy", "50 clients, P=16", "redis-server"),
        ("proxy, MGET of 100 keys", "proxy, commands", "MGET of 100 keys, 50 clients", "twemproxy"),
        ("proxy, EVAL of a key", "proxy, commands", "EVAL of a key, 50 clients", "twemproxy"),
    ];
    for (what, group, name, peer) in rows {
        let Some(cell) = results.cell(group, name) else { continue };
        let own = if what.contains("AsyncCommands") { "rendis-boxed" } else { "rendis" };
        let cpu = match peer {
            "redis-server" => Figures::default(),
            _ => cell.ratio(own, peer, "CPU µs/op"),
        };
        let (rate, peer) = (
            cell.ratio(own, peer, "ops/s"),
            if peer == "redis-server" { "one redis-server, directly" } else { peer },
        );
        if !rate.is_empty() {
            table.row([what.to_owned(), peer.to_owned(), rate.text(), cpu.text()]);
        }
    }
    format!("{}; {}.\n\n{table}", results.machine, results.run)
}

const INTRODUCTION: &str = "\
Made by `scripts/bench.sh`, whole, and by nothing else: do not edit. Systems under test run on one machine in one run, and
take turns: in each round every system gets the same load for the same time, one after the other, after a first round that
does not count. In closed loops a library or proxy gets a new process for each turn, which runs for a tenth of the time
before it is measured: the kernel gives a process its company on the processors, and two equal ones can differ by a fifth
for as long as they live. Each figure is the median of the rounds, in brackets the least and the greatest. A ratio is taken within each
round, rendis through the peer, and is what counts: absolute figures move with the machine, which systems, shards and the
generator of the load share.

- **Libraries** run in a process each (`bench/src/drive`, `bench/go`), on a runtime with one thread unless said, over the same
  redis-server processes. `rendis` is `Ring` through its typed API (`rendis::Commands`, and the redis crate's pipelines and
  commands); `rendis-boxed` is the same through `redis::AsyncCommands`, whose futures are in boxes, as redis-rs is used here;
  `rendis-frames` is the engine below, given packed requests. redis-rs (multiplexed connections, and its connection manager), fred and rustis have one connection or client a
  shard, and keys are placed by hand, by a hash modulo the number of shards; `MGET` and `MSET` and pipelines are split by
  hand, side by side. go-redis is its `Ring`, which splits pipelines but not `MGET` and `MSET`, so that these are pipelines of
  single commands there. `raw` is the limit: a loop that writes prepared bytes into sockets and counts the bytes of replies.
  `raw` and `rendis-frames` go round through at most 4 096 requests that were made ready, so they touch fewer keys.
- **Proxies** have one thread, three redis-servers behind them unless said, and redis-benchmark before them (`SET`, then
  `GET`, for half of a round each; the latencies are the worse of the two). twemproxy runs as its package starts it, at a
  level that writes a line of log for each request (thrown away here); `twemproxy, quiet` has `-v 4` and writes none.
  `redis-server` is one of the shards' kind, asked directly.
  `floor` is a tokio server that answers each request with a fixed reply: what kernel and runtime cost.
- **Where proxies run**: without pipelines it decides more than the proxies do whether the kernel has the shards run on a
  proxy's processor, where they work off in one go what it wrote, or on another, where they are woken for each write. The
  same proxy is half as fast again in one as in the other, and the kernel changes from one to the other between rounds. So
  there are tables of either, with all processes bound to their processors, next to those in which the kernel decides.
- **Load**: `GET` and `SET` in turn of 64-byte values of 100 000 keys, drawn uniformly, all of which exist, unless said. A
  closed loop: each task or client begins an operation when its last has ended. P is the depth of pipelines.
- **Open loop**: operations begin by the clock, whatever became of the ones before, and their time counts from when they were
  due, so that a stall is charged to all that it delays (no coordinated omission).
- **Processor time** is what the operating system accounts to the process of the system under test, user and system; for a
  library the tasks that call it are in it, which are the same for all. Peak memory is the process's `VmHWM`. System calls are
  counted by perf or strace, and allocations by an allocator that counts, in runs of their own.
";

const TARGETS: &str = "\
What was set out to be reached, and what the median of this run says. Where the wanted figure lies within the spread, single
rounds say otherwise.
";
