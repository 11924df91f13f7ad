//! What goes to one shard of a batch, and what came back.

use std::collections::VecDeque;
use std::task::{Context, Poll, ready};

use rendis_core::command::{Row, Speaker};
use rendis_core::id::ShardId;
use rendis_core::reply::Reply;
use rendis_core::session::{Sent, Stream};
use rendis_core::topology::Topology;

use crate::call::OwnedStream;
use crate::engine::{Engine, serving};
use crate::error::{Cause, Error, Kind};
use crate::frames::Frames;
use crate::shard::Shard;

/// One frame, and the place of the next that goes to the same shard.
pub(super) struct Piece {
    frame: Frame,
    next: usize,
}

pub(super) enum Frame {
    /// The request with this index.
    Whole(usize),
    /// Of the request with this index the part with this number.
    Part(usize, usize),
}

impl Frame {
    /// The index of the request.
    const fn request(&self) -> usize {
        match self {
            Self::Whole(index) | Self::Part(index, _) => *index,
        }
    }
}

/// What a frame does, and how long it is.
#[derive(Clone, Copy)]
pub(super) struct Load {
    pub(super) size: usize,
    pub(super) reads: bool,
    /// It runs code that somebody else wrote, which may answer as servers do of themselves.
    pub(super) code: bool,
}

impl Load {
    pub(super) fn of(row: &Row, size: usize) -> Self {
        Self { size, reads: row.is_read(), code: row.speaker() == Speaker::PerhapsCode }
    }
}

/// What goes to one shard, and what came back.
pub(super) struct ShardBatch {
    id: ShardId,
    first: usize,
    last: usize,
    /// Frames whose replies were not handed out.
    owed: usize,
    size: usize,
    /// The index of the last request that may write.
    last_write: Option<usize>,
    /// And of the last that runs code.
    last_code: Option<usize>,
    /// So many of `arrived`, from the first on, are known to be one refusal.
    refused: usize,
    /// What it refused was made again, and refused again.
    refuses: bool,
    /// How many connections the shard had made when this was sent.
    connects: u64,
    arrived: VecDeque<Reply>,
    link: Link,
}

enum Link {
    Open(OwnedStream),
    /// What those get that are not answered by what has arrived.
    Failed(Error),
    /// All that will ever come has arrived.
    Over,
}

impl ShardBatch {
    pub(super) const fn id(&self) -> ShardId {
        self.id
    }

    /// What goes to this shard begins with this frame. What was there before is forgotten.
    pub(super) fn begin(&mut self, id: ShardId, pieces: &mut Vec<Piece>, frame: Frame, load: Load) {
        self.id = id;
        self.first = pieces.len();
        (self.owed, self.size) = (0, 0);
        (self.refused, self.refuses) = (0, false);
        (self.last_write, self.last_code) = (None, None);
        self.push(pieces, frame, load);
    }

    /// And goes on with this one.
    pub(super) fn add(&mut self, pieces: &mut Vec<Piece>, frame: Frame, load: Load) {
        let place = pieces.len();
        if let Some(last) = pieces.get_mut(self.last) {
            last.next = place;
        }
        self.push(pieces, frame, load);
    }

    fn push(&mut self, pieces: &mut Vec<Piece>, frame: Frame, load: Load) {
        self.last = pieces.len();
        self.owed += 1;
        self.size += load.size;
        if !load.reads {
            self.last_write = Some(frame.request());
        }
        if load.code {
            self.last_code = Some(frame.request());
        }
        pieces.push(Piece { frame, next: usize::MAX });
    }

    /// Whether no request behind this one, which may write, was sent here.
    pub(super) fn writes_nothing_behind(&self, request: usize) -> bool {
        self.last_write.is_none_or(|last| last <= request)
    }

    /// Whether no request behind this one, which runs code, was sent here.
    pub(super) fn runs_no_code_behind(&self, request: usize) -> bool {
        self.last_code.is_none_or(|last| last <= request)
    }

    /// How many connections the shard had made when this was sent.
    pub(super) const fn connects(&self) -> u64 {
        self.connects
    }

    /// Sends all of it in one write. `write` writes a frame.
    pub(super) fn send(
        &mut self,
        engine: &Engine,
        topology: &Topology<Shard>,
        pieces: &[Piece],
        write: &impl Fn(&Frame, &mut Vec<u8>) -> Option<()>,
    ) {
        let room = std::mem::take(&mut self.arrived);
        let sent = serving(topology, self.id).and_then(|shard| {
            self.connects = shard.pulse().connects();
            let frames = Outgoing { batch: self, pieces, write };
            OwnedStream::send(&shard, engine.manner(&shard), &frames, room)
                .map_err(|failure| shard.error(failure))
        });
        self.link = match sent {
            Ok(stream) => Link::Open(stream),
            Err(error) => Link::Failed(error),
        };
    }

