//! The command line of rendis. The modules below are listed bottom-up, and a module names only modules listed
//! before it.
//!
//! Exit status: 0 good, 1 failed, 2 wrong usage or configuration.

mod outcome;
mod args;
mod log;
mod check;
mod locate;
mod local;
mod demo;
mod files;
mod serve;
mod shell;

use std::process::ExitCode;

use clap::Parser as _;

use crate::args::{Arguments, Command};

fn main() -> ExitCode {
    // Wrong usage ends inside `parse`, with status 2 and what is allowed.
    let arguments = Arguments::parse();
    let done = match &arguments.command {
        Command::Check(arguments) => check::run(arguments),
        Command::Locate(arguments) => locate::run(arguments),
        Command::Serve(arguments) => return serve::run(arguments),
        Command::Demo(arguments) => return demo::run(arguments),
        Command::Completions { shell } => shell::completions(*shell),
        Command::Man { command } => shell::man(command.as_deref()),
    };
    outcome::report(done)
}
