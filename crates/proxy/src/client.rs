//! One client: read, run, write.
//!
//! ```text
//!   read ──► all whole requests ──► as many as can go out at once ──► replies in order ──► one write ──► read …
//!                     │
//!                     └─ one that concerns the connection itself, blocks, or walks over shards: by itself
//! ```
//! Requests are views of the read buffer; a reply is copied once, from the buffer of the shard's wire into the buffer
//! that goes to the client. The client is read from again when what it sent is answered, so one that does not read its
//! replies is not read from either.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use rendis_core::command::{Blocks, Class, Found, LocalCommand, Subscription};
use rendis_core::reply::{Reply, push_array, push_bulk, push_error};
use rendis_core::request::{Request, RequestBuf};
use rendis_engine::engine::Engine;
use rendis_engine::error::Error;
use rendis_engine::gather::Executed;

use crate::context::Context;
use crate::identity::{Identity, ReplyMode};
use crate::inbox::{Front, Inbox};
use crate::local::{self, After};
use crate::peer::Peer;
use crate::subscription::{Subscriber, confirm_nothing, push_message};
use crate::transaction::{Transaction, ends_queue, push_line};

/// Serves a client until one side ends it.
pub(crate) async fn serve(peer: Peer, identity: Identity, context: Arc<Context>) {
    let ending = Arc::clone(&context);
    let mut client = Client {
        peer,
        identity,
        context,
        inbox: Inbox::new(),
        out: Vec::new(),
        transaction: Box::default(),
        subscriber: None,
        owed: 0,
        writing: false,
    };
    // Pinned here and not handed over: a future that is moved into another takes its room twice.
    let ended = {
        let running = pin!(client.run());
        ending.stop.cut(running).await
    };
    match ended {
        Some(Ok(())) => client.peer.shutdown().await,
        Some(Err(_)) => {}
        None => client.cut_off().await,
    }
}

struct Client {
    peer: Peer,
    identity: Identity,
    context: Arc<Context>,
    inbox: Inbox,
    /// Replies that are not written yet.
    out: Vec<u8>,
    transaction: Box<Transaction>,
    subscriber: Option<Box<Subscriber>>,
    /// Requests whose replies are not in `out` yet; true wherever something but a write is waited for.
    owed: usize,
    /// A reply may be half written.
    writing: bool,
}

/// Whether the connection goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flow {
    On,
    End,
}

impl Client {
    /// Ends in good order with `Ok`, and with `Err` when the socket is of no more use.
    async fn run(&mut self) -> io::Result<()> {
        loop {
            let (front, wrong) = match self.inbox.look() {
                Ok(front) => (front, None),
                // What was found before is owed its answers.
                Err(error) => (Front::Requests, Some(error)),
            };
            let flow = match front {
                Front::Requests => self.work().await?,
                Front::Inline(request) => {
                    self.owed = 1;
                    let flow = Box::pin(self.single(&request)).await?;
                    self.owed = 0;
                    flow
                }
                Front::Partial => {
                    self.flush().await?;
                    if self.wait().await? == Flow::End {
                        return Ok(());
                    }
                    continue;
                }
            };
            if let (Some(error), Flow::On) = (wrong, flow) {
                push_error(&mut self.out, "ERR", &format!("Protocol error: {error}"));
                return self.flush().await;
            }
            if flow == Flow::End {
                return self.flush().await;
            }
        }
    }

