//! What is measured: groups of cells. Each group is a function that starts its systems, runs its cells in rounds, and
//! puts the figures into the results.

mod stage;
mod library;
mod proxy;
mod open;
mod costs;
mod handles;
mod placement;
mod topology;
mod scale;
mod profile;

pub use stage::{Scope, Stage};

/// What runs a group.
pub type Group = fn(&mut Stage) -> Result<(), String>;

/// The groups, in the order in which they run.
pub const GROUPS: [(&str, Group); 9] = [
    ("library", library::run),
    ("proxy", proxy::run),
    ("open loop", open::run),
    ("costs", costs::run),
    ("handles", handles::run),
    ("placement", placement::run),
    ("topology", topology::run),
    ("scale", scale::run),
    ("profile", profile::run),
];
