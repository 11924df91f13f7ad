//! What becomes of keys whose shard was away, and what the caller is told.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use redis::AsyncCommands;
use rendis::placement::Spec;
use rendis::{Event, Events, Forgot, Kind, OnDown, OnReturn, Ring, RingBuilder, Sent, SlowEjection};
use rendis_testkit::{Answer, Cluster, FakeServer, RedisServer, eventually};

fn builder(cluster: &Cluster) -> RingBuilder {
    let shards = cluster.urls().into_iter().enumerate().map(|(at, url)| (format!("shard{}", at + 1), url));
    Ring::builder()
        .shards(shards)
        .heartbeat_frequency(Duration::from_millis(50))
        .heartbeat_timeout(Duration::from_millis(200))
}

/// Keys whose home is this shard while all are up.
fn keys_on(ring: &Ring, shard: &str, count: usize) -> Vec<String> {
    let keys = (0..).map(|number| format!("key{number}"));
    keys.filter(|key| ring.shard_for(key).unwrap().name() == shard).take(count).collect()
}

/// Freezes a server, so that it comes back with what it holds, and waits until it is out of the ring.
async fn freeze(ring: &Ring, server: &RedisServer, left: usize) {
    server.stop();
    eventually("the frozen shard leaving", || ring.len() == left).await;
}

async fn thaw(ring: &Ring, server: &RedisServer, all: usize) {
    server.cont();
    eventually("the shard coming back", || ring.len() == all).await;
}

async fn next(events: &mut Events) -> Event {
    let next = tokio::time::timeout(Duration::from_secs(10), events.next());
    next.await.unwrap().unwrap()
}

