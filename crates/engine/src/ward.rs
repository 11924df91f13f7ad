//! Watches over the shards of one ring, for all engines that the ring has in this process.
//!
//! A program has one engine a ring; the proxy has one on each thread. Whether a shard is up must be one decision all the
//! same: were one thread to serve from a shard again while another still writes its keys elsewhere, readers would see
//! old values. So the monitors, the decision who is taken out, the ledger of what was written elsewhere and the scripts
//! that callers made known are here, once, and the engines follow.
//!
//! ```text
//!   monitors ──transition──► ward ──standing──► every engine: one swap each
//!                             ▲
//!      ledger ◄──note── writes of displaced keys
//! ```
//! A change of any engine's topology is made under the ward's lock, so changes happen one after the other.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use rendis_core::health::{Transition, may_eject};
use rendis_core::pace;
use rendis_core::topology::{Member, Standing, Topology};
use tokio::sync::broadcast;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep, timeout};

use crate::connection::Connection;
use crate::error::{Cause, Kind};
use crate::events::{Event, Events, Forgot, KEPT};
use crate::laggards::Laggards;
use crate::ledger::{Extent, Ledger};
use crate::monitor;
use crate::probe::Heartbeat;
use crate::pulse::Pulse;
use crate::returning::{self, Forgetting};
use crate::scripts::Scripts;
use crate::settings::{OnDown, OnReturn, Settings};
use crate::shard::Shard;

/// See the module.
pub struct Ward {
    state: Mutex<State>,
    pub(crate) ledger: Ledger,
    pub(crate) scripts: Scripts,
    events: broadcast::Sender<Event>,
}

/// What the ward knows; its lock is held for every change of a topology.
pub(crate) struct State {
    settings: Arc<Settings>,
    heartbeat: Heartbeat,
    watched: Vec<Watched>,
    pulses: Vec<(String, Arc<Pulse>)>,
    engines: Vec<(u64, Weak<dyn Follower>)>,
    joined: u64,
    tasks: Vec<AbortHandle>,
    /// Looks for slow shards, where that is wanted.
    pacing: Option<(pace::Settings, AbortHandle)>,
}

struct Watched {
    shard: Arc<Shard>,
    /// What its connections are made with.
    settings: Arc<Settings>,
    up: bool,
    /// It is up, and left alone until then because it is much slower than its peers.
    rests: Option<Instant>,
    standing: Standing,
    monitor: AbortHandle,
}

/// An engine, as the ward sees it.
pub(crate) trait Follower: Send + Sync {
    /// Makes the standing of the shards its own, in one swap.
    fn follow(&self, state: &State);
    /// A shard is about to return: connections to it that rest try again now.
    fn expect(&self, shard: &str);
    /// The topology in force.
    fn topology(&self) -> Arc<Topology<Shard>>;
}

impl Default for Ward {
    fn default() -> Self {
        let state = State {
            settings: Arc::default(),
            heartbeat: Heartbeat::default(),
            watched: Vec::new(),
            pulses: Vec::new(),
            engines: Vec::new(),
            joined: 0,
            tasks: Vec::new(),
            pacing: None,
        };
        Self {
            state: Mutex::new(state),
            ledger: Ledger::new(),
            scripts: Scripts::default(),
            events: broadcast::Sender::new(KEPT),
        }
    }
}

