//! The error of this crate.

use std::fmt;

use rendis_engine::address::UrlError;
use rendis_engine::error as engine;

pub use rendis_core::session::Sent;
pub use rendis_engine::error::Kind;

/// A call that did not get the reply it was made for.
///
/// Typed commands return [`redis::RedisError`], because their traits do; [`Error::of`] finds this error inside. The
/// methods of this crate's own types return it directly.
///
/// ```
/// use rendis::{Error, Kind, Ring};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let error = Ring::builder().shard("a", "http://localhost").build().await.unwrap_err();
/// assert_eq!(error.kind(), Kind::Config);
/// assert_eq!(error.sent(), rendis::Sent::No);
///
/// let typed: redis::RedisError = error.into();
/// assert_eq!(Error::of(&typed).map(Error::kind), Some(Kind::Config));
/// # }
/// ```
#[derive(Clone)]
pub struct Error(engine::Error);

impl Error {
    pub(crate) fn local(kind: Kind, text: impl Into<String>) -> Self {
        Self(engine::Error::local(kind, text))
    }

    /// The condition that was met.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.0.kind()
    }

    /// Whether the command may have run: [`Sent::No`] is safe to repeat, [`Sent::Maybe`] only where running it twice
    /// does no harm.
    #[must_use]
    pub fn sent(&self) -> Sent {
        self.0.sent()
    }

    /// The name of the shard it happened at, when it happened at one.
    #[must_use]
    pub fn shard(&self) -> Option<&str> {
        self.0.shard()
    }

    /// The address of the shard it happened at, without credentials.
    #[must_use]
    pub fn address(&self) -> Option<&str> {
        self.0.address()
    }

    /// The name of the command, in upper case, when it is known.
    #[must_use]
    pub fn command(&self) -> Option<&str> {
        self.0.command()
    }

    /// What happened, without place and command.
    #[must_use]
    pub fn text(&self) -> &str {
        self.0.text()
    }

    pub(crate) fn of_command(&self, name: &[u8]) -> Self {
        Self(self.0.of_command(name))
    }

    /// The error reply that a RESP client gets for it.
    pub(crate) fn resp_text(&self) -> String {
        self.0.resp_text()
    }
}

impl From<UrlError> for Error {
    fn from(error: UrlError) -> Self {
        Self(error.into())
    }
}

impl From<engine::Error> for Error {
    fn from(error: engine::Error) -> Self {
        Self(error)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(out)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(out)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        std::error::Error::source(&self.0)
    }
}
