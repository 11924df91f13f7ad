//! What the tests of the command table and of the planner share.

#![allow(dead_code, reason = "each test uses its own part")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use rendis_core::{
    command::{Begin, Find, Found, KeySpec, Row, Table},
    request::RequestBuf,
};
use rendis_testkit::{Client, RedisServer, Reply};

/// A server for a test.
pub(crate) struct Server {
    client: Client,
    server: RedisServer,
}

impl Server {
    pub(crate) fn start() -> Self {
        let server = RedisServer::start();
        Self { client: server.client().expect("a connection to the server just started"), server }
    }

    pub(crate) fn port(&self) -> u16 {
        self.server.port()
    }

    /// Whether it is the version of which the table has flags and categories.
    pub(crate) fn is_7_0(&self) -> bool {
        self.server.version() == (7, 0)
    }

    pub(crate) fn ask<A: AsRef<[u8]>>(&mut self, arguments: &[A]) -> Reply {
        self.client.command(arguments).expect("a reply")
    }

    /// The reply to a frame.
    pub(crate) fn send(&mut self, frame: &[u8]) -> Reply {
        self.client.send_raw(frame).expect("a write");
        self.client.read().expect("a reply")
    }
}

/// Commands whose arity the table has as Redis 7.2 and newer do, and 7.0 does not.
pub(crate) const NEWER_ARITY: [&str; 4] = ["zrank", "zrevrank", "command|getkeys", "command|getkeysandflags"];

/// Where keys stand, without what a command does with them.
pub(crate) fn places(specs: &[KeySpec]) -> Vec<(Begin, Find, bool)> {
    specs.iter().map(|spec| (spec.begin.clone(), spec.find, spec.writes)).collect()
}

/// The request of words separated by blanks; `''` is the empty string.
pub(crate) fn request(words: &str) -> RequestBuf {
    pack(&words.split(' ').map(|word| if word == "''" { "" } else { word }).collect::<Vec<_>>())
}

pub(crate) fn pack<A: AsRef<[u8]>>(arguments: &[A]) -> RequestBuf {
    RequestBuf::pack(arguments.iter().map(AsRef::as_ref))
}

/// The row of a request that must have one.
pub(crate) fn row<'t>(table: &'t Table, request: &RequestBuf) -> &'t Row {
    match table.find(request.view()) {
        Found::Row(row) => row,
        other => panic!("{:?} is {other:?}", request.view()),
    }
}

/// The rows of a table with their subcommands.
pub(crate) fn all(table: &Table) -> impl Iterator<Item = &Row> {
    table.rows().flat_map(|row| std::iter::once(row).chain(row.subcommands()))
}

/// The value after a name in a RESP2 map.
pub(crate) fn field<'r>(map: &'r Reply, name: &str) -> Option<&'r Reply> {
    map.elements().chunks(2).find(|pair| pair[0].text() == name).map(|pair| &pair[1])
}

pub(crate) fn texts(list: &Reply) -> Vec<&str> {
    list.elements().iter().map(Reply::text).collect()
}

/// Numbers that are the same in every run.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 11).unwrap() % sides
    }
}
