//! Systems under test as processes: drivers of libraries, and servers.

pub mod echo;
mod library;
mod server;

pub use library::{Driver, peers};
pub use server::{Benchmarked, Kind, Server, Toolbox, redis_benchmark};

/// rendis of an earlier revision, as a library and as a proxy.
pub const BEFORE: &str = "before";
