// Written by scripts/commands/generate.py from the files in data/commands. Do not edit.

use super::{
    Absent, Access, Anchor, Begin, Care, Categories, Class, Find, Flags, KeySpec, Library, LocalCommand,
    Response, Row, Subscription, Transaction, Wait,
    options::Options,
    row::{PLAIN, row},
};

/// Every command, in the order of its name.
pub(super) static ROWS: [Row; 304] = [
    row("acl", -2, Flags::NONE, &[], Class::Container, PLAIN, &ACL),
    row("append", 3, Flags::WRITE.and(Flags::DENYOOM).and(Flags::FAST), &KEYS_0, Class::Keys, PLAIN, &[])
        .about(Categories::STRING),
    row("arcount", 2, Flags::READONLY.and(Flags::FAST), &KEYS_1, Class::Keys, PLAIN, &[]),
    row("ardel", -3, Flags::WRITE.and(Flags::FAST).and(Flags::IDEMPOTENT), &KEYS_2, Class::Keys, PLAIN, &[]),
    row("ardelrange", -4, Flags::WRITE.and(Flags::IDEMPOTENT), &KEYS_2, Class::Keys, PLAIN, &[]),
    row("arget", 3, Flags::READONLY.and(Flags::FAST), &KEYS_1, Class::Keys, PLAIN, &[]),
    row("argetrange", 4, Flags::READONLY, &KEYS_1, Class::Keys, PLAIN, &[]),
    row("argrep", -6, Flags::READONLY, &KEYS_1, Class::Keys, PLAIN, &[]),
    row("arinfo", -2, Flags::READONLY, &KEYS_1, Class::Keys, PLAIN, &[]),
    row("arinsert", -3, Flags::WRITE.and(Flags::DENYOOM).and(Flags::FAST), &KEYS_2, Class::Keys, PLAIN, &[]),
    row("arlastitems", -3, Flags::READONLY, &KEYS_1, Class::Keys, PLAIN, &[]),
    row("arlen", 2, Flags::READONLY.and(Flags::FAST), &KEYS_1, Class::Keys, PLAIN, &[]),
    row("armget", -3, Flags::READONLY.and(Flags::FAST), &KEYS_1, Class::Keys, PLAIN, &[]),
    row(
        "armset",
        -4,
        Flags::WRITE.and(Flags::DENYOOM).and(Flags::FAST).and(Flags::IDEMPOTENT),
        &KEYS_2,
        Class::Keys,
        PLAIN,
        &[],
    ),
    row("arnext", 2, Flags::READONLY.and(Flags::FAST), &KEYS_1, Class::Keys, PLAIN, &[]),
    row("arop", -5, Flags::READONLY, &KEYS_1, Class::Keys, PLAIN, &[]),
    row("arring", -4, Flags::WRITE.and(Flags::DENYOOM), &KEYS_2, Class::Keys, PLAIN, &[]),
    row("arscan", -4, Flags::READONLY, &KEYS_1, Class::Keys, PLAIN, &[]),
    row("arseek", 3, Flags::WRITE.and(Flags::FAST), &KEYS_2, Class::Keys, PLAIN, &[]),
    row(
        "arset",
        -4,
        Flags::WRITE.and(Flags::DENYOOM).and(Flags::FAST).and(Flags::IDEMPOTENT),
        &KEYS_2,
        Class::Keys,
        PLAIN,
        &[],
    ),
    row("asking", 1, Flags::FAST, &[], Class::Local(LocalCommand::ClusterDisabled), PLAIN, &[])
        .about(Categories::CONNECTION),
    row(
        "auth",
        -2,
        Flags::NOSCRIPT
            .and(Flags::LOADING)
            .and(Flags::STALE)
            .and(Flags::FAST)
            .and(Flags::NO_AUTH)
            .and(Flags::ALLOW_BUSY),
        &[],
        Class::Local(LocalCommand::Auth),
        PLAIN,
        &[],
    )
    .about(Categories::CONNECTION),
    row("backup", -2, Flags::NONE, &[], Class::Container, PLAIN, &BACKUP),
    row(
        "bgrewriteaof",
        1,
        Flags::ADMIN.and(Flags::NOSCRIPT).and(Flags::NO_ASYNC_LOADING),
        &[],
        Class::Refused { because: "it administers a server, and a ring has many", allowable: true },
        PLAIN,
        &[],
    ),
    row(
        "bgsave",
        -1,
        Flags::ADMIN.and(Flags::NOSCRIPT).and(Flags::NO_ASYNC_LOADING),
        &[],
        Class::Refused { because: "it administers a server, and a ring has many", allowable: true },
        PLAIN,
        &[],
    ),
    row("bitcount", -2, Flags::READONLY, &KEYS_1, Class::Keys, PLAIN, &[])
        .about(Categories::BITMAP)
        .absent(Absent::Zero),
    row("bitfield", -2, Flags::WRITE.and(Flags::DENYOOM), &KEYS_2, Class::Keys, PLAIN, &[])
        .about(Categories::BITMAP),
    row("bitfield_ro", -2, Flags::READONLY.and(Flags::FAST), &KEYS_1, Class::Keys, PLAIN, &[])
        .about(Categories::BITMAP),
    row("bitop", -4, Flags::WRITE.and(Flags::DENYOOM), &KEYS_3, Class::Keys, PLAIN, &[])
        .about(Categories::BITMAP),
    row("bitpos", -3, Flags::READONLY, &KEYS_1, Class::Keys, PLAIN, &[]).about(Categories::BITMAP),
    row(
        "blmove",
        6,
        Flags::WRITE.and(Flags::DENYOOM).and(Flags::NOSCRIPT).and(Flags::BLOCKING),
        &KEYS_4,
        Class::Keys,
        (Wait::LastSeconds, Care::None, Library::None),
        &[],
    )
    .about(Categories::LIST),
    row(
        "blmovem",
        -6,
        Flags::WRITE.and(Flags::DENYOOM).and(Flags::BLOCKING),
        &KEYS_31,
        Class::Keys,
        (Wait::Seconds(5), Care::None, Library::None),
        &[],
    )
    .about(Categories::LIST),
    row(
        "blmpop",
        -5,
        Flags::WRITE.and(Flags::BLOCKING).and(Flags::MOVABLEKEYS),
        &KEYS_5,
        Class::Keys,
        (Wait::Seconds(1), Care::None, Library::None),
        &[],
    )
    .about(Categories::LIST),
    row(
        "blpop",
        -3,
        Flags::WRITE.and(Flags::NOSCRIPT).and(Flags::BLOCKING),
        &KEYS_6,
        Class::Keys,
        (Wait::LastSeconds, Care::None, Library::None),
        &[],
    )
    .about(Categories::LIST),
    row(
        "brpop",
        -3,
        Flags::WRITE.and(Flags::NOSCRIPT).and(Flags::BLOCKING),
        &KEYS_6,
        Class::Keys,
        (Wait::LastSeconds, Care::None, Library::None),
        &[],
    )
    .about(Categories::LIST),
    row(
        "brpoplpush",
        4,
        Flags::WRITE.and(Flags::DENYOOM).and(Flags::NOSCRIPT).and(Flags::BLOCKING),
        &KEYS_4,
        Class::Keys,
        (Wait::LastSeconds, Care::None, Library::None),
        &[],
    )
    .about(Categories::LIST),
    row(
        "bzmpop",
        -5,
        Flags::WRITE.and(Flags::BLOCKING).and(Flags::MOVABLEKEYS),
        &KEYS_5,
        Class::Keys,
        (Wait::Seconds(1), Care::None, Library::None),
        &[],
    )
    .about(Categories::SORTEDSET),
    row(
        "bzpopmax",
        -3,
        Flags::WRITE.and(Flags::NOSCRIPT).and(Flags::BLOCKING).and(Flags::FAST),
        &KEYS_6,
        Class::Keys,
        (Wait::LastSeconds, Care::None, Library::None),
        &[],
    )
    .about(Categories::SORTEDSET),
    row(
        "bzpopmin",
        -3,
        Flags::WRITE.and(Flags::NOSCRIPT).and(Flags::BLOCKING).and(Flags::FAST),
        &KEYS_6,
        Class::Keys,
        (Wait::LastSeconds, Care::None, Library::None),
        &[],
    )
    .about(Categories::SORTEDSET),
    row("client", -2, Flags::NONE, &[], Class::Container, PLAIN, &CLIENT),
    row("cluster", -2, Flags::NONE, &[], Class::Container, PLAIN, &CLUSTER),
    row("clusterscan", -2, Flags::READONLY, &[], Class::Local(LocalCommand::ClusterDisabled), PLAIN, &[])
        .about(Categories::KEYSPACE),
    row(
        "command",
        -1,
        Flags::LOADING.and(Flags::STALE),
        &[],
        Class::Local(LocalCommand::Command),
        PLAIN,
        &COMMAND,
    )
    .about(Categories::CONNECTION),
    row("commandlog", -2, Flags::NONE, &[], Class::Container, PLAIN, &COMMANDLOG),
    row("config", -2, Flags::NONE, &[], Class::Container, PLAIN, &CONFIG),
    row(
        "copy",
        -3,
        Flags::WRITE.and(Flags::DENYOOM),
        &KEYS_7,
        Class::Keys,
        (Wait::Never, Care::Database("db", 3), Library::None),
        &[],
    )
    .about(Categories::KEYSPACE),
    row("dbsize", 1, Flags::READONLY.and(Flags::FAST), &[], Class::Every(Response::Sum), PLAIN, &[])
        .about(Categories::KEYSPACE),
    row(
        "debug",
        -2,
        Flags::ADMIN.and(Flags::NOSCRIPT).and(Flags::LOADING).and(Flags::STALE),
        &[],
        Class::Refused { because: "it administers a server, and a ring has many", allowable: true },
        PLAIN,
        &[],
    ),
    row("decr", 2, Flags::WRITE.and(Flags::DENYOOM).and(Flags::FAST), &KEYS_2, Class::Keys, PLAIN, &[])
        .about(Categories::STRING),
    row("decrby", 3, Flags::WRITE.and(Flags::DENYOOM).and(Flags::FAST), &KEYS_2, Class::Keys, PLAIN, &[])
        .about(Categories::STRING),
    row("del", -2, Flags::WRITE.and(Flags::IDEMPOTENT), &KEYS_8, Class::Split(Response::Sum), PLAIN, &[])
        .about(Categories::KEYSPACE),
    row("delex", -2, Flags::WRITE.and(Flags::FAST), &KEYS_2, Class::Keys, PLAIN, &[])
        .about(Categories::STRING),
    row("delifeq", 3, Flags::WRITE.and(Flags::FAST), &KEYS_2, Class::Keys, PLAIN, &[])
        .about(Categories::STRING),
    row("digest", 2, Flags::READONLY.and(Flags::FAST), &KEYS_1, Class::Keys, PLAIN, &[])
        .about(Categories::STRING),
    row(
        "discard",
        1,
        Flags::NOSCRIPT.and(Flags::LOADING).and(Flags::STALE).and(Flags::FAST).and(Flags::ALLOW_BUSY),
        &[],
        Class::Transaction(Transaction::Discard),
        PLAIN,
        &[],
    )
    .about(Categories::TRANSACTION),
    row("dump", 2, Flags::READONLY, &KEYS_1, Class::Keys, PLAIN, &[])
        .about(Categories::KEYSPACE)
        .absent(Absent::Null),
    row(
        "echo",
        2,
        Flags::LOADING.and(Flags::STALE).and(Flags::FAST),
        &[],
        Class::Local(LocalCommand::Echo),
        PLAIN,
        &[],
    )
    .about(Categories::CONNECTION),
    row(
        "eval",
        -3,
        Flags::NOSCRIPT
            .and(Flags::STALE)
            .and(Flags::SKIP_MONITOR)
            .and(Flags::NO_MANDATORY_KEYS)
            .and(Flags::MOVABLEKEYS),
        &KEYS_5,
        Class::KeysOr(Anchor::Script(1)),
        (Wait::Never, Care::None, Library::Runs(1)),
        &[],
    )
    .about(Categories::SCRIPTING),
    row(
        "eval_ro",
        -3,
        Flags::READONLY
            .and(Flags::NOSCRIPT)
            .and(Flags::STALE)
            .and(Flags::SKIP_MONITOR)
            .and(Flags::NO_MANDATORY_KEYS)
            .and(Flags::MOVABLEKEYS),
        &KEYS_9,
        Class::KeysOr(Anchor::Script(1)),
        (Wait::Never, Care::None, Library::Runs(1)),
        &[],
    )
    .about(Categories::SCRIPTING),
    row(
        "evalsha",
        -3,
        Flags::NOSCRIPT
            .and(Flags::STALE)
            .and(Flags::SKIP_MONITOR)
            .and(Flags::NO_MANDATORY_KEYS)
            .and(Flags::MOVABLEKEYS),
        &KEYS_5,
        Class::KeysOr(Anchor::Name(1)),
        (Wait::Never, Care::None, Library::RunsKept(1)),
        &[],
    )
    .about(Categories::SCRIPTING),
    row(
        "evalsha_ro",
        -3,
        Flags::READONLY
            .and(Flags::NOSCRIPT)
            .and(Flags::STALE)
            .and(Flags::SKIP_MONITOR)
            .and(Flags::NO_MANDATORY_KEYS)
            .and(Flags::MOVABLEKEYS),
        &KEYS_9,
        Class::KeysOr(Anchor::Name(1)),
        (Wait::Never, Care::None, Library::RunsKept(1)),
        &[],
    )
    .about(Categories::SCRIPTING),
    row(
        "exec",
        1,
        Flags::NOSCRIPT.and(Flags::LOADING).and(Flags::STALE).and(Flags::SKIP_SLOWLOG),
        &[],
        Class::Transaction(Transaction::Execute),
        PLAIN,
        &[],
    )
    .about(Categories::TRANSACTION),
    row("exists", -2, Flags::READONLY.and(Flags::FAST), &KEYS_10, Class::Split(Response::Sum), PLAIN, &[])
        .about(Categories::KEYSPACE)
        .absent(Absent::Zero),
    row(
        "expire",
        -3,
        Flags::WRITE.and(Flags::FAST).and(Flags::IDEMPOTENT),
        &KEYS_0,
        Class::Keys,
        (Wait::Never, Care::Conditional(&["nx", "xx", "gt", "lt"], 3), Library::None),
        &[],
    )
    .about(Categories::KEYSPACE),
    row(
        "expireat",
        -3,
        Flags::WRITE.and(Flags::FAST).and(Flags::IDEMPOTENT),
        &KEYS_0,
        Class::Keys,
        (Wait::Never, Care::Conditional(&["nx", "xx", "gt", "lt"], 3), Library::None),
        &[],
    )
    .about(Categories::KEYSPACE),
    row("expiretime", 2, Flags::READONLY.and(Flags::FAST), &KEYS_1, Class::Keys, PLAIN, &[])
        .about(Categories::KEYSPACE)
        .absent(Absent::MinusTwo),
    row(
        "failover",
        -1,
        Flags::ADMIN.and(Flags::NOSCRIPT).and(Flags::STALE),
        &[],
        Class::Refused { because: "it administers a server, and a ring has many", allowable: true },
        PLAIN,
        &[],
    ),
    row(
        "fcall",
        -3,
        Flags::NOSCRIPT
            .and(Flags::STALE)
            .and(Flags::SKIP_MONITOR)
            .and(Flags::NO_MANDATORY_KEYS)
            .and(Flags::MOVABLEKEYS),
        &KEYS_5,
        Class::KeysOr(Anchor::Name(1)),
        PLAIN,
        &[],
    )
    .about(Categories::SCRIPTING),
    row(
        "fcall_ro",
        -3,
        Flags::READONLY
            .and(Flags::NOSCRIPT)
            .and(Flags::STALE)
            .and(Flags::SKIP_MONITOR)
            .and(Flags::NO_MANDATORY_KEYS)
            .and(Flags::MOVABLEKEYS),
        &KEYS_9,
        Class::KeysOr(Anchor::Name(1)),
        PLAIN,
        &[],
    )
    .about(Categories::SCRIPTING),
    row("flushall", -1, Flags::WRITE, &[], Class::Every(Response::AllOk), PLAIN, &[])
        .about(Categories::KEYSPACE.and(Categories::DANGEROUS)),
    row("flushdb", -1, Flags::WRITE, &[], Class::Every(Response::AllOk), PLAIN, &[])
        .about(Categories::KEYSPACE.and(Categories::DANGEROUS)),
    row("function", -2, Flags::NONE, &[], Class::Container, PLAIN, &FUNCTION),
    row(
        "geoadd",
        -5,
        Flags::WRITE.and(Flags::DENYOOM).and(Flags::IDEMPOTENT),
        &KEYS_0,
        Class::Keys,
        (Wait::Never, Care::Conditional(&["nx"], 2), Library::None),
        &[],
    )
    .about(Categories::GEO),
    row("geodist", -4, Flags::READONLY, &KEYS_1, Class::Keys, PLAIN, &[])
        .about(Categories::GEO)
        .absent(Absent::Null),
    row("geohash", -2, Flags::READONLY, &KEYS_1, Class::Keys, PLAIN, &[])
        .about(Categories::GEO)
        .absent(Absent::Nulls(2)),
    row("geopos", -2, Flags::READONLY, &KEYS_1, Class::Keys, PLAIN, &[])
        .about(Categories::GEO)
        .absent(Absent::NullArrays(2)),
    row(
        "georadius",
        -6,
        Flags::WRITE.and(Flags::DENYOOM).and(Flags::MOVABLEKEYS),
        &KEYS_11,
        Class::Keys,
        PLAIN,
        &[],
    )
    .about(Categories::GEO)
    .options(&OPTIONS_0),
    row("georadius_ro", -6, Flags::READONLY, &KEYS_1, Class::Keys, PLAIN, &[])
        .about(Categories::GEO)
        .absent(Absent::EmptyArray),
    row(
        "georadiusbymember",
        -5,
        Flags::WRITE.and(Flags::DENYOOM).and(Flags::MOVABLEKEYS),
        &KEYS_11,
        Class::Keys,
        PLAIN,
        &[],
    )
    .about(Categories::GEO)
    .options(&OPTIONS_1),
    row("georadiusbymember_ro", -5, Flags::READONLY, &KEYS_1, Class::Keys, PLAIN, &[])
        .about(Categories::GEO)
        .absent(Absent::EmptyArray),
    row("geosearch", -7, Flags::READONLY, &KEYS_1, Class::Keys, PLAIN, &[])
        .about(Categories::GEO)
        .absent(Absent::EmptyArray),
    row("geosearchstore", -8, Flags::WRITE.and(Flags::DENYOOM), &KEYS_12, Class::Keys, PLAIN, &[])
        .about(Categories::GEO),
    row("get", 2, Flags::READONLY.and(Flags::FAST), &KEYS_1, Class::Keys, PLAIN, &[])
        .about(Categories::STRING)
        .absent(Absent::Null),
    row("getbit", 3, Flags::READONLY.and(Flags::FAST), &KEYS_1, Class::Keys, PLAIN, &[])
        .about(Categories::BITMAP)
        .absent(Absent::Zero),
    row("getdel", 2, Flags::WRITE.and(Flags::FAST), &KEYS_2, Class::Keys, PLAIN, &[])
        .about(Categories::STRING),
    row(
        "getex",
        -2,
        Flags::WRITE.and(Flags::FAST).and(Flags::IDEMPOTENT),
        &KEYS_2,
        Class::Keys,
        (Wait::Never, Care::Conditional(&["exat", "pxat"], 2), Library::None),
        &[],
    )
    .about(Categories::STRING),
    row("getrange", 4, Flags::READONLY, &KEYS_1, Class::Keys, PLAIN, &[])
        .about(Categories::STRING)
        .absent(Absent::EmptyText),
    row("getset", 3, Flags::WRITE.and(Flags::DENYOOM).and(Flags::FAST), &KEYS_2, Class::Keys, PLAIN, &[])
        .about(Categories::STRING),
    row("hdel", -3, Flags::WRITE.and(Flags::FAST).and(Flags::IDEMPOTENT), &KEYS_0, Class::Keys, PLAIN, &[])
        .about(Categories::HASH),
    row(
        "hello",
        -1,
        Flags::NOSCRIPT
            .and(Flags::LOADING)
            .and(Flags::STALE)
            .and(Flags::FAST)
            .and(Flags::NO_AUTH)
            .and(Flags::ALLOW_BUSY),
        &[],
        Class::Local(LocalCommand::Hello),
        PLAIN,
        &[],
    )
    .about(Categories::CONNECTION),
    row("hexists", 3, Flags::READONLY.and(Flags::FAST), &KEYS_13, Class::Keys, PLAIN, &[])
        .about(Categories::HASH)
        .absent(Absent::Zero),
    row(
        "hexpire",
        -6,
        Flags::WRITE.and(Flags::FAST).and(Flags::IDEMPOTENT),
        &KEYS_2,
        Class::Keys,
        (Wait::Never, Care::Conditional(&["nx", "xx", "gt", "lt"], 3), Library::None),
        &[],
    )
    .about(Categories::HASH),
    row(
        "hexpireat",
        -6,
        Flags::WRITE.and(Flags::FAST).and(Flags::IDEMPOTENT),
        &KEYS_2,
        Class::Keys,
        (Wait::Never, Care::Conditional(&["nx", "xx", "gt", "lt"], 3), Library::None),
        &[],
    )
    .about(Categories::HASH),
    row("hexpiretime", -5, Flags::READONLY.and(Flags::FAST), &KEYS_1, Class::Keys, PLAIN, &[])
        .about(Categories::HASH),
    row("hget", 3, Flags::READONLY.and(Flags::FAST), &KEYS_1, Class::Keys, PLAIN, &[])
        .about(Categories::HASH)
        .absent(Absent::Null),
    row("hgetall", 2, Flags::READONLY, &KEYS_1, Class::Keys, PLAIN, &[])
        .about(Categories::HASH)
        .absent(Absent::EmptyMap),
    row("hgetdel", -5, Flags::WRITE.and(Flags::FAST), &KEYS_2, Class::Keys, PLAIN, &[])
        .about(Categories::HASH),
    row(
        "hgetex",
        -5,
        Flags::WRITE.and(Flags::FAST).and(Flags::IDEMPOTENT),
        &KEYS_2,
        Class::Keys,
        (Wait::Never, Care::Conditional(&["exat", "pxat"], 2), Library::None),
        &[],
    )
    .about(Categories::HASH),
    row("himport", -2, Flags::NONE, &[], Class::Container, PLAIN, &HIMPORT).about(Categories::HASH),
    row("hincrby", 4, Flags::WRITE.and(Flags::DENYOOM).and(Flags::FAST), &KEYS_2, Class::Keys, PLAIN, &[])
        .about(Categories::HASH),
    row(
        "hincrbyfloat",
        4,
        Flags::WRITE.and(Flags::DENYOOM).and(Flags::FAST),
        &KEYS_2,
        Class::Keys,
        PLAIN,
        &[],
    )
    .about(Categories::HASH),
    row("hkeys", 2, Flags::READONLY, &KEYS_1, Class::Keys, PLAIN, &[])
        .about(Categories::HASH)
        .absent(Absent::EmptyArray),
    row("hlen", 2, Flags::READONLY.and(Flags::FAST), &KEYS_13, Class::Keys, PLAIN, &[])
        .about(Categories::HASH)
        .absent(Absent::Zero),
    row("hmget", -3, Flags::READONLY.and(Flags::FAST), &KEYS_1, Class::Keys, PLAIN, &[])
        .about(Categories::HASH)
        .absent(Absent::Nulls(2)),
    row(
        "hmset",
        -4,
        Flags::WRITE.and(Flags::DENYOOM).and(Flags::FAST).and(Flags::IDEMPOTENT),
        &KEYS_0,
        Class::Keys,
        PLAIN,
        &[],
    )
    .about(Categories::HASH),
    row("hotkeys", -2, Flags::NONE, &[], Class::Container, PLAIN, &HOTKEYS),
    row(
        "hpersist",
        -5,
        Flags::WRITE.and(Flags::FAST).and(Flags::IDEMPOTENT),
        &KEYS_2,
        Class::Keys,
        PLAIN,
        &[],
    )
    .about(Categories::HASH),
    row(
        "hpexpire",
        -6,
        Flags::WRITE.and(Flags::FAST).and(Flags::IDEMPOTENT),
        &KEYS_2,
        Class::Keys,
        (Wait::Never, Care::Conditional(&["nx", "xx", "gt", "lt"], 3), Library::None),
        &[],
    )
    .about(Categories::HASH),
    row(
        "hpexpireat",
        -6,
        Flags::WRITE.and(Flags::FAST).and(Flags::IDEMPOTENT),
        &KEYS_2,
        Class::Keys,
        (Wait::Never, Care::Conditional(&["nx", "xx", "gt", "lt"], 3), Library::None),
        &[],
    )
    .about(Categories::HASH),
    row("hpexpiretime", -5, Flags::READONLY.and(Flags::FAST), &KEYS_1, Class::Keys, PLAIN, &[])
        .about(Categories::HASH),
    row("hpttl", -5, Flags::READONLY.and(Flags::FAST), &KEYS_1, Class::Keys, PLAIN, &[])
        .about(Categories::HASH),
    row("hrandfield", -2, Flags::READONLY, &KEYS_1, Class::Keys, PLAIN, &[])
        .about(Categories::HASH)
        .absent(Absent::NullOrEmpty(2)),
    row("hscan", -3, Flags::READONLY, &KEYS_1, Class::Keys, PLAIN, &[])
        .about(Categories::HASH)
        .absent(Absent::ScanEnd),
    row(
        "hset",
        -4,
        Flags::WRITE.and(Flags::DENYOOM).and(Flags::FAST).and(Flags::IDEMPOTENT),
        &KEYS_0,
        Class::Keys,
        PLAIN,
        &[],
    )
    .about(Categories::HASH),
    row(
        "hsetex",
        -6,
        Flags::WRITE.and(Flags::DENYOOM).and(Flags::FAST).and(Flags::IDEMPOTENT),
        &KEYS_2,
        Class::Keys,
        (Wait::Never, Care::Conditional(&["fnx", "fxx"], 2), Library::None),
        &[],
    )
    .about(Categories::HASH),
    row("hsetnx", 4, Flags::WRITE.and(Flags::DENYOOM).and(Flags::FAST), &KEYS_0, Class::Keys, PLAIN, &[])
        .about(Categories::HASH),
    row("hstrlen", 3, Flags::READONLY.and(Flags::FAST), &KEYS_13, Class::Keys, PLAIN, &[])
        .about(Categories::HASH)
        .absent(Absent::Zero),
    row("httl", -5, Flags::READONLY.and(Flags::FAST), &KEYS_1, Class::Keys, PLAIN, &[])
        .about(Categories::HASH),
    row("hvals", 2, Flags::READONLY, &KEYS_1, Class::Keys, PLAIN, &[])
        .about(Categories::HASH)
        .absent(Absent::EmptyArray),
    row("incr", 2, Flags::WRITE.and(Flags::DENYOOM).and(Flags::FAST), &KEYS_2, Class::Keys, PLAIN, &[])
        .about(Categories::STRING),
    row("incrby", 3, Flags::WRITE.and(Flags::DENYOOM).and(Flags::FAST), &KEYS_2, Class::Keys, PLAIN, &[])
        .about(Categories::STRING),
    row(
        "incrbyfloat",
        3,
        Flags::WRITE.and(Flags::DENYOOM).and(Flags::FAST),
        &KEYS_2,
        Class::Keys,
        PLAIN,
        &[],
    )
    .about(Categories::STRING),
    row("increx", -2, Flags::WRITE.and(Flags::DENYOOM).and(Flags::FAST), &KEYS_2, Class::Keys, PLAIN, &[])
        .about(Categories::STRING),
    row("info", -1, Flags::LOADING.and(Flags::STALE), &[], Class::Local(LocalCommand::Info), PLAIN, &[])
        .about(Categories::DANGEROUS),
    row("keys", 2, Flags::READONLY, &[], Class::Every(Response::Concat), PLAIN, &[])
        .about(Categories::KEYSPACE.and(Categories::DANGEROUS)),
    row(
        "lastsave",
        1,
        Flags::LOADING.and(Flags::STALE).and(Flags::FAST),
        &[],
        Class::Refused { because: "its answer is about one server, and a ring has many", allowable: true },
        PLAIN,
        &[],
    )
    .about(Categories::ADMIN.and(Categories::DANGEROUS)),
    row("latency", -2, Flags::NONE, &[], Class::Container, PLAIN, &LATENCY),
    row("lcs", -3, Flags::READONLY, &KEYS_14, Class::Keys, PLAIN, &[]).about(Categories::STRING),
    row("lindex", 3, Flags::READONLY, &KEYS_1, Class::Keys, PLAIN, &[])
        .about(Categories::LIST)
        .absent(Absent::Null),
    row("linsert", 5, Flags::WRITE.and(Flags::DENYOOM), &KEYS_0, Class::Keys, PLAIN, &[])
        .about(Categories::LIST),
    row("llen", 2, Flags::READONLY.and(Flags::FAST), &KEYS_13, Class::Keys, PLAIN, &[])
        .about(Categories::LIST)
        .absent(Absent::Zero),
    row("lmove", 5, Flags::WRITE.and(Flags::DENYOOM), &KEYS_4, Class::Keys, PLAIN, &[])
        .about(Categories::LIST),
    row("lmovem", -5, Flags::WRITE.and(Flags::DENYOOM), &KEYS_31, Class::Keys, PLAIN, &[])
        .about(Categories::LIST),
    row("lmpop", -4, Flags::WRITE.and(Flags::MOVABLEKEYS), &KEYS_15, Class::Keys, PLAIN, &[])
        .about(Categories::LIST),
    row("lolwut", -1, Flags::READONLY.and(Flags::FAST), &[], Class::Any, PLAIN, &[]),
    row("lpop", -2, Flags::WRITE.and(Flags::FAST), &KEYS_2, Class::Keys, PLAIN, &[]).about(Categories::LIST),
    row("lpos", -3, Flags::READONLY, &KEYS_1, Class::Keys, PLAIN, &[]).about(Categories::LIST),
    row("lpush", -3, Flags::WRITE.and(Flags::DENYOOM).and(Flags::FAST), &KEYS_0, Class::Keys, PLAIN, &[])
        .about(Categories::LIST),
    row("lpushx", -3, Flags::WRITE.and(Flags::DENYOOM).and(Flags::FAST), &KEYS_0, Class::Keys, PLAIN, &[])
        .about(Categories::LIST),
    row("lrange", 4, Flags::READONLY, &KEYS_1, Class::Keys, PLAIN, &[])
        .about(Categories::LIST)
        .absent(Absent::EmptyArray),
    row("lrem", 4, Flags::WRITE, &KEYS_0, Class::Keys, PLAIN, &[]).about(Categories::LIST),
    row("lset", 4, Flags::WRITE.and(Flags::DENYOOM).and(Flags::IDEMPOTENT), &KEYS_0, Class::Keys, PLAIN, &[])
        .about(Categories::LIST),
    row("ltrim", 4, Flags::WRITE, &KEYS_0, Class::Keys, PLAIN, &[]).about(Categories::LIST),
    row("memory", -2, Flags::NONE, &[], Class::Container, PLAIN, &MEMORY),
    row("mget", -2, Flags::READONLY.and(Flags::FAST), &KEYS_17, Class::Split(Response::ByIndex), PLAIN, &[])
        .about(Categories::STRING)
        .absent(Absent::Nulls(1)),
    row("migrate", -6, Flags::WRITE.and(Flags::MOVABLEKEYS), &KEYS_18, Class::Keys, PLAIN, &[])
        .about(Categories::KEYSPACE.and(Categories::DANGEROUS))
        .options(&OPTIONS_2),
    row("module", -2, Flags::NONE, &[], Class::Container, PLAIN, &MODULE),
    row(
        "monitor",
        1,
        Flags::ADMIN.and(Flags::NOSCRIPT).and(Flags::LOADING).and(Flags::STALE),
        &[],
        Class::Refused { because: "it would take over a connection that many share", allowable: false },
        PLAIN,
        &[],
    ),
    row(
        "move",
        3,
        Flags::WRITE.and(Flags::FAST),
        &KEYS_2,
        Class::Refused { because: "it moves keys between databases, and a ring has one", allowable: true },
        PLAIN,
        &[],
    )
    .about(Categories::KEYSPACE),
    row(
        "mset",
        -3,
        Flags::WRITE.and(Flags::DENYOOM).and(Flags::IDEMPOTENT),
        &KEYS_19,
        Class::Split(Response::AllOk),
        PLAIN,
        &[],
    )
    .about(Categories::STRING),
    row(
        "msetex",
        -4,
        Flags::WRITE.and(Flags::DENYOOM).and(Flags::MOVABLEKEYS).and(Flags::IDEMPOTENT),
        &KEYS_30,
        Class::Keys,
        (Wait::Never, Care::Conditional(&["nx", "xx"], 2), Library::None),
        &[],
    )
    .about(Categories::STRING),
    row("msetnx", -3, Flags::WRITE.and(Flags::DENYOOM), &KEYS_19, Class::Keys, PLAIN, &[])
        .about(Categories::STRING),
    row(
        "multi",
        1,
        Flags::NOSCRIPT.and(Flags::LOADING).and(Flags::STALE).and(Flags::FAST).and(Flags::ALLOW_BUSY),
        &[],
        Class::Transaction(Transaction::Begin),
        PLAIN,
        &[],
    )
    .about(Categories::TRANSACTION),
    row("object", -2, Flags::NONE, &[], Class::Container, PLAIN, &OBJECT),
    row("persist", 2, Flags::WRITE.and(Flags::FAST).and(Flags::IDEMPOTENT), &KEYS_0, Class::Keys, PLAIN, &[])
        .about(Categories::KEYSPACE),
    row(
        "pexpire",
        -3,
        Flags::WRITE.and(Flags::FAST).and(Flags::IDEMPOTENT),
        &KEYS_0,
        Class::Keys,
        (Wait::Never, Care::Conditional(&["nx", "xx", "gt", "lt"], 3), Library::None),
        &[],
    )
    .about(Categories::KEYSPACE),
    row(
        "pexpireat",
        -3,
        Flags::WRITE.and(Flags::FAST).and(Flags::IDEMPOTENT),
        &KEYS_0,
        Class::Keys,
        (Wait::Never, Care::Conditional(&["nx", "xx", "gt", "lt"], 3), Library::None),
        &[],
    )
    .about(Categories::KEYSPACE),
    row("pexpiretime", 2, Flags::READONLY.and(Flags::FAST), &KEYS_1, Class::Keys, PLAIN, &[])
        .about(Categories::KEYSPACE)
        .absent(Absent::MinusTwo),
    row(
        "pfadd",
        -2,
        Flags::WRITE.and(Flags::DENYOOM).and(Flags::FAST).and(Flags::IDEMPOTENT),
        &KEYS_0,
        Class::Keys,
        PLAIN,
        &[],
    )
    .about(Categories::HYPERLOGLOG),
    row("pfcount", -2, Flags::READONLY, &KEYS_20, Class::Keys, PLAIN, &[])
        .about(Categories::HYPERLOGLOG)
        .absent(Absent::Zero),
    row(
        "pfdebug",
        3,
        Flags::WRITE.and(Flags::DENYOOM).and(Flags::ADMIN),
        &KEYS_21,
        Class::Refused { because: "it administers a server, and a ring has many", allowable: true },
        PLAIN,
        &[],
    )
    .about(Categories::HYPERLOGLOG),
    row(
        "pfmerge",
        -2,
        Flags::WRITE.and(Flags::DENYOOM).and(Flags::IDEMPOTENT),
        &KEYS_22,
        Class::Keys,
        PLAIN,
        &[],
    )
    .about(Categories::HYPERLOGLOG),
    row(
        "pfselftest",
        1,
        Flags::ADMIN,
        &[],
        Class::Refused { because: "it administers a server, and a ring has many", allowable: true },
        PLAIN,
        &[],
    )
    .about(Categories::HYPERLOGLOG),
    row("ping", -1, Flags::FAST, &[], Class::Local(LocalCommand::Ping), PLAIN, &[])
        .about(Categories::CONNECTION),
    row(
        "psetex",
        4,
        Flags::WRITE.and(Flags::DENYOOM).and(Flags::IDEMPOTENT),
        &KEYS_0,
        Class::Keys,
        PLAIN,
        &[],
    )
    .about(Categories::STRING),
    row(
        "psubscribe",
        -2,
        Flags::PUBSUB.and(Flags::NOSCRIPT).and(Flags::LOADING).and(Flags::STALE),
        &[],
        Class::Subscription(Subscription::Patterns),
        PLAIN,
        &[],
    ),
    row(
        "psync",
        -3,
        Flags::ADMIN.and(Flags::NOSCRIPT).and(Flags::NO_ASYNC_LOADING).and(Flags::NO_MULTI),
        &[],
        Class::Refused { because: "it would take over a connection that many share", allowable: false },
        PLAIN,
        &[],
    ),
    row("pttl", 2, Flags::READONLY.and(Flags::FAST), &KEYS_1, Class::Keys, PLAIN, &[])
        .about(Categories::KEYSPACE)
        .absent(Absent::MinusTwo),
    row(
        "publish",
        3,
        Flags::PUBSUB.and(Flags::LOADING).and(Flags::STALE).and(Flags::FAST),
        &[],
        Class::Anchored(Anchor::Argument(1)),
        PLAIN,
        &[],
    ),
    row("pubsub", -2, Flags::NONE, &[], Class::Container, PLAIN, &PUBSUB),
    row(
        "punsubscribe",
        -1,
        Flags::PUBSUB.and(Flags::NOSCRIPT).and(Flags::LOADING).and(Flags::STALE),
        &[],
        Class::Subscription(Subscription::EndPatterns),
        PLAIN,
        &[],
    ),
    row(
        "quit",
        -1,
        Flags::NOSCRIPT
            .and(Flags::LOADING)
            .and(Flags::STALE)
            .and(Flags::FAST)
            .and(Flags::NO_AUTH)
            .and(Flags::ALLOW_BUSY),
        &[],
        Class::Local(LocalCommand::Quit),
        PLAIN,
        &[],
    )
    .about(Categories::CONNECTION),
    row("randomkey", 1, Flags::READONLY, &[], Class::Random, PLAIN, &[]).about(Categories::KEYSPACE),
    row(
        "readonly",
        1,
        Flags::LOADING.and(Flags::STALE).and(Flags::FAST),
        &[],
        Class::Local(LocalCommand::ReadOnly),
        PLAIN,
        &[],
    )
    .about(Categories::CONNECTION),
    row(
        "readwrite",
        1,
        Flags::LOADING.and(Flags::STALE).and(Flags::FAST),
        &[],
        Class::Local(LocalCommand::ReadWrite),
        PLAIN,
        &[],
    )
    .about(Categories::CONNECTION),
    row("rename", 3, Flags::WRITE, &KEYS_4, Class::Keys, PLAIN, &[]).about(Categories::KEYSPACE),
    row("renamenx", 3, Flags::WRITE.and(Flags::FAST), &KEYS_4, Class::Keys, PLAIN, &[])
        .about(Categories::KEYSPACE),
    row(
        "replconf",
        -1,
        Flags::ADMIN.and(Flags::NOSCRIPT).and(Flags::LOADING).and(Flags::STALE).and(Flags::ALLOW_BUSY),
        &[],
        Class::Refused { because: "it would take over a connection that many share", allowable: false },
        PLAIN,
        &[],
    ),
    row(
        "replicaof",
        3,
        Flags::ADMIN.and(Flags::NOSCRIPT).and(Flags::STALE).and(Flags::NO_ASYNC_LOADING),
        &[],
        Class::Refused { because: "it administers a server, and a ring has many", allowable: true },
        PLAIN,
        &[],
    ),
    row(
        "reset",
        1,
        Flags::NOSCRIPT
            .and(Flags::LOADING)
            .and(Flags::STALE)
            .and(Flags::FAST)
            .and(Flags::NO_AUTH)
            .and(Flags::ALLOW_BUSY),
        &[],
        Class::Local(LocalCommand::Reset),
        PLAIN,
        &[],
    )
    .about(Categories::CONNECTION),
    row("restore", -4, Flags::WRITE.and(Flags::DENYOOM), &KEYS_0, Class::Keys, PLAIN, &[])
        .about(Categories::KEYSPACE.and(Categories::DANGEROUS)),
    row(
        "restore-asking",
        -4,
        Flags::WRITE.and(Flags::DENYOOM).and(Flags::ASKING),
        &KEYS_0,
        Class::Refused { because: "it administers a server, and a ring has many", allowable: true },
        PLAIN,
        &[],
    )
    .about(Categories::KEYSPACE.and(Categories::DANGEROUS)),
    row(
        "role",
        1,
        Flags::NOSCRIPT.and(Flags::LOADING).and(Flags::STALE).and(Flags::FAST),
        &[],
        Class::Local(LocalCommand::Role),
        PLAIN,
        &[],
    )
    .about(Categories::ADMIN.and(Categories::DANGEROUS)),
    row("rpop", -2, Flags::WRITE.and(Flags::FAST), &KEYS_2, Class::Keys, PLAIN, &[]).about(Categories::LIST),
    row("rpoplpush", 3, Flags::WRITE.and(Flags::DENYOOM), &KEYS_4, Class::Keys, PLAIN, &[])
        .about(Categories::LIST),
    row("rpush", -3, Flags::WRITE.and(Flags::DENYOOM).and(Flags::FAST), &KEYS_0, Class::Keys, PLAIN, &[])
        .about(Categories::LIST),
    row("rpushx", -3, Flags::WRITE.and(Flags::DENYOOM).and(Flags::FAST), &KEYS_0, Class::Keys, PLAIN, &[])
        .about(Categories::LIST),
    row(
        "sadd",
        -3,
        Flags::WRITE.and(Flags::DENYOOM).and(Flags::FAST).and(Flags::IDEMPOTENT),
        &KEYS_0,
        Class::Keys,
        PLAIN,
        &[],
    )
    .about(Categories::SET),
    row(
        "save",
        1,
        Flags::ADMIN.and(Flags::NOSCRIPT).and(Flags::NO_ASYNC_LOADING).and(Flags::NO_MULTI),
        &[],
        Class::Refused { because: "it administers a server, and a ring has many", allowable: true },
        PLAIN,
        &[],
    ),
    row("scan", -2, Flags::READONLY, &[], Class::Scan, PLAIN, &[]).about(Categories::KEYSPACE),
    row("scard", 2, Flags::READONLY.and(Flags::FAST), &KEYS_13, Class::Keys, PLAIN, &[])
        .about(Categories::SET)
        .absent(Absent::Zero),
    row("script", -2, Flags::NONE, &[], Class::Container, PLAIN, &SCRIPT),
    row("sdiff", -2, Flags::READONLY, &KEYS_17, Class::Keys, PLAIN, &[])
        .about(Categories::SET)
        .absent(Absent::EmptySet),
    row("sdiffcard", -3, Flags::READONLY.and(Flags::MOVABLEKEYS), &KEYS_24, Class::Keys, PLAIN, &[])
        .about(Categories::SET),
    row("sdiffstore", -3, Flags::WRITE.and(Flags::DENYOOM), &KEYS_23, Class::Keys, PLAIN, &[])
        .about(Categories::SET),
    row(
        "select",
        2,
        Flags::LOADING.and(Flags::STALE).and(Flags::FAST),
        &[],
        Class::Local(LocalCommand::Select),
        PLAIN,
        &[],
    )
    .about(Categories::CONNECTION),
    row(
        "set",
        -3,
        Flags::WRITE.and(Flags::DENYOOM).and(Flags::IDEMPOTENT),
        &KEYS_2,
        Class::Keys,
        (Wait::Never, Care::Conditional(&["nx", "get", "ifeq", "ifne", "ifdeq", "ifdne"], 3), Library::None),
        &[],
    )
    .about(Categories::STRING),
    row("setbit", 4, Flags::WRITE.and(Flags::DENYOOM), &KEYS_2, Class::Keys, PLAIN, &[])
        .about(Categories::BITMAP),
    row(
        "setex",
        4,
        Flags::WRITE.and(Flags::DENYOOM).and(Flags::IDEMPOTENT),
        &KEYS_0,
        Class::Keys,
        PLAIN,
        &[],
    )
    .about(Categories::STRING),
    row("setnx", 3, Flags::WRITE.and(Flags::DENYOOM).and(Flags::FAST), &KEYS_0, Class::Keys, PLAIN, &[])
        .about(Categories::STRING),
    row(
        "setrange",
        4,
        Flags::WRITE.and(Flags::DENYOOM).and(Flags::IDEMPOTENT),
        &KEYS_0,
        Class::Keys,
        PLAIN,
        &[],
    )
    .about(Categories::STRING),
    row(
        "shutdown",
        -1,
        Flags::ADMIN
            .and(Flags::NOSCRIPT)
            .and(Flags::LOADING)
            .and(Flags::STALE)
            .and(Flags::NO_MULTI)
            .and(Flags::ALLOW_BUSY),
        &[],
        Class::Refused { because: "it administers a server, and a ring has many", allowable: true },
        PLAIN,
        &[],
    ),
    row("sinter", -2, Flags::READONLY, &KEYS_17, Class::Keys, PLAIN, &[])
        .about(Categories::SET)
        .absent(Absent::EmptySet),
    row("sintercard", -3, Flags::READONLY.and(Flags::MOVABLEKEYS), &KEYS_24, Class::Keys, PLAIN, &[])
        .about(Categories::SET)
        .absent(Absent::Zero),
    row(
        "sinterstore",
        -3,
        Flags::WRITE.and(Flags::DENYOOM).and(Flags::IDEMPOTENT),
        &KEYS_23,
        Class::Keys,
        PLAIN,
        &[],
    )
    .about(Categories::SET),
    row("sismember", 3, Flags::READONLY.and(Flags::FAST), &KEYS_13, Class::Keys, PLAIN, &[])
        .about(Categories::SET)
        .absent(Absent::Zero),
    row(
        "slaveof",
        3,
        Flags::ADMIN.and(Flags::NOSCRIPT).and(Flags::STALE).and(Flags::NO_ASYNC_LOADING),
        &[],
        Class::Refused { because: "it administers a server, and a ring has many", allowable: true },
        PLAIN,
        &[],
    ),
    row("slowlog", -2, Flags::NONE, &[], Class::Container, PLAIN, &SLOWLOG),
    row("smembers", 2, Flags::READONLY, &KEYS_1, Class::Keys, PLAIN, &[])
        .about(Categories::SET)
        .absent(Absent::EmptySet),
    row("smismember", -3, Flags::READONLY.and(Flags::FAST), &KEYS_1, Class::Keys, PLAIN, &[])
        .about(Categories::SET)
        .absent(Absent::Zeros(2)),
    row("smove", 4, Flags::WRITE.and(Flags::FAST), &KEYS_4, Class::Keys, PLAIN, &[]).about(Categories::SET),
    row(
        "sort",
        -2,
        Flags::WRITE.and(Flags::DENYOOM).and(Flags::MOVABLEKEYS),
        &KEYS_25,
        Class::Keys,
        (Wait::Never, Care::Patterns, Library::None),
        &[],
    )
    .about(Categories::SET.and(Categories::SORTEDSET).and(Categories::LIST).and(Categories::DANGEROUS))
    .options(&OPTIONS_3),
    row(
        "sort_ro",
        -2,
        Flags::READONLY.and(Flags::MOVABLEKEYS),
        &KEYS_1,
        Class::Keys,
        (Wait::Never, Care::Patterns, Library::None),
        &[],
    )
    .about(Categories::SET.and(Categories::SORTEDSET).and(Categories::LIST).and(Categories::DANGEROUS))
    .options(&OPTIONS_3)
    .absent(Absent::EmptyArray),
    row("spop", -2, Flags::WRITE.and(Flags::FAST), &KEYS_2, Class::Keys, PLAIN, &[]).about(Categories::SET),
    row(
        "spublish",
        3,
        Flags::PUBSUB.and(Flags::LOADING).and(Flags::STALE).and(Flags::FAST),
        &[],
        Class::Anchored(Anchor::Argument(1)),
        PLAIN,
        &[],
    ),
    row("srandmember", -2, Flags::READONLY, &KEYS_1, Class::Keys, PLAIN, &[])
        .about(Categories::SET)
        .absent(Absent::NullOrEmpty(2)),
    row("srem", -3, Flags::WRITE.and(Flags::FAST).and(Flags::IDEMPOTENT), &KEYS_0, Class::Keys, PLAIN, &[])
        .about(Categories::SET),
    row("sscan", -3, Flags::READONLY, &KEYS_1, Class::Keys, PLAIN, &[])
        .about(Categories::SET)
        .absent(Absent::ScanEnd),
    row(
        "ssubscribe",
        -2,
        Flags::PUBSUB.and(Flags::NOSCRIPT).and(Flags::LOADING).and(Flags::STALE),
        &[],
        Class::Subscription(Subscription::ShardChannels),
        PLAIN,
        &[],
    ),
    row("strlen", 2, Flags::READONLY.and(Flags::FAST), &KEYS_13, Class::Keys, PLAIN, &[])
        .about(Categories::STRING)
        .absent(Absent::Zero),
    row(
        "subscribe",
        -2,
        Flags::PUBSUB.and(Flags::NOSCRIPT).and(Flags::LOADING).and(Flags::STALE),
        &[],
        Class::Subscription(Subscription::Channels),
        PLAIN,
        &[],
    ),
    row("substr", 4, Flags::READONLY, &KEYS_1, Class::Keys, PLAIN, &[])
        .about(Categories::STRING)
        .absent(Absent::EmptyText),
    row("sunion", -2, Flags::READONLY, &KEYS_17, Class::Keys, PLAIN, &[])
        .about(Categories::SET)
        .absent(Absent::EmptySet),
    row("sunioncard", -3, Flags::READONLY.and(Flags::MOVABLEKEYS), &KEYS_24, Class::Keys, PLAIN, &[])
        .about(Categories::SET),
    row(
        "sunionstore",
        -3,
        Flags::WRITE.and(Flags::DENYOOM).and(Flags::IDEMPOTENT),
        &KEYS_23,
        Class::Keys,
        PLAIN,
        &[],
    )
    .about(Categories::SET),
    row(
        "sunsubscribe",
        -1,
        Flags::PUBSUB.and(Flags::NOSCRIPT).and(Flags::LOADING).and(Flags::STALE),
        &[],
        Class::Subscription(Subscription::EndShardChannels),
        PLAIN,
        &[],
    ),
    row(
        "swapdb",
        3,
        Flags::WRITE.and(Flags::FAST),
        &[],
        Class::Refused { because: "it moves keys between databases, and a ring has one", allowable: true },
        PLAIN,
        &[],
    )
    .about(Categories::KEYSPACE.and(Categories::DANGEROUS)),
    row(
        "sync",
        1,
        Flags::ADMIN.and(Flags::NOSCRIPT).and(Flags::NO_ASYNC_LOADING).and(Flags::NO_MULTI),
        &[],
        Class::Refused { because: "it would take over a connection that many share", allowable: false },
        PLAIN,
        &[],
    ),
    row(
        "time",
        1,
        Flags::LOADING.and(Flags::STALE).and(Flags::FAST),
        &[],
        Class::Local(LocalCommand::Time),
        PLAIN,
        &[],
    ),
    row(
        "touch",
        -2,
        Flags::READONLY.and(Flags::FAST).and(Flags::IDEMPOTENT),
        &KEYS_10,
        Class::Split(Response::Sum),
        PLAIN,
        &[],
    )
    .about(Categories::KEYSPACE)
    .absent(Absent::Zero),
    row(
        "trimslots",
        -5,
        Flags::WRITE,
        &[],
        Class::Refused { because: "the shards of a ring are not a cluster", allowable: true },
        PLAIN,
        &[],
    ),
    row("ttl", 2, Flags::READONLY.and(Flags::FAST), &KEYS_1, Class::Keys, PLAIN, &[])
        .about(Categories::KEYSPACE)
        .absent(Absent::MinusTwo),
    row("type", 2, Flags::READONLY.and(Flags::FAST), &KEYS_13, Class::Keys, PLAIN, &[])
        .about(Categories::KEYSPACE)
        .absent(Absent::None),
    row(
        "unlink",
        -2,
        Flags::WRITE.and(Flags::FAST).and(Flags::IDEMPOTENT),
        &KEYS_8,
        Class::Split(Response::Sum),
        PLAIN,
        &[],
    )
    .about(Categories::KEYSPACE),
    row(
        "unsubscribe",
        -1,
        Flags::PUBSUB.and(Flags::NOSCRIPT).and(Flags::LOADING).and(Flags::STALE),
        &[],
        Class::Subscription(Subscription::EndChannels),
        PLAIN,
        &[],
    ),
    row(
        "unwatch",
        1,
        Flags::NOSCRIPT.and(Flags::LOADING).and(Flags::STALE).and(Flags::FAST).and(Flags::ALLOW_BUSY),
        &[],
        Class::Transaction(Transaction::Unwatch),
        PLAIN,
        &[],
    )
    .about(Categories::TRANSACTION),
    row(
        "vadd",
        -5,
        Flags::WRITE.and(Flags::DENYOOM).and(Flags::IDEMPOTENT),
        &KEYS_2,
        Class::Keys,
        PLAIN,
        &[],
    ),
    row("vcard", 2, Flags::READONLY.and(Flags::FAST), &KEYS_1, Class::Keys, PLAIN, &[]),
    row("vdim", 2, Flags::READONLY.and(Flags::FAST), &KEYS_1, Class::Keys, PLAIN, &[]),
    row("vemb", -3, Flags::READONLY.and(Flags::FAST), &KEYS_1, Class::Keys, PLAIN, &[]),
    row("vgetattr", 3, Flags::READONLY.and(Flags::FAST), &KEYS_1, Class::Keys, PLAIN, &[]),
    row("vinfo", 2, Flags::READONLY.and(Flags::FAST), &KEYS_1, Class::Keys, PLAIN, &[]),
    row("vismember", 3, Flags::READONLY, &KEYS_1, Class::Keys, PLAIN, &[]),
    row("vlinks", -3, Flags::READONLY.and(Flags::FAST), &KEYS_1, Class::Keys, PLAIN, &[]),
    row("vrandmember", -2, Flags::READONLY, &KEYS_1, Class::Keys, PLAIN, &[]),
    row("vrange", -4, Flags::READONLY, &KEYS_1, Class::Keys, PLAIN, &[]),
    row("vrem", 3, Flags::WRITE.and(Flags::IDEMPOTENT), &KEYS_2, Class::Keys, PLAIN, &[]),
    row(
        "vsetattr",
        4,
        Flags::WRITE.and(Flags::FAST).and(Flags::IDEMPOTENT),
        &KEYS_2,
        Class::Keys,
        PLAIN,
        &[],
    ),
    row("vsim", -4, Flags::READONLY, &KEYS_1, Class::Keys, PLAIN, &[]),
    row(
        "wait",
        3,
        Flags::NOSCRIPT,
        &[],
        Class::Refused {
            because: "it is about the writes of its own connection, and a ring shares its connections",
            allowable: false,
        },
        (Wait::Millis(2), Care::None, Library::None),
        &[],
    )
    .about(Categories::CONNECTION),
    row(
        "waitaof",
        4,
        Flags::BLOCKING,
        &[],
        Class::Refused {
            because: "it is about the writes of its own connection, and a ring shares its connections",
            allowable: false,
        },
        (Wait::Millis(3), Care::None, Library::None),
        &[],
    )
    .about(Categories::CONNECTION),
    row(
        "watch",
        -2,
        Flags::NOSCRIPT.and(Flags::LOADING).and(Flags::STALE).and(Flags::FAST).and(Flags::ALLOW_BUSY),
        &KEYS_10,
        Class::Transaction(Transaction::Watch),
        PLAIN,
        &[],
    )
    .about(Categories::TRANSACTION),
    row("xack", -4, Flags::WRITE.and(Flags::FAST).and(Flags::IDEMPOTENT), &KEYS_0, Class::Keys, PLAIN, &[])
        .about(Categories::STREAM),
    row("xackdel", -6, Flags::WRITE.and(Flags::FAST), &KEYS_2, Class::Keys, PLAIN, &[])
        .about(Categories::STREAM),
    row("xadd", -5, Flags::WRITE.and(Flags::DENYOOM).and(Flags::FAST), &KEYS_0, Class::Keys, PLAIN, &[])
        .about(Categories::STREAM),
    row("xautoclaim", -6, Flags::WRITE.and(Flags::FAST), &KEYS_0, Class::Keys, PLAIN, &[])
        .about(Categories::STREAM),
    row("xcfgset", -2, Flags::WRITE.and(Flags::FAST), &KEYS_2, Class::Keys, PLAIN, &[])
        .about(Categories::STREAM),
    row("xclaim", -6, Flags::WRITE.and(Flags::FAST), &KEYS_0, Class::Keys, PLAIN, &[])
        .about(Categories::STREAM),
    row("xdel", -3, Flags::WRITE.and(Flags::FAST).and(Flags::IDEMPOTENT), &KEYS_0, Class::Keys, PLAIN, &[])
        .about(Categories::STREAM),
    row("xdelex", -5, Flags::WRITE.and(Flags::FAST), &KEYS_2, Class::Keys, PLAIN, &[])
        .about(Categories::STREAM),
    row("xgroup", -2, Flags::NONE, &[], Class::Container, PLAIN, &XGROUP),
    row(
        "xidmprecord",
        5,
        Flags::WRITE.and(Flags::DENYOOM).and(Flags::FAST),
        &KEYS_2,
        Class::Keys,
        PLAIN,
        &[],
    )
    .about(Categories::STREAM),
    row("xinfo", -2, Flags::NONE, &[], Class::Container, PLAIN, &XINFO),
    row("xlen", 2, Flags::READONLY.and(Flags::FAST), &KEYS_13, Class::Keys, PLAIN, &[])
        .about(Categories::STREAM)
        .absent(Absent::Zero),
    row("xnack", -7, Flags::WRITE.and(Flags::FAST), &KEYS_2, Class::Keys, PLAIN, &[])
        .about(Categories::STREAM),
    row("xpending", -3, Flags::READONLY, &KEYS_1, Class::Keys, PLAIN, &[]).about(Categories::STREAM),
    row("xrange", -4, Flags::READONLY, &KEYS_1, Class::Keys, PLAIN, &[])
        .about(Categories::STREAM)
        .absent(Absent::EmptyArray),
    row(
        "xread",
        -4,
        Flags::READONLY.and(Flags::BLOCKING).and(Flags::MOVABLEKEYS),
        &KEYS_28,
        Class::Keys,
        (Wait::MillisAfter("block"), Care::Conditional(&["$"], 1), Library::None),
        &[],
    )
    .about(Categories::STREAM)
    .options(&OPTIONS_4)
    .absent(Absent::NullArray),
    row(
        "xreadgroup",
        -7,
        Flags::WRITE.and(Flags::BLOCKING).and(Flags::MOVABLEKEYS),
        &KEYS_28,
        Class::Keys,
        (Wait::MillisAfter("block"), Care::None, Library::None),
        &[],
    )
    .about(Categories::STREAM)
    .options(&OPTIONS_4),
    row("xrevrange", -4, Flags::READONLY, &KEYS_1, Class::Keys, PLAIN, &[])
        .about(Categories::STREAM)
        .absent(Absent::EmptyArray),
    row("xsetid", -3, Flags::WRITE.and(Flags::DENYOOM).and(Flags::FAST), &KEYS_0, Class::Keys, PLAIN, &[])
        .about(Categories::STREAM),
    row("xtrim", -4, Flags::WRITE.and(Flags::IDEMPOTENT), &KEYS_0, Class::Keys, PLAIN, &[])
        .about(Categories::STREAM),
    row(
        "zadd",
        -4,
        Flags::WRITE.and(Flags::DENYOOM).and(Flags::FAST).and(Flags::IDEMPOTENT),
        &KEYS_0,
        Class::Keys,
        (Wait::Never, Care::Conditional(&["nx", "xx", "gt", "lt", "incr"], 2), Library::None),
        &[],
    )
    .about(Categories::SORTEDSET),
    row("zcard", 2, Flags::READONLY.and(Flags::FAST), &KEYS_13, Class::Keys, PLAIN, &[])
        .about(Categories::SORTEDSET)
        .absent(Absent::Zero),
    row("zcount", 4, Flags::READONLY.and(Flags::FAST), &KEYS_1, Class::Keys, PLAIN, &[])
        .about(Categories::SORTEDSET)
        .absent(Absent::Zero),
    row("zdiff", -3, Flags::READONLY.and(Flags::MOVABLEKEYS), &KEYS_24, Class::Keys, PLAIN, &[])
        .about(Categories::SORTEDSET)
        .absent(Absent::EmptyArray),
    row(
        "zdiffstore",
        -4,
        Flags::WRITE.and(Flags::DENYOOM).and(Flags::MOVABLEKEYS),
        &KEYS_29,
        Class::Keys,
        PLAIN,
        &[],
    )
    .about(Categories::SORTEDSET),
    row("zincrby", 4, Flags::WRITE.and(Flags::DENYOOM).and(Flags::FAST), &KEYS_2, Class::Keys, PLAIN, &[])
        .about(Categories::SORTEDSET),
    row("zinter", -3, Flags::READONLY.and(Flags::MOVABLEKEYS), &KEYS_24, Class::Keys, PLAIN, &[])
        .about(Categories::SORTEDSET)
        .absent(Absent::EmptyArray),
    row("zintercard", -3, Flags::READONLY.and(Flags::MOVABLEKEYS), &KEYS_24, Class::Keys, PLAIN, &[])
        .about(Categories::SORTEDSET)
        .absent(Absent::Zero),
    row(
        "zinterstore",
        -4,
        Flags::WRITE.and(Flags::DENYOOM).and(Flags::MOVABLEKEYS),
        &KEYS_29,
        Class::Keys,
        PLAIN,
        &[],
    )
    .about(Categories::SORTEDSET),
    row("zlexcount", 4, Flags::READONLY.and(Flags::FAST), &KEYS_1, Class::Keys, PLAIN, &[])
        .about(Categories::SORTEDSET)
        .absent(Absent::Zero),
    row("zmpop", -4, Flags::WRITE.and(Flags::MOVABLEKEYS), &KEYS_15, Class::Keys, PLAIN, &[])
        .about(Categories::SORTEDSET),
    row("zmscore", -3, Flags::READONLY.and(Flags::FAST), &KEYS_1, Class::Keys, PLAIN, &[])
        .about(Categories::SORTEDSET)
        .absent(Absent::Nulls(2)),
    row("zpopmax", -2, Flags::WRITE.and(Flags::FAST), &KEYS_2, Class::Keys, PLAIN, &[])
        .about(Categories::SORTEDSET),
    row("zpopmin", -2, Flags::WRITE.and(Flags::FAST), &KEYS_2, Class::Keys, PLAIN, &[])
        .about(Categories::SORTEDSET),
    row("zrandmember", -2, Flags::READONLY, &KEYS_1, Class::Keys, PLAIN, &[])
        .about(Categories::SORTEDSET)
        .absent(Absent::NullOrEmpty(2)),
    row("zrange", -4, Flags::READONLY, &KEYS_1, Class::Keys, PLAIN, &[])
        .about(Categories::SORTEDSET)
        .absent(Absent::EmptyArray),
    row("zrangebylex", -4, Flags::READONLY, &KEYS_1, Class::Keys, PLAIN, &[])
        .about(Categories::SORTEDSET)
        .absent(Absent::EmptyArray),
    row("zrangebyscore", -4, Flags::READONLY, &KEYS_1, Class::Keys, PLAIN, &[])
        .about(Categories::SORTEDSET)
        .absent(Absent::EmptyArray),
    row("zrangestore", -5, Flags::WRITE.and(Flags::DENYOOM), &KEYS_12, Class::Keys, PLAIN, &[])
        .about(Categories::SORTEDSET),
    row("zrank", -3, Flags::READONLY.and(Flags::FAST), &KEYS_1, Class::Keys, PLAIN, &[])
        .about(Categories::SORTEDSET)
        .absent(Absent::Null),
    row("zrem", -3, Flags::WRITE.and(Flags::FAST).and(Flags::IDEMPOTENT), &KEYS_0, Class::Keys, PLAIN, &[])
        .about(Categories::SORTEDSET),
    row("zremrangebylex", 4, Flags::WRITE.and(Flags::IDEMPOTENT), &KEYS_0, Class::Keys, PLAIN, &[])
        .about(Categories::SORTEDSET),
    row("zremrangebyrank", 4, Flags::WRITE, &KEYS_0, Class::Keys, PLAIN, &[]).about(Categories::SORTEDSET),
    row("zremrangebyscore", 4, Flags::WRITE.and(Flags::IDEMPOTENT), &KEYS_0, Class::Keys, PLAIN, &[])
        .about(Categories::SORTEDSET),
    row("zrevrange", -4, Flags::READONLY, &KEYS_1, Class::Keys, PLAIN, &[])
        .about(Categories::SORTEDSET)
        .absent(Absent::EmptyArray),
    row("zrevrangebylex", -4, Flags::READONLY, &KEYS_1, Class::Keys, PLAIN, &[])
        .about(Categories::SORTEDSET)
        .absent(Absent::EmptyArray),
    row("zrevrangebyscore", -4, Flags::READONLY, &KEYS_1, Class::Keys, PLAIN, &[])
        .about(Categories::SORTEDSET)
        .absent(Absent::EmptyArray),
    row("zrevrank", -3, Flags::READONLY.and(Flags::FAST), &KEYS_1, Class::Keys, PLAIN, &[])
        .about(Categories::SORTEDSET)
        .absent(Absent::Null),
    row("zscan", -3, Flags::READONLY, &KEYS_1, Class::Keys, PLAIN, &[])
        .about(Categories::SORTEDSET)
        .absent(Absent::ScanEnd),
    row("zscore", 3, Flags::READONLY.and(Flags::FAST), &KEYS_1, Class::Keys, PLAIN, &[])
        .about(Categories::SORTEDSET)
        .absent(Absent::Null),
    row("zunion", -3, Flags::READONLY.and(Flags::MOVABLEKEYS), &KEYS_24, Class::Keys, PLAIN, &[])
        .about(Categories::SORTEDSET)
        .absent(Absent::EmptyArray),
    row(
        "zunionstore",
        -4,
        Flags::WRITE.and(Flags::DENYOOM).and(Flags::MOVABLEKEYS),
        &KEYS_29,
        Class::Keys,
        PLAIN,
        &[],
    )
    .about(Categories::SORTEDSET),
];

