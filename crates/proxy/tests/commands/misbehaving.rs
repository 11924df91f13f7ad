//! Clients that behave badly.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use rendis_testkit::{RedisServer, Reply};

use crate::ring::until;
use crate::{Stage, alive, ask, blocked};

/// What the proxy says to these bytes until it closes.
fn last_words(to: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(to).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.write_all(bytes).unwrap();
    let mut got = Vec::new();
    stream.read_to_end(&mut got).unwrap();
    String::from_utf8_lossy(&got).into_owned()
}

#[test]
fn what_is_no_request_is_answered_once_after_what_was_owed() {
    let stage = Stage::start();
    let mut bystander = stage.client();
    let nested = b"*1\r\n".repeat(100_000);
    let much = [&b"*x\r\n"[..], &vec![b'x'; 3 << 20]].concat();
    let cases: Vec<&[u8]> = vec![
        b"*1\r\n+OK\r\n",
        b"*1\r\n:5\r\n",
        b"*1\r\n*1\r\n$4\r\nPING\r\n",
        b"*x\r\n",
        b"*1\r\n$-5\r\nabc\r\n",
        b"*1\r\n$x\r\nabc\r\n",
        b"*1\r\n$4\r\nPINGxx",
        b"*999999999999999999999\r\n",
        b"*2000000000\r\n",
        b"*1048577\r\n",
        b"*1\r\n$999999999999\r\n",
        b"*1\r\n$536870913\r\n",
        b"*1\r\n$-1\r\n",
        &nested,
        &much,
    ];
    for bad in cases {
        let shown = bad.get(..40).unwrap_or(bad).escape_ascii();
        let mut bytes =
            b"*2\r\n$4\r\nECHO\r\n$3\r\nowe\r\n*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\n1\r\n".to_vec();
        bytes.extend_from_slice(bad);
        let said = last_words(stage.address(), &bytes);
        let begin = "$3\r\nowe\r\n+OK\r\n-ERR Protocol error: ";
        assert!(said.starts_with(begin), "{shown}: {said:?}");
        assert_eq!(said.matches("\r\n").count(), 4, "{shown}: {said:?}");
        alive(&mut bystander);
    }
}

#[test]
fn a_line_without_an_end_is_refused() {
    let stage = Stage::start();
    let said = last_words(stage.address(), &vec![b'x'; (64 << 10) + 10]);
    assert!(said.starts_with("-ERR Protocol error: "), "{said:?}");
    // What looks like another protocol is a line with an unknown command.
    let mut client = stage.client();
    client.send_raw(b"GET / HTTP/1.1\r\n").unwrap();
    assert!(client.read().unwrap().error().unwrap().contains("wrong number of arguments for 'get'"));
    let said = last_words(
        stage.address(),
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\nSET a evil\r\nQUIT\r\n",
    );
    assert!(!said.contains("+OK\r\n+OK"), "a web page could send commands: {said:?}");
}

#[test]
fn a_frame_may_come_byte_by_byte_and_be_left_half() {
    let stage = Stage::start();
    let mut stream = TcpStream::connect(stage.address()).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    for byte in b"*3\r\n$3\r\nSET\r\n$3\r\nkey\r\n$5\r\nvalue\r\n" {
        stream.write_all(&[*byte]).unwrap();
        std::thread::yield_now();
    }
    let mut ok = [0; 5];
    stream.read_exact(&mut ok).unwrap();
    assert_eq!(&ok, b"+OK\r\n");
    // Frames that claim much and bring little cost little: all of them stay open here.
    let halves: Vec<_> = (0..200)
        .map(|_| {
            let mut half = TcpStream::connect(stage.address()).unwrap();
            half.write_all(b"*1048576\r\n$536870912\r\nabc").unwrap();
            half
        })
        .collect();
    let mut client = stage.client();
    assert_eq!(ask(&mut client, &["GET", "key"]), Reply::bulk("value"));
    assert!(resident() < 2 << 30, "{} bytes are resident", resident());
    drop(halves);
    alive(&mut client);
}

/// What this process holds in memory, in bytes.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or("0 kB");
    line.split_whitespace().next().unwrap().parse::<usize>().unwrap() << 10
}

#[test]
fn a_client_that_never_reads_is_not_read_from() {
    let stage = Stage::start();
    let mut client = stage.client();
    let big = vec![b'x'; 64 << 10];
    assert!(ask(&mut client, &[&b"SET"[..], b"big", &big]).is_ok());
    let mut deaf = TcpStream::connect(stage.address()).unwrap();
    deaf.set_write_timeout(Some(Duration::from_millis(300))).unwrap();
    let request = b"*2\r\n$3\r\nGET\r\n$3\r\nbig\r\n".repeat(1000);
    let mut written = 0;
    // Until the system's own buffers are full, or the proxy hangs up.
    while written < 512 << 20 {
        match deaf.write(&request) {
            Ok(count) => written += count,
            Err(_) => break,
        }
    }
    assert!(written < 64 << 20, "{written} bytes of requests were taken from a client that reads nothing");
    for _ in 0..50 {
        alive(&mut client);
        assert_eq!(ask(&mut client, &["STRLEN", "big"]).integer(), 64 << 10);
    }
}

#[test]
fn a_thousand_connections_at_once_leave_nothing() {
    let stage = Stage::start();
    let keys = stage.keys("k");
    let before = stage.connections();
    let streams: Vec<_> = std::thread::scope(|scope| {
        let opening: Vec<_> = (0..4)
            .map(|part| {
                let (at, keys) = (stage.address(), &keys);
                scope.spawn(move || {
                    let opened: Vec<_> = (0..250)
                        .map(|number| {
                            let mut stream = TcpStream::connect(at).unwrap();
                            let key = &keys[number % 3];
                            let line = match (number + part) % 8 {
                                0 => String::new(),
                                1 => "*3\r\n$3\r\nSET\r\n$".to_owned(),
                                2 => format!("BLPOP {key} 0\r\n"),
                                3 => format!("WATCH {key}\r\nMULTI\r\nINCR {key}\r\n"),
                                4 => format!("SUBSCRIBE {key}\r\n"),
                                5 => "PSUBSCRIBE a*\r\n".to_owned(),
                                6 => format!("GET {key}\r\n").repeat(20),
                                _ => "HELLO 3\r\nPING\r\n".to_owned(),
                            };
                            stream.write_all(line.as_bytes()).unwrap();
                            stream
                        })
                        .collect();
                    opened
                })
            })
            .collect();
        opening.into_iter().flat_map(|part| part.join().unwrap()).collect()
    });
    until("they are in", || {
        let waiting = |shard: &RedisServer| {
            let info = shard.command(&["INFO", "clients"]);
            let count = info.text().lines().find_map(|line| line.strip_prefix("blocked_clients:"));
            count.unwrap().trim().parse::<usize>().unwrap()
        };
        stage.shards.iter().map(waiting).sum::<usize>() >= 120
    });
    drop(streams);
    let mut client = stage.client();
    until("they are gone", || ask(&mut client, &["CLIENT", "LIST"]).text().lines().count() == 1);
    // Wires for both protocols, probes, one for subscriptions, and idle ones that were given back.
    until("nothing is left on the shards", || {
        stage.connections().iter().zip(&before).all(|(now, before)| *now <= before + 6)
            && !stage.shards.iter().any(blocked)
            && stage.shards.iter().all(|shard| shard.command(&["PUBSUB", "CHANNELS"]) == Reply::array([]))
            && stage.shards.iter().all(|shard| shard.command(&["PUBSUB", "NUMPAT"]) == Reply::Integer(0))
    });
}
