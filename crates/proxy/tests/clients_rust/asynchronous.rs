//! The asynchronous kinds: a multiplexed connection, which many tasks share, and a connection manager, which connects anew.

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use redis::aio::{
    ConnectionLike, ConnectionManager, ConnectionManagerConfig, MultiplexedConnection, SendError,
};
use redis::{
    AsyncCommands as _, AsyncConnectionConfig, ErrorKind, PushInfo, PushKind, RedisError, RedisResult,
    Script, ServerErrorKind, ToRedisArgs, cmd, pipe,
};
use tokio::sync::mpsc;

use crate::{CHANNELS, LIMIT, RESP2, RESP3, Stage, introduced};

/// A kind of connection that many share.
trait Shared: ConnectionLike + Clone + Send + Sync + Sized {
    /// With what is pushed to it, which takes RESP3.
    async fn connect(stage: &Stage, protocol: &str) -> (Self, mpsc::Receiver<PushInfo>);
    async fn listen(&mut self, channels: impl ToRedisArgs, pattern: &str) -> RedisResult<()>;
    async fn leave(&mut self, channels: impl ToRedisArgs) -> RedisResult<()>;
}

impl Shared for MultiplexedConnection {
    async fn connect(stage: &Stage, protocol: &str) -> (Self, mpsc::Receiver<PushInfo>) {
        let (sender, pushes) = mpsc::channel(64);
        let mut config = AsyncConnectionConfig::new().set_response_timeout(Some(LIMIT));
        if protocol == RESP3 {
            config = config.set_push_sender(move |push| sender.try_send(push).map_err(|_| SendError));
        }
        let client = stage.client(protocol);
        (client.get_multiplexed_async_connection_with_config(&config).await.unwrap(), pushes)
    }

    async fn listen(&mut self, channels: impl ToRedisArgs, pattern: &str) -> RedisResult<()> {
        self.subscribe(channels).await?;
        self.psubscribe(pattern).await
    }

    async fn leave(&mut self, channels: impl ToRedisArgs) -> RedisResult<()> {
        self.unsubscribe(channels).await
    }
}

impl Shared for ConnectionManager {
    async fn connect(stage: &Stage, protocol: &str) -> (Self, mpsc::Receiver<PushInfo>) {
        let (sender, pushes) = mpsc::channel(64);
        let mut config = ConnectionManagerConfig::new().set_response_timeout(Some(LIMIT));
        if protocol == RESP3 {
            config = config
                .set_automatic_resubscription()
                .set_push_sender(move |push| sender.try_send(push).map_err(|_| SendError));
        }
        let client = stage.client(protocol);
        (client.get_connection_manager_with_config(config).await.unwrap(), pushes)
    }

    async fn listen(&mut self, channels: impl ToRedisArgs, pattern: &str) -> RedisResult<()> {
        self.subscribe(channels).await?;
        self.psubscribe(pattern).await
    }

    async fn leave(&mut self, channels: impl ToRedisArgs) -> RedisResult<()> {
        self.unsubscribe(channels).await
    }
}

fn run<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(Duration::from_secs(60), future).await.unwrap() })
}

/// All of it, in both protocols.
fn uses<C: Shared>() {
    let stage = Stage::start();
    for (at, protocol) in [RESP2, RESP3].into_iter().enumerate() {
        run(async {
            let (mut redis, pushes) = C::connect(&stage, protocol).await;
            everyday(&mut redis, protocol).await.unwrap();
            side_by_side(&redis).await;
            waits(&mut redis, &stage, protocol).await;
            if protocol == RESP3 {
                listens(&mut redis, pushes, &stage).await;
            } else {
                // Said by the crate, before anything is sent.
                assert!(redis.listen(&CHANNELS, "pattern:*").await.is_err());
            }
            outlives(&mut redis, &stage, at).await;
        });
    }
}

#[test]
fn a_multiplexed_connection() {
    uses::<MultiplexedConnection>();
}

#[test]
fn a_connection_manager() {
    uses::<ConnectionManager>();
}

/// Everyday use of one asynchronous connection.
async fn everyday<C: Shared>(redis: &mut C, protocol: &str) -> RedisResult<()> {
    introduced(&cmd("CLIENT").arg("LIST").query_async::<String>(redis).await?, protocol);
    let () = cmd("FLUSHALL").query_async(redis).await?;
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
    let counts: Vec<i64> = many.query_async(redis).await?;
    assert_eq!(counts.len(), 200);
    assert_eq!(counts[199], 10);
    let (set, sum): (String, i64) = pipe().atomic().set("{t}a", 1).incr("{t}b", 5).query_async(redis).await?;
    assert_eq!((set.as_str(), sum), ("OK", 5));
    let apart: RedisResult<Vec<String>> =
        pipe().atomic().set("count:1", 1).set("count:2", 1).set("count:3", 1).query_async(redis).await;
    assert!(apart.is_err(), "keys of several shards in one transaction");
    let script = Script::new("return {KEYS[1], redis.call('INCRBY', KEYS[1], ARGV[1])}");
    for key in ["one", "two", "three", "four", "five"] {
        let (name, value): (String, i64) = script.key(key).arg(3).invoke_async(redis).await?;
        assert_eq!((name.as_str(), value), (key, 3));
    }
    let error: RedisError = redis.lpush::<_, _, ()>("string", 1).await.unwrap_err();
    assert_eq!(error.code(), Some("WRONGTYPE"));
    let error = cmd("SINTER").arg("count:1").arg("count:2").arg("count:3").query_async::<()>(redis).await;
    assert_eq!(error.unwrap_err().kind(), ErrorKind::Server(ServerErrorKind::CrossSlot));
    let size: usize = cmd("DBSIZE").query_async(redis).await?;
    let mut scanned = BTreeSet::new();
    let mut keys = redis.scan::<String>().await?;
    while let Some(key) = keys.next_item().await {
        assert!(scanned.insert(key?), "a key was seen twice");
    }
    assert_eq!(scanned.len(), size);
    Ok(())
}

