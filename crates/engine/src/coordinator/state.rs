//! What the coordinator knows of the shards, and what follows from it.

use std::sync::{Arc, Weak};
use std::time::Duration;

use rendis_core::health::{Status, may_eject};
use rendis_core::outlier;
use rendis_core::topology::Standing;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::Follower;
use crate::probe::Heartbeat;
use crate::pulse::Pulse;
use crate::settings::{OnDown, Settings, ShardSettings};
use crate::shard::Shard;

/// What the coordinator knows; its lock is held for every change of a topology.
pub(crate) struct State {
    pub(super) settings: Arc<Settings>,
    pub(super) heartbeat: Heartbeat,
    pub(super) watched: Vec<Watched>,
    /// Of each server that a shard has, and of those before it that calls wait for still.
    pub(super) pulses: Vec<(ShardSettings, Arc<Pulse>)>,
    pub(super) engines: Vec<(u64, Weak<dyn Follower>)>,
    pub(super) joined: u64,
    /// How often a shard came back, or the list was looked at anew.
    pub(super) returns: u64,
    pub(super) tasks: Vec<AbortHandle>,
    /// Looks for slow shards, where that is wanted.
    pub(super) outliers: Option<(outlier::Settings, AbortHandle)>,
}

pub(super) struct Watched {
    pub(super) shard: Arc<Shard>,
    /// What its connections are made with.
    pub(super) settings: Arc<Settings>,
    pub(super) status: Status,
    /// It is not up, and was told to answer again.
    pub(super) answers: bool,
    /// It is up, and left alone until then because it is much slower than its peers.
    pub(super) rests: Option<Instant>,
    pub(super) standing: Standing,
    /// Its keys went to others since it last served.
    pub(super) was_out: bool,
    /// Since it last served, whoever would own its keys has forgotten what it held of them: they may go there.
    pub(super) handed_over: bool,
    /// It is down, and its keys are being handed over; until then it is called still.
    pub(super) leaves: bool,
    /// Tries again to hand its keys over.
    pub(super) handing: Option<AbortHandle>,
    /// How often it fell, or got another monitor: what was found out before does not stand any more.
    pub(super) falls: u64,
    /// Held by who takes it back.
    pub(super) turn: Arc<Turn>,
    /// Held by who deletes from it what it does not own.
    pub(super) deleting: Arc<Turn>,
    pub(super) monitor: AbortHandle,
}

impl Watched {
    pub(super) fn is_up(&self) -> bool {
        self.status == Status::Up
    }

    pub(super) fn fell(&mut self, status: Status) {
        (self.status, self.answers, self.rests) = (status, false, None);
        self.leaves = false;
        self.falls += 1;
        self.stop_handing();
    }

    /// Ends what is done for it.
    pub(super) fn end(self) {
        self.monitor.abort();
        self.handing.into_iter().for_each(|task| task.abort());
    }

    pub(super) fn returned(&mut self) {
        (self.status, self.answers, self.rests) = (Status::Up, false, None);
        (self.was_out, self.handed_over) = (false, false);
        self.stop_handing();
    }

    fn stop_handing(&mut self) {
        self.handing.take().into_iter().for_each(|task| task.abort());
    }
}

/// One at a time.
pub(super) type Turn = tokio::sync::Mutex<()>;

impl State {
    /// What traffic says of this server, on whatever engine.
    pub(crate) fn pulse(&mut self, server: &ShardSettings) -> Arc<Pulse> {
        if let Some((_, pulse)) = self.pulses.iter().find(|(known, _)| known.is_same_server(server)) {
            return Arc::clone(pulse);
        }
        let before = self.pulses.iter().find(|(known, _)| known.name == server.name);
        let pulse = Arc::new(before.map(|(_, before)| before.successor()).unwrap_or_default());
        self.pulses.push((server.clone(), Arc::clone(&pulse)));
        pulse
    }

