//! What is known of one client.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rendis_core::command::{Found, Table};
use rendis_core::plan::{Plan, View, plan};
use rendis_core::request::Request;
use rendis_engine::engine::Engine;

use crate::access::{Denied, PasswordHash, User, WrongPassword};
use crate::clients::{Card, Clients};
use crate::context::Shared;

/// What is known of one client.
#[derive(Debug)]
pub(crate) struct Identity {
    /// Whether it speaks RESP3; changed by [`Identity::speak`].
    pub(crate) resp3: bool,
    pub(crate) reply: ReplyMode,
    /// Who has logged in; nobody where that is needed and did not happen.
    user: Option<Arc<User>>,
    /// With which password, where one was given.
    password: Option<PasswordHash>,
    /// Which users it knows, see [`Shared::epoch`].
    epoch: u64,
    /// Whether its requests have to be checked.
    limited: bool,
    /// How often it failed to log in since it last did.
    failures: u32,
    card: Arc<Card>,
    clients: Arc<Clients>,
}

/// A login that failed.
#[derive(Debug)]
pub(crate) struct FailedLogin {
    /// What is answered.
    pub(crate) why: WrongPassword,
    /// How long the answer takes.
    pub(crate) penalty: Duration,
    /// Whether it was one too many in a row: the client has to go.
    pub(crate) last: bool,
}

/// What became of a client when users were changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UserChange {
    /// It may do what it could.
    Same,
    /// Other rules hold for it, or it has to log in.
    Changed,
    /// Its user is gone, or is off, or has another password: the client has to go.
    Gone,
}

/// Whether a client wants replies. What it listens to are no replies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReplyMode {
    On,
    Off,
    /// Not to the next command.
    SkipNext,
    /// Not to this command.
    Skip,
}

impl ReplyMode {
    /// The next command is worked off.
    pub(crate) fn begin(&mut self) {
        if *self == Self::SkipNext {
            *self = Self::Skip;
        }
    }

    /// It is done.
    pub(crate) fn end(&mut self) {
        if *self == Self::Skip {
            *self = Self::On;
        }
    }
}

impl Identity {
    /// A client that came in.
    pub(crate) fn new(shared: &Shared, address: String, local_address: String) -> Self {
        let clients = Arc::clone(&shared.clients);
        let card = clients.enter(address, local_address);
        let mut identity = Self {
            resp3: false,
            reply: ReplyMode::On,
            user: None,
            password: None,
            epoch: 0,
            limited: true,
            failures: 0,
            card,
            clients,
        };
        identity.become_initial(shared);
        identity
    }

    /// Its number, for `CLIENT ID`.
    pub(crate) fn id(&self) -> u64 {
        self.card.id
    }

    /// What others can see of it.
    pub(crate) const fn card(&self) -> &Arc<Card> {
        &self.card
    }

    /// As `RESET` leaves it.
    pub(crate) fn reset(&mut self, shared: &Shared) {
        self.speak(false);
        if self.reply == ReplyMode::Off {
            self.reply = ReplyMode::On;
        }
        self.card.change(|facts| {
            facts.name.clear();
            facts.no_evict = false;
            facts.no_touch = false;
            facts.listens = [0; 3];
        });
        self.become_initial(shared);
    }

    /// Changes the protocol.
    pub(crate) fn speak(&mut self, resp3: bool) {
        self.resp3 = resp3;
        self.card.change(|facts| facts.resp3 = resp3);
    }

    /// Logs in. Somebody else's password is the concern of nobody but this client: the answer to what fails takes a while,
    /// longer each time from [`SHORTEST_PENALTY`] to [`LONGEST_PENALTY`], and meanwhile everybody else is served.
    ///
    /// # Errors
    /// [`FailedLogin`]; the client stays who it was.
    pub(crate) fn log_in(
        &mut self,
        shared: &Shared,
        name: &[u8],
        password: &[u8],
    ) -> Result<(), FailedLogin> {
        let epoch = shared.epoch();
        let access = Arc::clone(&shared.rules.load().access);
        match access.authenticate(name, password) {
            Ok(user) => {
                self.failures = 0;
                self.password = Some(PasswordHash::of(password));
                self.epoch = epoch;
                self.become_user(Some(user));
                Ok(())
            }
            Err(why) => {
                let penalty = SHORTEST_PENALTY.saturating_mul(1 << self.failures.min(MOST_FAILURES));
                self.failures = self.failures.saturating_add(1);
                shared.failed_logins.fetch_add(1, Ordering::Relaxed);
                if let Some(others) = shared.failed_login_lines.next(Instant::now()) {
                    let (ring, address, failures) = (&shared.name, &self.card.address, self.failures);
                    let user = name.get(..SHOWN).unwrap_or(name).escape_ascii();
                    let others = (others > 0).then_some(others);
                    tracing::warn!(ring, address, %user, failures, others, "a client failed to log in");
                }
                let last = self.failures >= MOST_FAILURES;
                Err(FailedLogin { why, penalty: penalty.min(LONGEST_PENALTY), last })
            }
        }
    }

    /// Whether users were changed since it was last looked who this is: one comparison, for every batch of requests.
    #[inline]
    pub(crate) fn is_outdated(&self, shared: &Shared) -> bool {
        self.epoch != shared.epoch()
    }

