//! What one link has to send for, and how far the server is with it.
//!
//! ```text
//!            ┌──────────── lost ─────────────┐
//!            ▼                               │
//!  want ──► off ──asked──► beginning ──confirmed──► on
//!            ▲                                       │ unwant, asked
//!            └──────────confirmed────── ending ◄─────┘        off and not wanted: gone
//! ```
//! A wish can change at any time; what has to be asked next follows from the difference between wish and state when
//! the link is free to ask. One request is under way at a time, so what came up meanwhile joins the next.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;

use super::TopicKind;
use super::audience::Audience;
use super::frame::Verb;

/// What can be listened to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Topic {
    pub(super) kind: TopicKind,
    pub(super) name: Bytes,
}

impl Topic {
    /// Whether every shard publishes to it: to what a pattern matches, and what servers tell of their own keys.
    pub(super) fn is_everywhere(&self) -> bool {
        match self.kind {
            TopicKind::Pattern => true,
            TopicKind::Channel => {
                [&b"__keyspace@"[..], b"__keyevent@"].iter().any(|own| self.name.starts_with(own))
            }
            TopicKind::ShardChannel => false,
        }
    }
}

/// One request's worth of changes.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Batch {
    pub(super) verb: Verb,
    pub(super) kind: TopicKind,
    /// Those that are not answered yet, in the order in which they are answered.
    pub(super) names: VecDeque<Bytes>,
}

/// See the module.
#[derive(Default)]
pub(super) struct Slots {
    slots: HashMap<Topic, Slot>,
    /// Topics to look at when the next request is made. Empty while there is no connection.
    todo: VecDeque<Topic>,
    connected: bool,
}

struct Slot {
    audience: Arc<Audience>,
    wanted: bool,
    upstream: Upstream,
    /// It stands in `todo`.
    queued: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Upstream {
    Off,
    Beginning,
    On,
    Ending,
}

impl Slots {
    pub(super) fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// The server has confirmed the topic, and it is wanted.
    pub(super) fn is_on(&self, topic: &Topic) -> bool {
        self.slots.get(topic).is_some_and(|slot| slot.wanted && slot.upstream == Upstream::On)
    }

    pub(super) fn topics(&self) -> impl Iterator<Item = &Topic> {
        self.slots.keys()
    }

    /// Who gets the topic's messages from this link.
    pub(super) fn audience(&self, topic: &Topic) -> Option<Arc<Audience>> {
        self.slots.get(topic).map(|slot| Arc::clone(&slot.audience))
    }

    pub(super) fn want(&mut self, topic: &Topic, audience: &Arc<Audience>) -> Asking {
        let slot = self.slots.entry(topic.clone()).or_insert_with(|| Slot {
            audience: Arc::clone(audience),
            wanted: true,
            upstream: Upstream::Off,
            queued: false,
        });
        slot.wanted = true;
        slot.audience = Arc::clone(audience);
        self.enqueue(topic)
    }

    /// Ends the topic. What comes until the server has confirmed the end is delivered.
    pub(super) fn unwant(&mut self, topic: &Topic) -> Asking {
        let Some(slot) = self.slots.get_mut(topic) else { return Asking::Nothing };
        slot.wanted = false;
        if slot.upstream == Upstream::Off && !slot.queued {
            self.slots.remove(topic);
            return Asking::Nothing;
        }
        self.enqueue(topic)
    }

    pub(super) const fn is_connected(&self) -> bool {
        self.connected
    }

    pub(super) fn connected(&mut self) {
        self.connected = true;
        let mut topics: Vec<Topic> = self.slots.keys().cloned().collect();
        // In an order that is no chance, so that a simulation can be repeated.
        topics.sort_unstable();
        for topic in topics {
            self.enqueue(&topic);
        }
    }

    /// The connection is gone, and with it all that the server knew.
    pub(super) fn lost(&mut self) {
        self.connected = false;
        self.todo.clear();
        self.slots.retain(|_, slot| slot.wanted);
        for slot in self.slots.values_mut() {
            slot.upstream = Upstream::Off;
            slot.queued = false;
        }
    }

    /// What to ask next: as many topics as one request may hold.
    pub(super) fn next(&mut self) -> Option<Batch> {
        let mut batch: Option<Batch> = None;
        let mut bytes = 0;
        while let Some(topic) = self.todo.pop_front() {
            let Some(slot) = self.slots.get_mut(&topic) else { continue };
            slot.queued = false;
            let (verb, then) = match (slot.wanted, slot.upstream) {
                (true, Upstream::Off) => (Verb::Begin, Upstream::Beginning),
                (false, Upstream::On) => (Verb::End, Upstream::Ending),
                (false, Upstream::Off) => {
                    self.slots.remove(&topic);
                    continue;
                }
                _ => continue,
            };
            bytes += topic.name.len();
            let fits = batch.as_ref().is_none_or(|batch| {
                batch.verb == verb
                    && batch.kind == topic.kind
                    && batch.names.len() < BATCH_NAMES
                    && bytes <= BATCH_BYTES
            });
            if !fits {
                slot.queued = true;
                self.todo.push_front(topic);
                break;
            }
            slot.upstream = then;
            batch
                .get_or_insert_with(|| Batch { verb, kind: topic.kind, names: VecDeque::new() })
                .names
                .push_back(topic.name);
        }
        batch
    }

