//! What a `Pool` promises, against real servers and bad ones.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::error::Error as _;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use futures_util::future::{join_all, pending};
use redis::{AsyncCommands, RedisResult};
use rendis::{Connection, Error, Kind, Pool, PoolBuilder, Secret, Sent, hash};
use rendis_testkit::{Answer, Cluster, FakeServer, RedisServer};
use tokio::sync::oneshot;

fn builder(server: &RedisServer) -> PoolBuilder {
    Pool::builder([server.url()]).client_name("pooled")
}

/// How many connections of pools under test `server` sees.
fn connected(server: &RedisServer) -> usize {
    server.command(&["CLIENT", "LIST"]).text().lines().filter(|line| line.contains("name=pooled")).count()
}

/// Waits until `condition` holds: what one side closed, the other side sees a little later.
async fn eventually(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !condition() {
        assert!(Instant::now() < deadline, "not within 10 s: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn client_id(pool: &Pool) -> i64 {
    pool.with("k", async |conn| redis::cmd("CLIENT").arg("ID").query_async(conn).await).await.unwrap()
}

fn own<T: std::fmt::Debug>(result: RedisResult<T>) -> Error {
    let error = result.unwrap_err();
    Error::of(&error).unwrap_or_else(|| panic!("not an error of this crate: {error}")).clone()
}

#[tokio::test]
async fn every_key_is_on_the_instance_of_its_index() {
    let cluster = Cluster::start(3);
    let pool = Pool::builder(cluster.urls()).build().unwrap();
    assert_eq!(pool.size(), 3);
    for number in 0..100 {
        let key = format!("key{number}");
        pool.with(&key, async |conn| conn.set::<_, _, ()>(&key, number).await).await.unwrap();
        let index = pool.index(&key);
        assert_eq!(index, usize::try_from(hash::murmur3(key.as_bytes()) % 3).unwrap());
        assert_eq!(cluster[index].command(&["GET", &key]).text(), number.to_string());
        assert_eq!(pool.id(index).unwrap(), cluster[index].address().to_string());
    }
    assert_eq!(cluster.sizes().iter().sum::<i64>(), 100);
}

#[test]
fn indices_are_those_of_roshi() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../core/tests/vectors/roshi.json");
    let vectors: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let keys: Vec<Vec<u8>> =
        vectors["keys_hex"].as_array().unwrap().iter().map(|key| hex(key.as_str().unwrap())).collect();
    let mut checked = 0;
    for config in vectors["configs"].as_array().unwrap() {
        let size = usize::try_from(config["n"].as_u64().unwrap()).unwrap();
        let builder = Pool::builder((0..size).map(|at| format!("10.0.0.1:{}", 7000 + at)));
        let pool = match config["hash"].as_str().unwrap() {
            "murmur3" => builder.build(),
            "fnv" => builder.hash(hash::fnv1).build(),
            "fnva" => builder.hash(hash::fnv1a).build(),
            other => panic!("unknown hash {other}"),
        }
        .unwrap();
        for (key, index) in keys.iter().zip(config["placement"].as_array().unwrap()) {
            assert_eq!(
                u64::try_from(pool.index(key)).unwrap(),
                index.as_u64().unwrap(),
                "{} {key:?}",
                config["id"]
            );
            checked += 1;
        }
    }
    assert_eq!(checked, 14 * 161);
}

fn hex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

#[tokio::test]
async fn the_redis_crates_commands_pipelines_transactions_and_scripts_work() {
    let server = RedisServer::start();
    let pool = builder(&server).build().unwrap();
    let script = redis::Script::new("return tonumber(ARGV[1]) + redis.call('INCR', KEYS[1])");
    pool.with("n", async |conn| {
        conn.set::<_, _, ()>("n", 1).await?;
        let (two, text): (i64, String) =
            redis::pipe().incr("n", 1).set("s", "x").ignore().get("s").query_async(conn).await?;
        assert_eq!((two, text.as_str()), (2, "x"));
        let (three, four): (i64, i64) =
            redis::pipe().atomic().incr("n", 1).incr("n", 1).query_async(conn).await?;
        assert_eq!((three, four), (3, 4));
        let sum: i64 = script.key("n").arg(10).invoke_async(conn).await?;
        assert_eq!(sum, 15);
        let empty: Vec<i64> = redis::pipe().query_async(conn).await?;
        assert!(empty.is_empty());
        let missing: Option<String> = conn.get("none").await?;
        assert_eq!(missing, None);
        Ok(())
    })
    .await
    .unwrap();
    assert_eq!(pool.stats()[0].idle, 1);
    // An error inside a transaction, and a transaction that is refused, leave the connection in step.
    pool.with("n", async |conn| {
        let failed = redis::pipe().atomic().set("t", "x").incr("t", 1).exec_async(conn).await;
        assert!(failed.unwrap_err().to_string().contains("not an integer"));
        let refused = redis::pipe().atomic().cmd("SET").arg("t").exec_async(conn).await;
        assert!(refused.unwrap_err().to_string().contains("wrong number of arguments"));
        assert_eq!(conn.get::<_, String>("t").await?, "x");
        Ok(())
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn explicit_pipelining_uses_one_connection_and_keeps_the_order() {
    let server = RedisServer::start();
    let pool = builder(&server).build().unwrap();
    let keys: Vec<String> = (0..5000).map(|number| format!("key{}", number % 100)).collect();
    let values = pool
        .with_index(0, async |conn| {
            for key in &keys {
                conn.send(redis::cmd("INCR").arg(key)).await?;
            }
            assert_eq!(conn.owed(), 5000);
            conn.flush().await?;
            let mut values: Vec<i64> = Vec::new();
            for _ in &keys {
                values.push(conn.receive().await?);
            }
            Ok(values)
        })
        .await
        .unwrap();
    assert!(values.iter().enumerate().all(|(at, value)| *value == i64::try_from(at / 100 + 1).unwrap()));
    // Receiving flushes by itself; an error reply and a reply of another type take nothing but themselves.
    pool.with_index(0, async |conn| {
        conn.send(redis::cmd("SET").arg("s").arg("x")).await?;
        conn.send(redis::cmd("INCR").arg("s")).await?;
        conn.send(redis::cmd("GET").arg("s")).await?;
        conn.send(redis::cmd("GET").arg("s")).await?;
        conn.receive::<()>().await?;
        assert_eq!(conn.receive::<i64>().await.unwrap_err().code(), Some("ERR"));
        assert!(conn.receive::<i64>().await.is_err());
        assert_eq!(conn.receive::<String>().await?, "x");
        Ok(())
    })
    .await
    .unwrap();
    let stats = pool.stats()[0];
    assert_eq!((stats.misses, stats.hits, stats.idle, stats.total), (1, 1, 1, 1));
    assert_eq!(connected(&server), 1);
}

#[tokio::test]
async fn ok_gives_the_connection_back_and_everything_else_discards_it() {
    let server = RedisServer::start();
    let pool = builder(&server).build().unwrap();
    let first = client_id(&pool).await;
    assert_eq!(client_id(&pool).await, first);

    let failed: RedisResult<()> =
        pool.with("k", async |conn| conn.hget::<_, _, ()>("k", 1).await.and_then(|()| Err(other()))).await;
    assert!(failed.is_err());
    let second = client_id(&pool).await;
    assert_ne!(second, first);

    let task = tokio::spawn({
        let pool = pool.clone();
        async move { pool.with("k", async |_| -> RedisResult<()> { panic!("as the test wants") }).await }
    });
    assert!(task.await.unwrap_err().is_panic());
    let third = client_id(&pool).await;
    assert_ne!(third, second);

    assert!(pool.with("k", async |_| pending::<RedisResult<()>>().await).now_or_never().is_none());
    let fourth = client_id(&pool).await;
    assert_ne!(fourth, third);

    // A server's error reply inside an `Ok` is the caller's own matter.
    let inside: RedisResult<i64> = pool
        .with("k", async |conn| {
            conn.set::<_, _, ()>("k", "text").await?;
            Ok(conn.incr("k", 1).await)
        })
        .await
        .unwrap();
    assert_eq!(inside.unwrap_err().code(), Some("ERR"));
    assert_eq!(client_id(&pool).await, fourth);
    eventually("one connection is left", || connected(&server) == 1).await;
    assert_eq!(pool.stats()[0].total, 1);
}

fn other() -> redis::RedisError {
    redis::RedisError::from((redis::ErrorKind::Client, "the caller's own"))
}

#[tokio::test]
async fn unread_replies_and_unsent_requests_discard_the_connection() {
    let server = RedisServer::start();
    let pool = builder(&server).build().unwrap();
    let first = client_id(&pool).await;
    pool.with("k", async |conn| {
        conn.send(&redis::cmd("PING")).await?;
        conn.send(&redis::cmd("PING")).await?;
        conn.receive::<String>().await.map(drop)
    })
    .await
    .unwrap();
    let second = client_id(&pool).await;
    assert_ne!(second, first);
    pool.with("k", async |conn| conn.send(&redis::cmd("PING")).await).await.unwrap();
    let third = client_id(&pool).await;
    assert_ne!(third, second);
    // A call whose future was dropped is owed its reply all the same.
    pool.with("k", async |conn| {
        let late = tokio::time::timeout(Duration::from_millis(10), conn.blpop::<_, ()>("list", 5.0)).await;
        assert!(late.is_err());
        Ok(())
    })
    .await
    .unwrap();
    assert_ne!(client_id(&pool).await, third);
}

#[tokio::test]
async fn what_a_user_sets_does_not_reach_the_next_one() {
    let server = RedisServer::start();
    let pool = builder(&server).build().unwrap();
    let mut id = client_id(&pool).await;
    for words in ["SELECT 3", "WATCH k", "MULTI", "CLIENT SETNAME other", "CLIENT TRACKING on", "HELLO 2"] {
        let mut cmd = redis::Cmd::new();
        words.split(' ').for_each(|word| {
            cmd.arg(word);
        });
        pool.with("k", async |conn| cmd.exec_async(conn).await).await.unwrap();
        let next = client_id(&pool).await;
        assert_ne!(next, id, "{words}");
        id = next;
    }
    // What is undone is no reason.
    pool.with("k", async |conn| {
        redis::cmd("WATCH").arg("k").exec_async(conn).await?;
        redis::pipe().atomic().incr("k", 1).exec_async(conn).await?;
        redis::cmd("WATCH").arg("k").exec_async(conn).await?;
        redis::cmd("UNWATCH").exec_async(conn).await
    })
    .await
    .unwrap();
    assert_eq!(client_id(&pool).await, id);
}

#[tokio::test]
async fn a_watched_key_that_changes_stops_the_transaction() {
    let server = RedisServer::start();
    let pool = builder(&server).build().unwrap();
    let outcome = pool
        .with("k", async |conn| {
            redis::cmd("WATCH").arg("k").exec_async(conn).await?;
            server.command(&["SET", "k", "changed"]);
            redis::pipe().atomic().incr("k", 1).query_async::<Option<(i64,)>>(conn).await
        })
        .await
        .unwrap();
    assert_eq!(outcome, None);
}

#[tokio::test]
async fn no_reply_is_paired_with_another_command() {
    let server = RedisServer::start();
    let pool = builder(&server).build().unwrap();
    let id = client_id(&pool).await;
    pool.with("k", async |conn| {
        conn.send(redis::cmd("ECHO").arg("first")).await?;
        let error = own(conn.get::<_, Option<String>>("k").await);
        assert_eq!((error.kind(), error.sent()), (Kind::Refused, Sent::No));
        assert!(error.to_string().contains("1 replies are owed"), "{error}");
        assert_eq!(own(redis::pipe().get("k").exec_async(conn).await).kind(), Kind::Refused);
        assert_eq!(conn.receive::<String>().await?, "first");
        assert_eq!(own(conn.receive::<()>().await).kind(), Kind::Refused);
        // The reply of a call that was dropped is the next to be received.
        assert!(conn.incr::<_, _, i64>("k", 41).now_or_never().is_none());
        assert_eq!(own(conn.incr::<_, _, i64>("k", 1).await).kind(), Kind::Refused);
        assert_eq!(conn.receive::<i64>().await?, 41);
        assert_eq!(conn.incr::<_, _, i64>("k", 1).await?, 42);
        Ok(())
    })
    .await
    .unwrap();
    assert_eq!(client_id(&pool).await, id);
}

#[tokio::test]
async fn commands_whose_replies_cannot_be_paired_are_refused() {
    let server = RedisServer::start();
    let pool = builder(&server).build().unwrap();
    let id = client_id(&pool).await;
    for words in
        [&["SUBSCRIBE", "c"][..], &["PSUBSCRIBE", "p"], &["MONITOR"], &["CLIENT", "REPLY", "OFF"], &[]]
    {
        let mut cmd = redis::Cmd::new();
        cmd.arg(words);
        pool.with("k", async |conn| {
            let error = own(cmd.exec_async(conn).await);
            assert_eq!((error.kind(), error.sent()), (Kind::Refused, Sent::No), "{words:?}");
            assert_eq!(error.command(), words.first().copied());
            assert_eq!(own(conn.send(&cmd).await).kind(), Kind::Refused);
            assert_eq!(
                own(redis::pipe().set("a", 1).add_command(cmd.clone()).exec_async(conn).await).kind(),
                Kind::Refused
            );
            Ok(())
        })
        .await
        .unwrap();
    }
    assert_eq!(client_id(&pool).await, id);
    assert_eq!(server.command(&["DBSIZE"]).integer(), 0, "nothing of a refused pipeline was sent");
}

#[tokio::test]
async fn what_a_server_says_unasked_is_no_reply() {
    let server = RedisServer::start();
    let pool = builder(&server).build().unwrap();
    let got: String = pool
        .with("k", async |conn| {
            redis::cmd("CLIENT").arg("TRACKING").arg("ON").exec_async(conn).await?;
            conn.set::<_, _, ()>("k", "before").await?;
            conn.get::<_, ()>("k").await?;
            server.command(&["SET", "k", "after"]);
            conn.get("k").await
        })
        .await
        .unwrap();
    assert_eq!(got, "after");
}

#[tokio::test]
async fn a_blocking_command_may_take_longer_than_the_read_timeout() {
    let server = RedisServer::start();
    let pool = builder(&server).read_timeout(Duration::from_millis(100)).build().unwrap();
    for wait in [0.0, 5.0] {
        let waiting = pool.with("list", async |conn| conn.blpop::<_, (String, String)>("list", wait).await);
        let pushing = async {
            tokio::time::sleep(Duration::from_millis(300)).await;
            server.command(&["RPUSH", "list", "item"]);
        };
        let (got, ()) = tokio::join!(waiting, pushing);
        assert_eq!(got.unwrap().1, "item");
    }
    // By hand and in a pipeline the same; each command its own.
    let (nothing, after) = pool
        .with("list", async |conn| {
            conn.send(redis::cmd("BLPOP").arg("list").arg(0.3)).await?;
            conn.send(&redis::cmd("PING")).await?;
            let by_hand: (Option<String>, String) = (conn.receive().await?, conn.receive().await?);
            let piped: (Option<String>, String) =
                redis::pipe().cmd("BLPOP").arg("list").arg(0.3).cmd("PING").query_async(conn).await?;
            assert_eq!(piped, by_hand);
            Ok(by_hand)
        })
        .await
        .unwrap();
    assert_eq!((nothing, after.as_str()), (None, "PONG"));
}

#[tokio::test]
async fn waiting_for_a_connection_has_a_limit() {
    let server = RedisServer::start();
    let pool = builder(&server)
        .max_connections_per_instance(1)
        .wait_timeout(Duration::from_millis(100))
        .build()
        .unwrap();
    let error = pool
        .with("k", async |_| {
            let started = Instant::now();
            let error = own(pool.with("k", async |_| Ok(())).await);
            assert!(started.elapsed() >= Duration::from_millis(100), "{:?}", started.elapsed());
            assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
            Ok(error)
        })
        .await
        .unwrap();
    assert_eq!((error.kind(), error.sent()), (Kind::Timeout, Sent::No));
    assert_eq!(error.shard(), Some(&*server.address().to_string()));
    assert!(error.to_string().contains("no free connection in 100ms"), "{error}");
    let stats = pool.stats()[0];
    assert_eq!((stats.waits, stats.timeouts, stats.idle, stats.total), (1, 1, 1, 1));

    let impatient =
        builder(&server).max_connections_per_instance(1).wait_timeout(Duration::ZERO).build().unwrap();
    let refused = impatient.with("k", async |_| Ok(own(impatient.with("k", async |_| Ok(())).await))).await;
    assert_eq!(refused.unwrap().kind(), Kind::Timeout);
}

#[tokio::test]
async fn who_asks_first_is_served_first() {
    let server = RedisServer::start();
    let pool = builder(&server).max_connections_per_instance(1).build().unwrap();
    let order = Arc::new(Mutex::new(Vec::new()));
    let (release, held) = oneshot::channel::<()>();
    let holder = pool.with("k", async |_| {
        held.await.unwrap();
        Ok(())
    });
    let waiters = (0..20).map(|number| {
        let (pool, order) = (&pool, &order);
        async move {
            // Every other one gives its connection back, the rest have it discarded.
            let work = async |_: &mut Connection| {
                order.lock().unwrap().push(number);
                tokio::task::yield_now().await;
                if number % 2 == 0 { Ok(()) } else { Err(other()) }
            };
            assert_eq!(pool.with("k", work).await.is_ok(), number % 2 == 0);
        }
    });
    // The waiters are polled, and so ask, in their order.
    let releasing = async {
        eventually("all wait", || pool.stats()[0].waits == 20).await;
        release.send(()).unwrap();
    };
    let (held, _, ()) = tokio::join!(holder, join_all(waiters), releasing);
    held.unwrap();
    assert_eq!(*order.lock().unwrap(), (0..20).collect::<Vec<_>>());
    assert_eq!(pool.stats()[0].waits, 20);
}

#[tokio::test]
async fn dialling_counts_against_the_limit() {
    let server = FakeServer::start(|_| Answer::Silence);
    let pool = Pool::builder([server.url()])
        .max_connections_per_instance(2)
        .connect_timeout(Duration::from_millis(400))
        .wait_timeout(Duration::from_millis(100))
        .build()
        .unwrap();
    let calls = join_all((0..5).map(|_| pool.with("k", async |_| Ok(()))));
    let looking = async {
        eventually("two dial", || pool.stats()[0].total == 2 && server.connections() == 2).await;
        assert_eq!(pool.stats()[0].idle, 0);
    };
    let (outcomes, ()) = tokio::join!(calls, looking);
    let texts: Vec<String> = outcomes.into_iter().map(|outcome| own(outcome).to_string()).collect();
    assert_eq!(texts.iter().filter(|text| text.contains(" in 400ms")).count(), 2, "{texts:?}");
    assert_eq!(
        texts.iter().filter(|text| text.contains("no free connection in 100ms")).count(),
        3,
        "{texts:?}"
    );
    assert_eq!(server.connections(), 2);
    assert_eq!((pool.stats()[0].total, pool.stats()[0].idle), (0, 0));
}

#[tokio::test]
async fn a_closed_pool_closes_idle_connections_and_leaves_those_in_use_alone() {
    let server = RedisServer::start();
    let pool = builder(&server).max_connections_per_instance(2).build().unwrap();
    let clone = pool.clone();
    pool.with("k", async |conn| {
        // A second one, which is idle when the pool closes.
        clone.with("k", async |_| Ok(())).await?;
        assert_eq!(connected(&server), 2);
        clone.close();
        clone.close();
        eventually("the idle one is closed", || connected(&server) == 1).await;
        assert_eq!(own(pool.with("k", async |_| Ok(())).await).kind(), Kind::Refused);
        conn.set::<_, _, ()>("k", "still").await
    })
    .await
    .unwrap();
    eventually("the other one is closed", || connected(&server) == 0).await;
    assert_eq!(server.command(&["GET", "k"]).text(), "still");
    let error = own(pool.with("k", async |_| Ok(())).await);
    assert_eq!((error.kind(), error.sent()), (Kind::Refused, Sent::No));
    assert_eq!(pool.stats()[0].total, 0);
}

#[tokio::test]
async fn closing_ends_the_waiting_too() {
    let server = RedisServer::start();
    let pool = builder(&server)
        .max_connections_per_instance(1)
        .wait_timeout(Duration::from_secs(60))
        .build()
        .unwrap();
    pool.with("k", async |_| {
        let closing = async {
            eventually("one waits", || pool.stats()[0].waits == 1).await;
            pool.close();
        };
        let (waiting, ()) = tokio::join!(pool.with("k", async |_| Ok(())), closing);
        assert_eq!(own(waiting).kind(), Kind::Refused);
        Ok(())
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn the_last_clone_takes_the_idle_connections_with_it() {
    let server = RedisServer::start();
    let pool = builder(&server).build().unwrap();
    client_id(&pool.clone()).await;
    assert_eq!(connected(&server), 1);
    drop(pool);
    eventually("none is left", || connected(&server) == 0).await;
}

#[tokio::test]
async fn an_index_that_is_not_there_is_an_error() {
    let pool = Pool::builder(["127.0.0.1:1", "127.0.0.1:2"]).build().unwrap();
    assert_eq!(pool.id(0).unwrap(), "127.0.0.1:1");
    for index in [2, usize::MAX] {
        let error = pool.id(index).unwrap_err();
        assert_eq!(error.kind(), Kind::Config);
        assert!(error.to_string().contains("the pool has 2"), "{error}");
        let error = own(pool.with_index(index, async |_| Ok(())).await);
        assert_eq!((error.kind(), error.sent()), (Kind::Config, Sent::No));
    }
}

#[tokio::test]
async fn a_dead_instance_fails_its_own_keys_at_once() {
    let cluster = Cluster::start(2);
    let pool = Pool::builder(cluster.urls()).build().unwrap();
    cluster[0].kill();
    let started = Instant::now();
    let error = own(pool.with_index(0, async |conn| conn.ping::<()>().await).await);
    assert!(started.elapsed() < Duration::from_secs(1));
    assert_eq!((error.kind(), error.sent()), (Kind::ShardDown, Sent::No));
    assert_eq!(error.shard(), Some(pool.id(0).unwrap()));
    assert!(error.to_string().contains("connection refused"), "{error}");
    assert!(error.source().is_some(), "the cause is there");
    pool.with_index(1, async |conn| conn.ping::<()>().await).await.unwrap();
}

#[tokio::test]
async fn an_error_names_shard_command_and_whether_it_was_sent() {
    let server = RedisServer::start();
    let pool = builder(&server).read_timeout(Duration::from_millis(100)).build().unwrap();
    client_id(&pool).await;
    server.stop();
    let error = own(pool.with("k", async |conn| conn.incr::<_, _, i64>("k", 1).await).await);
    server.cont();
    assert_eq!((error.kind(), error.sent()), (Kind::Timeout, Sent::Maybe));
    assert_eq!(error.command(), Some("INCRBY"));
    assert_eq!(error.shard(), Some(&*server.address().to_string()));
    assert_eq!(error.address(), Some(&*server.address().to_string()));

    // After the error nothing more is sent.
    pool.with("k", async |conn| {
        server.kill();
        let error = own(conn.get::<_, ()>("k").await);
        assert_eq!(
            (error.kind(), error.sent(), error.command()),
            (Kind::ShardDown, Sent::Maybe, Some("GET"))
        );
        assert_eq!(own(conn.send(redis::cmd("GET").arg("k")).await).sent(), Sent::No);
        Ok(())
    })
    .await
    .unwrap();
    server.restart();
    pool.with("k", async |conn| conn.ping::<()>().await).await.unwrap();
}

#[tokio::test]
async fn a_wrong_password_is_told_with_shard_and_cause() {
    let server = RedisServer::builder().password("right").start();
    let pool = Pool::builder([format!("redis://:wrong@{}", server.address())]).build().unwrap();
    let error = own(pool.with("k", async |_| Ok(())).await);
    assert_eq!((error.kind(), error.sent()), (Kind::Auth, Sent::No));
    assert_eq!(error.shard(), Some(&*server.address().to_string()));
    assert!(error.text().contains("WRONGPASS"), "{error}");
    assert!(!format!("{error} {error:?} {pool:?}").contains("wrong@"), "{error:?}");
    let none = Pool::builder([server.address().to_string()]).build().unwrap();
    assert_eq!(own(none.with("k", async |_| Ok(())).await).kind(), Kind::Auth);
    let right = Pool::builder([server.url()]).build().unwrap();
    right.with("k", async |conn| conn.ping::<()>().await).await.unwrap();
}

#[tokio::test]
async fn settings_of_an_instance_reach_its_connections() {
    let server = RedisServer::builder().user("app", "on >secret ~* +@all").start();
    let pool = Pool::builder([format!("redis://{}/3", server.address())])
        .client_name("pooled")
        .each_instance(|position, settings| {
            assert_eq!(position, 0);
            settings.username = Some("app".to_owned());
            settings.password = Some(Secret::new("secret"));
        })
        .build()
        .unwrap();
    let (who, info): (String, String) = pool
        .with("k", async |conn| {
            conn.set::<_, _, ()>("k", 1).await?;
            redis::pipe().cmd("ACL").arg("WHOAMI").cmd("CLIENT").arg("INFO").query_async(conn).await
        })
        .await
        .unwrap();
    assert_eq!(who, "app");
    assert!(info.contains("db=3") && info.contains("name=pooled"), "{info}");
    let unix = RedisServer::builder().unix().start();
    let pool = Pool::builder([unix.url()]).build().unwrap();
    pool.with("k", async |conn| conn.set::<_, _, ()>("k", 1).await).await.unwrap();
    assert!(pool.id(0).unwrap().ends_with(&unix.socket().display().to_string()));
}

#[tokio::test]
async fn a_server_that_is_no_redis_is_a_protocol_error() {
    for answer in
        [Answer::garbage(), Answer::http(), Answer::huge_bulk(), Answer::huge_array(), Answer::nested(100)]
    {
        // From the first byte on, and after a handshake that was in order.
        let first = answer.clone();
        let stranger = FakeServer::start(move |_| first.clone());
        let liar =
            FakeServer::start(move |request| Answer::handshake(request).unwrap_or_else(|| answer.clone()));
        let pool = Pool::builder([stranger.url(), liar.url()]).build().unwrap();
        let error = own(pool.with_index(0, async |_| Ok(())).await);
        assert_eq!((error.kind(), error.sent()), (Kind::Protocol, Sent::No), "{error}");
        let error = own(pool.with_index(1, async |conn| conn.get::<_, ()>("k").await).await);
        assert_eq!((error.kind(), error.sent()), (Kind::Protocol, Sent::Maybe), "{error}");
        assert_eq!(error.command(), Some("GET"));
        assert!(pool.stats().iter().all(|stats| stats.total == 0));
    }
    let talker = FakeServer::start_with_greeting(b"SSH-2.0-OpenSSH\r\n".to_vec(), |_| Answer::Silence);
    let pool = Pool::builder([talker.url()]).build().unwrap();
    assert_eq!(own(pool.with("k", async |_| Ok(())).await).kind(), Kind::Protocol);
}

#[tokio::test]
async fn a_connection_with_bytes_nobody_asked_for_is_not_lent_again() {
    let server =
        FakeServer::start(|request| Answer::handshake(request).unwrap_or_else(|| Answer::too_many(2)));
    let pool = Pool::builder([server.url()]).build().unwrap();
    for round in 1..4 {
        pool.with("k", async |conn| conn.set::<_, _, ()>("k", 1).await).await.unwrap();
        assert_eq!(server.connections(), round);
    }
}

#[tokio::test]
async fn a_reply_must_come_whole_within_the_read_timeout() {
    let server = FakeServer::start(|request| {
        Answer::handshake(request).unwrap_or_else(|| Answer::Drip {
            bytes: b"$20\r\n01234567890123456789\r\n".to_vec(),
            size: 1,
            pause: Duration::from_millis(100),
        })
    });
    let pool = Pool::builder([server.url()]).read_timeout(Duration::from_millis(300)).build().unwrap();
    let started = Instant::now();
    let error = own(pool.with("k", async |conn| conn.get::<_, String>("k").await).await);
    assert_eq!(error.kind(), Kind::Timeout);
    assert!(started.elapsed() < Duration::from_millis(1500), "{:?}", started.elapsed());
}

#[tokio::test]
async fn a_server_that_takes_nothing_meets_the_write_timeout() {
    let server = FakeServer::start(|request| Answer::handshake(request).unwrap_or(Answer::Stall));
    let pool = Pool::builder([server.url()]).write_timeout(Duration::from_millis(200)).build().unwrap();
    let large = vec![b'x'; 32 << 20];
    // It reads the first request and then no more.
    let mut pipe = redis::pipe();
    pipe.get("k").set("k", &large);
    let error = own(pool.with("k", async |conn| pipe.exec_async(conn).await).await);
    assert_eq!((error.kind(), error.sent(), error.command()), (Kind::Timeout, Sent::Maybe, Some("GET")));
    assert!(error.text().contains("nothing could be written"), "{error}");
}

/// A server that answers each request before it reads the next one stops reading when its replies are not taken.
#[tokio::test]
async fn a_pipeline_larger_than_all_buffers_does_not_deadlock() {
    let server = FakeServer::start(|request| {
        Answer::handshake(request).unwrap_or_else(|| {
            let text = &request.arguments[1];
            Answer::Bytes([format!("${}\r\n", text.len()).as_bytes(), text, b"\r\n"].concat())
        })
    });
    let pool = Pool::builder([server.url()]).build().unwrap();
    let text = "x".repeat(64 << 10);
    let mut pipe = redis::pipe();
    (0..400).for_each(|_| {
        pipe.cmd("ECHO").arg(&text);
    });
    pool.with("k", async |conn| {
        let values: Vec<String> = pipe.query_async(conn).await?;
        assert!(values.len() == 400 && values.iter().all(|value| *value == text));
        for _ in 0..400 {
            conn.send(redis::cmd("ECHO").arg(&text)).await?;
        }
        for _ in 0..400 {
            assert_eq!(conn.receive::<String>().await?, text);
        }
        Ok(())
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn idle_connections_that_died_are_replaced() {
    let server = RedisServer::start();
    let pool = builder(&server).max_connections_per_instance(4).build().unwrap();
    let barrier = tokio::sync::Barrier::new(4);
    let all = || {
        join_all((0..4).map(|_| {
            pool.with("k", async |conn| {
                barrier.wait().await;
                conn.ping::<()>().await
            })
        }))
    };
    all().await.into_iter().for_each(|outcome| outcome.unwrap());
    server.restart();
    // The ends of the connections are in the kernel; the runtime sees them when it polls.
    tokio::time::sleep(Duration::from_millis(20)).await;
    all().await.into_iter().for_each(|outcome| outcome.unwrap());
    assert_eq!(pool.stats()[0].misses, 8);
}

#[test]
fn building_needs_no_runtime_and_tells_what_is_wrong() {
    let millisecond = Duration::from_millis(1);
    let one = || Pool::builder(["127.0.0.1:1"]);
    for (builder, words) in [
        (Pool::builder::<&str>([]), "at least one address"),
        (Pool::builder(["127.0.0.1:1", "a:b:c"]), "address 2"),
        (Pool::builder(["http://127.0.0.1"]), "scheme"),
        (Pool::builder(["127.0.0.1:0"]), "address 1"),
        (one().max_connections_per_instance(0), "max_connections_per_instance"),
        (one().max_connections_per_instance(usize::MAX), "max_connections_per_instance"),
        (one().connect_timeout(Duration::ZERO), "connect_timeout"),
        (one().read_timeout(Duration::ZERO), "read_timeout"),
        (one().write_timeout(Duration::ZERO), "write_timeout"),
        (one().each_instance(|_, settings| settings.weight = Some(2)), "weight"),
    ] {
        let error = builder.build().unwrap_err();
        assert_eq!(error.kind(), Kind::Config);
        assert!(error.to_string().contains(words), "{words}: {error}");
    }
    let error = Pool::builder(["redis://user:hunter2@host/x"]).build().unwrap_err();
    assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
    let pool = Pool::builder(["redis://user:hunter2@host:1/2"]).read_timeout(millisecond);
    assert!(!format!("{pool:?}").contains("hunter2"), "{pool:?}");
    let pool = pool.build().unwrap();
    assert_eq!(format!("{pool:?}"), "Pool[\"host:1\"]");
    // Nor does a call without a runtime panic.
    let error = own(pool.with("k", async |_| Ok(())).now_or_never().unwrap());
    assert_eq!(error.kind(), Kind::Config);
    // The same server twice is two instances.
    assert_eq!(Pool::builder(["127.0.0.1:1", "127.0.0.1:1"]).build().unwrap().size(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_can_be_spawned_and_shared_between_threads() {
    fn shared<T: Send + Sync + Clone + 'static>(_: &T) {}
    let server = RedisServer::start();
    let pool = builder(&server).max_connections_per_instance(3).build().unwrap();
    shared(&pool);
    let tasks = (0..50).map(|number| {
        let pool = pool.clone();
        tokio::spawn(async move {
            let key = format!("key{}", number % 5);
            let step = String::from("1");
            pool.with(&key, async |conn| {
                conn.send(redis::cmd("INCRBY").arg(&key).arg(&step)).await?;
                let one: i64 = conn.receive().await?;
                let two: i64 = conn.incr(&key, 1).await?;
                Ok((one, two))
            })
            .await
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        let (one, two) = task.await.unwrap().unwrap();
        assert!(two > one);
    }
    assert_eq!(server.command(&["GET", "key0"]).text(), "20");
    let stats = pool.stats()[0];
    assert!(stats.total <= 3 && stats.idle == stats.total, "{stats:?}");
    assert_eq!(stats.hits + stats.misses, 50);
    assert_eq!(connected(&server), stats.total);
}
