//! Takes shards back that answer again.

use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use rendis_core::topology::Standing;
use tokio::time::timeout;

use super::Ward;
use crate::connection::Connection;
use crate::error::{Cause, Kind};
use crate::events::Forgot;
use crate::ledger::Extent;
use crate::returning::{self, Forgetting};
use crate::settings::OnReturn;
use crate::shard::Shard;

impl Ward {
    /// Takes a shard back that answers again: teaches it, has it forget what grew old, and has all engines use it.
    pub(super) async fn take_back(self: &Arc<Self>, shard: &Arc<Shard>) -> Result<Forgot, Arc<Cause>> {
        let (was_out, on_return, teacher) = self.with_engines(|state, engines| {
            engines.iter().for_each(|engine| engine.expect(shard.name()));
            let teacher = state.serving().next().cloned();
            (state.standing(shard.name()) == Standing::Ejected, state.settings.on_return, teacher)
        });
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
    /// cannot be deleted now, because the shard does not serve or fails, is entered in the ledger.
    fn sweep(self: &Arc<Self>, keys: Vec<Bytes>) {
        if keys.is_empty() {
            return;
        }
        let ward = Arc::downgrade(self);
        let (serving, topology, wires) = self.with_engines(|state, engines| {
            let serving: Vec<Arc<Shard>> = state.serving().cloned().collect();
            for other in state.not_serving() {
                self.ledger.put_back(other.name(), &keys);
            }
            let members = engines.iter().map(|engine| engine.topology());
            let wires: Vec<Arc<Shard>> = members
                .flat_map(|topology| {
                    topology.members().iter().map(|member| Arc::clone(&member.shard)).collect::<Vec<_>>()
                })
                .collect();
            (serving, engines.first().map(|engine| engine.topology()), wires)
        });
        let Some(topology) = topology else { return };
        let task = async move {
            for shard in serving {
                let strange = |key: &&Bytes| {
                    let owner = topology.locate(key).and_then(|id| topology.member(id));
                    owner.is_none_or(|owner| owner.shard.name() != shard.name())
                };
                let keys: Vec<Bytes> = keys.iter().filter(strange).cloned().collect();
                // Writes that were placed there before the return may still be on their way, on any engine's wires: those
                // that came after the sweep would stay.
                let wires = wires.iter().filter(|other| other.name() == shard.name());
                let swept = async {
                    for wire in wires {
                        wire.answered().await?;
                    }
                    returning::sweep(&shard, &keys).await
                };
                if swept.await.is_err()
                    && let Some(ward) = Weak::upgrade(&ward)
                {
                    ward.ledger.put_back(shard.name(), &keys);
                }
            }
        };
        self.lock().keep(tokio::spawn(task).abort_handle());
    }
}

/// How long the last round of a return may take, in which writes wait.
const LAST_ROUND: Duration = Duration::from_millis(500);
