//! How many requests share a write, on virtual time.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod network;

use std::time::Duration;

use futures_util::future::join_all;
use rendis_core::request::RequestBuf;
use rendis_engine::engine::{Engine, EngineConfig};
use rendis_engine::settings::Settings;
use rendis_testkit::sim::{Dice, Host};
use tokio::task::yield_now;

/// How many writes it takes when so many callers come, each of whom is ready one look at events after the one before.
async fn writes(linger: bool, callers: usize) -> u64 {
    let host = Host::new("only", &Dice::of_seed(1));
    let settings = Settings { linger, ..Settings::default() };
    let shards = network::shards(std::slice::from_ref(&host));
    let engine = Engine::start(EngineConfig { shards, settings, ..EngineConfig::default() }).await.unwrap();
    host.answer_after(Duration::from_millis(20));
    let stats = || engine.topology().members()[0].shard.wire_stats().writes;
    let get = RequestBuf::pack([&b"GET"[..], b"key"]);
    let call = async |number: usize| {
        for _ in 0..number {
            yield_now().await;
        }
        engine.run(&get).await.unwrap();
    };
    let before = stats();
    join_all((0..callers).map(call)).await;
    // What is known of writes is told with the next.
    engine.run(&get).await.unwrap();
    stats() - before
}

#[tokio::test(start_paused = true)]
async fn a_wire_in_use_that_lingers_takes_in_who_is_about_to_come() {
    let (prompt, lingering) = (writes(false, 20).await, writes(true, 20).await);
    assert!(lingering * 2 < prompt, "{lingering} writes, and {prompt} without");
    // Nobody waits for others where hardly anybody is there.
    assert_eq!(writes(true, 3).await, writes(false, 3).await);
}
