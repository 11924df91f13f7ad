//! Rows from what a server says about its commands.

use std::borrow::Cow;

use super::{
    Absent, Access, Anchor, Begin, Care, Categories, Class, Find, Flags, KeySpec, Library, Response, Row,
    Wait,
    keys::MAX_SPECS,
    options::Options,
    row::{Subcommands, first_key},
};
use crate::reply::{Node, Reader, ReplyError};

/// Why a reply to `COMMAND INFO` does not give a row.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LearnError {
    /// The server answered with an error, or with something else than a list of commands.
    #[error("not a reply to COMMAND INFO")]
    NotCommandInfo,
    /// The reply cannot be read.
    #[error(transparent)]
    Reply(#[from] ReplyError),
}

/// The row that the reply to `COMMAND INFO name` describes, or `None` where the server does not know the command. Takes
/// RESP2 and RESP3, from Redis 2.8.13 on (older servers say less, and what is not said is not assumed).
///
/// What a ring does with it follows from what the server says: by its keys, where it has some; on every shard, where its
/// tips say so and how the replies combine. Commands about one search index (`FT.CREATE`, `FT.SEARCH`) are placed by its
/// name, so that they meet on one shard; the index covers the keys there, which a hash tag puts there. What cannot be told
/// is refused: keys at places that the server does not say, policies that are special, and commands without keys, which
/// would answer for one shard as if it were all (`TS.MRANGE`, `FT._LIST`).
///
/// # Errors
/// [`LearnError`] when the reply is something else.
pub fn learn(frame: &[u8]) -> Result<Option<Row>, LearnError> {
    match value(&mut Reader::new(frame), MAX_DEPTH)? {
        Value::List(entries) => match entries.as_slice() {
            [Value::Other] => Ok(None),
            [Value::List(entry)] => {
                let row = row(entry, 0).ok_or(LearnError::NotCommandInfo)?;
                Ok(Some(row).filter(|row| !TRAPS.contains(&row.name())))
            }
            _ => Err(LearnError::NotCommandInfo),
        },
        _ => Err(LearnError::NotCommandInfo),
    }
}

/// What of a reply matters here. Maps are flat lists, as in RESP2.
enum Value<'a> {
    Text(&'a [u8]),
    Int(i64),
    List(Vec<Value<'a>>),
    Other,
}

impl Value<'_> {
    fn list(&self) -> &[Self] {
        match self {
            Self::List(values) => values,
            _ => &[],
        }
    }

    fn texts(&self) -> impl Iterator<Item = &[u8]> {
        self.list().iter().filter_map(Self::text)
    }

    fn text(&self) -> Option<&[u8]> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    fn int(&self) -> Option<i64> {
        match self {
            Self::Int(number) => Some(*number),
            _ => None,
        }
    }

    /// The value after a name in a flattened map.
    fn field(&self, name: &[u8]) -> Option<&Self> {
        let mut pairs = self.list().chunks_exact(2);
        pairs.find_map(|pair| match pair {
            [Self::Text(key), value] if *key == name => Some(value),
            _ => None,
        })
    }

    fn small<T: TryFrom<i64>>(&self, name: &[u8]) -> Option<T> {
        T::try_from(self.field(name)?.int()?).ok()
    }
}

/// Reads one value. Recursion ends: a description of a command has a few levels, and `deeper` more are read.
fn value<'a>(reader: &mut Reader<'a>, deeper: usize) -> Result<Value<'a>, ReplyError> {
    let Some(deeper) = deeper.checked_sub(1) else { return Err(ReplyError::TooDeep) };
    let node = reader.next()?;
    match node {
        Node::Attribute(pairs) => {
            for _ in 0..pairs.saturating_mul(2) {
                reader.skip()?;
            }
            value(reader, deeper)
        }
        Node::Array(Some(_)) | Node::Set(_) | Node::Push(_) | Node::Map(_) => {
            let mut values = Vec::new();
            for _ in 0..node.children() {
                values.push(value(reader, deeper)?);
            }
            Ok(Value::List(values))
        }
        Node::Simple(text) | Node::Bulk(Some(text)) | Node::Verbatim { text, .. } => Ok(Value::Text(text)),
        Node::Int(number) => Ok(Value::Int(number)),
        _ => Ok(Value::Other),
    }
}