static ACL: [Row; 13] = [
    row("acl|cat", -2, Flags::NOSCRIPT.and(Flags::LOADING).and(Flags::STALE), &[], Class::Any, PLAIN, &[]),
    row(
        "acl|deluser",
        -3,
        Flags::ADMIN.and(Flags::NOSCRIPT).and(Flags::LOADING).and(Flags::STALE),
        &[],
        Class::Refused {
            because: "it shows or changes the users of one server, and the ring has its own",
            allowable: true,
        },
        PLAIN,
        &[],
    ),
    row(
        "acl|dryrun",
        -4,
        Flags::ADMIN.and(Flags::NOSCRIPT).and(Flags::LOADING).and(Flags::STALE),
        &[],
        Class::Refused {
            because: "it shows or changes the users of one server, and the ring has its own",
            allowable: true,
        },
        PLAIN,
        &[],
    ),
    row(
        "acl|genpass",
        -2,
        Flags::NOSCRIPT.and(Flags::LOADING).and(Flags::STALE),
        &[],
        Class::Any,
        PLAIN,
        &[],
    ),
    row(
        "acl|getuser",
        3,
        Flags::ADMIN.and(Flags::NOSCRIPT).and(Flags::LOADING).and(Flags::STALE),
        &[],
        Class::Refused {
            because: "it shows or changes the users of one server, and the ring has its own",
            allowable: true,
        },
        PLAIN,
        &[],
    ),
    row("acl|help", 2, Flags::LOADING.and(Flags::STALE), &[], Class::Any, PLAIN, &[]),
    row(
        "acl|list",
        2,
        Flags::ADMIN.and(Flags::NOSCRIPT).and(Flags::LOADING).and(Flags::STALE),
        &[],
        Class::Refused {
            because: "it shows or changes the users of one server, and the ring has its own",
            allowable: true,
        },
        PLAIN,
        &[],
    ),
    row(
        "acl|load",
        2,
        Flags::ADMIN.and(Flags::NOSCRIPT).and(Flags::LOADING).and(Flags::STALE),
        &[],
        Class::Refused {
            because: "it shows or changes the users of one server, and the ring has its own",
            allowable: true,
        },
        PLAIN,
        &[],
    ),
    row(
        "acl|log",
        -2,
        Flags::ADMIN.and(Flags::NOSCRIPT).and(Flags::LOADING).and(Flags::STALE),
        &[],
        Class::Refused {
            because: "it shows or changes the users of one server, and the ring has its own",
            allowable: true,
        },
        PLAIN,
        &[],
    ),
    row(
        "acl|save",
        2,
        Flags::ADMIN.and(Flags::NOSCRIPT).and(Flags::LOADING).and(Flags::STALE),
        &[],
        Class::Refused {
            because: "it shows or changes the users of one server, and the ring has its own",
            allowable: true,
        },
        PLAIN,
        &[],
    ),
    row(
        "acl|setuser",
        -3,
        Flags::ADMIN.and(Flags::NOSCRIPT).and(Flags::LOADING).and(Flags::STALE),
        &[],
        Class::Refused {
            because: "it shows or changes the users of one server, and the ring has its own",
            allowable: true,
        },
        PLAIN,
        &[],
    ),
    row(
        "acl|users",
        2,
        Flags::ADMIN.and(Flags::NOSCRIPT).and(Flags::LOADING).and(Flags::STALE),
        &[],
        Class::Refused {
            because: "it shows or changes the users of one server, and the ring has its own",
            allowable: true,
        },
        PLAIN,
        &[],
    ),
    row(
        "acl|whoami",
        2,
        Flags::NOSCRIPT.and(Flags::LOADING).and(Flags::STALE),
        &[],
        Class::Local(LocalCommand::AclWhoami),
        PLAIN,
        &[],
    ),
];

