//! Replies, read by a reader of its own: what judges the product must not be made of the product.

use std::{
    fmt,
    io::{self, BufRead},
};

/// A reply in RESP2 or RESP3, decoded.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// `+OK`
    Simple(String),
    /// `-ERR …`, or RESP3's blob error.
    Error(String),
    /// `:7`
    Integer(i64),
    /// `$3 foo`, or RESP3's verbatim string without its type.
    Bulk(Vec<u8>),
    /// `$-1`, `*-1` or `_`.
    Nil,
    /// `*…`
    Array(Vec<Reply>),
    /// `%…`
    Map(Vec<(Reply, Reply)>),
    /// `~…`
    Set(Vec<Reply>),
    /// `>…`
    Push(Vec<Reply>),
    /// `,1.5`
    Double(f64),
    /// `#t`
    Boolean(bool),
    /// `(123…`
    BigNumber(String),
}

impl Reply {
    /// Reads one reply. Attributes are read over.
    ///
    /// # Errors
    /// What the reader gives; `InvalidData` for what is no reply; `UnexpectedEof` when it ends early.
    pub fn read(reader: &mut impl BufRead) -> io::Result<Self> {
        let line = line(reader)?;
        let (kind, rest) = line.split_first().ok_or_else(|| invalid("an empty line"))?;
        let text = || String::from_utf8_lossy(rest).into_owned();
        Ok(match kind {
            b'+' => Self::Simple(text()),
            b'-' => Self::Error(text()),
            b':' => Self::Integer(number(rest)?),
            b',' => Self::Double(text().parse().map_err(|_| invalid("a double"))?),
            b'#' => Self::Boolean(rest == b"t"),
            b'(' => Self::BigNumber(text()),
            b'_' => Self::Nil,
            b'$' => bulk(reader, rest)?.map_or(Self::Nil, Self::Bulk),
            b'=' => Self::Bulk(bulk(reader, rest)?.unwrap_or_default().split_off(4)),
            b'!' => {
                let text = bulk(reader, rest)?.unwrap_or_default();
                Self::Error(String::from_utf8_lossy(&text).into_owned())
            }
            b'*' if number(rest)? < 0 => Self::Nil,
            b'*' => Self::Array(values(reader, number(rest)?)?),
            b'~' => Self::Set(values(reader, number(rest)?)?),
            b'>' => Self::Push(values(reader, number(rest)?)?),
            b'%' => Self::Map(pairs(reader, number(rest)?)?),
            b'|' => {
                pairs(reader, number(rest)?)?;
                return Self::read(reader);
            }
            other => return Err(invalid(&format!("the type byte {:?}", char::from(*other)))),
        })
    }

    /// `+text`
    #[must_use]
    pub fn simple(text: &str) -> Self {
        Self::Simple(text.to_owned())
    }

    /// A bulk string.
    #[must_use]
    pub fn bulk(bytes: impl AsRef<[u8]>) -> Self {
        Self::Bulk(bytes.as_ref().to_vec())
    }

    /// An array.
    #[must_use]
    pub fn array(values: impl IntoIterator<Item = Self>) -> Self {
        Self::Array(values.into_iter().collect())
    }

    /// The bytes of a simple or bulk string.
    #[must_use]
    pub fn as_bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Simple(text) => Some(text.as_bytes()),
            Self::Bulk(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// A simple or bulk string as text.
    ///
    /// # Panics
    /// When it is neither, or not UTF-8.
    #[must_use]
    pub fn text(&self) -> &str {
        match self.as_bytes().map(std::str::from_utf8) {
            Some(Ok(text)) => text,
            _ => panic!("expected a string, got {self:?}"),
        }
    }

    /// An integer.
    ///
    /// # Panics
    /// When it is none.
    #[must_use]
    pub fn integer(&self) -> i64 {
        match self {
            Self::Integer(number) => *number,
            _ => panic!("expected an integer, got {self:?}"),
        }
    }

    /// The elements of an array, set or push.
    ///
    /// # Panics
    /// When it is none of them.
    #[must_use]
    pub fn elements(&self) -> &[Self] {
        match self {
            Self::Array(values) | Self::Set(values) | Self::Push(values) => values,
            _ => panic!("expected an array, got {self:?}"),
        }
    }

    /// The text of an error.
    #[must_use]
    pub fn error(&self) -> Option<&str> {
        match self {
            Self::Error(text) => Some(text),
            _ => None,
        }
    }

    /// True for `+OK`.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        matches!(self, Self::Simple(text) if text == "OK")
    }
}

