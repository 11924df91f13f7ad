//! One socket, shared by many callers, driven through the session of its queue.
//!
//! One task does both directions, so that neither can wait for the other: a server that stops reading because its own
//! replies are not read would otherwise hold both sides for ever. Each turn writes what can be written and reads what
//! can be read, and sleeps only when neither moved.
//!
//! Writing: the whole queue is taken at once and goes out in one system call as long as the socket takes it (large requests
//! that were handed over, and not copied, in one of their own). A runtime of
//! several threads runs a woken task next, so there the wire, when it was woken by one of many callers, first lets the
//! other ready tasks run once, so that all of them join the same write (without this, 512 callers on two threads got a
//! third of their throughput). A single-threaded runtime runs woken tasks in turn, and the wire comes after them anyway.
//! Where requests come from many sockets ([`Settings::linger`](crate::settings::Settings::linger)), those that are ready
//! are few at a time, and a write to a shard costs more than all else: so a wire in use lets the runtime look for events a
//! few times more, and takes in what they bring.
//!
//! Reading: all whole frames of what one read brought are found first, then paired under one lock, then their
//! callers are woken without it. A reply is a slice of the read buffer. After a good many bytes in a few replies the wire
//! lets its callers run, so that the first of them have sent their next requests while the last are still being answered;
//! else clients and servers would take turns in working, where replies are large and many.

use std::future::poll_fn;
use std::ops::{Range, RangeInclusive};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::BytesMut;
use rendis_core::reply::{Kind as ReplyKind, Reply};
use rendis_core::scan::{Limits, Scanner};
use rendis_core::session::{Arrival, Chain};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::task::yield_now;
use tokio::time::Sleep;

use crate::canary::Canary;
use crate::connection::lost;
use crate::error::{Cause, Kind, Late};
use crate::pulse::Pulse;
use crate::queue::Queue;
use crate::settings::Deadlines;

/// How a wire ended.
pub(crate) enum End {
    /// The queue was closed, and nobody waits for an answer any more.
    Served,
    /// The connection is of no more use.
    Lost(Arc<Cause>),
}

/// Serves the queue over this connection until one of them ends.
pub(crate) async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    queue: &Queue,
    pulse: &Pulse,
    deadlines: &Deadlines,
    linger: bool,
) -> End {
    queue.connected();
    pulse.connected();
    let mut timer = pin!(tokio::time::sleep(Duration::ZERO));
    let mut wire = Wire {
        stream,
        queue,
        pulse,
        deadlines,
        batch: Chain::default(),
        accepted: 0,
        unreported: 0,
        writes: 0,
        joined: false,
        linger,
        lingered: 0,
        alone: match Handle::current().runtime_flavor() {
            RuntimeFlavor::CurrentThread => usize::MAX,
            _ => ALONE,
        },
        unflushed: false,
        arrived: BytesMut::new(),
        room: READ_AT_LEAST,
        scanner: Scanner::new(Limits::REPLY),
        frames: Vec::new(),
        woken: Vec::new(),
        delivered: Delivered::default(),
        canary: Canary::new(queue.now()),
        measured: None,
        armed: None,
        blocked_since: None,
        overdue_since: None,
    };
    poll_fn(|context| wire.poll(context, timer.as_mut())).await
}

/// What one direction did in a turn.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Turn {
    Moved,
    Waits,
}

/// Replies that were given to their callers.
#[derive(Clone, Copy, Default)]
struct Delivered {
    bytes: usize,
    replies: usize,
}

impl Delivered {
    /// Whether it is the callers' turn.
    const fn is_a_turn(self) -> bool {
        self.bytes >= TURN_AT_MOST || (self.bytes >= TURN_AT_LEAST && self.replies >= TURN_REPLIES)
    }
}

