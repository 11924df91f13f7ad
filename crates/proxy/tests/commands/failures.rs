//! Shards that die.

use std::time::Duration;

use rendis_testkit::Reply;

use crate::ring::until;
use crate::{Stage, alive, ask, blocked, bulks};

#[test]
fn a_split_command_with_a_dead_part_fails_and_says_where() {
    let stage = Stage::with("on_down = \"fail\"");
    let keys = stage.keys("k");
    stage.shards[1].kill();
    let mut client = stage.client();
    let error = ask(&mut client, &["MSET", &keys[0], "1", &keys[1], "2", &keys[2], "3"]);
    let text = error.error().unwrap_or_else(|| panic!("{error}"));
    let address = stage.shards[1].address().to_string();
    assert!(text.starts_with("SHARDDOWN shard2 (") && text.contains(&address), "{text}");
    // What the other parts did stands.
    assert_eq!(
        ask(&mut client, &["MGET", &keys[0], &keys[2]]),
        Reply::array([Reply::bulk("1"), Reply::bulk("3")])
    );
    assert!(ask(&mut client, &["MGET", &keys[0], &keys[1]]).error().unwrap().starts_with("SHARDDOWN shard2"));
}

/// Half of it was written to a server that dies: it has not run, and goes to another in full.
#[test]
fn a_large_value_whose_shard_dies_while_it_is_written_is_sent_again_elsewhere() {
    let stage = Stage::with(
        "heartbeat_frequency = \"100ms\"\ndeadlines = { reply = \"20s\", write = \"20s\" }\nfall = 100",
    );
    let keys = stage.keys("k");
    let value: Vec<u8> = (0_u32..8 << 20).flat_map(u32::to_le_bytes).collect();
    let (mut client, mut other) = (stage.client(), stage.client());
    ask(&mut other, &["GET", &keys[1]]);
    stage.shards[1].stop();
    client.send(&[b"SET", keys[1].as_bytes(), &value]).unwrap();
    // Others behind it are not mixed up with it.
    other.send(&["SET", &format!("{{{}}}other", keys[1]), "small"]).unwrap();
    std::thread::sleep(Duration::from_millis(300));
    stage.shards[1].kill();
    let told = client.read().unwrap();
    assert!(told.is_ok(), "{told}");
    let small = other.read().unwrap();
    assert!(small.is_ok() || small.error().is_some_and(|text| text.contains("shard2")), "{small}");
    assert!(ask(&mut client, &["GET", &keys[1]]) == Reply::bulk(&value), "it is the value");
}

#[test]
fn clients_survive_a_shard_that_is_killed() {
    let stage = Stage::with("heartbeat_frequency = \"50ms\"");
    let keys = stage.keys("k");
    let (mut client, mut listener, mut waiting) = (stage.client(), stage.client(), stage.client());
    for key in &keys {
        ask(&mut client, &["SET", key, "v"]);
    }
    // A channel is placed as a key is.
    ask(&mut listener, &["SUBSCRIBE", &keys[1]]);
    waiting.send(&["BLPOP", &format!("{{{}}}list", keys[1]), "0"]).unwrap();
    until("it waits", || stage.shards.iter().any(blocked));
    let mut pinned = stage.client();
    ask(&mut pinned, &["WATCH", &keys[1]]);
    stage.shards[1].kill();
    let told = waiting.read().unwrap();
    assert!(told.error().is_some_and(|text| text.contains("shard2")), "{told}");
    ask(&mut pinned, &["MULTI"]);
    ask(&mut pinned, &["SET", &keys[1], "v"]);
    let told = ask(&mut pinned, &["EXEC"]);
    assert!(told.error().is_some_and(|text| !text.contains("may have")) || told == Reply::Nil, "{told}");
    until("its keys are served elsewhere", || ask(&mut client, &["SET", &keys[1], "new"]).is_ok());
    assert_eq!(ask(&mut client, &["GET", &keys[1]]), Reply::bulk("new"));
    assert_eq!(ask(&mut client, &["GET", &keys[0]]), Reply::bulk("v"));
    until("the subscription has moved", || ask(&mut client, &["PUBLISH", &keys[1], "text"]).integer() > 0);
    assert_eq!(listener.read().unwrap(), Reply::Array(bulks(&["message", &keys[1], "text"])));
    for client in [&mut waiting, &mut pinned] {
        alive(client);
        until("it is served", || ask(client, &["GET", &keys[1]]) == Reply::bulk("new"));
    }
    stage.shards[1].restart();
    until("the shard is back", || {
        ask(&mut client, &["SET", &keys[1], "again"]).is_ok()
            && stage.shards[1]
                .try_command(&["GET", &keys[1]])
                .is_ok_and(|reply| reply == Reply::bulk("again"))
    });
}

