//! Settings, and single shards.

use std::time::Duration;

use redis::AsyncCommands;
use rendis::{Kind, Ring};
use rendis_testkit::{Cluster, RedisServer};

use crate::{only, own, until};

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
    for name in ["a name", "line\r\nend", "\u{e4}"] {
        let error = builder().client_name(name).build().await.unwrap_err();
        assert_eq!(error.kind(), Kind::Config);
        assert!(error.to_string().contains("client name"), "{error}");
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
        .wires(usize::MAX)
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
