//! Clients that send much at once: order, what is held for them, and what becomes of those that do not read.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod ring;

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rendis_core::request::RequestBuf;
use rendis_proxy::serve::Proxy;
use rendis_testkit::{Client, Cluster, Reply};

use ring::{address, client, config, ring, until};

/// A ring over three servers, and a key on each of them.
struct Stage {
    proxy: Proxy,
    shards: Cluster,
    keys: Vec<String>,
}

impl Stage {
    fn start(fields: &str) -> Self {
        let shards = Cluster::start(3);
        let text = "[admin]\nlisten = \"127.0.0.1:0\"\n".to_owned() + &ring("cache", fields, &shards.urls());
        let proxy = Proxy::start(&config(&text)).unwrap();
        let mut asking = client(&proxy, "cache");
        let mut keys = vec![String::new(); 3];
        for number in 0.. {
            let key = format!("key:{number}");
            assert!(asking.command(&["SET", &key, "here"]).unwrap().is_ok());
            let at = shards.iter().position(|shard| shard.command(&["EXISTS", &key]).integer() == 1);
            keys[at.unwrap()] = key;
            if keys.iter().all(|key| !key.is_empty()) {
                break;
            }
        }
        Self { proxy, shards, keys }
    }

    fn client(&self) -> Client {
        client(&self.proxy, "cache")
    }

    fn raw(&self) -> TcpStream {
        let stream = TcpStream::connect(address(&self.proxy, "cache")).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream.set_write_timeout(Some(Duration::from_secs(20))).unwrap();
        stream
    }

    /// A value of this size under the key of each shard.
    fn fill(&self, size: usize) {
        let value = vec![b'v'; size];
        for key in &self.keys {
            assert!(self.client().command(&[&b"SET"[..], key.as_bytes(), &value]).unwrap().is_ok());
        }
    }

    /// `GET` of the keys in turn.
    fn gets(&self, count: usize) -> Vec<u8> {
        (0..count).flat_map(|at| pack(&["GET", &self.keys[at % 3]])).collect()
    }

    /// How many clients were dropped for what they did not read.
    fn dropped(&self) -> u64 {
        self.metric("rendis_clients_dropped_total")
    }

    /// How much the clients make the proxy hold.
    fn held(&self) -> u64 {
        self.metric("rendis_client_memory_bytes")
    }

    fn metric(&self, name: &str) -> u64 {
        let at: SocketAddr = self.proxy.admin_address().unwrap().parse().unwrap();
        let mut stream = TcpStream::connect(at).unwrap();
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
        let mut page = String::new();
        stream.read_to_string(&mut page).unwrap();
        let name = format!("{name}{{ring=\"cache\"}} ");
        page.lines().find_map(|line| line.strip_prefix(&name)).unwrap().parse().unwrap()
    }
}

fn pack(words: &[&str]) -> Vec<u8> {
    RequestBuf::pack(words.iter().map(|word| word.as_bytes())).into_bytes()
}

/// The tests that look at the memory of the process run one at a time.
static MEMORY: Mutex<()> = Mutex::new(());

/// Looks at what the process holds in memory while this runs, and says by how many MiB it rose.
fn rise<T>(during: impl FnOnce() -> T) -> (T, usize) {
    let before = resident();
    let (tell, told) = std::sync::mpsc::channel::<()>();
    let watching = std::thread::spawn(move || {
        let mut most = 0;
        while told
            .recv_timeout(Duration::from_millis(5))
            .is_err_and(|error| error == std::sync::mpsc::RecvTimeoutError::Timeout)
        {
            most = most.max(resident());
        }
        most
    });
    let result = during();
    drop(tell);
    (result, watching.join().unwrap().saturating_sub(before) >> 20)
}

fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or("0 kB");
    line.split_whitespace().next().unwrap().parse::<usize>().unwrap() << 10
}

/// Reads replies that are values of `size` bytes, and says how many came whole.
fn values(stream: &mut TcpStream, size: usize) -> usize {
    let mut frame = vec![0; format!("${size}\r\n").len() + size + 2];
    let mut count = 0;
    while stream.read_exact(&mut frame).is_ok() {
        assert!(frame.starts_with(format!("${size}\r\nv").as_bytes()) && frame.ends_with(b"v\r\n"));
        count += 1;
    }
    count
}

