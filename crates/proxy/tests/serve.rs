//! Listeners, threads, limits, and how it all ends.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod ring;
mod tls;

use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use rendis_proxy::serve::{Proxy, StartError};
use rendis_testkit::{Certificates, Client, Cluster, Port, RedisServer, Reply};

use ring::{address, client, config, refuses, ring, until};
use tls::{ping, tls_client, tls_ring};

/// How many clients a server has, apart from the one that asks.
fn connections(server: &RedisServer) -> usize {
    server.clients().len()
}

fn set_all(client: &mut Client, keys: usize) {
    for key in 0..keys {
        assert!(client.command(&["SET", &format!("key:{key}"), "value"]).unwrap().is_ok());
    }
}

#[test]
fn several_rings_have_their_own_shards_and_listeners_of_both_kinds() {
    let (first, second) = (Cluster::start(2), Cluster::start(1));
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("second.sock");
    let listen = format!("listen = [\"127.0.0.1:0\", \"unix:{}\"]", path.display());
    let text = ring("first", "", &first.urls()) + &ring("second", &listen, &second.urls());
    let proxy = Proxy::start(&config(&text)).unwrap();
    assert_eq!(proxy.addresses().len(), 3);
    assert_eq!(proxy.addresses()[2], ("second".to_owned(), format!("unix:{}", path.display())));
    set_all(&mut client(&proxy, "first"), 100);
    let mut unix = Client::connect_unix(&path).unwrap();
    assert!(unix.command(&["SET", "k", "v"]).unwrap().is_ok());
    assert_eq!(client(&proxy, "second").command(&["GET", "k"]).unwrap(), Reply::bulk("v"));
    assert_eq!(first.sizes().iter().sum::<i64>(), 100);
    assert!(first.sizes().iter().all(|size| *size > 0));
    assert_eq!(second.sizes(), [1]);
    let ports = [address(&proxy, "first"), address(&proxy, "second")];
    proxy.stop();
    assert!(!path.exists());
    // Another test may have got the number meanwhile, for as long as it takes.
    until("the ports are free", || ports.into_iter().all(refuses));
    until("connections to the servers end", || {
        first.iter().chain(second.iter()).all(|server| connections(server) == 0)
    });
}

#[test]
fn clients_are_spread_over_the_threads_and_each_has_its_own_connection_to_a_shard() {
    let servers = Cluster::start(1);
    let proxy =
        Proxy::start(&config(&("threads = 3\n".to_owned() + &ring("cache", "", &servers.urls())))).unwrap();
    // One wire a thread, and one probe for all.
    until("each thread has its connections", || connections(&servers[0]) == 4);
    let mut clients: Vec<_> = (0..64).map(|_| client(&proxy, "cache")).collect();
    for (number, client) in clients.iter_mut().enumerate() {
        let key = format!("key:{number}");
        assert!(client.command(&["SET", &key, "v"]).unwrap().is_ok());
    }
    let used = servers[0].command(&["CLIENT", "LIST"]);
    let used = used.text().lines().filter(|line| line.contains("cmd=set")).count();
    assert!(used >= 2, "only {used} of 3 threads have clients");
}

/// What its sleep may be longer by is set by a thread that moderates itself, at its first look for events.
#[cfg(target_os = "linux")]
#[test]
fn every_thread_moderates_how_often_it_looks_for_events() {
    use std::fs::{DirEntry, read_dir, read_to_string};
    use std::path::Path;

    let servers = Cluster::start(1);
    let text = "threads = 3\n".to_owned() + &ring("cache", "", &servers.urls());
    let _proxy = Proxy::start(&config(&text)).unwrap();
    // Those of other tests' proxies, too, which are no different.
    until("all threads have begun to", || {
        let threads = read_dir("/proc/self/task").unwrap().map(|thread| thread.unwrap());
        let name = |thread: &DirEntry| read_to_string(thread.path().join("comm")).unwrap_or_default();
        let workers = threads.filter(|thread| name(thread).starts_with("rendis-"));
        let slack = |thread: DirEntry| Path::new("/proc").join(thread.file_name()).join("timerslack_ns");
        let slacks: Vec<_> = workers.filter_map(|thread| read_to_string(slack(thread)).ok()).collect();
        slacks.len() >= 3 && slacks.iter().all(|slack| slack == "1\n")
    });
}

#[test]
fn one_client_too_many_is_told_and_places_become_free() {
    let servers = Cluster::start(1);
    let proxy = Proxy::start(&config(&ring("cache", "max_clients = 2", &servers.urls()))).unwrap();
    let (mut one, mut two) = (client(&proxy, "cache"), client(&proxy, "cache"));
    for client in [&mut one, &mut two] {
        assert_eq!(client.command(&["PING"]).unwrap(), Reply::simple("PONG"));
    }
    let mut three = client(&proxy, "cache");
    assert_eq!(three.read_to_end().unwrap(), b"-ERR max number of clients reached\r\n");
    drop(one);
    until("the place is free", || {
        client(&proxy, "cache").command(&["PING"]).is_ok_and(|reply| reply == Reply::simple("PONG"))
    });
    assert_eq!(two.command(&["PING"]).unwrap(), Reply::simple("PONG"));
}

