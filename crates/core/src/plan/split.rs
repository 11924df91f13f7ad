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
    let count = keys.len();
    let mut parts: Vec<Dealt> = Vec::new();
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
                    let mut part = Dealt::new(first, count, ring.live.len());
                    part.positions.extend(0..position);
                    parts.push(part);
                }
                match parts.iter_mut().find(|part| part.shard == shard) {
                    Some(part) => part.positions.push(position),
                    None => {
                        let mut part = Dealt::new(shard, count, ring.live.len());
                        part.positions.push(position);
                        parts.push(part);
                    }
                }
            }
        }
    }
    match first {
        Some(shard) if parts.is_empty() => Plan::One(shard),
        Some(_) => {
            Plan::Split { parts: parts.into_iter().map(|part| part.cut(request, step)).collect(), response }
        }
        None => Plan::Refused(Refusal::arity(row)),
    }
}

/// Which keys a shard gets.
struct Dealt {
    shard: ShardId,
    positions: Vec<u32>,
}

impl Dealt {
    /// With room for its fair share of `keys` dealt to `shards`, and a little more.
    fn new(shard: ShardId, keys: usize, shards: usize) -> Self {
        let share = keys / shards.max(1);
        Self { shard, positions: Vec::with_capacity((share + share / 4 + 4).min(keys)) }
    }

    fn cut(self, request: Request<'_>, step: usize) -> Part {
        let request = RequestBuf::cut(request, &self.positions, step);
        Part { shard: self.shard, request, positions: self.positions }
    }
}
