//! What the log says and how often, what is warned of, and that nobody waits for who reads it.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::MetadataExt as _;
use std::time::{Duration, Instant};

use rendis_testkit::{Certificates, Client};
use rustix::process::Signal;

use crate::{CACHE, File, MORE, Serve, ping};

#[test]
fn the_log_begins_with_what_is_started_and_ends_when_it_has_stopped() {
    let file = File::new(&format!("{CACHE}\n{MORE}"));
    let path = file.path().display().to_string();
    for format in ["text", "json"] {
        let mut serve = Serve::start(&["--config", &path, "--log-format", format], |_| {});
        serve.listening("cache");
        serve.signal(Signal::TERM);
        let (status, log) = serve.end();
        assert!(status.success(), "{log}");
        let (first, last) = (log.lines().next().unwrap(), log.lines().last().unwrap());
        let version = env!("CARGO_PKG_VERSION");
        if format == "json" {
            let (first, last) =
                [first, last].map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()).into();
            assert_eq!((&first["message"], &first["version"]), (&"starting".into(), &version.into()));
            assert_eq!((&first["config"], &first["threads"]), (&path.as_str().into(), &2.into()));
            assert_eq!((&first["rings"], &last["message"]), (&2.into(), &"stopped".into()));
        } else {
            let wanted = format!("INFO starting version=\"{version}\" config={path} threads=2 rings=2");
            assert!(first.ends_with(&wanted), "{first}");
            assert!(last.ends_with("INFO stopped"), "{last}");
        }
    }
}

