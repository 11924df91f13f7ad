//! Many Redis or Valkey servers behind one handle.
//!
//! [`Ring`] places keys on shards by consistent hashing, watches the shards, takes dead ones out and puts them back.
//! [`Pool`] is a fixed list of instances, and gives every call a connection to itself. Both take the commands of the
//! `redis` crate; [`placement`] finds keys where other sharders put them. The [`guide`] says how everything is used.
//!
//! ```no_run
//! use redis::AsyncCommands;
//! use rendis::Ring;
//!
//! # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut ring = Ring::builder()
//!     .shard("shard1", "redis://localhost:7001")
//!     .shard("shard2", "redis://localhost:7002")
//!     .build()
//!     .await?;
//! ring.set::<_, _, ()>("user:7", "Ada").await?;
//! let name: String = ring.get("user:7").await?;
//! # Ok(()) }
//! ```
//!
//! # Features
//!
//! None is on by default. `blocking`: the same handles for programs without async, in `rendis::blocking`.
//!
//! # The rooms of this crate
//!
//! The modules below are listed bottom-up, and a module names only modules listed before it.

mod error;
mod effect;
mod typed;
mod shard;
mod ring;
mod commands;
mod builder;
pub mod hash;
mod pool;
mod pubsub;
mod transaction;
#[cfg(feature = "blocking")]
pub mod blocking;
pub mod guide;

/// How keys are placed: the presets, their options, and the trait for a rule of one's own, [`placement::Place`]. (Its own
/// example names the crate underneath; all that it uses is here too, and the [`guide`] has an example with this crate
/// alone.)
pub mod placement {
    pub use rendis_core::hash::{CharSign, TwemproxyHash};
    pub use rendis_core::id::ShardId;
    pub use rendis_core::placement::{
        Distribution, EnvoyHash, EnvoyMaglev, EnvoyRingHash, Jedis, JedisHash, KeyHash, LiveShard, Node,
        NodeAddress, OptionValue, Place, Placement, PlacementError, RoshiHash, Spec, SpecError, Twemproxy,
        jump,
    };
    pub use rendis_core::tag::Tag;
}

pub use rendis_core::outlier::Settings as SlowEjection;
pub use rendis_engine::address::{Address, UrlError};
pub use rendis_engine::error::Endpoint;
pub use rendis_engine::events::{Event, Events, Forgot};
pub use rendis_engine::exclusive::PoolStats;
pub use rendis_engine::secret::Secret;
pub use rendis_engine::settings::{
    ClientCertificate, OnDown, OnReturn, Protocol, ShardSettings, TlsSettings,
};
pub use rendis_engine::transport::{Connect, Connecting, Io, Transport};

pub use crate::builder::RingBuilder;
pub use crate::commands::{Answer, Commands};
pub use crate::error::{Error, Kind, Sent};
pub use crate::pool::{Connection, Pool, PoolBuilder};
pub use crate::pubsub::{Message, Subscription, SubscriptionLimits};
pub use crate::ring::{Ring, RingStats};
pub use crate::shard::{Shard, ShardStats};
pub use crate::transaction::Transaction;
