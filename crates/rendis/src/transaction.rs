//! Optimistic transactions: `WATCH`, reads, and an atomic pipeline that runs only if nothing watched has changed.

use std::sync::Arc;
use std::time::Duration;

use rendis_core::command::{Found, Library, Table};
use rendis_core::reply::Reply;
use rendis_core::request::RequestBuf;
use rendis_engine::engine::Engine;
use rendis_engine::gather::Executed;
use rendis_engine::pipeline::watched_elsewhere;
use rendis_engine::watch::Watch;

use crate::error::{Error, Kind};
use crate::ring::Ring;
use crate::typed::{self, Cmd, Packed, Pipeline, RedisFuture, RedisResult, ToRedisArgs, Value, aio};

impl Ring {
    /// Watches `keys` and runs `attempt`, again from the start when another client changed one of them before the
    /// attempt's atomic pipeline ran, or the watch came to nothing before, because the keys became another shard's or the
    /// server closed the connection: up to 16 times, with a short random pause in between. What ran, or may have run, is
    /// never made again.
    ///
    /// The attempt gets a [`Transaction`]: commands on it run at once, on the watched connection; an atomic pipeline on
    /// it runs only if nothing watched has changed. It ends the watch: one that follows runs in any case if the first ran,
    /// and never if it did not. Everything must lie on the shard of the watched keys. An attempt may also end without a
    /// pipeline. A command that waits (`BLPOP`) may take its own time beside the reply deadline.
    ///
    /// Each try is a clone of `attempt`, which may so borrow what it uses in a task that moves between threads; what all
    /// tries share and change is an atomic or behind a lock.
    ///
    /// # Cancel safety
    /// Dropping the future closes the watched connection; the server forgets the watch. A pipeline that was sent may
    /// have run.
    ///
    /// # Errors
    /// The attempt's own error, which is not tried again; `CROSSSLOT` when the keys lie on several shards;
    /// [`Kind::Conflict`] when every attempt met a change, or lost its watch; [`Kind::Refused`] for an atomic pipeline
    /// behind one that the server refused as a whole; [`Kind::Config`] outside of a tokio runtime; what the connection met.
    ///
    /// ```no_run
    /// use redis::AsyncCommands;
    ///
    /// # async fn example(ring: rendis::Ring) -> redis::RedisResult<()> {
    /// let (total,): (i64,) = ring
    ///     .watch("total", async |tx| {
    ///         let total: i64 = tx.get::<_, Option<i64>>("total").await?.unwrap_or(0);
    ///         redis::pipe().atomic().set("total", total * 2 + 1).ignore().get("total").query_async(tx).await
    ///     })
    ///     .await?;
    /// # Ok(()) }
    /// ```
    pub async fn watch<K, T, F>(&self, keys: K, attempt: F) -> RedisResult<T>
    where
        K: ToRedisArgs,
        F: AsyncFnOnce(&mut Transaction) -> RedisResult<T> + Clone,
    {
        let mut watch = typed::cmd("WATCH");
        watch.arg(keys);
        let watch = Packed(&watch).request();
        for tried in 0..ATTEMPTS {
            if tried > 0 {
                tokio::time::sleep(PAUSE.mul_f64(fastrand::f64() * f64::from(tried))).await;
            }
            let mut transaction = Transaction::begin(self.engine(), &watch).await?;
            let result = attempt.clone()(&mut transaction).await;
            match transaction.end(result).await {
                Ended::Answer(result) => return result,
                Ended::Conflict => {}
            }
        }
        Err(conflict().into())
    }
}

/// How often an attempt is made.
const ATTEMPTS: u32 = 16;

/// The pause before the second attempt is up to so long, before the third up to twice, and so on.
const PAUSE: Duration = Duration::from_millis(2);

fn conflict() -> Error {
    Error::local(
        Kind::Conflict,
        format!(
            "a watched key was changed by another client, or its shard ended the watch, or it became another shard's, in \
             each of {ATTEMPTS} attempts"
        ),
    )
}

/// A connection on which keys are watched; see [`Ring::watch`].
pub struct Transaction {
    engine: Engine,
    watch: Watch,
    state: State,
}

/// Where a transaction stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The keys are watched.
    Watching,
    /// An atomic pipeline ran: nothing is watched any more.
    Executed,
    /// An atomic pipeline did not run, because a watched key had changed.
    Conflict,
    /// Nor because of the connection, which is of no more use, or because the keys are another shard's.
    Lost,
    /// The server refused an atomic pipeline as a whole, and the watch ended with it.
    Spent,
}

enum Ended<T> {
    Answer(RedisResult<T>),
    Conflict,
}

impl Transaction {
    async fn begin(engine: &Engine, request: &RequestBuf) -> Result<Self, Error> {
        let shard = match engine.execute(request.view()).await? {
            Executed::Transaction { shard: Some(id), .. } => engine.shard(id)?,
            _ => return Err(Error::local(Kind::Refused, "WATCH needs at least one key")),
        };
        let at = |error| Error::from(error).of_command(b"WATCH");
        let mut watch = Watch::begin(engine, shard).await.map_err(at)?;
        let reply = watch.ask(request).await.map_err(at)?;
        if let Some(error) = reply.as_error() {
            return Err(Error::local(Kind::Server, error.to_string()));
        }
        Ok(Self { engine: engine.clone(), watch, state: State::Watching })
    }

