//! Which shards are watched, and what stays known of them when the ring is changed.

use std::sync::{Arc, Weak};

use rendis_core::health::Status;
use rendis_core::topology::{Member, Standing};
use tokio::task::AbortHandle;

use super::Coordinator;
use super::state::{State, Watched};
use crate::events::Event;
use crate::ledger::Extent;
use crate::monitor;
use crate::probe::Heartbeat;
use crate::settings::Settings;
use crate::shard::Shard;

impl Coordinator {
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
        let new_pace = state.outliers.as_ref().map(|(settings, _)| *settings) != settings.slow_ejection;
        let same_watch = settings.health == state.settings.health && heartbeat.same(&state.heartbeat);
        let names =
            |list: &[Watched]| list.iter().map(|known| known.shard.name().to_owned()).collect::<Vec<_>>();
        let before = names(&state.watched);
        state.settings = Arc::clone(settings);
        state.heartbeat = heartbeat.clone();
        let (mut left, mut newcomers) = (std::mem::take(&mut state.watched), Vec::new());
        for member in members {
            let shard = &member.shard;
            let same = |known: &Watched| {
                known.shard.name() == shard.name() && known.shard.settings().same_connection(shard.settings())
            };
            let known = left.iter().position(same).map(|at| left.swap_remove(at));
            let next = match known {
                Some(known) => {
                    // Nobody will end its rest: it is taken back like a dead one.
                    let stranded = new_pace && known.rests.is_some();
                    if same_watch && !stranded && known.settings.same_connections(settings) {
                        known
                    } else {
                        known.monitor.abort();
                        known.handing.iter().for_each(AbortHandle::abort);
                        let status = if stranded { Status::Down } else { known.status };
                        Watched {
                            shard: Arc::clone(shard),
                            settings: Arc::clone(settings),
                            status,
                            rests: known.rests.filter(|_| !stranded),
                            leaves: false,
                            handing: None,
                            // What the monitor before has just found out does not stand.
                            falls: known.falls + 1,
                            monitor: self.monitor(state, shard, status),
                            ..known
                        }
                    }
                }
                None => {
                    let before_it = left.iter().find(|known| known.shard.name() == shard.name());
                    let next = self.succeed(state, shard, before_it);
                    if next.is_up() && !before.is_empty() {
                        newcomers.push(Arc::clone(shard));
                    }
                    next
                }
            };
            state.watched.push(next);
        }
        for known in left {
            if state.watched.iter().all(|kept| kept.shard.name() != known.shard.name()) {
                self.ledger.discard(known.shard.name());
                self.ledger.functions_learned(known.shard.name());
            }
            known.end();
        }
        state.forget_pulses();
        if new_pace {
            state.outliers.take().into_iter().for_each(|(_, task)| task.abort());
            state.outliers = settings.slow_ejection.map(|slow| {
                let task = tokio::spawn(Self::watch_outliers(Arc::downgrade(self), slow));
                (slow, task.abort_handle())
            });
        }
        // A hand-over that is under way did not ask the new shards.
        state.returns += 1;
        state.settle();
        for shard in state.watched.iter().map(|known| Arc::clone(&known.shard)).collect::<Vec<_>>() {
            self.hand_over_later(state, &shard, Vec::new());
        }
        self.teach_newcomers(state, newcomers);
        if !before.is_empty() && before != names(&state.watched) {
            self.emit(Event::TopologyChanged);
        }
    }

    /// A shard that is connected to in another way than the one of this name before it, or that is new.
    fn succeed(self: &Arc<Self>, state: &State, shard: &Arc<Shard>, before: Option<&Watched>) -> Watched {
        let away = before.is_some_and(|known| known.standing != Standing::Serving);
        // Under the name of one that was away, it may hold what that one held.
        let owes = away || self.ledger.extent(shard.name()) != Extent::Keys(0);
        // Who serves may have to forget some keys too; not now.
        let goes_on = before.is_some_and(|known| {
            known.is_up() && !away && !known.leaves && known.shard.is_same_server(shard)
        });
        let status = if owes && !goes_on { Status::Down } else { Status::Up };
        let next = self.watch(state, shard, status);
        let Some(before) = before else { return Watched { was_out: owes, ..next } };
        Watched {
            standing: before.standing,
            was_out: before.was_out || owes,
            // Who was not out had not handed its keys over.
            handed_over: before.standing == Standing::Ejected,
            turn: Arc::clone(&before.turn),
            deleting: Arc::clone(&before.deleting),
            ..next
        }
    }

    /// A shard of which no more is known than this.
    fn watch(self: &Arc<Self>, state: &State, shard: &Arc<Shard>, status: Status) -> Watched {
        Watched {
            shard: Arc::clone(shard),
            settings: Arc::clone(&state.settings),
            status,
            answers: false,
            rests: None,
            standing: Standing::Serving,
            was_out: false,
            handed_over: false,
            leaves: false,
            handing: None,
            falls: 0,
            turn: Arc::default(),
            deleting: Arc::default(),
            monitor: self.monitor(state, shard, status),
        }
    }

    fn monitor(self: &Arc<Self>, state: &State, shard: &Arc<Shard>, status: Status) -> AbortHandle {
        let coordinator = Arc::downgrade(self);
        let report = async move |shard: &Arc<Shard>, transition| match Weak::upgrade(&coordinator) {
            Some(coordinator) => coordinator.report(shard, transition).await,
            None => true,
        };
        let (heartbeat, health) = (state.heartbeat.clone(), state.settings.health);
        tokio::spawn(monitor::watch(Arc::clone(shard), status, heartbeat, health, report)).abort_handle()
    }
}
