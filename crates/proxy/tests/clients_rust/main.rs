//! The `redis` crate, through its own public interface and in all its kinds of connections, meets one server.
//!
//! Each kind does the same in both protocols: it starts as it always does, uses values of several types, pipelines,
//! transactions, scripts and iterations, listens, waits, and outlives a shard.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod asynchronous;
#[path = "../ring/mod.rs"]
mod ring;
mod single;

use std::time::Duration;

use rendis_proxy::serve::Proxy;
use rendis_testkit::Cluster;

use crate::ring::{address, config, ring};

const RESP2: &str = "?protocol=resp2";
const RESP3: &str = "?protocol=resp3";

const CHANNELS: [&str; 3] = ["news", "sport", "weather"];

/// How long anything may take.
const LIMIT: Duration = Duration::from_secs(20);

/// A ring over three servers.
struct Stage {
    proxy: Proxy,
    shards: Cluster,
}

impl Stage {
    fn start() -> Self {
        let shards = Cluster::start(3);
        let fields = "heartbeat_frequency = \"50ms\"\ndeadlines = { reply = \"5s\" }";
        let proxy = Proxy::start(&config(&ring("cache", fields, &shards.urls()))).unwrap();
        Self { proxy, shards }
    }

    fn client(&self, protocol: &str) -> redis::Client {
        redis::Client::open(format!("redis://{}/{protocol}", address(&self.proxy, "cache"))).unwrap()
    }

    /// Whether somebody waits in a blocking command.
    fn somebody_waits(&self) -> bool {
        self.shards
            .iter()
            .any(|shard| !shard.command(&["INFO", "clients"]).text().contains("blocked_clients:0"))
    }
}

/// What the proxy says of a client that has introduced itself.
fn introduced(client_info: &str, protocol: &str) {
    let resp = if protocol == RESP3 { " resp=3 " } else { " resp=2 " };
    assert!(client_info.contains(" lib-name=redis-rs ") && client_info.contains(resp), "{client_info}");
}
