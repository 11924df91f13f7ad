//! Sent requests paired with arriving replies, in order, on one connection.
//!
//! A [`Session`] is the bookkeeping of a shared, pipelined wire. Callers append frames and get a [`Ticket`]; the
//! writer takes all that was appended at once; the reader hands in replies, which belong to the oldest request that
//! still owes one, because a server answers in the order it was asked.
//!
//! ```text
//!  push ──► queued ──take──► written ──complete──► answered ──collect──► (slot free)
//!              │                │  │
//!              │ cancel,expire  │  └─ cancel, expire: nobody waits any more, the reply is absorbed when it comes
//!              ▼                ▼
//!          withdrawn        fail: "may have been executed"         fail while queued: "never written"
//! ```
//!
//! What one [`Session::push`] appended is answered as a whole; what [`Session::push_stream`] appended is answered reply
//! by reply, as they arrive.
//!
//! Everything is kept in three flat arrays that keep their memory, so that a request costs no allocation here. A
//! caller's future, the writer and the reader reach the session through one lock, held for a few instructions.
//!
//! What it does not decide: when to write, how long to wait, whether to send again. It knows no clock: times are
//! given as durations since some moment of the owner's choice.
//!
//! Type parameters: `W` wakes a caller, `R` is a reply, `E` says why a connection ended.

mod chain;
mod outcome;

use std::collections::VecDeque;
use std::mem;
use std::time::Duration;

pub use self::chain::Chain;
pub use self::outcome::{
    Arrival, Failed, Full, Outcome, Overdue, QueueLimits, Replies, Sent, Stream, Ticket,
};

/// See the module.
#[derive(Debug)]
pub struct Session<W, R, E> {
    limits: QueueLimits,
    /// Appended and not yet taken by the writer.
    outgoing: Chain,
    /// One entry per ticket that is still owed replies or was withdrawn, oldest first.
    order: VecDeque<Entry>,
    /// The sequence number of the first entry in `order`.
    first: u64,
    slots: Vec<Slot<W, R, E>>,
    free: Vec<u32>,
    /// Positions in the stream of bytes: appended in all, taken by the writer, accepted by the socket.
    appended: u64,
    taken: u64,
    written: u64,
    /// Replies owed to requests that are queued or written.
    owed: usize,
    /// Some entry was withdrawn while queued, and its bytes still lie in `outgoing`.
    withdrawn: bool,
    /// No deadline is earlier than this one.
    earliest: Option<Duration>,
}

#[derive(Debug)]
struct Entry {
    /// Where its bytes begin and end in the stream.
    start: u64,
    end: u64,
    /// Whether it is more than one request: then the first can be answered, and have run, before the last is written.
    batch: bool,
    deadline: Duration,
    /// Replies still owed; 0 once it is withdrawn.
    replies: u32,
    /// `None` when nobody waits any more.
    slot: Option<u32>,
    /// Its deadline has passed.
    overdue: bool,
}

#[derive(Debug)]
enum Slot<W, R, E> {
    Free,
    Waiting {
        sequence: u64,
        waker: W,
        batch: Option<Vec<R>>,
    },
    /// `waker` is there only while its caller waits. `sequence` is of no more use once it has `ended`.
    Streaming {
        sequence: u64,
        waker: Option<W>,
        arrived: VecDeque<R>,
        ended: Option<Result<(), Failed<E>>>,
    },
    Done(Outcome<R, E>),
}

impl<W, R, E: Clone> Session<W, R, E> {
    /// An empty session.
    #[must_use]
    pub fn new(limits: QueueLimits) -> Self {
        Self {
            limits,
            outgoing: Chain::default(),
            order: VecDeque::new(),
            first: 0,
            slots: Vec::new(),
            free: Vec::new(),
            appended: 0,
            taken: 0,
            written: 0,
            owed: 0,
            withdrawn: false,
            earliest: None,
        }
    }

    /// Appends what `write` writes: `replies` requests, to be answered as one until `deadline`.
    ///
    /// A push that is larger than a limit by itself is let through as long as there is room for any, so that a large value
    /// is possible also where others are under way. So each limit is exceeded by one push at most.
    ///
    /// # Errors
    /// [`Full`] when the limits are reached; `write` is then not called.
    pub fn push(
        &mut self,
        replies: u32,
        size: usize,
        deadline: Duration,
        waker: W,
        write: impl FnOnce(&mut Chain),
    ) -> Result<Ticket, Full> {
        let batch = (replies != 1).then(|| Vec::with_capacity(usize::try_from(replies).unwrap_or_default()));
        self.append(replies, size, deadline, write, |sequence| Slot::Waiting { sequence, waker, batch })
    }

