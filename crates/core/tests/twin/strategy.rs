//! What the properties are tried on.

#![allow(
    dead_code,
    clippy::indexing_slicing,
    reason = "no test uses all of it, and it is plain, not careful"
)]

use proptest::collection::vec;
use proptest::prelude::*;

use crate::twin::Value;

/// Any value, nested at most five levels deep.
pub(crate) fn value() -> impl Strategy<Value = Value> {
    leaf().prop_recursive(5, 40, 6, |inner| {
        let pairs =
            |values: Vec<(Value, Value)>| values.into_iter().flat_map(|(k, v)| [k, v]).collect::<Vec<_>>();
        let some = vec((inner.clone(), inner.clone()), 0..4).prop_map(pairs);
        prop_oneof![
            4 => vec(inner.clone(), 0..6).prop_map(|values| Value::Array(Some(values))),
            1 => vec(inner.clone(), 0..6).prop_map(Value::Set),
            1 => vec(inner.clone(), 0..6).prop_map(Value::Push),
            2 => some.clone().prop_map(Value::Map),
            1 => (some, inner).prop_map(|(pairs, value)| Value::Attributed(pairs, Box::new(value))),
        ]
    })
}

fn leaf() -> impl Strategy<Value = Value> {
    let bytes = || vec(prop_oneof![any::<u8>(), proptest::sample::select(&b"\r\n$*:1"[..])], 0..30);
    // A CR is text in a line, an LF ends it.
    let text = || bytes().prop_map(|text| text.into_iter().filter(|byte| *byte != b'\n').collect::<Vec<_>>());
    prop_oneof![
        text().prop_map(Value::Simple),
        text().prop_map(Value::Error),
        bytes().prop_map(Value::BulkError),
        any::<i64>().prop_map(Value::Int),
        bytes().prop_map(|text| Value::Bulk(Some(text))),
        Just(Value::Bulk(None)),
        Just(Value::Array(None)),
        any::<f64>().prop_map(|number| Value::Double(number.to_string().into_bytes())),
        any::<bool>().prop_map(Value::Bool),
        Just(Value::Null),
        any::<i128>().prop_map(|number| Value::BigNumber(number.to_string().into_bytes())),
        (any::<[u8; 3]>(), bytes()).prop_map(|(format, text)| Value::Verbatim(format, text)),
    ]
}

/// Bytes that are almost frames: pieces of the grammar in any order.
pub(crate) fn noise() -> impl Strategy<Value = Vec<u8>> {
    let pieces: [&[u8]; 34] = [
        b"+",
        b"-",
        b":",
        b"$",
        b"*",
        b"_",
        b"#",
        b",",
        b"(",
        b"!",
        b"=",
        b"%",
        b"~",
        b">",
        b"|",
        b"\r\n",
        b"\r\n",
        b"\r\n",
        b"\r\n",
        b"\r",
        b"\n",
        b"-1",
        b"0",
        b"1",
        b"1",
        b"2",
        b"3",
        b"9",
        b"t",
        b"txt:",
        b"$1\r\nx\r\n",
        b":1\r\n",
        b"*2\r\n",
        b"|1\r\n",
    ];
    vec(proptest::sample::select(pieces.to_vec()), 0..24).prop_map(|pieces| pieces.concat())
}

/// Frames with up to three bytes changed, put in or left out.
pub(crate) fn damaged(frame: impl Strategy<Value = Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    let edit =
        (any::<proptest::sample::Index>(), 0..3_u8, proptest::sample::select(&b"\r\n-+$*|%0123456789x"[..]));
    (frame, vec(edit, 0..4)).prop_map(|(mut frame, edits)| {
        for (at, how, byte) in edits {
            if frame.is_empty() {
                break;
            }
            let at = at.index(frame.len());
            match how {
                0 => frame[at] = byte,
                1 => frame.insert(at, byte),
                _ => drop(frame.remove(at)),
            }
        }
        frame
    })
}
