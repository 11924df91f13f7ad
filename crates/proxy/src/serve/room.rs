//! How many clients there is room for: each takes one of the files that the system lets the process open, and what the
//! process needs for itself comes first. So it is clients that are turned away where there are too few, and not connections
//! to shards or the admin pages that fail. (A client that blocks takes one more while it does, which is not reckoned with.)

use rustix::process::{Resource, getrlimit};

use crate::config::{self, Config};

/// See the module.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    /// The system's limit, if there is one.
    limit: Option<usize>,
    /// What is left of it for clients.
    left: usize,
    /// How many clients the rings would let in.
    wanted: usize,
}

impl Room {
    /// What there is for these rings on so many threads.
    pub(super) fn new(config: &Config, threads: usize) -> Self {
        let limit =
            getrlimit(Resource::Nofile).current.map(|most| usize::try_from(most).unwrap_or(usize::MAX));
        Self::within(limit, config, threads)
    }

    fn within(limit: Option<usize>, config: &Config, threads: usize) -> Self {
        // Twice, because a reload may connect anew before the connections that there are end.
        let ring = |ring: &config::Ring| {
            let probes = usize::try_from(ring.health.fall).unwrap_or(usize::MAX);
            let shard = (threads * PROTOCOLS).saturating_add(probes).saturating_add(OF_A_SHARD);
            ring.shards.len().saturating_mul(shard).saturating_mul(2) + ring.listen.len() * (threads + 1)
        };
        let own = config.rings.iter().map(ring).fold(OWN + threads * OF_A_THREAD, usize::saturating_add);
        // Half of it in any case: that is what could be needed at once, and seldom is.
        let left = limit.map_or(usize::MAX, |limit| limit.saturating_sub(own).max(limit / 2));
        let wanted = config.rings.iter().map(|ring| ring.max_clients).fold(0, usize::saturating_add);
        Self { limit, left, wanted }
    }

    /// How many clients of so many that a ring wants to let in it can: its share.
    pub(super) fn share(&self, max_clients: usize) -> usize {
        if self.wanted <= self.left {
            return max_clients;
        }
        // More than there are numbers is more than there are files.
        max_clients.checked_mul(self.left).map_or(self.left, |all| all / self.wanted).max(1)
    }

    /// Says in the log when there is too little.
    pub(super) fn tell(&self) {
        if self.wanted > self.left {
            tracing::warn!(
                limit = self.limit,
                max_clients = self.wanted,
                clients = self.left,
                "the system lets this process open fewer files than max_clients of all rings and its own connections \
                 take: fewer clients are let in"
            );
        }
    }
}

/// Files of the process that are no client's, its listeners' or a shard's: those of the admin pages, of lookups of names, of
/// a configuration that is read.
const OWN: usize = 64;

/// Files of a runtime.
const OF_A_THREAD: usize = 4;

/// The protocols that a thread may have a connection to a shard for.
const PROTOCOLS: usize = 2;

/// Connections to a shard that are no thread's: for subscriptions, and for what it has to forget.
const OF_A_SHARD: usize = 4;

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::Sources;

    #[test]
    fn clients_share_what_the_process_does_not_need_itself() {
        let ring = |name: &str, max: usize, shards: usize| {
            let shards: String = (0..shards)
                .map(|number| format!("[[ring.shard]]\nname = \"s{number}\"\nurl = \"redis://h{number}\"\n"))
                .collect();
            format!("[[ring]]\nname = \"{name}\"\nlisten = \"127.0.0.1:0\"\nmax_clients = {max}\n{shards}")
        };
        let text = ring("one", 3000, 2) + &ring("two", 1000, 10);
        let config =
            config::parse(&text, &Sources { file: "", directory: Path::new(""), lookup: None }).unwrap();
        let room = |limit| Room::within(limit, &config, 4);
        for limit in [None, Some(65_536)] {
            assert_eq!([3000, 1000].map(|max| room(limit).share(max)), [3000, 1000]);
        }
        // Less than 500 for 12 shards and 4 threads; three quarters and a quarter of what is left.
        let [one, two] = [3000, 1000].map(|max| room(Some(2500)).share(max));
        assert!(one + two > 2000 && one + two < 2400 && one.abs_diff(3 * two) < 3, "{one} and {two}");
        // As many shards as there are files: still half of them are for clients.
        assert_eq!([3000, 1000].map(|max| room(Some(100)).share(max)), [37, 12]);
    }
}
