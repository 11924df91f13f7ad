//! How an engine behaves. Each type's `Default` is the documented default.

use std::time::Duration;

use rendis_core::health;
use rendis_core::outlier;
use rendis_core::placement::Node;
use rendis_core::plan::Allow;
use rendis_core::retry::{BudgetSettings, Policy};
use rendis_core::session::QueueLimits;

use crate::address::{Address, ServerUrl, UrlError};
use crate::error::{Error, Kind};
use crate::secret::Secret;
use crate::transport::Transport;

/// How long each step may take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deadlines {
    /// Resolving, connecting, TLS and the Redis handshake together. Default 1 s.
    pub connect: Duration,
    /// From handing a request in until its reply. Default 1 s.
    pub reply: Duration,
    /// How long a socket may refuse to take bytes. Default 1 s.
    pub write: Duration,
    /// Waiting for an exclusive connection. Default 1 s.
    pub wait: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        let second = Duration::from_secs(1);
        Self { connect: second, reply: second, write: second, wait: second }
    }
}

/// Which protocol is spoken to a server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// RESP3 where the server knows `HELLO 3`, else RESP2. The default.
    #[default]
    Newest,
    /// RESP2 only: `HELLO` is sent without a protocol, to hear which version the server is, and need not be known.
    Resp2,
}

/// TLS towards a server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsSettings {
    /// Certificates to trust, as PEM; the system's own when empty.
    pub ca: Vec<u8>,
    /// What the client shows of itself, when the server wants it.
    pub client: Option<ClientCertificate>,
    /// The name that the server's certificate must carry, where it is not the host of the address.
    pub server_name: Option<String>,
}

/// What a client shows who it is with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificate {
    /// The certificate, and those between it and its authority, as PEM.
    pub certificate: Vec<u8>,
    /// The private key, as PEM.
    pub key: Secret,
}

/// One server of a ring. [`ShardSettings::new`] makes one with the defaults.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ShardSettings {
    /// Its name, unique in the ring. Placement hashes it where no `id` is given and the preset goes by name.
    pub name: String,
    /// Where it listens.
    pub address: Address,
    /// TLS, where it is spoken.
    pub tls: Option<TlsSettings>,
    /// The ACL user; the server's default user where absent.
    pub username: Option<String>,
    /// The password.
    pub password: Option<Secret>,
    /// The database that is selected on each connection. Default 0.
    pub database: u32,
    /// The name that connections give themselves (`CLIENT SETNAME`).
    pub client_name: Option<String>,
    /// Which protocol is spoken.
    pub protocol: Protocol,
    /// What carries its connections. Default: the system's sockets.
    pub transport: Transport,
    /// What placement hashes for this shard, where it is not the preset's default.
    pub id: Option<String>,
    /// Its share, where the placement knows weights.
    pub weight: Option<u32>,
    /// Jedis presets: whether the shard is placed by its name and not by its position.
    pub named: bool,
}

impl ShardSettings {
    /// A shard at a URL (see [`ServerUrl::parse`]).
    ///
    /// # Errors
    /// [`UrlError`], with the shard's name, when the URL cannot be read.
    pub fn new(name: impl Into<String>, url: &str) -> Result<Self, UrlError> {
        let name = name.into();
        let url = ServerUrl::parse(url).map_err(|error| error.of_shard(&name))?;
        Ok(Self::at(name, url))
    }

    /// A shard at a URL that was read before.
    #[must_use]
    pub fn at(name: impl Into<String>, url: ServerUrl) -> Self {
        Self {
            name: name.into(),
            address: url.address,
            tls: url.tls.then(TlsSettings::default),
            username: url.username,
            password: url.password,
            database: url.database,
            client_name: None,
            protocol: Protocol::default(),
            transport: Transport::default(),
            id: None,
            weight: None,
            named: false,
        }
    }

    /// What placement has to know of it.
    #[must_use]
    pub fn node(&self) -> Node {
        let address = self.address.on_ring(self.tls.is_some(), self.database);
        Node { name: self.name.clone(), address, id: self.id.clone(), weight: self.weight, named: self.named }
    }

    /// Whether both are one server under one name, whoever logs in there, and how.
    #[must_use]
    pub fn is_same_server(&self, other: &Self) -> bool {
        self.name == other.name && self.address == other.address && self.database == other.database
    }

    /// Whether connections made for `self` serve `other` as well: everything but its place on the ring is the same.
    #[must_use]
    pub fn same_connection(&self, other: &Self) -> bool {
        let bare = |shard: &Self| Self { id: None, weight: None, named: false, ..shard.clone() };
        bare(self) == bare(other)
    }
}

/// How shards are watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HealthSettings {
    /// How often each shard is probed, and how many votes take it out or bring it back. Default: every 500 ms, out after
    /// 3 failed probes or 5 failed connections in a row, back after 2 good probes.
    pub votes: health::Settings,
    /// How long one probe may take. Default 1 s.
    pub deadline: Duration,
}

impl Default for HealthSettings {
    fn default() -> Self {
        Self { votes: health::Settings::default(), deadline: Duration::from_secs(1) }
    }
}

/// What the keys of a shard that is down do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnDown {
    /// The shard leaves the placement and its keys go to others. The default of `Ring`.
    Reroute,
    /// Calls for its keys fail at once with [`Kind::ShardDown`].
    Fail,
    /// Reads answer as if its keys did not exist, everything else fails at once with [`Kind::ShardDown`]. A read for
    /// which "does not exist" has no answer (`XINFO`, `EVAL_RO`, those of modules) fails too. Until it is known to be down, calls
    /// that were not written wait, within their deadline, and nothing is missed: its connections may be lost, and it be well.
    Miss,
}

