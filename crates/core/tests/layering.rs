//! The walls and rooms of the house, checked by reading the sources.
//!
//! The compiler stops a crate from naming a crate that it does not depend on. What it cannot stop is checked here, for
//! every crate under `crates/`: a module names only modules that its `lib.rs` lists before it, the core stays pure,
//! the `redis` crate is named in one room, nothing is global, no queue is without a limit.
//!
//! Comments, strings and unit tests are not looked at: what they name does not run in production. Macros that make
//! paths would escape, and nobody writes such here.

#![expect(clippy::expect_used, reason = "a test says what is wrong by panicking")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use rendis_core::command::{Found, Table};
use rendis_core::request::RequestBuf;

/// Which crates of the workspace a crate may depend on. Down only.
const WALLS: [(&str, &[&str]); 7] = [
    ("core", &[]),
    ("engine", &["rendis-core"]),
    ("rendis", &["rendis-core", "rendis-engine"]),
    ("proxy", &["rendis-core", "rendis-engine"]),
    ("cli", &["rendis-core", "rendis-engine", "rendis-proxy"]),
    // Used by tests only, so that nothing above it can come to depend on it.
    ("testkit", &["rendis-core"]),
    // A stranger that uses the public library.
    ("faults", &["rendis", "rendis-testkit"]),
];

/// What the core may depend on: crates that compute and do nothing else.
const PURE: [&str; 8] =
    ["bytes", "crc32fast", "md-5", "memchr", "sha1", "smallvec", "thiserror", "xxhash-rust"];

/// What the core may not name: clocks, randomness, the environment, the outside world, `async`.
const IMPURE: [&str; 20] = [
    "Instant::now",
    "SystemTime",
    "rand",
    "fastrand",
    "getrandom",
    "RandomState",
    "std::env",
    "env::var",
    "std::fs",
    "std::io",
    "std::net",
    "std::os",
    "std::process",
    "std::thread",
    "thread_local",
    "tokio",
    "mio",
    "async",
    "await",
    "futures",
];

/// A static of one of these is state that two engines in one process would share.
const SHARED_STATE: [&str; 8] =
    ["Mutex", "RwLock", "Atomic", "OnceLock", "OnceCell", "Cell", "ArcSwap", "static mut"];

#[test]
fn a_room_names_only_rooms_listed_before_it() {
    for house in &houses() {
        let faults: Vec<_> = house.sources.iter().flat_map(|source| house.upward_names(source)).collect();
        assert!(faults.is_empty(), "crate {}:\n{}", house.name, faults.join("\n"));
    }
}

#[test]
fn crates_depend_only_downwards() {
    let houses = houses();
    let ours: Vec<_> = houses.iter().map(|house| house.package.as_str()).collect();
    for house in &houses {
        let Some((_, allowed)) = WALLS.iter().find(|(name, _)| *name == house.name) else {
            panic!("crate {} is new: say in WALLS what it may depend on", house.name);
        };
        for dependency in &house.dependencies {
            let up = ours.contains(&dependency.as_str()) && !allowed.contains(&dependency.as_str());
            assert!(!up, "crate {} may not depend on {dependency}", house.name);
            let impure = house.name == "core" && !PURE.contains(&dependency.as_str());
            assert!(!impure, "the core depends on {dependency}, which PURE does not list");
        }
    }
}

#[test]
fn the_core_has_no_clock_randomness_environment_socket_or_async() {
    for house in houses().iter().filter(|house| house.name == "core") {
        refuse(house, &IMPURE);
    }
}

#[test]
fn the_redis_crate_is_named_in_one_room() {
    for house in &houses() {
        // It is a user of the library and no part of it.
        if house.name == "faults" {
            continue;
        }
        let may_depend = house.name == "rendis";
        assert!(
            may_depend || !house.dependencies.contains(&"redis".to_owned()),
            "crate {} depends on the redis crate",
            house.name
        );
        for source in house.sources.iter().filter(|source| !(may_depend && source.room == "typed")) {
            for form in ["redis::", "use redis", "extern crate redis", "use ::redis"] {
                assert!(!names(&source.code, form), "{} names the redis crate", source.path.display());
            }
        }
    }
}

#[test]
fn ring_and_pool_do_not_know_each_other() {
    for house in houses().iter().filter(|house| house.name == "rendis") {
        for (room, other) in [("ring", "pool"), ("pool", "ring")] {
            for source in house.sources.iter().filter(|source| source.room == room) {
                let known = root_names(&source.code, source.depth).iter().any(|name| name == other);
                assert!(!known, "{} names {other}", source.path.display());
            }
        }
    }
}

