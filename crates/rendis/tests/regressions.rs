//! What once went wrong, each with the promise that it broke.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::future::Future;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use redis::AsyncCommands;
use rendis::{Error, Kind, OnDown, Pool, Ring, Sent, TlsSettings};
use rendis_testkit::{Answer, Cluster, FakeServer, RedisServer};

async fn only(server: &RedisServer) -> Ring {
    Ring::builder().shard("only", server.url()).build().await.unwrap()
}

fn own(error: &redis::RedisError) -> Error {
    Error::of(error).cloned().unwrap_or_else(|| panic!("not an error of this crate: {error}"))
}

/// Waits until so many shards of a ring are up.
async fn until(ring: &Ring, count: usize) {
    let started = Instant::now();
    while ring.len() != count {
        assert!(started.elapsed() < Duration::from_secs(10), "{} are up", ring.len());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_pipeline_larger_than_any_socket_buffer_is_answered_and_disturbs_nobody() {
    let server = RedisServer::start();
    let ring = only(&server).await;
    let bystander = tokio::spawn({
        let mut ring = ring.clone();
        async move {
            for _ in 0..200 {
                ring.incr::<_, _, i64>("bystander", 1).await.unwrap();
            }
        }
    });
    let value = "x".repeat(10_000);
    for atomic in [false, true] {
        let mut pipe = redis::pipe();
        if atomic {
            pipe.atomic();
        }
        for number in 0..2000 {
            pipe.set(format!("key{number}"), &value).ignore().incr("count", 1);
        }
        let counts: Vec<i64> = pipe.query_async(&mut ring.clone()).await.unwrap();
        assert_eq!(counts.len(), 2000);
    }
    bystander.await.unwrap();
    assert_eq!(server.command(&["GET", "count"]).text(), "4000");
    assert_eq!(server.command(&["GET", "bystander"]).text(), "200");
}

/// A way to a server that is cut after so many bytes towards it, once.
fn cut_after(server: &RedisServer, bytes: usize) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, target) = (listener.local_addr().unwrap(), server.address());
    std::thread::spawn(move || {
        let mut left = bytes;
        // The handshakes of probes and wires come first; the budget is for what is larger than those.
        while let Ok((client, _)) = listener.accept() {
            let server = TcpStream::connect(target).unwrap();
            let (mut from, mut to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
            let back = std::thread::spawn(move || std::io::copy(&mut &server, &mut &client));
            let mut buffer = vec![0; 4096];
            let mut passed = 0;
            while let Ok(count @ 1..) = from.read(&mut buffer) {
                let allowed = if passed + count > 1000 { count.min(left) } else { count };
                if to.write_all(&buffer[..allowed]).is_err() || allowed < count {
                    break;
                }
                passed += count;
                left = left.saturating_sub(if passed > 1000 { count } else { 0 });
            }
            let _ = to.shutdown(std::net::Shutdown::Both);
            let _ = from.shutdown(std::net::Shutdown::Both);
            let _ = back.join();
            left = usize::MAX;
        }
    });
    format!("redis://{address}")
}

#[tokio::test]
async fn a_batch_that_was_cut_half_way_is_not_run_again() {
    let server = RedisServer::start();
    let mut ring = Ring::builder()
        .shard("only", cut_after(&server, 200_000))
        .heartbeat_frequency(Duration::from_secs(60))
        .build()
        .await
        .unwrap();
    let mut pipe = redis::pipe();
    pipe.incr("count", 1).set("large", "x".repeat(1_000_000));
    let error = pipe.query_async::<()>(&mut ring).await.unwrap_err();
    assert!(error.to_string().contains("may have been executed"), "{error}");
    assert_eq!(server.command(&["GET", "count"]).text(), "1");
}

#[tokio::test]
async fn a_call_that_is_dropped_before_it_is_written_holds_up_nobody() {
    let server = RedisServer::start();
    let ring = Ring::builder()
        .shard("only", server.url())
        .reply_timeout(Duration::from_secs(30))
        .build()
        .await
        .unwrap();
    let mut caller = ring.clone();
    caller.set::<_, _, ()>("key", 1).await.unwrap();
    for _ in 0..20 {
        let mut dropped = ring.clone();
        let mut call = Box::pin(dropped.get::<_, Option<i64>>("key"));
        let _ = call.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        drop(call);
        tokio::time::sleep(Duration::from_millis(1)).await;
        let started = Instant::now();
        let _: i64 = caller.get("key").await.unwrap();
        assert!(started.elapsed() < Duration::from_millis(500), "{:?}", started.elapsed());
    }
}

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
            tokio::time::sleep(Duration::from_millis(5)).await;
            tx.get::<_, String>("{t}b").await
        })
        .await;
    assert_eq!(own(&result.unwrap_err()).kind(), Kind::Refused);
    let after: String = ring.watch("{t}b", async |tx| tx.get("{t}b").await).await.unwrap();
    assert_eq!(after, "value-of-b");
}

