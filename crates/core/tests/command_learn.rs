//! Rows learned from `COMMAND INFO`: of a real server in both protocols, and of modules as they describe themselves.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod command;

use std::{
    io::{Read, Write},
    net::TcpStream,
};

use command::{NEWER_ARITY, Server, all, pack, places, request};
use proptest::prelude::*;
use rendis_core::{
    command::{
        Anchor, Begin, Blocks, Categories, Class, Flags, Found, LearnError, Repeat, Response, Row, Table,
        learn,
    },
    id::ShardId,
    plan::{Plan, View, plan},
    scan::{Limits, Scanner},
};

/// A connection that gives replies as they came.
struct Raw(TcpStream);

impl Raw {
    fn ask(&mut self, arguments: &[&str]) -> Vec<u8> {
        self.0.write_all(pack(arguments).view().bytes()).unwrap();
        let (mut scanner, mut reply) = (Scanner::new(Limits::REPLY), Vec::new());
        loop {
            let mut some = [0; 4096];
            let count = self.0.read(&mut some).unwrap();
            assert!(count > 0, "the server closed the connection");
            reply.extend_from_slice(&some[..count]);
            if let Some(end) = scanner.scan(&reply).unwrap() {
                assert_eq!(end, reply.len());
                return reply;
            }
        }
    }
}

#[test]
fn what_a_server_says_about_its_commands_gives_the_rows_of_the_table() {
    let server = Server::start();
    let table = Table::default();
    for protocol in ["2", "3"] {
        let mut connection = Raw(TcpStream::connect(("127.0.0.1", server.port())).unwrap());
        connection.ask(&["HELLO", protocol]);
        let mut learned = 0;
        for row in table.rows() {
            let Some(fresh) = learn(&connection.ask(&["COMMAND", "INFO", row.name()])).unwrap() else {
                continue;
            };
            learned += 1;
            same(row, &fresh, server.is_7_0());
            assert_eq!(row.subcommands().is_empty(), fresh.subcommands().is_empty());
            for fresh in fresh.subcommands() {
                same(table.named(fresh.name().as_bytes()).unwrap(), fresh, server.is_7_0());
            }
        }
        assert!(learned >= 240, "{learned}");
        assert!(learn(&connection.ask(&["COMMAND", "INFO", "nosuch"])).unwrap().is_none());
        assert_eq!(learn(&connection.ask(&["COMMAND", "NOSUCH"])).unwrap_err(), LearnError::NotCommandInfo);
    }
}

fn same(row: &Row, fresh: &Row, is_7_0: bool) {
    let name = row.name();
    // Flags and categories differ between versions.
    if is_7_0 {
        assert_eq!(row.categories(), fresh.categories(), "the categories of {name}");
        assert_eq!(fresh.flags().and(Flags::IDEMPOTENT), row.flags().and(Flags::IDEMPOTENT), "{name}");
    }
    assert_eq!(fresh.name(), name);
    // As Redis 7.2 and newer have it.
    let newer = NEWER_ARITY.contains(&name);
    assert!(newer || fresh.arity() == row.arity(), "{name}");
    assert!(!fresh.flags().has(Flags::IDEMPOTENT), "{name}");
    if ["sort", "sort_ro", "migrate"].contains(&name) {
        assert!(matches!(fresh.class(), Class::Refused { .. }), "{name}: {:?}", fresh.class());
    } else {
        // The table walks the options where a server only says: after the first such word.
        let walked = row.specs().iter().any(|spec| matches!(spec.begin, Begin::Option(_)));
        let guessed = fresh.specs().iter().any(|spec| matches!(spec.begin, Begin::Keyword { .. }));
        assert_eq!(walked, guessed, "{name}");
        // What a command does with its keys differs between versions too; where they stand does not.
        let equal =
            if is_7_0 { fresh.specs() == row.specs() } else { places(fresh.specs()) == places(row.specs()) };
        assert!(walked || equal, "{name}: {:?}", fresh.specs());
        assert_eq!(fresh.first_key(), row.first_key(), "{name}");
    }
}

