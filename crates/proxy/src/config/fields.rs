//! Which fields there are, and in which tables. Tables are checked against these lists, and the same lists say where a
//! field belongs that stands in a table which has none of its name.

use super::values;

/// The fields of one kind of table.
pub(super) struct Fields {
    /// Where such a table is.
    place: &'static str,
    pub(super) names: &'static [&'static str],
    /// What may be tried here and is said in another way: its name, and how.
    otherwise: &'static [(&'static str, &'static str)],
}

impl Fields {
    const fn new(place: &'static str, names: &'static [&'static str]) -> Self {
        Self { place, names, otherwise: &[] }
    }

    /// What is wrong with a field of another name, and what is allowed.
    pub(super) fn unknown(&self, name: &str) -> String {
        let meant = self.meant(name).unwrap_or_else(|| ";".to_owned());
        format!("unknown field {}{meant} allowed: {}", values::quoted(name), self.names.join(", "))
    }

    /// What was meant by it, where that can be told: a field of another table, or one of these with a slip in it.
    fn meant(&self, name: &str) -> Option<String> {
        let how = self.otherwise.iter().find(|(tried, _)| *tried == name).map(|(_, how)| *how);
        if let Some(how) = how {
            return Some(format!(", which {how};"));
        }
        let table = format!("in [[ring.{name}]]");
        if let Some(fields) = ALL.iter().find(|fields| fields.place == table) {
            return Some(format!(", which belongs {};", fields.place));
        }
        let places = ALL.iter().filter(|fields| fields.names.contains(&name)).map(|fields| fields.place);
        let places: Vec<_> = places.collect();
        if !places.is_empty() {
            return Some(format!(", which belongs {};", places.join(" or ")));
        }
        let near = |known: &&&str| is_near(name.as_bytes(), known.as_bytes(), (known.len() / 3).min(2));
        self.names.iter().find(near).map(|known| format!("; did you mean \"{known}\"?"))
    }
}

/// Whether one word becomes the other by at most so many slips: a letter too many, one that is missing, another one, or
/// two that are exchanged.
fn is_near(one: &[u8], two: &[u8], slips: usize) -> bool {
    let (after_one, after_two) = (one.get(1..).unwrap_or_default(), two.get(1..).unwrap_or_default());
    match (one, two) {
        ([], []) => true,
        ([a, ..], [b, ..]) if a == b => is_near(after_one, after_two, slips),
        _ if slips == 0 => false,
        ([a, b, one @ ..], [c, d, two @ ..]) if a == d && b == c && is_near(one, two, slips - 1) => true,
        _ => [(after_one, two), (one, after_two), (after_one, after_two)]
            .into_iter()
            .any(|(one, two)| is_near(one, two, slips - 1)),
    }
}

const ALL: [&Fields; 11] =
    [&TOP, &ADMIN, &RING, &RING_TLS, &SLOW_EJECTION, &DEADLINES, &RETRIES, &QUEUE, &USER, &SHARD, &SHARD_TLS];

pub(super) const TOP: Fields = Fields::new(
    "at the top of the file, before the first [table]",
    &["threads", "log", "watch", "shutdown_delay", "admin", "ring"],
);

pub(super) const ADMIN: Fields = Fields::new("in [admin]", &["listen"]);

pub(super) const RING: Fields = Fields {
    place: "in [[ring]]",
    names: &[
        "name",
        "listen",
        "tls",
        "placement",
        "on_down",
        "on_return",
        "on_lost",
        "slow_ejection",
        "max_ejected",
        "heartbeat_frequency",
        "heartbeat_timeout",
        "fall",
        "rise",
        "probe",
        "deadlines",
        "retries",
        "queue",
        "drain",
        "max_clients",
        "client_memory",
        "allow",
        "no_auth",
        "user",
        "shard",
    ],
    otherwise: &[("password", "belongs in [[ring.user]] for clients, and in the url of a [[ring.shard]]")],
};

pub(super) const RING_TLS: Fields =
    Fields::new("in tls = { … } of [[ring]]", &["cert", "key", "client_ca", "required"]);

pub(super) const SLOW_EJECTION: Fields =
    Fields::new("in slow_ejection = { … } of [[ring]]", &["factor", "floor", "window", "windows", "rest"]);

pub(super) const DEADLINES: Fields =
    Fields::new("in deadlines = { … } of [[ring]]", &["connect", "reply", "write", "wait"]);

pub(super) const RETRIES: Fields =
    Fields::new("in retries = { … } of [[ring]]", &["attempts", "first", "longest", "idempotent_writes"]);

pub(super) const QUEUE: Fields = Fields::new("in queue = { … } of [[ring]]", &["requests", "bytes"]);

pub(super) const USER: Fields =
    Fields::new("in [[ring.user]]", &["name", "password", "password_file", "password_sha256", "rules"]);

pub(super) const SHARD: Fields = Fields {
    place: "in [[ring.shard]]",
    names: &["name", "url", "weight", "id", "named", "password_file", "tls"],
    otherwise: &[("password", "stands in url, as in \"redis://:password@host\", or in a password_file")],
};

pub(super) const SHARD_TLS: Fields =
    Fields::new("in tls = { … } of [[ring.shard]]", &["ca", "cert", "key", "server_name"]);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_told_from_another_word() {
        let near = |one: &str, two: &str, slips| {
            assert_eq!(
                is_near(one.as_bytes(), two.as_bytes(), slips),
                is_near(two.as_bytes(), one.as_bytes(), slips)
            );
            is_near(one.as_bytes(), two.as_bytes(), slips)
        };
        for one in ["wieght", "weigt", "weights", "weihgt", "heigth", "wait", ""] {
            assert!(!near(one, "weight", 0), "{one}");
        }
        for one in ["wieght", "weigt", "weights", "weighd", "eight"] {
            assert!(near(one, "weight", 1), "{one}");
        }
        assert!(near("hieght", "weight", 2) && !near("hieght", "weight", 1));
        assert!(near("", "ab", 2) && !near("", "ab", 1));
    }
}
