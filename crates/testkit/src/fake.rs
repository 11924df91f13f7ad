//! A server that misbehaves as told.

use std::{
    io::{self, BufRead, BufReader, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use rustix::net::sockopt::set_socket_linger;

use crate::{
    port::Port,
    reply::{bulk, line, number},
};

/// What a [`FakeServer`] does about one request.
#[derive(Clone, Debug)]
pub enum Answer {
    /// Writes these bytes, whatever they are.
    Bytes(Vec<u8>),
    /// Writes these bytes and closes the connection in good order.
    BytesThenClose(Vec<u8>),
    /// Writes these bytes `size` at a time with a pause before each.
    Drip {
        /// What is written in all.
        bytes: Vec<u8>,
        /// How many bytes at a time.
        size: usize,
        /// How long to wait before each.
        pause: Duration,
    },
    /// Writes nothing and reads on: a reply that never comes.
    Silence,
    /// Neither writes nor reads any more, but keeps the connection open: the sender's buffers fill.
    Stall,
    /// Closes the connection in good order.
    Close,
    /// Resets the connection.
    Reset,
}

impl Answer {
    /// Writes this text; `\r\n` is the caller's.
    #[must_use]
    pub fn text(text: &str) -> Self {
        Self::Bytes(text.as_bytes().to_vec())
    }

    /// `+OK`
    #[must_use]
    pub fn ok() -> Self {
        Self::text("+OK\r\n")
    }

    /// Bytes that are no RESP.
    #[must_use]
    pub fn garbage() -> Self {
        Self::Bytes(b"\x00\xff\x16\x03\x01garbage\r\n\r\n".to_vec())
    }

    /// What a web server says to a stranger.
    #[must_use]
    pub fn http() -> Self {
        Self::text("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
    }

    /// The header of a bulk string of 600 MB, which is more than a server may send, and nothing after it.
    #[must_use]
    pub fn huge_bulk() -> Self {
        Self::text("$629145600\r\n")
    }

    /// The header of an array of two milliard elements.
    #[must_use]
    pub fn huge_array() -> Self {
        Self::text("*2000000000\r\n")
    }

    /// The first half of a bulk string, and then the end of the connection.
    #[must_use]
    pub fn half_then_close() -> Self {
        Self::BytesThenClose(b"$10\r\nhalf ".to_vec())
    }

    /// The first half of a bulk string, and the rest never.
    #[must_use]
    pub fn half() -> Self {
        Self::text("$10\r\nhalf ")
    }

    /// `count` replies to one request.
    #[must_use]
    pub fn too_many(count: usize) -> Self {
        Self::Bytes(b"+OK\r\n".repeat(count))
    }

    /// Arrays nested `depth` deep.
    #[must_use]
    pub fn nested(depth: usize) -> Self {
        Self::Bytes([b"*1\r\n".repeat(depth), b":1\r\n".to_vec()].concat())
    }

    /// What a good server without a password answers when a client introduces itself: `HELLO`, `AUTH`, `SELECT`,
    /// `CLIENT`, `PING`, `READONLY`. `None` for every other command.
    #[must_use]
    pub fn handshake(request: &FakeRequest) -> Option<Self> {
        let name = request.name();
        Some(match name.as_str() {
            "HELLO" if request.arguments.get(1).is_some_and(|version| version == b"3") => Self::text(
                "%7\r\n$6\r\nserver\r\n$5\r\nredis\r\n$7\r\nversion\r\n$5\r\n7.0.0\r\n$5\r\nproto\r\n:3\r\n\
                 $2\r\nid\r\n:1\r\n$4\r\nmode\r\n$10\r\nstandalone\r\n$4\r\nrole\r\n$6\r\nmaster\r\n\
                 $7\r\nmodules\r\n*0\r\n",
            ),
            "HELLO" => Self::text(
                "*14\r\n$6\r\nserver\r\n$5\r\nredis\r\n$7\r\nversion\r\n$5\r\n7.0.0\r\n$5\r\nproto\r\n:2\r\n\
                 $2\r\nid\r\n:1\r\n$4\r\nmode\r\n$10\r\nstandalone\r\n$4\r\nrole\r\n$6\r\nmaster\r\n\
                 $7\r\nmodules\r\n*0\r\n",
            ),
            "PING" => request.arguments.get(1).map_or_else(
                || Self::text("+PONG\r\n"),
                |text| Self::Bytes([format!("${}\r\n", text.len()).as_bytes(), text, b"\r\n"].concat()),
            ),
            "AUTH" | "SELECT" | "CLIENT" | "READONLY" => Self::ok(),
            _ => return None,
        })
    }
}

/// A request that a [`FakeServer`] read.
#[derive(Clone, Debug)]
pub struct FakeRequest {
    /// Its arguments, the command's name first.
    pub arguments: Vec<Vec<u8>>,
    /// Which connection of the server it came on, counted from 0.
    pub connection: usize,
    /// Which request of that connection it is, counted from 0.
    pub index: usize,
}

impl FakeRequest {
    /// The command's name in capitals.
    #[must_use]
    pub fn name(&self) -> String {
        self.arguments.first().map(|name| String::from_utf8_lossy(name).to_uppercase()).unwrap_or_default()
    }
}

/// A server on a free port of 127.0.0.1 whose answers the test makes. It ends, and its threads with it, when
/// it is dropped. At most 256 connections at a time; the one too many is closed.
///
/// ```
/// use rendis_testkit::{Answer, Client, FakeServer};
///
/// let server = FakeServer::start(|request| {
///     Answer::handshake(request).unwrap_or_else(Answer::http)
/// });
/// let mut client = Client::connect(server.address()).unwrap();
/// assert_eq!(client.command(&["PING"]).unwrap().text(), "PONG");
/// assert!(client.command(&["GET", "k"]).is_err());
/// assert_eq!(server.requests(), 2);
/// ```
#[derive(Debug)]
pub struct FakeServer {
    port: Port,
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
    /// Kept by the server that accepts nobody.
    _listener: Option<TcpListener>,
}

type Handler = dyn Fn(&FakeRequest) -> Answer + Send + Sync;

#[derive(Default)]
struct Shared {
    ended: AtomicBool,
    connections: AtomicUsize,
    requests: AtomicUsize,
    open: Mutex<Vec<Connection>>,
}

struct Connection {
    stream: TcpStream,
    thread: JoinHandle<()>,
}

impl FakeServer {
    /// A server that asks `handler` about every request.
    ///
    /// # Panics
    /// When no port can be bound.
    #[must_use]
    pub fn start(handler: impl Fn(&FakeRequest) -> Answer + Send + Sync + 'static) -> Self {
        Self::start_with_greeting(Vec::new(), handler)
    }

    /// As [`FakeServer::start`], and every connection begins with bytes that nobody asked for.
    ///
    /// # Panics
    /// When no port can be bound.
    #[must_use]
    pub fn start_with_greeting(
        greeting: Vec<u8>,
        handler: impl Fn(&FakeRequest) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let (port, listener) = bind();
        let shared = Arc::new(Shared::default());
        let (with, handler): (_, Arc<Handler>) = (Arc::clone(&shared), Arc::new(handler));
        let acceptor = thread::spawn(move || accept(&listener, &with, &greeting, &handler));
        Self { port, shared, acceptor: Some(acceptor), _listener: None }
    }

    /// A server to which one can connect, and which then never reads, writes or closes: it does not even accept.
    ///
    /// # Panics
    /// When no port can be bound.
    #[must_use]
    pub fn never_accepts() -> Self {
        let (port, listener) = bind();
        Self { port, shared: Arc::default(), acceptor: None, _listener: Some(listener) }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.port.address()
    }

    /// Its port on 127.0.0.1.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port.number()
    }

    /// `redis://127.0.0.1:port`
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://{}", self.address())
    }

    /// How many connections it has accepted so far.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// How many requests it has read so far.
    #[must_use]
    pub fn requests(&self) -> usize {
        self.shared.requests.load(Ordering::SeqCst)
    }
}

impl Drop for FakeServer {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::SeqCst);
        if let Some(acceptor) = self.acceptor.take() {
            // Wakes it up.
            let _ = TcpStream::connect(self.address());
            let _ = acceptor.join();
        }
        let open = std::mem::take(&mut *self.shared.open.lock().unwrap_or_else(PoisonError::into_inner));
        for connection in &open {
            let _ = connection.stream.shutdown(Shutdown::Both);
        }
        for connection in open {
            let _ = connection.thread.join();
        }
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Shared")
            .field("connections", &self.connections)
            .field("requests", &self.requests)
            .finish_non_exhaustive()
    }
}

