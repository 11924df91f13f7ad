//! What the operating system says: about the machine, and about what a process used.

use std::fs;
use std::path::Path;
use std::process::Command;

/// Time that a process has spent on the processor so far, in seconds, user and system together. `None` where the
/// process is gone. Of its threads that live, in nanoseconds, where the kernel keeps them; else in ticks of 1/100 s.
#[must_use]
pub fn cpu_seconds(process: u32) -> Option<f64> {
    let tasks = fs::read_dir(format!("/proc/{process}/task")).ok()?;
    let of_task = |task: fs::DirEntry| {
        let text = fs::read_to_string(task.path().join("schedstat")).ok()?;
        text.split_whitespace().next()?.parse::<f64>().ok()
    };
    let spent: f64 = tasks.flatten().filter_map(of_task).sum();
    if spent > 0.0 { Some(spent / 1e9) } else { cpu_ticks(process).map(|ticks| ticks / 100.0) }
}

fn cpu_ticks(process: u32) -> Option<f64> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let fields: Vec<&str> = stat.rsplit(')').next()?.split_whitespace().collect();
    Some(fields.get(11)?.parse::<f64>().ok()? + fields.get(12)?.parse::<f64>().ok()?)
}

/// Memory of a process in KiB: `VmRSS` now, or `VmHWM` at its peak.
#[must_use]
pub fn memory_kib(process: u32, which: &str) -> Option<f64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line =
        status.lines().find(|line| line.strip_prefix(which).is_some_and(|rest| rest.starts_with(':')))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// Makes `VmHWM` of a process begin again from what it uses now.
pub fn forget_peak(process: u32) {
    let _ = fs::write(format!("/proc/{process}/clear_refs"), "5");
}

/// The first line, of those that are not empty, that a program prints, on either output; `None` where there is no such program.
#[must_use]
pub fn first_line(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    Some(text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default().to_owned())
}

/// How many processes wanted a processor in the last minute, as the kernel averages it.
#[must_use]
pub fn busy() -> f64 {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().next().and_then(|number| number.parse().ok()).unwrap_or(0.0)
}

/// The versions of what is compared: programs by what they say, crates and Go modules as they are locked.
#[must_use]
pub fn versions(programs: &Path, envoy: Option<&Path>) -> Vec<String> {
    let mut versions = Vec::new();
    // The report is made by the revision that it is about.
    versions.extend(first_line("git", &["log", "-1", "--format=rendis, revision %h of %as"]));
    let mut ask = |program: &str, argument: &str| versions.extend(first_line(program, &[argument]));
    ask("redis-server", "--version");
    ask("nutcracker", "-V");
    ask(&programs.join("rendis").display().to_string(), "--version");
    if let Some(envoy) = envoy {
        // It says first where it lies.
        let said = first_line(&envoy.display().to_string(), &["--version"]);
        let version = said.as_deref().and_then(|line| line.split("version: ").nth(1));
        versions.extend(version.map(|version| format!("Envoy {version}")));
    }
    let crates = locked(include_str!("../Cargo.lock"), &["redis", "fred", "rustis", "tokio"]);
    versions.push(format!("crates: {}", crates.join(", ")));
    if programs.join("go-redis-driver").exists() {
        let module = include_str!("../go/go.mod").lines().find_map(|line| line.strip_prefix("require "));
        versions.push(format!(
            "{}, {}",
            module.unwrap_or_default(),
            first_line("go", &["version"]).unwrap_or_default()
        ));
    }
    versions.extend(first_line("rustc", &["--version"]));
    versions.into_iter().filter(|version| !version.is_empty()).collect()
}

/// The versions of crates in a lock file.
fn locked(lock: &str, names: &[&str]) -> Vec<String> {
    let lines: Vec<&str> = lock.lines().collect();
    let is_one = |line: &str| names.iter().find(|name| line == format!("name = \"{name}\""));
    lines
        .windows(2)
        .filter_map(|pair| {
            Some(format!("{} {}", is_one(pair[0])?, pair[1].strip_prefix("version = ")?.replace('"', "")))
        })
        .collect()
}

/// Whether a program of this name is in `PATH`.
#[must_use]
pub fn has(program: &str) -> bool {
    std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|directory| directory.join(program).is_file()))
}
