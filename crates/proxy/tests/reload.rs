//! A configuration that changes while clients are there.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod ring;
mod tls;

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rendis_core::placement::Spec;
use rendis_proxy::config::Listen;
use rendis_proxy::serve::{Proxy, StartError};
use rendis_testkit::{Certificates, Client, Cluster, Port, RedisServer, Reply};

use ring::{address, client, config, pong, refuses, ring, until};
use tls::{ping, tls_client, tls_ring};

/// The numbers that a server gives to the connections that come: those that stay keep theirs.
fn connection_ids(server: &RedisServer) -> Vec<String> {
    let clients = server.clients();
    let mut ids: Vec<_> = clients.iter().map(|line| line.split(' ').next().unwrap().to_owned()).collect();
    ids.sort();
    ids
}

/// The connections of a server once both threads have a wire, and the ring its probe.
fn settled(server: &RedisServer) -> Vec<String> {
    until("both threads have their connections", || connection_ids(server).len() == 3);
    connection_ids(server)
}

#[test]
fn shards_and_placement_change_under_a_client_that_loses_nothing() {
    let servers = Cluster::start(3);
    let urls = servers.urls();
    let mut proxy = Proxy::start(&config(&ring("cache", "", &urls[..2]))).unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let at = address(&proxy, "cache");
    let callers: Vec<_> = (0..4)
        .map(|caller| {
            let stop = Arc::clone(&stop);
            thread::spawn(move || {
                let mut client = Client::connect(at).unwrap();
                let mut calls = 0_u32;
                while !stop.load(Ordering::Relaxed) {
                    let key = format!("key:{caller}:{calls}");
                    assert!(client.command(&["SET", &key, "v"]).unwrap().is_ok(), "call {calls}");
                    calls += 1;
                }
                calls
            })
        })
        .collect();
    let before = settled(&servers[0]);
    let mut busy = client(&proxy, "cache");
    for round in 0..10 {
        let count = if round % 2 == 0 { 3 } else { 2 };
        let fields = if round % 3 == 0 { "" } else { "placement = { like = \"jump\" }" };
        proxy.reload(&config(&ring("cache", fields, &urls[..count]))).unwrap();
        pong(&mut busy);
    }
    proxy.reload(&config(&ring("cache", "placement = { like = \"jump\" }", &urls))).unwrap();
    stop.store(true, Ordering::Relaxed);
    assert!(callers.into_iter().map(|caller| caller.join().unwrap()).all(|calls| calls > 0));
    assert!(servers.sizes().iter().all(|size| *size > 0));
    // A shard that comes is taught the functions of the others, over a connection that ends then.
    until("a shard that stayed has its old connections alone", || connection_ids(&servers[0]) == before);
    assert_eq!(address(&proxy, "cache"), at);
    // Keys are where the new placement has them.
    let placement =
        config(&ring("cache", "placement = { like = \"jump\" }", &urls)).rings[0].place().unwrap();
    for number in 0..50 {
        let key = format!("later:{number}");
        assert!(busy.command(&["SET", &key, "v"]).unwrap().is_ok());
        let home = placement.locate(key.as_bytes()).unwrap().index();
        assert_eq!(servers[home].command(&["EXISTS", &key]).integer(), 1, "{key}");
    }
}

#[test]
fn a_request_in_flight_on_a_shard_that_leaves_is_answered_by_it() {
    let servers = Cluster::start(2);
    let urls = servers.urls();
    let mut proxy = Proxy::start(&config(&ring("cache", "", &urls[..1]))).unwrap();
    let mut waits = client(&proxy, "cache");
    waits.send(&["BLPOP", "list", "0"]).unwrap();
    until("it waits", || servers[0].command(&["INFO", "clients"]).text().contains("blocked_clients:1"));
    let text = ring("cache", "", &urls).replace("shard1", "gone");
    let only_second = text.replace(&urls[0], &urls[1]);
    let second = only_second.split("[[ring.shard]]\nname = \"shard2\"").next().unwrap();
    proxy.reload(&config(second)).unwrap();
    let mut other = client(&proxy, "cache");
    assert!(other.command(&["SET", "k", "v"]).unwrap().is_ok());
    assert_eq!(servers[1].command(&["GET", "k"]), Reply::bulk("v"));
    servers[0].command(&["RPUSH", "list", "item"]);
    assert_eq!(waits.read().unwrap(), Reply::array([Reply::bulk("list"), Reply::bulk("item")]));
    pong(&mut waits);
    until("the shard that left is let go", || connection_ids(&servers[0]).is_empty());
}

