//! Commands of the `redis` crate as the engine takes them.

use redis::{Arg, Cmd, RedisResult};
use rendis_core::request::{RequestBuf, RequestScanner, push_header};
use rendis_core::scan::Limits;
use rendis_engine::frames::{self, Frames, Item};

use crate::error::{Error, Kind};

/// A command that is packed, once, straight into the buffer that goes to the socket.
#[derive(Clone, Copy)]
pub(crate) struct Packed<'c>(pub(crate) &'c Cmd);

impl Frames for Packed<'_> {
    fn replies(&self) -> u32 {
        1
    }

    fn size(&self) -> usize {
        let header = 16;
        self.0.args_iter().map(|argument| header + bytes(&argument).map_or(20, <[u8]>::len)).sum()
    }

    fn write(&self, out: &mut Vec<u8>) {
        if self.0.in_scan_mode() {
            // Only the redis crate can see the cursor.
            return self.0.write_packed_command(out);
        }
        push_header(out, b'*', self.count());
        for argument in self.0.args_iter() {
            let argument = bytes(&argument).unwrap_or_default();
            push_header(out, b'$', argument.len());
            out.extend_from_slice(argument);
            out.extend_from_slice(b"\r\n");
        }
    }
}

impl Item for Packed<'_> {
    fn argument(&self, index: usize) -> Option<&[u8]> {
        match self.0.args_iter().nth(index)? {
            Arg::Simple(bytes) => Some(bytes),
            _ => None,
        }
    }

    fn count(&self) -> usize {
        self.0.args_iter().len()
    }

    fn pack(&self) -> frames::Packed<'_> {
        frames::Packed::Made(self.request())
    }
}

impl Packed<'_> {
    /// The command as a request of its own.
    pub(crate) fn request(self) -> RequestBuf {
        if self.0.in_scan_mode() {
            // Packed by the redis crate itself, because only it can see the cursor.
            return RequestBuf::parse(self.0.get_packed_command()).unwrap_or_default();
        }
        RequestBuf::pack(self.0.args_iter().map(|argument| bytes(&argument).unwrap_or_default()))
    }
}

fn bytes<'a>(argument: &Arg<&'a [u8]>) -> Option<&'a [u8]> {
    match argument {
        Arg::Simple(bytes) => Some(bytes),
        _ => None,
    }
}

/// The requests of a packed pipeline, for callers that give only its bytes.
pub(crate) fn packed_requests(packed: &[u8]) -> RedisResult<Vec<RequestBuf>> {
    let mut scanner = RequestScanner::new(Limits::REQUEST);
    let mut requests = Vec::new();
    let mut rest = packed;
    while !rest.is_empty() {
        let refuse = |text: String| Error::local(Kind::Protocol, text);
        let end = scanner.scan(rest).map_err(|error| refuse(error.to_string()))?;
        let end = end.ok_or_else(|| refuse("a packed command that is not whole".to_owned()))?;
        let (frame, after) = rest.split_at(end);
        requests.push(scanner.request(frame).to_buf());
        rest = after;
    }
    Ok(requests)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packed_command_shows_its_arguments() {
        let mut cmd = redis::cmd("SET");
        cmd.arg("key").arg(&b"\0\r\n"[..]);
        let packed = Packed(&cmd);
        assert_eq!(packed.argument(0), Some(&b"SET"[..]));
        assert_eq!(packed.argument(2), Some(&b"\0\r\n"[..]));
        assert_eq!(packed.argument(3), None);
        assert_eq!(packed.count(), 3);
        assert_eq!(packed.pack().view().arguments().collect::<Vec<_>>(), [&b"SET"[..], b"key", b"\0\r\n"]);
        assert!(packed.size() >= packed.pack().view().bytes().len());
    }

    #[test]
    fn a_packed_pipeline_is_taken_apart() {
        let packed = redis::pipe().set("a", 1).get("b").get_packed_pipeline();
        let requests = packed_requests(&packed).unwrap();
        assert_eq!(requests.len(), 2);
        assert_eq!(requests[1].view().argument(1), Some(&b"b"[..]));
        assert!(packed_requests(b"*1\r\n$4\r\nPI").is_err());
    }
}
