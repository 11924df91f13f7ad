//! Replays what the real programs answered: every file of `vectors/`, every configuration in it, every key.
//!
//! A file or a configuration that is not replayed fails the test, as does one that appears and is not known
//! here.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a broken vector file fails the test, whatever way"
)]

use std::collections::BTreeMap;
use std::path::PathBuf;

use rendis_core::hash::{self, CharSign, TwemproxyHash};
use rendis_core::placement::{
    Node, NodeAddress, OptionValue, Placement, PlacementError, Spec, cluster_slot, jump,
};
use serde_json::Value;

/// How many configurations each file holds.
const FILES: [(&str, usize); 14] = [
    ("envoy.json", 33),
    ("go-redis-v7.json", 12),
    ("go-redis.json", 12),
    ("jedis-2.9.json", 49),
    ("jedis.json", 49),
    ("jump.json", 100),
    ("phpredis.json", 14),
    ("predis.json", 20),
    ("redis-cluster-slots.json", 1),
    ("redis-rb-4.json", 11),
    ("redis-rb.json", 11),
    ("roshi.json", 14),
    ("ties.json", 28),
    ("twemproxy.json", 125),
];

#[test]
fn every_file_and_every_configuration_is_replayed() {
    let known: BTreeMap<_, _> = FILES.iter().map(|&(file, count)| (file.to_owned(), count)).collect();
    let mut replayed = BTreeMap::new();
    for entry in std::fs::read_dir(directory()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let file: Value = serde_json::from_slice(&std::fs::read(directory().join(&name)).unwrap()).unwrap();
        let replay: fn(&Value, &Config<'_>) = match name.as_str() {
            "envoy.json" => envoy,
            "go-redis-v7.json" => go_redis_v7,
            "go-redis.json" => go_redis,
            "jedis-2.9.json" => |_, config| jedis("jedis-2.9", config),
            "jedis.json" => |_, config| jedis("jedis", config),
            "jump.json" => jump_hash,
            "phpredis.json" => phpredis,
            "predis.json" => predis,
            "redis-cluster-slots.json" => cluster_slots,
            "redis-rb-4.json" => |_, config| redis_rb("redis-rb-4", config),
            "redis-rb.json" => |_, config| redis_rb("redis-rb", config),
            "roshi.json" => roshi,
            "ties.json" => ties,
            "twemproxy.json" => twemproxy,
            other => panic!("{other}: nothing replays this file"),
        };
        let keys =
            file["keys_hex"].as_array().map(|keys| keys.iter().map(unhex).collect()).unwrap_or_default();
        let configs = file.get("configs").or(file.get("cases")).unwrap().as_array().unwrap();
        for data in configs {
            replay(&file, &Config { file: &name, keys: &keys, data });
        }
        replayed.insert(name, configs.len());
    }
    assert_eq!(replayed, known);
}

#[test]
fn recorded_hash_values() {
    let roshi = load("roshi.json");
    check_hashes(&roshi, "hash_values_u32", |name, key| match name {
        "murmur3" => hash::murmur3(key).into(),
        "fnv" => hash::fnv1(key).into(),
        "fnva" => hash::fnv1a(key).into(),
        other => panic!("{other}"),
    });
    let jedis = load("jedis.json");
    check_hashes(&jedis, "hash_values_i64", |name, key| match name {
        "MURMUR_HASH" => hash::murmur64a(key, 0x1234_abcd).cast_signed().into(),
        "MD5" => hash::md5_le32(key).into(),
        other => panic!("{other}"),
    });
    let twemproxy = load("twemproxy.json");
    for (field, sign) in [
        ("hash_values_u32_signed_char", CharSign::Signed),
        ("hash_values_u32_unsigned_char", CharSign::Unsigned),
    ] {
        check_hashes(&twemproxy, field, |name, key| {
            let hash = TwemproxyHash::ALL.into_iter().find(|hash| hash.name() == name).expect(name);
            hash.hash(key, sign).into()
        });
        assert_eq!(twemproxy[field].as_object().unwrap().len(), TwemproxyHash::ALL.len());
    }
}

