//! The rendis proxy: its configuration, and later the proxy itself. The modules below are listed bottom-up, and a
//! module names only modules listed before it.

pub mod config;
