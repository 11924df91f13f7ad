//! One socket that one party has to itself: requests out, replies in, explicit about both.
//!
//! It carries handshakes, probes, blocking commands, watched transactions and the connections of `Pool`. Shared wires
//! are in `wire`.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::BytesMut;
use futures_util::FutureExt;
use rendis_core::reply::{self, Reply};
use rendis_core::scan::{Limits, Scanner};
use rendis_core::session::{Failed, Sent};
#[cfg(unix)]
use rustix::io::Errno;
use tokio::io::{AsyncReadExt, AsyncWrite};
use tokio::task::unconstrained;
use tokio::time::{Instant, timeout, timeout_at};

use crate::error::{Cause, Failure, Kind};
use crate::frames::Frames;
use crate::stream::Stream;

/// A connection with one owner.
///
/// Every method is cancel safe in this sense: a dropped future loses no reply and repeats no byte, and the next call
/// goes on where it stopped. After an error the connection is broken, and every further call fails.
#[derive(Debug)]
pub struct Connection {
    stream: Stream,
    scanner: Scanner,
    arrived: BytesMut,
    outgoing: Vec<u8>,
    /// How many bytes of `outgoing` the socket has accepted.
    written: usize,
    /// The stream may hold back bytes that it has accepted.
    unflushed: bool,
    owed: usize,
    read_deadline: Duration,
    write_deadline: Duration,
    broken: Option<Arc<Cause>>,
    /// When its last user was done with it.
    pub(crate) idle_since: Instant,
}

impl Connection {
    /// A connection over a connected socket. Nothing is sent.
    #[must_use]
    pub fn new(stream: Stream, read_deadline: Duration, write_deadline: Duration) -> Self {
        Self {
            stream,
            scanner: Scanner::new(Limits::REPLY),
            arrived: BytesMut::new(),
            outgoing: Vec::new(),
            written: 0,
            unflushed: false,
            owed: 0,
            read_deadline,
            write_deadline,
            broken: None,
            idle_since: Instant::now(),
        }
    }

    /// See [`Stream::discard_at_close`].
    pub(crate) fn discard_at_close(&self) {
        self.stream.discard_at_close();
    }

    /// Appends requests to what [`Connection::flush`] writes. Does no IO, except that it flushes first when 64 KiB are
    /// already waiting.
    ///
    /// # Errors
    /// As [`Connection::flush`]; the new requests are then not appended.
    pub async fn send<F: Frames + ?Sized>(&mut self, frames: &F) -> Result<(), Failure> {
        if let Some(cause) = &self.broken {
            return Err(Failed { sent: Sent::No, cause: Arc::clone(cause) });
        }
        if self.outgoing.len() - self.written >= FLUSH_AT {
            self.flush().await?;
        }
        frames.write(&mut self.outgoing);
        self.owed += usize::try_from(frames.replies()).unwrap_or(usize::MAX);
        Ok(())
    }

    /// Writes all that was sent. While the socket accepts nothing, replies that have come are read and kept, because
    /// a server may read no further before its own replies are taken.
    ///
    /// # Errors
    /// [`Kind::Timeout`] when the socket accepts nothing for the write deadline, [`Kind::ShardDown`] when it is closed.
    pub async fn flush(&mut self) -> Result<(), Failure> {
        self.check()?;
        while self.written < self.outgoing.len() || self.unflushed {
            match timeout(self.write_deadline, poll_fn(|context| self.poll_write(context))).await {
                Ok(Ok(Wrote::Nothing)) => {
                    return Err(self.broke(Cause::new(Kind::ShardDown, "connection closed while writing")));
                }
                Ok(Ok(Wrote::Bytes(count))) => {
                    self.written += count;
                    self.unflushed = true;
                }
                Ok(Ok(Wrote::Flushed)) => self.unflushed = false,
                Ok(Err(error)) => return Err(self.broke(lost(error))),
                Err(_) => {
                    let text = format!("nothing could be written for {:?}", self.write_deadline);
                    return Err(self.broke(Cause::new(Kind::Timeout, text)));
                }
            }
        }
        self.outgoing.clear();
        self.outgoing.shrink_to(FLUSH_AT * 2);
        self.written = 0;
        Ok(())
    }

