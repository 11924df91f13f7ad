//! Servers that load their data, on virtual time: what they refuse until then goes to others, whatever way it came.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod network;
mod world;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rendis_core::health::Probe;
use rendis_core::placement::Spec;
use rendis_core::request::RequestBuf;
use rendis_engine::events::Event;
use rendis_engine::gather::Executed;
use rendis_engine::probe::Heartbeat;
use rendis_engine::settings::{OnDown, Settings};
use rendis_engine::shard::Shard;
use tokio::time::{Instant, sleep};

use world::*;

fn request(words: &[&str]) -> RequestBuf {
    RequestBuf::pack(words.iter().map(|word| word.as_bytes()))
}

/// Has probes, which are counted, find every server well, whatever it answers to calls.
fn find_well(world: &World, probes: &Arc<AtomicUsize>) {
    let asked = Arc::clone(probes);
    let well = Heartbeat::Custom(Arc::new(move |_| {
        asked.fetch_add(1, Ordering::Relaxed);
        Box::pin(std::future::ready(Probe::Good))
    }));
    let (placement, settings) = (world.placement.clone(), world.settings.clone());
    world.engine.reconfigure(&world.shards, placement, settings, well).unwrap();
}

/// The frames of what a pipeline was answered.
async fn pipeline(world: &World, requests: &[RequestBuf]) -> Vec<String> {
    let answers = world.engine.pipeline(requests).await.into_iter();
    let text = |answer| match answer {
        Ok(Executed::Reply(reply)) => String::from_utf8_lossy(reply.frame()).into_owned(),
        other => format!("{other:?}"),
    };
    answers.map(text).collect()
}

#[tokio::test(start_paused = true)]
async fn what_a_loading_server_refuses_goes_to_others_at_once() {
    for way in ["single", "split", "pipeline", "split in a pipeline"] {
        let world = World::start(&["a", "b"], Spec::go_redis(), Settings::default()).await;
        let mut events = world.engine.events();
        let (on_a, on_b) = (world.keys_on("a", 1).remove(0), world.keys_on("b", 1).remove(0));
        // The next probe is far away.
        sleep(millis(150)).await;
        world.host("a").load(true);
        let begun = Instant::now();
        let (set, both) = (["SET", &on_a, "new"], ["MGET", &on_a, &on_b]);
        match way {
            "single" => world.set(&on_a, "new").await,
            "split" => {
                let Executed::Reply(reply) = world.engine.run(&request(&both)).await.unwrap() else {
                    panic!("it has a reply");
                };
                assert_eq!(reply.frame(), b"*2\r\n_\r\n_\r\n");
            }
            "pipeline" => {
                let many = [request(&set), request(&["GET", &on_b]), request(&["GET", &on_a]), request(&set)];
                let answers = pipeline(&world, &many).await;
                assert_eq!(answers, ["+OK\r\n", "_\r\n", "$3\r\nnew\r\n", "+OK\r\n"]);
            }
            _ => {
                let answers = pipeline(&world, &[request(&both), request(&["GET", &on_b])]).await;
                assert_eq!(answers, ["*2\r\n_\r\n_\r\n", "_\r\n"]);
            }
        }
        assert!(begun.elapsed() < millis(60), "{way}: {:?}", begun.elapsed());
        assert!(matches!(events.next().await.unwrap(), Event::Loading(_)), "{way}");
        world.host("a").load(false);
        world.until("a", true).await;
    }
}

#[tokio::test(start_paused = true)]
async fn refusals_of_a_server_that_its_probes_find_well_make_few_probes_more() {
    let mut settings = Settings::default();
    settings.health.votes.interval = Duration::from_secs(1);
    let world = World::start(&["a"], Spec::go_redis(), settings).await;
    let probes = Arc::new(AtomicUsize::new(0));
    find_well(&world, &probes);
    world.host("a").load(true);
    sleep(Duration::from_secs(5)).await;
    let before = probes.load(Ordering::Relaxed);
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(5) {
        let answers = pipeline(&world, &[request(&["GET", "k"])]).await;
        assert!(answers.iter().all(|answer| answer.starts_with("-LOADING ")), "{answers:?}");
        sleep(millis(1)).await;
    }
    let more = probes.load(Ordering::Relaxed) - before;
    assert!((20..=110).contains(&more), "{more} probes in five intervals");
    assert!(world.serves("a"));
}

