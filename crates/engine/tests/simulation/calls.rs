//! What callers ask for, and what can be said at once about the answer.

use std::fmt;
use std::time::Duration;

use rendis_core::request::RequestBuf;
use rendis_core::session::Sent;
use rendis_core::topology::Standing;
use rendis_engine::engine::Engine;
use rendis_engine::error::{Error, Kind};
use rendis_engine::gather::Executed;
use rendis_testkit::Reply;
use tokio::time::{Instant, timeout};

use crate::faults::{NEAR, Patient};
use crate::oracle::Fate;
use crate::world::World;

/// One request.
#[derive(Clone, Debug)]
pub(crate) enum Ask {
    Get(String),
    Set(String, u64),
    Del(String, u64),
    /// Adds a multiple of the prime in the key's name: so its reply says whose it is.
    Add(usize, u64),
    /// The same, by a script.
    Script(usize, u64),
    /// Sets, and answers with the value before.
    Swap(String, u64),
    MGet(Vec<String>),
    MSet(Vec<(String, u64)>),
    /// Waits on an exclusive connection.
    Wait,
    /// Reads on an exclusive connection, and sets unless somebody else did so meanwhile.
    Watch(String, u64),
    /// Tells whoever listens to this channel; or shard channel.
    Publish(bool, String, u64),
}

/// What a caller was told.
#[derive(Clone, Debug)]
pub(crate) enum Told {
    Answer(Reply),
    Failed(Error),
    /// Nothing: the future was dropped.
    Dropped,
}

impl Ask {
    pub(crate) fn request(&self, world: &World) -> RequestBuf {
        let text = |words: &[&str]| RequestBuf::pack(words.iter().map(|word| word.as_bytes()));
        match self {
            Self::Get(key) => text(&["GET", key]),
            Self::Set(key, token) => text(&["SET", key, &world.value(key, *token)]),
            Self::Del(key, _) => text(&["DEL", key]),
            Self::Add(slot, token) => text(&["INCRBY", &counter(*slot), &amount(*slot, *token)]),
            Self::Script(slot, token) => {
                text(&["EVALSHA", &world.sha, "1", &counter(*slot), &amount(*slot, *token)])
            }
            Self::Swap(key, token) => text(&["GETSET", key, &world.value(key, *token)]),
            Self::MGet(keys) => {
                text(&["MGET"].into_iter().chain(keys.iter().map(String::as_str)).collect::<Vec<_>>())
            }
            Self::MSet(pairs) => {
                let mut words = vec!["MSET".to_owned()];
                for (key, token) in pairs {
                    words.extend([key.clone(), world.value(key, *token)]);
                }
                text(&words.iter().map(String::as_str).collect::<Vec<_>>())
            }
            Self::Wait => text(&["BLPOP", "nobody pushes here", "0.05"]),
            Self::Watch(key, _) => text(&["WATCH", key]),
            Self::Publish(shard, channel, token) => {
                let name = if *shard { "SPUBLISH" } else { "PUBLISH" };
                text(&[name, channel, &world.value(channel, *token)])
            }
        }
    }

    /// What it writes: keys and tokens.
    pub(crate) fn writes(&self) -> Vec<(String, u64)> {
        match self {
            Self::Get(_) | Self::MGet(_) | Self::Wait => Vec::new(),
            Self::Set(key, token)
            | Self::Del(key, token)
            | Self::Swap(key, token)
            | Self::Watch(key, token)
            | Self::Publish(_, key, token) => {
                vec![(key.clone(), *token)]
            }
            Self::Add(slot, token) | Self::Script(slot, token) => vec![(counter(*slot), *token)],
            Self::MSet(pairs) => pairs.clone(),
        }
    }

    /// Whether an engine that may repeat idempotent writes may run it twice.
    pub(crate) fn is_idempotent(&self) -> bool {
        matches!(self, Self::Set(..) | Self::MSet(_))
    }

    /// The key, where there is only one.
    fn key(&self) -> Option<String> {
        match self {
            Self::Get(key) | Self::Set(key, _) | Self::Del(key, _) | Self::Swap(key, _) => Some(key.clone()),
            Self::Publish(_, channel, _) => Some(channel.clone()),
            Self::Add(slot, _) => Some(counter(*slot)),
            Self::Script(..) | Self::MGet(_) | Self::MSet(_) | Self::Wait | Self::Watch(..) => None,
        }
    }

