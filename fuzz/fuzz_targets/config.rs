//! The configuration: any text is a configuration or one clear error.
#![no_main]

use rendis_proxy::config::{Sources, parse};

libfuzzer_sys::fuzz_target!(|text: &str| {
    let sources = Sources { file: "f", directory: std::path::Path::new(""), lookup: None };
    let _ = parse(text, &sources).map_err(|error| error.to_string());
});
