//! Every class of commands does on a ring what is promised of it, and clients of every kind are treated well.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod ring;

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use rendis_proxy::serve::Proxy;
use rendis_testkit::{Answer, Client, Cluster, FakeServer, RedisServer, Reply};

use ring::{address, client, config, ring, until};

/// A ring over three servers.
struct Stage {
    proxy: Proxy,
    shards: Cluster,
}

impl Stage {
    fn start() -> Self {
        // A machine that is busy with other tests is slow, not dead.
        Self::with("deadlines = { connect = \"5s\", reply = \"5s\", write = \"5s\", wait = \"5s\" }")
    }

    fn with(fields: &str) -> Self {
        let shards = Cluster::start(3);
        let proxy = Proxy::start(&config(&ring("cache", fields, &shards.urls()))).unwrap();
        Self { proxy, shards }
    }

    fn client(&self) -> Client {
        client(&self.proxy, "cache")
    }

    fn resp3(&self) -> Client {
        let mut client = self.client();
        assert!(matches!(client.command(&["HELLO", "3"]).unwrap(), Reply::Map(_)));
        client
    }

    fn address(&self) -> SocketAddr {
        address(&self.proxy, "cache")
    }

    /// A key on each shard, in the order of the shards; `name` makes them others.
    fn keys(&self, name: &str) -> Vec<String> {
        let mut client = self.client();
        let mut keys = vec![String::new(); self.shards.len()];
        for number in 0.. {
            let key = format!("{name}:{number}");
            assert!(client.command(&["SET", &key, "here"]).unwrap().is_ok());
            let at =
                self.shards.iter().position(|shard| shard.command(&["EXISTS", &key]).integer() == 1).unwrap();
            assert_eq!(client.command(&["DEL", &key]).unwrap().integer(), 1);
            if keys[at].is_empty() {
                keys[at] = key;
            }
            if keys.iter().all(|key| !key.is_empty()) {
                break;
            }
        }
        keys
    }

    /// How many clients each shard has, apart from the one that asks.
    fn connections(&self) -> Vec<usize> {
        self.shards.iter().map(connections).collect()
    }
}

fn connections(server: &RedisServer) -> usize {
    server.command(&["CLIENT", "LIST"]).text().lines().filter(|line| !line.contains("cmd=client")).count()
}

fn blocked(server: &RedisServer) -> bool {
    !server.command(&["INFO", "clients"]).text().contains("blocked_clients:0")
}

/// Sends and reads, and the connection must hold.
fn ask<A: AsRef<[u8]>>(client: &mut Client, words: &[A]) -> Reply {
    client.command(words).unwrap()
}

fn words(line: &str) -> Vec<&str> {
    line.split(' ').collect()
}

fn texts(reply: &Reply) -> BTreeSet<String> {
    reply.elements().iter().map(|one| one.text().to_owned()).collect()
}

fn alive(client: &mut Client) {
    assert_eq!(ask(client, &["PING"]), Reply::simple("PONG"));
}

// One key, or all keys on one shard

#[test]
fn one_key_goes_to_its_shard_and_a_tag_keeps_keys_together() {
    let stage = Stage::start();
    let mut client = stage.client();
    for key in 0..100 {
        assert!(ask(&mut client, &["SET", &format!("key:{key}"), &key.to_string()]).is_ok());
    }
    assert_eq!(stage.shards.sizes().iter().sum::<i64>(), 100);
    assert!(stage.shards.sizes().iter().all(|size| *size > 10), "{:?}", stage.shards.sizes());
    for key in 0..100 {
        assert_eq!(ask(&mut client, &["GET", &format!("key:{key}")]), Reply::bulk(key.to_string()));
    }
    ask(&mut client, &["SADD", "{tag}a", "1", "2"]);
    ask(&mut client, &["SADD", "{tag}b", "2", "3"]);
    assert_eq!(ask(&mut client, &["SINTER", "{tag}a", "{tag}b"]), Reply::array([Reply::bulk("2")]));
    assert!(ask(&mut client, &["RENAME", "{tag}a", "{tag}c"]).is_ok());
    let both = |server: &RedisServer| server.command(&["EXISTS", "{tag}b", "{tag}c"]).integer();
    assert_eq!(stage.shards.iter().map(both).max(), Some(2));
}

