//! What the operating system says: how busy the machine is, and about a process.

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

/// How many processes wanted to run during the last minute.
pub(crate) fn busy() -> String {
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    load.split(' ').next().unwrap_or_default().to_owned()
}