const MAX_CONNECTIONS: usize = 256;

/// How a connection ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Orderly,
    Reset,
}

fn bind() -> (Port, TcpListener) {
    for _ in 0..20 {
        let port = Port::free();
        if let Ok(listener) = TcpListener::bind(port.address()) {
            return (port, listener);
        }
    }
    panic!("no loopback port could be bound");
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>, greeting: &[u8], handler: &Arc<Handler>) {
    for stream in listener.incoming() {
        if shared.ended.load(Ordering::SeqCst) {
            return;
        }
        let Ok(stream) = stream else { continue };
        let mut open = shared.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|connection| !connection.thread.is_finished());
        let Ok(kept) = stream.try_clone() else { continue };
        if open.len() >= MAX_CONNECTIONS {
            continue;
        }
        let number = shared.connections.fetch_add(1, Ordering::SeqCst);
        let (shared, handler, greeting) = (Arc::clone(shared), Arc::clone(handler), greeting.to_vec());
        let thread = thread::spawn(move || {
            // The errors of a client that goes away are no concern of a fake server.
            let end = serve(&stream, number, &shared, &greeting, &*handler).unwrap_or(End::Orderly);
            if end == End::Orderly {
                // A copy of the socket is kept to end this thread by; so dropping ours alone would not close it.
                let _ = stream.shutdown(Shutdown::Both);
            }
        });
        open.push(Connection { stream: kept, thread });
    }
}

