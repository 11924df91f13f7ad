//! What is answered by the proxy, what is refused, and what it does not know.

use std::collections::BTreeSet;

use rendis_proxy::serve::Proxy;
use rendis_testkit::{Answer, FakeServer, RedisServer, Reply};

use crate::ring::{client, config, ring};
use crate::{Stage, alive, ask, words};

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
fn lolwut_is_not_answered_here_but_by_one_shard() {
    let stage = Stage::start();
    let mut client = stage.client();
    let drawn = |server: &RedisServer| {
        let statistics = server.command(&["INFO", "commandstats"]);
        let line = statistics.text().lines().find_map(|line| line.strip_prefix("cmdstat_lolwut:calls="));
        line.map_or(0, |rest| rest.split(',').next().unwrap().parse::<u32>().unwrap())
    };
    let reply = ask(&mut client, &["LOLWUT", "VERSION", "1"]);
    assert_eq!(stage.shards.iter().map(drawn).sum::<u32>(), 1);
    assert_eq!(reply, stage.shards[0].command(&["LOLWUT", "VERSION", "1"]));
    stage.shards.iter().for_each(RedisServer::kill);
    let error = ask(&mut client, &["LOLWUT"]);
    assert!(error.error().is_some_and(|text| text.starts_with("SHARDDOWN ")), "{error}");
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
        "SWAPDB 0 1",
        "MOVE key 1",
        "WAIT 0 0",
        "MODULE LOAD path",
        "ACL SETUSER somebody",
        "CLIENT UNBLOCK 7",
        "CLIENT PAUSE 10",
        "CLIENT TRACKING ON",
        "CONFIG REWRITE",
        "SCRIPT DEBUG YES",
        "COPY {t}a {t}b DB 0",
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
    // Servers list subcommands by such names, and know no command of them.
    let subcommand = ask(&mut client, &["CLIENT|ID"]);
    assert_eq!(subcommand.error(), Some("ERR unknown command 'CLIENT|ID', with args beginning with: "));
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
