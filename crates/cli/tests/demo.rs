//! `rendis demo`, from its first line to the last, and every way in which it can be ended before.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests fail the test"
)]

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use tempfile::TempDir;

/// A demonstration under way, with a directory of its own for temporary files.
struct Demo {
    child: Child,
    output: BufReader<ChildStdout>,
    read: String,
    temporary: TempDir,
}

impl Demo {
    fn start(arguments: &[&str]) -> Self {
        let temporary = tempfile::tempdir().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_rendis"));
        command.arg("demo").args(arguments).env("TMPDIR", temporary.path()).env("TERM", "xterm-256color");
        command
            .env_remove("CLICOLOR_FORCE")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        Self { child, output, read: String::new(), temporary }
    }

    /// Reads until a line holds these words.
    fn until(&mut self, words: &str) {
        loop {
            let start = self.read.len();
            let count = self.output.read_line(&mut self.read).unwrap();
            assert!(count > 0, "the output ended without {words:?}:\n{}", self.read);
            if self.read[start..].contains(words) {
                return;
            }
        }
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    fn servers(&self) -> Vec<Server> {
        let lines = self.read.lines().filter(|line| line.contains("   pid "));
        lines.map(Server::read).collect()
    }

    /// Reads the rest and waits; gives what was said on standard error.
    fn end(&mut self) -> (ExitStatus, String) {
        self.output.read_to_string(&mut self.read).unwrap();
        let mut errors = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
        (self.child.wait().unwrap(), errors)
    }

    /// Nothing is left: no process, nobody who listens, no file.
    fn left_nothing(&self) {
        let servers = self.servers();
        assert_eq!(servers.len(), 3, "{}", self.read);
        for server in servers {
            let pid = Pid::from_raw(server.pid).unwrap();
            assert!(test_kill_process(pid).is_err(), "process {} is left", server.pid);
            assert!(server.is_gone(), "{} is left", server.address);
        }
        assert_eq!(self.files(), 0, "files are left");
    }

    fn files(&self) -> usize {
        std::fs::read_dir(self.temporary.path()).unwrap().count()
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A server as the first phase lists it: `shard1  127.0.0.1:20000   pid 42`.
struct Server {
    address: SocketAddr,
    pid: i32,
}

impl Server {
    fn read(line: &str) -> Self {
        let words: Vec<&str> = line.split_whitespace().collect();
        Self { address: words[1].parse().unwrap(), pid: words[3].parse().unwrap() }
    }

    fn is_gone(&self) -> bool {
        TcpStream::connect(self.address).is_err()
    }
}

/// The numbers of the first line that holds these words, after `from`.
fn numbers(text: &str, from: &str, words: &str) -> Vec<f64> {
    let rest = &text[text.find(from).unwrap_or_else(|| panic!("{from:?} is not in:\n{text}"))..];
    let line = rest.lines().find(|line| line.contains(words));
    let line = line.unwrap_or_else(|| panic!("{words:?} is not after {from:?} in:\n{text}"));
    line.split_whitespace().filter_map(|word| word.replace(',', "").parse().ok()).collect()
}

#[test]
fn the_whole_story_is_told_and_leaves_nothing_behind() {
    let mut demo = Demo::start(&["--fast"]);
    let (status, errors) = demo.end();
    assert!(status.success() && errors.is_empty(), "{status}: {errors}\n{}", demo.read);
    demo.left_nothing();
    let text = &demo.read;
    assert!(text.bytes().all(|byte| byte == b'\n' || (b' '..=b'~').contains(&byte)), "{text:?}");
    assert!(text.lines().all(|line| line.len() <= 80), "{text}");
    for phase in ["1 of 5", "2 of 5", "3 of 5", "4 of 5", "5 of 5", "Summary"] {
        assert!(text.contains(phase), "{phase} is not in:\n{text}");
    }

    let keys: Vec<f64> =
        ["shard1", "shard2", "shard3"].iter().map(|shard| numbers(text, "2 of 5", shard)[1]).collect();
    assert_eq!(keys.iter().sum::<f64>(), 10_000.0);
    assert!(keys.iter().all(|keys| (2500.0..4200.0).contains(keys)), "{keys:?}");
    assert!(text.contains("shard2  down    0.0 %       0 keys"), "{text}");
    assert_eq!(numbers(text, "4 of 5", "keys moved"), [keys[1], 10_000.0]);
    assert!(text.contains("  shard2 -> shard1") && text.contains("  shard2 -> shard3"), "{text}");
    assert!(!text.contains("shard1 -> ") && !text.contains("shard3 -> "), "{text}");
    assert!(text.contains("10,000 keys are home again"), "{text}");

    // Lines are told until a phase ends: what failed until the last one is what failed in all.
    for phase in text.split(" of 5: ").skip(3) {
        let failed = |line: &str| line.split("   ").find(|part| part.contains(" error")).map(str::to_owned);
        let lines: Vec<_> = phase.lines().filter(|line| line.contains(" calls/s   p50 ")).collect();
        let (total, told) = lines.split_last().unwrap();
        assert!(!told.is_empty() && told.iter().all(|line| line.contains(" s: ")), "{text}");
        assert_eq!(failed(told.last().unwrap()), failed(total), "{text}");
    }

    let calls = numbers(text, "Summary", "  calls  ");
    assert!(calls.len() == 3 && calls.iter().all(|calls| *calls > 100.0), "{calls:?}");
    let (half, most) = (numbers(text, "Summary", "  p50"), numbers(text, "Summary", "  p99"));
    assert!(half.iter().zip(&most).all(|(half, most)| half > &0.0 && half <= &1000.0 && most > &0.0));
    let errors = numbers(text, "Summary", "  errors");
    assert_eq!((errors[0], errors[2]), (0.0, 0.0), "{text}");
    let all = numbers(text, "Summary", "in all");
    assert!(all[0] == errors[1] && all[1] >= calls.iter().sum(), "{text}");
}

#[test]
fn signals_end_it_with_their_status_and_leave_nothing_behind() {
    for (signal, status) in [(Signal::INT, 130), (Signal::TERM, 143), (Signal::HUP, 129)] {
        let mut demo = Demo::start(&["--fast", "--seconds", "30"]);
        demo.until(if status == 130 { "4 of 5" } else { "3 of 5" });
        let begun = Instant::now();
        demo.signal(signal);
        let (ended, errors) = demo.end();
        assert_eq!(ended.code(), Some(status), "{errors}");
        assert!(begun.elapsed() < Duration::from_secs(5));
        assert!(errors.contains("the servers are stopped"), "{errors}");
        demo.left_nothing();
    }
}

#[test]
fn a_reader_that_leaves_ends_it_and_nothing_is_left() {
    let mut demo = Demo::start(&["--fast"]);
    demo.until("2 of 5");
    drop(std::mem::replace(&mut demo.output, BufReader::new(empty())));
    let status = demo.child.wait().unwrap();
    assert_eq!(status.code(), Some(0));
    demo.left_nothing();
}

/// The output of a program that has ended.
fn empty() -> ChildStdout {
    let mut child = Command::new("true").stdout(Stdio::piped()).spawn().unwrap();
    child.wait().unwrap();
    child.stdout.take().unwrap()
}

#[test]
fn servers_do_not_outlive_it_even_when_it_is_killed() {
    let mut demo = Demo::start(&["--fast", "--seconds", "30"]);
    demo.until("3 of 5");
    demo.signal(Signal::KILL);
    let (status, _) = demo.end();
    assert_eq!(status.signal(), Some(9));
    // Nobody is left to wait for them, so whether their numbers are free is for the system to say.
    let servers = demo.servers();
    let begun = Instant::now();
    while !(servers.iter().all(Server::is_gone) && demo.files() == 0) {
        assert!(begun.elapsed() < Duration::from_secs(5), "{} files are left", demo.files());
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn without_a_server_program_it_says_what_to_install() {
    let nothing = tempfile::tempdir().unwrap();
    for path in ["".as_ref(), nothing.path().as_os_str()] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rendis"));
        let output = command.arg("demo").env("PATH", path).output().unwrap();
        let message = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0), "{message}");
        assert!(message.contains("redis-server or valkey-server"), "{message}");
        assert!(message.contains("apt install redis-server"), "{message}");
    }
}

#[test]
fn numbers_that_cannot_be_are_wrong_usage() {
    for wrong in [["--shards", "1"], ["--shards", "17"], ["--seconds", "0"], ["--tasks", "0"]] {
        let output = Command::new(env!("CARGO_BIN_EXE_rendis")).arg("demo").args(wrong).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{wrong:?}");
    }
}
