//! Listeners: places that the process holds, sockets that its threads accept from, and the clients that come in.
//!
//! A TCP port is held by a socket that is bound and does not listen, so that it gets no clients; each thread listens
//! on a socket of its own, bound to the same port (`SO_REUSEPORT`), and the kernel spreads clients over them. A unix
//! socket cannot be bound twice, so all threads accept from one, and so do two that hand it over. A port or path on which
//! somebody else listens is refused, also if that is a rendis: two that share a port by mistake would each get half of the
//! clients. `place` holds, `accept` lets in.

mod accept;
mod place;

pub(crate) use self::accept::{Listener, Target};
pub(crate) use self::place::{Bound, SocketFile, Unopened};

/// Nothing is ever sent: it is gone when all that hold the other end are.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Never {}

/// How many clients may wait to be accepted.
const BACKLOG: i32 = 1024;
