//! `MULTI`, `EXEC` and `WATCH`.

use rendis_proxy::serve::Proxy;
use rendis_testkit::{Client, Cluster, RedisServer, Reply};

use crate::ring::{client, config, ring, until};
use crate::side::{Raw, Side, compare};
use crate::{Stage, alive, ask};

#[test]
fn a_transaction_runs_on_the_shard_of_its_first_key() {
    let stage = Stage::start();
    let keys = stage.keys("k");
    let mut client = stage.client();
    for key in &keys {
        assert!(ask(&mut client, &["MULTI"]).is_ok());
        for line in [vec!["SET", key, "1"], vec!["INCR", key], vec!["LPUSH", key, "x"], vec!["PING"]] {
            assert_eq!(ask(&mut client, &line), Reply::simple("QUEUED"));
        }
        let reply = ask(&mut client, &["EXEC"]);
        let [set, increased, wrong, ping] = reply.elements() else { panic!("{reply}") };
        assert!(set.is_ok() && *increased == Reply::Integer(2) && *ping == Reply::simple("PONG"), "{reply}");
        assert!(wrong.error().unwrap().starts_with("WRONGTYPE"));
    }
    // A key elsewhere is refused when it comes, and nothing runs.
    assert!(ask(&mut client, &["MULTI"]).is_ok());
    assert_eq!(ask(&mut client, &["SET", &keys[0], "9"]), Reply::simple("QUEUED"));
    let refused = ask(&mut client, &["SET", &keys[1], "9"]);
    assert!(refused.error().unwrap().starts_with("CROSSSLOT "), "{refused}");
    let abort = "EXECABORT Transaction discarded because of previous errors.";
    let because = |refused: &Reply| format!("{abort} The first: {}", refused.error().unwrap());
    assert_eq!(ask(&mut client, &["EXEC"]).error(), Some(&*because(&refused)));
    assert_eq!(ask(&mut client, &["GET", &keys[0]]), Reply::bulk("2"));
    // What a server refuses too, and what only a ring does.
    for broken in [vec!["NOSUCH"], vec!["GET"], vec!["SYNC"]] {
        assert!(ask(&mut client, &["MULTI"]).is_ok());
        assert!(ask(&mut client, &broken).error().is_some(), "{broken:?}");
        assert_eq!(ask(&mut client, &["EXEC"]).error(), Some(abort), "{broken:?}");
    }
    for broken in
        [vec!["DBSIZE"], vec!["SUBSCRIBE", "x"], vec!["SWAPDB", "0", "1"], vec!["MGET", &keys[0], &keys[1]]]
    {
        assert!(ask(&mut client, &["MULTI"]).is_ok());
        let refused = ask(&mut client, &broken);
        // One more does not change which was the first.
        assert!(ask(&mut client, &["KEYS", "*"]).error().is_some());
        assert_eq!(ask(&mut client, &["EXEC"]).error(), Some(&*because(&refused)), "{broken:?}");
    }
    assert!(ask(&mut client, &["MULTI"]).is_ok());
    assert_eq!(ask(&mut client, &["SET", &keys[0], "9"]), Reply::simple("QUEUED"));
    assert!(ask(&mut client, &["DISCARD"]).is_ok());
    assert_eq!(ask(&mut client, &["GET", &keys[0]]), Reply::bulk("2"));
    assert_eq!(ask(&mut client, &["EXEC"]).error(), Some("ERR EXEC without MULTI"));
    assert_eq!(ask(&mut client, &["DISCARD"]).error(), Some("ERR DISCARD without MULTI"));
    assert!(ask(&mut client, &["MULTI"]).is_ok());
    assert_eq!(ask(&mut client, &["EXEC"]), Reply::array([]));
}

#[test]
fn a_transaction_that_is_too_long_is_told_how_long_it_may_be() {
    let stage = Stage::start();
    let mut client = stage.client();
    ask(&mut client, &["MULTI"]);
    client.send_raw(&b"*1\r\n$4\r\nPING\r\n".repeat(65_536)).unwrap();
    (0..65_536).for_each(|_| assert_eq!(client.read().unwrap(), Reply::simple("QUEUED")));
    let limit = "ERR the transaction is too long: it may have 65536 commands, and 64 MiB";
    assert_eq!(ask(&mut client, &["PING"]).error(), Some(limit));
    let abort = "EXECABORT Transaction discarded because of previous errors. The first: ";
    assert_eq!(ask(&mut client, &["EXEC"]).error(), Some(&*format!("{abort}{limit}")));
}

