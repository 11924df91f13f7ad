//! What a session promises, step by step and against a plain model.

use std::iter;

use proptest::prelude::*;

use super::*;

type Numbers = Session<u32, u32, &'static str>;

fn session(requests: usize, bytes: usize) -> Numbers {
    Session::new(QueueLimits { requests, bytes })
}

fn push(session: &mut Numbers, replies: u32, text: &str, deadline: u64) -> Result<Ticket, Full> {
    session.push(replies, text.len(), Duration::from_millis(deadline), 7, |out| append(text, out))
}

/// Some texts are copied and others handed over.
fn append(text: &str, out: &mut Chain) {
    if text.len().is_multiple_of(2) {
        out.buffer().extend_from_slice(text.as_bytes());
    } else {
        out.attach(text.to_owned().into());
    }
}

fn write_all(session: &mut Numbers) -> String {
    let mut batch = Chain::default();
    session.take(&mut batch);
    session.wrote(batch.len());
    let mut bytes = Vec::new();
    while let piece @ [_, ..] = batch.piece(bytes.len()) {
        bytes.extend_from_slice(piece);
    }
    String::from_utf8(bytes).unwrap()
}

/// One reply that arrives by itself.
fn complete(session: &mut Numbers, reply: u32, woken: &mut Vec<u32>) -> Arrival {
    session.complete(reply, &mut iter::empty(), woken)
}

#[test]
fn replies_go_to_requests_in_order() {
    let mut session = session(10, 100);
    let mut woken = Vec::new();
    let one = push(&mut session, 1, "a", 1).unwrap();
    let many = push(&mut session, 2, "bb", 1).unwrap();
    assert_eq!(write_all(&mut session), "abb");
    assert_eq!(complete(&mut session, 1, &mut woken), Arrival::Completed);
    assert_eq!(complete(&mut session, 2, &mut woken), Arrival::Collected);
    assert_eq!(session.collect(&many), None);
    assert_eq!(complete(&mut session, 3, &mut woken), Arrival::Completed);
    assert_eq!(session.collect(&one), Some(Ok(Replies::One(1))));
    assert_eq!(session.collect(&many), Some(Ok(Replies::Many(vec![2, 3]))));
    assert_eq!(complete(&mut session, 4, &mut woken), Arrival::Unmatched);
    assert_eq!(woken, [7, 7]);
}

#[test]
fn a_reply_before_its_request_was_written_is_unmatched() {
    let mut session = session(10, 100);
    let ticket = push(&mut session, 1, "a", 1).unwrap();
    assert_eq!(complete(&mut session, 1, &mut Vec::new()), Arrival::Unmatched);
    let mut batch = Chain::default();
    session.take(&mut batch);
    assert_eq!(complete(&mut session, 1, &mut Vec::new()), Arrival::Unmatched);
    session.wrote(1);
    assert_eq!(complete(&mut session, 1, &mut Vec::new()), Arrival::Completed);
    assert!(session.collect(&ticket).is_some());
}

#[test]
fn what_was_not_written_whole_is_never_sent() {
    let mut session = session(10, 100);
    let written = push(&mut session, 1, "aaaa", 1).unwrap();
    let half = push(&mut session, 1, "bbbb", 1).unwrap();
    let mut batch = Chain::default();
    session.take(&mut batch);
    session.wrote(6);
    let queued = push(&mut session, 1, "cccc", 1).unwrap();
    session.fail(&"reset", &mut Vec::new());
    let outcome = |session: &mut Numbers, ticket| match session.collect(&ticket) {
        Some(Err(failed)) => failed.sent,
        other => panic!("{other:?}"),
    };
    assert_eq!(outcome(&mut session, written), Sent::Maybe);
    assert_eq!(outcome(&mut session, half), Sent::No);
    assert_eq!(outcome(&mut session, queued), Sent::No);
    let next = push(&mut session, 1, "d", 1).unwrap();
    assert_eq!(write_all(&mut session), "d");
    assert_eq!(complete(&mut session, 9, &mut Vec::new()), Arrival::Completed);
    assert_eq!(session.collect(&next), Some(Ok(Replies::One(9))));
}

#[test]
fn a_batch_is_answered_while_it_is_written_and_may_have_run_once_it_began() {
    let mut session = session(10, 100);
    let batch = push(&mut session, 2, "aabb", 1).unwrap();
    let later = push(&mut session, 2, "ccdd", 1).unwrap();
    let mut bytes = Chain::default();
    session.take(&mut bytes);
    assert_eq!(complete(&mut session, 1, &mut Vec::new()), Arrival::Unmatched);
    session.wrote(2);
    assert_eq!(complete(&mut session, 1, &mut Vec::new()), Arrival::Collected);
    session.fail(&"cut", &mut Vec::new());
    assert_eq!(session.collect(&batch), Some(Err(Failed { sent: Sent::Maybe, cause: "cut" })));
    assert_eq!(session.collect(&later), Some(Err(Failed { sent: Sent::No, cause: "cut" })));
}

