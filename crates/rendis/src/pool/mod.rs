//! [`Pool`]: a fixed list of instances, and connections that their users have to themselves.
//!
//! The rooms: `session` knows what the user of a connection has done to it, `connection` is what he holds, `builder`
//! checks the settings. Counting, waiting in order and keeping idle connections is the engine's.

mod session;
mod connection;
mod builder;

use std::sync::Arc;
use std::time::Duration;

use rendis_core::placement::Placement;
use rendis_engine::error::{self as engine, Endpoint};
use rendis_engine::exclusive::{Exclusive, PoolStats};

use crate::error::{Error, Kind};
use crate::typed::RedisResult;

pub use self::builder::PoolBuilder;
pub use self::connection::Connection;

/// A fixed list of Redis or Valkey instances, each with a pool of connections.
///
/// A key belongs to the instance at `hash(key) % n`, the place in the list counted from 0: the placement of
/// soundcloud/roshi, whose programs find every key where this one put it. So the number and the order of the addresses
/// decide where keys are; the addresses themselves do not count, and may change when a server moves. There are no hash
/// tags, and an instance that is down is not replaced: calls for its keys fail.
///
/// A call gets a connection to itself, which makes transactions, blocking commands and explicit pipelining possible.
///
/// A `Pool` is a handle: cloning it costs one reference count, and clones share all connections. Connections belong to
/// the tokio runtime on which they were made; use one pool on one runtime.
///
/// # Which connections are kept
/// One whose closure returned `Ok`, if the next user finds it as a new one: no reply owed, no transaction open, no key
/// watched, nothing set that stays (`SELECT`, `AUTH`, `CLIENT TRACKING` …). Every other is closed: after an error,
/// which may be the server's own; after a panic; when the future is dropped. To keep a connection after an error that
/// does not concern it, return the result inside: `Ok(conn.incr("key", 1).await)`.
///
/// # Cancel safety
/// Dropping the future of a call gives up its place in the queue, its dialling or its connection, whichever it has.
/// The server may still run what was sent.
///
/// # Errors
/// What the closure returns, or an error of this crate in a [`redis::RedisError`], where [`Error::of`] finds it.
///
/// ```no_run
/// use redis::AsyncCommands;
/// use rendis::Pool;
///
/// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let pool = Pool::builder(["10.0.0.1:6379", "10.0.0.2:6379"]).max_connections_per_instance(8).build()?;
/// pool.with("foo", async |conn| conn.set::<_, _, ()>("foo", "bar").await).await?;
///
/// // Explicit pipelining: all keys of one index on one connection.
/// let keys = ["a", "b", "c"];
/// let first = pool.index(keys[0]);
/// let mine = keys.iter().filter(|key| pool.index(key) == first);
/// pool.with_index(first, async |conn| {
///     for key in mine {
///         conn.send(redis::cmd("INCR").arg(key)).await?;
///     }
///     conn.flush().await?;
///     while conn.owed() > 0 {
///         let _: i64 = conn.receive().await?;
///     }
///     Ok(())
/// })
/// .await?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Pool {
    inner: Arc<Inner>,
}

struct Inner {
    placement: Placement,
    instances: Box<[Instance]>,
}

/// One server of the list.
struct Instance {
    endpoint: Arc<Endpoint>,
    database: u32,
    read_timeout: Duration,
    connections: Exclusive,
}

impl Pool {
    /// Describes a pool; [`PoolBuilder::build`] makes it. An address is `host:port`,
    /// `redis://[user:password@]host[:port][/db]`, `rediss://…` for TLS, or `unix://[user:password@]/path[?db=N]`.
    ///
    /// ```
    /// let pool = rendis::Pool::builder(["10.0.0.1:6379", "redis://:secret@10.0.0.2:6380/1"]).build()?;
    /// assert_eq!(pool.size(), 2);
    /// assert_eq!(pool.id(1)?, "10.0.0.2:6380");
    /// # Ok::<(), rendis::Error>(())
    /// ```
    #[must_use]
    pub fn builder<A: AsRef<str>>(addresses: impl IntoIterator<Item = A>) -> PoolBuilder {
        PoolBuilder::new(addresses)
    }

