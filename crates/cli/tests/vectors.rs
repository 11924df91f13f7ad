//! `rendis locate` over a configuration gives what the real programs gave: the recorded placements of core, by way
//! of `rendis.toml`. Core's own tests replay all of them; here, every preset and option by way of the file.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a broken vector file fails the test"
)]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;

use rendis_core::placement::Spec;
use serde_json::Value;

/// A recorded topology as a ring of a configuration.
struct Topology {
    preset: &'static str,
    /// `, hash = "md5"` and the like.
    options: String,
    shards: Vec<String>,
    expected: Vec<Value>,
}

#[test]
fn every_preset_and_option_is_reached_from_a_configuration() {
    let mut presets = BTreeSet::new();
    let mut options = BTreeSet::new();
    let (mut topologies, mut placed) = (0, 0);
    for (file, read) in FILES {
        let data = load(file);
        let keys: Vec<&str> =
            data["keys_hex"].as_array().unwrap().iter().map(|key| key.as_str().unwrap()).collect();
        for config in data["configs"].as_array().unwrap() {
            let Some(topology) = read(config) else { continue };
            presets.insert(topology.preset);
            options.extend(topology.options.split(", ").filter(|option| !option.is_empty()).map(name_of));
            check(file, config, &topology, &keys);
            topologies += 1;
            placed += keys.len();
        }
    }
    // Jump was recorded without keys; its placement by keys is checked in core.
    let all: BTreeSet<_> = Spec::PRESETS.iter().copied().filter(|preset| *preset != "jump").collect();
    assert_eq!(presets, all);
    let known = [
        "consistent",
        "distribution",
        "hash",
        "hash_function",
        "hash_tag",
        "maximum_ring_size",
        "minimum_ring_size",
        "replicas",
        "table_size",
    ];
    assert_eq!(options, BTreeSet::from(known.map(str::to_owned)));
    assert!(topologies > 300 && placed > 50_000, "{topologies} topologies, {placed} keys");
}

fn name_of(option: &str) -> String {
    option.split(' ').next().unwrap().to_owned()
}

type Read = fn(&Value) -> Option<Topology>;

const FILES: [(&str, Read); 11] = [
    ("go-redis.json", |config| by_name("go-redis", "", config)),
    ("go-redis-v7.json", |config| by_name("go-redis-v7", ", replicas = 100", config)),
    ("roshi.json", roshi),
    ("twemproxy.json", twemproxy),
    ("redis-rb.json", |config| redis_rb("redis-rb", config)),
    ("redis-rb-4.json", |config| redis_rb("redis-rb-4", config)),
    ("predis.json", predis),
    ("phpredis.json", phpredis),
    ("jedis.json", |config| jedis("jedis", config)),
    ("jedis-2.9.json", |config| jedis("jedis-2.9", config)),
    ("envoy.json", envoy),
];

fn check(file: &str, config: &Value, topology: &Topology, keys: &[&str]) {
    let mut text = String::from("[[ring]]\nname = \"r\"\n");
    writeln!(text, "placement = {{ like = \"{}\"{} }}", topology.preset, topology.options).unwrap();
    for shard in &topology.shards {
        write!(text, "[[ring.shard]]\n{shard}\n").unwrap();
    }
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("rendis.toml");
    std::fs::write(&path, &text).unwrap();
    let names = toml_names(&text);
    let lines = locate(&path, keys);
    assert_eq!(lines.len(), keys.len());
    for ((line, key), expected) in lines.iter().zip(keys).zip(&topology.expected) {
        let (given, shard) = line.split_once('\t').unwrap();
        assert_eq!(given, *key);
        let at = names.iter().position(|name| name == shard);
        let good = match expected {
            Value::Null => true,
            Value::Array(any) => any.iter().any(|one| index(one) == at),
            one => index(one) == at,
        };
        assert!(good, "{file} {}: key {key}: {shard}, not {expected}", config["id"]);
    }
}

fn index(value: &Value) -> Option<usize> {
    value.as_u64().and_then(|at| usize::try_from(at).ok())
}

/// The names of the shards, in order, as `locate` prints them.
fn toml_names(text: &str) -> Vec<String> {
    text.lines()
        .skip(3)
        .filter_map(|line| line.strip_prefix("name = "))
        .map(|name| serde_json::from_str(name).unwrap())
        .collect()
}

