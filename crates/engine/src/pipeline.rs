//! Runs many requests at once: dealt to their shards, sent side by side, answered in the order written.
//!
//! Every shard gets one batch, which is one write, and within it the requests keep the order in which they were
//! written; a command that is split has its parts in the batches at its own place. So for any one key things happen in
//! the order written, as on one server. Between shards there is no order, and nothing is atomic.
//!
//! A command that cannot stand in a batch (it blocks, or walks over shards) is run by itself, when everything before it
//! is answered and before anything after it is sent.

use std::sync::Arc;

use futures_util::future::join_all;
use rendis_core::command::{Blocks, Found, Repeat, Response, Table};
use rendis_core::id::ShardId;
use rendis_core::merge;
use rendis_core::plan::{Allow, Plan, Queued, Ring, plan, same_shard};
use rendis_core::reply::Reply;
use rendis_core::request::{Request, RequestBuf};
use rendis_core::retry::{Decision, Failed as Attempt, Failure as AttemptFailure};
use rendis_core::session::{Replies, Sent};
use rendis_core::topology::Topology;

use crate::engine::{Engine, no_shard, serving};
use crate::error::{Cause, Error, Kind};
use crate::frames::{Frames, Item};
use crate::gather::{Executed, merged, refused};
use crate::scripts::Scripts;
use crate::shard::Shard;

/// How many requests, and about how many bytes, are sent before their replies are waited for. Less than a wire's queue
/// holds, so that a pipeline of any length goes through.
const MOST_REQUESTS: usize = 8192;
const MOST_BYTES: usize = 16 << 20;

/// The results of a pipeline, one for each request in the order written.
pub type Results = Vec<Result<Executed, Error>>;

impl Engine {
    /// Runs requests that need not be together. Each has a result of its own.
    ///
    /// Cancel safe: what was not written when the future is dropped is never sent.
    pub async fn pipeline<I: Item + Send + Sync>(&self, items: &[I]) -> Results {
        let mut results = Vec::with_capacity(items.len());
        while let Some(rest @ [first, ..]) = items.get(results.len()..) {
            let answers = self.pipeline_section(rest).await;
            if answers.is_empty() {
                results.push(self.run(first).await);
            }
            results.extend(answers.into_iter().map(|answer| answer.map(Executed::Reply)));
        }
        results
    }

    /// Runs as many of the first requests as can be sent at once, and says how each of them ended. There are none when
    /// the first has to be run by itself: it blocks, walks over shards, is not known yet, or concerns the caller's own
    /// connection.
    ///
    /// Cancel safe like [`Engine::pipeline`].
    pub async fn pipeline_section<I: Item + Send + Sync>(&self, items: &[I]) -> Vec<Result<Reply, Error>> {
        let topology = self.topology_for_items(items).await;
        let table = self.table().load();
        let mut section = Section::new(topology, items);
        let taken = section.fill(&table, self.scripts(), &self.settings().allow);
        if taken == 0 {
            return Vec::new();
        }
        let mut answers = section.send(self).await;
        if let ([Ok(reply)], [only, ..]) = (answers.as_mut_slice(), items)
            && AttemptFailure::of(reply) == Some(AttemptFailure::NoScript)
            && let Ok(Executed::Reply(healed)) = Box::pin(self.run(only)).await
        {
            // By itself it is told the script, and made again. Among others that would change their order.
            *reply = healed;
        }
        let unsent = |answer: &Result<Reply, Error>| {
            answer.as_ref().is_err_and(|error| error.kind() == Kind::ShardDown && error.sent() == Sent::No)
        };
        if answers.iter().any(unsent) {
            let items = items.get(..taken).unwrap_or_default();
            let table = self.table().load_full();
            Box::pin(self.repair(items, &mut answers, &table)).await;
        }
        answers
    }

