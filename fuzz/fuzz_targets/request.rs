//! The request scanner against its naive twin; the first byte says where the bytes are cut.
#![no_main]

#[path = "../../crates/core/tests/twin/mod.rs"]
mod twin;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let cut = data.first().copied().map_or(0, usize::from);
    twin::agree::request_scanner(data.get(1..).unwrap_or_default(), &[cut]);
});
