//! Callers that use the ring as fast as it answers, and what they saw.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hdrhistogram::Histogram;
use rendis_core::request::RequestBuf;
use rendis_core::session::Sent;
use rendis_engine::engine::Engine;
use rendis_engine::error::{Error, Kind};
use rendis_engine::gather::Executed;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

/// What one group of callers saw in some span of time.
#[derive(Clone)]
pub(super) struct Seen {
    /// How long calls took, in microseconds; failed calls are counted too.
    took: Histogram<u64>,
    /// Reads that found nothing.
    pub(super) missed: u64,
    /// Calls that failed, by what was said of them.
    pub(super) errors: Vec<Errors>,
}

/// Calls that failed in the same way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Errors {
    pub(super) kind: Kind,
    pub(super) sent: Sent,
    pub(super) count: u64,
    /// The first of them, in words.
    pub(super) example: String,
}

/// What all callers saw, apart for keys that live on the shard that is killed and for all others.
#[derive(Clone, Default)]
pub(super) struct Tally {
    pub(super) struck: Seen,
    pub(super) spared: Seen,
}

/// The keys of the demonstration, and the shard of each while all are up.
pub(super) struct Keys {
    pub(super) names: Vec<String>,
    pub(super) homes: Vec<usize>,
    /// The shard that is killed.
    pub(super) victim: usize,
}

/// Callers at work. They end when this is dropped.
pub(super) struct Load {
    shared: Arc<Shared>,
    tasks: JoinSet<()>,
}

struct Shared {
    engine: Engine,
    keys: Arc<Keys>,
    tally: Mutex<Tally>,
    stopped: AtomicBool,
}

impl Load {
    /// Sets `tasks` callers to work: each reads or writes a key at random, waits for the answer, and goes on.
    pub(super) fn start(engine: Engine, keys: Arc<Keys>, tasks: usize) -> Self {
        let (tally, stopped) = (Mutex::default(), AtomicBool::new(false));
        let shared = Arc::new(Shared { engine, keys, tally, stopped });
        let mut all = JoinSet::new();
        for _ in 0..tasks {
            all.spawn(Arc::clone(&shared).call());
        }
        Self { shared, tasks: all }
    }

    /// What was seen since the last time.
    pub(super) fn drain(&self) -> Tally {
        std::mem::take(&mut *self.shared.tally())
    }

    /// Lets every caller finish its call, and gives what was seen since the last time. When a caller ended before it
    /// was told to, which is a fault of this program, the text of its end.
    pub(super) async fn finish(mut self) -> Result<Tally, String> {
        self.shared.stopped.store(true, Ordering::Relaxed);
        while let Some(ended) = self.tasks.join_next().await {
            ended.map_err(|error| error.to_string())?;
        }
        Ok(self.drain())
    }
}

impl Shared {
    fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn call(self: Arc<Self>) {
        let mut random = fastrand::Rng::new();
        while !self.stopped.load(Ordering::Relaxed) {
            let index = random.usize(..self.keys.names.len().max(1));
            let (Some(key), Some(home)) = (self.keys.names.get(index), self.keys.homes.get(index)) else {
                return;
            };
            let request = if random.bool() { get(key) } else { set(key) };
            let begun = Instant::now();
            let outcome = self.engine.run(&request).await;
            let took = begun.elapsed();
            let failed = {
                let mut tally = self.tally();
                let seen = if *home == self.keys.victim { &mut tally.struck } else { &mut tally.spared };
                seen.record(took, &outcome)
            };
            if failed {
                // As a caller with sense would.
                sleep(AFTER_ERROR).await;
            }
        }
    }
}

