//! [`Ring`]: many servers as one.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use rendis_core::command::{LocalCommand, Repeat};
use rendis_core::id::ShardId;
use rendis_core::reply::Reply;
use rendis_core::request::RequestBuf;
use rendis_core::session::Replies;
use rendis_engine::engine::Engine;
use rendis_engine::events::Events;
use rendis_engine::exclusive::PoolStats;
use rendis_engine::frames::Item;
use rendis_engine::gather::Executed;
use rendis_engine::pubsub::Hub;
use rendis_engine::run::Run;
use rendis_engine::settings::ShardSettings;
use tokio::runtime::Handle;

use crate::error::{Error, Kind};
use crate::shard::{Shard, ShardStats};
use crate::typed::{self, Cmd, Packed, Pipeline, RedisFuture, RedisResult, Value, aio};

/// Many Redis or Valkey servers behind one handle.
///
/// Keys are placed by consistent hashing over the shards that are up; every shard is watched, taken out when it dies
/// and put back when it returns. Commands with keys on several shards are split and merged where that means the same
/// (`MGET`, `MSET`, `DEL`, `UNLINK`, `EXISTS`, `TOUCH`), and refused with `CROSSSLOT` where it does not.
///
/// A `Ring` is a handle: cloning it costs one reference count, clones share all connections, and when the last is gone
/// all connections and tasks end. It implements [`redis::aio::ConnectionLike`], so `redis::AsyncCommands`,
/// [`redis::cmd`], pipelines and scripts work on it.
///
/// # Cancel safety
/// Dropping the future of a call withdraws it if it was not written yet; if it was, the server may run it, and its
/// reply is thrown away. It never reaches another call.
///
/// # Errors
/// A typed command returns [`redis::RedisError`]: the shard's own error reply, or an error of this crate, which
/// [`Error::of`] finds in it and which says what happened, where, and whether the command may have run.
///
/// ```no_run
/// use redis::AsyncCommands;
/// use rendis::Ring;
///
/// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut ring = Ring::builder()
///     .shard("shard1", "redis://localhost:7001")
///     .shard("shard2", "redis://localhost:7002")
///     .shard("shard3", "redis://localhost:7003")
///     .build()
///     .await?;
/// ring.set::<_, _, ()>("foo", "bar").await?;
/// let (one, two): (String, i64) =
///     redis::pipe().set("a", 1).ignore().get("foo").incr("b", 2).query_async(&mut ring).await?;
/// ring.for_each_shard(async |shard| shard.ping().await).await?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Ring {
    engine: Engine,
    hub: Hub,
    shape: Arc<ShardShape>,
}

/// What the builder said about every shard, for those that come later.
#[derive(Default)]
pub(crate) struct ShardShape {
    pub(crate) client_name: Option<String>,
    pub(crate) each: Vec<Box<ChangeShard>>,
}

/// Changes the settings of the shard of this name.
pub(crate) type ChangeShard = dyn Fn(&str, &mut ShardSettings) + Send + Sync;

impl ShardShape {
    /// Gives a shard what the builder said about every one.
    pub(crate) fn apply(&self, shard: &mut ShardSettings) {
        if shard.client_name.is_none() {
            shard.client_name.clone_from(&self.client_name);
        }
        let name = shard.name.clone();
        self.each.iter().for_each(|change| change(&name, shard));
    }
}

impl Ring {
    /// Its tasks are those of this runtime.
    pub(crate) fn new(engine: Engine, shape: Arc<ShardShape>, runtime: Handle) -> Self {
        Self { hub: Hub::on(engine.clone(), runtime), engine, shape }
    }

    pub(crate) const fn hub(&self) -> &Hub {
        &self.hub
    }

    pub(crate) const fn engine(&self) -> &Engine {
        &self.engine
    }

    /// How many shards are up.
    #[must_use]
    pub fn len(&self) -> usize {
        self.engine.topology().live().len()
    }

    /// Whether no shard is up.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All shards, in the order in which they were given; [`Shard::is_up`] tells which are up.
    #[must_use]
    pub fn shards(&self) -> Vec<Shard> {
        let topology = self.engine.topology();
        topology
            .members()
            .iter()
            .map(|member| Shard::new(Arc::clone(&member.shard), member.standing))
            .collect()
    }

    /// The shard that holds `key` now.
    ///
    /// # Errors
    /// [`Kind::ShardDown`] when it is down or no shard is up; [`Kind::Refused`] when the ring is closed.
    pub fn shard_for(&self, key: impl AsRef<[u8]>) -> Result<Shard, Error> {
        let shard = self.engine.shard_for(key.as_ref())?;
        Ok(Shard::new(shard, rendis_core::topology::Standing::Serving))
    }

