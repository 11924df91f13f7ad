//! A blocking connection, for looking and for provoking.

use std::{
    io::{self, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    os::unix::net::UnixStream,
    path::Path,
    time::Duration,
};

use crate::reply::{Reply, pack};

/// A plain connection to a server or to the proxy: RESP, no TLS, no retries.
///
/// Every read and write ends after [`Client::TIMEOUT`] with an error; [`Client::timeout`] changes that.
#[derive(Debug)]
pub struct Client {
    reader: BufReader<Stream>,
}

impl Client {
    /// How long a read or write may take, unless [`Client::timeout`] says otherwise.
    pub const TIMEOUT: Duration = Duration::from_secs(10);

    /// Connects over TCP.
    ///
    /// # Errors
    /// What the system says.
    pub fn connect(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, Self::TIMEOUT)?;
        stream.set_nodelay(true)?;
        Self::new(Stream::Tcp(stream))
    }

    /// Connects to a unix socket.
    ///
    /// # Errors
    /// What the system says.
    pub fn connect_unix(path: impl AsRef<Path>) -> io::Result<Self> {
        Self::new(Stream::Unix(UnixStream::connect(path)?))
    }

    fn new(stream: Stream) -> io::Result<Self> {
        let client = Self { reader: BufReader::new(stream) };
        client.timeout(Self::TIMEOUT)?;
        Ok(client)
    }

    /// Changes how long a read or write may take.
    ///
    /// # Errors
    /// What the system says, for zero for example.
    pub fn timeout(&self, limit: Duration) -> io::Result<()> {
        match self.reader.get_ref() {
            Stream::Tcp(stream) => {
                stream.set_read_timeout(Some(limit)).and_then(|()| stream.set_write_timeout(Some(limit)))
            }
            Stream::Unix(stream) => {
                stream.set_read_timeout(Some(limit)).and_then(|()| stream.set_write_timeout(Some(limit)))
            }
        }
    }

    /// Sends a command and reads one reply.
    ///
    /// # Errors
    /// What the connection gives; an error reply is a [`Reply::Error`], not an `Err`.
    pub fn command<A: AsRef<[u8]>>(&mut self, arguments: &[A]) -> io::Result<Reply> {
        self.send(arguments)?;
        self.read()
    }

    /// Sends a command without reading.
    ///
    /// # Errors
    /// What the connection gives.
    pub fn send<A: AsRef<[u8]>>(&mut self, arguments: &[A]) -> io::Result<()> {
        self.send_raw(&pack(arguments))
    }

    /// Sends these very bytes.
    ///
    /// # Errors
    /// What the connection gives.
    pub fn send_raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.reader.get_mut().write_all(bytes)
    }

    /// Reads one reply.
    ///
    /// # Errors
    /// What the connection gives; `InvalidData` for what is no reply; `UnexpectedEof` when it was closed.
    pub fn read(&mut self) -> io::Result<Reply> {
        Reply::read(&mut self.reader)
    }

    /// Reads all there is until the other side closes.
    ///
    /// # Errors
    /// What the connection gives; `WouldBlock` or `TimedOut` when it is not closed in time.
    pub fn read_to_end(&mut self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.reader.read_to_end(&mut bytes)?;
        Ok(bytes)
    }
}

#[derive(Debug)]
enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(buffer),
            Self::Unix(stream) => stream.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write(bytes),
            Self::Unix(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