    /// As [`Session::push`], for replies that are taken as they arrive, with [`Session::receive`]. Until `deadline` all
    /// of them have to be there. `room`, which has to be empty, gives its memory to those that wait to be taken.
    ///
    /// # Errors
    /// As [`Session::push`].
    pub fn push_stream(
        &mut self,
        replies: u32,
        size: usize,
        deadline: Duration,
        room: VecDeque<R>,
        write: impl FnOnce(&mut Chain),
    ) -> Result<Ticket, Full> {
        let slot = |sequence| Slot::Streaming { sequence, waker: None, arrived: room, ended: None };
        self.append(replies, size, deadline, write, slot)
    }

    fn append(
        &mut self,
        replies: u32,
        size: usize,
        deadline: Duration,
        write: impl FnOnce(&mut Chain),
        slot: impl FnOnce(u64) -> Slot<W, R, E>,
    ) -> Result<Ticket, Full> {
        let count = usize::try_from(replies).unwrap_or(usize::MAX);
        if self.withdrawn && self.outgoing.len().saturating_add(size) > self.limits.bytes {
            self.compact();
        }
        let fits = |held: usize, more: usize, limit: usize| {
            held.saturating_add(more) <= limit || more > limit && held < limit.max(1)
        };
        let QueueLimits { requests, bytes } = self.limits;
        if !fits(self.owed, count, requests) || !fits(self.outgoing.len(), size, bytes) {
            return Err(Full);
        }
        let (start, before) = (self.appended, self.outgoing.len());
        write(&mut self.outgoing);
        self.appended += length(self.outgoing.len() - before);
        self.owed += count;
        if self.earliest.is_none_or(|earliest| deadline < earliest) {
            self.earliest = Some(deadline);
        }
        let sequence = self.first + length(self.order.len());
        let slot = self.occupy(slot(sequence));
        let (end, batch) = (self.appended, replies != 1);
        self.order.push_back(Entry {
            start,
            end,
            batch,
            deadline,
            replies,
            slot: Some(slot),
            overdue: false,
        });
        Ok(Ticket(slot))
    }

    /// The outcome, when there is one; the ticket is then spent.
    pub fn collect(&mut self, ticket: &Ticket) -> Option<Outcome<R, E>> {
        let slot = self.slot(ticket.0)?;
        if !matches!(slot, Slot::Done(_)) {
            return None;
        }
        let Slot::Done(outcome) = mem::replace(slot, Slot::Free) else {
            return None;
        };
        self.free.push(ticket.0);
        Some(outcome)
    }

    /// Moves the replies of a stream that have arrived behind those in `into`. When there are none yet, `waker` is
    /// asked who is woken by the next.
    ///
    /// # Errors
    /// Why there are no more; the ticket is then spent.
    pub fn receive(
        &mut self,
        ticket: &Ticket,
        into: &mut VecDeque<R>,
        waker: impl FnOnce() -> W,
    ) -> Result<Stream, Failed<E>> {
        let Some(Slot::Streaming { waker: waiting, arrived, ended, .. }) = self.slot(ticket.0) else {
            return Ok(Stream::Ended);
        };
        match ended.take() {
            None if arrived.is_empty() => {
                *waiting = Some(waker());
                Ok(Stream::Open)
            }
            ended => {
                if into.is_empty() {
                    mem::swap(arrived, into);
                } else {
                    into.append(arrived);
                }
                let Some(ended) = ended else { return Ok(Stream::Open) };
                self.release(ticket.0);
                ended.map(|()| Stream::Ended)
            }
        }
    }

    /// The replies of a stream that arrived and were not taken.
    pub fn arrived(&self, ticket: &Ticket) -> impl Iterator<Item = &R> {
        let slot = usize::try_from(ticket.0).ok().and_then(|index| self.slots.get(index));
        let arrived = match slot {
            Some(Slot::Streaming { arrived, .. }) => Some(arrived),
            _ => None,
        };
        arrived.into_iter().flatten()
    }

    /// Who is woken when the ticket completes; `None` when it has.
    pub fn waker(&mut self, ticket: &Ticket) -> Option<&mut W> {
        match self.slot(ticket.0)? {
            Slot::Waiting { waker, .. } => Some(waker),
            Slot::Streaming { waker, .. } => waker.as_mut(),
            Slot::Done(_) | Slot::Free => None,
        }
    }

