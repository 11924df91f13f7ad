//! From the configuration of a ring to an engine at work.

use std::num::NonZeroU32;
use std::sync::Arc;

use rendis_core::health;
use rendis_core::request::RequestBuf;
use rendis_core::retry::{BudgetSettings, Policy};
use rendis_engine::coordinator::Coordinator;
use rendis_engine::dial::Dialer;
use rendis_engine::engine::{Engine, Plan};
use rendis_engine::error::Error;
use rendis_engine::probe::Heartbeat;
use rendis_engine::secret::Secret;
use rendis_engine::settings::{
    HealthSettings, OnDown, OnReturn, Protocol, Settings, ShardSettings, TlsSettings,
};
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
    let mut plan = Plan { coordinator, ..plan(ring) };
    plan.shards.iter_mut().for_each(|shard| shard.transport = transport.clone());
    Engine::start(plan).await
}

/// Whether an engine could be made of a ring, as far as can be known without connections.
///
/// # Errors
/// What is wrong, in words.
pub(crate) fn check(ring: &config::Ring) -> Result<(), String> {
    let plan = plan(ring);
    for shard in plan.shards {
        Dialer::new(shard, plan.settings.deadlines.clone()).map_err(|error| error.text().to_owned())?;
    }
    Ok(())
}

/// Changes the engine of a ring to what its configuration says now.
///
/// # Errors
/// As [`Engine::reconfigure`].
pub(crate) fn change(engine: &Engine, ring: &config::Ring) -> Result<(), Error> {
    let Plan { shards, placement, settings, heartbeat, .. } = plan(ring);
    engine.reconfigure(&shards, placement, settings, heartbeat)
}

/// What the engine of a ring is made of.
pub(crate) fn plan(ring: &config::Ring) -> Plan {
    let words = ring.health.probe.iter().map(String::as_bytes).collect::<Vec<_>>();
    Plan {
        shards: shards(ring),
        placement: ring.placement.clone(),
        settings: settings(ring),
        heartbeat: Heartbeat::Command(RequestBuf::pack(words)),
        on_new_shard: None,
        coordinator: Arc::default(),
    }
}

/// The shards of a ring, as an engine takes them.
pub(crate) fn shards(ring: &config::Ring) -> Vec<ShardSettings> {
    ring.shards.iter().map(shard).collect()
}

fn shard(shard: &config::Shard) -> ShardSettings {
    let url = &shard.url;
    ShardSettings {
        name: shard.name.clone(),
        address: url.address.clone(),
        tls: shard.tls.as_ref().map(|tls| TlsSettings {
            ca: tls.ca.clone().unwrap_or_default(),
            client: tls
                .client
                .as_ref()
                .map(|client| (client.certificate.clone(), Secret::new(client.key.reveal()))),
            server_name: tls.server_name.clone(),
        }),
        username: url.username.clone(),
        password: url.password.clone(),
        database: url.database,
        client_name: None,
        // Most clients speak RESP2; connections for those that do not are made when the first of them comes.
        protocol: Protocol::Resp2,
        transport: Transport::System,
        id: shard.id.clone(),
        weight: shard.weight,
        named: shard.named,
    }
}

fn settings(ring: &config::Ring) -> Settings {
    let count = |number: u32| NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN);
    Settings {
        deadlines: ring.deadlines.clone(),
        queue: ring.queue,
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
            first_wait: ring.retries.shortest,
            longest_wait: ring.retries.longest,
            repeat_idempotent_writes: ring.retries.idempotent_writes,
        },
        budget: BudgetSettings::default(),
        on_down: match ring.on_down {
            config::OnDown::Reroute => OnDown::Reroute,
            config::OnDown::Fail => OnDown::Fail,
            config::OnDown::Miss => OnDown::Miss,
        },
        on_return: match ring.on_return {
            config::OnReturn::Forget => OnReturn::Forget,
            config::OnReturn::Keep => OnReturn::Keep,
            config::OnReturn::Flush => OnReturn::Flush,
        },
        slow_ejection: ring.slow_ejection,
        max_ejected: Some(ring.max_ejected),
        allow: ring.allow.clone(),
        // Blocking commands of every client need one each, and there are no more clients than `max_clients`. That is not
        // said here, because another limit is another shard to an engine, with connections of its own.
        exclusive: usize::MAX,
        ..Settings::default()
    }
}
