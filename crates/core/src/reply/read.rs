//! The values of a frame, one after another.
//!
//! A pull parser: the caller asks for the next value and gets either a whole leaf or the header of an aggregate,
//! whose elements are the values that come next. So a decoder into any type of its own needs no tree in between,
//! and this side needs no stack: to pass over a nested value one counter is enough (each header adds its elements,
//! each value takes one off).

use memchr::memchr;

use crate::scan::short_header;

/// One value of a frame, or the header of one whose elements follow.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Node<'a> {
    /// `+`: the text.
    Simple(&'a [u8]),
    /// `-`: the line, code and text.
    Error(&'a [u8]),
    /// `!`: an error that may be longer than a line.
    BulkError(&'a [u8]),
    /// `:`
    Int(i64),
    /// `$`: the bytes; `None` for `$-1`.
    Bulk(Option<&'a [u8]>),
    /// `*`: so many values follow; `None` for `*-1`.
    Array(Option<usize>),
    /// `%`: so many pairs follow, that is twice as many values.
    Map(usize),
    /// `~`: so many values follow.
    Set(usize),
    /// `>`: so many values follow.
    Push(usize),
    /// `|`: so many pairs follow, and after them the value that they describe, which is the one to count as an
    /// element of whatever is around it.
    Attribute(usize),
    /// `,`: the number as it was written; [`double`] reads it.
    Double(&'a [u8]),
    /// `#`
    Bool(bool),
    /// `_`
    Null,
    /// `(`: the decimal number as it was written.
    BigNumber(&'a [u8]),
    /// `=`
    Verbatim {
        /// What the text is: `txt`, `mkd`.
        format: [u8; 3],
        /// The text, without its format.
        text: &'a [u8],
    },
}

impl Node<'_> {
    /// How many values follow inside this one (two for each pair).
    #[must_use]
    pub fn children(&self) -> u64 {
        let (count, each) = match *self {
            Self::Array(Some(count)) | Self::Set(count) | Self::Push(count) => (count, 1),
            Self::Map(count) | Self::Attribute(count) => (count, 2),
            _ => (0, 0),
        };
        u64::try_from(count).unwrap_or(u64::MAX).saturating_mul(each)
    }
}

/// Why a frame could not be read.
///
/// Frames come here after the scanner, so what is left to go wrong is what it does not check: the contents of lines.
/// Their bounds are sound, so the connection is too; only this reply is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReplyError {
    /// The frame ends before the value does, or was read to its end already.
    #[error("the reply ends before its value does")]
    Truncated,
    /// The first byte of a value is no RESP type.
    #[error("expected a RESP type byte, found {0:#04x}")]
    UnknownType(u8),
    /// A value is not what its first byte says: a number without digits, a boolean that is neither `t` nor `f`, a
    /// verbatim string without format.
    #[error("malformed value of type '{}'", .0.escape_ascii())]
    Malformed(u8),
    /// It nests deeper than whoever reads it goes.
    #[error("the reply is nested too deep to be read")]
    TooDeep,
}

/// Reads the values of a frame in order.
///
/// The frame must be one that a [`Scanner`](crate::scan::Scanner) found whole: line ends that it saw are not looked
/// at again. Any other bytes give an error or nonsense, never a panic or a read past the end.
///
/// A `+OK`, a number or a bulk string of 64 bytes takes a few nanoseconds.
///
/// ```
/// use rendis_core::reply::{Node, Reader};
///
/// let mut reader = Reader::new(b"*2\r\n$1\r\na\r\n:7\r\n");
/// assert_eq!(reader.next(), Ok(Node::Array(Some(2))));
/// assert_eq!(reader.next(), Ok(Node::Bulk(Some(b"a"))));
/// assert_eq!(reader.next(), Ok(Node::Int(7)));
/// assert!(reader.is_at_end());
/// ```
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// A reader at the first byte of `frame`.
    #[must_use]
    pub const fn new(frame: &'a [u8]) -> Self {
        Self { rest: frame }
    }

    /// Whether everything was read.
    #[must_use]
    pub const fn is_at_end(&self) -> bool {
        self.rest.is_empty()
    }

    /// What was not read yet.
    #[must_use]
    pub const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// The next value, or the header of the next aggregate.
    ///
    /// # Errors
    /// [`ReplyError`]; the reader then stays where it was.
    #[expect(
        clippy::should_implement_trait,
        reason = "a decoder knows how many values it is owed: no Option"
    )]
    #[inline]
    pub fn next(&mut self) -> Result<Node<'a>, ReplyError> {
        let Some((&kind, rest)) = self.rest.split_first() else {
            return Err(ReplyError::Truncated);
        };
        let (node, rest) = match kind {
            b'$' => {
                let (length, rest) = header(kind, rest)?;
                let Some(length) = length else {
                    self.rest = rest;
                    return Ok(Node::Bulk(None));
                };
                let (text, rest) = body(rest, length)?;
                (Node::Bulk(Some(text)), rest)
            }
            b':' => {
                let (number, rest) = integer(rest)?;
                (Node::Int(number), rest)
            }
            b'+' => {
                let (text, rest) = line(rest)?;
                (Node::Simple(text), rest)
            }
            b'*' => {
                let (count, rest) = header(kind, rest)?;
                (Node::Array(count), rest)
            }
            other => rare(other, rest)?,
        };
        self.rest = rest;
        Ok(node)
    }

    /// Passes over the next value with all that is in it (and the attributes before it), and gives its bytes.
    ///
    /// # Errors
    /// [`ReplyError`]; the reader then stands at the value that could not be read.
    #[inline]
    pub fn skip(&mut self) -> Result<&'a [u8], ReplyError> {
        // Nearly every element: a whole bulk string of less than 100 bytes.
        if self.rest.first() == Some(&b'$')
            && let Some((length, body)) = short_header(self.rest, 0)
            && let Some((value, rest)) = self.rest.split_at_checked(body + length + 2)
        {
            self.rest = rest;
            return Ok(value);
        }
        self.skip_any()
    }

    fn skip_any(&mut self) -> Result<&'a [u8], ReplyError> {
        let before = self.rest;
        let mut owed = 1_u64;
        while owed > 0 {
            let node = self.next()?;
            owed = owed.saturating_add(node.children());
            if !matches!(node, Node::Attribute(_)) {
                owed -= 1;
            }
        }
        Ok(before.get(..before.len() - self.rest.len()).unwrap_or_default())
    }

    /// Passes over the attributes before the next value.
    ///
    /// # Errors
    /// [`ReplyError`], as [`Reader::skip`].
    #[inline]
    pub fn skip_attributes(&mut self) -> Result<(), ReplyError> {
        while self.rest.first() == Some(&b'|') {
            let values = self.next()?.children();
            for _ in 0..values {
                self.skip()?;
            }
        }
        Ok(())
    }
}