fn check_hashes(file: &Value, field: &str, hash: impl Fn(&str, &[u8]) -> i128) {
    let keys: Vec<_> = file["keys_hex"].as_array().unwrap().iter().map(unhex).collect();
    for (name, values) in file[field].as_object().unwrap() {
        let values = values.as_array().unwrap();
        assert_eq!(values.len(), keys.len());
        for (key, value) in keys.iter().zip(values) {
            let expected: i128 = value.to_string().trim_matches('"').parse().unwrap();
            assert_eq!(hash(name, key), expected, "{name} of {}", key.escape_ascii());
        }
    }
}

/// One configuration of a file, with the keys of the file.
struct Config<'a> {
    file: &'a str,
    keys: &'a Vec<Vec<u8>>,
    data: &'a Value,
}

impl Config<'_> {
    fn nodes(&self) -> &Vec<Value> {
        self.data["nodes"].as_array().unwrap()
    }

    fn text(&self, field: &str) -> &str {
        self.data[field].as_str().unwrap_or_else(|| panic!("{}: {field}", self.name()))
    }

    fn name(&self) -> String {
        format!("{} {}", self.file, self.data["id"])
    }

    /// Places every key over all nodes and compares.
    fn check(&self, spec: &Spec, nodes: &[Node]) {
        self.check_live(spec, nodes, &vec![true; nodes.len()], "placement");
    }

    fn check_live(&self, spec: &Spec, nodes: &[Node], live: &[bool], field: &str) {
        let placement =
            Placement::build(spec, nodes, live).unwrap_or_else(|error| panic!("{}: {error}", self.name()));
        let expected = self.data[field].as_array().unwrap();
        assert_eq!(expected.len(), self.keys.len());
        for (key, expected) in self.keys.iter().zip(expected) {
            let shard = placement.locate(key).map(|shard| u64::try_from(shard.index()).unwrap());
            let place = format!("{}: key {}", self.name(), key.escape_ascii());
            match expected {
                // Undefined in the program; here it still has a shard.
                Value::Null => assert!(shard.is_some(), "{place}"),
                // The program answers now this, now that.
                Value::Array(any) => assert!(any.iter().any(|one| one.as_u64() == shard), "{place}"),
                one => assert_eq!(shard, one.as_u64(), "{place}"),
            }
        }
    }
}

fn go_redis(_: &Value, config: &Config<'_>) {
    by_name(&Spec::parse("go-redis", []).unwrap(), config);
}

fn go_redis_v7(_: &Value, config: &Config<'_>) {
    assert_eq!((config.text("hash"), &config.data["replicas"]), ("crc32-ieee", &100.into()));
    by_name(&Spec::parse("go-redis-v7", [option("replicas", 100)]).unwrap(), config);
}

/// The shard without a name cannot be had; what the programs do with it is replayed by the tests within
/// `placement`, where names are not checked.
fn by_name(spec: &Spec, config: &Config<'_>) {
    let nodes: Vec<_> = config.nodes().iter().map(|name| node(name.as_str().unwrap())).collect();
    if nodes.iter().any(|node| node.name.is_empty()) {
        let refused = Placement::build(spec, &nodes, &vec![true; nodes.len()]).unwrap_err();
        assert!(matches!(refused, PlacementError::EmptyIdentity { number: 3, .. }), "{refused}");
        assert!(
            config.data["id"] == "odd_names"
                && config.data["placement"].as_array().unwrap().contains(&Value::Null)
        );
    } else {
        config.check(spec, &nodes);
    }
}

fn roshi(_: &Value, config: &Config<'_>) {
    let (name, function): (_, fn(&[u8]) -> u32) = match config.text("hash") {
        "murmur3" => ("murmur3", hash::murmur3),
        "fnv" => ("fnv1", hash::fnv1),
        "fnva" => ("fnv1a", hash::fnv1a),
        other => panic!("{other}"),
    };
    let nodes: Vec<_> = (0..config.data["n"].as_u64().unwrap()).map(|at| node(&at.to_string())).collect();
    config.check(&Spec::parse("roshi", [option("hash", name)]).unwrap(), &nodes);
    config.check(&Spec::roshi_with(function), &nodes);
}

