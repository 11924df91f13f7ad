//! The keys that a shard has to forget before it serves again, and whether it has to learn functions anew.
//!
//! While a shard is away, its keys are written elsewhere, and what it holds of them grows old. The ledger has a page a
//! shard, and a write is entered before it is sent:
//!
//! ```text
//!   write of a displaced key ──note──► page ──take──► deleted from the shard, round by round, while writes go on
//!                              │
//!                              └ closed: the last round runs, and the write waits until the shard serves
//! ```
//! The last round alone stops those writes: what is entered before it is deleted, what comes after it goes to the shard
//! itself. So no reader sees a value that was overwritten or deleted elsewhere, as far as the engines that share the
//! ledger wrote it.
//!
//! # What it does not decide
//!
//! Which keys are displaced ([`Topology::displaced`](rendis_core::topology::Topology::displaced)), and when a shard
//! returns (the coordinator).

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use bytes::Bytes;
use tokio::sync::Notify;

/// See the module. Bounded by [`Ledger::MOST_BYTES`].
#[derive(Debug)]
pub(crate) struct Ledger {
    pages: Mutex<Pages>,
    /// Told at the end of every last round. Wakes in the order of waiting.
    settled: Notify,
}

#[derive(Debug, Default)]
struct Pages {
    of: HashMap<String, Page>,
    /// The shards that were away when functions were changed elsewhere.
    functions: HashSet<String>,
    /// What is being swept.
    sweeps: Vec<Weak<Vec<Bytes>>>,
    bytes: usize,
    /// Last rounds under way.
    closed: usize,
    /// Last rounds that have ended.
    epoch: u64,
}

/// When it was, between two last rounds. A shard that is away by a topology in force has not returned before the epoch ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Epoch(u64);

/// What one shard has to forget.
#[derive(Debug, Default)]
struct Page {
    keys: HashSet<Bytes>,
    /// Forgotten here, and still to be swept from the shards that stood in.
    forgotten: Vec<Bytes>,
    everything: bool,
    overflowed: bool,
}

/// What became of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(crate) enum Noted {
    /// It stands in the ledger.
    Entered,
    /// A shard is just returning, or has returned since: the write has to wait, and be placed anew.
    Closed,
}

/// How much one shard has to forget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extent {
    /// So many keys; 0 for nothing.
    Keys(usize),
    /// All keys: everything was deleted elsewhere.
    Everything,
    /// More than the ledger holds.
    Unknown,
}

impl Ledger {
    /// What all pages together hold at most: the bytes of the keys, and [`KEY_COST`] for each.
    pub(crate) const MOST_BYTES: usize = 64 << 20;

    pub(crate) fn new() -> Self {
        Self { pages: Mutex::default(), settled: Notify::new() }
    }

    /// The present epoch, to be asked for before it is looked which shards are away.
    pub(crate) fn epoch(&self) -> Epoch {
        Epoch(self.lock().epoch)
    }

