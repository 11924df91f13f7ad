//! Runs a plan: sends its parts side by side, makes failed ones again where that is safe, and merges the replies.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::future::join_all;
use rendis_core::command::{
    Blocks, Found, LocalCommand, Repeat, Response, Row, Subscription, Table, Transaction,
};
use rendis_core::id::ShardId;
use rendis_core::merge::{self, MergeError, Scanned, merge};
use rendis_core::plan::{Part, Plan, Queued, Refusal, RefusalKind, Ring, ScanStep, plan, same_shard};
use rendis_core::reply::Reply;
use rendis_core::request::{Request, RequestBuf};
use rendis_core::retry::{Decision, Failed as Attempt, Failure as AttemptFailure};
use rendis_core::session::{Failed, Replies, Sent};
use rendis_core::topology::{Member, Standing, Topology};
use tokio::time::{Instant, timeout};

use crate::connection::Failure;
use crate::engine::{Engine, no_shard, serving};
use crate::error::{Cause, Error, Kind};
use crate::frames::{Frames, Item};
use crate::settings::{OnDown, Protocol};
use crate::shard::{Manner, OwnedCall, Shard};

/// What became of a request.
#[derive(Debug)]
pub enum Executed {
    /// It ran, and this is its reply; error replies of servers are replies.
    Reply(Reply),
    /// It concerns the caller's own connection state: the caller answers it.
    Local(LocalCommand),
    /// It subscribes or unsubscribes.
    Subscription(Subscription),
    /// It begins, ends or guards a transaction.
    Transaction {
        /// Which of the commands.
        command: Transaction,
        /// The shard of the keys of a guard.
        shard: Option<ShardId>,
    },
}