/// What a shard does before it serves again, when its keys went to others meanwhile.
///
/// What it holds of the keys that were written elsewhere is old.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnReturn {
    /// It forgets the keys that were written or deleted elsewhere through this process while it was away, and so do the
    /// shards that stood in. The default: no reader sees an old value, as far as this process wrote the new one. The keys
    /// are remembered in up to 64 MiB; past that the shard returns as with [`OnReturn::Keep`], and the log says so.
    Forget,
    /// Nothing: readers see old values. What go-redis does.
    Keep,
    /// It forgets everything (`FLUSHALL ASYNC`, all its databases).
    Flush,
}

/// How an engine behaves.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How long each step may take.
    pub deadlines: Deadlines,
    /// What may wait on one shared wire. Default 16 384 requests and 64 MiB.
    pub queue: QueueLimits,
    /// Shared wires a shard. Default 1, which joins the most requests into one write.
    pub wires: usize,
    /// Whether a shared wire on which some requests are owed, and not a great many, lets the runtime look for events a few
    /// times before it writes, so that requests which others are about to make share the write. For one who reads them from
    /// many sockets, as a proxy does. Callers that are tasks of the same runtime are waited for anyway, and would lose by
    /// it. Default false.
    pub linger: bool,
    /// Exclusive connections a shard, for blocking commands and watched transactions. Default 16.
    pub exclusive: usize,
    /// How shards are watched.
    pub health: HealthSettings,
    /// How often a call is made again.
    pub retry: Policy,
    /// How many calls are made again at the most, as a share of all.
    pub budget: BudgetSettings,
    /// What the keys of a dead shard do.
    pub on_down: OnDown,
    /// What a shard does before it serves again. Default [`OnReturn::Forget`].
    pub on_return: OnReturn,
    /// Whether, and when, a shard that answers far more slowly than its peers is taken out like a dead one, for a while.
    /// Default: never. Only with [`OnDown::Reroute`], and only where one more may be taken out.
    pub slow_ejection: Option<outlier::Settings>,
    /// How long a command that waits for what others do (`BLPOP`) may go on waiting on a shard that was removed. Default
    /// 10 s.
    pub drain: Duration,
    /// The most shards that are taken out at once. Default: half of them, at least one. The last is never taken out.
    pub max_ejected: Option<usize>,
    /// Commands that are otherwise refused on a ring and let through all the same. Default: none.
    pub allow: Allow,
}

impl Settings {
    /// The settings with durations of more than a year cut to one, which no clock can tell from for ever.
    ///
    /// # Errors
    /// [`Kind::Config`] for a zero that would leave nothing working: a deadline, an interval, wires, connections or a
    /// queue. (Waiting for an exclusive connection may be zero: then nobody waits.)
    pub(crate) fn checked(mut self) -> Result<Self, Error> {
        let zero = |what: &str| Error::local(Kind::Config, format!("{what} is zero"));
        let (deadlines, health) = (&mut self.deadlines, &mut self.health);
        for (what, duration) in [
            ("the connect deadline", &mut deadlines.connect),
            ("the reply deadline", &mut deadlines.reply),
            ("the write deadline", &mut deadlines.write),
            ("the heartbeat's deadline", &mut health.deadline),
            ("the heartbeat's interval", &mut health.votes.interval),
        ] {
            if duration.is_zero() {
                return Err(zero(what));
            }
            *duration = (*duration).min(LONGEST);
        }
        deadlines.wait = deadlines.wait.min(LONGEST);
        health.votes.longest_interval = health.votes.longest_interval.min(LONGEST);
        self.retry.first_wait = self.retry.first_wait.min(LONGEST);
        self.retry.longest_wait = self.retry.longest_wait.min(LONGEST);
        self.drain = self.drain.min(LONGEST);
        self.exclusive = self.exclusive.min(MOST_EXCLUSIVE);
        self.wires = self.wires.min(MOST_WIRES);
        if let Some(slow) = &mut self.slow_ejection {
            if slow.window.is_zero() {
                return Err(zero("the window in which slow shards are looked for"));
            }
            slow.window = slow.window.min(LONGEST);
            slow.rest = slow.rest.min(LONGEST);
        }
        for (what, number) in [
            ("the number of wires", self.wires),
            ("the number of exclusive connections", self.exclusive),
            ("the queue's limit in requests", self.queue.requests),
            ("the queue's limit in bytes", self.queue.bytes),
        ] {
            if number == 0 {
                return Err(zero(what));
            }
        }
        Ok(self)
    }

    /// Whether connections made with `self` serve under `other` as well.
    pub(crate) fn same_connections(&self, other: &Self) -> bool {
        self.deadlines == other.deadlines
            && self.queue == other.queue
            && self.wires == other.wires
            && self.linger == other.linger
            && self.exclusive == other.exclusive
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            deadlines: Deadlines::default(),
            queue: QueueLimits::default(),
            wires: 1,
            linger: false,
            exclusive: 16,
            health: HealthSettings::default(),
            retry: Policy::default(),
            budget: BudgetSettings::default(),
            on_down: OnDown::Reroute,
            on_return: OnReturn::Forget,
            slow_ejection: None,
            drain: Duration::from_secs(10),
            max_ejected: None,
            allow: Allow::default(),
        }
    }
}

/// What stands for ever.
pub(crate) const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);

/// As many exclusive connections as a system has ports.
const MOST_EXCLUSIVE: usize = 65_535;

/// More connections that all are made at the start than a server is glad of.
const MOST_WIRES: usize = 1024;
