//! A client's socket of any kind.

use std::io;

use bytes::BytesMut;
use futures_util::FutureExt as _;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
#[cfg(unix)]
use tokio::net::UnixStream;
use tokio_rustls::server::TlsStream;

/// A client's socket.
#[derive(Debug)]
pub(crate) enum Peer {
    /// TCP.
    Tcp(TcpStream),
    /// A unix socket.
    #[cfg(unix)]
    Unix(UnixStream),
    /// TLS over TCP.
    Tls(Box<TlsStream<TcpStream>>),
}

impl Peer {
    /// Reads some bytes into a buffer that gets `room` for them; 0 at the end of the stream. While nothing comes, an
    /// empty buffer holds next to no memory, except with TLS. Cancel safe.
    ///
    /// It reads at once and only then waits: a read that brought less than there was room for tells the runtime that
    /// the socket is empty, which spares the system call that would find it so.
    pub(crate) async fn read(&mut self, into: &mut BytesMut, room: usize) -> io::Result<usize> {
        macro_rules! at_once_or_wait {
            ($socket:expr) => {
                loop {
                    into.reserve(room);
                    if let Some(read) = $socket.read_buf(into).now_or_never() {
                        return read;
                    }
                    if into.is_empty() && into.capacity() > KEEP_AT_MOST {
                        *into = BytesMut::new();
                    }
                    $socket.readable().await?;
                }
            };
        }
        match self {
            Self::Tcp(socket) => at_once_or_wait!(socket),
            #[cfg(unix)]
            Self::Unix(socket) => at_once_or_wait!(socket),
            Self::Tls(socket) => {
                into.reserve(room);
                socket.read_buf(into).await
            }
        }
    }

    /// Writes all of these bytes.
    pub(crate) async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Tcp(socket) => socket.write_all(bytes).await,
            #[cfg(unix)]
            Self::Unix(socket) => socket.write_all(bytes).await,
            Self::Tls(socket) => {
                socket.write_all(bytes).await?;
                socket.flush().await
            }
        }
    }

    /// Says goodbye in the manner of the transport. Errors do not matter any more.
    pub(crate) async fn shutdown(&mut self) {
        let _ = match self {
            Self::Tcp(socket) => socket.shutdown().await,
            #[cfg(unix)]
            Self::Unix(socket) => socket.shutdown().await,
            Self::Tls(socket) => socket.shutdown().await,
        };
    }
}

/// What a buffer may hold while nothing comes: with ten thousand clients, memory counts for more than the allocation.
const KEEP_AT_MOST: usize = 256;
