//! Single values: how they are written, and how they are shown in errors.

use std::time::Duration;

use toml::de::DeValue;

/// A string as errors show it: in quotes, escaped, not endless.
pub(super) fn quoted(text: &str) -> String {
    const LONGEST: usize = 60;
    let shown: String = text.chars().take(LONGEST).collect();
    let more = if shown.len() < text.len() { "…" } else { "" };
    format!("\"{}{more}\"", shown.escape_debug())
}

/// A value as errors show it.
pub(super) fn describe(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => quoted(text),
        DeValue::Integer(number) => number.to_string(),
        DeValue::Float(number) => number.to_string(),
        other => kind(other).to_owned(),
    }
}

/// What kind of value it is, when it had better not be shown.
pub(super) const fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(true) => "true",
        DeValue::Boolean(false) => "false",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

pub(super) fn integer(value: &DeValue<'_>) -> Option<i64> {
    let number = value.as_integer()?;
    i64::from_str_radix(number.as_str(), number.radix()).ok()
}

/// `"500ms"`, `"1s"`, `"1m 30s"`.
pub(super) fn duration(text: &str) -> Option<Duration> {
    humantime::parse_duration(text).ok()
}

/// A whole number, or a string with a unit of 1024: `"64MiB"`, also `"64mb"` as Redis writes it.
pub(super) fn bytes(value: &DeValue<'_>) -> Option<usize> {
    const UNITS: [(&str, u32); 8] =
        [("kib", 10), ("mib", 20), ("gib", 30), ("kb", 10), ("mb", 20), ("gb", 30), ("b", 0), ("", 0)];
    let Some(text) = value.as_str() else {
        return integer(value).and_then(|number| usize::try_from(number).ok());
    };
    let text = text.to_ascii_lowercase();
    let (digits, shift) = UNITS.iter().find_map(|(unit, shift)| Some((text.strip_suffix(unit)?, *shift)))?;
    let digits = digits.trim_end();
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    digits.parse::<usize>().ok()?.checked_mul(1_usize.checked_shl(shift)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size(text: &str) -> Option<usize> {
        bytes(&DeValue::String(text.into()))
    }

    #[test]
    fn sizes_are_read_with_their_units() {
        assert_eq!(size("64MiB"), Some(64 << 20));
        assert_eq!(size("64mb"), Some(64 << 20));
        assert_eq!(size("1 GiB"), Some(1 << 30));
        assert_eq!(size("3kib"), Some(3072));
        assert_eq!(size("10"), Some(10));
        assert_eq!(size("10b"), Some(10));
        for wrong in ["", "MiB", "-1", "1.5MiB", "1TiB", "99999999999999999999", "99999999999999GiB", "+1"] {
            assert_eq!(size(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn long_strings_are_cut_where_they_are_shown() {
        assert_eq!(quoted("a\"b\n"), r#""a\"b\n""#);
        assert_eq!(quoted(&"é".repeat(100)).chars().count(), 63);
    }
}
