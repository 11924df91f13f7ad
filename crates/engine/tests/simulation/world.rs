//! One run: hosts, a ring over them, callers, faults, and what is looked at in the end.

use std::fmt::Write as _;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::try_join_all;
use rendis_core::command::script_sha;
use rendis_core::health;
use rendis_core::placement::Spec;
use rendis_core::request::RequestBuf;
use rendis_core::session::QueueLimits;
use rendis_core::topology::Standing;
use rendis_engine::engine::{Engine, Plan};
use rendis_engine::probe::Heartbeat;
use rendis_engine::settings::{
    Deadlines, HealthSettings, OnDown, OnReturn, Protocol, Settings, ShardSettings,
};
use rendis_testkit::sim::{Dice, Host};
use tokio::runtime::{Builder, Handle};
use tokio::time::{Instant, sleep, timeout};

use crate::callers::call;
use crate::calls::{Ask, REGISTERS, Told, register};
use crate::faults::{NEAR, Patient};
use crate::network::shards;
use crate::oracle::{Ledger, Summary};

/// What a run left behind.
pub(crate) struct Run {
    pub(crate) events: Vec<String>,
    pub(crate) summary: Summary,
    /// What went wrong, with the events before it.
    pub(crate) wrong: Option<String>,
}

/// The world that callers live in.
pub(crate) struct World {
    pub(crate) engine: Engine,
    pub(crate) patients: Vec<Patient>,
    pub(crate) dice: Dice,
    pub(crate) trace: Trace,
    pub(crate) callers: usize,
    pub(crate) sha: String,
    /// Nobody is back in the ring later than this after it can serve.
    pub(crate) recovery: Duration,
    /// Buffers or queues are small, so that callers notice each other.
    pub(crate) narrow: bool,
    /// The engine deletes from a shard that returns what was written elsewhere.
    pub(crate) forgets: bool,
    settings: Settings,
    ledger: Mutex<Ledger>,
    tokens: AtomicU64,
}

/// Runs the world of this seed to its end.
pub(crate) fn run(seed: u64) -> Run {
    fastrand::seed(seed);
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let trace = runtime.block_on(async { Trace::new(seed) });
    let summary = runtime.block_on(async {
        let life = live(Dice::of_seed(seed), trace.clone());
        timeout(Duration::from_secs(600), life).await.unwrap_or_else(|_| {
            trace.wrong(|| "the run does not end".to_owned());
            Summary::default()
        })
    });
    let (events, wrong) = trace.finish();
    Run { events, summary, wrong }
}

async fn live(dice: Dice, trace: Trace) -> Summary {
    let hosts: Vec<_> =
        (0..dice.number(3..=5)).map(|number| Host::new(&format!("shard{number}"), &dice)).collect();
    let narrow = dice.percent(40);
    for host in &hosts {
        host.delay(0..=NEAR);
        host.buffer(if narrow { dice.one_of(&[150, 4000]) } else { 256 << 10 });
    }
    let settings = settings(&dice, hosts.len());
    trace.note(|| format!("{} shards, {settings:?}", hosts.len()));
    let world = Arc::new(World::start(&hosts, settings, narrow, dice.clone(), trace.clone()).await);
    let until = Instant::now() + dice.millis(5_000..=15_000);
    let mut tasks = Vec::new();
    for patient in world.patients.clone() {
        let dies = dice.percent(8);
        tasks.push(tokio::spawn(patient.suffer(dice.clone(), trace.clone(), until, dies)));
    }
    for caller in 0..world.callers {
        tasks.push(tokio::spawn(call(Arc::clone(&world), caller, until)));
    }
    try_join_all(tasks).await.expect("no caller and no fault panics");
    world.recovered().await;
    let Ok(world) = Arc::try_unwrap(world) else { panic!("every caller is gone") };
    world.end().await
}

