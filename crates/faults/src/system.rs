//! What is tested: a `Ring` in this process, or `rendis serve` as a process of its own.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, Cmd, FromRedisValue, RedisResult};
use rendis::{Event, Ring};
use rendis_testkit::{Port, RedisServer};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::runtime::Handle;
use tokio::time::{Instant, sleep, timeout};

use crate::machine;

/// Which product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Product {
    Library,
    Proxy,
}

/// A product at work on three servers.
pub(crate) struct System {
    running: Running,
    changes: Arc<Changes>,
}

enum Running {
    Library { ring: Ring, tasks_before: usize },
    Proxy(Proxy),
}

struct Proxy {
    process: Child,
    port: Port,
    _directory: TempDir,
}

/// What the product said of its shards, and when.
#[derive(Default)]
pub(crate) struct Changes(Mutex<Vec<(Instant, usize, Change)>>);

/// A change of a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Out,
    Back,
}

/// One caller's way to the product.
pub(crate) enum Caller {
    Library(Ring),
    Proxy(MultiplexedConnection),
}

impl Caller {
    pub(crate) async fn query<T: FromRedisValue>(&mut self, cmd: &Cmd) -> RedisResult<T> {
        match self {
            Self::Library(ring) => cmd.query_async(ring).await,
            Self::Proxy(connection) => cmd.query_async(connection).await,
        }
    }
}

/// The name of the shard at this place.
pub(crate) fn name(shard: usize) -> String {
    format!("shard{}", shard + 1)
}

/// Which shard has a key, with the placement that both products have by default.
pub(crate) async fn homes(servers: &[RedisServer]) -> impl Fn(&str) -> usize {
    let ring = ring(servers).await;
    let names: Vec<String> = (0..servers.len()).map(name).collect();
    move |key: &str| {
        let shard = ring.shard_for(key).expect("all shards are up");
        names.iter().position(|name| name == shard.name()).expect("a shard of the ring")
    }
}

async fn ring(servers: &[RedisServer]) -> Ring {
    let shards = servers.iter().enumerate().map(|(at, server)| (name(at), server.url()));
    Ring::builder().shards(shards).build().await.expect("a ring")
}

impl System {
    pub(crate) async fn start(product: Product, servers: &[RedisServer]) -> Self {
        let changes = Arc::<Changes>::default();
        let running = match product {
            Product::Library => {
                let tasks_before = Handle::current().metrics().num_alive_tasks();
                let ring = ring(servers).await;
                let (mut events, heard) = (ring.events(), Arc::clone(&changes));
                tokio::spawn(async move {
                    while let Some(event) = events.next().await {
                        let change = match &event {
                            Event::Down { .. } | Event::Loading(_) => Some(Change::Out),
                            Event::Returned { .. } => Some(Change::Back),
                            _ => None,
                        };
                        if let (Some(change), Some(shard)) = (change, event.shard()) {
                            heard.add(&shard.name, change);
                        }
                    }
                });
                Running::Library { ring, tasks_before }
            }
            Product::Proxy => Running::Proxy(Proxy::start(servers, &changes).await),
        };
        Self { running, changes }
    }

    /// Connections for so many callers.
    pub(crate) async fn callers(&self, count: usize) -> Vec<Caller> {
        let mut callers = Vec::with_capacity(count);
        for _ in 0..count {
            callers.push(match &self.running {
                Running::Library { ring, .. } => Caller::Library(ring.clone()),
                Running::Proxy(proxy) => {
                    let client = Client::open(format!("redis://{}", proxy.port.address())).expect("a URL");
                    // The proxy answers in time, or it is a fault.
                    let config = AsyncConnectionConfig::new()
                        .set_response_timeout(None)
                        .set_connection_timeout(Some(Duration::from_secs(10)));
                    let connection = client.get_multiplexed_async_connection_with_config(&config).await;
                    Caller::Proxy(connection.expect("the proxy accepts"))
                }
            });
        }
        callers
    }

    pub(crate) fn changes(&self) -> &Changes {
        &self.changes
    }

    /// Memory in KiB and sockets of the process that has the connections to the shards.
    pub(crate) fn usage(&self) -> (u64, usize) {
        machine::of_process(match &self.running {
            Running::Library { .. } => std::process::id(),
            Running::Proxy(proxy) => proxy.process.id(),
        })
    }

    /// Tasks of this process, where the product is in it.
    pub(crate) fn tasks(&self) -> Option<usize> {
        matches!(self.running, Running::Library { .. }).then(|| Handle::current().metrics().num_alive_tasks())
    }

