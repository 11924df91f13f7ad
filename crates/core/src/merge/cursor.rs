use std::fmt;

use crate::id::ShardId;
use crate::merge::Unexpected;
use crate::reply::{Node, Reader, Reply, ReplyError, push_array, push_bulk};

/// A `SCAN` cursor that carries its shard, so that nobody has to remember where a client was.
///
/// In decimal, as clients send it back: the shard's own cursor shifted by [`Cursor::SHARD_BITS`], and the shard's
/// position in the low bits. `0` begins at the first position, and as an answer says that all was seen: no other
/// cursor is 0, because a shard's cursor is 0 only where the next shard begins, which has a higher position.
///
/// A shard's own cursor is less than the size of its hash table, so it leaves the low bits free, and clients that
/// keep numbers as doubles (53 bits) are served up to 2^41 keys a shard. Positions count in the list of shards, not
/// among the live ones: a shard that falls or rises moves no other. When the list itself is changed, scans that
/// are under way may miss or repeat keys.
///
/// ```
/// use rendis_core::{id::ShardId, merge::Cursor};
///
/// let cursor = Cursor::parse(b"28674").unwrap();
/// assert_eq!(cursor, Cursor { shard: ShardId::new(2), own: 7 });
/// assert_eq!(cursor.to_string(), "28674");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Cursor {
    /// Whose keys come next.
    pub shard: ShardId,
    /// The cursor that this shard is sent.
    pub own: u64,
}

impl Cursor {
    /// How many bits hold the shard: 4096 of them.
    pub const SHARD_BITS: u32 = 12;

    /// The start of a scan.
    pub const START: &[u8] = b"0";

    /// Reads what a client sent. `None` when it is no decimal number of 64 bits.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        let number = decimal(text)?;
        let shard = number & ((1 << Self::SHARD_BITS) - 1);
        Some(Self { shard: ShardId::new(usize::try_from(shard).ok()?), own: number >> Self::SHARD_BITS })
    }

    /// The number; `None` when the shard or its cursor is too large for it.
    #[must_use]
    pub fn number(self) -> Option<u64> {
        let shard = u64::try_from(self.shard.index()).ok()?;
        let fits = shard >> Self::SHARD_BITS == 0 && self.own.leading_zeros() >= Self::SHARD_BITS;
        fits.then_some(self.own << Self::SHARD_BITS | shard)
    }
}

impl fmt::Display for Cursor {
    /// The decimal number. One that does not fit shows as 0, which ends the scan; [`Scanned`] refuses it before.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}", self.number().unwrap_or_default())
    }
}

/// What one `SCAN` of a client found: the replies of one shard, or of several, one after the other, as one reply whose
/// cursor carries the shard.
///
/// ```
/// use rendis_core::{id::ShardId, merge::Scanned, reply::Reply};
///
/// let (first, second) = (ShardId::new(0), ShardId::new(1));
/// let mut scanned = Scanned::default();
/// scanned.take(&Reply::from_static(b"*2\r\n$1\r\n0\r\n*1\r\n$1\r\na\r\n"), first, Some(second)).unwrap();
/// assert!(scanned.is_between_shards() && scanned.keys() == 1);
/// scanned.take(&Reply::from_static(b"*2\r\n$1\r\n0\r\n*1\r\n$1\r\nb\r\n"), second, None).unwrap();
/// assert_eq!(scanned.reply().frame(), b"*2\r\n$1\r\n0\r\n*2\r\n$1\r\na\r\n$1\r\nb\r\n");
/// ```
#[derive(Clone, Debug, Default)]
pub struct Scanned {
    keys: Vec<u8>,
    count: usize,
    /// Where the client goes on; `None` at the end.
    cursor: Option<Cursor>,
}

impl Scanned {
    /// Adds a reply that is no error. `shard` is who gave it, `next` the live shard whose keys come after it (of a higher
    /// position), `None` after the last one.
    ///
    /// # Errors
    /// [`Unexpected`] (of part 0) when the reply is no cursor with a list of keys, or the cursor has more than 52 bits.
    /// Nothing is added then.
    pub fn take(&mut self, reply: &Reply, shard: ShardId, next: Option<ShardId>) -> Result<(), Unexpected> {
        const REPLY: Unexpected = Unexpected { part: 0, expected: "a cursor and a list of keys" };
        const CURSOR: Unexpected = Unexpected { part: 0, expected: "a cursor that leaves room for a shard" };
        let Page { own, count, keys } = read(reply).map_err(|_| REPLY)?.ok_or(REPLY)?;
        let cursor = match next {
            _ if own != 0 => Some(Cursor { shard, own }),
            Some(next) => Some(Cursor { shard: next, own: 0 }),
            None => None,
        };
        if cursor.is_some_and(|cursor| cursor.number().is_none()) {
            return Err(CURSOR);
        }
        self.cursor = cursor;
        self.count += count;
        self.keys.extend_from_slice(keys);
        Ok(())
    }

