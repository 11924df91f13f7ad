//! Holds the topology in force, and follows the coordinator.
//!
//! One [`ArcSwap`] holds the topology; a change builds the next one under the coordinator's lock and swaps it in. Engines share
//! what their coordinator knows where they are given the same one, and else nothing.

mod change;
mod deadline;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use futures_util::future::join_all;
use rendis_core::command::{Row, Table};
use rendis_core::id::ShardId;
use rendis_core::placement::Spec;
use rendis_core::retry::{Attempt, Budget, Decision};
use rendis_core::topology::Topology;
use tokio::runtime::Handle;
use tokio::sync::futures::Notified;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout};

use crate::coordinator::{Coordinator, Follower};
use crate::error::{Error, Kind};
use crate::events::Events;
use crate::exclusive::Lease;
use crate::ledger::{Extent, Ledger};
use crate::members::{self, build};
use crate::probe::Heartbeat;
use crate::scripts::Scripts;
use crate::settings::{LONGEST, OnDown, Protocol, Settings, ShardSettings};
use crate::shard::Shard;

pub(crate) use crate::members::{no_shard, serving};

/// Told of every shard that the engine starts to use.
pub type NewShard = dyn Fn(&Arc<Shard>) + Send + Sync;

/// What an engine is made of. Default: no shards, and the defaults of everything else.
#[derive(Default)]
pub struct EngineConfig {
    /// The shards, in the order of the list.
    pub shards: Vec<ShardSettings>,
    /// How keys are placed.
    pub placement: Spec,
    /// How it behaves.
    pub settings: Settings,
    /// How shards are asked whether they are well.
    pub heartbeat: Heartbeat,
    /// Told of every shard that comes into use, before it gets its first command.
    pub on_new_shard: Option<Arc<NewShard>>,
    /// Who watches over the shards: a new one, or one that the engines of a ring have in common.
    pub coordinator: Arc<Coordinator>,
    /// How long the start waits for first connections at most; `None` as long as connecting may take.
    pub first_wait: Option<Duration>,
}

/// One ring at work. Cheap to clone; when the last clone is gone, all its tasks and connections end.
#[derive(Clone)]
pub struct Engine {
    inner: Arc<Inner>,
    /// The protocol that calls through this handle are made in; that of each shard's settings where `None`.
    protocol: Option<Protocol>,
    /// How long a call through this handle may take; as long as the settings say where `None`.
    deadline: Option<Duration>,
    /// How long the whole of it was allowed, where `deadline` is what is left.
    whole: Option<Duration>,
}

struct Inner {
    topology: ArcSwap<Topology<Shard>>,
    table: ArcSwap<Table>,
    settings: ArcSwap<Settings>,
    on_new_shard: Option<Arc<NewShard>>,
    closed: AtomicBool,
    budget: Mutex<Budget>,
    started: Instant,
    changes: watch::Sender<u64>,
    /// Wakes the calls that wait for a change. The channel would do, but wakes them in an order of chance; so they go on
    /// in the order in which they came, and a simulation can be repeated.
    swapped: Notify,
    /// What its tasks run on.
    runtime: Handle,
    coordinator: Arc<Coordinator>,
    /// Its number there.
    number: OnceLock<u64>,
}

impl Engine {
    /// Starts the shards' wires and monitors, and waits until every wire has tried to connect once, or for
    /// [`EngineConfig::first_wait`], so that the first calls meet connections that stand. Must be called on a tokio runtime.
    ///
    /// A server that cannot be reached is no error here: it may come back, and calls for its keys say what is wrong.
    ///
    /// # Errors
    /// [`Kind::Config`] when a setting cannot be used.
    pub async fn start(config: EngineConfig) -> Result<Self, Error> {
        let settings = config.settings.checked()?;
        let members = members::start(&config.shards, &settings, &[], true, &mut config.coordinator.lock())?;
        let topology = build(config.placement, members)?;
        let engine = Self {
            inner: Arc::new(Inner {
                topology: ArcSwap::from_pointee(topology),
                table: ArcSwap::from_pointee(Table::default()),
                budget: Mutex::new(Budget::new(settings.budget, Duration::ZERO, 0)),
                settings: ArcSwap::from_pointee(settings),
                on_new_shard: config.on_new_shard,
                closed: AtomicBool::new(false),
                started: Instant::now(),
                changes: watch::Sender::new(0),
                swapped: Notify::new(),
                runtime: Handle::current(),
                coordinator: config.coordinator,
                number: OnceLock::new(),
            }),
            protocol: None,
            deadline: None,
            whole: None,
        };
        let shards: Vec<Arc<Shard>> =
            engine.topology().members().iter().map(|member| Arc::clone(&member.shard)).collect();
        engine.announce(&shards);
        let tried = join_all(shards.iter().map(|shard| shard.tried()));
        // Who takes longer is waited for no more.
        let _ = timeout(config.first_wait.unwrap_or(LONGEST), tried).await;
        let inner = &engine.inner;
        let mut coordinator = inner.coordinator.lock();
        let topology = engine.topology();
        inner.coordinator.adopt(&mut coordinator, topology.members(), &engine.settings(), &config.heartbeat);
        let follower = Arc::downgrade(inner);
        let _ = inner.number.set(coordinator.join(follower));
        inner.follow(&coordinator)();
        drop(coordinator);
        Ok(engine)
    }

