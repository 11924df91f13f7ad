//! The process: its threads, its rings, and how a new configuration becomes the one in force.
//!
//! ```text
//!                 prepare                          commit
//!   Config ──► places, sockets, ──► what threads share is changed, then every thread
//!              certificates,        makes it so, without a pause between two of its clients
//!              rules: or refused
//! ```
//! Each thread has a runtime and an engine a ring of its own, and shares no connection with another, but for
//! subscriptions, of which a ring has one a channel. A change of a ring is a change of its engines in place
//! (`Engine::reconfigure`): clients stay where they are, and so do their subscriptions, transactions and requests in
//! flight. A client sees the old ring or the new one, never a mixture; threads change one after the other, within a moment.

mod watch;
mod room;
mod worker;
mod prepare;

use std::io;
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Weak};
use std::time::SystemTime;

use rendis_core::topology::Standing;
use rendis_engine::dial::Dialer;
use rendis_engine::engine::Engine;

use crate::admin::{Admin, View};
use crate::config::{self, Config, OnReturn};
use crate::listen::{Bound, SocketFile};
use crate::settings;

pub use self::watch::Watch;

use self::prepare::{BoundListener, Numbers, Prepared, Renewed, ServedRing, bounds, prepare};
use self::room::Room;
use self::worker::{Order, Worker};

/// A proxy that listens. Dropping it drains it, as [`Proxy::stop`] does, without a delay.
pub struct Proxy {
    config: Config,
    numbers: Numbers,
    rings: Vec<ServedRing>,
    workers: Vec<Worker>,
    admin: Option<Admin>,
    view: Arc<View>,
    addresses: Vec<(String, String)>,
}

/// The files of unix sockets that a proxy listens on, for as long as it does.
#[derive(Debug)]
pub struct SocketFiles(Vec<Weak<SocketFile>>);

impl SocketFiles {
    /// Removes them, though there may still be clients.
    pub fn remove(&self) {
        self.0.iter().filter_map(Weak::upgrade).for_each(|file| file.remove());
    }
}

/// Why a configuration cannot be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// A listener could not be had.
    #[error("ring \"{ring}\" cannot listen on {listen}: {error}")]
    Listen {
        /// The ring.
        ring: String,
        /// Where it should listen.
        listen: String,
        /// What the system said.
        error: io::Error,
    },
    /// The listener of the admin pages could not be had.
    #[error("the admin pages cannot be on {listen}: {error}")]
    Admin {
        /// Where they should be.
        listen: String,
        /// What the system said.
        error: io::Error,
    },
    /// A setting cannot be used.
    #[error("ring \"{ring}\": {text}")]
    Ring {
        /// The ring.
        ring: String,
        /// What is wrong.
        text: String,
    },
    /// The system gave no thread or runtime.
    #[error("no thread or runtime could be started: {0}")]
    System(#[from] io::Error),
    /// A thread has ended, by a fault of this program.
    #[error("a thread has ended; the log says why")]
    Thread,
}

/// Whether a configuration could be served, as far as can be known without taking places and without connections:
/// certificates, keys and names of servers can be used. Whether it can be read at all is known before, see
/// [`crate::config::load`].
///
/// # Errors
/// [`StartError::Ring`] for the first ring that could not.
pub fn check(config: &Config) -> Result<(), StartError> {
    config.rings.iter().try_for_each(prepare::check)
}

/// What connects to the shards of a ring as serving it would, in their order.
///
/// # Errors
/// [`StartError::Ring`]
pub fn dialers(ring: &config::Ring) -> Result<Vec<Dialer>, StartError> {
    settings::dialers(ring).map_err(|text| StartError::Ring { ring: ring.name.clone(), text })
}

impl Proxy {
    /// Takes all places, starts the threads, and returns when all listeners are open: the servers have been connected to
    /// by then, or could not be.
    ///
    /// # Errors
    /// [`StartError`]; nothing listens then.
    pub fn start(config: &Config) -> Result<Self, StartError> {
        let end = tokio::sync::watch::Sender::new(());
        let mut proxy = Self {
            config: Config { admin: None, rings: Vec::new(), ..config.clone() },
            numbers: Numbers::default(),
            rings: Vec::new(),
            workers: (0..config.thread_count())
                .map(|number| Worker::start(number, &end))
                .collect::<io::Result<_>>()?,
            admin: None,
            view: Arc::default(),
            addresses: Vec::new(),
        };
        proxy.become_configured(config)?;
        Ok(proxy)
    }