#[test]
fn a_nested_multi_and_a_late_watch_are_refused_and_the_rest_runs() {
    let stage = Stage::start();
    let mut client = stage.client();
    ask(&mut client, &["MULTI"]);
    assert_eq!(ask(&mut client, &["MULTI"]).error(), Some("ERR MULTI calls can not be nested"));
    assert_eq!(ask(&mut client, &["WATCH", "key"]).error(), Some("ERR WATCH inside MULTI is not allowed"));
    assert_eq!(ask(&mut client, &["INCR", "key"]), Reply::simple("QUEUED"));
    assert_eq!(ask(&mut client, &["EXEC"]), Reply::array([Reply::Integer(1)]));
    // But not where one is written wrongly.
    ask(&mut client, &["MULTI"]);
    assert!(ask(&mut client, &["WATCH"]).error().is_some());
    assert!(ask(&mut client, &["EXEC"]).error().unwrap().starts_with("EXECABORT"));
}

/// What is refused before it runs, and what is left of the transaction afterwards.
const REFUSED: &str = "
    MULTI
    SET a 1
    DISCARD x
    EXEC
    MULTI
    SET a 1
    EXEC x
    GET a
    EXEC
    WATCH a
    SET a 2
    EXEC x
    MULTI
    INCR a
    EXEC
    MULTI
    INCR a
    RESET x
    EXEC
    WATCH a
    SUBSCRIBE channel
    EXEC
    DISCARD
    RESET
    GET a
";

#[test]
fn what_ends_a_transaction_spoils_or_ends_it_when_it_is_refused_too() {
    let side = Side::start(1, "");
    let server = RedisServer::start();
    compare(&mut Raw::connect(server.address()), &mut side.raw(), REFUSED, |reply| reply);
}

#[test]
fn a_script_without_keys_has_its_place_in_any_transaction() {
    let stage = Stage::start();
    let mut client = stage.client();
    for key in stage.keys("k") {
        ask(&mut client, &["MULTI"]);
        ask(&mut client, &["SET", &key, "v"]);
        for script in ["return 1", "return 2", "return 3"] {
            assert_eq!(ask(&mut client, &["EVAL", script, "0"]), Reply::simple("QUEUED"));
        }
        assert_eq!(ask(&mut client, &["EXEC"]).to_string(), "[OK, 1, 2, 3]");
    }
}

#[test]
fn a_watch_that_was_broken_makes_exec_null() {
    let stage = Stage::start();
    let keys = stage.keys("k");
    for mut client in [stage.client(), stage.resp3()] {
        let mut other = stage.client();
        let key = &keys[1];
        for (change, expected) in [(true, Reply::Nil), (false, Reply::array([Reply::simple("OK")]))] {
            ask(&mut other, &["SET", key, "before"]);
            assert!(ask(&mut client, &["WATCH", key]).is_ok());
            assert_eq!(ask(&mut client, &["GET", key]), Reply::bulk("before"));
            if change {
                ask(&mut other, &["SET", key, "changed"]);
            }
            assert!(ask(&mut client, &["MULTI"]).is_ok());
            assert_eq!(ask(&mut client, &["SET", key, "mine"]), Reply::simple("QUEUED"));
            assert_eq!(ask(&mut client, &["EXEC"]), expected);
            let now = if change { "changed" } else { "mine" };
            assert_eq!(ask(&mut client, &["GET", key]), Reply::bulk(now));
        }
        // UNWATCH and DISCARD forget it.
        for forget in [vec!["UNWATCH"], vec!["MULTI", "DISCARD"]] {
            ask(&mut client, &["WATCH", key]);
            ask(&mut other, &["SET", key, "changed"]);
            forget.iter().for_each(|word| assert!(ask(&mut client, &[word]).is_ok()));
            ask(&mut client, &["MULTI"]);
            ask(&mut client, &["SET", key, "mine"]);
            assert_eq!(ask(&mut client, &["EXEC"]), Reply::array([Reply::simple("OK")]));
        }
        // All that is watched, and what is queued then, is on one shard.
        ask(&mut client, &["WATCH", key]);
        assert!(ask(&mut client, &["WATCH", &keys[0]]).error().unwrap().starts_with("CROSSSLOT"));
        ask(&mut client, &["MULTI"]);
        assert!(ask(&mut client, &["SET", &keys[0], "v"]).error().unwrap().starts_with("CROSSSLOT"));
        assert!(ask(&mut client, &["EXEC"]).error().unwrap().starts_with("EXECABORT"));
        alive(&mut client);
    }
}