#[tokio::test]
async fn the_write_deadline_holds_over_tls_too() {
    let server = RedisServer::builder().tls().start();
    let ca = std::fs::read(server.certificates().unwrap().ca()).unwrap();
    let ring = Ring::builder()
        .shard("only", server.url())
        .each_shard(move |_, shard| {
            shard.tls = Some(TlsSettings { ca: ca.clone(), ..TlsSettings::default() })
        })
        .write_timeout(Duration::from_millis(200))
        .reply_timeout(Duration::from_secs(20))
        .build()
        .await
        .unwrap();
    let value = "x".repeat(32 << 20);
    let calm = ring.clone().set::<_, _, ()>("key", &value).await;
    calm.unwrap();
    // On a connection of its own, and on the shared wire.
    let started = Instant::now();
    let alone = ring
        .watch("key", async |tx| {
            server.stop();
            tx.set::<_, _, ()>("key", &value).await
        })
        .await;
    assert_eq!(own(&alone.unwrap_err()).kind(), Kind::Timeout);
    let shared = ring.clone().set::<_, _, ()>("key", &value).await;
    assert_eq!(own(&shared.unwrap_err()).kind(), Kind::Timeout);
    assert!(started.elapsed() < Duration::from_secs(8), "{:?}", started.elapsed());
    server.cont();
}

