//! Requests that are made argument by argument, and the headers of all frames.

use super::{RequestBuf, Span, Spans, position, span};

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
