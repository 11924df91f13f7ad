//! A pool that ends.

use std::time::Duration;

use redis::AsyncCommands;
use rendis::{Kind, Sent};
use rendis_testkit::{RedisServer, eventually};

use crate::{builder, client_id, connected, own};

#[tokio::test]
async fn a_closed_pool_closes_idle_connections_and_leaves_those_in_use_alone() {
    let server = RedisServer::start();
    let pool = builder(&server).max_connections_per_instance(2).build().unwrap();
    let clone = pool.clone();
    pool.with("k", async |conn| {
        // A second one, which is idle when the pool closes.
        clone.with("k", async |_| Ok(())).await?;
        assert_eq!(connected(&server), 2);
        clone.close();
        clone.close();
        eventually("the idle one is closed", || connected(&server) == 1).await;
        assert_eq!(own(pool.with("k", async |_| Ok(())).await).kind(), Kind::Refused);
        conn.set::<_, _, ()>("k", "still").await
    })
    .await
    .unwrap();
    eventually("the other one is closed", || connected(&server) == 0).await;
    assert_eq!(server.command(&["GET", "k"]).text(), "still");
    let error = own(pool.with("k", async |_| Ok(())).await);
    assert_eq!((error.kind(), error.sent()), (Kind::Refused, Sent::No));
    assert_eq!(pool.stats()[0].total, 0);
}

#[tokio::test]
async fn closing_ends_the_waiting_too() {
    let server = RedisServer::start();
    let pool = builder(&server)
        .max_connections_per_instance(1)
        .wait_timeout(Duration::from_secs(60))
        .build()
        .unwrap();
    pool.with("k", async |_| {
        let closing = async {
            eventually("one waits", || pool.stats()[0].waits == 1).await;
            pool.close();
        };
        let (waiting, ()) = tokio::join!(pool.with("k", async |_| Ok(())), closing);
        assert_eq!(own(waiting).kind(), Kind::Refused);
        Ok(())
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn the_last_clone_takes_the_idle_connections_with_it() {
    let server = RedisServer::start();
    let pool = builder(&server).build().unwrap();
    client_id(&pool.clone()).await;
    assert_eq!(connected(&server), 1);
    drop(pool);
    eventually("none is left", || connected(&server) == 0).await;
}
