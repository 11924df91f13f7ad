//! `CLIENT …`

use std::collections::HashSet;
use std::fmt::Write as _;

use rendis_core::reply::{push_array, push_bulk, push_error, push_integer, push_map, push_ok, push_set};
use rendis_core::request::{Request, is_word};

use crate::clients::Card;
use crate::context::Shared;
use crate::identity::{Identity, ReplyMode};

use super::{push_nothing, push_text};

/// `CLIENT GETNAME`
pub(super) fn name(identity: &Identity, out: &mut Vec<u8>) {
    let name = identity.card().facts().name;
    if name.is_empty() {
        push_nothing(out, identity.resp3);
    } else {
        push_bulk(out, &name);
    }
}

/// `CLIENT SETNAME name`; an empty name takes it away.
pub(super) fn set_name(request: Request<'_>, identity: &Identity, out: &mut Vec<u8>) {
    let name = request.argument(2).unwrap_or_default();
    if let Err(text) = check_name(name) {
        return push_error(out, "ERR", &text);
    }
    identity.card().change(|facts| facts.name = name.to_vec());
    push_ok(out);
}

/// `CLIENT SETINFO LIB-NAME|LIB-VER text`
pub(super) fn set_info(request: Request<'_>, identity: &Identity, out: &mut Vec<u8>) {
    let (what, value) = (request.argument(2).unwrap_or_default(), request.argument(3).unwrap_or_default());
    let is_name = is_word(what, "lib-name");
    let shown = String::from_utf8_lossy(what);
    if !is_name && !is_word(what, "lib-ver") {
        return push_error(out, "ERR", &format!("Unrecognized option '{shown}'"));
    }
    if !is_plain(value) {
        let text = format!("{shown} cannot contain spaces, newlines or special characters.");
        return push_error(out, "ERR", &text);
    }
    if value.len() > LONGEST_NAME {
        return push_error(out, "ERR", &format!("{shown} {TOO_LONG}"));
    }
    identity.card().change(|facts| {
        *(if is_name { &mut facts.library } else { &mut facts.library_version }) = value.to_vec();
    });
    push_ok(out);
}

/// `CLIENT NO-EVICT ON|OFF`: a proxy evicts nobody for what replies take, so it is only remembered.
pub(super) fn no_evict(request: Request<'_>, identity: &Identity, out: &mut Vec<u8>) {
    switch(request, out, |on| identity.card().change(|facts| facts.no_evict = on));
}

/// `CLIENT NO-TOUCH ON|OFF`: many clients share a connection to a shard, so it is only remembered.
pub(super) fn no_touch(request: Request<'_>, identity: &Identity, out: &mut Vec<u8>) {
    switch(request, out, |on| identity.card().change(|facts| facts.no_touch = on));
}

fn switch(request: Request<'_>, out: &mut Vec<u8>, set: impl FnOnce(bool)) {
    let word = request.argument(2).unwrap_or_default();
    if is_word(word, "on") {
        set(true);
    } else if is_word(word, "off") {
        set(false);
    } else {
        return push_error(out, "ERR", "syntax error");
    }
    push_ok(out);
}

/// `CLIENT REPLY ON|OFF|SKIP`: only `ON` has an answer.
pub(super) fn reply(request: Request<'_>, identity: &mut Identity, out: &mut Vec<u8>) {
    let word = request.argument(2).unwrap_or_default();
    if is_word(word, "on") {
        identity.reply = ReplyMode::On;
        push_ok(out);
    } else if is_word(word, "off") {
        identity.reply = ReplyMode::Off;
    } else if !is_word(word, "skip") {
        push_error(out, "ERR", "syntax error");
    } else if identity.reply != ReplyMode::Off {
        identity.reply = ReplyMode::SkipNext;
    }
}

/// `CLIENT TRACKINGINFO` of a client that tracks nothing.
pub(super) fn tracking_info(resp3: bool, out: &mut Vec<u8>) {
    if resp3 {
        push_map(out, 3);
    } else {
        push_array(out, 6);
    }
    push_bulk(out, b"flags");
    if resp3 {
        push_set(out, 1);
    } else {
        push_array(out, 1);
    }
    push_bulk(out, b"off");
    push_bulk(out, b"redirect");
    push_integer(out, -1);
    push_bulk(out, b"prefixes");
    push_array(out, 0);
}

/// `CLIENT INFO`
pub(super) fn info(identity: &Identity, out: &mut Vec<u8>) {
    push_text(out, identity.resp3, line(identity.card(), Some("client|info")).as_bytes());
}

/// `CLIENT LIST [TYPE type] [ID id …]`
pub(super) fn list(request: Request<'_>, identity: &Identity, shared: &Shared, out: &mut Vec<u8>) {
    let cards = match chosen(request, shared) {
        Ok(cards) => cards,
        Err(text) => return push_error(out, "ERR", &text),
    };
    let own = |card: &Card| (card.id == identity.id()).then_some("client|list");
    let lines: String = cards.iter().map(|card| line(card, own(card))).collect();
    push_text(out, identity.resp3, lines.as_bytes());
}

