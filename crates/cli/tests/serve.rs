//! `rendis serve` as a process: its signals, its configuration file, its supervisor, and servers of its own.
#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail the test")]

use std::fs;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rendis_testkit::{Certificates, Client, Cluster, Port, Reply, until};
use rustix::process::{Pid, Signal, kill_process};
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned, crypto};

/// `rendis serve` under way; killed when it is dropped.
struct Serve {
    child: Child,
    output: BufReader<ChildStdout>,
    log: BufReader<ChildStderr>,
}

impl Serve {
    fn start(arguments: &[&str], change: impl FnOnce(&mut Command)) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rendis"));
        command.arg("serve").args(arguments).env_remove("NOTIFY_SOCKET");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        change(&mut command);
        let mut child = command.spawn().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let log = BufReader::new(child.stderr.take().unwrap());
        Self { child, output, log }
    }

    fn of(file: &Path) -> Self {
        Self::start(&["--config", &file.display().to_string()], |_| {})
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        assert!(self.output.read_line(&mut line).unwrap() > 0, "the output ended: {}", self.rest_of_log());
        line.trim_end().to_owned()
    }

    /// Reads the next line, which says that a ring listens, and gives the address.
    fn listening(&mut self, ring: &str) -> SocketAddr {
        let line = self.line();
        let address = line.strip_prefix(&format!("ring {ring}: listening on "));
        address.unwrap_or_else(|| panic!("{line}")).parse().unwrap()
    }

    /// Reads the log until a line holds these words, and gives it.
    fn logged(&mut self, words: &str) -> String {
        loop {
            let mut line = String::new();
            assert!(self.log.read_line(&mut line).unwrap() > 0, "the log ended without {words:?}");
            if line.contains(words) {
                return line;
            }
        }
    }

    fn rest_of_log(&mut self) -> String {
        let mut rest = String::new();
        self.log.read_to_string(&mut rest).unwrap();
        rest
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Reads what is left, and waits.
    fn end(mut self) -> (ExitStatus, String) {
        let rest = self.rest_of_log();
        (self.child.wait().unwrap(), rest)
    }
}

impl Drop for Serve {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A configuration file in a directory of its own.
struct File {
    directory: tempfile::TempDir,
    servers: Cluster,
}

impl File {
    fn new(text: &str) -> Self {
        let this = Self { directory: tempfile::tempdir().unwrap(), servers: Cluster::start(2) };
        this.write(text);
        this
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("rendis.toml")
    }

    /// Replaces the file, as editors do. `SHARDS` stands for the shards.
    fn write(&self, text: &str) {
        let shards: String = (self.servers.urls().iter().enumerate())
            .map(|(at, url)| format!("[[ring.shard]]\nname = \"shard{at}\"\nurl = \"{url}\"\n"))
            .collect();
        let new = self.directory.path().join("rendis.toml.new");
        fs::write(&new, text.replace("SHARDS", &shards)).unwrap();
        fs::rename(new, self.path()).unwrap();
    }
}

const CACHE: &str = "threads = 2\n[[ring]]\nname = \"cache\"\nlisten = \"127.0.0.1:0\"\nSHARDS";
const MORE: &str = "[[ring]]\nname = \"more\"\nlisten = \"127.0.0.1:0\"\nSHARDS";

fn ping(address: SocketAddr) {
    assert_eq!(Client::connect(address).unwrap().command(&["PING"]).unwrap(), Reply::simple("PONG"));
}

#[test]
fn it_serves_until_a_signal_and_ends_well() {
    for signal in [Signal::TERM, Signal::INT] {
        let file = File::new(CACHE);
        let mut serve = Serve::of(&file.path());
        let address = serve.listening("cache");
        let mut client = Client::connect(address).unwrap();
        for key in 0..50 {
            assert!(client.command(&["SET", &format!("key:{key}"), "v"]).unwrap().is_ok());
        }
        assert_eq!(file.servers.sizes().iter().sum::<i64>(), 50);
        client.send(&["BLPOP", "list", "0"]).unwrap();
        while file
            .servers
            .iter()
            .all(|server| !server.command(&["INFO", "clients"]).text().contains("blocked_clients:1"))
        {
            std::thread::yield_now();
        }
        let mut other = Client::connect(address).unwrap();
        assert_eq!(other.command(&["PING"]).unwrap(), Reply::simple("PONG"));
        serve.signal(signal);
        serve.logged("shutting down");
        assert!(other.read_to_end().unwrap().is_empty());
        assert!(client.read().unwrap().error().unwrap().starts_with("SHUTDOWN "));
        let (status, rest) = serve.end();
        assert!(status.success(), "{status}: {rest}");
        assert!(rest.lines().last().unwrap().ends_with(" INFO stopped"), "{rest}");
        assert!(TcpStream::connect(address).is_err());
    }
}

#[test]
fn a_second_signal_does_not_wait() {
    let file = File::new("");
    let socket = file.directory.path().join("rendis.sock");
    let listen = format!("[\"127.0.0.1:0\", \"unix:{}\"]", socket.display());
    file.write(&CACHE.replace("\"127.0.0.1:0\"", &listen));
    let mut serve = Serve::of(&file.path());
    let address = serve.listening("cache");
    let (mut client, mut other) = (Client::connect(address).unwrap(), Client::connect(address).unwrap());
    file.servers.iter().for_each(|server| server.stop());
    client.send(&["GET", "key"]).unwrap();
    while !other.command(&["INFO", "shards"]).unwrap().text().contains("in_flight=1") {
        std::thread::yield_now();
    }
    serve.signal(Signal::TERM);
    serve.logged("shutting down");
    serve.signal(Signal::TERM);
    let (status, rest) = serve.end();
    assert_eq!(status.code(), Some(143));
    assert!(!socket.exists());
    assert!(rest.lines().last().unwrap().contains("stopped by a second signal"), "{rest}");
}

/// One that accepts and says nothing.
fn silent() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || listener.incoming().collect::<Vec<_>>());
    format!("[[ring.shard]]\nname = \"silent\"\nurl = \"redis://{address}\"\n")
}

