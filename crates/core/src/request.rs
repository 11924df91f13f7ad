//! A request frame: its bytes and the ranges of its arguments.
//!
//! A [`Request`] is a view, two words and a slice of ranges: nothing is copied to look at a command. A
//! [`RequestBuf`] owns both, for requests that are made here (parts of a split command, replayed commands).

use smallvec::SmallVec;

use crate::scan::{self, Limits, ScanError};

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

/// A request that is made argument by argument, where it is not known beforehand how many come.
///
/// ```
/// use rendis_core::request::RequestWriter;
///
/// let mut writer = RequestWriter::new(b"GET");
/// writer.push(b"k");
/// assert_eq!(writer.finish().view().bytes(), b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n");
/// ```
#[derive(Debug)]
pub struct RequestWriter {
    request: RequestBuf,
}

impl RequestWriter {
    /// A request of this name, without further arguments.
    #[must_use]
    pub fn new(name: &[u8]) -> Self {
        let mut writer =
            Self { request: RequestBuf { bytes: Vec::with_capacity(USUAL_BYTES), spans: Spans::new() } };
        push_header(&mut writer.request.bytes, b'*', 1);
        writer.push(name);
        writer
    }

    /// Makes room for so many bytes more.
    pub fn reserve(&mut self, bytes: usize) {
        self.request.bytes.reserve(bytes);
    }

    /// Appends an argument.
    #[inline]
    pub fn push(&mut self, argument: &[u8]) {
        let RequestBuf { bytes, spans } = &mut self.request;
        push_header(bytes, b'$', argument.len());
        let start = bytes.len();
        bytes.extend_from_slice(argument);
        spans.push(span(start, bytes.len()));
        bytes.extend_from_slice(b"\r\n");
    }

    /// The request.
    #[must_use]
    pub fn finish(mut self) -> RequestBuf {
        let RequestBuf { bytes, spans } = &mut self.request;
        match (u8::try_from(spans.len()), bytes.get_mut(1)) {
            (Ok(digit @ 0..=9), Some(count)) => *count = b'0' + digit,
            _ => {
                let mut header = Vec::new();
                push_header(&mut header, b'*', spans.len());
                let longer = position(header.len() - ONE_DIGIT);
                bytes.splice(..ONE_DIGIT, header);
                for span in spans {
                    *span = Span { start: span.start + longer, end: span.end + longer };
                }
            }
        }
        self.request
    }
}

/// `*1\r\n`: the header of a request that is not finished.
const ONE_DIGIT: usize = 4;

/// The room for a request at first: a `SET` of a short value fits.
const USUAL_BYTES: usize = 128;

/// Finds the end and the arguments of one request after another in a growing buffer.
///
/// A request is an array of bulk strings. Like [`crate::scan::Scanner`] it resumes where it stopped; the same rule
/// holds for its buffer. After `Ok(Some(end))`, [`RequestScanner::request`] is the view of `buffer[..end]`.
///
/// ```
/// use rendis_core::{request::RequestScanner, scan::Limits};
///
/// let mut scanner = RequestScanner::new(Limits::REQUEST);
/// let buffer = b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n*1\r\n$4\r\nPING\r\n";
/// assert_eq!(scanner.scan(buffer), Ok(Some(20)));
/// assert_eq!(scanner.request(&buffer[..20]).argument(1), Some(&b"k"[..]));
/// ```
#[derive(Clone, Debug)]
pub struct RequestScanner {
    limits: Limits,
    spans: Vec<Span>,
    /// Arguments still to come; `None` between requests.
    remaining: Option<usize>,
    position: usize,
    wanted: usize,
}

impl RequestScanner {
    /// A scanner at the start of a request.
    #[must_use]
    pub const fn new(limits: Limits) -> Self {
        Self { limits, spans: Vec::new(), remaining: None, position: 0, wanted: 0 }
    }

