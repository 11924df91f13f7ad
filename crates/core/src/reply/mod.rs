//! A reply frame: what kind it is, what it says, and how one is made here.
//!
//! A [`Reply`] owns one whole frame, as [`crate::scan::Scanner`] cut it out of a read buffer: a slice of that
//! buffer, not a copy, and a clone is a reference count. Nothing is decoded until somebody asks. Two ways to look
//! into one, each for its caller:
//!
//! - [`Reply::kind`], [`Reply::as_error`], [`Reply::as_bulk`]…: the outermost value, for those who only route it;
//! - [`Reader`]: a pull parser over all values in it, for those who decode it (no tree in between, no recursion);
//!
//! # Attributes
//!
//! RESP3 lets an attribute (`|`) stand before any value. It describes the value and is not it, so everything here
//! that speaks of "the value" passes over it: [`Reply::kind`] of `|1 … $1 x` is [`Kind::Bulk`]. Only [`Reader::next`]
//! shows it.
//!
//! # What it does not decide
//!
//! Whether bytes are a frame (`scan` did), how replies combine (`merge`), and which error is worth another attempt
//! (`retry`).

mod read;
mod write;

use bytes::Bytes;

pub use read::{Node, Reader, ReplyError, double};
pub use write::{
    push_array, push_bulk, push_error, push_integer, push_map, push_null, push_null_array, push_ok,
    push_push, push_resp3_null, push_set, push_simple,
};

/// What a value is, by its first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// `+`: a short text, such as `OK`.
    Simple,
    /// `-`: an error in one line.
    Error,
    /// `:`: a signed 64-bit number.
    Integer,
    /// `$`: a string of bytes, or (`$-1`) RESP2's null.
    Bulk,
    /// `*`: values in order, or (`*-1`) RESP2's other null.
    Array,
    /// `_`: RESP3's null.
    Null,
    /// `#`: true or false.
    Boolean,
    /// `,`: a floating-point number.
    Double,
    /// `(`: a whole number of any size.
    BigNumber,
    /// `!`: an error of any length.
    BulkError,
    /// `=`: a text that says in what format it is.
    Verbatim,
    /// `%`: keys and values in turn.
    Map,
    /// `~`: values in no order.
    Set,
    /// `>`: a message nobody asked for.
    Push,
    /// `|`: facts about the value that follows.
    Attribute,
}

impl Kind {
    /// The kind that `first` announces; `None` when it is no RESP type.
    #[must_use]
    pub const fn of(first: u8) -> Option<Self> {
        Some(match first {
            b'+' => Self::Simple,
            b'-' => Self::Error,
            b':' => Self::Integer,
            b'$' => Self::Bulk,
            b'*' => Self::Array,
            b'_' => Self::Null,
            b'#' => Self::Boolean,
            b',' => Self::Double,
            b'(' => Self::BigNumber,
            b'!' => Self::BulkError,
            b'=' => Self::Verbatim,
            b'%' => Self::Map,
            b'~' => Self::Set,
            b'>' => Self::Push,
            b'|' => Self::Attribute,
            _ => return None,
        })
    }

    /// The kind of the value that a whole frame holds (attributes before it passed over); `None` when it holds none.
    ///
    /// ```
    /// use rendis_core::reply::Kind;
    ///
    /// assert_eq!(Kind::of_frame(b"|1\r\n+ttl\r\n:3\r\n$1\r\nx\r\n"), Some(Kind::Bulk));
    /// ```
    #[must_use]
    #[inline]
    pub fn of_frame(frame: &[u8]) -> Option<Self> {
        value(frame).first().and_then(|first| Self::of(*first))
    }
}

/// One whole reply frame. Cheap to clone: the bytes are shared.
///
/// ```
/// use rendis_core::reply::{Kind, Reply};
///
/// let reply = Reply::from_static(b"-MOVED 3999 127.0.0.1:6381\r\n");
/// assert_eq!(reply.kind(), Kind::Error);
/// assert_eq!(reply.as_error().unwrap().code, b"MOVED");
/// assert_eq!(Reply::integer(7).as_integer(), Some(7));
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Reply(Bytes);

impl Reply {
    /// The reply whose frame is `frame`: exactly one, from its first byte to its last, as a
    /// [`Scanner`](crate::scan::Scanner) found it. It is not looked at again; bytes that are no frame make the
    /// accessors answer `None` and the [`Reader`] an error, and do no other harm.
    #[must_use]
    pub const fn new(frame: Bytes) -> Self {
        Self(frame)
    }

    /// A reply that is known when the program is built. The same contract as [`Reply::new`].
    #[must_use]
    pub const fn from_static(frame: &'static [u8]) -> Self {
        Self(Bytes::from_static(frame))
    }

    /// `+OK`.
    #[must_use]
    pub const fn ok() -> Self {
        Self::from_static(b"+OK\r\n")
    }

    /// A simple string. Line ends in `text` become spaces, because they would end the frame.
    #[must_use]
    pub fn simple(text: &str) -> Self {
        Self::made(|out| push_simple(out, text.as_bytes()))
    }