#[test]
fn a_port_that_is_taken_is_refused_and_nothing_is_left() {
    let servers = Cluster::start(1);
    let taken = Proxy::start(&config(&ring("cache", "", &servers.urls()))).unwrap();
    let free = Port::free();
    let both = format!("listen = [\"{}\", \"{}\"]", free.address(), address(&taken, "cache"));
    let Err(error) = Proxy::start(&config(&ring("other", &both, &servers.urls()))) else {
        panic!("it listens where somebody else does");
    };
    assert!(matches!(&error, StartError::Listen { error, .. } if error.kind() == io::ErrorKind::AddrInUse));
    assert!(error.to_string().starts_with("ring \"other\" cannot listen on 127.0.0.1:"), "{error}");
    assert!(refuses(free.address()));
    // A port comes free with its proxy, at once.
    let port = address(&taken, "cache");
    let mut busy = client(&taken, "cache");
    assert_eq!(busy.command(&["PING"]).unwrap(), Reply::simple("PONG"));
    taken.stop();
    let again = format!("listen = \"{port}\"");
    drop(Proxy::start(&config(&ring("cache", &again, &servers.urls()))).unwrap());
}

const SHUTDOWN: &str = "-SHUTDOWN rendis is shutting down; may have been executed\r\n";
const NEVER_RAN: &str = "-SHUTDOWN rendis is shutting down; not executed\r\n";

#[test]
fn what_is_in_flight_is_finished_and_idle_clients_leave_at_once() {
    let servers = Cluster::start(1);
    let proxy =
        Proxy::start(&config(&ring("cache", "deadlines = { reply = \"8s\" }", &servers.urls()))).unwrap();
    let at = address(&proxy, "cache");
    let (mut idle, mut waits, mut listens) =
        (client(&proxy, "cache"), client(&proxy, "cache"), client(&proxy, "cache"));
    let mut asks = client(&proxy, "cache");
    assert_eq!(idle.command(&["PING"]).unwrap(), Reply::simple("PONG"));
    listens.send(&["SUBSCRIBE", "news"]).unwrap();
    listens.read().unwrap();
    waits.send_raw(b"BLPOP list 0\r\n").unwrap();
    until("it waits", || servers[0].command(&["INFO", "clients"]).text().contains("blocked_clients:1"));
    let mut behind = client(&proxy, "cache");
    behind.send_raw(b"*3\r\n$5\r\nBLPOP\r\n$1\r\nl\r\n$1\r\n0\r\n*1\r\n$4\r\nPING\r\n").unwrap();
    until("it waits", || servers[0].command(&["INFO", "clients"]).text().contains("blocked_clients:2"));
    behind.send(&["SET", "k", "v"]).unwrap();
    behind.send_raw(b"GET k\r\n").unwrap();
    servers[0].stop();
    asks.send(&["GET", "key"]).unwrap();
    until("it asks", || idle.command(&["INFO", "shards"]).unwrap().text().contains("in_flight=1"));
    let begun = Instant::now();
    let stopping = std::thread::spawn(move || proxy.stop());
    assert_eq!(idle.read_to_end().unwrap(), b"");
    assert_eq!(listens.read_to_end().unwrap(), b"");
    // Nobody knows how long one that waits for others would.
    assert_eq!(String::from_utf8(waits.read_to_end().unwrap()).unwrap(), SHUTDOWN);
    let told = String::from_utf8(behind.read_to_end().unwrap()).unwrap();
    assert_eq!(told, SHUTDOWN.to_owned() + &NEVER_RAN.repeat(3));
    until("nobody accepts", || refuses(at));
    assert!(!stopping.is_finished());
    servers[0].cont();
    assert_eq!(asks.read_to_end().unwrap(), b"$-1\r\n");
    stopping.join().unwrap();
    assert!(begun.elapsed() < Duration::from_secs(8), "it waited though nothing was in flight");
}

#[test]
fn what_is_not_finished_in_time_is_answered_with_shutdown() {
    let servers = Cluster::start(1);
    let proxy = Proxy::start(&config(&ring("cache", "drain = \"50ms\"", &servers.urls()))).unwrap();
    let mut pipelines = client(&proxy, "cache");
    assert_eq!(pipelines.command(&["PING"]).unwrap(), Reply::simple("PONG"));
    servers[0].stop();
    pipelines.send_raw(b"*2\r\n$3\r\nGET\r\n$1\r\na\r\n*2\r\n$3\r\nGET\r\n$1\r\nb\r\n").unwrap();
    // What is not read yet when the end begins is not begun.
    let mut other = client(&proxy, "cache");
    until("both are asked", || other.command(&["INFO", "shards"]).unwrap().text().contains("in_flight=2"));
    let begun = Instant::now();
    proxy.stop();
    assert_eq!(String::from_utf8(pipelines.read_to_end().unwrap()).unwrap(), SHUTDOWN.repeat(2));
    assert!(begun.elapsed() < Duration::from_secs(3));
    servers[0].cont();
}