#[test]
fn keys_that_may_be_left_out_need_not_be_there() {
    let stage = Stage::start();
    let mut client = stage.client();
    assert!(ask(&mut client, &["PFMERGE", "key"]).is_ok());
    assert!(ask(&mut client, &["PFMERGE"]).error().unwrap().starts_with("ERR wrong number"));
}

// Keys split by shard

#[test]
fn split_commands_keep_order_and_duplicates() {
    let stage = Stage::start();
    let keys = stage.keys("k");
    let [a, b, c] = [&*keys[0], &*keys[1], &*keys[2]];
    for mut client in [stage.client(), stage.resp3()] {
        assert!(ask(&mut client, &["MSET", c, "3", a, "1", b, "2", a, "4"]).is_ok());
        assert_eq!(stage.shards.sizes(), [1, 1, 1]);
        ask(&mut client, &["HSET", "hash", "field", "value"]);
        let expected = ["2", "4", "", "3", "4", "", "2"].map(|value| match value {
            "" => Reply::Nil,
            value => Reply::bulk(value),
        });
        assert_eq!(ask(&mut client, &["MGET", b, a, "none", c, a, "hash", b]), Reply::array(expected));
        assert_eq!(ask(&mut client, &["EXISTS", a, a, b, "none", c, c]).integer(), 5);
        assert_eq!(ask(&mut client, &["TOUCH", a, b, "none", c]).integer(), 3);
        assert_eq!(ask(&mut client, &["DEL", a, "none", b, a]).integer(), 2);
        assert_eq!(ask(&mut client, &["UNLINK", a, c, "hash"]).integer(), 2);
        assert_eq!(stage.shards.sizes(), [0, 0, 0]);
        assert!(ask(&mut client, &["MSET", a, "1", b]).error().unwrap().starts_with("ERR wrong number"));
        assert_eq!(stage.shards.sizes(), [0, 0, 0]);
    }
}

#[test]
fn a_split_command_with_a_dead_part_fails_and_says_where() {
    let stage = Stage::with("on_down = \"fail\"");
    let keys = stage.keys("k");
    stage.shards[1].kill();
    let mut client = stage.client();
    let error = ask(&mut client, &["MSET", &keys[0], "1", &keys[1], "2", &keys[2], "3"]);
    let text = error.error().unwrap_or_else(|| panic!("{error}"));
    let address = stage.shards[1].address().to_string();
    assert!(text.starts_with("SHARDDOWN shard2 (") && text.contains(&address), "{text}");
    // What the other parts did stands.
    assert_eq!(
        ask(&mut client, &["MGET", &keys[0], &keys[2]]),
        Reply::array([Reply::bulk("1"), Reply::bulk("3")])
    );
    assert!(ask(&mut client, &["MGET", &keys[0], &keys[1]]).error().unwrap().starts_with("SHARDDOWN shard2"));
}

// Keys that must be together but are not

