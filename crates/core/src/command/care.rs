use super::options::Options;
use crate::request::{Request, is_word};

/// What about a request has to be looked at besides its keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Care {
    /// Nothing.
    None,
    /// Patterns of further keys: the values of `BY` and `GET` of `SORT`, see [`super::Row::patterns`].
    Patterns,
    /// This word, from this argument on, reaches into another database.
    Database(&'static str, u8),
    /// One of these words, in every second argument from this one on, would change how the server is reached.
    Reach(&'static [&'static str], u8),
    /// The command can be made again only without any of these words, from this argument on: it is a read whose reply would
    /// miss something (`XREAD … $`), or [`super::Flags::IDEMPOTENT`] without them.
    Conditional(&'static [&'static str], u8),
}

impl Care {
    /// Whether the request has a word of [`Care::Database`] or [`Care::Conditional`], in any case. A value that looks
    /// like such a word counts too: that errs on the safe side.
    #[must_use]
    pub fn applies(self, request: Request<'_>) -> bool {
        let has = |words: &[&str], from: u8| {
            let mut rest = request.arguments().skip(usize::from(from));
            rest.any(|argument| words.iter().any(|word| is_word(argument, word)))
        };
        match self {
            Self::None | Self::Patterns | Self::Reach(..) => false,
            Self::Database(word, from) => has(&[word], from),
            Self::Conditional(words, from) => has(words, from),
        }
    }

    /// The word of [`Care::Reach`] that the request has.
    #[must_use]
    pub fn reaches(self, request: Request<'_>) -> Option<&'static str> {
        let Self::Reach(words, from) = self else { return None };
        let mut named = request.arguments().skip(usize::from(from)).step_by(2);
        named.find_map(|argument| words.iter().copied().find(|word| is_word(argument, word)))
    }

    /// See [`super::Row::patterns`].
    pub(super) fn patterns<'a>(
        self,
        options: Options,
        request: Request<'a>,
    ) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
        let options = if self == Self::Patterns { options } else { Options::NONE };
        let values = options.walk(request).filter(|(word, _)| matches!(*word, "by" | "get"));
        values.filter_map(move |(_, at)| {
            let value = request.argument(at)?;
            Some((value, value.get(..memchr::memchr(b'*', value)?)?))
        })
    }
}