fn push_stream(session: &mut Numbers, replies: u32, text: &str) -> Ticket {
    let write = |out: &mut Chain| append(text, out);
    session.push_stream(replies, text.len(), Duration::from_millis(5), VecDeque::new(), write).unwrap()
}

#[test]
fn a_stream_is_answered_reply_by_reply() {
    let mut session = session(10, 100);
    let stream = push_stream(&mut session, 3, "abc");
    let (mut woken, mut got) = (Vec::new(), VecDeque::new());
    assert_eq!(session.receive(&stream, &mut got, || 8), Ok(Stream::Open));
    write_all(&mut session);
    assert_eq!(complete(&mut session, 1, &mut woken), Arrival::Collected);
    assert_eq!(complete(&mut session, 2, &mut woken), Arrival::Collected);
    assert_eq!(woken, [8], "woken once, by the first that it waited for");
    assert!(session.arrived(&stream).eq(&[1, 2]));
    assert_eq!(session.receive(&stream, &mut got, || 9), Ok(Stream::Open));
    assert_eq!(session.receive(&stream, &mut got, || 9), Ok(Stream::Open));
    assert_eq!(complete(&mut session, 3, &mut woken), Arrival::Completed);
    assert_eq!(woken, [8, 9]);
    assert_eq!(session.receive(&stream, &mut got, || 9), Ok(Stream::Ended));
    assert_eq!((Vec::from(got), session.owed()), (vec![1, 2, 3], 0));
    let reused = push(&mut session, 1, "d", 1).unwrap();
    write_all(&mut session);
    complete(&mut session, 4, &mut woken);
    assert_eq!(session.collect(&reused), Some(Ok(Replies::One(4))));
}

#[test]
fn a_stream_that_breaks_keeps_what_had_arrived() {
    let mut session = session(10, 100);
    let begun = push_stream(&mut session, 3, "abc");
    write_all(&mut session);
    let queued = push_stream(&mut session, 2, "de");
    let dropped = push_stream(&mut session, 2, "fg");
    complete(&mut session, 1, &mut Vec::new());
    session.cancel(dropped);
    let mut woken = Vec::new();
    session.receive(&queued, &mut VecDeque::new(), || 7).unwrap();
    session.fail(&"cut", &mut woken);
    assert_eq!(woken, [7]);
    let mut got = VecDeque::from([0]);
    assert_eq!(session.receive(&begun, &mut got, || 7).unwrap_err().sent, Sent::Maybe);
    assert_eq!(got, [0, 1]);
    assert_eq!(session.receive(&queued, &mut got, || 7).unwrap_err().sent, Sent::No);
    assert_eq!(got, [0, 1]);
}

#[test]
fn what_is_withdrawn_leaves_nothing_behind() {
    let mut session = session(10, 100);
    let kept = push(&mut session, 1, "kk", 1).unwrap();
    for _ in 0..1000 {
        let dropped = push(&mut session, 1, "dd", 1).unwrap();
        session.cancel(dropped);
        let mut bytes = Chain::default();
        session.take(&mut bytes);
        session.wrote(bytes.len());
    }
    let last = push(&mut session, 1, "ll", 1).unwrap();
    assert_eq!(session.order.len(), 2);
    assert_eq!(write_all(&mut session), "ll");
    for (reply, ticket) in [(1, kept), (2, last)] {
        assert_eq!(complete(&mut session, reply, &mut Vec::new()), Arrival::Completed);
        assert_eq!(session.collect(&ticket), Some(Ok(Replies::One(reply))));
    }
}

#[test]
fn the_limits_refuse_and_one_large_request_passes_while_there_is_room_for_any() {
    let mut session = session(2, 10);
    let large = push(&mut session, 1, &"x".repeat(50), 1).unwrap();
    assert_eq!(push(&mut session, 1, "a", 1), Err(Full));
    write_all(&mut session);
    push(&mut session, 1, "a", 1).unwrap();
    assert_eq!(push(&mut session, 1, "a", 1), Err(Full), "two are owed");
    complete(&mut session, 1, &mut Vec::new());
    assert!(session.collect(&large).is_some());
    // What was written is no reason to refuse more bytes, and what was answered none to refuse more requests.
    write_all(&mut session);
    push(&mut session, 1, &"y".repeat(50), 1).unwrap();
    assert_eq!(push(&mut session, 3, "abc", 1), Err(Full));
    write_all(&mut session);
    complete(&mut session, 2, &mut Vec::new());
    push(&mut session, 3, "abc", 1).unwrap();
    assert_eq!(push(&mut session, 3, "abc", 1), Err(Full), "four are owed");
    // Bytes that wait do not keep a large request out, unless they fill their limit.
    let mut session = self::session(9, 10);
    push(&mut session, 1, "waiting", 1).unwrap();
    push(&mut session, 1, &"x".repeat(50), 1).unwrap();
    assert_eq!(push(&mut session, 1, &"x".repeat(50), 1), Err(Full));
}

