//! Servers and a network that exist in memory, and fail as told.
//!
//! ```text
//!   Socket ═══ Pipe ═══► connection (serve) ──► Store        one Host: weather, faults, lies
//!   (the   ◄══ Pipe ═══                                      pipes: delay, cut, reset, end, capacity
//!   client's)
//! ```
//!
//! Made for a paused tokio clock on a runtime of one thread: then a whole run is a function of its seed. All
//! randomness is one [`Dice`], all time is tokio's, and no order hangs on a hash.
//!
//! # What it is not
//!
//! TCP: a cut loses nothing, it delays; packets are never out of order or doubled, since TCP hides that. And Redis: the
//! model knows the commands that a checker needs, written from their documentation.

mod host;
mod lie;
mod model;
mod pipe;
mod serve;
mod topics;
mod weather;

pub use host::{Applied, Host, Way};
pub use lie::Lie;
pub use pipe::Socket;
pub use weather::Dice;
