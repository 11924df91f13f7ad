//! What subscriptions of a `Ring` promise, against real servers.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::StreamExt;
use redis::AsyncCommands;
use rendis::{
    Kind, Message, OnDown, Protocol, Ring, RingBuilder, ShardSettings, Subscription, SubscriptionLimits,
};
use rendis_testkit::{Answer, Cluster, FakeServer, RedisServer};
use tokio::time::{Instant, timeout};

fn builder(urls: impl IntoIterator<Item = String>) -> RingBuilder {
    let shards = urls.into_iter().enumerate().map(|(at, url)| (format!("shard{}", at + 1), url));
    Ring::builder().shards(shards)
}

async fn ring(cluster: &Cluster) -> Ring {
    builder(cluster.urls()).build().await.unwrap()
}

fn settings(urls: &[String]) -> Vec<ShardSettings> {
    let named = urls.iter().enumerate();
    named.map(|(at, url)| ShardSettings::new(format!("shard{}", at + 1), url).unwrap()).collect()
}

/// The next message, which must come.
async fn next(subscription: &mut Subscription) -> Message {
    timeout(Duration::from_secs(10), subscription.next()).await.expect("a message").unwrap().unwrap()
}

/// Nothing waits, and nothing comes for a while.
async fn nothing_more(subscription: &mut Subscription) {
    let more = timeout(Duration::from_millis(100), subscription.next()).await;
    assert!(more.is_err(), "{more:?}");
}

/// Waits until it is so.
async fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !is_so() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// How many connections are subscribed to a channel.
fn subscribers(server: &RedisServer, channel: &str) -> i64 {
    server.command(&["PUBSUB", "NUMSUB", channel]).elements()[1].integer()
}

fn channels(server: &RedisServer) -> BTreeSet<String> {
    server.command(&["PUBSUB", "CHANNELS"]).elements().iter().map(|name| name.text().to_owned()).collect()
}

/// How many connections have a subscription.
fn subscribed_connections(server: &RedisServer) -> usize {
    server.command(&["CLIENT", "LIST", "TYPE", "pubsub"]).text().lines().count()
}

fn alive_tasks() -> usize {
    tokio::runtime::Handle::current().metrics().num_alive_tasks()
}

#[tokio::test]
async fn what_is_published_arrives_from_the_shard_of_its_channel() {
    let cluster = Cluster::start(3);
    let mut ring = ring(&cluster).await;
    let names: Vec<String> = (0..60).map(|number| format!("channel{number}")).collect();
    let mut subscription = ring.subscribe(&names).await.unwrap();
    for name in &names {
        let heard: i64 = ring.publish(name, name.to_uppercase()).await.unwrap();
        assert_eq!(heard, 1, "confirmed before subscribe returned");
    }
    let mut seen = BTreeSet::new();
    for _ in &names {
        let message = next(&mut subscription).await;
        assert_eq!(message.payload_text(), message.channel_text().to_uppercase());
        assert_eq!(message.pattern(), None);
        assert_eq!(message.shard(), ring.shard_for(message.channel()).unwrap().name());
        assert!(seen.insert(message.channel_text().into_owned()));
    }
    nothing_more(&mut subscription).await;
    let held: Vec<usize> = cluster.iter().map(|server| channels(server).len()).collect();
    assert_eq!(held.iter().sum::<usize>(), 60);
    assert!(held.iter().all(|held| *held > 5), "{held:?}");
}

#[tokio::test]
async fn a_message_is_bytes_and_reads_as_a_value() {
    let cluster = Cluster::start(1);
    let mut ring = ring(&cluster).await;
    let mut subscription = ring.subscribe(&b"\xff\0\r\n"[..]).await.unwrap();
    let large = vec![7_u8; 1 << 20];
    for payload in [&b""[..], b"\r\n\0\xfe", b"42", &large] {
        ring.publish::<_, _, ()>(&b"\xff\0\r\n"[..], payload).await.unwrap();
        let message = StreamExt::next(&mut subscription).await.unwrap().unwrap();
        assert_eq!(message.channel(), b"\xff\0\r\n");
        assert_eq!(message.payload(), payload);
        assert_eq!(message.payload_as::<i64>().ok(), (payload == b"42").then_some(42));
    }
}

