//! Holds the topology in force and owns every task.
//!
//! One [`ArcSwap`] holds the topology; a change builds the next one under a lock and swaps it in. Two engines in one
//! process share nothing.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use arc_swap::ArcSwap;
use rendis_core::command::{Repeat, Table, learn};
use rendis_core::health::{Transition, may_eject};
use rendis_core::id::ShardId;
use rendis_core::placement::Spec;
use rendis_core::request::RequestBuf;
use rendis_core::retry::{Budget, Decision, Failed};
use rendis_core::session::Replies;
use rendis_core::topology::{Member, Standing, Topology};
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use crate::error::{Error, Kind};
use crate::exclusive::Lease;
use crate::members::{self, build};
use crate::monitor;
use crate::probe::Heartbeat;
use crate::scripts::Scripts;
use crate::settings::{OnDown, Protocol, Settings, ShardSettings};
use crate::shard::Shard;

pub(crate) use crate::members::{no_shard, serving};

/// Told of every shard that the engine starts to use.
pub type NewShard = dyn Fn(&Arc<Shard>) + Send + Sync;

/// What an engine is made of.
pub struct Plan {
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
    /// The scripts that callers made known. Engines that are one ring together share them; one that is alone has its own.
    pub scripts: Arc<Scripts>,
}

/// One ring at work. Cheap to clone; when the last clone is gone, all its tasks and connections end.
#[derive(Clone)]
pub struct Engine {
    inner: Arc<Inner>,
    /// The protocol that calls through this handle are made in; that of each shard's settings where `None`.
    protocol: Option<Protocol>,
}

struct Inner {
    topology: ArcSwap<Topology<Shard>>,
    table: ArcSwap<Table>,
    settings: ArcSwap<Settings>,
    on_new_shard: Option<Arc<NewShard>>,
    closed: AtomicBool,
    budget: Mutex<Budget>,
    started: Instant,
    changing: Mutex<Changing>,
    changes: watch::Sender<u64>,
    scripts: Arc<Scripts>,
}

/// What only a change of the topology needs to know; its lock makes changes happen one after the other.
struct Changing {
    heartbeat: Heartbeat,
    watched: Vec<Watched>,
}

struct Watched {
    shard: Arc<Shard>,
    up: bool,
    monitor: AbortHandle,
}

impl Engine {
    /// Starts the shards' wires and monitors, and waits until every wire has tried to connect once, so that the first
    /// calls meet connections that stand. Must be called on a tokio runtime.
    ///
    /// A server that cannot be reached is no error here: it may come back, and calls for its keys say what is wrong.
    ///
    /// # Errors
    /// [`Kind::Config`] when a setting cannot be used.
    pub async fn start(plan: Plan) -> Result<Self, Error> {
        let now = Instant::now();
        let spec = plan.placement;
        let settings = plan.settings.checked()?;
        let members = members::start(&plan.shards, &settings, &[])?;
        let topology = build(spec, members)?;
        let engine = Self {
            inner: Arc::new(Inner {
                topology: ArcSwap::from_pointee(topology),
                table: ArcSwap::from_pointee(Table::default()),
                budget: Mutex::new(Budget::new(settings.budget, std::time::Duration::ZERO, 0)),
                settings: ArcSwap::from_pointee(settings),
                on_new_shard: plan.on_new_shard,
                closed: AtomicBool::new(false),
                started: now,
                changing: Mutex::new(Changing { heartbeat: plan.heartbeat, watched: Vec::new() }),
                changes: watch::Sender::new(0),
                scripts: plan.scripts,
            }),
            protocol: None,
        };
        let shards: Vec<Arc<Shard>> =
            engine.topology().members().iter().map(|member| Arc::clone(&member.shard)).collect();
        engine.adopt(&shards);
        for shard in &shards {
            shard.tried().await;
        }
        {
            let mut changing = engine.inner.lock();
            for shard in shards {
                let watched = engine.inner.watched(shard, true, &changing.heartbeat);
                changing.watched.push(watched);
            }
        }
        Ok(engine)
    }

    /// The same engine, through which calls are made in this protocol, so that replies have its shape.
    #[must_use]
    pub fn speaking(&self, protocol: Protocol) -> Self {
        Self { inner: Arc::clone(&self.inner), protocol: Some(protocol) }
    }

