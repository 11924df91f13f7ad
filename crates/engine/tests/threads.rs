//! What only real threads can do: a change of the ring beside a fall, and an engine whose thread is busy.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod network;
mod world;

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rendis_core::placement::Spec;
use rendis_engine::address::Address;
use rendis_engine::coordinator::Coordinator;
use rendis_engine::engine::{Engine, EngineConfig};
use rendis_engine::probe::Heartbeat;
use rendis_engine::settings::{Settings, ShardSettings};
use rendis_engine::transport::{Connect, Connecting, Io, Transport};
use rendis_testkit::sim::{Dice, Host};
use tokio::runtime::Handle;
use tokio::time::{sleep, timeout};

use world::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_shard_that_falls_at_the_moment_of_a_reload_comes_back() {
    let hosts = hosts(&["a", "b", "c", "d"]);
    let shards = network::shards(&hosts);
    let slow = Arc::new(AtomicBool::new(false));
    let blocks = Arc::clone(&slow);
    let mut settings = settings();
    settings.health.votes.fall = NonZeroU32::new(3).unwrap();
    settings.health.votes.traffic_fall = NonZeroU32::new(2).unwrap();
    let mut config = config(&shards[..3], &settings, Arc::default());
    config.on_new_shard = Some(Arc::new(move |_| {
        if blocks.load(Ordering::Relaxed) {
            std::thread::sleep(millis(200));
        }
    }));
    let engine = Engine::start(config).await.unwrap();
    slow.store(true, Ordering::Relaxed);
    // A change that takes a while has the lock, and another waits for it.
    let (first, all) = (engine.clone(), shards.clone());
    let first = std::thread::spawn(move || first.set_shards(&all).unwrap());
    sleep(millis(50)).await;
    settings.health.votes.interval += millis(1);
    settings.health.votes.longest_interval += millis(1);
    let second = engine.clone();
    let second = std::thread::spawn(move || {
        second.reconfigure(&shards, Spec::go_redis(), settings, Heartbeat::default()).unwrap();
    });
    sleep(millis(30)).await;
    // A server is restarted: as long as three probes take. Its monitor waits for the lock too.
    hosts[0].kill(true);
    sleep(millis(85)).await;
    hosts[0].start(true);
    let changed = tokio::task::spawn_blocking(move || (first.join().unwrap(), second.join().unwrap()));
    changed.await.unwrap();
    // What the monitor before has to say is said by then.
    sleep(millis(300)).await;
    until(&engine, "a", true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_a_busy_thread_wrote_before_does_not_arrive_after_the_shard_forgot() {
    let hosts = hosts(&["a", "b", "c"]);
    let network = Arc::new(Elsewhere(hosts.clone(), Handle::current()));
    let shard = |host: &Host| {
        let mut shard = ShardSettings::new(host.name(), &format!("redis://{}:6379", host.name())).unwrap();
        shard.transport = Transport::Other(network.clone());
        shard
    };
    let shards: Vec<ShardSettings> = hosts.iter().map(shard).collect();
    let coordinator = Arc::new(Coordinator::default());
    let mut settings = settings();
    settings.deadlines.reply = Duration::from_secs(60);
    let config = move || config(&shards, &settings, Arc::clone(&coordinator));
    let one = Engine::start(config()).await.unwrap();
    // Another thread with an engine of the same ring.
    let (told, tell) = std::sync::mpsc::channel::<Handle>();
    let (_stop, stopped) = tokio::sync::oneshot::channel::<()>();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        told.send(runtime.handle().clone()).unwrap();
        runtime.block_on(async { drop(stopped.await) });
    });
    let thread = tell.recv().unwrap();
    let two = thread.spawn(async move { Engine::start(config()).await.unwrap() }).await.unwrap();
    let mut keys = (0..).map(|number| format!("key{number}"));
    let key = keys.find(|key| one.shard_for(key.as_bytes()).unwrap().name() == "a").unwrap();
    // A write that does not arrive: its caller was told that it may have been executed.
    hosts[0].hold(Some("SET"));
    let (hurried, of) = (two.allowing(millis(20)), key.clone());
    let held = thread.spawn(async move { ask(&hurried, &["SET", &of, "old"]).await }).await.unwrap();
    assert!(held.is_err());
    hosts[0].stop(true);
    until(&one, "a", false).await;
    ask(&one, &["SET", &key, "new"]).await.unwrap();
    // The other thread is busy while the shard returns.
    thread.spawn(async { std::thread::sleep(Duration::from_secs(1)) });
    sleep(millis(20)).await;
    hosts[0].stop(false);
    until(&one, "a", true).await;
    hosts[0].hold(None);
    sleep(millis(20)).await;
    assert_ne!(ask(&one, &["GET", &key]).await.unwrap().as_deref(), Some("old"));
    drop(two);
}

fn hosts(names: &[&str]) -> Vec<Host> {
    let hosts: Vec<Host> = names.iter().map(|name| Host::new(name, &Dice::of_seed(1))).collect();
    hosts.iter().for_each(|host| host.delay(0..=0));
    hosts
}

fn config(shards: &[ShardSettings], settings: &Settings, coordinator: Arc<Coordinator>) -> EngineConfig {
    EngineConfig {
        first_wait: None,
        shards: shards.to_vec(),
        placement: Spec::go_redis(),
        settings: settings.clone(),
        heartbeat: Heartbeat::default(),
        on_new_shard: None,
        coordinator,
    }
}

async fn until(engine: &Engine, name: &str, wanted: bool) {
    let serves = || {
        let topology = engine.topology();
        topology.live().iter().any(|id| topology.member(*id).unwrap().shard.name() == name)
    };
    let changed = async {
        while serves() != wanted {
            sleep(millis(1)).await;
        }
    };
    timeout(Duration::from_secs(10), changed).await.unwrap_or_else(|_| panic!("{name} serves: {}", !wanted));
}

/// Leads to hosts whose tasks run on another runtime.
struct Elsewhere(Vec<Host>, Handle);

impl Connect for Elsewhere {
    fn connect<'a>(&'a self, address: &'a Address) -> Connecting<'a> {
        Box::pin(async move {
            let Address::Tcp { host: name, .. } = address else {
                panic!("{address} is in no simulated network")
            };
            let host = self.0.iter().find(|host| host.name() == name).unwrap().clone();
            let connected = self.1.spawn(async move { host.connect().await });
            let socket: Box<dyn Io> = Box::new(connected.await.unwrap()?);
            Ok(socket)
        })
    }
}
