//! One server: its shared wires and its exclusive connections.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rendis_core::reply::Reply;
use rendis_core::request::RequestBuf;
use rendis_core::session::{Failed, QueueLimits, Replies, Sent};
use tokio::runtime::Handle;

use crate::dial::Dialer;
use crate::error::{Cause, Endpoint, Error, Failure, Kind};
use crate::exclusive::{Exclusive, Lease, PoolStats};
use crate::frames::Frames;
use crate::lane::Lane;
use crate::pulse::Pulse;
use crate::queue::Queue;
pub use crate::queue::WireStats;
use crate::settings::{Deadlines, Protocol, Settings, ShardSettings};
use crate::times::Times;
use crate::tls::SystemRoots;
use crate::version::Version;

/// One server of a ring.
///
/// Whoever holds it can use it: a shard that was removed from the ring serves the calls that are under way, and its
/// connections and tasks end when the last of them drops it.
///
/// A server answers in another shape to RESP3 than to RESP2, and no rule turns one into the other byte for byte. So a
/// shard has connections of either protocol, those of the second only once somebody asks for it.
pub struct Shard {
    endpoint: Arc<Endpoint>,
    pulse: Arc<Pulse>,
    /// The protocol of the settings, which is spoken where nobody asks for another.
    own: Protocol,
    newest: Side,
    resp2: Side,
    shape: Shape,
    past: Past,
}

/// What was counted at a shard of this name before it was connected to in another way.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Past {
    wires: WireStats,
    pool: PoolStats,
}

/// How a call is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Manner {
    /// Over the connections of this protocol.
    pub protocol: Protocol,
    /// From handing it in until its reply.
    pub deadline: Duration,
}

/// The connections that speak one protocol.
struct Side {
    dialer: Arc<Dialer>,
    lanes: OnceLock<Box<[Lane]>>,
    next: AtomicUsize,
    exclusive: Exclusive,
}

/// What wires are made with.
struct Shape {
    wires: usize,
    linger: bool,
    queue: QueueLimits,
    deadlines: Deadlines,
}

impl Shard {
    /// Starts the shared wires of the protocol that the settings name; must be called on a tokio runtime. What they
    /// say of its health goes to `pulse`, and what they count is added to what was before.
    ///
    /// # Errors
    /// [`Kind::Config`] when its settings cannot be used.
    pub(crate) fn start(
        shard: ShardSettings,
        settings: &Settings,
        system: &SystemRoots,
        pulse: Arc<Pulse>,
        past: Past,
    ) -> Result<Self, Error> {
        let endpoint = Arc::new(Endpoint { name: shard.name.clone(), address: shard.address.to_string() });
        let own = shard.protocol;
        let dialer = Dialer::new(shard, settings.deadlines.clone(), system)?;
        let side = |dialer: Dialer| {
            let dialer = Arc::new(dialer);
            let exclusive = Exclusive::new(
                Arc::clone(&dialer),
                settings.exclusive,
                settings.deadlines.wait,
                Some(Handle::current()),
            )?;
            Ok::<_, Error>(Side { dialer, lanes: OnceLock::new(), next: AtomicUsize::new(0), exclusive })
        };
        let shard = Self {
            endpoint,
            pulse,
            own,
            newest: side(dialer.speaking(Protocol::Newest))?,
            resp2: side(dialer.speaking(Protocol::Resp2))?,
            shape: Shape {
                wires: settings.wires.max(1),
                linger: settings.linger,
                queue: settings.queue,
                deadlines: settings.deadlines.clone(),
            },
            past,
        };
        shard.lanes(own);
        Ok(shard)
    }

