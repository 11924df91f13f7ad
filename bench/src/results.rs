//! Figures of a run: what was measured, one figure a round, and on what machine.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::figures::Figures;

/// All of a run. A file in JSON, written after every cell, so that a run which ends early leaves what it has.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Results {
    /// The machine.
    pub machine: String,
    /// Programs and libraries with their versions.
    pub versions: Vec<String>,
    /// Peers that are not there, and why; cells that failed.
    pub missing: Vec<String>,
    /// How it was called, and how long it took.
    pub run: String,
    /// Rounds of each cell.
    pub rounds: usize,
    /// What `before` is: a commit, its date and its subject. Empty where there is none.
    #[serde(default)]
    pub before: String,
    /// The cells.
    pub cells: Vec<Cell>,
    /// Where systems spent their time.
    #[serde(default)]
    pub profiles: Vec<Profile>,
}

/// Where one system spent its time under one load.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Profile {
    /// A short name, as files have it.
    pub name: String,
    /// Whether a library or a proxy, as tables have it.
    pub group: String,
    /// The system and the load.
    pub title: String,
    /// What the samples are of: `cycles`, or `cpu-clock`.
    pub event: String,
    /// How many there are.
    pub samples: u64,
    /// Room → its share in percent.
    pub rooms: BTreeMap<String, f64>,
    /// The samples: a line a stack, with semicolons between its frames, and how many.
    pub stacks: String,
}

/// One load, given to several systems in rounds.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Cell {
    /// Cells of one group are one table.
    pub group: String,
    /// What distinguishes it within its group.
    pub name: String,
    /// System → metric → one figure a round.
    pub systems: BTreeMap<String, BTreeMap<String, Vec<f64>>>,
}

impl Cell {
    /// An empty one.
    #[must_use]
    pub fn new(group: &str, name: &str) -> Self {
        Self { group: group.to_owned(), name: name.to_owned(), systems: BTreeMap::new() }
    }

    /// Adds a figure of a round.
    pub fn add(&mut self, system: &str, metric: &str, figure: f64) {
        let metrics = self.systems.entry(system.to_owned()).or_default();
        metrics.entry(metric.to_owned()).or_default().push(figure);
    }

    /// The figures of a metric, by round; none where it was not measured.
    #[must_use]
    pub fn get(&self, system: &str, metric: &str) -> &[f64] {
        self.systems.get(system).and_then(|metrics| metrics.get(metric)).map_or(&[], Vec::as_slice)
    }

    /// The same, in order of size.
    #[must_use]
    pub fn figures(&self, system: &str, metric: &str) -> Figures {
        Figures::of(self.get(system, metric).iter().copied())
    }

    /// One system's metric through another's, round by round.
    #[must_use]
    pub fn ratio(&self, one: &str, other: &str, metric: &str) -> Figures {
        Figures::ratio(self.get(one, metric), self.get(other, metric))
    }
}

impl Results {
    /// A cell by its group and name.
    #[must_use]
    pub fn cell(&self, group: &str, name: &str) -> Option<&Cell> {
        self.cells.iter().find(|cell| cell.group == group && cell.name == name)
    }

    /// Puts a cell in, in the place of one of the same name.
    pub fn put(&mut self, cell: Cell) {
        match self.cells.iter_mut().find(|old| old.group == cell.group && old.name == cell.name) {
            Some(old) => *old = cell,
            None => self.cells.push(cell),
        }
    }

    /// Puts a profile in, in the place of one of the same name.
    pub fn put_profile(&mut self, profile: Profile) {
        self.profiles.retain(|old| old.name != profile.name);
        self.profiles.push(profile);
    }

    /// Reads a file.
    ///
    /// # Errors
    /// When there is none, or it is something else.
    pub fn read(path: &Path) -> Result<Self, String> {
        let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
        serde_json::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))
    }

    /// Writes a file, whole or not at all.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), String> {
        let text = serde_json::to_string_pretty(self).map_err(|error| error.to_string())?;
        let new = path.with_extension("new");
        std::fs::write(&new, text)
            .and_then(|()| std::fs::rename(&new, path))
            .map_err(|error| format!("{}: {error}", path.display()))
    }
}
