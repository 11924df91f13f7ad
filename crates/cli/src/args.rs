//! What can be said on the command line.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;

/// Many Redis or Valkey servers behind one address
#[derive(Debug, Parser)]
#[command(name = "rendis", version, propagate_version = true, after_help = EXAMPLES)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Validate a configuration
    ///
    /// Reads the file as the proxy would, the secrets that it names included, and says what is wrong: file, line, field,
    /// what was found and what is allowed.
    #[command(after_help = CHECK_EXAMPLES)]
    Check(CheckArguments),
    /// Show which shard has which key
    ///
    /// Needs no server and no secrets. Prints each key as it was given, a tab, and the shard's name, one key a line.
    #[command(after_help = LOCATE_EXAMPLES)]
    Locate(LocateArguments),
    /// Print a completion script for a shell
    #[command(after_help = COMPLETION_EXAMPLES)]
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Print a manual page
    #[command(after_help = "Examples:\n  rendis man | man -l -\n  rendis man locate > rendis-locate.1")]
    Man {
        /// The command that the page is of; that of rendis when there is none
        command: Option<String>,
    },
}

#[derive(Debug, Args)]
pub(crate) struct CheckArguments {
    /// The configuration
    pub(crate) file: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct LocateArguments {
    /// The configuration
    #[arg(long, value_name = "FILE")]
    pub(crate) config: PathBuf,
    /// The ring, where the configuration has several
    #[arg(long, value_name = "NAME")]
    pub(crate) ring: Option<String>,
    /// Keys are hexadecimal; an empty one is the empty key
    #[arg(long)]
    pub(crate) hex: bool,
    /// Print a JSON object a line: {"key": …, "shard": …}; keys that are hexadecimal or not UTF-8 are "key_hex"
    #[arg(long)]
    pub(crate) json: bool,
    /// The keys; when there is none, standard input, one a line, any bytes
    #[arg(value_name = "KEY")]
    pub(crate) keys: Vec<OsString>,
}

const EXAMPLES: &str = "\
Examples:
  rendis check rendis.toml
  rendis locate --config rendis.toml user:1 user:2
  redis-cli --scan | rendis locate --config rendis.toml | cut -f 2 | sort | uniq -c

Exit status: 0 good, 1 failed, 2 wrong usage or configuration.";

const CHECK_EXAMPLES: &str = "\
Example:
  rendis check rendis.toml && systemctl reload rendis";

const LOCATE_EXAMPLES: &str = "\
Examples:
  rendis locate --config rendis.toml user:1 '{user:1}:cart'
  rendis locate --config rendis.toml --ring sessions --hex 00ff
  rendis locate --config rendis.toml --json < keys.txt";

const COMPLETION_EXAMPLES: &str = "\
Examples:
  rendis completions bash > ~/.local/share/bash-completion/completions/rendis
  rendis completions zsh > ~/.zfunc/_rendis
  rendis completions fish > ~/.config/fish/completions/rendis.fish";
