//! What clients of the proxy see when shards are away, and when other clients misbehave.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod ring;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use rendis_proxy::serve::Proxy;
use rendis_testkit::{Client, Cluster, Reply};

use ring::{address, client, config, ring, until};

/// Quick to notice what is wrong.
const QUICK: &str = "heartbeat_frequency = \"50ms\"\nheartbeat_timeout = \"200ms\"\n";

fn start(fields: &str, shards: &Cluster) -> Proxy {
    Proxy::start(&config(&ring("cache", &(QUICK.to_owned() + fields), &shards.urls()))).unwrap()
}

/// A key on each server, and its value.
fn keys(asking: &mut Client, shards: &Cluster) -> Vec<String> {
    let mut keys = vec![String::new(); shards.len()];
    for number in 0.. {
        let key = format!("key:{number}");
        assert!(asking.command(&["SET", &key, "old"]).unwrap().is_ok());
        let at = shards.iter().position(|shard| shard.command(&["EXISTS", &key]).integer() == 1);
        keys[at.unwrap()] = key;
        if keys.iter().all(|key| !key.is_empty()) {
            return keys;
        }
    }
    unreachable!("numbers do not end");
}

#[test]
fn empty_lines_by_the_million_are_passed_over_also_from_who_is_not_logged_in() {
    let shards = Cluster::start(1);
    let user = "[[ring.user]]\nname = \"app\"\npassword = \"hunter2\"\nrules = \"+@all ~*\"\n";
    for fields in ["", user] {
        let text = ring("cache", "", &shards.urls()) + fields;
        let proxy = Proxy::start(&config(&text)).unwrap();
        for line in ["\n", "\r\n", "  \r\n"] {
            let mut stream = TcpStream::connect(address(&proxy, "cache")).unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
            stream.write_all(line.repeat(400_000).as_bytes()).unwrap();
            stream.write_all(b"QUIT\r\n").unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            assert_eq!(answer, "+OK\r\n");
        }
    }
}

#[test]
fn with_miss_every_read_is_answered_alone_in_pipelines_and_split() {
    let shards = Cluster::start(2);
    let proxy = start("on_down = \"miss\"", &shards);
    let mut caller = client(&proxy, "cache");
    let keys = keys(&mut caller, &shards);
    let (dead, alive) = (&keys[0], &keys[1]);
    shards[0].kill();
    let until_then = Instant::now() + Duration::from_secs(2);
    while Instant::now() < until_then {
        for number in 0..400 {
            caller.send(&["GET", if number % 3 == 0 { alive } else { dead }]).unwrap();
        }
        for number in 0..400 {
            let answer = caller.read().unwrap();
            if number % 3 == 0 {
                assert_eq!(answer.text(), "old", "number {number}");
            } else {
                assert!(answer == Reply::Nil, "number {number}: {answer:?}");
            }
        }
        let both = caller.command(&["MGET", dead, alive]).unwrap();
        assert!(both.elements()[0] == Reply::Nil && both.elements()[1].text() == "old", "{both:?}");
        let error = caller.command(&["SET", dead, "new"]).unwrap();
        assert!(error.error().unwrap().starts_with("SHARDDOWN shard1"), "{error:?}");
    }
}

#[test]
fn who_waits_on_a_shard_that_is_taken_out_is_told() {
    let shards = Cluster::start(3);
    let proxy = start("", &shards);
    let mut caller = client(&proxy, "cache");
    let key = format!("{{{}}}list", keys(&mut caller, &shards)[1]);
    let mut waiting = client(&proxy, "cache");
    waiting.send(&["BLPOP", &key, "0"]).unwrap();
    until("the client waits", || {
        shards[1].command(&["INFO", "clients"]).text().contains("blocked_clients:1")
    });
    shards[1].stop();
    let answer = waiting.read().unwrap();
    shards[1].cont();
    assert!(answer.error().unwrap().starts_with("SHARDDOWN shard2"), "{answer:?}");
    assert!(answer.error().unwrap().contains("taken out"), "{answer:?}");
}

#[test]
fn no_client_on_any_thread_sees_an_old_value_after_a_shard_came_back() {
    let shards = Cluster::start(3);
    let proxy = start("", &shards);
    let mut asking = client(&proxy, "cache");
    let key = keys(&mut asking, &shards).swap_remove(1);
    let address = address(&proxy, "cache");
    shards[1].stop();
    until("the write goes elsewhere", || asking.command(&["SET", &key, "new"]).unwrap().is_ok());
    // Readers and writers on both threads, while the shard returns.
    let until_then = Instant::now() + Duration::from_secs(3);
    let readers: Vec<_> = (0..8)
        .map(|number| {
            let key = key.clone();
            thread::spawn(move || {
                let mut caller = Client::connect(address).unwrap();
                let mut found = 0;
                while Instant::now() < until_then {
                    if number < 2 {
                        caller.command(&["SET", &key, "new"]).unwrap();
                    }
                    let value = caller.command(&["GET", &key]).unwrap();
                    assert!(
                        value == Reply::Nil || value.error().is_some() || value.text() == "new",
                        "{value:?}"
                    );
                    found += usize::from(value != Reply::Nil && value.error().is_none());
                }
                found
            })
        })
        .collect();
    thread::sleep(Duration::from_millis(300));
    shards[1].cont();
    let back = || shards[1].command(&["GET", &key]);
    until("the shard has the new value", || back() != Reply::Nil && back().text() == "new");
    for reader in readers {
        assert!(reader.join().unwrap() > 100);
    }
}

