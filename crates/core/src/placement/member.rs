//! The shards that take part, and the lists that are refused.

use std::collections::HashMap;

use super::Placement;
use super::error::PlacementError;
use super::node::{Identity, Node};
use super::spec::{Rule, Spec, Weights};
use crate::id::ShardId;

/// A shard that takes part, with what the rules need of it.
#[derive(Clone, Debug)]
pub(super) struct Member {
    pub(super) shard: ShardId,
    /// What is hashed; `None` where the position is.
    pub(super) identity: Option<String>,
    pub(super) weight: u32,
}

impl Member {
    /// What is hashed; empty where the position is, and no rule asks for it there.
    pub(super) fn identity(&self) -> &str {
        self.identity.as_deref().unwrap_or_default()
    }

    /// twemproxy sorts the servers of a pool: shorter names first, names of one length by their bytes.
    pub(super) fn twemproxy_order(&self, other: &Self) -> std::cmp::Ordering {
        let key = |member: &Self| member.identity().len();
        key(self).cmp(&key(other)).then_with(|| self.identity().cmp(other.identity()))
    }
}

pub(super) fn total_weight(members: &[Member]) -> u64 {
    members.iter().map(|member| u64::from(member.weight)).sum()
}

/// All shards with their identities and weights, checked.
pub(super) fn members(spec: &Spec, nodes: &[Node], live: &[bool]) -> Result<Vec<Member>, PlacementError> {
    let preset = spec.like();
    if nodes.is_empty() {
        return Err(PlacementError::NoShards);
    }
    if nodes.len() != live.len() {
        return Err(PlacementError::LiveMismatch { shards: nodes.len(), flags: live.len() });
    }
    let limit = match &spec.rule {
        Rule::EnvoyMaglev(options) => usize::try_from(options.table_size).unwrap_or(usize::MAX),
        _ => Placement::MAX_SHARDS,
    };
    if nodes.len() > limit.min(Placement::MAX_SHARDS) {
        let limit = limit.min(Placement::MAX_SHARDS);
        return Err(PlacementError::TooManyShards { preset, count: nodes.len(), limit });
    }
    let mut seen = HashMap::new();
    let mut members = Vec::with_capacity(nodes.len());
    for (at, node) in nodes.iter().enumerate() {
        let weight = weight(spec, node)?;
        if node.named && !matches!(spec.rule, Rule::Jedis(_) | Rule::Jedis29(_)) {
            return Err(PlacementError::NamedUnsupported { preset, shard: node.name.clone() });
        }
        if node.id.is_some() && spec.identity() == Identity::Position {
            return Err(PlacementError::IdUnsupported { preset, shard: node.name.clone() });
        }
        let identity = spec.identity().of(node);
        if let Some(identity) = &identity {
            check_identity(spec, node, at, identity)?;
            if let Some(first) = seen.insert(identity.clone(), &node.name) {
                return Err(PlacementError::RepeatedIdentity {
                    first: first.clone(),
                    second: node.name.clone(),
                    identity: identity.clone(),
                });
            }
        }
        members.push(Member { shard: ShardId::new(at), identity, weight });
    }
    Ok(members)
}

fn weight(spec: &Spec, node: &Node) -> Result<u32, PlacementError> {
    let (preset, shard) = (spec.like(), || node.name.clone());
    match (spec.weights(), node.weight) {
        (Weights::None, Some(weight)) => {
            Err(PlacementError::WeightUnsupported { preset, shard: shard(), weight })
        }
        (Weights::Positive, Some(0)) => Err(PlacementError::WeightZero { preset, shard: shard() }),
        (Weights::Hundred, None | Some(0)) => Ok(100),
        (_, None) => Ok(1),
        (_, Some(weight)) => Ok(weight),
    }
}

fn check_identity(spec: &Spec, node: &Node, at: usize, identity: &str) -> Result<(), PlacementError> {
    /// A host, a hyphen and two digits, with the final NUL, fill phpredis's 64 bytes.
    const PHPREDIS_LIMIT: usize = 60;
    let shard = node.name.clone();
    if identity.is_empty() {
        return Err(PlacementError::EmptyIdentity { shard, number: at + 1 });
    }
    if matches!(spec.rule, Rule::PhpRedis { consistent: true }) && identity.len() > PHPREDIS_LIMIT {
        let identity = identity.to_owned();
        return Err(PlacementError::LongIdentity { shard, identity, limit: PHPREDIS_LIMIT });
    }
    Ok(())
}

/// Whether the weights can be summed as the program does, and the ring fits.
pub(super) fn check_size(spec: &Spec, members: &[Member]) -> Result<(), PlacementError> {
    let preset = spec.like();
    let sum = total_weight(members);
    let count = u64::try_from(members.len()).unwrap_or(u64::MAX);
    let points = match &spec.rule {
        Rule::GoRedisV7 { replicas } => u64::from(replicas.get()).saturating_mul(count),
        Rule::Jedis(_) | Rule::Jedis29(_) => sum.saturating_mul(160),
        _ => 0,
    };
    if points > Placement::MAX_POINTS {
        return Err(PlacementError::TooManyPoints { preset, points, limit: Placement::MAX_POINTS });
    }
    if matches!(spec.weights(), Weights::Positive) && sum > u64::from(u32::MAX) && spec.rule != Rule::GoRedis
    {
        return Err(PlacementError::WeightSum { preset, sum });
    }
    Ok(())
}
