//! Real servers and fake ones for the tests of rendis.
//!
//! | what | for |
//! |---|---|
//! | [`RedisServer`] | a `redis-server` or `valkey-server` process of its own: killed, frozen, restarted at will |
//! | [`Cluster`] | several of them, started side by side |
//! | [`FakeServer`] | a server that answers what no server should |
//! | [`Client`], [`Reply`] | a plain blocking connection, to look at what servers hold and what the proxy answers |
//! | [`Certificates`] | a certificate authority, and what it signed, in files |
//! | [`Port`] | a loopback port that no other test of this machine uses |
//! | [`machine`] | what machine this is, for reports |
//! | [`sim`] | servers and a network in memory, for faults on virtual time |
//!
//! But for [`sim`], everything is synchronous and made of plain threads, so that it works in any test and under any runtime. A call
//! that takes time (starting a server, asking it something) blocks its thread; under a single-threaded
//! runtime put it before the runtime starts, or into `spawn_blocking`.
//!
//! What goes wrong panics, with words that say what to do: this is code of tests.

mod port;
mod reply;
mod client;
mod tls;
mod turn;
mod wait;
mod server;
mod cluster;
mod fake;
pub mod machine;
pub mod sim;

pub use client::Client;
pub use cluster::Cluster;
pub use fake::{Answer, FakeRequest, FakeServer};
pub use port::Port;
pub use reply::Reply;
pub use server::{RedisServer, ServerBuilder};
pub use tls::Certificates;
pub use turn::use_up_the_turn;
pub use wait::{eventually, until};
