//! A host of the simulated network with a model shard on it, and everything that can go wrong with either.

use std::{
    collections::BTreeMap,
    future::pending,
    io,
    ops::RangeInclusive,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::Notify,
    task::AbortHandle,
    time::{Instant, sleep},
};

use super::{
    lie::Lie,
    model::{Store, Words},
    pipe::{Pipe, Socket},
    serve::serve,
    topics::Topics,
    weather::{Dice, Weather},
};

/// Which way of the network is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// What clients send does not arrive.
    There,
    /// What the server sends does not arrive.
    Back,
    /// Neither.
    Both,
}

/// A command that a model shard ran and that changes data.
#[derive(Clone, Debug)]
pub struct Applied {
    /// When.
    pub at: Instant,
    /// The host's name.
    pub host: String,
    /// The command and its arguments.
    pub words: Vec<Vec<u8>>,
}

/// A host with a model shard: a few commands of Redis over a dictionary in memory. Cheap to clone; all clones are the
/// same host.
#[derive(Clone, Debug)]
pub struct Host {
    pub(super) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(super) struct Inner {
    name: String,
    weather: Arc<Weather>,
    state: Mutex<State>,
    /// Something changed that a connection may wait for.
    changed: Notify,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) store: Store,
    pub(super) applied: Vec<Applied>,
    pub(super) loading: bool,
    pub(super) latency: Duration,
    /// How many bytes are read at a time, and the pause after them.
    pub(super) sips: Option<(usize, Duration)>,
    /// How many bytes fit into the buffers of both sockets of a connection.
    capacity: usize,
    pub(super) lie: Option<Lie>,
    /// Lies that were told.
    lies: usize,
    running: bool,
    stopped: bool,
    cut: Option<Way>,
    /// Who asks for a connection is not heard.
    deaf: bool,
    /// Commands of this name wait before they run.
    held: Option<String>,
    pub(super) lines: BTreeMap<u64, Line>,
    /// Connections accepted so far.
    accepted: u64,
}

#[derive(Debug)]
pub(super) struct Line {
    there: Arc<Pipe>,
    back: Arc<Pipe>,
    task: AbortHandle,
    pub(super) topics: Topics,
    /// There is something to be pushed.
    pub(super) heard: Arc<Notify>,
}