#[tokio::test]
async fn a_pattern_hears_every_shard_and_keyspace_notifications_too() {
    let cluster = Cluster::start_with(3, |_, server| server.setting("notify-keyspace-events", "KEA"));
    let mut ring = ring(&cluster).await;
    let mut events = ring.psubscribe("__keyevent@0__:set").await.unwrap();
    let mut news = ring.psubscribe(&["news.*", "other.?"]).await.unwrap();
    let mut keys = BTreeSet::new();
    for number in 0..30 {
        ring.set::<_, _, ()>(format!("key{number}"), 1).await.unwrap();
        keys.insert(format!("key{number}"));
    }
    let mut shards = BTreeSet::new();
    for _ in 0..30 {
        let message = next(&mut events).await;
        assert_eq!(message.pattern(), Some(&b"__keyevent@0__:set"[..]));
        assert!(keys.remove(&*message.payload_text()), "{message:?}");
        shards.insert(message.shard().to_owned());
    }
    assert_eq!(shards.len(), 3);
    nothing_more(&mut events).await;
    for number in 0..10 {
        ring.publish::<_, _, ()>(format!("news.{number}"), number).await.unwrap();
        let message = next(&mut news).await;
        assert_eq!(message.channel_text(), format!("news.{number}"));
        assert_eq!(message.pattern(), Some(&b"news.*"[..]));
        assert_eq!(message.payload_as::<i64>().unwrap(), number);
    }
    nothing_more(&mut news).await;
}

#[tokio::test]
async fn a_channel_and_a_pattern_that_covers_it_give_one_message_each() {
    let cluster = Cluster::start(2);
    let mut ring = ring(&cluster).await;
    let mut subscription = ring.subscribe("news").await.unwrap();
    subscription.psubscribe("ne*").await.unwrap();
    subscription.subscribe(&["news", "news"]).await.unwrap();
    ring.publish::<_, _, ()>("news", 1).await.unwrap();
    let mut patterns = [next(&mut subscription).await, next(&mut subscription).await]
        .map(|message| message.pattern().map(<[u8]>::to_vec));
    patterns.sort();
    assert_eq!(patterns, [None, Some(b"ne*".to_vec())]);
    nothing_more(&mut subscription).await;
}

#[tokio::test]
async fn shard_channels_are_apart_from_channels() {
    let cluster = Cluster::start(3);
    let mut ring = ring(&cluster).await;
    let names: Vec<String> = (0..20).map(|number| format!("orders{number}")).collect();
    let mut sharded = ring.ssubscribe(&names).await.unwrap();
    let mut plain = ring.subscribe(&names).await.unwrap();
    for name in &names {
        let heard: i64 =
            redis::cmd("SPUBLISH").arg(name).arg("sharded").query_async(&mut ring).await.unwrap();
        assert_eq!(heard, 1);
        ring.publish::<_, _, ()>(name, "plain").await.unwrap();
    }
    for _ in &names {
        let message = next(&mut sharded).await;
        assert_eq!(message.payload(), b"sharded");
        assert_eq!(message.shard(), ring.shard_for(message.channel()).unwrap().name());
        assert_eq!(next(&mut plain).await.payload(), b"plain");
    }
    nothing_more(&mut sharded).await;
    nothing_more(&mut plain).await;
    sharded.sunsubscribe(&names);
    let held =
        || cluster.iter().map(|s| s.command(&["PUBSUB", "SHARDCHANNELS"]).elements().len()).sum::<usize>();
    eventually("all shard channels are given up", || held() == 0).await;
}