fn locate(config: &Path, keys: &[&str]) -> Vec<String> {
    let mut child = Command::new(env!("CARGO_BIN_EXE_rendis"))
        .args(["locate", "--hex", "--config"])
        .arg(config)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = keys.iter().fold(String::new(), |all, key| all + key + "\n");
    let writer = thread::spawn(move || stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output().unwrap();
    let (errors, text) =
        (String::from_utf8(output.stderr).unwrap(), std::fs::read_to_string(config).unwrap());
    assert!(output.status.success(), "{errors}{text}");
    writer.join().unwrap().unwrap();
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

/// A shard's table. JSON strings of printable text are TOML strings.
fn shard(name: &str, address: &str, more: &str) -> String {
    let address = match address.rsplit_once(':') {
        Some((host, port)) if host.contains(':') && !host.starts_with('[') => format!("[{host}]:{port}"),
        _ => address.to_owned(),
    };
    format!("name = {}\nurl = \"redis://{address}\"\n{more}", Value::from(name))
}

fn weight(node: &Value) -> String {
    node["weight"].as_u64().map(|weight| format!("weight = {weight}\n")).unwrap_or_default()
}

fn nodes(config: &Value) -> impl Iterator<Item = (usize, &Value)> {
    config["nodes"].as_array().unwrap().iter().enumerate()
}

fn expected(config: &Value, field: &str) -> Vec<Value> {
    config[field].as_array().unwrap().clone()
}

fn by_name(preset: &'static str, options: &str, config: &Value) -> Option<Topology> {
    let names: Vec<_> = nodes(config).map(|(_, name)| name.as_str().unwrap()).collect();
    // A shard without a name is refused.
    if names.contains(&"") {
        return None;
    }
    let shards = names.iter().map(|name| shard(name, "h:1", "")).collect();
    Some(Topology { preset, options: options.to_owned(), shards, expected: expected(config, "placement") })
}

fn roshi(config: &Value) -> Option<Topology> {
    let hash = match config["hash"].as_str().unwrap() {
        "murmur3" => "murmur3",
        "fnv" => "fnv1",
        "fnva" => "fnv1a",
        other => panic!("{other}"),
    };
    let shards = (0..config["n"].as_u64().unwrap()).map(|at| shard(&format!("s{at}"), "h:1", "")).collect();
    let options = format!(", hash = \"{hash}\"");
    Some(Topology { preset: "roshi", options, shards, expected: expected(config, "placement") })
}

fn twemproxy(config: &Value) -> Option<Topology> {
    // A configuration is placed with all its shards.
    if !config["ejected"].is_null() {
        return None;
    }
    let mut options = format!(", distribution = {}, hash = {}", config["distribution"], config["hash"]);
    if let Some(tag) = config["hash_tag"].as_str() {
        write!(options, ", hash_tag = {}", Value::from(tag)).unwrap();
    }
    let shards = nodes(config)
        .map(|(at, server)| {
            let address = server["addr"].as_str().unwrap();
            let id = address.strip_suffix(":11211").unwrap_or(address);
            match server["name"].as_str() {
                Some(name) => shard(name, "h:1", &weight(server)),
                None => {
                    shard(&format!("s{at}"), "h:1", &format!("id = {}\n{}", Value::from(id), weight(server)))
                }
            }
        })
        .collect();
    Some(Topology { preset: "twemproxy", options, shards, expected: expected(config, "placement") })
}

fn redis_rb(preset: &'static str, config: &Value) -> Option<Topology> {
    let shards = nodes(config)
        .map(|(at, node)| match node.as_str().unwrap().strip_prefix("redis://") {
            Some(address) => shard(&format!("s{at}"), address, ""),
            None => shard(&format!("s{at}"), "h:1", &format!("id = {}\n", config["node_ids"][at])),
        })
        .collect();
    Some(Topology { preset, options: String::new(), shards, expected: expected(config, "placement") })
}

fn predis(config: &Value) -> Option<Topology> {
    let preset = if config["distributor"] == "ketama" { "predis-ketama" } else { "predis" };
    let shards = nodes(config)
        .map(|(at, node)| shard(&format!("s{at}"), node["ident"].as_str().unwrap(), &weight(node)))
        .collect();
    Some(Topology { preset, options: String::new(), shards, expected: expected(config, "placement") })
}

fn phpredis(config: &Value) -> Option<Topology> {
    let shards = nodes(config)
        .map(|(at, host)| match host.as_str().unwrap() {
            host if host.contains(':') => shard(&format!("s{at}"), host, ""),
            _ if config["consistent"] == false => shard(&format!("s{at}"), "h:1", ""),
            host => shard(&format!("s{at}"), "h:1", &format!("id = {}\n", Value::from(host))),
        })
        .collect();
    let options = format!(", consistent = {}", config["consistent"]);
    Some(Topology { preset: "phpredis", options, shards, expected: expected(config, "placement") })
}

fn jedis(preset: &'static str, config: &Value) -> Option<Topology> {
    let hash = if config["hash"] == "MD5" { "md5" } else { "murmur" };
    let tagged = !config["key_tag_pattern"].is_null();
    let shards = nodes(config)
        .map(|(at, node)| match node["name"].as_str() {
            Some(name) => shard(name, "h:1", &format!("named = true\n{}", weight(node))),
            None => shard(&format!("s{at}"), "h:1", &weight(node)),
        })
        .collect();
    let options = format!(", hash = \"{hash}\", hash_tag = {tagged}");
    let field = if tagged { "placement_string_key" } else { "placement_byte_key" };
    Some(Topology { preset, options, shards, expected: expected(config, field) })
}

fn envoy(config: &Value) -> Option<Topology> {
    let tag = &config["enable_hashtagging"];
    let (preset, options) = if config["lb_policy"] == "maglev" {
        ("envoy-maglev", format!(", table_size = {}, hash_tag = {tag}", config["table_size"]))
    } else {
        let hash = config["hash_function"].as_str().unwrap().to_lowercase();
        let (least, most) = (&config["minimum_ring_size"], &config["maximum_ring_size"]);
        let sizes = format!(", minimum_ring_size = {least}, maximum_ring_size = {most}");
        ("envoy-ring-hash", format!(", hash_function = \"{hash}\"{sizes}, hash_tag = {tag}"))
    };
    let shards = nodes(config)
        .map(|(at, host)| {
            let id = host["hash_key"].as_str().map(|id| format!("id = {}\n", Value::from(id)));
            let more = id.unwrap_or_default() + &weight(host);
            shard(&format!("s{at}"), host["address"].as_str().unwrap(), &more)
        })
        .collect();
    Some(Topology { preset, options, shards, expected: expected(config, "placement") })
}

fn load(name: &str) -> Value {
    let path: PathBuf = [env!("CARGO_MANIFEST_DIR"), "..", "core", "tests", "vectors", name].iter().collect();
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}
