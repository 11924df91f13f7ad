//! What a shard does before it serves again: it learns the scripts and functions of the ring, and forgets what grew old.

use std::sync::Arc;

use bytes::Bytes;
use rendis_core::health::{Probe, classify};
use rendis_core::reply::Reply;
use rendis_core::request::RequestBuf;
use rendis_core::topology::Topology;

use crate::connection::Connection;
use crate::error::{Cause, Failure, Kind};
use crate::events::Forgot;
use crate::ledger::{Extent, Ledger};
use crate::shard::Shard;

/// Makes the scripts known to it. Best effort where the server refuses: a shard that misses a script is told when it says
/// so.
///
/// # Errors
/// What ended the connection.
pub(crate) async fn teach_scripts(
    connection: &mut Connection,
    lessons: &[RequestBuf],
) -> Result<(), Arc<Cause>> {
    for lesson in lessons {
        connection.send(lesson).await.map_err(|failure| failure.cause)?;
    }
    for _ in lessons {
        answered(connection.receive().await)?;
    }
    in_step(connection)
}

/// What becomes of the functions that a shard has and its teacher has not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Surplus {
    /// Nobody is known to have deleted them.
    Stays,
    /// They may have been deleted elsewhere.
    Goes,
}

/// The functions of a shard, as it hands them out; `None` when its server knows no functions, or does not hand them out.
///
/// # Errors
/// What dialling met, what ended the connection, or that the server is not ready.
pub(crate) async fn functions(teacher: &Shard) -> Result<Option<Vec<u8>>, Arc<Cause>> {
    let mut connection = dial(teacher).await?;
    let dump = ask(&mut connection, &RequestBuf::pack([&b"FUNCTION"[..], b"DUMP"])).await?;
    Ok(dump.as_bulk().map(<[u8]>::to_vec))
}

/// Whether there are functions in what a shard handed out.
pub(crate) const fn has_functions(functions: &[u8]) -> bool {
    functions.len() > NO_FUNCTIONS
}

/// Gives a shard the functions that another has handed out. Best effort where the server refuses, which is logged.
///
/// # Errors
/// What ended the connection, or that the server is not ready.
pub(crate) async fn teach_functions(
    connection: &mut Connection,
    shard: &str,
    functions: &[u8],
    surplus: Surplus,
) -> Result<(), Arc<Cause>> {
    let policy: &[u8] = match surplus {
        Surplus::Stays if !has_functions(functions) => return Ok(()),
        Surplus::Stays => b"REPLACE",
        Surplus::Goes => b"FLUSH",
    };
    let restore = RequestBuf::pack([&b"FUNCTION"[..], b"RESTORE", functions, policy]);
    if let Some(error) = ask(connection, &restore).await?.as_error() {
        tracing::warn!(shard, %error, "the shard refuses the functions of the others, and keeps its own");
    }
    Ok(())
}

/// Has it forget all that it holds.
///
/// # Errors
/// What ended the connection, or what the server said.
pub(crate) async fn flush(connection: &mut Connection) -> Result<(), Arc<Cause>> {
    let reply = ask(connection, &RequestBuf::pack([&b"FLUSHALL"[..], b"ASYNC"])).await?;
    match reply.as_error() {
        Some(error) => Err(Cause::new(Kind::ShardDown, format!("FLUSHALL: {error}"))),
        None => Ok(()),
    }
}

/// A connection for what is here. What it is given up with never arrives: it would delete what was written since.
///
/// # Errors
/// What dialling met.
pub(crate) async fn dial(shard: &Shard) -> Result<Connection, Arc<Cause>> {
    let connection = shard.dialer().dial().await?;
    connection.discard_at_close();
    Ok(connection)
}

/// Deletes keys from a shard that stood in for another.
///
/// # Errors
/// What ended the connection, or why the server does not delete them now. One that never will counts as done, and the log
/// says so.
pub(crate) async fn sweep(shard: &Shard, keys: &[Bytes]) -> Result<(), Arc<Cause>> {
    if keys.is_empty() {
        return Ok(());
    }
    let mut connection = dial(shard).await?;
    for keys in keys.chunks(ROUND) {
        let reply = delete(&mut connection, keys).await?;
        if !does(shard.name(), &reply)? {
            break;
        }
    }
    Ok(())
}

/// A shard that forgets what its page of the ledger says.
pub(crate) struct Forgetting<'l> {
    ledger: &'l Ledger,
    shard: &'l str,
    /// Of a shard that serves: what it is the owner of now is new, and not forgotten.
    serving: Option<&'l Now<'l>>,
    keys: usize,
    everything: bool,
    given_up: bool,
}

/// The topology in force. Looked up in each round: the ring may change between them.
pub(crate) type Now<'l> = dyn Fn() -> Option<Arc<Topology<Shard>>> + Sync + 'l;

impl<'l> Forgetting<'l> {
    pub(crate) const fn new(ledger: &'l Ledger, shard: &'l str, serving: Option<&'l Now<'l>>) -> Self {
        Self { ledger, shard, serving, keys: 0, everything: false, given_up: false }
    }

