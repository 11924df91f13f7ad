//! Attempts: where a request goes, what ends its waiting, and whether it goes again.
//!
//! All attempts of one call share its deadline, and each looks anew where the call belongs, because the ring may have changed.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use rendis_core::command::{Blocks, Found, Repeat, Speaker, Table};
use rendis_core::id::ShardId;
use rendis_core::plan::{Plan, Queued, Refusal, plan, same_shard, view};
use rendis_core::reply::Reply;
use rendis_core::request::{Request, RequestBuf};
use rendis_core::retry::{Attempt, AttemptFailure, Decision};
use rendis_core::session::{Failed, Replies, Sent};
use rendis_core::topology::{Member, Standing, Topology};
use tokio::time::{Instant, sleep, timeout};

use crate::engine::{Engine, no_shard, serving};
use crate::error::{Cause, Error, Failure, Kind, Late};
use crate::exclusive::must_be_on_a_runtime;
use crate::frames::Frames;
use crate::runtime;
use crate::settings::{OnDown, Protocol};
use crate::shard::{Manner, Shard};

/// How a shard is found for every attempt, because the ring may have changed since the last.
pub(crate) enum Route<'r> {
    /// By the plan of a request that has one shard.
    Planned { request: Request<'r>, found: Found<'r> },
    /// By the one shard on which all of these can run as one transaction.
    Together { requests: &'r [RequestBuf], table: &'r Table },
    /// By its number in the topology in force.
    Shard(ShardId),
    /// By its number in the topology that was planned with, whatever the ring is meanwhile.
    Member(&'r Topology<Shard>, ShardId),
}

impl Route<'_> {
    /// Whose words an error reply is.
    const fn speaker(&self) -> Speaker {
        match self {
            Self::Planned { found: Found::Row(row), .. } => row.speaker(),
            _ => Speaker::Server,
        }
    }
}

