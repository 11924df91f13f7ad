//! The bounded queue of one shared wire, and the calls that wait in it.
//!
//! ```text
//!  Call::poll ──push──►┐                          ┌◄──take── wire (writes)
//!  Call::poll ◄collect─┤  Mutex<State { Session }>├◄─complete─ wire (reads)
//!  Call::drop ──cancel►┘                          └◄── fail ── lane (connection lost, given up)
//! ```
//! A stream is the same with replies that are taken as they arrive: `push_stream`, `receive`, `cancel`.
//!
//! One lock, held for a push, a batch or a batch of replies; never across an await or a system call. The wire's task
//! sleeps only when there is nothing to write, and a push wakes it only when it sleeps.

use std::collections::VecDeque;
use std::future::Future;
use std::iter::Sum;
use std::ops::AddAssign;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use rendis_core::reply::Reply;
use rendis_core::session::{Failed, Full, Overdue, QueueLimits, Replies, Sent, Session, Stream, Ticket};
use tokio::time::Instant;

use crate::error::{Cause, Failure, Kind, Late};
use crate::frames::Frames;

/// Whether requests are taken in.
#[derive(Clone, Debug)]
pub(crate) enum Admission {
    /// A connection stands or is being made: requests are taken in.
    Open,
    /// The last attempt to connect failed and the next is not due: requests are refused at once, with the reason.
    Resting(Arc<Cause>),
    /// The queue will never be served again.
    Closed(Arc<Cause>),
}

type Calls = Session<Waker, Reply, Arc<Cause>>;

pub(crate) struct State {
    pub(crate) session: Calls,
    pub(crate) admission: Admission,
    /// The task of the wire, when it sleeps for want of requests.
    pub(crate) sleeper: Option<Waker>,
    /// A request was refused since the last attempt to connect.
    pub(crate) refused: bool,
    /// Requests taken in since the start.
    pub(crate) requests: u64,
    /// Writes to the socket since the start.
    pub(crate) writes: u64,
    /// Whether a connection stands, and how many have been made.
    connected: bool,
    connects: u64,
    /// Why the connection has to end, where somebody found that what came over it cannot be right, or that its server was
    /// away since. Until it has ended.
    pub(crate) distrusted: Option<Arc<Cause>>,
    /// The socket takes no bytes at present, so the queue may be old.
    pub(crate) stalled: bool,
    /// When the queue was last empty at a push: the time of all that was pushed since, unless the wire stalled.
    now: Duration,
}

impl State {
    /// Whether no further request is taken in, for good.
    pub(crate) const fn is_closed(&self) -> bool {
        matches!(self.admission, Admission::Closed(_))
    }
}

/// See the module.
pub(crate) struct Queue {
    state: Mutex<State>,
    epoch: Instant,
}

impl Queue {
    pub(crate) fn new(limits: QueueLimits) -> Self {
        let state = State {
            session: Session::new(limits),
            admission: Admission::Open,
            sleeper: None,
            refused: false,
            requests: 0,
            writes: 0,
            connected: false,
            connects: 0,
            distrusted: None,
            stalled: false,
            now: Duration::ZERO,
        };
        Self { state: Mutex::new(state), epoch: Instant::now() }
    }

    /// The time since the queue was made: what deadlines count in.
    pub(crate) fn now(&self) -> Duration {
        self.epoch.elapsed()
    }

