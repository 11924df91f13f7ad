//! Takes shards back that answer again.

use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use rendis_core::topology::{Standing, Topology};
use tokio::time::{sleep, timeout};

use super::Coordinator;
use super::state::{State, Watched};
use crate::connection::Connection;
use crate::error::{Cause, Kind};
use crate::events::Forgot;
use crate::ledger::Extent;
use crate::resync::{self, Forgetting, Surplus};
use crate::settings::OnReturn;
use crate::shard::Shard;

impl Coordinator {
    /// Takes a shard back that answers again: teaches it, has it forget what grew old, and has all engines use it. `None`
    /// when it serves already, or was to be taken back from its rest and fell meanwhile.
    ///
    /// One at a time: what one is just deleting, another would not find in the ledger, and let the shard serve before it
    /// is deleted.
    pub(super) async fn take_back(
        self: &Arc<Self>,
        shard: &Arc<Shard>,
        out: Out,
    ) -> Result<Option<Forgot>, Arc<Cause>> {
        let turn = self.lock().turn(shard.name());
        let _turn = turn.lock().await;
        let begun = self.with_engines(|state, engines| {
            let fell_at_rest = out == Out::AtRest && !state.is_up(shard.name());
            if fell_at_rest || state.standing(shard.name()) == Standing::Serving {
                return None;
            }
            engines.iter().for_each(|engine| engine.expect(shard.name()));
            let teacher = state.serving().next().cloned();
            let (was_out, falls) = state.absence(shard.name());
            Some((was_out, falls, state.settings.on_return, teacher))
        });
        let Some((was_out, falls, on_return, teacher)) = begun else { return Ok(None) };
        let mut connection = shard.dialer().dial().await?;
        resync::teach_scripts(&mut connection, &self.scripts.all()).await?;
        self.give_functions(shard, teacher.as_deref(), &mut connection).await?;
        let mut forgetting = Forgetting::new(&self.ledger, shard.name(), None);
        match on_return {
            OnReturn::Forget => forgetting.rounds(&mut connection).await?,
            OnReturn::Flush if was_out => {
                resync::flush(&mut connection).await?;
                self.ledger.discard(shard.name());
            }
            OnReturn::Flush | OnReturn::Keep => {}
        }
        // With some placements shards that serve lose keys to others as well when one returns.
        let all_forget = on_return == OnReturn::Forget && !self.moves_least();
        if all_forget {
            self.forget_on_others(shard, Rounds::BesideWrites).await?;
        }
        {
            let last = self.ledger.close();
            let ends = async {
                if on_return == OnReturn::Forget {
                    forgetting.end(&mut connection).await?;
                }
                if all_forget {
                    self.forget_on_others(shard, Rounds::Last).await?;
                }
                if let Some(teacher) = teacher.as_deref()
                    && self.ledger.functions_changed(shard.name())
                {
                    // What was entered before may still have been on its way to the teacher.
                    self.answered(teacher).await?;
                    self.give_functions(shard, Some(teacher), &mut connection).await?;
                }
                Ok::<_, Arc<Cause>>(())
            };
            match timeout(LAST_ROUND, ends).await {
                Ok(ended) => ended?,
                Err(_) => return Err(Cause::new(Kind::Timeout, "it did not forget its old keys in time")),
            }
            self.returned(shard, falls)?;
            self.ledger.functions_learned(shard.name());
            if on_return != OnReturn::Forget {
                self.ledger.discard(shard.name());
            }
            drop(last);
        }
        Ok(Some(match on_return {
            OnReturn::Forget => {
                self.sweep();
                forgetting.forgot()
            }
            OnReturn::Flush if was_out => Forgot::Everything,
            OnReturn::Flush | OnReturn::Keep if was_out => Forgot::Nothing,
            OnReturn::Flush | OnReturn::Keep => Forgot::Keys(0),
        }))
    }

