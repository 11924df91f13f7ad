//! Key to shard: the placements of the known sharders, reproduced key by key.
//!
//! A [`Spec`] says which program is reproduced, the list of [`Node`]s which shards there are, and
//! [`Placement::build`] makes of both an immutable [`Placement`] over the shards that are up. Nothing is
//! computed per key but hashes: rings, tables and name hashes are made once. The rules were read from the
//! programs, and `tests/placement_vectors.rs` replays what the programs themselves answered; a change of a
//! rule moves users' keys and is a breaking change.
//!
//! # When a shard is down
//!
//! It is left out of the list given to the program's own rule, as the programs do that eject (go-redis,
//! twemproxy with `auto_eject_hosts`, Envoy) and as those would whose user takes it out by hand (redis-rb,
//! predis, phpredis with `consistent`, Jedis, whose unnamed shards keep their position in the whole list). So
//! twemproxy's `modula` moves nearly all keys, and a ring those of the lost shard only. Where the position in
//! the list is all that counts (roshi, jump, phpredis without `consistent`) the list stays whole and only the
//! keys of the lost shard go elsewhere.

mod custom;
mod error;
mod log2;
mod maglev;
mod member;
mod modula;
mod node;
mod options;
mod parse;
mod points;
mod position;
mod rendezvous;
mod ring;
mod spec;

use std::sync::Arc;

use self::custom::Custom;
use self::maglev::Maglev;
use self::member::{Member, check_size, members};
use self::modula::Modula;
use self::position::{PositionRule, Positions};
use self::rendezvous::Rendezvous;
use self::ring::{Ring, Tie};
use self::spec::Rule;
use crate::hash::{CharSign, TwemproxyHash, crc16_xmodem, crc32, md5_le32, murmur64a, xxh64};
use crate::id::ShardId;
use crate::tag::Tag;

pub use self::custom::{LiveShard, Place};
pub use self::error::{PlacementError, SpecError};
pub use self::node::{Node, NodeAddress};
pub use self::options::{
    Distribution, EnvoyHash, EnvoyMaglev, EnvoyRingHash, Jedis, JedisHash, KeyHash, RoshiHash, Twemproxy,
};
pub use self::parse::OptionValue;
pub use self::position::jump;
pub use self::spec::Spec;

/// Which shard has which key. Immutable; a change of the list or of what is up makes a new one.
///
/// ```
/// use rendis_core::placement::{NodeAddress, Node, Placement, Spec};
/// let nodes: Vec<_> =
///     ["shard1", "shard2", "shard3"].map(|name| Node::new(name, NodeAddress::tcp("127.0.0.1", 7001))).into();
/// let all = Placement::build(&Spec::go_redis(), &nodes, &[true; 3]).unwrap();
/// assert_eq!(all.locate(b"b").map(|shard| shard.index()), Some(2));
/// let without = Placement::build(&Spec::go_redis(), &nodes, &[true, true, false]).unwrap();
/// assert_ne!(without.locate(b"b"), all.locate(b"b"));
/// ```
#[derive(Debug)]
pub struct Placement {
    tag: Tag,
    strategy: Strategy,
}

#[derive(Debug)]
enum Strategy {
    Rendezvous(Rendezvous),
    Ring32(Ring<u32>, Hash32),
    Ring64(Ring<u64>, Hash64),
    Modula(Modula, Hash32),
    Maglev(Maglev),
    Positions(Positions),
    Custom(Custom),
}

/// The key hashes in 32 bits.
#[derive(Clone, Copy, Debug)]
enum Hash32 {
    Crc32,
    /// Also phpredis's: its register, which it does not complement at the end.
    NotCrc32,
    Md5,
    Twemproxy(TwemproxyHash, CharSign),
}

/// The key hashes in 64 bits.
#[derive(Clone, Copy, Debug)]
enum Hash64 {
    Envoy,
    Jedis,
}

impl Placement {
    /// The longest list of shards.
    pub const MAX_SHARDS: usize = 65_536;
    /// The most points that a ring may have.
    pub const MAX_POINTS: u64 = 1 << 24;

