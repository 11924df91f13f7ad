//! Whole sessions of a client, whatever it says, on virtual time; the fuzz target `session` calls the same check.

#![allow(clippy::indexing_slicing, reason = "a test fails by panicking")]

mod conversation;

use std::time::Duration;

use proptest::prelude::*;

/// Words that commands and their arguments are made of.
const WORDS: [&str; 40] = [
    "GET",
    "SET",
    "DEL",
    "MGET",
    "MSET",
    "INCR",
    "INCRBY",
    "EXISTS",
    "PING",
    "ECHO",
    "HELLO",
    "2",
    "3",
    "AUTH",
    "SELECT",
    "0",
    "1",
    "MULTI",
    "EXEC",
    "DISCARD",
    "WATCH",
    "UNWATCH",
    "BLPOP",
    "EVALSHA",
    "SCRIPT",
    "LOAD",
    "SUBSCRIBE",
    "UNSUBSCRIBE",
    "PSUBSCRIBE",
    "PUBLISH",
    "CLIENT",
    "REPLY",
    "OFF",
    "SKIP",
    "SCAN",
    "DBSIZE",
    "QUIT",
    "key",
    "other",
    "COMMAND",
];

fn word() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        8 => prop::sample::select(&WORDS[..]).prop_map(|word| word.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..20),
    ]
}

/// Commands as they should be.
const COMMANDS: [&str; 24] = [
    "GET key",
    "SET key 1",
    "DEL key other",
    "MGET key other third",
    "MSET key 1 other 2",
    "INCR key",
    "MULTI",
    "EXEC",
    "DISCARD",
    "WATCH key",
    "UNWATCH",
    "BLPOP list 0.1",
    "BLPOP list 0",
    "PUBLISH channel message",
    "SUBSCRIBE channel",
    "PSUBSCRIBE chan*",
    "UNSUBSCRIBE",
    "HELLO 2",
    "HELLO 3",
    "CLIENT REPLY SKIP",
    "CLIENT REPLY OFF",
    "CLIENT REPLY ON",
    "SCAN 0",
    "QUIT",
];

fn request() -> impl Strategy<Value = Vec<u8>> {
    let split = |line: &str| line.split(' ').map(|word| word.as_bytes().to_vec()).collect::<Vec<_>>();
    prop_oneof![
        2 => prop::sample::select(&COMMANDS[..]).prop_map(split),
        1 => prop::collection::vec(word(), 0..6),
    ]
    .prop_map(|words| {
        let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
        for word in words {
            bytes.extend(format!("${}\r\n", word.len()).bytes());
            bytes.extend(word);
            bytes.extend(b"\r\n");
        }
        bytes
    })
}

fn said() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(
        prop_oneof![
            20 => request(),
            1 => prop::collection::vec(any::<u8>(), 1..12),
            1 => Just(b"PING\r\n".to_vec()),
        ],
        0..12,
    )
    .prop_map(|parts| parts.concat())
}

proptest! {
    #[test]
    fn a_session_ends_with_as_many_whole_replies_as_are_owed(bytes in said(), piece in 1..200_usize, stay in 0..2_u64) {
        conversation::of(&bytes, piece, Duration::from_secs(stay));
    }

    #[test]
    fn a_session_that_breaks_off_anywhere_ends_too(bytes in said(), percent in 0..100_usize) {
        conversation::of(&bytes[..bytes.len() * percent / 100], 7, Duration::ZERO);
    }
}
