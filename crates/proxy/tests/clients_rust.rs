//! The `redis` crate, through its own public interface and in all its kinds of connections, meets one server.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod ring;

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use redis::aio::{ConnectionLike, ConnectionManagerConfig};
use redis::{
    AsyncCommands as _, AsyncConnectionConfig, Commands as _, ErrorKind, PushKind, RedisError, RedisResult,
    Script, cmd, pipe,
};
use rendis_proxy::serve::Proxy;
use rendis_testkit::Cluster;

use ring::{address, config, ring, until};

const RESP2: &str = "?protocol=resp2";
const RESP3: &str = "?protocol=resp3";

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
}

fn run<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(Duration::from_secs(60), future).await.unwrap() })
}

/// Everyday use of one asynchronous connection.
async fn everyday<C: ConnectionLike + Clone + Send + Sync>(mut redis: C) -> RedisResult<()> {
    let () = cmd("FLUSHALL").query_async(&mut redis).await?;
    let () = redis.set("string", "value").await?;
    assert_eq!(redis.get::<_, String>("string").await?, "value");
    assert_eq!(redis.get::<_, Option<String>>("none").await?, None);
    let () = redis.set_ex("short", 7, 1000).await?;
    assert!(redis.ttl::<_, i64>("short").await? > 900);
    let () = redis.hset_multiple("hash", &[("a", 1), ("b", 2)]).await?;
    let hash: HashMap<String, i64> = redis.hgetall("hash").await?;
    assert_eq!(hash, HashMap::from([("a".to_owned(), 1), ("b".to_owned(), 2)]));
    let () = redis.zadd("scores", "one", 1.5).await?;
    assert_eq!(redis.zscore::<_, _, Option<f64>>("scores", "one").await?, Some(1.5));
    // Keys of all shards at once.
    let pairs: Vec<_> = (0..100).map(|key| (format!("many:{key}"), key)).collect();
    let () = redis.mset(&pairs).await?;
    let keys: Vec<_> = pairs.iter().map(|(key, _)| key).collect();
    assert_eq!(redis.mget::<_, Vec<i64>>(&keys).await?, (0..100).collect::<Vec<_>>());
    assert_eq!(redis.del::<_, i64>(&keys[50..]).await?, 50);
    let mut many = pipe();
    for key in 0..200 {
        many.incr(format!("count:{}", key % 20), 1);
    }
    let counts: Vec<i64> = many.query_async(&mut redis).await?;
    assert_eq!(counts.len(), 200);
    assert_eq!(counts[199], 10);
    let (set, sum): (String, i64) =
        pipe().atomic().set("{t}a", 1).incr("{t}b", 5).query_async(&mut redis).await?;
    assert_eq!((set.as_str(), sum), ("OK", 5));
    let apart: RedisResult<Vec<String>> =
        pipe().atomic().set("count:1", 1).set("count:2", 1).set("count:3", 1).query_async(&mut redis).await;
    assert!(apart.is_err(), "keys of several shards in one transaction");
    let script = Script::new("return {KEYS[1], redis.call('INCRBY', KEYS[1], ARGV[1])}");
    for key in ["one", "two", "three", "four", "five"] {
        let (name, value): (String, i64) = script.key(key).arg(3).invoke_async(&mut redis).await?;
        assert_eq!((name.as_str(), value), (key, 3));
    }
    let error: RedisError = redis.lpush::<_, _, ()>("string", 1).await.unwrap_err();
    assert_eq!(error.code(), Some("WRONGTYPE"));
    let error =
        cmd("SINTER").arg("count:1").arg("count:2").arg("count:3").query_async::<()>(&mut redis).await;
    assert_eq!(error.unwrap_err().kind(), ErrorKind::Server(redis::ServerErrorKind::CrossSlot));
    let size: usize = cmd("DBSIZE").query_async(&mut redis).await?;
    let mut scanned = BTreeSet::new();
    let mut keys = redis.scan::<String>().await?;
    while let Some(key) = keys.next_item().await {
        assert!(scanned.insert(key?), "a key was seen twice");
    }
    assert_eq!(scanned.len(), size);
    Ok(())
}

#[test]
fn a_multiplexed_connection() {
    let stage = Stage::start();
    for protocol in [RESP2, RESP3] {
        run(async {
            let connection = stage.client(protocol).get_multiplexed_async_connection().await.unwrap();
            everyday(connection.clone()).await.unwrap();
            // Many at a time on the one connection.
            let tasks = (0..100).map(|number| {
                let mut redis = connection.clone();
                async move {
                    let key = format!("task:{number}");
                    let () = redis.set(&key, number).await?;
                    redis.get::<_, i64>(&key).await
                }
            });
            let values = futures_util::future::join_all(tasks).await;
            let values: RedisResult<Vec<_>> = values.into_iter().collect();
            assert_eq!(values.unwrap(), (0..100).collect::<Vec<_>>());
        });
    }
}

