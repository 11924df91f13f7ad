//! The one mapping of errors into those of the `redis` crate, and back.

use std::io;
use std::sync::Arc;

use redis::{RedisError, Value, parse_redis_value};

use crate::error::{Error, Kind};

type Shared = Arc<dyn std::error::Error + Send + Sync>;

impl From<Error> for RedisError {
    /// A shard's own error, and `CROSSSLOT`, become what the `redis` crate makes of the same reply. Every other kind
    /// becomes an IO error that carries the error itself: [`Error::of`] finds it. The `redis` crate's own questions are
    /// answered as for a single server:
    ///
    /// | kind | `is_timeout` | `is_connection_dropped` | `is_connection_refusal` | `retry_method` |
    /// |---|---|---|---|---|
    /// | `Timeout` | yes | | | `RetryImmediately` |
    /// | `ShardDown`, not sent | | yes | yes | `Reconnect` |
    /// | `ShardDown`, perhaps sent | | yes | | `Reconnect` |
    /// | `Protocol`, `Conflict` | | | | `RetryImmediately` |
    /// | `Busy`, `Refused`, `Auth`, `Tls`, `Config` | | | | `NoRetry` |
    ///
    /// There is nothing to reconnect in a ring, which does so by itself. `retry_method` does not know whether the command
    /// may have run ([`Error::sent`]), and has no word for "later": what is `Busy` is well again when less is asked of it.
    fn from(error: Error) -> Self {
        match error.kind() {
            Kind::Server | Kind::CrossShard => server_error(&error.resp_text()),
            kind => {
                let io_kind = match kind {
                    Kind::Timeout => io::ErrorKind::TimedOut,
                    Kind::ShardDown if error.sent() == crate::error::Sent::Maybe => {
                        io::ErrorKind::ConnectionReset
                    }
                    Kind::ShardDown => io::ErrorKind::ConnectionRefused,
                    Kind::Auth => io::ErrorKind::PermissionDenied,
                    Kind::Protocol => io::ErrorKind::InvalidData,
                    Kind::Conflict => io::ErrorKind::Other,
                    // One of the two that the `redis` crate advises not to try again.
                    _ => io::ErrorKind::Unsupported,
                };
                Self::from(io::Error::new(io_kind, error))
            }
        }
    }
}

impl Error {
    /// The error of this crate inside one of the `redis` crate; `None` for an error reply of a server, and for an error
    /// that the `redis` crate made itself (a value of an unexpected type, for instance).
    #[must_use]
    pub fn of(error: &RedisError) -> Option<&Self> {
        let mut source = std::error::Error::source(error)?;
        if let Some(shared) = source.downcast_ref::<Shared>() {
            source = &**shared;
        }
        source.downcast_ref::<io::Error>()?.get_ref()?.downcast_ref::<Self>()
    }
}

/// The error that the `redis` crate makes of an error line, as it stands on the wire without `-` and line end.
pub(crate) fn server_error(line: &str) -> RedisError {
    let unreadable = || RedisError::from((redis::ErrorKind::Extension, "an error reply", line.to_owned()));
    match server_value(line) {
        Value::ServerError(error) => error.into(),
        _ => unreadable(),
    }
}

/// An error line as a value, for a place among other values.
pub(crate) fn server_value(line: &str) -> Value {
    let line = line.replace(['\r', '\n'], " ");
    parse_redis_value(format!("-{line}\r\n").as_bytes()).unwrap_or(Value::Nil)
}

/// An error as a value, for a place among other values.
pub(crate) fn error_value(error: &RedisError) -> Value {
    match Error::of(error) {
        // A code of its own, so that it can be told from a server's.
        Some(own) if own.kind() == Kind::Refused => {
            server_value(&format!("{} {}", Kind::Refused.code(), own.text()))
        }
        Some(own) => server_value(&own.resp_text()),
        None => match (error.code(), error.detail()) {
            (Some(code), detail) => server_value(&format!("{code} {}", detail.unwrap_or_default())),
            (None, _) => server_value(&format!("ERR {error}")),
        },
    }
}

#[cfg(test)]
mod tests {
    use redis::ServerErrorKind;

    use super::*;

    #[test]
    fn an_error_survives_the_way_through_the_redis_crate() {
        let error = Error::local(Kind::Timeout, "no reply in 1s");
        let typed = RedisError::from(error);
        assert!(typed.is_timeout());
        assert_eq!(Error::of(&typed).map(Error::text), Some("no reply in 1s"));
        assert_eq!(Error::of(&typed.clone()).map(Error::kind), Some(Kind::Timeout));
    }

    /// Each answer of the `redis` crate, by its name.
    fn told(error: &RedisError) -> Vec<String> {
        let asked = [
            (error.is_timeout(), "timeout"),
            (error.is_connection_dropped(), "dropped"),
            (error.is_connection_refusal(), "refusal"),
        ];
        let yes = asked.into_iter().filter(|(yes, _)| *yes).map(|(_, name)| name.to_owned());
        yes.chain([format!("{:?}", error.retry_method())]).collect()
    }

    #[test]
    fn the_redis_crates_questions_are_answered_for_every_kind() {
        for kind in Kind::ALL.iter().copied() {
            let not_sent = rendis_engine::error::Error::local(kind, "text");
            let perhaps_sent = not_sent.in_part();
            let expected: [&[&str]; 2] = match kind {
                Kind::Timeout => [&["timeout", "RetryImmediately"]; 2],
                Kind::ShardDown => [&["dropped", "refusal", "Reconnect"], &["dropped", "Reconnect"]],
                Kind::Protocol | Kind::Conflict => [&["RetryImmediately"]; 2],
                _ => [&["NoRetry"]; 2],
            };
            for (error, expected) in [not_sent, perhaps_sent].into_iter().zip(expected) {
                let sent = error.sent();
                assert_eq!(told(&Error::from(error).into()), expected, "{kind:?}, sent: {sent:?}");
            }
        }
    }

    #[test]
    fn server_errors_keep_their_codes() {
        let error = server_error("CROSSSLOT Keys in request don't hash to the same shard");
        assert_eq!(error.kind(), redis::ErrorKind::Server(ServerErrorKind::CrossSlot));
        let error = server_error("SHARDDOWN a (b) c");
        assert_eq!(error.code(), Some("SHARDDOWN"));
        assert!(Error::of(&error).is_none());
    }
}
