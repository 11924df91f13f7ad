//! What one user of an exclusive connection has done to it: the replies that it still owes, and what the server
//! remembers of it.
//!
//! It answers two questions. Which command does the next reply belong to, and how long may that take? And may the next
//! user have this connection? He may when nothing is owed, no transaction is open, no key is watched, and nothing was
//! set that outlives a command (another user or database, client tracking …).
//!
//! What it does not decide: whether the socket is sound. The engine does.

use std::borrow::Cow;
use std::collections::VecDeque;

use rendis_core::command::{Blocks, Found, Table, Transaction};
use rendis_core::reply::Reply;
use rendis_engine::frames::Item;

use crate::effect::Effect;
use crate::error::{Error, Kind};

/// The state of a connection between its lease and its return.
#[derive(Debug, Default)]
pub(super) struct Session {
    owed: VecDeque<Owed>,
    /// Between `MULTI` and its end.
    transaction: bool,
    watching: bool,
    /// The server remembers something that the next user does not expect.
    changed: bool,
}

/// A reply that is still to come.
#[derive(Debug)]
pub(super) struct Owed {
    /// The command's name.
    pub(super) name: Cow<'static, str>,
    /// How long the command itself may wait on the server.
    pub(super) wait: Blocks,
    effect: Effect,
}

impl Session {
    /// What `item` will be owed.
    ///
    /// # Errors
    /// [`Kind::Refused`] for what no reply can be paired with: no command at all, subscriptions, `MONITOR` and the
    /// like.
    pub(super) fn look<I: Item + ?Sized>(item: &I) -> Result<Owed, Error> {
        let name = item.argument(0).unwrap_or_default();
        if name.is_empty() {
            return Err(Error::local(Kind::Refused, "a command without a name"));
        }
        // Nearly every command: one key, no waiting, nothing left behind.
        if let Some(row) = Table::one_key(name) {
            return Ok(Owed { name: row.name().into(), wait: Blocks::No, effect: Effect::Nothing });
        }
        let written = || Cow::from(String::from_utf8_lossy(name).into_owned());
        let request = item.pack();
        let table = Table::default();
        let Found::Row(row) = table.find(request.view()) else {
            return Ok(Owed { name: written(), wait: Blocks::No, effect: Effect::Nothing });
        };
        let wait = row.blocks(request.view());
        let effect = Effect::of(row, wait);
        if effect == Effect::Unpairable {
            let text = "its replies cannot be paired with requests, so it is not for a pooled connection";
            return Err(Error::local(Kind::Refused, text).of_command(name));
        }
        Ok(Owed { name: written(), wait, effect })
    }

    /// A request was appended to what goes to the server.
    pub(super) fn sent(&mut self, mut owed: Owed) {
        if self.transaction {
            // It is queued, and does not wait in its turn either.
            owed.wait = Blocks::No;
        }
        match owed.effect {
            Effect::Transaction(Transaction::Begin) => self.transaction = true,
            Effect::Transaction(Transaction::Watch) => self.watching = true,
            Effect::Transaction(Transaction::Execute | Transaction::Discard) => {
                self.transaction = false;
                self.watching = false;
            }
            Effect::Transaction(Transaction::Unwatch) => self.watching = false,
            Effect::Lasting => self.changed = true,
            Effect::Nothing | Effect::Unpairable => {}
        }
        self.owed.push_back(owed);
    }

    /// The request whose reply comes next.
    pub(super) fn next(&self) -> Option<&Owed> {
        self.owed.front()
    }

    /// The reply to [`Session::next`] has come.
    pub(super) fn answered(&mut self, reply: &Reply) {
        let answered = self.owed.pop_front();
        // What was assumed when it was sent did not come about, so nobody knows what the server remembers.
        if answered.is_some_and(|owed| matches!(owed.effect, Effect::Transaction(_))) && reply.is_error() {
            self.changed = true;
        }
    }

    /// How many replies are still to come.
    pub(super) fn owed(&self) -> usize {
        self.owed.len()
    }

    /// Whether the next user finds the connection as a new one.
    pub(super) fn is_neutral(&self) -> bool {
        self.owed.is_empty() && !self.transaction && !self.watching && !self.changed
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rendis_core::request::RequestBuf;

    use super::*;

    fn request(words: &str) -> RequestBuf {
        RequestBuf::pack(words.split(' ').map(str::as_bytes).collect::<Vec<_>>())
    }

    fn after(commands: &[&str]) -> Session {
        let mut session = Session::default();
        for words in commands {
            session.sent(Session::look(&request(words)).unwrap());
            session.answered(&Reply::ok());
        }
        session
    }

    #[test]
    fn a_connection_is_neutral_when_the_server_remembers_nothing() {
        for commands in [
            &["GET k"][..],
            &["PING", "INFO", "TIME", "CLIENT ID", "CONFIG GET maxmemory", "WAIT 0 1", "ECHO x"],
            &["MULTI", "SET k v", "EXEC"],
            &["MULTI", "DISCARD"],
            &["WATCH k", "GET k", "MULTI", "EXEC"],
            &["WATCH k", "UNWATCH"],
            &["EVAL s 0", "BLPOP k 1", "JSON.GET k", "DEBUG SLEEP 0", "SAVE"],
        ] {
            assert!(after(commands).is_neutral(), "{commands:?}");
        }
        for commands in [
            &["MULTI"][..],
            &["MULTI", "SET k v"],
            &["watch k"],
            &["SELECT 1"],
            &["AUTH secret"],
            &["HELLO 2"],
            &["client setname x"],
            &["CLIENT TRACKING on"],
            &["CLIENT NO-EVICT on"],
            &["RESET"],
            &["QUIT"],
            &["READONLY"],
        ] {
            assert!(!after(commands).is_neutral(), "{commands:?}");
        }
        let mut owing = after(&["GET k"]);
        owing.sent(Session::look(&request("GET k")).unwrap());
        assert!(!owing.is_neutral());
    }

    #[test]
    fn a_transaction_that_went_wrong_leaves_doubt() {
        let mut session = after(&["WATCH k"]);
        session.sent(Session::look(&request("EXEC")).unwrap());
        session.answered(&Reply::error("ERR", "EXEC without MULTI"));
        assert!(!session.is_neutral());
    }

    #[test]
    fn what_cannot_be_paired_is_refused() {
        for words in [
            "SUBSCRIBE c",
            "psubscribe p",
            "SSUBSCRIBE c",
            "UNSUBSCRIBE",
            "MONITOR",
            "SYNC",
            "PSYNC a 1",
            "CLIENT REPLY off",
            "",
        ] {
            let error = Session::look(&request(words)).unwrap_err();
            assert_eq!(error.kind(), Kind::Refused, "{words}");
        }
        assert!(Session::look(&RequestBuf::default()).is_err());
    }

    #[test]
    fn a_command_is_given_its_own_waiting_time() {
        let wait = |words| Session::look(&request(words)).unwrap().wait;
        assert_eq!(wait("GET k"), Blocks::No);
        assert_eq!(wait("BLPOP a b 5"), Blocks::For(Duration::from_secs(5)));
        assert_eq!(wait("blpop a 0"), Blocks::Forever);
        assert_eq!(wait("XREAD BLOCK 250 STREAMS s 0"), Blocks::For(Duration::from_millis(250)));
        assert_eq!(Session::look(&request("incr k")).unwrap().name, "incr");
        assert_eq!(Session::look(&request("JSON.SET k . 1")).unwrap().name, "JSON.SET");
    }
}
