//! The pure core of rendis: where a frame ends, which bytes of a key count, which shard holds it, what a
//! command needs, into which parts it is cut and how their replies combine.
//!
//! Nothing here reads a clock, draws a random number, opens a socket or is `async`: bytes and the present
//! time go in as arguments, decisions come out. The modules below are listed bottom-up, and a module names
//! only modules listed before it (`tests/layering.rs` checks it).

pub mod id;
pub mod scan;
pub mod request;
pub mod hash;
pub mod tag;
pub mod placement;
pub mod topology;
pub mod session;
pub mod reply;
pub mod command;
pub mod merge;
pub mod plan;
pub mod health;
pub mod outlier;
pub mod retry;
