//! Commands that wait.

use std::io::{ErrorKind, Read as _, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rendis_proxy::serve::Proxy;
use rendis_testkit::{Certificates, Reply};
use socket2::SockRef;

use crate::ring::{config, until};
use crate::tls::{tls_client, tls_ring};
use crate::{Stage, alive, ask, blocked, bulks, connections, words};

#[test]
fn who_waits_is_counted_until_he_has_what_he_waits_for_or_leaves() {
    let stage = Stage::start();
    let keys = stage.keys("k");
    let mut client = stage.client();
    let mut count = || {
        let info = ask(&mut client, &["INFO", "clients"]).text().to_owned();
        let line = info.lines().find_map(|line| line.strip_prefix("blocked_clients:"));
        line.unwrap_or_else(|| panic!("{info}")).parse::<usize>().unwrap()
    };
    assert_eq!(count(), 0);
    let mut waiting: Vec<_> = keys.iter().map(|_| stage.client()).collect();
    for (client, key) in waiting.iter_mut().zip(&keys) {
        client.send(&["BLPOP", key, "0"]).unwrap();
    }
    until("all wait", || count() == 3);
    waiting.pop();
    until("one has left", || count() == 2);
    ask(&mut stage.client(), &["RPUSH", &keys[0], "item"]);
    assert_eq!(waiting[0].read().unwrap(), Reply::Array(bulks(&[&keys[0], "item"])));
    assert_eq!(count(), 1);
}

#[test]
fn one_who_waits_is_woken_by_another_and_times_out_alone() {
    let stage = Stage::start();
    let mut pusher = stage.client();
    for (at, key) in stage.keys("list").into_iter().enumerate() {
        let mut waiting = stage.client();
        waiting.send(&["BLPOP", &key, "0"]).unwrap();
        waiting.send(&["ECHO", "after"]).unwrap();
        until("it waits", || blocked(&stage.shards[at]));
        ask(&mut pusher, &["RPUSH", &key, "item"]);
        assert_eq!(waiting.read().unwrap(), Reply::Array(bulks(&[&key, "item"])));
        assert_eq!(waiting.read().unwrap(), Reply::bulk("after"));
        let begun = Instant::now();
        assert_eq!(ask(&mut waiting, &["BLPOP", &key, "0.2"]), Reply::Nil);
        assert!((Duration::from_millis(150)..Duration::from_secs(4)).contains(&begun.elapsed()));
        waiting.send(&["XREAD", "BLOCK", "0", "STREAMS", &format!("{key}x"), "$"]).unwrap();
        until("it waits", || stage.shards.iter().any(blocked));
        ask(&mut pusher, &["XADD", &format!("{key}x"), "1-1", "f", "v"]);
        assert!(waiting.read().unwrap().to_string().contains("1-1"));
    }
    // Longer than any deadline of the proxy.
    let stage = Stage::with("deadlines = { reply = \"100ms\" }");
    assert_eq!(ask(&mut stage.client(), &["BLPOP", "none", "0.5"]), Reply::Nil);
}

#[test]
fn a_client_that_leaves_while_it_waits_frees_its_connection_and_takes_nothing() {
    let stage = Stage::start();
    let keys = stage.keys("list");
    let waiting: Vec<_> = (0..30)
        .map(|_| {
            let mut client = stage.client();
            client.send(&["BRPOP", &keys[1], "0"]).unwrap();
            client
        })
        .collect();
    let counts = |count: usize| {
        let expected = format!("blocked_clients:{count}\r\n");
        stage.shards[1].command(&["INFO", "clients"]).text().contains(&expected)
    };
    until("all wait", || counts(30));
    drop(waiting);
    until("none waits", || counts(0));
    let mut client = stage.client();
    ask(&mut client, &["RPUSH", &keys[1], "a", "b"]);
    assert_eq!(ask(&mut client, &["LLEN", &keys[1]]).integer(), 2);
    until("their connections are closed", || connections(&stage.shards[1]) <= 8);
}

/// Sends until the system has taken nothing for a while, or all of it; says how much it took.
fn stuff(mut stream: impl Write, bytes: &[u8]) -> usize {
    let (mut sent, mut rested) = (0, 0);
    while sent < bytes.len() && rested < 30 {
        match stream.write(&bytes[sent..]) {
            Ok(count) => (sent, rested) = (sent + count, 0),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                rested += 1;
                std::thread::sleep(Duration::from_millis(10));
            }
            Err(error) => panic!("{error}"),
        }
    }
    sent
}