    /// How many keys were found.
    #[must_use]
    pub const fn keys(&self) -> usize {
        self.count
    }

    /// Whether the shard that replied last has no more, and another one has still to be asked.
    #[must_use]
    pub fn is_between_shards(&self) -> bool {
        self.cursor.is_some_and(|cursor| cursor.own == 0)
    }

    /// The reply to the client.
    #[must_use]
    pub fn reply(self) -> Reply {
        let number = self.cursor.and_then(Cursor::number).unwrap_or_default();
        let mut out = Vec::with_capacity(self.keys.len() + 48);
        push_array(&mut out, 2);
        push_bulk(&mut out, number.to_string().as_bytes());
        push_array(&mut out, self.count);
        out.extend_from_slice(&self.keys);
        Reply::new(out.into())
    }
}

/// What one shard replied: its cursor, and its keys, how many and their bytes.
struct Page<'a> {
    own: u64,
    count: usize,
    keys: &'a [u8],
}

fn read(reply: &Reply) -> Result<Option<Page<'_>>, ReplyError> {
    let mut reader: Reader<'_> = reply.reader();
    reader.skip_attributes()?;
    let Node::Array(Some(2)) = reader.next()? else {
        return Ok(None);
    };
    let (Node::Bulk(Some(text)) | Node::Simple(text)) = reader.next()? else {
        return Ok(None);
    };
    let (Node::Array(Some(count)) | Node::Set(count)) = reader.next()? else {
        return Ok(None);
    };
    Ok(decimal(text).map(|own| Page { own, count, keys: reader.rest() }))
}

fn decimal(text: &[u8]) -> Option<u64> {
    // `parse` alone would take a plus sign.
    let digits = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(text).ok().filter(|_| digits)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(frame: &'static [u8], next: Option<usize>) -> Result<Reply, Unexpected> {
        let mut scanned = Scanned::default();
        scanned.take(&Reply::from_static(frame), ShardId::new(3), next.map(ShardId::new))?;
        Ok(scanned.reply())
    }

    #[test]
    fn a_cursor_carries_its_shard() {
        for cursor in [
            Cursor { shard: ShardId::new(0), own: 0 },
            Cursor { shard: ShardId::new(4095), own: 1 },
            Cursor { shard: ShardId::new(1), own: u64::MAX >> 12 },
        ] {
            assert_eq!(Cursor::parse(cursor.to_string().as_bytes()), Some(cursor));
        }
        assert_eq!(Cursor { shard: ShardId::new(4096), own: 1 }.number(), None);
        assert_eq!(Cursor { shard: ShardId::new(0), own: 1 << 52 }.number(), None);
        for bad in [&b""[..], b"+1", b"-1", b"x", b"18446744073709551616"] {
            assert_eq!(Cursor::parse(bad), None);
        }
    }

    #[test]
    fn a_scan_goes_on_from_shard_to_shard_and_ends_after_the_last() {
        let unfinished = set(b"*2\r\n$2\r\n17\r\n*1\r\n$1\r\nk\r\n", Some(5)).unwrap();
        assert_eq!(unfinished.frame(), b"*2\r\n$5\r\n69635\r\n*1\r\n$1\r\nk\r\n");
        assert_eq!(Cursor::parse(b"69635"), Some(Cursor { shard: ShardId::new(3), own: 17 }));
        let to_next = set(b"*2\r\n$1\r\n0\r\n*0\r\n", Some(5)).unwrap();
        assert_eq!(to_next.frame(), b"*2\r\n$1\r\n5\r\n*0\r\n");
        let done = set(b"*2\r\n$1\r\n0\r\n*1\r\n+k\r\n", None).unwrap();
        assert_eq!(done.frame(), b"*2\r\n$1\r\n0\r\n*1\r\n+k\r\n");
    }

    #[test]
    fn what_is_no_scan_reply_is_refused() {
        for bad in [&b"+OK\r\n"[..], b"*2\r\n:1\r\n*0\r\n", b"*2\r\n$1\r\nx\r\n*0\r\n", b"*1\r\n$1\r\n0\r\n"]
        {
            assert!(set(bad, None).is_err(), "{}", bad.escape_ascii());
        }
        // What was found before it stands.
        let mut scanned = Scanned::default();
        let page = Reply::from_static(b"*2\r\n$1\r\n7\r\n*1\r\n$1\r\nk\r\n");
        scanned.take(&page, ShardId::new(0), None).unwrap();
        scanned.take(&Reply::from_static(b"+OK\r\n"), ShardId::new(1), None).unwrap_err();
        assert_eq!(scanned.reply().frame(), b"*2\r\n$5\r\n28672\r\n*1\r\n$1\r\nk\r\n");
        assert!(set(b"*2\r\n$16\r\n9007199254740992\r\n*0\r\n", None).is_err());
    }
}
