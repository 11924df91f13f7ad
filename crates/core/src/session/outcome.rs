//! What goes into a session and what comes out: limits, claims, and what became of a request.

use std::time::Duration;

/// How much may wait on one session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueLimits {
    /// Requests that are queued or not yet answered.
    pub requests: usize,
    /// Bytes that are queued and not yet taken by the writer.
    pub bytes: usize,
}

impl Default for QueueLimits {
    /// 16 384 requests and 64 MiB.
    fn default() -> Self {
        Self { requests: 16_384, bytes: 64 << 20 }
    }
}

/// The session holds as much as its limits allow. Nothing was appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

/// Whether a server can have executed a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Sent {
    /// It was never written whole: the server cannot have executed it, and it is safe to send again.
    No,
    /// It was written and its reply never came: the outcome is unknown.
    Maybe,
}

/// A request that got no reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed<E> {
    /// Whether it can have been executed.
    pub sent: Sent,
    /// Why there is no reply.
    pub cause: E,
}

/// The replies of one ticket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Replies<R> {
    /// The reply to a single request.
    One(R),
    /// The replies to a batch, in its order.
    Many(Vec<R>),
}

/// What one ticket came to.
pub type Outcome<R, E> = Result<Replies<R>, Failed<E>>;

/// The claim to the outcome of what one [`Session::push`](super::Session::push) appended. It is worth exactly one [`Session::collect`](super::Session::collect) that
/// yields something, or one [`Session::cancel`](super::Session::cancel).
#[derive(Debug, PartialEq, Eq)]
pub struct Ticket(pub(super) u32);

/// Whether a stream goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// More replies will come.
    Open,
    /// That was the last: the ticket is spent.
    Ended,
}

/// What has become overdue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overdue {
    /// When to look again; `None` when nothing more is owed.
    pub next: Option<Duration>,
    /// Whether a reply is among it that nobody waits for any more, because its caller gave up before.
    pub unheard: bool,
}

/// What a reply met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// It completed a ticket, whose caller has to be woken.
    Completed,
    /// It belongs to a ticket that waits for more replies.
    Collected,
    /// Nobody waits for it any more.
    Absorbed,
    /// Nothing that was written is owed a reply: the connection is out of step and must be closed.
    Unmatched,
}
