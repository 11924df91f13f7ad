//! One fault, and what callers noticed of it.
//!
//! ```text
//!   warm up │ calm 3 s │ fault ──► out ──► ended: can serve ──► back │ 1.5 s more │ the load ends, all is looked at
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rendis_testkit::Reply;
use tokio::task::block_in_place;
use tokio::time::{Instant, sleep};

use crate::load::{Call, Load, Shape};
use crate::model::Model;
use crate::stage::{Fault, SCRIPT_RUNS, Stage, VICTIM};
use crate::system::{Change, Product, System, homes};

/// What was measured.
pub(crate) struct Figures {
    pub(crate) product: Product,
    pub(crate) fault: Fault,
    pub(crate) idle: bool,
    /// Calls a second before the fault.
    pub(crate) rate: u64,
    pub(crate) calls: usize,
    pub(crate) errors: BTreeMap<String, u64>,
    /// From the fault until the shard was out of the ring.
    pub(crate) out: Option<Duration>,
    /// From the first error that a caller saw until then; zero where no caller saw one before.
    pub(crate) out_after_error: Option<Duration>,
    /// From when the server could serve until the shard was back in the ring; none where it never left.
    pub(crate) back: Option<Duration>,
    /// Whether it is in the ring at the end.
    pub(crate) in_at_the_end: bool,
    /// 99 of 100 calls of those who keep to the other shards: before the fault, and in the second after it or until the
    /// shard was out.
    pub(crate) calm: Duration,
    pub(crate) during: Duration,
    /// The longest call of those, from the fault to the end.
    pub(crate) stall: Duration,
    /// The longest call of all.
    pub(crate) longest: Duration,
    /// Other shards that left the ring.
    pub(crate) others_out: usize,
    pub(crate) wrong: (u64, Vec<String>),
    pub(crate) late: u64,
    pub(crate) lost: u64,
    /// What was left over, in words.
    pub(crate) leaks: Vec<String>,
}

const CALM: Duration = Duration::from_secs(3);
const LOADED: Shape = Shape { pinned: 45, mixed: 45, pace: Duration::from_millis(6), keep: true };
const IDLE: Shape = Shape { pinned: 0, mixed: 0, pace: Duration::from_millis(6), keep: true };

