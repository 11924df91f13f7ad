//! What the simulation of faults found, each by itself.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod network;

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rendis_core::placement::Spec;
use rendis_core::request::RequestBuf;
use rendis_core::session::Sent;
use rendis_engine::engine::{Engine, EngineConfig};
use rendis_engine::error::{Error, Kind};
use rendis_engine::gather::Executed;
use rendis_engine::pubsub::{Hub, Limits, TopicKind};
use rendis_engine::settings::{OnDown, Settings, ShardSettings};
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
        ..EngineConfig::default()
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
    // What ended at another deadline than the caller's is told with that one. Longer than four attempts, which a pipeline
    // has, so that theirs is not the last one's.
    let unhurried = engine.allowing(Duration::from_secs(90));
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

fn millis(number: u64) -> Duration {
    Duration::from_millis(number)
}

fn request(words: &[&str]) -> RequestBuf {
    RequestBuf::pack(words.iter().map(|word| word.as_bytes()))
}

fn hosts(names: &[&str]) -> Vec<Host> {
    let hosts: Vec<_> = names.iter().map(|name| Host::new(name, &Dice::of_seed(1))).collect();
    hosts.iter().for_each(|host| host.delay(0..=0));
    hosts
}

/// A key of this shard.
fn key_on(engine: &Engine, shard: &str) -> String {
    let on = |key: &String| engine.shard_for(key.as_bytes()).unwrap().name() == shard;
    (0..).map(|number| format!("key{number}")).find(on).unwrap()
}