/// `frame` without the attributes before its value; all of it when they cannot be read.
pub(super) fn without_attributes(frame: &[u8]) -> &[u8] {
    let mut reader = Reader::new(frame);
    if reader.skip_attributes().is_ok() { reader.rest } else { frame }
}

/// A double as RESP writes it: `1.5`, `-1e3`, `inf`, `-inf`, `nan`. `None` when the text is no number.
#[must_use]
pub fn double(text: &[u8]) -> Option<f64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// The kinds that replies seldom are.
fn rare(kind: u8, rest: &[u8]) -> Result<(Node<'_>, &[u8]), ReplyError> {
    match kind {
        b'-' => line(rest).map(|(text, rest)| (Node::Error(text), rest)),
        b',' => line(rest).map(|(text, rest)| (Node::Double(text), rest)),
        b'(' => line(rest).map(|(text, rest)| (Node::BigNumber(text), rest)),
        b'_' => line(rest).map(|(_, rest)| (Node::Null, rest)),
        b'#' => match line(rest)? {
            (b"t", rest) => Ok((Node::Bool(true), rest)),
            (b"f", rest) => Ok((Node::Bool(false), rest)),
            _ => Err(ReplyError::Malformed(kind)),
        },
        b'!' => long(kind, rest).map(|(text, rest)| (Node::BulkError(text), rest)),
        b'=' => {
            let (text, rest) = long(kind, rest)?;
            match text {
                [a, b, c, b':', text @ ..] => Ok((Node::Verbatim { format: [*a, *b, *c], text }, rest)),
                _ => Err(ReplyError::Malformed(kind)),
            }
        }
        b'%' => count(kind, rest).map(|(count, rest)| (Node::Map(count), rest)),
        b'~' => count(kind, rest).map(|(count, rest)| (Node::Set(count), rest)),
        b'>' => count(kind, rest).map(|(count, rest)| (Node::Push(count), rest)),
        b'|' => count(kind, rest).map(|(count, rest)| (Node::Attribute(count), rest)),
        other => Err(ReplyError::UnknownType(other)),
    }
}

