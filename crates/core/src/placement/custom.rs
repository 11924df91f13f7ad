//! A user's own placement.

use std::fmt;
use std::sync::Arc;

use super::Node;
use crate::id::ShardId;

/// A rule that gives each key a shard.
///
/// It must be a function of its arguments alone: rendis asks again whenever it needs the answer, from several
/// threads, and two processes agree on a key only if their rules do. To keep keys together, apply a
/// [`Tag`](crate::tag::Tag) first; the key arrives whole.
///
/// ```
/// use rendis_core::id::ShardId;
/// use rendis_core::placement::{LiveShard, Place};
///
/// /// Sends every key to the first shard that is up.
/// struct First;
///
/// impl Place for First {
///     fn place(&self, live: &[LiveShard], _key: &[u8]) -> Option<ShardId> {
///         live.first().map(LiveShard::id)
///     }
/// }
/// ```
pub trait Place: Send + Sync {
    /// The shard of `key`, one of `live` (which is in the order of the configuration, and may be empty).
    /// `None`, or a shard that is not among them, means that the key has no shard now: its command fails.
    fn place(&self, live: &[LiveShard], key: &[u8]) -> Option<ShardId>;
}

/// A shard that is up, as a [`Place`] sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveShard {
    id: ShardId,
    node: Node,
}

impl LiveShard {
    /// The shard's number: its position in the whole list, those that are down included.
    #[must_use]
    pub const fn id(&self) -> ShardId {
        self.id
    }

    /// The shard's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.node.name
    }

    /// Everything that placement knows of the shard.
    #[must_use]
    pub const fn node(&self) -> &Node {
        &self.node
    }
}

/// A [`Place`] with the shards that are up.
pub(super) struct Custom {
    place: Arc<dyn Place>,
    shards: Box<[LiveShard]>,
}

impl Custom {
    pub(super) fn new(place: Arc<dyn Place>, nodes: &[Node], live: &[ShardId]) -> Self {
        let shards = live
            .iter()
            .filter_map(|&id| nodes.get(id.index()).map(|node| LiveShard { id, node: node.clone() }))
            .collect();
        Self { place, shards }
    }

    pub(super) fn locate(&self, key: &[u8]) -> Option<ShardId> {
        let chosen = self.place.place(&self.shards, key)?;
        self.shards.binary_search_by_key(&chosen, LiveShard::id).ok().map(|_| chosen)
    }
}

impl fmt::Debug for Custom {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Custom").field("shards", &self.shards).finish_non_exhaustive()
    }
}
