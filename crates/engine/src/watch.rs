//! Watched keys: `WATCH` on a connection of one's own, and the one transaction that runs if nothing watched has changed.
//!
//! The keys of a watch can become another shard's, and the server can close the connection and forget it. Nobody knows then
//! whether they have changed, so a transaction runs as if they had.

use std::sync::Arc;

use rendis_core::command::Found;
use rendis_core::id::ShardId;
use rendis_core::plan::{queued, view};
use rendis_core::reply::Reply;
use rendis_core::request::{Request, RequestBuf};
use rendis_core::topology::Topology;

use crate::engine::Engine;
use crate::error::{Error, Kind};
use crate::exclusive::Lease;
use crate::pipeline::were_together;
use crate::settings::Protocol;
use crate::shard::Shard;

/// A connection on which keys of one shard are watched. Dropped, it is closed, and the server forgets the watch.
pub struct Watch {
    shard: Arc<Shard>,
    lease: Lease,
    /// Where keys were when it began, or a moment later.
    then: Arc<Topology<Shard>>,
    /// What the connection speaks.
    protocol: Protocol,
    /// It is not that in which the connection was lent.
    foreign: bool,
    /// Whether the server has something to forget before the connection is another's.
    watching: bool,
}

impl Watch {
    /// A connection for keys of this shard, in the protocol of this handle. Nothing is watched yet: that is asked with
    /// [`Watch::ask`].
    ///
    /// # Errors
    /// As [`Engine::lease`].
    pub async fn begin(engine: &Engine, shard: Arc<Shard>) -> Result<Self, Error> {
        let then = engine.topology();
        let lease = engine.lease(&shard).await?;
        let protocol = engine.protocol(&shard);
        Ok(Self { shard, lease, then, protocol, foreign: false, watching: true })
    }

    /// The shard of the keys.
    #[must_use]
    pub const fn shard(&self) -> &Arc<Shard> {
        &self.shard
    }

    /// The shard's number in a topology that has it.
    #[must_use]
    pub fn place(&self, topology: &Topology<Shard>) -> Option<ShardId> {
        let mut members = topology.members().iter();
        members.position(|member| member.shard.is_same_server(&self.shard)).map(ShardId::new)
    }

    /// The connection, for what runs at once.
    pub const fn lease(&mut self) -> &mut Lease {
        &mut self.lease
    }

    /// One request on the connection: `WATCH` of further keys of the shard.
    ///
    /// # Errors
    /// What the connection met. It is of no more use then.
    pub async fn ask(&mut self, request: &RequestBuf) -> Result<Reply, Error> {
        self.lease.ask(request).await.map_err(|failure| self.shard.error(failure))
    }

    /// Whether this request belonged where the watched keys are when the watch began.
    #[must_use]
    pub fn had(&self, request: Request<'_>, found: Found<'_>) -> bool {
        self.place(&self.then)
            .is_some_and(|place| queued(request, found, &view(&self.then), Some(place)).is_ok())
    }

    /// Makes sure that these requests can run on the shard of the watched keys, and says what to send in front of them, as
    /// [`Engine::check_shard`]. `None` where they could when the watch began, and the keys are another shard's now.
    ///
    /// # Errors
    /// As [`Engine::check_shard`].
    pub async fn check(
        &self,
        engine: &Engine,
        requests: &[RequestBuf],
    ) -> Result<Option<Vec<RequestBuf>>, Error> {
        let error = match engine.check_shard(requests, &self.shard).await {
            Ok(lessons) => return Ok(Some(lessons)),
            Err(error) => error,
        };
        let table = engine.table().load();
        let mut views = requests.iter().map(RequestBuf::view);
        if error.kind() == Kind::CrossShard && views.all(|request| self.had(request, table.find(request))) {
            return Ok(None);
        }
        Err(error)
    }

    /// Whether the server has not closed the connection, and forgotten the watch, as far as is known.
    pub fn stands(&mut self) -> bool {
        self.lease.is_usable()
    }

    /// Runs requests as one transaction, behind these lessons of [`Watch::check`], with replies in the protocol of this
    /// handle. Gives the replies to `MULTI`, to each request and to `EXEC`, which is null where a watched key has changed.
    ///
    /// # Errors
    /// What the connection met, and [`were_together`]'s.
    pub async fn execute(
        &mut self,
        engine: &Engine,
        lessons: Vec<RequestBuf>,
        requests: Vec<RequestBuf>,
    ) -> Result<Vec<Reply>, Error> {
        let mut frames = lessons;
        // A client can change the protocol while its connection watches.
        let protocol = engine.protocol(&self.shard);
        if protocol != self.protocol {
            let version: &[u8] = if protocol == Protocol::Resp2 { b"2" } else { b"3" };
            frames.push(RequestBuf::pack([b"HELLO", version]));
            (self.protocol, self.foreign) = (protocol, true);
        }
        let begin = frames.len();
        frames.push(RequestBuf::pack([&b"MULTI"[..]]));
        frames.extend(requests);
        frames.push(RequestBuf::pack([&b"EXEC"[..]]));
        let at = |failure| self.shard.error(failure).of_command(b"EXEC");
        self.lease.send(frames.as_slice()).await.map_err(at)?;
        self.lease.flush().await.map_err(at)?;
        let mut replies = Vec::with_capacity(frames.len());
        for _ in &frames {
            replies.push(self.lease.receive().await.map_err(at)?);
        }
        let replies = replies.split_off(begin);
        were_together(&replies)?;
        // Where MULTI was refused, EXEC is too, and the keys are still watched.
        self.watching &= replies.last().is_none_or(Reply::is_error);
        Ok(replies)
    }

    /// Ends the watch. The connection is kept for the next where the server has nothing left to forget.
    pub async fn end(mut self) {
        let unwatch = RequestBuf::pack([&b"UNWATCH"[..]]);
        let forgot = |reply: Reply| !reply.is_error();
        let in_order = !self.foreign && self.lease.owed() == 0;
        if in_order && (!self.watching || self.lease.ask(&unwatch).await.is_ok_and(forgot)) {
            self.lease.give_back();
        }
    }
}
