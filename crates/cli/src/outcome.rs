//! How a command ends, and what the user and the shell hear of it.

use std::fmt;
use std::io::{self, Write};
use std::process::ExitCode;

use anstyle::{AnsiColor, Style};
use rendis_proxy::config::ConfigError;
use rendis_proxy::serve::StartError;

/// Why a command did not do what it was asked.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Wrong usage or a wrong configuration, of which each line tells one thing: exit status 2.
    Usage(String),
    /// Anything else: exit status 1.
    Failed(String),
    /// Nobody reads the output any more. That is the reader's choice, and no failure: exit status 0, no words.
    Unread,
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::Usage(error.all().iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
    }
}

/// Places that cannot be had are failures; the rest is a wrong configuration.
impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        match error {
            StartError::Ring { .. } => Self::Usage(error.to_string()),
            _ => Self::Failed(error.to_string()),
        }
    }
}

impl Failure {
    /// What the user hears, a line for each error, and the exit status.
    pub(crate) fn told(&self) -> (&str, u8) {
        match self {
            Self::Unread => ("", 0),
            Self::Failed(message) => (message, 1),
            Self::Usage(message) => (message, 2),
        }
    }

    /// What an error of writing to standard output means.
    pub(crate) fn output(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::Unread,
            _ => Self::Failed(format!("standard output cannot be written: {error}")),
        }
    }
}

/// Standard output of a command that also gives a verdict: when nobody reads it any more, the command goes on without.
pub(crate) struct Unheeded<W>(pub(crate) W);

impl<W: Write> Write for Unheeded<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        unless_unread(self.0.write(bytes), bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        unless_unread(self.0.flush(), ())
    }
}

fn unless_unread<T>(done: io::Result<T>, instead: T) -> io::Result<T> {
    match done {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(instead),
        done => done,
    }
}

/// Tells the user on standard error and gives the exit status.
pub(crate) fn report(done: Result<(), Failure>) -> ExitCode {
    let failure = done.err().unwrap_or(Failure::Unread);
    let (message, status) = failure.told();
    complain(message, status)
}

/// Tells the user of something that is no failure.
pub(crate) fn warn(message: &dyn fmt::Display) {
    const STYLE: Style = AnsiColor::Yellow.on_default().bold();
    // As below.
    let _ = writeln!(anstream::stderr().lock(), "{STYLE}warning:{STYLE:#} {message}");
}

/// A line for each error. Colours are for terminals, and for users who did not say `NO_COLOR`; `anstream` knows.
fn complain(message: &str, status: u8) -> ExitCode {
    const STYLE: Style = AnsiColor::Red.on_default().bold();
    for line in message.lines() {
        // Where standard error is gone there is nobody to tell; the status still tells.
        let _ = writeln!(anstream::stderr().lock(), "{STYLE}error:{STYLE:#} {line}");
    }
    ExitCode::from(status)
}
