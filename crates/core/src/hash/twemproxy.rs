//! The twelve key hashes of twemproxy 0.5, bit for bit.
//!
//! twemproxy reads key bytes through C's `char`. Where that type is signed (x86) a byte from 0x80 up is
//! extended with its sign before it enters most of these functions, which the published algorithms do not do;
//! where it is unsigned (Linux on ARM) it is not. Keys of plain ASCII hash alike on both.

use super::{crc16, crc32, md5_le32, murmur2};

/// A key hash of twemproxy, by the name it has in `nutcracker.yml`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum TwemproxyHash {
    /// Bob Jenkins's one-at-a-time.
    OneAtATime,
    /// The first four bytes of the MD5 digest, little-endian.
    Md5,
    /// CRC-16/XMODEM in a register of 32 bits that is never masked: the high half counts too.
    Crc16,
    /// Bits 16 to 30 of the CRC-32, as libmemcached does: 15 bits only, so that ketama puts nearly all keys
    /// on one server. For old deployments.
    Crc32,
    /// The whole CRC-32.
    Crc32a,
    /// The low half of FNV-1 in 64 bits.
    Fnv1_64,
    /// The low half of FNV-1a in 64 bits: twemproxy's default.
    #[default]
    Fnv1a64,
    /// FNV-1 in 32 bits.
    Fnv1_32,
    /// FNV-1a in 32 bits.
    Fnv1a32,
    /// Paul Hsieh's `SuperFastHash`, started from 0 instead of the length.
    Hsieh,
    /// `MurmurHash2` with the seed 0xdeadbeef times the length.
    Murmur,
    /// Bob Jenkins's lookup3 (`hashlittle`) with the initial value 13.
    Jenkins,
}

/// How the machine that twemproxy ran on reads a `char`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum CharSign {
    /// As on x86: bytes from 0x80 up are negative.
    #[default]
    Signed,
    /// As on Linux on ARM.
    Unsigned,
}

impl TwemproxyHash {
    /// All of them, in the order of twemproxy's documentation.
    pub const ALL: [Self; 12] = [
        Self::OneAtATime,
        Self::Md5,
        Self::Crc16,
        Self::Crc32,
        Self::Crc32a,
        Self::Fnv1_64,
        Self::Fnv1a64,
        Self::Fnv1_32,
        Self::Fnv1a32,
        Self::Hsieh,
        Self::Murmur,
        Self::Jenkins,
    ];

    /// The name in `nutcracker.yml`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::OneAtATime => "one_at_a_time",
            Self::Md5 => "md5",
            Self::Crc16 => "crc16",
            Self::Crc32 => "crc32",
            Self::Crc32a => "crc32a",
            Self::Fnv1_64 => "fnv1_64",
            Self::Fnv1a64 => "fnv1a_64",
            Self::Fnv1_32 => "fnv1_32",
            Self::Fnv1a32 => "fnv1a_32",
            Self::Hsieh => "hsieh",
            Self::Murmur => "murmur",
            Self::Jenkins => "jenkins",
        }
    }

    /// The hash of `key`. (twemproxy itself gives the empty key 0 before it comes to the function; that rule
    /// belongs to placement.)
    #[must_use]
    pub fn hash(self, key: &[u8], sign: CharSign) -> u32 {
        match self {
            Self::OneAtATime => one_at_a_time(key, sign),
            Self::Md5 => md5_le32(key),
            Self::Crc16 => crc16_unmasked(key),
            Self::Crc32 => (crc32(key) >> 16) & 0x7fff,
            Self::Crc32a => crc32(key),
            Self::Fnv1_64 => fnv1(key, FNV_64, sign),
            Self::Fnv1a64 => fnv1a(key, FNV_64, sign),
            Self::Fnv1_32 => fnv1(key, FNV_32, sign),
            Self::Fnv1a32 => fnv1a(key, FNV_32, sign),
            Self::Hsieh => hsieh(key, sign),
            Self::Murmur => murmur2(key, 0xdead_beef_u32.wrapping_mul(length(key))),
            Self::Jenkins => jenkins(key),
        }
    }
}

impl CharSign {
    /// The byte as C widens it to 32 bits.
    #[inline]
    fn widen(self, byte: u8) -> u32 {
        match self {
            Self::Signed => i32::from(byte.cast_signed()).cast_unsigned(),
            Self::Unsigned => u32::from(byte),
        }
    }
}

/// Initial value and prime. The low halves of the 64-bit pair are enough: only the low half of the result is
/// kept, and the low half of a product depends on the low halves alone.
type Fnv = (u32, u32);
const FNV_64: Fnv = (0x8422_2325, 0x1b3);
const FNV_32: Fnv = (2_166_136_261, 16_777_619);

fn fnv1(key: &[u8], (start, prime): Fnv, sign: CharSign) -> u32 {
    key.iter().fold(start, |hash, &byte| hash.wrapping_mul(prime) ^ sign.widen(byte))
}

fn fnv1a(key: &[u8], (start, prime): Fnv, sign: CharSign) -> u32 {
    key.iter().fold(start, |hash, &byte| (hash ^ sign.widen(byte)).wrapping_mul(prime))
}

fn one_at_a_time(key: &[u8], sign: CharSign) -> u32 {
    let mut hash = key.iter().fold(0_u32, |hash, &byte| {
        let hash = hash.wrapping_add(sign.widen(byte));
        let hash = hash.wrapping_add(hash << 10);
        hash ^ (hash >> 6)
    });
    hash = hash.wrapping_add(hash << 3);
    hash ^= hash >> 11;
    hash.wrapping_add(hash << 15)
}

