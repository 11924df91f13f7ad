//! From an address to a connection that is ready for commands: resolve, connect, TLS, handshake, under one deadline.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use rendis_core::reply::Reply;
use rendis_core::request::RequestBuf;
use rendis_core::session::Failed;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;
#[cfg(unix)]
use tokio::net::UnixStream;
use tokio::time::timeout;

use crate::address::Address;
use crate::connection::{Connection, lost};
use crate::error::{Cause, Error, Kind};
use crate::settings::{Deadlines, LONGEST, Protocol, ShardSettings};
use crate::stream::Stream;
use crate::tls::{SystemRoots, Tls};
use crate::transport::Transport;
use crate::version::{Heard, Version};

/// Makes connections to one server.
#[derive(Debug)]
pub struct Dialer {
    settings: ShardSettings,
    tls: Option<Tls>,
    deadlines: Deadlines,
    /// Of all that dial the same server for the same shard.
    version: Arc<Heard>,
}

impl Dialer {
    /// Checks what can be checked without a connection. `system` is for all dialers that are made together.
    ///
    /// # Errors
    /// [`Kind::Config`] when certificates cannot be used, TLS is asked for on a unix socket, or the client name is one that
    /// servers refuse.
    pub fn new(settings: ShardSettings, deadlines: Deadlines, system: &SystemRoots) -> Result<Self, Error> {
        if let Some(name) = settings.client_name.as_deref()
            && !name.bytes().all(|byte| byte.is_ascii_graphic())
        {
            let text = format!(
                "client name {name:?}: servers take no blanks, line ends or special characters in it"
            );
            return Err(Error::local(Kind::Config, text));
        }
        let tls = match (&settings.tls, &settings.address) {
            (None, _) => None,
            (Some(tls), Address::Tcp { host, .. }) => Some(Tls::new(tls, host, system).map_err(|error| {
                Error::local(Kind::Config, format!("shard \"{}\": {}", settings.name, error.text()))
            })?),
            (Some(_), Address::Unix(_)) => {
                let text = format!("shard \"{}\": TLS is not spoken on unix sockets", settings.name);
                return Err(Error::local(Kind::Config, text));
            }
        };
        Ok(Self { settings, tls, deadlines, version: Arc::default() })
    }

    /// The same server, spoken to in this protocol.
    #[must_use]
    pub fn speaking(&self, protocol: Protocol) -> Self {
        let settings = ShardSettings { protocol, ..self.settings.clone() };
        let version = Arc::clone(&self.version);
        Self { settings, tls: self.tls.clone(), deadlines: self.deadlines.clone(), version }
    }

    /// The version of Redis that the server said it equals, at the handshake before now. `None` as long as it has not, and
    /// for one that knows no `HELLO`.
    #[must_use]
    pub fn version(&self) -> Option<Version> {
        self.version.get()
    }

    /// What it dials.
    #[must_use]
    pub const fn settings(&self) -> &ShardSettings {
        &self.settings
    }

    /// A connection that has finished its handshake, within the connect deadline. Cancel safe: a dropped future leaves
    /// no socket behind.
    ///
    /// # Errors
    /// [`Kind::ShardDown`], [`Kind::Timeout`], [`Kind::Tls`], [`Kind::Auth`], [`Kind::Protocol`], [`Kind::Config`]
    /// (a database that the server does not have) or [`Kind::Server`] (it cannot select the database now: `BUSY`).
    pub async fn dial(&self) -> Result<Connection, Arc<Cause>> {
        let deadline = self.deadlines.connect;
        let reached = Reached::default();
        let late = |_| {
            let text = match reached.0.load(Ordering::Relaxed) {
                Reached::SERVER => "connected, but no answer to the handshake",
                Reached::PORT => "connected, but no TLS handshake (does the server speak TLS?)",
                _ => "no connection",
            };
            Err(Cause::new(Kind::Timeout, format!("{text} in {deadline:?}")))
        };
        timeout(deadline, self.connect(&reached)).await.unwrap_or_else(late)
    }

