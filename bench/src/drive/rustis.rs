//! rustis: one client a shard; keys placed by hand.

use rustis::client::{BatchPreparedCommand, Client};
use rustis::commands::{ScriptingCommands, StringCommands};

use crate::drive::library::{ByHand, Key, Library, SCRIPT};

pub(super) type Rustis = ByHand<Client>;

impl Library for Rustis {
    async fn connect(shards: &[String]) -> Self {
        let mut clients = Vec::new();
        for url in shards {
            clients.push(Client::connect(url.as_str()).await.expect("a connection"));
        }
        Self(clients)
    }

    async fn get(&mut self, key: Key<'_>) {
        let _: Option<String> = self.shard(key.text).get(key.text).await.expect("a reply");
    }

    async fn set(&mut self, key: Key<'_>, value: &str) {
        self.shard(key.text).set(key.text, value).await.expect("a reply");
    }

    async fn mget(&mut self, keys: &[String]) {
        let split = self.split(keys, |shard, _, keys| async move {
            shard.mget::<Vec<Option<String>>>(keys).await.expect("a reply")
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
        let split = self.split(keys, |shard, places, keys| async move {
            let mut pipe = shard.create_pipeline();
            for (at, key) in places.into_iter().zip(keys) {
                if all_set || at % 2 == 1 {
                    pipe.set(key, value).queue();
                } else {
                    pipe.get::<()>(key).queue();
                }
            }
            pipe.execute::<Vec<Option<String>>>().await.expect("a reply")
        });
        assert_eq!(split.await.len(), keys.len());
    }

    async fn eval(&mut self, key: &str) {
        let none: [&str; 0] = [];
        let _: Option<String> = self.shard(key).eval(SCRIPT, key, none).await.expect("a reply");
    }
}
