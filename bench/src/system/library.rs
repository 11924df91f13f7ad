//! A library in its driver.

use std::path::Path;
use std::time::Duration;

use crate::load::{Load, Outcome};
use crate::process::Dialogue;
use crate::system::BEFORE;

/// The library peers, in the order of tables: what is ours first.
#[must_use]
pub fn peers(go: bool) -> Vec<&'static str> {
    let mut systems =
        vec!["rendis", "rendis-boxed", "rendis-frames", "redis-rs", "redis-rs-manager", "fred", "rustis"];
    if go {
        systems.push("go-redis");
    }
    systems.push("raw");
    systems
}

/// A driver process.
#[derive(Debug)]
pub struct Driver {
    dialogue: Dialogue,
    system: String,
    start: (String, Vec<String>),
}

impl Driver {
    /// Starts the driver of a library over these shards. `directory` has the programs, [`BEFORE`]'s those of its revision;
    /// with `count` it is the one whose allocator counts.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn start(
        system: &str,
        directory: &Path,
        threads: usize,
        shards: &[String],
        count: bool,
    ) -> Result<Self, String> {
        let program = match (system, count) {
            ("go-redis", _) => "go-redis-driver",
            (_, true) => "allocations",
            (_, false) => "rendis-bench",
        };
        let mut arguments = Vec::new();
        if system != "go-redis" {
            if !count {
                arguments.push("drive".to_owned());
            }
            let library = if system == BEFORE { "rendis" } else { system };
            arguments.extend(["--system".to_owned(), library.to_owned()]);
        }
        arguments.extend(["--threads".to_owned(), threads.to_string()]);
        arguments.extend(["--shards".to_owned(), shards.join(",")]);
        let start = (directory.join(program).display().to_string(), arguments);
        Ok(Self { dialogue: Dialogue::start(&start.0, &start.1)?, system: system.to_owned(), start })
    }

    /// Runs a load. A driver that fails is started again, and the failure is told.
    ///
    /// # Errors
    /// What went wrong.
    pub fn run(&mut self, load: &Load) -> Result<Outcome, String> {
        let limit = Duration::from_secs_f64(load.seconds + 40.0);
        let question = serde_json::to_string(load).map_err(|error| error.to_string())?;
        let answer = self.dialogue.ask(&question, limit).and_then(|line| {
            let outcome: Outcome = serde_json::from_str(&line).map_err(|error| format!("{line}: {error}"))?;
            outcome.error.clone().map_or(Ok(outcome), Err)
        });
        answer.inspect_err(|_| drop(self.restart()))
    }

    /// Starts another process in place of this one.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn restart(&mut self) -> Result<(), String> {
        self.dialogue = Dialogue::start(&self.start.0, &self.start.1)?;
        Ok(())
    }

    /// Which library it is.
    #[must_use]
    pub fn system(&self) -> &str {
        &self.system
    }

    /// Its process.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.dialogue.id()
    }
}
