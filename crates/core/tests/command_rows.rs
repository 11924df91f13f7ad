//! What a row of the table says of a request: how long it waits, whether it may be repeated, what it writes, and what
//! it does to scripts and libraries; and that the facts of each row fit together.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod command;

use std::time::Duration;

use command::{all, pack, request, row};
use rendis_core::{
    command::{Blocks, Care, Class, Found, Library, Repeat, Row, Table, Transaction},
    request::RequestBuf,
};

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