#[test]
fn a_read_that_waits_goes_on_where_its_key_is_when_a_shard_falls_and_returns() {
    let stage = Stage::with("heartbeat_frequency = \"50ms\"");
    let key = &stage.keys("stream")[1];
    let (mut client, mut waiting) = (stage.client(), stage.client());
    waiting.send(&["XREAD", "BLOCK", "0", "STREAMS", key, "0-0"]).unwrap();
    until("it waits", || blocked(&stage.shards[1]));
    // What came before it waits again would be missed by one that has no ID to go on from.
    let mut newest = stage.client();
    newest.send(&["XREAD", "BLOCK", "0", "STREAMS", key, "$"]).unwrap();
    until("both wait", || {
        stage.shards[1].command(&["INFO", "clients"]).text().contains("blocked_clients:2\r\n")
    });
    for _ in 0..2 {
        stage.shards[1].kill();
        until("it waits elsewhere", || blocked(&stage.shards[0]) || blocked(&stage.shards[2]));
        stage.shards[1].restart();
        until("it waits where it did", || blocked(&stage.shards[1]));
        // For longer than any deadline.
        std::thread::sleep(std::time::Duration::from_millis(1_200));
    }
    assert!(ask(&mut client, &["XADD", key, "1-1", "f", "v"]).error().is_none());
    assert!(waiting.read().unwrap().to_string().contains("1-1"));
    let told = newest.read().unwrap();
    assert!(told.error().is_some_and(|text| text.ends_with("may have been executed")), "{told}");
}

#[test]
fn a_read_that_goes_on_elsewhere_waits_for_the_rest_of_its_time() {
    let stage = Stage::with("heartbeat_frequency = \"50ms\"");
    let key = &stage.keys("stream")[1];
    let mut waiting = stage.client();
    waiting.send(&["XREAD", "BLOCK", "100000", "STREAMS", key, "0-0"]).unwrap();
    until("it waits", || blocked(&stage.shards[1]));
    let monitors = [0, 2].map(|shard| {
        let mut monitor = rendis_testkit::Client::connect(stage.shards[shard].address()).unwrap();
        assert!(monitor.command(&["MONITOR"]).unwrap().is_ok());
        (shard, monitor)
    });
    std::thread::sleep(std::time::Duration::from_secs(1));
    stage.shards[1].kill();
    until("it waits elsewhere", || blocked(&stage.shards[0]) || blocked(&stage.shards[2]));
    let (_, mut monitor) = monitors.into_iter().find(|(shard, _)| blocked(&stage.shards[*shard])).unwrap();
    let mut lines = std::iter::repeat_with(|| monitor.read().unwrap().text().to_owned());
    let line = lines.find(|line| line.contains("\"XREAD\"")).unwrap();
    let time: u32 = line.split('"').nth(5).unwrap().parse().unwrap();
    assert!((50_000..99_001).contains(&time), "{line}");
}

#[test]
fn credentials_that_a_shard_does_not_take_are_not_mistaken_for_the_clients_own() {
    let stage = Stage::with("on_down = \"fail\"");
    let keys = stage.keys("k");
    let mut client = stage.client();
    stage.shards[1].restart_with_password(Some("secret"));
    let refused = |client: &mut rendis_testkit::Client| {
        let reply = ask(client, &["GET", &keys[1]]);
        reply
            .error()
            .is_some_and(|text| text.starts_with("SHARDAUTH shard2 (") && text.ends_with("; not executed"))
    };
    until("it is told so", || refused(&mut client));
    assert_eq!(ask(&mut client, &["GET", &keys[0]]), Reply::Nil);
}
