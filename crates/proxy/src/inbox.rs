//! What a client sent: bytes as they arrive, whole requests as they are found.

use std::ops::Range;

use bytes::{Buf, BytesMut};
use rendis_core::request::{Request, RequestBuf, RequestScanner, SharedRequest, Span};
use rendis_core::scan::{Limits, ScanError};

/// The bytes a client sent and that were not worked off yet, and the whole requests among them.
#[derive(Debug)]
pub(crate) struct Inbox {
    pub(crate) arrived: BytesMut,
    scanner: RequestScanner,
    /// Whole requests at the front of `arrived`.
    found: Vec<Found>,
    spans: Vec<Span>,
    /// How far `arrived` was looked through.
    looked: usize,
    /// How much room the next read gets.
    room: usize,
    /// Much was in `arrived` since it was made: it may have all of that memory still, whatever its capacity says.
    large: bool,
}

#[derive(Clone, Debug)]
struct Found {
    bytes: Range<usize>,
    spans: Range<usize>,
}

/// The bytes at the front of the inbox.
#[derive(Debug)]
pub(crate) enum Front {
    /// At least one whole request.
    Requests,
    /// A command as a person types it; it was taken out.
    Inline(RequestBuf),
    /// No whole request yet.
    Partial,
}

/// Why bytes are no request. Lines of people are refused in the words of servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Malformed {
    #[error(transparent)]
    Frame(#[from] ScanError),
    #[error("unbalanced quotes in request")]
    Quotes,
    #[error("too big inline request")]
    Long,
}

impl Inbox {
    pub(crate) fn new() -> Self {
        Self {
            arrived: BytesMut::new(),
            scanner: RequestScanner::new(Limits::REQUEST),
            found: Vec::new(),
            spans: Vec::new(),
            looked: 0,
            room: ROOM_AT_LEAST,
            large: false,
        }
    }

    /// The room that the next read should get. What a header announces gets it at once up to [`ROOM_GIVEN`], and then as it
    /// arrives: at most as much again as is there, because to announce half a GiB takes 20 bytes.
    pub(crate) fn room(&mut self) -> usize {
        let missing = self.scanner.wanted().saturating_sub(self.arrived.len() - self.looked);
        let free = self.arrived.capacity() - self.arrived.len();
        // Room that is there already is used up first: to ask for more each time would double it each time.
        let step = if free < ROOM_AT_MOST { self.arrived.len().max(ROOM_GIVEN) } else { free };
        if self.arrived.is_empty() && (self.large || self.arrived.capacity() > KEEP_AT_MOST) {
            (self.arrived, self.large) = (BytesMut::new(), false);
        }
        missing.min(step).max(self.room)
    }

    /// Learns from a read how much comes at a time.
    pub(crate) fn read(&mut self, count: usize) {
        if count >= self.room {
            self.room = (self.room * 4).min(ROOM_AT_MOST);
        } else if count < self.room / 16 {
            self.room = (self.room / 2).max(ROOM_AT_LEAST);
        }
    }

    /// Finds the whole requests among what has arrived, up to the window. From a `guest` only one at a time, and a short
    /// one: what comes behind it is looked at when it may have logged in.
    ///
    /// # Errors
    /// [`Malformed`] when the bytes after those found are no request; the requests found before are still there.
    pub(crate) fn look(&mut self, guest: bool) -> Result<Front, Malformed> {
        let (limits, most) = if guest { (Limits::GUEST, 1) } else { (Limits::REQUEST, MOST_REQUESTS) };
        self.scanner.limit(limits);
        self.large |= self.arrived.len() > KEEP_AT_MOST;
        while self.found.len() < most && self.looked < MOST_BYTES {
            let rest = self.arrived.get(self.looked..).unwrap_or_default();
            match rest.first() {
                None => break,
                Some(b'*') => {}
                Some(_) if self.found.is_empty() => match self.inline()? {
                    Some(front) => return Ok(front),
                    // An empty line is passed over, as servers do.
                    None => continue,
                },
                Some(_) => break,
            }
            let Some(length) = self.scanner.scan(rest)? else { break };
            let (start, first) = (self.looked, self.spans.len());
            self.looked += length;
            if self.scanner.spans().is_empty() {
                // An empty array is passed over, as servers do.
                if self.found.is_empty() {
                    self.arrived.advance(self.looked);
                    self.looked = 0;
                }
                continue;
            }
            self.spans.extend_from_slice(self.scanner.spans());
            self.found.push(Found { bytes: start..self.looked, spans: first..self.spans.len() });
        }
        Ok(if self.found.is_empty() { Front::Partial } else { Front::Requests })
    }