#[test]
fn only_the_command_table_knows_command_names() {
    let table = Table::default();
    for house in houses().iter().filter(|house| house.name == "core") {
        for source in house.sources.iter().filter(|source| source.room != "command") {
            for word in &source.byte_strings {
                let request = RequestBuf::pack([word.as_bytes()]);
                let known = !matches!(table.find(request.view()), Found::Unknown);
                let shouted = word.bytes().all(|byte| byte.is_ascii_uppercase());
                assert!(!(known && shouted), "{} knows the command {word}", source.path.display());
            }
        }
    }
}

#[test]
fn nothing_is_global() {
    for house in houses().iter().filter(|house| !["testkit", "cli"].contains(&house.name.as_str())) {
        for source in &house.sources {
            for item in statics(&source.code) {
                let shared = SHARED_STATE.iter().any(|word| item.contains(word));
                assert!(!shared, "{} has a global: {item}", source.path.display());
            }
            assert!(!names(&source.code, "thread_local"), "{} has a thread-local", source.path.display());
        }
    }
}

#[test]
fn every_queue_has_a_limit() {
    for house in &houses() {
        // Of the standard library's channels, the bounded one may be named, and only in full.
        let standard = ["std::sync::mpsc::channel", "std::sync::mpsc::Sender", "std::sync::mpsc;"];
        refuse(house, &["unbounded_channel", "unbounded"]);
        refuse(house, &standard);
    }
}

#[test]
fn unsafe_code_is_forbidden_everywhere() {
    let root = fs::read_to_string(root().join("Cargo.toml")).expect("the workspace's Cargo.toml");
    assert!(root.contains("unsafe_code = \"forbid\""));
    for house in &houses() {
        let forbids = house.manifest.contains("[lints]\nworkspace = true")
            || house.manifest.contains("unsafe_code = \"forbid\"");
        assert!(forbids, "crate {} does not forbid unsafe code", house.name);
    }
}

#[test]
fn these_checks_find_what_they_look_for() {
    let code = plain(
        "use crate::{\n    b::{X, c::Y},\n    d,\n};\n/* crate::e */ // crate::f\nlet s = \"crate::g\"; \
         let r = r#\"crate::h \"x\"#; let c = '\"'; fn f<'a>() -> crate::i::Z { $crate::j!() }\nuse super::k;\n\
         use super::super::l;\n#[cfg(test)]\nmod tests { use crate::m; }",
    )
    .code;
    assert_eq!(root_names(&code, 1), ["b", "d", "i", "j", "k", "super"]);
    assert_eq!(root_names(&code, 2), ["b", "d", "i", "j", "l"]);
    assert!(names("let x = std::env::args();", "std::env") && !names("my_std::env", "std::env"));
    assert!(
        names("async move {}", "async") && !names("async_runtime()", "async") && !names("strand", "rand")
    );
    assert_eq!(
        statics("pub static A: X = 1;\n    static mut B: Y;\n'static C"),
        ["pub static A: X", "static mut B: Y"]
    );
    assert_eq!(plain("b\"GET\" \"SET\" b\"a\\\"b\"").byte_strings, ["GET", "a\\\"b"]);
}

#[test]
fn a_name_from_above_is_found() {
    let source = |room: &str, text: &str| Source {
        path: PathBuf::from(room),
        room: room.to_owned(),
        depth: 1,
        code: plain(text).code,
        byte_strings: Vec::new(),
    };
    let house = House {
        name: "house".to_owned(),
        package: "house".to_owned(),
        manifest: String::new(),
        dependencies: dependencies(
            "[dependencies]\na.workspace = true\n[dependencies.b]\n[dev-dependencies]\nc = \"1\"",
        ),
        rooms: listed_rooms("pub mod low;\nmod middle;\npub(crate) mod high;\n"),
        exports: exported("pub use high::{Roof, Tile};").into_iter().collect(),
        sources: Vec::new(),
    };
    assert_eq!(house.rooms, ["low", "middle", "high"]);
    assert_eq!(house.dependencies, ["a", "b"]);
    for upward in ["use crate::high::Roof;", "use crate::{low, Tile};", "fn f(_: super::high::Roof) {}"] {
        assert_eq!(house.upward_names(&source("middle", upward)).len(), 1, "{upward}");
    }
    for downward in
        ["use crate::low::Floor;", "use crate::middle::Wall;", "// use crate::high;", "use high::Roof;"]
    {
        assert_eq!(house.upward_names(&source("middle", downward)), [""; 0], "{downward}");
    }
}

/// One crate.
struct House {
    name: String,
    package: String,
    manifest: String,
    /// The packages under `[dependencies]`, those for one platform included.
    dependencies: Vec<String>,
    /// Its rooms, bottom-up as `lib.rs` or `main.rs` lists them.
    rooms: Vec<String>,
    /// Names that `lib.rs` re-exports, and the room that they come from.
    exports: BTreeMap<String, String>,
    sources: Vec<Source>,
}

