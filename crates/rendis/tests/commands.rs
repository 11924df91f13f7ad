//! What the methods of `rendis::Commands` promise, against real servers, beside those of `redis::AsyncCommands`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use redis::AsyncCommands;
use rendis::{Answer, Commands, Error, Kind, OnDown, Ring};
use rendis_testkit::{Cluster, RedisServer};

async fn ring(cluster: &Cluster) -> Ring {
    let shards = cluster.urls().into_iter().enumerate().map(|(at, url)| (format!("shard{}", at + 1), url));
    Ring::builder().shards(shards).on_down(OnDown::Fail).build().await.unwrap()
}

fn own(error: &redis::RedisError) -> Error {
    Error::of(error).cloned().unwrap_or_else(|| panic!("not an error of this crate: {error}"))
}

#[tokio::test]
async fn strings_and_keys() {
    let cluster = Cluster::start(3);
    let ring = ring(&cluster).await;
    for number in 0..100 {
        ring.set::<_, _, ()>(format!("key{number}"), number).await.unwrap();
    }
    assert!(cluster.sizes().iter().all(|size| *size > 10), "{:?}", cluster.sizes());
    for number in 0..100 {
        let key = format!("key{number}");
        assert_eq!(ring.get::<_, i64>(&key).await.unwrap(), number);
        let home = ring.shard_for(&key).unwrap();
        let at: usize = home.name().trim_start_matches("shard").parse().unwrap();
        assert_eq!(cluster[at - 1].command(&["GET", &key]).text(), number.to_string());
    }
    let keys: Vec<String> = (0..100).map(|number| format!("key{number}")).collect();
    let values: Vec<i64> = ring.mget(&keys).await.unwrap();
    assert_eq!(values, (0..100).collect::<Vec<_>>());
    assert_eq!(ring.exists::<_, i64>(&keys).await.unwrap(), 100);
    assert_eq!(ring.del::<_, i64>(&keys[..60]).await.unwrap(), 60);
    assert_eq!(ring.unlink::<_, i64>(&keys).await.unwrap(), 40);
    assert_eq!(ring.get::<_, Option<i64>>("key0").await.unwrap(), None);

    assert!(ring.set_nx::<_, _, bool>("k", &b"\0\r\n"[..]).await.unwrap());
    assert!(!ring.set_nx::<_, _, bool>("k", "other").await.unwrap());
    assert_eq!(ring.append::<_, _, i64>("k", "!").await.unwrap(), 4);
    assert_eq!(ring.get_del::<_, Vec<u8>>("k").await.unwrap(), b"\0\r\n!");
    assert_eq!(ring.incr::<_, _, i64>("n", 5).await.unwrap(), 5);
    assert_eq!(ring.decr::<_, _, i64>("n", 2).await.unwrap(), 3);
    assert_eq!(ring.incr::<_, _, f64>("n", 0.5).await.unwrap(), 3.5);

    ring.set_ex::<_, _, ()>("t", "x", 100).await.unwrap();
    assert!((90..=100).contains(&ring.ttl::<_, i64>("t").await.unwrap()));
    ring.pset_ex::<_, _, ()>("t", "x", 90_000).await.unwrap();
    assert!((80_000..=90_000).contains(&ring.pttl::<_, i64>("t").await.unwrap()));
    assert!(ring.persist::<_, bool>("t").await.unwrap());
    assert_eq!(ring.ttl::<_, i64>("t").await.unwrap(), -1);
    assert!(ring.expire::<_, bool>("t", 100).await.unwrap());
    assert!(ring.pexpire::<_, bool>("t", 200_000).await.unwrap());
    assert!(!ring.expire::<_, bool>("none", 100).await.unwrap());
    assert_eq!(ring.pttl::<_, i64>("none").await.unwrap(), -2);
}

#[tokio::test]
async fn hashes_lists_and_sets() {
    let cluster = Cluster::start(3);
    let ring = ring(&cluster).await;
    assert_eq!(ring.hset::<_, _, _, i64>("h", "a", 1).await.unwrap(), 1);
    ring.hset_multiple::<_, _, _, ()>("h", &[("b", 2), ("c", 3)]).await.unwrap();
    let all: BTreeMap<String, i64> = ring.hgetall("h").await.unwrap();
    assert_eq!(all, BTreeMap::from([("a".into(), 1), ("b".into(), 2), ("c".into(), 3)]));
    assert_eq!(ring.hget::<_, _, i64>("h", "b").await.unwrap(), 2);
    let some: Vec<Option<i64>> = ring.hmget("h", &["c", "none"]).await.unwrap();
    assert_eq!(some, [Some(3), None]);
    assert_eq!(ring.hincr::<_, _, _, i64>("h", "a", 4).await.unwrap(), 5);
    assert_eq!(ring.hincr::<_, _, _, f64>("h", "a", 0.5).await.unwrap(), 5.5);
    assert_eq!(ring.hdel::<_, _, i64>("h", &["a", "none"]).await.unwrap(), 1);
    assert!(!ring.hexists::<_, _, bool>("h", "a").await.unwrap());

    assert_eq!(ring.rpush::<_, _, i64>("l", &["b", "c", "d"]).await.unwrap(), 3);
    assert_eq!(ring.lpush::<_, _, i64>("l", "a").await.unwrap(), 4);
    assert_eq!(ring.llen::<_, i64>("l").await.unwrap(), 4);
    assert_eq!(ring.lrange::<_, Vec<String>>("l", 1, -1).await.unwrap(), ["b", "c", "d"]);
    assert_eq!(ring.lpop::<_, Option<String>>("l", None).await.unwrap().as_deref(), Some("a"));
    assert_eq!(ring.rpop::<_, Vec<String>>("l", NonZeroUsize::new(2)).await.unwrap(), ["d", "c"]);

    assert_eq!(ring.sadd::<_, _, i64>("s", &[1, 2, 3]).await.unwrap(), 3);
    assert_eq!(ring.srem::<_, _, i64>("s", 3).await.unwrap(), 1);
    assert!(ring.sismember::<_, _, bool>("s", 2).await.unwrap());
    assert_eq!(ring.smembers::<_, BTreeSet<i64>>("s").await.unwrap(), BTreeSet::from([1, 2]));
    assert_eq!(ring.scard::<_, i64>("s").await.unwrap(), 2);

    for (member, score) in [("one", 1.0), ("two", 2.0), ("three", 3.0)] {
        assert_eq!(ring.zadd::<_, _, _, i64>("z", member, score).await.unwrap(), 1);
    }
    assert_eq!(ring.zincr::<_, _, _, f64>("z", "one", 9.5).await.unwrap(), 10.5);
    assert_eq!(ring.zrange::<_, Vec<String>>("z", 0, -1).await.unwrap(), ["two", "three", "one"]);
    assert_eq!(ring.zrem::<_, _, i64>("z", &["two", "none"]).await.unwrap(), 1);
    assert_eq!(ring.zscore::<_, _, Option<f64>>("z", "three").await.unwrap(), Some(3.0));
    assert_eq!(ring.zcard::<_, i64>("z").await.unwrap(), 2);
}