#[test]
fn a_watch_whose_connection_the_shard_closed_makes_exec_null() {
    let stage = Stage::start();
    let key = &stage.keys("k")[1];
    for (mut client, cut) in [(stage.client(), true), (stage.resp3(), true), (stage.client(), false)] {
        assert!(ask(&mut client, &["WATCH", key]).is_ok());
        if cut {
            stage.shards[1].command(&["CLIENT", "KILL", "TYPE", "normal"]);
        } else {
            stage.shards[1].restart();
        }
        until("the shard answers", || ask(&mut client, &["SET", key, "changed"]).is_ok());
        ask(&mut client, &["MULTI"]);
        assert_eq!(ask(&mut client, &["SET", key, "never"]), Reply::simple("QUEUED"));
        assert_eq!(ask(&mut client, &["EXEC"]), Reply::Nil);
        assert_eq!(ask(&mut client, &["GET", key]), Reply::bulk("changed"));
        // As the program would go on.
        assert!(ask(&mut client, &["WATCH", key]).is_ok());
        ask(&mut client, &["MULTI"]);
        ask(&mut client, &["SET", key, "mine"]);
        assert_eq!(ask(&mut client, &["EXEC"]), Reply::array([Reply::simple("OK")]));
    }
}

/// The protocol changes while keys are watched.
const SPOKEN: &str = "
    HSET h f v
    ZADD z 1.5 m
    HELLO 3
    WATCH h z
    HELLO 2
    MULTI
    HGETALL h
    ZSCORE z m
    EXEC
    WATCH h z
    HELLO 3
    MULTI
    HGETALL h
    ZSCORE z m
    EXEC
    WATCH h
    HELLO 2
    WATCH z
    HSET h f other
    MULTI
    HGETALL h
    EXEC
    WATCH h
    HELLO 3
    UNWATCH
    WATCH h
    HELLO 2
    HSET h f third
    HELLO 3
    MULTI
    HGETALL h
    EXEC
    MULTI
    HGETALL h
    EXEC
";

#[test]
fn exec_is_answered_in_the_protocol_that_the_client_speaks_then() {
    let side = Side::start(1, "");
    let server = RedisServer::start();
    let greeting = |reply: String| if reply.contains("proto") { String::new() } else { reply };
    for _ in 0..3 {
        server.command(&["FLUSHALL"]);
        side.client().command(&["FLUSHALL"]).unwrap();
        compare(&mut Raw::connect(server.address()), &mut side.raw(), SPOKEN, greeting);
    }
}

#[test]
fn who_leaves_in_a_transaction_leaves_nothing_behind() {
    let stage = Stage::start();
    let keys = stage.keys("k");
    let before = stage.connections();
    let mut leaving = Vec::new();
    for at in 0..20 {
        let mut client = stage.client();
        let key = &keys[at % 3];
        if at % 2 == 0 {
            ask(&mut client, &["WATCH", key]);
        }
        ask(&mut client, &["MULTI"]);
        ask(&mut client, &["SET", key, "never"]);
        leaving.push(client);
    }
    drop(leaving);
    until("watching connections end", || {
        stage.connections().iter().zip(&before).all(|(now, before)| now <= &(before + 2))
    });
    let mut client = stage.client();
    for key in &keys {
        assert_eq!(ask(&mut client, &["GET", key]), Reply::Nil);
    }
}