static BACKUP: [Row; 7] = [
    row(
        "backup|abort",
        2,
        Flags::ADMIN.and(Flags::NOSCRIPT),
        &[],
        Class::Refused { because: "it administers a server, and a ring has many", allowable: true },
        PLAIN,
        &[],
    ),
    row(
        "backup|cleanup",
        2,
        Flags::ADMIN.and(Flags::NOSCRIPT),
        &[],
        Class::Refused { because: "it administers a server, and a ring has many", allowable: true },
        PLAIN,
        &[],
    ),
    row("backup|help", 2, Flags::LOADING.and(Flags::STALE), &[], Class::Any, PLAIN, &[]),
    row(
        "backup|list",
        2,
        Flags::ADMIN.and(Flags::STALE),
        &[],
        Class::Refused { because: "it administers a server, and a ring has many", allowable: true },
        PLAIN,
        &[],
    ),
    row(
        "backup|seal",
        2,
        Flags::ADMIN.and(Flags::NOSCRIPT),
        &[],
        Class::Refused { because: "it administers a server, and a ring has many", allowable: true },
        PLAIN,
        &[],
    ),
    row(
        "backup|start",
        2,
        Flags::ADMIN.and(Flags::NOSCRIPT),
        &[],
        Class::Refused { because: "it administers a server, and a ring has many", allowable: true },
        PLAIN,
        &[],
    ),
    row(
        "backup|status",
        2,
        Flags::ADMIN.and(Flags::STALE),
        &[],
        Class::Refused { because: "it administers a server, and a ring has many", allowable: true },
        PLAIN,
        &[],
    ),
];

