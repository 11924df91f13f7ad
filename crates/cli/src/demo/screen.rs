//! Standard output: lines that stay, and on a terminal a panel below them that is drawn again and again.

use std::io::{self, Write as _};
use std::time::Duration;

use console::{Style, Term, truncate_str};

/// Standard output.
pub(super) struct Screen {
    term: Term,
    /// It is a terminal that can draw over what it shows.
    live: bool,
    /// It can show more than ASCII.
    unicode: bool,
    /// Lines of the panel that are on the terminal.
    drawn: usize,
}

impl Screen {
    pub(super) fn new() -> Self {
        let term = Term::buffered_stdout();
        let live = term.is_term() && std::env::var_os("TERM").is_some_and(|name| name != "dumb");
        Self { live, unicode: live && speaks_utf8(), drawn: 0, term }
    }

    /// Writes a heading and a sentence about what follows, wrapped to the width.
    pub(super) fn heading(&mut self, title: &str, sentence: &str) -> io::Result<()> {
        let title = Style::new().bold().apply_to(title);
        writeln!(self.term, "\n{title}")?;
        for line in wrap(sentence, self.width().min(WIDEST_PROSE)) {
            writeln!(self.term, "{line}")?;
        }
        self.term.flush()
    }

    /// Writes a line of words, wrapped to the width with its indentation.
    pub(super) fn say(&mut self, text: &str) -> io::Result<()> {
        let words = text.trim_start();
        let indent = " ".repeat(text.len() - words.len());
        for line in wrap(words, self.width().saturating_sub(indent.len())) {
            writeln!(self.term, "{indent}{line}")?;
        }
        self.term.flush()
    }

    /// Writes the lines of a table, as they are.
    pub(super) fn table(&mut self, lines: &[String]) -> io::Result<()> {
        for line in lines {
            writeln!(self.term, "{line}")?;
        }
        self.term.flush()
    }

    /// How often what goes on is shown.
    pub(super) const fn pace(&self) -> Duration {
        if self.live { REDRAWN } else { TOLD }
    }

    /// Shows what goes on: the panel in the place of the last one; where there is none, `brief` as one more line.
    pub(super) fn show(&mut self, panel: &[String], brief: &str) -> io::Result<()> {
        if !self.live {
            return self.say(brief);
        }
        self.clear()?;
        let (height, width) = self.size();
        // A panel that is higher than the terminal could not be taken back.
        let room = height.saturating_sub(1);
        for line in panel.iter().skip(panel.len().saturating_sub(room)) {
            writeln!(self.term, "{}", truncate_str(line, width, ""))?;
            self.drawn += 1;
        }
        self.term.flush()
    }

    /// Takes the panel away.
    pub(super) fn clear(&mut self) -> io::Result<()> {
        self.term.clear_last_lines(std::mem::take(&mut self.drawn))
    }

    /// How many characters a line holds.
    pub(super) fn width(&self) -> usize {
        self.size().1
    }

    /// A bar of `length` characters of which this share is full.
    pub(super) fn bar(&self, share: f64, length: usize) -> String {
        let (full, empty) = if self.unicode { ("█", "░") } else { ("#", ".") };
        #[expect(
            clippy::as_conversions,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a few characters, and from 0 to 1"
        )]
        let filled = (share.clamp(0.0, 1.0) * length as f64).round() as usize;
        format!("{}{}", full.repeat(filled), empty.repeat(length - filled.min(length)))
    }

    fn size(&self) -> (usize, usize) {
        let (height, width) = self.term.size_checked().unwrap_or((24, WITHOUT_TERMINAL));
        let usable = |size: u16, least: usize| usize::from(size).max(least);
        (usable(height, 2), usable(width, 20))
    }
}

/// Whether the locale says that the terminal takes UTF-8.
fn speaks_utf8() -> bool {
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().filter_map(|name| std::env::var(name).ok());
    let first = locale.into_iter().find(|value| !value.is_empty()).unwrap_or_default().to_ascii_lowercase();
    first.contains("utf-8") || first.contains("utf8")
}

/// Breaks words into lines of at most `width` characters; a longer word has a line of its own.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line)
                if console::measure_text_width(line) + 1 + console::measure_text_width(word) <= width =>
            {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

const WIDEST_PROSE: usize = 78;
const WITHOUT_TERMINAL: u16 = 80;
const REDRAWN: Duration = Duration::from_millis(250);
const TOLD: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_wrapped_and_long_ones_kept_whole() {
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("a endlessly b", 4), ["a", "endlessly", "b"]);
        assert_eq!(wrap("aligned   so", 80), ["aligned   so"]);
    }
}
