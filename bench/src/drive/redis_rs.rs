//! redis-rs: one multiplexed connection, or one connection manager, a shard; keys placed by hand.

use redis::AsyncCommands;
use redis::aio::{ConnectionLike, ConnectionManager, MultiplexedConnection};

use crate::drive::library::{ByHand, Key, Library, SCRIPT};

pub(super) type Multiplexed = ByHand<MultiplexedConnection>;
pub(super) type Managed = ByHand<ConnectionManager>;

/// How one connection comes to be.
pub(super) trait Connect: ConnectionLike + Clone + Send + Sync + 'static {
    fn open(client: redis::Client) -> impl Future<Output = Self> + Send;
}

impl Connect for MultiplexedConnection {
    async fn open(client: redis::Client) -> Self {
        client.get_multiplexed_async_connection().await.expect("a connection")
    }
}

impl Connect for ConnectionManager {
    async fn open(client: redis::Client) -> Self {
        client.get_connection_manager().await.expect("a connection")
    }
}

impl<C: Connect> Library for ByHand<C> {
    async fn connect(shards: &[String]) -> Self {
        let mut connections = Vec::new();
        for url in shards {
            connections.push(C::open(redis::Client::open(url.as_str()).expect("a URL")).await);
        }
        Self(connections)
    }

    async fn get(&mut self, key: Key<'_>) {
        let _: Option<String> = self.shard(key.text).get(key.text).await.expect("a reply");
    }

    async fn set(&mut self, key: Key<'_>, value: &str) {
        let _: () = self.shard(key.text).set(key.text, value).await.expect("a reply");
    }

    async fn mget(&mut self, keys: &[String]) {
        let split = self.split(keys, |mut shard, _, keys| async move {
            shard.mget::<_, Vec<Option<String>>>(&keys).await.expect("a reply")
        });
        assert_eq!(split.await.len(), keys.len());
    }

    async fn mset(&mut self, keys: &[String], value: &str) {
        let run = |mut shard: C, _, keys: Vec<&str>| {
            let pairs: Vec<(String, &str)> = keys.into_iter().map(|key| (key.to_owned(), value)).collect();
            async move {
                let _: () = shard.mset(&pairs).await.expect("a reply");
                Vec::<()>::new()
            }
        };
        self.split(keys, run).await;
    }

    async fn pipeline(&mut self, keys: &[String], value: &str, all_set: bool) {
        let run = |mut shard: C, places: Vec<usize>, keys: Vec<&str>| {
            let mut pipe = redis::pipe();
            for (at, key) in places.into_iter().zip(keys) {
                if all_set || at % 2 == 1 {
                    pipe.set(key, value)
                } else {
                    pipe.get(key)
                };
            }
            async move { pipe.query_async::<Vec<Option<String>>>(&mut shard).await.expect("a reply") }
        };
        assert_eq!(self.split(keys, run).await.len(), keys.len());
    }

    async fn eval(&mut self, key: &str) {
        let command = redis::cmd("EVAL").arg(SCRIPT).arg(1).arg(key).take();
        let _: Option<String> = command.query_async(self.shard(key)).await.expect("a reply");
    }
}
