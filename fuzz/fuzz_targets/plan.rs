//! The planner: two bytes for a command, then its words; no request may go where its keys are not.
#![no_main]

#[path = "../../crates/core/tests/twin/mod.rs"]
mod twin;

libfuzzer_sys::fuzz_target!(|data: &[u8]| twin::agree::planner_of(data));
