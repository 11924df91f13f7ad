//! What speaks to servers under test besides redis-benchmark: filling, the open loop, many idle clients.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use rustix::event::{Timespec, epoll};

use crate::load::{Draw, Latency, Load, Outcome, key, zipf_table};

/// How long a server may take for anything.
const PATIENCE: Duration = Duration::from_secs(10);

/// A blocking connection that fills servers and asks them single things.
#[derive(Debug)]
pub struct Client {
    socket: TcpStream,
    buffer: Vec<u8>,
    taken: usize,
}

impl Client {
    /// Connects.
    ///
    /// # Errors
    /// When nobody listens.
    pub fn connect(address: SocketAddr) -> std::io::Result<Self> {
        let socket = TcpStream::connect_timeout(&address, PATIENCE)?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.set_write_timeout(Some(PATIENCE))?;
        Ok(Self { socket, buffer: Vec::new(), taken: 0 })
    }

    /// Asks, and gives the reply's first line.
    ///
    /// # Errors
    /// When there is no reply, or it is an error.
    pub fn ask(&mut self, words: &[&str]) -> std::io::Result<String> {
        let mut out = Vec::new();
        push_frame(&mut out, words);
        self.socket.write_all(&out)?;
        self.reply()
    }

    /// Sets all keys of a load, in pipelines.
    ///
    /// # Errors
    /// When it fails.
    pub fn fill(&mut self, load: &Load) -> std::io::Result<()> {
        let (value, batch) = ("x".repeat(load.value), load.fill().batch);
        let numbers: Vec<u32> = (0..load.keys).collect();
        for part in numbers.chunks(batch) {
            let mut out = Vec::new();
            part.iter().for_each(|number| push_frame(&mut out, &["SET", &key(*number), &value]));
            self.socket.write_all(&out)?;
            for _ in part {
                self.reply()?;
            }
        }
        Ok(())
    }