#[test]
fn a_client_that_does_not_read_does_not_hold_the_end_up() {
    let servers = Cluster::start(1);
    let proxy = Proxy::start(&config(&ring("cache", "drain = \"50ms\"", &servers.urls()))).unwrap();
    let big = "x".repeat(8 << 20);
    assert!(client(&proxy, "cache").command(&["SET", "big", &big]).unwrap().is_ok());
    let mut deaf = client(&proxy, "cache");
    for _ in 0..4 {
        deaf.send(&["GET", "big"]).unwrap();
    }
    until("the replies are under way", || {
        let mut one = [0; 1];
        let stream = TcpStream::connect(address(&proxy, "cache"));
        stream.is_ok_and(|mut stream| {
            stream.write_all(b"PING\r\n").is_ok() && stream.read_exact(&mut one).is_ok()
        })
    });
    let begun = Instant::now();
    proxy.stop();
    assert!(begun.elapsed() < Duration::from_secs(5));
}

#[test]
fn clients_speak_tls_where_the_listener_does() {
    let (servers, certificates) = (Cluster::start(1), Certificates::generate());
    let proxy = Proxy::start(&config(&tls_ring(&certificates, "", &servers.urls()))).unwrap();
    let mut stream = tls_client(&proxy, &certificates, false);
    assert_eq!(ping(&mut stream).unwrap(), "+PONG\r\n");
    assert!(ping(&mut tls_client(&proxy, &Certificates::generate(), false)).is_err());
    // One that does not speak TLS, and one that says nothing, cost the others nothing.
    let _silent = TcpStream::connect(address(&proxy, "cache")).unwrap();
    let mut plain = client(&proxy, "cache");
    assert!(plain.command(&["PING"]).is_err());
    assert_eq!(ping(&mut tls_client(&proxy, &certificates, false)).unwrap(), "+PONG\r\n");
    let begun = Instant::now();
    proxy.stop();
    assert!(begun.elapsed() < Duration::from_secs(5), "a handshake under way holds the end up");
    assert_eq!(stream.read(&mut [0; 1]).unwrap(), 0, "TLS is not closed as it should be");
}

#[test]
fn client_certificates_are_required_or_may_be_shown() {
    let (servers, certificates) = (Cluster::start(1), Certificates::generate());
    let ca = format!(", client_ca = \"{}\"", certificates.ca().display());
    let strict = Proxy::start(&config(&tls_ring(&certificates, &ca, &servers.urls()))).unwrap();
    assert_eq!(ping(&mut tls_client(&strict, &certificates, true)).unwrap(), "+PONG\r\n");
    assert!(ping(&mut tls_client(&strict, &certificates, false)).is_err());
    let ca = format!("{ca}, required = false");
    let lenient = Proxy::start(&config(&tls_ring(&certificates, &ca, &servers.urls()))).unwrap();
    assert_eq!(ping(&mut tls_client(&lenient, &certificates, true)).unwrap(), "+PONG\r\n");
    assert_eq!(ping(&mut tls_client(&lenient, &certificates, false)).unwrap(), "+PONG\r\n");
}

#[test]
fn a_key_that_is_not_the_certificates_is_refused_before_anything_listens() {
    let (servers, certificates) = (Cluster::start(1), Certificates::generate());
    let text = tls_ring(&certificates, "", &servers.urls()).replace("server.key", "client.key");
    let Err(error) = Proxy::start(&config(&text)) else { panic!("it was taken") };
    assert!(error.to_string().starts_with("ring \"cache\": tls: cert and key: "), "{error}");
}

#[test]
fn all_that_has_arrived_is_answered_at_the_end() {
    let servers = Cluster::start(1);
    let fields = "drain = \"0s\"\ndeadlines = { reply = \"8s\" }";
    let proxy = Proxy::start(&config(&ring("cache", fields, &servers.urls()))).unwrap();
    let (mut client, mut other) = (client(&proxy, "cache"), client(&proxy, "cache"));
    servers[0].stop();
    client.send_raw(&b"*2\r\n$4\r\nINCR\r\n$1\r\nq\r\n".repeat(500)).unwrap();
    until("it asks", || {
        let shards = other.command(&["INFO", "shards"]).unwrap().text().to_owned();
        !shards.contains("in_flight=0")
    });
    proxy.stop();
    let told = String::from_utf8(client.read_to_end().unwrap()).unwrap();
    assert_eq!(told.lines().count(), 500, "{told:.500}");
    assert!(told.starts_with(SHUTDOWN) && told.ends_with(NEVER_RAN), "{told:.500}");
    servers[0].cont();
    until("what was sent has run", || servers[0].try_command(&["PING"]).is_ok());
    let ran = servers[0].command(&["GET", "q"]).text().parse::<usize>().unwrap_or_default();
    assert!(ran <= told.matches("may have been executed").count(), "{ran} ran");
}
