//! Hands the keys of a shard that leaves over to the others: what they hold of them is old, and is forgotten first.
//!
//! A shard that stood in holds values from then. They are swept from it when the shard they belong to is back; until that
//! is done, and with placements that move more keys than one shard's at any time, it must not own those keys again. While
//! it cannot forget, because it hangs or refuses, the keys of the shard that left fail: they are nobody's.

use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use rendis_core::topology::Topology;
use tokio::sync::OwnedMutexGuard;
use tokio::task::yield_now;
use tokio::time::{sleep, timeout};

use super::state::State;
use super::{Coordinator, LAST_ROUND};
use crate::error::{Cause, Kind};
use crate::ledger::{Extent, LastRound};
use crate::resync::{self, Forgetting};
use crate::shard::Shard;

/// The keys of a shard can go to others. Held until they have: nothing is deleted from those meanwhile that was not theirs
/// before, and nothing is entered.
pub(super) struct HandedOver<'c> {
    _deleting: Vec<OwnedMutexGuard<()>>,
    _last: Option<LastRound<'c>>,
    returns: u64,
}

impl HandedOver<'_> {
    /// How often a shard had come back when it was begun. See [`State::returns`].
    pub(super) const fn returns(&self) -> u64 {
        self.returns
    }
}

/// Which rounds are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rounds {
    /// Those beside which writes go on, until few keys are left.
    BesideWrites,
    /// Until none is left: while the ledger is closed, or where nothing is entered for this shard.
    Last,
}

