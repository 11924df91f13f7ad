//! The door to subscriptions: hubs, listeners, and the task that follows the topology.

use std::future::poll_fn;
use std::sync::{Arc, OnceLock, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use rendis_core::session::Sent;
use rendis_core::topology::Topology;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::timeout;

use super::TopicKind;
use super::audience::{ListenerId, Ticket};
use super::book::{Book, Joined, Mover, Shared, Source, Start};
use super::frame::{Verb, command};
use super::link;
use super::mailbox::{Limits, Mailbox, Message};
use super::slots::Topic;
use crate::engine::{Engine, no_shard, serving};
use crate::error::{Error, Kind};
use crate::runtime;
use crate::shard::Shard;

/// The subscriptions of one engine. Cheap to clone.
///
/// It has no task and no connection while nobody listens. When it and its listeners are gone, everything has ended.
///
/// Listeners can be on several runtimes. Its tasks run on the one that it is given, or else each on that of the listener for
/// whose sake it is begun, and serve those on the others too: such a runtime may end only when no listener on any other
/// needs it any more.
#[derive(Clone)]
pub struct Hub {
    inner: Arc<Inner>,
}

struct Inner {
    engine: Engine,
    shared: Arc<Shared>,
    /// What its tasks run on, if not where the listeners are.
    runtime: Option<Handle>,
}

impl Hub {
    /// The subscriptions of this engine, whose tasks run where its listeners are. A hub keeps its engine at work.
    #[must_use]
    pub fn new(engine: Engine) -> Self {
        Self { inner: Arc::new(Inner { engine, shared: Arc::default(), runtime: None }) }
    }

    /// The subscriptions of this engine, whose tasks run on this runtime. When it ends, so do they, as by [`Hub::close`].
    #[must_use]
    pub fn on(engine: Engine, runtime: Handle) -> Self {
        Self { inner: Arc::new(Inner { engine, shared: Arc::default(), runtime: Some(runtime) }) }
    }

    /// A listener that listens to nothing yet. It keeps the hub, and so the engine, at work.
    #[must_use]
    pub fn listener(&self, limits: Limits) -> Listener {
        let mailbox = Arc::new(Mailbox::new(limits));
        let id = self.inner.shared.change(|book| book.enter(&mailbox));
        Listener { hub: self.clone(), id, mailbox }
    }

    /// How many listeners of this hub listen to a topic, and on how many shards it is subscribed to for them.
    #[must_use]
    pub fn audience(&self, kind: TopicKind, name: &[u8]) -> (usize, usize) {
        self.inner.shared.change(|book| book.count(&Topic { kind, name: Bytes::copy_from_slice(name) }))
    }

    /// Ends every listener with [`Kind::Refused`], after what waits in its queue, and every connection. To be called
    /// with [`Engine::close`].
    pub fn close(&self) {
        self.inner.shared.change(|book| book.close(&closed()));
    }
}

impl std::fmt::Debug for Hub {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Hub").finish_non_exhaustive()
    }
}

impl Inner {
    /// Begins to follow the topology, if that is not done yet. The receiver is made before the topology is looked at,
    /// so no change is missed.
    ///
    /// # Errors
    /// [`Kind::Refused`] where the runtime of the hub has ended.
    fn follow(self: &Arc<Self>, book: &mut Book) -> Result<(), Error> {
        if book.mover.is_some() {
            return Ok(());
        }
        let following = follow(self.engine.changes(), Arc::downgrade(self));
        let number = book.number();
        let begun = Arc::new(OnceLock::new());
        let shared = Arc::downgrade(&self.shared);
        let life = self.runtime.as_ref().map(|_| Life { shared, number, begun: Arc::clone(&begun) });
        let task = self.spawn(async move {
            let _life = life;
            following.await;
        });
        book.mover = Some(Mover { number, task });
        // A runtime that has ended drops the task at once, while the book is locked.
        begun.set(()).map_err(|()| runtime_ended())
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) -> AbortHandle {
        match &self.runtime {
            Some(runtime) => runtime.spawn(task).abort_handle(),
            None => tokio::spawn(task).abort_handle(),
        }
    }

    fn move_topics(&self) {
        self.shared.change(|book| {
            let topology = self.engine.topology();
            for topic in book.topics() {
                // Where no shard is placed at all, topics stay where they were.
                if let Some(sources) = sources(&topology, &topic) {
                    book.place(&topic, &sources);
                }
            }
            self.start_links(book);
            book.nudge();
        });
    }