fn text(answer: &Result<Executed, Error>) -> String {
    match answer {
        Ok(Executed::Reply(reply)) => String::from_utf8_lossy(reply.frame()).into_owned(),
        other => format!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn callers_who_give_up_before_their_deadline_get_a_new_connection_too() {
    let hosts = hosts(&["only"]);
    let engine = engine_over(&hosts, Settings::default()).await;
    let get = request(&["GET", "key"]);
    engine.run(&get).await.unwrap();
    let before = hosts[0].accepted();
    // The connection that is there falls silent; a new one is as before.
    hosts[0].lie(Some(Lie::TooFew));
    let began = Instant::now();
    while !matches!(timeout(millis(100), engine.run(&get)).await, Ok(Ok(_))) {
        assert!(began.elapsed() < Duration::from_secs(4), "no new connection");
        sleep(millis(1)).await;
    }
    assert!(hosts[0].accepted() > before);
}

#[tokio::test(start_paused = true)]
async fn what_is_made_again_in_a_pipeline_sees_nothing_of_what_was_written_behind_it() {
    let hosts = hosts(&["a", "b", "c"]);
    let engine = engine_over(&hosts, Settings::default()).await;
    let (on_a, on_b) = (key_on(&engine, "a"), key_on(&engine, "b"));
    engine.run(&request(&["SET", &on_b, "old"])).await.unwrap();
    hosts[0].kill(true);
    sleep(millis(1)).await;
    // One part is refused, and the other runs with what is behind it.
    let both = [request(&["MGET", &on_a, &on_b]), request(&["SET", &on_b, "new"])];
    let answers = engine.pipeline(&both).await;
    assert!(!text(&answers[0]).contains("new"), "{answers:?}");
    assert!(answers[1].is_ok(), "{answers:?}");
    // With nothing behind it that writes, it is made again.
    let both = [request(&["MGET", &on_a, &on_b]), request(&["GET", &on_b])];
    let answers = engine.pipeline(&both).await;
    assert!(text(&answers[0]).contains("new"), "{answers:?}");
}

#[tokio::test(start_paused = true)]
async fn with_miss_a_read_in_a_pipeline_sees_nothing_of_what_was_written_behind_it() {
    let hosts = hosts(&["only"]);
    let settings = Settings { on_down: OnDown::Miss, ..Settings::default() };
    let engine = engine_over(&hosts, settings).await;
    engine.run(&request(&["SET", "k", "old"])).await.unwrap();
    hosts[0].delay(5..=5);
    let cut = async {
        sleep(millis(7)).await;
        hosts[0].end_lines(true);
    };
    let both = [request(&["GET", "k"]), request(&["SET", "k", "new"])];
    let (answers, ()) = tokio::join!(engine.pipeline(&both), cut);
    assert!(!text(&answers[0]).contains("new"), "{answers:?}");
    assert_eq!(answers[1].as_ref().unwrap_err().sent(), Sent::Maybe);
}

#[tokio::test(start_paused = true)]
async fn with_miss_a_read_of_a_server_that_is_well_is_asked_again_and_not_missed() {
    let hosts = hosts(&["a", "b"]);
    // Without probes, of which three in a row would be cut some time.
    let mut settings = Settings { on_down: OnDown::Miss, ..Settings::default() };
    settings.health.votes.interval = Duration::from_secs(600);
    let engine = engine_over(&hosts, settings).await;
    let (on_a, on_b) = (key_on(&engine, "a"), key_on(&engine, "b"));
    engine.run(&request(&["SET", &on_a, "kept"])).await.unwrap();
    hosts[0].answer_after(millis(20));
    let cut = async {
        sleep(millis(10)).await;
        hosts[0].end_lines(true);
    };
    let (get, mget) = (request(&["GET", &on_a]), request(&["MGET", &on_a, &on_b]));
    let both = [get.clone(), mget.clone()];
    let (one, split, many, ()) =
        tokio::join!(engine.run(&get), engine.run(&mget), engine.pipeline(&both), cut);
    let all = [one, split];
    for answer in all.iter().chain(&many) {
        assert!(text(answer).contains("kept"), "{answer:?}");
    }
    // However often that happens, as long as it serves.
    for _ in 0..30 {
        sleep(millis(60)).await;
        hosts[0].end_lines(true);
        let (one, many) = tokio::join!(engine.run(&get), engine.pipeline(&both));
        for answer in many.iter().chain([&one]) {
            assert!(answer.is_err() || text(answer).contains("kept"), "{answer:?}");
        }
        assert_eq!(engine.topology().live().len(), 2);
    }
    // One that is not is missed, and at once when it is known.
    hosts[0].kill(true);
    assert!(!text(&engine.run(&get).await).contains("kept"));
    while engine.topology().live().len() == 2 {
        let _ = engine.run(&get).await;
        sleep(millis(1)).await;
    }
    let begun = Instant::now();
    for _ in 0..20 {
        for answer in engine.pipeline(&both).await {
            assert!(answer.is_ok() && !text(&answer).contains("kept"), "{answer:?}");
        }
    }
    assert!(begun.elapsed() < millis(1), "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn reads_under_way_at_a_kill_are_made_again_split_and_in_pipelines_too() {
    let hosts = hosts(&["a", "b", "c"]);
    let engine = engine_over(&hosts, Settings::default()).await;
    let (on_a, on_b) = (key_on(&engine, "a"), key_on(&engine, "b"));
    hosts[0].answer_after(millis(20));
    let dies = async {
        sleep(millis(10)).await;
        hosts[0].kill(true);
    };
    let (get, mget) = (request(&["GET", &on_a]), request(&["MGET", &on_a, &on_b]));
    let reads = [get.clone(), mget.clone(), request(&["STRLEN", &on_a])];
    let writes = [get.clone(), request(&["SET", &on_a, "new"])];
    let (one, split, reads, writes, ()) = tokio::join!(
        engine.run(&get),
        engine.run(&mget),
        engine.pipeline(&reads),
        engine.pipeline(&writes),
        dies
    );
    for answer in [one, split].iter().chain(&reads) {
        assert!(answer.is_ok(), "{answer:?}");
    }
    // The write may have run: what was before it cannot be asked any more.
    assert_eq!(writes[0].as_ref().unwrap_err().sent(), Sent::Maybe);
    assert_eq!(writes[1].as_ref().unwrap_err().sent(), Sent::Maybe);
}

#[tokio::test(start_paused = true)]
async fn a_pipeline_makes_nothing_again_where_that_is_turned_off() {
    let hosts = hosts(&["a", "b"]);
    let mut settings = Settings::default();
    settings.retry.attempts = NonZeroU32::MIN;
    let engine = engine_over(&hosts, settings).await;
    let key = key_on(&engine, "a");
    hosts[0].kill(true);
    sleep(millis(1)).await;
    let set = request(&["SET", &key, "value"]);
    let began = Instant::now();
    assert!(engine.run(&set).await.is_err());
    let answers = engine.pipeline(&[set.clone(), set.clone()]).await;
    assert!(answers.iter().all(Result::is_err), "{answers:?}");
    assert!(began.elapsed() < millis(20), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn one_call_finds_a_server_dead_whenever_it_comes() {
    for wait in 1..=300 {
        let hosts = hosts(&["a", "b", "c"]);
        hosts[0].kill(true);
        let mut settings = Settings::default();
        settings.health.votes.interval = Duration::from_secs(600);
        let engine = engine_over(&hosts, settings).await;
        let set = request(&["SET", &key_on(&engine, "a"), "value"]);
        // Longer and longer rests of its connection, and attempts to make one, in all of which the call may come.
        sleep(millis(wait)).await;
        let began = Instant::now();
        engine.run(&set).await.unwrap();
        assert!(began.elapsed() < millis(150), "after {wait} ms: {:?}", began.elapsed());
    }
}

#[tokio::test]
async fn a_subscription_that_is_never_confirmed_ends_its_connection_though_messages_come() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    /// Confirms the first channel of a connection only, and sends messages on it for ever.
    async fn half_deaf(mut client: tokio::net::TcpStream) -> std::io::Result<()> {
        const MESSAGE: &[u8] = b">3\r\n$7\r\nmessage\r\n$3\r\none\r\n$1\r\nm\r\n";
        let (mut asked, mut confirmed) = (vec![0; 4096], false);
        loop {
            let count = tokio::select! {
                count = client.read(&mut asked) => count?,
                () = sleep(millis(50)), if confirmed => {
                    client.write_all(MESSAGE).await?;
                    continue;
                }
            };
            if count == 0 {
                return Ok(());
            }
            for part in String::from_utf8_lossy(&asked[..count]).split('*').skip(1) {
                let answer: &[u8] = if part.contains("HELLO") {
                    b"%1\r\n$6\r\nserver\r\n$5\r\nredis\r\n"
                } else if part.contains("SUBSCRIBE") && !confirmed {
                    confirmed = true;
                    b">3\r\n$9\r\nsubscribe\r\n$3\r\none\r\n:1\r\n"
                } else if part.contains("SUBSCRIBE") {
                    b""
                } else {
                    b"+PONG\r\n"
                };
                client.write_all(answer).await?;
            }
        }
    }

    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("redis://{}", listener.local_addr().unwrap());
    let accepted = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&accepted);
    let server = tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::Relaxed);
            tokio::spawn(half_deaf(client));
        }
    });
    let mut settings = Settings::default();
    settings.deadlines.reply = millis(300);
    let shards = vec![ShardSettings::new("only", &url).unwrap()];
    let config = EngineConfig { shards, settings, ..EngineConfig::default() };
    let hub = Hub::new(Engine::start(config).await.unwrap());
    let listener = hub.listener(Limits::default());
    listener.add(TopicKind::Channel, ["one".into()]).await.unwrap();
    let before = accepted.load(Ordering::Relaxed);
    let _ = listener.add(TopicKind::Channel, ["two".into()]).await;
    let began = Instant::now();
    while accepted.load(Ordering::Relaxed) == before {
        assert!(began.elapsed() < Duration::from_secs(5), "the connection is not given up");
        sleep(millis(10)).await;
    }
    server.abort();
}

#[tokio::test(start_paused = true)]
async fn a_pipeline_ends_in_time_though_a_script_is_not_known_and_what_is_behind_it_stays_away() {
    let hosts = hosts(&["only"]);
    let engine = engine_over(&hosts, Settings::default()).await;
    hosts[0].hold(Some("GET"));
    let both = [request(&["EVALSHA", &"0".repeat(40), "1", "n", "1"]), request(&["GET", "n"])];
    let began = Instant::now();
    // The bound ends the test where nobody is woken.
    let answers = timeout(Duration::from_secs(10), engine.pipeline(&both)).await.unwrap();
    assert!(matches!(&answers[..], [Ok(_), Err(late)] if late.kind() == Kind::Timeout), "{answers:?}");
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
}
