//! One direction of a connection, and the two ends that a connection has.

use std::{
    collections::VecDeque,
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep_until},
};

use super::weather::Weather;

/// Bytes on their way from one end to the other. They arrive in order, each after the delay of the moment it was
/// written in, and only while the way is open.
#[derive(Debug)]
pub(super) struct Pipe {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    chunks: VecDeque<(Instant, Vec<u8>)>,
    held: usize,
    /// How many bytes the sender can be ahead of the reader: both sockets' buffers.
    capacity: usize,
    frozen: bool,
    /// When the reader learns that no more bytes come.
    ended: Option<Instant>,
    reset: bool,
    abandoned: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl Pipe {
    pub(super) fn new(capacity: usize) -> Arc<Self> {
        let state = State {
            chunks: VecDeque::new(),
            held: 0,
            capacity,
            frozen: false,
            ended: None,
            reset: false,
            abandoned: false,
            reader: None,
            writer: None,
        };
        Arc::new(Self { state: Mutex::new(state) })
    }

    /// Nothing arrives until it is thawed; what was written meanwhile arrives then.
    pub(super) fn freeze(&self, frozen: bool) {
        self.change(|state| state.frozen = frozen);
    }

    /// Both ends meet a reset connection, and what is on its way is lost.
    pub(super) fn reset(&self) {
        self.change(|state| {
            state.reset = true;
            state.chunks.clear();
        });
    }

    /// No more bytes are written; those that were arrive first.
    pub(super) fn end(&self, due: Instant) {
        self.change(|state| state.ended = state.ended.or(Some(due)));
    }

    /// Nobody reads any more.
    fn abandon(&self) {
        self.change(|state| {
            state.abandoned = true;
            state.chunks.clear();
        });
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.lock();
        change(&mut state);
        let wakers = [state.reader.take(), state.writer.take()];
        drop(state);
        wakers.into_iter().flatten().for_each(Waker::wake);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What can be read now; else until when to wait, where that is known.
    fn read(&self, context: &Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<Option<Instant>>> {
        let mut state = self.lock();
        if state.reset {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        state.reader = Some(context.waker().clone());
        if state.frozen {
            return Poll::Pending;
        }
        let now = Instant::now();
        let Some((due, bytes)) = state.chunks.front_mut() else {
            return match state.ended {
                Some(due) if due <= now => Poll::Ready(Ok(None)),
                Some(due) => Poll::Ready(Ok(Some(due))),
                None => Poll::Pending,
            };
        };
        if *due > now {
            return Poll::Ready(Ok(Some(*due)));
        }
        let count = bytes.len().min(into.remaining());
        into.put_slice(&bytes[..count]);
        bytes.drain(..count);
        if bytes.is_empty() {
            state.chunks.pop_front();
        }
        state.held -= count;
        let writer = state.writer.take();
        drop(state);
        if let Some(writer) = writer {
            writer.wake();
        }
        Poll::Ready(Ok(None))
    }

    fn write(&self, context: &Context<'_>, bytes: &[u8], delay: Duration) -> Poll<io::Result<usize>> {
        let mut state = self.lock();
        if state.reset {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        if state.abandoned || state.ended.is_some() {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let count = bytes.len().min(state.capacity - state.held);
        if count == 0 {
            state.writer = Some(context.waker().clone());
            return Poll::Pending;
        }
        let due = Instant::now() + delay;
        let due = state.chunks.back().map_or(due, |(last, _)| due.max(*last));
        match state.chunks.back_mut() {
            Some((last, chunk)) if *last == due => chunk.extend_from_slice(&bytes[..count]),
            _ => state.chunks.push_back((due, bytes[..count].to_vec())),
        }
        state.held += count;
        let reader = state.reader.take();
        drop(state);
        if let Some(reader) = reader {
            reader.wake();
        }
        Poll::Ready(Ok(count))
    }
}

/// One end of a simulated connection.
#[derive(Debug)]
pub struct Socket {
    incoming: Arc<Pipe>,
    outgoing: Arc<Pipe>,
    weather: Arc<Weather>,
    timer: Pin<Box<Sleep>>,
    /// Dropping it throws away what was written and has not arrived, as the engine asks of the system's sockets.
    discards: bool,
}

impl Socket {
    pub(super) fn new(incoming: &Arc<Pipe>, outgoing: &Arc<Pipe>, weather: &Arc<Weather>) -> Self {
        Self {
            incoming: Arc::clone(incoming),
            outgoing: Arc::clone(outgoing),
            weather: Arc::clone(weather),
            timer: Box::pin(sleep_until(Instant::now())),
            discards: false,
        }
    }

    pub(super) fn discarding(mut self) -> Self {
        self.discards = true;
        self
    }

    /// Whether the other end threw the connection away.
    pub(super) fn was_reset(&self) -> bool {
        self.incoming.lock().reset
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            let Some(due) = ready!(self.incoming.read(context, into))? else { return Poll::Ready(Ok(())) };
            self.timer.as_mut().reset(due);
            ready!(self.timer.as_mut().poll(context));
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        // Sockets take less than they are offered whenever they like.
        let offered = self.weather.bite(bytes.len());
        self.outgoing.write(context, &bytes[..offered], self.weather.delay())
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.outgoing.end(Instant::now() + self.weather.delay());
        Poll::Ready(Ok(()))
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if self.discards {
            self.outgoing.reset();
        } else {
            self.outgoing.end(Instant::now() + self.weather.delay());
        }
        self.incoming.abandon();
    }
}
