use super::{Plan, Refusal, Ring};
use crate::{
    command::{Response, Row},
    id::ShardId,
    request::{Request, RequestBuf},
};

/// The part of a split command that goes to one shard.
#[derive(Clone, Debug)]
pub struct Part {
    /// Where it goes.
    pub shard: ShardId,
    /// The same command with this part's keys, and what belongs to them.
    pub request: RequestBuf,
    /// Which of the whole request's keys these are, counted from 0 in the order written: the first element of this
    /// part's reply belongs to the key at `positions[0]`, and so on.
    pub positions: Vec<u32>,
}

/// Deals the keys of a request to their shards. Where all are on one, the frame goes there untouched.
///
/// A key that is written twice is dealt twice, to the same shard and in the order written, so `EXISTS a a` counts 2 and
/// of `MSET a 1 a 2` the last wins, as on one server.
pub(super) fn split<L>(request: Request<'_>, row: &Row, response: Response, ring: &Ring<'_, L>) -> Plan
where
    L: Fn(&[u8]) -> Option<ShardId>,
{
    let keys = match row.keys(request) {
        Ok(keys) => keys,
        Err(error) => return Plan::Refused(Refusal::keys(error)),
    };
    let step = keys.step();
    // A command that can be cut is its name and nothing but keys with what belongs to them.
    if keys.len() * step + 1 != request.count() {
        return Plan::Refused(Refusal::arity(row));
    }
    let mut parts: Vec<(ShardId, Vec<u32>)> = Vec::new();
    let mut first = None;
    for (position, key) in (0_u32..).zip(keys) {
        let Some(shard) = (ring.locate)(super::key(request, key)) else {
            return Plan::NoShard;
        };
        match first {
            // As long as all keys are on one shard, there are no parts.
            None => first = Some(shard),
            Some(first) if parts.is_empty() && first == shard => {}
            Some(first) => {
                if parts.is_empty() {
                    parts.push((first, (0..position).collect()));
                }
                match parts.iter_mut().find(|(known, _)| *known == shard) {
                    Some((_, positions)) => positions.push(position),
                    None => parts.push((shard, vec![position])),
                }
            }
        }
    }
    match first {
        Some(shard) if parts.is_empty() => Plan::One(shard),
        Some(_) => Plan::Split {
            parts: parts
                .into_iter()
                .map(|(shard, positions)| part(request, shard, positions, step))
                .collect(),
            response,
        },
        None => Plan::Refused(Refusal::arity(row)),
    }
}

fn part(request: Request<'_>, shard: ShardId, positions: Vec<u32>, step: usize) -> Part {
    let mut arguments = Vec::with_capacity(1 + positions.len() * step);
    arguments.push(request.name());
    for position in &positions {
        let begin = 1 + usize::try_from(*position).unwrap_or(usize::MAX - 1) * step;
        arguments.extend((begin..begin + step).filter_map(|index| request.argument(index)));
    }
    Part { shard, request: RequestBuf::pack(arguments), positions }
}
