//! `redis::Connection`: blocking, one request at a time.

use std::collections::{BTreeSet, HashMap};
use std::sync::mpsc;
use std::time::Instant;

use redis::{
    Commands as _, Connection, ConnectionLike as _, ErrorKind, PushKind, RedisResult, ScanOptions, Script,
    ServerErrorKind, cmd, pipe,
};

use crate::ring::until;
use crate::{CHANNELS, LIMIT, RESP2, RESP3, Stage, introduced};

fn connect(stage: &Stage, protocol: &str) -> Connection {
    let connection = stage.client(protocol).get_connection().unwrap();
    connection.set_read_timeout(Some(LIMIT)).unwrap();
    connection
}

/// Runs with a connection of each protocol, to a ring that is empty.
fn in_both_protocols(test: impl Fn(&Stage, &str, Connection)) {
    let stage = Stage::start();
    for protocol in [RESP2, RESP3] {
        let mut redis = connect(&stage, protocol);
        cmd("FLUSHALL").exec(&mut redis).unwrap();
        test(&stage, protocol, redis);
    }
}

#[test]
fn a_single_connection_introduces_itself_and_uses_values() {
    in_both_protocols(|_, protocol, mut redis| {
        introduced(&cmd("CLIENT").arg("LIST").query::<String>(&mut redis).unwrap(), protocol);
        let () = redis.set("string", "value").unwrap();
        assert_eq!(redis.get::<_, String>("string").unwrap(), "value");
        assert_eq!(redis.get::<_, Option<String>>("none").unwrap(), None);
        let () = redis.set_ex("short", 7, 1000).unwrap();
        assert!(redis.ttl::<_, i64>("short").unwrap() > 900);
        let () = redis.hset_multiple("hash", &[("a", 1), ("b", 2)]).unwrap();
        let hash: HashMap<String, i64> = redis.hgetall("hash").unwrap();
        assert_eq!(hash, HashMap::from([("a".to_owned(), 1), ("b".to_owned(), 2)]));
        let () = redis.zadd("scores", "one", 1.5).unwrap();
        assert_eq!(redis.zscore::<_, _, Option<f64>>("scores", "one").unwrap(), Some(1.5));
        assert_eq!(redis.sadd::<_, _, i64>("set", &["x", "y"]).unwrap(), 2);
        assert_eq!(redis.smembers::<_, BTreeSet<String>>("set").unwrap().len(), 2);
        let bytes: Vec<u8> = (0..=255).cycle().take(1 << 20).collect();
        let () = redis.set("bytes", &bytes).unwrap();
        assert_eq!(redis.get::<_, Vec<u8>>("bytes").unwrap(), bytes);
        // Keys of all shards at once.
        let pairs: Vec<_> = (0..100).map(|key| (format!("many:{key}"), key)).collect();
        let keys: Vec<_> = pairs.iter().map(|(key, _)| key).collect();
        let () = redis.mset(&pairs).unwrap();
        assert_eq!(redis.mget::<_, Vec<i64>>(&keys).unwrap(), (0..100).collect::<Vec<_>>());
        assert_eq!(redis.del::<_, i64>(&keys).unwrap(), 100);
        // An error is told as what it is, and takes nothing but its own reply.
        let error = redis.lpush::<_, _, ()>("string", 1).unwrap_err();
        assert_eq!(error.code(), Some("WRONGTYPE"));
        let apart = redis.sinter::<_, ()>(&["count:1", "count:2", "count:3", "count:4"]).unwrap_err();
        assert_eq!(apart.kind(), ErrorKind::Server(ServerErrorKind::CrossSlot));
        assert_eq!(redis.get::<_, String>("string").unwrap(), "value");
        assert!(redis.is_open());
    });
}

