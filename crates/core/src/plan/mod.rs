//! What to do with a request: one shard, parts to merge, every shard, answered here, or refused with the reason.
//!
//! ```text
//!                     ┌─ unknown, wrong arity, refused class ─────────────► Refused
//!   request + row ────┼─ keys on one shard, or something that stands for one ► One       the frame goes as it is
//!                     ├─ keys apart ─┬─ may be cut ───────────────────────► Split     parts, and how they merge
//!                     │              └─ may not ──────────────────────────► Refused   CROSSSLOT
//!                     ├─ no keys, all shards ─────────────────────────────► Every, Scan, Random
//!                     └─ about the connection ────────────────────────────► Local, Subscription, Transaction
//! ```
//!
//! [`plan`] is total: any request gets a plan, and it never guesses. Keys that must be together and are not are refused;
//! they never go to the shard of the first. The path to [`Plan::One`] for a command with one key does not allocate.

mod allow;
mod anchor;
mod refusal;
mod scan;
mod split;
mod transaction;

pub use allow::{Allow, AllowError};
pub use refusal::{EXEC_ABORTED, Refusal, RefusalKind};
pub use scan::ScanStep;
pub use split::{Cut, Part};
pub use transaction::{Queued, queued, same_shard};

use crate::{
    command::{Care, Class, Found, Key, LocalCommand, Response, Row, Subscription, Transaction},
    id::ShardId,
    request::{Request, is_word},
    tag::Tag,
    topology::Topology,
};

/// What a plan needs to know about the shards at this moment.
#[derive(Clone, Copy, Debug)]
pub struct View<'a, L> {
    locate: L,
    live: &'a [ShardId],
    tag: Tag,
    entropy: u64,
    allow: Option<&'a Allow>,
}

impl<'a, L: Fn(&[u8]) -> Option<ShardId>> View<'a, L> {
    /// A ring where `locate` says which shard serves a key now (`None`: none does), and `live` are the shards to which
    /// commands without keys go.
    pub const fn new(locate: L, live: &'a [ShardId]) -> Self {
        Self { locate, live, tag: Tag::Braces, entropy: 0, allow: None }
    }

    /// With the rule by which `locate` finds a key's tag; [`Tag::Braces`] where nothing is said. It decides whether a
    /// pattern of `SORT … BY` can only mean keys of one shard, and how refusals explain tags.
    #[must_use]
    pub const fn tag(mut self, tag: Tag) -> Self {
        self.tag = tag;
        self
    }

    /// With a random number, from which [`Plan::Random`] takes its order.
    #[must_use]
    pub const fn entropy(mut self, entropy: u64) -> Self {
        self.entropy = entropy;
        self
    }

    /// With commands that an operator lets through.
    #[must_use]
    pub const fn allow(mut self, allow: &'a Allow) -> Self {
        self.allow = Some(allow);
        self
    }
}

/// The view of a topology in force.
pub fn view<S>(topology: &Topology<S>) -> View<'_, impl Fn(&[u8]) -> Option<ShardId>> {
    View::new(|key: &[u8]| topology.locate(key), topology.live()).tag(topology.tag())
}

/// What to do with a request.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Plan {
    /// Send the frame as it is to this shard.
    One(ShardId),
    /// Send each part to its shard, side by side, and merge the replies. There are at least two parts, each key of the
    /// request is in exactly one, and keys of one part keep their order.
    Split {
        /// The parts.
        cut: Cut,
        /// How the replies combine.
        response: Response,
    },
    /// Send the frame as it is to every live shard, of which there is at least one, and merge the replies.
    Every(Response),
    /// Send a step of a scan to its shard, and go on at the next one while that comes to little: see [`ScanStep`]. The
    /// reply is made by [`crate::merge::Scanned`].
    Scan(ScanStep),
    /// Answer as the end of a scan: cursor 0, no keys. The shards that it had still to see are gone.
    ScanEnd,
    /// Ask these shards one after the other until one answers something else than null; null when none does.
    Random(Vec<ShardId>),
    /// Answer it here.
    Local(LocalCommand),
    /// Subscribe or unsubscribe. Channels are placed as keys are; patterns are on every live shard.
    Subscription(Subscription),
    /// Begin, end or guard a transaction; see [`queued`] for what comes in between.
    Transaction {
        /// Which of the commands.
        command: Transaction,
        /// The shard of the keys of `WATCH`; `None` for the others.
        shard: Option<ShardId>,
    },
    /// Answer with this error.
    Refused(Refusal),
    /// Answer that no shard is up.
    NoShard,
}

