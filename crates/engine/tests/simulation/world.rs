//! One run: hosts, a ring over them, callers, faults, and what is looked at in the end.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::try_join_all;
use rendis_core::command::script_sha;
use rendis_core::request::RequestBuf;
use rendis_core::session::QueueLimits;
use rendis_core::topology::Standing;
use rendis_engine::coordinator::Coordinator;
use rendis_engine::engine::{Engine, EngineConfig};
use rendis_engine::probe::Heartbeat;
use rendis_engine::pubsub::Hub;
use rendis_engine::settings::{Deadlines, OnReturn};
use rendis_testkit::sim::{Dice, Host};
use tokio::runtime::{Builder, Handle};
use tokio::time::{Instant, sleep, timeout};

use crate::callers::call;
use crate::calls::{Ask, REGISTERS, Told, register};
use crate::faults::{NEAR, Patient};
use crate::listeners::{Diary, Ear, ON_ITS_WAY, SILENCE};
use crate::network::shards;
use crate::oracle::{Ledger, Summary};
use crate::outs;
use crate::rings::{History, Ring, change};
use crate::trace::Trace;

/// What a run left behind.
pub(crate) struct Run {
    pub(crate) events: Vec<String>,
    pub(crate) summary: Summary,
    /// What went wrong, with the events before it.
    pub(crate) wrong: Option<String>,
}

/// The world that callers live in.
pub(crate) struct World {
    /// The engines of the ring, which share a coordinator, as those of a proxy's threads do.
    pub(crate) engines: Vec<Engine>,
    pub(crate) patients: Vec<Patient>,
    pub(crate) ears: Vec<Arc<Ear>>,
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
    /// The longest of all rings.
    pub(crate) deadlines: Deadlines,
    history: Mutex<History>,
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
    let mut rings = Ring::all(&dice, &shards(&hosts));
    trace.note(|| format!("{} shards, {:?}", hosts.len(), rings[0].settings));
    let world = Arc::new(World::start(&hosts, &rings, narrow, dice.clone(), trace.clone()).await);
    let until = Instant::now() + dice.millis(5_000..=15_000);
    let mut tasks = Vec::new();
    for patient in world.patients.clone() {
        let dies = dice.percent(8);
        tasks.push(tokio::spawn(patient.suffer(dice.clone(), trace.clone(), until, dies)));
    }
    for caller in 0..world.callers {
        tasks.push(tokio::spawn(call(Arc::clone(&world), caller, until)));
    }
    let mut hearing = vec![tokio::spawn(outs::watch(Arc::clone(&world)))];
    for ear in &world.ears {
        hearing.push(ear.hear(&dice, &trace));
        tasks.push(tokio::spawn(Arc::clone(&world).listen(Arc::clone(ear), until)));
    }
    let changes = rings.split_off(1);
    tasks.push(tokio::spawn(change(Arc::clone(&world), changes, until)));
    try_join_all(tasks).await.expect("no caller and no fault panics");
    world.recovered().await;
    world.restored().await;
    for hearing in hearing {
        hearing.abort();
        let _ = hearing.await;
    }
    let Ok(world) = Arc::try_unwrap(world) else { panic!("every caller is gone") };
    world.end().await
}

impl World {
    async fn start(hosts: &[Host], rings: &[Ring], narrow: bool, dice: Dice, trace: Trace) -> Self {
        let Ring { shards, settings } = &rings[0];
        let coordinator = Arc::<Coordinator>::default();
        let mut engines = Vec::new();
        for _ in 0..dice.one_of(&[1, 1, 2, 3]) {
            let config = EngineConfig {
                shards: shards.clone(),
                placement: Ring::placement(),
                settings: settings.clone(),
                heartbeat: Heartbeat::default(),
                on_new_shard: None,
                first_wait: None,
                coordinator: Arc::clone(&coordinator),
            };
            engines.push(Engine::start(config).await.unwrap());
        }
        let script = b"return redis.call('INCRBY', KEYS[1], ARGV[1])";
        let load = RequestBuf::pack([&b"SCRIPT"[..], b"LOAD", script]);
        engines[0].run(&load).await.expect("all is well yet");
        let longest = |deadline: fn(&Deadlines) -> Duration| {
            rings.iter().map(|ring| deadline(&ring.settings.deadlines)).max().unwrap()
        };
        // Those who listen to one engine share its connections.
        let hubs: Vec<Hub> = engines.iter().cloned().map(Hub::new).collect();
        let ear = |number| Arc::new(Ear::new(number, &hubs[dice.index(hubs.len())], &dice));
        Self {
            ears: (0..dice.index(4)).map(ear).collect(),
            engines,
            patients: hosts.iter().cloned().map(Patient::new).collect(),
            callers: dice.index(4) + 2,
            sha: String::from_utf8(script_sha(script).to_vec()).unwrap(),
            recovery: rings.iter().map(Ring::recovery).max().unwrap(),
            narrow: narrow || settings.queue != QueueLimits::default(),
            forgets: settings.on_return == OnReturn::Forget,
            deadlines: Deadlines {
                connect: longest(|deadlines| deadlines.connect),
                reply: longest(|deadlines| deadlines.reply),
                write: longest(|deadlines| deadlines.write),
                wait: longest(|deadlines| deadlines.wait),
            },
            history: Mutex::new(History::new(rings[0].clone())),
            ledger: Mutex::new(Ledger::new(settings.retry.repeat_idempotent_writes)),
            tokens: AtomicU64::new(1),
            dice,
            trace,
        }
    }

