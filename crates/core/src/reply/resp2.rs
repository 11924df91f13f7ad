//! A RESP3 reply as a RESP2 client expects it.
//!
//! The shapes that Redis itself uses when a connection did not say `HELLO 3`:
//!
//! | RESP3 | RESP2 |
//! |---|---|
//! | map `%` | array of keys and values in turn |
//! | set `~`, push `>` | array |
//! | double `,` | bulk string of the same text |
//! | boolean `#` | `:1` or `:0` |
//! | big number `(` | bulk string |
//! | verbatim `=` | bulk string without the format |
//! | null `_` | `$-1` or `*-1`: see [`Nulls`] |
//! | bulk error `!` | error, its line ends made spaces |
//! | attribute | dropped |
//!
//! What no conversion of bytes can know: some commands answer in another *shape* under RESP3 (`ZRANGE … WITHSCORES`
//! nests its pairs, `XREAD` makes a map of its streams). To give a RESP2 client exactly what Redis would have, a
//! shard must be spoken to in RESP2; this is for the replies where only the types differ.

use bytes::{BufMut, Bytes};

use crate::reply::read::{Node, Reader, ReplyError};
use crate::reply::write::{push_array, push_bulk, push_integer, push_line};

/// What RESP3's null becomes, which the null alone does not say.
///
/// RESP2 has one null for a value that is not there (`GET`) and one for a list that is not there (`BLPOP` after its
/// timeout, an `EXEC` that was called off, `XREAD` without news). Only who knows the command can choose; clients
/// take either for "nothing".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Nulls {
    /// `$-1`. The default.
    #[default]
    Bulk,
    /// `*-1`.
    Array,
}

impl Nulls {
    const fn frame(self) -> &'static [u8] {
        match self {
            Self::Bulk => b"$-1\r\n",
            Self::Array => b"*-1\r\n",
        }
    }
}

/// Appends the one value in `frame` to `out` as RESP2 writes it. What is RESP2 already is copied as it is, in runs
/// as long as possible.
///
/// ```
/// use rendis_core::reply::{Nulls, push_resp2};
///
/// let mut out = Vec::new();
/// push_resp2(b"%1\r\n$1\r\na\r\n*2\r\n,1.5\r\n_\r\n", Nulls::Bulk, &mut out).unwrap();
/// assert_eq!(out, b"*2\r\n$1\r\na\r\n*2\r\n$3\r\n1.5\r\n$-1\r\n");
/// ```
///
/// # Errors
/// [`ReplyError`] when a value in it cannot be read; `out` then holds a part of the reply, and what was in it before.
pub fn push_resp2(frame: &[u8], nulls: Nulls, out: &mut impl BufMut) -> Result<(), ReplyError> {
    let mut reader = Reader::new(frame);
    // The bytes from `kept` to the reader are RESP2 and not yet copied.
    let mut kept = reader.rest();
    // One counter stands for the whole nesting: each header adds its elements, each value takes one off.
    let mut owed = 1_u64;
    while owed > 0 {
        let before = reader.rest();
        let node = reader.next()?;
        owed = owed.saturating_add(node.children()) - 1;
        if is_resp2(&node) {
            continue;
        }
        out.put_slice(first(kept, before));
        if let Node::Attribute(_) = node {
            // Its values do not count, and neither does it: the value it describes is still owed.
            owed = owed.saturating_sub(node.children()) + 1;
            for _ in 0..node.children() {
                reader.skip()?;
            }
        } else {
            push_changed(&node, nulls, out);
        }
        kept = reader.rest();
    }
    out.put_slice(first(kept, reader.rest()));
    Ok(())
}

/// The frame in RESP2, or `None` when it is that already.
pub(super) fn converted(frame: &Bytes, nulls: Nulls) -> Result<Option<Bytes>, ReplyError> {
    match frame.first() {
        Some(b'+' | b'-' | b':' | b'$') => return Ok(None),
        Some(b'*') => {
            let mut reader = Reader::new(frame);
            let mut plain = true;
            while plain && !reader.is_at_end() {
                plain = is_resp2(&reader.next()?);
            }
            if plain {
                return Ok(None);
            }
        }
        _ => {}
    }
    let mut out = Vec::with_capacity(frame.len());
    push_resp2(frame, nulls, &mut out)?;
    Ok(Some(out.into()))
}

