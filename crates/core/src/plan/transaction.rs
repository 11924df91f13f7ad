use super::{Plan, Refusal, Target, View, single};
use crate::{
    command::{Class, Flags, Found, LocalCommand, Row, Transaction},
    id::ShardId,
    request::Request,
};

/// Where a request between `MULTI` and `EXEC` belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Queued {
    /// On this shard, and so does the whole transaction.
    On(ShardId),
    /// On whichever shard the transaction runs; on this one where nothing else chooses, as outside of a transaction.
    Rather(ShardId),
    /// On whichever shard the transaction runs.
    Anywhere,
    /// No shard serves its keys now.
    NoShard,
}

/// Where a request inside a transaction belongs, `chosen` being the shard that keys before it (or of `WATCH`) chose.
///
/// # Errors
/// The error to answer at once; `EXEC` then answers `EXECABORT`. A key elsewhere is `CROSSSLOT`; a command that runs
/// on more than one shard, or not on a shard, has no place in a transaction.
pub fn queued<L>(
    request: Request<'_>,
    found: Found<'_>,
    ring: &View<'_, L>,
    chosen: Option<ShardId>,
) -> Result<Queued, Refusal>
where
    L: Fn(&[u8]) -> Option<ShardId>,
{
    let row = match found {
        Found::Row(row) => row,
        Found::UnknownSubcommand(row) => return Err(Refusal::unknown_subcommand(row, request)),
        Found::Unknown => return Err(Refusal::unknown_command(request)),
    };
    if !row.takes(request.count()) {
        return Err(Refusal::arity(row));
    }
    if row.flags().has(Flags::NO_MULTI) {
        return Err(Refusal::in_transaction(row, "Command not allowed inside a transaction"));
    }
    match row.class() {
        // A script or a function without keys runs as well where the transaction does.
        Class::KeysOr(_) if row.keys(request).is_ok_and(|keys| keys.len() == 0) => {
            Ok(match single(request, row, ring)? {
                Target::On(shard) => Queued::Rather(shard),
                Target::Down | Target::Anywhere => Queued::Anywhere,
            })
        }
        Class::Keys | Class::KeysOr(_) | Class::Anchored(_) | Class::Split(_) => {
            match (single(request, row, ring)?, chosen) {
                (Target::On(shard), Some(chosen)) if shard != chosen => {
                    Err(Refusal::cross_transaction(request, row, ring.tag))
                }
                (Target::On(shard), _) => Ok(Queued::On(shard)),
                (Target::Down, _) => Ok(Queued::NoShard),
                (Target::Anywhere, _) => Ok(Queued::Anywhere),
            }
        }
        Class::Local(LocalCommand::Echo | LocalCommand::Ping | LocalCommand::Time)
        | Class::Transaction(Transaction::Unwatch) => Ok(Queued::Anywhere),
        Class::Transaction(Transaction::Begin) => {
            Err(Refusal::in_transaction(row, "MULTI calls can not be nested"))
        }
        Class::Transaction(Transaction::Watch) => {
            Err(Refusal::in_transaction(row, "WATCH inside MULTI is not allowed"))
        }
        Class::Refused { because, .. } => Err(Refusal::refused(row, because)),
        _ => Err(Refusal::not_on_one_shard(row)),
    }
}

/// Where all of these requests run as one transaction.
///
/// # Errors
/// What [`queued`] says about the first request that has no place there, and its index.
pub fn same_shard<'a, L>(
    requests: impl IntoIterator<Item = (Request<'a>, Found<'a>)>,
    ring: &View<'_, L>,
) -> Result<Queued, (usize, Refusal)>
where
    L: Fn(&[u8]) -> Option<ShardId>,
{
    let (mut chosen, mut rather) = (None, None);
    for (index, (request, found)) in requests.into_iter().enumerate() {
        match queued(request, found, ring, chosen).map_err(|refusal| (index, refusal))? {
            Queued::On(shard) => chosen = Some(shard),
            Queued::Rather(shard) => rather = rather.or(Some(shard)),
            Queued::Anywhere => {}
            Queued::NoShard => return Ok(Queued::NoShard),
        }
    }
    Ok(chosen.map(Queued::On).or(rather.map(Queued::Rather)).unwrap_or(Queued::Anywhere))
}

/// The plan of a command about transactions itself.
pub(super) fn plan<L>(request: Request<'_>, row: &Row, command: Transaction, ring: &View<'_, L>) -> Plan
where
    L: Fn(&[u8]) -> Option<ShardId>,
{
    match single(request, row, ring) {
        Ok(Target::On(shard)) => Plan::Transaction { command, shard: Some(shard) },
        Ok(Target::Anywhere) => Plan::Transaction { command, shard: None },
        Ok(Target::Down) => Plan::NoShard,
        Err(refusal) => Plan::Refused(refusal),
    }
}
