//! [`Ring`] and [`Pool`] for programs without async. Needs the feature `blocking`.
//!
//! They are the handles of the crate's root, with the same settings, behaviour and errors, and methods that wait.
//! `redis::Commands` works on them. Cloning is cheap, and clones can be used from many threads at once: they share the
//! connections, and calls that many threads make to one [`Ring`] at the same time go out together.
//!
//! Each handle that is built owns a small tokio runtime with one thread, shared by its clones and ended when the last
//! of them is dropped. Build one handle and clone it.
//!
//! # In a program with async
//! Everything here may be used and dropped there too, and does not panic; but a call holds up the thread it is made on,
//! with all tasks of that thread. Use the crate's root there, or `spawn_blocking`.
//!
//! ```no_run
//! use redis::Commands;
//! use rendis::blocking::{Pool, Ring};
//!
//! let mut ring = Ring::builder()
//!     .shard("shard1", "redis://localhost:7001")
//!     .shard("shard2", "redis://localhost:7002")
//!     .build_blocking()?;
//! ring.set::<_, _, ()>("foo", "bar")?;
//! let worker = std::thread::spawn({
//!     let mut ring = ring.clone();
//!     move || ring.get::<_, String>("foo")
//! });
//! # drop(worker);
//!
//! let pool = Pool::builder(["10.0.0.1:6379", "10.0.0.2:6379"]).build_blocking()?;
//! let length: usize = pool.with("list", |conn| {
//!     conn.send(redis::cmd("RPUSH").arg("list").arg("a"))?;
//!     conn.send(redis::cmd("RPUSH").arg("list").arg("b"))?;
//!     conn.receive::<usize>()?;
//!     conn.receive()
//! })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

/// `redis::ConnectionLike` for a type with an async handle in `inner` and a driver to run it.
macro_rules! connection_like {
    ($type:ty, $is_open:expr) => {
        impl $crate::typed::blocking::ConnectionLike for $type {
            fn req_command(&mut self, cmd: &Cmd) -> RedisResult<Value> {
                self.driver.run(aio::ConnectionLike::req_packed_command(&mut self.inner, cmd))
            }

            fn req_packed_command(&mut self, packed: &[u8]) -> RedisResult<Value> {
                self.driver.run($crate::typed::blocking::packed_command(&mut self.inner, packed))
            }

            fn req_packed_commands(
                &mut self,
                packed: &[u8],
                offset: usize,
                count: usize,
            ) -> RedisResult<Vec<Value>> {
                let run = $crate::typed::blocking::packed_commands(&mut self.inner, packed, offset, count);
                self.driver.run(run)
            }

            fn get_db(&self) -> i64 {
                aio::ConnectionLike::get_db(&self.inner)
            }

            /// Whether a `PING` is answered.
            fn check_connection(&mut self) -> bool {
                self.req_command(&$crate::typed::cmd("PING")).is_ok_and(|reply| reply.extract_error().is_ok())
            }

            fn is_open(&self) -> bool {
                let is_open: fn(&Self) -> bool = $is_open;
                is_open(self)
            }
        }
    };
}

mod driver;
mod ring;
mod pool;

pub use self::pool::{Connection, Pool};
pub use self::ring::{Ring, Shard};
