//! Scripts and functions.

use std::collections::BTreeSet;

use rendis_proxy::serve::Proxy;
use rendis_testkit::{Client, Cluster, RedisServer, Reply};

use crate::ring::{client, config, ring, until};
use crate::{Stage, ask};

#[test]
fn scripts_are_known_on_every_shard() {
    let stage = Stage::start();
    let keys = stage.keys("k");
    let mut client = stage.client();
    let body = "return {KEYS[1], ARGV[1]}";
    let sha = ask(&mut client, &["SCRIPT", "LOAD", body]).text().to_owned();
    for shard in &stage.shards {
        assert_eq!(shard.command(&["SCRIPT", "EXISTS", &sha]).elements()[0].integer(), 1);
    }
    for key in &keys {
        let expected = Reply::array([Reply::bulk(key), Reply::bulk("x")]);
        assert_eq!(ask(&mut client, &["EVALSHA", &sha, "1", key, "x"]), expected);
    }
    let none = "f".repeat(40);
    let exists = ask(&mut client, &["SCRIPT", "EXISTS", &sha, &none, &sha]);
    assert_eq!(exists, Reply::array([1, 0, 1].map(Reply::Integer)));
    assert!(ask(&mut client, &["SCRIPT", "FLUSH"]).is_ok());
    for shard in &stage.shards {
        assert_eq!(shard.command(&["SCRIPT", "EXISTS", &sha]).elements()[0].integer(), 0);
    }
    let error = ask(&mut client, &["EVALSHA", &sha, "1", &keys[0], "x"]);
    assert!(error.error().unwrap().starts_with("NOSCRIPT"), "{error}");
}

#[test]
fn a_shard_that_has_forgotten_a_script_is_told() {
    let stage = Stage::start();
    let keys = stage.keys("k");
    let mut client = stage.client();
    let sha = ask(&mut client, &["SCRIPT", "LOAD", "return KEYS[1]"]).text().to_owned();
    stage.shards[1].command(&["SCRIPT", "FLUSH"]);
    assert_eq!(ask(&mut client, &["SCRIPT", "EXISTS", &sha]), Reply::array([Reply::Integer(0)]));
    assert_eq!(ask(&mut client, &["EVALSHA", &sha, "1", &keys[1]]), Reply::bulk(&keys[1]));
    // One that was only ever run in another place is known as well.
    assert_eq!(ask(&mut client, &["EVAL", "return {KEYS[1]}", "1", &keys[0]]).elements().len(), 1);
    let sha = "8e5266f6a4373624739bd44187744618bc810de3";
    assert_eq!(ask(&mut client, &["EVALSHA", sha, "1", &keys[2]]).elements().len(), 1);
}

#[test]
fn a_shard_that_has_forgotten_a_script_is_told_in_a_pipeline() {
    let stage = Stage::start();
    let keys = stage.keys("k");
    let mut client = stage.client();
    let sha = ask(&mut client, &["SCRIPT", "LOAD", "return KEYS[1]"]).text().to_owned();
    stage.shards[1].command(&["SCRIPT", "FLUSH"]);
    let line =
        format!("*4\r\n$7\r\nEVALSHA\r\n$40\r\n{sha}\r\n$1\r\n1\r\n${}\r\n{}\r\n", keys[1].len(), keys[1]);
    client.send_raw(line.repeat(2).as_bytes()).unwrap();
    (0..2).for_each(|_| assert_eq!(client.read().unwrap(), Reply::bulk(&keys[1])));
}

#[test]
fn a_transaction_brings_its_scripts_along() {
    let stage = Stage::start();
    let keys = stage.keys("k");
    let mut client = stage.client();
    let body = "return redis.call('INCRBY', KEYS[1], ARGV[1])";
    assert_eq!(ask(&mut client, &["EVAL", body, "1", &keys[0], "1"]).integer(), 1);
    let sha = stage.shards[0].command(&["SCRIPT", "LOAD", body]).text().to_uppercase();
    let queued = |client: &mut Client, line: &[&str]| assert_eq!(ask(client, line), Reply::simple("QUEUED"));
    for watched in [false, true] {
        let key = &*keys[if watched { 1 } else { 2 }];
        if watched {
            assert!(ask(&mut client, &["WATCH", key]).is_ok());
        }
        assert!(ask(&mut client, &["MULTI"]).is_ok());
        queued(&mut client, &["SET", key, "1"]);
        queued(&mut client, &["EVALSHA", &sha, "1", key, "2"]);
        queued(&mut client, &["EVALSHA", &sha, "1", key, "3"]);
        queued(&mut client, &["EVALSHA", &"f".repeat(40), "1", key]);
        // One that is met in a transaction is known after it.
        queued(&mut client, &["EVAL", &format!("return {watched}"), "1", key]);
        let reply = ask(&mut client, &["EXEC"]);
        let [set, two, three, unknown, _] = reply.elements() else { panic!("{reply}") };
        assert!(set.is_ok() && *two == Reply::Integer(3) && *three == Reply::Integer(6), "{reply}");
        assert!(unknown.error().is_some_and(|text| text.starts_with("NOSCRIPT")), "{reply}");
        assert_eq!(ask(&mut client, &["GET", key]), Reply::bulk("6"));
        let sha =
            stage.shards[0].command(&["SCRIPT", "LOAD", &format!("return {watched}")]).text().to_owned();
        stage.shards[0].command(&["SCRIPT", "FLUSH"]);
        let reply = ask(&mut client, &["EVALSHA", &sha, "1", &keys[0]]);
        assert!(reply.error().is_none(), "{reply}");
    }
    // Where nothing is to run, what is watched decides as ever.
    assert!(ask(&mut client, &["WATCH", &keys[1]]).is_ok());
    stage.shards.iter().for_each(|shard| {
        shard.command(&["SCRIPT", "FLUSH"]);
        shard.command(&["INCR", &keys[1]]);
    });
    assert!(ask(&mut client, &["MULTI"]).is_ok());
    queued(&mut client, &["EVALSHA", &sha, "1", &keys[1], "2"]);
    assert_eq!(ask(&mut client, &["EXEC"]), Reply::Nil);
}

