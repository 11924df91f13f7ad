//! The MurmurHash family by Austin Appleby: three functions that share a name and little else.

use super::tail_le;

/// `MurmurHash3_x86_32` with seed 0: the default of roshi. The empty key has 0.
#[must_use]
pub fn murmur3(data: &[u8]) -> u32 {
    let (blocks, tail) = data.as_chunks::<4>();
    let mut hash = blocks.iter().fold(0_u32, |hash, block| {
        (hash ^ scramble(u32::from_le_bytes(*block)))
            .rotate_left(13)
            .wrapping_mul(5)
            .wrapping_add(0xe654_6b64)
    });
    hash ^= scramble(tail32(tail));
    hash ^= length32(data);
    hash = (hash ^ (hash >> 16)).wrapping_mul(0x85eb_ca6b);
    hash = (hash ^ (hash >> 13)).wrapping_mul(0xc2b2_ae35);
    hash ^ (hash >> 16)
}

/// `MurmurHash2`, 32 bits. twemproxy's `murmur` calls it with a seed made of the length.
#[must_use]
pub fn murmur2(data: &[u8], seed: u32) -> u32 {
    const M: u32 = 0x5bd1_e995;
    let (blocks, tail) = data.as_chunks::<4>();
    let mut hash = blocks.iter().fold(seed ^ length32(data), |hash, block| {
        let word = u32::from_le_bytes(*block).wrapping_mul(M);
        hash.wrapping_mul(M) ^ (word ^ (word >> 24)).wrapping_mul(M)
    });
    if !tail.is_empty() {
        hash = (hash ^ tail32(tail)).wrapping_mul(M);
    }
    hash = (hash ^ (hash >> 13)).wrapping_mul(M);
    hash ^ (hash >> 15)
}

/// `MurmurHash64A` (the 64-bit `MurmurHash2`): Jedis with seed 0x1234ABCD, Envoy with seed 0xc70f6907.
#[must_use]
pub fn murmur64a(data: &[u8], seed: u64) -> u64 {
    const M: u64 = 0xc6a4_a793_5bd1_e995;
    let (blocks, tail) = data.as_chunks::<8>();
    let start = seed ^ length64(data).wrapping_mul(M);
    let mut hash = blocks.iter().fold(start, |hash, block| {
        let word = u64::from_le_bytes(*block).wrapping_mul(M);
        (hash ^ (word ^ (word >> 47)).wrapping_mul(M)).wrapping_mul(M)
    });
    if !tail.is_empty() {
        hash = (hash ^ tail_le(tail)).wrapping_mul(M);
    }
    hash = (hash ^ (hash >> 47)).wrapping_mul(M);
    hash ^ (hash >> 47)
}

const fn scramble(word: u32) -> u32 {
    word.wrapping_mul(0xcc9e_2d51).rotate_left(15).wrapping_mul(0x1b87_3593)
}

#[expect(clippy::as_conversions, reason = "a tail has at most three bytes")]
fn tail32(tail: &[u8]) -> u32 {
    tail_le(tail) as u32
}

#[expect(clippy::as_conversions, reason = "the algorithms take the length modulo 2^32")]
const fn length32(data: &[u8]) -> u32 {
    data.len() as u32
}

#[expect(clippy::as_conversions, reason = "usize has at most 64 bits")]
const fn length64(data: &[u8]) -> u64 {
    data.len() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_values_of_murmur3() {
        assert_eq!(murmur3(b""), 0);
        assert_eq!(murmur3(b"test"), 0xba6b_d213);
        assert_eq!(murmur3(b"Hello, world!"), 0xc036_3e43);
        assert_eq!(murmur3(b"The quick brown fox jumps over the lazy dog"), 0x2e4f_f723);
    }
}
