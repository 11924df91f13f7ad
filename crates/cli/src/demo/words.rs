//! Numbers as people read them.

use std::time::Duration;

/// `1234567` as `1,234,567`.
pub(super) fn count(number: impl TryInto<u64>) -> String {
    let digits = number.try_into().unwrap_or(u64::MAX).to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number and its noun: `1 error`, `2 errors`.
pub(super) fn counted(number: u64, noun: &str) -> String {
    format!("{} {noun}{}", count(number), if number == 1 { "" } else { "s" })
}

/// A duration with three digits or so: `0.31 ms`, `12 ms`, `1.24 s`.
pub(super) fn time(duration: Duration) -> String {
    let millis = duration.as_secs_f64() * 1000.0;
    match millis {
        _ if millis < 9.995 => format!("{millis:.2} ms"),
        _ if millis < 999.5 => format!("{millis:.0} ms"),
        _ => format!("{:.2} s", duration.as_secs_f64()),
    }
}

/// `part` of `whole`, from 0 to 1.
#[expect(clippy::as_conversions, clippy::cast_precision_loss, reason = "for people; far below 2^52")]
pub(super) fn share(part: usize, whole: usize) -> f64 {
    part as f64 / whole.max(1) as f64
}

/// How many in a second.
#[expect(
    clippy::as_conversions,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "for people; far below 2^52, and never negative"
)]
pub(super) fn rate(number: u64, span: Duration) -> u64 {
    (number as f64 / span.as_secs_f64().max(0.001)).round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_and_times_are_short() {
        assert_eq!([0_u64, 999, 1000, 1_234_567].map(count), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!([0, 1, 2].map(|number| counted(number, "error")), ["0 errors", "1 error", "2 errors"]);
        let micros = [0, 314, 9_994, 12_400, 999_400, 999_600, 61_000_000].map(Duration::from_micros);
        let texts = ["0.00 ms", "0.31 ms", "9.99 ms", "12 ms", "999 ms", "1.00 s", "61.00 s"];
        assert_eq!(micros.map(time), texts);
        assert_eq!(rate(50, Duration::from_millis(500)), 100);
        assert!((share(1, 4) - 0.25).abs() < 1e-9 && share(0, 0).abs() < 1e-9);
    }
}
