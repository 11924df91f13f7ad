//! Lines of the log that clients can cause as often as they like: one a second, and how many there were in between.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// See the module; one for each kind of line.
#[derive(Debug, Default)]
pub(crate) struct Throttle(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    last: Option<Instant>,
    passed_over: u64,
}

impl Throttle {
    /// Whether there is to be a line now: then it gives how many were passed over since the last.
    pub(crate) fn next(&self, now: Instant) -> Option<u64> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.last.is_some_and(|last| now.saturating_duration_since(last) < BETWEEN) {
            state.passed_over += 1;
            return None;
        }
        state.last = Some(now);
        Some(std::mem::take(&mut state.passed_over))
    }
}

/// The time from one line to the next, at least.
const BETWEEN: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_one_line_a_second_that_says_how_many_there_were() {
        let (throttle, begun) = (Throttle::default(), Instant::now());
        let lines = (0..1000).filter_map(|at| throttle.next(begun + Duration::from_millis(at * 10)));
        assert_eq!(lines.collect::<Vec<_>>(), [0, 99, 99, 99, 99, 99, 99, 99, 99, 99]);
        assert_eq!(throttle.next(begun + Duration::from_secs(60)), Some(99));
        assert_eq!(throttle.next(begun + Duration::from_secs(61)), Some(0));
    }
}
