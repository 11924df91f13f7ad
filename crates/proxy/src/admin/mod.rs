//! Pages for operators, over HTTP, on a thread of their own.
//!
//! | page | says |
//! |---|---|
//! | `/metrics` | what happened and what is, in the text format of Prometheus |
//! | `/healthz` | 200 while the process works |
//! | `/readyz` | 200 when a live shard of every ring was reached, else 503 with the reason; 503 while it drains |
//! | `/shards` | the shards of every ring, as JSON |
//!
//! hyper and no framework: there are four fixed pages, and nothing to route. There are no secrets on any page, and
//! nothing can be changed; who may see them is decided by where they listen.

mod metrics;
mod shards;
mod text;

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{ALLOW, CONTENT_TYPE};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use rendis_core::topology::{Member, Standing};
use rendis_engine::shard::Shard;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::context::{Shared, ThreadRing};
use crate::listen::{Bound, Listener, Never};

/// The pages, being served. Dropping it ends that.
pub(crate) struct Admin {
    bound: Bound,
    address: String,
    stop: Option<oneshot::Sender<Never>>,
    thread: Option<thread::JoinHandle<()>>,
}

/// What the pages are about.
#[derive(Debug)]
pub(crate) struct View {
    /// Since when the process serves, and since when it has this configuration.
    started: SystemTime,
    configured: Mutex<SystemTime>,
    rings: Mutex<Vec<Arc<Shared>>>,
    draining: AtomicBool,
    reloads: AtomicU64,
    refused: AtomicU64,
}

impl Default for View {
    fn default() -> Self {
        let now = SystemTime::now();
        Self {
            started: now,
            configured: Mutex::new(now),
            rings: Mutex::default(),
            draining: AtomicBool::new(false),
            reloads: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        }
    }
}

impl View {
    /// These are the rings now.
    pub(crate) fn show(&self, rings: Vec<Arc<Shared>>) {
        *self.rings.lock().unwrap_or_else(PoisonError::into_inner) = rings;
    }

    /// The process is about to end.
    pub(crate) fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// A configuration was taken over.
    pub(crate) fn reloaded(&self) {
        self.reloads.fetch_add(1, Ordering::Relaxed);
        *self.configured.lock().unwrap_or_else(PoisonError::into_inner) = SystemTime::now();
    }

    /// A configuration was not taken over.
    pub(crate) fn refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    fn rings(&self) -> Vec<Arc<Shared>> {
        self.rings.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Why it is not ready, if it is not.
    fn unready(&self) -> Option<String> {
        if self.draining.load(Ordering::Relaxed) {
            return Some("shutting down".to_owned());
        }
        let rings = self.rings();
        if rings.is_empty() {
            return Some("starting".to_owned());
        }
        // At the start all shards are taken for live: those count with which there was a connection.
        let serves =
            |member: &Member<Shard>| member.standing == Standing::Serving && member.shard.was_reached();
        let is_dead = |thread: &ThreadRing| !thread.engine.topology().members().iter().any(serves);
        let dead = rings.iter().find(|ring| ring.threads().iter().any(is_dead));
        dead.map(|ring| format!("ring {} has no live shard", ring.name))
    }
}

impl Admin {
    /// Serves the pages at a place.
    ///
    /// # Errors
    /// What the system says.
    pub(crate) fn start(bound: Bound, view: Arc<View>) -> io::Result<Self> {
        let socket = bound.for_thread()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let listener = {
            let _entered = runtime.enter();
            socket.open()?
        };
        let (stop, stopped) = oneshot::channel();
        let thread = thread::Builder::new().name("rendis-admin".to_owned()).spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    () = accept(listener, view) => {}
                    _ = stopped => {}
                }
            });
        })?;
        let address = bound.address();
        Ok(Self { bound, address, stop: Some(stop), thread: Some(thread) })
    }

    /// The place that it holds.
    pub(crate) const fn bound(&self) -> &Bound {
        &self.bound
    }

    /// Where they are.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }
}

impl Drop for Admin {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        tracing::debug!(listen = %self.bound.listen(), "admin pages are closed");
    }
}

async fn accept(listener: Listener, view: Arc<View>) {
    let mut open: VecDeque<JoinHandle<()>> = VecDeque::new();
    loop {
        let view = Arc::clone(&view);
        let accepted = match &listener {
            Listener::Tcp(listener) => {
                listener.accept().await.map(|(socket, _)| tokio::spawn(serve(socket, view)))
            }
            Listener::Unix { listener, .. } => {
                listener.accept().await.map(|(socket, _)| tokio::spawn(serve(socket, view)))
            }
        };
        let Ok(accepted) = accepted else {
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        open.retain(|connection| !connection.is_finished());
        if open.len() == MOST_CONNECTIONS
            && let Some(oldest) = open.pop_front()
        {
            oldest.abort();
        }
        open.push_back(accepted);
    }
}

async fn serve<S>(socket: S, view: Arc<View>)
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let service = service_fn(|request: Request<hyper::body::Incoming>| {
        let response = answer(request.method(), request.uri().path(), &view);
        async move { Ok::<_, Infallible>(response) }
    });
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT).max_buf_size(MOST_BYTES);
    let connection = http.serve_connection(TokioIo::new(socket), service);
    // A client that went away, or sent what is no HTTP: nobody else's business.
    let _ = tokio::time::timeout(LONGEST, connection).await;
}

fn answer(method: &Method, path: &str, view: &View) -> Response<Full<Bytes>> {
    if method != Method::GET && method != Method::HEAD {
        let mut response = page(StatusCode::METHOD_NOT_ALLOWED, PLAIN, "GET or HEAD\n");
        response.headers_mut().insert(ALLOW, hyper::header::HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    match path {
        "/metrics" => page(StatusCode::OK, text::CONTENT_TYPE, metrics::page(view)),
        "/healthz" => page(StatusCode::OK, PLAIN, "ok\n"),
        "/readyz" => match view.unready() {
            None => page(StatusCode::OK, PLAIN, "ready\n"),
            Some(reason) => page(StatusCode::SERVICE_UNAVAILABLE, PLAIN, format!("{reason}\n")),
        },
        "/shards" => page(StatusCode::OK, "application/json", shards::page(&view.rings())),
        "/" => page(StatusCode::OK, PLAIN, PAGES),
        _ => page(StatusCode::NOT_FOUND, PLAIN, PAGES),
    }
}

fn page(status: StatusCode, kind: &'static str, text: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(text.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static(kind));
    response
}

const PAGES: &str = "/metrics\n/healthz\n/readyz\n/shards\n";
const PLAIN: &str = "text/plain; charset=utf-8";

/// Connections at a time. One more closes the oldest: who opens many and asks nothing does not keep others from the pages.
const MOST_CONNECTIONS: usize = 64;

/// How long a client may take to send a request's head, and how large that may be.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);
const MOST_BYTES: usize = 16 << 10;

/// How long a connection may last, so that one that is forgotten keeps no place.
const LONGEST: Duration = Duration::from_secs(600);

/// How long accepting rests after it failed.
const PAUSE: Duration = Duration::from_millis(50);
