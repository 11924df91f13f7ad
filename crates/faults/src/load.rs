//! The load: a closed loop of many callers, each with a pause between its calls or without, and what they saw.
//!
//! Some callers keep to the keys of one shard, so that what callers of a healthy shard notice can be told from what
//! those of a broken one do; the others use all keys.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use redis::{Cmd, FromRedisValue, RedisError, cmd};
use rendis::{Error, Kind, Sent};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until, timeout};

use crate::model::{Model, Wrote};
use crate::system::Caller;

/// What is asked of the system.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    /// Callers that keep to one shard, for each shard.
    pub(crate) pinned: usize,
    /// Callers that use all keys.
    pub(crate) mixed: usize,
    /// From the beginning of a call to the beginning of the caller's next, when it is answered by then.
    pub(crate) pace: Duration,
    /// Whether each call is kept, or only counted.
    pub(crate) keep: bool,
}

/// A load at work.
pub(crate) struct Load {
    shared: Arc<Shared>,
    callers: Vec<JoinHandle<Vec<Call>>>,
}

struct Shared {
    model: Arc<Model>,
    began: Instant,
    stop: AtomicBool,
    calls: AtomicU64,
    lost: AtomicU64,
    longest: AtomicU64,
    keep: bool,
    pace: Duration,
    errors: Mutex<BTreeMap<String, u64>>,
}

/// One call, as its caller saw it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call {
    /// When it began.
    pub(crate) at: Instant,
    pub(crate) took: Duration,
    /// The shard to which its caller keeps.
    pub(crate) shard: Option<usize>,
    pub(crate) failed: bool,
}

/// What a load came to.
pub(crate) struct Outcome {
    pub(crate) calls: Vec<Call>,
    /// By kind and what is known of the sending.
    pub(crate) errors: BTreeMap<String, u64>,
    /// Calls without an answer in [`LOST`], and callers that never ended.
    pub(crate) lost: u64,
}

/// Far more than any deadline: what has no answer by then has none.
pub(crate) const LOST: Duration = Duration::from_secs(10);

impl Load {
    /// Starts it; `callers` gives each its connection.
    pub(crate) fn start(shape: Shape, model: &Arc<Model>, shards: usize, callers: Vec<Caller>) -> Self {
        let shared = Arc::new(Shared {
            model: Arc::clone(model),
            began: Instant::now(),
            stop: AtomicBool::new(false),
            calls: AtomicU64::new(0),
            lost: AtomicU64::new(0),
            longest: AtomicU64::new(0),
            keep: shape.keep,
            pace: shape.pace,
            errors: Mutex::default(),
        });
        let count = callers.len();
        let callers = callers.into_iter().enumerate().map(|(at, caller)| {
            let shard = (at < shape.pinned * shards).then_some(at % shards);
            tokio::spawn(Arc::clone(&shared).work(caller, at, count, shard))
        });
        Self { callers: callers.collect(), shared }
    }

    /// Calls so far.
    pub(crate) fn calls(&self) -> u64 {
        self.shared.calls.load(Ordering::Relaxed)
    }

    /// The longest call since this was last asked.
    pub(crate) fn longest(&self) -> Duration {
        Duration::from_micros(self.shared.longest.swap(0, Ordering::Relaxed))
    }

    /// Ends it when each caller has the answer to its last call.
    pub(crate) async fn stop(self) -> Outcome {
        self.shared.stop.store(true, Ordering::Relaxed);
        let mut calls = Vec::new();
        let mut lost = 0;
        for mut caller in self.callers {
            match timeout(LOST * 2, &mut caller).await {
                Ok(Ok(made)) => calls.extend(made),
                Ok(Err(error)) => panic!("a caller panicked: {error}"),
                Err(_) => {
                    caller.abort();
                    lost += 1;
                }
            }
        }
        lost += self.shared.lost.load(Ordering::Relaxed);
        let errors = self.shared.errors.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Outcome { calls, errors, lost }
    }
}