#[test]
fn a_client_that_takes_nothing_is_dropped_and_the_others_notice_nothing() {
    let _alone = MEMORY.lock().unwrap_or_else(PoisonError::into_inner);
    let stage = Stage::start("");
    stage.fill(4 << 20);
    let mut deaf = stage.raw();
    let mut bystander = stage.client();
    let (slowest, risen) = rise(|| {
        deaf.write_all(&stage.gets(1024)).unwrap();
        let mut slowest = Duration::ZERO;
        until("it is dropped", || {
            let asked = Instant::now();
            assert_eq!(bystander.command(&["STRLEN", &stage.keys[1]]).unwrap().integer(), 4 << 20);
            slowest = slowest.max(asked.elapsed());
            stage.dropped() == 1
        });
        slowest
    });
    assert!(slowest < Duration::from_millis(900), "another client waited for {slowest:?}");
    assert!(risen < 200, "{risen} MiB were held");
    assert!(values(&mut deaf, 4 << 20) < 32);
}

#[test]
fn who_listens_and_does_not_read_is_dropped() {
    let _alone = MEMORY.lock().unwrap_or_else(PoisonError::into_inner);
    let stage = Stage::start("deadlines = { write = \"300ms\" }");
    let mut deaf = stage.raw();
    deaf.write_all(&pack(&["SUBSCRIBE", "news"])).unwrap();
    let mut hears = stage.client();
    hears.command(&["SUBSCRIBE", "news"]).unwrap();
    let (payload, mut sender) = ("v".repeat(1 << 20), stage.client());
    until("it listens", || {
        sender.command(&["PUBLISH", "news", "are you there"]).unwrap().integer() == 2
            && hears.read().unwrap().elements()[2] == Reply::bulk("are you there")
    });
    until("it is dropped", || {
        let heard = sender.command(&["PUBLISH", "news", &payload]).unwrap().integer();
        assert!((1..=2).contains(&heard), "{heard}");
        assert_eq!(hears.read().unwrap().elements()[2], Reply::bulk(&*payload));
        stage.dropped() == 1
    });
    until("it is counted no more", || {
        let heard = sender.command(&["PUBLISH", "news", "who is left"]).unwrap().integer();
        assert_eq!(hears.read().unwrap().elements()[2], Reply::bulk("who is left"));
        heard == 1
    });
}

#[test]
fn all_clients_together_hold_no_more_than_is_allowed() {
    let stage = Stage::start("client_memory = \"64MiB\"");
    let mut half = pack(&["SET", "key", ""]);
    half.truncate(half.len() - "$0\r\n\r\n".len());
    half.extend(format!("${}\r\n", 100 << 20).into_bytes());
    half.resize(half.len() + (20 << 20), b'v');
    // Transactions that are not ended, and half requests.
    let mut queueing: Vec<_> = (0..2)
        .map(|_| {
            let mut client = stage.client();
            client.command(&["MULTI"]).unwrap();
            let value = vec![b'v'; 15 << 20];
            let queued = client.command(&[&b"SET"[..], stage.keys[0].as_bytes(), &value]).unwrap();
            assert_eq!(queued, Reply::simple("QUEUED"));
            client
        })
        .collect();
    let mut halves = vec![stage.raw(), stage.raw()];
    halves[0].write_all(&half).unwrap();
    until("all of it is held", || stage.held() >= 50 << 20);
    assert_eq!(stage.dropped(), 0);
    // All of it would be too much, and this one wants most.
    let told = halves[1].write_all(&half).map(|()| {
        let mut told = String::new();
        let _ = halves[1].read_to_string(&mut told);
        told
    });
    until("one is dropped", || stage.dropped() == 1);
    if let Ok(told) = told {
        assert!(told.starts_with("-ERR the clients hold ") && told.contains("client_memory"), "{told}");
    }
    // The others are well, and what was held is free again.
    for client in &mut queueing {
        assert_eq!(client.command(&["EXEC"]).unwrap(), Reply::array([Reply::simple("OK")]));
    }
    drop(halves);
    until("all of it is free again", || stage.held() == 0);
    let value = vec![b'v'; 50 << 20];
    let mut other = stage.client();
    assert!(other.command(&[&b"SET"[..], stage.keys[1].as_bytes(), &value]).unwrap().is_ok());
    assert_eq!(stage.dropped(), 1);
}

