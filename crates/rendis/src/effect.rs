//! What a command leaves behind on the connection that it ran on.

use rendis_core::command::{Blocks, Class, Flags, LocalCommand, Row, Transaction};

/// What a command leaves behind on its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    Nothing,
    Transaction(Transaction),
    /// Something that stays until the connection is closed.
    Lasting,
    /// Replies that cannot be paired with requests any more.
    Unpairable,
}

impl Effect {
    pub(crate) fn of(row: &Row, wait: Blocks) -> Self {
        match row.class() {
            Class::Transaction(command) => Self::Transaction(command),
            Class::Subscription(_) | Class::Local(LocalCommand::ClientReply) => Self::Unpairable,
            // What no operator may let through concerns one connection: it takes it over for good, …
            Class::Refused { allowable: false, .. } if row.flags().has(Flags::ADMIN) => Self::Unpairable,
            // … asks about it and waits for the answer, …
            Class::Refused { allowable: false, .. } if wait != Blocks::No => Self::Nothing,
            // … or changes it.
            Class::Refused { allowable: false, .. } => Self::Lasting,
            Class::Local(
                LocalCommand::Auth
                | LocalCommand::ClientNoEvict
                | LocalCommand::ClientNoTouch
                | LocalCommand::ClientSetInfo
                | LocalCommand::ClientSetName
                | LocalCommand::Hello
                | LocalCommand::Quit
                | LocalCommand::ReadOnly
                | LocalCommand::ReadWrite
                | LocalCommand::Reset
                | LocalCommand::Select,
            ) => Self::Lasting,
            _ => Self::Nothing,
        }
    }
}