#[tokio::test(start_paused = true)]
async fn parts_that_a_loading_server_refuses_are_made_again_by_themselves() {
    let world = World::start(&["a", "b"], Spec::go_redis(), Settings::default()).await;
    let (on_a, on_b) = (world.keys_on("a", 1).remove(0), world.keys_on("b", 1).remove(0));
    sleep(millis(150)).await;
    world.host("a").load(true);
    let mset = request(&["MSET", &on_a, "1", &on_b, "2"]);
    let answers = pipeline(&world, &[mset, request(&["MGET", &on_a, &on_b])]).await;
    assert_eq!(answers, ["+OK\r\n", "*2\r\n$1\r\n1\r\n$1\r\n2\r\n"]);
    let of_b = world.host("b").applied();
    let of_b: Vec<_> = of_b.iter().map(|applied| applied.words.len()).collect();
    // Each part by itself, and never the one that had run.
    assert_eq!(of_b, [3, 3], "two parts of MSET");
}

#[tokio::test(start_paused = true)]
async fn a_pipeline_that_a_loading_server_refuses_again_is_answered_soon() {
    for names in [&["a"][..], &["a", "b", "c"]] {
        let world = World::start(names, Spec::go_redis(), Settings::default()).await;
        find_well(&world, &Arc::default());
        let key = world.keys_on("a", 1).remove(0);
        // Retries are saved up.
        for _ in 0..3000 {
            let _ = world.get(&key).await;
        }
        world.host("a").load(true);
        let begun = Instant::now();
        let answers = pipeline(&world, &vec![request(&["GET", &key]); 200]).await;
        assert!(answers.iter().all(|answer| answer.starts_with("-LOADING ")), "{answers:?}");
        assert!(begun.elapsed() < millis(200), "{names:?}: {:?}", begun.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn a_split_read_that_meets_a_dead_and_a_loading_server_is_missed_on_both() {
    for loading in ["a", "b"] {
        let settings = Settings { on_down: OnDown::Miss, ..Settings::default() };
        let world = World::start(&["a", "b", "c"], Spec::go_redis(), settings).await;
        let dead = if loading == "a" { "b" } else { "a" };
        let keys = ["a", "b", "c"].map(|name| world.keys_on(name, 1).remove(0));
        world.set(&keys[2], "here").await;
        world.host(dead).kill(true);
        world.until(dead, false).await;
        sleep(millis(150)).await;
        world.host(loading).load(true);
        let mget = request(&["MGET", &keys[0], &keys[1], &keys[2]]);
        let answers = pipeline(&world, &[mget, request(&["GET", &keys[2]])]).await;
        assert_eq!(answers, ["*3\r\n_\r\n_\r\n$4\r\nhere\r\n", "$4\r\nhere\r\n"], "{loading} loads");
    }
}

#[tokio::test(start_paused = true)]
async fn split_reads_of_a_dead_server_and_one_that_goes_on_loading_are_answered_soon() {
    let settings = Settings { on_down: OnDown::Miss, ..Settings::default() };
    let world = World::start(&["a", "b"], Spec::go_redis(), settings).await;
    let keys = ["a", "b"].map(|name| world.keys_on(name, 1).remove(0));
    // Retries are saved up.
    for _ in 0..3000 {
        let _ = world.get(&keys[1]).await;
    }
    world.host("a").kill(true);
    world.until("a", false).await;
    let probe = |shard: Arc<Shard>| if shard.name() == "a" { Probe::Failed } else { Probe::Good };
    let heartbeat = Heartbeat::Custom(Arc::new(move |shard| Box::pin(std::future::ready(probe(shard)))));
    let (placement, settings) = (world.placement.clone(), world.settings.clone());
    world.engine.reconfigure(&world.shards, placement, settings, heartbeat).unwrap();
    sleep(millis(150)).await;
    world.host("b").load(true);
    let begun = Instant::now();
    let answers = pipeline(&world, &vec![request(&["MGET", &keys[0], &keys[1]]); 200]).await;
    assert!(answers.iter().all(|answer| answer.starts_with("-LOADING ")), "{answers:?}");
    assert!(begun.elapsed() < millis(200), "{:?}", begun.elapsed());
}