    /// Ends it. What is left over, in words.
    pub(crate) async fn end(self) -> Vec<String> {
        let mut left = Vec::new();
        match self.running {
            Running::Library { ring, tasks_before } => {
                let in_flight: usize = ring.stats().shards.iter().map(|shard| shard.in_flight).sum();
                if in_flight > 0 {
                    left.push(format!("{in_flight} requests in flight"));
                }
                drop(ring);
                let tasks = || Handle::current().metrics().num_alive_tasks();
                let ended = async {
                    while tasks() > tasks_before {
                        sleep(Duration::from_millis(5)).await;
                    }
                };
                if timeout(Duration::from_secs(5), ended).await.is_err() {
                    left.push(format!("{} tasks", tasks().saturating_sub(tasks_before)));
                }
            }
            Running::Proxy(mut proxy) => {
                kill_process(Pid::from_child(&proxy.process), Signal::TERM).expect("a child of ours");
                let status = tokio::task::spawn_blocking(move || proxy.process.wait()).await;
                let status = status.expect("waiting").expect("waiting for a child of ours");
                if !status.success() {
                    left.push(format!("the proxy ended with {status}"));
                }
            }
        }
        left
    }
}

impl Proxy {
    async fn start(servers: &[RedisServer], changes: &Arc<Changes>) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let port = Port::free();
        let mut text = format!("[[ring]]\nname = \"faults\"\nlisten = \"{}\"\n", port.address());
        for (at, server) in servers.iter().enumerate() {
            text += &format!("[[ring.shard]]\nname = \"{}\"\nurl = \"{}\"\n", name(at), server.url());
        }
        let file = directory.path().join("rendis.toml");
        fs::write(&file, text).expect("writing the configuration");
        let mut command = Command::new(program());
        command.args(["serve", "--config"]).arg(&file).env("NO_COLOR", "1");
        let mut process = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("rendis, built beside this program");
        let (log, heard) = (process.stderr.take().expect("its log"), Arc::clone(changes));
        thread::spawn(move || {
            for line in BufReader::new(log).lines().map_while(Result::ok) {
                heard.add_line(&line);
            }
        });
        let proxy = Self { process, port, _directory: directory };
        let answers = async {
            while TcpStream::connect(proxy.port.address()).is_err() {
                sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(Duration::from_secs(20), answers).await.expect("the proxy listens within 20 s");
        proxy
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// `rendis`, as it was built with this program.
fn program() -> PathBuf {
    std::env::current_exe().expect("the path of this program").with_file_name("rendis")
}

impl Changes {
    fn add(&self, shard: &str, change: Change) {
        let at = Instant::now();
        let number = shard.trim_start_matches("shard").parse::<usize>().expect("a shard's number");
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push((at, number - 1, change));
    }

    /// A line of the proxy's log.
    fn add_line(&self, line: &str) {
        let change = if line.contains("shard is down") || line.contains("shard is loading") {
            Change::Out
        } else if line.contains("shard is up") {
            Change::Back
        } else {
            return;
        };
        let shard = line.split("shard=\"").nth(1).and_then(|rest| rest.split('"').next());
        self.add(shard.unwrap_or_else(|| panic!("no shard in: {line}")), change);
    }

    /// When this first happened to a shard after this moment.
    pub(crate) fn first(&self, shard: usize, change: Change, after: Instant) -> Option<Instant> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = |one: &&(Instant, usize, Change)| one.0 >= after && one.1 == shard && one.2 == change;
        all.iter().find(fits).map(|one| one.0)
    }

    /// How often this happened to any shard but this one.
    pub(crate) fn elsewhere(&self, shard: usize, change: Change) -> usize {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter().filter(|one| one.1 != shard && one.2 == change).count()
    }

    /// Whether a shard is out now.
    pub(crate) fn is_out(&self, shard: usize) -> bool {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter().rev().find(|one| one.1 == shard).is_some_and(|one| one.2 == Change::Out)
    }

    /// Waits for a change after this moment, at most so long.
    pub(crate) async fn wait(
        &self,
        shard: usize,
        change: Change,
        after: Instant,
        most: Duration,
    ) -> Option<Instant> {
        let until = Instant::now() + most;
        loop {
            let found = self.first(shard, change, after);
            if found.is_some() || Instant::now() >= until {
                return found;
            }
            sleep(Duration::from_millis(5)).await;
        }
    }
}
