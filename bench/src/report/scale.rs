//! What many clients over many shards cost: computed from what one shard more costs, which was measured.

use std::fmt::Write as _;

use crate::figures::{Table, short};
use crate::results::{Cell, Results};

/// Appends the table, where one shard was measured.
pub(super) fn write(text: &mut String, results: &Results) {
    let Some(cell) = results.cell("scale", "one shard more") else { return };
    let _ = write!(
        text,
        "\n## Scale\n\nMeasured, with nothing to do: what one shard more costs a process, from the difference between 10 and 100 \
         shards. Probes are the heartbeats, by default one each 500 ms.\n\n"
    );
    let metrics = ["connections", "probes/s", "client KiB", "server KiB a connection"];
    let mut measured = Table::new(["a shard more"].into_iter().chain(metrics));
    for system in cell.systems.keys() {
        let figures = metrics.iter().map(|metric| cell.figures(system, metric).text());
        measured.row([system.clone()].into_iter().chain(figures));
    }
    let _ = write!(
        text,
        "{measured}\nComputed from that, not measured: all clients hold connections to all shards and probe each of them, so \
         connections, probes and memory grow as clients × shards. The proxy's column is for so many proxy threads; its own \
         clients come on top.\n\n{}",
        computed(cell)
    );
}

/// Clients × shards.
fn computed(cell: &Cell) -> Table {
    let mut table = Table::new([
        "clients × shards",
        "",
        "connections",
        "of them at one shard",
        "probes/s",
        "probes/s at one shard",
        "MiB of a client",
        "MiB of a shard",
    ]);
    for (clients, shards) in [(1, 1000), (10, 100), (100, 100), (100, 1000), (1000, 100), (1000, 1000)] {
        for system in cell.systems.keys() {
            let cost = |metric| cell.figures(system, metric).median();
            let (clients, shards) = (f64::from(clients), f64::from(shards));
            let (connections, probes) = (cost("connections"), cost("probes/s"));
            table.row([
                format!("{clients} × {shards}"),
                system.clone(),
                short(connections * clients * shards),
                short(connections * clients),
                short(probes * clients * shards),
                short(probes * clients),
                short(cost("client KiB") * shards / 1024.0),
                short(cost("server KiB a connection") * connections * clients / 1024.0),
            ]);
        }
    }
    table
}
