//! A client's socket of any kind.

use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::BytesMut;
use rendis_engine::transport::Io;
#[cfg(target_os = "linux")]
use tokio::io::Interest;
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
#[cfg(unix)]
use tokio::net::UnixStream;
use tokio_rustls::server::TlsStream;

/// A client's socket.
pub(crate) enum Peer {
    /// TCP.
    Tcp(TcpStream),
    /// A unix socket.
    #[cfg(unix)]
    Unix(UnixStream),
    /// TLS over TCP.
    Tls(Box<TlsStream<TcpStream>>),
    /// What was handed in.
    Other(Box<dyn Io>),
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
                poll_fn(|context| {
                    loop {
                        if $socket.poll_read_ready(context)?.is_pending() {
                            if into.is_empty() && into.capacity() > KEEP_AT_MOST {
                                *into = BytesMut::new();
                            }
                            return Poll::Pending;
                        }
                        into.reserve(room);
                        if let read @ Poll::Ready(_) = pin!($socket.read_buf(into)).poll(context) {
                            return read;
                        }
                    }
                })
                .await
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
            Self::Other(socket) => {
                into.reserve(room);
                socket.read_buf(into).await
            }
        }
    }

    /// Waits until the other side has ended the stream, or the connection is broken, and reads nothing: bytes that were sent
    /// before may still be there. Cancel safe.
    ///
    /// The system knows of an end when it has taken all that was sent before it, or that the connection was reset. Of a
    /// side that left while the system had no room for the rest it hears when that side's system gives up, after minutes.
    /// What was handed in, and systems other than Linux, tell an end only to those who read.
    pub(crate) async fn ended(&self) {
        #[cfg(target_os = "linux")]
        {
            // Priority stands for urgent bytes, of which there are none, and for the end; readable, for any bytes too.
            let _ = match self {
                Self::Tcp(socket) => socket.ready(Interest::PRIORITY).await,
                Self::Unix(socket) => socket.ready(Interest::PRIORITY).await,
                Self::Tls(socket) => socket.get_ref().0.ready(Interest::PRIORITY).await,
                Self::Other(_) => std::future::pending().await,
            };
        }
        #[cfg(not(target_os = "linux"))]
        std::future::pending::<()>().await;
    }

    /// Writes some of these bytes, and says how many.
    pub(crate) fn poll_write(&mut self, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self {
            Self::Tcp(socket) => Pin::new(socket).poll_write(context, bytes),
            #[cfg(unix)]
            Self::Unix(socket) => Pin::new(socket).poll_write(context, bytes),
            Self::Tls(socket) => Pin::new(socket).poll_write(context, bytes),
            Self::Other(socket) => Pin::new(socket).poll_write(context, bytes),
        }
    }

    /// Ready when all that was written is with the system: TLS holds bytes back until then.
    pub(crate) fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tls(socket) => Pin::new(socket).poll_flush(context),
            Self::Other(socket) => Pin::new(socket).poll_flush(context),
            _ => Poll::Ready(Ok(())),
        }
    }

    /// Holds back what is written from now on until [`Peer::shutdown`], so that the last reply and the end of the connection
    /// arrive together: whoever has read the one sees the other, and uses the connection for nothing more. TCP on Linux
    /// only; elsewhere they arrive one after the other.
    pub(crate) fn hold_back(&self) {
        #[cfg(target_os = "linux")]
        {
            let socket = match self {
                Self::Tcp(socket) => socket,
                Self::Unix(_) | Self::Other(_) => return,
                Self::Tls(socket) => socket.get_ref().0,
            };
            let _ = socket2::SockRef::from(socket).set_tcp_cork(true);
        }
    }

    /// Takes what the other side still sends, for a moment, and throws it away. A system that closes a connection with bytes
    /// that nobody has read resets it, and then the last reply may never be seen. Cancel safe.
    pub(crate) async fn linger(&mut self) {
        let mut thrown = BytesMut::new();
        let taken = async {
            let mut taken = 0;
            while let Ok(count @ 1..) = self.read(&mut thrown, LINGER_ROOM).await {
                thrown.clear();
                taken += count;
                if taken > LINGER_AT_MOST {
                    return;
                }
            }
        };
        let _ = tokio::time::timeout(LINGER, taken).await;
    }

    /// Says goodbye in the manner of the transport. Errors do not matter any more.
    pub(crate) async fn shutdown(&mut self) {
        let _ = match self {
            Self::Tcp(socket) => socket.shutdown().await,
            #[cfg(unix)]
            Self::Unix(socket) => socket.shutdown().await,
            Self::Tls(socket) => socket.shutdown().await,
            Self::Other(socket) => socket.shutdown().await,
        };
    }
}

/// How long, and how much, is taken of a client that was told the last.
const LINGER: Duration = Duration::from_millis(500);
const LINGER_AT_MOST: usize = 4 << 20;
const LINGER_ROOM: usize = 16 << 10;

/// What a buffer may hold while nothing comes: with ten thousand clients, memory counts for more than the allocation.
const KEEP_AT_MOST: usize = 256;