impl Coordinator {
    /// Has all who serve forget what they hold of the keys of a shard that is to leave. What is being swept at the time is
    /// entered for them, so that another attempt goes on where this one ends; `entered` are the sweeps of which that is done.
    ///
    /// # Errors
    /// Why one of them could not, in time.
    pub(super) async fn hand_over(
        self: &Arc<Self>,
        shard: &Arc<Shard>,
        entered: &mut Vec<Weak<Vec<Bytes>>>,
    ) -> Result<HandedOver<'_>, Arc<Cause>> {
        let least = self.moves_least();
        let (returns, mut heirs) = {
            let state = self.lock();
            (state.returns, state.heirs(shard))
        };
        let sweeps = self.ledger.sweeping();
        let known =
            |sweep: &Arc<Vec<Bytes>>| entered.iter().any(|known| known.as_ptr() == Arc::as_ptr(sweep));
        let new: Vec<_> = sweeps.into_iter().filter(|sweep| !known(sweep)).collect();
        let mut moving = Vec::new();
        for sweep in &new {
            self.moving(shard, sweep, &mut moving).await;
        }
        if !moving.is_empty() {
            heirs.iter().for_each(|heir| self.ledger.put_back(heir.name(), &moving));
        }
        entered.extend(new.iter().map(Arc::downgrade));
        if least {
            let mut owing = Vec::new();
            for heir in heirs {
                if self.owes_of(&heir, shard).await {
                    owing.push(heir);
                }
            }
            heirs = owing;
        }
        // One after the other, in the order of the list: two that fall at once would wait for each other else. Also waits until
        // what is being deleted there now has been.
        let turns = async {
            let mut turns = Vec::with_capacity(heirs.len());
            for heir in &heirs {
                turns.push(self.deleting(heir).await);
            }
            turns
        };
        let late =
            |_| Cause::new(Kind::Timeout, format!("others do not forget old values in {LAST_ROUND:?}"));
        let deleting = timeout(LAST_ROUND, turns).await.map_err(late)?;
        let rounds = if least { Rounds::Last } else { Rounds::BesideWrites };
        let forgetting = join_all(heirs.iter().zip(&deleting).map(async |(heir, deleting)| {
            let forgets = async {
                if !moving.is_empty() {
                    self.answered(heir).await?;
                }
                self.forget_on(heir, rounds, deleting).await
            };
            timeout(LAST_ROUND, forgets).await.map_err(late)?.map_err(|cause| of(heir, &cause))
        }));
        forgetting.await.into_iter().collect::<Result<(), _>>()?;
        if least {
            return Ok(HandedOver { _deleting: deleting, _last: None, returns });
        }
        // Anybody's writes are entered for anybody else, until there is a new owner.
        let last = self.ledger.close();
        let ends = heirs.iter().zip(&deleting).map(async |(heir, deleting)| {
            self.forget_on(heir, Rounds::Last, deleting).await.map_err(|cause| of(heir, &cause))
        });
        let ended = timeout(LAST_ROUND, join_all(ends)).await.map_err(late)?;
        ended.into_iter().collect::<Result<(), _>>()?;
        self.sweep(self.ledger.sweep(|shard| heirs.iter().any(|heir| heir.name() == shard)));
        Ok(HandedOver { _deleting: deleting, _last: Some(last), returns })
    }

    /// Tries again and again to hand over the keys of a shard that is down, until they are, or it is back. `entered` as in
    /// [`Coordinator::hand_over`].
    pub(super) fn hand_over_later(
        self: &Arc<Self>,
        state: &mut State,
        shard: &Arc<Shard>,
        mut entered: Vec<Weak<Vec<Bytes>>>,
    ) {
        let weak = Arc::downgrade(self);
        let Some(known) = state.watched_mut(shard) else { return };
        let tries = known.handing.as_ref().is_some_and(|task| !task.is_finished());
        if known.is_up() || known.handed_over || tries {
            return;
        }
        let shard = Arc::clone(shard);
        let task = async move {
            let mut wait = SOON;
            loop {
                sleep(wait).await;
                wait = (wait * 2).min(LATER);
                let Some(coordinator) = Weak::upgrade(&weak) else { return };
                if !coordinator.lock().would_leave(shard.name()) {
                    continue;
                }
                let handed_over = match coordinator.hand_over(&shard, &mut entered).await {
                    Ok(handed_over) => handed_over,
                    Err(cause) => {
                        tracing::debug!(
                            shard = shard.name(),
                            why = cause.text,
                            "its keys cannot go to others yet"
                        );
                        continue;
                    }
                };
                let mut done = false;
                coordinator.change(&shard, Some(&handed_over), |known, _, handed_over| {
                    known.handed_over |= handed_over;
                    done = known.handed_over;
                });
                if done {
                    return;
                }
            }
        };
        // It ends with the shard's next fall or return, and with what is known of it.
        known.handing = Some(tokio::spawn(task).abort_handle());
    }

    /// Has the shards beside this one that serve forget what they have to.
    pub(super) async fn forget_on_others(
        &self,
        shard: &Arc<Shard>,
        rounds: Rounds,
    ) -> Result<(), Arc<Cause>> {
        for other in self.others_to_forget(shard) {
            let deleting = self.deleting(&other).await;
            self.forget_on(&other, rounds, &deleting).await?;
        }
        Ok(())
    }

    /// Deletes what was forgotten from the shards that stood in, so that it is not found there when they stand in again:
    /// at once, and again when nothing can be under way to them any more. What cannot be deleted now, because a shard does
    /// not serve or fails, is entered in the ledger.
    pub(super) fn sweep(self: &Arc<Self>, keys: Arc<Vec<Bytes>>) {
        if keys.is_empty() {
            return;
        }
        let coordinator = Arc::downgrade(self);
        let mut state = self.lock();
        let wait = state.longest_write();
        let task = async move {
            for wait in [Duration::ZERO, wait] {
                sleep(wait).await;
                let Some(coordinator) = Weak::upgrade(&coordinator) else { return };
                coordinator.sweep_once(&keys).await;
            }
        };
        state.keep(tokio::spawn(task).abort_handle());
    }

    /// Sweeps once, from all shards that serve.
    async fn sweep_once(&self, keys: &[Bytes]) {
        let serving = self.with_engines(|state, _| {
            for other in state.not_serving() {
                self.ledger.put_back(other.name(), keys);
            }
            state.serving().cloned().collect::<Vec<Arc<Shard>>>()
        });
        join_all(serving.iter().map(async |shard| {
            if let Err(cause) = self.swept(shard, keys).await {
                tracing::debug!(shard = shard.name(), why = cause.text, "old values are deleted later");
                self.ledger.put_back(shard.name(), keys);
            }
        }))
        .await;
    }

    /// Deletes keys from a shard, as far as others own them.
    async fn swept(&self, shard: &Arc<Shard>, keys: &[Bytes]) -> Result<(), Arc<Cause>> {
        // Writes that were placed there before the return may still be on their way: those that came after the sweep would
        // stay.
        self.answered(shard).await?;
        for keys in keys.chunks(SWEPT_AT_ONCE) {
            // Let go of in between: who waits for it is about to change who owns what.
            let deleting = self.deleting(shard).await;
            self.delete_strange(shard, keys, &deleting).await?;
        }
        Ok(())
    }

    /// Deletes those of these keys from a shard that others own. What it owns itself is new.
    async fn delete_strange(
        &self,
        shard: &Arc<Shard>,
        keys: &[Bytes],
        _deleting: &OwnedMutexGuard<()>,
    ) -> Result<(), Arc<Cause>> {
        let Some(now) = self.topology() else { return Ok(()) };
        let strange = |key: &&Bytes| {
            let owner = now.locate(key).and_then(|id| now.member(id));
            owner.is_some_and(|owner| owner.shard.name() != shard.name())
        };
        let keys: Vec<Bytes> = keys.iter().filter(strange).cloned().collect();
        resync::sweep(shard, &keys).await
    }

    /// Has a shard that serves forget what is not its own.
    async fn forget_on(
        &self,
        shard: &Arc<Shard>,
        rounds: Rounds,
        _deleting: &OwnedMutexGuard<()>,
    ) -> Result<(), Arc<Cause>> {
        if self.ledger.extent(shard.name()) == Extent::Keys(0) {
            return Ok(());
        }
        let now = || self.topology();
        let mut connection = resync::dial(shard).await?;
        let mut forgetting = Forgetting::new(&self.ledger, shard.name(), Some(&now));
        match rounds {
            Rounds::BesideWrites => forgetting.rounds(&mut connection).await,
            Rounds::Last => forgetting.end(&mut connection).await,
        }
    }

    /// Nobody else deletes from this shard what it does not own, as long as this is held.
    async fn deleting(&self, shard: &Shard) -> OwnedMutexGuard<()> {
        let turn = self.lock().deleting(shard.name());
        turn.lock_owned().await
    }

    /// Returns when a shard has answered all that any engine handed to its shared wires before.
    pub(super) async fn answered(&self, shard: &Shard) -> Result<(), Arc<Cause>> {
        let all = self
            .with_engines(|_, engines| engines.iter().map(|engine| engine.topology()).collect::<Vec<_>>());
        for topology in all {
            for member in topology.members().iter().filter(|member| member.shard.name() == shard.name()) {
                member.shard.answered().await?;
            }
        }
        Ok(())
    }

    /// The shards beside this one that serve and have to forget something.
    fn others_to_forget(&self, shard: &Arc<Shard>) -> Vec<Arc<Shard>> {
        let mut others = self.lock().heirs(shard);
        others.retain(|other| self.ledger.extent(other.name()) != Extent::Keys(0));
        others
    }

    /// Whether an heir has to forget any of the keys that a shard owns, or what is not known by key.
    async fn owes_of(&self, heir: &Shard, shard: &Shard) -> bool {
        match self.ledger.extent(heir.name()) {
            Extent::Keys(0) => false,
            Extent::Keys(_) => {
                let mut moving = Vec::new();
                self.moving(shard, &self.ledger.due(heir.name(), usize::MAX).keys, &mut moving).await;
                !moving.is_empty()
            }
            Extent::Everything | Extent::Unknown => true,
        }
    }

    /// Adds those of the keys that move when a shard leaves.
    async fn moving(&self, shard: &Shard, keys: &[Bytes], moving: &mut Vec<Bytes>) {
        let least = self.moves_least();
        for keys in keys.chunks(SWEPT_AT_ONCE) {
            let now = self.topology();
            let moves = |key: &&Bytes| !least || now.as_ref().is_none_or(|now| owns(now, shard, key));
            moving.extend(keys.iter().filter(moves).cloned());
            // Many may be looked up, and others want to run.
            yield_now().await;
        }
    }

    /// Whether nobody but a shard that returns, or falls, has to do with its keys. See [`Spec::moves_least`].
    ///
    /// [`Spec::moves_least`]: rendis_core::placement::Spec::moves_least
    pub(super) fn moves_least(&self) -> bool {
        self.topology().is_some_and(|topology| topology.spec().moves_least())
    }

    /// The topology of an engine; of all, but for the moment of a change.
    pub(super) fn topology(&self) -> Option<Arc<Topology<Shard>>> {
        self.with_engines(|_, engines| engines.first().map(|engine| engine.topology()))
    }
}

/// What went wrong on this shard.
fn of(shard: &Shard, cause: &Cause) -> Arc<Cause> {
    Cause::new(cause.kind, format!("{} has to forget old values first: {}", shard.name(), cause.text))
}

fn owns(topology: &Topology<Shard>, shard: &Shard, key: &[u8]) -> bool {
    let owner = topology.locate(key).and_then(|id| topology.member(id));
    owner.is_some_and(|owner| owner.shard.name() == shard.name())
}

/// How many keys are swept between two looks at the ring.
const SWEPT_AT_ONCE: usize = 4096;

/// How long after an attempt to hand over keys there is another; twice as long each time.
const SOON: Duration = Duration::from_millis(100);
const LATER: Duration = Duration::from_secs(1);
