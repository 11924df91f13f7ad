//! One server: its shared wires and its exclusive connections.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use rendis_core::reply::Reply;
use rendis_core::session::{Failed, Replies, Sent, Ticket};

use crate::connection::Failure;
use crate::dial::Dialer;
use crate::error::{Cause, Error, Kind, Place};
use crate::exclusive::{Exclusive, Lease, PoolStats};
use crate::frames::Frames;
use crate::lane::Lane;
use crate::pulse::Pulse;
use crate::settings::{Settings, ShardSettings};

/// One server of a ring.
///
/// Whoever holds it can use it: a shard that was removed from the ring serves the calls that are under way, and its
/// connections and tasks end when the last of them drops it.
pub struct Shard {
    place: Arc<Place>,
    dialer: Arc<Dialer>,
    pulse: Arc<Pulse>,
    lanes: Box<[Lane]>,
    next: AtomicUsize,
    exclusive: Exclusive,
    reply_deadline: Duration,
}

impl Shard {
    /// Starts the shared wires; must be called on a tokio runtime.
    ///
    /// # Errors
    /// [`Kind::Config`] when its settings cannot be used.
    pub fn start(shard: ShardSettings, settings: &Settings) -> Result<Self, Error> {
        let place = Arc::new(Place { name: shard.name.clone(), address: shard.address.to_string() });
        let dialer = Arc::new(Dialer::new(shard, settings.deadlines.clone())?);
        let pulse = Arc::new(Pulse::default());
        let exclusive = Exclusive::new(Arc::clone(&dialer), settings.exclusive, settings.deadlines.wait)?;
        let lane = || {
            Lane::start(Arc::clone(&dialer), Arc::clone(&pulse), settings.deadlines.clone(), settings.queue)
        };
        let lanes = (0..settings.wires.max(1)).map(|_| lane()).collect();
        Ok(Self {
            place,
            pulse,
            lanes,
            next: AtomicUsize::new(0),
            exclusive,
            reply_deadline: settings.deadlines.reply,
            dialer,
        })
    }

    /// Its name in the ring.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.place.name
    }

    /// Name and address, as errors show them.
    #[must_use]
    pub const fn place(&self) -> &Arc<Place> {
        &self.place
    }

    /// Its settings.
    #[must_use]
    pub fn settings(&self) -> &ShardSettings {
        self.dialer.settings()
    }

    /// What dials it.
    #[must_use]
    pub const fn dialer(&self) -> &Arc<Dialer> {
        &self.dialer
    }

    pub(crate) const fn pulse(&self) -> &Arc<Pulse> {
        &self.pulse
    }

    /// Sends frames over a shared wire and waits for their replies. Cancel safe: what was not written is not sent.
    ///
    /// # Errors
    /// A failure without its place; [`Shard::error`] adds it.
    pub async fn call<F: Frames + ?Sized>(&self, frames: &F) -> Result<Replies<Reply>, Failure> {
        self.call_within(frames, self.reply_deadline).await
    }

    /// As [`Shard::call`] with another deadline.
    ///
    /// # Errors
    /// As [`Shard::call`].
    pub async fn call_within<F: Frames + ?Sized>(
        &self,
        frames: &F,
        deadline: Duration,
    ) -> Result<Replies<Reply>, Failure> {
        match self.lane() {
            Some(lane) => lane.call(frames, deadline).await,
            None => {
                Err(Failed { sent: Sent::No, cause: Cause::new(Kind::Refused, "the shard has no wires") })
            }
        }
    }

    /// A connection of one's own.
    ///
    /// # Errors
    /// See [`Exclusive::lease`].
    pub async fn lease(&self) -> Result<Lease, Failure> {
        self.exclusive.lease().await
    }

    /// The error of a failure here.
    #[must_use]
    pub fn error(&self, failure: Failure) -> Error {
        Error::at(&self.place, failure)
    }

    /// Requests on the shared wires that are queued or not yet answered.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.lanes.iter().map(Lane::in_flight).sum()
    }

    /// Requests that the shared wires took in since the start.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.lanes.iter().map(|lane| lane.counts().0).sum()
    }

    /// Writes to the sockets of the shared wires since the start.
    #[must_use]
    pub fn writes(&self) -> u64 {
        self.lanes.iter().map(|lane| lane.counts().1).sum()
    }

    /// The exclusive connections.
    #[must_use]
    pub fn pool_stats(&self) -> PoolStats {
        self.exclusive.stats()
    }

    /// How long a reply may take.
    #[must_use]
    pub const fn reply_deadline(&self) -> Duration {
        self.reply_deadline
    }

    /// Takes no further calls. Those under way are served; idle connections close.
    pub(crate) fn close(&self) {
        self.lanes.iter().for_each(Lane::close);
        self.exclusive.close();
    }

    /// The server is known to be back: connections that rest try again now.
    pub(crate) fn nudge(&self) {
        self.lanes.iter().for_each(Lane::nudge);
    }

    /// Returns when each shared wire has tried to connect once.
    pub(crate) async fn tried(&self) {
        for lane in &self.lanes {
            lane.tried().await;
        }
    }

    fn lane(&self) -> Option<&Lane> {
        self.lanes.get(self.turn())
    }

    /// The shared wire whose turn it is.
    #[inline]
    fn turn(&self) -> usize {
        if self.lanes.len() == 1 {
            0
        } else {
            self.next.fetch_add(1, Ordering::Relaxed) % self.lanes.len().max(1)
        }
    }
}

/// A call to a shard that keeps the shard alive: for futures that are written by hand, because they are on every
/// request's path. Drop it and the call is given up.
pub(crate) struct OwnedCall {
    shard: Arc<Shard>,
    lane: usize,
    ticket: Option<Ticket>,
}

impl OwnedCall {
    pub(crate) fn new(shard: Arc<Shard>) -> Self {
        let lane = shard.turn();
        Self { shard, lane, ticket: None }
    }

    /// Pushes at the first call, collects at the following ones.
    #[inline]
    pub(crate) fn poll<F: Frames + ?Sized>(
        &mut self,
        frames: &F,
        context: &mut Context<'_>,
    ) -> Poll<Result<Replies<Reply>, Failure>> {
        match self.shard.lanes.get(self.lane) {
            Some(lane) => {
                lane.queue().poll_call(&mut self.ticket, frames, self.shard.reply_deadline, context)
            }
            None => Poll::Ready(Err(no_wires())),
        }
    }

    pub(crate) fn shard(&self) -> &Arc<Shard> {
        &self.shard
    }
}

impl Drop for OwnedCall {
    fn drop(&mut self) {
        if let (Some(ticket), Some(lane)) = (self.ticket.take(), self.shard.lanes.get(self.lane)) {
            lane.queue().cancel(ticket);
        }
    }
}

fn no_wires() -> Failure {
    Failed { sent: Sent::No, cause: Cause::new(Kind::Refused, "the shard has no wires") }
}

impl Drop for Shard {
    fn drop(&mut self) {
        self.close();
    }
}

impl std::fmt::Debug for Shard {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Shard({} at {})", self.place.name, self.place.address)
    }
}
