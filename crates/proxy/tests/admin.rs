//! The pages for operators.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod ring;

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rendis_proxy::serve::Proxy;
use rendis_testkit::{Certificates, Client, Cluster, Port, Reply};

use ring::{client, config, refuses, ring, until};

const ADMIN: &str = "[admin]\nlisten = \"127.0.0.1:0\"\n";

fn admin(proxy: &Proxy) -> SocketAddr {
    proxy.admin_address().unwrap().parse().unwrap()
}

/// The status and the body of a page.
fn get(at: SocketAddr, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(at).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    request(&mut stream, "GET", path);
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    split(&text)
}

fn request(stream: &mut impl std::io::Write, method: &str, path: &str) {
    stream
        .write_all(format!("{method} {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").as_bytes())
        .unwrap();
}

fn split(text: &str) -> (u16, String) {
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    (head[9..12].parse().unwrap(), body.to_owned())
}

/// The value of one sample.
fn sample(page: &str, name: &str) -> u64 {
    let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("{name} is not in\n{page}")).parse().unwrap()
}

#[test]
fn what_clients_do_is_counted_over_all_threads() {
    let servers = Cluster::start(2);
    let text = ADMIN.to_owned() + &ring("cache", "max_clients = 8", &servers.urls());
    let proxy = Proxy::start(&config(&text)).unwrap();
    let mut clients: Vec<_> = (0..8).map(|_| client(&proxy, "cache")).collect();
    for (at, client) in clients.iter_mut().enumerate() {
        for round in 0..40 {
            assert!(client.command(&["SET", &format!("key:{at}:{round}"), "v"]).unwrap().is_ok());
        }
        assert!(client.command(&["INCR", &format!("key:{at}:0")]).unwrap().error().is_some());
        let crossed = client.command(&["RENAME", "key:a", "key:b", "c"]).unwrap();
        assert!(crossed.error().is_some());
    }
    // Of a module, and of a person.
    clients[0].send_raw(b"*1\r\n$8\r\nNO.SUCH1\r\nno-such\r\n").unwrap();
    (0..2).for_each(|_| assert!(clients[0].read().unwrap().error().is_some()));
    drop(client(&proxy, "cache").read_to_end().unwrap());
    assert!(clients[1].command(&["AUTH", "nobody", "nothing"]).unwrap().error().is_some());
    let (status, page) = get(admin(&proxy), "/metrics");
    assert_eq!(status, 200);
    assert_eq!(sample(&page, "rendis_ready"), 1);
    assert_eq!(sample(&page, "rendis_clients{ring=\"cache\"}"), 8);
    assert_eq!(sample(&page, "rendis_max_clients{ring=\"cache\"}"), 8);
    assert_eq!(sample(&page, "rendis_max_client_memory_bytes{ring=\"cache\"}"), 1 << 30);
    assert_eq!(sample(&page, "rendis_clients_accepted_total{ring=\"cache\"}"), 8);
    assert_eq!(sample(&page, "rendis_clients_refused_total{ring=\"cache\"}"), 1);
    assert_eq!(sample(&page, "rendis_logins_failed_total{ring=\"cache\"}"), 1);
    assert_eq!(sample(&page, "rendis_requests_total{ring=\"cache\"}"), 8 * 42 + 2 + 1);
    let of = |command: &str| {
        sample(&page, &format!("rendis_commands_total{{ring=\"cache\",command=\"{command}\"}}"))
    };
    assert_eq!(["set", "incr", "rename", "others"].map(of), [320, 8, 8, 2]);
    assert!(!page.contains("command=\"get\""), "what nobody asked for is left out");
    assert_eq!(sample(&page, "rendis_error_replies_total{ring=\"cache\"}"), 8);
    assert_eq!(sample(&page, "rendis_errors_total{ring=\"cache\",kind=\"server\"}"), 8 + 2);
    assert!(sample(&page, "rendis_sent_bytes_total{ring=\"cache\"}") > 8 * 40 * 5);
    assert!(sample(&page, "rendis_received_bytes_total{ring=\"cache\"}") > 8 * 40 * 30);
    assert!(sample(&page, "rendis_reply_seconds_count{ring=\"cache\"}") > 10);
    let shards = ["shard1", "shard2"].map(|shard| {
        let of = |name: &str| sample(&page, &format!("{name}{{ring=\"cache\",shard=\"{shard}\"}}"));
        assert_eq!((of("rendis_shard_up"), of("rendis_shard_in_flight")), (1, 0));
        assert_eq!(of("rendis_shard_keys_fail"), 0);
        assert_eq!(of("rendis_shard_queue_bytes"), 0);
        let timeouts =
            format!("rendis_shard_errors_total{{ring=\"cache\",shard=\"{shard}\",kind=\"timeout\"}}");
        assert_eq!(sample(&page, &timeouts), 0, "before the first, so that it can be told from none");
        let connections = of("rendis_shard_connections");
        assert!(connections > 0 && connections == of("rendis_shard_connects_total"), "{connections}");
        assert!(of("rendis_shard_probe_seconds_count") > 0);
        of("rendis_shard_requests_total")
    });
    assert!(shards.iter().all(|requests| *requests > 100));
    // A shard was asked about the two that are not known here.
    assert_eq!(shards.iter().sum::<u64>(), 8 * 41 + 2);
    // Every line is one that Prometheus reads.
    for line in page.lines() {
        let value = line.rsplit(' ').next().unwrap();
        assert!(line.starts_with("# ") || value.parse::<f64>().is_ok(), "{line}");
    }
}

