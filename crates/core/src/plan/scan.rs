use super::{Plan, Refusal};
use crate::{
    id::ShardId,
    merge::Cursor,
    request::{Request, RequestBuf, is_word},
};

/// One step of a scan over all shards: a request to one of them, and to more of them where that finds little.
///
/// The cursor carries the shard ([`Cursor`]), so nothing is remembered between steps. The shards are walked in the order
/// of their positions: a scan goes on when one of them goes down (its rest is passed over), and every key of every shard
/// that stays up is seen, under the guarantees of `SCAN` itself.
#[derive(Clone, Debug)]
pub struct ScanStep {
    /// Where it goes.
    pub shard: ShardId,
    /// The request with the shard's own cursor; every other argument is the client's.
    pub request: RequestBuf,
    /// The live shard to scan when this one has no more, for [`crate::merge::Scanned`].
    pub next: Option<ShardId>,
    /// How many keys the client asked for (`COUNT`). A shard that has no more, after fewer than these, is followed by
    /// [`ScanStep::onward`] in the same answer: so a small ring is walked in as few steps as one server.
    pub count: usize,
}

impl ScanStep {
    /// The same step from the start of the next shard.
    #[must_use]
    pub fn onward(&self, live: &[ShardId]) -> Option<Self> {
        let shard = self.next?;
        Some(Self {
            shard,
            request: with_cursor(self.request.view(), Cursor::START),
            next: after(shard, live),
            count: self.count,
        })
    }
}

/// The step that a client's request asks for.
pub(super) fn step(request: Request<'_>, live: &[ShardId]) -> Plan {
    if live.is_empty() {
        return Plan::NoShard;
    }
    if live.iter().any(|shard| (Cursor { shard: *shard, own: 0 }).number().is_none()) {
        return Plan::Refused(Refusal::arguments("a scan can walk over 4096 shards at most"));
    }
    let Some(cursor) = request.argument(1).and_then(Cursor::parse) else {
        return Plan::Refused(Refusal::arguments("invalid cursor"));
    };
    // The next live shard at or after the one that the cursor names: that one itself, unless it is down.
    let Some(shard) = live.iter().copied().filter(|shard| *shard >= cursor.shard).min() else {
        return Plan::ScanEnd;
    };
    let own = if shard == cursor.shard { cursor.own.to_string() } else { "0".to_owned() };
    Plan::Scan(ScanStep {
        shard,
        request: with_cursor(request, own.as_bytes()),
        next: after(shard, live),
        count: count(request),
    })
}

fn after(shard: ShardId, live: &[ShardId]) -> Option<ShardId> {
    live.iter().copied().filter(|next| *next > shard).min()
}

fn with_cursor(request: Request<'_>, cursor: &[u8]) -> RequestBuf {
    let mut arguments: Vec<&[u8]> = request.arguments().collect();
    if let Some(argument) = arguments.get_mut(1) {
        *argument = cursor;
    }
    RequestBuf::pack(arguments)
}

/// The number after `COUNT`; what a server takes where there is none. One that it refuses is refused by it.
fn count(request: Request<'_>) -> usize {
    let mut options = request.arguments().skip(2);
    while let (Some(option), Some(value)) = (options.next(), options.next()) {
        if is_word(option, "count") {
            return std::str::from_utf8(value)
                .ok()
                .and_then(|text| text.parse().ok())
                .unwrap_or(DEFAULT_COUNT);
        }
    }
    DEFAULT_COUNT
}

const DEFAULT_COUNT: usize = 10;

/// The shards in an order drawn from `entropy`.
pub(super) fn shuffled(live: &[ShardId], mut entropy: u64) -> Vec<ShardId> {
    let mut order = live.to_vec();
    for last in (1..order.len()).rev() {
        // A step of splitmix64 for each swap.
        entropy = entropy.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = entropy;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^= mixed >> 31;
        let choices = u64::try_from(last + 1).unwrap_or(u64::MAX);
        order.swap(last, usize::try_from(mixed % choices).unwrap_or(last));
    }
    order
}
