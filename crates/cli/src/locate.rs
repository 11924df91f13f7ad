//! `rendis locate`

use std::io::{self, BufRead, Write};
use std::os::unix::ffi::OsStrExt as _;

use rendis_core::id::ShardId;
use rendis_core::placement::Placement;
use rendis_proxy::config::{self, Config, Ring, Secrets};

use crate::args::LocateArguments;
use crate::outcome::Failure;

/// Places every key.
pub(crate) fn run(arguments: &LocateArguments) -> Result<(), Failure> {
    let config = config::load(&arguments.config, Secrets::LeaveOut)?;
    let ring = choose(&config, arguments.ring.as_deref())?;
    let placement = ring.place().map_err(|error| Failure::Usage(error.to_string()))?;
    let out = io::BufWriter::with_capacity(BUFFER, io::stdout().lock());
    let only = arguments.only.as_deref().map(|name| find_shard(ring, name)).transpose()?;
    let end = if arguments.null { 0 } else { b'\n' };
    let (hex, json) = (arguments.hex, arguments.json);
    let mut locator = Locator { ring, placement, hex, json, only, end, key: Vec::new(), out };
    if arguments.keys.is_empty() {
        locator.lines(&mut io::BufReader::with_capacity(BUFFER, io::stdin().lock()))?;
    } else {
        for key in &arguments.keys {
            locator.one(key.as_bytes(), Located::Argument)?;
        }
    }
    locator.out.flush().map_err(|error| Failure::output(&error))
}

const BUFFER: usize = 64 * 1024;

/// The ring asked for; the only one when none is.
fn choose<'a>(config: &'a Config, name: Option<&str>) -> Result<&'a Ring, Failure> {
    let names = || config.rings.iter().map(|ring| ring.name.as_str()).collect::<Vec<_>>().join(", ");
    match (name, config.rings.as_slice()) {
        (Some(name), rings) => rings.iter().find(|ring| ring.name == name).ok_or_else(|| {
            Failure::Usage(format!("--ring: there is no ring {name:?}; allowed: {}", names()))
        }),
        (None, [ring]) => Ok(ring),
        (None, _) => Err(Failure::Usage(format!("the configuration has several rings; --ring: {}", names()))),
    }
}

/// The position of a shard. One that does not exist has no keys, but is nearly always a slip.
fn find_shard(ring: &Ring, name: &str) -> Result<usize, Failure> {
    ring.shards.iter().position(|shard| shard.name == name).ok_or_else(|| {
        let names: Vec<_> = ring.shards.iter().map(|shard| shard.name.as_str()).collect();
        Failure::Usage(format!("--only: there is no shard {name:?}; allowed: {}", names.join(", ")))
    })
}

struct Locator<'a, W> {
    ring: &'a Ring,
    placement: Placement,
    hex: bool,
    json: bool,
    /// The position of the only shard whose keys are printed.
    only: Option<usize>,
    /// What ends each key, in what is read and in what is printed.
    end: u8,
    /// The bytes of a key that was given in hexadecimal; kept to be used again.
    key: Vec<u8>,
    out: W,
}

/// Where a key was given.
#[derive(Clone, Copy)]
enum Located {
    Argument,
    Line(u64),
}

impl<W: Write> Locator<'_, W> {
    /// Every line of the input is a key, the empty ones too. What follows the last line end is one if it is not empty.
    fn lines(&mut self, input: &mut impl BufRead) -> Result<(), Failure> {
        let mut line = Vec::new();
        let mut number = 0;
        loop {
            line.clear();
            let read = input.read_until(self.end, &mut line);
            if read.map_err(|error| Failure::Failed(format!("standard input cannot be read: {error}")))? == 0
            {
                return Ok(());
            }
            number += 1;
            let given = line.strip_suffix(&[self.end]).unwrap_or(&line);
            self.one(given, Located::Line(number))?;
        }
    }

    fn one(&mut self, given: &[u8], place: Located) -> Result<(), Failure> {
        // A carriage return may belong to a key, but not to a hexadecimal one.
        let given = if self.hex { given.strip_suffix(b"\r").unwrap_or(given) } else { given };
        let key = if self.hex {
            if !unhex(given, &mut self.key) {
                return Err(no_hex(given, place));
            }
            self.key.as_slice()
        } else {
            given
        };
        let at = self.placement.locate(key).map(ShardId::index);
        let Some((at, shard)) = at.and_then(|at| Some((at, self.ring.shards.get(at)?))) else {
            return Err(Failure::Failed(format!("no shard has the key {}", key.escape_ascii())));
        };
        if self.only.is_some_and(|only| only != at) {
            return Ok(());
        }
        let end = [self.end];
        let written = if self.json {
            let (field, text) = match std::str::from_utf8(key) {
                Ok(text) if !self.hex => ("key", serde_json::Value::from(text)),
                _ => ("key_hex", serde_json::Value::from(hex(key))),
            };
            write!(self.out, "{}", serde_json::json!({ field: text, "shard": shard.name }))
                .and_then(|()| self.out.write_all(&end))
        } else if self.only.is_some() {
            [given, &end].into_iter().try_for_each(|part| self.out.write_all(part))
        } else {
            let parts = [given, b"\t", shard.name.as_bytes(), &end];
            parts.into_iter().try_for_each(|part| self.out.write_all(part))
        };
        written.map_err(|error| Failure::output(&error))
    }
}

fn no_hex(given: &[u8], place: Located) -> Failure {
    let place = match place {
        Located::Argument => "KEY".to_owned(),
        Located::Line(number) => format!("standard input, line {number}"),
    };
    let found = given.escape_ascii();
    Failure::Usage(format!("{place}: found \"{found}\"; allowed with --hex: pairs of hexadecimal digits"))
}

/// Decodes into `bytes`; false when the text is not pairs of hexadecimal digits.
fn unhex(text: &[u8], bytes: &mut Vec<u8>) -> bool {
    bytes.clear();
    let (pairs, rest) = text.as_chunks::<2>();
    for [high, low] in pairs {
        let (Some(high), Some(low)) = (digit(*high), digit(*low)) else { return false };
        bytes.push(high << 4 | low);
    }
    rest.is_empty()
}

const fn digit(character: u8) -> Option<u8> {
    match character {
        b'0'..=b'9' => Some(character - b'0'),
        b'a'..=b'f' => Some(character - b'a' + 10),
        b'A'..=b'F' => Some(character - b'A' + 10),
        _ => None,
    }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;

    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing into a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
