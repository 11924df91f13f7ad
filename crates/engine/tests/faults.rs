//! What the simulation of faults found, each by itself.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod network;

use std::sync::Arc;
use std::time::Duration;

use rendis_core::placement::Spec;
use rendis_core::request::RequestBuf;
use rendis_core::session::Sent;
use rendis_engine::engine::{Engine, Plan};
use rendis_engine::error::Kind;
use rendis_engine::probe::Heartbeat;
use rendis_engine::settings::Settings;
use rendis_testkit::sim::{Dice, Host, Lie};
use tokio::runtime::Handle;
use tokio::time::{Instant, sleep, timeout};

async fn engine(host: &Host, settings: Settings) -> Engine {
    let plan = Plan {
        shards: network::shards(std::slice::from_ref(host)),
        placement: Spec::go_redis(),
        settings,
        heartbeat: Heartbeat::default(),
        on_new_shard: None,
        ward: Arc::default(),
    };
    Engine::start(plan).await.unwrap()
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
