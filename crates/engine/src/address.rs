//! Where a server listens, and its URL.
//!
//! ```text
//! redis://[user[:password]@]host[:port][/db]      rediss://… with TLS      (also valkey://, valkeys://)
//! unix://[user[:password]@]/path[?db=N]           also redis+unix://…, unix:/path
//! ```
//!
//! The port is 6379 and the database 0 where the URL names none. User, password and path are percent-decoded: in user
//! and password, `/`, `?`, `#`, `%` and blanks have to be written `%2F`, `%3F`, `%23`, `%25` and `%20`. There `${NAME}`
//! stands for a variable; a password that really contains `${` writes it `%24{`.

use std::borrow::Cow;
use std::fmt;
use std::path::PathBuf;

use percent_encoding::percent_decode_str;
use rendis_core::placement::NodeAddress;
use url::{ParseError, Url};

use crate::error::{Error, Kind};
use crate::secret::Secret;

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    /// A host name or IP address (IPv6 without brackets), and a port.
    Tcp {
        /// The host, as it was written.
        host: String,
        /// The port, 1 to 65535.
        port: u16,
    },
    /// The path of a unix socket.
    Unix(PathBuf),
}

impl Address {
    /// The same, as placement knows it.
    #[must_use]
    pub fn on_ring(&self, tls: bool, db: u32) -> NodeAddress {
        match self {
            Self::Tcp { host, port } => NodeAddress::Tcp { tls, host: host.clone(), port: *port, db },
            Self::Unix(path) => NodeAddress::Unix { path: path.display().to_string(), db },
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(out, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(out, "{host}:{port}"),
            Self::Unix(path) => write!(out, "unix:{}", path.display()),
        }
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
///
/// let url = ServerUrl::parse_with("redis://:${PW}@cache", &|name| (name == "PW").then(|| "a@b/c".to_owned()))?;
/// assert_eq!(url.password.as_ref().map(|password| password.reveal()), Some("a@b/c"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerUrl {
    /// Where it listens.
    pub address: Address,
    /// Whether TLS is spoken.
    pub tls: bool,
    /// The ACL user; `None` for the server's default user.
    pub username: Option<String>,
    /// The password.
    pub password: Option<Secret>,
    /// The database number.
    pub database: u32,
}

/// Why a text is no server URL. The message repeats the URL without user and password, and names the shard where it is one's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UrlError {
    shard: Option<String>,
    found: String,
    reason: Reason,
}

impl fmt::Display for UrlError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(shard) = &self.shard {
            write!(out, "shard \"{shard}\": not the address of a server: ")?;
        }
        write!(out, "found \"{}\": {}", self.found, self.reason.words)?;
        let plain = match self.reason.allowed {
            Allowed::AsItIs => return Ok(()),
            Allowed::Urls => "",
            Allowed::UrlsAndPlain => ", host:port",
        };
        write!(
            out,
            "; allowed: redis://[user:password@]host[:port][/db], the same with rediss:// (TLS), \
             unix://[user:password@]/path[?db=N]{plain}"
        )
    }
}

impl std::error::Error for UrlError {}

impl UrlError {
    /// The same, of the shard with this name.
    #[must_use]
    pub(crate) fn of_shard(mut self, name: &str) -> Self {
        self.shard = Some(name.to_owned());
        self
    }
}

impl From<UrlError> for Error {
    fn from(error: UrlError) -> Self {
        Self::local(Kind::Config, error.to_string())
    }
}

