//! The clients of a ring on all threads, as `CLIENT LIST` shows them.
//!
//! A client writes its card when something about it changes, never for a request.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// Who is connected.
#[derive(Debug, Default)]
pub(crate) struct Clients {
    last_id: AtomicU64,
    present: Mutex<BTreeMap<u64, Arc<Card>>>,
}

/// What others can see of a client.
#[derive(Debug)]
pub(crate) struct Card {
    pub(crate) id: u64,
    /// Where it comes from, and where it came to.
    pub(crate) address: String,
    pub(crate) local_address: String,
    pub(crate) since: Instant,
    facts: Mutex<Facts>,
}

/// What of it changes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Facts {
    pub(crate) user: Option<String>,
    pub(crate) name: Vec<u8>,
    pub(crate) library: Vec<u8>,
    pub(crate) library_version: Vec<u8>,
    pub(crate) resp3: bool,
    pub(crate) no_evict: bool,
    pub(crate) no_touch: bool,
    /// How many channels, patterns and shard channels it listens to.
    pub(crate) listens: [usize; 3],
}

impl Clients {
    /// A client came.
    pub(crate) fn enter(&self, address: String, local_address: String) -> Arc<Card> {
        let id = self.last_id.fetch_add(1, Ordering::Relaxed) + 1;
        let card =
            Arc::new(Card { id, address, local_address, since: Instant::now(), facts: Mutex::default() });
        self.lock().insert(id, Arc::clone(&card));
        card
    }

    /// A client left.
    pub(crate) fn leave(&self, card: &Card) {
        self.lock().remove(&card.id);
    }

    /// All of them, in the order of their numbers.
    pub(crate) fn all(&self) -> Vec<Arc<Card>> {
        self.lock().values().cloned().collect()
    }

    /// The one with this number.
    pub(crate) fn find(&self, id: u64) -> Option<Arc<Card>> {
        self.lock().get(&id).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<Card>>> {
        self.present.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Card {
    /// What is known now.
    pub(crate) fn facts(&self) -> Facts {
        self.facts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Changes something about it.
    pub(crate) fn change(&self, change: impl FnOnce(&mut Facts)) {
        change(&mut self.facts.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

#[cfg(test)]
mod tests {
    use super::Clients;

    #[test]
    fn clients_are_listed_while_they_are_here() {
        let clients = Clients::default();
        let first = clients.enter("a:1".to_owned(), "b:2".to_owned());
        let second = clients.enter("a:2".to_owned(), "b:2".to_owned());
        second.change(|facts| facts.name = b"n".to_vec());
        assert_eq!((first.id, second.id), (1, 2));
        clients.leave(&first);
        let ids: Vec<_> = clients.all().iter().map(|card| card.id).collect();
        assert_eq!(ids, [2]);
        assert!(clients.find(1).is_none());
        assert_eq!(clients.find(2).unwrap().facts().name, b"n");
    }
}
