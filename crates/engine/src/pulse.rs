//! What traffic says about a shard's health, on its way to the monitor.

use std::sync::atomic::{AtomicU32, Ordering};

use tokio::sync::Notify;

/// Counts the connection-level failures of real requests in a row.
///
/// Wires report, the monitor listens. An answer costs one relaxed load; the counter is written only when there is
/// something to clear.
#[derive(Debug, Default)]
pub(crate) struct Pulse {
    failures: AtomicU32,
    changed: Notify,
}

impl Pulse {
    /// Bytes came from the server.
    pub(crate) fn answered(&self) {
        if self.failures.load(Ordering::Relaxed) != 0 {
            self.failures.store(0, Ordering::Relaxed);
        }
    }

    /// A connection failed, or could not be made, or did not answer in time, while requests were waiting for it.
    pub(crate) fn failed(&self) {
        self.failures.fetch_add(1, Ordering::Relaxed);
        self.changed.notify_one();
    }

    /// Failures since the last answer.
    pub(crate) fn failures(&self) -> u32 {
        self.failures.load(Ordering::Relaxed)
    }

    /// Waits for the next failure. Cancel safe.
    pub(crate) async fn next_failure(&self) {
        self.changed.notified().await;
    }
}
