//! Connections that break, and servers that refuse.

use std::collections::BTreeSet;
use std::time::Duration;

use redis::AsyncCommands;
use rendis::{Kind, OnDown, Ring};
use rendis_testkit::{Answer, Cluster, FakeServer, RedisServer, eventually};
use tokio::time::{Instant, timeout};

use crate::{builder, channels, next, nothing_more, ring, subscribers};

#[tokio::test]
async fn subscriptions_outlive_broken_connections_and_restarted_servers() {
    let cluster = Cluster::start(1);
    let mut ring = ring(&cluster).await;
    let mut subscription = ring.subscribe(&["a", "b"]).await.unwrap();
    subscription.psubscribe("p*").await.unwrap();
    let restart = || cluster[0].restart();
    let cut = || assert_eq!(cluster[0].command(&["CLIENT", "KILL", "TYPE", "pubsub"]).integer(), 1);
    let breaks: [&dyn Fn(); 3] = [&cut, &restart, &cut];
    for (round, breaking) in breaks.into_iter().enumerate() {
        breaking();
        eventually("everything is subscribed again", || {
            let patterns = cluster[0].command(&["PUBSUB", "NUMPAT"]).integer();
            channels(&cluster[0]) == BTreeSet::from(["a".to_owned(), "b".to_owned()]) && patterns == 1
        })
        .await;
        cluster[0].command(&["PUBLISH", "a", &round.to_string()]);
        let message = next(&mut subscription).await;
        assert_eq!(message.payload_as::<usize>().unwrap(), round);
    }
    eventually("the ring serves again", || ring.len() == 1).await;
    let mut heard: Result<i64, _> = ring.publish("pp", "still").await;
    while heard.is_err() {
        heard = ring.publish("pp", "still").await;
    }
    assert_eq!(next(&mut subscription).await.pattern(), Some(&b"p*"[..]));
    nothing_more(&mut subscription).await;
}

#[tokio::test]
async fn errors_name_the_shard_and_the_cause() {
    let cluster = Cluster::start_with(2, |_, server| {
        server.user("app", "on >secret ~* +@all resetchannels &open.* &free.*")
    });
    let urls = cluster.iter().map(|server| server.url_for("app", "secret"));
    let ring = builder(urls)
        .on_down(OnDown::Fail)
        .heartbeat_frequency(Duration::from_millis(200))
        .build()
        .await
        .unwrap();
    // The server refuses: those that it allows are subscribed to nevertheless, elsewhere and before and after.
    let names: Vec<String> = (0..40).map(|number| format!("open.{number}")).collect();
    let open = ring.subscribe(&names).await.unwrap();
    let error = open.subscribe(&["open.x", "closed", "free.x"]).await.unwrap_err();
    let home = ring.shard_for("closed").unwrap();
    assert_eq!((error.kind(), error.shard()), (Kind::Server, Some(home.name())), "{error}");
    assert!(error.text().starts_with("NOPERM"), "{error}");
    assert_eq!(error.command(), Some("SUBSCRIBE"));
    let mixed: Vec<String> = names.iter().cloned().chain(["closed".to_owned()]).collect();
    let (refused, allowed) = tokio::join!(ring.subscribe(&mixed), ring.subscribe(&["free.1", "free.2"]));
    assert_eq!(refused.unwrap_err().kind(), Kind::Server);
    let allowed = allowed.unwrap();
    drop((open, allowed));

    // The server is away.
    cluster[0].kill();
    let name = (0..)
        .map(|number| format!("free.new{number}"))
        .find(|name| ring.shard_for(name).map_or(true, |shard| shard.name() == "shard1"));
    let name = name.unwrap();
    let since = Instant::now();
    for _ in 0..2 {
        let error = ring.subscribe(&name).await.unwrap_err();
        assert_eq!((error.kind(), error.shard()), (Kind::ShardDown, Some("shard1")), "{error}");
    }
    assert!(since.elapsed() < Duration::from_secs(5));
    eventually("the shard is known to be down", || ring.len() == 1).await;
    let since = Instant::now();
    assert_eq!(ring.subscribe(&name).await.unwrap_err().kind(), Kind::ShardDown);
    assert!(since.elapsed() < Duration::from_millis(500), "known to be down: told at once");
}