impl World {
    async fn start(hosts: &[Host], settings: Settings, narrow: bool, dice: Dice, trace: Trace) -> Self {
        let protocol = dice.one_of(&[Protocol::Newest, Protocol::Resp2]);
        let shards = shards(hosts).into_iter().map(|shard| ShardSettings { protocol, ..shard });
        let plan = Plan {
            shards: shards.collect(),
            placement: Spec::go_redis(),
            settings: settings.clone(),
            heartbeat: Heartbeat::default(),
            on_new_shard: None,
            ward: Arc::default(),
        };
        let engine = Engine::start(plan).await.unwrap();
        let script = b"return redis.call('INCRBY', KEYS[1], ARGV[1])";
        let load = RequestBuf::pack([&b"SCRIPT"[..], b"LOAD", script]);
        engine.run(&load).await.expect("all is well yet");
        let votes = settings.health.votes;
        let ledger = Ledger::new(settings.retry.repeat_idempotent_writes);
        Self {
            engine,
            patients: hosts.iter().cloned().map(Patient::new).collect(),
            callers: dice.index(4) + 2,
            sha: String::from_utf8(script_sha(script).to_vec()).unwrap(),
            // A probe that hangs, the longest pause, one probe that dials and those that count; a connection that is
            // given up for want of replies, and a lane that rests.
            recovery: settings.health.deadline * 2
                + votes.longest_interval.max(votes.interval)
                + votes.interval * votes.rise.get()
                + settings.deadlines.connect
                + settings.deadlines.reply * 3
                + Duration::from_millis(1500),
            narrow: narrow || settings.queue != QueueLimits::default(),
            forgets: settings.on_return == OnReturn::Forget,
            ledger: Mutex::new(ledger),
            tokens: AtomicU64::new(1),
            settings,
            dice,
            trace,
        }
    }

    pub(crate) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A number that no other write has.
    pub(crate) fn token(&self) -> u64 {
        self.tokens.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn value(&self, key: &str, token: u64) -> String {
        let long = if self.narrow { 3_000 } else { 100_000 };
        let padding = if token.is_multiple_of(50) { long } else { token % 90 };
        format!("{key}|{token}|{}", ".".repeat(usize::try_from(padding).unwrap()))
    }

    /// The longest that a call may take.
    pub(crate) fn longest(&self, ask: &Ask) -> Duration {
        let deadlines = &self.settings.deadlines;
        let slack = Duration::from_millis(50);
        match ask {
            // It dials, or waits for its turn.
            Ask::Wait => deadlines.connect + deadlines.wait + deadlines.write + deadlines.reply + slack,
            // Writes wait for the last round of a shard that returns, which is not counted against their deadline.
            _ if self.forgets => deadlines.reply + LAST_ROUND + slack,
            _ => deadlines.reply + slack,
        }
    }

    /// The last fault is over: after a while the ring is what is well, and every key can be written and read.
    async fn recovered(&self) {
        sleep(self.recovery).await;
        self.trace.note(|| "the ring should have recovered".to_owned());
        let topology = self.engine.topology();
        for (member, patient) in topology.members().iter().zip(&self.patients) {
            if (member.standing == Standing::Serving) != patient.host.is_well() {
                let name = patient.host.name();
                self.trace.wrong(|| format!("{name} is {:?} after {:?}", member.standing, self.recovery));
            }
        }
        for caller in 0..self.callers {
            for index in 0..REGISTERS {
                let key = register(caller, index);
                let served = self.engine.shard_for(key.as_bytes()).is_ok();
                let set = self.ask(Ask::Set(key.clone(), self.token()), None).await;
                let got = self.ask(Ask::Get(key), None).await;
                let good = |told: &Told| matches!(told, Told::Answer(_)) && !told.is_lie();
                if served && !(good(&set) && good(&got)) {
                    self.trace.wrong(|| format!("after all is over: {set}, {got}"));
                }
            }
        }
    }

    /// Closes the engine: nothing is left of it, and what it said is compared with what happened.
    async fn end(self) -> Summary {
        // What nobody waits for any more is answered too.
        sleep(Duration::from_secs(2)).await;
        for member in self.engine.topology().members() {
            if member.shard.in_flight() > 0 {
                let count = member.shard.in_flight();
                self.trace.wrong(|| format!("{:?} has {count} requests in flight", member.shard));
            }
        }
        let World { engine, patients, trace, ledger, .. } = self;
        let shards: Vec<_> =
            engine.topology().members().iter().map(|member| Arc::downgrade(&member.shard)).collect();
        drop(engine);
        sleep(Duration::from_secs(2)).await;
        let connections: usize = patients.iter().map(|patient| patient.host.connections()).sum();
        let tasks = Handle::current().metrics().num_alive_tasks();
        let kept = shards.iter().filter(|shard| shard.upgrade().is_some()).count();
        if (connections, tasks, kept) != (0, 0, 0) {
            trace.wrong(|| format!("{connections} connections, {tasks} tasks and {kept} shards are left"));
        }
        let mut ledger = ledger.into_inner().unwrap_or_else(PoisonError::into_inner);
        let applied: Vec<_> = patients.iter().flat_map(|patient| patient.host.applied()).collect();
        for wrong in ledger.check(&applied) {
            trace.wrong(|| wrong);
        }
        let lies: usize = patients.iter().map(|patient| patient.host.lies()).sum();
        if ledger.summary.lies > u64::try_from(lies).unwrap() {
            trace.wrong(|| format!("{} calls got the {lies} lies", ledger.summary.lies));
        }
        ledger.summary
    }
}

fn settings(dice: &Dice, shards: usize) -> Settings {
    let brief = || dice.one_of(&[200, 500, 1000]);
    let millis = Duration::from_millis;
    let mut settings = Settings {
        deadlines: Deadlines {
            connect: millis(brief()),
            reply: millis(brief()),
            write: millis(brief()),
            wait: millis(brief()),
        },
        wires: dice.one_of(&[1, 1, 2]),
        exclusive: dice.one_of(&[1, 4]),
        health: HealthSettings {
            votes: health::Settings {
                fall: NonZeroU32::new(dice.one_of(&[1, 3])).unwrap(),
                traffic_fall: NonZeroU32::new(dice.one_of(&[2, 5])).unwrap(),
                rise: NonZeroU32::new(dice.one_of(&[1, 2])).unwrap(),
                interval: millis(dice.one_of(&[100, 500])),
                longest_interval: millis(dice.one_of(&[500, 5000])),
            },
            deadline: millis(brief()),
        },
        on_down: dice.one_of(&[OnDown::Reroute, OnDown::Reroute, OnDown::Fail, OnDown::Miss]),
        on_return: dice.one_of(&[OnReturn::Forget, OnReturn::Forget, OnReturn::Keep, OnReturn::Flush]),
        max_ejected: dice.one_of(&[None, Some(0), Some(1), Some(shards)]),
        ..Settings::default()
    };
    if dice.percent(15) {
        settings.queue = QueueLimits { requests: 8, bytes: 3000 };
    }
    settings.retry.repeat_idempotent_writes = dice.percent(30);
    settings
}

/// Everything that happened, in order. Cheap to clone; clones write into the same.
#[derive(Clone)]
pub(crate) struct Trace {
    seed: u64,
    began: Instant,
    written: Arc<Mutex<Written>>,
}

#[derive(Default)]
struct Written {
    events: Vec<String>,
    wrong: Vec<usize>,
}

impl Trace {
    fn new(seed: u64) -> Self {
        Self { seed, began: Instant::now(), written: Arc::default() }
    }

