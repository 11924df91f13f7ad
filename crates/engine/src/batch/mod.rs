//! A batch: as many requests as can go out at once, dealt to their shards, sent side by side, answered in the order
//! written.
//!
//! Every shard gets its part of the batch in one write, and within it the requests keep the order in which they were
//! written; a command that is split has its parts there at its own place. So for any one key things happen in
//! the order written, as on one server. Between shards there is no order, and nothing is atomic.
//!
//! A command that cannot stand in a batch (it blocks, or walks over shards) ends a batch, and is run by itself: when
//! everything before it is answered, and before anything after it is sent.

mod mend;
mod shard;

use std::borrow::Cow;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use rendis_core::command::{Blocks, Class, Found, Response, Table};
use rendis_core::id::ShardId;
use rendis_core::plan::{Cut, Plan, plan, view};
use rendis_core::reply::Reply;
use rendis_core::request::{Request, RequestBuf};
use rendis_core::topology::Topology;
use tokio::time::Instant;

use crate::attempt::refused;
use crate::engine::{Engine, no_shard};
use crate::error::Error;
use crate::frames::Item;
use crate::gather::merged;
use crate::shard::Shard;

use self::mend::is_not_now;
use self::shard::{Frame, Load, Piece, ShardBatch};

/// As many requests from the front of a pipeline as can be sent at once: sent, and answered in the order written, each
/// as soon as it and those before it are.
///
/// One can be used again and again, and then allocates next to nothing. Dropping or clearing it gives up what is not
/// answered: what was not written is never sent.
#[derive(Default)]
pub struct Batch {
    topology: Option<Arc<Topology<Shard>>>,
    /// For each request: what becomes of it, and its command's place.
    fates: Vec<Fate>,
    commands: Vec<usize>,
    /// How many of them were answered.
    answered: usize,
    /// What is sent, in the order in which it was planned.
    pieces: Vec<Piece>,
    /// What goes to each shard. Those from `used` on were of use earlier, and keep their memory.
    shards: Vec<ShardBatch>,
    used: usize,
    /// Something was made again, after a pause.
    paused: bool,
    /// When it was sent.
    began: Option<Instant>,
}

/// Where the answer to a request comes from.
enum Fate {
    /// The next reply of this shard's part.
    One(usize),
    /// The next replies of these shards' parts, merged.
    Merged(Box<Merged>),
    /// It is refused, and nothing is sent for it.
    Refused(Box<Error>),
}

struct Merged {
    /// For each part, which of the batch's shards it goes to.
    shards: Vec<usize>,
    /// How the request was cut; `None` where every shard gets the whole.
    cut: Option<Cut>,
    /// The request that was cut, where it had to be packed for that.
    packed: Option<RequestBuf>,
    response: Response,
    /// Whether the command only reads.
    read: bool,
    /// What each part was answered, of a read that failed or what a server refused for now.
    parts: Vec<Result<Reply, Error>>,
}

impl Merged {
    /// The reply to the whole. `shards` and `topology` are the batch's.
    fn merge(
        &self,
        parts: Vec<Result<Reply, Error>>,
        shards: &[ShardBatch],
        topology: Option<&Topology<Shard>>,
    ) -> Result<Reply, Error> {
        let order = self.cut.as_ref().map(Cut::order).unwrap_or_default();
        merged(self.response, self.read, parts, order, |part| {
            topology?.member(shards.get(*self.shards.get(part)?)?.id())
        })
    }
}

impl Batch {
    /// Sends as many of the first requests as can go out at once, `most` of them at most, and says how many those are.
    /// There are none when the first has to be run by itself: it blocks, walks over shards, is not known yet, or
    /// concerns the caller's own connection. What the batch held before is given up.
    ///
    /// Cancel safe: before it has ended nothing is sent.
    pub async fn send<I: Item>(
        &mut self,
        engine: &Engine,
        item: impl Fn(usize) -> Option<I>,
        most: usize,
    ) -> usize {
        self.clear();
        let mut most = most.min(MOST_REQUESTS);
        let began = Instant::now();
        self.began = Some(began);
        let mut topology = engine.topology();
        let mut rest = Cow::Borrowed(engine);
        if !topology.is_whole() {
            let (entered, count) = Box::pin(engine.topology_for_items(&item, most)).await;
            most = count;
            topology = match entered {
                Ok(topology) => topology,
                Err(late) => {
                    self.fates.extend((0..most).map(|_| Fate::Refused(Box::new(late.clone()))));
                    self.commands.extend((0..most).filter_map(&item).map(|item| place(&item)));
                    return most;
                }
            };
            rest = engine.since(began);
        }
        let engine = &*rest;
        let table = engine.table().load();
        let mut bytes = 0;
        while self.fates.len() < most && bytes < MOST_BYTES {
            let index = self.fates.len();
            let Some(item) = item(index) else { break };
            // One so large has room behind nothing else: the queue of a wire takes little more at once.
            if index > 0 && item.size() > MOST_BYTES {
                break;
            }
            let Some((command, fate)) = self.plan(index, &item, engine, &topology, &table) else { break };
            bytes += item.size();
            self.fates.push(fate);
            self.commands.push(command);
        }
        let write = |frame: &Frame, out: &mut Vec<u8>| match *frame {
            Frame::Whole(index) => {
                item(index)?.write(out);
                Some(())
            }
            Frame::Part(index, number) => write_part(&self.fates, &item, index, number, out),
        };
        for shard in self.shards.iter_mut().take(self.used) {
            shard.send(engine, &topology, &self.pieces, &write);
        }
        self.topology = Some(topology);
        self.fates.len()
    }

