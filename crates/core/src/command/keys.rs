use std::borrow::Cow;

use super::options::Options;
use crate::request::{Request, is_word};

/// Where some of a command's keys are: where to begin, and how many follow.
///
/// The terms are those of the key specifications in the Redis documentation, with [`Begin::Option`] and
/// [`Begin::Otherwise`] for the forms that those leave unsaid or tell by a guess (`SORT … STORE`, `MIGRATE`, `XREADGROUP`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeySpec {
    /// Where the first key, or the number of keys, is.
    pub begin: Begin,
    /// Which arguments from there are keys.
    pub find: Find,
    /// Whether the command may change these keys.
    pub writes: bool,
    /// What somebody has to be allowed to do with these keys to run the command.
    pub access: Access,
}

/// What somebody has to be allowed to do with a key to run a command on it.
///
/// This is not whether the command reads or changes it: `EXISTS` reads, but gives nothing of the contents away, and
/// `PFCOUNT` may write, but changes nothing that others could see.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Access {
    /// To use it at all.
    Any,
    /// To know what it holds.
    Read,
    /// To change what it holds.
    Write,
    /// Both.
    #[default]
    Both,
}

impl Access {
    /// Whether it takes the right to know what the key holds.
    #[must_use]
    pub const fn reads(self) -> bool {
        matches!(self, Self::Read | Self::Both)
    }

    /// Whether it takes the right to change what the key holds.
    #[must_use]
    pub const fn writes(self) -> bool {
        matches!(self, Self::Write | Self::Both)
    }
}

/// Where the keys of a [`KeySpec`] begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Begin {
    /// At a fixed argument.
    Index(u16),
    /// At a fixed argument, where no other specification of the command finds a key.
    Otherwise(u16),
    /// After the first occurrence of a word, in any case, searched forward from an argument, or backward from
    /// that many before the end where it is negative. Without the word there are no such keys.
    Keyword {
        /// The word.
        word: Cow<'static, str>,
        /// Where the search begins.
        from: i16,
    },
    /// After the last occurrence of a word, in lower case, among the command's options. Without it there are no such keys.
    Option(&'static str),
}

/// Which arguments are keys, from where a [`Begin`] says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Find {
    /// Every `step`-th argument up to `last`: counted from the first key, or from the end of the request where it is
    /// negative. A `limit` above 1 with a negative `last` stops after that fraction of the rest (2: the first half).
    Range {
        /// The last key.
        last: i16,
        /// From one key to the next.
        step: u16,
        /// The fraction.
        limit: u16,
    },
    /// As many as an argument says.
    Count {
        /// Where the number is, from the begin.
        number: u16,
        /// Where the first key is, from the begin.
        first: u16,
        /// From one key to the next.
        step: u16,
    },
}

/// Why the keys of a request cannot be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The number of keys is no number, and nothing that could be read as one.
    #[error("value is not an integer or out of range")]
    NotANumber,
    /// The number of keys is written as servers do not write numbers: `+1`, `01`, `1.5`.
    #[error("value is not an integer or out of range")]
    OddNumber,
    /// The number of keys is negative.
    #[error("Number of keys can't be negative")]
    Negative,
    /// The number of keys is greater than the number of arguments that follow.
    #[error("Number of keys can't be greater than number of args")]
    TooMany,
    /// An argument that must be a key is not there.
    #[error("syntax error")]
    Missing,
    /// Keys and what belongs to them do not come out even. Of the commands of servers only those that read streams have
    /// keys of this kind, so these are the words for them.
    #[error("Unbalanced XREAD list of streams: for each stream key an ID or '$' must be specified.")]
    Unbalanced,
}

impl KeyError {
    /// Whether no server runs such a request, whatever it makes of numbers: each refuses it, in its own words.
    #[must_use]
    pub const fn is_refused_everywhere(self) -> bool {
        matches!(self, Self::NotANumber | Self::Negative | Self::TooMany)
    }
}

/// One of the keys of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    /// Which argument it is; the command's name is 0.
    pub index: usize,
    /// Whether the command may change it.
    pub writes: bool,
    /// What somebody has to be allowed to do with it to run the command.
    pub access: Access,
}

/// The keys of a request, in the order of the command's key specifications. Allocates nothing.
#[derive(Clone, Debug, Default)]
pub struct Keys {
    runs: [Run; MAX_SPECS],
    at: usize,
}

