//! The command line of rendis.
fn main() {}