    /// Waits for more from the client, and passes on what it listens to meanwhile. Nothing is owed here, so this is where
    /// a client leaves when the ring ends.
    async fn wait(&mut self) -> io::Result<Flow> {
        let room = self.inbox.room();
        let Some(subscriber) = &self.subscriber else {
            let read = self.peer.read(&mut self.inbox.arrived, room);
            let Some(read) = self.context.stop.unless_draining(read).await else { return Ok(Flow::End) };
            let count = read?;
            self.context.stats.received.add(count);
            self.inbox.read(count);
            return Ok(if count == 0 { Flow::End } else { Flow::On });
        };
        tokio::select! {
            () = self.context.stop.draining() => Ok(Flow::End),
            read = self.peer.read(&mut self.inbox.arrived, room) => {
                let count = read?;
                self.context.stats.received.add(count);
                self.inbox.read(count);
                Ok(if count == 0 { Flow::End } else { Flow::On })
            }
            message = subscriber.next() => match message {
                Some(Ok(message)) => {
                    push_message(&mut self.out, self.identity.resp3, &message);
                    Ok(Flow::On)
                }
                // It fell behind, or the ring is gone: as a server does with a subscriber it cannot serve.
                Some(Err(_)) | None => Ok(Flow::End),
            }
        }
    }

    /// Whether requests mean what they say: nothing is queued, nothing restricts them, and replies are wanted.
    fn is_plain(&self) -> bool {
        !self.transaction.is_queueing()
            && self.identity.reply == ReplyMode::On
            && (self.subscriber.is_none() || self.identity.resp3)
    }

    /// Works off the requests found.
    async fn work(&mut self) -> io::Result<Flow> {
        let mut done = 0;
        loop {
            self.owed = self.inbox.found().saturating_sub(done);
            if !self.is_plain() {
                let Some(request) = self.inbox.request(done).map(|request| request.to_buf()) else { break };
                done += 1;
                if Box::pin(self.single(&request)).await? == Flow::End {
                    return Ok(Flow::End);
                }
                continue;
            }
            let engine = self.context.engine(self.identity.resp3);
            // Most often there is one: it needs no list.
            if done == 0
                && !self.identity.is_limited()
                && let (Some(only), None) = (self.inbox.request(0), self.inbox.request(1))
                && engine.has_one_key(only)
            {
                self.count(1);
                let begun = self.context.stats.begin();
                let result = engine.run(only).await;
                self.context.stats.end(begun);
                match result {
                    Ok(Executed::Reply(reply)) => self.reply(&reply).await?,
                    Ok(_) => {}
                    Err(error) => self.error(&error),
                }
                break;
            }
            let mut requests = self.inbox.requests(done);
            let Some(first) = requests.first().copied() else { break };
            // What the user may not do is answered so by itself, and checked anew after a login.
            let admitted = self.identity.admitted(&engine.table().load(), &requests);
            requests.truncate(admitted);
            let begun = self.context.stats.begin();
            let answers = Box::pin(engine.pipeline_section(&requests)).await;
            self.context.stats.end(begun);
            if answers.is_empty() {
                let request = first.to_buf();
                drop(requests);
                done += 1;
                if Box::pin(self.single(&request)).await? == Flow::End {
                    return Ok(Flow::End);
                }
                continue;
            }
            drop(requests);
            done += answers.len();
            self.count(answers.len());
            for answer in answers {
                match answer {
                    Ok(reply) => self.reply(&reply).await?,
                    Err(error) => self.error(&error),
                }
            }
        }
        self.inbox.clear();
        self.owed = 0;
        Ok(Flow::On)
    }

    /// Works off one request by itself, whatever state the connection is in.
    async fn single(&mut self, request: &RequestBuf) -> io::Result<Flow> {
        self.count(1);
        let mode = self.identity.reply;
        let before = self.out.len();
        let flow = self.answer(request).await?;
        match (mode, self.identity.reply) {
            (ReplyMode::Off, ReplyMode::Off) => self.out.truncate(before),
            (ReplyMode::SkipNext, ReplyMode::SkipNext) => {
                self.out.truncate(before);
                self.identity.reply = ReplyMode::On;
            }
            _ => {}
        }
        Ok(flow)
    }

