//! twemproxy's `modula`: a list in which each live server stands as often as its weight says, and the hash
//! modulo its length.

use super::member::{Member, total_weight};
use crate::id::ShardId;

/// The list, kept as the places where each server's run ends.
#[derive(Debug)]
pub(super) struct Modula {
    ends: Box<[(u64, ShardId)]>,
    total: u64,
}

impl Modula {
    /// `members` are in twemproxy's order.
    pub(super) fn new(members: &[Member]) -> Self {
        let ends = members
            .iter()
            .scan(0, |end, member| {
                *end += u64::from(member.weight);
                Some((*end, member.shard))
            })
            .collect();
        Self { ends, total: total_weight(members) }
    }

    #[inline]
    pub(super) fn locate(&self, hash: u32) -> Option<ShardId> {
        let place = u64::from(hash).checked_rem(self.total)?;
        self.ends.get(self.ends.partition_point(|&(end, _)| end <= place)).map(|&(_, shard)| shard)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equals_the_list_with_repetitions() {
        let weights = [3, 1, 7, 2];
        let members: Vec<_> = weights
            .iter()
            .enumerate()
            .map(|(at, &weight)| Member { shard: ShardId::new(at), identity: None, weight })
            .collect();
        let list: Vec<_> = members.iter().flat_map(|one| (0..one.weight).map(|_| one.shard)).collect();
        let modula = Modula::new(&members);
        for hash in 0..100_usize {
            assert_eq!(modula.locate(u32::try_from(hash).unwrap()), Some(list[hash % list.len()]));
        }
        assert_eq!(Modula::new(&[]).locate(1), None);
    }
}
