//! A client that has to go, and what it is told.

use std::io;
use std::time::Duration;

use futures_util::FutureExt as _;
use rendis_core::reply::push_error;
use tokio::task::unconstrained;

use super::Client;
use crate::identity::ReplyMode;
use crate::inbox::{Front, Inbox};
use crate::memory::TooMuch;
use crate::outbox::TooSlow;
use crate::transaction::Transaction;

impl Client {
    /// It holds too much: it is told so, and has to go.
    pub(super) fn dismiss(&mut self, too_much: &TooMuch) {
        push_error(&mut self.out.bytes, "ERR", &too_much.to_string());
        self.dropped(too_much);
        self.let_go();
    }

    /// Nothing of what it sent is done any more, and it holds nothing: nobody else has to go for that while it takes its
    /// time to leave.
    pub(super) fn let_go(&mut self) {
        (self.inbox, self.transaction, self.subscriber) = (Inbox::new(), Transaction::default(), None);
        // Holding less is never refused.
        let _ = self.count();
    }

    /// The socket is of no more use, for this reason.
    pub(super) fn gone(&self, error: &io::Error) {
        let Some(inner) = error.get_ref() else { return };
        if let Some(error) = inner.downcast_ref::<TooSlow>() {
            self.dropped(error);
        } else if let Some(error) = inner.downcast_ref::<TooMuch>() {
            self.dropped(error);
        }
    }

    /// It made the ring hold too much.
    pub(super) fn dropped(&self, why: &dyn std::fmt::Display) {
        let (ring, address) = (&self.context.shared.name, &self.identity.card().address);
        tracing::warn!(ring, address, error = %why, "a client was dropped");
        self.context.stats.dropped.add(1);
    }

    /// All that is owed is given up, and answered so. So many of the first may have run.
    pub(super) fn give_up(&mut self, under_way: usize) {
        if self.identity.reply == ReplyMode::On {
            for number in 0..self.owed {
                let outcome = if number < under_way { "may have been executed" } else { "not executed" };
                push_error(&mut self.out.bytes, "SHUTDOWN", &format!("{ENDING}; {outcome}"));
            }
        }
        self.owed = 0;
    }

    /// What it sent and nobody has begun is not begun any more, and answered so: as far as it has arrived.
    pub(super) fn refuse_rest(&mut self) {
        let mut more = 0;
        loop {
            self.inbox.clear();
            while let Ok(front @ (Front::Requests | Front::Inline(_))) =
                self.inbox.look(self.identity.is_guest())
            {
                self.owed = if matches!(front, Front::Inline(_)) { 1 } else { self.inbox.found() };
                self.give_up(0);
                self.inbox.clear();
            }
            let room = self.inbox.room();
            match unconstrained(self.peer.read(&mut self.inbox.arrived, room)).now_or_never() {
                Some(Ok(count)) if count > 0 && more < MOST_REFUSED => {
                    self.inbox.read(count);
                    more += count;
                }
                _ => return,
            }
        }
    }

    /// The ring is over: what is under way is given up, and answered so. A client that has half a reply, because it does
    /// not read, gets no more.
    pub(super) async fn cut_off(&mut self) {
        if self.out.is_torn() {
            return;
        }
        self.give_up(self.owed);
        self.refuse_rest();
        if let Ok(Ok(())) = tokio::time::timeout(LAST_WORDS, self.flush()).await {
            self.peer.shutdown().await;
        }
    }
}

/// A command got no answer from its shard, and this ends the client's connection.
#[derive(Debug, thiserror::Error)]
#[error("a command got no answer from its shard")]
pub(super) struct Lost;

pub(super) fn is_lost(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<Lost>())
}

/// What is said of a request that is given up because the ring ends.
const ENDING: &str = "rendis is shutting down";

/// How much of what a client has sent is read yet at the end, to be answered.
const MOST_REFUSED: usize = 1 << 20;

/// How long a client that is cut off may take to read what it is told.
const LAST_WORDS: Duration = Duration::from_millis(500);
