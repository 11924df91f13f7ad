use std::fmt;

use crate::{
    command::{Anchor, Class, KeyError, Row, Transaction},
    request::Request,
    tag::Tag,
};

/// What servers say before the reason where `EXEC` itself is refused, which ends the transaction. A blank and the reason
/// follow, without the code `ERR`.
pub const EXEC_ABORTED: &str = "EXECABORT Transaction discarded because of:";

/// Why a request is not run, as the error that its sender gets.
///
/// [`Refusal::text`] is the error line without its leading `-`: one line, without CR or LF. Unknown commands and wrong
/// numbers of arguments are worded as servers word them, because clients look for those words.
#[derive(Clone, PartialEq, Eq)]
pub struct Refusal {
    kind: RefusalKind,
    text: Box<[u8]>,
}

/// What is wrong with a refused request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RefusalKind {
    /// The command or the subcommand is not known.
    Unknown,
    /// The number of arguments is wrong.
    Arity,
    /// The arguments do not say which are keys, or a cursor is none.
    Arguments,
    /// The keys must be on one shard and are not.
    CrossShard,
    /// A ring does not run this command, or not in a transaction.
    NotOnARing,
    /// The command has no place in a transaction.
    InTransaction,
}

impl Refusal {
    /// What is wrong.
    #[must_use]
    pub const fn kind(&self) -> RefusalKind {
        self.kind
    }

    /// The error line without its leading `-`: a code, a blank and words. May hold bytes of the request.
    #[must_use]
    pub fn text(&self) -> &[u8] {
        &self.text
    }

    fn new(kind: RefusalKind, text: impl Into<Vec<u8>>) -> Self {
        let mut text = text.into();
        for byte in &mut text {
            if matches!(byte, b'\r' | b'\n') {
                *byte = b' ';
            }
        }
        Self { kind, text: text.into_boxed_slice() }
    }

    pub(super) fn unknown_command(request: Request<'_>) -> Self {
        let mut text = b"ERR unknown command '".to_vec();
        text.extend_from_slice(shown(request.name(), SHOWN));
        text.extend_from_slice(b"', with args beginning with: ");
        // Servers stop before the argument after the one that reaches the limit, and cut that one so that the
        // arguments without what is around them would just fit.
        let begin = text.len();
        for argument in request.arguments().skip(1) {
            let Some(room) = SHOWN.checked_sub(text.len() - begin).filter(|room| *room > 0) else {
                break;
            };
            text.push(b'\'');
            text.extend_from_slice(shown(argument, room));
            text.extend_from_slice(b"' ");
        }
        Self::new(RefusalKind::Unknown, text)
    }

    pub(super) fn unknown_subcommand(container: &Row, request: Request<'_>) -> Self {
        let mut text = b"ERR unknown subcommand '".to_vec();
        text.extend_from_slice(shown(request.argument(1).unwrap_or_default(), SHOWN));
        text.extend_from_slice(format!("'. Try {} HELP.", container.name().to_ascii_uppercase()).as_bytes());
        Self::new(RefusalKind::Unknown, text)
    }

    pub(super) fn arity(row: &Row) -> Self {
        let code = match row.class() {
            // The transaction is over, so servers say so.
            Class::Transaction(Transaction::Execute) => EXEC_ABORTED,
            _ => "ERR",
        };
        let text = format!("{code} wrong number of arguments for '{}' command", row.name());
        Self::new(RefusalKind::Arity, text)
    }

    pub(super) fn keys(error: KeyError) -> Self {
        Self::new(RefusalKind::Arguments, format!("ERR {error}"))
    }

    pub(super) fn arguments(text: &str) -> Self {
        Self::new(RefusalKind::Arguments, format!("ERR {text}"))
    }

    /// A database that is not the only one. What no server takes for one is refused in the words of a server.
    pub(super) fn other_database(row: &Row, number: &[u8]) -> Self {
        let text = std::str::from_utf8(number).unwrap_or_default();
        // Servers read no sign, blank or zero that is not needed.
        let number = text.parse::<i64>().ok().filter(|number| number.to_string() == text);
        match number.map(i32::try_from) {
            None => Self::arguments("value is not an integer or out of range"),
            Some(Err(_)) => {
                Self::arguments("value is out of range, value must between -2147483648 and 2147483647")
            }
            Some(Ok(..0)) => Self::arguments("DB index is out of range"),
            Some(Ok(_)) => Self::refused(
                row,
                "a ring has one database, number 0; the URL of a shard can name another, as in redis://host:6379/1",
            ),
        }
    }

