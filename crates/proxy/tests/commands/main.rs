//! Every class of commands does on a ring what is promised of it, and clients of every kind are treated well.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod answered;
mod blocking;
mod everywhere;
mod failures;
mod keys;
mod kill;
mod messages;
mod misbehaving;
#[path = "../ring/mod.rs"]
mod ring;
mod scripts;
mod sending;
#[path = "../side/mod.rs"]
mod side;
#[path = "../tls/mod.rs"]
mod tls;
mod transactions;

use std::collections::BTreeSet;
use std::net::SocketAddr;

use rendis_proxy::serve::Proxy;
use rendis_testkit::{Client, Cluster, RedisServer, Reply};

use crate::ring::{address, client, config, ring};

/// A ring over three servers.
struct Stage {
    proxy: Proxy,
    shards: Cluster,
}

impl Stage {
    fn start() -> Self {
        // A machine that is busy with other tests is slow, not dead.
        Self::with("deadlines = { connect = \"5s\", reply = \"5s\", write = \"5s\", wait = \"5s\" }")
    }

    fn with(fields: &str) -> Self {
        let shards = Cluster::start(3);
        let proxy = Proxy::start(&config(&ring("cache", fields, &shards.urls()))).unwrap();
        Self { proxy, shards }
    }

    fn client(&self) -> Client {
        client(&self.proxy, "cache")
    }

    fn resp3(&self) -> Client {
        let mut client = self.client();
        assert!(matches!(client.command(&["HELLO", "3"]).unwrap(), Reply::Map(_)));
        client
    }

    fn address(&self) -> SocketAddr {
        address(&self.proxy, "cache")
    }

    /// A key on each shard, in the order of the shards; `name` makes them others.
    fn keys(&self, name: &str) -> Vec<String> {
        let mut client = self.client();
        let mut keys = vec![String::new(); self.shards.len()];
        for number in 0.. {
            let key = format!("{name}:{number}");
            assert!(client.command(&["SET", &key, "here"]).unwrap().is_ok());
            let at =
                self.shards.iter().position(|shard| shard.command(&["EXISTS", &key]).integer() == 1).unwrap();
            assert_eq!(client.command(&["DEL", &key]).unwrap().integer(), 1);
            if keys[at].is_empty() {
                keys[at] = key;
            }
            if keys.iter().all(|key| !key.is_empty()) {
                break;
            }
        }
        keys
    }

    /// How many clients each shard has, apart from the one that asks.
    fn connections(&self) -> Vec<usize> {
        self.shards.iter().map(connections).collect()
    }
}

fn connections(server: &RedisServer) -> usize {
    server.clients().len()
}

fn blocked(server: &RedisServer) -> bool {
    !server.command(&["INFO", "clients"]).text().contains("blocked_clients:0")
}

/// Sends and reads, and the connection must hold.
fn ask<A: AsRef<[u8]>>(client: &mut Client, words: &[A]) -> Reply {
    client.command(words).unwrap()
}

fn words(line: &str) -> Vec<&str> {
    line.split(' ').collect()
}

fn texts(reply: &Reply) -> BTreeSet<String> {
    reply.elements().iter().map(|one| one.text().to_owned()).collect()
}

fn alive(client: &mut Client) {
    assert_eq!(ask(client, &["PING"]), Reply::simple("PONG"));
}

fn bulks(words: &[&str]) -> Vec<Reply> {
    words.iter().map(Reply::bulk).collect()
}