    /// Runs a clone of `visit` on every shard that is up, concurrently, and waits for all of them.
    ///
    /// # Errors
    /// The first error, in the order of the shards; the others have run too.
    pub async fn for_each_shard<F>(&self, visit: F) -> RedisResult<()>
    where
        F: AsyncFnOnce(Shard) -> RedisResult<()> + Clone,
    {
        let live = self.shards().into_iter().filter(Shard::is_up);
        join_all(live.map(|shard| visit.clone()(shard))).await.into_iter().collect()
    }

    /// Changes the shards while the ring runs. A shard that stays (same name, same address, same credentials) keeps its
    /// connections; calls under way on a removed one are served before its connections close. Everybody sees the old
    /// ring or the new one, never something between. The placement rule stays, and so does what the builder said about
    /// every shard (its client name, and what [`each_shard`](crate::RingBuilder::each_shard) changes).
    ///
    /// # Errors
    /// [`Kind::Config`] when the list cannot be used, [`Kind::Refused`] when the ring is closed or this is called by
    /// [`on_new_shard`](crate::RingBuilder::on_new_shard), which is part of a change; nothing is changed then.
    pub fn set_shards(&self, shards: impl IntoIterator<Item = ShardSettings>) -> Result<(), Error> {
        let mut shards: Vec<ShardSettings> = shards.into_iter().collect();
        shards.iter_mut().for_each(|shard| self.shape.apply(shard));
        Ok(self.engine.set_shards(&shards)?)
    }

    /// The connections of all shards.
    #[must_use]
    pub fn stats(&self) -> RingStats {
        RingStats { shards: self.shards().iter().map(Shard::stats).collect() }
    }

    /// The same ring, through whose handle a call may take so long instead of the
    /// [reply deadline](crate::RingBuilder::reply_timeout): until its reply, with its repetitions and the waiting for a dead
    /// shard to be taken out. A call that is not written by then is withdrawn ([`Sent::No`](crate::Sent::No)). It does not
    /// hold for what waits on a connection of its own ([`Ring::watch`], subscriptions), and zero fails every call.
    ///
    /// ```no_run
    /// # async fn example(ring: rendis::Ring) -> redis::RedisResult<()> {
    /// use std::time::Duration;
    ///
    /// use redis::AsyncCommands as _;
    ///
    /// let mut hurried = ring.with_deadline(Duration::from_millis(20));
    /// let cached: Option<String> = hurried.get("page:7").await?;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn with_deadline(&self, deadline: Duration) -> Self {
        Self { engine: self.engine.allowing(deadline), ..self.clone() }
    }

    /// What happens to the ring from now on: shards that fall, load, return, and changes of the list.
    ///
    /// ```no_run
    /// # async fn example(ring: rendis::Ring) {
    /// let mut events = ring.events();
    /// while let Some(event) = events.next().await {
    ///     eprintln!("{event}"); // shard2 (127.0.0.1:7002): shard is down: connection refused
    /// }
    /// # }
    /// ```
    #[must_use]
    pub fn events(&self) -> Events {
        self.engine.events()
    }

    /// Refuses all further calls on all clones. Calls under way are served, then connections and tasks end.
    pub fn close(&self) {
        self.engine.close();
        self.hub.close();
    }

    /// The answer to a request that is packed already and is no business of one connection.
    pub(crate) fn run(&self, request: RequestBuf) -> Run<'_, RequestBuf> {
        self.engine.run(request)
    }

    async fn command(&self, cmd: &Cmd) -> RedisResult<Value> {
        match self.engine.run(Packed(cmd)).await {
            Ok(Executed::Reply(reply)) => typed::value(&reply),
            Ok(other) => Ok(typed::value(&Box::pin(self.answer(other, cmd)).await?)?),
            Err(error) => Err(Error::from(error).into()),
        }
    }

    /// What concerns a connection's own state, which a ring has not: answered here where it makes sense.
    async fn answer(&self, executed: Executed, cmd: &Cmd) -> RedisResult<Reply> {
        match executed {
            Executed::Reply(reply) => Ok(reply),
            Executed::Local(LocalCommand::Ping) => {
                let topology = self.engine.topology();
                let asked = topology.live().iter().map(|shard| self.ask(*shard, cmd));
                let replies: Vec<Reply> = join_all(asked).await.into_iter().collect::<Result<_, _>>()?;
                let told = replies.iter().find(|reply| reply.is_error()).or_else(|| replies.first());
                Ok(told.cloned().ok_or_else(none_is_up)?)
            }
            Executed::Local(LocalCommand::Echo) => {
                Ok(Reply::bulk(Packed(cmd).argument(1).unwrap_or_default()))
            }
            Executed::Local(LocalCommand::Select | LocalCommand::ReadOnly | LocalCommand::ReadWrite) => {
                Ok(Reply::ok())
            }
            Executed::Local(command) if of_any_server(command) => {
                let topology = self.engine.topology();
                let first = topology.live().first().ok_or_else(none_is_up)?;
                Ok(self.ask(*first, cmd).await?)
            }
            Executed::Local(command) if of_one_server(command) => {
                Err(refused(cmd, "it concerns one server; send it to a Shard, or with Ring::for_each_shard"))
            }
            Executed::Local(_) => {
                Err(refused(cmd, "it concerns one connection; set it where the ring is built"))
            }
            Executed::Subscription(_) => Err(refused(cmd, "use Ring::subscribe, psubscribe or ssubscribe")),
            Executed::Transaction { .. } => Err(refused(cmd, "use an atomic pipeline, or Ring::watch")),
        }
    }

    /// One shard's reply to what only reads, whatever its keys are.
    async fn ask(&self, shard: ShardId, cmd: &Cmd) -> Result<Reply, Error> {
        let named = |error: Error| error.of_command(Packed(cmd).argument(0).unwrap_or_default());
        match self.engine.call_shard(shard, &Packed(cmd), Repeat::Read).await {
            Ok(Replies::One(reply)) => Ok(reply),
            Ok(Replies::Many(_)) => Err(named(Error::local(Kind::Protocol, "many replies to one request"))),
            Err(error) => Err(named(error.into())),
        }
    }
}

