//! A clock for many who wait a moment, of whom nearly none has to wait to the end.
//!
//! A timer of the runtime's that is set to earlier than the others makes it write to itself, to wake the poller: one system
//! call for every client that waits. Here one timer serves all clients of a thread, and none runs while nobody waits.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio::time::sleep;

/// See the module. Its task ends with it.
#[derive(Debug)]
pub(crate) struct Ticker {
    clock: Arc<Clock>,
    task: AbortHandle,
}

#[derive(Debug, Default)]
struct Clock {
    /// How often it ticked.
    ticks: AtomicUsize,
    waiting: AtomicUsize,
    /// Somebody waits.
    wanted: Notify,
    /// Those who began to wait after an even tick, and after an odd one.
    turns: [Notify; 2],
}

impl Ticker {
    /// Starts it on the current runtime.
    pub(crate) fn start() -> Self {
        let clock = Arc::new(Clock::default());
        let task = tokio::spawn(run(Arc::clone(&clock))).abort_handle();
        Self { clock, task }
    }

    /// Waits for one to two times [`TICK`]. Cancel safe.
    pub(crate) async fn moment(&self) {
        let clock = &*self.clock;
        let _waiting = Waiting::begin(clock);
        // The tick after the next one: what remains of this one may be nothing.
        let [even, odd] = &clock.turns;
        let turn = if clock.ticks.load(Ordering::Relaxed).is_multiple_of(2) { even } else { odd };
        turn.notified().await;
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn run(clock: Arc<Clock>) {
    loop {
        while clock.waiting.load(Ordering::Relaxed) == 0 {
            clock.wanted.notified().await;
        }
        sleep(TICK).await;
        let ticks = clock.ticks.fetch_add(1, Ordering::Relaxed) + 1;
        let [even, odd] = &clock.turns;
        if ticks.is_multiple_of(2) { even } else { odd }.notify_waiters();
    }
}

/// Somebody who waits.
struct Waiting<'c>(&'c Clock);

impl<'c> Waiting<'c> {
    fn begin(clock: &'c Clock) -> Self {
        if clock.waiting.fetch_add(1, Ordering::Relaxed) == 0 {
            clock.wanted.notify_one();
        }
        Self(clock)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The time between two ticks.
pub(crate) const TICK: Duration = Duration::from_millis(2);

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_moment_is_one_to_two_ticks_whenever_it_begins() {
        let ticker = Ticker::start();
        for offset in [0, 300, 1_000, 1_900, 2_000, 7_777] {
            sleep(Duration::from_micros(offset)).await;
            // Somebody else keeps the clock going for a while.
            let other = ticker.moment();
            let began = Instant::now();
            let (_, took) = tokio::join!(other, async {
                ticker.moment().await;
                began.elapsed()
            });
            assert!(took >= TICK && took <= 2 * TICK + Duration::from_millis(1), "{took:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn it_rests_while_nobody_waits() {
        let ticker = Ticker::start();
        ticker.moment().await;
        sleep(Duration::from_secs(9)).await;
        let rested = ticker.clock.ticks.load(Ordering::Relaxed);
        sleep(Duration::from_secs(9)).await;
        assert_eq!(ticker.clock.ticks.load(Ordering::Relaxed), rested);
    }
}