    /// Forgets what traffic said of servers that are no shard's, and that nobody waits for any more.
    pub(super) fn forget_pulses(&mut self) {
        let Self { watched, pulses, .. } = self;
        pulses.retain(|(server, pulse)| {
            let named = |known: &&Watched| known.shard.name() == server.name;
            let same = |known: &Watched| known.shard.settings().is_same_server(server);
            watched.iter().find(named).is_some_and(|known| same(known) || Arc::strong_count(pulse) > 1)
        });
    }

    /// Whether this shard takes part; one that is not known does.
    pub(crate) fn standing(&self, shard: &str) -> Standing {
        self.known(shard).map_or(Standing::Serving, |known| known.standing)
    }

    /// The shards that do not serve.
    pub(super) fn not_serving(&self) -> impl Iterator<Item = &Arc<Shard>> {
        let rests = |known: &&Watched| known.standing != Standing::Serving;
        self.watched.iter().filter(rests).map(|known| &known.shard)
    }

    /// The shards that would own the keys of another: those that serve, and are not about to leave themselves.
    pub(super) fn heirs(&self, shard: &Arc<Shard>) -> Vec<Arc<Shard>> {
        let stays = |known: &&Watched| known.standing == Standing::Serving && !known.leaves;
        let others = self.watched.iter().filter(stays).filter(|known| !Arc::ptr_eq(&known.shard, shard));
        others.map(|known| Arc::clone(&known.shard)).collect()
    }

    /// The shards beside this one that serve still, and are about to leave themselves.
    pub(super) fn leaving(&self, shard: &Arc<Shard>) -> Vec<Arc<Shard>> {
        let leaves = |known: &&Watched| known.standing == Standing::Serving && known.leaves;
        let others = self.watched.iter().filter(leaves).filter(|known| !Arc::ptr_eq(&known.shard, shard));
        others.map(|known| Arc::clone(&known.shard)).collect()
    }

    /// All shards beside this one.
    pub(super) fn others(&self, shard: &Arc<Shard>) -> Vec<Arc<Shard>> {
        let others = self.watched.iter().filter(|known| !Arc::ptr_eq(&known.shard, shard));
        others.map(|known| Arc::clone(&known.shard)).collect()
    }

    /// Whether a shard of this name takes part in the ring.
    pub(super) fn is_watched(&self, shard: &str) -> bool {
        self.known(shard).is_some()
    }

