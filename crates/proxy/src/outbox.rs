//! What a client is owed and has not taken: replies on their way into its socket.
//!
//! A client that is slow, or stops reading, costs what is held for it and nothing else: nothing is read from it
//! meanwhile, and nothing further is sent for it. It may be as slow as it likes with little. With more than
//! [`MOST_HELD`] it has to take something within the write deadline, and more than [`MOST_BEHIND`] is not held for anybody.
//! What it holds is counted with what other clients do ([`Holding`]).

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

use crate::memory::Holding;
use crate::peer::Peer;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    /// Replies that are not written yet.
    pub(crate) bytes: Vec<u8>,
    /// A reply may be half written.
    writing: bool,
    /// How long the client has taken nothing, in all.
    waited: Duration,
}

/// What is looked at when a client takes nothing.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Held {
    /// Bytes of replies and messages that wait behind those being written.
    pub(crate) behind: usize,
    /// Messages for it were lost already, because it does not take them.
    pub(crate) lost: bool,
    /// How long a client may take nothing while too much is held for it.
    pub(crate) deadline: Duration,
}

/// Too much is held for a client that does not take it.
#[derive(Debug, thiserror::Error)]
#[error("{held} bytes of replies are held for a client that does not read them")]
pub(crate) struct TooSlow {
    held: usize,
}

impl Outbox {
    /// Writes what is there, and says how many bytes that were. `held` is asked while the client takes nothing.
    ///
    /// # Errors
    /// What the socket gives; [`TooSlow`] inside when the client has to be dropped.
    pub(crate) async fn flush(
        &mut self,
        peer: &mut Peer,
        holding: &mut Holding,
        held: impl Fn() -> Held,
    ) -> io::Result<usize> {
        let count = self.bytes.len();
        if count > 0 {
            self.writing = true;
            self.waited += write(peer, &self.bytes, holding, held).await?;
            self.writing = false;
            self.bytes.clear();
        }
        Ok(count)
    }

    /// Writes a reply from where it lies. What was there before has to be flushed.
    ///
    /// # Errors
    /// As [`Outbox::flush`].
    pub(crate) async fn write(
        &mut self,
        peer: &mut Peer,
        reply: &[u8],
        holding: &mut Holding,
        held: impl Fn() -> Held,
    ) -> io::Result<()> {
        self.writing = true;
        self.waited += write(peer, reply, holding, held).await?;
        self.writing = false;
        Ok(())
    }

    /// How long it was waited for the client to take what is for it, in all.
    pub(crate) const fn waited(&self) -> Duration {
        self.waited
    }

    /// Whether the client may have a part of a reply, and can be told nothing else.
    pub(crate) const fn is_torn(&self) -> bool {
        self.writing
    }
}

impl Held {
    /// # Errors
    /// [`TooSlow`], when so much is more than may be.
    pub(crate) fn check_behind(self) -> io::Result<()> {
        if self.behind > MOST_BEHIND { Err(too_slow(self.behind)) } else { Ok(()) }
    }
}

/// Writes all of it, and says how long the client took nothing meanwhile.
async fn write(
    peer: &mut Peer,
    bytes: &[u8],
    holding: &mut Holding,
    held: impl Fn() -> Held,
) -> io::Result<Duration> {
    let mut rest = bytes;
    // Nearly always the socket takes everything at once, and there is no timer.
    let mut stuck: Option<Stuck> = None;
    let written = poll_fn(|context| {
        loop {
            let before = rest.len();
            if poll_write(peer, context, &mut rest)?.is_ready() {
                return Poll::Ready(Ok(()));
            }
            let stuck = stuck.get_or_insert_with(Stuck::begin);
            if rest.len() < before {
                stuck.since = Instant::now();
            }
            ready!(stuck.timer.as_mut().poll(context));
            stuck.timer.as_mut().reset(Instant::now() + TICK);
            let held = held();
            held.check_behind()?;
            let all = rest.len().saturating_add(held.behind);
            holding.set_replies(all).map_err(|too_much| io::Error::new(io::ErrorKind::TimedOut, too_much))?;
            if (all > MOST_HELD || held.lost) && stuck.since.elapsed() >= held.deadline {
                return Poll::Ready(Err(too_slow(all)));
            }
        }
    })
    .await;
    let waited = stuck.map(|stuck| stuck.begun.elapsed());
    if waited.is_some() {
        // Nothing is refused to who holds less.
        let _ = holding.set_replies(0);
    }
    written.map(|()| waited.unwrap_or_default())
}

/// Writes as much as the socket takes.
fn poll_write(peer: &mut Peer, context: &mut Context<'_>, rest: &mut &[u8]) -> io::Result<Poll<()>> {
    while !rest.is_empty() {
        match peer.poll_write(context, rest)? {
            Poll::Ready(0) => return Err(io::ErrorKind::WriteZero.into()),
            Poll::Ready(count) => *rest = rest.get(count..).unwrap_or_default(),
            Poll::Pending => return Ok(Poll::Pending),
        }
    }
    match peer.poll_flush(context)? {
        Poll::Ready(()) => Ok(Poll::Ready(())),
        Poll::Pending => Ok(Poll::Pending),
    }
}

/// A socket that does not take all at once: when that began, and since when it takes nothing.
struct Stuck {
    begun: Instant,
    since: Instant,
    timer: Pin<Box<Sleep>>,
}

impl Stuck {
    fn begin() -> Self {
        let now = Instant::now();
        Self { begun: now, since: now, timer: Box::pin(tokio::time::sleep(TICK)) }
    }
}

fn too_slow(held: usize) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, TooSlow { held })
}

/// What is held for a client that takes nothing within the write deadline; and behind the reply that is being written,
/// which may be as long as a value, for any client.
const MOST_HELD: usize = 64 << 20;
const MOST_BEHIND: usize = 256 << 20;

/// How often is looked what is held for a client that takes nothing.
const TICK: Duration = Duration::from_millis(100);
