//! A real server as a child process.
//!
//! ```text
//!            start()            kill(), shutdown()
//!   builder ─────────► running ───────────────────► dead      restart() from either: the same port, empty
//!                       │   ▲
//!                stop() ▼   │ cont()
//!                      frozen          dropped in any state: killed, its directory removed
//! ```

use std::{
    env, fs, io,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::{client::Client, port::Port, reply::Reply, tls::Certificates};

/// A `redis-server` or `valkey-server` of this test's own, on a free port of 127.0.0.1, without persistence.
///
/// The program comes from `PATH`, `redis-server` before `valkey-server`; the environment variable
/// `RENDIS_TEST_SERVER` names another. All methods take `&self`, so that a test can break a server from another
/// thread than the one that uses it. Should the test's process die without cleaning up, the server is killed too.
///
/// Besides what the test asks for, each server listens on a unix socket in its own directory, through which
/// [`RedisServer::command`] asks, whatever TLS and users are set.
///
/// ```
/// let server = rendis_testkit::RedisServer::start();
/// assert!(server.command(&["SET", "k", "v"]).is_ok());
/// assert_eq!(server.command(&["GET", "k"]).text(), "v");
/// ```
#[derive(Debug)]
pub struct RedisServer {
    builder: ServerBuilder,
    program: PathBuf,
    directory: TempDir,
    port: Port,
    certificates: Option<Certificates>,
    /// Of the user `default`; a restart may change it.
    password: Mutex<Option<String>>,
    process: Mutex<Option<Process>>,
}

/// What a [`RedisServer`] is to be. [`RedisServer::builder`] gives one.
#[derive(Clone, Debug, Default)]
pub struct ServerBuilder {
    unix: bool,
    tls: Option<ClientCertificate>,
    certificates: Option<Certificates>,
    password: Option<String>,
    namespace: Option<(String, IpAddr)>,
    users: Vec<String>,
    settings: Vec<(String, String)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ClientCertificate {
    Ignored,
    Required,
}

impl ServerBuilder {
    /// No TCP port: the server is reached by its unix socket alone, and [`RedisServer::url`] names that.
    #[must_use]
    pub const fn unix(mut self) -> Self {
        self.unix = true;
        self
    }

    /// TLS on the port, nothing else there. Clients need no certificate.
    #[must_use]
    pub const fn tls(mut self) -> Self {
        self.tls = Some(ClientCertificate::Ignored);
        self
    }

    /// TLS on the port; clients must show a certificate of the same authority.
    #[must_use]
    pub const fn tls_with_client_certificate(mut self) -> Self {
        self.tls = Some(ClientCertificate::Required);
        self
    }

    /// Certificates to use instead of new ones, for servers that share an authority.
    #[must_use]
    pub fn certificates(mut self, certificates: Certificates) -> Self {
        self.certificates = Some(certificates);
        self
    }

    /// The password of the user `default`.
    #[must_use]
    pub fn password(mut self, password: &str) -> Self {
        self.password = Some(password.to_owned());
        self
    }

    /// Runs in this network namespace of the machine (`ip netns`) and listens at this address of it, so that a test can
    /// cut the server off from its clients. It is asked by its unix socket all the same.
    #[must_use]
    pub fn within(mut self, namespace: &str, address: IpAddr) -> Self {
        self.namespace = Some((namespace.to_owned(), address));
        self
    }

    /// One more user, by the rules of an ACL file: `user("app", "on >secret ~app:* +@all -@dangerous")`.
    #[must_use]
    pub fn user(mut self, name: &str, rules: &str) -> Self {
        self.users.push(format!("user {name} {rules}"));
        self
    }

    /// At most this much memory (`"1mb"`), and `noeviction`, so that a full server answers `-OOM`.
    #[must_use]
    pub fn maxmemory(self, limit: &str) -> Self {
        self.setting("maxmemory", limit).setting("maxmemory-policy", "noeviction")
    }

    /// Any other setting of the server, as in its configuration file.
    #[must_use]
    pub fn setting(mut self, name: &str, value: &str) -> Self {
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Starts the server and waits until it answers.
    ///
    /// # Panics
    /// When there is no server program (a test without its server has not passed), or when it does not
    /// answer within 20 s; the message holds the end of the server's log.
    #[must_use]
    pub fn start(self) -> RedisServer {
        let program = program();
        let certificates = self.tls.map(|_| self.certificates.clone().unwrap_or_else(Certificates::generate));
        let mut failure = String::new();
        for _ in 0..START_ATTEMPTS {
            let directory =
                tempfile::Builder::new().prefix("rendis-server-").tempdir().expect("a temporary directory");
            let server = RedisServer {
                builder: self.clone(),
                program: program.clone(),
                directory,
                port: Port::free(),
                certificates: certificates.clone(),
                password: Mutex::new(self.password.clone()),
                process: Mutex::new(None),
            };
            match server.launch() {
                Ok(()) => return server,
                // Somebody else may have taken the port meanwhile: another attempt takes another.
                Err(message) => failure = message,
            }
        }
        panic!("{failure}");
    }
}

impl RedisServer {
    /// A plain server.
    ///
    /// # Panics
    /// As [`ServerBuilder::start`].
    #[must_use]
    pub fn start() -> Self {
        Self::builder().start()
    }

    /// A server with a word about how.
    #[must_use]
    pub fn builder() -> ServerBuilder {
        ServerBuilder::default()
    }

    /// The URL that reaches it: `redis://127.0.0.1:port`, `rediss://…` or `unix:///path`, with the password of the
    /// user `default` where one is set.
    #[must_use]
    pub fn url(&self) -> String {
        self.url_with(self.password().map(|password| format!(":{password}@")))
    }

    /// The URL for one of its users.
    #[must_use]
    pub fn url_for(&self, user: &str, password: &str) -> String {
        self.url_with(Some(format!("{user}:{password}@")))
    }

    fn url_with(&self, credentials: Option<String>) -> String {
        let credentials = credentials.unwrap_or_default();
        if self.builder.unix {
            return format!("unix://{credentials}{}", self.socket().display());
        }
        let scheme = if self.builder.tls.is_some() { "rediss" } else { "redis" };
        format!("{scheme}://{credentials}{}", self.address())
    }

    /// Where it listens. (Nobody listens there when it was built with [`ServerBuilder::unix`].)
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        match &self.builder.namespace {
            Some((_, address)) => SocketAddr::new(*address, self.port()),
            None => self.port.address(),
        }
    }

    /// Its port.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port.number()
    }

    /// Its unix socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.directory.path().join("server.sock")
    }

    /// What it serves TLS with, where it does.
    #[must_use]
    pub const fn certificates(&self) -> Option<&Certificates> {
        self.certificates.as_ref()
    }

    /// Its process, while it lives.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.process().as_ref().map(|process| process.child.id())
    }

    /// Asks the server something, on a new connection, with every right.
    ///
    /// # Panics
    /// When it does not answer within [`Client::TIMEOUT`]. An error reply is a [`Reply::Error`].
    pub fn command<A: AsRef<[u8]>>(&self, arguments: &[A]) -> Reply {
        match self.try_command(arguments) {
            Ok(reply) => reply,
            Err(error) => {
                panic!("the server at {} did not answer: {error}\n{}", self.address(), self.log_tail())
            }
        }
    }

    /// Its connections, in the lines of `CLIENT LIST`, without the one that asks.
    ///
    /// # Panics
    /// As [`RedisServer::command`].
    #[must_use]
    pub fn clients(&self) -> Vec<String> {
        let list = self.command(&["CLIENT", "LIST"]);
        // Redis 6 names no subcommand.
        let asks = |line: &&str| !line.contains(" cmd=client|list ") && !line.contains(" cmd=client ");
        list.text().lines().filter(asks).map(str::to_owned).collect()
    }

    /// The version of Redis that it equals: major and minor.
    ///
    /// # Panics
    /// As [`RedisServer::command`].
    #[must_use]
    pub fn version(&self) -> (u32, u32) {
        let info = self.command(&["INFO", "server"]).text().to_owned();
        let version = info.lines().find_map(|line| line.strip_prefix("redis_version:"));
        let mut numbers = version.unwrap_or_default().split('.').map(|number| number.parse().unwrap_or(0));
        (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
    }

    /// As [`RedisServer::command`], for servers that may be dead.
    ///
    /// # Errors
    /// What the connection gives.
    pub fn try_command<A: AsRef<[u8]>>(&self, arguments: &[A]) -> io::Result<Reply> {
        self.client()?.command(arguments)
    }

    /// A connection with every right, by the unix socket.
    ///
    /// # Errors
    /// What the connection gives.
    pub fn client(&self) -> io::Result<Client> {
        let mut client = Client::connect_unix(self.socket())?;
        let answer = if !self.builder.users.is_empty() {
            client.command(&["AUTH", KEEPER, KEEPER])?
        } else if let Some(password) = self.password() {
            client.command(&["AUTH", &password])?
        } else {
            return Ok(client);
        };
        if answer.is_ok() { Ok(client) } else { Err(io::Error::other(answer.to_string())) }
    }

    /// Kills it (SIGKILL) and waits until it is gone: its connections are reset, its port refuses. Nothing when it is
    /// dead already.
    pub fn kill(&self) {
        *self.process() = None;
    }

    /// Asks it to end (SIGTERM), as an operator would, and waits for it; after 10 s it is killed.
    pub fn shutdown(&self) {
        let mut process = self.process();
        if let Some(running) = process.as_mut() {
            running.signal(Signal::TERM);
            running.wait(Duration::from_secs(10));
        }
        *process = None;
    }

    /// Freezes it (SIGSTOP): its connections stay open, and connecting still works, but nothing is answered.
    ///
    /// # Panics
    /// When it is dead.
    pub fn stop(&self) {
        self.signal(Signal::STOP);
    }

    /// Wakes it (SIGCONT) after [`RedisServer::stop`].
    ///
    /// # Panics
    /// When it is dead.
    pub fn cont(&self) {
        self.signal(Signal::CONT);
    }

    /// Starts it again at the same place, empty; kills it first where it lives.
    ///
    /// # Panics
    /// As [`ServerBuilder::start`].
    pub fn restart(&self) {
        self.kill();
        if let Err(message) = self.launch() {
            panic!("{message}");
        }
    }

    /// Starts it again at the same place, empty, with another password of the user `default` or with none; kills it first
    /// where it lives.
    ///
    /// # Panics
    /// As [`ServerBuilder::start`].
    pub fn restart_with_password(&self, password: Option<&str>) {
        *self.password.lock().unwrap_or_else(PoisonError::into_inner) = password.map(str::to_owned);
        self.restart();
    }

    fn password(&self) -> Option<String> {
        self.password.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What it wrote to its log so far.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("server.log")).unwrap_or_default()
    }

    fn log_tail(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(15)..].join("\n")
    }

    fn process(&self) -> MutexGuard<'_, Option<Process>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn signal(&self, signal: Signal) {
        match self.process().as_ref() {
            Some(process) => process.signal(signal),
            None => panic!("the server at {} is dead", self.address()),
        }
    }

    fn launch(&self) -> Result<(), String> {
        let log =
            fs::File::create(self.directory.path().join("server.log")).map_err(|error| error.to_string())?;
        let mut command = match &self.builder.namespace {
            Some((namespace, _)) => {
                let mut command = Command::new("ip");
                command.args(["netns", "exec", namespace]).arg(&self.program);
                command
            }
            None => Command::new(&self.program),
        };
        command.args(self.arguments()).current_dir(self.directory.path()).stdin(Stdio::null());
        command.stdout(log.try_clone().map_err(|error| error.to_string())?).stderr(log);
        let child =
            command.spawn().map_err(|error| format!("cannot run {}: {error}", self.program.display()))?;
        let mut process = Process::new(child);
        let deadline = Instant::now() + START_TIMEOUT;
        loop {
            if let Ok(Some(status)) = process.child.try_wait() {
                return Err(format!("{} ended with {status}:\n{}", self.program.display(), self.log_tail()));
            }
            if self.try_command(&["PING"]).is_ok_and(|reply| reply == Reply::simple("PONG")) {
                *self.process() = Some(process);
                return Ok(());
            }
            if Instant::now() > deadline {
                let waited = START_TIMEOUT.as_secs();
                return Err(format!("the server did not answer within {waited} s:\n{}", self.log_tail()));
            }
            thread::sleep(Duration::from_millis(5));
        }
    }

    fn arguments(&self) -> Vec<String> {
        let port = self.port().to_string();
        let (plain, tls) = match (self.builder.unix, self.builder.tls) {
            (true, _) => ("0", "0"),
            (false, None) => (&*port, "0"),
            (false, Some(_)) => ("0", &*port),
        };
        let mut settings = vec![
            ("bind", self.address().ip().to_string()),
            ("port", plain.to_owned()),
            ("unixsocket", self.socket().display().to_string()),
            ("save", String::new()),
            ("appendonly", "no".to_owned()),
            ("daemonize", "no".to_owned()),
            ("dir", self.directory.path().display().to_string()),
        ];
        if let (Some(certificates), Some(clients)) = (&self.certificates, self.builder.tls) {
            let asked = if clients == ClientCertificate::Required { "yes" } else { "no" };
            settings.extend([
                ("tls-port", tls.to_owned()),
                ("tls-ca-cert-file", certificates.ca().display().to_string()),
                ("tls-cert-file", certificates.server_cert().display().to_string()),
                ("tls-key-file", certificates.server_key().display().to_string()),
                ("tls-auth-clients", asked.to_owned()),
            ]);
        }
        if !self.builder.users.is_empty() {
            settings.push(("aclfile", self.write_users()));
        } else if let Some(password) = self.password() {
            settings.push(("requirepass", password));
        }
        if self.builder.namespace.is_some() {
            // Only this machine reaches it.
            settings.push(("protected-mode", "no".to_owned()));
        }
        let own = self.builder.settings.iter().map(|(name, value)| (name.as_str(), value.clone()));
        settings.into_iter().chain(own).flat_map(|(name, value)| [format!("--{name}"), value]).collect()
    }

    fn write_users(&self) -> String {
        let default = match self.password() {
            Some(password) => format!("user default on >{password} ~* &* +@all"),
            None => "user default on nopass ~* &* +@all".to_owned(),
        };
        let keeper = format!("user {KEEPER} on >{KEEPER} ~* &* +@all");
        let lines = [default, keeper].into_iter().chain(self.builder.users.iter().cloned());
        let path = self.directory.path().join("users.acl");
        fs::write(&path, lines.collect::<Vec<_>>().join("\n") + "\n").expect("writing the file of users");
        path.display().to_string()
    }
}

