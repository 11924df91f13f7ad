//! Who may log in, and what they may do.
//!
//! ```text
//!   client connects ──► initial user: `default` where it needs no password, else nobody
//!   AUTH, HELLO … AUTH ─► Access::authenticate ──► User, kept with the client
//!   every request ─────► User::check; one bool for a user who may do everything
//!   users changed ─────► Access::still ──► the User as it is now, or the client has to go
//! ```
//!
//! A ring without users of its own has one, `default`, who may do everything and needs no password. One that has users has
//! those and no other.

mod password;
mod pattern;
mod rules;
mod user;

use std::collections::HashMap;
use std::sync::Arc;

pub use password::PasswordHash;
pub(crate) use pattern::matches;
pub use rules::{RuleError, Rules};
pub use user::{Denied, User};

/// The users of a ring.
#[derive(Debug)]
pub struct Access {
    users: HashMap<String, Arc<User>>,
    /// What is compared where there is no such user, so that names cannot be found by time.
    nobody: User,
}

/// There is no such user, or it has another password, or it is off. Which of them is not said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("WRONGPASS invalid username-password pair or user is disabled.")]
pub struct WrongPassword;

impl Access {
    /// The name of the user that a client is who has not said another.
    pub const DEFAULT: &'static str = "default";

    /// These users; without any, everybody may do everything.
    #[must_use]
    pub fn new(users: &[User]) -> Self {
        let open = || User::new(Self::DEFAULT.to_owned(), Vec::new(), Rules::open());
        let users = if users.is_empty() { vec![open()] } else { users.to_vec() };
        Self {
            users: users.into_iter().map(|user| (user.name().to_owned(), Arc::new(user))).collect(),
            nobody: User::new(String::new(), vec![PasswordHash::of(b"")], Rules::everything()),
        }
    }

    /// Whether there is a user of this name, or clients have it that have not logged in.
    pub(crate) fn knows(&self, name: &str) -> bool {
        name == Self::DEFAULT || self.users.contains_key(name)
    }

    /// Who a client is that has not logged in: the user `default` where that needs no password.
    #[must_use]
    pub fn initial(&self) -> Option<Arc<User>> {
        self.users.get(Self::DEFAULT).filter(|user| user.is_open()).map(Arc::clone)
    }

    /// The user of this name with this password.
    ///
    /// # Errors
    /// [`WrongPassword`]
    pub fn authenticate(&self, name: &[u8], password: &[u8]) -> Result<Arc<User>, WrongPassword> {
        let given = PasswordHash::of(password);
        let user = std::str::from_utf8(name).ok().and_then(|name| self.users.get(name));
        let good = user.map_or(&self.nobody, Arc::as_ref).takes(&given);
        match user {
            Some(user) if good => Ok(Arc::clone(user)),
            _ => Err(WrongPassword),
        }
    }

    /// The user of this name as it is now, for somebody who logged in with this password before the users were changed:
    /// `None` where they could not log in with it any more.
    pub(crate) fn still(&self, name: &str, password: &PasswordHash) -> Option<Arc<User>> {
        self.users.get(name).filter(|user| user.takes(password)).map(Arc::clone)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(name: &str, password: Option<&str>, rules: &str) -> User {
        let passwords = password.iter().map(|password| PasswordHash::of(password.as_bytes())).collect();
        User::new(name.to_owned(), passwords, Rules::parse(rules).unwrap())
    }

    #[test]
    fn a_ring_without_users_asks_for_no_password() {
        let access = Access::new(&[]);
        assert!(access.initial().unwrap().is_unlimited());
        assert_eq!(access.authenticate(b"default", b"whatever").unwrap().name(), "default");
        assert_eq!(access.authenticate(b"other", b""), Err(WrongPassword));
    }

    #[test]
    fn only_the_right_password_of_a_user_that_is_on_will_do() {
        let access = Access::new(&[
            user("a", Some("x"), "+get"),
            user("off", Some("x"), "off"),
            user("open", None, "nopass"),
            user("none", None, "+@all"),
        ]);
        assert_eq!(access.initial(), None);
        assert_eq!(access.authenticate(b"a", b"x").unwrap().name(), "a");
        assert_eq!(access.authenticate(b"open", b"any").unwrap().name(), "open");
        for (name, password) in
            [("a", "y"), ("a", ""), ("off", "x"), ("none", ""), ("", ""), ("b", ""), ("\u{e9}", "")]
        {
            assert_eq!(access.authenticate(name.as_bytes(), password.as_bytes()), Err(WrongPassword));
        }
        assert!(!format!("{access:?}").contains("2d711642"));
    }

    #[test]
    fn the_default_user_is_where_it_needs_no_password_who_everybody_is() {
        let initial = |rules, password| Access::new(&[user("default", password, rules)]).initial();
        assert!(!initial("nopass +get ~*", None).unwrap().is_unlimited());
        assert_eq!(initial("+@all", Some("x")), None);
        assert_eq!(initial("nopass off", None), None);
    }
}
