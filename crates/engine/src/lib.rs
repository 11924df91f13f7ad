//! The data plane of rendis: frames in, frames out.
//!
//! The engine moves whole RESP frames between callers and servers. It never looks inside one: where a frame ends, what
//! a command needs and how replies combine is asked of `rendis_core`. The modules below are listed bottom-up, and a
//! module names only modules listed before it.

pub mod error;
pub mod secret;
pub mod version;
pub mod address;
pub mod transport;
pub mod settings;
pub mod stream;
pub mod tls;
pub mod frames;
pub mod connection;
pub mod dial;
pub mod backoff;
pub mod times;
mod runtime;
mod pulse;
mod queue;
mod canary;
mod wire;
mod lane;
pub mod exclusive;
pub mod shard;
mod call;
pub mod probe;
mod scripts;
pub mod events;
mod outliers;
mod ledger;
mod resync;
mod monitor;
pub mod coordinator;
mod members;
pub mod engine;
mod displaced;
mod attempt;
mod learning;
pub mod gather;
pub mod run;
pub mod batch;
pub mod pipeline;
pub mod watch;
pub mod pubsub;
