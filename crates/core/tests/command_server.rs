//! The table against what a redis-server says about itself: arities, flags, key specifications, and the keys of
//! thousands of generated calls.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod command;

use std::collections::BTreeMap;

use command::{Dice, NEWER_ARITY, Server, all, field, pack, places, request, row, texts};
use rendis_core::command::{Access, Begin, Blocks, Find, Flags, KeySpec, Table};
use rendis_testkit::Reply;

/// Commands whose keys the table says otherwise than the server, on purpose: see `data/commands/ring.txt`.
const OWN_KEYS: [&str; 10] = [
    "sort",
    "sort_ro",
    "migrate",
    "georadius",
    "georadiusbymember",
    "xread",
    "xreadgroup",
    "spublish",
    "ssubscribe",
    "sunsubscribe",
];

#[test]
fn every_command_of_the_server_is_in_the_table_as_the_server_says() {
    let mut server = Server::start();
    let is_7_0 = server.is_7_0();
    let table = Table::default();
    let mut seen = 0;
    let mut entries: Vec<Reply> = server.ask(&["COMMAND"]).elements().to_vec();
    while let Some(entry) = entries.pop() {
        let entry = entry.elements();
        let name = entry[0].text();
        let row = table.named(name.as_bytes()).unwrap_or_else(|| panic!("{name} is not in the table"));
        seen += 1;
        assert_eq!(row.name(), name);
        // As Redis 7.2 and newer have it.
        let newer = NEWER_ARITY.contains(&name);
        let arity = if newer { -3 } else { entry[1].integer() };
        assert_eq!(i64::from(row.arity()), arity, "the arity of {name}");
        let specs: Vec<_> = entry[8].elements().iter().filter_map(spec).collect();
        if !OWN_KEYS.contains(&name) {
            let range = (row.key_range().0, row.key_range().1, row.key_range().2);
            let theirs = (entry[3].integer(), entry[4].integer(), entry[5].integer());
            assert_eq!(range, theirs, "the key range of {name}");
            // What a command does with its keys differs between versions; where they stand does not.
            assert_eq!(places(row.specs()), places(&specs), "the keys of {name}");
            assert!(!is_7_0 || row.specs() == specs, "the keys of {name}");
        }
        entries.extend_from_slice(entry[9].elements());
        if !is_7_0 {
            continue;
        }
        let mut flags = texts(&entry[2]);
        let mut ours: Vec<_> = row.flags().names().collect();
        flags.sort_unstable();
        ours.sort_unstable();
        assert_eq!(ours, flags, "the flags of {name}");
        let mut categories = texts(&entry[6]);
        let mut ours: Vec<_> = row.categories().names().map(|name| format!("@{name}")).collect();
        categories.sort_unstable();
        ours.sort_unstable();
        assert_eq!(ours, categories, "the categories of {name}");
    }
    assert!(seen >= 366, "only {seen} commands: is this redis-server 7.0 or newer?");
}

fn spec(spec: &Reply) -> Option<KeySpec> {
    let flags = texts(field(spec, "flags").unwrap());
    let (begin, find) = (field(spec, "begin_search").unwrap(), field(spec, "find_keys").unwrap());
    let kind = field(begin, "type").unwrap().text();
    if flags.contains(&"not_key") || kind == "unknown" {
        return None;
    }
    let small = |of: &Reply, name: &str| field(field(of, "spec").unwrap(), name).unwrap().integer();
    let begin = if kind == "index" {
        Begin::Index(small(begin, "index").try_into().unwrap())
    } else {
        let word = field(field(begin, "spec").unwrap(), "keyword").unwrap().text().to_owned();
        Begin::Keyword { word: word.into(), from: small(begin, "startfrom").try_into().unwrap() }
    };
    let number = |name: &str| small(find, name).try_into().unwrap();
    let find = if field(find, "type").unwrap().text() == "range" {
        let last = small(find, "lastkey").try_into().unwrap();
        Find::Range { last, step: number("keystep"), limit: number("limit") }
    } else {
        Find::Count { number: number("keynumidx"), first: number("firstkey"), step: number("keystep") }
    };
    let has = |names: &[&str]| flags.iter().any(|flag| names.contains(flag));
    let access = match (has(&["access"]), has(&["insert", "update", "delete"])) {
        (true, true) => Access::Both,
        (true, false) => Access::Read,
        (false, true) => Access::Write,
        (false, false) => Access::Any,
    };
    Some(KeySpec { begin, find, writes: !has(&["RO"]), access })
}

