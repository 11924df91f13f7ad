//! One connection to one shard, for as long as the shard has something to send.
//!
//! ```text
//!   connecting ──ok──► serving ──lost──► connecting        not needed any more: the task ends, wherever it is
//!       │ failed          │ short-lived      ▲
//!       └──► resting ◄────┘ ─────────────────┘
//! ```
//! While serving, one request is under way at a time. A connection from which nothing comes for a while is asked for
//! a sign of life; when none comes in time it is given up. A server that runs a script and takes no requests meanwhile
//! sends messages all the same: it is asked again later. After a good many messages the link lets its listeners run, so that
//! one that reads all the time is not overrun by a burst.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use rendis_core::health::Probe;
use tokio::sync::Notify;
use tokio::task::yield_now;
use tokio::time::{Instant, sleep, sleep_until};

use super::audience::ListenerId;
use super::book::{LinkId, Needed, Next, Shared, Source, Start};
use super::frame::{self, Arrived, Verb};
use super::mailbox::Message;
use super::slots::{Batch, Topic};
use crate::backoff::Backoff;
use crate::connection::Connection;
use crate::error::{Cause, Error, Failure, Kind};

/// Serves the link until it is not needed any more. `reply` is how long an answer may take.
pub(super) async fn run(shared: Arc<Shared>, link: Start, reply: Duration) {
    let mut backoff = Backoff::new(REST_AT_LEAST, REST_AT_MOST);
    loop {
        let mut stood = Duration::ZERO;
        let end = match link.source.dialer.dial().await {
            Ok(connection) => {
                let since = Instant::now();
                let serving = Serving {
                    shared: &shared,
                    id: link.id,
                    source: &link.source,
                    wishes: &link.wishes,
                    connection,
                    reply,
                    under_way: None,
                    halves: Vec::new(),
                    not_before: None,
                    turn: 0,
                    heard: since,
                    asked: since,
                    woken: Vec::new(),
                    overflowed: Vec::new(),
                };
                let end = serving.run().await;
                stood = since.elapsed();
                end
            }
            Err(cause) => End::Lost(cause),
        };
        let End::Lost(cause) = end else { return };
        tracing::debug!(
            shard = link.source.endpoint.name,
            address = link.source.endpoint.address,
            why = cause.text,
            "no connection for subscriptions"
        );
        if shared.change(|book| book.lost(link.id, &cause)) == Needed::No {
            return;
        }
        let Some(wait) = backoff.after(stood) else { continue };
        tokio::select! {
            biased;
            () = sleep(wait) => {}
            () = link.nudge.notified() => {
                backoff.reset();
                // Callers can nudge as often as they like.
                sleep(REST_AT_LEAST).await;
            }
        }
    }
}

/// How serving ended.
enum End {
    NotNeeded,
    Lost(Arc<Cause>),
}

impl From<Failure> for End {
    fn from(failure: Failure) -> Self {
        Self::Lost(failure.cause)
    }
}

/// What the server owes an answer to.
enum UnderWay {
    Ping,
    Change(Batch),
}

struct Serving<'l> {
    shared: &'l Shared,
    id: LinkId,
    source: &'l Source,
    wishes: &'l Notify,
    connection: Connection,
    reply: Duration,
    under_way: Option<UnderWay>,
    /// Parts of a request that was refused as a whole, because the server does not say which name it refused.
    halves: Vec<Batch>,
    /// When to ask again what was refused for now.
    not_before: Option<Instant>,
    /// What was given out since the listeners ran.
    turn: usize,
    /// When the server was last heard of, or asked.
    heard: Instant,
    /// When it was asked what it owes an answer to, or last answered a part of it.
    asked: Instant,
    /// Reused between messages.
    woken: Vec<Waker>,
    overflowed: Vec<ListenerId>,
}

