//! The subscriptions of one client: what it listens to, how it is told, and what it may send meanwhile.

use std::collections::BTreeSet;
use std::future::pending;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use rendis_core::command::Subscription as Command;
use rendis_core::reply::{push_array, push_bulk, push_integer, push_null, push_push, push_resp3_null};
use rendis_core::request::Request;
use rendis_engine::error::{Error, Kind};
use rendis_engine::pubsub::{Hub, Limits, Listener, Message, TopicKind};

use crate::access::User;

/// What one client listens to.
pub(crate) struct Subscriber {
    listener: Arc<Listener>,
    channels: BTreeSet<Bytes>,
    patterns: BTreeSet<Bytes>,
    shard_channels: BTreeSet<Bytes>,
    /// The bytes of all their names.
    names: usize,
    /// A message for a name that is not confirmed yet, behind whose confirmation it comes.
    early: Option<Arc<Message>>,
}

impl Subscriber {
    pub(crate) fn new(hub: &Hub) -> Self {
        Self {
            listener: Arc::new(hub.listener(Limits::default())),
            channels: BTreeSet::new(),
            patterns: BTreeSet::new(),
            shard_channels: BTreeSet::new(),
            names: 0,
            early: None,
        }
    }

    /// What it makes the ring hold, nearly: names, and what is kept with each for this client and for the shards.
    pub(crate) fn held(&self) -> usize {
        let [channels, patterns, shard_channels] = self.counts();
        self.names + (channels + patterns + shard_channels) * HELD_WITH_EACH
    }

    /// Whether it listens to nothing any more.
    pub(crate) fn is_idle(&self) -> bool {
        self.channels.is_empty() && self.patterns.is_empty() && self.shard_channels.is_empty()
    }

    /// Whether this user may hear all of it.
    pub(crate) fn suits(&self, user: &User) -> bool {
        self.channels.iter().chain(&self.shard_channels).all(|name| user.may_hear(name))
            && self.patterns.iter().all(|pattern| user.may_hear_pattern(pattern))
    }

    /// The bytes of messages that wait for it, and whether further ones were lost because it does not take them.
    pub(crate) fn backlog(&self) -> (usize, bool) {
        (self.listener.waiting_bytes(), self.listener.has_fallen_behind())
    }

    /// The next message, or why there will be none.
    pub(crate) async fn next(&self) -> Option<Result<Arc<Message>, Error>> {
        self.listener.next().await
    }

    /// The same, where it is there already.
    pub(crate) fn arrived(&self) -> Option<Option<Result<Arc<Message>, Error>>> {
        match self.listener.poll_next(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(message) => Some(message),
            Poll::Pending => None,
        }
    }

    /// Waits for the next message while names are being added; of those, the first is kept, and none is taken behind it.
    pub(crate) async fn next_confirmed(&mut self) -> Option<Result<Arc<Message>, Error>> {
        if self.early.is_none() {
            match self.listener.next().await {
                Some(Ok(message)) if !self.has_confirmed(&message) => self.early = Some(message),
                message => return message,
            }
        }
        pending().await
    }

    fn has_confirmed(&self, message: &Message) -> bool {
        let name = message.pattern.as_ref().unwrap_or(&message.channel);
        match message.kind {
            TopicKind::Channel => self.channels.contains(name),
            TopicKind::Pattern => self.patterns.contains(name),
            TopicKind::ShardChannel => self.shard_channels.contains(name),
        }
    }

    /// Names could not be added: of what has arrived, what is for one of them is not heard.
    pub(crate) fn not_added(&mut self, resp3: bool, out: &mut Vec<u8>) {
        self.early = None;
        // Where the subscription has ended, that is why they could not be added, and is told so.
        while let Some(Some(Ok(message))) = self.arrived() {
            if self.has_confirmed(&message) {
                push_message(out, resp3, &message);
            }
        }
    }

    /// Hands out the messages that have arrived: what comes behind them, such as the confirmation that there will be no
    /// more, is written later, as a server does.
    fn hand_out(&mut self, resp3: bool, out: &mut Vec<u8>) -> Result<(), Error> {
        if let Some(message) = self.early.take() {
            push_message(out, resp3, &message);
        }
        while let Some(message) = self.arrived() {
            let ended = || Err(Error::local(Kind::Refused, "the subscription has ended"));
            push_message(out, resp3, &*message.unwrap_or_else(ended)?);
        }
        Ok(())
    }

