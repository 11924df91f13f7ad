//! What is read: every field and its default, the example, what the documentation shows, and files. Any text is read,
//! or refused with errors on lines of its own.

use std::path::Path;
use std::time::Duration;

use proptest::prelude::*;
use rendis_core::command::Table;
use rendis_core::outlier::Settings as SlowEjection;
use rendis_core::placement::Spec;
use rendis_core::plan::Allow;
use rendis_engine::secret::Secret;
use rendis_proxy::access::User;
use rendis_proxy::config::{
    self, Deadlines, Health, Listen, LogLevel, OnDown, OnLost, OnReturn, Retries, Secrets, Sources,
    TlsSettings,
};

use crate::{KEY, PEM, configuration, parse, ring};

const EXAMPLE: &str = include_str!("../../../../rendis.example.toml");

fn allow(names: &[&str]) -> Allow {
    Allow::new(names.iter().copied(), &Table::default()).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn the_example_is_good_and_shows_the_defaults() {
    let config = parse(EXAMPLE).unwrap();
    // What has no default is an example behind two signs, and good too.
    let examples: Vec<_> = EXAMPLE.lines().map(|line| line.strip_prefix("## ").unwrap_or(line)).collect();
    let ring = &parse(&examples.join("\n")).unwrap().rings[0];
    assert_eq!(ring.allow, allow(&["CONFIG REWRITE"]));
    assert_eq!((ring.shards[0].weight, ring.shards[0].id.as_deref()), (Some(2), Some("cache-1")));
    assert_eq!(ring.shards[3].url.address.to_string(), "unix:/run/redis/shard4.sock");
    // With every comment that is a setting made one, nothing changes: the comments show the defaults.
    let setting = |line: &str| {
        let inner = line.strip_prefix("# ")?;
        let (name, _) = inner.split_once(" = ")?;
        name.chars().all(|letter| letter.is_ascii_lowercase() || letter == '_').then(|| inner.to_owned())
    };
    let (first, second) = EXAMPLE.split_once("# A ring over TLS").unwrap();
    let spelt: Vec<_> = first.lines().map(|line| setting(line).unwrap_or_else(|| line.to_owned())).collect();
    assert!(spelt.iter().filter(|line| !line.starts_with('#')).count() > 35);
    let mut explicit = parse(&spelt.join("\n")).unwrap();
    assert_eq!(explicit.threads.take().map(usize::from), Some(2));
    // Off by default, and what it is when it is on with nothing said.
    assert_eq!(explicit.rings[0].slow_ejection.take(), Some(SlowEjection::default()));
    // Half of three, which depends on how many there are.
    assert_eq!(explicit.rings[0].max_ejected.take(), Some(1));
    assert_eq!(explicit, config);
    // The second ring is good too.
    let (_, second) = second.split_once('\n').unwrap();
    let second: Vec<_> = second.lines().map(|line| line.trim_start_matches('#')).collect();
    let config = parse(&format!("{first}\n{}", second.join("\n"))).unwrap();
    let shards = &config.rings[1].shards;
    assert_eq!(shards[0].url.password, Some(Secret::new("a@b")));
    assert_eq!(shards[1].url.password, Some(Secret::new("hunter2")));
    let tls = shards[0].tls.as_ref().unwrap();
    assert_eq!(tls.ca, PEM.as_bytes());
    assert_eq!(tls.client.as_ref().unwrap().key.reveal(), KEY);
    assert_eq!(tls.server_name.as_deref(), Some("redis.example"));
    assert_eq!(shards[1].tls, Some(TlsSettings::default()));
    let users: Vec<_> = config.rings[1].users.iter().map(User::name).collect();
    assert_eq!(users, ["app", "reader"]);
    assert!(!format!("{config:?}").contains("hunter"));
}

#[test]
fn what_is_not_said_has_its_documented_default() {
    let config = parse(&ring("")).unwrap();
    assert_eq!((config.threads, config.log, config.admin), (None, LogLevel::Info, None));
    assert_eq!(config.shutdown_delay, Duration::ZERO);
    let ring = &config.rings[0];
    assert_eq!(ring.listen, [Listen::Tcp("127.0.0.1:6380".parse().unwrap())]);
    assert_eq!(ring.placement, Spec::go_redis());
    assert_eq!((ring.on_down, ring.on_return), (OnDown::Reroute, OnReturn::Forget));
    assert_eq!(ring.on_lost, OnLost::Error);
    assert_eq!(ring.max_ejected, None);
    assert_eq!(ring.health, Health::default());
    assert_eq!(ring.health.frequency, Duration::from_millis(500));
    assert_eq!((ring.health.fall, ring.health.rise), (3, 2));
    assert_eq!(ring.deadlines, Deadlines::default());
    assert_eq!(ring.retries, Retries::default());
    assert_eq!((ring.queue.requests, ring.queue.bytes), (262_144, 64 << 20));
    assert_eq!((ring.drain, ring.max_clients), (Duration::from_secs(10), 10_000));
    assert_eq!(ring.allow, allow(&[]));
    let bare = &ring.shards[0];
    assert_eq!((bare.weight, &bare.id, bare.named, &bare.tls), (None, &None, false, &None));
}

#[test]
fn what_the_documentation_shows_is_good() {
    let documents = [
        ("README.md", include_str!("../../../../README.md")),
        ("docs/coming-from.md", include_str!("../../../../docs/coming-from.md")),
        ("docs/proxy.md", include_str!("../../../../docs/proxy.md")),
    ];
    let mut rings = 0;
    for (file, text) in documents {
        let blocks = text.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next());
        for block in blocks.filter(|block| block.contains("[[ring]]")) {
            rings += 1;
            let sources = Sources { file, directory: Path::new("/etc"), lookup: None };
            if let Err(error) = config::parse(block, &sources) {
                panic!("{error}\n{block}");
            }
        }
    }
    assert!(rings >= 5, "{rings}");
    let placement = include_str!("../../../../docs/placement.md");
    for preset in Spec::PRESETS {
        assert!(placement.contains(&format!("`{preset}`")), "{preset} is not in docs/placement.md");
    }
}

