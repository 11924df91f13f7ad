//! `rendis completions` and `rendis man`

use std::io::{self, Write as _};

use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::args::Arguments;
use crate::outcome::Failure;

/// Prints the completion script.
pub(crate) fn completions(shell: Shell) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "rendis", &mut script);
    print(&script)
}

/// Prints the manual page of rendis, or of one of its commands.
pub(crate) fn man(name: Option<&str>) -> Result<(), Failure> {
    let mut root = Arguments::command();
    root.build();
    let command = match name {
        None => root,
        Some(name) => root.find_subcommand(name).cloned().ok_or_else(|| {
            let names: Vec<_> = root.get_subcommands().map(clap::Command::get_name).collect();
            Failure::Usage(format!("there is no command {name:?}; allowed: {}", names.join(", ")))
        })?,
    };
    let mut page = Vec::new();
    let rendered = clap_mangen::Man::new(command).render(&mut page);
    rendered.map_err(|error| Failure::Failed(format!("the manual page cannot be made: {error}")))?;
    print(&page)
}

fn print(bytes: &[u8]) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    out.write_all(bytes).and_then(|()| out.flush()).map_err(|error| Failure::output(&error))
}
