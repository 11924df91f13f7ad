//! How long it takes to place a key, and to build a placement: every preset over 3, 100 and 1 000 shards.
//!
//! `cargo bench -p rendis-core --bench placement`. One sample of `locate` places 1 000 keys of 6 to 13 bytes,
//! so its microseconds are nanoseconds per key. The goal: at most 2 µs per key over 1 000 shards, 50 ns over
//! 3.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot be set up has to stop")]

use std::fmt;

use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use rendis_core::placement::{Node, NodeAddress, OptionValue, Placement, Spec};

fn main() {
    divan::main();
}

/// A preset with options, over so many shards.
#[derive(Clone, Copy)]
struct Case {
    like: &'static str,
    option: Option<(&'static str, &'static str)>,
    weights: Weights,
    shards: u16,
}

#[derive(Clone, Copy)]
enum Weights {
    None,
    Five,
    AllDifferent,
}

impl Case {
    fn spec(self) -> Spec {
        let option = self.option.map(|(name, value)| {
            let value = if value == "true" { OptionValue::Bool(true) } else { value.into() };
            (name.to_owned(), value)
        });
        Spec::parse(self.like, option).unwrap()
    }

    fn nodes(self) -> Vec<Node> {
        (0..self.shards)
            .map(|at| {
                let node = Node::new(format!("shard{at}"), NodeAddress::tcp("10.0.0.1", 7000 + at));
                match self.weights {
                    Weights::None => node,
                    Weights::Five => node.with_weight(u32::from(at % 5) + 1),
                    Weights::AllDifferent => node.with_weight(u32::from(at) + 1),
                }
            })
            .collect()
    }
}

impl fmt::Display for Case {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}", self.like)?;
        if let Some((name, value)) = self.option {
            write!(out, " {name}={value}")?;
        }
        match self.weights {
            Weights::None => {}
            Weights::Five => write!(out, " 5 weights")?,
            Weights::AllDifferent => write!(out, " all weights differ")?,
        }
        write!(out, " / {:4}", self.shards)
    }
}

fn cases() -> Vec<Case> {
    let plain = Spec::PRESETS.iter().map(|like| (*like, None, Weights::None));
    let more = [
        ("go-redis", None, Weights::Five),
        ("go-redis", None, Weights::AllDifferent),
        ("roshi", Some(("hash", "fnv1a")), Weights::None),
        ("twemproxy", Some(("distribution", "modula")), Weights::Five),
        ("twemproxy", Some(("hash", "md5")), Weights::None),
        ("phpredis", Some(("consistent", "true")), Weights::None),
        ("jedis", Some(("hash", "md5")), Weights::None),
        ("jedis", Some(("hash_tag", "true")), Weights::None),
    ];
    let all = plain.chain(more);
    all.flat_map(|(like, option, weights)| {
        [3, 100, 1000].map(|shards| Case { like, option, weights, shards })
    })
    .collect()
}

#[divan::bench(args = cases(), sample_size = 10)]
fn locate(bencher: Bencher<'_, '_>, case: Case) {
    let nodes = case.nodes();
    let placement = Placement::build(&case.spec(), &nodes, &vec![true; nodes.len()]).unwrap();
    let keys: Vec<_> = (0..16_000_u64).map(|key| format!("user:{}", key * key * 37)).collect();
    let mut runs = keys.chunks(1000).cycle();
    bencher.counter(ItemsCount::new(1000_usize)).bench_local(|| {
        for key in runs.next().unwrap_or_default() {
            black_box(placement.locate(black_box(key.as_bytes())));
        }
    });
}

#[divan::bench(args = cases(), sample_count = 10)]
fn build(bencher: Bencher<'_, '_>, case: Case) {
    let (spec, nodes) = (case.spec(), case.nodes());
    let live = vec![true; nodes.len()];
    bencher.bench_local(|| Placement::build(black_box(&spec), black_box(&nodes), &live));
}
