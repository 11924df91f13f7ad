//! Watches one shard: probes it on a connection of its own, and listens to what traffic says.
//!
//! One task a shard, so that a shard that hangs delays no other's probe. What a vote changes is told to the engine,
//! which alone decides what becomes of the ring.

use std::sync::Arc;

use rendis_core::health::{Health, Probe, Transition};
use tokio::time::{Instant, sleep_until, timeout};

use crate::probe::Heartbeat;
use crate::settings::HealthSettings;
use crate::shard::Shard;

/// Watches for ever; ends when its future is dropped. `report` is called for each change, and not otherwise.
pub(crate) async fn watch<R>(shard: Arc<Shard>, heartbeat: Heartbeat, settings: HealthSettings, mut report: R)
where
    R: AsyncFnMut(&Arc<Shard>, Transition),
{
    let mut health = Health::new(settings.votes);
    let mut connection = None;
    let mut next = Instant::now();
    loop {
        let transition = tokio::select! {
            biased;
            () = shard.pulse().next_failure() => {
                health.request_answered();
                let failures = shard.pulse().failures();
                (0..failures).fold(Transition::Unchanged, |before, _| match health.request_failed() {
                    Transition::Unchanged => before,
                    changed => changed,
                })
            }
            () = sleep_until(next) => {
                let asked = Instant::now();
                let probe = heartbeat.ask(&shard, &mut connection);
                let answer = timeout(settings.deadline, probe).await.unwrap_or(Probe::Failed);
                let transition = health.probed(answer);
                next = asked + health.next_probe(fastrand::f64());
                transition
            }
        };
        if transition != Transition::Unchanged {
            report(&shard, transition).await;
        }
    }
}
