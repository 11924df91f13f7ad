//! The guide: how to use this crate, from the first ring to tuning. There is no code in this module.
//!
//! - [Start](#start)
//! - [Placement, and moving from another sharder](#placement-and-moving-from-another-sharder)
//! - [Hash tags](#hash-tags)
//! - [What is split, and what is refused](#what-is-split-and-what-is-refused)
//! - [Failures and retries](#failures-and-retries)
//! - [Pipelines](#pipelines)
//! - [Transactions and watch](#transactions-and-watch)
//! - [Pub/sub](#pubsub)
//! - [Scripts](#scripts)
//! - [Pool](#pool)
//! - [Without async](#without-async)
//! - [TLS, users and other settings of a shard](#tls-users-and-other-settings-of-a-shard)
//! - [Tuning](#tuning)
//!
//! # Start
//!
//! A [`Ring`] is built once and cloned for every user. Clones share connections; a clone costs one reference count.
//! The `redis` crate's commands work on it, so the `redis` crate is a dependency of your program too.
//!
//! ```no_run
//! use redis::AsyncCommands;
//! use rendis::Ring;
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let mut ring = Ring::builder()
//!         .shard("shard1", "redis://localhost:7001")
//!         .shard("shard2", "redis://localhost:7002")
//!         .build()
//!         .await?;
//!     ring.set::<_, _, ()>("user:7", "Ada").await?;
//!     let name: String = ring.get("user:7").await?;
//!     let served: i64 = redis::cmd("HINCRBY").arg("served").arg(&name).arg(1).query_async(&mut ring).await?;
//!     println!("{name}: {served}, on {}", ring.shard_for("user:7")?.name());
//!     Ok(())
//! }
//! ```
//!
//! The commands of caches, rate limiters and session stores are also methods of [`Commands`](crate::Commands): the same
//! names, arguments and results, at a third of the allocations, and on a ring that need not be `mut`. Where both traits
//! are in scope these are taken, and those of `redis::AsyncCommands` for everything else.
//!
//! ```no_run
//! use std::sync::Arc;
//!
//! use rendis::Commands as _;
//!
//! # async fn example(ring: rendis::Ring) -> redis::RedisResult<()> {
//! let ring = Arc::new(ring);
//! let (visits, name) = tokio::join!(ring.incr("visits", 1), ring.hget("user:7", "name"));
//! let (visits, name): (i64, Option<String>) = (visits?, name?);
//! # Ok(()) }
//! ```
//!
//! [`RingBuilder::build`] waits until every shard was tried once. A server that cannot be reached then is no error:
//! the others serve, and calls for its keys say what is wrong. A setting that cannot be used is an error.
//!
//! # Placement, and moving from another sharder
//!
//! Which shard holds a key is a function of the key, the list of shards, and the placement rule. The default rule is
//! that of go-redis `Ring` v8 and v9: rendezvous hashing of the shards' *names*. A name that stays while the address
//! changes moves no key.
//!
//! Other rules equal other programs, key by key: see [`Spec`](crate::placement::Spec) for all of them. A program that
//! already keeps its keys on several servers can be replaced by this crate, or run beside it, and both find the same
//! keys. What has to be the same on both sides is what that program hashes for a server:
//!
//! | `like` | constructor | hashed for a shard, where it has no `id` | weights |
//! |---|---|---|---|
//! | `go-redis` | [`go_redis`](crate::placement::Spec::go_redis) | its name | 1 and more |
//! | `go-redis-v7` | [`go_redis_v7`](crate::placement::Spec::go_redis_v7) | its name | no |
//! | `roshi` | [`roshi`](crate::placement::Spec::roshi) | nothing: its position | no |
//! | `twemproxy` | [`twemproxy`](crate::placement::Spec::twemproxy) | its name | 1 and more |
//! | `redis-rb`, `redis-rb-4` | [`redis_rb`](crate::placement::Spec::redis_rb) | its URL, in the form of that client | no |
//! | `predis`, `predis-ketama` | [`predis`](crate::placement::Spec::predis) | `host:port` | default 100; 0 is the default too |
//! | `phpredis` | [`phpredis`](crate::placement::Spec::phpredis) | its position; `host:port` with `consistent` | no |
//! | `jedis`, `jedis-2.9` | [`jedis`](crate::placement::Spec::jedis) | its position; its name where `named` | 0 and more |
//! | `envoy-ring-hash` | [`envoy_ring_hash`](crate::placement::Spec::envoy_ring_hash) | `host:port` | 1 and more |
//! | `envoy-maglev` | [`envoy_maglev`](crate::placement::Spec::envoy_maglev) | `host:port` | 1 and more |
//! | `jump` | [`jump`](crate::placement::Spec::jump) | nothing: its position | no |
//!
//! Where the position counts, the order of the list does. Where `host:port` or the URL counts, write the addresses as
//! the other program has them, or give each shard its `id`:
//!
//! ```
//! use rendis::placement::{Distribution, Spec, Twemproxy};
//! use rendis::{Ring, ShardSettings};
//!
//! # fn main() -> Result<(), rendis::Error> {
//! // A pool of twemproxy with `hash_tag: "{}"` and `distribution: modula`, whose servers had no names: twemproxy
//! // then hashes what stands in its configuration.
//! let placement = Spec::twemproxy(Twemproxy {
//!     distribution: Distribution::Modula,
//!     hash_tag: Some(*b"{}"),
//!     ..Twemproxy::default()
//! });
//! let mut first = ShardSettings::new("first", "redis://10.0.0.1:6379")?;
//! first.id = Some("10.0.0.1:6379".to_owned());
//! first.weight = Some(2);
//! let mut second = ShardSettings::new("second", "redis://10.0.0.2:6379")?;
//! second.id = Some("10.0.0.2:6379".to_owned());
//! let builder = Ring::builder().placement(placement).shard_with(first).shard_with(second);
//! # drop(builder);
//! # Ok(()) }
//! ```
//!
//! To see where keys are without a server, build the placement alone. (`rendis locate` on the command line does the
//! same for a configuration file.)
//!
//! ```
//! use rendis::placement::{NodeAddress, Node, Placement, Spec};
//!
//! let nodes = ["shard1", "shard2", "shard3"].map(|name| Node::new(name, NodeAddress::tcp("127.0.0.1", 7001)));
//! let placement = Placement::build(&Spec::go_redis(), &nodes, &[true; 3])?;
//! let shard = |key: &[u8]| placement.locate(key).map(|shard| nodes[shard.index()].name.as_str());
//! assert_eq!(shard(b"user:1"), Some("shard2"));
//! assert_eq!(shard(b"user:2"), Some("shard3"));
//! # Ok::<(), rendis::placement::PlacementError>(())
//! ```
//!
//! Before a program is moved, compare both on a sample of your own keys. Two things outside the rule can differ:
//! a prefix that the other client puts before each key, and key arguments that it turns into text first.
//!
//! What cannot be equalled is refused when the ring is built, with the reason: a weight where the rule has none, two
//! shards that hash alike.
//!
//! A rule of your own is a [`Place`](crate::placement::Place). All that it needs is in [`placement`](crate::placement)
//! (the example at `Place` itself names the crate that is underneath):
//!
//! ```
//! use std::sync::Arc;
//!
//! use rendis::Ring;
//! use rendis::placement::{LiveShard, Place, ShardId, Spec, Tag};
//!
//! /// By the first byte of the key, or of its hash tag.
//! struct ByFirstByte(Tag);
//!
//! impl Place for ByFirstByte {
//!     fn place(&self, live: &[LiveShard], key: &[u8]) -> Option<ShardId> {
//!         let first = self.0.tagged(key).first().copied().unwrap_or_default();
//!         live.get(usize::from(first).checked_rem(live.len())?).map(LiveShard::id)
//!     }
//! }
//!
//! let rule = Spec::custom(Arc::new(ByFirstByte(Spec::go_redis().tag())));
//! let builder = Ring::builder().placement(rule).shard("shard1", "redis://localhost:7001");
//! # drop(builder);
//! ```
//!
//! # Hash tags
//!
//! Under most rules only a part of the key counts when the key has a tag: with `{user:7}:name` and `{user:7}:cart` it
//! is `user:7`, so both are on one shard. That is what makes commands on several keys, transactions and scripts
//! possible. The rules differ, and each preset has that of its program:
//!
//! | placement | tag |
//! |---|---|
//! | `go-redis`, `go-redis-v7`, `predis`, `predis-ketama`, `jump` | between the first `{` and the first `}` after it, if not empty |
//! | `twemproxy` | none; with `hash_tag`, between those two characters |
//! | `redis-rb`, `redis-rb-4` | only at the start of a line, at least one character |
//! | `phpredis` | as the first row, but an empty tag counts |
//! | `jedis`, `jedis-2.9` | none; with `hash_tag`, the first `{…}` that is not empty |
//! | `envoy-ring-hash`, `envoy-maglev` | none; with `hash_tag`, as the first row |
//! | `roshi` | none |
//!
//! ```
//! use rendis::placement::Spec;
//!
//! let tag = Spec::go_redis().tag();
//! assert_eq!(tag.tagged(b"{user:7}:name"), b"user:7");
//! assert_eq!(tag.tagged(b"{}:name"), b"{}:name");
//! ```
//!
//! # What is split, and what is refused
//!
//! | command | on a ring |
//! |---|---|
//! | one key, or all keys on one shard | goes to that shard |
//! | `MGET`, `MSET`, `DEL`, `UNLINK`, `EXISTS`, `TOUCH` | split by shard, sent side by side, replies merged |
//! | other commands with keys on several shards (`MSETNX`, `SINTER`, `RENAME`, `BLPOP`, `EVAL` …) | refused with `CROSSSLOT`; nothing is sent |
//! | `DBSIZE`, `KEYS`, `FLUSHALL`, `SCRIPT LOAD`, `CONFIG SET`, `PUBSUB CHANNELS` … | every shard that is up, replies merged |
//! | `SCAN` | shard after shard; the cursor carries the shard |
//! | `RANDOMKEY` | a shard at random, another where it is empty |
//! | `PUBLISH`, `SPUBLISH`; scripts and functions without keys | the shard of the channel; of the script's SHA-1 or the function's name |
//! | `PING`, `ECHO`, `SELECT 0`, `READONLY`, `READWRITE` | answered here; `PING` asks every shard that is up |
//! | `TIME`, `COMMAND …`, `CONFIG GET`, `FUNCTION LIST` | the first shard that is up |
//! | `SUBSCRIBE`, `MULTI`, `WATCH` as plain commands | refused: see [pub/sub](#pubsub) and [transactions](#transactions-and-watch) |
//! | `INFO`, `ROLE`, `CLUSTER …` | refused: they are about one server, so send them to a [`Shard`], or with [`Ring::for_each_shard`] |
//! | `CLIENT …`, `SELECT 1`, `WAIT`, `MONITOR` | refused: they are about one connection |
//! | `SAVE`, `SHUTDOWN`, `CONFIG REWRITE`, `MOVE` … | refused, unless [`RingBuilder::allow`] lets them through |
//! | a command that is not known here (of a module) | its keys are learned from a server (`COMMAND INFO`), once |
//!
//! A command that is split is not atomic: when one part fails the whole command fails, with the error of that part,
//! and what the other parts did stands.
//!
//! A scan's cursor has the number of its shard in it: when the list of shards is changed or reordered while a scan runs,
//! it may miss keys or give them twice.
//!
//! A command about one server is sent to that server, through its [`Shard`]. A shard refuses only what would change the
//! connection that everybody shares (`SELECT`, `MULTI`, `SUBSCRIBE`, `MONITOR`, `CLIENT REPLY` …); a command that blocks
//! runs on an exclusive connection there.
//!
//! ```no_run
//! # async fn example(ring: rendis::Ring) -> redis::RedisResult<()> {
//! ring.for_each_shard(async |mut shard| {
//!     let info: String = redis::cmd("INFO").arg("memory").query_async(&mut shard).await?;
//!     println!("{}: {} bytes of INFO", shard.name(), info.len());
//!     Ok(())
//! })
//! .await?;
//! # Ok(()) }
//! ```
//!
//! # Failures and retries
//!
//! Typed commands return [`redis::RedisError`]. When a call got no reply, [`Error::of`] finds this crate's error in
//! it, which says what was met ([`Error::kind`]), where ([`Error::shard`]), and whether the command may have run
//! ([`Error::sent`]). An error reply of a server, and `CROSSSLOT`, are what the `redis` crate makes of such a reply.
//!
//! `Sent::No` means that no server can have run it. A batch (a transaction, or a shard's part of a pipeline) of which any
//! byte was written is `Sent::Maybe`, and so is a command that was split when another part of it ran or may have run.
//!
//! ```no_run
//! use redis::AsyncCommands;
//! use rendis::{Error, Kind, Sent};
//!
//! # async fn example(mut ring: rendis::Ring) {
//! match ring.incr::<_, _, i64>("visits", 1).await {
//!     Ok(visits) => println!("{visits}"),
//!     Err(error) => match Error::of(&error) {
//!         Some(own) if own.sent() == Sent::No => eprintln!("did not run: {own}"),
//!         Some(own) if own.kind() == Kind::Timeout => eprintln!("may have run on {:?}: {own}", own.shard()),
//!         Some(own) => eprintln!("{own}"),
//!         None => eprintln!("the server answered {:?}", error.code()),
//!     },
//! }
//! # }
//! ```
//!
//! The `redis` crate's own questions, such as `is_timeout()` and `retry_method()`, are answered as for a single server. A
//! loop that follows `retry_method()` ends where trying again at once cannot help (`Busy`, `Refused`, `Auth`, `Tls`,
//! `Config`), but it does not know whether a command may have run: [`Error::sent`] does.
//!
//! Before such an error reaches you, the call was made again where that is safe:
//!
//! | what happened | made again |
//! |---|---|
//! | never written (no connection, or the connection broke before) | any command; placed anew, since the ring may have changed |
//! | written, no reply (`Sent::Maybe`) | reads; idempotent writes after [`RingBuilder::repeat_idempotent_writes`] |
//! | answered `LOADING` or `TRYAGAIN` | any command but scripts, functions and those of modules, whose own words that may be |
//! | `Busy`, `Auth`, `Tls`, `Config`, any other error reply | never |
//!
//! By default that is up to three attempts in all, after a random pause of up to 10 ms and 20 ms. All attempts share one
//! reply deadline, and an attempt that ended at its deadline is not repeated: a read from a server that hangs costs one
//! reply deadline, not three. All repetitions of a ring together are limited to a fifth of its calls, and ten a second.
//!
//! ## When a shard dies
//!
//! Each shard is probed every 500 ms. Three failed probes in a row, or five connection failures of calls in a row, and
//! it is down. With [`OnDown::Reroute`], the default, it leaves the ring and its keys go to the other shards; with
//! [`OnDown::Fail`] calls for its keys fail at once with [`Kind::ShardDown`], and with [`OnDown::Miss`] reads answer as if
//! its keys did not exist. No more than half of the shards are taken out ([`RingBuilder::max_ejected`]); the keys of
//! further dead shards fail. A call that was not written yet waits, within its deadline, until its shard is taken out,
//! and then goes where its key goes.
//!
//! A shard whose password is wrong is such a shard: [`RingBuilder::build`] succeeds, three probes fail, and its keys go
//! elsewhere. What happens to shards is logged (`tracing`) and told by [`Ring::events`]; [`Ring::shards`] shows who is up.
//!
//! Two good probes in a row bring it back, and its keys go back to it. With [`OnReturn::Forget`], the default, it first
//! deletes the keys that were written or deleted elsewhere through this process while it was away, so that no reader
//! sees a value that was overwritten; what is found instead is nothing, as after an eviction. Writes of other processes
//! are not known here, nor are those through a [`Shard`](crate::Shard) or a script that hides its keys. With
//! [`OnReturn::Keep`] it serves what it holds, also where that is out of date, and with [`OnReturn::Flush`] it forgets
//! everything.
//!
//! # Pipelines
//!
//! A plain pipeline may use keys of any shards. Each shard gets its part in one write, the parts run side by side, and
//! replies come in the order written. For one key things happen in the order written; between shards there is no
//! order. Errors are those of the `redis` crate: the first one is the result, unless the pipeline says
//! `ignore_errors`. An error of this crate stands there as an error reply, with a code such as `SHARDDOWN`, `TIMEOUT` or
//! `REFUSED`.
//!
//! ```no_run
//! # async fn example(mut ring: rendis::Ring) -> redis::RedisResult<()> {
//! let (a, b): (i64, i64) = redis::pipe().incr("a", 1).incr("b", 1).query_async(&mut ring).await?;
//!
//! let mut pipe = redis::pipe();
//! pipe.get("a").get("b").ignore_errors();
//! let each: Vec<redis::RedisResult<i64>> = pipe.query_async(&mut ring).await?;
//! # Ok(()) }
//! ```
//!
//! # Transactions and watch
//!
//! An atomic pipeline is `MULTI` … `EXEC` on one shard: all its keys must be there, so give them one hash tag. When
//! they are not, it is refused with `CROSSSLOT` and nothing is sent.
//!
//! ```no_run
//! # async fn example(mut ring: rendis::Ring) -> redis::RedisResult<()> {
//! let (stock, sold): (i64, i64) = redis::pipe()
//!     .atomic()
//!     .decr("{book:1}:stock", 1)
//!     .incr("{book:1}:sold", 1)
//!     .query_async(&mut ring)
//!     .await?;
//! # Ok(()) }
//! ```
//!
//! [`Ring::watch`] is the optimistic form: read, decide, write only if nothing watched has changed; else again, up to
//! 16 times, and then [`Kind::Conflict`].
//!
//! ```no_run
//! use redis::AsyncCommands;
//!
//! # async fn example(ring: rendis::Ring) -> redis::RedisResult<()> {
//! ring.watch("{book:1}:stock", async |tx| {
//!     let stock: i64 = tx.get("{book:1}:stock").await?;
//!     if stock > 0 {
//!         redis::pipe().atomic().decr("{book:1}:stock", 1).incr("{book:1}:sold", 1).exec_async(tx).await?;
//!     }
//!     Ok(stock > 0)
//! })
//! .await?;
//! # Ok(()) }
//! ```
//!
//! A watched transaction has a connection to itself, from the [`RingBuilder::pool_size`] of its shard. Scripts run on it
//! (`redis::Script` makes them known to all shards where its own does not know them), and commands that wait.
//!
//! # Pub/sub
//!
//! A channel lives on the shard of its name, where `PUBLISH` sends it; a pattern is listened to on every shard that is
//! up, and so keyspace notifications of all shards arrive. All subscriptions of a ring share one connection a shard.
//! When shards come and go, subscriptions move without a word.
//!
//! ```no_run
//! # async fn example(ring: rendis::Ring) -> Result<(), rendis::Error> {
//! let mut news = ring.subscribe(&["sports", "weather"]).await?;
//! while let Some(message) = news.next().await {
//!     let message = message?;
//!     println!("{}: {}", message.channel_text(), message.payload_text());
//! }
//! # Ok(()) }
//! ```
//!
//! As on one server, a message is delivered at most once: what is published while a connection is broken is lost, and so is
//! what is published on a channel that moves to another shard, until that shard has confirmed the subscription. A
//! listener that falls behind its [`SubscriptionLimits`] ends with [`Kind::Busy`]; the others do not notice.
//!
//! # Scripts
//!
//! `redis::Script`, `EVAL` and `EVALSHA` work when the keys are on one shard. A script without keys always runs on the
//! same shard, as long as the same shards are up. Bodies that were seen are remembered (up to 16 MiB), so a shard that
//! answers `NOSCRIPT` is given the script and asked again; not where that happens inside of a pipeline before a request that
//! has run on that shard: there the caller sees `NOSCRIPT`. A transaction brings its scripts along. Functions are loaded on the
//! shards that are up at that moment. A shard that returns gets those of another before it serves: where functions were
//! changed through this ring meanwhile exactly those, so that what was deleted stays deleted, and else those beside its own.
//! One that [`Ring::set_shards`] adds gets scripts and functions as soon as it is connected, beside its first calls, which
//! may still miss them. A shard that refuses is logged.
//!
//! # Pool
//!
//! [`Pool`] is a fixed list of instances without health checks: a key is on instance `hash(key) % n`, and a dead
//! instance fails its own keys. A call has a connection to itself, so anything can be done with it, by the `redis`
//! crate's commands or by hand:
//!
//! ```no_run
//! use redis::AsyncCommands;
//! use rendis::Pool;
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let pool = Pool::builder(["10.0.0.1:6379", "10.0.0.2:6379"]).build()?;
//! pool.with("greeting", async |conn| conn.set::<_, _, ()>("greeting", "hello").await).await?;
//!
//! let index = pool.index("list");
//! let length: usize = pool
//!     .with_index(index, async |conn| {
//!         conn.send(redis::cmd("RPUSH").arg("list").arg("a")).await?;
//!         conn.send(redis::cmd("RPUSH").arg("list").arg("b")).await?;
//!         conn.flush().await?;
//!         let _: usize = conn.receive().await?;
//!         conn.receive().await
//!     })
//!     .await?;
//! # Ok(()) }
//! ```
//!
//! A connection goes back to the pool when the closure returned `Ok` and left it as new; else it is closed.
//!
//! # Without async
//!
//! With the feature `blocking`, `rendis::blocking` has the same handles with methods that wait, and `redis::Commands`
//! works on them. Each handle that is built has one thread of its own for its sockets. There is no `watch`,
//! `subscribe`, `events` and `with_deadline`: use the async [`Ring`] for them, or `redis::transaction` on a connection of a `blocking::Pool`.
//!
#![cfg_attr(
    feature = "blocking",
    doc = r#"