/// One file of a crate.
struct Source {
    path: PathBuf,
    /// The top-level module that it is part of; empty for `lib.rs` and `main.rs`.
    room: String,
    /// How many `super::` lead from it to the crate's root.
    depth: usize,
    code: String,
    byte_strings: Vec<String>,
}

impl House {
    fn read(directory: &Path) -> Self {
        let manifest = fs::read_to_string(directory.join("Cargo.toml")).expect("a crate's Cargo.toml");
        let package = value_of(&manifest, "name").expect("a package name");
        let mut sources = Vec::new();
        collect(&directory.join("src"), &directory.join("src"), &mut sources);
        let roots = || sources.iter().filter(|source| source.depth == 0).map(|source| source.code.as_str());
        let rooms = roots().flat_map(listed_rooms).collect();
        let exports = roots().flat_map(exported).collect();
        Self {
            name: directory.file_name().expect("a directory's name").to_string_lossy().into_owned(),
            package,
            dependencies: dependencies(&manifest),
            manifest,
            rooms,
            exports,
            sources,
        }
    }

    fn place(&self, room: &str) -> Option<usize> {
        self.rooms.iter().position(|listed| listed == room)
    }

    fn upward_names(&self, source: &Source) -> Vec<String> {
        let Some(own) = self.place(&source.room) else {
            return Vec::new();
        };
        let named = root_names(&source.code, source.depth);
        let upward = named.iter().filter_map(|name| {
            let room = self.exports.get(name).unwrap_or(name);
            (self.place(room)? > own).then(|| {
                format!(
                    "{}: {} names {name}, and {room} is listed after it",
                    source.path.display(),
                    source.room
                )
            })
        });
        upward.collect()
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the workspace's root")
}

fn houses() -> Vec<House> {
    let crates = fs::read_dir(root().join("crates")).expect("the crates");
    let mut directories: Vec<_> = crates.map(|entry| entry.expect("a directory entry").path()).collect();
    directories.retain(|directory| directory.join("Cargo.toml").exists());
    directories.sort();
    let houses: Vec<_> = directories.iter().map(|directory| House::read(directory)).collect();
    assert!(houses.iter().any(|house| house.name == "core" && house.rooms.len() > 10), "no crates were read");
    houses
}

fn collect(source_root: &Path, directory: &Path, sources: &mut Vec<Source>) {
    for entry in fs::read_dir(directory).expect("a source directory") {
        let path = entry.expect("a directory entry").path();
        if path.is_dir() {
            collect(source_root, &path, sources);
        } else if path.ends_with("tests.rs") {
            // Unit tests in a file of their own: below, whoever declares them says that they are tests.
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let inside = path.strip_prefix(source_root).expect("a path inside").with_extension("");
            let mut parts: Vec<_> = inside.iter().map(|part| part.to_string_lossy().into_owned()).collect();
            if ["mod", "lib", "main"].contains(&parts.last().map_or("", String::as_str)) {
                parts.pop();
            }
            let text = fs::read_to_string(&path).expect("a source file");
            let Plain { code, byte_strings } = plain(&text);
            assert!(!names(&code, "mod tests"), "{}: the room `tests` is for unit tests", path.display());
            let room = parts.first().cloned().unwrap_or_default();
            sources.push(Source { path, room, depth: parts.len(), code, byte_strings });
        }
    }
}

/// Fails when a source of `house` names one of `words`.
fn refuse(house: &House, words: &[&str]) {
    for source in &house.sources {
        for word in words {
            assert!(!names(&source.code, word), "{} names {word}", source.path.display());
        }
    }
}

/// Whether `word` is in `code` and is not a part of a longer word.
fn names(code: &str, word: &str) -> bool {
    let part = |character: Option<char>| character.is_some_and(|c| c.is_alphanumeric() || c == '_');
    code.match_indices(word).any(|(at, _)| {
        let ends_in_word = part(word.chars().last());
        let goes_on = ends_in_word && part(code[at + word.len()..].chars().next());
        !goes_on && !part(code[..at].chars().last())
    })
}

/// The names that `code` takes from its crate's root: after `crate::`, and after `depth` times `super::`.
fn root_names(code: &str, depth: usize) -> Vec<String> {
    let mut found = Vec::new();
    for prefix in ["crate::".to_owned(), "super::".repeat(depth)] {
        for (at, _) in code.match_indices(&prefix).filter(|_| !prefix.is_empty()) {
            let before = code[..at].chars().last();
            if !before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':') {
                found.extend(first_names(&code[at + prefix.len()..]));
            }
        }
    }
    found
}