#[tokio::test]
async fn a_shard_refuses_what_would_change_the_connection_that_all_share() {
    let server = RedisServer::start();
    let ring = only(&server).await;
    let mut caller = ring.clone();
    caller.set::<_, _, ()>("key", "home").await.unwrap();
    let mut shard = ring.shard_for("key").unwrap();
    for words in ["SELECT 5", "MULTI", "SUBSCRIBE c", "MONITOR", "CLIENT REPLY OFF", "WATCH key", "RESET"] {
        let mut words = words.split(' ');
        let mut cmd = redis::cmd(words.next().unwrap());
        for word in words {
            cmd.arg(word);
        }
        let error = cmd.exec_async(&mut shard).await.unwrap_err();
        assert_eq!(own(&error).kind(), Kind::Refused, "{error}");
        let error = redis::pipe().add_command(cmd).exec_async(&mut shard).await.unwrap_err();
        assert_eq!(own(&error).kind(), Kind::Refused, "{error}");
        let home: String = caller.get("key").await.unwrap();
        assert_eq!(home, "home");
    }
    // What belongs together may, and what blocks does so alone.
    let (one,): (i64,) = redis::pipe().atomic().incr("count", 1).query_async(&mut shard).await.unwrap();
    assert_eq!(one, 1);
    let waiting = tokio::spawn(async move { shard.blpop::<_, (String, String)>("list", 5.0).await });
    for _ in 0..20 {
        let _: String = caller.get("key").await.unwrap();
    }
    caller.rpush::<_, _, ()>("list", "item").await.unwrap();
    waiting.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_split_command_that_ran_in_part_says_so() {
    let cluster = Cluster::start(2);
    let shards = cluster.urls().into_iter().enumerate().map(|(at, url)| (format!("shard{at}"), url));
    let ring = Ring::builder()
        .shards(shards)
        .heartbeat_frequency(Duration::from_secs(60))
        .on_down(OnDown::Fail)
        .attempts(1)
        .build()
        .await
        .unwrap();
    let key = |shard: &str| {
        (0..100).map(|n| format!("k{n}")).find(|key| ring.shard_for(key).unwrap().name() == shard).unwrap()
    };
    let (alive, dead) = (key("shard0"), key("shard1"));
    cluster[1].kill();
    while ring.clone().get::<_, Option<String>>(&dead).await.is_ok() {}
    let error = ring.clone().mset::<_, _, ()>(&[(&alive, 1), (&dead, 2)]).await.unwrap_err();
    let error = own(&error);
    assert_eq!((error.shard(), error.sent()), (Some("shard1"), Sent::Maybe), "{error}");
    assert_eq!(cluster[0].command(&["GET", &alive]).text(), "1");
}

#[tokio::test]
async fn settings_without_sense_are_refused_and_very_long_ones_are_for_ever() {
    let server = RedisServer::start();
    let builder = || Ring::builder().shard("only", server.url());
    for builder in [
        builder().connect_timeout(Duration::ZERO),
        builder().reply_timeout(Duration::ZERO),
        builder().write_timeout(Duration::ZERO),
        builder().heartbeat_frequency(Duration::ZERO),
        builder().heartbeat_timeout(Duration::ZERO),
        builder().wires(0),
        builder().pool_size(0),
        builder().queue_limits(0, 1),
    ] {
        let error = builder.build().await.unwrap_err();
        assert_eq!(error.kind(), Kind::Config);
        assert!(error.to_string().contains("is zero"), "{error}");
    }
    let max = Duration::MAX;
    let mut ring = builder()
        .connect_timeout(max)
        .reply_timeout(max)
        .write_timeout(max)
        .pool_timeout(max)
        .heartbeat_frequency(max)
        .heartbeat_timeout(max)
        .pool_size(usize::MAX)
        .build()
        .await
        .unwrap();
    ring.set::<_, _, ()>("key", 1).await.unwrap();
    ring.watch("key", async |tx| tx.get::<_, i64>("key").await).await.unwrap();
    let mut patient = builder().build().await.unwrap().with_deadline(max);
    patient.set::<_, _, ()>("key", 2).await.unwrap();
    assert_eq!(patient.blpop::<_, Option<(String, i64)>>("none", 0.01).await.unwrap(), None);
    redis::cmd("DBSIZE").query_async::<i64>(&mut patient).await.unwrap();
}

#[tokio::test]
async fn shards_that_come_later_get_what_the_builder_said_about_every_shard() {
    let server = RedisServer::builder().password("secret").start();
    let url = format!("redis://{}", server.address());
    let ring = Ring::builder()
        .shard("one", &url)
        .client_name("named")
        .each_shard(|_, shard| shard.password = Some(rendis::Secret::new("secret")))
        .build()
        .await
        .unwrap();
    let settings = |name: &str| rendis::ShardSettings::new(name, &url).unwrap();
    ring.clone().set::<_, _, ()>("key", 1).await.unwrap();
    ring.set_shards([settings("one"), settings("two")]).unwrap();
    for number in 0..50 {
        ring.clone().set::<_, _, ()>(format!("key{number}"), 1).await.unwrap();
    }
    let clients = server.command(&["CLIENT", "LIST"]).text().to_owned();
    let wires = clients.lines().filter(|line| line.contains("name=named")).count();
    assert!(wires >= 2, "{clients}");
}

#[tokio::test]
async fn a_heartbeat_that_panics_takes_the_shard_out_and_not_the_watch() {
    let cluster = Cluster::start(2);
    let shards = cluster.urls().into_iter().enumerate().map(|(at, url)| (format!("shard{at}"), url));
    let panics = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(true));
    let (asked, order) = (std::sync::Arc::clone(&panics), std::sync::atomic::Ordering::SeqCst);
    let ring = Ring::builder()
        .shards(shards)
        .heartbeat_frequency(Duration::from_millis(20))
        .heartbeat(move |shard| {
            let bad = shard.name() == "shard1" && asked.load(order);
            async move {
                assert!(!bad, "a question that panics, on purpose");
                shard.ping().await.map(|()| true)
            }
        })
        .build()
        .await
        .unwrap();
    until(&ring, 1).await;
    panics.store(false, order);
    until(&ring, 2).await;
}

