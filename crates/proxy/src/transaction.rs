//! `MULTI`, `EXEC`, `DISCARD`, `WATCH`, `UNWATCH` of one client.
//!
//! ```text
//!            WATCH ┌──────────┐ UNWATCH          commands are answered QUEUED and kept here;
//!   none ─────────►│ watching │────────► none    what has no place is refused at once, and EXEC then aborts
//!     │            └────┬─────┘
//!     │ MULTI           │ MULTI                  EXEC sends MULTI, the commands and EXEC in one write
//!     ▼                 ▼
//!   queueing ◄──── queueing + watching ────► EXEC, DISCARD ────► none
//! ```
//! The first key, or that of `WATCH`, chooses the shard. A watch holds an exclusive connection until the transaction
//! ends; without one, the whole goes over the shard's shared wire, where nothing can come between. That connection stays
//! when a reload makes others to the same server.
//!
//! Keys can get another shard meanwhile, when one falls, returns, or comes with a reload. A transaction that is not watched
//! runs where they are at `EXEC`; one that is answers as when they were changed, for they may have been. The same where
//! the shard closed the watching connection: it was restarted, or cut idle connections.
//!
//! After a `WATCH` that failed, the next `EXEC` runs nothing and says why: whoever sent both believes that the keys are
//! watched, and a transaction that runs unwatched loses what others wrote. A server whose `WATCH` does not fail has no
//! words for this; `EXECABORT` is what clients know. A later `WATCH` that succeeds ends this, where the client had heard
//! of the failure when it sent that, and no earlier watch was lost: a connection of a pool goes from one user to the next.

use rendis_core::command::{Class, Found, Row, Table, Transaction as Command};
use rendis_core::id::ShardId;
use rendis_core::plan::{Queued, RefusalKind, queued, same_shard, view};
use rendis_core::reply::{Reply, push_error, push_null_array, push_ok, push_resp3_null, push_simple};
use rendis_core::request::{Request, RequestBuf};
use rendis_engine::engine::Engine;
use rendis_engine::error::{Error, Kind};
use rendis_engine::pipeline::watched_elsewhere;
use rendis_engine::settings::Protocol;
use rendis_engine::watch::Watch;

/// Where one client's transaction stands. Most clients never have one: what there is of it has boxes of its own.
#[derive(Default)]
pub(crate) struct Transaction {
    queue: Option<Box<Queue>>,
    watch: Option<Box<Watch>>,
    /// Why what should be watched is not: `EXEC` aborts.
    unwatched: Option<Box<Unwatched>>,
}

/// A `WATCH` that failed.
struct Unwatched {
    reason: String,
    /// The client knows.
    heard: bool,
    /// What was watched before is not any more.
    lost: bool,
}

/// What came since `MULTI`.
#[derive(Default)]
struct Queue {
    requests: Vec<RequestBuf>,
    bytes: usize,
    chosen: Option<ShardId>,
    /// Something was refused: `EXEC` aborts.
    broken: bool,
    /// What was refused first that a server would have taken: `EXEC` says so too.
    reason: Option<Vec<u8>>,
}

impl Queue {
    /// `EXEC` aborts, and says why where a server would not know.
    fn abort(&mut self, reason: Option<&[u8]>) {
        self.broken = true;
        if self.reason.is_none() {
            self.reason = reason.map(<[u8]>::to_vec);
        }
    }
}

impl Transaction {
    /// Whether commands are queued at present.
    pub(crate) const fn is_queueing(&self) -> bool {
        self.queue.is_some()
    }

    /// How many commands are queued, where they are.
    pub(crate) fn queued(&self) -> Option<usize> {
        self.queue.as_ref().map(|queue| queue.requests.len())
    }

    /// The bytes of what is queued.
    pub(crate) fn held(&self) -> usize {
        self.queue.as_ref().map_or(0, |queue| queue.bytes)
    }

