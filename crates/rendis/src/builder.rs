//! How a [`Ring`] is described.

use std::future::Future;
use std::num::NonZeroU32;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use rendis_core::command::Table;
use rendis_core::health::Probe;
use rendis_core::outlier::Settings as SlowEjection;
use rendis_core::placement::Spec;
use rendis_core::plan::Allow;
use rendis_core::session::QueueLimits;
use rendis_core::topology::Standing;
use rendis_engine::engine::{Engine, EngineConfig, NewShard};
use rendis_engine::probe::Heartbeat;
use rendis_engine::settings::{OnDown, OnReturn, Settings, ShardSettings};

use crate::error::{Error, Kind};
use crate::ring::{Ring, ShardShape};
use crate::shard::Shard;
use crate::typed::{Cmd, Packed, RedisResult};

/// Describes a [`Ring`]. Every setting has a default; see each method.
#[derive(Default)]
pub struct RingBuilder {
    shards: Vec<Result<ShardSettings, Error>>,
    shape: ShardShape,
    placement: Spec,
    settings: Settings,
    heartbeat: Heartbeat,
    allow: Vec<String>,
    on_new_shard: Option<Arc<NewShard>>,
}

impl Ring {
    /// Describes a ring; [`RingBuilder::build`] makes it.
    #[must_use]
    pub fn builder() -> RingBuilder {
        RingBuilder::default()
    }
}

impl RingBuilder {
    /// Adds a shard. Its name is what the default placement hashes: keep the name when the address changes, and every
    /// key stays where it is. The URL is `redis://[user:password@]host[:port][/db]`, `rediss://…` for TLS,
    /// `unix://[user:password@]/path[?db=N]`, or a plain `host:port`.
    #[must_use]
    pub fn shard(mut self, name: impl Into<String>, url: impl AsRef<str>) -> Self {
        self.shards.push(ShardSettings::new(name, url.as_ref()).map_err(Error::from));
        self
    }

    /// Adds a shard with settings of its own.
    #[must_use]
    pub fn shard_with(mut self, settings: ShardSettings) -> Self {
        self.shards.push(Ok(settings));
        self
    }

    /// Adds shards as pairs of name and URL.
    #[must_use]
    pub fn shards<N: Into<String>, U: AsRef<str>>(self, shards: impl IntoIterator<Item = (N, U)>) -> Self {
        shards.into_iter().fold(self, |builder, (name, url)| builder.shard(name, url))
    }

    /// Called with each shard's name and its settings before it is used, to change user, password, TLS, database and
    /// whatever else is said per shard. Several are called in the order given.
    ///
    /// ```
    /// # use rendis::{Ring, Secret};
    /// let builder = Ring::builder().each_shard(|name, settings| {
    ///     settings.username = Some(format!("app-{name}"));
    ///     settings.password = Some(Secret::new("secret"));
    /// });
    /// ```
    #[must_use]
    pub fn each_shard(mut self, change: impl Fn(&str, &mut ShardSettings) + Send + Sync + 'static) -> Self {
        self.shape.each.push(Box::new(change));
        self
    }

    /// How keys are placed. Default: as go-redis `Ring` v8 and v9 do. See [`crate::placement`].
    #[must_use]
    pub fn placement(mut self, placement: Spec) -> Self {
        self.placement = placement;
        self
    }

    /// The name that connections give themselves (`CLIENT SETNAME`), where a shard's settings name none. Default: none.
    #[must_use]
    pub fn client_name(mut self, name: impl Into<String>) -> Self {
        self.shape.client_name = Some(name.into());
        self
    }

    /// How long resolving, connecting, TLS and the handshake may take together. Default 1 s.
    #[must_use]
    pub fn connect_timeout(mut self, limit: Duration) -> Self {
        self.settings.deadlines.connect = limit;
        self
    }

    /// How long a call may wait for its reply, all attempts together. Default 1 s.
    #[must_use]
    pub fn reply_timeout(mut self, limit: Duration) -> Self {
        self.settings.deadlines.reply = limit;
        self
    }

    /// How long a socket may refuse to take bytes before its connection is given up. Default 1 s.
    #[must_use]
    pub fn write_timeout(mut self, limit: Duration) -> Self {
        self.settings.deadlines.write = limit;
        self
    }

