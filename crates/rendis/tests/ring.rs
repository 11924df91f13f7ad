//! What a `Ring` promises, against real servers.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::collections::HashMap;

use redis::AsyncCommands;
use rendis::{Kind, Ring};
use rendis_testkit::Cluster;

async fn ring(cluster: &Cluster) -> Ring {
    let shards = cluster.urls().into_iter().enumerate().map(|(at, url)| (format!("shard{}", at + 1), url));
    Ring::builder().shards(shards).build().await.unwrap()
}

#[tokio::test]
async fn typed_commands_reach_the_shard_of_their_key() {
    let cluster = Cluster::start(3);
    let mut ring = ring(&cluster).await;
    for number in 0..300 {
        ring.set::<_, _, ()>(format!("key{number}"), number).await.unwrap();
    }
    let sizes = cluster.sizes();
    assert_eq!(sizes.iter().sum::<i64>(), 300);
    assert!(sizes.iter().all(|size| *size > 50), "{sizes:?}");
    for number in 0..300 {
        let key = format!("key{number}");
        let got: i64 = ring.get(&key).await.unwrap();
        assert_eq!(got, number);
        let home = ring.shard_for(&key).unwrap();
        let at: usize = home.name().trim_start_matches("shard").parse().unwrap();
        assert_eq!(cluster[at - 1].command(&["GET", &key]).text(), number.to_string());
    }
    let missing: Option<String> = ring.get("none").await.unwrap();
    assert_eq!(missing, None);
    ring.hset_multiple::<_, _, _, ()>("hash", &[("a", 1), ("b", 2)]).await.unwrap();
    let hash: HashMap<String, i64> = ring.hgetall("hash").await.unwrap();
    assert_eq!(hash, HashMap::from([("a".into(), 1), ("b".into(), 2)]));
}

#[tokio::test]
async fn multi_key_commands_are_split_and_merged() {
    let cluster = Cluster::start(3);
    let mut ring = ring(&cluster).await;
    let keys: Vec<String> = (0..100).map(|number| format!("key{number}")).collect();
    let pairs: Vec<(String, usize)> = keys.iter().cloned().enumerate().map(|(n, key)| (key, n)).collect();
    ring.mset::<_, _, ()>(&pairs).await.unwrap();
    let values: Vec<Option<usize>> = ring.mget(&keys).await.unwrap();
    assert_eq!(values, (0..100).map(Some).collect::<Vec<_>>());
    let count: i64 = ring.exists(&keys).await.unwrap();
    assert_eq!(count, 100);
    let total: i64 = redis::cmd("DBSIZE").query_async(&mut ring).await.unwrap();
    assert_eq!(total, 100);
    let mut all: Vec<String> = ring.keys("key*").await.unwrap();
    all.sort();
    let mut expected = keys.clone();
    expected.sort();
    assert_eq!(all, expected);
    let deleted: i64 = ring.del(&keys[..60]).await.unwrap();
    assert_eq!(deleted, 60);
    let error = ring.rename::<_, _, ()>("key70", "key71").await.unwrap_err();
    assert_eq!(error.code(), Some("CROSSSLOT"), "{error}");
    redis::cmd("FLUSHALL").exec_async(&mut ring).await.unwrap();
    assert_eq!(cluster.sizes(), [0, 0, 0]);
}