    /// An error: `-code text`. `code` is one word in capitals, by which programs tell errors apart. Line ends become
    /// spaces. With an empty `text` the error is the code alone.
    #[must_use]
    pub fn error(code: &str, text: &str) -> Self {
        Self::made(|out| push_error(out, code, text))
    }

    /// A number.
    #[must_use]
    pub fn integer(value: i64) -> Self {
        Self::made(|out| push_integer(out, value))
    }

    /// A bulk string.
    #[must_use]
    pub fn bulk(text: &[u8]) -> Self {
        Self::made(|out| push_bulk(out, text))
    }

    /// The null of RESP2 where a value was expected: `$-1`. RESP3 clients read it too.
    #[must_use]
    pub const fn null() -> Self {
        Self::from_static(b"$-1\r\n")
    }

    /// The null of RESP2 where a list was expected: `*-1`. RESP3 clients read it too.
    #[must_use]
    pub const fn null_array() -> Self {
        Self::from_static(b"*-1\r\n")
    }

    /// An array of the given replies, whose frames are copied into it.
    #[must_use]
    pub fn array<'a, I>(elements: I) -> Self
    where
        I: IntoIterator<Item = &'a Self>,
        I::IntoIter: ExactSizeIterator,
    {
        let elements = elements.into_iter();
        Self::made(|out| {
            push_array(out, elements.len());
            for element in elements {
                out.extend_from_slice(element.frame());
            }
        })
    }

    /// An array of bulk strings.
    #[must_use]
    pub fn bulks<'a, I>(texts: I) -> Self
    where
        I: IntoIterator<Item = &'a [u8]>,
        I::IntoIter: ExactSizeIterator,
    {
        let texts = texts.into_iter();
        Self::made(|out| {
            push_array(out, texts.len());
            for text in texts {
                push_bulk(out, text);
            }
        })
    }

    fn made(write: impl FnOnce(&mut Vec<u8>)) -> Self {
        let mut out = Vec::new();
        write(&mut out);
        Self(out.into())
    }

    /// The frame, as it goes over the wire.
    #[must_use]
    pub fn frame(&self) -> &[u8] {
        &self.0
    }

    /// The frame, given away.
    #[must_use]
    pub fn into_frame(self) -> Bytes {
        self.0
    }

    /// A reader at the frame's start.
    #[must_use]
    pub fn reader(&self) -> Reader<'_> {
        Reader::new(&self.0)
    }

    /// What kind of value it is (attributes before it passed over). Bytes that are no frame read as
    /// [`Kind::Null`].
    #[must_use]
    pub fn kind(&self) -> Kind {
        Kind::of_frame(&self.0).unwrap_or(Kind::Null)
    }

    /// Whether it is an error, in either form.
    #[must_use]
    #[inline]
    pub fn is_error(&self) -> bool {
        matches!(self.value().first(), Some(b'-' | b'!'))
    }

    /// Whether it is a null: `_`, `$-1` or `*-1`.
    #[must_use]
    pub fn is_null(&self) -> bool {
        matches!(self.value(), [b'_', ..] | [b'$' | b'*', b'-', ..])
    }

    /// Whether it is `+OK`.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        self.value() == b"+OK\r\n"
    }

    /// The error that it is, or `None`.
    #[must_use]
    #[inline]
    pub fn as_error(&self) -> Option<ErrorLine<'_>> {
        // Nearly no reply is one.
        if self.is_error() { self.error_line() } else { None }
    }

    fn error_line(&self) -> Option<ErrorLine<'_>> {
        match Reader::new(self.value()).next() {
            Ok(Node::Error(line) | Node::BulkError(line)) => Some(ErrorLine::new(line)),
            _ => None,
        }
    }

    /// The number, when it is a [`Kind::Integer`].
    #[must_use]
    pub fn as_integer(&self) -> Option<i64> {
        match self.first()? {
            Node::Int(number) => Some(number),
            _ => None,
        }
    }

    /// The bytes, when it is a [`Kind::Bulk`] that is not null.
    #[must_use]
    pub fn as_bulk(&self) -> Option<&[u8]> {
        match self.first()? {
            Node::Bulk(text) => text,
            _ => None,
        }
    }

    /// The bytes of a bulk, simple or verbatim string: the kinds in which servers put text.
    #[must_use]
    pub fn text(&self) -> Option<&[u8]> {
        match self.first()? {
            Node::Bulk(text) => text,
            Node::Simple(text) | Node::Verbatim { text, .. } => Some(text),
            _ => None,
        }
    }

    fn first(&self) -> Option<Node<'_>> {
        Reader::new(self.value()).next().ok()
    }

    /// The frame without the attributes before its value.
    #[inline]
    fn value(&self) -> &[u8] {
        value(&self.0)
    }
}

/// A frame without the attributes before its value.
#[inline]
fn value(frame: &[u8]) -> &[u8] {
    if frame.first() == Some(&b'|') { read::without_attributes(frame) } else { frame }
}

