//! What happened in a run, in order, and what of it must not have.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

/// Everything that happened, in order. Cheap to clone; clones write into the same.
#[derive(Clone)]
pub(crate) struct Trace {
    seed: u64,
    began: Instant,
    written: Arc<Mutex<Written>>,
}

#[derive(Default)]
struct Written {
    events: Vec<String>,
    wrong: Vec<usize>,
}

impl Trace {
    pub(crate) fn new(seed: u64) -> Self {
        Self { seed, began: Instant::now(), written: Arc::default() }
    }

    pub(crate) fn note(&self, event: impl FnOnce() -> String) {
        let event = format!("{:>10.4} {}", self.began.elapsed().as_secs_f64(), event());
        self.lock().events.push(event);
    }

    /// Something must not happen, and did.
    pub(crate) fn wrong(&self, event: impl FnOnce() -> String) {
        self.note(|| format!("WRONG: {}", event()));
        let mut written = self.lock();
        let at = written.events.len() - 1;
        written.wrong.push(at);
    }

    /// All events; and what was wrong, with those before it.
    pub(crate) fn finish(self) -> (Vec<String>, Option<String>) {
        let written = std::mem::take(&mut *self.lock());
        let wrong = written.wrong.first().map(|first| {
            let mut text =
                format!("seed {}: {} wrongs, the first of them:\n", self.seed, written.wrong.len());
            for event in &written.events[first.saturating_sub(BEFORE)..=*first] {
                writeln!(text, "{}", event.chars().take(WIDTH).collect::<String>()).unwrap();
            }
            for more in written.wrong.iter().skip(1).take(5) {
                writeln!(text, "{}", written.events[*more]).unwrap();
            }
            text
        });
        (written.events, wrong)
    }

    fn lock(&self) -> MutexGuard<'_, Written> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How many events are shown before the first wrong one, and how much of each.
const BEFORE: usize = 60;
const WIDTH: usize = 300;
