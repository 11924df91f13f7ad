//! Finds requests in a growing buffer.

use super::{Request, Span, span};
use crate::scan::{self, Limits, ScanError};

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
    pub(super) spans: Vec<Span>,
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
