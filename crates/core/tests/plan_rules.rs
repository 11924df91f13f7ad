//! Where each kind of command goes, and the exact words where it goes nowhere.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod command;

use command::{all, pack, request, row};
use rendis_core::{
    command::{
        Blocks, Care, Class, Found, Library, LocalCommand, Repeat, Response, Row, Subscription, Table,
        Transaction,
    },
    id::ShardId,
    plan::{Allow, Plan, Queued, RefusalKind, View, plan, queued, same_shard},
    request::RequestBuf,
    tag::Tag,
};
use std::time::Duration;

/// Three shards; a key's shard is the digit at the end of what counts of it, modulo three.
fn locate(key: &[u8]) -> Option<ShardId> {
    let last = Tag::Braces.tagged(key).last().copied().unwrap_or(b'0');
    Some(ShardId::new(usize::from(last) % 3))
}

fn live() -> Vec<ShardId> {
    (0..3).map(ShardId::new).collect()
}

fn decide_buf(request: &RequestBuf) -> Plan {
    let (table, live) = (Table::default(), live());
    plan(request.view(), table.find(request.view()), &View::new(locate, &live).entropy(7))
}

fn decide(words: &str) -> Plan {
    decide_buf(&request(words))
}

fn one(words: &str) -> usize {
    match decide(words) {
        Plan::One(shard) => shard.index(),
        other => panic!("{words}: {other:?}"),
    }
}

fn refused(words: &str) -> String {
    match decide(words) {
        Plan::Refused(refusal) => refusal.to_string(),
        other => panic!("{words}: {other:?}"),
    }
}

/// The parts as `shard: arguments @keys`.
fn parts(words: &str) -> (Vec<String>, Response) {
    let Plan::Split { cut, response } = decide(words) else { panic!("{words}: {:?}", decide(words)) };
    let whole = request(words);
    let shown = cut.parts().map(|part| {
        let own = part.pack(whole.view());
        let words: Vec<_> = own.view().arguments().map(|word| String::from_utf8_lossy(word)).collect();
        format!("{}: {} @{:?}", part.shard, words.join(" "), part.keys)
    });
    (shown.collect(), response)
}

#[test]
fn one_key_or_keys_that_are_together_go_to_their_shard() {
    assert_eq!(one("GET k0"), 0);
    assert_eq!(one("get k1"), 1);
    assert_eq!(one("set k2 v ex 10"), 2);
    assert_eq!(one("sinter {1}a {1}b"), 1);
    assert_eq!(one("eval s 2 a1 b1 x0"), 1);
    assert_eq!(one("object encoding k2"), 2);
    assert_eq!(one("xread count 1 streams a1 b4 0 0"), 1);
    assert_eq!(one("mget a1 b1 a1"), 1);
    assert_eq!(one("mset a1 x b1 y"), 1);
    assert_eq!(one("msetex 2 a1 v b1 v ex 10"), 1);
    assert_eq!(one("hexpire k1 10 fields 1 f"), 1);
    assert_eq!(one("vsim k2 ele x"), 2);
    assert_eq!(one("delifeq k1 v"), 1);
    assert_eq!(one("migrate h 1 k2 0 1"), 2);
}

