//! Places to listen at, which the process holds.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, UnixListener};

use super::{BACKLOG, Listener};
use crate::config::Listen;

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