#[test]
fn errors_that_only_clients_of_a_proxy_meet_are_counted_too() {
    let servers = Cluster::start(2);
    let user = "[[ring.user]]\nname = \"app\"\npassword = \"secret\"\nrules = \"+@all -del ~* &*\"\n";
    let text = ADMIN.to_owned() + &ring("cache", "", &servers.urls()) + user;
    let proxy = Proxy::start(&config(&text)).unwrap();
    let mut client = client(&proxy, "cache");
    let fails = |client: &mut Client, words: &[&str], code: &str| {
        let reply = client.command(words).unwrap();
        assert!(reply.error().is_some_and(|line| line.starts_with(code)), "{words:?}: {reply}");
    };
    fails(&mut client, &["GET", "a"], "NOAUTH ");
    fails(&mut client, &["HELLO", "3"], "NOAUTH ");
    fails(&mut client, &["AUTH", "app", "wrong"], "WRONGPASS ");
    assert!(client.command(&["AUTH", "app", "secret"]).unwrap().is_ok());
    fails(&mut client, &["DEL", "a"], "NOPERM ");
    fails(&mut client, &["CLIENT", "REPLY", "LOUD"], "ERR ");
    assert!(client.command(&["MULTI"]).unwrap().is_ok());
    fails(&mut client, &["SAVE"], "ERR ");
    fails(&mut client, &["EXEC"], "EXECABORT ");
    assert!(client.command(&["MULTI"]).unwrap().is_ok());
    let crossed: u64 = (0..20)
        .map(|number| client.command(&["SET", &format!("key:{number}"), "v"]).unwrap())
        .map(|reply| u64::from(reply.error().is_some_and(|line| line.starts_with("CROSSSLOT "))))
        .sum();
    assert!(crossed > 0);
    fails(&mut client, &["EXEC"], "EXECABORT ");
    fails(&mut client, &["EXEC"], "ERR EXEC without MULTI");
    client.send_raw(b"*1\r\n+no\r\n").unwrap();
    assert!(client.read().unwrap().error().unwrap().starts_with("ERR Protocol error"));
    let (_, page) = get(admin(&proxy), "/metrics");
    for (kind, count) in [
        ("not_logged_in", 3),
        ("denied", 1),
        ("malformed", 1),
        ("aborted", 2),
        ("cross_shard", crossed),
        ("refused", 1),
        ("server", 2),
    ] {
        let name = format!("rendis_errors_total{{ring=\"cache\",kind=\"{kind}\"}}");
        assert_eq!(sample(&page, &name), count, "{kind}");
    }
    assert_eq!(sample(&page, "rendis_error_replies_total{ring=\"cache\"}"), 0);
}

