//! What the simulation of faults found, each by itself.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod network;

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use rendis_core::placement::Spec;
use rendis_core::request::RequestBuf;
use rendis_core::session::Sent;
use rendis_engine::engine::{Engine, EngineConfig};
use rendis_engine::error::{Error, Kind};
use rendis_engine::probe::Heartbeat;
use rendis_engine::settings::Settings;
use rendis_testkit::sim::{Dice, Host, Lie, Way};
use tokio::runtime::Handle;
use tokio::time::{Instant, sleep, timeout};

async fn engine(host: &Host, settings: Settings) -> Engine {
    engine_over(std::slice::from_ref(host), settings).await
}

async fn engine_over(hosts: &[Host], settings: Settings) -> Engine {
    let config = EngineConfig {
        shards: network::shards(hosts),
        placement: Spec::go_redis(),
        settings,
        heartbeat: Heartbeat::default(),
        on_new_shard: None,
        coordinator: Arc::default(),
    };
    Engine::start(config).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_write_that_was_repeated_may_have_run_though_its_last_attempt_was_never_sent() {
    let host = Host::new("only", &Dice::of_seed(1));
    let mut settings = Settings::default();
    settings.retry.repeat_idempotent_writes = true;
    let engine = engine(&host, settings).await;
    host.answer_after(Duration::from_millis(50));
    let set = RequestBuf::pack([&b"SET"[..], b"key", b"value"]);
    let dies = async {
        sleep(Duration::from_millis(20)).await;
        host.kill(true);
    };
    let (set, ()) = tokio::join!(engine.run(&set), dies);
    let error = set.unwrap_err();
    assert_eq!((error.kind(), error.sent()), (Kind::ShardDown, Sent::Maybe), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_reply_that_never_comes_and_that_nobody_waits_for_keeps_no_connection() {
    let host = Host::new("only", &Dice::of_seed(1));
    let engine = engine(&host, Settings::default()).await;
    let get = RequestBuf::pack([&b"GET"[..], b"key"]);
    host.lie(Some(Lie::TooFew));
    let dropped = timeout(Duration::from_millis(20), engine.run(&get)).await;
    assert!(dropped.is_err());
    drop(engine);
    sleep(Duration::from_secs(3)).await;
    assert_eq!((host.connections(), Handle::current().metrics().num_alive_tasks()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_comes_while_the_socket_takes_nothing_ends_at_its_deadline() {
    let host = Host::new("only", &Dice::of_seed(1));
    host.buffer(100);
    let mut settings = Settings::default();
    settings.deadlines.reply = Duration::from_millis(200);
    settings.deadlines.write = Duration::from_secs(5);
    let engine = engine(&host, settings).await;
    host.stop(true);
    let value = vec![b'.'; 300];
    let set = RequestBuf::pack([&b"SET"[..], b"key", &value]);
    // Dropped, and its deadline passed: nothing is left that would wake the wire that is stuck with it.
    assert!(timeout(Duration::from_millis(20), engine.run(&set)).await.is_err());
    sleep(Duration::from_millis(300)).await;
    let began = Instant::now();
    let error = engine.run(&set).await.unwrap_err();
    assert_eq!((error.kind(), error.sent()), (Kind::Timeout, Sent::No), "{error}");
    assert!(began.elapsed() <= Duration::from_millis(210), "{:?}", began.elapsed());
}

/// What calls of each kind are told whose deadline passes: alone, split, in a batch, in a transaction.
async fn told(engine: &Engine, size: usize) -> Vec<String> {
    let value = vec![b'.'; size];
    let set = RequestBuf::pack([&b"SET"[..], b"key", &value]);
    let mset = RequestBuf::pack([&b"MSET"[..], b"a", &value, b"b", &value]);
    let (batch, transaction) = ([set.clone(), set.clone()], [set.clone(), set.clone()]);
    let (one, split, mut batch, together) = tokio::join!(
        engine.run(&set),
        engine.run(&mset),
        engine.pipeline(&batch),
        engine.transaction(&transaction)
    );
    let errors = [one.unwrap_err(), split.unwrap_err(), batch.remove(0).unwrap_err(), together.unwrap_err()];
    errors.iter().map(Error::resp_text).collect()
}

/// An engine over a host that is not taken out whatever happens, and the same for callers in a hurry.
async fn patient(host: &Host) -> (Engine, Engine) {
    let mut settings = Settings::default();
    settings.deadlines.connect = Duration::from_secs(20);
    settings.deadlines.write = Duration::from_secs(20);
    settings.deadlines.reply = Duration::from_millis(700);
    settings.health.votes.fall = NonZeroU32::MAX;
    settings.health.votes.traffic_fall = NonZeroU32::MAX;
    settings.health.votes.interval = Duration::from_secs(600);
    let engine = engine(host, settings).await;
    let hurried = engine.allowing(Duration::from_millis(30));
    (engine, hurried)
}

#[tokio::test(start_paused = true)]
async fn a_call_that_took_too_long_is_told_why_and_how_long_was_allowed() {
    let all = |what: &str| vec![format!("TIMEOUT only (only:6379) {what}"); 4];

    let slow = Host::new("only", &Dice::of_seed(1));
    let (engine, hurried) = patient(&slow).await;
    slow.answer_after(Duration::from_secs(5));
    assert_eq!(told(&hurried, 1).await, all("no reply in 30ms; may have been executed"));
    assert_eq!(told(&engine, 1).await, all("no reply in 700ms; may have been executed"));

    let stuck = Host::new("only", &Dice::of_seed(1));
    stuck.buffer(100);
    let (engine, hurried) = patient(&stuck).await;
    stuck.stop(true);
    // What fills the socket's buffer, and so is on its way.
    let _ = told(&hurried, 900).await;
    assert_eq!(told(&hurried, 900).await, all("nothing could be written in 30ms; not executed"));
    assert_eq!(told(&engine, 900).await, all("nothing could be written in 700ms; not executed"));

    let lost = Host::new("only", &Dice::of_seed(1));
    let (engine, hurried) = patient(&lost).await;
    sleep(Duration::from_secs(1)).await;
    lost.cut(Some(Way::Both));
    lost.end_lines(true);
    sleep(Duration::from_millis(10)).await;
    assert_eq!(told(&hurried, 1).await, all("no connection in 30ms; not executed"));
    assert_eq!(told(&engine, 1).await, all("no connection in 700ms; not executed"));
    // What ended at another deadline than the caller's is told with that one.
    let unhurried = engine.allowing(Duration::from_secs(60));
    assert_eq!(told(&unhurried, 1).await, all("no connection in 20s; not executed"));
}

#[tokio::test(start_paused = true)]
async fn a_transaction_that_was_never_written_waits_for_its_dead_shard_to_be_taken_out() {
    let hosts: Vec<Host> =
        ["a", "b", "c"].map(|name| Host::new(name, &Dice::of_seed(1))).into_iter().collect();
    let mut settings = Settings::default();
    settings.health.votes.interval = Duration::from_millis(100);
    settings.health.votes.traffic_fall = NonZeroU32::MAX;
    let engine = engine_over(&hosts, settings).await;
    let home = engine.shard_for(b"key").unwrap();
    hosts.iter().find(|host| host.name() == home.name()).unwrap().kill(true);
    // The wires know.
    sleep(Duration::from_millis(10)).await;
    let set = RequestBuf::pack([&b"SET"[..], b"key", b"value"]);
    let transaction = [set.clone()];
    let (one, together) = tokio::join!(engine.run(&set), engine.transaction(&transaction));
    one.unwrap();
    assert!(!together.unwrap().reply.is_error());
    assert_ne!(engine.shard_for(b"key").unwrap().name(), home.name());

    // One that was sent is not made again.
    let standing_in = engine.shard_for(b"key").unwrap();
    let host = hosts.iter().find(|host| host.name() == standing_in.name()).unwrap();
    host.answer_after(Duration::from_secs(5));
    let dies = async {
        sleep(Duration::from_millis(20)).await;
        host.kill(true);
    };
    let (together, ()) = tokio::join!(engine.transaction(&transaction), dies);
    let error = together.unwrap_err();
    assert_eq!((error.kind(), error.sent()), (Kind::ShardDown, Sent::Maybe), "{error}");
    assert_eq!(error.command(), Some("EXEC"));
}
