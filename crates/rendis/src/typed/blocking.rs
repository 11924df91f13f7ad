//! The `redis` crate's interface without async, whose commands come as packed bytes.

use redis::{Cmd, Pipeline, RedisResult, Value, aio};
use rendis_core::command::{Class, Found, Table, Transaction};
use rendis_core::request::{Request, RequestBuf};

use super::packed_requests;
use crate::error::{Error, Kind};

pub(crate) use redis::ConnectionLike;

/// Runs one packed command.
pub(crate) async fn packed_command<C: aio::ConnectionLike>(
    connection: &mut C,
    packed: &[u8],
) -> RedisResult<Value> {
    match packed_requests(packed)?.as_slice() {
        [request] => connection.req_packed_command(&cmd(request.view())).await,
        requests => {
            let text = format!("{} packed commands where one was expected", requests.len());
            Err(Error::local(Kind::Refused, text).into())
        }
    }
}

/// Runs a packed pipeline, of whose replies `count` from `offset` on are asked for.
pub(crate) async fn packed_commands<C: aio::ConnectionLike>(
    connection: &mut C,
    packed: &[u8],
    offset: usize,
    count: usize,
) -> RedisResult<Vec<Value>> {
    let pipeline = pipeline(&packed_requests(packed)?, offset, count);
    connection.req_packed_commands(&pipeline, offset, count).await
}

/// An atomic pipeline is packed with `MULTI` before and `EXEC` after it, and nothing but the last reply is asked for. Who
/// writes the same by hand wants a reply for each.
fn pipeline(requests: &[RequestBuf], offset: usize, count: usize) -> Pipeline {
    let only_the_last = count == 1 && offset.checked_add(1) == Some(requests.len());
    let (atomic, commands) = match requests {
        [first, commands @ .., last]
            if only_the_last
                && is(first.view(), Transaction::Begin)
                && is(last.view(), Transaction::Execute) =>
        {
            (true, commands)
        }
        _ => (false, requests),
    };
    let mut pipeline = Pipeline::with_capacity(commands.len());
    for request in commands {
        pipeline.add_command(cmd(request.view()));
    }
    if atomic {
        pipeline.atomic();
    }
    pipeline
}

fn is(request: Request<'_>, command: Transaction) -> bool {
    let table = Table::default();
    matches!(table.find(request), Found::Row(row) if row.class() == Class::Transaction(command))
}

fn cmd(request: Request<'_>) -> Cmd {
    let mut cmd = Cmd::with_capacity(request.count(), request.bytes().len());
    for argument in request.arguments() {
        cmd.arg(argument);
    }
    cmd
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packed_pipeline_is_the_same_after_unpacking() {
        let mut plain = redis::pipe();
        plain.set("a", &b"\r\n\0"[..]).get("b").cmd("PING");
        let mut atomic = redis::pipe();
        atomic.atomic().incr("a", 1).get("");
        let mut by_hand = redis::pipe();
        by_hand.cmd("MULTI").set("a", 1).cmd("EXEC");
        for original in [plain, atomic, by_hand, redis::pipe(), redis::pipe().atomic().to_owned()] {
            let packed = original.get_packed_pipeline();
            let (offset, count) =
                if original.is_transaction() { (original.len() + 1, 1) } else { (0, original.len()) };
            let unpacked = pipeline(&packed_requests(&packed).unwrap(), offset, count);
            assert_eq!(unpacked.get_packed_pipeline(), packed);
            assert_eq!(unpacked.is_transaction(), original.is_transaction());
        }
    }
}