/// A string whose length is written before it, and what follows it.
fn long(kind: u8, rest: &[u8]) -> Result<(&[u8], &[u8]), ReplyError> {
    let (length, rest) = count(kind, rest)?;
    body(rest, length)
}

fn count(kind: u8, rest: &[u8]) -> Result<(usize, &[u8]), ReplyError> {
    let (count, rest) = header(kind, rest)?;
    Ok((count.ok_or(ReplyError::Malformed(kind))?, rest))
}

/// `length` bytes without the line end after them, and what follows that.
#[inline]
fn body(rest: &[u8], length: usize) -> Result<(&[u8], &[u8]), ReplyError> {
    let (text, rest) = rest.split_at_checked(length).ok_or(ReplyError::Truncated)?;
    Ok((text, rest.get(2..).ok_or(ReplyError::Truncated)?))
}

/// The number of a length or count, `None` for `-1`, and what follows its line.
#[inline]
fn header(kind: u8, rest: &[u8]) -> Result<(Option<usize>, &[u8]), ReplyError> {
    let mut number = 0_usize;
    // Nineteen digits, leading zeros among them, are what the scanner lets through, and cannot overflow 64 bits.
    for (at, &byte) in rest.iter().enumerate().take(20) {
        match byte {
            b'0'..=b'9' if at < 19 => {
                number = number.wrapping_mul(10).wrapping_add(usize::from(byte - b'0'));
            }
            b'\r' if at > 0 => {
                return Ok((Some(number), rest.get(at + 2..).ok_or(ReplyError::Truncated)?));
            }
            b'-' if at == 0 => {
                let rest = rest.strip_prefix(b"-1\r\n").ok_or(ReplyError::Malformed(kind))?;
                return Ok((None, rest));
            }
            _ => return Err(ReplyError::Malformed(kind)),
        }
    }
    Err(if rest.len() < 20 { ReplyError::Truncated } else { ReplyError::Malformed(kind) })
}

