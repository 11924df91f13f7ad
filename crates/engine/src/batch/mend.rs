//! What is made again of a batch: requests that failed, and scripts that a shard did not know.
//!
//! A request comes in its turn, or not at all: it must not see what was written behind it.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use rendis_core::command::{Found, Repeat, Speaker};
use rendis_core::reply::Reply;
use rendis_core::request::Request;
use rendis_core::retry::{Attempt, AttemptFailure, Decision};
use rendis_core::session::Sent;

use super::shard::ShardBatch;
use super::{Batch, Fate};
use crate::attempt::unanswered;
use crate::engine::Engine;
use crate::error::{Error, Kind};
use crate::frames::Item;
use crate::gather::Executed;
use crate::runtime;
use crate::scripts::is_unknown;
use crate::settings::OnDown;
use crate::shard::Shard;

impl Batch {
    /// Whether another attempt may help: a shard gave no reply, or none is up, and the ring may have changed or answer a read
    /// without it; a shard did not know a script, and can be told; or it could not serve at the moment.
    #[must_use]
    #[inline]
    pub fn can_mend(answer: &Result<Reply, Error>) -> bool {
        match answer {
            Ok(reply) => is_unknown(reply) || is_not_now(reply),
            Err(error) => {
                let met = error.shard().is_some() || error.kind() == Kind::ShardDown;
                met && !error.is_late() && unanswered(error.kind(), error.sent()) != AttemptFailure::Answered
            }
        }
    }

    /// Makes a request again whose answer [`Batch::poll_next`] has just given, where that is safe, where `core::retry` or the
    /// shard's end allows it, and where it still comes in its turn: what was written behind it must not be seen by it.
    ///
    /// # Errors
    /// As [`Engine::run`].
    pub async fn mend<I: Item + Send + Sync>(
        &mut self,
        engine: &Engine,
        item: I,
        answer: Result<Reply, Error>,
    ) -> Result<Reply, Error> {
        runtime::breathe().await;
        let packed = item.pack();
        let table = engine.table().load_full();
        let found = table.find(packed.view());
        let error = match &answer {
            Ok(reply) if is_unknown(reply) => {
                let shard = match self.last() {
                    Some((_, Fate::One(shard))) => Some(*shard),
                    _ => None,
                };
                let again = match shard {
                    Some(shard) => self.nothing_ran_since(shard, is_unknown).await,
                    None => false,
                };
                return match self.rest(engine).filter(|_| again) {
                    Some((rest, _)) => again_or(rest.run(&item).await, answer),
                    None => answer,
                };
            }
            Ok(reply) => return self.mend_refused(engine, &item, packed.view(), found, reply.clone()).await,
            Err(error) => error.clone(),
        };
        let (read, repeat) = match found {
            Found::Row(row) => (row.is_read(), row.repeat(packed.view())),
            _ => (false, Repeat::Never),
        };
        let misses = read && engine.settings().on_down == OnDown::Miss;
        // Of a shard that does not serve nothing else can come; of one that refused a part of it something can.
        let refused = match self.last() {
            Some((_, fate @ Fate::Merged(_))) => fate.refused(),
            _ => Vec::new(),
        };
        self.doubt(&refused);
        let waits = !refused.is_empty() && !self.refuse_on(&refused);
        let hopeless = misses && !waits && !engine.serves(error.shard());
        let again = !hopeless
            && self.comes_in_its_turn(error.sent(), read)
            && self.may_repeat(engine, unanswered(error.kind(), error.sent()), Some(&error), repeat).await;
        let answer = match self.rest(engine).filter(|_| again) {
            Some((rest, _)) => again_or(rest.run(&item).await, answer),
            None => answer,
        };
        if again {
            self.notice_refusal(&refused, &answer);
        }
        match answer {
            // It is missed for what it met first, though later nobody could be connected to in time.
            Err(late) if misses && matches!(late.kind(), Kind::ShardDown | Kind::Timeout) => {
                self.missed(engine, packed.view(), found, &error).map_err(|_| late)
            }
            answer => answer,
        }
    }

