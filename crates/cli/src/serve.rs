//! `rendis serve`: the proxy as a process, with its signals, its log and its supervisor.
//!
//! ```text
//!   configuration ──► Proxy ──► "listening" on standard output, READY=1
//!        ▲                │
//!        └ SIGHUP, watch ─┤ ◄── certificates, when their files change
//!                         └ SIGTERM, SIGINT ──► STOPPING=1, drained ──► "stopped", exit status 0
//! ```
//! This thread serves no client: it waits for signals, looks at files, and gives orders.

use std::io::{self, IsTerminal as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::process::ExitCode;
use std::time::Duration;

use rendis_proxy::config::{self, Config, Secrets, Sources};
use rendis_proxy::serve::{Proxy, StartError, Watch};
use sd_notify::NotifyState;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{MissedTickBehavior, interval};

use crate::args::ServeArguments;
use crate::check;
use crate::files;
use crate::local::{LocalServer, LocalServers};
use crate::log::{self, Log};
use crate::outcome::Failure;

/// Serves until a signal ends it. The exit status is 0 then, and 128 and the signal's number where a second signal did
/// not wait for the end.
pub(crate) fn run(arguments: &ServeArguments) -> ExitCode {
    let report = |failure| log::report(failure, arguments.log_format);
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return report(Failure::Failed(format!("no runtime: {error}"))),
    };
    let ended = runtime.block_on(serve(arguments));
    // After a second signal there may be clients left that nobody waits for.
    runtime.shutdown_background();
    ended.unwrap_or_else(report)
}

async fn serve(arguments: &ServeArguments) -> Result<ExitCode, Failure> {
    let mut signals = Signals::listen()?;
    match (&arguments.config, arguments.local) {
        (Some(file), _) => {
            let mut files = Vec::new();
            let mut watch = Watch::new(vec![file.clone()]);
            let config = config::load_noting(file, Secrets::Read, &mut files)?;
            watch.follow(files);
            let certificates = Watch::new(config.certificate_files());
            let (log, _lines) = Log::start(arguments.log_format, config.log);
            let (version, threads, rings) =
                (env!("CARGO_PKG_VERSION"), config.thread_count(), config.rings.len());
            tracing::info!(version, config = %file.display(), threads, rings, "starting");
            files::raise_limit();
            warn_of(&config);
            let watching = config.watch;
            let starting = move || {
                let mut proxy = Proxy::start(&config)?;
                // They may have changed since the configuration read them, before they were watched.
                proxy.renew_certificates();
                Ok::<_, StartError>(proxy)
            };
            let proxy = match signals.ends.during(starting).await {
                Ok(started) => started?,
                Err(status) => return Ok(status),
            };
            announce(&proxy);
            let served = Served { proxy, watch, watching, certificates, log, file: file.clone() };
            let (proxy, log, ended) = match served.until_signal(&mut signals).await {
                Ok(ended) => ended,
                Err(status) => return Ok(status),
            };
            let drained = stop(proxy, Proxy::stop, &mut signals, log).await;
            ended.map(|()| drained)
        }
        (None, Some(count)) => {
            // Shards that go and come back are told at this level, and there is nowhere to ask for it.
            let (log, _lines) = Log::start(arguments.log_format, config::LogLevel::Info);
            let listen = arguments.listen.as_deref();
            // A wrong address is told before there are servers.
            local_config(&[], listen.unwrap_or(USUAL))?;
            tracing::info!(version = env!("CARGO_PKG_VERSION"), local = count, "starting");
            files::raise_limit();
            let servers = tokio::select! {
                servers = LocalServers::start(usize::from(count)) => servers?,
                () = signals.end_local() => return Ok(ExitCode::SUCCESS),
            };
            for (number, server) in servers.iter().enumerate() {
                say(&format!("shard{}: {} on {}", number + 1, servers.program().display(), server.address()));
            }
            let proxy = start_local(&servers, listen)?;
            announce(&proxy);
            signals.end_local().await;
            // The servers go when this is over, whatever ends it.
            Ok(stop(proxy, Proxy::stop_with_servers, &mut signals, log).await)
        }
        (None, None) => Err(Failure::Usage("there is neither --config nor --local".to_owned())),
    }
}

/// A proxy that has a configuration file.
struct Served {
    proxy: Proxy,
    watch: Watch,
    watching: bool,
    /// The files of what listeners show, which are watched in any case.
    certificates: Watch,
    log: Log,
    file: PathBuf,
}