impl Ward {
    /// What happens from now on.
    #[must_use]
    pub fn events(&self) -> Events {
        Events::new(self.events.subscribe())
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Watches over these shards and no others, with these settings. What is known of a shard stays as long as it is the
    /// same server. Of several engines that want the same, the first brings its shards in, and its runtime runs the
    /// monitors.
    pub(crate) fn adopt(
        self: &Arc<Self>,
        state: &mut State,
        members: &[Member<Shard>],
        settings: &Arc<Settings>,
        heartbeat: &Heartbeat,
    ) {
        let same_watch = settings.health == state.settings.health && heartbeat.same(&state.heartbeat);
        let names =
            |list: &[Watched]| list.iter().map(|known| known.shard.name().to_owned()).collect::<Vec<_>>();
        let before = names(&state.watched);
        state.settings = Arc::clone(settings);
        state.heartbeat = heartbeat.clone();
        let mut left = std::mem::take(&mut state.watched);
        for member in members {
            let shard = &member.shard;
            let same = |known: &Watched| {
                known.shard.name() == shard.name() && known.shard.settings().same_connection(shard.settings())
            };
            let known = left.iter().position(same).map(|at| left.swap_remove(at));
            let next = match known {
                Some(known) if same_watch && known.settings.same_connections(settings) => known,
                Some(known) => {
                    known.monitor.abort();
                    Watched { standing: known.standing, ..self.watch(state, shard, known.up) }
                }
                None => self.watch(state, shard, true),
            };
            state.watched.push(next);
        }
        left.iter().for_each(|known| known.monitor.abort());
        for known in &left {
            if state.watched.iter().all(|kept| kept.shard.name() != known.shard.name()) {
                self.ledger.discard(known.shard.name());
            }
        }
        state.pulses.retain(|(name, _)| state.watched.iter().any(|known| known.shard.name() == name));
        if state.pacing.as_ref().map(|(settings, _)| *settings) != settings.slow_ejection {
            state.pacing.take().into_iter().for_each(|(_, task)| task.abort());
            state.watched.iter_mut().for_each(|known| known.rests = None);
            state.pacing = settings.slow_ejection.map(|slow| {
                let task = tokio::spawn(Self::pace(Arc::downgrade(self), slow));
                (slow, task.abort_handle())
            });
        }
        state.settle();
        if !before.is_empty() && before != names(&state.watched) {
            self.tell(Event::TopologyChanged);
        }
    }

    /// An engine is closed or gone. With the last one the monitors end.
    pub(crate) fn leave(&self, number: u64) {
        let mut state = self.lock();
        state.engines.retain(|(other, _)| *other != number);
        if state.engines.is_empty() {
            state.end();
        }
    }

    /// Tells all listeners, and the log.
    pub(crate) fn tell(&self, event: Event) {
        let place = event.shard();
        let (shard, address) = (place.map(|place| &place.name), place.map(|place| &place.address));
        match event {
            Event::Down(_) | Event::Loading(_) | Event::Slow(_) => {
                tracing::warn!(shard, address, "{}", event.text());
            }
            _ => tracing::info!(shard, address, "{}", event.text()),
        }
        let _ = self.events.send(event);
    }

    fn watch(self: &Arc<Self>, state: &State, shard: &Arc<Shard>, up: bool) -> Watched {
        let ward = Arc::downgrade(self);
        let report = async move |shard: &Arc<Shard>, transition| match Weak::upgrade(&ward) {
            Some(ward) => ward.report(shard, transition).await,
            None => true,
        };
        let (heartbeat, health) = (state.heartbeat.clone(), state.settings.health);
        let task = monitor::watch(Arc::clone(shard), up, heartbeat, health, report);
        Watched {
            shard: Arc::clone(shard),
            settings: Arc::clone(&state.settings),
            up,
            rests: None,
            standing: Standing::Serving,
            monitor: tokio::spawn(task).abort_handle(),
        }
    }

    /// A shard fell or rose. False when it rose and cannot be taken back yet.
    async fn report(self: &Arc<Self>, shard: &Arc<Shard>, transition: Transition) -> bool {
        let place = || Arc::clone(shard.place());
        match transition {
            Transition::Unchanged => {}
            Transition::Rose => {
                self.tell(Event::Up(place()));
                return match self.take_back(shard).await {
                    Ok(forgot) => {
                        self.tell(Event::Returned { shard: place(), forgot });
                        true
                    }
                    Err(cause) => {
                        tracing::warn!(
                            shard = shard.name(),
                            why = cause.text,
                            "shard cannot be taken back yet"
                        );
                        false
                    }
                };
            }
            Transition::StartedLoading => {
                self.set(shard, false);
                self.tell(Event::Loading(place()));
            }
            Transition::Fell => {
                self.set(shard, false);
                self.tell(Event::Down(place()));
            }
        }
        true
    }

    /// Takes a shard back that answers again: teaches it, has it forget what grew old, and has all engines use it.
    async fn take_back(self: &Arc<Self>, shard: &Arc<Shard>) -> Result<Forgot, Arc<Cause>> {
        let (was_out, on_return, teacher) = {
            let state = self.lock();
            state.engines().for_each(|engine| engine.expect(shard.name()));
            let teacher = state.serving().next().cloned();
            (state.standing(shard.name()) == Standing::Ejected, state.settings.on_return, teacher)
        };
        let mut connection = shard.dialer().dial().await?;
        returning::teach(&mut connection, &self.scripts.all(), teacher.as_deref()).await?;
        match on_return {
            OnReturn::Flush if was_out => {
                returning::flush(&mut connection).await?;
                self.ledger.discard(shard.name());
                self.set(shard, true);
                Ok(Forgot::Everything)
            }
            OnReturn::Forget => self.forget(shard, &mut connection).await,
            _ => {
                self.set(shard, true);
                Ok(if was_out { Forgot::Nothing } else { Forgot::Keys(0) })
            }
        }
    }

    /// Has it forget what was written elsewhere, round by round, and take part right after the last round.
    async fn forget(
        self: &Arc<Self>,
        shard: &Arc<Shard>,
        connection: &mut Connection,
    ) -> Result<Forgot, Arc<Cause>> {
        let mut forgetting = Forgetting::new(&self.ledger, shard.name());
        forgetting.rounds(connection).await?;
        // With some placements a shard that never was away lost keys to others as well.
        let mut others = Vec::new();
        let serving: Vec<Arc<Shard>> = self.lock().serving().cloned().collect();
        for other in serving.iter().filter(|other| self.ledger.extent(other.name()) != Extent::Keys(0)) {
            let mut connection = other.dialer().dial().await?;
            let mut forgetting = Forgetting::new(&self.ledger, other.name());
            forgetting.rounds(&mut connection).await?;
            others.push((connection, forgetting));
        }
        {
            let last = self.ledger.close();
            let ends = async {
                forgetting.end(connection).await?;
                for (connection, forgetting) in &mut others {
                    forgetting.end(connection).await?;
                }
                Ok::<(), Arc<Cause>>(())
            };
            match timeout(LAST_ROUND, ends).await {
                Ok(ended) => ended?,
                Err(_) => return Err(Cause::new(Kind::Timeout, "it did not forget its old keys in time")),
            }
            self.set(shard, true);
            drop(last);
        }
        let forgot = forgetting.forgot();
        let mut keys = forgetting.into_keys();
        keys.extend(others.into_iter().flat_map(|(_, forgetting)| forgetting.into_keys()));
        self.sweep(keys);
        Ok(forgot)
    }

    /// Deletes keys from the shards that stood in, so that they are not found there when they stand in again. What
    /// cannot be deleted now is entered in the ledger.
    fn sweep(self: &Arc<Self>, keys: Vec<Bytes>) {
        if keys.is_empty() {
            return;
        }
        let ward = Arc::downgrade(self);
        let mut state = self.lock();
        let serving: Vec<Arc<Shard>> = state.serving().cloned().collect();
        let Some(engine) = state.engines().next() else { return };
        let topology = engine.topology();
        let task = async move {
            for shard in serving {
                let strange = |key: &&Bytes| {
                    let owner = topology.locate(key).and_then(|id| topology.member(id));
                    owner.is_none_or(|owner| owner.shard.name() != shard.name())
                };
                let keys: Vec<Bytes> = keys.iter().filter(strange).cloned().collect();
                if returning::sweep(&shard, &keys).await.is_err()
                    && let Some(ward) = Weak::upgrade(&ward)
                {
                    ward.ledger.put_back(shard.name(), &keys);
                }
            }
        };
        state.keep(tokio::spawn(task).abort_handle());
    }

    /// Takes shards out that are much slower than their peers, and back after a rest; for ever.
    async fn pace(ward: Weak<Self>, settings: pace::Settings) {
        let mut laggards = Laggards::new(settings);
        loop {
            sleep(settings.window).await;
            let Some(ward) = Weak::upgrade(&ward) else { return };
            let now = Instant::now();
            let rested = ward.lock().rested(now);
            for shard in rested {
                ward.end_rest(&shard).await;
            }
            let serving: Vec<Arc<Shard>> = ward.lock().serving().cloned().collect();
            for shard in laggards.look(&serving) {
                let may = ward.lock().may_rest();
                if may && ward.change(&shard, |known| known.rests = Some(now + settings.rest)) {
                    ward.tell(Event::Slow(Arc::clone(shard.place())));
                }
            }
        }
    }

    /// A slow shard has rested and is taken back like one that was dead. Where that fails it is dead.
    async fn end_rest(self: &Arc<Self>, shard: &Arc<Shard>) {
        match self.take_back(shard).await {
            Ok(forgot) => self.tell(Event::Returned { shard: Arc::clone(shard.place()), forgot }),
            Err(cause) => {
                tracing::warn!(shard = shard.name(), why = cause.text, "shard cannot be taken back yet");
                self.change(shard, |known| known.rests = Some(Instant::now()));
            }
        }
    }

    /// Makes it so that a shard is up or not, for all engines. Nothing, when it is not watched any more.
    fn set(&self, shard: &Arc<Shard>, up: bool) {
        self.change(shard, |known| (known.up, known.rests) = (up, None));
    }

    /// Changes what is known of a shard, and has all engines follow. False when it is not watched any more.
    fn change(&self, shard: &Arc<Shard>, change: impl FnOnce(&mut Watched)) -> bool {
        let mut state = self.lock();
        let Some(known) = state.watched.iter_mut().find(|known| Arc::ptr_eq(&known.shard, shard)) else {
            return false;
        };
        change(known);
        known.shard.health_changed();
        state.settle();
        for engine in state.engines() {
            engine.follow(&state);
        }
        true
    }
}

impl State {
    /// What traffic says of this shard, on whatever engine.
    pub(crate) fn pulse(&mut self, shard: &str) -> Arc<Pulse> {
        if let Some((_, pulse)) = self.pulses.iter().find(|(name, _)| name == shard) {
            return Arc::clone(pulse);
        }
        let pulse = Arc::<Pulse>::default();
        self.pulses.push((shard.to_owned(), Arc::clone(&pulse)));
        pulse
    }

