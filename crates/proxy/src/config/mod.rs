//! `rendis.toml`: read, checked, and turned into values that cannot be wrong.
//!
//! ```toml
//! threads = 2                          # default: the number of cores
//! log = "info"
//! watch = true                         # reload when this file changes
//!
//! [admin]
//! listen = "127.0.0.1:9180"
//!
//! [[ring]]
//! name = "cache"
//! listen = "127.0.0.1:6380"
//! placement = { like = "go-redis" }
//!
//! [[ring.shard]]
//! name = "shard1"
//! url = "redis://:${CACHE_PASSWORD}@127.0.0.1:7001"
//! ```
//!
//! Every field is documented, with its default, at the value it becomes; `rendis.example.toml` shows all of them.
//! Unknown fields are errors. An error names file, line, field, what was found and what is allowed, and never repeats a
//! password. Those of all fields of a ring are told at once, one at a time for each field, shard and user.
//!
//! What it does not decide: which placements there are and which shards they refuse (`rendis_core::placement`).

mod error;
mod values;
mod fields;
mod section;
mod listen;
mod secret;
mod shard;
mod server_tls;
mod users;
mod settings;
mod ring;

use std::cell::RefCell;
use std::collections::HashSet;
use std::io;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rendis_engine::tls::SystemRoots;
use toml::de::DeTable;

pub use self::error::ConfigError;
pub use self::listen::Listen;
pub(crate) use self::server_tls::Shown;
pub use self::server_tls::{ServerTls, ServerTlsFiles};
pub use self::settings::{Health, OnLost, Retries, Ring, RingChanges};
pub use self::shard::Shard;
pub use rendis_engine::settings::{ClientCertificate, Deadlines, OnDown, OnReturn, TlsSettings};

use self::error::Errors;
use self::listen::Listeners;
use self::section::{Document, Section};

/// A configuration in which everything is as it should be.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// `threads`: 1 to 1024. Default: the number of cores (`None`).
    pub threads: Option<NonZeroUsize>,
    /// `log`: default `"info"`.
    pub log: LogLevel,
    /// `watch`: whether the file, and those that it names, are watched and reloaded when they change. Default: false;
    /// SIGHUP reloads in any case, and the files of listeners' certificates are watched in any case.
    pub watch: bool,
    /// `shutdown_delay`: for how long listeners stay open once `/readyz` says that the process is ending, up to one hour.
    /// Default: 0.
    pub shutdown_delay: Duration,
    /// `[admin] listen`: where the admin pages are; `"127.0.0.1:9180"` when the table is there without an address.
    /// Default: off.
    pub admin: Option<Listen>,
    /// `[[ring]]`: at least one.
    pub rings: Vec<Ring>,
}

impl Config {
    /// How many threads serve.
    #[must_use]
    pub fn thread_count(&self) -> usize {
        self.threads.or_else(|| std::thread::available_parallelism().ok()).map_or(1, NonZeroUsize::get)
    }

    /// The files of the certificates that listeners show, of their keys, and of clients' authorities.
    #[must_use]
    pub fn certificate_files(&self) -> Vec<PathBuf> {
        let tls = self.rings.iter().filter_map(|ring| ring.tls.as_ref());
        tls.flat_map(|tls| tls.files.iter().map(Path::to_owned)).collect()
    }
}

/// How much is logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// `"off"`
    Off,
    /// `"error"`
    Error,
    /// `"warn"`
    Warn,
    /// `"info"`
    #[default]
    Info,
    /// `"debug"`
    Debug,
    /// `"trace"`
    Trace,
}

/// What a configuration needs besides its text.
pub struct Sources<'a> {
    /// The file's name, for errors.
    pub file: &'a str,
    /// Where the names of other files start from.
    pub directory: &'a Path,
    /// Where secrets come from. `None` leaves them out: `${NAME}` is empty and no other file is read, for
    /// those who only want to know where keys are.
    pub lookup: Option<Lookup<'a>>,
}

/// Where secrets come from.
pub struct Lookup<'a> {
    /// The value of an environment variable.
    pub variable: &'a dyn Fn(&str) -> Option<String>,
    /// The contents of a file.
    pub read: &'a dyn Fn(&Path) -> io::Result<Vec<u8>>,
}