#[test]
fn keys_apart_are_split_where_a_command_can_be() {
    assert_eq!(
        parts("MGET a0 b1 c0 d1 a0"),
        (
            vec!["0: MGET a0 c0 a0 @[0, 2, 4]".to_owned(), "1: MGET b1 d1 @[1, 3]".to_owned()],
            Response::ByIndex
        )
    );
    assert_eq!(
        parts("mset a2 1 b0 2 a2 3 c1 4"),
        (
            vec!["2: mset a2 1 a2 3 @[0, 2]".into(), "0: mset b0 2 @[1]".into(), "1: mset c1 4 @[3]".into()],
            Response::AllOk
        )
    );
    for name in ["del", "unlink", "exists", "touch"] {
        let (parts, response) = parts(&format!("{name} a1 a1 b0"));
        assert_eq!(parts, [format!("1: {name} a1 a1 @[0, 1]"), format!("0: {name} b0 @[2]")]);
        assert_eq!(response, Response::Sum);
    }
    assert_eq!(refused("mset a 1 b"), "ERR wrong number of arguments for 'mset' command");
    assert_eq!(refused("mset a0 1 b1 2 c2"), "ERR wrong number of arguments for 'mset' command");
}

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
fn every_shard_is_asked_and_the_replies_merged() {
    for (words, expected) in [
        ("dbsize", Response::Sum),
        ("keys *", Response::Concat),
        ("flushall", Response::AllOk),
        ("flushdb async", Response::AllOk),
        ("script load s", Response::AllOk),
        ("script exists a b", Response::LogicalAnd),
        ("script kill", Response::OneSucceeded),
        ("function stats", Response::Running),
        ("function load replace s", Response::AllOk),
        ("pubsub channels", Response::Union),
        ("pubsub numsub a", Response::PairSum),
        ("pubsub numpat", Response::Max),
        ("config set a b", Response::AllOk),
        ("slowlog get", Response::Concat),
        ("slowlog len", Response::Sum),
    ] {
        match decide(words) {
            Plan::Every(response) => assert_eq!(response, expected, "{words}"),
            other => panic!("{words}: {other:?}"),
        }
    }
    assert_eq!(one("config get *"), 0);
    assert_eq!(one("function list"), 0);
    assert_eq!(one("object help"), 0);
}

#[test]
fn what_has_no_keys_runs_where_its_name_hashes() {
    assert_eq!(one("publish channel1 m"), 1);
    assert_eq!(one("spublish channel2 m"), 2);
    assert_eq!(one("fcall Function1 0"), one("fcall function1 0 a b"));
    // The SHA-1 of `return 1` is e0e1f9fabfc9d4800c877a703b823ac0578ff8db: EVAL and EVALSHA in any case meet.
    let sha = "e0e1f9fabfc9d4800c877a703b823ac0578ff8db";
    let Some(expected) = locate(sha.as_bytes()) else { panic!() };
    for words in [[&b"eval"[..], b"return 1", b"0"], [b"evalsha", sha.as_bytes(), b"0"]] {
        assert!(matches!(decide_buf(&pack(&words)), Plan::One(shard) if shard == expected));
    }
    assert_eq!(one(&format!("EVALSHA {} 0 a", sha.to_uppercase())), expected.index());
    // With keys, only they count.
    assert_eq!(one("fcall function1 1 k2"), 2);
}

#[test]
fn subscriptions_and_transactions_are_the_callers() {
    for (words, expected) in [
        ("subscribe a b", Subscription::Channels),
        ("PSUBSCRIBE a*", Subscription::Patterns),
        ("ssubscribe a", Subscription::ShardChannels),
        ("unsubscribe", Subscription::EndChannels),
        ("punsubscribe", Subscription::EndPatterns),
        ("sunsubscribe a", Subscription::EndShardChannels),
    ] {
        assert!(matches!(decide(words), Plan::Subscription(kind) if kind == expected), "{words}");
    }
    for (words, expected) in [
        ("multi", Transaction::Begin),
        ("exec", Transaction::Execute),
        ("discard", Transaction::Discard),
        ("unwatch", Transaction::Unwatch),
    ] {
        assert!(matches!(decide(words), Plan::Transaction { command, shard: None } if command == expected));
    }
    assert!(matches!(
        decide("watch a1 b1"),
        Plan::Transaction { command: Transaction::Watch, shard: Some(shard) } if shard.index() == 1
    ));
}

