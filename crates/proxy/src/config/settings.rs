//! A ring and how it behaves.

use std::time::Duration;

use rendis_core::outlier;
use rendis_core::placement::{Node, Placement, PlacementError, Spec};
use rendis_core::plan::Allow;
use rendis_core::session::QueueLimits;
use rendis_engine::settings::{Deadlines, OnDown, OnReturn};

use crate::access::User;

use super::listen::Listen;
use super::server_tls::ServerTls;
use super::shard::Shard;

/// A ring: one server to its clients, many behind.
#[derive(Clone, Debug, PartialEq)]
pub struct Ring {
    /// `name`: unique in the file. Required.
    pub name: String,
    /// `listen`: an address or a list of them. Default `"127.0.0.1:6380"`.
    pub listen: Vec<Listen>,
    /// `tls = { cert, key, client_ca, required }`: what listeners with `tls:` show to clients. Default: none.
    pub tls: Option<ServerTls>,
    /// `placement = { like = "…", …options }`. Default `{ like = "go-redis" }`.
    pub placement: Spec,
    /// `on_down`: what the keys of a dead shard do. Default `"reroute"`.
    pub on_down: OnDown,
    /// `on_return`: what happens before a shard serves again. Default `"forget"`.
    pub on_return: OnReturn,
    /// `on_lost`: what a client is told of a command that its shard did not answer. Default `"error"`.
    pub on_lost: OnLost,
    /// `slow_ejection = { factor, floor, window, windows, rest }`: when a shard that is far slower than its peers is taken
    /// out, and for how long. Only where shards are taken out: with `on_down = "reroute"` and a `max_ejected` above 0.
    /// Default: never; what is left out of the table has its default.
    pub slow_ejection: Option<outlier::Settings>,
    /// `max_ejected`: the most shards that are taken out at once, up to all but one: the last is never taken out; 0 takes
    /// none out. Default: half of them, at least one.
    pub max_ejected: Option<usize>,
    /// The fields about probing.
    pub health: Health,
    /// `deadlines = { connect, reply, write, wait }`. Default `"1s"` each.
    pub deadlines: Deadlines,
    /// `retries = { … }`
    pub retries: Retries,
    /// `queue = { requests, bytes }`: what may wait on one shared connection to a shard. Default 262144, `"64MiB"`.
    pub queue: QueueLimits,
    /// `drain`: how long requests in flight may take when the proxy ends, and how long those that wait for others (`BLPOP`)
    /// are served on by a shard that was removed; 0 does not wait. Default `"10s"`.
    pub drain: Duration,
    /// `max_clients`: the most clients at a time. Default 10000.
    pub max_clients: usize,
    /// `client_memory`: what all clients may make the ring hold together: half requests, queued transactions, subscriptions,
    /// replies that they do not take. Past it, those that hold most of it and want more are dropped. At least 64 MiB. Default `"1GiB"`.
    pub client_memory: usize,
    /// `allow`: admin commands that are let through to every shard. Default: none.
    pub allow: Allow,
    /// `no_auth`: whether clients on other machines need no password. Default false: a ring without users listens to this
    /// machine alone.
    pub no_auth: bool,
    /// `[[ring.user]]`: who may log in. Each has a `name`; one or several of `password` (in which `${NAME}` is a variable
    /// of the environment and `$${` is `${`), `password_file` and `password_sha256`, unless its rules say `nopass`; and
    /// `rules`, see [`crate::access`]. Default of the rules: everything is allowed. Default: no users, nobody has to log
    /// in.
    pub users: Vec<User>,
    /// `[[ring.shard]]`: the shards, in the order of the file. At least one.
    pub shards: Vec<Shard>,
}

/// What a client is told of a command that its shard did not answer: it died, did not answer in time, or answered
/// something else.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnLost {
    /// `"error"`: an error reply that says which shard, why, and whether the command may have run.
    #[default]
    Error,
    /// `"close"`: its connection is closed, as by a server that dies: for programs that recover from a lost connection, and
    /// end at an error reply that they do not know.
    Close,
}

/// How a ring differs from what it was, by names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RingChanges {
    /// Shards that are new.
    pub added: Vec<String>,
    /// Shards that are gone.
    pub removed: Vec<String>,
    /// Shards that are not as they were.
    pub changed: Vec<String>,
    /// Whether those that stay are in another order.
    pub reordered: bool,
    /// Other fields that are not as they were, as the file names them.
    pub fields: Vec<&'static str>,
}

/// How shards are watched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// `heartbeat_frequency`: the interval between probes. Default `"500ms"`.
    pub frequency: Duration,
    /// `heartbeat_timeout`: how long one probe may take. Default `"1s"`.
    pub timeout: Duration,
    /// `fall`: failed probes in a row that take a shard out. Default 3.
    pub fall: u32,
    /// `rise`: good probes in a row that bring it back. Default 2.
    pub rise: u32,
    /// `probe`: the command that probes, as a list of its words. Not one that waits, subscribes, or spoils its connection.
    /// Default `["PING"]`.
    pub probe: Vec<String>,
}