    /// The request at `index` among those found.
    pub(crate) fn request(&self, index: usize) -> Option<Request<'_>> {
        let found = self.found.get(index)?;
        Some(Request::new(self.arrived.get(found.bytes.clone())?, self.spans.get(found.spans.clone())?))
    }

    /// Takes the only request found out of what has arrived, in its buffer. It still counts as found.
    pub(crate) fn take_only(&mut self) -> Option<SharedRequest> {
        let [found] = self.found.as_slice() else { return None };
        let mut bytes = self.arrived.split_to(found.bytes.end);
        self.looked -= found.bytes.end;
        bytes.advance(found.bytes.start);
        Some(SharedRequest::new(bytes.freeze(), self.spans.get(found.spans.clone())?))
    }

    /// All requests found, from `index` on.
    pub(crate) fn requests(&self, index: usize) -> impl Iterator<Item = Request<'_>> {
        (index..self.found.len()).filter_map(|index| self.request(index))
    }

    /// The bytes of what has arrived.
    pub(crate) fn held(&self) -> usize {
        self.arrived.len()
    }

    /// How many requests were found.
    pub(crate) fn found(&self) -> usize {
        self.found.len()
    }

    /// The requests found are worked off, and what was passed over behind them.
    pub(crate) fn clear(&mut self) {
        self.arrived.advance(self.looked);
        self.looked = 0;
        self.found.clear();
        self.spans.clear();
        if self.spans.capacity() > KEEP_SPANS {
            self.spans = Vec::new();
            self.found = Vec::new();
            self.scanner.shrink_to(KEEP_SPANS);
        }
    }

    /// A line of words, as a person types it; `None` where there are none on it.
    fn inline(&mut self) -> Result<Option<Front>, Malformed> {
        let Some(end) = memchr::memchr(b'\n', &self.arrived) else {
            let limit = Limits::REQUEST.line;
            return if self.arrived.len() > limit { Err(Malformed::Long) } else { Ok(Some(Front::Partial)) };
        };
        let line = self.arrived.split_to(end + 1);
        let words = words(line.trim_ascii()).ok_or(Malformed::Quotes)?;
        self.looked = 0;
        match words.first() {
            None => return Ok(None),
            // Not ours: a web page could otherwise have a browser send commands in what it posts.
            Some(word) if word.eq_ignore_ascii_case(b"POST") || word.eq_ignore_ascii_case(b"Host:") => {
                return Err(ScanError::UnknownType(word.first().copied().unwrap_or_default()).into());
            }
            Some(_) => {}
        }
        Ok(Some(Front::Inline(RequestBuf::pack(words.iter().map(Vec::as_slice).collect::<Vec<_>>()))))
    }
}

/// Splits a line into words: separated by blanks, in double quotes with `\n \r \t \b \a \xHH`, in single quotes with `\'`.
/// `None` when quotes do not match, as servers see it.
fn words(line: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut words = Vec::new();
    let mut rest = line;
    loop {
        rest = rest.trim_ascii_start();
        if rest.is_empty() {
            return Some(words);
        }
        let mut word = Vec::new();
        let mut quote = None;
        loop {
            let Some((&byte, after)) = rest.split_first() else {
                if quote.is_some() {
                    return None;
                }
                break;
            };
            rest = after;
            match (quote, byte) {
                (None, b' ' | b'\t' | b'\r' | b'\n' | 0) => break,
                (None, b'"' | b'\'') => quote = Some(byte),
                (Some(open), byte) if open == byte => {
                    if rest.first().is_some_and(|next| !next.is_ascii_whitespace()) {
                        return None;
                    }
                    break;
                }
                (Some(b'"'), b'\\') => rest = escape(rest, &mut word)?,
                (Some(b'\''), b'\\') if rest.first() == Some(&b'\'') => {
                    word.push(b'\'');
                    rest = rest.get(1..)?;
                }
                (_, byte) => word.push(byte),
            }
        }
        words.push(word);
    }
}

/// Reads what stands behind a backslash, and says what comes after it.
fn escape<'a>(rest: &'a [u8], word: &mut Vec<u8>) -> Option<&'a [u8]> {
    let (&byte, after) = rest.split_first()?;
    if byte == b'x' {
        let hex = after.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
        if let Some(value) = hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            word.push(value);
            return after.get(2..);
        }
    }
    word.push(match byte {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'b' => 8,
        b'a' => 7,
        other => other,
    });
    Some(after)
}

/// How many requests of one client are worked on before it is read from again, and from how many bytes on no further.
const MOST_REQUESTS: usize = 1024;
const MOST_BYTES: usize = 1 << 20;

/// The room that a read gets, at least and at most. A client that sends one small request at a time keeps half a KiB.
const ROOM_AT_LEAST: usize = 512;
const ROOM_AT_MOST: usize = 64 << 10;

/// The room that is given because it was announced: memory that nothing is written to costs next to nothing, and a value of
/// 1 MiB is not moved as it grows.
const ROOM_GIVEN: usize = 4 << 20;