    fn new(placement: Placement, instances: Vec<Instance>) -> Self {
        Self { inner: Arc::new(Inner { placement, instances: instances.into() }) }
    }

    /// Which instance has `key`, counted from 0. The whole key is hashed.
    #[must_use]
    pub fn index(&self, key: impl AsRef<[u8]>) -> usize {
        // A pool has at least one instance, so there is one for every key.
        self.inner.placement.locate(key.as_ref()).map_or(0, |shard| shard.index())
    }

    /// How many instances there are.
    #[must_use]
    pub fn size(&self) -> usize {
        self.inner.instances.len()
    }

    /// The address of the instance at `index`, without credentials.
    ///
    /// # Errors
    /// [`Kind::Config`] when there is no such instance.
    pub fn id(&self, index: usize) -> Result<&str, Error> {
        self.instance(index).map(|instance| instance.endpoint.address.as_str())
    }

    /// Runs `work` with a connection to the instance that has `key`. The closure is free to use other keys, and has to
    /// see to it that they are on the same instance.
    ///
    /// # Errors
    /// As [`Pool::with_index`].
    pub async fn with<T, F>(&self, key: impl AsRef<[u8]>, work: F) -> RedisResult<T>
    where
        F: AsyncFnOnce(&mut Connection) -> RedisResult<T>,
    {
        self.with_index(self.index(key), work).await
    }

    /// Runs `work` with a connection to the instance at `index`. See [`Pool`] for which connections are kept.
    ///
    /// # Errors
    /// What `work` returns; before it is called, [`Kind::Config`] when there is no such instance or no tokio runtime,
    /// [`Kind::Timeout`] when no connection became free or was made in time, [`Kind::Refused`] when the pool is closed,
    /// and what dialling met: [`Kind::ShardDown`], [`Kind::Auth`], [`Kind::Tls`], [`Kind::Protocol`]. Nothing was sent
    /// then.
    ///
    /// # Panics
    /// When `work` does; its connection is closed.
    pub async fn with_index<T, F>(&self, index: usize, work: F) -> RedisResult<T>
    where
        F: AsyncFnOnce(&mut Connection) -> RedisResult<T>,
    {
        let mut connection = self.connection(index).await?;
        let outcome = work(&mut connection).await;
        if outcome.is_ok() {
            connection.give_back();
        }
        outcome
    }

    /// Closes idle connections and refuses all further calls on all clones, those that wait for a connection included.
    /// Connections in use are left alone; they are closed when they come back.
    pub fn close(&self) {
        self.inner.instances.iter().for_each(|instance| instance.connections.close());
    }

    /// The connections, one entry an instance, in the order of the addresses.
    #[must_use]
    pub fn stats(&self) -> Vec<PoolStats> {
        self.inner.instances.iter().map(|instance| instance.connections.stats()).collect()
    }

    /// A connection of one's own. Whoever takes it out decides whether it goes back: see [`Connection::give_back`].
    pub(crate) async fn connection(&self, index: usize) -> Result<Connection, Error> {
        let instance = self.instance(index)?;
        let Instance { endpoint, database, read_timeout, connections } = instance;
        match connections.lease().await {
            Ok(lease) => Ok(Connection::new(lease, Arc::clone(endpoint), *database, *read_timeout)),
            Err(failure) => Err(engine::Error::at(endpoint, failure).into()),
        }
    }

    fn instance(&self, index: usize) -> Result<&Instance, Error> {
        self.inner.instances.get(index).ok_or_else(|| {
            let size = self.size();
            Error::local(
                Kind::Config,
                format!("there is no instance {index}: the pool has {size}, counted from 0"),
            )
        })
    }
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let addresses = self.inner.instances.iter().map(|instance| &instance.endpoint.address);
        out.write_str("Pool")?;
        out.debug_list().entries(addresses).finish()
    }
}