#[tokio::test]
async fn a_scan_sees_every_key_of_every_shard_once() {
    let cluster = Cluster::start(3);
    let mut ring = ring(&cluster).await;
    let pairs: Vec<(String, usize)> = (0..2000).map(|number| (format!("key{number}"), number)).collect();
    ring.mset::<_, _, ()>(&pairs).await.unwrap();
    let mut seen = Vec::new();
    let mut scan = ring.scan_match::<_, String>("key1*").await.unwrap();
    while let Some(key) = scan.next_item().await {
        seen.push(key.unwrap());
    }
    drop(scan);
    seen.sort();
    let mut expected: Vec<String> =
        pairs.iter().map(|(key, _)| key.clone()).filter(|key| key.starts_with("key1")).collect();
    expected.sort();
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn a_pipeline_is_split_and_answered_in_order() {
    let cluster = Cluster::start(3);
    let mut ring = ring(&cluster).await;
    let mut pipe = redis::pipe();
    for number in 0..1000 {
        pipe.set(format!("key{number}"), number).ignore().get(format!("key{number}"));
    }
    let values: Vec<i64> = pipe.query_async(&mut ring).await.unwrap();
    assert_eq!(values, (0..1000).collect::<Vec<_>>());

    // Within one key the order holds, also around a command that is split.
    let (before, all, after): (i64, Vec<i64>, i64) = redis::pipe()
        .set("key1", 10)
        .ignore()
        .get("key1")
        .mget(&["key1", "key2", "key3"])
        .set("key1", 11)
        .ignore()
        .get("key1")
        .query_async(&mut ring)
        .await
        .unwrap();
    assert_eq!((before, all, after), (10, vec![10, 2, 3], 11));

    // Each command has its own result.
    let error = redis::pipe()
        .set("s", "text")
        .incr("s", 1)
        .get("key2")
        .query_async::<()>(&mut ring)
        .await
        .unwrap_err();
    assert!(error.to_string().contains("not an integer"), "{error}");
}

#[tokio::test]
async fn an_atomic_pipeline_runs_on_one_shard_or_is_refused() {
    let cluster = Cluster::start(3);
    let mut ring = ring(&cluster).await;
    let (one, two): (i64, i64) =
        redis::pipe().atomic().incr("{t}a", 1).incr("{t}b", 2).query_async(&mut ring).await.unwrap();
    assert_eq!((one, two), (1, 2));
    let error =
        redis::pipe().atomic().incr("key1", 1).incr("key2", 1).incr("key3", 1).exec_async(&mut ring).await;
    let error = error.unwrap_err();
    assert_eq!(error.code(), Some("CROSSSLOT"), "{error}");
    let exists: i64 = ring.exists(&["key1", "key2", "key3"]).await.unwrap();
    assert_eq!(exists, 0, "nothing was sent");
}

#[tokio::test]
async fn a_blocking_command_holds_up_nobody() {
    let cluster = Cluster::start(3);
    let ring = ring(&cluster).await;
    let mut waiting = ring.clone();
    let waiter = tokio::spawn(async move { waiting.blpop::<_, (String, String)>("list", 5.0).await });
    let mut other = ring.clone();
    for _ in 0..100 {
        other.set::<_, _, ()>("{list}x", 1).await.unwrap();
    }
    other.rpush::<_, _, ()>("list", "item").await.unwrap();
    assert_eq!(waiter.await.unwrap().unwrap(), ("list".to_owned(), "item".to_owned()));
}

#[tokio::test]
async fn for_each_shard_visits_all_and_reports_the_first_error() {
    let cluster = Cluster::start(3);
    let ring = ring(&cluster).await;
    ring.for_each_shard(async |shard| shard.ping().await).await.unwrap();
    ring.for_each_shard(async |mut shard| shard.set::<_, _, ()>("same", shard.name().to_owned()).await)
        .await
        .unwrap();
    assert_eq!(cluster.sizes(), [1, 1, 1]);
    let error = ring.for_each_shard(async |mut shard| shard.incr::<_, _, ()>("same", 1).await).await;
    assert!(error.is_err());
}

#[tokio::test]
async fn settings_that_cannot_be_used_are_told_at_once() {
    for (builder, words) in [
        (Ring::builder(), "no shard"),
        (Ring::builder().shard("", "redis://localhost"), "empty name"),
        (
            Ring::builder().shard("a", "redis://localhost").shard("a", "redis://localhost:1"),
            "two shards are named",
        ),
        (Ring::builder().shard("a", "http://localhost"), "scheme"),
    ] {
        let error = builder.build().await.unwrap_err();
        assert_eq!(error.kind(), Kind::Config);
        assert!(error.to_string().contains(words), "{error}");
    }
}

#[tokio::test]
async fn admin_commands_are_refused_by_name_unless_they_are_allowed() {
    let cluster = Cluster::start(2);
    let mut plain = ring(&cluster).await;
    let error = redis::cmd("BGREWRITEAOF").exec_async(&mut plain).await.unwrap_err();
    let own = rendis::Error::of(&error).expect("an error of this crate");
    assert_eq!(own.kind(), Kind::Refused);
    assert!(own.to_string().starts_with("BGREWRITEAOF is refused"), "{own}");
    let shards = cluster.urls().into_iter().enumerate().map(|(at, url)| (format!("shard{at}"), url));
    let mut allowing =
        Ring::builder().shards(shards).allow(["CONFIG REWRITE", "SAVE"]).build().await.unwrap();
    redis::cmd("SAVE").exec_async(&mut allowing).await.unwrap();
    let error = Ring::builder().shard("a", "redis://localhost").allow(["MONITOR"]).build().await.unwrap_err();
    assert_eq!(error.kind(), Kind::Config, "{error}");
    let time: (i64, i64) = redis::cmd("TIME").query_async(&mut plain).await.unwrap();
    assert!(time.0 > 0);
}