impl Plan {
    /// Whether it runs somewhere, and is not answered with an error at once.
    #[must_use]
    pub const fn runs(&self) -> bool {
        !matches!(self, Self::Refused(_) | Self::NoShard)
    }
}

/// Decides what to do with a request, of which the table says `found`.
///
/// A command that is [`Found::Unknown`] is refused in a server's words; whoever can ask a server for its row
/// ([`crate::command::learn`]) does so before it comes here.
///
/// ```
/// use rendis_core::{command::Table, id::ShardId, plan::{Plan, View, plan}, request::RequestBuf};
///
/// let live = [ShardId::new(0), ShardId::new(1)];
/// let ring = View::new(|key: &[u8]| live.get(key.len() % 2).copied(), &live);
/// let table = Table::default();
/// let decide = |words: &[&[u8]]| {
///     let request = RequestBuf::pack(words.iter().copied());
///     plan(request.view(), table.find(request.view()), &ring)
/// };
/// assert!(matches!(decide(&[b"GET", b"k"]), Plan::One(shard) if shard.index() == 1));
/// assert!(matches!(decide(&[b"MGET", b"k", b"kk"]), Plan::Split { cut, .. } if cut.parts().len() == 2));
/// let Plan::Refused(refusal) = decide(&[b"SINTER", b"k", b"kk"]) else { panic!() };
/// assert!(refusal.to_string().starts_with("CROSSSLOT Keys in request don't hash to the same shard"));
/// ```
#[must_use]
#[inline]
pub fn plan<L>(request: Request<'_>, found: Found<'_>, ring: &View<'_, L>) -> Plan
where
    L: Fn(&[u8]) -> Option<ShardId>,
{
    // Nearly every request: one key at a fixed place.
    if let Found::Row(row) = found
        && let Some(key) = row.first_key()
        && row.class() == Class::Keys
        && row.care() != Care::Patterns
        && row.takes(request.count())
        && let Some(key) = request.argument(key)
    {
        return (ring.locate)(key).map_or(Plan::NoShard, Plan::One);
    }
    match found {
        Found::Row(row) => by_class(request, row, ring),
        Found::UnknownSubcommand(row) => Plan::Refused(Refusal::unknown_subcommand(row, request)),
        Found::Unknown => Plan::Refused(Refusal::unknown_command(request)),
    }
}

fn by_class<L>(request: Request<'_>, row: &Row, ring: &View<'_, L>) -> Plan
where
    L: Fn(&[u8]) -> Option<ShardId>,
{
    if !row.takes(request.count()) {
        return Plan::Refused(Refusal::arity(row));
    }
    match row.class() {
        Class::Keys | Class::KeysOr(_) | Class::Anchored(_) => match single(request, row, ring) {
            Ok(Target::On(shard)) => Plan::One(shard),
            Ok(Target::Down) => Plan::NoShard,
            // A command with keys that has none, which `Row::keys` made sure is how it is written; or what any refuses.
            Ok(Target::Anywhere) => any(ring),
            Err(refusal) => Plan::Refused(refusal),
        },
        Class::Split(response) => split::split(request, row, response, ring),
        Class::Every(_) | Class::Random if ring.live.is_empty() => Plan::NoShard,
        Class::Every(response) => match row.care().reaches(request) {
            Some(word) => Plan::Refused(Refusal::out_of_reach(row, word)),
            None => Plan::Every(response),
        },
        Class::Random => Plan::Random(scan::shuffled(ring.live, ring.entropy)),
        Class::Scan => scan::step(request, ring.live),
        Class::Any => any(ring),
        Class::Subscription(command) => Plan::Subscription(command),
        Class::Transaction(command) => transaction::plan(request, row, command, ring),
        Class::Local(LocalCommand::Select) if request.argument(1) != Some(b"0") => {
            Plan::Refused(Refusal::other_database(row, request.argument(1).unwrap_or_default()))
        }
        Class::Local(command) => Plan::Local(command),
        Class::Refused { because, allowable } => {
            let allowed = allowable && ring.allow.is_some_and(|allow| allow.has(row));
            if allowed { through(request, row, ring) } else { Plan::Refused(Refusal::refused(row, because)) }
        }
        Class::Container => Plan::Refused(Refusal::arity(row)),
    }
}

/// A command that an operator lets through: by its keys where it has some, else to every shard.
fn through<L>(request: Request<'_>, row: &Row, ring: &View<'_, L>) -> Plan
where
    L: Fn(&[u8]) -> Option<ShardId>,
{
    match single(request, row, ring) {
        Ok(Target::On(shard)) => Plan::One(shard),
        Ok(Target::Down) => Plan::NoShard,
        Ok(Target::Anywhere) if ring.live.is_empty() => Plan::NoShard,
        Ok(Target::Anywhere) => Plan::Every(Response::AllOk),
        Err(refusal) => Plan::Refused(refusal),
    }
}

fn any<L>(ring: &View<'_, L>) -> Plan {
    ring.live.first().map_or(Plan::NoShard, |shard| Plan::One(*shard))
}

/// Where a request that has to run on one shard runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Target {
    On(ShardId),
    /// No shard serves its keys now.
    Down,
    /// It names nothing that a shard could hold, or is what any shard refuses.
    Anywhere,
}

