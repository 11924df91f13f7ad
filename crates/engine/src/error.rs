//! What went wrong, where, and whether the command may have run.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use rendis_core::plan::RefusalKind;
use rendis_core::session::{Failed, Sent};

/// What kind of condition a caller met.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// The shard that holds the key cannot be reached, or no shard is up. Wait, or look at the server.
    ShardDown,
    /// A deadline passed: connecting, waiting for a reply, writing, or waiting for a connection.
    Timeout,
    /// A queue or pool is full, or this process may open no more connections. Nothing was sent; slow down or raise the limit.
    Busy,
    /// The keys of one command or transaction lie on several shards. Give them a common hash tag.
    CrossShard,
    /// The command is not available on a ring, or larger than a server takes, or the ring is closed; or a server refused
    /// `MULTI`, and what was to be one transaction ran command by command. The text says which.
    Refused,
    /// A server answered something that is not RESP, or out of step. Its connection was closed.
    Protocol,
    /// The server wants other credentials.
    Auth,
    /// The TLS handshake failed or a certificate could not be used.
    Tls,
    /// A setting cannot be used. Nothing was started or changed.
    Config,
    /// The server's own error reply, passed on unchanged.
    Server,
    /// A watched key was changed by someone else more often than the transaction was tried.
    Conflict,
}

impl Kind {
    /// Every kind.
    pub const ALL: &'static [Self] = &[
        Self::ShardDown,
        Self::Timeout,
        Self::Busy,
        Self::CrossShard,
        Self::Refused,
        Self::Protocol,
        Self::Auth,
        Self::Tls,
        Self::Config,
        Self::Server,
        Self::Conflict,
    ];

    /// Its place in [`Kind::ALL`].
    #[must_use]
    pub fn index(self) -> usize {
        Self::ALL.iter().position(|known| *known == self).unwrap_or_default()
    }

    /// The name, as it stands at the start of an error reply.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::ShardDown => "SHARDDOWN",
            Self::Timeout => "TIMEOUT",
            Self::Busy => "BUSY",
            Self::CrossShard => "CROSSSLOT",
            Self::Refused => "REFUSED",
            Self::Protocol => "PROTOCOL",
            Self::Auth => "SHARDAUTH",
            Self::Tls => "TLS",
            Self::Config => "CONFIG",
            Self::Server => "ERR",
            Self::Conflict => "CONFLICT",
        }
    }
}

impl From<RefusalKind> for Kind {
    fn from(refusal: RefusalKind) -> Self {
        match refusal {
            RefusalKind::CrossShard => Self::CrossShard,
            RefusalKind::Unknown | RefusalKind::Arity | RefusalKind::Arguments => Self::Server,
            _ => Self::Refused,
        }
    }
}

/// Why a connection failed or a call got no reply, without its shard: shared by all calls that it ended.
#[derive(Clone, Debug)]
pub struct Cause {
    /// The kind of the error that callers will see.
    pub kind: Kind,
    /// What happened, in words.
    pub text: String,
    /// The error underneath, when there is one.
    pub source: Option<Arc<dyn StdError + Send + Sync>>,
    /// Set where a call's own deadline passed, which whoever made the call words ([`Cause::within`]): a wire knows when
    /// that was, and not how long the caller allowed.
    pub(crate) late: Option<Late>,
    /// Set where a request waited on its server, as `XREAD BLOCK` does, and the ring's change ended that: it did not fail.
    pub(crate) interrupted: bool,
}

/// What a wire was at when the deadline of a call passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Late {
    /// It had no connection yet.
    Connecting,
    /// It had one.
    Serving,
    /// A connection of the call's own, or any, and the cause says in its own words how long was waited.
    Alone,
}

impl Cause {
    /// A cause in words.
    #[must_use]
    pub fn new(kind: Kind, text: impl Into<String>) -> Arc<Self> {
        Arc::new(Self::of(kind, text))
    }

    fn of(kind: Kind, text: impl Into<String>) -> Self {
        Self { kind, text: text.into(), source: None, late: None, interrupted: false }
    }

