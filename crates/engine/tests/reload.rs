//! Rings that are changed while a shard is away, or has just fallen.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod network;
mod world;

use std::time::Duration;

use rendis_core::placement::Spec;
use tokio::time::sleep;

use world::*;

#[tokio::test(start_paused = true)]
async fn a_reload_takes_out_nobody_who_serves() {
    let mut settings = settings();
    settings.deadlines.connect = millis(200);
    let world = World::start(&["a", "b", "c", "d"], Spec::go_redis(), settings).await;
    let _ = with_old_value_on_b(&world).await;
    world.host("b").ignore(false);
    let of_b = world.keys_on("b", 1).remove(0);
    world.reconnect("b");
    assert!(world.serves("b"));
    world.set(&of_b, "value").await;
}

#[tokio::test(start_paused = true)]
async fn a_reload_does_not_put_back_a_dead_shard() {
    let world = World::start(&["a", "b", "c", "d"], Spec::go_redis(), settings()).await;
    let key = world.keys_on("a", 1).remove(0);
    world.host("a").kill(true);
    world.until("a", false).await;
    world.reconnect("a");
    assert_ne!(world.home(&key), "a");
}

#[tokio::test(start_paused = true)]
async fn a_shard_that_has_forgotten_and_did_not_return_is_not_new_after_a_reload() {
    let world = World::start(&["a", "b"], Spec::go_redis(), settings()).await;
    let key = world.keys_on("a", 1).remove(0);
    let (a, b) = (world.host("a"), world.host("b"));
    world.freeze("a").await;
    world.set(&key, "old").await;
    world.ask(&["FUNCTION", "LOAD", "#!lua name=l"]).await.unwrap();
    forgets_and_cannot_return(&world).await;
    // Its password is another now, say.
    world.reconnect("a");
    b.hold(None);
    world.until("a", true).await;
    world.set(&key, "new").await;
    sleep(Duration::from_secs(10)).await;
    assert_eq!(a.functions(), b.functions());
    world.freeze("a").await;
    assert_ne!(world.get(&key).await.as_deref(), Some("old"));
}

#[tokio::test(start_paused = true)]
async fn a_shard_that_was_removed_owes_nothing_when_it_is_added_again() {
    let mut settings = settings();
    settings.deadlines.connect = Duration::from_secs(20);
    let world = World::start(&["a", "b", "c"], Spec::go_redis(), settings).await;
    let of_b = world.keys_on("b", 1).remove(0);
    let key = world.key_on_and_then("a", "b").await;
    world.freeze("a").await;
    world.set(&key, "old").await;
    world.host("b").ignore(true);
    world.thaw("a").await;
    sleep(millis(10)).await;
    let without: Vec<_> = world.shards.iter().filter(|shard| shard.name != "b").cloned().collect();
    world.engine.set_shards(&without).unwrap();
    sleep(Duration::from_secs(60)).await;
    world.host("b").ignore(false);
    world.engine.set_shards(&world.shards).unwrap();
    world.set(&of_b, "value").await;
}