#[test]
fn a_single_connection_iterates() {
    in_both_protocols(|_, _, mut redis| {
        let mut all = BTreeSet::new();
        for key in 0..200 {
            let key = format!("key:{key}");
            let () = redis.set(&key, 1).unwrap();
            all.insert(key);
        }
        let sorted = |mut found: Vec<String>| {
            found.sort();
            found
        };
        let found: Vec<String> = redis.scan().unwrap().map(Result::unwrap).collect();
        assert_eq!(sorted(found), all.iter().cloned().collect::<Vec<_>>(), "each once");
        let options = ScanOptions::default().with_pattern("key:1?").with_count(7);
        let found: Vec<String> = redis.scan_options(options).unwrap().map(Result::unwrap).collect();
        assert_eq!(found.len(), 10);
        let fields: Vec<_> = (0..1000).map(|field| (field, field)).collect();
        let () = redis.hset_multiple("hash", &fields).unwrap();
        let found: Vec<(i64, i64)> = redis.hscan("hash").unwrap().map(Result::unwrap).collect();
        assert_eq!(found.into_iter().collect::<BTreeSet<_>>(), fields.into_iter().collect());
    });
}

#[test]
fn a_single_connection_pipelines_and_runs_scripts() {
    in_both_protocols(|_, _, mut redis| {
        let mut many = pipe();
        for key in 0..200 {
            many.incr(format!("count:{}", key % 20), 1);
        }
        let counts: Vec<i64> = many.query(&mut redis).unwrap();
        assert_eq!((counts.len(), counts[199]), (200, 10));
        let mixed =
            pipe().set("string", "x").ignore().incr("string", 1).get("string").query::<()>(&mut redis);
        assert!(mixed.unwrap_err().to_string().contains("not an integer"));
        let script = Script::new("return {KEYS[1], redis.call('INCRBY', KEYS[1], ARGV[1])}");
        for key in ["one", "two", "three", "four", "five"] {
            let (name, value): (String, i64) = script.key(key).arg(3).invoke(&mut redis).unwrap();
            assert_eq!((name.as_str(), value), (key, 3));
        }
        let loaded = script.prepare_invoke().load(&mut redis).unwrap();
        assert_eq!(loaded, script.get_hash());
        assert_eq!(redis.get::<_, String>("string").unwrap(), "x");
    });
}

#[test]
fn a_single_connection_has_transactions_and_loses_no_count() {
    in_both_protocols(|stage, protocol, mut redis| {
        let (set, sum): (String, i64) =
            pipe().atomic().set("{t}a", 1).incr("{t}b", 5).query(&mut redis).unwrap();
        assert_eq!((set.as_str(), sum), ("OK", 5));
        let apart: RedisResult<()> =
            pipe().atomic().set("c:1", 1).set("c:2", 1).set("c:3", 1).set("c:4", 1).query(&mut redis);
        assert!(apart.is_err(), "keys of several shards in one transaction");
        // Optimistic locking: two who count meet, and nothing is lost.
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let mut redis = connect(stage, protocol);
                    for _ in 0..25 {
                        let _: (String,) = redis::transaction(&mut redis, &["{t}counter"], |redis, pipe| {
                            let old: Option<i64> = redis.get("{t}counter")?;
                            pipe.set("{t}counter", old.unwrap_or(0) + 1).query(redis)
                        })
                        .unwrap();
                    }
                });
            }
        });
        assert_eq!(redis.get::<_, i64>("{t}counter").unwrap(), 100);
    });
}

#[test]
fn a_single_connection_waits_until_somebody_pushes() {
    in_both_protocols(|stage, protocol, mut redis| {
        let mut waiting = connect(stage, protocol);
        let popped = std::thread::scope(|scope| {
            let popped = scope.spawn(|| waiting.blpop::<_, (String, String)>("queue", 20.0));
            until("it waits", || stage.somebody_waits());
            let () = redis.rpush("queue", "item").unwrap();
            popped.join().unwrap()
        });
        assert_eq!(popped.unwrap(), ("queue".to_owned(), "item".to_owned()));
        assert_eq!(waiting.blpop::<_, Option<(String, String)>>("queue", 0.05).unwrap(), None);
        assert_eq!(waiting.llen::<_, i64>("queue").unwrap(), 0, "the connection is good for anything else");
    });
}