    /// The topology in force.
    #[must_use]
    #[inline]
    pub fn topology(&self) -> Arc<Topology<Shard>> {
        self.inner.topology.load_full()
    }

    /// Counts the changes of the topology: a receiver wakes after each, and may see several as one.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.inner.changes.subscribe()
    }

    /// What happens to the ring from now on.
    #[must_use]
    pub fn events(&self) -> Events {
        self.inner.coordinator.events()
    }

    /// Ends at the first change of the topology after it was made, not only after it was polled.
    pub(crate) fn swapped(&self) -> Notified<'_> {
        self.inner.swapped.notified()
    }

    /// How it behaves.
    #[must_use]
    pub fn settings(&self) -> Arc<Settings> {
        self.inner.settings.load_full()
    }

    /// The shard that holds `key` now.
    ///
    /// # Errors
    /// [`Kind::ShardDown`] when it is down or no shard is up; [`Kind::Refused`] when the engine is closed.
    #[inline]
    pub fn shard_for(&self, key: &[u8]) -> Result<Arc<Shard>, Error> {
        self.open()?;
        let topology = self.inner.topology.load();
        let id = topology.locate(key).ok_or_else(|| unplaced(&topology))?;
        serving(&topology, id)
    }

    /// The shard with this number, if it is up.
    ///
    /// # Errors
    /// As [`Engine::shard_for`].
    pub fn shard(&self, id: ShardId) -> Result<Arc<Shard>, Error> {
        self.open()?;
        serving(&self.inner.topology.load(), id)
    }

    /// The shard with the only key of a request; `None` where more than the key has to be looked at.
    #[inline]
    pub(crate) fn shard_of(&self, row: &Row, key: &[u8]) -> Option<Result<Arc<Shard>, Error>> {
        if let Err(closed) = self.open() {
            return Some(Err(closed));
        }
        let topology = self.inner.topology.load();
        if !topology.is_whole() && !row.is_read() {
            return None;
        }
        match topology.locate(key).map(|id| serving(&topology, id)) {
            Some(Err(_)) if self.inner.settings.load().on_down == OnDown::Miss => None,
            Some(shard) => Some(shard),
            None => Some(Err(unplaced(&topology))),
        }
    }

    /// A connection of one's own to this shard, in the protocol of this handle.
    ///
    /// # Errors
    /// See [`crate::exclusive::Exclusive::lease`].
    pub async fn lease(&self, shard: &Shard) -> Result<Lease, Error> {
        shard.lease(self.protocol(shard)).await.map_err(|failure| shard.error(failure))
    }

    /// The command table in force.
    #[must_use]
    pub fn table(&self) -> &ArcSwap<Table> {
        &self.inner.table
    }

    /// Refuses all further calls, and ends monitors and connections. Calls under way are served first.
    pub fn close(&self) {
        self.inner.closed.store(true, Ordering::Release);
        // A change that is just telling of a new shard has the lock, and does it when it is made.
        if !self.inner.coordinator.is_notifying_here() {
            self.end();
        }
    }

    fn end(&self) {
        self.inner.leave();
        self.inner.topology.load().members().iter().for_each(|member| member.shard.close());
    }

    /// Where its tasks run, and what callers wait for.
    pub(crate) fn runtime(&self) -> &Handle {
        &self.inner.runtime
    }

    /// Whether [`Engine::close`] was called.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.inner.closed.load(Ordering::Acquire)
    }

    /// Whether to make a failed call again.
    pub(crate) fn decide(&self, attempt: &Attempt) -> Decision {
        let inner = &self.inner;
        inner.settings.load().retry.decide(attempt, fastrand::f64(), || {
            let requests = requests(&inner.topology.load());
            let mut budget = inner.budget.lock().unwrap_or_else(PoisonError::into_inner);
            budget.withdraw(inner.started.elapsed(), requests)
        })
    }

    pub(crate) fn scripts(&self) -> &Scripts {
        &self.inner.coordinator.scripts
    }

    /// Whether keys of this shard were written elsewhere by engines of the ring in this process, so that it has to forget them
    /// before it serves again.
    #[must_use]
    pub fn has_to_forget(&self, shard: &str) -> bool {
        self.ledger().extent(shard) != Extent::Keys(0)
    }

    pub(crate) fn ledger(&self) -> &Ledger {
        &self.inner.coordinator.ledger
    }

    fn open(&self) -> Result<(), Error> {
        if self.inner.closed.load(Ordering::Relaxed) {
            return Err(Error::local(Kind::Refused, "the ring is closed"));
        }
        Ok(())
    }
}

impl Inner {
    fn leave(&self) {
        if let Some(number) = self.number.get() {
            self.coordinator.leave(*number);
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.leave();
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let topology = self.topology();
        let names = topology.members().iter().map(|member| member.shard.name());
        out.debug_tuple("Engine").field(&names.collect::<Vec<_>>()).finish()
    }
}

/// How many requests the shards were given so far.
fn requests(topology: &Topology<Shard>) -> u64 {
    topology.members().iter().map(|member| member.shard.wire_stats().requests).sum()
}

/// No shard is placed for a key.
fn unplaced(topology: &Topology<Shard>) -> Error {
    if topology.live().is_empty() {
        return no_shard();
    }
    Error::local(Kind::ShardDown, "the placement gives no live shard for this key")
}
