//! What changes while it runs: the configuration, at a signal or when its file changes, and certificates. What cannot
//! be used changes nothing, and clients stay.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use rendis_testkit::{Certificates, Client, Reply};
use rustix::process::Signal;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned, crypto};

use crate::{CACHE, File, MORE, Serve, ping};

#[test]
fn a_reload_names_the_shards_and_fields_that_it_changes() {
    let file = File::new(CACHE);
    let mut serve = Serve::of(&file.path());
    serve.listening("cache");
    let shard = |name: &str, fields: &str| {
        format!("[[ring.shard]]\nname = \"{name}\"\nurl = \"{}\"\n{fields}\n", file.servers[0].url())
    };
    for (shards, wanted) in [
        (
            format!("SHARDSweight = 3\n{}", shard("extra", "")),
            "added=\"extra\" changed=\"shard1 (weight 3)\"",
        ),
        (
            format!("SHARDS{}", shard("other", "")),
            "added=\"other\" removed=\"extra\" changed=\"shard1 (weight default)\"",
        ),
        ("SHARDS".to_owned(), "removed=\"other\""),
        (format!("{}{}", shard("shard1", ""), shard("shard0", "")), "changed=\"shard1\" reordered=true"),
        (
            format!("drain = \"1s\"\n{}{}", shard("shard1", ""), shard("shard0", "")),
            "ring is changed ring=\"cache\" shards=2 fields=\"drain\"",
        ),
        (
            format!("fall = 9\non_down = \"fail\"\n{}{}", shard("shard0", ""), shard("shard1", "")),
            "shards=2 reordered=true fields=\"on_down, fall, drain\"",
        ),
    ] {
        file.write(&CACHE.replace("SHARDS", &shards));
        serve.signal(Signal::HUP);
        let line = serve.logged("ring is changed");
        assert!(line.trim_end().ends_with(wanted), "{line}");
        serve.logged("was reloaded");
    }
    serve.signal(Signal::TERM);
    assert!(serve.end().0.success());
}

#[test]
fn sighup_reloads_and_a_broken_file_changes_nothing() {
    let file = File::new(CACHE);
    let path = file.path().display().to_string();
    let mut serve = Serve::start(&["--config", &path, "--log-format", "json"], |_| {});
    let cache = serve.listening("cache");
    let mut client = Client::connect(cache).unwrap();
    file.write(&CACHE.replace("name = \"cache\"", "nam = \"cache\""));
    serve.signal(Signal::HUP);
    let line: serde_json::Value = serde_json::from_str(&serve.logged("was not reloaded")).unwrap();
    assert_eq!(line["level"], "ERROR");
    let reason = line["error"].as_str().unwrap();
    assert!(reason.starts_with(&format!("{path}:3: ring 1: unknown field \"nam\"")), "{reason}");
    ping(cache);
    file.write(&format!("{CACHE}\n{MORE}"));
    serve.signal(Signal::HUP);
    ping(serve.listening("more"));
    let line: serde_json::Value = serde_json::from_str(&serve.logged("was reloaded")).unwrap();
    assert_eq!(line["level"], "INFO");
    file.write(&format!("[admin]\nlisten = \"127.0.0.1:0\"\n{CACHE}\n{MORE}").replace("threads = 2\n", ""));
    serve.signal(Signal::HUP);
    let line = serve.line();
    assert!(line.starts_with("admin: listening on 127.0.0.1:"), "{line}");
    serve.logged("was reloaded");
    // What cannot be changed is told.
    file.write(&format!("{}\n{MORE}", CACHE.replace("threads = 2", "threads = 1")));
    serve.signal(Signal::HUP);
    serve.logged("threads cannot be changed while running");
    serve.logged("was reloaded");
    // What is in force is nothing to be changed, whether it is written or not.
    file.write(&CACHE.replace("threads = 2", ""));
    serve.signal(Signal::HUP);
    let told = |serve: &mut Serve| {
        let mut lines = Vec::new();
        while lines.last().is_none_or(|line: &String| !line.contains("was reloaded")) {
            lines.push(serve.logged(""));
        }
        lines.iter().any(|line| line.contains("threads cannot be changed"))
    };
    assert_eq!(told(&mut serve), std::thread::available_parallelism().unwrap().get() != 2);
    file.write(CACHE);
    serve.signal(Signal::HUP);
    assert!(!told(&mut serve));
    assert_eq!(client.command(&["PING"]).unwrap(), Reply::simple("PONG"));
    serve.signal(Signal::TERM);
    assert!(serve.end().0.success());
}