static CLIENT: [Row; 20] = [
    row(
        "client|caching",
        3,
        Flags::NOSCRIPT.and(Flags::LOADING).and(Flags::STALE),
        &[],
        Class::Refused { because: "it would change a connection that many share", allowable: false },
        PLAIN,
        &[],
    )
    .about(Categories::CONNECTION),
    row(
        "client|capa",
        -3,
        Flags::NOSCRIPT.and(Flags::LOADING).and(Flags::STALE),
        &[],
        Class::Refused { because: "it would change a connection that many share", allowable: false },
        PLAIN,
        &[],
    )
    .about(Categories::CONNECTION),
    row(
        "client|getname",
        2,
        Flags::NOSCRIPT.and(Flags::LOADING).and(Flags::STALE),
        &[],
        Class::Local(LocalCommand::ClientGetName),
        PLAIN,
        &[],
    )
    .about(Categories::CONNECTION),
    row(
        "client|getredir",
        2,
        Flags::NOSCRIPT.and(Flags::LOADING).and(Flags::STALE),
        &[],
        Class::Local(LocalCommand::ClientGetRedir),
        PLAIN,
        &[],
    )
    .about(Categories::CONNECTION),
    row("client|help", 2, Flags::LOADING.and(Flags::STALE), &[], Class::Any, PLAIN, &[])
        .about(Categories::CONNECTION),
    row(
        "client|id",
        2,
        Flags::NOSCRIPT.and(Flags::LOADING).and(Flags::STALE),
        &[],
        Class::Local(LocalCommand::ClientId),
        PLAIN,
        &[],
    )
    .about(Categories::CONNECTION),
    row(
        "client|import-source",
        3,
        Flags::NOSCRIPT.and(Flags::LOADING).and(Flags::STALE),
        &[],
        Class::Refused { because: "it would change a connection that many share", allowable: false },
        PLAIN,
        &[],
    )
    .about(Categories::CONNECTION),
    row(
        "client|info",
        2,
        Flags::NOSCRIPT.and(Flags::LOADING).and(Flags::STALE),
        &[],
        Class::Local(LocalCommand::ClientInfo),
        PLAIN,
        &[],
    )
    .about(Categories::CONNECTION),
    row(
        "client|kill",
        -3,
        Flags::ADMIN.and(Flags::NOSCRIPT).and(Flags::LOADING).and(Flags::STALE),
        &[],
        Class::Local(LocalCommand::ClientKill),
        PLAIN,
        &[],
    )
    .about(Categories::CONNECTION),
    row(
        "client|list",
        -2,
        Flags::ADMIN.and(Flags::NOSCRIPT).and(Flags::LOADING).and(Flags::STALE),
        &[],
        Class::Local(LocalCommand::ClientList),
        PLAIN,
        &[],
    )
    .about(Categories::CONNECTION),
    row(
        "client|no-evict",
        3,
        Flags::ADMIN.and(Flags::NOSCRIPT).and(Flags::LOADING).and(Flags::STALE),
        &[],
        Class::Local(LocalCommand::ClientNoEvict),
        PLAIN,
        &[],
    )
    .about(Categories::CONNECTION),
    row(
        "client|no-touch",
        3,
        Flags::NOSCRIPT.and(Flags::LOADING).and(Flags::STALE),
        &[],
        Class::Local(LocalCommand::ClientNoTouch),
        PLAIN,
        &[],
    )
    .about(Categories::CONNECTION),
    row(
        "client|pause",
        -3,
        Flags::ADMIN.and(Flags::NOSCRIPT).and(Flags::LOADING).and(Flags::STALE),
        &[],
        Class::Refused { because: "it would act on the connections of the ring itself", allowable: true },
        PLAIN,
        &[],
    )
    .about(Categories::CONNECTION),
    row(
        "client|reply",
        3,
        Flags::NOSCRIPT.and(Flags::LOADING).and(Flags::STALE),
        &[],
        Class::Local(LocalCommand::ClientReply),
        PLAIN,
        &[],
    )
    .about(Categories::CONNECTION),
    row(
        "client|setinfo",
        4,
        Flags::NOSCRIPT.and(Flags::LOADING).and(Flags::STALE),
        &[],
        Class::Local(LocalCommand::ClientSetInfo),
        PLAIN,
        &[],
    )
    .about(Categories::CONNECTION),
    row(
        "client|setname",
        3,
        Flags::NOSCRIPT.and(Flags::LOADING).and(Flags::STALE),
        &[],
        Class::Local(LocalCommand::ClientSetName),
        PLAIN,
        &[],
    )
    .about(Categories::CONNECTION),
    row(
        "client|tracking",
        -3,
        Flags::NOSCRIPT.and(Flags::LOADING).and(Flags::STALE),
        &[],
        Class::Refused { because: "it would change a connection that many share", allowable: false },
        PLAIN,
        &[],
    )
    .about(Categories::CONNECTION),
    row(
        "client|trackinginfo",
        2,
        Flags::NOSCRIPT.and(Flags::LOADING).and(Flags::STALE),
        &[],
        Class::Local(LocalCommand::ClientTrackingInfo),
        PLAIN,
        &[],
    )
    .about(Categories::CONNECTION),
    row(
        "client|unblock",
        -3,
        Flags::ADMIN.and(Flags::NOSCRIPT).and(Flags::LOADING).and(Flags::STALE),
        &[],
        Class::Refused { because: "it would act on the connections of the ring itself", allowable: true },
        PLAIN,
        &[],
    )
    .about(Categories::CONNECTION),
    row(
        "client|unpause",
        2,
        Flags::ADMIN.and(Flags::NOSCRIPT).and(Flags::LOADING).and(Flags::STALE),
        &[],
        Class::Refused { because: "it would act on the connections of the ring itself", allowable: true },
        PLAIN,
        &[],
    )
    .about(Categories::CONNECTION),
];

