//! What all clients of one ring share: on all threads, and on one.

use std::hash::{BuildHasher as _, Hasher as _};
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use arc_swap::{ArcSwap, ArcSwapOption};
use rendis_engine::batch::Batch;
use rendis_engine::coordinator::Coordinator;
use rendis_engine::engine::Engine;
use rendis_engine::pubsub::Hub;
use rendis_engine::settings::Protocol;

use crate::access::Access;
use crate::clients::Clients;
use crate::config::{self, OnLost, ServerTls, Shown};
use crate::memory::Memory;
use crate::moderation::Moderation;
use crate::stats::Stats;
use crate::stop::Stop;
use crate::throttle::Throttle;
use crate::ticker::Ticker;

/// What all threads of the process share for one ring.
#[derive(Debug)]
pub(crate) struct Shared {
    /// The ring's name.
    pub(crate) name: String,
    /// Forty hexadecimal digits that no other start has.
    pub(crate) run_id: String,
    pub(crate) clients: Arc<Clients>,
    /// What the engines of all threads have in common.
    pub(crate) coordinator: Arc<Coordinator>,
    /// Clients that are connected now, and ever.
    pub(crate) connected: AtomicUsize,
    pub(crate) accepted: AtomicU64,
    /// Clients that were one too many.
    pub(crate) turned_away: AtomicU64,
    /// The log was told of them, and there have not been far fewer clients since.
    pub(crate) is_full: AtomicBool,
    pub(crate) full_lines: Throttle,
    /// Logins with a wrong name or password.
    pub(crate) failed_logins: AtomicU64,
    pub(crate) failed_login_lines: Throttle,
    /// Requests that their users may not make.
    pub(crate) denied: AtomicU64,
    /// How many there may be: as many as are configured, or as there is room for.
    pub(crate) max_clients: AtomicUsize,
    pub(crate) memory: Arc<Memory>,
    pub(crate) started: Instant,
    /// The port that `INFO` names; 0 where the ring listens on sockets alone.
    pub(crate) port: AtomicU16,
    /// What a reload changes as a whole.
    pub(crate) rules: ArcSwap<Rules>,
    /// How often that was. Clients compare it with what they know before each batch of requests.
    epoch: AtomicU64,
    /// What clients that speak TLS are met with.
    pub(crate) tls: ArcSwapOption<Shown>,
    threads: Mutex<Vec<ThreadRing>>,
}

/// A ring on one thread, as others see it.
#[derive(Clone, Debug)]
pub(crate) struct ThreadRing {
    pub(crate) engine: Engine,
    pub(crate) stats: Arc<Stats>,
    /// The same on all threads.
    hub: Hub,
}

/// What the configuration says of what clients may do.
#[derive(Debug)]
pub(crate) struct Rules {
    /// The users.
    pub(crate) access: Arc<Access>,
    /// What a client is told of a command that its shard did not answer.
    pub(crate) on_lost: OnLost,
}

impl Rules {
    pub(crate) fn new(ring: &config::Ring) -> Self {
        Self { access: Arc::new(Access::new(&ring.users)), on_lost: ring.on_lost }
    }
}

impl Shared {
    /// # Errors
    /// What cannot be used, in words.
    pub(crate) fn new(ring: &config::Ring) -> Result<Self, String> {
        Ok(Self {
            name: ring.name.clone(),
            run_id: run_id(),
            clients: Arc::default(),
            coordinator: Arc::new(Coordinator::named(&ring.name)),
            connected: AtomicUsize::new(0),
            accepted: AtomicU64::new(0),
            turned_away: AtomicU64::new(0),
            is_full: AtomicBool::new(false),
            full_lines: Throttle::default(),
            failed_logins: AtomicU64::new(0),
            failed_login_lines: Throttle::default(),
            denied: AtomicU64::new(0),
            max_clients: AtomicUsize::new(ring.max_clients),
            memory: Arc::new(Memory::new(ring.client_memory)),
            started: Instant::now(),
            port: AtomicU16::new(0),
            rules: ArcSwap::from_pointee(Rules::new(ring)),
            epoch: AtomicU64::new(0),
            tls: ArcSwapOption::new(ring.tls.as_ref().map(ServerTls::shown).transpose()?.map(Arc::new)),
            threads: Mutex::new(Vec::new()),
        })
    }

