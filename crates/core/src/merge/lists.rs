use std::collections::BTreeSet;

use crate::merge::{NO_PART, Replies, Unexpected};
use crate::reply::{Node, Reader, Reply, push_array, push_integer, push_map, push_set};

const LIST: &str = "an array, a set or a map as the others";
const PAIRS: &str = "pairs of a name and an integer";

/// The elements of all parts, in their order. They are not looked at: what stands after the header of each part is
/// copied whole.
pub(super) fn concat(parts: &Replies) -> Result<Reply, Unexpected> {
    let lists = lists(parts)?;
    let Some(kind) = lists.kind else {
        return first(parts);
    };
    let bytes: usize = lists.all.iter().map(|list| list.elements.len()).sum();
    let mut out = Vec::with_capacity(bytes + 16);
    kind.push_header(&mut out, lists.all.iter().map(|list| list.count).sum());
    for list in &lists.all {
        out.extend_from_slice(list.elements);
    }
    Ok(Reply::new(out.into()))
}

/// As [`concat`], each element once, where it was seen first. Elements are the same when their bytes are; in a map
/// the element is the key, and its first value is kept.
pub(super) fn union(parts: &Replies) -> Result<Reply, Unexpected> {
    let lists = lists(parts)?;
    let Some(kind) = lists.kind else {
        return first(parts);
    };
    let mut seen = BTreeSet::new();
    let mut body = Vec::new();
    for (part, list) in lists.all.iter().enumerate() {
        let unexpected = Unexpected { part, expected: LIST };
        let mut reader = Reader::new(list.elements);
        for _ in 0..list.count {
            let element = reader.skip().map_err(|_| unexpected)?;
            let value = if kind == ListKind::Map { reader.skip().map_err(|_| unexpected)? } else { &[] };
            if seen.insert(element) {
                body.extend_from_slice(element);
                body.extend_from_slice(value);
            }
        }
    }
    let mut out = Vec::with_capacity(body.len() + 16);
    kind.push_header(&mut out, seen.len());
    out.append(&mut body);
    Ok(Reply::new(out.into()))
}

/// Names and integers in turn: every part has the same names in the same order, since all were asked for them, and the
/// integers at one place are added. A name that was asked for twice stands twice.
pub(super) fn pair_sum(parts: &Replies) -> Result<Reply, Unexpected> {
    let lists = lists(parts)?;
    let Some(kind) = lists.kind else {
        return first(parts);
    };
    let mut sums: Vec<(&[u8], i64)> = Vec::new();
    for (part, list) in lists.all.iter().enumerate() {
        let mut reader = Reader::new(list.elements);
        let unexpected = Unexpected { part, expected: PAIRS };
        let mut place = 0;
        while !reader.is_at_end() {
            let name = reader.skip().map_err(|_| unexpected)?;
            let Ok(Node::Int(number)) = reader.next() else {
                return Err(unexpected);
            };
            match sums.get_mut(place) {
                Some((known, sum)) if *known == name => *sum = sum.saturating_add(number),
                None if part == 0 => sums.push((name, number)),
                _ => return Err(unexpected),
            }
            place += 1;
        }
        if place != sums.len() {
            return Err(unexpected);
        }
    }
    let mut out = Vec::new();
    if kind == ListKind::Map {
        push_map(&mut out, sums.len());
    } else {
        push_array(&mut out, sums.len() * 2);
    }
    for (name, sum) in sums {
        out.extend_from_slice(name);
        push_integer(&mut out, sum);
    }
    Ok(Reply::new(out.into()))
}

/// All parts are null: so is the whole.
fn first(parts: &Replies) -> Result<Reply, Unexpected> {
    parts.first().cloned().ok_or(NO_PART)
}

struct List<'a> {
    /// Elements, or pairs of a map.
    count: usize,
    /// Their bytes.
    elements: &'a [u8],
}

struct Lists<'a> {
    /// One for each part; a null is an empty one.
    all: Vec<List<'a>>,
    /// What they are together; `None` when all are null.
    kind: Option<ListKind>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum ListKind {
    Array,
    Set,
    Map,
}

impl ListKind {
    fn push_header(self, out: &mut Vec<u8>, count: usize) {
        match self {
            Self::Array => push_array(out, count),
            Self::Set => push_set(out, count),
            Self::Map => push_map(out, count),
        }
    }

    /// What two lists are together. A set and an array make an array, since nobody says they have no element in
    /// common; a map goes with maps only.
    fn and(self, other: Self) -> Option<Self> {
        match (self, other) {
            (one, other) if one == other => Some(one),
            (Self::Map, _) | (_, Self::Map) => None,
            _ => Some(Self::Array),
        }
    }
}