impl Seen {
    /// True when the call failed.
    fn record(&mut self, took: Duration, outcome: &Result<Executed, Error>) -> bool {
        self.took.saturating_record(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
        match outcome {
            Ok(Executed::Reply(reply)) if reply.is_error() => {
                let line = reply.frame().trim_ascii().escape_ascii();
                self.failed(Kind::Server, Sent::Maybe, 1, || line.to_string());
                true
            }
            Ok(Executed::Reply(reply)) => {
                self.missed += u64::from(reply.is_null());
                false
            }
            Ok(_) => false,
            Err(error) => {
                self.failed(error.kind(), error.sent(), 1, || error.to_string());
                true
            }
        }
    }

    fn failed(&mut self, kind: Kind, sent: Sent, count: u64, example: impl FnOnce() -> String) {
        match self.errors.iter_mut().find(|errors| errors.kind == kind && errors.sent == sent) {
            Some(errors) => errors.count += count,
            None => self.errors.push(Errors { kind, sent, count, example: example() }),
        }
    }

    /// Adds what another saw.
    pub(super) fn add(&mut self, other: &Self) {
        // Histograms of the same limits can always be added.
        let _ = self.took.add(&other.took);
        self.missed += other.missed;
        for errors in &other.errors {
            self.failed(errors.kind, errors.sent, errors.count, || errors.example.clone());
        }
    }

    /// How many calls there were.
    pub(super) fn calls(&self) -> u64 {
        self.took.len()
    }

    /// How many of them failed.
    pub(super) fn failures(&self) -> u64 {
        self.errors.iter().map(|errors| errors.count).sum()
    }

    /// The time within which this share of the calls was answered.
    pub(super) fn quantile(&self, share: f64) -> Duration {
        Duration::from_micros(self.took.value_at_quantile(share))
    }

    /// The longest call.
    pub(super) fn longest(&self) -> Duration {
        Duration::from_micros(self.took.max())
    }
}

impl Default for Seen {
    fn default() -> Self {
        #[expect(clippy::unwrap_used, reason = "the limits are constants, and good ones")]
        let took = Histogram::new_with_bounds(1, MOST_MICROS, 2).unwrap();
        Self { took, missed: 0, errors: Vec::new() }
    }
}

impl Tally {
    /// Adds another.
    pub(super) fn add(&mut self, other: &Self) {
        self.struck.add(&other.struck);
        self.spared.add(&other.spared);
    }

    /// How many calls failed.
    pub(super) fn failures(&self) -> u64 {
        self.struck.failures() + self.spared.failures()
    }

    /// All callers together.
    pub(super) fn all(&self) -> Seen {
        let mut all = self.struck.clone();
        all.add(&self.spared);
        all
    }
}

/// A request that writes a key.
pub(super) fn set(key: &str) -> RequestBuf {
    RequestBuf::pack([&b"SET"[..], key.as_bytes(), VALUE])
}

fn get(key: &str) -> RequestBuf {
    RequestBuf::pack([&b"GET"[..], key.as_bytes()])
}

const VALUE: &[u8] = &[b'x'; 64];
const AFTER_ERROR: Duration = Duration::from_millis(10);
/// One minute: longer than any call can take.
const MOST_MICROS: u64 = 60_000_000;

#[cfg(test)]
mod tests {
    use rendis_core::reply::Reply;

    use super::*;

    #[test]
    fn what_was_seen_is_counted_by_kind_and_adds_up() {
        let mut seen = Seen::default();
        let micros = Duration::from_micros;
        assert!(!seen.record(micros(100), &Ok(Executed::Reply(Reply::ok()))));
        assert!(!seen.record(micros(200), &Ok(Executed::Reply(Reply::null()))));
        for _ in 0..2 {
            assert!(seen.record(micros(5000), &Err(Error::local(Kind::ShardDown, "gone"))));
        }
        assert!(seen.record(micros(1), &Ok(Executed::Reply(Reply::error("OOM", "full")))));
        assert_eq!((seen.calls(), seen.missed, seen.failures()), (5, 1, 3));
        assert!(seen.longest() >= micros(5000) && seen.longest() < micros(5100));
        let mut sum = seen.clone();
        sum.add(&seen);
        assert_eq!((sum.calls(), sum.missed, sum.failures()), (10, 2, 6));
        assert_eq!(
            (sum.errors[0].kind, sum.errors[0].sent, sum.errors[0].count),
            (Kind::ShardDown, Sent::No, 4)
        );
        assert!(sum.errors[1].example.contains("full"), "{}", sum.errors[1].example);
    }

    #[test]
    fn a_call_of_any_length_is_counted() {
        let mut seen = Seen::default();
        seen.record(Duration::from_secs(3600), &Ok(Executed::Reply(Reply::ok())));
        seen.record(Duration::ZERO, &Ok(Executed::Reply(Reply::ok())));
        assert_eq!(seen.calls(), 2);
        assert!(seen.longest() >= Duration::from_secs(59));
    }
}
