//! Listeners: places that the process holds, sockets that its threads accept from, and the clients that come in.
//!
//! A TCP port is held by a socket that is bound and does not listen, so that it gets no clients; each thread listens
//! on a socket of its own, bound to the same port (`SO_REUSEPORT`), and the kernel spreads clients over them. A unix
//! socket cannot be bound twice, so all threads accept from one, and so do two that hand it over. A port or path on which somebody else listens is refused,
//! also if that is a rendis: two that share a port by mistake would each get half of the clients.

use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{mpsc, oneshot};
use tokio::task::unconstrained;
use tokio_rustls::TlsAcceptor;

use crate::client;
use crate::config::Listen;
use crate::context::{Context, Shared};
use crate::identity::Identity;
use crate::peer::Peer;

/// A place to listen at, held until it is dropped.
#[derive(Debug)]
pub(crate) struct Bound {
    listen: Listen,
    held: Held,
}

#[derive(Debug)]
enum Held {
    Tcp { address: SocketAddr, _socket: Socket },
    Unix { listener: std::os::unix::net::UnixListener, file: Arc<SocketFile> },
}

/// The file of a unix socket. It is removed with the last who listens there, unless somebody else's took its place.
#[derive(Debug)]
pub(crate) struct SocketFile {
    path: PathBuf,
    identity: Option<(u64, u64)>,
}

/// A socket for one thread, which does not listen yet.
#[derive(Debug)]
pub(crate) enum Unopened {
    Tcp(Socket),
    Unix { listener: std::os::unix::net::UnixListener, path: PathBuf },
}

/// Nothing is ever sent: it is gone when all that hold the other end are.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Never {}

impl Bound {
    /// Takes a place. It may be a part of one that this process `holds`, or the other way around: no configuration has both,
    /// so that one is about to be given up.
    ///
    /// # Errors
    /// What the system says; also that somebody else listens there.
    pub(crate) fn new<'b>(listen: &Listen, holds: impl IntoIterator<Item = &'b Self>) -> io::Result<Self> {
        let mut holds = holds.into_iter();
        let held = match listen {
            Listen::Tcp(address) | Listen::Tls(address) => {
                // Without SO_REUSEPORT, to hear of others that have it; but not of ourselves.
                let own = holds.any(|bound| bound.held.overlaps(*address));
                let free = socket(*address, own)?.local_addr()?;
                let address = free.as_socket().unwrap_or(*address);
                Held::Tcp { address, _socket: socket(address, true)? }
            }
            Listen::Unix(path) => match holds.find_map(|bound| bound.held.unix(path)) {
                // It cannot be bound twice, and is had by both until the other gives it up.
                Some((listener, file)) => {
                    Held::Unix { listener: listener.try_clone()?, file: Arc::clone(file) }
                }
                None => {
                    remove_stale(path);
                    let listener = std::os::unix::net::UnixListener::bind(path)?;
                    listener.set_nonblocking(true)?;
                    let file = SocketFile { path: path.clone(), identity: identity(path) };
                    Held::Unix { listener, file: Arc::new(file) }
                }
            },
        };
        Ok(Self { listen: listen.clone(), held })
    }

    /// What the configuration says.
    pub(crate) const fn listen(&self) -> &Listen {
        &self.listen
    }

    /// The same place under another name: with TLS or without.
    pub(crate) fn renamed(mut self, listen: Listen) -> Self {
        self.listen = listen;
        self
    }

    /// Whether this is the place that `listen` names; port 0 names no certain one.
    pub(crate) fn is_at(&self, listen: &Listen) -> bool {
        match (&self.held, listen.tcp()) {
            (Held::Tcp { address, .. }, Some(wanted)) => *address == wanted,
            _ => self.listen == *listen,
        }
    }

    /// Where it listens, as the configuration would say it; of port 0, which one it became.
    pub(crate) fn address(&self) -> String {
        match (&self.held, &self.listen) {
            (Held::Tcp { address, .. }, Listen::Tls(_)) => Listen::Tls(*address).to_string(),
            (Held::Tcp { address, .. }, _) => address.to_string(),
            (Held::Unix { .. }, listen) => listen.to_string(),
        }
    }

    /// Its TCP port, where it has one.
    pub(crate) const fn port(&self) -> Option<u16> {
        match &self.held {
            Held::Tcp { address, .. } => Some(address.port()),
            Held::Unix { .. } => None,
        }
    }

    /// A socket for one thread.
    ///
    /// # Errors
    /// What the system says.
    pub(crate) fn for_thread(&self) -> io::Result<Unopened> {
        Ok(match &self.held {
            Held::Tcp { address, .. } => Unopened::Tcp(socket(*address, true)?),
            Held::Unix { listener, file } => {
                Unopened::Unix { listener: listener.try_clone()?, path: file.path.clone() }
            }
        })
    }

    /// Its file, where it has one.
    pub(crate) const fn file(&self) -> Option<&Arc<SocketFile>> {
        match &self.held {
            Held::Tcp { .. } => None,
            Held::Unix { file, .. } => Some(file),
        }
    }
}