/// A child that does not outlive this value, nor this process.
#[derive(Debug)]
struct Process {
    child: Child,
    /// A shell that waits for the end of its input, which comes when this process dies, and then kills the child.
    guard: Option<Child>,
}

impl Process {
    fn new(child: Child) -> Self {
        let script = format!("read nothing; kill -9 {}", child.id());
        let mut guard = Command::new("/bin/sh");
        guard.args(["-c", &script]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        Self { child, guard: guard.spawn().ok() }
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("signalling a child of ours");
    }

    fn wait(&mut self, limit: Duration) {
        let deadline = Instant::now() + limit;
        while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(5));
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

/// A user of the keeper of the test, beside those that the test sets.
const KEEPER: &str = "rendis-testkit";
const START_ATTEMPTS: usize = 5;
const START_TIMEOUT: Duration = Duration::from_secs(20);

/// The server's program.
fn program() -> PathBuf {
    if let Some(chosen) = env::var_os("RENDIS_TEST_SERVER") {
        return PathBuf::from(chosen);
    }
    let path = env::var_os("PATH").unwrap_or_default();
    ["redis-server", "valkey-server"]
        .iter()
        .flat_map(|name| env::split_paths(&path).map(move |directory| directory.join(name)))
        .find(|candidate| is_file(candidate))
        .unwrap_or_else(|| {
            panic!(
                "these tests need redis-server or valkey-server in PATH, and there is neither: run \
                 scripts/setup.sh, or install one of the packages redis-server (Debian, Ubuntu), redis or \
                 valkey (Fedora, Alpine, Arch, Homebrew)"
            )
        })
}

fn is_file(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|about| about.is_file())
}