fn chosen(request: Request<'_>, shared: &Shared) -> Result<Vec<std::sync::Arc<Card>>, String> {
    let syntax = || "syntax error".to_owned();
    let Some(word) = request.argument(2) else { return Ok(shared.clients.all()) };
    if is_word(word, "type") && request.count() == 4 {
        let kind = Kind::parse(request.argument(3).unwrap_or_default())?;
        let mut cards = shared.clients.all();
        cards.retain(|card| kind.is_of(card));
        return Ok(cards);
    }
    if is_word(word, "id") && request.count() > 3 {
        let ids = request.arguments().skip(3).map(|id| number(id).ok_or("Invalid client ID"));
        let ids = ids.collect::<Result<Vec<_>, _>>()?;
        // A line for each client, however often it is named.
        let mut named = HashSet::new();
        let find = |id: i64| u64::try_from(id).ok().and_then(|id| shared.clients.find(id));
        return Ok(ids.into_iter().filter(|id| named.insert(*id)).filter_map(find).collect());
    }
    Err(syntax())
}

/// A number as servers take it: in the one form in which they write it.
pub(super) fn number(text: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(text).ok()?;
    text.parse::<i64>().ok().filter(|number| number.to_string() == text)
}

/// What kind of client a server's word means.
pub(super) enum Kind {
    Normal,
    Listening,
    /// Servers, of which none are clients here.
    Replicating,
}

impl Kind {
    /// # Errors
    /// What a server says to another word.
    pub(super) fn parse(word: &[u8]) -> Result<Self, String> {
        let is = |names: &[&str]| names.iter().any(|name| is_word(word, name));
        if is(&["normal"]) {
            Ok(Self::Normal)
        } else if is(&["pubsub"]) {
            Ok(Self::Listening)
        } else if is(&["master", "replica", "slave"]) {
            Ok(Self::Replicating)
        } else {
            Err(format!("Unknown client type '{}'", String::from_utf8_lossy(word)))
        }
    }

    pub(super) fn is_of(&self, card: &Card) -> bool {
        match self {
            Self::Normal => card.facts().listens == [0; 3],
            Self::Listening => card.facts().listens != [0; 3],
            Self::Replicating => false,
        }
    }
}

/// One client in one line, with all fields that a server has. What this proxy does not keep of each client (buffers) has
/// the value that means nothing, and of the last command of another than this one there is no subcommand.
fn line(card: &Card, command: Option<&str>) -> String {
    let facts = card.facts();
    let [channels, patterns, shard_channels] = facts.listens;
    let mut flags = String::new();
    for (set, flag) in [
        (channels + patterns + shard_channels > 0, 'P'),
        (card.queued().is_some(), 'x'),
        (card.is_blocked(), 'b'),
        (card.local_address.starts_with('/'), 'U'),
        (facts.no_evict, 'e'),
        (facts.no_touch, 'T'),
    ] {
        if set {
            flags.push(flag);
        }
    }
    if flags.is_empty() {
        flags.push('N');
    }
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let multi = card.queued().map_or_else(|| "-1".to_owned(), |count| count.to_string());
    let command = command.map(str::to_owned).or_else(|| card.command());
    let mut line = String::new();
    let _ = writeln!(
        line,
        "id={} addr={} laddr={} fd=-1 name={} age={} idle={} flags={flags} db=0 sub={channels} psub={patterns} \
         ssub={shard_channels} multi={multi} qbuf=0 qbuf-free=0 argv-mem=0 multi-mem=0 rbs=0 rbp=0 obl=0 oll=0 omem=0 \
         tot-mem=0 events=r cmd={} user={} redir=-1 resp={} lib-name={} lib-ver={}",
        card.id,
        card.address,
        card.local_address,
        text(&facts.name),
        card.since.elapsed().as_secs(),
        card.idle(),
        command.as_deref().unwrap_or("NULL"),
        facts.user(),
        if facts.resp3 { 3 } else { 2 },
        text(&facts.library),
        text(&facts.library_version),
    );
    line
}

/// Whether a client can have this name.
///
/// # Errors
/// Why not.
pub(super) fn check_name(name: &[u8]) -> Result<(), String> {
    if !is_plain(name) {
        return Err("Client names cannot contain spaces, newlines or special characters.".to_owned());
    }
    if name.len() > LONGEST_NAME {
        return Err(format!("Client names {TOO_LONG}"));
    }
    Ok(())
}

/// Whether a text can stand in the list of clients.
fn is_plain(text: &[u8]) -> bool {
    text.iter().all(|byte| (b'!'..=b'~').contains(byte))
}

/// The names of a client and of its library are kept as long as it is connected, and `CLIENT LIST` has those of all: servers
/// set no limit.
const LONGEST_NAME: usize = 1024;
const TOO_LONG: &str = "can have up to 1024 bytes here.";