/// In the manner of `redis-cli`, on one line.
impl fmt::Display for Reply {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Simple(text) | Self::BigNumber(text) => out.write_str(text),
            Self::Error(text) => write!(out, "(error) {text}"),
            Self::Integer(number) => write!(out, "{number}"),
            Self::Bulk(bytes) => write!(out, "{}", bytes.escape_ascii()),
            Self::Nil => out.write_str("(nil)"),
            Self::Double(number) => write!(out, "{number}"),
            Self::Boolean(value) => write!(out, "{value}"),
            Self::Array(values) | Self::Set(values) | Self::Push(values) => {
                out.write_str("[")?;
                for (at, value) in values.iter().enumerate() {
                    write!(out, "{}{value}", if at > 0 { ", " } else { "" })?;
                }
                out.write_str("]")
            }
            Self::Map(pairs) => {
                out.write_str("{")?;
                for (at, (key, value)) in pairs.iter().enumerate() {
                    write!(out, "{}{key}: {value}", if at > 0 { ", " } else { "" })?;
                }
                out.write_str("}")
            }
        }
    }
}

/// Packs a request.
pub(crate) fn pack<A: AsRef<[u8]>>(arguments: &[A]) -> Vec<u8> {
    let mut frame = format!("*{}\r\n", arguments.len()).into_bytes();
    for argument in arguments {
        let argument = argument.as_ref();
        frame.extend_from_slice(format!("${}\r\n", argument.len()).as_bytes());
        frame.extend_from_slice(argument);
        frame.extend_from_slice(b"\r\n");
    }
    frame
}

pub(crate) fn line(reader: &mut impl BufRead) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    reader.read_until(b'\n', &mut line)?;
    if line.is_empty() {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the connection was closed"));
    }
    if !line.ends_with(b"\r\n") {
        return Err(invalid("a line not ended by CR LF"));
    }
    line.truncate(line.len() - 2);
    Ok(line)
}

pub(crate) fn number(text: &[u8]) -> io::Result<i64> {
    std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()).ok_or_else(|| invalid("a number"))
}

pub(crate) fn bulk(reader: &mut impl BufRead, length: &[u8]) -> io::Result<Option<Vec<u8>>> {
    let Ok(length) = usize::try_from(number(length)?) else { return Ok(None) };
    let mut bytes = vec![0; length + 2];
    reader.read_exact(&mut bytes)?;
    if !bytes.ends_with(b"\r\n") {
        return Err(invalid("a bulk string not ended by CR LF"));
    }
    bytes.truncate(length);
    Ok(Some(bytes))
}

fn values(reader: &mut impl BufRead, count: i64) -> io::Result<Vec<Reply>> {
    (0..count).map(|_| Reply::read(reader)).collect()
}

fn pairs(reader: &mut impl BufRead, count: i64) -> io::Result<Vec<(Reply, Reply)>> {
    (0..count).map(|_| Ok((Reply::read(reader)?, Reply::read(reader)?))).collect()
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("not a reply: {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(mut bytes: &[u8]) -> io::Result<Reply> {
        let reply = Reply::read(&mut bytes)?;
        assert!(bytes.is_empty(), "left over: {}", bytes.escape_ascii());
        Ok(reply)
    }

    #[test]
    fn every_type_is_read() {
        assert_eq!(read(b"+OK\r\n").unwrap(), Reply::simple("OK"));
        assert_eq!(read(b"-ERR no\r\n").unwrap().error(), Some("ERR no"));
        assert_eq!(read(b"!6\r\nERR no\r\n").unwrap().error(), Some("ERR no"));
        assert_eq!(read(b":-7\r\n").unwrap().integer(), -7);
        assert_eq!(read(b"$3\r\nf\r\n\r\n").unwrap(), Reply::bulk("f\r\n"));
        assert_eq!(read(b"=7\r\ntxt:abc\r\n").unwrap(), Reply::bulk("abc"));
        for nil in [&b"$-1\r\n"[..], b"*-1\r\n", b"_\r\n"] {
            assert_eq!(read(nil).unwrap(), Reply::Nil);
        }
        let one = Reply::Integer(1);
        assert_eq!(read(b"*2\r\n:1\r\n*0\r\n").unwrap(), Reply::array([one.clone(), Reply::array([])]));
        assert_eq!(read(b"%1\r\n+a\r\n:1\r\n").unwrap(), Reply::Map(vec![(Reply::simple("a"), one.clone())]));
        assert_eq!(read(b"|1\r\n+a\r\n:2\r\n:1\r\n").unwrap(), one);
        assert_eq!(read(b",1.5\r\n").unwrap(), Reply::Double(1.5));
        assert_eq!(read(b"#t\r\n").unwrap(), Reply::Boolean(true));
        assert_eq!(read(b">1\r\n:1\r\n").unwrap().to_string(), "[1]");
    }

    #[test]
    fn what_is_no_reply_is_an_error() {
        assert_eq!(read(b"HTTP/1.1 400\r\n").unwrap_err().kind(), io::ErrorKind::InvalidData);
        assert_eq!(read(b"$3\r\nab").unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        assert_eq!(read(b"").unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }
}
