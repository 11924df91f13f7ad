//! Deadlines.

use std::sync::OnceLock;
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use redis::AsyncCommands;
use rendis::{Kind, Ring, TlsSettings};
use rendis_testkit::{Answer, Cluster, FakeServer, RedisServer};

use crate::own;

#[tokio::test]
async fn a_call_that_is_dropped_before_it_is_written_holds_up_nobody() {
    let server = RedisServer::start();
    let ring = Ring::builder()
        .shard("only", server.url())
        .reply_timeout(Duration::from_secs(30))
        .build()
        .await
        .unwrap();
    let mut caller = ring.clone();
    caller.set::<_, _, ()>("key", 1).await.unwrap();
    for _ in 0..20 {
        let mut dropped = ring.clone();
        let mut call = Box::pin(dropped.get::<_, Option<i64>>("key"));
        let _ = call.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        drop(call);
        tokio::time::sleep(Duration::from_millis(1)).await;
        let started = Instant::now();
        let _: i64 = caller.get("key").await.unwrap();
        assert!(started.elapsed() < Duration::from_millis(500), "{:?}", started.elapsed());
    }
}

#[tokio::test]
async fn the_write_deadline_holds_over_tls_too() {
    let server = RedisServer::builder().tls().start();
    let ca = std::fs::read(server.certificates().unwrap().ca()).unwrap();
    let ring = Ring::builder()
        .shard("only", server.url())
        .each_shard(move |_, shard| {
            shard.tls = Some(TlsSettings { ca: ca.clone(), ..TlsSettings::default() })
        })
        .write_timeout(Duration::from_millis(200))
        .reply_timeout(Duration::from_secs(20))
        .build()
        .await
        .unwrap();
    let value = "x".repeat(32 << 20);
    let calm = ring.clone().set::<_, _, ()>("key", &value).await;
    calm.unwrap();
    // On a connection of its own, and on the shared wire.
    let started = Instant::now();
    let alone = ring
        .watch("key", async |tx| {
            server.stop();
            tx.set::<_, _, ()>("key", &value).await
        })
        .await;
    assert_eq!(own(&alone.unwrap_err()).kind(), Kind::Timeout);
    let shared = ring.clone().set::<_, _, ()>("key", &value).await;
    assert_eq!(own(&shared.unwrap_err()).kind(), Kind::Timeout);
    assert!(started.elapsed() < Duration::from_secs(8), "{:?}", started.elapsed());
    server.cont();
}

#[tokio::test]
async fn a_call_with_time_left_outlives_a_connection_that_is_given_up() {
    // The connection of the first call is deaf from then on; those after it are in order.
    let deaf = OnceLock::new();
    let server = FakeServer::start(move |request| match Answer::handshake(request) {
        Some(answer) => answer,
        None if *deaf.get_or_init(|| request.connection) == request.connection => Answer::Silence,
        None => Answer::text("$4\r\nhere\r\n"),
    });
    let mut ring = Ring::builder()
        .shard("only", server.url())
        .reply_timeout(Duration::from_millis(400))
        .heartbeat_frequency(Duration::from_secs(60))
        .build()
        .await
        .unwrap();
    let late = ring.get::<_, Option<String>>("k").await.unwrap_err();
    assert_eq!(own(&late).kind(), Kind::Timeout);
    // The connection is given up two deadlines after the first call was overdue: this one has most of its own left.
    tokio::time::sleep(Duration::from_millis(700)).await;
    assert_eq!(ring.get::<_, Option<String>>("k").await.unwrap().as_deref(), Some("here"));
}

/// A ring one of whose two shards cannot be connected to in time, which it does not know yet.
async fn half_silent(server: &RedisServer, silent: &FakeServer) -> Ring {
    Ring::builder()
        .shards([("here", server.url()), ("silent", silent.url())])
        .connect_timeout(Duration::from_millis(100))
        .reply_timeout(Duration::from_secs(5))
        .heartbeat_frequency(Duration::from_millis(50))
        .build()
        .await
        .unwrap()
}

