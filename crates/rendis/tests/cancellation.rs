//! Whatever a server does, and whenever a call is dropped: nothing of it is left.
//!
//! The product of all public async calls, of what a server may do (answer, refuse, answer slowly, never, hang up), and of
//! every moment at which the future can be dropped: after its first poll, its second, and so on until it completes. After
//! each, the next calls get their own replies, no request is in flight, the one exclusive connection that there may be can
//! be had, and with the last handle all tasks and connections are gone.
//!
//! The servers are real; what they do wrong is done by a relay between them and the ring.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::task::Poll;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use redis::{AsyncCommands, RedisResult};
use rendis::{Pool, Ring};
use rendis_testkit::{Cluster, RedisServer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};

/// What a server does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Server {
    Answers,
    Refuses,
    IsSlow,
    NeverAnswers,
    HangsUp,
}

const ALL: [Server; 5] =
    [Server::Answers, Server::Refuses, Server::IsSlow, Server::NeverAnswers, Server::HangsUp];

/// The keys that a call uses, one on each shard, and a third beside the first.
struct Keys {
    one: String,
    other: String,
    third: String,
}

type Outcome<'a> = Pin<Box<dyn Future<Output = RedisResult<()>> + 'a>>;
type Call = for<'a> fn(&'a Ring, &'a Keys) -> Outcome<'a>;

#[tokio::test]
async fn a_command_that_is_dropped_leaves_nothing() {
    ring_product(&[
        ("one shard", |ring, keys| {
            Box::pin(async move { ring.clone().get::<_, Option<String>>(&keys.one).await.map(drop) })
        }),
        ("split", |ring, keys| {
            let both = [&keys.one, &keys.other];
            Box::pin(async move { ring.clone().del::<_, i64>(&both).await.map(drop) })
        }),
        ("a scan", |ring, _| {
            Box::pin(async move {
                let scan = redis::cmd("SCAN").arg(0).to_owned();
                scan.query_async::<(String, Vec<String>)>(&mut ring.clone()).await.map(drop)
            })
        }),
        ("a command that has to be learned", |ring, keys| {
            Box::pin(async move {
                let known = redis::cmd("NO.SUCH").arg(&keys.one).exec_async(&mut ring.clone()).await;
                assert!(known.is_err());
                Ok(())
            })
        }),
        ("every shard", |ring, _| {
            Box::pin(
                async move { redis::cmd("DBSIZE").query_async::<i64>(&mut ring.clone()).await.map(drop) },
            )
        }),
        ("a script", |ring, keys| {
            Box::pin(async move {
                let script = redis::Script::new("return redis.call('GET', KEYS[1])");
                script.key(&keys.one).invoke_async::<Option<String>>(&mut ring.clone()).await.map(drop)
            })
        }),
    ])
    .await;
}

#[tokio::test]
async fn a_pipeline_that_is_dropped_leaves_nothing() {
    ring_product(&[
        ("a pipeline", |ring, keys| {
            let mut pipe = redis::pipe();
            pipe.get(&keys.one).get(&keys.other).incr(&keys.third, 1);
            Box::pin(async move { pipe.query_async::<()>(&mut ring.clone()).await })
        }),
        ("an atomic pipeline", |ring, keys| {
            let mut pipe = redis::pipe();
            pipe.atomic().incr(&keys.third, 1).get(&keys.one);
            Box::pin(async move { pipe.query_async::<()>(&mut ring.clone()).await })
        }),
    ])
    .await;
}

#[tokio::test]
async fn what_has_a_connection_to_itself_leaves_nothing_when_it_is_dropped() {
    ring_product(&[
        ("a watched transaction", |ring, keys| {
            Box::pin(async move {
                ring.watch(&keys.one, async |watched| {
                    watched.get::<_, Option<String>>(&keys.one).await?;
                    redis::pipe().atomic().incr(&keys.third, 1).query_async::<()>(watched).await
                })
                .await
            })
        }),
        ("a blocking pop", |ring, keys| {
            Box::pin(async move {
                let mut pop = redis::cmd("BLPOP");
                pop.arg(&keys.one).arg("0.02");
                pop.query_async::<Option<(String, String)>>(&mut ring.clone()).await.map(drop)
            })
        }),
    ])
    .await;
}

