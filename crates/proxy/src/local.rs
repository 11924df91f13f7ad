//! The commands that are answered here: those about a client's own connection, and those about the server that a ring
//! looks like.
//!
//! What a server answers, down to the order of fields and the words of errors, is what redis-server 7.0 answers; tests
//! ask both.

mod client;
mod command;
mod info;
mod kill;
mod session;

use std::time::{SystemTime, UNIX_EPOCH};

use rendis_core::command::LocalCommand;
use rendis_core::reply::{
    push_array, push_bulk, push_error, push_integer, push_null, push_ok, push_resp3_null, push_simple,
};
use rendis_core::request::{Request, push_header};

use crate::access::Access;
use crate::context::Context;
use crate::identity::{FailedLogin, Identity};

pub(crate) use self::info::state;

/// What happens to the connection after a local command.
#[derive(Debug)]
pub(crate) enum After {
    /// It goes on.
    Stay,
    /// It ends once the answer is written.
    Close,
    /// Transaction, subscriptions and the like are dropped; then it goes on.
    Reset,
    /// Nothing is answered yet.
    Refuse(FailedLogin),
}

/// Answers a local command, whose number of arguments is right, into `out`. Whether the client wants to hear it is for
/// the caller to say.
///
/// Waits only where it says so: for a shard (`COMMAND …`, the number of keys in `INFO`).
///
/// Cancel safe: a dropped future has answered nothing.
pub(crate) async fn answer(
    command: LocalCommand,
    request: Request<'_>,
    identity: &mut Identity,
    context: &Context,
    out: &mut Vec<u8>,
) -> After {
    use LocalCommand as L;
    match command {
        L::Ping => ping(request, out),
        L::Echo => push_bulk(out, request.argument(1).unwrap_or_default()),
        L::Time => time(out),
        L::Quit => {
            push_ok(out);
            return After::Close;
        }
        L::Reset => {
            identity.reset(&context.shared);
            push_simple(out, b"RESET");
            return After::Reset;
        }
        L::Hello => return stay_if(session::hello(request, identity, context, out)),
        L::Auth => return stay_if(session::auth(request, identity, &context.shared, out)),
        L::AclWhoami => {
            push_bulk(out, identity.user().map_or(Access::DEFAULT, |user| user.name()).as_bytes());
        }
        // A ring reads where it writes, so both change nothing.
        L::Select | L::ReadOnly | L::ReadWrite => push_ok(out),
        L::ClusterDisabled => push_error(out, "ERR", "This instance has cluster support disabled"),
        L::Role => role(out),
        L::Info => info::info(request, identity, context, out).await,
        L::ClientId => push_integer(out, i64::try_from(identity.id()).unwrap_or(i64::MAX)),
        L::ClientGetName => client::name(identity, out),
        L::ClientSetName => client::set_name(request, identity, out),
        L::ClientSetInfo => client::set_info(request, identity, out),
        L::ClientInfo => client::info(identity, out),
        L::ClientKill => return kill::kill(request, identity, &context.shared, out),
        L::ClientList => client::list(request, identity, &context.shared, out),
        L::ClientNoEvict => client::no_evict(request, identity, out),
        L::ClientNoTouch => client::no_touch(request, identity, out),
        L::ClientReply => client::reply(request, identity, out),
        L::ClientGetRedir => push_integer(out, -1),
        L::ClientTrackingInfo => client::tracking_info(identity.resp3, out),
        L::Command
        | L::CommandCount
        | L::CommandDocs
        | L::CommandGetKeys
        | L::CommandGetKeysAndFlags
        | L::CommandInfo
        | L::CommandList => {
            let engine = context.engine(identity.resp3);
            command::answer(command, request, identity.resp3, engine, out).await;
        }
        // The set may grow; whoever adds to it adds here.
        _ => push_error(out, "ERR", "this command is not known here"),
    }
    After::Stay
}

fn stay_if(logged_in: Result<(), FailedLogin>) -> After {
    logged_in.map_or_else(After::Refuse, |()| After::Stay)
}

fn ping(request: Request<'_>, out: &mut Vec<u8>) {
    match (request.argument(1), request.argument(2)) {
        (None, _) => push_simple(out, b"PONG"),
        (Some(text), None) => push_bulk(out, text),
        (Some(_), Some(_)) => push_error(out, "ERR", "wrong number of arguments for 'ping' command"),
    }
}

/// The time of this machine, in seconds and microseconds.
fn time(out: &mut Vec<u8>) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    push_array(out, 2);
    push_bulk(out, now.as_secs().to_string().as_bytes());
    push_bulk(out, now.subsec_micros().to_string().as_bytes());
}

/// A master without replicas.
fn role(out: &mut Vec<u8>) {
    push_array(out, 3);
    push_bulk(out, b"master");
    push_integer(out, 0);
    push_array(out, 0);
}

/// A text that RESP3 calls verbatim, and RESP2 a bulk string.
fn push_text(out: &mut Vec<u8>, resp3: bool, text: &[u8]) {
    if resp3 {
        push_header(out, b'=', text.len() + 4);
        out.extend_from_slice(b"txt:");
        out.extend_from_slice(text);
        out.extend_from_slice(b"\r\n");
    } else {
        push_bulk(out, text);
    }
}

fn push_nothing(out: &mut Vec<u8>, resp3: bool) {
    if resp3 {
        push_resp3_null(out);
    } else {
        push_null(out);
    }
}
