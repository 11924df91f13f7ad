//! Where each kind of command goes: to the shard of its keys or of its name, in parts, to every shard, to the shard of
//! its transaction, or to none because it is answered here.

use rendis_core::{
    command::{LocalCommand, Response, Subscription, Table, Transaction},
    id::ShardId,
    plan::{Plan, Queued, RefusalKind, View, plan, queued, same_shard},
};

use crate::command::{pack, request};
use crate::{decide, decide_buf, live, locate, one, refused};

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
