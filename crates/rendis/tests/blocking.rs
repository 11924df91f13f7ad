//! What `Ring` and `Pool` without async promise, against real servers.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]
#![cfg(feature = "blocking")]

use std::sync::Barrier;
use std::thread;
use std::time::Duration;

use redis::{Commands, ConnectionLike, RedisResult};
use rendis::blocking::{Connection, Pool, Ring};
use rendis::{Error, Kind, Sent, ShardSettings};
use rendis_testkit::{Cluster, FakeServer, RedisServer, until};

fn ring(cluster: &Cluster) -> Ring {
    let shards = cluster.urls().into_iter().enumerate().map(|(at, url)| (format!("shard{}", at + 1), url));
    Ring::builder().shards(shards).build_blocking().unwrap()
}

/// How many connections over TCP `server` sees: the handles under test, and not the tests themselves.
fn connected(server: &RedisServer) -> usize {
    server
        .command(&["CLIENT", "LIST"])
        .text()
        .lines()
        .filter(|line| line.contains(" addr=127.0.0.1:"))
        .count()
}

fn own<T: std::fmt::Debug>(result: RedisResult<T>) -> Error {
    let error = result.unwrap_err();
    Error::of(&error).unwrap_or_else(|| panic!("not an error of this crate: {error}")).clone()
}

#[test]
fn a_ring_serves_the_redis_crates_commands() {
    let cluster = Cluster::start(3);
    let mut ring = ring(&cluster);
    let pairs: Vec<(String, i64)> = (0..300).map(|number| (format!("key{number}"), number)).collect();
    ring.mset::<_, _, ()>(&pairs).unwrap();
    assert_eq!(cluster.sizes().iter().sum::<i64>(), 300);
    assert!(cluster.sizes().iter().all(|size| *size > 50));
    for (key, value) in &pairs {
        assert_eq!(ring.get::<_, i64>(key).unwrap(), *value);
    }
    let mut scanned: Vec<String> =
        ring.scan_match::<_, String>("key1*").unwrap().map(|key| key.unwrap()).collect();
    scanned.sort();
    scanned.dedup();
    assert_eq!(scanned.len(), pairs.iter().filter(|(key, _)| key.starts_with("key1")).count());
    let missing: Option<String> = ring.get("none").unwrap();
    assert_eq!(missing, None);
    ring.set::<_, _, ()>("text", "x").unwrap();
    assert_eq!(ring.incr::<_, _, i64>("text", 1).unwrap_err().code(), Some("ERR"));
    let script = redis::Script::new("return redis.call('INCRBY', KEYS[1], ARGV[1])");
    assert_eq!(script.key("n").arg(7).invoke::<i64>(&mut ring).unwrap(), 7);
    let error = ring.rename::<_, _, ()>("key1", "key2").unwrap_err();
    assert_eq!(error.code(), Some("CROSSSLOT"), "{error}");
}

#[test]
fn a_pipeline_is_split_and_an_atomic_one_is_kept_whole() {
    let cluster = Cluster::start(3);
    let mut ring = ring(&cluster);
    let mut pipe = redis::pipe();
    for number in 0..500 {
        pipe.set(format!("key{number}"), number).ignore().get(format!("key{number}"));
    }
    assert_eq!(pipe.query::<Vec<i64>>(&mut ring).unwrap(), (0..500).collect::<Vec<_>>());
    let (one, two): (i64, i64) =
        redis::pipe().atomic().incr("{t}a", 1).incr("{t}b", 2).query(&mut ring).unwrap();
    assert_eq!((one, two), (1, 2));
    let error = redis::pipe().atomic().incr("key1", 1).incr("key2", 1).incr("key3", 1).exec(&mut ring);
    assert_eq!(error.unwrap_err().code(), Some("CROSSSLOT"));
    assert_eq!(ring.get::<_, i64>("key1").unwrap(), 1, "nothing was sent");
}