    /// Writes some of what was sent, or, when all is written, out of what the stream itself holds back (TLS does).
    /// Reads as long as neither goes on.
    fn poll_write(&mut self, context: &mut Context<'_>) -> Poll<io::Result<Wrote>> {
        let moved = match self.outgoing.get(self.written..) {
            Some(rest @ [_, ..]) => {
                Pin::new(&mut self.stream).poll_write(context, rest).map_ok(|count| match count {
                    0 => Wrote::Nothing,
                    count => Wrote::Bytes(count),
                })
            }
            _ => Pin::new(&mut self.stream).poll_flush(context).map_ok(|()| Wrote::Flushed),
        };
        if moved.is_ready() {
            return moved;
        }
        while self.arrived.len() < READ_AHEAD {
            self.arrived.reserve(READ_AT_LEAST);
            match pin!(self.stream.read_buf(&mut self.arrived)).poll(context) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Ok(Wrote::Nothing)),
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => break,
            }
        }
        Poll::Pending
    }

    /// The next reply, whole within the read deadline. Flushes first what was sent and not flushed. An error reply of
    /// the server is a reply; a push is none and is passed over.
    ///
    /// # Errors
    /// [`Kind::Timeout`], [`Kind::ShardDown`] or [`Kind::Protocol`]; [`Kind::Refused`] when no reply is owed.
    pub async fn receive(&mut self) -> Result<Reply, Failure> {
        self.receive_within(Some(self.read_deadline)).await
    }

    /// As [`Connection::receive`] with another deadline; `None` waits for ever, as blocking commands may.
    ///
    /// # Errors
    /// As [`Connection::receive`].
    pub async fn receive_within(&mut self, deadline: Option<Duration>) -> Result<Reply, Failure> {
        self.check()?;
        if self.owed == 0 {
            let cause = Cause::new(Kind::Refused, "no reply is owed: nothing was sent before receive");
            return Err(Failed { sent: Sent::No, cause });
        }
        if self.written < self.outgoing.len() || self.unflushed {
            self.flush().await?;
        }
        // Of the reply: pushes before it do not renew it.
        let until = deadline.and_then(|deadline| Some((Instant::now().checked_add(deadline)?, deadline)));
        loop {
            let reply = self.frame_until(until).await?;
            if reply.kind() != reply::Kind::Push {
                self.owed -= 1;
                return Ok(reply);
            }
        }
    }

    /// The next frame whether a reply is owed or not, pushes included: for subscriptions, where servers speak unasked.
    /// The deadline is that of the whole frame, however slowly it drips in.
    ///
    /// # Errors
    /// As [`Connection::receive`].
    pub async fn next_frame(&mut self, deadline: Option<Duration>) -> Result<Reply, Failure> {
        let until = deadline.and_then(|deadline| Some((Instant::now().checked_add(deadline)?, deadline)));
        self.frame_until(until).await
    }

    /// The next frame, until a moment, which is the end of so long a deadline.
    async fn frame_until(&mut self, until: Option<(Instant, Duration)>) -> Result<Reply, Failure> {
        self.check()?;
        loop {
            match self.scanner.scan(&self.arrived) {
                Ok(Some(end)) => return Ok(Reply::new(self.arrived.split_to(end).freeze())),
                Ok(None) => {}
                Err(error) => {
                    let text = format!("the answer is not RESP: {error}");
                    return Err(self.broke(Cause::caused_by(Kind::Protocol, text, error)));
                }
            }
            let missing = self.scanner.wanted().saturating_sub(self.arrived.len()).max(READ_AT_LEAST);
            self.arrived.reserve(missing);
            let read = pin!(self.stream.read_buf(&mut self.arrived));
            let read = match until {
                Some((until, deadline)) => timeout_at(until, read).await.map_err(|_| deadline),
                None => Ok(read.await),
            };
            match read {
                Ok(Ok(0)) => {
                    return Err(self.broke(Cause::new(Kind::ShardDown, "connection closed by the server")));
                }
                Ok(Ok(_)) => {}
                Ok(Err(error)) => return Err(self.broke(lost(error))),
                Err(deadline) => {
                    return Err(self.broke(Cause::new(Kind::Timeout, format!("no reply in {deadline:?}"))));
                }
            }
        }
    }

    /// One request and its reply.
    ///
    /// # Errors
    /// As [`Connection::flush`] and [`Connection::receive`].
    pub async fn ask<F: Frames + ?Sized>(&mut self, frames: &F) -> Result<Reply, Failure> {
        self.send(frames).await?;
        self.flush().await?;
        self.receive().await
    }

    /// As [`Connection::ask`], with another deadline; `None` waits for ever.
    ///
    /// # Errors
    /// As [`Connection::ask`].
    pub async fn ask_within<F: Frames + ?Sized>(
        &mut self,
        frames: &F,
        deadline: Option<Duration>,
    ) -> Result<Reply, Failure> {
        self.send(frames).await?;
        self.flush().await?;
        self.receive_within(deadline).await
    }

    /// Replies still owed to what was sent.
    #[must_use]
    pub const fn owed(&self) -> usize {
        self.owed
    }

    /// Whether the connection can be handed to the next user: not broken, nothing owed, nothing unread or unwritten.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.broken.is_none()
            && self.owed == 0
            && self.arrived.is_empty()
            && self.written == self.outgoing.len()
            && !self.unflushed
    }

    /// Whether it is clean and, as far as this side can know without asking, still open: a connection that the server
    /// closed while it was idle, or that got bytes nobody asked for, is not.
    pub fn is_usable(&mut self) -> bool {
        if !self.is_clean() {
            return false;
        }
        self.arrived.reserve(1);
        // Where the task has used up its turn, the socket would say that nothing is there without a look.
        let idle = unconstrained(self.stream.read_buf(&mut self.arrived)).now_or_never().is_none();
        self.arrived = BytesMut::new();
        idle
    }

    /// Whether an error ended it.
    #[must_use]
    pub const fn is_broken(&self) -> bool {
        self.broken.is_some()
    }

    /// The socket, when nothing is owed and nothing waits in the buffers; how a shared wire gets its socket after the
    /// handshake.
    #[must_use]
    pub fn into_stream(self) -> Option<Stream> {
        self.is_clean().then_some(self.stream)
    }

    /// Replaces the deadlines.
    pub fn set_deadlines(&mut self, read: Duration, write: Duration) {
        self.read_deadline = read;
        self.write_deadline = write;
    }

    /// What is owed when the connection broke may have run.
    fn check(&self) -> Result<(), Failure> {
        let sent = if self.owed > 0 { Sent::Maybe } else { Sent::No };
        self.broken.as_ref().map_or(Ok(()), |cause| Err(Failed { sent, cause: Arc::clone(cause) }))
    }

    fn broke(&mut self, cause: Arc<Cause>) -> Failure {
        self.broken = Some(Arc::clone(&cause));
        Failed { sent: Sent::Maybe, cause }
    }
}