/// Many tasks on the one connection.
async fn side_by_side<C: Shared>(redis: &C) {
    let tasks = (0..100).map(|number| {
        let mut redis = redis.clone();
        async move {
            let key = format!("task:{number}");
            let () = redis.set(&key, number).await?;
            redis.get::<_, i64>(&key).await
        }
    });
    let values = futures_util::future::join_all(tasks).await;
    let values: RedisResult<Vec<_>> = values.into_iter().collect();
    assert_eq!(values.unwrap(), (0..100).collect::<Vec<_>>());
}

/// A pop that waits is woken by another connection; one that waits in vain ends.
async fn waits<C: Shared>(redis: &mut C, stage: &Stage, protocol: &str) {
    let (mut other, _pushes) = C::connect(stage, protocol).await;
    let pushing = async {
        while !stage.somebody_waits() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        let () = other.rpush("queue", "item").await.unwrap();
    };
    let (popped, ()) = tokio::join!(redis.blpop::<_, (String, String)>("queue", 20.0), pushing);
    assert_eq!(popped.unwrap(), ("queue".to_owned(), "item".to_owned()));
    assert_eq!(redis.blpop::<_, Option<(String, String)>>("queue", 0.05).await.unwrap(), None);
    assert_eq!(redis.llen::<_, i64>("queue").await.unwrap(), 0);
}

/// What is pushed is told apart from replies, and the connection is still good for anything else.
async fn listens<C: Shared>(redis: &mut C, mut pushes: mpsc::Receiver<PushInfo>, stage: &Stage) {
    let (mut sender, _pushes) = C::connect(stage, RESP3).await;
    redis.listen(&CHANNELS, "pattern:*").await.unwrap();
    for channel in [CHANNELS[0], CHANNELS[1], CHANNELS[2], "pattern:a"] {
        assert_eq!(sender.publish::<_, _, i64>(channel, "text").await.unwrap(), 1);
        let message = loop {
            let push = pushes.recv().await.unwrap();
            if matches!(push.kind, PushKind::Message | PushKind::PMessage) {
                break push;
            }
        };
        let text: String = redis::from_redis_value(message.data.last().unwrap().clone()).unwrap();
        assert_eq!(text, "text");
        let () = redis.set(channel, 1).await.unwrap();
    }
    redis.leave("news").await.unwrap();
    while sender.publish::<_, _, i64>("news", "nobody").await.unwrap() > 0 {}
    assert_eq!(sender.publish::<_, _, i64>("sport", "text").await.unwrap(), 1);
}

/// A shard is killed and comes back: calls fail for a while, and the connection stays.
async fn outlives<C: Shared>(redis: &mut C, stage: &Stage, at: usize) {
    let pairs: Vec<_> = (0..50).map(|key| (format!("after:{key}"), key)).collect();
    let keys: Vec<_> = pairs.iter().map(|(key, _)| key).collect();
    let () = redis.mset(&pairs).await.unwrap();
    stage.shards[at].kill();
    let deadline = Instant::now() + LIMIT;
    for (key, value) in &pairs {
        while let Err(error) = redis.set::<_, _, ()>(key, value + 1).await {
            assert!(error.code().is_some() && Instant::now() < deadline, "{error}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    assert_eq!(redis.mget::<_, Vec<i64>>(&keys).await.unwrap(), (1..=50).collect::<Vec<_>>());
    stage.shards[at].restart();
    while !cmd("INFO").arg("shards").query_async::<String>(redis).await.unwrap().contains("shards_up:3") {
        assert!(Instant::now() < deadline, "the shard is not back");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let () = redis.mset(&pairs).await.unwrap();
    assert_eq!(redis.mget::<_, Vec<i64>>(&keys).await.unwrap(), (0..50).collect::<Vec<_>>());
}

/// In RESP2 messages need a connection of their own, which the crate has for them.
#[test]
fn a_connection_for_messages() {
    let stage = Stage::start();
    for protocol in [RESP2, RESP3] {
        run(async {
            let mut sender = stage.client(protocol).get_multiplexed_async_connection().await.unwrap();
            let mut pubsub = stage.client(protocol).get_async_pubsub().await.unwrap();
            pubsub.subscribe(&CHANNELS).await.unwrap();
            pubsub.psubscribe("pattern:*").await.unwrap();
            for channel in [CHANNELS[0], CHANNELS[1], CHANNELS[2], "pattern:a"] {
                assert_eq!(sender.publish::<_, _, i64>(channel, "text").await.unwrap(), 1);
                let message = pubsub.on_message().next().await.unwrap();
                assert_eq!(
                    (message.get_channel_name(), message.get_payload::<String>().unwrap()),
                    (channel, "text".to_owned())
                );
            }
            pubsub.unsubscribe("news").await.unwrap();
            while sender.publish::<_, _, i64>("news", "nobody").await.unwrap() > 0 {}
            drop(pubsub);
            while sender.publish::<_, _, i64>("sport", "nobody").await.unwrap() > 0 {}
        });
    }
}