#[test]
fn a_server_that_does_not_answer_keeps_it_neither_from_starting_nor_from_ending() {
    let slow = |text: &str| text.replace("SHARDS", "deadlines = { connect = \"1m\" }\nSHARDS");
    let file = File::new(&(slow(CACHE) + &silent()));
    let begun = Instant::now();
    let mut serve = Serve::of(&file.path());
    ping(serve.listening("cache"));
    // So it is with a ring that a reload adds. What comes while it waits is kept.
    file.write(&(slow(&format!("{CACHE}{}{MORE}", silent())) + &silent()));
    serve.signal(Signal::HUP);
    serve.logged("ring is served ring=\"more\"");
    serve.signal(Signal::TERM);
    serve.logged("was reloaded");
    serve.logged("shutting down");
    serve.signal(Signal::HUP);
    let (status, log) = serve.end();
    assert!(status.success(), "{log}");
    assert!(begun.elapsed() < Duration::from_secs(10), "it took {:?}", begun.elapsed());
}

#[test]
fn a_second_signal_does_not_wait_for_the_start_nor_for_a_reload() {
    let file = File::new(&(CACHE.to_owned() + &silent()));
    let mut serve = Serve::of(&file.path());
    serve.logged("INFO ring is served");
    serve.signal(Signal::TERM);
    serve.signal(Signal::INT);
    let mut listens = String::new();
    serve.output.read_to_string(&mut listens).unwrap();
    let (status, log) = serve.end();
    assert!(matches!(status.code(), Some(130 | 143)) && listens.is_empty(), "{status}: {log}{listens}");
    let file = File::new(CACHE);
    let mut serve = Serve::of(&file.path());
    serve.listening("cache");
    // So few that nothing is said of the limit of open files.
    let few = format!("{CACHE}{MORE}").replace("SHARDS", "max_clients = 100\nSHARDS");
    file.write(&(few + &silent()));
    serve.signal(Signal::HUP);
    serve.logged("ring is served ring=\"more\"");
    serve.signal(Signal::TERM);
    serve.signal(Signal::INT);
    let (status, log) = serve.end();
    assert!(matches!(status.code(), Some(130 | 143)) && !log.contains("was reloaded"), "{status}: {log}");
    assert!(log.lines().last().unwrap().contains("stopped by a second signal"), "{log}");
}

#[test]
fn a_reload_that_is_asked_for_during_the_shutdown_is_told_to_be_too_late() {
    let file = File::new(&format!("shutdown_delay = \"1s\"\n{CACHE}"));
    let mut serve = Serve::of(&file.path());
    serve.listening("cache");
    serve.signal(Signal::TERM);
    serve.logged("shutting down");
    serve.signal(Signal::HUP);
    serve.logged("the configuration is not reloaded: the proxy is shutting down");
    assert!(serve.end().0.success());
}