#[test]
fn a_script_is_known_to_clients_of_every_thread_after_a_shard_came_back() {
    let stage = Stage::with("heartbeat_frequency = \"20ms\"");
    let keys = stage.keys("k");
    let sha = ask(&mut stage.client(), &["SCRIPT", "LOAD", "return KEYS[1]"]).text().to_owned();
    stage.shards[1].restart();
    // Enough of them that each thread has some.
    let mut clients: Vec<_> = (0..16).map(|_| stage.client()).collect();
    for client in &mut clients {
        until("the shard is back", || ask(client, &["GET", &keys[1]]) == Reply::Nil);
        assert_eq!(ask(client, &["EVALSHA", &sha, "1", &keys[1]]), Reply::bulk(&keys[1]));
    }
}

#[test]
fn a_script_that_was_flushed_is_forgotten_for_clients_of_every_thread() {
    let stage = Stage::start();
    // Enough of them that each thread has some, and has met the script.
    let mut clients: Vec<_> = (0..16).map(|_| stage.client()).collect();
    let load = |client: &mut Client| ask(client, &["SCRIPT", "LOAD", "return KEYS[1]"]).text().to_owned();
    let sha = clients.iter_mut().map(load).last().unwrap();
    assert!(ask(&mut clients[0], &["SCRIPT", "FLUSH"]).is_ok());
    for client in &mut clients {
        let reply = ask(client, &["EVALSHA", &sha, "1", "key"]);
        assert!(reply.error().is_some_and(|text| text.starts_with("NOSCRIPT")), "{reply}");
    }
}

#[test]
fn functions_are_known_on_every_shard() {
    let stage = Stage::start();
    let keys = stage.keys("k");
    let mut client = stage.client();
    let library =
        "#!lua name=mine\nredis.register_function('first', function(keys, args) return keys[1] end)";
    assert_eq!(ask(&mut client, &["FUNCTION", "LOAD", library]), Reply::bulk("mine"));
    for key in &keys {
        assert_eq!(ask(&mut client, &["FCALL", "first", "1", key]), Reply::bulk(key));
    }
    let again = ask(&mut client, &["FUNCTION", "LOAD", library]);
    assert_eq!(again.error(), Some("ERR Library 'mine' already exists"));
    assert_eq!(ask(&mut client, &["FUNCTION", "LOAD", "REPLACE", library]), Reply::bulk("mine"));
    let list = ask(&mut client, &["FUNCTION", "LIST"]);
    assert_eq!(list.elements().len(), 1);
    assert!(list.to_string().contains("library_name, mine"), "{list}");
    let stats = ask(&mut client, &["FUNCTION", "STATS"]).to_string();
    assert_eq!(stats, stage.shards[0].command(&["FUNCTION", "STATS"]).to_string());
    let dump = ask(&mut client, &["FUNCTION", "DUMP"]);
    assert!(ask(&mut client, &["FUNCTION", "DELETE", "mine"]).is_ok());
    assert_eq!(ask(&mut client, &["FUNCTION", "LIST"]), Reply::array([]));
    assert!(ask(&mut client, &["FCALL", "first", "1", &keys[2]]).error().unwrap().contains("not found"));
    assert!(ask(&mut client, &[&b"FUNCTION"[..], b"RESTORE", dump.as_bytes().unwrap()]).is_ok());
    assert_eq!(ask(&mut client, &["FCALL", "first", "1", &keys[2]]), Reply::bulk(&keys[2]));
    assert!(ask(&mut client, &["FUNCTION", "FLUSH"]).is_ok());
    for shard in &stage.shards {
        assert_eq!(shard.command(&["FUNCTION", "LIST"]), Reply::array([]));
    }
}

