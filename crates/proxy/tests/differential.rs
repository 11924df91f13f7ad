//! A ring answers what one server answers: thousands of random commands go to both, and replies are compared byte for
//! byte, errors included, in RESP2 and in RESP3.
//!
//! `RENDIS_SEED` and `RENDIS_COMMANDS` choose another run; a run that fails says its seed.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::as_conversions,
    clippy::print_stderr,
    reason = "a test fails by panicking"
)]

mod generator;
mod ring;
mod wording;

use std::fmt::Write as _;
use std::io::{self, BufReader, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rendis_proxy::serve::Proxy;
use rendis_testkit::{Cluster, RedisServer};

use generator::{Command, Dice, Generator, Judge};
use ring::{address, config, ring};

/// One reply: its own bytes, and the replies inside it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Frame {
    head: Vec<u8>,
    children: Vec<Frame>,
}

impl Frame {
    /// Reads one. This is no reader of the product's: what judges it must not be made of it.
    fn read(from: &mut impl io::BufRead) -> io::Result<Self> {
        let mut head = Vec::new();
        from.read_until(b'\n', &mut head)?;
        if !head.ends_with(b"\r\n") {
            let text = format!("the stream ends in {:?}", head.escape_ascii().to_string());
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, text));
        }
        let number = || -> Option<i64> { std::str::from_utf8(&head[1..head.len() - 2]).ok()?.parse().ok() };
        let wrong = || io::Error::other(format!("no reply: {}", head.escape_ascii()));
        let children = match head[0] {
            b'+' | b'-' | b':' | b',' | b'#' | b'_' | b'(' => 0,
            b'$' | b'=' | b'!' => {
                if let Ok(length) = usize::try_from(number().ok_or_else(wrong)?) {
                    let begin = head.len();
                    head.resize(begin + length + 2, 0);
                    from.read_exact(&mut head[begin..])?;
                }
                0
            }
            b'*' | b'~' | b'>' => number().ok_or_else(wrong)?.max(0),
            b'%' | b'|' => number().ok_or_else(wrong)? * 2,
            _ => return Err(wrong()),
        };
        let children = (0..children).map(|_| Self::read(from)).collect::<io::Result<_>>()?;
        Ok(Self { head, children })
    }

    /// With the elements in an order that does not depend on the server: pairs stay together where there are pairs.
    fn sorted(mut self, pairs: bool) -> Self {
        let children: Vec<_> = self.children.into_iter().map(|child| child.sorted(pairs)).collect();
        let width = if self.head[0] == b'%' || pairs && children.len() % 2 == 0 { 2 } else { 1 };
        let mut groups: Vec<_> = children.chunks(width).map(<[Self]>::to_vec).collect();
        groups.sort();
        self.children = groups.concat();
        self
    }

    /// Whether it is the dump of a set or a hash whose order is that of a hash table.
    fn is_dump_of_a_table(&self) -> bool {
        let payload = self.head.iter().position(|byte| *byte == b'\n').map(|end| self.head.get(end + 1));
        matches!(payload, Some(Some(2 | 4)))
    }

    /// Whether both are errors that say the same.
    fn says_the_same(&self, other: &Self) -> bool {
        let text =
            |frame: &Self| String::from_utf8(frame.head.clone()).ok().filter(|text| text.starts_with('-'));
        text(self).zip(text(other)).is_some_and(|(ours, theirs)| wording::same(&ours, &theirs))
    }

    fn number(&self) -> Option<i64> {
        std::str::from_utf8(self.head.strip_prefix(b":")?).ok()?.trim_end().parse().ok()
    }
}

impl std::fmt::Display for Frame {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let shown = self.head.get(..200).unwrap_or(&self.head);
        write!(out, "{}", shown.escape_ascii())?;
        if shown.len() < self.head.len() {
            write!(out, "…({} bytes)", self.head.len())?;
        }
        self.children.iter().try_for_each(|child| child.fmt(out))
    }
}

