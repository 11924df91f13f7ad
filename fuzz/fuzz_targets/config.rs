//! The configuration: any text is a configuration or one clear error without secrets.
#![no_main]

#[path = "../../crates/proxy/tests/configuration/mod.rs"]
mod configuration;

libfuzzer_sys::fuzz_target!(|text: &str| configuration::of(text));