#[test]
fn when_a_certificate_expires_is_told_of_rings_that_have_one() {
    let (servers, certificates) = (Cluster::start(1), Certificates::generate());
    let (cert, key) = (certificates.server_cert(), certificates.server_key());
    let plain = ADMIN.to_owned() + &ring("cache", "", &servers.urls());
    let tls = format!("tls = {{ cert = \"{}\", key = \"{}\" }}", cert.display(), key.display());
    let secured =
        plain.replacen("listen = \"127.0.0.1:0\"\n\n", &format!("listen = \"tls:127.0.0.1:0\"\n{tls}\n"), 1);
    assert_ne!(secured, plain);
    let mut proxy = Proxy::start(&config(&secured)).unwrap();
    let at = admin(&proxy);
    let expires = "rendis_certificate_expires_timestamp_seconds{ring=\"cache\"}";
    // In the year 4096.
    assert_eq!(sample(&get(at, "/metrics").1, expires) / 86_400, 776_506);
    let old = Certificates::expired();
    std::fs::copy(old.server_cert(), &cert).unwrap();
    std::fs::copy(old.server_key(), &key).unwrap();
    proxy.renew_certificates();
    // In the year 2001.
    assert_eq!(sample(&get(at, "/metrics").1, expires) / 86_400, 11_323);
    proxy.reload(&config(&plain)).unwrap();
    assert!(!get(at, "/metrics").1.contains(expires));
}

#[test]
fn processor_time_is_counted_by_thread() {
    let servers = Cluster::start(1);
    let text = ADMIN.to_owned() + &ring("cache", "", &servers.urls());
    let proxy = Proxy::start(&config(&text)).unwrap();
    let mut client = client(&proxy, "cache");
    let read = || {
        let (_, page) = get(admin(&proxy), "/metrics");
        let of = |name: &str| -> f64 {
            let lines = page.lines().filter_map(|line| line.strip_prefix(name)?.rsplit_once(' '));
            lines.map(|(_, value)| value.parse::<f64>().unwrap()).sum()
        };
        (of("process_cpu_seconds_total"), of("rendis_thread_cpu_seconds_total{thread=\""))
    };
    // Proxies of other tests count too, as long as they are there.
    let mut least = f64::INFINITY;
    let pings = b"*1\r\n$4\r\nPING\r\n".repeat(1000);
    until("work is counted", || {
        client.send_raw(&pings).unwrap();
        (0..1000).for_each(|_| assert_eq!(client.read().unwrap(), Reply::simple("PONG")));
        let worked = read().1;
        least = least.min(worked);
        worked >= least + 0.1
    });
    let (_, threads) = read();
    let (all, _) = read();
    // Each is rounded to hundredths, twice.
    assert!(threads <= all + 0.05 && all < 3600.0, "{threads} {all}");
}

#[test]
fn the_process_is_described_in_the_words_of_prometheus() {
    let servers = Cluster::start(1);
    let text = ADMIN.to_owned() + &ring("cache", "", &servers.urls());
    let before = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
    let mut proxy = Proxy::start(&config(&text)).unwrap();
    let at = admin(&proxy);
    let read = |names: [&str; 4]| {
        let (_, page) = get(at, "/metrics");
        names.map(|name| {
            let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            line.unwrap_or_else(|| panic!("{name} is not in\n{page}")).parse::<f64>().unwrap()
        })
    };
    let names = [
        "process_start_time_seconds",
        "rendis_config_loaded_timestamp_seconds",
        "process_resident_memory_bytes",
        "process_open_fds",
    ];
    let [started, loaded, memory, files] = read(names);
    assert!(before <= started && started < before + 60.0, "{started} {before}");
    assert!((loaded - started).abs() < 0.001, "{loaded} {started}");
    assert!(memory > 1e6 && memory < 1e10, "{memory}");
    let _clients: Vec<_> = (0..50).map(|_| client(&proxy, "cache")).collect();
    until("their sockets are counted", || read(names)[3] >= files + 50.0);
    proxy.reload(&config(&text)).unwrap();
    let [still, again, ..] = read(names);
    assert!(still.to_bits() == started.to_bits() && again > loaded, "{still} {again}");
    // What is refused is counted by who tells of it, and changes nothing.
    let taken =
        text.replace("listen = \"127.0.0.1:0\"\n\n", &format!("listen = \"{}\"\n", servers[0].address()));
    assert!(proxy.reload(&config(&taken)).is_err());
    proxy.note_refused();
    let (_, page) = get(at, "/metrics");
    assert_eq!(sample(&page, "rendis_reloads_total{result=\"refused\"}"), 1);
    assert_eq!(sample(&page, "rendis_reloads_total{result=\"done\"}"), 1);
    assert_eq!(read(names)[1].to_bits(), again.to_bits());
}