    /// Of each request that was sent its command's [`Table::place`]; [`Table::BUILT_IN`] where it has none.
    #[must_use]
    pub fn commands(&self) -> &[usize] {
        &self.commands
    }

    /// The next answer in the order written; `None` when there are no more. An answer that is an error may have to be
    /// mended ([`Batch::mend`]).
    pub fn poll_next(&mut self, context: &Context<'_>) -> Poll<Option<Result<Reply, Error>>> {
        let answer = match self.fates.get_mut(self.answered) {
            None => return Poll::Ready(None),
            Some(Fate::One(index)) => match self.shards.get_mut(*index) {
                Some(batch) => {
                    ready!(batch.poll_ready(context));
                    batch.pop()
                }
                None => Err(no_shard()),
            },
            Some(Fate::Refused(error)) => Err(Error::clone(error)),
            Some(Fate::Merged(merge)) => {
                let shards = &mut self.shards;
                let mut ready = |index: &usize| {
                    shards.get_mut(*index).is_none_or(|shard| shard.poll_ready(context).is_ready())
                };
                if !merge.shards.iter().all(&mut ready) {
                    return Poll::Pending;
                }
                let mut pop =
                    |index: &usize| shards.get_mut(*index).map_or_else(|| Err(no_shard()), ShardBatch::pop);
                let parts: Vec<_> = merge.shards.iter().map(&mut pop).collect();
                let failed = |part: &Result<Reply, Error>| match part {
                    Ok(reply) => is_not_now(reply),
                    Err(_) => merge.read,
                };
                if parts.iter().any(failed) {
                    merge.parts.clone_from(&parts);
                }
                merge.merge(parts, shards, self.topology.as_deref())
            }
        };
        self.answered += 1;
        Poll::Ready(Some(answer))
    }

    /// The next answer, where it is one shard's reply that was taken from its wire already: what [`Batch::poll_next`] would
    /// give, without a look at any wire. `None` says nothing of whether there are more.
    #[inline]
    pub fn next_taken(&mut self) -> Option<Reply> {
        let Some(Fate::One(index)) = self.fates.get(self.answered) else { return None };
        let reply = self.shards.get_mut(*index)?.pop_taken()?;
        self.answered += 1;
        Some(reply)
    }

    /// The bytes of replies that are here and were not handed out.
    #[must_use]
    pub fn held(&self) -> usize {
        self.shards.iter().map(ShardBatch::held).sum()
    }

    /// Gives up what is not answered, and lets go of all but its memory.
    pub fn clear(&mut self) {
        self.topology = None;
        self.fates.clear();
        self.commands.clear();
        self.pieces.clear();
        self.answered = 0;
        self.paused = false;
        for shard in self.shards.iter_mut().take(self.used) {
            shard.clear();
        }
        self.used = 0;
    }

    /// The place of the request's command, and what becomes of it; `None` when it cannot stand in a batch.
    fn plan<I: Item>(
        &mut self,
        index: usize,
        item: &I,
        engine: &Engine,
        topology: &Topology<Shard>,
        table: &Table,
    ) -> Option<(usize, Fate)> {
        let Some(only) = Table::only_key(|index| item.argument(index), item.count()) else {
            return Some((place(item), self.plan_any(index, item, engine, topology, table)?));
        };
        engine.scripts().notice(only.row, |index| item.argument(index));
        let fate = match topology.locate(only.key) {
            Some(id) => {
                let load = Load::of(only.row, item.size());
                Fate::One(self.add(id, Frame::Whole(index), load))
            }
            None => Fate::Refused(Box::new(no_shard())),
        };
        Some((only.place, fate))
    }