    async fn answer(&mut self, request: &RequestBuf) -> io::Result<Flow> {
        let view = request.view();
        let engine = self.context.engine(self.identity.resp3).clone();
        if let Err(denied) = self.identity.check(&self.context.shared, &engine, view).await {
            self.transaction.spoil();
            push_line(&mut self.out, denied.to_string().as_bytes());
            return Ok(Flow::On);
        }
        let table = engine.table().load_full();
        let found = table.find(view);
        if self.subscriber.is_some() && !self.identity.resp3 && !allowed_while_subscribed(found) {
            let name = view.name().to_ascii_lowercase();
            let text = format!(
                "Can't execute '{}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this \
                 context",
                String::from_utf8_lossy(&name)
            );
            push_error(&mut self.out, "ERR", &text);
            return Ok(Flow::On);
        }
        if self.transaction.is_queueing() && !ends_queue(found) && !is_leaving(found) {
            if matches!(found, Found::Unknown) && engine.learn(view.name()).await {
                let table = engine.table().load_full();
                self.transaction.queue(view, &table, &engine, &mut self.out);
            } else {
                self.transaction.queue(view, &table, &engine, &mut self.out);
            }
            return Ok(Flow::On);
        }
        let result = match self.run_watched(request).await? {
            Some(result) => result,
            None => return Ok(Flow::End),
        };
        match result {
            Ok(Executed::Reply(reply)) => self.reply(&reply).await?,
            Ok(Executed::Local(command)) => return Ok(self.local(command, view).await),
            Ok(Executed::Subscription(command)) => self.subscription(command, view).await,
            Ok(Executed::Transaction { command, shard }) => {
                let done = self.transaction.command(command, request, shard, &engine, &mut self.out).await;
                match done {
                    Ok(Some(reply)) => self.reply(&reply).await?,
                    Ok(None) => {}
                    Err(error) => self.error(&error),
                }
            }
            Err(error) => self.error(&error),
        }
        Ok(Flow::On)
    }

    /// Runs a request that may wait on a server, and watches the client meanwhile: `None` when it has gone, and what
    /// it waited for others to do is given up. Anything else is run to its end.
    async fn run_watched(&mut self, request: &RequestBuf) -> io::Result<Option<Result<Executed, Error>>> {
        let engine = self.context.engine(self.identity.resp3);
        let mut running = pin!(engine.run(request));
        loop {
            let ahead = self.inbox.arrived.len();
            if ahead > READ_AHEAD && !may_wait(engine, request.view()) {
                return Ok(Some(running.await));
            }
            // That it has gone is seen behind all it sent, so one that may wait for ever is read to its end.
            if ahead > MOST_AHEAD {
                return Ok(None);
            }
            tokio::select! {
                biased;
                result = &mut running => return Ok(Some(result)),
                read = self.peer.read(&mut self.inbox.arrived, ROOM_AHEAD) => {
                    match read? {
                        0 if may_wait(engine, request.view()) => return Ok(None),
                        // One that only stopped sending is owed its answers.
                        0 => return Ok(Some(running.await)),
                        count => self.context.stats.received.add(count),
                    }
                }
            }
        }
    }

    async fn local(&mut self, command: LocalCommand, request: Request<'_>) -> Flow {
        if command == LocalCommand::Ping && self.subscriber.is_some() && !self.identity.resp3 {
            push_array(&mut self.out, 2);
            push_bulk(&mut self.out, b"pong");
            push_bulk(&mut self.out, request.argument(1).unwrap_or_default());
            return Flow::On;
        }
        match local::answer(command, request, &mut self.identity, &self.context, &mut self.out).await {
            After::Stay => Flow::On,
            After::Close => Flow::End,
            After::Reset => {
                *self.transaction = Transaction::default();
                self.subscriber = None;
                Flow::On
            }
        }
    }

