//! A request frame: its bytes and the ranges of its arguments.
//!
//! A [`Request`] is a view, two words and a slice of ranges: nothing is copied to look at a command. A
//! [`RequestBuf`] owns both, for requests that are made here (parts of a split command, replayed commands), and a
//! [`SharedRequest`] keeps the buffer in which a large one arrived. `scanner` finds them in what arrives, `writer` makes them.

mod scanner;
mod writer;

use bytes::Bytes;
use smallvec::SmallVec;

pub use self::scanner::RequestScanner;
pub use self::writer::{RequestWriter, push_header};
use crate::scan::{Limits, ScanError};

/// Whether an argument is this word to a server. Servers read the words of commands as C strings: in any case, and up to the
/// first byte of 0.
///
/// ```
/// use rendis_core::request::is_word;
/// assert!(is_word(b"streams", "STREAMS") && is_word(b"Store\0d", "store"));
/// assert!(!is_word(b"storedist", "store") && !is_word(b"sto", "store"));
/// ```
#[must_use]
pub fn is_word(argument: &[u8], word: &str) -> bool {
    let (head, rest) = argument.split_at_checked(word.len()).unwrap_or_default();
    head.eq_ignore_ascii_case(word.as_bytes()) && matches!(rest, [] | [0, ..])
}

/// Where one argument lies in a frame, in bytes from the frame's first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    start: u32,
    end: u32,
}

/// A whole request: the frame as it goes over the wire, and its arguments.
///
/// Argument 0 is the command's name. A request has at least that one.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    bytes: &'a [u8],
    spans: &'a [Span],
}

impl<'a> Request<'a> {
    /// A view of `bytes`, whose arguments lie at `spans`, as a [`RequestScanner`] found them.
    #[must_use]
    pub const fn new(bytes: &'a [u8], spans: &'a [Span]) -> Self {
        Self { bytes, spans }
    }

    /// The frame, as it is sent.
    #[must_use]
    pub const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// How many arguments there are, the command's name counted.
    #[must_use]
    pub const fn count(&self) -> usize {
        self.spans.len()
    }

    /// The argument at `index`; the name is at 0.
    #[must_use]
    pub fn argument(&self, index: usize) -> Option<&'a [u8]> {
        self.spans.get(index).and_then(|span| slice(self.bytes, *span))
    }

    /// The command's name as it was written; empty for a request without arguments.
    #[must_use]
    pub fn name(&self) -> &'a [u8] {
        self.argument(0).unwrap_or_default()
    }

    /// All arguments in order, the name first.
    pub fn arguments(&self) -> impl ExactSizeIterator<Item = &'a [u8]> + Clone + use<'a> {
        let bytes = self.bytes;
        self.spans.iter().map(move |span| slice(bytes, *span).unwrap_or_default())
    }

    /// Where the header of the argument at `index` begins: behind the argument before it.
    #[inline]
    fn encoded_from(&self, index: usize) -> usize {
        match index.checked_sub(1) {
            Some(before) => self.spans.get(before).map_or(self.bytes.len(), |span| offset(span.end) + 2),
            None => memchr::memchr(b'\n', self.bytes).map_or(self.bytes.len(), |end| end + 1),
        }
    }

    /// `count` arguments from `first` on as they are written, with their headers and line ends.
    #[inline]
    pub(crate) fn encoded(&self, first: usize, count: usize) -> &'a [u8] {
        self.bytes
            .get(self.encoded_from(first)..self.encoded_from(first.saturating_add(count)))
            .unwrap_or_default()
    }

    /// The arguments behind the name come in groups of `step`: those of the group with this number, counted from 0, as they
    /// are written.
    #[inline]
    pub(crate) fn group(&self, number: u32, step: usize) -> &'a [u8] {
        self.encoded(offset(number).saturating_mul(step).saturating_add(1), step)
    }

    /// A copy that owns its bytes.
    #[must_use]
    pub fn to_buf(&self) -> RequestBuf {
        RequestBuf { bytes: self.bytes.to_vec(), spans: self.spans.into() }
    }
}

impl std::fmt::Debug for Request<'_> {
    /// The name and the number of arguments; never their contents, which may be secrets.
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Request({} +{})", self.name().escape_ascii(), self.count().saturating_sub(1))
    }
}