    /// Rounds beside which writes go on, until the page is short, or as many as should have made it so. One at least for a
    /// shard that serves: whether it forgets at all is to be known before writes wait for it.
    ///
    /// # Errors
    /// What ended the connection, or that the server is not ready. What it did not forget is still in the ledger. Of a
    /// shard that serves, also that nobody knows what it has to forget: it must not be given more keys.
    pub(crate) async fn rounds(&mut self, connection: &mut Connection) -> Result<(), Arc<Cause>> {
        for made in 0..MOST_ROUNDS {
            match self.ledger.extent(self.shard) {
                Extent::Keys(0) => break,
                Extent::Keys(count) if count <= ROUND && (made > 0 || self.serving.is_none()) => break,
                _ => self.round(connection).await?,
            }
        }
        Ok(())
    }

    /// The rest, while the ledger is closed.
    ///
    /// # Errors
    /// As [`Forgetting::rounds`].
    pub(crate) async fn end(&mut self, connection: &mut Connection) -> Result<(), Arc<Cause>> {
        while self.ledger.extent(self.shard) != Extent::Keys(0) {
            self.round(connection).await?;
        }
        Ok(())
    }

    /// What it came to.
    pub(crate) const fn forgot(&self) -> Forgot {
        match (self.given_up, self.everything) {
            (true, _) => Forgot::Nothing,
            (false, true) => Forgot::Everything,
            (false, false) => Forgot::Keys(self.keys),
        }
    }

    async fn round(&mut self, connection: &mut Connection) -> Result<(), Arc<Cause>> {
        match self.ledger.extent(self.shard) {
            Extent::Unknown if self.serving.is_some() => {
                let text = "more keys were written elsewhere than are remembered";
                return Err(Cause::new(Kind::ShardDown, text));
            }
            Extent::Unknown => {
                self.given_up = true;
                self.ledger.discard(self.shard);
            }
            // What it holds of its own keys was written to it since.
            Extent::Everything if self.serving.is_some() => self.ledger.spare(self.shard),
            Extent::Everything => {
                // Only the database of this shard: what lies in the others was not deleted elsewhere.
                let reply = ask(connection, &RequestBuf::pack([&b"FLUSHDB"[..], b"ASYNC"])).await?;
                self.everything = true;
                if self.agrees(&reply)? {
                    self.ledger.forgotten_everything(self.shard);
                }
            }
            Extent::Keys(_) => {
                let mut due = self.ledger.due(self.shard, ROUND);
                if let Some(now) = self.serving.and_then(|now| now()) {
                    let owned = due.split_off(|key| self.owns(&now, key));
                    self.ledger.strike(self.shard, &owned);
                }
                if due.keys.is_empty() {
                    self.ledger.strike(self.shard, &due);
                    return Ok(());
                }
                let reply = delete(connection, &due.keys).await?;
                if self.agrees(&reply)? {
                    self.keys += self.ledger.forgotten(self.shard, &due);
                }
            }
        }
        Ok(())
    }

    /// Whether the shard serves this key.
    fn owns(&self, topology: &Topology<Shard>, key: &[u8]) -> bool {
        topology.owner(key).is_some_and(|owner| owner.shard.name() == self.shard)
    }

    /// A server that never will delete is taken back all the same: it would never return otherwise.
    fn agrees(&mut self, reply: &Reply) -> Result<bool, Arc<Cause>> {
        let does = does(self.shard, reply)?;
        if !does {
            self.given_up = true;
            self.ledger.discard(self.shard);
        }
        Ok(does)
    }
}

/// Whether a server did what it was asked; an error where it does not now, but may later.
fn does(shard: &str, reply: &Reply) -> Result<bool, Arc<Cause>> {
    let Some(error) = reply.as_error() else { return Ok(true) };
    // A server in cluster mode says CROSSSLOT.
    if matches!(error.code, b"NOPERM" | b"CROSSSLOT") || error.to_string().contains("unknown command") {
        tracing::error!(shard, %error, "the shard may not forget keys that were written elsewhere");
        return Ok(false);
    }
    Err(Cause::new(Kind::ShardDown, format!("it does not forget keys that were written elsewhere: {error}")))
}

/// Deletes keys; where the server does not know how to do it in the background, in the foreground.
async fn delete(connection: &mut Connection, keys: &[Bytes]) -> Result<Reply, Arc<Cause>> {
    let request = |name: &'static [u8]| {
        let words: Vec<&[u8]> = std::iter::once(name).chain(keys.iter().map(|key| &**key)).collect();
        RequestBuf::pack(words)
    };
    let reply = ask(connection, &request(b"UNLINK")).await?;
    match reply.as_error() {
        Some(error) if error.to_string().contains("unknown command") => {
            ask(connection, &request(b"DEL")).await
        }
        _ => Ok(reply),
    }
}

async fn ask(connection: &mut Connection, request: &RequestBuf) -> Result<Reply, Arc<Cause>> {
    let reply = answered(connection.ask(request).await)?;
    in_step(connection)?;
    Ok(reply)
}