impl ServerUrl {
    /// Reads a URL as above, or a plain `host:port`. No variables are put in.
    ///
    /// # Errors
    /// [`UrlError`] when it is neither.
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        if text.contains("://") || text.starts_with("unix:") {
            Self::parse_with(text, &|_| None)
        } else {
            Self::read(&format!("redis://{text}"), &|_| None).map_err(|reason| {
                let words = if text.contains('/') { NO_ADDRESS.into() } else { reason.words };
                let reason = Reason { words, allowed: Allowed::UrlsAndPlain };
                UrlError { shard: None, found: redact(text), reason }
            })
        }
    }

    /// Reads a URL. `variable` gives the values of `${NAME}` in user and password.
    ///
    /// # Errors
    /// [`UrlError`] when the text is no such URL, or names a variable that there is not.
    pub fn parse_with(text: &str, variable: &dyn Fn(&str) -> Option<String>) -> Result<Self, UrlError> {
        Self::read(text, variable).map_err(|reason| UrlError { shard: None, found: redact(text), reason })
    }

    fn read(text: &str, variable: &dyn Fn(&str) -> Option<String>) -> Result<Self, Reason> {
        if ends_in_credentials(text) {
            return Err(TO_BE_ENCODED.into());
        }
        if text.chars().any(|character| character.is_control() || character == ' ') {
            return Err("it contains blanks or control characters".into());
        }
        let url = Url::parse(&with_host(text)).map_err(|error| explain(text, error))?;
        let (tls, unix) = match url.scheme() {
            "unix" | "redis+unix" | "valkey+unix" => (false, true),
            _ if !text.contains("://") => return Err(NO_SCHEME.into()),
            "redis" | "valkey" => (false, false),
            "rediss" | "valkeys" => (true, false),
            other => return Err(format!("the scheme {other} is not known").into()),
        };
        if url.fragment().is_some() {
            return Err("it has a part after #; in a password write %23".into());
        }
        let username = fill(url.username(), "user", variable)?;
        let password = url.password().map(|password| fill(password, "password", variable)).transpose()?;
        let (address, database) = if unix { socket(&url)? } else { host(&url)? };
        Ok(Self {
            address,
            tls,
            username: Some(username).filter(|name| !name.is_empty()),
            password: password.filter(|password| !password.is_empty()).map(Secret::new),
            database,
        })
    }
}

/// `unix://user:password@/path` has credentials without a host, which the URL standard forbids and Redis clients write
/// all the same; a host that cannot exist is put in for the parser.
fn with_host(text: &str) -> Cow<'_, str> {
    let credentials =
        text.split_once("://").and_then(|(scheme, rest)| Some((scheme, rest.split_once("@/")?)));
    match credentials {
        Some((scheme, (credentials, path))) if scheme.ends_with("unix") && !credentials.contains('/') => {
            format!("{scheme}://{credentials}@{NOWHERE}/{path}").into()
        }
        _ => text.into(),
    }
}

const NOWHERE: &str = "unix.invalid";

/// What is wrong with a text, in words, and what would be right.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Reason {
    words: Cow<'static, str>,
    allowed: Allowed,
}

/// What an error shows beside what it found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Allowed {
    Urls,
    UrlsAndPlain,
    /// Nothing: the URL is well formed.
    AsItIs,
}

impl<T: Into<Cow<'static, str>>> From<T> for Reason {
    fn from(words: T) -> Self {
        Self { words: words.into(), allowed: Allowed::Urls }
    }
}

/// Whether user or password have in them what ends the part of a URL that they stand in, or a blank: behind that there is
/// no `@`, but in the path of a socket.
fn ends_in_credentials(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once("://") else { return false };
    rest.split_once(['/', '?', '#', ' ']).is_some_and(|(before, after)| {
        let path = scheme.ends_with("unix") && (before.is_empty() || before.contains('@'));
        after.contains('@') && !path
    })
}

const TO_BE_ENCODED: &str = "/, ?, # and blanks in a user or password are written %2F, %3F, %23 and %20 (in a \
    configuration file, ${NAME} and password_file take them as they are)";
const NO_SCHEME: &str = "it is no URL: it does not begin with redis://";
const NO_ADDRESS: &str = "it is neither a URL nor host:port";

fn explain(text: &str, error: ParseError) -> Reason {
    match error {
        ParseError::RelativeUrlWithoutBase => NO_SCHEME.into(),
        ParseError::InvalidPort if !text.contains("://") => NO_SCHEME.into(),
        ParseError::InvalidPort => "the port is not a number from 1 to 65535".into(),
        ParseError::EmptyHost => "it has no host".into(),
        other => other.to_string().into(),
    }
}