#[test]
fn a_deadline_withdraws_the_queued_and_absorbs_the_written() {
    let mut session = session(10, 100);
    let mut woken = Vec::new();
    let written = push(&mut session, 1, "aa", 5).unwrap();
    write_all(&mut session);
    let queued = push(&mut session, 2, "bb", 5).unwrap();
    let later = push(&mut session, 1, "cc", 9).unwrap();
    let at = Duration::from_millis;
    assert_eq!(session.expire(at(4), &"late", &mut woken).next, Some(at(5)));
    assert!(woken.is_empty());
    assert_eq!(session.expire(at(5), &"late", &mut woken).next, Some(at(9)));
    assert_eq!(woken.len(), 2);
    assert_eq!(session.collect(&written), Some(Err(Failed { sent: Sent::Maybe, cause: "late" })));
    assert_eq!(session.collect(&queued), Some(Err(Failed { sent: Sent::No, cause: "late" })));
    assert_eq!(write_all(&mut session), "cc");
    assert_eq!(complete(&mut session, 1, &mut woken), Arrival::Absorbed);
    assert_eq!(complete(&mut session, 2, &mut woken), Arrival::Completed);
    assert_eq!(session.collect(&later), Some(Ok(Replies::One(2))));
    assert_eq!(session.owed(), 0);
}

/// What a model of the session expects of one push.
#[derive(Debug)]
struct Expected {
    text: String,
    replies: u32,
    ticket: Option<Ticket>,
    /// Its replies are taken as they arrive.
    streams: bool,
    written: bool,
}

proptest! {
    /// Against a plain model: any mix of pushes, writes, replies and cancels sends exactly what was not withdrawn,
    /// in order, and gives every ticket its own replies.
    #[test]
    fn pairing_equals_a_plain_model(steps in proptest::collection::vec((0_u8..4, 1_u32..4, 0_usize..8), 1..200)) {
        let mut session = session(1000, 10_000);
        let mut model: Vec<Expected> = Vec::new();
        let mut wire = String::new();
        let mut next_reply = 0_u32;
        for (step, replies, pick) in steps {
            match step {
                0 => {
                    let text = format!("[{}]", model.len());
                    let streams = pick % 2 == 1;
                    let ticket = match streams {
                        true => push_stream(&mut session, replies, &text),
                        false => push(&mut session, replies, &text, 1).unwrap(),
                    };
                    let ticket = Some(ticket);
                    model.push(Expected { text, replies, ticket, streams, written: false });
                }
                1 => {
                    wire.push_str(&write_all(&mut session));
                    for expected in &mut model {
                        expected.written = true;
                    }
                }
                2 => {
                    let written = model.iter().filter(|expected| expected.written).count();
                    let answered: Vec<Expected> = model.drain(..written.min(pick + 1)).collect();
                    let owed: u32 = answered.iter().map(|expected| expected.replies).sum();
                    // So many arrive at a time, whosever they are.
                    let all: Vec<u32> = (next_reply..next_reply + owed).collect();
                    for arrived in all.chunks(1 + pick) {
                        let mut arrived = arrived.iter().copied();
                        while let Some(reply) = arrived.next() {
                            let arrival = session.complete(reply, &mut arrived, &mut Vec::new());
                            prop_assert_ne!(arrival, Arrival::Unmatched);
                        }
                    }
                    for expected in &answered {
                        let sent: Vec<u32> = (next_reply..next_reply + expected.replies).collect();
                        next_reply += expected.replies;
                        if let Some(ticket) = &expected.ticket {
                            let mut streamed = VecDeque::new();
                            let got = match session.collect(ticket) {
                                Some(Ok(Replies::One(reply))) => vec![reply],
                                Some(Ok(Replies::Many(replies))) => replies,
                                None if expected.streams => {
                                    let end = session.receive(ticket, &mut streamed, || 7);
                                    prop_assert_eq!(end, Ok(Stream::Ended));
                                    streamed.into()
                                }
                                other => panic!("{other:?}"),
                            };
                            prop_assert_eq!(got, sent);
                        }
                    }
                    if answered.is_empty() {
                        prop_assert_eq!(complete(&mut session, u32::MAX, &mut Vec::new()), Arrival::Unmatched);
                    }
                }
                _ => {
                    let count = model.len();
                    if count > 0 {
                        let index = pick % count;
                        if let Some(ticket) = model[index].ticket.take() {
                            session.cancel(ticket);
                            if !model[index].written {
                                model.remove(index);
                            }
                        }
                    }
                }
            }
            let owed: u32 = model.iter().map(|expected| expected.replies).sum();
            prop_assert_eq!(session.owed(), usize::try_from(owed).unwrap());
        }
        wire.push_str(&write_all(&mut session));
        let unwritten: String = model.iter().filter(|e| !e.written).map(|e| e.text.as_str()).collect();
        prop_assert!(wire.ends_with(&unwritten));
    }
}
