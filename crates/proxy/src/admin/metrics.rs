//! `/metrics`: the threads' counters, added up when somebody asks.

use std::fmt::Display;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use rendis_core::command::Table;
use rendis_core::topology::Standing;
use rendis_engine::error::Kind;
use rendis_engine::times::Distribution;

use super::View;
use super::shards::{Overview, overview};
use super::text::Text;
use crate::context::{Shared, ThreadRing};
use crate::process;
use crate::stats::{ErrorKind, Stats};

/// A ring, read once for all metrics.
struct Ring {
    shared: Arc<Shared>,
    threads: Vec<ThreadRing>,
    shards: Vec<Overview>,
}

impl Ring {
    fn sum(&self, count: impl Fn(&Stats) -> u64) -> u64 {
        self.threads.iter().map(|thread| count(&thread.stats)).sum()
    }
}

/// The page.
pub(super) fn page(view: &View) -> String {
    let rings: Vec<Ring> = view
        .rings()
        .into_iter()
        .map(|shared| {
            let threads = shared.threads();
            let shards = overview(&threads);
            Ring { shared, threads, shards }
        })
        .collect();
    let mut text = Text::default();
    process(&mut text, view);
    clients(&mut text, &rings);
    requests(&mut text, &rings);
    shards(&mut text, &rings);
    text.finish()
}

fn process(text: &mut Text, view: &View) {
    text.metric("rendis_build_info", "gauge", "The version that runs; always 1.");
    text.sample("rendis_build_info", &[("version", env!("CARGO_PKG_VERSION"))], 1);
    text.metric(
        "rendis_ready",
        "gauge",
        "Whether a live shard of every ring was reached, and the process is not ending.",
    );
    text.sample("rendis_ready", &[], u8::from(view.unready().is_none()));
    let reloads = "rendis_reloads_total";
    text.metric(reloads, "counter", "Configurations that were taken over or could not be had while running.");
    text.sample(reloads, &[("result", "done")], view.reloads.load(Ordering::Relaxed));
    text.sample(reloads, &[("result", "refused")], view.refused.load(Ordering::Relaxed));
    if let Some(worked) = process::worked() {
        let name = "process_cpu_seconds_total";
        text.metric(name, "counter", "Processor time that the process has used, in all.");
        text.sample(name, &[], worked.total().as_secs_f64());
    }
    let name = "rendis_thread_cpu_seconds_total";
    text.metric(name, "counter", "Processor time that each thread which serves clients has used.");
    for (number, worked) in process::threads_worked() {
        text.sample(name, &[("thread", &number.to_string())], worked.as_secs_f64());
    }
    let mut gauge = |name: &str, help: &str, value: &dyn Display| {
        text.metric(name, "gauge", help);
        text.sample(name, &[], value);
    };
    let configured = *view.configured.lock().unwrap_or_else(PoisonError::into_inner);
    gauge(
        "rendis_config_loaded_timestamp_seconds",
        "When the configuration in force was taken over.",
        &unix(configured),
    );
    gauge("process_start_time_seconds", "When the process began to serve.", &unix(view.started));
    if let Some(memory) = process::memory() {
        gauge("process_resident_memory_bytes", "Memory that the process holds.", &memory.now);
    }
    if let Some(files) = process::open_files() {
        gauge("process_open_fds", "Files and sockets that are open.", &files);
    }
}

