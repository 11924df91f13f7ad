use sha1::{Digest, Sha1};

/// The name under which servers keep a script: the SHA-1 of its body in lower-case hexadecimal.
///
/// ```
/// let sha = rendis_core::command::script_sha(b"return 1");
/// assert_eq!(&sha, b"e0e1f9fabfc9d4800c877a703b823ac0578ff8db");
/// ```
#[must_use]
pub fn script_sha(body: &[u8]) -> [u8; 40] {
    let mut name = [0; 40];
    let digits = Sha1::digest(body).into_iter().flat_map(|byte| [byte >> 4, byte & 15]);
    for (slot, digit) in name.iter_mut().zip(digits) {
        *slot = if digit < 10 { b'0' + digit } else { b'a' + digit - 10 };
    }
    name
}