#[tokio::test]
async fn a_subscription_that_is_dropped_leaves_nothing() {
    ring_product(&[
        ("a channel", |ring, keys| {
            Box::pin(async move {
                let mut subscription = ring.subscribe(&[&keys.one, &keys.other]).await?;
                ring.clone().publish::<_, _, ()>(&keys.one, "x").await?;
                subscription.next().await.unwrap()?;
                Ok(())
            })
        }),
        ("a pattern", |ring, keys| {
            Box::pin(async move {
                let mut subscription = ring.psubscribe("*").await?;
                ring.clone().publish::<_, _, ()>(&keys.other, "x").await?;
                subscription.next().await.unwrap()?;
                Ok(())
            })
        }),
        ("a sharded channel", |ring, keys| {
            Box::pin(async move {
                let mut subscription = ring.ssubscribe(&keys.one).await?;
                redis::cmd("SPUBLISH").arg(&keys.one).arg("x").exec_async(&mut ring.clone()).await?;
                subscription.next().await.unwrap()?;
                Ok(())
            })
        }),
        ("more channels", |ring, keys| {
            Box::pin(async move {
                let subscription = ring.subscribe(&keys.one).await?;
                subscription.subscribe(&keys.other).await?;
                subscription.psubscribe("*").await?;
                Ok(subscription.ssubscribe(&keys.third).await?)
            })
        }),
    ])
    .await;
}

#[tokio::test]
async fn the_other_calls_leave_nothing_when_they_are_dropped() {
    ring_product(&[
        ("for each shard", |ring, _| {
            Box::pin(async move { ring.for_each_shard(async |shard| shard.ping().await).await })
        }),
        ("a ping", |ring, keys| {
            Box::pin(async move {
                let shard = ring.shard_for(&keys.one)?;
                shard.ping().await
            })
        }),
        ("building", |ring, _| {
            Box::pin(async move {
                let shards = ring.shards();
                let urls = shards.iter().map(|shard| (shard.name(), format!("redis://{}", shard.address())));
                Ok(Ring::builder().shards(urls).connect_timeout(REPLY).build().await.map(drop)?)
            })
        }),
        ("a shard's own command", |ring, keys| {
            Box::pin(async move {
                let mut shard = ring.shard_for(&keys.one)?;
                redis::cmd("GET").arg(&keys.one).query_async::<Option<String>>(&mut shard).await.map(drop)
            })
        }),
        ("a deadline of its own", |ring, keys| {
            Box::pin(async move {
                let mut hurried = ring.with_deadline(Duration::from_millis(10));
                hurried.get::<_, Option<String>>(&keys.one).await.map(drop)
            })
        }),
        ("an event", |ring, _| {
            Box::pin(async move {
                ring.events().next().await;
                Ok(())
            })
        }),
    ])
    .await;
}

#[tokio::test]
async fn every_use_of_a_pool_leaves_nothing_when_it_is_dropped() {
    let server = RedisServer::start();
    server.command(&["SET", "text", "text"]);
    server.command(&["RPUSH", "list", "x"]);
    for by_hand in [false, true] {
        for does in ALL {
            let tasks = alive();
            let relay = Relay::start(server.address());
            let pool = Pool::builder([relay.url()])
                .max_connections_per_instance(1)
                .read_timeout(REPLY)
                .build()
                .unwrap();
            let key = if does == Server::Refuses { "list" } else { "text" };
            let mut polls = 0;
            loop {
                let case = format!("{does:?}, by hand: {by_hand}, dropped at poll {polls}");
                relay.does(does);
                let call = async {
                    if by_hand {
                        let work = async |conn: &mut rendis::Connection| {
                            conn.send(redis::cmd("GET").arg(key)).await?;
                            conn.send(&redis::cmd("PING")).await?;
                            conn.flush().await?;
                            conn.receive::<String>().await?;
                            conn.receive::<String>().await
                        };
                        pool.with_index(0, work).await.map(drop)
                    } else {
                        pool.with(key, async |conn| conn.get::<_, String>(key).await).await.map(drop)
                    }
                };
                let ended = dropped_after(polls, call).await;
                relay.does(Server::Answers);
                eventually(&case, async || {
                    let reply = pool.with("text", async |conn| conn.get::<_, String>("text").await).await;
                    reply.is_ok_and(|reply| reply == "text")
                })
                .await;
                let stats = pool.stats()[0];
                assert_eq!((stats.total, stats.idle), (1, 1), "{case}");
                eventually(&case, async || relay.open() == 1).await;
                if ended {
                    break;
                }
                polls += 1;
            }
            assert!(polls > 0, "{does:?}: it never waited");
            drop(pool);
            eventually("the end of connections and tasks", async || relay.open() == 0 && alive() == tasks)
                .await;
        }
    }
}

