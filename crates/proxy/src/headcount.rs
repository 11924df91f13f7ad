//! How many clients of the ring listen, in replies that count all of them as one.
//!
//! A channel is subscribed to once on its shard, however many clients listen to it. So a shard that says how many have got
//! a message, or listen, counts this process once, and clients that rely on the number (Socket.IO takes it for the number of
//! its nodes) would wait for too few. Listeners behind another proxy still count as one for each proxy, and those of a
//! pattern as one for this process.

use rendis_core::command::{Found, Table};
use rendis_core::reply::{Node, Reply, push_array, push_integer};
use rendis_core::request::Request;
use rendis_engine::engine::Engine;
use rendis_engine::pubsub::{Hub, TopicKind};

/// The reply to this request with all listeners counted; `None` where it is as it should be.
#[inline]
pub(crate) fn counted(hub: &Hub, engine: &Engine, request: Request<'_>, reply: &Reply) -> Option<Reply> {
    // Nearly all replies are of another kind, and nearly all names of another length.
    let may_count = match reply.frame().first()? {
        b':' => LENGTHS.contains(&request.name().len()),
        b'*' => request.name().len() == CONTAINER,
        _ => false,
    };
    if may_count { recount(hub, &engine.table().load(), request, reply) } else { None }
}

fn recount(hub: &Hub, table: &Table, request: Request<'_>, reply: &Reply) -> Option<Reply> {
    let Found::Row(row) = table.find(request) else { return None };
    let (_, kind) = COUNTING.iter().find(|(name, _)| *name == row.name())?;
    // Where the shards count nobody, they do not send to this process yet.
    let all = |count: i64, listeners: usize, counted: usize| {
        let [listeners, counted] = [listeners, counted].map(|number| i64::try_from(number).unwrap_or(0));
        if count > 0 && listeners > 0 { count - counted.min(count) + listeners } else { count }
    };
    if let Some(count) = reply.as_integer() {
        // A message goes to one shard.
        let (listeners, _) = hub.audience(*kind, request.argument(1)?);
        return Some(Reply::integer(all(count, listeners, 1)));
    }
    let mut reader = reply.reader();
    let Ok(Node::Array(Some(values))) = reader.next() else { return None };
    let mut out = Vec::with_capacity(reply.frame().len());
    push_array(&mut out, values);
    for _ in 0..values / 2 {
        let name = Reply::new(reader.skip().ok()?.to_vec().into());
        out.extend_from_slice(name.frame());
        let Ok(Node::Int(count)) = reader.next() else { return None };
        let (listeners, links) = hub.audience(*kind, name.as_bulk()?);
        push_integer(&mut out, all(count, listeners, links));
    }
    Some(Reply::new(out.into()))
}

/// The commands that count listeners, and of what.
const COUNTING: [(&str, TopicKind); 4] = [
    ("publish", TopicKind::Channel),
    ("spublish", TopicKind::ShardChannel),
    ("pubsub|numsub", TopicKind::Channel),
    ("pubsub|shardnumsub", TopicKind::ShardChannel),
];
const LENGTHS: [usize; 2] = ["publish".len(), "spublish".len()];
const CONTAINER: usize = "pubsub".len();