/// A reply in which `[`, `]` are an array and words are bulk strings or, if they are numbers, integers.
fn reply(text: &str) -> Vec<u8> {
    fn value<'t>(words: &mut impl Iterator<Item = &'t str>, word: &str, out: &mut Vec<u8>) {
        if word == "[" {
            let (mut count, mut inner) = (0, Vec::new());
            while let Some(word) = words.next().filter(|word| *word != "]") {
                value(words, word, &mut inner);
                count += 1;
            }
            out.extend_from_slice(format!("*{count}\r\n").as_bytes());
            out.extend_from_slice(&inner);
        } else if word == "nil" {
            out.extend_from_slice(b"*-1\r\n");
        } else if word.parse::<i64>().is_ok() {
            out.extend_from_slice(format!(":{word}\r\n").as_bytes());
        } else {
            out.extend_from_slice(format!("${}\r\n{word}\r\n", word.len()).as_bytes());
        }
    }
    let (mut words, mut out) = (text.split_whitespace(), Vec::new());
    let first = words.next().unwrap();
    value(&mut words, first, &mut out);
    out
}

fn module(text: &str) -> Row {
    learn(&reply(&format!("[ [ {text} ] ]"))).unwrap().unwrap()
}

#[test]
fn commands_of_modules_route_by_what_the_server_says() {
    // Redis 6: no specifications, but a first key.
    let row = module("JSON.GET -2 [ readonly module ] 1 1 1 [ ]");
    assert_eq!((row.name(), row.class(), row.first_key()), ("json.get", Class::Keys, Some(1)));
    assert_eq!(row.repeat(request("json.get k").view()), Repeat::Read);
    let row = module("JSON.MGET -3 [ readonly ] 1 -2 1");
    let keys: Vec<_> =
        row.keys(request("json.mget a b $.x").view()).unwrap().map(|key| (key.index, key.writes)).collect();
    assert_eq!(keys, [(1, false), (2, false)]);
    // A write that nobody judged is never repeated.
    let row = module("bf.add 3 [ write denyoom ] 1 1 1");
    assert_eq!(row.repeat(request("bf.add k v").view()), Repeat::Never);
    assert!(row.keys(request("bf.add k v").view()).unwrap().all(|key| key.writes));
    // Keys, but who knows where.
    assert!(matches!(module("x.y -2 [ write movablekeys ] 1 1 1").class(), Class::Refused { .. }));
    let guessed = "x.y -2 [ write movablekeys ] 1 1 1 [ ] [ ] [ [ flags [ RW access update variable_flags ] begin_search \
                   [ type index spec [ index 1 ] ] find_keys [ type range spec [ lastkey 0 keystep 1 limit 0 ] ] ] ] [ ]";
    assert!(matches!(module(guessed).class(), Class::Refused { .. }));
    assert!(matches!(module(&guessed.replace(" variable_flags", "")).class(), Class::Keys));
    assert!(matches!(module(&guessed.replace(" movablekeys", "")).class(), Class::Keys));
    // No keys: by the name of the index, so that everything about one meets.
    assert_eq!(
        module("ft.search -3 [ readonly ] 0 0 0 [ ] [ ] [ ] [ ]").class(),
        Class::Anchored(Anchor::Argument(1))
    );
    // And what would answer for one shard as if it were all.
    for text in
        ["ft._list 1 [ readonly ]", "ts.mrange -5 [ readonly ]", "x.clear 1 [ write ]", "ft.config -2 [ ]"]
    {
        let row = module(&format!("{text} 0 0 0 [ ] [ ] [ ] [ ]"));
        assert!(matches!(row.class(), Class::Refused { allowable: false, .. }), "{text}");
    }
    // Who may run it is for the server's categories to say, where it has some.
    let read = |row: &Row| row.categories().overlaps(Categories::READ);
    assert!(!read(&module("ft.config -2 [ readonly ] 0 0 0 [ ] [ ] [ ] [ ]")));
    assert!(read(&module("ft.info 2 [ readonly ] 0 0 0 [ @read @slow ] [ ] [ ] [ ]")));
    assert!(read(&module("json.get -2 [ readonly ] 1 1 1")));
    // The tips of the server.
    let tips = "[ request_policy:all_shards response_policy:agg_sum ]";
    assert_eq!(
        module(&format!("x.size 1 [ readonly ] 0 0 0 [ ] {tips} [ ] [ ]")).class(),
        Class::Every(Response::Sum)
    );
    for tips in ["[ request_policy:special ]", "[ request_policy:all_nodes response_policy:special ]"] {
        let row = module(&format!("x.size 1 [ readonly ] 0 0 0 [ ] {tips} [ ] [ ]"));
        assert!(matches!(row.class(), Class::Refused { allowable: false, .. }));
    }
    // A wait of unknown length needs a connection of its own.
    let row = module("x.wait 2 [ readonly blocking ] 1 1 1");
    assert_eq!(row.blocks(request("x.wait k").view()), Blocks::Forever);
}

