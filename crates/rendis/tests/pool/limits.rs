//! How many connections, who gets the next one, and how long that may take.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use rendis::{Connection, Kind, Pool, Sent};
use rendis_testkit::{Answer, FakeServer, RedisServer, eventually};
use tokio::sync::oneshot;

use crate::{builder, other, own};

#[tokio::test]
async fn waiting_for_a_connection_has_a_limit() {
    let server = RedisServer::start();
    let pool = builder(&server)
        .max_connections_per_instance(1)
        .wait_timeout(Duration::from_millis(100))
        .build()
        .unwrap();
    let error = pool
        .with("k", async |_| {
            let started = Instant::now();
            let error = own(pool.with("k", async |_| Ok(())).await);
            assert!(started.elapsed() >= Duration::from_millis(100), "{:?}", started.elapsed());
            assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
            Ok(error)
        })
        .await
        .unwrap();
    assert_eq!((error.kind(), error.sent()), (Kind::Timeout, Sent::No));
    assert_eq!(error.shard(), Some(&*server.address().to_string()));
    assert!(error.to_string().contains("no free connection in 100ms"), "{error}");
    let stats = pool.stats()[0];
    assert_eq!((stats.waits, stats.timeouts, stats.idle, stats.total), (1, 1, 1, 1));

    let impatient =
        builder(&server).max_connections_per_instance(1).wait_timeout(Duration::ZERO).build().unwrap();
    let refused = impatient.with("k", async |_| Ok(own(impatient.with("k", async |_| Ok(())).await))).await;
    assert_eq!(refused.unwrap().kind(), Kind::Timeout);
}

#[tokio::test]
async fn who_asks_first_is_served_first() {
    let server = RedisServer::start();
    let pool = builder(&server).max_connections_per_instance(1).build().unwrap();
    let order = Arc::new(Mutex::new(Vec::new()));
    let (release, held) = oneshot::channel::<()>();
    let holder = pool.with("k", async |_| {
        held.await.unwrap();
        Ok(())
    });
    let waiters = (0..20).map(|number| {
        let (pool, order) = (&pool, &order);
        async move {
            // Every other one gives its connection back, the rest have it discarded.
            let work = async |_: &mut Connection| {
                order.lock().unwrap().push(number);
                tokio::task::yield_now().await;
                if number % 2 == 0 { Ok(()) } else { Err(other()) }
            };
            assert_eq!(pool.with("k", work).await.is_ok(), number % 2 == 0);
        }
    });
    // The waiters are polled, and so ask, in their order.
    let releasing = async {
        eventually("all wait", || pool.stats()[0].waits == 20).await;
        release.send(()).unwrap();
    };
    let (held, _, ()) = tokio::join!(holder, join_all(waiters), releasing);
    held.unwrap();
    assert_eq!(*order.lock().unwrap(), (0..20).collect::<Vec<_>>());
    assert_eq!(pool.stats()[0].waits, 20);
}

#[tokio::test]
async fn dialling_counts_against_the_limit() {
    let server = FakeServer::start(|_| Answer::Silence);
    let pool = Pool::builder([server.url()])
        .max_connections_per_instance(2)
        .connect_timeout(Duration::from_millis(400))
        .wait_timeout(Duration::from_millis(100))
        .build()
        .unwrap();
    let calls = join_all((0..5).map(|_| pool.with("k", async |_| Ok(()))));
    let looking = async {
        eventually("two dial", || pool.stats()[0].total == 2 && server.connections() == 2).await;
        assert_eq!(pool.stats()[0].idle, 0);
    };
    let (outcomes, ()) = tokio::join!(calls, looking);
    let texts: Vec<String> = outcomes.into_iter().map(|outcome| own(outcome).to_string()).collect();
    assert_eq!(texts.iter().filter(|text| text.contains(" in 400ms")).count(), 2, "{texts:?}");
    assert_eq!(
        texts.iter().filter(|text| text.contains("no free connection in 100ms")).count(),
        3,
        "{texts:?}"
    );
    assert_eq!(server.connections(), 2);
    assert_eq!((pool.stats()[0].total, pool.stats()[0].idle), (0, 0));
}
