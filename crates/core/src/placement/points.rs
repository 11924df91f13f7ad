//! The ring points of each program: how many, under which names, hashed how, in which order.
#![expect(
    clippy::as_conversions,
    reason = "the programs compute their points in C floats, PHP floats or C++ doubles; the conversions are theirs, \
              and all amounts are below 2^32"
)]

use super::member::{Member, total_weight};
use super::options::{EnvoyHash, EnvoyRingHash};
use super::ring::Point;
use crate::hash::{crc32, md5_le32, md5_words, murmur64a, xxh64};
use crate::id::ShardId;

/// Points in the order in which the program adds them.
pub(super) type Points<P> = Vec<(P, ShardId)>;

/// groupcache's `consistenthash`: CRC-32 of the number and then the name, without anything between them.
pub(super) fn go_redis_v7(members: &[Member], replicas: u32) -> Points<u32> {
    each(members, |_| replicas, |name, number| [crc32(name.clear().number(number).identity().bytes())])
}

/// redis-rb: 160 points `id:number` per node; CRC-32 up to version 4, the head of the MD5 digest since.
///
/// Its ring is searched downwards; the points are complemented, so that an upward search for the complement
/// of the hash finds the same one.
pub(super) fn redis_rb(members: &[Member], crc: bool) -> Points<u32> {
    let hash = if crc { crc32 } else { md5_be32 };
    each(members, |_| 160, |name, number| [!hash(name.clear().identity().text(":").number(number).bytes())])
}

/// predis's `HashRing`: 128 points per node on average, by weight, searched downwards as in redis-rb.
pub(super) fn predis_hash_ring(members: &[Member]) -> Points<u32> {
    let (total, count) = (total_weight(members) as f64, members.len() as f64);
    // PHP's round(); its correction of values a rounding error below a half is not needed: the addition does
    // it.
    let amount = |member: &Member| (f64::from(member.weight) / total * count * 128.0 + 0.5).floor() as u32;
    each(members, amount, |name, number| [!crc32(name.clear().identity().text(":").number(number).bytes())])
}

/// predis's `KetamaRing`: 40 digests of four points per node on average, by weight.
pub(super) fn predis_ketama(members: &[Member]) -> Points<u32> {
    let (total, count) = (total_weight(members) as f64, members.len() as f64);
    ketama(members, |member| (f64::from(member.weight) / total * count * 40.0).floor() as u32)
}

/// phpredis's continuum: 40 digests of four points per host.
pub(super) fn php_redis(members: &[Member]) -> Points<u32> {
    ketama(members, |_| 40)
}

/// twemproxy's ketama: about 160 points per server, in floats of 32 bits, whose rounding counts: 25 servers
/// of equal weight have 156 points each. `members` are in twemproxy's order.
pub(super) fn twemproxy(members: &[Member]) -> Points<u32> {
    let (total, count) = (total_weight(members) as f32, members.len() as f32);
    ketama(members, |member| {
        let share = member.weight as f32 / total;
        let digests = share * 160.0 / 4.0 * count;
        ((f64::from(digests) + 1e-10) as f32).floor() as u32
    })
}

/// Jedis with MurmurHash64A, whose ring is ordered by signed numbers; the sign is flipped, to order them
/// unsigned.
pub(super) fn jedis_murmur(members: &[Member], old_names: bool) -> Points<u64> {
    jedis(members, old_names, |name| flip_sign(murmur64a(name, JEDIS_SEED)))
}

/// Jedis with MD5.
pub(super) fn jedis_md5(members: &[Member], old_names: bool) -> Points<u32> {
    jedis(members, old_names, md5_le32)
}

pub(super) const JEDIS_SEED: u64 = 0x1234_abcd;

pub(super) const fn flip_sign(number: u64) -> u64 {
    number ^ (1 << 63)
}

/// 160 points per unit of weight: `SHARD-position-NODE-number` or `name*number`; up to 2.9 the weight stood
/// before the number of a named shard.
fn jedis<P: Point>(members: &[Member], old_names: bool, hash: impl Fn(&[u8]) -> P) -> Points<P> {
    let amount = |member: &Member| member.weight.saturating_mul(160);
    each(members, amount, |name, number| {
        let member = name.clear().member;
        if member.identity.is_none() {
            name.text("SHARD-").number(member.shard.index() as u32).text("-NODE-");
        } else {
            name.identity().text("*");
            if old_names {
                name.number(member.weight);
            }
        }
        [hash(name.number(number).bytes())]
    })
}

pub(super) const ENVOY_SEED: u64 = 0xc70f_6907;

