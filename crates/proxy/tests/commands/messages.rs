//! Channels, patterns and sharded channels.

use std::time::Duration;

use rendis_proxy::serve::Proxy;
use rendis_testkit::{Client, Cluster, RedisServer, Reply};

use crate::ring::{client, config, ring, until};
use crate::{Stage, alive, ask, bulks, texts};

#[test]
fn messages_reach_who_listens_wherever_the_channel_lives() {
    let stage = Stage::start();
    let mut sender = stage.client();
    let channels: Vec<_> = (0..12).map(|number| format!("channel:{number}")).collect();
    for resp3 in [false, true] {
        let mut listener = if resp3 { stage.resp3() } else { stage.client() };
        let list = |words: Vec<Reply>| if resp3 { Reply::Push(words) } else { Reply::Array(words) };
        let mut subscribe = vec!["SUBSCRIBE"];
        subscribe.extend(channels.iter().map(String::as_str));
        listener.send(&subscribe).unwrap();
        for (at, channel) in channels.iter().enumerate() {
            let mut words = bulks(&["subscribe", channel]);
            words.push(Reply::Integer(i64::try_from(at).unwrap() + 1));
            assert_eq!(listener.read().unwrap(), list(words));
        }
        for channel in &channels {
            assert_eq!(ask(&mut sender, &["PUBLISH", channel, "text"]).integer(), 1);
            assert_eq!(listener.read().unwrap(), list(bulks(&["message", channel, "text"])));
        }
        let known = texts(&ask(&mut sender, &["PUBSUB", "CHANNELS", "channel:*"]));
        assert_eq!(known, channels.iter().cloned().collect());
        let numbers = ask(&mut sender, &["PUBSUB", "NUMSUB", "channel:0", "none", "channel:1"]);
        assert_eq!(numbers.to_string(), "[channel:0, 1, none, 0, channel:1, 1]");
        listener.send(&["UNSUBSCRIBE"]).unwrap();
        (0..channels.len()).for_each(|_| drop(listener.read().unwrap()));
        alive(&mut listener);
        // The shard hears of it a moment after the client.
        until("nobody listens", || ask(&mut sender, &["PUBLISH", "channel:0", "text"]).integer() == 0);
        alive(&mut listener);
    }
}

#[test]
fn patterns_hear_every_shard_and_sharded_channels_are_their_own() {
    let stage = Stage::start();
    let mut client = stage.client();
    assert!(ask(&mut client, &["CONFIG", "SET", "notify-keyspace-events", "KEA"]).is_ok());
    let keys = stage.keys("k");
    let mut listener = stage.client();
    ask(&mut listener, &["PSUBSCRIBE", "__keyevent@0__:set"]);
    assert_eq!(ask(&mut client, &["PUBSUB", "NUMPAT"]).integer(), 1);
    for key in &keys {
        ask(&mut client, &["SET", key, "v"]);
        let message = bulks(&["pmessage", "__keyevent@0__:set", "__keyevent@0__:set", key]);
        assert_eq!(listener.read().unwrap(), Reply::Array(message));
    }
    assert_eq!(ask(&mut listener, &["PUNSUBSCRIBE"]).elements()[2].integer(), 0);
    // Once, though the pattern is on three servers.
    ask(&mut listener, &["PSUBSCRIBE", "news.*"]);
    ask(&mut client, &["PUBLISH", "news.a", "one"]);
    ask(&mut client, &["PUBLISH", "news.b", "two"]);
    assert_eq!(listener.read().unwrap(), Reply::Array(bulks(&["pmessage", "news.*", "news.a", "one"])));
    assert_eq!(listener.read().unwrap(), Reply::Array(bulks(&["pmessage", "news.*", "news.b", "two"])));

    let mut sharded = stage.client();
    assert_eq!(ask(&mut sharded, &["SSUBSCRIBE", "orders"]).elements()[2].integer(), 1);
    assert_eq!(ask(&mut client, &["PUBLISH", "orders", "not this"]).integer(), 0);
    assert_eq!(ask(&mut client, &["SPUBLISH", "orders", "this"]).integer(), 1);
    assert_eq!(sharded.read().unwrap(), Reply::Array(bulks(&["smessage", "orders", "this"])));
    assert_eq!(texts(&ask(&mut client, &["PUBSUB", "SHARDCHANNELS"])), ["orders".to_owned()].into());
}