#[tokio::test]
async fn a_shard_forgets_what_was_written_elsewhere_before_it_serves_again() {
    let cluster = Cluster::start(3);
    let mut ring = builder(&cluster).build().await.unwrap();
    let keys = keys_on(&ring, "shard2", 12);
    for key in &keys {
        ring.set::<_, _, ()>(key, "old").await.unwrap();
    }
    ring.set::<_, _, ()>("{key1}tag", "unused").await.unwrap();
    freeze(&ring, &cluster[1], 2).await;

    // Every way in which a value can be written.
    ring.set::<_, _, ()>(&keys[0], "new").await.unwrap();
    ring.del::<_, ()>(&keys[1]).await.unwrap();
    ring.mset::<_, _, ()>(&[(&keys[2], "new"), (&keys[3], "new")]).await.unwrap();
    redis::pipe().set(&keys[4], "new").get("x").query_async::<()>(&mut ring).await.unwrap();
    redis::pipe().atomic().set(&keys[5], "new").query_async::<()>(&mut ring).await.unwrap();
    let script = redis::Script::new("return redis.call('SET', KEYS[1], 'new')");
    script.key(&keys[6]).invoke_async::<()>(&mut ring).await.unwrap();
    ring.watch(&[&keys[7]], async |tx| {
        redis::pipe().atomic().set(&keys[7], "new").query_async::<()>(tx).await
    })
    .await
    .unwrap();
    ring.lpush::<_, _, ()>("list", "x").await.unwrap();
    let _: Option<(String, String)> =
        redis::cmd("BLPOP").arg(&keys[8]).arg("0.01").query_async(&mut ring).await.unwrap();

    thaw(&ring, &cluster[1], 3).await;
    for (at, key) in keys.iter().enumerate() {
        let value: Option<String> = ring.get(key).await.unwrap();
        if at <= 8 {
            assert_ne!(value.as_deref(), Some("old"), "{key}, number {at}");
        } else {
            assert_eq!(value.as_deref(), Some("old"), "{key} was not written meanwhile");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_reader_sees_an_old_value_while_a_shard_returns_under_load() {
    let cluster = Cluster::start(3);
    let ring = builder(&cluster).build().await.unwrap();
    let keys = keys_on(&ring, "shard2", 8);
    let (until, mut workers) = (Instant::now() + Duration::from_secs(4), Vec::new());
    for key in keys {
        // One writer a key, which knows what was acknowledged last, and what may have been written.
        let mut ring = ring.clone().with_deadline(Duration::from_millis(300));
        workers.push(tokio::spawn(async move {
            let (mut version, mut acknowledged, mut seen, mut returned) = (0_u64, 0, 0, 0);
            while Instant::now() < until {
                version += 1;
                if ring.set::<_, _, ()>(&key, version).await.is_ok() {
                    acknowledged = version;
                }
                if let Ok(Some(value)) = ring.get::<_, Option<u64>>(&key).await {
                    assert!(value >= acknowledged, "{key} is {value} after {acknowledged} was acknowledged");
                    seen += 1;
                    returned = value;
                }
                tokio::time::sleep(Duration::from_micros(200)).await;
            }
            assert!(seen > 100, "{key} was seen {seen} times");
            returned
        }));
    }
    for _ in 0..2 {
        tokio::time::sleep(Duration::from_millis(300)).await;
        freeze(&ring, &cluster[1], 2).await;
        tokio::time::sleep(Duration::from_millis(200)).await;
        thaw(&ring, &cluster[1], 3).await;
    }
    assert!(Instant::now() < until, "the load ended before the faults did");
    for worker in workers {
        worker.await.unwrap();
    }
}

#[tokio::test]
async fn the_shards_that_stood_in_forget_too() {
    let cluster = Cluster::start(3);
    let mut ring = builder(&cluster).build().await.unwrap();
    let key = keys_on(&ring, "shard2", 1).remove(0);
    freeze(&ring, &cluster[1], 2).await;
    ring.set::<_, _, ()>(&key, "of the first time").await.unwrap();
    thaw(&ring, &cluster[1], 3).await;
    ring.set::<_, _, ()>(&key, "newer").await.unwrap();
    eventually("the sweep", || cluster.sizes() == [0, 1, 0]).await;
    freeze(&ring, &cluster[1], 2).await;
    assert_eq!(ring.get::<_, Option<String>>(&key).await.unwrap(), None);
    cluster[1].cont();
}

#[tokio::test]
async fn everything_deleted_elsewhere_is_everything_forgotten() {
    let cluster = Cluster::start(3);
    let mut ring = builder(&cluster).build().await.unwrap();
    let key = keys_on(&ring, "shard2", 1).remove(0);
    ring.set::<_, _, ()>(&key, "old").await.unwrap();
    let mut events = ring.events();
    freeze(&ring, &cluster[1], 2).await;
    ring.flushall::<()>().await.unwrap();
    thaw(&ring, &cluster[1], 3).await;
    assert_eq!(ring.get::<_, Option<String>>(&key).await.unwrap(), None);
    while !matches!(next(&mut events).await, Event::Returned { forgot: Forgot::Everything, .. }) {}
}

#[tokio::test]
async fn everything_deleted_in_a_pipeline_is_forgotten_by_a_shard_that_kept_its_keys() {
    let cluster = Cluster::start(3);
    let mut ring = builder(&cluster).on_down(OnDown::Fail).build().await.unwrap();
    let key = keys_on(&ring, "shard2", 1).remove(0);
    ring.set::<_, _, ()>(&key, "old").await.unwrap();
    freeze(&ring, &cluster[1], 2).await;
    redis::pipe().cmd("PING").cmd("FLUSHALL").exec_async(&mut ring).await.unwrap();
    thaw(&ring, &cluster[1], 3).await;
    assert_eq!(ring.get::<_, Option<String>>(&key).await.unwrap(), None);
}

#[tokio::test]
async fn what_was_written_after_everything_was_deleted_is_forgotten_by_who_stood_in() {
    let cluster = Cluster::start(3);
    let mut ring = builder(&cluster).build().await.unwrap();
    let key = keys_on(&ring, "shard2", 1).remove(0);
    freeze(&ring, &cluster[1], 2).await;
    ring.flushall::<()>().await.unwrap();
    ring.set::<_, _, ()>(&key, 1).await.unwrap();
    thaw(&ring, &cluster[1], 3).await;
    ring.set::<_, _, ()>(&key, 2).await.unwrap();
    eventually("the sweep", || cluster.sizes() == [0, 1, 0]).await;
    freeze(&ring, &cluster[1], 2).await;
    assert_eq!(ring.get::<_, Option<i64>>(&key).await.unwrap(), None);
    cluster[1].cont();
}

#[tokio::test]
async fn a_shard_that_kept_its_keys_forgets_what_was_deleted_on_the_others() {
    let cluster = Cluster::start(3);
    let mut ring = builder(&cluster).on_down(OnDown::Fail).build().await.unwrap();
    let key = keys_on(&ring, "shard2", 1).remove(0);
    ring.set::<_, _, ()>(&key, "old").await.unwrap();
    freeze(&ring, &cluster[1], 2).await;
    ring.flushall::<()>().await.unwrap();
    thaw(&ring, &cluster[1], 3).await;
    assert_eq!(ring.get::<_, Option<String>>(&key).await.unwrap(), None);
}

#[tokio::test]
async fn nobody_finds_old_values_where_a_placement_moves_nearly_all_keys() {
    let cluster = Cluster::start(5);
    let modula = Spec::parse("twemproxy", [("distribution".to_owned(), "modula".into())]).unwrap();
    let mut ring = builder(&cluster).placement(modula).build().await.unwrap();
    let keys: Vec<String> = (0..200).map(|number| format!("key{number}")).collect();
    let mut version = 0;
    // Two are away at a time, in turns: whoever owns a key may have owned it before.
    for (first, second) in [(0, 3), (1, 2), (4, 0)] {
        for step in [Some((first, 4)), Some((second, 3)), None] {
            match step {
                Some((server, left)) => freeze(&ring, &cluster[server], left).await,
                None => thaw(&ring, &cluster[second], 4).await,
            }
            for key in &keys {
                if let Some(value) = ring.get::<_, Option<i64>>(key).await.unwrap() {
                    assert_eq!(value, version, "{key}");
                }
            }
            version += 1;
            for key in &keys {
                ring.set::<_, _, ()>(key, version).await.unwrap();
            }
        }
        thaw(&ring, &cluster[first], 5).await;
        for key in &keys {
            if let Some(value) = ring.get::<_, Option<i64>>(key).await.unwrap() {
                assert_eq!(value, version, "{key}");
            }
        }
    }
}

#[tokio::test]
async fn with_keep_a_shard_returns_with_what_it_has() {
    let cluster = Cluster::start(3);
    let mut ring = builder(&cluster).on_return(OnReturn::Keep).build().await.unwrap();
    let key = keys_on(&ring, "shard2", 1).remove(0);
    ring.set::<_, _, ()>(&key, "old").await.unwrap();
    freeze(&ring, &cluster[1], 2).await;
    ring.set::<_, _, ()>(&key, "new").await.unwrap();
    thaw(&ring, &cluster[1], 3).await;
    assert_eq!(ring.get::<_, String>(&key).await.unwrap(), "old");
}

#[tokio::test]
async fn with_flush_a_shard_returns_empty() {
    let cluster = Cluster::start(3);
    let mut ring = builder(&cluster).on_return(OnReturn::Flush).build().await.unwrap();
    let key = keys_on(&ring, "shard2", 1).remove(0);
    ring.set::<_, _, ()>(&key, "old").await.unwrap();
    freeze(&ring, &cluster[1], 2).await;
    thaw(&ring, &cluster[1], 3).await;
    assert_eq!(ring.get::<_, Option<String>>(&key).await.unwrap(), None);
    assert_eq!(cluster.sizes(), [0, 0, 0]);
}

#[tokio::test]
async fn with_miss_reads_find_nothing_and_writes_fail() {
    let cluster = Cluster::start(3);
    let mut ring = builder(&cluster).on_down(OnDown::Miss).build().await.unwrap();
    let key = keys_on(&ring, "shard2", 1).remove(0);
    let other = keys_on(&ring, "shard1", 1).remove(0);
    ring.set::<_, _, ()>(&other, "there").await.unwrap();
    cluster[1].kill();
    // Before it is known to be down, and after.
    for _ in 0..2 {
        assert_eq!(ring.get::<_, Option<String>>(&key).await.unwrap(), None);
        assert_eq!(ring.exists::<_, i64>(&key).await.unwrap(), 0);
        assert_eq!(ring.hgetall::<_, Vec<(String, String)>>(&key).await.unwrap(), []);
        let both: Vec<Option<String>> = ring.mget(&[&key, &other]).await.unwrap();
        assert_eq!(both, [None, Some("there".to_owned())]);
        let (one, two): (Option<String>, Option<String>) =
            redis::pipe().get(&key).get(&other).query_async(&mut ring).await.unwrap();
        assert_eq!((one, two.as_deref()), (None, Some("there")));
        let error = rendis::Error::of(&ring.set::<_, _, ()>(&key, 1).await.unwrap_err()).unwrap().clone();
        assert_eq!((error.kind(), error.shard()), (Kind::ShardDown, Some("shard2")));
        eventually("the shard being down", || ring.len() == 2).await;
    }
}

#[tokio::test]
async fn events_tell_each_change_once() {
    let cluster = Cluster::start(2);
    let ring = builder(&cluster).build().await.unwrap();
    let mut events = ring.events();
    freeze(&ring, &cluster[0], 1).await;
    thaw(&ring, &cluster[0], 2).await;
    let is_first = |event: &Event| event.shard().is_some_and(|shard| shard.name == "shard1");
    let seen = [next(&mut events).await, next(&mut events).await, next(&mut events).await];
    assert!(seen.iter().all(is_first), "{seen:?}");
    assert!(
        matches!(seen, [Event::Down { .. }, Event::Up(_), Event::Returned { forgot: Forgot::Keys(0), .. }]),
        "{seen:?}"
    );
    let urls = cluster.urls();
    ring.set_shards([rendis::ShardSettings::new("shard2", &urls[1]).unwrap()]).unwrap();
    assert_eq!(next(&mut events).await, Event::TopologyChanged);
    drop(ring);
    assert_eq!(events.next().await, None);
}

#[tokio::test]
async fn a_shard_that_comes_back_empty_is_taught_scripts_and_functions() {
    let cluster = Cluster::start(3);
    let mut ring = builder(&cluster).build().await.unwrap();
    let key = keys_on(&ring, "shard2", 1).remove(0);
    let script = "return 'known'";
    let sha: String = redis::cmd("SCRIPT").arg("LOAD").arg(script).query_async(&mut ring).await.unwrap();
    let library = "#!lua name=l\nredis.register_function('f', function(keys) return 'function' end)";
    redis::cmd("FUNCTION").arg("LOAD").arg(library).query_async::<()>(&mut ring).await.unwrap();
    cluster[1].kill();
    eventually("the dead shard leaving", || ring.len() == 2).await;
    cluster[1].restart();
    eventually("the shard coming back", || ring.len() == 3).await;
    assert_eq!(cluster[1].command(&["EVALSHA", &sha, "0"]).text(), "known");
    let answer: String = redis::cmd("FCALL").arg("f").arg(1).arg(&key).query_async(&mut ring).await.unwrap();
    assert_eq!(answer, "function");
}

/// A library of one function, as `FUNCTION LOAD` takes it.
fn library(name: &str, function: &str) -> String {
    format!("#!lua name={name}\nredis.register_function('{function}', function(keys) return '{name}' end)")
}

/// The names of the libraries that a server has.
fn libraries(server: &RedisServer) -> Vec<String> {
    let list = server.command(&["FUNCTION", "LIST"]);
    let mut names: Vec<String> =
        list.elements().iter().map(|library| library.elements().get(1).unwrap().text().to_owned()).collect();
    names.sort();
    names
}

async fn function(ring: &mut Ring, what: &[&str]) {
    redis::cmd("FUNCTION").arg(what).query_async::<()>(ring).await.unwrap();
}

/// What was logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn functions_that_were_deleted_elsewhere_do_not_come_back() {
    for on_return in [OnReturn::Forget, OnReturn::Keep] {
        let cluster = Cluster::start(3);
        let mut ring = builder(&cluster).on_return(on_return).build().await.unwrap();
        for name in ["first", "second", "third"] {
            function(&mut ring, &["LOAD", &library(name, name)]).await;
        }
        cluster[1].command(&["FUNCTION", "LOAD", &library("own", "own")]);
        freeze(&ring, &cluster[1], 2).await;
        thaw(&ring, &cluster[1], 3).await;
        assert_eq!(libraries(&cluster[1]), ["first", "own", "second", "third"], "nobody deleted any");

        freeze(&ring, &cluster[1], 2).await;
        function(&mut ring, &["DELETE", "second"]).await;
        redis::pipe().cmd("FUNCTION").arg("DELETE").arg("third").exec_async(&mut ring).await.unwrap();
        thaw(&ring, &cluster[1], 3).await;
        assert_eq!(libraries(&cluster[1]), ["first"]);

        freeze(&ring, &cluster[1], 2).await;
        function(&mut ring, &["FLUSH"]).await;
        thaw(&ring, &cluster[1], 3).await;
        assert_eq!(libraries(&cluster[1]), [""; 0]);
    }
}

#[tokio::test]
async fn a_shard_that_refuses_the_functions_of_the_others_returns_with_its_own() {
    let cluster = Cluster::start(3);
    let mut ring = builder(&cluster).build().await.unwrap();
    cluster[1].command(&["FUNCTION", "LOAD", &library("own", "same")]);
    freeze(&ring, &cluster[1], 2).await;
    for at in [0, 2] {
        cluster[at].command(&["FUNCTION", "LOAD", &library("theirs", "same")]);
    }
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_writer(move || writer.clone()).with_ansi(false).finish();
    let listening = tracing_subscriber::util::SubscriberInitExt::set_default(subscriber);
    thaw(&ring, &cluster[1], 3).await;
    drop(listening);
    let told = log.text();
    let refusals: Vec<&str> = told.lines().filter(|line| line.contains("refuses the functions")).collect();
    assert!(matches!(refusals[..], [one] if one.contains("WARN") && one.contains("shard2")), "{told}");
    assert_eq!(libraries(&cluster[1]), ["own"]);
    // Where this ring saw the change, nothing stands in the way.
    freeze(&ring, &cluster[1], 2).await;
    function(&mut ring, &["LOAD", &library("more", "more")]).await;
    thaw(&ring, &cluster[1], 3).await;
    assert_eq!(libraries(&cluster[1]), ["more", "theirs"]);
}

#[tokio::test]
async fn a_shard_that_is_new_is_taught_scripts_and_functions() {
    let cluster = Cluster::start(3);
    let urls = cluster.urls();
    let shard = |at: usize| rendis::ShardSettings::new(format!("shard{}", at + 1), &urls[at]).unwrap();
    let mut ring = Ring::builder().shard_with(shard(0)).shard_with(shard(1)).build().await.unwrap();
    let sha: String = redis::cmd("SCRIPT").arg("LOAD").arg("return 7").query_async(&mut ring).await.unwrap();
    function(&mut ring, &["LOAD", &library("l", "f")]).await;
    ring.set_shards((0..3).map(shard)).unwrap();
    eventually("the functions", || libraries(&cluster[2]) == ["l"]).await;
    assert_eq!(cluster[2].command(&["EVALSHA", &sha, "0"]).integer(), 7);
}

#[tokio::test]
async fn callers_of_a_killed_server_wait_for_its_keys_to_go_elsewhere() {
    let cluster = Cluster::start(3);
    let ring = builder(&cluster).build().await.unwrap();
    let keys = keys_on(&ring, "shard2", 4);
    let until = Instant::now() + Duration::from_secs(1);
    let mut workers = Vec::new();
    for key in keys {
        let mut ring = ring.clone();
        workers.push(tokio::spawn(async move {
            let (mut calls, mut maybe) = (0, 0);
            while Instant::now() < until {
                let both: redis::RedisResult<Vec<Option<i64>>> = ring.mget(&[&key, "other"]).await;
                let outcomes = [ring.incr::<_, _, ()>(&key, 1).await.err(), both.err()];
                for error in outcomes.iter().flatten() {
                    let error = rendis::Error::of(error).unwrap();
                    // What was under way when the server died is not known; nothing else fails.
                    assert_eq!(error.sent(), Sent::Maybe, "{error}");
                    maybe += 1;
                }
                calls += 1;
            }
            assert!(maybe <= 1, "{maybe} calls of one caller were under way");
            calls
        }));
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    cluster[1].kill();
    for worker in workers {
        assert!(worker.await.unwrap() > 100);
    }
}

#[tokio::test]
async fn a_deadline_of_ones_own_is_kept_and_known() {
    let cluster = Cluster::start(1);
    let ring = builder(&cluster).build().await.unwrap();
    let mut hurried = ring.with_deadline(Duration::from_millis(50));
    hurried.set::<_, _, ()>("k", 1).await.unwrap();
    cluster[0].stop();
    let began = Instant::now();
    let error = hurried.incr::<_, _, ()>("k", 1).await.unwrap_err();
    let took = began.elapsed();
    cluster[0].cont();
    let error = rendis::Error::of(&error).unwrap();
    assert_eq!((error.kind(), error.sent()), (Kind::Timeout, Sent::Maybe));
    assert!(error.to_string().contains("no reply in 50ms"), "{error}");
    assert!(took >= Duration::from_millis(50) && took < Duration::from_millis(500), "{took:?}");
}

#[tokio::test]
async fn a_shard_that_is_far_slower_than_its_peers_rests_and_comes_back() {
    let servers = Cluster::start_with(3, |_, server| server.setting("enable-debug-command", "yes"));
    let millis = Duration::from_millis;
    let few = NonZeroU32::new(3).unwrap();
    let slow =
        SlowEjection { factor: few, floor: millis(10), window: millis(100), windows: few, rest: millis(500) };
    let ring = builder(&servers)
        .heartbeat_timeout(Duration::from_secs(1))
        .slow_ejection(slow)
        .build()
        .await
        .unwrap();
    let mut events = ring.events();
    let until = Instant::now() + Duration::from_secs(2);
    let load: Vec<_> = (0..16)
        .map(|worker| {
            let mut ring = ring.clone();
            tokio::spawn(async move {
                for number in 0.. {
                    if Instant::now() > until {
                        break;
                    }
                    ring.set::<_, _, ()>(format!("key{worker}:{number}"), 1).await.unwrap();
                    tokio::time::sleep(millis(1)).await;
                }
            })
        })
        .collect();
    let mut brake = servers[1].client().unwrap();
    let braking = tokio::task::spawn_blocking(move || {
        // Alive, within every deadline, and forty times as slow as the others.
        let end = Instant::now() + Duration::from_secs(1);
        while Instant::now() < end {
            brake.command(&["DEBUG", "SLEEP", "0.04"]).unwrap();
        }
    });
    let slowed = next(&mut events).await;
    assert!(matches!(&slowed, Event::Slow(shard) if shard.name == "shard2"), "{slowed}");
    assert_eq!(ring.len(), 2);
    let back = next(&mut events).await;
    assert!(
        matches!(&back, Event::Returned { shard, forgot: Forgot::Keys(1..) } if shard.name == "shard2"),
        "{back}"
    );
    braking.await.unwrap();
    for worker in load {
        worker.await.unwrap();
    }
}

#[tokio::test]
async fn a_shard_that_cannot_be_taken_back_at_once_is_told_to_answer_once() {
    let cluster = Cluster::start(1);
    // Well, away, back without being ready for anything but probes, ready.
    let stage = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&stage);
    let fake =
        FakeServer::start(move |request| match (seen.load(Ordering::SeqCst), request.name().as_str()) {
            (1, _) => Answer::Close,
            (2, "UNLINK") => Answer::text("-LOADING not yet\r\n"),
            (_, "UNLINK") => Answer::text(":1\r\n"),
            _ => Answer::handshake(request).unwrap_or_else(Answer::ok),
        });
    let ring = builder(&cluster).shard("fake", fake.url()).build().await.unwrap();
    let key = keys_on(&ring, "fake", 1).remove(0);
    let mut events = ring.events();
    stage.store(1, Ordering::SeqCst);
    assert!(matches!(next(&mut events).await, Event::Down { .. }));
    ring.clone().set::<_, _, ()>(&key, "elsewhere").await.unwrap();
    stage.store(2, Ordering::SeqCst);
    assert!(matches!(next(&mut events).await, Event::Up(_)));
    // It is tried several times.
    tokio::time::sleep(Duration::from_millis(700)).await;
    assert_eq!(ring.len(), 1);
    stage.store(3, Ordering::SeqCst);
    let event = next(&mut events).await;
    assert!(matches!(event, Event::Returned { forgot: Forgot::Keys(1), .. }), "{event:?}");
}

#[tokio::test]
async fn who_waits_on_a_shard_that_stood_in_is_told_when_its_keys_leave() {
    let cluster = Cluster::start(2);
    let ring = builder(&cluster).build().await.unwrap();
    let blocked = |count: usize| {
        let line = format!("blocked_clients:{count}\r");
        cluster[0].command(&["INFO", "clients"]).text().contains(&line)
    };
    let tag = keys_on(&ring, "shard2", 1).remove(0);
    let [from, to] = ["from", "to"].map(|name| format!("{{{tag}}}{name}"));
    let own = keys_on(&ring, "shard1", 1).remove(0);
    freeze(&ring, &cluster[1], 1).await;
    let (mut moving, mut staying) = (ring.clone(), ring.clone());
    // It waits on the server for longer than its deadline, which does not hold there.
    let mut reading = ring.with_deadline(Duration::from_millis(200));
    let (source, target, stream) = (from.clone(), to.clone(), format!("{{{tag}}}stream"));
    let (read_there, own_here) = (stream.clone(), own.clone());
    let moving = tokio::spawn(async move {
        let command = redis::cmd("BLMOVE").arg(source).arg(target).arg("LEFT").arg("LEFT").arg(0).clone();
        command.query_async::<redis::Value>(&mut moving).await
    });
    let reading = tokio::spawn(async move {
        let command =
            redis::cmd("XREAD").arg("BLOCK").arg(0).arg("STREAMS").arg(read_there).arg("0-0").clone();
        command.query_async::<redis::Value>(&mut reading).await
    });
    let staying =
        tokio::spawn(async move { staying.blpop::<_, Option<(String, String)>>(own_here, 0.0).await });
    eventually("all three waiting", || blocked(3)).await;
    tokio::time::sleep(Duration::from_millis(400)).await;
    thaw(&ring, &cluster[1], 2).await;
    let error = tokio::time::timeout(Duration::from_secs(2), moving).await.unwrap().unwrap().unwrap_err();
    let error = rendis::Error::of(&error).unwrap();
    assert_eq!((error.kind(), error.sent(), error.shard()), (Kind::ShardDown, Sent::Maybe, Some("shard1")));

    // Nobody waits there any more who would leave a value behind.
    eventually("those who wait for other keys staying", || blocked(1)).await;
    cluster[0].command(&["RPUSH", &from, "late"]);
    assert_eq!(cluster[0].command(&["EXISTS", &to]).integer(), 0);
    // A read goes on where its keys are.
    let mut ring = ring.clone();
    let waits = || cluster[1].command(&["INFO", "clients"]).text().contains("blocked_clients:1");
    eventually("the read waiting there", waits).await;
    redis::cmd("XADD").arg(stream).arg("*").arg("f").arg("v").exec_async(&mut ring).await.unwrap();
    tokio::time::timeout(Duration::from_secs(2), reading).await.unwrap().unwrap().unwrap();
    ring.rpush::<_, _, ()>(&own, "mine").await.unwrap();
    assert_eq!(staying.await.unwrap().unwrap(), Some((own, "mine".to_owned())));
}