struct Wire<'q, S> {
    stream: S,
    queue: &'q Queue,
    pulse: &'q Pulse,
    deadlines: &'q Deadlines,

    /// What was taken from the queue, how much of it the socket accepted, and how much of that the session was told.
    batch: Chain,
    accepted: usize,
    unreported: usize,
    /// Writes that the queue was not told of yet.
    writes: u64,
    /// The other ready tasks have run since the wire was woken.
    joined: bool,
    linger: bool,
    /// How often the runtime has looked for events since there was something to write.
    lingered: u32,
    /// With no more requests owed than this, nobody is waited for.
    alone: usize,
    unflushed: bool,

    arrived: BytesMut,
    /// How much room the next read gets: follows what arrives, so that idle connections hold little.
    room: usize,
    scanner: Scanner,
    /// Reused between reads.
    frames: Vec<Range<usize>>,
    woken: Vec<Waker>,
    /// What was given out since the others ran.
    delivered: Delivered,
    canary: Canary,

    /// A batch that is being measured: replies until its last, and when it was taken to be written.
    measured: Option<(usize, Duration)>,
    /// When the timer fires, in the queue's time.
    armed: Option<Duration>,
    /// Since when the socket accepts nothing.
    blocked_since: Option<Duration>,
    /// Since when replies are overdue and nobody got one.
    overdue_since: Option<Duration>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<'_, S> {
    fn poll(&mut self, context: &mut Context<'_>, mut timer: Pin<&mut Sleep>) -> Poll<End> {
        loop {
            let wrote = match self.write(context) {
                Ok(turn) => turn,
                Err(end) => return Poll::Ready(end),
            };
            let read = match self.read(context) {
                Ok(turn) => turn,
                Err(end) => return Poll::Ready(end),
            };
            if let Err(end) = self.watch(context, timer.as_mut()) {
                return Poll::Ready(end);
            }
            if wrote == Turn::Waits && read == Turn::Waits {
                return Poll::Pending;
            }
            if self.delivered.is_a_turn() {
                self.delivered = Delivered::default();
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
        }
    }

    fn write(&mut self, context: &mut Context<'_>) -> Result<Turn, End> {
        if self.accepted == self.batch.len() {
            self.batch.clear(KEEP_AT_MOST);
            self.accepted = 0;
            if !self.fill(context)? {
                self.flush(context)?;
                return Ok(Turn::Waits);
            }
        }
        let mut turn = Turn::Waits;
        while let rest @ [_, ..] = self.batch.piece(self.accepted) {
            match Pin::new(&mut self.stream).poll_write(context, rest) {
                Poll::Ready(Ok(0)) => return Err(gone("connection closed while writing")),
                Poll::Ready(Ok(count)) => {
                    self.accepted += count;
                    self.pulse.tally().sent(count);
                    self.writes += 1;
                    self.unreported += count;
                    self.unflushed = true;
                    self.blocked_since = None;
                    turn = Turn::Moved;
                }
                Poll::Ready(Err(error)) => return Err(End::Lost(lost(error))),
                Poll::Pending => {
                    if self.blocked_since.is_none() {
                        self.blocked_since = Some(self.queue.now());
                        self.queue.lock().stalled = true;
                    }
                    return Ok(turn);
                }
            }
        }
        self.flush(context)?;
        Ok(turn)
    }

    /// Takes the queue. False when there is nothing to write now.
    fn fill(&mut self, context: &mut Context<'_>) -> Result<bool, End> {
        let mut state = self.queue.lock();
        if self.unreported > 0 {
            state.session.wrote(std::mem::take(&mut self.unreported));
            state.writes += std::mem::take(&mut self.writes);
        }
        state.stalled = false;
        if !state.session.nothing_queued() {
            if self.linger && self.lingered < LOOKS && IN_USE.contains(&state.session.owed()) {
                self.lingered += 1;
                drop(state);
                // Woken when events have been looked for.
                let _ = pin!(yield_now()).poll(context);
                return Ok(false);
            }
            self.lingered = 0;
            if !self.joined && state.session.owed() > self.alone {
                self.joined = true;
                drop(state);
                context.waker().wake_by_ref();
                return Ok(false);
            }
            self.joined = false;
            let now = self.queue.now();
            let deadline = now.saturating_add(self.deadlines.reply);
            self.canary.ask(&mut state.session, now, deadline, context.waker());
            state.session.take(&mut self.batch);
            if !self.batch.is_empty() {
                if self.measured.is_none() {
                    self.measured = Some((state.session.owed(), now));
                }
                return Ok(true);
            }
            // All that was queued has been withdrawn.
        }
        if state.session.owed() == 0 && state.is_closed() {
            return Err(End::Served);
        }
        if state.sleeper.is_none() {
            state.sleeper = Some(context.waker().clone());
        }
        self.joined = false;
        self.lingered = 0;
        Ok(false)
    }

    /// TLS holds written bytes back until it is flushed; plain sockets do not.
    fn flush(&mut self, context: &mut Context<'_>) -> Result<(), End> {
        if self.unflushed {
            match Pin::new(&mut self.stream).poll_flush(context) {
                Poll::Ready(Ok(())) => {
                    self.unflushed = false;
                    self.blocked_since = None;
                }
                Poll::Ready(Err(error)) => return Err(End::Lost(lost(error))),
                Poll::Pending => {
                    if self.blocked_since.is_none() {
                        self.blocked_since = Some(self.queue.now());
                    }
                }
            }
        }
        Ok(())
    }

    fn read(&mut self, context: &mut Context<'_>) -> Result<Turn, End> {
        let free = self.arrived.capacity() - self.arrived.len();
        let missing = self.scanner.wanted().saturating_sub(self.arrived.len());
        if free < missing || free < self.room / 4 {
            self.arrived.reserve(missing.max(self.room));
        }
        let free = self.arrived.capacity() - self.arrived.len();
        let read = pin!(self.stream.read_buf(&mut self.arrived)).poll(context);
        match read {
            Poll::Pending => return Ok(Turn::Waits),
            Poll::Ready(Ok(0)) => return Err(gone("connection closed by the server")),
            Poll::Ready(Err(error)) => return Err(End::Lost(lost(error))),
            Poll::Ready(Ok(count)) => {
                self.pulse.tally().received(count);
                if count == free {
                    self.room = (self.room * 2).min(READ_AT_MOST);
                } else if count < self.room / 16 {
                    self.room = (self.room / 2).max(READ_AT_LEAST);
                }
            }
        }
        self.pulse.answered();
        self.deliver()?;
        Ok(Turn::Moved)
    }

    /// Finds all whole frames of what arrived and gives each to its caller.
    fn deliver(&mut self) -> Result<(), End> {
        let mut start = 0;
        let mut broken = None;
        loop {
            let rest = self.arrived.get(start..).unwrap_or_default();
            match self.scanner.scan(rest) {
                Ok(Some(length)) => {
                    if rest.get(..length).and_then(ReplyKind::of_frame) == Some(ReplyKind::Push) {
                        broken = Some(unasked("a push"));
                        break;
                    }
                    self.frames.push(start..start + length);
                    start += length;
                }
                Ok(None) => break,
                Err(error) => {
                    let text = format!("the answer is not RESP: {error}");
                    broken = Some(Cause::caused_by(Kind::Protocol, text, error));
                    break;
                }
            }
        }
        if !self.frames.is_empty() {
            self.measure(self.frames.len());
            let chunk = self.arrived.split_to(start).freeze();
            self.delivered.bytes += start;
            self.delivered.replies += self.frames.len();
            let mut state = self.queue.lock();
            state.session.wrote(std::mem::take(&mut self.unreported));
            let mut answered = false;
            let mut replies = self.frames.drain(..).map(|frame| Reply::new(chunk.slice(frame)));
            while let Some(reply) = replies.next() {
                match state.session.complete(reply, &mut replies, &mut self.woken) {
                    Arrival::Completed | Arrival::Collected => answered = true,
                    Arrival::Absorbed => {}
                    Arrival::Unmatched => {
                        broken = Some(unasked("a reply"));
                        break;
                    }
                }
            }
            drop(replies);
            if answered || state.session.owed() == 0 {
                self.overdue_since = None;
            }
            broken = broken.or(self.canary.check(&mut state.session).err());
            drop(state);
            self.woken.drain(..).for_each(Waker::wake);
        }
        broken.map_or(Ok(()), |cause| Err(End::Lost(cause)))
    }

    /// Replies came in.
    fn measure(&mut self, replies: usize) {
        match &mut self.measured {
            Some((left, _)) if *left > replies => *left -= replies,
            Some((_, since)) => {
                self.pulse.tally().replies().add(self.queue.now().saturating_sub(*since));
                self.measured = None;
            }
            None => {}
        }
    }

    /// Deadlines: one timer a wire, set to the earliest of them.
    fn watch(&mut self, context: &mut Context<'_>, mut timer: Pin<&mut Sleep>) -> Result<(), End> {
        loop {
            let mut state = self.queue.lock();
            if let Some(cause) = state.distrusted.clone() {
                return Err(End::Lost(cause));
            }
            if self.blocked_since.is_some() && state.sleeper.is_none() {
                // A call that comes meanwhile has a deadline too.
                state.sleeper = Some(context.waker().clone());
            }
            let earliest = state.session.earliest();
            let over = state.is_closed() && !state.session.is_awaited();
            drop(state);
            if over {
                // What is still owed belongs to nobody.
                return Err(End::Served);
            }
            let blocked = self.blocked_since.map(|since| since.saturating_add(self.deadlines.write));
            let Some(due) = [earliest, blocked, self.hopeless()].into_iter().flatten().min() else {
                return Ok(());
            };
            // A timer that fires early costs one look; setting it costs more, so it is moved forward only.
            if self.armed.is_none_or(|armed| due < armed) {
                self.armed = Some(due);
                timer.as_mut().reset(self.queue.epoch() + due);
            }
            if timer.as_mut().poll(context).is_pending() {
                return Ok(());
            }
            self.armed = None;
            self.expire()?;
        }
    }

    fn expire(&mut self) -> Result<(), End> {
        let now = self.queue.now();
        if self.blocked_since.is_some_and(|since| now >= since.saturating_add(self.deadlines.write)) {
            let text = format!("nothing could be written for {:?}", self.deadlines.write);
            return Err(End::Lost(Cause::new(Kind::Timeout, text)));
        }
        let late = Cause::late(Late::Serving);
        let overdue = self.queue.expire(&late, &mut self.woken);
        // The canary behind a request that may take its time is no caller.
        let own = usize::from(self.canary.is_late(&mut self.queue.lock().session));
        // Callers that gave up sooner, of their own, were owed an answer as well.
        let owed = self.woken.len() > own || overdue.unheard;
        self.woken.drain(..).for_each(Waker::wake);
        if owed {
            // A call with a short deadline of its own says nothing of the shard: the half allows for the time between
            // taking a call in and writing it.
            let half = self.deadlines.reply / 2;
            if self.measured.is_none_or(|(_, since)| now.saturating_sub(since) >= half) {
                self.pulse.failed(&late);
                self.overdue_since.get_or_insert(now);
            }
        }
        if self.hopeless().is_some_and(|due| now >= due) {
            let text =
                format!("no call was answered for {:?}", self.deadlines.reply.saturating_mul(PATIENCE));
            return Err(End::Lost(Cause::new(Kind::Timeout, text)));
        }
        Ok(())
    }

    /// When the connection is given up, if nobody gets a reply until then.
    fn hopeless(&self) -> Option<Duration> {
        Some(self.overdue_since?.saturating_add(self.deadlines.reply.saturating_mul(PATIENCE)))
    }
}

