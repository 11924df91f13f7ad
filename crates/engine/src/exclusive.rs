//! Exclusive connections of one server, pooled.
//!
//! deadpool keeps the count, the order of waiting and the idle connections; this room decides what goes back: only a
//! connection whose user said so, and that is clean. A lease that is dropped otherwise, also by a future that is
//! dropped half-way, closes its connection.

use std::iter::Sum;
use std::ops::{AddAssign, Deref, DerefMut};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use deadpool::Runtime;
use deadpool::managed::{self, Metrics, Object, PoolError, RecycleError, RecycleResult, Timeouts, WeakPool};
use rendis_core::session::{Failed, Sent};
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

use crate::connection::Connection;
use crate::dial::Dialer;
use crate::error::{Cause, Error, Failure, Kind};
use crate::runtime::{self, unless_ended};

/// How often connections were asked for, and what there is now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PoolStats {
    /// Requests that an idle connection served.
    pub hits: u64,
    /// Requests that dialled a new connection.
    pub misses: u64,
    /// Requests that had to wait because all connections were in use.
    pub waits: u64,
    /// Requests that waited for the whole deadline in vain.
    pub timeouts: u64,
    /// Connections that wait for use.
    pub idle: usize,
    /// Connections in all, those being dialled counted.
    pub total: usize,
}

impl AddAssign for PoolStats {
    fn add_assign(&mut self, other: Self) {
        self.hits += other.hits;
        self.misses += other.misses;
        self.waits += other.waits;
        self.timeouts += other.timeouts;
        self.idle += other.idle;
        self.total += other.total;
    }
}

impl Sum for PoolStats {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), |mut sum, one| {
            sum += one;
            sum
        })
    }
}

/// The exclusive connections of one server. Cheap to clone.
#[derive(Clone)]
pub struct Exclusive {
    pool: managed::Pool<Manager>,
    limit: usize,
    wait: Duration,
    /// Where its connections and timers belong; without one, to the runtime of who asks.
    runtime: Option<Handle>,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    hits: AtomicU64,
    misses: AtomicU64,
    waits: AtomicU64,
    timeouts: AtomicU64,
    /// Connections that are being made now.
    dialling: AtomicUsize,
    /// Somebody looks for those that nobody used for long.
    tended: AtomicBool,
    closed: Notify,
}

impl Exclusive {
    /// At most `limit` connections, at least one; a request waits at most `wait` for its turn, in the order of asking.
    /// Dialling counts against the limit. On a `runtime` of its own, it can be asked from any other, and closes connections
    /// that nobody used for a minute; without one, connections belong to the runtime of who asks first, and stay.
    ///
    /// # Errors
    /// [`Kind::Config`] when the pool cannot be made.
    pub fn new(
        dialer: Arc<Dialer>,
        limit: usize,
        wait: Duration,
        runtime: Option<Handle>,
    ) -> Result<Self, Error> {
        let limit = limit.max(1);
        let counts = Arc::new(Counts::default());
        let pool = managed::Pool::builder(Manager { dialer, counts: Arc::clone(&counts) })
            .max_size(limit)
            .runtime(Runtime::Tokio1)
            .build()
            .map_err(|error| Error::local(Kind::Config, error.to_string()))?;
        Ok(Self { pool, limit, wait, runtime, counts })
    }

    /// Closes the connections that nobody uses.
    pub(crate) fn close_idle(&self) {
        self.pool.retain(|_, _| false);
    }

    /// A connection of one's own. Cancel safe: a dropped future loses its place in the queue and nothing else.
    ///
    /// # Errors
    /// [`Kind::Timeout`] when none became free in time, [`Kind::Refused`] after [`Exclusive::close`] or the end of the
    /// ring's runtime, [`Kind::Config`] outside of a tokio runtime, or what dialling met. Nothing was sent in any case.
    pub async fn lease(&self) -> Result<Lease, Failure> {
        must_be_on_a_runtime()?;
        let Some(runtime) = &self.runtime else { return self.take().await };
        let taken = unless_ended(runtime, self.take()).await;
        let lease = taken.unwrap_or_else(|| Err(Failed { sent: Sent::No, cause: runtime::ended() }))?;
        if !self.counts.tended.swap(true, Ordering::AcqRel) {
            runtime.spawn(tend(self.pool.weak(), Arc::clone(&self.counts), IDLE_AT_MOST));
        }
        Ok(lease)
    }

