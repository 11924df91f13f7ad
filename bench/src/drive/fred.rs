//! fred: one client a shard; keys placed by hand.

use fred::clients::Client;
use fred::interfaces::{ClientLike, KeysInterface, LuaInterface};
use fred::types::config::Config;

use crate::drive::library::{ByHand, Key, Library, SCRIPT};

pub(super) type Fred = ByHand<Client>;

impl Library for Fred {
    async fn connect(shards: &[String]) -> Self {
        let mut clients = Vec::new();
        for url in shards {
            let client = Client::new(Config::from_url(url).expect("a URL"), None, None, None);
            client.init().await.expect("a connection");
            clients.push(client);
        }
        Self(clients)
    }

    async fn get(&mut self, key: Key<'_>) {
        let _: Option<String> = self.shard(key.text).get(key.text).await.expect("a reply");
    }

    async fn set(&mut self, key: Key<'_>, value: &str) {
        let _: () = self.shard(key.text).set(key.text, value, None, None, false).await.expect("a reply");
    }

    async fn mget(&mut self, keys: &[String]) {
        let split = self.split(keys, |shard, _, keys| async move {
            shard.mget::<Vec<Option<String>>, _>(keys).await.expect("a reply")
        });
        assert_eq!(split.await.len(), keys.len());
    }

    async fn mset(&mut self, keys: &[String], value: &str) {
        let run = |shard: Client, _, keys: Vec<&str>| {
            let pairs: Vec<(String, String)> =
                keys.into_iter().map(|key| (key.to_owned(), value.to_owned())).collect();
            async move {
                shard.mset(pairs).await.expect("a reply");
                Vec::<()>::new()
            }
        };
        self.split(keys, run).await;
    }

    async fn pipeline(&mut self, keys: &[String], value: &str, all_set: bool) {
        let run = |shard: Client, places: Vec<usize>, keys: Vec<&str>| {
            let keys: Vec<String> = keys.into_iter().map(str::to_owned).collect();
            let value = value.to_owned();
            async move {
                let pipe = shard.pipeline();
                for (at, key) in places.into_iter().zip(keys) {
                    if all_set || at % 2 == 1 {
                        let _: () = pipe.set(key, value.as_str(), None, None, false).await.expect("queued");
                    } else {
                        let _: () = pipe.get(key).await.expect("queued");
                    }
                }
                pipe.all::<Vec<Option<String>>>().await.expect("a reply")
            }
        };
        assert_eq!(self.split(keys, run).await.len(), keys.len());
    }

    async fn eval(&mut self, key: &str) {
        let none: Vec<String> = Vec::new();
        let _: Option<String> = self.shard(key).eval(SCRIPT, key, none).await.expect("a reply");
    }
}
