//! Watches one shard: probes it on a connection of its own, and listens to what traffic says.
//!
//! One task a shard, so that a shard that hangs delays no other's probe. What a vote changes is told to the engine,
//! which alone decides what becomes of the ring.

use std::pin::pin;
use std::sync::Arc;

use rendis_core::health::{Health, Probe, Status, Transition};
use tokio::time::{Instant, sleep_until, timeout};

use crate::probe::Heartbeat;
use crate::settings::HealthSettings;
use crate::shard::Shard;

/// Watches for ever; ends when its future is dropped. `up` is what is known of the shard. `report` is called for each
/// change, and not otherwise; it says whether the change stands: a shard that answers but cannot be taken back is still
/// down.
pub(crate) async fn watch<R>(
    shard: Arc<Shard>,
    up: bool,
    heartbeat: Heartbeat,
    settings: HealthSettings,
    mut report: R,
) where
    R: AsyncFnMut(&Arc<Shard>, Transition) -> bool,
{
    let mut health = Health::new(settings.votes);
    if !up {
        fall(&mut health);
    }
    let mut connection = None;
    let mut next = Instant::now();
    loop {
        let asked = next.max(Instant::now());
        let mut probing = pin!(async {
            sleep_until(asked).await;
            timeout(settings.deadline, heartbeat.ask(&shard, &mut connection)).await.unwrap_or(Probe::Failed)
        });
        let answer = loop {
            // What traffic says is heard also while a probe waits for its answer.
            tokio::select! {
                biased;
                () = shard.pulse().next_failure() => {
                    let transition = heard(&mut health, shard.pulse().failures());
                    if transition != Transition::Unchanged {
                        let _ = report(&shard, transition).await;
                    }
                }
                answer = &mut probing => break answer,
            }
        };
        shard.probes().add(asked.elapsed());
        let transition = health.probed(answer);
        if transition != Transition::Unchanged && !report(&shard, transition).await {
            fall(&mut health);
        }
        next = asked + health.next_probe(fastrand::f64());
    }
}

/// Takes a shard for down that is.
fn fall(health: &mut Health) {
    while health.status() != Status::Down {
        let _ = health.probed(Probe::Failed);
    }
}

/// Counts connections that failed in a row.
fn heard(health: &mut Health, failures: u32) -> Transition {
    health.request_answered();
    (0..failures).fold(Transition::Unchanged, |before, _| match health.request_failed() {
        Transition::Unchanged => before,
        changed => changed,
    })
}
