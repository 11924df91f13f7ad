//! What the clients of one ring did on one thread.
//!
//! Each thread counts for itself and nobody else writes there, so counting is a load and a store, without a lock on the
//! memory; who wants to know adds the threads up.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use rendis_core::command::Table;
use rendis_engine::error::Kind;
use rendis_engine::times::Times;

/// See the module. All of it is counted from the start.
#[derive(Debug, Default)]
pub(crate) struct Stats {
    /// Requests taken in.
    pub(crate) requests: Count,
    /// The same by their commands.
    pub(crate) commands: Commands,
    /// Bytes from clients, and to them.
    pub(crate) received: Count,
    pub(crate) sent: Count,
    /// TLS handshakes of clients that failed.
    pub(crate) handshakes_failed: Count,
    /// Clients that were dropped because they did not take what was for them, or made the ring hold too much.
    pub(crate) dropped: Count,
    /// Error replies that servers gave.
    pub(crate) refusals: Count,
    /// Requests that ended with an error of this proxy, by its kind.
    errors: [Count; Kind::ALL.len()],
    /// From taking a batch of requests in until its last reply, for one batch in [`SAMPLE`].
    pub(crate) replies: Times,
    batches: Count,
}

/// A number that one thread adds to and all read.
#[derive(Debug, Default)]
pub(crate) struct Count(AtomicU64);

impl Count {
    /// Adds; only ever on one thread.
    pub(crate) fn add(&self, more: usize) {
        let more = u64::try_from(more).unwrap_or(u64::MAX);
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(more), Ordering::Relaxed);
    }

    pub(crate) fn read(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// How often each command was asked for: those of the table, and all others together.
#[derive(Debug)]
pub(crate) struct Commands(Box<[Count]>);

impl Commands {
    /// Counts a request by its command's name.
    pub(crate) fn add(&self, name: &[u8]) {
        if let Some(count) = self.0.get(Table::place(name).unwrap_or(Table::BUILT_IN)) {
            count.add(1);
        }
    }

    /// The counts, in the order of the table; the last one is that of all others.
    pub(crate) fn read(&self) -> impl Iterator<Item = u64> + '_ {
        self.0.iter().map(Count::read)
    }
}

impl Default for Commands {
    fn default() -> Self {
        Self((0..=Table::BUILT_IN).map(|_| Count::default()).collect())
    }
}

impl Stats {
    /// Counts a request that was taken in.
    pub(crate) fn request(&self, name: &[u8]) {
        self.requests.add(1);
        self.commands.add(name);
    }

    /// Counts an error of this proxy.
    pub(crate) fn error(&self, kind: Kind) {
        if let Some(count) = self.errors.get(kind.index()) {
            count.add(1);
        }
    }

    /// Errors by kind.
    pub(crate) fn errors(&self) -> impl Iterator<Item = (Kind, u64)> + '_ {
        Kind::ALL.iter().zip(&self.errors).map(|(kind, count)| (*kind, count.read()))
    }

    /// Begins a batch of requests. Gives the time where the batch is one of those that are timed.
    pub(crate) fn begin(&self) -> Option<Instant> {
        self.batches.add(1);
        (self.batches.read() % SAMPLE == 1).then(Instant::now)
    }

    /// Ends a batch that [`Stats::begin`] began.
    pub(crate) fn end(&self, begun: Option<Instant>) {
        if let Some(begun) = begun {
            self.replies.add(begun.elapsed());
        }
    }
}

/// One batch in so many is timed, so that the clock is seldom read.
pub(crate) const SAMPLE: u64 = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_counted_by_command() {
        let stats = Stats::default();
        for name in [&b"GET"[..], b"get", b"Set", b"json.get", b""] {
            stats.request(name);
        }
        let table = Table::default();
        let names = table.rows().map(|row| row.name()).chain(["others"]);
        let counts: Vec<_> = names.zip(stats.commands.read()).filter(|(_, count)| *count > 0).collect();
        assert_eq!(counts, [("get", 2), ("set", 1), ("others", 2)]);
        assert_eq!(stats.requests.read(), 5);
    }

    #[test]
    fn errors_are_counted_by_kind_and_one_batch_in_sixteen_is_timed() {
        let stats = Stats::default();
        stats.error(Kind::Busy);
        stats.error(Kind::Busy);
        let busy: Vec<_> = stats.errors().filter(|(_, count)| *count > 0).collect();
        assert_eq!(busy, [(Kind::Busy, 2)]);
        for _ in 0..32 {
            stats.end(stats.begin());
        }
        assert_eq!(stats.replies.read().count(), 2);
    }
}