    /// How long to wait for a free exclusive connection. Default 1 s.
    #[must_use]
    pub fn pool_timeout(mut self, limit: Duration) -> Self {
        self.settings.deadlines.wait = limit;
        self
    }

    /// Exclusive connections a shard, at most, for blocking commands and watched transactions. Default 16. One that nobody
    /// used for a minute is closed. All other commands share one wire a shard.
    #[must_use]
    pub fn pool_size(mut self, connections: usize) -> Self {
        self.settings.exclusive = connections;
        self
    }

    /// Shared wires a shard, up to 1024. Default 1: the more callers share a wire, the more requests go out in one write.
    #[must_use]
    pub fn wires(mut self, wires: usize) -> Self {
        self.settings.wires = wires;
        self
    }

    /// What may wait on one shared wire before calls fail with [`Kind::Busy`]. Default 16 384 requests and 64 MiB.
    #[must_use]
    pub fn queue_limits(mut self, requests: usize, bytes: usize) -> Self {
        self.settings.queue = QueueLimits { requests, bytes };
        self
    }

    /// How often a call is made at most, the first time counted. Default 3; 1 turns repeating off. What was never sent is
    /// repeated, and reads also when their outcome is unknown. All attempts share the [reply
    /// deadline](RingBuilder::reply_timeout), and one that ended at its deadline is not repeated.
    #[must_use]
    pub fn attempts(mut self, attempts: u32) -> Self {
        self.settings.retry.attempts = NonZeroU32::new(attempts).unwrap_or(NonZeroU32::MIN);
        self
    }

    /// The longest pause before the second attempt, which doubles with each, and the longest pause at all. Default
    /// 10 ms and 1 s.
    #[must_use]
    pub fn retry_backoff(mut self, first: Duration, longest: Duration) -> Self {
        self.settings.retry.first_wait = first;
        self.settings.retry.longest_wait = longest;
        self
    }

    /// Repeats idempotent writes (`SET`, `DEL`, `HSET` …) also when it is unknown whether they ran. Default no: the
    /// write of another client in between would be undone.
    #[must_use]
    pub fn repeat_idempotent_writes(mut self) -> Self {
        self.settings.retry.repeat_idempotent_writes = true;
        self
    }

    /// How often each shard is probed. Default 500 ms. A probe may take 1 s; a shard that fails three in a row leaves
    /// the ring, and one that answers two in a row comes back.
    #[must_use]
    pub fn heartbeat_frequency(mut self, interval: Duration) -> Self {
        self.settings.health.votes.interval = interval;
        self
    }

    /// How long one probe may take. Default 1 s.
    #[must_use]
    pub fn heartbeat_timeout(mut self, limit: Duration) -> Self {
        self.settings.health.deadline = limit;
        self
    }

    /// Failed probes in a row that take a shard out, and good ones that bring it back; 0 counts as 1. Default 3 and 2.
    #[must_use]
    pub fn heartbeat_thresholds(mut self, fall: u32, rise: u32) -> Self {
        self.settings.health.votes.fall = NonZeroU32::new(fall).unwrap_or(NonZeroU32::MIN);
        self.settings.health.votes.rise = NonZeroU32::new(rise).unwrap_or(NonZeroU32::MIN);
        self
    }

    /// Asks with this command instead of `PING`, on a connection of its own. Any reply that is no error is good.
    #[must_use]
    pub fn heartbeat_command(mut self, cmd: &Cmd) -> Self {
        self.heartbeat = Heartbeat::Command(Packed(cmd).request());
        self
    }

    /// Asks with an async closure instead of `PING`: `true` is good, `false` and errors are bad.
    ///
    /// ```
    /// # use rendis::Ring;
    /// use redis::AsyncCommands;
    ///
    /// let builder = Ring::builder().heartbeat(|mut shard| async move {
    ///     let role: String = redis::cmd("INFO").arg("replication").query_async(&mut shard).await?;
    ///     Ok(role.contains("role:master"))
    /// });
    /// ```
    #[must_use]
    pub fn heartbeat<F, Fut>(mut self, question: F) -> Self
    where
        F: Fn(Shard) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = RedisResult<bool>> + Send + 'static,
    {
        self.heartbeat = Heartbeat::Custom(Arc::new(move |shard| {
            let answer = question(Shard::new(shard, Standing::Serving));
            let probe: Pin<Box<dyn Future<Output = Probe> + Send>> = Box::pin(async move {
                if matches!(answer.await, Ok(true)) { Probe::Good } else { Probe::Failed }
            });
            probe
        }));
        self
    }

