//! The systems, in the order of tables and plots.

use crate::results::Cell;
use crate::system::BEFORE;

/// Systems in the order of tables.
pub(super) const SYSTEMS: [&str; 16] = [
    "rendis",
    "rendis, 2 threads",
    "rendis-boxed",
    "rendis-frames",
    "redis-rs",
    "redis-rs-manager",
    "fred",
    "rustis",
    "go-redis",
    "raw",
    "twemproxy",
    "twemproxy, quiet",
    "Envoy",
    "redis-server",
    "floor",
    "undisturbed",
];

/// The systems of cells, in the order of tables. What an earlier revision did has a table of its own.
pub(super) fn systems<'a>(cells: &[&'a Cell]) -> Vec<&'a str> {
    let mut systems: Vec<&str> = Vec::new();
    for system in cells.iter().flat_map(|cell| cell.systems.keys()) {
        if system != BEFORE && !systems.contains(&system.as_str()) {
            systems.push(system);
        }
    }
    let place = |system: &&str| SYSTEMS.iter().position(|known| known == system).unwrap_or(SYSTEMS.len());
    systems.sort_by_key(place);
    systems
}