impl From<Bytes> for Reply {
    /// [`Reply::new`].
    fn from(frame: Bytes) -> Self {
        Self::new(frame)
    }
}

impl std::fmt::Debug for Reply {
    /// The kind and the length; the text of an error. Never other contents, which may be secrets.
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.as_error() {
            Some(error) => write!(out, "Reply({error})"),
            None => write!(out, "Reply({:?}, {} bytes)", self.kind(), self.0.len()),
        }
    }
}

/// What an error reply says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ErrorLine<'a> {
    /// The first word: `ERR`, `WRONGTYPE`, `MOVED`…
    pub code: &'a [u8],
    /// What comes after the first word and its space; may be empty.
    pub text: &'a [u8],
}

impl<'a> ErrorLine<'a> {
    fn new(line: &'a [u8]) -> Self {
        match memchr::memchr(b' ', line).and_then(|space| line.split_at_checked(space)) {
            Some((code, text)) => Self { code, text: text.get(1..).unwrap_or_default() },
            None => Self { code: line, text: &[] },
        }
    }
}

impl std::fmt::Display for ErrorLine<'_> {
    /// The line as the server wrote it, with bytes that are not printable escaped.
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{}", self.code.escape_ascii())?;
        if self.text.is_empty() { Ok(()) } else { write!(out, " {}", self.text.escape_ascii()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_made_here_is_read_back() {
        assert!(Reply::ok().is_ok());
        assert_eq!(Reply::integer(i64::MIN).as_integer(), Some(i64::MIN));
        assert_eq!(Reply::integer(i64::MAX).frame(), b":9223372036854775807\r\n");
        assert_eq!(Reply::bulk(b"a\r\nb").as_bulk(), Some(&b"a\r\nb"[..]));
        assert_eq!(Reply::bulk(b"").frame(), b"$0\r\n\r\n");
        assert_eq!(Reply::simple("PONG").text(), Some(&b"PONG"[..]));
        assert!(Reply::null().is_null() && Reply::null_array().is_null());
        let array = Reply::array(&[Reply::integer(1), Reply::null()]);
        assert_eq!(array.frame(), b"*2\r\n:1\r\n$-1\r\n");
        assert_eq!(Reply::bulks([&b"a"[..], b""]).frame(), b"*2\r\n$1\r\na\r\n$0\r\n\r\n");
    }

    #[test]
    fn an_error_is_a_code_and_a_text() {
        let error = Reply::error("CROSSSLOT", "Keys\r\nelsewhere");
        assert_eq!(error.frame(), b"-CROSSSLOT Keys  elsewhere\r\n");
        assert_eq!(error.as_error(), Some(ErrorLine { code: b"CROSSSLOT", text: b"Keys  elsewhere" }));
        assert_eq!(Reply::error("NOAUTH", "").frame(), b"-NOAUTH\r\n");
        let bulk = Reply::from_static(b"!8\r\nERR a\r\nb\r\n");
        assert!(bulk.is_error());
        assert_eq!(bulk.as_error().unwrap().text, b"a\r\nb");
        assert_eq!(format!("{bulk:?}"), "Reply(ERR a\\r\\nb)");
        assert_eq!(Reply::ok().as_error(), None);
    }

    #[test]
    fn the_outermost_value_is_told_apart() {
        for (frame, kind) in [
            (&b"+OK\r\n"[..], Kind::Simple),
            (b"-ERR\r\n", Kind::Error),
            (b":1\r\n", Kind::Integer),
            (b"$1\r\nx\r\n", Kind::Bulk),
            (b"*0\r\n", Kind::Array),
            (b"_\r\n", Kind::Null),
            (b"#t\r\n", Kind::Boolean),
            (b",1\r\n", Kind::Double),
            (b"(1\r\n", Kind::BigNumber),
            (b"!1\r\nx\r\n", Kind::BulkError),
            (b"=5\r\ntxt:x\r\n", Kind::Verbatim),
            (b"%0\r\n", Kind::Map),
            (b"~0\r\n", Kind::Set),
            (b">0\r\n", Kind::Push),
            (b"|1\r\n+a\r\n*1\r\n:1\r\n|0\r\n$1\r\nx\r\n", Kind::Bulk),
            (b"", Kind::Null),
        ] {
            assert_eq!(Reply::new(Bytes::from_static(frame)).kind(), kind, "{}", frame.escape_ascii());
        }
        assert_eq!(Reply::from_static(b"|1\r\n+ttl\r\n:9\r\n$1\r\nx\r\n").as_bulk(), Some(&b"x"[..]));
        assert_eq!(Reply::from_static(b"=7\r\ntxt:abc\r\n").text(), Some(&b"abc"[..]));
        assert_eq!(Reply::from_static(b"$-1\r\n").as_bulk(), None);
    }

    #[test]
    fn debug_shows_no_contents() {
        assert_eq!(format!("{:?}", Reply::bulk(b"secret")), "Reply(Bulk, 12 bytes)");
    }
}