    /// Gives the ticket up. What is still queued is withdrawn and never sent; the reply to what was taken by the
    /// writer is absorbed when it comes.
    #[expect(clippy::needless_pass_by_value, reason = "a cancelled ticket is spent")]
    pub fn cancel(&mut self, ticket: Ticket) {
        let Some(slot) = self.slot(ticket.0) else { return };
        if let Slot::Waiting { sequence, .. } | Slot::Streaming { sequence, ended: None, .. } = *slot {
            self.abandon(sequence);
        }
        self.release(ticket.0);
    }

    /// Moves all that is queued into `batch`, which has to be empty, and gives `batch`'s memory to the queue.
    pub fn take(&mut self, batch: &mut Chain) {
        if self.withdrawn {
            self.compact();
        }
        mem::swap(&mut self.outgoing, batch);
        self.taken = self.appended;
    }

    /// The socket accepted `bytes` more of what was taken.
    pub fn wrote(&mut self, bytes: usize) {
        self.written += length(bytes);
    }

    /// Pairs a reply with the request it belongs to, and with it as many of `more`, those that arrived behind it, as
    /// belong to the same ticket; a caller to wake is pushed onto `woken`.
    pub fn complete(
        &mut self,
        reply: R,
        more: &mut impl ExactSizeIterator<Item = R>,
        woken: &mut Vec<W>,
    ) -> Arrival {
        let written = self.written;
        let entry = loop {
            match self.order.front_mut() {
                Some(entry) if entry.replies == 0 => self.pop(),
                Some(entry) if entry.has_begun(written) => break entry,
                _ => return Arrival::Unmatched,
            }
        };
        let taken = entry.replies.min(u32::try_from(more.len()).unwrap_or(u32::MAX).saturating_add(1));
        entry.replies -= taken;
        let last = entry.replies == 0;
        let slot = entry.slot;
        let taken = usize::try_from(taken).unwrap_or(usize::MAX);
        self.owed -= taken;
        if last {
            self.pop();
        }
        let more = more.take(taken - 1);
        let Some(slot) = slot.and_then(|slot| self.slot(slot)) else {
            more.for_each(drop);
            return Arrival::Absorbed;
        };
        match slot {
            Slot::Streaming { waker, arrived, ended, .. } => {
                arrived.push_back(reply);
                arrived.extend(more);
                woken.extend(waker.take());
                if !last {
                    return Arrival::Collected;
                }
                *ended = Some(Ok(()));
                return Arrival::Completed;
            }
            Slot::Waiting { batch: Some(batch), .. } if !last => {
                batch.push(reply);
                batch.extend(more);
                return Arrival::Collected;
            }
            _ => {}
        }
        if let Slot::Waiting { waker, batch, .. } = mem::replace(slot, Slot::Free) {
            let replies = match batch {
                None => Replies::One(reply),
                Some(mut batch) => {
                    batch.push(reply);
                    batch.extend(more);
                    Replies::Many(batch)
                }
            };
            *slot = Slot::Done(Ok(replies));
            woken.push(waker);
        }
        Arrival::Completed
    }

    /// The connection is gone: every ticket fails. A request that was not written whole is [`Sent::No`], and so is a
    /// batch of which nothing was written. The queue is empty afterwards and the session ready for the next connection.
    pub fn fail(&mut self, cause: &E, woken: &mut Vec<W>) {
        for entry in mem::take(&mut self.order) {
            self.first += 1;
            let sent = if entry.has_begun(self.written) { Sent::Maybe } else { Sent::No };
            self.fail_slot(entry.slot, Failed { sent, cause: cause.clone() }, woken);
        }
        self.outgoing = Chain::default();
        self.taken = self.appended;
        self.written = self.appended;
        self.owed = 0;
        self.withdrawn = false;
        self.earliest = None;
    }

    /// Fails every ticket whose deadline is not after `now`. What was given up after it was written is overdue at its
    /// deadline too: the server owes it all the same.
    pub fn expire(&mut self, now: Duration, cause: &E, woken: &mut Vec<W>) -> Overdue {
        if self.earliest.is_none_or(|earliest| earliest > now) {
            return Overdue { next: self.earliest, unheard: false };
        }
        let (mut earliest, mut unheard): (Option<Duration>, bool) = (None, false);
        for index in 0..self.order.len() {
            let Some(entry) = self.order.get_mut(index) else { break };
            if entry.replies == 0 || entry.overdue {
                continue;
            }
            if entry.deadline > now {
                earliest = Some(earliest.map_or(entry.deadline, |found| found.min(entry.deadline)));
                continue;
            }
            entry.overdue = true;
            let Some(slot) = entry.slot.take() else {
                unheard = true;
                continue;
            };
            let sent = if entry.end <= self.taken { Sent::Maybe } else { Sent::No };
            if sent == Sent::No {
                self.withdraw(index);
            }
            self.fail_slot(Some(slot), Failed { sent, cause: cause.clone() }, woken);
        }
        self.earliest = earliest;
        Overdue { next: earliest, unheard }
    }

