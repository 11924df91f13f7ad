//! What a ring answers itself is what a server answers.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod side;

use std::collections::{BTreeMap, BTreeSet};

use rendis_testkit::{Answer, Client, FakeServer, RedisServer, Reply, until};
use side::{Raw, Side, compare, wording, words};

/// What clients send at their start and to look around, in one session. Replies with numbers of clients or the time
/// are compared elsewhere.
const SESSION: &str = "
    HELLO
    HELLO 4
    HELLO x
    HELLO 02
    HELLO 9223372036854775808
    HELLO 3 FOO
    HELLO 3 AUTH a
    HELLO 3 AUTH a b
    HELLO 3 AUTH default pw extra
    HELLO 3 SETNAME a_b
    HELLO 2 SETNAME ab
    CLIENT GETNAME
    hello 2 setname x auth default y
    CLIENT GETNAME
    AUTH a
    AUTH a b
    AUTH default
    AUTH default x
    AUTH a b c
    AUTH
    PING
    PING hello
    PING a b
    ECHO hello
    ECHO
    CLIENT SETNAME a_b
    CLIENT SETNAME ''
    CLIENT GETNAME
    CLIENT GETREDIR
    CLIENT TRACKINGINFO
    CLIENT NO-EVICT
    CLIENT NO-EVICT foo
    CLIENT NO-EVICT on
    CLIENT NO-EVICT OFF
    CLIENT REPLY FOO
    CLIENT REPLY ON
    CLIENT LIST TYPE foo
    CLIENT LIST TYPE pubsub
    CLIENT LIST TYPE master
    CLIENT LIST TYPE replica
    CLIENT LIST TYPE normal x
    CLIENT LIST TYPE
    CLIENT LIST ID
    CLIENT LIST ID x
    CLIENT LIST ID 0
    CLIENT LIST ID -1 100000
    CLIENT LIST foo
    CLIENT KILL
    CLIENT KILL foo
    CLIENT KILL ID
    CLIENT KILL 1.2.3.4:5
    CLIENT KILL 1.2.3.4:5 x
    CLIENT KILL ID 0
    CLIENT KILL ID -1
    CLIENT KILL ID x
    CLIENT KILL ID +5000000
    CLIENT KILL ID 005000000
    CLIENT LIST ID +5000000
    CLIENT LIST ID 005000000
    CLIENT KILL ID 1000000000000
    CLIENT KILL id 1000000000000 SKIPME no
    CLIENT KILL ID 1000000000000 SKIPME
    CLIENT KILL ID 1000000000000 SKIPME maybe
    CLIENT KILL ID 1000000000000 FOO bar
    CLIENT KILL TYPE foo
    CLIENT KILL TYPE master
    CLIENT KILL TYPE Replica
    CLIENT KILL TYPE slave ADDR 1.2.3.4:5
    CLIENT KILL ADDR 1.2.3.4:5
    CLIENT KILL LADDR 1.2.3.4:5
    CLIENT KILL USER nobody
    CLIENT KILL USER default ADDR 1.2.3.4:5
    CLIENT FOO
    CLIENT
    ROLE
    ROLE x
    CLUSTER INFO
    CLUSTER SHARDS
    CLUSTER FOO
    CLUSTER
    ASKING
    ACL WHOAMI
    ACL CAT
    SELECT 0
    INFO nonsense
    INFO cluster
    INFO Keyspace
    INFO keyspace cluster keyspace
    COMMAND COUNT
    COMMAND INFO get foo config|get
    COMMAND INFO
    COMMAND DOCS get foo
    COMMAND LIST FILTERBY PATTERN xa*
    COMMAND LIST FILTERBY ACLCAT nonsense
    COMMAND LIST foo
    COMMAND GETKEYS MSET a b c d
    COMMAND GETKEYS get
    COMMAND GETKEYSANDFLAGS SET a b
    COMMAND FOO
    COMMAND
    CONFIG GET maxmemory
    RESET
    PING
";

