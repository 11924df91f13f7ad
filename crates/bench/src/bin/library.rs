//! `rendis::Ring` beside redis-rs's multiplexed connections, hashed by hand: the same work, the same servers, the same
//! runtime, in alternating rounds of one process.
//!
//! Three local servers, values of 64 bytes, half GET and half SET through the typed API, in a closed loop. Each figure
//! is the median of its rounds, with the least and the greatest. CPU is this process's own.

use std::time::{Duration, Instant};

use clap::Parser;
use redis::AsyncCommands;
use redis::aio::MultiplexedConnection;
use rendis::Ring;
use rendis_bench::{Figures, Table, cpu_seconds, machine, resident_kib};
use rendis_testkit::Cluster;
use tokio::runtime::{Builder, Runtime};
use xxhash_rust::xxh64::xxh64;

/// Ring beside redis-rs, in alternating rounds.
#[derive(Parser)]
struct Arguments {
    /// Seconds for each system in each round.
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,
    /// Rounds.
    #[arg(long, default_value_t = 9)]
    rounds: usize,
    /// Numbers of tasks.
    #[arg(long, value_delimiter = ',', default_value = "1,64,512")]
    tasks: Vec<usize>,
    /// Numbers of threads; 1 is a single-threaded runtime.
    #[arg(long, value_delimiter = ',', default_value = "1,2")]
    threads: Vec<usize>,
    /// Measure memory and batches too.
    #[arg(long)]
    more: bool,
    /// Run one system only (for a profiler).
    #[arg(long)]
    only: Option<String>,
}

const SHARDS: usize = 3;
const KEYS: u32 = 100_000;

fn main() {
    let arguments = Arguments::parse();
    let cluster = Cluster::start(SHARDS);
    let urls = cluster.urls();
    println!("{}; {} rounds of {} s\n", machine(), arguments.rounds, arguments.seconds);
    let mut table = Table::new(&[
        "threads",
        "tasks",
        "redis-rs ops/s",
        "rendis ops/s",
        "ratio",
        "redis-rs CPU µs/op",
        "rendis CPU µs/op",
        "ratio",
    ]);
    for threads in &arguments.threads {
        let runtime = runtime(*threads);
        let (ring, plain) = runtime.block_on(connect(&urls));
        for tasks in &arguments.tasks {
            let pair = compare(&arguments, &runtime, *tasks, &ring, &plain);
            table.row(pair.row(*threads, *tasks));
        }
    }
    println!("{table}");
    if arguments.more {
        more(&urls);
    }
}

fn runtime(threads: usize) -> Runtime {
    let builder = match threads {
        1 => Builder::new_current_thread().enable_all().build(),
        _ => Builder::new_multi_thread().worker_threads(threads).enable_all().build(),
    };
    builder.expect("a runtime")
}

async fn connect(urls: &[String]) -> (Ring, Vec<MultiplexedConnection>) {
    let shards = urls.iter().enumerate().map(|(at, url)| (format!("shard{}", at + 1), url));
    let ring = Ring::builder().shards(shards).build().await.expect("a ring");
    let mut plain = Vec::new();
    for url in urls {
        let client = redis::Client::open(url.as_str()).expect("a client");
        plain.push(client.get_multiplexed_async_connection().await.expect("a connection"));
    }
    (ring, plain)
}

/// The rounds of both systems.
#[derive(Default)]
struct Pair {
    plain: Series,
    ring: Series,
    rate: Figures,
    cost: Figures,
}

#[derive(Default)]
struct Series {
    rate: Figures,
    cost: Figures,
}

impl Pair {
    fn row(&self, threads: usize, tasks: usize) -> Vec<String> {
        let rate = |figures: &Figures| format!("{:.0} k", figures.median() / 1e3);
        let cost = |figures: &Figures| format!("{:.2}", figures.median());
        let ratio = |figures: &Figures| {
            let (least, most) = figures.spread();
            format!("**{:.2}** ({least:.2}–{most:.2})", figures.median())
        };
        vec![
            threads.to_string(),
            tasks.to_string(),
            rate(&self.plain.rate),
            rate(&self.ring.rate),
            ratio(&self.rate),
            cost(&self.plain.cost),
            cost(&self.ring.cost),
            ratio(&self.cost),
        ]
    }
}