#[tokio::test]
async fn a_ping_says_when_no_shard_is_up_and_who_was_out_first_stays_out() {
    let cluster = Cluster::start(3);
    let shards = cluster.urls().into_iter().enumerate().map(|(at, url)| (format!("shard{at}"), url));
    let ring =
        Ring::builder().shards(shards).heartbeat_frequency(Duration::from_millis(30)).build().await.unwrap();
    let moved = (0..300).map(|n| format!("k{n}")).find(|key| ring.shard_for(key).unwrap().name() == "shard1");
    let moved = moved.unwrap();
    cluster[1].kill();
    until(&ring, 2).await;
    let elsewhere = ring.shard_for(&moved).unwrap().name().to_owned();
    // One of three may be out. The second that dies keeps its keys, and those of the first stay where they went.
    let second = if elsewhere == "shard0" { 2 } else { 0 };
    cluster[second].kill();
    until(&ring, 1).await;
    assert_eq!(ring.shard_for(&moved).unwrap().name(), elsewhere);
    let lost = (0..300).map(|n| format!("k{n}")).find(|key| ring.shard_for(key).is_err()).unwrap();
    let error = ring.shard_for(lost).unwrap_err();
    assert_eq!((error.kind(), error.shard()), (Kind::ShardDown, Some(format!("shard{second}").as_str())));
    cluster[if second == 0 { 2 } else { 0 }].kill();
    until(&ring, 0).await;
    let error = redis::cmd("PING").exec_async(&mut ring.clone()).await.unwrap_err();
    assert_eq!(own(&error).kind(), Kind::ShardDown);
}

#[tokio::test]
async fn a_request_that_no_server_takes_is_refused_here() {
    let server = RedisServer::start();
    let ring = only(&server).await;
    let value = vec![b'x'; 520 << 20];
    let error = ring.clone().set::<_, _, ()>("key", &value).await.unwrap_err();
    assert_eq!(own(&error).kind(), Kind::Refused, "{error}");
    ring.clone().set::<_, _, ()>("key", 1).await.unwrap();
}

#[tokio::test]
async fn what_a_script_says_of_itself_does_not_make_it_run_again() {
    let server = RedisServer::start();
    let mut ring = only(&server).await;
    for word in ["TRYAGAIN later", "LOADING soon", "NOSCRIPT of mine"] {
        let body = format!("redis.call('INCR', KEYS[1]) return redis.error_reply('{word}')");
        let sha: String = redis::cmd("SCRIPT").arg("LOAD").arg(&body).query_async(&mut ring).await.unwrap();
        let eval = redis::cmd("EVAL").arg(&body).arg(1).arg("runs").take();
        let evalsha = redis::cmd("EVALSHA").arg(&sha).arg(1).arg("runs").take();
        for (command, runs) in [(&eval, 1), (&evalsha, 2)] {
            let failed = command.query_async::<()>(&mut ring).await.unwrap_err();
            assert!(failed.to_string().contains(word.split_once(' ').unwrap().1), "{failed}");
            assert_eq!(ring.get::<_, i64>("runs").await.unwrap(), runs, "{word}");
        }
        let mut pipe = redis::pipe();
        pipe.add_command(eval).add_command(evalsha);
        pipe.query_async::<()>(&mut ring).await.unwrap_err();
        assert_eq!(ring.get_del::<_, i64>("runs").await.unwrap(), 4, "{word}, in a pipeline");
    }
}