/// Envoy's ring hash: points in proportion to the weights, so many that the lightest host has whole ones,
/// within the limits; fractions are carried from host to host.
pub(super) fn envoy(members: &[Member], options: &EnvoyRingHash) -> Points<u64> {
    let hash = |bytes: &[u8]| match options.hash_function {
        EnvoyHash::XxHash => xxh64(bytes, 0),
        EnvoyHash::Murmur2 => murmur64a(bytes, ENVOY_SEED),
    };
    let shares = shares(members);
    let least = shares.iter().copied().fold(1.0, f64::min);
    let wanted = (least * f64::from(options.minimum_ring_size)).ceil() / least;
    let scale = wanted.min(f64::from(options.maximum_ring_size));
    let (mut current, mut target) = (0.0, 0.0);
    let mut amounts = shares.iter().map(|share| {
        target += scale * share;
        let mut amount = 0;
        while current < target {
            current += 1.0;
            amount += 1;
        }
        amount
    });
    each(
        members,
        |_| amounts.next().unwrap_or(0),
        |name, number| [hash(name.clear().identity().text("_").number(number).bytes())],
    )
}

/// The weights as Envoy normalizes them: parts of one.
pub(super) fn shares(members: &[Member]) -> Vec<f64> {
    let total = total_weight(members) as f64;
    members.iter().map(|member| f64::from(member.weight) / total).collect()
}

/// Four points per digest of `identity-number`.
fn ketama(members: &[Member], digests: impl FnMut(&Member) -> u32) -> Points<u32> {
    each(members, digests, |name, number| md5_words(name.clear().identity().text("-").number(number).bytes()))
}

fn md5_be32(name: &[u8]) -> u32 {
    md5_le32(name).swap_bytes()
}

/// For each member in order: so many names, each with its points.
fn each<P, const N: usize>(
    members: &[Member],
    mut amount: impl FnMut(&Member) -> u32,
    mut points: impl FnMut(&mut PointName<'_>, u32) -> [P; N],
) -> Points<P> {
    let mut all = Vec::new();
    for member in members {
        let mut name = PointName { member, bytes: Vec::new() };
        let amount = amount(member);
        all.reserve(amount as usize * N);
        for number in 0..amount {
            all.extend(points(&mut name, number).map(|point| (point, member.shard)));
        }
    }
    all
}

/// The name of a point while it is put together; one buffer serves all names of a shard.
struct PointName<'m> {
    member: &'m Member,
    bytes: Vec<u8>,
}

impl PointName<'_> {
    fn clear(&mut self) -> &mut Self {
        self.bytes.clear();
        self
    }

    fn identity(&mut self) -> &mut Self {
        let member = self.member;
        self.text(member.identity())
    }

    fn text(&mut self, text: &str) -> &mut Self {
        self.bytes.extend_from_slice(text.as_bytes());
        self
    }

    /// Adds the number in decimal.
    fn number(&mut self, number: u32) -> &mut Self {
        let mut unit = 1;
        while number / unit >= 10 {
            unit *= 10;
        }
        while unit > 0 {
            self.bytes.push(b'0' + (number / unit % 10) as u8);
            unit /= 10;
        }
        self
    }

    fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::md5;

    fn members(count: usize) -> Vec<Member> {
        (0..count)
            .map(|at| Member { shard: ShardId::new(at), identity: Some(format!("s{at}")), weight: 1 })
            .collect()
    }

    #[test]
    fn twemproxy_loses_points_to_rounding_where_the_original_does() {
        let short: Vec<_> =
            (1..=200).filter(|&count| twemproxy(&members(count)).len() == count * 156).collect();
        assert_eq!(
            short,
            [25, 47, 50, 55, 61, 71, 94, 100, 107, 109, 110, 115, 122, 142, 159, 163, 188, 193, 200]
        );
    }

    #[test]
    fn predis_loses_digests_where_the_original_does() {
        let short: Vec<_> =
            (1..=170).filter(|&count| predis_ketama(&members(count)).len() == count * 156).collect();
        assert_eq!(short, [49, 98, 103, 107, 161]);
    }

    #[test]
    fn numbers_are_decimal() {
        let member = &members(1)[0];
        let mut name = PointName { member, bytes: Vec::new() };
        for number in [0, 9, 10, 99, 100, 1_000_000_000, u32::MAX] {
            assert_eq!(name.clear().number(number).bytes(), number.to_string().as_bytes());
        }
    }

    #[test]
    fn the_head_of_the_digest_is_big_endian() {
        assert_eq!(md5_be32(b"abc").to_be_bytes(), md5(b"abc")[..4]);
    }
}
