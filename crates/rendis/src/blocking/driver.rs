//! The runtime under handles without async.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use tokio::runtime::{Builder, EnterGuard, Runtime};
use tokio::task::unconstrained;

use crate::error::{Error, Kind};

/// A small tokio runtime with one thread of its own, shared by the clones of one handle. It ends in the background when
/// the last of them is dropped, wherever that happens.
#[derive(Clone)]
pub(super) struct Driver {
    runtime: Arc<Owned>,
}

/// The runtime; taken out only by the drop.
struct Owned(Option<Runtime>);

impl Driver {
    /// # Errors
    /// [`Kind::Config`] when the system gives no thread.
    pub(super) fn start() -> Result<Self, Error> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("rendis")
            .enable_all()
            .build()
            .map_err(|error| Error::local(Kind::Config, format!("no runtime could be started: {error}")))?;
        Ok(Self { runtime: Arc::new(Owned(Some(runtime))) })
    }

    /// What is started while the guard lives runs on this runtime.
    pub(super) fn enter(&self) -> Option<EnterGuard<'_>> {
        self.runtime.0.as_ref().map(Runtime::enter)
    }

    /// Runs `future` on this thread until it is done, while sockets and timers are served by the runtime's own thread.
    ///
    /// `Runtime::block_on` would panic on a thread that runs async tasks. This does not: such a thread is only held up,
    /// as by any other call that blocks. The future is run unconstrained, because the budget of the task around it is
    /// not renewed before this returns. For the same reason it must not yield to the scheduler (`yield_now`), which
    /// would wake it after this returns; the calls of this crate do not.
    pub(super) fn run<F: Future>(&self, future: F) -> F::Output {
        let _context = self.enter();
        let mut future = pin!(unconstrained(future));
        let signal = Arc::new(Signal { woken: AtomicBool::new(false), thread: thread::current() });
        let waker = Waker::from(Arc::clone(&signal));
        let mut context = Context::from_waker(&waker);
        loop {
            if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
                return output;
            }
            while !signal.woken.swap(false, Ordering::Acquire) {
                thread::park();
            }
        }
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            // Waiting for its thread is not allowed on a thread that runs async tasks.
            runtime.shutdown_background();
        }
    }
}

/// Wakes a thread that waits. The flag, because others may park and unpark the same thread.
struct Signal {
    woken: AtomicBool,
    thread: Thread,
}

impl Wake for Signal {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.woken.store(true, Ordering::Release);
        self.thread.unpark();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_call_within_a_call_loses_no_wake_up() {
        let driver = Driver::start().unwrap();
        let sum = driver.run(async {
            let outer = tokio::spawn(async { 1 });
            let inner = driver.run(async {
                tokio::time::sleep(Duration::from_millis(1)).await;
                2
            });
            outer.await.unwrap() + inner
        });
        assert_eq!(sum, 3);
    }

    #[test]
    fn a_task_without_budget_left_is_no_hindrance() {
        let driver = Driver::start().unwrap();
        let around = tokio::runtime::Builder::new_current_thread().build().unwrap();
        around.block_on(async {
            for number in 0..1000 {
                let (answer, answered) = tokio::sync::oneshot::channel();
                answer.send(number).unwrap();
                assert_eq!(driver.run(answered), Ok(number));
            }
        });
    }
}