/// Every call with every server, dropped at every moment.
async fn ring_product(calls: &[(&str, Call)]) {
    let servers = Cluster::start(2);
    let tasks = alive();
    for (name, call) in calls {
        for does in ALL {
            let relays: Vec<_> = servers.iter().map(|server| Relay::start(server.address())).collect();
            let names = ["shard1", "shard2"];
            let ring = Ring::builder()
                .shards(names.iter().zip(&relays).map(|(name, relay)| (*name, relay.url())))
                .reply_timeout(REPLY)
                .pool_size(1)
                .heartbeat_frequency(Duration::from_millis(20))
                .heartbeat_timeout(REPLY)
                .heartbeat_thresholds(1000, 1)
                .max_ejected(0)
                .build()
                .await
                .unwrap();
            let on = |shard: &str, prefix: &str| {
                let mut keys = (0..).map(|number| format!("{prefix}{number}"));
                keys.find(|key| ring.shard_for(key).unwrap().name() == shard).unwrap()
            };
            let one = on("shard1", "one");
            let keys = Keys { third: format!("{{{one}}}third"), one, other: on("shard2", "other") };
            let mut polls = 0;
            loop {
                let case = format!("{name}, {does:?}, dropped at poll {polls}");
                // Nothing is what the call wants it to be where the server is to refuse.
                let refused = does == Server::Refuses;
                for (server, keys) in servers.iter().zip([vec![&keys.one, &keys.third], vec![&keys.other]]) {
                    for key in keys {
                        server.command(&["DEL", key]);
                        if refused {
                            server.command(&["HSET", key, "field", "value"]);
                        }
                    }
                }
                relays.iter().for_each(|relay| relay.does(does));
                let ended = dropped_after(polls, call(&ring, &keys)).await;
                relays.iter().for_each(|relay| relay.does(Server::Answers));
                assert_whole(&ring, &case).await;
                if ended {
                    break;
                }
                polls += 1;
                assert!(polls < 1000, "{case}");
            }
            assert!(polls > 0, "{name}, {does:?}: it never waited");
            drop(ring);
            eventually(&format!("{name}, {does:?}: the end of all tasks"), async || alive() == tasks).await;
            eventually(&format!("{name}, {does:?}: the end of all connections"), async || {
                relays.iter().all(|relay| relay.open() == 0)
            })
            .await;
        }
    }
}

/// Nothing is left of a call that was dropped: see the file.
async fn assert_whole(ring: &Ring, case: &str) {
    for number in 0..4 {
        let (key, value) = (format!("own{number}"), format!("{case}, {number}"));
        eventually(case, async || ring.clone().set::<_, _, ()>(&key, &value).await.is_ok()).await;
        eventually(case, async || match ring.clone().get::<_, String>(&key).await {
            Ok(reply) => {
                assert_eq!(reply, value, "{case}: another call's reply");
                true
            }
            Err(_) => false,
        })
        .await;
        eventually(case, async || {
            let watched = ring.watch(&key, async |watched| watched.get::<_, String>(&key).await).await;
            watched.is_ok_and(|reply| reply == value)
        })
        .await;
    }
    eventually(case, async || {
        let stats = ring.stats();
        let pool = stats.pool();
        stats.shards.iter().all(|shard| shard.in_flight == 0) && pool.idle == pool.total
    })
    .await;
}

