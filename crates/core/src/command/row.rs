use std::{borrow::Cow, time::Duration};

use super::{
    Absent, Care, Categories, Class, Flags, Key, KeyError, KeySpec, Keys, Library, Wait,
    keys::{Begin, Find},
    options::Options,
};
use crate::reply::Reply;
use crate::request::{Request, RequestBuf};

/// Everything that is known about one command or subcommand.
#[derive(Clone, Debug)]
pub struct Row {
    pub(super) name: Cow<'static, str>,
    pub(super) arity: i16,
    pub(super) flags: Flags,
    pub(super) categories: Categories,
    pub(super) specs: Cow<'static, [KeySpec]>,
    pub(super) class: Class,
    pub(super) wait: Wait,
    pub(super) care: Care,
    pub(super) library: Library,
    pub(super) absent: Absent,
    pub(super) options: &'static Options,
    /// The only key's argument, where there is exactly one at a fixed place; else 0.
    pub(super) first_key: u16,
    pub(super) subcommands: Subcommands,
}

/// Whether a request may be run again when it is not known whether it ran.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repeat {
    /// It changes nothing.
    Read,
    /// It changes something, but twice is as once; see [`Flags::IDEMPOTENT`].
    IdempotentWrite,
    /// Twice is not once, or nobody knows.
    Never,
}

/// Whose words an error reply to a command is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speaker {
    /// The server's own.
    Server,
    /// Perhaps those of code that somebody else wrote (a script, a function, a module): they say nothing of what was done
    /// before.
    PerhapsCode,
}

/// How long a request may wait before it is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blocks {
    /// It does not wait.
    No,
    /// At most so long.
    For(Duration),
    /// Without an end.
    Forever,
}

impl Blocks {
    /// How long to wait for a reply that otherwise comes within `deadline`; `None` for ever.
    #[must_use]
    pub const fn within(self, deadline: Duration) -> Option<Duration> {
        match self {
            Self::No => Some(deadline),
            Self::For(wait) => Some(deadline.saturating_add(wait)),
            Self::Forever => None,
        }
    }
}

#[derive(Clone, Debug)]
pub(super) enum Subcommands {
    Known(&'static [Row]),
    Learned(Vec<Row>),
}

impl Row {
    /// In lower case; a subcommand with its container, as servers write it in errors: `config|set`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The number of arguments, the name (and the container's) counted; negative where it is the least number.
    #[must_use]
    pub const fn arity(&self) -> i16 {
        self.arity
    }

    /// Whether it is what a server said, and not of the built-in table.
    #[must_use]
    pub const fn is_learned(&self) -> bool {
        matches!(self.name, Cow::Owned(_))
    }

    /// The name, in a constant. Only rows of the built-in table have one there.
    pub(super) const fn literal(&self) -> &str {
        match &self.name {
            Cow::Borrowed(name) => name,
            Cow::Owned(_) => "",
        }
    }

    /// Whether a request may have this many arguments, the name counted.
    #[must_use]
    pub fn takes(&self, count: usize) -> bool {
        let needed = usize::from(self.arity.unsigned_abs());
        if self.arity < 0 { count >= needed } else { count == needed }
    }

    /// What it is.
    #[must_use]
    pub const fn flags(&self) -> Flags {
        self.flags
    }

    /// The groups it belongs to, for the rules about users.
    #[must_use]
    pub const fn categories(&self) -> Categories {
        self.categories
    }

    /// What a ring does with it.
    #[must_use]
    pub const fn class(&self) -> Class {
        self.class
    }

    /// What needs a look besides the keys.
    #[must_use]
    pub const fn care(&self) -> Care {
        self.care
    }

    /// What it does with the scripts and functions that servers keep.
    #[must_use]
    pub const fn library(&self) -> Library {
        self.library
    }

    /// Whose words its errors are.
    #[must_use]
    pub const fn speaker(&self) -> Speaker {
        // What was learned is a module's, most likely.
        let learned = matches!(self.name, Cow::Owned(_));
        if learned || self.categories.overlaps(Categories::SCRIPTING) {
            Speaker::PerhapsCode
        } else {
            Speaker::Server
        }
    }

