//! From the start to the end: signals, the supervisor, the limit of open files, servers of its own, and what keeps it
//! from starting. A second signal waits for nobody, and a server that does not answer holds nothing up.

use std::fs;
use std::io::Read as _;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rendis_testkit::{Client, Port, Reply, until};
use rustix::process::{Pid, Signal, kill_process};

use crate::{CACHE, File, MORE, Serve, ping};

#[test]
fn it_serves_until_a_signal_and_ends_well() {
    for signal in [Signal::TERM, Signal::INT] {
        let file = File::new(CACHE);
        let mut serve = Serve::of(&file.path());
        let address = serve.listening("cache");
        let mut client = Client::connect(address).unwrap();
        for key in 0..50 {
            assert!(client.command(&["SET", &format!("key:{key}"), "v"]).unwrap().is_ok());
        }
        assert_eq!(file.servers.sizes().iter().sum::<i64>(), 50);
        client.send(&["BLPOP", "list", "0"]).unwrap();
        while file
            .servers
            .iter()
            .all(|server| !server.command(&["INFO", "clients"]).text().contains("blocked_clients:1"))
        {
            std::thread::yield_now();
        }
        let mut other = Client::connect(address).unwrap();
        assert_eq!(other.command(&["PING"]).unwrap(), Reply::simple("PONG"));
        serve.signal(signal);
        serve.logged("shutting down");
        assert!(other.read_to_end().unwrap().is_empty());
        assert!(client.read().unwrap().error().unwrap().starts_with("SHUTDOWN "));
        let (status, rest) = serve.end();
        assert!(status.success(), "{status}: {rest}");
        assert!(rest.lines().last().unwrap().ends_with(" INFO stopped"), "{rest}");
        assert!(TcpStream::connect(address).is_err());
    }
}

#[test]
fn a_second_signal_does_not_wait() {
    let file = File::new("");
    let socket = file.directory.path().join("rendis.sock");
    let listen = format!("[\"127.0.0.1:0\", \"unix:{}\"]", socket.display());
    file.write(&CACHE.replace("\"127.0.0.1:0\"", &listen));
    let mut serve = Serve::of(&file.path());
    let address = serve.listening("cache");
    let (mut client, mut other) = (Client::connect(address).unwrap(), Client::connect(address).unwrap());
    file.servers.iter().for_each(|server| server.stop());
    client.send(&["GET", "key"]).unwrap();
    while !other.command(&["INFO", "shards"]).unwrap().text().contains("in_flight=1") {
        std::thread::yield_now();
    }
    serve.signal(Signal::TERM);
    serve.logged("shutting down");
    serve.signal(Signal::TERM);
    let (status, rest) = serve.end();
    assert_eq!(status.code(), Some(143));
    assert!(!socket.exists());
    assert!(rest.lines().last().unwrap().contains("stopped by a second signal"), "{rest}");
}

/// One that accepts and says nothing.
fn silent() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || listener.incoming().collect::<Vec<_>>());
    format!("[[ring.shard]]\nname = \"silent\"\nurl = \"redis://{address}\"\n")
}

#[test]
fn a_server_that_does_not_answer_keeps_it_neither_from_starting_nor_from_ending() {
    let slow = |text: &str| text.replace("SHARDS", "deadlines = { connect = \"1m\" }\nSHARDS");
    let file = File::new(&(slow(CACHE) + &silent()));
    let begun = Instant::now();
    let mut serve = Serve::of(&file.path());
    ping(serve.listening("cache"));
    // So it is with a ring that a reload adds. What comes while it waits is kept.
    file.write(&(slow(&format!("{CACHE}{}{MORE}", silent())) + &silent()));
    serve.signal(Signal::HUP);
    serve.logged("ring is served ring=\"more\"");
    serve.signal(Signal::TERM);
    serve.logged("was reloaded");
    serve.logged("shutting down");
    serve.signal(Signal::HUP);
    let (status, log) = serve.end();
    assert!(status.success(), "{log}");
    assert!(begun.elapsed() < Duration::from_secs(10), "it took {:?}", begun.elapsed());
}

