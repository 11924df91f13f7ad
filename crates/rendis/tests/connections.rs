//! Every way to reach a server, and what the settings of a connection do.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::collections::HashSet;
use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use redis::AsyncCommands;
use rendis::{
    Address, ClientCertificate, Connect, Connecting, Error, Io, Kind, Protocol, Ring, Secret, Sent,
    ShardSettings, TlsSettings, Transport,
};
use rendis_testkit::{Answer, Certificates, FakeServer, RedisServer};
use tokio::net::TcpStream;

async fn works(settings: ShardSettings) {
    let mut ring = Ring::builder().shard_with(settings).build().await.unwrap();
    ring.set::<_, _, ()>("key", "value").await.unwrap();
    let got: String = ring.get("key").await.unwrap();
    assert_eq!(got, "value");
}

async fn refused(settings: ShardSettings) -> Error {
    let mut ring = Ring::builder().shard_with(settings).build().await.unwrap();
    let error = ring.get::<_, Option<String>>("key").await.unwrap_err();
    Error::of(&error).cloned().expect("an error of this crate")
}

fn shard(url: &str) -> ShardSettings {
    ShardSettings::new("only", url).unwrap()
}

#[tokio::test]
async fn a_unix_socket() {
    let server = RedisServer::builder().unix().start();
    works(shard(&server.url())).await;
}

/// Where no connection can be opened, because the process has as many files open as it may.
#[cfg(unix)]
struct NoFilesLeft;

#[cfg(unix)]
impl Connect for NoFilesLeft {
    fn connect<'a>(&'a self, _: &'a Address) -> Connecting<'a> {
        Box::pin(async { Err(std::io::Error::from_raw_os_error(rustix::io::Errno::MFILE.raw_os_error())) })
    }
}

#[cfg(unix)]
#[tokio::test]
async fn a_shard_is_not_down_because_this_process_can_open_no_connection() {
    let server = RedisServer::start();
    let mut wanting = ShardSettings::new("wanting", "redis://localhost:1").unwrap();
    wanting.transport = Transport::Other(Arc::new(NoFilesLeft));
    let heartbeat = Duration::from_millis(20);
    let builder = Ring::builder().shard("here", server.url()).shard_with(wanting);
    let mut ring = builder.heartbeat_frequency(heartbeat).build().await.unwrap();
    let mut keys = (0..1000).filter(|key| ring.shard_for(key.to_string()).unwrap().name() == "wanting");
    // More than the votes that it takes, of probes and of calls.
    for key in keys.by_ref().take(10).collect::<Vec<_>>() {
        let error = ring.get::<_, Option<String>>(key).await.unwrap_err();
        let error = Error::of(&error).unwrap();
        assert_eq!((error.kind(), error.sent()), (Kind::Busy, Sent::No), "{error}");
        tokio::time::sleep(heartbeat).await;
    }
    assert_eq!(ring.len(), 2);
}

/// Leads to one port, whatever the address says, and counts how often.
struct Tunnel {
    port: u16,
    made: AtomicUsize,
}

impl Connect for Tunnel {
    fn connect<'a>(&'a self, _: &'a Address) -> Connecting<'a> {
        self.made.fetch_add(1, Ordering::Relaxed);
        Box::pin(async {
            let socket: Box<dyn Io> = Box::new(TcpStream::connect(("127.0.0.1", self.port)).await?);
            Ok(socket)
        })
    }
}

/// A shard at a host that does not exist, and the tunnel that leads to it.
fn beyond(server: &RedisServer, url: &str) -> (ShardSettings, Arc<Tunnel>) {
    let tunnel = Arc::new(Tunnel { port: server.port(), made: AtomicUsize::new(0) });
    let transport = Transport::Other(tunnel.clone());
    let mut shard = shard(url);
    shard.transport = transport;
    (shard, tunnel)
}

