//! Commands that wait.

use std::time::{Duration, Instant};

use rendis_testkit::Reply;

use crate::ring::until;
use crate::{Stage, alive, ask, blocked, bulks, connections};

#[test]
fn who_waits_is_counted_until_he_has_what_he_waits_for_or_leaves() {
    let stage = Stage::start();
    let keys = stage.keys("k");
    let mut client = stage.client();
    let mut count = || {
        let info = ask(&mut client, &["INFO", "clients"]).text().to_owned();
        let line = info.lines().find_map(|line| line.strip_prefix("blocked_clients:"));
        line.unwrap_or_else(|| panic!("{info}")).parse::<usize>().unwrap()
    };
    assert_eq!(count(), 0);
    let mut waiting: Vec<_> = keys.iter().map(|_| stage.client()).collect();
    for (client, key) in waiting.iter_mut().zip(&keys) {
        client.send(&["BLPOP", key, "0"]).unwrap();
    }
    until("all wait", || count() == 3);
    waiting.pop();
    until("one has left", || count() == 2);
    ask(&mut stage.client(), &["RPUSH", &keys[0], "item"]);
    assert_eq!(waiting[0].read().unwrap(), Reply::Array(bulks(&[&keys[0], "item"])));
    assert_eq!(count(), 1);
}

#[test]
fn one_who_waits_is_woken_by_another_and_times_out_alone() {
    let stage = Stage::start();
    let mut pusher = stage.client();
    for (at, key) in stage.keys("list").into_iter().enumerate() {
        let mut waiting = stage.client();
        waiting.send(&["BLPOP", &key, "0"]).unwrap();
        waiting.send(&["ECHO", "after"]).unwrap();
        until("it waits", || blocked(&stage.shards[at]));
        ask(&mut pusher, &["RPUSH", &key, "item"]);
        assert_eq!(waiting.read().unwrap(), Reply::Array(bulks(&[&key, "item"])));
        assert_eq!(waiting.read().unwrap(), Reply::bulk("after"));
        let begun = Instant::now();
        assert_eq!(ask(&mut waiting, &["BLPOP", &key, "0.2"]), Reply::Nil);
        assert!((Duration::from_millis(150)..Duration::from_secs(4)).contains(&begun.elapsed()));
        waiting.send(&["XREAD", "BLOCK", "0", "STREAMS", &format!("{key}x"), "$"]).unwrap();
        until("it waits", || stage.shards.iter().any(blocked));
        ask(&mut pusher, &["XADD", &format!("{key}x"), "1-1", "f", "v"]);
        assert!(waiting.read().unwrap().to_string().contains("1-1"));
    }
    // Longer than any deadline of the proxy.
    let stage = Stage::with("deadlines = { reply = \"100ms\" }");
    assert_eq!(ask(&mut stage.client(), &["BLPOP", "none", "0.5"]), Reply::Nil);
}

#[test]
fn a_client_that_leaves_while_it_waits_frees_its_connection_and_takes_nothing() {
    let stage = Stage::start();
    let keys = stage.keys("list");
    let waiting: Vec<_> = (0..30)
        .map(|_| {
            let mut client = stage.client();
            client.send(&["BRPOP", &keys[1], "0"]).unwrap();
            client
        })
        .collect();
    let counts = |count: usize| {
        let expected = format!("blocked_clients:{count}\r\n");
        stage.shards[1].command(&["INFO", "clients"]).text().contains(&expected)
    };
    until("all wait", || counts(30));
    drop(waiting);
    until("none waits", || counts(0));
    let mut client = stage.client();
    ask(&mut client, &["RPUSH", &keys[1], "a", "b"]);
    assert_eq!(ask(&mut client, &["LLEN", &keys[1]]).integer(), 2);
    until("their connections are closed", || connections(&stage.shards[1]) <= 8);
}

#[test]
fn a_client_that_sent_much_behind_what_it_waits_for_is_seen_to_leave() {
    let stage = Stage::start();
    let mut client = stage.client();
    client.send(&["BLPOP", "list", "0"]).unwrap();
    client.send_raw(&b"*2\r\n$4\r\nECHO\r\n$4\r\nmore\r\n".repeat(200_000)).unwrap();
    until("it waits", || stage.shards.iter().any(blocked));
    drop(client);
    until("it has left", || !stage.shards.iter().any(blocked));
    // One that stays is served in order.
    let mut client = stage.client();
    client.send(&["BLPOP", "list", "0"]).unwrap();
    client.send_raw(&b"*2\r\n$4\r\nECHO\r\n$4\r\nmore\r\n".repeat(50_000)).unwrap();
    ask(&mut stage.client(), &["RPUSH", "list", "item"]);
    assert_eq!(client.read().unwrap(), Reply::Array(bulks(&["list", "item"])));
    (0..50_000).for_each(|_| assert_eq!(client.read().unwrap(), Reply::bulk("more")));
}

#[test]
fn many_wait_at_once_and_others_are_served() {
    let stage = Stage::start();
    let keys = stage.keys("list");
    let mut waiting: Vec<_> = (0..100).map(|_| stage.client()).collect();
    for (at, client) in waiting.iter_mut().enumerate() {
        client.send(&["BLPOP", &keys[at % 3], "0"]).unwrap();
    }
    let mut client = stage.client();
    until("all wait", || stage.shards.iter().filter(|shard| blocked(shard)).count() == 3);
    for _ in 0..100 {
        alive(&mut client);
        ask(&mut client, &["SET", "key", "v"]);
    }
    for key in &keys {
        for item in 0..34 {
            ask(&mut client, &["RPUSH", key, &item.to_string()]);
        }
    }
    for client in &mut waiting {
        assert_eq!(client.read().unwrap().elements().len(), 2);
    }
}