#[test]
fn every_field_is_read() {
    let text = ring(
        r#"listen = ["[::1]:0", "unix:/run/r.sock"]
        placement = { like = "envoy-ring-hash", minimum_ring_size = 0x10, hash_tag = true }
        on_down = "miss"
        on_return = "flush"
        on_lost = "close"
        max_ejected = 0
        heartbeat_frequency = "1m 30s"
        heartbeat_timeout = "20ms"
        fall = 4
        rise = 5
        probe = ["GET", "x"]
        deadlines = { connect = "2s", reply = "3s", write = "4s", wait = "5s" }
        retries = { attempts = 1, first = "1ms", longest = "2ms", idempotent_writes = true }
        queue = { requests = 7, bytes = "1MiB" }
        drain = "0s"
        max_clients = 1
        allow = ["save", "Config Rewrite"]"#,
    );
    let head = "threads = 3\nlog = \"debug\"\nshutdown_delay = \"1m\"\n[admin]\n";
    let config = parse(&format!("{head}{text}")).unwrap();
    assert_eq!((config.threads.unwrap().get(), config.log), (3, LogLevel::Debug));
    assert_eq!(config.shutdown_delay, Duration::from_secs(60));
    assert_eq!(config.admin.unwrap().to_string(), "127.0.0.1:9180");
    let ring = &config.rings[0];
    assert_eq!(
        ring.listen.iter().map(Listen::to_string).collect::<Vec<_>>(),
        ["[::1]:0", "unix:/run/r.sock"]
    );
    assert_eq!(ring.placement.like(), "envoy-ring-hash");
    assert_eq!((ring.on_down, ring.on_return, ring.max_ejected), (OnDown::Miss, OnReturn::Flush, Some(0)));
    assert_eq!(ring.on_lost, OnLost::Close);
    assert_eq!(ring.health.frequency, Duration::from_secs(90));
    assert_eq!(ring.health.timeout, Duration::from_millis(20));
    assert_eq!((ring.health.fall, ring.health.rise, ring.health.probe.join(" ")), (4, 5, "GET x".to_owned()));
    let seconds = [ring.deadlines.connect, ring.deadlines.reply, ring.deadlines.write, ring.deadlines.wait];
    assert_eq!(seconds.map(|limit| limit.as_secs()), [2, 3, 4, 5]);
    assert_eq!((ring.retries.attempts, ring.retries.idempotent_writes), (1, true));
    assert_eq!((ring.queue.requests, ring.queue.bytes), (7, 1 << 20));
    assert_eq!((ring.drain, ring.max_clients), (Duration::ZERO, 1));
    assert_eq!(ring.allow, allow(&["SAVE", "config|rewrite"]));
}