#[test]
fn without_keys_a_script_meets_the_shard_of_its_sha1_and_a_function_that_of_its_name() {
    const MANY: usize = 40;
    let stage = Stage::start();
    let placement = config(&ring("cache", "", &stage.shards.urls())).rings[0].place().unwrap();
    let home = |name: &str| placement.locate(name.as_bytes()).unwrap().index();
    for (at, shard) in stage.shards.iter().enumerate() {
        assert!(shard.command(&["SET", "here", &at.to_string()]).is_ok());
    }
    let mut client = stage.client();
    let register = |number| {
        format!(
            "redis.register_function{{function_name='where{number}', flags={{'no-writes'}}, \
             callback=function() return redis.call('GET', 'here') end}}\n"
        )
    };
    let library =
        (0..MANY).fold("#!lua name=mine\n".to_owned(), |library, number| library + &register(number));
    assert_eq!(ask(&mut client, &["FUNCTION", "LOAD", &library]), Reply::bulk("mine"));
    let mut met = BTreeSet::new();
    for number in 0..MANY {
        let body = format!("return redis.call('GET', 'here') -- {number}");
        // A server says what the name of the script is, and forgets it.
        let sha = stage.shards[number % 3].command(&["SCRIPT", "LOAD", &body]).text().to_owned();
        stage.shards.iter().for_each(|shard| drop(shard.command(&["SCRIPT", "FLUSH"])));
        let expected = Reply::bulk(home(&sha).to_string());
        met.insert(home(&sha));
        let shouted = sha.to_ascii_uppercase();
        for command in [
            ["EVAL", &body, "0"],
            ["EVAL_RO", &body, "0"],
            ["EVALSHA", &sha, "0"],
            ["EVALSHA_RO", &sha, "0"],
            ["EVALSHA", &shouted, "0"],
        ] {
            assert_eq!(ask(&mut client, &command), expected, "{command:?}");
        }
        let name = format!("where{number}");
        let expected = Reply::bulk(home(&name).to_string());
        for command in [["FCALL", &name, "0"], ["FCALL_RO", &name, "0"]] {
            assert_eq!(ask(&mut client, &command), expected, "{command:?}");
        }
        met.insert(10 + home(&name));
    }
    assert_eq!(met, BTreeSet::from([0, 1, 2, 10, 11, 12]));
}

#[test]
fn a_script_without_keys_always_meets_the_same_shard() {
    let stage = Stage::start();
    let mut client = stage.client();
    let used = |server: &RedisServer| {
        server.command(&["INFO", "commandstats"]).text().lines().any(|line| line.starts_with("cmdstat_eval:"))
    };
    for _ in 0..20 {
        assert_eq!(ask(&mut client, &["EVAL", "return 41 + 1", "0"]).integer(), 42);
    }
    for _ in 0..20 {
        client.send_raw(b"MULTI\r\nPING\r\nEVAL 'return 41 + 1' 0\r\nEXEC\r\n").unwrap();
        let replies: Vec<_> = (0..4).map(|_| client.read().unwrap().to_string()).collect();
        assert_eq!(replies[3], "[PONG, 42]");
    }
    assert_eq!(stage.shards.iter().filter(|shard| used(shard)).count(), 1);
    // By its name it meets the same, so it is known there.
    let sha = stage.shards[0].command(&["SCRIPT", "LOAD", "return 41 + 1"]).text().to_owned();
    stage.shards[0].command(&["SCRIPT", "FLUSH"]);
    for mut client in [stage.client(), stage.client(), stage.client(), stage.client()] {
        let reply = ask(&mut client, &["EVALSHA", &sha, "0"]);
        assert!(used(&stage.shards[0]) || reply == Reply::Integer(42), "{reply}");
    }
}

#[test]
fn a_script_without_end_is_killed_while_its_shard_stays_and_when_it_is_out() {
    for (threshold, fields, stays) in [
        ("20", "", true),
        ("1500", "heartbeat_frequency = \"50ms\"\nheartbeat_timeout = \"100ms\"\nfall = 2", false),
    ] {
        let servers = Cluster::start_with(3, |_, server| server.setting("busy-reply-threshold", threshold));
        // One thread: the script is on the connection that all clients share.
        let text = format!("threads = 1\n{}", ring("cache", fields, &servers.urls()));
        let proxy = Proxy::start(&config(&text)).unwrap();
        let (mut one, mut two) = (client(&proxy, "cache"), client(&proxy, "cache"));
        let idle = ask(&mut two, &["SCRIPT", "KILL"]);
        assert!(idle.error().unwrap().starts_with("NOTBUSY"), "{idle}");
        one.send(&["EVAL", "while true do end", "1", "key"]).unwrap();
        let busy = |server: &RedisServer| {
            server
                .try_command(&["GET", "x"])
                .is_ok_and(|reply| reply.error().is_some_and(|line| line.starts_with("BUSY")))
        };
        until("a server is busy", || servers.iter().any(busy));
        let up = ask(&mut two, &["INFO", "shards"]);
        assert_eq!(up.text().contains("shards_up:3\r\n"), stays, "{up}");
        let killed = ask(&mut two, &["SCRIPT", "KILL"]);
        assert!(killed.is_ok(), "{killed}");
        until("the script has ended", || !servers.iter().any(busy));
        one.read().unwrap();
    }
}