    /// A cause with the error underneath.
    #[must_use]
    pub fn caused_by(
        kind: Kind,
        text: impl Into<String>,
        source: impl StdError + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new(Self { source: Some(Arc::new(source)), ..Self::of(kind, text) })
    }

    /// The cause of a call whose waiting on its server the ring's change ended.
    pub(crate) fn interrupted(text: &str) -> Arc<Self> {
        Arc::new(Self { interrupted: true, ..Self::of(Kind::ShardDown, text) })
    }

    /// The cause of calls whose own deadline passed.
    pub(crate) fn late(late: Late) -> Arc<Self> {
        Arc::new(Self { late: Some(late), ..Self::of(Kind::Timeout, "no reply in time") })
    }

    /// The cause of a call that waited on a connection of its own for as long as it may.
    pub(crate) fn late_alone(&self) -> Arc<Self> {
        Arc::new(Self { late: Some(Late::Alone), ..self.clone() })
    }

    /// The failure of a call that was allowed so long. What ended otherwise than by that deadline keeps its words.
    pub(crate) fn within(failed: Failed<Arc<Self>>, deadline: Duration) -> Failed<Arc<Self>> {
        let Some(late) = failed.cause.late else { return failed };
        let text = match (late, failed.sent) {
            (Late::Alone, _) => return failed,
            (Late::Connecting, _) => format!("no connection in {deadline:?}"),
            (Late::Serving, Sent::No) => format!("nothing could be written in {deadline:?}"),
            (Late::Serving, Sent::Maybe) => format!("no reply in {deadline:?}"),
        };
        let cause = Self { late: Some(Late::Alone), ..Self::of(Kind::Timeout, text) };
        Failed { cause: Arc::new(cause), ..failed }
    }
}

/// A call that got no reply, and whether it may have run.
pub type Failure = Failed<Arc<Cause>>;

/// A shard as errors name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The shard's name in the ring.
    pub name: String,
    /// Where it listens, without credentials.
    pub address: String,
}

impl fmt::Display for Endpoint {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.name == self.address {
            out.write_str(&self.name)
        } else {
            write!(out, "{} ({})", self.name, self.address)
        }
    }
}

/// A call that did not get the reply it was made for.
///
/// Cheap to clone. [`fmt::Display`] prints one level, [`StdError::source`] leads to what is underneath. What to do:
/// look at [`Error::kind`], and repeat the call yourself only when [`Error::sent`] is [`Sent::No`] or running it twice
/// does no harm.
#[derive(Clone)]
pub struct Error {
    inner: Arc<Inner>,
}

struct Inner {
    cause: Arc<Cause>,
    sent: Sent,
    endpoint: Option<Arc<Endpoint>>,
    command: Option<String>,
}

impl Error {
    /// An error that was met here, before anything was sent.
    #[must_use]
    pub fn local(kind: Kind, text: impl Into<String>) -> Self {
        Self::new(Cause::new(kind, text), Sent::No, None)
    }

    /// An error from its parts.
    #[must_use]
    pub fn new(cause: Arc<Cause>, sent: Sent, endpoint: Option<Arc<Endpoint>>) -> Self {
        Self { inner: Arc::new(Inner { cause, sent, endpoint, command: None }) }
    }

    /// A call that failed at this shard.
    #[must_use]
    pub fn at(endpoint: &Arc<Endpoint>, failed: Failed<Arc<Cause>>) -> Self {
        Self::new(failed.cause, failed.sent, Some(Arc::clone(endpoint)))
    }

    /// The same error, naming the command that met it.
    #[must_use]
    pub fn of_command(&self, name: &[u8]) -> Self {
        let inner = &self.inner;
        Self {
            inner: Arc::new(Inner {
                cause: Arc::clone(&inner.cause),
                sent: inner.sent,
                endpoint: inner.endpoint.clone(),
                command: Some(name.escape_ascii().to_string().to_ascii_uppercase()),
            }),
        }
    }