#[tokio::test]
async fn many_listeners_cost_a_shard_one_subscription_and_one_connection() {
    let cluster = Cluster::start(1);
    let mut ring = ring(&cluster).await;
    let mut listeners = Vec::new();
    for _ in 0..100 {
        listeners.push(ring.subscribe(&["news", "sports"]).await.unwrap());
    }
    assert_eq!(subscribers(&cluster[0], "news"), 1);
    assert_eq!(subscribed_connections(&cluster[0]), 1);
    for round in 0..10 {
        ring.publish::<_, _, ()>("news", round).await.unwrap();
    }
    for listener in &mut listeners {
        for round in 0..10 {
            assert_eq!(next(listener).await.payload_as::<i64>().unwrap(), round);
        }
    }
    let mut last = listeners.pop().unwrap();
    drop(listeners);
    ring.publish::<_, _, ()>("sports", "goal").await.unwrap();
    assert_eq!(next(&mut last).await.payload(), b"goal");
    last.unsubscribe("news");
    eventually("the server forgets the channel", || subscribers(&cluster[0], "news") == 0).await;
    assert_eq!(subscribers(&cluster[0], "sports"), 1);
    drop(last);
    eventually("the connection is closed", || subscribed_connections(&cluster[0]) == 0).await;
}

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
async fn subscriptions_move_when_the_shards_change_and_nothing_comes_twice() {
    let cluster = Cluster::start(4);
    let urls = cluster.urls();
    let mut ring = builder(urls[..2].to_vec()).build().await.unwrap();
    let names: Vec<String> = (0..50).map(|number| format!("channel{number}")).collect();
    let mut subscription = ring.subscribe(&names).await.unwrap();
    let mut pattern = ring.psubscribe("chan*").await.unwrap();
    for shards in [&urls[..4], &urls[1..3], &urls[..1], &urls[..3]] {
        // The second list gives other servers the same names: those shards are replaced.
        ring.set_shards(settings(shards)).unwrap();
        let used = |server: &RedisServer| shards.iter().any(|url| *url == server.url());
        let mut homes: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for name in &names {
            homes.entry(ring.shard_for(name).unwrap().address().to_owned()).or_default().insert(name.clone());
        }
        eventually("every channel is on its shard alone", || {
            cluster.iter().all(|server| {
                let expected = homes.get(&server.address().to_string()).cloned().unwrap_or_default();
                let patterns = server.command(&["PUBSUB", "NUMPAT"]).integer();
                channels(server) == expected && patterns == i64::from(used(server))
            })
        })
        .await;
        for name in &names {
            let heard: i64 = ring.publish(name, 1).await.unwrap();
            assert_eq!(heard, 2, "{name}");
        }
        for subscription in [&mut subscription, &mut pattern] {
            let mut seen = BTreeSet::new();
            for _ in &names {
                assert!(seen.insert(next(subscription).await.channel_text().into_owned()));
            }
            nothing_more(subscription).await;
        }
        eventually("shards without subscriptions have no connection for them", || {
            cluster.iter().all(|server| subscribed_connections(server) == usize::from(used(server)))
        })
        .await;
    }
}

#[tokio::test]
async fn a_publish_right_after_subscribe_is_seen_also_when_the_shards_have_just_changed() {
    let cluster = Cluster::start(3);
    let urls = cluster.urls();
    let mut ring = builder(urls[..1].to_vec()).build().await.unwrap();
    let names: Vec<String> = (0..30).map(|number| format!("channel{number}")).collect();
    let _others = ring.subscribe(&names).await.unwrap();
    ring.set_shards(settings(&urls)).unwrap();
    let mut subscription = ring.subscribe(&names).await.unwrap();
    for name in &names {
        let heard: i64 = ring.publish(name, 1).await.unwrap();
        assert_eq!(heard, 1, "{name}");
    }
    for _ in &names {
        next(&mut subscription).await;
    }
}

#[tokio::test]
async fn the_old_shard_is_left_only_when_the_new_one_has_confirmed() {
    let old = RedisServer::start();
    let silent = FakeServer::start(|request| Answer::handshake(request).unwrap_or(Answer::Silence));
    let ring = Ring::builder().shard("shard1", old.url()).build().await.unwrap();
    let mut subscription = ring.subscribe("news").await.unwrap();
    let requests = silent.requests();
    ring.set_shards([ShardSettings::new("shard2", &silent.url()).unwrap()]).unwrap();
    eventually("the new shard is asked", || silent.requests() > requests + 5).await;
    for round in 0..3 {
        assert_eq!(old.command(&["PUBLISH", "news", &round.to_string()]).integer(), 1);
        assert_eq!(next(&mut subscription).await.payload_as::<i64>().unwrap(), round);
    }
    let error = ring.subscribe("news").await.unwrap_err();
    assert_eq!((error.kind(), error.shard()), (Kind::Timeout, Some("shard2")), "{error}");
    let new = RedisServer::start();
    ring.set_shards([ShardSettings::new("shard2", &new.url()).unwrap()]).unwrap();
    eventually("the subscription has moved", || {
        subscribers(&new, "news") == 1 && subscribed_connections(&old) == 0
    })
    .await;
}