fn twemproxy(_: &Value, config: &Config<'_>) {
    let mut options =
        vec![option("distribution", config.text("distribution")), option("hash", config.text("hash"))];
    options.extend(config.data["hash_tag"].as_str().map(|tag| option("hash_tag", tag)));
    let spec = Spec::parse("twemproxy", options).unwrap();
    let nodes: Vec<_> = config
        .nodes()
        .iter()
        .map(|server| {
            let address = server["addr"].as_str().unwrap();
            let name = server["name"].as_str().unwrap_or_else(|| twemproxy_name(address));
            let mut one = node(name);
            one.weight = weight(server);
            one
        })
        .collect();
    let mut live = vec![true; nodes.len()];
    if let Some(ejected) = config.data["ejected"].as_u64() {
        live[usize::try_from(ejected).unwrap()] = false;
    }
    config.check_live(&spec, &nodes, &live, "placement");
}

/// What a user writes as `id` for a server that has no name in `nutcracker.yml`.
fn twemproxy_name(address: &str) -> &str {
    address.strip_suffix(":11211").unwrap_or(address)
}

fn redis_rb(preset: &str, config: &Config<'_>) {
    let spec = Spec::parse(preset, []).unwrap();
    let ids = config.data["node_ids"].as_array().unwrap();
    let nodes: Vec<_> = config
        .nodes()
        .iter()
        .zip(ids)
        .enumerate()
        .map(|(at, (given, id))| match given.as_str().unwrap().strip_prefix("redis://") {
            // The identity is derived from the URL; `node_ids` is what the program derived.
            Some(url) => Node::new(format!("n{at}"), address(url.strip_suffix("/0").unwrap())),
            None => node(&format!("n{at}")).with_id(id.as_str().unwrap()),
        })
        .collect();
    config.check(&spec, &nodes);
}

fn predis(_: &Value, config: &Config<'_>) {
    let preset = match config.text("distributor") {
        "hashring" => "predis",
        "ketama" => "predis-ketama",
        other => panic!("{other}"),
    };
    let nodes: Vec<_> = config
        .nodes()
        .iter()
        .enumerate()
        .map(|(at, node)| {
            let mut one = Node::new(format!("n{at}"), address(node["ident"].as_str().unwrap()));
            one.weight = weight(node);
            one
        })
        .collect();
    config.check(&Spec::parse(preset, []).unwrap(), &nodes);
}

fn phpredis(_: &Value, config: &Config<'_>) {
    assert_eq!(config.data["algorithm"], Value::Null);
    let consistent = config.data["consistent"].as_bool().unwrap();
    let nodes: Vec<_> = config
        .nodes()
        .iter()
        .enumerate()
        .map(|(at, host)| {
            let host = host.as_str().unwrap();
            if host.contains(':') {
                Node::new(format!("n{at}"), address(host))
            } else if consistent {
                node(&format!("n{at}")).with_id(host)
            } else {
                node(&format!("n{at}"))
            }
        })
        .collect();
    config.check(&Spec::parse("phpredis", [option("consistent", consistent)]).unwrap(), &nodes);
}

fn jedis(preset: &str, config: &Config<'_>) {
    let hash = match config.text("hash") {
        "MURMUR_HASH" => "murmur",
        "MD5" => "md5",
        other => panic!("{other}"),
    };
    let nodes: Vec<_> = config
        .nodes()
        .iter()
        .enumerate()
        .map(|(at, shard)| {
            let mut one =
                shard["name"].as_str().map_or_else(|| node(&format!("n{at}")), |name| node(name).named());
            one.weight = weight(shard);
            one
        })
        .collect();
    let live = vec![true; nodes.len()];
    let whole = Spec::parse(preset, [option("hash", hash), option("hash_tag", false)]).unwrap();
    config.check_live(&whole, &nodes, &live, "placement_byte_key");
    let pattern = config.data["key_tag_pattern"].as_str();
    assert!(pattern.is_none_or(|pattern| pattern == r"\{(.+?)\}"));
    let tagged = Spec::parse(preset, [option("hash", hash), option("hash_tag", pattern.is_some())]).unwrap();
    config.check_live(&tagged, &nodes, &live, "placement_string_key");
    // A key that is no string is placed as bytes.
    let tagged = Placement::build(&tagged, &nodes, &live).unwrap();
    let whole = Placement::build(&whole, &nodes, &live).unwrap();
    for key in config.keys.iter().filter(|key| std::str::from_utf8(key).is_err()) {
        assert_eq!(tagged.locate(key), whole.locate(key));
    }
}

