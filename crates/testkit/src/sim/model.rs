//! What a model shard holds and answers: a small part of Redis, written from its documentation.

use std::collections::{BTreeMap, BTreeSet};

use sha1::{Digest, Sha1};

/// The data of one model shard.
#[derive(Clone, Debug, Default)]
pub(super) struct Store {
    values: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Counts the changes of each key, for those who watch it.
    changes: BTreeMap<Vec<u8>, u64>,
    scripts: BTreeSet<String>,
    functions: BTreeSet<Vec<u8>>,
}

/// What one connection said before.
#[derive(Debug, Default)]
pub(super) struct Manner {
    resp3: bool,
    /// The requests since `MULTI`.
    queued: Option<Vec<Words>>,
    /// One of them was refused.
    refused: bool,
    /// The keys that are watched, and how often they had been changed then.
    watched: Vec<(Vec<u8>, u64)>,
}

impl Manner {
    pub(super) const fn speaks_resp3(&self) -> bool {
        self.resp3
    }

    /// A request was refused: a transaction under way will not run.
    pub(super) fn refuse(&mut self) {
        self.refused = true;
    }
}

/// The words of a request.
pub(super) type Words = Vec<Vec<u8>>;

/// The command's name in capitals.
pub(super) fn name(words: &[Vec<u8>]) -> String {
    words.first().map(|name| String::from_utf8_lossy(name).to_uppercase()).unwrap_or_default()
}

/// Whether clients introduce themselves with it.
pub(super) fn is_handshake(name: &str) -> bool {
    matches!(name, "HELLO" | "CLIENT" | "AUTH" | "SELECT")
}

/// Whether a server answers this also while it reads its data.
pub(super) fn while_loading(name: &str) -> bool {
    is_handshake(name) || matches!(name, "COMMAND" | "MULTI" | "EXEC")
}

impl Store {
    /// Runs one request of a connection. `applied` hears of every command that changed something, or would have.
    pub(super) fn answer(
        &mut self,
        manner: &mut Manner,
        words: &[Vec<u8>],
        applied: &mut dyn FnMut(&[Vec<u8>]),
    ) -> Vec<u8> {
        match name(words).as_str() {
            "HELLO" => {
                manner.resp3 = words.get(1).is_some_and(|version| version == b"3");
                let kind = if manner.resp3 { "%1" } else { "*2" };
                format!("{kind}\r\n$6\r\nserver\r\n$5\r\nredis\r\n").into_bytes()
            }
            "MULTI" => {
                manner.queued = Some(Vec::new());
                manner.refused = false;
                b"+OK\r\n".to_vec()
            }
            "WATCH" => {
                let keys = words.iter().skip(1);
                manner.watched.extend(keys.map(|key| (key.clone(), self.changes(key))));
                b"+OK\r\n".to_vec()
            }
            "UNWATCH" => {
                manner.watched.clear();
                b"+OK\r\n".to_vec()
            }
            "EXEC" => match (manner.queued.take(), std::mem::take(&mut manner.watched)) {
                (Some(_), _) if manner.refused => {
                    b"-EXECABORT Transaction discarded because of previous errors.\r\n".to_vec()
                }
                (Some(_), watched) if watched.iter().any(|(key, then)| self.changes(key) != *then) => {
                    if manner.resp3 {
                        b"_\r\n".to_vec()
                    } else {
                        b"*-1\r\n".to_vec()
                    }
                }
                (Some(queued), _) => {
                    let mut reply = format!("*{}\r\n", queued.len()).into_bytes();
                    for words in queued {
                        reply.extend(self.run(manner.resp3, &words, applied));
                    }
                    reply
                }
                (None, _) => b"-ERR EXEC without MULTI\r\n".to_vec(),
            },
            _ => match &mut manner.queued {
                Some(queued) => {
                    queued.push(words.to_vec());
                    b"+QUEUED\r\n".to_vec()
                }
                None => self.run(manner.resp3, words, applied),
            },
        }
    }

