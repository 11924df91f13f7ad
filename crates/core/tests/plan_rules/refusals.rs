//! What is refused, and in which words: keys apart, patterns without the key's tag, and what a ring does not do unless
//! an operator lets it through. What every server refuses is left to one.

use rendis_core::{
    command::{Response, Table},
    plan::{Allow, Plan, RefusalKind, View, plan},
    tag::Tag,
};

use crate::command::{self, pack, request};
use crate::{decide, decide_buf, live, locate, one, refused};

#[test]
fn keys_apart_are_refused_where_a_command_cannot_be_split() {
    for words in [
        "msetnx a0 1 b1 2",
        "sinter a0 b1",
        "rename a0 b1",
        "smove a0 b1 m",
        "zunionstore a0 1 b1",
        "eval s 2 a0 b1",
        "fcall f 2 a0 b1",
        "blpop a0 b1 0",
        "sort a0 store b1",
        "georadius a0 1 2 3 m store b1",
        "xread streams a0 b1 0 0",
        "pfmerge a0 b0 b1",
        "bitop and a0 b1",
        "copy a0 b1",
        "lmpop 2 a0 b1 left",
        "msetex 2 a0 v b1 v",
        "watch a0 b1",
    ] {
        let text = refused(words);
        assert!(
            text.starts_with("CROSSSLOT Keys in request don't hash to the same shard"),
            "{words}: {text}"
        );
        assert!(text.contains('0') && text.contains("b1"), "{words}: {text}");
    }
    assert_eq!(
        refused("rename a0 b1"),
        "CROSSSLOT Keys in request don't hash to the same shard: 'a0' and 'b1' are on different ones; give keys that \
         belong together one hash tag, as in '{tag}a' and '{tag}b'"
    );
}

#[test]
fn refusals_show_keys_shortened_and_escaped() {
    let long = [vec![b'x'; 100], b"0".to_vec()].concat();
    let request = pack(&[&b"sinter"[..], &long, b"a\r\n'\xff1"]);
    let Plan::Refused(refusal) = decide_buf(&request) else { panic!() };
    assert_eq!(refusal.kind(), RefusalKind::CrossShard);
    let text = refusal.to_string();
    assert!(text.contains(&format!("'{}...' and 'a\\r\\n\\'\\xff1'", "x".repeat(48))), "{text}");
    assert!(text.is_ascii() && !text.contains(['\r', '\n']));

    let (table, live) = (Table::default(), live());
    let request = command::request("sinter a0 b1");
    let hint =
        |tag| match plan(request.view(), table.find(request.view()), &View::new(locate, &live).tag(tag)) {
            Plan::Refused(refusal) => refusal.to_string().split("; ").nth(1).unwrap().to_owned(),
            other => panic!("{other:?}"),
        };
    assert_eq!(hint(Tag::Whole), "the placement of this ring has no hash tags");
    assert_eq!(
        hint(Tag::Between { open: b'<', close: b'>' }),
        "give keys that belong together one hash tag, as in '<tag>a' and '<tag>b'"
    );
}

#[test]
fn patterns_of_sort_must_have_the_tag_of_the_key() {
    for words in [
        "sort {1}list by {1}w_* get {1}o_* get # store {1}d",
        "sort k1 by nosort get # limit 0 10 desc",
        "sort k1",
        "sort_ro {1}l by {1}w_*",
        "sort k1 limit by 0 asc",
    ] {
        assert_eq!(one(words), 1, "{words}");
    }
    for words in [
        "sort {1}list by w_*",
        "sort {1}list by {0}w_*",
        "sort {1}list get *{1}",
        "sort_ro {1}l get {1*}",
        "sort k1 get k1*",
        "sort {1}l limit 0 1 get #->* get {0}x*",
        "sort {1}l get {1}a* get b*",
    ] {
        assert!(refused(words).starts_with("CROSSSLOT"), "{words}");
    }
}

