//! One client: read, run, write.
//!
//! ```text
//!   read ──► all whole requests ──► as many as can go out at once ──► replies in order ──► one write ──► read …
//!                     │
//!                     └─ one that concerns the connection itself, blocks, or walks over shards: by itself
//! ```
//! Requests are views of the read buffer, and a large one that comes alone is handed over to the shard's wire in it; a
//! reply is copied once, from the buffer of the shard's wire into the buffer that goes to the client, unless it is large.
//! The client is read from again when what it sent is answered, so one that does not read its replies is not read from
//! either.

mod alone;
mod leaving;
mod together;
mod waiting;

use std::borrow::Cow;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use rendis_core::reply::{Reply, push_error};
use rendis_core::request::Request;
use rendis_core::session::Sent;
use rendis_engine::engine::Engine;
use rendis_engine::error::{Error, Kind};
use rendis_engine::gather::Executed;

use self::leaving::{Lost, is_lost};
use crate::config::OnLost;
use crate::context::{Context, Scratch};
use crate::headcount::counted;
use crate::identity::{Identity, ReplyMode, UserChange};
use crate::inbox::{Front, Inbox};
use crate::memory::{Holding, TooMuch};
use crate::outbox::{Held, Outbox};
use crate::peer::Peer;
use crate::redact::redact;
use crate::stats::ErrorKind;
use crate::subscription::Subscriber;
use crate::transaction::{Transaction, push_line};
use crate::window::Window;

/// Serves a client until one side ends it.
pub(crate) async fn serve(peer: Peer, identity: Box<Identity>, context: Arc<Context>) {
    let (ending, memory) = (Arc::clone(&context), Arc::clone(&context.shared.memory));
    let mut client = Client {
        peer,
        identity,
        context,
        inbox: Inbox::new(),
        out: Outbox::default(),
        window: Window::default(),
        scratch: None,
        transaction: Transaction::default(),
        subscriber: None,
        holding: Holding::new(memory),
        owed: 0,
    };
    // Pinned here and not handed over: a future that is moved into another takes its room twice.
    let ended = {
        let running = pin!(client.run());
        ending.stop.cut(running).await
    };
    match ended {
        Some(ended) if ended.as_ref().err().is_none_or(is_lost) => {
            client.let_go();
            client.peer.shutdown().await;
            if !client.context.stop.is_draining() {
                client.peer.linger().await;
            }
        }
        Some(ended) => ended.err().into_iter().for_each(|error| client.gone(&error)),
        None => client.cut_off().await,
    }
}

