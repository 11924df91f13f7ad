//! Who may do what, asked of a ring and of a server with the same users.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod side;

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use rendis_testkit::{Client, RedisServer, Reply};
use side::{Raw, Side, compare, configuration};

const ALICE: &str = "~cache:* %R~ro:* &chan* +@all -@dangerous -set";
const EVE: &str = "~* +@all -@dangerous -exec -discard";
const BOB: &str = "~* &a* +subscribe +psubscribe +publish +hello +config|get";

fn users() -> String {
    let user = |name: &str, password: &str, rules: &str| {
        format!("[[ring.user]]\nname = \"{name}\"\npassword = \"{password}\"\nrules = \"{rules}\"\n")
    };
    user("alice", "x", ALICE)
        + &user("bob", "x", BOB)
        + &user("eve", "x", EVE)
        + &user("gone", "x", "off +@all ~* &*")
        + "[[ring.user]]\nname = \"default\"\npassword = [\"pw\", \"other\"]\n"
}

fn server() -> RedisServer {
    RedisServer::builder()
        .password("pw")
        .user("alice", &format!("on >x resetchannels {ALICE}"))
        .user("bob", &format!("on >x resetchannels {BOB}"))
        .user("eve", &format!("on >x resetchannels {EVE}"))
        .user("gone", "off >x +@all ~* &*")
        .start()
}

/// From nobody to alice to bob to eve to the default user.
const SESSION: &str = "
    PING
    GET a
    HELLO
    HELLO 3
    HELLO 3 SETNAME foo
    HELLO 4
    HELLO 3 AUTH alice y
    AUTH wrong
    AUTH alice y
    AUTH gone x
    AUTH nobody x
    AUTH a b c
    SELECT 0
    COMMAND COUNT
    MULTI
    EXEC
    SUBSCRIBE a
    CLIENT ID
    RESET
    HELLO 3 AUTH alice x
    ACL WHOAMI
    SET a b
    SET
    GET
    GET a
    GET cache:1
    GET ro:1
    INCR ro:1
    APPEND cache:1 x
    COPY ro:1 cache:2
    COPY ro:1 ro:2
    EXISTS ro:1
    EXISTS other
    MGET cache:1 ro:1
    MGET cache:1 other
    DEL cache:1 other
    PFCOUNT ro:1
    CONFIG GET maxmemory
    CONFIG SET x y
    CONFIG FOO
    KEYS *
    FLUSHALL
    OBJECT ENCODING a
    SORT cache:1 BY w*
    SUBSCRIBE chan1
    SUBSCRIBE other
    SUBSCRIBE chan1 other
    PSUBSCRIBE chan*
    PSUBSCRIBE chan1
    PUNSUBSCRIBE chan*
    UNSUBSCRIBE chan1
    PUBLISH other x
    SPUBLISH other x
    SSUBSCRIBE other
    NOSUCH a b
    CLIENT NOSUCH
    MULTI
    GET cache:1
    EXEC
    MULTI
    SET a b
    GET cache:1
    EXEC
    GET cache:1
    RESET
    ACL WHOAMI
    AUTH bob x
    ACL WHOAMI
    PING
    PUBLISH b x
    PUBLISH a1 x
    CONFIG GET maxmemory
    PUNSUBSCRIBE
    AUTH eve x
    EXEC
    DISCARD
    MULTI
    SET k 1
    EXEC
    GET k
    WATCH k
    SET k 2
    EXEC
    AUTH pw
    MULTI
    INCR k
    EXEC
    AUTH eve x
    MULTI
    DISCARD
    INCR k
    EXEC
    AUTH pw
    DEL k
    PING
    SET ro:1 x
    GET ro:1
    FLUSHALL
";

#[test]
fn users_may_do_what_they_may_on_a_server() {
    let side = Side::start(1, &users());
    let server = server();
    let (mut theirs, mut ours) = (Raw::connect(server.address()), side.raw());
    let session = |reply: String| match reply.split_once("$2\r\nid\r\n:") {
        Some((before, after)) => format!("{before}{}", &after[after.find('\r').unwrap()..]),
        None => reply,
    };
    compare(&mut theirs, &mut ours, SESSION, session);
}

