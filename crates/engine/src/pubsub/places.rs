//! Where topics live: which links have to send them, how they move, and what links report.

use std::sync::Arc;

use rendis_core::session::{Failed, Sent};
use tokio::task::AbortHandle;

use super::audience::Audience;
use super::book::{Book, Joined, Link, LinkId, Needed, Next, Source, Start, Waiting};
use super::frame::Verb;
use super::slots::{Asking, Slots, Topic};
use crate::error::{Cause, Error, Kind};

/// Where topics live.
impl Book {
    pub(super) fn topics(&self) -> Vec<Topic> {
        let mut topics: Vec<Topic> = self.topics.keys().cloned().collect();
        // In an order that is no chance, so that a simulation can be repeated.
        topics.sort_unstable();
        topics
    }

    /// The topic has to come from these sources. Where it moves, the old ones are left when all the new ones have
    /// confirmed. What every shard publishes leaves a shard at once, unless it is replaced by one that is the same server.
    pub(super) fn place(&mut self, topic: &Topic, sources: &[Source]) {
        let homes: Vec<LinkId> = sources.iter().map(|source| self.link_for(source)).collect();
        let Some(entry) = self.topics.get_mut(topic) else { return };
        let audience = Arc::clone(&entry.audience);
        entry.leaving.retain(|id| !homes.contains(id));
        let mut left = std::mem::replace(&mut entry.homes, homes.clone());
        left.retain(|id| !homes.contains(id));
        for id in left {
            let Some(link) = self.links.get(&id) else { continue };
            let replaced =
                || sources.iter().any(|source| source.endpoint.address == link.source.endpoint.address);
            let sends = link.slots.is_on(topic);
            if sends && (!topic.is_everywhere() || replaced()) {
                entry.leaving.push(id);
            } else if let Some(link) = self.links.get_mut(&id) {
                link.told(|slots| slots.unwant(topic));
            }
        }
        for id in &homes {
            if let Some(link) = self.links.get_mut(id) {
                link.told(|slots| slots.want(topic, &audience));
            }
        }
        self.settle(topic);
        self.drop_idle_links();
    }

    /// Links that rest try again.
    pub(super) fn nudge(&self) {
        self.links.values().for_each(|link| link.nudge.notify_one());
    }

    /// Those of a topic that have no connection do, unless trying would not help.
    pub(super) fn hurry(&self, topic: &Topic) {
        let homes = self.topics.get(topic).into_iter().flat_map(|entry| &entry.homes);
        let links = homes.filter_map(|id| self.links.get(id)).filter(|link| !link.slots.is_connected());
        let resting = links.filter(|link| !link.failure.as_ref().is_some_and(is_no_use));
        resting.for_each(|link| link.nudge.notify_one());
    }

    /// Gives every link that has none its task.
    pub(super) fn start_links(&mut self, start: impl Fn(Start) -> AbortHandle) {
        for id in std::mem::take(&mut self.starting) {
            if let Some(link) = self.links.get_mut(&id) {
                link.task = Some(start(Start {
                    id,
                    source: link.source.clone(),
                    wishes: Arc::clone(&link.wishes),
                    nudge: Arc::clone(&link.nudge),
                }));
            }
        }
    }

    fn link_for(&mut self, source: &Source) -> LinkId {
        let same = |link: &Link| Arc::ptr_eq(&link.source.dialer, &source.dialer);
        if let Some((id, _)) = self.links.iter().find(|(_, link)| same(link)) {
            return *id;
        }
        let id = LinkId(self.number());
        let link = Link {
            source: source.clone(),
            slots: Slots::default(),
            wishes: Arc::default(),
            nudge: Arc::default(),
            task: None,
            failure: None,
        };
        self.links.insert(id, link);
        self.starting.push(id);
        id
    }

    /// An old home is left as soon as a new one that is the same server sends the topic: what both send is heard twice.
    /// It is heard until it has confirmed the end, for it may hold what the new one was too late for. When all homes have
    /// confirmed it, those who wait for it go on, and the other old homes are left.
    fn settle(&mut self, topic: &Topic) {
        let Some(entry) = self.topics.get_mut(topic) else { return };
        let links = &self.links;
        let on = |id: &&LinkId| links.get(id).is_some_and(|link| link.slots.is_on(topic));
        let address = |id: LinkId| links.get(&id).map(|link| &link.source.endpoint.address);
        let replaced =
            |id: &mut LinkId| entry.homes.iter().filter(on).any(|home| address(*home) == address(*id));
        let replaced: Vec<LinkId> = entry.leaving.extract_if(.., replaced).collect();
        let mut left = Vec::new();
        if !entry.homes.is_empty() && entry.homes.iter().all(|home| on(&home)) {
            for Waiting { ticket, .. } in entry.tickets.drain(..) {
                ticket.confirm();
                self.tickets.push(ticket);
            }
            left = std::mem::take(&mut entry.leaving);
        }
        replaced.into_iter().chain(left).for_each(|id| self.unwant(id, topic));
    }

