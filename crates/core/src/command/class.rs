use super::Response;

/// What a ring does with a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Class {
    /// Runs on the shard that holds its keys; they must all be on one.
    Keys,
    /// As [`Class::Keys`]; where a request has no keys, the shard that holds something else.
    KeysOr(Anchor),
    /// The keys are dealt to their shards, with the arguments that belong to each.
    Split(Response),
    /// Runs on every live shard.
    Every(Response),
    /// Runs on any one live shard: all give the same answer, or it does not matter which.
    Any,
    /// One shard after the other, led by a cursor.
    Scan,
    /// A random shard, and another one where that has nothing.
    Random,
    /// Runs on the shard that holds something that is not a key.
    Anchored(Anchor),
    /// Subscriptions, which the caller keeps.
    Subscription(Subscription),
    /// Transactions, which the caller keeps.
    Transaction(Transaction),
    /// Answered without a shard.
    Local(LocalCommand),
    /// Not for a ring.
    Refused {
        /// Why, as the end of a sentence that begins with "because".
        because: &'static str,
        /// Whether an operator can let it through to the shards all the same.
        allowable: bool,
    },
    /// Only a name in front of subcommands.
    Container,
}

/// What places a request that has no keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Anchor {
    /// An argument, as a key would (`PUBLISH` by its channel).
    Argument(u8),
    /// An argument in lower case: the SHA-1 of a script, or the name of a function.
    Name(u8),
    /// The SHA-1 of an argument in lower-case hexadecimal, so that `EVAL` and `EVALSHA` meet.
    Script(u8),
}

/// A command about subscriptions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Subscription {
    /// `SUBSCRIBE`: every argument is a channel, each on the shard that its hash gives.
    Channels,
    /// `PSUBSCRIBE`: every argument is a pattern, on every live shard.
    Patterns,
    /// `SSUBSCRIBE`: every argument is a shard channel.
    ShardChannels,
    /// `UNSUBSCRIBE`: from the channels named, or from all.
    EndChannels,
    /// `PUNSUBSCRIBE`: from the patterns named, or from all.
    EndPatterns,
    /// `SUNSUBSCRIBE`: from the shard channels named, or from all.
    EndShardChannels,
}

/// A command about transactions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transaction {
    /// `MULTI`
    Begin,
    /// `EXEC`
    Execute,
    /// `DISCARD`
    Discard,
    /// `WATCH`: its keys must be on one shard.
    Watch,
    /// `UNWATCH`
    Unwatch,
}

/// A command that is answered without asking a shard. Each is the command of the same name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each variant is the command of its name")]
pub enum LocalCommand {
    AclWhoami,
    Auth,
    ClientGetName,
    ClientGetRedir,
    ClientId,
    ClientInfo,
    ClientKill,
    ClientList,
    ClientNoEvict,
    ClientNoTouch,
    ClientReply,
    ClientSetInfo,
    ClientSetName,
    ClientTrackingInfo,
    /// Any `CLUSTER` command that clients ask at their start, and `ASKING`: answered as a server without cluster
    /// mode does.
    ClusterDisabled,
    Command,
    CommandCount,
    CommandDocs,
    CommandGetKeys,
    CommandGetKeysAndFlags,
    CommandInfo,
    CommandList,
    Echo,
    Hello,
    Info,
    Ping,
    Quit,
    ReadOnly,
    ReadWrite,
    Reset,
    Role,
    /// With database 0; a plan refuses any other.
    Select,
    Time,
}

/// How a command's waiting is bounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// It does not wait. With [`super::Flags::BLOCKING`], of a learned command: nobody knows how long.
    Never,
    /// Seconds, possibly with a fraction, in the last argument.
    LastSeconds,
    /// Seconds, possibly with a fraction, in this argument.
    Seconds(u8),
    /// Milliseconds in this argument.
    Millis(u8),
    /// Milliseconds after this option; without it the command does not wait.
    MillisAfter(&'static str),
}

/// What a command does with the scripts and functions that servers keep, so that a shard that comes back can be given
/// what it missed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Library {
    /// Nothing.
    None,
    /// Keeps a script, whose body is this argument, without running it (`SCRIPT LOAD`).
    Keeps(u8),
    /// Runs and keeps a script, whose body is this argument (`EVAL`).
    Runs(u8),
    /// Runs a script that is kept under the SHA-1 in this argument (`EVALSHA`). Where it is not, the answer is
    /// `NOSCRIPT`, and nothing ran.
    RunsKept(u8),
    /// Forgets all scripts (`SCRIPT FLUSH`).
    Forgets,
    /// Changes the functions that are kept (`FUNCTION LOAD`).
    ChangesFunctions,
}