    /// Gives a shard the functions of one that serves: exactly those, where functions were changed while it was away.
    async fn give_functions(
        &self,
        shard: &Arc<Shard>,
        teacher: Option<&Shard>,
        connection: &mut Connection,
    ) -> Result<(), Arc<Cause>> {
        let Some(teacher) = teacher else { return Ok(()) };
        let surplus =
            if self.ledger.functions_changed(shard.name()) { Surplus::Goes } else { Surplus::Stays };
        resync::teach_functions(connection, shard.name(), teacher, surplus).await
    }

    /// Teaches shards that are new what one knows that was there before, beside their first calls.
    pub(super) fn teach_newcomers(self: &Arc<Self>, state: &mut State, newcomers: Vec<Arc<Shard>>) {
        let is_new = |shard: &Arc<Shard>| newcomers.iter().any(|new| Arc::ptr_eq(new, shard));
        let Some(teacher) = state.serving().find(|shard| !is_new(shard)).cloned() else { return };
        for shard in newcomers {
            let (coordinator, teacher) = (Arc::downgrade(self), Arc::clone(&teacher));
            let task = async move {
                let Ok(mut connection) = shard.dialer().dial().await else {
                    // It falls, or the next call says why; when it returns it is taught.
                    return;
                };
                let Some(coordinator) = Weak::upgrade(&coordinator) else { return };
                let taught = async {
                    resync::teach_scripts(&mut connection, &coordinator.scripts.all()).await?;
                    coordinator.give_functions(&shard, Some(&teacher), &mut connection).await
                };
                if let Err(cause) = taught.await {
                    tracing::warn!(
                        shard = shard.name(),
                        why = cause.text,
                        "the new shard was not taught scripts and functions"
                    );
                }
            };
            state.keep(tokio::spawn(task).abort_handle());
        }
    }

    /// Takes a shard out. Whoever owns its keys from then on forgets first what he may hold of them that is old: what is
    /// still being swept, because the shard is back for a moment only; and, with placements that move more than its keys,
    /// what he owned before. Who cannot do that in time is out too, until it has forgotten, like one that was dead.
    pub(super) async fn leave_out(
        self: &Arc<Self>,
        shard: &Arc<Shard>,
        change: impl FnOnce(&mut Watched, bool) -> bool,
    ) {
        let sweeping = self.ledger.sweeping();
        if sweeping.is_empty() && self.others_to_forget(shard).is_empty() {
            return self.change(shard, &[], change);
        }
        let last = self.ledger.close();
        let others: Vec<Arc<Shard>> =
            self.lock().serving().filter(|other| !Arc::ptr_eq(other, shard)).cloned().collect();
        let forgotten = join_all(others.iter().map(async |other| {
            let all = async {
                for keys in &sweeping {
                    self.swept(other, keys).await?;
                }
                self.forget_on(other, Rounds::Last).await
            };
            matches!(timeout(LAST_ROUND, all).await, Ok(Ok(())))
        }));
        let forgotten = forgotten.await;
        let late: Vec<Arc<Shard>> =
            others.into_iter().zip(forgotten).filter(|(_, forgot)| !forgot).map(|(other, _)| other).collect();
        for other in &late {
            sweeping.iter().for_each(|keys| self.ledger.put_back(other.name(), keys));
        }
        self.change(shard, &late, change);
        drop(last);
        self.sweep();
    }

    /// The shards beside this one that serve, and have to forget something.
    fn others_to_forget(&self, shard: &Arc<Shard>) -> Vec<Arc<Shard>> {
        let has_to = |other: &&Arc<Shard>| {
            !Arc::ptr_eq(other, shard) && self.ledger.extent(other.name()) != Extent::Keys(0)
        };
        self.lock().serving().filter(has_to).cloned().collect()
    }

    async fn forget_on_others(&self, shard: &Arc<Shard>, rounds: Rounds) -> Result<(), Arc<Cause>> {
        for other in self.others_to_forget(shard) {
            self.forget_on(&other, rounds).await?;
        }
        Ok(())
    }

    /// Has a shard that serves forget what is not its own.
    async fn forget_on(&self, shard: &Arc<Shard>, rounds: Rounds) -> Result<(), Arc<Cause>> {
        if self.ledger.extent(shard.name()) == Extent::Keys(0) {
            return Ok(());
        }
        let now = || self.topology();
        let mut connection = shard.dialer().dial().await?;
        let mut forgetting = Forgetting::new(&self.ledger, shard.name(), Some(&now));
        match rounds {
            Rounds::BesideWrites => forgetting.rounds(&mut connection).await,
            Rounds::Last => forgetting.end(&mut connection).await,
        }
    }