    /// Whether `reply` can be the answer to this and to nothing else.
    pub(crate) fn fits(&self, reply: &Reply) -> bool {
        match (self, reply) {
            (Self::Get(key) | Self::Swap(key, _), reply) => is_value_of(key, reply),
            (Self::Set(..) | Self::MSet(_), reply) => reply.is_ok(),
            (Self::Publish(..), Reply::Integer(count)) => *count >= 0,
            (Self::Del(..), Reply::Integer(count)) => (0..=1).contains(count),
            (Self::Add(slot, _) | Self::Script(slot, _), Reply::Integer(sum)) => {
                *sum > 0 && sum % PRIMES[*slot] == 0
            }
            (Self::MGet(keys), Reply::Array(values)) => {
                keys.len() == values.len()
                    && keys.iter().zip(values).all(|(key, value)| is_value_of(key, value))
            }
            (Self::Wait, reply) => *reply == Reply::Nil,
            (Self::Watch(..), Reply::Array(replies)) => matches!(&replies[..], [set] if set.is_ok()),
            // Somebody else did.
            (Self::Watch(..), reply) => *reply == Reply::Nil,
            _ => false,
        }
    }
}

impl Told {
    /// Whether a shard lied in it.
    pub(crate) fn is_lie(&self) -> bool {
        fn lies(reply: &Reply) -> bool {
            match reply {
                Reply::Simple(text) => text == "LIE",
                Reply::Array(values) => values.iter().any(lies),
                _ => false,
            }
        }
        matches!(self, Self::Answer(reply) if lies(reply))
    }

    /// What is known of the writes of `ask`.
    fn fate(&self, ask: &Ask) -> Fate {
        match self {
            Self::Answer(_) if self.is_lie() => Fate::Unknown,
            // Parts of other shards may have run.
            Self::Answer(Reply::Error(_)) if matches!(ask, Ask::MSet(_)) => Fate::Unknown,
            Self::Answer(Reply::Error(_)) => Fate::NotRun,
            Self::Answer(Reply::Nil) if matches!(ask, Ask::Watch(..)) => Fate::NotRun,
            Self::Answer(_) => Fate::Ran,
            Self::Failed(error) if error.sent() == Sent::No => Fate::NotRun,
            Self::Failed(_) | Self::Dropped => Fate::Unknown,
        }
    }
}

impl fmt::Display for Told {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fn brief(reply: &Reply) -> String {
            match reply {
                Reply::Bulk(value) => String::from_utf8_lossy(value).trim_end_matches('.').to_owned(),
                Reply::Array(values) => {
                    format!("[{}]", values.iter().map(brief).collect::<Vec<_>>().join(", "))
                }
                other => format!("{other:?}"),
            }
        }
        match self {
            Self::Answer(reply) => out.write_str(&brief(reply)),
            Self::Failed(error) => write!(out, "{:?}: {error}", error.kind()),
            Self::Dropped => out.write_str("dropped"),
        }
    }
}

impl World {
    /// Asks, drops the future after `patience`, and judges what it was told.
    pub(crate) async fn ask(&self, ask: Ask, patience: Option<Duration>) -> Told {
        let engine = self.engine();
        let healthy = ask.key().and_then(|key| self.healthy_shard_of(engine, &key));
        let began = self.begin(&ask);
        let request = ask.request(self);
        let told = match timeout(patience.unwrap_or(FOR_EVER), engine.run(&request)).await {
            Ok(Ok(Executed::Reply(reply))) => told(&reply),
            Ok(Ok(other)) => panic!("{ask:?} is no {other:?}"),
            Ok(Err(error)) => Told::Failed(error),
            Err(_) => Told::Dropped,
        };
        self.judge(&ask, began, &told);
        if let Some(host) = healthy
            && host.is_well_since(began)
        {
            self.was_untouched(&ask, began, &told, host.name());
        }
        told
    }

    /// Asks many things in one pipeline.
    pub(crate) async fn ask_together(&self, asks: &[Ask], patience: Option<Duration>) {
        let began: Vec<_> = asks.iter().map(|ask| self.begin(ask)).collect();
        let requests: Vec<_> = asks.iter().map(|ask| ask.request(self)).collect();
        let results = timeout(patience.unwrap_or(FOR_EVER), self.engine().pipeline(&requests)).await;
        let told: Vec<_> = match results {
            Ok(results) => results
                .into_iter()
                .map(|result| match result {
                    Ok(Executed::Reply(reply)) => told(&reply),
                    Ok(other) => panic!("no command of this pipeline is {other:?}"),
                    Err(error) => Told::Failed(error),
                })
                .collect(),
            Err(_) => vec![Told::Dropped; asks.len()],
        };
        if told.len() != asks.len() {
            self.trace.wrong(|| format!("{} results for {} requests", told.len(), asks.len()));
        }
        for ((ask, began), told) in asks.iter().zip(began).zip(&told) {
            self.judge(ask, began, told);
        }
    }

    pub(crate) fn begin(&self, ask: &Ask) -> Instant {
        self.ledger().begin(ask);
        Instant::now()
    }