impl<S> Drop for Wire<'_, S> {
    /// However the wire ends, the session learns how much the socket accepted: what it does not know of counts as never
    /// sent, and would be sent again.
    fn drop(&mut self) {
        let mut state = self.queue.lock();
        state.session.wrote(self.unreported);
        self.canary.end(&mut state.session);
    }
}

fn unasked(what: &str) -> Arc<Cause> {
    Cause::new(Kind::Protocol, format!("{what} that nobody asked for"))
}

fn gone(text: &str) -> End {
    End::Lost(Cause::new(Kind::ShardDown, text))
}

/// The room that a read is given at least, at first, and at most.
const READ_AT_LEAST: usize = 4 << 10;
const READ_AT_MOST: usize = 64 << 10;

/// When the callers run: after so many bytes in so many replies, and at the latest after the greatest number of bytes.
/// Beside 64 KiB however many replies, and reads of 128 KiB: MGET of 100 keys by 16 tasks has 1.3 times the throughput, and
/// GET and SET of 4 KiB by 64 tasks 0.93 times. Beside 16 KiB however few replies: GET and SET of 4 KiB 1.1 times, MGET and
/// small replies the same.
const TURN_AT_LEAST: usize = 16 << 10;
const TURN_REPLIES: usize = 8;
const TURN_AT_MOST: usize = 64 << 10;

/// On several threads: with no more than so many requests owed, hardly anybody can be about to join, and the turn that
/// waits for them costs more than it saves (it doubled the CPU of a single caller).
const ALONE: usize = 2;

/// When a wire lingers, and for how many looks at events. With fewer requests owed hardly anybody is about to make one; with
/// more, a write carries many anyway. Measured before redis-benchmark, 4 looks against none, shards and proxy on one
/// processor and the generator on the other: MGET of 100 keys by 50 clients 1.07 times the throughput, pipelines of 16 by 8
/// clients 1.06 times, single requests of 50 clients 1.03 times. 2 looks against 4: single requests 0.98 times, and 1.01
/// times where shards have processors of their own.
const IN_USE: RangeInclusive<usize> = 5..=64;
const LOOKS: u32 = 2;

/// A batch buffer that grew past this is given back once it is written.
const KEEP_AT_MOST: usize = 1 << 20;

/// After so many reply deadlines in which replies were overdue and nobody got one, the connection is given up: the
/// server may live and this connection alone be cut off. Bytes are no sign of life here: what comes can be a reply
/// without end, or the replies of a server that left one out, each of which is one late.
const PATIENCE: u32 = 2;

#[cfg(test)]
mod tests;