    /// Where its keys are.
    #[must_use]
    pub fn specs(&self) -> &[KeySpec] {
        &self.specs
    }

    /// Its subcommands, for a container.
    #[must_use]
    pub fn subcommands(&self) -> &[Self] {
        match &self.subcommands {
            Subcommands::Known(rows) => rows,
            Subcommands::Learned(rows) => rows,
        }
    }

    /// The subcommand of this name, in any case.
    #[must_use]
    pub fn subcommand(&self, name: &[u8]) -> Option<&Self> {
        let own = self.name.len() + 1;
        self.subcommands()
            .iter()
            .find(|row| row.name.as_bytes().get(own..).is_some_and(|known| known.eq_ignore_ascii_case(name)))
    }

    /// The argument that is the key, for a command with exactly one key at a fixed place.
    #[must_use]
    #[inline]
    pub fn first_key(&self) -> Option<usize> {
        (self.first_key != 0).then_some(usize::from(self.first_key))
    }

    /// Whether it runs on the shard of its keys, does not wait, and needs no look at other arguments.
    #[inline]
    pub(super) fn is_plain(&self) -> bool {
        matches!(self.class, Class::Keys | Class::KeysOr(_))
            && matches!(self.wait, Wait::Never)
            && !matches!(self.care, Care::Patterns | Care::Database(..))
            && self.subcommands().is_empty()
    }

    /// The keys of a request.
    ///
    /// # Errors
    /// [`KeyError`] when the arguments do not say which they are. Such a request is never to be sent by a guess.
    pub fn keys(&self, request: Request<'_>) -> Result<Keys, KeyError> {
        Keys::find(&self.specs, *self.options, request)
    }

    /// The keys of a request that the command may change.
    ///
    /// # Errors
    /// As [`Row::keys`].
    pub fn written_keys(&self, request: Request<'_>) -> Result<impl Iterator<Item = Key> + use<>, KeyError> {
        Ok(self.keys(request)?.filter(|key| key.writes))
    }

    /// For [`Care::Patterns`], the patterns that stand for further keys, each with what comes before its asterisk. `BY`
    /// without an asterisk only says not to sort, and `GET` without one is null, or `#`: the element itself.
    pub fn patterns<'a>(&self, request: Request<'a>) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a> {
        self.care.patterns(*self.options, request)
    }

    /// The first key, the last and the step, as the `COMMAND` reply of a server has them: what can be said of the keys
    /// by one range. Zeros without a fixed place.
    #[must_use]
    pub fn key_range(&self) -> (i64, i64, i64) {
        let mut range = (0, 0, 0);
        for spec in self.specs.iter() {
            let (Begin::Index(first) | Begin::Otherwise(first), Find::Range { last, step, limit: 0 }) =
                (&spec.begin, spec.find)
            else {
                continue;
            };
            let (first, step) = (i64::from(*first), i64::from(step));
            let last = i64::from(last) + if last >= 0 { first } else { 0 };
            if range == (0, 0, 0) {
                range = (first, last, step);
            } else if range.1 + 1 == first && range.2 == step {
                range.1 = last;
            }
        }
        range
    }

    /// Whether it reads and changes nothing, whatever its arguments.
    #[must_use]
    pub const fn is_read(&self) -> bool {
        self.flags.has(Flags::READONLY)
    }

    /// What a server answers to a request whose keys it does not have; `None` where the command changes something, or
    /// nothing is known.
    #[must_use]
    pub fn absent_reply(&self, request: Request<'_>, resp3: bool) -> Option<Reply> {
        self.absent.reply(request, resp3)
    }

    /// Whether a request may be run again when it is not known whether it ran.
    #[must_use]
    pub fn repeat(&self, request: Request<'_>) -> Repeat {
        match self.is_read() {
            _ if self.care.applies(request) => Repeat::Never,
            true => Repeat::Read,
            false if self.flags.has(Flags::IDEMPOTENT) => Repeat::IdempotentWrite,
            false => Repeat::Never,
        }
    }

