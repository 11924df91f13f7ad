//! Who listens to what, and which shards have to send it: the state that one lock guards.
//!
//! What listeners do stands here; where topics live, and what links report, in `places`. Nothing waits or does IO.
//! Callers that have to be woken are collected and woken by [`Shared::change`] when the lock is free.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Waker;

use rendis_core::session::{Failed, Sent};
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use super::audience::{Audience, Left, ListenerId, Ticket};
use super::mailbox::Mailbox;
use super::slots::{Batch, Slots, Topic};
use crate::dial::Dialer;
use crate::error::{Cause, Endpoint, Error, Kind};

/// A server that can send messages.
#[derive(Clone)]
pub(super) struct Source {
    pub(super) endpoint: Arc<Endpoint>,
    pub(super) dialer: Arc<Dialer>,
}

/// Numbers the links of a hub; none comes twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct LinkId(pub(super) u64);

/// What a link's task is given.
pub(super) struct Start {
    pub(super) id: LinkId,
    pub(super) source: Source,
    /// There is something new to ask.
    pub(super) wishes: Arc<Notify>,
    /// The topology has changed, or somebody waits for a topic: a link that rests should try again.
    pub(super) nudge: Arc<Notify>,
}

/// Whether a link is still needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Needed {
    Yes,
    No,
}

/// What a link asks its server next.
pub(super) enum Next {
    Ask(Batch),
    Nothing,
    /// The link is not needed any more.
    End,
}

/// Whether a listener had a topic already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Joined {
    Anew,
    Already,
}

/// The book and its lock.
#[derive(Default)]
pub(super) struct Shared {
    book: Mutex<Book>,
}

impl Shared {
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut Book) -> T) -> T {
        let mut book = self.book.lock().unwrap_or_else(PoisonError::into_inner);
        let out = change(&mut book);
        if book.topics.is_empty()
            && let Some(mover) = book.mover.take()
        {
            mover.task.abort();
        }
        let wakers = std::mem::take(&mut book.wakers);
        let tickets = std::mem::take(&mut book.tickets);
        drop(book);
        wakers.into_iter().for_each(Waker::wake);
        tickets.iter().for_each(|ticket| ticket.wake());
        out
    }
}

/// See the module.
#[derive(Default)]
pub(super) struct Book {
    pub(super) topics: HashMap<Topic, Entry>,
    pub(super) links: BTreeMap<LinkId, Link>,
    listeners: BTreeMap<ListenerId, Member>,
    /// The task that follows the topology while there are topics.
    pub(super) mover: Option<Mover>,
    closed: Option<Error>,
    last: u64,
    /// Links without a task yet.
    pub(super) starting: Vec<LinkId>,
    /// To be woken when the lock is free.
    wakers: Vec<Waker>,
    pub(super) tickets: Vec<Arc<Ticket>>,
}

/// See [`Book::mover`].
pub(super) struct Mover {
    /// None comes twice.
    pub(super) number: u64,
    pub(super) task: AbortHandle,
}

/// A topic that somebody listens to.
pub(super) struct Entry {
    pub(super) audience: Arc<Audience>,
    /// The links that have to send it.
    pub(super) homes: Vec<LinkId>,
    /// The links that send it until all homes have confirmed.
    pub(super) leaving: Vec<LinkId>,
    pub(super) tickets: Vec<Waiting>,
}

/// Who waits for a topic to be confirmed.
pub(super) struct Waiting {
    pub(super) ticket: Arc<Ticket>,
    /// Who had the topic already keeps it when the call fails; but a refusal ends its listener.
    pub(super) joined: Joined,
}

/// A shard that has something to send.
pub(super) struct Link {
    pub(super) source: Source,
    pub(super) slots: Slots,
    pub(super) wishes: Arc<Notify>,
    pub(super) nudge: Arc<Notify>,
    pub(super) task: Option<AbortHandle>,
    /// Why topics are not confirmed: there is no connection, or the server takes no requests for now.
    pub(super) failure: Option<Arc<Cause>>,
}

struct Member {
    mailbox: Arc<Mailbox>,
    topics: BTreeSet<Topic>,
}

/// What listeners do.
impl Book {
    pub(super) fn enter(&mut self, mailbox: &Arc<Mailbox>) -> ListenerId {
        let id = ListenerId(self.number());
        if let Some(error) = &self.closed {
            self.wakers.extend(mailbox.fail(error.clone()));
        }
        self.listeners.insert(id, Member { mailbox: Arc::clone(mailbox), topics: BTreeSet::new() });
        id
    }