struct Client {
    peer: Peer,
    identity: Box<Identity>,
    context: Arc<Context>,
    inbox: Inbox,
    out: Outbox,
    window: Window,
    /// There while requests are under way, or replies not written.
    scratch: Option<Box<Scratch>>,
    transaction: Transaction,
    subscriber: Option<Box<Subscriber>>,
    /// What it makes the ring hold, as far as others are told.
    holding: Holding,
    /// Requests whose replies are not in `out` yet; true wherever something but a write is waited for.
    owed: usize,
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
            let (front, wrong) = match self.inbox.look(self.identity.is_guest()) {
                Ok(front) => (front, None),
                // What was found before is owed its answers.
                Err(error) => (Front::Requests, Some(error)),
            };
            let flow = match front {
                Front::Requests => self.work().await?,
                Front::Inline(request) => {
                    self.owed = 1;
                    let mut flow = self.keep_up();
                    if flow == Flow::On {
                        flow = Box::pin(self.single(&request)).await?;
                    }
                    self.owed = 0;
                    flow
                }
                Front::Partial => {
                    self.flush().await?;
                    self.return_scratch();
                    if let Err(too_much) = self.count() {
                        self.dismiss(&too_much);
                        return self.flush().await;
                    }
                    if self.wait().await? == Flow::End {
                        // Messages that came before the end still go out.
                        return self.flush().await;
                    }
                    continue;
                }
            };
            if let (Some(error), Flow::On) = (wrong, flow) {
                self.context.stats.error(ErrorKind::Malformed);
                push_error(&mut self.out.bytes, "ERR", &format!("Protocol error: {error}"));
                return self.flush().await;
            }
            if flow == Flow::End {
                self.peer.hold_back();
                return self.flush().await;
            }
        }
    }

    /// Nothing is under way: keeps next to no memory.
    fn return_scratch(&mut self) {
        if let Some(mut scratch) = self.scratch.take() {
            std::mem::swap(&mut self.out.bytes, &mut scratch.bytes);
            self.context.leave(scratch);
        }
        self.out.bytes.shrink_to(KEEP_AT_MOST);
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
        while done < self.inbox.found() {
            self.owed = self.inbox.found() - done;
            if self.keep_up() == Flow::End {
                return Ok(Flow::End);
            }
            if self.is_plain() {
                // What is there for it would wait for this one too.
                if self.inbox.found() == 1 && self.out.bytes.is_empty() && self.only().await? {
                    break;
                }
                let count = Box::pin(self.together(done)).await?;
                done += count;
                if count > 0 {
                    // A client that keeps sending hears messages too.
                    if self.hear_arrived() == Flow::End {
                        return Ok(Flow::End);
                    }
                    continue;
                }
            }
            let Some(request) = self.inbox.request(done).map(|request| request.to_buf()) else { break };
            done += 1;
            if Box::pin(self.single(&request)).await? == Flow::End {
                return Ok(Flow::End);
            }
            if self.out.bytes.len() >= FLUSH_AT {
                Box::pin(self.flush()).await?;
            }
        }
        self.inbox.clear();
        self.owed = 0;
        Ok(Flow::On)
    }

    /// Before a request: where users were changed, other rules hold from now on, and a client whose user is gone is told
    /// so and has to go.
    #[inline]
    fn keep_up(&mut self) -> Flow {
        if !self.identity.is_outdated(&self.context.shared) || self.become_current() == Flow::On {
            return Flow::On;
        }
        self.context.stats.error(ErrorKind::NotLoggedIn);
        if self.identity.reply == ReplyMode::On {
            push_error(&mut self.out.bytes, "NOAUTH", USER_GONE);
        }
        Flow::End
    }

    fn become_current(&mut self) -> Flow {
        match self.identity.update(&self.context.shared) {
            UserChange::Same => return Flow::On,
            UserChange::Changed => {}
            UserChange::Gone => return Flow::End,
        }
        // What was queued was allowed to somebody who could do other things.
        self.transaction.spoil(Some(USER_CHANGED));
        let Some(subscriber) = &self.subscriber else { return Flow::On };
        match self.identity.user() {
            Some(user) if subscriber.suits(user) => Flow::On,
            _ => Flow::End,
        }
    }

    /// Works off the only request found, where it has one key; false where it does not. Most requests are of this kind.
    async fn only(&mut self) -> io::Result<bool> {
        let engine = self.context.engine(self.identity.resp3);
        let Some(only) = self.inbox.request(0) else { return Ok(false) };
        if self.identity.is_limited() || !engine.has_one_key(only) {
            return Ok(false);
        }
        self.identity.card().sent(self.context.stats.request(only.name()));
        let begun = self.context.stats.begin();
        let waits = self.context.moderation.waits();
        let result = if only.bytes().len() < HAND_OVER {
            engine.run(only).await
        } else {
            // The room for it is not in every client's task.
            match self.inbox.take_only() {
                Some(only) => Box::pin(engine.run(only)).await,
                None => return Ok(false),
            }
        };
        drop(waits);
        self.context.stats.end(begun);
        match result {
            Ok(Executed::Reply(reply)) => self.reply(&reply).await?,
            Ok(_) => {}
            Err(error) => Box::pin(self.error(&error)).await?,
        }
        Ok(true)
    }

    async fn reply(&mut self, reply: &Reply) -> io::Result<()> {
        if self.append(reply) {
            // Seldom, and every client's task would have the room for it.
            Box::pin(self.write_out(reply)).await?;
        }
        Ok(())
    }

    /// Takes a reply in, where the client wants to hear it. True when it is time for [`Client::write_out`].
    fn append(&mut self, reply: &Reply) -> bool {
        if reply.is_error() {
            self.context.stats.refusals.add(1);
        }
        if self.identity.reply != ReplyMode::On {
            return false;
        }
        let frame = reply.frame();
        if frame.len() < WRITE_THROUGH {
            self.out.bytes.extend_from_slice(frame);
        }
        frame.len() >= WRITE_THROUGH || self.out.bytes.len() >= FLUSH_AT
    }

    /// Writes what is there, and the last reply behind it, where it was too large to be copied once more.
    async fn write_out(&mut self, last: &Reply) -> io::Result<()> {
        self.flush().await?;
        let frame = last.frame();
        if frame.len() >= WRITE_THROUGH {
            let Self { context, identity, scratch, subscriber, holding, .. } = self;
            let held = || held(context, identity, scratch.as_deref(), subscriber.as_deref());
            self.out.write(&mut self.peer, frame, holding, held).await?;
            self.context.stats.sent.add(frame.len());
        }
        Ok(())
    }

    /// A shard's reply as the client gets it: without passwords, and with all who listen counted.
    #[inline]
    fn shown<'r>(&self, engine: &Engine, request: Request<'_>, reply: &'r Reply) -> Cow<'r, Reply> {
        match counted(&self.context.hub, engine, request, reply) {
            Some(reply) => Cow::Owned(reply),
            None => redact(engine, request, reply),
        }
    }

    /// Answers with an error; or ends the connection, once what was answered before is written, where the shard gave no
    /// answer and the ring is set so.
    async fn error(&mut self, error: &Error) -> io::Result<()> {
        self.context.stats.error(error.kind());
        let unanswered = matches!(error.kind(), Kind::ShardDown | Kind::Timeout | Kind::Protocol);
        if unanswered && self.context.shared.rules.load().on_lost == OnLost::Close {
            self.flush().await?;
            self.context.stats.closed.add(1);
            if error.sent() == Sent::No {
                // It comes again at once, and here nobody refuses its connection.
                tokio::time::sleep(BEFORE_CLOSING).await;
            }
            return Err(io::Error::other(Lost));
        }
        push_line(&mut self.out.bytes, error.resp_text().as_bytes());
        Ok(())
    }

    async fn flush(&mut self) -> io::Result<()> {
        let Self { context, identity, scratch, subscriber, holding, .. } = self;
        let held = || held(context, identity, scratch.as_deref(), subscriber.as_deref());
        let sent = self.out.flush(&mut self.peer, holding, held).await?;
        self.context.stats.sent.add(sent);
        Ok(())
    }

    /// Counts what it sent and is not done with, and what it listens to.
    fn count(&mut self) -> Result<(), TooMuch> {
        let subscriptions = self.subscriber.as_ref().map_or(0, |subscriber| subscriber.held());
        self.holding.set_requests(self.inbox.held() + self.transaction.held() + subscriptions)
    }

    fn held(&self) -> Held {
        held(&self.context, &self.identity, self.scratch.as_deref(), self.subscriber.as_deref())
    }
}