impl Engine {
    /// Runs one request: at once on the shard of its only key, where the table says that it has one, else planned.
    ///
    /// # Errors
    /// As [`Engine::execute`].
    pub fn run<'a, I: Item + Send + Sync + 'a>(&'a self, item: I) -> Run<'a, I> {
        Run { engine: self, item: Some(item), stage: Stage::Start }
    }

    /// Whether [`Engine::run`] takes the short way with this request.
    #[must_use]
    pub fn has_one_key<I: Item>(&self, item: I) -> bool {
        item.argument(0).and_then(Table::one_key).is_some_and(|row| row.takes(item.count()))
    }

    /// The rare end of a [`Run`] on one shard: an error reply, or no reply.
    async fn run_again<I: Item>(
        &self,
        began: Instant,
        outcome: Result<Replies<Reply>, Failure>,
        shard: Arc<Shard>,
        item: I,
    ) -> Result<Executed, Error> {
        let item = &item;
        let name = item.argument(0).unwrap_or_default();
        let request = item.pack();
        let table = self.table().load_full();
        let found = Table::one_key(name).map_or(Found::Unknown, Found::Row);
        let repeat = match found {
            Found::Row(row) => row.repeat(request.view()),
            _ => Repeat::Never,
        };
        let route = Route::Planned { request: request.view(), found, table: &table };
        let send = |shard: Arc<Shard>, manner| async move { shard.call(manner, item).await };
        let settled = self.settle(began, outcome, shard, &route, repeat, send).await;
        settled
            .and_then(single)
            .or_else(|error| self.missed(request.view(), found, error))
            .map(Executed::Reply)
            .map_err(|error| error.of_command(name))
    }

    /// Sends frames to a shard by its number and waits for their replies, again where `repeat` and the outcome allow: for
    /// what belongs to a shard and not to a key.
    ///
    /// Cancel safe: a dropped call that was not written is never sent.
    ///
    /// # Errors
    /// [`Kind::ShardDown`], [`Kind::Timeout`], [`Kind::Busy`] and the like, with the shard and whether it was sent.
    /// Error replies of the server are replies.
    pub async fn call_shard<F: Frames + ?Sized>(
        &self,
        id: ShardId,
        frames: &F,
        repeat: Repeat,
    ) -> Result<Replies<Reply>, Error> {
        let route = Route::Shard(id);
        let shard = self.shard(id)?;
        let began = Instant::now();
        let outcome = shard.call(self.manner(&shard), frames).await;
        let send = |shard: Arc<Shard>, manner| async move { shard.call(manner, frames).await };
        Box::pin(self.settle(began, outcome, shard, &route, repeat, send)).await
    }

    /// [`Engine::call_shard`] for frames of which `requests` are what says where they have to run, together.
    pub(crate) async fn call_together(
        &self,
        requests: &[RequestBuf],
        frames: &[RequestBuf],
        table: &Table,
    ) -> Result<Replies<Reply>, Error> {
        let route = Route::Together { requests, table };
        let began = Instant::now();
        let shard = self.route(&route).await?;
        let send = |shard: Arc<Shard>, manner| async move { shard.call(manner, frames).await };
        let outcome = send(Arc::clone(&shard), self.manner_since(began, &shard)).await;
        self.settle(began, outcome, shard, &route, Repeat::Never, send).await
    }

    /// Plans a request and runs the plan.
    ///
    /// # Errors
    /// As [`Engine::call_shard`]; [`Kind::CrossShard`] and [`Kind::Refused`] for what a ring does not run.
    pub async fn execute(&self, request: Request<'_>) -> Result<Executed, Error> {
        let table = self.table().load_full();
        if matches!(table.find(request), Found::Unknown) && self.learn(request.name()).await? {
            return self.execute_known(request, &self.table().load_full()).await;
        }
        self.execute_known(request, &table).await
    }

    async fn execute_known(&self, request: Request<'_>, table: &Table) -> Result<Executed, Error> {
        let (found, began) = (table.find(request), Instant::now());
        let topology = self.topology_for([(request, found)].into_iter()).await?;
        let rest = self.since(began);
        let engine = rest.as_ref().unwrap_or(self);
        let settings = self.settings();
        let planned = {
            let locate = |key: &[u8]| topology.locate(key);
            plan(
                request,
                found,
                &Ring::new(locate, topology.live())
                    .tag(topology.tag())
                    .entropy(fastrand::u64(..))
                    .allow(&settings.allow),
            )
        };
        let repeat = match found {
            Found::Row(row) => {
                self.scripts().notice(row, request);
                row.repeat(request)
            }
            _ => Repeat::Never,
        };
        let reply = match planned {
            Plan::One(id) => engine.one(serving(&topology, id), request, found, repeat, table).await?,
            Plan::Split { parts, response } => {
                engine.split(&topology, &parts, response, repeat, table).await?
            }
            Plan::Every(response) => engine.every(&topology, request, response, repeat).await?,
            Plan::Scan(step) => engine.scan(&topology, step, repeat).await?,
            Plan::ScanEnd => Reply::from_static(b"*2\r\n$1\r\n0\r\n*0\r\n"),
            Plan::Random(shards) => engine.random(&shards, request, repeat).await?,
            Plan::Local(command) => return Ok(Executed::Local(command)),
            Plan::Subscription(command) => return Ok(Executed::Subscription(command)),
            Plan::Transaction { command, shard } => return Ok(Executed::Transaction { command, shard }),
            Plan::Refused(refusal) => return Err(refused(&refusal)),
            Plan::NoShard => return Err(no_shard()),
            _ => return Err(Error::local(Kind::Refused, "this plan is not known")),
        };
        Ok(Executed::Reply(reply))
    }

    /// One shard, as it was planned. The plan is made anew for every further attempt, because the ring may have changed.
    async fn one(
        &self,
        shard: Result<Arc<Shard>, Error>,
        request: Request<'_>,
        found: Found<'_>,
        repeat: Repeat,
        table: &Table,
    ) -> Result<Reply, Error> {
        let blocks = match found {
            Found::Row(row) => row.blocks(request),
            _ => Blocks::No,
        };
        let route = Route::Planned { request, found, table };
        let shard = match shard {
            Ok(shard) => shard,
            Err(error) => return self.missed(request, found, error),
        };
        let send = |shard: Arc<Shard>, manner: Manner| async move {
            match blocks {
                Blocks::No => shard.call(manner, &request).await,
                Blocks::For(wait) => self.waiting(&shard, manner, request, found, Some(wait)).await,
                Blocks::Forever => self.waiting(&shard, manner, request, found, None).await,
            }
        };
        let began = Instant::now();
        let outcome = send(Arc::clone(&shard), self.manner(&shard)).await;
        let settled = self.settle(began, outcome, shard, &route, repeat, send).await;
        let reply = settled.and_then(single).or_else(|error| self.missed(request, found, error))?;
        match (AttemptFailure::of(&reply), found) {
            (Some(AttemptFailure::NoScript), Found::Row(row)) => {
                self.heal(began, request, row, reply, &route, send).await
            }
            _ => Ok(reply),
        }
    }

    /// A shard does not know a script: where its body is known here, the shard is told, and the request made again,
    /// once.
    async fn heal<Fut>(
        &self,
        began: Instant,
        request: Request<'_>,
        row: &Row,
        reply: Reply,
        route: &Route<'_>,
        send: impl Fn(Arc<Shard>, Manner) -> Fut,
    ) -> Result<Reply, Error>
    where
        Fut: Future<Output = Result<Replies<Reply>, Failure>>,
    {
        let Some(remedy) = self.scripts().remedy(row, request) else { return Ok(reply) };
        let shard = self.route(route).await?;
        let told = shard.call(self.manner_since(began, &shard), &remedy).await;
        if !matches!(told, Ok(Replies::One(loaded)) if !loaded.is_error()) {
            return Ok(reply);
        }
        send(Arc::clone(&shard), self.manner_since(began, &shard))
            .await
            .map_err(|failure| self.error(&shard, failure))
            .and_then(single)
    }

    async fn split(
        &self,
        topology: &Topology<Shard>,
        parts: &[Part],
        response: Response,
        repeat: Repeat,
        table: &Table,
    ) -> Result<Reply, Error> {
        let replies = join_all(parts.iter().map(|part| async {
            let reply = self.part(topology, part, repeat, table).await;
            merge::Part { reply, positions: &part.positions }
        }));
        let read = repeat == Repeat::Read;
        merged(response, read, replies.await, |part| topology.member(parts.get(part)?.shard))
    }

    /// A part is a command of the same kind. One that was never sent, because its shard is about to be taken out, is dealt
    /// anew.
    async fn part(
        &self,
        topology: &Topology<Shard>,
        part: &Part,
        repeat: Repeat,
        table: &Table,
    ) -> Result<Reply, Error> {
        let began = Instant::now();
        let error = match self.call_member(topology, part.shard, &part.request, repeat).await {
            Ok(reply) => return Ok(reply),
            Err(error) => error,
        };
        let request = part.request.view();
        if let Some(member) = topology.member(part.shard)
            && error.kind() == Kind::ShardDown
            && error.sent() == Sent::No
            && let remaining = self.manner_since(began, &member.shard).deadline
            && self.taken_out(&member.shard, remaining).await
            && let remaining = self.manner_since(began, &member.shard).deadline
            && let rest = self.for_the_rest(remaining, &member.shard)
            && let Executed::Reply(reply) = Box::pin(rest.execute_known(request, table)).await?
        {
            return Ok(reply);
        }
        self.missed(request, table.find(request), error)
    }

    async fn every(
        &self,
        topology: &Topology<Shard>,
        request: Request<'_>,
        response: Response,
        repeat: Repeat,
    ) -> Result<Reply, Error> {
        let replies =
            join_all(topology.live().iter().map(|id| async {
                merge::Part::whole(self.call_member(topology, *id, &request, repeat).await)
            }));
        let read = repeat == Repeat::Read;
        merged(response, read, replies.await, |part| topology.member(*topology.live().get(part)?))
    }

    async fn scan(
        &self,
        topology: &Topology<Shard>,
        mut step: ScanStep,
        repeat: Repeat,
    ) -> Result<Reply, Error> {
        let mut scanned = Scanned::default();
        for _ in 0..MOST_SCANNED {
            match self.call_shard(step.shard, &step.request, repeat).await.and_then(single) {
                Ok(reply) if !reply.is_error() => {
                    let member = topology.member(step.shard);
                    scanned
                        .take(&reply, step.shard, step.next)
                        .map_err(|error| out_of_step(&error, member))?;
                }
                // What was found stands; the client meets the failure where it goes on.
                _ if scanned.keys() > 0 => break,
                failed => return failed,
            }
            match step.onward(topology.live()) {
                Some(next) if scanned.is_between_shards() && scanned.keys() < step.count => step = next,
                _ => break,
            }
        }
        Ok(scanned.reply())
    }

    async fn random(&self, shards: &[ShardId], request: Request<'_>, repeat: Repeat) -> Result<Reply, Error> {
        let mut last = Reply::null();
        for id in shards {
            last = single(self.call_shard(*id, &request, repeat).await?)?;
            if !last.is_null() {
                break;
            }
        }
        Ok(last)
    }

    /// A call to a member of a topology that was planned with, whatever the ring is meanwhile.
    async fn call_member<F: Frames + ?Sized>(
        &self,
        topology: &Topology<Shard>,
        id: ShardId,
        frames: &F,
        repeat: Repeat,
    ) -> Result<Reply, Error> {
        let route = Route::Member(topology, id);
        let shard = serving(topology, id)?;
        let began = Instant::now();
        let outcome = shard.call(self.manner(&shard), frames).await;
        if matches!(&outcome, Ok(Replies::One(reply)) if !reply.is_error()) {
            return outcome.map_err(|failure| self.error(&shard, failure)).and_then(single);
        }
        let send = |shard: Arc<Shard>, manner| async move { shard.call(manner, frames).await };
        self.settle(began, outcome, shard, &route, repeat, send).await.and_then(single)
    }

    /// Waits until this shard is taken out of use, and its keys are others'. False when that is not what happens, or not
    /// in time.
    async fn taken_out(&self, shard: &Arc<Shard>, within: Duration) -> bool {
        if self.settings().on_down != OnDown::Reroute || within.is_zero() {
            return false;
        }
        let out = |_: &Topology<Shard>, standing| standing != Some(Standing::Serving);
        timeout(within, self.becomes(shard, out)).await.is_ok()
    }

    /// Waits until the topology and the standing of this shard in it are as wanted; a shard that was removed has none.
    /// Cancel safe.
    async fn becomes(&self, shard: &Arc<Shard>, wanted: impl Fn(&Topology<Shard>, Option<Standing>) -> bool) {
        loop {
            // Made before looking, so that no change is missed.
            let swapped = self.swapped();
            let topology = self.topology();
            let same = |member: &&Member<Shard>| Arc::ptr_eq(&member.shard, shard);
            if wanted(&topology, topology.members().iter().find(same).map(|member| member.standing)) {
                return;
            }
            swapped.await;
        }
    }

    /// Runs a request that may wait on a connection of its own, until the shard is taken out or its keys are another's: what
    /// it waits for comes elsewhere then, and what it would write on this shard nobody would forget. On a shard that was
    /// removed it is served to its end.
    async fn waiting(
        &self,
        shard: &Arc<Shard>,
        manner: Manner,
        request: Request<'_>,
        found: Found<'_>,
        wait: Option<Duration>,
    ) -> Result<Replies<Reply>, Failure> {
        // One is enough: they are together.
        let key = match found {
            Found::Row(row) => {
                row.keys(request).ok().and_then(|mut keys| request.argument(keys.next()?.index))
            }
            _ => None,
        };
        let serves = |member: &&Member<Shard>| member.standing == Standing::Serving;
        let moved = |topology: &Topology<Shard>| {
            let owner = key.and_then(|key| topology.member(topology.locate(key)?)).filter(serves);
            owner.is_some_and(|owner| !Arc::ptr_eq(&owner.shard, shard))
        };
        let over = |topology: &Topology<Shard>, standing: Option<Standing>| {
            standing.is_some_and(|now| now != Standing::Serving || moved(topology))
        };
        tokio::select! {
            biased;
            outcome = exclusively(shard, manner, request, wait) => outcome,
            () = self.becomes(shard, over) => {
                let text = "the shard was taken out, or its keys became another's, while the command waited";
                Err(Failed { sent: Sent::Maybe, cause: Cause::new(Kind::ShardDown, text) })
            }
        }
    }

    /// Whether a read that ended so is answered as a miss, at once.
    fn misses(&self, outcome: &Result<Replies<Reply>, Failure>) -> bool {
        let down = matches!(outcome, Err(failure) if failure.cause.kind == Kind::ShardDown);
        down && self.settings().on_down == OnDown::Miss
    }

    /// What a read of a shard that is down answers, where the ring is set so: as if its keys did not exist.
    fn missed(&self, request: Request<'_>, found: Found<'_>, error: Error) -> Result<Reply, Error> {
        if error.kind() != Kind::ShardDown || self.settings().on_down != OnDown::Miss {
            return Err(error);
        }
        let own = self.topology().members().first().map(|member| self.protocol(&member.shard));
        let resp3 = own == Some(Protocol::Newest);
        match found {
            Found::Row(row) => row.absent_reply(request, resp3).ok_or(error),
            _ => Err(error),
        }
    }

    async fn route(&self, route: &Route<'_>) -> Result<Arc<Shard>, Error> {
        match *route {
            Route::Shard(id) => self.shard(id),
            Route::Member(topology, id) => serving(topology, id),
            Route::Together { requests, table } => {
                let views = requests.iter().map(|request| (request.view(), table.find(request.view())));
                shard_of_all(&*self.topology_for(views.clone()).await?, views)
            }
            Route::Planned { request, found, table } => {
                let topology = self.topology_for([(request, found)].into_iter()).await?;
                let settings = self.settings();
                let locate = |key: &[u8]| topology.locate(key);
                let ring = Ring::new(locate, topology.live()).tag(topology.tag()).allow(&settings.allow);
                match plan(request, table.find(request), &ring) {
                    Plan::One(id) => serving(&topology, id),
                    _ => Err(no_shard()),
                }
            }
        }
    }

    /// Makes a call again as long as its outcome and `core::retry` allow. All attempts share the deadline; and where the
    /// outcome of one is unknown, so is that of the call.
    async fn settle<Fut>(
        &self,
        began: Instant,
        mut outcome: Result<Replies<Reply>, Failure>,
        mut shard: Arc<Shard>,
        route: &Route<'_>,
        repeat: Repeat,
        send: impl Fn(Arc<Shard>, Manner) -> Fut,
    ) -> Result<Replies<Reply>, Error>
    where
        Fut: Future<Output = Result<Replies<Reply>, Failure>>,
    {
        let mut attempts = 1;
        let mut unknown = false;
        let told = |error: Error, unknown: bool| if unknown { error.in_part() } else { error };
        loop {
            let Some(failure) = failure_of(&outcome) else {
                return outcome.map_err(|failure| told(self.error(&shard, failure), unknown));
            };
            unknown |= failure == AttemptFailure::OutcomeUnknown;
            if repeat == Repeat::Read && self.misses(&outcome) {
                return outcome.map_err(|failure| self.error(&shard, failure));
            }
            // An attempt that ended at its deadline has used the caller's time up.
            let late = matches!(&outcome, Err(failure) if failure.cause.late.is_some());
            let remaining = if late { Duration::ZERO } else { self.manner_since(began, &shard).deadline };
            let attempt = Attempt { repeat, failure, attempts, remaining: Some(remaining) };
            match self.decide(&attempt) {
                Decision::Again { after } => tokio::time::sleep(after).await,
                // It was never sent, and its keys are about to go to others: worth the wait.
                _ if failure == AttemptFailure::NotWritten
                    && matches!(route, Route::Planned { .. } | Route::Together { .. })
                    && self.taken_out(&shard, remaining).await => {}
                _ => return outcome.map_err(|failure| told(self.error(&shard, failure), unknown)),
            }
            attempts += 1;
            shard = self.route(route).await.map_err(|error| told(error, unknown))?;
            outcome = send(Arc::clone(&shard), self.manner_since(began, &shard)).await;
        }
    }
}

/// How a shard is found for every attempt, because the ring may have changed since the last.
enum Route<'r> {
    /// By the plan of a request that has one shard.
    Planned { request: Request<'r>, found: Found<'r>, table: &'r Table },
    /// By the one shard on which all of these can run as one transaction.
    Together { requests: &'r [RequestBuf], table: &'r Table },
    /// By its number in the topology in force.
    Shard(ShardId),
    /// By its number in the topology that was planned with, whatever the ring is meanwhile.
    Member(&'r Topology<Shard>, ShardId),
}

/// A request under way; see [`Engine::run`].
///
/// Written by hand: nearly every request takes the two steps of the fast path and nothing else, and a future for them
/// alone is small and has one state to look at, where a chain of `async fn`s has five. What is rare goes into a box.
pub struct Run<'a, I> {
    engine: &'a Engine,
    /// Moved into the box when the rare path begins.
    item: Option<I>,
    stage: Stage<'a>,
}

enum Stage<'a> {
    Start,
    Waiting(OwnedCall),
    Rare(Pin<Box<dyn Future<Output = Result<Executed, Error>> + Send + 'a>>),
}

impl<I> Unpin for Run<'_, I> {}

impl<'a, I: Item + Send + Sync + 'a> Run<'a, I> {
    /// The shard for a request with one key; `None` where it has to be planned.
    fn shard(&self) -> Option<Result<Arc<Shard>, Error>> {
        let item = self.item.as_ref()?;
        let row = Table::one_key(item.argument(0)?)?;
        if !row.takes(item.count()) {
            return None;
        }
        let key = item.argument(row.first_key()?)?;
        self.engine.shard_of(row, key)
    }