#[test]
fn a_watch_holds_across_a_reload_that_leaves_its_shard_where_it_is() {
    const FIELDS: &str = "deadlines = { connect = \"5s\", reply = \"5s\", write = \"5s\", wait = \"5s\" }";
    let mut stage = Stage::start();
    let keys = stage.keys("k");
    let (key, urls) = (&keys[1], stage.shards.urls());
    for fields in [
        format!("{FIELDS}\nmax_clients = 77"),
        format!("{FIELDS}\nqueue = {{ requests = 5000 }}"),
        FIELDS.replace("5s", "6s"),
    ] {
        for broken in [false, true] {
            let (mut client, mut other) = (stage.client(), stage.client());
            ask(&mut client, &["SET", key, "before"]);
            assert!(ask(&mut client, &["WATCH", key]).is_ok());
            if broken {
                ask(&mut other, &["SET", key, "changed"]);
            }
            stage.proxy.reload(&config(&ring("cache", &fields, &urls))).unwrap();
            assert!(ask(&mut client, &["WATCH", key]).is_ok(), "{fields}");
            ask(&mut client, &["MULTI"]);
            assert_eq!(ask(&mut client, &["SET", key, "mine"]), Reply::simple("QUEUED"), "{fields}");
            let expected = if broken { Reply::Nil } else { Reply::array([Reply::simple("OK")]) };
            assert_eq!(ask(&mut client, &["EXEC"]), expected, "{fields}");
            stage.proxy.reload(&config(&ring("cache", FIELDS, &urls))).unwrap();
        }
    }
    // The same name for another server is another shard.
    let mut client = stage.client();
    assert!(ask(&mut client, &["WATCH", key]).is_ok());
    let mut turned = urls;
    turned.rotate_left(1);
    stage.proxy.reload(&config(&ring("cache", FIELDS, &turned))).unwrap();
    ask(&mut client, &["MULTI"]);
    ask(&mut client, &["SET", key, "never"]);
    assert_eq!(ask(&mut client, &["EXEC"]), Reply::Nil);
    assert_ne!(ask(&mut client, &["GET", key]), Reply::bulk("never"));
}

#[test]
fn after_a_watch_that_failed_the_next_exec_runs_nothing() {
    let stage = Stage::with(
        "deadlines = { reply = \"150ms\" }\nheartbeat_frequency = \"30s\"\nretries = { attempts = 1 }",
    );
    let keys = stage.keys("k");
    let (mut client, mut other) = (stage.client(), stage.client());
    let key = &keys[1];
    let aborts = |client: &mut rendis_testkit::Client, because: &str| {
        ask(client, &["MULTI"]);
        assert_eq!(ask(client, &["SET", key, "mine"]), Reply::simple("QUEUED"));
        let reply = ask(client, &["EXEC"]);
        let error = reply.error().unwrap_or_else(|| panic!("{reply}"));
        assert!(error.starts_with("EXECABORT ") && error.contains(because), "{error}");
        assert!(error.ends_with("; not executed") && !error.contains("may have"), "{error}");
    };
    let runs = |client: &mut rendis_testkit::Client| {
        ask(client, &["MULTI"]);
        assert_eq!(ask(client, &["SET", key, "mine"]), Reply::simple("QUEUED"));
        assert_eq!(ask(client, &["EXEC"]), Reply::array([Reply::simple("OK")]));
    };
    for watched_before in [true, false] {
        ask(&mut other, &["SET", key, "before"]);
        if watched_before {
            assert!(ask(&mut client, &["WATCH", key]).is_ok());
        }
        stage.shards[1].stop();
        let reply = ask(&mut client, &["WATCH", key]);
        stage.shards[1].cont();
        assert!(reply.error().unwrap().starts_with("TIMEOUT"), "{reply}");
        until("the shard answers", || ask(&mut other, &["SET", key, "changed"]).is_ok());
        // One that goes well afterwards does not bring back what was lost.
        if watched_before {
            assert!(ask(&mut client, &["WATCH", key]).is_ok());
        }
        aborts(&mut client, "TIMEOUT");
        assert_eq!(ask(&mut client, &["GET", key]), Reply::bulk("changed"));
        runs(&mut client);
    }
    // Nor does one that names keys on two shards.
    assert!(ask(&mut client, &["WATCH", &keys[0], &keys[1]]).error().unwrap().starts_with("CROSSSLOT"));
    aborts(&mut client, "CROSSSLOT");
    runs(&mut client);
    // A key on another shard cannot be watched too, and who does not look goes on.
    for forget in [vec![], vec!["UNWATCH"], vec!["MULTI", "DISCARD"], vec!["RESET"]] {
        assert!(ask(&mut client, &["WATCH", key]).is_ok());
        for failing in [vec!["WATCH", &keys[0]], vec!["WATCH", &keys[0], &keys[2]]] {
            assert!(ask(&mut client, &failing).error().unwrap().starts_with("CROSSSLOT"));
        }
        for word in &forget {
            assert!(ask(&mut client, &[word]).error().is_none());
        }
        if forget.is_empty() {
            aborts(&mut client, "CROSSSLOT");
        }
        runs(&mut client);
    }
}