    /// How long a request may wait on the server for something to happen.
    ///
    /// A time that is no plain number above 0 is [`Blocks::Forever`]: servers read more than is read here (`0x2`, or
    /// `-1e-9`, which is 0 to them), and what they refuse they refuse at once.
    #[must_use]
    pub fn blocks(&self, request: Request<'_>) -> Blocks {
        if self.wait == Wait::Never {
            return if self.flags.has(Flags::BLOCKING) { Blocks::Forever } else { Blocks::No };
        }
        let Some(time) = self.wait_argument(request).and_then(|index| request.argument(index)) else {
            return Blocks::No;
        };
        let unit = if self.waits_in_seconds() { 1.0 } else { 0.001 };
        let time = std::str::from_utf8(time).ok().and_then(|text| text.parse::<f64>().ok());
        let time = time.filter(|number| *number > 0.0);
        let time = time.and_then(|number| Duration::try_from_secs_f64(number * unit).ok());
        time.map_or(Blocks::Forever, Blocks::For)
    }

    /// The request for what is left of its wait when so much of it has passed: a millisecond at least, since 0 is without an
    /// end. `None` where it stays as it is.
    #[must_use]
    pub fn wait_rest(&self, request: Request<'_>, passed: Duration) -> Option<RequestBuf> {
        let Blocks::For(whole) = self.blocks(request) else { return None };
        let millis = whole.saturating_sub(passed).as_micros().div_ceil(1000).max(1);
        if millis >= whole.as_millis() {
            return None;
        }
        let time = match self.waits_in_seconds() {
            true => format!("{}.{:03}", millis / 1000, millis % 1000),
            false => millis.to_string(),
        };
        let at = self.wait_argument(request)?;
        let arguments = request.arguments().enumerate();
        Some(RequestBuf::pack(
            arguments.map(|(index, word)| if index == at { time.as_bytes() } else { word }),
        ))
    }

    /// Which argument says how long it waits.
    fn wait_argument(&self, request: Request<'_>) -> Option<usize> {
        match self.wait {
            Wait::Never => None,
            Wait::LastSeconds => request.count().checked_sub(1),
            Wait::Seconds(index) | Wait::Millis(index) => Some(usize::from(index)),
            Wait::MillisAfter(word) => self.options.value_of(word, request),
        }
    }

    const fn waits_in_seconds(&self) -> bool {
        matches!(self.wait, Wait::LastSeconds | Wait::Seconds(_))
    }
}

/// A command that neither waits, nor needs a look at its arguments, nor has to do with scripts.
pub(super) const PLAIN: (Wait, Care, Library) = (Wait::Never, Care::None, Library::None);

/// A row of the built-in table.
pub(super) const fn row(
    name: &'static str,
    arity: i16,
    flags: Flags,
    specs: &'static [KeySpec],
    class: Class,
    (wait, care, library): (Wait, Care, Library),
    subcommands: &'static [Row],
) -> Row {
    Row {
        name: Cow::Borrowed(name),
        arity,
        flags,
        categories: Categories::NONE.with_implied(flags),
        specs: Cow::Borrowed(specs),
        class,
        wait,
        care,
        library,
        absent: Absent::Unknown,
        options: &Options::NONE,
        first_key: first_key(specs),
        subcommands: Subcommands::Known(subcommands),
    }
}

impl Row {
    /// The same row in these categories too.
    pub(super) const fn about(mut self, categories: Categories) -> Self {
        self.categories = categories.with_implied(self.flags);
        self
    }

    /// The same row with these options.
    pub(super) const fn options(mut self, options: &'static Options) -> Self {
        self.options = options;
        self
    }

    /// The same row, with what it answers when its keys do not exist.
    pub(super) const fn absent(mut self, absent: Absent) -> Self {
        self.absent = absent;
        self
    }
}

/// The argument of the only key, if there is exactly one and its place is fixed.
pub(super) const fn first_key(specs: &[KeySpec]) -> u16 {
    match specs {
        [KeySpec { begin: Begin::Index(index), find: Find::Range { last: 0, .. }, .. }] => *index,
        _ => 0,
    }
}
