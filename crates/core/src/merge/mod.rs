//! The replies of a command's parts → the one reply that its sender gets.
//!
//! A command that was cut along shards has one reply for each part. [`merge`] puts them
//! together by the rule of its row in the command table, in RESP2 and RESP3 alike. Values are moved as the bytes they
//! are: what is not a number to be added is never decoded, and every byte of an element is copied once, into the
//! merged reply.
//!
//! # Failures
//!
//! A part that failed fails the whole (but for [`Response::OneSucceeded`] and [`Response::First`]): the first one, in
//! the order of the parts, so that the same failures always read the same. What the other parts did stands. A part
//! fails as `E`, the caller's own error, which can say which shard it was and why; or with an error reply of its
//! server, which is then the reply of the whole, unchanged.
//!
//! # Who calls it
//!
//! Whoever gathers the parts, when the last one is in. The replies to [`Response::Scan`] come one after the other; what
//! they come to is made by [`Scanned`], not here.

mod by_index;
mod cursor;
mod lists;
mod numbers;

use smallvec::SmallVec;

use crate::command::Response;
use crate::reply::{Node, Reply};

pub use cursor::{Cursor, Scanned};

/// Why parts have no merged reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MergeError<E> {
    /// A part failed: its own error, passed on.
    #[error("a part of the command failed")]
    Failed(E),
    /// A part's reply is not what the rule needs.
    #[error(transparent)]
    Unexpected(Unexpected),
}

/// A shard answered with something else than the command's rule needs: it is no server of the kind that it should
/// be, or the command table is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("part {part} of the command was not answered with {expected}")]
pub struct Unexpected {
    /// Which part, counted from 0 in the order given.
    pub part: usize,
    /// What the rule needs, for people.
    pub expected: &'static str,
}

/// Merges what the parts of a command answered, in the order in which it was cut: what the shard of each replied, or why
/// there is no reply. `order` is for [`Response::ByIndex`] alone: which part, counted from 0, each element of the merged
/// reply comes from, as [`crate::plan::Cut::order`] says.
///
/// ```
/// use rendis_core::{command::Response, merge::merge, reply::Reply};
///
/// // MGET a b c, where a and c are on one shard and b is on another.
/// let parts = [
///     Ok::<_, ()>(Reply::from_static(b"*2\r\n$1\r\nA\r\n$1\r\nC\r\n")),
///     Ok(Reply::from_static(b"*1\r\n$-1\r\n")),
/// ];
/// let merged = merge(Response::ByIndex, parts, &[0, 1, 0]).unwrap();
/// assert_eq!(merged.frame(), b"*3\r\n$1\r\nA\r\n$-1\r\n$1\r\nC\r\n");
/// ```
///
/// # Errors
/// [`MergeError::Failed`] with the error of the first part that failed; [`MergeError::Unexpected`] when a reply is
/// not what the rule needs, or there is no part at all. Server errors are no `Err`: they are a reply.
pub fn merge<E>(
    rule: Response,
    parts: impl IntoIterator<Item = Result<Reply, E>>,
    order: &[u32],
) -> Result<Reply, MergeError<E>> {
    let mut parts = parts.into_iter();
    match rule {
        Response::First => {
            return parts.next().ok_or(MergeError::Unexpected(NO_PART))?.map_err(MergeError::Failed);
        }
        Response::OneSucceeded => return one_succeeded(parts),
        _ => {}
    }
    let mut replies = Replies::with_capacity(parts.size_hint().0);
    for part in parts {
        let reply = part.map_err(MergeError::Failed)?;
        if reply.is_error() {
            return Ok(reply);
        }
        replies.push(reply);
    }
    successes(rule, &replies, order).map_err(MergeError::Unexpected)
}

/// Replies that are no errors, one a part.
type Replies = SmallVec<[Reply; 4]>;

const NO_PART: Unexpected = Unexpected { part: 0, expected: "anything: there is no part" };

fn successes(rule: Response, replies: &Replies, order: &[u32]) -> Result<Reply, Unexpected> {
    let first = replies.first().ok_or(NO_PART)?;
    match rule {
        Response::ByIndex => by_index::by_index(replies, order),
        Response::Sum => numbers::sum(replies),
        Response::LogicalAnd => {
            numbers::each(replies, |one, other| i64::from(one != 0) & i64::from(other != 0))
        }
        Response::LogicalOr => {
            numbers::each(replies, |one, other| i64::from(one != 0) | i64::from(other != 0))
        }
        Response::Min => numbers::each(replies, i64::min),
        Response::Max => numbers::each(replies, i64::max),
        Response::Concat => lists::concat(replies),
        Response::Union => lists::union(replies),
        Response::PairSum => lists::pair_sum(replies),
        Response::Random => Ok(replies.iter().find(|reply| !reply.is_null()).unwrap_or(first).clone()),
        Response::Running => Ok(replies.iter().find(|reply| runs(reply)).unwrap_or(first).clone()),
        Response::AllOk | Response::First | Response::OneSucceeded | Response::Scan => Ok(first.clone()),
    }
}

/// Whether the second value of a reply is not null.
fn runs(reply: &Reply) -> bool {
    let mut reader = reply.reader();
    let entered = reader.skip_attributes().is_ok() && reader.next().is_ok_and(|header| header.children() > 1);
    entered
        && reader.skip().is_ok()
        && reader
            .next()
            .is_ok_and(|second| !matches!(second, Node::Null | Node::Bulk(None) | Node::Array(None)))
}