fn same(command: &Command, ours: &Frame, theirs: &Frame) -> bool {
    if ours == theirs || ours.says_the_same(theirs) {
        return true;
    }
    let name = command.words[0].to_ascii_uppercase();
    match command.judge {
        Judge::Exactly => false,
        Judge::AnyOrder => {
            let pairs = matches!(name.as_slice(), b"HGETALL" | b"HSCAN" | b"ZSCAN" | b"EVAL");
            let reply = |frame: &Frame| frame.clone().sorted(pairs);
            let dumps = || name == b"DUMP" && ours.is_dump_of_a_table() && theirs.is_dump_of_a_table();
            reply(ours) == reply(theirs) || dumps() && ours.head.len() == theirs.head.len()
        }
        Judge::Time => match (ours.number(), theirs.number()) {
            (Some(ours), Some(theirs)) => ours > 0 && theirs > 0 && ours.abs_diff(theirs) <= 30_000,
            _ => false,
        },
    }
}

/// How a sequence is cut into writes.
#[derive(Clone, Copy, Debug)]
enum Cut {
    Whole,
    Frames,
    Chunks(usize),
    Bytes,
}

fn write(stream: &TcpStream, bytes: &[u8], frames: &[usize], cut: Cut, dice: &mut Dice) -> io::Result<()> {
    let mut stream = stream;
    let mut at = 0;
    let mut ends = frames.iter();
    while at < bytes.len() {
        let end = match cut {
            Cut::Whole => bytes.len(),
            Cut::Frames => *ends.next().unwrap(),
            Cut::Chunks(most) => at + 1 + dice.below(most),
            Cut::Bytes => at + 1,
        };
        let end = end.min(bytes.len());
        stream.write_all(&bytes[at..end])?;
        at = end;
        if !matches!(cut, Cut::Whole) {
            std::thread::yield_now();
        }
    }
    Ok(())
}

/// Sends a sequence on a connection of its own, and reads its replies. After an error, those there were.
fn run(
    to: SocketAddr,
    resp3: bool,
    commands: &[Command],
    cut: Cut,
    dice: &mut Dice,
) -> (Vec<Frame>, io::Result<()>) {
    let stream = TcpStream::connect(to).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.set_write_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut reader = BufReader::new(&stream);
    let mut replies = Vec::with_capacity(commands.len());
    if resp3 {
        (&stream).write_all(b"HELLO 3\r\n").unwrap();
        assert_eq!(Frame::read(&mut reader).unwrap().head[0], b'%');
    }
    let mut bytes = Vec::new();
    let mut frames = Vec::new();
    for command in commands {
        bytes.extend_from_slice(&command.pack());
        frames.push(bytes.len());
    }
    let result = std::thread::scope(|scope| {
        let writing = scope.spawn(|| write(&stream, &bytes, &frames, cut, dice));
        let read = commands.iter().try_for_each(|_| {
            replies.push(Frame::read(&mut reader)?);
            Ok(())
        });
        if read.is_err() {
            let _ = stream.shutdown(Shutdown::Both);
        }
        let written = writing.join().unwrap();
        read.and(written)
    });
    let rest = reader.buffer().to_vec();
    let result = if rest.is_empty() {
        result
    } else {
        Err(io::Error::other(format!("too much: {}", rest.escape_ascii())))
    };
    (replies, result)
}

struct Both {
    _shards: Cluster,
    server: RedisServer,
    proxy: Proxy,
    /// The server spoils a transaction for a `MULTI` or `WATCH` in it, as Valkey 8 does.
    forbids_nesting: bool,
}

const FUNCTIONS: &str = "#!lua name=mine
redis.register_function('put', function(keys, args) return redis.call('SET', keys[1], args[1]) end)
redis.register_function{function_name='look', callback=function(keys, args)
    if #keys == 0 then return 'no key' end
    return redis.call('TYPE', keys[1])
end, flags={'no-writes'}}
";

impl Both {
    fn start() -> Self {
        let (shards, server) = (Cluster::start(3), RedisServer::start());
        // A machine that is busy with other tests is slow, not dead.
        let patient = "deadlines = { connect = \"10s\", reply = \"10s\", write = \"10s\", wait = \"10s\" }";
        let proxy = Proxy::start(&config(&ring("cache", patient, &shards.urls()))).unwrap();
        let mut client = rendis_testkit::Client::connect(server.address()).unwrap();
        let nested = ["MULTI", "MULTI", "EXEC"].map(|word| client.command(&[word]).unwrap());
        let forbids_nesting = nested[2].error().is_some();
        let both = Self { _shards: shards, server, proxy, forbids_nesting };
        for at in both.addresses() {
            let load = ["FUNCTION", "LOAD", FUNCTIONS];
            assert_eq!(rendis_testkit::Client::connect(at).unwrap().command(&load).unwrap().text(), "mine");
        }
        both
    }