/// Asks the server and the table for the keys of a call, and compares.
fn compare(server: &mut Server, table: &Table, call: &[Vec<u8>]) -> Option<usize> {
    let shown = call.join(&b' ').escape_ascii().to_string();
    let mut question = vec![b"COMMAND".to_vec(), b"GETKEYS".to_vec()];
    question.extend_from_slice(call);
    let theirs = server.ask(&question);
    let request = pack(call);
    let row = row(table, &request);
    let ours = row.keys(request.view()).map(|keys| {
        keys.map(|key| request.view().argument(key.index).expect("a key inside the request"))
            .collect::<Vec<_>>()
    });
    match &theirs {
        Reply::Error(text) if text.contains("wrong number of arguments for 'command|getkeys'") => {
            return None;
        }
        Reply::Error(text) if text.contains("Invalid number of arguments") => {
            assert!(!row.takes(call.len()), "{shown}: the server says {text}");
        }
        Reply::Error(text) if text.contains("no key arguments") => {
            assert_eq!(ours, Ok(Vec::new()), "{shown}: the server says {text}");
        }
        Reply::Error(text) => {
            // With no key (`ZUNION 0`) or one (`ZUNIONSTORE d 0`) it can go to a shard, which words the error.
            let harmless = |keys: &Vec<_>| keys.len() <= 1 || row.name() == "migrate";
            assert!(ours.as_ref().map_or(true, harmless), "{shown}: the server says {text}, we {ours:?}");
        }
        keys => {
            assert!(row.takes(call.len()), "{shown}: the server takes it");
            let keys: Vec<_> = keys.elements().iter().map(|key| key.as_bytes().unwrap()).collect();
            assert_eq!(ours.as_deref(), Ok(&*keys), "{shown}");
            return Some(keys.len());
        }
    }
    Some(0)
}

#[test]
fn keys_of_generated_calls_are_those_that_the_server_finds() {
    let mut server = Server::start();
    let table = Table::default();
    let docs = server.ask(&["COMMAND", "DOCS"]);
    let mut dice = Dice(0x5EED);
    let (mut calls, mut with_keys, mut with_many, mut ended) = (0, 0, 0, 0);
    for pair in docs.elements().chunks(2) {
        let name = pair[0].text();
        let mut commands = vec![(vec![name.as_bytes().to_vec()], &pair[1])];
        if let Some(subcommands) = field(&pair[1], "subcommands") {
            for pair in subcommands.elements().chunks(2) {
                let words = pair[0].text().split('|').map(|word| word.as_bytes().to_vec()).collect();
                commands.push((words, &pair[1]));
            }
        }
        for (words, docs) in commands {
            for _ in 0..12 {
                let mut call = Call { words: words.clone(), keys: 0, count: None };
                if let Some(arguments) = field(docs, "arguments") {
                    call.arguments(arguments, &mut dice);
                }
                if let Some(keys) = compare(&mut server, &table, &call.words) {
                    calls += 1;
                    with_keys += usize::from(keys > 0);
                    with_many += usize::from(keys > 1);
                }
                // To a server a word ends at a byte of 0. A number that does not end there is none when it comes to run.
                let arguments = call.words.get_mut(words.len()..).unwrap_or_default();
                let mut no_numbers: Vec<_> = arguments
                    .iter_mut()
                    .filter(|word| !word.first().is_none_or(u8::is_ascii_digit))
                    .collect();
                if !no_numbers.is_empty() {
                    let one = dice.roll(no_numbers.len());
                    no_numbers[one].extend_from_slice([&b"\0"[..], b"\0x"][dice.roll(2)]);
                    ended +=
                        usize::from(compare(&mut server, &table, &call.words).is_some_and(|keys| keys > 0));
                }
            }
        }
    }
    assert!(calls > 3000 && with_keys > 1500 && with_many > 200, "{calls} {with_keys} {with_many}");
    assert!(ended > 1000, "{ended} with a byte of 0");
}

/// A call under construction, from the arguments of COMMAND DOCS.
struct Call {
    words: Vec<Vec<u8>>,
    keys: usize,
    /// The number of keys that was promised, for the next argument that may stand several times.
    count: Option<usize>,
}