#[test]
fn a_watch_that_was_refused_and_heard_of_is_forgotten_at_the_next_that_succeeds() {
    let stage = Stage::start();
    let keys = stage.keys("k");
    let (across, key) = ([&keys[0], &keys[1]], &keys[1]);
    let mut client = stage.client();
    // As the next user of a pooled connection meets it.
    assert!(ask(&mut client, &["WATCH", across[0], across[1]]).error().unwrap().starts_with("CROSSSLOT"));
    assert!(ask(&mut client, &["WATCH", key]).is_ok());
    ask(&mut client, &["MULTI"]);
    ask(&mut client, &["SET", key, "mine"]);
    assert_eq!(ask(&mut client, &["EXEC"]), Reply::array([Reply::simple("OK")]));
    // Not by who sends all of it in one go, and cannot know.
    let all =
        format!("WATCH {} {}\r\nWATCH {key}\r\nMULTI\r\nSET {key} never\r\nEXEC\r\n", across[0], across[1]);
    client.send_raw(all.as_bytes()).unwrap();
    let replies: Vec<Reply> = (0..5).map(|_| client.read().unwrap()).collect();
    assert!(replies[1].is_ok() && replies[4].error().unwrap().starts_with("EXECABORT"), "{replies:?}");
    // Wherever what is read at a time ends.
    for length in [512, 1024, 2048, 4096] {
        ask(&mut client, &["UNWATCH"]);
        let first = format!("WATCH {} {} ", across[0], across[1]);
        let padding = "p".repeat(length - first.len() - 2);
        client.send_raw(all.replacen(first.trim_end(), &(first.clone() + &padding), 1).as_bytes()).unwrap();
        let replies: Vec<Reply> = (0..5).map(|_| client.read().unwrap()).collect();
        assert!(replies[4].error().unwrap().starts_with("EXECABORT"), "{length}: {replies:?}");
    }
    assert_eq!(ask(&mut client, &["GET", key]).text(), "mine");
}

#[test]
fn keys_of_a_transaction_whose_multi_was_refused_are_not_watched_for_the_next_client() {
    let server = RedisServer::start();
    let url = format!("redis://single:secret@{}", server.address());
    // The commands run by themselves, or are refused too.
    for refused in [&["-multi"][..], &["-multi", "-set"]] {
        server.command(&["ACL", "SETUSER", "single", "on", ">secret", "~*", "+@all"]);
        server.command(&[&["ACL", "SETUSER", "single"][..], refused].concat());
        let text = format!("threads = 1\n{}", ring("cache", "", std::slice::from_ref(&url)));
        let proxy = Proxy::start(&config(&text)).unwrap();
        let transaction = |key: &str| {
            let mut client = client(&proxy, "cache");
            assert!(ask(&mut client, &["WATCH", key]).is_ok());
            ask(&mut client, &["MULTI"]);
            assert_eq!(ask(&mut client, &["SET", "k", "mine"]), Reply::simple("QUEUED"));
            ask(&mut client, &["EXEC"])
        };
        let none = transaction("k");
        assert!(none.error().is_some(), "{none}");
        server.command(&["ACL", "SETUSER", "single", "+@all"]);
        server.command(&["SET", "k", "changed"]);
        assert_eq!(transaction("other"), Reply::array([Reply::simple("OK")]), "{refused:?}");
    }
}

