//! `rendis locate`

use std::io::{self, BufRead, Write};
use std::os::unix::ffi::OsStrExt as _;

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
    let mut locator =
        Locator { ring, placement, hex: arguments.hex, json: arguments.json, key: Vec::new(), out };
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

struct Locator<'a, W> {
    ring: &'a Ring,
    placement: Placement,
    hex: bool,
    json: bool,
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
            let read = input.read_until(b'\n', &mut line);
            if read.map_err(|error| Failure::Failed(format!("standard input cannot be read: {error}")))? == 0
            {
                return Ok(());
            }
            number += 1;
            let given = line.strip_suffix(b"\n").unwrap_or(&line);
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
        let shard = self.placement.locate(key).and_then(|shard| self.ring.shards.get(shard.index()));
        let Some(shard) = shard else {
            return Err(Failure::Failed(format!("no shard has the key {}", key.escape_ascii())));
        };
        let written = if self.json {
            let (field, text) = match std::str::from_utf8(key) {
                Ok(text) if !self.hex => ("key", serde_json::Value::from(text)),
                _ => ("key_hex", serde_json::Value::from(hex(key))),
            };
            writeln!(self.out, "{}", serde_json::json!({ field: text, "shard": shard.name }))
        } else {
            let parts = [given, b"\t", shard.name.as_bytes(), b"\n"];
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
