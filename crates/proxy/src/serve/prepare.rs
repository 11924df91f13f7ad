//! What a configuration needs, got before anything is changed: so that one that cannot be had changes nothing.

use std::collections::HashSet;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::StartError;
use super::room::Room;
use super::worker::{ThreadListener, Wanted};
use crate::config::{self, Listen, ServerTls, Shown};
use crate::context::{Rules, Shared};
use crate::listen::Bound;
use crate::settings;

/// A ring that the process serves.
pub(super) struct ServedRing {
    /// The same for as long as the ring is there.
    pub(super) id: u64,
    pub(super) config: Arc<config::Ring>,
    pub(super) shared: Arc<Shared>,
    pub(super) places: Vec<BoundListener>,
}

impl ServedRing {
    /// Reads the certificates of its listeners again, for clients that come from now on. Says whether they are others.
    ///
    /// # Errors
    /// What is wrong with them, in words; those before stay then.
    pub(super) fn renew_certificates(&mut self) -> Result<Renewed, String> {
        let Some(before) = &self.config.tls else { return Ok(Renewed::No) };
        let tls = before.read_again()?;
        if tls == *before {
            return Ok(Renewed::No);
        }
        self.shared.tls.store(Some(Arc::new(tls.shown()?)));
        self.config = Arc::new(config::Ring { tls: Some(tls), ..(*self.config).clone() });
        Ok(Renewed::Yes)
    }
}

/// Whether certificates are others than they were.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Renewed {
    Yes,
    No,
}

/// A place where a ring listens.
pub(super) struct BoundListener {
    pub(super) id: u64,
    pub(super) bound: Bound,
}

/// A ring as it should be, with all it needs.
pub(super) struct Prepared {
    id: u64,
    config: Arc<config::Ring>,
    shared: Arc<Shared>,
    /// What is changed in `shared`.
    change: Option<Change>,
    /// The first TCP port.
    port: u16,
    places: Vec<PreparedPlace>,
    /// The listeners on each thread.
    listeners: Vec<Vec<ThreadListener>>,
}

struct Change {
    rules: Rules,
    tls: Option<Shown>,
}

struct PreparedPlace {
    id: u64,
    listen: Listen,
    /// Where it is new; else it is the ring's already, or another's, under the same number.
    new: Option<Bound>,
}

/// Numbers, each once.
#[derive(Default)]
pub(super) struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 += 1;
        self.0
    }
}

/// Prepares rings for so many threads, in a process that holds the places of the rings it serves, and that of the admin pages.
///
/// # Errors
/// What is wrong with the first of them that cannot be had.
pub(super) fn prepare(
    served_rings: &[ServedRing],
    admin: Option<&Bound>,
    rings: &[config::Ring],
    threads: usize,
    numbers: &mut Numbers,
) -> Result<Vec<Prepared>, StartError> {
    let mut taken = HashSet::new();
    let holds: Vec<_> = bounds(served_rings).chain(admin).collect();
    rings.iter().map(|ring| one(served_rings, &holds, ring, threads, numbers, &mut taken)).collect()
}

/// All places of these rings.
pub(super) fn bounds(served_rings: &[ServedRing]) -> impl Iterator<Item = &Bound> {
    served_rings.iter().flat_map(|ring| &ring.places).map(|place| &place.bound)
}

/// Whether a ring could be served, as far as can be known without places and connections.
///
/// # Errors
/// [`StartError::Ring`]
pub(super) fn check(ring: &config::Ring) -> Result<(), StartError> {
    let tls = || ring.tls.as_ref().map(ServerTls::shown).transpose();
    settings::dialers(ring).and_then(|_| tls().map(drop)).map_err(|text| wrong(ring, text))
}

fn wrong(ring: &config::Ring, text: String) -> StartError {
    StartError::Ring { ring: ring.name.clone(), text }
}