#[test]
fn what_is_about_the_connection_is_answered_here() {
    for (words, expected) in [
        ("ping", LocalCommand::Ping),
        ("ping hello", LocalCommand::Ping),
        ("echo x", LocalCommand::Echo),
        ("hello 3", LocalCommand::Hello),
        ("auth p", LocalCommand::Auth),
        ("select 0", LocalCommand::Select),
        ("quit", LocalCommand::Quit),
        ("reset", LocalCommand::Reset),
        ("time", LocalCommand::Time),
        ("client id", LocalCommand::ClientId),
        ("client setinfo lib-name x", LocalCommand::ClientSetInfo),
        ("client no-touch on", LocalCommand::ClientNoTouch),
        ("command", LocalCommand::Command),
        ("COMMAND DOCS get", LocalCommand::CommandDocs),
        ("readonly", LocalCommand::ReadOnly),
        ("cluster slots", LocalCommand::ClusterDisabled),
        ("info", LocalCommand::Info),
    ] {
        assert!(matches!(decide(words), Plan::Local(command) if command == expected), "{words}");
    }
    // LOLWUT is not: any server can draw.
    assert_eq!(one("lolwut"), 0);
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
        "client kill 1",
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
fn with_no_live_shard_nothing_is_sent() {
    let table = Table::default();
    let ring = View::new(|_: &[u8]| None, &[]);
    for words in [
        "get k",
        "mget a b",
        "sinter a b",
        "dbsize",
        "scan 0",
        "randomkey",
        "config get x",
        "publish a b",
        "watch a",
    ] {
        let request = request(words);
        let decided = plan(request.view(), table.find(request.view()), &ring);
        assert!(matches!(decided, Plan::NoShard), "{words}: {decided:?}");
    }
    let request = request("ping");
    assert!(matches!(
        plan(request.view(), table.find(request.view()), &ring),
        Plan::Local(LocalCommand::Ping)
    ));
}

#[test]
fn a_random_key_comes_from_every_shard_with_the_same_chance() {
    let (table, live, request) = (Table::default(), live(), request("randomkey"));
    let mut first = [0; 3];
    for entropy in 0..3000 {
        let ring = View::new(locate, &live).entropy(entropy);
        let Plan::Random(mut order) = plan(request.view(), table.find(request.view()), &ring) else {
            panic!()
        };
        first[order[0].index()] += 1;
        order.sort_unstable();
        assert_eq!(order, live, "each shard once");
    }
    assert!(first.iter().all(|count| (900..1100).contains(count)), "{first:?}");
}

fn queue(words: &str, chosen: Option<usize>) -> Result<Queued, String> {
    let (table, live, request) = (Table::default(), live(), request(words));
    let ring = View::new(locate, &live);
    queued(request.view(), table.find(request.view()), &ring, chosen.map(ShardId::new))
        .map_err(|refusal| refusal.to_string())
}

#[test]
fn what_no_server_runs_is_refused_by_one_in_its_own_words() {
    for words in ["zunion x a", "eval s 3 a", "eval s -1", "lmpop 9 a left", "fcall f x a", "sintercard -1 a"]
    {
        assert!(matches!(decide(words), Plan::One(_)), "{words}: {:?}", decide(words));
    }
}

#[test]
fn a_transaction_stays_on_the_shard_of_its_first_key() {
    let on = |shard| Ok(Queued::On(ShardId::new(shard)));
    assert_eq!(queue("set k1 v", None), on(1));
    assert_eq!(queue("set k1 v", Some(1)), on(1));
    assert_eq!(queue("mget a1 b1", Some(1)), on(1));
    assert_eq!(queue("ping", Some(1)), Ok(Queued::Anywhere));
    assert_eq!(queue("unwatch", Some(1)), Ok(Queued::Anywhere));
    for words in ["eval s 0", "evalsha_ro s 0", "fcall f 0"] {
        for chosen in [None, Some(0), Some(1), Some(2)] {
            assert!(matches!(queue(words, chosen), Ok(Queued::Rather(_))), "{words}");
        }
    }
    assert!(queue("eval s 1 k2", Some(1)).unwrap_err().starts_with("CROSSSLOT"));
    assert_eq!(queue("eval s -1", Some(1)), Ok(Queued::Anywhere));
    assert_eq!(
        queue("set k2 v", Some(1)).unwrap_err(),
        "CROSSSLOT Keys in request don't hash to the same shard: 'k2' is not on the one that the transaction's first \
         key chose; give keys that belong together one hash tag, as in '{tag}a' and '{tag}b'"
    );
    for (words, which) in
        [("publish k2 m", "'k2' of PUBLISH is not"), ("Spublish k2 m", "'k2' of SPUBLISH is not")]
    {
        let refused = queue(words, Some(1)).unwrap_err();
        assert!(refused.starts_with("CROSSSLOT ") && refused.contains(which), "{refused}");
    }
    assert!(queue("mget a1 b2", None).unwrap_err().starts_with("CROSSSLOT"));
    assert!(queue("publish channel2 m", Some(1)).unwrap_err().starts_with("CROSSSLOT"));
    assert_eq!(queue("multi", None).unwrap_err(), "ERR MULTI calls can not be nested");
    assert_eq!(queue("watch k1", None).unwrap_err(), "ERR WATCH inside MULTI is not allowed");
    for words in ["dbsize", "scan 0", "randomkey", "flushall", "subscribe a", "save", "select 0", "hello 3"] {
        assert!(queue(words, None).is_err(), "{words}");
    }
    assert!(queue("nosuch", None).unwrap_err().starts_with("ERR unknown command"));
    assert!(queue("get", None).unwrap_err().starts_with("ERR wrong number"));

    let (table, live) = (Table::default(), live());
    let ring = View::new(locate, &live);
    let all = |calls: &[&str]| {
        let requests: Vec<_> = calls.iter().map(|words| request(words)).collect();
        same_shard(requests.iter().map(|request| (request.view(), table.find(request.view()))), &ring)
            .map_err(|(index, refusal)| (index, refusal.kind()))
    };
    assert_eq!(all(&["ping", "set k1 v", "get k1", "incr {1}n"]), Ok(Queued::On(ShardId::new(1))));
    assert_eq!(all(&["ping"]), Ok(Queued::Anywhere));
    // Scripts without keys follow the keys, and go by the first of them where there are none.
    assert_eq!(all(&["fcall f0 0", "set k1 v", "fcall f2 0"]), Ok(Queued::On(ShardId::new(1))));
    assert_eq!(all(&["ping", "fcall f0 0", "fcall f2 0"]), Ok(Queued::Rather(ShardId::new(0))));
    assert_eq!(all(&["ping", "set k1 v", "get k2"]), Err((2, RefusalKind::CrossShard)));
    assert_eq!(all(&["get"]), Err((0, RefusalKind::Arity)));
}

fn of<T>(words: &str, tell: impl Fn(&Row, &RequestBuf) -> T) -> T {
    let (table, request) = (Table::default(), request(words));
    tell(row(&table, &request), &request)
}

#[test]
fn what_is_left_of_a_wait_is_written_into_the_request() {
    let passed = Duration::from_micros(1_000_500);
    let after = |words: &str, passed| {
        of(words, |row, request| row.wait_rest(request.view(), passed)).map(RequestBuf::into_bytes)
    };
    let rest = |words: &str| after(words, passed);
    for (words, expected) in [
        ("blpop a b 2.5", "blpop a b 1.500"),
        ("blpop a 1", "blpop a 0.001"),
        ("blmpop 3 1 a left", "blmpop 2.000 1 a left"),
        ("xread block 1 block 2500 streams block 0", "xread block 1 block 1500 streams block 0"),
        ("xread block 100 streams a 0", "xread block 1 streams a 0"),
        ("wait 1 2000", "wait 1 1000"),
    ] {
        assert_eq!(rest(words), Some(request(expected).into_bytes()), "{words}");
    }
    for words in
        ["get k", "blpop a 0", "xread block 0 streams a 0", "xread streams a 0", "blpop a x", "blpop"]
    {
        assert_eq!(rest(words), None, "{words}");
    }
    let little = Duration::from_micros(500);
    assert_eq!(after("xread block 5 streams a 0", little), None);
}

#[test]
fn waits_are_read_from_the_request() {
    let blocks = |words: &str| of(words, |row, request| row.blocks(request.view()));
    for (words, expected) in [
        ("get k", Blocks::No),
        ("blpop a b 2.5", Blocks::For(Duration::from_millis(2500))),
        ("brpop a 0", Blocks::Forever),
        ("blmove a b left right 1", Blocks::For(Duration::from_secs(1))),
        ("bzpopmin a 1", Blocks::For(Duration::from_secs(1))),
        ("blmpop 3 1 a left", Blocks::For(Duration::from_secs(3))),
        ("bzmpop 0 1 a min", Blocks::Forever),
        ("xread count 1 block 1500 streams a 0", Blocks::For(Duration::from_millis(1500))),
        ("xread streams block 1", Blocks::No),
        ("xread block 0 streams a $", Blocks::Forever),
        ("xread BLOCK\0 7 streams\0x a $\0", Blocks::For(Duration::from_millis(7))),
        ("xreadgroup group block c streams a >", Blocks::No),
        ("xreadgroup group g c BLOCK 5 streams a >", Blocks::For(Duration::from_millis(5))),
        // Options come in any order, the last of a kind counts, and a value is no option.
        ("xreadgroup block 5 group g c streams a >", Blocks::For(Duration::from_millis(5))),
        ("xreadgroup noack block 5 count 1 group g c streams a >", Blocks::For(Duration::from_millis(5))),
        ("xread block 1 block 2500 streams a $", Blocks::For(Duration::from_millis(2500))),
        ("xreadgroup group block 7 streams a >", Blocks::No),
        ("xreadgroup group block 7 claim block block 5 streams a >", Blocks::For(Duration::from_millis(5))),
        ("xreadgroup group streams streams block 5 streams a >", Blocks::For(Duration::from_millis(5))),
        // Servers read numbers that are not read here, and some that are negative as 0: nobody knows how long.
        ("blpop a 0x2", Blocks::Forever),
        ("blpop a 0x0", Blocks::Forever),
        ("blpop a -0.0001", Blocks::Forever),
        ("blpop a +2.5", Blocks::For(Duration::from_millis(2500))),
        ("bzpopmin a 0x1p0", Blocks::Forever),
        ("blmpop 0x2 1 a left", Blocks::Forever),
        ("bzmpop 0x2 1 a min", Blocks::Forever),
        // What they refuse they refuse at once, wherever it is asked.
        ("blpop a x", Blocks::Forever),
        ("blpop a -1", Blocks::Forever),
        ("blpop a nan", Blocks::Forever),
        ("blpop a inf", Blocks::Forever),
        ("blpop a 1e300", Blocks::Forever),
        ("xread block x streams a 0", Blocks::Forever),
        ("wait 1 100", Blocks::For(Duration::from_millis(100))),
    ] {
        assert_eq!(blocks(words), expected, "{words}");
    }
    let (table, request) = (Table::default(), request("blpop a 0"));
    assert_eq!(table.find(request.view()).blocks(request.view()), Blocks::Forever);
    assert_eq!(Found::Unknown.blocks(request.view()), Blocks::No);
}

#[test]
fn what_may_be_repeated_is_said_by_the_request() {
    let repeat = |words: &str| of(words, |row, request| row.repeat(request.view()));
    for words in ["get k", "mget a b", "exists a", "hgetall k", "scan 0", "eval_ro s 0", "xread streams a 0"]
    {
        assert_eq!(repeat(words), Repeat::Read, "{words}");
    }
    for words in [
        "set k v",
        "set k v ex 10",
        "set nx v",
        "set k nx",
        "del a",
        "hset k f v",
        "sadd k m",
        "zadd k 1 m",
        "expire k 1",
        "getex k ex 10",
        "mset a 1",
        "script load s",
    ] {
        assert_eq!(repeat(words), Repeat::IdempotentWrite, "{words}");
    }
    for words in [
        "xread block 0 streams a $",
        "set k v nx",
        "set k v GET",
        "set k v ex 1 NX",
        "set k v ifeq x",
        "incr k",
        "lpush k v",
        "lpop k",
        "setnx k v",
        "getset k v",
        "zadd k incr 1 m",
        "zadd k NX 1 m",
        "expire k 1 nx",
        "hexpire k 1 gt fields 1 f",
        "getex k PXAT 1",
        "zincrby k 1 m",
        "eval s 0",
        "publish c m",
        "xadd k * f v",
        "msetnx a 1",
        "rename a b",
        "getdel k",
        "append k v",
        "zunionstore d 1 d",
        "flushall",
        "ping",
        "spop k",
        "ltrim k 1 -1",
        "hsetex k fnx fields 1 f v",
        "delifeq k v",
        "xreadgroup group g c streams a >",
    ] {
        assert_eq!(repeat(words), Repeat::Never, "{words}");
    }
}

#[test]
fn what_happens_to_scripts_and_libraries_is_told() {
    for (words, expected) in [
        ("script load s", Library::Keeps(2)),
        ("eval s 0", Library::Runs(1)),
        ("evalsha_ro s 0", Library::RunsKept(1)),
        ("script flush", Library::Forgets),
        ("function delete l", Library::ChangesFunctions),
        ("fcall f 0", Library::None),
        ("get k", Library::None),
    ] {
        assert_eq!(of(words, |row, _| row.library()), expected, "{words}");
    }
}

#[test]
fn written_keys_are_told_from_read_ones() {
    let written = |words: &str| {
        of(words, |row, request| {
            let keys = row.written_keys(request.view()).unwrap();
            keys.map(|key| String::from_utf8_lossy(request.view().argument(key.index).unwrap()).into_owned())
                .collect::<Vec<_>>()
        })
    };
    assert_eq!(written("zunionstore d 2 a b"), ["d"]);
    assert_eq!(written("sort a store b"), ["b"]);
    assert_eq!(written("rename a b"), ["a", "b"]);
    assert_eq!(written("mset a 1 b 2"), ["a", "b"]);
    assert!(written("mget a b").is_empty());
    assert!(written("georadius k 1 2 3 m").is_empty());
}

/// Classes and facts fit together, for every row.
#[test]
fn every_row_makes_sense() {
    let table = Table::default();
    for row in all(&table) {
        let (name, specs) = (row.name(), row.specs());
        match row.class() {
            Class::Split(_) => assert!(specs.len() == 1, "{name}"),
            Class::KeysOr(_) => assert!(!specs.is_empty(), "{name}"),
            Class::Keys => assert!(!specs.is_empty(), "{name}"),
            Class::Container => assert!(!row.subcommands().is_empty(), "{name}"),
            Class::Refused { because, .. } => {
                assert!(!because.is_empty() && !because.ends_with('.'), "{name}")
            }
            Class::Transaction(Transaction::Watch) => assert!(specs.len() == 1),
            _ => assert!(specs.is_empty(), "{name} has keys that nobody looks at"),
        }
        if row.care() == Care::Patterns {
            assert!(name.starts_with("sort"));
        }
    }
    let mut names: Vec<_> = table.rows().map(Row::name).collect();
    let sorted = {
        let mut copy = names.clone();
        copy.sort_unstable();
        copy
    };
    assert_eq!(names, sorted);
    names.dedup();
    assert_eq!(names.len(), sorted.len());
    assert!(matches!(table.find(pack::<&str>(&[]).view()), Found::Unknown));
}
