//! Which connection is given back, and which is lent again.

use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::{join_all, pending};
use redis::{AsyncCommands, RedisResult};
use rendis::Pool;
use rendis_testkit::{Answer, FakeServer, RedisServer, eventually};

use crate::{builder, client_id, connected, other};

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
