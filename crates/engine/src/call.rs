//! What is under way on a shared wire of a shard, in the hands of a future that is written by hand because it is on every
//! request's path. It keeps the shard alive, and is given up when it is dropped.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use rendis_core::reply::Reply;
use rendis_core::session::{Replies, Stream, Ticket};
use tokio::time::Instant;

use crate::error::{Error, Failure};
use crate::frames::Frames;
use crate::queue::Queue;
use crate::shard::{Manner, Shard, no_wires};

/// Frames that are answered as a whole.
pub(crate) struct OwnedCall {
    claim: Claim,
    since: Option<Duration>,
}

impl OwnedCall {
    pub(crate) fn new(shard: Arc<Shard>, manner: Manner) -> Self {
        Self { claim: Claim::new(shard, manner), since: None }
    }

    /// Pushes at the first call, collects at the following ones.
    #[inline]
    pub(crate) fn poll<F: Frames + ?Sized>(
        &mut self,
        frames: &F,
        context: &mut Context<'_>,
    ) -> Poll<Result<Replies<Reply>, Failure>> {
        let Claim { shard, manner, turn, ticket } = &mut self.claim;
        match shard.queue(manner.protocol, *turn) {
            Some(queue) => queue.poll_call(ticket, &mut self.since, frames, manner.deadline, context),
            None => Poll::Ready(Err(no_wires())),
        }
    }

    /// When it was taken in; now, when it was not.
    pub(crate) fn began(&self) -> Instant {
        let began = self.claim.queue().zip(self.since).map(|(queue, since)| queue.epoch() + since);
        began.unwrap_or_else(Instant::now)
    }

    pub(crate) const fn shard(&self) -> &Arc<Shard> {
        &self.claim.shard
    }
}

/// Requests that were sent together, whose replies are taken as they arrive.
pub(crate) struct OwnedStream {
    claim: Claim,
}

impl OwnedStream {
    /// `room` gives its memory to replies that wait to be taken.
    pub(crate) fn send<F: Frames + ?Sized>(
        shard: &Arc<Shard>,
        manner: Manner,
        frames: &F,
        room: VecDeque<Reply>,
    ) -> Result<Self, Failure> {
        let mut claim = Claim::new(Arc::clone(shard), manner);
        let queue = claim.queue().ok_or_else(no_wires)?;
        claim.ticket = Some(queue.push_stream(frames, manner.deadline, room)?);
        Ok(Self { claim })
    }

    /// Moves what has arrived behind what is in `into`; where nothing has, the task is woken by the next reply.
    pub(crate) fn receive(
        &mut self,
        into: &mut VecDeque<Reply>,
        context: &Context<'_>,
    ) -> Result<Stream, Error> {
        let Claim { shard, manner, turn, ticket } = &mut self.claim;
        match shard.queue(manner.protocol, *turn) {
            Some(queue) => queue.receive(ticket, into, context),
            None => Err(no_wires()),
        }
        .map_err(|failure| shard.error_within(failure, manner.deadline))
    }

    /// The bytes of the replies that arrived and were not taken.
    pub(crate) fn held(&self) -> usize {
        self.claim.queue().zip(self.claim.ticket.as_ref()).map_or(0, |(queue, ticket)| queue.held(ticket))
    }
}

/// A claim to the outcome of what is in the queue of one of a shard's wires.
struct Claim {
    shard: Arc<Shard>,
    manner: Manner,
    turn: usize,
    ticket: Option<Ticket>,
}

impl Claim {
    fn new(shard: Arc<Shard>, manner: Manner) -> Self {
        let turn = shard.turn(manner.protocol);
        Self { shard, manner, turn, ticket: None }
    }

    fn queue(&self) -> Option<&Queue> {
        self.shard.queue(self.manner.protocol, self.turn)
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take()
            && let Some(queue) = self.queue()
        {
            queue.cancel(ticket);
        }
    }
}
