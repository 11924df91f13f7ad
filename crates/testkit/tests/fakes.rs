//! The fake servers misbehave as told, and end.

use std::{
    io::{ErrorKind, Write},
    net::TcpStream,
    time::{Duration, Instant},
};

use rendis_testkit::{Answer, Client, FakeServer, Reply};

fn ask(answer: Answer) -> std::io::Result<Reply> {
    let server = FakeServer::start(move |_| answer.clone());
    let mut client = Client::connect(server.address()).unwrap();
    client.timeout(Duration::from_millis(300)).unwrap();
    client.command(&["GET", "k"])
}

fn waited_in_vain(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

#[test]
fn each_misbehaviour_is_seen_by_a_client() {
    assert!(ask(Answer::ok()).unwrap().is_ok());
    assert_eq!(ask(Answer::garbage()).unwrap_err().kind(), ErrorKind::InvalidData);
    assert_eq!(ask(Answer::http()).unwrap_err().kind(), ErrorKind::InvalidData);
    assert_eq!(ask(Answer::half_then_close()).unwrap_err().kind(), ErrorKind::UnexpectedEof);
    assert_eq!(ask(Answer::Close).unwrap_err().kind(), ErrorKind::UnexpectedEof);
    assert_eq!(ask(Answer::Reset).unwrap_err().kind(), ErrorKind::ConnectionReset);
    for silent in [Answer::Silence, Answer::Stall, Answer::half(), Answer::huge_array()] {
        assert!(waited_in_vain(ask(silent).unwrap_err().kind()));
    }
    assert_eq!(ask(Answer::nested(3)).unwrap().to_string(), "[[[1]]]");
    let slow = Answer::Drip { bytes: b"+OK\r\n".to_vec(), size: 1, pause: Duration::from_millis(5) };
    assert!(ask(slow).unwrap().is_ok());
}

#[test]
fn requests_are_told_apart_and_counted() {
    let server = FakeServer::start(|request| {
        Answer::handshake(request)
            .unwrap_or_else(|| Answer::text(&format!("+{}.{}\r\n", request.connection, request.index)))
    });
    let mut one = Client::connect(server.address()).unwrap();
    assert!(matches!(one.command(&["HELLO", "3"]).unwrap(), Reply::Map(_)));
    assert_eq!(one.command(&["HELLO", "2"]).unwrap().elements().len(), 14);
    assert_eq!(one.command(&["GET", "k"]).unwrap().text(), "0.2");
    let mut two = Client::connect(server.address()).unwrap();
    assert_eq!(two.command(&["GET", "k"]).unwrap().text(), "1.0");
    assert_eq!((server.connections(), server.requests()), (2, 4));
}

#[test]
fn more_replies_than_requests_arrive() {
    let server = FakeServer::start(|_| Answer::too_many(3));
    let mut client = Client::connect(server.address()).unwrap();
    assert!(client.command(&["PING"]).unwrap().is_ok());
    assert!(client.read().unwrap().is_ok());
    assert!(client.read().unwrap().is_ok());
    let greeted = FakeServer::start_with_greeting(b"+hello\r\n".to_vec(), |_| Answer::Silence);
    assert_eq!(Client::connect(greeted.address()).unwrap().read().unwrap().text(), "hello");
}

#[test]
fn a_server_that_never_accepts_can_be_connected_to() {
    let server = FakeServer::never_accepts();
    let mut stream = TcpStream::connect(server.address()).unwrap();
    stream.write_all(b"PING\r\n").unwrap();
    assert_eq!(server.connections(), 0);
}

#[test]
fn dropping_ends_every_thread_at_once() {
    for answer in [Answer::Silence, Answer::Stall, Answer::Reset] {
        let server = FakeServer::start(move |_| answer.clone());
        let mut clients: Vec<Client> = (0..10).map(|_| Client::connect(server.address()).unwrap()).collect();
        for client in &mut clients {
            client.send(&["GET", "k"]).unwrap();
        }
        let address = server.address();
        let begun = Instant::now();
        drop(server);
        assert!(begun.elapsed() < Duration::from_secs(2));
        assert!(TcpStream::connect(address).is_err());
    }
}
