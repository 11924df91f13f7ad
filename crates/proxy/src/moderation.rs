//! How often a thread whose clients wait for shards looks for events.
//!
//! Events that are taken in together share what they cost: requests share a write to their shard, which works them off in
//! one go and answers in one write, and one wake-up of the thread does for all. Where shards have processors of their own,
//! a thread that looks at once finds one or two events at a time, and keeps the shards busy with waking up. So, as network
//! cards moderate their interrupts, a thread lets some time pass from one look to the next, the more the more clients
//! wait: what they wait for takes longer then anyway. The time that its work takes counts; a thread that has its hands
//! full does not rest at all, nor does one with few clients.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// One thread's. See the module.
#[derive(Debug, Default)]
pub(crate) struct Moderation {
    /// Clients of this thread that wait for a shard.
    waiting: AtomicU32,
}

/// A client waits for a shard, until this is dropped.
#[derive(Debug)]
pub(crate) struct Waits<'m>(&'m Moderation);

impl Moderation {
    pub(crate) fn waits(&self) -> Waits<'_> {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        Waits(self)
    }

    /// Has the thread of this runtime rest before it looks for events.
    pub(crate) fn moderate(self: &Arc<Self>, runtime: &mut tokio::runtime::Builder) {
        let (this, pace) = (Arc::clone(self), Mutex::new(Pace::default()));
        runtime.on_thread_park(move || {
            let waiting = this.waiting.load(Ordering::Relaxed);
            let rest = pace.lock().unwrap_or_else(PoisonError::into_inner).rest(waiting, Instant::now);
            if !rest.is_zero() {
                std::thread::sleep(rest);
            }
        });
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Lets this thread sleep for as short a time as is asked for: Linux makes it 50 µs more, to spare wake-ups.
pub(crate) fn sleep_exactly() {
    #[cfg(target_os = "linux")]
    let _ = rustix::thread::set_current_timer_slack(Some(std::num::NonZeroU64::MIN));
}

/// When a thread looks.
#[derive(Debug, Default)]
struct Pace {
    /// How much time lies between two looks. It grows at once, and shrinks slowly.
    between: Duration,
    last: Option<Instant>,
}

impl Pace {
    /// How long to rest before the next look, of a thread that has nothing more to do.
    fn rest(&mut self, waiting: u32, now: impl FnOnce() -> Instant) -> Duration {
        let faded = self.between - self.between / FADES;
        self.between = (EACH * waiting).min(BETWEEN_AT_MOST).max(faded);
        if waiting == 0 || self.between < REST_AT_LEAST {
            self.last = None;
            return Duration::ZERO;
        }
        let now = now();
        let due = self.last.map_or(now, |last| last + self.between);
        let rest = due.saturating_duration_since(now);
        let rest = if rest < REST_AT_LEAST { Duration::ZERO } else { rest };
        self.last = Some(now + rest);
        rest
    }
}

/// From one look to the next, for each client that waits, and at most. By Little's law the first is a share of the time that
/// a reply takes: 3 % of it at 10 000 requests a second. Measured before redis-benchmark, against a thread that does not
/// rest. Shards and generator on one processor and the proxy on the other: 20 clients 1.17 times the throughput at 0.87 of
/// the processor time, 50 clients 1.3 times at 0.75, 500 clients 1.4 times at 0.72. All on two processors as the kernel puts
/// them: 50 clients 1.1 times at 0.9. Shards and proxy on one processor: the same. 5 and 10 clients, and pipelines: the same
/// everywhere. With a limit of 60 µs half of it; with 200 µs the proxy rests too long where it shares its processor.
const EACH: Duration = Duration::from_micros(3);
const BETWEEN_AT_MOST: Duration = Duration::from_micros(150);

/// A shorter rest costs more than it saves.
const REST_AT_LEAST: Duration = Duration::from_micros(20);

/// At each look, this part of what lies between them goes.
const FADES: u32 = 64;

#[cfg(test)]
mod tests {
    use super::*;

    const MICROSECOND: Duration = Duration::from_micros(1);

    /// How long a thread rests that does nothing else, with so many clients waiting at each look.
    fn rests(waiting: impl IntoIterator<Item = u32>, work: Duration) -> Vec<u128> {
        let (mut pace, mut now) = (Pace::default(), Instant::now());
        let rest = |waiting| {
            now += work;
            let rest = pace.rest(waiting, || now);
            now += rest;
            rest.as_micros()
        };
        waiting.into_iter().map(rest).collect()
    }

    #[test]
    fn a_thread_rests_longer_the_more_clients_wait() {
        assert_eq!(rests([20; 3], MICROSECOND), [0, 59, 59]);
        assert_eq!(rests([40; 3], MICROSECOND), [0, 119, 119]);
        assert_eq!(rests([1000; 3], MICROSECOND), [0, 149, 149]);
    }

    #[test]
    fn few_clients_wait_for_nothing() {
        assert_eq!(rests([6; 3], MICROSECOND), [0; 3]);
        assert_eq!(rests([0, 50, 0, 0], MICROSECOND), [0; 4]);
    }

    #[test]
    fn work_is_no_rest() {
        assert_eq!(rests([20; 3], 30 * MICROSECOND), [0, 30, 30]);
        assert_eq!(rests([20; 3], 41 * MICROSECOND), [0; 3]);
        assert_eq!(rests([20; 3], 400 * MICROSECOND), [0; 3]);
    }

    #[test]
    fn who_waited_a_moment_ago_counts_and_is_forgotten() {
        let rests = rests([50, 10, 10].into_iter().chain([10; 200]), MICROSECOND);
        assert_eq!(rests[..3], [0, 146, 144]);
        assert_eq!(rests.last(), Some(&29));
    }

    /// A thread that is woken again and again, while clients wait, looks only so often.
    #[test]
    fn a_moderated_thread_rests() {
        const TIMES: u32 = 100;
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let moderation = Arc::new(Moderation::default());
        moderation.moderate(&mut runtime);
        let runtime = runtime.build().unwrap();
        let begun = Instant::now();
        runtime.block_on(async {
            let _clients: Vec<Waits<'_>> = (0..50).map(|_| moderation.waits()).collect();
            for _ in 0..TIMES {
                tokio::task::spawn_blocking(|| {}).await.unwrap();
            }
        });
        // Some may be done before they are waited for.
        let least = TIMES / 2 * (BETWEEN_AT_MOST - REST_AT_LEAST);
        assert!(begun.elapsed() >= least, "{:?}", begun.elapsed());
        assert_eq!(moderation.waiting.load(Ordering::Relaxed), 0);
    }
}