fn crc16_unmasked(key: &[u8]) -> u32 {
    key.iter().fold(0, |crc: u32, &byte| {
        let [_, _, high, _] = crc.to_be_bytes();
        (crc << 8) ^ u32::from(crc16::entry(high ^ byte))
    })
}

fn hsieh(key: &[u8], sign: CharSign) -> u32 {
    let (blocks, tail) = key.as_chunks::<4>();
    let mut hash = blocks.iter().fold(0_u32, |hash, &[a, b, c, d]| {
        let hash = hash.wrapping_add(u32::from(u16::from_le_bytes([a, b])));
        let mixed = (u32::from(u16::from_le_bytes([c, d])) << 11) ^ hash;
        let hash = (hash << 16) ^ mixed;
        hash.wrapping_add(hash >> 11)
    });
    match *tail {
        [a, b, c] => {
            hash = hash.wrapping_add(u32::from(u16::from_le_bytes([a, b])));
            hash ^= hash << 16;
            hash ^= sign.widen(c) << 18;
            hash = hash.wrapping_add(hash >> 11);
        }
        [a, b] => {
            hash = hash.wrapping_add(u32::from(u16::from_le_bytes([a, b])));
            hash ^= hash << 11;
            hash = hash.wrapping_add(hash >> 17);
        }
        [a] => {
            hash = hash.wrapping_add(u32::from(a));
            hash ^= hash << 10;
            hash = hash.wrapping_add(hash >> 1);
        }
        _ => {}
    }
    hash ^= hash << 3;
    hash = hash.wrapping_add(hash >> 5);
    hash ^= hash << 4;
    hash = hash.wrapping_add(hash >> 17);
    hash ^= hash << 25;
    hash.wrapping_add(hash >> 6)
}

/// lookup3. The last block of up to twelve bytes goes through the final mix even when it is a full one, so
/// the loop stops before it.
fn jenkins(key: &[u8]) -> u32 {
    let start = 0xdead_beef_u32.wrapping_add(length(key)).wrapping_add(13);
    let mut state = [start; 3];
    let mut rest = key;
    while let Some((block, after)) = rest.split_at_checked(12).filter(|(_, after)| !after.is_empty()) {
        add_words(&mut state, block);
        state = mix(state);
        rest = after;
    }
    if !rest.is_empty() {
        add_words(&mut state, rest);
        state = last_mix(state);
    }
    let [_, _, c] = state;
    c
}

/// Adds up to twelve bytes as three little-endian words, missing bytes as zero.
fn add_words(state: &mut [u32; 3], bytes: &[u8]) {
    for (word, chunk) in state.iter_mut().zip(bytes.chunks(4)) {
        let value = chunk.iter().rev().fold(0, |value: u32, &byte| (value << 8) | u32::from(byte));
        *word = word.wrapping_add(value);
    }
}

fn mix([mut a, mut b, mut c]: [u32; 3]) -> [u32; 3] {
    let step = |x: &mut u32, y: &mut u32, z: &mut u32, turn: u32| {
        *x = x.wrapping_sub(*z) ^ z.rotate_left(turn);
        *z = z.wrapping_add(*y);
    };
    step(&mut a, &mut b, &mut c, 4);
    step(&mut b, &mut c, &mut a, 6);
    step(&mut c, &mut a, &mut b, 8);
    step(&mut a, &mut b, &mut c, 16);
    step(&mut b, &mut c, &mut a, 19);
    step(&mut c, &mut a, &mut b, 4);
    [a, b, c]
}

fn last_mix([mut a, mut b, mut c]: [u32; 3]) -> [u32; 3] {
    let step = |x: &mut u32, y: u32, turn: u32| *x = (*x ^ y).wrapping_sub(y.rotate_left(turn));
    step(&mut c, b, 14);
    step(&mut a, c, 11);
    step(&mut b, a, 25);
    step(&mut c, b, 16);
    step(&mut a, c, 4);
    step(&mut b, a, 14);
    step(&mut c, b, 24);
    [a, b, c]
}

#[expect(clippy::as_conversions, reason = "the algorithms take the length modulo 2^32")]
const fn length(key: &[u8]) -> u32 {
    key.len() as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_values_of_those_that_do_not_deviate_on_ascii() {
        let hash = |hash: TwemproxyHash, key: &[u8]| hash.hash(key, CharSign::Signed);
        assert_eq!(hash(TwemproxyHash::OneAtATime, b"a"), 0xca2e_9442);
        assert_eq!(hash(TwemproxyHash::Fnv1_32, b"foobar"), 0x31f0_b262);
        assert_eq!(hash(TwemproxyHash::Fnv1a32, b"foobar"), 0xbf9c_f968);
        assert_eq!(hash(TwemproxyHash::Fnv1_64, b"foobar"), 0xa4dd_a9c2);
        assert_eq!(hash(TwemproxyHash::Fnv1a64, b"foobar"), 0xf739_67e8);
        assert_eq!(hash(TwemproxyHash::Crc32a, b"123456789"), 0xcbf4_3926);
        assert_eq!(hash(TwemproxyHash::Crc16, b"123456789") & 0xffff, 0x31c3);
    }

    #[test]
    fn the_sign_of_char_matters_from_0x80_up() {
        for hash in [TwemproxyHash::OneAtATime, TwemproxyHash::Fnv1a64, TwemproxyHash::Fnv1_32] {
            assert_eq!(hash.hash(b"\x7f", CharSign::Signed), hash.hash(b"\x7f", CharSign::Unsigned));
            assert_ne!(hash.hash(b"\x80", CharSign::Signed), hash.hash(b"\x80", CharSign::Unsigned));
        }
    }
}