static CLUSTER: [Row; 35] = [
    row(
        "cluster|addslots",
        -3,
        Flags::ADMIN.and(Flags::STALE).and(Flags::NO_ASYNC_LOADING),
        &[],
        Class::Refused { because: "the shards of a ring are not a cluster", allowable: true },
        PLAIN,
        &[],
    ),
    row(
        "cluster|addslotsrange",
        -4,
        Flags::ADMIN.and(Flags::STALE).and(Flags::NO_ASYNC_LOADING),
        &[],
        Class::Refused { because: "the shards of a ring are not a cluster", allowable: true },
        PLAIN,
        &[],
    ),
    row(
        "cluster|bumpepoch",
        2,
        Flags::ADMIN.and(Flags::STALE).and(Flags::NO_ASYNC_LOADING),
        &[],
        Class::Refused { because: "the shards of a ring are not a cluster", allowable: true },
        PLAIN,
        &[],
    ),
    row(
        "cluster|cancelslotmigrations",
        2,
        Flags::ADMIN.and(Flags::STALE),
        &[],
        Class::Refused { because: "the shards of a ring are not a cluster", allowable: true },
        PLAIN,
        &[],
    ),
    row(
        "cluster|count-failure-reports",
        3,
        Flags::ADMIN.and(Flags::STALE),
        &[],
        Class::Refused { because: "the shards of a ring are not a cluster", allowable: true },
        PLAIN,
        &[],
    ),
    row(
        "cluster|countkeysinslot",
        3,
        Flags::STALE,
        &[],
        Class::Local(LocalCommand::ClusterDisabled),
        PLAIN,
        &[],
    ),
    row(
        "cluster|delslots",
        -3,
        Flags::ADMIN.and(Flags::STALE).and(Flags::NO_ASYNC_LOADING),
        &[],
        Class::Refused { because: "the shards of a ring are not a cluster", allowable: true },
        PLAIN,
        &[],
    ),
    row(
        "cluster|delslotsrange",
        -4,
        Flags::ADMIN.and(Flags::STALE).and(Flags::NO_ASYNC_LOADING),
        &[],
        Class::Refused { because: "the shards of a ring are not a cluster", allowable: true },
        PLAIN,
        &[],
    ),
    row(
        "cluster|failover",
        -2,
        Flags::ADMIN.and(Flags::STALE).and(Flags::NO_ASYNC_LOADING),
        &[],
        Class::Refused { because: "the shards of a ring are not a cluster", allowable: true },
        PLAIN,
        &[],
    ),
    row(
        "cluster|flushslot",
        -3,
        Flags::ADMIN.and(Flags::STALE),
        &[],
        Class::Refused { because: "the shards of a ring are not a cluster", allowable: true },
        PLAIN,
        &[],
    ),
    row(
        "cluster|flushslots",
        2,
        Flags::ADMIN.and(Flags::STALE).and(Flags::NO_ASYNC_LOADING),
        &[],
        Class::Refused { because: "the shards of a ring are not a cluster", allowable: true },
        PLAIN,
        &[],
    ),
    row(
        "cluster|forget",
        3,
        Flags::ADMIN.and(Flags::STALE).and(Flags::NO_ASYNC_LOADING),
        &[],
        Class::Refused { because: "the shards of a ring are not a cluster", allowable: true },
        PLAIN,
        &[],
    ),
    row(
        "cluster|getkeysinslot",
        4,
        Flags::STALE,
        &[],
        Class::Local(LocalCommand::ClusterDisabled),
        PLAIN,
        &[],
    ),
    row(
        "cluster|getslotmigrations",
        2,
        Flags::ADMIN.and(Flags::STALE),
        &[],
        Class::Refused { because: "the shards of a ring are not a cluster", allowable: true },
        PLAIN,
        &[],
    ),
    row("cluster|help", 2, Flags::LOADING.and(Flags::STALE), &[], Class::Any, PLAIN, &[]),
    row("cluster|info", 2, Flags::STALE, &[], Class::Local(LocalCommand::ClusterDisabled), PLAIN, &[]),
    row("cluster|keyslot", 3, Flags::STALE, &[], Class::Local(LocalCommand::ClusterDisabled), PLAIN, &[]),
    row("cluster|links", 2, Flags::STALE, &[], Class::Local(LocalCommand::ClusterDisabled), PLAIN, &[]),
    row(
        "cluster|meet",
        -4,
        Flags::ADMIN.and(Flags::STALE).and(Flags::NO_ASYNC_LOADING),
        &[],
        Class::Refused { because: "the shards of a ring are not a cluster", allowable: true },
        PLAIN,
        &[],
    ),
    row(
        "cluster|migrateslots",
        -4,
        Flags::ADMIN.and(Flags::STALE),
        &[],
        Class::Refused { because: "the shards of a ring are not a cluster", allowable: true },
        PLAIN,
        &[],
    ),
    row(
        "cluster|migration",
        -4,
        Flags::ADMIN.and(Flags::STALE).and(Flags::NO_ASYNC_LOADING),
        &[],
        Class::Refused { because: "the shards of a ring are not a cluster", allowable: true },
        PLAIN,
        &[],
    ),
    row("cluster|myid", 2, Flags::STALE, &[], Class::Local(LocalCommand::ClusterDisabled), PLAIN, &[]),
    row(
        "cluster|myshardid",
        2,
        Flags::LOADING.and(Flags::STALE),
        &[],
        Class::Local(LocalCommand::ClusterDisabled),
        PLAIN,
        &[],
    ),
    row("cluster|nodes", 2, Flags::STALE, &[], Class::Local(LocalCommand::ClusterDisabled), PLAIN, &[]),
    row(
        "cluster|replicas",
        3,
        Flags::ADMIN.and(Flags::STALE),
        &[],
        Class::Local(LocalCommand::ClusterDisabled),
        PLAIN,
        &[],
    ),
    row(
        "cluster|replicate",
        3,
        Flags::ADMIN.and(Flags::STALE).and(Flags::NO_ASYNC_LOADING),
        &[],
        Class::Refused { because: "the shards of a ring are not a cluster", allowable: true },
        PLAIN,
        &[],
    ),
    row(
        "cluster|reset",
        -2,
        Flags::ADMIN.and(Flags::NOSCRIPT).and(Flags::STALE),
        &[],
        Class::Refused { because: "the shards of a ring are not a cluster", allowable: true },
        PLAIN,
        &[],
    ),
    row(
        "cluster|saveconfig",
        2,
        Flags::ADMIN.and(Flags::STALE).and(Flags::NO_ASYNC_LOADING),
        &[],
        Class::Refused { because: "the shards of a ring are not a cluster", allowable: true },
        PLAIN,
        &[],
    ),
    row(
        "cluster|set-config-epoch",
        3,
        Flags::ADMIN.and(Flags::STALE).and(Flags::NO_ASYNC_LOADING),
        &[],
        Class::Refused { because: "the shards of a ring are not a cluster", allowable: true },
        PLAIN,
        &[],
    ),
    row(
        "cluster|setslot",
        -4,
        Flags::ADMIN.and(Flags::STALE).and(Flags::NO_ASYNC_LOADING),
        &[],
        Class::Refused { because: "the shards of a ring are not a cluster", allowable: true },
        PLAIN,
        &[],
    ),
    row("cluster|shards", 2, Flags::STALE, &[], Class::Local(LocalCommand::ClusterDisabled), PLAIN, &[]),
    row(
        "cluster|slaves",
        3,
        Flags::ADMIN.and(Flags::STALE),
        &[],
        Class::Local(LocalCommand::ClusterDisabled),
        PLAIN,
        &[],
    ),
    row(
        "cluster|slot-stats",
        -4,
        Flags::LOADING.and(Flags::STALE),
        &[],
        Class::Local(LocalCommand::ClusterDisabled),
        PLAIN,
        &[],
    ),
    row("cluster|slots", 2, Flags::STALE, &[], Class::Local(LocalCommand::ClusterDisabled), PLAIN, &[]),
    row(
        "cluster|syncslots",
        -3,
        Flags::ADMIN.and(Flags::STALE).and(Flags::NO_ASYNC_LOADING),
        &[],
        Class::Refused { because: "the shards of a ring are not a cluster", allowable: true },
        PLAIN,
        &[],
    ),
];