    fn planned(&mut self) -> Stage<'a> {
        let (engine, item) = (self.engine, self.item.take());
        Stage::Rare(Box::pin(async move {
            let Some(item) = item else { return Err(no_shard()) };
            let packed = item.pack();
            let request = packed.view();
            engine.execute(request).await.map_err(|error| error.of_command(request.name()))
        }))
    }

    fn again(
        &mut self,
        began: Instant,
        outcome: Result<Replies<Reply>, Failure>,
        shard: Arc<Shard>,
    ) -> Stage<'a> {
        let (engine, item) = (self.engine, self.item.take());
        Stage::Rare(Box::pin(async move {
            match item {
                Some(item) => engine.run_again(began, outcome, shard, item).await,
                None => Err(no_shard()),
            }
        }))
    }
}

impl<'a, I: Item + Send + Sync + 'a> Future for Run<'a, I> {
    type Output = Result<Executed, Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            let this = &mut *self;
            match &mut this.stage {
                Stage::Start => {
                    this.stage = match this.shard() {
                        Some(Ok(shard)) => {
                            let manner = this.engine.manner(&shard);
                            Stage::Waiting(OwnedCall::new(shard, manner))
                        }
                        Some(Err(error)) => {
                            let name =
                                this.item.as_ref().and_then(|item| item.argument(0)).unwrap_or_default();
                            return Poll::Ready(Err(error.of_command(name)));
                        }
                        None => this.planned(),
                    };
                }
                Stage::Waiting(call) => {
                    let Some(item) = &this.item else { return Poll::Ready(Err(no_shard())) };
                    match ready!(call.poll(item, context)) {
                        Ok(Replies::One(reply)) if !reply.is_error() => {
                            return Poll::Ready(Ok(Executed::Reply(reply)));
                        }
                        outcome => {
                            let (began, shard) = (call.began(), Arc::clone(call.shard()));
                            this.stage = this.again(began, outcome, shard);
                        }
                    }
                }
                Stage::Rare(future) => return future.as_mut().poll(context),
            }
        }
    }
}