impl Default for Health {
    fn default() -> Self {
        Self {
            frequency: Duration::from_millis(500),
            timeout: Duration::from_secs(1),
            fall: 3,
            rise: 2,
            probe: vec!["PING".to_owned()],
        }
    }
}

/// How often a command is tried again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retries {
    /// `attempts`: attempts in all, the first counted; 1 repeats nothing. Default 3.
    pub attempts: u32,
    /// `first`: the longest pause before the second attempt, of which a random part is waited; it doubles with each attempt
    /// after that. Default `"10ms"`.
    pub first: Duration,
    /// `longest`: the longest pause at all. Default `"1s"`.
    pub longest: Duration,
    /// `idempotent_writes`: whether idempotent writes are repeated when it is unknown whether they ran. Default false.
    pub idempotent_writes: bool,
}

impl Default for Retries {
    fn default() -> Self {
        Self {
            attempts: 3,
            first: Duration::from_millis(10),
            longest: Duration::from_secs(1),
            idempotent_writes: false,
        }
    }
}

impl Ring {
    /// What placement has to know of the shards, in their order.
    #[must_use]
    pub fn nodes(&self) -> Vec<Node> {
        self.shards.iter().map(Shard::node).collect()
    }

    /// How it differs from the one before: the names of the shards that it has and did not have, that it had and has not,
    /// and that are something else now, with their weight where that is it; their order; and its other fields that have
    /// other values, which may be because a default follows the shards.
    #[must_use]
    pub fn changes_since(&self, before: &Self) -> RingChanges {
        let find = |ring: &Self, name: &str| ring.shards.iter().find(|shard| shard.name == name).cloned();
        let ordered = |ring: &Self, other: &Self| -> Vec<String> {
            let names = ring.shards.iter().map(|shard| shard.name.clone());
            names.filter(|name| find(other, name).is_some()).collect()
        };
        let mut changes = RingChanges {
            reordered: ordered(self, before) != ordered(before, self),
            fields: self.fields_since(before),
            ..RingChanges::default()
        };
        for shard in &self.shards {
            match find(before, &shard.name) {
                None => changes.added.push(shard.name.clone()),
                Some(old) if old.weight != shard.weight => {
                    let weight =
                        shard.weight.map_or_else(|| "default".to_owned(), |weight| weight.to_string());
                    changes.changed.push(format!("{} (weight {weight})", shard.name));
                }
                Some(old) if old != *shard => changes.changed.push(shard.name.clone()),
                Some(_) => {}
            }
        }
        let gone = before.shards.iter().filter(|shard| find(self, &shard.name).is_none());
        changes.removed = gone.map(|shard| shard.name.clone()).collect();
        changes
    }

    fn fields_since(&self, before: &Self) -> Vec<&'static str> {
        // Without `..`, so that a field that comes anew has to be named here.
        let Self {
            name: _,
            listen,
            tls,
            placement,
            on_down,
            on_return,
            on_lost,
            slow_ejection,
            max_ejected,
            health: Health { frequency, timeout, fall, rise, probe },
            deadlines,
            retries,
            queue,
            drain,
            max_clients,
            client_memory,
            allow,
            no_auth,
            users,
            shards: _,
        } = self;
        let health = &before.health;
        let all = [
            ("listen", *listen != before.listen),
            ("tls", *tls != before.tls),
            ("placement", *placement != before.placement),
            ("on_down", *on_down != before.on_down),
            ("on_return", *on_return != before.on_return),
            ("on_lost", *on_lost != before.on_lost),
            ("slow_ejection", *slow_ejection != before.slow_ejection),
            ("max_ejected", *max_ejected != before.max_ejected),
            ("heartbeat_frequency", *frequency != health.frequency),
            ("heartbeat_timeout", *timeout != health.timeout),
            ("fall", *fall != health.fall),
            ("rise", *rise != health.rise),
            ("probe", *probe != health.probe),
            ("deadlines", *deadlines != before.deadlines),
            ("retries", *retries != before.retries),
            ("queue", *queue != before.queue),
            ("drain", *drain != before.drain),
            ("max_clients", *max_clients != before.max_clients),
            ("client_memory", *client_memory != before.client_memory),
            ("allow", *allow != before.allow),
            ("no_auth", *no_auth != before.no_auth),
            ("user", *users != before.users),
        ];
        all.into_iter().filter(|(_, differs)| *differs).map(|(name, _)| name).collect()
    }

    /// Which shard has which key when all are up.
    ///
    /// # Errors
    /// None for a ring that was read from a file: that it can be placed was checked then.
    pub fn place(&self) -> Result<Placement, PlacementError> {
        Placement::build(&self.placement, &self.nodes(), &vec![true; self.shards.len()])
    }
}