fn one(
    served_rings: &[ServedRing],
    holds: &[&Bound],
    ring: &config::Ring,
    threads: usize,
    numbers: &mut Numbers,
    taken: &mut HashSet<u64>,
) -> Result<Prepared, StartError> {
    check(ring)?;
    let wrong = |text: String| wrong(ring, text);
    let own = served_rings.iter().find(|served| served.config.name == ring.name);
    let mut listeners = Listeners::new(threads);
    for listen in &ring.listen {
        listeners.add(served_rings, holds, own, listen, numbers, taken).map_err(|error| {
            StartError::Listen { ring: ring.name.clone(), listen: listen.to_string(), error }
        })?;
    }
    let (id, shared, change) = match own {
        Some(own) => {
            let rules = Rules::new(ring);
            let tls = ring.tls.as_ref().map(ServerTls::shown).transpose().map_err(wrong)?;
            (own.id, Arc::clone(&own.shared), Some(Change { rules, tls }))
        }
        None => {
            let shared = Shared::new(ring).map_err(wrong)?;
            (numbers.next(), Arc::new(shared), None)
        }
    };
    let Listeners { places, listeners, port } = listeners;
    let (config, port) = (Arc::new(ring.clone()), port.unwrap_or(0));
    Ok(Prepared { id, config, shared, change, port, places, listeners })
}

/// The places of one ring, and its listeners on each thread.
struct Listeners {
    places: Vec<PreparedPlace>,
    listeners: Vec<Vec<ThreadListener>>,
    /// The first TCP port.
    port: Option<u16>,
}

impl Listeners {
    fn new(threads: usize) -> Self {
        Self { places: Vec::new(), listeners: (0..threads).map(|_| Vec::new()).collect(), port: None }
    }

    /// Finds a place among those that the ring has, or that another ring has, or takes a new one.
    fn add(
        &mut self,
        served_rings: &[ServedRing],
        holds: &[&Bound],
        own: Option<&ServedRing>,
        listen: &Listen,
        numbers: &mut Numbers,
        taken: &mut HashSet<u64>,
    ) -> io::Result<()> {
        let tls = matches!(listen, Listen::Tls(_));
        let same = |place: &&BoundListener| !taken.contains(&place.id) && place.bound.listen() == listen;
        let there = |place: &&BoundListener| !taken.contains(&place.id) && place.bound.is_at(listen);
        let kept = own.and_then(|own| own.places.iter().find(same));
        if let Some(old) = kept.or_else(|| served_rings.iter().flat_map(|ring| &ring.places).find(there)) {
            taken.insert(old.id);
            self.port = self.port.or(old.bound.port());
            self.listeners
                .iter_mut()
                .for_each(|listeners| listeners.push(ThreadListener { id: old.id, tls, socket: None }));
            self.places.push(PreparedPlace { id: old.id, listen: listen.clone(), new: None });
            return Ok(());
        }
        let (id, bound) = (numbers.next(), Bound::new(listen, holds.iter().copied())?);
        self.port = self.port.or(bound.port());
        for listeners in &mut self.listeners {
            listeners.push(ThreadListener { id, tls, socket: Some(bound.for_thread()?) });
        }
        self.places.push(PreparedPlace { id, listen: listen.clone(), new: Some(bound) });
        Ok(())
    }
}

impl Prepared {
    pub(super) const fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// What one of the threads should have; each gets its own.
    pub(super) fn wanted(&mut self) -> Wanted {
        let listeners = self.listeners.pop().unwrap_or_default();
        let (config, shared) = (Arc::clone(&self.config), Arc::clone(&self.shared));
        Wanted { id: self.id, config, shared, listeners }
    }

    /// Changes what all threads share.
    pub(super) fn change(&mut self, room: &Room) {
        if let Some(Change { rules, tls }) = self.change.take() {
            self.shared.apply(&self.config, rules, tls);
        }
        self.shared.port.store(self.port, Ordering::Relaxed);
        self.shared.max_clients.store(room.share(self.config.max_clients), Ordering::Relaxed);
    }

    /// Takes its places, out of those that there were.
    pub(super) fn served(self, before: &mut Vec<BoundListener>) -> ServedRing {
        let mut places = Vec::with_capacity(self.places.len());
        for PreparedPlace { id, listen, new } in self.places {
            let old = || before.iter().position(|old| old.id == id).map(|at| before.swap_remove(at).bound);
            if let Some(bound) = new.or_else(old) {
                places.push(BoundListener { id, bound: bound.renamed(listen) });
            }
        }
        ServedRing { id: self.id, config: self.config, shared: self.shared, places }
    }
}
