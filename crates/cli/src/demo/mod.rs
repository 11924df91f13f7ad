//! `rendis demo`: local servers, keys spread over them, one of them killed under load and brought back.
//!
//! Whatever ends it (the end of the story, an error, a panic, Ctrl-C, a terminal that goes away), the servers and
//! their files go with the values that hold them.

mod words;
mod load;
mod screen;
mod stage;
mod story;

use std::io::{self, Write as _};
use std::process::ExitCode;

use tokio::signal::unix::{SignalKind, signal};

use crate::args::DemoArguments;
use crate::outcome::{self, Failure};

/// Runs the demonstration. The exit status is 128 and the signal's number when a signal ended it, as shells have it.
pub(crate) fn run(arguments: &DemoArguments) -> ExitCode {
    match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(until_signal(arguments)),
        Err(error) => outcome::report(Err(Failure::Failed(format!("no runtime: {error}")))),
    }
}

async fn until_signal(arguments: &DemoArguments) -> ExitCode {
    let listen = || -> io::Result<_> {
        let (interrupt, terminate) = (SignalKind::interrupt(), SignalKind::terminate());
        Ok((signal(interrupt)?, signal(terminate)?, signal(SignalKind::hangup())?))
    };
    let (mut interrupt, mut terminate, mut hangup) = match listen() {
        Ok(signals) => signals,
        Err(error) => {
            return outcome::report(Err(Failure::Failed(format!("no signals can be received: {error}"))));
        }
    };
    let (name, number) = tokio::select! {
        told = story::tell(arguments) => return outcome::report(told),
        _ = interrupt.recv() => ("SIGINT", 2),
        _ = terminate.recv() => ("SIGTERM", 15),
        _ = hangup.recv() => ("SIGHUP", 1),
    };
    // The story is dropped, and with it the servers.
    let _ = writeln!(io::stderr().lock(), "\nended by {name}: the servers are stopped, their files removed");
    ExitCode::from(128 + number)
}