/// The shards of a ring, before and after a reload; and keys that it moves together to another shard.
struct Moving {
    servers: Cluster,
    proxy: Proxy,
    keys: [String; 2],
}

impl Moving {
    fn start() -> Self {
        let servers = Cluster::start(3);
        let proxy = Proxy::start(&config(&ring("cache", "", &servers.urls()[..2]))).unwrap();
        let mut moving = Self { servers, proxy, keys: Default::default() };
        let name = |at: usize, part: &str| format!("{{{at}}}{part}");
        let mut asking = client(&moving.proxy, "cache");
        for at in 0..20 {
            assert!(ask(&mut asking, &["SET", &name(at, "a"), "old"]).is_ok());
        }
        moving.reload(3);
        let moved = (0..20).find(|at| ask(&mut asking, &["GET", &name(*at, "a")]) == Reply::Nil).unwrap();
        moving.reload(2);
        moving.keys = ["a", "b"].map(|part| name(moved, part));
        moving
    }

    fn reload(&mut self, count: usize) {
        self.proxy.reload(&config(&ring("cache", "", &self.servers.urls()[..count]))).unwrap();
    }
}

#[test]
fn a_transaction_whose_keys_get_another_shard_runs_there() {
    let mut moving = Moving::start();
    let [a, b] = moving.keys.clone();
    let mut client = client(&moving.proxy, "cache");
    let queued = Reply::simple("QUEUED");
    assert!(ask(&mut client, &["MULTI"]).is_ok());
    assert_eq!(ask(&mut client, &["SET", &a, "1"]), queued);
    moving.reload(3);
    for _ in 0..2 {
        assert_eq!(ask(&mut client, &["SET", &b, "2"]), queued);
    }
    // What belongs elsewhere is still refused.
    let mut other = crate::ring::client(&moving.proxy, "cache");
    let away = |key: &str, client: &mut Client| {
        assert!(ask(client, &["MULTI"]).is_ok());
        assert_eq!(ask(client, &["SET", &a, "x"]), queued);
        let refused = ask(client, &["SET", key, "x"]).error().is_some();
        assert!(ask(client, &["DISCARD"]).is_ok());
        refused
    };
    assert!((0..20).any(|at| away(&format!("away{at}"), &mut other)));
    assert_eq!(ask(&mut client, &["EXEC"]).elements().len(), 3);
    assert_eq!(moving.servers[2].command(&["MGET", &a, &b]).elements(), [Reply::bulk("1"), Reply::bulk("2")]);
}

#[test]
fn watched_keys_that_get_another_shard_make_exec_null() {
    let mut moving = Moving::start();
    let [a, b] = moving.keys.clone();
    for (protocol, null, late) in [("2", "*-1\r\n", false), ("3", "_\r\n", true)] {
        moving.reload(2);
        let mut raw = Raw::connect(crate::ring::address(&moving.proxy, "cache"));
        raw.ask(&["HELLO", protocol]);
        assert_eq!(raw.ask(&["WATCH", &a]), "+OK\r\n");
        if late {
            moving.reload(3);
        }
        assert_eq!(raw.ask(&["MULTI"]), "+OK\r\n");
        assert_eq!(raw.ask(&["SET", &a, "1"]), "+QUEUED\r\n");
        assert_eq!(raw.ask(&["GET", &b]), "+QUEUED\r\n");
        if !late {
            moving.reload(3);
        }
        assert_eq!(raw.ask(&["EXEC"]), null);
        // Nothing ran, and nothing is watched any more.
        assert!(moving.servers.iter().all(|server| server.command(&["GET", &a]) != Reply::bulk("1")));
        raw.ask(&["MULTI"]);
        raw.ask(&["SET", &b, "1"]);
        assert_eq!(raw.ask(&["EXEC"]), "*1\r\n+OK\r\n");
    }
}
