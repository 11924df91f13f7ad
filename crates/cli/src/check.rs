//! `rendis check`

use std::collections::HashMap;
use std::io::{self, Write};
use std::net::IpAddr;
use std::path::Path;
use std::time::SystemTime;

use rendis_core::request::RequestBuf;
use rendis_engine::address::{Address, ServerUrl};
use rendis_engine::dial::Dialer;
use rendis_proxy::config::{self, Config, Listen, Ring, Secrets};
use rendis_proxy::serve;

use crate::args::CheckArguments;
use crate::outcome::{self, Failure, Unheeded};

/// Reads the configuration and says what it is. What is allowed and seldom meant is warned of. Shards are connected to
/// where that is asked for.
pub(crate) fn run(arguments: &CheckArguments) -> Result<(), Failure> {
    let path = arguments.file.as_deref().or(arguments.config.as_deref()).unwrap_or_else(|| Path::new("-"));
    let (name, config) = if path == Path::new("-") {
        let name = "standard input".to_owned();
        let config = config::read(io::stdin().lock(), &name, Secrets::Read)?;
        (name, config)
    } else {
        (path.display().to_string(), config::load(path, Secrets::Read)?)
    };
    serve::check(&config)?;
    let mut out = Unheeded(io::stdout().lock());
    let output = |error: io::Error| Failure::output(&error);
    writeln!(out, "{name}: good").map_err(output)?;
    if let Some(admin) = &config.admin {
        writeln!(out, "admin pages on {admin}").map_err(output)?;
    }
    let mut bad = 0;
    for ring in &config.rings {
        describe(&mut out, ring).map_err(output)?;
        if arguments.connect {
            for (shard, found) in ring.shards.iter().zip(connect(ring)?) {
                bad += usize::from(found.is_err());
                let (Ok(text) | Err(text)) = found;
                writeln!(out, "{} {}: {text}", shard.name, shown(&shard.url)).map_err(output)?;
            }
        }
    }
    out.flush().map_err(output)?;
    for warning in warnings(&config) {
        outcome::warn(&format_args!("{name}: {warning}"));
    }
    match bad {
        0 => Ok(()),
        1 => Err(Failure::Failed("1 shard cannot be used".to_owned())),
        _ => Err(Failure::Failed(format!("{bad} shards cannot be used"))),
    }
}

/// What is allowed in a configuration and seldom meant.
pub(crate) fn warnings(config: &Config) -> Vec<String> {
    let mut warnings = Vec::new();
    if let Some(admin) = config.admin.as_ref().filter(|admin| !admin.is_local()) {
        warnings.push(format!(
            "admin: listen: \"{admin}\" may be reached by other machines, and the admin pages have no password"
        ));
    }
    for ring in &config.rings {
        if let Some(how) = ring.tls.as_ref().and_then(|tls| tls.out_of_date(SystemTime::now())) {
            warnings.push(format!("ring \"{}\": {how}", ring.name));
        }
        let mut seen = HashMap::new();
        for shard in &ring.shards {
            let server = (&shard.url.address, shard.url.database);
            if let Some(first) = seen.insert(server, &shard.name) {
                warnings.push(format!(
                    "ring \"{}\": the shards \"{first}\" and \"{}\" are the same place: {}, database {}",
                    ring.name, shard.name, server.0, server.1
                ));
            }
            let listens = |listen: &&Listen| listens_at(listen, &shard.url.address);
            if let Some(listen) = config.rings.iter().flat_map(|ring| &ring.listen).find(listens) {
                warnings.push(format!(
                    "ring \"{}\": shard \"{}\": url: \"{listen}\" is where this configuration listens itself, and no server",
                    ring.name, shard.name
                ));
            }
            // The user is not repeated, because it is most likely the password.
            if shard.url.username.is_some() && shard.url.password.is_none() {
                warnings.push(format!(
                    "ring \"{}\": shard \"{}\": url: there is a user without a password; a password without a user has \
                     a colon before it, as in redis://:password@host",
                    ring.name, shard.name
                ));
            }
        }
    }
    warnings
}