    pub(crate) fn note(&self, event: impl FnOnce() -> String) {
        let event = format!("{:>10.4} {}", self.began.elapsed().as_secs_f64(), event());
        self.lock().events.push(event);
    }

    /// Something must not happen, and did.
    pub(crate) fn wrong(&self, event: impl FnOnce() -> String) {
        self.note(|| format!("WRONG: {}", event()));
        let mut written = self.lock();
        let at = written.events.len() - 1;
        written.wrong.push(at);
    }

    /// All events; and what was wrong, with those before it.
    fn finish(self) -> (Vec<String>, Option<String>) {
        let written = std::mem::take(&mut *self.lock());
        let wrong = written.wrong.first().map(|first| {
            let mut text =
                format!("seed {}: {} wrongs, the first of them:\n", self.seed, written.wrong.len());
            for event in &written.events[first.saturating_sub(BEFORE)..=*first] {
                writeln!(text, "{}", event.chars().take(WIDTH).collect::<String>()).unwrap();
            }
            for more in written.wrong.iter().skip(1).take(5) {
                writeln!(text, "{}", written.events[*more]).unwrap();
            }
            text
        });
        (written.events, wrong)
    }

    fn lock(&self) -> MutexGuard<'_, Written> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long the last round of a shard may take that forgets.
const LAST_ROUND: Duration = Duration::from_millis(500);

/// How many events are shown before the first wrong one, and how much of each.
const BEFORE: usize = 60;
const WIDTH: usize = 300;