#[test]
fn keys_apart_are_refused_and_never_sent() {
    let stage = Stage::start();
    let keys = stage.keys("k");
    let (a, b) = (&keys[0], &keys[2]);
    for shard in &stage.shards {
        shard.command(&["CONFIG", "RESETSTAT"]);
    }
    let mut client = stage.client();
    let commands = [
        "MSETNX A 1 B 2",
        "SINTER A B",
        "SUNIONSTORE A B",
        "SINTERCARD 2 A B",
        "RENAME A B",
        "RENAMENX A B",
        "COPY A B",
        "SMOVE A B m",
        "LMOVE A B LEFT RIGHT",
        "RPOPLPUSH A B",
        "LMPOP 2 A B LEFT",
        "ZUNIONSTORE A 1 B",
        "ZINTER 2 A B",
        "ZRANGESTORE A B 0 -1",
        "BITOP AND A A B",
        "PFCOUNT A B",
        "PFMERGE A B",
        "GEOSEARCHSTORE A B FROMLONLAT 1 1 BYRADIUS 1 m",
        "GEORADIUS A 1 1 1 m STORE B",
        "LCS A B",
        "SORT A STORE B",
        "SORT A BY w_*",
        "SORT A GET o_*",
        "XREAD COUNT 1 STREAMS A B 0 0",
        "XREADGROUP GROUP g c STREAMS A B > >",
        "EVAL return 2 A B",
        "EVALSHA ffffffffffffffffffffffffffffffffffffffff 2 A B",
        "FCALL f 2 A B",
        "BLPOP A B 0",
        "BRPOP A B 0",
        "BLMOVE A B LEFT RIGHT 0",
        "BLMPOP 0 2 A B LEFT",
        "BZPOPMIN A B 0",
        "XREAD BLOCK 0 STREAMS A B 0 0",
        "WATCH A B",
    ];
    for command in commands {
        let line: Vec<_> = words(command)
            .into_iter()
            .map(|word| match word {
                "A" => a,
                "B" => b,
                word => word,
            })
            .collect();
        let reply = ask(&mut client, &line);
        let text = reply.error().unwrap_or_else(|| panic!("{command}: {reply}"));
        let begin = "CROSSSLOT Keys in request don't hash to the same shard: ";
        assert!(text.starts_with(begin) && text.contains("hash tag"), "{command}: {text}");
        if !command.starts_with("SORT") {
            assert!(text.contains(a.as_str()) && text.contains(b.as_str()), "{command}: {text}");
        }
    }
    alive(&mut client);
    let known = ["config|resetstat", "info", "ping", "client|list"];
    for shard in &stage.shards {
        let stats = shard.command(&["INFO", "commandstats"]);
        let met = stats.text().lines().filter_map(|line| line.strip_prefix("cmdstat_")?.split(':').next());
        let met: Vec<_> = met.filter(|name| !known.contains(name)).collect();
        let own = ["auth", "hello", "client|setname", "client|setinfo", "acl|setuser", "acl|load"];
        let met: Vec<_> = met.into_iter().filter(|name| !own.contains(name)).collect();
        assert!(met.is_empty(), "a shard was asked: {met:?}");
    }
}

// Every shard

#[test]
fn commands_about_all_keys_ask_every_shard() {
    let stage = Stage::start();
    let mut client = stage.client();
    assert_eq!(ask(&mut client, &["RANDOMKEY"]), Reply::Nil);
    let all: BTreeSet<_> = (0..60).map(|key| format!("key:{key}")).collect();
    for key in &all {
        ask(&mut client, &["SET", key, "v"]);
    }
    for mut client in [stage.client(), stage.resp3()] {
        assert_eq!(ask(&mut client, &["DBSIZE"]).integer(), 60);
        assert_eq!(texts(&ask(&mut client, &["KEYS", "*"])), all);
        assert_eq!(texts(&ask(&mut client, &["KEYS", "key:1?"])).len(), 10);
        let drawn: BTreeSet<_> =
            (0..300).map(|_| ask(&mut client, &["RANDOMKEY"]).text().to_owned()).collect();
        assert!(drawn.is_subset(&all) && drawn.len() > 20, "{} of 60 were drawn", drawn.len());
    }
    assert!(ask(&mut client, &["FLUSHALL", "SYNC"]).is_ok());
    assert_eq!(stage.shards.sizes(), [0, 0, 0]);
    // A shard that is empty is not what a random key is looked for on.
    ask(&mut client, &["SET", "only", "v"]);
    (0..20).for_each(|_| assert_eq!(ask(&mut client, &["RANDOMKEY"]), Reply::bulk("only")));
    assert!(ask(&mut client, &["FLUSHDB"]).is_ok());
    assert_eq!(ask(&mut client, &["DBSIZE"]).integer(), 0);
}

/// A whole iteration, with what is said besides the cursor. How many steps it took is the other half.
fn scan(client: &mut Client, more: &[&str]) -> (Vec<String>, usize) {
    let (mut cursor, mut found, mut steps) = ("0".to_owned(), Vec::new(), 0);
    loop {
        let mut words = vec!["SCAN", &cursor];
        words.extend(more);
        let reply = ask(client, &words);
        found.extend(reply.elements()[1].elements().iter().map(|key| key.text().to_owned()));
        reply.elements()[0].text().clone_into(&mut cursor);
        steps += 1;
        if cursor == "0" {
            return (found, steps);
        }
        assert!(steps < 10_000, "the scan does not end");
    }
}

