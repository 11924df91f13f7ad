//! Waiting for what comes by itself, and failing the test where it does not.

use std::thread;
use std::time::{Duration, Instant};

/// Returns when it is so.
///
/// # Panics
/// When it is not within 10 s.
pub async fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let patience = Patience::new(what);
    while !is_so() {
        patience.check();
        tokio::time::sleep(PAUSE).await;
    }
}

/// [`eventually`] without a runtime.
///
/// # Panics
/// When it is not within 10 s.
pub fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let patience = Patience::new(what);
    while !is_so() {
        patience.check();
        thread::sleep(PAUSE);
    }
}

struct Patience<'w> {
    what: &'w str,
    begun: Instant,
}

impl<'w> Patience<'w> {
    fn new(what: &'w str) -> Self {
        Self { what, begun: Instant::now() }
    }

    fn check(&self) {
        assert!(self.begun.elapsed() < Duration::from_secs(10), "not within 10 s: {}", self.what);
    }
}

const PAUSE: Duration = Duration::from_millis(5);