#[test]
fn it_is_ready_while_every_ring_has_a_live_shard() {
    let servers = Cluster::start(2);
    let urls = servers.urls();
    let fast = "heartbeat_frequency = \"20ms\"";
    let text = ADMIN.to_owned() + &ring("one", fast, &urls[..1]) + &ring("two", fast, &urls[1..]);
    let proxy = Proxy::start(&config(&text)).unwrap();
    let at = admin(&proxy);
    assert_eq!(get(at, "/healthz"), (200, "ok\n".to_owned()));
    assert_eq!(get(at, "/readyz"), (200, "ready\n".to_owned()));
    servers[1].kill();
    until("it is not ready", || get(at, "/readyz") == (503, "ring two has no live shard\n".to_owned()));
    assert_eq!(get(at, "/healthz").0, 200);
    let (_, page) = get(at, "/shards");
    let shards: serde_json::Value = serde_json::from_str(&page).unwrap();
    assert_eq!(shards[0]["ring"], "one");
    assert_eq!(shards[0]["shards"][0]["up"], true);
    assert_eq!(shards[0]["shards"][0]["state"], "up");
    let (major, minor) = servers[0].version();
    let version = shards[0]["shards"][0]["version"].as_str().unwrap();
    assert!(version.starts_with(&format!("{major}.{minor}.")), "{version}");
    assert_eq!(shards[0]["shards"][0]["last_error"], serde_json::Value::Null);
    assert_eq!(shards[1]["shards"][0]["name"], "shard1");
    assert_eq!(shards[1]["shards"][0]["address"], servers[1].address().to_string());
    assert_eq!(shards[1]["shards"][0]["up"], false);
    // The only shard of its ring: there is nobody who could take its keys.
    assert_eq!(shards[1]["shards"][0]["state"], "down,keys=here");
    let why = shards[1]["shards"][0]["last_error"].as_str().unwrap();
    assert!(why.contains("connection"), "{why}");
    let info = client(&proxy, "two").command(&["INFO", "shards"]).unwrap().text().to_owned();
    assert!(info.contains(",last_error=") && info.ends_with("\r\n") && info.lines().count() == 4, "{info}");
    let info = client(&proxy, "one").command(&["INFO", "shards"]).unwrap().text().to_owned();
    assert!(!info.contains("last_error"), "{info}");
    let (_, page) = get(at, "/metrics");
    assert!(sample(&page, "rendis_shard_health_changes_total{ring=\"two\",shard=\"shard1\"}") > 0);
    servers[1].restart();
    until("it is ready again", || get(at, "/readyz").0 == 200);
}

#[test]
fn it_is_not_ready_before_a_shard_was_reached() {
    let servers = Cluster::start(1);
    servers[0].kill();
    let text = ADMIN.to_owned() + &ring("one", "", &servers.urls());
    let proxy = Proxy::start(&config(&text)).unwrap();
    let at = admin(&proxy);
    // Also in the second before its probes have failed.
    assert_eq!(get(at, "/readyz"), (503, "ring one has no live shard\n".to_owned()));
    servers[0].restart();
    until("it is ready", || get(at, "/readyz").0 == 200);
}