    /// Runs requests as one transaction: `MULTI`, all of them, `EXEC`, on the one shard that holds all their keys.
    ///
    ///
    /// # Errors
    /// [`Kind::CrossShard`] or [`Kind::Refused`] when they cannot run together; nothing was sent then. Else as
    /// [`Engine::call`](crate::engine::Engine).
    pub async fn transaction<I: Item>(&self, items: &[I]) -> Result<Executions, Error> {
        let table = self.table().load_full();
        let requests: Vec<RequestBuf> = items.iter().map(Item::pack).collect();
        let wrap = |name: &'static [u8]| RequestBuf::pack([name]);
        let mut frames = Vec::with_capacity(requests.len() + 2);
        frames.push(wrap(b"MULTI"));
        frames.extend(requests.iter().cloned());
        frames.push(wrap(b"EXEC"));
        let mut attempts = 1;
        loop {
            let views = requests.iter().map(|request| (request.view(), table.find(request.view())));
            let shard = shard_of_all(&*self.topology_for(views.clone()).await, views)?;
            let failure = match shard.call(self.manner(&shard), frames.as_slice()).await {
                Ok(replies) => return executed(replies),
                Err(failure) => failure,
            };
            let unsent = failure.sent == Sent::No && failure.cause.kind == Kind::ShardDown;
            let error = shard.error(failure).of_command(b"EXEC");
            if !unsent {
                return Err(error);
            }
            let attempt = Attempt {
                repeat: Repeat::Never,
                failure: AttemptFailure::NotWritten,
                attempts,
                remaining: None,
            };
            let Decision::Again { after } = self.decide(&attempt) else { return Err(error) };
            tokio::time::sleep(after).await;
            attempts += 1;
        }
    }

    /// Whether these requests can run on this shard, as parts of a transaction or beside one.
    ///
    /// # Errors
    /// [`Kind::CrossShard`] or [`Kind::Refused`] when they cannot.
    pub async fn check_shard(&self, requests: &[RequestBuf], shard: &Arc<Shard>) -> Result<(), Error> {
        let table = self.table().load_full();
        let views = requests.iter().map(|request| (request.view(), table.find(request.view())));
        let topology = self.topology_for(views.clone()).await;
        let ring = Ring::new(|key: &[u8]| topology.locate(key), topology.live()).tag(topology.tag());
        match same_shard(views, &ring) {
            Ok(Queued::On(id)) => match topology.member(id) {
                Some(member) if Arc::ptr_eq(&member.shard, shard) => Ok(()),
                _ => {
                    let text = format!(
                        "CROSSSLOT Keys in request don't hash to the same shard: the watched keys are on {}; give keys \
                         that belong together one hash tag",
                        shard.name()
                    );
                    Err(Error::local(Kind::CrossShard, text))
                }
            },
            Ok(Queued::Anywhere) => Ok(()),
            Ok(Queued::NoShard) => Err(no_shard()),
            Err((_, refusal)) => Err(refused(&refusal)),
        }
    }

    /// [`Engine::topology_for`] the requests of a pipeline.
    async fn topology_for_items<I: Item>(&self, items: &[I]) -> Arc<Topology<Shard>> {
        let topology = self.topology();
        if topology.is_whole() {
            return topology;
        }
        let table = self.table().load_full();
        let requests: Vec<RequestBuf> = items.iter().take(MOST_REQUESTS).map(Item::pack).collect();
        self.topology_for(requests.iter().map(|request| (request.view(), table.find(request.view())))).await
    }

    /// Makes those again that were never sent, one by one and planned anew, because the ring may have changed.
    async fn repair<I: Item + Send + Sync>(
        &self,
        items: &[I],
        answers: &mut [Result<Reply, Error>],
        table: &Table,
    ) {
        let unsent = |answer: &Result<Reply, Error>| {
            answer.as_ref().is_err_and(|error| error.kind() == Kind::ShardDown && error.sent() == Sent::No)
        };
        let attempt = Attempt {
            repeat: Repeat::Never,
            failure: AttemptFailure::NotWritten,
            attempts: 1,
            remaining: None,
        };
        let mut waited = false;
        for (item, answer) in items.iter().zip(answers.iter_mut()) {
            let packed = item.pack();
            // A command that was split may have run in part.
            let whole = match table.find(packed.view()) {
                Found::Row(row) => row.first_key().is_some(),
                _ => false,
            };
            if !whole || !unsent(answer) {
                continue;
            }
            let Decision::Again { after } = self.decide(&attempt) else { return };
            if !std::mem::replace(&mut waited, true) {
                tokio::time::sleep(after).await;
            }
            *answer = match self.run(item).await {
                Ok(Executed::Reply(reply)) => Ok(reply),
                Ok(_) => continue,
                Err(error) => Err(error),
            };
        }
    }
}

