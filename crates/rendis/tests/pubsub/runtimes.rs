//! Runtimes that end, that are not there, or that one task would keep busy.

use std::io::{Read, Write};
use std::time::Duration;

use futures_util::FutureExt as _;
use redis::AsyncCommands as _;
use rendis::{Error, Kind, SubscriptionLimits};
use rendis_testkit::{Cluster, RedisServer};
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;

use crate::{builder, next, ring};

#[test]
fn a_runtime_that_ends_takes_no_subscriptions_with_it() {
    let cluster = Cluster::start(1);
    let main = Runtime::new().unwrap();
    let ring = main.block_on(ring(&cluster));
    let short = Builder::new_current_thread().enable_all().build().unwrap();
    let first = short.block_on(ring.subscribe("x")).unwrap();
    let mut mine = main.block_on(ring.subscribe("x")).unwrap();
    drop((first, short));
    main.block_on(async {
        cluster[0].command(&["PUBLISH", "x", "1"]);
        assert_eq!(next(&mut mine).await.payload_text(), "1");
        ring.subscribe("y").await.unwrap();
    });
}

#[test]
fn subscriptions_end_with_the_runtime_of_their_ring() {
    let cluster = Cluster::start(1);
    let short = Runtime::new().unwrap();
    let ring = short.block_on(ring(&cluster));
    let main = Builder::new_current_thread().enable_all().build().unwrap();
    let mut waiting = main.block_on(ring.subscribe("x")).unwrap();
    let idle = ring.subscription(SubscriptionLimits::default());
    let ending = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(50));
        short.shutdown_background();
    });
    main.block_on(async {
        let ended = timeout(Duration::from_secs(5), waiting.next()).await.expect("it is told");
        let error = ended.expect("an error first").unwrap_err();
        assert_eq!(error.kind(), Kind::Refused);
        assert!(error.to_string().contains("the runtime on which the ring was built has ended"), "{error}");
        assert!(waiting.next().await.is_none());
        for _ in 0..2 {
            let later = timeout(Duration::from_secs(5), idle.subscribe("y")).await.expect("it is told");
            assert_eq!(later.unwrap_err().kind(), Kind::Refused);
            let anew = timeout(Duration::from_secs(5), ring.subscribe("z")).await.expect("it is told");
            assert_eq!(anew.unwrap_err().kind(), Kind::Refused);
        }
    });
    ending.join().unwrap();
}

#[test]
fn subscribing_to_a_ring_whose_runtime_has_ended_is_an_error() {
    let cluster = Cluster::start(1);
    let short = Runtime::new().unwrap();
    let ring = short.block_on(ring(&cluster));
    drop(short);
    let main = Builder::new_current_thread().enable_all().build().unwrap();
    main.block_on(async {
        let late = timeout(Duration::from_secs(5), ring.subscribe("x")).await.expect("it is told");
        assert_eq!(late.unwrap_err().kind(), Kind::Refused);
    });
}

#[test]
fn outside_of_a_runtime_is_an_error() {
    let cluster = Cluster::start(1);
    let main = Runtime::new().unwrap();
    let ring = main.block_on(ring(&cluster));
    let error = ring.subscribe("x").now_or_never().unwrap().unwrap_err();
    assert_eq!(error.kind(), Kind::Config, "{error}");
    let mut hasty = ring.with_deadline(Duration::from_secs(1));
    let popped = hasty.blpop::<_, Option<(String, String)>>("key", 1.0).now_or_never();
    let error = popped.unwrap().unwrap_err();
    assert_eq!(Error::of(&error).map(Error::kind), Some(Kind::Config), "{error}");
    let error = ring.watch("key", async |_| Ok(())).now_or_never().unwrap().unwrap_err();
    assert_eq!(Error::of(&error).map(Error::kind), Some(Kind::Config), "{error}");
}

#[tokio::test]
async fn who_reads_all_the_time_does_not_fall_behind_by_a_burst() {
    const MANY: usize = 20_000;
    let server = RedisServer::start();
    let ring = builder([server.url()]).build().await.unwrap();
    let limits = SubscriptionLimits { messages: 1000, ..SubscriptionLimits::default() };
    let mut events = ring.subscription(limits);
    events.subscribe("c").await.unwrap();
    let address = server.address();
    let publisher = std::thread::spawn(move || {
        let mut socket = std::net::TcpStream::connect(address).unwrap();
        let mut writing = socket.try_clone().unwrap();
        let writer = std::thread::spawn(move || {
            writing.write_all(&b"*3\r\n$7\r\nPUBLISH\r\n$1\r\nc\r\n$1\r\nx\r\n".repeat(MANY)).unwrap();
        });
        socket.read_exact(&mut vec![0; MANY * ":1\r\n".len()]).unwrap();
        writer.join().unwrap();
    });
    for count in 0..MANY {
        let message = timeout(Duration::from_secs(10), events.next()).await.unwrap().unwrap();
        assert!(message.is_ok(), "after {count}: {message:?}");
    }
    publisher.join().unwrap();
}
