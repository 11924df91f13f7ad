//! Where a RESP2 or RESP3 frame ends.
//!
//! [`Scanner`] finds the end of the next reply frame in a buffer that grows. It is *resumable*: a call that meets
//! the end of the buffer remembers where it was, so a frame that arrives in a thousand pieces is still read once.
//! It does not recurse, it copies nothing, and it allocates for nesting only; nesting, counts and lengths are bounded by
//! [`Limits`], and a header that claims more than the limit is refused before a byte of its body is waited for.
//!
//! What it does not decide: what a frame means (`reply`), or whose it is (`session`). Numbers inside lines
//! (`:`, `,`, `(`) are not validated here; the reader of a value does that.
//!
//! The grammar is the RESP specification of redis.io (RESP2 and RESP3), without streamed strings and aggregates
//! (`$?`, `*?`), which no server sends.

use memchr::memchr;

/// What a frame may claim before it is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The longest bulk string, in bytes.
    pub bulk: usize,
    /// The most elements of one aggregate, as written in its header (a map of `n` counts `n`).
    pub elements: usize,
    /// How deep aggregates may nest.
    pub depth: usize,
    /// The longest line (simple strings, errors, numbers, headers) in bytes, without its line end.
    pub line: usize,
    /// The longest frame in bytes, as far as it is known from headers and from what has arrived.
    pub frame: usize,
}

impl Limits {
    /// For frames that clients send: 512 MiB a bulk, 1 Mi arguments, depth 32, lines of 64 KiB, 1 GiB in all.
    pub const REQUEST: Self =
        Self { bulk: 512 << 20, elements: 1 << 20, depth: 32, line: 64 << 10, frame: 1 << 30 };

    /// For what clients send before they have logged in: 16 KiB a bulk, 10 arguments. It is enough to log in with.
    pub const GUEST: Self = Self { bulk: 16 << 10, elements: 10, depth: 32, line: 64 << 10, frame: 1 << 30 };

    /// For frames that servers send: all that an honest one can say, because what is refused ends a connection that many
    /// share. 512 MiB a bulk; lines of the same length and depth 4096, because scripts give states, errors and nested
    /// tables as they like (a server's Lua has no stack for more); 128 Mi elements, because `KEYS` and `LRANGE` may rightly
    /// answer more than a client may send; 1 GiB in all, because a reply is held until it is whole.
    pub const REPLY: Self =
        Self { bulk: 512 << 20, elements: 128 << 20, depth: 4096, line: 512 << 20, frame: 1 << 30 };
}

/// Why bytes are not a frame. Nothing after such bytes on the same connection can be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ScanError {
    /// The first byte of a value is no RESP type.
    #[error("expected a RESP type byte, found {0:#04x}")]
    UnknownType(u8),
    /// A length or count is not a decimal number, or negative where it may not be.
    #[error("a length or count that is not a number")]
    BadLength,
    /// A line or bulk string is not ended by CR LF.
    #[error("a line or bulk string not ended by CR LF")]
    BadLineEnd,
    /// A bulk string longer than the limit.
    #[error("a bulk string of {claimed} bytes, allowed are {limit}")]
    BulkTooLong {
        /// What the header claims.
        claimed: u64,
        /// What [`Limits::bulk`] allows.
        limit: usize,
    },
    /// A frame that is too long in all.
    #[error("a frame longer than {limit} bytes")]
    FrameTooLong {
        /// What [`Limits::frame`] allows.
        limit: usize,
    },
    /// An aggregate with more elements than the limit.
    #[error("an aggregate of {claimed} elements, allowed are {limit}")]
    TooManyElements {
        /// What the header claims.
        claimed: u64,
        /// What [`Limits::elements`] allows.
        limit: usize,
    },
    /// Aggregates nested deeper than the limit.
    #[error("aggregates nested deeper than {limit}")]
    TooDeep {
        /// What [`Limits::depth`] allows.
        limit: usize,
    },
    /// A line longer than the limit.
    #[error("a line longer than {limit} bytes")]
    LineTooLong {
        /// What [`Limits::line`] allows.
        limit: usize,
    },
}

/// Finds the end of one frame after another in a growing buffer.
///
/// The buffer given to [`Scanner::scan`] must begin with the first byte of the frame being read, and a call may
/// only append to what the call before it saw; after `Ok(Some(end))` the next call begins at `end`.
///
/// ```
/// use rendis_core::scan::{Limits, Scanner};
///
/// let mut scanner = Scanner::new(Limits::REPLY);
/// assert_eq!(scanner.scan(b"*2\r\n$3\r\nfo"), Ok(None));
/// assert_eq!(scanner.scan(b"*2\r\n$3\r\nfoo\r\n:7\r\n+OK\r\n"), Ok(Some(17)));
/// assert_eq!(scanner.scan(b"+OK\r\n"), Ok(Some(5)));
/// ```
#[derive(Clone, Debug)]
pub struct Scanner {
    limits: Limits,
    /// Where the next value of the unfinished frame begins.
    position: usize,
    /// How far the line at `position` was searched without finding its end.
    searched: usize,
    /// Bytes from the frame's start that must be there before another look is worth it.
    wanted: usize,
    /// Values still to come at each open level.
    open: Vec<u32>,
}

