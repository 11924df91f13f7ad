//! The raw limit: prepared bytes into the shards' sockets, and replies counted by their length, which is known. No
//! tasks, no replies for anybody, nothing that a library is for.

use std::time::Instant;

use futures_util::future::join_all;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use xxhash_rust::xxh64::xxh64;

use crate::drive::length;
use crate::drive::library::prepared;
use crate::load::{Draw, Load, Operation, Outcome, key, zipf_table};

pub(super) struct Raw {
    shards: Vec<Shard>,
}

struct Shard {
    socket: TcpStream,
    /// `GET` and `SET` in turn, of keys of this shard that were drawn beforehand.
    requests: Vec<[Box<[u8]>; 2]>,
}

impl Raw {
    pub(super) async fn connect(shards: &[String]) -> Self {
        let mut connected = Vec::new();
        for url in shards {
            let address = url.trim_start_matches("redis://");
            let socket = TcpStream::connect(address).await.expect("a connection");
            socket.set_nodelay(true).expect("a socket option");
            connected.push(Shard { socket, requests: Vec::new() });
        }
        Self { shards: connected }
    }

    /// What makes requests is done before they are measured: a load is run once before it counts.
    pub(super) async fn run(&mut self, load: &Load) -> Outcome {
        let until = Instant::now() + length(load);
        let under_way = load.tasks * if load.operation == Operation::Pipeline { load.batch } else { 1 };
        let value = load.value;
        let operations = match load.operation {
            Operation::Fill => {
                for number in 0..load.keys {
                    let at = self.place(number);
                    let set = frame(&["SET", &key(number), &"x".repeat(value)]);
                    self.shards[at].fill(&set).await;
                }
                u64::from(load.keys)
            }
            _ if under_way < self.shards.len() => {
                let (mut done, mut random) = (0, fastrand::Rng::with_seed(3));
                while done % 16 != 0 || Instant::now() < until {
                    let at = random.usize(0..self.shards.len());
                    done += self.shards[at].exchange(done, 1, value).await;
                }
                done
            }
            _ => {
                let count = self.shards.len();
                let share = |at: usize| under_way / count + usize::from(at < under_way % count);
                let running = self.shards.iter_mut().enumerate();
                let running = running.map(|(at, shard)| shard.stream(share(at) as u64, value, until));
                join_all(running).await.into_iter().sum()
            }
        };
        Outcome { operations, ..Outcome::default() }
    }

    /// Makes requests ready; not a part of what is measured.
    pub(super) fn prepare(&mut self, load: &Load) {
        let (value, mut draw) = ("x".repeat(load.value), Draw::new(load, zipf_table(load).as_ref(), 1));
        self.shards.iter_mut().for_each(|shard| shard.requests.clear());
        for drawn in 0.. {
            if drawn >= prepared(load) && self.shards.iter().all(|shard| !shard.requests.is_empty()) {
                return;
            }
            let number = draw.number();
            let (at, key) = (self.place(number), key(number));
            self.shards[at].requests.push([frame(&["GET", &key]), frame(&["SET", &key, &value])]);
        }
    }

    fn place(&self, number: u32) -> usize {
        (xxh64(key(number).as_bytes(), 0) % self.shards.len() as u64) as usize
    }
}

impl Shard {
    async fn fill(&mut self, set: &[u8]) {
        self.socket.write_all(set).await.expect("a socket that takes bytes");
        let mut reply = [0; 5];
        self.socket.read_exact(&mut reply).await.expect("a reply");
    }

    /// So many requests out, so many replies in.
    async fn exchange(&mut self, from: u64, count: u64, value: usize) -> u64 {
        let (mut out, mut owed) = (Vec::new(), 0);
        for number in from..from + count {
            owed += self.push(&mut out, number, value);
        }
        self.socket.write_all(&out).await.expect("a socket that takes bytes");
        let mut buffer = vec![0; owed.min(1 << 16)];
        while owed > 0 {
            let room = buffer.len().min(owed);
            owed -= self.read(&mut buffer[..room]).await;
        }
        count
    }

    /// Keeps `window` requests under way: for every reply that came, a new request, as many as there are in one write.
    async fn stream(&mut self, window: u64, value: usize, until: Instant) -> u64 {
        let (mut sent, mut done) = (0, 0);
        let (mut out, mut buffer) = (Vec::new(), vec![0; 1 << 18]);
        // Replies have two lengths, in turn.
        let lengths = [reply_length(0, value), reply_length(1, value)];
        let mut partial = 0;
        loop {
            if Instant::now() < until {
                while sent < done + window {
                    self.push(&mut out, sent, value);
                    sent += 1;
                }
            }
            if sent == done {
                return done;
            }
            self.write_and_read(&mut out, &mut buffer, &mut partial).await;
            while done < sent && partial >= lengths[(done % 2) as usize] {
                partial -= lengths[(done % 2) as usize];
                done += 1;
            }
        }
    }

    /// Writes all of it, and reads meanwhile, so that neither side waits for the other for ever; then reads once.
    async fn write_and_read(&mut self, out: &mut Vec<u8>, buffer: &mut [u8], read: &mut usize) {
        let (mut reader, mut writer) = self.socket.split();
        let mut written = 0;
        while written < out.len() {
            tokio::select! {
                biased;
                count = writer.write(&out[written..]) => written += count.expect("a socket that takes bytes"),
                count = reader.read(buffer) => *read += some(count),
            }
        }
        out.clear();
        *read += some(reader.read(buffer).await);
    }

    async fn read(&mut self, buffer: &mut [u8]) -> usize {
        some(self.socket.read(buffer).await)
    }

    fn push(&self, out: &mut Vec<u8>, number: u64, value: usize) -> usize {
        let pair = &self.requests[(number / 2) as usize % self.requests.len()];
        out.extend_from_slice(&pair[(number % 2) as usize]);
        reply_length(number, value)
    }
}

fn some(count: std::io::Result<usize>) -> usize {
    let count = count.expect("a reply");
    assert!(count > 0, "the shard closed the connection");
    count
}

/// Of `GET` at even numbers, `+OK` of `SET` at odd ones.
fn reply_length(number: u64, value: usize) -> usize {
    if number.is_multiple_of(2) { value + value.max(1).ilog10() as usize + 6 } else { 5 }
}

fn frame(words: &[&str]) -> Box<[u8]> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        bytes.extend_from_slice(format!("${}\r\n{word}\r\n", word.len()).as_bytes());
    }
    bytes.into()
}
