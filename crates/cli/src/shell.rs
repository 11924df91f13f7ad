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
    let version = command.get_version().unwrap_or_default();
    let source = format!("rendis {version}");
    let usage = synopsis(&command);
    let mut page = Vec::new();
    let rendered = clap_mangen::Man::new(command.override_usage(usage)).source(source).render(&mut page);
    rendered.map_err(|error| Failure::Failed(format!("the manual page cannot be made: {error}")))?;
    // What follows the help has no name there.
    let page = String::from_utf8_lossy(&page)
        .replacen(".SH EXTRA\nExamples:\n", ".SH EXAMPLES\n", 1)
        .replacen("\nExit status: ", "\n.SH EXIT STATUS\n", 1);
    print(page.as_bytes())
}

/// The usage with every option in it, and what it takes.
fn synopsis(command: &clap::Command) -> String {
    let usage = command.clone().render_usage().to_string();
    let usage = usage.trim_start_matches("Usage: ");
    let options = command.get_arguments().filter(|one| !one.is_positional()).map(ToString::to_string);
    let rest: Vec<_> = options.filter(|one| !usage.contains(one)).map(|one| format!("[{one}]")).collect();
    usage.replace("[OPTIONS]", &rest.join(" "))
}

fn print(bytes: &[u8]) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    out.write_all(bytes).and_then(|()| out.flush()).map_err(|error| Failure::output(&error))
}
