//! What callers see when servers are away, refuse, or are none, and that nothing else is lost.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock, mpsc};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use redis::AsyncCommands;
use rendis::{Error, Kind, OnDown, Protocol, Ring, RingBuilder, Sent};
use rendis_testkit::{Answer, Cluster, FakeServer, RedisServer, eventually};

fn builder(cluster: &Cluster) -> RingBuilder {
    let shards = cluster.urls().into_iter().enumerate().map(|(at, url)| (format!("shard{}", at + 1), url));
    Ring::builder().shards(shards).heartbeat_frequency(Duration::from_millis(50))
}

/// A key whose home is this shard while all are up.
fn key_on(ring: &Ring, shard: &str) -> String {
    let mut keys = (0..1000).map(|number| format!("key{number}"));
    keys.find(|key| ring.shard_for(key).unwrap().name() == shard).unwrap()
}

#[tokio::test]
async fn a_dead_shard_leaves_the_ring_and_comes_back() {
    let cluster = Cluster::start(3);
    let ring = builder(&cluster).build().await.unwrap();
    let key = key_on(&ring, "shard2");
    let mut caller = ring.clone();
    caller.set::<_, _, ()>(&key, 1).await.unwrap();

    cluster[1].kill();
    eventually("the dead shard leaving", || ring.len() == 2).await;
    assert_ne!(ring.shard_for(&key).unwrap().name(), "shard2");
    caller.set::<_, _, ()>(&key, 2).await.unwrap();
    let states: Vec<bool> = ring.shards().iter().map(rendis::Shard::is_up).collect();
    assert_eq!(states, [true, false, true]);

    cluster[1].restart();
    eventually("the shard coming back", || ring.len() == 3).await;
    assert_eq!(ring.shard_for(&key).unwrap().name(), "shard2");
    caller.set::<_, _, ()>(&key, 3).await.unwrap();
    assert_eq!(cluster[1].command(&["GET", &key]).text(), "3");
}

#[tokio::test]
async fn calls_to_other_shards_notice_nothing() {
    let cluster = Cluster::start(3);
    let ring = builder(&cluster).build().await.unwrap();
    let (dead, alive) = (key_on(&ring, "shard1"), key_on(&ring, "shard3"));
    cluster[0].kill();
    let mut lost = ring.clone();
    let doomed = tokio::spawn(async move { lost.get::<_, Option<i64>>(dead).await });
    let mut caller = ring.clone();
    for _ in 0..200 {
        let started = Instant::now();
        caller.incr::<_, _, ()>(&alive, 1).await.unwrap();
        assert!(started.elapsed() < Duration::from_millis(500));
    }
    let _ = doomed.await.unwrap();
}

#[tokio::test]
async fn a_server_with_too_many_clients_says_so() {
    let server = RedisServer::builder().setting("maxclients", "3").start();
    // Whoever looked whether it is ready may not have left yet.
    let mut clients = Vec::new();
    let deadline = Instant::now() + Duration::from_secs(10);
    while clients.len() < 3 {
        assert!(Instant::now() < deadline, "three clients are let in");
        let Ok(mut client) = server.client() else { continue };
        if client.command(&["PING"]).is_ok_and(|reply| format!("{reply:?}").contains("PONG")) {
            clients.push(client);
        }
    }
    for protocol in [Protocol::Newest, Protocol::Resp2] {
        let builder = Ring::builder().shard("only", server.url());
        let ring = builder.each_shard(move |_, shard| shard.protocol = protocol).build().await.unwrap();
        let error = ring.clone().get::<_, ()>("key").await.unwrap_err();
        assert!(error.to_string().contains("max number of clients"), "{error}");
        assert_eq!(
            Error::of(&error).unwrap().kind(),
            Kind::ShardDown,
            "{protocol:?}: it is no question of a login"
        );
    }
}

