//! Watches over the shards of one ring, for all engines that the ring has in this process.
//!
//! A program has one engine a ring; the proxy has one on each thread. Whether a shard is up must be one decision all the
//! same: were one thread to serve from a shard again while another still writes its keys elsewhere, readers would see
//! old values. So the monitors, the decision who is taken out, the ledger of what was written elsewhere and the scripts
//! that callers made known are here, once, and the engines follow.
//!
//! ```text
//!   monitors ──transition──► coordinator ──standing──► every engine: one swap each
//!                             ▲
//!      ledger ◄──note── writes of displaced keys
//! ```
//! A change of any engine's topology is made under the coordinator's lock, so changes happen one after the other.

mod adopt;
mod handover;
mod rejoin;
mod state;
mod sweep;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::ThreadId;
use std::time::Duration;

use bytes::Bytes;
use rendis_core::health::{Status, Transition};
use rendis_core::outlier;
use rendis_core::topology::{Standing, Topology};
use tokio::sync::broadcast;
use tokio::time::{Instant, sleep};

use crate::error::{Cause, Kind};
use crate::events::{Event, Events, KEPT};
use crate::ledger::Ledger;
use crate::outliers::Outliers;
use crate::probe::Heartbeat;
use crate::scripts::Scripts;
use crate::shard::Shard;

use self::handover::HandedOver;
use self::rejoin::Out;
use self::state::Watched;

pub(crate) use self::state::State;

/// See the module.
pub struct Coordinator {
    /// The ring's, where it has one.
    name: Option<String>,
    state: Mutex<State>,
    pub(crate) ledger: Ledger,
    pub(crate) scripts: Scripts,
    events: broadcast::Sender<Event>,
    /// The thread that tells of new shards while it holds the lock.
    notifying: Mutex<Option<ThreadId>>,
}

/// An engine, as the coordinator sees it.
pub(crate) trait Follower: Send + Sync {
    /// Makes the standing of the shards its own: all that takes time at once, and the swap by what it returns.
    fn follow<'f>(&'f self, state: &State) -> Swap<'f>;
    /// A shard is about to return: connections to it that rest try again now, and none is used on which it owes replies
    /// from before.
    fn expect(&self, shard: &str);
    /// The topology in force.
    fn topology(&self) -> Arc<Topology<Shard>>;
}

/// The swap of a topology, and nothing else.
pub(crate) type Swap<'f> = Box<dyn FnOnce() + 'f>;

impl Default for Coordinator {
    /// The coordinator of a ring without a name.
    fn default() -> Self {
        Self::new(None)
    }
}

impl Coordinator {
    /// The coordinator of a ring that has a name, which stands in what is logged.
    #[must_use]
    pub fn named(name: &str) -> Self {
        Self::new(Some(name.to_owned()))
    }

    fn new(name: Option<String>) -> Self {
        let state = State {
            settings: Arc::default(),
            heartbeat: Heartbeat::default(),
            watched: Vec::new(),
            pulses: Vec::new(),
            engines: Vec::new(),
            joined: 0,
            returns: 0,
            tasks: Vec::new(),
            outliers: None,
        };
        Self {
            name,
            state: Mutex::new(state),
            ledger: Ledger::new(),
            scripts: Scripts::default(),
            events: broadcast::Sender::new(KEPT),
            notifying: Mutex::default(),
        }
    }