/// A time in seconds since 1970, as Prometheus has it.
fn unix(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

fn clients(text: &mut Text, rings: &[Ring]) {
    let mut each = |name: &str, kind: &str, help: &str, value: &dyn Fn(&Ring) -> u64| {
        text.metric(name, kind, help);
        for ring in rings {
            text.sample(name, &[("ring", &ring.shared.name)], value(ring));
        }
    };
    each("rendis_clients", "gauge", "Clients that are connected.", &|ring| {
        u64::try_from(ring.shared.connected.load(Ordering::Relaxed)).unwrap_or(u64::MAX)
    });
    each("rendis_max_clients", "gauge", "How many clients may be connected.", &|ring| {
        u64::try_from(ring.shared.max_clients.load(Ordering::Relaxed)).unwrap_or(u64::MAX)
    });
    each(
        "rendis_clients_blocked",
        "gauge",
        "Clients that wait on a server for what others do (BLPOP).",
        &|ring| u64::try_from(ring.shared.blocked()).unwrap_or(u64::MAX),
    );
    each("rendis_clients_accepted_total", "counter", "Clients that have connected.", &|ring| {
        ring.shared.accepted.load(Ordering::Relaxed)
    });
    each("rendis_clients_refused_total", "counter", "Clients that were more than max_clients.", &|ring| {
        ring.shared.turned_away.load(Ordering::Relaxed)
    });
    let help = "Clients that were dropped because they did not read what was for them, or made the ring hold too much.";
    each("rendis_clients_dropped_total", "counter", help, &|ring| ring.sum(|stats| stats.dropped.read()));
    let help = "Clients whose connection was closed because a command got no answer (on_lost = \"close\").";
    each("rendis_clients_closed_total", "counter", help, &|ring| ring.sum(|stats| stats.closed.read()));
    let help = "What clients make the ring hold: half requests, queued transactions, subscriptions, what they do not read. Limit: client_memory.";
    each("rendis_client_memory_bytes", "gauge", help, &|ring| {
        u64::try_from(ring.shared.memory.held()).unwrap_or(u64::MAX)
    });
    each("rendis_max_client_memory_bytes", "gauge", "How much that may be (client_memory).", &|ring| {
        u64::try_from(ring.shared.memory.most()).unwrap_or(u64::MAX)
    });
    each("rendis_logins_failed_total", "counter", "Logins with a wrong name or password.", &|ring| {
        ring.shared.failed_logins.load(Ordering::Relaxed)
    });
    let help = "TLS handshakes of clients that failed or took too long.";
    each("rendis_tls_handshakes_failed_total", "counter", help, &|ring| {
        ring.sum(|stats| stats.handshakes_failed.read())
    });
    each("rendis_received_bytes_total", "counter", "Bytes from clients.", &|ring| {
        ring.sum(|stats| stats.received.read())
    });
    each("rendis_sent_bytes_total", "counter", "Bytes to clients.", &|ring| {
        ring.sum(|stats| stats.sent.read())
    });
    let name = "rendis_certificate_expires_timestamp_seconds";
    text.metric(name, "gauge", "When the certificate that clients are shown expires.");
    for ring in rings {
        if let Some(expires) = ring.shared.tls.load().as_ref().and_then(|shown| shown.expires) {
            text.sample(name, &[("ring", &ring.shared.name)], expires);
        }
    }
}

fn requests(text: &mut Text, rings: &[Ring]) {
    let name = "rendis_requests_total";
    text.metric(name, "counter", "Requests of clients.");
    for ring in rings {
        text.sample(name, &[("ring", &ring.shared.name)], ring.sum(|stats| stats.requests.read()));
    }
    let name = "rendis_commands_total";
    text.metric(
        name,
        "counter",
        "Requests of clients by command; \"others\" are those of modules, and unknown ones.",
    );
    let table = Table::default();
    for ring in rings {
        let mut sums = vec![0; Table::BUILT_IN + 1];
        for thread in &ring.threads {
            sums.iter_mut().zip(thread.stats.commands.read()).for_each(|(sum, count)| *sum += count);
        }
        let names = table.rows().map(|row| row.name()).chain(["others"]);
        for (command, count) in names.zip(sums).filter(|(_, count)| *count > 0) {
            text.sample(name, &[("ring", &ring.shared.name), ("command", command)], count);
        }
    }
    let name = "rendis_error_replies_total";
    text.metric(name, "counter", "Error replies of servers that were passed on.");
    for ring in rings {
        text.sample(name, &[("ring", &ring.shared.name)], ring.sum(|stats| stats.refusals.read()));
    }
    let name = "rendis_errors_total";
    text.metric(name, "counter", "Requests that rendis answered with an error of its own, by its kind.");
    for ring in rings {
        let mut kinds: Vec<(ErrorKind, u64)> = Vec::new();
        for (kind, count) in ring.threads.iter().flat_map(|thread| thread.stats.errors()) {
            match kinds.iter_mut().find(|(known, _)| *known == kind) {
                Some((_, sum)) => *sum += count,
                None => kinds.push((kind, count)),
            }
        }
        // That one only the library makes.
        kinds.retain(|(kind, _)| *kind != ErrorKind::Engine(Kind::Conflict));
        for (kind, count) in kinds {
            text.sample(name, &[("ring", &ring.shared.name), ("kind", label(kind))], count);
        }
    }
    let name = "rendis_reply_seconds";
    let help = "From taking in what a client sent at a time until the last reply to it; one such batch in 16 is timed.";
    text.metric(name, "histogram", help);
    for ring in rings {
        let mut times = Distribution::default();
        ring.threads.iter().for_each(|thread| times += &thread.stats.replies.read());
        text.histogram(name, &[("ring", &ring.shared.name)], &times);
    }
}

fn shards(text: &mut Text, rings: &[Ring]) {
    let mut each = |name: &str, kind: &str, help: &str, value: &dyn Fn(&Overview) -> u64| {
        text.metric(name, kind, help);
        for ring in rings {
            for shard in &ring.shards {
                text.sample(name, &[("ring", &ring.shared.name), ("shard", &shard.name)], value(shard));
            }
        }
    };
    let number = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
    each("rendis_shard_up", "gauge", "Whether every thread serves from the shard.", &|shard| {
        u64::from(shard.is_up())
    });
    each("rendis_shard_keys_fail", "gauge", "Whether the shard is down and its keys go nowhere.", &|shard| {
        u64::from(shard.standing() == Standing::Absent)
    });
    let help = "How often the shard was taken for down, loading, slow or back.";
    each("rendis_shard_health_changes_total", "counter", help, &|shard| shard.health_changes);
    let help = "Requests that the shard's shared connections took in.";
    each("rendis_shard_requests_total", "counter", help, &|shard| shard.wires.requests);
    let help = "Writes to the shard's shared connections; each carries one request or more.";
    each("rendis_shard_writes_total", "counter", help, &|shard| shard.wires.writes);
    let help = "Requests that are queued for the shard or not answered yet.";
    each("rendis_shard_in_flight", "gauge", help, &|shard| number(shard.wires.in_flight));
    let help = "Bytes to the shard over its shared connections.";
    each("rendis_shard_sent_bytes_total", "counter", help, &|shard| shard.bytes.0);
    let help = "Bytes from the shard over its shared connections.";
    each("rendis_shard_received_bytes_total", "counter", help, &|shard| shard.bytes.1);
    let help = "Bytes of requests that wait to be written to the shard.";
    each("rendis_shard_queue_bytes", "gauge", help, &|shard| number(shard.wires.queued));
    let help = "Shared connections to the shard that stand, over all threads and both protocols.";
    each("rendis_shard_connections", "gauge", help, &|shard| number(shard.wires.connected));
    let help = "Shared connections to the shard that were made.";
    each("rendis_shard_connects_total", "counter", help, &|shard| shard.wires.connects);
    let help = "Exclusive connections to the shard, for blocking commands and watched transactions.";
    each("rendis_shard_exclusive_connections", "gauge", help, &|shard| number(shard.exclusive.total));
    let help = "Requests for an exclusive connection that had to wait.";
    each("rendis_shard_exclusive_waits_total", "counter", help, &|shard| shard.exclusive.waits);
    let help = "Requests for an exclusive connection that waited in vain.";
    each("rendis_shard_exclusive_timeouts_total", "counter", help, &|shard| shard.exclusive.timeouts);
    let name = "rendis_shard_errors_total";
    text.metric(
        name,
        "counter",
        "Errors of calls to the shard, by their kind; a batch that fails counts once.",
    );
    for ring in rings {
        for shard in &ring.shards {
            for (kind, count) in &shard.errors {
                let labels = [("ring", &*ring.shared.name), ("shard", &*shard.name), ("kind", word(*kind))];
                text.sample(name, &labels, *count);
            }
        }
    }
    let name = "rendis_shard_reply_seconds";
    let help = "From writing a batch of requests to the shard until the last reply to it; one batch at a time is timed.";
    text.metric(name, "histogram", help);
    for ring in rings {
        for shard in &ring.shards {
            text.histogram(name, &[("ring", &ring.shared.name), ("shard", &shard.name)], &shard.replies);
        }
    }
    let name = "rendis_shard_probe_seconds";
    text.metric(name, "histogram", "How long health probes of the shard took.");
    for ring in rings {
        for shard in &ring.shards {
            text.histogram(name, &[("ring", &ring.shared.name), ("shard", &shard.name)], &shard.probes);
        }
    }
}

/// What an error is about, as a label.
const fn label(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::Engine(kind) => word(kind),
        ErrorKind::NotLoggedIn => "not_logged_in",
        ErrorKind::Denied => "denied",
        ErrorKind::Malformed => "malformed",
        ErrorKind::Aborted => "aborted",
    }
}

/// A kind as a label.
const fn word(kind: Kind) -> &'static str {
    match kind {
        Kind::ShardDown => "shard_down",
        Kind::Timeout => "timeout",
        Kind::Busy => "busy",
        Kind::CrossShard => "cross_shard",
        Kind::Refused => "refused",
        Kind::Protocol => "protocol",
        Kind::Auth => "auth",
        Kind::Tls => "tls",
        Kind::Config => "config",
        Kind::Server => "server",
        Kind::Conflict => "conflict",
        _ => "other",
    }
}