    pub(super) fn out_of_reach(row: &Row, word: &str) -> Self {
        let because = "it would change how the servers are reached, and the ring lose them";
        Self::refused(
            row,
            &format!("{because}; set {word} at each server, and here what the shards are connected to with"),
        )
    }

    pub(super) fn refused(row: &Row, because: &str) -> Self {
        let name = written(row);
        let hint = match row.class() {
            Class::Refused { allowable: true, .. } => format!(
                "; outside of transactions, allow = [\"{name}\"] of the ring lets it through to every shard"
            ),
            _ => String::new(),
        };
        Self::new(RefusalKind::NotOnARing, format!("ERR {name} is refused, because {because}{hint}"))
    }

    pub(super) fn in_transaction(row: &Row, text: &str) -> Self {
        let text = if text.starts_with("Command") {
            format!("ERR {text} ({})", written(row))
        } else {
            format!("ERR {text}")
        };
        Self::new(RefusalKind::InTransaction, text)
    }

    /// A ring that has no one shard for the command runs it outside of transactions alone.
    pub(super) fn not_on_one_shard(row: &Row) -> Self {
        let text = format!(
            "ERR Command not allowed inside a transaction on a ring: it does not run on one shard ({})",
            written(row)
        );
        Self::new(RefusalKind::NotOnARing, text)
    }

    pub(super) fn cross_shard(first: &[u8], other: &[u8], tag: Tag) -> Self {
        let (first, other) = (Shortened(first), Shortened(other));
        Self::crossslot(format_args!("'{first}' and '{other}' are on different ones"), tag)
    }

    pub(super) fn cross_transaction(request: Request<'_>, row: &Row, tag: Tag) -> Self {
        let key = row.keys(request).ok().and_then(|mut keys| keys.next());
        let which = match (key.and_then(|key| request.argument(key.index)), row.class()) {
            (Some(key), _) => format!("'{}'", Shortened(key)),
            (None, Class::Anchored(Anchor::Argument(index) | Anchor::Name(index))) => {
                let place = request.argument(usize::from(index)).unwrap_or_default();
                format!("'{}' of {}", Shortened(place), written(row))
            }
            (None, _) => written(row),
        };
        Self::crossslot(format_args!("{which} is not on the one that the transaction's first key chose"), tag)
    }

    fn crossslot(which: fmt::Arguments<'_>, tag: Tag) -> Self {
        let (open, close) = match tag {
            Tag::Whole => (None, '}'),
            Tag::Between { open, close } => (Some(char::from(open)), char::from(close)),
            _ => (Some('{'), '}'),
        };
        let hint = match open {
            Some(open) => format!(
                "give keys that belong together one hash tag, as in '{open}tag{close}a' and '{open}tag{close}b'"
            ),
            None => "the placement of this ring has no hash tags".to_owned(),
        };
        let text = format!("CROSSSLOT Keys in request don't hash to the same shard: {which}; {hint}");
        Self::new(RefusalKind::CrossShard, text)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&String::from_utf8_lossy(&self.text))
    }
}

impl fmt::Debug for Refusal {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Refusal({:?}, {self})", self.kind)
    }
}

impl std::error::Error for Refusal {}

/// A command as people write it.
fn written(row: &Row) -> String {
    row.name().replace('|', " ").to_ascii_uppercase()
}

/// How much of a name, and of all arguments, servers show.
const SHOWN: usize = 128;

/// What a server shows of a string: up to a zero byte, and no more than `most`.
fn shown(text: &[u8], most: usize) -> &[u8] {
    let end = memchr::memchr(0, text).unwrap_or(text.len()).min(most);
    text.get(..end).unwrap_or(text)
}

/// A key for an error text: escaped, and not longer than is useful.
struct Shortened<'a>(&'a [u8]);

impl fmt::Display for Shortened<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        const LONGEST: usize = 48;
        match self.0.get(..LONGEST) {
            Some(begin) if self.0.len() > LONGEST => write!(out, "{}...", begin.escape_ascii()),
            _ => write!(out, "{}", self.0.escape_ascii()),
        }
    }
}
