//! The planner: lines of words are requests; none may go where its keys are not, alone or in a transaction.
#![no_main]

#[path = "../../crates/core/tests/twin/mod.rs"]
mod twin;

libfuzzer_sys::fuzz_target!(|data: &[u8]| twin::agree::plans(data));
