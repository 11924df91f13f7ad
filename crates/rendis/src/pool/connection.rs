//! One connection of a pool, while one user has it.

use std::sync::Arc;
use std::time::Duration;

use rendis_core::command::Blocks;
use rendis_core::reply::Reply;
use rendis_core::request::RequestBuf;
use rendis_engine::error::{self as engine, Endpoint, Failure};
use rendis_engine::exclusive::Lease;
use rendis_engine::frames::Item;
use rendis_engine::pipeline::were_together;

use crate::error::{Error, Kind};
use crate::typed::{
    self, Cmd, FromRedisValue, Packed, Pipeline, RedisFuture, RedisResult, Value, aio, from_redis_value,
};

use super::session::{Owed, Session};

/// A connection to one instance that its user has to himself. [`Pool::with`](super::Pool::with) lends it.
///
/// There are two ways to use it. It implements [`redis::aio::ConnectionLike`], so `redis::AsyncCommands`,
/// [`redis::cmd`], pipelines, atomic pipelines and scripts work on it. And it can be driven by hand, which is called
/// explicit pipelining: [`Connection::send`] any number of commands, [`Connection::flush`], then
/// [`Connection::receive`] one reply for each, in the order of sending. The second way keeps no list of results and can
/// overlap work with waiting.
///
/// While replies are owed by the second way, the first is refused with [`Kind::Refused`], so that no reply is taken for
/// another's.
///
/// Commands whose replies cannot be paired with requests are refused: subscriptions, `MONITOR`, `SYNC`, `CLIENT REPLY`.
/// All others go to this instance whatever their keys are.
///
/// # Blocking commands
/// The server answers `BLPOP key 5` after up to 5 seconds, so the read timeout begins after these; `BLPOP key 0` may
/// wait for ever.
///
/// # Cancel safety
/// A dropped future loses no reply: what it would have received is still owed, and [`Connection::receive`] gets it.
pub struct Connection {
    lease: Lease,
    session: Session,
    endpoint: Arc<Endpoint>,
    database: u32,
    read_timeout: Duration,
}

impl Connection {
    pub(super) fn new(lease: Lease, endpoint: Arc<Endpoint>, database: u32, read_timeout: Duration) -> Self {
        Self { lease, session: Session::default(), endpoint, database, read_timeout }
    }

    /// Ends the use. The connection goes back to its pool if the next user finds it as a new one; else it is closed, as
    /// it is when it is dropped without this call.
    pub(crate) fn give_back(self) {
        if self.session.is_neutral() {
            self.lease.give_back();
        }
    }

