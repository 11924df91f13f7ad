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
    /// entered for all others, so that another attempt goes on where this one ends, and who is away forgets it before it
    /// is back; `entered` are the sweeps of which that is done.
    ///
    /// # Errors
    /// Why one of them could not, in time.
    pub(super) async fn hand_over(
        self: &Arc<Self>,
        shard: &Arc<Shard>,
        entered: &mut Vec<Weak<Vec<Bytes>>>,
    ) -> Result<HandedOver<'_>, Arc<Cause>> {
        let least = self.moves_least();
        let (returns, serving, leaving) = {
            let state = self.lock();
            (state.returns, state.heirs(shard), state.leaving(shard))
        };
        self.enter_sweeps(shard, entered).await;
        self.owe_nothing(&leaving, shard).await?;
        // A sweep that is under way may be about to delete what was forgotten already, by an attempt before this one: it
        // must not overtake what is written there when it is another's. So all wait for it, who forget and who need not.
        let sweeping = !self.ledger.sweeping().is_empty();
        let mut heirs = Vec::new();
        for heir in serving {
            let owes = !least || self.owes_of(&heir, shard).await;
            if owes || sweeping {
                heirs.push((heir, owes));
            }
        }
        // One after the other, in the order of the list: two that fall at once would wait for each other else. Also waits until
        // what is being deleted there now has been.
        let turns = async {
            let mut turns = Vec::with_capacity(heirs.len());
            for (heir, _) in &heirs {
                turns.push(self.deleting(heir).await);
            }
            turns
        };
        let late =
            |_| Cause::new(Kind::Timeout, format!("others do not forget old values in {LAST_ROUND:?}"));
        let deleting = timeout(LAST_ROUND, turns).await.map_err(late)?;
        let owing = || heirs.iter().zip(&deleting).filter(|((_, owes), _)| *owes);
        let rounds = if least { Rounds::Last } else { Rounds::BesideWrites };
        let forgetting = join_all(owing().map(async |((heir, _), deleting)| {
            let forgets = self.forget_on(heir, rounds, deleting);
            timeout(LAST_ROUND, forgets).await.map_err(late)?.map_err(|cause| of(heir, &cause))
        }));
        forgetting.await.into_iter().collect::<Result<(), _>>()?;
        if least {
            return Ok(HandedOver { _deleting: deleting, _last: None, returns });
        }
        // Anybody's writes are entered for anybody else, until there is a new owner.
        let last = self.ledger.close();
        let ends = owing().map(async |((heir, _), deleting)| {
            self.forget_on(heir, Rounds::Last, deleting).await.map_err(|cause| of(heir, &cause))
        });
        let ended = timeout(LAST_ROUND, join_all(ends)).await.map_err(late)?;
        ended.into_iter().collect::<Result<(), _>>()?;
        self.owe_nothing(&leaving, shard).await?;
        self.sweep(self.ledger.sweep(|shard| heirs.iter().any(|(heir, _)| heir.name() == shard)));
        Ok(HandedOver { _deleting: deleting, _last: Some(last), returns })
    }

    /// Enters those of the keys being swept that move when a shard leaves, for all others: who serves has to forget them
    /// now, and who does not, before it serves and may own them.
    async fn enter_sweeps(&self, shard: &Arc<Shard>, entered: &mut Vec<Weak<Vec<Bytes>>>) {
        let known =
            |sweep: &Arc<Vec<Bytes>>| entered.iter().any(|known| known.as_ptr() == Arc::as_ptr(sweep));
        let new: Vec<_> = self.ledger.sweeping().into_iter().filter(|sweep| !known(sweep)).collect();
        let mut moving = Vec::new();
        for sweep in &new {
            self.moving(shard, sweep, &mut moving).await;
        }
        if !moving.is_empty() {
            let (others, moving) = (self.lock().others(shard), Arc::new(moving));
            others.iter().for_each(|other| self.put_back(other, &moving));
        }
        entered.extend(new.iter().map(Arc::downgrade));
    }

    /// Refuses as long as shards that are about to leave themselves have to forget keys of this one: they serve a moment
    /// longer, and would own them.
    async fn owe_nothing(&self, leaving: &[Arc<Shard>], shard: &Shard) -> Result<(), Arc<Cause>> {
        for other in leaving {
            if self.owes_of(other, shard).await {
                return Err(of(other, &Cause::new(Kind::ShardDown, "it is leaving itself")));
            }
        }
        Ok(())
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
                    let ring = coordinator.name.as_deref();
                    tracing::info!(ring, shard = shard.name(), "its keys go to other shards now");
                    return;
                }
            }
        };
        // It ends with the shard's next fall or return, and with what is known of it.
        known.handing = Some(tokio::spawn(task).abort_handle());
    }

    /// Has the shards beside this one that serve forget what they have to.
    ///
    /// # Errors
    /// Why one of them could not; or that one is about to leave, and is not asked any more.
    pub(super) async fn forget_on_others(
        &self,
        shard: &Arc<Shard>,
        rounds: Rounds,
    ) -> Result<(), Arc<Cause>> {
        let (heirs, leaving) = {
            let state = self.lock();
            (state.heirs(shard), state.leaving(shard))
        };
        let owes = |other: &&Arc<Shard>| self.ledger.extent(other.name()) != Extent::Keys(0);
        if let Some(other) = leaving.iter().find(owes) {
            return Err(of(other, &Cause::new(Kind::ShardDown, "it is leaving itself")));
        }
        for other in heirs.iter().filter(owes) {
            if self.ledger.extent(other.name()) == Extent::Unknown {
                // It will not be known any more, and nobody can stay away for it.
                let ring = self.name.as_deref();
                tracing::warn!(
                    ring,
                    shard = other.name(),
                    "it may hold values that were overwritten elsewhere"
                );
                self.ledger.discard(other.name());
            }
            let deleting = self.deleting(other).await;
            self.forget_on(other, rounds, &deleting).await?;
        }
        Ok(())
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
        // What was placed there before may still be on its way, and would overtake the deletion.
        self.answered(shard).await?;
        let now = || self.topology();
        let mut connection = resync::dial(shard).await?;
        let mut forgetting = Forgetting::new(&self.ledger, shard.name(), Some(&now));
        match rounds {
            Rounds::BesideWrites => forgetting.rounds(&mut connection).await,
            Rounds::Last => forgetting.end(&mut connection).await,
        }
    }

    /// Whether an heir has to forget any of the keys that a shard owns, or what is not known by key.
    async fn owes_of(&self, heir: &Shard, shard: &Shard) -> bool {
        match self.ledger.extent(heir.name()) {
            Extent::Keys(0) => return false,
            Extent::Keys(_) if self.moves_least() => {}
            Extent::Keys(_) | Extent::Everything | Extent::Unknown => return true,
        }
        let lists = self.ledger.owed(heir.name());
        for keys in lists.iter().flat_map(|list| list.chunks(AT_ONCE)) {
            let now = self.topology();
            if keys.iter().any(|key| now.as_ref().is_none_or(|now| owns(now, shard, key))) {
                return true;
            }
            yield_now().await;
        }
        false
    }

    /// Adds those of the keys that move when a shard leaves.
    async fn moving(&self, shard: &Shard, keys: &[Bytes], moving: &mut Vec<Bytes>) {
        let least = self.moves_least();
        for keys in keys.chunks(AT_ONCE) {
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
    topology.owner(key).is_some_and(|owner| owner.shard.name() == shard.name())
}

/// How many keys are looked up at once.
const AT_ONCE: usize = 4096;

/// How long after an attempt to hand over keys there is another; twice as long each time.
const SOON: Duration = Duration::from_millis(100);
const LATER: Duration = Duration::from_secs(1);
