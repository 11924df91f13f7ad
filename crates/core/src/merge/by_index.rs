use crate::merge::{Success, Unexpected};
use crate::reply::{Node, Reply, push_array};

/// Every element goes to its position. The elements are found in one pass over each part and copied in another, in
/// the order of the merged reply.
pub(super) fn by_index(parts: &[Success<'_>]) -> Result<Reply, Unexpected> {
    const EXPECTED: &str = "an array with one element for each of its keys";
    let count = parts.iter().map(|(_, positions)| positions.len()).sum();
    // An element is never empty, so an empty slice is a place that nobody filled.
    let mut places: Vec<&[u8]> = vec![&[]; count];
    let mut bytes = 0;
    for (part, (reply, positions)) in parts.iter().enumerate() {
        let unexpected = Unexpected { part, expected: EXPECTED };
        let mut reader = reply.reader();
        reader.skip_attributes().map_err(|_| unexpected)?;
        match reader.next() {
            Ok(Node::Array(Some(elements))) if elements == positions.len() => {}
            _ => return Err(unexpected),
        }
        for position in *positions {
            let element = reader.skip().map_err(|_| unexpected)?;
            let place = usize::try_from(*position).ok().and_then(|position| places.get_mut(position));
            *place.filter(|place| place.is_empty()).ok_or(unexpected)? = element;
            bytes += element.len();
        }
    }
    let mut out = Vec::with_capacity(bytes + 16);
    push_array(&mut out, count);
    for element in places {
        out.extend_from_slice(element);
    }
    Ok(Reply::new(out.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXPECTED: &str = "an array with one element for each of its keys";

    fn merged(parts: &[(&'static [u8], &[u32])]) -> Result<Vec<u8>, Unexpected> {
        let parts: Vec<_> = parts.iter().map(|(frame, at)| (Reply::from_static(frame), *at)).collect();
        by_index(&parts).map(|reply| reply.frame().to_vec())
    }

    #[test]
    fn elements_of_any_kind_go_to_their_places() {
        let merged = merged(&[
            (b"*3\r\n$1\r\na\r\n*2\r\n:1\r\n%1\r\n+x\r\n_\r\n_\r\n", &[3, 0, 4]),
            (b"|1\r\n+ttl\r\n:1\r\n*2\r\n$-1\r\n|1\r\n+a\r\n:2\r\n,1.5\r\n", &[1, 2]),
            (b"*0\r\n", &[]),
        ]);
        let expected: &[u8] =
            b"*5\r\n*2\r\n:1\r\n%1\r\n+x\r\n_\r\n$-1\r\n|1\r\n+a\r\n:2\r\n,1.5\r\n$1\r\na\r\n_\r\n";
        assert_eq!(merged.unwrap(), expected);
    }

    #[test]
    fn a_part_that_answers_for_other_keys_is_refused() {
        let at = |part| Err(Unexpected { part, expected: EXPECTED });
        assert_eq!(merged(&[(b"*1\r\n:1\r\n", &[0]), (b"*2\r\n:1\r\n:2\r\n", &[1])]), at(1));
        assert_eq!(merged(&[(b":1\r\n", &[0])]), at(0));
        assert_eq!(merged(&[(b"*-1\r\n", &[])]), at(0));
        // Positions are the planner's: two of the same, or one out of range, leave another one unfilled.
        assert_eq!(merged(&[(b"*2\r\n:1\r\n:2\r\n", &[0, 0])]), at(0));
        assert_eq!(merged(&[(b"*1\r\n:1\r\n", &[1])]), at(0));
    }
}
