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

    /// An attempt succeeded: the next wait is the shortest again.
    pub fn reset(&mut self) {
        self.step = self.shortest;
    }
}

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
}
