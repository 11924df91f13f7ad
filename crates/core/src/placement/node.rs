//! What placement has to know of a shard, and the bytes by which each program identifies it.

use std::fmt::Write as _;

/// A shard as the configuration lists it. Its [`ShardId`](crate::id::ShardId) is its position in that list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// The shard's name: what go-redis hashes, and the explicit server name of twemproxy.
    pub name: String,
    /// Where it listens: what the presets of programs that hash addresses derive the identity from.
    pub address: NodeAddress,
    /// What is hashed instead of the preset's own choice. Refused where only the position counts.
    pub id: Option<String>,
    /// Its share, relative to the others; `None` is the preset's default (1, or 100 for predis). Refused
    /// where the preset knows no weights.
    pub weight: Option<u32>,
    /// Jedis only: the shard has a name there (`JedisShardInfo(host, name)`), and the name is hashed instead
    /// of the position. Refused elsewhere.
    pub named: bool,
}

/// The parts of a shard's URL that some program hashes. Credentials are none of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NodeAddress {
    /// `redis://host:port/db`, or `rediss://` with TLS.
    Tcp {
        /// Whether the scheme is `rediss`.
        tls: bool,
        /// A name or an address; IPv6 without brackets.
        host: String,
        /// The port.
        port: u16,
        /// The database number.
        db: u32,
    },
    /// `unix:///path`.
    Unix {
        /// The path of the socket.
        path: String,
        /// The database number.
        db: u32,
    },
}

impl Node {
    /// A shard with a name and an address, without an explicit identity or weight.
    #[must_use]
    pub fn new(name: impl Into<String>, address: NodeAddress) -> Self {
        Self { name: name.into(), address, id: None, weight: None, named: false }
    }

    /// Sets what is hashed for this shard.
    #[must_use]
    pub fn with_id(mut self, id: impl Into<String>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// Sets the weight.
    #[must_use]
    pub const fn with_weight(mut self, weight: u32) -> Self {
        self.weight = Some(weight);
        self
    }

    /// Says that the shard has a name in Jedis.
    #[must_use]
    pub const fn named(mut self) -> Self {
        self.named = true;
        self
    }
}

impl NodeAddress {
    /// A TCP address without TLS, database 0. Brackets around an IPv6 address are taken off.
    #[must_use]
    pub fn tcp(host: &str, port: u16) -> Self {
        let host = host.strip_prefix('[').and_then(|inner| inner.strip_suffix(']')).unwrap_or(host);
        Self::Tcp { tls: false, host: host.to_owned(), port, db: 0 }
    }

    /// A unix socket, database 0.
    #[must_use]
    pub fn unix(path: impl Into<String>) -> Self {
        Self::Unix { path: path.into(), db: 0 }
    }
}

/// From what a program makes the bytes that it hashes for a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Identity {
    /// Nothing but the position in the list; an `id` is refused.
    Position,
    /// The shard's name.
    Name,
    /// Jedis: the name of a named shard, else the position.
    NameIfNamed,
    /// `host:port`, IPv6 as `::1:6379`; the path of a socket (predis).
    HostPort,
    /// `host:port`, IPv6 as `[::1]:6379`; the path of a socket (Envoy, phpredis).
    HostPortBracketed,
    /// redis-rb up to 4: `redis://host:port/db`, the database always written.
    Url4,
    /// redis-rb from 5: redis-client's `server_url`, the database only when it is not 0.
    Url5,
}

impl Identity {
    /// What is hashed for `node`, or `None` where its position is.
    pub(super) fn of(self, node: &Node) -> Option<String> {
        if self == Self::Position {
            return None;
        }
        if let Some(id) = &node.id {
            return Some(id.clone());
        }
        match self {
            Self::Position => None,
            Self::Name => Some(node.name.clone()),
            Self::NameIfNamed => node.named.then(|| node.name.clone()),
            Self::HostPort => Some(host_port(&node.address, false)),
            Self::HostPortBracketed => Some(host_port(&node.address, true)),
            Self::Url4 => Some(url4(&node.address)),
            Self::Url5 => Some(url5(&node.address)),
        }
    }
}

fn host_port(address: &NodeAddress, bracketed: bool) -> String {
    match address {
        NodeAddress::Tcp { host, port, .. } if bracketed && host.contains(':') => format!("[{host}]:{port}"),
        NodeAddress::Tcp { host, port, .. } => format!("{host}:{port}"),
        NodeAddress::Unix { path, .. } => path.clone(),
    }
}

const fn scheme(tls: bool) -> &'static str {
    if tls { "rediss" } else { "redis" }
}

fn url4(address: &NodeAddress) -> String {
    match address {
        NodeAddress::Tcp { tls, host, port, db } => format!("{}://{host}:{port}/{db}", scheme(*tls)),
        NodeAddress::Unix { path, db } => format!("unix://{path}/{db}"),
    }
}

fn url5(address: &NodeAddress) -> String {
    let (mut url, db, mark) = match address {
        NodeAddress::Tcp { tls, db, .. } => {
            (format!("{}://{}", scheme(*tls), host_port(address, true)), *db, "/")
        }
        NodeAddress::Unix { path, db } => (format!("unix://{path}"), *db, "?db="),
    };
    if db != 0 {
        let _ = write!(url, "{mark}{db}");
    }
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identities_are_derived_as_each_program_does() {
        let plain = Node::new("a", NodeAddress::tcp("10.0.0.1", 6380));
        let six = Node::new("a", NodeAddress::tcp("[::1]", 6379));
        let socket = Node::new("a", NodeAddress::unix("/run/r.sock"));
        let deep = Node::new("a", NodeAddress::Tcp { tls: true, host: "h".into(), port: 1, db: 3 });
        let deep_socket = Node::new("a", NodeAddress::Unix { path: "/s".into(), db: 3 });
        let of = |identity: Identity| {
            [&plain, &six, &socket, &deep, &deep_socket].map(|node| identity.of(node).expect("an identity"))
        };
        assert_eq!(of(Identity::Name), ["a"; 5]);
        assert_eq!(of(Identity::HostPort), ["10.0.0.1:6380", "::1:6379", "/run/r.sock", "h:1", "/s"]);
        assert_eq!(
            of(Identity::HostPortBracketed),
            ["10.0.0.1:6380", "[::1]:6379", "/run/r.sock", "h:1", "/s"]
        );
        assert_eq!(
            of(Identity::Url4),
            [
                "redis://10.0.0.1:6380/0",
                "redis://::1:6379/0",
                "unix:///run/r.sock/0",
                "rediss://h:1/3",
                "unix:///s/3"
            ]
        );
        assert_eq!(
            of(Identity::Url5),
            [
                "redis://10.0.0.1:6380",
                "redis://[::1]:6379",
                "unix:///run/r.sock",
                "rediss://h:1/3",
                "unix:///s?db=3"
            ]
        );
    }

    #[test]
    fn an_explicit_id_wins_where_something_is_hashed() {
        let node = Node::new("a", NodeAddress::tcp("h", 1)).with_id("x");
        assert_eq!(Identity::Position.of(&node), None);
        for identity in
            [Identity::Name, Identity::NameIfNamed, Identity::HostPort, Identity::Url4, Identity::Url5]
        {
            assert_eq!(identity.of(&node).as_deref(), Some("x"));
        }
    }

    #[test]
    fn a_jedis_shard_is_its_position_unless_it_is_named() {
        let node = Node::new("a", NodeAddress::tcp("h", 1));
        assert_eq!(Identity::NameIfNamed.of(&node), None);
        assert_eq!(Identity::NameIfNamed.of(&node.named()).as_deref(), Some("a"));
    }
}