/// How many shards are asked at most for one answer to a scan, so that a large ring without keys does not keep a client
/// waiting.
const MOST_SCANNED: usize = 16;

/// Runs a request that may wait on the server, on a connection of its own. Dropping the future closes the connection,
/// and so ends the waiting on the server too.
async fn exclusively(
    shard: &Shard,
    manner: Manner,
    request: Request<'_>,
    wait: Option<Duration>,
) -> Result<Replies<Reply>, Failure> {
    let _waiting = shard.wait();
    let mut lease = shard.lease(manner.protocol).await?;
    lease.send(&request).await?;
    lease.flush().await?;
    let reply = lease.receive_within(wait.map(|wait| wait.saturating_add(manner.deadline))).await?;
    lease.give_back();
    Ok(Replies::One(reply))
}

/// How a call failed, in the terms of `core::retry`; `None` when it did not.
fn failure_of(outcome: &Result<Replies<Reply>, Failure>) -> Option<AttemptFailure> {
    match outcome {
        Ok(Replies::One(reply)) => match AttemptFailure::of(reply) {
            // Nothing is known here that could be loaded; the caller loads the script.
            Some(AttemptFailure::NoScript) => Some(AttemptFailure::Answered),
            failure => failure,
        },
        // A batch has run in part: each of its replies stands.
        Ok(Replies::Many(_)) => None,
        Err(failure) => match (failure.cause.kind, failure.sent) {
            // Trying again would make an overload worse, and cannot mend a setting.
            (Kind::Busy | Kind::Refused | Kind::Auth | Kind::Config | Kind::Tls, _) => {
                Some(AttemptFailure::Answered)
            }
            (_, Sent::No) => Some(AttemptFailure::NotWritten),
            (_, Sent::Maybe) => Some(AttemptFailure::OutcomeUnknown),
        },
    }
}

