//! Ways to send: typed, packed, many at once, large.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use rendis_testkit::Reply;

use crate::{Stage, alive, ask};

#[test]
fn commands_may_be_typed() {
    let stage = Stage::start();
    let mut client = stage.client();
    client
        .send_raw(b"PING\r\nset  key \"a b\\x41\\n\"\r\n\r\nGET key\nget 'k\\'ey'\r\n  echo hello  \r\n")
        .unwrap();
    let replies: Vec<_> = (0..5).map(|_| client.read().unwrap()).collect();
    let expected =
        [Reply::simple("PONG"), Reply::simple("OK"), Reply::bulk("a bA\n"), Reply::Nil, Reply::bulk("hello")];
    assert_eq!(replies, expected);
    // Typed or packed, as it comes.
    client.send_raw(b"ECHO 1\r\n*2\r\n$4\r\nECHO\r\n$1\r\n2\r\nECHO 3\r\n*0\r\n*-1\r\n*2\r\n$4\r\nECHO\r\n$1\r\n4\r\n*0\r\nECHO 5\r\n").unwrap();
    for expected in ["1", "2", "3", "4", "5"] {
        assert_eq!(client.read().unwrap(), Reply::bulk(expected));
    }
    client.send_raw(b"MULTI\r\nINCR n\r\nEXEC\r\nBLPOP none 0.01\r\nMGET a b c d\r\nSCAN 0\r\n").unwrap();
    assert!(client.read().unwrap().is_ok());
    assert_eq!(client.read().unwrap(), Reply::simple("QUEUED"));
    assert_eq!(client.read().unwrap(), Reply::array([Reply::Integer(1)]));
    assert_eq!(client.read().unwrap(), Reply::Nil);
    assert_eq!(client.read().unwrap().elements().len(), 4);
    assert_eq!(client.read().unwrap().elements().len(), 2);
    client.send_raw(b"SET key \"open\r\n").unwrap();
    let end = client.read_to_end().unwrap();
    assert!(end.starts_with(b"-ERR Protocol error: "), "{}", end.escape_ascii());
}

#[test]
fn who_stops_sending_still_gets_the_answers() {
    let stage = Stage::start();
    let packed = b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\n1\r\n*2\r\n$3\r\nGET\r\n$1\r\na\r\n".to_vec();
    let cases: [(&[u8], &str); 5] = [
        (&packed, "+OK\r\n$1\r\n1\r\n"),
        (b"SET a 1\r\nSET b 2\r\nGET a\r\nGET b\r\n", "+OK\r\n+OK\r\n$1\r\n1\r\n$1\r\n2\r\n"),
        (b"MULTI\r\nSET a 3\r\nEXEC\r\nGET a\r\n", "+OK\r\n+QUEUED\r\n*1\r\n+OK\r\n$1\r\n3\r\n"),
        (b"DEL list\r\nBLPOP list 0.05\r\nRPUSH list x\r\n", ":0\r\n"),
        (b"SET a 1\r\nQUIT\r\n", "+OK\r\n+OK\r\n"),
    ];
    for (sent, expected) in cases {
        for _ in 0..10 {
            let mut stream = TcpStream::connect(stage.address()).unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
            stream.write_all(sent).unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
            let mut got = String::new();
            stream.read_to_string(&mut got).unwrap();
            // Who waits on a list and hangs up has left.
            assert!(got.starts_with(expected), "{}: {got:?}", sent.escape_ascii());
        }
    }
}

#[test]
fn ten_thousand_in_one_pipeline_are_answered_in_order() {
    let stage = Stage::start();
    let mut client = stage.client();
    let mut reader = stage.client();
    let commands: Vec<Vec<String>> = (0..10_000)
        .map(|at: usize| {
            let key = format!("n:{}", at % 50);
            match at % 7 {
                0 => vec!["ECHO".to_owned(), at.to_string()],
                1 => vec!["MGET".to_owned(), key.clone(), format!("n:{}", (at + 1) % 50)],
                2 => vec!["NOSUCH".to_owned(), at.to_string()],
                3 if at % 100 == 3 => vec!["DBSIZE".to_owned()],
                _ => vec!["INCR".to_owned(), key],
            }
        })
        .collect();
    let mut counts = vec![0; 50];
    std::thread::scope(|scope| {
        let mut bytes = Vec::new();
        for line in &commands {
            bytes.extend_from_slice(format!("*{}\r\n", line.len()).as_bytes());
            line.iter().for_each(|word| {
                bytes.extend_from_slice(format!("${}\r\n{word}\r\n", word.len()).as_bytes())
            });
        }
        // Written and read on two threads: no socket holds all of it.
        let stream = TcpStream::connect(stage.address()).unwrap();
        let mut writing = stream.try_clone().unwrap();
        scope.spawn(move || writing.write_all(&bytes).unwrap());
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let mut buffered = std::io::BufReader::new(stream);
        for (at, line) in commands.iter().enumerate() {
            let reply = Reply::read(&mut buffered).unwrap();
            match line[0].as_str() {
                "ECHO" => assert_eq!(reply, Reply::bulk(at.to_string())),
                "MGET" => {
                    let expected = [at % 50, (at + 1) % 50].map(|key| match counts[key] {
                        0 => Reply::Nil,
                        count => Reply::bulk(i64::to_string(&count)),
                    });
                    assert_eq!(reply, Reply::array(expected), "at {at}");
                }
                "NOSUCH" => assert!(reply.error().unwrap().contains(&format!("'{at}'"))),
                "DBSIZE" => assert_eq!(
                    reply.integer(),
                    i64::try_from(counts.iter().filter(|n| **n > 0).count()).unwrap()
                ),
                _ => {
                    counts[at % 50] += 1;
                    assert_eq!(reply.integer(), counts[at % 50], "at {at}");
                }
            }
        }
    });
    alive(&mut client);
    alive(&mut reader);
}

#[test]
fn big_values_go_both_ways() {
    let stage = Stage::start();
    let big: Vec<u8> = (0..20_u32 << 20).map(|at| at.to_le_bytes()[0] ^ at.to_le_bytes()[1]).collect();
    for mut client in [stage.client(), stage.resp3()] {
        client.timeout(Duration::from_secs(30)).unwrap();
        assert!(ask(&mut client, &[&b"SET"[..], b"big", &big]).is_ok());
        assert_eq!(ask(&mut client, &["GET", "big"]).as_bytes().unwrap(), big);
        let many = ask(&mut client, &["MGET", "big", "small", "big"]);
        assert_eq!(many.elements()[2].as_bytes().unwrap(), big);
        alive(&mut client);
    }
}
