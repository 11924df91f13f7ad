//! Values of the `redis` crate's types as the arguments of a request, packed as they are written.

use std::io;

use redis::{RedisWrite, ToRedisArgs};
use rendis_core::request::{RequestBuf, RequestWriter};

/// A request under way.
pub(crate) struct Words(RequestWriter);

impl Words {
    pub(crate) fn new(name: &str) -> Self {
        Self(RequestWriter::new(name.as_bytes()))
    }

    /// Appends a value: one argument, or as many as it is.
    pub(crate) fn arg(mut self, value: &impl ToRedisArgs) -> Self {
        value.write_redis_args(&mut self);
        self
    }

    pub(crate) fn finish(self) -> RequestBuf {
        self.0.finish()
    }
}

impl RedisWrite for Words {
    fn write_arg(&mut self, arg: &[u8]) {
        self.0.push(arg);
    }

    fn writer_for_next_arg(&mut self) -> impl io::Write + '_ {
        Next { words: self, argument: Vec::new() }
    }

    fn reserve_space_for_args(&mut self, additional: impl IntoIterator<Item = usize>) {
        let header = 16;
        let bytes = additional
            .into_iter()
            .fold(0, |sum: usize, argument| sum.saturating_add(argument).saturating_add(header));
        self.0.reserve(bytes.min(RESERVE_AT_MOST));
    }
}

/// An argument that is written in pieces. It counts when it is dropped: its length stands before it.
struct Next<'w> {
    words: &'w mut Words,
    argument: Vec<u8>,
}

impl io::Write for Next<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.argument.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Next<'_> {
    fn drop(&mut self) {
        self.words.0.push(&self.argument);
    }
}

/// What callers announce may be wrong.
const RESERVE_AT_MOST: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn an_argument_in_pieces_is_one_argument() {
        let mut words = Words::new("SET");
        words.reserve_space_for_args([1, usize::MAX]);
        words.write_arg_fmt(7);
        {
            let mut next = words.writer_for_next_arg();
            next.write_all(b"a\r").unwrap();
            next.write_all(b"\nb").unwrap();
            next.flush().unwrap();
        }
        drop(words.writer_for_next_arg());
        let request = words.finish();
        let arguments: Vec<_> = request.view().arguments().collect();
        assert_eq!(arguments, [&b"SET"[..], b"7", b"a\r\nb", b""]);
    }
}