    /// Where it leads, without credentials.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.endpoint.address
    }

    /// How many replies are owed to commands that were sent.
    #[must_use]
    pub fn owed(&self) -> usize {
        self.session.owed()
    }

    /// Whether an error of the socket or the protocol ended it.
    #[cfg(feature = "blocking")]
    pub(crate) fn is_broken(&self) -> bool {
        self.lease.is_broken()
    }

    /// Appends a command to what [`Connection::flush`] writes. Writes by itself when 64 KiB are waiting, so that
    /// sending much takes little memory.
    ///
    /// # Errors
    /// [`Kind::Refused`] for commands whose replies cannot be paired; [`Kind::Busy`] when 1 048 576 replies are owed:
    /// receive some first. The connection stays usable after both. Else as [`Connection::flush`].
    ///
    /// ```no_run
    /// # async fn example(pool: rendis::Pool) -> redis::RedisResult<()> {
    /// let totals: Vec<i64> = pool
    ///     .with("visits", async |conn| {
    ///         for page in ["a", "b", "c"] {
    ///             conn.send(redis::cmd("HINCRBY").arg("visits").arg(page).arg(1)).await?;
    ///         }
    ///         conn.flush().await?;
    ///         let mut totals = Vec::new();
    ///         while conn.owed() > 0 {
    ///             totals.push(conn.receive().await?);
    ///         }
    ///         Ok(totals)
    ///     })
    ///     .await?;
    /// # Ok(()) }
    /// ```
    pub async fn send(&mut self, cmd: &Cmd) -> RedisResult<()> {
        if self.session.owed() >= MOST_OWED {
            let text = format!("{MOST_OWED} replies are owed: receive some before sending more");
            return Err(Error::local(Kind::Busy, text).into());
        }
        let packed = Packed(cmd);
        self.append(&packed, Session::look(&packed)?).await
    }

    /// Writes all that was sent. While the server takes nothing, replies that have come are read and kept.
    ///
    /// # Errors
    /// [`Kind::Timeout`] when the server takes nothing for the write timeout, [`Kind::ShardDown`] when it closed the
    /// connection. Nothing can be done with the connection after an error.
    pub async fn flush(&mut self) -> RedisResult<()> {
        let flushed = self.lease.flush().await;
        flushed.map_err(|failure| self.error(failure, None).into())
    }

    /// The reply to the oldest command that is owed one, as the type that the caller wants. Flushes first what was sent
    /// and not flushed.
    ///
    /// # Errors
    /// The server's own error reply, and a reply that is not of type `T`: the connection stays usable after both, and
    /// the reply is taken. [`Kind::Refused`] when no reply is owed. Else the connection is broken: [`Kind::Timeout`],
    /// [`Kind::ShardDown`], [`Kind::Protocol`].
    pub async fn receive<T: FromRedisValue>(&mut self) -> RedisResult<T> {
        let reply = self.reply().await?;
        Ok(from_redis_value(typed::value(&reply)?.extract_error()?)?)
    }

    async fn append<I: Item + ?Sized>(&mut self, item: &I, owed: Owed) -> RedisResult<()> {
        if let Err(failure) = self.lease.send(item).await {
            return Err(self.error(failure, Some(&owed.name)).into());
        }
        self.session.sent(owed);
        Ok(())
    }

    async fn reply(&mut self) -> RedisResult<Reply> {
        let wait = self.session.next().map_or(Blocks::No, |owed| owed.wait);
        match self.lease.receive_within(wait.within(self.read_timeout)).await {
            Ok(reply) => {
                self.session.answered(&reply);
                Ok(reply)
            }
            Err(failure) => {
                let name = self.session.next().map(|owed| owed.name.as_ref());
                Err(self.error(failure, name).into())
            }
        }
    }

    async fn command(&mut self, cmd: &Cmd) -> RedisResult<Value> {
        self.must_owe_nothing()?;
        let packed = Packed(cmd);
        self.append(&packed, Session::look(&packed)?).await?;
        typed::value(&self.reply().await?)
    }

    async fn pipeline(&mut self, requests: &[RequestBuf]) -> RedisResult<Vec<Reply>> {
        self.must_owe_nothing()?;
        // All are looked at before the first is sent, so that a refusal leaves nothing half done.
        let owed = requests.iter().map(Session::look).collect::<Result<Vec<_>, _>>()?;
        for (request, owed) in requests.iter().zip(owed) {
            self.append(request, owed).await?;
        }
        let mut replies = Vec::with_capacity(requests.len());
        for _ in requests {
            replies.push(self.reply().await?);
        }
        Ok(replies)
    }

    fn must_owe_nothing(&self) -> Result<(), Error> {
        match self.session.owed() {
            0 => Ok(()),
            owed => {
                let text = format!("{owed} replies are owed to commands sent before: receive them first");
                Err(Error::local(Kind::Refused, text))
            }
        }
    }

    fn error(&self, failure: Failure, command: Option<&str>) -> Error {
        let error = Error::from(engine::Error::at(&self.endpoint, failure));
        match command {
            Some(name) => error.of_command(name.as_bytes()),
            None => error,
        }
    }
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (address, owed) = (self.address(), self.owed());
        out.debug_struct("Connection").field("address", &address).field("owed", &owed).finish_non_exhaustive()
    }
}

impl aio::ConnectionLike for Connection {
    fn req_packed_command<'a>(&'a mut self, cmd: &'a Cmd) -> RedisFuture<'a, Value> {
        Box::pin(self.command(cmd))
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        Box::pin(async move {
            let requests = typed::packed_requests(&pipeline.get_packed_pipeline())?;
            let replies = self.pipeline(&requests).await?;
            if pipeline.is_transaction() {
                were_together(&replies).map_err(Error::from)?;
            }
            typed::pipeline_values(&replies, offset, count)
        })
    }

    fn get_db(&self) -> i64 {
        i64::from(self.database)
    }
}

/// The most replies that [`Connection::send`] lets a server owe.
const MOST_OWED: usize = 1 << 20;