    fn reply(&mut self) -> std::io::Result<String> {
        loop {
            if let Some(length) = reply_length(&self.buffer[self.taken..]) {
                let reply = &self.buffer[self.taken..self.taken + length];
                let line = reply.split(|byte| *byte == b'\r').next().unwrap_or_default();
                let line = String::from_utf8_lossy(line).into_owned();
                self.taken += length;
                if self.taken == self.buffer.len() {
                    self.buffer.clear();
                    self.taken = 0;
                }
                return if line.starts_with('-') { Err(std::io::Error::other(line)) } else { Ok(line) };
            }
            let before = self.buffer.len();
            self.buffer.resize(before + (1 << 18), 0);
            let count = self.socket.read(&mut self.buffer[before..])?;
            self.buffer.truncate(before + count);
            if count == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
    }
}

/// Appends a request.
fn push_frame(out: &mut Vec<u8>, words: &[&str]) {
    out.extend_from_slice(format!("*{}\r\n", words.len()).as_bytes());
    for word in words {
        out.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        out.extend_from_slice(word.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
}

/// The length of the first reply, when all of it is there: a line, or a bulk string.
fn reply_length(bytes: &[u8]) -> Option<usize> {
    let line = bytes.windows(2).position(|two| two == b"\r\n")? + 2;
    if bytes[0] != b'$' {
        return Some(line);
    }
    let length: i64 = std::str::from_utf8(&bytes[1..line - 2]).ok()?.parse().ok()?;
    let whole = usize::try_from(length).map_or(line, |length| line + length + 2);
    (bytes.len() >= whole).then_some(whole)
}

/// The open loop over `load.tasks` connections: requests are sent when they are due, in turn over the connections,
/// whatever became of the ones before; their time counts from when they were due. One thread of its own.
///
/// # Errors
/// When the server does not keep up, or fails.
pub fn open(address: SocketAddr, load: &Load, rate: f64) -> Result<Outcome, String> {
    let mut generator = Generator::connect(address, load.tasks).map_err(|error| error.to_string())?;
    let mut draw = Draw::new(load, zipf_table(load).as_ref(), 1);
    let value = "x".repeat(load.value);
    let started = Instant::now();
    let due_at = |number: u64| started + Duration::from_secs_f64(number as f64 / rate);
    let total = (load.seconds * rate) as u64;
    let mut sent: u64 = 0;
    while generator.done < total {
        while sent < total && due_at(sent) <= Instant::now() {
            let key = key(draw.number());
            let words = [["GET", &key, ""], ["SET", &key, &value]];
            let words = if sent.is_multiple_of(2) { &words[0][..2] } else { &words[1] };
            generator.send(sent as usize % load.tasks, words, due_at(sent))?;
            sent += 1;
        }
        let next = if sent < total { due_at(sent) } else { Instant::now() + PATIENCE };
        let came = generator.wait(next).map_err(|error| error.to_string())?;
        if came == 0 && sent == total {
            return Err("replies are missing".to_owned());
        }
    }
    Ok(Outcome {
        operations: total,
        seconds: started.elapsed().as_secs_f64(),
        latency: Some(Latency::of(&generator.histogram)),
        ..Outcome::default()
    })
}

struct Generator {
    epoll: rustix::fd::OwnedFd,
    connections: Vec<Connection>,
    events: Vec<epoll::Event>,
    histogram: Histogram<u64>,
    done: u64,
}

struct Connection {
    socket: TcpStream,
    /// When the requests under way were due.
    due: VecDeque<Instant>,
    out: Vec<u8>,
    buffer: Vec<u8>,
}

/// Requests that may wait on one connection. Who needs more does not keep up with the rate.
const MOST_WAITING: usize = 5_000;

impl Generator {
    fn connect(address: SocketAddr, count: usize) -> std::io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let mut connections = Vec::new();
        for at in 0..count {
            let socket = TcpStream::connect_timeout(&address, PATIENCE)?;
            socket.set_nodelay(true)?;
            socket.set_nonblocking(true)?;
            epoll::add(&epoll, &socket, epoll::EventData::new_u64(at as u64), epoll::EventFlags::IN)?;
            connections.push(Connection {
                socket,
                due: VecDeque::new(),
                out: Vec::new(),
                buffer: Vec::new(),
            });
        }
        let histogram = Histogram::new_with_max(60_000_000_000, 3).map_err(std::io::Error::other)?;
        Ok(Self { epoll, connections, events: Vec::with_capacity(1024), histogram, done: 0 })
    }

    fn send(&mut self, at: usize, words: &[&str], due: Instant) -> Result<(), String> {
        let connection = &mut self.connections[at];
        if connection.due.len() >= MOST_WAITING {
            return Err("it does not keep up with the rate".to_owned());
        }
        push_frame(&mut connection.out, words);
        connection.due.push_back(due);
        connection.flush().map_err(|error| error.to_string())
    }

    /// Takes the replies that are there until `until`, at the least once; says how many connections had some.
    fn wait(&mut self, until: Instant) -> std::io::Result<usize> {
        let left = until.saturating_duration_since(Instant::now());
        let left = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: i64::from(left.subsec_nanos()) };
        self.events.clear();
        let buffer = rustix::buffer::spare_capacity(&mut self.events);
        epoll::wait(&self.epoll, buffer, Some(&left))?;
        for event in &self.events {
            let connection = &mut self.connections[event.data.u64() as usize];
            self.done += connection.receive(&mut self.histogram)?;
            connection.flush()?;
        }
        Ok(self.events.len())
    }
}

impl Connection {
    /// Writes what the socket takes; the rest waits for the next turn.
    fn flush(&mut self) -> std::io::Result<()> {
        while !self.out.is_empty() {
            match self.socket.write(&self.out) {
                Ok(count) => drop(self.out.drain(..count)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn receive(&mut self, histogram: &mut Histogram<u64>) -> std::io::Result<u64> {
        let mut chunk = [0; 1 << 16];
        let count = match self.socket.read(&mut chunk) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(0),
            Err(error) => return Err(error),
        };
        self.buffer.extend_from_slice(&chunk[..count]);
        let (now, mut taken, mut done) = (Instant::now(), 0, 0);
        while let Some(length) = reply_length(&self.buffer[taken..]) {
            if self.buffer[taken] == b'-' {
                return Err(std::io::Error::other(
                    String::from_utf8_lossy(&self.buffer[taken..]).into_owned(),
                ));
            }
            taken += length;
            done += 1;
            let due = self.due.pop_front().ok_or_else(|| std::io::Error::other("a reply too many"))?;
            let took = u64::try_from(now.saturating_duration_since(due).as_nanos()).unwrap_or(u64::MAX);
            histogram.saturating_record(took);
        }
        self.buffer.drain(..taken);
        Ok(done)
    }
}

/// Connects many clients that do nothing but one `PING` each, and keeps them.
///
/// # Errors
/// When one is not served.
pub fn idle(address: SocketAddr, count: usize) -> Result<Vec<Client>, String> {
    (0..count)
        .map(|_| {
            let mut client = Client::connect(address)?;
            client.ask(&["PING"])?;
            Ok(client)
        })
        .collect::<std::io::Result<_>>()
        .map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_end_where_they_end() {
        assert_eq!(reply_length(b"+OK\r\n+OK\r\n"), Some(5));
        assert_eq!(reply_length(b"$3\r\nabc\r\n"), Some(9));
        assert_eq!(reply_length(b"$3\r\nabc\r"), None);
        assert_eq!(reply_length(b"$-1\r\n"), Some(5));
        assert_eq!(reply_length(b":1"), None);
    }
}
