//! Commands that are not in the table: a shard is asked what they are, until it knows.

use std::sync::Arc;

use rendis_core::command::{Found, Repeat, Table, learn};
use rendis_core::request::RequestBuf;
use rendis_core::session::{Replies, Sent};

use crate::engine::{Engine, no_shard, serving};
use crate::error::{Cause, Error, Failure, Kind};

impl Engine {
    /// Asks a live shard for the row of a command that is not in the table. True when it was learned, and false when the
    /// shard does not know it either, or no command has such a name.
    ///
    /// # Errors
    /// That no shard could be asked, or the error with which it answered (`LOADING`, `BUSY`, `NOPERM`).
    pub async fn learn(&self, name: &[u8]) -> Result<bool, Error> {
        // With a bar, servers name subcommands.
        if !(1..=Table::LONGEST_NAME).contains(&name.len()) || name.contains(&b'|') {
            return Ok(false);
        }
        let topology = self.topology();
        let id = *topology.live().first().ok_or_else(no_shard)?;
        let question = RequestBuf::pack([&b"COMMAND"[..], b"INFO", name]);
        let Replies::One(reply) = self.call_shard(id, &question, Repeat::Read).await? else {
            return Ok(false);
        };
        if let Some(error) = reply.as_error() {
            let cause = Cause::new(Kind::Server, format!("{error} (asked what the command is)"));
            return Err(serving(&topology, id)?.error(Failure { sent: Sent::No, cause }));
        }
        let Ok(Some(row)) = learn(reply.frame()) else { return Ok(false) };
        let mut learned = false;
        self.table().rcu(|table| {
            let mut next = Table::clone(table);
            learned = next.insert(row.clone());
            next
        });
        Ok(learned)
    }

    /// [`Engine::learn`] for each of these requests whose command is not in the table.
    ///
    /// # Errors
    /// As [`Engine::learn`].
    pub(crate) async fn learn_unknown(&self, requests: &[RequestBuf]) -> Result<Arc<Table>, Error> {
        for request in requests {
            let request = request.view();
            if matches!(self.table().load().find(request), Found::Unknown) {
                self.learn(request.name()).await?;
            }
        }
        Ok(self.table().load_full())
    }
}