fn serve(
    stream: &TcpStream,
    connection: usize,
    shared: &Shared,
    greeting: &[u8],
    handler: &Handler,
) -> io::Result<End> {
    stream.set_nodelay(true)?;
    let mut out = stream;
    out.write_all(greeting)?;
    let mut reader = BufReader::new(stream);
    for index in 0.. {
        let arguments = read_request(&mut reader)?;
        shared.requests.fetch_add(1, Ordering::SeqCst);
        match handler(&FakeRequest { arguments, connection, index }) {
            Answer::Bytes(bytes) => out.write_all(&bytes)?,
            Answer::BytesThenClose(bytes) => {
                out.write_all(&bytes)?;
                return Ok(End::Orderly);
            }
            Answer::Drip { bytes, size, pause } => {
                for piece in bytes.chunks(size.max(1)) {
                    pausing(shared, pause)?;
                    out.write_all(piece)?;
                }
            }
            Answer::Silence => {}
            Answer::Stall => pausing(shared, Duration::MAX)?,
            Answer::Close => return Ok(End::Orderly),
            Answer::Reset => {
                reset(stream, shared)?;
                return Ok(End::Reset);
            }
        }
    }
    Ok(End::Orderly)
}

/// Waits; an error when the server ends meanwhile.
fn pausing(shared: &Shared, pause: Duration) -> io::Result<()> {
    const STEP: Duration = Duration::from_millis(10);
    let mut left = pause;
    while !left.is_zero() {
        if shared.ended.load(Ordering::SeqCst) {
            return Err(io::Error::other("the server ended"));
        }
        let step = left.min(STEP);
        thread::sleep(step);
        left -= step;
    }
    Ok(())
}

/// A reset is sent when the last copy of a socket with zero linger is closed: ours, after the one kept for stopping.
fn reset(stream: &TcpStream, shared: &Shared) -> io::Result<()> {
    set_socket_linger(stream, Some(Duration::ZERO))?;
    let peer = stream.peer_addr()?;
    let mut open = shared.open.lock().unwrap_or_else(PoisonError::into_inner);
    open.retain(|connection| connection.stream.peer_addr().ok() != Some(peer));
    Ok(())
}

/// A request as clients send it, or inline.
fn read_request(reader: &mut impl BufRead) -> io::Result<Vec<Vec<u8>>> {
    let first = line(reader)?;
    let Some(count) = first.strip_prefix(b"*") else {
        return Ok(first.split(|byte| *byte == b' ').map(<[u8]>::to_vec).collect());
    };
    let count = number(count)?;
    (0..count)
        .map(|_| {
            let header = line(reader)?;
            let length = header.strip_prefix(b"$").ok_or(io::ErrorKind::InvalidData)?;
            bulk(reader, length)?.ok_or_else(|| io::ErrorKind::InvalidData.into())
        })
        .collect()
}
