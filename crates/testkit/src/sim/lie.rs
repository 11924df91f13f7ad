//! What no server should answer.

/// A lie about one reply. What a lie says reads `LIE`, so that it can be told from the answers of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lie {
    /// A second reply after the first; then nothing more on this connection.
    TooMany,
    /// No reply to this request or to any later one of the connection, and no end of it.
    TooFew,
    /// A reply of another type.
    WrongType,
    /// A bulk string of which a byte comes now and then, for ever.
    EndlessBulk,
    /// A bulk string longer than any server may send.
    HugeBulk,
    /// A push that nobody asked for, before the reply.
    Push,
    /// Bytes that are no RESP.
    Garbage,
    /// Half of the reply, and the end of the connection.
    Half,
}

impl Lie {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::TooMany,
        Self::TooFew,
        Self::WrongType,
        Self::EndlessBulk,
        Self::HugeBulk,
        Self::Push,
        Self::Garbage,
        Self::Half,
    ];

    /// What is sent in place of `reply`, and what the connection does afterwards.
    pub(super) fn instead_of(self, mut reply: Vec<u8>) -> (Vec<u8>, After) {
        match self {
            Self::TooMany => {
                reply.extend_from_slice(b"+LIE\r\n");
                (reply, After::Silence)
            }
            Self::TooFew => (Vec::new(), After::Silence),
            Self::WrongType if reply.starts_with(b"*") => (b"+LIE\r\n".to_vec(), After::Honesty),
            Self::WrongType => (b"*1\r\n+LIE\r\n".to_vec(), After::Honesty),
            Self::EndlessBulk => (b"$1000000\r\nLIE".to_vec(), After::Dripping),
            Self::HugeBulk => (b"$629145600\r\nLIE".to_vec(), After::Silence),
            Self::Push => ([b">2\r\n+LIE\r\n+LIE\r\n".to_vec(), reply].concat(), After::Honesty),
            Self::Garbage => ([b"\x00\xffLIE\r\n\r\n".to_vec(), reply].concat(), After::Silence),
            Self::Half => {
                reply.truncate(reply.len() / 2);
                (reply, After::End)
            }
        }
    }
}

/// What a connection does after a lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum After {
    /// It answers as it should.
    Honesty,
    /// It reads and runs what comes, and sends nothing.
    Silence,
    /// It sends one byte now and then, and reads nothing.
    Dripping,
    /// It ends.
    End,
}
