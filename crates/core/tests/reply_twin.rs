//! The reply reader and the down-conversion agree with their naive, recursive twins.

mod twin;
#[path = "twin/strategy.rs"]
mod strategy;

use proptest::prelude::*;
use rendis_core::reply::{Node, Nulls, Reader, Reply, ReplyError, push_resp2};
use rendis_core::scan::{Limits, Scanner};

use crate::twin::Value;

/// A tree from a [`Reader`], as a decoder would build it.
fn decode(reader: &mut Reader<'_>) -> Result<Value, ReplyError> {
    let node = reader.next()?;
    let mut children = Vec::new();
    for _ in 0..node.children() {
        children.push(decode(reader)?);
    }
    Ok(match node {
        Node::Simple(text) => Value::Simple(text.to_vec()),
        Node::Error(text) => Value::Error(text.to_vec()),
        Node::BulkError(text) => Value::BulkError(text.to_vec()),
        Node::Int(number) => Value::Int(number),
        Node::Bulk(text) => Value::Bulk(text.map(<[u8]>::to_vec)),
        Node::Array(count) => Value::Array(count.map(|_| children)),
        Node::Map(_) => Value::Map(children),
        Node::Set(_) => Value::Set(children),
        Node::Push(_) => Value::Push(children),
        Node::Attribute(_) => Value::Attributed(children, Box::new(decode(reader)?)),
        Node::Double(text) => Value::Double(text.to_vec()),
        Node::Bool(yes) => Value::Bool(yes),
        Node::Null => Value::Null,
        Node::BigNumber(text) => Value::BigNumber(text.to_vec()),
        Node::Verbatim { format, text } => Value::Verbatim(format, text.to_vec()),
    })
}

/// Frames that the scanner lets through, sound and not.
fn frames() -> impl Strategy<Value = Vec<u8>> {
    let frame = || strategy::value().prop_map(|value| value.frame());
    prop_oneof![frame(), strategy::damaged(frame()), strategy::noise()].prop_filter_map(
        "no frame",
        |mut bytes| {
            let end = Scanner::new(Limits::REPLY).scan(&bytes).ok()??;
            bytes.truncate(end);
            Some(bytes)
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, max_global_rejects: 200_000, ..ProptestConfig::default() })]

    #[test]
    fn what_is_read_is_what_was_written(value in strategy::value()) {
        let frame = value.frame();
        let mut reader = Reader::new(&frame);
        prop_assert_eq!(decode(&mut reader), Ok(value));
        prop_assert!(reader.is_at_end());
    }

    #[test]
    fn the_reader_agrees_with_its_twin(frame in frames()) {
        let expected = twin::read(&frame).map(|(value, _)| value);
        prop_assert_eq!(decode(&mut Reader::new(&frame)).ok(), expected.clone());
        // Passing over a value takes all of it or finds the same fault.
        let skipped = Reader::new(&frame).skip().ok();
        prop_assert_eq!(skipped, expected.map(|_| &frame[..]));
    }

    #[test]
    fn bytes_that_are_no_frame_do_no_harm(bytes in prop_oneof![strategy::noise(), any::<Vec<u8>>()]) {
        let reply = Reply::new(bytes.clone().into());
        let _ = (reply.kind(), reply.is_error(), reply.is_null(), reply.text(), reply.as_error(), reply.as_integer());
        let _ = (format!("{reply:?}"), Reader::new(&bytes).skip(), reply.to_resp2(Nulls::Array));
    }

    #[test]
    fn the_older_form_agrees_with_its_twin(value in strategy::value()) {
        let expected = value.to_resp2().frame();
        let mut out = b"kept".to_vec();
        push_resp2(&value.frame(), Nulls::Bulk, &mut out).unwrap();
        prop_assert_eq!(out.split_off(4), expected.clone());
        let older = Reply::new(value.frame().into()).to_resp2(Nulls::Bulk).unwrap();
        prop_assert_eq!(older.frame(), &expected[..]);
        // What is in the older form stays as it is.
        let again = Reply::new(expected.clone().into()).to_resp2(Nulls::Array).unwrap();
        prop_assert_eq!(again.frame(), &expected[..]);
    }
}
