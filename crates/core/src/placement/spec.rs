//! Which placement: a preset and its options, validated.

use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;

use super::custom::Place;
use super::error::SpecError;
use super::node::{Identity, Node};
use super::options::{Distribution, EnvoyMaglev, EnvoyRingHash, Jedis, LARGEST_RING, RoshiHash, Twemproxy};
use crate::tag::Tag;

/// A placement rule: the program that is reproduced, with its options. The default is that of go-redis.
///
/// ```
/// use rendis_core::placement::{Distribution, Spec, Twemproxy};
/// let typed = Spec::twemproxy(Twemproxy { distribution: Distribution::Modula, ..Twemproxy::default() });
/// let parsed = Spec::parse("twemproxy", [("distribution".to_owned(), "modula".into())]).unwrap();
/// assert_eq!(typed, parsed);
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Spec {
    pub(super) rule: Rule,
}

/// The presets. What each of them does is written where its placement is built.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) enum Rule {
    #[default]
    GoRedis,
    GoRedisV7 {
        replicas: NonZeroU32,
    },
    Roshi(RoshiHash),
    Twemproxy(Twemproxy),
    RedisRb,
    RedisRb4,
    Predis,
    PredisKetama,
    PhpRedis {
        consistent: bool,
    },
    Jedis(Jedis),
    Jedis29(Jedis),
    EnvoyRingHash(EnvoyRingHash),
    EnvoyMaglev(EnvoyMaglev),
    Jump,
    Custom(CustomRule),
}

/// What a weight may be under a preset, and what it is when it is not given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Weights {
    /// None may be given.
    None,
    /// From 1; the default is 1.
    Positive,
    /// From 0, which takes the shard out; the default is 1.
    WithZero,
    /// The default is 100, and 0 means the default (predis).
    Hundred,
}

