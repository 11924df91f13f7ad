//! Runs a plan: sends its parts side by side, and merges the replies.

use std::future::Future;
use std::sync::Arc;

use futures_util::future::join_all;
use rendis_core::command::{
    Blocks, Found, LocalCommand, Repeat, Response, Row, Speaker, Subscription, Table, Transaction,
};
use rendis_core::id::ShardId;
use rendis_core::merge::{MergeError, Scanned, merge};
use rendis_core::plan::{Cut, Plan, ScanStep, plan, view};
use rendis_core::reply::Reply;
use rendis_core::request::{Request, RequestBuf};
use rendis_core::retry::AttemptFailure;
use rendis_core::session::{Failed, Replies, Sent};
use rendis_core::topology::{Member, Standing, Topology};
use tokio::time::Instant;

use crate::attempt::{Route, exclusively, patience, refused, single, unanswered};
use crate::engine::{Engine, no_shard, serving};
use crate::error::{Cause, Error, Failure, Kind};
use crate::frames::Slice;
use crate::scripts::is_unknown;
use crate::shard::{Manner, Shard};

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
    /// Plans a request and runs the plan.
    ///
    /// # Errors
    /// As [`Engine::call_shard`]; [`Kind::CrossShard`] and [`Kind::Refused`] for what a ring does not run.
    pub async fn execute(&self, request: Request<'_>) -> Result<Executed, Error> {
        let (table, began) = (self.table().load_full(), Instant::now());
        if matches!(table.find(request), Found::Unknown) && Box::pin(self.learn(request.name())).await? {
            let (engine, began) = self.rest_since(began);
            return Box::pin(engine.execute_known(began, request, &self.table().load_full())).await;
        }
        self.execute_known(began, request, &table).await
    }

    async fn execute_known(
        &self,
        began: Instant,
        request: Request<'_>,
        table: &Table,
    ) -> Result<Executed, Error> {
        let found = table.find(request);
        let topology = self.topology_for([(request, found)].into_iter()).await?;
        let (engine, began) = self.rest_since(began);
        let (planned, repeat) = self.plan(&topology, request, found);
        // What is not split is in boxes, so that the future of what is fits into memory that is given out fast.
        let reply = match planned {
            Plan::One(id) => {
                Box::pin(engine.one(began, serving(&topology, id), request, found, repeat)).await?
            }
            Plan::Split { cut, response } => {
                let replies = engine.parts(began, &topology, request, &cut, repeat, table).await;
                merged(response, repeat == Repeat::Read, replies, cut.order(), |part| {
                    topology.member(cut.part(part)?.shard)
                })?
            }
            Plan::Every(Response::OneSucceeded) => Box::pin(engine.kill(began, &topology, request)).await?,
            Plan::Every(response) => {
                Box::pin(engine.every(began, &topology, request, response, repeat)).await?
            }
            Plan::Scan(step) => Box::pin(engine.scan(&topology, step, repeat)).await?,
            Plan::ScanEnd => Reply::from_static(b"*2\r\n$1\r\n0\r\n*0\r\n"),
            Plan::Random(shards) => Box::pin(engine.random(&shards, request, repeat)).await?,
            Plan::Local(command) => return Ok(Executed::Local(command)),
            Plan::Subscription(command) => return Ok(Executed::Subscription(command)),
            Plan::Transaction { command, shard } => return Ok(Executed::Transaction { command, shard }),
            Plan::Refused(refusal) => return Err(refused(&refusal)),
            Plan::NoShard => return Err(no_shard()),
            _ => return Err(Error::local(Kind::Refused, "this plan is not known")),
        };
        Ok(Executed::Reply(reply))
    }

    /// What becomes of a request, and whether it may be made again.
    fn plan(&self, topology: &Topology<Shard>, request: Request<'_>, found: Found<'_>) -> (Plan, Repeat) {
        let settings = self.settings();
        let ring = view(topology).entropy(fastrand::u64(..)).allow(&settings.allow);
        let planned = plan(request, found, &ring);
        let Found::Row(row) = found else { return (planned, Repeat::Never) };
        if planned.runs() {
            self.scripts().notice(row, |index| request.argument(index));
        }
        (planned, row.repeat(request))
    }

    /// One shard, as it was planned. The plan is made anew for every further attempt, because the ring may have changed.
    async fn one(
        &self,
        mut began: Instant,
        shard: Result<Arc<Shard>, Error>,
        request: Request<'_>,
        found: Found<'_>,
        repeat: Repeat,
    ) -> Result<Reply, Error> {
        let blocks = found.blocks(request);
        let route = Route::Planned { request, found };
        let shard = match shard {
            Ok(shard) => shard,
            Err(error) => return self.missed(request, found, error),
        };
        let since = (blocks != Blocks::No).then(Instant::now);
        let send = |shard: Arc<Shard>, manner: Manner| async move {
            let Some(since) = since else { return shard.call(manner, &request).await };
            // Made again, it waits no longer than it would have.
            let rest = match found {
                Found::Row(row) => row.wait_rest(request, since.elapsed()),
                _ => None,
            };
            let request = rest.as_ref().map_or(request, RequestBuf::view);
            Box::pin(self.waiting(&shard, manner, request, found, found.blocks(request))).await
        };
        let outcome = send(Arc::clone(&shard), self.manner(&shard)).await;
        let unsent = matches!(&outcome, Err(failure) if failure.sent == Sent::No);
        if blocks != Blocks::No && !unsent {
            // What it waited on the server was not the deadline's.
            began = Instant::now();
        }
        if matches!(&outcome, Ok(Replies::One(reply)) if !reply.is_error()) {
            return outcome.map_err(|failure| self.error(&shard, failure)).and_then(single);
        }
        Box::pin(self.settle_one(began, outcome, shard, &route, repeat, send)).await
    }

    /// The end of a request that was planned for one shard and whose first attempt brought an error reply, or none: made
    /// again where that is allowed ([`Engine::settle`]), missed where a shard that is down is to be missed, and healed
    /// where the shard does not know the script.
    pub(crate) async fn settle_one<Fut>(
        &self,
        began: Instant,
        outcome: Result<Replies<Reply>, Failure>,
        shard: Arc<Shard>,
        route: &Route<'_>,
        repeat: Repeat,
        send: impl Fn(Arc<Shard>, Manner) -> Fut,
    ) -> Result<Reply, Error>
    where
        Fut: Future<Output = Result<Replies<Reply>, Failure>>,
    {
        let settled = self.settle(began, outcome, shard, route, repeat, &send).await;
        let Route::Planned { request, found, .. } = *route else { return settled.and_then(single) };
        let reply = settled.and_then(single).or_else(|error| self.missed(request, found, error))?;
        match found {
            Found::Row(row) if is_unknown(&reply) => {
                Box::pin(self.heal(began, request, row, reply, route, send)).await
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

    /// The replies to the parts of a request, side by side.
    async fn parts(
        &self,
        began: Instant,
        topology: &Topology<Shard>,
        whole: Request<'_>,
        cut: &Cut,
        repeat: Repeat,
        table: &Table,
    ) -> Vec<Result<Reply, Error>> {
        let part = |part| self.part(began, topology, Slice { whole, part }, repeat, table);
        join_all(cut.parts().map(part)).await
    }

    /// A part is a command of the same kind. One that did not run, or only reads, is dealt anew when its shard is taken out,
    /// or back.
    async fn part(
        &self,
        began: Instant,
        topology: &Topology<Shard>,
        slice: Slice<'_>,
        repeat: Repeat,
        table: &Table,
    ) -> Result<Reply, Error> {
        let id = slice.part.shard;
        let connects = topology.member(id).map_or(0, |member| member.shard.pulse().connects());
        let route = Route::Member(topology, id);
        let outcome = self.call(began, route, &slice, repeat).await.and_then(single);
        let failure = match &outcome {
            Ok(reply) => match AttemptFailure::of(reply, Speaker::Server) {
                Some(AttemptFailure::NotNow) => AttemptFailure::NotNow,
                _ => return outcome,
            },
            Err(error) if error.is_late() => AttemptFailure::Answered,
            Err(error) => unanswered(error.kind(), error.sent()),
        };
        let request = slice.part.pack(slice.whole);
        let request = request.view();
        let settings = self.settings();
        if let Some(member) = topology.member(id)
            && settings.retry.check(failure, repeat).is_ok()
            && let remaining = self.manner_since(began, &member.shard).deadline
            && self.out_or_back(&member.shard, connects, patience(failure, remaining)).await
            && let remaining = self.manner_since(began, &member.shard).deadline
            && let rest = self.for_the_rest(remaining)
            && let Executed::Reply(reply) =
                Box::pin(rest.execute_known(Instant::now(), request, table)).await?
        {
            return Ok(reply);
        }
        outcome.or_else(|error| self.missed(request, table.find(request), error))
    }

    async fn every(
        &self,
        began: Instant,
        topology: &Topology<Shard>,
        request: Request<'_>,
        response: Response,
        repeat: Repeat,
    ) -> Result<Reply, Error> {
        let replies = join_all(topology.live().iter().map(|id| async {
            self.call(began, Route::Member(topology, *id), &request, repeat).await.and_then(single)
        }));
        merged(response, repeat == Repeat::Read, replies.await, &[], |part| {
            topology.member(*topology.live().get(part)?)
        })
    }

    /// `SCRIPT KILL`, `FUNCTION KILL`: for every shard, those that are out as well, for a script that runs long is why; and
    /// on connections of their own, for the server reads nothing on that of the script.
    async fn kill(
        &self,
        began: Instant,
        topology: &Topology<Shard>,
        request: Request<'_>,
    ) -> Result<Reply, Error> {
        let asked = join_all(topology.members().iter().map(|member| async move {
            let manner = self.manner_since(began, &member.shard);
            let asked = exclusively(&member.shard, manner, request, Blocks::No, manner.deadline).await;
            (member, asked.map_err(|failure| self.error(&member.shard, failure)).and_then(single))
        }));
        let replies = asked.await.into_iter();
        // One that is out may be dead, which says nothing of the scripts of the others.
        let said = replies.filter(|(member, reply)| member.standing == Standing::Serving || reply.is_ok());
        let (members, replies): (Vec<_>, Vec<_>) = said.unzip();
        if replies.is_empty() {
            return Err(no_shard());
        }
        merged(Response::OneSucceeded, false, replies, &[], |part| members.get(part).copied())
    }

    async fn scan(
        &self,
        topology: &Topology<Shard>,
        mut step: ScanStep,
        repeat: Repeat,
    ) -> Result<Reply, Error> {
        let (mut scanned, began) = (Scanned::default(), Instant::now());
        for _ in 0..MOST_SCANNED {
            match self.since(began).call_shard(step.shard, &step.request, repeat).await.and_then(single) {
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
        let (mut last, began) = (Reply::null(), Instant::now());
        for id in shards {
            last = single(self.since(began).call_shard(*id, &request, repeat).await?)?;
            if !last.is_null() {
                break;
            }
        }
        Ok(last)
    }
}

/// How many shards are asked at most for one answer to a scan, so that a large ring without keys does not keep a client
/// waiting.
const MOST_SCANNED: usize = 16;

/// The merged reply. The error of one part says that the whole may have run where another part may have, unless it only
/// reads: then it does not matter. `order` is [`merge`]'s, and `member` says where a part was sent.
pub(crate) fn merged<'t>(
    response: Response,
    read: bool,
    parts: Vec<Result<Reply, Error>>,
    order: &[u32],
    member: impl Fn(usize) -> Option<&'t Member<Shard>>,
) -> Result<Reply, Error> {
    let may_have_run = |part: &Result<Reply, Error>| match part {
        Ok(_) => true,
        Err(error) => error.sent() == Sent::Maybe,
    };
    let in_part = !read && parts.iter().any(may_have_run);
    merge(response, parts, order).map_err(|error| match error {
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
