//! Plans run against real servers: three shards give the answers that one server gives.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod command;

use std::collections::BTreeMap;

use command::{Dice, Server, pack};
use rendis_core::{
    command::{Response, Table},
    hash::crc16_xmodem,
    id::ShardId,
    merge::{Scanned, merge},
    plan::{Plan, View, plan},
    reply::Reply,
    request::RequestBuf,
};
use rendis_testkit::Reply as Answer;

/// Some servers, used as the engine would, and nothing more.
struct Shards {
    table: Table,
    servers: Vec<Server>,
    live: Vec<ShardId>,
}

impl Shards {
    fn start(count: usize) -> Self {
        let servers = (0..count).map(|_| Server::start()).collect();
        Self { table: Table::default(), servers, live: (0..count).map(ShardId::new).collect() }
    }

    fn plan(&self, request: &RequestBuf) -> Plan {
        let shards = self.servers.len();
        let locate = |key: &[u8]| Some(ShardId::new(usize::from(crc16_xmodem(key)) % shards));
        plan(request.view(), self.table.find(request.view()), &View::new(locate, &self.live).entropy(42))
    }

    fn send(&mut self, shard: ShardId, request: &RequestBuf) -> Reply {
        frame(&self.servers[shard.index()].send(request.view().bytes()))
    }

    fn run<A: AsRef<[u8]>>(&mut self, words: &[A]) -> Reply {
        let request = pack(words);
        match self.plan(&request) {
            Plan::One(shard) => self.send(shard, &request),
            Plan::Split { cut, response } => {
                let replies: Vec<_> = cut
                    .parts()
                    .map(|part| Ok::<_, ()>(self.send(part.shard, &part.pack(request.view()))))
                    .collect();
                merge(response, replies, cut.order()).unwrap()
            }
            Plan::Every(response) => {
                let live = self.live.clone();
                let replies = live.into_iter().map(|shard| Ok::<_, ()>(self.send(shard, &request)));
                merge(response, replies, &[]).unwrap()
            }
            Plan::Scan(step) => {
                let mut scanned = Scanned::default();
                scanned.take(&self.send(step.shard, &step.request), step.shard, step.next).unwrap();
                scanned.reply()
            }
            Plan::Random(order) => {
                let replies = order.into_iter().map(|shard| Ok::<_, ()>(self.send(shard, &request)));
                merge(Response::Random, replies, &[]).unwrap()
            }
            other => panic!("{:?}: {other:?}", request.view()),
        }
    }
}

/// A reply of the test's own client as a frame.
fn frame(answer: &Answer) -> Reply {
    match answer {
        Answer::Simple(text) => Reply::simple(text),
        Answer::Error(text) => {
            let (code, text) = text.split_once(' ').unwrap_or((text, ""));
            Reply::error(code, text)
        }
        Answer::Integer(number) => Reply::integer(*number),
        Answer::Bulk(bytes) => Reply::bulk(bytes),
        Answer::Nil => Reply::null(),
        Answer::Array(values) => {
            let frames: Vec<_> = values.iter().map(frame).collect();
            Reply::array(&frames)
        }
        other => panic!("not in RESP2: {other:?}"),
    }
}

fn read(reply: &Reply) -> Answer {
    Answer::read(&mut reply.frame()).unwrap()
}

#[test]
fn split_commands_answer_as_one_server_does() {
    let (mut shards, mut whole) = (Shards::start(3), Server::start());
    let mut dice = Dice(99);
    let mut split = 0;
    for _ in 0..1500 {
        let name = ["MSET", "MGET", "MGET", "DEL", "UNLINK", "EXISTS", "TOUCH"][dice.roll(7)];
        let mut words = vec![name.to_owned()];
        for _ in 0..=dice.roll(6) {
            words.push(format!("key{}", dice.roll(12)));
            if name == "MSET" {
                words.push(format!("value{}", dice.roll(1000)));
            }
        }
        split += usize::from(matches!(shards.plan(&pack(&words)), Plan::Split { .. }));
        assert_eq!(read(&shards.run(&words)), whole.ask(&words), "{words:?}");
    }
    assert!(split > 700, "{split}");
    assert_eq!(shards.run(&["DBSIZE"]).as_integer(), Some(whole.ask(&["DBSIZE"]).integer()));
    let sorted = |answer: Answer| {
        let mut keys: Vec<_> = answer.elements().iter().map(|key| key.text().to_owned()).collect();
        keys.sort_unstable();
        keys
    };
    assert_eq!(sorted(read(&shards.run(&["KEYS", "key1*"]))), sorted(whole.ask(&["KEYS", "key1*"])));
    assert!(shards.run(&["FLUSHALL"]).is_ok());
    assert_eq!(shards.run(&["DBSIZE"]).as_integer(), Some(0));
    assert!(shards.run(&["RANDOMKEY"]).is_null());
    shards.run(&["SET", "only", "1"]);
    assert_eq!(shards.run(&["RANDOMKEY"]).as_bulk(), Some(&b"only"[..]));
}

#[test]
fn a_scan_gives_every_key_of_all_shards() {
    let mut shards = Shards::start(3);
    for number in 0..2000 {
        shards.run(&["SET".to_owned(), format!("key{number}"), "x".to_owned()]);
    }
    for number in 0..100 {
        shards.run(&["LPUSH".to_owned(), format!("list{number}"), "x".to_owned()]);
    }
    for (options, expected) in [
        (&[][..], 2100),
        (&["COUNT", "100"], 2100),
        (&["MATCH", "key1*"], 1111),
        (&["TYPE", "list", "COUNT", "7"], 100),
    ] {
        let (mut cursor, mut seen) = ("0".to_owned(), BTreeMap::new());
        loop {
            let mut words = vec!["SCAN", cursor.as_str()];
            words.extend(options);
            let answer = read(&shards.run(&words));
            for key in answer.elements()[1].elements() {
                *seen.entry(key.text().to_owned()).or_insert(0) += 1;
            }
            cursor = answer.elements()[0].text().to_owned();
            if cursor == "0" {
                break;
            }
        }
        assert_eq!(seen.len(), expected, "{options:?}");
        // No key is written meanwhile and no table grows, so none is seen twice either.
        assert!(seen.values().all(|times| *times == 1), "{options:?}");
    }
}

#[test]
fn a_script_without_keys_meets_itself() {
    let mut shards = Shards::start(3);
    for number in 0..20 {
        let body = format!("return {number}");
        let loaded = shards.run(&["EVAL", &body, "0"]);
        assert_eq!(loaded.as_integer(), Some(number));
        let sha = shards.servers[0].ask(&["SCRIPT", "LOAD", &body]).text().to_owned();
        let plan = shards.plan(&pack(&["EVALSHA", &sha, "0"]));
        let body_plan = shards.plan(&pack(&["EVAL", &body, "0"]));
        let (Plan::One(by_sha), Plan::One(by_body)) = (plan, body_plan) else { panic!() };
        assert_eq!(by_sha, by_body);
        assert_eq!(shards.run(&["EVALSHA", &sha.to_uppercase(), "0"]).as_integer(), Some(number));
    }
}
