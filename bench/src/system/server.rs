//! Servers under test: proxies, one redis-server, and the floor, each a process that is spoken to over TCP.

use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rendis_testkit::Port;

use crate::machine;
use crate::process::{Process, output};
use crate::system::BEFORE;
use crate::wire::Client;

/// What a server under test is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `rendis serve` with so many threads.
    Rendis(usize),
    /// `rendis serve` of an earlier revision, with one thread.
    Before,
    /// twemproxy: `nutcracker` from `PATH`, as its package starts it. At its default level it writes a line of log for
    /// each request, which is thrown away here.
    Twemproxy,
    /// The same with `-v 4`, which leaves these lines out.
    QuietTwemproxy,
    /// Envoy with the filter `redis_proxy` and one worker.
    Envoy,
    /// A redis-server, asked directly.
    Direct,
    /// The tokio echo server, whose values have so many bytes.
    Floor(usize),
}

impl Kind {
    /// Its name in tables.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rendis(1) => "rendis",
            Self::Rendis(_) => "rendis, 2 threads",
            Self::Before => BEFORE,
            Self::Twemproxy => "twemproxy",
            Self::QuietTwemproxy => "twemproxy, quiet",
            Self::Envoy => "Envoy",
            Self::Direct => "redis-server",
            Self::Floor(_) => "floor",
        }
    }
}

/// Where the programs are.
#[derive(Clone, Debug)]
pub struct Toolbox {
    /// `rendis`, and what was built for the benchmark.
    pub programs: PathBuf,
    /// `envoy`, if there is one.
    pub envoy: Option<PathBuf>,
    /// The programs of an earlier revision, if it is to be beside.
    pub before: Option<PathBuf>,
}

impl Toolbox {
    /// The kinds that can be started here, of those asked for.
    #[must_use]
    pub fn able(&self, kinds: &[Kind]) -> Vec<Kind> {
        let can = |kind: &Kind| match kind {
            Kind::Twemproxy | Kind::QuietTwemproxy => machine::has("nutcracker"),
            Kind::Envoy => self.envoy.is_some(),
            Kind::Before => self.before.is_some(),
            _ => true,
        };
        kinds.iter().copied().filter(can).collect()
    }
}

/// A server under test.
#[derive(Debug)]
pub struct Server {
    kind: Kind,
    process: Process,
    start: (String, Vec<String>),
    port: Port,
    /// Its configuration and log, as long as it lives.
    directory: tempfile::TempDir,
}

impl Server {
    /// Starts a server over these shards, and waits until it answers.
    ///
    /// # Errors
    /// When it does not; with the end of its log.
    pub fn start(kind: Kind, tools: &Toolbox, shards: &[SocketAddr]) -> Result<Self, String> {
        let directory = tempfile::Builder::new().prefix("rendis-bench-").tempdir();
        let directory = directory.map_err(|error| error.to_string())?;
        let port = Port::free();
        let start = command(kind, tools, &port, directory.path(), shards)?;
        let process = process(&start, directory.path())?;
        let mut server = Self { kind, process, start, port, directory };
        server.ready()?;
        Ok(server)
    }

