//! The command table: one row per command, and the only place that knows a command's name.
//!
//! A [`Row`] says how many arguments a command takes, where its keys are, what it is ([`Flags`]) and what a ring does
//! with it ([`Class`]). The rows come from three data files in `data/commands`: what a redis-server 7.0 says about
//! itself, newer commands from public documentation, and our own decisions about rings;
//! `scripts/commands/generate.py` joins them into `table.rs`.
//!
//! A command that is not in the table is [`Found::Unknown`], never "a read" or "safe". Its row can be *learned* from a
//! server that knows it ([`learn`]), and is then kept in a [`Table`].

mod absent;
mod care;
mod category;
mod class;
mod flags;
mod index;
mod keys;
mod learn;
mod options;
mod response;
mod row;
mod script;
mod table;

use std::{collections::BTreeMap, sync::Arc};

pub use absent::Absent;
pub use care::Care;
pub use category::Categories;
pub use class::{Anchor, Class, Library, LocalCommand, Subscription, Transaction, Wait};
pub use flags::Flags;
pub use keys::{Access, Begin, Find, Key, KeyError, KeySpec, Keys};
pub use learn::{LearnError, learn};
pub use response::Response;
pub use row::{Blocks, Repeat, Row, Speaker};
pub use script::script_sha;

use crate::request::Request;

/// What the table says about a request's name.
#[derive(Clone, Copy, Debug)]
pub enum Found<'t> {
    /// Its row; for a container with a known subcommand, the subcommand's.
    Row(&'t Row),
    /// The container is known (this is its row), the subcommand is not.
    UnknownSubcommand(&'t Row),
    /// The command is not known. A server may know it: see [`learn`].
    Unknown,
}

impl Found<'_> {
    /// [`Row::blocks`] of its row; what is not known is taken not to wait.
    #[must_use]
    pub fn blocks(self, request: Request<'_>) -> Blocks {
        match self {
            Self::Row(row) => row.blocks(request),
            Self::UnknownSubcommand(_) | Self::Unknown => Blocks::No,
        }
    }
}

/// The commands that are known: those built in, and those learned.
///
/// ```
/// use rendis_core::{command::{Found, Table}, request::RequestBuf};
///
/// let table = Table::default();
/// let request = RequestBuf::pack([&b"Config"[..], b"GET", b"maxmemory"]);
/// let Found::Row(row) = table.find(request.view()) else { panic!() };
/// assert_eq!(row.name(), "config|get");
/// ```
#[derive(Clone, Debug, Default)]
pub struct Table {
    /// By name in lower case. A copy of the table shares its rows.
    learned: BTreeMap<Box<[u8]>, Arc<Row>>,
}

/// What is known at a glance of a request with one key; see [`Table::only_key`].
#[derive(Clone, Copy, Debug)]
pub struct OnlyKey<'a> {
    /// The command's row.
    pub row: &'static Row,
    /// [`Table::place`] of it.
    pub place: usize,
    /// The key.
    pub key: &'a [u8],
}

impl Table {
    /// How many rows can be learned. No server comes near it; past it, commands stay unknown.
    pub const MOST_LEARNED: usize = 4096;

    /// How many commands are built in, without their subcommands.
    pub const BUILT_IN: usize = table::ROWS.len();

    /// The longest name of a command that can be learned.
    pub const LONGEST_NAME: usize = 64;

    /// Finds the row for a request by its name, and by its first argument where the name is a container's. Costs no
    /// allocation.
    #[must_use]
    #[inline]
    pub fn find(&self, request: Request<'_>) -> Found<'_> {
        let name = request.name();
        match index::find(name).or_else(|| self.learned(name)) {
            Some(row) if row.subcommands().is_empty() => Found::Row(row),
            Some(row) => subcommand(row, request),
            None => Found::Unknown,
        }
    }

    /// The row of a command by its name, or of a subcommand as `container|subcommand`, in any case.
    #[must_use]
    pub fn named(&self, name: &[u8]) -> Option<&Row> {
        let mut words = name.splitn(2, |byte| *byte == b'|');
        let container = words.next()?;
        let row = index::find(container).or_else(|| self.learned(container))?;
        match words.next() {
            Some(subcommand) => row.subcommand(subcommand),
            None => Some(row),
        }
    }

    /// The row of a built-in command that has exactly one key at a fixed place, runs on its shard, does not wait and
    /// needs no look at its arguments: of nearly every request. Costs no allocation and no view of the request.
    #[must_use]
    #[inline]
    pub fn one_key(name: &[u8]) -> Option<&'static Row> {
        let row = index::find(name)?;
        (row.first_key != 0 && row.is_plain()).then_some(row)
    }