impl Call {
    fn arguments(&mut self, arguments: &Reply, dice: &mut Dice) {
        for argument in arguments.elements() {
            let flags = field(argument, "flags").map(texts).unwrap_or_default();
            let kind = field(argument, "type").unwrap().text();
            let promised = kind == "key" && self.count.is_some();
            if flags.contains(&"optional") && !promised && dice.roll(2) == 0 {
                continue;
            }
            let times = match self.count {
                // `numkeys key …`, and `STREAMS key … id …`: as many of the one as of the other.
                Some(count) if flags.contains(&"multiple") => count,
                _ if flags.contains(&"multiple") => 1 + dice.roll(3),
                _ => 1,
            };
            if kind == "key" && flags.contains(&"multiple") {
                self.count = Some(times);
            }
            for time in 0..times {
                if let Some(token) = field(argument, "token")
                    && kind != "pure-token"
                    && (time == 0 || flags.contains(&"multiple_token"))
                {
                    self.words.push(token.text().into());
                }
                self.value(argument, kind, dice);
            }
        }
        self.count = None;
    }

    fn value(&mut self, argument: &Reply, kind: &str, dice: &mut Dice) {
        match kind {
            "key" => {
                self.keys += 1;
                self.words.push(format!("key{}", self.keys).into_bytes());
            }
            "pure-token" => self.words.push(field(argument, "token").unwrap().text().into()),
            "oneof" => {
                let choices = field(argument, "arguments").unwrap();
                let choice = choices.elements()[dice.roll(choices.elements().len())].clone();
                self.arguments(&Reply::Array(vec![choice]), dice);
            }
            "block" => {
                let (before, arguments) = (self.count.take(), field(argument, "arguments").unwrap());
                self.arguments(arguments, dice);
                self.count = before;
            }
            "integer" if field(argument, "name").unwrap().text() == "numkeys" => {
                let count = 1 + dice.roll(4);
                self.count = Some(count);
                self.words.push(count.to_string().into_bytes());
            }
            "integer" | "unix-time" | "double" => self.words.push(dice.roll(100).to_string().into_bytes()),
            "pattern" => self.words.push(b"w_*".to_vec()),
            _ => self.words.push(format!("v{}", dice.roll(100)).into_bytes()),
        }
    }
}

#[test]
fn keys_of_tricky_calls_are_those_that_the_server_finds() {
    let mut server = Server::start();
    let table = Table::default();
    for call in TRICKY {
        let call: Vec<_> = request(call).view().arguments().map(<[u8]>::to_vec).collect();
        compare(&mut server, &table, &call);
    }
}

const TRICKY: [&str; 90] = [
    "get k",
    "GeT K",
    "set k",
    "set k get get",
    "set k v nx get",
    "mset a 1 b",
    "mset a 1 b 2",
    "msetnx a 1 b 2 c 3",
    "mget a a b",
    "del '' a",
    "zunion 0 a",
    "zunion 1 a",
    "zunion 2 a",
    "zunion 2 a b weights 1 2",
    "zunion -1 a",
    "zunion a a",
    "zunion 99999999999999999999 a",
    "zunion 9223372036854775807 a",
    "zunionstore d 2 a b aggregate max",
    "zunionstore d 0 a",
    "zunionstore d x a",
    "zinterstore d 3 a b",
    "zdiffstore d 1 d",
    "zintercard 2 a b limit 3",
    "sintercard 1 a limit 1",
    "zrangestore d s 0 -1",
    "lmpop 2 a b left",
    "lmpop 3 a b left",
    "blmpop 0 2 a b right count 2",
    "bzmpop 1.5 1 a min",
    "blpop a b c 0",
    "blpop a 0",
    "brpoplpush a b 0",
    "blmove a b left right 0",
    "eval s 0",
    "eval s 0 a b",
    "eval s 2 a b c",
    "evalsha s 1 a",
    "eval_ro s 1 a",
    "fcall f 2 a b",
    "fcall_ro f 0 x",
    "sort a",
    "sort a store b",
    "sort a by store store b",
    "sort a by w_* get # get store store b",
    "sort a limit 0 store store b",
    "sort a limit 0 1 store b store c",
    "sort a asc alpha desc store b",
    "sort a store b store",
    "sort a by store get store store b",
    "sort_ro a by w_* get x_*",
    "georadius k 1 2 3 m",
    "georadius k 1 2 3 m store a",
    "georadius k 1 2 3 m count 1 any storedist b",
    "georadius k 1 2 3 m STORE a",
    "georadius k 1 2 3 m store storedist",
    "georadius k 1 2 3 m store a storedist b",
    "georadius k 1 2 3 m storedist a store b",
    "georadiusbymember k m 3 m storedist a store b",
    "georadius k 1 2 3 m withdist withcoord asc count 1 store a",
    "georadiusbymember k m 3 m store a",
    "georadiusbymember k store 3 m storedist a",
    "xread streams a b 0 0",
    "xread count 2 block 100 STREAMS a 0",
    "xread count 2 a 0",
    "xreadgroup group g c streams a b > >",
    "xreadgroup group streams c count 1 streams a >",
    "xreadgroup group streams streams noack block 1 streams a b > >",
    "migrate h 1 k 0 1",
    "migrate h 1 '' 0 1 keys a b",
    "migrate h 1 '' 0 1 copy replace auth keys keys a",
    "migrate h 1 '' 0 1 auth2 keys keys keys a b",
    "migrate h 1 '' 0 1 copy keys a keys b",
    "migrate h 1 '' 0 1 auth2 keys keys keys a keys b",
    "migrate h 1 '' 0 1 auth keys replace keys a",
    "xreadgroup group g streams streams a >",
    "xread count 1 count 2 streams a b block 0",
    "memory usage k samples 5",
    "object freq k",
    "xgroup create k g $ mkstream",
    "xinfo stream k full",
    "bitop and d a b c",
    "sort a store\0 b",
    "sort a by nosort get\0x # STORE\0store b",
    "georadius k 1 2 3 m store\0 a storedist b",
    "xread block\0 0 streams\0 a b 0 0",
    "xreadgroup group\0 streams c streams\0x a >",
    "xread stream\0s a 0 streams b 0",
    "migrate h 1 '' 0 1 auth\0 keys keys\0 a b",
    "migrate h 1 '' 0 1 keys\0keys a b",
];

