//! What a caller hands in: whole request frames, still in the caller's hands until they are copied, once, into the
//! buffer that goes to the socket.

use rendis_core::request::{Request, RequestBuf};

/// One request or a batch of them, as whole frames.
///
/// The frames are written once for every attempt, so writing must give the same bytes each time.
pub trait Frames {
    /// How many replies they are owed; at least 1.
    fn replies(&self) -> u32;

    /// About how many bytes they take. A wrong figure costs time or lets a little more into a queue, nothing else.
    fn size(&self) -> usize;

    /// Appends the frames.
    fn write(&self, out: &mut Vec<u8>);
}

impl Frames for Request<'_> {
    fn replies(&self) -> u32 {
        1
    }

    fn size(&self) -> usize {
        self.bytes().len()
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.bytes());
    }
}

impl Frames for RequestBuf {
    fn replies(&self) -> u32 {
        1
    }

    fn size(&self) -> usize {
        self.view().bytes().len()
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.view().bytes());
    }
}

/// A batch: its parts in order, answered together.
impl<F: Frames> Frames for [F] {
    fn replies(&self) -> u32 {
        self.iter().map(Frames::replies).sum()
    }

    fn size(&self) -> usize {
        self.iter().map(Frames::size).sum()
    }

    fn write(&self, out: &mut Vec<u8>) {
        for frames in self {
            frames.write(out);
        }
    }
}

impl<F: Frames + ?Sized> Frames for &F {
    fn replies(&self) -> u32 {
        (**self).replies()
    }

    fn size(&self) -> usize {
        (**self).size()
    }

    fn write(&self, out: &mut Vec<u8>) {
        (**self).write(out);
    }
}
