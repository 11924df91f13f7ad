//! What an operation costs besides time: allocations and system calls. Counted in runs of their own, because counting
//! takes time.

use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::groups::{Scope, Stage, library, proxy};
use crate::load::{Load, Operation};
use crate::machine;
use crate::process::Process;
use crate::system::{Kind, peers, redis_benchmark};

pub(super) fn run(stage: &mut Stage) -> Result<(), String> {
    allocations(stage)?;
    library_calls(stage)?;
    proxy_calls(stage)
}

fn allocations(stage: &mut Stage) -> Result<(), String> {
    const GROUP: &str = "library, allocations";
    let spots =
        [("GET, 64 tasks", Operation::Get, Scope::Smoke), ("SET, 64 tasks", Operation::Set, Scope::Full)];
    let spots: Vec<_> =
        spots.into_iter().filter(|(name, _, least)| stage.wants(GROUP, name, *least)).collect();
    if spots.is_empty() {
        return Ok(());
    }
    let cluster = stage.shards(3);
    let mut drivers = Vec::new();
    for system in peers(stage.go()).into_iter().filter(|system| *system != "raw") {
        drivers.push(stage.driver(system, 1, &cluster.urls(), true)?);
    }
    library::fill(&cluster, &mut drivers, &Load::mixed(1))?;
    let names: Vec<String> = drivers.iter().map(|driver| driver.system().to_owned()).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    for (name, operation, _) in spots {
        stage.rounds(GROUP, name, &names, |at, seconds| {
            let outcome = drivers[at].run(&Load { seconds, ..Load::mixed(64).of(operation, 1) })?;
            let count = outcome.allocations.ok_or("not counted")?;
            Ok(vec![("allocations/op", count as f64 / outcome.operations.max(1) as f64)])
        });
    }
    Ok(())
}

fn library_calls(stage: &mut Stage) -> Result<(), String> {
    const GROUP: &str = "library, system calls";
    let spots = [("1 task", 1, Scope::Full), ("64 tasks", 64, Scope::Quick), ("512 tasks", 512, Scope::Full)];
    let spots: Vec<_> =
        spots.into_iter().filter(|(name, _, least)| stage.wants(GROUP, name, *least)).collect();
    if spots.is_empty() || !can_count(stage) {
        return Ok(());
    }
    let cluster = stage.shards(3);
    let mut drivers = Vec::new();
    for system in peers(stage.go()) {
        drivers.push(stage.driver(system, 1, &cluster.urls(), false)?);
    }
    library::fill(&cluster, &mut drivers, &Load::mixed(1))?;
    let names: Vec<String> = drivers.iter().map(|driver| driver.system().to_owned()).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    for (name, tasks, _) in spots {
        stage.rounds(GROUP, name, &names, |at, seconds| {
            let driver = &mut drivers[at];
            let (calls, outcome) =
                counted(driver.id(), || driver.run(&Load { seconds, ..Load::mixed(tasks) }))?;
            Ok(vec![("calls/op", calls / outcome.operations.max(1) as f64)])
        });
    }
    Ok(())
}

fn proxy_calls(stage: &mut Stage) -> Result<(), String> {
    const GROUP: &str = "proxy, system calls";
    let spots = [("50 clients, P=1", 1, Scope::Quick), ("50 clients, P=16", 16, Scope::Full)];
    let spots: Vec<_> =
        spots.into_iter().filter(|(name, _, least)| stage.wants(GROUP, name, *least)).collect();
    if spots.is_empty() || !can_count(stage) || !machine::has("redis-benchmark") {
        return Ok(());
    }
    let cluster = stage.shards(3);
    let kinds = [Kind::Rendis(1), Kind::Twemproxy, Kind::Envoy, Kind::Direct, Kind::Floor(64)];
    let servers = stage.servers(&kinds, &cluster);
    let names: Vec<&str> = servers.iter().map(|server| server.kind().name()).collect();
    proxy::fill(&cluster, &servers, &Load::mixed(50))?;
    for (name, depth, _) in spots {
        stage.rounds(GROUP, name, &names, |at, seconds| {
            let requests = (100_000.0 * seconds * depth as f64) as u64;
            let load = Load::mixed(50).of(Operation::Pipeline, depth);
            let (calls, _) = counted(servers[at].id(), || {
                redis_benchmark(&servers[at], &load, requests, &["-t".to_owned(), "get".to_owned()])
            })?;
            Ok(vec![("calls/op", calls / requests as f64)])
        });
    }
    Ok(())
}

/// What counts: perf where the kernel lets it, which hardly slows a process; else strace, which does.
fn counter() -> Option<&'static str> {
    let allowed = |program: &str, arguments: &[&str]| {
        let arguments: Vec<String> = arguments.iter().map(|word| (*word).to_owned()).collect();
        machine::has(program) && crate::process::output(program, &arguments, Duration::from_secs(10)).is_ok()
    };
    if allowed("perf", &["stat", "-e", "raw_syscalls:sys_enter", "true"]) {
        return Some("perf");
    }
    allowed("strace", &["-c", "-f", "true"]).then_some("strace")
}

fn can_count(stage: &mut Stage) -> bool {
    let counter = counter();
    if counter.is_none() {
        stage.note("neither perf nor strace may be used: no figures of system calls".to_owned());
    }
    counter.is_some()
}

/// Runs something, and says how many system calls a process made meanwhile.
fn counted<T>(process: u32, run: impl FnOnce() -> Result<T, String>) -> Result<(f64, T), String> {
    let counter = counter().ok_or("nothing counts")?;
    let file = tempfile::NamedTempFile::new().map_err(|error| error.to_string())?;
    let (path, id) = (file.path().display().to_string(), process.to_string());
    let arguments: Vec<&str> = match counter {
        "perf" => vec!["stat", "-x", ",", "-e", "raw_syscalls:sys_enter", "-o", &path, "-p", &id],
        _ => vec!["-c", "-f", "-o", &path, "-p", &id],
    };
    let arguments: Vec<String> = arguments.into_iter().map(str::to_owned).collect();
    let mut counting = Process::start(counter, &arguments, None)?;
    std::thread::sleep(Duration::from_millis(150));
    let done = run()?;
    let pid = i32::try_from(counting.id()).ok().and_then(Pid::from_raw).ok_or("no process")?;
    kill_process(pid, Signal::INT).map_err(|error| error.to_string())?;
    for _ in 0..500 {
        if counting.ended() {
            break;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let text = std::fs::read_to_string(file.path()).map_err(|error| error.to_string())?;
    Ok((total(counter, &text).ok_or_else(|| format!("{counter} said: {text}"))?, done))
}

/// The sum, as `perf stat -x,` or `strace -c` writes it.
fn total(counter: &str, text: &str) -> Option<f64> {
    if counter == "perf" {
        return text.lines().find(|line| line.contains("sys_enter"))?.split(',').next()?.parse().ok();
    }
    let line = text.lines().rfind(|line| line.trim_end().ends_with("total"))?;
    line.split_whitespace().nth(3)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_read_as_they_are_written() {
        assert_eq!(total("perf", "# started\n\n4711,,raw_syscalls:sys_enter,1,100.00,,\n"), Some(4711.0));
        let table = "% time seconds usecs/call calls errors syscall\n100.00 0.000371 2 118 15 total\n";
        assert_eq!(total("strace", table), Some(118.0));
    }
}