#[test]
fn where_it_is_enough_that_one_client_goes_the_others_stay() {
    let stage = Stage::start("client_memory = \"64MiB\"");
    let mut half = pack(&["SET", "key", ""]);
    half.truncate(half.len() - "$0\r\n\r\n".len());
    half.extend(format!("${}\r\n", 100 << 20).into_bytes());
    let mut clients: Vec<_> = (0..6).map(|_| stage.raw()).collect();
    let (greedy, others) = clients.split_last_mut().unwrap();
    for client in others.iter_mut() {
        client.write_all(&half).unwrap();
        client.write_all(&vec![b'v'; 11 << 20]).unwrap();
    }
    until("all of it is held", || stage.held() >= 55 << 20);
    greedy.write_all(&half).unwrap();
    let _ = greedy.write_all(&vec![b'v'; 11 << 20]);
    until("one is dropped", || stage.dropped() == 1);
    // It is still there, and the others hold more than the share of each of six.
    for client in others.iter_mut() {
        client.write_all(&vec![b'v'; 1 << 20]).unwrap();
    }
    until("all of it is held", || stage.held() >= 60 << 20);
    assert_eq!(stage.dropped(), 1);
}

#[test]
fn what_a_client_listens_to_is_counted() {
    let stage = Stage::start("client_memory = \"64MiB\"");
    let mut client = stage.client();
    let mut subscribe = |request: usize| {
        let names = (0..100).map(|number| format!("{}:{}", request * 100 + number, "n".repeat(16 << 10)));
        let words: Vec<String> = ["SUBSCRIBE".to_owned()].into_iter().chain(names).collect();
        client.send(&words).is_ok()
            && (0..100).all(|_| client.read().is_ok_and(|reply| reply.error().is_none()))
    };
    // In pieces, and as one.
    let mut many = stage.client();
    let words: Vec<String> =
        ["SUBSCRIBE".to_owned()].into_iter().chain((0..2000).map(|n| n.to_string())).collect();
    many.send(&words).unwrap();
    for number in 0..2000 {
        let told = many.read().unwrap();
        assert_eq!(told.elements()[1..], [Reply::bulk(number.to_string()), Reply::Integer(number + 1)]);
    }
    drop(many);
    assert!(subscribe(0));
    until("it is counted", || stage.held() >= 100 * (16 << 10));
    let taken = (1..60).take_while(|request| subscribe(*request)).count();
    assert!((30..41).contains(&taken), "{taken} times a hundred names of 16 KiB were taken");
    until("it is dropped", || stage.dropped() == 1);
    until("all of it is free again", || stage.held() == 0);
}

#[test]
fn one_subscription_to_very_many_names_holds_no_more_than_is_allowed() {
    let stage = Stage::start("client_memory = \"64MiB\"");
    let names: Vec<String> = (0..400_000).map(|number| format!("name:{number}")).collect();
    let words: Vec<&str> = ["SUBSCRIBE"].into_iter().chain(names.iter().map(String::as_str)).collect();
    let request = pack(&words);
    let mut stream = stage.raw();
    let mut writing = stream.try_clone().unwrap();
    let writer = std::thread::spawn(move || writing.write_all(&request));
    let mut told = Vec::new();
    let _ = stream.read_to_end(&mut told);
    let _ = writer.join().unwrap();
    let told = String::from_utf8(told).unwrap();
    let confirmed = told.matches("\r\nsubscribe\r\n").count();
    assert!((30_000..64 << 10).contains(&confirmed), "{confirmed} names were taken");
    assert!(told.lines().last().unwrap().starts_with("-ERR the clients hold "), "{:?}", told.lines().last());
    until("all of it is free again", || stage.held() == 0);
    assert_eq!(stage.dropped(), 1);
}

#[test]
fn what_a_client_has_queued_is_counted_while_it_reads_nothing() {
    let stage = Stage::start("client_memory = \"256MiB\"");
    let mut stream = stage.raw();
    stream.write_all(&pack(&["MULTI"])).unwrap();
    stream.write_all(&pack(&["SET", &stage.keys[0], &"v".repeat(15 << 20)])).unwrap();
    until("the transaction is counted", || stage.held() >= 15 << 20);
    stream.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
    // Each is refused, and nobody reads that.
    let _ = stream.write_all(&pack(&[&"x".repeat(200)]).repeat(300_000));
    std::thread::sleep(Duration::from_millis(500));
    assert!(stage.held() >= 15 << 20, "{}", stage.held());
}