#[test]
fn a_scan_sees_every_key_of_every_shard_once() {
    let stage = Stage::start();
    let mut client = stage.client();
    let mut all = BTreeSet::new();
    for key in 0..300 {
        let key = format!("key:{key}");
        match all.len() % 3 {
            0 => ask(&mut client, &["SADD", &key, "m"]),
            _ => ask(&mut client, &["SET", &key, "v"]),
        };
        all.insert(key);
    }
    for mut client in [stage.client(), stage.resp3()] {
        for count in ["1", "7", "100", "100000"] {
            let (found, steps) = scan(&mut client, &["COUNT", count]);
            assert_eq!(found.len(), 300, "COUNT {count}");
            assert_eq!(found.into_iter().collect::<BTreeSet<_>>(), all);
            assert!(count != "7" || steps > 20, "COUNT {count}: {steps} steps");
            // A shard that has no more is followed by the next in the same answer.
            assert!(count != "100000" || steps == 1, "COUNT {count}: {steps} steps");
        }
        assert_eq!(scan(&mut client, &["MATCH", "key:2?", "COUNT", "10"]).0.len(), 10);
        assert_eq!(scan(&mut client, &["TYPE", "set"]).0.len(), 100);
        assert_eq!(scan(&mut client, &["TYPE", "set", "MATCH", "key:*9", "COUNT", "5"]).0.len(), 10);
        assert_eq!(scan(&mut client, &["MATCH", "none"]).0, Vec::<String>::new());
        for wrong in ["x", "-1", "18446744073709551616", ""] {
            assert_eq!(ask(&mut client, &["SCAN", wrong]).error(), Some("ERR invalid cursor"), "{wrong}");
        }
        assert_eq!(ask(&mut client, &["SCAN", "0", "COUNT"]).error(), Some("ERR syntax error"));
        assert_eq!(ask(&mut client, &["SCAN", "0", "COUNT", "0"]).error(), Some("ERR syntax error"));
    }
}

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
fn settings_are_changed_on_every_shard() {
    let stage = Stage::start();
    let mut client = stage.client();
    assert!(ask(&mut client, &["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]).is_ok());
    let pair = Reply::array([Reply::bulk("maxmemory-policy"), Reply::bulk("allkeys-lru")]);
    for shard in &stage.shards {
        assert_eq!(shard.command(&["CONFIG", "GET", "maxmemory-policy"]), pair);
    }
    assert_eq!(ask(&mut client, &["CONFIG", "GET", "maxmemory-policy"]), pair);
    let Reply::Map(pairs) = ask(&mut stage.resp3(), &["CONFIG", "GET", "maxmemory-policy"]) else { panic!() };
    assert_eq!(pairs, [(Reply::bulk("maxmemory-policy"), Reply::bulk("allkeys-lru"))]);
    let wrong = ask(&mut client, &["CONFIG", "SET", "nosuchsetting", "1"]);
    assert!(wrong.error().unwrap().starts_with("ERR Unknown option"), "{wrong}");
    alive(&mut client);
}

// Answered here, and refused

#[test]
fn what_the_proxy_answers_itself_asks_no_shard() {
    let stage = Stage::start();
    stage.shards.iter().for_each(RedisServer::kill);
    let mut client = stage.client();
    alive(&mut client);
    assert_eq!(ask(&mut client, &["ECHO", "hello"]), Reply::bulk("hello"));
    assert_eq!(ask(&mut client, &["TIME"]).elements().len(), 2);
    assert!(ask(&mut client, &["SELECT", "0"]).is_ok());
    assert!(ask(&mut client, &["CLIENT", "SETNAME", "me"]).is_ok());
    assert_eq!(ask(&mut client, &["CLIENT", "GETNAME"]), Reply::bulk("me"));
    assert!(ask(&mut client, &["CLIENT", "ID"]).integer() > 0);
    assert!(ask(&mut client, &["CLIENT", "LIST"]).text().contains("name=me"));
    for local in ["READONLY", "CLIENT NO-TOUCH ON", "CLIENT NO-TOUCH OFF", "CLIENT NO-EVICT ON"] {
        assert!(ask(&mut client, &words(local)).is_ok(), "{local}");
    }
    let cluster = ask(&mut client, &["CLUSTER", "SLOTS"]);
    assert_eq!(cluster.error(), Some("ERR This instance has cluster support disabled"));
    assert!(ask(&mut client, &["INFO", "server"]).text().contains("redis_version:"));
    assert!(matches!(ask(&mut client, &["HELLO", "3"]), Reply::Map(_)));
    assert_eq!(ask(&mut client, &["RESET"]), Reply::simple("RESET"));
    assert_eq!(ask(&mut client, &["CLIENT", "GETNAME"]), Reply::Nil);
    assert!(ask(&mut client, &["QUIT"]).is_ok());
    assert_eq!(client.read_to_end().unwrap(), b"");
}

#[test]
fn what_is_refused_is_refused_with_its_name_and_the_reason() {
    let stage = Stage::start();
    let mut client = stage.client();
    for command in [
        "MONITOR",
        "SYNC",
        "PSYNC ? -1",
        "REPLICAOF NO ONE",
        "SLAVEOF host 1",
        "DEBUG SLEEP 0",
        "SHUTDOWN NOSAVE",
        "SAVE",
        "BGSAVE",
        "BGREWRITEAOF",
        "LASTSAVE",
        "FAILOVER",
        "CLUSTER MEET host 1",
        "SELECT 1",
        "SWAPDB 0 1",
        "MOVE key 1",
        "WAIT 0 0",
        "MODULE LOAD path",
        "ACL SETUSER somebody",
        "CLIENT KILL ID 7",
        "CLIENT PAUSE 10",
        "CLIENT TRACKING ON",
        "CONFIG REWRITE",
        "SCRIPT DEBUG YES",
        "COPY {t}a {t}b DB 1",
    ] {
        let reply = ask(&mut client, &words(command));
        let text = reply.error().unwrap_or_else(|| panic!("{command}: {reply}"));
        let name = command.split(' ').next().unwrap();
        assert!(text.starts_with("ERR ") && text.contains(name), "{command}: {text}");
        assert!(text.contains(" is refused, because "), "{command}: {text}");
        alive(&mut client);
    }
    let unknown = ask(&mut client, &["NOSUCH", "a"]);
    assert_eq!(unknown.error(), Some("ERR unknown command 'NOSUCH', with args beginning with: 'a' "));
    alive(&mut client);
}

#[test]
fn what_is_allowed_by_the_configuration_goes_to_every_shard() {
    let stage = Stage::with("allow = [\"SAVE\"]");
    let mut client = stage.client();
    assert!(ask(&mut client, &["SAVE"]).is_ok());
    for shard in &stage.shards {
        let stats = shard.command(&["INFO", "commandstats"]);
        assert!(stats.text().contains("cmdstat_save:calls=1,"), "{stats}");
    }
    assert!(ask(&mut client, &["BGSAVE"]).error().unwrap().contains("is refused"));
}

// Not known here

#[test]
fn a_command_of_a_module_goes_by_its_keys() {
    // Three that have a module, and say who they are.
    let servers: Vec<_> = (1..=3)
        .map(|number| {
            FakeServer::start(move |request| match request.name().as_str() {
                "COMMAND"
                    if request
                        .arguments
                        .last()
                        .is_some_and(|name| name.eq_ignore_ascii_case(b"json.mget")) =>
                {
                    Answer::text(
                        "*1\r\n*6\r\n$9\r\njson.mget\r\n:-2\r\n*1\r\n+readonly\r\n:1\r\n:-1\r\n:1\r\n",
                    )
                }
                "COMMAND" => Answer::text("*1\r\n*-1\r\n"),
                "GET" | "JSON.MGET" => Answer::text(&format!(":{number}\r\n")),
                _ => Answer::handshake(request).unwrap_or_else(Answer::ok),
            })
        })
        .collect();
    let urls: Vec<_> = servers.iter().map(|server| format!("redis://{}", server.address())).collect();
    let proxy = Proxy::start(&config(&ring("cache", "", &urls))).unwrap();
    let mut client = client(&proxy, "cache");
    let mut homes = BTreeSet::new();
    for number in 0..50 {
        let key = format!("k:{number}");
        let home = ask(&mut client, &["GET", &key]).integer();
        assert_eq!(ask(&mut client, &["json.mget", &key]).integer(), home);
        assert_eq!(ask(&mut client, &["JSON.MGET", &key, &format!("{{{key}}}other")]).integer(), home);
        homes.insert(home);
    }
    assert_eq!(homes.len(), 3);
    let apart: Vec<_> = (0..20).map(|number| format!("k:{number}")).collect();
    let apart = ask(&mut client, &[&["JSON.MGET".to_owned()], &apart[..]].concat());
    assert!(apart.error().unwrap().starts_with("CROSSSLOT"), "{apart}");
    let unknown = ask(&mut client, &["FT.NONE", "a"]);
    assert_eq!(unknown.error(), Some("ERR unknown command 'FT.NONE', with args beginning with: 'a' "));
}

// No keys, but must run somewhere

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

fn bulks(words: &[&str]) -> Vec<Reply> {
    words.iter().map(Reply::bulk).collect()
}

#[test]
fn messages_reach_who_listens_wherever_the_channel_lives() {
    let stage = Stage::start();
    let mut sender = stage.client();
    let channels: Vec<_> = (0..12).map(|number| format!("channel:{number}")).collect();
    for resp3 in [false, true] {
        let mut listener = if resp3 { stage.resp3() } else { stage.client() };
        let list = |words: Vec<Reply>| if resp3 { Reply::Push(words) } else { Reply::Array(words) };
        let mut subscribe = vec!["SUBSCRIBE"];
        subscribe.extend(channels.iter().map(String::as_str));
        listener.send(&subscribe).unwrap();
        for (at, channel) in channels.iter().enumerate() {
            let mut words = bulks(&["subscribe", channel]);
            words.push(Reply::Integer(i64::try_from(at).unwrap() + 1));
            assert_eq!(listener.read().unwrap(), list(words));
        }
        for channel in &channels {
            assert_eq!(ask(&mut sender, &["PUBLISH", channel, "text"]).integer(), 1);
            assert_eq!(listener.read().unwrap(), list(bulks(&["message", channel, "text"])));
        }
        let known = texts(&ask(&mut sender, &["PUBSUB", "CHANNELS", "channel:*"]));
        assert_eq!(known, channels.iter().cloned().collect());
        let numbers = ask(&mut sender, &["PUBSUB", "NUMSUB", "channel:0", "none", "channel:1"]);
        assert_eq!(numbers.to_string(), "[channel:0, 1, none, 0, channel:1, 1]");
        listener.send(&["UNSUBSCRIBE"]).unwrap();
        (0..channels.len()).for_each(|_| drop(listener.read().unwrap()));
        alive(&mut listener);
        // The shard hears of it a moment after the client.
        until("nobody listens", || ask(&mut sender, &["PUBLISH", "channel:0", "text"]).integer() == 0);
        alive(&mut listener);
    }
}

#[test]
fn patterns_hear_every_shard_and_sharded_channels_are_their_own() {
    let stage = Stage::start();
    let mut client = stage.client();
    assert!(ask(&mut client, &["CONFIG", "SET", "notify-keyspace-events", "KEA"]).is_ok());
    let keys = stage.keys("k");
    let mut listener = stage.client();
    ask(&mut listener, &["PSUBSCRIBE", "__keyevent@0__:set"]);
    assert_eq!(ask(&mut client, &["PUBSUB", "NUMPAT"]).integer(), 1);
    for key in &keys {
        ask(&mut client, &["SET", key, "v"]);
        let message = bulks(&["pmessage", "__keyevent@0__:set", "__keyevent@0__:set", key]);
        assert_eq!(listener.read().unwrap(), Reply::Array(message));
    }
    assert_eq!(ask(&mut listener, &["PUNSUBSCRIBE"]).elements()[2].integer(), 0);
    // Once, though the pattern is on three servers.
    ask(&mut listener, &["PSUBSCRIBE", "news.*"]);
    ask(&mut client, &["PUBLISH", "news.a", "one"]);
    ask(&mut client, &["PUBLISH", "news.b", "two"]);
    assert_eq!(listener.read().unwrap(), Reply::Array(bulks(&["pmessage", "news.*", "news.a", "one"])));
    assert_eq!(listener.read().unwrap(), Reply::Array(bulks(&["pmessage", "news.*", "news.b", "two"])));

    let mut sharded = stage.client();
    assert_eq!(ask(&mut sharded, &["SSUBSCRIBE", "orders"]).elements()[2].integer(), 1);
    assert_eq!(ask(&mut client, &["PUBLISH", "orders", "not this"]).integer(), 0);
    assert_eq!(ask(&mut client, &["SPUBLISH", "orders", "this"]).integer(), 1);
    assert_eq!(sharded.read().unwrap(), Reply::Array(bulks(&["smessage", "orders", "this"])));
    assert_eq!(texts(&ask(&mut client, &["PUBSUB", "SHARDCHANNELS"])), ["orders".to_owned()].into());
}

#[test]
fn many_listeners_share_one_subscription_upstream() {
    let stage = Stage::with("");
    let mut listeners: Vec<_> = (0..20).map(|_| stage.client()).collect();
    for listener in &mut listeners {
        ask(listener, &["SUBSCRIBE", "news"]);
    }
    let upstream: i64 = stage
        .shards
        .iter()
        .map(|shard| shard.command(&["PUBSUB", "NUMSUB", "news"]).elements()[1].integer())
        .sum();
    assert!((1..=2).contains(&upstream), "{upstream} subscriptions for two threads");
    ask(&mut stage.client(), &["PUBLISH", "news", "text"]);
    for listener in &mut listeners {
        assert_eq!(listener.read().unwrap(), Reply::Array(bulks(&["message", "news", "text"])));
    }
    drop(listeners);
    until("nobody listens any more", || {
        stage.shards.iter().all(|shard| shard.command(&["PUBSUB", "CHANNELS"]) == Reply::array([]))
    });
}

#[test]
fn who_listens_may_send_what_the_protocol_allows() {
    let stage = Stage::start();
    let mut old = stage.client();
    ask(&mut old, &["SUBSCRIBE", "news"]);
    let refused = ask(&mut old, &["GET", "key"]);
    let expected = "ERR Can't execute 'get': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are \
                    allowed in this context";
    assert_eq!(refused.error(), Some(expected));
    assert_eq!(ask(&mut old, &["PING"]), Reply::Array(bulks(&["pong", ""])));
    assert_eq!(ask(&mut old, &["PING", "x"]), Reply::Array(bulks(&["pong", "x"])));
    assert_eq!(ask(&mut old, &["RESET"]), Reply::simple("RESET"));
    assert_eq!(ask(&mut old, &["GET", "key"]), Reply::Nil);
    let mut new = stage.resp3();
    assert!(matches!(ask(&mut new, &["SUBSCRIBE", "news"]), Reply::Push(_)));
    assert!(ask(&mut new, &["SET", "key", "v"]).is_ok());
    alive(&mut new);
    // One that publishes to itself gets its reply and the message.
    new.send(&["PUBLISH", "news", "me"]).unwrap();
    let mut both = [new.read().unwrap(), new.read().unwrap()];
    both.sort_by_key(|reply| matches!(reply, Reply::Push(_)));
    assert_eq!(both, [Reply::Integer(1), Reply::Push(bulks(&["message", "news", "me"]))]);
}

// Blocking commands

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

#[test]
fn a_client_that_sent_much_behind_what_it_waits_for_is_seen_to_leave() {
    let stage = Stage::start();
    let mut client = stage.client();
    client.send(&["BLPOP", "list", "0"]).unwrap();
    client.send_raw(&b"*2\r\n$4\r\nECHO\r\n$4\r\nmore\r\n".repeat(200_000)).unwrap();
    until("it waits", || stage.shards.iter().any(blocked));
    drop(client);
    until("it has left", || !stage.shards.iter().any(blocked));
    // One that stays is served in order.
    let mut client = stage.client();
    client.send(&["BLPOP", "list", "0"]).unwrap();
    client.send_raw(&b"*2\r\n$4\r\nECHO\r\n$4\r\nmore\r\n".repeat(50_000)).unwrap();
    ask(&mut stage.client(), &["RPUSH", "list", "item"]);
    assert_eq!(client.read().unwrap(), Reply::Array(bulks(&["list", "item"])));
    (0..50_000).for_each(|_| assert_eq!(client.read().unwrap(), Reply::bulk("more")));
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

// Transactions

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
    assert_eq!(ask(&mut client, &["EXEC"]).error(), Some(abort));
    assert_eq!(ask(&mut client, &["GET", &keys[0]]), Reply::bulk("2"));
    for broken in [
        vec!["NOSUCH"],
        vec!["GET"],
        vec!["DBSIZE"],
        vec!["SUBSCRIBE", "x"],
        vec!["MGET", &keys[0], &keys[1]],
    ] {
        assert!(ask(&mut client, &["MULTI"]).is_ok());
        assert!(ask(&mut client, &broken).error().is_some(), "{broken:?}");
        assert_eq!(ask(&mut client, &["EXEC"]).error(), Some(abort), "{broken:?}");
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

// Ways to send

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
    client.send_raw(b"ECHO 1\r\n*2\r\n$4\r\nECHO\r\n$1\r\n2\r\nECHO 3\r\n*0\r\n*-1\r\n*2\r\n$4\r\nECHO\r\n$1\r\n4\r\n").unwrap();
    for expected in ["1", "2", "3", "4"] {
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
        assert!(ask(&mut client, &[b"SET", &b"big"[..], &big]).is_ok());
        assert_eq!(ask(&mut client, &["GET", "big"]).as_bytes().unwrap(), big);
        let many = ask(&mut client, &["MGET", "big", "small", "big"]);
        assert_eq!(many.elements()[2].as_bytes().unwrap(), big);
        alive(&mut client);
    }
}

// Clients that behave badly

/// What the proxy says to these bytes until it closes.
fn last_words(to: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(to).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream.set_nodelay(true).unwrap();
    // It may be closed before all is written.
    let _ = stream.write_all(bytes);
    let mut got = Vec::new();
    if let Err(error) = stream.read_to_end(&mut got) {
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{}: {error}", bytes.escape_ascii());
    }
    String::from_utf8_lossy(&got).into_owned()
}

#[test]
fn what_is_no_request_is_answered_once_after_what_was_owed() {
    let stage = Stage::start();
    let mut bystander = stage.client();
    let nested = b"*1\r\n".repeat(100_000);
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
    ];
    for bad in cases {
        let shown = bad.get(..40).unwrap_or(bad).escape_ascii();
        let mut bytes =
            b"*2\r\n$4\r\nECHO\r\n$3\r\nowe\r\n*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\n1\r\n".to_vec();
        bytes.extend_from_slice(bad);
        let said = last_words(stage.address(), &bytes);
        if bad.len() < 1000 {
            let begin = "$3\r\nowe\r\n+OK\r\n-ERR Protocol error: ";
            assert!(said.starts_with(begin), "{shown}: {said:?}");
            assert_eq!(said.matches("\r\n").count(), 4, "{shown}: {said:?}");
        }
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
    assert!(ask(&mut client, &[b"SET", &b"big"[..], &big]).is_ok());
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

// Failures

#[test]
fn clients_survive_a_shard_that_is_killed() {
    let stage = Stage::with("heartbeat_frequency = \"50ms\"");
    let keys = stage.keys("k");
    let (mut client, mut listener, mut waiting) = (stage.client(), stage.client(), stage.client());
    for key in &keys {
        ask(&mut client, &["SET", key, "v"]);
    }
    // A channel is placed as a key is.
    ask(&mut listener, &["SUBSCRIBE", &keys[1]]);
    waiting.send(&["BLPOP", &format!("{{{}}}list", keys[1]), "0"]).unwrap();
    until("it waits", || stage.shards.iter().any(blocked));
    let mut pinned = stage.client();
    ask(&mut pinned, &["WATCH", &keys[1]]);
    stage.shards[1].kill();
    let told = waiting.read().unwrap();
    assert!(told.error().is_some_and(|text| text.contains("shard2")), "{told}");
    ask(&mut pinned, &["MULTI"]);
    ask(&mut pinned, &["SET", &keys[1], "v"]);
    let told = ask(&mut pinned, &["EXEC"]);
    assert!(told.error().is_some(), "{told}");
    until("its keys are served elsewhere", || ask(&mut client, &["SET", &keys[1], "new"]).is_ok());
    assert_eq!(ask(&mut client, &["GET", &keys[1]]), Reply::bulk("new"));
    assert_eq!(ask(&mut client, &["GET", &keys[0]]), Reply::bulk("v"));
    until("the subscription has moved", || ask(&mut client, &["PUBLISH", &keys[1], "text"]).integer() > 0);
    assert_eq!(listener.read().unwrap(), Reply::Array(bulks(&["message", &keys[1], "text"])));
    for client in [&mut waiting, &mut pinned] {
        alive(client);
        until("it is served", || ask(client, &["GET", &keys[1]]) == Reply::bulk("new"));
    }
    stage.shards[1].restart();
    until("the shard is back", || {
        ask(&mut client, &["SET", &keys[1], "again"]).is_ok()
            && stage.shards[1]
                .try_command(&["GET", &keys[1]])
                .is_ok_and(|reply| reply == Reply::bulk("again"))
    });
}
