//! Nothing is left of what was dropped or closed.

use std::time::Duration;

use redis::AsyncCommands;
use rendis::Kind;
use rendis_testkit::{Cluster, RedisServer, eventually};
use tokio::time::timeout;

use crate::{alive_tasks, next, ring, subscribed_connections, subscribers};

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