#[tokio::test]
async fn with_fail_the_keys_of_a_dead_shard_fail_at_once_and_by_name() {
    let cluster = Cluster::start(3);
    let ring = builder(&cluster).on_down(OnDown::Fail).build().await.unwrap();
    let key = key_on(&ring, "shard2");
    cluster[1].kill();
    eventually("the dead shard being noticed", || ring.len() == 2).await;
    let started = Instant::now();
    let error = ring.clone().set::<_, _, ()>(&key, 1).await.unwrap_err();
    assert!(started.elapsed() < Duration::from_millis(200));
    let error = Error::of(&error).expect("an error of this crate");
    assert_eq!((error.kind(), error.sent(), error.shard()), (Kind::ShardDown, Sent::No, Some("shard2")));
}

#[tokio::test]
async fn never_more_than_half_of_the_shards_are_taken_out() {
    let cluster = Cluster::start(3);
    let ring = builder(&cluster).build().await.unwrap();
    let key = key_on(&ring, "shard3");
    for server in cluster.iter() {
        server.kill();
    }
    eventually("all shards being down", || ring.is_empty()).await;
    let error = ring.clone().get::<_, Option<String>>(&key).await.unwrap_err();
    assert_eq!(Error::of(&error).map(Error::kind), Some(Kind::ShardDown));
    // One of three is out and its keys would go elsewhere; the other two keep theirs, and are named.
    let homes: std::collections::BTreeSet<_> = (0..300)
        .map(|number| ring.shard_for(format!("key{number}")).unwrap_err())
        .map(|error| error.shard().map(str::to_owned))
        .collect();
    assert_eq!(homes.len(), 2, "{homes:?}");
    assert!(!homes.contains(&None));
}

#[tokio::test]
async fn a_frozen_server_costs_its_callers_the_deadline_and_they_know_it_may_have_run() {
    let cluster = Cluster::start(2);
    let ring = builder(&cluster)
        .reply_timeout(Duration::from_millis(100))
        .heartbeat_timeout(Duration::from_secs(5))
        .build()
        .await
        .unwrap();
    let key = key_on(&ring, "shard1");
    cluster[0].stop();
    let started = Instant::now();
    let error = ring.clone().incr::<_, _, i64>(&key, 1).await.unwrap_err();
    let waited = started.elapsed();
    assert!(waited >= Duration::from_millis(90) && waited < Duration::from_secs(1), "{waited:?}");
    assert!(error.is_timeout());
    let error = Error::of(&error).expect("an error of this crate");
    assert_eq!((error.kind(), error.sent(), error.shard()), (Kind::Timeout, Sent::Maybe, Some("shard1")));
    assert_eq!(error.command(), Some("INCRBY"), "what the redis crate makes of incr");
    cluster[0].cont();
    // The late reply is absorbed: the next call gets its own.
    eventually("the server going on", || ring.len() == 2).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    let mut caller = ring.clone();
    caller.set::<_, _, ()>("{x}", "own").await.unwrap();
    let got: String = caller.get("{x}").await.unwrap();
    assert_eq!(got, "own");
    let count: i64 = caller.get(&key).await.unwrap();
    assert_eq!(count, 1, "it ran once");
}

#[tokio::test]
async fn a_password_that_is_missing_or_wrong_is_an_auth_error_with_its_shard() {
    let server = RedisServer::builder().password("right").start();
    let at = |credentials: &str| server.url_for("default", credentials);
    let good = Ring::builder().shard("only", at("right")).build().await.unwrap();
    good.clone().set::<_, _, ()>("key", 1).await.unwrap();
    for url in [at("wrong"), format!("redis://{}", server.address())] {
        for protocol in [rendis::Protocol::Newest, rendis::Protocol::Resp2] {
            let ring = Ring::builder()
                .shard("only", &url)
                .each_shard(move |_, shard| shard.protocol = protocol)
                .build()
                .await
                .unwrap();
            let error = ring.clone().get::<_, Option<i64>>("key").await.unwrap_err();
            let error = Error::of(&error).expect("an error of this crate");
            assert_eq!(
                (error.kind(), error.sent(), error.shard()),
                (Kind::Auth, Sent::No, Some("only")),
                "{error}"
            );
            assert!(!error.to_string().contains("wrong"), "{error}");
        }
    }
}