#[test]
fn a_reload_changes_weights_and_keys_are_where_locate_says() {
    let weighted = |weight: u32| CACHE.replace("SHARDS", &format!("SHARDSweight = {weight}\n"));
    let file = File::new(&weighted(1));
    let path = file.path().display().to_string();
    let mut serve = Serve::of(&file.path());
    // It is there before the weights change, and follows them.
    let mut client = Client::connect(serve.listening("cache")).unwrap();
    let keys: Vec<String> = (0..300).map(|number| format!("key:{number}")).collect();
    let mut held = Vec::new();
    for weight in [1, 8, 2] {
        file.write(&weighted(weight));
        serve.signal(Signal::HUP);
        serve.logged("was reloaded");
        assert!(client.command(&["FLUSHALL"]).unwrap().is_ok());
        for key in &keys {
            assert!(client.command(&["SET", key, "v"]).unwrap().is_ok());
        }
        let located = Command::new(env!("CARGO_BIN_EXE_rendis"))
            .args(["locate", "--config", &path])
            .args(&keys)
            .output()
            .unwrap();
        let located = String::from_utf8(located.stdout).unwrap();
        let mut on = [0, 0];
        for (line, key) in located.lines().zip(&keys) {
            let (found, shard) = line.split_once('\t').unwrap();
            let at: usize = shard.strip_prefix("shard").unwrap().parse().unwrap();
            assert_eq!(found, key);
            assert_eq!(
                file.servers[at].command(&["EXISTS", key]).integer(),
                1,
                "{line} with weight {weight}"
            );
            on[at] += 1;
        }
        assert_eq!(on.iter().sum::<usize>(), keys.len());
        held.push(on[1]);
    }
    // About a half, eight ninths, and two thirds.
    assert!((110..190).contains(&held[0]) && held[1] > 245 && (170..230).contains(&held[2]), "{held:?}");
    serve.signal(Signal::TERM);
    assert!(serve.end().0.success());
}

#[test]
fn a_file_that_is_watched_is_reloaded_when_it_changes() {
    let watched = format!("watch = true\n{CACHE}");
    let file = File::new(&watched);
    let mut serve = Serve::of(&file.path());
    let cache = serve.listening("cache");
    file.write("not TOML at all");
    serve.logged("was not reloaded");
    ping(cache);
    file.write(&format!("{watched}\n{MORE}"));
    ping(serve.listening("more"));
    serve.logged("was reloaded");
    // Also by the file of a password, which only the configuration names.
    let secret = file.directory.path().join("secret");
    fs::write(&secret, "wrong").unwrap();
    let with = watched.replace("SHARDS", "SHARDSpassword_file = \"secret\"\n");
    file.write(&with);
    serve.logged("was reloaded");
    fs::write(&secret, "wrong too").unwrap();
    serve.logged("was reloaded");
    serve.signal(Signal::TERM);
    assert!(serve.end().0.success());
}

/// A client of a listener that speaks TLS.
struct TlsClient(StreamOwned<ClientConnection, TcpStream>);

impl TlsClient {
    fn new(address: SocketAddr, trust: &Certificates) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(trust.ca()).unwrap()).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from("localhost").unwrap();
        let socket = TcpStream::connect(address).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        Self(StreamOwned::new(ClientConnection::new(Arc::new(config), name).unwrap(), socket))
    }

    /// Fails when the listener's certificate is not of the authority that is trusted.
    fn ping(&mut self) -> io::Result<()> {
        self.0.write_all(b"*1\r\n$4\r\nPING\r\n")?;
        let mut reply = [0; 7];
        self.0.read_exact(&mut reply)?;
        assert_eq!(&reply, b"+PONG\r\n");
        Ok(())
    }
}