fn host(url: &Url) -> Result<(Address, u32), Reason> {
    let host = url.host_str().filter(|host| !host.is_empty()).ok_or("it has no host")?;
    // The parser has encoded it.
    if percent_decode_str(host).any(|byte| !byte.is_ascii()) {
        return Err("the host is not ASCII; a name of other letters is written as DNS has it, xn--…".into());
    }
    if host.contains(['$', '%', '{', '}']) {
        return Err("the host contains $, %, { or }; ${NAME} is for user and password".into());
    }
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    let port = url.port().unwrap_or(6379);
    if port == 0 {
        return Err("the port is not a number from 1 to 65535".into());
    }
    if url.query().is_some() {
        return Err("it has parameters after ?".into());
    }
    let path = url.path();
    let database = path.strip_prefix('/').unwrap_or(path);
    Ok((Address::Tcp { host, port }, if database.is_empty() { 0 } else { number(database)? }))
}

fn socket(url: &Url) -> Result<(Address, u32), Reason> {
    let path = decode(url.path(), "path")?;
    if url.host_str().is_some_and(|host| !host.is_empty() && host != NOWHERE)
        || !path.starts_with('/')
        || path.len() < 2
    {
        return Err("the path of the socket has to be absolute, as in unix:///run/redis.sock".into());
    }
    let mut database = 0;
    for (name, value) in url.query_pairs() {
        if name != "db" {
            return Err("it has parameters other than db".into());
        }
        database = number(&value)?;
    }
    Ok((Address::Unix(path.into()), database))
}

fn number(text: &str) -> Result<u32, Reason> {
    // `parse` alone would take "+1".
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err("the database is not a number".into());
    }
    text.parse().map_err(|_| "the database is not a number".into())
}

fn decode(text: &str, part: &str) -> Result<String, Reason> {
    match percent_decode_str(text).decode_utf8() {
        Ok(decoded) => Ok(decoded.into_owned()),
        Err(_) => Err(format!("the {part} is not UTF-8 when decoded").into()),
    }
}

/// Decodes a part of the URL and puts variables in. The parser has encoded the braces that were written plainly, and
/// left the dollar sign, so what the user encoded himself is told apart.
fn fill(encoded: &str, part: &str, variable: &dyn Fn(&str) -> Option<String>) -> Result<String, Reason> {
    const OPEN: &str = "$%7B";
    const CLOSE: &str = "%7D";
    // The parser leaves them as they are.
    let digits = |pair: &str| pair.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !encoded.split('%').skip(1).all(|after| after.get(..2).is_some_and(digits)) {
        return Err(
            format!("the {part} has a % without two hexadecimal digits; a literal % is written %25").into()
        );
    }
    let mut filled = String::new();
    let mut rest = encoded;
    while let Some((before, after)) = rest.split_once(OPEN) {
        let (name, after) = after
            .split_once(CLOSE)
            .ok_or_else(|| format!("the {part} has ${{ without }}; a literal ${{ is written %24{{"))?;
        filled.push_str(&decode(before, part)?);
        let good = |character: char| character.is_ascii_alphanumeric() || character == '_';
        if name.is_empty() || !name.chars().all(good) {
            return Err(
                format!("the {part} has ${{…}} with a name that is not of letters, digits and _").into()
            );
        }
        let value = variable(name).ok_or_else(|| Reason {
            words: format!("the environment has no variable {name}").into(),
            allowed: Allowed::AsItIs,
        })?;
        filled.push_str(&value);
        rest = after;
    }
    filled.push_str(&decode(rest, part)?);
    Ok(filled)
}

