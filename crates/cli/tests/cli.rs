//! The binary, as a shell meets it.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests fail the test")]

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;

use rendis_testkit::{Certificates, Port, RedisServer};
use tempfile::TempDir;

const TWO: &str = r#"
[[ring]]
name = "cache"
[[ring.shard]]
name = "shard1"
url = "redis://:${RENDIS_TEST_NOT_SET}@127.0.0.1:7001"
[[ring.shard]]
name = "shard2"
url = "redis://127.0.0.1:7002"
"#;

struct Files {
    directory: TempDir,
}

impl Files {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }
}

fn rendis<A: AsRef<OsStr>>(arguments: &[A], input: &[u8]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rendis"));
    command.args(arguments).env_remove("RENDIS_TEST_NOT_SET");
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let (mut stdin, input) = (child.stdin.take().unwrap(), input.to_vec());
    let writer = thread::spawn(move || {
        // A program that does not read its input to the end is free to do so.
        let _ = stdin.write_all(&input);
    });
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    output
}

fn status(output: &Output) -> i32 {
    output.status.code().expect("ended by itself")
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// The output of a locate that succeeds.
fn located(arguments: &[&str], input: &[u8]) -> Vec<u8> {
    let files = Files::new();
    let config = files.write("rendis.toml", TWO);
    let all: Vec<_> =
        ["locate", "--config", config.to_str().unwrap()].iter().chain(arguments).copied().collect();
    let output = rendis(&all, input);
    assert_eq!((status(&output), text(&output.stderr)), (0, ""));
    output.stdout
}

#[test]
fn check_says_what_a_good_file_holds() {
    let files = Files::new();
    let config = files.write("rendis.toml", &TWO.replace(":${RENDIS_TEST_NOT_SET}@", ""));
    let output = rendis(&[OsStr::new("check"), config.as_os_str()], b"");
    let expected = format!(
        "{}: good\nring cache: on 127.0.0.1:6380, 2 shards, placed as by go-redis, hashing shard1, shard2\n",
        config.display()
    );
    assert_eq!((status(&output), text(&output.stdout), text(&output.stderr)), (0, &*expected, ""));
}

#[test]
fn check_takes_its_file_with_and_without_a_word_and_from_standard_input() {
    let files = Files::new();
    let good = TWO.replace(":${RENDIS_TEST_NOT_SET}@", "");
    let config = files.write("rendis.toml", &good);
    let plain = rendis(&[OsStr::new("check"), config.as_os_str()], b"");
    let worded = rendis(&[OsStr::new("check"), OsStr::new("--config"), config.as_os_str()], b"");
    assert_eq!((status(&worded), &worded.stdout), (0, &plain.stdout));
    for dash in [&["check", "-"][..], &["check", "--config", "-"]] {
        let piped = rendis(dash, good.as_bytes());
        assert_eq!(status(&piped), 0);
        assert_eq!(
            text(&piped.stdout),
            text(&plain.stdout).replace(config.to_str().unwrap(), "standard input")
        );
    }
    let piped = rendis(&["check", "-"], good.replace("url", "ulr").as_bytes());
    assert_eq!(status(&piped), 2);
    assert!(text(&piped.stderr).starts_with("error: standard input:6: "), "{}", text(&piped.stderr));
    let both = rendis(&["check", "a.toml", "--config", "b.toml"], b"");
    assert_eq!(status(&both), 2);
    assert!(text(&both.stderr).contains("cannot be used with"), "{}", text(&both.stderr));
}

#[test]
fn check_gives_its_verdict_though_nobody_reads_to_the_end() {
    let files = Files::new();
    let gone = Port::free();
    let shard = format!("[[ring.shard]]\nname = \"a\"\nurl = \"redis://{}\"\n", gone.address());
    let config = files.write("rendis.toml", &format!("[[ring]]\nname = \"cache\"\n{shard}"));
    let mut child = Command::new(env!("CARGO_BIN_EXE_rendis"))
        .args(["check", "--connect", config.to_str().unwrap()])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((status(&output), text(&output.stderr)), (1, "error: 1 shard cannot be used\n"));
}

#[test]
fn check_says_what_decides_where_keys_are() {
    let files = Files::new();
    let two = TWO.replace(":${RENDIS_TEST_NOT_SET}@", "");
    for (placement, said) in [
        ("{ like = \"twemproxy\" }", "twemproxy, hashing shard1, shard2"),
        ("{ like = \"twemproxy\", distribution = \"modula\" }", "twemproxy, in this order"),
        ("{ like = \"envoy-maglev\" }", "envoy-maglev, hashing 127.0.0.1:7001, 127.0.0.1:7002"),
        ("{ like = \"jedis\" }", "jedis, in this order"),
    ] {
        let ring = format!("[[ring]]\nplacement = {placement}\n");
        let config = files.write("rendis.toml", &two.replacen("[[ring]]\n", &ring, 1));
        let output = rendis(&[OsStr::new("check"), config.as_os_str()], b"");
        assert!(text(&output.stdout).ends_with(&format!("placed as by {said}\n")), "{output:?}");
    }
}

#[test]
fn check_warns_of_what_is_seldom_meant() {
    let files = Files::new();
    let plain = TWO.replace(":${RENDIS_TEST_NOT_SET}@", "");
    let twice = plain.replace("7002", "7001");
    let config = files.write("rendis.toml", &format!("[admin]\nlisten = \"0.0.0.0:9180\"\n{twice}"));
    let output = rendis(&[OsStr::new("check"), config.as_os_str()], b"");
    let file = config.display();
    let expected = format!(
        "warning: {file}: admin: listen: \"0.0.0.0:9180\" may be reached by other machines, and the admin pages have no \
         password\nwarning: {file}: ring \"cache\": the shards \"shard1\" and \"shard2\" are the same place: \
         127.0.0.1:7001, database 0\n"
    );
    assert_eq!((status(&output), text(&output.stderr)), (0, &*expected));
    assert!(text(&output.stdout).contains(": good\n"));
    // Two databases of a server are two places.
    let two = twice.replacen("7001\"", "7001/1\"", 1);
    let config = files.write("rendis.toml", &format!("[admin]\n{two}"));
    let output = rendis(&[OsStr::new("check"), config.as_os_str()], b"");
    assert_eq!((status(&output), text(&output.stderr)), (0, ""));
}

#[test]
fn a_shard_that_is_the_ring_itself_is_warned_of() {
    let files = Files::new();
    let plain = TWO.replace(":${RENDIS_TEST_NOT_SET}@", "");
    for url in ["redis://127.0.0.1:6380", "redis://localhost:6380"] {
        let config = files.write("rendis.toml", &plain.replace("redis://127.0.0.1:7002", url));
        let output = rendis(&[OsStr::new("check"), config.as_os_str()], b"");
        let expected = format!(
            "warning: {}: ring \"cache\": shard \"shard2\": url: \"127.0.0.1:6380\" is where this configuration listens \
             itself, and no server\n",
            config.display()
        );
        assert_eq!((status(&output), text(&output.stderr)), (0, &*expected));
    }
}

#[test]
fn a_password_in_the_place_of_the_user_is_warned_of_and_not_shown() {
    let files = Files::new();
    let shard = |url: &str| {
        let plain = TWO.replace(":${RENDIS_TEST_NOT_SET}@", "").replace("redis://127.0.0.1:7001", url);
        files.write("rendis.toml", &plain)
    };
    let config = shard("redis://hunter2@127.0.0.1:7001");
    let output = rendis(&[OsStr::new("check"), config.as_os_str()], b"");
    let expected = format!(
        "warning: {}: ring \"cache\": shard \"shard1\": url: there is a user without a password; a password without a \
         user has a colon before it, as in redis://:password@host\n",
        config.display()
    );
    assert_eq!((status(&output), text(&output.stderr)), (0, &*expected));
    assert!(!text(&output.stdout).contains("hunter2"));
    files.write("pw", "hunter2\n");
    for good in ["redis://:hunter2@h", "redis://app:hunter2@h", "redis://app@h\"\npassword_file = \"pw"] {
        let output = rendis(&[OsStr::new("check"), shard(good).as_os_str()], b"");
        assert_eq!((status(&output), text(&output.stderr)), (0, ""), "{good}");
    }
}

#[test]
fn check_connects_where_that_is_asked_for_and_says_which_shard_is_not_good() {
    let files = Files::new();
    let tls = RedisServer::builder().tls().start();
    let locked = RedisServer::builder().password("hunter2").start();
    let gone = Port::free();
    let (encrypted, ca) = (tls.address(), tls.certificates().unwrap().ca());
    let shards = [
        format!("url = \"rediss://localhost:{}/3\"\ntls = {{ ca = \"{}\" }}", encrypted.port(), ca.display()),
        format!("url = \"redis://:hunter2@{}\"", locked.address()),
        format!("url = \"redis://:hunter3@{}/1\"", locked.address()),
        format!("url = \"redis://:hunter2@{}\"", gone.address()),
    ];
    let configuration = |shards: &[String]| {
        let shards: String = (shards.iter().enumerate())
            .map(|(at, fields)| format!("[[ring.shard]]\nname = \"shard{}\"\n{fields}\n", at + 1))
            .collect();
        files.write("rendis.toml", &format!("[[ring]]\nname = \"cache\"\n{shards}"))
    };
    let check = |config: &Path| rendis(&["check".as_ref(), "--connect".as_ref(), config.as_os_str()], b"");
    let output = check(&configuration(&shards));
    let lines: Vec<_> = text(&output.stdout).lines().skip(2).collect();
    let version = |line: &str, url: &str| {
        let version = line.strip_prefix(&format!("{url}: good (")).unwrap_or_else(|| panic!("{line}"));
        assert!(version.contains('.') && version.ends_with(')'), "{line}");
    };
    version(lines[0], &format!("shard1 rediss://localhost:{}/3", encrypted.port()));
    version(lines[1], &format!("shard2 redis://{}", locked.address()));
    assert!(
        lines[2].starts_with(&format!("shard3 redis://{}/1: WRONGPASS", locked.address())),
        "{}",
        lines[2]
    );
    assert_eq!(lines[3], format!("shard4 redis://{}: connection refused", gone.address()));
    assert_eq!((status(&output), text(&output.stderr)), (1, "error: 2 shards cannot be used\n"));
    assert!(!text(&output.stdout).contains("hunter"));
    let (known, others) = (ca.display().to_string(), Certificates::generate());
    let strange = shards[0].replace(&known, &others.ca().display().to_string());
    let output = check(&configuration(&[strange]));
    let line = text(&output.stdout).lines().last().unwrap();
    assert!(
        line.contains(" (who signed it is not trusted; name that certificate authority with `ca`)"),
        "{line}"
    );
    let good = configuration(&shards[..2]);
    let output = check(&good);
    assert_eq!((status(&output), text(&output.stderr)), (0, ""));
    // Without the word nobody is asked.
    let output = rendis(&[OsStr::new("check"), configuration(&shards).as_os_str()], b"");
    assert_eq!((status(&output), text(&output.stdout).lines().count()), (0, 2));
}

#[test]
fn a_shard_that_does_not_answer_the_probe_is_not_good() {
    let files = Files::new();
    let server = RedisServer::builder().user("app", "on >hunter2 ~* +@all -get").start();
    let config = files.write(
        "rendis.toml",
        &format!(
            "[[ring]]\nname = \"cache\"\nprobe = [\"GET\", \"x\"]\n[[ring.shard]]\nname = \"a\"\nurl = \"redis://app:hunter2@{}\"\n",
            server.address()
        ),
    );
    let output = rendis(&["check".as_ref(), "--connect".as_ref(), config.as_os_str()], b"");
    assert!(text(&output.stdout).contains(": it answers the probe with NOPERM"), "{}", text(&output.stdout));
    assert_eq!((status(&output), text(&output.stderr)), (1, "error: 1 shard cannot be used\n"));
}

#[test]
fn check_refuses_with_status_2_and_one_line() {
    let files = Files::new();
    let config = files.write("rendis.toml", TWO);
    let output = rendis(&[OsStr::new("check"), config.as_os_str()], b"");
    let expected = format!("error: {}:6: ring \"cache\": shard \"shard1\": url: ", config.display());
    assert_eq!((status(&output), text(&output.stdout)), (2, ""));
    assert!(text(&output.stderr).starts_with(&expected) && output.stderr.ends_with(b"\n"));
    assert_eq!(text(&output.stderr).lines().count(), 1);
    // Each shard tells of itself.
    let output = rendis(&["check", "-"], TWO.replace("url", "ulr").as_bytes());
    let lines: Vec<_> = text(&output.stderr).lines().collect();
    assert_eq!((status(&output), lines.len()), (2, 2));
    assert!(
        lines[0].starts_with("error: standard input:6: ring \"cache\": shard \"shard1\": unknown"),
        "{lines:?}"
    );
    assert!(
        lines[1].starts_with("error: standard input:9: ring \"cache\": shard \"shard2\": unknown"),
        "{lines:?}"
    );
    let output = rendis(&["check", "/there/is/no.toml"], b"");
    assert_eq!(status(&output), 2);
    assert!(text(&output.stderr).contains("/there/is/no.toml: the file cannot be read"));
}

#[test]
fn check_refuses_what_serve_refuses_in_the_same_words() {
    let files = Files::new();
    let certificates = Certificates::generate();
    let junk = files.write("junk.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    let (cert, key, ca) = (certificates.server_cert(), certificates.server_key(), certificates.ca());
    let others = Certificates::generate();
    let other = others.server_key();
    let client =
        |cert: &Path, key: &Path| format!("cert = \"{}\", key = \"{}\"", cert.display(), key.display());
    let configuration = |listener: &str, shard: &str| {
        let listen = "listen = \"tls:127.0.0.1:0\"";
        let shard =
            format!("[[ring.shard]]\nname = \"a\"\nurl = \"rediss://127.0.0.1:1\"\ntls = {{ {shard} }}\n");
        files.write(
            "rendis.toml",
            &format!("[[ring]]\nname = \"cache\"\n{listen}\ntls = {{ {listener} }}\n{shard}"),
        )
    };
    let (good, trusted) = (client(&cert, &key), format!("ca = \"{}\"", ca.display()));
    let with = |text: &str, more: &str| format!("{text}, {more}");
    let broken_ca = |field: &str| format!("{field} = \"{}\"", junk.display());
    for (listener, shard, expected) in [
        (
            client(&junk, &key),
            trusted.clone(),
            "tls: cert: the file \"JUNK\": a certificate in it cannot be used",
        ),
        (client(&cert, &other), trusted.clone(), "tls: cert and key: the key in the file"),
        (
            with(&good, &broken_ca("client_ca")),
            trusted.clone(),
            "tls: client_ca: the file \"JUNK\": a certificate in it cannot be used",
        ),
        (good.clone(), broken_ca("ca"), "certificate"),
        (good.clone(), with(&trusted, &client(&junk, &key)), "certificate"),
        (good.clone(), with(&trusted, &client(&cert, &other)), "certificate"),
        (good.clone(), with(&trusted, "server_name = \"no name\""), "server name"),
    ] {
        let expected = &expected.replace("JUNK", junk.to_str().unwrap());
        let config = configuration(&listener, &shard);
        let checked = rendis(&[OsStr::new("check"), config.as_os_str()], b"");
        assert_eq!((status(&checked), text(&checked.stdout)), (2, ""), "{listener} {shard}");
        assert!(text(&checked.stderr).contains(expected), "{expected}: {}", text(&checked.stderr));
        let line = if shard == trusted && listener != good { 4 } else { 8 };
        let place = format!("error: {}:{line}: ring \"cache\": ", config.display());
        assert!(text(&checked.stderr).starts_with(&place), "{place}: {}", text(&checked.stderr));
        let served = rendis(&[OsStr::new("serve"), OsStr::new("--config"), config.as_os_str()], b"");
        assert_eq!(status(&served), 2, "{listener} {shard}");
        // The log comes before.
        assert!(text(&served.stderr).ends_with(text(&checked.stderr)), "{}", text(&served.stderr));
    }
    let config = configuration(&good, &with(&trusted, &good));
    let checked = rendis(&[OsStr::new("check"), config.as_os_str()], b"");
    assert_eq!((status(&checked), text(&checked.stderr)), (0, ""));
    let old = Certificates::expired();
    let config = configuration(&client(&old.server_cert(), &old.server_key()), &trusted);
    let checked = rendis(&[OsStr::new("check"), config.as_os_str()], b"");
    let expected = format!(
        "warning: {}: ring \"cache\": tls: cert: the certificate in the file {:?} has expired\n",
        config.display(),
        old.server_cert()
    );
    assert_eq!((status(&checked), text(&checked.stderr)), (0, &*expected));
}

#[test]
fn wrong_usage_is_status_2_and_help_is_0() {
    for wrong in
        [&["nonsense"][..], &[], &["locate"], &["check"], &["completions", "nonsense"], &["man", "nonsense"]]
    {
        let output = rendis(wrong, b"");
        assert_eq!((status(&output), text(&output.stdout)), (2, ""), "{wrong:?}");
        assert!(!output.stderr.is_empty());
    }
    // Not that the file is missing: an address beside a configuration would be ignored.
    let both = rendis(&["serve", "--config", "none.toml", "--listen", "127.0.0.1:1"], b"");
    assert_eq!(status(&both), 2);
    assert!(text(&both.stderr).contains("cannot be used with '--listen"), "{}", text(&both.stderr));
    for help in [&["--help"][..], &["check", "--help"], &["locate", "--help"], &["completions", "--help"]] {
        let output = rendis(help, b"");
        assert_eq!((status(&output), text(&output.stderr)), (0, ""), "{help:?}");
        assert!(text(&output.stdout).contains("Example"), "{help:?}");
        assert!(!output.stdout.contains(&0x1b), "colours are for terminals");
    }
    assert!(text(&rendis(&["--version"], b"").stdout).starts_with("rendis "));
}

/// The two shards are those of the recorded topology `two` of go-redis, whose shard of "b" and "A" is known.
#[test]
fn locate_prints_the_key_as_given_a_tab_and_the_shard() {
    assert_eq!(located(&["b", "{b}x", "b"], b""), b"b\tshard1\n{b}x\tshard1\nb\tshard1\n");
    assert_eq!(located(&[], b"b\n{b}x\n"), located(&["b", "{b}x"], b""));
    assert_eq!(located(&[], b"b"), b"b\tshard1\n", "the last line needs no line end");
    assert_eq!(located(&[], b""), b"");
    // Arguments go before standard input.
    assert_eq!(located(&["b"], b"x\ny\n"), b"b\tshard1\n");
    assert_eq!(located(&["--", "-b"], b"").iter().filter(|byte| **byte == b'\n').count(), 1);
}

#[test]
fn keys_are_bytes() {
    let empty = located(&[""], b"");
    assert!(empty.starts_with(b"\tshard"));
    assert_eq!(located(&[], b"\n"), empty, "an empty line is the empty key");
    assert_eq!(located(&["--hex", ""], b""), empty);
    assert_eq!(located(&["--hex"], b"\n"), empty);
    assert_eq!(located(&["--hex"], b"\r\n"), empty);
    let shard = |output: Vec<u8>| output.rsplit(|byte| *byte == b'\t').next().unwrap().to_vec();
    for key in [&b"\xff\xfe"[..], b"a\tb", b"a\r", b"\0", "ключ".as_bytes()] {
        let raw = located(&[], &[key, b"\n"].concat());
        assert!(raw.starts_with(key));
        let hex: String = key.iter().map(|byte| format!("{byte:02X}")).collect();
        let by_hex = located(&["--hex", &hex], b"");
        assert!(by_hex.starts_with(hex.as_bytes()), "the key as it was given");
        assert_eq!(shard(by_hex), shard(raw));
    }
    let files = Files::new();
    let config = files.write("rendis.toml", TWO);
    let key = OsStr::from_bytes(b"\xff");
    let output = rendis(&["locate".as_ref(), "--config".as_ref(), config.as_os_str(), key], b"");
    assert_eq!(output.stdout, located(&[], b"\xff\n"));
}

#[test]
fn the_keys_of_one_shard_alone_are_printed_where_that_is_asked_for() {
    let keys: String = (0..20).map(|number| format!("key:{number}\n")).collect();
    let all = located(&[], keys.as_bytes());
    for shard in ["shard1", "shard2"] {
        let expected: Vec<_> =
            text(&all).lines().filter_map(|line| line.strip_suffix(&format!("\t{shard}"))).collect();
        let only = located(&["--only", shard], keys.as_bytes());
        assert_eq!(text(&only).lines().collect::<Vec<_>>(), expected);
        assert!(!expected.is_empty());
    }
    assert_eq!(located(&["--only", "shard1", "--json", "b"], b""), located(&["--json", "b"], b""));
    let files = Files::new();
    let config = files.write("rendis.toml", TWO);
    let output = rendis(&["locate", "--config", config.to_str().unwrap(), "--only", "none", "b"], b"");
    assert_eq!(status(&output), 2);
    assert_eq!(text(&output.stderr), "error: --only: there is no shard \"none\"; allowed: shard1, shard2\n");
}

#[test]
fn keys_with_line_ends_are_read_and_printed_with_nul() {
    let shard = located(&["a\nb"], b"").split_off(4);
    let expected = [b"a\nb\t", shard.strip_suffix(b"\n").unwrap(), b"\0", b"b\tshard1\0"].concat();
    for word in ["-0", "--null"] {
        assert_eq!(located(&[word], b"a\nb\0b\0"), expected);
        assert_eq!(located(&[word], b"a\nb\0b"), expected, "the last one needs no end");
        assert_eq!(located(&[word, "a\nb", "b"], b""), expected);
    }
    assert_eq!(located(&["-0", "--only", "shard1"], b"b\0{b}\nx\0"), b"b\0{b}\nx\0");
    assert_eq!(located(&["-0", "--json"], b"b\0"), b"{\"key\":\"b\",\"shard\":\"shard1\"}\0");
}

#[test]
fn json_is_one_object_a_line() {
    let output = located(&["--json"], b"b\n\"q\"\n\xff\n");
    let lines: Vec<serde_json::Value> =
        text(&output).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines[0], serde_json::json!({ "key": "b", "shard": "shard1" }));
    assert_eq!(lines[1]["key"], "\"q\"");
    assert_eq!(lines[2]["key_hex"], "ff");
    let output = located(&["--json", "--hex", "62"], b"");
    assert_eq!(text(&output), "{\"key_hex\":\"62\",\"shard\":\"shard1\"}\n");
}

#[test]
fn bad_hexadecimal_names_the_line_and_keeps_what_was_done() {
    let files = Files::new();
    let config = files.write("rendis.toml", TWO);
    for (wrong, shown) in [("ff0", "ff0"), ("zz", "zz"), ("62 ", "62 "), ("\u{e9}\u{e9}", "\\xc3")] {
        let input = format!("62\n{wrong}\n62\n");
        let output = rendis(
            &["locate".as_ref(), "--config".as_ref(), config.as_os_str(), "--hex".as_ref()],
            input.as_bytes(),
        );
        assert_eq!((status(&output), text(&output.stdout)), (2, "62\tshard1\n"));
        let message = text(&output.stderr);
        assert!(message.contains("standard input, line 2") && message.contains(shown), "{message}");
    }
}

#[test]
fn a_ring_is_chosen_by_name_where_there_are_several() {
    let files = Files::new();
    let second = TWO.replace("\"cache\"", "\"other\"\nlisten = \"127.0.0.1:6381\"").replace("shard1", "x");
    let config = files.write("rendis.toml", &format!("{TWO}{second}"));
    let run = |ring: &[&str]| {
        let mut all = vec!["locate", "--config", config.to_str().unwrap()];
        all.extend(ring);
        all.push("b");
        rendis(&all, b"")
    };
    assert_eq!(run(&["--ring", "cache"]).stdout, b"b\tshard1\n");
    assert_eq!(status(&run(&["--ring", "other"])), 0);
    for wrong in [&[][..], &["--ring", "none"]] {
        let output = run(wrong);
        assert_eq!(status(&output), 2);
        assert!(text(&output.stderr).contains("cache, other"));
    }
}

#[test]
fn a_reader_that_leaves_is_no_error() {
    let files = Files::new();
    let config = files.write("rendis.toml", TWO);
    let mut child = Command::new(env!("CARGO_BIN_EXE_rendis"))
        .args(["locate", "--config", config.to_str().unwrap()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let writer = thread::spawn(move || while stdin.write_all(&b"some key\n".repeat(1000)).is_ok() {});
    let mut reader = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    drop(reader);
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    assert_eq!((status(&output), text(&output.stderr)), (0, ""));
}

#[test]
fn completions_and_manual_pages_are_made() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = rendis(&["completions", shell], b"");
        assert_eq!(status(&output), 0);
        assert!(text(&output.stdout).contains("locate"), "{shell}");
    }
    assert!(text(&rendis(&["man"], b"").stdout).contains(".TH rendis 1"));
    let page = rendis(&["man", "serve"], b"").stdout;
    for part in [
        concat!("\"rendis ", env!("CARGO_PKG_VERSION"), "\""),
        ".SH EXAMPLES\n  rendis serve",
        ".SH EXIT STATUS\n0 after",
        "[\\-\\-listen <ADDRESS>]",
    ] {
        assert!(text(&page).contains(part), "{part} is not in\n{}", text(&page));
    }
    assert!(text(&rendis(&["man", "locate"], b"").stdout).contains("user:1"));
}