impl Serving<'_> {
    async fn run(mut self) -> End {
        if self.shared.change(|book| book.connected(self.id)) == Needed::No {
            return End::NotNeeded;
        }
        match self.serve().await {
            Err(end) => end,
            Ok(never) => match never {},
        }
    }

    async fn serve(&mut self) -> Result<Infallible, End> {
        loop {
            if self.not_before.is_some_and(|not_before| not_before <= Instant::now()) {
                self.not_before = None;
            }
            if self.under_way.is_none() && self.not_before.is_none() {
                self.ask_next().await?;
            }
            // Messages are no answer.
            let due = match (&self.under_way, self.not_before) {
                (Some(_), _) => self.asked + self.reply,
                (None, Some(not_before)) => not_before,
                (None, None) => self.heard + PING_AFTER,
            };
            tokio::select! {
                biased;
                reply = self.connection.next_frame(None) => {
                    let reply = reply?;
                    self.turn += 1 + reply.frame().len() / COUNTS_AS_ONE;
                    let arrived = frame::read(reply);
                    self.heard = Instant::now();
                    self.arrived(arrived)?;
                    if self.turn >= TURN {
                        self.turn = 0;
                        yield_now().await;
                    }
                }
                () = self.wishes.notified(), if self.under_way.is_none() && self.not_before.is_none() => {}
                () = sleep_until(due) => {
                    if self.not_before.is_some() {
                        continue;
                    }
                    if self.under_way.is_some() {
                        let text = format!("no answer in {:?} to what was subscribed to, or to a PING", self.reply);
                        return Err(End::Lost(Cause::new(Kind::Timeout, text)));
                    }
                    self.ask(UnderWay::Ping).await?;
                }
            }
        }
    }

    async fn ask_next(&mut self) -> Result<(), End> {
        let batch = match self.halves.pop() {
            Some(half) => half,
            None => match self.shared.change(|book| book.next(self.id)) {
                Next::Ask(batch) => batch,
                Next::Nothing => return Ok(()),
                Next::End => return Err(End::NotNeeded),
            },
        };
        self.ask(UnderWay::Change(batch)).await
    }

    async fn ask(&mut self, what: UnderWay) -> Result<(), End> {
        let request = match &what {
            UnderWay::Ping => frame::ping(),
            UnderWay::Change(batch) => frame::request(batch.verb, batch.kind, batch.names.iter()),
        };
        self.under_way = Some(what);
        self.connection.send(&request).await?;
        self.connection.flush().await?;
        self.heard = Instant::now();
        self.asked = self.heard;
        Ok(())
    }

    fn arrived(&mut self, arrived: Arrived) -> Result<(), End> {
        match arrived {
            Arrived::Message { kind, pattern, channel, payload } => {
                let shard = Arc::clone(&self.source.endpoint);
                self.deliver(Message { kind, pattern, channel, payload, shard });
                Ok(())
            }
            Arrived::Confirmed { verb, kind, name } => self.confirmed(verb, Topic { kind, name }),
            Arrived::Refused(line, probe) => match self.under_way.take() {
                Some(UnderWay::Ping) => Ok(()),
                Some(UnderWay::Change(batch)) => self.refused(batch, line, probe),
                None => Err(out_of_step(&format!("an error that answers nothing: {line}"))),
            },
            Arrived::Push => Ok(()),
            Arrived::Reply => match self.under_way.take() {
                Some(UnderWay::Ping) => Ok(()),
                _ => Err(out_of_step("a reply that nobody asked for")),
            },
        }
    }

    /// To every listener's queue; a listener whose queue is full is ended, and nobody waits for it.
    fn deliver(&mut self, message: Message) {
        let name = message.pattern.as_ref().unwrap_or(&message.channel).clone();
        let topic = Topic { kind: message.kind, name };
        let Some(audience) = self.shared.change(|book| book.audience(self.id, &topic)) else { return };
        audience.deliver(&Arc::new(message), &mut self.woken, &mut self.overflowed);
        drop(audience);
        self.woken.drain(..).for_each(Waker::wake);
        for listener in self.overflowed.drain(..) {
            // Its mailbox knows the error already; this ends its topics.
            let error = Error::local(Kind::Busy, "the listener fell behind");
            self.shared.change(|book| book.end(listener, error));
        }
    }

    fn confirmed(&mut self, verb: Verb, topic: Topic) -> Result<(), End> {
        let Some(UnderWay::Change(batch)) = &mut self.under_way else {
            return Err(out_of_step("the server began or ended a subscription by itself"));
        };
        let next = batch.names.front();
        if (batch.verb, batch.kind) != (verb, topic.kind) || next != Some(&topic.name) {
            return Err(out_of_step("a confirmation of something else than was asked"));
        }
        batch.names.pop_front();
        self.asked = Instant::now();
        if batch.names.is_empty() {
            self.under_way = None;
        }
        self.shared.change(|book| book.confirmed(self.id, &topic, verb));
        Ok(())
    }

    fn refused(&mut self, mut batch: Batch, line: String, probe: Probe) -> Result<(), End> {
        if matches!(probe, Probe::Busy | Probe::Loading) {
            self.halves.push(batch);
            self.not_before = Some(Instant::now() + ASK_AGAIN_AFTER);
            let cause = Cause::new(Kind::Server, line);
            self.shared.change(|book| book.refused_for_now(self.id, cause));
            return Ok(());
        }
        if batch.verb == Verb::End {
            return Err(End::Lost(Cause::new(Kind::Server, line)));
        }
        if batch.names.len() > 1 {
            let names = batch.names.split_off(batch.names.len() / 2);
            self.halves.push(Batch { names, ..batch });
            self.halves.push(batch);
            return Ok(());
        }
        for name in std::mem::take(&mut batch.names) {
            let topic = Topic { kind: batch.kind, name };
            self.shared.change(|book| book.refused(self.id, &topic, line.clone()));
        }
        Ok(())
    }
}

fn out_of_step(what: &str) -> End {
    End::Lost(Cause::new(Kind::Protocol, what))
}

/// When a server that took no request for now is asked again.
const ASK_AGAIN_AFTER: Duration = Duration::from_millis(50);

/// After so many messages the listeners run; a large one counts as one more for each of so many bytes.
const TURN: usize = 64;
const COUNTS_AS_ONE: usize = 16 << 10;

/// A server that says nothing for so long is asked whether it lives.
const PING_AFTER: Duration = Duration::from_secs(3);

/// The first and the longest rest between attempts to connect.
const REST_AT_LEAST: Duration = Duration::from_millis(10);
const REST_AT_MOST: Duration = Duration::from_secs(1);