#[test]
fn who_waits_on_a_shard_that_is_connected_to_in_another_way_waits_on() {
    let servers = Cluster::start(2);
    let urls = servers.urls();
    let fields = |reply: &str| format!("drain = \"0s\"\ndeadlines = {{ reply = \"{reply}\" }}");
    let mut proxy = Proxy::start(&config(&ring("cache", &fields("5s"), &urls))).unwrap();
    let mut other = client(&proxy, "cache");
    let mut info = |section: &str, field: &str| {
        let text = other.command(&["INFO", section]).unwrap().text().to_owned();
        let counts =
            text.lines().filter_map(|line| line.split_once(field)?.1.split(',').next()?.parse::<u64>().ok());
        counts.sum::<u64>()
    };
    let mut clients: Vec<_> = (0..8).map(|_| client(&proxy, "cache")).collect();
    for (number, waits) in clients.iter_mut().enumerate() {
        assert!(waits.command(&["SET", &format!("key{number}"), "v"]).unwrap().is_ok());
        waits.send(&["BLPOP", &format!("list{number}"), "0"]).unwrap();
    }
    until("all wait", || info("clients", "blocked_clients:") == 8);
    let counted = info("shards", "requests=");
    assert!(counted >= 8, "{counted}");
    proxy.reload(&config(&ring("cache", &fields("6s"), &urls))).unwrap();
    assert_eq!(info("clients", "blocked_clients:"), 8);
    // What was counted is not forgotten.
    assert!(info("shards", "requests=") >= counted);
    until("the new connections are used", || {
        client(&proxy, "cache").command(&["DBSIZE"]).unwrap().integer() == 8
    });
    for (number, waits) in clients.iter_mut().enumerate() {
        client(&proxy, "cache").command(&["RPUSH", &format!("list{number}"), "item"]).unwrap();
        let expected = Reply::array([Reply::bulk(format!("list{number}")), Reply::bulk("item")]);
        assert_eq!(waits.read().unwrap(), expected);
    }
    assert_eq!(info("clients", "blocked_clients:"), 0);
}

#[test]
fn who_waits_on_a_shard_that_leaves_is_told_when_it_is_drained() {
    let servers = Cluster::start(2);
    let urls = servers.urls();
    let both = ring("cache", "drain = \"300ms\"", &urls);
    let (first, _) = both.split_once("[[ring.shard]]\nname = \"shard2\"").unwrap();
    let mut proxy = Proxy::start(&config(&both)).unwrap();
    let mut clients: Vec<_> = (0..8).map(|_| client(&proxy, "cache")).collect();
    for (number, waits) in clients.iter_mut().enumerate() {
        waits.send(&["BLPOP", &format!("list{number}"), "0"]).unwrap();
    }
    let blocked = |server: &RedisServer| {
        let info = server.command(&["INFO", "clients"]);
        let (_, count) = info.text().split_once("blocked_clients:").unwrap();
        count.lines().next().unwrap().parse::<usize>().unwrap()
    };
    until("all wait", || servers.iter().map(blocked).sum::<usize>() == 8);
    let leaving = blocked(&servers[1]);
    assert!(leaving > 0);
    proxy.reload(&config(first)).unwrap();
    until("nobody waits on the shard that left", || blocked(&servers[1]) == 0);
    let mut other = client(&proxy, "cache");
    let mut told = 0;
    for (number, waits) in clients.iter_mut().enumerate() {
        other.command(&["RPUSH", &format!("list{number}"), "item"]).unwrap();
        match waits.read().unwrap() {
            Reply::Error(text) => {
                assert!(
                    text.starts_with("SHARDDOWN shard2") && text.ends_with("may have been executed"),
                    "{text}"
                );
                told += 1;
            }
            reply => {
                assert_eq!(reply, Reply::array([Reply::bulk(format!("list{number}")), Reply::bulk("item")]))
            }
        }
    }
    assert_eq!(told, leaving);
    until("the shard that left is let go", || connection_ids(&servers[1]).is_empty());
}