#[test]
fn all_who_listen_are_counted_though_a_shard_knows_of_one() {
    let stage = Stage::start();
    let mut sender = stage.client();
    let mut listeners: Vec<_> = (0..3).map(|_| stage.client()).collect();
    for listener in &mut listeners {
        ask(listener, &["SUBSCRIBE", "news"]);
        ask(listener, &["SSUBSCRIBE", "orders"]);
    }
    // One that is subscribed to a shard directly.
    let shard = stage
        .shards
        .iter()
        .find(|shard| shard.command(&["PUBSUB", "NUMSUB", "news"]).elements()[1].integer() == 1);
    let mut direct = shard.unwrap().client().unwrap();
    ask(&mut direct, &["SUBSCRIBE", "news"]);
    let counted = ask(&mut sender, &["PUBSUB", "NUMSUB", "news", "none"]);
    assert_eq!(counted.to_string(), "[news, 4, none, 0]");
    assert_eq!(ask(&mut sender, &["PUBSUB", "SHARDNUMSUB", "orders"]).to_string(), "[orders, 3]");
    // One that is listened to on every shard.
    let everywhere = "__keyevent@0__:expired";
    ask(&mut listeners[0], &["SUBSCRIBE", everywhere]);
    ask(&mut listeners[1], &["SUBSCRIBE", everywhere]);
    let counted = ask(&mut sender, &["PUBSUB", "NUMSUB", everywhere]);
    assert_eq!(counted.elements()[1].integer(), 2);
    assert_eq!(ask(&mut sender, &["PUBLISH", "news", "text"]).integer(), 4);
    assert_eq!(ask(&mut sender, &["SPUBLISH", "orders", "text"]).integer(), 3);
    assert_eq!(ask(&mut sender, &["PUBLISH", "none", "text"]).integer(), 0);
    sender.send_raw(b"PUBLISH news text\r\nPUBLISH none text\r\n").unwrap();
    assert_eq!((sender.read().unwrap().integer(), sender.read().unwrap().integer()), (4, 0));
}

#[test]
fn what_servers_tell_of_their_keys_is_heard_from_every_shard() {
    let stage = Stage::start();
    let mut client = stage.client();
    assert!(ask(&mut client, &["CONFIG", "SET", "notify-keyspace-events", "KEA"]).is_ok());
    let keys = stage.keys("k");
    let mut listener = stage.client();
    ask(&mut listener, &["SUBSCRIBE", "__keyevent@0__:set"]);
    for key in &keys {
        ask(&mut listener, &["SUBSCRIBE", &format!("__keyspace@0__:{key}")]);
        ask(&mut client, &["SET", key, "v"]);
        let mut told = [listener.read().unwrap(), listener.read().unwrap()];
        told.sort_by_key(|reply| format!("{reply:?}"));
        let event = bulks(&["message", "__keyevent@0__:set", key]);
        let space = bulks(&["message", &format!("__keyspace@0__:{key}"), "set"]);
        assert_eq!(told, [Reply::Array(event), Reply::Array(space)]);
    }
}