/// One step at one value.
enum Step {
    /// The value, or the header of an aggregate, ends here; `children` values follow inside it.
    Value { end: usize, children: u64, attribute: bool },
    /// The buffer ends before the value does.
    Incomplete,
}

impl Scanner {
    /// A scanner at the start of a frame.
    #[must_use]
    pub const fn new(limits: Limits) -> Self {
        Self { limits, position: 0, searched: 0, wanted: 0, open: Vec::new() }
    }

    /// The end of the frame that begins at `buffer[0]`, or `None` when the buffer ends first.
    ///
    /// # Errors
    /// [`ScanError`] when the bytes are no frame or claim more than the limits. The scanner is then spent: its
    /// connection has to be closed.
    pub fn scan(&mut self, buffer: &[u8]) -> Result<Option<usize>, ScanError> {
        if buffer.len() < self.wanted {
            return Ok(None);
        }
        loop {
            let Step::Value { end, children, attribute } = self.step(buffer)? else {
                return Ok(None);
            };
            if end > self.limits.frame {
                return Err(ScanError::FrameTooLong { limit: self.limits.frame });
            }
            self.position = end;
            self.searched = end;
            if children > 0 {
                self.descend(children, attribute)?;
            } else if !attribute && self.ascend() {
                self.reset();
                return Ok(Some(end));
            }
        }
    }

    /// How many bytes from the frame's start the unfinished frame is known to need; 0 when nothing is known. A
    /// reader can make room for that many at once.
    #[must_use]
    pub const fn wanted(&self) -> usize {
        self.wanted
    }

    fn reset(&mut self) {
        self.position = 0;
        self.searched = 0;
        self.wanted = 0;
        self.open.clear();
    }

    /// Opens a level of `children` values. An attribute stands before a value and does not count as one, so its
    /// level ends without closing an element of the level around it.
    fn descend(&mut self, children: u64, attribute: bool) -> Result<(), ScanError> {
        if self.open.len() >= self.limits.depth {
            return Err(ScanError::TooDeep { limit: self.limits.depth });
        }
        // One more than the attribute's own values: the value it describes closes the level.
        let count = children.saturating_add(u64::from(attribute));
        let too_many = ScanError::TooManyElements { claimed: children, limit: self.limits.elements };
        self.open.push(u32::try_from(count).map_err(|_| too_many)?);
        Ok(())
    }

    /// Closes one value, and every level that it completes. True when the frame is whole.
    fn ascend(&mut self) -> bool {
        while let Some(top) = self.open.last_mut() {
            *top -= 1;
            if *top > 0 {
                return false;
            }
            self.open.pop();
        }
        true
    }

    fn step(&mut self, buffer: &[u8]) -> Result<Step, ScanError> {
        let Some(&kind) = buffer.get(self.position) else {
            return Ok(Step::Incomplete);
        };
        match kind {
            b'+' | b'-' | b':' | b'_' | b'#' | b',' | b'(' => Ok(match self.line(buffer)? {
                Some(end) => Step::Value { end, children: 0, attribute: false },
                None => Step::Incomplete,
            }),
            b'$' | b'=' | b'!' => self.bulk(buffer, kind),
            b'*' | b'~' | b'>' => self.aggregate(buffer, kind, 1),
            b'%' | b'|' => self.aggregate(buffer, kind, 2),
            other => Err(ScanError::UnknownType(other)),
        }
    }

    fn bulk(&mut self, buffer: &[u8], kind: u8) -> Result<Step, ScanError> {
        if let Some((length, body)) = short_header(buffer, self.position)
            && length <= self.limits.bulk
            && buffer.get(body + length..).is_some_and(|rest| rest.starts_with(b"\r\n"))
        {
            return Ok(Step::Value { end: body + length + 2, children: 0, attribute: false });
        }
        let Some((length, body)) = header(buffer, self.position)? else {
            return Ok(Step::Incomplete);
        };
        let Some(length) = length else {
            return if kind == b'$' {
                Ok(Step::Value { end: body, children: 0, attribute: false })
            } else {
                Err(ScanError::BadLength)
            };
        };
        let length = match usize::try_from(length) {
            Ok(length) if length <= self.limits.bulk => length,
            _ => return Err(ScanError::BulkTooLong { claimed: length, limit: self.limits.bulk }),
        };
        let end = body + length + 2;
        if end > self.limits.frame {
            return Err(ScanError::FrameTooLong { limit: self.limits.frame });
        }
        match buffer.get(body + length..end) {
            Some(b"\r\n") => Ok(Step::Value { end, children: 0, attribute: false }),
            Some(_) => Err(ScanError::BadLineEnd),
            None => {
                self.wanted = end;
                Ok(Step::Incomplete)
            }
        }
    }