    /// Whether this shard takes part; one that is not known does.
    pub(crate) fn standing(&self, shard: &str) -> Standing {
        self.known(shard).map_or(Standing::Serving, |known| known.standing)
    }

    /// The shards that serve.
    pub(crate) fn serving(&self) -> impl Iterator<Item = &Arc<Shard>> {
        let serves = |known: &&Watched| known.standing == Standing::Serving;
        self.watched.iter().filter(serves).map(|known| &known.shard)
    }

    pub(crate) fn engines(&self) -> impl Iterator<Item = Arc<dyn Follower>> {
        self.engines.iter().filter_map(|(_, engine)| engine.upgrade())
    }

    /// An engine follows from now on, under this number.
    pub(crate) fn join(&mut self, engine: Weak<dyn Follower>) -> u64 {
        self.joined += 1;
        self.engines.push((self.joined, engine));
        self.joined
    }

    pub(crate) const fn heartbeat(&self) -> &Heartbeat {
        &self.heartbeat
    }

    /// A task that ends with the ward, at the latest.
    pub(crate) fn keep(&mut self, task: AbortHandle) {
        self.tasks.retain(|task| !task.is_finished());
        self.tasks.push(task);
    }

    /// The slow shards whose rest is over, and that are up.
    fn rested(&self, now: Instant) -> Vec<Arc<Shard>> {
        let due = |known: &&Watched| known.up && known.rests.is_some_and(|until| until <= now);
        self.watched.iter().filter(due).map(|known| Arc::clone(&known.shard)).collect()
    }