    /// The server began or ended the topic.
    pub(super) fn confirmed(&mut self, topic: &Topic, verb: Verb) {
        let Some(slot) = self.slots.get_mut(topic) else { return };
        slot.upstream = match verb {
            Verb::Begin => Upstream::On,
            Verb::End => Upstream::Off,
        };
        if slot.upstream == Upstream::Off && !slot.wanted && !slot.queued {
            self.slots.remove(topic);
        } else {
            self.enqueue(topic);
        }
    }

    /// The server will not begin the topic. It is not asked again until it is wanted again.
    pub(super) fn refused(&mut self, topic: &Topic) {
        let Some(slot) = self.slots.get_mut(topic) else { return };
        slot.upstream = Upstream::Off;
        if !slot.wanted && !slot.queued {
            self.slots.remove(topic);
        }
    }

    fn enqueue(&mut self, topic: &Topic) -> Asking {
        let Some(slot) = self.slots.get_mut(topic) else { return Asking::Nothing };
        let differs = matches!((slot.wanted, slot.upstream), (true, Upstream::Off) | (false, Upstream::On));
        if !differs || slot.queued || !self.connected {
            return Asking::Nothing;
        }
        slot.queued = true;
        self.todo.push_back(topic.clone());
        Asking::Something
    }
}

/// Whether the link has something new to ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asking {
    Something,
    Nothing,
}

/// The most names and bytes of names in one request. A request this small fits into the buffers of the socket, so a
/// link that writes it never waits for a server that waits for the link to read.
const BATCH_NAMES: usize = 512;
const BATCH_BYTES: usize = 32 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    fn topic(name: &'static str) -> Topic {
        Topic { kind: TopicKind::Channel, name: name.into() }
    }

    fn names(batch: Option<Batch>, verb: Verb) -> Vec<Bytes> {
        let batch = batch.unwrap();
        assert_eq!(batch.verb, verb);
        batch.names.into()
    }

    #[test]
    fn wishes_that_change_while_a_request_is_under_way_are_asked_afterwards() {
        let (mut slots, audience) = (Slots::default(), Arc::default());
        assert_eq!(slots.want(&topic("a"), &audience), Asking::Nothing);
        slots.connected();
        assert_eq!(names(slots.next(), Verb::Begin), ["a"]);
        assert_eq!(slots.unwant(&topic("a")), Asking::Nothing);
        assert_eq!(slots.next(), None);
        slots.confirmed(&topic("a"), Verb::Begin);
        assert!(!slots.is_on(&topic("a")));
        assert_eq!(names(slots.next(), Verb::End), ["a"]);
        slots.want(&topic("a"), &audience);
        slots.confirmed(&topic("a"), Verb::End);
        assert_eq!(names(slots.next(), Verb::Begin), ["a"]);
        slots.confirmed(&topic("a"), Verb::Begin);
        assert!(slots.is_on(&topic("a")));
        slots.unwant(&topic("a"));
        slots.next();
        slots.confirmed(&topic("a"), Verb::End);
        assert!(slots.is_empty());
    }

    #[test]
    fn a_lost_connection_begins_all_that_is_wanted_again() {
        let (mut slots, audience) = (Slots::default(), Arc::default());
        slots.connected();
        for name in ["a", "b"] {
            assert_eq!(slots.want(&topic(name), &audience), Asking::Something);
        }
        assert_eq!(slots.next().unwrap().names.len(), 2);
        slots.unwant(&topic("b"));
        slots.lost();
        assert_eq!(slots.next(), None);
        slots.connected();
        assert_eq!(names(slots.next(), Verb::Begin), ["a"]);
    }

    #[test]
    fn nothing_is_left_of_wishes_that_come_and_go() {
        let (mut slots, audience) = (Slots::default(), Arc::default());
        for connected in [false, true] {
            if connected {
                slots.connected();
            }
            for _ in 0..10 {
                slots.want(&topic("a"), &audience);
                slots.unwant(&topic("a"));
            }
            assert!(slots.todo.len() <= 1);
            assert_eq!(slots.next(), None);
            assert!(slots.is_empty());
        }
    }

    #[test]
    fn one_request_is_of_one_kind_and_bounded() {
        let (mut slots, audience) = (Slots::default(), Arc::default());
        slots.connected();
        for number in 0..600 {
            slots.want(
                &Topic { kind: TopicKind::Channel, name: number.to_string().into_bytes().into() },
                &audience,
            );
        }
        slots.want(&Topic { kind: TopicKind::Pattern, name: "p".into() }, &audience);
        let sizes: Vec<usize> = std::iter::from_fn(|| slots.next()).map(|batch| batch.names.len()).collect();
        assert_eq!(sizes, [512, 88, 1]);
    }
}
