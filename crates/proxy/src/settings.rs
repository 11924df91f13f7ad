//! From the configuration of a ring to an engine at work.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use rendis_core::health;
use rendis_core::request::RequestBuf;
use rendis_core::retry::{BudgetSettings, Policy};
use rendis_engine::coordinator::Coordinator;
use rendis_engine::dial::Dialer;
use rendis_engine::engine::{Engine, EngineConfig};
use rendis_engine::error::Error;
use rendis_engine::probe::Heartbeat;
use rendis_engine::settings::{HealthSettings, Protocol, Settings, ShardSettings};
use rendis_engine::tls::SystemRoots;
use rendis_engine::transport::Transport;

use crate::config;

/// Starts the engine of a ring on the current runtime; all engines of the ring have the coordinator in common.
///
/// # Errors
/// As [`Engine::start`].
pub(crate) async fn start(ring: &config::Ring, coordinator: Arc<Coordinator>) -> Result<Engine, Error> {
    start_over(ring, coordinator, &Transport::System).await
}

/// The same, over connections of this transport.
///
/// # Errors
/// As [`Engine::start`].
pub(crate) async fn start_over(
    ring: &config::Ring,
    coordinator: Arc<Coordinator>,
    transport: &Transport,
) -> Result<Engine, Error> {
    let mut wanted = EngineConfig { coordinator, first_wait: Some(FIRST_WAIT), ..engine_config(ring) };
    wanted.shards.iter_mut().for_each(|shard| shard.transport = transport.clone());
    Engine::start(wanted).await
}

/// What connects to the shards of a ring, in their order: that it can be made is all that can be known of them without
/// connections.
///
/// # Errors
/// What is wrong, in words.
pub(crate) fn dialers(ring: &config::Ring) -> Result<Vec<Dialer>, String> {
    let EngineConfig { shards, settings, .. } = engine_config(ring);
    let system = SystemRoots::default();
    let dialer = |shard| Dialer::new(shard, settings.deadlines.clone(), &system);
    let dialers = shards.into_iter().map(dialer).collect::<Result<_, _>>();
    dialers.map_err(|error: Error| error.text().to_owned())
}

/// Changes the engine of a ring to what its configuration says now.
///
/// # Errors
/// As [`Engine::reconfigure`].
pub(crate) fn change(engine: &Engine, ring: &config::Ring) -> Result<(), Error> {
    let EngineConfig { shards, placement, settings, heartbeat, .. } = engine_config(ring);
    engine.reconfigure(&shards, placement, settings, heartbeat)
}

/// What the engine of a ring is made of, but for its coordinator.
fn engine_config(ring: &config::Ring) -> EngineConfig {
    let words = ring.health.probe.iter().map(String::as_bytes).collect::<Vec<_>>();
    EngineConfig {
        shards: shards(ring),
        placement: ring.placement.clone(),
        settings: settings(ring),
        heartbeat: Heartbeat::Command(RequestBuf::pack(words)),
        ..EngineConfig::default()
    }
}

/// The shards of a ring, as an engine takes them.
pub(crate) fn shards(ring: &config::Ring) -> Vec<ShardSettings> {
    ring.shards.iter().map(shard).collect()
}

fn shard(shard: &config::Shard) -> ShardSettings {
    let mut settings = ShardSettings::at(&shard.name, shard.url.clone());
    settings.tls.clone_from(&shard.tls);
    // Most clients speak RESP2; connections for those that do not are made when the first of them comes.
    settings.protocol = Protocol::Resp2;
    settings.id.clone_from(&shard.id);
    settings.weight = shard.weight;
    settings.named = shard.named;
    settings
}

fn settings(ring: &config::Ring) -> Settings {
    let count = |number: u32| NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN);
    Settings {
        deadlines: ring.deadlines.clone(),
        queue: ring.queue,
        linger: true,
        health: HealthSettings {
            votes: health::Settings {
                fall: count(ring.health.fall),
                rise: count(ring.health.rise),
                interval: ring.health.frequency,
                ..health::Settings::default()
            },
            deadline: ring.health.timeout,
        },
        retry: Policy {
            attempts: count(ring.retries.attempts),
            first_wait: ring.retries.first,
            longest_wait: ring.retries.longest,
            repeat_idempotent_writes: ring.retries.idempotent_writes,
        },
        budget: BudgetSettings::default(),
        on_down: ring.on_down,
        on_return: ring.on_return,
        slow_ejection: ring.slow_ejection,
        drain: ring.drain,
        max_ejected: ring.max_ejected,
        allow: ring.allow.clone(),
        // Blocking commands of every client need one each, and there are no more clients than `max_clients`. That is not
        // said here, because another limit is another shard to an engine, with connections of its own.
        exclusive: usize::MAX,
        ..Settings::default()
    }
}

/// How long a server that does not answer keeps a ring from starting, however long connecting may take.
const FIRST_WAIT: Duration = Duration::from_secs(1);
