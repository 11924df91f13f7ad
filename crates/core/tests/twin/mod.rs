//! Naive twins of the frame scanners and the reply reader: recursive, copying, as short as the grammar. What they say is
//! what the fast ones must say. Shared with the fuzz targets.

#![allow(
    dead_code,
    clippy::as_conversions,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a twin is plain, not careful, and no test uses all of it"
)]

pub(crate) mod agree;

use rendis_core::scan::Limits;

/// What a twin says about bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scanned {
    /// A frame ends here.
    End(usize),
    /// More bytes could make it a frame.
    Incomplete,
    /// No bytes after it can.
    Bad,
}

use Scanned::{Bad, End, Incomplete};

/// Where the reply frame that begins at `at` ends; `depth` levels are open around it.
pub(crate) fn scan(bytes: &[u8], at: usize, depth: usize, limits: Limits) -> Scanned {
    let Some(kind) = bytes.get(at) else { return Incomplete };
    match kind {
        b'+' | b'-' | b':' | b'_' | b'#' | b',' | b'(' => match line(bytes, at, limits) {
            End(end) if end > limits.frame => Bad,
            other => other,
        },
        b'$' | b'!' | b'=' => match header(bytes, at) {
            Ok((None, end)) if *kind == b'$' && end <= limits.frame => End(end),
            Ok((None, _)) => Bad,
            Ok((Some(length), _)) if length > limits.bulk as u64 => Bad,
            Ok((Some(length), start)) if start + length as usize + 2 > limits.frame => Bad,
            Ok((Some(length), start)) => {
                match bytes.get(start + length as usize..start + length as usize + 2) {
                    Some(b"\r\n") => End(start + length as usize + 2),
                    Some(_) => Bad,
                    None => Incomplete,
                }
            }
            Err(other) => other,
        },
        b'*' | b'~' | b'>' | b'%' | b'|' => match header(bytes, at) {
            Ok((None, end)) if *kind == b'*' && end <= limits.frame => End(end),
            Ok((None, _)) => Bad,
            Ok((Some(count), _)) if count > limits.elements as u64 => Bad,
            Ok((Some(_), start)) if start > limits.frame => Bad,
            Ok((Some(count), start)) => {
                let level = usize::from(count > 0);
                if depth + level > limits.depth {
                    return Bad;
                }
                let each = if matches!(kind, b'%' | b'|') { 2 } else { 1 };
                // The value that an attribute describes belongs to the attribute's level.
                let values = count * each + u64::from(*kind == b'|');
                (0..values).fold(End(start), |end, _| match end {
                    End(end) => scan(bytes, end, depth + level, limits),
                    other => other,
                })
            }
            Err(other) => other,
        },
        _ => Bad,
    }
}

/// Where the request at the start of `bytes` ends, and its arguments.
pub(crate) fn request(bytes: &[u8], limits: Limits) -> (Scanned, Vec<Vec<u8>>) {
    let mut arguments = Vec::new();
    if bytes.first().is_some_and(|kind| *kind != b'*') {
        return (Bad, arguments);
    }
    let (count, mut at) = match header(bytes, 0) {
        Ok((count, at)) => (count.unwrap_or(0), at),
        Err(other) => return (other, arguments),
    };
    if count > limits.elements as u64 {
        return (Bad, arguments);
    }
    for _ in 0..count {
        if bytes.get(at).is_some_and(|kind| *kind != b'$') {
            return (Bad, arguments);
        }
        match (header(bytes, at), scan(bytes, at, 0, limits)) {
            (Ok((None, _)), _) => return (Bad, arguments),
            (Ok((_, start)), End(end)) => {
                arguments.push(bytes[start..end - 2].to_vec());
                at = end;
            }
            (_, other) => return (other, arguments),
        }
    }
    (End(at), arguments)
}

fn line(bytes: &[u8], at: usize, limits: Limits) -> Scanned {
    match bytes[at..].iter().position(|byte| *byte == b'\n') {
        Some(0 | 1) => Bad,
        Some(end) if bytes[at + end - 1] != b'\r' || end - 2 > limits.line => Bad,
        Some(end) => End(at + end + 1),
        None if bytes.len() - at - 1 > limits.line + 1 => Bad,
        None => Incomplete,
    }
}

/// The number in a header (`None` for -1) and where its line ends.
fn header(bytes: &[u8], at: usize) -> Result<(Option<u64>, usize), Scanned> {
    let Some(rest) = bytes.get(at + 1..) else { return Err(Incomplete) };
    let whole = |line: &[u8]| -> Option<Option<u64>> {
        let text = std::str::from_utf8(line.strip_suffix(b"\r\n")?).ok()?;
        match text {
            "-1" => Some(None),
            _ if text.starts_with('0') && text != "0" => None,
            _ if text.len() <= 19 && text.bytes().all(|byte| byte.is_ascii_digit()) => {
                text.parse().ok().map(Some)
            }
            _ => None,
        }
    };
    match rest.iter().position(|byte| *byte == b'\n') {
        Some(end) => whole(&rest[..=end]).map(|number| (number, at + 1 + end + 1)).ok_or(Bad),
        // It can become a header if one of these endings makes it one.
        None => {
            let endings: [&[u8]; 5] = [b"\n", b"\r\n", b"0\r\n", b"1\r\n", b"-1\r\n"];
            Err(if endings.iter().any(|ending| whole(&[rest, ending].concat()).is_some()) {
                Incomplete
            } else {
                Bad
            })
        }
    }
}

