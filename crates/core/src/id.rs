//! Numbers with a meaning, so that they cannot be mixed up.

use std::fmt;

/// The position of a shard in a topology's list, counted from 0. It stays the same while a shard is down, and
/// may change when the list of shards is changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShardId(u32);

impl ShardId {
    /// The shard at this position. Positions past `u32::MAX` do not occur: a list that long is refused when it
    /// is read; here they saturate.
    #[must_use]
    pub fn new(position: usize) -> Self {
        Self(u32::try_from(position).unwrap_or(u32::MAX))
    }

    /// The position in the list of shards.
    #[must_use]
    #[expect(clippy::as_conversions, reason = "u32 to usize loses nothing on the platforms tokio supports")]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

impl fmt::Display for ShardId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}", self.0)
    }
}