#[test]
fn keys_are_those_that_the_server_uses_where_its_specifications_guess() {
    let mut server = Server::start();
    let table = Table::default();
    let mut ask = |words: &str| server.send(request(words).view().bytes());
    ask("xgroup create s streams $ mkstream");
    ask("xgroup create s block $");
    ask("geoadd k 1 1 m");
    // Each with its keys. Of those that are written the last one is; `b` in all of these.
    for (call, expected) in [
        ("xreadgroup count 1 noack group streams c streams s >", "s"),
        ("xreadgroup block 1 noack group streams streams streams s >", "s"),
        ("xreadgroup group block streams count 1 streams s >", "s"),
        ("georadius k 1 1 9 km store a store b", "k b"),
        ("georadius k 1 1 9 km store a storedist c storedist b store b", "k b b"),
        ("georadius k 1 1 9 km store store store b", "k b"),
        ("georadius k 1 1 9 km count 1 any store a store b asc", "k b"),
        ("georadius k 1 1 9 km storedist a storedist b", "k b"),
        ("georadiusbymember k m 9 km store a store b", "k b"),
        ("georadiusbymember k m 9 km storedist store storedist b", "k b"),
    ] {
        ask("del a b c store storedist");
        let reply = ask(call);
        assert!(!matches!(reply, Reply::Error(_)), "{call}: {reply:?}");
        if call.starts_with("geo") {
            assert_eq!(ask("exists b"), Reply::Integer(1), "{call}");
            assert_eq!(ask("exists a c store storedist"), Reply::Integer(0), "{call}");
        }
        let request = request(call);
        let keys = row(&table, &request).keys(request.view()).expect("keys");
        let keys: Vec<_> = keys.map(|key| request.view().argument(key.index).expect("a key")).collect();
        assert_eq!(keys.join(&b' '), expected.as_bytes(), "{call}");
    }
}

#[test]
fn what_a_server_waits_for_is_known_to_wait() {
    let mut server = Server::start();
    let table = Table::default();
    let mut ask = |words: &str| server.send(request(words).view().bytes());
    ask("xgroup create s block $ mkstream");
    ask("xgroup create s g $");
    for call in [
        "blpop k 0x1p-6",
        "blpop k +0.01",
        "blpop k 1e-2",
        "blpop k 1e-400",
        "bzpopmin k 0x.01",
        "blmpop 0x1p-6 1 k left",
        "xread block 10 streams s $",
        "xread block\0 10 streams\0x s $",
        "xread block 1 block 10 streams s $",
        "xreadgroup block 10 group block block streams s >",
        "xreadgroup noack block 10 count 1 group g c streams s >",
    ] {
        // It would answer something else, and not null, if it did not wait.
        assert!(matches!(ask(call), Reply::Nil), "{call}");
        let request = request(call);
        assert_ne!(row(&table, &request).blocks(request.view()), Blocks::No, "{call}");
    }
}

