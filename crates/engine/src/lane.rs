//! A shared wire that stays: connects, serves, reconnects with backoff, until nobody holds it any more.
//!
//! ```text
//!   connecting ──ok──► serving ──lost──► connecting
//!       │ refused                            ▲
//!       └──► resting (backoff, jitter) ──────┘      dropped: serves what is owed, then ends
//! ```
//! Requests are taken in while connecting and serving. While resting they are refused at once with the reason, so that
//! a caller can go elsewhere instead of waiting for a server that is known to be away. Where callers wait for the shard to
//! be out of use or back, a rest is cut short and what fails is reported, so that it does not take many callers to notice
//! that a server is dead.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::Duration;

use rendis_core::reply::Reply;
use rendis_core::session::{QueueLimits, Replies};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::backoff::Backoff;
use crate::connection::Connection;
use crate::dial::Dialer;
use crate::error::{Cause, Failure, Kind, Late};
use crate::frames::Frames;
use crate::pulse::Pulse;
use crate::queue::{Admission, Call, Queue, WireStats};
use crate::runtime;
use crate::settings::Deadlines;
use crate::wire::{self, End};

/// The callers' end of a shared wire. Dropping it lets what is in flight finish and ends the task.
pub(crate) struct Lane {
    shared: Arc<Shared>,
}

struct Shared {
    queue: Queue,
    dialer: Arc<Dialer>,
    pulse: Arc<Pulse>,
    deadlines: Deadlines,
    linger: bool,
    /// Ends a rest early, and begins an attempt to connect anew.
    nudge: Notify,
    /// The first attempt to connect has ended, one way or the other.
    tried: Notify,
}

impl Lane {
    /// Starts the task; must be called on a tokio runtime. For `linger` see
    /// [`Settings`](crate::settings::Settings::linger).
    pub(crate) fn start(
        dialer: Arc<Dialer>,
        pulse: Arc<Pulse>,
        deadlines: Deadlines,
        limits: QueueLimits,
        linger: bool,
    ) -> Self {
        let shared = Arc::new(Shared {
            queue: Queue::new(limits),
            dialer,
            pulse,
            deadlines,
            linger,
            nudge: Notify::new(),
            tried: Notify::new(),
        });
        tokio::spawn(run(Arc::clone(&shared)));
        Self { shared }
    }

    /// Sends frames and waits for their replies.
    pub(crate) fn call<'f, F: Frames + ?Sized>(
        &'f self,
        frames: &'f F,
        allowed: Duration,
    ) -> impl Future<Output = Result<Replies<Reply>, Failure>> + use<'f, F> {
        Call::new(&self.shared.queue, frames, allowed)
    }

    /// The queue, for calls that keep their own ticket.
    pub(crate) fn queue(&self) -> &Queue {
        &self.shared.queue
    }

    /// Requests that are queued or not yet answered.
    pub(crate) fn in_flight(&self) -> usize {
        self.shared.queue.owed()
    }

    /// See [`WireStats`].
    pub(crate) fn stats(&self) -> WireStats {
        self.shared.queue.stats()
    }

    /// The server is known to be back after it was away: connect now, also where an attempt is under way, for what it sent
    /// may have been lost; and where a connection stands on which it still owes replies from before, make another.
    pub(crate) fn renew(&self) {
        if self.in_flight() > 0 {
            // What was written to it and has not arrived must not arrive later, after newer values.
            self.shared.queue.distrust(&Cause::new(Kind::ShardDown, "the server was away"));
        }
        self.shared.nudge.notify_one();
    }

    /// Takes no further calls; the task ends when those that are queued or in flight are answered.
    pub(crate) fn close(&self) {
        let text = "the shard was removed from the ring, or the ring was closed";
        self.shared.queue.close(Cause::new(Kind::Refused, text));
        self.shared.nudge.notify_one();
    }

    /// Returns when the first attempt to connect has ended.
    pub(crate) async fn tried(&self) {
        self.shared.tried.notified().await;
        self.shared.tried.notify_one();
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        self.close();
    }
}

/// Answers everybody if the task ends in a way nobody foresaw.
struct Answerer<'s>(&'s Queue);

impl Drop for Answerer<'_> {
    fn drop(&mut self) {
        let cause = match std::thread::panicking() {
            true => Cause::new(Kind::ShardDown, "the connection's task has panicked"),
            false => runtime::ended(),
        };
        self.0.fail(&cause, Admission::Closed(Arc::clone(&cause)));
    }
}