#[test]
fn many_listeners_share_one_subscription_upstream() {
    let shards = Cluster::start(3);
    let text = format!("threads = 4\n{}", ring("cache", "", &shards.urls()));
    let stage = Stage { proxy: Proxy::start(&config(&text)).unwrap(), shards };
    // Enough of them that each thread has some.
    let mut listeners: Vec<_> = (0..40).map(|_| stage.client()).collect();
    for listener in &mut listeners {
        ask(listener, &["SUBSCRIBE", "news"]);
        ask(listener, &["PSUBSCRIBE", "weather.*"]);
    }
    let subscribed =
        |shard: &RedisServer| shard.command(&["PUBSUB", "NUMSUB", "news"]).elements()[1].integer();
    assert_eq!(stage.shards.iter().map(subscribed).sum::<i64>(), 1);
    let patterns: Vec<_> =
        stage.shards.iter().map(|shard| shard.command(&["PUBSUB", "NUMPAT"]).integer()).collect();
    assert_eq!(patterns, [1, 1, 1]);
    let mut sender = stage.client();
    for number in 0..100 {
        let text = number.to_string();
        // Those of a pattern count once a process.
        assert_eq!(ask(&mut sender, &["PUBLISH", "news", &text]).integer(), 40);
        assert_eq!(ask(&mut sender, &["PUBLISH", "weather.today", &text]).integer(), 1);
    }
    for listener in &mut listeners {
        let (mut news, mut weather) = (Vec::new(), Vec::new());
        for _ in 0..200 {
            let message = listener.read().unwrap();
            match message.elements() {
                [_, channel, text] if channel.text() == "news" => news.push(text.text().to_owned()),
                [_, pattern, _, text] if pattern.text() == "weather.*" => {
                    weather.push(text.text().to_owned())
                }
                _ => panic!("{message}"),
            }
        }
        let all: Vec<_> = (0..100).map(|number| number.to_string()).collect();
        assert_eq!((&news, &weather), (&all, &all));
    }
    // Those who leave take nothing from those who stay, whoever began the subscription.
    let mut last = listeners.pop().unwrap();
    drop(listeners);
    ask(&mut sender, &["PUBLISH", "news", "text"]);
    assert_eq!(last.read().unwrap(), Reply::Array(bulks(&["message", "news", "text"])));
    drop(last);
    until("nobody listens any more", || {
        stage.shards.iter().all(|shard| shard.command(&["PUBSUB", "CHANNELS"]) == Reply::array([]))
    });
}

#[test]
fn at_the_end_a_subscription_under_way_is_confirmed_on_whichever_thread_it_is() {
    // One shard has one connection for subscriptions, on the thread that began it. The other client is on either thread.
    for _ in 0..6 {
        let shards = Cluster::start(1);
        let fields = "deadlines = { connect = \"5s\", reply = \"5s\" }";
        let proxy = Proxy::start(&config(&ring("cache", fields, &shards.urls()))).unwrap();
        let (mut first, mut second, mut third) =
            (client(&proxy, "cache"), client(&proxy, "cache"), client(&proxy, "cache"));
        ask(&mut first, &["SUBSCRIBE", "news"]);
        shards[0].stop();
        let mut requests = || {
            let info = ask(&mut third, &["INFO", "stats"]);
            let line = info.text().lines().find_map(|line| line.strip_prefix("total_commands_processed:"));
            line.unwrap().trim().parse::<u64>().unwrap()
        };
        let before = requests();
        second.send(&["SUBSCRIBE", "weather"]).unwrap();
        let mut asked = 0;
        until("it was read", || {
            asked += 1;
            requests() > before + asked
        });
        let ending = std::thread::spawn(move || proxy.stop());
        assert!(first.read_to_end().unwrap().is_empty());
        // Time in which a thread that nobody is on would end.
        std::thread::sleep(Duration::from_millis(100));
        shards[0].cont();
        assert_eq!(second.read().unwrap().elements()[..2], bulks(&["subscribe", "weather"]));
        ending.join().unwrap();
    }
}

#[test]
fn who_listens_may_send_what_the_protocol_allows() {
    let stage = Stage::start();
    let mut old = stage.client();
    ask(&mut old, &["SUBSCRIBE", "news"]);
    let refused = ask(&mut old, &["GET", "key"]);
    let expected = "ERR Can't execute 'get': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are \
                    allowed in this context";
    assert_eq!(refused.error(), Some(expected));
    assert_eq!(ask(&mut old, &["PING"]), Reply::Array(bulks(&["pong", ""])));
    assert_eq!(ask(&mut old, &["PING", "x"]), Reply::Array(bulks(&["pong", "x"])));
    let refused = ask(&mut old, &["PING", "x", "y"]);
    assert_eq!(refused.error(), Some("ERR wrong number of arguments for 'ping' command"));
    assert_eq!(ask(&mut old, &["RESET"]), Reply::simple("RESET"));
    assert_eq!(ask(&mut old, &["GET", "key"]), Reply::Nil);
    let mut new = stage.resp3();
    assert!(matches!(ask(&mut new, &["SUBSCRIBE", "news"]), Reply::Push(_)));
    assert!(ask(&mut new, &["SET", "key", "v"]).is_ok());
    alive(&mut new);
    // One that publishes to itself gets its reply and the message.
    new.send(&["PUBLISH", "news", "me"]).unwrap();
    let mut both = [new.read().unwrap(), new.read().unwrap()];
    both.sort_by_key(|reply| matches!(reply, Reply::Push(_)));
    assert_eq!(both, [Reply::Integer(1), Reply::Push(bulks(&["message", "news", "me"]))]);
}