    pub(crate) fn epoch(&self) -> Instant {
        self.epoch
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        // No code that runs under the lock can panic half-way through a change; were it to happen all the same, the
        // session is still the best knowledge there is of who has to be answered.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Appends a call's frames and wakes the wire if it sleeps.
    fn push<F: Frames + ?Sized>(
        &self,
        frames: &F,
        allowed: Duration,
        waker: Waker,
    ) -> Result<Pushed, Failure> {
        self.append(frames, allowed, |session, size, deadline| {
            session.push(frames.replies(), size, deadline, waker, |out| frames.append(out))
        })
    }

    /// Appends frames whose replies are taken as they arrive, with [`Queue::receive`]. Who leaves the ticket behind gives
    /// it to [`Queue::cancel`].
    pub(crate) fn push_stream<F: Frames + ?Sized>(
        &self,
        frames: &F,
        allowed: Duration,
        room: VecDeque<Reply>,
    ) -> Result<Ticket, Failure> {
        let pushed = self.append(frames, allowed, |session, size, deadline| {
            session.push_stream(frames.replies(), size, deadline, room, |out| frames.append(out))
        });
        pushed.map(|(ticket, _)| ticket)
    }

    fn append<F: Frames + ?Sized>(
        &self,
        frames: &F,
        allowed: Duration,
        push: impl FnOnce(&mut Calls, usize, Duration) -> Result<Ticket, Full>,
    ) -> Result<Pushed, Failure> {
        let size = frames.size();
        if size > MOST_BYTES {
            let cause = Cause::new(
                Kind::Refused,
                "a request of more than 512 MiB, which may be more than a server takes",
            );
            return Err(Failed { sent: Sent::No, cause });
        }
        if allowed.is_zero() {
            return Err(Failed { sent: Sent::No, cause: Cause::late(Late::Serving) });
        }
        let mut state = self.lock();
        match &state.admission {
            Admission::Open => {}
            Admission::Resting(cause) | Admission::Closed(cause) => {
                let cause = Arc::clone(cause);
                state.refused = true;
                return Err(Failed { sent: Sent::No, cause });
            }
        }
        if state.stalled || state.session.nothing_queued() {
            state.now = self.now();
        }
        let now = state.now;
        let deadline = now.saturating_add(allowed);
        let Ok(ticket) = push(&mut state.session, size, deadline) else {
            let cause = Cause::new(Kind::Busy, "the queue to this shard is full");
            return Err(Failed { sent: Sent::No, cause });
        };
        state.requests += u64::from(frames.replies());
        let sleeper = state.sleeper.take();
        drop(state);
        if let Some(sleeper) = sleeper {
            sleeper.wake();
        }
        Ok((ticket, now))
    }

    /// One step of a call: pushes where there is no ticket yet, and collects where there is. Who leaves a ticket behind
    /// gives it to [`Queue::cancel`]. `since` becomes the time from which its deadline counts.
    pub(crate) fn poll_call<F: Frames + ?Sized>(
        &self,
        ticket: &mut Option<Ticket>,
        since: &mut Option<Duration>,
        frames: &F,
        allowed: Duration,
        context: &mut Context<'_>,
    ) -> Poll<Result<Replies<Reply>, Failure>> {
        let Some(pushed) = ticket else {
            return match self.push(frames, allowed, context.waker().clone()) {
                Ok((pushed, now)) => {
                    (*ticket, *since) = (Some(pushed), Some(now));
                    Poll::Pending
                }
                Err(failed) => Poll::Ready(Err(failed)),
            };
        };
        let mut state = self.lock();
        if let Some(outcome) = state.session.collect(pushed) {
            *ticket = None;
            return Poll::Ready(outcome);
        }
        if let Some(waker) = state.session.waker(pushed) {
            waker.clone_from(context.waker());
        }
        Poll::Pending
    }

    /// Takes the replies of a stream that have arrived; where there are none yet, the task is woken by the next. The
    /// ticket is gone when the stream has ended.
    pub(crate) fn receive(
        &self,
        ticket: &mut Option<Ticket>,
        into: &mut VecDeque<Reply>,
        context: &Context<'_>,
    ) -> Result<Stream, Failure> {
        let Some(pushed) = ticket else { return Ok(Stream::Ended) };
        let received = self.lock().session.receive(pushed, into, || context.waker().clone());
        if !matches!(received, Ok(Stream::Open)) {
            *ticket = None;
        }
        received
    }

    /// The bytes of the replies of a stream that arrived and were not taken.
    pub(crate) fn held(&self, ticket: &Ticket) -> usize {
        self.lock().session.arrived(ticket).map(|reply| reply.frame().len()).sum()
    }

    /// Gives a call up.
    pub(crate) fn cancel(&self, ticket: Ticket) {
        self.lock().session.cancel(ticket);
    }

    /// Fails every call that is queued or in flight, and sets what happens to the next ones. A closed queue stays so.
    pub(crate) fn fail(&self, cause: &Arc<Cause>, admission: Admission) {
        let mut woken = Vec::new();
        let mut state = self.lock();
        state.session.fail(cause, &mut woken);
        if !state.is_closed() {
            state.admission = admission;
        }
        state.stalled = false;
        state.distrusted = None;
        state.connected = false;
        drop(state);
        woken.into_iter().for_each(Waker::wake);
    }

    /// Fails what is overdue, and says when to look again.
    pub(crate) fn expire(&self, cause: &Arc<Cause>, woken: &mut Vec<Waker>) -> Overdue {
        self.lock().session.expire(self.now(), cause, woken)
    }

    /// Takes requests in again.
    pub(crate) fn open(&self) {
        let mut state = self.lock();
        if !state.is_closed() {
            state.admission = Admission::Open;
        }
    }

    /// A connection stands. Nobody can distrust it: it has said nothing yet.
    pub(crate) fn connected(&self) {
        let mut state = self.lock();
        state.distrusted = None;
        state.connected = true;
        state.connects += 1;
    }

    /// Ends the connection that is served, if there is one.
    pub(crate) fn distrust(&self, cause: &Arc<Cause>) {
        let mut state = self.lock();
        state.distrusted = Some(Arc::clone(cause));
        let sleeper = state.sleeper.take();
        drop(state);
        if let Some(sleeper) = sleeper {
            sleeper.wake();
        }
    }

    /// Whether the connection that is served is to end, and has not yet.
    pub(crate) fn is_distrusted(&self) -> bool {
        let state = self.lock();
        state.connected && state.distrusted.is_some()
    }

    /// No further request is taken in. Those that are queued or in flight are served, and then the wire ends.
    pub(crate) fn close(&self, cause: Arc<Cause>) {
        let mut state = self.lock();
        state.admission = Admission::Closed(cause);
        let sleeper = state.sleeper.take();
        drop(state);
        if let Some(sleeper) = sleeper {
            sleeper.wake();
        }
    }

    /// Whether a request waits for the connection, or was refused since this was last asked.
    pub(crate) fn missed(&self) -> bool {
        let mut state = self.lock();
        std::mem::take(&mut state.refused) || state.session.owed() > 0
    }

    /// Requests that are queued or not yet answered.
    pub(crate) fn owed(&self) -> usize {
        self.lock().session.owed()
    }

    pub(crate) fn stats(&self) -> WireStats {
        let state = self.lock();
        WireStats {
            connected: usize::from(state.connected),
            connects: state.connects,
            requests: state.requests,
            writes: state.writes,
            in_flight: state.session.owed(),
            queued: state.session.queued(),
        }
    }
}

/// Shared wires, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct WireStats {
    /// Wires whose connection stands now.
    pub connected: usize,
    /// Connections made since the start.
    pub connects: u64,
    /// Requests taken in since the start.
    pub requests: u64,
    /// Writes to the sockets since the start. Each carries one request or more.
    pub writes: u64,
    /// Requests that are queued or not yet answered.
    pub in_flight: usize,
    /// Bytes of requests that no write has taken yet.
    pub queued: usize,
}

