//! Which Redis a server says that it equals.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use rendis_core::reply::{Node, Reader, Reply};

/// A version of Redis.
///
/// ```
/// use rendis_engine::version::Version;
///
/// let version = Version::parse("7.2.4").unwrap();
/// assert!(version < Version::parse("7.10.0").unwrap());
/// assert_eq!(version.to_string(), "7.2.4");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    major: u16,
    minor: u16,
    patch: u16,
}

impl Version {
    /// The last one that Valkey equals, whatever its own version is: what its `INFO` says as `redis_version`.
    const VALKEY: Self = Self { major: 7, minor: 2, patch: 4 };

    /// Reads three numbers; what follows the third, as `-rc1`, does not count. `None` where there are no three.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut numbers = text.splitn(3, '.').map(|number| {
            let end = number.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(number.len());
            number.get(..end)?.parse().ok()
        });
        let mut next = || numbers.next().flatten();
        Some(Self { major: next()?, minor: next()?, patch: next()? })
    }

    /// What an answer to `HELLO` says, in either protocol. `None` where it is no such answer.
    pub(crate) fn of_hello(reply: &Reply) -> Option<Self> {
        let mut values = reply.reader();
        let pairs = match values.next().ok()? {
            Node::Map(pairs) => pairs,
            Node::Array(Some(values)) => values / 2,
            _ => return None,
        };
        let (mut valkey, mut version) = (false, None);
        for _ in 0..pairs {
            match text(&mut values) {
                Some("server") => valkey = text(&mut values) == Some("valkey"),
                Some("version") => version = text(&mut values).and_then(Self::parse),
                _ => drop(values.skip().ok()?),
            }
        }
        if valkey { version.map(|version| version.min(Self::VALKEY)) } else { version }
    }
}

/// The next value, where it is a text.
fn text<'a>(values: &mut Reader<'a>) -> Option<&'a str> {
    match values.next().ok()? {
        Node::Bulk(Some(text)) | Node::Simple(text) => std::str::from_utf8(text).ok(),
        _ => None,
    }
}

impl fmt::Display for Version {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

/// The version that a server said last, if it ever did.
#[derive(Debug, Default)]
pub(crate) struct Heard(AtomicU64);

impl Heard {
    pub(crate) fn set(&self, version: Version) {
        let Version { major, minor, patch } = version;
        let parts = [1, u64::from(major), u64::from(minor), u64::from(patch)];
        self.0.store(parts.into_iter().fold(0, |packed, part| packed << 16 | part), Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> Option<Version> {
        let packed = self.0.load(Ordering::Relaxed);
        let part = |shift: u32| u16::try_from(packed >> shift & 0xffff).unwrap_or_default();
        (part(48) == 1).then(|| Version { major: part(32), minor: part(16), patch: part(0) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(text: &str) -> Option<String> {
        Version::parse(text).map(|version| version.to_string())
    }

    #[test]
    fn versions_are_three_numbers() {
        assert_eq!(version("6.2.16").as_deref(), Some("6.2.16"));
        assert_eq!(version("8.0.0-rc1").as_deref(), Some("8.0.0"));
        assert_eq!(version("255.255.255").as_deref(), Some("255.255.255"));
        for text in ["", "7", "7.2", "x.y.z", "7.2.", "7.2.x", "99999.0.0"] {
            assert_eq!(version(text), None, "{text}");
        }
    }

    #[test]
    fn what_was_heard_is_told() {
        let heard = Heard::default();
        assert_eq!(heard.get(), None);
        for text in ["0.0.0", "7.2.4", "65535.65535.65535"] {
            heard.set(Version::parse(text).unwrap());
            assert_eq!(heard.get().map(|version| version.to_string()).as_deref(), Some(text));
        }
    }

    #[test]
    fn valkey_equals_a_redis_of_its_own_choice() {
        let hello = |start: &str, server: &str, version: &str| {
            let pairs = format!("+server\r\n+{server}\r\n+modules\r\n*1\r\n:1\r\n+version\r\n+{version}\r\n");
            Version::of_hello(&Reply::new(format!("{start}\r\n{pairs}").into()))
                .map(|found| found.to_string())
        };
        for start in ["*6", "%3"] {
            assert_eq!(hello(start, "valkey", "8.1.0").as_deref(), Some("7.2.4"));
            assert_eq!(hello(start, "redis", "8.1.0").as_deref(), Some("8.1.0"));
            assert_eq!(hello(start, "else", "?"), None);
        }
        assert_eq!(Version::of_hello(&Reply::error("ERR", "unknown command")), None);
    }
}
