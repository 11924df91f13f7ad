//! A listener whose address changes while clients are there. Alone in its process: where another test starts a server, the
//! child has this one's sockets too until it runs its program, and a listener that was closed listens on for that long.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod ring;

use std::io;
use std::net::SocketAddr;

use rendis_proxy::serve::{Proxy, StartError};
use rendis_testkit::{Client, Cluster, Port};
use socket2::{Domain, Socket, Type};

use ring::{config, pong, refuses, ring};

#[test]
fn a_listener_becomes_wider_and_narrower_and_its_clients_stay() {
    let servers = Cluster::start(1);
    let urls = servers.urls();
    let free = Port::free();
    let port = free.number();
    let with = |address: &str, admin: &str| {
        let admin =
            if admin.is_empty() { String::new() } else { format!("[admin]\nlisten = \"{admin}:{port}\"\n") };
        let port = if admin.is_empty() { port } else { 0 };
        config(&(admin + &ring("cache", &format!("listen = \"{address}:{port}\"\nno_auth = true"), &urls)))
    };
    let at = |ip: &str| SocketAddr::new(ip.parse().unwrap(), port);
    let mut proxy = Proxy::start(&with("127.0.0.1", "")).unwrap();
    let mut clients = Vec::new();
    for (address, reached, not_reached) in [
        ("127.0.0.1", "127.0.0.1", Some("127.0.0.2")),
        ("0.0.0.0", "127.0.0.2", None),
        ("127.0.0.2", "127.0.0.2", Some("127.0.0.1")),
        ("0.0.0.0", "127.0.0.1", None),
        ("127.0.0.1", "127.0.0.1", Some("127.0.0.2")),
    ] {
        proxy.reload(&with(address, "")).unwrap();
        assert!(not_reached.is_none_or(|ip| refuses(at(ip))), "the place before is not given up");
        clients.push(Client::connect(at(reached)).unwrap());
        clients.iter_mut().for_each(pong);
    }
    // The admin pages take the port that the ring gives up, become wider, and the ring takes it back.
    for admin in ["127.0.0.1", "0.0.0.0"] {
        proxy.reload(&with("127.0.0.1", admin)).unwrap();
        assert_eq!(proxy.admin_address().unwrap(), format!("{admin}:{port}"));
    }
    proxy.reload(&with("127.0.0.1", "")).unwrap();
    assert_eq!(proxy.admin_address(), None);
    clients.push(Client::connect(at("127.0.0.1")).unwrap());
    clients.iter_mut().for_each(pong);
    // Somebody else's place is refused, though he would share it.
    proxy.reload(&with("127.0.0.1", "127.0.0.2")).unwrap();
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_reuse_port(true).unwrap();
    // What an earlier server of this port leaves behind for a minute is no reason.
    socket.set_reuse_address(true).unwrap();
    socket.bind(&at("127.0.0.1").into()).unwrap();
    socket.listen(1).unwrap();
    let error = proxy.reload(&with("127.0.0.1", "")).unwrap_err();
    assert!(matches!(&error, StartError::Listen { error, .. } if error.kind() == io::ErrorKind::AddrInUse));
}
