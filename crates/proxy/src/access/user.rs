//! A user, and whether it may run a request.

use std::fmt;

use rendis_core::command::{Anchor, Care, Categories, Class, Flags, Library, Row, Subscription};
use rendis_core::plan::Refusal;
use rendis_core::request::{Request, is_word};

use super::password::PasswordHash;
use super::rules::Rules;

/// Somebody who may log in, and what they may do then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    name: String,
    passwords: Vec<PasswordHash>,
    rules: Rules,
}

/// Why a request is not run. `Display` is the error line without its leading `-`, in the words of servers.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Denied {
    /// Nobody has logged in.
    NotAuthenticated,
    /// The command is forbidden; its name, a subcommand's as `container|subcommand`.
    Command(String),
    /// The command runs scripts or changes functions, which can do what the user cannot, and no rule names it.
    Script(String),
    /// One of the keys is forbidden, or what the command does with it.
    Key,
    /// One of the channels is forbidden.
    Channel,
    /// No server knows the command.
    Unknown(Refusal),
    /// An option of `SORT` looks into other keys.
    Pattern(&'static str),
}

impl User {
    /// A user with these passwords, each of which will do.
    #[must_use]
    pub const fn new(name: String, passwords: Vec<PasswordHash>, rules: Rules) -> Self {
        Self { name, passwords, rules }
    }

    /// The name it logs in with.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its rules.
    #[must_use]
    pub const fn rules(&self) -> &Rules {
        &self.rules
    }

    /// Whether it needs no password to log in.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        self.rules.enabled() && self.rules.any_password()
    }

    /// Whether it may do everything, so that its requests need no look.
    #[must_use]
    pub const fn is_unlimited(&self) -> bool {
        self.rules.forbid_nothing()
    }

    /// Whether this password will do. Every password is compared, and each in constant time.
    pub(super) fn takes(&self, password: &PasswordHash) -> bool {
        let known = self.passwords.iter().fold(false, |known, own| known | own.same(password));
        self.rules.enabled() && (known || self.rules.any_password())
    }

    /// Whether it may run this request, whose row this is.
    ///
    /// A request whose number of arguments is wrong, or which does not say what its keys are, is let through: it is
    /// refused when it is planned or by every server, with words that help more.
    ///
    /// Two things differ from a server. What a script does is not checked here, because it runs on a shard as the
    /// shard's user; so to run scripts, and to change functions, takes a rule that names them (`+eval`, `+function|load`,
    /// `+@scripting`), unless the user is unlimited. And where what a command does with a key depends on its
    /// options (`SET` with and without `GET`, `BITFIELD`), it takes the right to all of it.
    ///
    /// # Errors
    /// [`Denied`], with the first thing that is forbidden: the command, its keys, its channels.
    pub fn check(&self, row: &Row, request: Request<'_>) -> Result<(), Denied> {
        let rules = &self.rules;
        if rules.forbid_nothing() || !row.takes(request.count()) || Self::is_for_all(row) {
            return Ok(());
        }
        if !rules.command(row) {
            return Err(Denied::Command(row.name().to_owned()));
        }
        if gives_the_shards_rights(row) && !rules.names_script(row) {
            return Err(Denied::Script(row.name().to_owned()));
        }
        let argument = |index: usize| request.argument(index).unwrap_or_default();
        if let Ok(mut keys) = row.keys(request)
            && !keys.all(|key| rules.key(argument(key.index), key.access.reads(), key.access.writes()))
        {
            return Err(Denied::Key);
        }
        self.check_channels(row, request)?;
        if row.care() == Care::Patterns
            && !rules.reads_all_keys()
            && let Some((pattern, _)) = row.patterns(request).next()
        {
            let is = |argument: &[u8]| std::ptr::eq(argument.as_ptr(), pattern.as_ptr());
            let at = request.arguments().position(is).unwrap_or_default();
            let by = is_word(argument(at.saturating_sub(1)), "by");
            return Err(Denied::Pattern(if by { "BY" } else { "GET" }));
        }
        Ok(())
    }

    /// Whether everybody may run it, also who has not logged in: what is needed to log in and to leave. Servers say so of
    /// commands of modules as well; those run on shards, where this proxy has logged in, and are not meant.
    #[must_use]
    pub fn is_for_all(row: &Row) -> bool {
        row.flags().has(Flags::NO_AUTH) && matches!(row.class(), Class::Local(_))
    }

    /// Whether it may listen to this channel.
    pub(crate) fn may_hear(&self, channel: &[u8]) -> bool {
        self.rules.channel(channel)
    }

    /// Whether it may listen to this pattern.
    pub(crate) fn may_hear_pattern(&self, pattern: &[u8]) -> bool {
        self.rules.channel_pattern(pattern)
    }

    fn check_channels(&self, row: &Row, request: Request<'_>) -> Result<(), Denied> {
        let mut names = request.arguments().skip(1);
        let good = match row.class() {
            Class::Subscription(Subscription::Channels | Subscription::ShardChannels) => {
                names.all(|channel| self.rules.channel(channel))
            }
            Class::Subscription(Subscription::Patterns) => {
                names.all(|pattern| self.rules.channel_pattern(pattern))
            }
            Class::Anchored(Anchor::Argument(index)) if row.categories().overlaps(Categories::PUBSUB) => {
                let channel = request.argument(usize::from(index));
                channel.is_none_or(|channel| self.rules.channel(channel))
            }
            _ => true,
        };
        if good { Ok(()) } else { Err(Denied::Channel) }
    }
}

