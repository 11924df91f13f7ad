//! What traffic says about a shard's health, on its way to the monitor.

use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

use crate::error::{Cause, Kind};
use crate::times::Times;

/// The connection-level failures of real requests in a row, and who waits for the server. The wires of all engines of a
/// ring report to one, which stays when the server is connected to in another way; another server under the shard's name
/// has one of its own, for what calls still wait for at the one before says nothing of it.
///
/// Wires report, the monitor listens. An answer costs one relaxed load; the counter is written only when there is
/// something to clear.
#[derive(Debug, Default)]
pub(crate) struct Pulse {
    tally: Arc<Tally>,
    failures: AtomicU32,
    /// What went wrong last, for people.
    trouble: Mutex<Option<Arc<Cause>>>,
    changed: Notify,
    /// An answer said that the server cannot serve now.
    doubted: Notify,
    /// How many connections of wires were made, and who waits for the next.
    connects: AtomicU64,
    connected: Notify,
    /// Calls that wait for the shard to be out of use, or connected again.
    awaiting: AtomicUsize,
    /// How often calls began to wait so, and who is told.
    hurries: AtomicU64,
    hurried: Notify,
}

/// What is counted of a shard for who wants to know, whichever servers have its name.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    replies: Times,
    sent: AtomicU64,
    received: AtomicU64,
    errors: [AtomicU64; Kind::ALL.len()],
    probes: Times,
    health_changes: AtomicU64,
}

impl Pulse {
    /// That of the server which has the shard's name after the one of this pulse.
    pub(crate) fn successor(&self) -> Self {
        Self { tally: Arc::clone(&self.tally), ..Self::default() }
    }

    /// What is counted of the shard.
    pub(crate) fn tally(&self) -> &Tally {
        &self.tally
    }

    /// A wire has a connection.
    pub(crate) fn connected(&self) {
        self.connects.fetch_add(1, Ordering::AcqRel);
        self.connected.notify_waiters();
    }

    /// How many connections of wires were made.
    pub(crate) fn connects(&self) -> u64 {
        self.connects.load(Ordering::Acquire)
    }

    /// Returns when more connections were made than these. Cancel safe.
    pub(crate) async fn connected_after(&self, connects: u64) {
        changed(&self.connected, || self.connects() > connects).await;
    }

    /// A call waits, from now on until this is dropped, for the shard to be out of use or connected again. The first one
    /// hurries the wires that rest.
    pub(crate) fn awaits(&self) -> Awaiting<'_> {
        if self.awaiting.fetch_add(1, Ordering::AcqRel) == 0 {
            self.hurries.fetch_add(1, Ordering::AcqRel);
            self.hurried.notify_waiters();
        }
        Awaiting(&self.awaiting)
    }

    /// Whether calls wait for the shard to be out of use or connected again.
    pub(crate) fn is_awaited(&self) -> bool {
        self.awaiting.load(Ordering::Acquire) > 0
    }

    /// How often calls began to wait so.
    pub(crate) fn hurries(&self) -> u64 {
        self.hurries.load(Ordering::Acquire)
    }

    /// Returns when calls have begun to wait more often than so. Cancel safe.
    pub(crate) async fn hurried_after(&self, hurries: u64) {
        changed(&self.hurried, || self.hurries() > hurries).await;
    }

    /// Bytes came from the server.
    pub(crate) fn answered(&self) {
        if self.failures.load(Ordering::Relaxed) != 0 {
            self.failures.store(0, Ordering::Relaxed);
        }
    }

    /// A connection failed, or could not be made, or did not answer in time, while requests were waiting for it.
    pub(crate) fn failed(&self, cause: &Arc<Cause>) {
        self.noticed(cause);
        self.failures.fetch_add(1, Ordering::Relaxed);
        self.changed.notify_one();
    }

    /// The server answered that it cannot serve now (`LOADING`): the next probe comes soon.
    pub(crate) fn doubt(&self) {
        self.doubted.notify_one();
    }

    /// Waits for the next doubt. Cancel safe.
    pub(crate) async fn next_doubt(&self) {
        self.doubted.notified().await;
    }

    /// Something went wrong, which the monitor knows already.
    pub(crate) fn noticed(&self, cause: &Arc<Cause>) {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(cause));
    }

    /// What went wrong last.
    pub(crate) fn trouble(&self) -> Option<Arc<Cause>> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
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

impl Tally {
    /// How long it took from writing a batch of requests until the last of them was answered, for one batch after the other
    /// on each wire.
    pub(crate) const fn replies(&self) -> &Times {
        &self.replies
    }

    /// Bytes went to the server over a wire.
    pub(crate) fn sent(&self, bytes: usize) {
        self.sent.fetch_add(u64::try_from(bytes).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Bytes came from the server over a wire.
    pub(crate) fn received(&self, bytes: usize) {
        self.received.fetch_add(u64::try_from(bytes).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Bytes sent and received over wires.
    pub(crate) fn bytes(&self) -> (u64, u64) {
        (self.sent.load(Ordering::Relaxed), self.received.load(Ordering::Relaxed))
    }

    /// A call ended with an error.
    pub(crate) fn error(&self, kind: Kind) {
        if let Some(count) = self.errors.get(kind.index()) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Errors by kind.
    pub(crate) fn errors(&self) -> impl Iterator<Item = (Kind, u64)> + '_ {
        Kind::ALL.iter().zip(&self.errors).map(|(kind, count)| (*kind, count.load(Ordering::Relaxed)))
    }

    /// How long probes took, those that failed counted.
    pub(crate) const fn probes(&self) -> &Times {
        &self.probes
    }

    /// The shard fell or rose.
    pub(crate) fn health_changed(&self) {
        self.health_changes.fetch_add(1, Ordering::Relaxed);
    }

    /// How often it fell or rose.
    pub(crate) fn health_changes(&self) -> u64 {
        self.health_changes.load(Ordering::Relaxed)
    }
}

/// Returns when it is so, which whoever makes it so tells. Cancel safe.
async fn changed(told: &Notify, is_so: impl Fn() -> bool) {
    loop {
        // Made before looking, so that nothing is missed.
        let told = told.notified();
        if is_so() {
            return;
        }
        told.await;
    }
}

/// See [`Pulse::awaits`].
pub(crate) struct Awaiting<'p>(&'p AtomicUsize);

impl Drop for Awaiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}
