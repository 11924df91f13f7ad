//! Placement alone: how long it takes to place a key, and to build a placement, with every preset.

use std::hint::black_box;
use std::time::Instant;

use rendis_core::placement::{Node, NodeAddress, Placement, Spec};

use crate::groups::{Scope, Stage};
use crate::load::key;

/// How often each key is placed in a round: long enough that a pause of the machine does not decide.
const PASSES: usize = 10;

pub(super) fn run(stage: &mut Stage) -> Result<(), String> {
    const GROUP: &str = "placement";
    let keys: Vec<String> = (0..10_000).map(key).collect();
    for (shards, least) in [(3_u16, Scope::Smoke), (100, Scope::Quick), (1000, Scope::Quick)] {
        let name = format!("{shards} shards");
        if !stage.wants(GROUP, &name, least) {
            continue;
        }
        let nodes: Vec<Node> = (0..shards)
            .map(|at| Node::new(format!("shard{at}"), NodeAddress::tcp("10.0.0.1", 7000 + at)))
            .collect();
        let live = vec![true; nodes.len()];
        stage.rounds(GROUP, &name, Spec::PRESETS, |at, _| {
            let spec =
                Spec::parse(Spec::PRESETS[at], std::iter::empty()).map_err(|error| error.to_string())?;
            let begun = Instant::now();
            let placement = Placement::build(&spec, &nodes, &live).map_err(|error| error.to_string())?;
            let built = begun.elapsed().as_secs_f64();
            let begun = Instant::now();
            for key in (0..PASSES).flat_map(|_| &keys) {
                black_box(placement.locate(black_box(key.as_bytes())));
            }
            let each = begun.elapsed().as_secs_f64() / (PASSES * keys.len()) as f64;
            Ok(vec![("ns/key", each * 1e9), ("build ms", built * 1e3)])
        });
    }
    Ok(())
}