/// A stage that also listens on a socket, with the directory that the socket is in.
fn with_socket() -> (Stage, tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("cache.sock");
    let stage = Stage::with(&format!("listen = [\"127.0.0.1:0\", \"unix:{}\"]", path.display()));
    (stage, directory, path)
}

const BLPOP: &[u8] = b"*3\r\n$5\r\nBLPOP\r\n$4\r\nlist\r\n$1\r\n0\r\n";

/// `BLPOP`, and as many `SET` with 4 KiB behind it.
fn blpop_and_sets(sets: usize) -> Vec<u8> {
    let value = "x".repeat(4096);
    let set = format!("*3\r\n$3\r\nSET\r\n$5\r\nlarge\r\n$4096\r\n{value}\r\n");
    [BLPOP.to_vec(), set.into_bytes().repeat(sets)].concat()
}

#[test]
fn a_client_that_waits_is_read_ahead_as_far_as_its_window() {
    const SETS: usize = 8192;
    let stage = Stage::start();
    let all = blpop_and_sets(SETS);
    let stream = TcpStream::connect(stage.address()).unwrap();
    stream.set_nonblocking(true).unwrap();
    let sent = stuff(&stream, &all);
    // What the proxy holds, and what the buffers of the system do.
    assert!(sent > 1 << 20 && sent < 16 << 20, "{sent} bytes of {} were taken", all.len());
    assert!(stage.shards.iter().any(blocked));
    // Nothing is lost by it.
    stream.set_nonblocking(false).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    ask(&mut stage.client(), &["RPUSH", "list", "item"]);
    let expected = format!("*2\r\n$4\r\nlist\r\n$4\r\nitem\r\n{}", "+OK\r\n".repeat(SETS)).into_bytes();
    let mut replies = vec![0; expected.len()];
    std::thread::scope(|scope| {
        scope.spawn(|| (&stream).write_all(&all[sent..]).unwrap());
        (&stream).read_exact(&mut replies).unwrap();
    });
    assert!(replies == expected);
}

#[test]
fn a_client_that_sent_much_behind_what_it_waits_for_is_seen_to_leave() {
    let (stage, _directory, path) = with_socket();
    let waits = || {
        until("it waits", || stage.shards.iter().any(blocked));
        // Time in which all of it is read that will be.
        std::thread::sleep(Duration::from_millis(50));
    };
    let left = || until("it has left", || !stage.shards.iter().any(blocked));
    // More than is read ahead: the system has the rest, and the end behind it.
    let mut stream = TcpStream::connect(stage.address()).unwrap();
    stream.write_all(&blpop_and_sets(264)).unwrap();
    waits();
    drop(stream);
    left();
    // More than the system has room for too: of that, only a reset is seen on TCP.
    let all = blpop_and_sets(8192);
    let stream = TcpStream::connect(stage.address()).unwrap();
    stream.set_nonblocking(true).unwrap();
    assert!(stuff(&stream, &all) < all.len());
    waits();
    SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
    drop(stream);
    left();
    let stream = UnixStream::connect(path).unwrap();
    stream.set_nonblocking(true).unwrap();
    assert!(stuff(&stream, &all) < all.len());
    waits();
    drop(stream);
    left();
    let certificates = Certificates::generate();
    let proxy = Proxy::start(&config(&tls_ring(&certificates, "", &stage.shards.urls()))).unwrap();
    let mut stream = tls_client(&proxy, &certificates, false);
    stream.write_all(&blpop_and_sets(264)).unwrap();
    waits();
    drop(stream);
    left();
}