#[test]
fn what_a_client_has_taken_is_not_counted_while_it_waits() {
    let stage = Stage::start("");
    stage.fill(40 << 20);
    let mut stream = stage.raw();
    stream.write_all(&stage.gets(1)).unwrap();
    stream.write_all(&pack(&["BLPOP", "nothing", "0"])).unwrap();
    until("it does not take the value", || stage.held() > 1 << 20);
    let mut value = vec![0; 40 << 20];
    stream.read_exact(&mut value).unwrap();
    until("it has taken it", || stage.held() == 0);
}

#[test]
fn a_client_for_whom_little_is_held_may_take_its_time() {
    let stage = Stage::start("deadlines = { write = \"200ms\" }");
    stage.fill(256 << 10);
    let mut slow = stage.raw();
    slow.write_all(&stage.gets(100)).unwrap();
    std::thread::sleep(Duration::from_secs(1));
    slow.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(values(&mut slow, 256 << 10), 100);
    assert_eq!(stage.dropped(), 0);
}

#[test]
fn a_thousand_large_values_at_once_come_to_who_reads_them_and_few_are_held() {
    let _alone = MEMORY.lock().unwrap_or_else(PoisonError::into_inner);
    let stage = Stage::start("");
    stage.fill(1 << 20);
    let mut reading = stage.raw();
    let (count, risen) = rise(|| {
        reading.write_all(&stage.gets(1024)).unwrap();
        reading.shutdown(std::net::Shutdown::Write).unwrap();
        values(&mut reading, 1 << 20)
    });
    assert_eq!((count, stage.dropped()), (1024, 0));
    assert!(risen < 80, "{risen} MiB were held");
}

#[test]
fn a_value_of_64_mib_passes_and_is_not_held_twice() {
    let _alone = MEMORY.lock().unwrap_or_else(PoisonError::into_inner);
    let stage = Stage::start("deadlines = { reply = \"10s\", write = \"10s\" }");
    let size = 64 << 20;
    stage.shards[0].command(&["CONFIG", "SET", "client-query-buffer-limit", "512mb"]);
    let mut value = pack(&["SET", &stage.keys[0], ""]);
    value.truncate(value.len() - "$0\r\n\r\n".len());
    value.extend(format!("${size}\r\n").into_bytes());
    value.resize(value.len() + size, b'v');
    value.extend(b"\r\n");
    stage.shards[0].client().unwrap().send_raw(&value).unwrap();
    drop(value);
    until("it is there", || stage.shards[0].command(&["STRLEN", &stage.keys[0]]).integer() == 64 << 20);
    let mut reading = stage.raw();
    let (count, risen) = rise(|| {
        reading.write_all(&stage.gets(1)).unwrap();
        let (mut got, mut part) = (0, vec![0; 1 << 16]);
        while got < size {
            got += reading.read(&mut part).unwrap();
        }
        got
    });
    assert!(count >= size);
    assert!(risen < 160, "{risen} MiB were held");
}

#[test]
fn a_reply_does_not_wait_for_those_behind_it() {
    let stage = Stage::start("deadlines = { reply = \"3s\" }");
    stage.shards[1].stop();
    let mut asking = stage.client();
    let asked = Instant::now();
    asking.send_raw(&[pack(&["STRLEN", &stage.keys[0]]), stage.gets(3)].concat()).unwrap();
    assert_eq!(asking.read().unwrap(), Reply::Integer(4));
    assert_eq!(asking.read().unwrap(), Reply::bulk("here"));
    assert!(asked.elapsed() < Duration::from_secs(2), "{:?}", asked.elapsed());
    assert!(asking.read().unwrap().error().unwrap().starts_with("TIMEOUT "));
    assert_eq!(asking.read().unwrap(), Reply::bulk("here"));
    stage.shards[1].cont();
}