#[tokio::test]
async fn a_server_that_is_not_redis_is_a_protocol_error_and_loses_nothing_else() {
    let real = RedisServer::start();
    for (name, answer) in [
        ("http", Answer::http()),
        ("garbage", Answer::garbage()),
        ("a 600 MB header", Answer::huge_bulk()),
        ("an array without end", Answer::huge_array()),
    ] {
        let fake = FakeServer::start(move |_| answer.clone());
        let builder = Ring::builder().shard("fake", fake.url()).shard("real", real.url());
        let ring = builder.on_down(OnDown::Fail).build().await.unwrap();
        let (lost, kept) = (key_on(&ring, "fake"), key_on(&ring, "real"));
        let error = ring.clone().get::<_, Option<i64>>(&lost).await.unwrap_err();
        let error = Error::of(&error).expect("an error of this crate");
        assert_eq!((error.kind(), error.shard()), (Kind::Protocol, Some("fake")), "{name}: {error}");
        assert_eq!(error.sent(), Sent::No, "{name}: the handshake failed, so the call was never sent");
        ring.clone().set::<_, _, ()>(&kept, 1).await.unwrap();
    }
}

#[tokio::test]
async fn replies_out_of_step_end_the_connection_and_only_its_calls() {
    let real = RedisServer::start();
    for (name, answer) in [
        ("garbage", Answer::garbage()),
        ("too many replies", Answer::too_many(3)),
        ("half a reply", Answer::half_then_close()),
        ("a 600 MB header", Answer::huge_bulk()),
    ] {
        let fake =
            FakeServer::start(move |request| Answer::handshake(request).unwrap_or_else(|| answer.clone()));
        let ring = Ring::builder().shard("fake", fake.url()).shard("real", real.url()).build().await.unwrap();
        let (lost, kept) = (key_on(&ring, "fake"), key_on(&ring, "real"));
        let mut caller = ring.clone();
        let first = caller.incr::<_, _, i64>(&lost, 1).await;
        if name != "too many replies" {
            let error = first.unwrap_err();
            let error = Error::of(&error).expect("an error of this crate");
            assert!(matches!(error.kind(), Kind::Protocol | Kind::ShardDown), "{name}: {error}");
            assert_eq!((error.sent(), error.shard()), (Sent::Maybe, Some("fake")), "{name}: {error}");
        }
        caller.set::<_, _, ()>(&kept, name).await.unwrap();
        let got: String = caller.get(&kept).await.unwrap();
        assert_eq!(got, name);
    }
}

#[tokio::test]
async fn keys_may_be_empty_and_hold_any_bytes() {
    let cluster = Cluster::start(3);
    let mut ring = builder(&cluster).build().await.unwrap();
    let keys: [&[u8]; 6] = [b"", b"\0", b"\r\n", b"{", b"{}", b"\xff\xfe{\0}"];
    for key in keys {
        ring.set::<_, _, ()>(key, key).await.unwrap();
        let got: Vec<u8> = ring.get(key).await.unwrap();
        assert_eq!(got, key);
    }
    let all: Vec<Vec<u8>> = ring.mget(&keys[..]).await.unwrap();
    assert_eq!(all, keys);
}

