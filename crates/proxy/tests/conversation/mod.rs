//! What must hold for any bytes that a client sends: the check that the property test and the fuzz target share. A
//! client's whole session, against shards in memory, on virtual time. It panics where something does not hold.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a check fails by panicking"
)]

use std::io::Cursor;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rendis_engine::address::Address;
use rendis_engine::transport::{Connect, Connecting, Io, Transport};
use rendis_proxy::config::{self, Sources};
use rendis_proxy::embedded::Embedded;
use rendis_testkit::Reply;
use rendis_testkit::sim::{Dice, Host};
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex, split};
use tokio::runtime::{Builder, Handle};
use tokio::time::{sleep, timeout};

/// Sends these bytes in pieces of so many, stays a while, in which messages come, says goodbye, and looks at everything that comes back:
///
/// - nothing panics, and the session ends, soon;
/// - what comes are whole replies, as many as are owed;
/// - nothing is left: no task, no connection to a shard.
pub(crate) fn of(bytes: &[u8], piece: usize, stay: Duration) {
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let dice = Dice::of_seed(0);
        let hosts: Vec<_> = ["one", "two"].iter().map(|name| Host::new(name, &dice)).collect();
        let answer = session(bytes, piece.max(1), stay, &hosts).await;
        check(bytes, &answer);
        sleep(Duration::from_secs(3)).await;
        assert_eq!(Handle::current().metrics().num_alive_tasks(), 0, "tasks are left");
        assert!(hosts.iter().all(|host| host.connections() == 0), "connections are left");
    });
}

async fn session(bytes: &[u8], piece: usize, stay: Duration, hosts: &[Host]) -> Vec<u8> {
    let text = "[[ring]]\nname = \"r\"\nlisten = \"127.0.0.1:0\"\n[[ring.shard]]\nname = \"one\"\nurl = \"redis://one\"\n\
                [[ring.shard]]\nname = \"two\"\nurl = \"redis://two\"\n";
    let sources = Sources { file: "r", directory: Path::new(""), lookup: None };
    let config = config::parse(text, &sources).unwrap();
    let transport = Transport::Other(Arc::new(Network(hosts.to_vec())));
    let ring = Embedded::start(&config.rings[0], &transport).await.unwrap();
    let (here, there) = duplex(4096);
    let served = ring.serve(Box::new(there));
    let (mut reads, mut writes) = split(here);
    let says = async {
        for piece in bytes.chunks(piece) {
            // Who is cut off is told nothing more.
            if writes.write_all(piece).await.is_err() {
                return;
            }
        }
        sleep(stay).await;
        let _ = writes.shutdown().await;
    };
    let mut answer = Vec::new();
    let both = async { tokio::join!(says, reads.read_to_end(&mut answer)) };
    let (_, read) = timeout(LONGEST, both).await.expect("the session does not end");
    read.expect("a connection in memory has no errors");
    timeout(LONGEST, served).await.expect("the client's task does not end").expect("the session panicked");
    answer
}

fn check(bytes: &[u8], answer: &[u8]) {
    let mut rest = Cursor::new(answer);
    let mut replies = Vec::new();
    while usize::try_from(rest.position()).unwrap() < answer.len() {
        match Reply::read(&mut rest) {
            Ok(reply) => replies.push(reply),
            Err(error) => panic!("{error}: {}", answer.escape_ascii()),
        }
    }
    let Some((requests, end)) = owed(bytes) else { return };
    let (last, others) = match end {
        End::Malformed => replies.split_last().map(|(last, others)| (Some(last), others)).unwrap_or_default(),
        End::Orderly => (None, &replies[..]),
    };
    if end == End::Malformed {
        let told = last.and_then(Reply::error).is_some_and(|text| text.starts_with("ERR Protocol error"));
        assert!(told, "a protocol error is told: {}", answer.escape_ascii());
    }
    assert_eq!(others.len(), requests, "as many replies as requests: {}", answer.escape_ascii());
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Orderly,
    Malformed,
}