#[test]
fn a_learned_command_whose_keys_cannot_be_told_is_refused() {
    let spec = "[ flags [ RW access ] begin_search [ type index spec [ index 1 ] ] find_keys [ type keynum spec [ \
                keynumidx 0 firstkey 1 keystep 1 ] ] ]";
    let mut table = Table::default();
    assert!(table.insert(module(&format!("x.many -2 [ movablekeys ] 0 0 0 [ ] [ ] [ {spec} ] [ ]"))));
    let live = [ShardId::new(0), ShardId::new(1)];
    let ring = View::new(|_: &[u8]| Some(live[1]), &live);
    for (words, good) in
        [("x.many 1 k", true), ("x.many x k", false), ("x.many 5 k", false), ("x.many -1 k", false)]
    {
        let request = request(words);
        let plan = plan(request.view(), table.find(request.view()), &ring);
        assert_eq!(matches!(plan, Plan::One(_)), good, "{words}: {plan:?}");
        assert_eq!(matches!(plan, Plan::Refused(_)), !good, "{words}: {plan:?}");
    }
}

#[test]
fn learned_rows_are_found_and_change_nothing_built_in() {
    let mut table = Table::default();
    assert!(matches!(table.find(request("json.get k").view()), Found::Unknown));
    assert!(table.insert(module("JSON.GET -2 [ readonly ] 1 1 1")));
    assert!(matches!(table.find(request("Json.Get k").view()), Found::Row(row) if row.name() == "json.get"));
    let long = "x".repeat(Table::LONGEST_NAME);
    assert!(table.insert(module(&format!("{long} 1 [ ] 0 0 0"))));
    assert!(matches!(table.find(request(&long.to_uppercase()).view()), Found::Row(_)));
    assert!(!table.insert(module(&format!("{long}x 1 [ ] 0 0 0"))));
    assert!(matches!(table.find(request(&format!("{long}x")).view()), Found::Unknown));
    assert!(!table.insert(module("get -1 [ readonly ] 0 0 0")));
    assert_eq!(table.named(b"GET").unwrap().arity(), 2);

    let text =
        "ft.config -2 [ ] 0 0 0 [ ] [ ] [ ] [ [ ft.config|get -3 [ readonly ] 0 0 0 [ ] [ ] [ ] [ ] ] ]";
    assert!(table.insert(module(text)));
    assert!(
        matches!(table.find(request("FT.CONFIG GET x").view()), Found::Row(row) if row.name() == "ft.config|get")
    );
    assert!(matches!(table.find(request("ft.config no").view()), Found::UnknownSubcommand(_)));

    for number in 0..2 * Table::MOST_LEARNED {
        table.insert(module(&format!("m.{number} 2 [ readonly ] 1 1 1")));
    }
    assert!(all(&table).filter(|row| row.name().contains('.')).count() <= Table::MOST_LEARNED + 1);
    assert!(table.insert(module("json.get -3 [ readonly ] 1 1 1")), "a known row can be learned anew");
}

#[test]
fn what_is_no_reply_to_command_info_is_no_row() {
    for text in ["[ ]", "[ nil nil ]", "1", "[ [ ] ]", "[ [ x ] ]", "[ [ 1 2 [ ] 0 0 0 ] ]", "[ x ]"] {
        assert_eq!(learn(&reply(text)).unwrap_err(), LearnError::NotCommandInfo, "{text}");
    }
    assert!(learn(&reply("[ nil ]")).unwrap().is_none());
    // Servers up to 6.2 list them, and hang up on whoever says them.
    for trap in ["post", "host:"] {
        assert!(
            learn(&reply(&format!("[ [ {trap} -1 [ loading stale readonly ] 0 0 0 ] ]"))).unwrap().is_none()
        );
    }
    let admin = module("x.admin 1 [ admin ] 0 0 0");
    assert!(matches!(admin.class(), Class::Refused { .. }));
    assert!(matches!(learn(b"*1\r\n*6\r\n$1\r\nx\r\n"), Err(LearnError::Reply(_))));
}

proptest! {
    #[test]
    fn any_bytes_are_a_row_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _total = learn(&bytes);
    }

    #[test]
    fn any_reply_is_a_row_or_an_error(words in prop::collection::vec("\\[|\\]|-?[0-9]{1,9}|flags|index|spec|type", 0..60)) {
        let _total = learn(&reply(&format!("[ [ x 2 [ ] {} ] ]", words.join(" "))));
    }
}