    /// Places keys on those of `nodes` whose flag in `live` is set, as the program does that `spec` names.
    /// Shards are numbered by their position in `nodes`, and that order counts where it does in the program.
    ///
    /// With no shard up the placement is empty: every key has no shard. To know the home of a key while its
    /// shard is down, build with every flag set.
    ///
    /// # Errors
    /// What cannot be reproduced is refused with the reason, whether the shard concerned is up or not: an empty
    /// list or one that is too long, a weight or `named` where the preset knows none, an identity that is empty
    /// or that two shards share, flags of another number than shards. See [`PlacementError`].
    pub fn build(spec: &Spec, nodes: &[Node], live: &[bool]) -> Result<Self, PlacementError> {
        let members = members(spec, nodes, live)?;
        check_size(spec, &members)?;
        let up: Vec<_> =
            members.into_iter().zip(live).filter(|(_, up)| **up).map(|(member, _)| member).collect();
        let strategy = match &spec.rule {
            Rule::Custom(rule) => {
                let ids: Vec<_> = up.iter().map(|member| member.shard).collect();
                Strategy::Custom(Custom::new(Arc::clone(&rule.0), nodes, &ids))
            }
            rule => Strategy::new(rule, up, live),
        };
        Ok(Self { tag: spec.tag(), strategy })
    }

    /// A placement by a rule of the caller's: [`Placement::build`] with [`Spec::custom`].
    ///
    /// # Errors
    /// As [`Placement::build`].
    pub fn custom(place: Arc<dyn Place>, nodes: &[Node], live: &[bool]) -> Result<Self, PlacementError> {
        Self::build(&Spec::custom(place), nodes, live)
    }

    /// The shard of `key`: a live one, or `None` when there is none for it.
    #[inline]
    #[must_use]
    pub fn locate(&self, key: &[u8]) -> Option<ShardId> {
        let key = self.tag.tagged(key);
        match &self.strategy {
            Strategy::Rendezvous(rendezvous) => rendezvous.locate(xxh64(key, 0)),
            Strategy::Ring32(ring, hash) => ring.locate(hash.of(key)),
            Strategy::Ring64(ring, hash) => ring.locate(hash.of(key)),
            Strategy::Modula(modula, hash) => modula.locate(hash.of(key)),
            Strategy::Maglev(maglev) => maglev.locate(Hash64::Envoy.of(key)),
            Strategy::Positions(positions) => positions.locate(key),
            Strategy::Custom(custom) => custom.locate(key),
        }
    }

    /// Which bytes of a key count. Keys that agree in them are on one shard.
    #[must_use]
    pub const fn tag(&self) -> Tag {
        self.tag
    }
}

impl Strategy {
    /// `members` are those that are up, `live` the flags of all.
    fn new(rule: &Rule, mut members: Vec<Member>, live: &[bool]) -> Self {
        match rule {
            Rule::GoRedis | Rule::Custom(_) => Self::Rendezvous(Rendezvous::new(
                members.iter().map(|member| (member.shard, member.identity().as_bytes(), member.weight)),
            )),
            Rule::GoRedisV7 { replicas } => {
                let points = points::go_redis_v7(&members, replicas.get());
                Self::Ring32(Ring::new(points, Tie::Last), Hash32::Crc32)
            }
            Rule::Twemproxy(options) => {
                members.sort_by(Member::twemproxy_order);
                let hash = Hash32::Twemproxy(options.hash, options.char_sign);
                match options.distribution {
                    Distribution::Ketama => {
                        Self::Ring32(Ring::new(points::twemproxy(&members), Tie::First), hash)
                    }
                    Distribution::Modula => Self::Modula(Modula::new(&members), hash),
                }
            }
            Rule::RedisRb => {
                Self::Ring32(Ring::new(points::redis_rb(&members, false), Tie::Last), Hash32::NotCrc32)
            }
            Rule::RedisRb4 => {
                Self::Ring32(Ring::new(points::redis_rb(&members, true), Tie::Last), Hash32::NotCrc32)
            }
            Rule::Predis => {
                Self::Ring32(Ring::new(points::predis_hash_ring(&members), Tie::Last), Hash32::NotCrc32)
            }
            Rule::PredisKetama => {
                Self::Ring32(Ring::new(points::predis_ketama(&members), Tie::Last), Hash32::Md5)
            }
            Rule::PhpRedis { consistent: true } => {
                Self::Ring32(Ring::new(points::php_redis(&members), Tie::First), Hash32::NotCrc32)
            }
            Rule::Jedis(options) => Self::jedis(&members, *options, false),
            Rule::Jedis29(options) => Self::jedis(&members, *options, true),
            Rule::EnvoyRingHash(options) => {
                Self::Ring64(Ring::new(points::envoy(&members, options), Tie::First), Hash64::Envoy)
            }
            Rule::EnvoyMaglev(options) => Self::Maglev(Maglev::new(members, options.table_size)),
            Rule::PhpRedis { consistent: false } => {
                Self::Positions(Positions::new(PositionRule::Range, live))
            }
            Rule::Roshi(hash) => Self::Positions(Positions::new(PositionRule::Modulo(hash.clone()), live)),
            Rule::Jump => Self::Positions(Positions::new(PositionRule::Jump, live)),
        }
    }