    /// Queues a command, or refuses it, and says so in `out`. Gives the kind of the refusal.
    pub(crate) fn queue(
        &mut self,
        request: Request<'_>,
        table: &Table,
        engine: &Engine,
        out: &mut Vec<u8>,
    ) -> Result<(), Kind> {
        let topology = engine.topology();
        let watched = self.watch.as_ref().and_then(|watch| watch.place(&topology));
        let Some(queue) = &mut self.queue else { return Ok(()) };
        let ring = view(&topology);
        let chosen = queue.chosen.or(watched);
        let found = table.find(request);
        let place = queued(request, found, &ring, chosen).or_else(|refusal| {
            if refusal.kind() != RefusalKind::CrossShard || queue.broken {
                return Err(refusal);
            }
            // The keys may be together all the same, and elsewhere than they were.
            match &self.watch {
                Some(watch) if watch.had(request, found) => Ok(Queued::Anywhere),
                Some(_) => Err(refusal),
                None => {
                    let before =
                        queue.requests.iter().map(|request| (request.view(), table.find(request.view())));
                    let all = before.chain([(request, found)]);
                    same_shard(all, &ring).map_err(|_| refusal)
                }
            }
        });
        match place {
            Ok(_) if queue.bytes > MOST_BYTES || queue.requests.len() >= MOST_REQUESTS => {
                let line = format!(
                    "ERR the transaction is too long: it may have {MOST_REQUESTS} commands, and {} MiB",
                    MOST_BYTES >> 20
                );
                push_line(out, line.as_bytes());
                queue.abort(Some(line.as_bytes()));
                Err(Kind::Refused)
            }
            Ok(place) => {
                if let Queued::On(shard) = place {
                    queue.chosen = Some(shard);
                }
                queue.bytes += request.bytes().len();
                queue.requests.push(request.to_buf());
                push_simple(out, b"QUEUED");
                Ok(())
            }
            Err(refusal) => {
                push_line(out, refusal.text());
                match refusal.kind() {
                    // A nested MULTI and a late WATCH are refused by themselves: servers run the rest.
                    RefusalKind::InTransaction if is_own(found) => {}
                    RefusalKind::CrossShard | RefusalKind::NotOnARing => queue.abort(Some(refusal.text())),
                    _ => queue.abort(None),
                }
                Err(refusal.kind().into())
            }
        }
    }

    /// What was queued shall not run: `EXEC` aborts, and gives the reason where it is none that a server would have.
    pub(crate) fn spoil(&mut self, reason: Option<&str>) {
        if let Some(queue) = &mut self.queue {
            queue.abort(reason.map(str::as_bytes));
        }
    }

    /// A command was refused before it came here: `EXEC` aborts, and one that is refused itself has done so. True when
    /// it is that.
    pub(crate) async fn refused(&mut self, found: Found<'_>) -> bool {
        let aborts = is(found, |command| command == Command::Execute);
        if aborts {
            self.end().await;
        } else {
            self.spoil(None);
        }
        aborts
    }

    /// A `WATCH` was refused, for this reason: the next `EXEC` aborts.
    pub(crate) fn watch_refused(&mut self, reason: String) {
        self.watch_failed(reason, false);
    }

    fn watch_failed(&mut self, reason: String, lost: bool) {
        let lost = lost || self.unwatched.as_ref().is_some_and(|before| before.lost);
        self.unwatched = Some(Box::new(Unwatched { reason, heard: false, lost }));
    }

    /// The client has been told all that it was owed, and nothing more of it is here: what comes from now on it sends
    /// knowing that. (Unless it is the rest of what it sent in one go, and was late: nobody can tell.)
    pub(crate) fn heard(&mut self) {
        self.unwatched.iter_mut().for_each(|unwatched| unwatched.heard = true);
    }

    /// One of the commands about transactions. `Ok(None)` when `out` has the answer.
    pub(crate) async fn command(
        &mut self,
        command: Command,
        request: &RequestBuf,
        shard: Option<ShardId>,
        engine: &Engine,
        out: &mut Vec<u8>,
    ) -> Result<Option<Reply>, Error> {
        match command {
            Command::Begin if self.queue.is_some() => {
                push_error(out, "ERR", "MULTI calls can not be nested");
            }
            Command::Begin => {
                self.queue = Some(Box::default());
                push_ok(out);
            }
            Command::Discard if self.queue.is_none() => push_error(out, "ERR", "DISCARD without MULTI"),
            Command::Discard => {
                self.end().await;
                push_ok(out);
            }
            Command::Execute => return self.execute(engine, out).await,
            Command::Watch => {
                let guarded = self.watch.is_some();
                let watched = self.watch(request, shard, engine).await;
                let refused = |reply: &Reply| reply.as_error().map(|line| line.to_string());
                if let Some(reason) = watched.as_ref().map_or_else(|error| Some(error.resp_text()), refused) {
                    self.watch_failed(reason, guarded && self.watch.is_none());
                }
                return watched.map(Some);
            }
            Command::Unwatch => {
                self.unwatch().await;
                push_ok(out);
            }
        }
        Ok(None)
    }