#[tokio::test]
async fn what_a_script_answers_at_length_or_in_depth_costs_nobody_else_anything() {
    let server = RedisServer::start();
    let mut ring = only(&server).await;
    ring.set::<_, _, ()>("k", 1).await.unwrap();
    let mut bystander = ring.clone();
    let disturbed = tokio::spawn(async move {
        for _ in 0..2000 {
            bystander.incr::<_, _, i64>("k", 1).await?;
        }
        Ok::<_, redis::RedisError>(())
    });
    let nested = "local t = {} for i = 1, tonumber(ARGV[1]) do t = {t} end return t";
    let nested = |depth: u32| redis::cmd("EVAL").arg(nested).arg(1).arg("k").arg(depth).take();
    for _ in 0..20 {
        let long = redis::cmd("EVAL")
            .arg("return redis.status_reply(string.rep('x', 70000))")
            .arg(1)
            .arg("k")
            .take();
        assert_eq!(long.query_async::<String>(&mut ring).await.unwrap().len(), 70_000);
        let error =
            redis::cmd("EVAL").arg("return redis.error_reply(string.rep('x', 70000))").arg(1).arg("k").take();
        assert!(error.query_async::<()>(&mut ring).await.unwrap_err().to_string().len() > 60_000);
        nested(90).query_async::<redis::Value>(&mut ring).await.unwrap();
        // Deeper than the crate redis reads: the caller's own error.
        let deep = nested(900).query_async::<redis::Value>(&mut ring).await.unwrap_err();
        assert!(deep.to_string().contains("nested too deep"), "{deep}");
    }
    disturbed.await.unwrap().unwrap();
    assert_eq!(ring.get::<_, i64>("k").await.unwrap(), 2001);
}

#[tokio::test]
async fn a_call_with_time_left_outlives_a_connection_that_is_given_up() {
    // The connection of the first call is deaf from then on; those after it are in order.
    let deaf = OnceLock::new();
    let server = FakeServer::start(move |request| match Answer::handshake(request) {
        Some(answer) => answer,
        None if *deaf.get_or_init(|| request.connection) == request.connection => Answer::Silence,
        None => Answer::text("$4\r\nhere\r\n"),
    });
    let mut ring = Ring::builder()
        .shard("only", server.url())
        .reply_timeout(Duration::from_millis(400))
        .heartbeat_frequency(Duration::from_secs(60))
        .build()
        .await
        .unwrap();
    let late = ring.get::<_, Option<String>>("k").await.unwrap_err();
    assert_eq!(own(&late).kind(), Kind::Timeout);
    // The connection is given up two deadlines after the first call was overdue: this one has most of its own left.
    tokio::time::sleep(Duration::from_millis(700)).await;
    assert_eq!(ring.get::<_, Option<String>>("k").await.unwrap().as_deref(), Some("here"));
}

/// A ring one of whose two shards cannot be connected to in time, which it does not know yet.
async fn half_silent(server: &RedisServer, silent: &FakeServer) -> Ring {
    Ring::builder()
        .shards([("here", server.url()), ("silent", silent.url())])
        .connect_timeout(Duration::from_millis(100))
        .reply_timeout(Duration::from_secs(5))
        .heartbeat_frequency(Duration::from_millis(50))
        .build()
        .await
        .unwrap()
}

#[tokio::test]
async fn a_call_whose_shard_cannot_be_reached_in_time_waits_to_be_placed_anew() {
    let (server, silent) = (RedisServer::start(), FakeServer::never_accepts());
    let ring = half_silent(&server, &silent).await;
    let calls = (0..20).map(|key| {
        let mut ring = ring.clone();
        async move { ring.set::<_, _, ()>(key, "value").await }
    });
    for call in futures_util::future::join_all(calls).await {
        call.unwrap();
    }
    assert_eq!(ring.len(), 1);
}

