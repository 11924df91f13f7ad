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
use rendis_core::hash::crc16_xmodem;
use rendis_core::id::ShardId;
use rendis_core::plan::{Plan, Queued, RefusalKind, View, plan, same_shard};
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

/// Of a frame that the scanner lets through, the reader makes the tree that its twin makes. Other bytes do no harm.
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

/// As [`planner`] and [`transaction`], on one shard and on three: each line is a request, its words are apart by spaces.
/// A first word that is no command's name is the next one's, so that most bytes ask for something.
pub(crate) fn plans(bytes: &[u8]) {
    let table = Table::default();
    let rows: Vec<_> = table.rows().map(|row| row.name().as_bytes()).collect();
    let request = |line: &[u8]| {
        let mut words: Vec<_> = line.split(|byte| *byte == b' ').collect();
        if table.named(words[0]).is_none() {
            let next = rows.partition_point(|row| *row < words[0]);
            words[0] = rows.get(next).copied().unwrap_or(words[0]);
        }
        RequestBuf::pack(words)
    };
    let requests: Vec<_> = bytes.split(|byte| *byte == b'\n').map(request).collect();
    for shards in [1, 3] {
        requests.iter().for_each(|request| planner(request, shards));
        transaction(&requests, shards);
    }
}

/// No request is sent to a shard that has not all of its keys, and none that has keys to no shard or to any; parts have
/// each key once, and are requests themselves; a refusal is one line.
pub(crate) fn planner(request: &RequestBuf, shards: usize) {
    let (request, table) = (request.view(), Table::default());
    let live: Vec<_> = (0..shards).map(ShardId::new).collect();
    let decide = |request: Request<'_>| plan(request, table.find(request), &View::new(locate(shards), &live));
    let keys = keys(&table, request);
    match decide(request) {
        Plan::One(shard) | Plan::Transaction { shard: Some(shard), .. } => {
            assert!(keys.iter().all(|key| locate(shards)(key) == Some(shard)));
        }
        Plan::Split { cut, .. } => {
            assert!(cut.parts().len() > 1);
            let mut dealt = Vec::new();
            for part in cut.parts() {
                let own = part.pack(request);
                assert!(matches!(decide(own.view()), Plan::One(shard) if shard == part.shard));
                dealt.extend_from_slice(part.keys);
            }
            dealt.sort_unstable();
            assert!(dealt.iter().copied().eq(0..u32::try_from(keys.len()).unwrap()));
        }
        Plan::Refused(refusal) => {
            assert!(!refusal.text().contains(&b'\n') && !refusal.text().contains(&b'\r'));
            if shards == 1 && refusal.kind() == RefusalKind::CrossShard {
                // Only patterns, whose keys nobody can know.
                assert!(request.name().to_ascii_lowercase().starts_with(b"sort"));
            }
        }
        Plan::NoShard => panic!("every shard is up"),
        // These go to no single shard, so they may not have keys.
        _ => assert!(keys.is_empty()),
    }
}

/// A transaction runs on the shard that has all of its keys, on any where there are none, or not at all.
pub(crate) fn transaction(requests: &[RequestBuf], shards: usize) {
    let (table, live) = (Table::default(), (0..shards).map(ShardId::new).collect::<Vec<_>>());
    let calls = requests.iter().map(|request| (request.view(), table.find(request.view())));
    let mut keys = requests.iter().flat_map(|request| keys(&table, request.view()));
    match same_shard(calls, &View::new(locate(shards), &live)) {
        Ok(Queued::On(shard)) => assert!(keys.all(|key| locate(shards)(&key) == Some(shard))),
        Ok(Queued::Rather(_) | Queued::Anywhere) => assert_eq!(keys.next(), None),
        Ok(Queued::NoShard) => panic!("every shard is up"),
        Err(_) => {}
    }
}

/// Where keys are, on so many shards.
pub(crate) fn locate(shards: usize) -> impl Fn(&[u8]) -> Option<ShardId> {
    move |key| Some(ShardId::new(usize::from(crc16_xmodem(Tag::Braces.tagged(key))) % shards))
}

/// The keys of a request by an own reading of its row.
pub(crate) fn keys(table: &Table, request: Request<'_>) -> Vec<Vec<u8>> {
    let Found::Row(row) = table.find(request) else { return Vec::new() };
    row.keys(request)
        .map(|keys| {
            keys.map(|key| request.argument(key.index).expect("a key is an argument").to_vec()).collect()
        })
        .unwrap_or_default()
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