impl AddAssign for WireStats {
    fn add_assign(&mut self, other: Self) {
        self.connected += other.connected;
        self.connects += other.connects;
        self.requests += other.requests;
        self.writes += other.writes;
        self.in_flight += other.in_flight;
        self.queued += other.queued;
    }
}

impl Sum for WireStats {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), |mut sum, one| {
            sum += one;
            sum
        })
    }
}

/// A call in a queue: pushes at its first poll, yields the replies, and gives its place up when it is dropped.
///
/// Cancel safe in this sense: a call dropped before it was written is never sent; one dropped later may run, and its
/// reply is absorbed.
pub(crate) struct Call<'f, F: Frames + ?Sized> {
    queue: &'f Queue,
    frames: &'f F,
    allowed: Duration,
    ticket: Option<Ticket>,
}

impl<'f, F: Frames + ?Sized> Call<'f, F> {
    pub(crate) const fn new(queue: &'f Queue, frames: &'f F, allowed: Duration) -> Self {
        Self { queue, frames, allowed, ticket: None }
    }
}

impl<F: Frames + ?Sized> Future for Call<'_, F> {
    type Output = Result<Replies<Reply>, Failure>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        this.queue.poll_call(&mut this.ticket, &mut None, this.frames, this.allowed, context)
    }
}

impl<F: Frames + ?Sized> Drop for Call<'_, F> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            self.queue.cancel(ticket);
        }
    }
}

/// What was appended, and the time from which its deadline counts.
type Pushed = (Ticket, Duration);

/// What servers take in one argument, and a little for headers: where more than that is refused, the server closes the
/// connection that others share. (They take more in a request of several arguments; so large a one is not worth the risk.)
const MOST_BYTES: usize = (512 << 20) + (1 << 20);