    /// One of the engines.
    pub(crate) fn engine(&self) -> &Engine {
        &self.engines[self.dice.index(self.engines.len())]
    }

    pub(crate) fn patient(&self, name: &str) -> &Patient {
        self.patients.iter().find(|patient| patient.name() == name).expect("a host of this world")
    }

    pub(crate) fn history(&self) -> MutexGuard<'_, History> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
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
        let deadlines = &self.deadlines;
        let slack = Duration::from_millis(50);
        let rounds = u32::try_from(self.patients.len()).unwrap();
        match ask {
            // The same, and four replies, each after the last round of some shard.
            Ask::Watch(..) => {
                deadlines.connect
                    + deadlines.wait
                    + (deadlines.write + deadlines.reply + LAST_ROUND * rounds + slack) * 4
            }
            // It dials, or waits for its turn.
            Ask::Wait => deadlines.connect + deadlines.wait + deadlines.write + deadlines.reply + slack,
            _ => deadlines.reply + slack,
        }
    }

    /// The last fault is over: after a while the ring is what is well, and every key can be written and read.
    async fn recovered(&self) {
        sleep(self.recovery).await;
        self.trace.note(|| "the ring should have recovered".to_owned());
        for engine in &self.engines {
            let topology = engine.topology();
            let names: Vec<_> = topology.members().iter().map(|member| member.shard.name()).collect();
            let history = self.history();
            let wanted: Vec<_> = history.last().shards.iter().map(|shard| &*shard.name).collect();
            if names != wanted {
                self.trace.wrong(|| format!("the ring is of {names:?} and not of {wanted:?}"));
            }
            for member in topology.members() {
                let name = member.shard.name();
                if (member.standing == Standing::Serving) != self.patient(name).host.is_well() {
                    self.trace.wrong(|| format!("{name} is {:?} after {:?}", member.standing, self.recovery));
                }
            }
        }
        for caller in 0..self.callers {
            for index in 0..REGISTERS {
                let key = register(caller, index);
                let served = self.engines[0].shard_for(key.as_bytes()).is_ok();
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
        let members =
            self.engines.iter().flat_map(|engine| engine.topology().members().to_vec()).collect::<Vec<_>>();
        for member in &members {
            if member.shard.in_flight() > 0 {
                let count = member.shard.in_flight();
                self.trace.wrong(|| format!("{:?} has {count} requests in flight", member.shard));
            }
        }
        let World { engines, patients, trace, ledger, history, ears, narrow, .. } = self;
        let shards: Vec<_> = members.iter().map(|member| Arc::downgrade(&member.shard)).collect();
        let ears: Vec<Ear> = ears.into_iter().filter_map(Arc::into_inner).collect();
        let diaries: Vec<Diary> = ears.into_iter().map(Ear::end).collect();
        drop((engines, members));
        sleep(Duration::from_secs(2)).await;
        let connections: usize = patients.iter().map(|patient| patient.host.connections()).sum();
        let tasks = Handle::current().metrics().num_alive_tasks();
        let kept = shards.iter().filter(|shard| shard.upgrade().is_some()).count();
        if (connections, tasks, kept) != (0, 0, 0) {
            trace.wrong(|| format!("{connections} connections, {tasks} tasks and {kept} shards are left"));
        }
        let heard: usize = diaries.iter().map(Diary::heard).sum();
        let mut ledger = ledger.into_inner().unwrap_or_else(PoisonError::into_inner);
        ledger.summary.heard += u64::try_from(heard).unwrap();
        let applied: Vec<_> = patients.iter().flat_map(|patient| patient.host.applied()).collect();
        let history = history.into_inner().unwrap_or_else(PoisonError::into_inner);
        let faithful = |host: &str, channel: &str| {
            let patient = patients.iter().find(|patient| patient.name() == host);
            !narrow && patient.is_some_and(Patient::was_never_ill) && history.never_moved(channel, host)
        };
        // A message is heard twice in the instant in which a subscription moves to another connection to the same server.
        let moving = |host: &str, at: Instant| {
            let patient =
                patients.iter().find(|patient| patient.name() == host).expect("a host of this world");
            narrow || history.is_changing(at) || !patient.was_well(at - SILENCE, at + ON_ITS_WAY)
        };
        for wrong in diaries.iter().flat_map(|diary| diary.check(&applied, faithful, moving)) {
            trace.wrong(|| wrong);
        }
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

/// How long the last round of a shard may take that forgets.
const LAST_ROUND: Duration = Duration::from_millis(500);
