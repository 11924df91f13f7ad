//! What holds for every request and every ring: plans lose no key, keep order, guess nothing and never panic.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod command;
mod twin;

use std::collections::{BTreeMap, BTreeSet};

use command::{all, pack};
use proptest::prelude::*;
use rendis_core::{
    command::{Blocks, Class, Found, OnlyKey, Row, Table},
    id::ShardId,
    merge::{Cursor, Scanned},
    plan::{Plan, RefusalKind, View, plan},
    reply::Reply,
    request::RequestBuf,
};
use twin::agree::{self, locate};

/// Keys of which many are the same and some share a tag.
fn key() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        "[a-e]".prop_map(String::into_bytes),
        "\\{[ab]\\}[a-c]?".prop_map(String::into_bytes),
        prop::collection::vec(any::<u8>(), 0..4),
    ]
}

fn decide(request: &RequestBuf, shards: usize) -> Plan {
    let live: Vec<_> = (0..shards).map(ShardId::new).collect();
    plan(request.view(), Table::default().find(request.view()), &View::new(locate(shards), &live))
}

/// A call of a command with the right number of arguments, of words that mean something somewhere.
fn call() -> impl Strategy<Value = RequestBuf> {
    let table = Table::default();
    let names: Vec<(Vec<Vec<u8>>, usize)> = all(&table)
        .map(|row| {
            let words = row.name().split('|').map(|word| word.as_bytes().to_vec()).collect();
            (words, usize::from(row.arity().unsigned_abs()))
        })
        .collect();
    let word = prop_oneof![
        4 => key(),
        2 => "[0-4]".prop_map(String::into_bytes),
        1 => prop::sample::select(&["store", "STREAMS", "keys", "by", "get", "limit", "count", "block", "w_*", "#", "db"][..])
            .prop_map(|word| word.as_bytes().to_vec()),
    ];
    (prop::sample::select(names), prop::collection::vec(word, 0..14), any::<bool>()).prop_map(
        |((mut words, arity), mut rest, exact)| {
            rest.truncate(if exact { arity.saturating_sub(words.len()) } else { 14 });
            words.extend(rest);
            pack(&words)
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn a_split_deals_every_key_to_its_shard_once_and_in_order(
        name in prop::sample::select(&["MGET", "mset", "Del", "UNLINK", "exists", "touch"][..]),
        keys in prop::collection::vec((key(), prop::collection::vec(any::<u8>(), 0..4)), 1..12),
        shards in 1_usize..6,
    ) {
        let pairs = name == "mset";
        let mut words = vec![name.as_bytes().to_vec()];
        for (key, value) in &keys {
            words.push(key.clone());
            if pairs {
                words.push(value.clone());
            }
        }
        let request = pack(&words);
        let place = |key: &[u8]| locate(shards)(key).unwrap();
        match decide(&request, shards) {
            Plan::One(shard) => prop_assert!(keys.iter().all(|(key, _)| place(key) == shard)),
            Plan::Split { cut, .. } => {
                prop_assert!(cut.parts().len() > 1);
                prop_assert_eq!(cut.order().len(), keys.len());
                let mut dealt = BTreeMap::new();
                for (number, part) in (0..).zip(cut.parts()) {
                    let mut frame = Vec::new();
                    part.write(request.view(), &mut frame);
                    prop_assert!(part.size(request.view()).abs_diff(frame.len()) <= 16);
                    // A whole frame, readable by itself.
                    let own = RequestBuf::parse(frame.clone()).unwrap();
                    let arguments: Vec<_> = own.view().arguments().map(<[u8]>::to_vec).collect();
                    prop_assert_eq!(part.pack(request.view()).into_bytes(), frame);
                    prop_assert_eq!(&arguments[0], name.as_bytes());
                    prop_assert!(part.keys.windows(2).all(|pair| pair[0] < pair[1]));
                    let groups: Vec<_> = arguments[1..].chunks(if pairs { 2 } else { 1 }).collect();
                    prop_assert_eq!(groups.len(), part.keys.len());
                    for (group, key) in groups.iter().zip(part.keys) {
                        prop_assert_eq!(place(&group[0]), part.shard);
                        prop_assert_eq!(cut.order()[usize::try_from(*key).unwrap()], number);
                        prop_assert!(dealt.insert(*key, group.to_vec()).is_none());
                    }
                }
                let together: Vec<Vec<u8>> = dealt.into_values().flatten().collect();
                prop_assert_eq!(&together[..], &words[1..]);
                prop_assert!(cut.parts().map(|part| part.keys[0]).is_sorted());
                let shards: BTreeSet<_> = cut.parts().map(|part| part.shard).collect();
                prop_assert_eq!(shards.len(), cut.parts().len());
            }
            other => prop_assert!(false, "{:?}", other),
        }
    }

    #[test]
    fn no_request_reaches_a_shard_that_does_not_hold_all_of_its_keys(request in call(), shards in 1_usize..5) {
        agree::planner(&request, shards);
    }

    #[test]
    fn a_transaction_is_on_one_shard_or_refused(requests in prop::collection::vec(call(), 0..5), shards in 1_usize..4) {
        agree::transaction(&requests, shards);
    }

    #[test]
    fn any_words_have_a_plan(words in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..20), 0..6)) {
        let _total = decide(&pack(&words), 3);
    }

    #[test]
    fn a_known_command_is_never_unknown_and_its_arity_is_checked_first(request in call()) {
        let table = Table::default();
        let row = match table.find(request.view()) {
            Found::Row(row) => row,
            Found::UnknownSubcommand(row) => {
                prop_assert!(row.subcommand(request.view().argument(1).unwrap()).is_none());
                return Ok(());
            }
            Found::Unknown => return Err(TestCaseError::fail("a known command")),
        };
        let refused = matches!(decide(&request, 2), Plan::Refused(refusal) if refusal.kind() == RefusalKind::Arity);
        if !row.takes(request.view().count()) {
            prop_assert!(refused);
        } else if refused {
            // MSET with an odd number of words, a container without its subcommand.
            prop_assert!(matches!(row.class(), Class::Split(_) | Class::Container));
        }
    }

    #[test]
    fn a_fixed_first_key_is_what_the_specifications_find(request in call()) {
        let table = Table::default();
        for row in [table.find(request.view())].iter().filter_map(|found| match found {
            Found::Row(row) if row.takes(request.view().count()) => Some(*row),
            _ => None,
        }) {
            if let Some(first) = Row::first_key(row) {
                let keys: Vec<_> = row.keys(request.view()).unwrap().map(|key| key.index).collect();
                prop_assert_eq!(keys, vec![first]);
            }
        }
    }

    #[test]
    fn the_only_key_that_is_told_at_a_glance_is_where_the_request_goes(request in call()) {
        let (table, view) = (Table::default(), request.view());
        let only = Table::only_key(|index| view.argument(index), view.count());
        let Some(OnlyKey { row, key, place }) = only else { return Ok(()) };
        prop_assert_eq!(Table::place(view.name()), Some(place));
        prop_assert!(matches!(table.find(view), Found::Row(found) if found.name() == row.name()));
        prop_assert_eq!(agree::keys(&table, request.view()), vec![key.to_vec()]);
        prop_assert_eq!(row.blocks(view), Blocks::No);
        let shard = locate(3)(key).unwrap();
        prop_assert!(matches!(decide(&request, 3), Plan::One(planned) if planned == shard));
    }

    /// A scan over made-up shards, some of which go down on the way.
    #[test]
    fn a_scan_sees_every_key_of_every_shard_that_stays(
        sizes in prop::collection::vec(0_u64..20, 1..6),
        falls in prop::collection::vec((0_usize..30, 0_usize..6), 0..3),
    ) {
        let mut live: Vec<_> = (0..sizes.len()).map(ShardId::new).collect();
        let (mut cursor, mut seen, mut steps) = ("0".to_owned(), BTreeMap::new(), 0);
        let table = Table::default();
        loop {
            for (_, shard) in falls.iter().filter(|(step, _)| *step == steps) {
                live.retain(|live| live.index() != *shard || live.index() == 0);
            }
            steps += 1;
            prop_assert!(steps < 200, "it ends");
            let request = pack(&["SCAN", &cursor, "MATCH", "x*", "COUNT", "3", "TYPE", "string"]);
            let step = match plan(request.view(), table.find(request.view()), &View::new(locate(1), &live)) {
                Plan::Scan(step) => step,
                Plan::ScanEnd => break,
                other => return Err(TestCaseError::fail(format!("{other:?}"))),
            };
            let words: Vec<_> = step.request.view().arguments().collect();
            prop_assert_eq!(&words[2..], &[&b"MATCH"[..], b"x*", b"COUNT", b"3", b"TYPE", b"string"]);
            // The shard's own cursor counts its keys from the end, three at a time; 0 begins and ends.
            let own: u64 = std::str::from_utf8(words[1]).unwrap().parse().unwrap();
            let size = sizes[step.shard.index()];
            let begin = if own == 0 { 0 } else { own };
            let end = (begin + 3).min(size);
            for key in begin..end {
                *seen.entry((step.shard, key)).or_insert(0) += 1;
            }
            let next = if end == size { 0 } else { end };
            let reply = Reply::array([&Reply::bulk(next.to_string().as_bytes()), &Reply::array([])]);
            let mut scanned = Scanned::default();
            scanned.take(&reply, step.shard, step.next).unwrap();
            if scanned.is_between_shards() {
                // The step that goes on in the same answer is the one that the cursor would lead to.
                let onward = step.onward(&live).unwrap();
                let cursor = Cursor { shard: onward.shard, own: 0 }.to_string();
                let request = pack(&["SCAN", &cursor, "MATCH", "x*", "COUNT", "3", "TYPE", "string"]);
                let again = plan(request.view(), table.find(request.view()), &View::new(locate(1), &live));
                let Plan::Scan(again) = again else { panic!("{again:?}") };
                prop_assert_eq!(onward.request.view().bytes(), again.request.view().bytes());
                prop_assert_eq!((onward.shard, onward.next, onward.count), (again.shard, again.next, 3));
            }
            let reply = scanned.reply();
            let mut reader = reply.reader();
            reader.next().unwrap();
            let rendis_core::reply::Node::Bulk(Some(text)) = reader.next().unwrap() else { panic!() };
            cursor = String::from_utf8(text.to_vec()).unwrap();
            if cursor == "0" {
                break;
            }
            prop_assert!(Cursor::parse(cursor.as_bytes()).is_some());
        }
        for shard in &live {
            for key in 0..sizes[shard.index()] {
                prop_assert_eq!(seen.get(&(*shard, key)), Some(&1), "key {} of shard {}", key, shard);
            }
        }
    }
}

#[test]
fn one_shard_is_planned_without_an_allocation() {
    let (table, live) = (Table::default(), [ShardId::new(0), ShardId::new(1)]);
    let ring = View::new(locate(2), &live);
    for words in [
        "GET key",
        "set key value ex 10",
        "mget {a}1 {a}2 {a}3",
        "mset {a}1 x {a}2 y",
        "sinter {a}1 {a}2",
        "zunionstore {a}d 2 {a}1 {a}2 weights 1 2",
        "xread count 1 streams {a}1 {a}2 0 0",
        "eval script 1 key",
        "eval script 0",
        "sort {a}1 by {a}w_* store {a}2",
        "object encoding key",
        "publish channel message",
        "config get maxmemory",
        "dbsize",
        "ping",
        "client id",
    ] {
        let request = command::request(words);
        let counted = allocation_counter::measure(|| {
            let decided = plan(request.view(), table.find(request.view()), &ring);
            assert!(!matches!(decided, Plan::Refused(_) | Plan::NoShard));
        });
        assert_eq!(counted.count_total, 0, "{words}");
    }
}
