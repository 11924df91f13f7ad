//! Starts three servers and a proxy over them, runs a program that is a client of the proxy, and ends as it ended.
//!
//! The program finds in its environment `RENDIS_HOST` and `RENDIS_PORT`, and in `RENDIS_SHARD` the process of one of
//! the servers, which it may kill. `scripts/clients.sh` runs the tests of foreign clients with it.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "it is part of tests")]

use std::path::Path;
use std::process::{Command, ExitCode};

use rendis_proxy::config::{self, Sources};
use rendis_proxy::serve::Proxy;
use rendis_testkit::Cluster;

fn main() -> ExitCode {
    let mut words = std::env::args_os().skip(1);
    let Some(program) = words.next() else {
        eprintln!("usage: stage PROGRAM [ARGUMENT…]");
        return ExitCode::from(2);
    };
    let shards = Cluster::start(3);
    let mut text =
        "threads = 2\n[[ring]]\nname = \"cache\"\nlisten = \"127.0.0.1:0\"\nheartbeat_frequency = \"50ms\"\n"
            .to_owned();
    for (at, url) in shards.urls().iter().enumerate() {
        text += &format!("[[ring.shard]]\nname = \"shard{at}\"\nurl = \"{url}\"\n");
    }
    let sources = Sources { file: "rendis.toml", directory: Path::new(""), lookup: None };
    let proxy = Proxy::start(&config::parse(&text, &sources).unwrap()).unwrap();
    let (_, address) = proxy.addresses().first().unwrap();
    let (host, port) = address.rsplit_once(':').unwrap();
    let status = Command::new(program)
        .args(words)
        .env("RENDIS_HOST", host)
        .env("RENDIS_PORT", port)
        .env("RENDIS_SHARD", shards.get(1).and_then(rendis_testkit::RedisServer::pid).unwrap().to_string())
        .status();
    proxy.stop();
    match status {
        Ok(status) => ExitCode::from(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1)),
        Err(error) => {
            eprintln!("the program cannot be run: {error}");
            ExitCode::FAILURE
        }
    }
}
