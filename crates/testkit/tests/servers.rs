//! The servers do what their documentation promises.

use std::{io, net::TcpStream, os::unix::fs::PermissionsExt, path::Path, process::Command, time::Duration};

use rendis_testkit::{Certificates, Client, Cluster, RedisServer, Reply};

#[test]
fn a_server_answers_on_tcp_and_is_gone_after_drop() {
    let server = RedisServer::start();
    let mut client = Client::connect(server.address()).unwrap();
    assert!(client.command(&["SET", "k", "v"]).unwrap().is_ok());
    assert_eq!(server.command(&["GET", "k"]), Reply::bulk("v"));
    assert_eq!(server.url(), format!("redis://127.0.0.1:{}", server.port()));
    let (address, pid, socket) = (server.address(), server.pid().unwrap(), server.socket());
    drop(server);
    assert!(TcpStream::connect(address).is_err());
    assert!(!alive(pid));
    assert!(!socket.exists());
}

#[test]
fn a_killed_server_refuses_and_restarts_empty_at_the_same_place() {
    let server = RedisServer::start();
    server.command(&["SET", "k", "v"]);
    let mut client = Client::connect(server.address()).unwrap();
    let before = server.pid();
    server.kill();
    assert_eq!(server.pid(), None);
    assert!(client.command(&["PING"]).is_err());
    assert_eq!(TcpStream::connect(server.address()).unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
    assert!(server.try_command(&["PING"]).is_err());
    server.restart();
    assert_ne!(server.pid(), before);
    assert_eq!(server.command(&["GET", "k"]), Reply::Nil);
    assert!(Client::connect(server.address()).unwrap().command(&["PING"]).is_ok());
    server.shutdown();
    assert!(server.log().contains("SIGTERM"));
}

#[test]
fn a_stopped_server_is_silent_until_it_goes_on() {
    let server = RedisServer::start();
    let mut client = Client::connect(server.address()).unwrap();
    server.stop();
    client.timeout(Duration::from_millis(100)).unwrap();
    assert!(matches!(
        client.command(&["PING"]).unwrap_err().kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
    ));
    server.cont();
    client.timeout(Client::TIMEOUT).unwrap();
    assert_eq!(client.read().unwrap(), Reply::simple("PONG"));
    server.stop();
    drop(server);
}

#[test]
fn passwords_users_and_memory_are_set() {
    let server = RedisServer::builder().password("secret").maxmemory("3mb").start();
    assert_eq!(server.url(), format!("redis://:secret@{}", server.address()));
    let mut stranger = Client::connect(server.address()).unwrap();
    assert!(stranger.command(&["PING"]).unwrap().error().unwrap().starts_with("NOAUTH"));
    assert!(stranger.command(&["AUTH", "secret"]).unwrap().is_ok());
    assert_eq!(server.command(&["CONFIG", "GET", "maxmemory"]).elements()[1].text(), "3145728");

    let server = RedisServer::builder().user("app", "on >pw ~app:* +get").password("other").start();
    assert_eq!(server.url_for("app", "pw"), format!("redis://app:pw@{}", server.address()));
    let mut app = Client::connect(server.address()).unwrap();
    assert!(app.command(&["AUTH", "app", "pw"]).unwrap().is_ok());
    assert_eq!(app.command(&["GET", "app:1"]).unwrap(), Reply::Nil);
    assert!(app.command(&["GET", "b"]).unwrap().error().unwrap().starts_with("NOPERM"));
    assert!(server.command(&["SET", "b", "1"]).is_ok());
}

#[test]
fn a_unix_server_has_no_port() {
    let server = RedisServer::builder().unix().start();
    assert_eq!(server.url(), format!("unix://{}", server.socket().display()));
    assert!(TcpStream::connect(server.address()).is_err());
    assert!(Client::connect_unix(server.socket()).unwrap().command(&["PING"]).is_ok());
}

#[test]
fn tls_serves_the_certificates_it_names() {
    let certificates = Certificates::generate();
    let server =
        RedisServer::builder().tls_with_client_certificate().certificates(certificates.clone()).start();
    assert_eq!(server.url(), format!("rediss://127.0.0.1:{}", server.port()));
    assert!(server.command(&["PING"]).error().is_none());
    let mut plain = Client::connect(server.address()).unwrap();
    assert!(plain.command(&["PING"]).is_err(), "no plain text on a TLS port");
    // The system's own TLS client is the judge, where it is installed.
    let Some(with) = openssl(&server, &certificates, true) else { return };
    assert!(with.contains("+PONG"), "{with}");
    let without = openssl(&server, &certificates, false).unwrap();
    assert!(!without.contains("+PONG"), "{without}");
}

#[test]
fn clusters_start_side_by_side_and_settings_reach_each() {
    let cluster = Cluster::start_with(3, |at, builder| builder.setting("databases", &(at + 1).to_string()));
    for (at, server) in cluster.iter().enumerate() {
        assert_eq!(
            server.command(&["CONFIG", "GET", "databases"]).elements()[1].text(),
            (at + 1).to_string()
        );
    }
    cluster[1].command(&["SET", "k", "v"]);
    assert_eq!(cluster.sizes(), [0, 1, 0]);
    assert_eq!(cluster.urls().len(), 3);
}

#[test]
#[should_panic(expected = "nonsense-setting")]
fn a_server_that_will_not_start_says_why() {
    let _ = RedisServer::builder().setting("nonsense-setting", "1").start();
}

#[test]
fn a_server_dies_with_the_process_that_started_it() {
    // The guard is a child that waits for the end of its input; here it is tried by itself, with a `sleep` as server.
    let mut sleeper = Command::new("sleep").arg("60").spawn().unwrap();
    let script = format!("read nothing; kill -9 {}", sleeper.id());
    let mut guard =
        Command::new("/bin/sh").args(["-c", &script]).stdin(std::process::Stdio::piped()).spawn().unwrap();
    drop(guard.stdin.take());
    assert!(!sleeper.wait().unwrap().success());
    guard.wait().unwrap();
}

fn alive(pid: u32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

fn openssl(server: &RedisServer, certificates: &Certificates, with_certificate: bool) -> Option<String> {
    let present = std::env::split_paths(&std::env::var_os("PATH")?)
        .any(|path| path.join("openssl").metadata().is_ok_and(|about| about.permissions().mode() & 1 == 1));
    if !present {
        return None;
    }
    let mut shell = String::from(r"(printf 'PING\r\nQUIT\r\n'; sleep 1) | timeout 10 ");
    shell += "openssl s_client -quiet -verify_return_error";
    shell += &format!(" -verify_ip 127.0.0.1 -connect {}", server.address());
    shell += &format!(" -CAfile {}", certificates.ca().display());
    if with_certificate {
        let (cert, key) = (certificates.client_cert(), certificates.client_key());
        shell += &format!(" -cert {} -key {}", cert.display(), key.display());
    }
    let output = Command::new("/bin/sh").args(["-c", &shell]).output().ok()?;
    Some(String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
}
