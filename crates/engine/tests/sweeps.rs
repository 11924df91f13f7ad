//! Old values that are still being swept from the shards that stood in, when the next thing goes wrong; on virtual time.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod network;
mod world;

use std::time::Duration;

use rendis_core::placement::Spec;
use rendis_engine::settings::Settings;
use tokio::time::{sleep, timeout};

use world::*;

#[tokio::test(start_paused = true)]
async fn a_stand_in_that_returns_while_its_shard_is_out_has_forgotten_what_was_being_swept() {
    let mut settings = settings();
    settings.deadlines.connect = Duration::from_secs(20);
    let world = World::start(&["a", "b", "c", "d", "e"], Spec::go_redis(), settings).await;
    let key = world.key_on_and_then("a", "c").await;
    world.freeze("a").await;
    world.set(&key, "old").await;
    world.host("c").ignore(true);
    world.thaw("a").await;
    world.set(&key, "new").await;
    sleep(millis(10)).await;
    // c is cut off for a moment, and a dies before it is back.
    world.host("c").end_lines(true);
    world.until("c", false).await;
    world.host("a").kill(true);
    world.until("a", false).await;
    world.host("c").ignore(false);
    world.until("c", true).await;
    assert_eq!(world.home(&key), "c");
    assert_ne!(world.get(&key).await.as_deref(), Some("old"));
}

#[tokio::test(start_paused = true)]
async fn each_attempt_to_hand_keys_over_waits_for_late_writes() {
    let world = World::start(&["a", "b", "c"], Spec::go_redis(), settings()).await;
    let mut keys = world.keys_on("a", 20);
    world.freeze("a").await;
    keys.retain(|key| world.home(key) == "b");
    let key = keys.remove(0);
    world.host("b").hold(Some("SET"));
    let late = ask(&world.engine.allowing(millis(20)), &["SET", &key, "old"]).await;
    assert!(late.is_err());
    world.thaw("a").await;
    world.set(&key, "new").await;
    world.host("a").kill(true);
    world.until("a", false).await;
    // The first attempt could not; the next ones cannot either.
    let _ = timeout(Duration::from_secs(3), world.until_one_is_out()).await;
    world.host("b").hold(None);
    sleep(millis(10)).await;
    for _ in 0..3000 {
        let value = world.ask(&["GET", &key]).await;
        assert!(!matches!(&value, Ok(Some(old)) if old == "old"), "on {}", world.home(&key));
        sleep(millis(1)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn who_has_to_forget_when_another_returns_waits_for_late_writes() {
    let world = World::start(&["a", "b", "c", "d"], modula(), settings()).await;
    let on_a = world.keys_on("a", 200);
    world.freeze("c").await;
    let key = on_a.into_iter().find(|key| world.home(key) == "b").unwrap();
    world.thaw("c").await;
    sleep(Duration::from_secs(10)).await;
    assert_eq!(world.home(&key), "a");
    world.host("a").hold(Some("SET"));
    let late = ask(&world.engine.allowing(millis(20)), &["SET", &key, "old"]).await;
    assert!(late.is_err());
    world.freeze("c").await;
    assert_eq!(world.home(&key), "b");
    world.set(&key, "new").await;
    world.thaw("c").await;
    assert_eq!(world.home(&key), "a");
    world.host("a").hold(None);
    sleep(millis(10)).await;
    assert_ne!(world.get(&key).await.as_deref(), Some("old"));
}

#[tokio::test(start_paused = true)]
async fn what_is_entered_for_many_shards_counts_once() {
    let names = ["a", "b", "c", "d", "e", "f", "g", "h"];
    let world = World::start(&names, Spec::go_redis(), settings()).await;
    let long = "k".repeat(300 << 10);
    let keys: Vec<String> =
        (0..).map(|n| format!("{n}{long}")).filter(|key| world.home(key) == "a").take(40).collect();
    world.freeze("a").await;
    for key in &keys {
        world.set(key, "old").await;
    }
    // Nobody takes connections for a moment: what is to be swept is entered.
    names[1..].iter().for_each(|name| world.host(name).ignore(true));
    world.thaw("a").await;
    for key in &keys {
        world.set(key, "new").await;
    }
    sleep(Duration::from_secs(5)).await;
    names[1..].iter().for_each(|name| world.host(name).ignore(false));
    world.host("a").kill(true);
    world.until("a", false).await;
    sleep(Duration::from_secs(5)).await;
    let mut old = 0;
    for key in &keys {
        old += usize::from(world.ask(&["GET", key]).await.unwrap_or_default().as_deref() == Some("old"));
    }
    assert_eq!(old, 0);
}

#[tokio::test(start_paused = true)]
async fn what_was_written_to_a_shard_that_was_back_is_there_when_it_is_back_again() {
    // By default it takes longer to find a shard down than to find that it does not answer what is swept from it.
    for (settings, before, away) in [
        (settings(), 5_000, 3_000),
        (settings(), 0, 1_000),
        (settings(), 0, 3_000),
        (Settings::default(), 1_500, 5_000),
    ] {
        let world = World::start(&["a", "b", "c"], Spec::go_redis(), settings).await;
        let key = world.keys_on("a", 1).remove(0);
        world.freeze("a").await;
        world.set(&key, "elsewhere").await;
        world.thaw("a").await;
        sleep(millis(100)).await;
        world.set(&key, "new").await;
        sleep(millis(before)).await;
        world.freeze("a").await;
        sleep(millis(away)).await;
        world.thaw("a").await;
        assert_eq!(world.get(&key).await.as_deref(), Some("new"), "{before} {away}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_sweep_deletes_nothing_that_was_written_after_a_late_handover() {
    let mut settings = settings();
    settings.deadlines.connect = millis(200);
    settings.deadlines.reply = Duration::from_secs(3);
    let world = World::start(&["a", "b", "c", "d", "e"], Spec::go_redis(), settings).await;
    let (key, other) = (world.key_on_and_then("a", "b").await, world.key_on_and_then("a", "c").await);
    world.freeze("a").await;
    world.set(&key, "old").await;
    world.set(&other, "old").await;
    world.host("c").ignore(true);
    world.thaw("a").await;
    // The second sweep is after 4.2 s.
    sleep(millis(3_500)).await;
    world.host("a").kill(true);
    sleep(millis(500)).await;
    assert!(!world.serves("a") && world.ask(&["GET", &key]).await.is_err());
    world.host("b").hold(Some("UNLINK"));
    sleep(millis(300)).await;
    world.host("c").ignore(false);
    let _ = timeout(Duration::from_secs(2), world.until_one_is_out()).await;
    let written = world.ask(&["SET", &key, "newest"]).await.is_ok();
    world.host("b").hold(None);
    sleep(millis(100)).await;
    if written {
        assert_eq!(world.get(&key).await.as_deref(), Some("newest"));
    }
    sleep(Duration::from_secs(5)).await;
    world.set(&key, "newest").await;
    assert_eq!(world.home(&key), "b");
}
