//! Where a server listens: `redis://`, `rediss://` and unix socket URLs, and plain `host:port`.

use std::fmt;
use std::path::PathBuf;

use url::Url;

use crate::error::{Error, Kind};

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    /// A host name or IP address (IPv6 without brackets), and a port.
    Tcp {
        /// The host.
        host: String,
        /// The port; 6379 where a URL says none.
        port: u16,
    },
    /// The path of a unix socket.
    Unix(PathBuf),
}

impl fmt::Display for Address {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(out, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(out, "{host}:{port}"),
            Self::Unix(path) => write!(out, "{}", path.display()),
        }
    }
}

/// A text that is kept out of logs and `Debug`.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Takes the text in.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("***")
    }
}

/// What a server's URL says.
///
/// ```
/// use rendis_engine::address::ServerUrl;
///
/// let url = ServerUrl::parse("rediss://app:s%3Acret@cache.example:7001/2")?;
/// assert_eq!(url.address.to_string(), "cache.example:7001");
/// assert!(url.tls);
/// assert_eq!(url.username.as_deref(), Some("app"));
/// assert_eq!(url.password.as_ref().map(|password| password.reveal()), Some("s:cret"));
/// assert_eq!(url.database, 2);
/// # Ok::<(), rendis_engine::error::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerUrl {
    /// Where it listens.
    pub address: Address,
    /// Whether TLS is spoken (`rediss`).
    pub tls: bool,
    /// The ACL user.
    pub username: Option<String>,
    /// The password.
    pub password: Option<Secret>,
    /// The database number; 0 where the URL says none.
    pub database: u32,
}

impl ServerUrl {
    /// Reads `redis://[user:password@]host[:port][/db]`, `rediss://…`, `unix://[user:password@]/path[?db=N]`
    /// (also `redis+unix`), or a plain `host:port`. User and password are percent-decoded.
    ///
    /// # Errors
    /// [`Kind::Config`], naming what is wrong; the text never repeats a password.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let refuse = |why: &str| {
            Error::local(Kind::Config, format!("not a server URL: {why} in \"{}\"", redact(text)))
        };
        if !text.contains("://") {
            return Self::plain(text).ok_or_else(|| refuse("expected host:port or redis://host:port"));
        }
        let url = Url::parse(text).map_err(|error| refuse(&error.to_string()))?;
        let (tls, unix) = match url.scheme() {
            "redis" | "valkey" | "tcp" => (false, false),
            "rediss" | "valkeys" => (true, false),
            "unix" | "redis+unix" | "valkey+unix" => (false, true),
            _ => return Err(refuse("the scheme is not redis, rediss or unix")),
        };
        let username = Some(decode(url.username()).ok_or_else(|| refuse("the user is not UTF-8"))?);
        let password = match url.password() {
            Some(password) => Some(decode(password).ok_or_else(|| refuse("the password is not UTF-8"))?),
            None => None,
        };
        let (address, database) = if unix {
            let path = decode(url.path()).ok_or_else(|| refuse("the path is not UTF-8"))?;
            if url.host_str().is_some_and(|host| !host.is_empty()) || path.len() < 2 {
                return Err(refuse("a unix URL needs an absolute path (unix:///run/redis.sock)"));
            }
            let database =
                url.query_pairs().find(|(name, _)| name == "db").map(|(_, value)| value.into_owned());
            (Address::Unix(path.into()), database.unwrap_or_default())
        } else {
            let host = url.host_str().filter(|host| !host.is_empty()).ok_or_else(|| refuse("no host"))?;
            let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
            let address = Address::Tcp { host, port: url.port().unwrap_or(6379) };
            if let Some((name, _)) = url.query_pairs().next() {
                return Err(refuse(&format!("unknown parameter \"{name}\"")));
            }
            (address, url.path().trim_start_matches('/').to_owned())
        };
        let database = match database.as_str() {
            "" => 0,
            number => number.parse().map_err(|_| refuse("the database is not a number"))?,
        };
        Ok(Self {
            address,
            tls,
            username: username.filter(|name| !name.is_empty()),
            password: password.map(Secret::new),
            database,
        })
    }

    fn plain(text: &str) -> Option<Self> {
        let (host, port) = text.rsplit_once(':')?;
        let host = match host.strip_prefix('[') {
            Some(inner) => inner.strip_suffix(']')?,
            None if host.contains(':') => return None,
            None => host,
        };
        if host.is_empty() || host.contains(['/', '@', ' ']) {
            return None;
        }
        let address =
            Address::Tcp { host: host.to_owned(), port: port.parse().ok().filter(|port| *port > 0)? };
        Some(Self { address, tls: false, username: None, password: None, database: 0 })
    }
}

/// The URL without what stands between `//` and `@`.
fn redact(text: &str) -> String {
    match (text.find("://"), text.rfind('@')) {
        (Some(start), Some(end)) if start + 3 <= end => {
            let (head, tail) =
                (text.get(..start + 3).unwrap_or_default(), text.get(end..).unwrap_or_default());
            format!("{head}***{tail}")
        }
        (None, Some(_)) => "***".to_owned(),
        _ => text.to_owned(),
    }
}

fn decode(text: &str) -> Option<String> {
    if !text.contains('%') {
        return Some(text.to_owned());
    }
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let escaped = text.get(at + 1..at + 3).and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match (byte, escaped) {
            (b'%', Some(decoded)) => {
                out.push(decoded);
                at += 3;
            }
            _ => {
                out.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8(out).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_forms_that_are_read() {
        let read = |text| ServerUrl::parse(text).unwrap();
        assert_eq!(read("redis://localhost").address, Address::Tcp { host: "localhost".into(), port: 6379 });
        assert_eq!(read("127.0.0.1:7001").address, Address::Tcp { host: "127.0.0.1".into(), port: 7001 });
        assert_eq!(read("[::1]:7001").address, Address::Tcp { host: "::1".into(), port: 7001 });
        assert_eq!(read("redis://[::1]:7001/3").database, 3);
        assert_eq!(read("redis://[::1]:7001/3").address.to_string(), "[::1]:7001");
        assert_eq!(read("unix:///run/redis.sock?db=4").address, Address::Unix("/run/redis.sock".into()));
        assert_eq!(read("unix:///run/redis.sock?db=4").database, 4);
        assert_eq!(read("redis://:p%40ss@h:1").password, Some(Secret::new("p@ss")));
        assert_eq!(read("redis://:p%40ss@h:1").username, None);
    }

    #[test]
    fn what_is_no_url_is_a_configuration_error_without_the_password() {
        for text in [
            "",
            "localhost",
            "http://localhost:1",
            "redis://",
            "redis://h:99999",
            "redis://h:1/x",
            "redis://h:1/-1",
            "redis://h:1?db=1",
            "unix://run/redis.sock",
            "host:",
            "host:0",
            ":7001",
            "a:b:1",
        ] {
            let error = ServerUrl::parse(text).unwrap_err();
            assert_eq!(error.kind(), Kind::Config, "{text}");
        }
        let error = ServerUrl::parse("redis://user:hunter2@h:1/x").unwrap_err();
        assert!(!format!("{error} {error:?}").contains("hunter2"));
    }
}
