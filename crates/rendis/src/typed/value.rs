//! Reply frames straight into [`redis::Value`], without a second parser in between.

use redis::{PushKind, RedisError, RedisResult, Value, VerbatimFormat};
use rendis_core::reply::{Node, Reader, Reply, ReplyError, double};

use super::errors::server_value;

/// The value of a reply. An error reply is the value [`Value::ServerError`].
pub(crate) fn value(reply: &Reply) -> RedisResult<Value> {
    read(&mut reply.reader(), MAX_DEPTH).map_err(unreadable)
}

/// The values of the replies to a packed pipeline: as the `redis` crate asks for them, `count` from `offset` on, where
/// an error among those before is the error of the whole (a transaction that was refused).
pub(crate) fn pipeline_values(replies: &[Reply], offset: usize, count: usize) -> RedisResult<Vec<Value>> {
    let (before, rest) = replies.split_at_checked(offset).unwrap_or((replies, &[]));
    if let Some(error) = before.iter().find(|reply| reply.is_error()) {
        value(error)?.extract_error()?;
    }
    rest.iter().take(count).map(value).collect()
}

fn unreadable(error: ReplyError) -> RedisError {
    RedisError::from((redis::ErrorKind::Parse, "unreadable reply", error.to_string()))
}

/// Reads one value, `deeper` levels of it.
fn read(reader: &mut Reader<'_>, deeper: usize) -> Result<Value, ReplyError> {
    let Some(deeper) = deeper.checked_sub(1) else { return Err(ReplyError::TooDeep) };
    Ok(match reader.next()? {
        Node::Bulk(Some(bytes)) => Value::BulkString(bytes.to_vec()),
        Node::Simple(b"OK") => Value::Okay,
        Node::Int(number) => Value::Int(number),
        Node::Bulk(None) | Node::Array(None) | Node::Null => Value::Nil,
        Node::Simple(text) => Value::SimpleString(lossy(text)),
        Node::Error(line) | Node::BulkError(line) => server_value(&lossy(line)),
        Node::Array(Some(count)) => Value::Array(values(reader, count, deeper)?),
        Node::Set(count) => Value::Set(values(reader, count, deeper)?),
        Node::Map(count) => Value::Map(pairs(reader, count, deeper)?),
        Node::Attribute(count) => {
            let attributes = pairs(reader, count, deeper)?;
            Value::Attribute { data: Box::new(read(reader, deeper)?), attributes }
        }
        Node::Push(count) => push(values(reader, count, deeper)?),
        Node::Double(text) => double(text).map_or(Value::Nil, Value::Double),
        Node::Bool(truth) => Value::Boolean(truth),
        Node::BigNumber(digits) => big_number(digits),
        Node::Verbatim { format, text } => Value::VerbatimString {
            format: match &format {
                b"txt" => VerbatimFormat::Text,
                b"mkd" => VerbatimFormat::Markdown,
                other => VerbatimFormat::Unknown(lossy(other)),
            },
            text: lossy(text),
        },
    })
}

fn values(reader: &mut Reader<'_>, count: usize, deeper: usize) -> Result<Vec<Value>, ReplyError> {
    // A header may claim more than there is, so the room is bounded by what the frame can hold.
    let mut values = Vec::with_capacity(count.min(reader.rest().len() / SMALLEST_VALUE + 1));
    for _ in 0..count {
        values.push(read(reader, deeper)?);
    }
    Ok(values)
}

fn pairs(reader: &mut Reader<'_>, count: usize, deeper: usize) -> Result<Vec<(Value, Value)>, ReplyError> {
    let mut pairs = Vec::with_capacity(count.min(reader.rest().len() / SMALLEST_VALUE + 1));
    for _ in 0..count {
        pairs.push((read(reader, deeper)?, read(reader, deeper)?));
    }
    Ok(pairs)
}