/// The number of the client in `HELLO` is its own.
fn anonymous(reply: String) -> String {
    match reply.split_once("$2\r\nid\r\n:") {
        Some((before, after)) => {
            let end = after.find('\r').unwrap();
            format!("{before}$2\r\nid\r\n:1{}", &after[end..])
        }
        None => reply,
    }
}

#[test]
fn local_answers_are_those_of_a_server_byte_for_byte() {
    // The order of commands in COMMAND is another in every server; the first shard is the one that the ring asks.
    let side = Side::start(2, "");
    let server = &side.servers[0];
    for protocol in ["HELLO 2", "HELLO 3"] {
        let (mut theirs, mut ours) = (Raw::connect(server.address()), side.raw());
        let lines = SESSION.replace("HELLO 2", protocol).replace("hello 2", &protocol.to_lowercase());
        compare(&mut theirs, &mut ours, &format!("{protocol}\n{lines}"), anonymous);
        // What RESET undoes was undone: RESP2 again.
        compare(&mut theirs, &mut ours, "CLIENT GETNAME\nCLIENT TRACKINGINFO", anonymous);
    }
}

/// What names no database anywhere, and then what a server refuses a client that listens.
const REFUSED: &str = "
    SELECT -1
    SELECT x
    SELECT 00
    SELECT +0
    SELECT ''
    SELECT 2147483648
    SELECT -2147483649
    SELECT 99999999999999999999
    SELECT
    SELECT 0 1
    SET a v
    COPY a b DB foo
    COPY a b DB -1
    COPY a b DB
    COPY a b DB 99999999999
    COPY a b FOO
    EXISTS b
    SUBSCRIBE channel
    GET a
    gEt a
    GET
    NOSUCH a b
    CONFIG GET a
    CONFIG FOO
    CONFIG
    client list
    XGROUP CREATE a b c
    MULTI
    EXEC
    HELLO 3
    AUTH a
    SELECT 1
    SELECT
    SAVE
    MONITOR
    PING a b
    SUBSCRIBE
";

#[test]
fn what_a_server_refuses_in_its_words_is_refused_in_the_same() {
    let side = Side::start(1, "");
    let server = RedisServer::builder().setting("databases", "1").start();
    compare(&mut Raw::connect(server.address()), &mut side.raw(), REFUSED, |reply| reply);
}

#[test]
fn lines_that_cannot_be_read_are_refused_in_the_words_of_a_server() {
    let side = Side::start(1, "");
    let server = RedisServer::start();
    let long = "x".repeat(65_600);
    for lines in ["SET \"a b\r\n", "PING\r\nSET 'a\r\nPING\r\n", "SET \"a\"b c\r\n", &long] {
        let heard = |address| {
            let mut client = Client::connect(address).unwrap();
            client.send_raw(lines.as_bytes()).unwrap();
            client.read_to_end().map(|heard| String::from_utf8(heard).unwrap())
        };
        let (ours, theirs) = (heard(side.address()).unwrap(), heard(server.address()));
        // Newer servers reset the connection while there is more to read, and then nobody hears their words.
        if server.version() == (7, 0) || theirs.is_ok() {
            assert_eq!(ours, theirs.unwrap(), "{lines:.20}");
        }
    }
}

#[test]
fn a_client_is_described_with_the_fields_of_a_server() {
    let side = Side::start(1, "");
    let server = RedisServer::start();
    for protocol in ["2", "3"] {
        let fields = |mut raw: Raw, ask: &[&str]| -> (Vec<String>, String) {
            raw.ask(&["HELLO", protocol, "SETNAME", "me"]);
            let reply = raw.ask(ask);
            let line = reply.split("\r\n").nth(1).unwrap().trim_start_matches("txt:").to_owned();
            (line.split([' ', '\n']).map(|field| field.split('=').next().unwrap().to_owned()).collect(), line)
        };
        let (mut theirs, _) = fields(Raw::connect(server.address()), &["CLIENT", "INFO"]);
        let (mut ours, line) = fields(side.raw(), &["CLIENT", "INFO"]);
        assert!(line.contains(" name=me ") && line.contains(" cmd=client|info "), "{line}");
        assert!(line.contains(" user=default ") && line.contains(&format!(" resp={protocol} ")), "{line}");
        // Those that came after Redis 7.0.
        let newer = ["watch", "lib-name", "lib-ver", "tot-net-in", "tot-net-out", "tot-cmds", "io-thread"];
        for fields in [&mut ours, &mut theirs] {
            fields.retain(|field| !newer.contains(&field.as_str()));
        }
        assert_eq!(ours, theirs);
    }
}