/// The number of a `:` line, and what follows the line.
#[inline]
fn integer(rest: &[u8]) -> Result<(i64, &[u8]), ReplyError> {
    const BAD: ReplyError = ReplyError::Malformed(b':');
    let (negative, digits) = match rest {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    let mut number = 0_u64;
    // 19 digits fit a u64, and the longest i64 has 19.
    for (at, &byte) in digits.iter().enumerate().take(20) {
        match byte {
            b'0'..=b'9' if at < 19 => number = number * 10 + u64::from(byte - b'0'),
            b'\r' if at > 0 => {
                let signed = if negative {
                    0_i64.checked_sub_unsigned(number)
                } else {
                    0_i64.checked_add_unsigned(number)
                };
                // The scanner takes a CR alone for text: only here is it known to be none.
                let rest = match digits.get(at + 1..) {
                    Some([b'\n', rest @ ..]) => rest,
                    Some([]) | None => return Err(ReplyError::Truncated),
                    Some(_) => return Err(BAD),
                };
                return Ok((signed.ok_or(BAD)?, rest));
            }
            _ => return Err(BAD),
        }
    }
    Err(if digits.len() < 20 { ReplyError::Truncated } else { BAD })
}

/// The text up to the line end, and what follows it.
#[inline]
fn line(rest: &[u8]) -> Result<(&[u8], &[u8]), ReplyError> {
    // The scanner ends a line at the first LF; a CR alone is text.
    let end = memchr(b'\n', rest).ok_or(ReplyError::Truncated)?;
    let (text, after) = rest.split_at_checked(end + 1).ok_or(ReplyError::Truncated)?;
    Ok((text.get(..end.wrapping_sub(1)).ok_or(ReplyError::Truncated)?, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(frame: &[u8]) -> Vec<Node<'_>> {
        let mut reader = Reader::new(frame);
        std::iter::from_fn(|| (!reader.is_at_end()).then(|| reader.next().unwrap())).collect()
    }

    #[test]
    fn every_kind_is_read() {
        assert_eq!(all(b"+OK\r\n:-7\r\n:+7\r\n"), [Node::Simple(b"OK"), Node::Int(-7), Node::Int(7)]);
        assert_eq!(all(b"$0\r\n\r\n$-1\r\n"), [Node::Bulk(Some(b"")), Node::Bulk(None)]);
        assert_eq!(all(b"*-1\r\n*0\r\n"), [Node::Array(None), Node::Array(Some(0))]);
        assert_eq!(all(b"-ERR a\rb\r\n!3\r\nERR\r\n"), [Node::Error(b"ERR a\rb"), Node::BulkError(b"ERR")]);
        assert_eq!(all(b"#t\r\n#f\r\n_\r\n"), [Node::Bool(true), Node::Bool(false), Node::Null]);
        assert_eq!(all(b",1.5\r\n(12\r\n"), [Node::Double(b"1.5"), Node::BigNumber(b"12")]);
        assert_eq!(all(b"=7\r\ntxt:a\r\n\r\n"), [Node::Verbatim { format: *b"txt", text: b"a\r\n" }]);
        assert_eq!(all(b"%0\r\n~0\r\n>0\r\n"), [Node::Map(0), Node::Set(0), Node::Push(0)]);
        assert_eq!(all(b"|0\r\n"), [Node::Attribute(0)]);
    }

    #[test]
    fn numbers_keep_to_their_range() {
        assert_eq!(Reader::new(b":9223372036854775807\r\n").next(), Ok(Node::Int(i64::MAX)));
        assert_eq!(Reader::new(b":-9223372036854775808\r\n").next(), Ok(Node::Int(i64::MIN)));
        for bad in [
            &b":9223372036854775808\r\n"[..],
            b":\r\n",
            b":-\r\n",
            b":1x\r\n",
            b":1\r2\r\n",
            b":99999999999999999999\r\n",
        ] {
            assert_eq!(Reader::new(bad).next(), Err(ReplyError::Malformed(b':')), "{}", bad.escape_ascii());
        }
        assert_eq!(double(b"-inf"), Some(f64::NEG_INFINITY));
        assert_eq!(double(b"1e3"), Some(1000.0));
        assert!(double(b"nan").unwrap().is_nan());
        assert_eq!(double(b"x"), None);
    }

    #[test]
    fn a_nested_value_is_passed_over_whole() {
        let mut reader = Reader::new(b"*2\r\n%1\r\n+a\r\n*1\r\n:1\r\n|1\r\n+t\r\n:1\r\n~1\r\n:2\r\n:3\r\n");
        assert_eq!(reader.next(), Ok(Node::Array(Some(2))));
        assert_eq!(reader.skip(), Ok(&b"%1\r\n+a\r\n*1\r\n:1\r\n"[..]));
        assert_eq!(reader.skip(), Ok(&b"|1\r\n+t\r\n:1\r\n~1\r\n:2\r\n"[..]));
        assert_eq!(reader.skip(), Ok(&b":3\r\n"[..]));
        assert_eq!(reader.skip(), Err(ReplyError::Truncated));
    }

    #[test]
    fn bytes_that_are_no_frame_are_an_error() {
        assert_eq!(Reader::new(b"HTTP").next(), Err(ReplyError::UnknownType(b'H')));
        assert_eq!(Reader::new(b"#x\r\n").next(), Err(ReplyError::Malformed(b'#')));
        assert_eq!(Reader::new(b"=2\r\nab\r\n").next(), Err(ReplyError::Malformed(b'=')));
        assert_eq!(Reader::new(b"$x\r\n").next(), Err(ReplyError::Malformed(b'$')));
        for frame in [&b"$3\r\nfoo\r\n"[..], b":12\r\n", b"+OK\r\n", b"*1\r\n", b"%1\r\n", b"=5\r\ntxt:x\r\n"]
        {
            for end in 0..frame.len() {
                assert_eq!(Reader::new(&frame[..end]).next(), Err(ReplyError::Truncated));
            }
        }
    }
}