    /// The row of a request whose only key can be told at a glance, and that key: of a command of
    /// [one key at a fixed place](Table::one_key), or of one like it that is told how many keys it has, and that is one
    /// (`EVAL script 1 key`). `argument` gives the arguments of the request, of which there are `count`. Costs no
    /// allocation and no view of the request.
    ///
    /// ```
    /// use rendis_core::command::Table;
    ///
    /// let glance = |words: &[&'static str]| {
    ///     let argument = |index: usize| words.get(index).map(|word| word.as_bytes());
    ///     Table::only_key(argument, words.len()).map(|only| (only.row.name().to_owned(), only.key.to_vec()))
    /// };
    /// assert_eq!(glance(&["GET", "a"]), Some(("get".to_owned(), b"a".to_vec())));
    /// assert_eq!(glance(&["EVAL", "return 1", "1", "a"]), Some(("eval".to_owned(), b"a".to_vec())));
    /// assert_eq!(glance(&["EVAL", "return 1", "2", "a", "b"]), None);
    /// assert_eq!(glance(&["GET"]), None);
    /// ```
    #[must_use]
    #[inline]
    pub fn only_key<'a>(argument: impl Fn(usize) -> Option<&'a [u8]>, count: usize) -> Option<OnlyKey<'a>> {
        let (place, row) = index::place(argument(0)?)?;
        if !row.is_plain() || !row.takes(count) {
            return None;
        }
        let key = match (row.first_key(), row.specs()) {
            (Some(key), _) => key,
            (None, [KeySpec { begin: Begin::Index(begin), find: Find::Count { number, first, .. }, .. }])
                if argument(usize::from(begin + number))? == b"1" =>
            {
                usize::from(begin + first)
            }
            _ => return None,
        };
        Some(OnlyKey { row, place, key: argument(key)? })
    }

    /// The place of a built-in command among [`Table::rows`], by its name in any case (a container's for its subcommands):
    /// a number below [`Table::BUILT_IN`], to count by. Costs no allocation.
    ///
    /// ```
    /// use rendis_core::command::Table;
    ///
    /// let place = Table::place(b"Get").unwrap();
    /// assert_eq!(Table::default().rows().nth(place).unwrap().name(), "get");
    /// ```
    #[must_use]
    #[inline]
    pub fn place(name: &[u8]) -> Option<usize> {
        index::place(name).map(|(at, _)| at)
    }

    /// Adds a learned row. Built-in rows stay as they are: a server cannot change what is known about `GET`.
    ///
    /// False when the row was not taken: built in, longer than [`Table::LONGEST_NAME`], or the table has
    /// [`Table::MOST_LEARNED`] rows.
    pub fn insert(&mut self, row: Row) -> bool {
        let name = row.name().to_ascii_lowercase().into_bytes().into_boxed_slice();
        if index::find(&name).is_some() || name.len() > Self::LONGEST_NAME {
            return false;
        }
        if self.learned.len() >= Self::MOST_LEARNED && !self.learned.contains_key(&name) {
            return false;
        }
        self.learned.insert(name, Arc::new(row));
        true
    }

    /// All rows without their subcommands, the built-in ones first, each in the order of their names.
    pub fn rows(&self) -> impl Iterator<Item = &Row> {
        table::ROWS.iter().chain(self.learned.values().map(Arc::as_ref))
    }

    fn learned(&self, name: &[u8]) -> Option<&Row> {
        if self.learned.is_empty() {
            return None;
        }
        let mut folded = [0; Self::LONGEST_NAME];
        let folded = folded.get_mut(..name.len())?;
        folded.copy_from_slice(name);
        folded.make_ascii_lowercase();
        self.learned.get(&*folded).map(Arc::as_ref)
    }
}

fn subcommand<'t>(container: &'t Row, request: Request<'_>) -> Found<'t> {
    match request.argument(1) {
        None => Found::Row(container),
        Some(name) => match container.subcommand(name) {
            Some(row) => Found::Row(row),
            None => Found::UnknownSubcommand(container),
        },
    }
}
