//! The scripts that callers made known, so that a shard that does not know one is told.
//!
//! On one server a script that was loaded once can be run by its SHA-1 for ever after. On a ring a shard may come later,
//! come back empty, or never have met the script because its first `EVAL` ran elsewhere. So the bodies that pass by are
//! remembered, and a shard that answers `NOSCRIPT`, or comes into use, is given them. Engines that serve one ring share what
//! they remember (the coordinator has it), so that a client of any of them is served.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use bytes::Bytes;
use rendis_core::command::{Found, Library, Row, script_sha};
use rendis_core::reply::Reply;
use rendis_core::request::{Request, RequestBuf};

/// Script bodies by their SHA-1; none at first. Bounded by [`Scripts::MOST_BYTES`]: past it no further script is remembered,
/// and the callers of those see `NOSCRIPT` as a single server would say it.
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
    seen: HashSet<Bytes>,
    bytes: usize,
}

impl Scripts {
    /// What is remembered at most, in bytes of script.
    pub(crate) const MOST_BYTES: usize = 16 << 20;

    /// Takes notice of a request that is about to run, by its arguments.
    #[inline]
    pub(crate) fn notice<'a>(&self, row: &Row, argument: impl Fn(usize) -> Option<&'a [u8]>) {
        match row.library() {
            Library::Keeps(index) | Library::Runs(index) => {
                argument(usize::from(index)).into_iter().for_each(|body| self.remember(body));
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

    fn remember(&self, body: &[u8]) {
        // Threads that run it at the same time do not wait for each other.
        if self.read().seen.contains(body) {
            return;
        }
        let mut known = self.write();
        let body = Bytes::copy_from_slice(body);
        if known.bytes + body.len() <= Self::MOST_BYTES && known.seen.insert(body.clone()) {
            known.bytes += body.len();
            known.bodies.insert(script_sha(&body), body);
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

/// Whether a reply says, in the server's own words, that it does not know the script; then nothing of it ran.
pub(crate) fn is_unknown(reply: &Reply) -> bool {
    reply
        .as_error()
        .is_some_and(|error| error.code == b"NOSCRIPT" && error.text.starts_with(b"No matching script"))
}

fn load(body: &[u8]) -> RequestBuf {
    RequestBuf::pack([&b"SCRIPT"[..], b"LOAD", body])
}