#[tokio::test]
async fn a_wrong_password_is_told_at_once() {
    let cluster = Cluster::start_with(1, |_, server| server.password("right"));
    let url = cluster[0].url().replace("right", "wrong");
    let ring = builder([url]).heartbeat_frequency(Duration::from_secs(60)).build().await.unwrap();
    let since = Instant::now();
    let error = ring.subscribe("news").await.unwrap_err();
    assert!(matches!(error.kind(), Kind::Auth | Kind::ShardDown), "{error}");
    assert!(since.elapsed() < Duration::from_secs(1));
}

#[tokio::test]
async fn a_channel_that_a_shard_refuses_later_ends_its_subscription_with_the_reason() {
    let cluster = Cluster::start_with(1, |_, server| server.user("app", "on >secret ~* +@all &*"));
    let ring = builder([cluster[0].url_for("app", "secret")]).build().await.unwrap();
    let mut lost = ring.subscribe(&["a", "closed"]).await.unwrap();
    let mut kept = ring.subscribe(&["a", "b"]).await.unwrap();
    let rights = ["ACL", "SETUSER", "app", "resetchannels", "&a", "&b"];
    assert!(cluster[0].command(&rights).is_ok());
    let error = timeout(Duration::from_secs(10), lost.next()).await.unwrap().unwrap().unwrap_err();
    assert_eq!((error.kind(), error.shard()), (Kind::Server, Some("shard1")), "{error}");
    assert!(lost.next().await.is_none());
    eventually("the others are subscribed again", || subscribers(&cluster[0], "b") == 1).await;
    cluster[0].command(&["PUBLISH", "b", "1"]);
    assert_eq!(next(&mut kept).await.payload(), b"1");
}

#[tokio::test]
async fn a_connection_that_no_byte_comes_through_is_given_up() {
    let server = FakeServer::start(|request| {
        if request.name() == "SUBSCRIBE" {
            return Answer::text(">3\r\n$9\r\nsubscribe\r\n$4\r\nnews\r\n:1\r\n");
        }
        // The first PING of a connection is the probe's or the link's; both stay without an answer on that of the link.
        if request.name() == "PING" && request.index > 3 {
            return Answer::Silence;
        }
        Answer::handshake(request).unwrap_or(Answer::Silence)
    });
    let ring = Ring::builder()
        .shard("shard1", server.url())
        .heartbeat(|_| async { Ok(true) })
        .build()
        .await
        .unwrap();
    let _subscription = ring.subscribe("news").await.unwrap();
    let connections = server.connections();
    let since = Instant::now();
    eventually("it connects anew", || server.connections() > connections).await;
    assert!(since.elapsed() > Duration::from_secs(3));
}

#[tokio::test]
async fn a_busy_server_that_takes_no_new_topic_keeps_the_old_ones() {
    let server = RedisServer::builder().setting("busy-reply-threshold", "10").start();
    let ring = builder([server.url()]).build().await.unwrap();
    let mut quiet = ring.subscribe("quiet").await.unwrap();
    let ended = ring.subscribe("ended").await.unwrap();
    let mut busy = server.client().unwrap();
    busy.send(&["EVAL", "while true do end", "0"]).unwrap();
    let is_busy = || server.command(&["PING"]).error().is_some_and(|error| error.starts_with("BUSY"));
    eventually("the script runs", is_busy).await;
    drop(ended);
    let another = ring.clone();
    let other = tokio::spawn(async move { another.subscribe("other").await.map(|_| ()) });
    tokio::time::sleep(Duration::from_millis(600)).await;
    server.command(&["SCRIPT", "KILL"]);
    eventually("the script has ended", || server.command(&["PING"]).error().is_none()).await;
    assert_eq!(server.command(&["PUBLISH", "quiet", "at once"]).integer(), 1);
    assert_eq!(next(&mut quiet).await.payload_text(), "at once");
    other.await.unwrap().unwrap();
    eventually("the topic that was given up is gone", || subscribers(&server, "ended") == 0).await;
}

#[tokio::test]
async fn who_subscribes_to_a_server_that_is_back_does_not_wait_for_a_rest_to_end() {
    let server = RedisServer::start();
    let ring = builder([server.url()])
        .connect_timeout(Duration::from_millis(100))
        .reply_timeout(Duration::from_millis(100))
        .heartbeat_frequency(Duration::from_secs(600))
        .build()
        .await
        .unwrap();
    let _first = ring.subscribe("a").await.unwrap();
    for _ in 0..2 {
        server.kill();
        // Long enough for the rests to become long.
        tokio::time::sleep(Duration::from_millis(2000)).await;
        server.restart();
        ring.subscribe("b").await.unwrap();
        eventually("the first is back too", || subscribers(&server, "a") == 1).await;
    }
}