    /// Whether one more shard may be taken out for being slow.
    fn may_rest(&self) -> bool {
        let out = self.watched.iter().filter(|known| known.standing == Standing::Ejected).count();
        let allowed = may_eject(out, self.watched.len(), self.settings.max_ejected);
        allowed && self.settings.on_down == OnDown::Reroute
    }

    fn known(&self, shard: &str) -> Option<&Watched> {
        self.watched.iter().find(|known| known.shard.name() == shard)
    }

    /// Sets every shard's standing by what is known of its health. Who is out already stays out: the limit holds for
    /// those that fall later.
    fn settle(&mut self) {
        let total = self.watched.len();
        let reroute = self.settings.on_down == OnDown::Reroute;
        let was_out: Vec<bool> =
            self.watched.iter().map(|known| known.standing == Standing::Ejected).collect();
        let mut ejected = 0;
        for first in [true, false] {
            for (known, was_out) in self.watched.iter_mut().zip(&was_out) {
                if known.up && known.rests.is_none() {
                    known.standing = Standing::Serving;
                } else if *was_out == first {
                    let eject = reroute && may_eject(ejected, total, self.settings.max_ejected);
                    ejected += usize::from(eject);
                    known.standing = match (eject, known.up) {
                        (true, _) => Standing::Ejected,
                        (false, true) => Standing::Serving,
                        (false, false) => Standing::Absent,
                    };
                }
            }
        }
    }

    fn end(&mut self) {
        self.watched.drain(..).for_each(|known| known.monitor.abort());
        self.tasks.drain(..).for_each(|task| task.abort());
        self.pacing.take().into_iter().for_each(|(_, task)| task.abort());
    }
}

impl Drop for Ward {
    fn drop(&mut self) {
        self.state.get_mut().unwrap_or_else(PoisonError::into_inner).end();
    }
}

impl fmt::Debug for Ward {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.lock();
        let standing = state.watched.iter().map(|known| (known.shard.name(), known.standing));
        out.debug_map().entries(standing).finish()
    }
}

/// How long the last round of a return may take, in which writes wait.
const LAST_ROUND: Duration = Duration::from_millis(500);
