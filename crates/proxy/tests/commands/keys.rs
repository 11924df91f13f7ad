//! Commands with keys: one, several on one shard, several apart.

use rendis_testkit::{RedisServer, Reply};

use crate::{Stage, alive, ask, words};

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