async fn run(shared: Arc<Shared>) {
    let queue = &shared.queue;
    let _answerer = Answerer(queue);
    let mut backoff = Backoff::new(REST_AT_LEAST, REST_AT_MOST);
    let mut hurries = shared.pulse.hurries();
    loop {
        let (cause, stood) = match serve_once(&shared).await {
            Ended::Served => return,
            Ended::Lost { cause, stood } => (cause, stood),
        };
        // A lane that was closed meanwhile says nothing of its shard, which may be another server's now, nor does what is
        // wanting here.
        let votes = cause.kind != Kind::Busy && !queue.lock().is_closed();
        let missed = queue.missed() || shared.pulse.is_awaited();
        if votes && missed {
            shared.pulse.failed(&cause);
        }
        // The hurry may have come during a rest or while connecting.
        let hurried = shared.pulse.hurries();
        if std::mem::replace(&mut hurries, hurried) != hurried {
            backoff.reset();
        }
        match backoff.after(stood) {
            // Requests are taken in meanwhile.
            None => queue.fail(&cause, Admission::Open),
            Some(wait) => rest(&shared, &cause, wait, &mut backoff, hurries).await,
        }
        if queue.lock().is_closed() {
            return;
        }
    }
}

/// How a connection ended, or that there was none.
enum Ended {
    /// The queue was closed, and nobody waits for an answer any more.
    Served,
    Lost {
        cause: Arc<Cause>,
        /// How long it stood.
        stood: Duration,
    },
}

async fn serve_once(shared: &Shared) -> Ended {
    let dialled = connect(shared).await;
    shared.tried.notify_one();
    let lost = |cause| Ended::Lost { cause, stood: Duration::ZERO };
    let stream = match dialled.map(Connection::into_stream) {
        Ok(Some(stream)) => stream,
        Ok(None) => return lost(Cause::new(Kind::Protocol, "the server spoke before it was asked")),
        Err(cause) => return lost(cause),
    };
    stream.discard_at_close();
    let since = Instant::now();
    match wire::serve(stream, &shared.queue, &shared.pulse, &shared.deadlines, shared.linger).await {
        End::Served => Ended::Served,
        End::Lost(cause) => Ended::Lost { cause, stood: since.elapsed() },
    }
}

/// Refuses requests with this cause until it is time to connect again, or nobody needs the connection any more.
async fn rest(shared: &Shared, cause: &Arc<Cause>, wait: Duration, backoff: &mut Backoff, hurries: u64) {
    let queue = &shared.queue;
    if queue.lock().is_closed() {
        return;
    }
    queue.fail(cause, Admission::Resting(Arc::clone(cause)));
    tokio::select! {
        biased;
        () = tokio::time::sleep(wait) => {}
        () = shared.nudge.notified() => backoff.reset(),
        // Whether the server is dead is soon known by trying.
        () = shared.pulse.hurried_after(hurries) => tokio::time::sleep(REST_AT_LEAST).await,
    }
    queue.open();
}

/// Dials, and anew when it is nudged, while the deadlines of the calls that wait for the connection are kept.
async fn connect(shared: &Shared) -> Result<Connection, Arc<Cause>> {
    let mut dial = pin!(shared.dialer.dial());
    let mut nudged = pin!(shared.nudge.notified());
    let mut timer = pin!(tokio::time::sleep(Duration::ZERO));
    let mut armed: Option<Duration> = None;
    std::future::poll_fn(|context| {
        while nudged.as_mut().poll(context).is_ready() {
            nudged.set(shared.nudge.notified());
            dial.set(shared.dialer.dial());
        }
        if let Poll::Ready(result) = dial.as_mut().poll(context) {
            return Poll::Ready(result);
        }
        loop {
            let mut state = shared.queue.lock();
            if state.is_closed() && state.session.owed() == 0 {
                return Poll::Ready(Err(Cause::new(Kind::Refused, "closed while connecting")));
            }
            state.sleeper = Some(context.waker().clone());
            // Nobody takes the queue now, so each call has to read the clock for itself.
            state.stalled = true;
            let Some(due) = state.session.earliest() else { return Poll::Pending };
            drop(state);
            if armed != Some(due) {
                armed = Some(due);
                timer.as_mut().reset(shared.queue.epoch() + due);
            }
            if timer.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
            armed = None;
            let mut woken = Vec::new();
            shared.queue.expire(&Cause::late(Late::Connecting), &mut woken);
            woken.into_iter().for_each(Waker::wake);
        }
    })
    .await
}

/// The first and the longest rest between attempts to connect.
const REST_AT_LEAST: Duration = Duration::from_millis(4);
const REST_AT_MOST: Duration = Duration::from_secs(1);