/// The row of one entry; `level` is 1 for a subcommand.
fn row(entry: &[Value<'_>], level: u8) -> Option<Row> {
    let [name, arity, flags, first, last, step, more @ ..] = entry else {
        return None;
    };
    let name = String::from_utf8(name.text()?.to_ascii_lowercase()).ok()?;
    let arity = i16::try_from(arity.int()?).ok()?;
    let flags = flags.texts().map(Flags::named).fold(Flags::NONE, Flags::and);
    // What the server says is what its own rules go by, though it be nothing.
    let categories = match more.first() {
        None => Categories::NONE.with_implied(flags),
        Some(names) => names
            .texts()
            .filter_map(|name| Categories::named(name.strip_prefix(b"@").unwrap_or(name)))
            .fold(Categories::NONE, Categories::and),
    };
    let subcommands: Vec<_> = match more.get(3) {
        Some(below) if level == 0 => below.list().iter().filter_map(|entry| row(entry.list(), 1)).collect(),
        _ => Vec::new(),
    };
    let specs = match more.get(2) {
        Some(specs) if flags.has(Flags::MOVABLEKEYS) && are_guessed(specs.list()) => None,
        Some(specs) => specs.list().iter().map(spec).collect::<Option<Vec<_>>>(),
        None if flags.has(Flags::MOVABLEKEYS) => None,
        None => range(first.int()?, last.int()?, step.int()?, flags),
    };
    let specs = specs.map(|specs| specs.into_iter().flatten().collect::<Vec<_>>());
    let class = match &specs {
        _ if !subcommands.is_empty() => Class::Container,
        Some(specs) if specs.len() <= MAX_SPECS => {
            let tips = more.get(1).map(|tips| tips.texts().collect::<Vec<_>>()).unwrap_or_default();
            class(&name, specs, &tips, flags)
        }
        _ => refused("the server does not say where its keys are"),
    };
    let specs = specs.unwrap_or_default();
    Some(Row {
        first_key: first_key(&specs),
        name: Cow::Owned(name),
        arity,
        flags,
        categories,
        specs: Cow::Owned(specs),
        class,
        wait: Wait::Never,
        care: Care::None,
        library: Library::None,
        absent: Absent::Unknown,
        options: &Options::NONE,
        subcommands: Subcommands::Learned(subcommands),
    })
}

fn class(name: &str, specs: &[KeySpec], tips: &[&[u8]], flags: Flags) -> Class {
    let policy = |kind: &[u8]| tips.iter().find_map(|tip| tip.strip_prefix(kind));
    if !specs.is_empty() {
        return Class::Keys;
    }
    match policy(b"request_policy:") {
        Some(b"all_shards" | b"all_nodes") => {
            return match policy(b"response_policy:") {
                None => Class::Every(Response::Concat),
                Some(b"all_succeeded") => Class::Every(Response::AllOk),
                Some(b"one_succeeded") => Class::Every(Response::OneSucceeded),
                Some(b"agg_sum") => Class::Every(Response::Sum),
                Some(b"agg_min") => Class::Every(Response::Min),
                Some(b"agg_max") => Class::Every(Response::Max),
                Some(b"agg_logical_and") => Class::Every(Response::LogicalAnd),
                Some(b"agg_logical_or") => Class::Every(Response::LogicalOr),
                Some(_) => refused("the server does not say how the answers of many shards combine"),
            };
        }
        Some(_) => return refused("the server does not say on which shards it has to run"),
        None => {}
    }
    if flags.has(Flags::ADMIN) || flags.has(Flags::PUBSUB) {
        return refused("it concerns one server or one connection");
    }
    if ABOUT_AN_INDEX.contains(&name) {
        return Class::Anchored(Anchor::Argument(1));
    }
    refused("it names no key, and the server does not say on which shards it has to run")
}

/// Commands whose first argument is the name of a search index.
const ABOUT_AN_INDEX: [&str; 13] = [
    "ft.aggregate",
    "ft.alter",
    "ft.create",
    "ft.dropindex",
    "ft.explain",
    "ft.explaincli",
    "ft.info",
    "ft.profile",
    "ft.search",
    "ft.spellcheck",
    "ft.syndump",
    "ft.synupdate",
    "ft.tagvals",
];

/// What servers up to Redis 6.2 list as commands to catch web browsers with: they close the connection without an answer. No
/// request of these names may reach one that others share.
const TRAPS: [&str; 2] = ["post", "host:"];

/// How many levels a description of a command has at most, and a few more.
const MAX_DEPTH: usize = 16;

const fn refused(because: &'static str) -> Class {
    Class::Refused { because, allowable: false }
}

/// Whether a server made up these specifications from first, last and step, of a command whose keys a module finds by code of
/// its own (`getkeys-api`): from Redis 7 on it does so, and only some of the keys may be there.
fn are_guessed(specs: &[Value<'_>]) -> bool {
    let kind = |spec: &Value<'_>, part: &[u8]| spec.field(part)?.field(b"type")?.text().map(<[u8]>::to_vec);
    !specs.is_empty()
        && specs.iter().all(|spec| {
            spec.field(b"flags").is_some_and(|flags| flags.texts().any(|flag| flag == b"variable_flags"))
                && kind(spec, b"begin_search").as_deref() == Some(b"index")
                && kind(spec, b"find_keys").as_deref() == Some(b"range")
        })
}

/// The keys of a server that gives no specifications, from the first, the last and the step.
fn range(first: i64, last: i64, step: i64, flags: Flags) -> Option<Vec<Option<KeySpec>>> {
    if first == 0 {
        return Some(Vec::new());
    }
    let last = if last < 0 { last } else { last.checked_sub(first)? };
    let find = Find::Range { last: i16::try_from(last).ok()?, step: u16::try_from(step).ok()?, limit: 0 };
    let begin = Begin::Index(u16::try_from(first).ok()?);
    let writes = !flags.has(Flags::READONLY);
    let access = if writes { Access::Both } else { Access::Read };
    Some(vec![Some(KeySpec { begin, find, writes, access })])
}

/// One specification: `None` where it does not say where, `Some(None)` where it is not about keys.
#[expect(clippy::option_option, reason = "two levels of absence that a caller folds one after the other")]
fn spec(spec: &Value<'_>) -> Option<Option<KeySpec>> {
    let flags: Vec<_> = spec.field(b"flags")?.texts().collect();
    if flags.contains(&&b"not_key"[..]) {
        return Some(None);
    }
    if flags.contains(&&b"incomplete"[..]) {
        return None;
    }
    let (begin, find) = (spec.field(b"begin_search")?, spec.field(b"find_keys")?);
    let at = begin.field(b"spec")?;
    let begin = match begin.field(b"type")?.text()? {
        b"index" => Begin::Index(at.small(b"index")?),
        b"keyword" => {
            let word = String::from_utf8(at.field(b"keyword")?.text()?.to_vec()).ok()?;
            Begin::Keyword { word: Cow::Owned(word), from: at.small(b"startfrom")? }
        }
        _ => return None,
    };
    let how = find.field(b"spec")?;
    let find = match find.field(b"type")?.text()? {
        b"range" => Find::Range {
            last: how.small(b"lastkey")?,
            step: how.small(b"keystep")?,
            limit: how.small(b"limit")?,
        },
        b"keynum" => Find::Count {
            number: how.small(b"keynumidx")?,
            first: how.small(b"firstkey")?,
            step: how.small(b"keystep")?,
        },
        _ => return None,
    };
    let has = |names: &[&[u8]]| flags.iter().any(|flag| names.contains(flag));
    let writes = !has(&[b"RO"]);
    let access = match (has(&[b"access"]), has(&[b"insert", b"update", b"delete"])) {
        (true, true) => Access::Both,
        (true, false) => Access::Read,
        (false, true) => Access::Write,
        (false, false) if writes => Access::Both,
        (false, false) => Access::Any,
    };
    Some(Some(KeySpec { begin, find, writes, access }))
}