/// A reply as a tree.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Simple(Vec<u8>),
    Error(Vec<u8>),
    BulkError(Vec<u8>),
    Int(i64),
    Bulk(Option<Vec<u8>>),
    Array(Option<Vec<Value>>),
    Map(Vec<Value>),
    Set(Vec<Value>),
    Push(Vec<Value>),
    Double(Vec<u8>),
    Bool(bool),
    Null,
    BigNumber(Vec<u8>),
    Verbatim([u8; 3], Vec<u8>),
    /// Keys and values in turn, and what they describe.
    Attributed(Vec<Value>, Box<Value>),
}

/// The value at the start of `bytes`, which hold a whole frame, and what follows it; `None` when a line of it makes
/// no sense.
pub(crate) fn read(bytes: &[u8]) -> Option<(Value, &[u8])> {
    let end = bytes.windows(2).position(|pair| pair[1] == b'\n')? + 2;
    let text = bytes[1..end - 2].to_vec();
    let rest = &bytes[end..];
    let number = || std::str::from_utf8(&text).ok()?.parse::<i64>().ok();
    let string = || {
        let length = usize::try_from(number()?).ok()?;
        Some((rest.get(..length)?.to_vec(), rest.get(length + 2..)?))
    };
    let values = |each: usize| {
        let (mut values, mut rest) = (Vec::new(), rest);
        for _ in 0..usize::try_from(number()?).ok()? * each {
            let (value, after) = read(rest)?;
            values.push(value);
            rest = after;
        }
        Some((values, rest))
    };
    Some(match bytes[0] {
        b'+' => (Value::Simple(text), rest),
        b'-' => (Value::Error(text), rest),
        // Twenty digits are as many as the fast reader takes, zeros in front counted.
        b':' if text.len() - usize::from(text.first().is_some_and(|sign| b"+-".contains(sign))) > 19 => {
            return None;
        }
        b':' => (Value::Int(number()?), rest),
        b',' => (Value::Double(text), rest),
        b'(' => (Value::BigNumber(text), rest),
        b'_' => (Value::Null, rest),
        b'#' if text == b"t" => (Value::Bool(true), rest),
        b'#' if text == b"f" => (Value::Bool(false), rest),
        b'$' if text == b"-1" => (Value::Bulk(None), rest),
        b'*' if text == b"-1" => (Value::Array(None), rest),
        b'$' => string().map(|(text, rest)| (Value::Bulk(Some(text)), rest))?,
        b'!' => string().map(|(text, rest)| (Value::BulkError(text), rest))?,
        b'=' => match string()? {
            (text, rest) if text.get(3) == Some(&b':') => {
                (Value::Verbatim(text[..3].try_into().ok()?, text[4..].to_vec()), rest)
            }
            _ => return None,
        },
        b'*' => values(1).map(|(values, rest)| (Value::Array(Some(values)), rest))?,
        b'~' => values(1).map(|(values, rest)| (Value::Set(values), rest))?,
        b'>' => values(1).map(|(values, rest)| (Value::Push(values), rest))?,
        b'%' => values(2).map(|(values, rest)| (Value::Map(values), rest))?,
        b'|' => {
            let (values, rest) = values(2)?;
            let (described, rest) = read(rest)?;
            (Value::Attributed(values, Box::new(described)), rest)
        }
        _ => return None,
    })
}

impl Value {
    /// The frame.
    pub(crate) fn frame(&self) -> Vec<u8> {
        let line = |kind: char, text: &[u8]| [kind.to_string().as_bytes(), text, b"\r\n"].concat();
        let string = |kind: char, text: &[u8]| {
            [format!("{kind}{}\r\n", text.len()).as_bytes(), text, b"\r\n"].concat()
        };
        let values = |kind: char, each: usize, values: &[Self]| {
            let mut out = format!("{kind}{}\r\n", values.len() / each).into_bytes();
            values.iter().for_each(|value| out.extend(value.frame()));
            out
        };
        match self {
            Self::Simple(text) => line('+', text),
            Self::Error(text) => line('-', text),
            Self::BulkError(text) => string('!', text),
            Self::Int(number) => line(':', number.to_string().as_bytes()),
            Self::Bulk(None) => b"$-1\r\n".to_vec(),
            Self::Bulk(Some(text)) => string('$', text),
            Self::Array(None) => b"*-1\r\n".to_vec(),
            Self::Array(Some(all)) => values('*', 1, all),
            Self::Map(all) => values('%', 2, all),
            Self::Set(all) => values('~', 1, all),
            Self::Push(all) => values('>', 1, all),
            Self::Double(text) => line(',', text),
            Self::Bool(yes) => line('#', if *yes { b"t" } else { b"f" }),
            Self::Null => line('_', b""),
            Self::BigNumber(text) => line('(', text),
            Self::Verbatim(format, text) => string('=', &[&format[..], b":", text].concat()),
            Self::Attributed(all, described) => [values('|', 2, all), described.frame()].concat(),
        }
    }
}