impl Host {
    /// A host that is up, with nothing stored.
    #[must_use]
    pub fn new(name: &str, dice: &Dice) -> Self {
        let state = State {
            store: Store::default(),
            applied: Vec::new(),
            loading: false,
            latency: Duration::ZERO,
            sips: None,
            capacity: 256 << 10,
            lie: None,
            lies: 0,
            running: true,
            stopped: false,
            cut: None,
            deaf: false,
            held: None,
            lines: BTreeMap::new(),
            accepted: 0,
        };
        let inner = Inner {
            name: name.to_owned(),
            weather: Arc::new(Weather::new(dice)),
            state: Mutex::new(state),
            changed: Notify::new(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.inner.name
    }

    /// A connection to it. What was written to it and has not been read when it is dropped is lost, as from a socket that
    /// was told not to linger: the server runs nothing more of it. While the network is cut it is not made, and not refused either. Must be called on a tokio
    /// runtime.
    ///
    /// # Errors
    /// `ConnectionRefused` when the server does not run.
    pub async fn connect(&self) -> io::Result<Socket> {
        sleep(self.inner.weather.delay()).await;
        while self.inner.lock().cut.is_some() {
            sleep(RESENT).await;
        }
        if self.inner.lock().deaf {
            return pending().await;
        }
        let mut state = self.inner.lock();
        if !state.running {
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        let (there, back) = (Pipe::new(state.capacity), Pipe::new(state.capacity));
        let weather = &self.inner.weather;
        let socket = Socket::new(&back, &there, weather).discarding();
        let served = Socket::new(&there, &back, weather);
        let number = state.accepted;
        state.accepted += 1;
        let inner = Arc::clone(&self.inner);
        let heard = Arc::<Notify>::default();
        let hears = Arc::clone(&heard);
        let task = tokio::spawn(async move {
            // The errors of a client that goes away are no concern of a server.
            let _ = serve(served, &inner, number, &hears).await;
            inner.lock().lines.remove(&number);
        });
        state.lines.insert(
            number,
            Line { there, back, task: task.abort_handle(), topics: Topics::default(), heard },
        );
        Ok(socket)
    }

    /// Connections that the server holds.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.inner.lock().lines.len()
    }

    /// Connections that it accepted since the start.
    #[must_use]
    pub fn accepted(&self) -> u64 {
        self.inner.lock().accepted
    }

    /// Lies that it told since the start.
    #[must_use]
    pub fn lies(&self) -> usize {
        self.inner.lock().lies
    }

    /// Commands that changed data, in the order in which they ran. A start without data is a `FLUSHALL`.
    #[must_use]
    pub fn applied(&self) -> Vec<Applied> {
        self.inner.lock().applied.clone()
    }

    /// The libraries of functions that it has.
    #[must_use]
    pub fn functions(&self) -> Vec<String> {
        self.inner.lock().store.functions()
    }

    /// Whether a client could be served now.
    #[must_use]
    pub fn is_well(&self) -> bool {
        let state = self.inner.lock();
        state.running && !state.stopped && !state.loading && state.cut.is_none()
    }

    /// Ends the server: connections are reset, or end in good order, and new ones are refused.
    pub fn kill(&self, reset: bool) {
        self.end_lines(reset);
        self.inner.lock().running = false;
    }

    /// Starts the server again, with its data or without.
    pub fn start(&self, with_data: bool) {
        let mut state = self.inner.lock();
        state.running = true;
        if !with_data {
            state.store = Store::default();
            let words = vec![b"FLUSHALL".to_vec()];
            state.applied.push(Applied { at: Instant::now(), host: self.inner.name.clone(), words });
        }
    }

    /// Ends the connections that stand; new ones are taken.
    pub fn end_lines(&self, reset: bool) {
        let lines = std::mem::take(&mut self.inner.lock().lines);
        for line in lines.into_values() {
            // Dropping its task ends its half of the connection in good order.
            line.task.abort();
            if reset {
                line.there.reset();
                line.back.reset();
            }
        }
    }

    /// The server sends nothing more on the connections that stand, and says so, but reads on.
    pub fn half_close(&self) {
        let state = self.inner.lock();
        state.lines.values().for_each(|line| line.back.end(Instant::now() + self.inner.weather.delay()));
    }

    /// Cuts the network, or mends it. What was on its way arrives when it is mended, late.
    pub fn cut(&self, way: Option<Way>) {
        let mut state = self.inner.lock();
        state.cut = way;
        for line in state.lines.values() {
            line.there.freeze(matches!(way, Some(Way::There | Way::Both)));
            line.back.freeze(matches!(way, Some(Way::Back | Way::Both)));
        }
    }

    /// Stops the process as `SIGSTOP` does, or lets it go on: connections are made, and nobody reads or answers.
    pub fn stop(&self, stopped: bool) {
        self.inner.lock().stopped = stopped;
        self.inner.changed.notify_waiters();
    }

    /// Does not hear who asks for a connection, or hears again; connections that stand go on. Who was not heard waits for
    /// ever: what asked was lost, and is not sent again.
    pub fn ignore(&self, deaf: bool) {
        self.inner.lock().deaf = deaf;
    }

    /// Commands of this name wait before they run, and what comes behind them on their connections; `None` lets them run.
    pub fn hold(&self, name: Option<&str>) {
        self.inner.lock().held = name.map(str::to_owned);
        self.inner.changed.notify_waiters();
    }

    /// Answers `LOADING`, or no longer.
    pub fn load(&self, loading: bool) {
        self.inner.lock().loading = loading;
    }

    /// How long each answer takes.
    pub fn answer_after(&self, latency: Duration) {
        self.inner.lock().latency = latency;
    }

    /// How long bytes are on their way, in milliseconds.
    pub fn delay(&self, millis: RangeInclusive<u64>) {
        self.inner.weather.set_delay(millis);
    }

    /// The server reads so many bytes at a time, with a pause after them; `None` is as fast as it can.
    pub fn sip(&self, sips: Option<(usize, Duration)>) {
        self.inner.lock().sips = sips;
    }

    /// How many bytes a sender can be ahead of the reader, on connections made from now on. Default 256 KiB.
    pub fn buffer(&self, capacity: usize) {
        self.inner.lock().capacity = capacity;
    }

    /// The server lies about the next command that is not a handshake; `None` takes it back where it was not told yet.
    pub fn lie(&self, lie: Option<Lie>) {
        self.inner.lock().lie = lie;
    }
}

impl Inner {
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns when the process is not stopped.
    pub(super) async fn goes_on(&self) {
        loop {
            let changed = self.changed.notified();
            if !self.lock().stopped {
                return;
            }
            changed.await;
        }
    }

    /// Returns when commands of this name are not held.
    pub(super) async fn lets_run(&self, name: &str) {
        loop {
            let changed = self.changed.notified();
            if self.lock().held.as_deref() != Some(name) {
                return;
            }
            changed.await;
        }
    }

    /// Notes that a command ran.
    pub(super) fn record(&self, applied: Vec<Words>) {
        let mut state = self.lock();
        let (at, host) = (Instant::now(), &self.name);
        state.applied.extend(applied.into_iter().map(|words| Applied { at, host: host.clone(), words }));
    }
}

impl State {
    /// What a connection is still to be sent of what it listens to.
    pub(super) fn pushed(&mut self, line: u64) -> Vec<u8> {
        self.lines.get_mut(&line).map(|line| std::mem::take(&mut line.topics.pushed)).unwrap_or_default()
    }

    /// Tells all who listen; how many those are.
    pub(super) fn publish(&mut self, words: &Words) -> usize {
        let mut listeners = 0;
        for line in self.lines.values_mut() {
            if line.topics.hear(words) {
                listeners += 1;
                line.heard.notify_one();
            }
        }
        listeners
    }

    /// The lie that is due.
    pub(super) fn told(&mut self) -> Option<Lie> {
        let lie = self.lie.take();
        self.lies += usize::from(lie.is_some());
        lie
    }
}

/// How long it takes until a packet that asks for a connection is sent again.
const RESENT: Duration = Duration::from_millis(200);
