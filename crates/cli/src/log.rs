//! The log of `rendis serve`: lines on standard error, for people or as JSON.
//!
//! A thread of its own writes them, so that nobody waits for who reads them. Where that is too slow for long, lines are
//! lost and counted.

use std::io::{self, IsTerminal as _, Write as _};
use std::process::ExitCode;

use rendis_proxy::config::LogLevel;
use tracing::{Event, Level, Subscriber};
use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Registry, fmt, reload};

use crate::args::LogFormat;
use crate::outcome::{self, Failure};

/// A log whose level can be changed while it runs.
pub(crate) struct Log {
    level: reload::Handle<LevelFilter, Registry>,
    lost: ErrorCounter,
    /// As many of them the log has told of.
    told: usize,
}

impl Log {
    /// Starts it for the whole process, which has to keep the guard until its end: what was logged before it is dropped
    /// is written by then, unless nobody takes it for a second; the guard says on standard output if it was not.
    pub(crate) fn start(format: LogFormat, level: LogLevel) -> (Self, WorkerGuard) {
        let (writer, guard) = NonBlockingBuilder::default()
            .buffered_lines_limit(MOST_LINES)
            .thread_name("rendis-log")
            .finish(io::stderr());
        let lost = writer.error_counter();
        let (filter, handle) = reload::Layer::new(filter(level));
        let registry = tracing_subscriber::registry().with(filter);
        let coloured =
            io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|no| no.is_empty());
        // It fails where there is a log already, which is as good.
        let _ = match format {
            LogFormat::Text if is_journal() => {
                let lines = Prioritized(fmt::format().without_time().with_target(false));
                registry
                    .with(fmt::layer().with_writer(writer).with_ansi(false).event_format(lines))
                    .try_init()
            }
            LogFormat::Text => registry
                .with(fmt::layer().with_writer(writer).with_ansi(coloured).with_target(false))
                .try_init(),
            LogFormat::Json => {
                registry.with(fmt::layer().json().flatten_event(true).with_writer(writer)).try_init()
            }
        };
        (Self { level: handle, lost, told: 0 }, guard)
    }

    /// Says in the log how many lines were lost, where that is new.
    pub(crate) fn tell_lost(&mut self) {
        let lost = self.lost.dropped_lines();
        if lost > self.told {
            tracing::warn!(
                lines = lost - self.told,
                "lines of the log were lost: they are not taken as fast as they come"
            );
            // Unless this line was lost too.
            if self.lost.dropped_lines() == lost {
                self.told = lost;
            }
        }
    }

    /// Changes how much is logged.
    pub(crate) fn set(&self, level: LogLevel) {
        // It fails where the log has ended with the process.
        let _ = self.level.reload(filter(level));
    }
}

/// Lines for the journal of systemd: it adds the time itself, and takes the level from the number at the beginning, as
/// `sd-daemon(3)` has it.
struct Prioritized<F>(F);

impl<S, N, F> FormatEvent<S, N> for Prioritized<F>
where
    S: Subscriber + for<'l> LookupSpan<'l>,
    N: for<'w> FormatFields<'w> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> std::fmt::Result {
        let priority = match *event.metadata().level() {
            Level::ERROR => 3,
            Level::WARN => 4,
            Level::INFO => 6,
            Level::DEBUG | Level::TRACE => 7,
        };
        write!(writer, "<{priority}>")?;
        self.0.format_event(context, writer, event)
    }
}

/// Whether standard error is the journal, which says in `JOURNAL_STREAM` which file that is.
fn is_journal() -> bool {
    let Ok(stream) = std::env::var("JOURNAL_STREAM") else { return false };
    rustix::fs::fstat(io::stderr()).is_ok_and(|stat| stream == format!("{}:{}", stat.st_dev, stat.st_ino))
}

/// Tells why there is nothing to serve, in the format of the log, which may not have begun or has ended. Gives the exit status.
pub(crate) fn report(failure: Failure, format: LogFormat) -> ExitCode {
    match format {
        LogFormat::Text if is_journal() => {
            let (message, status) = failure.told();
            // Where standard error is gone there is nobody to tell; the status still tells.
            message.lines().for_each(|line| drop(writeln!(io::stderr(), "<3>ERROR {line}")));
            ExitCode::from(status)
        }
        LogFormat::Text => outcome::report(Err(failure)),
        LogFormat::Json => {
            let (message, status) = failure.told();
            let lines = fmt().json().flatten_event(true).with_writer(io::stderr).finish();
            tracing::subscriber::with_default(lines, || {
                message.lines().for_each(|line| tracing::error!("{line}"));
            });
            ExitCode::from(status)
        }
    }
}

const fn filter(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Off => LevelFilter::OFF,
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    }
}

/// How many lines may wait to be written.
const MOST_LINES: usize = 8192;