/// Whether secrets are needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Secrets {
    /// They are read from the environment and from files, and their absence is an error.
    Read,
    /// They are left out, see [`Sources::lookup`].
    LeaveOut,
}

/// Reads a configuration file, with the process's environment.
///
/// # Errors
/// [`ConfigError`] for what is wrong, also when the file cannot be read.
pub fn load(path: &Path, secrets: Secrets) -> Result<Config, ConfigError> {
    load_noting(path, secrets, &mut Vec::new())
}

/// As [`load`], noting the files that were asked for: this one, and those that it names. Also after an error they are
/// the files of which one has to change before it can be better.
///
/// # Errors
/// As [`load`].
pub fn load_noting(path: &Path, secrets: Secrets, files: &mut Vec<PathBuf>) -> Result<Config, ConfigError> {
    files.push(path.to_owned());
    let file = path.display().to_string();
    let bytes = std::fs::read(path).map_err(|error| unreadable(&file, &error))?;
    let directory = path.parent().unwrap_or_else(|| Path::new(""));
    of_bytes(&bytes, &file, directory, secrets, files)
}

/// As [`load`], from what is read here, such as standard input. `file` is its name for errors; names of other files start
/// from where the process was started.
///
/// # Errors
/// As [`load`].
pub fn read(mut input: impl io::Read, file: &str, secrets: Secrets) -> Result<Config, ConfigError> {
    let mut bytes = Vec::new();
    input.read_to_end(&mut bytes).map_err(|error| unreadable(file, &error))?;
    of_bytes(&bytes, file, Path::new(""), secrets, &mut Vec::new())
}

fn unreadable(file: &str, error: &io::Error) -> ConfigError {
    ConfigError::new(file, None, format!("the file cannot be read: {error}"))
}

/// With the process's environment, noting the files that are asked for.
fn of_bytes(
    bytes: &[u8],
    file: &str,
    directory: &Path,
    secrets: Secrets,
    files: &mut Vec<PathBuf>,
) -> Result<Config, ConfigError> {
    let noted = RefCell::new(files);
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let good = bytes.get(..error.valid_up_to()).unwrap_or_default();
        let line = good.iter().filter(|byte| **byte == b'\n').count() + 1;
        ConfigError::new(file, Some(line), "found bytes that are not UTF-8; allowed: text in UTF-8")
    })?;
    let variable = |name: &str| std::env::var(name).ok();
    let read = |path: &Path| {
        noted.borrow_mut().push(path.to_owned());
        std::fs::read(path)
    };
    let lookup = Lookup { variable: &variable, read: &read };
    let lookup = (secrets == Secrets::Read).then_some(lookup);
    let sources = Sources { file, directory, lookup };
    let system = SystemRoots::default();
    let tries_certificates = (secrets == Secrets::Read).then_some(&system);
    of_text(Document { text, sources: &sources, tries_certificates })
}

/// Reads a configuration from its text. Whether its certificates and keys can be used is not looked at, as [`load`] does.
///
/// ```
/// use std::path::Path;
/// use rendis_proxy::config::{self, Sources};
///
/// let sources = Sources { file: "rendis.toml", directory: Path::new(""), lookup: None };
/// let text = "[[ring]]\nname = \"cache\"\n\n[[ring.shard]]\nname = \"a\"\nurl = \"redis://127.0.0.1:7001\"\n";
/// let config = config::parse(text, &sources)?;
/// assert_eq!(config.rings[0].shards[0].name, "a");
///
/// let error = config::parse(&text.replace("redis:", "http:"), &sources).unwrap_err();
/// assert!(error.to_string().starts_with("rendis.toml:6: ring \"cache\": shard \"a\": url: found"));
/// # Ok::<(), config::ConfigError>(())
/// ```
///
/// # Errors
/// [`ConfigError`] for what is wrong.
pub fn parse(text: &str, sources: &Sources<'_>) -> Result<Config, ConfigError> {
    of_text(Document { text, sources, tries_certificates: None })
}