#[test]
fn a_ring_offers_its_shards() {
    let cluster = Cluster::start(3);
    let mut ring = ring(&cluster);
    assert_eq!((ring.len(), ring.is_empty(), ring.shards().len()), (3, false, 3));
    let mut home = ring.shard_for("foo").unwrap();
    assert!(home.is_up());
    home.ping().unwrap();
    ring.set::<_, _, ()>("foo", "bar").unwrap();
    assert_eq!(home.get::<_, String>("foo").unwrap(), "bar");
    let (a, b): (i64, i64) = redis::pipe().atomic().incr("any", 1).incr("keys", 1).query(&mut home).unwrap();
    assert_eq!((a, b), (1, 1));
    let at: usize = home.name().trim_start_matches("shard").parse().unwrap();
    assert_eq!(home.address(), cluster[at - 1].address().to_string());

    // Side by side: each waits for the others.
    let all = Barrier::new(3);
    ring.for_each_shard(|mut shard| {
        all.wait();
        shard.set::<_, _, ()>("same", shard.name().to_owned())
    })
    .unwrap();
    assert_eq!(cluster[1].command(&["GET", "same"]).text(), "shard2");
    let error = ring.for_each_shard(|mut shard| shard.incr::<_, _, ()>("same", 1)).unwrap_err();
    assert_eq!(error.code(), Some("ERR"));
    assert_eq!(ring.stats().shards.len(), 3);
    assert!(ring.stats().shards.iter().all(|shard| shard.requests > 0));

    let first = ShardSettings::new("shard1", &cluster[0].url()).unwrap();
    ring.set_shards([first]).unwrap();
    assert_eq!(ring.len(), 1);
    ring.set::<_, _, ()>("all keys are", "there now").unwrap();
    assert_eq!(ring.set_shards([]).unwrap_err().kind(), Kind::Config);

    assert!(ring.check_connection() && ring.is_open() && ring.supports_pipelining());
    assert_eq!(ring.get_db(), 0);
    ring.close();
    assert_eq!(own(ring.get::<_, ()>("foo")).kind(), Kind::Refused);
    assert!(!ring.check_connection());
}

#[test]
fn a_transaction_written_by_hand_is_no_atomic_pipeline() {
    let cluster = Cluster::start(3);
    let mut by_hand = redis::pipe();
    by_hand.cmd("MULTI").set("key", 1).cmd("EXEC");
    let mut ring = ring(&cluster);
    // A ring refuses MULTI, as it does without blocking.
    let error = by_hand.exec(&mut ring).unwrap_err();
    assert!(error.to_string().contains("MULTI"), "{error}");
    // On a connection of one's own it gets a reply for each.
    let pool = Pool::builder([cluster[0].address().to_string()]).build_blocking().unwrap();
    let replies: Vec<redis::Value> = pool.with("key", |connection| by_hand.query(connection)).unwrap();
    let queued = redis::Value::SimpleString("QUEUED".to_owned());
    let set = redis::Value::Array(vec![redis::Value::Okay]);
    assert_eq!(replies, [redis::Value::Okay, queued, set]);
}

#[test]
fn packed_commands_are_taken_too() {
    let cluster = Cluster::start(2);
    let mut ring = ring(&cluster);
    let packed = redis::cmd("SET").arg("k").arg("v").get_packed_command();
    assert_eq!(ring.req_packed_command(&packed).unwrap(), redis::Value::Okay);
    let two = [packed.clone(), packed].concat();
    assert_eq!(own(ring.req_packed_command(&two)).kind(), Kind::Refused);
    assert_eq!(own(ring.req_packed_command(b"GET k\r\n")).kind(), Kind::Protocol);
    let dynamic: &mut dyn ConnectionLike = &mut ring;
    assert_eq!(redis::cmd("GET").arg("k").query::<String>(dynamic).unwrap(), "v");
}