#[test]
fn who_waits_for_a_new_subscription_hears_the_others_and_what_is_confirmed_is_confirmed_first() {
    let slowly = "heartbeat_timeout = \"20s\"\ndeadlines = { connect = \"20s\", reply = \"20s\" }";
    let stage = Stage::with(slowly);
    let mut sender = stage.client();
    for resp3 in [false, true] {
        // Other names each time: shards hear a moment later that nobody listens any more.
        let names = stage.keys(if resp3 { "new" } else { "old" });
        let [frozen, known, fresh] = [&names[0], &names[1], &names[2]].map(String::as_str);
        let mut listener = if resp3 { stage.resp3() } else { stage.client() };
        ask(&mut listener, &["SUBSCRIBE", known]);
        stage.shards[0].stop();
        listener.send(&["SUBSCRIBE", fresh, frozen]).unwrap();
        let mut publish = |channel: &str, text: &str| {
            until("somebody listens", || ask(&mut sender, &["PUBLISH", channel, text]).integer() == 1);
        };
        let mut hears =
            |words: &[&str]| assert_eq!(listener.read().unwrap().elements()[..words.len()], bulks(words));
        publish(known, "one");
        hears(&["message", known, "one"]);
        publish(known, "two");
        hears(&["message", known, "two"]);
        publish(fresh, "early");
        publish(known, "three");
        stage.shards[0].cont();
        hears(&["subscribe", fresh]);
        hears(&["subscribe", frozen]);
        hears(&["message", fresh, "early"]);
        hears(&["message", known, "three"]);
        publish(frozen, "last");
        hears(&["message", frozen, "last"]);
    }
}

#[test]
fn of_a_subscription_that_fails_nothing_is_heard_and_of_the_others_everything() {
    let stage = Stage::with("heartbeat_timeout = \"20s\"\ndeadlines = { connect = \"1s\", reply = \"1s\" }");
    let names = stage.keys("name");
    let [frozen, known, fresh] = [&names[0], &names[1], &names[2]].map(String::as_str);
    let (mut sender, mut listener) = (stage.client(), stage.client());
    ask(&mut listener, &["SUBSCRIBE", known]);
    stage.shards[0].stop();
    listener.send(&["SUBSCRIBE", fresh, frozen]).unwrap();
    let mut publish = |channel: &str, text: &str| {
        until("it listens", || ask(&mut sender, &["PUBLISH", channel, text]).integer() == 1);
    };
    for (channel, text) in [(known, "one"), (fresh, "first"), (fresh, "second"), (known, "two")] {
        publish(channel, text);
    }
    let mut heard = Vec::new();
    while heard.len() < 3 {
        heard.push(listener.read().unwrap());
    }
    let error = heard.iter().position(|reply| reply.error().is_some()).unwrap();
    assert!(heard.remove(error).error().unwrap().starts_with("TIMEOUT "), "{heard:?}");
    assert_eq!(heard, ["one", "two"].map(|text| Reply::Array(bulks(&["message", known, text]))));
    publish(known, "three");
    assert_eq!(listener.read().unwrap(), Reply::Array(bulks(&["message", known, "three"])));
    stage.shards[0].cont();
}

