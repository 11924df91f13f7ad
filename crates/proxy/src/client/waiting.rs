//! What a client does while it waits: for more to do, or for what a request of its own comes to.

use std::future::{Future, pending, poll_fn};
use std::io;
use std::pin::pin;
use std::sync::Arc;

use rendis_core::command::Blocks;
use rendis_core::request::{Request, RequestBuf};
use rendis_engine::engine::Engine;
use rendis_engine::error::{Error, Kind};
use rendis_engine::gather::Executed;
use rendis_engine::pubsub::Message;

use super::{Client, FLUSH_AT, Flow};
use crate::subscription::{Subscriber, push_message};

impl Client {
    /// Waits for more from the client, and passes on what it listens to meanwhile. Nothing is owed here, so this is where
    /// a client leaves when the ring ends.
    pub(super) async fn wait(&mut self) -> io::Result<Flow> {
        let room = self.inbox.room();
        let Self { peer, inbox, transaction, .. } = self;
        let read = async {
            let mut read = pin!(peer.read(&mut inbox.arrived, room));
            poll_fn(|context| {
                let read = read.as_mut().poll(context);
                if read.is_pending() {
                    transaction.heard();
                }
                read
            })
            .await
        };
        let count = match &self.subscriber {
            None => match self.context.stop.unless_draining(read).await {
                Some(read) => read?,
                None => return Ok(Flow::End),
            },
            Some(subscriber) => tokio::select! {
                () = self.context.stop.draining() => return Ok(Flow::End),
                read = read => read?,
                message = subscriber.next() => return Ok(self.hear_all(message)),
            },
        };
        self.context.stats.received.add(count);
        self.inbox.read(count);
        Ok(if count == 0 { Flow::End } else { Flow::On })
    }

    /// Passes on this message and those that have arrived with it, as many as go out in one write.
    fn hear_all(&mut self, first: Option<Result<Arc<Message>, Error>>) -> Flow {
        self.identity.card().heard();
        let mut next = Some(first);
        while let Some(message) = next {
            if self.hear(message) == Flow::End {
                return Flow::End;
            }
            let subscriber = self.subscriber.as_deref().filter(|_| self.out.bytes.len() < FLUSH_AT);
            next = subscriber.and_then(Subscriber::arrived);
        }
        Flow::On
    }

    /// Passes on what it listens to.
    fn hear(&mut self, message: Option<Result<Arc<Message>, Error>>) -> Flow {
        let message = match message {
            Some(Ok(message)) => message,
            // As a server does with a subscriber it cannot serve.
            Some(Err(error)) => {
                if error.kind() == Kind::Busy {
                    self.dropped(&error);
                }
                return Flow::End;
            }
            None => return Flow::End,
        };
        // What a user may hear is looked at before each message, which is no time for errors.
        if self.identity.is_outdated(&self.context.shared) && self.become_current() == Flow::End {
            return Flow::End;
        }
        push_message(&mut self.out.bytes, self.identity.resp3, &message);
        Flow::On
    }

    /// Waits for what a request comes to that waits for no other client. What was answered before it is written when this
    /// takes longer than a moment.
    pub(super) async fn meanwhile<T>(&mut self, coming: impl Future<Output = T>) -> io::Result<T> {
        let mut coming = pin!(coming);
        loop {
            tokio::select! {
                biased;
                done = &mut coming => return Ok(done),
                () = self.context.ticker.moment(), if !self.out.bytes.is_empty() => self.flush().await?,
            }
        }
    }

    /// Waits until names that it wants to listen to as well are added, and passes on what it listens to meanwhile. `None` when
    /// it has to go.
    pub(super) async fn listen_meanwhile(
        &mut self,
        adding: impl Future<Output = Result<(), Error>>,
    ) -> io::Result<Option<Result<(), Error>>> {
        let mut adding = pin!(adding);
        loop {
            let message = match &mut self.subscriber {
                Some(subscriber) => tokio::select! {
                    biased;
                    added = &mut adding => {
                        if added.is_err() {
                            subscriber.not_added(self.identity.resp3, &mut self.out.bytes);
                        }
                        return Ok(Some(added));
                    }
                    message = subscriber.next_confirmed() => message,
                    () = self.context.ticker.moment(), if !self.out.bytes.is_empty() => {
                        self.flush().await?;
                        continue;
                    }
                },
                None => return Ok(None),
            };
            self.identity.card().heard();
            if self.hear(message) == Flow::End {
                return Ok(None);
            }
            if self.out.bytes.len() >= FLUSH_AT {
                self.flush().await?;
            }
        }
    }

    /// Passes on what has arrived for it.
    pub(super) fn hear_arrived(&mut self) -> Flow {
        match self.subscriber.as_deref().and_then(Subscriber::arrived) {
            Some(first) => self.hear_all(first),
            None => Flow::On,
        }
    }

    /// Runs a request that may wait on a server, and watches the client meanwhile. What was answered before it is written
    /// when this takes longer than a moment, and what the client sends is read ahead as far as its window.
    ///
    /// Where the request waits for what others do, the client hears what it listens to, and its leaving is looked for
    /// beyond the window: `None` when it has gone, and what it waited for is given up, as it is when the ring ends. Anything
    /// else is run to its end, unless `CLIENT KILL` ends the client.
    pub(super) async fn run_watched(
        &mut self,
        request: &RequestBuf,
        engine: &Engine,
    ) -> io::Result<Option<Result<Executed, Error>>> {
        // It may be long until there is another look at what the client holds. Too much is refused there.
        let _ = self.count();
        let waits = may_wait(engine, request.view());
        let stats = Arc::clone(&self.context.stats);
        let _blocked = waits.then(|| stats.block());
        let card = Arc::clone(self.identity.card());
        card.blocks(waits);
        let mut running = pin!(engine.run(request));
        let mut sends = true;
        loop {
            let full = self.inbox.arrived.len() >= READ_AHEAD;
            let more = async {
                if full {
                    self.peer.ended().await;
                    return Ok(0);
                }
                self.peer.read(&mut self.inbox.arrived, ROOM_AHEAD).await
            };
            tokio::select! {
                biased;
                result = &mut running => {
                    card.blocks(false);
                    return Ok(Some(result));
                }
                () = self.context.stop.draining(), if waits => {
                    self.give_up(1);
                    self.refuse_rest();
                    return Ok(None);
                }
                read = more, if sends && (waits || !full) => match read? {
                    0 if waits => return Ok(None),
                    // One that only stopped sending is owed its answers.
                    0 => sends = false,
                    count => self.context.stats.received.add(count),
                },
                message = next(self.subscriber.as_deref()), if waits => {
                    let flow = self.hear_all(message);
                    self.flush().await?;
                    if flow == Flow::End {
                        return Ok(None);
                    }
                }
                () = self.context.ticker.moment(), if !self.out.bytes.is_empty() => self.flush().await?,
            }
        }
    }
}

/// The next message for a client that listens.
async fn next(subscriber: Option<&Subscriber>) -> Option<Result<Arc<Message>, Error>> {
    match subscriber {
        Some(subscriber) => subscriber.next().await,
        None => pending().await,
    }
}

/// Whether a request can wait for what others do.
fn may_wait(engine: &Engine, request: Request<'_>) -> bool {
    engine.table().load().find(request).blocks(request) != Blocks::No
}

/// How much is read ahead while a request waits on a server, and how much at a time.
const READ_AHEAD: usize = 1 << 20;
const ROOM_AHEAD: usize = 4 << 10;