    async fn subscription(&mut self, command: Subscription, request: Request<'_>) {
        let resp3 = self.identity.resp3;
        let ends = matches!(
            command,
            Subscription::EndChannels | Subscription::EndPatterns | Subscription::EndShardChannels
        );
        if ends && self.subscriber.is_none() {
            return confirm_nothing(command, request, resp3, &mut self.out);
        }
        let hub = &self.context.hub;
        let subscriber = self.subscriber.get_or_insert_with(|| Box::new(Subscriber::new(hub)));
        let result = subscriber.command(command, request, resp3, &mut self.out).await;
        let listens = subscriber.counts();
        self.identity.card().change(|facts| facts.listens = listens);
        if subscriber.is_idle() {
            self.subscriber = None;
        }
        if let Err(error) = result {
            self.error(&error);
        }
    }

    async fn reply(&mut self, reply: &Reply) -> io::Result<()> {
        if reply.is_error() {
            self.context.stats.refusals.add(1);
        }
        let frame = reply.frame();
        if frame.len() >= WRITE_THROUGH && self.identity.reply == ReplyMode::On {
            // Not copied once more: what is before it goes out, and then it goes out from where it lies.
            self.flush().await?;
            self.context.stats.sent.add(frame.len());
            self.writing = true;
            self.peer.write(frame).await?;
            self.writing = false;
            return Ok(());
        }
        self.out.extend_from_slice(frame);
        if self.out.len() >= FLUSH_AT && self.identity.reply == ReplyMode::On {
            self.flush().await?;
        }
        Ok(())
    }

    fn error(&mut self, error: &Error) {
        self.context.stats.error(error.kind());
        push_line(&mut self.out, error.resp_text().as_bytes());
    }

    async fn flush(&mut self) -> io::Result<()> {
        if !self.out.is_empty() {
            self.context.stats.sent.add(self.out.len());
            self.writing = true;
            self.peer.write(&self.out).await?;
            self.writing = false;
            self.out.clear();
            self.out.shrink_to(KEEP_AT_MOST);
        }
        Ok(())
    }

    fn count(&self, requests: usize) {
        self.context.stats.requests.add(requests);
    }

    /// The ring is over: what is under way is given up, and answered so. A client that has half a reply, because it does
    /// not read, gets no more.
    async fn cut_off(&mut self) {
        if self.writing {
            return;
        }
        if self.identity.reply == ReplyMode::On {
            for _ in 0..self.owed {
                push_error(&mut self.out, "SHUTDOWN", "rendis is shutting down; may have been executed");
            }
        }
        if let Ok(Ok(())) = tokio::time::timeout(LAST_WORDS, self.flush()).await {
            self.peer.shutdown().await;
        }
    }
}

/// What a RESP2 client may send while it listens.
fn allowed_while_subscribed(found: Found<'_>) -> bool {
    matches!(
        found,
        Found::Row(row) if matches!(
            row.class(),
            Class::Subscription(_) | Class::Local(LocalCommand::Ping | LocalCommand::Quit | LocalCommand::Reset)
        )
    )
}

/// What ends a transaction by ending more than that.
fn is_leaving(found: Found<'_>) -> bool {
    matches!(
        found,
        Found::Row(row) if matches!(row.class(), Class::Local(LocalCommand::Quit | LocalCommand::Reset))
    )
}

/// Whether a request can wait for what others do.
fn may_wait(engine: &Engine, request: Request<'_>) -> bool {
    matches!(engine.table().load().find(request), Found::Row(row) if row.blocks(request) != Blocks::No)
}

/// How long a client that is cut off may take to read what it is told.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// A reply of this size is written from where it lies.
const WRITE_THROUGH: usize = 32 << 10;

/// Replies are written when so many bytes of them wait, and when nothing is left to work off.
const FLUSH_AT: usize = 64 << 10;

/// What a client keeps of its reply buffer.
const KEEP_AT_MOST: usize = 1 << 10;

/// How much is read ahead while a request waits on a server; what a client may send, at most, while it waits for what
/// others do; and how much is read at a time.
const READ_AHEAD: usize = 1 << 20;
const MOST_AHEAD: usize = 64 << 20;
const ROOM_AHEAD: usize = 4 << 10;