    fn aggregate(&mut self, buffer: &[u8], kind: u8, values: u64) -> Result<Step, ScanError> {
        let Some((count, end)) = header(buffer, self.position)? else {
            return Ok(Step::Incomplete);
        };
        let attribute = kind == b'|';
        let Some(count) = count else {
            return if kind == b'*' {
                Ok(Step::Value { end, children: 0, attribute: false })
            } else {
                Err(ScanError::BadLength)
            };
        };
        if usize::try_from(count).map_or(true, |count| count > self.limits.elements) {
            return Err(ScanError::TooManyElements { claimed: count, limit: self.limits.elements });
        }
        Ok(Step::Value { end, children: count.saturating_mul(values), attribute })
    }

    /// Where the line at `position` ends, its CR LF included.
    fn line(&mut self, buffer: &[u8]) -> Result<Option<usize>, ScanError> {
        let from = self.searched.max(self.position);
        let too_long = ScanError::LineTooLong { limit: self.limits.line };
        let Some(found) = memchr(b'\n', buffer.get(from..).unwrap_or_default()) else {
            self.searched = buffer.len();
            return if buffer.len() - self.position > self.limits.line + 2 {
                Err(too_long)
            } else {
                Ok(None)
            };
        };
        let end = from + found + 1;
        if buffer.get(end.wrapping_sub(2)) != Some(&b'\r') || end - self.position < 3 {
            return Err(ScanError::BadLineEnd);
        }
        if end - self.position > self.limits.line + 3 {
            return Err(too_long);
        }
        Ok(Some(end))
    }
}

/// As [`header`], for the headers that nearly all are: whole, of one digit or two. `None` where it is another.
#[inline]
pub(crate) fn short_header(buffer: &[u8], position: usize) -> Option<(usize, usize)> {
    let digit = |byte: u8| byte.is_ascii_digit().then(|| usize::from(byte - b'0'));
    match *buffer.get(position + 1..)? {
        [one, b'\r', b'\n', ..] => Some((digit(one)?, position + 4)),
        [ten @ b'1'..=b'9', one, b'\r', b'\n', ..] => Some((digit(ten)? * 10 + digit(one)?, position + 5)),
        _ => None,
    }
}

/// The number in the header line that begins at `position` with its type byte (`None` for the null length `-1`), and
/// where the line ends. A number with zeros in front is none: servers refuse it, and close the connection.
pub(crate) fn header(buffer: &[u8], position: usize) -> Result<Option<(Option<u64>, usize)>, ScanError> {
    // Most headers have one to three digits and are whole: read them without searching for the line end first.
    let digits = buffer.get(position + 1..).unwrap_or_default();
    let mut number = 0_u64;
    for (at, &byte) in digits.iter().enumerate() {
        match byte {
            b'0'..=b'9' if at == 1 && number == 0 => return Err(ScanError::BadLength),
            b'0'..=b'9' if at < 19 => number = number * 10 + u64::from(byte - b'0'),
            b'\r' if at > 0 => {
                return match digits.get(at + 1) {
                    Some(b'\n') => Ok(Some((Some(number), position + at + 3))),
                    Some(_) => Err(ScanError::BadLineEnd),
                    None => Ok(None),
                };
            }
            b'-' if at == 0 => return null_header(digits, position),
            _ => return Err(ScanError::BadLength),
        }
    }
    Ok(None)
}

