//! The keys that a shard has to forget before it serves again, and whether it has to learn functions anew.
//!
//! While a shard is away, its keys are written elsewhere, and what it holds of them grows old. The ledger has a page a
//! shard, and a write is entered before it is sent:
//!
//! ```text
//!   write of a displaced key ──note──► page ──due──► deleted from the shard, round by round, while writes go on
//!                              │
//!                              └ closed: the last round runs, and the write waits until the shard serves
//! ```
//! A key stands on the page until its deletion is confirmed: of two returns or falls at once, neither takes for done what
//! the other has only begun.
//!
//! The last round alone stops those writes: what is entered before it is deleted, what comes after it goes to the shard
//! itself. So no reader sees a value that was overwritten or deleted elsewhere, as far as the engines that share the
//! ledger wrote it.
//!
//! # What it does not decide
//!
//! Which keys are displaced ([`Topology::displaced`](rendis_core::topology::Topology::displaced)), and when a shard
//! returns (the coordinator).

mod page;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use bytes::Bytes;
use tokio::sync::Notify;

use self::page::{Pages, cost};

/// See the module. Bounded by [`Ledger::MOST_BYTES`].
#[derive(Debug)]
pub(crate) struct Ledger {
    pages: Mutex<Pages>,
    /// Told at the end of every last round. Wakes in the order of waiting.
    settled: Notify,
}

/// When it was, between two last rounds. A shard that is away by a topology in force has not returned before the epoch ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Epoch(u64);

/// Some keys of a page that are to be deleted from the shard now. They stay on the page until that is done.
#[derive(Debug)]
pub(crate) struct Due {
    pub(crate) keys: Vec<Bytes>,
    /// What is entered from here on is not covered by a deletion that is made now.
    entries: u64,
    /// Of a shared list: the number of its entry, and how many of it are done with these.
    of: Option<(u64, usize)>,
}

impl Due {
    /// Takes out the keys for which this holds. Those of a shared list are done when the others are.
    pub(crate) fn split_off(&mut self, which: impl FnMut(&Bytes) -> bool) -> Self {
        let (out, keys) = std::mem::take(&mut self.keys).into_iter().partition(which);
        self.keys = keys;
        Self { keys: out, entries: self.entries, of: None }
    }
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
    /// What all pages together hold at most: the bytes of the keys, and [`KEY_COST`] for each. A list that pages share
    /// counts once.
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

    /// Enters keys again that could not be deleted, whether the ledger is closed or not. The list is kept as it is, however
    /// many pages it is entered on.
    pub(crate) fn put_back(&self, shard: &str, keys: &Arc<Vec<Bytes>>) {
        if !keys.is_empty() {
            let bytes = keys.iter().map(cost).sum();
            self.lock().enter_list(shard, keys, bytes);
        }
    }

    /// How much a shard has to forget.
    pub(crate) fn extent(&self, shard: &str) -> Extent {
        match self.lock().of.get(shard) {
            None => Extent::Keys(0),
            Some(page) if page.everything => Extent::Everything,
            Some(page) if page.overflowed => Extent::Unknown,
            Some(page) => Extent::Keys(page.count()),
        }
    }

    /// Some keys of a page, at most so many.
    pub(crate) fn due(&self, shard: &str, most: usize) -> Due {
        let pages = self.lock();
        let mut due = Due { keys: Vec::new(), entries: pages.entries, of: None };
        let Some(page) = pages.of.get(shard) else { return due };
        due.keys = page.keys.keys().take(most).cloned().collect();
        if let Some(list) = page.unswept.first().filter(|_| due.keys.is_empty()) {
            due.keys = list.keys.iter().skip(list.done).take(most).cloned().collect();
            due.of = Some((list.entry, list.done + due.keys.len()));
        }
        due
    }

    /// All keys of a page, as lists.
    pub(crate) fn owed(&self, shard: &str) -> Vec<Arc<Vec<Bytes>>> {
        let pages = self.lock();
        let Some(page) = pages.of.get(shard) else { return Vec::new() };
        let own = Arc::new(page.keys.keys().cloned().collect());
        std::iter::once(own).chain(page.unswept.iter().map(|list| Arc::clone(&list.keys))).collect()
    }

    /// The shard need not forget these.
    pub(crate) fn strike(&self, shard: &str, due: &Due) {
        self.lock().strike(shard, due);
    }

    /// The shard has forgotten these: they are to be swept, but for those that are being swept. Says how many stood on the
    /// page still.
    pub(crate) fn forgotten(&self, shard: &str, due: &Due) -> usize {
        let mut pages = self.lock();
        let struck = pages.strike(shard, due);
        let count = if due.of.is_some() { due.keys.len() } else { struck.len() };
        pages.add_forgotten(shard, struck);
        count
    }

    /// The shard has forgotten everything, and so its keys.
    pub(crate) fn forgotten_everything(&self, shard: &str) {
        let mut pages = self.lock();
        let Some(page) = pages.of.get_mut(shard) else { return };
        page.everything = false;
        page.overflowed = false;
        let keys: Vec<Bytes> = std::mem::take(&mut page.keys).into_keys().collect();
        page.unswept.clear();
        pages.bytes -= keys.iter().map(cost).sum::<usize>();
        pages.add_forgotten(shard, keys);
        pages.count_shared();
    }

