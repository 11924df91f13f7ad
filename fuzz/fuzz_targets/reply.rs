//! The reply reader against its naive twin.
#![no_main]

#[path = "../../crates/core/tests/twin/mod.rs"]
mod twin;

libfuzzer_sys::fuzz_target!(|data: &[u8]| twin::agree::reader(data));