/// The first segments of the path, or of the paths in braces, at the start of `code`.
fn first_names(code: &str) -> Vec<String> {
    let name = |path: &str| -> String {
        path.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
    };
    let Some(group) = code.strip_prefix('{') else {
        return vec![name(code)];
    };
    let (mut level, mut start, mut found) = (0_usize, 0, Vec::new());
    for (at, character) in group.char_indices() {
        match character {
            '{' => level += 1,
            ',' | '}' if level == 0 => {
                found.push(name(&group[start..at]));
                start = at + 1;
                if character == '}' {
                    break;
                }
            }
            '}' => level -= 1,
            _ => {}
        }
    }
    found.retain(|name| !name.is_empty());
    found
}

fn listed_rooms(code: &str) -> Vec<String> {
    let rooms = code.lines().filter_map(|line| {
        let declared =
            line.trim_start_matches("pub(crate) ").trim_start_matches("pub ").strip_prefix("mod ")?;
        declared.strip_suffix(';').map(str::to_owned)
    });
    rooms.collect()
}

/// What `pub use room::…;` lines make known at the root.
fn exported(code: &str) -> Vec<(String, String)> {
    let uses = code.split("use ").skip(1).filter_map(|rest| rest.split_once(';')).filter_map(|(path, _)| {
        let (room, names) = path.trim_start_matches("crate::").split_once("::")?;
        let names: Vec<_> = names.split(|c: char| !c.is_alphanumeric() && c != '_').collect();
        Some(
            names
                .into_iter()
                .filter(|name| !name.is_empty())
                .map(|name| (name.to_owned(), room.to_owned()))
                .collect(),
        )
    });
    uses.collect::<Vec<Vec<_>>>().concat()
}

/// The declarations of statics, without their values.
fn statics(code: &str) -> Vec<String> {
    let items = code.lines().map(str::trim_start).filter(|line| {
        let bare = line
            .trim_start_matches("pub(crate) ")
            .trim_start_matches("pub(super) ")
            .trim_start_matches("pub ");
        bare.starts_with("static ")
    });
    items.map(|line| line.split(['=', ';']).next().unwrap_or(line).trim().to_owned()).collect()
}

fn value_of(manifest: &str, key: &str) -> Option<String> {
    let line = manifest.lines().find(|line| line.split('=').next().is_some_and(|name| name.trim() == key))?;
    line.split('"').nth(1).map(str::to_owned)
}

fn dependencies(manifest: &str) -> Vec<String> {
    let mut inside = false;
    let mut found = Vec::new();
    for line in manifest.lines().map(str::trim) {
        if let Some(section) = line.strip_prefix('[') {
            let section = section.trim_end_matches(']');
            inside = section == "dependencies" || section.ends_with(".dependencies");
            found.extend(section.strip_prefix("dependencies.").map(str::to_owned));
        } else if inside && !line.starts_with('#') {
            let name: String =
                line.chars().take_while(|c| c.is_alphanumeric() || "-_".contains(*c)).collect();
            found.extend((!name.is_empty()).then_some(name));
        }
    }
    found
}

/// A source without what does not run: comments, the contents of strings, unit tests at its end.
struct Plain {
    code: String,
    /// The contents of the byte strings.
    byte_strings: Vec<String>,
}

fn plain(text: &str) -> Plain {
    let text = text.split("#[cfg(test)]\nmod tests").next().unwrap_or(text);
    let (mut code, mut byte_strings) = (String::new(), Vec::new());
    let mut rest = text;
    while let Some(character) = rest.chars().next() {
        let skipped = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if let Some(length) = raw_string(rest) {
            length
        } else if rest.starts_with('"') {
            let length = string(rest);
            if code.ends_with('b') {
                byte_strings.push(rest[1..length - 1].to_owned());
            }
            length
        } else if character == '\'' {
            // A character, or the tick of a lifetime.
            let literal = rest[1..].find('\'').map(|end| &rest[1..=end]);
            match literal {
                Some(inner) if inner.starts_with('\\') => inner.len() + 2 + usize::from(inner == "\\"),
                Some(inner) if inner.chars().count() == 1 => inner.len() + 2,
                _ => 1,
            }
        } else {
            code.push(character);
            character.len_utf8()
        };
        rest = &rest[skipped.min(rest.len())..];
    }
    Plain { code, byte_strings }
}

/// The length of the string at the start of `text`, its quotes counted.
fn string(text: &str) -> usize {
    let mut escaped = false;
    let end = text.char_indices().skip(1).find(|(_, character)| {
        let ends = *character == '"' && !escaped;
        escaped = *character == '\\' && !escaped;
        ends
    });
    end.map_or(text.len(), |(at, _)| at + 1)
}

/// The length of the raw string at the start of `text`, if there is one.
fn raw_string(text: &str) -> Option<usize> {
    let body = text.strip_prefix("br").or_else(|| text.strip_prefix('r'))?;
    let hashes = body.len() - body.trim_start_matches('#').len();
    let inner = body[hashes..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    let start = text.len() - inner.len();
    Some(inner.find(&end).map_or(text.len(), |at| start + at + end.len()))
}
