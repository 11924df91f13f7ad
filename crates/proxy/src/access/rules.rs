//! The rules of a user, in the words of Redis ACL rules.
//!
//! | rule | |
//! |---|---|
//! | `+get` `-get` `+config` `+config\|get` `-config\|set` | a command, with its subcommands; one subcommand |
//! | `+@read` `-@dangerous` | a category |
//! | `+@all` `allcommands` `-@all` `nocommands` | all commands, none |
//! | `~cache:*` `%R~ro:*` `%W~log:*` | keys: all access, only to know what they hold, only to change it |
//! | `~*` `allkeys` `resetkeys` | all keys; none so far |
//! | `&news.*` `&*` `allchannels` `resetchannels` | channels |
//! | `on` `off` `nopass` `reset` | may be used; may not; any password will do; as if there were no rules before |
//!
//! Later rules change what earlier ones said. What nothing allows is forbidden.

use rendis_core::command::{Categories, Row, Table};

use super::pattern;

/// What a user may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    enabled: bool,
    any_password: bool,
    commands: Vec<CommandRule>,
    keys: Vec<KeyRule>,
    channels: Vec<Vec<u8>>,
    /// Whether nothing is forbidden. Each follows from the lists above.
    all_commands: bool,
    all_keys: bool,
    all_channels: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct CommandRule {
    allowed: bool,
    whom: Whom,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Whom {
    All,
    Category(Categories),
    /// A command and its subcommands, or a subcommand as `container|subcommand`. In lower case.
    Command(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct KeyRule {
    reads: bool,
    writes: bool,
    pattern: Vec<u8>,
}

/// What is wrong with a rule: what was found, and what is allowed. A password is not repeated.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct RuleError(String);

impl Rules {
    /// Everything is allowed, with whatever password.
    pub(super) fn open() -> Self {
        let mut rules = Self::everything();
        rules.any_password = true;
        rules
    }

    /// Everything is allowed: what holds for a user of whom no rules are given.
    #[must_use]
    pub fn everything() -> Self {
        Self {
            commands: vec![CommandRule { allowed: true, whom: Whom::All }],
            all_commands: true,
            all_keys: true,
            all_channels: true,
            ..Self::nothing()
        }
    }

    /// The user may log in and do nothing, which is where every list of rules begins.
    fn nothing() -> Self {
        Self {
            enabled: true,
            any_password: false,
            commands: Vec::new(),
            keys: Vec::new(),
            channels: Vec::new(),
            all_commands: false,
            all_keys: false,
            all_channels: false,
        }
    }

    /// Reads rules separated by blanks.
    ///
    /// ```
    /// use rendis_proxy::access::Rules;
    ///
    /// assert!(Rules::parse("+@read -@dangerous +config|get ~cache:* %R~ro:* &news.*").is_ok());
    /// let error = Rules::parse("+@raed").unwrap_err();
    /// assert!(error.to_string().starts_with("found \"+@raed\", which is no category; allowed: @all, @keyspace"));
    /// ```
    ///
    /// # Errors
    /// [`RuleError`] for the first rule that is none.
    pub fn parse(text: &str) -> Result<Self, RuleError> {
        let table = Table::default();
        let mut rules = Self::nothing();
        for rule in text.split_whitespace() {
            rules.add(rule, &table)?;
        }
        Ok(rules)
    }

    fn add(&mut self, rule: &str, table: &Table) -> Result<(), RuleError> {
        let mut characters = rule.chars();
        let rest = |characters: std::str::Chars<'_>| characters.as_str().to_owned();
        match characters.next() {
            Some(sign @ ('+' | '-')) => {
                return self.add_command(sign == '+', rule, &rest(characters), table);
            }
            Some('~') => return self.add_keys(rule, true, true, characters.as_str()),
            Some('%') => {
                let (access, pattern) = characters.as_str().split_once('~').unwrap_or_default();
                let has = |letter: char| access.chars().any(|other| other.eq_ignore_ascii_case(&letter));
                let known = access.chars().all(|letter| "rRwW".contains(letter));
                if access.is_empty() || !known {
                    return Err(wrong(rule, "which does not say which access", "%R~…, %W~…, %RW~…"));
                }
                return self.add_keys(rule, has('r'), has('w'), pattern);
            }
            Some('&') => return self.add_channels(rule, characters.as_str()),
            Some('>' | '<' | '#' | '!') => {
                let allowed = "passwords in password, password_file or password_sha256";
                return Err(RuleError(format!("found a password among the rules; allowed: {allowed}")));
            }
            Some('(') => return Err(wrong(rule, "a selector", "rules that hold for the user as a whole")),
            _ => {}
        }
        match rule.to_ascii_lowercase().as_str() {
            "on" => self.enabled = true,
            "off" => self.enabled = false,
            "nopass" => self.any_password = true,
            "reset" => *self = Self::nothing(),
            "allcommands" => self.allow(true, Whom::All),
            "nocommands" => self.allow(false, Whom::All),
            "allkeys" => return self.add_keys(rule, true, true, "*"),
            "resetkeys" => {
                self.keys.clear();
                self.all_keys = false;
            }
            "allchannels" => return self.add_channels(rule, "*"),
            "resetchannels" => {
                self.channels.clear();
                self.all_channels = false;
            }
            _ => return Err(wrong(rule, "which is no rule", RULES)),
        }
        Ok(())
    }

    fn add_command(&mut self, allowed: bool, rule: &str, name: &str, table: &Table) -> Result<(), RuleError> {
        if let Some(category) = name.strip_prefix('@') {
            if category.eq_ignore_ascii_case("all") {
                self.allow(allowed, Whom::All);
                return Ok(());
            }
            let Some(category) = Categories::named(category.as_bytes()) else {
                let names: Vec<_> = Categories::all_names().map(|name| format!("@{name}")).collect();
                return Err(wrong(rule, "which is no category", &format!("@all, {}", names.join(", "))));
            };
            self.allow(allowed, Whom::Category(category));
            return Ok(());
        }
        let name = name.to_ascii_lowercase();
        // Commands of modules are not known before a server is asked; their names have a dot.
        let of_module = name.contains('.') && name.bytes().all(|byte| byte.is_ascii_graphic());
        if table.named(name.as_bytes()).is_none() && !of_module {
            let container = name.split_once('|').and_then(|(name, _)| table.named(name.as_bytes()));
            return Err(match container {
                Some(row) if row.subcommands().is_empty() => {
                    let allowed = format!("+{} or -{0}, each command by itself", row.name());
                    wrong(rule, "a command without subcommands", &allowed)
                }
                Some(row) => {
                    let names: Vec<_> = row.subcommands().iter().map(Row::name).collect();
                    wrong(rule, "which is no subcommand", &names.join(", "))
                }
                None => wrong(rule, "which is no command", "names of commands such as +get or +config|get"),
            });
        }
        self.allow(allowed, Whom::Command(name));
        Ok(())
    }

    fn allow(&mut self, allowed: bool, whom: Whom) {
        self.all_commands = allowed && (self.all_commands || whom == Whom::All);
        if whom == Whom::All && !allowed {
            self.commands.clear();
        }
        self.commands.push(CommandRule { allowed, whom });
    }

    fn add_keys(&mut self, rule: &str, reads: bool, writes: bool, pattern: &str) -> Result<(), RuleError> {
        if pattern.is_empty() {
            return Err(wrong(rule, "a pattern that is empty", "~* or ~beginning*"));
        }
        let all = reads && writes && pattern == "*";
        if self.all_keys && all {
            return Ok(());
        }
        if self.all_keys {
            return Err(wrong(rule, "though all keys are allowed already", "resetkeys before it"));
        }
        // Rules about the same pattern are one, as on a server.
        if let Some(known) = self.keys.iter_mut().find(|known| known.pattern == pattern.as_bytes()) {
            known.reads |= reads;
            known.writes |= writes;
            self.all_keys = pattern == "*" && known.reads && known.writes;
            return Ok(());
        }
        self.all_keys = all;
        self.keys.push(KeyRule { reads, writes, pattern: pattern.as_bytes().to_vec() });
        Ok(())
    }

    fn add_channels(&mut self, rule: &str, pattern: &str) -> Result<(), RuleError> {
        if pattern.is_empty() {
            return Err(wrong(rule, "a pattern that is empty", "&* or &beginning*"));
        }
        if self.all_channels && pattern == "*" {
            return Ok(());
        }
        if self.all_channels {
            return Err(wrong(rule, "though all channels are allowed already", "resetchannels before it"));
        }
        self.all_channels = pattern == "*";
        self.channels.push(pattern.as_bytes().to_vec());
        Ok(())
    }

    pub(super) const fn enabled(&self) -> bool {
        self.enabled
    }

    /// Whether any password will do.
    #[must_use]
    pub const fn any_password(&self) -> bool {
        self.any_password
    }

    /// Whether nothing at all is forbidden.
    pub(super) const fn forbid_nothing(&self) -> bool {
        self.all_commands && self.all_keys && self.all_channels
    }

    pub(super) fn command(&self, row: &Row) -> bool {
        if self.all_commands {
            return true;
        }
        self.commands.iter().rev().find(|rule| rule.whom.is(row)).is_some_and(|rule| rule.allowed)
    }

    /// Whether a rule names this command, or the scripts as a group, and no later one forbids it.
    pub(super) fn names_script(&self, row: &Row) -> bool {
        let rules = self.commands.iter().rev().filter(|rule| rule.whom.is(row));
        rules.take_while(|rule| rule.allowed).any(|rule| match rule.whom {
            Whom::All => false,
            Whom::Category(category) => category.overlaps(Categories::SCRIPTING),
            Whom::Command(_) => true,
        })
    }

    pub(super) fn key(&self, key: &[u8], reads: bool, writes: bool) -> bool {
        let enough = |rule: &&KeyRule| (rule.reads || !reads) && (rule.writes || !writes);
        self.all_keys || self.keys.iter().filter(enough).any(|rule| pattern::matches(&rule.pattern, key))
    }

    /// Whether what any key holds may be known.
    pub(super) fn reads_all_keys(&self) -> bool {
        self.all_keys || self.keys.iter().any(|rule| rule.reads && rule.pattern == b"*")
    }

    pub(super) fn channel(&self, channel: &[u8]) -> bool {
        self.all_channels || self.channels.iter().any(|known| pattern::matches(known, channel))
    }

    /// Patterns are not compared by what they match: the very same pattern has to be among the rules.
    pub(super) fn channel_pattern(&self, pattern: &[u8]) -> bool {
        self.all_channels || self.channels.iter().any(|known| known == pattern)
    }
}

impl Whom {
    fn is(&self, row: &Row) -> bool {
        match self {
            Self::All => true,
            Self::Category(category) => row.categories().overlaps(*category),
            Self::Command(name) => {
                let after = row.name().strip_prefix(name.as_str());
                after.is_some_and(|after| after.is_empty() || after.starts_with('|'))
            }
        }
    }
}

const RULES: &str = "+command, -command, +@category, -@category, ~keys*, %R~keys*, %W~keys*, &channels*, allcommands, \
                     nocommands, allkeys, resetkeys, allchannels, resetchannels, on, off, nopass, reset";

fn wrong(rule: &str, what: &str, allowed: &str) -> RuleError {
    let shown: String = rule.chars().take(60).collect();
    RuleError(format!("found \"{}\", {what}; allowed: {allowed}", shown.escape_debug()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(rules: &str, name: &str) -> bool {
        Rules::parse(rules).unwrap().command(Table::default().named(name.as_bytes()).unwrap())
    }

    #[test]
    fn the_last_rule_that_is_about_a_command_decides() {
        for (rules, command, expected) in [
            ("", "get", false),
            ("+get", "get", true),
            ("+GET", "set", false),
            ("+@all", "flushall", true),
            ("+@all -@dangerous", "flushall", false),
            ("+@all -@dangerous", "config|get", false),
            ("+@all -@dangerous +config|get", "config|get", true),
            ("+@all -@dangerous +config|get", "config|set", false),
            ("+config -config|set", "config|get", true),
            ("+config -config|set", "config|set", false),
            ("-get +@read", "get", true),
            ("+@read -get", "get", false),
            ("+@read", "set", false),
            ("+@all nocommands +ping", "get", false),
            ("+@all reset +ping", "get", false),
            ("+get", "getex", false),
            ("+json.get", "get", false),
        ] {
            assert_eq!(allowed(rules, command), expected, "{rules}: {command}");
        }
    }

    #[test]
    fn nothing_is_forbidden_only_where_all_of_it_is_allowed() {
        let free = |rules: &str| Rules::parse(rules).unwrap().forbid_nothing();
        assert!(free("+@all ~* &*"));
        assert!(free("allcommands allkeys allchannels -get +@all"));
        assert!(Rules::everything().forbid_nothing());
        for limited in ["", "+@all ~* &a", "+@all %R~* &*", "+@all -get ~* &*", "+@all -get +get ~* &*"] {
            assert!(!free(limited), "{limited}");
        }
    }

    #[test]
    fn keys_are_allowed_by_one_pattern_with_all_the_access_needed() {
        let rules = Rules::parse("~cache:* %R~ro:* %W~log:* %rw~both").unwrap();
        assert!(rules.key(b"cache:1", true, true));
        assert!(rules.key(b"ro:1", true, false) && !rules.key(b"ro:1", false, true));
        assert!(rules.key(b"log:1", false, true) && !rules.key(b"log:1", true, true));
        assert!(rules.key(b"both", true, true));
        assert!(!rules.key(b"other", false, false) && rules.key(b"ro:1", false, false));
        // Two patterns that each give a half do not add up, unless they are the same.
        let rules = Rules::parse("%R~k* %W~*k").unwrap();
        assert!(!rules.key(b"k", true, true));
        let rules = Rules::parse("%R~k %W~k +@all &*").unwrap();
        assert!(rules.key(b"k", true, true) && !rules.forbid_nothing());
        assert!(Rules::parse("%R~* %W~* +@all &*").unwrap().forbid_nothing());
    }

    #[test]
    fn what_is_no_rule_is_refused_with_what_is_allowed() {
        for (rules, expected) in [
            ("+@raed", "found \"+@raed\", which is no category; allowed: @all, @keyspace, @read"),
            ("+gett", "found \"+gett\", which is no command; allowed: names of commands"),
            ("+config|gett", "found \"+config|gett\", which is no subcommand; allowed: config|get"),
            ("+get|set", "found \"+get|set\", a command without subcommands; allowed: +get or -get"),
            ("get", "found \"get\", which is no rule; allowed: +command"),
            ("~", "a pattern that is empty; allowed: ~*"),
            ("%X~a", "found \"%X~a\", which does not say which access; allowed: %R~"),
            ("%~a", "found \"%~a\", which does not say"),
            ("%R", "found \"%R\", which does not say"),
            ("allkeys ~a", "found \"~a\", though all keys are allowed already; allowed: resetkeys"),
            ("&* &a", "found \"&a\", though all channels"),
            ("(+get ~a)", "found \"(+get\", a selector"),
            (">hunter2", "found a password among the rules; allowed: passwords in password, "),
            ("#hunter2", "found a password among"),
        ] {
            let error = Rules::parse(rules).unwrap_err().to_string();
            assert!(error.contains(expected) && !error.contains("hunter2"), "{rules}: {error}");
        }
    }
}
