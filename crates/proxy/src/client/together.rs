//! Requests that go out together, and their answers as they come.

use std::borrow::Cow;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use rendis_core::reply::Reply;
use rendis_engine::batch::Batch;
use rendis_engine::error::Error;
use tokio::time::timeout;

use super::Client;

impl Client {
    /// Sends as many of the requests found, from `done` on, as can and may go out together, and hands out their answers
    /// as they come. Says how many those are: none when the first has to be run by itself.
    pub(super) async fn together(&mut self, done: usize) -> io::Result<usize> {
        let engine = self.context.engine(self.identity.resp3);
        let mut most = self.window.requests();
        if self.identity.is_limited() {
            // What the user may not do is answered so by itself, and checked anew after a login.
            most = self.identity.admitted(&engine.table().load(), self.inbox.requests(done), most);
        }
        let (begun, waited) = (self.context.stats.begin(), self.out.waited());
        let scratch = self.scratch.get_or_insert_with(|| self.context.scratch());
        if self.out.bytes.is_empty() {
            std::mem::swap(&mut self.out.bytes, &mut scratch.bytes);
        }
        let count = scratch.batch.send(engine, |index| self.inbox.request(done + index), most).await;
        self.context.stats.taken_in(scratch.batch.commands());
        if let Some(last) = scratch.batch.commands().last() {
            self.identity.card().sent(*last);
        }
        let mut bytes = 0;
        for index in done..done + count {
            let taken = self.scratch.as_mut().and_then(|scratch| scratch.batch.next_taken());
            let answer = match taken {
                Some(reply) => Ok(reply),
                None => self.next_answer().await?,
            };
            let answer =
                if Batch::can_mend(&answer) { Box::pin(self.mend(index, answer)).await? } else { answer };
            match &answer {
                Ok(reply) => {
                    bytes += reply.frame().len();
                    let reply = match self.inbox.request(index) {
                        Some(request) => self.shown(self.context.engine(self.identity.resp3), request, reply),
                        None => Cow::Borrowed(reply),
                    };
                    if self.append(&reply) {
                        Box::pin(self.write_out(&reply)).await?;
                    }
                }
                Err(error) => Box::pin(self.error(error)).await?,
            }
            self.owed = self.owed.saturating_sub(1);
        }
        if count > 0 {
            // How long the client takes to read is its own affair.
            self.context.stats.end(begun.map(|begun| begun + (self.out.waited() - waited)));
            self.window.learn(count, bytes);
        }
        Ok(count)
    }

    /// The next answer of the batch. What is there goes out when it has to be waited for longer: not at once, because
    /// most often the other shards answer in the same moment, and one write is cheaper than several.
    async fn next_answer(&mut self) -> io::Result<Result<Reply, Error>> {
        let context = Arc::clone(&self.context);
        let mut late = false;
        loop {
            let Some(scratch) = &mut self.scratch else { return Err(io::ErrorKind::Other.into()) };
            let batch = &mut scratch.batch;
            let mut next = poll_fn(|context| batch.poll_next(context));
            let answer = match poll_fn(|context| Poll::Ready(Pin::new(&mut next).poll(context))).await {
                Poll::Ready(answer) => Some(answer),
                Poll::Pending => {
                    let _waits = context.moderation.waits();
                    if late {
                        timeout(LOOK_AGAIN, next).await.ok()
                    } else {
                        tokio::select! {
                            biased;
                            answer = next => Some(answer),
                            () = context.ticker.moment() => None,
                        }
                    }
                }
            };
            match answer {
                Some(answer) => return answer.ok_or_else(|| io::ErrorKind::Other.into()),
                None => self.flush().await?,
            }
            self.held().check_behind()?;
            late = true;
        }
    }

    async fn mend(&mut self, index: usize, answer: Result<Reply, Error>) -> io::Result<Result<Reply, Error>> {
        // It takes a while.
        self.flush().await?;
        let engine = self.context.engine(self.identity.resp3);
        Ok(match (&mut self.scratch, self.inbox.request(index)) {
            (Some(scratch), Some(request)) => scratch.batch.mend(engine, request, answer).await,
            _ => answer,
        })
    }
}

/// How often is looked what is held while the next reply is late.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
