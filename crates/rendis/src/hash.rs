//! Hash functions for the keys of a [`Pool`](crate::Pool).
//!
//! They are those of soundcloud/roshi, and give what roshi gives for every key. [`murmur3`] is the default. Any other
//! `Fn(&[u8]) -> u32` will do as well, if it gives the same for the same key in every process and version: each
//! change of the function moves keys.
//!
//! ```
//! use rendis::hash;
//!
//! assert_eq!(hash::murmur3(b""), 0);
//! assert_eq!(hash::fnv1(b""), 2_166_136_261);
//! assert_eq!(hash::fnv1a(b"a"), 0xe40c_292c);
//! ```

pub use rendis_core::hash::{fnv1, fnv1a, murmur3};