#[test]
fn the_log_begins_with_what_is_started_and_ends_when_it_has_stopped() {
    let file = File::new(&format!("{CACHE}\n{MORE}"));
    let path = file.path().display().to_string();
    for format in ["text", "json"] {
        let mut serve = Serve::start(&["--config", &path, "--log-format", format], |_| {});
        serve.listening("cache");
        serve.signal(Signal::TERM);
        let (status, log) = serve.end();
        assert!(status.success(), "{log}");
        let (first, last) = (log.lines().next().unwrap(), log.lines().last().unwrap());
        let version = env!("CARGO_PKG_VERSION");
        if format == "json" {
            let (first, last) =
                [first, last].map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()).into();
            assert_eq!((&first["message"], &first["version"]), (&"starting".into(), &version.into()));
            assert_eq!((&first["config"], &first["threads"]), (&path.as_str().into(), &2.into()));
            assert_eq!((&first["rings"], &last["message"]), (&2.into(), &"stopped".into()));
        } else {
            let wanted = format!("INFO starting version=\"{version}\" config={path} threads=2 rings=2");
            assert!(first.ends_with(&wanted), "{first}");
            assert!(last.ends_with("INFO stopped"), "{last}");
        }
    }
}

#[test]
fn a_log_that_nobody_reads_holds_nobody_up() {
    let trust = Certificates::generate();
    let tls = format!(
        "tls = {{ cert = \"{}\", key = \"{}\" }}\nSHARDS",
        trust.server_cert().display(),
        trust.server_key().display()
    );
    let listen = "[\"127.0.0.1:0\", \"tls:127.0.0.1:0\"]";
    let text = CACHE.replace("\"127.0.0.1:0\"", listen).replace("SHARDS", &tls);
    let file = File::new(&format!("log = \"debug\"\n{text}"));
    let mut serve = Serve::of(&file.path());
    let address = serve.listening("cache");
    let line = serve.line();
    let secured: SocketAddr = line.strip_prefix("ring cache: listening on tls:").unwrap().parse().unwrap();
    // More than a pipe holds.
    for _ in 0..1000 {
        let mut client = TcpStream::connect(secured).unwrap();
        client.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        client.write_all(b"this is not how TLS begins").unwrap();
        let end = client.read_to_end(&mut Vec::new());
        assert!(end.err().is_none_or(|error| error.kind() != io::ErrorKind::WouldBlock), "it hangs");
    }
    ping(address);
    serve.signal(Signal::TERM);
    let (status, log) = serve.end();
    assert!(status.success(), "{log}");
    assert_eq!(log.matches("a TLS handshake failed").count(), 1000);
    assert!(log.trim_end().ends_with("INFO stopped"));
}

#[test]
fn logins_that_fail_are_told_once_a_second() {
    let file =
        File::new(&CACHE.replace("SHARDS", "SHARDS[[ring.user]]\nname = \"default\"\npassword = \"x\"\n"));
    let mut serve = Serve::of(&file.path());
    let address = serve.listening("cache");
    let begun = Instant::now();
    let clients = (0..50).map(|_| {
        let mut client = Client::connect(address).unwrap();
        client.send(&["AUTH", "y"]).unwrap();
        client
    });
    for mut client in clients.collect::<Vec<_>>() {
        assert!(client.read().unwrap().error().unwrap().starts_with("WRONGPASS"));
    }
    let seconds = usize::try_from(begun.elapsed().as_secs()).unwrap();
    serve.signal(Signal::TERM);
    let (_, log) = serve.end();
    let lines = log.matches("a client failed to log in").count();
    assert!((1..=seconds + 1).contains(&lines), "{log}");
}

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
fn a_stop_while_a_shard_is_away_is_warned_of_where_it_is_to_forget() {
    let file = File::new(CACHE);
    file.servers[0].kill();
    let stopped = |fields: &str| {
        file.write(&CACHE.replace("SHARDS", &format!("{fields}\nSHARDS")));
        let mut serve = Serve::of(&file.path());
        let mut client = Client::connect(serve.listening("cache")).unwrap();
        while !client.command(&["INFO", "shards"]).unwrap().text().contains("state=down") {
            std::thread::yield_now();
        }
        serve.signal(Signal::TERM);
        let (status, log) = serve.end();
        assert!(status.success(), "{log}");
        log
    };
    let log = stopped("");
    let line = log.lines().find(|line| line.contains("the proxy stops while a shard is away")).unwrap();
    assert!(line.contains("WARN") && line.ends_with("ring=\"cache\" shard=\"shard0\""), "{line}");
    // Nor does a ring of another name know.
    file.write(CACHE);
    let mut serve = Serve::of(&file.path());
    let mut client = Client::connect(serve.listening("cache")).unwrap();
    while !client.command(&["INFO", "shards"]).unwrap().text().contains("state=down") {
        std::thread::yield_now();
    }
    file.write(&CACHE.replace("\"cache\"", "\"other\""));
    serve.signal(Signal::HUP);
    let line = serve.logged("the ring is removed while a shard is away");
    assert!(line.contains("WARN") && line.trim_end().ends_with("ring=\"cache\" shard=\"shard0\""), "{line}");
    serve.signal(Signal::TERM);
    assert!(serve.end().0.success());
    for fields in ["on_return = \"flush\"", "on_down = \"fail\""] {
        assert!(!stopped(fields).contains("while a shard is away"), "{fields}");
    }
}

