//! What a system is asked to do, and what came of it.

use serde::{Deserialize, Serialize};

/// What one operation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Operation {
    /// `GET` and `SET` in turn, one at a time. The operation is the command.
    Mixed,
    /// `GET` alone.
    Get,
    /// `SET` alone.
    Set,
    /// Pipelines of `batch` commands, `GET` and `SET` in turn. The operation is the command.
    Pipeline,
    /// `MGET` of `batch` keys. The operation is the call.
    Mget,
    /// `MSET` of `batch` keys. The operation is the call.
    Mset,
    /// `EVAL` of a script that reads its key. The operation is the call.
    Eval,
    /// Every key is set once, so that no `GET` misses. Not measured.
    Fill,
}

/// A load. Between its start and its end every task has one operation under way, unless there is a rate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Load {
    /// What is done.
    pub operation: Operation,
    /// How many tasks, or clients, do it at once.
    pub tasks: usize,
    /// Commands in a pipeline, or keys in a multi-key command.
    pub batch: usize,
    /// Bytes of a value.
    pub value: usize,
    /// How many keys there are.
    pub keys: u32,
    /// Zipf's distribution (exponent 0.99) instead of the uniform one.
    pub zipf: bool,
    /// How long.
    pub seconds: f64,
    /// Open loop: operations a second that begin by the clock, whatever became of the ones before.
    pub rate: Option<f64>,
}

/// What became of a load.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Outcome {
    /// Operations that ended.
    pub operations: u64,
    /// Seconds from the first to the last.
    pub seconds: f64,
    /// Seconds on the processor, user and system together.
    pub cpu: f64,
    /// Allocations, where they were counted.
    pub allocations: Option<u64>,
    /// Of an open loop: milliseconds from when an operation was due to its reply.
    pub latency: Option<Latency>,
    /// What went wrong, where something did.
    pub error: Option<String>,
}

/// Milliseconds that a share of the operations took at most.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Latency {
    /// Half of them.
    pub p50: f64,
    /// 99 %.
    pub p99: f64,
    /// 99.9 %.
    pub p999: f64,
    /// All.
    pub longest: f64,
}

impl Latency {
    /// From a histogram of nanoseconds.
    #[must_use]
    pub fn of(histogram: &hdrhistogram::Histogram<u64>) -> Self {
        let at = |quantile| histogram.value_at_quantile(quantile) as f64 / 1e6;
        Self { p50: at(0.5), p99: at(0.99), p999: at(0.999), longest: at(1.0) }
    }
}

impl Load {
    /// `GET` and `SET` in turn of 64-byte values of 100 000 keys, by so many tasks.
    #[must_use]
    pub fn mixed(tasks: usize) -> Self {
        Self {
            operation: Operation::Mixed,
            tasks,
            batch: 1,
            value: 64,
            keys: 100_000,
            zipf: false,
            seconds: 0.5,
            rate: None,
        }
    }

    /// The same with values of so many bytes, over as many keys as fit into 64 MiB.
    #[must_use]
    pub fn value(mut self, bytes: usize) -> Self {
        self.value = bytes;
        self.keys = u32::try_from((64 << 20) / bytes.max(1)).unwrap_or(u32::MAX).min(100_000);
        self
    }

    /// Another operation, of so many commands or keys.
    #[must_use]
    pub fn of(mut self, operation: Operation, batch: usize) -> Self {
        self.operation = operation;
        self.batch = batch;
        self
    }

    /// With Zipf's distribution of keys.
    #[must_use]
    pub fn zipf(mut self) -> Self {
        self.zipf = true;
        self
    }

    /// What sets all keys of this load.
    #[must_use]
    pub fn fill(&self) -> Self {
        Self { operation: Operation::Fill, batch: self.fill_batch(), rate: None, ..self.clone() }
    }

    fn fill_batch(&self) -> usize {
        ((1 << 20) / self.value.max(1)).clamp(1, 1000)
    }
}

/// A key by its number, as redis-benchmark writes keys.
#[must_use]
pub fn key(number: u32) -> String {
    format!("key:{number:012}")
}

/// Draws the numbers of keys.
pub struct Draw {
    random: fastrand::Rng,
    keys: u32,
    zipf: Option<std::sync::Arc<[u32]>>,
}

impl Draw {
    /// By this load, different for each seed. `zipf` is [`zipf_table`]'s where the load asks for it.
    #[must_use]
    pub fn new(load: &Load, zipf: Option<&std::sync::Arc<[u32]>>, seed: u64) -> Self {
        Self { random: fastrand::Rng::with_seed(seed), keys: load.keys, zipf: zipf.cloned() }
    }

    /// The next.
    #[inline]
    pub fn number(&mut self) -> u32 {
        match &self.zipf {
            None => self.random.u32(0..self.keys),
            Some(table) => table[self.random.usize(0..table.len())],
        }
    }
}

/// Numbers to draw from, which are distributed as Zipf says; `None` where the load asks for uniform keys. A table, so
/// that drawing costs the same with both.
#[must_use]
pub fn zipf_table(load: &Load) -> Option<std::sync::Arc<[u32]>> {
    load.zipf.then(|| {
        let mut sums: Vec<f64> = Vec::with_capacity(load.keys as usize);
        let mut sum = 0.0;
        for rank in 1..=load.keys {
            sum += f64::from(rank).powf(-0.99);
            sums.push(sum);
        }
        let mut random = fastrand::Rng::with_seed(7);
        (0..1 << 16)
            .map(|_| {
                let at = random.f64() * sum;
                sums.partition_point(|reached| *reached < at).min(sums.len() - 1) as u32
            })
            .collect()
    })
}
