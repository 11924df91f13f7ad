//! A ring's runtime, for what runs in the tasks of its callers, who may be on another one, or on none.

use std::future::{Future, pending, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use tokio::runtime::Handle;
use tokio::task::coop::consume_budget;

use crate::error::{Cause, Kind};

/// Runs a future where it is, with sockets and timers of this runtime; `None` where that has been shut down, which those
/// would panic at. Cancel safe where the future is. For what is rare: each step costs a task.
pub(crate) async fn within<F: Future>(runtime: &Handle, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    poll_fn(|context| {
        if has_ended(runtime) {
            return Poll::Ready(None);
        }
        let _entered = runtime.enter();
        future.as_mut().poll(context).map(Some)
    })
    .await
}

/// Whether a runtime has been shut down: it ends every task at once then, and no other way ends one that never does.
fn has_ended(runtime: &Handle) -> bool {
    let task = runtime.spawn(pending::<()>());
    let ended = task.is_finished();
    task.abort();
    ended
}

/// Why nothing goes on any more.
pub(crate) fn ended() -> Arc<Cause> {
    Cause::new(Kind::Refused, "the runtime on which the ring was built has ended")
}

/// Lets other tasks run now and then: for what fails at once, which a caller may try again and again until a task of this
/// crate has mended it.
pub(crate) async fn breathe() {
    consume_budget().await;
}
