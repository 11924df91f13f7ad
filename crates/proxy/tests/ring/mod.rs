//! Configurations for tests, written as text, and what to wait for.

#![allow(dead_code, reason = "each test uses its own part")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use rendis_proxy::config::{self, Config, Lookup, Sources};
use rendis_proxy::serve::Proxy;
use rendis_testkit::{Client, Reply};

/// A configuration on two threads, which may name files.
pub(crate) fn config(text: &str) -> Config {
    let text = if text.contains("threads") { text.to_owned() } else { format!("threads = 2\n{text}") };
    let none = |_: &str| None;
    let read = |path: &Path| std::fs::read(path);
    let lookup = Some(Lookup { variable: &none, read: &read });
    config::parse(&text, &Sources { file: "rendis.toml", directory: Path::new(""), lookup }).unwrap()
}

/// A ring on any free port over these servers; `fields` stand in its table, and may say where it listens.
pub(crate) fn ring(name: &str, fields: &str, urls: &[String]) -> String {
    let listen = if fields.contains("listen") { "" } else { "listen = \"127.0.0.1:0\"" };
    let mut text = format!("[[ring]]\nname = \"{name}\"\n{listen}\n{fields}\n");
    for (at, url) in urls.iter().enumerate() {
        text += &format!("[[ring.shard]]\nname = \"shard{}\"\nurl = \"{url}\"\n", at + 1);
    }
    text
}

/// Where a ring listens first.
pub(crate) fn address(proxy: &Proxy, ring: &str) -> SocketAddr {
    let (_, address) = proxy.addresses().iter().find(|(name, _)| name == ring).unwrap();
    address.trim_start_matches("tls:").parse().unwrap()
}

pub(crate) fn client(proxy: &Proxy, ring: &str) -> Client {
    Client::connect(address(proxy, ring)).unwrap()
}

/// It is served.
pub(crate) fn pong(client: &mut Client) {
    assert_eq!(client.command(&["PING"]).unwrap(), Reply::simple("PONG"));
}

/// Waits until something is so.
pub(crate) fn until(what: &str, mut so: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !so() {
        assert!(Instant::now() < deadline, "{what}: not within 10 s");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Whether nobody listens there.
pub(crate) fn refuses(address: SocketAddr) -> bool {
    std::net::TcpStream::connect(address).is_err()
}