    /// As [`Batch::plan`], for a request of any kind.
    fn plan_any<I: Item>(
        &mut self,
        index: usize,
        item: &I,
        engine: &Engine,
        topology: &Topology<Shard>,
        table: &Table,
    ) -> Option<Fate> {
        let packed = item.pack();
        let found = table.find(packed.view());
        let settings = engine.settings();
        let ring = view(topology).allow(&settings.allow);
        if stands_alone(packed.view(), found) {
            return None;
        }
        let planned = plan(packed.view(), found, &ring);
        if let Found::Row(row) = found
            && planned.runs()
        {
            let request = packed.view();
            engine.scripts().notice(row, |index| request.argument(index));
        }
        let read = matches!(found, Found::Row(row) if row.is_read());
        let load = |size| match found {
            Found::Row(row) => Load::of(row, size),
            _ => Load { size, reads: false, code: true },
        };
        Some(match planned {
            Plan::One(id) => Fate::One(self.add(id, Frame::Whole(index), load(item.size()))),
            Plan::Split { cut, response } => {
                let parts = cut.parts().enumerate();
                let parts = parts.map(|(number, part)| {
                    self.add(part.shard, Frame::Part(index, number), load(part.size(packed.view())))
                });
                let shards = parts.collect();
                let packed = packed.made();
                Fate::Merged(Box::new(Merged {
                    shards,
                    cut: Some(cut),
                    packed,
                    response,
                    read,
                    parts: Vec::new(),
                }))
            }
            // Not over the shared wires: `Engine::kill`.
            Plan::Every(Response::OneSucceeded) => return None,
            // It concerns the shards that are away as well: they are told when they are back.
            Plan::Every(_) if !read && topology.live().len() < topology.members().len() => return None,
            Plan::Every(response) => {
                let parts = topology.live().iter();
                let shards = parts.map(|id| self.add(*id, Frame::Whole(index), load(item.size()))).collect();
                Fate::Merged(Box::new(Merged {
                    shards,
                    cut: None,
                    packed: None,
                    response,
                    read,
                    parts: Vec::new(),
                }))
            }
            Plan::Refused(refusal) => Fate::Refused(Box::new(refused(&refusal))),
            Plan::NoShard => Fate::Refused(Box::new(no_shard())),
            _ => return None,
        })
    }

    /// Adds a frame to what goes to a shard, and says which of `shards` that is.
    fn add(&mut self, id: ShardId, frame: Frame, load: Load) -> usize {
        let known = self.shards.iter().take(self.used).position(|shard| shard.id() == id);
        let index = known.unwrap_or(self.used);
        if known.is_none() {
            self.used += 1;
        }
        match self.shards.get_mut(index) {
            Some(shard) if known.is_some() => shard.add(&mut self.pieces, frame, load),
            Some(shard) => shard.begin(id, &mut self.pieces, frame, load),
            None => {
                let mut shard = ShardBatch::default();
                shard.begin(id, &mut self.pieces, frame, load);
                self.shards.push(shard);
            }
        }
        index
    }
}

/// The place of a request's command.
fn place<I: Item>(item: &I) -> usize {
    item.argument(0).and_then(Table::place).unwrap_or(Table::BUILT_IN)
}

/// Whether a request cannot stand in a batch, whatever the ring is: it blocks, walks over shards, is not known yet, or
/// concerns the caller's own connection. Whoever keeps the state of that is concerned by a refusal too.
fn stands_alone(request: Request<'_>, found: Found<'_>) -> bool {
    let Found::Row(row) = found else { return true };
    let own = matches!(row.class(), Class::Transaction(_) | Class::Subscription(_) | Class::Local(_));
    own || matches!(row.class(), Class::Scan | Class::Random) || found.blocks(request) != Blocks::No
}

/// Writes the part with this number of the request with this index.
fn write_part<I: Item>(
    fates: &[Fate],
    item: impl Fn(usize) -> Option<I>,
    index: usize,
    number: usize,
    out: &mut Vec<u8>,
) -> Option<()> {
    let Some(Fate::Merged(merged)) = fates.get(index) else { return None };
    let part = merged.cut.as_ref()?.part(number)?;
    match &merged.packed {
        Some(packed) => part.write(packed.view(), out),
        None => part.write(item(index)?.pack().view(), out),
    }
    Some(())
}

impl Engine {
    /// [`Engine::topology_for`] the first requests of a pipeline, as far as they can stand in batches, and how many those
    /// are.
    async fn topology_for_items<I: Item>(
        &self,
        item: impl Fn(usize) -> Option<I>,
        most: usize,
    ) -> (Result<Arc<Topology<Shard>>, Error>, usize) {
        let table = self.table().load_full();
        let (mut requests, mut bytes) = (Vec::new(), 0);
        while requests.len() < most && bytes < MOST_BYTES {
            let Some(item) = item(requests.len()) else { break };
            let request = item.pack();
            if stands_alone(request.view(), table.find(request.view())) {
                break;
            }
            bytes += item.size();
            requests.push(request.into_buf());
        }
        let views = requests.iter().map(|request: &RequestBuf| (request.view(), table.find(request.view())));
        (self.topology_for(views).await, requests.len())
    }
}

/// How many requests, and about how many bytes, are sent before their replies are waited for. Less than a wire's queue
/// holds, so that a pipeline of any length goes through.
pub(crate) const MOST_REQUESTS: usize = 8192;
const MOST_BYTES: usize = 16 << 20;
