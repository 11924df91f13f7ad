//! Shards that come back at a bad moment, on virtual time: each interleaving by itself.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod network;
mod world;

use std::num::NonZeroU32;
use std::time::Duration;

use rendis_core::placement::Spec;
use rendis_core::request::RequestBuf;
use rendis_engine::error::Kind;
use rendis_engine::events::Event;
use rendis_engine::gather::Executed;
use rendis_engine::settings::{OnReturn, Settings};
use rendis_testkit::sim::Lie;
use tokio::time::{Instant, sleep, timeout};

use world::*;

#[tokio::test(start_paused = true)]
async fn a_shard_that_returned_with_what_it_has_is_not_emptied_when_another_falls() {
    let world = World::start(&["a", "b", "c"], Spec::go_redis(), settings()).await;
    let key = world.keys_on("a", 1).remove(0);
    world.freeze("a").await;
    world.ask(&["FLUSHALL"]).await.unwrap();
    world.reconfigure(Settings { on_return: OnReturn::Keep, ..world.settings.clone() });
    world.thaw("a").await;
    world.reconfigure(world.settings.clone());
    world.set(&key, "new").await;
    world.freeze("b").await;
    assert_eq!(world.get(&key).await.as_deref(), Some("new"));
    world.freeze("a").await;
    world.thaw("a").await;
    assert_eq!(world.get(&key).await.as_deref(), Some("new"));
}

#[tokio::test(start_paused = true)]
async fn a_shard_that_falls_before_its_stand_in_was_swept_leaves_no_old_value_there() {
    let world = World::start(&["a", "b", "c"], Spec::go_redis(), settings()).await;
    let mut keys = world.keys_on("a", 20);
    world.freeze("a").await;
    keys.retain(|key| world.home(key) == "b");
    let key = keys.remove(0);
    world.set(&key, "old").await;
    world.host("b").answer_after(millis(10));
    world.thaw("a").await;
    world.set(&key, "new").await;
    // Before what b holds can have been deleted.
    world.host("a").kill(true);
    world.until("a", false).await;
    assert_eq!(world.home(&key), "b");
    assert_eq!(world.get(&key).await, None);
    sleep(Duration::from_secs(5)).await;
    assert_eq!(world.get(&key).await, None);
}

#[tokio::test(start_paused = true)]
async fn a_shard_returns_though_another_takes_no_connections() {
    let mut settings = settings();
    settings.deadlines.connect = millis(200);
    let world = World::start(&["a", "b", "c"], Spec::go_redis(), settings).await;
    let mut keys = world.keys_on("a", 20);
    world.freeze("a").await;
    keys.retain(|key| world.home(key) == "b");
    let key = keys.remove(0);
    world.set(&key, "of the first time").await;
    world.host("b").ignore(true);
    // What was written to b is to be deleted from there, and cannot be.
    world.thaw("a").await;
    sleep(Duration::from_secs(5)).await;
    world.freeze("a").await;
    world.thaw("a").await;
    world.host("b").ignore(false);
    world.until("b", true).await;
}

#[tokio::test(start_paused = true)]
async fn writes_go_on_while_a_shard_cannot_return_because_another_takes_no_connections() {
    let modula = Spec::parse("twemproxy", [("distribution".to_owned(), "modula".into())]).unwrap();
    let world = World::start(&["a", "b", "c", "d"], modula, settings()).await;
    let hurried = world.engine.allowing(millis(100));
    let keys: Vec<String> = (0..20).map(|number| format!("key{number}")).collect();
    world.freeze("a").await;
    world.host("b").ignore(true);
    world.host("a").stop(false);
    let until = Instant::now() + Duration::from_secs(2);
    while Instant::now() < until {
        for key in &keys {
            ask(&hurried, &["SET", key, "value"]).await.unwrap();
        }
        sleep(millis(1)).await;
    }
    assert!(!world.serves("a"), "it must not: b may hold what is older");
    world.host("b").ignore(false);
    world.until("a", true).await;
}

