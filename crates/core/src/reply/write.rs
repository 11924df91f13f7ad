//! Replies made here, appended to a buffer that grows (`Vec<u8>` or `BytesMut`).
//!
//! Every function appends one value, or the header of one whose elements the caller appends next. On a
//! [`BufMut`] that cannot grow they panic when it is full, as its own methods do.

use bytes::BufMut;

/// Appends `+OK`.
#[inline]
pub fn push_ok(out: &mut impl BufMut) {
    out.put_slice(b"+OK\r\n");
}

/// Appends a simple string. Line ends in it become spaces, because they would end the frame.
pub fn push_simple(out: &mut impl BufMut, text: &[u8]) {
    out.put_u8(b'+');
    push_line(out, text);
    out.put_slice(b"\r\n");
}

/// Appends an error: `-code text`. Line ends become spaces. With an empty `text` the error is the code alone.
pub fn push_error(out: &mut impl BufMut, code: &str, text: &str) {
    out.put_u8(b'-');
    push_line(out, code.as_bytes());
    if !text.is_empty() {
        out.put_u8(b' ');
        push_line(out, text.as_bytes());
    }
    out.put_slice(b"\r\n");
}

/// Appends a number.
#[inline]
pub fn push_integer(out: &mut impl BufMut, value: i64) {
    push_number(out, b':', value.is_negative(), value.unsigned_abs());
}

/// Appends a bulk string.
#[inline]
pub fn push_bulk(out: &mut impl BufMut, text: &[u8]) {
    push_count(out, b'$', text.len());
    out.put_slice(text);
    out.put_slice(b"\r\n");
}

/// Appends the null of RESP2 where a value was expected.
#[inline]
pub fn push_null(out: &mut impl BufMut) {
    out.put_slice(b"$-1\r\n");
}

/// Appends the null of RESP2 where a list was expected.
#[inline]
pub fn push_null_array(out: &mut impl BufMut) {
    out.put_slice(b"*-1\r\n");
}

/// Appends the header of an array of `count` values.
#[inline]
pub fn push_array(out: &mut impl BufMut, count: usize) {
    push_count(out, b'*', count);
}

/// Appends the header of a map of `pairs` keys and values. RESP3 only: a RESP2 client gets an array of twice as many.
#[inline]
pub fn push_map(out: &mut impl BufMut, pairs: usize) {
    push_count(out, b'%', pairs);
}

/// Appends the header of a set of `count` values. RESP3 only: a RESP2 client gets an array.
#[inline]
pub fn push_set(out: &mut impl BufMut, count: usize) {
    push_count(out, b'~', count);
}

/// Appends the header of a push of `count` values, a message that answers no request. RESP3 only: a RESP2 client gets
/// an array.
#[inline]
pub fn push_push(out: &mut impl BufMut, count: usize) {
    push_count(out, b'>', count);
}

/// Appends the null of RESP3, `_`.
#[inline]
pub fn push_resp3_null(out: &mut impl BufMut) {
    out.put_slice(b"_\r\n");
}

/// Appends `kind`, a count or length, and the line end.
#[inline]
fn push_count(out: &mut impl BufMut, kind: u8, count: usize) {
    push_number(out, kind, false, u64::try_from(count).unwrap_or(u64::MAX));
}

/// Appends `text` with its line ends made spaces.
pub(super) fn push_line(out: &mut impl BufMut, text: &[u8]) {
    for piece in text.split_inclusive(|byte| matches!(byte, b'\r' | b'\n')) {
        match piece.split_last() {
            Some((b'\r' | b'\n', before)) => {
                out.put_slice(before);
                out.put_u8(b' ');
            }
            _ => out.put_slice(piece),
        }
    }
}

/// A number's line, put together on the stack so that the buffer is grown and written to once.
#[inline]
fn push_number(out: &mut impl BufMut, kind: u8, negative: bool, number: u64) {
    const LONGEST: usize = b":-9223372036854775808\r\n".len() + 1;
    let mut line = [0_u8; LONGEST];
    let mut rest = number;
    let mut written = 0;
    let mut backwards = line.iter_mut().rev();
    let mut put = |byte: u8| {
        if let Some(slot) = backwards.next() {
            *slot = byte;
            written += 1;
        }
    };
    put(b'\n');
    put(b'\r');
    loop {
        put(b'0' + u8::try_from(rest % 10).unwrap_or_default());
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if negative {
        put(b'-');
    }
    put(kind);
    out.put_slice(line.get(LONGEST - written..).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_plain_decimals() {
        for number in [0, 7, -7, 10, 99, -100, 65_536, i64::MAX, i64::MIN] {
            let mut out = Vec::new();
            push_integer(&mut out, number);
            assert_eq!(out, format!(":{number}\r\n").into_bytes());
        }
        let mut out = Vec::new();
        push_count(&mut out, b'$', usize::MAX);
        assert_eq!(out, format!("${}\r\n", usize::MAX).into_bytes());
    }

    #[test]
    fn no_text_can_end_a_line_early() {
        let mut out = bytes::BytesMut::new();
        push_simple(&mut out, b"a\r\n+b\n");
        push_error(&mut out, "ERR", "x\r\ny");
        assert_eq!(&out[..], b"+a  +b \r\n-ERR x  y\r\n");
    }
}
