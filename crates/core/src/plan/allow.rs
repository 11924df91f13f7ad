use std::collections::BTreeSet;

use crate::command::{Class, LocalCommand, Row, Table};

/// The commands that an operator lets through although a ring refuses them.
///
/// ```
/// use rendis_core::{command::Table, plan::Allow};
///
/// assert!(Allow::new(["DEBUG", "config rewrite"], &Table::default()).is_ok());
/// let error = Allow::new(["MONITOR"], &Table::default()).unwrap_err();
/// assert_eq!(error.to_string(), "'monitor' cannot be allowed: it would take over a connection that many share");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Allow {
    names: BTreeSet<String>,
}

/// Why a command cannot be let through.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AllowError {
    /// The table does not have it.
    #[error("'{0}' is not a known command")]
    Unknown(String),
    /// It does not have to be.
    #[error("'{0}' needs no allowance")]
    NotRefused(String),
    /// It would break the connections of the ring.
    #[error("'{name}' cannot be allowed: {because}")]
    Never {
        /// The command.
        name: String,
        /// Why.
        because: &'static str,
    },
}

impl Allow {
    /// The commands of these names in any case; a subcommand as `CONFIG REWRITE` or `config|rewrite`, a container for
    /// all of its subcommands that can be allowed.
    ///
    /// # Errors
    /// [`AllowError`] for the first name that cannot be.
    pub fn new<'n>(names: impl IntoIterator<Item = &'n str>, table: &Table) -> Result<Self, AllowError> {
        let mut allow = Self::default();
        for name in names {
            let name = name.split_whitespace().collect::<Vec<_>>().join("|").to_ascii_lowercase();
            let Some(row) = table.named(name.as_bytes()) else {
                return Err(AllowError::Unknown(name));
            };
            let before = allow.names.len();
            for row in row.subcommands().iter().chain([row]) {
                if matches!(row.class(), Class::Refused { allowable: true, .. }) {
                    allow.names.insert(row.name().to_owned());
                }
            }
            match row.class() {
                Class::Refused { because, allowable: false } => {
                    return Err(AllowError::Never { name, because });
                }
                Class::Local(LocalCommand::Select) => {
                    return Err(AllowError::Never { name, because: "a ring has one database" });
                }
                _ if allow.names.len() == before && !allow.names.contains(row.name()) => {
                    return Err(AllowError::NotRefused(name));
                }
                _ => {}
            }
        }
        Ok(allow)
    }

    pub(super) fn has(&self, row: &Row) -> bool {
        self.names.contains(row.name())
    }
}
