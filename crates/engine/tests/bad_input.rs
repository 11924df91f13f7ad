//! Servers that answer what no server should: whoever is owed a reply on that connection learns that its command may have
//! run, the connection is made anew, and nobody else notices.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod network;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join3;
use rendis_core::placement::Spec;
use rendis_core::reply::Reply;
use rendis_core::request::RequestBuf;
use rendis_core::session::Sent;
use rendis_engine::engine::{Engine, EngineConfig};
use rendis_engine::error::{Error, Kind};
use rendis_engine::gather::Executed;
use rendis_engine::probe::Heartbeat;
use rendis_engine::settings::Settings;
use rendis_testkit::sim::{Dice, Host, Lie};
use tokio::time::{Instant, sleep};

/// Two shards: one that will lie, and one that will not.
struct Scene {
    liar: Host,
    honest: Host,
    engine: Engine,
}

impl Scene {
    async fn new() -> Self {
        let dice = Dice::of_seed(1);
        let (liar, honest) = (Host::new("liar", &dice), Host::new("honest", &dice));
        liar.answer_after(Duration::from_millis(10));
        let config = EngineConfig {
            shards: network::shards(&[liar.clone(), honest.clone()]),
            placement: Spec::go_redis(),
            settings: Settings::default(),
            // What the probe is told is not the subject here.
            heartbeat: Heartbeat::Custom(Arc::new(|_| Box::pin(async { rendis_core::health::Probe::Good }))),
            ..EngineConfig::default()
        };
        Self { liar, honest, engine: Engine::start(config).await.unwrap() }
    }

    /// A key on this shard.
    fn key_on(&self, host: &Host) -> String {
        let is_there = |key: &String| self.engine.shard_for(key.as_bytes()).unwrap().name() == host.name();
        (0..).map(|number| format!("key:{number}")).find(is_there).unwrap()
    }

    async fn run(&self, words: &[&str]) -> Result<Reply, Error> {
        let request = RequestBuf::pack(words.iter().map(|word| word.as_bytes()));
        match self.engine.run(&request).await? {
            Executed::Reply(reply) => Ok(reply),
            other => panic!("{words:?} is no {other:?}"),
        }
    }

    /// Three calls in flight on one connection, and a lie about the first.
    async fn three_calls(&self, lie: Lie) -> [Result<Reply, Error>; 3] {
        let key = self.key_on(&self.liar);
        self.liar.lie(Some(lie));
        let incr = ["INCR", &key];
        let (one, two, three) = join3(self.run(&incr), self.run(&incr), self.run(&incr)).await;
        [one, two, three]
    }

    /// The other shard has answered everything on its first connection, and the liar answers on its second.
    async fn only_that_connection_was_lost(&self) {
        let (lies, truths) = (self.key_on(&self.liar), self.key_on(&self.honest));
        sleep(Duration::from_millis(50)).await;
        assert_eq!(self.run(&["GET", &truths]).await.unwrap().frame(), b"_\r\n");
        assert!(!self.run(&["INCR", &lies]).await.unwrap().is_error());
        assert_eq!((self.liar.accepted(), self.honest.accepted()), (2, 1));
        assert_eq!(self.liar.lies(), 1);
    }
}

fn is_protocol_error_of_the_liar(result: &Result<Reply, Error>) {
    let error = result.as_ref().unwrap_err();
    assert_eq!(
        (error.kind(), error.sent(), error.shard()),
        (Kind::Protocol, Sent::Maybe, Some("liar")),
        "{error}"
    );
}

/// All three end at once, long before their deadline.
async fn a_protocol_error_for_all_in_flight(lie: Lie) {
    let scene = Scene::new().await;
    let began = Instant::now();
    let results = scene.three_calls(lie).await;
    assert!(began.elapsed() < Duration::from_millis(20), "{:?}", began.elapsed());
    results.iter().for_each(is_protocol_error_of_the_liar);
    scene.only_that_connection_was_lost().await;
}

#[tokio::test(start_paused = true)]
async fn a_push_that_nobody_asked_for() {
    a_protocol_error_for_all_in_flight(Lie::Push).await;
}

#[tokio::test(start_paused = true)]
async fn bytes_that_are_no_resp() {
    a_protocol_error_for_all_in_flight(Lie::Garbage).await;
}

