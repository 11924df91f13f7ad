//! `CLIENT KILL`: clients that somebody has thrown out.

use std::io::ErrorKind;

use rendis_proxy::serve::Proxy;
use rendis_testkit::{Client, Cluster, Reply};

use crate::ring::{client, config, ring, until};
use crate::{Stage, alive, ask, blocked};

fn id(client: &mut Client) -> String {
    ask(client, &["CLIENT", "ID"]).integer().to_string()
}

fn address(client: &mut Client) -> String {
    let info = ask(client, &["CLIENT", "INFO"]).text().to_owned();
    info.split(' ').find_map(|field| field.strip_prefix("addr=")).unwrap().to_owned()
}

fn names(client: &mut Client) -> Vec<String> {
    let list = ask(client, &["CLIENT", "LIST"]).text().to_owned();
    let names = list.split_whitespace().filter_map(|field| field.strip_prefix("name="));
    names.filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

fn named(stage: &Stage, name: &str) -> Client {
    let mut client = stage.client();
    assert!(ask(&mut client, &["CLIENT", "SETNAME", name]).is_ok());
    client
}

/// Nothing more comes, and the connection is closed.
fn is_closed(client: &mut Client) -> bool {
    match client.read_to_end() {
        Ok(rest) => rest.is_empty(),
        // Not that nothing came for a while.
        Err(error) => error.kind() == ErrorKind::ConnectionReset,
    }
}

#[test]
fn clients_on_every_thread_are_thrown_out_and_nobody_else() {
    let stage = Stage::start();
    let mut own = named(&stage, "own");
    // With so many, there are some on either thread.
    let mut others: Vec<Client> = (0..16).map(|number| named(&stage, &number.to_string())).collect();
    let odd: Vec<String> = others.iter_mut().skip(1).step_by(2).map(id).collect();
    for id in &odd {
        assert_eq!(ask(&mut own, &["CLIENT", "KILL", "ID", id]), Reply::Integer(1));
    }
    until("they are off the list", || names(&mut own).len() == 9);
    for (number, client) in others.iter_mut().enumerate() {
        if number % 2 == 0 {
            alive(client);
        } else {
            assert!(is_closed(client));
        }
    }
    assert_eq!(ask(&mut own, &["CLIENT", "KILL", "ID", &odd[0]]), Reply::Integer(0));
    let first = address(&mut others[0]);
    assert!(ask(&mut own, &["CLIENT", "KILL", &first]).is_ok());
    assert!(is_closed(&mut others[0]));
    until("it is off the list", || names(&mut own).len() == 8);
    let gone = ask(&mut own, &["CLIENT", "KILL", &first]);
    assert_eq!(gone.error(), Some("ERR No such client"));
    let third = address(&mut others[2]);
    // All of it has to be true.
    let other = id(&mut others[4]);
    assert_eq!(ask(&mut own, &["CLIENT", "KILL", "ADDR", &third, "ID", &other]), Reply::Integer(0));
    assert_eq!(ask(&mut own, &["CLIENT", "KILL", "ADDR", &third, "TYPE", "normal"]), Reply::Integer(1));
    assert!(is_closed(&mut others[2]));
}

#[test]
fn who_asks_is_spared_unless_he_says_otherwise_and_then_hears_the_answer() {
    let stage = Stage::start();
    let (mut own, mut other) = (stage.client(), stage.client());
    alive(&mut other);
    let local = format!("{}", stage.address());
    assert_eq!(ask(&mut own, &["CLIENT", "KILL", "LADDR", &local]), Reply::Integer(1));
    assert!(is_closed(&mut other));
    let address = address(&mut own);
    assert_eq!(ask(&mut own, &["CLIENT", "KILL", "ADDR", &address]), Reply::Integer(0));
    assert_eq!(ask(&mut own, &["CLIENT", "KILL", "ADDR", &address, "SKIPME", "no"]), Reply::Integer(1));
    assert!(is_closed(&mut own));
    let mut own = stage.client();
    let address = self::address(&mut own);
    assert!(ask(&mut own, &["CLIENT", "KILL", &address]).is_ok());
    assert!(is_closed(&mut own));
}

#[test]
fn what_the_thrown_out_waited_for_listened_to_and_watched_is_given_up() {
    let stage = Stage::start();
    let keys = stage.keys("k");
    let mut own = stage.client();
    alive(&mut own);
    for key in &keys {
        ask(&mut own, &["GET", key]);
    }
    let before = stage.connections();
    let (mut waiting, mut listening, mut watching) = (stage.client(), stage.client(), stage.client());
    let ids: Vec<String> = [&mut waiting, &mut watching].into_iter().map(id).collect();
    waiting.send(&["BLPOP", &keys[0], "0"]).unwrap();
    until("it waits", || blocked(&stage.shards[0]));
    ask(&mut listening, &["SUBSCRIBE", "channel"]);
    assert!(ask(&mut watching, &["WATCH", &keys[1]]).is_ok());
    assert!(ask(&mut watching, &["MULTI"]).is_ok());
    ask(&mut watching, &["SET", &keys[1], "never"]);
    assert_eq!(ask(&mut own, &["CLIENT", "KILL", "TYPE", "pubsub"]), Reply::Integer(1));
    assert!(is_closed(&mut listening));
    for id in &ids {
        assert_eq!(ask(&mut own, &["CLIENT", "KILL", "ID", id]), Reply::Integer(1));
    }
    assert!(is_closed(&mut waiting) && is_closed(&mut watching));
    until("nobody listens", || ask(&mut own, &["PUBLISH", "channel", "x"]) == Reply::Integer(0));
    until("nobody waits", || !blocked(&stage.shards[0]));
    assert_eq!(ask(&mut own, &["RPUSH", &keys[0], "item"]), Reply::Integer(1));
    assert_eq!(ask(&mut own, &["LLEN", &keys[0]]), Reply::Integer(1), "who waited has not got it");
    assert_eq!(ask(&mut own, &["GET", &keys[1]]), Reply::Nil);
    // Connections that were in the middle of something are of no more use. The one that was subscribed is kept a while.
    let all = |connections: Vec<usize>| connections.into_iter().sum::<usize>();
    until("nothing is left on the shards", || all(stage.connections()) <= all(before.clone()) + 1);
}

#[test]
fn the_reply_to_a_transaction_whose_client_was_thrown_out_reaches_nobody() {
    let stage = Stage::start();
    let key = &stage.keys("k")[0];
    let mut own = stage.client();
    for watched in [true, false] {
        let mut client = named(&stage, "transacting");
        let own_id = id(&mut client);
        if watched {
            assert!(ask(&mut client, &["WATCH", key]).is_ok());
        }
        assert!(ask(&mut client, &["MULTI"]).is_ok());
        ask(&mut client, &["EVAL", SLOW, "1", key]);
        ask(&mut client, &["INCR", key]);
        client.send(&["EXEC"]).unwrap();
        until("it executes", || {
            let list = ask(&mut own, &["CLIENT", "LIST", "ID", &own_id]).text().to_owned();
            list.contains("cmd=exec")
        });
        assert_eq!(ask(&mut own, &["CLIENT", "KILL", "ID", &own_id]), Reply::Integer(1));
        assert!(is_closed(&mut client));
        // The others get their own replies, and the transaction is whole: the server had all of it.
        assert_eq!(ask(&mut own, &["ECHO", "own"]).text(), "own");
        assert_eq!(ask(&mut own, &["GET", key]).text(), "11");
        assert!(ask(&mut own, &["WATCH", key]).is_ok());
        assert!(ask(&mut own, &["MULTI"]).is_ok());
        ask(&mut own, &["DEL", key]);
        assert_eq!(ask(&mut own, &["EXEC"]), Reply::array([Reply::Integer(1)]));
    }
}

/// Works for a second, and sets its key to 10.
const SLOW: &str = "local function now() local time = redis.call('time'); return time[1] * 1000000 + time[2] end \
    local began = now(); while now() - began < 1000000 do end; return redis.call('set', KEYS[1], 10)";

#[test]
fn the_clients_of_a_user_are_thrown_out_by_its_name() {
    let shards = Cluster::start(1);
    let user = |name: &str, rules: &str| {
        format!("[[ring.user]]\nname = \"{name}\"\npassword = \"{name}\"\nrules = \"{rules}\"\n")
    };
    let text = ring("cache", "", &shards.urls());
    let text = format!("{text}{}{}", user("boss", "+@all ~* &*"), user("guest", "+@all -@admin ~* &*"));
    let proxy = Proxy::start(&config(&text)).unwrap();
    let login = |name: &str| {
        let mut client = client(&proxy, "cache");
        assert!(ask(&mut client, &["AUTH", name, name]).is_ok());
        client
    };
    let (mut boss, mut first, mut second) = (login("boss"), login("guest"), login("guest"));
    let denied = ask(&mut first, &["CLIENT", "KILL", "USER", "boss"]);
    assert!(denied.error().unwrap().starts_with("NOPERM "), "{denied}");
    let unknown = ask(&mut boss, &["CLIENT", "KILL", "USER", "nobody"]);
    assert_eq!(unknown.error(), Some("ERR No such user 'nobody'"));
    assert_eq!(ask(&mut boss, &["CLIENT", "KILL", "USER", "guest"]), Reply::Integer(2));
    assert!(is_closed(&mut first) && is_closed(&mut second));
    alive(&mut boss);
    // As to a server, who has not logged in is `default`.
    let mut stranger = client(&proxy, "cache");
    assert!(ask(&mut stranger, &["PING"]).error().unwrap().starts_with("NOAUTH "));
    let list = ask(&mut boss, &["CLIENT", "LIST"]).text().to_owned();
    assert_eq!(list.lines().filter(|line| line.contains(" user=default ")).count(), 1, "{list}");
    assert_eq!(ask(&mut boss, &["CLIENT", "KILL", "USER", "default"]), Reply::Integer(1));
    assert!(is_closed(&mut stranger));
    assert_eq!(ask(&mut boss, &["CLIENT", "KILL", "USER", "default"]), Reply::Integer(0));
}
