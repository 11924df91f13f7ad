//! A pool without async.

use rendis_engine::exclusive::PoolStats;

use super::driver::Driver;
use crate::error::Error;
use crate::pool::PoolBuilder;
use crate::typed::{Cmd, FromRedisValue, RedisResult, Value, aio};

/// A fixed list of instances, each with a pool of connections, for programs without async. See [`crate::Pool`] for
/// placement, limits and which connections are kept, and [the module](crate::blocking) for how this one differs.
#[derive(Clone)]
pub struct Pool {
    inner: crate::pool::Pool,
    driver: Driver,
}

impl Pool {
    /// Describes a pool; [`PoolBuilder::build_blocking`] makes it. See [`crate::Pool::builder`] for what an address may
    /// be.
    #[must_use]
    pub fn builder<A: AsRef<str>>(addresses: impl IntoIterator<Item = A>) -> PoolBuilder {
        crate::pool::Pool::builder(addresses)
    }

    /// Which instance has `key`, counted from 0. The whole key is hashed.
    #[must_use]
    pub fn index(&self, key: impl AsRef<[u8]>) -> usize {
        self.inner.index(key)
    }

    /// How many instances there are.
    #[must_use]
    pub fn size(&self) -> usize {
        self.inner.size()
    }

    /// The address of the instance at `index`, without credentials.
    ///
    /// # Errors
    /// [`Kind::Config`](crate::Kind::Config) when there is no such instance.
    pub fn id(&self, index: usize) -> Result<&str, Error> {
        self.inner.id(index)
    }

    /// Runs `work` with a connection to the instance that has `key`.
    ///
    /// # Errors
    /// As [`crate::Pool::with_index`].
    ///
    /// # Panics
    /// When `work` does; its connection is closed.
    ///
    /// ```no_run
    /// use redis::Commands;
    ///
    /// let pool = rendis::blocking::Pool::builder(["10.0.0.1:6379", "10.0.0.2:6379"]).build_blocking()?;
    /// let () = pool.with("foo", |conn| conn.set("foo", "bar"))?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn with<T, F>(&self, key: impl AsRef<[u8]>, work: F) -> RedisResult<T>
    where
        F: FnOnce(&mut Connection) -> RedisResult<T>,
    {
        self.with_index(self.index(key), work)
    }

    /// Runs `work` with a connection to the instance at `index`.
    ///
    /// # Errors
    /// As [`crate::Pool::with_index`].
    ///
    /// # Panics
    /// When `work` does; its connection is closed.
    pub fn with_index<T, F>(&self, index: usize, work: F) -> RedisResult<T>
    where
        F: FnOnce(&mut Connection) -> RedisResult<T>,
    {
        let inner = self.driver.run(self.inner.connection(index))?;
        let mut connection = Connection { inner, driver: self.driver.clone() };
        let outcome = work(&mut connection);
        if outcome.is_ok() {
            connection.inner.give_back();
        }
        outcome
    }

    /// Closes idle connections and refuses all further calls on all clones. Connections in use are left alone; they are
    /// closed when they come back.
    pub fn close(&self) {
        self.inner.close();
    }

    /// The connections, one entry an instance, in the order of the addresses.
    #[must_use]
    pub fn stats(&self) -> Vec<PoolStats> {
        self.inner.stats()
    }
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.inner.fmt(out)
    }
}

impl PoolBuilder {
    /// As [`PoolBuilder::build`], for programs without async. It starts a runtime of its own, and connects to nothing.
    ///
    /// ```
    /// let pool = rendis::Pool::builder(["10.0.0.1:6379", "10.0.0.2:6379"]).build_blocking()?;
    /// assert_eq!(pool.size(), 2);
    /// # Ok::<(), rendis::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`PoolBuilder::build`].
    pub fn build_blocking(self) -> Result<Pool, Error> {
        Ok(Pool { inner: self.build()?, driver: Driver::start()? })
    }
}

/// A connection to one instance that its user has to himself. [`Pool::with`] lends it.
///
/// `redis::Commands`, pipelines, atomic pipelines and scripts work on it, and it can be driven by hand. See
/// [`crate::Connection`] for the rules.
pub struct Connection {
    inner: crate::pool::Connection,
    driver: Driver,
}

impl Connection {
    /// Where it leads, without credentials.
    #[must_use]
    pub fn address(&self) -> &str {
        self.inner.address()
    }

    /// How many replies are owed to commands that were sent.
    #[must_use]
    pub fn owed(&self) -> usize {
        self.inner.owed()
    }

    /// Appends a command to what [`Connection::flush`] writes.
    ///
    /// # Errors
    /// As [`crate::Connection::send`].
    pub fn send(&mut self, cmd: &Cmd) -> RedisResult<()> {
        self.driver.run(self.inner.send(cmd))
    }

    /// Writes all that was sent.
    ///
    /// # Errors
    /// As [`crate::Connection::flush`].
    pub fn flush(&mut self) -> RedisResult<()> {
        self.driver.run(self.inner.flush())
    }

    /// The reply to the oldest command that is owed one. Flushes first what was sent and not flushed.
    ///
    /// # Errors
    /// As [`crate::Connection::receive`].
    pub fn receive<T: FromRedisValue>(&mut self) -> RedisResult<T> {
        self.driver.run(self.inner.receive())
    }
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.inner.fmt(out)
    }
}

connection_like!(Connection, |connection| !connection.inner.is_broken());