/// Whether a command runs scripts or functions, or changes what others run when they call a function. Who keeps a script
/// changes nothing for others, who call it by what it says.
fn gives_the_shards_rights(row: &Row) -> bool {
    let runs = row.categories().overlaps(Categories::SCRIPTING) && !row.specs().is_empty();
    runs || row.library() == Library::ChangesFunctions
}

impl fmt::Display for Denied {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        const NO: &str = "NOPERM this user has no permissions to";
        match self {
            Self::NotAuthenticated => out.write_str("NOAUTH Authentication required."),
            Self::Command(name) => write!(out, "{NO} run the '{name}' command"),
            Self::Script(name) => write!(
                out,
                "{NO} run the '{name}' command: scripts and functions reach what a user of a ring does not, so a rule \
                 has to name the command, as +{name} or +@scripting"
            ),
            Self::Unknown(refusal) => write!(out, "{refusal}"),
            Self::Key => write!(out, "{NO} access one of the keys used as arguments"),
            Self::Channel => write!(out, "{NO} access one of the channels used as arguments"),
            Self::Pattern(option) => {
                write!(out, "ERR {option} option of SORT denied due to insufficient ACL permissions")
            }
        }
    }
}

impl std::error::Error for Denied {}

#[cfg(test)]
mod tests {
    use super::*;
    use rendis_core::command::{Found, Table};
    use rendis_core::request::RequestBuf;

    fn check(rules: &str, words: &str) -> Option<String> {
        let user = User::new("u".to_owned(), Vec::new(), Rules::parse(rules).unwrap());
        let request = RequestBuf::pack(words.split(' ').map(str::as_bytes).collect::<Vec<_>>());
        let table = Table::default();
        let Found::Row(row) = table.find(request.view()) else { panic!("{words}") };
        user.check(row, request.view()).err().map(|denied| denied.to_string())
    }

    #[test]
    fn commands_keys_and_channels_are_each_checked() {
        const RULES: &str = "+@all -@dangerous -set ~cache:* %R~ro:* %W~log:* &chan* +sort";
        const KEY: Option<&str> =
            Some("NOPERM this user has no permissions to access one of the keys used as arguments");
        const CHANNEL: Option<&str> =
            Some("NOPERM this user has no permissions to access one of the channels used as arguments");
        for (words, expected) in [
            ("GET cache:1", None),
            ("get ro:1", None),
            ("GET a", KEY),
            ("GET log:1", KEY),
            ("LPUSH log:1 x", None),
            ("INCR ro:1", KEY),
            ("PFCOUNT ro:1", None),
            ("EXISTS log:1 ro:1", None),
            ("EXISTS log:1 other", KEY),
            ("COPY ro:1 cache:2", None),
            ("COPY ro:1 ro:2", KEY),
            ("SET a b", Some("NOPERM this user has no permissions to run the 'set' command")),
            ("CONFIG GET x", Some("NOPERM this user has no permissions to run the 'config|get' command")),
            ("SUBSCRIBE chan1 chan2", None),
            ("SUBSCRIBE chan1 other", CHANNEL),
            ("SSUBSCRIBE other", CHANNEL),
            ("PSUBSCRIBE chan*", None),
            ("PSUBSCRIBE chan1", CHANNEL),
            ("PUBLISH other x", CHANNEL),
            ("SPUBLISH chan1 x", None),
            ("UNSUBSCRIBE other", None),
            ("SORT cache:1 BY nosort", None),
            ("SORT ro:1 STORE log:1", None),
            ("SORT log:1 STORE log:2", KEY),
            ("SORT cache:1 BY w*", Some("ERR BY option of SORT denied due to insufficient ACL permissions")),
            (
                "SORT cache:1 GET w*",
                Some("ERR GET option of SORT denied due to insufficient ACL permissions"),
            ),
            ("AUTH x", None),
            // Refused by the plan.
            ("GET", None),
        ] {
            assert_eq!(check(RULES, words).as_deref(), expected, "{words}");
        }
        assert_eq!(check("+@all ~cache:* %R~* &*", "SORT cache:1 BY w* GET w*"), None);
    }

