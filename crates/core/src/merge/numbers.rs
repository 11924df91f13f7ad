use crate::merge::{Replies, Unexpected};
use crate::reply::{Node, Reader, Reply, push_array, push_integer};

/// All integers added; a sum past the range of `i64` stays at its end.
pub(super) fn sum(parts: &Replies) -> Result<Reply, Unexpected> {
    let mut sum = 0_i64;
    for (part, reply) in parts.iter().enumerate() {
        let number = reply.as_integer().ok_or(Unexpected { part, expected: "an integer" })?;
        sum = sum.saturating_add(number);
    }
    Ok(Reply::integer(sum))
}

/// Numbers, alone or in arrays of one length, combined place by place. RESP3's booleans count as 0 and 1; the merged
/// value is of the first part's kind.
pub(super) fn each(parts: &Replies, combine: impl Fn(i64, i64) -> i64) -> Result<Reply, Unexpected> {
    let mut merged: Option<Numbers> = None;
    for (part, reply) in parts.iter().enumerate() {
        let unexpected = Unexpected { part, expected: "a number, or as many numbers as the first part" };
        let numbers = Numbers::read(reply).ok_or(unexpected)?;
        match &mut merged {
            None => merged = Some(numbers),
            Some(merged) if merged.in_array == numbers.in_array && merged.all.len() == numbers.all.len() => {
                for (one, other) in merged.all.iter_mut().zip(numbers.all) {
                    one.value = combine(one.value, other.value);
                }
            }
            Some(_) => return Err(unexpected),
        }
    }
    merged.map(|numbers| numbers.write(&combine)).ok_or(super::NO_PART)
}

struct Numbers {
    all: Vec<Number>,
    in_array: bool,
}

struct Number {
    value: i64,
    boolean: bool,
}

impl Numbers {
    fn read(reply: &Reply) -> Option<Self> {
        let mut reader = reply.reader();
        reader.skip_attributes().ok()?;
        match reader.clone().next().ok()? {
            Node::Array(Some(count)) => {
                reader.next().ok()?;
                // The count is the server's word: the frame is as long as its elements, so it bounds the room.
                let mut all = Vec::with_capacity(count.min(reader.rest().len()));
                for _ in 0..count {
                    all.push(Number::read(&mut reader)?);
                }
                Some(Self { all, in_array: true })
            }
            _ => Some(Self { all: vec![Number::read(&mut reader)?], in_array: false }),
        }
    }

    /// `combine` is applied once more, to each value and itself: a part that is alone must come out as it would
    /// have among others (a logical rule makes every number 0 or 1).
    fn write(&self, combine: impl Fn(i64, i64) -> i64) -> Reply {
        let mut out = Vec::new();
        if self.in_array {
            push_array(&mut out, self.all.len());
        }
        for number in &self.all {
            match (number.boolean, combine(number.value, number.value)) {
                (false, value) => push_integer(&mut out, value),
                (true, 0) => out.extend_from_slice(b"#f\r\n"),
                (true, _) => out.extend_from_slice(b"#t\r\n"),
            }
        }
        Reply::new(out.into())
    }
}

impl Number {
    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        reader.skip_attributes().ok()?;
        match reader.next().ok()? {
            Node::Int(value) => Some(Self { value, boolean: false }),
            Node::Bool(value) => Some(Self { value: i64::from(value), boolean: true }),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(frames: &[&'static [u8]]) -> Replies {
        frames.iter().map(|frame| Reply::from_static(frame)).collect()
    }

    #[test]
    fn integers_are_added() {
        assert_eq!(sum(&parts(&[b":2\r\n", b":0\r\n", b":-5\r\n"])).unwrap(), Reply::integer(-3));
        let most = b":9223372036854775807\r\n";
        assert_eq!(sum(&parts(&[most, b":1\r\n"])).unwrap(), Reply::integer(i64::MAX));
        assert_eq!(sum(&parts(&[b":1\r\n", b"+OK\r\n"])).unwrap_err().part, 1);
    }

    #[test]
    fn numbers_are_combined_place_by_place() {
        let least = |frames: &[&'static [u8]]| each(&parts(frames), i64::min).map(|r| r.frame().to_vec());
        assert_eq!(least(&[b":3\r\n", b":2\r\n"]).unwrap(), b":2\r\n");
        assert_eq!(least(&[b"*2\r\n:1\r\n:5\r\n", b"*2\r\n:3\r\n:4\r\n"]).unwrap(), b"*2\r\n:1\r\n:4\r\n");
        assert_eq!(least(&[b"*2\r\n#t\r\n:5\r\n", b"*2\r\n#f\r\n:4\r\n"]).unwrap(), b"*2\r\n#f\r\n:4\r\n");
        assert_eq!(least(&[b"*0\r\n", b"*0\r\n"]).unwrap(), b"*0\r\n");
        assert_eq!(least(&[b":1\r\n", b"*1\r\n:1\r\n"]).unwrap_err().part, 1);
        assert_eq!(least(&[b"*2\r\n:1\r\n:5\r\n", b"*1\r\n:3\r\n"]).unwrap_err().part, 1);
        assert_eq!(least(&[b"*1\r\n+x\r\n"]).unwrap_err().part, 0);
    }

    #[test]
    fn a_logical_rule_answers_zero_or_one() {
        let and = |one: i64, other: i64| i64::from(one != 0 && other != 0);
        assert_eq!(each(&parts(&[b":7\r\n"]), and).unwrap(), Reply::integer(1));
        assert_eq!(each(&parts(&[b":7\r\n", b":2\r\n"]), and).unwrap(), Reply::integer(1));
        assert_eq!(each(&parts(&[b":7\r\n", b":0\r\n"]), and).unwrap(), Reply::integer(0));
    }
}