fn envoy(_: &Value, config: &Config<'_>) {
    let number = |field: &str| config.data[field].as_i64().unwrap();
    let hash_tag = option("hash_tag", config.data["enable_hashtagging"].as_bool().unwrap());
    assert_eq!(config.data["use_hostname_for_hashing"], false);
    let spec = match config.text("lb_policy") {
        "ring_hash" => Spec::parse(
            "envoy-ring-hash",
            [
                option("hash_function", config.text("hash_function").to_lowercase().as_str()),
                option("minimum_ring_size", number("minimum_ring_size")),
                option("maximum_ring_size", number("maximum_ring_size")),
                hash_tag,
            ],
        ),
        "maglev" => Spec::parse("envoy-maglev", [option("table_size", number("table_size")), hash_tag]),
        other => panic!("{other}"),
    };
    let nodes: Vec<_> = config
        .nodes()
        .iter()
        .enumerate()
        .map(|(at, host)| {
            let mut one = Node::new(format!("n{at}"), address(host["address"].as_str().unwrap()));
            one.id = host["hash_key"].as_str().map(str::to_owned);
            one.weight = weight(host);
            one
        })
        .collect();
    config.check(&spec.unwrap(), &nodes);
}

fn jump_hash(_: &Value, config: &Config<'_>) {
    let key = config.text("key_u64").parse().unwrap();
    let buckets = config.data["bucket_by_n"].as_object().unwrap();
    assert_eq!(buckets.len(), 9);
    for (count, bucket) in buckets {
        assert_eq!(
            u64::from(jump(key, count.parse().unwrap())),
            bucket.as_u64().unwrap(),
            "{key} among {count}"
        );
    }
}

fn cluster_slots(_: &Value, config: &Config<'_>) {
    for (key, slot) in config.keys.iter().zip(config.data["placement"].as_array().unwrap()) {
        assert_eq!(u64::from(cluster_slot(key)), slot.as_u64().unwrap(), "{}", key.escape_ascii());
    }
}

fn ties(_: &Value, config: &Config<'_>) {
    let twemproxy = |hash| Spec::parse("twemproxy", [option("hash", hash)]);
    let spec = match config.text("system") {
        "redis-rb-4" => Spec::parse("redis-rb-4", []),
        "redis-rb-5-6" => Spec::parse("redis-rb", []),
        "predis/hashring" => Spec::parse("predis", []),
        "predis/ketama" => Spec::parse("predis-ketama", []),
        "phpredis/consistent" => Spec::parse("phpredis", [option("consistent", true)]),
        "jedis-sharded MD5 named" => Spec::parse("jedis", [option("hash", "md5")]),
        "twemproxy ketama crc32a" => twemproxy("crc32a"),
        "twemproxy ketama md5" => twemproxy("md5"),
        // No preset; a test of `placement::ring` replays it.
        "libmemcached KETAMA_WEIGHTED" => return,
        other => panic!("{other}"),
    };
    let nodes: Vec<_> = config.nodes().iter().map(|name| node("n").with_id(name.as_str().unwrap())).collect();
    let placement = Placement::build(&spec.unwrap(), &nodes, &[true, true]).unwrap();
    let cases = config.data["cases"].as_array().unwrap();
    let tied = config.data["keys_on_shared_point"].as_u64().unwrap();
    assert!(u64::try_from(cases.len()).unwrap() >= tied);
    for case in cases {
        let key = unhex(&case["key_hex"]);
        let shard = placement.locate(&key).map(|shard| u64::try_from(shard.index()).unwrap());
        assert_eq!(shard, case["node"].as_u64(), "{} {}", config.text("system"), key.escape_ascii());
    }
}

fn option(name: &str, value: impl Into<OptionValue>) -> (String, OptionValue) {
    (name.to_owned(), value.into())
}

/// A shard whose address does not matter.
fn node(name: &str) -> Node {
    Node::new(name, NodeAddress::tcp("localhost", 6379))
}

fn address(host_port: &str) -> NodeAddress {
    let (host, port) = host_port.rsplit_once(':').unwrap();
    NodeAddress::tcp(host, port.parse().unwrap())
}

fn weight(node: &Value) -> Option<u32> {
    node["weight"].as_u64().map(|weight| u32::try_from(weight).unwrap())
}

fn unhex(hex: &Value) -> Vec<u8> {
    let hex = hex.as_str().unwrap();
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

fn load(name: &str) -> Value {
    serde_json::from_slice(&std::fs::read(directory().join(name)).unwrap()).unwrap()
}

fn directory() -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests", "vectors"].iter().collect()
}