    pub(super) fn unwant(&mut self, id: LinkId, topic: &Topic) {
        if let Some(link) = self.links.get_mut(&id) {
            link.told(|slots| slots.unwant(topic));
            self.drop_if_idle(id);
        }
    }

    fn drop_if_idle(&mut self, id: LinkId) -> Needed {
        match self.links.get(&id) {
            Some(link) if !link.slots.is_empty() => Needed::Yes,
            Some(_) => {
                if let Some(task) = self.links.remove(&id).and_then(|link| link.task) {
                    task.abort();
                }
                Needed::No
            }
            None => Needed::No,
        }
    }

    fn drop_idle_links(&mut self) {
        let idle = self.links.iter().filter(|(_, link)| link.slots.is_empty()).map(|(id, _)| *id);
        for id in idle.collect::<Vec<_>>() {
            self.drop_if_idle(id);
        }
    }
}

/// What links report.
impl Book {
    pub(super) fn connected(&mut self, id: LinkId) -> Needed {
        let Some(link) = self.links.get_mut(&id) else { return Needed::No };
        link.failure = None;
        link.slots.connected();
        Needed::Yes
    }

    /// The connection is gone, or could not be made.
    pub(super) fn lost(&mut self, id: LinkId, cause: &Arc<Cause>) -> Needed {
        let Some(link) = self.links.get_mut(&id) else { return Needed::No };
        link.failure = Some(Arc::clone(cause));
        link.slots.lost();
        if is_no_use(cause) {
            // Waiting would not help those who wait; who is subscribed already stays, for somebody may mend it.
            let error = Error::at(&link.source.endpoint, Failed { sent: Sent::No, cause: Arc::clone(cause) });
            for topic in link.slots.topics() {
                let Some(entry) = self.topics.get_mut(topic) else { continue };
                if !entry.homes.contains(&id) {
                    continue;
                }
                for Waiting { ticket, .. } in entry.tickets.drain(..) {
                    ticket.fail(error.clone());
                    self.tickets.push(ticket);
                }
            }
        }
        self.drop_if_idle(id)
    }

    pub(super) fn next(&mut self, id: LinkId) -> Next {
        let Some(link) = self.links.get_mut(&id) else { return Next::End };
        match link.slots.next() {
            Some(batch) => Next::Ask(batch),
            None => match self.drop_if_idle(id) {
                Needed::Yes => Next::Nothing,
                Needed::No => Next::End,
            },
        }
    }

    pub(super) fn audience(&self, id: LinkId, topic: &Topic) -> Option<Arc<Audience>> {
        self.links.get(&id)?.slots.audience(topic)
    }

    pub(super) fn confirmed(&mut self, id: LinkId, topic: &Topic, verb: Verb) {
        let Some(link) = self.links.get_mut(&id) else { return };
        link.slots.confirmed(topic, verb);
        link.failure = None;
        match verb {
            Verb::Begin => self.settle(topic),
            Verb::End => {
                self.drop_if_idle(id);
            }
        }
    }

    /// The server takes no requests about topics for now, for this reason.
    pub(super) fn refused_for_now(&mut self, id: LinkId, cause: Arc<Cause>) {
        if let Some(link) = self.links.get_mut(&id) {
            link.failure = Some(cause);
        }
    }

    /// The server will not send this topic. Who waits for it gets the error; who has it already is ended with it,
    /// because silence would look like a quiet channel.
    pub(super) fn refused(&mut self, id: LinkId, topic: &Topic, line: String) {
        let Some(link) = self.links.get_mut(&id) else { return };
        link.slots.refused(topic);
        link.failure = None;
        let cause = Cause::new(Kind::Server, line);
        let error = Error::at(&link.source.endpoint, Failed { sent: Sent::No, cause });
        let Some(entry) = self.topics.get_mut(topic) else { return };
        if !entry.homes.contains(&id) {
            // It was to be left anyway.
            entry.leaving.retain(|leaving| *leaving != id);
            return self.unwant(id, topic);
        }
        let mut listeners = entry.audience.ids();
        for Waiting { ticket, joined } in entry.tickets.drain(..) {
            // Who gets it with the error gives it up itself.
            listeners.retain(|listener| *listener != ticket.listener || joined == Joined::Already);
            ticket.fail(error.clone());
            self.tickets.push(ticket);
        }
        for listener in listeners {
            self.end(listener, error.clone());
        }
        self.drop_if_idle(id);
    }
}

