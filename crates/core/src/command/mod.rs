//! The command table: one row per command, and the only place that knows a command's name.

mod response;

pub use response::Response;
