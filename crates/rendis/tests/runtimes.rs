//! A ring whose callers are on other runtimes than its own, or on none.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use redis::AsyncCommands;
use rendis::{Error, Kind, OnDown, Ring};
use rendis_testkit::{Cluster, RedisServer, until};
use tokio::runtime::Runtime;
use tokio::time::timeout;

/// A runtime of one thread, which runs as long as somebody waits for what is on it.
fn idle() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// A runtime that always runs.
fn busy() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Waits for a future without any runtime.
fn bare<F: Future>(future: F) -> F::Output {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}

#[test]
fn what_a_connection_brings_is_lost_on_no_runtime_that_another_caller_had() {
    let server = RedisServer::start();
    let own = busy();
    let ring = own.block_on(Ring::builder().shard("only", server.url()).build()).unwrap();
    let (first, second) = (idle(), idle());
    let pop = |runtime: &Runtime, seconds| {
        let mut ring = ring.clone();
        runtime.block_on(async move { ring.blpop::<_, Option<(String, String)>>("list", seconds).await })
    };
    assert_eq!(pop(&first, 0.05).unwrap(), None);
    second.block_on(ring.clone().rpush::<_, _, ()>("list", "kept")).unwrap();
    // The connection that the first had, whose runtime stands still.
    assert_eq!(pop(&second, 1.0).unwrap(), Some(("list".to_owned(), "kept".to_owned())));
    let watched: redis::RedisResult<(bool,)> = second.block_on(ring.watch("list", async |transaction| {
        let length: i64 = transaction.llen("list").await?;
        redis::pipe().atomic().set("length", length).query_async(transaction).await
    }));
    assert_eq!(watched.unwrap(), (true,));
}

#[test]
fn without_a_runtime_a_shard_can_die_as_with_one() {
    let cluster = Cluster::start(2);
    let own = busy();
    let shards = cluster.urls().into_iter().enumerate().map(|(at, url)| (format!("shard{}", at + 1), url));
    let builder = Ring::builder().shards(shards).heartbeat_frequency(Duration::from_millis(50));
    let ring = own.block_on(builder.build()).unwrap();
    let keys: Vec<String> = (0..20).map(|number| format!("key{number}")).collect();
    let mut caller = ring.clone();
    let mut set_and_get = || {
        for key in &keys {
            // One that the dying server may have got is not made again.
            until("it is set", || bare(caller.set::<_, _, ()>(key, "value")).is_ok());
        }
        let mut pipe = redis::pipe();
        keys.iter().for_each(|key| {
            pipe.get(key);
        });
        let values = vec!["value"; keys.len()];
        assert_eq!(bare(pipe.query_async::<Vec<String>>(&mut caller)).unwrap(), values);
        assert_eq!(bare(caller.mget::<_, Vec<String>>(&keys)).unwrap(), values);
    };
    set_and_get();
    cluster[0].kill();
    set_and_get();
    assert_eq!(ring.len(), 1);
    cluster[0].restart();
    until("the shard is back", || ring.len() == 2);
    set_and_get();
}

/// Whether it says that the ring's runtime has ended.
fn says_so(error: &redis::RedisError) -> bool {
    // That of a pipeline has those of its commands in it.
    let refused = Error::of(error).is_none_or(|own| own.kind() == Kind::Refused);
    refused && error.to_string().contains("the runtime on which the ring was built has ended")
}

#[test]
fn what_is_called_when_the_runtime_of_the_ring_has_ended_is_refused_with_the_reason() {
    let cluster = Cluster::start(2);
    let own = busy();
    let shards = [("a", cluster.urls().remove(0)), ("b", cluster.urls().remove(1))];
    let ring = own.block_on(Ring::builder().shards(shards).build()).unwrap();
    drop(own);
    let calls = || {
        let mut ring = ring.clone();
        async move {
            let keys = ["a", "b", "c", "d"];
            let mut errors = vec![
                ring.get::<_, ()>("a").await.unwrap_err(),
                ring.set::<_, _, ()>("a", 1).await.unwrap_err(),
                ring.mget::<_, ()>(&keys).await.unwrap_err(),
                redis::pipe().get("a").get("b").query_async::<()>(&mut ring).await.unwrap_err(),
                redis::pipe().atomic().get("a").query_async::<()>(&mut ring).await.unwrap_err(),
            ];
            if tokio::runtime::Handle::try_current().is_ok() {
                errors.push(ring.blpop::<_, ()>("a", 1.0).await.unwrap_err());
                errors.push(ring.watch("a", async |_| Ok(())).await.unwrap_err());
            }
            errors
        }
    };
    let within = async { timeout(Duration::from_secs(10), calls()).await.unwrap() };
    for error in idle().block_on(within).iter().chain(&bare(calls())) {
        assert!(says_so(error), "{error}");
    }
}

#[test]
fn who_waits_for_a_dead_shard_when_the_runtime_of_the_ring_ends_is_told() {
    let cluster = Cluster::start(2);
    let (own, other) = (busy(), busy());
    let shards = [("a", cluster.urls().remove(0)), ("b", cluster.urls().remove(1))];
    let ring = own.block_on(Ring::builder().shards(shards).build()).unwrap();
    let callers: Vec<_> = (0..64)
        .map(|number| {
            let mut ring = ring.clone();
            other.spawn(async move {
                loop {
                    match ring.get::<_, Option<String>>(format!("key{number}")).await {
                        Err(error) if says_so(&error) => return,
                        _ => tokio::task::yield_now().await,
                    }
                }
            })
        })
        .collect();
    cluster[0].kill();
    thread::sleep(Duration::from_millis(20));
    own.shutdown_background();
    for caller in callers {
        other.block_on(async { timeout(Duration::from_secs(10), caller).await }).unwrap().unwrap();
    }
}

/// Asks again at once, until it is answered.
async fn ask_on(mut ring: Ring) {
    while ring.get::<_, Option<String>>("key").await.is_err() {}
}

#[tokio::test]
async fn who_tries_again_and_again_keeps_no_thread_from_what_would_mend_it() {
    const IN_TIME: Duration = Duration::from_secs(10);
    let server = RedisServer::start();
    let builder = Ring::builder().shard("only", server.url()).heartbeat_frequency(Duration::from_millis(50));
    let ring = builder.on_down(OnDown::Fail).queue_limits(4, 1 << 20).build().await.unwrap();
    server.kill();
    while ring.clone().get::<_, Option<String>>("key").await.is_ok() {}
    let server = thread::spawn(move || {
        thread::sleep(Duration::from_millis(300));
        server.restart();
        server
    });
    tokio::time::timeout(IN_TIME, ask_on(ring.clone())).await.unwrap();
    // More at a time than may wait.
    let all: tokio::task::JoinSet<()> = (0..16).map(|_| ask_on(ring.clone())).collect();
    tokio::time::timeout(IN_TIME, all.join_all()).await.unwrap();
    server.join().unwrap();
}
