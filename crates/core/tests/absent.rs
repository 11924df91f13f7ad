//! What reads answer for keys that do not exist: the table against a server.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod command;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use command::{Server, all, pack};
use rendis_core::command::{Found, Table};
use rendis_core::reply::Reply;
use rendis_core::request::RequestBuf;

/// A request or several for every command with a known answer.
const REQUESTS: &str = "
GET k|HGET k f|LINDEX k 0|ZSCORE k m|ZRANK k m|ZREVRANK k m|GEODIST k a b|DUMP k|MEMORY USAGE k
OBJECT ENCODING k|OBJECT FREQ k|OBJECT IDLETIME k|OBJECT REFCOUNT k
XREAD STREAMS k 0|XREAD COUNT 2 STREAMS k l 0 0
HRANDFIELD k|HRANDFIELD k 2|HRANDFIELD k 2 WITHVALUES|SRANDMEMBER k|SRANDMEMBER k 2|ZRANDMEMBER k|ZRANDMEMBER k 2
EXISTS k|EXISTS k l|TOUCH k|STRLEN k|BITCOUNT k|GETBIT k 7|HEXISTS k f|HLEN k|HSTRLEN k f|LLEN k|PFCOUNT k l|SCARD k
SISMEMBER k m|ZCARD k|ZCOUNT k 0 1|ZLEXCOUNT k - +|SINTERCARD 1 k|ZINTERCARD 2 k l|XLEN k
TTL k|PTTL k|EXPIRETIME k|PEXPIRETIME k|GETRANGE k 0 5|SUBSTR k 0 5
HKEYS k|HVALS k|LRANGE k 0 -1|ZRANGE k 0 -1|ZRANGE k 0 -1 WITHSCORES|ZRANGEBYLEX k - +|ZRANGEBYSCORE k 0 1
ZREVRANGE k 0 -1|ZREVRANGEBYLEX k + -|ZREVRANGEBYSCORE k 1 0|ZDIFF 2 k l|ZINTER 1 k|ZUNION 1 k WITHSCORES
XRANGE k - +|XREVRANGE k + -|GEOSEARCH k FROMLONLAT 1 1 BYRADIUS 5 km|GEORADIUS_RO k 1 1 5 km
GEORADIUSBYMEMBER_RO k m 5 km|SORT_RO k
SMEMBERS k|SDIFF k l|SINTER k|SUNION k l|HGETALL k|TYPE k|MGET k|MGET k l m|HMGET k f|HMGET k f g|ZMSCORE k a b
GEOHASH k a b|GEOPOS k a b|SMISMEMBER k a b|HSCAN k 0|SSCAN k 0 COUNT 5|ZSCAN k 0
";

#[test]
fn a_read_of_keys_that_do_not_exist_is_answered_as_a_server_answers_it() {
    let server = Server::start();
    let mut socket = TcpStream::connect(("127.0.0.1", server.port())).unwrap();
    let table = Table::default();
    let mut names = Vec::new();
    for resp3 in [false, true] {
        ask(&mut socket, &pack(&["HELLO", if resp3 { "3" } else { "2" }]));
        for words in REQUESTS.split(['|', '\n']).filter(|words| !words.is_empty()) {
            let request = pack(&words.split(' ').collect::<Vec<_>>());
            let Found::Row(row) = table.find(request.view()) else { panic!("{words}") };
            let known = row.absent_reply(request.view(), resp3).unwrap_or_else(|| panic!("{words}"));
            assert_eq!(
                known.frame().escape_ascii().to_string(),
                ask(&mut socket, &request),
                "{words}, RESP3 {resp3}"
            );
            names.push(row.name().to_owned());
        }
    }
    let every = all(&table).filter(|row| {
        let request = pack(&["x", "k", "l"]);
        row.absent_reply(request.view(), false).is_some()
    });
    for row in every {
        assert!(names.contains(&row.name().to_owned()), "{} is not asked for", row.name());
        assert!(row.is_read(), "{}", row.name());
    }
}

/// The bytes of a reply, readable.
fn ask(socket: &mut TcpStream, request: &RequestBuf) -> String {
    socket.write_all(request.view().bytes()).unwrap();
    socket.write_all(pack(&["ECHO", "the end"]).view().bytes()).unwrap();
    let (mut read, end) = (Vec::new(), b"$7\r\nthe end\r\n");
    while !read.ends_with(end) {
        let mut more = [0; 4096];
        let count = socket.read(&mut more).unwrap();
        assert_ne!(count, 0, "the server has gone");
        read.extend_from_slice(&more[..count]);
    }
    read[..read.len() - end.len()].escape_ascii().to_string()
}

#[test]
fn what_writes_has_no_answer_for_a_key_that_does_not_exist() {
    let table = Table::default();
    for words in ["SET k v", "INCR k", "DEL k", "EVAL_RO x 1 k", "XINFO STREAM k", "PING"] {
        let request = pack(&words.split(' ').collect::<Vec<_>>());
        let Found::Row(row) = table.find(request.view()) else { panic!("{words}") };
        assert_eq!(row.absent_reply(request.view(), true).map(Reply::into_frame), None, "{words}");
    }
}
