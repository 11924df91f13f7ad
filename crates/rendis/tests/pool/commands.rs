//! What can be asked of a lent connection.

use std::time::Duration;

use futures_util::FutureExt as _;
use redis::AsyncCommands;
use rendis::{Kind, Sent};
use rendis_testkit::RedisServer;

use crate::{builder, client_id, connected, own};

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
    let pool = builder(&server).read_timeout(Duration::from_millis(400)).build().unwrap();
    for wait in [0.0, 5.0] {
        let waiting = pool.with("list", async |conn| conn.blpop::<_, (String, String)>("list", wait).await);
        let pushing = async {
            tokio::time::sleep(Duration::from_millis(700)).await;
            server.command(&["RPUSH", "list", "item"]);
        };
        let (got, ()) = tokio::join!(waiting, pushing);
        assert_eq!(got.unwrap().1, "item");
    }
    // By hand and in a pipeline the same; each command its own.
    let (nothing, after) = pool
        .with("list", async |conn| {
            conn.send(redis::cmd("BLPOP").arg("list").arg(0.7)).await?;
            conn.send(&redis::cmd("PING")).await?;
            let by_hand: (Option<String>, String) = (conn.receive().await?, conn.receive().await?);
            let piped: (Option<String>, String) =
                redis::pipe().cmd("BLPOP").arg("list").arg(0.7).cmd("PING").query_async(conn).await?;
            assert_eq!(piped, by_hand);
            Ok(by_hand)
        })
        .await
        .unwrap();
    assert_eq!((nothing, after.as_str()), (None, "PONG"));
}
