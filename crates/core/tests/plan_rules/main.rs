//! Where each kind of command goes, and the exact words where it goes nowhere.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

#[path = "../command/mod.rs"]
mod command;
mod refusals;
mod routing;

use command::request;
use rendis_core::{
    command::Table,
    id::ShardId,
    plan::{Plan, View, plan},
    request::RequestBuf,
    tag::Tag,
};

/// Three shards; a key's shard is the digit at the end of what counts of it, modulo three.
fn locate(key: &[u8]) -> Option<ShardId> {
    let last = Tag::Braces.tagged(key).last().copied().unwrap_or(b'0');
    Some(ShardId::new(usize::from(last) % 3))
}

fn live() -> Vec<ShardId> {
    (0..3).map(ShardId::new).collect()
}

fn decide_buf(request: &RequestBuf) -> Plan {
    let (table, live) = (Table::default(), live());
    plan(request.view(), table.find(request.view()), &View::new(locate, &live).entropy(7))
}

fn decide(words: &str) -> Plan {
    decide_buf(&request(words))
}

fn one(words: &str) -> usize {
    match decide(words) {
        Plan::One(shard) => shard.index(),
        other => panic!("{words}: {other:?}"),
    }
}

fn refused(words: &str) -> String {
    match decide(words) {
        Plan::Refused(refusal) => refusal.to_string(),
        other => panic!("{words}: {other:?}"),
    }
}