    /// Enters keys that are about to be written elsewhere, on the pages of these shards, which were away in this epoch.
    pub(crate) fn note<'k>(
        &self,
        epoch: Epoch,
        shards: &[&str],
        keys: impl Iterator<Item = &'k [u8]>,
    ) -> Noted {
        let mut pages = self.lock();
        if pages.refuse(epoch) {
            return Noted::Closed;
        }
        for key in keys {
            pages.enter(shards, &Bytes::copy_from_slice(key));
        }
        Noted::Entered
    }

    /// Enters that everything is about to be deleted elsewhere.
    pub(crate) fn note_everything(&self, epoch: Epoch, shards: &[&str]) -> Noted {
        let mut pages = self.lock();
        if pages.refuse(epoch) {
            return Noted::Closed;
        }
        for shard in shards {
            pages.of.entry((*shard).to_owned()).or_default().everything = true;
        }
        Noted::Entered
    }

    /// Enters that functions are about to be changed elsewhere.
    pub(crate) fn note_functions(&self, epoch: Epoch, shards: &[&str]) -> Noted {
        let mut pages = self.lock();
        if pages.refuse(epoch) {
            return Noted::Closed;
        }
        for shard in shards {
            pages.functions.insert((*shard).to_owned());
        }
        Noted::Entered
    }

    /// Whether functions were changed elsewhere since this shard last had those of the others.
    pub(crate) fn functions_changed(&self, shard: &str) -> bool {
        self.lock().functions.contains(shard)
    }

    /// The shard has the functions of the others.
    pub(crate) fn functions_learned(&self, shard: &str) {
        self.lock().functions.remove(shard);
    }

    /// Enters keys again that could not be deleted, whether the ledger is closed or not.
    pub(crate) fn put_back(&self, shard: &str, keys: &[Bytes]) {
        let mut pages = self.lock();
        for key in keys {
            pages.enter(&[shard], key);
        }
    }

    /// How much a shard has to forget.
    pub(crate) fn extent(&self, shard: &str) -> Extent {
        match self.lock().of.get(shard) {
            None => Extent::Keys(0),
            Some(page) if page.everything => Extent::Everything,
            Some(page) if page.overflowed => Extent::Unknown,
            Some(page) => Extent::Keys(page.keys.len()),
        }
    }

    /// Takes some keys off a page: to be deleted from the shard, and then entered as forgotten or put back.
    pub(crate) fn take(&self, shard: &str, most: usize) -> Vec<Bytes> {
        let mut pages = self.lock();
        let Some(page) = pages.of.get_mut(shard) else { return Vec::new() };
        let keys: Vec<Bytes> = page.keys.iter().take(most).cloned().collect();
        for key in &keys {
            page.keys.remove(key);
        }
        pages.bytes -= keys.iter().map(cost).sum::<usize>();
        keys
    }

    /// The shard has forgotten keys that were taken.
    pub(crate) fn forgotten(&self, shard: &str, keys: Vec<Bytes>) {
        let mut pages = self.lock();
        pages.bytes += keys.iter().map(cost).sum::<usize>();
        pages.of.entry(shard.to_owned()).or_default().forgotten.extend(keys);
    }

    /// The shard has forgotten everything, and so its keys.
    pub(crate) fn forgotten_everything(&self, shard: &str) {
        let mut pages = self.lock();
        if let Some(page) = pages.of.get_mut(shard) {
            page.everything = false;
            page.overflowed = false;
            let keys = std::mem::take(&mut page.keys);
            page.forgotten.extend(keys);
        }
    }

    /// The shard serves: what it holds of its own keys is newer than the deletion of everything.
    pub(crate) fn spare(&self, shard: &str) {
        if let Some(page) = self.lock().of.get_mut(shard) {
            page.everything = false;
        }
    }

    /// All that was forgotten, to be swept. It is not kept here any more, but known as long as somebody holds it.
    pub(crate) fn sweep(&self) -> Arc<Vec<Bytes>> {
        let mut pages = self.lock();
        let keys: Vec<Bytes> =
            pages.of.values_mut().flat_map(|page| std::mem::take(&mut page.forgotten)).collect();
        pages.bytes -= keys.iter().map(cost).sum::<usize>();
        pages.of.retain(|_, page| !page.keys.is_empty() || page.everything || page.overflowed);
        pages.sweeps.retain(|sweep| sweep.strong_count() > 0);
        let keys = Arc::new(keys);
        if !keys.is_empty() {
            pages.sweeps.push(Arc::downgrade(&keys));
        }
        keys
    }

    /// What is being swept: it may still be found on shards that stood in.
    pub(crate) fn sweeping(&self) -> Vec<Arc<Vec<Bytes>>> {
        self.lock().sweeps.iter().filter_map(Weak::upgrade).collect()
    }

    /// Tears a page out: the shard holds nothing old any more, or nobody minds.
    pub(crate) fn discard(&self, shard: &str) {
        let mut pages = self.lock();
        let dropped = pages.clear(shard);
        pages.bytes -= dropped;
        pages.of.remove(shard);
    }

    /// Begins a last round; entries are refused until what this returns is dropped.
    pub(crate) fn close(&self) -> LastRound<'_> {
        self.lock().closed += 1;
        LastRound { ledger: self }
    }

    /// Waits until no last round is under way. Cancel safe.
    pub(crate) async fn settled(&self) {
        loop {
            // Made before looking, so that no end is missed.
            let settled = self.settled.notified();
            if self.lock().closed == 0 {
                return;
            }
            settled.await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Pages> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A last round under way.
#[derive(Debug)]
pub(crate) struct LastRound<'l> {
    ledger: &'l Ledger,
}

impl Drop for LastRound<'_> {
    fn drop(&mut self) {
        let mut pages = self.ledger.lock();
        pages.closed -= 1;
        pages.epoch += 1;
        drop(pages);
        self.ledger.settled.notify_waiters();
    }
}

impl Pages {
    /// Whether what is known of that epoch may be of the past.
    const fn refuse(&self, epoch: Epoch) -> bool {
        self.closed > 0 || self.epoch != epoch.0
    }

    fn enter(&mut self, shards: &[&str], key: &Bytes) {
        for shard in shards {
            if !self.of.contains_key(*shard) {
                self.of.insert((*shard).to_owned(), Page::default());
            }
            let Some(page) = self.of.get_mut(*shard) else { continue };
            if page.overflowed || page.keys.contains(key) {
                continue;
            }
            if self.bytes + cost(key) <= Ledger::MOST_BYTES {
                self.bytes += cost(key);
                page.keys.insert(key.clone());
                continue;
            }
            // Half a page is of no use.
            page.overflowed = true;
            self.bytes -= std::mem::take(&mut page.keys).iter().map(cost).sum::<usize>();
            tracing::warn!(
                shard,
                "more keys were written elsewhere than can be remembered: the shard will come back with old values"
            );
        }
    }

