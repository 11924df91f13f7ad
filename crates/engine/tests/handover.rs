//! The keys of a shard that leaves are others' when those have forgotten what they hold of them; on virtual time where no
//! server decides.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod network;
mod world;

use std::time::Duration;

use rendis_core::placement::Spec;
use rendis_core::session::Sent;
use rendis_engine::error::Kind;
use rendis_engine::events::Event;
use rendis_engine::settings::{OnDown, Settings, ShardSettings};
use rendis_testkit::Cluster;
use rendis_testkit::sim::{Dice, Host};
use tokio::time::{Instant, sleep, timeout};

use world::*;

#[tokio::test(start_paused = true)]
async fn the_keys_of_a_shard_fail_as_long_as_who_would_own_them_cannot_forget() {
    let (world, key) = ring_with_old_value().await;
    let of_b = world.keys_on("b", 1).remove(0);
    world.set(&key, "new").await;
    world.freeze("a").await;
    sleep(Duration::from_secs(2)).await;
    // Nobody else notices.
    assert!(world.serves("b"));
    world.set(&of_b, "value").await;
    let error = world.ask(&["GET", &key]).await.unwrap_err();
    assert_eq!((error.kind(), error.sent()), (Kind::ShardDown, Sent::No));
    world.host("b").ignore(false);
    sleep(Duration::from_secs(1)).await;
    assert_eq!((world.home(&key).as_str(), world.get(&key).await), ("b", None));
    assert_eq!(world.get(&of_b).await.as_deref(), Some("value"));
}

#[tokio::test(start_paused = true)]
async fn keys_are_handed_over_though_the_settings_change_meanwhile() {
    let (world, key) = ring_with_old_value().await;
    let mut settings = world.settings.clone();
    world.set(&key, "new").await;
    world.freeze("a").await;
    sleep(Duration::from_secs(2)).await;
    settings.deadlines.reply += millis(1);
    world.reconfigure(settings);
    world.host("b").ignore(false);
    sleep(Duration::from_secs(2)).await;
    assert_eq!((world.home(&key).as_str(), world.get(&key).await), ("b", None));
}

#[tokio::test]
async fn a_stand_in_that_refuses_to_delete_has_not_forgotten() {
    let servers = Cluster::start(3);
    let names = ["a", "b", "c"].into_iter().zip(servers.urls());
    let shards = names.map(|(name, url)| ShardSettings::new(name, &url).unwrap()).collect();
    let world = World::of(vec![], shards, Spec::go_redis(), settings()).await;
    let mut keys = world.keys_on("a", 60);
    servers[0].stop();
    world.until("a", false).await;
    keys.retain(|key| world.home(key) == "b");
    let key = keys.remove(0);
    world.set(&key, "old").await;
    servers[1].command(&["CONFIG", "SET", "min-replicas-to-write", "1"]);
    servers[0].cont();
    world.until("a", true).await;
    world.set(&key, "new").await;
    servers[0].stop();
    world.until("a", false).await;
    assert_eq!(world.ask(&["GET", &key]).await.unwrap_err().kind(), Kind::ShardDown);
    servers[1].command(&["CONFIG", "SET", "min-replicas-to-write", "0"]);
    let again = async {
        while world.engine.shard_for(key.as_bytes()).is_err() {
            sleep(millis(5)).await;
        }
    };
    timeout(Duration::from_secs(10), again).await.unwrap();
    assert_eq!((world.home(&key).as_str(), world.get(&key).await), ("b", None));
}

#[tokio::test(start_paused = true)]
async fn a_deletion_from_before_a_fall_deletes_nothing_that_was_written_after_it() {
    let mut settings = settings();
    settings.health.deadline = millis(400);
    let mut written = 0;
    for seed in 0..150 {
        let names = ["a", "b", "c"];
        let hosts = names.map(|name| Host::new(name, &Dice::of_seed(seed)));
        hosts.iter().for_each(|host| host.delay(0..=0));
        let shards = network::shards(&hosts);
        let world = World::of(hosts.to_vec(), shards, Spec::go_redis(), settings.clone()).await;
        let mut keys = world.keys_on("a", 60);
        world.freeze("a").await;
        keys.retain(|key| world.home(key) == "b");
        let key = keys.remove(0);
        world.set(&key, "old").await;
        world.host("b").delay(0..=100);
        world.thaw("a").await;
        sleep(millis(seed % 30)).await;
        world.host("a").kill(true);
        world.until("a", false).await;
        if world.ask(&["SET", &key, "new"]).await.is_err() {
            continue;
        }
        written += 1;
        for _ in 0..50 {
            if let Ok(value) = world.ask(&["GET", &key]).await {
                assert_eq!(value.as_deref(), Some("new"), "seed {seed}");
            }
        }
    }
    assert!(written > 50, "{written}");
}