#[test]
fn who_waits_hears_what_it_listens_to_at_once() {
    let stage = Stage::start();
    let (mut sender, mut waiting) = (stage.client(), stage.resp3());
    ask(&mut waiting, &["SUBSCRIBE", "news"]);
    ask(&mut waiting, &["PSUBSCRIBE", "weather.*"]);
    // What was answered before is there too.
    waiting.send(&["ECHO", "before"]).unwrap();
    waiting.send(&["BLPOP", "list", "0"]).unwrap();
    waiting.send(&["ECHO", "after"]).unwrap();
    assert_eq!(waiting.read().unwrap(), Reply::bulk("before"));
    until("it waits", || stage.shards.iter().any(blocked));
    for number in 0..100 {
        let text = number.to_string();
        assert_eq!(ask(&mut sender, &["PUBLISH", "news", &text]).integer(), 1);
        assert_eq!(waiting.read().unwrap(), Reply::Push(bulks(&["message", "news", &text])));
        assert_eq!(ask(&mut sender, &["PUBLISH", "weather.today", &text]).integer(), 1);
        let message = bulks(&["pmessage", "weather.*", "weather.today", &text]);
        assert_eq!(waiting.read().unwrap(), Reply::Push(message));
    }
    ask(&mut sender, &["RPUSH", "list", "item"]);
    assert_eq!(waiting.read().unwrap(), Reply::Array(bulks(&["list", "item"])));
    assert_eq!(waiting.read().unwrap(), Reply::bulk("after"));
    // Replies that it does not want are not among them, and it is seen to leave.
    waiting.send(&["CLIENT", "REPLY", "SKIP"]).unwrap();
    waiting.send(&["BLPOP", "list", "0"]).unwrap();
    waiting.send(&["ECHO", "after"]).unwrap();
    until("it waits", || stage.shards.iter().any(blocked));
    ask(&mut sender, &["PUBLISH", "news", "text"]);
    assert_eq!(waiting.read().unwrap(), Reply::Push(bulks(&["message", "news", "text"])));
    ask(&mut sender, &["RPUSH", "list", "item"]);
    assert_eq!(waiting.read().unwrap(), Reply::bulk("after"));
    waiting.send(&["BLPOP", "list", "0"]).unwrap();
    until("it waits", || stage.shards.iter().any(blocked));
    drop(waiting);
    until("it has left", || !stage.shards.iter().any(blocked));
}

#[test]
fn many_wait_at_once_and_others_are_served() {
    let stage = Stage::start();
    let keys = stage.keys("list");
    let mut waiting: Vec<_> = (0..100).map(|_| stage.client()).collect();
    for (at, client) in waiting.iter_mut().enumerate() {
        client.send(&["BLPOP", &keys[at % 3], "0"]).unwrap();
    }
    let mut client = stage.client();
    until("all wait", || stage.shards.iter().filter(|shard| blocked(shard)).count() == 3);
    for _ in 0..100 {
        alive(&mut client);
        ask(&mut client, &["SET", "key", "v"]);
    }
    for key in &keys {
        for item in 0..34 {
            ask(&mut client, &["RPUSH", key, &item.to_string()]);
        }
    }
    for client in &mut waiting {
        assert_eq!(client.read().unwrap().elements().len(), 2);
    }
}

#[test]
fn what_waits_in_an_odd_form_holds_up_nobody_either() {
    let stage =
        Stage::with("deadlines = { connect = \"5s\", reply = \"1s\", write = \"5s\", wait = \"5s\" }");
    let mut client = stage.client();
    let list = &stage.keys("k")[1];
    ask(&mut client, &["XGROUP", "CREATE", "{s}", "g", "$", "MKSTREAM"]);
    let stream =
        stage.shards.iter().position(|shard| shard.command(&["EXISTS", "{s}"]).integer() == 1).unwrap();
    // Enough of them that each thread has some.
    let mut others: Vec<_> = (0..16).map(|_| stage.client()).collect();
    for (line, at) in [
        (format!("BLPOP {list} 0x0"), 1),
        (format!("BLPOP {list} -0.0001"), 1),
        (format!("BZPOPMIN {list} 0x100"), 1),
        (format!("BLMPOP 0x100 1 {list} LEFT"), 1),
        ("XREADGROUP BLOCK 100000 GROUP g c STREAMS {s} >".to_owned(), stream),
        ("XREADGROUP NOACK BLOCK 0 GROUP g c STREAMS {s} >".to_owned(), stream),
        ("XREAD BLOCK 1 BLOCK 100000 STREAMS {s} $".to_owned(), stream),
    ] {
        let mut waiting = stage.client();
        waiting.send(&words(&line)).unwrap();
        until("it waits", || blocked(&stage.shards[at]));
        for client in &mut others {
            for key in [list, "{s}other"] {
                assert_eq!(ask(client, &["GET", key]), Reply::Nil, "{line}");
            }
        }
        drop(waiting);
        until("it waits no more", || !blocked(&stage.shards[at]));
    }
    let named = "XREADGROUP COUNT 1 NOACK GROUP g STREAMS STREAMS {s} >";
    assert_eq!(ask(&mut client, &words(named)), Reply::Nil);
}