/// A request that owns its bytes.
///
/// ```
/// use rendis_core::request::RequestBuf;
///
/// let request = RequestBuf::pack([&b"GET"[..], b"k"]);
/// assert_eq!(request.view().bytes(), b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n");
/// assert_eq!(request.view().argument(1), Some(&b"k"[..]));
/// ```
#[derive(Clone, Default)]
pub struct RequestBuf {
    bytes: Vec<u8>,
    spans: Spans,
}

/// Nearly every request has no more arguments than these, which take no allocation.
type Spans = SmallVec<[Span; 4]>;

impl RequestBuf {
    /// Packs arguments, the command's name first, into a frame.
    #[must_use]
    pub fn pack<'a, I>(arguments: I) -> Self
    where
        I: IntoIterator<Item = &'a [u8]>,
        I::IntoIter: ExactSizeIterator + Clone,
    {
        let arguments = arguments.into_iter();
        let body: usize = arguments.clone().map(|argument| argument.len() + 16).sum();
        let mut request =
            Self { bytes: Vec::with_capacity(body + 16), spans: Spans::with_capacity(arguments.len()) };
        push_header(&mut request.bytes, b'*', arguments.len());
        for argument in arguments {
            push_header(&mut request.bytes, b'$', argument.len());
            let start = request.bytes.len();
            request.bytes.extend_from_slice(argument);
            request.spans.push(span(start, request.bytes.len()));
            request.bytes.extend_from_slice(b"\r\n");
        }
        request
    }

    /// Reads one packed request, for frames that another encoder made.
    ///
    /// # Errors
    /// [`ScanError`] when `bytes` are no request, or more or less than one.
    pub fn parse(bytes: Vec<u8>) -> Result<Self, ScanError> {
        let mut scanner = RequestScanner::new(Limits::REQUEST);
        match scanner.scan(&bytes)? {
            Some(end) if end == bytes.len() => Ok(Self { bytes, spans: scanner.spans.into() }),
            _ => Err(ScanError::BadLength),
        }
    }

    /// The view of it.
    #[must_use]
    pub fn view(&self) -> Request<'_> {
        Request::new(&self.bytes, &self.spans)
    }

    /// The frame alone.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

impl std::fmt::Debug for RequestBuf {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.view().fmt(out)
    }
}

/// A request in the buffer in which it arrived, which others can keep as well: a large one is handed over and not copied.
///
/// ```
/// use bytes::Bytes;
/// use rendis_core::{request::{RequestScanner, SharedRequest}, scan::Limits};
///
/// let bytes = Bytes::from_static(b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n");
/// let mut scanner = RequestScanner::new(Limits::REQUEST);
/// assert_eq!(scanner.scan(&bytes), Ok(Some(bytes.len())));
/// let request = SharedRequest::new(bytes.clone(), scanner.spans());
/// assert_eq!(request.view().argument(1), Some(&b"k"[..]));
/// assert_eq!(request.bytes().as_ptr(), bytes.as_ptr());
/// ```
#[derive(Clone)]
pub struct SharedRequest {
    bytes: Bytes,
    spans: Spans,
}

impl SharedRequest {
    /// The request `bytes`, whose arguments lie at `spans`, as a [`RequestScanner`] found them.
    #[must_use]
    pub fn new(bytes: Bytes, spans: &[Span]) -> Self {
        Self { bytes, spans: spans.into() }
    }

    /// The view of it.
    #[must_use]
    pub fn view(&self) -> Request<'_> {
        Request::new(&self.bytes, &self.spans)
    }

    /// The frame alone.
    #[must_use]
    pub const fn bytes(&self) -> &Bytes {
        &self.bytes
    }
}

impl std::fmt::Debug for SharedRequest {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.view().fmt(out)
    }
}

fn slice(bytes: &[u8], span: Span) -> Option<&[u8]> {
    bytes.get(usize::try_from(span.start).ok()?..usize::try_from(span.end).ok()?)
}

fn span(start: usize, end: usize) -> Span {
    Span { start: position(start), end: position(end) }
}