/// The shard on which all of these requests can run as one transaction.
fn shard_of_all<'r>(
    topology: &Topology<Shard>,
    requests: impl Iterator<Item = (Request<'r>, Found<'r>)>,
) -> Result<Arc<Shard>, Error> {
    let ring = Ring::new(|key: &[u8]| topology.locate(key), topology.live()).tag(topology.tag());
    match same_shard(requests, &ring) {
        Ok(Queued::On(id) | Queued::Rather(id)) => serving(topology, id),
        Ok(Queued::Anywhere) => serving(topology, *topology.live().first().ok_or_else(no_shard)?),
        Ok(Queued::NoShard) => Err(no_shard()),
        Err((_, refusal)) => Err(refused(&refusal)),
    }
}

fn single(replies: Replies<Reply>) -> Result<Reply, Error> {
    match replies {
        Replies::One(reply) => Ok(reply),
        Replies::Many(mut replies) => {
            replies.pop().ok_or_else(|| Error::local(Kind::Protocol, "a reply that is none"))
        }
    }
}

/// The merged reply. The error of one part says that the whole may have run where another part may have, unless it only
/// reads: then it does not matter. `member` is where a part was sent.
pub(crate) fn merged<'t>(
    response: Response,
    read: bool,
    parts: Vec<merge::Part<'_, Error>>,
    member: impl Fn(usize) -> Option<&'t Member<Shard>>,
) -> Result<Reply, Error> {
    let may_have_run = |part: &merge::Part<'_, Error>| match &part.reply {
        Ok(_) => true,
        Err(error) => error.sent() == Sent::Maybe,
    };
    let in_part = !read && parts.iter().any(may_have_run);
    merge(response, parts).map_err(|error| match error {
        MergeError::Failed(error) if in_part => error.in_part(),
        MergeError::Failed(error) => error,
        MergeError::Unexpected(unexpected) => out_of_step(&unexpected, member(unexpected.part)),
    })
}

/// The error of a reply that is not what its command is answered with. Its connection is not to be trusted any more.
fn out_of_step(error: &dyn std::error::Error, member: Option<&Member<Shard>>) -> Error {
    let cause = Cause::new(Kind::Protocol, error.to_string());
    let Some(member) = member else { return Error::new(cause, Sent::Maybe, None) };
    member.shard.distrust(&cause);
    member.shard.error(Failed { sent: Sent::Maybe, cause })
}

/// A refusal as an error.
pub(crate) fn refused(refusal: &Refusal) -> Error {
    let kind = match refusal.kind() {
        RefusalKind::CrossShard => Kind::CrossShard,
        RefusalKind::Unknown | RefusalKind::Arity | RefusalKind::Arguments => Kind::Server,
        _ => Kind::Refused,
    };
    let text = String::from_utf8_lossy(refusal.text());
    // The code of a refusal is put in front where a RESP client gets it.
    let text = if kind == Kind::Refused { text.trim_start_matches("ERR ") } else { &text };
    Error::local(kind, text)
}