    /// Makes another configuration the one in force. What is in flight goes on; rings and listeners that are gone from it
    /// are drained. The number of threads is not changed.
    ///
    /// # Errors
    /// [`StartError`]; nothing is changed then, unless it is [`StartError::Thread`]: the admin pages are where they should
    /// be then, and a part of the threads may serve the new configuration.
    pub fn reload(&mut self, config: &Config) -> Result<(), StartError> {
        self.become_configured(config)?;
        self.view.reloaded();
        Ok(())
    }

    /// Reads the files of listeners' certificates, keys and clients' authorities again, whatever became of the configuration
    /// file. New ones are for clients that come from now on; the log says so, and where clients will find them out of date. Of a
    /// ring where they cannot be used, those before stay, and the log says why; other rings are not affected.
    pub fn renew_certificates(&mut self) {
        for ring in &mut self.rings {
            let name = ring.config.name.clone();
            match ring.renew_certificates() {
                Ok(Renewed::Yes) => {
                    tracing::info!(ring = name, "certificates were renewed");
                    let tls = ring.config.tls.as_ref();
                    if let Some(how) = tls.and_then(|tls| tls.out_of_date(SystemTime::now())) {
                        tracing::warn!(ring = name, "{how}");
                    }
                }
                Ok(Renewed::No) => {}
                Err(error) => tracing::error!(
                    ring = name,
                    error,
                    "certificates were not renewed: those before stay in force"
                ),
            }
        }
    }