fn lists(parts: &Replies) -> Result<Lists<'_>, Unexpected> {
    let mut all = Vec::with_capacity(parts.len());
    let mut kind: Option<ListKind> = None;
    for (part, reply) in parts.iter().enumerate() {
        let unexpected = Unexpected { part, expected: LIST };
        let mut reader = reply.reader();
        reader.skip_attributes().map_err(|_| unexpected)?;
        let (own, count) = match reader.next() {
            Ok(Node::Array(Some(count))) => (ListKind::Array, count),
            Ok(Node::Set(count)) => (ListKind::Set, count),
            Ok(Node::Map(count)) => (ListKind::Map, count),
            Ok(Node::Null | Node::Array(None) | Node::Bulk(None)) => {
                all.push(List { count: 0, elements: &[] });
                continue;
            }
            _ => return Err(unexpected),
        };
        kind = Some(kind.map_or(Some(own), |kind| kind.and(own)).ok_or(unexpected)?);
        all.push(List { count, elements: reader.rest() });
    }
    Ok(Lists { all, kind })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(
        rule: fn(&Replies) -> Result<Reply, Unexpected>,
        frames: &[&'static [u8]],
    ) -> Result<String, Unexpected> {
        let parts = frames.iter().map(|frame| Reply::from_static(frame)).collect();
        rule(&parts).map(|reply| reply.frame().escape_ascii().to_string().replace("\\r\\n", " "))
    }

    #[test]
    fn lists_are_put_one_after_the_other() {
        assert_eq!(
            run(concat, &[b"*1\r\n+a\r\n", b"*0\r\n", b"*2\r\n+b\r\n*1\r\n:1\r\n"]).unwrap(),
            "*3 +a +b *1 :1 "
        );
        assert_eq!(run(concat, &[b"~1\r\n+a\r\n", b"~1\r\n+b\r\n"]).unwrap(), "~2 +a +b ");
        assert_eq!(run(concat, &[b"~1\r\n+a\r\n", b"*1\r\n+b\r\n"]).unwrap(), "*2 +a +b ");
        assert_eq!(run(concat, &[b"%1\r\n+a\r\n:1\r\n", b"%1\r\n+b\r\n:2\r\n"]).unwrap(), "%2 +a :1 +b :2 ");
        assert_eq!(run(concat, &[b"_\r\n", b"*1\r\n+a\r\n", b"*-1\r\n"]).unwrap(), "*1 +a ");
        assert_eq!(run(concat, &[b"*-1\r\n", b"_\r\n"]).unwrap(), "*-1 ");
        assert_eq!(run(concat, &[b"*0\r\n", b"%0\r\n"]), Err(Unexpected { part: 1, expected: LIST }));
        assert_eq!(run(concat, &[b":1\r\n"]), Err(Unexpected { part: 0, expected: LIST }));
    }

    #[test]
    fn a_union_has_each_element_once() {
        let merged = run(union, &[b"*2\r\n+b\r\n+a\r\n", b"*3\r\n+c\r\n+b\r\n+c\r\n"]);
        assert_eq!(merged.unwrap(), "*3 +b +a +c ");
        let merged = run(union, &[b"%1\r\n+a\r\n:1\r\n", b"%2\r\n+a\r\n:2\r\n+b\r\n:3\r\n"]);
        assert_eq!(merged.unwrap(), "%2 +a :1 +b :3 ");
    }

    #[test]
    fn the_integers_at_one_place_are_added() {
        assert_eq!(run(pair_sum, &[b"*0\r\n"]).unwrap(), "*0 ");
        let one: &[u8] = b"*6\r\n+a\r\n:1\r\n+b\r\n:0\r\n+a\r\n:1\r\n";
        let other: &[u8] = b"*6\r\n+a\r\n:2\r\n+b\r\n:3\r\n+a\r\n:2\r\n";
        assert_eq!(run(pair_sum, &[one, other]).unwrap(), "*6 +a :3 +b :3 +a :3 ");
        // Not what was asked for.
        for wrong in [&b"*4\r\n+a\r\n:2\r\n+b\r\n:3\r\n"[..], b"*6\r\n+a\r\n:2\r\n+c\r\n:3\r\n+a\r\n:2\r\n"] {
            assert_eq!(run(pair_sum, &[one, wrong]), Err(Unexpected { part: 1, expected: PAIRS }));
        }
        assert_eq!(run(pair_sum, &[b"%1\r\n+a\r\n:1\r\n", b"%1\r\n+a\r\n:1\r\n"]).unwrap(), "%1 +a :2 ");
        assert_eq!(run(pair_sum, &[b"*1\r\n+a\r\n"]), Err(Unexpected { part: 0, expected: PAIRS }));
    }
}
