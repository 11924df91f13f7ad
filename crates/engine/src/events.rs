//! What happened to a ring, told to whoever listens.

use std::borrow::Cow;
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::{Stream, StreamExt as _};
use tokio::sync::broadcast::Receiver;
use tokio_stream::wrappers::BroadcastStream;
use tokio_stream::wrappers::errors::BroadcastStreamRecvError::Lagged;

use crate::error::Endpoint;

/// A change of a ring, told once.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A shard does not answer: it is out of use until it does.
    Down {
        /// Which.
        shard: Arc<Endpoint>,
        /// What went wrong last: the connection is refused, the password is wrong, no answer comes.
        why: Arc<str>,
    },
    /// A shard answers and is reading its data: out of use until it has.
    Loading(Arc<Endpoint>),
    /// A shard was much slower than its peers for a while: out of use for a while.
    Slow(Arc<Endpoint>),
    /// A shard answers again. It is not in use yet: it may have to forget keys first. Where that fails it is tried again,
    /// and told when it is in use.
    Up(Arc<Endpoint>),
    /// A shard is in use again.
    Returned {
        /// Which.
        shard: Arc<Endpoint>,
        /// What it had to forget.
        forgot: Forgot,
    },
    /// The list of shards was changed by its owner: shards were added, removed or reordered. A change of addresses, weights or
    /// the placement alone is not told.
    TopologyChanged,
    /// This listener fell behind, and so many events before this one are lost to it.
    Missed(u64),
}

/// What a returning shard had to forget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forgot {
    /// So many keys, which were written elsewhere meanwhile; often 0.
    Keys(usize),
    /// All that it held.
    Everything,
    /// Nothing, though keys were written elsewhere: as it was configured, or because there were too many to remember, or
    /// because the server refused to delete them. It may hold old values.
    Nothing,
}

impl Event {
    /// The shard that it happened to.
    #[must_use]
    pub const fn shard(&self) -> Option<&Arc<Endpoint>> {
        match self {
            Self::Loading(shard) | Self::Slow(shard) | Self::Up(shard) => Some(shard),
            Self::Down { shard, .. } | Self::Returned { shard, .. } => Some(shard),
            Self::TopologyChanged | Self::Missed(_) => None,
        }
    }

    /// What happened, without where.
    pub(crate) fn text(&self) -> Cow<'static, str> {
        Cow::Borrowed(match self {
            Self::Down { why, .. } if why.is_empty() => "shard is down",
            Self::Down { why, .. } => return Cow::Owned(format!("shard is down: {why}")),
            Self::Loading(_) => "shard is loading its data",
            Self::Slow(_) => "shard is much slower than the others",
            Self::Up(_) => "shard answers again",
            Self::Returned { forgot: Forgot::Keys(0), .. } => "shard is up",
            Self::Returned { forgot: Forgot::Keys(1), .. } => {
                "shard is up; it forgot 1 key that was written elsewhere"
            }
            Self::Returned { forgot: Forgot::Keys(count), .. } => {
                return Cow::Owned(format!(
                    "shard is up; it forgot {count} keys that were written elsewhere"
                ));
            }
            Self::Returned { forgot: Forgot::Everything, .. } => "shard is up; it forgot all that it held",
            Self::Returned { forgot: Forgot::Nothing, .. } => {
                "shard is up; it may hold values that were overwritten elsewhere"
            }
            Self::TopologyChanged => "the list of shards changed",
            Self::Missed(count) => return Cow::Owned(format!("{count} events were missed")),
        })
    }
}

impl fmt::Display for Event {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.shard() {
            Some(place) => write!(out, "{place}: {}", self.text()),
            None => out.write_str(&self.text()),
        }
    }
}

/// The events of a ring from the moment it was asked for them, as a stream.
#[derive(Debug)]
pub struct Events(BroadcastStream<Event>);

impl Events {
    pub(crate) fn new(receiver: Receiver<Event>) -> Self {
        Self(BroadcastStream::new(receiver))
    }

    /// The next event; `None` when the last handle to the ring is gone (one that is only closed tells nothing more). A
    /// listener that is more than 256 events behind loses the oldest and is told how many ([`Event::Missed`]). Cancel
    /// safe.
    pub async fn next(&mut self) -> Option<Event> {
        poll_fn(|context| Pin::new(&mut *self).poll_next(context)).await
    }
}

impl Stream for Events {
    type Item = Event;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Event>> {
        let told = self.0.poll_next_unpin(context);
        told.map(|told| told.map(|told| told.unwrap_or_else(|Lagged(count)| Event::Missed(count))))
    }
}

/// How many events a listener may be behind.
pub(crate) const KEPT: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_key_is_told_as_one() {
        let returned = |count| {
            let shard = Arc::new(Endpoint { name: "a".to_owned(), address: "h:1".to_owned() });
            Event::Returned { shard, forgot: Forgot::Keys(count) }.to_string()
        };
        assert_eq!(returned(0), "a (h:1): shard is up");
        assert_eq!(returned(1), "a (h:1): shard is up; it forgot 1 key that was written elsewhere");
        assert_eq!(returned(2), "a (h:1): shard is up; it forgot 2 keys that were written elsewhere");
    }
}