    /// Empties a page, and says how many bytes that were.
    fn clear(&mut self, shard: &str) -> usize {
        let Some(page) = self.of.get_mut(shard) else { return 0 };
        std::mem::take(&mut page.keys).iter().chain(&std::mem::take(&mut page.forgotten)).map(cost).sum()
    }
}

/// What a key counts for.
fn cost(key: &Bytes) -> usize {
    key.len() + KEY_COST
}

/// What a key costs beside its bytes.
const KEY_COST: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn keys<'k>(of: &'k [&'k str]) -> impl Iterator<Item = &'k [u8]> {
        of.iter().map(|key| key.as_bytes())
    }

    #[test]
    fn what_was_entered_is_taken_once() {
        let ledger = Ledger::new();
        assert_eq!(ledger.note(ledger.epoch(), &["a", "b"], keys(&["x", "y", "x"])), Noted::Entered);
        assert_eq!(ledger.extent("a"), Extent::Keys(2));
        assert_eq!(ledger.take("a", 1).len(), 1);
        assert_eq!(ledger.take("a", 9).len(), 1);
        assert_eq!(ledger.extent("a"), Extent::Keys(0));
        assert_eq!(ledger.extent("b"), Extent::Keys(2));
        ledger.forgotten("a", vec![Bytes::from_static(b"x")]);
        let sweep = ledger.sweep();
        assert_eq!(*sweep, [&b"x"[..]]);
        assert!(ledger.sweep().is_empty());
        assert_eq!(ledger.sweeping(), [Arc::clone(&sweep)]);
        drop(sweep);
        assert!(ledger.sweeping().is_empty());
        ledger.discard("b");
        assert_eq!(ledger.lock().bytes, 0);
        assert!(ledger.lock().of.is_empty());
    }

    #[test]
    fn everything_covers_every_key_and_what_comes_after_it_is_swept() {
        let ledger = Ledger::new();
        let _ = ledger.note(ledger.epoch(), &["a"], keys(&["x"]));
        let _ = ledger.note_everything(ledger.epoch(), &["a"]);
        let _ = ledger.note(ledger.epoch(), &["a"], keys(&["y"]));
        assert_eq!(ledger.extent("a"), Extent::Everything);
        ledger.forgotten_everything("a");
        assert_eq!(ledger.extent("a"), Extent::Keys(0));
        let mut swept = ledger.sweep().to_vec();
        swept.sort();
        assert_eq!(swept, [&b"x"[..], b"y"]);
        assert_eq!(ledger.lock().bytes, 0);
        assert!(ledger.lock().of.is_empty());
    }

    #[test]
    fn past_its_limit_a_page_is_given_up_and_the_others_are_kept() {
        let ledger = Ledger::new();
        let _ = ledger.note(ledger.epoch(), &["b"], keys(&["kept"]));
        let long = "k".repeat(1 << 20);
        for number in 0..70 {
            let _ = ledger.note(ledger.epoch(), &["a"], keys(&[&format!("{long}{number}")]));
        }
        assert_eq!(ledger.extent("a"), Extent::Unknown);
        assert_eq!(ledger.extent("b"), Extent::Keys(1));
        assert_eq!(ledger.lock().bytes, 4 + KEY_COST);
    }

    #[tokio::test]
    async fn a_last_round_refuses_entries_until_it_ends_however_it_ends() {
        let ledger = Ledger::new();
        let round = ledger.close();
        assert_eq!(ledger.note(ledger.epoch(), &["a"], keys(&["x"])), Noted::Closed);
        assert_eq!(ledger.note_everything(ledger.epoch(), &["a"]), Noted::Closed);
        let waiting = async {
            ledger.settled().await;
            ledger.note(ledger.epoch(), &["a"], keys(&["x"]))
        };
        let (noted, ()) = tokio::join!(waiting, async { drop(round) });
        assert_eq!(noted, Noted::Entered);
        ledger.settled().await;
    }

    #[test]
    fn what_was_looked_at_before_a_shard_returned_is_not_entered_after_it() {
        let ledger = Ledger::new();
        let before = ledger.epoch();
        drop(ledger.close());
        assert_eq!(ledger.note(before, &["a"], keys(&["x"])), Noted::Closed);
        assert_eq!(ledger.note_everything(before, &["a"]), Noted::Closed);
        assert_eq!(ledger.note_functions(before, &["a"]), Noted::Closed);
        assert_eq!((ledger.extent("a"), ledger.functions_changed("a")), (Extent::Keys(0), false));
        assert_eq!(ledger.note_everything(ledger.epoch(), &["a"]), Noted::Entered);
    }
}
