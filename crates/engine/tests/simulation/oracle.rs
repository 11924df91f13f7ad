//! What has to hold, whatever goes wrong.
//!
//! | promise | how it is seen |
//! |---|---|
//! | every call is answered, in time | `World::judge`: within the deadline and a slack |
//! | no reply reaches another call | `Ask::fits`: values carry their key, sums are multiples of a prime of their key's |
//! | what is not to be repeated is applied once at the most | [`Ledger::check`]: every write has a token, and model shards note what they run |
//! | `sent: no` was not applied; what was answered was | [`Ledger::check`] |
//! | a transaction runs as a whole or not at all, and sees itself | [`Ledger::torn`], `transactions::saw_itself` |
//! | what was watched had not changed | [`overtaken`] |
//! | no stale read | [`Ledger::stale`]: a key has one writer, who knows what it wrote; [`Stale::found_at`], [`History::has_kept`](crate::rings::History::has_kept): what excuses one |
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
    /// The tokens of each transaction.
    together: Vec<Vec<u64>>,
    /// Whether idempotent writes may be repeated.
    may_repeat: bool,
    pub(crate) summary: Summary,
}

struct Write {
    fate: Fate,
    repeatable: bool,
    began: Instant,
    ended: Option<Instant>,
    visible: bool,
}

/// A write that was read after a newer one of the same key had been answered.
pub(crate) struct Stale {
    key: String,
    token: u64,
    pub(crate) newer: u64,
    /// When it began to be written.
    pub(crate) written: Instant,
    /// When the newer one began, and was answered.
    overwritten: (Instant, Instant),
}

impl Stale {
    /// The hosts on which it should not have been found any more.
    ///
    /// A write whose outcome is unknown may run after a newer one, on the host of both: as long as its connection lives,
    /// for a host runs nothing of one that was thrown away.
    pub(crate) fn found_at(&self, applied: &[Applied]) -> Vec<String> {
        let (from, to) = self.overwritten;
        let of_newer = |applied: &&Applied| {
            let deletes =
                applied.words[0] == b"DEL" && applied.words[1..].contains(&self.key.clone().into_bytes());
            from <= applied.at
                && applied.at <= to
                && (deletes || tokens(&applied.words).contains(&self.newer))
        };
        let newer: Vec<&Applied> = applied.iter().filter(of_newer).collect();
        let mut hosts = Vec::new();
        for old in applied.iter().filter(|applied| tokens(&applied.words).contains(&self.token)) {
            let late = newer.iter().any(|newer| newer.host == old.host && newer.at <= old.at);
            if late {
                return Vec::new();
            }
            hosts.push(old.host.clone());
        }
        hosts
    }
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
    /// Changes of the ring.
    pub(crate) changes: u64,
    /// Transactions that ran, and those under a watch that did not because somebody else wrote.
    pub(crate) together: u64,
    pub(crate) conflicts: u64,
    /// Messages that listeners heard.
    pub(crate) heard: u64,
    /// Shards that rested because they were slow.
    pub(crate) slow: u64,
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
            self.writes.insert(
                token,
                Write { fate: Fate::Unknown, repeatable, began: Instant::now(), ended: None, visible },
            );
            self.of_key.entry(key).or_default().push(token);
        }
    }

    /// These are one transaction.
    pub(crate) fn begin_together(&mut self, asks: &[Ask]) {
        self.together.push(asks.iter().flat_map(Ask::writes).map(|(_, token)| token).collect());
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

    /// For a key with one writer: what is to be known of a read that began then and saw an older write than the newest
    /// of which the writer knew that it ran.
    pub(crate) fn stale(&mut self, key: &str, token: u64, began: Instant) -> Option<Stale> {
        let tokens = self.of_key.get(key)?;
        let at = tokens.iter().position(|written| *written == token)?;
        let newer = tokens[at + 1..].iter().rev().find(|newer| {
            let write = &self.writes[newer];
            // In one instant of virtual time nobody can say which was first.
            write.fate == Fate::Ran && write.ended.is_some_and(|ended| ended < began)
        })?;
        self.summary.stale_reads += 1;
        let overwritten = (self.writes[newer].began, self.writes[newer].ended?);
        let written = self.writes[&token].began;
        Some(Stale { key: key.to_owned(), token, newer: *newer, written, overwritten })
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
        wrong.extend(self.torn(applied));
        wrong.extend(overtaken(applied));
        wrong
    }

    /// The transactions that did not run as a whole.
    fn torn(&self, applied: &[Applied]) -> Vec<String> {
        let mut runs = BTreeMap::<u64, Vec<(&str, Instant)>>::new();
        for applied in applied {
            for token in tokens(&applied.words) {
                runs.entry(token).or_default().push((&applied.host, applied.at));
            }
        }
        let torn =
            |together: &&Vec<u64>| together.iter().any(|token| runs.get(token) != runs.get(&together[0]));
        self.together
            .iter()
            .filter(torn)
            .map(|together| format!("the transaction {together:?} was torn"))
            .collect()
    }
}

/// The writes under a watch before which somebody else wrote.
fn overtaken(applied: &[Applied]) -> Vec<String> {
    let (mut held, mut wrong) = (BTreeMap::<(&str, &[u8]), u64>::new(), Vec::new());
    for Applied { host, words, .. } in applied {
        match (&*words[0], &words[1..]) {
            (b"SET" | b"GETSET", [key, value]) => {
                let before =
                    held.insert((host, key), token_of(value).unwrap_or_default()).unwrap_or_default();
                let seen = value
                    .split(|byte| *byte == b'|')
                    .nth(2)
                    .and_then(|seen| str::from_utf8(seen).ok()?.parse().ok());
                if seen.is_some_and(|seen: u64| seen != before) {
                    wrong.push(format!(
                        "{} on {host} was set to {} over {before}",
                        key.escape_ascii(),
                        value.escape_ascii()
                    ));
                }
            }
            (b"DEL" | b"UNLINK", keys) => {
                for key in keys {
                    held.remove(&(&**host, &**key));
                }
            }
            (b"FLUSHALL" | b"FLUSHDB", _) => held.retain(|(on, _), _| on != host),
            _ => {}
        }
    }
    wrong
}

impl Summary {
    /// Whether all that the promises are about happened.
    pub(crate) fn has_all(&self) -> bool {
        let Self { dropped, to_healthy_shards, changes, together, conflicts, heard, slow, .. } = self;
        ![dropped, to_healthy_shards, changes, together, conflicts, heard, slow].contains(&&0)
    }

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
            (&mut self.changes, other.changes),
            (&mut self.together, other.together),
            (&mut self.conflicts, other.conflicts),
            (&mut self.heard, other.heard),
            (&mut self.slow, other.slow),
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
        "PUBLISH" | "SPUBLISH" => token_of(&words[2]).into_iter().collect(),
        "MSET" => words[1..].chunks(2).filter_map(|pair| token_of(&pair[1])).collect(),
        "INCRBY" => token_of_amount(&text(1), &words[2]).into_iter().collect(),
        "EVALSHA" => token_of_amount(&text(3), &words[4]).into_iter().collect(),
        _ => Vec::new(),
    }
}