/// Runs one.
pub(crate) async fn run(stage: &mut Stage, product: Product, fault: Fault, idle: bool) -> Figures {
    block_in_place(|| stage.clear());
    let shards = stage.servers.len();
    let model = Arc::new({
        let home = homes(&stage.servers).await;
        Model::new(400, shards, home)
    });
    let system = System::start(product, &stage.servers).await;
    let shape = if idle { IDLE } else { LOADED };
    let callers = system.callers(shape.pinned * shards + shape.mixed).await;
    let load = Load::start(shape, &model, shards, callers);
    sleep(Duration::from_millis(1500)).await;
    let connections = block_in_place(|| stage.connections());
    let calm_from = Instant::now();
    let before = load.calls();
    sleep(CALM).await;
    let rate = u128::from(load.calls() - before) * 1000 / calm_from.elapsed().as_millis().max(1);

    let changes = system.changes();
    let at = Instant::now();
    block_in_place(|| stage.begin(fault));
    let out = match fault.ejects() {
        Some(true) => changes.wait(VICTIM, Change::Out, at, Duration::from_secs(8)).await,
        _ => None,
    };
    match fault {
        Fault::Script | Fault::SilentScript => sleep(SCRIPT_RUNS - Duration::from_millis(200)).await,
        // So long that the system sends again seldom: what was written before must not arrive after the shard is back.
        Fault::CutOff => sleep(Duration::from_secs(3)).await,
        _ => sleep(Duration::from_millis(1500)).await,
    }
    let serves = block_in_place(|| stage.end(fault));
    // A server that was back at once may have left the ring all the same.
    sleep(Duration::from_millis(if fault.ejects().is_none() { 500 } else { 0 })).await;
    let out = out.or_else(|| changes.first(VICTIM, Change::Out, at));
    let back = match out {
        Some(out) => changes.wait(VICTIM, Change::Back, out, Duration::from_secs(10)).await,
        None => None,
    };
    sleep(Duration::from_millis(if fault == Fault::CutOff { 4000 } else { 1500 })).await;
    let outcome = load.stop().await;

    let others_out = changes.elsewhere(VICTIM, Change::Out);
    let in_at_the_end = !changes.is_out(VICTIM);
    let whole = |home: usize| home != VICTIM || (out.is_none() && fault.keeps_data());
    block_in_place(|| settle(stage, &model, whole));
    let leaks = leaks(stage, system, &connections).await;

    let healthy = |from: Instant, until: Instant| {
        let calls = outcome.calls.iter();
        let of_others = move |call: &&Call| {
            call.shard.is_some_and(|shard| shard != VICTIM) && call.at >= from && call.at < until
        };
        calls.filter(of_others).map(|call| call.took)
    };
    let detected = out.unwrap_or(at).max(at + Duration::from_secs(1));
    let first_error = outcome.calls.iter().filter(|call| call.failed).map(|call| call.at + call.took);
    let first_error = first_error.filter(|failed| *failed >= at).min();
    Figures {
        product,
        fault,
        idle,
        rate: u64::try_from(rate).unwrap_or(u64::MAX),
        calls: outcome.calls.len(),
        errors: outcome.errors,
        out: out.map(|out| out - at),
        out_after_error: out
            .map(|out| first_error.map_or(Duration::ZERO, |first| out.saturating_duration_since(first))),
        back: back.map(|back| back.saturating_duration_since(serves)),
        in_at_the_end,
        calm: percentile(healthy(calm_from, at)),
        during: percentile(healthy(at, detected)),
        stall: healthy(at, Instant::now()).max().unwrap_or_default(),
        longest: outcome.calls.iter().map(|call| call.took).max().unwrap_or_default(),
        others_out,
        wrong: model.wrong(),
        late: model.late(),
        lost: outcome.lost,
        leaks,
    }
}

/// Asks the servers themselves for the counters of shards that lost nothing.
pub(crate) fn settle(stage: &Stage, model: &Model, whole: impl Fn(usize) -> bool) {
    for counter in model.counters.iter().filter(|counter| whole(counter.home)) {
        let value = match stage.servers[counter.home].command(&["GET", &counter.name]) {
            Reply::Nil => 0,
            value => value.text().parse().expect("a counter"),
        };
        model.settled(counter, value);
    }
}

/// Ends the system, and says what is more than it was, and what is left then.
pub(crate) async fn leaks(stage: &Stage, system: System, before: &[usize]) -> Vec<String> {
    let mut leaks = Vec::new();
    let more = |allowed: &[usize]| {
        let now = block_in_place(|| stage.connections());
        let more = now.iter().zip(allowed).any(|(now, allowed)| now > allowed);
        more.then(|| format!("connections of the shards: {allowed:?} before, {now:?} now"))
    };
    leaks.extend(soon(|| more(before)).await);
    leaks.extend(system.end().await);
    leaks.extend(soon(|| more(&vec![0; before.len()])).await);
    leaks
}

/// What is still wrong after three seconds.
async fn soon(wrong: impl Fn() -> Option<String>) -> Option<String> {
    let until = Instant::now() + Duration::from_secs(3);
    loop {
        let found = wrong();
        if found.is_none() || Instant::now() > until {
            return found;
        }
        sleep(Duration::from_millis(20)).await;
    }
}

fn percentile(times: impl Iterator<Item = Duration>) -> Duration {
    let mut times: Vec<Duration> = times.collect();
    times.sort_unstable();
    times.get((times.len() * 99).div_ceil(100).saturating_sub(1)).copied().unwrap_or_default()
}