/// The shard on which all of these requests can run as one transaction.
fn shard_of_all<'r>(
    topology: &Topology<Shard>,
    requests: impl Iterator<Item = (Request<'r>, Found<'r>)>,
) -> Result<Arc<Shard>, Error> {
    let ring = Ring::new(|key: &[u8]| topology.locate(key), topology.live()).tag(topology.tag());
    match same_shard(requests, &ring) {
        Ok(Queued::On(id)) => serving(topology, id),
        Ok(Queued::Anywhere) => serving(topology, *topology.live().first().ok_or_else(no_shard)?),
        Ok(Queued::NoShard) => Err(no_shard()),
        Err((_, refusal)) => Err(refused(&refusal)),
    }
}

/// What a transaction came to.
#[derive(Clone, Debug)]
pub struct Executions {
    /// The reply to `EXEC`: the list of replies, or an error when the server refused to run any of them (then none ran).
    pub reply: Reply,
    /// The first error with which the server refused to take a request in, where it did.
    pub refused: Option<Reply>,
}

/// The replies to `MULTI`, the requests and `EXEC` → those that count.
fn executed(replies: Replies<Reply>) -> Result<Executions, Error> {
    let mut replies = match replies {
        Replies::Many(replies) => replies,
        Replies::One(reply) => vec![reply],
    };
    let reply = replies.pop().ok_or_else(|| Error::local(Kind::Protocol, "a transaction without a reply"))?;
    let refused = replies.into_iter().find(Reply::is_error);
    Ok(Executions { reply, refused })
}

/// As many requests from the front of a pipeline as can be sent at once.
struct Section<'i, I> {
    topology: Arc<Topology<Shard>>,
    items: &'i [I],
    batches: Vec<Batch<'i, I>>,
    /// For each request taken: what becomes of it.
    fates: Vec<Fate>,
}

/// The part of a section that goes to one shard.
struct Batch<'i, I> {
    id: ShardId,
    pieces: Vec<Piece<'i, I>>,
}

enum Piece<'i, I> {
    Whole(&'i I),
    Part(RequestBuf),
}

/// Where the reply to a request comes from.
enum Fate {
    /// The next reply of this batch.
    One(usize),
    /// The next replies of these batches, merged.
    Merged { parts: Vec<(usize, Vec<u32>)>, response: Response },
    /// It is refused, and nothing is sent for it.
    Refused(Error),
}

impl<'i, I: Item> Section<'i, I> {
    fn new(topology: Arc<Topology<Shard>>, items: &'i [I]) -> Self {
        let room = items.len().min(MOST_REQUESTS);
        Self { topology, items, batches: Vec::new(), fates: Vec::with_capacity(room) }
    }

    /// Plans requests until one cannot stand in a batch or enough are taken; says how many were.
    fn fill(&mut self, table: &Table, scripts: &Scripts, allow: &Allow) -> usize {
        let mut bytes = 0;
        for item in self.items {
            if self.fates.len() >= MOST_REQUESTS || bytes >= MOST_BYTES {
                break;
            }
            let Some(fate) = self.plan(item, table, scripts, allow) else { break };
            bytes += item.size();
            self.fates.push(fate);
        }
        self.fates.len()
    }

