//! The immutable snapshot of a ring: its shards, who is up, and the placement.
//!
//! A topology is never changed. A new list of shards, or one that fell or rose, makes a new topology, and one swap of
//! the pointer to it changes everything that a caller can observe. `S` is whatever the owner keeps for a shard.

use std::sync::{Arc, OnceLock};

use crate::id::ShardId;
use crate::placement::{Node, Placement, PlacementError, Spec};
use crate::tag::Tag;

/// Whether a shard takes part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Standing {
    /// It is up: keys are placed on it, and it gets commands for every shard.
    Serving,
    /// It is down and its keys go to others.
    Ejected,
    /// It is down and keeps its keys: calls for them fail until it is back.
    Absent,
}

/// One shard of a topology.
#[derive(Debug)]
pub struct Member<S> {
    /// What placement knows of it.
    pub node: Node,
    /// What the owner keeps for it.
    pub shard: Arc<S>,
    /// Whether it takes part.
    pub standing: Standing,
}

impl<S> Clone for Member<S> {
    fn clone(&self) -> Self {
        Self { node: self.node.clone(), shard: Arc::clone(&self.shard), standing: self.standing }
    }
}

/// See the module.
#[derive(Debug)]
pub struct Topology<S> {
    spec: Spec,
    members: Vec<Member<S>>,
    live: Vec<ShardId>,
    placement: Placement,
    /// The placement over all members; `None` while no member is ejected, and made when it is first asked for.
    whole: Option<OnceLock<Option<Placement>>>,
}

impl<S> Topology<S> {
    /// Places keys on the members that are not [`Standing::Ejected`].
    ///
    /// # Errors
    /// As [`Placement::build`].
    pub fn build(spec: Spec, members: Vec<Member<S>>) -> Result<Self, PlacementError> {
        let nodes: Vec<Node> = members.iter().map(|member| member.node.clone()).collect();
        let placed: Vec<bool> = members.iter().map(|member| member.standing != Standing::Ejected).collect();
        let placement = Placement::build(&spec, &nodes, &placed)?;
        let serving = |(index, member): (usize, &Member<S>)| {
            (member.standing == Standing::Serving).then_some(ShardId::new(index))
        };
        let live = members.iter().enumerate().filter_map(serving).collect();
        let whole = placed.contains(&false).then(OnceLock::new);
        Ok(Self { spec, members, live, placement, whole })
    }

    /// Where `key` lies now; `None` when no shard is placed. The shard may be [`Standing::Absent`].
    #[must_use]
    #[inline]
    pub fn locate(&self, key: &[u8]) -> Option<ShardId> {
        self.placement.locate(key)
    }

    /// The member where `key` lies now.
    #[must_use]
    pub fn owner(&self, key: &[u8]) -> Option<&Member<S>> {
        self.member(self.locate(key)?)
    }

    /// Whether no member is [`Standing::Ejected`], so that every key lies where it belongs.
    #[must_use]
    #[inline]
    pub const fn is_whole(&self) -> bool {
        self.whole.is_none()
    }

    /// Where `key` belongs, when it lies elsewhere because members are ejected. That may also be a member that is up:
    /// there are placements that move more keys than those of the lost shard.
    #[must_use]
    pub fn displaced(&self, key: &[u8]) -> Option<ShardId> {
        let whole = self.whole.as_ref()?.get_or_init(|| {
            let nodes: Vec<Node> = self.members.iter().map(|member| member.node.clone()).collect();
            // The same list was accepted with fewer members placed.
            Placement::build(&self.spec, &nodes, &vec![true; nodes.len()]).ok()
        });
        let home = whole.as_ref()?.locate(key)?;
        (self.locate(key) != Some(home)).then_some(home)
    }

    /// The members that are ejected.
    pub fn ejected(&self) -> impl Iterator<Item = &Member<S>> {
        self.members.iter().filter(|member| member.standing == Standing::Ejected)
    }

    /// The member with this number.
    #[must_use]
    #[inline]
    pub fn member(&self, id: ShardId) -> Option<&Member<S>> {
        self.members.get(id.index())
    }

    /// All members, in the order of the list.
    #[must_use]
    pub fn members(&self) -> &[Member<S>] {
        &self.members
    }

    /// The shards that are up, in the order of the list.
    #[must_use]
    pub fn live(&self) -> &[ShardId] {
        &self.live
    }

    /// The placement rule.
    #[must_use]
    pub const fn spec(&self) -> &Spec {
        &self.spec
    }

    /// Which bytes of a key count.
    #[must_use]
    pub const fn tag(&self) -> Tag {
        self.placement.tag()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::placement::NodeAddress;

    fn topology(standings: &[Standing]) -> Topology<usize> {
        let members = standings.iter().enumerate().map(|(index, standing)| Member {
            node: Node::new(format!("shard{index}"), NodeAddress::tcp("127.0.0.1", 7001)),
            shard: Arc::new(index),
            standing: *standing,
        });
        Topology::build(Spec::default(), members.collect()).unwrap()
    }

    #[test]
    fn an_ejected_shard_loses_its_keys_and_an_absent_one_keeps_them() {
        use Standing::{Absent, Ejected, Serving};
        let keys: Vec<Vec<u8>> = (0..300).map(|number| format!("key{number}").into_bytes()).collect();
        let all = topology(&[Serving; 3]);
        let ejected = topology(&[Serving, Ejected, Serving]);
        let absent = topology(&[Serving, Absent, Serving]);
        for key in &keys {
            assert_eq!(absent.locate(key), all.locate(key));
            match all.locate(key) {
                Some(home) if home.index() == 1 => assert_ne!(ejected.locate(key), Some(home)),
                home => assert_eq!(ejected.locate(key), home),
            }
        }
        assert_eq!(ejected.live(), [ShardId::new(0), ShardId::new(2)]);
        assert_eq!(absent.live(), ejected.live());
        assert_eq!(topology(&[Ejected; 2]).locate(b"k"), None);
    }

    #[test]
    fn a_displaced_key_is_one_that_lies_elsewhere_than_it_belongs() {
        use Standing::{Absent, Ejected, Serving};
        let all = topology(&[Serving; 3]);
        let ejected = topology(&[Serving, Ejected, Absent]);
        assert!(all.is_whole() && topology(&[Serving, Absent]).is_whole() && !ejected.is_whole());
        let mut displaced = 0;
        for key in (0..300).map(|number| format!("key{number}").into_bytes()) {
            assert_eq!(all.displaced(&key), None);
            let home = all.locate(&key).filter(|home| home.index() == 1);
            assert_eq!(ejected.displaced(&key), home);
            displaced += usize::from(home.is_some());
        }
        assert!((50..150).contains(&displaced), "{displaced}");
    }
}
