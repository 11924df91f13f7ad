//! Many listeners, many channels.

use redis::AsyncCommands;
use rendis::{Kind, SubscriptionLimits};
use rendis_testkit::{Cluster, eventually};

use crate::{channels, next, nothing_more, ring, subscribed_connections, subscribers};

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
