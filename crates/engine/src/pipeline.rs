//! Many requests at once: batch after batch where they need not be together, and as one transaction.

use std::future::poll_fn;
use std::sync::Arc;

use rendis_core::command::Repeat;
use rendis_core::plan::{Queued, same_shard, view};
use rendis_core::reply::Reply;
use rendis_core::request::RequestBuf;
use rendis_core::session::{Replies, Sent};
use tokio::time::Instant;

use crate::attempt::{Route, refused};
use crate::batch::{Batch, MOST_REQUESTS};
use crate::engine::{Engine, no_shard};
use crate::error::{Cause, Error, Kind};
use crate::frames::Item;
use crate::gather::Executed;
use crate::runtime;
use crate::shard::Shard;

/// The results of a pipeline, one for each request in the order written.
pub type Results = Vec<Result<Executed, Error>>;

impl Engine {
    /// Runs requests that need not be together. Each has a result of its own.
    ///
    /// Cancel safe: what was not written when the future is dropped is never sent.
    pub async fn pipeline<I: Item + Send + Sync>(&self, items: &[I]) -> Results {
        let mut results = Vec::with_capacity(items.len());
        let mut batch = Batch::default();
        while let Some(rest @ [first, ..]) = items.get(results.len()..) {
            if batch.send(self, |index| rest.get(index), MOST_REQUESTS).await == 0 {
                results.push(self.run(first).await);
            }
            for item in rest {
                let Some(answer) = poll_fn(|context| batch.poll_next(context)).await else { break };
                let answer = if Batch::can_mend(&answer) {
                    Box::pin(batch.mend(self, item, answer)).await
                } else {
                    if answer.is_err() {
                        runtime::breathe().await;
                    }
                    answer
                };
                results.push(answer.map(Executed::Reply));
            }
        }
        results
    }

    /// Runs requests as one transaction: `MULTI`, all of them, `EXEC`, on the one shard that holds all their keys.
    ///
    /// # Errors
    /// [`Kind::CrossShard`] or [`Kind::Refused`] when they cannot run together; nothing was sent then. Else as
    /// [`Engine::call_shard`].
    pub async fn transaction<I: Item>(&self, items: &[I]) -> Result<Executions, Error> {
        let requests: Vec<RequestBuf> = items.iter().map(|item| item.pack().into_buf()).collect();
        let table = self.learn_unknown(&requests).await?;
        let wrap = |name: &'static [u8]| RequestBuf::pack([name]);
        let views = requests.iter().map(|request| (request.view(), table.find(request.view())));
        let mut frames = self.scripts().lessons(views);
        let lessons = frames.len();
        frames.push(wrap(b"MULTI"));
        frames.extend(requests.iter().cloned());
        frames.push(wrap(b"EXEC"));
        self.call(
            Instant::now(),
            Route::Together { requests: &requests, table: &table },
            frames.as_slice(),
            Repeat::Never,
        )
        .await
        .and_then(|replies| executed(replies, lessons))
        .map_err(|error| if error.shard().is_some() { error.of_command(b"EXEC") } else { error })
    }

    /// Makes sure that these requests can run on this shard, as parts of a transaction or beside one, and says what to send
    /// in front of them: what makes the scripts known that they run by SHA-1. Its replies are of no interest: a request
    /// whose script is not known after all says so. A shard whose connections were made anew since is the same, see
    /// [`Shard::is_same_server`].
    ///
    /// # Errors
    /// [`Kind::CrossShard`] or [`Kind::Refused`] when they cannot.
    pub async fn check_shard(
        &self,
        requests: &[RequestBuf],
        shard: &Arc<Shard>,
    ) -> Result<Vec<RequestBuf>, Error> {
        let table = self.learn_unknown(requests).await?;
        let views = requests.iter().map(|request| (request.view(), table.find(request.view())));
        let topology = self.topology_for(views.clone()).await?;
        let ring = view(&topology);
        match same_shard(views.clone(), &ring) {
            Ok(Queued::On(id)) => match topology.member(id) {
                Some(member) if member.shard.is_same_server(shard) => {}
                _ => return Err(watched_elsewhere(shard)),
            },
            Ok(Queued::Rather(_) | Queued::Anywhere) => {}
            Ok(Queued::NoShard) => return Err(no_shard()),
            Err((_, refusal)) => return Err(refused(&refusal)),
        }
        Ok(self.scripts().lessons(views))
    }
}

/// The error of keys that are not on the shard of those that are watched.
#[must_use]
pub fn watched_elsewhere(shard: &Shard) -> Error {
    let text = format!(
        "CROSSSLOT Keys in request don't hash to the same shard: the watched keys are on {}; give keys that belong together \
         one hash tag",
        shard.name()
    );
    Error::local(Kind::CrossShard, text)
}

/// What a transaction came to.
#[derive(Clone, Debug)]
pub struct Executions {
    /// The reply to `EXEC`: the list of replies, or an error when the server refused to run any of them (then none ran).
    pub reply: Reply,
    /// The first error with which the server refused to take a request in, where it did.
    pub refused: Option<Reply>,
}

/// The replies to some lessons, `MULTI`, the requests and `EXEC` → those that count.
fn executed(replies: Replies<Reply>, lessons: usize) -> Result<Executions, Error> {
    let mut replies = match replies {
        Replies::Many(replies) => replies,
        Replies::One(reply) => vec![reply],
    };
    were_together(replies.get(lessons..).unwrap_or_default())?;
    let reply = replies.pop().ok_or_else(|| Error::local(Kind::Protocol, "a transaction without a reply"))?;
    let refused = replies.into_iter().skip(lessons).find(Reply::is_error);
    Ok(Executions { reply, refused })
}

/// Whether the replies to `MULTI`, requests and `EXEC` are those of a transaction.
///
/// # Errors
/// [`Kind::Refused`], [`Sent::Maybe`], when the server refused `MULTI` (to this user, say) and so ran what followed by
/// itself, one request after the other.
pub fn were_together(replies: &[Reply]) -> Result<(), Error> {
    let [multi, requests @ .., _] = replies else { return Ok(()) };
    let Some(refusal) = multi.as_error() else { return Ok(()) };
    // Refused for the same reason, none of them ran (`LOADING`). Another error may be a script's, which did.
    if requests.iter().all(|reply| reply.as_error().is_some_and(|error| error.code == refusal.code)) {
        return Ok(());
    }
    let why = String::from_utf8_lossy(refusal.text);
    let text = format!("MULTI was refused, and the requests ran by themselves, not as a transaction: {why}");
    Err(Error::new(Cause::new(Kind::Refused, text), Sent::Maybe, None))
}