    fn addresses(&self) -> [SocketAddr; 2] {
        [address(&self.proxy, "cache"), self.server.address()]
    }

    /// Runs a sequence on both; says what is different, if something is.
    fn compare(&self, resp3: bool, commands: &[Command], cut: Cut, dice: &mut Dice) -> Result<(), String> {
        let [ours, theirs] = self.addresses();
        let (expected, result) = run(theirs, resp3, commands, Cut::Whole, dice);
        result.unwrap();
        let (replies, result) = run(ours, resp3, commands, cut, dice);
        let differs = commands
            .iter()
            .zip(replies.iter().zip(&expected))
            .position(|(command, (ours, theirs))| !same(command, ours, theirs));
        let at = match (differs, result) {
            (Some(at), _) => at,
            (None, Ok(())) => return Ok(()),
            (None, Err(error)) => {
                let next = commands.get(replies.len()).map_or(String::new(), Command::to_string);
                return Err(format!("after {} replies, at {next}: {error}", replies.len()));
            }
        };
        let mut text = String::new();
        for command in &commands[at.saturating_sub(12)..at] {
            writeln!(text, "    {command}").unwrap();
        }
        write!(
            text,
            "{} (number {at})\n    ours   {}\n    theirs {}",
            commands[at], replies[at], expected[at]
        )
        .unwrap();
        Err(text)
    }
}

/// Leaves out what stands in a transaction and may not.
fn without_nesting(commands: &mut Vec<Command>) {
    let mut open = false;
    commands.retain(|command| {
        let nests = |word: &[u8]| command.words[0].eq_ignore_ascii_case(word);
        let goes = open && (nests(b"MULTI") || nests(b"WATCH"));
        open = (open || nests(b"MULTI"))
            && !["EXEC", "DISCARD", "RESET"].iter().any(|word| nests(word.as_bytes()));
        !goes
    });
}

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap())
}

fn seed() -> u64 {
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64;
    setting("RENDIS_SEED").unwrap_or_else(now)
}

fn all_the_same(resp3: bool) {
    let (seed, total) = (seed(), setting("RENDIS_COMMANDS").unwrap_or(4000) as usize / 2);
    let (both, generator, mut dice) = (Both::start(), Generator::new(), Dice::new(seed));
    let (mut sent, mut wrong) = (0, Vec::new());
    let mut number = 0;
    while sent < total && wrong.len() < MOST_SHOWN {
        number += 1;
        let mut own = Dice::new(dice.next());
        let cut = match own.below(4) {
            0 => Cut::Whole,
            1 => Cut::Frames,
            2 => Cut::Chunks(*own.one_of(&[7, 100, 3000])),
            _ => Cut::Bytes,
        };
        let mut commands = generator.sequence(&mut own, number, 60);
        if matches!(cut, Cut::Bytes) {
            // A system call for each byte: long values would take long and show nothing more.
            commands.retain(|command| command.pack().len() < 4096);
        }
        if both.forbids_nesting {
            without_nesting(&mut commands);
        }
        sent += commands.len();
        if let Err(text) = both.compare(resp3, &commands, cut, &mut own) {
            wrong.push(format!("sequence {number}, {cut:?}:\n{text}"));
            // The two are not in the same state any more.
            for at in both.addresses() {
                rendis_testkit::Client::connect(at).unwrap().command(&["FLUSHALL"]).unwrap();
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "RENDIS_SEED={seed}: {} sequences of {number} differ, RESP{}\n\n{}",
        wrong.len(),
        if resp3 { 3 } else { 2 },
        wrong.join("\n\n")
    );
}

#[test]
fn a_ring_answers_what_a_server_answers_in_resp2() {
    all_the_same(false);
}

#[test]
fn a_ring_answers_what_a_server_answers_in_resp3() {
    all_the_same(true);
}

/// How many different replies are shown before a run ends.
const MOST_SHOWN: usize = 12;
