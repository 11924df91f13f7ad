//! The frames of a subscribed connection, out and in.
//!
//! RESP3 servers send pushes, RESP2 servers the same as arrays; replies to anything else stand between them. Both
//! protocols are read alike.

use bytes::Bytes;
use rendis_core::health::{Probe, classify};
use rendis_core::reply::{Node, Reader, Reply};
use rendis_core::request::RequestBuf;

use super::TopicKind;

/// Whether topics begin or end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    Begin,
    End,
}

/// What a server sent.
#[derive(Debug, PartialEq)]
pub(super) enum Arrived {
    /// A message: for a pattern, with the pattern.
    Message { kind: TopicKind, pattern: Option<Bytes>, channel: Bytes, payload: Bytes },
    /// One topic began or ended.
    Confirmed { verb: Verb, kind: TopicKind, name: Bytes },
    /// An error reply: its line, and whether the server may think otherwise later.
    Refused(String, Probe),
    /// Any other push: nothing that was asked for.
    Push,
    /// Any other reply.
    Reply,
}

/// The request that begins or ends topics.
pub(super) fn request<'a>(
    verb: Verb,
    kind: TopicKind,
    names: impl ExactSizeIterator<Item = &'a Bytes>,
) -> RequestBuf {
    let mut words = Vec::with_capacity(names.len() + 1);
    words.push(command(verb, kind));
    words.extend(names.map(|name| &**name));
    RequestBuf::pack(words)
}

/// The name of the command that begins or ends topics.
pub(super) const fn command(verb: Verb, kind: TopicKind) -> &'static [u8] {
    match (verb, kind) {
        (Verb::Begin, TopicKind::Channel) => b"SUBSCRIBE",
        (Verb::Begin, TopicKind::Pattern) => b"PSUBSCRIBE",
        (Verb::Begin, TopicKind::ShardChannel) => b"SSUBSCRIBE",
        (Verb::End, TopicKind::Channel) => b"UNSUBSCRIBE",
        (Verb::End, TopicKind::Pattern) => b"PUNSUBSCRIBE",
        (Verb::End, TopicKind::ShardChannel) => b"SUNSUBSCRIBE",
    }
}

/// The request that finds out whether the other side still lives.
pub(super) fn ping() -> RequestBuf {
    RequestBuf::pack([&b"PING"[..]])
}

/// Reads what arrived. Texts are slices of one allocation, which holds nothing but this frame where that is small.
pub(super) fn read(reply: Reply) -> Arrived {
    if let Some(error) = reply.as_error() {
        return Arrived::Refused(error.to_string(), classify(&reply));
    }
    let frame = reply.into_frame();
    let frame = if frame.len() < COPY_BELOW { Bytes::copy_from_slice(&frame) } else { frame };
    let mut reader = Reader::new(&frame);
    let outer = reader.skip_attributes().and_then(|()| reader.next());
    let (push, count) = match outer {
        Ok(Node::Push(count)) => (true, count),
        Ok(Node::Array(Some(count))) => (false, count),
        _ => return Arrived::Reply,
    };
    let other = if push { Arrived::Push } else { Arrived::Reply };
    let mut text = || text(&mut reader).map(|text| frame.slice_ref(text));
    let Some(word) = text() else { return other };
    let message = |kind| (kind, None);
    let (kind, verb) = match (&*word, count) {
        (b"message", 3) => message(TopicKind::Channel),
        (b"smessage", 3) => message(TopicKind::ShardChannel),
        (b"pmessage", 4) => message(TopicKind::Pattern),
        (b"subscribe", 3) => (TopicKind::Channel, Some(Verb::Begin)),
        (b"psubscribe", 3) => (TopicKind::Pattern, Some(Verb::Begin)),
        (b"ssubscribe", 3) => (TopicKind::ShardChannel, Some(Verb::Begin)),
        (b"unsubscribe", 3) => (TopicKind::Channel, Some(Verb::End)),
        (b"punsubscribe", 3) => (TopicKind::Pattern, Some(Verb::End)),
        (b"sunsubscribe", 3) => (TopicKind::ShardChannel, Some(Verb::End)),
        _ => return other,
    };
    let read = match verb {
        Some(verb) => text().map(|name| Arrived::Confirmed { verb, kind, name }),
        None => {
            let pattern = (kind == TopicKind::Pattern).then(&mut text).flatten();
            let complete = kind != TopicKind::Pattern || pattern.is_some();
            match (text(), text()) {
                (Some(channel), Some(payload)) if complete => {
                    Some(Arrived::Message { kind, pattern, channel, payload })
                }
                _ => None,
            }
        }
    };
    read.unwrap_or(other)
}

fn text<'a>(reader: &mut Reader<'a>) -> Option<&'a [u8]> {
    match reader.next() {
        Ok(Node::Bulk(Some(text)) | Node::Simple(text) | Node::Verbatim { text, .. }) => Some(text),
        _ => None,
    }
}

/// A frame that is smaller is copied, so that a message that waits does not hold a whole read buffer.
const COPY_BELOW: usize = 16 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    fn arrived(frame: &[u8]) -> Arrived {
        read(Reply::new(Bytes::copy_from_slice(frame)))
    }

    #[test]
    fn both_protocols_are_read_alike() {
        for first in [b'>', b'*'] {
            let frame = |rest: &[u8]| [&[first], rest].concat();
            assert_eq!(
                arrived(&frame(b"3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$2\r\nhi\r\n")),
                Arrived::Message {
                    kind: TopicKind::Channel,
                    pattern: None,
                    channel: "c".into(),
                    payload: "hi".into()
                }
            );
            assert_eq!(
                arrived(&frame(b"4\r\n$8\r\npmessage\r\n$1\r\n*\r\n$1\r\nc\r\n$0\r\n\r\n")),
                Arrived::Message {
                    kind: TopicKind::Pattern,
                    pattern: Some("*".into()),
                    channel: "c".into(),
                    payload: Bytes::new()
                }
            );
            assert_eq!(
                arrived(&frame(b"3\r\n$10\r\nssubscribe\r\n$1\r\nc\r\n:1\r\n")),
                Arrived::Confirmed { verb: Verb::Begin, kind: TopicKind::ShardChannel, name: "c".into() }
            );
        }
        assert_eq!(arrived(b"*2\r\n$4\r\npong\r\n$0\r\n\r\n"), Arrived::Reply);
        assert_eq!(arrived(b"+PONG\r\n"), Arrived::Reply);
        assert_eq!(arrived(b">2\r\n$10\r\ninvalidate\r\n_\r\n"), Arrived::Push);
        assert_eq!(arrived(b">3\r\n$7\r\nmessage\r\n$1\r\nc\r\n:1\r\n"), Arrived::Push);
        assert_eq!(arrived(b"-NOPERM no\r\n"), Arrived::Refused("NOPERM no".into(), Probe::Failed));
        assert_eq!(arrived(b"-BUSY script\r\n"), Arrived::Refused("BUSY script".into(), Probe::Busy));
    }

    #[test]
    fn a_request_names_all_its_topics() {
        let names: Vec<Bytes> = vec!["a".into(), "b".into()];
        let packed = request(Verb::End, TopicKind::Pattern, names.iter());
        let words: Vec<_> = packed.view().arguments().collect();
        assert_eq!(words, [&b"PUNSUBSCRIBE"[..], b"a", b"b"]);
    }
}
