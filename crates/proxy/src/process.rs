//! What the system says of this process, read from `/proc`: nothing where there is none.

use std::fs;

/// What a process holds in memory, in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Memory {
    pub(crate) now: u64,
    /// The most that it was.
    pub(crate) peak: u64,
}

/// The memory of this process: all of it, since nothing else can be told apart cheaply.
pub(crate) fn memory() -> Option<Memory> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let bytes = |name: &str| -> Option<u64> {
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? << 10)
    };
    Some(Memory { now: bytes("VmRSS")?, peak: bytes("VmHWM")? })
}

/// How many files this process has open: sockets, and all else that the system counts as such.
pub(crate) fn open_files() -> Option<usize> {
    // One of them is the directory itself, open while it is read.
    Some(fs::read_dir("/proc/self/fd").ok()?.count().saturating_sub(1))
}