    fn run(&mut self, resp3: bool, words: &[Vec<u8>], applied: &mut dyn FnMut(&[Vec<u8>])) -> Vec<u8> {
        let arguments = words.get(1..).unwrap_or_default();
        match (name(words).as_str(), arguments) {
            ("PING", [text]) => bulk(resp3, Some(text)),
            ("PING", _) => b"+PONG\r\n".to_vec(),
            ("CLIENT" | "SELECT" | "AUTH", _) => b"+OK\r\n".to_vec(),
            ("COMMAND", _) => b"*1\r\n*-1\r\n".to_vec(),
            ("GET", [key]) => bulk(resp3, self.values.get(key)),
            ("MGET", keys) => {
                let mut reply = format!("*{}\r\n", keys.len()).into_bytes();
                keys.iter().for_each(|key| reply.extend(bulk(resp3, self.values.get(key))));
                reply
            }
            ("EXISTS", keys) => number(keys.iter().filter(|key| self.values.contains_key(*key)).count()),
            ("DBSIZE", []) => number(self.values.len()),
            ("SET", [key, value, ..]) => {
                applied(words);
                self.set(key, value.clone());
                b"+OK\r\n".to_vec()
            }
            ("GETSET", [key, value]) => {
                applied(words);
                bulk(resp3, self.set(key, value.clone()).as_ref())
            }
            ("MSET", pairs) => {
                applied(words);
                for pair in pairs.chunks_exact(2) {
                    self.set(&pair[0], pair[1].clone());
                }
                b"+OK\r\n".to_vec()
            }
            ("DEL" | "UNLINK", keys) => {
                applied(words);
                number(keys.iter().filter(|key| self.remove(key)).count())
            }
            ("INCR", [key]) => self.add(key, b"1", words, applied),
            ("INCRBY", [key, by]) => self.add(key, by, words, applied),
            ("FLUSHALL" | "FLUSHDB", _) => {
                applied(words);
                let keys: Vec<Vec<u8>> = self.values.keys().cloned().collect();
                for key in keys {
                    self.remove(&key);
                }
                b"+OK\r\n".to_vec()
            }
            ("SCRIPT", [_, body]) => {
                let sha = sha(body);
                self.scripts.insert(sha.clone());
                format!("$40\r\n{sha}\r\n").into_bytes()
            }
            // A library is its text, and a dump the texts in lines.
            ("FUNCTION", [what, rest @ ..]) => match (&*what.to_ascii_uppercase(), rest) {
                (b"LOAD", [.., library]) => {
                    self.functions.insert(library.clone());
                    bulk(resp3, Some(library))
                }
                (b"FLUSH", []) => {
                    self.functions.clear();
                    b"+OK\r\n".to_vec()
                }
                (b"DUMP", []) => {
                    let libraries: Vec<Vec<u8>> = self.functions.iter().cloned().collect();
                    bulk(resp3, Some(&libraries.join(&b'\n')))
                }
                (b"RESTORE", [dump, policy]) => {
                    if policy == b"FLUSH" {
                        self.functions.clear();
                    }
                    let libraries = dump.split(|byte| *byte == b'\n').filter(|library| !library.is_empty());
                    self.functions.extend(libraries.map(<[u8]>::to_vec));
                    b"+OK\r\n".to_vec()
                }
                _ => b"-ERR unknown subcommand\r\n".to_vec(),
            },
            // Every script is taken for one that adds its argument to its key.
            ("EVALSHA", [sha, _, key, by]) => {
                if self.scripts.contains(&String::from_utf8_lossy(sha).to_lowercase()) {
                    self.add(key, by, words, applied)
                } else {
                    b"-NOSCRIPT No matching script. Please use EVAL.\r\n".to_vec()
                }
            }
            // Nobody pushes to a list here.
            ("BLPOP", _) => bulk(resp3, None),
            (other, _) => format!("-ERR unknown command '{other}'\r\n").into_bytes(),
        }
    }

    /// The libraries of functions that it has.
    pub(super) fn functions(&self) -> Vec<String> {
        self.functions.iter().map(|library| String::from_utf8_lossy(library).into_owned()).collect()
    }

    /// How often this key was changed.
    fn changes(&self, key: &[u8]) -> u64 {
        self.changes.get(key).copied().unwrap_or_default()
    }

    /// Returns the value before.
    fn set(&mut self, key: &[u8], value: Vec<u8>) -> Option<Vec<u8>> {
        *self.changes.entry(key.to_vec()).or_default() += 1;
        self.values.insert(key.to_vec(), value)
    }

    /// Whether there was something.
    fn remove(&mut self, key: &[u8]) -> bool {
        let removed = self.values.remove(key).is_some();
        if removed {
            *self.changes.entry(key.to_vec()).or_default() += 1;
        }
        removed
    }

    fn add(
        &mut self,
        key: &[u8],
        by: &[u8],
        words: &[Vec<u8>],
        applied: &mut dyn FnMut(&[Vec<u8>]),
    ) -> Vec<u8> {
        let parse = |text: &[u8]| String::from_utf8_lossy(text).parse::<i64>().ok();
        let old = self.values.get(key).map_or(Some(0), |old| parse(old));
        let Some(sum) = old.zip(parse(by)).and_then(|(old, by)| old.checked_add(by)) else {
            return b"-ERR value is not an integer or out of range\r\n".to_vec();
        };
        applied(words);
        self.set(key, sum.to_string().into_bytes());
        format!(":{sum}\r\n").into_bytes()
    }
}

fn bulk(resp3: bool, value: Option<&Vec<u8>>) -> Vec<u8> {
    match value {
        Some(value) => [format!("${}\r\n", value.len()).as_bytes(), value, b"\r\n"].concat(),
        None if resp3 => b"_\r\n".to_vec(),
        None => b"$-1\r\n".to_vec(),
    }
}

fn number(number: usize) -> Vec<u8> {
    format!(":{number}\r\n").into_bytes()
}

fn sha(body: &[u8]) -> String {
    Sha1::digest(body).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The first whole request of `bytes`, taken out of them. Only as clients write them: arrays of bulk strings.
///
/// # Panics
/// When it is something else: whoever sent it is at fault.
pub(super) fn take_request(bytes: &mut Vec<u8>) -> Option<Words> {
    let mut at = 0;
    let mut header = |kind: u8| {
        let rest = &bytes[at..];
        let end = rest.windows(2).position(|two| two == b"\r\n")?;
        let text = String::from_utf8_lossy(&rest[..end]);
        assert_eq!(rest[0], kind, "a request that is none: {}", bytes.escape_ascii());
        let number: usize = text[1..].parse().expect("a request has counts that are numbers");
        let start = at + end + 2;
        at = start;
        if kind == b'$' {
            at += number + 2;
            return bytes.get(start..at).map(|word| (number, word[..number].to_vec()));
        }
        Some((number, Vec::new()))
    };
    let (count, _) = header(b'*')?;
    let words = (0..count).map(|_| header(b'$').map(|(_, word)| word)).collect::<Option<Words>>()?;
    bytes.drain(..at);
    Some(words)
}