#[test]
fn who_may_not_hear_a_channel_any_more_does_not_get_it_though_others_were_heard_meanwhile() {
    let fields = "heartbeat_timeout = \"20s\"\ndeadlines = { connect = \"20s\", reply = \"20s\" }";
    let shards = Cluster::start(3);
    let with = |rules: &str| {
        let user = |name: &str, rules: &str| {
            format!("[[ring.user]]\nname = \"{name}\"\npassword = \"{name}\"\nrules = \"{rules}\"\n")
        };
        let text = ring("cache", fields, &shards.urls());
        config(&format!("{text}{}{}", user("boss", "+@all ~* &*"), user("guest", rules)))
    };
    let mut proxy = Proxy::start(&with("+@all ~* &*")).unwrap();
    let login = |proxy: &Proxy, name: &str| {
        let mut client = client(proxy, "cache");
        assert!(ask(&mut client, &["AUTH", name, name]).is_ok());
        client
    };
    let (mut boss, mut guest) = (login(&proxy, "boss"), login(&proxy, "guest"));
    let home = |number: usize, boss: &mut Client| {
        let on_shard = |key: &String| {
            assert!(ask(boss, &["SET", key, "here"]).is_ok());
            shards[number].command(&["EXISTS", key]).integer() == 1
        };
        (0..).map(|number| format!("name:{number}")).find(on_shard).unwrap()
    };
    let (frozen, known) = (home(0, &mut boss), home(1, &mut boss));
    ask(&mut guest, &["SUBSCRIBE", &known]);
    shards[0].stop();
    guest.send(&["SUBSCRIBE", &frozen]).unwrap();
    let mut publish = |text: &str| {
        until("it listens", || ask(&mut boss, &["PUBLISH", &known, text]).integer() == 1);
    };
    publish("one");
    assert_eq!(guest.read().unwrap(), Reply::Array(bulks(&["message", &known, "one"])));
    proxy.reload(&with(&format!("+@all ~* &{known}"))).unwrap();
    publish("two");
    assert_eq!(guest.read().unwrap(), Reply::Array(bulks(&["message", &known, "two"])));
    shards[0].cont();
    let rest = String::from_utf8_lossy(&guest.read_to_end().unwrap()).into_owned();
    assert!(!rest.contains("message"), "{rest}");
}

/// A client waits for a shard that is frozen, and messages wait for it; then come the answers to these two requests, which
/// are given back. `news` stands for the channel.
fn confirmed_behind_messages(quiet: bool, lines: [&[&str]; 2]) -> Vec<Reply> {
    let stage = Stage::start();
    let names = stage.keys("name");
    let (frozen, channel) = (&names[0], &names[1]);
    let mut sender = stage.client();
    let (mut listener, mut other) = (stage.resp3(), stage.resp3());
    for client in [&mut listener, &mut other] {
        ask(client, &["SUBSCRIBE", channel]);
        ask(client, &["PSUBSCRIBE", "weather.*"]);
    }
    if quiet {
        listener.send(&["CLIENT", "REPLY", "OFF"]).unwrap();
    }
    stage.shards[0].stop();
    listener.send(&["GET", frozen]).unwrap();
    for words in lines {
        let words: Vec<_> = words.iter().map(|word| if *word == "news" { channel } else { *word }).collect();
        listener.send(&words).unwrap();
    }
    let message = |text: &str| Reply::Push(bulks(&["message", channel, text]));
    for text in ["one", "two"] {
        assert_eq!(ask(&mut sender, &["PUBLISH", channel, text]).integer(), 2);
        assert_eq!(other.read().unwrap(), message(text));
    }
    stage.shards[0].cont();
    if !quiet {
        assert_eq!(listener.read().unwrap(), Reply::Nil);
    }
    for text in ["one", "two"] {
        assert_eq!(listener.read().unwrap(), message(text));
    }
    (0..2).map(|_| listener.read().unwrap()).collect()
}

#[test]
fn what_arrived_before_an_unsubscription_is_given_before_it_is_confirmed() {
    let ended = |reply: &Reply, kind: &str, left: i64| {
        assert!(matches!(reply, Reply::Push(_)), "{reply}");
        assert_eq!(reply.elements()[0], Reply::bulk(kind), "{reply}");
        assert_eq!(reply.elements()[2], Reply::Integer(left), "{reply}");
    };
    for quiet in [false, true] {
        for all in [&["UNSUBSCRIBE"][..], &["UNSUBSCRIBE", "news"]] {
            let replies = confirmed_behind_messages(quiet, [all, &["PUNSUBSCRIBE"]]);
            ended(&replies[0], "unsubscribe", 1);
            ended(&replies[1], "punsubscribe", 0);
        }
    }
    // What is left goes on, and so do replies.
    let replies = confirmed_behind_messages(true, [&["PUNSUBSCRIBE"], &["CLIENT", "REPLY", "ON"]]);
    ended(&replies[0], "punsubscribe", 1);
    assert!(replies[1].is_ok());
}