/// What an idle client keeps of its buffer, and of the places for the arguments of its requests.
const KEEP_AT_MOST: usize = 1 << 10;
const KEEP_SPANS: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<Vec<String>> {
        let words = words(text.as_bytes())?;
        Some(words.into_iter().map(|word| String::from_utf8_lossy(&word).into_owned()).collect())
    }

    #[test]
    fn lines_are_split_as_servers_split_them() {
        assert_eq!(read("SET key  value").unwrap(), ["SET", "key", "value"]);
        assert_eq!(read(r#"SET "a key" 'it\'s'"#).unwrap(), ["SET", "a key", "it's"]);
        assert_eq!(read(r#"SET "\x41\n\"" ''"#).unwrap(), ["SET", "A\n\"", ""]);
        assert_eq!(read(r#"SET "open"#), None);
        assert_eq!(read(r#"SET "a"b"#), None);
        assert_eq!(read("").unwrap(), Vec::<String>::new());
    }

    #[test]
    fn what_is_only_announced_takes_next_to_no_room() {
        const VALUE: usize = 40 << 20;
        let mut inbox = Inbox::new();
        inbox.arrived.extend_from_slice(format!("*2\r\n$3\r\nGET\r\n${VALUE}\r\n").as_bytes());
        let (mut reads, header) = (0, inbox.arrived.len());
        while matches!(inbox.look(false).unwrap(), Front::Partial) {
            let (room, there) = (inbox.room(), inbox.arrived.len());
            assert!(room <= there.max(ROOM_GIVEN) || room <= inbox.arrived.capacity() - there, "{room}");
            inbox.arrived.reserve(room);
            assert!(inbox.arrived.capacity() <= 4 * there.max(ROOM_GIVEN), "{}", inbox.arrived.capacity());
            // A read fills what room there is.
            let count = room.min(header + VALUE + 2 - there);
            inbox.arrived.extend_from_slice(&vec![b'x'; count - 2]);
            inbox.arrived.extend_from_slice(b"\r\n");
            inbox.read(count);
            reads += 1;
        }
        assert_eq!(inbox.request(0).unwrap().argument(1).unwrap().len(), VALUE);
        assert!(reads < 20, "{reads} reads");
    }

    #[test]
    fn memory_of_a_large_request_is_not_kept() {
        let request = RequestBuf::pack([&b"ECHO"[..], &[b'x'; 1 << 20]]);
        for room in [0, 100] {
            let mut inbox = Inbox::new();
            inbox.arrived = BytesMut::with_capacity(request.view().bytes().len() + room);
            inbox.arrived.extend_from_slice(request.view().bytes());
            assert!(matches!(inbox.look(false).unwrap(), Front::Requests));
            inbox.clear();
            let room = inbox.room();
            inbox.arrived.reserve(room);
            assert!(inbox.arrived.capacity() <= ROOM_AT_MOST, "{}", inbox.arrived.capacity());
        }
    }

    #[test]
    fn what_is_taken_out_leaves_what_came_behind_it() {
        let (taken, next) =
            (RequestBuf::pack([&b"SET"[..], b"k", &[b'x'; 100]]), RequestBuf::pack([&b"GET"[..], b"k"]));
        for (passed, behind) in [("", 0), ("*0\r\n", 0), ("", 5), ("*0\r\n*0\r\n", 5)] {
            let mut inbox = Inbox::new();
            let (first, rest) = next.view().bytes().split_at(behind);
            inbox.arrived.extend_from_slice(&[passed.as_bytes(), taken.view().bytes(), first].concat());
            assert!(matches!(inbox.look(false).unwrap(), Front::Requests));
            let request = inbox.take_only().unwrap();
            assert_eq!(request.bytes(), taken.view().bytes());
            assert_eq!(request.view().argument(1), Some(&b"k"[..]));
            assert_eq!(inbox.found(), 1);
            inbox.clear();
            inbox.arrived.extend_from_slice(rest);
            assert!(matches!(inbox.look(false).unwrap(), Front::Requests));
            assert_eq!(inbox.request(0).unwrap().bytes(), next.view().bytes());
            inbox.arrived.extend_from_slice(taken.view().bytes());
            assert!(matches!(inbox.look(false).unwrap(), Front::Requests));
            assert!(inbox.take_only().is_none(), "there are two");
        }
    }

    #[test]
    fn requests_are_found_in_any_pieces() {
        let bytes =
            b"*2\r\n$3\r\nGET\r\n$1\r\na\r\n*0\r\nPING\r\n*1\r\n$4\r\nINFO\r\n*0\r\n*0\r\nTIME\r\n*0\r\n\r\n";
        for size in 1..=bytes.len() {
            let mut inbox = Inbox::new();
            let mut names = Vec::new();
            for piece in bytes.chunks(size) {
                inbox.arrived.extend_from_slice(piece);
                loop {
                    match inbox.look(false).unwrap() {
                        Front::Requests => {
                            names.extend(inbox.requests(0).map(|request| request.name().to_vec()));
                            inbox.clear();
                        }
                        Front::Inline(request) => names.push(request.view().name().to_vec()),
                        Front::Partial => break,
                    }
                }
            }
            assert_eq!(names, [&b"GET"[..], b"PING", b"INFO", b"TIME"], "in pieces of {size}");
            assert!(inbox.arrived.is_empty());
        }
    }
}