impl Keys {
    /// Finds the keys that `specs` describe, for a command with these options.
    pub(super) fn find(specs: &[KeySpec], options: Options, request: Request<'_>) -> Result<Self, KeyError> {
        let mut keys = Self::default();
        let mut found = false;
        for (spec, slot) in specs.iter().zip(&mut keys.runs) {
            if let Some(run) = resolve(spec, options, request)? {
                found |= !matches!(spec.begin, Begin::Otherwise(_));
                *slot = run;
            }
        }
        for (spec, slot) in specs.iter().zip(&mut keys.runs) {
            if found && matches!(spec.begin, Begin::Otherwise(_)) {
                slot.count = 0;
            }
        }
        Ok(keys)
    }

    /// How far one key is from the next in the first run of keys; 1 where there is none.
    #[must_use]
    pub const fn step(&self) -> usize {
        let [first, ..] = &self.runs;
        if first.count == 0 { 1 } else { first.step }
    }
}

impl Iterator for Keys {
    type Item = Key;

    fn next(&mut self) -> Option<Key> {
        loop {
            let run = self.runs.get_mut(self.at)?;
            if run.count == 0 {
                self.at += 1;
                continue;
            }
            let key = Key { index: run.next, writes: run.writes, access: run.access };
            run.next += run.step;
            run.count -= 1;
            return Some(key);
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.runs.iter().map(|run| run.count).sum();
        (left, Some(left))
    }
}

impl ExactSizeIterator for Keys {}

/// The most specifications that one command can have.
pub(super) const MAX_SPECS: usize = 4;

/// Evenly spaced keys, all of them inside the request.
#[derive(Clone, Copy, Debug, Default)]
struct Run {
    next: usize,
    step: usize,
    count: usize,
    writes: bool,
    access: Access,
}

fn resolve(spec: &KeySpec, options: Options, request: Request<'_>) -> Result<Option<Run>, KeyError> {
    let Some(begin) = begin(&spec.begin, options, request) else {
        return Ok(None);
    };
    let arguments = request.count();
    let (first, step, last) = match spec.find {
        Find::Range { last, step, limit } => {
            let reach = usize::from(last.unsigned_abs());
            let last = if last >= 0 {
                begin + reach
            } else if limit > 1 {
                let rest = arguments.saturating_sub(begin);
                if rest % usize::from(limit) != 0 {
                    return Err(KeyError::Unbalanced);
                }
                (begin + rest / usize::from(limit)).saturating_sub(reach)
            } else if begin == arguments {
                // Keys up to the end, of which there are none: `PFMERGE key`. Where there must be some, the arity says so.
                return Ok(None);
            } else {
                arguments.saturating_sub(reach)
            };
            (begin, usize::from(step.max(1)), last)
        }
        Find::Count { number, first, step } => {
            let count = number_of_keys(request.argument(begin + usize::from(number)))?;
            let first = begin + usize::from(first);
            let step = usize::from(step.max(1));
            let Some(more) = count.checked_sub(1) else {
                return Ok(None);
            };
            let last = more.checked_mul(step).and_then(|reach| reach.checked_add(first));
            let last = last.filter(|last| *last < arguments).ok_or(KeyError::TooMany)?;
            (first, step, last)
        }
    };
    if last < first || last >= arguments {
        return Err(KeyError::Missing);
    }
    let count = (last - first) / step + 1;
    Ok(Some(Run { next: first, step, count, writes: spec.writes, access: spec.access }))
}

/// The argument at which the keys of a specification begin, or `None` where the request has none of them.
fn begin(begin: &Begin, options: Options, request: Request<'_>) -> Option<usize> {
    let is = |at: usize, word: &str| request.argument(at).is_some_and(|argument| is_word(argument, word));
    let last = request.count().saturating_sub(1);
    match begin {
        Begin::Index(index) | Begin::Otherwise(index) => Some(usize::from(*index)),
        Begin::Keyword { word, from } => {
            let reach = usize::from(from.unsigned_abs());
            let found = if *from >= 0 {
                (reach..last).find(|at| is(*at, word))
            } else {
                (1..=request.count().saturating_sub(reach)).rev().find(|at| is(*at, word))
            };
            found.map(|at| at + 1)
        }
        Begin::Option(word) => options.value_of(word, request),
    }
}

/// Reads the number of keys.
fn number_of_keys(argument: Option<&[u8]>) -> Result<usize, KeyError> {
    let argument = argument.unwrap_or_default();
    let odd =
        if argument.iter().any(u8::is_ascii_digit) { KeyError::OddNumber } else { KeyError::NotANumber };
    let text = std::str::from_utf8(argument).map_err(|_| odd)?;
    // Servers read strict decimals: no plus sign and no leading zero.
    if text.starts_with('+') || (text.len() > 1 && text.trim_start_matches('-').starts_with('0')) {
        return Err(odd);
    }
    let number: i64 = text.parse().map_err(|_| odd)?;
    if number < 0 {
        return Err(KeyError::Negative);
    }
    usize::try_from(number).map_err(|_| KeyError::TooMany)
}
