//! The reply reader agrees with its naive, recursive twin.

#[path = "twin/strategy.rs"]
mod strategy;
mod twin;

use proptest::prelude::*;
use rendis_core::reply::Reader;

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let frame = || strategy::value().prop_map(|value| value.frame());
    prop_oneof![frame(), strategy::damaged(frame()), strategy::noise(), any::<Vec<u8>>()]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn what_is_read_is_what_was_written(value in strategy::value()) {
        let frame = value.frame();
        let mut reader = Reader::new(&frame);
        prop_assert_eq!(twin::agree::decode(&mut reader), Ok(value));
        prop_assert!(reader.is_at_end());
    }

    #[test]
    fn the_reader_agrees_with_its_twin(bytes in bytes()) {
        twin::agree::reader(&bytes);
    }
}

#[test]
fn lengths_with_leading_zeros_are_read_as_the_scanner_reads_them() {
    for digits in 1..=20 {
        let zeros = "0".repeat(digits);
        twin::agree::reader(format!("*{zeros}\r\n").as_bytes());
        twin::agree::reader(format!("${zeros}\r\n\r\n").as_bytes());
        twin::agree::reader(format!("${zeros}2\r\nab\r\n").as_bytes());
    }
}