fn push(mut data: Vec<Value>) -> Value {
    let kind = if data.is_empty() { Value::Nil } else { data.remove(0) };
    let kind = match kind {
        Value::SimpleString(kind) => kind,
        Value::BulkString(kind) => lossy(&kind),
        _ => String::new(),
    };
    let kind = match kind.as_str() {
        "invalidate" => PushKind::Invalidate,
        "message" => PushKind::Message,
        "pmessage" => PushKind::PMessage,
        "smessage" => PushKind::SMessage,
        "subscribe" => PushKind::Subscribe,
        "psubscribe" => PushKind::PSubscribe,
        "ssubscribe" => PushKind::SSubscribe,
        "unsubscribe" => PushKind::Unsubscribe,
        "punsubscribe" => PushKind::PUnsubscribe,
        "sunsubscribe" => PushKind::SUnsubscribe,
        _ => PushKind::Other(kind),
    };
    Value::Push { kind, data }
}

/// The `redis` crate's own parser knows which type it was built with for these.
fn big_number(digits: &[u8]) -> Value {
    redis::parse_redis_value(&[b"(", digits, b"\r\n"].concat()).unwrap_or(Value::Nil)
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// How deep values may nest: as deep as the `redis` crate reads. A deeper reply is the error of its call alone.
const MAX_DEPTH: usize = 100;

/// `_\r\n`, `:1\r\n` and the like.
const SMALLEST_VALUE: usize = 3;

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;

    fn both(frame: &[u8]) -> (Value, Value) {
        let own = value(&Reply::new(Bytes::copy_from_slice(frame))).unwrap();
        (own, redis::parse_redis_value(frame).unwrap())
    }

    #[test]
    fn every_type_is_read_as_the_redis_crate_reads_it() {
        for frame in [
            &b"+OK\r\n"[..],
            b"+PONG\r\n",
            b"-ERR wrong\r\n",
            b"-WRONGTYPE Operation against a key\r\n",
            b":-12\r\n",
            b"$-1\r\n",
            b"$0\r\n\r\n",
            b"$3\r\n\xff\r\n\r\n",
            b"*-1\r\n",
            b"*0\r\n",
            b"*2\r\n:1\r\n*1\r\n$1\r\nx\r\n",
            b"_\r\n",
            b"#t\r\n",
            b",1.5\r\n",
            b",inf\r\n",
            b"(3492890328409238509324850943850943825024385\r\n",
            b"=8\r\ntxt:text\r\n",
            b"=8\r\nmkd:text\r\n",
            b"!7\r\nERR all\r\n",
            b"~2\r\n:1\r\n:2\r\n",
            b"%1\r\n+a\r\n:1\r\n",
            b">3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$1\r\nx\r\n",
            b"|1\r\n+ttl\r\n:3\r\n$1\r\nx\r\n",
        ] {
            let (own, theirs) = both(frame);
            assert_eq!(own, theirs, "{}", frame.escape_ascii());
        }
    }

    #[test]
    fn a_reply_that_nests_too_deep_is_an_error() {
        let nested = |depth| [b"*1\r\n".repeat(depth), b":1\r\n".to_vec()].concat();
        assert!(value(&Reply::new(nested(99).into())).is_ok());
        assert!(value(&Reply::new(nested(4096).into())).is_err());
    }

    fn frame() -> impl Strategy<Value = Vec<u8>> {
        let leaf = prop_oneof![
            any::<i64>().prop_map(|number| format!(":{number}\r\n").into_bytes()),
            proptest::collection::vec(any::<u8>(), 0..40).prop_map(|bytes| [
                format!("${}\r\n", bytes.len()).as_bytes(),
                &bytes,
                b"\r\n"
            ]
            .concat()),
            "[a-zA-Z ]{1,10}".prop_map(|text| format!("+{text}\r\n").into_bytes()),
            Just(b"_\r\n".to_vec()),
        ];
        leaf.prop_recursive(4, 64, 6, |inner| {
            proptest::collection::vec(inner, 0..6)
                .prop_map(|items| [format!("*{}\r\n", items.len()).into_bytes(), items.concat()].concat())
        })
    }

    proptest! {
        #[test]
        fn any_frame_is_read_as_the_redis_crate_reads_it(frame in frame()) {
            let (own, theirs) = both(&frame);
            prop_assert_eq!(own, theirs);
        }
    }
}
