//! Shards that come, go and change their names.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use redis::AsyncCommands;
use rendis::{Kind, Ring, ShardSettings};
use rendis_testkit::{Answer, Cluster, FakeServer, RedisServer, eventually};

use crate::{builder, channels, next, nothing_more, ring, settings, subscribed_connections, subscribers};

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
        eventually("every channel is on its shard alone, and so is the connection for them", || {
            cluster.iter().all(|server| {
                let expected = homes.get(&server.address().to_string()).cloned().unwrap_or_default();
                let patterns = server.command(&["PUBSUB", "NUMPAT"]).integer();
                // A server that has another name now is left when it has been connected to under that.
                let connections = subscribed_connections(server);
                channels(server) == expected
                    && patterns == i64::from(used(server))
                    && connections == usize::from(used(server))
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
