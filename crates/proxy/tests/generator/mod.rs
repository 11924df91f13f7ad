//! Random sequences of commands whose replies do not depend on chance, and the same for the same seed.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::as_conversions,
    reason = "a test fails by panicking"
)]

/// Numbers that look random: splitmix64, so that a seed means the same everywhere.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `limit`.
    pub(crate) const fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }

    /// True once in `of` times.
    pub(crate) const fn once_in(&mut self, of: usize) -> bool {
        self.below(of) == 0
    }

    pub(crate) fn one_of<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }
}

/// How two replies are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Judge {
    /// Byte for byte.
    Exactly,
    /// Elements may stand in another order.
    AnyOrder,
    /// A number may differ by as much as time passes in a test.
    Time,
}

#[derive(Clone, Debug)]
pub(crate) struct Command {
    pub(crate) words: Vec<Vec<u8>>,
    pub(crate) judge: Judge,
}

impl Command {
    fn plain(words: &[&str]) -> Self {
        let words = words.iter().map(|word| word.as_bytes().to_vec()).collect();
        Self { words, judge: Judge::Exactly }
    }

    /// As it is sent.
    pub(crate) fn pack(&self) -> Vec<u8> {
        let mut bytes = format!("*{}\r\n", self.words.len()).into_bytes();
        for word in &self.words {
            bytes.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
            bytes.extend_from_slice(word);
            bytes.extend_from_slice(b"\r\n");
        }
        bytes
    }
}

/// For people; long words are shortened.
impl std::fmt::Display for Command {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (at, word) in self.words.iter().enumerate() {
            let shown = word.get(..60).unwrap_or(word).escape_ascii();
            let more = if word.len() > 60 { format!("…({} bytes)", word.len()) } else { String::new() };
            write!(out, "{}\"{shown}{more}\"", if at > 0 { " " } else { "" })?;
        }
        Ok(())
    }
}

struct Template {
    words: Vec<&'static str>,
    judge: Judge,
    /// Whether it can stand between MULTI and EXEC.
    alone: bool,
    rare: bool,
    as_it_stands: bool,
}

/// What makes sequences.
pub(crate) struct Generator {
    templates: Vec<Template>,
}

impl Generator {
    pub(crate) fn new() -> Self {
        let lines = include_str!("commands.txt").lines();
        let templates =
            lines.filter(|line| !line.is_empty() && !line.starts_with('#')).map(Template::read).collect();
        Self { templates }
    }

    /// About `length` commands. Keys have the tag `{number}`; a transaction that is begun is ended.
    pub(crate) fn sequence(&self, dice: &mut Dice, number: usize, length: usize) -> Vec<Command> {
        let mut fill = Fill { tag: format!("{{{number}}}"), dice };
        let mut commands = Vec::with_capacity(length + 8);
        while commands.len() < length {
            if !fill.dice.once_in(25) {
                commands.push(self.command(&mut fill, false));
                continue;
            }
            match fill.dice.below(8) {
                0 => commands.push(Command::plain(&["EXEC"])),
                1 => commands.push(Command::plain(&["DISCARD"])),
                2 => commands.push(Command::plain(&["UNWATCH"])),
                _ => self.transaction(&mut fill, &mut commands),
            }
        }
        commands
    }

    fn transaction(&self, fill: &mut Fill<'_>, commands: &mut Vec<Command>) {
        if fill.dice.once_in(2) {
            let watch = ["WATCH".into(), fill.key("s"), fill.key("h")];
            commands.push(Command { words: watch.into(), judge: Judge::Exactly });
            // Some of these change what is watched.
            (0..fill.dice.below(3)).for_each(|_| commands.push(self.command(fill, true)));
        }
        commands.push(Command::plain(&["MULTI"]));
        let length = fill.dice.below(8);
        for _ in 0..length {
            match fill.dice.below(60) {
                0 => commands.push(Command::plain(&["MULTI"])),
                1 => commands
                    .push(Command { words: vec!["WATCH".into(), fill.key("s")], judge: Judge::Exactly }),
                2 => commands.push(Command::plain(&["UNWATCH"])),
                _ => commands.push(self.command(fill, true)),
            }
        }
        commands.push(Command::plain(if fill.dice.once_in(5) { &["DISCARD"] } else { &["EXEC"] }));
    }

    fn command(&self, fill: &mut Fill<'_>, queued: bool) -> Command {
        loop {
            let template = fill.dice.one_of(&self.templates);
            let lenient = template.judge != Judge::Exactly;
            if queued && (template.alone || lenient) || template.rare && !fill.dice.once_in(6) {
                continue;
            }
            // A ring refuses at once what does not say where its keys are; a server, when it runs it.
            return template.fill(fill, !(template.as_it_stands || queued && template.counts_keys()));
        }
    }
}