#[tokio::test]
async fn every_connection_of_a_shard_is_made_by_its_transport() {
    let server = RedisServer::builder().start();
    let (settings, tunnel) = beyond(&server, "redis://nowhere.invalid:1");
    let mut ring = Ring::builder().shard_with(settings).build().await.unwrap();
    let got: Option<String> = ring.get("key").await.unwrap();
    assert_eq!(got, None);
    let popped: Option<(String, String)> = ring.blpop("list", 0.01).await.unwrap();
    assert_eq!(popped, None);
    let subscription = ring.subscribe(&["news"]).await.unwrap();
    while tunnel.made.load(Ordering::Relaxed) < 4 {
        // The probe's, which comes by itself.
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    drop(subscription);
}

#[tokio::test]
async fn tls_is_spoken_over_any_transport() {
    let server = RedisServer::builder().tls().start();
    let (mut settings, tunnel) = beyond(&server, "rediss://localhost:1");
    settings.tls = Some(trusting(server.certificates().unwrap()));
    works(settings).await;
    assert!(tunnel.made.load(Ordering::Relaxed) > 0);
}

fn trusting(certificates: &Certificates) -> TlsSettings {
    TlsSettings { ca: fs::read(certificates.ca()).unwrap(), ..TlsSettings::default() }
}

#[tokio::test]
async fn tls_with_a_certificate_authority_of_ones_own() {
    let server = RedisServer::builder().tls().start();
    let mut settings = shard(&server.url());
    assert!(settings.tls.is_some(), "rediss:// asks for TLS");
    let error = refused(settings.clone()).await;
    assert_eq!((error.kind(), error.sent(), error.shard()), (Kind::Tls, Sent::No, Some("only")), "{error}");
    settings.tls = Some(trusting(server.certificates().unwrap()));
    works(settings.clone()).await;
    settings.tls =
        settings.tls.map(|tls| TlsSettings { server_name: Some("elsewhere.example".into()), ..tls });
    assert_eq!(refused(settings).await.kind(), Kind::Tls, "the certificate is for another name");
}

#[tokio::test]
async fn tls_with_a_client_certificate() {
    let server = RedisServer::builder().tls_with_client_certificate().start();
    let certificates = server.certificates().unwrap();
    let mut settings = shard(&server.url());
    settings.tls = Some(trusting(certificates));
    let error = refused(settings.clone()).await;
    assert!(matches!(error.kind(), Kind::Tls | Kind::ShardDown), "{error}");
    let key = Secret::new(fs::read_to_string(certificates.client_key()).unwrap());
    let certificate = fs::read(certificates.client_cert()).unwrap();
    let client = Some(ClientCertificate { certificate, key });
    settings.tls = Some(TlsSettings { client, ..trusting(certificates) });
    works(settings).await;
}

#[tokio::test]
async fn certificates_that_cannot_be_used_are_told_at_once() {
    let mut settings = shard("rediss://localhost:1");
    settings.tls = Some(TlsSettings { ca: b"no certificate".to_vec(), ..TlsSettings::default() });
    let error = Ring::builder().shard_with(settings).build().await.unwrap_err();
    assert_eq!(error.kind(), Kind::Config);
    assert!(error.to_string().contains("only"), "{error}");
}

#[tokio::test]
async fn an_acl_user_a_database_a_name_and_either_protocol() {
    let server = RedisServer::builder().user("app", "on >secret ~* &* +@all").start();
    for protocol in [Protocol::Newest, Protocol::Resp2] {
        let ring = Ring::builder()
            .shard("only", format!("{}/3", server.url_for("app", "secret")))
            .each_shard(move |_, shard| shard.protocol = protocol)
            .client_name("a-test")
            .build()
            .await
            .unwrap();
        let mut caller = ring.clone();
        let whoami: String =
            redis::cmd("ACL").arg("WHOAMI").query_async(&mut ring.shards()[0].clone()).await.unwrap();
        assert_eq!(whoami, "app");
        caller.set::<_, _, ()>("key", "value").await.unwrap();
        let got: Vec<(String, f64)> = {
            caller.zadd::<_, _, _, ()>("scores", "one", 1.5).await.unwrap();
            caller.zrange_withscores("scores", 0, -1).await.unwrap()
        };
        assert_eq!(got, [("one".to_owned(), 1.5)]);
        let clients = server.command(&["CLIENT", "LIST"]).text().to_owned();
        let own = clients.lines().find(|line| line.contains("name=a-test") && line.contains(" db=3 "));
        let expected = if protocol == Protocol::Newest { " resp=3" } else { " resp=2" };
        assert!(own.is_some_and(|line| line.contains(expected)), "{clients}");
    }
    assert_eq!(server.command(&["DBSIZE"]).integer(), 0, "nothing went to database 0");
    let error = refused(shard(&format!("{}/99", server.url_for("app", "secret")))).await;
    assert_eq!(error.kind(), Kind::Config, "{error}");
}

#[tokio::test]
async fn a_server_without_hello_is_spoken_to_in_resp2() {
    let old = FakeServer::start(|request| match request.name().as_str() {
        "HELLO" => Answer::text("-ERR unknown command `HELLO`, with args beginning with: `3`, \r\n"),
        "AUTH" if request.arguments[1..] == [b"secret".to_vec()] => Answer::ok(),
        "AUTH" => Answer::text("-ERR invalid password\r\n"),
        "GET" => Answer::text("$5\r\nvalue\r\n"),
        _ => Answer::ok(),
    });
    let url = format!("redis://:secret@{}", old.address());
    works(shard(&url)).await;
    // What comes behind HELLO is refused, because nobody has logged in yet.
    let known = Mutex::new(HashSet::new());
    let old = FakeServer::start(move |request| {
        let mut known = known.lock().unwrap();
        match request.name().as_str() {
            "HELLO" => Answer::text("-ERR unknown command `HELLO`, with args beginning with: `3`, \r\n"),
            "AUTH" if request.arguments[1..] == [b"secret".to_vec()] => {
                known.insert(request.connection);
                Answer::ok()
            }
            _ if !known.contains(&request.connection) => Answer::text("-NOAUTH Authentication required.\r\n"),
            "GET" => Answer::text("$5\r\nvalue\r\n"),
            _ => Answer::ok(),
        }
    });
    works(shard(&format!("redis://:secret@{}/3", old.address()))).await;
}

/// While a password is rolled out.
#[tokio::test]
async fn a_password_that_a_server_does_not_ask_for_is_no_mistake() {
    let server = RedisServer::start();
    let old = FakeServer::start(|request| match request.name().as_str() {
        "HELLO" => Answer::text("-ERR unknown command 'HELLO'\r\n"),
        "AUTH" => Answer::text("-ERR Client sent AUTH, but no password is set\r\n"),
        "GET" => Answer::text("$5\r\nvalue\r\n"),
        _ => Answer::ok(),
    });
    for address in [server.address(), old.address()] {
        for protocol in [Protocol::Newest, Protocol::Resp2] {
            let mut settings = shard(&format!("redis://:secret@{address}"));
            settings.protocol = protocol;
            works(settings).await;
        }
    }
}

#[tokio::test]
async fn a_shard_that_is_connected_to_and_says_nothing_is_told_from_one_that_is_not_there() {
    let certificates = Certificates::generate();
    let dumb = FakeServer::never_accepts();
    let connected = |text: &str| format!("connected, but no {text} in 100ms");
    for (scheme, text) in [
        ("redis", connected("answer to the handshake")),
        ("rediss", connected("TLS handshake (does the server speak TLS?)")),
    ] {
        let mut settings = shard(&format!("{scheme}://{}", dumb.address()));
        if let Some(tls) = &mut settings.tls {
            tls.ca = fs::read(certificates.ca()).unwrap();
        }
        let builder = Ring::builder().shard_with(settings).connect_timeout(Duration::from_millis(100));
        let mut ring = builder.attempts(1).build().await.unwrap();
        let error = ring.get::<_, Option<String>>("key").await.unwrap_err();
        assert!(error.to_string().contains(&text), "{error}");
    }
}

#[tokio::test]
async fn a_server_that_never_answers_costs_the_connect_deadline() {
    let fake = FakeServer::never_accepts();
    let started = std::time::Instant::now();
    let mut ring = Ring::builder()
        .shard("silent", fake.url())
        .connect_timeout(Duration::from_millis(100))
        .attempts(1)
        .build()
        .await
        .unwrap();
    let error = ring.get::<_, Option<String>>("key").await.unwrap_err();
    assert!(started.elapsed() < Duration::from_secs(1));
    let error = Error::of(&error).cloned().unwrap();
    assert_eq!(
        (error.kind(), error.sent(), error.shard()),
        (Kind::Timeout, Sent::No, Some("silent")),
        "{error}"
    );
}

#[tokio::test]
async fn full_queues_answer_busy_at_once() {
    let server = RedisServer::start();
    let ring = Ring::builder().shard("only", server.url()).queue_limits(10, 1 << 20).build().await.unwrap();
    server.stop();
    let waiting: Vec<_> = (0..10)
        .map(|_| {
            let mut caller = ring.clone();
            tokio::spawn(async move { caller.incr::<_, _, i64>("key", 1).await })
        })
        .collect();
    tokio::task::yield_now().await;
    while ring.stats().shards[0].in_flight < 10 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let error = ring.clone().incr::<_, _, i64>("key", 1).await.unwrap_err();
    let error = Error::of(&error).cloned().unwrap();
    assert_eq!((error.kind(), error.sent()), (Kind::Busy, Sent::No));
    server.cont();
    for waiter in waiting {
        waiter.await.unwrap().unwrap();
    }
    assert_eq!(server.command(&["GET", "key"]).text(), "10");
}

#[tokio::test]
async fn a_socket_that_takes_nothing_ends_at_the_write_deadline() {
    let server = RedisServer::start();
    let ring = Ring::builder()
        .shard("only", server.url())
        .write_timeout(Duration::from_millis(100))
        .reply_timeout(Duration::from_secs(10))
        .attempts(1)
        .build()
        .await
        .unwrap();
    server.stop();
    let value = vec![b'x'; 64 << 20];
    let error = ring.clone().set::<_, _, ()>("key", &value).await.unwrap_err();
    let error = Error::of(&error).cloned().unwrap();
    assert_eq!((error.kind(), error.sent()), (Kind::Timeout, Sent::No), "half a frame cannot run: {error}");
    server.cont();
}

#[tokio::test]
async fn large_values_pass_whole() {
    let server = RedisServer::start();
    let mut ring = Ring::builder().shard("only", server.url()).build().await.unwrap();
    let value: Vec<u8> = (0..16 << 20).map(|number: u32| number.to_le_bytes()[0]).collect();
    ring.set::<_, _, ()>("key", &value).await.unwrap();
    let got: Vec<u8> = ring.get("key").await.unwrap();
    assert!(got == value);
}

#[tokio::test]
async fn scripts_are_known_on_every_shard() {
    let servers = [RedisServer::start(), RedisServer::start()];
    let ring = Ring::builder()
        .shards(servers.iter().enumerate().map(|(at, server)| (format!("shard{at}"), server.url())))
        .heartbeat_frequency(Duration::from_millis(50))
        .build()
        .await
        .unwrap();
    let mut caller = ring.clone();
    let script = redis::Script::new("return redis.call('SET', KEYS[1], ARGV[1])");
    for number in 0..20 {
        script.key(format!("key{number}")).arg(number).invoke_async::<()>(&mut caller).await.unwrap();
    }
    // A shard that forgot them is told again, unseen.
    for server in &servers {
        server.command(&["SCRIPT", "FLUSH"]);
    }
    for number in 0..20 {
        let mut run = redis::cmd("EVALSHA");
        run.arg(script.get_hash()).arg(1).arg(format!("key{number}")).arg(number);
        run.exec_async(&mut caller).await.unwrap();
    }
    let error = redis::cmd("EVALSHA")
        .arg("0".repeat(40))
        .arg(1)
        .arg("key")
        .exec_async(&mut caller)
        .await
        .unwrap_err();
    assert_eq!(error.code(), Some("NOSCRIPT"), "{error}");
    // One that comes back empty knows them before it serves.
    servers[0].kill();
    while ring.len() == 2 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    servers[0].restart();
    while ring.len() == 1 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let known = servers[0].command(&["SCRIPT", "EXISTS", script.get_hash()]);
    assert_eq!(known.elements()[0].integer(), 1);
}

#[tokio::test]
async fn a_long_pipeline_is_one_write_a_shard_and_a_handle_costs_nothing() {
    let servers = [RedisServer::start(), RedisServer::start(), RedisServer::start()];
    let ring = Ring::builder()
        .shards(servers.iter().enumerate().map(|(at, server)| (format!("shard{at}"), server.url())))
        .build()
        .await
        .unwrap();
    let mut caller = ring.clone();
    let mut pipe = redis::pipe();
    for number in 0..1000 {
        pipe.set(format!("key{number}"), number).ignore();
    }
    let writes = || ring.stats().shards.iter().map(|shard| shard.writes).collect::<Vec<_>>();
    let before = writes();
    pipe.exec_async(&mut caller).await.unwrap();
    let after = writes();
    for (before, after) in before.iter().zip(after) {
        assert_eq!(after - before, 1);
    }
    let handles: Vec<Ring> = (0..10_000).map(|_| ring.clone()).collect();
    assert!(size_of::<Ring>() <= 64);
    for server in &servers {
        let clients = server.command(&["CLIENT", "LIST"]).text().lines().count();
        assert!(clients <= 3, "one wire, one probe, and the one that asks; not {clients}");
    }
    drop(handles);
}
