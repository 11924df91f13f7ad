//! A ring's runtime, for what runs in the tasks of its callers, who may be on another one, or on none.

use std::future::{Future, poll_fn};
use std::pin::pin;

use tokio::runtime::Handle;
use tokio::task::coop::consume_budget;

/// Runs a future where it is, with sockets and timers of this runtime. Cancel safe where the future is.
pub(crate) async fn within<F: Future>(runtime: &Handle, future: F) -> F::Output {
    let mut future = pin!(future);
    poll_fn(|context| {
        let _entered = runtime.enter();
        future.as_mut().poll(context)
    })
    .await
}

/// Lets other tasks run now and then: for what fails at once, which a caller may try again and again until a task of this
/// crate has mended it.
pub(crate) async fn breathe() {
    consume_budget().await;
}