#[test]
fn a_reply_does_not_wait_for_what_takes_its_turn_alone() {
    let stage = Stage::start("deadlines = { reply = \"3s\" }");
    let mut asking = stage.client();
    let mut ask_both = |last: &[&str], release: &dyn Fn()| {
        let asked = Instant::now();
        asking.send_raw(&[pack(&["STRLEN", &stage.keys[0]]), pack(last)].concat()).unwrap();
        assert_eq!(asking.read().unwrap(), Reply::Integer(4));
        assert!(asked.elapsed() < Duration::from_secs(2), "{last:?}: {:?}", asked.elapsed());
        release();
        assert_eq!(asking.read().unwrap().elements().len(), 2, "{last:?}");
    };
    stage.shards[1].stop();
    ask_both(&["SCAN", "0"], &|| stage.shards[1].cont());
    ask_both(&["BLPOP", "list", "0"], &|| {
        assert_eq!(stage.client().command(&["RPUSH", "list", "item"]).unwrap().integer(), 1);
    });
}

#[test]
fn a_reply_does_not_wait_for_what_a_shard_is_asked_about_a_transaction_or_a_channel() {
    let stage =
        Stage::start("deadlines = { connect = \"5s\", reply = \"5s\" }\nheartbeat_frequency = \"1m\"");
    stage.shards[1].stop();
    let key = &stage.keys[1];
    for words in [&["WATCH", key][..], &["SUBSCRIBE", key]] {
        let mut asking = stage.client();
        let asked = Instant::now();
        asking.send_raw(&[pack(&["ECHO", "first"]), pack(words)].concat()).unwrap();
        assert_eq!(asking.read().unwrap(), Reply::bulk("first"));
        assert!(asked.elapsed() < Duration::from_secs(2), "{words:?}: {:?}", asked.elapsed());
    }
    stage.shards[1].cont();
}

#[test]
fn who_listens_hears_messages_between_the_replies_to_a_long_pipeline() {
    const REQUESTS: usize = 100;
    let stage = Stage::start("");
    stage.fill(1 << 20);
    let mut listener = stage.client();
    listener.command(&["HELLO", "3"]).unwrap();
    listener.command(&["SUBSCRIBE", "news"]).unwrap();
    listener.send_raw(&stage.gets(REQUESTS)).unwrap();
    assert_eq!(stage.client().command(&["PUBLISH", "news", "now"]).unwrap(), Reply::Integer(1));
    let before = (0..=REQUESTS).take_while(|_| !matches!(listener.read().unwrap(), Reply::Push(_))).count();
    assert!(before < REQUESTS, "the message came behind {before} replies");
}

#[test]
fn commands_of_all_kinds_are_answered_in_the_order_written() {
    let stage = Stage::start("deadlines = { reply = \"5s\", wait = \"5s\" }");
    let [a, b, c] = [&*stage.keys[0], &*stage.keys[1], &*stage.keys[2]];
    let (mut sent, mut expected) = (Vec::new(), Vec::new());
    let mut ask = |words: &[&str], reply: Reply| {
        sent.extend(pack(words));
        expected.push(reply);
    };
    let ok = || Reply::simple("OK");
    for round in 0..60 {
        let text = round.to_string();
        for key in [a, b, c] {
            ask(&["SET", key, &text], ok());
        }
        if round % 2 == 0 {
            ask(&["ECHO", &text], Reply::bulk(&text));
        }
        ask(
            &["MGET", c, a, "none", b],
            Reply::array([Reply::bulk(&text), Reply::bulk(&text), Reply::Nil, Reply::bulk(&text)]),
        );
        ask(&["INCR", b], Reply::Integer(round + 1));
        if round % 3 == 0 {
            let list = format!("list:{round}");
            ask(&["RPUSH", &list, "x"], Reply::Integer(1));
            ask(&["BLPOP", &list, "1"], Reply::array([Reply::bulk(&list), Reply::bulk("x")]));
        }
        ask(&["MSET", a, "new", b, "new"], ok());
        if round % 4 == 0 {
            ask(&["MULTI"], ok());
            ask(&["APPEND", a, "er"], Reply::simple("QUEUED"));
            ask(&["GET", a], Reply::simple("QUEUED"));
            ask(&["EXEC"], Reply::array([Reply::Integer(5), Reply::bulk("newer")]));
        }
        ask(&["DEL", a, b, c], Reply::Integer(3));
        ask(&["GET", b], Reply::Nil);
    }
    let mut asking = stage.client();
    asking.send_raw(&sent).unwrap();
    for (at, expected) in expected.iter().enumerate() {
        assert_eq!(&asking.read().unwrap(), expected, "reply {at}");
    }
}