impl Served {
    /// Reloads when it is told to or, where that is wished, when a file has changed; renews certificates when theirs have.
    /// Gives proxy and log back when it is to end, and the fault if that is why.
    ///
    /// # Errors
    /// The exit status, where a second signal did not wait.
    async fn until_signal(
        mut self,
        signals: &mut Signals,
    ) -> Result<(Proxy, Log, Result<(), Failure>), ExitCode> {
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let reloads = tokio::select! {
                biased;
                () = signals.ends.asked() => return Ok((self.proxy, self.log, Ok(()))),
                _ = signals.hangup.recv() => true,
                _ = looks.tick() => {
                    if !self.proxy.is_whole() {
                        let fault = Failure::Failed("a thread has ended by a fault".to_owned());
                        return Ok((self.proxy, self.log, Err(fault)));
                    }
                    self.log.tell_lost();
                    self.watching && self.watch.has_changed()
                }
            };
            if reloads {
                let sockets = self.proxy.socket_files();
                self = signals.ends.during(|| self.reloaded()).await.inspect_err(|_| sockets.remove())?;
            }
            if self.certificates.has_changed() {
                self.proxy.renew_certificates();
            }
        }
    }

    fn reloaded(mut self) -> Self {
        let now = NotifyState::monotonic_usec_now();
        tell(&[&[NotifyState::Reloading][..], &now.into_iter().collect::<Vec<_>>()].concat());
        let mut files = Vec::new();
        let config = config::load_noting(&self.file, Secrets::Read, &mut files);
        self.watch.follow(files);
        let refused: Vec<String> = match &config {
            Ok(config) => self.take(config).err().into_iter().collect(),
            Err(error) => error.all().iter().map(ToString::to_string).collect(),
        };
        if refused.is_empty() {
            tracing::info!(file = %self.file.display(), "the configuration was reloaded");
        } else {
            self.proxy.note_refused();
        }
        for error in refused {
            tracing::error!(error, "the configuration was not reloaded: the one before stays in force");
        }
        tell(&[NotifyState::Ready]);
        self
    }

    fn take(&mut self, config: &Config) -> Result<(), String> {
        let before = self.proxy.addresses().to_vec();
        let admin = self.proxy.admin_address().map(str::to_owned);
        self.proxy.reload(config).map_err(|error| error.to_string())?;
        self.watching = config.watch;
        self.certificates.follow(config.certificate_files());
        self.log.set(config.log);
        warn_of(config);
        // Those that were not watched before may have changed since the configuration read them.
        self.proxy.renew_certificates();
        for (ring, address) in self.proxy.addresses() {
            if !before.iter().any(|(name, old)| (name, old) == (ring, address)) {
                say(&listening(ring, address));
            }
        }
        if self.proxy.admin_address() != admin.as_deref() {
            announce_admin(&self.proxy);
        }
        Ok(())
    }
}

/// Drains a proxy. A second signal ends the process at once.
async fn stop(proxy: Proxy, stop: fn(Proxy), signals: &mut Signals, mut log: Log) -> ExitCode {
    tell(&[NotifyState::Stopping]);
    tracing::info!("shutting down");
    let Signals { ends, hangup } = signals;
    // Whatever it was that asked for this.
    ends.asked = true;
    let sockets = proxy.socket_files();
    let mut stopping = pin!(ends.during(move || stop(proxy)));
    loop {
        tokio::select! {
            stopped = &mut stopping => {
                log.tell_lost();
                match stopped {
                    Ok(()) => tracing::info!("stopped"),
                    Err(_) => sockets.remove(),
                }
                return stopped.err().unwrap_or(ExitCode::SUCCESS);
            }
            _ = hangup.recv() => {
                tracing::warn!("the configuration is not reloaded: the proxy is shutting down");
            }
        }
    }
}

/// Says in the log what a configuration allows and seldom means.
fn warn_of(config: &Config) {
    for warning in check::warnings(config) {
        tracing::warn!("{warning}");
    }
}

/// A ring of these servers, on the usual port, or on a free one where that is taken and no other was asked for.
fn start_local(servers: &LocalServers, listen: Option<&str>) -> Result<Proxy, Failure> {
    let addresses: Vec<_> = servers.iter().map(LocalServer::address).collect();
    let start = |listen: &str| Ok::<_, Failure>(Proxy::start(&local_config(&addresses, listen)?));
    match start(listen.unwrap_or(USUAL))? {
        Err(StartError::Listen { error, .. })
            if listen.is_none() && error.kind() == io::ErrorKind::AddrInUse =>
        {
            tracing::warn!("{USUAL} is taken by another program: the ring listens on a free port");
            Ok(start("127.0.0.1:0")??)
        }
        started => Ok(started?),
    }
}

