//! What a ring makes of servers that live and cannot serve: full, busy, locked.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::{Duration, Instant};

use redis::AsyncCommands;
use rendis::{Error, Event, Kind, Ring, Sent, ShardSettings};
use rendis_testkit::{Cluster, RedisServer, eventually};

/// Three servers in a ring that probes them often, and a key of the second.
async fn ring(cluster: &Cluster) -> (Ring, String) {
    let shards = cluster.urls().into_iter().enumerate().map(|(at, url)| (format!("shard{}", at + 1), url));
    let ring = Ring::builder().shards(shards).heartbeat_frequency(Duration::from_millis(50));
    let ring = ring.build().await.unwrap();
    let mut keys = (0..1000).map(|number| format!("key{number}"));
    let key = keys.find(|key| ring.shard_for(key).unwrap().name() == "shard2").unwrap();
    (ring, key)
}

#[tokio::test]
async fn a_full_server_stays_in_the_ring_and_its_refusals_are_passed_on() {
    let cluster = Cluster::start(3);
    let (mut ring, key) = ring(&cluster).await;
    let mut events = ring.events();
    ring.set::<_, _, ()>(&key, "value").await.unwrap();
    cluster[1].command(&["CONFIG", "SET", "maxmemory", "1"]);
    let until = Instant::now() + Duration::from_secs(1);
    while Instant::now() < until {
        let error = ring.set::<_, _, ()>(&key, "other").await.unwrap_err();
        assert_eq!(error.code(), Some("OOM"), "{error}");
        assert_eq!(ring.get::<_, String>(&key).await.unwrap(), "value");
    }
    cluster[1].command(&["CONFIG", "SET", "maxmemory", "0"]);
    ring.set::<_, _, ()>(&key, "other").await.unwrap();
    let told = tokio::time::timeout(Duration::ZERO, events.next()).await;
    assert!(told.is_err(), "{told:?}");
}

#[tokio::test]
async fn a_server_that_is_busy_with_a_script_stays_in_the_ring_and_says_so() {
    let cluster = Cluster::start_with(3, |_, server| server.setting("busy-reply-threshold", "20"));
    let (mut ring, key) = ring(&cluster).await;
    let mut events = ring.events();
    let mut other = cluster[1].client().unwrap();
    other.send(&["EVAL", "while true do end", "0"]).unwrap();
    let until = Instant::now() + Duration::from_secs(1);
    let mut busy = 0;
    while Instant::now() < until {
        busy += usize::from(
            ring.get::<_, Option<String>>(&key).await.is_err_and(|error| error.code() == Some("BUSY")),
        );
    }
    assert!(busy > 10, "{busy} calls were told");
    cluster[1].command(&["SCRIPT", "KILL"]);
    other.read().unwrap();
    ring.set::<_, _, ()>(&key, "value").await.unwrap();
    let told = tokio::time::timeout(Duration::ZERO, events.next()).await;
    assert!(told.is_err(), "{told:?}");
}

#[tokio::test]
async fn a_busy_server_is_not_served_from_in_another_database() {
    let server = RedisServer::builder().setting("busy-reply-threshold", "20").start();
    let mut other = server.client().unwrap();
    other.send(&["EVAL", "while true do end", "0"]).unwrap();
    let busy =
        || server.try_command(&["GET", "key"]).is_ok_and(|reply| format!("{reply:?}").contains("BUSY"));
    eventually("the server being busy", busy).await;
    // It greets, and cannot select the database now.
    let mut ring = Ring::builder().shard("only", format!("{}/3", server.url())).build().await.unwrap();
    let error = ring.set::<_, _, ()>("key", "value").await.unwrap_err();
    assert_eq!(error.code(), Some("BUSY"), "{error}");
    server.command(&["SCRIPT", "KILL"]);
    other.read().unwrap();
    let began = Instant::now();
    while let Err(error) = ring.set::<_, _, ()>("key", "value").await {
        assert!(began.elapsed() < Duration::from_secs(2), "{error}");
    }
    let mut client = server.client().unwrap();
    let mut has = |database: &str| {
        client.command(&["SELECT", database]).unwrap();
        client.command(&["EXISTS", "key"]).unwrap().integer()
    };
    assert_eq!((has("0"), has("3")), (0, 1));
}

#[tokio::test]
async fn a_command_that_no_shard_can_be_asked_about_is_not_called_unknown() {
    let server = RedisServer::builder().user("app", "on >word ~* +@all -command").start();
    let url = server.url_for("app", "word");
    let ring = Ring::builder().shard("only", url).build().await.unwrap();
    let ask = async || redis::cmd("JSON.SET").arg("key").exec_async(&mut ring.clone()).await.unwrap_err();
    let error = ask().await;
    assert_eq!(error.code(), Some("NOPERM"), "{error}");
    let mut piped = redis::pipe();
    piped.atomic().cmd("JSON.SET").arg("key");
    let error = piped.exec_async(&mut ring.clone()).await.unwrap_err();
    assert_eq!(error.code(), Some("NOPERM"), "{error}");
    server.kill();
    let error = ask().await;
    assert_eq!(Error::of(&error).map(Error::kind), Some(Kind::ShardDown), "{error}");
}

