//! One thread: a single-threaded runtime, and every ring with an engine of its own.
//!
//! A worker is told what there should be, all of it each time, and makes it so: rings that are not there are started,
//! those that are there are changed in place, those that should not be any more are drained while the rest goes on. Told
//! nothing more, it drains all and ends.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use rendis_engine::engine::Engine;
use rendis_engine::error::Error;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;

use super::StartError;
use crate::config;
use crate::context::{Context, Shared};
use crate::listen::{Never, Target, Unopened};
use crate::moderation::Moderation;
use crate::process::thread_name;
use crate::settings;

/// See the module.
pub(super) struct Worker {
    orders: mpsc::Sender<Order>,
    thread: thread::JoinHandle<()>,
}

/// What there should be.
pub(super) struct Order {
    pub(super) rings: Vec<Wanted>,
    /// Told when it is so. After an error nothing has changed.
    pub(super) done: std::sync::mpsc::SyncSender<Result<(), StartError>>,
}

/// A ring that there should be.
pub(super) struct Wanted {
    /// A ring with the same number is the same ring, changed.
    pub(super) id: u64,
    pub(super) config: Arc<config::Ring>,
    pub(super) shared: Arc<Shared>,
    pub(super) listeners: Vec<ThreadListener>,
}

/// A listener that there should be, with its socket where it is new. One with the same number is the same, also if it was
/// another ring's.
pub(super) struct ThreadListener {
    pub(super) id: u64,
    pub(super) tls: bool,
    pub(super) socket: Option<Unopened>,
}

impl Worker {
    /// Starts a thread that has no rings yet. It ends together with the others that were started with the same `end`.
    ///
    /// # Errors
    /// What the system says.
    pub(super) fn start(number: usize, end: &watch::Sender<()>) -> io::Result<Self> {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let moderation = Arc::new(Moderation::default());
        moderation.moderate(&mut runtime);
        let runtime = runtime.enable_all().build()?;
        let (orders, received) = mpsc::channel(1);
        let (end, busy) = (end.clone(), end.subscribe());
        let thread = thread::Builder::new().name(thread_name(number));
        let thread = thread.spawn(move || {
            runtime.block_on(async {
                work(received, moderation).await;
                // Clients of other threads may be served their subscriptions by this one.
                drop(busy);
                end.closed().await;
            });
            // A name that is being looked up is not waited for.
            runtime.shutdown_background();
        })?;
        Ok(Self { orders, thread })
    }

    /// Gives an order. The one before it must be done. One that cannot be given is dropped, and its `done` with it.
    pub(super) fn order(&self, order: Order) {
        let _ = self.orders.try_send(order);
    }

    pub(super) fn works(&self) -> bool {
        !self.thread.is_finished()
    }

    /// Drains all rings; the thread ends by itself, which the handle can be asked for.
    pub(super) fn end(self) -> thread::JoinHandle<()> {
        self.thread
    }
}

async fn work(mut orders: mpsc::Receiver<Order>, moderation: Arc<Moderation>) {
    let (mut rings, mut listeners) = (Vec::new(), Vec::new());
    let mut leaving = JoinSet::new();
    while let Some(order) = orders.recv().await {
        while leaving.try_join_next().is_some() {}
        let done = match start_engines(&rings, &order.rings).await {
            Ok(engines) => {
                let closing =
                    apply(&mut rings, &mut listeners, order.rings, engines, &mut leaving, &moderation);
                // Who is told that it is done finds the places free.
                for listener in closing {
                    listener.close().await;
                }
                Ok(())
            }
            Err(error) => Err(error),
        };
        let _ = order.done.send(done);
    }
    drop(listeners);
    for ring in rings {
        leaving.spawn(ring.leave());
    }
    while leaving.join_next().await.is_some() {}
}

/// Starts the engines of the rings that are new, side by side: each waits for its servers.
async fn start_engines(rings: &[Running], wanted: &[Wanted]) -> Result<Vec<(u64, Engine)>, StartError> {
    let mut starting = JoinSet::new();
    for ring in wanted.iter().filter(|wanted| rings.iter().all(|ring| ring.id != wanted.id)) {
        let (id, config, coordinator) =
            (ring.id, Arc::clone(&ring.config), Arc::clone(&ring.shared.coordinator));
        starting.spawn(async move { (id, settings::start(&config, coordinator).await, config) });
    }
    let mut engines = Vec::new();
    while let Some(Ok((id, engine, config))) = starting.join_next().await {
        let refuse = |error: Error| StartError::Ring { ring: config.name.clone(), text: error.to_string() };
        engines.push((id, engine.map_err(refuse)?));
    }
    Ok(engines)
}

