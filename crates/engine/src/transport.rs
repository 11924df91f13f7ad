//! What carries the bytes between here and a server: the system's sockets, or something else that a caller hands in.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};

use crate::address::Address;

/// A connected stream of bytes, both ways.
pub trait Io: AsyncRead + AsyncWrite + Send + Sync + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Sync + Unpin> Io for S {}

/// A connection that is being made.
pub type Connecting<'a> = Pin<Box<dyn Future<Output = io::Result<Box<dyn Io>>> + Send + 'a>>;

/// Makes connections to servers, in place of the system's sockets.
pub trait Connect: Send + Sync {
    /// A connection to the server at this address, on which nothing was said yet. The connect deadline is kept by the
    /// caller, who drops the future when it has passed; a dropped one must leave nothing behind.
    ///
    /// # Errors
    /// Those of a socket, of the same kinds: `ConnectionRefused` where nobody listens.
    fn connect<'a>(&'a self, address: &'a Address) -> Connecting<'a>;
}

/// How connections to a server are made. Everything above the bytes (TLS, handshake, deadlines, reconnecting) is the
/// same whatever carries them.
#[derive(Clone, Default)]
pub enum Transport {
    /// TCP and unix sockets of the system. The default.
    #[default]
    System,
    /// Something else: a simulated network in a test, servers in memory, a tunnel.
    Other(Arc<dyn Connect>),
}

impl PartialEq for Transport {
    /// Two handed in are equal when they are the same object.
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::System, Self::System) => true,
            (Self::Other(one), Self::Other(two)) => Arc::ptr_eq(one, two),
            _ => false,
        }
    }
}

impl Eq for Transport {}

impl fmt::Debug for Transport {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::System => "System",
            Self::Other(_) => "Other",
        })
    }
}
