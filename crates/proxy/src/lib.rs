//! The rendis proxy: a ring as one server for every client. The modules below are listed bottom-up, and a module names
//! only modules listed before it.

pub mod access;
pub mod config;
mod settings;
mod stop;
mod ticker;
mod moderation;
mod stats;
mod peer;
mod memory;
mod throttle;
mod process;
mod outbox;
mod window;
mod inbox;
mod clients;
mod context;
mod identity;
mod local;
mod transaction;
mod subscription;
mod redact;
mod headcount;
mod client;
pub mod embedded;
mod listen;
mod admin;
pub mod serve;