fn position(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

fn offset(position: u32) -> usize {
    usize::try_from(position).unwrap_or(usize::MAX - 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packed_requests_are_read_back_in_any_pieces() {
        let packed = RequestBuf::pack([&b"SET"[..], b"", b"a\r\nb\0", &[0xff; 300]]);
        let bytes = packed.view().bytes().to_vec();
        let mut scanner = RequestScanner::new(Limits::REQUEST);
        for end in 0..bytes.len() {
            assert_eq!(scanner.scan(&bytes[..end]), Ok(None));
        }
        assert_eq!(scanner.scan(&bytes), Ok(Some(bytes.len())));
        let read: Vec<_> = scanner.request(&bytes).arguments().collect();
        assert_eq!(read, packed.view().arguments().collect::<Vec<_>>());
        assert_eq!(read[2], b"a\r\nb\0");
        assert_eq!(scanner.scan(b"*0\r\n"), Ok(Some(4)));
        assert_eq!(scanner.request(b"*0\r\n").count(), 0);
    }

    #[test]
    fn memory_of_a_long_request_is_given_back_and_not_that_of_one_that_is_not_whole() {
        let long = RequestBuf::pack(vec![&b"x"[..]; 1000]);
        let mut scanner = RequestScanner::new(Limits::REQUEST);
        let (first, _) = long.bytes.split_at(long.bytes.len() - 1);
        assert_eq!(scanner.scan(first), Ok(None));
        scanner.shrink_to(10);
        assert_eq!(scanner.scan(&long.bytes), Ok(Some(long.bytes.len())));
        assert_eq!(scanner.request(&long.bytes).count(), 1000);
        scanner.shrink_to(10);
        assert!(scanner.spans.capacity() <= 10, "{}", scanner.spans.capacity());
        assert_eq!(scanner.scan(&long.bytes), Ok(Some(long.bytes.len())));
    }

    #[test]
    fn what_is_written_word_by_word_is_what_packing_gives() {
        for count in [1, 2, 9, 10, 11, 100, 1000] {
            let words: Vec<String> = (0..count).map(|word| "w".repeat(word % 130)).collect();
            let mut writer = RequestWriter::new(words[0].as_bytes());
            words.iter().skip(1).for_each(|word| writer.push(word.as_bytes()));
            let (written, packed) =
                (writer.finish(), RequestBuf::pack(words.iter().map(String::as_bytes).collect::<Vec<_>>()));
            assert_eq!(written.bytes, packed.bytes, "{count} words");
            assert_eq!(written.spans, packed.spans, "{count} words");
        }
    }

    #[test]
    fn what_is_no_request_is_refused() {
        let scan = |bytes: &[u8]| RequestScanner::new(Limits::REQUEST).scan(bytes);
        assert_eq!(scan(b"GET k\r\n"), Err(ScanError::UnknownType(b'G')));
        assert_eq!(scan(b"*1\r\n:1\r\n"), Err(ScanError::UnknownType(b':')));
        assert_eq!(scan(b"*1\r\n$-1\r\n"), Err(ScanError::BadLength));
        assert_eq!(scan(b"*-01\r\n"), Err(ScanError::BadLength));
        assert_eq!(scan(b"*02\r\n$3\r\nGET\r\n$1\r\nk\r\n"), Err(ScanError::BadLength));
        assert_eq!(scan(b"*2\r\n$3\r\nGET\r\n$01\r\nk\r\n"), Err(ScanError::BadLength));
        assert_eq!(
            scan(b"*1048577\r\n"),
            Err(ScanError::TooManyElements { claimed: 1_048_577, limit: 1 << 20 })
        );
        assert!(matches!(scan(b"*1\r\n$629145600\r\n"), Err(ScanError::BulkTooLong { .. })));
        // As soon as it is announced; zeros that nobody writes take no memory.
        let (header, most) = (b"*5\r\n$536870912\r\n", 512 << 20);
        let mut long = vec![0; header.len() + most];
        long[..header.len()].copy_from_slice(header);
        long.extend_from_slice(b"\r\n$1\r\nx\r\n$536870000\r\n");
        assert_eq!(scan(&long), Ok(None));
        let at = long.len() - "536870000\r\n".len();
        long[at..].copy_from_slice(b"536870912\r\n");
        assert_eq!(scan(&long), Err(ScanError::FrameTooLong { limit: 1 << 30 }));
        assert_eq!(scan(b"*1\r\n$3\r\nabcd\r\n"), Err(ScanError::BadLineEnd));
        assert!(RequestBuf::parse(b"*1\r\n$4\r\nPING\r\nx".to_vec()).is_err());
    }

    #[test]
    fn headers_are_plain_decimals() {
        for number in [0, 7, 10, 99, 100, 65_536, usize::MAX] {
            let mut out = Vec::new();
            push_header(&mut out, b'$', number);
            assert_eq!(out, format!("${number}\r\n").into_bytes());
        }
    }

    #[test]
    fn debug_shows_no_arguments() {
        let request = RequestBuf::pack([&b"AUTH"[..], b"secret"]);
        assert_eq!(format!("{request:?}"), "Request(AUTH +1)");
    }
}