/// A ring of these servers that listens there. Where there are none yet, one stands for them.
fn local_config(servers: &[SocketAddr], listen: &str) -> Result<Config, Failure> {
    let to_come = [SocketAddr::from((Ipv4Addr::LOCALHOST, 1))];
    let servers = if servers.is_empty() { &to_come } else { servers };
    let shards: String = (1..)
        .zip(servers)
        .map(|(number, server)| {
            format!("[[ring.shard]]\nname = \"shard{number}\"\nurl = \"redis://{server}\"\n")
        })
        .collect();
    let text = format!("[[ring]]\nname = \"local\"\nlisten = {}\n{shards}", serde_json::json!(listen));
    let sources = Sources { file: "", directory: Path::new(""), lookup: None };
    config::parse(&text, &sources).map_err(|error| {
        // The rest of the text is good, and what it could say besides cannot be said here.
        let message = error.message();
        let message = message.strip_prefix("ring \"local\": listen: ").unwrap_or(message);
        let found = message.split_once("; allowed: ").map_or(message, |(found, _)| found);
        Failure::Usage(format!(
            "--listen: {found}; allowed with --local: an address of this machine with a port (\"{USUAL}\", \
             \"[::1]:6380\"), \"unix:/absolute/path\""
        ))
    })
}

/// Says that clients can come.
fn announce(proxy: &Proxy) {
    for (ring, address) in proxy.addresses() {
        say(&listening(ring, address));
    }
    announce_admin(proxy);
    tell(&[NotifyState::Ready]);
}

fn announce_admin(proxy: &Proxy) {
    if let Some(address) = proxy.admin_address() {
        say(&format!("admin: listening on {address}"));
    }
}

fn listening(ring: &str, address: &str) -> String {
    format!("ring {ring}: listening on {address}")
}

/// A line on standard output. Where nobody reads it, clients are served all the same.
fn say(line: &str) {
    let mut out = io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

/// Tells the supervisor, if there is one (`NOTIFY_SOCKET`).
fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::debug!(%error, "the supervisor could not be told");
    }
}

struct Signals {
    ends: Ends,
    hangup: Signal,
}

/// Those that end the process.
struct Ends {
    interrupt: Signal,
    terminate: Signal,
    /// There was one.
    asked: bool,
}

impl Signals {
    fn listen() -> Result<Self, Failure> {
        let listen = |kind| {
            signal(kind).map_err(|error| Failure::Failed(format!("no signals can be received: {error}")))
        };
        let (interrupt, terminate) = (listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?);
        let ends = Ends { interrupt, terminate, asked: false };
        Ok(Self { ends, hangup: listen(SignalKind::hangup())? })
    }

    /// Waits for one that ends a proxy without a configuration. SIGHUP does where it says that the terminal is gone, so
    /// that the servers do not outlive it.
    async fn end_local(&mut self) {
        let interactive = io::stdin().is_terminal();
        loop {
            tokio::select! {
                () = self.ends.asked() => return,
                _ = self.hangup.recv() => {
                    if interactive && !io::stdin().is_terminal() {
                        return;
                    }
                    tracing::warn!("there is nothing to reload: --local has no configuration");
                }
            }
        }
    }
}

impl Ends {
    /// Waits until one has asked for the end. Cancel safe.
    async fn asked(&mut self) {
        if !self.asked {
            self.next().await;
            self.asked = true;
        }
    }

    /// Waits for the next that asks for the end, and gives the exit status of a process that it ends at once. Cancel safe.
    async fn next(&mut self) -> u8 {
        tokio::select! {
            _ = self.interrupt.recv() => 130,
            _ = self.terminate.recv() => 143,
        }
    }

    /// Has work done that takes its time, to the end: a signal that asks for that meanwhile is kept.
    ///
    /// # Errors
    /// The exit status, where a second signal did not wait.
    async fn during<T: Send + 'static>(
        &mut self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, ExitCode> {
        let mut working = tokio::task::spawn_blocking(work);
        loop {
            tokio::select! {
                done = &mut working => {
                    return Ok(done.unwrap_or_else(|fault| resume_unwind(fault.into_panic())));
                }
                status = self.next() => {
                    if self.asked {
                        tracing::warn!("stopped by a second signal, without waiting for what was in flight");
                        return Err(ExitCode::from(status));
                    }
                    self.asked = true;
                }
            }
        }
    }
}

/// Where local servers are served when nobody says otherwise.
const USUAL: &str = "127.0.0.1:6380";

/// How often the threads and the files that are watched are looked at.
const LOOK: Duration = Duration::from_millis(500);