#[tokio::test]
async fn so_does_what_a_pipeline_and_the_parts_of_a_command_have_for_it() {
    let (server, silent) = (RedisServer::start(), FakeServer::never_accepts());
    let items: Vec<(u32, &str)> = (0..20).map(|key| (key, "value")).collect();
    let mut ring = half_silent(&server, &silent).await;
    ring.mset::<_, _, ()>(&items).await.unwrap();
    assert_eq!(ring.len(), 1);
    let mut ring = half_silent(&server, &silent).await;
    let mut pipe = redis::pipe();
    items.iter().for_each(|(key, value)| {
        pipe.set(key, value);
    });
    let set: Vec<String> = pipe.query_async(&mut ring).await.unwrap();
    assert_eq!(set, vec!["OK"; 20]);
    assert_eq!(ring.len(), 1);
    let mut ring = half_silent(&server, &silent).await;
    let keys: Vec<u32> = items.iter().map(|(key, _)| *key).collect();
    assert_eq!(ring.mget::<_, Vec<String>>(keys).await.unwrap(), vec!["value"; 20]);
    assert_eq!(ring.len(), 1);
}

#[tokio::test]
async fn commands_of_an_atomic_pipeline_have_results_of_their_own() {
    let cluster = Cluster::start(2);
    let shards = cluster.urls().into_iter().enumerate().map(|(at, url)| (format!("shard{at}"), url));
    let mut ring = Ring::builder().shards(shards).build().await.unwrap();
    let mut pipe = redis::pipe();
    pipe.atomic().set("key", "text").incr("key", 1).get("key");
    let each: Vec<redis::RedisResult<redis::Value>> =
        pipe.clone().ignore_errors().query_async(&mut ring).await.unwrap();
    assert!(matches!(each.as_slice(), [Ok(_), Err(_), Ok(_)]), "{each:?}");
    let error = pipe.exec_async(&mut ring).await.unwrap_err();
    let errors = error.into_server_errors().unwrap();
    assert!(matches!(&*errors, [(1, error)] if error.code() == "ERR"), "{errors:?}");
}

