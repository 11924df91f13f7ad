//! What the operating system says: about the machine, and about a process.

use std::fs;

/// The memory that a process uses, in KiB, and its sockets.
pub(crate) fn of_process(process: u32) -> (u64, usize) {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    let memory = line.split_whitespace().next().and_then(|number| number.parse().ok()).unwrap_or(0);
    let files = fs::read_dir(format!("/proc/{process}/fd")).into_iter().flatten().flatten();
    let is_socket =
        |target: std::path::PathBuf| target.to_str().is_some_and(|target| target.starts_with("socket:"));
    let sockets = files.filter(|file| fs::read_link(file.path()).is_ok_and(is_socket)).count();
    (memory, sockets)
}

/// What machine this is, and how busy, in one line.
pub(crate) fn description() -> String {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("unknown processor");
    let model = model.trim_start_matches([' ', '\t', ':']);
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kib = memory.split_whitespace().nth(1).and_then(|number| number.parse::<u64>().ok()).unwrap_or(0);
    format!("{cores} cores of {model}, {} GiB, Linux {}", kib >> 20, kernel.trim())
}

/// How many processes wanted to run during the last minute.
pub(crate) fn busy() -> String {
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    load.split(' ').next().unwrap_or_default().to_owned()
}
