//! The listeners of one topic, and callers who wait until topics are confirmed.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use tokio::sync::Notify;

use super::mailbox::{Mailbox, Message, Pushed};
use crate::error::Error;

/// Numbers the listeners of a hub.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct ListenerId(pub(super) u64);

/// Who gets the messages of one topic.
#[derive(Default)]
pub(super) struct Audience {
    listeners: Mutex<BTreeMap<ListenerId, Arc<Mailbox>>>,
}

impl Audience {
    pub(super) fn insert(&self, listener: ListenerId, mailbox: &Arc<Mailbox>) {
        self.lock().insert(listener, Arc::clone(mailbox));
    }

    /// Says whether somebody is left.
    pub(super) fn remove(&self, listener: ListenerId) -> Left {
        let mut listeners = self.lock();
        let removed = listeners.remove(&listener);
        let left = if listeners.is_empty() { Left::Nobody } else { Left::Somebody };
        drop(listeners);
        drop(removed);
        left
    }

    pub(super) fn len(&self) -> usize {
        self.lock().len()
    }

    pub(super) fn ids(&self) -> Vec<ListenerId> {
        self.lock().keys().copied().collect()
    }

    /// Puts the message into every mailbox. Who is to be woken, and who fell behind, is left to the caller, because
    /// no lock may be held then.
    pub(super) fn deliver(
        &self,
        message: &Arc<Message>,
        woken: &mut Vec<Waker>,
        overflowed: &mut Vec<ListenerId>,
    ) {
        for (id, mailbox) in self.lock().iter() {
            match mailbox.push(message) {
                Pushed::Waits(waker) => woken.extend(waker),
                Pushed::Overflowed(waker) => {
                    woken.extend(waker);
                    overflowed.push(*id);
                }
                Pushed::Ended => {}
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<ListenerId, Arc<Mailbox>>> {
        self.listeners.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a topic still has listeners.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Left {
    Somebody,
    Nobody,
}

/// A caller who waits until all the topics it asked for are confirmed, or one of them cannot be.
pub(super) struct Ticket {
    pub(super) listener: ListenerId,
    state: Mutex<Outstanding>,
    changed: Notify,
}

struct Outstanding {
    topics: usize,
    error: Option<Error>,
}

impl Ticket {
    pub(super) fn new(listener: ListenerId) -> Arc<Self> {
        let state = Mutex::new(Outstanding { topics: 0, error: None });
        Arc::new(Self { listener, state, changed: Notify::new() })
    }

    /// One more topic is waited for.
    pub(super) fn expect(&self) {
        self.lock().topics += 1;
    }

    /// One of them is confirmed. [`Ticket::wake`] has to follow.
    pub(super) fn confirm(&self) {
        let mut state = self.lock();
        state.topics = state.topics.saturating_sub(1);
    }

    /// One of them cannot be confirmed. The first error counts. [`Ticket::wake`] has to follow.
    pub(super) fn fail(&self, error: Error) {
        self.lock().error.get_or_insert(error);
    }

    /// Wakes the caller if its wait is over; when no lock is held.
    pub(super) fn wake(&self) {
        let over = {
            let state = self.lock();
            state.topics == 0 || state.error.is_some()
        };
        if over {
            self.changed.notify_one();
        }
    }

    pub(super) async fn wait(&self) -> Result<(), Error> {
        loop {
            {
                let state = self.lock();
                if let Some(error) = &state.error {
                    return Err(error.clone());
                }
                if state.topics == 0 {
                    return Ok(());
                }
            }
            self.changed.notified().await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Outstanding> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