    async fn end<T>(self, result: RedisResult<T>) -> Ended<T> {
        match self.state {
            State::Lost => return Ended::Conflict,
            State::Conflict => {
                self.watch.end().await;
                return Ended::Conflict;
            }
            State::Watching | State::Executed | State::Spent => {}
        }
        // With an error the connection is dropped, and the watch with it.
        if result.is_ok() {
            self.watch.end().await;
        }
        Ended::Answer(result)
    }

    /// Requests that the server runs as they come, each of which may wait there.
    async fn one_by_one(&mut self, requests: &[RequestBuf]) -> Result<Vec<Reply>, Error> {
        let lessons = self.check(requests).await?;
        let table = self.engine.table().load_full();
        let shard = Arc::clone(self.watch.shard());
        let at = |failure| Error::from(shard.error(failure));
        let lease = self.watch.lease();
        lease.send(lessons.as_slice()).await.map_err(at)?;
        lease.send(requests).await.map_err(at)?;
        lease.flush().await.map_err(at)?;
        for _ in &lessons {
            lease.receive().await.map_err(at)?;
        }
        let mut replies = Vec::with_capacity(requests.len());
        for request in requests.iter().map(RequestBuf::view) {
            let deadline = table.find(request).blocks(request).within(shard.reply_deadline());
            replies.push(lease.receive_within(deadline).await.map_err(at)?);
        }
        Ok(replies)
    }

    /// What to send in front of these requests, on a connection in step. Where the keys have become another shard's while they
    /// were watched, the attempt is over.
    async fn check(&mut self, requests: &[RequestBuf]) -> Result<Vec<RequestBuf>, Error> {
        if self.watch.lease().owed() > 0 {
            let text = "the future of an earlier command was dropped before its reply came, or its reply did not come; end \
                        this attempt";
            return Err(Error::local(Kind::Refused, text));
        }
        match self.watch.check(&self.engine, requests).await? {
            Some(lessons) => Ok(lessons),
            None if self.state == State::Watching => {
                self.state = State::Lost;
                Err(conflict())
            }
            None => Err(watched_elsewhere(self.watch.shard()).into()),
        }
    }

    async fn command(&mut self, cmd: &Cmd) -> RedisResult<Value> {
        let request = Packed(cmd).request();
        if keeps_script(&self.engine.table().load(), &request) {
            // What `redis::Script` sends when the shard does not know it. All shards are told, as outside of a watch.
            return match self.engine.execute(request.view()).await.map_err(Error::from)? {
                Executed::Reply(reply) => typed::value(&reply),
                _ => Err(Error::local(Kind::Refused, "no command of a shard").into()),
            };
        }
        let replies = self.one_by_one(&[request]).await?;
        replies.first().map_or(Ok(Value::Nil), typed::value)
    }

    async fn pipeline(
        &mut self,
        pipeline: &Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisResult<Vec<Value>> {
        let requests: Vec<RequestBuf> = pipeline.cmd_iter().map(|cmd| Packed(cmd).request()).collect();
        if requests.is_empty() {
            return Ok(Vec::new());
        }
        if !pipeline.is_transaction() {
            return typed::pipeline_values(&self.one_by_one(&requests).await?, offset, count);
        }
        match self.state {
            State::Watching | State::Executed => {}
            State::Conflict | State::Lost => return Err(conflict().into()),
            State::Spent => {
                let text = "the server refused an atomic pipeline of this attempt, which ended the watch; end the attempt";
                return Err(Error::local(Kind::Refused, text).into());
            }
        }
        let lessons = self.check(&requests).await?;
        if self.state == State::Watching && !self.watch.stands() {
            self.state = State::Lost;
            return Err(conflict().into());
        }
        let replies = self.watch.execute(&self.engine, lessons, requests).await.map_err(Error::from)?;
        match replies.last() {
            Some(executed) if executed.is_null() => {
                self.state = State::Conflict;
                return Err(conflict().into());
            }
            // Where MULTI was refused, EXEC is too, and the keys are still watched.
            Some(executed) if executed.is_error() => {
                if self.state == State::Watching && !replies.first().is_some_and(Reply::is_error) {
                    self.state = State::Spent;
                }
            }
            _ => self.state = State::Executed,
        }
        typed::pipeline_values(&replies, offset, count)
    }
}

/// Whether a request makes a script known without running it.
fn keeps_script(table: &Table, request: &RequestBuf) -> bool {
    matches!(table.find(request.view()), Found::Row(row) if matches!(row.library(), Library::Keeps(_)))
}

impl aio::ConnectionLike for Transaction {
    fn req_packed_command<'a>(&'a mut self, cmd: &'a Cmd) -> RedisFuture<'a, Value> {
        Box::pin(self.command(cmd))
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        Box::pin(self.pipeline(pipeline, offset, count))
    }

    fn get_db(&self) -> i64 {
        i64::from(self.watch.shard().settings().database)
    }
}

impl std::fmt::Debug for Transaction {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Transaction")
            .field("shard", self.watch.shard())
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}