fn one_succeeded<E>(parts: impl Iterator<Item = Result<Reply, E>>) -> Result<Reply, MergeError<E>> {
    let mut failure: Option<Result<Reply, E>> = None;
    for part in parts {
        match part {
            Ok(reply) if !reply.is_error() => return Ok(reply),
            failed if failure.as_ref().is_none_or(has_none) => failure = Some(failed),
            _ => {}
        }
    }
    failure.ok_or(MergeError::Unexpected(NO_PART))?.map_err(MergeError::Failed)
}

/// Whether a shard has nothing of what was to succeed: then another's error says more.
fn has_none<E>(part: &Result<Reply, E>) -> bool {
    let nothing = |reply: &Reply| reply.as_error().is_some_and(|error| error.code == b"NOTBUSY");
    part.as_ref().is_ok_and(nothing)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(frames: &[&'static [u8]]) -> Vec<Result<Reply, &'static str>> {
        frames.iter().map(|frame| Ok(Reply::from_static(frame))).collect()
    }

    fn merged(rule: Response, frames: &[&'static [u8]]) -> Result<Reply, MergeError<&'static str>> {
        merge(rule, parts(frames), &[])
    }

    fn frame(rule: Response, frames: &[&'static [u8]]) -> String {
        merged(rule, frames)
            .unwrap()
            .frame()
            .escape_ascii()
            .to_string()
            .replace("\\r\\n", " ")
            .trim()
            .to_owned()
    }

    #[test]
    fn all_ok_is_the_first_reply() {
        assert_eq!(frame(Response::AllOk, &[b"+OK\r\n", b"+OK\r\n"]), "+OK");
        assert_eq!(frame(Response::AllOk, &[b"$2\r\nab\r\n", b"$2\r\nab\r\n"]), "$2 ab");
    }

    #[test]
    fn the_first_part_that_failed_is_the_answer() {
        for rule in [Response::AllOk, Response::Sum, Response::Concat, Response::ByIndex, Response::Random] {
            let mut some = parts(&[b":1\r\n", b"-OOM no\r\n", b"-ERR later\r\n"]);
            assert_eq!(merge(rule, some.clone(), &[]).unwrap().frame(), b"-OOM no\r\n");
            some.insert(1, Err("shard2 refused"));
            assert_eq!(merge(rule, some, &[]), Err(MergeError::Failed("shard2 refused")));
        }
    }

    #[test]
    fn one_success_is_enough_where_the_rule_says_so() {
        let rule = Response::OneSucceeded;
        assert_eq!(frame(rule, &[b"-NOTBUSY a\r\n", b"+OK\r\n", b"-NOTBUSY b\r\n"]), "+OK");
        assert_eq!(frame(rule, &[b"-UNKILLABLE a\r\n", b"-ERR b\r\n"]), "-UNKILLABLE a");
        // Who has nothing to kill is not the one to answer.
        assert_eq!(frame(rule, &[b"-NOTBUSY a\r\n", b"-UNKILLABLE b\r\n"]), "-UNKILLABLE b");
        assert_eq!(frame(rule, &[b"-NOTBUSY a\r\n", b"-NOTBUSY b\r\n"]), "-NOTBUSY b");
        let mut some = parts(&[b"-NOTBUSY a\r\n"]);
        some.insert(0, Err("gone"));
        assert_eq!(merge(rule, some.clone(), &[]), Err(MergeError::Failed("gone")));
        some.push(Ok(Reply::ok()));
        assert_eq!(merge(rule, some, &[]), Ok(Reply::ok()));
    }

    #[test]
    fn the_first_part_can_speak_for_all() {
        assert_eq!(frame(Response::First, &[b"+a\r\n", b"-ERR b\r\n"]), "+a");
        assert_eq!(frame(Response::Random, &[b"$-1\r\n", b"_\r\n", b"$1\r\nk\r\n"]), "$1 k");
        assert_eq!(frame(Response::Random, &[b"_\r\n", b"$-1\r\n"]), "_");
    }

    #[test]
    fn the_part_that_says_what_runs_is_the_answer() {
        const IDLE: &[u8] = b"*4\r\n$1\r\nr\r\n$-1\r\n$1\r\ne\r\n*0\r\n";
        const BUSY: &[u8] = b"*4\r\n$1\r\nr\r\n*1\r\n+f\r\n$1\r\ne\r\n*0\r\n";
        const IDLE_MAP: &[u8] = b"%2\r\n$1\r\nr\r\n_\r\n$1\r\ne\r\n%0\r\n";
        const BUSY_MAP: &[u8] = b"%2\r\n$1\r\nr\r\n%1\r\n+n\r\n+f\r\n$1\r\ne\r\n%0\r\n";
        for (idle, busy) in [(IDLE, BUSY), (IDLE_MAP, BUSY_MAP)] {
            assert_eq!(merged(Response::Running, &[idle, busy, idle]).unwrap().frame(), busy);
            assert_eq!(merged(Response::Running, &[idle, idle]).unwrap().frame(), idle);
        }
        assert_eq!(frame(Response::Running, &[b"+odd\r\n", b"*0\r\n"]), "+odd");
    }

    #[test]
    fn no_part_is_no_reply() {
        for rule in [Response::First, Response::OneSucceeded, Response::Sum, Response::AllOk] {
            assert_eq!(merged(rule, &[]), Err(MergeError::Unexpected(NO_PART)));
        }
    }
}
