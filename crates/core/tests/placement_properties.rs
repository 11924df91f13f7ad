//! What every placement promises, whatever the preset: who moves when a shard comes or goes, and how much
//! each gets.

#![expect(clippy::unwrap_used, reason = "a test fails whatever way")]

use std::sync::Arc;

use proptest::prelude::*;
use rendis_core::id::ShardId;
use rendis_core::placement::{
    Jedis, JedisHash, LiveShard, Node, NodeAddress, OptionValue, Place, Placement, PlacementError, RoshiHash,
    Spec,
};

fn option(name: &str, value: impl Into<OptionValue>) -> (String, OptionValue) {
    (name.to_owned(), value.into())
}

fn node(at: usize) -> Node {
    Node::new(format!("shard{at}"), NodeAddress::tcp("10.0.0.1", 7000 + u16::try_from(at).unwrap()))
}

fn nodes(count: usize) -> Vec<Node> {
    (0..count).map(node).collect()
}

fn keys(count: usize) -> impl Iterator<Item = Vec<u8>> {
    (0..count).map(|key| format!("key:{key}").into_bytes())
}

/// Every preset with its defaults, and the options that change how shards share the keys.
fn specs() -> Vec<Spec> {
    let mut specs: Vec<_> = Spec::PRESETS.iter().map(|like| Spec::parse(like, []).unwrap()).collect();
    specs.push(Spec::parse("twemproxy", [option("distribution", "modula")]).unwrap());
    specs.push(Spec::parse("phpredis", [option("consistent", true)]).unwrap());
    specs.push(Spec::jedis(Jedis { hash: JedisHash::Md5, hash_tag: true }));
    specs.push(Spec::roshi(RoshiHash::Fnv1a));
    specs
}

#[test]
fn placements_and_specifications_go_between_threads() {
    fn check<T: Send + Sync + 'static>() {}
    check::<Placement>();
    check::<Spec>();
}

#[test]
fn only_live_shards_get_keys_and_without_them_nobody() {
    for spec in specs() {
        let nodes = nodes(7);
        for live in
            [[true, false, true, true, false, true, false], [false, false, false, true, false, false, false]]
        {
            let placement = Placement::build(&spec, &nodes, &live).unwrap();
            for key in keys(500).chain([Vec::new(), vec![0xff; 4]]) {
                let shard = placement.locate(&key).unwrap();
                assert!(live[shard.index()], "{spec:?}");
            }
        }
        let none = Placement::build(&spec, &nodes, &[false; 7]).unwrap();
        assert!(keys(50).all(|key| none.locate(&key).is_none()), "{spec:?}");
    }
}

#[test]
fn a_placement_that_moves_least_does_so_whichever_shards_are_away() {
    let nodes = nodes(6);
    let least: Vec<Spec> = specs().into_iter().filter(Spec::moves_least).collect();
    assert!(least.len() >= 5, "{least:?}");
    for spec in least {
        let at = |away: u32| {
            let live: Vec<bool> = (0..6).map(|shard| away & (1 << shard) == 0).collect();
            Placement::build(&spec, &nodes, &live).unwrap()
        };
        let placements: Vec<Placement> = (0..63).map(at).collect();
        for key in keys(200) {
            for (away, placement) in (0_u32..).zip(&placements) {
                let owner = placement.locate(&key).unwrap();
                for more in (0..6).filter(|shard| away & (1 << shard) == 0 && *shard != owner.index()) {
                    let Some(after) = placements.get(usize::try_from(away | (1 << more)).unwrap()) else {
                        continue;
                    };
                    assert_eq!(after.locate(&key), Some(owner), "{spec:?}, away {away:b} and {more}");
                }
            }
        }
    }
}

#[test]
fn a_shard_that_goes_takes_only_its_own_keys_along() {
    for spec in specs() {
        // These count shards, or share a fixed number of slots or points among them.
        let moves_more = spec == Spec::parse("twemproxy", [option("distribution", "modula")]).unwrap()
            || ["envoy-maglev", "envoy-ring-hash"].contains(&spec.like());
        let nodes = nodes(10);
        let all = Placement::build(&spec, &nodes, &[true; 10]).unwrap();
        let mut live = [true; 10];
        live[4] = false;
        let without = Placement::build(&spec, &nodes, &live).unwrap();
        for key in keys(2000) {
            let (home, now) = (all.locate(&key), without.locate(&key));
            assert!(home == now || home == Some(ShardId::new(4)) || moves_more, "{spec:?}");
        }
    }
}

#[test]
fn every_shard_gets_about_its_share() {
    for spec in specs() {
        let placement = Placement::build(&spec, &nodes(8), &[true; 8]).unwrap();
        let mut counts = [0; 8];
        for key in keys(16_000) {
            counts[placement.locate(&key).unwrap().index()] += 1;
        }
        assert!(counts.iter().all(|count| (1000..3500).contains(count)), "{spec:?}: {counts:?}");
    }
}

