//! What subscriptions of a `Ring` promise, against real servers.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod ending;
mod failures;
mod many;
mod messages;
mod moving;
mod runtimes;

use std::collections::BTreeSet;
use std::time::Duration;

use rendis::{Message, Ring, RingBuilder, ShardSettings, Subscription};
use rendis_testkit::{Cluster, RedisServer};
use tokio::time::timeout;

fn builder(urls: impl IntoIterator<Item = String>) -> RingBuilder {
    let shards = urls.into_iter().enumerate().map(|(at, url)| (format!("shard{}", at + 1), url));
    Ring::builder().shards(shards)
}

async fn ring(cluster: &Cluster) -> Ring {
    builder(cluster.urls()).build().await.unwrap()
}

fn settings(urls: &[String]) -> Vec<ShardSettings> {
    let named = urls.iter().enumerate();
    named.map(|(at, url)| ShardSettings::new(format!("shard{}", at + 1), url).unwrap()).collect()
}

/// The next message, which must come.
async fn next(subscription: &mut Subscription) -> Message {
    timeout(Duration::from_secs(10), subscription.next()).await.expect("a message").unwrap().unwrap()
}

/// Nothing waits, and nothing comes for a while.
async fn nothing_more(subscription: &mut Subscription) {
    let more = timeout(Duration::from_millis(100), subscription.next()).await;
    assert!(more.is_err(), "{more:?}");
}

/// How many connections are subscribed to a channel.
fn subscribers(server: &RedisServer, channel: &str) -> i64 {
    server.command(&["PUBSUB", "NUMSUB", channel]).elements()[1].integer()
}

fn channels(server: &RedisServer) -> BTreeSet<String> {
    server.command(&["PUBSUB", "CHANNELS"]).elements().iter().map(|name| name.text().to_owned()).collect()
}

/// How many connections have a subscription.
fn subscribed_connections(server: &RedisServer) -> usize {
    server.command(&["CLIENT", "LIST", "TYPE", "pubsub"]).text().lines().count()
}

fn alive_tasks() -> usize {
    tokio::runtime::Handle::current().metrics().num_alive_tasks()
}