    pub(crate) fn judge(&self, ask: &Ask, began: Instant, told: &Told) {
        let took = began.elapsed();
        self.trace.note(|| format!("{ask:?} after {took:?}: {told}"));
        let mut ledger = self.ledger();
        ledger.end(ask, told.fate(ask), told);
        drop(ledger);
        if took > self.longest(ask) {
            self.trace.wrong(|| format!("{ask:?} was answered after {took:?}, too late"));
        }
        let right = match told {
            told if told.is_lie() => true,
            Told::Answer(Reply::Error(text)) => {
                ["LOADING ", "NOSCRIPT ", "EXECABORT "].iter().any(|code| text.starts_with(code))
            }
            Told::Answer(reply) => ask.fits(reply),
            Told::Failed(error) => match error.kind() {
                Kind::ShardDown | Kind::Timeout | Kind::Busy => true,
                Kind::Protocol => error.shard().is_some(),
                // The key moved between the reading and the writing.
                Kind::CrossShard => matches!(ask, Ask::Watch(..)),
                _ => false,
            },
            Told::Dropped => true,
        };
        if !right {
            self.trace.wrong(|| format!("{ask:?} was answered {told}"));
        }
        if let (Ask::Get(key), Told::Answer(Reply::Bulk(value))) = (ask, told)
            && key.starts_with('r')
        {
            self.was_fresh(key, token_of(value).unwrap_or_default(), began);
        }
    }

    /// A read of a key with one writer that began then is not older than what the writer knew to be written.
    fn was_fresh(&self, key: &str, token: u64, began: Instant) {
        let Some(stale) = self.ledger().stale(key, token, began) else { return };
        if !self.forgets {
            return;
        }
        let applied: Vec<_> = self.patients.iter().flat_map(|patient| patient.host.applied()).collect();
        let found = stale.found_at(&applied);
        let history = self.history();
        if !found.is_empty() && found.iter().all(|host| history.has_kept(key, host, stale.written)) {
            let newer = stale.newer;
            self.trace.wrong(|| format!("{key} was read as {token} on {found:?} after {newer} was written"));
        }
    }

    /// The host of this key, when nothing was wrong with it for so long that nothing can be left of it.
    fn healthy_shard_of(&self, engine: &Engine, key: &str) -> Option<&Patient> {
        let topology = engine.topology();
        let member = topology.member(topology.locate(key.as_bytes())?)?;
        let patient = self.patient(member.shard.name());
        let long_ago = Instant::now().checked_sub(self.recovery)?;
        // A key that lies elsewhere waits while its own shard is just returning.
        let displaced = topology.displaced(key.as_bytes()).is_some();
        if member.standing != Standing::Serving || displaced || self.narrow {
            return None;
        }
        patient.is_well_since(long_ago).then_some(patient)
    }

    /// A call to a shard with which nothing is wrong is answered as if nothing were wrong anywhere.
    fn was_untouched(&self, ask: &Ask, began: Instant, told: &Told, host: &str) {
        let took = began.elapsed();
        // There and back, and the granularity of timers; where the ring changed, also what a new connection takes.
        let settled =
            began.checked_sub(self.recovery).is_some_and(|then| self.history().is_settled_since(then));
        let limit = if settled { Duration::from_millis(2 * NEAR + 6) } else { self.longest(ask) };
        let answered = matches!(told, Told::Answer(reply) if !matches!(reply, Reply::Error(_)));
        if !answered && !matches!(told, Told::Dropped) || took > limit {
            self.trace.wrong(|| format!("{ask:?} to {host}, which is well: {told} after {took:?}"));
        }
        self.ledger().summary.to_healthy_shards += 1;
    }
}

pub(crate) fn told(reply: &rendis_core::reply::Reply) -> Told {
    Told::Answer(Reply::read(&mut reply.frame()).expect("the engine hands out whole frames"))
}

/// Every value begins with its key.
fn is_value_of(key: &str, reply: &Reply) -> bool {
    match reply {
        Reply::Nil => true,
        Reply::Bulk(value) => value.starts_with(format!("{key}|").as_bytes()),
        _ => false,
    }
}

/// The token in a value.
pub(crate) fn token_of(value: &[u8]) -> Option<u64> {
    String::from_utf8_lossy(value).split('|').nth(1)?.parse().ok()
}

/// The token in an amount that is added to this counter.
pub(crate) fn token_of_amount(key: &str, amount: &[u8]) -> Option<u64> {
    let prime: i64 = key.strip_prefix("n:")?.parse().ok()?;
    u64::try_from(String::from_utf8_lossy(amount).parse::<i64>().ok()? / prime).ok()
}

pub(crate) fn register(caller: usize, index: usize) -> String {
    format!("r{caller}:{index}")
}

pub(crate) fn counter(slot: usize) -> String {
    format!("n:{}", PRIMES[slot])
}

fn amount(slot: usize, token: u64) -> String {
    (PRIMES[slot] * i64::try_from(token).unwrap()).to_string()
}

/// Larger than any sum of tokens, so that no multiple of one that occurs is a multiple of another.
pub(crate) const PRIMES: [i64; 6] =
    [999_999_937, 999_999_929, 999_999_893, 999_999_883, 999_999_797, 999_999_761];

/// Keys that each caller has to itself.
pub(crate) const REGISTERS: usize = 6;

pub(crate) const FOR_EVER: Duration = Duration::from_secs(1000);
