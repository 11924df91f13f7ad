//! Deletes old values from the shards that stood in for another, after it is back.
//!
//! What a shard has forgotten lies newer where it stood in, and is old there when the shard serves again. So it is deleted
//! there; and until that is done, whoever serves a key that is being swept has to forget it before (`handover`).

use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use rendis_core::topology::{Standing, Topology};
use tokio::sync::OwnedMutexGuard;
use tokio::time::sleep;

use super::Coordinator;
use crate::error::Cause;
use crate::resync;
use crate::shard::Shard;

impl Coordinator {
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

    /// Sweeps once, from all shards that serve. Who begins or ceases to serve meanwhile and would own one of these keys has
    /// to forget it first: it is known what is being swept.
    async fn sweep_once(&self, keys: &Arc<Vec<Bytes>>) {
        let (serving, away) = {
            let state = self.lock();
            let serving: Vec<Arc<Shard>> = state.serving().cloned().collect();
            (serving, state.not_serving().cloned().collect::<Vec<_>>())
        };
        away.iter().for_each(|shard| self.put_back(shard, keys));
        join_all(serving.iter().map(async |shard| {
            if let Err(cause) = self.swept(shard, keys).await {
                tracing::debug!(shard = shard.name(), why = cause.text, "old values are deleted later");
                self.put_back(shard, keys);
            }
        }))
        .await;
    }

    /// Enters keys that a shard may hold old values of, unless it was removed meanwhile. Not those that it owns: what it holds
    /// of them is new. Nor the own ones of a shard that is away: what it holds of those is newer, or was entered by who wrote
    /// them elsewhere.
    pub(super) fn put_back(&self, shard: &Shard, keys: &Arc<Vec<Bytes>>) {
        let now = self.topology();
        let serves = now.as_ref().is_some_and(|now| serves(now, shard));
        let own = |key: &Bytes| {
            now.as_ref().is_some_and(|now| {
                if serves { !is_strange(now, shard, key) } else { belongs(now, shard, key) }
            })
        };
        let keys = if keys.iter().any(own) {
            Arc::new(keys.iter().filter(|key| !own(key)).cloned().collect())
        } else {
            Arc::clone(keys)
        };
        let state = self.lock();
        if state.is_watched(shard.name()) {
            self.ledger.put_back(shard.name(), &keys);
        }
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
        let keys: Vec<Bytes> = keys.iter().filter(|key| is_strange(&now, shard, key)).cloned().collect();
        resync::sweep(shard, &keys).await
    }

    /// Nobody else deletes from this shard what it does not own, as long as this is held.
    pub(super) async fn deleting(&self, shard: &Shard) -> OwnedMutexGuard<()> {
        let turn = self.lock().deleting(shard.name());
        turn.lock_owned().await
    }

    /// Returns when a shard has answered all that any engine handed to its shared wires before.
    pub(super) async fn answered(&self, shard: &Shard) -> Result<(), Arc<Cause>> {
        for shard in self.on_all_engines(shard) {
            shard.answered().await?;
        }
        Ok(())
    }

    /// Returns when no engine has a connection to this shard any more that was to end: what was written to it and has not
    /// arrived would arrive after newer values.
    pub(super) async fn renewed(&self, shard: &Shard) {
        for shard in self.on_all_engines(shard) {
            shard.renewed().await;
        }
    }

    /// A shard as each engine has it.
    fn on_all_engines(&self, shard: &Shard) -> Vec<Arc<Shard>> {
        let all = self
            .with_engines(|_, engines| engines.iter().map(|engine| engine.topology()).collect::<Vec<_>>());
        let members = all.iter().flat_map(|topology| topology.members());
        let named = members.filter(|member| member.shard.name() == shard.name());
        named.map(|member| Arc::clone(&member.shard)).collect()
    }
}

fn serves(topology: &Topology<Shard>, shard: &Shard) -> bool {
    let named = topology.members().iter().find(|member| member.shard.name() == shard.name());
    named.is_some_and(|member| member.standing == Standing::Serving)
}

/// Whether a key is another shard's now.
fn is_strange(topology: &Topology<Shard>, shard: &Shard, key: &[u8]) -> bool {
    topology.owner(key).is_some_and(|owner| owner.shard.name() != shard.name())
}

/// Whether this is where a key lies while all serve.
fn belongs(topology: &Topology<Shard>, shard: &Shard, key: &[u8]) -> bool {
    let home = topology.displaced(key).or_else(|| topology.locate(key));
    home.and_then(|id| topology.member(id)).is_some_and(|home| home.shard.name() == shard.name())
}

/// How many keys are swept between two looks at the ring.
const SWEPT_AT_ONCE: usize = 4096;