    /// What is named by one of the commands about subscriptions, in pieces for [`Subscriber::command`]. To end all of a kind
    /// is to name them; where there are none, the one piece is empty.
    pub(crate) fn pieces<'r>(
        &mut self,
        command: Command,
        request: Request<'r>,
    ) -> impl Iterator<Item = Vec<Bytes>> + use<'r> {
        let all: Vec<Bytes> = match request.count() {
            0 | 1 => self.set(kind(command)).iter().cloned().collect(),
            _ => Vec::new(),
        };
        let mut names = all.into_iter().chain(request.arguments().skip(1).map(Bytes::copy_from_slice));
        let mut next = move || names.by_ref().take(AT_A_TIME).collect::<Vec<_>>();
        let first = next();
        let rest = std::iter::from_fn(move || Some(next()).filter(|piece| !piece.is_empty()));
        std::iter::once(first).chain(rest)
    }

    /// Begins to listen to a piece of the names of a command that asks for that, which [`Subscriber::command`] confirms.
    ///
    /// # Errors
    /// What the hub met; names that were confirmed before are listened to.
    pub(crate) fn begin(
        &self,
        command: Command,
        names: &[Bytes],
    ) -> impl Future<Output = Result<(), Error>> + use<> {
        let (listener, names) = (Arc::clone(&self.listener), names.to_vec());
        async move { listener.add(kind(command), names).await }
    }

    /// One of the commands about subscriptions, for a piece of its names, which were listened to; a confirmation for each
    /// name goes to `out`, and messages that came meanwhile.
    ///
    /// # Errors
    /// That the subscription has ended.
    pub(crate) fn command(
        &mut self,
        command: Command,
        names: Vec<Bytes>,
        resp3: bool,
        out: &mut Vec<u8>,
    ) -> Result<(), Error> {
        let kind = kind(command);
        match command {
            Command::Channels | Command::Patterns | Command::ShardChannels => {
                for name in names {
                    if self.set(kind).insert(name.clone()) {
                        self.names += name.len();
                    }
                    confirm(out, resp3, verb(command), Some(&name), self.count(kind));
                }
                // So that nothing is lost while it waits for the next.
                self.hand_out(resp3, out)?;
            }
            Command::EndChannels | Command::EndPatterns | Command::EndShardChannels => {
                self.listener.remove(kind, names.iter().cloned());
                self.hand_out(resp3, out)?;
                if names.is_empty() {
                    confirm(out, resp3, verb(command), None, self.count(kind));
                }
                for name in names {
                    if self.set(kind).remove(&name) {
                        self.names -= name.len();
                    }
                    confirm(out, resp3, verb(command), Some(&name), self.count(kind));
                }
            }
        }
        Ok(())
    }

    fn set(&mut self, kind: TopicKind) -> &mut BTreeSet<Bytes> {
        match kind {
            TopicKind::Channel => &mut self.channels,
            TopicKind::Pattern => &mut self.patterns,
            TopicKind::ShardChannel => &mut self.shard_channels,
        }
    }

    /// How many channels, patterns and shard channels it listens to.
    pub(crate) fn counts(&self) -> [usize; 3] {
        [self.channels.len(), self.patterns.len(), self.shard_channels.len()]
    }

    /// The number that a confirmation carries: channels and patterns together, shard channels apart.
    fn count(&self, kind: TopicKind) -> usize {
        match kind {
            TopicKind::ShardChannel => self.shard_channels.len(),
            TopicKind::Channel | TopicKind::Pattern => self.channels.len() + self.patterns.len(),
        }
    }
}

/// Confirms to a client that listens to nothing that it does not listen to these.
pub(crate) fn confirm_nothing(command: Command, request: Request<'_>, resp3: bool, out: &mut Vec<u8>) {
    if request.count() < 2 {
        confirm(out, resp3, verb(command), None, 0);
    }
    for name in request.arguments().skip(1) {
        confirm(out, resp3, verb(command), Some(name), 0);
    }
}

/// A message as the client gets it.
pub(crate) fn push_message(out: &mut Vec<u8>, resp3: bool, message: &Message) {
    let (verb, count): (&[u8], usize) = match message.kind {
        TopicKind::Channel => (b"message", 3),
        TopicKind::Pattern => (b"pmessage", 4),
        TopicKind::ShardChannel => (b"smessage", 3),
    };
    if resp3 {
        push_push(out, count);
    } else {
        push_array(out, count);
    }
    push_bulk(out, verb);
    if let Some(pattern) = &message.pattern {
        push_bulk(out, pattern);
    }
    push_bulk(out, &message.channel);
    push_bulk(out, &message.payload);
}

fn confirm(out: &mut Vec<u8>, resp3: bool, verb: &[u8], name: Option<&[u8]>, count: usize) {
    if resp3 {
        push_push(out, 3);
    } else {
        push_array(out, 3);
    }
    push_bulk(out, verb);
    match name {
        Some(name) => push_bulk(out, name),
        None if resp3 => push_resp3_null(out),
        None => push_null(out),
    }
    push_integer(out, i64::try_from(count).unwrap_or(i64::MAX));
}

/// How many names go to the hub at a time, which all threads share.
const AT_A_TIME: usize = 512;

/// What is held for a name apart from its bytes, here, by the hub and by one upstream connection: measured, and rounded.
const HELD_WITH_EACH: usize = 1 << 10;

const fn kind(command: Command) -> TopicKind {
    match command {
        Command::Channels | Command::EndChannels => TopicKind::Channel,
        Command::Patterns | Command::EndPatterns => TopicKind::Pattern,
        Command::ShardChannels | Command::EndShardChannels => TopicKind::ShardChannel,
    }
}

const fn verb(command: Command) -> &'static [u8] {
    match command {
        Command::Channels => b"subscribe",
        Command::Patterns => b"psubscribe",
        Command::ShardChannels => b"ssubscribe",
        Command::EndChannels => b"unsubscribe",
        Command::EndPatterns => b"punsubscribe",
        Command::EndShardChannels => b"sunsubscribe",
    }
}
