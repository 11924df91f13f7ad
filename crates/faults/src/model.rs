//! What is true: which values were written and acknowledged, and what a reply may therefore be.
//!
//! A value names its key and its version, and each key has one writer, so a reply shows whether it belongs to another
//! call and whether it is older than what was acknowledged before the call began. A write of unknown outcome may take
//! effect at any later time; that is no wrong answer, and is counted apart.

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The keys of a load, and what is known of them.
pub(crate) struct Model {
    pub(crate) keys: Vec<Key>,
    pub(crate) counters: Vec<Counter>,
    wrong: Mutex<Vec<String>>,
    wrongs: AtomicU64,
    late: AtomicU64,
}

/// A key with versioned values.
pub(crate) struct Key {
    pub(crate) name: String,
    /// Which shard has it while all are up.
    pub(crate) home: usize,
    attempted: AtomicU64,
    acknowledged: AtomicU64,
    unknown: Mutex<Vec<u64>>,
}

/// A key that only counts up.
pub(crate) struct Counter {
    pub(crate) name: String,
    pub(crate) home: usize,
    started: AtomicU64,
    acknowledged: AtomicU64,
    unknown: AtomicU64,
}

/// What became of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wrote {
    Acknowledged,
    Unknown,
    NotAtAll,
}

impl Model {
    /// So many keys of each kind a shard; `home` says where a key is.
    pub(crate) fn new(each: usize, shards: usize, home: impl Fn(&str) -> usize) -> Self {
        let names = |prefix: &'static str| {
            let mut room = vec![each; shards];
            let mut found = Vec::new();
            let candidates = (0..).map(move |number| format!("{prefix}{number}"));
            for name in candidates {
                let home = home(&name);
                if room[home] > 0 {
                    room[home] -= 1;
                    found.push((name, home));
                } else if room.iter().all(|left| *left == 0) {
                    break;
                }
            }
            found
        };
        let keys = names("value:").into_iter().map(|(name, home)| Key {
            name,
            home,
            attempted: AtomicU64::new(0),
            acknowledged: AtomicU64::new(0),
            unknown: Mutex::default(),
        });
        let counters = names("counter:").into_iter().map(|(name, home)| Counter {
            name,
            home,
            started: AtomicU64::new(0),
            acknowledged: AtomicU64::new(0),
            unknown: AtomicU64::new(0),
        });
        Self {
            keys: keys.collect(),
            counters: counters.collect(),
            wrong: Mutex::default(),
            wrongs: AtomicU64::new(0),
            late: AtomicU64::new(0),
        }
    }

    /// Wrong answers so far, and the first of them in words.
    pub(crate) fn wrong(&self) -> (u64, Vec<String>) {
        (self.wrongs.load(SeqCst), lock(&self.wrong).clone())
    }

    /// How often a write of unknown outcome showed after a later one was acknowledged.
    pub(crate) fn late(&self) -> u64 {
        self.late.load(SeqCst)
    }

    pub(crate) fn say_wrong(&self, what: String) {
        self.wrongs.fetch_add(1, SeqCst);
        let mut wrong = lock(&self.wrong);
        if wrong.len() < 10 {
            wrong.push(what);
        }
    }

    /// Looks at a value that was read; `floor` is [`Key::floor`] of before.
    pub(crate) fn read(&self, key: &Key, floor: u64, value: Option<&str>) {
        let Some(value) = value else { return };
        let version = value.split_once('|').filter(|(name, _)| *name == key.name);
        let Some(version) = version.and_then(|(_, version)| version.parse::<u64>().ok()) else {
            return self.say_wrong(format!("{} is \"{value}\"", key.name));
        };
        if version > key.attempted.load(SeqCst) {
            self.say_wrong(format!("{} is {version}, which was not written yet", key.name));
        } else if version < floor {
            if lock(&key.unknown).contains(&version) {
                self.late.fetch_add(1, SeqCst);
            } else {
                self.say_wrong(format!("{} is {version} after {floor} was acknowledged", key.name));
            }
        }
    }

    /// Looks at what an `INCR` answered.
    pub(crate) fn counted(&self, counter: &Counter, value: u64) {
        let started = counter.started.load(SeqCst);
        if value > started {
            self.say_wrong(format!("{} is {value} after {started} INCR", counter.name));
        }
    }

    /// Looks at a counter of a shard that lost nothing, when no call is under way.
    pub(crate) fn settled(&self, counter: &Counter, value: u64) {
        let acknowledged = counter.acknowledged.load(SeqCst);
        let most = acknowledged + counter.unknown.load(SeqCst);
        if value < acknowledged || value > most {
            let text = format!("{} is {value}, and is between {acknowledged} and {most}", counter.name);
            self.say_wrong(text);
        }
    }
}

impl Key {
    /// What a read that begins now has to show at least.
    pub(crate) fn floor(&self) -> u64 {
        self.acknowledged.load(SeqCst)
    }

    /// The next version and its value. Only the key's one writer asks.
    pub(crate) fn next(&self) -> (u64, String) {
        let version = self.attempted.fetch_add(1, SeqCst) + 1;
        (version, format!("{}|{version}", self.name))
    }

    pub(crate) fn wrote(&self, version: u64, outcome: Wrote) {
        match outcome {
            Wrote::Acknowledged => self.acknowledged.store(version, SeqCst),
            Wrote::Unknown => {
                let mut unknown = lock(&self.unknown);
                if unknown.len() >= 64 {
                    unknown.remove(0);
                }
                unknown.push(version);
            }
            Wrote::NotAtAll => {}
        }
    }
}

impl Counter {
    pub(crate) fn start(&self) {
        self.started.fetch_add(1, SeqCst);
    }

    pub(crate) fn wrote(&self, outcome: Wrote) {
        match outcome {
            Wrote::Acknowledged => self.acknowledged.fetch_add(1, SeqCst),
            Wrote::Unknown => self.unknown.fetch_add(1, SeqCst),
            Wrote::NotAtAll => 0,
        };
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