    /// Whether somebody waits for an outcome, or has not collected it.
    #[must_use]
    pub const fn is_awaited(&self) -> bool {
        self.slots.len() > self.free.len()
    }

    /// Nothing becomes overdue before this time; `None` when nothing is owed.
    #[must_use]
    pub const fn earliest(&self) -> Option<Duration> {
        self.earliest
    }

    /// Replies owed to requests that are queued or written, absorbed ones included.
    #[must_use]
    pub const fn owed(&self) -> usize {
        self.owed
    }

    /// Whether the writer has nothing to take.
    #[must_use]
    pub fn nothing_queued(&self) -> bool {
        self.outgoing.is_empty()
    }

    /// Bytes that are queued and not yet taken by the writer.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.outgoing.len()
    }

    fn slot(&mut self, index: u32) -> Option<&mut Slot<W, R, E>> {
        self.slots.get_mut(usize::try_from(index).ok()?)
    }

    fn occupy(&mut self, slot: Slot<W, R, E>) -> u32 {
        if let Some(index) = self.free.pop() {
            if let Some(free) = self.slot(index) {
                *free = slot;
            }
            return index;
        }
        let index = u32::try_from(self.slots.len()).unwrap_or(u32::MAX);
        self.slots.push(slot);
        index
    }

    fn release(&mut self, index: u32) {
        if let Some(slot) = self.slot(index) {
            *slot = Slot::Free;
        }
        self.free.push(index);
    }

    fn pop(&mut self) {
        self.order.pop_front();
        self.first += 1;
    }

    fn fail_slot(&mut self, slot: Option<u32>, failed: Failed<E>, woken: &mut Vec<W>) {
        let Some(slot) = slot.and_then(|slot| self.slot(slot)) else { return };
        if let Slot::Streaming { waker, ended, .. } = slot {
            *ended = Some(Err(failed));
            woken.extend(waker.take());
        } else if let Slot::Waiting { waker, .. } = mem::replace(slot, Slot::Done(Err(failed))) {
            woken.push(waker);
        }
    }

    /// Nobody waits for the entry with this sequence number any more.
    fn abandon(&mut self, sequence: u64) {
        let Some(index) = sequence.checked_sub(self.first).and_then(|index| usize::try_from(index).ok())
        else {
            return;
        };
        let Some(entry) = self.order.get_mut(index) else { return };
        entry.slot = None;
        if entry.end > self.taken {
            self.withdraw(index);
        }
    }

    /// Marks a queued entry as never to be sent. Its bytes go when the queue is taken: moving them now would cost the
    /// length of the queue for every one of many withdrawals.
    fn withdraw(&mut self, index: usize) {
        let Some(entry) = self.order.get_mut(index) else { return };
        self.owed -= usize::try_from(mem::take(&mut entry.replies)).unwrap_or(usize::MAX);
        self.withdrawn = true;
    }

    /// Leaves withdrawn entries and their bytes out of the queue.
    fn compact(&mut self) {
        self.withdrawn = false;
        let queue = mem::take(&mut self.outgoing);
        let queued = self.order.partition_point(|entry| entry.end <= self.taken);
        let mut end = self.taken;
        for mut entry in self.order.split_off(queued) {
            let place = |at: u64| usize::try_from(at - self.taken).unwrap_or(usize::MAX);
            if entry.replies == 0 {
                continue;
            }
            let bytes = place(entry.start)..place(entry.end);
            entry.start = end;
            end += length(bytes.len());
            queue.append_to(&mut self.outgoing, bytes);
            entry.end = end;
            let moved = self.first + length(self.order.len());
            if let Some(Slot::Waiting { sequence, .. } | Slot::Streaming { sequence, .. }) =
                entry.slot.and_then(|slot| self.slot(slot))
            {
                *sequence = moved;
            }
            self.order.push_back(entry);
        }
        self.appended = end;
    }
}

impl Entry {
    /// Whether a server that got the first `written` bytes of the stream can have run it, or a part of it.
    const fn has_begun(&self, written: u64) -> bool {
        if self.batch { self.start < written } else { self.end <= written }
    }
}

fn length(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
