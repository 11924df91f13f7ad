//! What the groups share: how much is asked for, and where figures go.

use std::path::{Path, PathBuf};
use std::time::Instant;

use rendis_testkit::Cluster;

use crate::results::{Cell, Results};
use crate::system::{BEFORE, Driver, Kind, Server, Toolbox};

/// How much of it is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// Whether it works at all: a cell of each group, one short round.
    Smoke,
    /// What matters most.
    Quick,
    /// Everything.
    Full,
}

/// For how long a new process runs before it is measured, as a part of that time.
pub(super) const WARM: f64 = 0.1;

/// A run.
#[derive(Debug)]
pub struct Stage {
    /// How much.
    pub scope: Scope,
    /// Seconds of each system in each round.
    pub seconds: f64,
    /// Rounds that count. One more, the first, warms up.
    pub rounds: usize,
    /// Only groups, or cells, whose names contain one of these; all when there is none.
    pub only: Vec<String>,
    /// Where the programs are.
    pub tools: Toolbox,
    /// What was measured.
    pub results: Results,
    /// Where that is written.
    pub file: PathBuf,
}

impl Stage {
    /// Whether a cell is asked for, whose least scope this is.
    #[must_use]
    pub fn wants(&self, group: &str, name: &str, least: Scope) -> bool {
        let chosen =
            |word: &String| group.contains(word.as_str()) || format!("{group}: {name}").contains(word);
        if self.only.is_empty() { least <= self.scope } else { self.only.iter().any(chosen) }
    }

    /// Where the programs are that were built for this.
    #[must_use]
    pub fn programs(&self) -> &Path {
        &self.tools.programs
    }

    /// The earlier revision that is to be beside, if there is one.
    #[must_use]
    pub fn before(&self) -> Vec<&'static str> {
        self.tools.before.iter().map(|_| BEFORE).collect()
    }

    /// Starts the driver of a library; with `count` the one whose allocator counts.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn driver(
        &self,
        system: &str,
        threads: usize,
        shards: &[String],
        count: bool,
    ) -> Result<Driver, String> {
        let directory = match &self.tools.before {
            Some(directory) if system == BEFORE => directory,
            _ => self.programs(),
        };
        Driver::start(system, directory, threads, shards, count)
    }

    /// Whether the driver of go-redis was built.
    #[must_use]
    pub fn go(&self) -> bool {
        self.programs().join("go-redis-driver").exists()
    }

    /// Starts those servers under test, of these, that there are here.
    pub fn servers(&mut self, kinds: &[Kind], shards: &Cluster) -> Vec<Server> {
        let addresses: Vec<_> = shards.iter().map(rendis_testkit::RedisServer::address).collect();
        let mut servers = Vec::new();
        for kind in self.tools.able(kinds) {
            match Server::start(kind, &self.tools, &addresses) {
                Ok(server) => servers.push(server),
                Err(error) => self.note(format!("{} does not start: {error}", kind.name())),
            }
        }
        servers
    }

    /// Starts shards with a limit of memory each, so that a hundred fit on a machine.
    #[must_use]
    pub fn shards(&self, count: usize) -> Cluster {
        let limit = if count > 10 { "64mb" } else { "512mb" };
        Cluster::start_with(count, |_, shard| {
            shard
                .setting("maxmemory", limit)
                .setting("maxmemory-policy", "allkeys-lru")
                .setting("io-threads", "1")
        })
    }

    /// Runs a cell: `measure` gets the system's place and the seconds, and adds figures to the cell. In each round every
    /// system takes its turn; the first round warms up and does not count. A system that fails is named and left out
    /// of the cell's other rounds.
    pub fn rounds(
        &mut self,
        group: &str,
        name: &str,
        systems: &[&str],
        mut measure: impl FnMut(usize, f64) -> Result<Vec<(&'static str, f64)>, String>,
    ) {
        let (begun, mut cell) = (Instant::now(), Cell::new(group, name));
        let mut failed = vec![false; systems.len()];
        for round in 0..=self.rounds {
            let seconds = if round == 0 { self.seconds.min(0.2) } else { self.seconds };
            for (at, system) in systems.iter().enumerate().filter(|(at, _)| !failed[*at]).collect::<Vec<_>>()
            {
                match measure(at, seconds) {
                    Ok(figures) if round > 0 => {
                        figures.into_iter().for_each(|(metric, figure)| cell.add(system, metric, figure));
                    }
                    Ok(_) => {}
                    Err(error) => {
                        failed[at] = true;
                        self.note(format!("{group}, {name}: {system} failed: {}", first_line(&error)));
                    }
                }
            }
        }
        self.put(cell, begun);
    }

    /// Puts a cell into the results and onto the screen.
    pub fn put(&mut self, cell: Cell, begun: Instant) {
        println!("{}: {} ({:.1} s)", cell.group, cell.name, begun.elapsed().as_secs_f64());
        for (system, metrics) in &cell.systems {
            let texts =
                metrics.keys().map(|metric| format!("{metric} {}", cell.figures(system, metric).text()));
            println!("    {system:18} {}", texts.collect::<Vec<_>>().join("   "));
        }
        self.results.put(cell);
        if let Err(error) = self.results.write(&self.file) {
            eprintln!("{error}");
        }
    }

    /// Something that the report has to say about what is not there.
    pub fn note(&mut self, text: String) {
        println!("    ! {text}");
        if !self.results.missing.contains(&text) {
            self.results.missing.push(text);
        }
    }
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}
