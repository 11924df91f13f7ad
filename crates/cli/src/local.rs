//! Redis or Valkey servers of this process's own, on this machine.
//!
//! ```text
//!              start()             kill()
//!   LocalServers ─────► running ◄──────────► dead      dropped in any state: all killed, their files removed
//!                                restart()
//! ```
//!
//! The program comes from `PATH`. Each server listens on a free port of 127.0.0.1, keeps nothing on disk, and has a
//! directory of its own inside one temporary directory. Only processes started here are ever ended, by their number.
//!
//! Servers run in process groups of their own, so that a Ctrl-C reaches this process alone, which then ends them in
//! order. Should it die without doing so, a guard beside each server does: a shell that waits for the end of its input.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use crate::outcome::Failure;

/// Some local servers. Their processes and files go with this value.
pub(crate) struct LocalServers {
    program: PathBuf,
    // Processes before the directory that they write to.
    servers: Vec<LocalServer>,
    directory: TempDir,
}

/// One of them.
pub(crate) struct LocalServer {
    port: Port,
    process: Option<Process>,
}

impl LocalServers {
    /// Starts `count` servers and waits until each answers.
    ///
    /// # Errors
    /// There is no server program; the text says what to install. Or one does not start; the text says why.
    pub(crate) async fn start(count: usize) -> Result<Self, Failure> {
        let program = program(&std::env::var_os("PATH").unwrap_or_default())?;
        let directory = tempfile::Builder::new().prefix("rendis-").tempdir();
        let directory = directory
            .map_err(|error| Failure::Failed(format!("no temporary directory can be made: {error}")))?;
        let mut all = Self { program, servers: Vec::with_capacity(count), directory };
        for index in 0..count {
            let server = all.start_one(index).await?;
            all.servers.push(server);
        }
        Ok(all)
    }

    /// The program that the servers run.
    pub(crate) fn program(&self) -> &Path {
        &self.program
    }

    /// All servers, dead ones too, in the order of their numbers.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &LocalServer> {
        self.servers.iter()
    }

    /// How many there are, dead ones too.
    pub(crate) fn count(&self) -> usize {
        self.servers.len()
    }

    /// Kills a server (SIGKILL) and waits until it is gone: its connections are closed, its port refuses.
    pub(crate) fn kill(&mut self, index: usize) {
        if let Some(server) = self.servers.get_mut(index) {
            server.process = None;
        }
    }

    /// Starts a killed server again on its old port, empty, and waits until it answers. Nothing when it runs.
    ///
    /// # Errors
    /// It does not start; the text says why.
    pub(crate) async fn restart(&mut self, index: usize) -> Result<(), Failure> {
        let Some(server) = self.servers.get(index).filter(|server| server.process.is_none()) else {
            return Ok(());
        };
        let process = self.launch(index, &server.port).await.map_err(Failure::Failed)?;
        if let Some(server) = self.servers.get_mut(index) {
            server.process = Some(process);
        }
        Ok(())
    }

    async fn start_one(&self, index: usize) -> Result<LocalServer, Failure> {
        let mut failure = String::new();
        for _ in 0..START_ATTEMPTS {
            let port = Port::free()?;
            match self.launch(index, &port).await {
                Ok(process) => return Ok(LocalServer { port, process: Some(process) }),
                // Somebody else may have taken the port meanwhile: another attempt takes another.
                Err(text) => failure = text,
            }
        }
        Err(Failure::Failed(failure))
    }

    async fn launch(&self, index: usize, port: &Port) -> Result<Process, String> {
        let directory = self.directory.path().join(format!("server{}", index + 1));
        let program = self.program.display();
        let failed = |error: io::Error| format!("{program} cannot be started: {error}");
        fs::create_dir_all(&directory).map_err(failed)?;
        let log_file = directory.join("server.log");
        let log = File::create(&log_file).map_err(failed)?;
        let mut command = Command::new(&self.program);
        command.args(["--bind", "127.0.0.1", "--port", &port.number.to_string()]);
        command.args(["--save", "", "--appendonly", "no", "--daemonize", "no", "--dir"]).arg(&directory);
        command.current_dir(&directory).process_group(0).stdin(Stdio::null());
        command.stdout(log.try_clone().map_err(failed)?).stderr(log);
        let child = command.spawn().map_err(failed)?;
        let mut process = Process::new(child, self.directory.path());
        process.answers(port.address()).await.map_err(|why| {
            let tail = tail(&log_file);
            format!("{program} {why}; the end of what it wrote:\n{}", tail.trim_end())
        })?;
        Ok(process)
    }
}

impl LocalServer {
    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.port.address()
    }

    /// The number of its process, while it lives.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(|process| process.child.id())
    }
}

/// A child that outlives neither this value nor this process.
struct Process {
    child: Child,
    guard: Option<Child>,
}

impl Process {
    /// `directory` is what the guard removes as well.
    fn new(child: Child, directory: &Path) -> Self {
        let mut guard = Command::new("/bin/sh");
        guard.args(["-c", "read nothing; kill -9 \"$1\"; sleep 0.1; rm -rf -- \"$2\"", "rendis-guard"]);
        guard.arg(child.id().to_string()).arg(directory);
        guard.process_group(0).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        // Without a shell there is no guard; everything else works.
        Self { child, guard: guard.spawn().ok() }
    }