fn held(
    context: &Context,
    identity: &Identity,
    scratch: Option<&Scratch>,
    subscriber: Option<&Subscriber>,
) -> Held {
    let deadline = context.engine(identity.resp3).settings().deadlines.write;
    let replies = scratch.map_or(0, |scratch| scratch.batch.held());
    let (messages, lost) = subscriber.map_or((0, false), Subscriber::backlog);
    Held { behind: replies.saturating_add(messages), lost, deadline }
}

/// How long a client waits for its connection to be closed where its command was not executed: so that one that
/// connects again at once does so four times a second.
const BEFORE_CLOSING: Duration = Duration::from_millis(250);

/// What a client is told whose user is not there any more.
const USER_GONE: &str = "the user was removed, or has another password; log in again";

/// Why what a user queued does not run.
const USER_CHANGED: &str = "the rules of the user were changed";

/// A request of this size goes to the shard's socket in the buffer in which it arrived. SET of 64 MiB has the process hold
/// 73 MiB at most, where a copy made it 136; of 256 KiB, it takes 0.4 times the user time, and about the same in all.
const HAND_OVER: usize = 64 << 10;

/// A reply of this size is written from where it lies.
const WRITE_THROUGH: usize = 32 << 10;

/// Replies are written when so many bytes of them wait, and when nothing is left to work off.
const FLUSH_AT: usize = 64 << 10;

/// What a client keeps of its reply buffer.
const KEEP_AT_MOST: usize = 1 << 10;