    fn start_links(&self, book: &mut Book) {
        let reply = self.engine.settings().deadlines.reply;
        book.start_links(|start: Start| self.spawn(link::run(Arc::clone(&self.shared), start, reply)));
    }

    /// How long topics may take to be confirmed.
    fn patience(&self) -> Duration {
        let settings = self.engine.settings();
        settings.deadlines.connect.saturating_add(settings.deadlines.reply)
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.shared.change(|book| book.close(&closed()));
    }
}

/// Somebody who listens. Dropping it ends what it listens to.
///
/// Its methods take `&self`, so that topics can be added while another part of the program reads messages. Only one
/// task at a time may read. Two calls of [`Listener::add`] with the same names should not overlap: the one that fails
/// or is dropped takes back what it added.
pub struct Listener {
    hub: Hub,
    id: ListenerId,
    mailbox: Arc<Mailbox>,
}

impl Listener {
    /// Listens to these topics too, and waits until the shards that have to send them have confirmed: what is
    /// published afterwards is seen. Topics that it listens to already are only waited for. Messages can arrive before
    /// this returns.
    ///
    /// It takes at most the connect deadline and the reply deadline together; in that time broken connections are
    /// tried again, and topics follow the topology.
    ///
    /// Cancel safe: a dropped future, like an error, leaves the listener with the topics it had before; but a shard that
    /// refuses a topic which it had ends it.
    ///
    /// # Errors
    /// [`Kind::ShardDown`] when a shard is down or cannot be reached or no shard is up, [`Kind::Timeout`] when one does
    /// not confirm in time, [`Kind::Auth`], [`Kind::Tls`] or [`Kind::Config`] when it cannot be talked to (or there is no
    /// tokio runtime), [`Kind::Server`] when it refuses, [`Kind::Refused`] when the engine or hub is closed, or its runtime
    /// has ended; and whatever ended the listener before.
    pub async fn add(&self, kind: TopicKind, names: impl IntoIterator<Item = Bytes>) -> Result<(), Error> {
        let named = |error: Error| error.of_command(command(Verb::Begin, kind));
        if Handle::try_current().is_err() {
            return Err(named(Error::local(Kind::Config, "a subscription needs a tokio runtime")));
        }
        let topics: Vec<Topic> = names.into_iter().map(|name| Topic { kind, name }).collect();
        let mut adding = Adding { listener: self, ticket: Ticket::new(self.id), topics, fresh: Vec::new() };
        adding.join().map_err(named)?;
        let patience = self.hub.inner.patience();
        let confirmed = match timeout(patience, adding.ticket.wait()).await {
            Ok(confirmed) => confirmed,
            Err(_) => Err(self.hub.inner.shared.change(|book| book.blame(&adding.topics, patience))),
        };
        if confirmed.is_ok() {
            adding.fresh.clear();
        }
        // What ended the listener says more than that it was given up.
        confirmed.map_err(|error| named(self.mailbox.ended().unwrap_or(error)))
    }

    /// Listens to these topics no more. Messages that wait in the queue are still given. Names that it does not listen
    /// to are passed over.
    pub fn remove(&self, kind: TopicKind, names: impl IntoIterator<Item = Bytes>) {
        let topics: Vec<Topic> = names.into_iter().map(|name| Topic { kind, name }).collect();
        self.hub.inner.shared.change(|book| topics.iter().for_each(|topic| book.leave(self.id, topic)));
    }

    /// The next message; an error when the listener was ended, and then `None`.
    ///
    /// # Errors
    /// [`Kind::Busy`] when the listener fell behind (see [`Limits`]), [`Kind::Server`] when a shard that topics moved
    /// to, or that was reconnected, refused one of them, [`Kind::Refused`] when the hub was closed, or its runtime has
    /// ended.
    pub fn poll_next(&self, context: &mut Context<'_>) -> Poll<Option<Result<Arc<Message>, Error>>> {
        self.mailbox.poll(context)
    }

    /// The bytes of the messages that wait to be taken.
    #[must_use]
    pub fn waiting_bytes(&self) -> usize {
        self.mailbox.bytes()
    }

    /// Whether messages were lost, because too much waited. What waits and was not lost is still there.
    #[must_use]
    pub fn has_fallen_behind(&self) -> bool {
        self.mailbox.ended().is_some_and(|error| error.kind() == Kind::Busy)
    }

