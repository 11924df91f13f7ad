//! Pipelines, and commands in parts.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use redis::AsyncCommands;
use rendis::{OnDown, Ring, Sent};
use rendis_testkit::{Answer, Cluster, FakeServer, RedisServer};

use crate::{only, own};

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
async fn what_a_loading_server_refused_is_not_made_again_behind_what_it_ran() {
    for refused in [1, 3] {
        let (sets, seen) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new(Vec::new())));
        let heard = Arc::clone(&seen);
        let server = FakeServer::start(move |request| match request.name().as_str() {
            "SET" => {
                heard.lock().unwrap().push(String::from_utf8_lossy(&request.arguments[2]).into_owned());
                let number = sets.fetch_add(1, Ordering::SeqCst);
                if number < refused { Answer::text("-LOADING not yet\r\n") } else { Answer::ok() }
            }
            _ => Answer::handshake(request).unwrap_or_else(Answer::ok),
        });
        let mut ring = Ring::builder().shard("only", server.url()).build().await.unwrap();
        let mut pipe = redis::pipe();
        pipe.set("k", "1").set("k", "2").set("k", "3").ignore_errors();
        let answers: Vec<redis::Value> = pipe.query_async(&mut ring).await.unwrap();
        let errors = answers.iter().filter(|answer| matches!(answer, redis::Value::ServerError(_))).count();
        let seen = seen.lock().unwrap().join(" ");
        match refused {
            // Two ran, and the first must not come after them.
            1 => assert_eq!((errors, &*seen), (1, "1 2 3"), "{answers:?}"),
            _ => assert_eq!((errors, &*seen), (0, "1 2 3 1 2 3"), "{answers:?}"),
        }
    }
}

#[tokio::test]
async fn what_a_loading_server_refused_is_not_made_again_behind_a_script_that_says_so_too() {
    let sets = Arc::new(AtomicUsize::new(0));
    let heard = Arc::clone(&sets);
    let server = FakeServer::start(move |request| match request.name().as_str() {
        "SET" => {
            heard.fetch_add(1, Ordering::SeqCst);
            Answer::text("-LOADING not yet\r\n")
        }
        // It ran, and this is its own error.
        "EVAL" => Answer::text("-LOADING of the data that I want\r\n"),
        _ => Answer::handshake(request).unwrap_or_else(Answer::ok),
    });
    let mut ring = Ring::builder().shard("only", server.url()).build().await.unwrap();
    let mut pipe = redis::pipe();
    pipe.set("k", "1")
        .cmd("EVAL")
        .arg("return redis.call('SET', KEYS[1], 2)")
        .arg(1)
        .arg("k")
        .ignore_errors();
    let answers: Vec<redis::Value> = pipe.query_async(&mut ring).await.unwrap();
    assert!(answers.iter().all(|answer| matches!(answer, redis::Value::ServerError(_))), "{answers:?}");
    assert_eq!(sets.load(Ordering::SeqCst), 1);
}
