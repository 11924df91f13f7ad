//! A ring of servers in memory, on virtual time.

#![allow(dead_code, reason = "each test uses a part")]

use std::num::NonZeroU32;
use std::time::Duration;

use rendis_core::outlier;
use rendis_core::placement::Spec;
use rendis_core::request::RequestBuf;
use rendis_engine::engine::{Engine, EngineConfig};
use rendis_engine::error::Error;
use rendis_engine::gather::Executed;
use rendis_engine::probe::Heartbeat;
use rendis_engine::settings::{Settings, ShardSettings};
use rendis_testkit::sim::{Dice, Host};
use tokio::time::{sleep, timeout};

/// A ring of hosts that are probed often, and nothing takes time unless it is told to.
pub(crate) struct World {
    pub(crate) hosts: Vec<Host>,
    pub(crate) shards: Vec<ShardSettings>,
    pub(crate) placement: Spec,
    pub(crate) settings: Settings,
    pub(crate) engine: Engine,
}

impl World {
    pub(crate) async fn start(names: &[&str], placement: Spec, settings: Settings) -> Self {
        let hosts: Vec<Host> = names.iter().map(|name| Host::new(name, &Dice::of_seed(1))).collect();
        hosts.iter().for_each(|host| host.delay(0..=0));
        let shards = crate::network::shards(&hosts);
        Self::of(hosts, shards, placement, settings).await
    }

    pub(crate) async fn of(
        hosts: Vec<Host>,
        shards: Vec<ShardSettings>,
        placement: Spec,
        settings: Settings,
    ) -> Self {
        let config = EngineConfig {
            first_wait: None,
            shards: shards.clone(),
            placement: placement.clone(),
            settings: settings.clone(),
            heartbeat: Heartbeat::default(),
            on_new_shard: None,
            coordinator: std::sync::Arc::default(),
        };
        Self { hosts, shards, placement, settings, engine: Engine::start(config).await.unwrap() }
    }

    pub(crate) fn reconfigure(&self, settings: Settings) {
        let placement = self.placement.clone();
        self.engine.reconfigure(&self.shards, placement, settings, Heartbeat::default()).unwrap();
    }

    /// Has a shard be connected to in another way.
    pub(crate) fn reconnect(&self, name: &str) {
        let mut shards = self.shards.clone();
        let shard = shards.iter_mut().find(|shard| shard.name == name).unwrap();
        shard.client_name = Some("other".into());
        let (placement, settings) = (self.placement.clone(), self.settings.clone());
        self.engine.reconfigure(&shards, placement, settings, Heartbeat::default()).unwrap();
    }

    pub(crate) fn host(&self, name: &str) -> &Host {
        self.hosts.iter().find(|host| host.name() == name).unwrap()
    }

    pub(crate) fn serves(&self, name: &str) -> bool {
        let topology = self.engine.topology();
        topology.live().iter().any(|id| topology.member(*id).unwrap().shard.name() == name)
    }

    pub(crate) async fn until(&self, name: &str, serves: bool) {
        let changed = async {
            while self.serves(name) != serves {
                sleep(Duration::from_millis(1)).await;
            }
        };
        timeout(Duration::from_secs(30), changed)
            .await
            .unwrap_or_else(|_| panic!("{name} serves: {}", !serves));
    }

    /// Stops a host, and waits until it is out.
    pub(crate) async fn freeze(&self, name: &str) {
        self.host(name).stop(true);
        self.until(name, false).await;
    }

    pub(crate) async fn thaw(&self, name: &str) {
        self.host(name).stop(false);
        self.until(name, true).await;
    }

    pub(crate) fn home(&self, key: &str) -> String {
        self.engine.shard_for(key.as_bytes()).unwrap().name().to_owned()
    }

    /// Keys whose home is this shard at present.
    pub(crate) fn keys_on(&self, name: &str, count: usize) -> Vec<String> {
        let keys = (0..).map(|number| format!("key{number}"));
        keys.filter(|key| self.home(key) == name).take(count).collect()
    }

