//! What the clients of one ring did on one thread.
//!
//! Each thread counts for itself and nobody else writes there, so counting is a load and a store, without a lock on the
//! memory; who wants to know adds the threads up.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

use rendis_core::command::Table;
use rendis_engine::error::Kind;
use rendis_engine::times::Times;

/// See the module. All of it is counted from the start, but for what is now.
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
    /// Clients whose connection was closed because a command got no answer.
    pub(crate) closed: Count,
    /// Clients that wait on a server for what others do.
    pub(crate) blocked: AtomicUsize,
    /// Error replies that servers gave.
    pub(crate) refusals: Count,
    /// Requests that ended with an error of this proxy, by its kind: those of the engine, then those of clients.
    errors: [Count; Kind::ALL.len() + ErrorKind::OF_CLIENTS.len()],
    /// From taking a batch of requests in until its last reply, for one batch in [`SAMPLE`].
    pub(crate) replies: Times,
    batches: Count,
}

/// What an error that a client got is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ErrorKind {
    /// What an engine reports too.
    Engine(Kind),
    /// The client has not logged in, or tried to in vain.
    NotLoggedIn,
    /// Its user may not do that.
    Denied,
    /// What it sent is no request.
    Malformed,
    /// Its transaction did not run, because of an error before.
    Aborted,
}

impl ErrorKind {
    /// Those that no engine reports.
    const OF_CLIENTS: [Self; 4] = [Self::NotLoggedIn, Self::Denied, Self::Malformed, Self::Aborted];

    /// What an error line made here is about, by its code, as servers count theirs (`INFO errorstats`).
    pub(crate) fn of_line(line: &[u8]) -> Self {
        let code = line.split(|byte| byte.is_ascii_whitespace()).next().unwrap_or_default();
        match code {
            b"NOAUTH" | b"WRONGPASS" => Self::NotLoggedIn,
            b"NOPERM" => Self::Denied,
            b"EXECABORT" => Self::Aborted,
            _ => {
                let known = Kind::ALL.iter().find(|kind| kind.code().as_bytes() == code);
                Self::Engine(known.copied().unwrap_or(Kind::Server))
            }
        }
    }

    fn all() -> impl Iterator<Item = Self> {
        Kind::ALL.iter().copied().map(Self::Engine).chain(Self::OF_CLIENTS)
    }

    /// Its place in [`ErrorKind::all`].
    fn index(self) -> usize {
        match self {
            Self::Engine(kind) => kind.index(),
            own => Self::all().position(|known| known == own).unwrap_or_default(),
        }
    }
}

impl From<Kind> for ErrorKind {
    fn from(kind: Kind) -> Self {
        Self::Engine(kind)
    }
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
    /// Counts a request by its command's place.
    fn add(&self, place: usize) {
        if let Some(count) = self.0.get(place) {
            count.add(1);
        }
    }

    /// The counts, in the order of the table; the last one is that of all others.
    pub(crate) fn read(&self) -> impl Iterator<Item = u64> + '_ {
        self.0.iter().map(Count::read)
    }
}

/// A client that waits on a server for what others do, until this is dropped.
pub(crate) struct Blocked<'s>(&'s Stats);

impl Drop for Blocked<'_> {
    fn drop(&mut self) {
        self.0.blocked.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Default for Commands {
    fn default() -> Self {
        Self((0..=Table::BUILT_IN).map(|_| Count::default()).collect())
    }
}

impl Stats {
    /// Counts a request that was taken in by its command's name, and gives the place of that.
    pub(crate) fn request(&self, name: &[u8]) -> usize {
        let place = Table::place(name).unwrap_or(Table::BUILT_IN);
        self.taken_in(&[place]);
        place
    }

    /// Counts requests that were taken in by their commands' places.
    pub(crate) fn taken_in(&self, places: &[usize]) {
        self.requests.add(places.len());
        places.iter().for_each(|place| self.commands.add(*place));
    }

    /// Counts an error of this proxy.
    pub(crate) fn error(&self, kind: impl Into<ErrorKind>) {
        let kind: ErrorKind = kind.into();
        if let Some(count) = self.errors.get(kind.index()) {
            count.add(1);
        }
    }

    /// Errors by kind.
    pub(crate) fn errors(&self) -> impl Iterator<Item = (ErrorKind, u64)> + '_ {
        ErrorKind::all().zip(&self.errors).map(|(kind, count)| (kind, count.read()))
    }

    /// A client begins to wait on a server for what others do.
    pub(crate) fn block(&self) -> Blocked<'_> {
        self.blocked.fetch_add(1, Ordering::Relaxed);
        Blocked(self)
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
    fn an_error_line_is_told_by_its_code() {
        for (line, kind) in [
            ("WRONGPASS invalid username-password pair or user is disabled.", ErrorKind::NotLoggedIn),
            ("NOAUTH Authentication required.", ErrorKind::NotLoggedIn),
            ("NOPERM this user has no permissions", ErrorKind::Denied),
            ("EXECABORT Transaction discarded", ErrorKind::Aborted),
            ("SHARDDOWN no shard is up", Kind::ShardDown.into()),
            ("SHARDAUTH shard2 WRONGPASS; not executed", Kind::Auth.into()),
            ("ERR syntax error", Kind::Server.into()),
            ("NOPROTO unsupported protocol version", Kind::Server.into()),
            ("", Kind::Server.into()),
        ] {
            assert_eq!(ErrorKind::of_line(line.as_bytes()), kind, "{line}");
        }
    }

    #[test]
    fn errors_are_counted_by_kind_and_one_batch_in_sixteen_is_timed() {
        let stats = Stats::default();
        stats.error(Kind::Busy);
        stats.error(Kind::Busy);
        stats.error(ErrorKind::Aborted);
        let met: Vec<_> = stats.errors().filter(|(_, count)| *count > 0).collect();
        assert_eq!(met, [(ErrorKind::Engine(Kind::Busy), 2), (ErrorKind::Aborted, 1)]);
        for _ in 0..32 {
            stats.end(stats.begin());
        }
        assert_eq!(stats.replies.read().count(), 2);
    }
}