#[test]
fn clones_are_used_from_many_threads() {
    let cluster = Cluster::start(2);
    let ring = ring(&cluster);
    thread::scope(|scope| {
        for thread in 0..16 {
            let mut ring = ring.clone();
            scope.spawn(move || {
                for number in 0..100 {
                    let key = format!("key{thread}:{number}");
                    ring.set::<_, _, ()>(&key, number).unwrap();
                    assert_eq!(ring.get::<_, i64>(&key).unwrap(), number);
                    ring.incr::<_, _, i64>("all", 1).unwrap();
                }
            });
        }
    });
    assert_eq!(ring.clone().get::<_, i64>("all").unwrap(), 1600);
}

#[test]
fn a_blocking_command_waits_and_holds_up_nobody() {
    let cluster = Cluster::start(2);
    let ring = ring(&cluster);
    let (mut waiting, mut other) = (ring.clone(), ring);
    let waiter = thread::spawn(move || waiting.blpop::<_, (String, String)>("list", 10.0));
    for _ in 0..50 {
        other.set::<_, _, ()>("{list}x", 1).unwrap();
    }
    other.rpush::<_, _, ()>("list", "item").unwrap();
    assert_eq!(waiter.join().unwrap().unwrap().1, "item");
}

#[test]
fn the_last_drop_ends_connections_and_runtime() {
    let cluster = Cluster::start(1);
    let one = ring(&cluster);
    let mut two = one.clone();
    let mut shard = one.shard_for("k").unwrap();
    drop(one);
    two.set::<_, _, ()>("k", "v").unwrap();
    drop(two);
    // A shard keeps what it needs.
    assert_eq!(shard.get::<_, String>("k").unwrap(), "v");
    drop(shard);
    until("all connections are closed", || connected(&cluster[0]) == 0);
    let pool = Pool::builder(cluster.urls()).build_blocking().unwrap();
    let () = pool.with("k", |conn| conn.set("k", "w")).unwrap();
    assert_eq!(connected(&cluster[0]), 1);
    drop(pool);
    until("all connections are closed", || connected(&cluster[0]) == 0);
}

async fn everything_within_async(cluster: &Cluster) {
    let mut ring = ring(cluster);
    ring.set::<_, _, ()>("k", "v").unwrap();
    // More than the budget of a task, and never yielding.
    for _ in 0..1000 {
        assert_eq!(ring.get::<_, String>("k").unwrap(), "v");
    }
    ring.for_each_shard(|shard| shard.ping()).unwrap();
    let pool = Pool::builder(cluster.urls()).build_blocking().unwrap();
    let value: String = pool
        .with("k", |conn| {
            conn.set::<_, _, ()>("k", "w")?;
            conn.get("k")
        })
        .unwrap();
    assert_eq!(value, "w");
    let moved = ring.clone();
    tokio::task::spawn_blocking(move || {
        let mut ring = moved;
        ring.ping::<()>().unwrap();
    })
    .await
    .unwrap();
    drop(ring);
    drop(pool);
}

