use super::{Plan, Refusal};
use crate::{
    id::ShardId,
    merge::Cursor,
    request::{Request, RequestBuf},
};

/// One step of a scan over all shards: a request to one of them.
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
    /// The live shard to scan when this one has no more, for [`crate::merge::set_cursor`].
    pub next: Option<ShardId>,
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
    let mut arguments: Vec<&[u8]> = request.arguments().collect();
    if let Some(argument) = arguments.get_mut(1) {
        *argument = own.as_bytes();
    }
    Plan::Scan(ScanStep {
        shard,
        request: RequestBuf::pack(arguments),
        next: live.iter().copied().filter(|next| *next > shard).min(),
    })
}

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