#[test]
fn a_single_connection_listens_and_goes_on() {
    in_both_protocols(|stage, protocol, mut redis| {
        let mut listening = connect(stage, protocol);
        let mut messages = listening.as_pubsub();
        messages.subscribe(&CHANNELS).unwrap();
        messages.psubscribe("pattern:*").unwrap();
        for channel in [CHANNELS[0], CHANNELS[1], CHANNELS[2], "pattern:a"] {
            assert_eq!(redis.publish::<_, _, i64>(channel, "text").unwrap(), 1);
            let message = messages.get_message().unwrap();
            assert_eq!(
                (message.get_channel_name(), message.get_payload::<String>().unwrap()),
                (channel, "text".to_owned())
            );
            assert_eq!(message.from_pattern(), channel == "pattern:a");
        }
        messages.unsubscribe("news").unwrap();
        until("nobody listens", || redis.publish::<_, _, i64>("news", "nobody").unwrap() == 0);
        // It takes back what is left, and reads until that is confirmed.
        drop(messages);
        until("nobody listens at all", || redis.publish::<_, _, i64>("sport", "nobody").unwrap() == 0);
        let () = listening.set("after", 1).unwrap();
        assert_eq!(listening.get::<_, i64>("after").unwrap(), 1);
    });
}

#[test]
fn a_single_connection_is_told_between_its_replies() {
    let stage = Stage::start();
    let (mut sender, mut redis) = (connect(&stage, RESP2), connect(&stage, RESP3));
    let (told, pushes) = mpsc::channel();
    redis.set_push_sender(told);
    redis.subscribe_resp3(&CHANNELS).unwrap();
    redis.psubscribe_resp3("pattern:*").unwrap();
    for channel in [CHANNELS[0], CHANNELS[1], CHANNELS[2], "pattern:a"] {
        // It is not waited for its confirmation.
        until("it listens", || sender.publish::<_, _, i64>(channel, "text").unwrap() == 1);
        let text = loop {
            // What is pushed is seen when the connection reads.
            let () = redis.set(channel, 1).unwrap();
            assert_eq!(redis.get::<_, i64>(channel).unwrap(), 1);
            let message =
                pushes.try_iter().find(|push| matches!(push.kind, PushKind::Message | PushKind::PMessage));
            if let Some(message) = message {
                break redis::from_redis_value::<String>(message.data.last().unwrap().clone()).unwrap();
            }
        };
        assert_eq!(text, "text");
    }
    redis.unsubscribe_resp3(&CHANNELS).unwrap();
    until("nobody listens", || sender.publish::<_, _, i64>("news", "nobody").unwrap() == 0);
}

#[test]
fn a_single_connection_outlives_a_shard() {
    let stage = Stage::start();
    for (at, protocol) in [RESP2, RESP3].into_iter().enumerate() {
        let mut redis = connect(&stage, protocol);
        let pairs: Vec<_> = (0..50).map(|key| (format!("after:{key}"), key)).collect();
        let () = redis.mset(&pairs).unwrap();
        stage.shards[at].kill();
        let deadline = Instant::now() + LIMIT;
        for (key, value) in &pairs {
            while let Err(error) = redis.set::<_, _, ()>(key, value + 1) {
                // An error reply, and no end of the connection.
                assert!(error.code().is_some() && Instant::now() < deadline, "{error}");
            }
        }
        let keys: Vec<_> = pairs.iter().map(|(key, _)| key).collect();
        assert_eq!(redis.mget::<_, Vec<i64>>(&keys).unwrap(), (1..=50).collect::<Vec<_>>());
        stage.shards[at].restart();
        until("the shard is back", || {
            cmd("INFO").arg("shards").query::<String>(&mut redis).unwrap().contains("shards_up:3")
        });
        let () = redis.mset(&pairs).unwrap();
        assert_eq!(redis.mget::<_, Vec<i64>>(&keys).unwrap(), (0..50).collect::<Vec<_>>());
        assert!(redis.is_open());
    }
}
