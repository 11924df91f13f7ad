//! Whatever happens to a call of a `Pool`, no connection and no turn is lost.
//!
//! The product of how a connection is used and how the use ends, over pools that have to dial and pools that have an
//! idle connection. After each: as many connections as the limit says can be had at once, the server sees those of
//! the pool and no others, and once all are back all are idle.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::future::{Future, poll_fn};
use std::panic::AssertUnwindSafe;
use std::task::Poll;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::join_all;
use redis::{AsyncCommands, RedisResult};
use rendis::{Connection, Error, Kind, Pool};
use rendis_testkit::{RedisServer, eventually};
use tokio::sync::Barrier;

/// How a connection is used.
#[derive(Clone, Copy, Debug)]
enum Use {
    With,
    WithIndex,
    ByHand,
}

/// How the use ends.
#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    Ok,
    Error,
    Panic,
    /// Killed while the connection is in use.
    Killed,
    /// Frozen while the connection is in use.
    NeverAnswers,
}

const LIMIT: usize = 2;
const USES: [Use; 3] = [Use::With, Use::WithIndex, Use::ByHand];

fn pool(server: &RedisServer) -> Pool {
    Pool::builder([server.url()])
        .client_name("pooled")
        .max_connections_per_instance(LIMIT)
        .read_timeout(Duration::from_millis(200))
        .build()
        .unwrap()
}

fn connected(server: &RedisServer) -> usize {
    server
        .command(&["CLIENT", "LIST"])
        .text()
        .lines()
        .filter(|line| line.contains(" addr=127.0.0.1:"))
        .count()
}

async fn warm_up(pool: &Pool) {
    pool.with("k", async |conn| conn.ping::<()>().await).await.unwrap();
}

async fn work(conn: &mut Connection, by_hand: bool, end: End, server: &RedisServer) -> RedisResult<()> {
    let breaking = || match end {
        End::Killed => server.kill(),
        End::NeverAnswers => server.stop(),
        End::Panic => panic!("as the test wants"),
        End::Ok | End::Error => {}
    };
    if by_hand {
        for _ in 0..3 {
            conn.send(redis::cmd("INCR").arg("k")).await?;
        }
        conn.flush().await?;
        conn.receive::<i64>().await?;
        conn.receive::<i64>().await?;
        conn.receive::<i64>().await?;
        breaking();
        conn.send(&redis::cmd("PING")).await?;
        conn.flush().await?;
        conn.receive::<String>().await?;
    } else {
        conn.incr::<_, _, i64>("k", 1).await?;
        redis::pipe().atomic().incr("k", 1).incr("k", 1).exec_async(conn).await?;
        breaking();
        conn.ping::<()>().await?;
    }
    if end == End::Error {
        return Err(redis::RedisError::from((redis::ErrorKind::Client, "as the test wants")));
    }
    Ok(())
}

async fn call(pool: &Pool, how: Use, end: End, server: &RedisServer) -> RedisResult<()> {
    match how {
        Use::With => pool.with("k", async |conn| work(conn, false, end, server).await).await,
        Use::WithIndex => pool.with_index(0, async |conn| work(conn, false, end, server).await).await,
        Use::ByHand => pool.with_index(0, async |conn| work(conn, true, end, server).await).await,
    }
}

/// Polls `future` at most `polls` times more after the first and then drops it: `None` when it was dropped unfinished.
async fn dropped_after<F: Future>(polls: usize, future: F) -> Option<F::Output> {
    let mut future = Box::pin(future);
    let mut left = polls;
    poll_fn(|context| match future.as_mut().poll(context) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending if left == 0 => Poll::Ready(None),
        Poll::Pending => {
            left -= 1;
            Poll::Pending
        }
    })
    .await
}

/// Nothing is lost: see the file.
async fn assert_whole(pool: &Pool, server: &RedisServer, case: &str) {
    let now = pool.stats()[0];
    assert!(now.total <= LIMIT && now.idle == now.total, "{case}: {now:?}");
    eventually(&format!("{case}: the server sees the pool's connections"), || connected(server) == now.total)
        .await;
    let barrier = Barrier::new(LIMIT);
    let all = join_all((0..LIMIT).map(|_| {
        pool.with("k", async |conn| {
            conn.ping::<()>().await?;
            barrier.wait().await;
            Ok(())
        })
    }));
    for outcome in tokio::time::timeout(Duration::from_secs(5), all).await.expect(case) {
        outcome.expect(case);
    }
    let after = pool.stats()[0];
    assert_eq!((after.total, after.idle), (LIMIT, LIMIT), "{case}");
    assert_eq!(connected(server), LIMIT, "{case}");
}

#[tokio::test]
async fn no_end_of_a_use_loses_a_connection_or_a_turn() {
    for how in USES {
        for end in [End::Ok, End::Error, End::Panic, End::Killed, End::NeverAnswers] {
            for warm in [false, true] {
                let case = format!("{how:?} {end:?} warm: {warm}");
                let server = RedisServer::start();
                let pool = pool(&server);
                if warm {
                    warm_up(&pool).await;
                }
                let outcome = AssertUnwindSafe(call(&pool, how, end, &server)).catch_unwind().await;
                let kept = match (end, outcome) {
                    (End::Ok, Ok(Ok(()))) => 1,
                    (End::Error, Ok(Err(error))) if Error::of(&error).is_none() => 0,
                    (End::Panic, Err(_)) => 0,
                    (End::Killed, Ok(Err(error))) => {
                        assert_eq!(Error::of(&error).unwrap().kind(), Kind::ShardDown, "{case}: {error}");
                        server.restart();
                        0
                    }
                    (End::NeverAnswers, Ok(Err(error))) => {
                        assert_eq!(Error::of(&error).unwrap().kind(), Kind::Timeout, "{case}: {error}");
                        server.cont();
                        0
                    }
                    (_, outcome) => panic!("{case}: {outcome:?}"),
                };
                assert_eq!(pool.stats()[0].total, kept, "{case}");
                assert_whole(&pool, &server, &case).await;
            }
        }
    }
}