#[tokio::test(start_paused = true)]
async fn a_shard_that_is_out_and_loads_costs_the_others_nothing() {
    let modula = Spec::parse("twemproxy", [("distribution".to_owned(), "modula".into())]).unwrap();
    let world = World::start(&["a", "b", "c", "d"], modula, settings()).await;
    world.host("a").kill(true);
    world.until("a", false).await;
    for number in 0..20_000 {
        world.set(&format!("key{number}"), "value").await;
    }
    ["b", "c", "d"].iter().for_each(|name| world.host(name).delay(10..=20));
    world.host("a").load(true);
    world.host("a").start(true);
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(3) {
        for number in 0..10 {
            let (get, set) = (format!("key{number}"), format!("key{}", number + 10));
            assert!(world.get(&get).await.is_some());
            world.set(&set, "value").await;
        }
    }
    assert!(["b", "c", "d"].iter().all(|name| world.serves(name)));
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_who_has_nothing_to_forget_of_a_shard_that_falls() {
    let mut settings = settings();
    settings.deadlines.connect = millis(200);
    let world = World::start(&["a", "b", "c", "d"], Spec::go_redis(), settings).await;
    // It cannot forget what it holds of a, which serves.
    let _ = with_old_value_on_b(&world).await;
    let of_c = world.keys_on("c", 20);
    world.freeze("c").await;
    assert!(world.serves("b"));
    for key in &of_c {
        world.set(key, "value").await;
    }
}

#[tokio::test(start_paused = true)]
async fn of_two_shards_that_fall_at_once_each_waits_for_what_its_stand_in_has_to_forget() {
    for between in [0, 20, 60, 140] {
        let mut settings = settings();
        settings.deadlines.connect = millis(200);
        let world = World::start(&["a", "b", "c", "d", "e"], Spec::go_redis(), settings).await;
        let key = with_old_value_on_b(&world).await;
        world.host("b").ignore(false);
        world.set(&key, "new").await;
        // Its deletion from b is held up.
        world.host("b").hold(Some("UNLINK"));
        let b = world.host("b").clone();
        tokio::spawn(async move {
            sleep(millis(200)).await;
            b.hold(None);
        });
        world.host("c").kill(true);
        sleep(millis(between)).await;
        world.host("a").kill(true);
        let killed = Instant::now();
        while killed.elapsed() < Duration::from_secs(2) {
            let value = world.ask(&["GET", &key]).await;
            assert!(!matches!(&value, Ok(Some(old)) if old == "old"), "{between} ms between them");
            sleep(millis(1)).await;
        }
        assert_eq!(world.get(&key).await, None);
    }
}

#[tokio::test(start_paused = true)]
async fn what_could_not_be_swept_is_forgotten_before_it_stands_in_again() {
    let mut settings = settings();
    settings.deadlines.connect = millis(200);
    let world = World::start(&["a", "b", "c"], Spec::go_redis(), settings).await;
    let key = with_old_value_on_b(&world).await;
    world.host("b").ignore(false);
    world.set(&key, "new").await;
    world.freeze("a").await;
    assert_eq!(world.get(&key).await, None);
}

#[tokio::test(start_paused = true)]
async fn keys_are_handed_over_though_the_shard_begins_to_load_meanwhile() {
    let (world, key) = ring_with_old_value().await;
    world.set(&key, "new").await;
    world.freeze("a").await;
    sleep(Duration::from_secs(1)).await;
    assert!(world.ask(&["GET", &key]).await.is_err());
    world.host("a").load(true);
    world.host("a").stop(false);
    sleep(Duration::from_secs(2)).await;
    world.host("b").ignore(false);
    sleep(Duration::from_secs(2)).await;
    assert_eq!(world.get(&key).await, None);
}

#[tokio::test(start_paused = true)]
async fn keys_are_handed_over_before_a_dead_shard_with_another_name_to_servers_is_out() {
    let (world, key) = ring_with_old_value().await;
    world.set(&key, "new").await;
    world.freeze("a").await;
    let of_c = world.keys_on("c", 1).remove(0);
    world.freeze("c").await;
    world.set(&of_c, "elsewhere").await;
    world.thaw("c").await;
    sleep(Duration::from_secs(5)).await;
    world.reconnect("a");
    assert_eq!(world.ask(&["GET", &key]).await.unwrap_err().kind(), Kind::ShardDown);
}

#[tokio::test(start_paused = true)]
async fn a_reload_during_a_fall_leaves_nobody_counted_as_out() {
    let world = World::start(&["a", "b", "c"], Spec::go_redis(), with_rests()).await;
    let key = world.keys_on("c", 1).remove(0);
    world.freeze("c").await;
    world.set(&key, "elsewhere").await;
    world.thaw("c").await;
    world.host("b").hold(Some("UNLINK"));
    world.host("c").stop(true);
    // It fell, and its keys are being handed over.
    sleep(millis(300)).await;
    assert!(world.serves("c"));
    let mut next = world.settings.clone();
    next.health.votes.interval += millis(1);
    next.health.votes.longest_interval += millis(1);
    world.host("c").stop(false);
    world.reconfigure(next);
    sleep(millis(100)).await;
    world.host("b").hold(None);
    sleep(Duration::from_secs(10)).await;
    assert!(["a", "b", "c"].iter().all(|name| world.serves(name)));
    // Of three one may rest, as before.
    world.host("a").answer_after(millis(10));
    let mut events = world.engine.events();
    let _ = timeout(Duration::from_secs(5), world.load(["a", "b"])).await;
    let told = timeout(millis(1), events.next()).await;
    assert!(matches!(&told, Ok(Some(Event::Slow(_)))), "{told:?}");
}

#[tokio::test(start_paused = true)]
async fn writes_go_on_while_keys_cannot_be_handed_over() {
    let world = World::start(&["a", "b", "c", "d", "e"], modula(), settings()).await;
    let hurried = world.engine.allowing(millis(100));
    world.freeze("e").await;
    for number in 0..20 {
        world.set(&format!("key{number}"), "value").await;
    }
    let of_b = world.keys_on("b", 10);
    world.host("c").hold(Some("UNLINK"));
    world.host("a").kill(true);
    sleep(Duration::from_secs(2)).await;
    let until = Instant::now() + Duration::from_secs(5);
    while Instant::now() < until {
        for key in &of_b {
            ask(&hurried, &["SET", key, "value"]).await.unwrap();
            sleep(millis(5)).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_shard_that_returns_during_a_handover_is_asked_too() {
    let world = World::start(&["c", "a", "b", "d", "e"], modula(), settings()).await;
    let keys = spread_keys();
    world.freeze("b").await;
    for key in &keys {
        world.set(key, "old").await;
    }
    world.freeze("a").await;
    world.thaw("a").await;
    sleep(millis(100)).await;
    // Within what the sweep takes it falls again, and who would own its keys takes a while.
    world.host("d").hold(Some("UNLINK"));
    world.host("a").kill(true);
    sleep(millis(150)).await;
    world.host("b").stop(false);
    sleep(millis(80)).await;
    let mut written = Vec::new();
    for key in
        keys.iter().filter(|key| world.engine.shard_for(key.as_bytes()).is_ok_and(|home| home.name() != "a"))
    {
        if ask(&world.engine.allowing(millis(5)), &["SET", key, "new"]).await.is_ok() {
            written.push(key);
        }
    }
    assert!(written.len() > 50, "{}", written.len());
    world.host("d").hold(None);
    world.until("a", false).await;
    for wait in [10, 10_000] {
        sleep(millis(wait)).await;
        for key in &written {
            assert_ne!(world.ask(&["GET", key]).await.unwrap_or_default().as_deref(), Some("old"));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_shard_that_is_out_stays_out_when_the_settings_would_have_its_keys_fail() {
    let world = World::start(&["a", "b", "c", "d"], modula(), settings()).await;
    let keys = spread_keys();
    world.host("a").kill(true);
    world.until("a", false).await;
    for key in &keys {
        world.set(key, "1").await;
    }
    world.reconfigure(Settings { on_down: OnDown::Fail, ..world.settings.clone() });
    sleep(millis(500)).await;
    let mut written = Vec::new();
    for key in &keys {
        if world.ask(&["SET", key, "2"]).await.is_ok() {
            written.push(key);
        }
    }
    world.reconfigure(world.settings.clone());
    for _ in 0..2 {
        for key in &written {
            assert_ne!(world.ask(&["GET", key]).await.unwrap_or_default().as_deref(), Some("1"));
        }
        sleep(Duration::from_secs(3)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_heir_that_is_leaving_itself_serves_nothing_that_it_did_not_forget() {
    let mut settings = settings();
    settings.deadlines.connect = millis(200);
    let world = World::start(&["a", "b", "c", "d", "e"], Spec::go_redis(), settings).await;
    let key = world.key_on_and_then("a", "c").await;
    let of_c = world.key_on_and_then("c", "d").await;
    // d owes a key of c.
    world.freeze("c").await;
    world.set(&of_c, "elsewhere").await;
    world.host("d").ignore(true);
    world.thaw("c").await;
    sleep(Duration::from_secs(5)).await;
    world.host("d").ignore(false);
    // c owes a key of a.
    world.freeze("a").await;
    world.set(&key, "old").await;
    world.host("c").ignore(true);
    world.thaw("a").await;
    sleep(Duration::from_secs(5)).await;
    world.set(&key, "new").await;
    world.host("c").ignore(false);
    world.host("d").ignore(true);
    // c hangs for a moment, and its keys are being handed over; meanwhile a dies.
    world.host("c").stop(true);
    sleep(millis(100)).await;
    world.host("a").kill(true);
    sleep(millis(50)).await;
    assert!(world.serves("c"));
    world.host("c").stop(false);
    assert_ne!(world.ask(&["GET", &key]).await.unwrap_or_default().as_deref(), Some("old"));
}

/// A ring in which b holds an old value of a key of a, which serves, and cannot delete it: it takes no new connections.
async fn ring_with_old_value() -> (World, String) {
    let mut settings = settings();
    settings.deadlines.connect = millis(200);
    let world = World::start(&["a", "b", "c", "d"], Spec::go_redis(), settings).await;
    let key = with_old_value_on_b(&world).await;
    (world, key)
}
