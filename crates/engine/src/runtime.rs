//! A ring's runtime, for what runs in the tasks of its callers, who may be on another one, or on none.

use std::future::{Future, pending, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use tokio::runtime::Handle;
use tokio::task::coop::consume_budget;

use crate::error::{Cause, Kind};

/// Runs a future where it is, with sockets and timers of this runtime. Cancel safe where the future is.
///
/// # Panics
/// Where the future polls them and the runtime has been shut down: see [`unless_ended`].
pub(crate) async fn within<F: Future>(runtime: &Handle, future: F) -> F::Output {
    let mut future = pin!(future);
    poll_fn(|context| {
        let _entered = runtime.enter();
        future.as_mut().poll(context)
    })
    .await
}

/// As [`within`]; `None` where the runtime has been shut down. (It still panics where that happens in the very moment in
/// which the future is polled.) For what is rare: each step costs a task, which the runtime clears away when it next runs.
pub(crate) async fn unless_ended<F: Future>(runtime: &Handle, future: F) -> Option<F::Output> {
    let mut inside = pin!(within(runtime, future));
    poll_fn(|context| match has_ended(runtime) {
        true => Poll::Ready(None),
        false => inside.as_mut().poll(context).map(Some),
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
