//! The log of `rendis serve`: lines on standard error, for people or as JSON.

use std::io::{self, IsTerminal as _};

use rendis_proxy::config::LogLevel;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Registry, fmt, reload};

use crate::args::LogFormat;

/// A log whose level can be changed while it runs.
pub(crate) struct Log {
    level: reload::Handle<LevelFilter, Registry>,
}

impl Log {
    /// Starts it for the whole process.
    pub(crate) fn start(format: LogFormat, level: LogLevel) -> Self {
        let (filter, handle) = reload::Layer::new(filter(level));
        let registry = tracing_subscriber::registry().with(filter);
        let coloured =
            io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|no| no.is_empty());
        // It fails where there is a log already, which is as good.
        let _ = match format {
            LogFormat::Text => registry
                .with(fmt::layer().with_writer(io::stderr).with_ansi(coloured).with_target(false))
                .try_init(),
            LogFormat::Json => {
                registry.with(fmt::layer().json().flatten_event(true).with_writer(io::stderr)).try_init()
            }
        };
        Self { level: handle }
    }

    /// Changes how much is logged.
    pub(crate) fn set(&self, level: LogLevel) {
        // It fails where the log has ended with the process.
        let _ = self.level.reload(filter(level));
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
