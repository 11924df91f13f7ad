//! One request, the short way: straight to the shard of its only key.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use rendis_core::command::{Found, Repeat, Table};
use rendis_core::reply::Reply;
use rendis_core::session::Replies;
use tokio::time::Instant;

use crate::attempt::Route;
use crate::call::OwnedCall;
use crate::engine::{Engine, no_shard};
use crate::error::{Error, Failure};
use crate::frames::Item;
use crate::gather::Executed;
use crate::runtime;
use crate::shard::Shard;

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
        Table::only_key(|index| item.argument(index), item.count()).is_some()
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
        let found = table.find(request.view());
        let repeat = match found {
            Found::Row(row) => row.repeat(request.view()),
            _ => Repeat::Never,
        };
        let route = Route::Planned { request: request.view(), found };
        let send = |shard: Arc<Shard>, manner| async move { shard.call(manner, item).await };
        self.settle_one(began, outcome, shard, &route, repeat, send)
            .await
            .map(Executed::Reply)
            .map_err(|error| error.of_command(name))
    }
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
        let only = Table::only_key(|index| item.argument(index), item.count())?;
        let shard = self.engine.shard_of(only.row, only.key)?;
        self.engine.scripts().notice(only.row, |index| item.argument(index));
        Some(shard)
    }

    fn planned(&mut self) -> Stage<'a> {
        let (engine, item) = (self.engine, self.item.take());
        Stage::Rare(Box::pin(async move {
            let Some(item) = item else { return Err(no_shard()) };
            let packed = item.pack();
            let request = packed.view();
            let result = engine.execute(request).await;
            if result.is_err() {
                runtime::breathe().await;
            }
            result.map_err(|error| error.of_command(request.name()))
        }))
    }

    fn refused(&self, error: &Error) -> Stage<'a> {
        let name = self.item.as_ref().and_then(|item| item.argument(0)).unwrap_or_default();
        let error = error.of_command(name);
        Stage::Rare(Box::pin(async move {
            runtime::breathe().await;
            Err(error)
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
                        Some(Err(error)) => this.refused(&error),
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
