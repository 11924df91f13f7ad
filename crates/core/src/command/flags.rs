/// What a command is known to be, as a set.
///
/// The names are those of the `COMMAND` reply of a server; [`Flags::IDEMPOTENT`] is ours.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Flags(u32);

impl Flags {
    /// Nothing is known.
    pub const NONE: Self = Self(0);
    /// Reads data, changes none.
    pub const READONLY: Self = Self(1);
    /// May change data.
    pub const WRITE: Self = Self(1 << 1);
    /// Refused by a server that is out of memory.
    pub const DENYOOM: Self = Self(1 << 2);
    /// Administers the server.
    pub const ADMIN: Self = Self(1 << 3);
    /// Belongs to publish and subscribe.
    pub const PUBSUB: Self = Self(1 << 4);
    /// Not allowed in scripts.
    pub const NOSCRIPT: Self = Self(1 << 5);
    /// May wait for something; [`super::Row::blocks`] says whether a request does.
    pub const BLOCKING: Self = Self(1 << 6);
    /// Allowed while the server loads its data.
    pub const LOADING: Self = Self(1 << 7);
    /// Allowed on a replica with stale data.
    pub const STALE: Self = Self(1 << 8);
    /// Constant or logarithmic time.
    pub const FAST: Self = Self(1 << 9);
    /// Allowed before authentication.
    pub const NO_AUTH: Self = Self(1 << 10);
    /// Not allowed between `MULTI` and `EXEC`.
    pub const NO_MULTI: Self = Self(1 << 11);
    /// The positions of keys depend on the arguments.
    pub const MOVABLEKEYS: Self = Self(1 << 12);
    /// A request without a key is well-formed.
    pub const NO_MANDATORY_KEYS: Self = Self(1 << 13);
    /// Not allowed while data is loaded in the background.
    pub const NO_ASYNC_LOADING: Self = Self(1 << 14);
    /// Allowed while a script runs too long.
    pub const ALLOW_BUSY: Self = Self(1 << 15);
    /// Not shown to `MONITOR`.
    pub const SKIP_MONITOR: Self = Self(1 << 16);
    /// Not recorded by the slow log.
    pub const SKIP_SLOWLOG: Self = Self(1 << 17);
    /// Implies `ASKING` on a cluster.
    pub const ASKING: Self = Self(1 << 18);
    /// Ours: run twice with nothing in between, it leaves the state that one run leaves. What the second run
    /// answers may differ (`DEL` says 0). Commands whose answer decides what a caller does next (`SETNX`, `GETDEL`)
    /// and those that build on what they find (`INCR`, `LPUSH`, `LTRIM`) are not.
    pub const IDEMPOTENT: Self = Self(1 << 24);

    /// The servers' names of the flags.
    const NAMES: [(&'static str, Self); 19] = [
        ("readonly", Self::READONLY),
        ("write", Self::WRITE),
        ("denyoom", Self::DENYOOM),
        ("admin", Self::ADMIN),
        ("pubsub", Self::PUBSUB),
        ("noscript", Self::NOSCRIPT),
        ("blocking", Self::BLOCKING),
        ("loading", Self::LOADING),
        ("stale", Self::STALE),
        ("fast", Self::FAST),
        ("no_auth", Self::NO_AUTH),
        ("no_multi", Self::NO_MULTI),
        ("movablekeys", Self::MOVABLEKEYS),
        ("no_mandatory_keys", Self::NO_MANDATORY_KEYS),
        ("no_async_loading", Self::NO_ASYNC_LOADING),
        ("allow_busy", Self::ALLOW_BUSY),
        ("skip_monitor", Self::SKIP_MONITOR),
        ("skip_slowlog", Self::SKIP_SLOWLOG),
        ("asking", Self::ASKING),
    ];

    /// Both sets together.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether every flag of `other` is set here.
    #[must_use]
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The flag that a server calls by this name; [`Flags::NONE`] for a name that is not known (newer servers may
    /// have more, and none of them may make a command look safer than it is).
    #[must_use]
    pub fn named(name: &[u8]) -> Self {
        let known = Self::NAMES.iter().find(|(known, _)| known.as_bytes() == name);
        known.map_or(Self::NONE, |(_, flag)| *flag)
    }

    /// The servers' names of the flags set here.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Self::NAMES.into_iter().filter(move |(_, flag)| self.has(*flag)).map(|(name, _)| name)
    }
}

impl std::fmt::Debug for Flags {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_set().entries(self.names()).finish()
    }
}