impl Engine {
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
        self.call(Instant::now(), Route::Shard(id), frames, repeat).await
    }

    /// Sends frames along a route, again where `repeat` and the outcome allow, for a call that began then.
    pub(crate) async fn call<F: Frames + ?Sized>(
        &self,
        began: Instant,
        route: Route<'_>,
        frames: &F,
        repeat: Repeat,
    ) -> Result<Replies<Reply>, Error> {
        let shard = self.route(&route).await?;
        let outcome = shard.call(self.manner_since(began, &shard), frames).await;
        // What is usual does without the box.
        if matches!(&outcome, Ok(Replies::One(reply)) if !reply.is_error()) {
            return outcome.map_err(|failure| self.error(&shard, failure));
        }
        let send = |shard: Arc<Shard>, manner| async move { shard.call(manner, frames).await };
        Box::pin(self.settle(began, outcome, shard, &route, repeat, send)).await
    }

    /// Makes a call again as long as its outcome and `core::retry` allow. All attempts share the deadline, which begins again
    /// with the count of them where one waited on its server, as `XREAD BLOCK` does, until that fell or the ring changed;
    /// and where the outcome of one is unknown, so is that of the call.
    pub(crate) async fn settle<Fut>(
        &self,
        mut began: Instant,
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
        let mut lost = None;
        let mut connects = shard.pulse().connects();
        let told = |error: Error, unknown: bool| if unknown { error.in_part() } else { error };
        runtime::breathe().await;
        loop {
            let Some(failure) = failure_of(&outcome, route.speaker()) else {
                return outcome.map_err(|failure| told(self.error(&shard, failure), unknown));
            };
            unknown |= failure == AttemptFailure::OutcomeUnknown;
            // Said by code or not.
            if failure_of(&outcome, Speaker::Server) == Some(AttemptFailure::NotNow) {
                shard.pulse().doubt();
            }
            if let Err(failure) = &outcome
                && failure.cause.kind == Kind::ShardDown
            {
                lost = Some(failure.clone());
            }
            // An attempt that ended at its deadline has used the caller's time up, though the clock may say a little less.
            let late = matches!(&outcome, Err(failure) if failure.cause.late.is_some());
            let remaining = if late { Duration::ZERO } else { self.manner_since(began, &shard).deadline };
            let attempt = Attempt { repeat, failure, attempts, remaining: Some(remaining) };
            match self.decide(&attempt) {
                Decision::Again { after } => self.pause(after).await,
                // It did not run, and its keys are about to go to others, or the server is about to be back.
                _ if matches!(failure, AttemptFailure::NotWritten | AttemptFailure::NotNow)
                    && matches!(route, Route::Planned { .. } | Route::Together { .. })
                    && self.out_or_back(&shard, connects, patience(failure, remaining)).await => {}
                // It is missed for what it met first, though another attempt found nobody to connect to in time.
                _ if late && repeat == Repeat::Read && self.settings().on_down == OnDown::Miss => {
                    let failure = lost.map_or(outcome, Err);
                    return failure.map_err(|failure| told(self.error(&shard, failure), unknown));
                }
                _ => return outcome.map_err(|failure| told(self.error(&shard, failure), unknown)),
            }
            attempts += 1;
            shard = match self.since(began).route(route).await {
                Ok(shard) => shard,
                // Why it cannot go elsewhere says less than why it went nowhere here.
                Err(_) if outcome.is_err() => {
                    return outcome.map_err(|failure| told(self.error(&shard, failure), unknown));
                }
                Err(error) => return Err(told(error, unknown)),
            };
            connects = shard.pulse().connects();
            let (asked, manner) = (Instant::now(), self.manner_since(began, &shard));
            outcome = send(Arc::clone(&shard), manner).await;
            // Nothing else that was sent takes longer than it may, and is not late.
            let waited = |failure: &Failure| failure.sent == Sent::Maybe && asked.elapsed() > manner.deadline;
            if matches!(&outcome, Err(failure) if failure.cause.interrupted || waited(failure)) {
                (began, attempts) = (Instant::now(), 1);
            }
        }
    }

    pub(crate) async fn route(&self, route: &Route<'_>) -> Result<Arc<Shard>, Error> {
        match *route {
            Route::Shard(id) => self.shard(id),
            Route::Member(topology, id) => serving(topology, id),
            Route::Together { requests, table } => {
                let views = requests.iter().map(|request| (request.view(), table.find(request.view())));
                shard_of_all(&*self.topology_for(views.clone()).await?, views)
            }
            Route::Planned { request, found } => {
                let topology = self.topology_for([(request, found)].into_iter()).await?;
                let settings = self.settings();
                let ring = view(&topology).allow(&settings.allow);
                match plan(request, found, &ring) {
                    Plan::One(id) => serving(&topology, id),
                    _ => Err(no_shard()),
                }
            }
        }
    }

    /// Waits until this shard is taken out of use, and its keys are others', or until it has more connections than these
    /// again. False when neither happens in time; at once where there are no others, or nothing is to be made again.
    pub(crate) async fn out_or_back(&self, shard: &Arc<Shard>, connects: u64, within: Duration) -> bool {
        let topology = self.topology();
        let only = matches!(topology.live(), [only] if topology.member(*only).is_some_and(
            |member| member.shard.is_same_server(shard)
        ));
        let settings = self.settings();
        let once = settings.retry.attempts.get() == 1;
        let useless = match settings.on_down {
            OnDown::Reroute => only,
            OnDown::Miss => false,
            OnDown::Fail => true,
        };
        if useless || once || within.is_zero() {
            return false;
        }
        let out = |_: &Topology<Shard>, standing| standing != Some(Standing::Serving);
        let _awaiting = shard.pulse().awaits();
        let out_or_back = async {
            tokio::select! {
                () = self.becomes(shard, out) => {}
                () = shard.pulse().connected_after(connects) => {}
            }
        };
        let told = async { timeout(within, out_or_back).await.is_ok() };
        runtime::unless_ended(self.runtime(), told).await.unwrap_or(false)
    }

    /// Waits so long, whatever runtime the caller is on.
    pub(crate) async fn pause(&self, time: Duration) {
        // Whose runtime has ended is told so at the next attempt.
        let _ = runtime::unless_ended(self.runtime(), async { sleep(time).await }).await;
    }

    /// Waits until the topology and the standing of this shard in it are as wanted; a shard that was removed has none, and
    /// one that is connected to in another way is the same. Cancel safe.
    async fn becomes(&self, shard: &Arc<Shard>, wanted: impl Fn(&Topology<Shard>, Option<Standing>) -> bool) {
        loop {
            // Made before looking, so that no change is missed.
            let swapped = self.swapped();
            let topology = self.topology();
            let same = |member: &&Member<Shard>| member.shard.is_same_server(shard);
            if wanted(&topology, topology.members().iter().find(same).map(|member| member.standing)) {
                return;
            }
            swapped.await;
        }
    }

    /// Runs a request that may wait on a connection of its own, until the shard is taken out or its keys are another's: what
    /// it waits for comes elsewhere then, and what it would write on this shard nobody would forget. On a shard that was
    /// removed it is served on for a while ([`Settings::drain`](crate::settings::Settings::drain)).
    pub(crate) async fn waiting(
        &self,
        shard: &Arc<Shard>,
        manner: Manner,
        request: Request<'_>,
        found: Found<'_>,
        blocks: Blocks,
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
            let owner = key.and_then(|key| topology.owner(key)).filter(serves);
            owner.is_some_and(|owner| !owner.shard.is_same_server(shard))
        };
        let over = |topology: &Topology<Shard>, standing: Option<Standing>| {
            standing.is_some_and(|now| now != Standing::Serving || moved(topology))
        };
        let removed = async {
            self.becomes(shard, |_, standing| standing.is_none()).await;
            sleep(self.settings().drain).await;
        };
        let ended = |text| Err(Failed { sent: Sent::Maybe, cause: Cause::interrupted(text) });
        // One that has a deadline of its own waits no longer for its connection either.
        let lease = if self.has_deadline() { manner.deadline } else { Duration::MAX };
        tokio::select! {
            biased;
            outcome = exclusively(shard, manner, request, blocks, lease) => outcome,
            () = self.becomes(shard, over) => {
                ended("the shard was taken out, or its keys became another's, while the command waited")
            }
            () = removed => ended("the shard was removed from the ring while the command waited"),
        }
    }

    /// Whether the ring has a shard of this name that serves.
    pub(crate) fn serves(&self, shard: Option<&str>) -> bool {
        let serves = |member: &Member<Shard>| {
            member.standing == Standing::Serving && Some(member.shard.name()) == shard
        };
        self.topology().members().iter().any(serves)
    }

    /// What a read of a shard that is down answers, where the ring is set so: as if its keys did not exist. Not of one that
    /// serves, whatever was met there: of a server that is well a connection may be lost too.
    pub(crate) fn missed(
        &self,
        request: Request<'_>,
        found: Found<'_>,
        error: Error,
    ) -> Result<Reply, Error> {
        let down = error.kind() == Kind::ShardDown && !self.serves(error.shard());
        if !down || self.settings().on_down != OnDown::Miss {
            return Err(error);
        }
        let own = self.topology().members().first().map(|member| self.protocol(&member.shard));
        let resp3 = own == Some(Protocol::Newest);
        match found {
            Found::Row(row) => row.absent_reply(request, resp3).ok_or(error),
            _ => Err(error),
        }
    }
}