#[tokio::test]
async fn a_shard_that_is_renamed_sends_nothing_twice() {
    let cluster = Cluster::start(1);
    let ring = ring(&cluster).await;
    let mut subscription = ring.subscribe("news").await.unwrap();
    subscription.psubscribe("x*").await.unwrap();
    let connections = || {
        let list = cluster[0].command(&["CLIENT", "LIST", "TYPE", "pubsub"]).text().to_owned();
        list.lines().filter_map(|line| Some(line.split(' ').next()?.to_owned())).collect::<Vec<_>>()
    };
    let before = connections();
    ring.set_shards([ShardSettings::new("renamed", &cluster[0].url()).unwrap()]).unwrap();
    eventually("a new connection alone is subscribed to both", || {
        let now = connections();
        let all = subscribers(&cluster[0], "news") + cluster[0].command(&["PUBSUB", "NUMPAT"]).integer();
        now.len() == 1 && now != before && all == 2
    })
    .await;
    cluster[0].command(&["PUBLISH", "news", "1"]);
    cluster[0].command(&["PUBLISH", "x", "1"]);
    for _ in 0..2 {
        assert_eq!(next(&mut subscription).await.shard(), "renamed");
    }
    nothing_more(&mut subscription).await;
}

#[tokio::test]
async fn two_shards_on_one_server_send_a_pattern_once() {
    let server = RedisServer::start();
    let urls = [0, 1].map(|database| format!("{}/{database}", server.url()));
    let mut ring = builder(urls).build().await.unwrap();
    let mut subscription = ring.psubscribe("*").await.unwrap();
    ring.publish::<_, _, ()>("news", 1).await.unwrap();
    next(&mut subscription).await;
    nothing_more(&mut subscription).await;
}

#[tokio::test]
async fn channels_of_a_dead_shard_are_heard_on_the_others_and_go_back() {
    let cluster = Cluster::start(3);
    let ring = builder(cluster.urls()).heartbeat_frequency(Duration::from_millis(50)).build().await.unwrap();
    let name = (0..)
        .map(|number| format!("channel{number}"))
        .find(|name| ring.shard_for(name).unwrap().name() == "shard1")
        .unwrap();
    let mut subscription = ring.subscribe(&name).await.unwrap();
    let mut pattern = ring.psubscribe("*").await.unwrap();
    cluster[0].kill();
    eventually("another shard has the channel", || {
        cluster[1..].iter().map(|server| subscribers(server, &name)).sum::<i64>() == 1
    })
    .await;
    let home = ring.shard_for(&name).unwrap();
    assert_ne!(home.name(), "shard1");
    let mut publisher = ring.clone();
    publisher.publish::<_, _, ()>(&name, "away").await.unwrap();
    assert_eq!(next(&mut subscription).await.shard(), home.name());
    assert_eq!(next(&mut pattern).await.payload(), b"away");
    cluster[0].restart();
    eventually("the channel is back", || {
        let patterns = cluster[0].command(&["PUBSUB", "NUMPAT"]).integer();
        subscribers(&cluster[0], &name) == 1 && patterns == 1
    })
    .await;
    eventually("it was given up elsewhere", || {
        cluster[1..].iter().map(|server| subscribers(server, &name)).sum::<i64>() == 0
    })
    .await;
    publisher.publish::<_, _, ()>(&name, "back").await.unwrap();
    assert_eq!(next(&mut subscription).await.shard(), "shard1");
    assert_eq!(next(&mut pattern).await.payload(), b"back");
}

#[tokio::test]
async fn nothing_is_left_when_subscriptions_and_ring_are_dropped() {
    let cluster = Cluster::start(3);
    let before = alive_tasks();
    let ring = ring(&cluster).await;
    let idle = alive_tasks();
    let clients =
        |server: &RedisServer| server.command(&["CLIENT", "LIST", "TYPE", "pubsub"]).text().lines().count();
    let subscription = ring.subscribe(&["a", "b", "c", "d"]).await.unwrap();
    let pattern = ring.psubscribe("*").await.unwrap();
    assert!(cluster.iter().all(|server| clients(server) == 1));
    assert!(alive_tasks() > idle);
    drop((subscription, pattern));
    eventually("the ring is as before", || {
        alive_tasks() == idle && cluster.iter().all(|server| clients(server) == 0)
    })
    .await;

    // Also when servers do not answer, and when the ring goes first.
    let subscription = ring.subscribe(&["a", "b", "c", "d"]).await.unwrap();
    cluster[0].stop();
    cluster[1].kill();
    drop(ring);
    drop(subscription);
    eventually("all tasks have ended", || alive_tasks() == before).await;
    cluster[0].cont();
    for server in [&cluster[0], &cluster[2]] {
        eventually("only the asker is connected", || {
            server.command(&["CLIENT", "LIST"]).text().lines().count() == 1
        })
        .await;
    }
}