#[test]
fn a_second_signal_does_not_wait_for_the_start_nor_for_a_reload() {
    let file = File::new(&(CACHE.to_owned() + &silent()));
    let mut serve = Serve::of(&file.path());
    serve.logged("INFO ring is served");
    serve.signal(Signal::TERM);
    serve.signal(Signal::INT);
    let mut listens = String::new();
    serve.output.read_to_string(&mut listens).unwrap();
    let (status, log) = serve.end();
    assert!(matches!(status.code(), Some(130 | 143)) && listens.is_empty(), "{status}: {log}{listens}");
    let file = File::new(CACHE);
    let mut serve = Serve::of(&file.path());
    serve.listening("cache");
    // So few that nothing is said of the limit of open files.
    let few = format!("{CACHE}{MORE}").replace("SHARDS", "max_clients = 100\nSHARDS");
    file.write(&(few + &silent()));
    serve.signal(Signal::HUP);
    serve.logged("ring is served ring=\"more\"");
    serve.signal(Signal::TERM);
    serve.signal(Signal::INT);
    let (status, log) = serve.end();
    assert!(matches!(status.code(), Some(130 | 143)) && !log.contains("was reloaded"), "{status}: {log}");
    assert!(log.lines().last().unwrap().contains("stopped by a second signal"), "{log}");
}

#[test]
fn a_reload_that_is_asked_for_during_the_shutdown_is_told_to_be_too_late() {
    let file = File::new(&format!("shutdown_delay = \"1s\"\n{CACHE}"));
    let mut serve = Serve::of(&file.path());
    serve.listening("cache");
    serve.signal(Signal::TERM);
    serve.logged("shutting down");
    serve.signal(Signal::HUP);
    serve.logged("the configuration is not reloaded: the proxy is shutting down");
    assert!(serve.end().0.success());
}

#[test]
fn the_supervisor_is_told() {
    let file = File::new(CACHE);
    let socket = file.directory.path().join("notify.sock");
    let supervisor = UnixDatagram::bind(&socket).unwrap();
    supervisor.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let told = || {
        let mut text = [0; 256];
        let count = supervisor.recv(&mut text).unwrap();
        String::from_utf8_lossy(&text[..count]).into_owned()
    };
    let path = file.path().display().to_string();
    let mut serve = Serve::start(&["--config", &path], |command| {
        command.env("NOTIFY_SOCKET", &socket);
    });
    assert_eq!(told().trim_end(), "READY=1");
    ping(serve.listening("cache"));
    serve.signal(Signal::HUP);
    let reloading = told();
    assert!(reloading.starts_with("RELOADING=1\nMONOTONIC_USEC="), "{reloading}");
    assert_eq!(told().trim_end(), "READY=1");
    serve.signal(Signal::TERM);
    assert_eq!(told().trim_end(), "STOPPING=1");
    assert!(serve.end().0.success());
}

#[test]
fn the_limit_of_open_files_is_raised_and_where_it_is_too_low_fewer_clients_are_let_in() {
    let start = |file: &File, limits: &str| {
        let line = format!(
            "ulimit -S -n {limits} && exec {} serve --config {}",
            env!("CARGO_BIN_EXE_rendis"),
            file.path().display()
        );
        let child = Command::new("sh")
            .args(["-c", &line])
            .env_remove("NOTIFY_SOCKET")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Serve::of_process(child)
    };
    let file = File::new(&CACHE.replace("SHARDS", "max_clients = 300\nSHARDS"));
    let mut serve = start(&file, "60 && ulimit -H -n 800");
    let address = serve.listening("cache");
    let mut clients: Vec<_> = (0..200).map(|_| Client::connect(address).unwrap()).collect();
    for client in &mut clients {
        assert_eq!(client.command(&["PING"]).unwrap(), Reply::simple("PONG"));
    }
    file.write(&format!("{CACHE}\n{MORE}"));
    serve.signal(Signal::HUP);
    let line = serve.logged("fewer files than max_clients");
    assert!(line.contains("limit=800") && line.contains("max_clients=20000"), "{line}");
    // Of what is left both rings have a half, and what connects to shards has its own.
    let told = loop {
        let mut client = Client::connect(address).unwrap();
        match client.command(&["PING"]).unwrap() {
            Reply::Error(text) => break text,
            _ => clients.push(client),
        }
    };
    assert_eq!(told, "ERR max number of clients reached");
    assert!((250..400).contains(&clients.len()), "{} clients", clients.len());
    for server in file.servers.iter() {
        server.command(&["CLIENT", "KILL", "TYPE", "normal"]);
    }
    until("the shards are connected to again", || {
        clients[0].command(&["DBSIZE"]).is_ok_and(|reply| reply == Reply::Integer(0))
    });
    let info = clients[0].command(&["INFO", "clients"]).unwrap().text().to_owned();
    assert!(info.contains(&format!("maxclients:{}\r\n", clients.len())), "{info}");
    serve.signal(Signal::TERM);
    let (status, log) = serve.end();
    assert!(status.success(), "{log}");
    // One that fits is not worth a word.
    file.write(&CACHE.replace("SHARDS", "max_clients = 300\nSHARDS"));
    let mut serve = start(&file, "60 && ulimit -H -n 800");
    ping(serve.listening("cache"));
    serve.signal(Signal::TERM);
    assert!(!serve.end().1.contains("max_clients"));
}