    /// Becomes who it is among the users that there are now.
    pub(crate) fn update(&mut self, shared: &Shared) -> UserChange {
        let before = self.user.clone();
        match (&self.user, &self.password) {
            (Some(user), Some(password)) => {
                let epoch = shared.epoch();
                let Some(now) = shared.rules.load().access.still(user.name(), password) else {
                    return UserChange::Gone;
                };
                self.epoch = epoch;
                self.become_user(Some(now));
            }
            _ => self.become_initial(shared),
        }
        if before == self.user { UserChange::Same } else { UserChange::Changed }
    }

    /// Who has logged in.
    pub(crate) const fn user(&self) -> Option<&Arc<User>> {
        self.user.as_ref()
    }

    /// Whether requests have to be checked before they run: not those of a user who may do everything.
    #[inline]
    pub(crate) const fn is_limited(&self) -> bool {
        self.limited
    }

    /// Whether it has still to log in before it may do anything else.
    pub(crate) const fn is_guest(&self) -> bool {
        self.user.is_none()
    }

    /// How many of the first requests may run, `most` at most. The one after them is a case for [`Identity::check`].
    pub(crate) fn admitted<'r>(
        &self,
        table: &Table,
        requests: impl Iterator<Item = Request<'r>>,
        most: usize,
    ) -> usize {
        if !self.limited {
            return most;
        }
        let admitted = |request: &Request<'_>| match table.find(*request) {
            found @ Found::Row(_) => self.permits(found, *request).is_ok(),
            Found::UnknownSubcommand(_) | Found::Unknown => false,
        };
        requests.take(most).take_while(admitted).count()
    }

    /// Whether a request may run. A command that is not in the table is looked up on a shard first, unless nobody has
    /// logged in; one that no server knows is let through, to be refused in words of its own.
    ///
    /// # Errors
    /// [`Denied`]; the request must not run.
    pub(crate) async fn check(
        &self,
        shared: &Shared,
        engine: &Engine,
        request: Request<'_>,
    ) -> Result<(), Denied> {
        if !self.limited {
            return Ok(());
        }
        let table = engine.table().load_full();
        let mut found = table.find(request);
        let newer;
        if matches!(found, Found::Unknown) && self.user.is_some() {
            // Where it cannot be had now, what is permitted by its name or not at all.
            let _ = engine.learn(request.name()).await;
            newer = engine.table().load_full();
            found = newer.find(request);
        }
        let permitted = self.permits(found, request);
        if permitted.is_err() {
            shared.denied.fetch_add(1, Ordering::Relaxed);
        }
        permitted
    }

    fn permits(&self, found: Found<'_>, request: Request<'_>) -> Result<(), Denied> {
        match (&self.user, found) {
            (None, Found::Row(row)) if User::is_for_all(row) => Ok(()),
            (None, _) => Err(Denied::NotAuthenticated),
            (Some(user), Found::Row(row)) => user.check(row, request),
            (Some(_), Found::UnknownSubcommand(_)) => Ok(()),
            // Not let through: a shard that is back a moment later could know it.
            (Some(_), Found::Unknown) => {
                match plan(request, Found::Unknown, &View::new(|_: &[u8]| None, &[])) {
                    Plan::Refused(refusal) => Err(Denied::Unknown(refusal)),
                    _ => Err(Denied::Command(request.name().escape_ascii().to_string())),
                }
            }
        }
    }

    /// Becomes who everybody is that has not logged in.
    fn become_initial(&mut self, shared: &Shared) {
        self.epoch = shared.epoch();
        self.password = None;
        self.become_user(shared.rules.load().access.initial());
    }

    fn become_user(&mut self, user: Option<Arc<User>>) {
        self.limited = user.as_ref().is_none_or(|user| !user.is_unlimited());
        self.card.change(|facts| facts.user = user.as_ref().map(|user| user.name().to_owned()));
        self.user = user;
    }
}

impl Drop for Identity {
    fn drop(&mut self) {
        self.clients.leave(&self.card);
    }
}

/// How much of a user's name is logged.
const SHOWN: usize = 64;

/// How long the answer to a wrong password takes: the first time, and at most.
const SHORTEST_PENALTY: Duration = Duration::from_millis(100);
const LONGEST_PENALTY: Duration = Duration::from_secs(2);

/// How often a client may fail to log in in a row. What it sends is not read while it waits for an answer, so this is also
/// what ends one that has gone unseen.
const MOST_FAILURES: u32 = 10;

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::{self, Lookup, Sources};

    #[test]
    fn logins_that_fail_cost_more_and_more_and_ten_in_a_row_are_the_last() {
        let text = "[[ring]]\nname = \"r\"\nlisten = \"127.0.0.1:1\"\n[[ring.user]]\nname = \"default\"\npassword = \"x\"\n\
                    [[ring.shard]]\nname = \"one\"\nurl = \"redis://127.0.0.1:1\"\n";
        let lookup =
            Some(Lookup { variable: &|_| None, read: &|_| Err(std::io::ErrorKind::NotFound.into()) });
        let sources = Sources { file: "r", directory: Path::new(""), lookup };
        let ring = config::parse(text, &sources).unwrap().rings.remove(0);
        let shared = Shared::new(&ring).unwrap();
        let mut identity = Identity::new(&shared, String::new(), String::new());
        for _ in 0..2 {
            let failed: Vec<_> =
                (0..10).map(|_| identity.log_in(&shared, b"default", b"y").unwrap_err()).collect();
            let penalties: Vec<_> = failed.iter().map(|failed| failed.penalty.as_millis()).collect();
            assert_eq!(penalties, [100, 200, 400, 800, 1600, 2000, 2000, 2000, 2000, 2000]);
            assert_eq!(failed.iter().position(|failed| failed.last), Some(9));
            identity.log_in(&shared, b"default", b"x").unwrap();
        }
    }
}
