use bytes::BytesMut;

use crate::reply::{
    Reply, push_array, push_bulk, push_integer, push_map, push_null, push_null_array, push_resp3_null,
    push_set, push_simple,
};
use crate::request::Request;

/// What a read answers when its keys do not exist.
///
/// So a ring can answer for a shard that is down as an empty server would. `tests/absent.rs` asks a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Absent {
    /// Nothing that is the same for every request, or nothing that is known: it has to fail.
    Unknown,
    /// Null.
    Null,
    /// A null where an array would stand.
    NullArray,
    /// Null without the argument at this place, an empty array with it.
    NullOrEmpty(u8),
    /// 0.
    Zero,
    /// -2, as for the time that a key has left to live.
    MinusTwo,
    /// An empty text.
    EmptyText,
    /// An empty array.
    EmptyArray,
    /// An empty set.
    EmptySet,
    /// An empty map.
    EmptyMap,
    /// The type `none`.
    None,
    /// A null for each argument from this place on.
    Nulls(u8),
    /// A null where an array would stand, for each argument from this place on.
    NullArrays(u8),
    /// 0 for each argument from this place on.
    Zeros(u8),
    /// The end of a scan, with nothing found.
    ScanEnd,
}

impl Absent {
    pub(super) fn reply(self, request: Request<'_>, resp3: bool) -> Option<Reply> {
        let mut out = BytesMut::new();
        let null = if resp3 { push_resp3_null } else { push_null };
        let null_array = if resp3 { push_resp3_null } else { push_null_array };
        let rest = |from: u8| request.count().saturating_sub(usize::from(from));
        match self {
            Self::Unknown => return None,
            Self::Null => null(&mut out),
            Self::NullArray => null_array(&mut out),
            Self::NullOrEmpty(at) if rest(at) == 0 => null(&mut out),
            Self::NullOrEmpty(_) | Self::EmptyArray => push_array(&mut out, 0),
            Self::Zero => push_integer(&mut out, 0),
            Self::MinusTwo => push_integer(&mut out, -2),
            Self::EmptyText => push_bulk(&mut out, b""),
            Self::EmptySet if resp3 => push_set(&mut out, 0),
            Self::EmptyMap if resp3 => push_map(&mut out, 0),
            Self::EmptySet | Self::EmptyMap => push_array(&mut out, 0),
            Self::None => push_simple(&mut out, b"none"),
            Self::Nulls(from) => {
                push_array(&mut out, rest(from));
                (0..rest(from)).for_each(|_| null(&mut out));
            }
            Self::NullArrays(from) => {
                push_array(&mut out, rest(from));
                (0..rest(from)).for_each(|_| null_array(&mut out));
            }
            Self::Zeros(from) => {
                push_array(&mut out, rest(from));
                (0..rest(from)).for_each(|_| push_integer(&mut out, 0));
            }
            Self::ScanEnd => {
                push_array(&mut out, 2);
                push_bulk(&mut out, b"0");
                push_array(&mut out, 0);
            }
        }
        Some(Reply::new(out.freeze()))
    }
}
