use std::borrow::Cow;

use sha1::{Digest, Sha1};

use crate::{command::Anchor, request::Request};

/// The bytes that place a request without keys, as if they were a key; `None` where the argument is not there.
pub(super) fn bytes(anchor: Anchor, request: Request<'_>) -> Option<Cow<'_, [u8]>> {
    match anchor {
        Anchor::Argument(index) => request.argument(usize::from(index)).map(Cow::Borrowed),
        Anchor::Name(index) => {
            let name = request.argument(usize::from(index))?;
            Some(if name.iter().any(u8::is_ascii_uppercase) {
                Cow::Owned(name.to_ascii_lowercase())
            } else {
                Cow::Borrowed(name)
            })
        }
        Anchor::Script(index) => {
            let digest = Sha1::digest(request.argument(usize::from(index))?);
            Some(Cow::Owned(digest.iter().flat_map(|byte| [hex(byte >> 4), hex(byte & 15)]).collect()))
        }
    }
}

const fn hex(digit: u8) -> u8 {
    if digit < 10 { b'0' + digit } else { b'a' + digit - 10 }
}