#[test]
fn names_are_short_and_a_client_is_listed_once_however_often_it_is_named() {
    let side = Side::start(1, "");
    let mut client = side.client();
    let (longest, long) = ("n".repeat(1024), "n".repeat(1025));
    for words in [
        &["CLIENT", "SETNAME"][..],
        &["CLIENT", "SETINFO", "LIB-NAME"],
        &["CLIENT", "SETINFO", "lib-ver"],
        &["HELLO", "2", "SETNAME"],
    ] {
        assert!(client.command(&[words, &[&*longest]].concat()).unwrap().error().is_none(), "{words:?}");
        let refused = client.command(&[words, &[&*long]].concat()).unwrap();
        let text = refused.error().unwrap();
        assert!(text.starts_with("ERR ") && text.ends_with("can have up to 1024 bytes here."), "{text}");
    }
    let id = client.command(&["CLIENT", "ID"]).unwrap().integer().to_string();
    let words: Vec<&str> =
        ["CLIENT", "LIST", "ID"].into_iter().chain(std::iter::repeat_n(&*id, 1000)).collect();
    let list = client.command(&words).unwrap().text().to_owned();
    assert_eq!(list.lines().count(), 1);
    assert_eq!(list.matches(&longest).count(), 3);
}

#[test]
fn clients_of_all_threads_are_listed_until_they_leave() {
    let side = Side::start(1, "");
    let mut clients: Vec<_> = (0..16).map(|_| side.client()).collect();
    let ids: Vec<_> = clients
        .iter_mut()
        .map(|client| {
            assert!(client.command(&["CLIENT", "SETINFO", "LIB-NAME", "lib"]).unwrap().is_ok());
            assert!(client.command(&["CLIENT", "SETINFO", "lib-ver", "1.2"]).unwrap().is_ok());
            client.command(&["CLIENT", "ID"]).unwrap().integer()
        })
        .collect();
    let mut looking = side.client();
    let mut list = |words: &[&str]| looking.command(words).unwrap().text().to_owned();
    let all = list(&["CLIENT", "LIST"]);
    assert_eq!(all.lines().count(), 17);
    for id in &ids {
        let line = all.lines().find(|line| line.starts_with(&format!("id={id} "))).unwrap();
        assert!(line.ends_with(" lib-name=lib lib-ver=1.2") && line.contains(" flags=N "), "{line}");
    }
    let two = list(&["CLIENT", "LIST", "ID", &ids[3].to_string(), "99999", &ids[1].to_string()]);
    let lines: Vec<_> = two.lines().map(|line| line.split(' ').next().unwrap().to_owned()).collect();
    assert_eq!(lines, [format!("id={}", ids[3]), format!("id={}", ids[1])]);
    clients[0].command(&["SUBSCRIBE", "a", "b"]).unwrap();
    clients[0].read().unwrap();
    let listening = list(&["CLIENT", "LIST", "TYPE", "pubsub"]);
    assert!(listening.contains(" flags=P db=0 sub=2 psub=0 ssub=0 "), "{listening}");
    assert_eq!(listening.lines().count(), 1);
    for client in &mut clients {
        client.send(&["QUIT"]).unwrap();
        client.read_to_end().unwrap();
    }
    until("clients that left are listed no more", || list(&["CLIENT", "LIST"]).lines().count() == 1);
}