#[tokio::test]
async fn within_an_async_program_nothing_panics() {
    everything_within_async(&Cluster::start(2)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn within_an_async_program_of_many_threads_nothing_panics() {
    let cluster = Cluster::start(2);
    tokio::spawn(async move { everything_within_async(&cluster).await }).await.unwrap();
}

#[test]
fn a_pool_lends_connections() {
    let cluster = Cluster::start(2);
    let pool = Pool::builder(cluster.urls()).build_blocking().unwrap();
    assert_eq!(pool.size(), 2);
    for number in 0..50 {
        let key = format!("key{number}");
        let () = pool.with(&key, |conn| conn.set(&key, number)).unwrap();
        let index = pool.index(&key);
        assert_eq!(cluster[index].command(&["GET", &key]).text(), number.to_string());
        assert_eq!(pool.id(index).unwrap(), cluster[index].address().to_string());
    }
    let totals: Vec<i64> = pool
        .with_index(1, |conn: &mut Connection| {
            for _ in 0..1000 {
                conn.send(redis::cmd("INCR").arg("n"))?;
            }
            assert_eq!(conn.owed(), 1000);
            assert_eq!(own(conn.get::<_, ()>("n")).kind(), Kind::Refused);
            conn.flush()?;
            (0..1000).map(|_| conn.receive()).collect()
        })
        .unwrap();
    assert_eq!(totals, (1..=1000).collect::<Vec<_>>());
    let stats = pool.stats();
    assert!(stats.iter().all(|stats| (stats.total, stats.idle) == (1, 1)), "{stats:?}");
    // Optimistic locking as the redis crate has it.
    let (n,): (i64,) = pool
        .with("n", |conn| {
            assert_eq!(conn.get_db(), 0);
            redis::transaction(conn, &["m"], |conn, pipe| {
                let old: Option<i64> = conn.get("m")?;
                pipe.set("m", old.unwrap_or(40) + 2).ignore().get("m").query(conn)
            })
        })
        .unwrap();
    assert_eq!(n, 42);
}

#[test]
fn a_pool_discards_connections_after_errors_and_panics() {
    let server = RedisServer::start();
    let pool = Pool::builder([server.url()]).build_blocking().unwrap();
    let id = || -> i64 { pool.with("k", |conn| redis::cmd("CLIENT").arg("ID").query(conn)).unwrap() };
    let first = id();
    assert_eq!(id(), first);
    let failed: RedisResult<()> =
        pool.with("k", |_| Err(redis::RedisError::from((redis::ErrorKind::Client, "as the test wants"))));
    assert!(failed.is_err());
    let second = id();
    assert_ne!(second, first);
    let panicked = thread::spawn({
        let pool = pool.clone();
        move || pool.with("k", |_| -> RedisResult<()> { panic!("as the test wants") })
    });
    assert!(panicked.join().is_err());
    let third = id();
    assert_ne!(third, second);
    pool.with("k", |conn| conn.send(&redis::cmd("PING"))).unwrap();
    assert_ne!(id(), third);
    until("one is left", || connected(&server) == 1);
    pool.with("k", |conn| {
        assert!(conn.is_open() && conn.check_connection());
        server.kill();
        assert!(!conn.check_connection() && !conn.is_open());
        Ok(())
    })
    .unwrap();
    assert_eq!(own(pool.with("k", |_| Ok(()))).kind(), Kind::ShardDown);
}

#[test]
fn a_pool_has_the_same_limits_and_errors() {
    let server = RedisServer::start();
    let silent = FakeServer::never_accepts();
    let pool = Pool::builder([server.url(), silent.url()])
        .max_connections_per_instance(1)
        .wait_timeout(Duration::from_millis(100))
        .connect_timeout(Duration::from_millis(200))
        .build_blocking()
        .unwrap();
    let nested = pool.with_index(0, |_| Ok(own(pool.with_index(0, |_| Ok(()))))).unwrap();
    assert_eq!((nested.kind(), nested.sent()), (Kind::Timeout, Sent::No));
    assert_eq!(own(pool.with_index(1, |_| Ok(()))).kind(), Kind::Timeout);
    assert_eq!(own(pool.with_index(2, |_| Ok(()))).kind(), Kind::Config);
    assert_eq!(pool.id(2).unwrap_err().kind(), Kind::Config);
    assert_eq!(Pool::builder(["a:b:c"]).build_blocking().unwrap_err().kind(), Kind::Config);
    assert_eq!(Ring::builder().build_blocking().unwrap_err().kind(), Kind::Config);
    drop(pool);
    // From other threads too, who wait for each other.
    let pool = Pool::builder([server.url()]).max_connections_per_instance(2).build_blocking().unwrap();
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..50 {
                    let _: i64 = pool.with("n", |conn| conn.incr("n", 1)).unwrap();
                }
            });
        }
    });
    assert_eq!(server.command(&["GET", "n"]).text(), "400");
    assert!(pool.stats()[0].total <= 2);
    pool.close();
    assert_eq!(own(pool.with("k", |_| Ok(()))).kind(), Kind::Refused);
    until("all are closed", || connected(&server) == 0);
}
