//! Subscriptions of a ring, as streams.

use std::borrow::Cow;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::Stream;
use rendis_engine::pubsub::{self as engine, Listener, TopicKind};

use crate::error::Error;
use crate::ring::Ring;
use crate::typed::{FromRedisValue, RedisResult, ToRedisArgs, Value, from_redis_value};

pub use rendis_engine::pubsub::Limits as SubscriptionLimits;

impl Ring {
    /// Listens to channels: each on the shard to which `PUBLISH` sends by its name. Returns when every shard concerned
    /// has confirmed, so what is published afterwards is seen.
    ///
    /// All subscriptions of a ring share one connection a shard, and the shard sends each message once however many
    /// listen to it.
    ///
    /// # Cancel safety
    /// Dropping the future leaves nothing behind.
    ///
    /// # Errors
    /// Within the connect and the reply deadline together (default 2 s), naming the shard: [`Kind::ShardDown`] when
    /// one is down or cannot be reached, [`Kind::Timeout`] when it does not confirm, [`Kind::Auth`], [`Kind::Tls`] or
    /// [`Kind::Config`] when it cannot be talked to, [`Kind::Server`] when it refuses (an ACL, `SSUBSCRIBE` before
    /// Redis 7, a script that runs all the time); [`Kind::Refused`] when the ring is closed, or the runtime has ended that
    /// it was built on; and [`Kind::Config`] outside of a tokio runtime.
    ///
    /// [`Kind::ShardDown`]: crate::Kind::ShardDown
    /// [`Kind::Timeout`]: crate::Kind::Timeout
    /// [`Kind::Auth`]: crate::Kind::Auth
    /// [`Kind::Tls`]: crate::Kind::Tls
    /// [`Kind::Config`]: crate::Kind::Config
    /// [`Kind::Server`]: crate::Kind::Server
    /// [`Kind::Refused`]: crate::Kind::Refused
    ///
    /// ```no_run
    /// use redis::AsyncCommands;
    ///
    /// # async fn example(mut ring: rendis::Ring) -> Result<(), Box<dyn std::error::Error>> {
    /// let mut news = ring.subscribe(&["sports", "weather"]).await?;
    /// ring.publish::<_, _, ()>("weather", "rain").await?;
    /// while let Some(message) = news.next().await {
    ///     let message = message?;
    ///     println!("{}: {}", message.channel_text(), message.payload_text());
    /// }
    /// # Ok(()) }
    /// ```
    pub async fn subscribe(&self, channels: impl ToRedisArgs) -> Result<Subscription, Error> {
        self.subscribe_to(TopicKind::Channel, names(&channels)).await
    }

    /// Listens to all channels that match glob-style patterns, on every shard that is up: what is published through
    /// the ring arrives from the shard of its channel, and keyspace notifications from the shard of their key. When a
    /// shard comes or returns it is listened to as well.
    ///
    /// # Cancel safety
    /// As [`Ring::subscribe`].
    ///
    /// # Errors
    /// As [`Ring::subscribe`].
    pub async fn psubscribe(&self, patterns: impl ToRedisArgs) -> Result<Subscription, Error> {
        self.subscribe_to(TopicKind::Pattern, names(&patterns)).await
    }

    /// Listens to shard channels (`SPUBLISH`): each on the shard of its name. Needs Redis 7.
    ///
    /// # Cancel safety
    /// As [`Ring::subscribe`].
    ///
    /// # Errors
    /// As [`Ring::subscribe`].
    pub async fn ssubscribe(&self, channels: impl ToRedisArgs) -> Result<Subscription, Error> {
        self.subscribe_to(TopicKind::ShardChannel, names(&channels)).await
    }

    /// A subscription to nothing yet, with limits of its own. It costs nothing until something is added.
    ///
    /// ```no_run
    /// # use rendis::{Error, Ring, SubscriptionLimits};
    /// # async fn example(ring: Ring) -> Result<(), Error> {
    /// let limits = SubscriptionLimits { messages: 100_000, ..SubscriptionLimits::default() };
    /// let events = ring.subscription(limits);
    /// events.subscribe("orders").await?;
    /// events.psubscribe("__keyevent@*__:expired").await?;
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn subscription(&self, limits: SubscriptionLimits) -> Subscription {
        Subscription { listener: self.hub().listener(limits) }
    }

    async fn subscribe_to(&self, kind: TopicKind, names: Vec<Bytes>) -> Result<Subscription, Error> {
        let subscription = self.subscription(SubscriptionLimits::default());
        subscription.listener.add(kind, names).await?;
        Ok(subscription)
    }
}