const fn is_resp2(node: &Node<'_>) -> bool {
    matches!(node, Node::Simple(_) | Node::Error(_) | Node::Int(_) | Node::Bulk(_) | Node::Array(_))
}

/// The part of `from` before `to`, which is an end of it.
fn first<'a>(from: &'a [u8], to: &[u8]) -> &'a [u8] {
    from.get(..from.len().saturating_sub(to.len())).unwrap_or_default()
}

fn push_changed(node: &Node<'_>, nulls: Nulls, out: &mut impl BufMut) {
    match *node {
        Node::Map(count) => push_array(out, count.saturating_mul(2)),
        Node::Set(count) | Node::Push(count) => push_array(out, count),
        Node::Double(text) | Node::BigNumber(text) | Node::Verbatim { text, .. } => push_bulk(out, text),
        Node::Bool(value) => push_integer(out, i64::from(value)),
        Node::Null => out.put_slice(nulls.frame()),
        Node::BulkError(text) => {
            out.put_u8(b'-');
            push_line(out, text);
            out.put_slice(b"\r\n");
        }
        // RESP2 kinds are copied and attributes dropped before they come here.
        Node::Simple(_)
        | Node::Error(_)
        | Node::Int(_)
        | Node::Bulk(_)
        | Node::Array(_)
        | Node::Attribute(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn down(frame: &[u8]) -> Vec<u8> {
        let mut out = b"+before\r\n".to_vec();
        push_resp2(frame, Nulls::Bulk, &mut out).unwrap();
        out.split_off(9)
    }

    #[test]
    fn every_kind_has_its_older_form() {
        for (new, old) in [
            (&b"%2\r\n+a\r\n:1\r\n+b\r\n:2\r\n"[..], &b"*4\r\n+a\r\n:1\r\n+b\r\n:2\r\n"[..]),
            (b"~2\r\n:1\r\n#t\r\n", b"*2\r\n:1\r\n:1\r\n"),
            (b">1\r\n#f\r\n", b"*1\r\n:0\r\n"),
            (b",-inf\r\n", b"$4\r\n-inf\r\n"),
            (b"(12345678901234567890123\r\n", b"$23\r\n12345678901234567890123\r\n"),
            (b"=7\r\ntxt:abc\r\n", b"$3\r\nabc\r\n"),
            (b"!8\r\nERR a\r\nb\r\n", b"-ERR a  b\r\n"),
            (b"_\r\n", b"$-1\r\n"),
            (b"|1\r\n+a\r\n%1\r\n_\r\n_\r\n+OK\r\n", b"+OK\r\n"),
            (b"*2\r\n:1\r\n|1\r\n+a\r\n|0\r\n+b\r\n_\r\n", b"*2\r\n:1\r\n$-1\r\n"),
            (b"*2\r\n$1\r\n_\r\n*1\r\n$-1\r\n", b"*2\r\n$1\r\n_\r\n*1\r\n$-1\r\n"),
        ] {
            assert_eq!(down(new), old, "{}", new.escape_ascii());
        }
    }

    #[test]
    fn the_caller_says_which_null() {
        let mut out = Vec::new();
        push_resp2(b"_\r\n", Nulls::Array, &mut out).unwrap();
        assert_eq!(out, b"*-1\r\n");
    }

    #[test]
    fn what_is_resp2_already_is_shared() {
        for frame in [&b"+OK\r\n"[..], b"*2\r\n$-1\r\n*1\r\n:1\r\n"] {
            assert_eq!(converted(&Bytes::from_static(frame), Nulls::Bulk), Ok(None));
        }
        let mixed = Bytes::from_static(b"*2\r\n:1\r\n_\r\n");
        assert_eq!(converted(&mixed, Nulls::Bulk), Ok(Some(Bytes::from_static(b"*2\r\n:1\r\n$-1\r\n"))));
    }
}