#[test]
fn weights_are_respected_where_they_are_known() {
    let weights = [1, 2, 3, 4];
    for spec in specs().into_iter().filter(Spec::allows_weights) {
        let nodes: Vec<_> =
            weights.iter().enumerate().map(|(at, &weight)| node(at).with_weight(weight)).collect();
        let placement = Placement::build(&spec, &nodes, &[true; 4]).unwrap();
        let mut counts = [0; 4];
        for key in keys(20_000) {
            counts[placement.locate(&key).unwrap().index()] += 1;
        }
        // Rings are rough, rendezvous is not: 2 000 keys per unit, and the standard deviation is below 70.
        let slack = if spec == Spec::default() { 300 } else { 1400 };
        for (count, weight) in counts.iter().zip(weights) {
            assert!((2000 * i64::from(weight) - count).abs() < slack, "{spec:?}: {counts:?}");
        }
    }
}

#[test]
fn weighted_rendezvous_keeps_the_promised_shares() {
    let weights = [1_u32, 10, 100, 1000, 3];
    let nodes: Vec<_> =
        weights.iter().enumerate().map(|(at, &weight)| node(at).with_weight(weight)).collect();
    let placement = Placement::build(&Spec::default(), &nodes, &[true; 5]).unwrap();
    let mut counts = [0_u32; 5];
    for key in keys(200_000) {
        counts[placement.locate(&key).unwrap().index()] += 1;
    }
    let sum = f64::from(weights.iter().sum::<u32>());
    for (count, weight) in counts.into_iter().zip(weights) {
        let share = f64::from(weight) / sum;
        let expected = share * 2e5;
        let deviation = (expected * (1.0 - share)).sqrt();
        assert!(
            (f64::from(count) - expected).abs() < 5.0 * deviation,
            "{weight}: {count} instead of {expected}"
        );
    }
}

#[test]
fn a_placement_of_the_callers() {
    /// The shard whose name the key is, if it is up; for "2" a shard that is down.
    struct ByName;
    impl Place for ByName {
        fn place(&self, live: &[LiveShard], key: &[u8]) -> Option<ShardId> {
            if key == b"2" {
                return Some(ShardId::new(2));
            }
            live.iter().find(|shard| shard.name().as_bytes() == key).map(LiveShard::id)
        }
    }
    let placement = Placement::custom(Arc::new(ByName), &nodes(4), &[true, true, false, true]).unwrap();
    assert_eq!(placement.locate(b"shard3"), Some(ShardId::new(3)));
    assert_eq!(placement.locate(b"shard2"), None);
    assert_eq!(placement.locate(b"2"), None);
    let spec = Spec::custom(Arc::new(ByName));
    assert_eq!(spec, spec.clone());
    assert_ne!(spec, Spec::custom(Arc::new(ByName)));
}

#[test]
fn what_cannot_be_reproduced_is_refused_with_the_reason() {
    let refuse = |like: &str, nodes: &[Node]| {
        let spec = Spec::parse(like, []).unwrap();
        Placement::build(&spec, nodes, &vec![true; nodes.len()]).unwrap_err()
    };
    assert_eq!(refuse("go-redis", &[]), PlacementError::NoShards);
    assert_eq!(
        Placement::build(&Spec::default(), &nodes(2), &[true]).unwrap_err(),
        PlacementError::LiveMismatch { shards: 2, flags: 1 }
    );
    let text = |like: &str, nodes: &[Node]| refuse(like, nodes).to_string();
    assert_eq!(
        text("roshi", &[node(0), node(1).with_weight(1)]),
        "placement: shard \"shard1\" has weight 1, but \"roshi\" knows no weights; leave it out"
    );
    assert_eq!(
        text("twemproxy", &[node(0), node(1).with_weight(0)]),
        "placement: shard \"shard1\" has weight 0; \"twemproxy\" allows 1 and more"
    );
    assert_eq!(
        text("go-redis", &[node(0), node(1).with_id("")]),
        "placement: shard \"shard1\" (number 2) has an empty identity; give it a name or an id"
    );
    assert_eq!(
        text("go-redis", &[node(0), node(1).with_id("shard0")]),
        "placement: shards \"shard0\" and \"shard1\" have the same identity \"shard0\"; give one of them another id"
    );
    let same_address = [node(0), Node { name: "other".into(), ..node(0) }];
    assert!(text("predis", &same_address).contains("the same identity \"10.0.0.1:7000\""));
    assert!(text("go-redis", &[node(0).named()]).contains("only jedis and jedis-2.9"));
    assert!(text("twemproxy", &[node(0).with_weight(u32::MAX), node(1)]).contains("add up to 4294967296"));
    assert!(text("jedis", &[node(0).with_weight(u32::MAX)]).contains("ring points; allowed: up to 16777216"));
    let many: Vec<_> = (0..65_537).map(|at| Node::new(at.to_string(), NodeAddress::unix("/s"))).collect();
    assert!(text("jump", &many).contains("65537 shards are too many for \"jump\"; allowed: up to 65536"));
    let small = Spec::parse("envoy-maglev", [option("table_size", 5)]).unwrap();
    assert!(
        Placement::build(&small, &nodes(6), &[true; 6]).unwrap_err().to_string().contains("allowed: up to 5")
    );
    let consistent = Spec::parse("phpredis", [option("consistent", true)]).unwrap();
    let long = [node(0).with_id("h".repeat(61))];
    assert!(
        Placement::build(&consistent, &long, &[true]).unwrap_err().to_string().contains("allowed: 60 bytes")
    );
    for (preset, position) in [
        ("roshi", Spec::roshi(RoshiHash::default())),
        ("jump", Spec::jump()),
        ("phpredis", Spec::phpredis(false)),
    ] {
        assert_eq!(
            Placement::build(&position, &[node(0), node(1).with_id("x")], &[true; 2])
                .unwrap_err()
                .to_string(),
            format!(
                "placement: shard \"shard1\" has an id, but {preset:?} goes by the order of the list; leave it out"
            )
        );
    }
    assert!(Placement::build(&Spec::jedis(Jedis::default()), &[node(0).with_id("x")], &[true]).is_ok());
    assert!(Placement::build(&Spec::jump(), &same_address, &[true; 2]).is_ok());
}

