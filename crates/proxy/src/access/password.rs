//! Passwords, of which only a hash is kept.

use std::fmt;
use std::hint::black_box;

use sha2::{Digest as _, Sha256};

/// The SHA-256 of a password, which is what servers keep of theirs. `Debug` shows `***`.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash([u8; 32]);

impl PasswordHash {
    /// The hash of a password.
    #[must_use]
    pub fn of(password: &[u8]) -> Self {
        Self(Sha256::digest(password).into())
    }

    /// A hash as 64 hexadecimal digits; `None` when it is something else.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.as_bytes();
        let mut hash = [0; 32];
        if digits.len() != 64 || !digits.iter().all(u8::is_ascii_hexdigit) {
            return None;
        }
        for (byte, pair) in hash.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
        }
        Some(Self(hash))
    }

    /// Whether both are the same, in a time that does not depend on where they differ.
    pub(super) fn same(&self, other: &Self) -> bool {
        let differences = self.0.iter().zip(&other.0).fold(0, |all, (one, two)| black_box(all | (one ^ two)));
        differences == 0
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::PasswordHash;

    #[test]
    fn hashes_are_those_of_acl_files() {
        let written = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881";
        let read = PasswordHash::parse(written).unwrap();
        assert!(read.same(&PasswordHash::of(b"x")));
        assert!(!read.same(&PasswordHash::of(b"y")));
        assert_eq!(PasswordHash::parse(&written.to_uppercase()), Some(read.clone()));
        assert_eq!(format!("{read:?}"), "***");
        for wrong in ["", "2d", &written[1..], &written.replace('2', "g"), &written.replace("2d", "+1")] {
            assert_eq!(PasswordHash::parse(wrong), None, "{wrong}");
        }
    }
}
