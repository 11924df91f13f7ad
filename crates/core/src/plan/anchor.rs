use crate::{
    command::{Anchor, script_sha},
    request::Request,
};

/// Calls `locate` with the bytes that place a request without keys, as if they were a key; `None` where the argument
/// is not there.
pub(super) fn place<T>(anchor: Anchor, request: Request<'_>, locate: impl Fn(&[u8]) -> T) -> Option<T> {
    let (Anchor::Argument(index) | Anchor::Name(index) | Anchor::Script(index)) = anchor;
    let argument = request.argument(usize::from(index))?;
    Some(match anchor {
        Anchor::Name(_) if argument.iter().any(u8::is_ascii_uppercase) => {
            locate(&argument.to_ascii_lowercase())
        }
        Anchor::Argument(_) | Anchor::Name(_) => locate(argument),
        Anchor::Script(_) => locate(&script_sha(argument)),
    })
}