#[test]
fn what_is_seldom_meant_is_warned_of_at_the_start_and_at_a_reload() {
    let file = File::new(CACHE);
    let mut serve = Serve::of(&file.path());
    serve.listening("cache");
    let with =
        |url: &str| format!("{CACHE}[[ring.shard]]\nname = \"extra\"\nurl = \"redis://{url}127.0.0.1:1\"\n");
    file.write(&with("hunter2@"));
    serve.signal(Signal::HUP);
    let line = serve.logged("there is a user without a password");
    assert!(line.contains("WARN ring \"cache\": shard \"extra\": url: "), "{line}");
    serve.logged("was reloaded");
    serve.signal(Signal::TERM);
    assert!(serve.end().0.success());
    let mut serve = Serve::of(&file.path());
    serve.listening("cache");
    serve.signal(Signal::TERM);
    let (_, log) = serve.end();
    assert!(log.contains("there is a user without a password") && !log.contains("hunter2"), "{log}");
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

#[test]
fn the_supervisor_is_told() {
    let file = File::new(CACHE);
    let socket = file.directory.path().join("notify.sock");
    let supervisor = UnixDatagram::bind(&socket).unwrap();
    supervisor.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let told = || {
        let mut text = [0; 256];
        let count = supervisor.recv(&mut text).unwrap();
        String::from_utf8_lossy(&text[..count]).into_owned()
    };
    let path = file.path().display().to_string();
    let mut serve = Serve::start(&["--config", &path], |command| {
        command.env("NOTIFY_SOCKET", &socket);
    });
    assert_eq!(told().trim_end(), "READY=1");
    ping(serve.listening("cache"));
    serve.signal(Signal::HUP);
    let reloading = told();
    assert!(reloading.starts_with("RELOADING=1\nMONOTONIC_USEC="), "{reloading}");
    assert_eq!(told().trim_end(), "READY=1");
    serve.signal(Signal::TERM);
    assert_eq!(told().trim_end(), "STOPPING=1");
    assert!(serve.end().0.success());
}

#[test]
fn the_limit_of_open_files_is_raised_and_where_it_is_too_low_fewer_clients_are_let_in() {
    let start = |file: &File, limits: &str| {
        let line = format!(
            "ulimit -S -n {limits} && exec {} serve --config {}",
            env!("CARGO_BIN_EXE_rendis"),
            file.path().display()
        );
        let mut child = Command::new("sh")
            .args(["-c", &line])
            .env_remove("NOTIFY_SOCKET")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let log = BufReader::new(child.stderr.take().unwrap());
        Serve { child, output, log }
    };
    let file = File::new(&CACHE.replace("SHARDS", "max_clients = 300\nSHARDS"));
    let mut serve = start(&file, "60 && ulimit -H -n 800");
    let address = serve.listening("cache");
    let mut clients: Vec<_> = (0..200).map(|_| Client::connect(address).unwrap()).collect();
    for client in &mut clients {
        assert_eq!(client.command(&["PING"]).unwrap(), Reply::simple("PONG"));
    }
    file.write(&format!("{CACHE}\n{MORE}"));
    serve.signal(Signal::HUP);
    let line = serve.logged("fewer files than max_clients");
    assert!(line.contains("limit=800") && line.contains("max_clients=20000"), "{line}");
    // Of what is left both rings have a half, and what connects to shards has its own.
    let told = loop {
        let mut client = Client::connect(address).unwrap();
        match client.command(&["PING"]).unwrap() {
            Reply::Error(text) => break text,
            _ => clients.push(client),
        }
    };
    assert_eq!(told, "ERR max number of clients reached");
    assert!((250..400).contains(&clients.len()), "{} clients", clients.len());
    for server in file.servers.iter() {
        server.command(&["CLIENT", "KILL", "TYPE", "normal"]);
    }
    until("the shards are connected to again", || {
        clients[0].command(&["DBSIZE"]).is_ok_and(|reply| reply == Reply::Integer(0))
    });
    let info = clients[0].command(&["INFO", "clients"]).unwrap().text().to_owned();
    assert!(info.contains(&format!("maxclients:{}\r\n", clients.len())), "{info}");
    serve.signal(Signal::TERM);
    let (status, log) = serve.end();
    assert!(status.success(), "{log}");
    // One that fits is not worth a word.
    file.write(&CACHE.replace("SHARDS", "max_clients = 300\nSHARDS"));
    let mut serve = start(&file, "60 && ulimit -H -n 800");
    ping(serve.listening("cache"));
    serve.signal(Signal::TERM);
    assert!(!serve.end().1.contains("max_clients"));
}

#[test]
fn local_servers_are_served_and_gone_at_the_end() {
    let temporary = tempfile::tempdir().unwrap();
    let port = Port::free();
    let mut serve = Serve::start(&["--local", "2", "--listen", &port.address().to_string()], |command| {
        command.env("TMPDIR", temporary.path());
    });
    let servers: Vec<SocketAddr> = (1..=2)
        .map(|number| {
            let line = serve.line();
            assert!(line.starts_with(&format!("shard{number}: ")), "{line}");
            line.rsplit(' ').next().unwrap().parse().unwrap()
        })
        .collect();
    assert_eq!(serve.listening("local"), port.address());
    let mut client = Client::connect(port.address()).unwrap();
    for key in 0..50 {
        assert!(client.command(&["SET", &format!("key:{key}"), "v"]).unwrap().is_ok());
    }
    assert_eq!(client.command(&["DBSIZE"]).unwrap().integer(), 50);
    for server in &servers {
        assert!(Client::connect(*server).unwrap().command(&["DBSIZE"]).unwrap().integer() > 0);
    }
    // A shard that goes and comes back is told.
    let process = Client::connect(servers[0]).unwrap().command(&["INFO", "server"]).unwrap();
    let process =
        process.text().lines().find_map(|line| line.strip_prefix("process_id:")?.trim().parse().ok());
    let process = Pid::from_raw(process.unwrap()).unwrap();
    kill_process(process, Signal::STOP).unwrap();
    serve.logged("shard is down");
    kill_process(process, Signal::CONT).unwrap();
    serve.logged("shard is up");
    serve.signal(Signal::HUP);
    serve.logged("there is nothing to reload");
    assert_eq!(client.command(&["PING"]).unwrap(), Reply::simple("PONG"));
    // What one that is away will not forget is gone with it.
    kill_process(process, Signal::STOP).unwrap();
    serve.logged("shard is down");
    serve.signal(Signal::INT);
    let (status, rest) = serve.end();
    assert!(status.success() && !rest.contains("while a shard is away"), "{rest}");
    assert!(servers.iter().all(|server| TcpStream::connect(server).is_err()));
    assert_eq!(fs::read_dir(temporary.path()).unwrap().count(), 0);
}

#[test]
fn wrong_usage_and_what_cannot_be_had_are_told_apart() {
    let ended = |arguments: &[&str]| Serve::start(arguments, |_| {}).end();
    let (status, text) = ended(&[]);
    assert_eq!(status.code(), Some(2));
    assert!(text.contains("<--config <FILE>|--local <N>>"), "{text}");
    assert_eq!(ended(&["--local", "2", "--config", "f.toml"]).0.code(), Some(2));
    assert_eq!(ended(&["--config", "f.toml", "--listen", "127.0.0.1:1"]).0.code(), Some(2));
    for (wrong, found) in [
        ("nonsense", "found \"nonsense\""),
        ("tls:127.0.0.1:1", "\"tls:127.0.0.1:1\" needs the field tls, with cert and key"),
        ("0.0.0.0:1", "found \"0.0.0.0:1\", which other machines may reach, and nobody needs a password"),
        ("unix:relative", "found \"unix:relative\""),
    ] {
        let (status, text) = ended(&["--local", "2", "--listen", wrong]);
        let wanted =
            format!("error: --listen: {found}; allowed with --local: an address of this machine with a port");
        assert!(text.starts_with(&wanted), "{text}");
        assert_eq!((status.code(), text.lines().count()), (Some(2), 1));
    }
    let (status, text) = ended(&["--config", "/nowhere/rendis.toml"]);
    assert_eq!(status.code(), Some(2));
    assert!(text.starts_with("error: /nowhere/rendis.toml: the file cannot be read"), "{text}");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let file = File::new(&CACHE.replace("127.0.0.1:0", &address));
    let (status, text) = ended(&["--config", &file.path().display().to_string()]);
    assert_eq!(status.code(), Some(1));
    let wanted = format!("error: ring \"cache\" cannot listen on {address}: Address already in use");
    assert!(text.lines().any(|line| line.starts_with(&wanted)), "{text}");
}