    async fn connect(&self, reached: &Reached) -> Result<Connection, Arc<Cause>> {
        let stream = match &self.settings.transport {
            Transport::System => self.open(reached).await?,
            Transport::Other(other) => {
                let carrier = other.connect(&self.settings.address).await.map_err(lost)?;
                reached.0.store(Reached::PORT, Ordering::Relaxed);
                Stream::Other(match &self.tls {
                    Some(tls) => Box::new(tls.handshake(carrier).await?),
                    None => carrier,
                })
            }
        };
        reached.0.store(Reached::SERVER, Ordering::Relaxed);
        // Until it is greeted, the deadline of all of it is the one that counts.
        let mut connection = Connection::new(stream, LONGEST, LONGEST);
        self.greet(&mut connection).await?;
        connection.set_deadlines(self.deadlines.reply, self.deadlines.write);
        Ok(connection)
    }

    /// A socket of the system.
    async fn open(&self, reached: &Reached) -> Result<Stream, Arc<Cause>> {
        match &self.settings.address {
            Address::Tcp { host, port } => {
                let socket = TcpStream::connect((host.as_str(), *port)).await.map_err(lost)?;
                prepare(&socket).map_err(lost)?;
                reached.0.store(Reached::PORT, Ordering::Relaxed);
                Ok(match &self.tls {
                    Some(tls) => Stream::Tls(Box::new(tls.handshake(socket).await?)),
                    None => Stream::Tcp(socket),
                })
            }
            #[cfg(unix)]
            Address::Unix(path) => Ok(Stream::Unix(UnixStream::connect(path).await.map_err(lost)?)),
            #[cfg(not(unix))]
            Address::Unix(_) => Err(Cause::new(Kind::Config, "this system has no unix sockets")),
        }
    }

    /// The Redis handshake. The first round asks for RESP3; a server that knows no `HELLO` gets a second round in RESP2.
    async fn greet(&self, connection: &mut Connection) -> Result<(), Arc<Cause>> {
        if self.settings.protocol == Protocol::Newest {
            let hello = self.hello();
            let first = self.round(connection, vec![(Step::Hello, hello)], true).await?;
            if first == Greeting::Done {
                return Ok(());
            }
        }
        self.round(connection, self.older(), false).await.map(|_| ())
    }

    /// User and password. A user without a password is one whom the server lets in without.
    fn credentials(&self) -> Option<(Option<&str>, &str)> {
        let user = self.settings.username.as_deref();
        match &self.settings.password {
            Some(password) => Some((user, password.reveal())),
            None => user.map(|_| (user, "")),
        }
    }

    fn hello(&self) -> RequestBuf {
        let mut words: Vec<&[u8]> = vec![b"HELLO", b"3"];
        if let Some((user, password)) = self.credentials() {
            words.extend([&b"AUTH"[..], user.unwrap_or("default").as_bytes(), password.as_bytes()]);
        }
        if let Some(name) = &self.settings.client_name {
            words.extend([&b"SETNAME"[..], name.as_bytes()]);
        }
        RequestBuf::pack(words)
    }

    fn older(&self) -> Vec<(Step, RequestBuf)> {
        let mut steps = Vec::new();
        if let Some((user, password)) = self.credentials() {
            let mut words: Vec<&[u8]> = vec![b"AUTH"];
            words.extend(user.map(str::as_bytes));
            words.push(password.as_bytes());
            steps.push((Step::Auth, RequestBuf::pack(words)));
        } else {
            // Without this nothing would be asked, and a server that wants a password be taken for a good one.
            steps.push((Step::Auth, RequestBuf::pack([&b"PING"[..]])));
        }
        // Which version it is. Without a protocol it changes nothing.
        steps.push((Step::Optional, RequestBuf::pack([&b"HELLO"[..]])));
        if let Some(name) = &self.settings.client_name {
            steps.push((Step::Name, RequestBuf::pack([&b"CLIENT"[..], b"SETNAME", name.as_bytes()])));
        }
        steps
    }