#[test]
fn a_script_that_a_shard_forgot_is_run_in_its_turn_or_not_at_all() {
    let stage = Stage::start("");
    let mut asking = stage.client();
    let script = "return redis.call('APPEND', KEYS[1], ARGV[1])";
    let sha = asking.command(&["SCRIPT", "LOAD", script]).unwrap().text().to_owned();
    let [a, b, _] = [&*stage.keys[0], &*stage.keys[1], &*stage.keys[2]];
    let run = |key: &str, text: &str| pack(&["EVALSHA", &sha, "1", key, text]);
    for shard in &stage.shards {
        shard.command(&["SCRIPT", "FLUSH"]);
    }
    // What stands before, and what goes to another shard, does not matter.
    let line = [pack(&["SET", a, "0"]), run(a, "1"), run(a, "2"), pack(&["GET", b])].concat();
    asking.send_raw(&line).unwrap();
    assert!(asking.read().unwrap().is_ok());
    assert_eq!([asking.read().unwrap(), asking.read().unwrap()], [Reply::Integer(2), Reply::Integer(3)]);
    assert_eq!(asking.read().unwrap(), Reply::bulk("here"));
    // What stands behind on the same shard has run already.
    stage.shards[1].command(&["SCRIPT", "FLUSH"]);
    asking.send_raw(&[run(b, "!"), pack(&["GET", b])].concat()).unwrap();
    assert!(asking.read().unwrap().error().unwrap().starts_with("NOSCRIPT "));
    assert_eq!(asking.read().unwrap(), Reply::bulk("here"));
    asking.send_raw(&[run(b, "!"), run(b, "?")].concat()).unwrap();
    assert_eq!([asking.read().unwrap(), asking.read().unwrap()], [Reply::Integer(5), Reply::Integer(6)]);
}

#[test]
fn five_hundred_clients_with_full_windows_fit_on_the_wires_of_one_thread() {
    const CLIENTS: usize = 500;
    const BATCH: usize = 128;
    let limits = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let limits = rustix::process::Rlimit { current: limits.maximum, ..limits };
    rustix::process::setrlimit(rustix::process::Resource::Nofile, limits).unwrap();
    let fields = "heartbeat_frequency = \"60s\"\nretries = { attempts = 1 }\n\
                  deadlines = { connect = \"30s\", reply = \"30s\", write = \"30s\", wait = \"30s\" }";
    let shards = Cluster::start(3);
    let proxy = Proxy::start(&config(&("threads = 1\n".to_owned() + &ring("cache", fields, &shards.urls()))))
        .unwrap();
    let batch = |count: usize| -> Vec<u8> {
        let get =
            |number| RequestBuf::pack([b"GET", format!("key:{number}").as_bytes()]).view().bytes().to_vec();
        (0..count).flat_map(get).collect()
    };
    let mut clients: Vec<_> = (0..CLIENTS).map(|_| client(&proxy, "cache")).collect();
    let read = |clients: &mut [Client], count: usize| {
        for client in clients {
            client.timeout(Duration::from_secs(30)).unwrap();
            for _ in 0..count {
                assert_eq!(client.read().unwrap(), Reply::Nil);
            }
        }
    };
    // Small replies open the window of each.
    for _ in 0..2 {
        for client in &mut clients {
            client.send_raw(&batch(2 * BATCH)).unwrap();
        }
        read(&mut clients, 2 * BATCH);
    }
    // So that all of it waits at the same time.
    shards.iter().for_each(|shard| shard.stop());
    let all = batch(BATCH);
    for client in &mut clients {
        client.send_raw(&all).unwrap();
    }
    let mut asks = client(&proxy, "cache");
    until("all is under way", || {
        let info = asks.command(&["INFO", "shards"]).unwrap().text().to_owned();
        let counts = info.split("in_flight=").skip(1);
        let counts = counts.map(|rest| rest.split([',', '\r']).next().unwrap().parse::<usize>().unwrap());
        counts.sum::<usize>() >= CLIENTS * BATCH
    });
    shards.iter().for_each(|shard| shard.cont());
    read(&mut clients, BATCH);
}