#[test]
fn the_sign_of_char_in_twemproxy_can_be_said() {
    let read = |options: &str| {
        let text = ring(&format!("placement = {{ like = \"twemproxy\"{options} }}"));
        parse(&text).unwrap().rings.remove(0).placement
    };
    assert_eq!(read(""), read(", unsigned_char = false"));
    assert_ne!(read(""), read(", unsigned_char = true"));
}

#[test]
fn files_are_loaded_with_and_without_secrets() {
    let directory = std::env::temp_dir().join(format!("rendis-config-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let path = directory.join("rendis.toml");
    let text = ring("").replace("redis://b", "redis://:${RENDIS_TEST_NOT_SET}@b");
    std::fs::write(&path, text + "\n").unwrap();
    let error = config::load(&path, Secrets::Read).unwrap_err();
    assert_eq!((error.file(), error.line()), (path.to_str().unwrap(), Some(10)));
    assert_eq!(config::load(&path, Secrets::LeaveOut).unwrap().rings[0].shards[1].url.password, None);
    std::fs::write(directory.join("pw"), "secret\r\n").unwrap();
    std::fs::write(&path, ring("") + "password_file = \"pw\"\n").unwrap();
    let shards = &config::load(&path, Secrets::Read).unwrap().rings[0].shards;
    assert_eq!(shards[1].url.password, Some(Secret::new("secret")));
    std::fs::write(&path, b"a = 1\n\xff").unwrap();
    assert_eq!(config::load(&path, Secrets::Read).unwrap_err().line(), Some(2));
    assert!(config::load(&directory, Secrets::Read).unwrap_err().message().contains("cannot be read"));
    std::fs::remove_dir_all(&directory).unwrap();
}

/// Pieces from which files that nearly make sense are put together.
fn piece() -> impl Strategy<Value = String> {
    let words = [
        "[[ring]]\n",
        "[[ring.shard]]\n",
        "[admin]\n",
        "name = \"a\"\n",
        "name = \"b\"\n",
        "listen = \"127.0.0.1:1\"\n",
        "listen = [\"unix:/a\", \"[::1]:2\"]\n",
        "url = \"redis://u:p@h:1/2\"\n",
        "url = \"rediss://${PW}@h\"\n",
        "weight = 3\n",
        "placement = { like = \"jump\" }\n",
        "placement = { like = \"jedis\", hash = \"md5\" }\n",
        "tls = { ca = \"ca.pem\" }\n",
        "drain = \"1s\"\n",
        "queue = { bytes = \"1GiB\" }\n",
        "id = \"\"\n",
        "fall = 3\n",
        "password_file = \"secrets/s2\"\n",
        "deadlines = { reply = \"1ns\" }\n",
        "probe = [\"PING\"]\n",
    ];
    prop_oneof![
        8 => proptest::sample::select(words.to_vec()).prop_map(str::to_owned),
        1 => "[a-z_]{1,12} = ([0-9-]{1,25}|\"[^\"\n]{0,12}\"|\\[\\]|\\{\\}|true|1e9|nan|1979-05-27)\n",
        1 => ".{0,20}",
    ]
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in ".{0,200}") {
        configuration::of(&text);
    }

    #[test]
    fn any_pieces_are_read_or_refused_on_a_line_of_theirs(pieces in proptest::collection::vec(piece(), 0..14)) {
        configuration::of(&pieces.concat());
    }
}
