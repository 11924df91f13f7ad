//! What must hold for any bytes: the checks that property tests and fuzz targets share. Each panics where it does not
//! hold.

#![allow(
    dead_code,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a check panics, and no test uses all of them"
)]

use rendis_core::command::{Found, Table};
use rendis_core::id::ShardId;
use rendis_core::plan::{Plan, View, plan};
use rendis_core::reply::{Node, Reader, Reply, ReplyError};
use rendis_core::request::{Request, RequestBuf, RequestScanner};
use rendis_core::scan::{Limits, ScanError, Scanner};
use rendis_core::tag::Tag;

use super::{Scanned, Value};

/// Small enough that short frames meet them.
const TIGHT: Limits = Limits { bulk: 20, elements: 4, depth: 3, line: 25, frame: 90 };

/// The scanner says what its twin says, whether the bytes come at once or in pieces that end at `cuts`.
pub(crate) fn scanner(bytes: &[u8], cuts: &[usize]) {
    for limits in [Limits::REPLY, TIGHT] {
        let expected = super::scan(bytes, 0, 0, limits);
        assert_eq!(outcome(Scanner::new(limits).scan(bytes)), expected);
        let mut scanner = Scanner::new(limits);
        assert_eq!(in_pieces(bytes, cuts, |piece| outcome(scanner.scan(piece))), expected);
    }
}

/// The request scanner says what its twin says, and finds the same arguments.
pub(crate) fn request_scanner(bytes: &[u8], cuts: &[usize]) {
    for limits in [Limits::REQUEST, TIGHT] {
        let (expected, arguments) = super::request(bytes, limits);
        let mut scanner = RequestScanner::new(limits);
        assert_eq!(in_pieces(bytes, cuts, |piece| outcome(scanner.scan(piece))), expected);
        if let Scanned::End(end) = expected {
            let found: Vec<_> = scanner.request(&bytes[..end]).arguments().map(<[u8]>::to_vec).collect();
            assert_eq!(found, arguments);
        }
    }
}

/// Of a frame that the scanner lets through, the reader makes the tree that its twin makes, and the older form is the
/// tree's older form. Other bytes do no harm.
pub(crate) fn reader(bytes: &[u8]) {
    let frame = match Scanner::new(Limits::REPLY).scan(bytes) {
        Ok(Some(end)) => &bytes[..end],
        _ => return harmless(bytes),
    };
    let expected = super::read(frame).map(|(value, _)| value);
    assert_eq!(decode(&mut Reader::new(frame)).ok(), expected);
    // Passing over a value takes all of it or finds the same fault.
    assert_eq!(Reader::new(frame).skip().ok(), expected.as_ref().map(|_| frame));
    harmless(bytes);
}

fn harmless(bytes: &[u8]) {
    let reply = Reply::new(bytes.to_vec().into());
    let _ =
        (reply.kind(), reply.is_error(), reply.is_null(), reply.text(), reply.as_error(), reply.as_integer());
    let _ = (format!("{reply:?}"), Reader::new(bytes).skip());
}

/// As [`planner`]: the first two bytes choose a command, the rest are its words, apart by spaces.
pub(crate) fn planner_of(bytes: &[u8]) {
    let [high, low, words @ ..] = bytes else { return };
    let table = Table::default();
    let rows: Vec<_> = table.rows().collect();
    let name = rows[usize::from(u16::from_be_bytes([*high, *low])) % rows.len()].name();
    let words = words.split(|byte| *byte == b' ').filter(|word| !word.is_empty());
    planner(&std::iter::once(name.as_bytes()).chain(words).collect::<Vec<_>>());
}

/// No request is sent to a shard that has not all of its keys; parts have each key once, and are requests themselves.
pub(crate) fn planner(words: &[&[u8]]) {
    let request = RequestBuf::pack(words.iter().copied());
    let (request, table) = (request.view(), Table::default());
    let live = [0, 1, 2].map(ShardId::new);
    let locate = |key: &[u8]| {
        let sum: usize = Tag::Braces.tagged(key).iter().map(|byte| usize::from(*byte)).sum();
        live.get(sum % live.len()).copied()
    };
    let decide = |request: Request<'_>| plan(request, table.find(request), &View::new(locate, &live));
    let shards: Vec<_> = match table.find(request) {
        Found::Row(row) if row.takes(request.count()) => match row.keys(request) {
            Ok(keys) => {
                keys.map(|key| locate(request.argument(key.index).expect("a key is an argument"))).collect()
            }
            Err(_) => Vec::new(),
        },
        _ => Vec::new(),
    };
    match decide(request) {
        Plan::One(shard) => assert!(shards.iter().all(|other| *other == Some(shard))),
        Plan::Split { cut, .. } => {
            assert!(cut.parts().len() > 1);
            let mut dealt = Vec::new();
            for part in cut.parts() {
                let own = part.pack(request);
                assert!(matches!(decide(own.view()), Plan::One(shard) if shard == part.shard));
                dealt.extend_from_slice(part.keys);
            }
            dealt.sort_unstable();
            assert!(dealt.iter().copied().eq(0..u32::try_from(shards.len()).unwrap()));
        }
        Plan::Every(_) | Plan::Random(_) | Plan::Scan(_) => assert!(shards.is_empty()),
        _ => {}
    }
}

/// A tree from a [`Reader`], as a decoder would build it.
pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Value, ReplyError> {
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

fn outcome(result: Result<Option<usize>, ScanError>) -> Scanned {
    match result {
        Ok(Some(end)) => Scanned::End(end),
        Ok(None) => Scanned::Incomplete,
        Err(_) => Scanned::Bad,
    }
}

/// What `scan` says when the bytes arrive in pieces that end at `cuts`.
fn in_pieces(bytes: &[u8], cuts: &[usize], scan: impl FnMut(&[u8]) -> Scanned) -> Scanned {
    let mut ends: Vec<_> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).collect();
    ends.push(bytes.len());
    ends.sort_unstable();
    let mut found = ends.into_iter().map(|end| &bytes[..end]).map(scan);
    found.find(|found| *found != Scanned::Incomplete).unwrap_or(Scanned::Incomplete)
}