#[tokio::test(start_paused = true)]
async fn a_shard_that_was_cut_off_can_be_called_as_soon_as_it_is_back() {
    let mut settings = settings();
    settings.deadlines.connect = Duration::from_secs(20);
    let world = World::start(&["a", "b", "c"], Spec::go_redis(), settings).await;
    let key = world.keys_on("a", 1).remove(0);
    world.host("a").ignore(true);
    world.host("a").end_lines(true);
    world.until("a", false).await;
    sleep(Duration::from_secs(1)).await;
    world.host("a").ignore(false);
    world.until("a", true).await;
    ask(&world.engine.allowing(millis(50)), &["SET", &key, "value"]).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_write_from_before_a_shard_was_away_does_not_arrive_after_it_is_back() {
    let mut settings = settings();
    settings.deadlines.reply = Duration::from_secs(60);
    let world = World::start(&["a", "b", "c"], Spec::go_redis(), settings).await;
    let key = world.keys_on("a", 1).remove(0);
    world.host("a").hold(Some("SET"));
    let held = ask(&world.engine.allowing(millis(20)), &["SET", &key, "old"]).await;
    assert!(held.is_err());
    world.freeze("a").await;
    world.set(&key, "new").await;
    world.thaw("a").await;
    world.host("a").hold(None);
    sleep(millis(10)).await;
    assert_eq!(world.get(&key).await, None);
}

#[tokio::test(start_paused = true)]
async fn a_write_from_before_a_shard_was_away_does_not_arrive_after_it_has_forgotten() {
    let mut settings = settings();
    settings.deadlines.reply = Duration::from_secs(60);
    let world = World::start(&["a", "b"], Spec::go_redis(), settings).await;
    let key = world.keys_on("a", 1).remove(0);
    let (a, b) = (world.host("a"), world.host("b"));
    a.hold(Some("SET"));
    let held = ask(&world.engine.allowing(millis(20)), &["SET", &key, "old"]).await;
    assert!(held.is_err());
    world.freeze("a").await;
    world.set(&key, "new").await;
    world.ask(&["FUNCTION", "LOAD", "#!lua name=l"]).await.unwrap();
    forgets_and_cannot_return(&world).await;
    a.hold(None);
    sleep(millis(10)).await;
    b.hold(None);
    world.until("a", true).await;
    assert_eq!(world.get(&key).await, None);
}

#[tokio::test(start_paused = true)]
async fn what_stands_alone_in_a_pipeline_is_not_refused_with_a_write_that_waits_for_a_return() {
    let world = World::start(&["a", "b", "c"], Spec::go_redis(), settings()).await;
    let key = world.keys_on("a", 1).remove(0);
    world.freeze("a").await;
    world.set(&key, "elsewhere").await;
    // Writes wait while it deletes the last keys.
    world.host("a").hold(Some("UNLINK"));
    world.host("a").stop(false);
    sleep(millis(100)).await;
    let words: [&[&[u8]]; 3] =
        [&[b"SET", key.as_bytes(), b"1"], &[b"WATCH", key.as_bytes()], &[b"HELLO", b"3"]];
    let requests = words.map(|words| RequestBuf::pack(words.iter().copied()));
    let results = world.engine.allowing(millis(50)).pipeline(&requests).await;
    let [Err(late), Ok(Executed::Transaction { .. }), Ok(Executed::Local(_))] = &results[..] else {
        panic!("{results:?}");
    };
    assert_eq!(late.kind(), Kind::Timeout);
}

#[tokio::test(start_paused = true)]
async fn a_wire_that_is_lost_while_its_shard_returns_is_there_when_it_serves() {
    let mut settings = settings();
    settings.deadlines.connect = Duration::from_secs(20);
    let world = World::start(&["a", "b", "c"], Spec::go_redis(), settings).await;
    let key = world.keys_on("a", 1).remove(0);
    let a = world.host("a");
    let shard = world.engine.shard_for(key.as_bytes()).unwrap();
    world.freeze("a").await;
    world.set(&key, "elsewhere").await;
    a.hold(Some("UNLINK"));
    a.stop(false);
    sleep(millis(100)).await;
    a.ignore(true);
    a.lie(Some(Lie::Half));
    let lost = shard.call(shard.manner(), &RequestBuf::pack([&b"PING"[..]])).await;
    assert!(lost.is_err());
    sleep(millis(50)).await;
    assert!(!world.serves("a"));
    a.ignore(false);
    a.hold(None);
    world.until("a", true).await;
    ask(&world.engine.allowing(millis(50)), &["SET", &key, "value"]).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_shard_has_forgotten_before_it_serves_though_it_was_being_taken_back_twice() {
    let settings = with_rests();
    let world = World::start(&["a", "b", "c"], Spec::go_redis(), settings).await;
    let key = world.keys_on("a", 1).remove(0);
    world.set(&key, "old").await;
    let mut events = world.engine.events();
    world.host("a").answer_after(millis(10));
    let event = tokio::select! {
        () = world.load(["a", "b"]) => unreachable!("it goes on for ever"),
        event = events.next() => event.unwrap(),
    };
    assert!(matches!(&event, Event::Slow(shard) if shard.name == "a"), "{event}");
    let members = world.engine.topology();
    let trouble = members
        .members()
        .iter()
        .find_map(|member| (member.shard.name() == "a").then(|| member.shard.trouble()).flatten());
    assert_eq!(trouble.as_deref(), Some("it was much slower than the others"));
    world.host("a").answer_after(Duration::ZERO);
    world.set(&key, "new").await;
    // It has rested, and is about to forget the key; then it dies and lives again.
    world.host("a").hold(Some("UNLINK"));
    sleep(millis(650)).await;
    world.host("a").stop(true);
    while !matches!(events.next().await.unwrap(), Event::Down { .. }) {}
    world.host("a").stop(false);
    while !matches!(events.next().await.unwrap(), Event::Up(_)) {}
    sleep(millis(20)).await;
    assert!(!world.serves("a"), "what it has to forget is being deleted");
    world.host("a").hold(None);
    world.until("a", true).await;
    assert_eq!(world.get(&key).await, None);
}

#[tokio::test(start_paused = true)]
async fn a_slow_shard_does_not_rest_when_another_has_fallen_meanwhile() {
    let world = World::start(&["a", "b", "c"], Spec::go_redis(), with_rests()).await;
    let key = world.keys_on("c", 1).remove(0);
    world.freeze("c").await;
    world.set(&key, "elsewhere").await;
    world.thaw("c").await;
    // Whoever is to be taken out now waits for b, not quite half a second.
    world.host("b").hold(Some("UNLINK"));
    world.host("a").answer_after(millis(10));
    let _ = timeout(millis(100), world.load(["a", "b"])).await;
    let mut events = world.engine.events();
    world.host("c").kill(true);
    let _ = timeout(millis(400), world.load(["a", "b"])).await;
    world.host("b").hold(None);
    let _ = timeout(millis(500), world.load(["a", "b"])).await;
    let down = events.next().await.unwrap();
    assert!(matches!(&down, Event::Down { shard, .. } if shard.name == "c"), "{down}");
    let rests = timeout(millis(1), events.next()).await;
    assert!(rests.is_err(), "of three, one may be out: {rests:?}");
}

#[tokio::test(start_paused = true)]
async fn a_shard_that_falls_while_another_is_taken_back_from_its_rest_is_left_to_its_monitor() {
    let mut settings = with_rests();
    settings.health.votes.rise = NonZeroU32::new(1000).unwrap();
    let world = World::start(&["a", "b", "c", "d", "e"], Spec::go_redis(), settings).await;
    let key = world.keys_on("a", 1).remove(0);
    let (a, b) = (world.host("a"), world.host("b"));
    a.answer_after(millis(10));
    b.answer_after(millis(10));
    let rest = async {
        world.until("a", false).await;
        world.until("b", false).await;
    };
    tokio::select! {
        () = async { tokio::join!(world.load(["a", "b"]), world.load(["c", "d"])); } => unreachable!("for ever"),
        () = rest => {}
    }
    a.answer_after(Duration::ZERO);
    b.answer_after(Duration::ZERO);
    world.set(&key, "elsewhere").await;
    // Both have rested, and a is taken back first.
    a.hold(Some("UNLINK"));
    sleep(millis(600)).await;
    let mut events = world.engine.events();
    b.load(true);
    while !matches!(events.next().await.unwrap(), Event::Loading(_)) {}
    b.load(false);
    sleep(millis(30)).await;
    assert!(!world.serves("a"), "it is still being taken back");
    a.hold(None);
    world.until("a", true).await;
    sleep(millis(50)).await;
    assert!(!world.serves("b"), "its monitor takes it for down");
}

#[tokio::test(start_paused = true)]
async fn a_function_that_is_loaded_while_a_shard_returns_is_known_there_too() {
    let world = World::start(&["a", "b"], Spec::go_redis(), settings()).await;
    world.freeze("a").await;
    let b = world.host("b");
    b.answer_after(millis(5));
    let key = world.keys_on("b", 1).remove(0);
    let mut before = Vec::new();
    for _ in 0..60 {
        let (engine, key) = (world.engine.clone(), key.clone());
        before.push(tokio::spawn(async move { ask(&engine, &["GET", &key]).await }));
    }
    let engine = world.engine.clone();
    let loading = tokio::spawn(async move { ask(&engine, &["FUNCTION", "LOAD", "#!lua name=l"]).await });
    sleep(millis(10)).await;
    assert!(b.functions().is_empty(), "it waits behind the others");
    world.thaw("a").await;
    loading.await.unwrap().unwrap();
    assert_eq!(b.functions(), ["#!lua name=l"]);
    assert_eq!(world.host("a").functions(), ["#!lua name=l"]);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_is_given_back_with_a_reply_owed_is_closed() {
    let world = World::start(&["only"], Spec::go_redis(), settings()).await;
    let shard = world.engine.shard_for(b"key").unwrap();
    let mut lease = world.engine.lease(&shard).await.unwrap();
    lease.send(&RequestBuf::pack([&b"GET"[..], b"key"])).await.unwrap();
    lease.flush().await.unwrap();
    lease.give_back();
    assert_eq!((shard.pool_stats().idle, shard.pool_stats().total), (0, 0));
    let lease = world.engine.lease(&shard).await.unwrap();
    lease.give_back();
    assert_eq!((shard.pool_stats().idle, shard.pool_stats().total), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn connections_from_before_a_shard_was_away_are_not_lent_any_more() {
    let world = World::start(&["a", "b"], Spec::go_redis(), settings()).await;
    let key = world.keys_on("a", 1).remove(0);
    let shard = world.engine.shard_for(key.as_bytes()).unwrap();
    world.engine.lease(&shard).await.unwrap().give_back();
    world.freeze("a").await;
    assert_eq!(shard.pool_stats().idle, 1);
    world.thaw("a").await;
    assert_eq!((shard.pool_stats().idle, shard.pool_stats().total), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn of_two_shards_that_return_at_once_each_waits_for_what_others_have_to_forget() {
    // It moves keys between shards that serve, too.
    let modula = Spec::parse("twemproxy", [("distribution".to_owned(), "modula".into())]).unwrap();
    let world = World::start(&["a", "b", "c", "d"], modula, settings()).await;
    world.freeze("c").await;
    let keys = world.keys_on("a", 200);
    for key in &keys {
        world.set(key, "old").await;
    }
    // a takes no connections, and so cannot forget what is written elsewhere.
    world.host("a").ignore(true);
    world.freeze("d").await;
    let moved: Vec<String> = keys.into_iter().filter(|key| world.home(key) == "b").collect();
    for key in &moved {
        world.set(key, "new").await;
    }
    sleep(Duration::from_secs(6)).await;
    world.host("a").ignore(false);
    world.host("a").hold(Some("UNLINK"));
    world.host("c").stop(false);
    sleep(millis(60)).await;
    world.host("d").stop(false);
    let a = world.host("a").clone();
    tokio::spawn(async move {
        sleep(millis(300)).await;
        a.hold(None);
    });
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(2) {
        for key in &moved {
            let value = world.ask(&["GET", key]).await;
            assert!(!matches!(&value, Ok(Some(old)) if old == "old"), "{key} on {}", world.home(key));
        }
        sleep(millis(1)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_one_has_not_forgotten_yet_is_swept_when_it_returns_and_not_when_another_does() {
    let world = World::start(&["a", "b", "c", "d"], Spec::go_redis(), settings()).await;
    let keys = world.keys_on("a", 2000);
    world.freeze("a").await;
    for key in &keys {
        world.set(key, "elsewhere").await;
    }
    world.freeze("c").await;
    // a has forgotten some of its keys, and hangs at the next of them, when c returns.
    world.host("a").delay(2..=2);
    world.host("a").stop(false);
    while !world.host("a").applied().iter().any(|applied| applied.words[0] == b"UNLINK") {
        sleep(millis(1)).await;
    }
    // The answer comes, and the next is not there yet.
    sleep(millis(2)).await;
    world.host("a").hold(Some("UNLINK"));
    world.thaw("c").await;
    sleep(Duration::from_secs(10)).await;
    world.host("a").hold(None);
    world.until("a", true).await;
    sleep(Duration::from_secs(10)).await;
    world.freeze("a").await;
    for key in &keys {
        assert_eq!(world.get(key).await, None, "{key} on {}", world.home(key));
    }
}

#[tokio::test(start_paused = true)]
async fn a_late_write_on_a_borrowed_connection_is_swept() {
    let world = World::start(&["a", "b", "c"], Spec::go_redis(), settings()).await;
    let mut keys = world.keys_on("a", 20);
    world.freeze("a").await;
    keys.retain(|key| world.home(key) == "b");
    let key = keys.remove(0);
    let b = world.engine.shard_for(key.as_bytes()).unwrap();
    let mut lease = world.engine.lease(&b).await.unwrap();
    let set = RequestBuf::pack([&b"SET"[..], key.as_bytes(), b"late"]);
    world.engine.check_shard(std::slice::from_ref(&set), &b).await.unwrap();
    world.thaw("a").await;
    sleep(millis(100)).await;
    lease.ask(&set).await.unwrap();
    world.set(&key, "new").await;
    sleep(Duration::from_secs(5)).await;
    world.freeze("a").await;
    assert_eq!(world.get(&key).await, None);
}

#[tokio::test(start_paused = true)]
async fn a_shard_learns_functions_from_another_where_the_first_takes_no_connections() {
    for connect in [millis(150), Duration::from_secs(1)] {
        let mut settings = settings();
        settings.deadlines.connect = connect;
        let world = World::start(&["a", "b", "c", "d"], Spec::go_redis(), settings).await;
        world.freeze("b").await;
        let code = "#!lua name=lib redis.register_function('f', function() return 1 end)";
        world.ask(&["FUNCTION", "LOAD", code]).await.unwrap();
        world.host("a").ignore(true);
        let back = Instant::now();
        world.thaw("b").await;
        assert!(back.elapsed() < Duration::from_secs(2), "{:?}", back.elapsed());
        assert_eq!(world.host("b").functions(), world.host("c").functions());
        assert!(!world.host("b").functions().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn a_stand_in_that_was_away_at_the_sweep_forgets_when_it_returns() {
    let world = World::start(&["a", "b", "c", "d"], Spec::go_redis(), settings()).await;
    let mut keys = world.keys_on("a", 20);
    world.freeze("a").await;
    keys.retain(|key| world.home(key) == "b");
    let key = keys.remove(0);
    world.set(&key, "old").await;
    world.freeze("b").await;
    world.thaw("a").await;
    world.set(&key, "new").await;
    sleep(Duration::from_secs(5)).await;
    world.thaw("b").await;
    sleep(Duration::from_secs(5)).await;
    world.freeze("a").await;
    assert_eq!((world.home(&key).as_str(), world.get(&key).await), ("b", None));
}

#[tokio::test(start_paused = true)]
async fn a_write_on_its_way_to_the_stand_in_is_swept_when_its_shard_falls_at_once() {
    let world = World::start(&["a", "b", "c"], Spec::go_redis(), settings()).await;
    let mut keys = world.keys_on("a", 20);
    world.freeze("a").await;
    keys.retain(|key| world.home(key) == "b");
    let key = keys.remove(0);
    world.host("b").hold(Some("SET"));
    let (engine, of) = (world.engine.clone(), key.clone());
    let late = tokio::spawn(async move { ask(&engine, &["SET", &of, "old"]).await });
    sleep(millis(1)).await;
    world.thaw("a").await;
    world.set(&key, "new").await;
    world.host("a").kill(true);
    let b = world.host("b").clone();
    tokio::spawn(async move {
        sleep(millis(100)).await;
        b.hold(None);
    });
    world.until("a", false).await;
    for _ in 0..2000 {
        assert_ne!(world.get(&key).await.as_deref(), Some("old"));
        sleep(millis(1)).await;
    }
    let _ = late.await;
}

#[tokio::test(start_paused = true)]
async fn a_shard_that_fell_while_it_was_taken_back_from_its_rest_does_not_serve() {
    let mut settings = with_rests();
    settings.health.votes.rise = NonZeroU32::new(1000).unwrap();
    let world = World::start(&["a", "b", "c"], Spec::go_redis(), settings).await;
    let key = world.keys_on("a", 1).remove(0);
    let mut events = world.engine.events();
    world.host("a").answer_after(millis(10));
    tokio::select! {
        () = world.load(["a", "b"]) => unreachable!("for ever"),
        () = world.until("a", false) => {}
    }
    world.host("a").answer_after(Duration::ZERO);
    world.set(&key, "elsewhere").await;
    world.host("a").hold(Some("UNLINK"));
    sleep(millis(600)).await;
    world.host("a").load(true);
    while !matches!(events.next().await.unwrap(), Event::Loading(_)) {}
    world.host("a").load(false);
    world.host("a").hold(None);
    sleep(millis(300)).await;
    assert!(!world.serves("a"), "its monitor takes it for down");
}

#[tokio::test(start_paused = true)]
async fn refused_connections_take_a_shard_out_before_its_probes_do() {
    let mut settings = settings();
    settings.health.votes.fall = NonZeroU32::new(1000).unwrap();
    let world = World::start(&["a", "b", "c"], Spec::go_redis(), settings).await;
    let key = world.keys_on("a", 1).remove(0);
    sleep(Duration::from_secs(1)).await;
    world.host("a").kill(true);
    let killed = Instant::now();
    let load = async {
        loop {
            let _ = world.ask(&["GET", &key]).await;
            sleep(millis(1)).await;
        }
    };
    tokio::select! { () = load => {}, () = world.until("a", false) => {} }
    assert!(killed.elapsed() < millis(200), "{:?}", killed.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_shard_that_loads_is_told_of_once_however_often_the_settings_change() {
    let world = World::start(&["a", "b", "c"], Spec::go_redis(), settings()).await;
    let mut events = world.engine.events();
    world.host("a").load(true);
    world.until("a", false).await;
    for interval in 21..25 {
        let mut settings = settings();
        settings.health.votes.interval = millis(interval);
        world.reconfigure(settings);
        sleep(millis(200)).await;
    }
    world.host("a").load(false);
    world.until("a", true).await;
    let mut told = Vec::new();
    while let Ok(Some(event)) = timeout(millis(1), events.next()).await {
        told.push(event.to_string());
    }
    let loading = told.iter().filter(|text| text.contains("load")).count();
    assert_eq!((loading, told.len()), (1, 3), "{told:?}");
}

#[tokio::test(start_paused = true)]
async fn who_was_started_anew_before_anybody_noticed_is_given_the_functions_of_the_others() {
    let mut settings = settings();
    settings.health.votes.fall = NonZeroU32::new(3).unwrap();
    let world = World::start(&["a", "b", "c"], Spec::go_redis(), settings).await;
    let code = "#!lua name=l redis.register_function('f', function() return 1 end)";
    world.ask(&["FUNCTION", "LOAD", code]).await.unwrap();
    let (a, b) = (world.host("a"), world.host("b"));
    let mut events = world.engine.events();
    // One of those that could tell takes no more connections.
    a.ignore(true);
    b.kill(true);
    b.start(false);
    assert!(b.functions().is_empty());
    sleep(Duration::from_secs(3)).await;
    assert_eq!(b.functions(), a.functions());
    // Two at once, of which either may be asked first.
    a.ignore(false);
    for host in [&a, &b] {
        host.kill(true);
        host.start(false);
    }
    sleep(Duration::from_secs(3)).await;
    assert_eq!(a.functions(), world.host("c").functions());
    assert_eq!(b.functions(), a.functions());
    assert!(!a.functions().is_empty());
    assert!(timeout(Duration::ZERO, events.next()).await.is_err(), "it was up all the time");
}
