//! The bounded queue of one listener.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;

use super::TopicKind;
use crate::error::{Endpoint, Error, Kind};

/// A message, shared by all who get it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Through which kind of topic it came.
    pub kind: TopicKind,
    /// The pattern that it matched, when it came through one.
    pub pattern: Option<Bytes>,
    /// The channel that it was published to.
    pub channel: Bytes,
    /// What was published.
    pub payload: Bytes,
    /// The shard that sent it.
    pub shard: Arc<Endpoint>,
}

impl Message {
    /// What it is charged in a queue: the bytes of its texts.
    fn size(&self) -> usize {
        self.pattern.as_ref().map_or(0, Bytes::len) + self.channel.len() + self.payload.len()
    }
}

/// How much may wait for one listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Messages. Zero counts as one.
    pub messages: usize,
    /// Bytes of channels, patterns and payloads together. A message that is larger by itself is let through when
    /// nothing else waits.
    pub bytes: usize,
}

impl Default for Limits {
    /// 16 384 messages and 64 MiB.
    fn default() -> Self {
        Self { messages: 16_384, bytes: 64 << 20 }
    }
}

/// What became of a message.
pub(super) enum Pushed {
    /// It waits, and this one has to be woken for it.
    Waits(Option<Waker>),
    /// The listener fell behind: it gets what waited before, then the error, and nothing more.
    Overflowed(Option<Waker>),
    /// The listener has ended.
    Ended,
}

/// See the module.
pub(super) struct Mailbox {
    limits: Limits,
    state: Mutex<State>,
}

struct State {
    messages: VecDeque<Arc<Message>>,
    bytes: usize,
    end: End,
    waker: Option<Waker>,
}

/// ```text
/// open ──overflow, refused, closed──► failed ──error read──► over
/// ```
enum End {
    Open,
    Failed(Error),
    Over,
}

impl Mailbox {
    pub(super) fn new(limits: Limits) -> Self {
        let state = State { messages: VecDeque::new(), bytes: 0, end: End::Open, waker: None };
        Self { limits, state: Mutex::new(state) }
    }

    /// Never waits. Wakers are handed out, to be woken when no lock is held.
    pub(super) fn push(&self, message: &Arc<Message>) -> Pushed {
        let mut state = self.lock();
        if !matches!(state.end, End::Open) {
            return Pushed::Ended;
        }
        let bytes = state.bytes.saturating_add(message.size());
        let full = state.messages.len() >= self.limits.messages || bytes > self.limits.bytes;
        if full && !state.messages.is_empty() {
            let text = format!(
                "the listener fell behind: {} messages ({} bytes) waited",
                state.messages.len(),
                state.bytes
            );
            state.end = End::Failed(Error::local(Kind::Busy, text));
            return Pushed::Overflowed(state.waker.take());
        }
        state.bytes = bytes;
        state.messages.push_back(Arc::clone(message));
        Pushed::Waits(state.waker.take())
    }

    /// Nothing comes any more after what waits and this error. The first end counts.
    #[must_use]
    pub(super) fn fail(&self, error: Error) -> Option<Waker> {
        let mut state = self.lock();
        if matches!(state.end, End::Open) {
            state.end = End::Failed(error);
        }
        state.waker.take()
    }

    /// What waits, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.lock().bytes
    }

    /// The error that ended it, until it was read; an error of its own afterwards.
    pub(super) fn ended(&self) -> Option<Error> {
        match &self.lock().end {
            End::Open => None,
            End::Failed(error) => Some(error.clone()),
            End::Over => Some(Error::local(Kind::Refused, "the subscription has ended")),
        }
    }

    pub(super) fn poll(&self, context: &mut Context<'_>) -> Poll<Option<Result<Arc<Message>, Error>>> {
        let mut state = self.lock();
        if let Some(message) = state.messages.pop_front() {
            state.bytes = state.bytes.saturating_sub(message.size());
            if state.messages.is_empty() && state.messages.capacity() > KEEP_AT_MOST {
                state.messages = VecDeque::new();
            }
            return Poll::Ready(Some(Ok(message)));
        }
        match std::mem::replace(&mut state.end, End::Over) {
            End::Failed(error) => Poll::Ready(Some(Err(error))),
            End::Over => Poll::Ready(None),
            End::Open => {
                state.end = End::Open;
                let replaced = state.waker.replace(context.waker().clone());
                drop(state);
                drop(replaced);
                Poll::Pending
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Room for so many messages is kept by a queue that ran empty.
const KEEP_AT_MOST: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn message(payload: &'static str) -> Arc<Message> {
        Arc::new(Message {
            kind: TopicKind::Channel,
            pattern: None,
            channel: Bytes::new(),
            payload: payload.into(),
            shard: Arc::new(Endpoint { name: "a".into(), address: "b".into() }),
        })
    }

    fn next(mailbox: &Mailbox) -> Poll<Option<Result<Arc<Message>, Error>>> {
        mailbox.poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn what_waited_before_the_overflow_is_read_then_the_error_then_the_end() {
        let mailbox = Mailbox::new(Limits { messages: 2, bytes: 100 });
        assert!(next(&mailbox).is_pending());
        assert!(matches!(mailbox.push(&message("1")), Pushed::Waits(Some(_))));
        assert!(matches!(mailbox.push(&message("2")), Pushed::Waits(None)));
        assert!(matches!(mailbox.push(&message("3")), Pushed::Overflowed(None)));
        assert!(matches!(mailbox.push(&message("4")), Pushed::Ended));
        for expected in ["1", "2"] {
            assert!(matches!(next(&mailbox), Poll::Ready(Some(Ok(got))) if got.payload == expected));
        }
        assert!(matches!(next(&mailbox), Poll::Ready(Some(Err(error))) if error.kind() == Kind::Busy));
        assert!(matches!(next(&mailbox), Poll::Ready(None)));
        assert!(matches!(next(&mailbox), Poll::Ready(None)));
    }

    #[test]
    fn bytes_are_counted_and_a_single_large_message_is_let_through() {
        let mailbox = Mailbox::new(Limits { messages: 10, bytes: 4 });
        assert!(matches!(mailbox.push(&message("too large")), Pushed::Waits(_)));
        assert!(matches!(next(&mailbox), Poll::Ready(Some(Ok(_)))));
        assert!(matches!(mailbox.push(&message("1234")), Pushed::Waits(_)));
        assert!(matches!(next(&mailbox), Poll::Ready(Some(Ok(_)))));
        assert!(matches!(mailbox.push(&message("123")), Pushed::Waits(_)));
        assert!(matches!(mailbox.push(&message("45")), Pushed::Overflowed(_)));
    }
}