    /// Gives up what is not answered, and keeps the memory.
    pub(super) fn clear(&mut self) {
        self.link = Link::Over;
        self.arrived.clear();
    }

    /// Ready when there is a reply, or will be none.
    pub(super) fn poll_ready(&mut self, context: &Context<'_>) -> Poll<()> {
        if self.arrived.is_empty() { self.receive(context) } else { Poll::Ready(()) }
    }

    /// Whether all replies that were not handed out are this refusal. Ready as soon as one is known not to be. Each reply is
    /// looked at once, so it has to be the refusal that the last reply was which was handed out.
    pub(super) fn poll_refused(&mut self, refusal: fn(&Reply) -> bool, context: &Context<'_>) -> Poll<bool> {
        loop {
            self.refused += self.arrived.iter().skip(self.refused).take_while(|reply| refusal(reply)).count();
            if self.refused < self.arrived.len() {
                return Poll::Ready(false);
            }
            if !matches!(self.link, Link::Open(_)) {
                return Poll::Ready(self.arrived.len() == self.owed);
            }
            ready!(self.receive(context));
        }
    }

    /// Whether it goes on refusing what is made again.
    pub(super) const fn refuses(&self) -> bool {
        self.refuses
    }

    /// What was made again it has refused again.
    pub(super) const fn refuses_on(&mut self) {
        self.refuses = true;
    }

    fn receive(&mut self, context: &Context<'_>) -> Poll<()> {
        let Link::Open(stream) = &mut self.link else { return Poll::Ready(()) };
        let before = self.arrived.len();
        match stream.receive(&mut self.arrived, context) {
            Ok(Stream::Open) if self.arrived.len() == before => return Poll::Pending,
            Ok(Stream::Open) => {}
            Ok(Stream::Ended) => self.link = Link::Over,
            Err(error) => self.link = Link::Failed(error),
        }
        Poll::Ready(())
    }

    /// The next reply, or why there is none.
    pub(super) fn pop(&mut self) -> Result<Reply, Error> {
        self.pop_taken().ok_or_else(|| {
            self.owed = self.owed.saturating_sub(1);
            match &self.link {
                Link::Failed(error) => error.clone(),
                Link::Open(_) | Link::Over => too_few(),
            }
        })
    }

    /// The next reply, where it was received.
    #[inline]
    pub(super) fn pop_taken(&mut self) -> Option<Reply> {
        let reply = self.arrived.pop_front()?;
        self.owed = self.owed.saturating_sub(1);
        self.refused = self.refused.saturating_sub(1);
        Some(reply)
    }

    /// The bytes of replies that are here and were not handed out.
    pub(super) fn held(&self) -> usize {
        let taken: usize = self.arrived.iter().map(|reply| reply.frame().len()).sum();
        match &self.link {
            Link::Open(stream) => taken + stream.held(),
            Link::Failed(_) | Link::Over => taken,
        }
    }
}

impl Default for ShardBatch {
    /// Of no shard yet.
    fn default() -> Self {
        let id = ShardId::new(usize::MAX);
        Self {
            id,
            first: 0,
            last: 0,
            owed: 0,
            size: 0,
            last_write: None,
            last_code: None,
            refused: 0,
            refuses: false,
            connects: 0,
            arrived: VecDeque::new(),
            link: Link::Over,
        }
    }
}

/// The frames that go to one shard as they are written.
struct Outgoing<'s, W> {
    batch: &'s ShardBatch,
    pieces: &'s [Piece],
    write: &'s W,
}

impl<W: Fn(&Frame, &mut Vec<u8>) -> Option<()>> Frames for Outgoing<'_, W> {
    fn replies(&self) -> u32 {
        u32::try_from(self.batch.owed).unwrap_or(u32::MAX)
    }

    fn size(&self) -> usize {
        self.batch.size
    }

    fn write(&self, out: &mut Vec<u8>) {
        let mut at = self.batch.first;
        while let Some(piece) = self.pieces.get(at) {
            let _ = (self.write)(&piece.frame, out);
            at = piece.next;
        }
    }
}

fn too_few() -> Error {
    Error::new(Cause::new(Kind::Protocol, "too few replies to a batch"), Sent::Maybe, None)
}
