//! Commands about all keys, and settings: every shard is asked.

use std::collections::BTreeSet;

use rendis_testkit::{Client, Reply};

use crate::{Stage, alive, ask, texts};

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

#[test]
fn what_a_reset_counts_is_added_up() {
    let stage = Stage::start();
    let mut client = stage.client();
    assert!(ask(&mut client, &["CONFIG", "SET", "latency-monitor-threshold", "10"]).is_ok());
    for shard in &stage.shards {
        let slow = "local x = 0 for i = 1, 10000000 do x = x + i end return 1";
        assert_eq!(shard.command(&["EVAL", slow, "0"]), Reply::Integer(1));
    }
    assert_eq!(ask(&mut client, &["LATENCY", "RESET", "command"]), Reply::Integer(3));
}

#[test]
fn the_secrets_of_shards_are_in_no_answer() {
    const SECRETS: [&str; 3] = ["requirepass", "masterauth", "masteruser"];
    let stage = Stage::start();
    for shard in &stage.shards {
        // Not the first: the shard would ask for it.
        for name in &SECRETS[1..] {
            assert!(shard.command(&["CONFIG", "SET", name, "hunter2"]).is_ok());
        }
    }
    let pairs = |reply: Reply| match reply {
        Reply::Map(pairs) => pairs,
        Reply::Array(all) => all.chunks(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect(),
        other => panic!("{other}"),
    };
    for mut client in [stage.client(), stage.resp3()] {
        for names in [vec!["*"], vec!["masterauth"], vec!["MASTERAUTH", "maxmemory", "*pass*", "master*"]] {
            let mut request = vec!["CONFIG", "get"];
            request.extend(names);
            // By itself, and with others.
            client.send(&request).unwrap();
            let alone = client.read().unwrap();
            for _ in 0..2 {
                client.send(&["EXISTS", "key"]).unwrap();
                client.send(&request).unwrap();
                client.send(&["CONFIG", "GET", "maxmemory-policy"]).unwrap();
            }
            let mut answers = vec![alone];
            for _ in 0..2 {
                assert_eq!(client.read().unwrap(), Reply::Integer(0));
                answers.push(client.read().unwrap());
                assert_eq!(pairs(client.read().unwrap())[0].1, Reply::bulk("noeviction"));
            }
            for answer in answers {
                assert!(!format!("{answer}").contains("hunter2"), "{answer}");
                let pairs = pairs(answer);
                let auth =
                    pairs.iter().find(|(name, _)| name.text().eq_ignore_ascii_case("masterauth")).unwrap();
                assert_eq!(auth.1, Reply::bulk(""));
                assert!(pairs.len() < 10 || pairs.iter().any(|(_, value)| value.text() == "noeviction"));
            }
        }
    }
}