    async fn round(
        &self,
        connection: &mut Connection,
        mut steps: Vec<(Step, RequestBuf)>,
        may_fall_back: bool,
    ) -> Result<Greeting, Arc<Cause>> {
        if self.settings.database != 0 {
            let number = self.settings.database.to_string();
            steps.push((Step::Select, RequestBuf::pack([&b"SELECT"[..], number.as_bytes()])));
        }
        let version = env!("CARGO_PKG_VERSION").as_bytes();
        steps.push((Step::Optional, RequestBuf::pack([&b"CLIENT"[..], b"SETINFO", b"LIB-NAME", b"rendis"])));
        steps.push((Step::Optional, RequestBuf::pack([&b"CLIENT"[..], b"SETINFO", b"LIB-VER", version])));
        for (_, request) in &steps {
            connection.send(request).await.map_err(cause_of)?;
        }
        let mut outcome = Ok(Greeting::Done);
        for (step, _) in &steps {
            let reply = match connection.receive().await {
                Ok(reply) => reply,
                // Who is refused is told so first, and then the connection ends.
                Err(failure) => return outcome.and(Err(cause_of(failure))),
            };
            if let Some(version) = Version::of_hello(&reply) {
                self.version.set(version);
            }
            // Of a server that knows no HELLO, what follows says nothing: nobody has logged in.
            if matches!(outcome, Ok(Greeting::Done)) {
                outcome = step.judge(&reply, may_fall_back).map_or(outcome, |verdict| verdict);
            }
        }
        outcome
    }
}

/// How far a dialler has come.
#[derive(Default)]
struct Reached(AtomicU8);

impl Reached {
    /// There is a socket.
    const PORT: u8 = 1;
    /// A server can be asked.
    const SERVER: u8 = 2;
}

/// What one request of the handshake is for.
#[derive(Clone, Copy, Debug)]
enum Step {
    Hello,
    Auth,
    Name,
    Select,
    /// Newer servers know it; the answer does not matter.
    Optional,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Greeting {
    Done,
    /// The server knows no RESP3.
    FallBack,
}

impl Step {
    /// `None` when the reply lets the handshake go on.
    fn judge(self, reply: &Reply, may_fall_back: bool) -> Option<Result<Greeting, Arc<Cause>>> {
        let error = reply.as_error()?;
        let line = error.to_string();
        let code = line.split(' ').next().unwrap_or_default();
        let unknown = code == "NOPROTO" || line.to_ascii_lowercase().contains("unknown command");
        match (self, code) {
            // It asks for none (yet); with HELLO it takes any.
            (Self::Auth, _)
                if line.contains("without any password") || line.contains("no password is set") =>
            {
                None
            }
            // Without it the connection would use another database. A server that runs a script refuses it for a while.
            (Self::Select, "LOADING" | "MASTERDOWN" | "BUSY") => Some(Err(Cause::new(Kind::Server, line))),
            (Self::Optional, _) | (_, "LOADING" | "MASTERDOWN" | "BUSY") => None,
            (Self::Hello, _) if unknown && may_fall_back => Some(Ok(Greeting::FallBack)),
            (_, "NOAUTH" | "WRONGPASS" | "NOPERM" | "DENIED") => Some(Err(Cause::new(Kind::Auth, line))),
            (Self::Hello | Self::Auth, _) if line.contains("max number of clients") => {
                Some(Err(Cause::new(Kind::ShardDown, line)))
            }
            (Self::Hello, _) if line.contains("Client names") => {
                Some(Err(Cause::new(Kind::Config, format!("the client name: {line}"))))
            }
            (Self::Hello | Self::Auth, _) => Some(Err(Cause::new(Kind::Auth, line))),
            (Self::Name, _) => Some(Err(Cause::new(Kind::Config, format!("CLIENT SETNAME: {line}")))),
            (Self::Select, _) => Some(Err(Cause::new(Kind::Config, format!("SELECT: {line}")))),
        }
    }
}

fn cause_of(failed: Failed<Arc<Cause>>) -> Arc<Cause> {
    failed.cause
}

fn prepare(socket: &TcpStream) -> std::io::Result<()> {
    socket.set_nodelay(true)?;
    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE);
    SockRef::from(socket).set_tcp_keepalive(&keepalive)
}

/// How long a silent connection rests before the kernel asks whether the other side still lives.
const KEEPALIVE: Duration = Duration::from_secs(15);
