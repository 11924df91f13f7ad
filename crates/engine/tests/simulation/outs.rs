//! Who is out of the ring, and why.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use rendis_core::topology::Standing;
use rendis_engine::events::Event;
use tokio::time::Instant;

use crate::world::World;

/// Watches one engine for ever: no more shards are out than may be, and none for being slow that is not.
///
/// Those that rest because they are slow are not counted against those that are dead, but the dead against them.
pub(crate) async fn watch(world: Arc<World>) {
    let engine = &world.engines[0];
    let (mut events, mut changes) = (engine.events(), engine.changes());
    let (mut rest, mut told) = (BTreeSet::new(), VecDeque::new());
    loop {
        let (mut slow, mut changed) = (None, false);
        let next = async {
            match told.pop_front() {
                Some(event) => Some(event),
                None => events.next().await,
            }
        };
        tokio::select! {
            // What is told of a change is told with it, and read before it.
            biased;
            event = next => match event {
                Some(Event::Slow(shard)) => {
                    rest.insert(shard.name.to_string());
                    slow = Some(shard);
                }
                Some(Event::Loading(shard) | Event::Down { shard, .. } | Event::Returned { shard, .. }) => {
                    rest.remove(&*shard.name);
                }
                Some(_) => {}
                None => return,
            },
            change = changes.changed() => match change {
                Ok(()) => changed = true,
                Err(_) => return,
            },
        }
        let topology = engine.topology();
        let out = topology.members().iter().filter(|member| member.standing == Standing::Ejected);
        let out: BTreeSet<String> = out.map(|member| member.shard.name().to_owned()).collect();
        let ring = world.history().last().clone();
        if let Some(shard) = slow {
            world.ledger().summary.slow += 1;
            world.trace.note(|| format!("{} is slow", shard.name));
            // Others may have fallen since: what is told of that is there.
            told.extend(std::iter::from_fn(|| events.next().now_or_never().flatten()));
            let fell = told.iter().filter_map(|event| match event {
                Event::Down { shard, .. } => Some(shard.name.to_string()),
                _ => None,
            });
            if !ring.allows(out.difference(&fell.collect()).count()) {
                world.trace.wrong(|| format!("{} rests, and with it {out:?} are out", shard.name));
            }
            let looked_at = Instant::now() - ring.slow_after() - Duration::from_secs(1);
            if !world.narrow && world.patient(&shard.name).was_well(looked_at, Instant::now()) {
                world.trace.wrong(|| format!("{} rests, and is not slow", shard.name));
            }
        }
        if changed && !ring.allows(out.difference(&rest).count()) {
            world.trace.wrong(|| format!("{out:?} are out, and of these only {rest:?} rest"));
        }
    }
}
