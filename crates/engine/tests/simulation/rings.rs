//! What the ring of a run is made of: at first, and after each change of it while it runs.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use rendis_core::health;
use rendis_core::outlier;
use rendis_core::placement::{Node, Spec};
use rendis_core::session::QueueLimits;
use rendis_core::topology::{Member, Standing, Topology};
use rendis_engine::engine::Engine;
use rendis_engine::error::Error;
use rendis_engine::probe::Heartbeat;
use rendis_engine::settings::{
    Deadlines, HealthSettings, OnDown, OnReturn, Protocol, Settings, ShardSettings,
};
use rendis_testkit::sim::Dice;
use tokio::time::{Instant, sleep};

use crate::world::World;

/// A list of shards, and how an engine behaves.
#[derive(Clone)]
pub(crate) struct Ring {
    pub(crate) shards: Vec<ShardSettings>,
    pub(crate) settings: Settings,
}

impl Ring {
    /// The rings of a run: the first, and what it becomes.
    pub(crate) fn all(dice: &Dice, hosts: &[ShardSettings]) -> Vec<Self> {
        let protocol = dice.one_of(&[Protocol::Newest, Protocol::Resp2]);
        let mut hosts = hosts.to_vec();
        hosts.iter_mut().for_each(|shard| shard.protocol = protocol);
        let changes = if dice.percent(50) { 0 } else { dice.number(1..=6) };
        let first = Self { settings: settings(dice, hosts.len()), shards: hosts.clone() };
        let mut rings = vec![first];
        for _ in 0..changes {
            let next = rings[rings.len() - 1].changed(dice, &hosts);
            rings.push(next);
        }
        rings
    }

    /// Some change of it.
    fn changed(&self, dice: &Dice, hosts: &[ShardSettings]) -> Self {
        let mut next = self.clone();
        match dice.number(0..=5) {
            // What connections are made with: all of them are made anew.
            0 => {
                next.settings.wires = dice.one_of(&[1, 2]);
                next.settings.exclusive = dice.one_of(&[1, 4]);
                next.settings.deadlines = deadlines(dice);
            }
            // How shards are watched: all monitors begin anew.
            1 => next.settings.health = health(dice),
            2 => {
                for shard in &mut next.shards {
                    shard.weight = dice.percent(50).then(|| dice.one_of(&[1, 2, 3]));
                }
            }
            _ => {
                next.shards.retain(|_| dice.percent(60));
                let is_in = |shard: &ShardSettings| self.shards.iter().any(|old| old.name == shard.name);
                next.shards.extend(hosts.iter().filter(|host| !is_in(host) && dice.percent(60)).cloned());
                if next.shards.is_empty() {
                    next.shards.push(hosts[dice.index(hosts.len())].clone());
                }
            }
        }
        next
    }

    pub(crate) const fn placement() -> Spec {
        Spec::go_redis()
    }

    /// Makes this engine so.
    fn apply(&self, engine: &Engine) -> Result<(), Error> {
        let Self { shards, settings } = self;
        engine.reconfigure(shards, Self::placement(), settings.clone(), Heartbeat::default())
    }

    /// The shards in the order in which they come for a key, when those before are out.
    fn ranking(&self, key: &str) -> Vec<String> {
        let nodes: Vec<Node> = self.shards.iter().map(ShardSettings::node).collect();
        let mut members: Vec<Member<()>> = nodes
            .into_iter()
            .map(|node| Member { node, shard: Arc::new(()), standing: Standing::Serving })
            .collect();
        let mut ranking = Vec::new();
        while ranking.len() < members.len() {
            let topology = Topology::build(Self::placement(), members.clone()).unwrap();
            let next = topology.locate(key.as_bytes()).unwrap().index();
            members[next].standing = Standing::Ejected;
            ranking.push(members[next].node.name.clone());
        }
        ranking
    }

    /// Nobody is back in the ring later than this after it can serve.
    pub(crate) fn recovery(&self) -> Duration {
        let Settings { health, deadlines, .. } = &self.settings;
        let votes = &health.votes;
        // A probe that hangs, the longest pause, one probe that dials and those that count; a connection that is
        // given up for want of replies, and a lane that rests.
        health.deadline * 2
            + votes.longest_interval.max(votes.interval)
            + votes.interval * votes.rise.get()
            + deadlines.connect
            + deadlines.reply * 3
            + Duration::from_millis(1500)
            + self.settings.slow_ejection.map_or(Duration::ZERO, |slow| slow.rest + slow.window * 2)
    }

    /// In how long it is found that a shard is slow.
    pub(crate) fn slow_after(&self) -> Duration {
        self.settings.slow_ejection.map_or(Duration::ZERO, |slow| slow.window * (slow.windows.get() + 1))
    }

    /// Whether so many of its shards may be out.
    pub(crate) fn allows(&self, out: usize) -> bool {
        let Settings { max_ejected, on_down, .. } = self.settings;
        let half = (self.shards.len() / 2).max(1);
        out == 0 || on_down == OnDown::Reroute && out <= max_ejected.unwrap_or(half)
    }
}

/// The rings that were, and when.
pub(crate) struct History(Vec<Era>);

struct Era {
    ring: Ring,
    /// When the first engine left it, and the last.
    left: Option<Instant>,
    until: Option<Instant>,
}

