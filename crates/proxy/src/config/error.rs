//! What is wrong with a configuration.

use std::fmt;
use std::iter;

/// What is wrong with a configuration file: where, what was found, what is allowed. The file's secrets are never repeated.
///
/// It is about one thing, and `Display` gives `rendis.toml:12: ring "cache", shard "shard2": weight: found "two"; allowed: …`,
/// on one line. [`ConfigError::all`] gives those about other tables too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    file: String,
    line: Option<usize>,
    message: String,
    others: Vec<Self>,
}

impl ConfigError {
    pub(super) fn new(file: &str, line: Option<usize>, message: impl Into<String>) -> Self {
        Self { file: file.to_owned(), line, message: message.into(), others: Vec::new() }
    }

    /// This and all others that were found, in the order of the file: of each field of a ring, of its shards and of its
    /// users, and of the small tables and the lists in them; but the first only of a `placement` and of a `tls`.
    #[must_use]
    pub fn all(&self) -> Vec<&Self> {
        let mut all: Vec<_> = iter::once(self).chain(&self.others).collect();
        all.sort_by_key(|error| error.line);
        all
    }

    /// The file's name, as it was given.
    #[must_use]
    pub fn file(&self) -> &str {
        &self.file
    }

    /// The line, counted from 1; `None` when the file as a whole is meant.
    #[must_use]
    pub const fn line(&self) -> Option<usize> {
        self.line
    }

    /// What is wrong, without file and line.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(out, "{}:{line}: {}", self.file, self.message),
            None => write!(out, "{}: {}", self.file, self.message),
        }
    }
}

impl std::error::Error for ConfigError {}

/// Errors as they are found in tables and fields of which each can be read though another cannot.
#[derive(Default)]
pub(super) struct Errors(Option<ConfigError>);

impl Errors {
    /// What was read; an error is kept.
    pub(super) fn keep<T>(&mut self, read: Result<T, ConfigError>) -> Option<T> {
        read.map_err(|error| self.add(error)).ok()
    }

    /// Whether there was none.
    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Keeps an error.
    pub(super) fn add(&mut self, mut error: ConfigError) {
        match &mut self.0 {
            Some(first) => {
                let others = std::mem::take(&mut error.others);
                first.others.extend(iter::once(error).chain(others));
            }
            none => *none = Some(error),
        }
    }

    /// What was made of the tables, where there was no error.
    pub(super) fn or<T>(self, made: T) -> Result<T, ConfigError> {
        self.0.map_or(Ok(made), Err)
    }
}