/// A reply, unless it says that the server is not ready.
fn answered(reply: Result<Reply, Failure>) -> Result<Reply, Arc<Cause>> {
    let reply = reply.map_err(|failure| failure.cause)?;
    match classify(&reply) {
        Probe::Loading | Probe::Busy => Err(Cause::new(Kind::ShardDown, "the server is not ready")),
        Probe::Good | Probe::Failed | Probe::Unasked => Ok(reply),
    }
}

/// One reply more than was asked for would be taken for the next.
fn in_step(connection: &Connection) -> Result<(), Arc<Cause>> {
    if connection.is_clean() {
        return Ok(());
    }
    Err(Cause::new(Kind::Protocol, "the server sends replies that nobody asked for"))
}

/// How many keys are deleted by one command.
const ROUND: usize = 512;

/// How many rounds are made, at most, before writes are stopped for the last one: three million keys.
const MOST_ROUNDS: usize = 6_000;

/// What a server without functions hands out is not longer.
const NO_FUNCTIONS: usize = 16;

#[cfg(test)]
mod tests {
    use rendis_core::placement::Spec;
    use rendis_core::topology::{Member, Standing};

    use super::*;
    use crate::settings::{Settings, ShardSettings};
    use crate::shard::Past;
    use crate::stream::Stream;
    use crate::tls::SystemRoots;

    fn topology(names: &[&str]) -> Arc<Topology<Shard>> {
        let members = names.iter().map(|name| {
            let settings = ShardSettings::new(*name, "redis://localhost:1").unwrap();
            let node = settings.node();
            let shard = Shard::start(
                settings,
                &Settings::default(),
                &SystemRoots::default(),
                Arc::default(),
                Past::default(),
            );
            Member { node, shard: Arc::new(shard.unwrap()), standing: Standing::Serving }
        });
        Arc::new(Topology::build(Spec::default(), members.collect()).unwrap())
    }

    fn connection() -> (Connection, tokio::io::DuplexStream) {
        let (ours, theirs) = tokio::io::duplex(1 << 20);
        let second = std::time::Duration::from_secs(1);
        (Connection::new(Stream::Other(Box::new(ours)), second, second), theirs)
    }

    #[tokio::test]
    async fn nothing_is_flushed_from_a_shard_that_serves() {
        let ledger = Ledger::new();
        let _ = ledger.note_everything(ledger.epoch(), &["serves"]);
        let serving = topology(&["serves"]);
        // Whatever it were asked, it would not answer.
        let (mut connection, _) = connection();
        let now = || Some(Arc::clone(&serving));
        let mut forgetting = Forgetting::new(&ledger, "serves", Some(&now));
        forgetting.end(&mut connection).await.unwrap();
        assert_eq!(ledger.extent("serves"), Extent::Keys(0));
    }

    #[tokio::test]
    async fn who_serves_and_may_hold_any_old_value_has_not_forgotten() {
        let ledger = Ledger::new();
        ledger.put_back("serves", &Arc::new(vec![Bytes::from(vec![b'k'; Ledger::MOST_BYTES])]));
        let now = || None;
        for serving in [true, false] {
            let (mut connection, _) = connection();
            let now: &Now<'_> = &now;
            let mut forgetting = Forgetting::new(&ledger, "serves", serving.then_some(now));
            assert_eq!(forgetting.end(&mut connection).await.is_err(), serving);
            assert_eq!(forgetting.forgot() == Forgot::Nothing, !serving);
        }
    }

    #[tokio::test]
    async fn what_became_another_shards_between_two_rounds_is_forgotten() {
        let ledger = Ledger::new();
        let keys: Vec<Vec<u8>> = (0..2 * ROUND).map(|number| format!("key{number}").into_bytes()).collect();
        let _ = ledger.note(ledger.epoch(), &["serves"], keys.iter().map(|key| &**key));
        let (alone, without) = (topology(&["serves"]), topology(&["other"]));
        let looks = std::sync::atomic::AtomicUsize::new(0);
        let now = || match looks.fetch_add(1, std::sync::atomic::Ordering::Relaxed) {
            0 => Some(Arc::clone(&alone)),
            _ => Some(Arc::clone(&without)),
        };
        let (mut connection, mut server) = connection();
        tokio::io::AsyncWriteExt::write_all(&mut server, b":512\r\n").await.unwrap();
        let mut forgetting = Forgetting::new(&ledger, "serves", Some(&now));
        forgetting.end(&mut connection).await.unwrap();
        assert_eq!(forgetting.forgot(), Forgot::Keys(ROUND));
    }

    #[tokio::test]
    async fn a_reply_too_many_is_not_taken_for_that_of_a_deletion() {
        let (mut connection, mut server) = connection();
        tokio::io::AsyncWriteExt::write_all(&mut server, b"$1\r\na\r\n:1\r\n").await.unwrap();
        let lesson = RequestBuf::pack([&b"SCRIPT"[..], b"LOAD", b"return 1"]);
        let cause = teach_scripts(&mut connection, &[lesson]).await.unwrap_err();
        assert_eq!(cause.kind, Kind::Protocol);
    }
}