    /// What happens from now on.
    #[must_use]
    pub fn events(&self) -> Events {
        Events::new(self.events.subscribe())
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs code of the ring's owner under the lock.
    pub(crate) fn notify_new_shards(&self, _: &State, tell: impl FnOnce()) {
        struct Notifying<'w>(&'w Coordinator);
        impl Drop for Notifying<'_> {
            fn drop(&mut self) {
                *self.0.notifier() = None;
            }
        }
        *self.notifier() = Some(std::thread::current().id());
        let _notifying = Notifying(self);
        tell();
    }

    /// Whether the caller is that code: it would wait for itself, were it to take the lock.
    pub(crate) fn is_notifying_here(&self) -> bool {
        *self.notifier() == Some(std::thread::current().id())
    }

    fn notifier(&self) -> MutexGuard<'_, Option<ThreadId>> {
        self.notifying.lock().unwrap_or_else(PoisonError::into_inner)
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
    pub(crate) fn emit(&self, event: Event) {
        let place = event.shard();
        let (shard, address) = (place.map(|place| &place.name), place.map(|place| &place.address));
        let ring = self.name.as_deref();
        match event {
            Event::Down { .. } | Event::Loading(_) | Event::Slow(_) => {
                let standing = shard.map(|shard| self.lock().standing(shard));
                let keys = if standing == Some(Standing::Absent) { "fail" } else { "go elsewhere" };
                tracing::warn!(ring, shard, address, keys, "{}", event.text());
            }
            // What is told of a loss is told of its end, at the same level.
            Event::Returned { .. } => tracing::warn!(ring, shard, address, "{}", event.text()),
            _ => tracing::info!(ring, shard, address, "{}", event.text()),
        }
        let _ = self.events.send(event);
    }

    /// A shard fell or rose. False when it rose and cannot be taken back yet.
    async fn report(self: &Arc<Self>, shard: &Arc<Shard>, transition: Transition) -> bool {
        let place = || Arc::clone(shard.endpoint());
        match transition {
            Transition::Unchanged => {}
            Transition::Recovered => self.teach_anew(shard),
            Transition::Rose => {
                if !self.lock().answers(shard) {
                    self.emit(Event::Up(place()));
                }
                return self.rose(shard, Out::Down).await;
            }
            Transition::StartedLoading => {
                if self.fell(shard, Status::Loading).await {
                    self.emit(Event::Loading(place()));
                }
            }
            Transition::Fell => {
                if self.fell(shard, Status::Down).await {
                    let why = shard.trouble().unwrap_or_default().into();
                    self.emit(Event::Down { shard: place(), why });
                }
            }
        }
        true
    }

    /// Takes shards out that are much slower than their peers, and back after a rest; for ever.
    async fn watch_outliers(coordinator: Weak<Self>, settings: outlier::Settings) {
        let mut outliers = Outliers::new(settings);
        loop {
            sleep(settings.window).await;
            let Some(coordinator) = Weak::upgrade(&coordinator) else { return };
            let now = Instant::now();
            let rested = coordinator.lock().rested(now);
            for shard in rested {
                // Like one that was dead. Where that fails it is tried again.
                coordinator.rose(&shard, Out::AtRest).await;
            }
            let serving: Vec<Arc<Shard>> = coordinator.lock().serving().cloned().collect();
            for shard in outliers.look(&serving) {
                if !coordinator.lock().may_rest() {
                    continue;
                }
                let Ok(handed_over) = coordinator.hand_over(&shard, &mut Vec::new()).await else { continue };
                let mut rests = false;
                // Asked again: another may have fallen meanwhile.
                coordinator.change(&shard, Some(&handed_over), |known, may_rest, handed_over| {
                    rests = known.is_up() && may_rest && handed_over;
                    known.rests = known.rests.or(rests.then_some(now + settings.rest));
                    known.handed_over |= rests;
                });
                drop(handed_over);
                if rests {
                    shard.pulse().noticed(&Cause::new(Kind::Timeout, "it was much slower than the others"));
                    shard.pulse().tally().health_changed();
                    coordinator.emit(Event::Slow(Arc::clone(shard.endpoint())));
                }
            }
        }
    }

    /// A shard can serve again. False when it cannot be taken back yet.
    async fn rose(self: &Arc<Self>, shard: &Arc<Shard>, out: Out) -> bool {
        match self.take_back(shard, out).await {
            Ok(Some(forgot)) => self.emit(Event::Returned { shard: Arc::clone(shard.endpoint()), forgot }),
            // Somebody else was quicker, or will do it.
            Ok(None) => {}
            Err(cause) => {
                tracing::warn!(
                    ring = self.name,
                    shard = shard.name(),
                    why = cause.text,
                    "shard cannot be taken back yet"
                );
                return false;
            }
        }
        true
    }

    /// A shard does not serve any more. False where that does not stand: another monitor watches it now, which finds out for
    /// itself.
    async fn fell(self: &Arc<Self>, shard: &Arc<Shard>, status: Status) -> bool {
        let Some((leaves, falls)) = self.falling(shard) else { return false };
        let mut entered = Vec::new();
        let handed_over = if leaves { Some(self.hand_over(shard, &mut entered).await) } else { None };
        if let Some(Err(cause)) = &handed_over {
            let (ring, why) = (self.name.as_deref(), &cause.text);
            tracing::warn!(ring, shard = shard.name(), why, "its keys cannot go to other shards yet");
        }
        let handed_over = handed_over.and_then(Result::ok);
        let mut fell = false;
        self.change(shard, handed_over.as_ref(), |known, _, handed_over| {
            fell = known.falls == falls;
            if fell {
                known.fell(status);
                known.handed_over |= handed_over;
            }
        });
        drop(handed_over);
        if fell {
            shard.pulse().tally().health_changed();
            self.hand_over_later(&mut self.lock(), shard, entered);
        }
        fell
    }

    /// A monitor has found a shard down. Whether its keys are to be handed over, and how often it fell before; `None` where
    /// it is another monitor's meanwhile.
    fn falling(&self, shard: &Arc<Shard>) -> Option<(bool, u64)> {
        let mut state = self.lock();
        let known = state.watched_mut(shard)?;
        if Some(known.monitor.id()) != tokio::task::try_id() {
            return None;
        }
        let falls = known.falls;
        Some((state.leaves(shard), falls))
    }

    /// A shard serves again, for all engines at once; unless it fell meanwhile. What it and others have forgotten is to be
    /// swept: known to be before it serves, for it may fall the moment after.
    fn returned(&self, shard: &Arc<Shard>, falls: u64) -> Result<Arc<Vec<Bytes>>, Arc<Cause>> {
        self.with_engines(|state, engines| {
            let known = state.watched_mut(shard).filter(|known| known.falls == falls);
            let Some(known) = known else {
                return Err(Cause::new(Kind::ShardDown, "it is down again, or was removed"));
            };
            known.returned();
            shard.pulse().tally().health_changed();
            state.returns += 1;
            state.settle();
            let keys = self.ledger.sweep(|shard| state.standing(shard) == Standing::Serving);
            follow(engines, state);
            Ok(keys)
        })
    }

    /// Changes what is known of a shard, if it is still watched, and has all engines follow. `change` is told whether one
    /// more may be taken out for being slow, and whether the keys have been handed over: not where another came back
    /// meanwhile, that was not asked.
    fn change(
        &self,
        shard: &Arc<Shard>,
        handed_over: Option<&HandedOver<'_>>,
        change: impl FnOnce(&mut Watched, bool, bool),
    ) {
        self.with_engines(|state, engines| {
            let may_rest = state.may_rest();
            let handed_over = handed_over.is_some_and(|handed_over| handed_over.returns() == state.returns);
            let Some(known) = state.watched_mut(shard) else { return };
            change(known, may_rest, handed_over);
            state.settle();
            follow(engines, state);
        });
    }

    /// Works under the lock with the engines that follow. They are let go of after the lock: the last hold on an engine that
    /// was dropped meanwhile may be this one, and its end takes the lock itself.
    fn with_engines<R>(&self, work: impl FnOnce(&mut State, &[Arc<dyn Follower>]) -> R) -> R {
        let mut state = self.lock();
        let engines: Vec<Arc<dyn Follower>> =
            state.engines.iter().filter_map(|(_, engine)| engine.upgrade()).collect();
        let result = work(&mut state, &engines);
        drop(state);
        result
    }
}

