//! A client's whole session against shards in memory. Of the first byte, seven bits say how it is cut, and one whether the
//! client stays for a second before it leaves; the rest is what the client says.
#![no_main]

#[path = "../../crates/proxy/tests/conversation/mod.rs"]
mod conversation;

libfuzzer_sys::fuzz_target!(|data: (u8, &[u8])| {
    let stay = std::time::Duration::from_secs(u64::from(data.0 >> 7));
    conversation::of(data.1, usize::from(data.0 & 127), stay);
});
