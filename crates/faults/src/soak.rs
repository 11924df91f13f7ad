//! Random faults at full load for minutes: what is left over, and whether memory grows.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::block_in_place;
use tokio::time::{Instant, sleep};

use crate::load::{Load, Shape};
use crate::model::Model;
use crate::stage::{Fault, Stage, VICTIM};
use crate::system::{Change, Product, System, homes};
use crate::trial::leaks;

/// As many callers as keep this machine busy, without pauses.
const FULL: Shape = Shape { pinned: 20, mixed: 40, pace: Duration::ZERO, keep: false };

/// Runs one; a text about it, and whether all was well.
pub(crate) async fn run(stage: &mut Stage, product: Product, length: Duration, seed: u64) -> (String, bool) {
    block_in_place(|| stage.clear());
    let mut random = fastrand::Rng::with_seed(seed);
    let shards = stage.servers.len();
    let model = Arc::new({
        let home = homes(&stage.servers).await;
        Model::new(400, shards, home)
    });
    let system = System::start(product, &stage.servers).await;
    let callers = system.callers(FULL.pinned * shards + FULL.mixed).await;
    let load = Load::start(FULL, &model, shards, callers);
    sleep(Duration::from_secs(2)).await;
    let connections = block_in_place(|| stage.connections());
    let tasks_before = system.tasks();
    let (_, sockets_before) = system.usage();
    let (began, calls_before) = (Instant::now(), load.calls());
    let mut memory = Vec::new();
    let mut faults = 0;
    let mut failures = Vec::new();
    while began.elapsed() < length {
        let fault = Fault::ALL[random.usize(0..Fault::ALL.len())];
        if !stage.can(fault) {
            continue;
        }
        let hold = Duration::from_millis(random.u64(50..4000));
        let at = Instant::now();
        block_in_place(|| stage.begin(fault));
        sleep(hold).await;
        let serves = block_in_place(|| stage.end(fault));
        faults += 1;
        // It may have left at the last moment, so this is asked again until it stands.
        let back = async {
            sleep(Duration::from_millis(300)).await;
            while system.changes().is_out(VICTIM) {
                sleep(Duration::from_millis(20)).await;
            }
        };
        if tokio::time::timeout(Duration::from_secs(15), back).await.is_err() {
            failures.push(format!("not back within 15 s: {} for {hold:?}", fault.text()));
        }
        eprintln!(
            "soak: {:5.0} s {:36} for {:4} ms, back after {:4} ms, longest call {:?}, {} KiB, {} wrong",
            began.elapsed().as_secs_f64(),
            fault.text(),
            (serves - at).as_millis(),
            serves.elapsed().as_millis(),
            load.longest(),
            system.usage().0,
            model.wrong().0,
        );
        sleep(Duration::from_millis(random.u64(200..2000))).await;
        memory.push((began.elapsed(), system.usage().0));
    }
    let took = began.elapsed();
    let rate = (load.calls() - calls_before) as f64 / took.as_secs_f64();
    sleep(Duration::from_secs(2)).await;
    let others_out = system.changes().elsewhere(VICTIM, Change::Out);
    let outcome = load.stop().await;
    sleep(Duration::from_secs(3)).await;
    // The callers' own tasks have ended; they are not counted.
    let callers_tasks = FULL.pinned * shards + FULL.mixed;
    let tasks = (tasks_before.map(|tasks| tasks - callers_tasks), system.tasks());
    let sockets = (sockets_before, system.usage().1);
    let mean = |from: f64, until: f64| {
        let part = |(at, _): &&(Duration, u64)| {
            let share = at.as_secs_f64() / took.as_secs_f64();
            share >= from && share <= until
        };
        let values: Vec<u64> = memory.iter().filter(part).map(|(_, memory)| *memory).collect();
        values.iter().sum::<u64>() / u64::try_from(values.len().max(1)).unwrap_or(1)
    };
    let (first, last) = (mean(0.0, 1.0 / 3.0), mean(2.0 / 3.0, 1.0));
    let (wrongs, wrong) = model.wrong();
    let late = model.late();
    let left = leaks(stage, system, &connections).await;

    let mut bad = failures;
    bad.extend(wrong);
    bad.extend(left);
    let mut expect = |text: String, good: bool| {
        if !good {
            bad.push(text);
        }
    };
    expect(format!("{} lost replies", outcome.lost), outcome.lost == 0);
    expect(format!("{others_out} times another shard left"), others_out == 0);
    expect(format!("memory grew from {first} to {last} KiB"), last <= first + first / 5 + 4096);
    expect(format!("sockets: {} before, {} after", sockets.0, sockets.1), sockets.1 <= sockets.0);
    expect(format!("tasks: {tasks:?}"), tasks.1 <= tasks.0);
    let mut errors = String::new();
    for (label, count) in &outcome.errors {
        let _ = write!(errors, "{}{label}: {count}", if errors.is_empty() { "" } else { ", " });
    }
    let name = if product == Product::Library { "library" } else { "proxy" };
    let tasks_text = tasks.1.map_or("–".to_owned(), |after| format!("{} → {after}", tasks.0.unwrap_or(0)));
    let text = format!(
        "| {name} | {:.0} s | {seed} | {faults} | {rate:.0} | {errors} | {wrongs} | {late} | {} | {first} → {last} KiB | \
         {} → {} | {tasks_text} | {} |",
        took.as_secs_f64(),
        outcome.lost,
        sockets.0,
        sockets.1,
        if bad.is_empty() { "nothing".to_owned() } else { format!("**{}**", bad.join("; ")) },
    );
    (text, bad.is_empty())
}

/// Above the rows.
pub(crate) const HEAD: &str = "\n| product | length | seed | faults | calls/s | errors that callers saw | wrong | late | lost | \
    memory, first → last third | sockets, before → after | tasks, before → after | what was not as promised |\n\
    |---|--:|--:|--:|--:|---|--:|--:|--:|--:|--:|--:|---|\n";
