//! The frame scanners and their naive twins agree on every input, however it is cut into pieces.

mod twin;
#[path = "twin/strategy.rs"]
mod strategy;

use proptest::prelude::*;
use rendis_core::request::RequestBuf;
use rendis_core::scan::{Limits, Scanner};

fn reply_bytes() -> impl Strategy<Value = Vec<u8>> {
    let frame = || strategy::value().prop_map(|value| value.frame());
    prop_oneof![strategy::noise(), strategy::damaged(frame()), strategy::damaged(strategy::noise())]
}

fn request_bytes() -> impl Strategy<Value = Vec<u8>> {
    let frame = proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..24), 0..6)
        .prop_map(|all| RequestBuf::pack(all.iter().map(Vec::as_slice)).into_bytes());
    // A header of one to five of these marks, and what may follow it.
    let header = |kind| {
        proptest::collection::vec(proptest::sample::select(&b"--001129\r\n"[..]), 0..5)
            .prop_map(move |marks| [kind, &marks[..], b"\r\n"].concat())
    };
    let first = prop_oneof![Just(b"*2\r\n".to_vec()), header(&b"*"[..])];
    let noise = (first, header(&b"$"[..]), strategy::noise())
        .prop_map(|(first, second, noise)| [first, second, noise].concat());
    prop_oneof![strategy::damaged(frame), noise]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn any_value_is_one_frame(value in strategy::value(), more in strategy::noise()) {
        let frame = value.frame();
        let bytes = [&frame[..], &more].concat();
        prop_assert_eq!(Scanner::new(Limits::REPLY).scan(&bytes), Ok(Some(frame.len())));
    }

    #[test]
    fn the_scanner_agrees_with_its_twin(bytes in reply_bytes(), cuts: [usize; 3]) {
        twin::agree::scanner(&bytes, &cuts);
    }

    #[test]
    fn frames_after_one_another_are_found_one_by_one(
        values in proptest::collection::vec(strategy::value(), 1..5),
        step in 1_usize..40,
    ) {
        let frames: Vec<_> = values.iter().map(twin::Value::frame).collect();
        let bytes = frames.concat();
        let (mut scanner, mut start, mut found) = (Scanner::new(Limits::REPLY), 0, Vec::new());
        for end in (0..bytes.len()).step_by(step).chain([bytes.len()]) {
            while let Some(length) = scanner.scan(&bytes[start..end]).unwrap() {
                found.push(bytes[start..start + length].to_vec());
                start += length;
            }
        }
        prop_assert_eq!(found, frames);
    }

    #[test]
    fn the_request_scanner_agrees_with_its_twin(bytes in request_bytes(), cuts: [usize; 3]) {
        twin::agree::request_scanner(&bytes, &cuts);
    }
}
