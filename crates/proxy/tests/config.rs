//! What a configuration says, and how it is refused; the fuzz target `config` calls the check of any text.
#![expect(clippy::panic, reason = "helpers of tests fail the test")]

mod configuration;

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use proptest::prelude::*;
use rendis_core::command::Table;
use rendis_core::outlier::Settings as SlowEjection;
use rendis_core::placement::Spec;
use rendis_core::plan::Allow;
use rendis_engine::secret::Secret;
use rendis_proxy::access::{Access, User};
use rendis_proxy::config::{
    self, Config, ConfigError, Deadlines, Health, Listen, LogLevel, Lookup, OnDown, OnLost, OnReturn,
    Retries, Secrets, Sources, TlsSettings,
};

const EXAMPLE: &str = include_str!("../../../rendis.example.toml");

const PEM: &str = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
const KEY: &str = "-----BEGIN PRIVATE KEY-----\nhunter2\n-----END PRIVATE KEY-----\n";

fn parse(text: &str) -> Result<Config, ConfigError> {
    let variables =
        HashMap::from([("PW", "hunter2"), ("SESSIONS_PASSWORD", "a@b"), ("APP_PASSWORD", "hunter4")]);
    let files = HashMap::from([
        ("ca.pem", PEM),
        ("ring.pem", PEM),
        ("ring.key", KEY),
        ("clients.pem", PEM),
        ("client.pem", PEM),
        ("client.key", KEY),
        ("locked.key", "-----BEGIN ENCRYPTED PRIVATE KEY-----\nhunter2\n"),
        ("old.key", "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nhunter2\n"),
        ("secrets/s2", "hunter2\n"),
        ("two-lines", "hunter2\nhunter3\n"),
        ("empty", ""),
    ]);
    let files: HashMap<PathBuf, &str> =
        files.into_iter().map(|(name, text)| (Path::new("/etc").join(name), text)).collect();
    let variable = |name: &str| variables.get(name).map(|&value| value.to_owned());
    let read = |path: &Path| match files.get(path) {
        Some(text) => Ok(text.as_bytes().to_vec()),
        None => Err(io::Error::from(io::ErrorKind::NotFound)),
    };
    let lookup = Some(Lookup { variable: &variable, read: &read });
    config::parse(text, &Sources { file: "f.toml", directory: Path::new("/etc"), lookup })
}

fn allow(names: &[&str]) -> Allow {
    Allow::new(names.iter().copied(), &Table::default()).unwrap_or_else(|error| panic!("{error}"))
}

fn refused(text: &str) -> String {
    match parse(text) {
        Ok(config) => panic!("{text}\nwas read as {config:?}"),
        Err(error) => {
            let message = error.to_string();
            assert!(!message.contains(char::is_control) && !message.contains("hunter"), "{message:?}");
            message
        }
    }
}

/// A ring of two shards; what is given stands in the ring's table, which begins on line 1.
fn ring(fields: &str) -> String {
    format!("[[ring]]\nname = \"cache\"\n{fields}\n{}", shard("a", "") + &shard("b", ""))
}

