//! The scripts that callers made known, so that a shard that does not know one is told.
//!
//! On one server a script that was loaded once can be run by its SHA-1 for ever after. On a ring a shard may come later,
//! come back empty, or never have met the script because its first `EVAL` ran elsewhere. So the bodies that pass by are
//! remembered, and a shard that answers `NOSCRIPT`, or comes into use, is given them. Engines that serve one ring share what
//! they remember (the coordinator has it), so that a client of any of them is served.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use bytes::Bytes;
use rendis_core::command::{Found, Library, Row, script_sha};
use rendis_core::reply::Reply;
use rendis_core::request::{Request, RequestBuf};

/// Script bodies by their SHA-1; none at first. Bounded by [`Scripts::MOST_BYTES`]: past it the oldest are forgotten, those
/// that were only run before those that were loaded, because whoever sends the text can send it again. The callers of a
/// script that is forgotten see `NOSCRIPT` where a shard does not know it, as a single server would say it.
#[derive(Debug, Default)]
pub(crate) struct Scripts {
    /// Whether anything is known: spares the lock where no script is used.
    any: AtomicBool,
    known: RwLock<Known>,
}

#[derive(Debug, Default)]
struct Known {
    bodies: HashMap<[u8; 40], Bytes>,
    /// The same by themselves: a body that passes by is nearly always known, and its SHA-1 is not needed to see that.
    seen: HashMap<Bytes, Came>,
    /// The SHA-1 of the same from the oldest on, as they came; those that came otherwise too since are in both.
    ran: VecDeque<[u8; 40]>,
    loaded: VecDeque<[u8; 40]>,
    /// Bytes of them all, and of those that were loaded.
    bytes: usize,
    loaded_bytes: usize,
    /// The log was told that loaded scripts are forgotten.
    told: bool,
}

/// How a script became known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Came {
    Ran,
    Loaded,
}

impl Scripts {
    /// What is remembered at most, in bytes of script.
    pub(crate) const MOST_BYTES: usize = 16 << 20;

