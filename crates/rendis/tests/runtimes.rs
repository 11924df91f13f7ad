//! A ring whose callers are on other runtimes than its own, or on none.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use redis::AsyncCommands;
use rendis::{OnDown, Ring};
use rendis_testkit::{Cluster, RedisServer, until};
use tokio::runtime::Runtime;

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