    /// Makes a request again that servers say they cannot run now: all of a read, if it comes in its turn, and else what was
    /// refused. Once that was in vain, what else the same shards refuse is answered at once.
    async fn mend_refused<I: Item + Send + Sync>(
        &mut self,
        engine: &Engine,
        item: &I,
        request: Request<'_>,
        found: Found<'_>,
        reply: Reply,
    ) -> Result<Reply, Error> {
        let (Found::Row(row), Some((index, fate))) = (found, self.last()) else { return Ok(reply) };
        let (read, repeat) = (row.is_read(), row.repeat(request));
        let refused = fate.refused();
        let divisible =
            matches!(fate, Fate::Merged(merged) if merged.cut.is_some()) || matches!(fate, Fate::One(_));
        self.doubt(&refused);
        let now = AttemptFailure::of(&reply, row.speaker()) == Some(AttemptFailure::NotNow);
        if !now || self.refuse_on(&refused) {
            return Ok(reply);
        }
        let whole = read && self.comes_in_its_turn(Sent::Maybe, read);
        let again = whole || (divisible && self.come_in_their_turn(&refused, index, read).await);
        if !again || !self.may_repeat(engine, AttemptFailure::NotNow, None, repeat).await {
            return Ok(reply);
        }
        let Some((rest, _)) = self.rest(engine) else { return Ok(reply) };
        let answer = match self.last() {
            Some((_, Fate::Merged(merged))) if !whole => {
                let part = |number| merged.cut.as_ref().and_then(|cut| cut.part(number));
                let again = refused.iter().filter_map(|Refused { number, .. }| {
                    let (part, rest) = (part(*number)?.pack(request), &rest);
                    Some(async move { (*number, rest.run(&part).await) })
                });
                let mut parts = merged.parts.clone();
                for (number, result) in join_all(again).await {
                    if let Some(part) = parts.get_mut(number) {
                        *part = again_or(result, part.clone());
                    }
                }
                merged.merge(parts, &self.shards, self.topology.as_deref())
            }
            _ => again_or(rest.run(item).await, Ok(reply)),
        };
        self.notice_refusal(&refused, &answer);
        answer
    }

    /// Whether one of the shards that refused something goes on refusing what is made again.
    fn refuse_on(&self, refused: &[Refused]) -> bool {
        refused.iter().any(|part| self.shards.get(part.shard).is_none_or(ShardBatch::refuses))
    }

    /// What these shards had refused was made again, and this is the answer.
    fn notice_refusal(&mut self, refused: &[Refused], answer: &Result<Reply, Error>) {
        if answer.as_ref().map_or(true, is_not_now) {
            for part in refused {
                self.shards.get_mut(part.shard).into_iter().for_each(ShardBatch::refuses_on);
            }
        }
    }

    /// The shards that refused something are asked soon how they are.
    fn doubt(&self, refused: &[Refused]) {
        let Some(topology) = &self.topology else { return };
        let shards = refused.iter().filter_map(|part| self.shards.get(part.shard));
        for member in shards.filter_map(|shard| topology.member(shard.id())) {
            member.shard.pulse().doubt();
        }
    }

    /// Whether what was refused of the request with this index, which was answered last, comes in its turn when it is made
    /// again.
    async fn come_in_their_turn(&mut self, refused: &[Refused], index: usize, read: bool) -> bool {
        for part in refused {
            let Some(shard) = self.shards.get(part.shard) else { return false };
            // Code that runs behind it could say the same of itself.
            let in_turn = (read && shard.writes_nothing_behind(index))
                || (shard.runs_no_code_behind(index) && self.nothing_ran_since(part.shard, is_not_now).await);
            if !in_turn {
                return false;
            }
        }
        true
    }

    /// The index and the fate of the request that was answered last.
    fn last(&self) -> Option<(usize, &Fate)> {
        let index = self.answered.checked_sub(1)?;
        Some((index, self.fates.get(index)?))
    }

    /// What the read that was answered last answers where shards are down and the ring is set so: what the others hold.
    fn missed(
        &self,
        engine: &Engine,
        request: Request<'_>,
        found: Found<'_>,
        error: &Error,
    ) -> Result<Reply, Error> {
        let Some((_, Fate::Merged(merge))) = self.last() else {
            return engine.missed(request, found, error.clone());
        };
        let parts = merge.parts.iter().enumerate().map(|(number, part)| match part {
            Ok(reply) => Ok(reply.clone()),
            Err(error) => match merge.cut.as_ref().and_then(|cut| cut.part(number)) {
                Some(part) => engine.missed(part.pack(request).view(), found, error.clone()),
                None => Err(error.clone()),
            },
        });
        merge.merge(parts.collect(), &self.shards, self.topology.as_deref())
    }

    /// Whether the request that was answered last sees what it would have seen, when it is run now: nothing that it could meet
    /// was written behind it.
    fn comes_in_its_turn(&self, sent: Sent, read: bool) -> bool {
        let Some((index, fate)) = self.last() else { return false };
        let undisturbed =
            |shard: &usize| self.shards.get(*shard).is_some_and(|shard| shard.writes_nothing_behind(index));
        match (fate, sent) {
            // What goes to a shard goes out as a whole: nothing behind it has run either.
            (Fate::One(_) | Fate::Refused(_), Sent::No) => true,
            (Fate::One(shard), Sent::Maybe) => read && undisturbed(shard),
            // Some parts of a read may have run, with what is behind them.
            (Fate::Merged(merged), _) if read => merged.shards.iter().all(undisturbed),
            (Fate::Merged(_), Sent::No) => true,
            _ => false,
        }
    }