    /// The shards that serve.
    pub(crate) fn serving(&self) -> impl Iterator<Item = &Arc<Shard>> {
        let serves = |known: &&Watched| known.standing == Standing::Serving;
        self.watched.iter().filter(serves).map(|known| &known.shard)
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

    /// A task that ends with the coordinator, at the latest.
    pub(crate) fn keep(&mut self, task: AbortHandle) {
        self.tasks.retain(|task| !task.is_finished());
        self.tasks.push(task);
    }

    /// The slow shards whose rest is over, and that are up.
    pub(super) fn rested(&self, now: Instant) -> Vec<Arc<Shard>> {
        let due = |known: &&Watched| known.is_up() && known.rests.is_some_and(|until| until <= now);
        self.watched.iter().filter(due).map(|known| Arc::clone(&known.shard)).collect()
    }

    /// Whether one more shard may be taken out for being slow.
    pub(super) fn may_rest(&self) -> bool {
        let is_out = |known: &&Watched| known.standing == Standing::Ejected || known.leaves;
        let out = self.watched.iter().filter(is_out).count();
        let allowed = may_eject(out, self.watched.len(), self.settings.max_ejected);
        allowed && self.settings.on_down == OnDown::Reroute
    }

    fn known(&self, shard: &str) -> Option<&Watched> {
        self.watched.iter().find(|known| known.shard.name() == shard)
    }

    pub(super) fn watched_mut(&mut self, shard: &Arc<Shard>) -> Option<&mut Watched> {
        self.watched.iter_mut().find(|known| Arc::ptr_eq(&known.shard, shard))
    }

    /// Whether the monitor of this shard says that it answers; also while it rests.
    pub(super) fn is_up(&self, shard: &str) -> bool {
        self.known(shard).is_some_and(Watched::is_up)
    }

    /// What has to be held to take this shard back.
    pub(super) fn turn(&self, shard: &str) -> Arc<Turn> {
        self.known(shard).map(|known| Arc::clone(&known.turn)).unwrap_or_default()
    }

    /// What has to be held to delete from this shard what it does not own.
    pub(super) fn deleting(&self, shard: &str) -> Arc<Turn> {
        self.known(shard).map(|known| Arc::clone(&known.deleting)).unwrap_or_default()
    }

    /// A shard is down. Whether its keys are to be handed over to others.
    pub(super) fn leaves(&mut self, shard: &Arc<Shard>) -> bool {
        let leaves = self.would_leave(shard.name());
        self.watched_mut(shard).into_iter().for_each(|known| known.leaves = leaves);
        leaves
    }

    /// Whether the keys of this shard would go to others were it down, and have not gone yet.
    pub(super) fn would_leave(&self, shard: &str) -> bool {
        let out = |known: &&Watched| !known.is_up() && known.standing == Standing::Ejected;
        let out = self.watched.iter().filter(out).count();
        self.settings.on_down == OnDown::Reroute
            && self.known(shard).is_some_and(|known| known.standing != Standing::Ejected)
            && may_eject(out, self.watched.len(), self.settings.max_ejected)
    }

    /// Whether the keys of this shard went to others since it last served, and how often it fell.
    pub(super) fn absence(&self, shard: &str) -> (bool, u64) {
        self.known(shard).map_or((false, 0), |known| (known.was_out, known.falls))
    }

    /// Notes that a shard answers again, and says whether that was known.
    pub(super) fn answers(&mut self, shard: &Arc<Shard>) -> bool {
        let known = self.watched_mut(shard);
        known.is_none_or(|known| std::mem::replace(&mut known.answers, true))
    }

    /// How long a request that was placed can be on its way, on a connection of its own too: then it is answered, or its
    /// connection is closed. What waits there longer is ended when its keys become another shard's.
    pub(super) fn longest_write(&self) -> Duration {
        self.settings.deadlines.write.saturating_add(self.settings.deadlines.reply)
    }

    /// Sets every shard's standing by what is known of its health. Who is out already stays out: the limit holds for
    /// those that fall later, and so does [`OnDown`]. Where the limit is lowered, or the list shrinks, those past it are not
    /// out any more; with placements that move more keys than one shard's, others get keys by that which they did not
    /// forget. Nobody is out before its keys can be handed over. A shard that rests is not counted against one that is dead:
    /// it lives, and is no sign that we are cut off; and it stays out until it was taken back, whatever the settings have
    /// become.
    pub(super) fn settle(&mut self) {
        let total = self.watched.len();
        let reroute = self.settings.on_down == OnDown::Reroute;
        let was_out: Vec<bool> =
            self.watched.iter().map(|known| known.standing == Standing::Ejected).collect();
        let mut ejected = 0;
        for first in [true, false] {
            for (known, was_out) in self.watched.iter_mut().zip(&was_out) {
                if known.is_up() {
                    known.standing =
                        if known.rests.is_some() { Standing::Ejected } else { Standing::Serving };
                } else if *was_out == first {
                    let eject = (reroute || *was_out)
                        && known.handed_over
                        && may_eject(ejected, total, self.settings.max_ejected);
                    ejected += usize::from(eject);
                    // Owners change with it, and then again.
                    known.handed_over &= eject || !*was_out;
                    known.standing = if eject { Standing::Ejected } else { Standing::Absent };
                }
            }
        }
        for known in &mut self.watched {
            known.was_out |= known.standing == Standing::Ejected;
        }
        // A slow shard is better than none.
        if self.serving().next().is_none() {
            for known in self.watched.iter_mut().filter(|known| known.rests.is_some()) {
                known.rests = Some(Instant::now());
            }
        }
    }

    pub(super) fn end(&mut self) {
        self.watched.drain(..).for_each(|known| known.end());
        self.tasks.drain(..).for_each(|task| task.abort());
        self.outliers.take().into_iter().for_each(|(_, task)| task.abort());
    }
}