impl Held {
    /// Whether a TCP port here is also one of this address, as far as the system has it: a socket of IPv6 for any address
    /// is one of IPv4 too.
    fn overlaps(&self, other: SocketAddr) -> bool {
        let Self::Tcp { address, .. } = self else { return false };
        let (one, two) = (address.ip().to_canonical(), other.ip().to_canonical());
        let has = |any: IpAddr, one: IpAddr| any.is_unspecified() && (any.is_ipv6() || one.is_ipv4());
        address.port() == other.port() && (one == two || has(one, two) || has(two, one))
    }

    /// The socket at this path.
    fn unix(&self, path: &Path) -> Option<(&std::os::unix::net::UnixListener, &Arc<SocketFile>)> {
        match self {
            Self::Unix { listener, file } if file.path == path => Some((listener, file)),
            _ => None,
        }
    }
}

impl SocketFile {
    /// Removes it, if it is still the one that was made.
    pub(crate) fn remove(&self) {
        if self.identity.is_some() && identity(&self.path) == self.identity {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        self.remove();
    }
}

fn socket(address: SocketAddr, shared: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(shared)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

/// Removes a socket that was left behind: there is one, and nobody listens.
fn remove_stale(path: &Path) {
    let is_socket = std::fs::symlink_metadata(path).is_ok_and(|about| about.file_type().is_socket());
    let refused = |error: io::Error| error.kind() == io::ErrorKind::ConnectionRefused;
    if is_socket && std::os::unix::net::UnixStream::connect(path).is_err_and(refused) {
        let _ = std::fs::remove_file(path);
    }
}

/// Which file it is: one that took its place is another.
fn identity(path: &Path) -> Option<(u64, u64)> {
    std::fs::symlink_metadata(path).ok().map(|about| (about.dev(), about.ino()))
}

impl Unopened {
    /// Listens, on the current runtime.
    ///
    /// # Errors
    /// What the system says.
    pub(crate) fn open(self) -> io::Result<Listener> {
        Ok(match self {
            Self::Tcp(socket) => {
                socket.listen(BACKLOG)?;
                Listener::Tcp(TcpListener::from_std(socket.into())?)
            }
            Self::Unix { listener, path } => Listener::Unix {
                listener: UnixListener::from_std(listener)?,
                path: path.display().to_string(),
            },
        })
    }
}

/// A listener of one thread.
pub(crate) enum Listener {
    Tcp(TcpListener),
    Unix { listener: UnixListener, path: String },
}

/// Where the clients of a listener go. It can be changed while it listens, so that a port that one ring hands to another
/// refuses nobody.
#[derive(Clone)]
pub(crate) struct Target {
    pub(crate) context: Arc<Context>,
    pub(crate) tls: bool,
    /// Every client's task holds a clone.
    pub(crate) alive: mpsc::Sender<Never>,
}

/// A client that came in.
struct Arrival {
    peer: Peer,
    from: String,
    to: String,
}

impl Listener {
    /// Accepts clients until the other end of `close` is dropped; those that have connected by then still come in.
    pub(crate) async fn serve(self, target: Arc<Mutex<Target>>, mut close: oneshot::Receiver<Never>) {
        let target = || target.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut failing = false;
        loop {
            let accepted = tokio::select! {
                biased;
                _ = &mut close => break,
                accepted = std::future::poll_fn(|task| self.poll_accept(task)) => accepted,
            };
            match accepted {
                Ok(arrival) => {
                    failing = false;
                    welcome(arrival, target());
                }
                Err(error) => {
                    // Out of files, most likely: what is connected goes on, and new clients wait.
                    if !failing {
                        let ring = &target().context.shared.name;
                        tracing::warn!(ring, %error, "clients cannot be accepted");
                    }
                    failing = true;
                    tokio::select! {
                        _ = &mut close => break,
                        () = tokio::time::sleep(PAUSE) => {}
                    }
                }
            }
        }
        // All of them, however many: not only as many as a task may take in one turn.
        let rest = poll_fn(|task| Poll::Ready(self.poll_accept(task)));
        let mut rest = unconstrained(rest);
        for _ in 0..BACKLOG {
            match (&mut rest).await {
                Poll::Ready(Ok(arrival)) => welcome(arrival, target()),
                _ => break,
            }
        }
    }

    fn poll_accept(&self, task: &mut std::task::Context<'_>) -> Poll<io::Result<Arrival>> {
        match self {
            Self::Tcp(listener) => listener.poll_accept(task).map(|accepted| {
                let (socket, from) = accepted?;
                let to = socket.local_addr()?.to_string();
                socket.set_nodelay(true)?;
                let keepalive = TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE / 4);
                SockRef::from(&socket).set_tcp_keepalive(&keepalive)?;
                Ok(Arrival { peer: Peer::Tcp(socket), from: from.to_string(), to })
            }),
            Self::Unix { listener, path } => listener.poll_accept(task).map(|accepted| {
                let (socket, _) = accepted?;
                Ok(Arrival { peer: Peer::Unix(socket), from: format!("{path}:0"), to: path.clone() })
            }),
        }
    }
}

fn welcome(arrival: Arrival, target: Target) {
    let Arrival { mut peer, from, to } = arrival;
    let Target { context, tls, alive } = target;
    let place = ClientPermit::take(&context.shared);
    let tls = match &peer {
        Peer::Tcp(_) if tls => match context.shared.tls.load_full() {
            Some(config) => Some(TlsAcceptor::from(config)),
            None => return,
        },
        _ => None,
    };
    let identity = Box::new(Identity::new(&context.shared, from, to));
    tokio::spawn(async move {
        let _alive = alive;
        let Some(_place) = place else {
            // A handshake costs more than a client that is turned away should: with TLS it hears nothing.
            if tls.is_none() && poll_fn(|context| peer.poll_write(context, FULL)).await.is_ok() {
                peer.shutdown().await;
            }
            return;
        };
        if let Some(acceptor) = tls {
            match Box::pin(handshake(peer, &acceptor, &context)).await {
                Some(secured) => peer = secured,
                None => return,
            }
        }
        client::serve(peer, identity, context).await;
    });
}

/// The TLS handshake, within [`HANDSHAKE`]. `None` when it failed.
async fn handshake(peer: Peer, acceptor: &TlsAcceptor, context: &Context) -> Option<Peer> {
    let Peer::Tcp(socket) = peer else { return None };
    let shaken = tokio::select! {
        shaken = tokio::time::timeout(HANDSHAKE, acceptor.accept(socket)) => shaken,
        () = context.stop.draining() => return None,
    };
    match shaken {
        Ok(Ok(stream)) => return Some(Peer::Tls(Box::new(stream))),
        Ok(Err(error)) => tracing::debug!(ring = context.shared.name, %error, "a TLS handshake failed"),
        Err(_) => tracing::debug!(ring = context.shared.name, "a TLS handshake took too long"),
    }
    context.stats.handshakes_failed.add(1);
    None
}

/// A client's place among those allowed; free again when it is dropped.
struct ClientPermit(Arc<Shared>);

impl ClientPermit {
    fn take(shared: &Arc<Shared>) -> Option<Self> {
        let before = shared.connected.fetch_add(1, Ordering::Relaxed);
        let place = Self(Arc::clone(shared));
        let most = shared.max_clients.load(Ordering::Relaxed);
        if before < most {
            shared.accepted.fetch_add(1, Ordering::Relaxed);
            if before <= most / 2 && shared.is_full.load(Ordering::Relaxed) {
                shared.is_full.store(false, Ordering::Relaxed);
            }
            return Some(place);
        }
        shared.turned_away.fetch_add(1, Ordering::Relaxed);
        // Once, until there are half as many; which can be a moment later.
        if !shared.is_full.swap(true, Ordering::Relaxed) && shared.full_lines.next(Instant::now()).is_some() {
            let ring = &shared.name;
            tracing::warn!(
                ring,
                max_clients = most,
                "there are as many clients as may be: further ones are turned away"
            );
        }
        None
    }
}

impl Drop for ClientPermit {
    fn drop(&mut self) {
        self.0.connected.fetch_sub(1, Ordering::Relaxed);
    }
}

/// How many clients may wait to be accepted.
const BACKLOG: i32 = 1024;

/// How long accepting rests after it failed.
const PAUSE: Duration = Duration::from_millis(50);

/// How long a TLS handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// How long a silent client rests before the kernel asks whether it still lives.
const KEEPALIVE: Duration = Duration::from_secs(300);

/// What one client too many is told.
const FULL: &[u8] = b"-ERR max number of clients reached\r\n";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_held_without_getting_clients_and_shared_by_threads_alone() {
        let listen = Listen::Tcp(([127, 0, 0, 1], 0).into());
        let bound = Bound::new(&listen, None).unwrap();
        let address: SocketAddr = bound.address().parse().unwrap();
        let refused = || std::net::TcpStream::connect(address).unwrap_err().kind();
        assert_eq!(refused(), io::ErrorKind::ConnectionRefused);
        let threads = [bound.for_thread().unwrap(), bound.for_thread().unwrap()];
        assert_eq!(refused(), io::ErrorKind::ConnectionRefused);
        for thread in &threads {
            let Unopened::Tcp(socket) = thread else { panic!("it is TCP") };
            socket.listen(1).unwrap();
        }
        let error = Bound::new(&Listen::Tcp(address), None).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        drop(threads);
        drop(bound);
        Bound::new(&Listen::Tcp(address), None).unwrap();
    }

    #[test]
    fn a_socket_file_is_removed_when_it_is_stale_and_at_the_end_and_nothing_else_is() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("rendis.sock");
        let listen = Listen::Unix(path.clone());
        // Left behind by a process that died.
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let bound = Bound::new(&listen, None).unwrap();
        let error = Bound::new(&listen, None).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        drop(bound);
        assert!(!path.exists());
        // What is no socket is no socket left behind.
        std::fs::write(&path, "notes").unwrap();
        assert_eq!(Bound::new(&listen, None).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        std::fs::remove_file(&path).unwrap();
        // Replaced by somebody else's.
        let bound = Bound::new(&listen, None).unwrap();
        std::fs::rename(&path, directory.path().join("old.sock")).unwrap();
        let _other = std::os::unix::net::UnixListener::bind(&path).unwrap();
        drop(bound);
        assert!(path.exists());
    }
}