impl Spec {
    /// The names that `like` can have.
    pub const PRESETS: &'static [&'static str] = &[
        "go-redis",
        "go-redis-v7",
        "roshi",
        "twemproxy",
        "redis-rb",
        "redis-rb-4",
        "predis",
        "predis-ketama",
        "phpredis",
        "jedis",
        "jedis-2.9",
        "envoy-ring-hash",
        "envoy-maglev",
        "jump",
    ];

    /// go-redis Ring v8 and v9: rendezvous hashing of the shards' names; with weights, weighted rendezvous.
    #[must_use]
    pub const fn go_redis() -> Self {
        Self { rule: Rule::GoRedis }
    }

    /// go-redis Ring v6 and v7, and `consistenthash.New(replicas, crc32)` of groupcache. The programs'
    /// default is 100.
    #[must_use]
    pub const fn go_redis_v7(replicas: NonZeroU32) -> Self {
        Self { rule: Rule::GoRedisV7 { replicas } }
    }

    /// soundcloud/roshi: a hash modulo the number of shards.
    #[must_use]
    pub const fn roshi(hash: RoshiHash) -> Self {
        Self { rule: Rule::Roshi(hash) }
    }

    /// As [`Spec::roshi`], with a hash function of the caller's.
    ///
    /// ```
    /// use rendis_core::{hash, placement::Spec};
    /// let spec = Spec::roshi_with(hash::fnv1a);
    /// assert_eq!(spec.like(), "roshi");
    /// ```
    #[must_use]
    pub fn roshi_with(hash: impl Fn(&[u8]) -> u32 + Send + Sync + 'static) -> Self {
        Self::roshi(RoshiHash::Custom(Arc::new(hash)))
    }

    /// twemproxy 0.5.
    #[must_use]
    pub const fn twemproxy(options: Twemproxy) -> Self {
        Self { rule: Rule::Twemproxy(options) }
    }

    /// redis-rb's `Redis::Distributed`, versions 5 and 6.
    #[must_use]
    pub const fn redis_rb() -> Self {
        Self { rule: Rule::RedisRb }
    }

    /// redis-rb's `Redis::Distributed`, versions 3 and 4.
    #[must_use]
    pub const fn redis_rb_4() -> Self {
        Self { rule: Rule::RedisRb4 }
    }

    /// predis with its default `HashRing`.
    #[must_use]
    pub const fn predis() -> Self {
        Self { rule: Rule::Predis }
    }

    /// predis with `KetamaRing`.
    #[must_use]
    pub const fn predis_ketama() -> Self {
        Self { rule: Rule::PredisKetama }
    }

    /// phpredis's `RedisArray` with its built-in hash: ranges by position, or with `consistent` a ring.
    #[must_use]
    pub const fn phpredis(consistent: bool) -> Self {
        Self { rule: Rule::PhpRedis { consistent } }
    }

    /// Jedis 2.10 to 6: `ShardedJedis`, `JedisSharding`.
    #[must_use]
    pub const fn jedis(options: Jedis) -> Self {
        Self { rule: Rule::Jedis(options) }
    }

    /// Jedis up to 2.9, which names the points of named shards differently.
    #[must_use]
    pub const fn jedis_2_9(options: Jedis) -> Self {
        Self { rule: Rule::Jedis29(options) }
    }

    /// Envoy's `redis_proxy` with the load balancer `RING_HASH`.
    ///
    /// # Errors
    /// [`SpecError::BadValue`] when a size is 0 or above 8 388 608, or the minimum is above the maximum.
    pub fn envoy_ring_hash(options: EnvoyRingHash) -> Result<Self, SpecError> {
        let bad = |option, found: u32, allowed: String| SpecError::BadValue {
            preset: "envoy-ring-hash",
            option,
            found: found.to_string(),
            allowed,
        };
        let EnvoyRingHash { minimum_ring_size: minimum, maximum_ring_size: maximum, .. } = options;
        if !(1..=LARGEST_RING).contains(&maximum) {
            return Err(bad("maximum_ring_size", maximum, format!("1 to {LARGEST_RING}")));
        }
        if !(1..=maximum).contains(&minimum) {
            return Err(bad(
                "minimum_ring_size",
                minimum,
                format!("1 to {maximum}, which is maximum_ring_size"),
            ));
        }
        Ok(Self { rule: Rule::EnvoyRingHash(options) })
    }

    /// Envoy's `redis_proxy` with the load balancer `MAGLEV`.
    ///
    /// # Errors
    /// [`SpecError::BadValue`] when the table size is not a prime between 2 and 5 000 011.
    pub fn envoy_maglev(options: EnvoyMaglev) -> Result<Self, SpecError> {
        let size = options.table_size;
        if size <= LARGEST_TABLE && is_prime(size) {
            return Ok(Self { rule: Rule::EnvoyMaglev(options) });
        }
        Err(SpecError::BadValue {
            preset: "envoy-maglev",
            option: "table_size",
            found: size.to_string(),
            allowed: format!("a prime number up to {LARGEST_TABLE}"),
        })
    }

    /// Jump consistent hash of the tagged key's XXH64, by position.
    #[must_use]
    pub const fn jump() -> Self {
        Self { rule: Rule::Jump }
    }

    /// A rule of the caller's. It is given the whole key, and shards with or without weights.
    #[must_use]
    pub fn custom(place: Arc<dyn Place>) -> Self {
        Self { rule: Rule::Custom(CustomRule(place)) }
    }

    /// The preset's name: one of [`Spec::PRESETS`], or `custom`.
    #[must_use]
    pub const fn like(&self) -> &'static str {
        match self.rule {
            Rule::GoRedis => "go-redis",
            Rule::GoRedisV7 { .. } => "go-redis-v7",
            Rule::Roshi(_) => "roshi",
            Rule::Twemproxy(_) => "twemproxy",
            Rule::RedisRb => "redis-rb",
            Rule::RedisRb4 => "redis-rb-4",
            Rule::Predis => "predis",
            Rule::PredisKetama => "predis-ketama",
            Rule::PhpRedis { .. } => "phpredis",
            Rule::Jedis(_) => "jedis",
            Rule::Jedis29(_) => "jedis-2.9",
            Rule::EnvoyRingHash(_) => "envoy-ring-hash",
            Rule::EnvoyMaglev(_) => "envoy-maglev",
            Rule::Jump => "jump",
            Rule::Custom(_) => "custom",
        }
    }

    /// Whether a shard that leaves moves its own keys and no others, and one that comes takes only keys that are its own from
    /// then on: so that whoever once had a key and has it no more has left. Said only of rules of which it is certain;
    /// `tests/placement_properties.rs` checks them.
    #[must_use]
    pub const fn moves_least(&self) -> bool {
        matches!(
            self.rule,
            Rule::GoRedis
                | Rule::GoRedisV7 { .. }
                | Rule::RedisRb
                | Rule::RedisRb4
                | Rule::Jedis(_)
                | Rule::Jedis29(_)
        )
    }

    /// Which bytes of a key count under this rule. A custom rule sees them all.
    #[must_use]
    pub const fn tag(&self) -> Tag {
        match &self.rule {
            Rule::GoRedis | Rule::GoRedisV7 { .. } | Rule::Predis | Rule::PredisKetama | Rule::Jump => {
                Tag::Braces
            }
            Rule::Twemproxy(Twemproxy { hash_tag: Some([open, close]), .. }) => {
                Tag::Between { open: *open, close: *close }
            }
            Rule::RedisRb | Rule::RedisRb4 => Tag::RedisRb,
            Rule::PhpRedis { .. } => Tag::PhpRedis,
            Rule::Jedis(Jedis { hash_tag: true, .. }) | Rule::Jedis29(Jedis { hash_tag: true, .. }) => {
                Tag::Jedis
            }
            Rule::EnvoyRingHash(EnvoyRingHash { hash_tag: true, .. })
            | Rule::EnvoyMaglev(EnvoyMaglev { hash_tag: true, .. }) => Tag::Braces,
            Rule::Roshi(_)
            | Rule::Twemproxy(_)
            | Rule::Jedis(_)
            | Rule::Jedis29(_)
            | Rule::EnvoyRingHash(_)
            | Rule::EnvoyMaglev(_)
            | Rule::Custom(_) => Tag::Whole,
        }
    }

    /// Whether shards may have weights.
    #[must_use]
    pub fn allows_weights(&self) -> bool {
        self.weights() != Weights::None
    }

    /// What is hashed for a shard, as the program that is equalled would; `None` where its place in the list counts instead.
    ///
    /// ```
    /// use rendis_core::placement::{Node, NodeAddress, Spec};
    /// let node = Node::new("a", NodeAddress::tcp("10.0.0.1", 6379));
    /// assert_eq!(Spec::go_redis().hashed(&node).as_deref(), Some("a"));
    /// assert_eq!(Spec::predis().hashed(&node).as_deref(), Some("10.0.0.1:6379"));
    /// assert_eq!(Spec::jump().hashed(&node), None);
    /// ```
    #[must_use]
    pub fn hashed(&self, node: &Node) -> Option<String> {
        match self.rule {
            Rule::Twemproxy(Twemproxy { distribution: Distribution::Modula, .. }) => None,
            _ => self.identity().of(node),
        }
    }

    pub(super) const fn weights(&self) -> Weights {
        match self.rule {
            Rule::GoRedis | Rule::Twemproxy(_) | Rule::EnvoyRingHash(_) | Rule::EnvoyMaglev(_) => {
                Weights::Positive
            }
            Rule::Jedis(_) | Rule::Jedis29(_) | Rule::Custom(_) => Weights::WithZero,
            Rule::Predis | Rule::PredisKetama => Weights::Hundred,
            Rule::GoRedisV7 { .. }
            | Rule::Roshi(_)
            | Rule::RedisRb
            | Rule::RedisRb4
            | Rule::PhpRedis { .. }
            | Rule::Jump => Weights::None,
        }
    }

    pub(super) const fn identity(&self) -> Identity {
        match self.rule {
            Rule::GoRedis | Rule::GoRedisV7 { .. } | Rule::Twemproxy(_) | Rule::Custom(_) => Identity::Name,
            Rule::Roshi(_) | Rule::Jump | Rule::PhpRedis { consistent: false } => Identity::Position,
            Rule::RedisRb => Identity::Url5,
            Rule::RedisRb4 => Identity::Url4,
            Rule::Predis | Rule::PredisKetama => Identity::HostPort,
            Rule::PhpRedis { consistent: true } | Rule::EnvoyRingHash(_) | Rule::EnvoyMaglev(_) => {
                Identity::HostPortBracketed
            }
            Rule::Jedis(_) | Rule::Jedis29(_) => Identity::NameIfNamed,
        }
    }
}

/// A caller's rule; equal only to itself.
#[derive(Clone)]
pub(super) struct CustomRule(pub(super) Arc<dyn Place>);

impl PartialEq for CustomRule {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl fmt::Debug for CustomRule {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("..")
    }
}

/// Envoy's own limit.
const LARGEST_TABLE: u32 = 5_000_011;

fn is_prime(number: u32) -> bool {
    number >= 2
        && (2..)
            .take_while(|divisor| divisor * divisor <= number)
            .all(|divisor| !number.is_multiple_of(divisor))
}
