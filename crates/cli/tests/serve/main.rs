//! `rendis serve` as a process: its signals, its configuration file, its supervisor, and servers of its own.
#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail the test")]

mod lifecycle;
mod log;
mod reload;

use std::fs;
use std::io::{BufRead as _, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};

use rendis_testkit::{Client, Cluster, Reply};
use rustix::process::{Pid, Signal, kill_process};

/// `rendis serve` under way; killed when it is dropped.
struct Serve {
    child: Child,
    output: BufReader<ChildStdout>,
    /// Empty where it goes elsewhere.
    log: BufReader<Box<dyn Read>>,
}

impl Serve {
    fn start(arguments: &[&str], change: impl FnOnce(&mut Command)) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rendis"));
        command.arg("serve").args(arguments).env_remove("NOTIFY_SOCKET");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        change(&mut command);
        Self::of_process(command.spawn().unwrap())
    }

    fn of_process(mut child: Child) -> Self {
        let output = BufReader::new(child.stdout.take().unwrap());
        let log: Box<dyn Read> = match child.stderr.take() {
            Some(log) => Box::new(log),
            None => Box::new(std::io::empty()),
        };
        Self { child, output, log: BufReader::new(log) }
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
