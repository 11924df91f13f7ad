//! The guide: how to use this crate, from the first ring to tuning. This module has no code.
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
//! - [While it runs](#while-it-runs)
//! - [Defaults](#defaults)
//! - [Tuning](#tuning)
//!
//! # Start
//!
//! A [`Ring`] is built once and cloned for every user. Clones share connections; a clone costs one reference count.
//! The `redis` crate's commands work on it, so the `redis` crate is a dependency of your program too.
//!
//! ```no_run
//! use rendis::{Commands, Ring};
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let ring = Ring::builder()
//!         .shard("shard1", "redis://localhost:7001")
//!         .shard("shard2", "redis://localhost:7002")
//!         .build()
//!         .await?;
//!     ring.set::<_, _, ()>("user:7", "Ada").await?;
//!     let name: String = ring.get("user:7").await?;
//!     println!("{name}, on {}", ring.shard_for("user:7")?.name());
//!     Ok(())
//! }
//! ```
//!
//! [`RingBuilder::build`] fails only for settings that cannot be used. It waits until every shard was tried once, and a
//! server that cannot be reached then is no error: its keys go to other shards, or calls for them say what is wrong.
//! The log says it too. To see the log, add the crate `tracing-subscriber` and begin your program with
//! `tracing_subscriber::fmt().init()`.
//!
//! [`Commands`](crate::Commands) has the commands of caches, rate limiters and session stores, with the names, arguments
//! and results of `redis::AsyncCommands`, at a third of the allocations (two for a `GET`, not six), and on a ring that need
//! not be `mut`. So a ring in an `Arc` or behind a reference will do:
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
//! All other commands are those of `redis::AsyncCommands` and `redis::cmd`, which need `&mut` on a ring; a clone will do. If
//! both traits are in scope, the methods of [`Commands`](crate::Commands) are taken where there are such.
//!
//! ```no_run
//! # async fn example(ring: rendis::Ring) -> redis::RedisResult<()> {
//! let served: i64 = redis::cmd("HINCRBY").arg("served").arg("Ada").arg(1).query_async(&mut ring.clone()).await?;
//! # Ok(()) }
//! ```
//!
//! # Placement, and moving from another sharder
//!
//! Which shard holds a key is a function of the key, the list of shards, and the placement rule. The default rule is
//! that of go-redis `Ring` v8 and v9: rendezvous hashing of the shards' *names*. A name that stays while the address
//! changes moves no key.
//!
//! Other rules reproduce other programs, key by key: see [`Spec`](crate::placement::Spec) for all of them. A program that
//! already keeps its keys on several servers can be replaced by this crate, or run beside it, and both find the same
//! keys. What has to be the same on both sides is what that program hashes for a server:
//!
//! | `like` | constructor | hashed for a shard without an `id` | weights |
//! |---|---|---|---|
//! | `go-redis` | [`go_redis`](crate::placement::Spec::go_redis) | its name | 1 and more |
//! | `go-redis-v7` | [`go_redis_v7`](crate::placement::Spec::go_redis_v7) | its name | no |
//! | `roshi` | [`roshi`](crate::placement::Spec::roshi) | nothing: its position | no |
//! | `twemproxy` | [`twemproxy`](crate::placement::Spec::twemproxy) | its name | 1 and more |
//! | `redis-rb`, `redis-rb-4` | [`redis_rb`](crate::placement::Spec::redis_rb) | its URL, in the form of that client | no |
//! | `predis`, `predis-ketama` | [`predis`](crate::placement::Spec::predis) | `host:port` | default 100; 0 is the default too |
//! | `phpredis` | [`phpredis`](crate::placement::Spec::phpredis) | its position; `host:port` with `consistent` | no |
//! | `jedis`, `jedis-2.9` | [`jedis`](crate::placement::Spec::jedis) | its position; its name if `named` | 0 and more |
//! | `envoy-ring-hash` | [`envoy_ring_hash`](crate::placement::Spec::envoy_ring_hash) | `host:port` | 1 and more |
//! | `envoy-maglev` | [`envoy_maglev`](crate::placement::Spec::envoy_maglev) | `host:port` | 1 and more |
//! | `jump` | [`jump`](crate::placement::Spec::jump) | nothing: its position | no |
//!
//! If the position counts, so does the order of the list. If `host:port` or the URL counts, write the addresses as the
//! other program has them, or give each shard its `id`:
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
//! Before you move a program, compare both on a sample of your own keys. Two things outside the rule can differ:
//! a prefix that the other client puts before each key, and key arguments that it turns into text first.
//!
//! What cannot be reproduced is refused when the ring is built, with the reason: a weight where the rule has none, two
//! shards that hash alike.
//!
//! A rule of your own is a [`Place`](crate::placement::Place). All that it needs is in [`placement`](crate::placement):
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
//! Under most rules only the tag counts if a key has one: of `{user:7}:name` and `{user:7}:cart` it is `user:7`, so both
//! are on one shard. That is what makes commands on several keys, transactions and scripts possible. What counts as a
//! tag differs, and each preset does as its program:
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
//! | `RANDOMKEY` | a random shard, or another one if that is empty |
//! | `PUBLISH`, `SPUBLISH`; scripts and functions without keys | the shard of the channel; of the script's SHA-1 or the function's name |
//! | `PING`, `ECHO`, `SELECT 0`, `READONLY`, `READWRITE` | answered here; `PING` asks every shard that is up |
//! | `TIME`, `COMMAND …`, `CONFIG GET`, `FUNCTION LIST` | the first shard that is up |
//! | `SUBSCRIBE`, `MULTI`, `WATCH` as plain commands | refused: see [pub/sub](#pubsub) and [transactions](#transactions-and-watch) |
//! | `INFO`, `ROLE`, `CLUSTER …` | refused: they are about one server, so send them to a [`Shard`], or with [`Ring::for_each_shard`] |
//! | `CLIENT …`, `SELECT 1`, `WAIT`, `MONITOR` | refused: they are about one connection |
//! | `SAVE`, `SHUTDOWN`, `CONFIG REWRITE`, `MOVE` … | refused, unless [`RingBuilder::allow`] lets them through |
//! | a command that is not known here (of a module) | its keys are learned from a server (`COMMAND INFO`), once; without keys mostly refused |
//!
//! A split command is not atomic: if one part fails the whole command fails, with the error of that part, and what the
//! other parts did stands.
//!
//! A scan's cursor has the number of its shard in it: if the list of shards is changed or reordered while a scan runs,
//! the scan may miss keys or give them twice.
//!
//! A command about one server is sent to that server, through its [`Shard`]. A shard refuses only what would change the
//! connection that everybody shares (`SELECT`, `MULTI`, `SUBSCRIBE`, `MONITOR`, `CLIENT REPLY` …). A command that blocks
//! runs on an exclusive connection.
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
//! Typed commands return [`redis::RedisError`]. If a call got no reply, [`Error::of`] finds this crate's error in it,
//! which says what was met ([`Error::kind`]), where ([`Error::shard`]), and whether the command may have run
//! ([`Error::sent`]). An error reply of a server, and `CROSSSLOT`, are what the `redis` crate makes of such a reply.
//!
//! `Sent::No` means that no server can have run it. A batch (a transaction, or a shard's part of a pipeline) is
//! `Sent::Maybe` as soon as any byte of it was written. A split command is `Sent::Maybe` if another part of it ran or may
//! have run. After `Sent::Maybe`, repeat only what may run twice.
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
//! The `redis` crate's own questions, such as `is_timeout()` and `retry_method()`, are answered as for a single server.
//! `retry_method()` says that there is no use in trying again at once for `Busy`, `Refused`, `Auth`, `Tls` and `Config`.
//! It does not know whether a command may have run: [`Error::sent`] does.
//!
//! Before such an error reaches you, the call was retried if that is safe:
//!
//! | what happened | retried |
//! |---|---|
//! | never written (no connection, or the connection broke before) | any command; placed anew, since the ring may have changed |
//! | written, no reply (`Sent::Maybe`) | reads; idempotent writes after [`RingBuilder::repeat_idempotent_writes`] |
//! | answered `LOADING` or `TRYAGAIN` | any command except scripts, functions and those of modules, which may have run and answered so themselves; in a pipeline only while nothing that it could see has run behind it |
//! | `Busy`, `Auth`, `Tls`, `Config`, any other error reply | never |
//!
//! By default there are up to three attempts, one more for a call that began in a pipeline, and one more where its shard is
//! taken out. The pause before the second is random, up to 10 ms; before the third,
//! up to 20 ms. All attempts share one reply deadline, and an attempt that ended at its deadline is not retried: a read
//! from a server that hangs costs one reply deadline, not three. All retries of a ring together are limited to 20 % of its
//! calls plus ten per second.
//!
//! ## When a shard dies
//!
//! Each shard is probed every 500 ms. It is down after three failed probes in a row, or after five failed connections in a
//! row while calls wait, which takes about 0.1 s if the server is dead.
//!
//! With [`OnDown::Reroute`], the default, it then leaves the ring and its keys go to the other shards. With
//! [`OnDown::Fail`] calls for its keys fail at once with [`Kind::ShardDown`]; with [`OnDown::Miss`] reads answer as if its
//! keys did not exist. At most half of the shards are taken out ([`RingBuilder::max_ejected`]), and the keys of further
//! dead ones fail. A call that was not written yet waits, within its deadline, until its shard is taken out, and then goes
//! where its key goes.
//!
//! A shard whose password is wrong counts as dead: [`RingBuilder::build`] succeeds, three probes fail, and its keys go
//! elsewhere. What happens to shards is logged (`tracing`) and told by [`Ring::events`]; [`Ring::shards`] shows which are
//! up.
//!
//! Two good probes in a row bring a shard back. With [`OnReturn::Forget`], the default, it first deletes the keys that
//! were written or deleted elsewhere through this process while it was away, so that no reader sees a value that was
//! overwritten. These keys miss, as after an eviction. What this process does not know is not deleted: writes of other
//! processes, those before a restart, and those through a [`Shard`](crate::Shard) or a script that hides its keys. With
//! [`OnReturn::Keep`] the shard serves what it holds, old values included; with [`OnReturn::Flush`] it forgets everything.
//!
//! # Pipelines
//!
//! A plain pipeline may use keys of any shards. Each shard gets its part in one write, the parts run side by side, and
//! replies come in the order written. For one key things happen in the order written; between shards there is no
//! order. A command of a pipeline is retried only if it still comes in its turn: it never sees what was written behind it.
//!
//! The first error is the result, unless the pipeline says `ignore_errors`. An error of this crate stands in its place as
//! an error reply, with a code such as `SHARDDOWN`, `TIMEOUT` or `REFUSED`.
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
//! An atomic pipeline is `MULTI` … `EXEC` on one shard: all its keys must be there, so give them one hash tag. Otherwise
//! it is refused with `CROSSSLOT` and nothing is sent.
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
//! [`Ring::watch`] is the optimistic form: read, decide, and write only if nothing watched has changed; otherwise again, up
//! to 16 times in all, and then [`Kind::Conflict`].
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
//! A watched transaction has a connection to itself, one of the [`RingBuilder::pool_size`] of its shard. Scripts and
//! commands that block run on it too.
//!
//! # Pub/sub
//!
//! A channel lives on the shard of its name, where `PUBLISH` sends it. A pattern is listened to on every shard that is up,
//! and so is a channel that begins with `__keyspace@` or `__keyevent@`: each server tells of its own keys (if it is set to:
//! `CONFIG SET notify-keyspace-events KEA`). All subscriptions of a ring share one connection per shard. When shards come
//! and go, subscriptions move by themselves.
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
//! As on one server, a message is delivered at most once. What is published while a connection is broken is lost, and so is
//! what is published on a channel that moves to another shard, by this process too, until that shard has confirmed the
//! subscription. A listener that falls behind its [`SubscriptionLimits`] ends with [`Kind::Busy`]; the others do not
//! notice.
//!
//! # Scripts
//!
//! `redis::Script`, `EVAL` and `EVALSHA` work if the keys are on one shard. A script without keys always runs on the
//! same shard, as long as the same shards are up.
//!
//! Scripts that were seen are remembered (up to 16 MiB), so a shard that answers `NOSCRIPT` is given the script and asked
//! again. In a pipeline that is not so if a later request has already run on that shard: then the caller sees `NOSCRIPT`.
//! A transaction brings its scripts along.
//!
//! Functions are loaded on the shards that are up. A shard that returns is given those of another shard before it serves:
//! exactly those if functions were changed through this ring meanwhile, so that what was deleted stays deleted; otherwise
//! those beside its own. A shard that [`Ring::set_shards`] adds is given scripts and functions as soon as it is connected,
//! beside its first calls, which may still miss them. A shard that refuses them is logged.
//!
//! # Pool
//!
//! [`Pool`] is a fixed list of instances without health checks: a key is on instance `hash(key) % n`, and a dead
//! instance fails its own keys. A call has a connection to itself, so anything can be done with it, by the `redis`
//! crate's commands or by hand: send any number of commands, flush, and receive one reply for each.
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
//! A connection goes back to the pool if the closure returned `Ok` and left it as new. Otherwise it is closed.
//!
//! # Without async
//!
//! With the feature `blocking`, `rendis::blocking` has the same handles with methods that wait, and `redis::Commands`
//! works on them. Each handle that is built has one thread of its own for its sockets. There is no `watch`,
//! `subscribe`, `events` and `with_deadline`: use the async [`Ring`] for them, or `redis::transaction` on a connection of a
//! `blocking::Pool`.
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
//! A URL says most of it: `redis://[user:password@]host[:port][/db]`, `rediss://…` for TLS,
//! `unix://[user:password@]/path[?db=N]`. In a user or password, `/ ? # %` and blanks are written `%2F %3F %23 %25 %20`.
//! `host:port` alone will do too, except in a configuration file. The rest is in
//! [`ShardSettings`], per shard, or for all of them by [`RingBuilder::each_shard`]. It also holds for the shards that
//! [`Ring::set_shards`] adds, and so does the client's name:
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
//! Without certificates of your own, those of the system are trusted. [`TlsSettings`] also has the client's certificate
//! and the name to expect. A [`Secret`] is not shown by `Debug`, and errors never repeat a password.
//!
//! # While it runs
//!
//! | method | |
//! |---|---|
//! | [`Ring::set_shards`] | changes the list of shards; what stays keeps its connections. No data moves: see the repository's docs/operating.md |
//! | [`Ring::shard_for`], [`Ring::for_each_shard`], [`Ring::shards`] | single servers |
//! | [`Ring::events`] | what happens to shards: down, back, slow, and changes of the list |
//! | [`Ring::with_deadline`] | the same ring with another reply deadline, for callers in a hurry |
//! | [`Ring::stats`] | connections, calls and writes |
//! | [`RingBuilder::heartbeat`] | an async closure that decides whether a shard is well |
//! | [`RingBuilder::on_new_shard`] | is called with each shard that comes into use; it cannot change the ring itself |
//!
//! # Defaults
//!
//! | setting | [`Ring`] | [`Pool`] |
//! |---|---|---|
//! | placement | `go-redis` | `roshi`, `murmur3` |
//! | connecting, with TLS and handshake | 1 s | 1 s |
//! | waiting for a reply, all attempts together | 1 s | 1 s |
//! | a socket takes no bytes | 1 s | 1 s |
//! | waiting for an exclusive connection | 1 s | 1 s |
//! | shared connections per shard | 1 | none |
//! | exclusive connections per shard, at most | 16 | 10 |
//! | what may wait on a shared connection | 16 384 requests, 64 MiB | |
//! | attempts | 3 | 1 |
//! | pause before a retry, at most | 10 ms before the first, then twice as long each time, up to 1 s | |
//! | probes: interval, deadline | 500 ms, 1 s | none |
//! | down after, up after | 3 failed probes, 2 good ones | |
//! | longest interval between probes of a dead shard | 1.5 s | |
//! | shards taken out at once | half, at least one | none |
//! | a shard that returns | forgets what was written elsewhere, up to 64 MiB of keys | |
//! | a shard that is slow | stays | |
//! | a subscription's queue | 16 384 messages, 64 MiB | |
//! | protocol | RESP3, or RESP2 if the server has no RESP3 | the same |
//!
//! A setting of zero with which nothing would work (a deadline, an interval, connections, a queue) is a
//! [`Kind::Config`] error. Durations of more than a year mean for ever. For the proxy, `rendis.example.toml` shows every
//! default.
//!
//! # Tuning
//!
//! The defaults suit servers on the same network. What to look at first if they do not:
//!
//! | you see | change |
//! |---|---|
//! | `Timeout` of slow commands | [`RingBuilder::reply_timeout`] |
//! | `Timeout` "no free connection" | [`RingBuilder::pool_size`]: blocking commands and watched transactions hold one each |
//! | `Busy` | fewer calls at a time, or [`RingBuilder::queue_limits`]; where it says that no connection can be opened, the limit of open files |
//! | a dead shard noticed too late, or a slow one too soon | [`RingBuilder::heartbeat_frequency`], [`RingBuilder::heartbeat_thresholds`] |
//! | large values hold small ones up | [`RingBuilder::wires`]: two or more connections per shard; calls are then ordered on each only |
//! | one shard far slower than the others | [`RingBuilder::slow_ejection`] |
//!
//! Every call of a ring goes over one shared connection per shard, and calls made at the same time share one write. So
//! many tasks on one ring are served better than the same tasks on many rings. [`Ring::stats`] shows, per shard, how many
//! calls went out in how many writes.
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
//! [`Ring::shard_for`]: crate::Ring::shard_for
//! [`Ring::with_deadline`]: crate::Ring::with_deadline
//! [`RingBuilder::heartbeat`]: crate::RingBuilder::heartbeat
//! [`RingBuilder::on_new_shard`]: crate::RingBuilder::on_new_shard
//! [`RingBuilder::slow_ejection`]: crate::RingBuilder::slow_ejection
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

/// The same for docs/coming-from.md.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/coming-from.md")]
struct ComingFrom;

/// The same for docs/placement.md.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/placement.md")]
struct Placement;