    fn jedis(members: &[Member], options: Jedis, old_names: bool) -> Self {
        match options.hash {
            JedisHash::Murmur => {
                Self::Ring64(Ring::new(points::jedis_murmur(members, old_names), Tie::Last), Hash64::Jedis)
            }
            JedisHash::Md5 => {
                Self::Ring32(Ring::new(points::jedis_md5(members, old_names), Tie::Last), Hash32::Md5)
            }
        }
    }
}

impl Hash32 {
    #[inline]
    fn of(self, key: &[u8]) -> u32 {
        match self {
            Self::Crc32 => crc32(key),
            Self::NotCrc32 => !crc32(key),
            Self::Md5 => md5_le32(key),
            // twemproxy does not come to the function with an empty key.
            Self::Twemproxy(..) if key.is_empty() => 0,
            Self::Twemproxy(hash, sign) => hash.hash(key, sign),
        }
    }
}

impl Hash64 {
    #[inline]
    fn of(self, key: &[u8]) -> u64 {
        match self {
            Self::Envoy => murmur64a(key, points::ENVOY_SEED),
            Self::Jedis => points::flip_sign(murmur64a(key, points::JEDIS_SEED)),
        }
    }
}

/// The slot of `key` in a Redis Cluster, 0 to 16383: what `CLUSTER KEYSLOT` answers.
#[must_use]
pub fn cluster_slot(key: &[u8]) -> u16 {
    crc16_xmodem(Tag::Braces.tagged(key)) % 16_384
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The configuration `odd_names` has a shard named "". [`Placement::build`] refuses it; what the programs
    /// do with it (its keys have no shard, all others are where they would be) is the same rule without the
    /// check.
    #[test]
    fn a_shard_without_a_name_is_placed_as_in_go_redis() {
        for (rule, file) in [
            (Rule::GoRedis, include_str!("../../tests/vectors/go-redis.json")),
            (
                Spec::parse("go-redis-v7", []).unwrap().rule,
                include_str!("../../tests/vectors/go-redis-v7.json"),
            ),
        ] {
            let file: serde_json::Value = serde_json::from_str(file).unwrap();
            let mut configs = file["configs"].as_array().unwrap().iter();
            let config = configs.find(|config| config["id"] == "odd_names").unwrap();
            let names: Vec<_> = config["nodes"]
                .as_array()
                .unwrap()
                .iter()
                .map(|name| name.as_str().unwrap().to_owned())
                .collect();
            let nameless = names.iter().position(String::is_empty);
            let member = |(at, name): (usize, String)| Member {
                shard: ShardId::new(at),
                identity: Some(name),
                weight: 1,
            };
            let strategy =
                Strategy::new(&rule, names.into_iter().enumerate().map(member).collect(), &[true; 11]);
            let placement = Placement { tag: Tag::Braces, strategy };
            let expected = config["placement"].as_array().unwrap();
            for (key, expected) in file["keys_hex"].as_array().unwrap().iter().zip(expected) {
                let hex = key.as_str().unwrap();
                let key: Vec<_> = (0..hex.len())
                    .step_by(2)
                    .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
                    .collect();
                let shard = placement.locate(&key).map(ShardId::index);
                match expected.as_u64() {
                    Some(expected) => assert_eq!(shard, usize::try_from(expected).ok()),
                    None => assert_eq!(shard, nameless),
                }
            }
        }
    }
}