/// What one step of writing did.
enum Wrote {
    Bytes(usize),
    Flushed,
    /// The other side is gone.
    Nothing,
}

/// An error of a socket, in words. That nothing can be opened here is no fault of the server.
#[must_use]
pub fn lost(error: io::Error) -> Arc<Cause> {
    if is_want_of_room(&error) {
        return Cause::caused_by(Kind::Busy, format!("this process can open no connection: {error}"), error);
    }
    let text = match error.kind() {
        io::ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        io::ErrorKind::ConnectionReset => "connection reset by the server".to_owned(),
        io::ErrorKind::BrokenPipe => "connection closed by the server".to_owned(),
        io::ErrorKind::NotFound => "no such socket".to_owned(),
        _ => error.to_string(),
    };
    Cause::caused_by(Kind::ShardDown, text, error)
}

/// Whether the limit of open files of the process or the machine was met, or that of memory.
fn is_want_of_room(error: &io::Error) -> bool {
    #[cfg(unix)]
    let files = matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE));
    #[cfg(not(unix))]
    let files = false;
    files || error.kind() == io::ErrorKind::OutOfMemory
}

/// A longer queue of unwritten requests is flushed by itself, so that explicit pipelining needs bounded memory.
const FLUSH_AT: usize = 64 << 10;

/// Replies that are kept while a write is stuck; past it they are left to the socket's buffers.
const READ_AHEAD: usize = 64 << 20;

/// The room that a read is given at least.
const READ_AT_LEAST: usize = 4 << 10;
