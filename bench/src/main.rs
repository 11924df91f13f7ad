//! rendis beside what one would use instead; `scripts/bench.sh` builds and runs it.

use std::path::PathBuf;
use std::time::Instant;

use clap::{Parser, Subcommand};
use rendis_bench::groups::{GROUPS, Scope, Stage};
use rendis_bench::results::Results;
use rendis_bench::system::{Toolbox, echo};
use rendis_bench::{drive, machine, report};

/// Benchmarks of rendis beside its peers.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Measures, and writes the figures into a file.
    Run(Run),
    /// Makes the report of a run's figures: prints it, or writes it into a repository.
    Report {
        /// The figures.
        #[arg(long)]
        file: PathBuf,
        /// The repository; without, the report is printed.
        #[arg(long)]
        into: Option<PathBuf>,
        /// Where flame graphs are drawn when the report is printed.
        #[arg(long)]
        flames: Option<PathBuf>,
    },
    /// A library as a system under test: loads on standard input, outcomes on standard output.
    Drive(drive::Arguments),
    /// The floor as a system under test: a server that only answers.
    Echo {
        /// Where it listens, on 127.0.0.1.
        port: u16,
        /// Bytes of the value of each `GET`.
        value: usize,
    },
}

#[derive(clap::Args)]
struct Run {
    /// What matters most, in a few minutes.
    #[arg(long, conflicts_with = "smoke")]
    quick: bool,
    /// Whether it works at all.
    #[arg(long)]
    smoke: bool,
    /// Seconds of each system in each round.
    #[arg(long)]
    seconds: Option<f64>,
    /// Rounds that count.
    #[arg(long)]
    rounds: Option<usize>,
    /// The file for the figures. What it holds already stays, where it is not measured again.
    #[arg(long)]
    file: PathBuf,
    /// The program `envoy`.
    #[arg(long)]
    envoy: Option<PathBuf>,
    /// The programs of an earlier revision: one system more, `before`, beside all that it can do.
    #[arg(long, requires = "revision")]
    before: Option<PathBuf>,
    /// Which revision that is.
    #[arg(long, default_value = "")]
    revision: String,
    /// What is not there, and why.
    #[arg(long)]
    missing: Vec<String>,
    /// Only groups or cells whose names (`group: cell`) contain one of these.
    only: Vec<String>,
}

fn main() -> Result<(), String> {
    match Arguments::parse().command {
        Command::Run(arguments) => run(arguments),
        Command::Drive(arguments) => drive::serve(&arguments, |run| {
            run();
            None
        }),
        Command::Report { file, into: Some(repository), .. } => {
            report::write(&Results::read(&file)?, &repository)
        }
        Command::Report { file, into: None, flames } => {
            let results = Results::read(&file)?;
            println!("{}", report::text(&results, None));
            flames.map_or(Ok(()), |directory| report::flames(&results, &directory))
        }
        Command::Echo { port, value } => echo::serve(port, value),
    }
}

fn run(arguments: Run) -> Result<(), String> {
    let (begun, busy) = (Instant::now(), machine::busy());
    if busy > 0.5 {
        println!("bench: this machine is busy (load average {busy}); the figures will spread");
    }
    let (scope, name, seconds, rounds) = match (arguments.smoke, arguments.quick) {
        (true, _) => (Scope::Smoke, "--smoke", 0.1, 1),
        (_, true) => (Scope::Quick, "--quick", 0.4, 3),
        _ => (Scope::Full, "whole", 0.5, 5),
    };
    let programs = std::env::current_exe().map_err(|error| error.to_string())?;
    let results = match arguments.only.is_empty() {
        true => Results::default(),
        false => Results::read(&arguments.file).unwrap_or_default(),
    };
    let mut stage = Stage {
        scope,
        seconds: arguments.seconds.unwrap_or(seconds),
        rounds: arguments.rounds.unwrap_or(rounds).max(1),
        only: arguments.only,
        tools: Toolbox {
            programs: programs.parent().unwrap_or(&programs).to_owned(),
            envoy: arguments.envoy,
            before: arguments.before,
        },
        results,
        file: arguments.file,
    };
    stage.results.machine = rendis_testkit::machine::description();
    stage.results.versions = machine::versions(&stage.tools.programs, stage.tools.envoy.as_deref());
    stage.results.before = arguments.revision;
    stage.results.rounds = stage.rounds;
    stage.results.missing = arguments.missing;
    for (group, run) in GROUPS {
        if let Err(error) = run(&mut stage) {
            stage.note(format!("{group}: {error}"));
        }
    }
    let minutes = begun.elapsed().as_secs_f64() / 60.0;
    stage.results.run = format!(
        "{name} run of {minutes:.0} min, {} rounds of {} s for each system and cell; load average {busy} before it",
        stage.rounds, stage.seconds
    );
    stage.results.write(&stage.file)
}
