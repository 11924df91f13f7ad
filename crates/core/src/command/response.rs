/// How the replies of a command's parts become the one reply that its sender gets.
///
/// The names follow the `response_policy` tips of the Redis documentation where there is one. In every rule but
/// [`Response::OneSucceeded`] an error of any part is the answer of the whole: the first in the order of the parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Response {
    /// Every part answers an array with one element for each of its keys; the elements go to the places that the
    /// keys had in the request (`MGET`).
    ByIndex,
    /// Integers are added (`DEL`, `DBSIZE`, `PUBSUB NUMPAT`).
    Sum,
    /// When all succeeded, the first part's reply stands for all (`MSET`, `FLUSHALL`, `SCRIPT LOAD`).
    AllOk,
    /// Arrays of 0 and 1 (or single ones), and-ed element by element (`SCRIPT EXISTS`).
    LogicalAnd,
    /// Arrays of 0 and 1 (or single ones), or-ed element by element.
    LogicalOr,
    /// The least integer, element by element where the replies are arrays.
    Min,
    /// The greatest integer, element by element where the replies are arrays.
    Max,
    /// Arrays (or sets) are put one after the other, in the order of the parts (`KEYS`, `SLOWLOG GET`).
    Concat,
    /// As [`Response::Concat`], each distinct element once (`PUBSUB CHANNELS`).
    Union,
    /// Arrays of alternating names and integers, with the same names in all of them: the integers at one place are added
    /// (`PUBSUB NUMSUB`).
    PairSum,
    /// The first success in the order of the parts; where there is none the first error, one that is no `NOTBUSY` before those
    /// (`SCRIPT KILL`).
    OneSucceeded,
    /// Arrays (or maps) that say second what runs at present, or null: the first that says something, and the first of all
    /// where nothing runs (`FUNCTION STATS`).
    Running,
    /// The first part's reply, whatever the others say.
    First,
    /// `[cursor, keys]` of one shard, whose cursor is rewritten so that it carries the shard (`SCAN`).
    Scan,
    /// The first reply that is not null, null when all are (`RANDOMKEY`).
    Random,
}