fn shard(name: &str, fields: &str) -> String {
    format!("[[ring.shard]]\nname = \"{name}\"\nurl = \"redis://{name}:7001\"\n{fields}\n")
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
        ("README.md", include_str!("../../../README.md")),
        ("docs/coming-from.md", include_str!("../../../docs/coming-from.md")),
        ("docs/proxy.md", include_str!("../../../docs/proxy.md")),
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
    let placement = include_str!("../../../docs/placement.md");
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

/// One mistake in a ring's table, on line 3.
#[test]
fn each_mistake_in_a_ring_names_line_field_found_and_allowed() {
    for (fields, expected) in [
        (
            "lisen = \"x\"",
            "unknown field \"lisen\"; did you mean \"listen\"? allowed: name, listen, tls, placement, on_down",
        ),
        (
            "watch = true",
            "unknown field \"watch\", which belongs at the top of the file, before the first [table]; allowed: name",
        ),
        ("weight = 2", "unknown field \"weight\", which belongs in [[ring.shard]]; allowed: name"),
        (
            "reply = \"2s\"",
            "unknown field \"reply\", which belongs in deadlines = { … } of [[ring]]; allowed",
        ),
        (
            "password = \"hunter2\"",
            "which belongs in [[ring.user]] for clients, and in the url of a [[ring.shard]]; allowed",
        ),
        (
            "retries = { atempts = 1 }",
            "retries: unknown field \"atempts\"; did you mean \"attempts\"? allowed: att",
        ),
        ("listen = \"localhost:1\"", "listen: found \"localhost:1\"; allowed: an IP address with a port"),
        ("listen = \"127.0.0.1\"", "listen: found \"127.0.0.1\"; allowed: an IP"),
        ("listen = \"unix:relative\"", "listen: found \"unix:relative\"; allowed: an IP"),
        ("listen = 6380", "listen: found a whole number; allowed: a string or a list of strings"),
        ("listen = []", "listen: found a list that is empty"),
        ("listen = [\"127.0.0.1:1\", 5]", "listen: found a list that is empty or not of strings"),
        (
            "listen = [\"127.0.0.1:1\", \"0.0.0.0:1\"]",
            "found \"0.0.0.0:1\", but ring \"cache\" listens on \"127.0.0.1:1\"",
        ),
        (
            "placement = \"twemproxy\"",
            "placement: found a string; allowed: a table, as in { like = \"twemproxy\" }",
        ),
        (
            "placement = \"nutcracker\"",
            "placement: found a string; allowed: a table, as in { like = \"go-redis\" }",
        ),
        ("placement = 1", "placement: found a whole number; allowed: a table"),
        ("placement = { }", "placement: the field like is missing"),
        ("placement = { like = 1 }", "placement: like is not a string; allowed: go-redis, "),
        (
            "placement = { like = \"nope\" }",
            "placement: like = \"nope\" is not known; allowed: go-redis, go-redis-v7",
        ),
        ("placement = { like = \"jump\", x = 1 }", "\"jump\" has no option \"x\"; allowed: none"),
        (
            "placement = { like = \"jedis\", hash = 1.5 }",
            "placement: hash: found 1.5; allowed: a string, a whole",
        ),
        (
            "placement = { like = \"jedis\", hash = \"x\" }",
            "cannot have hash = \"x\"; allowed: \"murmur\", \"md5\"",
        ),
        ("placement = { like = \"twemproxy\", distribution = \"random\" }", "cannot be reproduced: it sends"),
        ("on_down = \"retry\"", "on_down: found \"retry\"; allowed: \"reroute\", \"fail\", \"miss\""),
        ("on_lost = \"drop\"", "on_lost: found \"drop\"; allowed: \"error\", \"close\""),
        ("on_return = 5", "on_return: found 5; allowed: \"forget\", \"keep\", \"flush\""),
        (
            "max_ejected = 2",
            "max_ejected: found 2; allowed: a whole number from 0 to 1, because the last shard is never taken out",
        ),
        ("max_ejected = -1", "max_ejected: found -1; allowed"),
        ("heartbeat_frequency = \"1\"", "found \"1\"; allowed: a duration from \"10ms\" to \"1h\", such as"),
        ("heartbeat_frequency = 500", "found 500; allowed: a duration"),
        ("heartbeat_frequency = \"1ms\"", "found \"1ms\"; allowed: a duration"),
        ("heartbeat_timeout = \"2h\"", "found \"2h\"; allowed: a duration"),
        ("fall = 0", "fall: found 0; allowed: a whole number from 1 to 1000"),
        ("rise = \"two\"", "rise: found \"two\"; allowed: a whole number"),
        ("rise = 99999999999999999999", "rise: found 99999999999999999999; allowed: a whole number"),
        ("probe = \"PING\"", "probe: found a string; allowed: a list of strings"),
        (
            "probe = [\"BLPOP\", \"x\", \"1\"]",
            "probe: found \"BLPOP x 1\", which waits on the server; allowed",
        ),
        ("probe = [\"xread\", \"block\", \"0\", \"streams\", \"s\", \"$\"]", "which waits on the server"),
        (
            "probe = [\"SUBSCRIBE\", \"x\"]",
            "probe: found \"SUBSCRIBE x\", which subscribes; allowed: a command",
        ),
        ("probe = [\"MONITOR\"]", "found \"MONITOR\", which changes the connection for the probes after it"),
        ("probe = [\"multi\"]", "found \"multi\", which changes the connection"),
        ("probe = [\"CLIENT\", \"REPLY\", \"OFF\"]", "which changes the connection"),
        ("probe = [\"SELECT\", \"3\"]", "which changes the connection"),
        ("probe = [\"flushall\"]", "found \"flushall\", which changes more than a key"),
        ("probe = [\"FUNCTION\", \"FLUSH\"]", "which changes more than a key"),
        ("probe = [\"SHUTDOWN\"]", "found \"SHUTDOWN\", which is for administrators"),
        ("probe = [\"CLIENT\", \"PAUSE\", \"10000\"]", "which is for administrators"),
        ("probe = [\"DEBUG\", \"SEGFAULT\"]", "which is for administrators"),
        ("probe = [\"CLIENT\", \"NONSENSE\"]", "which no server knows"),
        ("probe = [\"GET\"]", "probe: found \"GET\", which servers refuse with so many words; allowed"),
        (
            "slow_ejection = {}\non_down = \"fail\"",
            "slow_ejection: no shard is ever taken out; allowed: with on_down",
        ),
        ("slow_ejection = {}\non_down = \"miss\"", "slow_ejection: no shard is ever taken out"),
        ("slow_ejection = {}\nmax_ejected = 0", "slow_ejection: no shard is ever taken out"),
        ("slow_ejection = true", "slow_ejection: found true; allowed: a table"),
        ("deadlines = { connect = \"0s\" }", "deadlines: connect: found \"0s\"; allowed: a duration"),
        (
            "deadlines = { dial = \"1s\" }",
            "deadlines: unknown field \"dial\"; allowed: connect, reply, write, wait",
        ),
        ("deadlines = 1", "deadlines: found a whole number; allowed: a table"),
        ("retries = { attempts = 0 }", "retries: attempts: found 0; allowed: a whole number from 1"),
        ("retries = { first = \"2s\" }", "first is \"2s\"; allowed: up to longest, \"1s\""),
        ("retries = { idempotent_writes = 1 }", "idempotent_writes: found 1; allowed: true, false"),
        ("queue = { bytes = \"64X\" }", "queue: bytes: found \"64X\"; allowed: a number of bytes from 1024"),
        ("queue = { bytes = 5 }", "queue: bytes: found 5; allowed"),
        (
            "client_memory = \"63MiB\"",
            "found \"63MiB\"; allowed: a number of bytes from 67108864, or a string such as \"64MiB\", \"1GiB\"",
        ),
        ("max_clients = 0", "max_clients: found 0; allowed"),
        ("allow = [1]", "allow: found a list that is empty or not of strings"),
        (
            "allow = [\"SAVE\", \"bad;\\u001bname\"]",
            "allow: found \"bad;\\u{1b}name\", which is no command that is known; allowed: commands that administer",
        ),
        ("allow = [\"GET\"]", "allow: found \"GET\", which nobody refuses; allowed"),
        (
            "allow = [\"monitor\"]",
            "allow: found \"monitor\", which is never let through: it would take over a connection that many share; allowed",
        ),
    ] {
        let message = refused(&ring(fields));
        assert!(message.starts_with("f.toml:3: ring \"cache\": "), "{fields}: {message}");
        assert!(message.contains(expected), "{fields}: {message}");
    }
    for probe in [
        "\"SET\", \"x\", \"1\"",
        "\"INFO\", \"replication\"",
        "\"json.get\", \"x\"",
        "\"XREAD\", \"STREAMS\", \"s\", \"0\"",
    ] {
        parse(&ring(&format!("probe = [{probe}]"))).unwrap();
    }
}

/// Linux has room for 107 bytes and a NUL.
#[test]
fn paths_that_are_too_long_for_sockets_are_refused_where_they_stand() {
    let path = |bytes: usize| format!("/{}", "s".repeat(bytes - 1));
    parse(&ring(&format!("listen = \"unix:{}\"", path(107)))).unwrap();
    let message = refused(&ring(&format!("listen = [\"127.0.0.1:1\", \"unix:{}\"]", path(108))));
    assert!(message.starts_with("f.toml:3: ring \"cache\": listen: found the path \"/ssss"), "{message}");
    assert!(message.contains("of 108 bytes, which cannot be a socket: "), "{message}");
    let shard = |bytes: usize| ring("").replace("redis://b:7001", &format!("unix://{}", path(bytes)));
    parse(&shard(107)).unwrap();
    let message = refused(&shard(200));
    assert!(message.starts_with("f.toml:10: ring \"cache\": shard \"b\": url: found the path"), "{message}");
}

#[test]
fn each_ring_shard_and_user_tells_what_is_wrong_with_it_in_the_order_of_the_file() {
    let user = "[[ring.user]]\nname = \"u\"\nrules = \"+@raed\"\n";
    let first =
        format!("[[ring]]\nname = \"r\"\n{user}{}{}", shard("a", "weihgt = 1"), shard("b", "named = 1"));
    let second = format!("[[ring]]\nname = \"s\"\nlisten = \"127.0.0.1:2\"\nfall = 0\n{}", shard("a", ""));
    let third =
        format!("[[ring]]\nname = \"t\"\nlisten = \"127.0.0.1:1\"\n{}", shard("a", "") + &shard("a", ""));
    let error = parse(&(first + &second + &third)).unwrap_err();
    let all: Vec<_> = error.all().iter().map(ToString::to_string).collect();
    let expected = [
        "f.toml:5: ring \"r\": user \"u\": rules: ",
        "f.toml:9: ring \"r\": shard \"a\": unknown field \"weihgt\"",
        "f.toml:13: ring \"r\": shard \"b\": named: ",
        "f.toml:17: ring \"s\": fall: ",
        "f.toml:30: ring \"t\": name: found \"a\" for two shards",
    ];
    assert_eq!(all.len(), expected.len(), "{all:#?}");
    for (message, expected) in all.iter().zip(expected) {
        assert!(message.starts_with(expected), "{message}\nis not\n{expected}");
    }
}

#[test]
fn an_error_is_one_line_whatever_the_file_says() {
    let text = ring("listen = \"unix:/a\\nb\"");
    let message = refused(&(text.clone() + &text.replace("\"cache\"", "\"other\"")));
    let expected = r#"f.toml:3: ring "cache": listen: found "unix:/a\nb"; allowed: an IP address"#;
    assert!(message.starts_with(expected), "{message}");
    let message = refused(&ring("placement = { like = \"go-redis\", \"a\\nb\" = 1.5 }"));
    let expected = r#"f.toml:3: ring "cache": placement: a\nb: found 1.5; allowed: a string, a whole"#;
    assert!(message.starts_with(expected), "{message}");
}

#[test]
fn a_certificate_that_cannot_be_read_is_named_and_a_key_in_its_place_is_not_repeated() {
    let tls = |cert: &str, key: &str| {
        let files = format!("tls = {{ cert = \"{cert}\", key = \"{key}\" }}");
        refused(&ring(&format!("listen = \"tls:127.0.0.1:1\"\n{files}")))
    };
    let why = "cannot be read (names are relative to the configuration file): entity not found";
    let named = |field: &str, file: &str| format!("f.toml:4: ring \"cache\": tls: {field}: {file} {why}");
    assert_eq!(tls("none.pem", "ring.key"), named("cert", "the file \"/etc/none.pem\""));
    assert_eq!(tls("ring.pem", "none.key"), named("key", "the file \"/etc/none.key\""));
    assert_eq!(tls("ring.pem", "-----BEGIN PRIVATE KEY-----hunter2"), named("key", "the file"));
    for locked in ["locked.key", "old.key"] {
        let expected = format!(
            "f.toml:4: ring \"cache\": tls: key: the file \"/etc/{locked}\" is encrypted; allowed: a key without a passphrase"
        );
        assert_eq!(tls("ring.pem", locked), expected);
    }
    // The system's own words, where it is the system that refuses.
    let text = ring("listen = \"tls:127.0.0.1:1\"\ntls = { cert = \"none.pem\", key = \"none.key\" }");
    let (variable, read) = (|_: &str| None, |path: &Path| std::fs::read(path));
    let lookup = Some(Lookup { variable: &variable, read: &read });
    let sources = Sources { file: "f.toml", directory: Path::new("/nowhere"), lookup };
    let message = config::parse(&text, &sources).unwrap_err().to_string();
    assert!(message.contains("\"/nowhere/none.pem\"") && message.contains("No such file"), "{message}");
}

/// A ring with one user.
fn user(fields: &str) -> String {
    ring("") + "[[ring.user]]\n" + fields
}

#[test]
fn users_log_in_with_each_of_their_passwords_wherever_it_comes_from() {
    let hash = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881";
    let text = format!(
        "name = \"app\"\npassword = [\"one\", \"a${{PW}}b\", \"$${{PW}}\"]\npassword_file = \"secrets/s2\"\n\
         password_sha256 = \"{hash}\"\n"
    );
    let config = parse(&user(&text)).unwrap();
    let users = &config.rings[0].users;
    let access = Access::new(users);
    for password in ["one", "ahunter2b", "${PW}", "hunter2", "x"] {
        assert!(access.authenticate(b"app", password.as_bytes()).is_ok(), "{password}");
    }
    for password in ["", "two", "a${PW}b", hash] {
        assert!(access.authenticate(b"app", password.as_bytes()).is_err(), "{password}");
    }
    // Without rules, everything is allowed; nobody is in without a login.
    assert!(users[0].is_unlimited() && access.initial().is_none());
    let limited = parse(&user("name = \"r\"\nrules = [\"nopass\", \"+@read ~ro:*\"]")).unwrap();
    assert!(!limited.rings[0].users[0].is_unlimited() && limited.rings[0].users[0].is_open());
    // Where secrets are left out, users are read all the same.
    let sources = Sources { file: "f.toml", directory: Path::new(""), lookup: None };
    assert_eq!(config::parse(&user(&text), &sources).unwrap().rings[0].users.len(), 1);
}

/// One mistake in a user's table, whose first line is 12.
#[test]
fn each_mistake_in_a_user_names_line_field_found_and_allowed() {
    for (fields, line, expected) in [
        ("password = \"hunter2\"", 12, "user 1: the field name is missing"),
        (
            "name = \"a b\"\npassword = \"x\"",
            13,
            "user \"a b\": name: found \"a b\"; allowed: a string without",
        ),
        (
            "name = \"a\"",
            12,
            "user \"a\": it has no password; allowed: password, password_file, password_sha256",
        ),
        (
            "name = \"a\"\npassword = \"x\"\nrules = \"nopass\"",
            12,
            "a password and the rule nopass; allowed: one",
        ),
        ("name = \"a\"\npassword = \"\"", 14, "password: found an empty password; allowed: one with"),
        ("name = \"a\"\npassword = 7", 14, "password: found a whole number; allowed: a string or a list"),
        ("name = \"a\"\npassword = \"hunter2${NOPE}\"", 14, "password: the environment has no variable NOPE"),
        ("name = \"a\"\npassword = \"hunter2${PW\"", 14, "password: there is ${ without }; a literal ${ is"),
        ("name = \"a\"\npassword = \"hunter2${P-W}\"", 14, "a name that is not of letters, digits and _"),
        (
            "name = \"a\"\npassword_file = \"hunter2\"",
            14,
            "password_file: the file of this name in \"/etc\" cannot be read",
        ),
        (
            "name = \"a\"\npassword_sha256 = \"hunter2\"",
            14,
            "found something else than 64 hexadecimal digits",
        ),
        (
            "name = \"a\"\npassword = \"x\"\nrules = \"+@raed\"",
            15,
            "rules: found \"+@raed\", which is no category",
        ),
        (
            "name = \"a\"\npassword = \"x\"\nrules = \">hunter2\"",
            15,
            "rules: found a password among the rules",
        ),
        (
            "name = \"a\"\npasword = \"hunter2\"",
            14,
            "unknown field \"pasword\"; did you mean \"password\"? allowed: name",
        ),
        (
            "name = \"a\"\npassword = \"x\"\n[[ring.user]]\nname = \"a\"\npassword = \"x\"",
            16,
            "it is the name of two users; allowed: each name once",
        ),
    ] {
        let message = refused(&user(fields));
        assert!(message.starts_with(&format!("f.toml:{line}: ring \"cache\": user ")), "{fields}: {message}");
        assert!(message.contains(expected), "{fields}: {message}");
    }
}

#[test]
fn other_machines_are_listened_to_only_with_a_password_or_where_that_is_said() {
    let there = "listen = [\"127.0.0.1:1\", \"0.0.0.0:2\"]";
    let message = refused(&ring(there));
    let expected = "f.toml:3: ring \"cache\": listen: found \"0.0.0.0:2\", which other machines may reach, and nobody \
                    needs a password; allowed: a [[ring.user]] with a password, or no_auth = true";
    assert_eq!(message, expected);
    assert!(refused(&ring("listen = \"[::]:1\"")).contains("found \"[::]:1\""));
    for here in ["127.0.0.1:1", "127.8.8.8:1", "[::1]:1", "[::ffff:127.0.0.1]:1", "unix:/s"] {
        parse(&ring(&format!("listen = \"{here}\""))).unwrap();
    }
    let config = parse(&ring(&format!("{there}\nno_auth = true"))).unwrap();
    assert!(config.rings[0].no_auth && config.rings[0].users.is_empty());
    let with_user = format!("{}[[ring.user]]\nname = \"a\"\npassword = \"x\"\n", ring(there));
    assert_eq!(parse(&with_user).unwrap().rings[0].users.len(), 1);
    let both = with_user.replace(there, &format!("{there}\nno_auth = true"));
    assert!(refused(&both).contains("f.toml:4: ring \"cache\": no_auth: found true, though there are users"));
}

/// One mistake in the second shard's table, whose first line is 7.
#[test]
fn each_mistake_in_a_shard_names_line_field_found_and_allowed() {
    let two = |second: &str| {
        format!("# in the middle\n[[ring]]\nname = \"cache\"\n{}\n{second}", shard("a", "").trim_end())
    };
    let name = "name = \"b\"\n";
    for (fields, line, expected) in [
        ("url = \"redis://b\"".to_owned(), 7, "shard 2: the field name is missing"),
        (
            "name = \"\"\nurl = \"redis://b\"".to_owned(),
            8,
            "shard \"\": name: found \"\"; allowed: a string that",
        ),
        ("name = \"a\\u0009\"\nurl = \"redis://b\"".to_owned(), 8, "allowed: a string that is not empty"),
        (
            "name = 5\nurl = \"redis://b\"".to_owned(),
            8,
            "shard 2: name: found a whole number; allowed: a string",
        ),
        (
            "name = \"a\"\nurl = \"redis://b\"".to_owned(),
            8,
            "name: found \"a\" for two shards; allowed: each",
        ),
        (name.to_owned(), 7, "shard \"b\": the field url is missing"),
        (
            format!("{name}ulr = \"redis://b\""),
            9,
            "unknown field \"ulr\"; did you mean \"url\"? allowed: name, url",
        ),
        (format!("{name}password = \"hunter2\""), 9, "\"password\", which stands in url, as in \"redis://:"),
        (format!("{name}drain = \"1s\""), 9, "\"drain\", which belongs in [[ring]]; allowed: name"),
        (format!("{name}listen = \"x\""), 9, "which belongs in [admin] or in [[ring]]; allowed: name"),
        (format!("{name}url = \"127.0.0.1:7001\""), 9, "it does not begin with redis://; allowed: redis://"),
        (format!("{name}url = [\"redis://:hunter2@b\"]"), 9, "url: found a list; allowed: a string"),
        (format!("{name}url = \"redis://:hunter2@b:x\""), 9, "found \"redis://***@b:x\": the port is not"),
        (format!("{name}url = \"redis://:${{NOPE}}@b\""), 9, "the environment has no variable NOPE"),
        (format!("{name}url = \"redis://b\"\nweight = -1"), 10, "weight: found -1; allowed: a whole number"),
        (format!("{name}url = \"redis://b\"\nweight = 0"), 10, "has weight 0; \"go-redis\" allows 1"),
        (format!("{name}url = \"redis://b\"\nnamed = true"), 10, "only jedis and jedis-2.9 know"),
        (
            format!("{name}url = \"redis://b\"\nid = \"\""),
            10,
            "id: found \"\"; allowed: a string that is not",
        ),
        (
            format!("{name}url = \"redis://b\"\nid = \"a\""),
            10,
            "have the same identity \"a\"; give one of them another id",
        ),
        (format!("{name}url = \"redis://b\"\ntls = {{}}"), 10, "tls where the url begins with rediss://"),
        (
            format!("{name}url = \"rediss://b\"\ntls = {{ cert = \"client.pem\" }}"),
            10,
            "only one of cert and key",
        ),
        (
            format!("{name}url = \"rediss://b\"\ntls = {{ ca = \"none.pem\" }}"),
            10,
            "tls: ca: the file \"/etc/none.pem\" cannot be read",
        ),
        (
            format!("{name}url = \"rediss://b\"\ntls = {{ ca = \"client.key\" }}"),
            10,
            "no line -----BEGIN CERT",
        ),
        (format!("{name}url = \"rediss://b\"\ntls = {{ authority = \"ca.pem\" }}"), 10, "tls: unknown field"),
        (format!("{name}url = \"redis://b\"\npassword_file = \"hunter2\""), 10, "cannot be read"),
        (
            format!("{name}url = \"redis://b\"\npassword_file = \"/run/secrets/none\""),
            10,
            "password_file: the file \"/run/secrets/none\" cannot be read",
        ),
        // A password in place of a file, which may have a slash in it.
        (
            format!("{name}url = \"redis://b\"\npassword_file = \"hunter2/q8fK\""),
            10,
            "password_file: the file of this name in \"/etc\" cannot be read",
        ),
        (
            format!("{name}url = \"redis://b\"\npassword_file = \"two-lines\""),
            10,
            "the file of this name in \"/etc\" is empty or has several lines",
        ),
        (format!("{name}url = \"redis://b\"\npassword_file = \"empty\""), 10, "is empty"),
        (format!("{name}url = \"redis://:x@b\"\npassword_file = \"secrets/s2\""), 10, "allowed: one of both"),
    ] {
        let message = refused(&two(&format!("[[ring.shard]]\n{fields}\n")));
        assert!(message.starts_with(&format!("f.toml:{line}: ring \"cache\": ")), "{fields}: {message}");
        assert!(message.contains(expected), "{fields}: {message}");
    }
    let weights = ring("placement = { like = \"jump\" }") + "weight = 2\n";
    assert!(refused(&weights).starts_with("f.toml:12: ring \"cache\": placement: shard \"b\" has weight 2"));
    for like in ["roshi", "jump", "phpredis"] {
        let message = refused(&(ring(&format!("placement = {{ like = \"{like}\" }}")) + "id = \"x\"\n"));
        assert!(
            message.starts_with("f.toml:12: ring \"cache\": placement: shard \"b\" has an id, but"),
            "{like}: {message}"
        );
    }
}

#[test]
fn mistakes_outside_of_rings() {
    let good = ring("");
    for (text, expected) in [
        (String::new(), "f.toml: there is no ring; allowed"),
        (
            format!("threads = 0\n{good}"),
            "f.toml:1: threads: found 0; allowed: a whole number from 1 to 1024",
        ),
        (format!("\nlog = \"loud\"\n{good}"), "f.toml:2: log: found \"loud\"; allowed: \"off\", \"error\""),
        (
            format!("ports = 1\n{good}"),
            "f.toml:1: unknown field \"ports\"; allowed: threads, log, watch, shutdown_delay, admin, ring",
        ),
        (
            format!("{good}[[shard]]\nname = \"x\"\n"),
            "f.toml:12: unknown field \"shard\", which belongs in [[ring.shard]]; allowed: threads",
        ),
        (
            format!("treads = 1\n{good}"),
            "f.toml:1: unknown field \"treads\"; did you mean \"threads\"? allowed",
        ),
        (format!("[admin]\nport = 1\n{good}"), "f.toml:2: admin: unknown field \"port\"; allowed: listen"),
        (
            format!("[admin]\nlisten = \"tls:127.0.0.1:1\"\n{good}"),
            "f.toml:2: admin: listen: found \"tls:127.0.0.1:1\"; allowed: an IP address with a port (\"127.0.0.1:9180\",",
        ),
        (
            format!("[admin]\nlisten = \"127.0.0.1\"\n{good}"),
            "f.toml:2: admin: listen: found \"127.0.0.1\"; allowed: an IP address with a port (\"127.0.0.1:9180\",",
        ),
        (
            format!("[admin]\nlisten = \"0.0.0.0:6380\"\n{good}"),
            "f.toml:3: ring \"cache\": listen: found \"127.",
        ),
        ("ring = 1".to_owned(), "f.toml:1: ring: found a whole number; allowed: tables"),
        (
            "[[ring]]\nname = \"r\"\n".to_owned(),
            "f.toml:1: ring \"r\": there is no shard; allowed: at least one",
        ),
        ("[[ring]]\n".to_owned(), "f.toml:1: ring 1: the field name is missing"),
        (
            format!("{good}{}", ring("listen = \"127.0.0.1:1\"")),
            "f.toml:13: name: found \"cache\" for two rings",
        ),
        (
            format!("{good}{}", ring("")),
            "f.toml:12: ring \"cache\": listen: found \"127.0.0.1:6380\", but ring",
        ),
        ("[[ring]\n".to_owned(), "f.toml:1: not TOML: "),
        ("a = 1\na = 2\n".to_owned(), "f.toml:2: not TOML: duplicate key \"a\""),
        (ring("queue = { bytes = 1, bytes = 2 }"), "f.toml:3: not TOML: duplicate key \"bytes\""),
        (
            format!("{}{good}", shard("a", "")),
            "f.toml:5: not TOML: duplicate key \"ring\"; [[ring.shard]] and [[ring.user]] come after their [[ring]]",
        ),
        (
            shard("a", ""),
            "f.toml:1: ring: found a table; allowed: tables, each begun by its name in [[double",
        ),
        ("[[ring]]\nurl = redis://:hunter2@h\n".to_owned(), "f.toml:2: not TOML: "),
        ("[[ring]]\nurl = \"redis://:hunter2@h\n".to_owned(), "f.toml:2: not TOML: "),
        ("[[ring]]\nurl = 'a' hunter2\n".to_owned(), "f.toml:2: not TOML: "),
    ] {
        let message = refused(&text);
        assert!(message.starts_with(expected), "{text}: {message}");
    }
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