static COMMAND: [Row; 7] = [
    row(
        "command|count",
        2,
        Flags::LOADING.and(Flags::STALE),
        &[],
        Class::Local(LocalCommand::CommandCount),
        PLAIN,
        &[],
    )
    .about(Categories::CONNECTION),
    row(
        "command|docs",
        -2,
        Flags::LOADING.and(Flags::STALE),
        &[],
        Class::Local(LocalCommand::CommandDocs),
        PLAIN,
        &[],
    )
    .about(Categories::CONNECTION),
    row(
        "command|getkeys",
        -3,
        Flags::LOADING.and(Flags::STALE),
        &[],
        Class::Local(LocalCommand::CommandGetKeys),
        PLAIN,
        &[],
    )
    .about(Categories::CONNECTION),
    row(
        "command|getkeysandflags",
        -3,
        Flags::LOADING.and(Flags::STALE),
        &[],
        Class::Local(LocalCommand::CommandGetKeysAndFlags),
        PLAIN,
        &[],
    )
    .about(Categories::CONNECTION),
    row("command|help", 2, Flags::LOADING.and(Flags::STALE), &[], Class::Any, PLAIN, &[])
        .about(Categories::CONNECTION),
    row(
        "command|info",
        -2,
        Flags::LOADING.and(Flags::STALE),
        &[],
        Class::Local(LocalCommand::CommandInfo),
        PLAIN,
        &[],
    )
    .about(Categories::CONNECTION),
    row(
        "command|list",
        -2,
        Flags::LOADING.and(Flags::STALE),
        &[],
        Class::Local(LocalCommand::CommandList),
        PLAIN,
        &[],
    )
    .about(Categories::CONNECTION),
];