#[tokio::test]
async fn both_traits_serve_side_by_side() {
    let cluster = Cluster::start(3);
    let mut ring = ring(&cluster).await;
    // The type says whose method it is.
    let set: Answer<'_, ()> = ring.set("key", 1);
    set.await.unwrap();
    // What is only in the other trait is taken from there.
    assert_eq!(ring.strlen::<_, i64>("key").await.unwrap(), 1);
    ring.rename::<_, _, ()>("key", "key").await.unwrap();
    // Several at once on one handle, which `&mut` could not do.
    let answers = tokio::join!(ring.incr("key", 1), ring.get("other"), ring.ttl("key"));
    let answers: (i64, Option<String>, i64) = (answers.0.unwrap(), answers.1.unwrap(), answers.2.unwrap());
    assert_eq!(answers, (2, None, -1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_are_made_by_tasks_that_share_one_handle() {
    let cluster = Cluster::start(3);
    let ring = Arc::new(ring(&cluster).await);
    let tasks: Vec<_> = (0..8)
        .map(|task| {
            let ring = Arc::clone(&ring);
            tokio::spawn(async move {
                for number in 0..50 {
                    let key = format!("{task}:{number}");
                    ring.set::<_, _, ()>(&key, number).await.unwrap();
                    assert_eq!(ring.get::<_, i64>(&key).await.unwrap(), number);
                    ring.incr::<_, _, ()>("count", 1).await.unwrap();
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(ring.get::<_, i64>("count").await.unwrap(), 400);
}

#[tokio::test]
async fn a_dropped_call_disturbs_nobody() {
    let server = RedisServer::start();
    let ring = Ring::builder()
        .shard("only", server.url())
        .heartbeat_frequency(Duration::from_secs(60))
        .reply_timeout(Duration::from_secs(30))
        .build()
        .await
        .unwrap();
    ring.set::<_, _, ()>("a", "value-of-a").await.unwrap();
    ring.set::<_, _, ()>("b", "value-of-b").await.unwrap();
    // Before it was polled, and before it was written: it is never sent.
    drop(ring.incr::<_, _, i64>("count", 1));
    let mut queued = Box::pin(ring.incr::<_, _, i64>("count", 1));
    assert!(queued.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    drop(queued);
    // After it was written: its reply comes, and is nobody's.
    server.stop();
    let written = tokio::time::timeout(Duration::from_millis(100), ring.get::<_, String>("a")).await;
    assert!(written.is_err(), "{written:?}");
    server.cont();
    assert_eq!(ring.get::<_, String>("b").await.unwrap(), "value-of-b");
    assert_eq!(ring.get::<_, Option<i64>>("count").await.unwrap(), None);
    assert_eq!(ring.stats().shards.iter().map(|shard| shard.in_flight).sum::<usize>(), 0);
}

#[tokio::test]
async fn errors_say_what_and_where() {
    let cluster = Cluster::start(3);
    let ring = ring(&cluster).await;
    ring.set::<_, _, ()>("text", "x").await.unwrap();
    let error = ring.incr::<_, _, i64>("text", 1).await.unwrap_err();
    assert_eq!(error.code(), Some("ERR"), "{error}");
    let error = ring.get::<_, i64>("text").await.unwrap_err();
    assert_eq!(error.kind(), redis::ErrorKind::Parse, "{error}");

    let key = |shard: &str| {
        let mut keys = (0..1000).map(|number| format!("key{number}"));
        keys.find(|key| ring.shard_for(key).unwrap().name() == shard).unwrap()
    };
    let (dead, alive) = (key("shard2"), key("shard3"));
    cluster[1].kill();
    let error = own(&ring.get::<_, Option<String>>(&dead).await.unwrap_err());
    assert_eq!(
        (error.kind(), error.shard(), error.command()),
        (Kind::ShardDown, Some("shard2"), Some("GET")),
        "{error}"
    );
    let error = own(&ring.mget::<_, Vec<Option<String>>>(&[&dead, &alive]).await.unwrap_err());
    assert_eq!((error.kind(), error.shard()), (Kind::ShardDown, Some("shard2")), "{error}");
    assert_eq!(ring.get::<_, Option<String>>(&alive).await.unwrap(), None);
    ring.close();
    let error = own(&ring.get::<_, Option<String>>(&alive).await.unwrap_err());
    assert_eq!(error.kind(), Kind::Refused, "{error}");
}