#[test]
fn subscriptions_on_all_threads_move_with_the_shards() {
    let servers = Cluster::start(3);
    let urls = servers.urls();
    let mut proxy = Proxy::start(&config(&ring("cache", "", &urls[..2]))).unwrap();
    let channels: Vec<_> = (0..30).map(|number| format!("channel:{number}")).collect();
    let mut listeners: Vec<_> = channels
        .iter()
        .map(|channel| {
            let mut listener = client(&proxy, "cache");
            assert_eq!(listener.command(&["SUBSCRIBE", channel]).unwrap().elements()[2].integer(), 1);
            listener
        })
        .collect();
    let all = ring("cache", "", &urls);
    let last =
        all.replace(&urls[0], &urls[2]).split("[[ring.shard]]\nname = \"shard2\"").next().unwrap().to_owned();
    let mut sender = client(&proxy, "cache");
    for text in [&all, &last] {
        proxy.reload(&config(text)).unwrap();
        for (channel, listener) in channels.iter().zip(&mut listeners) {
            until("it has moved", || sender.command(&["PUBLISH", channel, "text"]).unwrap().integer() == 1);
            assert_eq!(listener.read().unwrap().elements()[1].text(), channel);
        }
    }
    let held = |server: &RedisServer| server.command(&["PUBSUB", "CHANNELS"]).elements().len();
    until("what left was let go", || servers.iter().map(held).collect::<Vec<_>>() == [0, 0, channels.len()]);
}

#[test]
fn deadlines_and_limits_change_for_the_clients_that_are_there() {
    let servers = Cluster::start(1);
    let urls = servers.urls();
    let mut proxy = Proxy::start(&config(&ring("cache", "max_clients = 5", &urls))).unwrap();
    let mut there = client(&proxy, "cache");
    pong(&mut there);
    let fields = "max_clients = 1\ndeadlines = { reply = \"30ms\" }\nretries = { attempts = 1 }";
    proxy.reload(&config(&ring("cache", fields, &urls))).unwrap();
    let mut late = client(&proxy, "cache");
    assert_eq!(late.read_to_end().unwrap(), b"-ERR max number of clients reached\r\n");
    servers[0].stop();
    let begun = Instant::now();
    let reply = there.command(&["SET", "k", "v"]).unwrap();
    assert!(reply.error().unwrap().starts_with("TIMEOUT shard1 "), "{reply}");
    assert!(begun.elapsed() < Duration::from_millis(900), "the old deadline is in force");
    servers[0].cont();
}

#[test]
fn another_number_of_clients_leaves_the_connections_to_the_shards() {
    let servers = Cluster::start(1);
    let urls = servers.urls();
    let mut proxy = Proxy::start(&config(&ring("cache", "max_clients = 5", &urls))).unwrap();
    let before = settled(&servers[0]);
    for most in [6, 1000] {
        let fields = format!("max_clients = {most}");
        proxy.reload(&config(&ring("cache", &fields, &urls))).unwrap();
        pong(&mut client(&proxy, "cache"));
    }
    assert_eq!(settled(&servers[0]), before);
}

#[test]
fn a_shard_that_is_down_stays_so_when_its_connections_are_made_anew() {
    let servers = Cluster::start(2);
    let urls = servers.urls();
    let fields = "heartbeat_frequency = \"50ms\"\non_down = \"reroute\"";
    let mut proxy = Proxy::start(&config(&ring("cache", fields, &urls))).unwrap();
    servers[1].kill();
    let mut client = client(&proxy, "cache");
    let all_answer = |client: &mut Client| {
        (0..20).all(|key| client.command(&["GET", &format!("key:{key}")]).unwrap().error().is_none())
    };
    until("the dead shard is out", || all_answer(&mut client));
    let fields = format!("{fields}\ndeadlines = {{ reply = \"900ms\" }}");
    proxy.reload(&config(&ring("cache", &fields, &urls))).unwrap();
    assert!(all_answer(&mut client), "the dead shard was taken for a live one");
    servers[1].restart();
    until("it is back", || {
        client.command(&["FLUSHALL"]).unwrap();
        (0..20).for_each(|key| drop(client.command(&["SET", &format!("key:{key}"), "v"]).unwrap()));
        servers[1].command(&["DBSIZE"]).integer() > 0
    });
}

