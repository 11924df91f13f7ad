//! Placements that know a shard by its position in the list alone: roshi, phpredis without `consistent`, and
//! jump consistent hashing (Lamping and Veach, 2014).
//!
//! None of these programs takes a dead shard out: the number of shards is that of the whole list, up or down,
//! and so no key of a shard that is up ever moves. The keys of a shard that is down, and only they, are
//! spread over the others by rendezvous hashing, which none of the programs does: it is there for those who
//! ask for rerouting. Who wants these keys to fail, as they do in the programs, builds the placement with
//! every shard live and asks whether the shard found is up.

use super::options::RoshiHash;
use super::rendezvous::Rendezvous;
use crate::hash::{crc32, xxh64};
use crate::id::ShardId;

/// A placement by position.
#[derive(Debug)]
pub(super) struct Positions {
    rule: PositionRule,
    count: u32,
    detour: Option<Detour>,
}

/// How a key becomes a position.
#[derive(Debug)]
pub(super) enum PositionRule {
    /// `hash % count`.
    Modulo(RoshiHash),
    /// `crc32 * count / (2^32 - 1)`: each shard has a range of hashes.
    Range,
    /// Jump consistent hash of XXH64.
    Jump,
}

/// Where the keys of shards that are down go.
#[derive(Debug)]
struct Detour {
    live: Box<[bool]>,
    others: Rendezvous,
}

impl Positions {
    /// A placement over as many positions as `live` has flags.
    pub(super) fn new(rule: PositionRule, live: &[bool]) -> Self {
        let detour = live.contains(&false).then(|| Detour::new(live));
        Self { rule, count: u32::try_from(live.len()).unwrap_or(u32::MAX), detour }
    }

    #[inline]
    pub(super) fn locate(&self, key: &[u8]) -> Option<ShardId> {
        let position = match &self.rule {
            PositionRule::Modulo(hash) => hash.hash(key).checked_rem(self.count)?,
            PositionRule::Range => range(crc32(key), self.count),
            PositionRule::Jump => jump(xxh64(key, 0), self.count),
        };
        let shard = shard(position);
        match &self.detour {
            Some(detour) if detour.live.get(shard.index()) != Some(&true) => {
                detour.others.locate(xxh64(key, 0))
            }
            _ => Some(shard),
        }
    }
}

impl Detour {
    fn new(live: &[bool]) -> Self {
        let names: Vec<_> =
            (0_u32..).zip(live).filter(|&(_, up)| *up).map(|(at, _)| (at, at.to_le_bytes())).collect();
        let others = Rendezvous::new(names.iter().map(|(at, name)| (shard(*at), name.as_slice(), 1)));
        Self { live: live.into(), others }
    }
}

#[expect(clippy::as_conversions, reason = "u32 to usize loses nothing on the platforms tokio supports")]
fn shard(position: u32) -> ShardId {
    ShardId::new(position as usize)
}

/// phpredis's division. For the hash 2^32 - 1 it gives `count`, and the program reads past its array; no key
/// can be found there, so the last shard takes it.
#[expect(clippy::as_conversions, reason = "the quotient is at most count")]
fn range(hash: u32, count: u32) -> u32 {
    let position = (u64::from(hash) * u64::from(count) / u64::from(u32::MAX)) as u32;
    position.min(count.saturating_sub(1))
}

/// Jump consistent hash: the bucket of `key` among `count` buckets, by the published algorithm in IEEE
/// doubles (division and multiplication only, hence the same everywhere). 0 when there are no buckets.
///
/// ```
/// use rendis_core::placement::jump;
/// assert_eq!((jump(2, 5), jump(2, 7)), (3, 6));
/// ```
#[expect(
    clippy::as_conversions,
    reason = "the algorithm is defined by these conversions; values stay below 2^62"
)]
#[must_use]
pub fn jump(mut key: u64, count: u32) -> u32 {
    let mut bucket = 0;
    let mut next = 0_u64;
    while next < u64::from(count) {
        bucket = next;
        key = key.wrapping_mul(2_862_933_555_777_941_757).wrapping_add(1);
        let divisor = ((key >> 33) + 1) as f64;
        next = ((bucket + 1) as f64 * (2_147_483_648.0 / divisor)) as u64;
    }
    bucket as u32
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_hash_that_phpredis_cannot_place_goes_to_the_last_shard() {
        for count in [1, 2, 16, 1000] {
            assert_eq!(range(u32::MAX, count), count - 1);
            assert_eq!(range(u32::MAX - 1, count), count - 1);
            assert_eq!(range(0, count), 0);
        }
    }

    #[test]
    fn with_no_shard_up_there_is_none() {
        assert_eq!(Positions::new(PositionRule::Jump, &[false, false]).locate(b"a"), None);
    }

    proptest! {
        #[test]
        fn only_the_keys_of_a_shard_that_is_down_move(
            live in prop::collection::vec(any::<bool>(), 1..20),
            key in prop::collection::vec(any::<u8>(), 0..20),
        ) {
            for rule in [
                || PositionRule::Jump,
                || PositionRule::Range,
                || PositionRule::Modulo(RoshiHash::Murmur3),
            ] {
                let home = Positions::new(rule(), &vec![true; live.len()]).locate(&key).unwrap();
                let now = Positions::new(rule(), &live).locate(&key);
                if live[home.index()] {
                    prop_assert_eq!(now, Some(home));
                } else {
                    prop_assert_eq!(now.is_some(), live.contains(&true));
                    prop_assert!(now.is_none_or(|shard| live[shard.index()]));
                }
            }
        }

        #[test]
        fn jump_moves_keys_to_the_new_bucket_only(key in any::<u64>(), count in 1_u32..1000) {
            let (before, after) = (jump(key, count), jump(key, count + 1));
            prop_assert!(after == before || after == count);
        }
    }
}
