//! How a [`Pool`] is described.

use std::sync::Arc;
use std::time::Duration;

use rendis_core::placement::{Placement, RoshiHash, Spec};
use rendis_engine::address::ServerUrl;
use rendis_engine::dial::Dialer;
use rendis_engine::error::Endpoint;
use rendis_engine::exclusive::Exclusive;
use rendis_engine::settings::{Deadlines, ShardSettings};
use rendis_engine::tls::SystemRoots;

use crate::error::{Error, Kind};

use super::{Instance, Pool};

/// Changes the settings of the instance at this position.
type ChangeInstance = dyn Fn(usize, &mut ShardSettings) + Send + Sync;

/// Describes a [`Pool`]. Every setting has a default; see each method.
pub struct PoolBuilder {
    instances: Vec<Result<ShardSettings, Error>>,
    each: Vec<Box<ChangeInstance>>,
    placement: Spec,
    deadlines: Deadlines,
    connections: usize,
    client_name: Option<String>,
}

impl PoolBuilder {
    pub(super) fn new<A: AsRef<str>>(addresses: impl IntoIterator<Item = A>) -> Self {
        Self {
            instances: (1..)
                .zip(addresses)
                .map(|(number, address)| read_address(number, address.as_ref()))
                .collect(),
            each: Vec::new(),
            placement: Spec::roshi(RoshiHash::Murmur3),
            deadlines: Deadlines::default(),
            connections: 10,
            client_name: None,
        }
    }

    /// How long resolving, connecting, TLS and the handshake may take together. Default 1 s; zero is refused.
    #[must_use]
    pub fn connect_timeout(mut self, limit: Duration) -> Self {
        self.deadlines.connect = limit;
        self
    }

    /// How long one reply may take, from the moment it is waited for until it has come whole. The time that a blocking
    /// command waits by itself is added. Default 1 s; zero is refused.
    #[must_use]
    pub fn read_timeout(mut self, limit: Duration) -> Self {
        self.deadlines.reply = limit;
        self
    }

    /// How long an instance may refuse to take bytes. Default 1 s; zero is refused.
    #[must_use]
    pub fn write_timeout(mut self, limit: Duration) -> Self {
        self.deadlines.write = limit;
        self
    }

    /// How long a call may wait until one of the connections to its instance is free, in the order of asking. Dialling
    /// comes after it, under the connect timeout. Default 1 s; with zero nobody waits.
    #[must_use]
    pub fn wait_timeout(mut self, limit: Duration) -> Self {
        self.deadlines.wait = limit;
        self
    }

    /// The most connections to one instance, those being dialled counted. Default 10; 1 to 65 535.
    #[must_use]
    pub fn max_connections_per_instance(mut self, connections: usize) -> Self {
        self.connections = connections;
        self
    }

    /// The hash of a key; its remainder by the number of instances is the key's index. Default
    /// [`hash::murmur3`](crate::hash::murmur3).
    ///
    /// ```
    /// use rendis::{Pool, hash};
    ///
    /// let addresses = ["10.0.0.1:6379", "10.0.0.2:6379", "10.0.0.3:6379"];
    /// let pool = Pool::builder(addresses).hash(hash::fnv1a).build()?;
    /// assert_eq!(pool.index("foo"), usize::try_from(hash::fnv1a(b"foo") % 3).unwrap());
    ///
    /// // Any function will do: this one places by a number at the end of the key.
    /// let by_number = |key: &[u8]| key.last().map_or(0, |digit| u32::from(digit.wrapping_sub(b'0')));
    /// let pool = Pool::builder(addresses).hash(by_number).build()?;
    /// assert_eq!(pool.index("user:5"), 2);
    /// # Ok::<(), rendis::Error>(())
    /// ```
    #[must_use]
    pub fn hash(mut self, hash: impl Fn(&[u8]) -> u32 + Send + Sync + 'static) -> Self {
        self.placement = Spec::roshi_with(hash);
        self
    }