#[test]
fn a_slow_shard_that_rests_forgets_before_it_serves_again_after_a_reload() {
    const SLOW: &str =
        "slow_ejection = { factor = 3, floor = \"10ms\", window = \"100ms\", windows = 3, rest = \"60s\" }\n";
    for reloaded in [format!("{SLOW}deadlines = {{ reply = \"2s\" }}\n"), String::new()] {
        let shards = Cluster::start_with(3, |_, server| server.setting("enable-debug-command", "yes"));
        let text = |fields: &str| ring("cache", fields, &shards.urls());
        let mut proxy = Proxy::start(&config(&text(SLOW))).unwrap();
        let mut asking = client(&proxy, "cache");
        let keys = keys(&mut asking, &shards);
        let mut brake = shards[1].client().unwrap();
        let braking = thread::spawn(move || {
            let end = Instant::now() + Duration::from_secs(2);
            while Instant::now() < end {
                brake.command(&["DEBUG", "SLEEP", "0.04"]).unwrap();
            }
        });
        until("the slow shard is taken out", || {
            keys.iter().for_each(|key| drop(asking.command(&["GET", key]).unwrap()));
            asking.command(&["GET", &keys[1]]).unwrap() == Reply::Nil
        });
        assert!(asking.command(&["SET", &keys[1], "new"]).unwrap().is_ok());
        braking.join().unwrap();
        proxy.reload(&config(&text(&reloaded))).unwrap();
        let end = Instant::now() + Duration::from_secs(1);
        while Instant::now() < end {
            let value = asking.command(&["GET", &keys[1]]).unwrap();
            assert!(value == Reply::Nil || value.text() == "new", "{value:?} after {reloaded:?}");
        }
    }
}

#[test]
fn with_close_a_client_whose_command_got_no_answer_loses_its_connection_and_keeps_what_it_was_answered() {
    let shards = Cluster::start(2);
    let proxy = start("on_lost = \"close\"\non_down = \"fail\"\n", &shards);
    let mut client = client(&proxy, "cache");
    let keys = keys(&mut client, &shards);
    // One that waits for what others do.
    let mut waiting = ring::client(&proxy, "cache");
    waiting.send(&["BLPOP", &format!("{{{}}}list", keys[0]), "0"]).unwrap();
    until("it waits", || shards[0].command(&["INFO", "clients"]).text().contains("blocked_clients:1"));
    shards[0].kill();
    assert_eq!(waiting.read_to_end().unwrap(), b"");
    // Alone, and in a pipeline behind what is answered.
    let mut alone = ring::client(&proxy, "cache");
    alone.send(&["GET", &keys[0]]).unwrap();
    assert_eq!(alone.read_to_end().unwrap(), b"");
    client.send_raw(format!("GET {}\r\nGET {}\r\nPING\r\n", keys[1], keys[0]).as_bytes()).unwrap();
    assert_eq!(client.read_to_end().unwrap(), b"$3\r\nold\r\n");
    let mut piped = ring::client(&proxy, "cache");
    let get = |key: &str| format!("*2\r\n$3\r\nGET\r\n${}\r\n{key}\r\n", key.len());
    piped.send_raw((get(&keys[1]) + &get(&keys[0]) + &get(&keys[1])).as_bytes()).unwrap();
    assert_eq!(piped.read_to_end().unwrap(), b"$3\r\nold\r\n");
    // A reload changes it for those that are connected.
    let mut told = ring::client(&proxy, "cache");
    assert_eq!(told.command(&["GET", &keys[1]]).unwrap().text(), "old");
    let text = ring("cache", &(QUICK.to_owned() + "on_down = \"fail\"\n"), &shards.urls());
    let mut proxy = proxy;
    proxy.reload(&config(&text)).unwrap();
    let error = told.command(&["GET", &keys[0]]).unwrap();
    assert!(error.error().unwrap().starts_with("SHARDDOWN"), "{error:?}");
    // A refusal is an answer.
    let mut other = ring::client(&proxy, "cache");
    let crossed = other.command(&["RENAME", &keys[0], &keys[1]]).unwrap();
    assert!(crossed.error().unwrap().starts_with("CROSSSLOT"), "{crossed:?}");
    assert_eq!(other.command(&["GET", &keys[1]]).unwrap().text(), "old");
}
