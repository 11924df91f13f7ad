//! Transactions.

use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use redis::AsyncCommands;
use rendis::{Kind, Ring, Sent};
use rendis_testkit::{Cluster, RedisServer, eventually};

use crate::{only, own};

#[tokio::test]
async fn a_transaction_never_hands_out_the_reply_to_another_command() {
    let server = RedisServer::start();
    let ring = only(&server).await;
    ring.clone().mset::<_, _, ()>(&[("{t}a", "value-of-a"), ("{t}b", "value-of-b")]).await.unwrap();
    let result = ring
        .watch("{t}a", async |tx| {
            let mut call = Box::pin(tx.get::<_, String>("{t}a"));
            let _ = call.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            drop(call);
            let answered = || server.command(&["INFO", "commandstats"]).text().contains("cmdstat_get:");
            eventually("the reply is on its way", answered).await;
            tx.get::<_, String>("{t}b").await
        })
        .await;
    assert_eq!(own(&result.unwrap_err()).kind(), Kind::Refused);
    let after: String = ring.watch("{t}b", async |tx| tx.get("{t}b").await).await.unwrap();
    assert_eq!(after, "value-of-b");
}

#[tokio::test]
async fn a_script_that_the_shard_does_not_know_runs_in_a_watched_transaction() {
    let cluster = Cluster::start(2);
    let shards = cluster.urls().into_iter().enumerate().map(|(at, url)| (format!("shard{at}"), url));
    let ring = Ring::builder().shards(shards).build().await.unwrap();
    let script = redis::Script::new("return redis.call('INCRBY', KEYS[1], ARGV[1])");
    let mut totals: Vec<i64> = Vec::new();
    for _ in 0..2 {
        let total = ring.watch("key", async |tx| script.key("key").arg(7).invoke_async(tx).await).await;
        totals.push(total.unwrap());
    }
    assert_eq!(totals, [7, 14]);
    // As outside of a watch, all shards were told.
    for server in cluster.iter() {
        let known = server.command(&["SCRIPT", "EXISTS", script.get_hash()]);
        assert_eq!(known.elements()[0].integer(), 1);
    }
}

#[tokio::test]
async fn a_command_that_waits_may_do_so_in_a_watched_transaction() {
    let server = RedisServer::start();
    let ring = Ring::builder()
        .shard("only", server.url())
        .reply_timeout(Duration::from_millis(400))
        .build()
        .await
        .unwrap();
    let got = ring
        .watch("{k}", async |tx| {
            let alone: Option<(String, String)> = tx.blpop("{k}list", 0.8).await?;
            let (one, two): (redis::Value, redis::Value) =
                redis::pipe().brpop("{k}list", 0.3).blpop("{k}list", 0.6).query_async(tx).await?;
            assert_eq!((one, two), (redis::Value::Nil, redis::Value::Nil));
            tx.set::<_, _, ()>("{k}", "well").await?;
            Ok(alone)
        })
        .await
        .unwrap();
    assert_eq!(got, None);
    assert_eq!(server.command(&["GET", "{k}"]).text(), "well");
    // The server hangs: the deadline is that of the reply, and what the command may wait.
    let started = Instant::now();
    let hanging = ring
        .watch("{k}", async |tx| {
            server.stop();
            tx.blpop::<_, ()>("{k}list", 0.3).await
        })
        .await;
    let took = started.elapsed();
    server.cont();
    assert_eq!(own(&hanging.unwrap_err()).kind(), Kind::Timeout);
    assert!((Duration::from_millis(700)..Duration::from_secs(3)).contains(&took), "{took:?}");
}

#[tokio::test]
async fn a_transaction_whose_multi_is_refused_says_that_it_was_none() {
    let server = RedisServer::start();
    server.command(&["ACL", "SETUSER", "single", "on", ">secret", "~*", "+@all", "-multi"]);
    let url = format!("redis://single:secret@{}", server.address());
    let mut ring = Ring::builder().shard("only", url).build().await.unwrap();
    let mut pipe = redis::pipe();
    let body = "redis.call('INCR', KEYS[1]) return redis.error_reply('ERR after it wrote')";
    pipe.atomic().cmd("EVAL").arg(body).arg(1).arg("n");
    let scripted = pipe.query_async::<()>(&mut ring).await.unwrap_err();
    assert_eq!((own(&scripted).kind(), own(&scripted).sent()), (Kind::Refused, Sent::Maybe));
    pipe.clear();
    pipe.atomic().set("k", "v").incr("n", 1);
    let plain = pipe.query_async::<()>(&mut ring).await.unwrap_err();
    let watched = ring.watch("k", async |tx| pipe.query_async::<()>(tx).await).await.unwrap_err();
    for error in [own(&plain), own(&watched)] {
        assert_eq!((error.kind(), error.sent()), (Kind::Refused, Sent::Maybe), "{error}");
        assert!(error.text().contains("MULTI was refused"), "{error}");
    }
}

#[tokio::test]
async fn keys_of_an_attempt_whose_multi_was_refused_are_not_watched_for_the_next_user() {
    let server = RedisServer::start();
    let url = format!("redis://single:secret@{}", server.address());
    // The commands run by themselves, or are refused too.
    for refused in [&["-multi"][..], &["-multi", "-set"]] {
        server.command(&["ACL", "SETUSER", "single", "on", ">secret", "~*", "+@all"]);
        server.command(&[&["ACL", "SETUSER", "single"][..], refused].concat());
        let ring = Ring::builder().shard("only", url.as_str()).build().await.unwrap();
        let mut pipe = redis::pipe();
        pipe.atomic().set("k", "v");
        let seen = ring.watch("k", async |tx| Ok(pipe.query_async::<()>(tx).await)).await.unwrap();
        seen.unwrap_err();
        server.command(&["ACL", "SETUSER", "single", "+@all"]);
        server.command(&["SET", "k", "changed"]);
        let attempts = AtomicU32::new(0);
        let next = ring.watch("other", async |tx| {
            attempts.fetch_add(1, Ordering::Relaxed);
            pipe.query_async::<()>(tx).await
        });
        next.await.unwrap();
        assert_eq!(attempts.into_inner(), 1, "{refused:?}");
    }
}
