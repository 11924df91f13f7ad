//! A question whose answer is known, now and then among the requests of a shared wire.
//!
//! Replies are paired with requests by their order alone. A server that leaves one out, or gives one too many, while others
//! are under way would have every later caller answered with a neighbour's reply, and nothing in the bytes shows it. So about
//! once a second a `PING` with a number goes along in a write that goes anyway: where another answer comes in its place, the
//! replies are out of step, and the connection ends. It costs a few bytes a second, and no write.

use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use rendis_core::reply::Reply;
use rendis_core::request::RequestBuf;
use rendis_core::session::{Chain, Replies, Session, Ticket};

use crate::error::{Cause, Kind};
use crate::frames::Frames as _;

/// The question of one connection.
///
/// ```text
///  Resting ──a write, a second after the last answer──► Asked ──the number──► Resting
///                                                        ├────another answer──► the connection ends
///                                                        └────+PONG: it does not repeat what it is told──► Useless
/// ```
pub(crate) struct Canary {
    state: State,
    /// When the next one is due, in the queue's time.
    due: Duration,
}

enum State {
    Resting,
    Asked { ticket: Ticket, number: u64 },
    Useless,
}

impl Canary {
    /// For a connection that was made at `now`.
    pub(crate) const fn new(now: Duration) -> Self {
        Self { state: State::Resting, due: now.saturating_add(EVERY) }
    }

    /// Adds the question to what is about to be written, where it is due. It may be answered until `deadline`.
    pub(crate) fn ask(
        &mut self,
        session: &mut Session<Waker, Reply, Arc<Cause>>,
        now: Duration,
        deadline: Duration,
        waker: &Waker,
    ) {
        if now < self.due || !matches!(self.state, State::Resting) {
            return;
        }
        let number = fastrand::u64(LEAST..);
        let question = RequestBuf::pack([&b"PING"[..], number.to_string().as_bytes()]);
        let append = |out: &mut Chain| question.append(out);
        let pushed = session.push(question.replies(), question.size(), deadline, waker.clone(), append);
        // A full queue has more urgent things to say.
        if let Ok(ticket) = pushed {
            self.state = State::Asked { ticket, number };
        }
        self.due = now.saturating_add(EVERY);
    }

    /// Looks at the answer, where it is there.
    ///
    /// # Errors
    /// [`Kind::Protocol`] when it is another's.
    pub(crate) fn check(
        &mut self,
        session: &mut Session<Waker, Reply, Arc<Cause>>,
    ) -> Result<(), Arc<Cause>> {
        let State::Asked { ticket, number } = &self.state else { return Ok(()) };
        let Some(outcome) = session.collect(ticket) else { return Ok(()) };
        let number = *number;
        self.state = State::Resting;
        match outcome {
            Ok(Replies::One(reply)) if is_number(&reply, number) => Ok(()),
            Ok(Replies::One(reply)) if reply.frame() == b"+PONG\r\n" => {
                self.state = State::Useless;
                Ok(())
            }
            // What it may not say (`NOPERM`) or not now (`LOADING`) says nothing of the order.
            Ok(Replies::One(reply)) if reply.is_error() => Ok(()),
            Ok(_) => Err(Cause::new(
                Kind::Protocol,
                "the replies are out of step: another answer came in the place of a PING's",
            )),
            // It was late, as any call may be.
            Err(_) => Ok(()),
        }
    }

    /// Whether the question's deadline has just passed. It is then given up, and its answer absorbed.
    pub(crate) fn is_late(&mut self, session: &mut Session<Waker, Reply, Arc<Cause>>) -> bool {
        let State::Asked { ticket, .. } = &self.state else { return false };
        let late = matches!(session.collect(ticket), Some(Err(_)));
        if late {
            self.state = State::Resting;
        }
        late
    }

    /// Gives the question up, with the connection.
    pub(crate) fn end(&mut self, session: &mut Session<Waker, Reply, Arc<Cause>>) {
        if let State::Asked { ticket, .. } = std::mem::replace(&mut self.state, State::Useless) {
            session.cancel(ticket);
        }
    }
}

fn is_number(reply: &Reply, number: u64) -> bool {
    reply.as_bulk().is_some_and(|text| text == number.to_string().as_bytes())
}

/// How often a wire in use asks.
const EVERY: Duration = Duration::from_secs(1);

/// Numbers are long, so that no value is taken for one.
const LEAST: u64 = 1 << 60;