#[test]
fn what_a_ring_does_not_do_is_refused_by_name_and_reason() {
    assert_eq!(
        refused("monitor"),
        "ERR MONITOR is refused, because it would take over a connection that many share"
    );
    assert_eq!(
        refused("config rewrite"),
        "ERR CONFIG REWRITE is refused, because it administers a server, and a ring has many; outside of transactions, \
         allow = [\"CONFIG REWRITE\"] of the ring lets it through to every shard"
    );
    let why = "is refused, because a ring has one database, number 0; the URL of a shard can name another, as in \
               redis://host:6379/1";
    assert_eq!(refused("select 1"), format!("ERR SELECT {why}"));
    assert_eq!(refused("copy a1 b1 db 2"), format!("ERR COPY {why}"));
    assert_eq!(refused("copy a1 b1 DB\0 2"), format!("ERR COPY {why}"));
    // As a server says it; tests of the proxy ask one.
    assert_eq!(refused("select -1"), "ERR DB index is out of range");
    assert_eq!(refused("select x"), "ERR value is not an integer or out of range");
    assert_eq!(refused("copy a1 b1 replace DB"), "ERR syntax error");
    assert_eq!(
        refused("copy a1 b1 db 0"),
        "ERR COPY is refused, because DB means a database of the shard; leave it out"
    );
    for words in ["config set requirepass x", "config set maxmemory 1mb RequirePass x"] {
        assert_eq!(
            refused(words),
            "ERR CONFIG SET is refused, because it would change how the servers are reached, and the ring lose them; set \
             requirepass at each server, and here what the shards are connected to with"
        );
    }
    // A value that looks like such a name.
    assert!(matches!(decide("config set notify-keyspace-events port"), Plan::Every(Response::AllOk)));
    for words in [
        "sync",
        "psync a b",
        "replicaof h 1",
        "slaveof h 1",
        "debug sleep 1",
        "shutdown nosave",
        "save",
        "bgsave",
        "cluster meet h 1",
        "cluster addslots 1",
        "swapdb 0 1",
        "move k 1",
        "wait 1 1",
        "waitaof 0 1 0",
        "module load x",
        "acl setuser x",
        "client unblock 1",
        "client tracking on",
        "failover",
        "latency doctor",
    ] {
        let name = words.split(' ').next().unwrap().to_uppercase();
        assert!(refused(words).starts_with(&format!("ERR {name}")), "{words}");
    }
    assert_eq!(refused("nosuch a"), "ERR unknown command 'nosuch', with args beginning with: 'a' ");
    assert_eq!(refused("get"), "ERR wrong number of arguments for 'get' command");
    assert_eq!(refused("config set a"), "ERR wrong number of arguments for 'config|set' command");
    assert_eq!(refused("config no"), "ERR unknown subcommand 'no'. Try CONFIG HELP.");
    // A number of keys that some server might read, and no other: nobody knows where they are.
    for words in ["zunion +1 a", "zunion 01 a", "eval s 1.5 a", "lmpop 0x1 a left", "fcall f -01 a"] {
        assert_eq!(refused(words), "ERR value is not an integer or out of range", "{words}");
    }
    let unbalanced =
        "ERR Unbalanced XREAD list of streams: for each stream key an ID or '$' must be specified.";
    assert_eq!(refused("xread streams a b 0"), unbalanced);
    assert_eq!(refused("scan x"), "ERR invalid cursor");
}

#[test]
fn an_operator_lets_commands_through() {
    let (table, live) = (Table::default(), live());
    let allow = Allow::new(["debug", "CONFIG  rewrite", "acl", "move"], &table).unwrap();
    let ring = View::new(locate, &live).allow(&allow);
    let decide = |words| {
        let request = request(words);
        plan(request.view(), table.find(request.view()), &ring)
    };
    assert!(matches!(decide("debug sleep 0"), Plan::Every(Response::AllOk)));
    assert!(matches!(decide("config rewrite"), Plan::Every(Response::AllOk)));
    assert!(matches!(decide("acl setuser x"), Plan::Every(Response::AllOk)));
    assert!(matches!(decide("move k2 1"), Plan::One(shard) if shard.index() == 2));
    assert!(matches!(decide("shutdown"), Plan::Refused(_)));
    for (name, expected) in [
        ("nosuch", "'nosuch' is not a known command"),
        ("get", "'get' needs no allowance"),
        ("config", "'config' needs no allowance"),
        ("config set", "'config|set' needs no allowance"),
        ("psync", "'psync' cannot be allowed: it would take over a connection that many share"),
    ] {
        let result = Allow::new([name], &table).map_err(|error| error.to_string());
        if name == "config" {
            assert!(result.is_ok(), "it stands for its subcommands");
        } else {
            assert_eq!(result.unwrap_err(), expected);
        }
    }
}

#[test]
fn what_no_server_runs_is_refused_by_one_in_its_own_words() {
    for words in ["zunion x a", "eval s 3 a", "eval s -1", "lmpop 9 a left", "fcall f x a", "sintercard -1 a"]
    {
        assert!(matches!(decide(words), Plan::One(_)), "{words}: {:?}", decide(words));
    }
}
