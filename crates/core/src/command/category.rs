use super::Flags;

/// The groups of commands that the rules about users speak of (`@read`, `@dangerous`), as a set.
///
/// The names are those of `ACL CAT` of a server, without the `@`.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Categories(u32);

impl Categories {
    /// None.
    pub const NONE: Self = Self(0);
    /// About keys, whatever they hold.
    pub const KEYSPACE: Self = Self(1);
    /// Reads data.
    pub const READ: Self = Self(1 << 1);
    /// May change data.
    pub const WRITE: Self = Self(1 << 2);
    /// About sets.
    pub const SET: Self = Self(1 << 3);
    /// About sorted sets.
    pub const SORTEDSET: Self = Self(1 << 4);
    /// About lists.
    pub const LIST: Self = Self(1 << 5);
    /// About hashes.
    pub const HASH: Self = Self(1 << 6);
    /// About strings.
    pub const STRING: Self = Self(1 << 7);
    /// About bits of strings.
    pub const BITMAP: Self = Self(1 << 8);
    /// About sketches that count.
    pub const HYPERLOGLOG: Self = Self(1 << 9);
    /// About places.
    pub const GEO: Self = Self(1 << 10);
    /// About streams.
    pub const STREAM: Self = Self(1 << 11);
    /// About publish and subscribe.
    pub const PUBSUB: Self = Self(1 << 12);
    /// Administers the server.
    pub const ADMIN: Self = Self(1 << 13);
    /// Constant or logarithmic time.
    pub const FAST: Self = Self(1 << 14);
    /// All that are not fast.
    pub const SLOW: Self = Self(1 << 15);
    /// May wait for something.
    pub const BLOCKING: Self = Self(1 << 16);
    /// To be used with thought.
    pub const DANGEROUS: Self = Self(1 << 17);
    /// About the connection, or other connections.
    pub const CONNECTION: Self = Self(1 << 18);
    /// About transactions.
    pub const TRANSACTION: Self = Self(1 << 19);
    /// About scripts and functions.
    pub const SCRIPTING: Self = Self(1 << 20);

    const NAMES: [(&'static str, Self); 21] = [
        ("keyspace", Self::KEYSPACE),
        ("read", Self::READ),
        ("write", Self::WRITE),
        ("set", Self::SET),
        ("sortedset", Self::SORTEDSET),
        ("list", Self::LIST),
        ("hash", Self::HASH),
        ("string", Self::STRING),
        ("bitmap", Self::BITMAP),
        ("hyperloglog", Self::HYPERLOGLOG),
        ("geo", Self::GEO),
        ("stream", Self::STREAM),
        ("pubsub", Self::PUBSUB),
        ("admin", Self::ADMIN),
        ("fast", Self::FAST),
        ("slow", Self::SLOW),
        ("blocking", Self::BLOCKING),
        ("dangerous", Self::DANGEROUS),
        ("connection", Self::CONNECTION),
        ("transaction", Self::TRANSACTION),
        ("scripting", Self::SCRIPTING),
    ];

    /// The category of this name in any case, without the `@`.
    #[must_use]
    pub fn named(name: &[u8]) -> Option<Self> {
        let known = Self::NAMES.iter().find(|(known, _)| known.as_bytes().eq_ignore_ascii_case(name));
        known.map(|(_, category)| *category)
    }

    /// The names of all categories there are.
    pub fn all_names() -> impl Iterator<Item = &'static str> {
        Self::NAMES.into_iter().map(|(name, _)| name)
    }

    /// The names of the categories set here.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Self::NAMES.into_iter().filter(move |(_, category)| self.overlaps(*category)).map(|(name, _)| name)
    }

    /// Both sets together.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether a category is set both here and there.
    #[must_use]
    pub const fn overlaps(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// These together with those that follow from a command's flags, as servers conclude them.
    pub(super) const fn with_implied(self, flags: Flags) -> Self {
        const fn when(condition: bool, category: Categories) -> Categories {
            if condition { category } else { Categories::NONE }
        }
        let scripting = self.overlaps(Self::SCRIPTING);
        self.and(when(flags.has(Flags::WRITE), Self::WRITE))
            .and(when(flags.has(Flags::READONLY) && !scripting, Self::READ))
            .and(when(flags.has(Flags::ADMIN), Self::ADMIN.and(Self::DANGEROUS)))
            .and(when(flags.has(Flags::PUBSUB), Self::PUBSUB))
            .and(when(flags.has(Flags::BLOCKING), Self::BLOCKING))
            .and(if flags.has(Flags::FAST) { Self::FAST } else { Self::SLOW })
    }
}

impl std::fmt::Debug for Categories {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_set().entries(self.names()).finish()
    }
}
