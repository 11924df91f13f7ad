//! What is published arrives, from where, and what a message says.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::StreamExt;
use redis::AsyncCommands;
use rendis::Protocol;
use rendis_testkit::{Cluster, eventually};
use tokio::time::timeout;

use crate::{builder, channels, next, nothing_more, ring};

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