#[tokio::test]
async fn a_ring_is_changed_from_any_thread() {
    let cluster = Cluster::start(2);
    let mut ring = Ring::builder().shard("shard1", cluster[0].url()).build().await.unwrap();
    let (changed, url) = (ring.clone(), cluster[1].url());
    std::thread::spawn(move || changed.set_shards([ShardSettings::new("shard2", &url).unwrap()]).unwrap())
        .join()
        .unwrap();
    ring.set::<_, _, ()>("key", "value").await.unwrap();
    assert_eq!(cluster[1].command(&["EXISTS", "key"]).integer(), 1);
}

#[tokio::test]
async fn a_server_that_wants_another_password_leaves_and_comes_back_when_it_does_not() {
    let cluster = Cluster::start(3);
    let (mut ring, key) = ring(&cluster).await;
    let mut events = ring.events();
    ring.set::<_, _, ()>(&key, "value").await.unwrap();
    cluster[1].restart_with_password(Some("secret"));
    eventually("the locked shard leaving", || ring.len() == 2).await;
    let down = events.next().await.unwrap();
    assert!(matches!(&down, Event::Down { shard, .. } if shard.name == "shard2"), "{down}");
    assert!(down.to_string().contains("is down: NOAUTH"), "{down}");
    ring.set::<_, _, ()>(&key, "elsewhere").await.unwrap();
    cluster[1].restart_with_password(None);
    eventually("the shard coming back", || ring.len() == 3).await;
    assert_eq!(ring.get::<_, Option<String>>(&key).await.unwrap(), None, "it came back empty");
}

#[tokio::test]
async fn a_server_that_is_restarted_at_once_is_served_from_at_once() {
    let cluster = Cluster::start(3);
    let (mut ring, key) = ring(&cluster).await;
    ring.set::<_, _, ()>(&key, "value").await.unwrap();
    cluster[1].restart();
    let began = Instant::now();
    // Whether it was noticed or not: it listens, so it is not long until its keys are written there again.
    loop {
        let written = ring.set::<_, _, ()>(&key, "again").await;
        if written.is_ok() && cluster[1].command(&["EXISTS", &key]).integer() == 1 {
            break;
        }
        assert!(began.elapsed() < Duration::from_secs(2), "{written:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(ring.get::<_, String>(&key).await.unwrap(), "again");
}

#[tokio::test]
async fn calls_that_wait_for_a_server_are_served_when_it_is_restarted_before_anybody_notices() {
    let cluster = Cluster::start(3);
    let (_, key) = ring(&cluster).await;
    let shards = cluster.urls().into_iter().enumerate().map(|(at, url)| (format!("shard{}", at + 1), url));
    // Neither probes nor calls take it out in so short a time.
    let ring = Ring::builder().shards(shards).heartbeat_frequency(Duration::from_secs(60));
    let ring = ring.build().await.unwrap();
    ring.clone().set::<_, _, ()>(&key, "before").await.unwrap();
    cluster[1].kill();
    tokio::time::sleep(Duration::from_millis(20)).await;
    let calls = (0..3).map(|call| {
        let (mut ring, key) = (ring.clone(), format!("{{{key}}}{call}"));
        tokio::spawn(async move {
            let began = Instant::now();
            (ring.set::<_, _, ()>(&key, "value").await, began.elapsed())
        })
    });
    let calls: Vec<_> = calls.collect();
    tokio::time::sleep(Duration::from_millis(10)).await;
    cluster[1].restart();
    for call in calls {
        let (written, took) = call.await.unwrap();
        written.unwrap();
        assert!(took < Duration::from_millis(900), "{took:?}");
    }
}

#[tokio::test]
async fn a_lone_caller_of_a_server_that_died_is_soon_served_elsewhere() {
    let cluster = Cluster::start(3);
    let (_, key) = ring(&cluster).await;
    let shards = cluster.urls().into_iter().enumerate().map(|(at, url)| (format!("shard{}", at + 1), url));
    let shards: Vec<_> = shards.collect();
    // No probe helps.
    let builder = || Ring::builder().shards(shards.clone()).heartbeat_frequency(Duration::from_secs(60));
    let mut early = builder().build().await.unwrap();
    early.set::<_, _, ()>(&key, "before").await.unwrap();
    cluster[1].kill();
    let mut late = builder().build().await.unwrap();
    for (ring, when) in [(&mut early, "knew it alive"), (&mut late, "never knew it")] {
        let began = Instant::now();
        ring.set::<_, _, ()>(&key, "elsewhere").await.unwrap();
        let took = began.elapsed();
        assert!(took < Duration::from_millis(700), "a ring that {when}: {took:?}");
        assert_eq!(ring.get::<_, String>(&key).await.unwrap(), "elsewhere");
    }
}

#[tokio::test]
async fn who_waits_on_a_shard_that_dies_is_told_that_it_may_have_run() {
    let cluster = Cluster::start(3);
    let (ring, key) = ring(&cluster).await;
    let mut waiting = ring.clone();
    let popping = tokio::spawn(async move { waiting.blpop::<_, Option<(String, String)>>(key, 0.0).await });
    let blocked = || cluster[1].command(&["INFO", "clients"]).text().contains("blocked_clients:1");
    eventually("the client being blocked", blocked).await;
    cluster[1].kill();
    let error = tokio::time::timeout(Duration::from_secs(2), popping).await.unwrap().unwrap().unwrap_err();
    let error = Error::of(&error).unwrap();
    assert_eq!((error.kind(), error.sent(), error.shard()), (Kind::ShardDown, Sent::Maybe, Some("shard2")));
}
