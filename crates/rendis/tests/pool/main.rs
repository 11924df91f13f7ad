//! What a `Pool` promises, against real servers and bad ones.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod building;
mod closing;
mod commands;
mod failures;
mod lending;
mod limits;
mod placement;

use redis::RedisResult;
use rendis::{Error, Pool, PoolBuilder};
use rendis_testkit::RedisServer;

fn builder(server: &RedisServer) -> PoolBuilder {
    Pool::builder([server.url()]).client_name("pooled")
}

/// How many connections of pools under test `server` sees.
fn connected(server: &RedisServer) -> usize {
    server.command(&["CLIENT", "LIST"]).text().lines().filter(|line| line.contains("name=pooled")).count()
}

async fn client_id(pool: &Pool) -> i64 {
    pool.with("k", async |conn| redis::cmd("CLIENT").arg("ID").query_async(conn).await).await.unwrap()
}

fn own<T: std::fmt::Debug>(result: RedisResult<T>) -> Error {
    let error = result.unwrap_err();
    Error::of(&error).unwrap_or_else(|| panic!("not an error of this crate: {error}")).clone()
}

/// An error that is none of this crate.
fn other() -> redis::RedisError {
    redis::RedisError::from((redis::ErrorKind::Client, "the caller's own"))
}