fn error(reply: &Reply) -> &str {
    reply.error().unwrap_or_else(|| panic!("expected an error, got {reply}"))
}

const NOAUTH: &str = "NOAUTH Authentication required.";

#[test]
fn nobody_gets_in_without_a_password() {
    let side = Side::start(2, &users());
    let mut client = side.client();
    for words in [
        &["GET", "k"][..],
        &["SET", "k", "v"],
        &["MGET", "a", "b"],
        &["KEYS", "*"],
        &["SUBSCRIBE", "a"],
        &["MULTI"],
        &["CLIENT", "LIST"],
        &["INFO"],
        &["EVAL", "return 1", "0"],
        &["NOSUCH"],
        &["GET"],
    ] {
        assert_eq!(error(&client.command(words).unwrap()), NOAUTH, "{words:?}");
    }
    // Also as one batch, and as a person types it.
    for _ in 0..100 {
        client.send(&["SET", "k", "v"]).unwrap();
    }
    client.send_raw(b"GET k\r\n").unwrap();
    for _ in 0..101 {
        assert_eq!(error(&client.read().unwrap()), NOAUTH);
    }
    assert!(client.command(&["AUTH", "other"]).unwrap().is_ok());
    assert_eq!(client.command(&["GET", "k"]).unwrap(), Reply::Nil);
    assert_eq!(client.command(&["ACL", "WHOAMI"]).unwrap().text(), "default");
}