    /// A key whose home is one shard, and for which another stands in.
    pub(crate) async fn key_on_and_then(&self, home: &str, second: &str) -> String {
        let mut keys = self.keys_on(home, 80);
        self.freeze(home).await;
        keys.retain(|key| self.home(key) == second);
        self.thaw(home).await;
        sleep(Duration::from_secs(30)).await;
        keys.remove(0)
    }

    /// Waits until some shard is out.
    pub(crate) async fn until_one_is_out(&self) {
        let out = async {
            while self.engine.topology().ejected().next().is_none() {
                sleep(millis(1)).await;
            }
        };
        timeout(Duration::from_secs(30), out).await.expect("no shard was taken out");
    }

    pub(crate) async fn ask(&self, words: &[&str]) -> Result<Option<String>, Error> {
        ask(&self.engine, words).await
    }

    /// Reads keys of these shards for ever.
    pub(crate) async fn load(&self, names: [&str; 2]) {
        let keys = names.map(|name| self.keys_on(name, 10)).concat();
        loop {
            for key in &keys {
                let _ = self.ask(&["GET", key]).await;
            }
            sleep(millis(1)).await;
        }
    }

    pub(crate) async fn set(&self, key: &str, value: &str) {
        self.ask(&["SET", key, value]).await.unwrap();
    }

    pub(crate) async fn get(&self, key: &str) -> Option<String> {
        self.ask(&["GET", key]).await.unwrap()
    }
}

pub(crate) async fn ask(engine: &Engine, words: &[&str]) -> Result<Option<String>, Error> {
    let request = RequestBuf::pack(words.iter().map(|word| word.as_bytes()));
    let Executed::Reply(reply) = engine.run(&request).await? else { panic!("{words:?} has a reply") };
    assert!(!reply.is_error(), "{words:?}: {reply:?}");
    Ok(reply.as_bulk().map(|value| String::from_utf8(value.to_vec()).unwrap()))
}

pub(crate) fn settings() -> Settings {
    let mut settings = Settings::default();
    settings.health.votes.fall = NonZeroU32::MIN;
    settings.health.votes.rise = NonZeroU32::MIN;
    settings.health.votes.interval = millis(20);
    settings.health.votes.longest_interval = millis(20);
    settings.health.deadline = millis(50);
    settings
}

/// A shard that is slow for two tenths of a second rests for five.
pub(crate) fn with_rests() -> Settings {
    let mut settings = settings();
    settings.health.deadline = millis(100);
    let two = NonZeroU32::new(2).unwrap();
    settings.slow_ejection = Some(outlier::Settings {
        factor: two,
        floor: millis(5),
        window: millis(100),
        windows: two,
        rest: millis(500),
    });
    settings
}

pub(crate) const fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// A key of a that b holds an old value of, for its deletion from b failed: b takes no new connections.
pub(crate) async fn with_old_value_on_b(world: &World) -> String {
    let mut keys = world.keys_on("a", 60);
    world.freeze("a").await;
    keys.retain(|key| world.home(key) == "b");
    let key = keys.remove(0);
    world.set(&key, "old").await;
    world.host("b").ignore(true);
    world.thaw("a").await;
    sleep(Duration::from_secs(5)).await;
    key
}

/// A, which is frozen and owes b's functions and a deletion, answers again: it asks b for functions, forgets, and asks b again,
/// in vain as long as b holds `FUNCTION`.
pub(crate) async fn forgets_and_cannot_return(world: &World) {
    let (a, b) = (world.host("a"), world.host("b"));
    b.hold(Some("FUNCTION"));
    a.stop(false);
    sleep(millis(50)).await;
    b.answer_after(millis(10));
    b.hold(None);
    sleep(millis(1)).await;
    b.hold(Some("FUNCTION"));
    sleep(millis(200)).await;
    let forgot =
        a.applied().iter().any(|applied| applied.words.first().is_some_and(|word| word == b"UNLINK"));
    assert!(forgot && !world.serves("a"));
}

pub(crate) fn modula() -> Spec {
    Spec::parse("twemproxy", [("distribution".to_owned(), "modula".into())]).unwrap()
}

/// Keys that modula spreads; it takes those that are alike in turn.
pub(crate) fn spread_keys() -> Vec<String> {
    let spread = |number: u64| format!("{:x}", (number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    (0..400).map(spread).collect()
}