    /// Other limits, for whatever was not looked at yet.
    pub const fn limit(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// The end of the request that begins at `buffer[0]`, or `None` when the buffer ends first. An empty array
    /// (`*0`, `*-1`) is a request without arguments, which servers pass over.
    ///
    /// # Errors
    /// [`ScanError`] when the bytes are no array of bulk strings or claim more than the limits.
    pub fn scan(&mut self, buffer: &[u8]) -> Result<Option<usize>, ScanError> {
        if buffer.len() < self.wanted {
            return Ok(None);
        }
        let mut remaining = match self.remaining {
            Some(remaining) => remaining,
            None => match self.start(buffer)? {
                Some(count) => count,
                None => return Ok(None),
            },
        };
        while remaining > 0 {
            let Some(span) = self.bulk(buffer)? else {
                self.remaining = Some(remaining);
                return Ok(None);
            };
            if self.position > self.limits.frame {
                return Err(ScanError::FrameTooLong { limit: self.limits.frame });
            }
            self.spans.push(span);
            remaining -= 1;
        }
        self.remaining = None;
        self.wanted = 0;
        Ok(Some(std::mem::take(&mut self.position)))
    }

    /// The request that the last `Ok(Some(end))` found; `bytes` is the buffer up to that end.
    #[must_use]
    pub fn request<'a>(&'a self, bytes: &'a [u8]) -> Request<'a> {
        Request::new(bytes, &self.spans)
    }

    /// Forgets the last request, and keeps memory for the next with up to so many arguments. Does nothing while a request is
    /// half read.
    pub fn shrink_to(&mut self, arguments: usize) {
        if self.remaining.is_none() {
            self.spans.clear();
            self.spans.shrink_to(arguments);
        }
    }

    /// Where the arguments of the last request lie, counted from its first byte.
    #[must_use]
    pub fn spans(&self) -> &[Span] {
        &self.spans
    }

    /// How many bytes from the request's start are known to be needed; 0 when nothing is known.
    #[must_use]
    pub const fn wanted(&self) -> usize {
        self.wanted
    }

    fn start(&mut self, buffer: &[u8]) -> Result<Option<usize>, ScanError> {
        self.spans.clear();
        if buffer.first() == Some(&b'*')
            && let Some((count, end)) = scan::short_header(buffer, 0)
            && count <= self.limits.elements
        {
            self.position = end;
            return Ok(Some(count));
        }
        let Some((claimed, end)) = header(buffer, 0, b'*')? else {
            return Ok(None);
        };
        let claimed = claimed.unwrap_or(0);
        self.position = end;
        match usize::try_from(claimed) {
            Ok(count) if count <= self.limits.elements => Ok(Some(count)),
            _ => Err(ScanError::TooManyElements { claimed, limit: self.limits.elements }),
        }
    }

    fn bulk(&mut self, buffer: &[u8]) -> Result<Option<Span>, ScanError> {
        match self.short_bulk(buffer) {
            Some(span) => Ok(Some(span)),
            None => self.any_bulk(buffer),
        }
    }

    /// A whole bulk string of less than 100 bytes: nearly every one is.
    #[inline]
    fn short_bulk(&mut self, buffer: &[u8]) -> Option<Span> {
        if buffer.get(self.position) != Some(&b'$') {
            return None;
        }
        let (length, body) = scan::short_header(buffer, self.position)?;
        let end = body + length;
        let (start, stop) = (u32::try_from(body).ok()?, u32::try_from(end + 2).ok()? - 2);
        if length > self.limits.bulk || !buffer.get(end..)?.starts_with(b"\r\n") {
            return None;
        }
        self.position = end + 2;
        Some(Span { start, end: stop })
    }

    fn any_bulk(&mut self, buffer: &[u8]) -> Result<Option<Span>, ScanError> {
        let Some((length, body)) = header(buffer, self.position, b'$')? else {
            return Ok(None);
        };
        let claimed = length.ok_or(ScanError::BadLength)?;
        let too_long = ScanError::BulkTooLong { claimed, limit: self.limits.bulk };
        let length = usize::try_from(claimed).map_err(|_| too_long)?;
        if length > self.limits.bulk {
            return Err(too_long);
        }
        let end = body + length;
        if end + 2 > self.limits.frame {
            return Err(ScanError::FrameTooLong { limit: self.limits.frame });
        }
        match buffer.get(end..end + 2) {
            Some(b"\r\n") => {
                self.position = end + 2;
                Ok(Some(span(body, end)))
            }
            Some(_) => Err(ScanError::BadLineEnd),
            None => {
                self.wanted = end + 2;
                Ok(None)
            }
        }
    }
}

/// The number in the header of type `kind` at `position` (`None` for `-1`), and where its line ends.
fn header(buffer: &[u8], position: usize, kind: u8) -> Result<Option<(Option<u64>, usize)>, ScanError> {
    match buffer.get(position) {
        None => Ok(None),
        Some(first) if *first == kind => scan::header(buffer, position),
        Some(first) => Err(ScanError::UnknownType(*first)),
    }
}

/// Appends `kind`, a decimal number and CR LF, as every RESP header is written.
#[inline]
pub fn push_header(out: &mut Vec<u8>, kind: u8, number: usize) {
    // Nearly all headers have one or two digits: four or five bytes, copied at once.
    match u8::try_from(number) {
        Ok(digit @ 0..=9) => return out.extend_from_slice(&[kind, b'0' + digit, b'\r', b'\n']),
        Ok(digits @ 10..=99) => {
            return out.extend_from_slice(&[kind, b'0' + digits / 10, b'0' + digits % 10, b'\r', b'\n']);
        }
        _ => {}
    }
    let mut digits = [0_u8; 20];
    let mut start = digits.len();
    let mut rest = number;
    for (at, slot) in digits.iter_mut().enumerate().rev() {
        *slot = b'0' + u8::try_from(rest % 10).unwrap_or_default();
        rest /= 10;
        start = at;
        if rest == 0 {
            break;
        }
    }
    out.push(kind);
    out.extend_from_slice(digits.get(start..).unwrap_or_default());
    out.extend_from_slice(b"\r\n");
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