#[test]
fn what_clients_do_is_listed_as_a_server_lists_it() {
    let side = Side::start(1, "");
    let server = RedisServer::start();
    let states = [
        ("queues", "MULTI, GET k, SET k v"),
        ("began", "MULTI"),
        ("ended", "MULTI, GET k, EXEC"),
        ("waits", "GET k, BLPOP none 0"),
        ("waited", "BLPOP none 0.01"),
        ("listens", "SUBSCRIBE a"),
        ("asked", "SET k v, GET k"),
        ("wrong", "GET k, NOSUCH"),
    ];
    let listed = [server.address(), side.address()].map(|address| {
        let mut clients = Vec::new();
        for (name, lines) in states {
            let mut client = Client::connect(address).unwrap();
            client.command(&["CLIENT", "SETNAME", name]).unwrap();
            for line in lines.split(", ") {
                client.send(&words(line)).unwrap();
                if !line.ends_with(" 0") {
                    client.read().unwrap();
                }
            }
            clients.push(client);
        }
        let mut looking = Client::connect(address).unwrap();
        let mut list = || looking.command(&["CLIENT", "LIST"]).unwrap().text().to_owned();
        let field = |line: &str, name: &str| {
            let value = line.split(' ').find_map(|field| field.strip_prefix(&format!("{name}=")));
            value.unwrap().to_owned()
        };
        let idle = |list: &str| list.lines().filter(|line| field(line, "idle") == "0").count();
        until("all others are idle", || idle(&list()) == 1);
        // Only they are idle who do nothing. A second may begin in between, but not each time.
        let list = (0..3).map(|_| {
            clients[6].command(&["GET", "k"]).unwrap();
            list()
        });
        let list = list.filter(|list| idle(list) == 2).last().unwrap();
        let of = |line: &str| ["name", "flags", "multi", "cmd"].map(|name| field(line, name)).join(" ");
        list.lines().map(of).collect::<BTreeSet<_>>()
    });
    assert_eq!(listed[1], listed[0]);
}

/// Each is one connection's; a line may have no answer, or several.
const QUIET: [&str; 16] = [
    "CLIENT REPLY OFF, PING, NOSUCH, SET k v, CLIENT REPLY SKIP, PING, CLIENT REPLY FOO, CLIENT REPLY ON, PING",
    "CLIENT REPLY SKIP, PING not_heard, GET k",
    "CLIENT REPLY SKIP, CLIENT REPLY SKIP, PING, PING",
    "CLIENT REPLY SKIP, CLIENT REPLY SKIP, CLIENT REPLY SKIP, GET k, GET k",
    "CLIENT REPLY SKIP, CLIENT REPLY FOO, PING",
    "CLIENT REPLY SKIP, NOSUCH, PING",
    "CLIENT REPLY SKIP, CLIENT REPLY ON, PING",
    "CLIENT REPLY SKIP, CLIENT REPLY OFF, PING, CLIENT REPLY ON",
    "CLIENT REPLY SKIP, RESET, PING",
    "CLIENT REPLY OFF, RESET, PING",
    "CLIENT REPLY OFF, MULTI, GET k, EXEC, GET k, CLIENT REPLY ON",
    "CLIENT REPLY SKIP, MULTI, GET k, EXEC",
    "CLIENT REPLY OFF, BLPOP none 0.01, CLIENT REPLY ON",
    // What is confirmed is no reply.
    "CLIENT REPLY OFF, SUBSCRIBE a b, PING, PING x, GET k, UNSUBSCRIBE a b, UNSUBSCRIBE, SUBSCRIBE, CLIENT REPLY ON",
    "CLIENT REPLY SKIP, SUBSCRIBE a, PING, PING x y, PING x y z, GET a",
    "HELLO 3, CLIENT REPLY OFF, SUBSCRIBE a, CLIENT REPLY SKIP, PING, UNSUBSCRIBE a, CLIENT REPLY ON",
];

#[test]
fn who_wants_no_replies_gets_none_but_what_a_server_gives() {
    let side = Side::start(1, "");
    let server = RedisServer::start();
    // Valkey does not confirm an UNSUBSCRIBE from nothing to who wants no replies.
    let valkey = server.command(&["INFO", "server"]).text().contains("server_name:valkey");
    for lines in QUIET.into_iter().filter(|lines| !(valkey && lines.contains("b, UNSUBSCRIBE,"))) {
        let heard = |address| {
            let mut client = Client::connect(address).unwrap();
            for line in lines.split(", ").chain(["QUIT"]) {
                client.send(&words(line)).unwrap();
            }
            anonymous(wording::redis(String::from_utf8(client.read_to_end().unwrap()).unwrap()))
        };
        assert_eq!(heard(side.address()), heard(server.address()), "{lines}");
    }
}