/// Whether whoever connects to this address meets this listener, as far as the two texts say.
fn listens_at(listen: &Listen, address: &Address) -> bool {
    match (listen, address) {
        (Listen::Tcp(at) | Listen::Tls(at), Address::Tcp { host, port }) => {
            let local = host == "localhost" || host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback());
            let same = host.parse().is_ok_and(|ip: IpAddr| ip == at.ip());
            *port == at.port() && (same || local && (at.ip().is_loopback() || at.ip().is_unspecified()))
        }
        (Listen::Unix(at), Address::Unix(path)) => at == path,
        _ => false,
    }
}

fn describe(out: &mut impl Write, ring: &Ring) -> io::Result<()> {
    let listen: Vec<_> = ring.listen.iter().map(ToString::to_string).collect();
    let shards = ring.shards.len();
    let noun = if shards == 1 { "shard" } else { "shards" };
    let (name, listen, like) = (&ring.name, listen.join(", "), ring.placement.like());
    let by = placed_by(ring);
    writeln!(out, "ring {name}: on {listen}, {shards} {noun}, placed as by {like}, {by}")
}

/// What of the shards decides where keys are. What another program hashes and this does not is seen here.
fn placed_by(ring: &Ring) -> String {
    let hashed: Vec<_> = ring.nodes().iter().map(|node| ring.placement.hashed(node)).collect();
    if hashed.iter().all(Option::is_none) {
        return "in this order".to_owned();
    }
    let hashed = hashed.into_iter().enumerate().map(|(at, one)| one.unwrap_or_else(|| format!("place {at}")));
    format!("hashing {}", hashed.collect::<Vec<_>>().join(", "))
}

/// A URL without credentials.
fn shown(url: &ServerUrl) -> String {
    let database = |before: &str| match url.database {
        0 => String::new(),
        number => format!("{before}{number}"),
    };
    match &url.address {
        Address::Tcp { .. } if url.tls => format!("rediss://{}{}", url.address, database("/")),
        Address::Tcp { .. } => format!("redis://{}{}", url.address, database("/")),
        Address::Unix(path) => format!("unix://{}{}", path.display(), database("?db=")),
    }
}

/// Connects to all shards of a ring at the same time. What is found of each, in words: that it is good, or why not.
fn connect(ring: &Ring) -> Result<Vec<Result<String, String>>, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::Failed(format!("no runtime: {error}")))?;
    let dialers = serve::dialers(ring)?;
    let found = runtime.block_on(async {
        let probe = || RequestBuf::pack(ring.health.probe.iter().map(String::as_bytes).collect::<Vec<_>>());
        let visits: Vec<_> = dialers.into_iter().map(|dialer| tokio::spawn(visit(dialer, probe()))).collect();
        let mut found = Vec::with_capacity(visits.len());
        for visit in visits {
            found.push(visit.await.unwrap_or_else(|fault| Err(fault.to_string())));
        }
        found
    });
    // A name that is still being looked up is not waited for.
    runtime.shutdown_background();
    Ok(found)
}

/// Does what has to succeed before a shard is used, and asks for the server's version, which users may be forbidden.
async fn visit(dialer: Dialer, probe: RequestBuf) -> Result<String, String> {
    let mut connection = dialer.dial().await.map_err(|cause| cause.text.clone())?;
    let reply = connection.ask(&probe).await.map_err(|failure| failure.cause.text.clone())?;
    if let Some(error) = reply.as_error() {
        return Err(format!("it answers the probe with {error}"));
    }
    let info = connection.ask(&RequestBuf::pack([&b"INFO"[..], b"server"])).await.ok();
    let version = info.as_ref().and_then(|info| info.text()).and_then(version);
    Ok(version.map_or_else(|| "good".to_owned(), |version| format!("good ({version})")))
}

/// The version in the reply to `INFO server`. Valkey tells that of the Redis that it is like, too.
fn version(info: &[u8]) -> Option<String> {
    let info = std::str::from_utf8(info).ok()?;
    let field = |name| info.lines().find_map(|line| line.strip_prefix(name));
    match field("valkey_version:") {
        Some(version) => Some(format!("valkey {version}")),
        None => field("redis_version:").map(str::to_owned),
    }
}