#[tokio::test]
async fn only_the_slow_listener_is_ended_when_it_falls_behind() {
    let cluster = Cluster::start(1);
    let mut ring = ring(&cluster).await;
    let mut slow = ring.subscription(SubscriptionLimits { messages: 10, ..Default::default() });
    slow.subscribe(&["news", "other"]).await.unwrap();
    let mut heavy = ring.subscription(SubscriptionLimits { bytes: 1000, ..Default::default() });
    heavy.subscribe("news").await.unwrap();
    let mut good = ring.subscribe("news").await.unwrap();
    let mut pipe = redis::pipe();
    for number in 0..1000 {
        pipe.publish("news", format!("{number:0>96}")).ignore();
    }
    pipe.exec_async(&mut ring).await.unwrap();
    for number in 0..1000 {
        assert_eq!(next(&mut good).await.payload_as::<i64>().unwrap(), number);
    }
    for listener in [&mut slow, &mut heavy] {
        for number in 0..10 {
            assert_eq!(next(listener).await.payload_as::<i64>().unwrap(), number);
        }
        let error = listener.next().await.unwrap().unwrap_err();
        assert_eq!(error.kind(), Kind::Busy, "{error}");
        assert!(error.text().contains("10 messages (1000 bytes)"), "{error}");
        assert!(listener.next().await.is_none());
        assert!(listener.subscribe("more").await.is_err());
    }
    eventually("what it alone listened to is given up", || subscribers(&cluster[0], "other") == 0).await;
    assert_eq!(subscribers(&cluster[0], "news"), 1);
    nothing_more(&mut good).await;
}

#[tokio::test]
async fn a_server_that_is_spoken_to_in_resp2_does_as_well() {
    let cluster = Cluster::start(2);
    let mut ring = builder(cluster.urls())
        .each_shard(|_, settings| settings.protocol = Protocol::Resp2)
        .build()
        .await
        .unwrap();
    let mut subscription = ring.subscribe(&["a", "b", "c"]).await.unwrap();
    subscription.psubscribe("p*").await.unwrap();
    subscription.ssubscribe("s").await.unwrap();
    assert!(cluster[0].command(&["CLIENT", "LIST", "TYPE", "pubsub"]).text().contains("resp=2"));
    // Longer than a connection stays without a sign of life.
    tokio::time::sleep(Duration::from_millis(3500)).await;
    assert!(cluster[0].command(&["CLIENT", "LIST", "TYPE", "pubsub"]).text().contains("cmd=ping"));
    for (command, channel) in
        [("PUBLISH", "a"), ("PUBLISH", "b"), ("PUBLISH", "c"), ("PUBLISH", "pp"), ("SPUBLISH", "s")]
    {
        let heard: i64 = redis::cmd(command).arg(channel).arg("x").query_async(&mut ring).await.unwrap();
        assert_eq!(heard, 1, "{channel}");
        let message = next(&mut subscription).await;
        assert_eq!((message.channel(), message.payload()), (channel.as_bytes(), &b"x"[..]));
    }
    subscription.unsubscribe(&["a", "b"]);
    subscription.punsubscribe("p*");
    eventually("they are given up", || {
        let left: BTreeSet<String> = cluster.iter().flat_map(channels).collect();
        left == BTreeSet::from(["c".to_owned()])
    })
    .await;
}