    async fn watch(
        &mut self,
        request: &RequestBuf,
        shard: Option<ShardId>,
        engine: &Engine,
    ) -> Result<Reply, Error> {
        let shard = match shard {
            Some(id) => engine.shard(id)?,
            None => {
                return Err(Error::local(Kind::Server, "ERR wrong number of arguments for 'watch' command"));
            }
        };
        if let Some(watch) = &self.watch
            && !watch.shard().is_same_server(&shard)
        {
            return Err(watched_elsewhere(watch.shard()));
        }
        let mut watch = match self.watch.take() {
            Some(watch) => watch,
            None => Box::new(Watch::begin(engine, shard).await?),
        };
        let reply = watch.ask(request).await?;
        self.watch = Some(watch);
        if !reply.is_error() && !self.is_queueing() {
            self.unwatched.take_if(|unwatched| unwatched.heard && !unwatched.lost);
        }
        Ok(reply)
    }

    async fn execute(&mut self, engine: &Engine, out: &mut Vec<u8>) -> Result<Option<Reply>, Error> {
        let Some(queue) = self.queue.take() else {
            push_error(out, "ERR", "EXEC without MULTI");
            return Ok(None);
        };
        let unwatched = self.unwatched.take();
        if queue.broken {
            self.unwatch().await;
            let mut line = EXEC_BROKEN.as_bytes().to_vec();
            if let Some(reason) = queue.reason {
                line.extend_from_slice(b" The first: ");
                line.extend(reason);
            }
            push_line(out, &line);
            return Ok(None);
        }
        if let Some(unwatched) = unwatched {
            self.unwatch().await;
            // Whether that WATCH ran is of no interest: nothing of the transaction did.
            let reason = unwatched.reason.trim_end_matches("; may have been executed");
            let reason = reason.trim_end_matches("; not executed");
            let text = format!("Transaction discarded because WATCH failed: {reason}; not executed");
            push_error(out, "EXECABORT", &text);
            return Ok(None);
        }
        let Some(mut watch) = self.watch.take() else {
            if queue.requests.is_empty() {
                out.extend_from_slice(b"*0\r\n");
                return Ok(None);
            }
            return engine.transaction(&queue.requests).await.map(|done| Some(done.reply));
        };
        let checked = watch.check(engine, &queue.requests).await?;
        let Some(lessons) = checked.filter(|_| watch.stands()) else {
            match engine.protocol(watch.shard()) {
                Protocol::Resp2 => push_null_array(out),
                Protocol::Newest => push_resp3_null(out),
            }
            return Ok(None);
        };
        let reply = watch.execute(engine, lessons, queue.requests).await?.pop();
        if reply.as_ref().is_some_and(|reply| !reply.is_error()) {
            watch.end().await;
        }
        Ok(reply)
    }

    /// Nothing of it runs, and nothing is watched any more.
    async fn end(&mut self) {
        self.queue = None;
        self.unwatch().await;
    }

    async fn unwatch(&mut self) {
        self.unwatched = None;
        if let Some(watch) = self.watch.take() {
            watch.end().await;
        }
    }
}

/// An error line that comes with its code.
pub(crate) fn push_line(out: &mut Vec<u8>, line: &[u8]) {
    out.push(b'-');
    out.extend(line.iter().map(|byte| if *byte < b' ' { b' ' } else { *byte }));
    out.extend_from_slice(b"\r\n");
}

/// Whether a request asks for keys to be watched, in so many words that one could be done.
pub(crate) fn watches(found: Found<'_>, request: Request<'_>) -> bool {
    let is =
        |row: &Row| matches!(row.class(), Class::Transaction(Command::Watch)) && row.takes(request.count());
    matches!(found, Found::Row(row) if is(row))
}

/// Whether a request is one of a transaction's own commands, which are not queued.
pub(crate) fn ends_queue(found: Found<'_>) -> bool {
    is(found, |command| matches!(command, Command::Execute | Command::Discard))
}

/// Whether a request is about transactions.
fn is_own(found: Found<'_>) -> bool {
    is(found, |_| true)
}

/// Whether a request is about transactions, and one of these.
fn is(found: Found<'_>, which: impl FnOnce(Command) -> bool) -> bool {
    matches!(found, Found::Row(row) if matches!(row.class(), Class::Transaction(command) if which(command)))
}

/// What servers say of a transaction in which something was refused.
const EXEC_BROKEN: &str = "EXECABORT Transaction discarded because of previous errors.";

/// What one transaction may hold.
const MOST_REQUESTS: usize = 1 << 16;
const MOST_BYTES: usize = 64 << 20;