    /// Whether a request that failed so, with an error where it got no reply, may go out again, by the rules of single ones.
    /// It has waited then.
    async fn may_repeat(
        &mut self,
        engine: &Engine,
        failure: AttemptFailure,
        error: Option<&Error>,
        repeat: Repeat,
    ) -> bool {
        let Some((_, remaining)) = self.rest(engine) else { return false };
        match engine.decide(&Attempt { repeat, failure, attempts: 1, remaining: Some(remaining) }) {
            Decision::Again { after } => {
                // Of a batch that failed the first waits, for all.
                if !std::mem::replace(&mut self.paused, true) {
                    engine.pause(after).await;
                }
                true
            }
            Decision::GiveUp(_) => {
                let Some((shard, connects)) = error.and_then(|error| self.failed_at(error)) else {
                    return false;
                };
                failure == AttemptFailure::NotWritten && engine.out_or_back(&shard, connects, remaining).await
            }
        }
    }

    /// The shard that an error names, and how many connections it had made when the batch was sent.
    fn failed_at(&self, error: &Error) -> Option<(Arc<Shard>, u64)> {
        let topology = self.topology.as_ref()?;
        let shards = self.shards.iter().take(self.used);
        shards.filter_map(|shard| Some((topology.member(shard.id())?, shard.connects()))).find_map(
            |(member, connects)| {
                (error.shard() == Some(member.shard.name())).then(|| (Arc::clone(&member.shard), connects))
            },
        )
    }

    /// The engine for what is left of the deadline that all attempts share, and how much that is.
    fn rest(&self, engine: &Engine) -> Option<(Engine, Duration)> {
        let shard = &self.topology.as_ref()?.members().first()?.shard;
        let remaining = engine.manner_since(self.began?, shard).deadline;
        (!remaining.is_zero()).then(|| (engine.for_the_rest(remaining), remaining))
    }

    /// Whether nothing has run on a shard behind what was answered last, so that what is made again there comes in its turn:
    /// all that followed met the same refusal.
    async fn nothing_ran_since(&mut self, shard: usize, refusal: fn(&Reply) -> bool) -> bool {
        let Some(shard) = self.shards.get_mut(shard) else { return false };
        poll_fn(|context| shard.poll_refused(refusal, context)).await
    }
}

/// What a shard of the batch says that it cannot run now.
struct Refused {
    shard: usize,
    /// The number of the part, of a request that has several.
    number: usize,
}

impl Fate {
    fn refused(&self) -> Vec<Refused> {
        match self {
            Self::One(shard) => vec![Refused { shard: *shard, number: 0 }],
            Self::Merged(merged) => {
                let parts = merged.shards.iter().zip(&merged.parts).enumerate();
                let refused = parts.filter(|(_, (_, part))| part.as_ref().is_ok_and(is_not_now));
                refused.map(|(number, (shard, _))| Refused { shard: *shard, number }).collect()
            }
            Self::Refused(_) => Vec::new(),
        }
    }
}

/// Whether the server says that it did not run it and cannot now; a script can say so too.
#[inline]
pub(super) fn is_not_now(reply: &Reply) -> bool {
    reply.is_error() && AttemptFailure::of(reply, Speaker::Server) == Some(AttemptFailure::NotNow)
}

/// What came of making a request again, which had this answer.
fn again_or(result: Result<Executed, Error>, answer: Result<Reply, Error>) -> Result<Reply, Error> {
    match result {
        Ok(Executed::Reply(reply)) => Ok(reply),
        Ok(_) => answer,
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use rendis_core::session::Failed;

    use super::*;
    use crate::error::{Cause, Endpoint};

    #[test]
    fn what_no_shard_was_asked_cannot_be_mended_unless_none_was_up() {
        let endpoint = Arc::new(Endpoint { name: "a".to_owned(), address: "b:1".to_owned() });
        let at = |kind, sent| Error::at(&endpoint, Failed { cause: Cause::new(kind, "why"), sent });
        for (error, mended) in [
            (Error::local(Kind::ShardDown, "none is up"), true),
            (at(Kind::ShardDown, Sent::Maybe), true),
            (at(Kind::Timeout, Sent::No), true),
            (at(Kind::Protocol, Sent::Maybe), true),
            (at(Kind::Busy, Sent::No), false),
            (at(Kind::Auth, Sent::No), false),
            (Error::local(Kind::CrossShard, "keys apart"), false),
            (Error::local(Kind::Server, "wrong number of arguments"), false),
            (Error::local(Kind::Refused, "not on a ring"), false),
        ] {
            assert_eq!(Batch::can_mend(&Err(error.clone())), mended, "{error:?}");
        }
    }
}