    /// As [`Listener::poll_next`]. Cancel safe: a dropped future takes no message.
    ///
    /// # Errors
    /// As [`Listener::poll_next`].
    pub async fn next(&self) -> Option<Result<Arc<Message>, Error>> {
        poll_fn(|context| self.poll_next(context)).await
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.hub.inner.shared.change(|book| book.forget(self.id));
    }
}

impl std::fmt::Debug for Listener {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Listener({})", self.id.0)
    }
}

/// Topics that are being added: taken back when it is dropped, unless all were confirmed.
struct Adding<'l> {
    listener: &'l Listener,
    ticket: Arc<Ticket>,
    topics: Vec<Topic>,
    /// Those that the listener did not have before.
    fresh: Vec<Topic>,
}

impl Adding<'_> {
    fn join(&mut self) -> Result<(), Error> {
        let inner = &self.listener.hub.inner;
        inner.shared.change(|book| {
            if inner.engine.is_closed() {
                return Err(closed());
            }
            if let Some(error) = self.listener.mailbox.ended().or_else(|| book.closed().cloned()) {
                return Err(error);
            }
            if self.topics.is_empty() {
                return Ok(());
            }
            inner.follow(book)?;
            let topology = inner.engine.topology();
            let placed = self.topics.iter().map(|topic| sources_up(&topology, topic));
            let placed = placed.collect::<Result<Vec<_>, _>>()?;
            for (topic, sources) in self.topics.iter().zip(placed) {
                if book.join(topic, &sources, &self.ticket) == Joined::Anew {
                    self.fresh.push(topic.clone());
                }
            }
            inner.start_links(book);
            Ok(())
        })
    }
}

impl Drop for Adding<'_> {
    fn drop(&mut self) {
        self.listener.hub.inner.shared.change(|book| {
            book.withdraw(&self.ticket, &self.topics);
            self.fresh.iter().for_each(|topic| book.leave(self.listener.id, topic));
        });
    }
}

/// A part of the mover of a hub that has a runtime of its own. When it is dropped while the mover is needed, the runtime has
/// been shut down, and nobody would ever hear anything again.
struct Life {
    shared: Weak<Shared>,
    /// The mover's.
    number: u64,
    /// Set by whichever comes first: that the mover has begun, or its end.
    begun: Arc<OnceLock<()>>,
}

impl Drop for Life {
    fn drop(&mut self) {
        let Some(shared) = self.shared.upgrade() else { return };
        if self.begun.set(()).is_err() {
            shared.change(|book| {
                if book.mover.as_ref().is_some_and(|mover| mover.number == self.number) {
                    book.close(&runtime_ended());
                }
            });
        }
    }
}

/// Moves topics when the topology changes, until engine or hub are gone.
async fn follow(mut changes: watch::Receiver<u64>, hub: Weak<Inner>) {
    while changes.changed().await.is_ok() {
        let Some(hub) = hub.upgrade() else { return };
        hub.move_topics();
    }
}

/// The shards that have to send a topic; `None` when no shard is placed at all.
fn sources(topology: &Topology<Shard>, topic: &Topic) -> Option<Vec<Source>> {
    if topic.is_everywhere() {
        return Some(live(topology));
    }
    let member = topology.owner(&topic.name)?;
    Some(vec![source(&member.shard)])
}

/// As [`sources`], of shards that are up.
fn sources_up(topology: &Topology<Shard>, topic: &Topic) -> Result<Vec<Source>, Error> {
    if topic.is_everywhere() {
        let live = live(topology);
        return if live.is_empty() { Err(no_shard()) } else { Ok(live) };
    }
    let id = topology.locate(&topic.name).ok_or_else(no_shard)?;
    Ok(vec![source(&*serving(topology, id)?)])
}

/// The live shards, each server once: two shards can be databases of one server, which publishes for all of them.
fn live(topology: &Topology<Shard>) -> Vec<Source> {
    let mut sources: Vec<Source> = Vec::new();
    for member in topology.live().iter().filter_map(|id| topology.member(*id)) {
        let address = &member.shard.endpoint().address;
        if !sources.iter().any(|source| source.endpoint.address == *address) {
            sources.push(source(&member.shard));
        }
    }
    sources
}

fn source(shard: &Shard) -> Source {
    Source { endpoint: Arc::clone(shard.endpoint()), dialer: Arc::clone(shard.dialer()) }
}

fn runtime_ended() -> Error {
    Error::new(runtime::ended(), Sent::No, None)
}

fn closed() -> Error {
    Error::local(Kind::Refused, "the ring is closed")
}
