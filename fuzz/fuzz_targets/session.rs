//! A client's whole session against shards in memory: the first byte says how it is cut, the rest is what the client says.
#![no_main]

#[path = "../../crates/proxy/tests/conversation/mod.rs"]
mod conversation;

libfuzzer_sys::fuzz_target!(|data: (u8, &[u8])| conversation::of(data.1, usize::from(data.0)));