#[test]
fn rings_and_listeners_come_and_go() {
    let servers = Cluster::start(2);
    let urls = servers.urls();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("cache.sock");
    let (one, two) = (Port::free(), Port::free());
    let listen = format!("listen = [\"{}\", \"unix:{}\"]", one.address(), path.display());
    let mut proxy = Proxy::start(&config(&ring("cache", &listen, &urls[..1]))).unwrap();
    let mut tcp = client(&proxy, "cache");
    let mut unix = Client::connect_unix(&path).unwrap();
    // A ring more, on another port; the socket goes, its clients stay.
    let listen = format!("listen = \"{}\"", one.address());
    let more = ring("cache", &listen, &urls[..1])
        + &ring("more", &format!("listen = \"{}\"", two.address()), &urls[1..]);
    proxy.reload(&config(&more)).unwrap();
    pong(&mut tcp);
    pong(&mut unix);
    assert!(!path.exists());
    assert!(client(&proxy, "more").command(&["SET", "k", "v"]).unwrap().is_ok());
    assert_eq!(servers.sizes(), [0, 1]);
    // The first ring goes, and the other takes over its port; idle clients of the first leave.
    let listen = format!("listen = [\"{}\", \"{}\"]", two.address(), one.address());
    proxy.reload(&config(&ring("more", &listen, &urls[1..]))).unwrap();
    assert_eq!(tcp.read_to_end().unwrap(), b"");
    assert_eq!(unix.read_to_end().unwrap(), b"");
    assert_eq!(Client::connect(one.address()).unwrap().command(&["GET", "k"]).unwrap(), Reply::bulk("v"));
    until("the ring's server is let go", || connection_ids(&servers[0]).is_empty());
    proxy.reload(&config(&ring("more", &format!("listen = \"{}\"", two.address()), &urls[1..]))).unwrap();
    until("nobody accepts", || refuses(one.address()));
    pong(&mut client(&proxy, "more"));
}

#[test]
fn a_port_of_ipv4_becomes_one_of_both_and_back() {
    let servers = Cluster::start(1);
    let port = Port::free().address().port();
    let listen = |places: &str| {
        let fields = format!("no_auth = true\nlisten = [{places}]").replace("PORT", &port.to_string());
        config(&ring("cache", &fields, &servers.urls()))
    };
    let (four, both) = ("\"0.0.0.0:PORT\"", "\"0.0.0.0:PORT\", \"[::]:PORT\"");
    let mut proxy = Proxy::start(&listen(four)).unwrap();
    let clients = || {
        [SocketAddr::from(([127, 0, 0, 1], port)), SocketAddr::from((Ipv6Addr::LOCALHOST, port))]
            .map(|address| Client::connect(address).map(|mut client| pong(&mut client)).is_ok())
    };
    let mut there = Client::connect(SocketAddr::from(([127, 0, 0, 1], port))).unwrap();
    for (places, has) in [(both, true), (four, false), ("\"[::]:PORT\"", true), (both, true)] {
        proxy.reload(&listen(places)).unwrap();
        assert_eq!(clients(), [true, has], "{places}");
    }
    pong(&mut there);
}

#[test]
fn a_unix_socket_goes_from_the_admin_pages_to_a_ring_and_back() {
    let servers = Cluster::start(1);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("rendis.sock");
    let of = |admin: &str, listen: &str| {
        let admin = format!("[admin]\nlisten = \"{admin}\"\n");
        let text = admin + &ring("cache", &format!("listen = \"{listen}\""), &servers.urls());
        config(&text.replace("SOCKET", &format!("unix:{}", path.display())))
    };
    let [pages, clients] = [of("SOCKET", "127.0.0.1:0"), of("127.0.0.1:0", "SOCKET")];
    let mut proxy = Proxy::start(&pages).unwrap();
    for _ in 0..2 {
        // What cannot be had changes nothing, though this could.
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let mut wrong = clients.clone();
        wrong.rings[0].listen.push(Listen::Tcp(taken.local_addr().unwrap()));
        proxy.reload(&wrong).unwrap_err();
        let mut page = std::os::unix::net::UnixStream::connect(&path).unwrap();
        page.write_all(b"GET /healthz HTTP/1.0\r\n\r\n").unwrap();
        let mut answer = String::new();
        page.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.0 200"), "{answer}");
        proxy.reload(&clients).unwrap();
        pong(&mut Client::connect_unix(&path).unwrap());
        proxy.reload(&pages).unwrap();
    }
    proxy.stop();
    assert!(!path.exists());
}

#[test]
fn the_port_that_clients_are_told_is_the_one_in_force() {
    let servers = Cluster::start(1);
    let [first, second] = [Port::free(), Port::free()].map(|port| port.address());
    let listen = |address| config(&ring("cache", &format!("listen = \"{address}\""), &servers.urls()));
    let mut proxy = Proxy::start(&listen(first)).unwrap();
    let mut client = client(&proxy, "cache");
    for address in [first, second] {
        proxy.reload(&listen(address)).unwrap();
        let info = client.command(&["INFO", "server"]).unwrap().text().to_owned();
        assert!(info.contains(&format!("tcp_port:{}\r\n", address.port())), "{info}");
    }
}

