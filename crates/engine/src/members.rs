//! The members of a ring: started from their settings, and taken over where they stay.

use std::sync::Arc;

use rendis_core::id::ShardId;
use rendis_core::placement::Spec;
use rendis_core::session::{Failed as Unanswered, Sent};
use rendis_core::topology::{Member, Standing, Topology};

use crate::coordinator;
use crate::error::{Cause, Error, Kind};
use crate::settings::{Settings, ShardSettings};
use crate::shard::Shard;
use crate::tls::SystemRoots;

/// The topology of these members.
pub(crate) fn build(spec: Spec, members: Vec<Member<Shard>>) -> Result<Topology<Shard>, Error> {
    Topology::build(spec, members).map_err(|error| Error::local(Kind::Config, error.to_string()))
}

/// The members for a list of shards; those whose connections stay are taken over from `current`, none where `anew` says so.
pub(crate) fn start(
    shards: &[ShardSettings],
    settings: &Settings,
    current: &[Member<Shard>],
    anew: bool,
    coordinator: &mut coordinator::State,
) -> Result<Vec<Member<Shard>>, Error> {
    for (index, shard) in shards.iter().enumerate() {
        if shard.name.is_empty() {
            return Err(Error::local(Kind::Config, format!("shard {} has an empty name", index + 1)));
        }
        if shards.iter().take(index).any(|earlier| earlier.name == shard.name) {
            return Err(Error::local(Kind::Config, format!("two shards are named \"{}\"", shard.name)));
        }
    }
    let mut members = Vec::with_capacity(shards.len());
    let system = SystemRoots::default();
    for wanted in shards {
        let before = current.iter().map(|member| &member.shard).find(|shard| shard.name() == wanted.name);
        let shard = match before {
            Some(shard) if !anew && shard.settings().same_connection(wanted) => Arc::clone(shard),
            _ => {
                let pulse = coordinator.pulse(wanted);
                let past = before.map(|shard| shard.past()).unwrap_or_default();
                Arc::new(Shard::start(wanted.clone(), settings, &system, pulse, past)?)
            }
        };
        members.push(Member { node: wanted.node(), shard, standing: coordinator.standing(&wanted.name) });
    }
    Ok(members)
}

/// The shard with this number, if it is up.
pub(crate) fn serving(topology: &Topology<Shard>, id: ShardId) -> Result<Arc<Shard>, Error> {
    let member = topology.member(id).ok_or_else(no_shard)?;
    match member.standing {
        Standing::Serving => Ok(Arc::clone(&member.shard)),
        Standing::Absent | Standing::Ejected => {
            let text = match member.shard.trouble() {
                Some(why) => format!("the shard is down: {why}"),
                None => "the shard is down".to_owned(),
            };
            let cause = Cause::new(Kind::ShardDown, text);
            Err(member.shard.error(Unanswered { sent: Sent::No, cause }))
        }
    }
}

pub(crate) fn no_shard() -> Error {
    Error::local(Kind::ShardDown, "no shard is up")
}
