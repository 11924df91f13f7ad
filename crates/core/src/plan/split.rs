use std::ops::Range;

use smallvec::SmallVec;

use super::{Plan, Refusal, View};
use crate::{
    command::{Response, Row},
    id::ShardId,
    request::{Request, RequestBuf, push_header},
};

/// How a request is cut along its keys: which of them go to which shard.
///
/// It holds numbers and no bytes. The parts are written from the whole request, when they are sent
/// ([`Part::write`]); it has to be the one that was planned.
#[derive(Clone, Debug)]
pub struct Cut {
    /// Arguments that belong to one key, itself counted.
    step: usize,
    /// In the order of their first keys.
    parts: Parts,
    /// For each key, in the order written, the number of its part; and behind them the numbers of the keys, those of the
    /// first part first.
    numbers: Vec<u32>,
}

/// A shard, and where the numbers of its keys lie.
type Parts = SmallVec<[(ShardId, Range<usize>); 4]>;

/// The part of a split command that goes to one shard.
#[derive(Clone, Copy, Debug)]
pub struct Part<'a> {
    /// Where it goes.
    pub shard: ShardId,
    /// Which of the whole request's keys these are, counted from 0 in the order written.
    pub keys: &'a [u32],
    step: usize,
}

impl Cut {
    /// The parts, in the order of their first keys. There are at least two.
    pub fn parts(&self) -> impl ExactSizeIterator<Item = Part<'_>> {
        self.parts.iter().map(|(shard, range)| Part {
            shard: *shard,
            keys: self.numbers.get(range.clone()).unwrap_or_default(),
            step: self.step,
        })
    }

    /// The part with this number, counted from 0 in the order of [`Cut::parts`].
    #[must_use]
    pub fn part(&self, number: usize) -> Option<Part<'_>> {
        self.parts().nth(number)
    }

    /// For each key of the whole request, in the order written, the number of its part.
    #[must_use]
    pub fn order(&self) -> &[u32] {
        self.numbers.get(..self.numbers.len() / 2).unwrap_or_default()
    }
}

impl Part<'_> {
    /// How many bytes its frame takes, give or take its header.
    #[must_use]
    pub fn size(&self, whole: Request<'_>) -> usize {
        let keys = self.keys.iter().map(|key| whole.group(*key, self.step).len());
        whole.encoded(0, 1).len() + 16 + keys.sum::<usize>()
    }

    /// The part as a request of its own.
    #[must_use]
    pub fn pack(&self, whole: Request<'_>) -> RequestBuf {
        let first =
            |key: u32| usize::try_from(key).unwrap_or(usize::MAX).saturating_mul(self.step).saturating_add(1);
        let own = self
            .keys
            .iter()
            .flat_map(|key| (0..self.step).filter_map(move |at| whole.argument(first(*key) + at)));
        RequestBuf::pack(std::iter::once(whole.name()).chain(own).collect::<Vec<_>>())
    }

    /// Appends its frame: the command's name, and this part's keys with what belongs to each.
    pub fn write(&self, whole: Request<'_>, out: &mut Vec<u8>) {
        push_header(out, b'*', self.keys.len() * self.step + 1);
        out.extend_from_slice(whole.encoded(0, 1));
        for key in self.keys {
            out.extend_from_slice(whole.group(*key, self.step));
        }
    }
}

/// Deals the keys of a request to their shards. Where all are on one, the frame goes there untouched.
///
/// A key that is written twice is dealt twice, to the same shard and in the order written, so `EXISTS a a` counts 2 and
/// of `MSET a 1 a 2` the last wins, as on one server.
pub(super) fn split<L>(request: Request<'_>, row: &Row, response: Response, ring: &View<'_, L>) -> Plan
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
    let mut deal = Deal::default();
    for (before, key) in keys.enumerate() {
        let Some(shard) = (ring.locate)(super::key(request, key)) else {
            return Plan::NoShard;
        };
        deal.add(shard, before, count);
    }
    match deal.shards.as_slice() {
        [] => Plan::Refused(Refusal::arity(row)),
        [(only, _)] => Plan::One(*only),
        _ => Plan::Split { cut: deal.cut(step), response },
    }
}

/// Keys as they are dealt.
#[derive(Default)]
struct Deal {
    /// The shards that were met, and how many keys each has.
    shards: SmallVec<[(ShardId, usize); 4]>,
    /// For the position of a shard: its place in `shards`, counted from 1.
    places: SmallVec<[u32; 16]>,
    /// For each key the place of its shard, counted from 0. Empty as long as all are on one.
    dealt: Vec<u32>,
}

impl Deal {
    /// The next key, `before` others came before it, and `count` there are in all.
    fn add(&mut self, shard: ShardId, before: usize, count: usize) {
        if self.places.len() <= shard.index() {
            self.places.resize(shard.index() + 1, 0);
        }
        let Some(place) = self.places.get_mut(shard.index()) else { return };
        if *place == 0 {
            self.shards.push((shard, 0));
            *place = number(self.shards.len());
            if self.shards.len() == 2 {
                self.dealt.reserve_exact(2 * count);
                self.dealt.resize(before, 0);
            }
        }
        let at = *place - 1;
        if self.shards.len() > 1 {
            self.dealt.push(at);
        }
        if let Some((_, keys)) = usize::try_from(at).ok().and_then(|at| self.shards.get_mut(at)) {
            *keys += 1;
        }
    }

    fn cut(mut self, step: usize) -> Cut {
        let count = self.dealt.len();
        let mut from = count;
        // Each range grows to what it should be as its keys are put into it.
        let mut parts: Parts = SmallVec::with_capacity(self.shards.len());
        for (shard, keys) in self.shards {
            parts.push((shard, from..from));
            from += keys;
        }
        self.dealt.resize(2 * count, 0);
        let (order, grouped) = self.dealt.split_at_mut(count);
        for (key, part) in order.iter().enumerate() {
            let part = usize::try_from(*part).ok().and_then(|part| parts.get_mut(part));
            if let Some((_, range)) = part
                && let Some(slot) = grouped.get_mut(range.end - count)
            {
                *slot = number(key);
                range.end += 1;
            }
        }
        Cut { step, parts, numbers: self.dealt }
    }
}

/// A request has far fewer arguments than 32 bits can count.
fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