#[tokio::test]
async fn a_call_whose_shard_cannot_be_reached_in_time_waits_to_be_placed_anew() {
    let (server, silent) = (RedisServer::start(), FakeServer::never_accepts());
    let ring = half_silent(&server, &silent).await;
    let calls = (0..20).map(|key| {
        let mut ring = ring.clone();
        async move { ring.set::<_, _, ()>(key, "value").await }
    });
    for call in futures_util::future::join_all(calls).await {
        call.unwrap();
    }
    assert_eq!(ring.len(), 1);
}

#[tokio::test]
async fn so_does_what_a_pipeline_and_the_parts_of_a_command_have_for_it() {
    let (server, silent) = (RedisServer::start(), FakeServer::never_accepts());
    let items: Vec<(u32, &str)> = (0..20).map(|key| (key, "value")).collect();
    let mut ring = half_silent(&server, &silent).await;
    ring.mset::<_, _, ()>(&items).await.unwrap();
    assert_eq!(ring.len(), 1);
    let mut ring = half_silent(&server, &silent).await;
    let mut pipe = redis::pipe();
    items.iter().for_each(|(key, value)| {
        pipe.set(key, value);
    });
    let set: Vec<String> = pipe.query_async(&mut ring).await.unwrap();
    assert_eq!(set, vec!["OK"; 20]);
    assert_eq!(ring.len(), 1);
    let mut ring = half_silent(&server, &silent).await;
    let keys: Vec<u32> = items.iter().map(|(key, _)| *key).collect();
    assert_eq!(ring.mget::<_, Vec<String>>(keys).await.unwrap(), vec!["value"; 20]);
    assert_eq!(ring.len(), 1);
}

#[tokio::test]
async fn a_deadline_of_ones_own_holds_for_a_ping_too() {
    let cluster = Cluster::start(3);
    let shards = cluster.urls().into_iter().enumerate().map(|(at, url)| (format!("shard{at}"), url));
    let ring = Ring::builder()
        .shards(shards)
        .heartbeat_frequency(Duration::from_secs(60))
        .reply_timeout(Duration::from_secs(5))
        .build()
        .await
        .unwrap();
    let mut hurried = ring.with_deadline(Duration::from_millis(300));
    let said: String = redis::cmd("PING").arg("well?").query_async(&mut hurried).await.unwrap();
    assert_eq!(said, "well?");
    cluster[1].stop();
    let started = Instant::now();
    let error = redis::cmd("PING").exec_async(&mut hurried).await.unwrap_err();
    let took = started.elapsed();
    cluster[1].cont();
    assert!(took < Duration::from_secs(2), "{took:?}");
    let error = own(&error);
    assert_eq!((error.kind(), error.shard(), error.command()), (Kind::Timeout, Some("shard1"), Some("PING")));
}

#[tokio::test]
async fn a_call_that_is_allowed_long_outlives_what_is_asked_behind_it() {
    let server = FakeServer::start(|request| match Answer::handshake(request) {
        Some(answer) => answer,
        None if request.arguments.get(1).is_some_and(|key| key == b"slow") => {
            let bytes = b"$4\r\ndone\r\n".to_vec();
            Answer::Drip { size: bytes.len(), bytes, pause: Duration::from_millis(1500) }
        }
        None => Answer::text("$5\r\nquick\r\n"),
    });
    let mut ring = Ring::builder()
        .shard("only", server.url())
        .reply_timeout(Duration::from_millis(300))
        .heartbeat_frequency(Duration::from_secs(60))
        .build()
        .await
        .unwrap();
    // After a second a wire asks whether its replies are in step, together with what is written then.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let patient = ring.with_deadline(Duration::from_secs(30)).get_del::<_, String>("slow").await;
    assert_eq!(patient.unwrap(), "done");
    assert_eq!(ring.get::<_, String>("k").await.unwrap(), "quick");
}