    /// What the keys of a dead shard do. Default [`OnDown::Reroute`].
    #[must_use]
    pub fn on_down(mut self, what: OnDown) -> Self {
        self.settings.on_down = what;
        self
    }

    /// What a shard that was away does before it serves again, when its keys went to others meanwhile. Default
    /// [`OnReturn::Forget`].
    #[must_use]
    pub fn on_return(mut self, what: OnReturn) -> Self {
        self.settings.on_return = what;
        self
    }

    /// Takes a shard that answers far more slowly than its peers out of the ring like a dead one, for a while. Default:
    /// never. Only with [`OnDown::Reroute`], and within [`RingBuilder::max_ejected`].
    #[must_use]
    pub fn slow_ejection(mut self, when: SlowEjection) -> Self {
        self.settings.slow_ejection = Some(when);
        self
    }

    /// The most shards that are taken out of the ring at once; past it, calls for the keys of further dead shards fail.
    /// Default: half of the shards, at least one, because when more seem dead it is likelier that *we* are cut off.
    /// The last shard is never taken out.
    #[must_use]
    pub fn max_ejected(mut self, shards: usize) -> Self {
        self.settings.max_ejected = Some(shards);
        self
    }

    /// Lets admin commands through that a ring otherwise refuses (`"SAVE"`, `"CONFIG REWRITE"` …): by their keys where they
    /// have some, else to every shard. Default: none. Some can never be let through, because no ring can answer them;
    /// [`RingBuilder::build`] says so.
    #[must_use]
    pub fn allow<N: Into<String>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        self.allow.extend(names.into_iter().map(Into::into));
        self
    }

    /// Called with every shard that comes into use, when the ring is built and by [`Ring::set_shards`], before it gets
    /// its first command. It runs as a part of that change: [`Ring::set_shards`] is refused to it, and must not be waited for
    /// where another thread calls it. It may close the ring.
    #[must_use]
    pub fn on_new_shard(mut self, told: impl Fn(Shard) + Send + Sync + 'static) -> Self {
        self.on_new_shard =
            Some(Arc::new(move |shard| told(Shard::new(Arc::clone(shard), Standing::Serving))));
        self
    }

    /// Checks the settings, starts the ring on the current tokio runtime, and waits until every shard was tried once.
    ///
    /// A server that cannot be reached or refuses the password is no error here, since the others serve: calls for its
    /// keys say what is wrong, and so does the log.
    ///
    /// The ring can be used on any runtime, and works as long as the one that it was built on: when that has ended, calls
    /// are refused, and subscriptions end with an error.
    ///
    /// # Errors
    /// [`Kind::Config`], before anything is started: a URL that cannot be read, an empty or repeated name, no shard at
    /// all, a weight where the placement has none, a zero with which nothing would work (a deadline, an interval, wires,
    /// connections, a queue), a certificate that cannot be used, no tokio runtime.
    pub async fn build(self) -> Result<Ring, Error> {
        let mut shards = self.shards.into_iter().collect::<Result<Vec<_>, _>>()?;
        shards.iter_mut().for_each(|shard| self.shape.apply(shard));
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return Err(Error::local(Kind::Config, "a ring has to be built on a tokio runtime"));
        };
        let allow = Allow::new(self.allow.iter().map(String::as_str), &Table::default());
        let allow = allow.map_err(|error| Error::local(Kind::Config, error.to_string()))?;
        let config = EngineConfig {
            shards,
            placement: self.placement,
            settings: Settings { allow, ..self.settings },
            heartbeat: self.heartbeat,
            on_new_shard: self.on_new_shard,
            coordinator: Arc::default(),
            first_wait: None,
        };
        Ok(Ring::new(Engine::start(config).await?, Arc::new(self.shape), runtime))
    }
}

impl std::fmt::Debug for RingBuilder {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("RingBuilder").field("shards", &self.shards).finish_non_exhaustive()
    }
}