fn compare(
    arguments: &Arguments,
    runtime: &Runtime,
    tasks: usize,
    ring: &Ring,
    plain: &[MultiplexedConnection],
) -> Pair {
    let length = Duration::from_secs_f64(arguments.seconds);
    let wanted = |name| arguments.only.as_deref().is_none_or(|only| only == name);
    let mut pair = Pair::default();
    // One round more than counted: the first warms connections, caches and allocator.
    for round in 0..=arguments.rounds {
        let theirs =
            wanted("redis-rs").then(|| runtime.block_on(measure(tasks, length, plain.to_vec(), plain_step)));
        let ours =
            wanted("rendis").then(|| runtime.block_on(measure(tasks, length, ring.clone(), ring_step)));
        let (Some(theirs), Some(ours)) = (theirs.or(ours), ours.or(theirs)) else { continue };
        if round > 0 {
            pair.plain.rate.add(theirs.0);
            pair.plain.cost.add(theirs.1);
            pair.ring.rate.add(ours.0);
            pair.ring.cost.add(ours.1);
            pair.rate.add(ours.0 / theirs.0);
            pair.cost.add(ours.1 / theirs.1);
        }
    }
    pair
}

/// Operations a second, and CPU microseconds an operation.
async fn measure<C, F>(tasks: usize, length: Duration, connection: C, step: F) -> (f64, f64)
where
    C: Clone + Send + 'static,
    F: AsyncStep<C>,
{
    let (started, cpu) = (Instant::now(), cpu_seconds());
    let until = started + length;
    let running: Vec<_> =
        (0..tasks).map(|task| tokio::spawn(step.run(connection.clone(), task as u64, until))).collect();
    let mut total = 0;
    for task in running {
        total += task.await.expect("no task fails");
    }
    let (elapsed, spent) = (started.elapsed().as_secs_f64(), cpu_seconds() - cpu);
    (total as f64 / elapsed, spent * 1e6 / total as f64)
}

/// One task's loop.
trait AsyncStep<C>: Copy {
    fn run(self, connection: C, seed: u64, until: Instant) -> impl Future<Output = u64> + Send + 'static;
}

impl<C, F, Fut> AsyncStep<C> for F
where
    F: Fn(C, u64, Instant) -> Fut + Copy,
    Fut: Future<Output = u64> + Send + 'static,
{
    fn run(self, connection: C, seed: u64, until: Instant) -> impl Future<Output = u64> + Send + 'static {
        self(connection, seed, until)
    }
}

/// How often a task looks at the clock.
const LOOK_EVERY: u64 = 16;

async fn ring_step(mut ring: Ring, seed: u64, until: Instant) -> u64 {
    let (mut random, value, mut done) = (fastrand::Rng::with_seed(seed), "x".repeat(64), 0);
    while done % LOOK_EVERY != 0 || Instant::now() < until {
        let key = format!("key:{}", random.u32(0..KEYS));
        if done % 2 == 0 {
            let _: Option<String> = ring.get(&key).await.expect("a reply");
        } else {
            let _: () = ring.set(&key, &value).await.expect("a reply");
        }
        done += 1;
    }
    done
}

async fn plain_step(mut shards: Vec<MultiplexedConnection>, seed: u64, until: Instant) -> u64 {
    let (mut random, value, mut done) = (fastrand::Rng::with_seed(seed), "x".repeat(64), 0);
    while done % LOOK_EVERY != 0 || Instant::now() < until {
        let key = format!("key:{}", random.u32(0..KEYS));
        let shard = &mut shards[(xxh64(key.as_bytes(), 0) % SHARDS as u64) as usize];
        if done % 2 == 0 {
            let _: Option<String> = shard.get(&key).await.expect("a reply");
        } else {
            let _: () = shard.set(&key, &value).await.expect("a reply");
        }
        done += 1;
    }
    done
}

/// What a handle costs, and how many writes a long pipeline takes.
fn more(urls: &[String]) {
    let runtime = runtime(1);
    runtime.block_on(async {
        let (ring, _) = connect(urls).await;
        let before = resident_kib();
        let handles: Vec<Ring> = (0..10_000).map(|_| ring.clone()).collect();
        let after = resident_kib();
        let each = (after.saturating_sub(before)) as f64 * 1024.0 / handles.len() as f64;
        println!("10 000 handles: {each:.0} bytes each, {} bytes by their size", size_of::<Ring>());
        drop(handles);

        let mut ring = ring;
        let writes = |ring: &Ring| ring.stats().shards.iter().map(|shard| shard.writes).collect::<Vec<_>>();
        let before = writes(&ring);
        let mut pipe = redis::pipe();
        (0..1000).for_each(|number| {
            pipe.set(format!("key:{number}"), number).ignore();
        });
        pipe.exec_async(&mut ring).await.expect("a reply");
        let taken: Vec<u64> =
            writes(&ring).iter().zip(before).map(|(after, before)| after - before).collect();
        println!("a pipeline of 1 000 commands over three shards: {taken:?} writes");
    });
}