    #[test]
    fn keys_after_options_are_checked_as_the_server_finds_them() {
        const RULES: &str = "+@all ~app:*";
        for (words, allowed) in [
            ("MIGRATE h 1 '' 0 1 COPY KEYS app:1 app:2", true),
            ("MIGRATE h 1 '' 0 1 COPY KEYS secret KEYS app:1", false),
            ("MIGRATE h 1 '' 0 1 AUTH KEYS KEYS secret", false),
            ("GEORADIUS app:1 1 1 1 m STORE app:2 STORE secret", false),
            ("GEORADIUS app:1 1 1 1 m STOREDIST app:2 STORE secret", false),
            ("GEORADIUSBYMEMBER app:1 m 1 m STOREDIST app:2 STOREDIST secret", false),
            ("XREADGROUP NOACK GROUP STREAMS c STREAMS secret >", false),
            ("XREADGROUP NOACK GROUP STREAMS c STREAMS app:1 >", true),
            ("XREAD COUNT 1 BLOCK STREAMS STREAMS secret 0", false),
            // Servers read words as C strings.
            ("SORT app:1 BY nosort STORE\0x secret", false),
            ("SORT app:1 BY nosort GET\0 *", false),
            ("SORT_RO app:1 BY\0 app:*", false),
            ("GEORADIUS app:1 1 1 1 m STORE\0 secret", false),
            ("XREAD STREAMS\0 secret 0", false),
            ("XREADGROUP GROUP g c STREAMS\0 secret >", false),
            ("MIGRATE h 1 '' 0 1 KEYS\0 secret", false),
        ] {
            assert_eq!(check(RULES, words).is_none(), allowed, "{words}");
        }
    }

    #[test]
    fn a_limited_user_runs_scripts_only_where_a_rule_names_them() {
        for (rules, good) in [
            ("+@all -@dangerous ~* &*", false),
            ("+@all -@dangerous ~* &* +eval", true),
            ("+eval +@all ~k &*", true),
            ("+@scripting ~* &*", true),
            ("+@slow ~* &*", false),
            ("+@all ~* &*", true),
            // Later rules win: what was named and forbidden is not named by a rule about more.
            ("+eval -eval +@all ~k", false),
            ("+@scripting -@scripting +@slow ~k", false),
            ("+eval -@slow +@all ~k", false),
            ("+eval nocommands +@all ~k", false),
            ("+eval -eval +@all +eval ~k", true),
            ("-@scripting +@scripting ~k", true),
            ("+@scripting -get ~k", true),
        ] {
            let denied = check(rules, "EVAL s 1 k");
            assert_eq!(denied.is_none(), good, "{rules}: {denied:?}");
            assert!(good || denied.unwrap().contains("'eval' command: scripts"), "{rules}");
        }
        assert_eq!(check("+@all -@dangerous ~* &*", "SCRIPT LOAD s"), None);
        // Others run what it loads.
        for words in ["FUNCTION LOAD c", "FUNCTION DELETE l", "FUNCTION FLUSH", "FUNCTION RESTORE d"] {
            assert!(
                check("+@all -@dangerous ~* &*", words).is_some_and(|no| no.contains("' command: scripts"))
            );
            assert_eq!(check("+@all -@dangerous +function ~* &*", words), None);
            assert_eq!(check("+@scripting ~*", words), None);
        }
        assert_eq!(check("+@all -@dangerous +function|load ~*", "FUNCTION LOAD c"), None);
        assert_eq!(check("+@all -@dangerous ~*", "FUNCTION LIST"), None);
    }
}
