//! The pages of a ledger: what each shard has to forget, and what all of it takes.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Weak};

use bytes::Bytes;

use super::{Due, Epoch, Ledger};

#[derive(Debug, Default)]
pub(super) struct Pages {
    pub(super) of: HashMap<String, Page>,
    /// The shards that were away when functions were changed elsewhere.
    pub(super) functions: HashSet<String>,
    /// What is being swept.
    pub(super) sweeps: Vec<Weak<Vec<Bytes>>>,
    pub(super) bytes: usize,
    /// What the lists cost that pages share, each counted once.
    pub(super) shared: usize,
    /// Entries that were made.
    pub(super) entries: u64,
    /// Last rounds under way.
    pub(super) closed: usize,
    /// Last rounds that have ended.
    pub(super) epoch: u64,
}

/// What one shard has to forget.
#[derive(Debug, Default)]
pub(super) struct Page {
    /// With the number of the entry that was the last for it.
    pub(super) keys: HashMap<Bytes, u64>,
    /// What could not be swept from here.
    pub(super) unswept: Vec<Unswept>,
    /// Forgotten here, and still to be swept from the shards that stood in.
    pub(super) forgotten: HashSet<Bytes>,
    pub(super) everything: bool,
    pub(super) overflowed: bool,
}

/// A list of keys that other pages may share: one shard's are swept from all others.
#[derive(Debug)]
pub(super) struct Unswept {
    pub(super) keys: Arc<Vec<Bytes>>,
    pub(super) bytes: usize,
    /// The number of the entry that it was.
    pub(super) entry: u64,
    /// How many of them are done.
    pub(super) done: usize,
}

impl Pages {
    /// Whether what is known of that epoch may be of the past.
    pub(super) const fn refuse(&self, epoch: Epoch) -> bool {
        self.closed > 0 || self.epoch != epoch.0
    }

    pub(super) fn enter(&mut self, shards: &[&str], key: &Bytes) {
        for shard in shards {
            if !self.of.contains_key(*shard) {
                self.of.insert((*shard).to_owned(), Page::default());
            }
            let Some(page) = self.of.get_mut(*shard) else { continue };
            self.entries += 1;
            if page.overflowed {
                continue;
            }
            if let Some(entry) = page.keys.get_mut(key) {
                *entry = self.entries;
                continue;
            }
            if self.bytes + self.shared + cost(key) <= Ledger::MOST_BYTES {
                self.bytes += cost(key);
                page.keys.insert(key.clone(), self.entries);
                continue;
            }
            self.overflow(shard);
        }
    }

    pub(super) fn enter_list(&mut self, shard: &str, keys: &Arc<Vec<Bytes>>, bytes: usize) {
        self.entries += 1;
        let page = self.of.entry(shard.to_owned()).or_default();
        if page.overflowed {
            return;
        }
        // What was done of it is to be done again.
        page.unswept.retain(|list| !Arc::ptr_eq(&list.keys, keys));
        page.unswept.push(Unswept { keys: Arc::clone(keys), bytes, entry: self.entries, done: 0 });
        self.count_shared();
        if self.bytes + self.shared > Ledger::MOST_BYTES {
            self.overflow(shard);
        }
    }

    /// Half a page is of no use.
    pub(super) fn overflow(&mut self, shard: &str) {
        let Some(page) = self.of.get_mut(shard) else { return };
        page.overflowed = true;
        page.unswept.clear();
        self.bytes -= std::mem::take(&mut page.keys).keys().map(cost).sum::<usize>();
        self.count_shared();
        tracing::warn!(
            shard,
            "more keys were written elsewhere than can be remembered: it is not known which old values the shard holds"
        );
    }

    pub(super) fn count_shared(&mut self) {
        let mut lists: Vec<(*const Vec<Bytes>, usize)> = self
            .of
            .values()
            .flat_map(|page| page.unswept.iter().map(|list| (Arc::as_ptr(&list.keys), list.bytes)))
            .collect();
        lists.sort_unstable();
        lists.dedup();
        self.shared = lists.iter().map(|(_, bytes)| bytes).sum();
    }

    /// Empties a page, and says how many bytes that were.
    pub(super) fn clear(&mut self, shard: &str) -> usize {
        let Some(page) = self.of.get_mut(shard) else { return 0 };
        std::mem::take(&mut page.keys).keys().chain(&std::mem::take(&mut page.forgotten)).map(cost).sum()
    }

    /// Takes keys off a page that were not entered again since, and says which.
    pub(super) fn strike(&mut self, shard: &str, due: &Due) -> Vec<Bytes> {
        let Some(page) = self.of.get_mut(shard) else { return Vec::new() };
        let mut struck = Vec::new();
        for key in &due.keys {
            if page.keys.get(key).is_some_and(|entry| *entry <= due.entries) {
                struck.extend(page.keys.remove_entry(key).map(|(key, _)| key));
            }
        }
        self.bytes -= struck.iter().map(cost).sum::<usize>();
        let Some((entry, done)) = due.of else { return struck };
        // Not where it was entered again.
        page.unswept
            .iter_mut()
            .filter(|list| list.entry == entry)
            .for_each(|list| list.done = done.max(list.done));
        page.unswept.retain(|list| list.done < list.keys.len());
        self.count_shared();
        struck
    }

    pub(super) fn add_forgotten(&mut self, shard: &str, keys: Vec<Bytes>) {
        let Some(page) = self.of.get_mut(shard) else { return };
        for key in keys {
            let bytes = cost(&key);
            if page.forgotten.insert(key) {
                self.bytes += bytes;
            }
        }
    }
}

impl Page {
    /// How many keys there are to forget.
    pub(super) fn count(&self) -> usize {
        self.keys.len() + self.unswept.iter().map(|list| list.keys.len() - list.done).sum::<usize>()
    }

    pub(super) fn is_blank(&self) -> bool {
        self.count() == 0 && self.forgotten.is_empty() && !self.everything && !self.overflowed
    }
}

/// What a key counts for.
pub(super) fn cost(key: &Bytes) -> usize {
    key.len() + KEY_COST
}

/// What a key costs beside its bytes.
pub(super) const KEY_COST: usize = 64;