    /// What a reload changes.
    pub(crate) fn apply(&self, ring: &config::Ring, rules: Rules, tls: Option<Shown>) {
        self.memory.limit(ring.client_memory);
        self.rules.store(Arc::new(rules));
        self.epoch.fetch_add(1, Ordering::Release);
        self.tls.store(tls.map(Arc::new));
    }

    /// How often the rules were changed. Whoever reads this first and then the rules has these or newer ones.
    #[inline]
    pub(crate) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    /// One more thread serves the ring. All of them have the hub of the first, so that a channel is subscribed to once,
    /// on whichever thread its listeners are.
    fn join(&self, engine: &Engine, stats: &Arc<Stats>) -> Hub {
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        let hub = threads.first().map_or_else(|| Hub::new(engine.clone()), |thread| thread.hub.clone());
        threads.push(ThreadRing { engine: engine.clone(), stats: Arc::clone(stats), hub: hub.clone() });
        hub
    }

    /// The ring on each thread.
    pub(crate) fn threads(&self) -> Vec<ThreadRing> {
        self.threads.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many clients wait on a server for what others do.
    pub(crate) fn blocked(&self) -> usize {
        let threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        threads.iter().map(|thread| thread.stats.blocked.load(Ordering::Relaxed)).sum()
    }

    /// The threads let go of the ring.
    pub(crate) fn disband(&self) {
        self.threads.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// What all clients of one ring on one thread share.
pub(crate) struct Context {
    pub(crate) shared: Arc<Shared>,
    /// Calls in RESP2, and in RESP3 for the clients that speak it.
    resp2: Engine,
    resp3: Engine,
    pub(crate) hub: Hub,
    pub(crate) stats: Arc<Stats>,
    pub(crate) stop: Stop,
    pub(crate) ticker: Ticker,
    pub(crate) moderation: Arc<Moderation>,
    /// Those that nobody uses.
    #[expect(clippy::vec_box, reason = "they move from here to their clients and back")]
    scratches: Mutex<Vec<Box<Scratch>>>,
}

/// What a client needs only while requests of its own are under way.
#[derive(Default)]
pub(crate) struct Scratch {
    pub(crate) batch: Batch,
    /// Memory for replies.
    pub(crate) bytes: Vec<u8>,
}

impl Context {
    /// `moderation` is the thread's.
    pub(crate) fn new(shared: Arc<Shared>, engine: &Engine, moderation: Arc<Moderation>) -> Self {
        let stats = Arc::new(Stats::default());
        let hub = shared.join(engine, &stats);
        Self {
            shared,
            resp2: engine.speaking(Protocol::Resp2),
            resp3: engine.speaking(Protocol::Newest),
            hub,
            stats,
            stop: Stop::default(),
            ticker: Ticker::start(),
            moderation,
            scratches: Mutex::default(),
        }
    }

    /// A scratch to work with.
    pub(crate) fn scratch(&self) -> Box<Scratch> {
        self.scratches.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default()
    }

    /// Takes a scratch back.
    pub(crate) fn leave(&self, mut scratch: Box<Scratch>) {
        scratch.batch.clear();
        scratch.bytes.clear();
        scratch.bytes.shrink_to(KEEP_AT_MOST);
        let mut scratches = self.scratches.lock().unwrap_or_else(PoisonError::into_inner);
        if scratches.len() < KEEP_SCRATCHES {
            scratches.push(scratch);
        }
    }

    /// The version of Redis that clients are told, so that they know what they can ask for: the oldest of the ring's shards.
    pub(crate) fn redis_version(&self) -> String {
        let topology = self.resp2.topology();
        let versions = topology.members().iter().filter_map(|member| member.shard.version());
        versions.min().map_or_else(|| UNHEARD.to_owned(), |version| version.to_string())
    }

    /// The engine as a client of this protocol uses it.
    pub(crate) const fn engine(&self, resp3: bool) -> &Engine {
        if resp3 { &self.resp3 } else { &self.resp2 }
    }
}

/// What clients are told where no shard has said which version it is.
const UNHEARD: &str = "7.0.15";

/// How many scratches are kept, and how much memory for replies with each.
const KEEP_SCRATCHES: usize = 256;
const KEEP_AT_MOST: usize = 16 << 10;

fn run_id() -> String {
    let draw = || std::collections::hash_map::RandomState::new().build_hasher().finish();
    let digits = format!("{:016x}{:016x}{:016x}", draw(), draw(), draw());
    digits.chars().take(40).collect()
}
