//! What has to hold, whatever goes wrong.
//!
//! | promise | how it is seen |
//! |---|---|
//! | every call is answered, in time | `World::judge`: within the deadline and a slack |
//! | no reply reaches another call | `Ask::fits`: values carry their key, sums are multiples of a prime of their key's |
//! | what is not to be repeated is applied once at the most | [`Ledger::check`]: every write has a token, and model shards note what they run |
//! | `sent: no` was not applied; what was answered was | [`Ledger::check`] |
//! | no stale read | [`Ledger::stale`]: a key has one writer, who knows what it wrote |
//! | a healthy shard's callers notice nothing | `World::was_untouched` |
//! | the ring is as it should be soon after the last fault; nothing is left at the end | `World::recovered`, `World::end` |

use std::collections::BTreeMap;
use std::ops::AddAssign;

use rendis_testkit::sim::Applied;
use tokio::time::Instant;

use crate::calls::{Ask, Told, token_of, token_of_amount};

/// What is known of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Ran,
    NotRun,
    Unknown,
}

/// What callers did.
#[derive(Default)]
pub(crate) struct Ledger {
    writes: BTreeMap<u64, Write>,
    /// The tokens of a key's writes, in order.
    of_key: BTreeMap<String, Vec<u64>>,
    /// Whether idempotent writes may be repeated.
    may_repeat: bool,
    pub(crate) summary: Summary,
}

struct Write {
    fate: Fate,
    repeatable: bool,
    ended: Option<Instant>,
    visible: bool,
}

/// How often what happened.
#[derive(Clone, Debug, Default)]
pub(crate) struct Summary {
    pub(crate) calls: u64,
    pub(crate) answered: u64,
    pub(crate) failed: u64,
    pub(crate) dropped: u64,
    pub(crate) lies: u64,
    pub(crate) stale_reads: u64,
    pub(crate) to_healthy_shards: u64,
    pub(crate) applied: u64,
}

impl Ledger {
    pub(crate) fn new(may_repeat: bool) -> Self {
        Self { may_repeat, ..Self::default() }
    }

    pub(crate) fn begin(&mut self, ask: &Ask) {
        self.summary.calls += 1;
        let repeatable = self.may_repeat && ask.is_idempotent();
        let visible = !matches!(ask, Ask::Del(..));
        for (key, token) in ask.writes() {
            self.writes.insert(token, Write { fate: Fate::Unknown, repeatable, ended: None, visible });
            self.of_key.entry(key).or_default().push(token);
        }
    }

    pub(crate) fn end(&mut self, ask: &Ask, fate: Fate, told: &Told) {
        *match told {
            Told::Answer(_) => &mut self.summary.answered,
            Told::Failed(_) => &mut self.summary.failed,
            Told::Dropped => &mut self.summary.dropped,
        } += 1;
        self.summary.lies += u64::from(told.is_lie());
        for (_, token) in ask.writes() {
            let write = self.writes.get_mut(&token).unwrap();
            // A server that says that it did not run it speaks of the last attempt only.
            let answered = matches!(told, Told::Answer(_));
            let earlier = write.repeatable && answered && fate == Fate::NotRun;
            write.fate = if earlier { Fate::Unknown } else { fate };
            write.ended = Some(Instant::now());
        }
    }

    /// For a key with one writer: the write that a read which began then should have seen, when it saw an older one.
    ///
    /// What is read may be older only where its own outcome is unknown: it can have run late.
    pub(crate) fn stale(&mut self, key: &str, token: u64, began: Instant) -> Option<u64> {
        let tokens = self.of_key.get(key)?;
        let at = tokens.iter().position(|written| *written == token)?;
        if self.writes[&token].fate != Fate::Ran {
            return None;
        }
        let newer = tokens[at + 1..].iter().rev().find(|newer| {
            let write = &self.writes[newer];
            write.fate == Fate::Ran && write.ended.is_some_and(|ended| ended <= began)
        })?;
        self.summary.stale_reads += 1;
        Some(*newer)
    }

    /// What was told to callers against what the shards ran.
    pub(crate) fn check(&mut self, applied: &[Applied]) -> Vec<String> {
        let mut counts = BTreeMap::<u64, u64>::new();
        for token in applied.iter().flat_map(|applied| tokens(&applied.words)) {
            *counts.entry(token).or_default() += 1;
        }
        self.summary.applied = counts.values().sum();
        let mut wrong = Vec::new();
        for (token, write) in &self.writes {
            let count = counts.get(token).copied().unwrap_or_default();
            let right = match write.fate {
                _ if !write.visible => true,
                Fate::NotRun => count == 0,
                Fate::Ran => count == 1 || count > 1 && write.repeatable,
                Fate::Unknown => count <= 1 || write.repeatable,
            };
            if !right {
                wrong.push(format!(
                    "the write {token}, of which is known {:?}, ran {count} times",
                    write.fate
                ));
            }
        }
        wrong
    }
}

impl Summary {
    pub(crate) fn add(&mut self, other: &Self) {
        for (sum, more) in [
            (&mut self.calls, other.calls),
            (&mut self.answered, other.answered),
            (&mut self.failed, other.failed),
            (&mut self.dropped, other.dropped),
            (&mut self.lies, other.lies),
            (&mut self.stale_reads, other.stale_reads),
            (&mut self.to_healthy_shards, other.to_healthy_shards),
            (&mut self.applied, other.applied),
        ] {
            sum.add_assign(more);
        }
    }
}

/// The tokens in a command that a shard ran.
fn tokens(words: &[Vec<u8>]) -> Vec<u64> {
    let text = |index: usize| String::from_utf8_lossy(&words[index]).into_owned();
    match text(0).as_str() {
        "SET" | "GETSET" => token_of(&words[2]).into_iter().collect(),
        "MSET" => words[1..].chunks(2).filter_map(|pair| token_of(&pair[1])).collect(),
        "INCRBY" => token_of_amount(&text(1), &words[2]).into_iter().collect(),
        "EVALSHA" => token_of_amount(&text(3), &words[4]).into_iter().collect(),
        _ => Vec::new(),
    }
}