#[test]
fn local_servers_are_served_and_gone_at_the_end() {
    let temporary = tempfile::tempdir().unwrap();
    let port = Port::free();
    let mut serve = Serve::start(&["--local", "2", "--listen", &port.address().to_string()], |command| {
        command.env("TMPDIR", temporary.path());
    });
    let servers: Vec<SocketAddr> = (1..=2)
        .map(|number| {
            let line = serve.line();
            assert!(line.starts_with(&format!("shard{number}: ")), "{line}");
            line.rsplit(' ').next().unwrap().parse().unwrap()
        })
        .collect();
    assert_eq!(serve.listening("local"), port.address());
    let mut client = Client::connect(port.address()).unwrap();
    for key in 0..50 {
        assert!(client.command(&["SET", &format!("key:{key}"), "v"]).unwrap().is_ok());
    }
    assert_eq!(client.command(&["DBSIZE"]).unwrap().integer(), 50);
    for server in &servers {
        assert!(Client::connect(*server).unwrap().command(&["DBSIZE"]).unwrap().integer() > 0);
    }
    // A shard that goes and comes back is told.
    let process = Client::connect(servers[0]).unwrap().command(&["INFO", "server"]).unwrap();
    let process =
        process.text().lines().find_map(|line| line.strip_prefix("process_id:")?.trim().parse().ok());
    let process = Pid::from_raw(process.unwrap()).unwrap();
    kill_process(process, Signal::STOP).unwrap();
    serve.logged("shard is down");
    kill_process(process, Signal::CONT).unwrap();
    serve.logged("shard is up");
    serve.signal(Signal::HUP);
    serve.logged("there is nothing to reload");
    assert_eq!(client.command(&["PING"]).unwrap(), Reply::simple("PONG"));
    // What one that is away will not forget is gone with it.
    kill_process(process, Signal::STOP).unwrap();
    serve.logged("shard is down");
    serve.signal(Signal::INT);
    let (status, rest) = serve.end();
    assert!(status.success() && !rest.contains("while a shard is away"), "{rest}");
    assert!(servers.iter().all(|server| TcpStream::connect(server).is_err()));
    assert_eq!(fs::read_dir(temporary.path()).unwrap().count(), 0);
}

#[test]
fn wrong_usage_and_what_cannot_be_had_are_told_apart() {
    let ended = |arguments: &[&str]| Serve::start(arguments, |_| {}).end();
    let (status, text) = ended(&[]);
    assert_eq!(status.code(), Some(2));
    assert!(text.contains("<--config <FILE>|--local <N>>"), "{text}");
    assert_eq!(ended(&["--local", "2", "--config", "f.toml"]).0.code(), Some(2));
    assert_eq!(ended(&["--config", "f.toml", "--listen", "127.0.0.1:1"]).0.code(), Some(2));
    for (wrong, found) in [
        ("nonsense", "found \"nonsense\""),
        ("tls:127.0.0.1:1", "\"tls:127.0.0.1:1\" needs the field tls, with cert and key"),
        ("0.0.0.0:1", "found \"0.0.0.0:1\", which other machines may reach, and nobody needs a password"),
        ("unix:relative", "found \"unix:relative\""),
    ] {
        let (status, text) = ended(&["--local", "2", "--listen", wrong]);
        let wanted =
            format!("error: --listen: {found}; allowed with --local: an address of this machine with a port");
        assert!(text.starts_with(&wanted), "{text}");
        assert_eq!((status.code(), text.lines().count()), (Some(2), 1));
    }
    let (status, text) = ended(&["--config", "/nowhere/rendis.toml"]);
    assert_eq!(status.code(), Some(2));
    assert!(text.starts_with("error: /nowhere/rendis.toml: the file cannot be read"), "{text}");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let file = File::new(&CACHE.replace("127.0.0.1:0", &address));
    let (status, text) = ended(&["--config", &file.path().display().to_string()]);
    assert_eq!(status.code(), Some(1));
    let wanted = format!("error: ring \"cache\" cannot listen on {address}: Address already in use");
    assert!(text.lines().any(|line| line.starts_with(&wanted)), "{text}");
}