#[tokio::test]
async fn a_subscribe_that_is_dropped_half_way_leaves_nothing_behind() {
    let cluster = Cluster::start(2);
    let ring = ring(&cluster).await;
    let idle = alive_tasks();
    let names: Vec<String> = (0..10).map(|number| format!("channel{number}")).collect();
    cluster[0].stop();
    for wait in [0, 1, 20, 100] {
        let half = timeout(Duration::from_millis(wait), ring.subscribe(&names)).await;
        assert!(half.is_err());
    }
    cluster[0].cont();
    eventually("no task and no subscription is left", || {
        alive_tasks() == idle && cluster.iter().all(|server| subscribed_connections(server) == 0)
    })
    .await;

    // What was subscribed before stays.
    let mut kept = ring.subscribe("kept").await.unwrap();
    for server in &cluster {
        server.stop();
    }
    assert!(timeout(Duration::from_millis(50), kept.subscribe(&["kept", "more"])).await.is_err());
    for server in &cluster {
        server.cont();
    }
    let home = cluster.iter().position(|server| subscribers(server, "kept") == 1).unwrap();
    eventually("the other is given up", || cluster.iter().all(|s| subscribers(s, "more") == 0)).await;
    cluster[home].command(&["PUBLISH", "kept", "1"]);
    assert_eq!(next(&mut kept).await.payload(), b"1");
}

#[tokio::test]
async fn a_next_that_is_dropped_loses_no_message() {
    let cluster = Cluster::start(1);
    let mut ring = ring(&cluster).await;
    let mut subscription = ring.subscribe("news").await.unwrap();
    let publisher = tokio::spawn(async move {
        for number in 0..500 {
            ring.publish::<_, _, ()>("news", number).await.unwrap();
        }
    });
    let mut expected = 0;
    while expected < 500 {
        if let Ok(message) = timeout(Duration::from_micros(50), subscription.next()).await {
            assert_eq!(message.unwrap().unwrap().payload_as::<i64>().unwrap(), expected);
            expected += 1;
        }
    }
    publisher.await.unwrap();
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
async fn closing_the_ring_ends_its_subscriptions() {
    let cluster = Cluster::start(2);
    let before = alive_tasks();
    let mut ring = ring(&cluster).await;
    let mut subscription = ring.subscribe("news").await.unwrap();
    ring.publish::<_, _, ()>("news", "last").await.unwrap();
    let first = next(&mut subscription).await;
    assert_eq!(first.payload(), b"last");
    ring.close();
    assert_eq!(subscription.next().await.unwrap().unwrap_err().kind(), Kind::Refused);
    assert!(subscription.next().await.is_none());
    assert_eq!(ring.subscribe("news").await.unwrap_err().kind(), Kind::Refused);
    eventually("all tasks have ended", || alive_tasks() == before).await;
}

#[tokio::test]
async fn thousands_of_channels_are_subscribed_and_subscribed_again() {
    let cluster = Cluster::start(2);
    let mut ring = ring(&cluster).await;
    let names: Vec<String> = (0..20_000).map(|number| format!("a channel with number {number}")).collect();
    let mut subscription = ring.subscribe(&names).await.unwrap();
    let held = || cluster.iter().map(|server| channels(server).len()).sum::<usize>();
    assert_eq!(held(), 20_000);
    for server in &cluster {
        server.command(&["CLIENT", "KILL", "TYPE", "pubsub"]);
    }
    eventually("all are subscribed again", || held() == 20_000).await;
    ring.publish::<_, _, ()>(&names[19_999], 1).await.unwrap();
    assert_eq!(next(&mut subscription).await.channel_text(), names[19_999]);
    subscription.unsubscribe(&names[1..]);
    eventually("all but one are given up", || held() == 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn listeners_that_come_and_go_disturb_nobody() {
    let cluster = Cluster::start(2);
    let ring = ring(&cluster).await;
    let mut steady = ring.subscribe(&["c0", "c1", "c2", "c3"]).await.unwrap();
    let churn: Vec<_> = (0..8)
        .map(|worker| {
            let ring = ring.clone();
            tokio::spawn(async move {
                for round in 0..60 {
                    let channel = format!("c{}", (worker + round) % 6);
                    let mut subscription = ring.subscribe(&channel).await.unwrap();
                    let heard: i64 = ring.clone().publish(&channel, "x").await.unwrap();
                    assert_eq!(heard, 1);
                    assert_eq!(next(&mut subscription).await.channel_text(), channel);
                }
            })
        })
        .collect();
    for worker in churn {
        worker.await.unwrap();
    }
    // Of six channels four are heard by the steady one, and each worker used all of them alike.
    for _ in 0..8 * 60 * 4 / 6 {
        next(&mut steady).await;
    }
    nothing_more(&mut steady).await;
    drop(steady);
    eventually("nobody is subscribed", || cluster.iter().all(|server| subscribed_connections(server) == 0))
        .await;
}
