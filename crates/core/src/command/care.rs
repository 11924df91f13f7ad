use crate::request::Request;

/// What about a request has to be looked at besides its keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Care {
    /// Nothing.
    None,
    /// Patterns of further keys: the values of `BY` and `GET` of `SORT`, see [`Care::patterns`].
    Patterns,
    /// This word, from this argument on, reaches into another database.
    Database(&'static str, u8),
    /// The command is [`super::Flags::IDEMPOTENT`] only without any of these words, from this argument on.
    Conditional(&'static [&'static str], u8),
}

impl Care {
    /// Whether the request has a word of [`Care::Database`] or [`Care::Conditional`], in any case. A value that looks
    /// like such a word counts too: that errs on the safe side.
    #[must_use]
    pub fn applies(self, request: Request<'_>) -> bool {
        let has = |words: &[&str], from: u8| {
            let mut rest = request.arguments().skip(usize::from(from));
            rest.any(|argument| words.iter().any(|word| argument.eq_ignore_ascii_case(word.as_bytes())))
        };
        match self {
            Self::None | Self::Patterns => false,
            Self::Database(word, from) => has(&[word], from),
            Self::Conditional(words, from) => has(words, from),
        }
    }

    /// For [`Care::Patterns`], the patterns that stand for further keys, each with what comes before its asterisk. `BY`
    /// without an asterisk only says not to sort, and `GET` without one is null, or `#`: the element itself.
    pub fn patterns<'a>(self, request: Request<'a>) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
        const OPTIONS: [(&str, usize); 4] = [("by", 1), ("get", 1), ("limit", 2), ("store", 1)];
        let mut at = 2;
        std::iter::from_fn(move || {
            loop {
                let option = request.argument(at).filter(|_| self == Self::Patterns)?;
                let known = OPTIONS.iter().find(|(word, _)| option.eq_ignore_ascii_case(word.as_bytes()));
                let value = request.argument(at + 1);
                at += 1 + known.map_or(0, |(_, values)| *values);
                let Some(("by" | "get", _)) = known else { continue };
                let value = value?;
                if let Some(prefix) = memchr::memchr(b'*', value).and_then(|star| value.get(..star)) {
                    return Some((value, prefix));
                }
            }
        })
    }
}