#[test]
fn quit_is_answered_and_ends_the_connection() {
    let side = Side::start(1, "");
    let mut client = side.client();
    client.send(&["PING"]).unwrap();
    client.send(&["QUIT"]).unwrap();
    assert_eq!(client.read_to_end().unwrap(), b"+PONG\r\n+OK\r\n");
}

#[test]
fn who_has_read_the_answer_to_quit_sees_the_connection_closed() {
    use std::io::{Read as _, Write as _};
    let side = Side::start(1, "");
    for _ in 0..300 {
        let mut stream = std::net::TcpStream::connect(side.address()).unwrap();
        stream.write_all(b"QUIT\r\n").unwrap();
        let mut answer = [0; 5];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"+OK\r\n");
        // A pool of connections looks in this way whether it can use one again.
        stream.set_nonblocking(true).unwrap();
        assert_eq!(stream.read(&mut answer).unwrap(), 0);
    }
}

#[test]
fn time_is_that_of_the_clock() {
    let side = Side::start(1, "");
    let reply = side.client().command(&["TIME"]).unwrap();
    let seconds: u64 = reply.elements()[0].text().parse().unwrap();
    let micros: u32 = reply.elements()[1].text().parse().unwrap();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    assert!(now - seconds <= 2 && micros < 1_000_000, "{reply}");
}

/// What a server says in `INFO`.
fn version(server: &RedisServer) -> String {
    field(server.command(&["INFO", "server"]).text(), "redis_version").to_owned()
}

fn field<'t>(info: &'t str, name: &str) -> &'t str {
    let mut lines = info.lines().filter_map(|line| line.split_once(':'));
    lines.find(|(found, _)| *found == name).unwrap_or_else(|| panic!("{name} in {info}")).1
}

#[test]
fn clients_are_told_the_version_of_the_oldest_shard() {
    let versions = [None, Some("8.0.2"), Some("7.10.1"), Some("7.4.0-rc1")];
    let shards = versions.map(|version| {
        FakeServer::start(move |request| match (request.name().as_str(), version) {
            ("HELLO", Some(version)) => {
                Answer::text(&format!("*4\r\n+server\r\n+redis\r\n+version\r\n+{version}\r\n"))
            }
            // One that knows no `HELLO` is not counted.
            ("HELLO", None) => Answer::text("-ERR unknown command\r\n"),
            _ => Answer::handshake(request).unwrap_or_else(Answer::ok),
        })
    });
    let told = |shards: &[FakeServer]| {
        let urls: Vec<_> = shards.iter().map(FakeServer::url).collect();
        let proxy = rendis_proxy::serve::Proxy::start(&side::configuration_of(&urls, "")).unwrap();
        let mut client = Client::connect(proxy.addresses()[0].1.parse().unwrap()).unwrap();
        let hello = client.command(&["HELLO"]).unwrap().elements()[3].text().to_owned();
        let info = client.command(&["INFO", "server"]).unwrap();
        assert_eq!(field(info.text(), "redis_version"), hello);
        hello
    };
    assert_eq!(told(&shards), "7.4.0");
    assert_eq!(told(&shards[..3]), "7.10.1");
    assert_eq!(told(&shards[..2]), "8.0.2");
    assert_eq!(told(&shards[..1]), "7.0.15");
}

