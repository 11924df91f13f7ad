//! A request that takes its turn alone, whatever state the connection is in.
//!
//! ```text
//!   may it run? ──► refused, or queued for EXEC ───────────────────────────────► the answer, where one is wanted
//!        └────────► run, while the client is watched ──► what came of it ──────► the answer, where one is wanted
//!                                                             └── subscription ──► pushes, which are always wanted
//! ```

use std::io;
use std::sync::Arc;

use futures_util::FutureExt as _;
use rendis_core::command::{Class, Found, LocalCommand, Subscription};
use rendis_core::plan::EXEC_ABORTED;
use rendis_core::reply::{push_array, push_bulk};
use rendis_core::request::{Request, RequestBuf};
use rendis_engine::engine::Engine;
use rendis_engine::error::Error;
use rendis_engine::gather::Executed;

use super::{Client, FLUSH_AT, Flow};
use crate::identity::{FailedLogin, ReplyMode};
use crate::local::{self, After};
use crate::stats::ErrorKind;
use crate::subscription::{Subscriber, confirm_nothing};
use crate::transaction::{Transaction, ends_queue, push_line, watches};

impl Client {
    /// Works off one request by itself.
    pub(super) async fn single(&mut self, request: &RequestBuf) -> io::Result<Flow> {
        let view = request.view();
        self.identity.card().sent(self.context.stats.request(view.name()));
        self.identity.reply.begin();
        let engine = self.context.engine(self.identity.resp3).clone();
        let allowed = self.identity.check(&self.context.shared, &engine, view).await;
        let mut table = engine.table().load_full();
        let restricted = self.subscriber.is_some() && !self.identity.resp3;
        if allowed.is_ok()
            && (self.transaction.is_queueing() || restricted)
            && matches!(table.find(view), Found::Unknown)
            && engine.learn(view.name()).await.unwrap_or_default()
        {
            table = engine.table().load_full();
        }
        let found = table.find(view);
        let before = self.out.bytes.len();
        let mut flow = Flow::On;
        if let Err(denied) = allowed {
            self.refuse(found, &denied.to_string()).await;
            self.hush(before);
        } else if restricted && let Some(line) = not_while_subscribed(found, view) {
            self.refuse(found, &line).await;
            self.hush(before);
        } else if self.transaction.is_queueing() && !ends_queue(found) && !is_leaving(found) {
            if let Err(kind) = self.transaction.queue(view, &table, &engine, &mut self.out.bytes) {
                self.context.stats.error(kind);
            }
            self.hush(before);
        } else {
            flow = match self.run_watched(request, &engine).await? {
                Some(result) => self.finish(request, found, &engine, result).await?,
                None => Flow::End,
            };
        }
        self.identity.card().queues(self.transaction.queued());
        self.identity.reply.end();
        Ok(flow)
    }

    /// Answers a request that does not run with this line, in which a server says so too.
    async fn refuse(&mut self, found: Found<'_>, line: &str) {
        let before = self.out.bytes.len();
        if self.transaction.refused(found).await {
            let reason = line.strip_prefix("ERR ").unwrap_or(line);
            push_line(&mut self.out.bytes, format!("{EXEC_ABORTED} {reason}").as_bytes());
        } else {
            push_line(&mut self.out.bytes, line.as_bytes());
        }
        self.count_error(before);
    }

    /// Counts what was answered here since `before`, where it is an error.
    fn count_error(&self, before: usize) {
        if let Some((b'-', line)) = self.out.bytes.get(before..).and_then(<[u8]>::split_first) {
            self.context.stats.error(ErrorKind::of_line(line));
        }
    }

    /// Answers a request of which the engine gave this.
    async fn finish(
        &mut self,
        request: &RequestBuf,
        found: Found<'_>,
        engine: &Engine,
        result: Result<Executed, Error>,
    ) -> io::Result<Flow> {
        let view = request.view();
        let mut before = self.out.bytes.len();
        let mut flow = Flow::On;
        match result {
            Ok(Executed::Reply(reply)) => self.reply(&self.shown(engine, view, &reply)).await?,
            Ok(Executed::Local(command)) => match self.local(command, view).await {
                Ok(then) => {
                    flow = then;
                    self.count_error(before);
                }
                Err(failed) => return self.refuse_login(&failed).await,
            },
            Ok(Executed::Subscription(command)) => {
                return self.subscription(command, view).await;
            }
            Ok(Executed::Transaction { command, shard }) => {
                let (mut transaction, mut said) = (std::mem::take(&mut self.transaction), Vec::new());
                let done = transaction.command(command, request, shard, engine, &mut said);
                let done = self.meanwhile(done).await?;
                self.transaction = transaction;
                before = self.out.bytes.len();
                self.out.bytes.extend_from_slice(&said);
                match done {
                    Ok(Some(reply)) => self.reply(&reply).await?,
                    Ok(None) => self.count_error(before),
                    Err(error) => self.error(&error).await?,
                }
            }
            Err(error) => {
                if watches(found, view) {
                    self.transaction.watch_refused(error.resp_text());
                }
                self.transaction.refused(found).await;
                self.error(&error).await?;
            }
        }
        self.hush(before);
        Ok(flow)
    }