impl Template {
    fn read(line: &'static str) -> Self {
        let mut template =
            Self { words: Vec::new(), judge: Judge::Exactly, alone: false, rare: false, as_it_stands: false };
        let mut rest = line;
        loop {
            match rest.as_bytes()[0] {
                b'~' => template.judge = Judge::AnyOrder,
                b'!' => template.judge = Judge::Time,
                b'*' => template.alone = true,
                b'?' => template.rare = true,
                b'=' => template.as_it_stands = true,
                _ => break,
            }
            rest = &rest[1..];
        }
        while !rest.is_empty() {
            let (word, after) = match rest.strip_prefix('"') {
                Some(quoted) => quoted.split_once('"').unwrap(),
                None => rest.split_once(' ').unwrap_or((rest, "")),
            };
            template.words.push(word);
            rest = after.trim_start();
        }
        template
    }

    fn counts_keys(&self) -> bool {
        self.words.iter().any(|word| *word == "STREAMS" || word.parse::<i64>().is_ok())
    }

    fn fill(&self, fill: &mut Fill<'_>, may_err: bool) -> Command {
        let mut words: Vec<_> = self.words.iter().map(|word| fill.word(word)).collect();
        // A ring takes what newer servers take, `WITHSCORE`, and an older one refuses that when the transaction runs.
        let takes_more = words[0].ends_with(b"RANK");
        match fill.dice.below(40) {
            _ if !may_err => {}
            0 if words.len() > 1 => words.truncate(1 + fill.dice.below(words.len() - 1)),
            // What waits has its keys before the last word, and one more would make a key of that.
            1 if !self.rare && !takes_more => words.push(fill.key("junk")),
            2 => words[0] = words[0].to_ascii_lowercase(),
            _ => {}
        }
        Command { words, judge: self.judge }
    }
}

/// Fills in what a template leaves open.
struct Fill<'a> {
    tag: String,
    dice: &'a mut Dice,
}

impl Fill<'_> {
    fn word(&mut self, word: &str) -> Vec<u8> {
        let Some(kind) = word.strip_prefix('$').filter(|kind| !kind.is_empty()) else { return word.into() };
        match kind {
            "w" => format!("wide:{}", self.dice.below(30)).into(),
            "v" => self.value(),
            "m" => match self.dice.below(20) {
                0 => self.value(),
                _ => self.dice.one_of(&["a", "b", "c", "palermo", "10", "-3"]).as_bytes().to_vec(),
            },
            "i" => self.number(|dice| format!("{}", dice.below(21) as i64 - 10)),
            "n" => self.number(|dice| format!("{}", dice.below(60))),
            "f" => self.number(|dice| {
                let whole = dice.below(200) as i64 - 100;
                match dice.below(6) {
                    0 => format!("{whole}"),
                    1 => "1e3".to_owned(),
                    2 => "3.0".to_owned(),
                    3 => "-inf".to_owned(),
                    _ => format!("{whole}.{}", dice.below(1000)),
                }
            }),
            "u" => self.number(|dice| (*dice.one_of(&["1000", "100000", "0", "-5"])).to_owned()),
            "d" => self.number(|dice| match dice.below(4) {
                0 => format!("{}", dice.below(40)),
                _ => format!("{}-{}", dice.below(40), dice.below(3)),
            }),
            _ => {
                let kind = if self.dice.once_in(12) {
                    self.dice.one_of(&["s", "h", "l", "z", "t", "x", "p", "g"])
                } else {
                    kind
                };
                self.key(kind)
            }
        }
    }

    fn key(&mut self, kind: &str) -> Vec<u8> {
        format!("{}{kind}{}", self.tag, self.dice.below(3)).into()
    }

    fn value(&mut self) -> Vec<u8> {
        match self.dice.below(40) {
            0 => Vec::new(),
            1 => b"\r\n$-1\r\n*3\r\n\0".to_vec(),
            2 => (0..=255).collect(),
            3 => vec![b'x'; 1 + self.dice.below(300)],
            4 => vec![b'y'; self.dice.below(200_000)],
            5 => "\u{65e5}\u{672c}".as_bytes().to_vec(),
            _ => format!("value{}", self.dice.below(50)).into(),
        }
    }

    fn number(&mut self, number: impl FnOnce(&mut Dice) -> String) -> Vec<u8> {
        if self.dice.once_in(30) {
            const NONE: [&[u8]; 10] = [
                b"",
                b"x",
                b"1.5.",
                b"9223372036854775807",
                b"-9223372036854775808",
                b"99999999999999999999",
                b"0x10",
                b" 1",
                b"nan",
                b"1\r\n2",
            ];
            return self.dice.one_of(&NONE).to_vec();
        }
        number(self.dice).into()
    }
}
