//! Optimistic transactions, against real servers.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::atomic::{AtomicI64, Ordering};

use redis::AsyncCommands;
use rendis::{Error, Kind, Ring, ShardSettings};
use rendis_testkit::{Answer, Cluster, FakeServer, RedisServer, Reply, use_up_the_turn};

async fn ring(cluster: &Cluster) -> Ring {
    let shards = cluster.urls().into_iter().enumerate().map(|(at, url)| (format!("shard{}", at + 1), url));
    Ring::builder().shards(shards).build().await.unwrap()
}

/// Counts attempts.
#[derive(Default)]
struct Attempts(AtomicI64);

impl Attempts {
    /// The number of the attempt that begins, from 1 on.
    fn begin(&self) -> i64 {
        self.0.fetch_add(1, Ordering::Relaxed) + 1
    }

    fn begun(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

#[tokio::test]
async fn concurrent_increments_are_all_counted() {
    let cluster = Cluster::start(3);
    let ring = ring(&cluster).await;
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let ring = ring.clone();
            // In a task, so this also shows that the future can be sent to another thread.
            tokio::spawn(async move {
                for _ in 0..5 {
                    loop {
                        let added = ring
                            .watch("counter", async |tx| {
                                let count: Option<i64> = tx.get("counter").await?;
                                redis::pipe()
                                    .atomic()
                                    .set("counter", count.unwrap_or(0) + 1)
                                    .exec_async(tx)
                                    .await
                            })
                            .await;
                        match added {
                            Ok(()) => break,
                            Err(error) if Error::of(&error).map(Error::kind) == Some(Kind::Conflict) => {}
                            Err(error) => panic!("{error}"),
                        }
                    }
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let count: i64 = ring.clone().get("counter").await.unwrap();
    assert_eq!(count, 40);
}

#[tokio::test]
async fn an_attempt_is_made_again_after_a_change_and_gives_up_in_the_end() {
    let cluster = Cluster::start(3);
    let ring = ring(&cluster).await;
    let attempts = Attempts::default();
    let other = ring.clone();
    let (value,): (i64,) = ring
        .watch("key", async |tx| {
            let attempt = attempts.begin();
            if attempt < 3 {
                other.clone().set::<_, _, ()>("key", attempt).await?;
            }
            redis::pipe().atomic().incr("key", 10).query_async(tx).await
        })
        .await
        .unwrap();
    assert_eq!((attempts.begun(), value), (3, 12));

    let error = ring
        .watch("key", async |tx| {
            other.clone().incr::<_, _, ()>("key", 1).await?;
            redis::pipe().atomic().incr("key", 10).exec_async(tx).await
        })
        .await
        .unwrap_err();
    assert_eq!(Error::of(&error).map(Error::kind), Some(Kind::Conflict));
}

#[tokio::test]
async fn an_attempt_whose_connection_the_shard_closed_is_made_again() {
    let cluster = Cluster::start(1);
    let ring = ring(&cluster).await;
    let attempts = Attempts::default();
    let (value,): (i64,) = ring
        .watch("key", async |tx| {
            let attempt = attempts.begin();
            if attempt == 1 {
                cluster[0].command(&["CLIENT", "KILL", "TYPE", "normal"]);
                // Other connections hear of it, too, and are made again.
                while ring.clone().set::<_, _, ()>("key", 5).await.is_err() {}
            }
            redis::pipe().atomic().incr("key", 10).query_async(tx).await
        })
        .await
        .unwrap();
    assert_eq!((attempts.begun(), value), (2, 15));
}

#[tokio::test]
async fn a_lost_watch_is_seen_though_the_task_has_used_up_its_turn() {
    let cluster = Cluster::start(1);
    let ring = ring(&cluster).await;
    let attempts = Attempts::default();
    let result: redis::RedisResult<(i64,)> = ring
        .watch("key", async |tx| {
            let attempt = attempts.begin();
            if attempt == 1 {
                cluster[0].command(&["CLIENT", "KILL", "TYPE", "normal"]);
                while ring.clone().set::<_, _, ()>("key", 5).await.is_err() {}
                use_up_the_turn().await;
            }
            redis::pipe().atomic().incr("key", 10).query_async(tx).await
        })
        .await;
    assert_eq!((attempts.begun(), result.unwrap()), (2, (15,)));
}

#[tokio::test]
async fn an_attempt_whose_keys_move_is_made_again() {
    let cluster = Cluster::start(2);
    let ring = ring(&cluster).await;
    let home = ring.shard_for("key").unwrap().name().to_owned();
    let urls = cluster.urls().into_iter().enumerate();
    let all = urls.map(|(at, url)| ShardSettings::new(format!("shard{}", at + 1), &url).unwrap());
    let rest: Vec<_> = all.filter(|shard| shard.name != home).collect();
    for reads in [false, true] {
        let attempts = Attempts::default();
        let result: redis::RedisResult<(i64,)> = ring
            .watch("key", async |tx| {
                let attempt = attempts.begin();
                if attempt == 1 {
                    ring.set_shards(rest.clone()).unwrap();
                }
                if reads {
                    let _: Option<i64> = tx.get("key").await?;
                }
                redis::pipe().atomic().incr("key", 10).query_async(tx).await
            })
            .await;
        assert_eq!(result.unwrap(), if reads { (20,) } else { (10,) });
        let back: Vec<_> = cluster.urls().into_iter().enumerate().collect();
        let back = back.iter().map(|(at, url)| ShardSettings::new(format!("shard{}", at + 1), url).unwrap());
        assert_eq!(attempts.begun(), 2);
        ring.set_shards(back).unwrap();
        cluster.iter().for_each(|shard| {
            shard.command(&["SET", "key", "10"]);
        });
    }
}

#[tokio::test]
async fn what_ran_is_not_made_again_when_its_keys_move() {
    let cluster = Cluster::start(2);
    for reads in [false, true] {
        let ring = ring(&cluster).await;
        let home = ring.shard_for("key").unwrap().name().to_owned();
        let urls = cluster.urls().into_iter().enumerate();
        let all = urls.map(|(at, url)| ShardSettings::new(format!("shard{}", at + 1), &url).unwrap());
        let rest: Vec<_> = all.filter(|shard| shard.name != home).collect();
        cluster.iter().for_each(|shard| {
            shard.command(&["DEL", "key"]);
        });
        let attempts = Attempts::default();
        let result: redis::RedisResult<(i64,)> = ring
            .watch("key", async |tx| {
                attempts.begin();
                let mut pipe = redis::pipe();
                pipe.atomic().incr("key", 1);
                pipe.exec_async(tx).await?;
                ring.set_shards(rest.clone()).unwrap();
                if reads {
                    let _: i64 = tx.get("key").await?;
                }
                pipe.query_async(tx).await
            })
            .await;
        assert_eq!(result.unwrap_err().code(), Some("CROSSSLOT"));
        let values = cluster.iter().map(|shard| shard.command(&["GET", "key"]));
        assert_eq!(values.filter(|value| *value == Reply::bulk("1")).count(), 1);
        assert_eq!(attempts.begun(), 1);
    }
}

#[tokio::test]
async fn what_may_have_run_is_not_made_again_when_its_keys_move() {
    let hung = FakeServer::start(|request| match request.name().as_str() {
        "WATCH" | "MULTI" => Answer::ok(),
        "INCRBY" => Answer::text("+QUEUED\r\n"),
        "EXEC" => Answer::Silence,
        _ => Answer::handshake(request).unwrap_or(Answer::ok()),
    });
    let other = RedisServer::start();
    let ring = Ring::builder()
        .shard("shard1", hung.url())
        .reply_timeout(std::time::Duration::from_millis(200))
        .build()
        .await
        .unwrap();
    let attempts = Attempts::default();
    let result: redis::RedisResult<()> = ring
        .watch("key", async |tx| {
            attempts.begin();
            let mut pipe = redis::pipe();
            pipe.atomic().incr("key", 1);
            pipe.exec_async(tx).await.unwrap_err();
            ring.set_shards([ShardSettings::new("shard2", &other.url()).unwrap()]).unwrap();
            pipe.exec_async(tx).await
        })
        .await;
    assert!(result.is_err());
    assert_eq!((attempts.begun(), other.command(&["EXISTS", "key"]).integer()), (1, 0));
}

#[tokio::test]
async fn after_a_conflict_no_atomic_pipeline_of_the_attempt_runs() {
    let cluster = Cluster::start(1);
    let ring = ring(&cluster).await;
    let mut other = ring.clone();
    other.set::<_, _, ()>("key", 1).await.unwrap();
    let attempts = Attempts::default();
    let result: redis::RedisResult<()> = ring
        .watch("key", async |tx| {
            let attempt = attempts.begin();
            let seen: i64 = tx.get("key").await?;
            if attempt == 1 {
                other.clone().set::<_, _, ()>("key", 100).await?;
            }
            let mut pipe = redis::pipe();
            pipe.atomic().set("key", seen + 1);
            if pipe.exec_async(tx).await.is_err() {
                pipe.exec_async(tx).await?;
            }
            Ok(())
        })
        .await;
    result.unwrap();
    assert_eq!((attempts.begun(), other.get("key").await), (2, Ok(101)));
}

#[tokio::test]
async fn what_the_server_refuses_as_a_whole_ends_the_watch() {
    let server = RedisServer::builder().user("app", "on >secret ~* +@all -getdel").start();
    let ring = Ring::builder().shard("shard1", server.url_for("app", "secret")).build().await.unwrap();
    let mut other = ring.clone();
    other.set::<_, _, ()>("key", 1).await.unwrap();
    let result: redis::RedisResult<()> = ring
        .watch("key", async |tx| {
            let seen: i64 = tx.get("key").await?;
            let mut refused = redis::pipe();
            refused.atomic().cmd("GETDEL").arg("key").ignore().set("key", seen + 1);
            refused.exec_async(tx).await.unwrap_err();
            other.clone().set::<_, _, ()>("key", 100).await?;
            redis::pipe().atomic().del("key").set("key", seen + 1).exec_async(tx).await
        })
        .await;
    let error = result.unwrap_err();
    assert_eq!(Error::of(&error).map(Error::kind), Some(Kind::Refused), "{error}");
    assert_eq!(other.get("key").await, Ok(100));
}

#[tokio::test]
async fn what_is_not_on_the_watched_shard_is_refused() {
    let cluster = Cluster::start(3);
    let ring = ring(&cluster).await;
    let error = ring.watch(&["key1", "key2", "key3"], async |_| Ok(())).await.unwrap_err();
    assert_eq!(error.code(), Some("CROSSSLOT"), "{error}");
    let home = ring.shard_for("key1").unwrap().name().to_owned();
    let foreign =
        (0..100).map(|number| format!("k{number}")).find(|key| ring.shard_for(key).unwrap().name() != home);
    let foreign = foreign.unwrap();
    let error = ring.watch("key1", async |tx| tx.get::<_, Option<String>>(&foreign).await).await.unwrap_err();
    assert_eq!(error.code(), Some("CROSSSLOT"), "{error}");
}

#[tokio::test]
async fn connections_go_back_after_success_and_are_closed_after_an_error() {
    let cluster = Cluster::start(1);
    let ring = ring(&cluster).await;
    for _ in 0..3 {
        ring.watch("key", async |tx| tx.set::<_, _, ()>("key", 1).await).await.unwrap();
    }
    let pool = ring.stats().pool();
    assert_eq!((pool.misses, pool.hits, pool.idle, pool.total), (1, 2, 1, 1));
    ring.watch("key", async |tx| tx.incr::<_, _, ()>("key", "x").await).await.unwrap_err();
    assert_eq!(ring.stats().pool().total, 0);
    // The watch of an attempt that ran no pipeline is gone with its connection's next user.
    ring.watch("key", async |_| Ok(())).await.unwrap();
    ring.clone().set::<_, _, ()>("key", 5).await.unwrap();
    let (value,): (i64,) = ring
        .watch("other", async |tx| redis::pipe().atomic().get("key").query_async(tx).await)
        .await
        .unwrap();
    assert_eq!(value, 5);
}

#[tokio::test]
async fn scripts_that_are_known_go_ahead_of_a_transaction() {
    let cluster = Cluster::start(3);
    let mut ring = ring(&cluster).await;
    let script = redis::Script::new("return redis.call('INCRBY', KEYS[1], ARGV[1])");
    script.load_async(&mut ring).await.unwrap();
    let forget = || cluster.iter().for_each(|server| drop(server.command(&["SCRIPT", "FLUSH"])));
    let sha = script.get_hash();
    let run = |by: u8| redis::cmd("EVALSHA").arg(sha).arg(1).arg("key").arg(by).to_owned();
    forget();
    let atomic =
        redis::pipe().atomic().set("key", 1).ignore().add_command(run(2)).add_command(run(3)).to_owned();
    let both: (u64, u64) = atomic.query_async(&mut ring).await.unwrap();
    assert_eq!(both, (3, 6));
    forget();
    let both: (u64, u64) = ring.watch("key", async |tx| atomic.query_async(tx).await).await.unwrap();
    assert_eq!(both, (3, 6));
    forget();
    let plain = redis::pipe().add_command(run(1)).add_command(run(1)).to_owned();
    let (one, two): (u64, (u64, u64)) = ring
        .watch("key", async |tx| {
            let one = run(1).query_async(tx).await?;
            forget();
            Ok((one, plain.query_async(tx).await?))
        })
        .await
        .unwrap();
    assert_eq!((one, two), (7, (8, 9)));
}

/// In a web server's handler, say: a task of its own, with a key that was made there.
#[tokio::test]
async fn an_attempt_in_a_task_may_use_what_is_the_tasks() {
    let cluster = Cluster::start(2);
    let shards = cluster.urls().into_iter().enumerate().map(|(at, url)| (format!("shard{at}"), url));
    let ring = Ring::builder().shards(shards).build().await.unwrap();
    async fn buy(ring: Ring, user: String) -> redis::RedisResult<i64> {
        let stock = format!("{{{user}}}:stock");
        let (left,): (i64,) = ring
            .watch(&stock, async |tx| {
                let have: i64 = tx.get::<_, Option<i64>>(&stock).await?.unwrap_or(9);
                redis::pipe().atomic().set(&stock, have - 1).ignore().get(&stock).query_async(tx).await
            })
            .await?;
        let pattern = format!("*{user}*");
        let found = AtomicI64::new(0);
        ring.for_each_shard(async |mut shard| {
            let keys: Vec<String> = shard.keys(&pattern).await?;
            found.fetch_add(i64::try_from(keys.len()).unwrap(), Ordering::Relaxed);
            Ok(())
        })
        .await?;
        assert_eq!(found.into_inner(), 1);
        Ok(left)
    }
    for left in [8, 7] {
        assert_eq!(tokio::spawn(buy(ring.clone(), "anna".to_owned())).await.unwrap().unwrap(), left);
    }
}