    /// The shard serves: what it holds of its own keys is newer than the deletion of everything.
    pub(crate) fn spare(&self, shard: &str) {
        if let Some(page) = self.lock().of.get_mut(shard) {
            page.everything = false;
        }
    }

    /// All that these shards have forgotten, to be swept. It is not kept here any more, but known as long as somebody
    /// holds it.
    pub(crate) fn sweep(&self, of: impl Fn(&str) -> bool) -> Arc<Vec<Bytes>> {
        let mut pages = self.lock();
        let pages_of = pages.of.iter_mut().filter(|(shard, _)| of(shard));
        let keys: Vec<Bytes> = pages_of.flat_map(|(_, page)| std::mem::take(&mut page.forgotten)).collect();
        pages.bytes -= keys.iter().map(cost).sum::<usize>();
        pages.of.retain(|_, page| !page.is_blank());
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
        pages.count_shared();
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

#[cfg(test)]
mod tests {
    use super::page::KEY_COST;
    use super::*;

    fn keys<'k>(of: &'k [&'k str]) -> impl Iterator<Item = &'k [u8]> {
        of.iter().map(|key| key.as_bytes())
    }

    #[test]
    fn a_key_is_on_its_page_until_it_is_forgotten_and_swept_once() {
        let ledger = Ledger::new();
        assert_eq!(ledger.note(ledger.epoch(), &["a", "b"], keys(&["x", "y", "x"])), Noted::Entered);
        assert_eq!(ledger.extent("a"), Extent::Keys(2));
        assert_eq!(ledger.due("a", 1).keys.len(), 1);
        // Two at once: both are told of the keys, and the first to be done strikes them.
        let (first, second) = (ledger.due("a", 9), ledger.due("a", 9));
        assert_eq!((first.keys.len(), second.keys.len(), ledger.extent("a")), (2, 2, Extent::Keys(2)));
        assert_eq!((ledger.forgotten("a", &first), ledger.forgotten("a", &second)), (2, 0));
        assert_eq!((ledger.extent("a"), ledger.extent("b")), (Extent::Keys(0), Extent::Keys(2)));
        let sweep = ledger.sweep(|_| true);
        assert_eq!(sweep.len(), 2);
        assert!(ledger.sweep(|_| true).is_empty());
        assert_eq!(ledger.sweeping(), [Arc::clone(&sweep)]);
        drop(sweep);
        assert!(ledger.sweeping().is_empty());
        ledger.discard("b");
        assert_eq!(ledger.lock().bytes, 0);
        assert!(ledger.lock().of.is_empty());
    }

    #[test]
    fn what_is_entered_while_it_is_being_deleted_stays() {
        let ledger = Ledger::new();
        let _ = ledger.note(ledger.epoch(), &["a"], keys(&["x", "y", "z"]));
        let mut due = ledger.due("a", 9);
        let _ = ledger.note(ledger.epoch(), &["a"], keys(&["x"]));
        let kept = due.split_off(|key| key == "z");
        ledger.strike("a", &kept);
        assert_eq!(ledger.extent("a"), Extent::Keys(2));
        assert_eq!(ledger.forgotten("a", &due), 1);
        assert_eq!(ledger.due("a", 9).keys, [&b"x"[..]]);
        assert_eq!(*ledger.sweep(|_| true), [&b"y"[..]]);
        ledger.discard("a");
        assert_eq!(ledger.lock().bytes, 0);
    }

    #[test]
    fn a_list_on_many_pages_counts_once_and_each_is_done_with_it_by_itself() {
        let ledger = Ledger::new();
        let list: Arc<Vec<Bytes>> =
            Arc::new(["x", "y", "z"].iter().map(|key| key.as_bytes().into()).collect());
        ["a", "b"].iter().for_each(|shard| ledger.put_back(shard, &list));
        assert_eq!((ledger.extent("a"), ledger.lock().shared), (Extent::Keys(3), 3 * (1 + KEY_COST)));
        let mut due = ledger.due("a", 2);
        // What the shard owns need not be forgotten; the rest is, and both are done.
        let owned = due.split_off(|key| key == "x");
        ledger.strike("a", &owned);
        assert_eq!((ledger.extent("a"), ledger.forgotten("a", &due)), (Extent::Keys(3), 1));
        assert_eq!((ledger.due("a", 9).keys, ledger.extent("b")), (vec![list[2].clone()], Extent::Keys(3)));
        // Entered again while it is being deleted, it is to be deleted again.
        let due = ledger.due("a", 9);
        ledger.put_back("a", &list);
        ledger.strike("a", &due);
        assert_eq!(ledger.extent("a"), Extent::Keys(3));
        ledger.strike("a", &ledger.due("a", 9));
        ledger.discard("b");
        assert_eq!((ledger.extent("a"), ledger.lock().shared), (Extent::Keys(0), 0));
        assert!(ledger.sweep(|_| true).is_empty() && ledger.lock().of.is_empty());
    }

    #[test]
    fn a_list_that_is_too_much_is_not_taken_for_nothing() {
        let ledger = Ledger::new();
        let list = Arc::new(vec![Bytes::from(vec![b'k'; Ledger::MOST_BYTES])]);
        ledger.put_back("a", &list);
        assert_eq!((ledger.extent("a"), ledger.lock().shared), (Extent::Unknown, 0));
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
        let mut swept = ledger.sweep(|_| true).to_vec();
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
