//! What the clients of a ring make it hold, all together: half requests, queued transactions, what they listen to, replies
//! and messages that they do not take.
//!
//! Each client has limits of its own, but ten thousand of them could fill any machine. So what each holds is added up,
//! on all threads, and past the ring's limit whoever wants more and holds more than a fair share of it is dropped. A client
//! that holds next to nothing is not counted, and never dropped: with small requests nothing here is written to.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What the clients of one ring hold.
#[derive(Debug)]
pub(crate) struct Memory {
    limit: AtomicUsize,
    held: AtomicUsize,
    /// Clients that hold something.
    holders: AtomicUsize,
}

impl Memory {
    pub(crate) const fn new(limit: usize) -> Self {
        Self { limit: AtomicUsize::new(limit), held: AtomicUsize::new(0), holders: AtomicUsize::new(0) }
    }

    /// Changes the limit, for what is asked for from now on.
    pub(crate) fn limit(&self, limit: usize) {
        self.limit.store(limit, Ordering::Relaxed);
    }

    /// Bytes that may be held.
    pub(crate) fn most(&self) -> usize {
        self.limit.load(Ordering::Relaxed)
    }

    /// Bytes that are held now.
    pub(crate) fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }
}

/// What one client holds. It is given back when this is dropped.
#[derive(Debug)]
pub(crate) struct Holding {
    memory: Arc<Memory>,
    /// What it sent and is not done with.
    requests: usize,
    /// What is for it, and it does not take.
    replies: usize,
    /// Both, as far as others are told.
    counted: usize,
}

/// All clients hold too much, and this one more than its share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the clients hold {held} bytes together, allowed are {limit} (client_memory), and this one {own}")]
pub(crate) struct TooMuch {
    own: usize,
    held: usize,
    limit: usize,
}

impl Holding {
    pub(crate) const fn new(memory: Arc<Memory>) -> Self {
        Self { memory, requests: 0, replies: 0, counted: 0 }
    }

    /// The client sent so many bytes that it is not done with now: half requests, queued ones, names that it listens to.
    ///
    /// # Errors
    /// [`TooMuch`] when it holds more than before, and has to be dropped.
    #[inline]
    pub(crate) fn set_requests(&mut self, bytes: usize) -> Result<(), TooMuch> {
        self.requests = bytes;
        self.count()
    }

    /// So many bytes are for the client now that it does not take.
    ///
    /// # Errors
    /// As [`Holding::set_requests`].
    pub(crate) fn set_replies(&mut self, bytes: usize) -> Result<(), TooMuch> {
        self.replies = bytes;
        self.count()
    }

    #[inline]
    fn count(&mut self) -> Result<(), TooMuch> {
        let bytes = self.requests.saturating_add(self.replies);
        let bytes = if bytes < COUNTED_FROM { 0 } else { bytes };
        if bytes == self.counted { Ok(()) } else { self.change(bytes) }
    }

    fn change(&mut self, bytes: usize) -> Result<(), TooMuch> {
        let before = std::mem::replace(&mut self.counted, bytes);
        let memory = &self.memory;
        let held = if bytes > before {
            memory.held.fetch_add(bytes - before, Ordering::Relaxed).saturating_add(bytes - before)
        } else {
            memory.held.fetch_sub(before - bytes, Ordering::Relaxed).saturating_sub(before - bytes)
        };
        if before == 0 {
            memory.holders.fetch_add(1, Ordering::Relaxed);
        } else if bytes == 0 {
            memory.holders.fetch_sub(1, Ordering::Relaxed);
        }
        let (limit, holders) = (memory.limit.load(Ordering::Relaxed), memory.holders.load(Ordering::Relaxed));
        if bytes > before && held > limit && bytes > limit / holders.max(1) {
            return Err(TooMuch { own: bytes, held, limit });
        }
        Ok(())
    }
}

impl Drop for Holding {
    fn drop(&mut self) {
        (self.requests, self.replies) = (0, 0);
        // Nothing is refused to who holds less.
        let _ = self.count();
    }
}

/// What holds less is not counted.
const COUNTED_FROM: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1 << 20;

    #[test]
    fn who_holds_more_than_its_share_past_the_limit_is_told_and_others_are_not() {
        let memory = Arc::new(Memory::new(10 * MIB));
        let mut clients: Vec<_> = (0..4).map(|_| Holding::new(Arc::clone(&memory))).collect();
        assert_eq!(clients[0].set_requests(6 * MIB), Ok(()));
        assert_eq!(clients[1].set_replies(3 * MIB), Ok(()));
        // A little past the limit: the greedy one is told when it wants more, and one with little is not.
        assert_eq!(clients[2].set_requests(2 * MIB), Ok(()));
        assert_eq!(clients[3].set_requests(1000), Ok(()));
        let told = clients[0].set_replies(MIB).unwrap_err();
        assert_eq!(told, TooMuch { own: 7 * MIB, held: 12 * MIB, limit: 10 * MIB });
        // Who holds less is not told, though it be more than its share still.
        assert_eq!(clients[0].set_replies(0), Ok(()));
        memory.limit(100 * MIB);
        assert_eq!(clients[0].set_requests(60 * MIB), Ok(()));
        drop(clients);
        assert_eq!((memory.held(), memory.holders.load(Ordering::Relaxed)), (0, 0));
    }
}
