//! The handle of an engine: in which protocol its calls are made, how long one may take, and what of that is left.

use std::borrow::Cow;
use std::time::Duration;

use tokio::time::Instant;

use super::Engine;
use crate::error::{Error, Failure};
use crate::settings::{LONGEST, Protocol};
use crate::shard::{Manner, Shard};

impl Engine {
    /// The same engine, through which calls are made in this protocol, so that replies have its shape.
    #[must_use]
    pub fn speaking(&self, protocol: Protocol) -> Self {
        Self { protocol: Some(protocol), ..self.clone() }
    }

    /// The same engine, through which a call may take so long: until its reply, its repetitions and the waiting for a
    /// shard to be taken out counted. What was not written by then is withdrawn.
    #[must_use]
    pub fn allowing(&self, deadline: Duration) -> Self {
        Self { deadline: Some(deadline.min(LONGEST)), whole: None, ..self.clone() }
    }

    /// The same engine, for the rest of a call of which so much time is left. Its errors name the deadline of the whole.
    pub(crate) fn for_the_rest(&self, remaining: Duration) -> Self {
        Self { deadline: Some(remaining), whole: Some(self.whole()), ..self.clone() }
    }

    /// The same for a call that began then, where a noticeable time has passed; else this one.
    pub(crate) fn since(&self, began: Instant) -> Cow<'_, Self> {
        self.rest_since(began).0
    }

    /// [`Engine::since`], and from when the time of that handle's calls counts.
    pub(crate) fn rest_since(&self, began: Instant) -> (Cow<'_, Self>, Instant) {
        let now = Instant::now();
        let spent = now.saturating_duration_since(began);
        if spent < Duration::from_millis(1) {
            return (Cow::Borrowed(self), began);
        }
        (Cow::Owned(self.for_the_rest(self.allowed().saturating_sub(spent))), now)
    }

    /// Whether calls have a deadline of their own, and not that of the settings.
    pub(crate) const fn has_deadline(&self) -> bool {
        self.deadline.is_some()
    }

    /// How long a call may take in all, where this handle is for the rest of one.
    pub(crate) fn whole(&self) -> Duration {
        self.whole.unwrap_or_else(|| self.allowed())
    }

    /// How long a call may take.
    pub(crate) fn allowed(&self) -> Duration {
        self.deadline.unwrap_or_else(|| self.settings().deadlines.reply)
    }

    /// The error of a failed call to this shard.
    pub(crate) fn error(&self, shard: &Shard, failure: Failure) -> Error {
        shard.error_within(failure, self.whole.unwrap_or_else(|| self.manner(shard).deadline))
    }

    /// How a call to this shard is made.
    #[inline]
    pub(crate) fn manner(&self, shard: &Shard) -> Manner {
        let own = shard.manner();
        Manner {
            protocol: self.protocol.unwrap_or(own.protocol),
            deadline: self.deadline.unwrap_or(own.deadline),
        }
    }

    /// [`Engine::manner`], with what is left of the deadline of a call that began then.
    pub(crate) fn manner_since(&self, began: Instant, shard: &Shard) -> Manner {
        let manner = self.manner(shard);
        Manner { deadline: manner.deadline.saturating_sub(began.elapsed()), ..manner }
    }

    /// The protocol in which a call to this shard is made.
    #[must_use]
    pub fn protocol(&self, shard: &Shard) -> Protocol {
        self.protocol.unwrap_or_else(|| shard.protocol())
    }
}