/// Messages of the channels and patterns that were subscribed to, as a stream. Dropping it unsubscribes.
///
/// It keeps the ring at work, like a clone of it.
///
/// # What it promises
/// A message arrives once for each of its channels and patterns that match, as from Redis, and those of one channel in
/// the order in which its shard sent them. When a connection breaks it is made again and everything subscribed again;
/// when shards come and go, subscriptions move with the placement, the new shard before the old. None of this shows
/// here. As everywhere in Redis, messages published while a connection is broken are lost. So are those published on a
/// channel that moves to another server, until that has confirmed the subscription; and where a shard gets new connections
/// to the same server, because it was renamed or its settings were changed, one published in that moment may come twice.
///
/// Keyspace notifications come from the shard of the *key*, so their channels (`__keyspace@0__:…`, `__keyevent@0__:…`) and
/// all patterns are listened to on every shard.
///
/// # How it ends
/// With an error, and then `None`:
/// - [`Kind::Busy`](crate::Kind::Busy) when it fell behind: more waited than its [`SubscriptionLimits`] allow (default
///   16 384 messages, 64 MiB). What waited before is given first. Other subscriptions do not notice.
/// - [`Kind::Server`](crate::Kind::Server) when a shard refused one of its channels later on, after a move or a
///   reconnect.
/// - [`Kind::Refused`](crate::Kind::Refused) when the ring was closed, or the runtime has ended that it was built on.
#[derive(Debug)]
pub struct Subscription {
    listener: Listener,
}

impl Subscription {
    /// The next message. Cancel safe: dropping the future loses none.
    ///
    /// # Errors
    /// See [`Subscription`].
    pub async fn next(&mut self) -> Option<Result<Message, Error>> {
        Some(self.listener.next().await?.map(Message::new).map_err(Error::from))
    }

    /// Adds channels, with all that [`Ring::subscribe`] promises. When it fails or is dropped, the subscription is as
    /// it was before, unless a shard refuses a channel that it had already, which ends it; so two calls with the same names
    /// should not overlap.
    ///
    /// # Errors
    /// As [`Ring::subscribe`]; and the error that ended the subscription, if one did.
    pub async fn subscribe(&self, channels: impl ToRedisArgs) -> Result<(), Error> {
        Ok(self.listener.add(TopicKind::Channel, names(&channels)).await?)
    }

    /// Adds patterns, as [`Ring::psubscribe`].
    ///
    /// # Errors
    /// As [`Subscription::subscribe`].
    pub async fn psubscribe(&self, patterns: impl ToRedisArgs) -> Result<(), Error> {
        Ok(self.listener.add(TopicKind::Pattern, names(&patterns)).await?)
    }

    /// Adds shard channels, as [`Ring::ssubscribe`].
    ///
    /// # Errors
    /// As [`Subscription::subscribe`].
    pub async fn ssubscribe(&self, channels: impl ToRedisArgs) -> Result<(), Error> {
        Ok(self.listener.add(TopicKind::ShardChannel, names(&channels)).await?)
    }

    /// Takes channels off. Messages that came before and wait are still given; no further ones come. Names that are
    /// not subscribed to are passed over.
    pub fn unsubscribe(&self, channels: impl ToRedisArgs) {
        self.listener.remove(TopicKind::Channel, names(&channels));
    }

    /// Takes patterns off, as [`Subscription::unsubscribe`].
    pub fn punsubscribe(&self, patterns: impl ToRedisArgs) {
        self.listener.remove(TopicKind::Pattern, names(&patterns));
    }

    /// Takes shard channels off, as [`Subscription::unsubscribe`].
    pub fn sunsubscribe(&self, channels: impl ToRedisArgs) {
        self.listener.remove(TopicKind::ShardChannel, names(&channels));
    }
}

impl Stream for Subscription {
    type Item = Result<Message, Error>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let polled = self.listener.poll_next(context);
        polled.map(|item| item.map(|result| result.map(Message::new).map_err(Error::from)))
    }
}

/// A message. Cheap to clone: all who get it share its bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct Message {
    inner: Arc<engine::Message>,
}

impl Message {
    const fn new(inner: Arc<engine::Message>) -> Self {
        Self { inner }
    }

    /// The channel that it was published to.
    #[must_use]
    pub fn channel(&self) -> &[u8] {
        &self.inner.channel
    }

    /// The channel as text; what is not UTF-8 is replaced by `�`.
    #[must_use]
    pub fn channel_text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(self.channel())
    }

    /// The pattern that it matched; `None` when it came through a channel.
    #[must_use]
    pub fn pattern(&self) -> Option<&[u8]> {
        self.inner.pattern.as_deref()
    }

    /// What was published.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        &self.inner.payload
    }

    /// What was published as text; what is not UTF-8 is replaced by `�`.
    #[must_use]
    pub fn payload_text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(self.payload())
    }

    /// What was published, read as a reply of a command would be: a number, a `String`, a `Vec<u8>`, a type of one's
    /// own.
    ///
    /// # Errors
    /// When it is no such value.
    pub fn payload_as<T: FromRedisValue>(&self) -> RedisResult<T> {
        Ok(from_redis_value(Value::BulkString(self.payload().to_vec()))?)
    }

    /// The name of the shard that sent it.
    #[must_use]
    pub fn shard(&self) -> &str {
        &self.inner.shard.name
    }
}

impl std::fmt::Debug for Message {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Message")
            .field("channel", &self.channel_text())
            .field("pattern", &self.pattern().map(String::from_utf8_lossy))
            .field("payload", &self.payload_text())
            .field("shard", &self.shard())
            .finish()
    }
}

fn names(names: &impl ToRedisArgs) -> Vec<Bytes> {
    names.to_redis_args().into_iter().map(Bytes::from).collect()
}