impl Drop for Coordinator {
    fn drop(&mut self) {
        self.state.get_mut().unwrap_or_else(PoisonError::into_inner).end();
    }
}

impl fmt::Debug for Coordinator {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.lock();
        let standing = state.watched.iter().map(|known| (known.shard.name(), known.standing));
        out.debug_map().entries(standing).finish()
    }
}

/// Has all engines follow: they make their topologies first, and swap then, one right after the other.
fn follow(engines: &[Arc<dyn Follower>], state: &State) {
    let swaps: Vec<Swap<'_>> = engines.iter().map(|engine| engine.follow(state)).collect();
    swaps.into_iter().for_each(|swap| swap());
}

/// How long the last round of a change may take, in which writes wait.
const LAST_ROUND: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use super::*;

    /// An engine whose end takes the coordinator's lock, as that of a real one does.
    struct Fake(Arc<Coordinator>);

    impl Follower for Fake {
        fn follow<'f>(&'f self, _: &State) -> Swap<'f> {
            Box::new(|| {})
        }

        fn expect(&self, _: &str) {}

        fn topology(&self) -> Arc<Topology<Shard>> {
            unreachable!("nobody asks")
        }
    }

    impl Drop for Fake {
        fn drop(&mut self) {
            self.0.leave(1);
        }
    }

    #[test]
    fn an_engine_may_end_while_the_coordinator_works_with_it() {
        let (coordinator, done) = (Arc::new(Coordinator::default()), std::sync::mpsc::channel());
        std::thread::spawn(move || {
            let engine = Arc::new(Fake(Arc::clone(&coordinator)));
            let weak = Arc::downgrade(&engine);
            assert_eq!(coordinator.lock().join(weak), 1);
            coordinator.with_engines(|_, engines| {
                assert_eq!(engines.len(), 1);
                drop(engine);
            });
            done.0.send(coordinator.lock().join(Weak::<Fake>::new())).unwrap();
        });
        assert_eq!(done.1.recv_timeout(std::time::Duration::from_secs(10)), Ok(2));
    }
}
