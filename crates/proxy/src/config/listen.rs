//! Where the proxy listens.

use std::fmt;
use std::net::SocketAddr;
use std::os::unix::net::SocketAddr as SocketName;
use std::path::{Path, PathBuf};

use super::error::ConfigError;
use super::section::{Field, Span};
use super::values;

/// An address to listen on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Listen {
    /// `127.0.0.1:6380`, `[::1]:6380`; port 0 is any free port.
    Tcp(SocketAddr),
    /// `tls:127.0.0.1:6390`: TLS, with the ring's `tls`.
    Tls(SocketAddr),
    /// `unix:/run/rendis.sock`: an absolute path without control characters.
    Unix(PathBuf),
}

impl Listen {
    /// What a ring may listen on, in words.
    pub(super) const ALLOWED: &str = "an IP address with a port (\"127.0.0.1:6380\", \"[::1]:6380\", \"tls:127.0.0.1:6390\"), \"unix:/absolute/path\" without control characters";

    /// Reads one; an error says what is `allowed`.
    pub(super) fn read(field: &Field<'_>, allowed: &str) -> Result<Self, ConfigError> {
        let text = field.text()?;
        let listen = match (text.strip_prefix("unix:"), text.strip_prefix("tls:")) {
            (Some(path), _) => {
                let path = path.strip_prefix("//").unwrap_or(path);
                let good = path.len() > 1 && path.starts_with('/') && !path.contains(char::is_control);
                good.then(|| Self::Unix(path.into()))
            }
            (None, Some(address)) => address.parse().ok().map(Self::Tls),
            (None, None) => text.parse().ok().map(Self::Tcp),
        };
        let listen = listen.ok_or_else(|| field.wrong(allowed))?;
        if let Self::Unix(path) = &listen {
            check_socket(path).map_err(|error| field.error(&error))?;
        }
        Ok(listen)
    }

    /// Its TCP address, with TLS or without.
    pub(crate) const fn tcp(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(address) | Self::Tls(address) => Some(*address),
            Self::Unix(_) => None,
        }
    }

    /// Whether only this machine can reach it.
    #[must_use]
    pub fn is_local(&self) -> bool {
        self.tcp().is_none_or(|address| address.ip().to_canonical().is_loopback())
    }

    /// Whether both cannot be had at once.
    pub(crate) fn collides(&self, other: &Self) -> bool {
        match (self.tcp(), other.tcp()) {
            (Some(one), Some(two)) => {
                let overlap = one.ip() == two.ip()
                    || (one.is_ipv4() == two.is_ipv4()
                        && (one.ip().is_unspecified() || two.ip().is_unspecified()));
                one.port() == two.port() && one.port() != 0 && overlap
            }
            _ => self == other,
        }
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(out, "{address}"),
            Self::Tls(address) => write!(out, "tls:{address}"),
            Self::Unix(path) => write!(out, "unix:{}", path.display()),
        }
    }
}

/// Whether the system takes a path for a unix socket, which it has little room for.
pub(super) fn check_socket(path: &Path) -> Result<(), String> {
    SocketName::from_pathname(path).map(drop).map_err(|error| {
        let (found, bytes) = (values::quoted(&path.to_string_lossy()), path.as_os_str().len());
        format!("found the path {found} of {bytes} bytes, which cannot be a socket: {error}")
    })
}

/// All listeners so far, with whose they are.
#[derive(Default)]
pub(super) struct Listeners(Vec<(Listen, String)>);

impl Listeners {
    /// Adds one, or says whose it is already.
    pub(super) fn add(&mut self, listen: &Listen, owner: &str) -> Result<(), String> {
        if let Some((taken, by)) = self.0.iter().find(|(taken, _)| taken.collides(listen)) {
            return Err(format!("listen: found \"{listen}\", but {by} listens on \"{taken}\" already"));
        }
        self.0.push((listen.clone(), owner.to_owned()));
        Ok(())
    }
}

/// An address, and where it stands in the file.
pub(super) type Placed = (Listen, Span);
