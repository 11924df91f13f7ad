//! What servers of several versions say in different words. What rendis refuses by itself it refuses in those of Redis 7.0.

#![allow(dead_code, clippy::unwrap_used, reason = "each test uses its own part, and fails by panicking")]

/// The words of a newer server, and those of Redis 7.0 for the same.
const WORDS: [(&str, &str); 7] = [
    (
        "No permissions to access a key",
        "this user has no permissions to access one of the keys used as arguments",
    ),
    (
        "No permissions to access a channel",
        "this user has no permissions to access one of the channels used as arguments",
    ),
    ("HELLO <proto> AUTH", "HELLO AUTH"),
    ("Unbalanced 'xread' list of streams: for each stream key an ID or '$'", UNBALANCED),
    ("Unbalanced 'xread' list of streams: for each stream key an ID, '+', or '$'", UNBALANCED),
    ("Unbalanced 'xreadgroup' list of streams: for each stream key an ID or '>'", UNBALANCED),
    // Valkey 8 has one sentence for MULTI and for WATCH.
    ("Command not allowed inside a transaction", "WATCH inside MULTI is not allowed"),
];

const UNBALANCED: &str = "Unbalanced XREAD list of streams: for each stream key an ID or '$'";

/// Whether two replies are the same, but for what newer servers say in other words.
pub(crate) fn same(ours: &str, theirs: &str) -> bool {
    let older = |text: &str| WORDS.iter().fold(anyone(text), |text, (new, old)| text.replace(new, old));
    let of_valkey =
        |text: &str| text.replace("MULTI calls can not be nested", "WATCH inside MULTI is not allowed");
    ours == theirs
        || ours == older(theirs)
        || of_valkey(ours) == older(theirs) && theirs.contains("Command not allowed")
}

/// Newer servers name the user who may not.
fn anyone(text: &str) -> String {
    let named = text.split_once("NOPERM User ");
    match named.and_then(|(before, rest)| Some((before, rest.split_once(" has no permissions")?.1))) {
        Some((before, rest)) => format!("{before}NOPERM this user has no permissions{rest}"),
        None => text.to_owned(),
    }
}

/// An answer to `HELLO` of Valkey, which has a name and a version of its own, as that of the Redis it equals.
pub(crate) fn redis(reply: String) -> String {
    match reply.split_once("$6\r\nvalkey\r\n$7\r\nversion\r\n") {
        Some((before, after)) => {
            let rest = after.splitn(3, "\r\n").nth(2).unwrap();
            format!("{before}$5\r\nredis\r\n$7\r\nversion\r\n$5\r\n7.2.4\r\n{rest}")
        }
        None => reply,
    }
}