/// Polls `future` at most `polls` times more after the first and then drops it. True when it came to its end first, or to
/// where only time goes on.
async fn dropped_after<T>(polls: usize, future: impl Future<Output = T>) -> bool {
    let mut future = Box::pin(future);
    let mut left = polls;
    let counted = poll_fn(|context| match future.as_mut().poll(context) {
        Poll::Ready(_) => Poll::Ready(true),
        Poll::Pending if left == 0 => Poll::Ready(false),
        Poll::Pending => {
            left -= 1;
            Poll::Pending
        }
    });
    timeout(REPLY * 8, counted).await.unwrap_or(true)
}

async fn eventually(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let started = Instant::now();
    while !condition().await {
        assert!(started.elapsed() < Duration::from_secs(10), "not within 10 s: {what}");
        sleep(Duration::from_millis(2)).await;
    }
}

fn alive() -> usize {
    tokio::runtime::Handle::current().metrics().num_alive_tasks()
}

const REPLY: Duration = Duration::from_millis(50);

/// Stands before a server and does what servers should not. It has a thread and a runtime of its own, so that its tasks
/// are not counted.
struct Relay {
    address: SocketAddr,
    does: Arc<AtomicU8>,
    open: Arc<AtomicUsize>,
    thread: Option<JoinHandle<()>>,
    end: Option<tokio::sync::oneshot::Sender<()>>,
}

impl Relay {
    fn start(server: SocketAddr) -> Self {
        let (does, open) = (Arc::<AtomicU8>::default(), Arc::<AtomicUsize>::default());
        let (end, ended) = tokio::sync::oneshot::channel();
        let (bound, address) = mpsc::sync_channel(1);
        let (as_told, counted) = (Arc::clone(&does), Arc::clone(&open));
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
                bound.send(listener.local_addr().unwrap()).unwrap();
                let accepting = async {
                    loop {
                        let (client, _) = listener.accept().await.unwrap();
                        let (does, open) = (Arc::clone(&as_told), Arc::clone(&counted));
                        tokio::spawn(async move {
                            open.fetch_add(1, Ordering::SeqCst);
                            relay(client, server, &does).await;
                            open.fetch_sub(1, Ordering::SeqCst);
                        });
                    }
                };
                tokio::select! {
                    () = accepting => {}
                    _ = ended => {}
                }
            });
        });
        Self { address: address.recv().unwrap(), does, open, thread: Some(thread), end: Some(end) }
    }

    fn url(&self) -> String {
        format!("redis://{}", self.address)
    }

    fn does(&self, what: Server) {
        let number = ALL.iter().position(|one| *one == what).unwrap();
        self.does.store(u8::try_from(number).unwrap(), Ordering::SeqCst);
    }

    /// Connections that are open.
    fn open(&self) -> usize {
        self.open.load(Ordering::SeqCst)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        drop(self.end.take());
        self.thread.take().unwrap().join().unwrap();
    }
}

/// One connection, until either side closes it.
async fn relay(client: TcpStream, server: SocketAddr, does: &AtomicU8) {
    let server = TcpStream::connect(server).await.unwrap();
    client.set_nodelay(true).unwrap();
    server.set_nodelay(true).unwrap();
    let ((mut from_client, mut to_client), (mut from_server, mut to_server)) =
        (client.into_split(), server.into_split());
    let requests = async { drop(tokio::io::copy(&mut from_client, &mut to_server).await) };
    let replies = async {
        let mut buffer = vec![0; 16 << 10];
        while let Ok(count @ 1..) = from_server.read(&mut buffer).await {
            match ALL[usize::from(does.load(Ordering::SeqCst))] {
                Server::Answers | Server::Refuses => {
                    to_client.write_all(&buffer[..count]).await.unwrap_or(())
                }
                Server::IsSlow => {
                    for piece in buffer[..count].chunks(count.div_ceil(3)) {
                        sleep(Duration::from_millis(1)).await;
                        to_client.write_all(piece).await.unwrap_or(());
                    }
                }
                Server::NeverAnswers => std::future::pending().await,
                Server::HangsUp => return,
            }
        }
    };
    tokio::select! {
        () = requests => {}
        () = replies => {}
    }
}
