//! A ring without async.

use std::panic::resume_unwind;
use std::thread;

use rendis_engine::settings::ShardSettings;

use super::driver::Driver;
use crate::builder::RingBuilder;
use crate::error::Error;
use crate::ring::RingStats;
use crate::shard::ShardStats;
use crate::typed::{Cmd, RedisResult, Value, aio};

/// Many Redis or Valkey servers behind one handle, for programs without async. See [`crate::Ring`] for what it does,
/// and [the module](crate::blocking) for how this one differs.
///
/// A plain pipeline is split by shard and an atomic one runs on one shard, as on [`crate::Ring`].
#[derive(Clone)]
pub struct Ring {
    // Goes before the driver that its tasks run on.
    inner: crate::ring::Ring,
    driver: Driver,
}

impl Ring {
    /// Describes a ring; [`RingBuilder::build_blocking`] makes it.
    #[must_use]
    pub fn builder() -> RingBuilder {
        RingBuilder::default()
    }

    /// How many shards are up.
    #[must_use]
    pub fn len(&self) -> usize {
        self.inner.len()
    }

    /// Whether no shard is up.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.inner.is_empty()
    }

    /// All shards, in the order in which they were given; [`Shard::is_up`] tells which are up.
    #[must_use]
    pub fn shards(&self) -> Vec<Shard> {
        self.inner.shards().into_iter().map(|shard| self.shard(shard)).collect()
    }

    /// The shard that holds `key` now.
    ///
    /// # Errors
    /// As [`crate::Ring::shard_for`].
    pub fn shard_for(&self, key: impl AsRef<[u8]>) -> Result<Shard, Error> {
        Ok(self.shard(self.inner.shard_for(key)?))
    }

    /// Runs `visit` on every shard that is up, side by side in threads of their own, and waits for all of them.
    ///
    /// # Errors
    /// The first error, in the order of the shards; the others have run too.
    ///
    /// # Panics
    /// When `visit` does.
    pub fn for_each_shard<F>(&self, visit: F) -> RedisResult<()>
    where
        F: Fn(Shard) -> RedisResult<()> + Sync,
    {
        let live = self.shards().into_iter().filter(Shard::is_up);
        let visit = &visit;
        thread::scope(|scope| {
            let visits: Vec<_> = live.map(|shard| scope.spawn(move || visit(shard))).collect();
            let outcomes: Vec<_> = visits.into_iter().map(thread::ScopedJoinHandle::join).collect();
            outcomes.into_iter().try_for_each(|outcome| outcome.unwrap_or_else(|panic| resume_unwind(panic)))
        })
    }

    /// Changes the shards while the ring runs.
    ///
    /// # Errors
    /// As [`crate::Ring::set_shards`].
    pub fn set_shards(&self, shards: impl IntoIterator<Item = ShardSettings>) -> Result<(), Error> {
        let _context = self.driver.enter();
        self.inner.set_shards(shards)
    }

    /// The connections of all shards.
    #[must_use]
    pub fn stats(&self) -> RingStats {
        self.inner.stats()
    }

    /// Refuses all further calls on all clones. Calls under way are served, then connections and tasks end.
    pub fn close(&self) {
        let _context = self.driver.enter();
        self.inner.close();
    }

    fn shard(&self, inner: crate::shard::Shard) -> Shard {
        Shard { inner, driver: self.driver.clone() }
    }
}

impl std::fmt::Debug for Ring {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.inner.fmt(out)
    }
}

// Its connections are made again by themselves.
connection_like!(Ring, |_| true);

impl RingBuilder {
    /// As [`RingBuilder::build`], for programs without async. It starts a runtime of its own.
    ///
    /// ```no_run
    /// let ring = rendis::Ring::builder()
    ///     .shard("shard1", "redis://localhost:7001")
    ///     .shard("shard2", "redis://localhost:7002")
    ///     .build_blocking()?;
    /// # Ok::<(), rendis::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`RingBuilder::build`].
    pub fn build_blocking(self) -> Result<Ring, Error> {
        let driver = Driver::start()?;
        let inner = driver.run(self.build())?;
        Ok(Ring { inner, driver })
    }
}

/// One shard of a [`Ring`]. Cheap to clone; commands sent to it go to this server whatever their keys are. See
/// [`crate::Shard`].
#[derive(Clone)]
pub struct Shard {
    inner: crate::shard::Shard,
    driver: Driver,
}

impl Shard {
    /// Its name in the ring.
    #[must_use]
    pub fn name(&self) -> &str {
        self.inner.name()
    }

    /// Where it listens, without credentials.
    #[must_use]
    pub fn address(&self) -> &str {
        self.inner.address()
    }

    /// Whether it was up when this handle was made.
    #[must_use]
    pub const fn is_up(&self) -> bool {
        self.inner.is_up()
    }

    /// Asks the server for a sign of life.
    ///
    /// # Errors
    /// What the connection met, or the server's error reply.
    pub fn ping(&self) -> RedisResult<()> {
        self.driver.run(self.inner.ping())
    }

    /// Its connections.
    #[must_use]
    pub fn stats(&self) -> ShardStats {
        self.inner.stats()
    }
}

impl std::fmt::Debug for Shard {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.inner.fmt(out)
    }
}

connection_like!(Shard, |_| true);
