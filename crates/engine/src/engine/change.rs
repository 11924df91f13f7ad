//! Changes while the engine runs: of the ring, and of who serves.

use std::sync::{Arc, PoisonError};

use rendis_core::placement::Spec;
use rendis_core::topology::{Member, Standing, Topology};

use super::{Engine, Inner, requests};
use crate::coordinator::{self, Follower, Swap};
use crate::error::{Error, Kind};
use crate::members::{self, build};
use crate::probe::Heartbeat;
use crate::settings::{Settings, ShardSettings};
use crate::shard::Shard;

impl Engine {
    /// Changes the shards while the engine runs. A shard whose connection settings stay keeps its connections and what
    /// is known of its health; the calls under way on a removed one are served before its connections close. All of it
    /// becomes visible at once.
    ///
    /// # Errors
    /// [`Kind::Config`] when the list cannot be used, [`Kind::Refused`] when the engine is closed or this is called
    /// while somebody is told of new shards; nothing is changed then.
    pub fn set_shards(&self, shards: &[ShardSettings]) -> Result<(), Error> {
        self.change(|coordinator| {
            let spec = self.inner.topology.load().spec().clone();
            let (settings, heartbeat) = (self.settings(), coordinator.heartbeat().clone());
            self.replace(coordinator, shards, spec, settings, &heartbeat)
        })
    }

    /// Changes everything that a plan says, but for who is told of new shards, while the engine runs: as
    /// [`Engine::set_shards`] does for the shards. Where settings change that connections are made with (deadlines,
    /// queue, wires, exclusive connections), every shard gets new ones, and what is known of its health stays. What was
    /// learned of commands and scripts stays, and so do subscriptions.
    ///
    /// # Errors
    /// [`Kind::Config`] when a setting cannot be used; else as [`Engine::set_shards`]. Nothing is changed then.
    pub fn reconfigure(
        &self,
        shards: &[ShardSettings],
        placement: Spec,
        settings: Settings,
        heartbeat: Heartbeat,
    ) -> Result<(), Error> {
        let settings = Arc::new(settings.checked()?);
        self.change(|coordinator| self.replace(coordinator, shards, placement, settings, &heartbeat))
    }

    fn change(&self, change: impl FnOnce(&mut coordinator::State) -> Result<(), Error>) -> Result<(), Error> {
        let coordinator = &self.inner.coordinator;
        if coordinator.is_notifying_here() {
            let text =
                "the ring is just being changed: who is told of its new shards cannot change it as well";
            return Err(Error::local(Kind::Refused, text));
        }
        // What is new runs where the engine does, whoever changes it.
        let _runtime = self.inner.runtime.enter();
        let changed = change(&mut coordinator.lock());
        if self.is_closed() {
            // Meanwhile, by who was told of a new shard.
            self.end();
        }
        changed
    }

    fn replace(
        &self,
        coordinator: &mut coordinator::State,
        shards: &[ShardSettings],
        spec: Spec,
        settings: Arc<Settings>,
        heartbeat: &Heartbeat,
    ) -> Result<(), Error> {
        self.open()?;
        let inner = &self.inner;
        let (current, before) = (inner.topology.load(), inner.settings.load());
        let anew = !settings.same_connections(&before);
        let members = members::start(shards, &settings, current.members(), anew, coordinator)?;
        let next = build(spec, members)?;
        inner.coordinator.adopt(coordinator, next.members(), &settings, heartbeat);
        inner.settings.store(Arc::clone(&settings));
        let is_new =
            |shard: &&Arc<Shard>| current.members().iter().all(|member| !Arc::ptr_eq(&member.shard, shard));
        let new: Vec<Arc<Shard>> =
            next.members().iter().map(|member| &member.shard).filter(is_new).cloned().collect();
        inner.coordinator.notify_new_shards(coordinator, || self.announce(&new));
        inner.publish(coordinator, &next)();
        let mut budget = inner.budget.lock().unwrap_or_else(PoisonError::into_inner);
        budget.recount(settings.budget, requests(&inner.topology.load()));
        drop(budget);
        Ok(())
    }

    /// Tells whoever wants to know of new shards.
    pub(super) fn announce(&self, shards: &[Arc<Shard>]) {
        if let Some(told) = &self.inner.on_new_shard {
            shards.iter().for_each(|shard| told(shard));
        }
    }
}

impl Inner {
    /// Sets every member's standing by what the coordinator knows. What it returns swaps the topology in.
    fn publish<'f>(&'f self, coordinator: &coordinator::State, next: &Topology<Shard>) -> Swap<'f> {
        let mut members = next.members().to_vec();
        for member in &mut members {
            member.standing = coordinator.standing(member.shard.name());
        }
        let before = self.topology.load();
        match build(next.spec().clone(), members) {
            Ok(next) => {
                let serves = |member: &&Member<Shard>| member.standing == Standing::Serving;
                for member in next.members().iter().filter(serves) {
                    let same =
                        |other: &Member<Shard>| Arc::ptr_eq(&other.shard, &member.shard) && serves(&other);
                    if !before.members().iter().any(same) {
                        // What failed before it fell is no vote any more.
                        member.shard.pulse().answered();
                        member.shard.renew();
                    }
                }
                Box::new(|| {
                    self.topology.store(Arc::new(next));
                    self.changes.send_modify(|count| *count += 1);
                    self.swapped.notify_waiters();
                })
            }
            Err(error) => {
                tracing::error!(%error, "the topology could not be rebuilt");
                Box::new(|| {})
            }
        }
    }
}

impl Follower for Inner {
    fn follow<'f>(&'f self, coordinator: &coordinator::State) -> Swap<'f> {
        let current = self.topology.load();
        self.publish(coordinator, &current)
    }

    fn expect(&self, shard: &str) {
        let topology = self.topology.load();
        let named = topology.members().iter().find(|member| member.shard.name() == shard);
        named.iter().for_each(|member| member.shard.renew());
    }

    fn topology(&self) -> Arc<Topology<Shard>> {
        self.topology.load_full()
    }
}
