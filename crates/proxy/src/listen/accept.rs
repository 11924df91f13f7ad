//! Clients that come in.

use std::future::poll_fn;
use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::{Duration, Instant};

use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{mpsc, oneshot};
use tokio::task::unconstrained;
use tokio_rustls::TlsAcceptor;

use super::{BACKLOG, Never};
use crate::client;
use crate::context::{Context, Shared};
use crate::identity::Identity;
use crate::peer::Peer;

/// A listener of one thread.
pub(crate) enum Listener {
    Tcp(TcpListener),
    Unix { listener: UnixListener, path: String },
}

/// Where the clients of a listener go. It can be changed while it listens, so that a port that one ring hands to another
/// refuses nobody.
#[derive(Clone)]
pub(crate) struct Target {
    pub(crate) context: Arc<Context>,
    pub(crate) tls: bool,
    /// Every client's task holds a clone.
    pub(crate) alive: mpsc::Sender<Never>,
}

/// A client that came in.
struct Arrival {
    peer: Peer,
    from: String,
    to: String,
}

impl Listener {
    /// Accepts clients until the other end of `close` is dropped; those that have connected by then still come in.
    pub(crate) async fn serve(self, target: Arc<Mutex<Target>>, mut close: oneshot::Receiver<Never>) {
        let target = || target.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut failing = false;
        loop {
            let accepted = tokio::select! {
                biased;
                _ = &mut close => break,
                accepted = std::future::poll_fn(|task| self.poll_accept(task)) => accepted,
            };
            match accepted {
                Ok(arrival) => {
                    failing = false;
                    welcome(arrival, target());
                }
                Err(error) => {
                    // Out of files, most likely: what is connected goes on, and new clients wait.
                    if !failing {
                        let ring = &target().context.shared.name;
                        tracing::warn!(ring, %error, "clients cannot be accepted");
                    }
                    failing = true;
                    tokio::select! {
                        _ = &mut close => break,
                        () = tokio::time::sleep(PAUSE) => {}
                    }
                }
            }
        }
        // All of them, however many: not only as many as a task may take in one turn.
        let rest = poll_fn(|task| Poll::Ready(self.poll_accept(task)));
        let mut rest = unconstrained(rest);
        for _ in 0..BACKLOG {
            match (&mut rest).await {
                Poll::Ready(Ok(arrival)) => welcome(arrival, target()),
                _ => break,
            }
        }
    }

    fn poll_accept(&self, task: &mut std::task::Context<'_>) -> Poll<io::Result<Arrival>> {
        match self {
            Self::Tcp(listener) => listener.poll_accept(task).map(|accepted| {
                let (socket, from) = accepted?;
                let to = socket.local_addr()?.to_string();
                socket.set_nodelay(true)?;
                let keepalive = TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE / 4);
                SockRef::from(&socket).set_tcp_keepalive(&keepalive)?;
                Ok(Arrival { peer: Peer::Tcp(socket), from: from.to_string(), to })
            }),
            Self::Unix { listener, path } => listener.poll_accept(task).map(|accepted| {
                let (socket, _) = accepted?;
                Ok(Arrival { peer: Peer::Unix(socket), from: format!("{path}:0"), to: path.clone() })
            }),
        }
    }
}

fn welcome(arrival: Arrival, target: Target) {
    let Arrival { mut peer, from, to } = arrival;
    let Target { context, tls, alive } = target;
    let place = ClientPermit::take(&context.shared);
    let tls = match &peer {
        Peer::Tcp(_) if tls => match context.shared.tls.load_full() {
            Some(shown) => Some(TlsAcceptor::from(Arc::clone(&shown.config))),
            None => return,
        },
        _ => None,
    };
    let identity = Box::new(Identity::new(&context.shared, from, to));
    let card = Arc::clone(identity.card());
    let task = tokio::spawn(async move {
        let _alive = alive;
        let Some(_place) = place else {
            // A handshake costs more than a client that is turned away should: with TLS it hears nothing.
            if tls.is_none() && poll_fn(|context| peer.poll_write(context, FULL)).await.is_ok() {
                peer.shutdown().await;
            }
            return;
        };
        if let Some(acceptor) = tls {
            let from = &identity.card().address;
            match Box::pin(handshake(peer, from, &acceptor, &context)).await {
                Some(secured) => peer = secured,
                None => return,
            }
        }
        client::serve(peer, identity, context).await;
    });
    card.is_served_by(task.abort_handle());
}

/// The TLS handshake, within [`HANDSHAKE`]. `None` when it failed.
async fn handshake(peer: Peer, from: &str, acceptor: &TlsAcceptor, context: &Context) -> Option<Peer> {
    let Peer::Tcp(socket) = peer else { return None };
    let shaken = tokio::select! {
        shaken = tokio::time::timeout(HANDSHAKE, acceptor.accept(socket)) => shaken,
        () = context.stop.draining() => return None,
    };
    match shaken {
        Ok(Ok(stream)) => return Some(Peer::Tls(Box::new(stream))),
        Ok(Err(error)) => {
            tracing::debug!(ring = context.shared.name, client = from, %error, "a TLS handshake failed");
        }
        Err(_) => tracing::debug!(ring = context.shared.name, client = from, "a TLS handshake took too long"),
    }
    context.stats.handshakes_failed.add(1);
    None
}

/// A client's place among those allowed; free again when it is dropped.
struct ClientPermit(Arc<Shared>);

impl ClientPermit {
    fn take(shared: &Arc<Shared>) -> Option<Self> {
        let before = shared.connected.fetch_add(1, Ordering::Relaxed);
        let place = Self(Arc::clone(shared));
        let most = shared.max_clients.load(Ordering::Relaxed);
        if before < most {
            shared.accepted.fetch_add(1, Ordering::Relaxed);
            if before <= most / 2 && shared.is_full.load(Ordering::Relaxed) {
                shared.is_full.store(false, Ordering::Relaxed);
            }
            return Some(place);
        }
        shared.turned_away.fetch_add(1, Ordering::Relaxed);
        // Once, until there are half as many; which can be a moment later.
        if !shared.is_full.swap(true, Ordering::Relaxed) && shared.full_lines.next(Instant::now()).is_some() {
            let ring = &shared.name;
            tracing::warn!(
                ring,
                max_clients = most,
                "there are as many clients as may be: further ones are turned away"
            );
        }
        None
    }
}

impl Drop for ClientPermit {
    fn drop(&mut self) {
        self.0.connected.fetch_sub(1, Ordering::Relaxed);
    }
}

/// How long accepting rests after it failed.
const PAUSE: Duration = Duration::from_millis(50);

/// How long a TLS handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// How long a silent client rests before the kernel asks whether it still lives.
const KEEPALIVE: Duration = Duration::from_secs(300);

/// What one client too many is told.
const FULL: &[u8] = b"-ERR max number of clients reached\r\n";
