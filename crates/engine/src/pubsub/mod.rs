//! Subscriptions: many listeners, one upstream subscription a shard and topic.
//!
//! ```text
//!  Listener ──add, remove──► Hub ──► book: topic → listeners, and the shards that have to send it
//!     ▲                               │ wishes                     ▲ confirmed, refused, lost
//!     │ mailbox (bounded)             ▼                            │
//!     └───────────────◄── deliver ── link: one connection a shard, in a task of its own
//! ```
//!
//! A topic is a channel, a pattern or a shard channel. A channel is listened to on the shard that the placement gives
//! for its name, as `PUBLISH` is sent; a pattern on every live shard. Links open with the first topic that a shard has
//! to send and close with the last. A link that loses its connection reconnects with backoff and subscribes again.
//!
//! # When the topology changes
//! Topics move with the placement. The new shard has confirmed before the old one is left, and what the old one sent
//! until it confirmed the end is still delivered. A pattern begins on shards that come and ends with those that leave.
//!
//! # What is not promised
//! Redis delivers at most once, and so does this. Lost is what is published while a connection is broken; what is
//! published, by this process too, between a change of the topology and the moment in which the shard that a channel
//! moves to has confirmed it; and what another process publishes by another opinion about which shards are up. A topic
//! that is listened to already is taken for confirmed until its connection is seen to be broken, which takes up to a few
//! seconds when no byte says so. Doubled is a message that is published in the instant in which a subscription moves
//! between two shards that are the same server (a shard that was renamed, or gets new connections because its settings
//! were changed), and nothing else. A listener with a channel and a pattern that covers it gets the message for each, as
//! from Redis.
//!
//! # What it does not decide
//! What is told to a client of a proxy, such as confirmations and their counts; which commands a client may send while
//! it listens.

mod frame;
mod mailbox;
mod audience;
mod slots;
mod book;
mod places;
mod link;
mod hub;

pub use self::hub::{Hub, Listener};
pub use self::mailbox::{Limits, Message};

/// What a topic's name is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TopicKind {
    /// A channel (`SUBSCRIBE`).
    Channel,
    /// A pattern of channels (`PSUBSCRIBE`).
    Pattern,
    /// A shard channel (`SSUBSCRIBE`).
    ShardChannel,
}