    async fn take(&self) -> Result<Lease, Failure> {
        let within = |wait| Timeouts { wait: Some(wait), create: None, recycle: None };
        // A permit that is free belongs to nobody in the queue, so this first attempt overtakes none.
        let mut got = self.pool.timeout_get(&within(Duration::ZERO)).await;
        if matches!(got, Err(PoolError::Timeout(_))) {
            self.counts.waits.fetch_add(1, Ordering::Relaxed);
            got = self.pool.timeout_get(&within(self.wait)).await;
        }
        let cause = match got {
            Ok(object) => {
                let counter = if Object::metrics(&object).recycle_count == 0 {
                    &self.counts.misses
                } else {
                    &self.counts.hits
                };
                counter.fetch_add(1, Ordering::Relaxed);
                return Ok(Lease { object: Some(object) });
            }
            Err(PoolError::Timeout(_)) => {
                self.counts.timeouts.fetch_add(1, Ordering::Relaxed);
                let text = format!(
                    "no free connection in {:?}: all {} are in use or being made",
                    self.wait, self.limit
                );
                Cause::new(Kind::Timeout, text)
            }
            Err(PoolError::Backend(cause)) => cause.0,
            Err(PoolError::Closed) => Cause::new(Kind::Refused, "the pool is closed"),
            Err(error) => Cause::new(Kind::Refused, error.to_string()),
        };
        Err(Failed { sent: Sent::No, cause })
    }

    /// Closes idle connections and refuses new requests. Connections in use are left alone and closed when they come
    /// back.
    pub fn close(&self) {
        self.pool.close();
        self.counts.closed.notify_one();
        // What came back while it closed.
        self.pool.retain(|_, _| false);
    }

    /// Counters since the start, and what there is now.
    #[must_use]
    pub fn stats(&self) -> PoolStats {
        let status = self.pool.status();
        let dialling = self.counts.dialling.load(Ordering::Relaxed);
        PoolStats {
            hits: self.counts.hits.load(Ordering::Relaxed),
            misses: self.counts.misses.load(Ordering::Relaxed),
            waits: self.counts.waits.load(Ordering::Relaxed),
            timeouts: self.counts.timeouts.load(Ordering::Relaxed),
            // deadpool takes those who dial for users of what there is.
            idle: (status.available + dialling).saturating_sub(status.waiting),
            total: status.size + dialling,
        }
    }
}

/// Closes connections that nobody used for long, as long as there are any.
async fn tend(pool: WeakPool<Manager>, counts: Arc<Counts>, idle_at_most: Duration) {
    loop {
        if timeout(idle_at_most / 2, counts.closed.notified()).await.is_ok() {
            return;
        }
        let Some(pool) = pool.upgrade() else { return };
        pool.retain(|connection, _| connection.idle_since.elapsed() < idle_at_most);
        if pool.status().size == 0 {
            // Who leases one from here on has it tended again.
            counts.tended.store(false, Ordering::Release);
            if pool.status().size == 0 || counts.tended.swap(true, Ordering::AcqRel) {
                return;
            }
        }
    }
}

/// How long a connection waits for its next user.
const IDLE_AT_MOST: Duration = Duration::from_secs(60);

/// A connection in use. Dropping it closes the connection; [`Lease::give_back`] keeps it for the next user.
pub struct Lease {
    object: Option<Object<Manager>>,
}