/// How many replies are owed, counted by a reader of its own. `None` where that is not the number of requests: there is an
/// inline command, or one after which replies are held back, come in other numbers, or end.
fn owed(mut bytes: &[u8]) -> Option<(usize, End)> {
    let mut requests = 0;
    while let Some(first) = bytes.first() {
        if *first != b'*' {
            return None;
        }
        match request(bytes) {
            Asked::Whole(words, length) => {
                bytes = &bytes[length..];
                let name = words.first().map(|name| String::from_utf8_lossy(name).to_lowercase());
                match name.as_deref() {
                    // An empty request is passed over.
                    None => {}
                    Some("quit" | "client" | "reset" | "shutdown") => return None,
                    Some(name) if name.contains("subscribe") => return None,
                    // Who goes away while it waits is told nothing more.
                    Some(name) if name.starts_with(['b', 'x', 'w']) && name != "watch" => return None,
                    Some(_) => requests += 1,
                }
            }
            Asked::Partial => return Some((requests, End::Orderly)),
            Asked::Malformed => return Some((requests, End::Malformed)),
            Asked::Unclear => return None,
        }
    }
    Some((requests, End::Orderly))
}

enum Asked {
    Whole(Vec<Vec<u8>>, usize),
    Partial,
    Malformed,
    /// Whether this is refused is a question of limits, which this reader does not know.
    Unclear,
}

fn request(bytes: &[u8]) -> Asked {
    let mut at = 0;
    let count = match number(bytes, &mut at) {
        Ok(count) => count,
        Err(end) => return end,
    };
    if count > 1000 {
        return Asked::Unclear;
    }
    let mut words = Vec::new();
    for _ in 0..count.max(0) {
        match bytes.get(at) {
            None => return Asked::Partial,
            Some(b'$') => {}
            Some(_) => return Asked::Malformed,
        }
        let length = match number(bytes, &mut at) {
            Ok(length) => length,
            Err(end) => return end,
        };
        let Ok(length) = usize::try_from(length) else { return Asked::Malformed };
        if length > 1 << 20 {
            return Asked::Unclear;
        }
        let (Some(word), ends) = (bytes.get(at..at + length), bytes.get(at + length..)) else {
            return Asked::Partial;
        };
        match ends {
            Some([b'\r', b'\n', ..]) => {}
            Some([] | [b'\r']) | None => return Asked::Partial,
            // A server reads over these two bytes; whether this one does is its own affair.
            Some(_) => return Asked::Unclear,
        }
        words.push(word.to_vec());
        at += length + 2;
    }
    Asked::Whole(words, at)
}

/// The number of the header at `at`, which is moved behind it. Only the plainest form; all others are unclear.
fn number(bytes: &[u8], at: &mut usize) -> Result<i64, Asked> {
    let rest = &bytes[*at + 1..];
    let Some(end) = rest.windows(2).position(|two| two == b"\r\n") else {
        // What cannot become a number may be refused before its line is whole.
        return Err(if rest.len() < 10 && rest.iter().all(u8::is_ascii_digit) {
            Asked::Partial
        } else {
            Asked::Unclear
        });
    };
    let digits = &rest[..end];
    let plain = matches!(digits.len(), 1..10) && digits.iter().all(u8::is_ascii_digit);
    if !plain || digits.len() > 1 && digits[0] == b'0' {
        return Err(Asked::Unclear);
    }
    *at += 1 + end + 2;
    Ok(String::from_utf8_lossy(digits).parse().unwrap())
}

/// Leads to these hosts by their names.
struct Network(Vec<Host>);

impl Connect for Network {
    fn connect<'a>(&'a self, address: &'a Address) -> Connecting<'a> {
        Box::pin(async move {
            let Address::Tcp { host: name, .. } = address else { panic!("{address} is no host") };
            let host = self.0.iter().find(|host| host.name() == name).unwrap();
            let socket: Box<dyn Io> = Box::new(host.connect().await?);
            Ok(socket)
        })
    }
}

/// Longer than any deadline, and than any command may wait that a few bytes can ask for.
const LONGEST: Duration = Duration::from_secs(100_000_000);