#[test]
fn no_page_has_a_password_and_nothing_else_is_there() {
    let server = rendis_testkit::RedisServer::builder().password("hunter2").start();
    let text = ADMIN.to_owned() + &ring("cache", "", &[server.url()]);
    let proxy = Proxy::start(&config(&text)).unwrap();
    for path in ["/", "/metrics", "/shards", "/readyz", "/healthz"] {
        let (status, page) = get(admin(&proxy), path);
        assert_eq!(status, 200, "{path}");
        assert!(!page.contains("hunter2"), "{path}");
    }
    assert_eq!(get(admin(&proxy), "/metrics/..").0, 404);
    let mut stream = TcpStream::connect(admin(&proxy)).unwrap();
    request(&mut stream, "POST", "/metrics");
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    assert_eq!(split(&text).0, 405);
    // What is no HTTP is hung up on.
    let mut stream = TcpStream::connect(admin(&proxy)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream.write_all(b"*1\r\n$4\r\nPING\r\n\r\n").unwrap();
    stream.read_to_end(&mut Vec::new()).unwrap();
}

#[test]
fn the_pages_move_come_and_go_with_the_configuration() {
    let servers = Cluster::start(1);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("admin.sock");
    let (port, ring) = (Port::free(), ring("cache", "", &servers.urls()));
    let mut proxy = Proxy::start(&config(&ring)).unwrap();
    assert_eq!(proxy.admin_address(), None);
    let tcp = format!("[admin]\nlisten = \"{}\"\n{ring}", port.address());
    proxy.reload(&config(&tcp)).unwrap();
    assert_eq!(get(admin(&proxy), "/readyz").0, 200);
    proxy.reload(&config(&tcp)).unwrap();
    let (_, page) = get(admin(&proxy), "/metrics");
    assert_eq!(sample(&page, "rendis_reloads_total{result=\"done\"}"), 2);
    let unix = format!("[admin]\nlisten = \"unix:{}\"\n{ring}", path.display());
    proxy.reload(&config(&unix)).unwrap();
    assert!(refuses(port.address()));
    let mut stream = UnixStream::connect(&path).unwrap();
    request(&mut stream, "GET", "/healthz");
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    assert_eq!(split(&text), (200, "ok\n".to_owned()));
    proxy.reload(&config(&ring)).unwrap();
    assert!(!path.exists());
}

#[test]
fn connections_that_ask_nothing_do_not_keep_others_from_the_pages() {
    let servers = Cluster::start(1);
    let proxy = Proxy::start(&config(&(ADMIN.to_owned() + &ring("cache", "", &servers.urls())))).unwrap();
    let mut idle: Vec<_> = (0..200).map(|_| TcpStream::connect(admin(&proxy)).unwrap()).collect();
    let begun = Instant::now();
    assert_eq!(get(admin(&proxy), "/healthz"), (200, "ok\n".to_owned()));
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    // The oldest went, and the youngest stay.
    idle[0].set_read_timeout(Some(Duration::from_secs(4))).unwrap();
    assert_eq!(idle[0].read(&mut [0]).unwrap(), 0);
    let last = idle.last_mut().unwrap();
    request(last, "GET", "/healthz");
    let mut text = String::new();
    last.read_to_string(&mut text).unwrap();
    assert_eq!(split(&text).0, 200);
}

#[test]
fn it_is_not_ready_while_it_drains() {
    let servers = Cluster::start(1);
    let text = ADMIN.to_owned() + &ring("cache", "deadlines = { reply = \"8s\" }", &servers.urls());
    let proxy = Proxy::start(&config(&text)).unwrap();
    let at = admin(&proxy);
    let (mut asks, mut other) = (client(&proxy, "cache"), client(&proxy, "cache"));
    servers[0].stop();
    asks.send(&["GET", "key"]).unwrap();
    until("it asks", || other.command(&["INFO", "shards"]).unwrap().text().contains("in_flight=1"));
    let stopping = std::thread::spawn(move || proxy.stop());
    until("it says so", || get(at, "/readyz") == (503, "shutting down\n".to_owned()));
    servers[0].cont();
    stopping.join().unwrap();
    assert!(refuses(at));
}

#[test]
fn clients_are_served_for_a_while_after_it_is_not_ready_any_more() {
    const DELAY: Duration = Duration::from_millis(700);
    let servers = Cluster::start(1);
    let text = "shutdown_delay = \"700ms\"\n".to_owned() + ADMIN + &ring("cache", "", &servers.urls());
    let proxy = Proxy::start(&config(&text)).unwrap();
    let (at, port) = (admin(&proxy), ring::address(&proxy, "cache"));
    let mut before = client(&proxy, "cache");
    let begun = Instant::now();
    let stopping = std::thread::spawn(move || proxy.stop());
    until("it says so", || get(at, "/readyz") == (503, "shutting down\n".to_owned()));
    assert!(begun.elapsed() < DELAY, "too late to tell anything");
    let mut late = Client::connect(port).unwrap();
    assert!(late.command(&["SET", "k", "v"]).unwrap().is_ok());
    assert!(before.command(&["GET", "k"]).unwrap().error().is_none());
    stopping.join().unwrap();
    assert!(begun.elapsed() >= DELAY);
    assert!(refuses(port) && refuses(at));
    assert_eq!(late.read_to_end().unwrap(), b"");
}