#[tokio::test(start_paused = true)]
async fn a_bulk_longer_than_any_server_may_send() {
    a_protocol_error_for_all_in_flight(Lie::HugeBulk).await;
}

#[tokio::test(start_paused = true)]
async fn half_a_reply_and_the_end() {
    let scene = Scene::new().await;
    for result in scene.three_calls(Lie::Half).await {
        let error = result.unwrap_err();
        assert_eq!((error.kind(), error.sent()), (Kind::ShardDown, Sent::Maybe), "{error}");
    }
    scene.only_that_connection_was_lost().await;
}

/// A reply too many is seen when nothing is owed; before that it is the next caller's, and no client can tell.
#[tokio::test(start_paused = true)]
async fn a_reply_too_many() {
    let scene = Scene::new().await;
    let [one, two, three] = scene.three_calls(Lie::TooMany).await;
    assert_eq!(one.unwrap().frame(), b":1\r\n");
    assert_eq!(two.unwrap().frame(), b"+LIE\r\n");
    assert_eq!(three.unwrap_err().sent(), Sent::Maybe);
    let scene = Scene::new().await;
    let key = scene.key_on(&scene.liar);
    scene.liar.lie(Some(Lie::TooMany));
    assert_eq!(scene.run(&["INCR", &key]).await.unwrap().frame(), b":1\r\n");
    scene.only_that_connection_was_lost().await;
}

/// No call is answered: each ends at its deadline, and after two more the connection is given up.
async fn given_up_for_want_of_replies(lie: Lie) {
    let scene = Scene::new().await;
    let began = Instant::now();
    for result in scene.three_calls(lie).await {
        let error = result.unwrap_err();
        assert_eq!(
            (error.kind(), error.sent(), error.shard()),
            (Kind::Timeout, Sent::Maybe, Some("liar")),
            "{error}"
        );
    }
    assert!(began.elapsed() <= Duration::from_millis(1010), "{:?}", began.elapsed());
    sleep(Duration::from_millis(2000)).await;
    scene.only_that_connection_was_lost().await;
}

#[tokio::test(start_paused = true)]
async fn too_few_replies() {
    given_up_for_want_of_replies(Lie::TooFew).await;
}

#[tokio::test(start_paused = true)]
async fn a_bulk_that_drips_for_ever() {
    given_up_for_want_of_replies(Lie::EndlessBulk).await;
}

#[tokio::test(start_paused = true)]
async fn a_reply_of_the_wrong_type() {
    let scene = Scene::new().await;
    let (lies, truths) = (scene.key_on(&scene.liar), scene.key_on(&scene.honest));
    scene.liar.lie(Some(Lie::WrongType));
    // The lie is told about the first: it says how many elements it needs, so this is seen.
    let other = async {
        sleep(Duration::from_millis(1)).await;
        scene.run(&["INCR", &lies]).await
    };
    let list = ["MGET", &lies, &truths];
    let (list, other) = tokio::join!(scene.run(&list), other);
    is_protocol_error_of_the_liar(&list);
    is_protocol_error_of_the_liar(&other);
    scene.only_that_connection_was_lost().await;
}

#[tokio::test(start_paused = true)]
async fn a_reply_of_the_wrong_type_in_a_pipeline() {
    let scene = Scene::new().await;
    let (lies, truths) = (scene.key_on(&scene.liar), scene.key_on(&scene.honest));
    scene.liar.lie(Some(Lie::WrongType));
    let pack = |words: &[&str]| RequestBuf::pack(words.iter().map(|word| word.as_bytes()));
    let requests = [pack(&["MGET", &lies, &truths]), pack(&["INCR", &truths])];
    let mut results = scene.engine.pipeline(&requests).await.into_iter();
    let error = results.next().unwrap().unwrap_err();
    assert_eq!((error.kind(), error.shard()), (Kind::Protocol, Some("liar")), "{error}");
    assert!(results.next().unwrap().is_ok());
    sleep(Duration::from_millis(50)).await;
    assert!(scene.run(&["INCR", &lies]).await.is_ok());
    assert_eq!((scene.liar.accepted(), scene.honest.accepted()), (2, 1));
}