fn null_header(digits: &[u8], position: usize) -> Result<Option<(Option<u64>, usize)>, ScanError> {
    const NULL: &[u8] = b"-1\r\n";
    let seen = digits.get(..NULL.len().min(digits.len())).unwrap_or_default();
    if !NULL.starts_with(seen) {
        return Err(ScanError::BadLength);
    }
    Ok((seen.len() == NULL.len()).then_some((None, position + 1 + NULL.len())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(frame: &[u8]) -> Result<Option<usize>, ScanError> {
        Scanner::new(Limits::REPLY).scan(frame)
    }

    #[test]
    fn every_type_ends_where_it_ends() {
        for frame in [
            &b"+OK\r\n"[..],
            b"-ERR no\r\n",
            b":-12\r\n",
            b"$0\r\n\r\n",
            b"$-1\r\n",
            b"*-1\r\n",
            b"*0\r\n",
            b"_\r\n",
            b"#t\r\n",
            b",1.5\r\n",
            b"(123456789012345678901234567890\r\n",
            b"=7\r\ntxt:abc\r\n",
            b"!5\r\nERR x\r\n",
            b"~2\r\n:1\r\n:2\r\n",
            b"%2\r\n+a\r\n:1\r\n+b\r\n*1\r\n:2\r\n",
            b">3\r\n+message\r\n+c\r\n$1\r\nx\r\n",
            b"|1\r\n+ttl\r\n:3\r\n$1\r\nx\r\n",
            b"|0\r\n+x\r\n",
            b"*2\r\n|1\r\n+a\r\n+b\r\n:1\r\n:2\r\n",
            b"*2\r\n*2\r\n:1\r\n*0\r\n*1\r\n$1\r\nx\r\n",
        ] {
            assert_eq!(whole(frame), Ok(Some(frame.len())), "{}", frame.escape_ascii());
            let mut longer = frame.to_vec();
            longer.extend_from_slice(b"+next\r\n");
            assert_eq!(whole(&longer), Ok(Some(frame.len())));
            let mut scanner = Scanner::new(Limits::REPLY);
            for end in 0..frame.len() {
                assert_eq!(scanner.scan(&frame[..end]), Ok(None), "{} at {end}", frame.escape_ascii());
            }
            assert_eq!(scanner.scan(frame), Ok(Some(frame.len())));
        }
    }

    #[test]
    fn what_is_no_frame_is_refused() {
        assert_eq!(whole(b"HTTP/1.1 400"), Err(ScanError::UnknownType(b'H')));
        assert_eq!(whole(b"$x\r\n"), Err(ScanError::BadLength));
        assert_eq!(whole(b"$-2\r\n"), Err(ScanError::BadLength));
        assert_eq!(whole(b"$\r\n"), Err(ScanError::BadLength));
        for padded in
            [&b"$03\r\nabc\r\n"[..], b"*01\r\n:1\r\n", b"$0000000003\r\nabc\r\n", b"$00\r\n\r\n", b"*00\r\n"]
        {
            assert_eq!(whole(padded), Err(ScanError::BadLength), "{}", padded.escape_ascii());
        }
        assert_eq!(whole(b"~-1\r\n"), Err(ScanError::BadLength));
        assert_eq!(whole(b"$3\r\nabcde"), Err(ScanError::BadLineEnd));
        assert_eq!(whole(b"+OK\n"), Err(ScanError::BadLineEnd));
        assert_eq!(whole(b"*1\rx"), Err(ScanError::BadLineEnd));
        assert_eq!(whole(b"$99999999999999999999\r\n"), Err(ScanError::BadLength));
    }

    #[test]
    fn limits_hold_before_the_body_arrives() {
        assert_eq!(
            whole(b"$629145600\r\n"),
            Err(ScanError::BulkTooLong { claimed: 629_145_600, limit: 512 << 20 })
        );
        assert!(matches!(whole(b"*1000000000\r\n"), Err(ScanError::TooManyElements { .. })));
        let deep = b"*1\r\n".repeat(4097);
        assert_eq!(whole(&deep), Err(ScanError::TooDeep { limit: 4096 }));
        let mut fits = b"*1\r\n".repeat(4096);
        fits.extend_from_slice(b":1\r\n");
        assert_eq!(whole(&fits), Ok(Some(fits.len())));
        let line = [b"+".to_vec(), vec![b'x'; 70_000]].concat();
        let request = Scanner::new(Limits::REQUEST).scan(&line);
        assert_eq!(request, Err(ScanError::LineTooLong { limit: 64 << 10 }));
        // A script may say it.
        assert_eq!(whole(&line), Ok(None));
        let line = [&line[..], b"\r\n"].concat();
        assert_eq!(whole(&line), Ok(Some(line.len())));
    }

    #[test]
    fn no_count_is_too_large_to_be_refused() {
        let limits = Limits { elements: usize::MAX, ..Limits::REPLY };
        for frame in [&b"%9999999999999999999\r\n"[..], b"|9999999999999999999\r\n"] {
            assert!(matches!(Scanner::new(limits).scan(frame), Err(ScanError::TooManyElements { .. })));
        }
    }

    #[test]
    fn a_large_bulk_says_how_much_it_wants() {
        let mut scanner = Scanner::new(Limits::REPLY);
        assert_eq!(scanner.scan(b"*2\r\n:1\r\n$1000\r\nabc"), Ok(None));
        assert_eq!(scanner.wanted(), 15 + 1002);
    }
}