#[test]
fn lines_for_the_journal_have_their_priority_and_no_time() {
    let file = File::new(CACHE);
    let lines = file.path().with_extension("log");
    let into = std::fs::File::create(&lines).unwrap();
    let stat = into.metadata().unwrap();
    let journal = format!("{}:{}", stat.dev(), stat.ino());
    for (stream, ours) in [(&*journal, true), ("1:1", false)] {
        into.set_len(0).unwrap();
        let mut serve = Serve::start(&["--config", &file.path().display().to_string()], |command| {
            command.env("JOURNAL_STREAM", stream).stderr(into.try_clone().unwrap());
        });
        serve.listening("cache");
        file.write(&CACHE.replace("\"cache\"", "5"));
        for signal in [Signal::HUP, Signal::TERM] {
            serve.signal(signal);
            let wanted = if signal == Signal::HUP { "was not reloaded" } else { "stopped" };
            let deadline = Instant::now() + Duration::from_secs(20);
            while !std::fs::read_to_string(&lines).unwrap().contains(wanted) {
                assert!(Instant::now() < deadline, "{wanted:?} is not in the log");
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        assert!(serve.end().0.success());
        file.write(CACHE);
        let log = std::fs::read_to_string(&lines).unwrap().replace('\0', "");
        let [first, .., last] = log.lines().collect::<Vec<_>>()[..] else { panic!("{log}") };
        let refused = log.lines().find(|line| line.contains("was not reloaded")).unwrap();
        assert_eq!(first.starts_with("<6> INFO starting"), ours, "{first}");
        assert_eq!(refused.starts_with("<3>ERROR the configuration was not"), ours, "{refused}");
        assert!(last.ends_with(" INFO stopped") && last.starts_with("<6>") == ours, "{last}");
        assert_eq!(first.starts_with('<'), ours, "{first}");
        // And why nothing is served.
        into.set_len(0).unwrap();
        file.write(&CACHE.replace("SHARDS", "fall = 0\nSHARDS"));
        let serve = Serve::start(&["--config", &file.path().display().to_string()], |command| {
            command.env("JOURNAL_STREAM", stream).stderr(into.try_clone().unwrap());
        });
        assert_eq!(serve.end().0.code(), Some(2));
        file.write(CACHE);
        let log = std::fs::read_to_string(&lines).unwrap().replace('\0', "");
        assert!(
            log.starts_with(if ours { "<3>ERROR " } else { "error: " }) && log.contains("fall: "),
            "{log}"
        );
    }
}

#[test]
fn why_nothing_is_served_is_told_in_the_format_of_the_log() {
    let file = File::new(CACHE);
    let path = file.path().display().to_string();
    let taken = CACHE.replace("127.0.0.1:0", &file.servers[0].address().to_string());
    let wrong = CACHE.replace("SHARDS", "fall = 0\nrise = 0\nSHARDS");
    for (text, status, expected) in [(taken, 1, &["cannot listen on"][..]), (wrong, 2, &["fall: ", "rise: "])]
    {
        file.write(&text);
        let (ended, log) = Serve::start(&["--config", &path, "--log-format", "json"], |_| {}).end();
        assert_eq!(ended.code(), Some(status), "{log}");
        let lines = log.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        let errors: Vec<_> = lines.filter(|line| line["level"] == "ERROR").collect();
        assert_eq!(errors.len(), expected.len(), "{log}");
        for (error, expected) in errors.iter().zip(expected) {
            assert!(error["message"].as_str().unwrap().contains(expected), "{error}");
        }
    }
}

#[test]
fn a_log_that_nobody_reads_holds_nobody_up() {
    let trust = Certificates::generate();
    let tls = format!(
        "tls = {{ cert = \"{}\", key = \"{}\" }}\nSHARDS",
        trust.server_cert().display(),
        trust.server_key().display()
    );
    let listen = "[\"127.0.0.1:0\", \"tls:127.0.0.1:0\"]";
    let text = CACHE.replace("\"127.0.0.1:0\"", listen).replace("SHARDS", &tls);
    let file = File::new(&format!("log = \"debug\"\n{text}"));
    let mut serve = Serve::of(&file.path());
    let address = serve.listening("cache");
    let line = serve.line();
    let secured: SocketAddr = line.strip_prefix("ring cache: listening on tls:").unwrap().parse().unwrap();
    // More than a pipe holds.
    for _ in 0..1000 {
        let mut client = TcpStream::connect(secured).unwrap();
        client.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        client.write_all(b"this is not how TLS begins").unwrap();
        let end = client.read_to_end(&mut Vec::new());
        assert!(end.err().is_none_or(|error| error.kind() != io::ErrorKind::WouldBlock), "it hangs");
    }
    ping(address);
    serve.signal(Signal::TERM);
    let (status, log) = serve.end();
    assert!(status.success(), "{log}");
    assert_eq!(log.matches("a TLS handshake failed").count(), 1000);
    assert!(log.trim_end().ends_with("INFO stopped"));
}

#[test]
fn logins_that_fail_are_told_once_a_second() {
    let file =
        File::new(&CACHE.replace("SHARDS", "SHARDS[[ring.user]]\nname = \"default\"\npassword = \"x\"\n"));
    let mut serve = Serve::of(&file.path());
    let address = serve.listening("cache");
    let begun = Instant::now();
    let clients = (0..50).map(|_| {
        let mut client = Client::connect(address).unwrap();
        client.send(&["AUTH", "y"]).unwrap();
        client
    });
    for mut client in clients.collect::<Vec<_>>() {
        assert!(client.read().unwrap().error().unwrap().starts_with("WRONGPASS"));
    }
    let seconds = usize::try_from(begun.elapsed().as_secs()).unwrap();
    serve.signal(Signal::TERM);
    let (_, log) = serve.end();
    let lines = log.matches("a client failed to log in").count();
    assert!((1..=seconds + 1).contains(&lines), "{log}");
}

#[test]
fn a_stop_while_a_shard_is_away_is_warned_of_where_it_is_to_forget() {
    let file = File::new(CACHE);
    file.servers[0].kill();
    // Keys of both shards.
    let use_all = |client: &mut Client, command: &[&str]| {
        for number in 0..20 {
            let key = number.to_string();
            let words: Vec<&str> =
                command.iter().map(|word| if *word == "KEY" { &*key } else { word }).collect();
            client.command(&words).unwrap();
        }
    };
    let stopped_after = |fields: &str, command: &[&str]| {
        file.write(&CACHE.replace("SHARDS", &format!("{fields}\nSHARDS")));
        let mut serve = Serve::of(&file.path());
        let mut client = Client::connect(serve.listening("cache")).unwrap();
        while !client.command(&["INFO", "shards"]).unwrap().text().contains("state=down") {
            std::thread::yield_now();
        }
        use_all(&mut client, command);
        serve.signal(Signal::TERM);
        let (status, log) = serve.end();
        assert!(status.success(), "{log}");
        log
    };
    let stopped = |fields: &str| stopped_after(fields, &["SET", "KEY", "v"]);
    let log = stopped("");
    let line = log.lines().find(|line| line.contains("the proxy stops while a shard is away")).unwrap();
    assert!(line.contains("WARN") && line.ends_with("ring=\"cache\" shard=\"shard0\""), "{line}");
    // Nor does a ring of another name know.
    file.write(CACHE);
    let mut serve = Serve::of(&file.path());
    let mut client = Client::connect(serve.listening("cache")).unwrap();
    while !client.command(&["INFO", "shards"]).unwrap().text().contains("state=down") {
        std::thread::yield_now();
    }
    use_all(&mut client, &["DEL", "KEY"]);
    file.write(&CACHE.replace("\"cache\"", "\"other\""));
    serve.signal(Signal::HUP);
    let line = serve.logged("the ring is removed while a shard is away");
    assert!(line.contains("WARN") && line.trim_end().ends_with("ring=\"cache\" shard=\"shard0\""), "{line}");
    serve.signal(Signal::TERM);
    assert!(serve.end().0.success());
    for fields in ["on_return = \"flush\"", "on_down = \"fail\""] {
        assert!(!stopped(fields).contains("while a shard is away"), "{fields}");
    }
    // Nothing was written elsewhere.
    assert!(!stopped_after("", &["GET", "KEY"]).contains("while a shard is away"));
}

#[test]
fn what_is_seldom_meant_is_warned_of_at_the_start_and_at_a_reload() {
    let file = File::new(CACHE);
    let mut serve = Serve::of(&file.path());
    serve.listening("cache");
    let with =
        |url: &str| format!("{CACHE}[[ring.shard]]\nname = \"extra\"\nurl = \"redis://{url}127.0.0.1:1\"\n");
    file.write(&with("hunter2@"));
    serve.signal(Signal::HUP);
    let line = serve.logged("there is a user without a password");
    assert!(line.contains("WARN ring \"cache\": shard \"extra\": url: "), "{line}");
    serve.logged("was reloaded");
    serve.signal(Signal::TERM);
    assert!(serve.end().0.success());
    let mut serve = Serve::of(&file.path());
    serve.listening("cache");
    serve.signal(Signal::TERM);
    let (_, log) = serve.end();
    assert!(log.contains("there is a user without a password") && !log.contains("hunter2"), "{log}");
}