static COMMANDLOG: [Row; 4] = [
    row(
        "commandlog|get",
        4,
        Flags::ADMIN.and(Flags::LOADING).and(Flags::STALE).and(Flags::IDEMPOTENT),
        &[],
        Class::Every(Response::Concat),
        PLAIN,
        &[],
    ),
    row("commandlog|help", 2, Flags::LOADING.and(Flags::STALE), &[], Class::Any, PLAIN, &[]),
    row(
        "commandlog|len",
        3,
        Flags::ADMIN.and(Flags::LOADING).and(Flags::STALE).and(Flags::IDEMPOTENT),
        &[],
        Class::Every(Response::Sum),
        PLAIN,
        &[],
    ),
    row(
        "commandlog|reset",
        3,
        Flags::ADMIN.and(Flags::LOADING).and(Flags::STALE),
        &[],
        Class::Every(Response::AllOk),
        PLAIN,
        &[],
    ),
];

static CONFIG: [Row; 5] = [
    row(
        "config|get",
        -3,
        Flags::ADMIN.and(Flags::NOSCRIPT).and(Flags::LOADING).and(Flags::STALE).and(Flags::IDEMPOTENT),
        &[],
        Class::Any,
        PLAIN,
        &[],
    ),
    row("config|help", 2, Flags::LOADING.and(Flags::STALE), &[], Class::Any, PLAIN, &[]),
    row(
        "config|resetstat",
        2,
        Flags::ADMIN.and(Flags::NOSCRIPT).and(Flags::LOADING).and(Flags::STALE),
        &[],
        Class::Every(Response::AllOk),
        PLAIN,
        &[],
    ),
    row(
        "config|rewrite",
        2,
        Flags::ADMIN.and(Flags::NOSCRIPT).and(Flags::LOADING).and(Flags::STALE),
        &[],
        Class::Refused { because: "it administers a server, and a ring has many", allowable: true },
        PLAIN,
        &[],
    ),
    row(
        "config|set",
        -4,
        Flags::ADMIN.and(Flags::NOSCRIPT).and(Flags::LOADING).and(Flags::STALE).and(Flags::IDEMPOTENT),
        &[],
        Class::Every(Response::AllOk),
        (
            Wait::Never,
            Care::Reach(
                &["bind", "port", "protected-mode", "requirepass", "tls-auth-clients", "tls-port"],
                2,
            ),
            Library::None,
        ),
        &[],
    ),
];

static FUNCTION: [Row; 9] = [
    row(
        "function|delete",
        3,
        Flags::WRITE.and(Flags::NOSCRIPT),
        &[],
        Class::Every(Response::AllOk),
        (Wait::Never, Care::None, Library::ChangesFunctions),
        &[],
    )
    .about(Categories::SCRIPTING),
    row("function|dump", 2, Flags::NOSCRIPT.and(Flags::IDEMPOTENT), &[], Class::Any, PLAIN, &[])
        .about(Categories::SCRIPTING),
    row(
        "function|flush",
        -2,
        Flags::WRITE.and(Flags::NOSCRIPT),
        &[],
        Class::Every(Response::AllOk),
        (Wait::Never, Care::None, Library::ChangesFunctions),
        &[],
    )
    .about(Categories::SCRIPTING),
    row("function|help", 2, Flags::LOADING.and(Flags::STALE), &[], Class::Any, PLAIN, &[])
        .about(Categories::SCRIPTING),
    row(
        "function|kill",
        2,
        Flags::NOSCRIPT.and(Flags::ALLOW_BUSY),
        &[],
        Class::Every(Response::OneSucceeded),
        PLAIN,
        &[],
    )
    .about(Categories::SCRIPTING),
    row("function|list", -2, Flags::NOSCRIPT.and(Flags::IDEMPOTENT), &[], Class::Any, PLAIN, &[])
        .about(Categories::SCRIPTING),
    row(
        "function|load",
        -3,
        Flags::WRITE.and(Flags::DENYOOM).and(Flags::NOSCRIPT),
        &[],
        Class::Every(Response::AllOk),
        (Wait::Never, Care::None, Library::ChangesFunctions),
        &[],
    )
    .about(Categories::SCRIPTING),
    row(
        "function|restore",
        -3,
        Flags::WRITE.and(Flags::DENYOOM).and(Flags::NOSCRIPT),
        &[],
        Class::Every(Response::AllOk),
        (Wait::Never, Care::None, Library::ChangesFunctions),
        &[],
    )
    .about(Categories::SCRIPTING),
    row(
        "function|stats",
        2,
        Flags::NOSCRIPT.and(Flags::ALLOW_BUSY),
        &[],
        Class::Every(Response::Running),
        PLAIN,
        &[],
    )
    .about(Categories::SCRIPTING),
];

static HIMPORT: [Row; 4] = [
    row(
        "himport|discard",
        3,
        Flags::NONE,
        &[],
        Class::Refused { because: "it would change a connection that many share", allowable: false },
        PLAIN,
        &[],
    )
    .about(Categories::HASH),
    row(
        "himport|discardall",
        2,
        Flags::NONE,
        &[],
        Class::Refused { because: "it would change a connection that many share", allowable: false },
        PLAIN,
        &[],
    )
    .about(Categories::HASH),
    row(
        "himport|prepare",
        -4,
        Flags::DENYOOM,
        &[],
        Class::Refused { because: "it would change a connection that many share", allowable: false },
        PLAIN,
        &[],
    )
    .about(Categories::HASH),
    row(
        "himport|set",
        -5,
        Flags::WRITE.and(Flags::DENYOOM),
        &KEYS_32,
        Class::Refused { because: "it would change a connection that many share", allowable: false },
        PLAIN,
        &[],
    )
    .about(Categories::HASH),
];

static HOTKEYS: [Row; 5] = [
    row(
        "hotkeys|get",
        2,
        Flags::ADMIN.and(Flags::NOSCRIPT),
        &[],
        Class::Refused { because: "it administers a server, and a ring has many", allowable: true },
        PLAIN,
        &[],
    ),
    row("hotkeys|help", 2, Flags::LOADING.and(Flags::STALE), &[], Class::Any, PLAIN, &[]),
    row(
        "hotkeys|reset",
        2,
        Flags::ADMIN.and(Flags::NOSCRIPT),
        &[],
        Class::Refused { because: "it administers a server, and a ring has many", allowable: true },
        PLAIN,
        &[],
    ),
    row(
        "hotkeys|start",
        -2,
        Flags::ADMIN.and(Flags::NOSCRIPT),
        &[],
        Class::Refused { because: "it administers a server, and a ring has many", allowable: true },
        PLAIN,
        &[],
    ),
    row(
        "hotkeys|stop",
        2,
        Flags::ADMIN.and(Flags::NOSCRIPT),
        &[],
        Class::Refused { because: "it administers a server, and a ring has many", allowable: true },
        PLAIN,
        &[],
    ),
];

static LATENCY: [Row; 7] = [
    row(
        "latency|doctor",
        2,
        Flags::ADMIN.and(Flags::NOSCRIPT).and(Flags::LOADING).and(Flags::STALE),
        &[],
        Class::Refused { because: "its answer is about one server, and a ring has many", allowable: true },
        PLAIN,
        &[],
    ),
    row(
        "latency|graph",
        3,
        Flags::ADMIN.and(Flags::NOSCRIPT).and(Flags::LOADING).and(Flags::STALE),
        &[],
        Class::Refused { because: "its answer is about one server, and a ring has many", allowable: true },
        PLAIN,
        &[],
    ),
    row("latency|help", 2, Flags::LOADING.and(Flags::STALE), &[], Class::Any, PLAIN, &[]),
    row(
        "latency|histogram",
        -2,
        Flags::ADMIN.and(Flags::NOSCRIPT).and(Flags::LOADING).and(Flags::STALE),
        &[],
        Class::Refused { because: "its answer is about one server, and a ring has many", allowable: true },
        PLAIN,
        &[],
    ),
    row(
        "latency|history",
        3,
        Flags::ADMIN.and(Flags::NOSCRIPT).and(Flags::LOADING).and(Flags::STALE),
        &[],
        Class::Refused { because: "its answer is about one server, and a ring has many", allowable: true },
        PLAIN,
        &[],
    ),
    row(
        "latency|latest",
        2,
        Flags::ADMIN.and(Flags::NOSCRIPT).and(Flags::LOADING).and(Flags::STALE),
        &[],
        Class::Refused { because: "its answer is about one server, and a ring has many", allowable: true },
        PLAIN,
        &[],
    ),
    row(
        "latency|reset",
        -2,
        Flags::ADMIN.and(Flags::NOSCRIPT).and(Flags::LOADING).and(Flags::STALE),
        &[],
        Class::Every(Response::Sum),
        PLAIN,
        &[],
    ),
];

static MEMORY: [Row; 6] = [
    row(
        "memory|doctor",
        2,
        Flags::NONE,
        &[],
        Class::Refused { because: "its answer is about one server, and a ring has many", allowable: true },
        PLAIN,
        &[],
    ),
    row("memory|help", 2, Flags::LOADING.and(Flags::STALE), &[], Class::Any, PLAIN, &[]),
    row(
        "memory|malloc-stats",
        2,
        Flags::NONE,
        &[],
        Class::Refused { because: "its answer is about one server, and a ring has many", allowable: true },
        PLAIN,
        &[],
    ),
    row("memory|purge", 2, Flags::NONE, &[], Class::Every(Response::AllOk), PLAIN, &[]),
    row(
        "memory|stats",
        2,
        Flags::NONE,
        &[],
        Class::Refused { because: "its answer is about one server, and a ring has many", allowable: true },
        PLAIN,
        &[],
    ),
    row("memory|usage", -3, Flags::READONLY, &KEYS_16, Class::Keys, PLAIN, &[]).absent(Absent::Null),
];

static MODULE: [Row; 5] = [
    row("module|help", 2, Flags::LOADING.and(Flags::STALE), &[], Class::Any, PLAIN, &[]),
    row("module|list", 2, Flags::ADMIN.and(Flags::NOSCRIPT), &[], Class::Any, PLAIN, &[]),
    row(
        "module|load",
        -3,
        Flags::ADMIN.and(Flags::NOSCRIPT).and(Flags::NO_ASYNC_LOADING),
        &[],
        Class::Refused { because: "it administers a server, and a ring has many", allowable: true },
        PLAIN,
        &[],
    ),
    row(
        "module|loadex",
        -3,
        Flags::ADMIN.and(Flags::NOSCRIPT).and(Flags::NO_ASYNC_LOADING),
        &[],
        Class::Refused { because: "it administers a server, and a ring has many", allowable: true },
        PLAIN,
        &[],
    ),
    row(
        "module|unload",
        3,
        Flags::ADMIN.and(Flags::NOSCRIPT).and(Flags::NO_ASYNC_LOADING),
        &[],
        Class::Refused { because: "it administers a server, and a ring has many", allowable: true },
        PLAIN,
        &[],
    ),
];

static OBJECT: [Row; 5] = [
    row("object|encoding", 3, Flags::READONLY, &KEYS_16, Class::Keys, PLAIN, &[])
        .about(Categories::KEYSPACE)
        .absent(Absent::Null),
    row("object|freq", 3, Flags::READONLY, &KEYS_16, Class::Keys, PLAIN, &[])
        .about(Categories::KEYSPACE)
        .absent(Absent::Null),
    row("object|help", 2, Flags::LOADING.and(Flags::STALE), &[], Class::Any, PLAIN, &[])
        .about(Categories::KEYSPACE),
    row("object|idletime", 3, Flags::READONLY, &KEYS_16, Class::Keys, PLAIN, &[])
        .about(Categories::KEYSPACE)
        .absent(Absent::Null),
    row("object|refcount", 3, Flags::READONLY, &KEYS_16, Class::Keys, PLAIN, &[])
        .about(Categories::KEYSPACE)
        .absent(Absent::Null),
];

static PUBSUB: [Row; 6] = [
    row(
        "pubsub|channels",
        -2,
        Flags::PUBSUB.and(Flags::LOADING).and(Flags::STALE).and(Flags::IDEMPOTENT),
        &[],
        Class::Every(Response::Union),
        PLAIN,
        &[],
    ),
    row("pubsub|help", 2, Flags::LOADING.and(Flags::STALE), &[], Class::Any, PLAIN, &[]),
    row(
        "pubsub|numpat",
        2,
        Flags::PUBSUB.and(Flags::LOADING).and(Flags::STALE).and(Flags::IDEMPOTENT),
        &[],
        Class::Every(Response::Max),
        PLAIN,
        &[],
    ),
    row(
        "pubsub|numsub",
        -2,
        Flags::PUBSUB.and(Flags::LOADING).and(Flags::STALE).and(Flags::IDEMPOTENT),
        &[],
        Class::Every(Response::PairSum),
        PLAIN,
        &[],
    ),
    row(
        "pubsub|shardchannels",
        -2,
        Flags::PUBSUB.and(Flags::LOADING).and(Flags::STALE).and(Flags::IDEMPOTENT),
        &[],
        Class::Every(Response::Union),
        PLAIN,
        &[],
    ),
    row(
        "pubsub|shardnumsub",
        -2,
        Flags::PUBSUB.and(Flags::LOADING).and(Flags::STALE).and(Flags::IDEMPOTENT),
        &[],
        Class::Every(Response::PairSum),
        PLAIN,
        &[],
    ),
];