#[test]
fn info_can_be_read_as_that_of_a_server_and_shows_the_shards() {
    let side = Side::start(3, "");
    let mut client = side.client();
    for key in 0..100 {
        client.command(&["SET", &format!("k{key}"), "v"]).unwrap();
    }
    client.command(&["EXPIRE", "k1", "100"]).unwrap();
    let info = client.command(&["INFO"]).unwrap().text().to_owned();
    assert!(
        info.starts_with(&format!("# Server\r\nredis_version:{}\r\n", version(&side.servers[0]))),
        "{info}"
    );
    assert_eq!(field(&info, "redis_mode"), "standalone");
    assert_eq!(field(&info, "rendis_version"), env!("CARGO_PKG_VERSION"));
    assert_eq!(field(&info, "arch_bits"), "64");
    assert_eq!(field(&info, "tcp_port"), side.address().port().to_string());
    assert_eq!(field(&info, "run_id").len(), 40);
    assert_eq!(field(&info, "connected_clients"), "1");
    assert_eq!(field(&info, "maxclients"), "10000");
    assert_eq!(field(&info, "loading"), "0");
    let memory = |name| field(&info, name).parse::<u64>().unwrap();
    assert!(memory("used_memory") > 1 << 20 && memory("used_memory_peak") >= memory("used_memory"), "{info}");
    assert!(field(&info, "used_memory_human").ends_with(['M', 'G']), "{info}");
    assert_eq!(field(&info, "total_commands_processed"), "102");
    assert_eq!(field(&info, "role"), "master");
    assert_eq!(field(&info, "cluster_enabled"), "0");
    assert_eq!((field(&info, "shards"), field(&info, "shards_up")), ("3", "3"));
    let shard = field(&info, "shard1");
    let address = side.servers[1].address();
    assert!(shard.starts_with(&format!("name=shard2,address={address},state=up,requests=")), "{shard}");
    assert!(field(&info, "db0").starts_with("keys=100,expires=1,avg_ttl="), "{info}");
    // The same sections in the same form as a server's.
    let sections: Vec<_> = info.lines().filter(|line| line.starts_with('#')).collect();
    assert_eq!(sections.len(), 10);
    let used = |name| field(&info, name).parse::<f64>().unwrap();
    assert!(
        (0.0..600.0).contains(&used("used_cpu_sys")) && (0.0..600.0).contains(&used("used_cpu_user")),
        "{info}"
    );
    assert!(info.ends_with("\r\n") && info.contains("\r\n\r\n# Clients\r\n"));
    let two = client.command(&["INFO", "KEYSPACE", "replication"]).unwrap().text().to_owned();
    assert!(two.starts_with("# Replication\r\n") && two.contains("\r\n\r\n# Keyspace\r\ndb0:"), "{two}");
    client.command(&["HELLO", "3"]).unwrap();
    assert_eq!(client.command(&["INFO", "all"]).unwrap().text().lines().count(), info.lines().count());
}

#[test]
fn a_ring_without_a_shard_still_answers_for_itself() {
    let side = Side::start(1, "on_down = \"reroute\"\nheartbeat_frequency = \"20ms\"");
    side.servers[0].kill();
    let mut client = side.client();
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    loop {
        let info = client.command(&["INFO", "shards", "keyspace"]).unwrap().text().to_owned();
        if field(&info, "shards_up") == "0" {
            assert!(info.contains("state=down") && info.ends_with("# Keyspace\r\n"), "{info}");
            break;
        }
        assert!(std::time::Instant::now() < deadline, "{info}");
    }
    assert_eq!(client.command(&["PING"]).unwrap(), Reply::simple("PONG"));
    // Nobody but a shard knows.
    for unknown in ["CONFIG GET maxmemory", "COMMAND GETKEYSANDFLAGS GET a"] {
        let error = client.command(&words(unknown)).unwrap();
        assert!(error.error().unwrap().starts_with("SHARDDOWN"), "{unknown}: {error}");
    }
}

