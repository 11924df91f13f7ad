//! Benchmark programs of rendis.