    /// Takes back what was answered since `before`, where the client does not want to hear it.
    fn hush(&mut self, before: usize) {
        if matches!(self.identity.reply, ReplyMode::Off | ReplyMode::Skip) {
            self.out.bytes.truncate(before);
        }
    }

    async fn local(&mut self, command: LocalCommand, request: Request<'_>) -> Result<Flow, FailedLogin> {
        let listens = self.subscriber.is_some() && !self.identity.resp3;
        if command == LocalCommand::Ping && listens && request.count() <= 2 {
            push_array(&mut self.out.bytes, 2);
            push_bulk(&mut self.out.bytes, b"pong");
            push_bulk(&mut self.out.bytes, request.argument(1).unwrap_or_default());
            return Ok(Flow::On);
        }
        Ok(
            match local::answer(command, request, &mut self.identity, &self.context, &mut self.out.bytes)
                .await
            {
                After::Stay => Flow::On,
                After::Close => Flow::End,
                After::Reset => {
                    self.transaction = Transaction::default();
                    self.subscriber = None;
                    Flow::On
                }
                After::Refuse(failed) => return Err(failed),
            },
        )
    }

    /// Answers a wrong password, after a while, unless the ring drains. A client that has left meanwhile, or only stopped
    /// sending, has to go then, whatever else it sent.
    async fn refuse_login(&mut self, failed: &FailedLogin) -> io::Result<Flow> {
        let (context, penalty) = (Arc::clone(&self.context), failed.penalty);
        let served = async {
            tokio::select! {
                () = tokio::time::sleep(penalty) => {}
                () = context.stop.draining() => {}
            }
        };
        self.meanwhile(served).await?;
        let before = self.out.bytes.len();
        push_line(&mut self.out.bytes, failed.why.to_string().as_bytes());
        self.count_error(before);
        self.hush(before);
        let gone = self.peer.ended().now_or_never().is_some();
        Ok(if gone || failed.last { Flow::End } else { Flow::On })
    }

    async fn subscription(&mut self, command: Subscription, request: Request<'_>) -> io::Result<Flow> {
        let resp3 = self.identity.resp3;
        let ends = matches!(
            command,
            Subscription::EndChannels | Subscription::EndPatterns | Subscription::EndShardChannels
        );
        if ends && self.subscriber.is_none() {
            confirm_nothing(command, request, resp3, &mut self.out.bytes);
            return Ok(Flow::On);
        }
        let hub = &self.context.hub;
        let mut pieces =
            self.subscriber.get_or_insert_with(|| Box::new(Subscriber::new(hub))).pieces(command, request);
        let mut result = Ok(());
        while let (Ok(()), Some(subscriber), Some(names)) = (&result, &self.subscriber, pieces.next()) {
            if !ends {
                let adding = subscriber.begin(command, &names);
                match self.listen_meanwhile(adding).await? {
                    Some(added) => result = added,
                    None => return Ok(Flow::End),
                }
            }
            if let (Ok(()), Some(subscriber)) = (&result, &mut self.subscriber) {
                result = subscriber.command(command, names, resp3, &mut self.out.bytes);
                // Its user may have become another while it waited.
                if !self.identity.user().is_some_and(|user| subscriber.suits(user)) {
                    return Ok(Flow::End);
                }
            }
            if let Err(too_much) = self.count() {
                self.dismiss(&too_much);
                return Ok(Flow::End);
            }
            if self.out.bytes.len() >= FLUSH_AT {
                self.flush().await?;
            }
        }
        if let Some(subscriber) = &self.subscriber {
            let listens = subscriber.counts();
            self.identity.card().change(|facts| facts.listens = listens);
            if subscriber.is_idle() {
                self.subscriber = None;
            }
        }
        if let Err(error) = result {
            let before = self.out.bytes.len();
            self.error(&error).await?;
            self.hush(before);
        }
        Ok(Flow::On)
    }
}

/// What a RESP2 client that listens is told of a request that it may not send meanwhile. What no server runs at any
/// time is refused as at any time.
fn not_while_subscribed(found: Found<'_>, request: Request<'_>) -> Option<String> {
    let Found::Row(row) = found else { return None };
    let allowed = matches!(
        row.class(),
        Class::Subscription(_) | Class::Local(LocalCommand::Ping | LocalCommand::Quit | LocalCommand::Reset)
    );
    (!allowed && row.takes(request.count())).then(|| {
        format!(
            "ERR Can't execute '{}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this \
             context",
            row.name()
        )
    })
}

/// What ends a transaction by ending more than that.
fn is_leaving(found: Found<'_>) -> bool {
    matches!(
        found,
        Found::Row(row) if matches!(row.class(), Class::Local(LocalCommand::Quit | LocalCommand::Reset))
    )
}
