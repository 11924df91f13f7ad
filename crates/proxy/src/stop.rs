//! How the clients of a ring learn that it ends.
//!
//! ```text
//!   Serving ──drain()──► Draining ──end()──► Over
//!             idle clients leave,   the rest is cut off,
//!             the others finish     and answers what it owes with -SHUTDOWN
//! ```
//! There is one of these for each ring and thread. A client's task registers itself once for each phase, so that waiting
//! for the next request costs one relaxed load more than it would without.

use std::pin::pin;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::Poll;

use tokio::sync::Notify;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Stop {
    phase: AtomicU8,
    told: Notify,
}

impl Stop {
    /// Lets idle clients leave, and the others when they are idle.
    pub(crate) fn drain(&self) {
        self.phase.fetch_max(DRAINING, Ordering::Release);
        self.told.notify_waiters();
    }

    /// Cuts the others off.
    pub(crate) fn end(&self) {
        self.phase.store(OVER, Ordering::Release);
        self.told.notify_waiters();
    }

    /// Whether a client that is idle should leave.
    pub(crate) fn is_draining(&self) -> bool {
        self.phase.load(Ordering::Relaxed) != SERVING
    }

    /// Waits until clients that are idle should leave: for what waits long, and may do so for nothing. Cancel safe.
    pub(crate) async fn draining(&self) {
        loop {
            let told = self.told.notified();
            if self.is_draining() {
                return;
            }
            told.await;
        }
    }

    /// Runs a client until it ends or is cut off, which is `None`. Must be what a task as a whole does: it is woken by
    /// the waker of its first poll.
    pub(crate) async fn cut<F: Future>(&self, client: F) -> Option<F::Output> {
        let mut client = pin!(client);
        let mut told = pin!(self.told.notified());
        let mut registered = None;
        std::future::poll_fn(|context| {
            loop {
                let phase = self.phase.load(Ordering::Acquire);
                if phase == OVER {
                    return Poll::Ready(None);
                }
                if registered == Some(phase) {
                    break;
                }
                // The phase is looked at again once this is registered, so no change of it is missed.
                registered = Some(phase);
                told.set(self.told.notified());
                let _ = told.as_mut().poll(context);
            }
            client.as_mut().poll(context).map(Some)
        })
        .await
    }

    /// Waits for a client's next bytes, or until it should leave, which is `None`; what is there already comes first.
    /// Only within [`Stop::cut`], which wakes it.
    pub(crate) async fn unless_draining<F: Future>(&self, read: F) -> Option<F::Output> {
        let mut read = pin!(read);
        std::future::poll_fn(|context| match read.as_mut().poll(context) {
            Poll::Ready(read) => Poll::Ready(Some(read)),
            Poll::Pending if self.is_draining() => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        })
        .await
    }
}

const SERVING: u8 = 0;
const DRAINING: u8 = 1;
const OVER: u8 = 2;

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::sync::oneshot;

    use super::*;

    /// A client that reads until `stop` says that it should leave, and then works until it is told.
    fn client(
        stop: &Arc<Stop>,
        work: oneshot::Receiver<()>,
    ) -> tokio::task::JoinHandle<Option<&'static str>> {
        let stop = Arc::clone(stop);
        tokio::spawn(async move {
            let read = std::future::pending::<()>();
            let inner = Arc::clone(&stop);
            stop.cut(async move {
                assert!(inner.unless_draining(read).await.is_none());
                let _ = work.await;
                "done"
            })
            .await
        })
    }

    #[tokio::test]
    async fn an_idle_client_leaves_and_a_busy_one_finishes_or_is_cut_off() {
        let stop = Arc::new(Stop::default());
        let (finish, work) = oneshot::channel();
        let (_never, long_work) = oneshot::channel();
        let (finishing, cut_off) = (client(&stop, work), client(&stop, long_work));
        tokio::task::yield_now().await;
        assert!(!finishing.is_finished() && !stop.is_draining());
        stop.drain();
        stop.draining().await;
        finish.send(()).unwrap();
        assert_eq!(finishing.await.unwrap(), Some("done"));
        assert!(!cut_off.is_finished());
        stop.end();
        assert_eq!(cut_off.await.unwrap(), None);
    }

    #[tokio::test]
    async fn what_has_arrived_is_read_before_a_client_leaves() {
        let stop = Stop::default();
        stop.drain();
        assert_eq!(stop.cut(stop.unless_draining(std::future::ready(7))).await, Some(Some(7)));
    }
}
