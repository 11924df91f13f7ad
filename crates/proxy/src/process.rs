//! What the system says of this process, read from `/proc`: nothing where there is none.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

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

/// The time for which processors have worked.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Worked {
    /// In programs.
    pub(crate) user: Duration,
    /// In the system, for them.
    pub(crate) system: Duration,
}

impl Worked {
    pub(crate) fn total(self) -> Duration {
        self.user + self.system
    }
}

/// What processors have worked for this process.
pub(crate) fn worked() -> Option<Worked> {
    read_worked(Path::new("/proc/self/stat"))
}

/// The same for each thread that serves clients, by its number.
pub(crate) fn threads_worked() -> BTreeMap<usize, Duration> {
    let mut worked = BTreeMap::new();
    for thread in fs::read_dir("/proc/self/task").into_iter().flatten().flatten() {
        let path = thread.path();
        let name = fs::read_to_string(path.join("comm")).unwrap_or_default();
        let number = name.trim().strip_prefix(THREAD).and_then(|number| number.parse().ok());
        if let (Some(number), Some(time)) = (number, read_worked(&path.join("stat"))) {
            *worked.entry(number).or_default() += time.total();
        }
    }
    worked
}

/// The name of a thread that serves clients.
pub(crate) fn thread_name(number: usize) -> String {
    format!("{THREAD}{number}")
}

const THREAD: &str = "rendis-";

fn read_worked(stat: &Path) -> Option<Worked> {
    let stat = fs::read_to_string(stat).ok()?;
    // The second field is the name, in parentheses, which may hold anything; these are the 14th and the 15th.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut times = fields.split_whitespace().skip(11).map(|ticks| ticks.parse::<u64>().ok().map(ticks_long));
    Some(Worked { user: times.next()??, system: times.next()?? })
}

fn ticks_long(ticks: u64) -> Duration {
    let a_second = rustix::param::clock_ticks_per_second().max(1);
    Duration::from_nanos(ticks.saturating_mul(1_000_000_000 / a_second))
}
