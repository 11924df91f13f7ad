//! Several servers at once.

use std::{ops::Deref, thread};

use crate::server::{RedisServer, ServerBuilder};

/// Plain servers that know nothing of each other: the shards of a ring. Reads as a slice of [`RedisServer`].
#[derive(Debug)]
pub struct Cluster {
    servers: Vec<RedisServer>,
}

impl Cluster {
    /// Starts `count` servers side by side and waits until all answer.
    ///
    /// # Panics
    /// As [`ServerBuilder::start`].
    #[must_use]
    pub fn start(count: usize) -> Self {
        Self::start_with(count, |_, builder| builder)
    }

    /// As [`Cluster::start`], with a word about each: `change` gets its position and its builder.
    ///
    /// # Panics
    /// As [`ServerBuilder::start`].
    #[must_use]
    pub fn start_with(count: usize, change: impl Fn(usize, ServerBuilder) -> ServerBuilder) -> Self {
        let builders: Vec<_> = (0..count).map(|at| change(at, RedisServer::builder())).collect();
        let servers = thread::scope(|scope| {
            let starting: Vec<_> =
                builders.into_iter().map(|builder| scope.spawn(move || builder.start())).collect();
            starting
                .into_iter()
                .map(|one| one.join().unwrap_or_else(|cause| std::panic::resume_unwind(cause)))
                .collect()
        });
        Self { servers }
    }

    /// The URL of every server, in order.
    #[must_use]
    pub fn urls(&self) -> Vec<String> {
        self.servers.iter().map(RedisServer::url).collect()
    }

    /// How many keys each server holds, in order.
    ///
    /// # Panics
    /// When one does not answer.
    #[must_use]
    pub fn sizes(&self) -> Vec<i64> {
        self.servers.iter().map(|server| server.command(&["DBSIZE"]).integer()).collect()
    }
}

impl Deref for Cluster {
    type Target = [RedisServer];

    fn deref(&self) -> &[RedisServer] {
        &self.servers
    }
}

impl<'a> IntoIterator for &'a Cluster {
    type Item = &'a RedisServer;
    type IntoIter = std::slice::Iter<'a, RedisServer>;

    fn into_iter(self) -> Self::IntoIter {
        self.servers.iter()
    }
}