#[test]
fn a_connection_manager_that_outlives_a_shard() {
    let stage = Stage::start();
    for (at, protocol) in [RESP2, RESP3].into_iter().enumerate() {
        run(async {
            let config = ConnectionManagerConfig::new().set_response_timeout(Some(Duration::from_secs(10)));
            let manager = stage.client(protocol).get_connection_manager_with_config(config).await.unwrap();
            everyday(manager.clone()).await.unwrap();
            stage.shards[at].kill();
            let mut redis = manager.clone();
            let deadline = Instant::now() + Duration::from_secs(20);
            for key in 0..50 {
                while let Err(error) = redis.set::<_, _, ()>(format!("after:{key}"), key).await {
                    assert!(Instant::now() < deadline, "{error}");
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            }
            stage.shards[at].restart();
            while cmd("DBSIZE").query_async::<i64>(&mut redis).await.is_err() {
                assert!(Instant::now() < deadline);
            }
        });
        let mut connection = stage.client(protocol).get_connection().unwrap();
        until("the shard is back", || {
            let up = cmd("INFO").arg("shards").query::<String>(&mut connection).unwrap();
            up.contains("shards_up:3")
        });
    }
}

#[test]
fn a_blocking_connection() {
    let stage = Stage::start();
    for protocol in [RESP2, RESP3] {
        let client = stage.client(protocol);
        let mut redis = client.get_connection().unwrap();
        let () = cmd("FLUSHALL").query(&mut redis).unwrap();
        let () = redis.set("string", "value").unwrap();
        assert_eq!(redis.get::<_, String>("string").unwrap(), "value");
        let found: BTreeSet<String> = redis.scan().unwrap().map(Result::unwrap).collect();
        assert_eq!(found, BTreeSet::from(["string".to_owned()]));
        // Optimistic locking: two who count meet, and nothing is lost.
        std::thread::scope(|scope| {
            for _ in 0..4 {
                let client = &client;
                scope.spawn(move || {
                    let mut redis = client.get_connection().unwrap();
                    for _ in 0..25 {
                        let _: (String,) = redis::transaction(&mut redis, &["{t}counter"], |redis, pipe| {
                            let old: Option<i64> = redis.get("{t}counter")?;
                            pipe.set("{t}counter", old.unwrap_or(0) + 1).query(redis)
                        })
                        .unwrap();
                    }
                });
            }
            // A pop that waits is woken by somebody else.
            let mut popping = client.get_connection().unwrap();
            let waiting = scope.spawn(move || popping.blpop::<_, (String, String)>("queue", 20.0).unwrap());
            until("it waits", || {
                let waits = |shard: &rendis_testkit::RedisServer| {
                    shard.command(&["INFO", "clients"]).text().contains("blocked_clients:1")
                };
                stage.shards.iter().any(waits)
            });
            let () = redis.rpush("queue", "item").unwrap();
            assert_eq!(waiting.join().unwrap(), ("queue".to_owned(), "item".to_owned()));
        });
        assert_eq!(redis.get::<_, i64>("{t}counter").unwrap(), 100);
        assert_eq!(redis.blpop::<_, Option<(String, String)>>("queue", 0.05).unwrap(), None);
    }
}

#[test]
fn messages_in_both_protocols() {
    let stage = Stage::start();
    run(async {
        let mut sender = stage.client(RESP3).get_multiplexed_async_connection().await.unwrap();
        let mut pubsub = stage.client(RESP2).get_async_pubsub().await.unwrap();
        pubsub.subscribe(&["news", "sport", "weather"]).await.unwrap();
        pubsub.psubscribe("pattern:*").await.unwrap();
        let (sender_of_pushes, mut pushes) = tokio::sync::mpsc::channel(64);
        let config = AsyncConnectionConfig::new()
            .set_push_sender(move |push| sender_of_pushes.try_send(push).map_err(|_| redis::aio::SendError));
        let mut pushed =
            stage.client(RESP3).get_multiplexed_async_connection_with_config(&config).await.unwrap();
        pushed.subscribe(&["news", "sport", "weather"]).await.unwrap();
        pushed.psubscribe("pattern:*").await.unwrap();
        for channel in ["news", "sport", "weather", "pattern:a"] {
            let () = sender.publish(channel, "text").await.unwrap();
            let message = pubsub.on_message().next().await.unwrap();
            assert_eq!(
                (message.get_channel_name(), message.get_payload::<String>().unwrap()),
                (channel, "text".into())
            );
            loop {
                let push = pushes.recv().await.unwrap();
                if matches!(push.kind, PushKind::Message | PushKind::PMessage) {
                    let text: String = redis::from_redis_value(push.data.last().unwrap().clone()).unwrap();
                    assert_eq!(text, "text");
                    break;
                }
            }
            // The same connection is still good for anything else.
            let () = pushed.set(channel, 1).await.unwrap();
        }
        pubsub.unsubscribe("news").await.unwrap();
        pushed.unsubscribe("news").await.unwrap();
        while sender.publish::<_, _, i64>("news", "nobody").await.unwrap() > 0 {}
    });
}