impl Shared {
    async fn work(
        self: Arc<Self>,
        mut caller: Caller,
        number: usize,
        of: usize,
        shard: Option<usize>,
    ) -> Vec<Call> {
        let here = |home: usize| shard.is_none_or(|shard| shard == home);
        let model = &self.model;
        let readable: Vec<_> = model.keys.iter().filter(|key| here(key.home)).collect();
        // One writer a key, who may be a caller of any kind: callers of a shard write keys of that shard.
        let mine = model.keys.iter().enumerate().filter(|(at, _)| at % of == number);
        let mut mine: Vec<_> = mine.map(|(_, key)| key).collect();
        mine.retain(|key| here(key.home));
        let counters: Vec<_> = model.counters.iter().filter(|counter| here(counter.home)).collect();
        let mut random = fastrand::Rng::with_seed(u64::try_from(number).unwrap_or(0));
        let mut calls = Vec::new();
        let mut next = self.began + self.pace.mul_f64(random.f64());
        while !self.stop.load(Ordering::Relaxed) {
            if !self.pace.is_zero() {
                sleep_until(next).await;
            }
            let at = Instant::now();
            next = (next + self.pace).max(at);
            let error = match random.u8(0..100) {
                0..25 if !mine.is_empty() => {
                    let key = mine[random.usize(0..mine.len())];
                    let (version, value) = key.next();
                    let answer = self.ask::<()>(&mut caller, cmd("SET").arg(&key.name).arg(value)).await;
                    key.wrote(version, outcome(&answer));
                    answer.err()
                }
                0..40 => {
                    let counter = counters[random.usize(0..counters.len())];
                    counter.start();
                    let answer = self.ask(&mut caller, cmd("INCR").arg(&counter.name)).await;
                    counter.wrote(outcome(&answer));
                    answer.map(|value| model.counted(counter, value)).err()
                }
                40..50 => {
                    let four: [_; 4] = std::array::from_fn(|_| readable[random.usize(0..readable.len())]);
                    let floors = four.map(|key| key.floor());
                    let mut mget = cmd("MGET");
                    four.iter().for_each(|key| _ = mget.arg(&key.name));
                    let answer = self.ask::<Vec<Option<String>>>(&mut caller, &mget).await;
                    if let Ok(values) = &answer {
                        if values.len() != 4 {
                            model.say_wrong(format!("MGET of 4 keys gave {} values", values.len()));
                        }
                        for ((key, floor), value) in four.into_iter().zip(floors).zip(values) {
                            model.read(key, floor, value.as_deref());
                        }
                    }
                    answer.err()
                }
                _ => {
                    let key = readable[random.usize(0..readable.len())];
                    let floor = key.floor();
                    let answer = self.ask::<Option<String>>(&mut caller, cmd("GET").arg(&key.name)).await;
                    answer.map(|value| model.read(key, floor, value.as_deref())).err()
                }
            };
            let took = at.elapsed();
            self.calls.fetch_add(1, Ordering::Relaxed);
            self.longest.fetch_max(u64::try_from(took.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
            if let Some(failed) = &error {
                let mut errors = self.errors.lock().unwrap_or_else(PoisonError::into_inner);
                *errors.entry(failed.label.clone()).or_default() += 1;
            }
            if self.keep {
                calls.push(Call { at, took, shard, failed: error.is_some() });
            } else if error.is_some() {
                // A closed loop without a pause would spin on errors that come at once.
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
        calls
    }

    async fn ask<T: FromRedisValue>(&self, caller: &mut Caller, cmd: &Cmd) -> Result<T, Failed> {
        match timeout(LOST, caller.query(cmd)).await {
            Ok(answer) => answer.map_err(|error| Failed::of(&error)),
            Err(_) => {
                self.lost.fetch_add(1, Ordering::Relaxed);
                Err(Failed { label: "no reply".to_owned(), ran: Wrote::Unknown })
            }
        }
    }
}

/// A call that failed.
struct Failed {
    label: String,
    /// What is known of a write.
    ran: Wrote,
}

fn outcome<T>(answer: &Result<T, Failed>) -> Wrote {
    answer.as_ref().map_or_else(|failed| failed.ran, |_| Wrote::Acknowledged)
}

impl Failed {
    /// From the library's error, or from the error reply that the proxy sends for it.
    fn of(error: &RedisError) -> Self {
        let sent = |kind: &str, sent| match sent {
            Sent::No => Self { label: format!("{kind}, not sent"), ran: Wrote::NotAtAll },
            Sent::Maybe => Self { label: format!("{kind}, maybe"), ran: Wrote::Unknown },
        };
        if let Some(error) = Error::of(error) {
            return match error.kind() {
                Kind::Server => Self::of_server(error.text()),
                kind => sent(&format!("{kind:?}"), error.sent()),
            };
        }
        let (Some(code), detail) = (error.code(), error.detail().unwrap_or_default()) else {
            return Self { label: "connection lost".to_owned(), ran: Wrote::Unknown };
        };
        let kind = match code {
            "SHARDDOWN" => "ShardDown",
            "TIMEOUT" => "Timeout",
            "SHARDAUTH" => "Auth",
            "PROTOCOL" => "Protocol",
            code => code,
        };
        if detail.ends_with("; not executed") {
            sent(kind, Sent::No)
        } else if detail.ends_with("; may have been executed") {
            sent(kind, Sent::Maybe)
        } else {
            Self::of_server(code)
        }
    }

    /// The server's own error reply. Those of the faults here are refusals: nothing ran.
    fn of_server(text: &str) -> Self {
        let code = text.split(' ').next().unwrap_or_default();
        Self { label: format!("server's {code}"), ran: Wrote::NotAtAll }
    }
}
