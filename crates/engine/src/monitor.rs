//! Watches one shard: probes it on a connection of its own, and listens to what traffic says.
//!
//! One task a shard, so that a shard that hangs delays no other's probe. Nor does a probe without an answer delay the
//! next of a shard that is up: it is asked when it is due, on one more connection. So a shard that hangs is down one
//! deadline and two intervals after the first probe, and not three deadlines. A server that answers calls with `LOADING` is
//! asked soon, so that their next attempts find it out of use. What a vote changes is told to the engine, which alone
//! decides what becomes of the ring.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use rendis_core::health::{Health, Probe, Status, Transition};
use tokio::time::{Instant, sleep_until, timeout};

use crate::connection::Connection;
use crate::error::{Cause, Kind};
use crate::probe::Heartbeat;
use crate::settings::HealthSettings;
use crate::shard::Shard;

/// Watches for ever; ends when its future is dropped. `status` is what is known of the shard. `report` is called for each
/// change, and not otherwise; it says whether the change stands: a shard that answers but cannot be taken back is still
/// down.
pub(crate) async fn watch<R>(
    shard: Arc<Shard>,
    status: Status,
    heartbeat: Heartbeat,
    settings: HealthSettings,
    mut report: R,
) where
    R: AsyncFnMut(&Arc<Shard>, Transition) -> bool,
{
    let mut health = Health::found(settings.votes, status);
    let ask = async |mut connection: Option<Connection>| {
        let asked = Instant::now();
        let answer = timeout(settings.deadline, heartbeat.ask(&shard, &mut connection)).await;
        let answer = answer.unwrap_or_else(|_| {
            let text = format!("no answer to a probe in {:?}", settings.deadline);
            shard.pulse().noticed(&Cause::new(Kind::Timeout, text));
            Probe::Failed
        });
        (asked, answer, connection)
    };
    // No more at a time than it takes to find a shard down.
    let most = usize::try_from(settings.votes.fall.get()).unwrap_or(usize::MAX);
    let mut probes = FuturesUnordered::from_iter([ask(None)]);
    let mut idle: Option<Connection> = None;
    let mut last = Instant::now();
    let mut next = last + health.next_probe(fastrand::f64());
    loop {
        let most = if health.status() == Status::Up { most } else { 1 };
        // What traffic says is heard also while a probe waits for its answer.
        tokio::select! {
            biased;
            () = shard.pulse().next_failure() => {
                let transition = heard(&mut health, shard.pulse().failures());
                if transition != Transition::Unchanged {
                    let _ = report(&shard, transition).await;
                }
            }
            Some((asked, answer, connection)) = probes.next() => {
                idle = connection.or(idle);
                shard.pulse().tally().probes().add(asked.elapsed());
                let transition = health.probed(answer);
                if transition != Transition::Unchanged && !report(&shard, transition).await {
                    health = Health::found(settings.votes, Status::Down);
                }
                // Of a shard that is up, the next is due already, whatever this one said.
                let changed = !matches!(transition, Transition::Unchanged | Transition::Recovered);
                if changed || health.status() != Status::Up {
                    next = asked + health.next_probe(fastrand::f64());
                }
            }
            () = shard.pulse().next_doubt(), if health.status() == Status::Up => {
                next = next.min(last + DOUBT_AFTER.min(settings.votes.interval));
            }
            () = sleep_until(next), if probes.len() < most => {
                probes.push(ask(idle.take()));
                last = Instant::now();
                next = last + health.next_probe(fastrand::f64());
            }
        }
    }
}

/// After a probe that found a server well so much time passes at least before what it answers to calls is a reason to ask
/// it again. Less than calls wait for that ([`crate::attempt::patience`]).
const DOUBT_AFTER: Duration = Duration::from_millis(50);

/// Counts connections that failed in a row.
fn heard(health: &mut Health, failures: u32) -> Transition {
    health.request_answered();
    (0..failures).fold(Transition::Unchanged, |before, _| match health.request_failed() {
        Transition::Unchanged => before,
        changed => changed,
    })
}