#[test]
fn certificates_are_renewed_when_their_files_change_and_clients_stay() {
    let all: Vec<_> = (0..3).map(|_| Certificates::generate()).collect();
    let tls = CACHE.replace("\"127.0.0.1:0\"", "\"tls:127.0.0.1:0\"");
    let tls = tls.replace("SHARDS", "tls = { cert = \"ring.pem\", key = \"ring.key\" }\nSHARDS");
    let file = File::new(&tls);
    let put = |name: &str, from: PathBuf| {
        // As tools that fetch certificates do it.
        let new = file.directory.path().join("new");
        fs::copy(from, &new).unwrap();
        fs::rename(new, file.directory.path().join(name)).unwrap();
    };
    put("ring.pem", all[0].server_cert());
    put("ring.key", all[0].server_key());
    let mut serve = Serve::of(&file.path());
    let line = serve.line();
    let address = line.strip_prefix("ring cache: listening on tls:").unwrap().parse().unwrap();
    let mut there = TlsClient::new(address, &all[0]);
    there.ping().unwrap();
    // The configuration file is not watched, and what it says by now does not matter.
    file.write("not TOML at all");
    put("ring.pem", all[1].server_cert());
    put("ring.key", all[1].server_key());
    serve.logged("certificates were renewed");
    there.ping().unwrap();
    TlsClient::new(address, &all[1]).ping().unwrap();
    assert!(TlsClient::new(address, &all[0]).ping().is_err());
    // A pair that does not fit is refused, and the one before serves on.
    put("ring.pem", all[2].server_cert());
    let line = serve.logged("certificates were not renewed");
    assert!(line.contains("tls: cert and key: the key in the file "), "{line}");
    TlsClient::new(address, &all[1]).ping().unwrap();
    there.ping().unwrap();
    // So is one that is not there, and the other half makes it whole.
    fs::remove_file(file.directory.path().join("ring.key")).unwrap();
    let line = serve.logged("certificates were not renewed");
    assert!(
        line.contains("ring.key\\\" cannot be read") || line.contains("ring.key\" cannot be read"),
        "{line}"
    );
    TlsClient::new(address, &all[1]).ping().unwrap();
    put("ring.key", all[2].server_key());
    serve.logged("certificates were renewed");
    TlsClient::new(address, &all[2]).ping().unwrap();
    there.ping().unwrap();
    // One that clients will not take is taken all the same, because it was asked for, and the log says what is wrong with it.
    let expired = Certificates::expired();
    put("ring.pem", expired.server_cert());
    put("ring.key", expired.server_key());
    let line = serve.logged("has expired");
    assert!(line.contains("tls: cert: the certificate in the file "), "{line}");
    there.ping().unwrap();
    serve.signal(Signal::TERM);
    let (status, rest) = serve.end();
    assert!(status.success() && !rest.contains("was reloaded"), "{rest}");
}

#[test]
fn certificates_that_change_while_a_configuration_is_read_are_seen() {
    let all: Vec<_> = (0..4).map(|_| Certificates::generate()).collect();
    let tls = |name: &str| {
        let fields = format!("tls = {{ cert = \"{name}.pem\", key = \"{name}.key\" }}\nSHARDS");
        CACHE.replace("\"127.0.0.1:0\"", "\"tls:127.0.0.1:0\"").replace("SHARDS", &fields)
    };
    let file = File::new(&tls("first"));
    let at = |name: &str| file.directory.path().join(name);
    let ready = |name: &str, before: &Certificates| {
        fs::copy(before.server_cert(), at(&format!("{name}.pem"))).unwrap();
        // It is read until somebody has written it.
        assert!(Command::new("mkfifo").arg(at(&format!("{name}.key"))).status().unwrap().success());
    };
    let replaced = |name: &str, before: &Certificates, after: &Certificates| {
        let (cert, key) = (at(&format!("{name}.pem")), at(&format!("{name}.key")));
        let mut reader = fs::OpenOptions::new().write(true).open(&key).unwrap();
        for (from, to) in [(after.server_cert(), cert), (after.server_key(), key)] {
            fs::copy(from, at("new")).unwrap();
            fs::rename(at("new"), to).unwrap();
        }
        reader.write_all(&fs::read(before.server_key()).unwrap()).unwrap();
    };
    ready("first", &all[0]);
    let mut serve = Serve::of(&file.path());
    replaced("first", &all[0], &all[1]);
    let address = serve.line().strip_prefix("ring cache: listening on tls:").unwrap().parse().unwrap();
    TlsClient::new(address, &all[1]).ping().unwrap();
    // Files that were not watched before.
    ready("second", &all[2]);
    file.write(&tls("second"));
    serve.signal(Signal::HUP);
    replaced("second", &all[2], &all[3]);
    serve.logged("was reloaded");
    TlsClient::new(address, &all[3]).ping().unwrap();
}