    /// The same error for a whole of which another part was sent: it may have been executed in part.
    #[must_use]
    pub fn in_part(&self) -> Self {
        let inner = &self.inner;
        Self {
            inner: Arc::new(Inner {
                cause: Arc::clone(&inner.cause),
                sent: Sent::Maybe,
                endpoint: inner.endpoint.clone(),
                command: inner.command.clone(),
            }),
        }
    }

    /// The condition that was met.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.inner.cause.kind
    }

    /// Whether the call's own deadline passed, so that there is no time left for another attempt.
    pub(crate) fn is_late(&self) -> bool {
        self.inner.cause.late.is_some()
    }

    /// Whether the command may have run.
    #[must_use]
    pub fn sent(&self) -> Sent {
        self.inner.sent
    }

    /// The name of the shard it happened at, when it happened at one.
    #[must_use]
    pub fn shard(&self) -> Option<&str> {
        self.inner.endpoint.as_ref().map(|endpoint| endpoint.name.as_str())
    }

    /// The address of the shard it happened at, without credentials.
    #[must_use]
    pub fn address(&self) -> Option<&str> {
        self.inner.endpoint.as_ref().map(|endpoint| endpoint.address.as_str())
    }

    /// The name of the command, in upper case, when it is known.
    #[must_use]
    pub fn command(&self) -> Option<&str> {
        self.inner.command.as_deref()
    }

    /// What happened, without shard and command.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.inner.cause.text
    }

    /// The error reply that a RESP client gets for it, without `-` and line end. A server's own error is passed on as
    /// it came.
    #[must_use]
    pub fn resp_text(&self) -> String {
        match self.kind() {
            Kind::Server | Kind::CrossShard => self.text().to_owned(),
            Kind::Refused if self.sent() == Sent::No => format!("ERR {}", self.text()),
            Kind::Refused => format!("ERR {}; {}", self.text(), self.outcome()),
            kind => format!("{} {}", kind.code(), self.with_endpoint()),
        }
    }

    fn outcome(&self) -> &'static str {
        match self.sent() {
            Sent::No => "not executed",
            Sent::Maybe => "may have been executed",
        }
    }

    fn with_endpoint(&self) -> String {
        let outcome = self.outcome();
        match &self.inner.endpoint {
            Some(endpoint) => format!("{endpoint} {}; {outcome}", self.text()),
            None => format!("{}; {outcome}", self.text()),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.command() {
            // A refusal names the command itself.
            Some(command) if self.kind() != Kind::Refused => write!(out, "{command}: ")?,
            _ => {}
        }
        match self.kind() {
            Kind::Config if self.inner.endpoint.is_none() => out.write_str(self.text()),
            Kind::CrossShard | Kind::Refused => out.write_str(self.text()),
            Kind::Server => match &self.inner.endpoint {
                Some(endpoint) => write!(out, "{endpoint} answered: {}", self.text()),
                None => out.write_str(self.text()),
            },
            _ => out.write_str(&self.with_endpoint()),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Error")
            .field("kind", &self.kind())
            .field("sent", &self.sent())
            .field("shard", &self.shard())
            .field("command", &self.command())
            .field("text", &self.text())
            .finish_non_exhaustive()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match &self.inner.cause.source {
            Some(source) => Some(&**source),
            None => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_says_what_where_and_whether_it_may_have_run() {
        let endpoint = Arc::new(Endpoint { name: "shard2".into(), address: "127.0.0.1:7002".into() });
        let refused = Failed { sent: Sent::No, cause: Cause::new(Kind::ShardDown, "connection refused") };
        let error = Error::at(&endpoint, refused).of_command(b"get");
        assert_eq!(error.resp_text(), "SHARDDOWN shard2 (127.0.0.1:7002) connection refused; not executed");
        assert_eq!(error.to_string(), "GET: shard2 (127.0.0.1:7002) connection refused; not executed");
        let late = Failed { sent: Sent::Maybe, cause: Cause::new(Kind::Timeout, "no reply in 1s") };
        assert_eq!(
            Error::at(&endpoint, late).resp_text(),
            "TIMEOUT shard2 (127.0.0.1:7002) no reply in 1s; may have been executed"
        );
    }
}