#[test]
fn without_a_shard_commands_are_told_from_the_table() {
    let side = Side::start(1, "");
    let mut clients = [side.client(), side.client()];
    clients[1].command(&["HELLO", "3"]).unwrap();
    let served = clients.each_mut().map(About::ask);
    let as_7_0 = side.servers[0].version() == (7, 0);
    side.servers[0].kill();
    for (client, served) in clients.iter_mut().zip(served) {
        let known = About::ask(client);
        // Newer commands are in the table too.
        assert!(known.count >= served.count);
        assert_eq!(known.entries.len(), known.count);
        for (name, entry) in &served.entries {
            let known = known.entries.get(name).unwrap_or_else(|| panic!("{name} is not told"));
            if !as_7_0 {
                // Servers of other versions say other things of the same commands.
            } else if ["spublish", "ssubscribe", "sunsubscribe"].contains(&name.as_str()) {
                // To a ring channels are no keys.
                assert_eq!(known[3..6], ["Integer(0)"; 3]);
                assert_eq!((&known[..3], &known[6..]), (&entry[..3], &entry[6..]));
            } else if ["zrank", "zrevrank"].contains(&name.as_str()) {
                // As of Redis 7.2, with an option more.
                assert_eq!(known[1], "Integer(-3)");
                assert_eq!(known[2..], entry[2..]);
            } else {
                assert_eq!(known, entry);
            }
        }
        assert_eq!(known.one, served.one);
        for (known, served) in known.lists.iter().zip(&served.lists) {
            assert!(known.is_superset(served), "{:?}", served.difference(known).collect::<Vec<_>>());
        }
        assert!(known.lists[0].len() > known.lists[1].len() && known.lists[1].len() < 30);
        assert_eq!(known.keys, served.keys);
        // As of a command that a server does not know.
        assert_eq!(known.docs, served.docs);
        assert_eq!(client.command(&["COMMAND", "DOCS", "get"]).unwrap(), known.docs);
    }
}

/// What is said about commands. Where the order says nothing, it is that of the names.
struct About {
    count: usize,
    entries: BTreeMap<String, Vec<String>>,
    one: Vec<Vec<String>>,
    lists: Vec<BTreeSet<String>>,
    keys: Vec<String>,
    docs: Reply,
}

impl About {
    fn ask(client: &mut Client) -> Self {
        let mut ask = |text: &str| client.command(&words(text)).unwrap();
        let count = usize::try_from(ask("COMMAND COUNT").integer()).unwrap();
        let all = ask("COMMAND");
        let entries = all.elements().iter().map(Self::entry);
        let entries = entries.map(|entry| (entry.first().cloned().unwrap_or_default(), entry)).collect();
        let one = ask("COMMAND INFO get Config|Get nosuch CONFIG|nosuch")
            .elements()
            .iter()
            .map(Self::entry)
            .collect();
        let lists = [
            "",
            " FILTERBY PATTERN Conf*[gs]ET",
            " FILTERBY ACLCAT transaction",
            " FILTERBY ACLCAT nosuch",
            " FILTERBY MODULE x",
        ];
        let lists = lists.map(|filter| {
            let names = ask(&format!("COMMAND LIST{filter}"));
            names.elements().iter().map(|name| name.text().to_owned()).collect()
        });
        let keys = [
            "SET a b",
            "MSET a 1 b 2",
            "EVAL x 2 a b",
            "EVAL x 0",
            "XREAD COUNT 2 STREAMS a b 0 0",
            "SET a",
            "PING x",
            "nosuch x",
            "MSET a",
            "ZUNION x a",
            "CONFIG SET a b",
            "CONFIG nosuch x",
            "SORT a BY x STORE b",
        ];
        let docs = ask("COMMAND DOCS nosuch");
        Self {
            count,
            entries,
            one,
            lists: lists.into(),
            docs,
            keys: keys.map(|of| ask(&format!("COMMAND GETKEYS {of}")).to_string()).into(),
        }
    }

    /// As far as Redis 6 tells it.
    fn entry(entry: &Reply) -> Vec<String> {
        let Reply::Array(parts) = entry else { return vec![entry.to_string()] };
        let part = |part: &Reply| match part {
            Reply::Array(_) | Reply::Set(_) => {
                let mut names: Vec<_> = part.elements().iter().map(Reply::text).collect();
                names.sort_unstable();
                format!("{} {names:?}", matches!(part, Reply::Set(_)))
            }
            other => format!("{other:?}"),
        };
        let [name, more @ ..] = parts.as_slice() else { return Vec::new() };
        std::iter::once(name.text().to_owned()).chain(more.iter().take(6).map(part)).collect()
    }
}
