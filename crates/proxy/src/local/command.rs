//! `COMMAND` and its subcommands: a shard is asked, which knows more about its commands than the table does. Where none
//! can be asked, the table answers, so that a client that asks at its start can start.
//!
//! What the table says is what a server says, but less of it: an entry ends with its categories, as those of Redis 6, and
//! nothing is documented.

use rendis_core::command::{Categories, Flags, Found, LocalCommand, Repeat, Row, Table};
use rendis_core::reply::{
    Reply, push_array, push_bulk, push_error, push_integer, push_map, push_null_array, push_resp3_null,
    push_set, push_simple,
};
use rendis_core::request::{Request, RequestBuf, is_word};
use rendis_core::session::Replies;
use rendis_engine::engine::Engine;

use crate::access::matches;

/// Answers from the first live shard, or else from the table.
///
/// Cancel safe: a dropped future has answered nothing.
pub(super) async fn answer(
    command: LocalCommand,
    request: Request<'_>,
    resp3: bool,
    engine: &Engine,
    out: &mut Vec<u8>,
) {
    match ask(request, engine).await {
        Ok(reply) => out.extend_from_slice(reply.frame()),
        Err(error) => {
            let table = engine.table().load();
            if !(Known { table: &table, resp3, out }).answer(command, request) {
                push_error(out, &error, "");
            }
        }
    }
}

/// The first live shard's reply, or why there is none, as clients are told.
async fn ask(request: Request<'_>, engine: &Engine) -> Result<Reply, String> {
    let Some(id) = engine.topology().live().first().copied() else {
        return Err("SHARDDOWN no shard is up; not executed".to_owned());
    };
    match engine.call_shard(id, &request, Repeat::Read).await {
        Ok(Replies::One(reply)) => Ok(reply),
        Ok(Replies::Many(_)) => Err("PROTOCOL one request got several replies".to_owned()),
        Err(error) => Err(error.resp_text()),
    }
}

/// The table's answers, for a client of either protocol.
struct Known<'a> {
    table: &'a Table,
    resp3: bool,
    out: &'a mut Vec<u8>,
}

impl Known<'_> {
    /// False, and nothing is answered, for what the table does not know.
    fn answer(&mut self, command: LocalCommand, request: Request<'_>) -> bool {
        match command {
            LocalCommand::CommandInfo if request.count() > 2 => {
                self.entries(request.arguments().skip(2).map(|name| self.table.named(name)).collect());
            }
            LocalCommand::Command | LocalCommand::CommandInfo => {
                self.entries(self.table.rows().map(Some).collect());
            }
            LocalCommand::CommandCount => {
                push_integer(self.out, i64::try_from(self.table.rows().count()).unwrap_or(i64::MAX));
            }
            LocalCommand::CommandList => self.list(request),
            LocalCommand::CommandGetKeys => self.keys(request),
            // What servers say of commands that they do not know.
            LocalCommand::CommandDocs if self.resp3 => push_map(self.out, 0),
            LocalCommand::CommandDocs => push_array(self.out, 0),
            _ => return false,
        }
        true
    }

    fn entries(&mut self, rows: Vec<Option<&Row>>) {
        push_array(self.out, rows.len());
        for row in rows {
            match row {
                Some(row) => self.entry(row),
                None if self.resp3 => push_resp3_null(self.out),
                None => push_null_array(self.out),
            }
        }
    }

    fn entry(&mut self, row: &Row) {
        let (first, last, step) = row.key_range();
        push_array(self.out, 7);
        push_bulk(self.out, row.name().as_bytes());
        push_integer(self.out, row.arity().into());
        self.set(&row.flags().names().map(str::to_owned).collect::<Vec<_>>(), push_simple);
        for number in [first, last, step] {
            push_integer(self.out, number);
        }
        self.set(&row.categories().names().map(|name| format!("@{name}")).collect::<Vec<_>>(), push_simple);
    }

    /// All commands and subcommands, or those that a filter lets through.
    fn list(&mut self, request: Request<'_>) {
        let rows = self.table.rows().flat_map(|row| std::iter::once(row).chain(row.subcommands()));
        let argument = |index| request.argument(index).unwrap_or_default();
        let filtered =
            |word| request.count() == 5 && is_word(argument(2), "filterby") && is_word(argument(3), word);
        let wanted = argument(4);
        let names: Vec<&str> = if request.count() == 2 {
            rows.map(Row::name).collect()
        } else if filtered("pattern") {
            let wanted = wanted.to_ascii_lowercase();
            rows.map(Row::name).filter(|name| matches(&wanted, name.as_bytes())).collect()
        } else if filtered("aclcat") {
            let category = Categories::named(wanted).unwrap_or(Categories::NONE);
            rows.filter(|row| row.categories().overlaps(category)).map(Row::name).collect()
        } else if filtered("module") {
            // The table does not know which module a command is of.
            Vec::new()
        } else {
            return push_error(self.out, "ERR", "syntax error");
        };
        self.set(&names, push_bulk);
    }

    /// The keys of the request that follows.
    fn keys(&mut self, request: Request<'_>) {
        let inner = RequestBuf::pack(request.arguments().skip(2));
        let inner = inner.view();
        let row = match self.table.find(inner) {
            Found::Row(row) => row,
            Found::UnknownSubcommand(_) | Found::Unknown => {
                return push_error(self.out, "ERR", "Invalid command specified");
            }
        };
        if row.specs().is_empty() {
            return push_error(self.out, "ERR", "The command has no key arguments");
        }
        if !row.takes(inner.count()) {
            return push_error(self.out, "ERR", "Invalid number of arguments specified for command");
        }
        let keys: Vec<&[u8]> = match row.keys(inner) {
            Ok(keys) => keys.filter_map(|key| inner.argument(key.index)).collect(),
            Err(_) => Vec::new(),
        };
        if keys.is_empty() && !row.flags().has(Flags::NO_MANDATORY_KEYS) {
            return push_error(self.out, "ERR", "Invalid arguments specified for command");
        }
        push_array(self.out, keys.len());
        for key in keys {
            push_bulk(self.out, key);
        }
    }

    fn set<T: AsRef<[u8]>>(&mut self, texts: &[T], push: impl Fn(&mut Vec<u8>, &[u8])) {
        if self.resp3 {
            push_set(self.out, texts.len());
        } else {
            push_array(self.out, texts.len());
        }
        for text in texts {
            push(self.out, text.as_ref());
        }
    }
}
