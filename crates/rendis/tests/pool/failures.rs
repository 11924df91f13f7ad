//! Servers that are dead, slow, strange, or refuse.

use std::error::Error as _;
use std::time::{Duration, Instant};

use redis::AsyncCommands;
use rendis::{Kind, Pool, Ring, Sent};
use rendis_testkit::{Answer, Cluster, FakeServer, RedisServer, use_up_the_turn};

use crate::{builder, client_id, own};

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
async fn a_server_that_is_no_redis_is_a_protocol_error() {
    for answer in
        [Answer::garbage(), Answer::http(), Answer::huge_bulk(), Answer::huge_array(), Answer::nested(5000)]
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
async fn what_nobody_is_owed_reaches_nobody_though_the_task_has_used_up_its_turn() {
    let server = FakeServer::start(|request| match request.name().as_str() {
        "SET" => {
            Answer::Drip { bytes: b"+OK\r\n+666\r\n".to_vec(), size: 5, pause: Duration::from_millis(30) }
        }
        "GET" => Answer::text("+1\r\n"),
        _ => Answer::handshake(request).unwrap_or(Answer::ok()),
    });
    let pool = Pool::builder([server.url()]).build().unwrap();
    pool.with("k", async |conn| conn.set::<_, _, ()>("k", 1).await).await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    use_up_the_turn().await;
    let value: i64 = pool.with("k", async |conn| conn.get("k").await).await.unwrap();
    assert_eq!(value, 1);
}

#[tokio::test]
async fn a_connection_that_was_closed_is_not_lent_though_the_task_has_used_up_its_turn() {
    let server = RedisServer::start();
    let pool = builder(&server).build().unwrap();
    for _ in 0..5 {
        pool.with("k", async |conn| conn.set::<_, _, ()>("k", 1).await).await.unwrap();
        server.command(&["CLIENT", "KILL", "TYPE", "normal"]);
        tokio::time::sleep(Duration::from_millis(20)).await;
        use_up_the_turn().await;
        pool.with("k", async |conn| conn.get::<_, i64>("k").await).await.unwrap();
    }
}

#[tokio::test]
async fn what_would_wait_has_the_read_timeout_between_multi_and_exec() {
    let hung = FakeServer::start(|request| match request.name().as_str() {
        "MULTI" => Answer::ok(),
        "BLPOP" | "EXEC" => Answer::Silence,
        _ => Answer::handshake(request).unwrap_or(Answer::ok()),
    });
    let pool = Pool::builder([hung.url()]).read_timeout(Duration::from_millis(200)).build().unwrap();
    let call = pool
        .with("k", async |conn| redis::pipe().atomic().cmd("BLPOP").arg("k").arg(0).exec_async(conn).await);
    assert!(tokio::time::timeout(Duration::from_secs(5), call).await.is_ok(), "it waits for ever");
}

#[tokio::test]
async fn an_atomic_pipeline_whose_multi_was_refused_says_that_it_may_have_run() {
    let server = RedisServer::builder().user("single", "on >secret ~* +@all -multi").start();
    let url = server.url_for("single", "secret");
    let mut pipe = redis::pipe();
    pipe.atomic().set("a", 1).set("b", 2);
    let ring = Ring::builder().shard("shard1", url.clone()).build().await.unwrap();
    let of_shard = own(pipe.exec_async(&mut ring.shard_for("a").unwrap()).await);
    let of_pool = {
        let pool = Pool::builder([url]).build().unwrap();
        own(pool.with("a", async |conn| pipe.exec_async(conn).await).await)
    };
    assert_eq!(server.command(&["GET", "a"]).text(), "1");
    assert_eq!((of_shard.sent(), of_pool.sent()), (Sent::Maybe, Sent::Maybe), "{of_shard} {of_pool}");
}
