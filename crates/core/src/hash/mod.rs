//! The hash functions by which the known sharders place keys and shards.
//!
//! Each one is the function that its program really computes, deviations from the published algorithm
//! included: a key must land where the other program put it. All are plain functions of bytes, without seeds
//! from the environment, and give the same value on every platform. XXH64, CRC-32 and MD5 come from crates;
//! the others are short enough to be read here.

mod crc16;
mod fnv;
mod murmur;
mod twemproxy;

use md5::{Digest as _, Md5};

pub use crc16::crc16_xmodem;
pub use fnv::{fnv1, fnv1a};
pub use murmur::{murmur2, murmur3, murmur64a};
pub use twemproxy::{CharSign, TwemproxyHash};

/// XXH64 of `data` (xxHash by Yann Collet): shard names and keys of go-redis, points of Envoy.
#[inline]
#[must_use]
pub fn xxh64(data: &[u8], seed: u64) -> u64 {
    xxhash_rust::xxh64::xxh64(data, seed)
}

/// CRC-32 as in IEEE 802.3, zlib and PHP's `crc32`.
#[inline]
#[must_use]
pub fn crc32(data: &[u8]) -> u32 {
    crc32fast::hash(data)
}

/// MD5 (RFC 1321). It spreads keys here and protects nothing.
#[inline]
#[must_use]
pub fn md5(data: &[u8]) -> [u8; 16] {
    Md5::digest(data).into()
}

/// The first four bytes of the MD5 digest as a little-endian number: the key hash of the ketama family.
#[inline]
#[must_use]
pub fn md5_le32(data: &[u8]) -> u32 {
    let [word, ..] = md5_words(data);
    word
}

/// The MD5 digest as four little-endian numbers: the four ring points of a ketama point name.
#[must_use]
pub fn md5_words(data: &[u8]) -> [u32; 4] {
    let digest = u128::from_le_bytes(md5(data));
    [0, 32, 64, 96].map(|shift| low32(digest >> shift))
}

#[expect(clippy::as_conversions, reason = "truncation to the low word is what is asked for")]
const fn low32(wide: u128) -> u32 {
    wide as u32
}

/// Reads up to eight bytes as a little-endian number; missing high bytes are zero.
fn tail_le(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |word, &byte| (word << 8) | u64::from(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_values_of_the_functions_from_crates() {
        assert_eq!(xxh64(b"", 0), 0xef46_db37_51d8_e999);
        assert_eq!(xxh64(b"abc", 0), 0x44bc_2cf5_ad77_0999);
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
        assert_eq!(md5(b"abc")[..4], [0x90, 0x01, 0x50, 0x98]);
        assert_eq!(md5_le32(b"abc"), 0x9850_0190);
        assert_eq!(md5_words(b"abc"), [0x9850_0190, 0xb04f_d23c, 0x7d3f_96d6, 0x727f_e128]);
    }
}