impl Lease {
    /// Gives the connection back, if it is clean; else it is closed.
    pub fn give_back(mut self) {
        if let Some(mut object) = self.object.take() {
            if object.is_clean() {
                object.idle_since = Instant::now();
                drop(object);
            } else {
                drop(Object::take(object));
            }
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(object) = self.object.take() {
            let connection = Object::take(object);
            if connection.owed() > 0 {
                connection.discard_at_close();
            }
        }
    }
}

impl Deref for Lease {
    type Target = Connection;

    #[expect(
        clippy::expect_used,
        reason = "the object is there until give_back or drop, which both consume the lease"
    )]
    fn deref(&self) -> &Connection {
        self.object.as_ref().expect("a lease holds its connection until it is dropped")
    }
}

impl DerefMut for Lease {
    #[expect(
        clippy::expect_used,
        reason = "the object is there until give_back or drop, which both consume the lease"
    )]
    fn deref_mut(&mut self) -> &mut Connection {
        self.object.as_mut().expect("a lease holds its connection until it is dropped")
    }
}

struct Manager {
    dialer: Arc<Dialer>,
    counts: Arc<Counts>,
}

/// A connection that is being made is counted, also when its maker is dropped half-way.
struct Dialling<'a>(&'a AtomicUsize);

impl<'a> Dialling<'a> {
    fn start(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Dialling<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Deadlines of a connection of one's own are kept by the runtime of who uses it.
///
/// # Errors
/// [`Kind::Config`] outside of a tokio runtime.
pub(crate) fn must_be_on_a_runtime() -> Result<(), Failure> {
    if Handle::try_current().is_ok() {
        return Ok(());
    }
    let cause = Cause::new(Kind::Config, "a connection of one's own needs a tokio runtime");
    Err(Failed { sent: Sent::No, cause })
}

/// A cause as deadpool wants its errors.
#[derive(Debug)]
struct DialError(Arc<Cause>);

impl std::fmt::Display for DialError {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(&self.0.text)
    }
}

impl std::error::Error for DialError {}

impl managed::Manager for Manager {
    type Type = Connection;
    type Error = DialError;

    async fn create(&self) -> Result<Connection, DialError> {
        let _dialling = Dialling::start(&self.counts.dialling);
        self.dialer.dial().await.map_err(DialError)
    }

    async fn recycle(&self, connection: &mut Connection, _: &Metrics) -> RecycleResult<DialError> {
        if connection.is_usable() {
            Ok(())
        } else {
            Err(RecycleError::message("the connection was closed or is out of step"))
        }
    }
}

#[cfg(test)]
mod tests {
    use rendis_testkit::{RedisServer, eventually};

    use super::*;
    use crate::settings::{Deadlines, ShardSettings};
    use crate::tls::SystemRoots;

    #[tokio::test]
    async fn connections_that_nobody_used_for_long_are_closed_and_others_stay() {
        let server = RedisServer::start();
        let settings = ShardSettings::new("only", &server.url()).unwrap();
        let dialer = Dialer::new(settings, Deadlines::default(), &SystemRoots::default()).unwrap();
        let wait = Duration::from_secs(5);
        let pool = Exclusive::new(Arc::new(dialer), 10, wait, Some(Handle::current())).unwrap();
        let used = pool.lease().await.unwrap();
        for lease in [pool.lease().await.unwrap(), pool.lease().await.unwrap()] {
            lease.give_back();
        }
        assert_eq!(pool.stats().total, 3);
        assert!(pool.counts.tended.load(Ordering::Relaxed));
        let idle_at_most = Duration::from_millis(40);
        let tending = tokio::spawn(tend(pool.pool.weak(), Arc::clone(&pool.counts), idle_at_most));
        eventually("those that lay idle are closed", || pool.stats().total == 1).await;
        let given_back = Instant::now();
        used.give_back();
        // None is left to tend.
        tending.await.unwrap();
        assert!(given_back.elapsed() >= idle_at_most, "{:?}", given_back.elapsed());
        assert_eq!(pool.stats().total, 0);
        assert!(!pool.counts.tended.load(Ordering::Relaxed));
    }
}