```no_run
use redis::Commands;

let mut ring = rendis::blocking::Ring::builder().shard("shard1", "redis://localhost:7001").build_blocking()?;
ring.set::<_, _, ()>("key", "value")?;
# Ok::<(), Box<dyn std::error::Error>>(())
```
"#
)]
//!
//! # TLS, users and other settings of a shard
//!
//! A URL says most of it: `redis://user:password@host:port/db`, `rediss://…` for TLS, `unix://user:password@/path?db=N`;
//! `host:port` alone will do too, though not in a configuration file. The rest is in [`ShardSettings`], per shard, or for
//! all of them by [`RingBuilder::each_shard`], which [`Ring::set_shards`] applies to its list as well, with the client's
//! name:
//!
//! ```
//! use rendis::{Ring, Secret, TlsSettings};
//!
//! # let ca = Vec::new();
//! let builder = Ring::builder()
//!     .shard("shard1", "rediss://redis1.example:6379")
//!     .shard("shard2", "rediss://redis2.example:6379")
//!     .client_name("billing")
//!     .each_shard(move |name, settings| {
//!         settings.username = Some(format!("billing-{name}"));
//!         settings.password = Some(Secret::new("secret"));
//!         settings.tls = Some(TlsSettings { ca: ca.clone(), ..TlsSettings::default() });
//!     });
//! # drop(builder);
//! ```
//!
//! Without certificates of your own those of the system are trusted. [`TlsSettings`] also has the client's certificate
//! and the name to expect. A [`Secret`] is not shown by `Debug`, and errors never repeat a password.
//!
//! # Tuning
//!
//! A setting of zero with which nothing would work (a deadline, an interval, connections, a queue) is a
//! [`Kind::Config`] error. Durations of more than a year mean for ever.
//!
//! The defaults suit servers on the same network. What to look at first, when they do not:
//!
//! | you see | change |
//! |---|---|
//! | `Timeout` of slow commands | [`RingBuilder::reply_timeout`] |
//! | `Timeout` "no free connection" | [`RingBuilder::pool_size`]: blocking commands and watched transactions hold one each |
//! | `Busy` | fewer calls at a time, or [`RingBuilder::queue_limits`] |
//! | a dead shard noticed too late, or a slow one too soon | [`RingBuilder::heartbeat_frequency`], [`RingBuilder::heartbeat_thresholds`] |
//! | large values hold small ones up | [`RingBuilder::wires`]: two or more connections a shard; the order of calls then holds on each only |
//!
//! Every call of a ring goes over one shared connection a shard, and calls made at the same time share one write. So
//! many tasks on one ring are served better than the same tasks on many rings. [`Ring::stats`] shows, a shard, how
//! many calls went out in how many writes.
//!
//! [`Error::kind`]: crate::Error::kind
//! [`Error::of`]: crate::Error::of
//! [`Error::sent`]: crate::Error::sent
//! [`Error::shard`]: crate::Error::shard
//! [`Kind::Busy`]: crate::Kind::Busy
//! [`Kind::Config`]: crate::Kind::Config
//! [`Kind::Conflict`]: crate::Kind::Conflict
//! [`Kind::ShardDown`]: crate::Kind::ShardDown
//! [`OnDown::Fail`]: crate::OnDown::Fail
//! [`OnDown::Miss`]: crate::OnDown::Miss
//! [`OnReturn::Flush`]: crate::OnReturn::Flush
//! [`OnReturn::Forget`]: crate::OnReturn::Forget
//! [`OnReturn::Keep`]: crate::OnReturn::Keep
//! [`Ring::events`]: crate::Ring::events
//! [`OnDown::Reroute`]: crate::OnDown::Reroute
//! [`Pool`]: crate::Pool
//! [`Ring`]: crate::Ring
//! [`Ring::for_each_shard`]: crate::Ring::for_each_shard
//! [`Ring::set_shards`]: crate::Ring::set_shards
//! [`Ring::shards`]: crate::Ring::shards
//! [`Ring::stats`]: crate::Ring::stats
//! [`Ring::watch`]: crate::Ring::watch
//! [`RingBuilder::allow`]: crate::RingBuilder::allow
//! [`RingBuilder::build`]: crate::RingBuilder::build
//! [`RingBuilder::each_shard`]: crate::RingBuilder::each_shard
//! [`RingBuilder::heartbeat_frequency`]: crate::RingBuilder::heartbeat_frequency
//! [`RingBuilder::heartbeat_thresholds`]: crate::RingBuilder::heartbeat_thresholds
//! [`RingBuilder::max_ejected`]: crate::RingBuilder::max_ejected
//! [`RingBuilder::pool_size`]: crate::RingBuilder::pool_size
//! [`RingBuilder::queue_limits`]: crate::RingBuilder::queue_limits
//! [`RingBuilder::repeat_idempotent_writes`]: crate::RingBuilder::repeat_idempotent_writes
//! [`RingBuilder::reply_timeout`]: crate::RingBuilder::reply_timeout
//! [`RingBuilder::wires`]: crate::RingBuilder::wires
//! [`Secret`]: crate::Secret
//! [`Shard`]: crate::Shard
//! [`ShardSettings`]: crate::ShardSettings
//! [`SubscriptionLimits`]: crate::SubscriptionLimits
//! [`TlsSettings`]: crate::TlsSettings

/// The code in README.md, so that it is compiled with the other examples.
#[cfg(all(doctest, feature = "blocking"))]
#[doc = include_str!("../../../README.md")]
struct Readme;