    /// Its name in the ring.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.endpoint.name
    }

    /// Name and address, as errors show them.
    #[must_use]
    pub const fn endpoint(&self) -> &Arc<Endpoint> {
        &self.endpoint
    }

    /// Whether both are one server under one name, so that a connection of the one reaches the keys of the other, whoever
    /// logs in there, and how. New deadlines or limits make another [`Shard`] of it.
    #[must_use]
    pub fn is_same_server(&self, other: &Self) -> bool {
        self.settings().is_same_server(other.settings())
    }

    /// What has been counted here, for the shard that takes its place.
    pub(crate) fn past(&self) -> Past {
        let (wires, pool) = (self.wire_stats(), self.pool_stats());
        Past {
            wires: WireStats { connected: 0, in_flight: 0, queued: 0, ..wires },
            pool: PoolStats { idle: 0, total: 0, ..pool },
        }
    }

    /// Its settings.
    #[must_use]
    pub fn settings(&self) -> &ShardSettings {
        self.side(self.own).dialer.settings()
    }

    /// What dials it.
    #[must_use]
    pub const fn dialer(&self) -> &Arc<Dialer> {
        &self.side(self.own).dialer
    }

    /// The protocol that its settings name.
    #[must_use]
    pub const fn protocol(&self) -> Protocol {
        self.own
    }

    /// The version of Redis that it said it equals; see [`Dialer::version`].
    #[must_use]
    pub fn version(&self) -> Option<Version> {
        self.dialer().version()
    }

    /// How its settings say that calls are made.
    #[must_use]
    pub const fn manner(&self) -> Manner {
        Manner { protocol: self.own, deadline: self.shape.deadlines.reply }
    }

    pub(crate) const fn pulse(&self) -> &Arc<Pulse> {
        &self.pulse
    }

    /// Sends frames over a shared wire and waits for their replies. Cancel safe: what was not written is not sent.
    ///
    /// # Errors
    /// A failure that does not name the shard; [`Shard::error`] adds that.
    pub async fn call<F: Frames + ?Sized>(
        &self,
        manner: Manner,
        frames: &F,
    ) -> Result<Replies<Reply>, Failure> {
        let (lanes, turn) = (self.lanes(manner.protocol), self.turn(manner.protocol));
        match lanes.get(turn) {
            Some(lane) => lane.call(frames, manner.deadline).await,
            None => Err(no_wires()),
        }
    }

    /// A connection of one's own.
    ///
    /// # Errors
    /// See [`Exclusive::lease`].
    pub async fn lease(&self, protocol: Protocol) -> Result<Lease, Failure> {
        self.side(protocol).exclusive.lease().await
    }

    /// Whether there was ever a connection with it, whatever the settings were then.
    #[must_use]
    pub fn was_reached(&self) -> bool {
        self.pulse.connects() > 0
    }

    /// The error of a failure here, of a call that was made as the settings say.
    #[must_use]
    pub fn error(&self, failure: Failure) -> Error {
        self.error_within(failure, self.reply_deadline())
    }

    /// The error of a failure here, of a call that was allowed so long.
    pub(crate) fn error_within(&self, failure: Failure, deadline: Duration) -> Error {
        self.pulse.tally().error(failure.cause.kind);
        Error::at(&self.endpoint, Cause::within(failure, deadline))
    }

    /// Requests on the shared wires that are queued or not yet answered.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.running().map(Lane::in_flight).sum()
    }

    /// The shared wires. Counts go on where the shard is connected to in another way, from what they were then.
    #[must_use]
    pub fn wire_stats(&self) -> WireStats {
        self.running().map(Lane::stats).chain([self.past.wires]).sum()
    }

    /// The exclusive connections. Counts go on as those of [`Shard::wire_stats`]; what is in use from before is not among them.
    #[must_use]
    pub fn pool_stats(&self) -> PoolStats {
        [self.past.pool, self.newest.exclusive.stats(), self.resp2.exclusive.stats()].into_iter().sum()
    }

    /// What went wrong here last, if anything ever did: a connection, a probe, a deadline.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        self.pulse.trouble().map(|cause| cause.text.clone())
    }

    /// Bytes sent and received over shared wires since the start, by all engines of the ring in this process.
    #[must_use]
    pub fn bytes(&self) -> (u64, u64) {
        self.pulse.tally().bytes()
    }

    /// Errors that calls ended with here, by their kind, on all engines of the ring in this process.
    pub fn errors(&self) -> impl Iterator<Item = (Kind, u64)> + '_ {
        self.pulse.tally().errors()
    }

    /// How long replies took, from the writing of a batch of requests until the last of them was answered; one batch after the
    /// other on each wire, of all engines of the ring in this process.
    #[must_use]
    pub fn replies(&self) -> &Times {
        self.pulse.tally().replies()
    }

    /// How long probes took, those that failed counted.
    #[must_use]
    pub fn probes(&self) -> &Times {
        self.pulse.tally().probes()
    }

    /// How often it fell or rose, for all engines of the ring in this process.
    #[must_use]
    pub fn health_changes(&self) -> u64 {
        self.pulse.tally().health_changes()
    }

    /// How long a reply may take.
    #[must_use]
    pub const fn reply_deadline(&self) -> Duration {
        self.shape.deadlines.reply
    }

    /// Takes no further calls. Those under way are served; idle connections close.
    pub(crate) fn close(&self) {
        self.running().for_each(Lane::close);
        self.newest.exclusive.close();
        self.resp2.exclusive.close();
    }

    /// An answer that cannot be right came over a shared wire, and so may be another's: the wires are connected anew, and
    /// the calls on them end with this cause.
    pub(crate) fn distrust(&self, cause: &Arc<Cause>) {
        self.running().for_each(|lane| lane.queue().distrust(cause));
    }

    /// The server is known to be back: connections that rest try again now, and those with requests from before are
    /// made anew. What lay idle may have died meanwhile, and whoever took it would wait in vain.
    pub(crate) fn renew(&self) {
        self.running().for_each(Lane::renew);
        self.newest.exclusive.close_idle();
        self.resp2.exclusive.close_idle();
    }

    /// Returns when the server has answered all that was handed to the shared wires before.
    ///
    /// # Errors
    /// What a wire met, or that it was not answered in time.
    pub(crate) async fn answered(&self) -> Result<(), Arc<Cause>> {
        let ping = RequestBuf::pack([&b"PING"[..]]);
        for lane in self.running() {
            lane.call(&ping, self.reply_deadline()).await.map_err(|failure| failure.cause)?;
        }
        Ok(())
    }

    /// Returns when no shared wire has a connection any more that was to end. Cancel safe.
    pub(crate) async fn renewed(&self) {
        for lane in self.running() {
            while lane.queue().is_distrusted() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
    }

    /// Returns when each shared wire has tried to connect once.
    pub(crate) async fn tried(&self) {
        for lane in self.running() {
            lane.tried().await;
        }
    }

    const fn side(&self, protocol: Protocol) -> &Side {
        match protocol {
            Protocol::Newest => &self.newest,
            Protocol::Resp2 => &self.resp2,
        }
    }

    /// The shared wires of a protocol, started at their first use.
    #[inline]
    fn lanes(&self, protocol: Protocol) -> &[Lane] {
        let side = self.side(protocol);
        side.lanes.get_or_init(|| {
            let lane = |_| {
                let (dialer, pulse) = (Arc::clone(&side.dialer), Arc::clone(&self.pulse));
                let Shape { linger, queue, deadlines, .. } = &self.shape;
                Lane::start(dialer, pulse, deadlines.clone(), *queue, *linger)
            };
            (0..self.shape.wires).map(lane).collect()
        })
    }

    /// The shared wires that were started.
    fn running(&self) -> impl Iterator<Item = &Lane> {
        [&self.newest, &self.resp2].into_iter().filter_map(|side| side.lanes.get()).flatten()
    }

    /// The queue of a shared wire, by [`Shard::turn`].
    #[inline]
    pub(crate) fn queue(&self, protocol: Protocol, turn: usize) -> Option<&Queue> {
        self.lanes(protocol).get(turn).map(Lane::queue)
    }

    /// The shared wire whose turn it is.
    #[inline]
    pub(crate) fn turn(&self, protocol: Protocol) -> usize {
        if self.shape.wires == 1 {
            return 0;
        }
        self.side(protocol).next.fetch_add(1, Ordering::Relaxed) % self.shape.wires
    }
}

pub(crate) fn no_wires() -> Failure {
    Failed { sent: Sent::No, cause: Cause::new(Kind::Refused, "the shard has no wires") }
}

impl Drop for Shard {
    fn drop(&mut self) {
        self.close();
    }
}

impl std::fmt::Debug for Shard {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Shard({} at {})", self.endpoint.name, self.endpoint.address)
    }
}