fn of_text(document: Document<'_>) -> Result<Config, ConfigError> {
    let Document { text, sources, .. } = document;
    let table = DeTable::parse(text).map_err(|error| not_toml(document, &error))?;
    let section = Section::new(document, table.get_ref(), 0..0, String::new());
    let mut errors = Errors::default();
    section.unknown(&fields::TOP).for_each(|error| errors.add(error));
    let mut listeners = Listeners::default();
    let threads =
        section.value(&mut errors, "threads", None, |field| field.integer::<u32>(1..=1024).map(Some));
    let log = section.value(&mut errors, "log", LogLevel::default(), |field| field.choice(&LEVELS));
    let watch = section.value(&mut errors, "watch", false, section::Field::boolean);
    let shutdown_delay = section.value(&mut errors, "shutdown_delay", Duration::ZERO, |field| {
        field.duration(Duration::ZERO..=Duration::from_secs(3600))
    });
    let admin = section.value(&mut errors, "admin", None, |field| {
        admin(&field.section(&fields::ADMIN)?, &mut listeners).map(Some)
    });
    let tables = errors.keep(section.read("ring", Vec::new(), |field| field.tables())).unwrap_or_default();
    // Another mistake may be why there is none.
    if tables.is_empty() && errors.is_empty() {
        let message = "there is no ring; allowed: at least one [[ring]]";
        errors.add(ConfigError::new(sources.file, None, message));
    }
    let mut names = HashSet::new();
    let mut rings = Vec::with_capacity(tables.len());
    for (at, (table, span)) in tables.into_iter().enumerate() {
        let read = ring::read(document, table, span.clone(), at + 1, &mut listeners);
        let Some(ring) = errors.keep(read) else { continue };
        if !names.insert(ring.name.clone()) {
            let span = table.get("name").map_or(span, |name| name.span());
            let message =
                format!("name: found {} for two rings; allowed: each name once", values::quoted(&ring.name));
            errors.add(document.error(&span, message));
        }
        rings.push(ring);
    }
    let rings = errors.or(rings)?;
    let threads = threads.and_then(|count| usize::try_from(count).ok()).and_then(NonZeroUsize::new);
    Ok(Config { threads, log, watch, shutdown_delay, admin, rings })
}

/// What the parser says, and of a key that is there twice, which.
fn not_toml(document: Document<'_>, error: &toml::de::Error) -> ConfigError {
    let span = error.span().unwrap_or_default();
    let message = error.message().lines().next().unwrap_or_default();
    let found = match document.text.get(span.clone()).filter(|_| message == "duplicate key") {
        // `[[ring.shard]]` alone makes a ring, of another kind than `[[ring]]`.
        Some("ring") => " \"ring\"; [[ring.shard]] and [[ring.user]] come after their [[ring]]".to_owned(),
        Some(key) => format!(" {}", values::quoted(key)),
        None => String::new(),
    };
    document.error(&span, format!("not TOML: {message}{found}"))
}

const LEVELS: [(&str, LogLevel); 6] = [
    ("off", LogLevel::Off),
    ("error", LogLevel::Error),
    ("warn", LogLevel::Warn),
    ("info", LogLevel::Info),
    ("debug", LogLevel::Debug),
    ("trace", LogLevel::Trace),
];

/// Where the admin pages may be, which are without TLS, in words.
const ADMIN: &str = "an IP address with a port (\"127.0.0.1:9180\", \"[::1]:9180\"), \"unix:/absolute/path\" without \
                     control characters; there is no TLS here";

fn admin(section: &Section<'_>, listeners: &mut Listeners) -> Result<Listen, ConfigError> {
    let default = Listen::Tcp(([127, 0, 0, 1], 9180).into());
    let (listen, span) = match section.field("listen") {
        Some(field) => match Listen::read(&field, ADMIN)? {
            Listen::Tls(_) => return Err(field.wrong(ADMIN)),
            listen => (listen, field.span()),
        },
        None => (default, section.span()),
    };
    let add = listeners.add(&listen, "admin");
    add.map_err(|message| section.document.error(&span, format!("{}{message}", section.place())))?;
    Ok(listen)
}