    /// Takes notice of a request that is about to run, by its arguments.
    #[inline]
    pub(crate) fn notice<'a>(&self, row: &Row, argument: impl Fn(usize) -> Option<&'a [u8]>) {
        match row.library() {
            Library::Keeps(index) => {
                argument(usize::from(index)).into_iter().for_each(|body| self.remember(body, Came::Loaded));
            }
            Library::Runs(index) => {
                argument(usize::from(index)).into_iter().for_each(|body| self.remember(body, Came::Ran));
            }
            Library::Forgets => *self.write() = Known::default(),
            _ => {}
        }
    }

    /// [`Scripts::notice`] of requests that are about to run together, and what to send in front of them: the requests that
    /// make the scripts known which they run by SHA-1, where the bodies are remembered. A shard that has them loses nothing
    /// by it, and for one that has not it would be too late between `MULTI` and `EXEC`.
    pub(crate) fn lessons<'r>(
        &self,
        requests: impl Iterator<Item = (Request<'r>, Found<'r>)>,
    ) -> Vec<RequestBuf> {
        let mut bodies = BTreeMap::new();
        for (request, found) in requests {
            if let Found::Row(row) = found {
                bodies.extend(self.kept(row, request));
                if row.library() != Library::Forgets {
                    self.notice(row, |index| request.argument(index));
                }
            }
        }
        bodies.values().map(|body| load(body)).collect()
    }

    /// The request that makes the script known which `request` runs by its SHA-1, where its body is remembered.
    pub(crate) fn remedy(&self, row: &Row, request: Request<'_>) -> Option<RequestBuf> {
        self.kept(row, request).map(|(_, body)| load(&body))
    }

    /// The requests that make all of them known; empty in nearly every program.
    pub(crate) fn all(&self) -> Vec<RequestBuf> {
        if !self.any.load(Ordering::Relaxed) {
            return Vec::new();
        }
        self.read().bodies.values().map(|body| load(body)).collect()
    }

    /// The script that a request runs by its SHA-1, where its body is remembered.
    fn kept(&self, row: &Row, request: Request<'_>) -> Option<([u8; 40], Bytes)> {
        let Library::RunsKept(index) = row.library() else { return None };
        let name = request.argument(usize::from(index))?.to_ascii_lowercase();
        let name = name.try_into().ok()?;
        Some((name, self.read().bodies.get(&name).cloned()?))
    }

    fn remember(&self, body: &[u8], came: Came) {
        // Threads that run it at the same time do not wait for each other.
        let is_known = self.read().seen.get(body).is_some_and(|before| *before >= came);
        if !is_known && body.len() <= Self::MOST_BYTES {
            let name = script_sha(body);
            self.write().remember(name, body, came);
            self.any.store(true, Ordering::Relaxed);
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, Known> {
        self.known.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Known> {
        self.known.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn remember(&mut self, name: [u8; 40], body: &[u8], came: Came) {
        match self.seen.get(body).copied() {
            Some(before) if before >= came => return,
            Some(_) => self.seen.get_mut(body).into_iter().for_each(|known| *known = came),
            None if self.make_room(body.len(), came) => {
                let body = Bytes::copy_from_slice(body);
                self.bytes += body.len();
                self.seen.insert(body.clone(), came);
                self.bodies.insert(name, body);
            }
            None => return,
        }
        match came {
            Came::Ran => self.ran.push_back(name),
            Came::Loaded => {
                self.loaded_bytes += body.len();
                self.loaded.push_back(name);
            }
        }
    }

    /// Forgets the oldest, until there is room for so many bytes. False, and nothing is forgotten, where it would have to be a
    /// loaded one that makes room for one that was only run.
    fn make_room(&mut self, bytes: usize, came: Came) -> bool {
        if came == Came::Ran && self.loaded_bytes + bytes > Scripts::MOST_BYTES {
            return false;
        }
        while self.bytes + bytes > Scripts::MOST_BYTES {
            if let Some(name) = self.ran.pop_front() {
                self.forget(&name, Came::Ran);
            } else if let Some(name) = self.loaded.pop_front() {
                self.forget(&name, Came::Loaded);
                if !std::mem::replace(&mut self.told, true) {
                    let most = Scripts::MOST_BYTES >> 20;
                    tracing::warn!("more than {most} MiB of scripts were loaded: the oldest are forgotten");
                }
            } else {
                return false;
            }
        }
        true
    }

    /// Forgets a script, unless it came otherwise too since.
    fn forget(&mut self, name: &[u8; 40], came: Came) {
        let Some(body) = self.bodies.get(name) else { return };
        if self.seen.get(body) != Some(&came) {
            return;
        }
        self.bytes -= body.len();
        self.loaded_bytes -= if came == Came::Loaded { body.len() } else { 0 };
        self.seen.remove(body);
        self.bodies.remove(name);
    }
}

/// Whether a reply says, in the server's own words, that it does not know the script; then nothing of it ran.
#[inline]
pub(crate) fn is_unknown(reply: &Reply) -> bool {
    reply
        .as_error()
        .is_some_and(|error| error.code == b"NOSCRIPT" && error.text.starts_with(b"No matching script"))
}

fn load(body: &[u8]) -> RequestBuf {
    RequestBuf::pack([&b"SCRIPT"[..], b"LOAD", body])
}

#[cfg(test)]
mod tests {
    use rendis_core::command::Table;

    use super::*;

    /// A script of a MiB.
    fn script(number: usize) -> String {
        format!("return {number} --{}", "x".repeat((1 << 20) - 20))
    }

    fn notice(scripts: &Scripts, words: &[&str]) {
        let request = RequestBuf::pack(words.iter().map(|word| word.as_bytes()).collect::<Vec<_>>());
        let table = Table::default();
        let Found::Row(row) = table.find(request.view()) else { panic!("{words:?}") };
        scripts.notice(row, |index| request.view().argument(index));
    }

    fn knows(scripts: &Scripts, body: &str) -> bool {
        scripts.read().bodies.contains_key(&script_sha(body.as_bytes()))
    }

    #[test]
    fn the_oldest_are_forgotten_and_loaded_ones_after_those_that_only_ran() {
        let scripts = Scripts::default();
        let (loaded, both) = (script(1000), script(1001));
        notice(&scripts, &["EVAL", &both, "0"]);
        notice(&scripts, &["SCRIPT", "LOAD", &loaded]);
        notice(&scripts, &["SCRIPT", "LOAD", &both]);
        for number in 0..30 {
            notice(&scripts, &["EVAL", &script(number), "0"]);
            notice(&scripts, &["EVAL", &script(number), "0"]);
        }
        assert!(knows(&scripts, &loaded) && knows(&scripts, &both));
        assert!(
            knows(&scripts, &script(29)) && knows(&scripts, &script(20)) && !knows(&scripts, &script(10))
        );
        assert!(scripts.read().bytes <= Scripts::MOST_BYTES && scripts.all().len() == 16);
        for number in 0..18 {
            notice(&scripts, &["SCRIPT", "LOAD", &script(number)]);
        }
        assert!(!knows(&scripts, &loaded) && knows(&scripts, &script(17)) && !knows(&scripts, &script(29)));
        // Nothing loaded makes room for what is only run, and what could never be held is passed over.
        notice(&scripts, &["EVAL", &script(500), "0"]);
        notice(&scripts, &["SCRIPT", "LOAD", &"x".repeat(Scripts::MOST_BYTES + 1)]);
        assert!(!knows(&scripts, &script(500)) && knows(&scripts, &script(17)));
        notice(&scripts, &["SCRIPT", "FLUSH"]);
        assert!(scripts.all().is_empty() && scripts.read().bytes == 0);
    }
}