#[test]
fn who_has_not_logged_in_may_say_little() {
    let side = Side::start(1, &users());
    let server = server();
    let eleven = format!("*11\r\n{}", "$1\r\na\r\n".repeat(11));
    let cases = [
        eleven.as_str(),
        "*1000000\r\n",
        "*2\r\n$4\r\nAUTH\r\n$16385\r\n",
        "*2\r\n$4\r\nAUTH\r\n$536870912\r\n",
        "*1\r\n$16385\r\n",
    ];
    for bad in cases {
        for address in [server.address(), side.address()] {
            let mut client = Client::connect(address).unwrap();
            client.send_raw(bad.as_bytes()).unwrap();
            let end = String::from_utf8(client.read_to_end().unwrap()).unwrap();
            assert!(end.starts_with("-ERR Protocol error: ") && end.lines().count() == 1, "{bad}: {end}");
        }
    }
    // What is enough to log in is taken, and after it anything, in the same breath.
    let long = "x".repeat(100_000);
    let mut client = side.client();
    client.send(&["HELLO", "2", "AUTH", "alice", &"y".repeat(16 << 10)]).unwrap();
    client.send(&["HELLO", "2", "AUTH", "default", "pw", "SETNAME", "me"]).unwrap();
    client.send(&["SET", "cache:1", &long]).unwrap();
    client.send(&["DEL", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11"]).unwrap();
    client.send(&["RESET"]).unwrap();
    client.send(&["ECHO", &long]).unwrap();
    assert!(client.read().unwrap().error().unwrap().starts_with("WRONGPASS"));
    assert_eq!(client.read().unwrap().elements().len(), 14);
    assert!(client.read().unwrap().is_ok());
    assert_eq!(client.read().unwrap(), Reply::Integer(0));
    let _reset = client.read().unwrap();
    assert!(client.read().unwrap().error().unwrap().starts_with("ERR Protocol error"));
}

#[test]
fn a_batch_is_checked_request_by_request_and_anew_after_a_login() {
    let side = Side::start(2, &users());
    let mut client = side.client();
    let batch: &[&[&str]] = &[
        &["GET", "cache:1"],
        &["AUTH", "alice", "x"],
        &["APPEND", "cache:1", "a"],
        &["GET", "other"],
        &["GET", "cache:1"],
        &["SET", "cache:1", "b"],
        &["MGET", "cache:1", "cache:2", "cache:3"],
        &["AUTH", "default", "pw"],
        &["SET", "other", "c"],
        &["GET", "other"],
        &["AUTH", "bob", "x"],
        &["GET", "other"],
    ];
    for words in batch {
        client.send(words).unwrap();
    }
    let replies: Vec<_> = batch.iter().map(|_| client.read().unwrap().to_string()).collect();
    let denied = |what: &str| format!("(error) NOPERM this user has no permissions to {what}");
    assert_eq!(
        replies,
        [
            format!("(error) {NOAUTH}"),
            "OK".to_owned(),
            "1".to_owned(),
            denied("access one of the keys used as arguments"),
            "a".to_owned(),
            denied("run the 'set' command"),
            "[a, (nil), (nil)]".to_owned(),
            "OK".to_owned(),
            "OK".to_owned(),
            "c".to_owned(),
            "OK".to_owned(),
            denied("run the 'get' command"),
        ]
    );
}

#[test]
fn wrong_passwords_cost_more_and_more_time_and_only_of_who_sends_them() {
    let mut side = Side::start(1, &users());
    let address = side.address();
    let guess = std::thread::spawn(move || {
        let mut client = Client::connect(address).unwrap();
        let times = ["a", "b", "c"].map(|password| {
            let begun = Instant::now();
            let reply = client.command(&["AUTH", "alice", password]).unwrap();
            assert_eq!(error(&reply), "WRONGPASS invalid username-password pair or user is disabled.");
            begun.elapsed()
        });
        assert!(client.command(&["AUTH", "alice", "x"]).unwrap().is_ok());
        times
    });
    let mut client = side.client();
    assert!(client.command(&["AUTH", "pw"]).unwrap().is_ok());
    let mut served = 0;
    let mut slowest = Duration::ZERO;
    while !guess.is_finished() {
        let begun = Instant::now();
        client.command(&["GET", "k"]).unwrap();
        slowest = slowest.max(begun.elapsed());
        served += 1;
    }
    let times = guess.join().unwrap();
    for (time, least) in times.iter().zip([100, 200, 400]) {
        assert!(*time >= Duration::from_millis(least), "{times:?}");
    }
    assert!(
        served > 100 && slowest < Duration::from_millis(100),
        "{served} served, the slowest in {slowest:?}"
    );
    let mut denied = side.client();
    assert!(denied.command(&["AUTH", "alice", "x"]).unwrap().is_ok());
    assert!(error(&denied.command(&["FLUSHALL"]).unwrap()).starts_with("NOPERM "));
    let mut counted = || {
        let info = client.command(&["INFO", "stats"]).unwrap().text().to_owned();
        let counts = "\r\nacl_access_denied_auth:3\r\nacl_access_denied_cmd:1\r\n";
        assert!(info.contains(counts), "{info}");
    };
    counted();
    side.proxy.reload(&configuration(&side.servers, &format!("max_clients = 77\n{}", users()))).unwrap();
    counted();
}

#[test]
fn who_fails_to_log_in_and_leaves_keeps_no_place_and_does_not_delay_the_end() {
    let fields = format!("max_clients = 3\ndrain = \"10s\"\n{}", users());
    let side = Side::start(1, &fields);
    for _ in 0..3 {
        let mut client = side.client();
        for _ in 0..200 {
            client.send(&["AUTH", "alice", "y"]).unwrap();
        }
    }
    let begun = Instant::now();
    while !side.client().command(&["AUTH", "alice", "x"]).is_ok_and(|reply| reply.is_ok()) {
        assert!(begun.elapsed() < Duration::from_secs(2), "they keep their places");
        std::thread::sleep(Duration::from_millis(10));
    }
    // The others are answered at once when the ring ends, and only so often.
    let mut client = side.client();
    for _ in 0..20 {
        client.send(&["AUTH", "alice", "y"]).unwrap();
    }
    while !side.client().command(&["AUTH", "alice", "x"]).is_ok_and(|reply| reply.is_ok()) {}
    let begun = Instant::now();
    side.proxy.stop();
    assert!(begun.elapsed() < Duration::from_secs(2), "it took {:?}", begun.elapsed());
    let answers = String::from_utf8(client.read_to_end().unwrap()).unwrap();
    assert!(answers.lines().all(|line| line.starts_with("-WRONGPASS ")), "{answers}");
    assert_eq!(answers.lines().count(), 10);
}

#[test]
fn who_stops_sending_is_told_of_a_wrong_password_no_sooner_than_others() {
    let side = Side::start(1, &users());
    let mut stream = TcpStream::connect(side.address()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.write_all(b"PING\r\nAUTH alice y\r\nPING\r\n").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let (begun, mut told) = (Instant::now(), String::new());
    stream.read_to_string(&mut told).unwrap();
    assert!(begun.elapsed() >= Duration::from_millis(100), "{:?}", begun.elapsed());
    assert!(told.ends_with("-WRONGPASS invalid username-password pair or user is disabled.\r\n"), "{told}");
}

#[test]
fn a_limited_user_runs_scripts_only_where_a_rule_names_them() {
    let scripts =
        "[[ring.user]]\nname = \"scripts\"\npassword = \"x\"\nrules = \"+@all -@dangerous +eval ~k &*\"\n";
    let side = Side::start(1, &(users() + scripts));
    let mut client = side.client();
    client.command(&["AUTH", "alice", "x"]).unwrap();
    let flush = ["EVAL", "return redis.call('FLUSHALL')", "1", "cache:1"];
    let reply = client.command(&flush).unwrap();
    assert!(
        error(&reply).starts_with("NOPERM this user has no permissions to run the 'eval' command"),
        "{reply}"
    );
    client.command(&["AUTH", "scripts", "x"]).unwrap();
    let reply = client.command(&["EVAL", "return KEYS[1]", "1", "k"]).unwrap();
    assert_eq!(reply.text(), "k");
    let reply = client.command(&["EVAL", "return KEYS[1]", "1", "other"]).unwrap();
    assert!(error(&reply).contains("one of the keys"), "{reply}");
}

#[test]
fn a_default_user_without_a_password_is_who_everybody_is() {
    let fields = "[[ring.user]]\nname = \"default\"\nrules = \"nopass +@read +@connection ~pub:*\"\n";
    let side = Side::start(1, fields);
    let mut client = side.client();
    assert_eq!(client.command(&["GET", "pub:1"]).unwrap(), Reply::Nil);
    assert!(error(&client.command(&["SET", "pub:1", "x"]).unwrap()).contains("'set' command"));
    assert!(error(&client.command(&["GET", "other"]).unwrap()).contains("one of the keys"));
    assert!(client.command(&["HELLO", "3"]).unwrap().error().is_none());
}

#[test]
fn a_reload_brings_users_and_takes_them_away() {
    let mut side = Side::start(1, &users());
    let mut alice = logged_in(&side, "alice", "x");
    let mut listens = logged_in(&side, "alice", "x");
    listens.command(&["SUBSCRIBE", "chan1"]).unwrap();
    let fields = "[[ring.user]]\nname = \"carol\"\npassword = \"x\"\n";
    side.proxy.reload(&configuration(&side.servers, fields)).unwrap();
    let mut client = side.client();
    assert!(error(&client.command(&["AUTH", "alice", "x"]).unwrap()).starts_with("WRONGPASS"));
    assert!(client.command(&["AUTH", "carol", "x"]).unwrap().is_ok());
    // Who has logged in and is no more is told so, once, and has to go.
    for _ in 0..3 {
        alice.send(&["GET", "cache:1"]).unwrap();
    }
    has_to_go(&mut alice);
    // Who only listens hears nothing more.
    assert_eq!(client.command(&["PUBLISH", "chan1", "secret"]).unwrap(), Reply::Integer(1));
    assert_eq!(listens.read_to_end().unwrap(), b"");
}

#[test]
fn a_reload_changes_what_those_may_do_who_have_logged_in() {
    let user = |name: &str, passwords: &str, rules: &str| {
        format!("[[ring.user]]\nname = \"{name}\"\npassword = [{passwords}]\nrules = \"{rules}\"\n")
    };
    let nobody = |rules: &str| format!("[[ring.user]]\nname = \"default\"\nrules = \"{rules}\"\n");
    let all = "+@all ~* &*";
    let before = user("old", "\"x\", \"y\"", all) + &user("same", "\"x\"", all) + &nobody("nopass +@all ~*");
    let mut side = Side::start(1, &before);
    let mut one = [logged_in(&side, "old", "x"), logged_in(&side, "old", "y"), logged_in(&side, "same", "x")];
    let [first, second, same] = &mut one;
    let mut listens = logged_in(&side, "old", "y");
    listens.command(&["SUBSCRIBE", "a", "b"]).unwrap();
    let _second = listens.read().unwrap();
    let mut open = side.client();
    assert!(open.command(&["SET", "k", "v"]).unwrap().is_ok());
    // Queued while it was allowed.
    assert!(second.command(&["MULTI"]).unwrap().is_ok());
    second.command(&["SET", "k", "queued"]).unwrap();
    let after = user("old", "\"y\"", "+get +exec +publish +subscribe ~k &a")
        + &user("same", "\"x\"", all)
        + &nobody("nopass +@read ~k");
    side.proxy.reload(&configuration(&side.servers, &after)).unwrap();
    has_to_go(first);
    let aborted = error(&second.command(&["EXEC"]).unwrap()).to_owned();
    assert!(
        aborted.starts_with("EXECABORT") && aborted.ends_with("the rules of the user were changed"),
        "{aborted}"
    );
    assert_eq!(second.command(&["GET", "k"]).unwrap(), Reply::bulk("v"));
    assert!(error(&second.command(&["SET", "k", "v"]).unwrap()).contains("'set' command"));
    assert!(same.command(&["SET", "k", "w"]).unwrap().is_ok());
    assert_eq!(open.command(&["GET", "k"]).unwrap(), Reply::bulk("w"));
    assert!(error(&open.command(&["SET", "k", "v"]).unwrap()).contains("'set' command"));
    // It listens to what it may not hear any more.
    assert_eq!(same.command(&["PUBLISH", "b", "secret"]).unwrap(), Reply::Integer(1));
    assert_eq!(listens.read_to_end().unwrap(), b"");
    // Without an open user, who has not logged in is nobody.
    side.proxy.reload(&configuration(&side.servers, &user("same", "\"x\"", all))).unwrap();
    assert_eq!(error(&open.command(&["GET", "k"]).unwrap()), NOAUTH);
    assert!(open.command(&["AUTH", "same", "x"]).unwrap().is_ok());
    // A user who may not be used any more.
    side.proxy.reload(&configuration(&side.servers, &user("same", "\"x\"", "off"))).unwrap();
    has_to_go(same);
    has_to_go(&mut open);
}

fn logged_in(side: &Side, name: &str, password: &str) -> Client {
    let mut client = side.client();
    assert!(client.command(&["AUTH", name, password]).unwrap().is_ok());
    client
}

/// It is told why, and that is the end.
fn has_to_go(client: &mut Client) {
    let _ = client.send(&["GET", "k"]);
    let end = String::from_utf8(client.read_to_end().unwrap()).unwrap();
    assert!(end.starts_with("-NOAUTH ") && end.lines().count() == 1, "{end}");
}

#[test]
fn passwords_are_in_no_text_that_people_see() {
    let side = Side::start(1, "");
    let config = configuration(&side.servers, &users().replace("\"pw\"", "\"hunter2\""));
    assert!(!format!("{config:?}").contains("hunter2"));
}
