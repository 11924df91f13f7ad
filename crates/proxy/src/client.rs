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

mod alone;
mod together;

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use rendis_core::command::{Blocks, Found};
use rendis_core::reply::{Reply, push_error};
use rendis_core::request::{Request, RequestBuf};
use rendis_engine::engine::Engine;
use rendis_engine::error::Error;
use rendis_engine::gather::Executed;

use crate::context::{Context, Desk};
use crate::identity::{Identity, ReplyMode, Standing};
use crate::inbox::{Front, Inbox};
use crate::outbox::{Held, Outbox, TooSlow};
use crate::peer::Peer;
use crate::subscription::{Subscriber, push_message};
use crate::transaction::{Transaction, push_line};
use crate::window::Window;

/// Serves a client until one side ends it.
pub(crate) async fn serve(peer: Peer, identity: Box<Identity>, context: Arc<Context>) {
    let ending = Arc::clone(&context);
    let mut client = Client {
        peer,
        identity,
        context,
        inbox: Inbox::new(),
        out: Outbox::default(),
        window: Window::default(),
        desk: None,
        transaction: Box::default(),
        subscriber: None,
        owed: 0,
    };
    // Pinned here and not handed over: a future that is moved into another takes its room twice.
    let ended = {
        let running = pin!(client.run());
        ending.stop.cut(running).await
    };
    match ended {
        Some(Ok(())) => client.peer.shutdown().await,
        Some(Err(error)) => client.gone(&error),
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
    desk: Option<Box<Desk>>,
    transaction: Box<Transaction>,
    subscriber: Option<Box<Subscriber>>,
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
                    self.leave_desk();
                    if self.wait().await? == Flow::End {
                        return Ok(());
                    }
                    continue;
                }
            };
            if let (Some(error), Flow::On) = (wrong, flow) {
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
    fn leave_desk(&mut self) {
        if let Some(mut desk) = self.desk.take() {
            std::mem::swap(&mut self.out.bytes, &mut desk.bytes);
            self.context.leave(desk);
        }
        self.out.bytes.shrink_to(KEEP_AT_MOST);
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
                    if self.keep_up_listening() == Flow::End {
                        return Ok(Flow::End);
                    }
                    push_message(&mut self.out.bytes, self.identity.resp3, &message);
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
        while done < self.inbox.found() {
            self.owed = self.inbox.found() - done;
            if self.keep_up() == Flow::End {
                return Ok(Flow::End);
            }
            if self.is_plain() {
                if self.inbox.found() == 1 && self.only().await? {
                    break;
                }
                let count = Box::pin(self.together(done)).await?;
                done += count;
                if count > 0 {
                    continue;
                }
            }
            let Some(request) = self.inbox.request(done).map(|request| request.to_buf()) else { break };
            done += 1;
            if Box::pin(self.single(&request)).await? == Flow::End {
                return Ok(Flow::End);
            }
            if self.out.bytes.len() >= FLUSH_AT {
                self.flush().await?;
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
        if self.identity.reply == ReplyMode::On {
            push_error(&mut self.out.bytes, "NOAUTH", USER_GONE);
        }
        Flow::End
    }

    /// The same before a message, which is no time for errors.
    fn keep_up_listening(&mut self) -> Flow {
        if self.identity.is_outdated(&self.context.shared) { self.become_current() } else { Flow::On }
    }

    fn become_current(&mut self) -> Flow {
        match self.identity.update(&self.context.shared) {
            Standing::Same => return Flow::On,
            Standing::Changed => {}
            Standing::Gone => return Flow::End,
        }
        // What was queued was allowed to somebody who could do other things.
        self.transaction.spoil();
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
        self.context.stats.request(only.name());
        let begun = self.context.stats.begin();
        let result = engine.run(only).await;
        self.context.stats.end(begun);
        match result {
            Ok(Executed::Reply(reply)) => self.reply(&reply).await?,
            Ok(_) => {}
            Err(error) => self.error(&error),
        }
        Ok(true)
    }

    /// Runs a request that may wait on a server, and watches the client meanwhile: `None` when it has gone, and what
    /// it waited for others to do is given up, as it is when the ring ends. Anything else is run to its end. What it sends
    /// is read ahead as far as its window; from then on only its leaving is looked for.
    async fn run_watched(&mut self, request: &RequestBuf) -> io::Result<Option<Result<Executed, Error>>> {
        let engine = self.context.engine(self.identity.resp3);
        let waits = may_wait(engine, request.view());
        let mut running = pin!(engine.run(request));
        loop {
            let full = self.inbox.arrived.len() >= READ_AHEAD;
            if full && !waits {
                return Ok(Some(running.await));
            }
            let more = async {
                if full {
                    self.peer.ended().await;
                    return Ok(0);
                }
                self.peer.read(&mut self.inbox.arrived, ROOM_AHEAD).await
            };
            tokio::select! {
                biased;
                result = &mut running => return Ok(Some(result)),
                () = self.context.stop.draining(), if waits => {
                    if self.identity.reply == ReplyMode::On {
                        push_error(&mut self.out.bytes, "SHUTDOWN", ENDING);
                    }
                    return Ok(None);
                }
                read = more => {
                    match read? {
                        0 if waits => return Ok(None),
                        // One that only stopped sending is owed its answers.
                        0 => return Ok(Some(running.await)),
                        count => self.context.stats.received.add(count),
                    }
                }
            }
        }
    }

    async fn reply(&mut self, reply: &Reply) -> io::Result<()> {
        if self.append(reply) {
            self.write_out(reply).await?;
        }
        Ok(())
    }

    /// Takes a reply in. True when it is time for [`Client::write_out`].
    fn append(&mut self, reply: &Reply) -> bool {
        if reply.is_error() {
            self.context.stats.refusals.add(1);
        }
        let (frame, wanted) = (reply.frame(), self.identity.reply == ReplyMode::On);
        if frame.len() < WRITE_THROUGH || !wanted {
            self.out.bytes.extend_from_slice(frame);
        }
        wanted && (frame.len() >= WRITE_THROUGH || self.out.bytes.len() >= FLUSH_AT)
    }

    /// Writes what is there, and the last reply behind it, where it was too large to be copied once more.
    async fn write_out(&mut self, last: &Reply) -> io::Result<()> {
        self.flush().await?;
        let frame = last.frame();
        if frame.len() >= WRITE_THROUGH {
            let (context, identity, desk) = (&self.context, &self.identity, &self.desk);
            self.out.write(&mut self.peer, frame, || held(context, identity, desk.as_deref())).await?;
            self.context.stats.sent.add(frame.len());
        }
        Ok(())
    }

    fn error(&mut self, error: &Error) {
        self.context.stats.error(error.kind());
        push_line(&mut self.out.bytes, error.resp_text().as_bytes());
    }

    async fn flush(&mut self) -> io::Result<()> {
        let (context, identity, desk) = (&self.context, &self.identity, &self.desk);
        let sent = self.out.flush(&mut self.peer, || held(context, identity, desk.as_deref())).await?;
        self.context.stats.sent.add(sent);
        Ok(())
    }

    fn held(&self) -> Held {
        held(&self.context, &self.identity, self.desk.as_deref())
    }

    /// The socket is of no more use, for this reason.
    fn gone(&self, error: &io::Error) {
        if let Some(error) = error.get_ref().and_then(|inner| inner.downcast_ref::<TooSlow>()) {
            let (ring, address) = (&self.context.shared.name, &self.identity.card().address);
            tracing::warn!(ring, address, %error, "a client was dropped");
            self.context.stats.too_slow.add(1);
        }
    }

    /// The ring is over: what is under way is given up, and answered so. A client that has half a reply, because it does
    /// not read, gets no more.
    async fn cut_off(&mut self) {
        if self.out.is_torn() {
            return;
        }
        if self.identity.reply == ReplyMode::On {
            for _ in 0..self.owed {
                push_error(&mut self.out.bytes, "SHUTDOWN", ENDING);
            }
        }
        if let Ok(Ok(())) = tokio::time::timeout(LAST_WORDS, self.flush()).await {
            self.peer.shutdown().await;
        }
    }
}

/// Whether a request can wait for what others do.
fn may_wait(engine: &Engine, request: Request<'_>) -> bool {
    matches!(engine.table().load().find(request), Found::Row(row) if row.blocks(request) != Blocks::No)
}

fn held(context: &Context, identity: &Identity, desk: Option<&Desk>) -> Held {
    let deadline = context.engine(identity.resp3).settings().deadlines.write;
    Held { behind: desk.map_or(0, |desk| desk.section.held()), deadline }
}

/// What a client is told whose user is not there any more.
const USER_GONE: &str = "the user was removed, or has another password; log in again";

/// What is said of a request that is given up because the ring ends.
const ENDING: &str = "rendis is shutting down; may have been executed";

/// How long a client that is cut off may take to read what it is told.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// A reply of this size is written from where it lies.
const WRITE_THROUGH: usize = 32 << 10;

/// Replies are written when so many bytes of them wait, and when nothing is left to work off.
const FLUSH_AT: usize = 64 << 10;

/// What a client keeps of its reply buffer.
const KEEP_AT_MOST: usize = 1 << 10;

/// How much is read ahead while a request waits on a server, and how much at a time.
const READ_AHEAD: usize = 1 << 20;
const ROOM_AHEAD: usize = 4 << 10;