#[test]
fn malformed_calls_have_no_keys_though_the_server_would_guess() {
    let table = Table::default();
    // What COMMAND GETKEYS of a server says here is not what the command itself would do: it counts with `atoi`, takes
    // half of an odd number of streams, and finds no key where it should fail.
    for call in [
        "zunion +1 a",
        "zunion 01 a",
        "zunion -0 a",
        "eval s 9 a",
        "eval s -1 a",
        "eval s x a",
        "xread streams a b 1",
        "xread streams a",
        "xreadgroup group g c streams streams a b 1 2",
    ] {
        let request = request(call);
        assert!(row(&table, &request).keys(request.view()).is_err(), "{call}");
    }
}

#[test]
fn arity_errors_and_unknown_names_are_worded_as_the_server_words_them() {
    use rendis_core::{
        id::ShardId,
        plan::{Plan, View, plan},
    };
    let mut server = Server::start();
    let table = Table::default();
    let live = [ShardId::new(0)];
    let ring = View::new(|_: &[u8]| Some(ShardId::new(0)), &live);
    let mut calls: Vec<Vec<Vec<u8>>> = Vec::new();
    for row in all(&table) {
        let words: Vec<Vec<u8>> = row.name().split('|').map(|word| word.as_bytes().to_vec()).collect();
        // Only what the server knows and refuses: some of the others would end it.
        let known = matches!(&server.ask(&["COMMAND", "INFO", row.name()]), Reply::Array(rows) if rows[0] != Reply::Nil);
        if known && !row.takes(words.len()) {
            calls.push(words.clone());
        }
        let many = [words, vec![b"1".to_vec(); 30]].concat();
        if known && !row.takes(many.len()) {
            calls.push(many);
        }
    }
    assert!(calls.len() > 400, "{}", calls.len());
    let long = "x".repeat(300);
    for words in [
        vec![&b"nosuch"[..]],
        vec![b"NoSuch", b"a", b"b"],
        vec![b"nosuch", b"", b"a\r\nb", b"\xff\xfe"],
        vec![b"nosuch", b"a\0b", b"c"],
        vec![b"no\0such", b"a"],
        vec![b"no such\n", b"a"],
        vec![b"nosuch", long.as_bytes(), b"c"],
        vec![b"nosuch", &long.as_bytes()[..100], &long.as_bytes()[..100], b"c"],
        vec![b"nosuch", &long.as_bytes()[..124], b"c", b"d"],
        vec![b"nosuch", &long.as_bytes()[..125], b"c", b"d"],
        vec![b"nosuch", &long.as_bytes()[..126], b"c", b"d"],
        vec![long.as_bytes(), b"a"],
        vec![b"config", b"nosuch", b"a"],
        vec![b"Object", b"NoSuch"],
        vec![b"command", b"nosuch"],
        vec![b"client", long.as_bytes()],
        vec![b"client", b"a\0b"],
    ] {
        calls.push(words.iter().map(|word| word.to_vec()).collect());
    }
    for call in calls {
        let request = pack(&call);
        let Plan::Refused(refusal) = plan(request.view(), table.find(request.view()), &ring) else {
            panic!("{:?} is not refused", request.view());
        };
        let theirs = server.send(request.view().bytes());
        let ours = String::from_utf8_lossy(refusal.text());
        assert_eq!(theirs.error(), Some(&*ours), "{}", call.join(&b' ').escape_ascii());
    }
}

#[test]
fn the_table_agrees_with_itself() {
    let table = Table::default();
    let mut names = BTreeMap::new();
    for row in all(&table) {
        assert!(names.insert(row.name(), row.arity()).is_none(), "{} is there twice", row.name());
        assert!(row.name().bytes().all(|byte| !byte.is_ascii_uppercase()));
        let flags = row.flags();
        assert!(!(flags.has(Flags::READONLY) && flags.has(Flags::WRITE)), "{} reads and writes", row.name());
        // PFCOUNT keeps a cache of its answer in the key.
        if flags.has(Flags::READONLY) && row.name() != "pfcount" {
            assert!(
                row.specs().iter().all(|spec| !spec.writes),
                "{} reads and has keys it writes",
                row.name()
            );
        }
        if let Some(first) = row.first_key() {
            assert!(row.takes(usize::from(row.arity().unsigned_abs())));
            assert!(first < usize::from(row.arity().unsigned_abs()), "{}", row.name());
        }
    }
}
