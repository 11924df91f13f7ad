//! Takes shards back that answer again.

use std::sync::{Arc, Weak};
use std::time::Duration;

use rendis_core::topology::Standing;
use tokio::time::{sleep, timeout};

use super::handover::Rounds;
use super::state::State;
use super::{Coordinator, LAST_ROUND};
use crate::connection::Connection;
use crate::error::{Cause, Kind};
use crate::events::Forgot;
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
            let teachers: Vec<Arc<Shard>> = state.serving().cloned().collect();
            let (was_out, falls) = state.absence(shard.name());
            Some((was_out, falls, state.settings.on_return, teachers))
        });
        let Some((was_out, falls, on_return, mut teachers)) = begun else { return Ok(None) };
        // Another thread's may take a while to: what was written to them must not arrive after the shard has forgotten.
        let late = |_| Cause::new(Kind::Timeout, "connections from before do not end in time");
        timeout(LAST_ROUND, self.renewed(shard)).await.map_err(late)?;
        let mut connection = resync::dial(shard).await?;
        resync::teach_scripts(&mut connection, &self.scripts.all()).await?;
        if let Some(teacher) = self.give_functions(shard, &teachers, &mut connection).await? {
            teachers = vec![teacher];
        }
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
        let swept;
        {
            let last = self.ledger.close();
            let ends = async {
                if on_return == OnReturn::Forget {
                    forgetting.end(&mut connection).await?;
                }
                if all_forget {
                    self.forget_on_others(shard, Rounds::Last).await?;
                }
                if self.ledger.functions_changed(shard.name()) {
                    // What was entered before may still have been on its way to the teacher.
                    for teacher in &teachers {
                        self.answered(teacher).await?;
                    }
                    self.give_functions(shard, &teachers, &mut connection).await?;
                }
                Ok::<_, Arc<Cause>>(())
            };
            match timeout(LAST_ROUND, ends).await {
                Ok(ended) => ended?,
                Err(_) => return Err(Cause::new(Kind::Timeout, "it did not forget its old keys in time")),
            }
            swept = self.returned(shard, falls)?;
            self.ledger.functions_learned(shard.name());
            if on_return != OnReturn::Forget {
                self.ledger.discard(shard.name());
            }
            drop(last);
        }
        self.sweep(swept);
        Ok(Some(match on_return {
            OnReturn::Forget => forgetting.forgot(),
            OnReturn::Flush if was_out => Forgot::Everything,
            OnReturn::Flush | OnReturn::Keep if was_out => Forgot::Nothing,
            OnReturn::Flush | OnReturn::Keep => Forgot::Keys(0),
        }))
    }

    /// Gives a shard the functions of the first of these that hands them out: exactly those, where functions were changed
    /// while it was away. Says who that was.
    ///
    /// # Errors
    /// What ended the connection; or that functions were changed, and there is nobody to learn them from now.
    async fn give_functions(
        &self,
        shard: &Arc<Shard>,
        teachers: &[Arc<Shard>],
        connection: &mut Connection,
    ) -> Result<Option<Arc<Shard>>, Arc<Cause>> {
        let changed = self.ledger.functions_changed(shard.name());
        let surplus = if changed { Surplus::Goes } else { Surplus::Stays };
        let mut trouble = None;
        for teacher in teachers {
            match handed_out(teacher).await {
                Ok(Some(functions)) => {
                    resync::teach_functions(connection, shard.name(), &functions, surplus).await?;
                    return Ok(Some(Arc::clone(teacher)));
                }
                // Its server knows none, or its user may not see them. Nobody else is asked where it does not matter.
                Ok(None) if changed => {}
                Ok(None) => return Ok(Some(Arc::clone(teacher))),
                Err(cause) => trouble = Some(cause.text.clone()),
            }
        }
        let Some(why) = trouble else { return Ok(None) };
        if changed {
            let text =
                format!("functions were changed while it was away, and no shard hands them out: {why}");
            return Err(Cause::new(Kind::ShardDown, text));
        }
        tracing::warn!(shard = shard.name(), why, "the shard does not get the functions of the others");
        Ok(None)
    }

    /// Teaches shards that are new what one knows that was there before, beside their first calls.
    pub(super) fn teach_newcomers(self: &Arc<Self>, state: &mut State, newcomers: Vec<Arc<Shard>>) {
        let is_new = |shard: &Arc<Shard>| newcomers.iter().any(|new| Arc::ptr_eq(new, shard));
        let teachers: Vec<Arc<Shard>> = state.serving().filter(|shard| !is_new(shard)).cloned().collect();
        if teachers.is_empty() {
            return;
        }
        for shard in newcomers {
            let (coordinator, teachers) = (Arc::downgrade(self), teachers.clone());
            let task = async move {
                let Ok(mut connection) = resync::dial(&shard).await else {
                    // It falls, or the next call says why; when it returns it is taught.
                    return;
                };
                let Some(coordinator) = Weak::upgrade(&coordinator) else { return };
                let taught = async {
                    resync::teach_scripts(&mut connection, &coordinator.scripts.all()).await?;
                    coordinator.give_functions(&shard, &teachers, &mut connection).await
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

    /// Gives a shard that serves, and may have been started anew, the functions of another, beside its calls, where it has
    /// none. What it lost of scripts it says of itself when it is asked for them.
    pub(super) fn teach_anew(self: &Arc<Self>, shard: &Arc<Shard>) {
        let mut state = self.lock();
        if state.standing(shard.name()) != Standing::Serving {
            return;
        }
        let others = state.serving().filter(|other| other.name() != shard.name());
        let (teachers, shard) = (others.cloned().collect::<Vec<_>>(), Arc::clone(shard));
        let task = async move {
            for _ in 0..LESSONS {
                match give_lost_functions(&shard, &teachers).await {
                    Ok(()) => return,
                    Err(_) => sleep(BETWEEN_LESSONS).await,
                }
            }
            tracing::warn!(
                shard = shard.name(),
                "it could not be found out whether the shard lost its functions"
            );
        };
        state.keep(tokio::spawn(task).abort_handle());
    }
}

/// Gives a shard that has no functions those of the first of these that hands them out.
///
/// # Errors
/// What ended a connection, or that a server is not ready; of the others, where none of them hands them out.
async fn give_lost_functions(shard: &Shard, teachers: &[Arc<Shard>]) -> Result<(), Arc<Cause>> {
    let Some(own) = handed_out(shard).await? else { return Ok(()) };
    if resync::has_functions(&own) {
        return Ok(());
    }
    let (mut surplus, mut trouble) = (Surplus::Stays, None);
    for teacher in teachers {
        let mut functions = match handed_out(teacher).await {
            Ok(Some(functions)) if resync::has_functions(&functions) => functions,
            // Who has none may have been started anew as well.
            Ok(_) => continue,
            Err(cause) => {
                trouble = Some(cause);
                continue;
            }
        };
        let mut connection = resync::dial(shard).await?;
        loop {
            resync::teach_functions(&mut connection, shard.name(), &functions, surplus).await?;
            // What was changed meanwhile was changed on both, and may have been undone here.
            let Some(now) = handed_out(teacher).await? else { return Ok(()) };
            if now == functions {
                return Ok(());
            }
            (functions, surplus) = (now, Surplus::Goes);
        }
    }
    trouble.map_or(Ok(()), Err)
}

/// [`resync::functions`], where they come soon.
async fn handed_out(shard: &Shard) -> Result<Option<Vec<u8>>, Arc<Cause>> {
    let late = |_| Cause::new(Kind::Timeout, "no answer in time");
    timeout(LAST_ROUND, resync::functions(shard)).await.map_err(late)?
}

/// How often it is tried to give a shard the functions that it may have lost, and after which pause again.
const LESSONS: u32 = 5;
const BETWEEN_LESSONS: Duration = Duration::from_secs(1);

/// Why a shard that is taken back did not serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Out {
    /// It was down. Its monitor says that it answers again.
    Down,
    /// It was slow, and has rested. Were it to fall meanwhile, its monitor would have it taken back.
    AtRest,
}