    /// The protocol in which a call to this shard is made.
    pub(crate) fn protocol(&self, shard: &Shard) -> Protocol {
        self.protocol.unwrap_or_else(|| shard.protocol())
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

    /// Changes the shards while the engine runs. A shard whose connection settings stay keeps its connections and what
    /// is known of its health; the calls under way on a removed one are served before its connections close. All of it
    /// becomes visible at once.
    ///
    /// # Errors
    /// [`Kind::Config`] when the list cannot be used; nothing is changed then.
    pub fn set_shards(&self, shards: &[ShardSettings]) -> Result<(), Error> {
        self.open()?;
        let mut changing = self.inner.lock();
        let spec = self.inner.topology.load().spec().clone();
        let (settings, heartbeat) = (self.settings(), changing.heartbeat.clone());
        self.change(&mut changing, shards, spec, settings, heartbeat)
    }

    /// Changes everything that a plan says, but for who is told of new shards, while the engine runs: as
    /// [`Engine::set_shards`] does for the shards. Where settings change that connections are made with (deadlines,
    /// queue, wires, exclusive connections), every shard gets new ones, and what is known of its health stays. What was
    /// learned of commands and scripts stays, and so do subscriptions.
    ///
    /// # Errors
    /// [`Kind::Config`] when a setting cannot be used; nothing is changed then.
    pub fn reconfigure(
        &self,
        shards: &[ShardSettings],
        placement: Spec,
        settings: Settings,
        heartbeat: Heartbeat,
    ) -> Result<(), Error> {
        self.open()?;
        let mut changing = self.inner.lock();
        self.change(&mut changing, shards, placement, Arc::new(settings.checked()?), heartbeat)
    }

    fn change(
        &self,
        changing: &mut Changing,
        shards: &[ShardSettings],
        spec: Spec,
        settings: Arc<Settings>,
        heartbeat: Heartbeat,
    ) -> Result<(), Error> {
        // Looked at again under the lock: it may have been closed while this waited for it.
        self.open()?;
        let inner = &self.inner;
        let (current, before) = (inner.topology.load(), inner.settings.load());
        let kept = if settings.same_connections(&before) { current.members() } else { &[] };
        let next = build(spec, members::start(shards, &settings, kept)?)?;
        let same_watch = settings.health == before.health && heartbeat.same(&changing.heartbeat);
        inner.settings.store(settings);
        changing.heartbeat = heartbeat;
        let mut left = std::mem::take(&mut changing.watched);
        let mut new = Vec::new();
        for member in next.members() {
            let shard = &member.shard;
            let own = left.iter().position(|watched| Arc::ptr_eq(&watched.shard, shard));
            let watched = match own.map(|own| left.swap_remove(own)) {
                Some(watched) if same_watch => watched,
                Some(watched) => {
                    watched.monitor.abort();
                    inner.watched(Arc::clone(shard), watched.up, &changing.heartbeat)
                }
                None => {
                    // The same server under new connections is as well as it was.
                    let same = |watched: &&Watched| {
                        watched.shard.name() == shard.name()
                            && watched.shard.settings().same_connection(shard.settings())
                    };
                    let up = left.iter().find(same).is_none_or(|watched| watched.up);
                    new.push(Arc::clone(shard));
                    inner.watched(Arc::clone(shard), up, &changing.heartbeat)
                }
            };
            changing.watched.push(watched);
        }
        left.iter().for_each(|watched| watched.monitor.abort());
        self.adopt(&new);
        inner.publish(changing, next);
        Ok(())
    }

    /// Refuses all further calls, and ends monitors and connections. Calls under way are served first.
    pub fn close(&self) {
        self.inner.closed.store(true, Ordering::Release);
        let mut changing = self.inner.lock();
        for watched in changing.watched.drain(..) {
            watched.monitor.abort();
        }
        self.inner.topology.load().members().iter().for_each(|member| member.shard.close());
    }

    /// Whether [`Engine::close`] was called.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.inner.closed.load(Ordering::Acquire)
    }

    /// Whether to make a failed call again.
    pub(crate) fn decide(&self, attempt: &Failed) -> Decision {
        let inner = &self.inner;
        inner.settings.load().retry.decide(attempt, fastrand::f64(), || {
            let requests = inner.topology.load().members().iter().map(|member| member.shard.requests()).sum();
            let mut budget = inner.budget.lock().unwrap_or_else(PoisonError::into_inner);
            budget.withdraw(inner.started.elapsed(), requests)
        })
    }

    /// Asks a live shard for the row of a command that is not in the table. True when it was learned.
    pub async fn learn(&self, name: &[u8]) -> bool {
        let topology = self.topology();
        let Some(id) = topology.live().first() else { return false };
        let question = RequestBuf::pack([&b"COMMAND"[..], b"INFO", name]);
        let Ok(Replies::One(reply)) = self.call_shard(*id, &question, Repeat::Read).await else {
            return false;
        };
        let Ok(Some(row)) = learn(reply.frame()) else { return false };
        let mut learned = false;
        self.inner.table.rcu(|table| {
            let mut next = Table::clone(table);
            learned = next.insert(row.clone());
            next
        });
        learned
    }

    pub(crate) fn scripts(&self) -> &Scripts {
        &self.inner.scripts
    }