/// The URL without what may be a password: all before the last `@`, the scheme excepted.
fn redact(text: &str) -> String {
    let clean = match (text.split_once("://"), text.rsplit_once('@')) {
        (Some((scheme, rest)), Some((_, tail))) if rest.contains('@') && !scheme.contains('@') => {
            format!("{scheme}://***@{tail}")
        }
        (_, Some((_, tail))) => format!("***@{tail}"),
        _ => text.to_owned(),
    };
    clean.escape_debug().collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> ServerUrl {
        ServerUrl::parse_with(text, &|_| None).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    fn refused(text: &str) -> String {
        match ServerUrl::parse_with(text, &|_| None) {
            Ok(url) => panic!("{text} was read as {url:?}"),
            Err(error) => error.to_string(),
        }
    }

    fn tcp(host: &str, port: u16) -> Address {
        Address::Tcp { host: host.to_owned(), port }
    }

    #[test]
    fn the_forms_that_are_read() {
        assert_eq!(read("redis://localhost").address, tcp("localhost", 6379));
        assert_eq!(read("redis://Cache.Example:7001").address, tcp("Cache.Example", 7001));
        assert_eq!(read("redis://[::1]:7001/3").address, tcp("::1", 7001));
        assert_eq!(read("redis://[::1]:7001/3").address.to_string(), "[::1]:7001");
        assert_eq!(read("redis://[::1]:7001/3").database, 3);
        assert_eq!(read("redis://h:7001/").database, 0);
        assert!(read("rediss://h").tls);
        assert!(read("valkeys://h").tls);
        assert!(!read("redis://h").tls);
        for unix in
            ["unix:///run/a%20b.sock?db=4", "redis+unix:///run/a%20b.sock?db=4", "unix:/run/a%20b.sock?db=4"]
        {
            assert_eq!(read(unix).address, Address::Unix("/run/a b.sock".into()), "{unix}");
            assert_eq!(read(unix).database, 4);
        }
        assert_eq!(read("unix://:pw@/run/redis.sock").password, Some(Secret::new("pw")));
        assert_eq!(read("unix://:pw@/run/a@b.sock").address, Address::Unix("/run/a@b.sock".into()));
        assert_eq!(read("unix:///run/a@b.sock").address, Address::Unix("/run/a@b.sock".into()));
    }

    #[test]
    fn a_plain_host_and_port_will_do_where_no_file_is_read() {
        let plain = |text| ServerUrl::parse(text).map(|url| url.address);
        assert_eq!(plain("10.0.0.1:6380").unwrap(), tcp("10.0.0.1", 6380));
        assert_eq!(plain("[::1]:6380").unwrap(), tcp("::1", 6380));
        assert_eq!(plain("unix:/run/a.sock").unwrap(), Address::Unix("/run/a.sock".into()));
        for text in ["", ":6379", "h:0", "h:x", "a b:1", "http://h"] {
            assert_eq!(Error::from(plain(text).unwrap_err()).kind(), Kind::Config, "{text}");
        }
        assert!(plain("h:0").unwrap_err().to_string().ends_with("@]/path[?db=N], host:port"));
        assert!(plain("redis://h:0").unwrap_err().to_string().ends_with("@]/path[?db=N]"));
        for text in ["redis//x", "redis:/x", "redis//h:6379/1"] {
            let message = plain(text).unwrap_err().to_string();
            let wanted =
                format!("found \"{text}\": it is neither a URL nor host:port; allowed: redis://[user");
            assert!(message.contains(&wanted), "{message}");
        }
    }

    #[test]
    fn credentials_are_decoded_and_variables_put_in() {
        let url = read("redis://us%40er:p%3A%2F%40ss@h");
        assert_eq!(url.username.as_deref(), Some("us@er"));
        assert_eq!(url.password, Some(Secret::new("p:/@ss")));
        assert_eq!(read("redis://:pw@h").username, None);
        assert_eq!(read("redis://user@h").password, None);
        let variables = |name: &str| (name == "A_1").then(|| "x%41@${A_1}".to_owned());
        let url = ServerUrl::parse_with("redis://${A_1}:a${A_1}b@h", &variables).unwrap();
        assert_eq!(url.username.as_deref(), Some("x%41@${A_1}"));
        assert_eq!(url.password, Some(Secret::new("ax%41@${A_1}b")));
        assert_eq!(read("redis://:%24{A_1}@h").password, Some(Secret::new("${A_1}")));
        assert_eq!(read("redis://:a$b@h").password, Some(Secret::new("a$b")));
        let message = refused("redis://:${NOT_SET}@h");
        assert!(message.ends_with("the environment has no variable NOT_SET"), "{message}");
        assert!(refused("redis://:${NOT@h").contains("without }"));
        assert!(refused("redis://:${}@h").contains("letters"));
        assert!(refused("redis://${HOST_NAME}").contains("for user and password"));
    }

    #[test]
    fn what_is_no_url_is_refused_with_the_reason() {
        for (text, reason) in [
            ("", "does not begin with redis://"),
            ("localhost", "does not begin with redis://"),
            ("localhost:6379", "does not begin with redis://"),
            ("127.0.0.1:6379", "does not begin with redis://"),
            ("redis//x", "no URL"),
            ("redis:/x", "no URL"),
            ("http://localhost:1", "scheme http"),
            ("redis://", "no host"),
            ("redis://:6379", "no host"),
            ("redis://h:99999", "port"),
            ("redis://h:0", "port"),
            ("redis://h:x", "port"),
            ("redis://h:1/x", "database"),
            ("redis://h:1/-1", "database"),
            ("redis://h:1/+1", "database"),
            ("redis://h:1/1/2", "database"),
            ("redis://h:1/99999999999", "database"),
            ("redis://h:1?db=1", "parameters"),
            ("redis://h#x", "after #"),
            ("redis://[::1", "IPv6"),
            ("redis://a b", "blanks"),
            ("redis://:%ff@h", "UTF-8"),
            ("redis://:p/ss@127.0.0.1:1", "/, ?, # and blanks in a user or password are written %2F"),
            ("redis://user:p#ss@h", "written %2F"),
            ("redis://:p?ss@h", "written %2F"),
            ("redis://:p ss@h", "written %2F"),
            ("redis://:p@s/s@h", "written %2F"),
            ("unix://:p/ss@/run/redis.sock", "written %2F"),
            ("unix:///run/a@b?x=1", "parameters"),
            (
                "redis://:p%ss@h",
                "the password has a % without two hexadecimal digits; a literal % is written %25",
            ),
            ("redis://:p%zz@h", "the password has a %"),
            ("redis://:p%+f@h", "the password has a %"),
            ("redis://us%e@h", "the user has a %"),
            ("redis://:p%@h", "the password has a %"),
            ("redis://h\u{e9}:1", "the host is not ASCII"),
            ("redis://h%20x:1", "the host contains $, %"),
            ("unix://run/redis.sock", "absolute"),
            ("unix://", "absolute"),
            ("unix:run.sock", "absolute"),
            ("unix:///a?db=x", "database"),
            ("unix:///a?x=1", "parameters"),
        ] {
            let message = refused(text);
            assert!(message.contains(reason), "{text}: {message}");
            assert!(message.contains("allowed: redis://"));
        }
    }

    #[test]
    fn refusals_do_not_repeat_passwords() {
        for text in [
            "redis://user:hunter2@h:1/x",
            "redis://user:hunter2@h:x",
            "redis://:hun/ter2@h",
            "redis://:ter2#hunter2@h",
            "redis:/user:hunter2@h",
            "user:hunter2@h",
            "http://user:hunter2@h",
            "redis://a@b://hunter2@h:x",
        ] {
            let message = refused(text);
            assert!(!message.contains("ter2"), "{message}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in ".{0,60}") {
            let _ = ServerUrl::parse_with(&text, &|name| Some(name.to_owned()));
        }

        #[test]
        fn any_credentials_survive_encoding(user in ".{1,20}", password in ".{1,20}") {
            let encode = |text: &str| {
                percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
            };
            let url = format!("redis://{}:{}@h", encode(&user), encode(&password));
            let url = ServerUrl::parse_with(&url, &|_| None).unwrap();
            prop_assert_eq!(url.username, Some(user));
            prop_assert_eq!(url.password, Some(Secret::new(password)));
        }
    }
}
