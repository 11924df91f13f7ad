//! What can be said on the command line.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{ArgGroup, Args, Parser, Subcommand, ValueEnum};
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
    /// Serve rings to Redis clients
    ///
    /// Listens for every ring of a configuration, as one Redis server each. SIGTERM and SIGINT end it when what is in
    /// flight is answered; SIGHUP reloads the configuration. Listeners are told on standard output, everything else is
    /// logged on standard error.
    #[command(after_help = SERVE_EXAMPLES)]
    Serve(ServeArguments),
    /// Validate a configuration
    ///
    /// Reads the file as the proxy would, the secrets that it names included, and says what is wrong: file, line, field,
    /// what was found and what is allowed. What is allowed and seldom meant is warned of, on standard error. With --connect
    /// it also connects to every shard, logs in, probes it as its ring says, and prints a line about each.
    #[command(after_help = CHECK_EXAMPLES)]
    Check(CheckArguments),
    /// Show which shard has which key
    ///
    /// Needs no server and no secrets. Prints each key as it was given, a tab, and the shard's name, one key a line. With
    /// --only it prints the keys of one shard, without its name.
    #[command(after_help = LOCATE_EXAMPLES)]
    Locate(LocateArguments),
    /// Show a ring at work: local servers, one of them killed under load
    ///
    /// Starts servers of its own (redis-server or valkey-server from PATH) on free ports of this machine, shows how keys
    /// spread over them, kills one while callers use it, shows what moved and what callers saw, and brings it back.
    /// Takes about 13 seconds, ends by itself, and leaves nothing behind.
    #[command(after_help = DEMO_EXAMPLES)]
    Demo(DemoArguments),
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
#[command(group(ArgGroup::new("source").args(["config", "local"]).required(true)))]
pub(crate) struct ServeArguments {
    /// The configuration
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Start N servers on this machine and serve a ring of them, without a configuration
    ///
    /// The servers (redis-server or valkey-server from PATH) keep nothing on disk, and end with this program.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(crate) local: Option<u16>,
    /// Where to listen, with --local [default: 127.0.0.1:6380, or a free port where that is taken]
    #[arg(long, value_name = "ADDRESS", conflicts_with = "config")]
    pub(crate) listen: Option<String>,
    /// How log lines look
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = LogFormat::Text)]
    pub(crate) log_format: LogFormat,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people
    Text,
    /// A JSON object a line
    Json,
}

#[derive(Debug, Args)]
#[command(group(ArgGroup::new("configuration").args(["file", "config"]).required(true)))]
pub(crate) struct CheckArguments {
    /// The configuration; - is standard input
    pub(crate) file: Option<PathBuf>,
    /// The same, in the words of serve and locate
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Connect to every shard; exit status 1 when one cannot be used
    #[arg(long)]
    pub(crate) connect: bool,
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
    /// Print only the keys of this shard, and nothing but the keys (with --json, the same objects)
    #[arg(long, value_name = "SHARD")]
    pub(crate) only: Option<String>,
    /// Keys on standard input end with NUL instead of a line end, and so do the lines that are printed, as for xargs -0
    #[arg(short = '0', long)]
    pub(crate) null: bool,
    /// The keys; when there is none, standard input, one a line, any bytes
    #[arg(value_name = "KEY")]
    pub(crate) keys: Vec<OsString>,
}

#[derive(Debug, Args)]
pub(crate) struct DemoArguments {
    /// How many servers
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u16).range(2..=16))]
    pub(crate) shards: u16,
    /// About how long the load runs [default: 10, with --fast 2]
    #[arg(long, value_name = "S", value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub(crate) seconds: Option<u64>,
    /// How many callers use the ring at the same time
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub(crate) tasks: u16,
    /// Be done in a few seconds: less load, and shards are probed every 100 ms instead of every 500 ms
    #[arg(long)]
    pub(crate) fast: bool,
}

const EXAMPLES: &str = "\
Examples:
  rendis demo
  rendis serve --local 3
  rendis serve --config rendis.toml
  rendis check rendis.toml
  rendis locate --config rendis.toml user:1 user:2
  redis-cli --scan | rendis locate --config rendis.toml | cut -f 2 | sort | uniq -c

Exit status: 0 good, 1 failed, 2 wrong usage or configuration.";

const SERVE_EXAMPLES: &str = "\
Examples:
  rendis serve --local 3
  rendis serve --config /etc/rendis.toml --log-format json

Exit status: 0 after SIGTERM or SIGINT, 1 failed, 2 wrong usage or configuration.
143 or 130 when a second signal did not wait for what was in flight.";

const CHECK_EXAMPLES: &str = "\
Examples:
  rendis check rendis.toml && systemctl reload rendis
  rendis check --connect --config rendis.toml
  sed 's/7001/7004/' rendis.toml | rendis check -";

const LOCATE_EXAMPLES: &str = "\
Examples:
  rendis locate --config rendis.toml user:1 '{user:1}:cart'
  rendis locate --config rendis.toml --ring sessions --hex 00ff
  rendis locate --config rendis.toml --json < keys.txt
  rendis locate --config rendis.toml --only shard4 -0 < keys | xargs -r -0 redis-cli -p 7001 UNLINK";

const DEMO_EXAMPLES: &str = "\
Examples:
  rendis demo
  rendis demo --fast
  rendis demo --shards 5 --seconds 30

Exit status: 0 good, 1 failed, 2 wrong usage; 130 after Ctrl-C (SIGINT), 143 after SIGTERM, 129 after SIGHUP.";

const COMPLETION_EXAMPLES: &str = "\
Examples:
  rendis completions bash > ~/.local/share/bash-completion/completions/rendis
  rendis completions zsh > ~/.zfunc/_rendis
  rendis completions fish > ~/.config/fish/completions/rendis.fish";
