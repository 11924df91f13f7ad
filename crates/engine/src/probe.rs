//! How a shard is asked whether it is well.

use std::fmt;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;

use futures_util::FutureExt;
use rendis_core::health::{Probe, classify};
use rendis_core::reply::Reply;
use rendis_core::request::RequestBuf;

use crate::connection::Connection;
use crate::error::{Cause, Kind};
use crate::shard::Shard;

/// A caller's own question: any future that finds out whether a shard is well.
pub type Question = dyn Fn(Arc<Shard>) -> Pin<Box<dyn Future<Output = Probe> + Send>> + Send + Sync;

/// How a shard is asked whether it is well.
#[derive(Clone)]
pub enum Heartbeat {
    /// A command, over a connection that is used for nothing else. Any reply that is no error is good.
    Command(RequestBuf),
    /// A caller's own question.
    Custom(Arc<Question>),
}

impl Default for Heartbeat {
    /// `PING`.
    fn default() -> Self {
        Self::Command(RequestBuf::pack([&b"PING"[..]]))
    }
}

impl fmt::Debug for Heartbeat {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Command(request) => write!(out, "Heartbeat({request:?})"),
            Self::Custom(_) => out.write_str("Heartbeat(custom)"),
        }
    }
}

impl Heartbeat {
    /// Whether both ask the same question.
    pub(crate) fn same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Command(one), Self::Command(two)) => one.view().bytes() == two.view().bytes(),
            (Self::Custom(one), Self::Custom(two)) => Arc::ptr_eq(one, two),
            _ => false,
        }
    }

    /// Asks once. `connection` is where the probe's own connection stays from one time to the next.
    pub(crate) async fn ask(&self, shard: &Arc<Shard>, connection: &mut Option<Connection>) -> Probe {
        let request = match self {
            Self::Command(request) => request,
            // A question that panics is one that was not answered well.
            Self::Custom(question) => {
                let asking = async { question(Arc::clone(shard)).await };
                return AssertUnwindSafe(asking).catch_unwind().await.unwrap_or(Probe::Failed);
            }
        };
        // Taken out, and put back when the answer is good: a probe that is given up at its deadline drops it.
        let opened = match connection.take() {
            Some(connection) => Ok(connection),
            None => shard.dialer().dial().await,
        };
        let asked = match opened {
            Ok(mut open) => {
                open.ask(request).await.map(|reply| (open, reply)).map_err(|failure| failure.cause)
            }
            Err(cause) => Err(cause),
        };
        match asked {
            Ok((open, reply)) => {
                *connection = Some(open);
                if let Some(error) = reply.as_error() {
                    let words = [error.code, error.text].map(String::from_utf8_lossy);
                    let text = format!("it answers a probe with {}", words.join(" "));
                    shard.pulse().noticed(&Cause::new(Kind::Server, text));
                }
                classify(&reply)
            }
            Err(cause) => {
                shard.pulse().noticed(&cause);
                match cause.kind {
                    // The server's own words, on the way to a connection.
                    Kind::Server => classify(&Reply::error(&cause.text, "")),
                    Kind::Busy => Probe::Unasked,
                    _ => Probe::Failed,
                }
            }
        }
    }
}