impl History {
    pub(crate) fn new(first: Ring) -> Self {
        Self(vec![Era { ring: first, left: None, until: None }])
    }

    /// Some engine is changed now.
    fn begin(&mut self, ring: Ring) {
        self.0.iter_mut().for_each(|era| era.left = era.left.or(Some(Instant::now())));
        self.0.push(Era { ring, left: None, until: None });
    }

    /// All engines are.
    fn end(&mut self) {
        let now = Instant::now();
        self.0.iter_mut().rev().skip(1).for_each(|era| era.until = era.until.or(Some(now)));
    }

    pub(crate) fn last(&self) -> &Ring {
        &self.0[self.0.len() - 1].ring
    }

    /// Whether the ring was this one always, and the shard is the home of this key.
    pub(crate) fn never_moved(&self, key: &str, host: &str) -> bool {
        self.0.len() == 1 && self.last().ranking(key).first().is_some_and(|first| first == host)
    }

    /// Whether the ring was changing then, or a moment before.
    pub(crate) fn is_changing(&self, at: Instant) -> bool {
        self.0.iter().any(|era| era.until.is_some_and(|until| era.left <= Some(at) && at <= until + A_MOMENT))
    }

    fn since(&self, then: Instant) -> impl Iterator<Item = &Era> {
        self.0.iter().filter(move |era| era.until.is_none_or(|until| until >= then))
    }

    /// Whether the ring has been this one since then.
    pub(crate) fn is_settled_since(&self, then: Instant) -> bool {
        self.since(then).count() == 1
    }

    /// Whether who comes before this host for the key has been the same since then: keys that move because the list of
    /// shards was changed are not forgotten.
    pub(crate) fn has_kept(&self, key: &str, host: &str, then: Instant) -> bool {
        let before = |era: &Era| {
            let ranking = era.ring.ranking(key);
            let at = ranking.iter().position(|name| name == host)?;
            Some(ranking[..at].to_vec())
        };
        let mut known = self.since(then).map(before);
        let first = known.next().flatten();
        first.is_some() && known.all(|before| before == first)
    }
}

/// Changes the ring from time to time.
pub(crate) async fn change(world: Arc<World>, rings: Vec<Ring>, until: Instant) {
    let dice = &world.dice;
    for ring in rings {
        sleep(dice.millis(100..=4000)).await;
        if Instant::now() >= until {
            return;
        }
        world.trace.note(|| {
            let shards: Vec<_> = ring.shards.iter().map(|shard| (&shard.name, shard.weight)).collect();
            format!("the ring becomes {shards:?}, {:?}", ring.settings)
        });
        world.history().begin(ring.clone());
        // Threads are told one after the other.
        let pause = dice.percent(50);
        for engine in &world.engines {
            ring.apply(engine).expect("the ring can be had");
            if pause {
                sleep(dice.millis(0..=5)).await;
            }
        }
        world.history().end();
        world.ledger().summary.changes += 1;
        world.trace.note(|| "the ring has changed".to_owned());
    }
}

fn settings(dice: &Dice, shards: usize) -> Settings {
    let mut settings = Settings {
        deadlines: deadlines(dice),
        wires: dice.one_of(&[1, 1, 2]),
        exclusive: dice.one_of(&[1, 4]),
        health: health(dice),
        on_down: dice.one_of(&[OnDown::Reroute, OnDown::Reroute, OnDown::Fail, OnDown::Miss]),
        on_return: dice.one_of(&[OnReturn::Forget, OnReturn::Forget, OnReturn::Keep, OnReturn::Flush]),
        max_ejected: dice.one_of(&[None, Some(0), Some(1), Some(shards)]),
        ..Settings::default()
    };
    if dice.percent(15) {
        settings.queue = QueueLimits { requests: 8, bytes: 3000 };
    }
    if dice.percent(40) {
        settings.slow_ejection = Some(outlier::Settings {
            window: Duration::from_millis(dice.one_of(&[200, 500])),
            windows: NonZeroU32::new(dice.one_of(&[2, 3])).unwrap(),
            rest: Duration::from_millis(dice.one_of(&[500, 2000])),
            ..outlier::Settings::default()
        });
    }
    settings.retry.repeat_idempotent_writes = dice.percent(30);
    // Without a throw of its own, so that seeds mean what they meant.
    settings.linger = settings.exclusive == 4;
    settings
}

fn deadlines(dice: &Dice) -> Deadlines {
    Deadlines { connect: brief(dice), reply: brief(dice), write: brief(dice), wait: brief(dice) }
}

fn health(dice: &Dice) -> HealthSettings {
    let millis = Duration::from_millis;
    HealthSettings {
        votes: health::Settings {
            fall: NonZeroU32::new(dice.one_of(&[1, 3])).unwrap(),
            traffic_fall: NonZeroU32::new(dice.one_of(&[2, 5])).unwrap(),
            rise: NonZeroU32::new(dice.one_of(&[1, 2])).unwrap(),
            interval: millis(dice.one_of(&[100, 500])),
            longest_interval: millis(dice.one_of(&[500, 5000])),
        },
        deadline: brief(dice),
    }
}

fn brief(dice: &Dice) -> Duration {
    Duration::from_millis(dice.one_of(&[200, 500, 1000]))
}

/// How long connections take that are made anew, and a message on each of them, where nothing is wrong.
const A_MOMENT: Duration = Duration::from_millis(50);