    /// Whether all threads work. One that does not has met a fault of this program, which the log tells; its clients are
    /// gone, and the process had better start again.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.workers.iter().all(Worker::works)
    }

    /// Counts a configuration that could not be read, or that [`Proxy::reload`] refused, for the admin pages.
    pub fn note_refused(&self) {
        self.view.refused();
    }

    /// The ring and the address of each listener, as the configuration would write it.
    #[must_use]
    pub fn addresses(&self) -> &[(String, String)] {
        &self.addresses
    }

    /// The files of unix sockets, for who ends the process without [`Proxy::stop`].
    #[must_use]
    pub fn socket_files(&self) -> SocketFiles {
        let bounds = bounds(&self.rings).chain(self.admin.as_ref().map(Admin::bound));
        SocketFiles(bounds.filter_map(Bound::file).map(Arc::downgrade).collect())
    }

    /// Where the admin pages are, if they are.
    #[must_use]
    pub fn admin_address(&self) -> Option<&str> {
        self.admin.as_ref().map(Admin::address)
    }

    /// Is not ready any more and serves on for `shutdown_delay`. Then stops accepting, lets clients finish what is in flight
    /// for as long as their ring's `drain` allows, answers the rest with `-SHUTDOWN`, and ends the threads.
    pub fn stop(mut self) {
        self.delay();
        self.warn_of_away();
        self.end();
    }

    /// As [`Proxy::stop`], where the servers end too: what they would not forget is gone.
    pub fn stop_with_servers(mut self) {
        self.delay();
        self.end();
    }

    fn delay(&self) {
        self.view.drain();
        std::thread::sleep(self.config.shutdown_delay);
    }

    fn warn_of_away(&self) {
        self.rings.iter().for_each(|ring| warn_of_away(ring, "the proxy stops while a shard is away"));
    }

    fn become_configured(&mut self, config: &Config) -> Result<(), StartError> {
        let threads = self.workers.len();
        let held = self.admin.as_ref().map(Admin::bound);
        let mut prepared = prepare(&self.rings, held, &config.rings, threads, &mut self.numbers)?;
        let admin = self.prepare_admin(config)?;
        self.tell(config);
        let room = Room::new(config, threads);
        room.tell();
        prepared.iter_mut().for_each(|ring| ring.change(&room));
        // First, because a ring may be about to listen there.
        if config.admin != self.config.admin {
            self.admin = admin;
            self.config.admin.clone_from(&config.admin);
        }
        self.order(&mut prepared)?;
        self.serve(prepared);
        self.config = config.clone();
        Ok(())
    }

    fn prepare_admin(&self, config: &Config) -> Result<Option<Admin>, StartError> {
        let Some(listen) = config.admin.as_ref().filter(|_| config.admin != self.config.admin) else {
            return Ok(None);
        };
        let refuse = |error| StartError::Admin { listen: listen.to_string(), error };
        let holds = bounds(&self.rings).chain(self.admin.as_ref().map(Admin::bound));
        let bound = Bound::new(listen, holds).map_err(refuse)?;
        Admin::start(bound, Arc::clone(&self.view)).map(Some).map_err(refuse)
    }

    /// Has every thread make it so, all at the same time, and waits for them.
    fn order(&self, prepared: &mut [Prepared]) -> Result<(), StartError> {
        let (done, all) = sync_channel(self.workers.len());
        for worker in &self.workers {
            let rings = prepared.iter_mut().map(Prepared::wanted).collect();
            worker.order(Order { rings, done: done.clone() });
        }
        drop(done);
        let mut answers = 0;
        for answer in all {
            answer?;
            answers += 1;
        }
        if answers == self.workers.len() { Ok(()) } else { Err(StartError::Thread) }
    }

    fn serve(&mut self, prepared: Vec<Prepared>) {
        let mut places: Vec<BoundListener> = Vec::new();
        for served in self.rings.drain(..) {
            if prepared.iter().all(|ring| !Arc::ptr_eq(ring.shared(), &served.shared)) {
                served.shared.disband();
            }
            places.extend(served.places);
        }
        self.rings = prepared.into_iter().map(|ring| ring.served(&mut places)).collect();
        self.addresses = self
            .rings
            .iter()
            .flat_map(|ring| {
                ring.places.iter().map(|place| (ring.config.name.clone(), place.bound.address()))
            })
            .collect();
        self.view.show(self.rings.iter().map(|ring| Arc::clone(&ring.shared)).collect());
    }

    /// Says in the log what is going to change.
    fn tell(&self, config: &Config) {
        if config.thread_count() != self.workers.len() {
            tracing::warn!("threads cannot be changed while running: it will be so after a restart");
        }
        for ring in &config.rings {
            match self.rings.iter().find(|served| served.config.name == ring.name) {
                None => tracing::info!(ring = ring.name, shards = ring.shards.len(), "ring is served"),
                Some(served) if *served.config != *ring => {
                    let changes = ring.changes_since(&served.config);
                    let listed = |names: &[String]| (!names.is_empty()).then(|| names.join(", "));
                    let fields = (!changes.fields.is_empty()).then(|| changes.fields.join(", "));
                    tracing::info!(
                        ring = ring.name,
                        shards = ring.shards.len(),
                        added = listed(&changes.added),
                        removed = listed(&changes.removed),
                        changed = listed(&changes.changed),
                        reordered = changes.reordered.then_some(true),
                        fields,
                        "ring is changed"
                    );
                    if ring.users.is_empty() && !served.config.users.is_empty() {
                        tracing::warn!(
                            ring = ring.name,
                            "the ring has no users any more: nobody has to log in"
                        );
                    }
                }
                Some(_) => {}
            }
        }
        for served in &self.rings {
            if config.rings.iter().all(|ring| ring.name != served.config.name) {
                tracing::info!(ring = served.config.name, "ring is removed");
                warn_of_away(served, "the ring is removed while a shard is away");
            }
        }
    }

    fn end(&mut self) {
        self.view.drain();
        // All of them at the same time, and the admin pages last.
        let threads: Vec<_> = self.workers.drain(..).map(Worker::end).collect();
        for thread in threads {
            let _ = thread.join();
        }
        self.admin = None;
        self.rings.clear();
    }
}

/// A ring comes to its end: warns of the shards that are away, whose keys were written elsewhere, and that are to forget these
/// when they return. Only this process knows which, and only while it has the ring.
fn warn_of_away(ring: &ServedRing, when: &str) {
    if ring.config.on_return != OnReturn::Forget {
        return;
    }
    let mut away: Vec<_> = ring.shared.threads().iter().flat_map(|thread| away(&thread.engine)).collect();
    away.sort_unstable();
    away.dedup();
    for shard in away {
        tracing::warn!(
            ring = ring.config.name,
            shard,
            "{when}: it will not forget what was written elsewhere, and old values may be read when it returns"
        );
    }
}

/// The shards whose keys go to others, and that have to forget some.
fn away(engine: &Engine) -> Vec<String> {
    let topology = engine.topology();
    let away = topology.members().iter().filter(|member| member.standing == Standing::Ejected);
    let names = away.map(|member| member.shard.name()).filter(|shard| engine.has_to_forget(shard));
    names.map(str::to_owned).collect()
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.warn_of_away();
        self.end();
    }
}
