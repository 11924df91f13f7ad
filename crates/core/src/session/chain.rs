//! Bytes that lie in more than one place, to be written one after the other.

use std::ops::Range;

use bytes::Bytes;

/// A chain of buffers: what is small was copied, side by side, into one of them, and what is large is a buffer of its own
/// that was handed over, so that it is not copied.
///
/// ```
/// use bytes::Bytes;
/// use rendis_core::session::Chain;
///
/// let mut chain = Chain::default();
/// chain.buffer().extend_from_slice(b"small");
/// chain.attach(Bytes::from_static(b"LARGE"));
/// chain.buffer().extend_from_slice(b"more");
/// assert_eq!(chain.len(), 14);
/// assert_eq!((chain.piece(1), chain.piece(5), chain.piece(12)), (&b"mall"[..], &b"LARGE"[..], &b"re"[..]));
/// ```
#[derive(Debug, Default)]
pub struct Chain {
    /// All that was copied.
    copied: Vec<u8>,
    attached: Vec<Attached>,
}

#[derive(Debug)]
struct Attached {
    bytes: Bytes,
    /// Where it begins in the chain, and how much of what was copied comes before it.
    start: usize,
    copied: usize,
}

/// Bytes that lie together, up to where they end or go on in another place.
enum Piece<'c> {
    Copied(&'c [u8]),
    /// From so many bytes on.
    Attached(&'c Bytes, usize),
}

impl Chain {
    /// How many bytes there are in all.
    #[must_use]
    pub fn len(&self) -> usize {
        self.attached.last().map_or(self.copied.len(), |last| last.end() + self.copied.len() - last.copied)
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.copied.is_empty() && self.attached.is_empty()
    }

    /// Where what is to be copied is appended. What is there already must stay as it is.
    #[inline]
    pub const fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.copied
    }

    /// Appends a buffer as it is.
    pub fn attach(&mut self, bytes: Bytes) {
        if !bytes.is_empty() {
            self.attached.push(Attached { bytes, start: self.len(), copied: self.copied.len() });
        }
    }

    /// The bytes from `at` on, up to where they end or go on in another place. None only at the end of the chain.
    #[must_use]
    #[inline]
    pub fn piece(&self, at: usize) -> &[u8] {
        if self.attached.is_empty() {
            return self.copied.get(at..).unwrap_or_default();
        }
        match self.find(at) {
            Piece::Copied(bytes) => bytes,
            Piece::Attached(bytes, from) => bytes.get(from..).unwrap_or_default(),
        }
    }

    /// Forgets all bytes, and keeps the memory of what was copied up to so many bytes.
    pub fn clear(&mut self, keep: usize) {
        self.attached.clear();
        self.copied.clear();
        if self.copied.capacity() > keep {
            self.copied = Vec::new();
        }
    }

    /// Appends these of the bytes to another chain.
    pub(super) fn append_to(&self, other: &mut Self, range: Range<usize>) {
        let mut at = range.start;
        while at < range.end {
            let most = range.end - at;
            at += match self.find(at) {
                Piece::Attached(bytes, from) => {
                    let count = most.min(bytes.len() - from);
                    other.attach(bytes.slice(from..from + count));
                    count
                }
                Piece::Copied([]) => return,
                Piece::Copied(bytes) => {
                    let bytes = bytes.get(..most).unwrap_or(bytes);
                    other.copied.extend_from_slice(bytes);
                    bytes.len()
                }
            };
        }
    }

    /// What lies at `at`.
    fn find(&self, at: usize) -> Piece<'_> {
        let index = self.attached.partition_point(|attached| attached.start <= at);
        let before = index.checked_sub(1).and_then(|index| self.attached.get(index));
        let start = match before {
            Some(before) if at < before.end() => return Piece::Attached(&before.bytes, at - before.start),
            Some(before) => at - before.end() + before.copied,
            None => at,
        };
        let end = self.attached.get(index).map_or(self.copied.len(), |behind| behind.copied);
        Piece::Copied(self.copied.get(start..end).unwrap_or_default())
    }
}

impl Attached {
    const fn end(&self) -> usize {
        self.start + self.bytes.len()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(chain: &Chain) -> Vec<u8> {
        let mut read = Vec::new();
        while let piece @ [_, ..] = chain.piece(read.len()) {
            read.extend_from_slice(piece);
        }
        read
    }

    proptest! {
        #[test]
        fn the_chain_is_what_was_appended(
            parts in prop::collection::vec((any::<bool>(), prop::collection::vec(any::<u8>(), 0..5)), 0..8),
            ends in any::<(prop::sample::Index, prop::sample::Index)>(),
        ) {
            let (mut chain, mut all) = (Chain::default(), Vec::new());
            for (attached, part) in parts {
                all.extend_from_slice(&part);
                if attached {
                    chain.attach(part.into());
                } else {
                    chain.buffer().extend_from_slice(&part);
                }
                prop_assert_eq!(chain.len(), all.len());
                prop_assert_eq!(chain.is_empty(), all.is_empty());
            }
            prop_assert_eq!(&read(&chain), &all);
            for at in 0..=all.len() {
                prop_assert!(all[at..].starts_with(chain.piece(at)));
                prop_assert_eq!(chain.piece(at).is_empty(), at == all.len());
            }
            let (one, two) = (ends.0.index(all.len() + 1), ends.1.index(all.len() + 1));
            let (first, last) = (one.min(two), one.max(two));
            let mut other = Chain::default();
            other.buffer().push(b'x');
            chain.append_to(&mut other, first..last);
            prop_assert_eq!(read(&other), [b"x", &all[first..last]].concat());
            chain.clear(0);
            prop_assert_eq!((chain.len(), chain.is_empty(), chain.buffer().capacity()), (0, true, 0));
        }
    }

    #[test]
    fn what_was_attached_is_never_copied() {
        let large = Bytes::from(vec![b'x'; 10]);
        let (mut chain, mut other) = (Chain::default(), Chain::default());
        chain.buffer().push(b'a');
        chain.attach(large.clone());
        chain.append_to(&mut other, 1..11);
        assert_eq!((chain.piece(1).as_ptr(), other.piece(0).as_ptr()), (large.as_ptr(), large.as_ptr()));
    }
}