#[tokio::test]
async fn a_ring_changes_while_it_runs_and_what_stays_keeps_its_connections() {
    let cluster = Cluster::start(4);
    let settings =
        |at: usize| rendis::ShardSettings::new(format!("shard{}", at + 1), &cluster.urls()[at]).unwrap();
    let ring = Ring::builder().shard_with(settings(0)).shard_with(settings(1)).build().await.unwrap();
    let mut caller = ring.clone();
    for number in 0..50 {
        caller.set::<_, _, ()>(format!("key{number}"), number).await.unwrap();
    }
    let before = cluster[0].command(&["CLIENT", "LIST"]).text().to_owned();
    let load = tokio::spawn({
        let mut caller = ring.clone();
        async move {
            for number in 0..2000 {
                caller.set::<_, _, ()>(format!("key{}", number % 50), number).await.unwrap();
            }
        }
    });
    for shards in [vec![0, 1, 2], vec![0, 2], vec![0, 2, 3], vec![3, 0]] {
        ring.set_shards(shards.into_iter().map(settings)).unwrap();
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    load.await.unwrap();
    let names: Vec<String> = ring.shards().iter().map(|shard| shard.name().to_owned()).collect();
    assert_eq!(names, ["shard4", "shard1"]);
    let id = |list: &str| list.lines().next().and_then(|line| line.split(' ').next()).unwrap().to_owned();
    let after = cluster[0].command(&["CLIENT", "LIST"]).text().to_owned();
    assert_eq!(id(&before), id(&after), "the first connection of the shard that stayed");
    eventually("the removed shard's connections closing", || {
        let list = cluster[1].command(&["CLIENT", "LIST"]).text().to_owned();
        list.lines().count() == 1
    })
    .await;
    let error = ring.set_shards([settings(0), settings(0)]).unwrap_err();
    assert_eq!(error.kind(), Kind::Config);
    assert_eq!(ring.len(), 2, "nothing was changed");
}

#[tokio::test]
async fn nothing_is_left_when_the_last_handle_is_gone() {
    let cluster = Cluster::start(3);
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let before = tasks();
    for close in [false, true] {
        let ring = builder(&cluster).build().await.unwrap();
        let mut caller = ring.clone();
        for number in 0..20 {
            caller.set::<_, _, ()>(format!("key{number}"), 1).await.unwrap();
        }
        ring.watch("key1", async |tx| tx.get::<_, i64>("key1").await).await.unwrap();
        if close {
            ring.close();
            let error = caller.get::<_, i64>("key1").await.unwrap_err();
            assert_eq!(Error::of(&error).map(Error::kind), Some(Kind::Refused));
        } else {
            drop((ring, caller));
        }
        eventually("all tasks ending", || tasks() == before).await;
        eventually("all connections closing", || {
            cluster.iter().all(|server| server.command(&["CLIENT", "LIST"]).text().lines().count() == 1)
        })
        .await;
    }
}

#[tokio::test]
async fn calls_dropped_at_any_moment_leave_every_other_call_its_own_reply() {
    let cluster = Cluster::start(2);
    let ring = builder(&cluster).build().await.unwrap();
    let tasks: Vec<_> = (0..50_u64)
        .map(|task| {
            let mut caller = ring.clone();
            tokio::spawn(async move {
                let mut random = fastrand::Rng::with_seed(task);
                for round in 0..200 {
                    let value = format!("{task}:{round}");
                    let key = format!("key{task}");
                    if random.bool() {
                        let limit = Duration::from_micros(random.u64(0..300));
                        let _ = tokio::time::timeout(limit, caller.get::<_, Option<String>>("other")).await;
                    }
                    caller.set::<_, _, ()>(&key, &value).await.unwrap();
                    let got: String = caller.get(&key).await.unwrap();
                    assert_eq!(got, value);
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    eventually("every wire being idle", || ring.stats().shards.iter().all(|shard| shard.in_flight == 0))
        .await;
}

#[tokio::test]
async fn new_shards_are_announced_before_their_first_command() {
    let cluster = Cluster::start(2);
    let told = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let names = std::sync::Arc::clone(&told);
    let settings =
        |at: usize| rendis::ShardSettings::new(format!("shard{}", at + 1), &cluster.urls()[at]).unwrap();
    let ring = Ring::builder()
        .shard_with(settings(0))
        .on_new_shard(move |shard| names.lock().unwrap().push(shard.name().to_owned()))
        .build()
        .await
        .unwrap();
    ring.set_shards([settings(0), settings(1)]).unwrap();
    assert_eq!(*told.lock().unwrap(), ["shard1", "shard2"]);
}

#[tokio::test]
async fn a_call_that_may_take_no_time_is_not_made() {
    let cluster = Cluster::start(2);
    let ring = builder(&cluster).build().await.unwrap();
    let mut hasty = ring.with_deadline(Duration::ZERO);
    let items: Vec<(u32, u32)> = (0..20).map(|key| (key, key)).collect();
    let mut pipe = redis::pipe();
    items.iter().for_each(|(key, value)| {
        pipe.set(key, value);
    });
    let whole: redis::RedisResult<()> = pipe.query_async(&mut hasty).await;
    assert!(whole.is_err());
    let failed = [hasty.set::<_, _, ()>("key", 1).await, hasty.mset(&items).await];
    for error in failed.into_iter().map(Result::unwrap_err) {
        let error = Error::of(&error).unwrap();
        assert_eq!((error.kind(), error.sent()), (Kind::Timeout, Sent::No), "{error}");
    }
    assert_eq!(cluster.sizes(), [0, 0]);
}

#[tokio::test]
async fn what_a_replaced_server_still_owes_is_no_vote_against_its_successor() {
    let frozen = FakeServer::start(|request| Answer::handshake(request).unwrap_or(Answer::Silence));
    let (other, successor) = (RedisServer::start(), RedisServer::start());
    let deadline = Duration::from_millis(400);
    let ring = Ring::builder()
        .shards([("replaced", frozen.url()), ("other", other.url())])
        .reply_timeout(deadline)
        .heartbeat_frequency(Duration::from_secs(60))
        .build()
        .await
        .unwrap();
    let key = key_on(&ring, "replaced");
    let mut calls = tokio::task::JoinSet::new();
    // More than the votes that it takes, each at a moment of its own.
    for _ in 0..10 {
        let (mut ring, key) = (ring.clone(), key.clone());
        calls.spawn(async move { ring.get::<_, Option<String>>(key).await.unwrap_err() });
        tokio::time::sleep(deadline / 20).await;
    }
    let shards = [("replaced", successor.url()), ("other", other.url())];
    ring.set_shards(shards.map(|(name, url)| rendis::ShardSettings::new(name, &url).unwrap())).unwrap();
    assert_eq!(ring.len(), 2);
    for late in calls.join_all().await {
        assert_eq!(Error::of(&late).unwrap().kind(), Kind::Timeout);
    }
    // Until the connection that did not answer is given up.
    tokio::time::sleep(deadline * 3).await;
    assert_eq!(ring.len(), 2);
    ring.clone().set::<_, _, ()>(&key, "kept").await.unwrap();
    assert_eq!(successor.command(&["GET", &key]).text(), "kept");
}

/// What a thread of its own ends with, in time.
fn in_time<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, end) = mpsc::channel();
    std::thread::spawn(move || done.send(work()));
    end.recv_timeout(Duration::from_secs(10)).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn who_is_told_of_a_new_shard_may_not_change_the_ring_and_may_close_it() {
    let cluster = Cluster::start(2);
    let settings =
        |at: usize| rendis::ShardSettings::new(format!("shard{}", at + 1), &cluster.urls()[at]).unwrap();
    let (one, both) = (vec![settings(0)], vec![settings(0), settings(1)]);
    let (place, outcome) = (Arc::new(OnceLock::<Ring>::new()), Arc::new(Mutex::new(None)));
    let (ring_there, said, list) = (Arc::clone(&place), Arc::clone(&outcome), one.clone());
    let ring = Ring::builder()
        .shard_with(settings(0))
        .on_new_shard(move |_| {
            if let Some(ring) = ring_there.get() {
                *said.lock().unwrap() = Some(ring.set_shards(list.clone()));
                ring.close();
            }
        })
        .build()
        .await
        .unwrap();
    place.set(ring.clone()).unwrap();
    let (runtime, changed) = (tokio::runtime::Handle::current(), ring.clone());
    let changed = in_time(move || {
        let _runtime = runtime.enter();
        changed.set_shards(both)
    });
    changed.unwrap();
    let refused = outcome.lock().unwrap().take().unwrap().unwrap_err();
    assert_eq!(refused.kind(), Kind::Refused);
    assert!(refused.text().contains("just being changed"), "{refused}");
    let closed = ring.clone().get::<_, Option<String>>("key").await.unwrap_err();
    assert_eq!(Error::of(&closed).map(Error::kind), Some(Kind::Refused));
    assert_eq!(ring.set_shards(one).unwrap_err().kind(), Kind::Refused);
}

#[tokio::test]
async fn an_idle_shard_that_hangs_is_out_one_deadline_and_two_intervals_after_a_probe() {
    let cluster = Cluster::start(3);
    // By default: 1 s for a probe, three of them.
    let ring = builder(&cluster).heartbeat_frequency(Duration::from_millis(200)).build().await.unwrap();
    let began = Instant::now();
    cluster[1].stop();
    eventually("the frozen shard leaving", || ring.len() == 2).await;
    let took = began.elapsed();
    cluster[1].cont();
    assert!(took > Duration::from_millis(1300) && took < Duration::from_millis(2500), "{took:?}");
}

#[tokio::test]
async fn what_a_shard_still_owes_from_before_it_was_away_is_not_waited_for() {
    // A server that hangs, and when it goes on has forgotten what it was asked before.
    let hangs = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let hanging = std::sync::Arc::clone(&hangs);
    let fake = FakeServer::start(move |request| {
        if hanging.load(std::sync::atomic::Ordering::SeqCst) {
            return Answer::Silence;
        }
        Answer::handshake(request).unwrap_or_else(|| {
            let key = String::from_utf8_lossy(request.arguments.get(1).map_or(&[][..], |key| key));
            Answer::text(&format!("${}\r\n{key}\r\n", key.len()))
        })
    });
    let real = RedisServer::start();
    let ring = Ring::builder()
        .shard("fake", fake.url())
        .shard("real", real.url())
        .heartbeat_frequency(Duration::from_millis(50))
        .heartbeat_timeout(Duration::from_millis(100))
        .on_return(rendis::OnReturn::Keep)
        .build()
        .await
        .unwrap();
    let key = key_on(&ring, "fake");
    hangs.store(true, std::sync::atomic::Ordering::SeqCst);
    let mut hurried = ring.with_deadline(Duration::from_millis(20));
    hurried.get::<_, String>("unanswered").await.unwrap_or_default();
    for number in 0..20 {
        hurried.get::<_, String>(format!("{{{key}}}{number}")).await.unwrap_or_default();
    }
    eventually("the hanging shard leaving", || ring.len() == 1).await;
    hangs.store(false, std::sync::atomic::Ordering::SeqCst);
    eventually("the shard coming back", || ring.len() == 2).await;
    let reply: String = ring.clone().get(&key).await.unwrap();
    assert_eq!(reply, key);
}

#[tokio::test]
async fn replies_out_of_step_are_noticed_under_load() {
    // Once, in the midst of others' requests, one too many comes on a connection, or one is left out.
    for left_out in [false, true] {
        let slips = AtomicU32::new(0);
        let server = FakeServer::start(move |request| {
            let Some(key) = request.arguments.get(1).filter(|_| request.name() == "GET") else {
                return Answer::handshake(request).unwrap_or_else(Answer::ok);
            };
            let reply = [format!("${}\r\n", key.len()).as_bytes(), key, b"\r\n"].concat();
            match slips.fetch_add(1, Ordering::Relaxed) {
                100 if left_out => Answer::Silence,
                100 => Answer::Bytes(reply.repeat(2)),
                _ => Answer::Bytes(reply),
            }
        });
        let ring = Ring::builder().shard("only", server.url()).build().await.unwrap();
        let (started, wrong) = (Instant::now(), Arc::new(Mutex::new(Vec::new())));
        let tasks = (0..8).map(|task| {
            let (mut ring, wrong) = (ring.clone(), Arc::clone(&wrong));
            tokio::spawn(async move {
                for call in 0_u64.. {
                    let key = format!("{task}:{call}");
                    match ring.get::<_, String>(&key).await {
                        Ok(value) if value == key => {}
                        Ok(_) => wrong.lock().unwrap().push(started.elapsed()),
                        Err(error) => {
                            let error = Error::of(&error).unwrap();
                            // What waited for the next connection was never written.
                            let waited = error.kind() == Kind::Protocol && error.sent() == Sent::No;
                            assert!(waited || error.sent() == Sent::Maybe, "{error}");
                        }
                    }
                    if started.elapsed() > Duration::from_secs(4) {
                        return;
                    }
                }
            })
        });
        join_all(tasks.collect::<Vec<_>>()).await.into_iter().for_each(Result::unwrap);
        let wrong = wrong.lock().unwrap().clone();
        assert!(!left_out || !wrong.is_empty(), "nothing went out of step");
        let last = wrong.iter().max();
        assert!(last.is_none_or(|last| last.as_secs() < 3), "left out: {left_out}: wrong after {last:?}");
        assert_eq!(ring.clone().get::<_, String>("after").await.unwrap(), "after");
    }
}