#[test]
fn a_configuration_that_cannot_be_had_changes_nothing() {
    let servers = Cluster::start(2);
    let urls = servers.urls();
    let mut proxy = Proxy::start(&config(&ring("cache", "", &urls[..1]))).unwrap();
    let mut there = client(&proxy, "cache");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let free = Port::free();
    let listen = |at: SocketAddr| format!("listen = \"{at}\"");
    let wrong = ring("cache", "max_clients = 1", &urls)
        + &ring("good", &listen(free.address()), &urls)
        + &ring("taken", &listen(taken.local_addr().unwrap()), &urls);
    let error = proxy.reload(&config(&wrong)).unwrap_err();
    assert!(matches!(&error, StartError::Listen { ring, error, .. }
        if ring == "taken" && error.kind() == io::ErrorKind::AddrInUse));
    assert!(refuses(free.address()));
    assert_eq!(proxy.addresses().len(), 1);
    pong(&mut there);
    pong(&mut client(&proxy, "cache"));
    assert!(connection_ids(&servers[1]).is_empty());
}

#[test]
fn new_certificates_are_for_new_clients_and_tls_itself_comes_and_goes() {
    let servers = Cluster::start(1);
    let urls = servers.urls();
    let (first, second) = (Certificates::generate(), Certificates::generate());
    let port = Port::free();
    let listen = format!("listen = \"tls:{}\"", port.address());
    let with = |certificates| {
        config(&tls_ring(certificates, "", &urls).replace("listen = \"tls:127.0.0.1:0\"", &listen))
    };
    let mut proxy = Proxy::start(&with(&first)).unwrap();
    let mut there = tls_client(&proxy, &first, false);
    assert_eq!(ping(&mut there).unwrap(), "+PONG\r\n");
    proxy.reload(&with(&second)).unwrap();
    assert_eq!(ping(&mut there).unwrap(), "+PONG\r\n");
    assert!(ping(&mut tls_client(&proxy, &first, false)).is_err());
    assert_eq!(ping(&mut tls_client(&proxy, &second, false)).unwrap(), "+PONG\r\n");
    // A key that does not fit is refused, and the one before stays.
    let wrong = tls_ring(&second, "", &urls).replace("server.key", "client.key");
    assert!(proxy.reload(&config(&wrong.replace("listen = \"tls:127.0.0.1:0\"", &listen))).is_err());
    assert_eq!(ping(&mut tls_client(&proxy, &second, false)).unwrap(), "+PONG\r\n");
    // The same port without TLS.
    proxy.reload(&config(&ring("cache", &format!("listen = \"{}\"", port.address()), &urls))).unwrap();
    pong(&mut client(&proxy, "cache"));
    assert_eq!(ping(&mut there).unwrap(), "+PONG\r\n");
}

#[test]
fn other_authorities_of_clients_are_renewed_for_new_clients_and_broken_ones_are_not() {
    let servers = Cluster::start(1);
    let (ours, theirs) = (Certificates::generate(), Certificates::generate());
    let trusted = ours.ca().with_file_name("trusted.pem");
    std::fs::copy(ours.ca(), &trusted).unwrap();
    let authority = format!(", client_ca = \"{}\"", trusted.display());
    let mut proxy = Proxy::start(&config(&tls_ring(&ours, &authority, &servers.urls()))).unwrap();
    let mut there = tls_client(&proxy, &ours, true);
    assert_eq!(ping(&mut there).unwrap(), "+PONG\r\n");
    std::fs::write(&trusted, "no certificate").unwrap();
    proxy.renew_certificates();
    assert_eq!(ping(&mut tls_client(&proxy, &ours, true)).unwrap(), "+PONG\r\n");
    std::fs::copy(theirs.ca(), &trusted).unwrap();
    proxy.renew_certificates();
    assert!(ping(&mut tls_client(&proxy, &ours, true)).is_err());
    assert_eq!(ping(&mut there).unwrap(), "+PONG\r\n");
}

#[test]
fn a_reload_of_the_same_changes_nothing() {
    let servers = Cluster::start(1);
    let text = ring("cache", "", &servers.urls());
    let mut proxy = Proxy::start(&config(&text)).unwrap();
    let mut there = client(&proxy, "cache");
    let (before, at) = (settled(&servers[0]), address(&proxy, "cache"));
    for _ in 0..20 {
        proxy.reload(&config(&text)).unwrap();
        pong(&mut client(&proxy, "cache"));
    }
    pong(&mut there);
    assert_eq!((connection_ids(&servers[0]), address(&proxy, "cache")), (before, at));
    assert_eq!(config(&text).rings[0].placement, Spec::default());
}
