//! Maglev hashing (Eisenbud and others, 2016) as Envoy builds its table.

use super::member::Member;
use super::points::shares;
use crate::hash::xxh64;
use crate::id::ShardId;

/// A table of shards, indexed by the hash modulo its length.
#[derive(Debug)]
pub(super) struct Maglev {
    table: Box<[ShardId]>,
}

/// A shard while the table is filled: its permutation of the slots, and how much of the table it may claim.
struct Claimant {
    shard: ShardId,
    share: f64,
    target: f64,
    /// The next slot of the permutation.
    slot: u64,
    skip: u64,
}

impl Maglev {
    /// Fills a table of `size` slots (a prime, not smaller than the number of members) in turns: in each,
    /// every shard takes the next free slot of its permutation, unless it has had its share of the turns.
    pub(super) fn new(mut members: Vec<Member>, size: u32) -> Self {
        members.sort_by(|one, other| one.identity().cmp(other.identity()));
        let size = u64::from(size);
        let shares = shares(&members);
        let largest = shares.iter().copied().fold(0.0, f64::max);
        let mut claimants: Vec<_> = members
            .iter()
            .zip(shares)
            .map(|(member, share)| Claimant {
                shard: member.shard,
                share,
                target: 0.0,
                slot: xxh64(member.identity().as_bytes(), 0) % size,
                skip: xxh64(member.identity().as_bytes(), 1) % (size - 1) + 1,
            })
            .collect();
        let mut table = vec![None; index(size)];
        let mut free = if claimants.is_empty() { 0 } else { size };
        let mut turn = 0.0;
        while free > 0 {
            turn += 1.0;
            for claimant in &mut claimants {
                if free > 0 && turn * claimant.share >= claimant.target {
                    claimant.target += largest;
                    claimant.take_slot(&mut table);
                    free -= 1;
                }
            }
        }
        Self { table: table.into_iter().flatten().collect() }
    }

    #[inline]
    pub(super) fn locate(&self, hash: u64) -> Option<ShardId> {
        let size = u64::try_from(self.table.len()).ok()?;
        self.table.get(index(hash.checked_rem(size)?)).copied()
    }
}

impl Claimant {
    /// Takes the next free slot. There is one: `skip` and the prime length have no common factor, so that the
    /// permutation visits every slot.
    fn take_slot(&mut self, table: &mut [Option<ShardId>]) {
        let size = table.len();
        loop {
            let slot = index(self.slot);
            self.slot = (self.slot + self.skip) % u64::try_from(size).unwrap_or(u64::MAX);
            match table.get_mut(slot) {
                Some(free @ None) => {
                    *free = Some(self.shard);
                    return;
                }
                Some(_) => {}
                None => return,
            }
        }
    }
}

#[expect(clippy::as_conversions, reason = "a slot number is below the table's length")]
const fn index(slot: u64) -> usize {
    slot as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_weights_fill_the_table_evenly_and_unequal_ones_in_proportion() {
        let build = |weights: [u32; 3]| {
            let members = (0..3)
                .map(|at| Member {
                    shard: ShardId::new(at),
                    identity: Some(format!("h{at}")),
                    weight: weights[at],
                })
                .collect();
            let table = Maglev::new(members, 307).table;
            [0, 1, 2].map(|at| table.iter().filter(|shard| shard.index() == at).count())
        };
        assert_eq!(build([5, 5, 5]).iter().max(), Some(&103));
        let [one, two, four] = build([1, 2, 4]);
        assert_eq!(one + two + four, 307);
        assert!((43..=45).contains(&one) && (87..=89).contains(&two), "{one} {two} {four}");
    }

    #[test]
    fn an_empty_table_has_no_shard() {
        assert_eq!(Maglev::new(Vec::new(), 7).locate(3), None);
    }
}
