//! What can be chosen within a preset. Each `Default` is the default of the program.

use std::fmt;
use std::sync::Arc;

use crate::hash::{CharSign, TwemproxyHash, fnv1, fnv1a, murmur3};

/// The hash of [`Spec::roshi`](super::Spec::roshi).
#[derive(Clone, Default)]
pub enum RoshiHash {
    /// `MurmurHash3_x86_32`: roshi's default.
    #[default]
    Murmur3,
    /// FNV-1 in 32 bits: roshi's `fnv`.
    Fnv1,
    /// FNV-1a in 32 bits: roshi's `fnva`.
    Fnv1a,
    /// Any function.
    Custom(Arc<KeyHash>),
}

/// A caller's hash of a key.
pub type KeyHash = dyn Fn(&[u8]) -> u32 + Send + Sync;

impl RoshiHash {
    /// The hash of `key`.
    #[must_use]
    pub fn hash(&self, key: &[u8]) -> u32 {
        match self {
            Self::Murmur3 => murmur3(key),
            Self::Fnv1 => fnv1(key),
            Self::Fnv1a => fnv1a(key),
            Self::Custom(function) => function(key),
        }
    }
}

/// Two functions are the same only if they are the same object.
impl PartialEq for RoshiHash {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Custom(one), Self::Custom(two)) => Arc::ptr_eq(one, two),
            _ => std::mem::discriminant(self) == std::mem::discriminant(other),
        }
    }
}

impl fmt::Debug for RoshiHash {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Murmur3 => "Murmur3",
            Self::Fnv1 => "Fnv1",
            Self::Fnv1a => "Fnv1a",
            Self::Custom(_) => "Custom(..)",
        })
    }
}

/// The options of [`Spec::twemproxy`](super::Spec::twemproxy).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Twemproxy {
    /// How servers share the hashes.
    pub distribution: Distribution,
    /// The key hash.
    pub hash: TwemproxyHash,
    /// The two bytes around the part of a key that counts; `None`: the whole key does.
    pub hash_tag: Option<[u8; 2]>,
    /// How the machine that twemproxy runs on reads bytes from 0x80 up.
    pub char_sign: CharSign,
}

/// twemproxy's `distribution`. (Its `random` depends on no key, and so cannot be reproduced.)
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Distribution {
    /// A ring of points.
    #[default]
    Ketama,
    /// The hash modulo the number of servers.
    Modula,
}

/// The options of [`Spec::jedis`](super::Spec::jedis) and [`Spec::jedis_2_9`](super::Spec::jedis_2_9).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Jedis {
    /// The hash of keys and points.
    pub hash: JedisHash,
    /// Whether the client was given `Sharded.DEFAULT_KEY_TAG_PATTERN` and keys are strings.
    pub hash_tag: bool,
}

/// Jedis's `Hashing`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum JedisHash {
    /// `MURMUR_HASH`.
    #[default]
    Murmur,
    /// `MD5`.
    Md5,
}

/// The options of [`Spec::envoy_ring_hash`](super::Spec::envoy_ring_hash).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EnvoyRingHash {
    /// The hash of the points.
    pub hash_function: EnvoyHash,
    /// The ring has at least so many points, unless that is above the maximum. Default 1024.
    pub minimum_ring_size: u32,
    /// The ring has at most so many points. Default 8 388 608.
    pub maximum_ring_size: u32,
    /// Envoy's `enable_hashtagging`.
    pub hash_tag: bool,
}

impl Default for EnvoyRingHash {
    fn default() -> Self {
        Self {
            hash_function: EnvoyHash::default(),
            minimum_ring_size: 1024,
            maximum_ring_size: LARGEST_RING,
            hash_tag: false,
        }
    }
}

/// Envoy's `hash_function`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EnvoyHash {
    /// `XX_HASH`.
    #[default]
    XxHash,
    /// `MURMUR_HASH_2`.
    Murmur2,
}

/// The options of [`Spec::envoy_maglev`](super::Spec::envoy_maglev).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EnvoyMaglev {
    /// The length of the table, a prime. Default 65 537.
    pub table_size: u32,
    /// Envoy's `enable_hashtagging`.
    pub hash_tag: bool,
}

impl Default for EnvoyMaglev {
    fn default() -> Self {
        Self { table_size: 65_537, hash_tag: false }
    }
}

/// Envoy's own limit of `maximum_ring_size`, and its default.
pub(super) const LARGEST_RING: u32 = 8_388_608;
