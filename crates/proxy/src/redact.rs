//! What shards say of themselves and clients are not told: their passwords.
//!
//! `CONFIG GET` is answered by a shard, and whoever may run it learns what the ring is set to. What the shard itself, its
//! replicas and its keys are locked with is not part of that: a client who knew it could go around the ring and its
//! users. Such parameters are there, with an empty value.

use std::borrow::Cow;

use rendis_core::command::{Found, Table};
use rendis_core::reply::{Node, Reply, ReplyError, push_array, push_bulk, push_map};
use rendis_core::request::Request;
use rendis_engine::engine::Engine;

/// The reply to this request as a client may see it.
#[inline]
pub(crate) fn redact<'r>(engine: &Engine, request: Request<'_>, reply: &'r Reply) -> Cow<'r, Reply> {
    // Nearly all replies are of another kind, and nearly all names of another length.
    if !matches!(reply.frame().first(), Some(b'*' | b'%')) || request.name().len() != CONTAINER {
        return Cow::Borrowed(reply);
    }
    seen(&engine.table().load(), request, reply)
}

fn seen<'r>(table: &Table, request: Request<'_>, reply: &'r Reply) -> Cow<'r, Reply> {
    match table.find(request) {
        Found::Row(row) if row.name() == COMMAND && !reply.is_error() => {
            Cow::Owned(open(reply).unwrap_or_else(|error| Reply::error("PROTOCOL", &error.to_string())))
        }
        _ => Cow::Borrowed(reply),
    }
}

/// Names and values, without those that are withheld.
fn open(reply: &Reply) -> Result<Reply, ReplyError> {
    let mut reader = reply.reader();
    let mut out = Vec::with_capacity(reply.frame().len());
    reader.skip_attributes()?;
    let pairs = match reader.next()? {
        Node::Map(pairs) => {
            push_map(&mut out, pairs);
            pairs
        }
        Node::Array(Some(count)) => {
            push_array(&mut out, count);
            count / 2
        }
        _ => return Err(ReplyError::Truncated),
    };
    for _ in 0..pairs {
        let name = reader.skip()?;
        out.extend_from_slice(name);
        let value = reader.skip()?;
        if is_secret(Reply::new(name.to_vec().into()).text().unwrap_or_default()) {
            push_bulk(&mut out, b"");
        } else {
            out.extend_from_slice(value);
        }
    }
    Ok(Reply::new(out.into()))
}

fn is_secret(name: &[u8]) -> bool {
    SECRETS.iter().any(|secret| name.eq_ignore_ascii_case(secret.as_bytes()))
}

const COMMAND: &str = "config|get";
const CONTAINER: usize = "config".len();

const SECRETS: [&str; 7] = [
    "requirepass",
    "masterauth",
    "masteruser",
    "primaryauth",
    "primaryuser",
    "tls-key-file-pass",
    "tls-client-key-file-pass",
];

#[cfg(test)]
mod tests {
    use rendis_core::request::RequestBuf;

    use super::*;

    fn shown(words: &str, frame: &'static str) -> String {
        let request = RequestBuf::pack(words.split(' ').map(str::as_bytes).collect::<Vec<_>>());
        let reply = Reply::from_static(frame.as_bytes());
        let seen = seen(&Table::default(), request.view(), &reply).into_owned();
        String::from_utf8(seen.frame().to_vec()).unwrap()
    }

    #[test]
    fn what_shards_are_locked_with_has_no_value() {
        let flat = "*4\r\n$11\r\nRequirePass\r\n$2\r\npw\r\n$4\r\nport\r\n$1\r\n1\r\n";
        let hidden = "*4\r\n$11\r\nRequirePass\r\n$0\r\n\r\n$4\r\nport\r\n$1\r\n1\r\n";
        assert_eq!(shown("config GET *", flat), hidden);
        let map = "%1\r\n$17\r\ntls-key-file-pass\r\n$2\r\npw\r\n";
        assert_eq!(shown("CONFIG get tls*", map), "%1\r\n$17\r\ntls-key-file-pass\r\n$0\r\n\r\n");
        // Only there, and not what cannot be read.
        assert_eq!(shown("LRANGE a 0 1", flat), flat);
        assert_eq!(shown("GETSET requirepass pw", flat), flat);
        assert_eq!(shown("CONFIG GET *", "-ERR no\r\n"), "-ERR no\r\n");
        assert!(shown("CONFIG GET *", "*2\r\n$11\r\nrequirepass\r\n").starts_with("-PROTOCOL"));
    }
}
