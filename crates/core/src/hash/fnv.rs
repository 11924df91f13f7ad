//! FNV-1 and FNV-1a in 32 bits (Fowler, Noll, Vo; draft-eastlake-fnv).

/// The value that both start from, and that the empty key has.
const OFFSET: u32 = 2_166_136_261;
const PRIME: u32 = 16_777_619;

/// FNV-1, 32 bits: multiply, then add the byte (roshi's `fnv`).
#[inline]
#[must_use]
pub fn fnv1(data: &[u8]) -> u32 {
    data.iter().fold(OFFSET, |hash, &byte| hash.wrapping_mul(PRIME) ^ u32::from(byte))
}

/// FNV-1a, 32 bits: add the byte, then multiply (roshi's `fnva`).
#[inline]
#[must_use]
pub fn fnv1a(data: &[u8]) -> u32 {
    data.iter().fold(OFFSET, |hash, &byte| (hash ^ u32::from(byte)).wrapping_mul(PRIME))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_values() {
        assert_eq!((fnv1(b""), fnv1a(b"")), (0x811c_9dc5, 0x811c_9dc5));
        assert_eq!((fnv1(b"a"), fnv1a(b"a")), (0x050c_5d7e, 0xe40c_292c));
        assert_eq!((fnv1(b"foobar"), fnv1a(b"foobar")), (0x31f0_b262, 0xbf9c_f968));
    }
}
