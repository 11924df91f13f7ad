//! How many files the process may have open: each client is one, and each connection to a shard.

use rendis_proxy::config::Config;
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

/// Says in the log when the clients that a configuration lets in are more than the system does.
pub(crate) fn warn_of_too_many(config: &Config) {
    let clients = config.rings.iter().fold(0_u64, |all, ring| all.saturating_add(number(ring.max_clients)));
    if let Some(limit) = getrlimit(Resource::Nofile).current
        && limit < clients.saturating_add(OWN)
    {
        tracing::warn!(
            limit,
            max_clients = clients,
            "the system lets this process open fewer files than max_clients of all rings and its own connections take"
        );
    }
}

fn number(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

/// What macOS allows where it names no limit.
const OFTEN_ALLOWED: u64 = 10_240;

/// Listeners, files of the runtime, and some connections to shards.
const OWN: u64 = 64;
