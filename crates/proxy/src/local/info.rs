//! `INFO`: what a ring says about itself, in the form in which a server would.

use std::fmt::Write as _;
use std::process;
use std::sync::atomic::Ordering;
use std::time::{SystemTime, UNIX_EPOCH};

use rendis_core::command::Repeat;
use rendis_core::request::{Request, RequestBuf, is_word};
use rendis_core::session::Replies;
use rendis_core::topology::Standing;

use crate::context::{Context, Shared};
use crate::identity::Identity;
use rendis_engine::shard::WireStats;

use super::push_text;

/// The sections, in the order in which they stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Section {
    Server,
    Clients,
    Memory,
    Persistence,
    Stats,
    Replication,
    Cpu,
    Cluster,
    Shards,
    Keyspace,
}

const SECTIONS: [(&str, Section); 10] = [
    ("Server", Section::Server),
    ("Clients", Section::Clients),
    ("Memory", Section::Memory),
    ("Persistence", Section::Persistence),
    ("Stats", Section::Stats),
    ("Replication", Section::Replication),
    ("CPU", Section::Cpu),
    ("Cluster", Section::Cluster),
    ("Shards", Section::Shards),
    ("Keyspace", Section::Keyspace),
];

/// `INFO [section …]`: the sections named, or all; unknown names add nothing.
pub(super) async fn info(request: Request<'_>, identity: &Identity, context: &Context, out: &mut Vec<u8>) {
    let wanted = |name: &str| {
        let mut names = request.arguments().skip(1).peekable();
        let all = ["default", "all", "everything"];
        names.peek().is_none()
            || names.any(|one| {
                one.eq_ignore_ascii_case(name.as_bytes()) || all.iter().any(|all| is_word(one, all))
            })
    };
    let mut text = String::new();
    for (name, section) in SECTIONS.into_iter().filter(|(name, _)| wanted(name)) {
        if !text.is_empty() {
            text.push_str("\r\n");
        }
        let _ = write!(text, "# {name}\r\n");
        let lines = match section {
            Section::Server => server(context),
            Section::Clients => clients(&context.shared),
            Section::Memory => memory(),
            Section::Persistence => "loading:0\r\n".to_owned(),
            Section::Stats => stats(&context.shared),
            Section::Replication => replication(&context.shared),
            Section::Cpu => cpu(),
            Section::Cluster => "cluster_enabled:0\r\n".to_owned(),
            Section::Shards => shards(context),
            Section::Keyspace => keyspace(context).await,
        };
        text.push_str(&lines);
    }
    push_text(out, identity.resp3, text.as_bytes());
}

fn server(context: &Context) -> String {
    let shared = &context.shared;
    let up = shared.started.elapsed().as_secs();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    format!(
        "redis_version:{}\r\nredis_git_sha1:00000000\r\nredis_git_dirty:0\r\nredis_mode:standalone\r\n\
         rendis_version:{}\r\nrendis_ring:{}\r\nos:{} {}\r\narch_bits:{}\r\nprocess_id:{}\r\nrun_id:{}\r\ntcp_port:{}\r\n\
         server_time_usec:{}\r\nuptime_in_seconds:{up}\r\nuptime_in_days:{}\r\n",
        context.redis_version(),
        env!("CARGO_PKG_VERSION"),
        shared.name,
        std::env::consts::OS,
        std::env::consts::ARCH,
        usize::BITS,
        process::id(),
        shared.run_id,
        shared.port.load(Ordering::Relaxed),
        now.as_micros(),
        up / 86_400,
    )
}

fn clients(shared: &Shared) -> String {
    let listening = shared.clients.all().iter().filter(|card| card.facts().listens != [0; 3]).count();
    format!(
        "connected_clients:{}\r\ncluster_connections:0\r\nmaxclients:{}\r\nblocked_clients:{}\r\n\
         tracking_clients:0\r\npubsub_clients:{listening}\r\n",
        shared.connected.load(Ordering::Relaxed),
        shared.max_clients.load(Ordering::Relaxed),
        shared.blocked(),
    )
}

/// What this process holds, not its servers.
fn memory() -> String {
    let (now, peak) = crate::process::memory().map_or((0, 0), |memory| (memory.now, memory.peak));
    let (shown, shown_peak) = (human(now), human(peak));
    format!(
        "used_memory:{now}\r\nused_memory_human:{shown}\r\nused_memory_rss:{now}\r\nused_memory_rss_human:{shown}\r\n\
         used_memory_peak:{peak}\r\nused_memory_peak_human:{shown_peak}\r\nmaxmemory:0\r\nmaxmemory_human:0B\r\n\
         maxmemory_policy:noeviction\r\n"
    )
}

/// Bytes as a server shows them: `1.50M`.
fn human(bytes: u64) -> String {
    let units = [("B", 0), ("K", 10), ("M", 20), ("G", 30), ("T", 40)];
    let fits = |(_, shift): &&(&str, u32)| bytes >> shift > 0;
    let (unit, shift) = units.iter().rev().find(fits).copied().unwrap_or(("B", 0));
    if shift == 0 {
        return format!("{bytes}B");
    }
    let hundredths = (u128::from(bytes) * 100) >> shift;
    format!("{}.{:02}{unit}", hundredths / 100, hundredths % 100)
}

