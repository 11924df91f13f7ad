//! `HELLO` and `AUTH`.

use rendis_core::reply::{push_array, push_bulk, push_error, push_integer, push_map, push_ok};
use rendis_core::request::{Request, is_word};

use crate::access::{Access, User};
use crate::context::{Context, Shared};
use crate::identity::{FailedLogin, Identity};

use super::client;

/// `HELLO [2|3 [AUTH user password] [SETNAME name]]`
///
/// # Errors
/// [`FailedLogin`], which is not answered yet.
pub(super) fn hello(
    request: Request<'_>,
    identity: &mut Identity,
    context: &Context,
    out: &mut Vec<u8>,
) -> Result<(), FailedLogin> {
    let wanted = match Wanted::read(request) {
        Ok(wanted) => wanted,
        Err((code, text)) => {
            push_error(out, code, &text);
            return Ok(());
        }
    };
    if let Some((name, password)) = wanted.login {
        identity.log_in(&context.shared, name, password)?;
    }
    if identity.user().is_none() {
        push_error(out, "NOAUTH", HELLO_WITHOUT_USER);
        return Ok(());
    }
    if let Some(name) = wanted.name {
        identity.card().change(|facts| facts.name = name.to_vec());
    }
    if let Some(version) = wanted.version {
        identity.speak(version == 3);
    }
    if identity.resp3 {
        push_map(out, 7);
    } else {
        push_array(out, 14);
    }
    push_bulk(out, b"server");
    push_bulk(out, b"redis");
    push_bulk(out, b"version");
    push_bulk(out, context.redis_version().as_bytes());
    push_bulk(out, b"proto");
    push_integer(out, if identity.resp3 { 3 } else { 2 });
    push_bulk(out, b"id");
    push_integer(out, i64::try_from(identity.id()).unwrap_or(i64::MAX));
    push_bulk(out, b"mode");
    push_bulk(out, b"standalone");
    push_bulk(out, b"role");
    push_bulk(out, b"master");
    push_bulk(out, b"modules");
    push_array(out, 0);
    Ok(())
}

/// `AUTH password`, `AUTH user password`
///
/// # Errors
/// [`FailedLogin`], which is not answered yet.
pub(super) fn auth(
    request: Request<'_>,
    identity: &mut Identity,
    shared: &Shared,
    out: &mut Vec<u8>,
) -> Result<(), FailedLogin> {
    let (name, password) = match (request.argument(1), request.argument(2), request.argument(3)) {
        (Some(password), None, _) => {
            let initial = shared.rules.load().access.initial();
            if initial.as_deref().is_some_and(User::is_open) {
                let text = "AUTH <password> called without any password configured for the default user. Are you \
                            sure your configuration is correct?";
                push_error(out, "ERR", text);
                return Ok(());
            }
            (Access::DEFAULT.as_bytes(), password)
        }
        (Some(name), Some(password), None) => (name, password),
        _ => {
            push_error(out, "ERR", "syntax error");
            return Ok(());
        }
    };
    identity.log_in(shared, name, password)?;
    push_ok(out);
    Ok(())
}

/// What `HELLO` asks for.
#[derive(Default)]
struct Wanted<'a> {
    version: Option<i64>,
    login: Option<(&'a [u8], &'a [u8])>,
    name: Option<&'a [u8]>,
}

impl<'a> Wanted<'a> {
    /// # Errors
    /// The code and the words of what is wrong.
    fn read(request: Request<'a>) -> Result<Self, (&'static str, String)> {
        let mut wanted = Self::default();
        match request.argument(1).map(version) {
            None => {}
            Some(Some(version @ (2 | 3))) => wanted.version = Some(version),
            Some(Some(_)) => return Err(("NOPROTO", "unsupported protocol version".to_owned())),
            Some(None) => {
                return Err(("ERR", "Protocol version is not an integer or out of range".to_owned()));
            }
        }
        let mut arguments = request.arguments().skip(2);
        while let Some(word) = arguments.next() {
            let refuse =
                || ("ERR", format!("Syntax error in HELLO option '{}'", String::from_utf8_lossy(word)));
            let mut next = || arguments.next().ok_or_else(refuse);
            if is_word(word, "auth") {
                wanted.login = Some((next()?, next()?));
            } else if is_word(word, "setname") {
                let name = next()?;
                client::check_name(name).map_err(|text| ("ERR", text))?;
                wanted.name = Some(name);
            } else {
                return Err(refuse());
            }
        }
        Ok(wanted)
    }
}

/// A decimal number as servers read it.
fn version(text: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(text).ok()?;
    let number: i64 = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}

const HELLO_WITHOUT_USER: &str = "HELLO must be called with the client already authenticated, otherwise the HELLO AUTH \
                                  <user> <pass> option can be used to authenticate the client and select the RESP \
                                  protocol version at the same time";