fn none_is_up() -> Error {
    Error::local(Kind::ShardDown, "no shard is up")
}

/// What every server answers alike.
fn of_any_server(command: LocalCommand) -> bool {
    matches!(
        command,
        LocalCommand::Time
            | LocalCommand::Command
            | LocalCommand::CommandCount
            | LocalCommand::CommandDocs
            | LocalCommand::CommandGetKeys
            | LocalCommand::CommandGetKeysAndFlags
            | LocalCommand::CommandInfo
            | LocalCommand::CommandList
    )
}

/// What every server answers in its own way.
fn of_one_server(command: LocalCommand) -> bool {
    matches!(command, LocalCommand::Info | LocalCommand::Role | LocalCommand::ClusterDisabled)
}

fn refused(cmd: &Cmd, why: &str) -> typed::RedisError {
    let name = Packed(cmd).argument(0).unwrap_or_default().escape_ascii().to_string().to_ascii_uppercase();
    Error::local(Kind::Refused, format!("{name} is not for a ring: {why}")).into()
}

impl std::fmt::Debug for Ring {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_tuple("Ring").field(&self.shards()).finish()
    }
}

impl aio::ConnectionLike for Ring {
    fn req_packed_command<'a>(&'a mut self, cmd: &'a Cmd) -> RedisFuture<'a, Value> {
        Box::pin(self.command(cmd))
    }

    /// A plain pipeline is split by shard, sent side by side and answered in the order written, each command with its
    /// own result. An atomic one runs on one shard, or is refused.
    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        Box::pin(async move {
            let items: Vec<Packed<'_>> = pipeline.cmd_iter().map(Packed).collect();
            if pipeline.is_transaction() {
                let done = self.engine.transaction(&items).await.map_err(Error::from)?;
                // EXECABORT says that something was wrong; the first refusal says what.
                let reply = done.refused.filter(|_| done.reply.is_error()).unwrap_or(done.reply);
                // An error inside is that of one command, and stays in its place.
                return match typed::value(&reply)? {
                    Value::ServerError(error) => Err(error.into()),
                    replies => Ok(vec![replies]),
                };
            }
            let results = self.engine.pipeline(&items).await;
            let mut values = Vec::with_capacity(results.len());
            for (result, item) in results.into_iter().zip(&items) {
                values.push(match result {
                    Ok(Executed::Reply(reply)) => typed::value(&reply)?,
                    Ok(other) => match self.answer(other, item.0).await {
                        Ok(reply) => typed::value(&reply)?,
                        Err(error) => typed::error_value(&error),
                    },
                    Err(error) => typed::error_value(&Error::from(error).into()),
                });
            }
            Ok(values.into_iter().skip(offset).take(count).collect())
        })
    }

    fn get_db(&self) -> i64 {
        0
    }
}

/// The connections of a ring.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RingStats {
    /// One entry a shard, in the order in which they were given.
    pub shards: Vec<ShardStats>,
}

impl RingStats {
    /// The exclusive connections of all shards together.
    #[must_use]
    pub fn pool(&self) -> PoolStats {
        self.shards.iter().map(|shard| shard.pool).sum()
    }
}
