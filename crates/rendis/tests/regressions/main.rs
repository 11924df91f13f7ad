//! What once went wrong, each with the promise that it broke.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod deadlines;
mod pipelines;
mod pool;
mod scripts;
mod shards;
mod transactions;

use rendis::{Error, Ring};
use rendis_testkit::{RedisServer, eventually};

async fn only(server: &RedisServer) -> Ring {
    Ring::builder().shard("only", server.url()).build().await.unwrap()
}

fn own(error: &redis::RedisError) -> Error {
    Error::of(error).cloned().unwrap_or_else(|| panic!("not an error of this crate: {error}"))
}

/// Waits until so many shards of a ring are up.
async fn until(ring: &Ring, count: usize) {
    eventually("as many shards being up", || ring.len() == count).await;
}
