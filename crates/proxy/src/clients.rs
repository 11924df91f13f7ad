//! The clients of a ring on all threads, as `CLIENT LIST` shows them and `CLIENT KILL` ends them.
//!
//! A client writes its card when something about it changes. For requests it notes the last of those that it sent in one
//! go, and when: two stores.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;

use rendis_core::command::Table;
use rustix::time::{ClockId, clock_gettime};
use tokio::task::AbortHandle;

use crate::access::Access;

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
    /// The task that serves it, from shortly after it came.
    task: OnceLock<AbortHandle>,
    /// It has to end.
    killed: AtomicBool,
    facts: Mutex<Facts>,
    /// Its last command by [`Table::place`]; one that is not among those has the number behind them.
    command: AtomicUsize,
    /// When something was last read from it or was for it, in [`seconds`].
    active: AtomicU64,
    /// How many requests it has queued since `MULTI`, and one; 0 without.
    queued: AtomicUsize,
    /// It waits on a server for what others do.
    blocked: AtomicBool,
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

impl Facts {
    /// The name of its user. To servers too, who has not logged in is `default`, whether anybody can log in as that or not.
    pub(crate) fn user(&self) -> &str {
        self.user.as_deref().unwrap_or(Access::DEFAULT)
    }
}

impl Clients {
    /// A client came.
    pub(crate) fn enter(&self, address: String, local_address: String) -> Arc<Card> {
        let id = self.last_id.fetch_add(1, Ordering::Relaxed) + 1;
        let card = Arc::new(Card {
            id,
            address,
            local_address,
            since: Instant::now(),
            task: OnceLock::new(),
            killed: AtomicBool::new(false),
            facts: Mutex::default(),
            command: AtomicUsize::new(Table::BUILT_IN),
            active: AtomicU64::new(seconds()),
            queued: AtomicUsize::new(0),
            blocked: AtomicBool::new(false),
        });
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
    /// This task serves it.
    pub(crate) fn is_served_by(&self, task: AbortHandle) {
        // There is one for each.
        let task = self.task.get_or_init(|| task);
        if self.killed.load(Ordering::SeqCst) {
            task.abort();
        }
    }

    /// Has it end, whatever it does, and its connection closed. What it asked for may have run, whole or in part, or run yet.
    /// False where it was told already.
    pub(crate) fn kill(&self) -> bool {
        let first = !self.killed.swap(true, Ordering::SeqCst);
        if let Some(task) = self.task.get() {
            task.abort();
        }
        first
    }

    /// What is known now.
    pub(crate) fn facts(&self) -> Facts {
        self.facts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Changes something about it.
    pub(crate) fn change(&self, change: impl FnOnce(&mut Facts)) {
        change(&mut self.facts.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// It has sent this command last, of which this is the place.
    pub(crate) fn sent(&self, command: usize) {
        self.command.store(command, Ordering::Relaxed);
        self.heard();
    }

    /// Something is for it that it has not asked for just now.
    pub(crate) fn heard(&self) {
        self.active.store(seconds(), Ordering::Relaxed);
    }

    /// It has so many requests queued.
    pub(crate) fn queues(&self, requests: Option<usize>) {
        self.queued.store(requests.map_or(0, |count| count + 1), Ordering::Relaxed);
    }

    /// It begins, or ends, to wait on a server for what others do.
    pub(crate) fn blocks(&self, blocks: bool) {
        self.blocked.store(blocks, Ordering::Relaxed);
    }

    /// The name of its last command, where that is built in.
    pub(crate) fn command(&self) -> Option<String> {
        let place = self.command.load(Ordering::Relaxed);
        Table::default().rows().nth(place).map(|row| row.name().to_owned())
    }

    /// For how many seconds it has done nothing.
    pub(crate) fn idle(&self) -> u64 {
        let idle = seconds().saturating_sub(self.active.load(Ordering::Relaxed));
        // The clock counts whole seconds, and a client is not here for long enough to have waited one that it began in.
        idle.min(self.since.elapsed().as_secs())
    }

    /// How many requests it has queued since `MULTI`.
    pub(crate) fn queued(&self) -> Option<usize> {
        self.queued.load(Ordering::Relaxed).checked_sub(1)
    }

    /// Whether it waits on a server for what others do.
    pub(crate) fn is_blocked(&self) -> bool {
        self.blocked.load(Ordering::Relaxed)
    }
}

/// The seconds of a clock that costs next to nothing to read, and may be some milliseconds late.
fn seconds() -> u64 {
    #[cfg(target_os = "linux")]
    let clock = ClockId::MonotonicCoarse;
    #[cfg(not(target_os = "linux"))]
    let clock = ClockId::Monotonic;
    u64::try_from(clock_gettime(clock).tv_sec).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::Clients;

    #[tokio::test]
    async fn one_that_is_killed_before_its_task_is_known_ends_as_well() {
        let clients = Clients::default();
        for late in [false, true] {
            let card = clients.enter("a:1".to_owned(), "b:2".to_owned());
            let task = tokio::spawn(std::future::pending::<()>());
            if !late {
                card.is_served_by(task.abort_handle());
            }
            assert!(card.kill() && !card.kill());
            if late {
                card.is_served_by(task.abort_handle());
            }
            assert!(task.await.unwrap_err().is_cancelled());
        }
    }

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
