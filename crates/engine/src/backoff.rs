//! How long to wait before the next attempt to connect.

use std::time::Duration;

/// Exponential backoff with jitter: each wait is between half of the step and the whole, the step doubles up to the
/// longest. (Half is kept so that a refused connection never turns into a busy loop.)
#[derive(Clone, Debug)]
pub struct Backoff {
    shortest: Duration,
    longest: Duration,
    step: Duration,
}

impl Backoff {
    /// Starts at `shortest`.
    #[must_use]
    pub const fn new(shortest: Duration, longest: Duration) -> Self {
        Self { shortest, longest, step: shortest }
    }

    /// The next wait.
    pub fn wait(&mut self) -> Duration {
        let step = self.step;
        self.step = (step * 2).min(self.longest);
        step.mul_f64(0.5 + fastrand::f64() / 2.0)
    }

    /// The next wait is the shortest again.
    pub const fn reset(&mut self) {
        self.step = self.shortest;
    }

    /// The wait after a connection that stood for so long; `None` where the next attempt is made at once, which is the usual
    /// case: a server was restarted, or closed an idle connection. One that was lost soon is taken for a server that
    /// accepts and hangs up.
    pub fn after(&mut self, stood: Duration) -> Option<Duration> {
        if stood < SHORT_LIFE {
            return Some(self.wait());
        }
        self.reset();
        None
    }
}

/// A connection that was lost sooner was lost soon.
const SHORT_LIFE: Duration = Duration::from_millis(250);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_the_longest_and_never_vanish() {
        let millis = Duration::from_millis;
        let mut backoff = Backoff::new(millis(10), millis(80));
        for expected in [10, 20, 40, 80, 80, 80] {
            let wait = backoff.wait();
            assert!(wait >= millis(expected) / 2 && wait <= millis(expected), "{wait:?}");
        }
        backoff.reset();
        assert!(backoff.wait() <= millis(10));
    }

    #[test]
    fn after_a_connection_that_stood_for_a_while_there_is_no_wait() {
        let mut backoff = Backoff::new(Duration::from_millis(10), Duration::from_secs(1));
        assert!((0..5).all(|_| backoff.after(SHORT_LIFE / 2).is_some()));
        assert_eq!(backoff.after(SHORT_LIFE), None);
        assert!(backoff.after(Duration::ZERO).is_some_and(|wait| wait <= Duration::from_millis(10)));
    }
}