    /// Whether nobody but a shard that returns, or falls, has to do with its keys. See [`Spec::moves_least`].
    ///
    /// [`Spec::moves_least`]: rendis_core::placement::Spec::moves_least
    fn moves_least(&self) -> bool {
        self.topology().is_some_and(|topology| topology.spec().moves_least())
    }

    /// The topology of an engine; of all, but for the moment of a change.
    fn topology(&self) -> Option<Arc<Topology<Shard>>> {
        self.with_engines(|_, engines| engines.first().map(|engine| engine.topology()))
    }

    /// Deletes what was forgotten from the shards that stood in, so that it is not found there when they stand in again:
    /// at once, and again when nothing can be under way to them any more. What cannot be deleted now, because a shard does
    /// not serve or fails, is entered in the ledger.
    fn sweep(self: &Arc<Self>) {
        let keys = self.ledger.sweep();
        if keys.is_empty() {
            return;
        }
        let coordinator = Arc::downgrade(self);
        let wait = self.lock().longest_write();
        let task = async move {
            for wait in [Duration::ZERO, wait] {
                sleep(wait).await;
                let Some(coordinator) = Weak::upgrade(&coordinator) else { return };
                coordinator.sweep_once(&keys).await;
            }
        };
        self.lock().keep(tokio::spawn(task).abort_handle());
    }

    /// Sweeps once, from all shards that serve.
    async fn sweep_once(&self, keys: &[Bytes]) {
        let serving = self.with_engines(|state, _| {
            for other in state.not_serving() {
                self.ledger.put_back(other.name(), keys);
            }
            state.serving().cloned().collect::<Vec<Arc<Shard>>>()
        });
        // Where that fails they are entered in the ledger.
        join_all(serving.iter().map(async |shard| {
            if self.swept(shard, keys).await.is_err() {
                self.ledger.put_back(shard.name(), keys);
            }
        }))
        .await;
    }

    /// Returns when a shard has answered all that any engine handed to its shared wires before.
    async fn answered(&self, shard: &Shard) -> Result<(), Arc<Cause>> {
        let all = self
            .with_engines(|_, engines| engines.iter().map(|engine| engine.topology()).collect::<Vec<_>>());
        for topology in all {
            for member in topology.members().iter().filter(|member| member.shard.name() == shard.name()) {
                member.shard.answered().await?;
            }
        }
        Ok(())
    }

    /// Deletes keys from a shard, as far as others own them.
    async fn swept(&self, shard: &Arc<Shard>, keys: &[Bytes]) -> Result<(), Arc<Cause>> {
        // Writes that were placed there before the return may still be on their way: those that came after the sweep would
        // stay.
        self.answered(shard).await?;
        for keys in keys.chunks(SWEPT_AT_ONCE) {
            // Looked at each time: the ring may have changed, and what a shard owns now is new.
            let Some(now) = self.topology() else { return Ok(()) };
            let strange = |key: &&Bytes| {
                let owner = now.locate(key).and_then(|id| now.member(id));
                owner.is_some_and(|owner| owner.shard.name() != shard.name())
            };
            let keys: Vec<Bytes> = keys.iter().filter(strange).cloned().collect();
            resync::sweep(shard, &keys).await?;
        }
        Ok(())
    }
}

/// Why a shard that is taken back did not serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Out {
    /// It was down. Its monitor says that it answers again.
    Down,
    /// It was slow, and has rested. Were it to fall meanwhile, its monitor would have it taken back.
    AtRest,
}

/// Which rounds are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rounds {
    /// Those beside which writes go on.
    BesideWrites,
    /// The last, while the ledger is closed.
    Last,
}

/// How many keys are swept between two looks at the ring.
const SWEPT_AT_ONCE: usize = 4096;

/// How long the last round of a return may take, in which writes wait.
const LAST_ROUND: Duration = Duration::from_millis(500);