fn stats(shared: &Shared) -> String {
    let threads = shared.threads();
    let sum =
        |of: fn(&crate::stats::Stats) -> u64| -> u64 { threads.iter().map(|thread| of(&thread.stats)).sum() };
    let errors: u64 = threads.iter().flat_map(|thread| thread.stats.errors()).map(|(_, count)| count).sum();
    format!(
        "total_connections_received:{}\r\ntotal_commands_processed:{}\r\ntotal_net_input_bytes:{}\r\n\
         total_net_output_bytes:{}\r\nrejected_connections:{}\r\ntotal_error_replies:{}\r\n\
         acl_access_denied_auth:{}\r\nacl_access_denied_cmd:{}\r\n",
        shared.accepted.load(Ordering::Relaxed),
        sum(|stats| stats.requests.read()),
        sum(|stats| stats.received.read()),
        sum(|stats| stats.sent.read()),
        shared.turned_away.load(Ordering::Relaxed),
        sum(|stats| stats.refusals.read()) + errors,
        shared.failed_logins.load(Ordering::Relaxed),
        shared.denied.load(Ordering::Relaxed),
    )
}

fn replication(shared: &Shared) -> String {
    format!(
        "role:master\r\nconnected_slaves:0\r\nmaster_failover_state:no-failover\r\nmaster_replid:{}\r\n\
         master_replid2:{:040}\r\nmaster_repl_offset:0\r\nsecond_repl_offset:-1\r\nrepl_backlog_active:0\r\n",
        shared.run_id, 0
    )
}

/// What processors have worked for this process, not for its servers.
fn cpu() -> String {
    let worked = crate::process::worked().unwrap_or_default();
    let (system, user) = (worked.system.as_secs_f64(), worked.user.as_secs_f64());
    format!("used_cpu_sys:{system:.6}\r\nused_cpu_user:{user:.6}\r\n")
}

/// How a shard stands, in the words that operators read.
pub(crate) const fn state(standing: Standing) -> &'static str {
    match standing {
        Standing::Serving => "up",
        Standing::Ejected => "down,keys=elsewhere",
        Standing::Absent => "down,keys=here",
    }
}

/// A line for each shard: whether it is up as this thread sees it, and what all threads asked of it.
fn shards(context: &Context) -> String {
    let topology = context.engine(false).topology();
    let others: Vec<_> = context.shared.threads().iter().map(|thread| thread.engine.topology()).collect();
    let members = topology.members();
    let mut text = format!("shards:{}\r\nshards_up:{}\r\n", members.len(), topology.live().len());
    for (at, member) in members.iter().enumerate() {
        let same = others
            .iter()
            .flat_map(|topology| topology.members())
            .filter(|other| other.shard.name() == member.shard.name());
        let wires: WireStats = same.map(|other| other.shard.wire_stats()).sum();
        let WireStats { requests, in_flight, .. } = wires;
        let state = state(member.standing);
        let place = member.shard.endpoint();
        let _ = write!(
            text,
            "shard{at}:name={},address={},state={state},requests={requests},in_flight={in_flight}",
            place.name, place.address
        );
        if member.standing != Standing::Serving
            && let Some(trouble) = member.shard.trouble()
        {
            // The last field, and one line: whoever splits at commas loses no other.
            let _ = write!(text, ",last_error={}", trouble.replace(['\r', '\n'], " "));
        }
        text.push_str("\r\n");
    }
    text
}

/// How many keys the live shards hold together, as database 0. Empty without keys, and when no shard answers.
async fn keyspace(context: &Context) -> String {
    let engine = context.engine(false);
    let request = RequestBuf::pack([&b"INFO"[..], b"keyspace"]);
    let topology = engine.topology();
    let mut asked = tokio::task::JoinSet::new();
    for id in topology.live() {
        let Some(member) = topology.member(*id) else { continue };
        let line = format!("db{}:", member.shard.settings().database);
        let (engine, request, id) = (engine.clone(), request.clone(), *id);
        asked.spawn(async move { (line, engine.call_shard(id, &request, Repeat::Read).await) });
    }
    let (mut keys, mut expires, mut lives) = (0_u64, 0_u64, 0_u64);
    while let Some(answered) = asked.join_next().await {
        let Ok((line, Ok(Replies::One(reply)))) = answered else { continue };
        let text = String::from_utf8_lossy(reply.as_bulk().unwrap_or_default());
        let Some(fields) = text.lines().find_map(|found| found.strip_prefix(&line)) else { continue };
        let number = |name: &str| -> u64 {
            let field =
                fields.trim().split(',').find_map(|field| field.strip_prefix(name)?.strip_prefix('='));
            field.and_then(|number| number.parse().ok()).unwrap_or(0)
        };
        keys += number("keys");
        expires += number("expires");
        lives += number("avg_ttl").saturating_mul(number("expires"));
    }
    let average = lives.checked_div(expires).unwrap_or(0);
    if keys == 0 { String::new() } else { format!("db0:keys={keys},expires={expires},avg_ttl={average}\r\n") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_shown_as_a_server_shows_them() {
        let shown = [0, 1023, 1024, 1536, (1 << 20) - 1, 1 << 20, 5 << 29, u64::MAX].map(human);
        assert_eq!(shown, ["0B", "1023B", "1.00K", "1.50K", "1023.99K", "1.00M", "2.50G", "16777215.99T"]);
    }
}