    /// `None` when the request cannot stand in a batch.
    fn plan(&mut self, item: &'i I, table: &Table, scripts: &Scripts, allow: &Allow) -> Option<Fate> {
        if let Some(row) = Table::one_key(item.argument(0)?)
            && row.takes(item.count())
            && let Some(key) = row.first_key().and_then(|index| item.argument(index))
        {
            return Some(match self.topology.locate(key) {
                Some(id) => Fate::One(self.add(id, Piece::Whole(item))),
                None => Fate::Refused(no_shard()),
            });
        }
        let packed = item.pack();
        let found = table.find(packed.view());
        let topology = Arc::clone(&self.topology);
        let ring =
            Ring::new(|key: &[u8]| topology.locate(key), topology.live()).tag(topology.tag()).allow(allow);
        let waits = match found {
            Found::Row(row) => {
                scripts.notice(row, packed.view());
                row.blocks(packed.view()) != Blocks::No
            }
            Found::Unknown | Found::UnknownSubcommand(_) => return None,
        };
        if waits {
            return None;
        }
        Some(match plan(packed.view(), found, &ring) {
            Plan::One(id) => Fate::One(self.add(id, Piece::Part(packed))),
            Plan::Split { parts, response } => {
                let parts = parts
                    .into_iter()
                    .map(|part| (self.add(part.shard, Piece::Part(part.request)), part.positions));
                Fate::Merged { parts: parts.collect(), response }
            }
            Plan::Every(response) => {
                let live = self.topology.live().to_vec();
                let parts =
                    live.into_iter().map(|id| (self.add(id, Piece::Part(packed.clone())), Vec::new()));
                Fate::Merged { parts: parts.collect(), response }
            }
            Plan::Refused(refusal) => Fate::Refused(refused(&refusal)),
            Plan::NoShard => Fate::Refused(no_shard()),
            _ => return None,
        })
    }

    fn add(&mut self, id: ShardId, piece: Piece<'i, I>) -> usize {
        let index = match self.batches.iter().position(|batch| batch.id == id) {
            Some(index) => index,
            None => {
                self.batches.push(Batch { id, pieces: Vec::new() });
                self.batches.len() - 1
            }
        };
        if let Some(batch) = self.batches.get_mut(index) {
            batch.pieces.push(piece);
        }
        index
    }

    /// Sends all batches side by side, and hands out their replies.
    async fn send(self, engine: &Engine) -> Vec<Result<Reply, Error>> {
        let topology = &self.topology;
        let mut answers: Vec<Answers> =
            join_all(self.batches.iter().map(|batch| batch.send(engine, topology))).await;
        let mut next = |index: usize| match answers.get_mut(index) {
            Some(answers) => answers.next(),
            None => Err(no_shard()),
        };
        let fates = self.fates.into_iter();
        fates
            .map(|fate| match fate {
                Fate::One(index) => next(index),
                Fate::Refused(error) => Err(error),
                Fate::Merged { parts, response } => {
                    let parts =
                        parts.iter().map(|(index, positions)| merge::Part { reply: next(*index), positions });
                    merged(response, parts.collect())
                }
            })
            .collect()
    }
}

/// The replies to one batch, in its order.
enum Answers {
    Replies(std::vec::IntoIter<Reply>),
    Failed(Error),
}

impl Answers {
    fn next(&mut self) -> Result<Reply, Error> {
        match self {
            Self::Replies(replies) => replies.next().ok_or_else(|| {
                Error::new(Cause::new(Kind::Protocol, "too few replies to a batch"), Sent::Maybe, None)
            }),
            Self::Failed(error) => Err(error.clone()),
        }
    }
}

impl<I: Item> Batch<'_, I> {
    async fn send(&self, engine: &Engine, topology: &Topology<Shard>) -> Answers {
        let shard = match serving(topology, self.id) {
            Ok(shard) => shard,
            Err(error) => return Answers::Failed(error),
        };
        match shard.call(engine.manner(&shard), self.pieces.as_slice()).await {
            Ok(Replies::One(reply)) => Answers::Replies(vec![reply].into_iter()),
            Ok(Replies::Many(replies)) => Answers::Replies(replies.into_iter()),
            Err(failure) => Answers::Failed(shard.error(failure)),
        }
    }
}

impl<I: Item> Frames for Piece<'_, I> {
    fn replies(&self) -> u32 {
        1
    }

    fn size(&self) -> usize {
        match self {
            Self::Whole(item) => item.size(),
            Self::Part(request) => request.size(),
        }
    }

    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Whole(item) => item.write(out),
            Self::Part(request) => request.write(out),
        }
    }
}
