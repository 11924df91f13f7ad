//! What a caller hands in: whole request frames, still in the caller's hands until they are copied, once, into the
//! buffer that goes to the socket. A [`SharedRequest`] goes there as it is.

use rendis_core::plan::Part;
use rendis_core::request::{Request, RequestBuf, SharedRequest};
use rendis_core::session::Chain;

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

    /// Appends the frames to what goes to a shared wire: the same bytes, copied or handed over.
    fn append(&self, out: &mut Chain) {
        self.write(out.buffer());
    }
}

/// One request whose arguments can be looked at, whether or not it is packed yet.
pub trait Item: Frames {
    /// The argument at `index`; the command's name is at 0.
    fn argument(&self, index: usize) -> Option<&[u8]>;

    /// How many arguments there are, the name counted.
    fn count(&self) -> usize;

    /// The request as a frame with its arguments, for everything that needs more than a look at one of them.
    fn pack(&self) -> Packed<'_>;
}

/// A packed request: the caller's own, or one that had to be made.
#[derive(Clone, Debug)]
pub enum Packed<'i> {
    /// It was packed already.
    Lent(Request<'i>),
    /// It was packed for this look.
    Made(RequestBuf),
}

impl Packed<'_> {
    /// The view of it.
    #[must_use]
    pub fn view(&self) -> Request<'_> {
        match self {
            Self::Lent(request) => *request,
            Self::Made(request) => request.view(),
        }
    }

    /// The request by itself, where it had to be made.
    #[must_use]
    pub fn made(self) -> Option<RequestBuf> {
        match self {
            Self::Lent(_) => None,
            Self::Made(request) => Some(request),
        }
    }

    /// The request by itself; copied where it is the caller's own.
    #[must_use]
    pub fn into_buf(self) -> RequestBuf {
        match self {
            Self::Lent(request) => request.to_buf(),
            Self::Made(request) => request,
        }
    }
}

impl Item for Request<'_> {
    fn argument(&self, index: usize) -> Option<&[u8]> {
        Request::argument(self, index)
    }

    fn count(&self) -> usize {
        Request::count(self)
    }

    fn pack(&self) -> Packed<'_> {
        Packed::Lent(*self)
    }
}

impl<I: Item + ?Sized> Item for &I {
    fn argument(&self, index: usize) -> Option<&[u8]> {
        (**self).argument(index)
    }

    fn count(&self) -> usize {
        (**self).count()
    }

    fn pack(&self) -> Packed<'_> {
        (**self).pack()
    }
}

impl Item for RequestBuf {
    fn argument(&self, index: usize) -> Option<&[u8]> {
        self.view().argument(index)
    }

    fn count(&self) -> usize {
        self.view().count()
    }

    fn pack(&self) -> Packed<'_> {
        Packed::Lent(self.view())
    }
}

impl Item for SharedRequest {
    fn argument(&self, index: usize) -> Option<&[u8]> {
        self.view().argument(index)
    }

    fn count(&self) -> usize {
        self.view().count()
    }

    fn pack(&self) -> Packed<'_> {
        Packed::Lent(self.view())
    }
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

impl Frames for SharedRequest {
    fn replies(&self) -> u32 {
        1
    }

    fn size(&self) -> usize {
        self.bytes().len()
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.bytes());
    }

    fn append(&self, out: &mut Chain) {
        out.attach(self.bytes().clone());
    }
}

/// The part of a request that goes to one shard, written from the whole.
pub(crate) struct Slice<'r> {
    pub(crate) whole: Request<'r>,
    pub(crate) part: Part<'r>,
}

impl Frames for Slice<'_> {
    fn replies(&self) -> u32 {
        1
    }

    fn size(&self) -> usize {
        self.part.size(self.whole)
    }

    fn write(&self, out: &mut Vec<u8>) {
        self.part.write(self.whole, out);
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

    fn append(&self, out: &mut Chain) {
        (**self).append(out);
    }
}

#[cfg(test)]
mod tests {
    use rendis_core::request::RequestScanner;
    use rendis_core::scan::Limits;

    use super::*;

    #[test]
    fn what_is_shared_goes_out_in_its_own_buffer() {
        let bytes = bytes::Bytes::from(RequestBuf::pack([&b"SET"[..], b"k", b"v"]).into_bytes());
        let mut scanner = RequestScanner::new(Limits::REQUEST);
        assert_eq!(scanner.scan(&bytes), Ok(Some(bytes.len())));
        let shared = SharedRequest::new(bytes.clone(), scanner.spans());
        let (mut chain, mut copied) = (Chain::default(), Vec::new());
        shared.view().append(&mut chain);
        Frames::append(&&shared, &mut chain);
        shared.write(&mut copied);
        let (copy, own) = (chain.piece(0), chain.piece(bytes.len()));
        assert_eq!((copy, own, copied.as_slice()), (&bytes[..], &bytes[..], &bytes[..]));
        assert!(own.as_ptr() == bytes.as_ptr() && copy.as_ptr() != bytes.as_ptr());
    }
}
