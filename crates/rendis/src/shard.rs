//! One shard of a ring, as callers see it.

use std::sync::Arc;

use rendis_core::command::{Blocks, Found, Table};
use rendis_core::reply::Reply;
use rendis_core::request::RequestBuf;
use rendis_core::session::Replies;
use rendis_core::topology::Standing;
use rendis_engine::exclusive::PoolStats;
use rendis_engine::frames::{Frames, Item};
use rendis_engine::pipeline::were_together;
use rendis_engine::shard::Shard as EngineShard;

use crate::effect::Effect;
use crate::error::{Error, Kind};
use crate::typed::{self, Cmd, Packed, Pipeline, RedisFuture, RedisResult, Value, aio};

/// One shard of a ring. Cheap to clone; commands sent to it go to this server whatever their keys are.
///
/// It implements [`redis::aio::ConnectionLike`], so the `redis` crate's commands work on it. A command that blocks runs
/// on a connection of its own. One that would change the connection that all callers of the shard share (`SELECT`,
/// `MULTI` outside of an atomic pipeline, `SUBSCRIBE`, `MONITOR`, `CLIENT REPLY` …) is refused with [`Kind::Refused`].
#[derive(Clone)]
pub struct Shard {
    inner: Arc<EngineShard>,
    up: bool,
}

impl Shard {
    pub(crate) fn new(inner: Arc<EngineShard>, standing: Standing) -> Self {
        Self { inner, up: standing == Standing::Serving }
    }

    /// Its name in the ring.
    #[must_use]
    pub fn name(&self) -> &str {
        self.inner.name()
    }

    /// Where it listens, without credentials.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.inner.endpoint().address
    }

    /// Whether it was up when this handle was made.
    #[must_use]
    pub const fn is_up(&self) -> bool {
        self.up
    }

    /// Asks the server for a sign of life.
    ///
    /// # Errors
    /// What the connection met, or the server's error reply.
    pub async fn ping(&self) -> RedisResult<()> {
        let reply = self.call(&Packed(&typed::cmd("PING"))).await?;
        typed::value(&reply)?.extract_error().map(|_| ())
    }

    /// Its connections.
    #[must_use]
    pub fn stats(&self) -> ShardStats {
        let wires = self.inner.wire_stats();
        ShardStats {
            name: self.name().to_owned(),
            address: self.address().to_owned(),
            up: self.up,
            requests: wires.requests,
            writes: wires.writes,
            in_flight: wires.in_flight,
            pool: self.inner.pool_stats(),
        }
    }

    /// Refuses what would change the connection that all share, and says how long the rest may wait on the server.
    fn admit(&self, request: &RequestBuf) -> Result<Blocks, Error> {
        if request.view().name().is_empty() {
            // A server answers nothing to it, and every later reply would be another's.
            return Err(Error::local(Kind::Refused, "a request without the name of a command"));
        }
        let table = Table::default();
        let Found::Row(row) = table.find(request.view()) else { return Ok(Blocks::No) };
        let wait = row.blocks(request.view());
        if Effect::of(row, wait) == Effect::Nothing {
            return Ok(wait);
        }
        let text = format!(
            "{} would change the connection that all callers of {} share",
            row.name().to_ascii_uppercase().replace('|', " "),
            self.name()
        );
        Err(Error::local(Kind::Refused, text))
    }

    /// On a connection of its own, which goes back when the reply is in.
    async fn call_alone(&self, request: &RequestBuf, wait: Blocks) -> Result<Reply, Error> {
        let shard = &self.inner;
        let at = |failure| Error::from(shard.error(failure));
        let mut lease = shard.lease(shard.protocol()).await.map_err(at)?;
        let reply = lease.ask_within(request, wait.within(shard.reply_deadline())).await.map_err(at)?;
        lease.give_back();
        Ok(reply)
    }

    async fn call<F: Frames + ?Sized>(&self, frames: &F) -> Result<Reply, Error> {
        match self.replies(frames).await? {
            Replies::One(reply) => Ok(reply),
            Replies::Many(mut replies) => {
                replies.pop().ok_or_else(|| Error::local(Kind::Protocol, "a reply that is none"))
            }
        }
    }

    async fn replies<F: Frames + ?Sized>(&self, frames: &F) -> Result<Replies<Reply>, Error> {
        self.inner.call(self.inner.manner(), frames).await.map_err(|failure| self.inner.error(failure).into())
    }
}

impl std::fmt::Debug for Shard {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.inner.fmt(out)
    }
}

impl aio::ConnectionLike for Shard {
    fn req_packed_command<'a>(&'a mut self, cmd: &'a Cmd) -> RedisFuture<'a, Value> {
        Box::pin(async move {
            let packed = Packed(cmd);
            let named = |error: Error| error.of_command(packed.argument(0).unwrap_or_default());
            if Table::one_key(packed.argument(0).unwrap_or_default()).is_some() {
                return typed::value(&self.call(&packed).await.map_err(named)?);
            }
            let request = packed.request();
            let reply = match self.admit(&request).map_err(named)? {
                Blocks::No => self.call(&request).await,
                wait => self.call_alone(&request, wait).await,
            };
            typed::value(&reply.map_err(named)?)
        })
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        Box::pin(async move {
            let requests = typed::packed_requests(&pipeline.get_packed_pipeline())?;
            if requests.is_empty() {
                return Ok(Vec::new());
            }
            // An atomic pipeline comes with its own MULTI and EXEC, which stand and fall together on the wire.
            let own = usize::from(pipeline.is_transaction());
            for request in requests.iter().take(requests.len() - own).skip(own) {
                let named = |error: Error| error.of_command(request.view().name());
                let wait = self.admit(request).map_err(named)?;
                if wait != Blocks::No && own == 0 {
                    let text = "it may block, and would hold up all that share the wire; send it by itself";
                    return Err(named(Error::local(Kind::Refused, text)).into());
                }
            }
            let replies = match self.replies(requests.as_slice()).await? {
                Replies::One(reply) => vec![reply],
                Replies::Many(replies) => replies,
            };
            if pipeline.is_transaction() {
                were_together(&replies).map_err(Error::from)?;
            }
            typed::pipeline_values(&replies, offset, count)
        })
    }

    fn get_db(&self) -> i64 {
        i64::from(self.inner.settings().database)
    }
}

/// The connections of one shard.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ShardStats {
    /// The shard's name.
    pub name: String,
    /// Where it listens.
    pub address: String,
    /// Whether it is up.
    pub up: bool,
    /// Requests that its shared wires took in since the start.
    pub requests: u64,
    /// Writes to the sockets of the shared wires since the start: fewer than requests when many share one.
    pub writes: u64,
    /// Requests on the shared wires that are queued or not yet answered.
    pub in_flight: usize,
    /// Its exclusive connections: for blocking commands and watched transactions.
    pub pool: PoolStats,
}