#[tokio::test]
async fn a_future_dropped_at_any_await_point_loses_nothing() {
    let server = RedisServer::start();
    for how in USES {
        for warm in [false, true] {
            let mut points = 0;
            loop {
                let case = format!("{how:?} warm: {warm}, dropped at await point {points}");
                let pool = pool(&server);
                if warm {
                    warm_up(&pool).await;
                }
                let outcome = dropped_after(points, call(&pool, how, End::Ok, &server)).await;
                assert_eq!(pool.stats()[0].total, usize::from(outcome.is_some()), "{case}");
                assert_whole(&pool, &server, &case).await;
                drop(pool);
                eventually(&format!("{case}: all are closed"), || connected(&server) == 0).await;
                if let Some(outcome) = outcome {
                    outcome.expect(&case);
                    break;
                }
                points += 1;
            }
            // Dialling and the handshake, then a few commands; warm, the commands alone.
            assert!(points >= if warm { 2 } else { 4 }, "{how:?} warm: {warm}: {points}");
        }
    }
}

#[tokio::test]
async fn a_future_dropped_on_a_server_that_is_dead_or_silent_loses_nothing() {
    for how in USES {
        for end in [End::Killed, End::NeverAnswers] {
            let mut points = 0;
            let server = RedisServer::start();
            loop {
                let case = format!("{how:?} {end:?}, dropped at await point {points}");
                let pool = pool(&server);
                warm_up(&pool).await;
                if end == End::Killed {
                    server.kill()
                } else {
                    server.stop()
                }
                // The idle connection, and the one that is dialled.
                let calls = join_all((0..LIMIT).map(|_| call(&pool, how, End::Ok, &server)));
                let outcome = dropped_after(points, calls).await;
                if end == End::Killed {
                    server.restart()
                } else {
                    server.cont()
                }
                assert_eq!(pool.stats()[0].total, 0, "{case}");
                assert_whole(&pool, &server, &case).await;
                drop(pool);
                eventually(&format!("{case}: all are closed"), || connected(&server) == 0).await;
                if let Some(outcomes) = outcome {
                    assert!(outcomes.iter().all(Result::is_err), "{case}: {outcomes:?}");
                    break;
                }
                points += 1;
            }
        }
    }
}

#[tokio::test]
async fn a_future_dropped_in_the_queue_loses_its_place_and_nothing_else() {
    let server = RedisServer::start();
    let pool = pool(&server);
    let gate = Barrier::new(LIMIT + 1);
    let holders = join_all((0..LIMIT).map(|_| {
        pool.with("k", async |_| {
            gate.wait().await;
            gate.wait().await;
            Ok(())
        })
    }));
    let others = async {
        gate.wait().await;
        // The first in the queue goes away, the second is served.
        let mut gone = Box::pin(pool.with("k", async |_| Ok(1)));
        let mut served = Box::pin(pool.with("k", async |_| Ok(2)));
        assert!((&mut gone).now_or_never().is_none() && (&mut served).now_or_never().is_none());
        drop(gone);
        gate.wait().await;
        assert_eq!(served.await.unwrap(), 2);
        // One that was given a connection and never saw it.
        let given = Box::pin(pool.with("k", async |_| Ok(3)));
        drop(given);
    };
    let (held, ()) = tokio::join!(holders, others);
    held.into_iter().for_each(|outcome| outcome.unwrap());
    assert_eq!(pool.stats()[0].waits, 2);
    assert_whole(&pool, &server, "dropped in the queue").await;
}

#[tokio::test]
async fn a_turn_that_was_granted_to_a_dropped_future_goes_to_the_next() {
    let server = RedisServer::start();
    let pool = Pool::builder([server.url()]).max_connections_per_instance(1).build().unwrap();
    let (release, held) = tokio::sync::oneshot::channel::<()>();
    let mut holder = Box::pin(pool.with("k", async |_| {
        held.await.unwrap();
        Ok(())
    }));
    while pool.stats()[0].total == 0 || pool.stats()[0].misses == 0 {
        assert!((&mut holder).now_or_never().is_none());
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let mut first = Box::pin(pool.with("k", async |_| Ok(1)));
    let mut second = Box::pin(pool.with("k", async |_| Ok(2)));
    assert!((&mut first).now_or_never().is_none() && (&mut second).now_or_never().is_none());
    release.send(()).unwrap();
    holder.await.unwrap();
    // The connection is the first one's now, who goes away before it is polled again.
    drop(first);
    assert_eq!(second.await.unwrap(), 2);
    assert_eq!((pool.stats()[0].total, pool.stats()[0].idle), (1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_that_are_aborted_at_random_lose_nothing() {
    let server = RedisServer::start();
    let pool = pool(&server);
    for round in 0..200_u64 {
        let tasks: Vec<_> = (0..6)
            .map(|_| {
                let pool = pool.clone();
                tokio::spawn(async move {
                    pool.with("k", async |conn| {
                        conn.send(redis::cmd("INCR").arg("k")).await?;
                        conn.receive::<i64>().await
                    })
                    .await
                })
            })
            .collect();
        tokio::time::sleep(Duration::from_micros(round % 20 * 25)).await;
        tasks.iter().step_by(2).for_each(|task| task.abort());
        for task in tasks {
            if let Ok(outcome) = task.await {
                outcome.unwrap();
            }
        }
    }
    assert_whole(&pool, &server, "aborted at random").await;
}