    /// Ends the process and starts another in its place; but a redis-server stays, for it has the keys.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn restart(&mut self) -> Result<(), String> {
        if self.kind == Kind::Direct {
            return Ok(());
        }
        self.process.end();
        self.process = process(&self.start, self.directory.path())?;
        self.ready()
    }

    /// Waits until it answers.
    fn ready(&mut self) -> Result<(), String> {
        let until = Instant::now() + Duration::from_secs(20);
        while !self.answers() {
            if self.process.ended() || Instant::now() > until {
                let log = fs::read_to_string(self.directory.path().join("log")).unwrap_or_default();
                let end: Vec<&str> = log.lines().rev().take(3).collect();
                return Err(format!("{} does not answer: {}", self.kind.name(), end.join(" / ")));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Whether it serves a command.
    fn answers(&self) -> bool {
        Client::connect(self.address()).and_then(|mut client| client.ask(&["SET", "key", "value"])).is_ok()
    }

    /// What it is.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.port.address()
    }

    /// Its process.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Processor time so far, in seconds.
    #[must_use]
    pub fn cpu(&self) -> f64 {
        machine::cpu_seconds(self.id()).unwrap_or(0.0)
    }
}

/// Starts a server's process, with a new log.
fn process((program, arguments): &(String, Vec<String>), directory: &Path) -> Result<Process, String> {
    let log = fs::File::create(directory.join("log")).map_err(|error| error.to_string())?;
    Process::start(program, arguments, Some(log))
}

/// How a server is called, with its configuration written.
fn command(
    kind: Kind,
    tools: &Toolbox,
    port: &Port,
    directory: &Path,
    shards: &[SocketAddr],
) -> Result<(String, Vec<String>), String> {
    let ours = |name: &str| tools.programs.join(name).display().to_string();
    let write = |name: &str, text: String| {
        let path = directory.join(name);
        fs::write(&path, text).map_err(|error| error.to_string())?;
        Ok::<_, String>(path.display().to_string())
    };
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let number = port.number().to_string();
    Ok(match kind {
        Kind::Rendis(threads) => {
            let file = write("rendis.toml", rendis(threads, port, shards))?;
            (ours("rendis"), words(&["serve", "--config", &file]))
        }
        Kind::Before => {
            let directory = tools.before.as_ref().ok_or("there is no earlier revision")?;
            let file = write("rendis.toml", rendis(1, port, shards))?;
            (directory.join("rendis").display().to_string(), words(&["serve", "--config", &file]))
        }
        Kind::Twemproxy | Kind::QuietTwemproxy => {
            let file = write("nutcracker.yml", twemproxy(port, shards))?;
            let (stats, pid) =
                (Port::free().number().to_string(), directory.join("pid").display().to_string());
            let mut arguments =
                words(&["-c", &file, "-a", "127.0.0.1", "-s", &stats, "-p", &pid, "-o", "/dev/null"]);
            if matches!(kind, Kind::QuietTwemproxy) {
                arguments.extend(words(&["-v", "4"]));
            }
            ("nutcracker".to_owned(), arguments)
        }
        Kind::Envoy => {
            let program = tools.envoy.as_ref().ok_or("there is no envoy")?.display().to_string();
            let file = write("envoy.yaml", envoy(port, shards))?;
            let arguments =
                ["-c", &file, "--concurrency", "1", "--disable-hot-restart", "--log-level", "warning"];
            (program, words(&arguments))
        }
        Kind::Direct => {
            let server = if machine::has("redis-server") { "redis-server" } else { "valkey-server" };
            let arguments = ["--port", &number, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"];
            (server.to_owned(), words(&arguments))
        }
        Kind::Floor(value) => (ours("rendis-bench"), words(&["echo", &number, &value.to_string()])),
    })
}

fn rendis(threads: usize, port: &Port, shards: &[SocketAddr]) -> String {
    let mut text = format!(
        "threads = {threads}\n[[ring]]\nname = \"bench\"\nlisten = \"{}\"\nmax_clients = 20000\n",
        port.address()
    );
    for (at, shard) in shards.iter().enumerate() {
        let _ = write!(text, "[[ring.shard]]\nname = \"shard{at}\"\nurl = \"redis://{shard}\"\n");
    }
    text
}

fn twemproxy(port: &Port, shards: &[SocketAddr]) -> String {
    let mut text = format!(
        "bench:\n  listen: {}\n  hash: fnv1a_64\n  distribution: ketama\n  redis: true\n  preconnect: true\n  \
         auto_eject_hosts: false\n  servers:\n",
        port.address()
    );
    for (at, shard) in shards.iter().enumerate() {
        let _ = writeln!(text, "   - {shard}:1 shard{at}");
    }
    text
}

fn envoy(port: &Port, shards: &[SocketAddr]) -> String {
    let endpoint = |ip: &str, port: u16| {
        format!("endpoint: {{ address: {{ socket_address: {{ address: {ip}, port_value: {port} }} }} }}")
    };
    let mut text = format!(
        "static_resources:
  listeners:
  - address: {{ socket_address: {{ address: 127.0.0.1, port_value: {port} }} }}
    filter_chains:
    - filters:
      - name: envoy.filters.network.redis_proxy
        typed_config:
          \"@type\": type.googleapis.com/envoy.extensions.filters.network.redis_proxy.v3.RedisProxy
          stat_prefix: bench
          settings: {{ op_timeout: 5s }}
          prefix_routes: {{ catch_all_route: {{ cluster: shards }} }}
  clusters:
  - name: shards
    connect_timeout: 1s
    type: STATIC
    lb_policy: MAGLEV
    load_assignment:
      cluster_name: shards
      endpoints:
      - lb_endpoints:
",
        port = port.number()
    );
    for shard in shards {
        let _ = writeln!(text, "        - {}", endpoint("127.0.0.1", shard.port()));
    }
    text
}

/// What redis-benchmark says of one command.
#[derive(Clone, Copy, Debug, Default)]
pub struct Benchmarked {
    /// Operations a second.
    pub rate: f64,
    /// Milliseconds that half of them took at most.
    pub p50: f64,
    /// Milliseconds that 99 % of them took at most.
    pub p99: f64,
}

/// Runs redis-benchmark against a server: `requests` of `command` by so many clients.
///
/// # Errors
/// When it fails, or takes too long.
pub fn redis_benchmark(
    server: &Server,
    load: &crate::load::Load,
    requests: u64,
    command: &[String],
) -> Result<Benchmarked, String> {
    let clients = load.tasks.to_string();
    let (keys, depth) = (load.keys.to_string(), load.batch.to_string());
    let (port, requests, value) =
        (server.port.number().to_string(), requests.to_string(), load.value.to_string());
    let mut arguments =
        vec!["-p", &port, "-c", &clients, "-n", &requests, "-d", &value, "-r", &keys, "--csv"];
    arguments.extend(["-P", &depth]);
    let mut arguments: Vec<String> = arguments.into_iter().map(str::to_owned).collect();
    arguments.extend(command.iter().cloned());
    let text = output("redis-benchmark", &arguments, Duration::from_secs(60))?;
    let line =
        text.lines().rfind(|line| line.starts_with('"')).ok_or_else(|| format!("redis-benchmark: {text}"))?;
    // The name of the test, which may hold commas, then numbers: rate, average, least, p50, p95, p99, greatest.
    let fields: Vec<&str> = line.rsplit(',').map(|field| field.trim_matches('"')).collect();
    let number = |from_end: usize| fields.get(from_end).and_then(|field| field.parse::<f64>().ok());
    match (number(6), number(3), number(1)) {
        (Some(rate), Some(p50), Some(p99)) => Ok(Benchmarked { rate, p50, p99 }),
        _ => Err(format!("redis-benchmark: {line}")),
    }
}
