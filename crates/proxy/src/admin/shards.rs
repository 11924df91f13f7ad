//! The shards of every ring, as the threads see them.

use std::sync::Arc;

use rendis_core::topology::Standing;
use rendis_engine::error::Kind;
use rendis_engine::exclusive::PoolStats;
use rendis_engine::shard::WireStats;
use rendis_engine::times::Distribution;
use serde_json::json;

use crate::context::{Shared, ThreadRing};
use crate::local;

/// A shard over all threads.
pub(super) struct Overview {
    pub(super) name: String,
    pub(super) address: String,
    pub(super) weight: Option<u32>,
    /// The version of Redis that it equals, where it said so.
    version: Option<String>,
    /// Threads that serve from it, that have taken it out and given its keys to others, and that have it down.
    pub(super) serving: usize,
    pub(super) ejected: usize,
    pub(super) absent: usize,
    pub(super) wires: WireStats,
    pub(super) exclusive: PoolStats,
    /// What all threads have counted together.
    pub(super) health_changes: u64,
    pub(super) probes: Distribution,
    pub(super) bytes: (u64, u64),
    pub(super) errors: Vec<(Kind, u64)>,
    pub(super) replies: Distribution,
    /// What went wrong last, if anything ever did.
    trouble: Option<String>,
}

impl Overview {
    /// Whether every thread serves from it.
    pub(super) const fn is_up(&self) -> bool {
        matches!(self.standing(), Standing::Serving)
    }

    /// How it stands for all threads: as for the one that has it worst. They differ for moments only.
    pub(super) const fn standing(&self) -> Standing {
        match (self.absent, self.ejected) {
            (0, 0) => Standing::Serving,
            (0, _) => Standing::Ejected,
            _ => Standing::Absent,
        }
    }
}

/// The shards of a ring, in its order.
pub(super) fn overview(threads: &[ThreadRing]) -> Vec<Overview> {
    let mut shards: Vec<Overview> = Vec::new();
    for thread in threads {
        for member in thread.engine.topology().members() {
            let (shard, name) = (&member.shard, member.shard.name());
            let at = shards.iter().position(|known| known.name == name).unwrap_or_else(|| {
                shards.push(Overview {
                    name: name.to_owned(),
                    address: shard.endpoint().address.clone(),
                    weight: member.node.weight,
                    version: shard.version().map(|version| version.to_string()),
                    serving: 0,
                    ejected: 0,
                    absent: 0,
                    wires: WireStats::default(),
                    exclusive: PoolStats::default(),
                    health_changes: shard.health_changes(),
                    probes: shard.probes().read(),
                    bytes: shard.bytes(),
                    errors: shard.errors().collect(),
                    replies: shard.replies().read(),
                    trouble: shard.trouble(),
                });
                shards.len() - 1
            });
            let Some(known) = shards.get_mut(at) else { continue };
            match member.standing {
                Standing::Serving => known.serving += 1,
                Standing::Ejected => known.ejected += 1,
                Standing::Absent => known.absent += 1,
            }
            known.wires += shard.wire_stats();
            known.exclusive += shard.pool_stats();
        }
    }
    shards
}

/// The page.
pub(super) fn page(rings: &[Arc<Shared>]) -> String {
    let rings: Vec<_> = rings
        .iter()
        .map(|ring| {
            let shards: Vec<_> = overview(&ring.threads())
                .iter()
                .map(|shard| {
                    json!({
                        "name": shard.name,
                        "address": shard.address,
                        "weight": shard.weight,
                        "version": shard.version,
                        "state": local::state(shard.standing()),
                        "up": shard.is_up(),
                        "threads": { "serving": shard.serving, "ejected": shard.ejected, "down": shard.absent },
                        "requests": shard.wires.requests,
                        "in_flight": shard.wires.in_flight,
                        "queued_bytes": shard.wires.queued,
                        "connections": shard.wires.connected + shard.exclusive.total,
                        "health_changes": shard.health_changes,
                        "last_error": shard.trouble,
                    })
                })
                .collect();
            json!({ "ring": ring.name, "shards": shards })
        })
        .collect();
    format!("{:#}\n", json!(rings))
}
