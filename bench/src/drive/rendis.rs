//! rendis: the typed API, and the engine below it with untyped frames.

use std::sync::Arc;

use redis::AsyncCommands;
use rendis::{Commands, Ring};
use rendis_core::placement::Spec;
use rendis_core::request::RequestBuf;
use rendis_engine::engine::{Engine, EngineConfig};
use rendis_engine::gather::Executed;
use rendis_engine::settings::{Settings, ShardSettings};

use crate::drive::library::{Key, Library, SCRIPT, prepared};
use crate::load::{Draw, Load, key, zipf_table};

/// `Ring`, used through its own trait of commands where that has them.
#[derive(Clone)]
pub(super) struct Typed(Ring);

/// `Ring`, used through `redis::AsyncCommands`.
#[derive(Clone)]
pub(super) struct Boxed(Typed);

/// `Engine`, with requests that are packed already.
#[derive(Clone)]
pub(super) struct Untyped {
    engine: Engine,
    /// Requests in turn, `GET` and `SET`, of keys drawn beforehand.
    ready: Arc<[[RequestBuf; 2]]>,
    next: usize,
}

impl Library for Typed {
    async fn connect(shards: &[String]) -> Self {
        let named = shards.iter().enumerate().map(|(at, url)| (format!("shard{at}"), url));
        Self(Ring::builder().shards(named).build().await.expect("a ring"))
    }

    async fn get(&mut self, key: Key<'_>) {
        let _: Option<String> = Commands::get(&self.0, key.text).await.expect("a reply");
    }

    async fn set(&mut self, key: Key<'_>, value: &str) {
        let _: () = Commands::set(&self.0, key.text, value).await.expect("a reply");
    }

    async fn mget(&mut self, keys: &[String]) {
        let values: Vec<Option<String>> = Commands::mget(&self.0, keys).await.expect("a reply");
        assert_eq!(values.len(), keys.len());
    }

    async fn mset(&mut self, keys: &[String], value: &str) {
        let pairs: Vec<(&str, &str)> = keys.iter().map(|key| (key.as_str(), value)).collect();
        let _: () = AsyncCommands::mset(&mut self.0, &pairs).await.expect("a reply");
    }

    async fn pipeline(&mut self, keys: &[String], value: &str, all_set: bool) {
        let mut pipe = redis::pipe();
        for (at, key) in keys.iter().enumerate() {
            if all_set || at % 2 == 1 {
                pipe.set(key, value)
            } else {
                pipe.get(key)
            };
        }
        let values: Vec<Option<String>> = pipe.query_async(&mut self.0).await.expect("a reply");
        assert_eq!(values.len(), keys.len());
    }

    async fn eval(&mut self, key: &str) {
        let command = redis::cmd("EVAL").arg(SCRIPT).arg(1).arg(key).take();
        let _: Option<String> = command.query_async(&mut self.0).await.expect("a reply");
    }
}

impl Library for Boxed {
    async fn connect(shards: &[String]) -> Self {
        Self(Typed::connect(shards).await)
    }

    async fn get(&mut self, key: Key<'_>) {
        let _: Option<String> = AsyncCommands::get(&mut self.0.0, key.text).await.expect("a reply");
    }

    async fn set(&mut self, key: Key<'_>, value: &str) {
        let _: () = AsyncCommands::set(&mut self.0.0, key.text, value).await.expect("a reply");
    }

    async fn mget(&mut self, keys: &[String]) {
        let values: Vec<Option<String>> = AsyncCommands::mget(&mut self.0.0, keys).await.expect("a reply");
        assert_eq!(values.len(), keys.len());
    }

    async fn mset(&mut self, keys: &[String], value: &str) {
        self.0.mset(keys, value).await;
    }

    async fn pipeline(&mut self, keys: &[String], value: &str, all_set: bool) {
        self.0.pipeline(keys, value, all_set).await;
    }

    async fn eval(&mut self, key: &str) {
        self.0.eval(key).await;
    }
}

impl Untyped {
    async fn run(&self, request: &RequestBuf) {
        match self.engine.run(request).await {
            Ok(Executed::Reply(reply)) if !reply.is_error() => {}
            other => panic!("no reply: {other:?}"),
        }
    }
}

impl Library for Untyped {
    async fn connect(shards: &[String]) -> Self {
        let named = shards.iter().enumerate();
        let shards = named.map(|(at, url)| ShardSettings::new(format!("shard{at}"), url).expect("a URL"));
        let config = EngineConfig {
            shards: shards.collect(),
            placement: Spec::default(),
            settings: Settings::default(),
            ..EngineConfig::default()
        };
        Self { engine: Engine::start(config).await.expect("an engine"), ready: Arc::new([]), next: 0 }
    }

    fn prepare(&mut self, load: &Load) {
        let (value, mut draw) = ("x".repeat(load.value), Draw::new(load, zipf_table(load).as_ref(), 1));
        let pair = |key: String| {
            let get = RequestBuf::pack([&b"GET"[..], key.as_bytes()]);
            [get, RequestBuf::pack([&b"SET"[..], key.as_bytes(), value.as_bytes()])]
        };
        self.ready = (0..prepared(load)).map(|_| pair(key(draw.number()))).collect();
    }

    /// The key is not looked at: what is ready is random enough.
    async fn get(&mut self, key: Key<'_>) {
        self.next = if self.next == 0 { key.number as usize } else { self.next + 1 };
        self.run(&self.ready[self.next % self.ready.len()][0]).await;
    }

    async fn set(&mut self, _: Key<'_>, _: &str) {
        self.run(&self.ready[self.next % self.ready.len()][1]).await;
    }

    async fn mget(&mut self, keys: &[String]) {
        let words = std::iter::once(&b"MGET"[..]).chain(keys.iter().map(String::as_bytes));
        self.run(&RequestBuf::pack(words.collect::<Vec<_>>())).await;
    }

    async fn mset(&mut self, keys: &[String], value: &str) {
        let pairs = keys.iter().flat_map(|key| [key.as_bytes(), value.as_bytes()]);
        self.run(&RequestBuf::pack(std::iter::once(&b"MSET"[..]).chain(pairs).collect::<Vec<_>>())).await;
    }

    async fn pipeline(&mut self, keys: &[String], value: &str, all_set: bool) {
        let pack = |(at, key): (usize, &String)| match all_set || at % 2 == 1 {
            true => RequestBuf::pack([&b"SET"[..], key.as_bytes(), value.as_bytes()]),
            false => RequestBuf::pack([&b"GET"[..], key.as_bytes()]),
        };
        let requests: Vec<RequestBuf> = keys.iter().enumerate().map(pack).collect();
        let results = self.engine.pipeline(&requests).await;
        assert!(results.len() == keys.len() && results.iter().all(Result::is_ok));
    }

    async fn eval(&mut self, key: &str) {
        self.run(&RequestBuf::pack([&b"EVAL"[..], SCRIPT.as_bytes(), b"1", key.as_bytes()])).await;
    }
}