    fn open(&self) -> Result<(), Error> {
        if self.inner.closed.load(Ordering::Relaxed) {
            return Err(Error::local(Kind::Refused, "the ring is closed"));
        }
        Ok(())
    }

    fn adopt(&self, shards: &[Arc<Shard>]) {
        if let Some(told) = &self.inner.on_new_shard {
            shards.iter().for_each(|shard| told(shard));
        }
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, Changing> {
        self.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins to watch a shard that is known to be up or down.
    fn watched(self: &Arc<Self>, shard: Arc<Shard>, up: bool, heartbeat: &Heartbeat) -> Watched {
        let engine = Arc::downgrade(self);
        let report = async move |shard: &Arc<Shard>, transition| {
            let Some(engine) = Weak::upgrade(&engine) else { return };
            if transition == Transition::Rose {
                engine.teach(shard).await;
            }
            engine.report(shard, transition);
        };
        let settings = self.settings.load().health;
        let task = monitor::watch(Arc::clone(&shard), up, heartbeat.clone(), settings, report);
        Watched { shard, up, monitor: tokio::spawn(task).abort_handle() }
    }

    /// Makes the known scripts known to a shard before it serves again. Best effort: a shard that misses one is taught
    /// when it says so.
    async fn teach(&self, shard: &Arc<Shard>) {
        let scripts = self.scripts.all();
        if scripts.is_empty() {
            return;
        }
        shard.nudge();
        let Ok(mut connection) = shard.dialer().dial().await else { return };
        for script in &scripts {
            if connection.ask(script).await.is_err() {
                return;
            }
        }
    }

    /// A shard fell or rose.
    fn report(&self, shard: &Arc<Shard>, transition: Transition) {
        let mut changing = self.lock();
        let up = transition == Transition::Rose;
        let Some(watched) = changing.watched.iter_mut().find(|watched| Arc::ptr_eq(&watched.shard, shard))
        else {
            return;
        };
        watched.up = up;
        shard.health_changed();
        match transition {
            Transition::Rose => {
                tracing::info!(shard = shard.name(), address = shard.place().address, "shard is up");
                // What failed before it fell is no vote any more.
                shard.pulse().answered();
                shard.nudge();
            }
            Transition::StartedLoading => {
                tracing::warn!(
                    shard = shard.name(),
                    address = shard.place().address,
                    "shard is loading its data"
                );
            }
            _ => tracing::warn!(shard = shard.name(), address = shard.place().address, "shard is down"),
        }
        let current = self.topology.load();
        match build(current.spec().clone(), current.members().to_vec()) {
            Ok(next) => self.publish(&changing, next),
            Err(error) => tracing::error!(%error, "the topology could not be rebuilt"),
        }
    }

    /// Sets every member's standing by what is known of its health, and swaps the topology in.
    fn publish(&self, changing: &Changing, next: Topology<Shard>) {
        let is_up = |shard: &Arc<Shard>| {
            changing
                .watched
                .iter()
                .find(|watched| Arc::ptr_eq(&watched.shard, shard))
                .is_none_or(|watched| watched.up)
        };
        let settings = self.settings.load();
        let mut members = next.members().to_vec();
        let total = members.len();
        // Who is out already stays out: the limit holds for those that fall later.
        let reroute = settings.on_down == OnDown::Reroute;
        let before = self.topology.load();
        let was_out = |shard: &Arc<Shard>| {
            let out = |member: &Member<Shard>| {
                Arc::ptr_eq(&member.shard, shard) && member.standing == Standing::Ejected
            };
            before.members().iter().any(out)
        };
        let mut ejected = 0;
        for first in [true, false] {
            for member in &mut members {
                if is_up(&member.shard) {
                    member.standing = Standing::Serving;
                } else if was_out(&member.shard) == first {
                    let eject = reroute && may_eject(ejected, total, settings.max_ejected);
                    ejected += usize::from(eject);
                    member.standing = if eject { Standing::Ejected } else { Standing::Absent };
                }
            }
        }
        match build(next.spec().clone(), members) {
            Ok(next) => {
                self.topology.store(Arc::new(next));
                self.changes.send_modify(|count| *count += 1);
            }
            Err(error) => tracing::error!(%error, "the topology could not be rebuilt"),
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let changing = self.changing.get_mut().unwrap_or_else(PoisonError::into_inner);
        changing.watched.iter().for_each(|watched| watched.monitor.abort());
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let topology = self.topology();
        let names = topology.members().iter().map(|member| member.shard.name());
        out.debug_tuple("Engine").field(&names.collect::<Vec<_>>()).finish()
    }
}

/// No shard is placed for a key.
fn unplaced(topology: &Topology<Shard>) -> Error {
    if topology.live().is_empty() {
        return no_shard();
    }
    Error::local(Kind::ShardDown, "the placement gives no live shard for this key")
}
