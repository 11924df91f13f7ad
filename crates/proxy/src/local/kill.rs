//! `CLIENT KILL`

use rendis_core::reply::{push_error, push_integer, push_ok};
use rendis_core::request::{Request, is_word};

use crate::clients::Card;
use crate::context::Shared;
use crate::identity::Identity;

use super::After;
use super::client::{Kind, number};

/// `CLIENT KILL address`, or `CLIENT KILL` with what the clients have to have in common. The client that asks is spared unless
/// it says otherwise, and else hears the answer before it goes.
pub(super) fn kill(request: Request<'_>, identity: &Identity, shared: &Shared, out: &mut Vec<u8>) -> After {
    let chosen = match Chosen::read(request, shared) {
        Ok(chosen) => chosen,
        Err(text) => {
            push_error(out, "ERR", &text);
            return After::Stay;
        }
    };
    let (mut killed, mut after) = (0, After::Stay);
    for card in shared.clients.all() {
        if !chosen.is(&card) {
            continue;
        }
        if card.id != identity.id() {
            killed += i64::from(card.kill());
        } else if !chosen.spares_me {
            killed += 1;
            after = After::Close;
        }
    }
    match (chosen.by_address_alone, killed) {
        (true, 0) => push_error(out, "ERR", "No such client"),
        (true, _) => push_ok(out),
        (false, _) => push_integer(out, killed),
    }
    after
}

/// Which clients have to go: those that everything said here is true of.
#[derive(Default)]
struct Chosen<'r> {
    /// As before 2.8.12: `CLIENT KILL address`, which is answered in another way.
    by_address_alone: bool,
    spares_me: bool,
    id: Option<u64>,
    kind: Option<Kind>,
    user: Option<&'r str>,
    address: Option<&'r [u8]>,
    local_address: Option<&'r [u8]>,
}

impl<'r> Chosen<'r> {
    /// # Errors
    /// What a server says to other words.
    fn read(request: Request<'r>, shared: &Shared) -> Result<Self, String> {
        if request.count() == 3 {
            return Ok(Self { by_address_alone: true, address: request.argument(2), ..Self::default() });
        }
        let mut chosen = Self { spares_me: true, ..Self::default() };
        for at in (2..request.count()).step_by(2) {
            let syntax = || "syntax error".to_owned();
            let word = request.argument(at).ok_or_else(syntax)?;
            let value = request.argument(at + 1).ok_or_else(syntax)?;
            if is_word(word, "id") {
                let id = number(value).filter(|id| *id > 0);
                chosen.id = Some(id.map(i64::unsigned_abs).ok_or("client-id should be greater than 0")?);
            } else if is_word(word, "type") {
                chosen.kind = Some(Kind::parse(value)?);
            } else if is_word(word, "user") {
                let name = std::str::from_utf8(value).ok();
                let known = name.filter(|name| shared.rules.load().access.knows(name));
                let unknown = || format!("No such user '{}'", String::from_utf8_lossy(value));
                chosen.user = Some(known.ok_or_else(unknown)?);
            } else if is_word(word, "addr") {
                chosen.address = Some(value);
            } else if is_word(word, "laddr") {
                chosen.local_address = Some(value);
            } else if is_word(word, "skipme") && (is_word(value, "yes") || is_word(value, "no")) {
                chosen.spares_me = is_word(value, "yes");
            } else {
                return Err(syntax());
            }
        }
        Ok(chosen)
    }

    fn is(&self, card: &Card) -> bool {
        self.id.is_none_or(|id| id == card.id)
            && self.address.is_none_or(|address| address == card.address.as_bytes())
            && self.local_address.is_none_or(|address| address == card.local_address.as_bytes())
            && self.kind.as_ref().is_none_or(|kind| kind.is_of(card))
            && self.user.is_none_or(|user| card.facts().user() == user)
    }
}