/// Runs a request on a connection of its own, as one that may wait on the server. Dropping the future closes the connection,
/// and so ends the waiting on the server too.
pub(crate) async fn exclusively(
    shard: &Shard,
    manner: Manner,
    request: Request<'_>,
    blocks: Blocks,
    within: Duration,
) -> Result<Replies<Reply>, Failure> {
    must_be_on_a_runtime()?;
    let late = |_| Failed { sent: Sent::No, cause: Cause::late(Late::Connecting) };
    let mut lease = timeout(within, shard.lease(manner.protocol)).await.map_err(late)??;
    let reply = lease.ask_within(&request, blocks.within(manner.deadline)).await;
    let reply = reply.map_err(|failure| match failure.cause.kind {
        Kind::Timeout => Failed { cause: failure.cause.late_alone(), ..failure },
        _ => failure,
    })?;
    lease.give_back();
    Ok(Replies::One(reply))
}

/// How a call failed, in the terms of `core::retry`; `None` when it did not.
fn failure_of(outcome: &Result<Replies<Reply>, Failure>, speaker: Speaker) -> Option<AttemptFailure> {
    match outcome {
        Ok(Replies::One(reply)) => AttemptFailure::of(reply, speaker),
        // A batch has run in part: each of its replies stands.
        Ok(Replies::Many(_)) => None,
        Err(failure) => Some(unanswered(failure.cause.kind, failure.sent)),
    }
}

/// How long a call that failed so waits, of the time it has, for its shard to be out of use: what a server says of itself a
/// probe soon hears too.
pub(crate) fn patience(failure: AttemptFailure, remaining: Duration) -> Duration {
    match failure {
        AttemptFailure::NotNow => remaining.min(PROBED_WITHIN),
        _ => remaining,
    }
}

const PROBED_WITHIN: Duration = Duration::from_millis(100);

/// How a call that got no reply failed, in the terms of `core::retry`.
pub(crate) const fn unanswered(kind: Kind, sent: Sent) -> AttemptFailure {
    match (kind, sent) {
        // Trying again would make an overload worse, and cannot mend a setting, or keys that are apart.
        (Kind::Busy | Kind::Refused | Kind::Auth | Kind::Config | Kind::Tls | Kind::CrossShard, _) => {
            AttemptFailure::Answered
        }
        (_, Sent::No) => AttemptFailure::NotWritten,
        (_, Sent::Maybe) => AttemptFailure::OutcomeUnknown,
    }
}

/// The shard on which all of these requests can run as one transaction.
fn shard_of_all<'r>(
    topology: &Topology<Shard>,
    requests: impl Iterator<Item = (Request<'r>, Found<'r>)>,
) -> Result<Arc<Shard>, Error> {
    let ring = view(topology);
    match same_shard(requests, &ring) {
        Ok(Queued::On(id) | Queued::Rather(id)) => serving(topology, id),
        Ok(Queued::Anywhere) => serving(topology, *topology.live().first().ok_or_else(no_shard)?),
        Ok(Queued::NoShard) => Err(no_shard()),
        Err((_, refusal)) => Err(refused(&refusal)),
    }
}

pub(crate) fn single(replies: Replies<Reply>) -> Result<Reply, Error> {
    match replies {
        Replies::One(reply) => Ok(reply),
        Replies::Many(mut replies) => {
            replies.pop().ok_or_else(|| Error::local(Kind::Protocol, "a reply that is none"))
        }
    }
}

/// A refusal as an error.
pub(crate) fn refused(refusal: &Refusal) -> Error {
    let kind = Kind::from(refusal.kind());
    let text = String::from_utf8_lossy(refusal.text());
    // The code of a refusal is put in front where a RESP client gets it.
    let text = if kind == Kind::Refused { text.trim_start_matches("ERR ") } else { &text };
    Error::local(kind, text)
}
