//! A proxy and a server side by side, asked the same.

#![allow(dead_code, reason = "each test uses its own part")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

#[path = "../wording/mod.rs"]
pub(crate) mod wording;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

use rendis_core::request::RequestBuf;
use rendis_core::scan::{Limits, Scanner};
use rendis_proxy::config::{self, Config, Lookup, Sources};
use rendis_proxy::serve::Proxy;
use rendis_testkit::{Client, Cluster};

/// A configuration of one ring over these servers, on two threads; `fields` stand in the ring's table.
pub(crate) fn configuration(servers: &Cluster, fields: &str) -> Config {
    configuration_of(&servers.urls(), fields)
}

/// The same, of servers at these URLs.
pub(crate) fn configuration_of(urls: &[String], fields: &str) -> Config {
    let mut text = format!("threads = 2\n[[ring]]\nname = \"cache\"\nlisten = \"127.0.0.1:0\"\n{fields}\n");
    for (at, url) in urls.iter().enumerate() {
        text += &format!("[[ring.shard]]\nname = \"shard{}\"\nurl = \"{url}\"\n", at + 1);
    }
    let none = |_: &str| None;
    let nothing = |_: &Path| Err(std::io::ErrorKind::NotFound.into());
    let lookup = Some(Lookup { variable: &none, read: &nothing });
    config::parse(&text, &Sources { file: "f.toml", directory: Path::new(""), lookup }).unwrap()
}

/// A proxy over servers of its own.
pub(crate) struct Side {
    pub(crate) proxy: Proxy,
    pub(crate) servers: Cluster,
}

impl Side {
    pub(crate) fn start(shards: usize, fields: &str) -> Self {
        let servers = Cluster::start(shards);
        let proxy = Proxy::start(&configuration(&servers, fields)).unwrap();
        Self { proxy, servers }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.proxy.addresses()[0].1.parse().unwrap()
    }

    pub(crate) fn client(&self) -> Client {
        Client::connect(self.address()).unwrap()
    }

    pub(crate) fn raw(&self) -> Raw {
        Raw::connect(self.address())
    }
}

/// A connection that gives replies as they came.
pub(crate) struct Raw(TcpStream);

impl Raw {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        stream.set_nodelay(true).unwrap();
        Self(stream)
    }

    pub(crate) fn send(&mut self, words: &[&str]) {
        let packed = RequestBuf::pack(words.iter().map(|word| word.as_bytes()).collect::<Vec<_>>());
        self.0.write_all(packed.view().bytes()).unwrap();
    }

    /// One reply, as text.
    pub(crate) fn read(&mut self) -> String {
        let (mut scanner, mut reply, mut byte) = (Scanner::new(Limits::REPLY), Vec::new(), [0; 1]);
        loop {
            self.0.read_exact(&mut byte).unwrap();
            reply.extend_from_slice(&byte);
            if byte == *b"\n" && scanner.scan(&reply).unwrap().is_some() {
                return String::from_utf8_lossy(&reply).into_owned();
            }
        }
    }

    pub(crate) fn ask(&mut self, words: &[&str]) -> String {
        self.send(words);
        self.read()
    }
}

/// The words of a line; `''` is an empty word, and `_` in a word a blank.
pub(crate) fn words(line: &str) -> Vec<String> {
    line.split(' ').map(|word| if word == "''" { String::new() } else { word.replace('_', " ") }).collect()
}

/// Asks both the same, line by line, and compares the bytes of the replies after `same` has changed what may differ.
pub(crate) fn compare(server: &mut Raw, proxy: &mut Raw, lines: &str, same: impl Fn(String) -> String) {
    for line in lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let words = words(line);
        let words: Vec<_> = words.iter().map(String::as_str).collect();
        let (theirs, ours) = (same(wording::redis(server.ask(&words))), same(proxy.ask(&words)));
        let short = |reply: &str| reply.chars().take(300).collect::<String>();
        assert!(
            wording::same(&ours, &theirs),
            "{line}:\n ours {:?}\n theirs {:?}",
            short(&ours),
            short(&theirs)
        );
    }
}
