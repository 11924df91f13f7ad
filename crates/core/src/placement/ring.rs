//! A ring of points: a key belongs to the next point up from its hash, the first one after the last.

use crate::id::ShardId;

/// A position on the ring: `u32` or `u64`.
pub(super) trait Point: Copy + Ord {
    /// The `bits` highest bits.
    fn high_bits(self, bits: u32) -> usize;
}

/// Which shard gets a point that two of them have. Programs differ, and equality includes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tie {
    /// The one whose point was added first keeps it.
    First,
    /// The one whose point was added last takes it.
    Last,
}

/// The points in order, with a directory by their high bits.
///
/// Points are hashes, hence spread evenly: a directory with about as many entries as there are points leaves
/// one or two of them to look at, where a binary search over 160 000 points misses the cache a dozen times.
/// Uneven points cost speed only: within its entry the search is binary.
#[derive(Debug)]
pub(super) struct Ring<P> {
    points: Box<[(P, ShardId)]>,
    /// How many points have smaller high bits than the index; one entry more than there are values.
    directory: Box<[u32]>,
    bits: u32,
}

impl<P: Point> Ring<P> {
    /// A ring of these points, in the order in which the program adds them.
    pub(super) fn new(mut points: Vec<(P, ShardId)>, tie: Tie) -> Self {
        if tie == Tie::Last {
            points.reverse();
        }
        points.sort_by_key(|&(point, _)| point);
        points.dedup_by_key(|&mut (point, _)| point);
        let bits = points.len().max(1).ilog2();
        Self { directory: directory(&points, bits), points: points.into(), bits }
    }

    /// The shard of a key with this hash; `None` on an empty ring.
    #[inline]
    pub(super) fn locate(&self, hash: P) -> Option<ShardId> {
        let bucket = hash.high_bits(self.bits);
        let (start, end) = (index(*self.directory.get(bucket)?), index(*self.directory.get(bucket + 1)?));
        let passed = self.points.get(start..end)?.partition_point(|&(point, _)| point < hash);
        self.points.get(start + passed).or(self.points.first()).map(|&(_, shard)| shard)
    }
}

fn directory<P: Point>(points: &[(P, ShardId)], bits: u32) -> Box<[u32]> {
    let mut directory = Vec::with_capacity((1 << bits) + 1);
    let mut passed = 0;
    for bucket in 0..=(1_usize << bits) {
        while points.get(passed).is_some_and(|&(point, _)| point.high_bits(bits) < bucket) {
            passed += 1;
        }
        directory.push(u32::try_from(passed).unwrap_or(u32::MAX));
    }
    directory.into()
}

#[expect(clippy::as_conversions, reason = "u32 to usize loses nothing on the platforms tokio supports")]
const fn index(entry: u32) -> usize {
    entry as usize
}

impl Point for u32 {
    #[inline]
    fn high_bits(self, bits: u32) -> usize {
        index(self.checked_shr(Self::BITS - bits).unwrap_or(0))
    }
}

impl Point for u64 {
    #[expect(clippy::as_conversions, reason = "a directory has far fewer than 2^32 entries")]
    #[inline]
    fn high_bits(self, bits: u32) -> usize {
        self.checked_shr(Self::BITS - bits).unwrap_or(0) as usize
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::hash::{md5_le32, md5_words};

    /// Looks at every point.
    fn naive<P: Point>(points: &[(P, ShardId)], tie: Tie, hash: P) -> Option<ShardId> {
        let next = points.iter().map(|&(point, _)| point).filter(|&point| point >= hash).min();
        let target = next.or_else(|| points.iter().map(|&(point, _)| point).min())?;
        let mut owners = points.iter().filter(|&&(point, _)| point == target).map(|&(_, shard)| shard);
        if tie == Tie::First { owners.next() } else { owners.last() }
    }

    fn shards<P: Copy>(values: &[P]) -> Vec<(P, ShardId)> {
        values.iter().enumerate().map(|(at, &value)| (value, ShardId::new(at))).collect()
    }

    #[test]
    fn an_empty_ring_has_no_shard() {
        assert_eq!(Ring::<u32>::new(Vec::new(), Tie::First).locate(7), None);
    }

    /// libmemcached is no preset, but its recorded ties pin the rule that phpredis shares.
    #[test]
    fn the_first_wins_as_in_libmemcached() {
        let file: serde_json::Value =
            serde_json::from_str(include_str!("../../tests/vectors/ties.json")).unwrap();
        let mut replayed = 0;
        for config in file["configs"].as_array().unwrap() {
            if config["system"] != "libmemcached KETAMA_WEIGHTED" {
                continue;
            }
            let mut points = Vec::new();
            for (at, name) in config["nodes"].as_array().unwrap().iter().enumerate() {
                let name = name.as_str().unwrap();
                for k in 0..40 {
                    let words = md5_words(format!("{name}-{k}").as_bytes());
                    points.extend(words.map(|word| (word, ShardId::new(at))));
                }
            }
            let ring = Ring::new(points, Tie::First);
            for case in config["cases"].as_array().unwrap() {
                let hex = case["key_hex"].as_str().unwrap();
                let key: Vec<u8> = (0..hex.len())
                    .step_by(2)
                    .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
                    .collect();
                let expected = usize::try_from(case["node"].as_u64().unwrap()).unwrap();
                assert_eq!(ring.locate(md5_le32(&key)), Some(ShardId::new(expected)));
            }
            replayed += 1;
        }
        assert_eq!(replayed, 4);
    }

    proptest! {
        #[test]
        fn equals_the_naive_form_in_32_bits(
            values in prop::collection::vec(prop_oneof![any::<u32>(), 0_u32..50], 0..300),
            hash in prop_oneof![any::<u32>(), 0_u32..60],
            last in any::<bool>(),
        ) {
            let tie = if last { Tie::Last } else { Tie::First };
            let points = shards(&values);
            prop_assert_eq!(Ring::new(points.clone(), tie).locate(hash), naive(&points, tie, hash));
        }

        #[test]
        fn equals_the_naive_form_in_64_bits(
            values in prop::collection::vec(any::<u64>(), 0..300),
            hash in any::<u64>(),
        ) {
            let points = shards(&values);
            prop_assert_eq!(Ring::new(points.clone(), Tie::Last).locate(hash), naive(&points, Tie::Last, hash));
        }
    }
}