    /// The name that connections give themselves (`CLIENT SETNAME`). Default: none.
    #[must_use]
    pub fn client_name(mut self, name: impl Into<String>) -> Self {
        self.client_name = Some(name.into());
        self
    }

    /// Called by [`PoolBuilder::build`] with each instance's position and its settings, to change user, password, TLS,
    /// database and whatever else is said per instance. Several are called in the order given.
    ///
    /// ```
    /// use rendis::{Pool, Secret};
    ///
    /// let pool = Pool::builder(["10.0.0.1:6379", "10.0.0.2:6379"])
    ///     .each_instance(|_, settings| settings.password = Some(Secret::new("secret")))
    ///     .build()?;
    /// # Ok::<(), rendis::Error>(())
    /// ```
    #[must_use]
    pub fn each_instance(
        mut self,
        change: impl Fn(usize, &mut ShardSettings) + Send + Sync + 'static,
    ) -> Self {
        self.each.push(Box::new(change));
        self
    }

    /// Checks the settings. It connects to nothing and needs no runtime: the first call for an instance dials it.
    ///
    /// # Errors
    /// [`Kind::Config`]: no address or an address that cannot be read, a limit of zero, a certificate that cannot be
    /// used.
    pub fn build(self) -> Result<Pool, Error> {
        self.check()?;
        let mut instances = Vec::with_capacity(self.instances.len());
        let mut nodes = Vec::with_capacity(self.instances.len());
        let system = SystemRoots::default();
        for (position, settings) in self.instances.into_iter().enumerate() {
            let mut settings = settings?;
            settings.client_name.clone_from(&self.client_name);
            self.each.iter().for_each(|change| change(position, &mut settings));
            settings.name = settings.address.to_string();
            nodes.push(settings.node());
            instances.push(instance(settings, &self.deadlines, self.connections, &system)?);
        }
        let live = vec![true; nodes.len()];
        let placement = Placement::build(&self.placement, &nodes, &live)
            .map_err(|error| Error::local(Kind::Config, error.to_string()))?;
        Ok(Pool::new(placement, instances))
    }

    fn check(&self) -> Result<(), Error> {
        let refuse = |text: &str| Err(Error::local(Kind::Config, text));
        if self.instances.is_empty() {
            return refuse("a pool needs at least one address");
        }
        if !(1..=MOST_CONNECTIONS).contains(&self.connections) {
            return refuse("max_connections_per_instance must be 1 to 65535");
        }
        for (name, limit) in [
            ("connect_timeout", self.deadlines.connect),
            ("read_timeout", self.deadlines.reply),
            ("write_timeout", self.deadlines.write),
        ] {
            if limit.is_zero() {
                return refuse(&format!("{name} must be longer than zero"));
            }
        }
        Ok(())
    }
}

impl std::fmt::Debug for PoolBuilder {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("PoolBuilder").field("instances", &self.instances).finish_non_exhaustive()
    }
}

fn read_address(number: usize, address: &str) -> Result<ShardSettings, Error> {
    // Read once before it becomes a name, because a name is shown and an address may hold a password.
    let url = ServerUrl::parse(address).map_err(|error| {
        Error::local(Kind::Config, format!("address {number}: not the address of a server: {error}"))
    })?;
    Ok(ShardSettings::at(url.address.to_string(), url))
}

fn instance(
    settings: ShardSettings,
    deadlines: &Deadlines,
    connections: usize,
    system: &SystemRoots,
) -> Result<Instance, Error> {
    let endpoint = Endpoint { name: settings.name.clone(), address: settings.address.to_string() };
    let database = settings.database;
    let dialer = Arc::new(Dialer::new(settings, deadlines.clone(), system)?);
    Ok(Instance {
        endpoint: Arc::new(endpoint),
        database,
        read_timeout: deadlines.reply,
        connections: Exclusive::new(dialer, connections, deadlines.wait, None)?,
    })
}

/// More connections to one server than there are ports.
const MOST_CONNECTIONS: usize = 65_535;