#[tokio::test]
async fn an_atomic_pipeline_that_the_server_refuses_is_one_error() {
    let server = RedisServer::builder().user("app", "on >secret ~* +@all -incrby").start();
    let mut ring = Ring::builder().shard("only", server.url_for("app", "secret")).build().await.unwrap();
    let mut pipe = redis::pipe();
    pipe.atomic().set("key", 1).incr("key", 1).ignore_errors();
    let error = pipe.exec_async(&mut ring).await.unwrap_err();
    assert_eq!(error.code(), Some("NOPERM"), "{error}");
    assert_eq!(server.command(&["EXISTS", "key"]).integer(), 0, "nothing ran");
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
async fn errors_that_stay_advise_no_repetition() {
    let server = RedisServer::start();
    let mut ring = only(&server).await;
    let advice = |error: &redis::RedisError| format!("{:?}", error.retry_method());
    let refused = redis::cmd("MONITOR").exec_async(&mut ring).await.unwrap_err();
    assert_eq!((own(&refused).kind(), advice(&refused)), (Kind::Refused, "NoRetry".to_owned()));
    ring.close();
    let closed = ring.get::<_, Option<String>>("key").await.unwrap_err();
    assert_eq!((own(&closed).kind(), advice(&closed)), (Kind::Refused, "NoRetry".to_owned()));
}

#[tokio::test]
async fn a_deadline_of_ones_own_holds_for_a_ping_too() {
    let cluster = Cluster::start(3);
    let shards = cluster.urls().into_iter().enumerate().map(|(at, url)| (format!("shard{at}"), url));
    let ring = Ring::builder()
        .shards(shards)
        .heartbeat_frequency(Duration::from_secs(60))
        .reply_timeout(Duration::from_secs(5))
        .build()
        .await
        .unwrap();
    let mut hurried = ring.with_deadline(Duration::from_millis(300));
    let said: String = redis::cmd("PING").arg("well?").query_async(&mut hurried).await.unwrap();
    assert_eq!(said, "well?");
    cluster[1].stop();
    let started = Instant::now();
    let error = redis::cmd("PING").exec_async(&mut hurried).await.unwrap_err();
    let took = started.elapsed();
    cluster[1].cont();
    assert!(took < Duration::from_secs(2), "{took:?}");
    let error = own(&error);
    assert_eq!((error.kind(), error.shard(), error.command()), (Kind::Timeout, Some("shard1"), Some("PING")));
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
async fn a_call_that_is_allowed_long_outlives_what_is_asked_behind_it() {
    let server = FakeServer::start(|request| match Answer::handshake(request) {
        Some(answer) => answer,
        None if request.arguments.get(1).is_some_and(|key| key == b"slow") => {
            let bytes = b"$4\r\ndone\r\n".to_vec();
            Answer::Drip { size: bytes.len(), bytes, pause: Duration::from_millis(1500) }
        }
        None => Answer::text("$5\r\nquick\r\n"),
    });
    let mut ring = Ring::builder()
        .shard("only", server.url())
        .reply_timeout(Duration::from_millis(300))
        .heartbeat_frequency(Duration::from_secs(60))
        .build()
        .await
        .unwrap();
    // After a second a wire asks whether its replies are in step, together with what is written then.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let patient = ring.with_deadline(Duration::from_secs(30)).get_del::<_, String>("slow").await;
    assert_eq!(patient.unwrap(), "done");
    assert_eq!(ring.get::<_, String>("k").await.unwrap(), "quick");
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

#[tokio::test]
async fn what_was_written_before_a_connection_of_a_pool_broke_may_have_run() {
    // It reads all three, answers the first, and ends at the last.
    let server = FakeServer::start(|request| {
        Answer::handshake(request).unwrap_or_else(|| match &*request.arguments[1] {
            b"a" => Answer::text(":1\r\n"),
            b"b" => Answer::Silence,
            _ => Answer::Close,
        })
    });
    let pool = Pool::builder([server.url()]).build().unwrap();
    let asked = pool.with_index(0, async |conn| {
        for key in ["a", "b", "c"] {
            conn.send(redis::cmd("INCR").arg(key)).await?;
        }
        conn.flush().await?;
        assert_eq!(conn.receive::<i64>().await?, 1);
        for key in ["b", "c"] {
            let error = conn.receive::<i64>().await.unwrap_err();
            assert_eq!(own(&error).sent(), Sent::Maybe, "{key}: {error}");
        }
        // What comes now is not even taken in.
        let error = conn.send(redis::cmd("INCR").arg("d")).await.unwrap_err();
        assert_eq!(own(&error).sent(), Sent::No, "{error}");
        Ok(())
    });
    asked.await.unwrap();
}

#[tokio::test]
async fn after_a_flush_that_failed_what_was_sent_before_may_have_run() {
    let server = FakeServer::start(|request| Answer::handshake(request).unwrap_or(Answer::Stall));
    let builder = Pool::builder([server.url()]).write_timeout(Duration::from_millis(200));
    let pool = builder.build().unwrap();
    let asked = pool.with_index(0, async |conn| {
        conn.send(redis::cmd("INCR").arg("first")).await?;
        conn.send(redis::cmd("SET").arg("big").arg(vec![b'.'; 64 << 20])).await?;
        assert!(conn.flush().await.is_err());
        let error = conn.receive::<i64>().await.unwrap_err();
        assert_eq!(own(&error).sent(), Sent::Maybe, "{error}");
        Ok(())
    });
    asked.await.unwrap();
}

#[tokio::test]
async fn a_request_without_a_name_is_refused_by_a_shard() {
    let server = RedisServer::start();
    let ring = only(&server).await;
    ring.clone().set::<_, _, ()>("a", "A").await.unwrap();
    let mut shard = ring.shards().remove(0);
    let nameless = redis::Cmd::new();
    let mut piped = redis::pipe();
    piped.get("a").add_command(nameless.clone());
    let errors = [
        nameless.query_async::<redis::Value>(&mut shard).await.unwrap_err(),
        piped.query_async::<redis::Value>(&mut shard).await.unwrap_err(),
    ];
    for error in &errors {
        assert_eq!(own(error).kind(), Kind::Refused, "{error}");
    }
    assert_eq!(ring.clone().get::<_, String>("a").await.unwrap(), "A");
}