    /// The listener gets the topic, which these sources have to send. The ticket waits until they have confirmed it.
    pub(super) fn join(&mut self, topic: &Topic, sources: &[Source], ticket: &Arc<Ticket>) -> Joined {
        let Some(member) = self.listeners.get_mut(&ticket.listener) else { return Joined::Already };
        let anew = member.topics.insert(topic.clone());
        let entry = self.topics.entry(topic.clone()).or_insert_with(|| Entry {
            audience: Arc::default(),
            homes: Vec::new(),
            leaving: Vec::new(),
            tickets: Vec::new(),
        });
        entry.audience.insert(ticket.listener, &member.mailbox);
        ticket.expect();
        let joined = if anew { Joined::Anew } else { Joined::Already };
        entry.tickets.push(Waiting { ticket: Arc::clone(ticket), joined });
        self.place(topic, sources);
        self.hurry(topic);
        joined
    }

    /// How many listen to a topic, and how many links have to send it.
    pub(super) fn count(&self, topic: &Topic) -> (usize, usize) {
        let entry = self.topics.get(topic);
        entry.map_or((0, 0), |entry| (entry.audience.len(), entry.homes.len() + entry.leaving.len()))
    }

    /// The listener gives the topic up.
    pub(super) fn leave(&mut self, listener: ListenerId, topic: &Topic) {
        let Some(member) = self.listeners.get_mut(&listener) else { return };
        if !member.topics.remove(topic) {
            return;
        }
        let Some(entry) = self.topics.get_mut(topic) else { return };
        for Waiting { ticket, .. } in
            entry.tickets.extract_if(.., |waiting| waiting.ticket.listener == listener)
        {
            ticket.fail(Error::local(Kind::Refused, "given up before it was confirmed"));
            self.tickets.push(ticket);
        }
        if entry.audience.remove(listener) == Left::Nobody
            && let Some(entry) = self.topics.remove(topic)
        {
            for id in entry.homes.iter().chain(&entry.leaving) {
                self.unwant(*id, topic);
            }
        }
    }

    /// The listener gives everything up.
    pub(super) fn forget(&mut self, listener: ListenerId) {
        self.leave_all(listener);
        self.listeners.remove(&listener);
    }

    /// The listener gets nothing more than what waits, and this error.
    pub(super) fn end(&mut self, listener: ListenerId, error: Error) {
        let Some(member) = self.listeners.get(&listener) else { return };
        self.wakers.extend(member.mailbox.fail(error));
        self.leave_all(listener);
    }

    /// The ticket waits for these topics no more.
    pub(super) fn withdraw(&mut self, ticket: &Arc<Ticket>, topics: &[Topic]) {
        for topic in topics {
            if let Some(entry) = self.topics.get_mut(topic) {
                entry.tickets.retain(|waiting| !Arc::ptr_eq(&waiting.ticket, ticket));
            }
        }
    }

    /// Why these topics are not confirmed after `waited`, by the first of them.
    pub(super) fn blame(&self, topics: &[Topic], waited: std::time::Duration) -> Error {
        let late = || Cause::new(Kind::Timeout, format!("not confirmed in {waited:?}"));
        let homes = topics.iter().filter_map(|topic| Some((topic, self.topics.get(topic)?)));
        let mut silent = homes.flat_map(|(topic, entry)| {
            let links = entry.homes.iter().filter_map(|id| self.links.get(id));
            links.filter(|link| !link.slots.is_on(topic))
        });
        match silent.next() {
            Some(link) => {
                let cause = link.failure.clone().unwrap_or_else(late);
                Error::at(&link.source.endpoint, Failed { sent: Sent::No, cause })
            }
            None => Error::new(late(), Sent::No, None),
        }
    }

    /// A number that was not given before.
    pub(super) fn number(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    /// Why no topic can be added any more.
    pub(super) fn closed(&self) -> Option<&Error> {
        self.closed.as_ref()
    }

    /// Ends every listener with this error, and every link.
    pub(super) fn close(&mut self, error: &Error) {
        self.closed.get_or_insert_with(|| error.clone());
        let listeners: Vec<ListenerId> = self.listeners.keys().copied().collect();
        for listener in listeners {
            self.end(listener, error.clone());
        }
        for link in std::mem::take(&mut self.links).into_values() {
            link.task.iter().for_each(AbortHandle::abort);
        }
    }

    fn leave_all(&mut self, listener: ListenerId) {
        let topics = self.listeners.get(&listener).map(|member| member.topics.clone()).unwrap_or_default();
        for topic in &topics {
            self.leave(listener, topic);
        }
    }
}