static SCRIPT: [Row; 7] = [
    row(
        "script|debug",
        3,
        Flags::NOSCRIPT,
        &[],
        Class::Refused { because: "it would change a connection that many share", allowable: false },
        PLAIN,
        &[],
    )
    .about(Categories::SCRIPTING),
    row(
        "script|exists",
        -3,
        Flags::NOSCRIPT.and(Flags::IDEMPOTENT),
        &[],
        Class::Every(Response::LogicalAnd),
        PLAIN,
        &[],
    )
    .about(Categories::SCRIPTING),
    row(
        "script|flush",
        -2,
        Flags::NOSCRIPT.and(Flags::IDEMPOTENT),
        &[],
        Class::Every(Response::AllOk),
        (Wait::Never, Care::None, Library::Forgets),
        &[],
    )
    .about(Categories::SCRIPTING),
    row("script|help", 2, Flags::LOADING.and(Flags::STALE), &[], Class::Any, PLAIN, &[])
        .about(Categories::SCRIPTING),
    row(
        "script|kill",
        2,
        Flags::NOSCRIPT.and(Flags::ALLOW_BUSY),
        &[],
        Class::Every(Response::OneSucceeded),
        PLAIN,
        &[],
    )
    .about(Categories::SCRIPTING),
    row(
        "script|load",
        3,
        Flags::NOSCRIPT.and(Flags::STALE).and(Flags::IDEMPOTENT),
        &[],
        Class::Every(Response::AllOk),
        (Wait::Never, Care::None, Library::Keeps(2)),
        &[],
    )
    .about(Categories::SCRIPTING),
    row("script|show", 3, Flags::NOSCRIPT, &[], Class::Any, PLAIN, &[]).about(Categories::SCRIPTING),
];

static SLOWLOG: [Row; 4] = [
    row(
        "slowlog|get",
        -2,
        Flags::ADMIN.and(Flags::LOADING).and(Flags::STALE).and(Flags::IDEMPOTENT),
        &[],
        Class::Every(Response::Concat),
        PLAIN,
        &[],
    ),
    row("slowlog|help", 2, Flags::LOADING.and(Flags::STALE), &[], Class::Any, PLAIN, &[]),
    row(
        "slowlog|len",
        2,
        Flags::ADMIN.and(Flags::LOADING).and(Flags::STALE).and(Flags::IDEMPOTENT),
        &[],
        Class::Every(Response::Sum),
        PLAIN,
        &[],
    ),
    row(
        "slowlog|reset",
        2,
        Flags::ADMIN.and(Flags::LOADING).and(Flags::STALE),
        &[],
        Class::Every(Response::AllOk),
        PLAIN,
        &[],
    ),
];

static XGROUP: [Row; 6] = [
    row("xgroup|create", -5, Flags::WRITE.and(Flags::DENYOOM), &KEYS_26, Class::Keys, PLAIN, &[])
        .about(Categories::STREAM),
    row("xgroup|createconsumer", 5, Flags::WRITE.and(Flags::DENYOOM), &KEYS_26, Class::Keys, PLAIN, &[])
        .about(Categories::STREAM),
    row("xgroup|delconsumer", 5, Flags::WRITE, &KEYS_26, Class::Keys, PLAIN, &[]).about(Categories::STREAM),
    row("xgroup|destroy", 4, Flags::WRITE, &KEYS_26, Class::Keys, PLAIN, &[]).about(Categories::STREAM),
    row("xgroup|help", 2, Flags::LOADING.and(Flags::STALE), &[], Class::Any, PLAIN, &[])
        .about(Categories::STREAM),
    row("xgroup|setid", -5, Flags::WRITE.and(Flags::IDEMPOTENT), &KEYS_26, Class::Keys, PLAIN, &[])
        .about(Categories::STREAM),
];

static XINFO: [Row; 4] = [
    row("xinfo|consumers", 4, Flags::READONLY, &KEYS_27, Class::Keys, PLAIN, &[]).about(Categories::STREAM),
    row("xinfo|groups", 3, Flags::READONLY, &KEYS_27, Class::Keys, PLAIN, &[]).about(Categories::STREAM),
    row("xinfo|help", 2, Flags::LOADING.and(Flags::STALE), &[], Class::Any, PLAIN, &[])
        .about(Categories::STREAM),
    row("xinfo|stream", -3, Flags::READONLY, &KEYS_27, Class::Keys, PLAIN, &[]).about(Categories::STREAM),
];

static KEYS_0: [KeySpec; 1] = [KeySpec {
    begin: Begin::Index(1),
    find: Find::Range { last: 0, step: 1, limit: 0 },
    writes: true,
    access: Access::Write,
}];

static KEYS_1: [KeySpec; 1] = [KeySpec {
    begin: Begin::Index(1),
    find: Find::Range { last: 0, step: 1, limit: 0 },
    writes: false,
    access: Access::Read,
}];

static KEYS_2: [KeySpec; 1] = [KeySpec {
    begin: Begin::Index(1),
    find: Find::Range { last: 0, step: 1, limit: 0 },
    writes: true,
    access: Access::Both,
}];

static KEYS_3: [KeySpec; 2] = [
    KeySpec {
        begin: Begin::Index(2),
        find: Find::Range { last: 0, step: 1, limit: 0 },
        writes: true,
        access: Access::Write,
    },
    KeySpec {
        begin: Begin::Index(3),
        find: Find::Range { last: -1, step: 1, limit: 0 },
        writes: false,
        access: Access::Read,
    },
];

static KEYS_4: [KeySpec; 2] = [
    KeySpec {
        begin: Begin::Index(1),
        find: Find::Range { last: 0, step: 1, limit: 0 },
        writes: true,
        access: Access::Both,
    },
    KeySpec {
        begin: Begin::Index(2),
        find: Find::Range { last: 0, step: 1, limit: 0 },
        writes: true,
        access: Access::Write,
    },
];

static KEYS_5: [KeySpec; 1] = [KeySpec {
    begin: Begin::Index(2),
    find: Find::Count { number: 0, first: 1, step: 1 },
    writes: true,
    access: Access::Both,
}];

static KEYS_6: [KeySpec; 1] = [KeySpec {
    begin: Begin::Index(1),
    find: Find::Range { last: -2, step: 1, limit: 0 },
    writes: true,
    access: Access::Both,
}];

static KEYS_7: [KeySpec; 2] = [
    KeySpec {
        begin: Begin::Index(1),
        find: Find::Range { last: 0, step: 1, limit: 0 },
        writes: false,
        access: Access::Read,
    },
    KeySpec {
        begin: Begin::Index(2),
        find: Find::Range { last: 0, step: 1, limit: 0 },
        writes: true,
        access: Access::Write,
    },
];

static KEYS_8: [KeySpec; 1] = [KeySpec {
    begin: Begin::Index(1),
    find: Find::Range { last: -1, step: 1, limit: 0 },
    writes: true,
    access: Access::Write,
}];

static KEYS_9: [KeySpec; 1] = [KeySpec {
    begin: Begin::Index(2),
    find: Find::Count { number: 0, first: 1, step: 1 },
    writes: false,
    access: Access::Read,
}];

static KEYS_10: [KeySpec; 1] = [KeySpec {
    begin: Begin::Index(1),
    find: Find::Range { last: -1, step: 1, limit: 0 },
    writes: false,
    access: Access::Any,
}];

static KEYS_11: [KeySpec; 3] = [
    KeySpec {
        begin: Begin::Index(1),
        find: Find::Range { last: 0, step: 1, limit: 0 },
        writes: false,
        access: Access::Read,
    },
    KeySpec {
        begin: Begin::Option("store"),
        find: Find::Range { last: 0, step: 1, limit: 0 },
        writes: true,
        access: Access::Write,
    },
    KeySpec {
        begin: Begin::Option("storedist"),
        find: Find::Range { last: 0, step: 1, limit: 0 },
        writes: true,
        access: Access::Write,
    },
];

static KEYS_12: [KeySpec; 2] = [
    KeySpec {
        begin: Begin::Index(1),
        find: Find::Range { last: 0, step: 1, limit: 0 },
        writes: true,
        access: Access::Write,
    },
    KeySpec {
        begin: Begin::Index(2),
        find: Find::Range { last: 0, step: 1, limit: 0 },
        writes: false,
        access: Access::Read,
    },
];

static KEYS_13: [KeySpec; 1] = [KeySpec {
    begin: Begin::Index(1),
    find: Find::Range { last: 0, step: 1, limit: 0 },
    writes: false,
    access: Access::Any,
}];

static KEYS_14: [KeySpec; 1] = [KeySpec {
    begin: Begin::Index(1),
    find: Find::Range { last: 1, step: 1, limit: 0 },
    writes: false,
    access: Access::Read,
}];

static KEYS_15: [KeySpec; 1] = [KeySpec {
    begin: Begin::Index(1),
    find: Find::Count { number: 0, first: 1, step: 1 },
    writes: true,
    access: Access::Both,
}];

static KEYS_16: [KeySpec; 1] = [KeySpec {
    begin: Begin::Index(2),
    find: Find::Range { last: 0, step: 1, limit: 0 },
    writes: false,
    access: Access::Any,
}];

static KEYS_17: [KeySpec; 1] = [KeySpec {
    begin: Begin::Index(1),
    find: Find::Range { last: -1, step: 1, limit: 0 },
    writes: false,
    access: Access::Read,
}];

static KEYS_18: [KeySpec; 2] = [
    KeySpec {
        begin: Begin::Otherwise(3),
        find: Find::Range { last: 0, step: 1, limit: 0 },
        writes: true,
        access: Access::Both,
    },
    KeySpec {
        begin: Begin::Option("keys"),
        find: Find::Range { last: -1, step: 1, limit: 0 },
        writes: true,
        access: Access::Both,
    },
];

static KEYS_19: [KeySpec; 1] = [KeySpec {
    begin: Begin::Index(1),
    find: Find::Range { last: -1, step: 2, limit: 0 },
    writes: true,
    access: Access::Write,
}];

static KEYS_20: [KeySpec; 1] = [KeySpec {
    begin: Begin::Index(1),
    find: Find::Range { last: -1, step: 1, limit: 0 },
    writes: true,
    access: Access::Read,
}];

static KEYS_21: [KeySpec; 1] = [KeySpec {
    begin: Begin::Index(2),
    find: Find::Range { last: 0, step: 1, limit: 0 },
    writes: true,
    access: Access::Read,
}];

static KEYS_22: [KeySpec; 2] = [
    KeySpec {
        begin: Begin::Index(1),
        find: Find::Range { last: 0, step: 1, limit: 0 },
        writes: true,
        access: Access::Both,
    },
    KeySpec {
        begin: Begin::Index(2),
        find: Find::Range { last: -1, step: 1, limit: 0 },
        writes: false,
        access: Access::Read,
    },
];

static KEYS_23: [KeySpec; 2] = [
    KeySpec {
        begin: Begin::Index(1),
        find: Find::Range { last: 0, step: 1, limit: 0 },
        writes: true,
        access: Access::Write,
    },
    KeySpec {
        begin: Begin::Index(2),
        find: Find::Range { last: -1, step: 1, limit: 0 },
        writes: false,
        access: Access::Read,
    },
];

static KEYS_24: [KeySpec; 1] = [KeySpec {
    begin: Begin::Index(1),
    find: Find::Count { number: 0, first: 1, step: 1 },
    writes: false,
    access: Access::Read,
}];

static KEYS_25: [KeySpec; 2] = [
    KeySpec {
        begin: Begin::Index(1),
        find: Find::Range { last: 0, step: 1, limit: 0 },
        writes: false,
        access: Access::Read,
    },
    KeySpec {
        begin: Begin::Option("store"),
        find: Find::Range { last: 0, step: 1, limit: 0 },
        writes: true,
        access: Access::Write,
    },
];

static KEYS_26: [KeySpec; 1] = [KeySpec {
    begin: Begin::Index(2),
    find: Find::Range { last: 0, step: 1, limit: 0 },
    writes: true,
    access: Access::Write,
}];

static KEYS_27: [KeySpec; 1] = [KeySpec {
    begin: Begin::Index(2),
    find: Find::Range { last: 0, step: 1, limit: 0 },
    writes: false,
    access: Access::Read,
}];

static KEYS_28: [KeySpec; 1] = [KeySpec {
    begin: Begin::Option("streams"),
    find: Find::Range { last: -1, step: 1, limit: 2 },
    writes: false,
    access: Access::Read,
}];

static KEYS_29: [KeySpec; 2] = [
    KeySpec {
        begin: Begin::Index(1),
        find: Find::Range { last: 0, step: 1, limit: 0 },
        writes: true,
        access: Access::Write,
    },
    KeySpec {
        begin: Begin::Index(2),
        find: Find::Count { number: 0, first: 1, step: 1 },
        writes: false,
        access: Access::Read,
    },
];

static KEYS_30: [KeySpec; 1] = [KeySpec {
    begin: Begin::Index(1),
    find: Find::Count { number: 0, first: 1, step: 2 },
    writes: true,
    access: Access::Both,
}];

static KEYS_31: [KeySpec; 2] = [
    KeySpec {
        begin: Begin::Index(1),
        find: Find::Range { last: 0, step: 1, limit: 0 },
        writes: true,
        access: Access::Both,
    },
    KeySpec {
        begin: Begin::Index(2),
        find: Find::Range { last: 0, step: 1, limit: 0 },
        writes: true,
        access: Access::Both,
    },
];

static KEYS_32: [KeySpec; 1] = [KeySpec {
    begin: Begin::Index(2),
    find: Find::Range { last: 0, step: 1, limit: 0 },
    writes: true,
    access: Access::Both,
}];

static OPTIONS_0: Options = Options { from: 6, valued: &[("count", 1), ("store", 1), ("storedist", 1)] };

static OPTIONS_1: Options = Options { from: 5, valued: &[("count", 1), ("store", 1), ("storedist", 1)] };

static OPTIONS_2: Options =
    Options { from: 6, valued: &[("auth", 1), ("auth2", 2), ("keys", Options::REST)] };

static OPTIONS_3: Options = Options { from: 2, valued: &[("by", 1), ("get", 1), ("limit", 2), ("store", 1)] };

static OPTIONS_4: Options = Options {
    from: 1,
    valued: &[("block", 1), ("claim", 1), ("count", 1), ("group", 2), ("streams", Options::REST)],
};