/// Whether what stands in the way of a connection will stand there until somebody mends it.
fn is_no_use(cause: &Arc<Cause>) -> bool {
    matches!(cause.kind, Kind::Auth | Kind::Tls | Kind::Config)
}

impl Link {
    fn told(&mut self, change: impl FnOnce(&mut Slots) -> Asking) {
        if change(&mut self.slots) == Asking::Something {
            self.wishes.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::slice::from_ref;

    use bytes::Bytes;

    use super::super::TopicKind;
    use super::super::audience::{Audience, ListenerId, Ticket};
    use super::super::mailbox::{Limits, Mailbox};
    use super::*;
    use crate::dial::Dialer;
    use crate::error::Endpoint;
    use crate::settings::{Deadlines, ShardSettings};
    use crate::tls::SystemRoots;

    fn source(name: &str, port: u16) -> Source {
        let settings = ShardSettings::new(name, &format!("redis://localhost:{port}")).unwrap();
        let place = Endpoint { name: name.into(), address: settings.address.to_string() };
        let dialer = Dialer::new(settings, Deadlines::default(), &SystemRoots::default()).unwrap();
        Source { endpoint: Arc::new(place), dialer: Arc::new(dialer) }
    }

    fn topic(kind: TopicKind) -> Topic {
        Topic { kind, name: Bytes::from_static(b"news") }
    }

    /// A book with one listener of one topic, which these sources have confirmed.
    fn subscribed(topic: &Topic, sources: &[Source]) -> (Book, Arc<Mailbox>, ListenerId) {
        let (mut book, mailbox) = (Book::default(), Arc::new(Mailbox::new(Limits::default())));
        let listener = book.enter(&mailbox);
        book.join(topic, sources, &Ticket::new(listener));
        for source in sources {
            confirm(&mut book, source, topic);
        }
        (book, mailbox, listener)
    }

    fn link(book: &Book, source: &Source) -> Option<LinkId> {
        let same = |link: &Link| Arc::ptr_eq(&link.source.dialer, &source.dialer);
        book.links.iter().find(|(_, link)| same(link)).map(|(id, _)| *id)
    }

    /// The source connects if it has to, and confirms what it is asked.
    fn confirm(book: &mut Book, source: &Source, topic: &Topic) {
        let id = link(book, source).unwrap();
        book.connected(id);
        while let Next::Ask(batch) = book.next(id) {
            book.confirmed(id, topic, batch.verb);
        }
    }

    fn audience(book: &Book, source: &Source, topic: &Topic) -> Option<Arc<Audience>> {
        book.audience(link(book, source)?, topic)
    }

    #[test]
    fn a_channel_is_left_when_its_new_shard_has_confirmed_and_heard_until_the_old_one_has() {
        let channel = topic(TopicKind::Channel);
        let (old, new) = (source("old", 1), source("new", 2));
        let (mut book, ..) = subscribed(&channel, from_ref(&old));
        book.place(&channel, from_ref(&new));
        let id = link(&book, &old).unwrap();
        assert!(matches!(book.next(id), Next::Nothing));
        confirm(&mut book, &new, &channel);
        assert!(audience(&book, &old, &channel).is_some());
        assert!(matches!(book.next(id), Next::Ask(batch) if batch.verb == Verb::End));
        book.confirmed(id, &channel, Verb::End);
        assert!(matches!(book.next(id), Next::End));
        assert!(audience(&book, &new, &channel).is_some());
    }

    #[test]
    fn who_has_a_topic_that_is_refused_is_ended_though_it_waits_for_it_once_more() {
        let (channel, home) = (topic(TopicKind::Channel), source("home", 1));
        let (mut book, mailbox, listener) = subscribed(&channel, from_ref(&home));
        let id = link(&book, &home).unwrap();
        book.lost(id, &Cause::new(Kind::ShardDown, "gone"));
        let ticket = Ticket::new(listener);
        assert!(matches!(book.join(&channel, from_ref(&home), &ticket), Joined::Already));
        book.connected(id);
        assert!(matches!(book.next(id), Next::Ask(_)));
        book.refused(id, &channel, "NOPERM".into());
        // Who waited gives up what it did not have before, which is nothing.
        book.withdraw(&ticket, from_ref(&channel));
        assert!(mailbox.ended().is_some(), "it listens to what nobody sends");
    }

    #[test]
    fn a_move_that_is_taken_back_changes_nothing() {
        let channel = topic(TopicKind::Channel);
        let (old, new) = (source("old", 1), source("new", 2));
        let (mut book, ..) = subscribed(&channel, from_ref(&old));
        book.place(&channel, from_ref(&new));
        book.place(&channel, from_ref(&old));
        assert_eq!(link(&book, &new), None);
        let id = link(&book, &old).unwrap();
        assert!(matches!(book.next(id), Next::Nothing));
        assert!(book.links[&id].slots.is_on(&channel));
    }

    #[test]
    fn the_same_server_by_another_name_is_left_at_once_and_heard_until_then() {
        for kind in [TopicKind::Channel, TopicKind::Pattern] {
            let topic = topic(kind);
            let (old, new) = (source("old", 1), source("new", 1));
            let (mut book, ..) = subscribed(&topic, from_ref(&old));
            book.place(&topic, from_ref(&new));
            confirm(&mut book, &new, &topic);
            // What the server sent it before the other began may be read only now.
            assert!(audience(&book, &old, &topic).is_some());
            confirm(&mut book, &old, &topic);
            assert_eq!(link(&book, &old), None);
            assert!(audience(&book, &new, &topic).is_some());
        }
    }

    #[test]
    fn a_pattern_leaves_a_server_that_has_another_name_though_another_shard_has_not_confirmed() {
        let pattern = topic(TopicKind::Pattern);
        let (old, new, silent) = (source("old", 1), source("new", 1), source("silent", 2));
        let (mut book, ..) = subscribed(&pattern, from_ref(&old));
        book.place(&pattern, &[new.clone(), silent]);
        confirm(&mut book, &new, &pattern);
        assert!(audience(&book, &old, &pattern).is_some());
        confirm(&mut book, &old, &pattern);
        assert_eq!(link(&book, &old), None);
        assert!(audience(&book, &new, &pattern).is_some());
    }

    #[test]
    fn a_pattern_leaves_at_once_a_shard_that_left() {
        let pattern = topic(TopicKind::Pattern);
        let (stays, leaves) = (source("stays", 1), source("leaves", 2));
        let (mut book, ..) = subscribed(&pattern, &[stays.clone(), leaves.clone()]);
        book.place(&pattern, &[stays]);
        let id = link(&book, &leaves).unwrap();
        assert!(matches!(book.next(id), Next::Ask(batch) if batch.verb == Verb::End));
    }

    #[test]
    fn a_refusal_by_a_shard_that_is_left_anyway_ends_nobody() {
        let channel = topic(TopicKind::Channel);
        let (old, new) = (source("old", 1), source("new", 2));
        let (mut book, mailbox, _) = subscribed(&channel, from_ref(&old));
        book.place(&channel, from_ref(&new));
        let id = link(&book, &old).unwrap();
        assert_eq!(book.lost(id, &Cause::new(Kind::Auth, "gone")), Needed::Yes);
        book.connected(id);
        assert!(matches!(book.next(id), Next::Ask(_)));
        book.refused(id, &channel, "NOPERM".into());
        assert!(mailbox.ended().is_none());
        assert_eq!(link(&book, &old), None);
        book.refused(link(&book, &new).unwrap(), &channel, "NOPERM".into());
        assert_eq!(mailbox.ended().map(|error| error.kind()), Some(Kind::Server));
        assert!(book.links.is_empty() && book.topics.is_empty());
    }

    #[test]
    fn a_listener_that_leaves_takes_everything_with_it() {
        let channel = topic(TopicKind::Channel);
        let home = source("home", 1);
        let (mut book, _, listener) = subscribed(&channel, from_ref(&home));
        let id = link(&book, &home).unwrap();
        assert_eq!(book.lost(id, &Cause::new(Kind::ShardDown, "gone")), Needed::Yes);
        book.forget(listener);
        assert!(book.links.is_empty() && book.topics.is_empty());
        assert_eq!(book.connected(id), Needed::No);
    }
}