/// Makes it so, without a pause: no client sees a state between. Returns the listeners that are to be closed.
fn apply(
    rings: &mut Vec<Running>,
    listeners: &mut Vec<Open>,
    wanted: Vec<Wanted>,
    mut engines: Vec<(u64, Engine)>,
    leaving: &mut JoinSet<()>,
    moderation: &Arc<Moderation>,
) -> Vec<Open> {
    let (mut before, mut open_before) = (std::mem::take(rings), std::mem::take(listeners));
    for wanted in wanted {
        let old = before.iter().position(|ring| ring.id == wanted.id);
        let new = engines.iter().position(|(id, _)| *id == wanted.id);
        let mut ring = match (old, new) {
            (Some(at), _) => before.swap_remove(at),
            (None, Some(at)) => Running::new(&wanted, engines.swap_remove(at).1, moderation),
            (None, None) => continue,
        };
        ring.become_configured(&wanted.config);
        for listener in wanted.listeners {
            let target = ring.target(listener.tls);
            let old = open_before.iter().position(|open| open.id == listener.id);
            match (old.map(|at| open_before.swap_remove(at)), listener.socket) {
                (Some(open), _) => {
                    *open.target.lock().unwrap_or_else(PoisonError::into_inner) = target;
                    listeners.push(open);
                }
                (None, Some(socket)) => match Open::new(listener.id, socket, target) {
                    Ok(open) => listeners.push(open),
                    Err(error) => tracing::error!(ring = ring.config.name, %error, "a listener was lost"),
                },
                (None, None) => {}
            }
        }
        rings.push(ring);
    }
    for ring in before {
        leaving.spawn(ring.leave());
    }
    open_before
}

/// A listener on this thread. It closes when this is dropped.
struct Open {
    id: u64,
    target: Arc<Mutex<Target>>,
    close: oneshot::Sender<Never>,
    task: JoinHandle<()>,
}

impl Open {
    fn new(id: u64, socket: Unopened, target: Target) -> io::Result<Self> {
        let listener = socket.open()?;
        let target = Arc::new(Mutex::new(target));
        let (close, closed) = oneshot::channel();
        let task = tokio::spawn(listener.serve(Arc::clone(&target), closed));
        Ok(Self { id, target, close, task })
    }

    /// Returns when it is closed.
    async fn close(self) {
        drop(self.close);
        let _ = self.task.await;
    }
}

/// A ring on this thread.
struct Running {
    id: u64,
    config: Arc<config::Ring>,
    engine: Engine,
    context: Arc<Context>,
    /// Every listener of the ring and every client holds a clone.
    alive: mpsc::Sender<Never>,
    gone: mpsc::Receiver<Never>,
}

impl Running {
    fn new(wanted: &Wanted, engine: Engine, moderation: &Arc<Moderation>) -> Self {
        let context = Context::new(Arc::clone(&wanted.shared), &engine, Arc::clone(moderation));
        let context = Arc::new(context);
        let (alive, gone) = mpsc::channel(1);
        let config = Arc::clone(&wanted.config);
        Self { id: wanted.id, config, engine, context, alive, gone }
    }

    fn become_configured(&mut self, config: &Arc<config::Ring>) {
        if *self.config != **config {
            if let Err(error) = settings::change(&self.engine, config) {
                // It was checked before.
                tracing::error!(ring = config.name, %error, "the ring could not be changed");
            }
            self.config = Arc::clone(config);
        }
    }

    fn target(&self, tls: bool) -> Target {
        Target { context: Arc::clone(&self.context), tls, alive: self.alive.clone() }
    }

    /// Lets clients finish what is in flight, cuts the others off, and ends the connections to the
    /// servers.
    async fn leave(self) {
        let Self { config, engine, context, alive, mut gone, .. } = self;
        context.stop.drain();
        drop(alive);
        if timeout(config.drain, gone.recv()).await.is_err() {
            tracing::warn!(ring = config.name, "requests were still in flight after {:?}", config.drain);
            context.stop.end();
            let _ = timeout(LAST_WORDS, gone.recv()).await;
        }
        engine.close();
    }
}

/// How long clients that are cut off may take to read what they are told.
const LAST_WORDS: Duration = Duration::from_secs(1);