#[test]
fn a_jedis_shard_of_weight_zero_gets_no_keys() {
    let nodes = [node(0).with_weight(0), node(1)];
    let placement = Placement::build(&Spec::jedis(Jedis::default()), &nodes, &[true; 2]).unwrap();
    assert!(keys(200).all(|key| placement.locate(&key) == Some(ShardId::new(1))));
}

#[test]
fn a_predis_weight_of_zero_is_a_hundred() {
    let placement = |first, second| {
        let nodes = [node(0).with_weight(first), node(1).with_weight(second)];
        Placement::build(&Spec::predis(), &nodes, &[true; 2]).unwrap()
    };
    let (zero, hundred) = (placement(0, 50), placement(100, 50));
    assert!(keys(500).all(|key| zero.locate(&key) == hundred.locate(&key)));
}

proptest! {
    #[test]
    fn equal_weights_place_as_no_weights(
        count in 1_usize..30,
        weight in 1_u32..=u32::MAX,
        key in prop::collection::vec(any::<u8>(), 0..20),
    ) {
        let plain = nodes(count);
        let weighted: Vec<_> = plain.iter().map(|node| node.clone().with_weight(weight)).collect();
        let live = vec![true; count];
        let locate = |nodes: &[Node]| Placement::build(&Spec::default(), nodes, &live).unwrap().locate(&key);
        prop_assert_eq!(locate(&plain), locate(&weighted));
    }

    #[test]
    fn a_shard_that_leaves_weighted_rendezvous_moves_only_its_keys(
        weights in prop::collection::vec(prop_oneof![1_u32..5, 1_u32..=u32::MAX], 2..20),
        gone in any::<prop::sample::Index>(),
        key in prop::collection::vec(any::<u8>(), 0..20),
    ) {
        let nodes: Vec<_> = weights.iter().enumerate().map(|(at, &weight)| node(at).with_weight(weight)).collect();
        let gone = gone.index(nodes.len());
        let mut live = vec![true; nodes.len()];
        let all = Placement::build(&Spec::default(), &nodes, &live).unwrap().locate(&key).unwrap();
        live[gone] = false;
        let without = Placement::build(&Spec::default(), &nodes, &live).unwrap().locate(&key).unwrap();
        // Read backwards this says that a shard that joins takes keys to itself only.
        prop_assert!(all == without || all == ShardId::new(gone));
        prop_assert!(without != ShardId::new(gone));
    }

    #[test]
    fn a_heavier_shard_only_gains_keys(
        weights in prop::collection::vec(1_u32..1000, 1..20),
        heavier in any::<prop::sample::Index>(),
        more in 1_u32..100_000,
        key in prop::collection::vec(any::<u8>(), 0..20),
    ) {
        let heavier = heavier.index(weights.len());
        let locate = |extra: u32| {
            let weight = |at: usize| weights[at] + if at == heavier { extra } else { 0 };
            let nodes: Vec<_> = (0..weights.len()).map(|at| node(at).with_weight(weight(at))).collect();
            Placement::build(&Spec::default(), &nodes, &vec![true; nodes.len()]).unwrap().locate(&key).unwrap()
        };
        let (before, after) = (locate(0), locate(more));
        prop_assert!(before == after || after == ShardId::new(heavier));
    }

    #[test]
    fn keys_with_one_tag_are_on_one_shard(
        tag in "[a-z]{1,8}",
        one in "[a-z]{0,5}",
        two in "[a-z]{0,5}",
    ) {
        let tagged = specs().into_iter().filter(|spec| {
            spec.tag().tagged(b"{a}b") == b"a"
        });
        for spec in tagged {
            let placement = Placement::build(&spec, &nodes(20), &[true; 20]).unwrap();
            let locate = |rest: &str| placement.locate(format!("{{{tag}}}{rest}").as_bytes());
            prop_assert_eq!(locate(&one), locate(&two));
        }
    }
}
