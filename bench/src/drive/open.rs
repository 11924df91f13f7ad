//! The open loop: operations begin by the clock, whatever became of the ones before, and their time counts from when
//! they were due. A system that stalls is charged for everybody who would have waited.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use tokio::sync::{Semaphore, mpsc};

use crate::drive::length;
use crate::drive::library::{Key, Library};
use crate::load::{Draw, Latency, Load, Outcome, key, zipf_table};

/// Operations that may be under way. Who needs more does not keep up with the rate.
const MOST: usize = 50_000;

pub(super) async fn run<L: Library>(library: &L, load: &Load, rate: f64) -> Outcome {
    let histogram =
        Arc::new(Mutex::new(Histogram::<u64>::new_with_max(60_000_000_000, 3).expect("a valid range")));
    let (due, mut arrivals) = mpsc::channel::<Instant>(MOST);
    let (started, total) = (Instant::now(), length(load));
    let pacer = std::thread::spawn(move || pace(started, total, rate, &due));
    let mut draw = Draw::new(load, zipf_table(load).as_ref(), 1);
    let value: Arc<str> = "x".repeat(load.value).into();
    let (room, mut operations, mut overloaded) = (Arc::new(Semaphore::new(MOST)), 0, false);
    while let Some(due) = arrivals.recv().await {
        let Ok(place) = Arc::clone(&room).try_acquire_owned() else {
            overloaded = true;
            break;
        };
        let (mut library, histogram, value) = (library.clone(), Arc::clone(&histogram), Arc::clone(&value));
        let (number, is_get) = (draw.number(), operations % 2 == 0);
        operations += 1;
        tokio::spawn(async move {
            let text = key(number);
            let key = Key { number, text: &text };
            if is_get {
                library.get(key).await
            } else {
                library.set(key, &value).await
            }
            let took = u64::try_from(due.elapsed().as_nanos()).unwrap_or(u64::MAX);
            histogram.lock().expect("nobody panicked").saturating_record(took);
            drop(place);
        });
    }
    arrivals.close();
    let _ = pacer.join();
    let all = tokio::time::timeout(Duration::from_secs(10), room.acquire_many(MOST as u32)).await;
    let error = (overloaded || all.is_err()).then(|| "it does not keep up with the rate".to_owned());
    let latency = Some(Latency::of(&histogram.lock().expect("nobody panicked")));
    Outcome { operations, latency, error, ..Outcome::default() }
}

/// A thread that says when operations are due. It sleeps between, as finely as the kernel lets it.
fn pace(started: Instant, total: Duration, rate: f64, due: &mpsc::Sender<Instant>) {
    for number in 0.. {
        let offset = Duration::from_secs_f64(f64::from(number) / rate);
        if offset >= total {
            return;
        }
        let at = started + offset;
        while let Some(left) = at.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
            std::thread::sleep(left);
        }
        if due.try_send(at).is_err() {
            return;
        }
    }
}