/// The shard of all keys of a request, or of what stands for them.
fn single<L>(request: Request<'_>, row: &Row, ring: &View<'_, L>) -> Result<Target, Refusal>
where
    L: Fn(&[u8]) -> Option<ShardId>,
{
    let mut keys = match row.keys(request) {
        Ok(keys) => keys,
        // Of a command of a module nobody knows what it makes of them.
        Err(error) if error.is_refused_everywhere() && !row.is_learned() => return Ok(Target::Anywhere),
        Err(error) => return Err(Refusal::keys(error)),
    };
    let Some(first) = keys.next() else {
        let (Class::KeysOr(anchor) | Class::Anchored(anchor)) = row.class() else {
            return Ok(Target::Anywhere);
        };
        let shard = anchor::place(anchor, request, &ring.locate).ok_or_else(|| Refusal::arity(row))?;
        return Ok(shard.map_or(Target::Down, Target::On));
    };
    let Some(shard) = (ring.locate)(key(request, first)) else {
        return Ok(Target::Down);
    };
    for other in keys {
        if (ring.locate)(key(request, other)) != Some(shard) {
            return Err(Refusal::cross_shard(key(request, first), key(request, other), ring.tag));
        }
    }
    match row.care() {
        Care::None | Care::Conditional(..) | Care::Reach(..) => {}
        // A pattern can only mean keys of this shard when its tag stands whole before the asterisk.
        Care::Patterns => {
            for (pattern, prefix) in row.patterns(request) {
                let tagged = ring.tag.tagged(prefix).len() < prefix.len();
                if !tagged || (ring.locate)(prefix) != Some(shard) {
                    return Err(Refusal::cross_shard(key(request, first), pattern, ring.tag));
                }
            }
        }
        Care::Database(word, from) => {
            let mut words = request.arguments().skip(usize::from(from));
            if words.any(|argument| is_word(argument, word)) {
                return Err(match words.next() {
                    None => Refusal::arguments("syntax error"),
                    // The shard's own number 0 may be another than the one that its URL names.
                    Some(b"0") => Refusal::refused(row, "DB means a database of the shard; leave it out"),
                    Some(number) => Refusal::other_database(row, number),
                });
            }
        }
    }
    Ok(Target::On(shard))
}

fn key<'a>(request: Request<'a>, key: Key) -> &'a [u8] {
    request.argument(key.index).unwrap_or_default()
}