    /// Waits until the server at `address` answers and is this process, not one that took its port.
    async fn answers(&mut self, address: SocketAddr) -> Result<(), String> {
        let deadline = Instant::now() + START_TIMEOUT;
        loop {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(format!("ended at once ({status})"));
            }
            let asked = timeout(Duration::from_secs(1), process_id(address)).await;
            if matches!(asked, Ok(Ok(id)) if id == self.child.id()) {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(format!("did not answer on {address} within {} s", START_TIMEOUT.as_secs()));
            }
            sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The guard first: it must not kill a number that has been given to somebody else.
        if let Some(guard) = &mut self.guard {
            let _ = guard.kill();
            let _ = guard.wait();
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Asks the server at `address` for the number of its process.
async fn process_id(address: SocketAddr) -> io::Result<u32> {
    const MOST: u64 = 64 << 10;
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(b"INFO server\r\n").await?;
    let mut answer = String::new();
    let mut stream = tokio::io::BufReader::new(stream.take(MOST));
    loop {
        answer.clear();
        if tokio::io::AsyncBufReadExt::read_line(&mut stream, &mut answer).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if let Some(id) = answer.strip_prefix("process_id:") {
            return id.trim_end().parse().map_err(io::Error::other);
        }
    }
}

/// A TCP port of 127.0.0.1 that stays ours while its server is dead.
///
/// It is held by binding the UDP port of the same number, which other runs of this program respect. Ports come from
/// below the range that systems use for outgoing connections: there, a client that keeps connecting to a dead server
/// can meet its own socket and believe the server alive.
struct Port {
    number: u16,
    _held: UdpSocket,
}

impl Port {
    fn free() -> Result<Self, Failure> {
        let offset = fastrand::u16(0..COUNT);
        for step in 0..COUNT {
            let number = FIRST + (offset + step) % COUNT;
            let Ok(held) = UdpSocket::bind(("127.0.0.1", number)) else { continue };
            if TcpListener::bind(("127.0.0.1", number)).is_ok() {
                return Ok(Self { number, _held: held });
            }
        }
        Err(Failure::Failed(format!("no port of 127.0.0.1 is free from {FIRST} to {}", FIRST + COUNT - 1)))
    }

    fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.number))
    }
}

/// The server program in the directories of `path`; relative ones are passed over, since servers have a working
/// directory of their own.
fn program(path: &OsStr) -> Result<PathBuf, Failure> {
    PROGRAMS
        .iter()
        .flat_map(|name| std::env::split_paths(path).map(move |directory| directory.join(name)))
        .find(|candidate| candidate.is_absolute() && is_program(candidate))
        .ok_or_else(|| Failure::Failed(NO_PROGRAM.to_owned()))
}

fn is_program(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|about| about.is_file() && about.permissions().mode() & 0o111 != 0)
}

/// The end of a log.
fn tail(path: &Path) -> String {
    const BYTES: u64 = 1000;
    let read = || -> io::Result<Vec<u8>> {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(BYTES)))?;
        let mut text = Vec::new();
        file.take(BYTES).read_to_end(&mut text)?;
        Ok(text)
    };
    String::from_utf8_lossy(&read().unwrap_or_default()).into_owned()
}

const PROGRAMS: [&str; 2] = ["redis-server", "valkey-server"];

const NO_PROGRAM: &str = "\
this needs redis-server or valkey-server, and neither is in PATH. Install one of them:
  Debian, Ubuntu    apt install redis-server
  Fedora            dnf install valkey
  Alpine            apk add valkey
  Arch              pacman -S valkey
  macOS             brew install valkey";

const START_ATTEMPTS: usize = 5;
const START_TIMEOUT: Duration = Duration::from_secs(10);
const FIRST: u16 = 20_000;
const COUNT: u16 = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(address: SocketAddr) -> bool {
        std::net::TcpStream::connect(address).is_err()
    }

    #[tokio::test]
    async fn a_server_is_killed_started_again_in_its_place_and_gone_at_the_end() {
        let mut servers = LocalServers::start(2).await.unwrap();
        let directory = servers.directory.path().to_owned();
        let of = |servers: &LocalServers| -> Vec<_> {
            servers.iter().map(|server| (server.address(), server.pid())).collect()
        };
        let before = of(&servers);
        assert_ne!(before[0].0, before[1].0);
        servers.kill(1);
        assert!(refused(before[1].0) && !refused(before[0].0));
        assert_eq!(of(&servers)[1], (before[1].0, None));
        servers.restart(1).await.unwrap();
        let after = of(&servers);
        assert_eq!((after[0], after[1].0), (before[0], before[1].0));
        assert!(after[1].1.is_some() && after[1].1 != before[1].1);
        drop(servers);
        assert!(refused(before[0].0) && refused(before[1].0));
        assert!(!directory.exists());
    }

    #[tokio::test]
    async fn a_panic_leaves_no_server_and_no_file() {
        let servers = LocalServers::start(1).await.unwrap();
        let (directory, address) = (servers.directory.path().to_owned(), servers.servers[0].address());
        let ended = tokio::spawn(async move {
            let _servers = servers;
            panic!("as a fault would");
        });
        assert!(ended.await.unwrap_err().is_panic());
        assert!(refused(address) && !directory.exists());
    }

    #[test]
    fn a_program_is_a_file_that_may_be_run() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("valkey-server");
        let found = || program(directory.path().as_os_str());
        fs::write(&path, "").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(found(), Err(Failure::Failed(text)) if text.contains("apt install redis-server")));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(found().unwrap(), path);
    }

    #[tokio::test]
    async fn a_server_that_does_not_start_is_told_with_its_last_words() {
        let directory = tempfile::tempdir().unwrap();
        let program = directory.path().join("redis-server");
        fs::write(&program, "#!/bin/sh\necho no such option; exit 3\n").unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        let servers = LocalServers { program, servers: Vec::new(), directory };
        let Err(text) = servers.launch(0, &Port::free().unwrap()).await else { panic!("it started") };
        assert!(text.contains("exit status: 3") && text.ends_with("no such option"), "{text}");
    }
}
