use smallvec::SmallVec;

use crate::merge::{NO_PART, Replies, Unexpected};
use crate::reply::{Node, Reader, Reply, push_array};

/// One element after the other, each the next of the part that `order` names.
pub(super) fn by_index(replies: &Replies, order: &[u32]) -> Result<Reply, Unexpected> {
    const EXPECTED: &str = "an array with one element for each of its keys";
    let unexpected = |part| Unexpected { part, expected: EXPECTED };
    let mut readers: SmallVec<[Reader<'_>; 4]> = SmallVec::with_capacity(replies.len());
    let mut bytes = 16;
    for (part, reply) in replies.iter().enumerate() {
        let mut reader = reply.reader();
        reader.skip_attributes().map_err(|_| unexpected(part))?;
        let Ok(Node::Array(Some(_))) = reader.next() else { return Err(unexpected(part)) };
        bytes += reader.rest().len();
        readers.push(reader);
    }
    let mut out = Vec::with_capacity(bytes);
    push_array(&mut out, order.len());
    for part in order {
        let part = usize::try_from(*part).unwrap_or(usize::MAX);
        let reader = readers.get_mut(part).ok_or(NO_PART)?;
        out.extend_from_slice(reader.skip().map_err(|_| unexpected(part))?);
    }
    match readers.iter().position(|reader| !reader.is_at_end()) {
        Some(part) => Err(unexpected(part)),
        None => Ok(Reply::new(out.into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXPECTED: &str = "an array with one element for each of its keys";

    fn merged(parts: &[&'static [u8]], order: &[u32]) -> Result<Vec<u8>, Unexpected> {
        let replies = parts.iter().map(|frame| Reply::from_static(frame)).collect();
        by_index(&replies, order).map(|reply| reply.frame().to_vec())
    }

    #[test]
    fn elements_of_any_kind_go_to_their_places() {
        let merged = merged(
            &[
                b"*3\r\n*2\r\n:1\r\n%1\r\n+x\r\n_\r\n$1\r\na\r\n_\r\n",
                b"|1\r\n+ttl\r\n:1\r\n*2\r\n$-1\r\n|1\r\n+a\r\n:2\r\n,1.5\r\n",
                b"*0\r\n",
            ],
            &[0, 1, 1, 0, 0],
        );
        let expected: &[u8] =
            b"*5\r\n*2\r\n:1\r\n%1\r\n+x\r\n_\r\n$-1\r\n|1\r\n+a\r\n:2\r\n,1.5\r\n$1\r\na\r\n_\r\n";
        assert_eq!(merged.unwrap(), expected);
    }

    #[test]
    fn a_part_that_answers_for_other_keys_is_refused() {
        let at = |part| Err(Unexpected { part, expected: EXPECTED });
        assert_eq!(merged(&[b"*1\r\n:1\r\n", b"*2\r\n:1\r\n:2\r\n"], &[0, 1]), at(1));
        assert_eq!(merged(&[b"*1\r\n:1\r\n", b"*1\r\n:2\r\n"], &[0, 1, 1]), at(1));
        assert_eq!(merged(&[b":1\r\n"], &[0]), at(0));
        assert_eq!(merged(&[b"*-1\r\n"], &[]), at(0));
        assert_eq!(merged(&[b"*1\r\n:1\r\n"], &[1]), Err(NO_PART));
    }
}
