//! How many files the process may have open: each client is one, and each connection to a shard.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the limit to what the system allows at most, which is what the two limits of a process are for: the lower one is
/// small for the sake of programs that use `select`.
pub(crate) fn raise_limit() {
    let limits = getrlimit(Resource::Nofile);
    if limits.current == limits.maximum {
        return;
    }
    // Some systems say that there is no limit, and refuse that number.
    for most in [limits.maximum, Some(OFTEN_ALLOWED)] {
        if most.is_some_and(|most| limits.current.is_none_or(|now| most <= now)) {
            return;
        }
        if setrlimit(Resource::Nofile, Rlimit { current: most, maximum: limits.maximum }).is_ok() {
            return;
        }
    }
    tracing::warn!(limit = limits.current, "the limit of open files could not be raised");
}

/// What macOS allows where it names no limit.
const OFTEN_ALLOWED: u64 = 10_240;
