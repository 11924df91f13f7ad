use crate::request::{Request, is_word};

/// The options of a command, walked as its server walks them: one after the other, each with its values. So a value that
/// looks like an option is none (`SORT k BY store`), and where options stand twice the last one counts.
///
/// This is the only place that knows where an option ends and the next begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Options {
    /// Where they begin.
    pub(super) from: usize,
    /// Those that have values, in lower case, with how many: [`Options::REST`] where all that follows is values. Every
    /// other option has none.
    pub(super) valued: &'static [(&'static str, usize)],
}

impl Options {
    /// No option has a value.
    pub(super) const NONE: Self = Self { from: 0, valued: &[] };

    /// The number of values of an option that ends the options (`STREAMS`, the `KEYS` of `MIGRATE`): all that follows.
    pub(super) const REST: usize = usize::MAX;

    /// The options of a request that have values, in the order written: each in lower case, with the argument of its first
    /// value. One at the end, without a value, is left out: servers refuse it.
    pub(super) fn walk(self, request: Request<'_>) -> impl Iterator<Item = (&'static str, usize)> {
        let mut at = self.from;
        std::iter::from_fn(move || {
            loop {
                let option = request.argument(at)?;
                at = at.saturating_add(1);
                let known = self.valued.iter().find(|(word, _)| is_word(option, word));
                let Some((word, values)) = known else { continue };
                let value = at;
                at = at.saturating_add(*values);
                return (value < request.count()).then_some((*word, value));
            }
        })
    }

    /// The argument after the last occurrence of an option, given in lower case.
    pub(super) fn value_of(self, word: &str, request: Request<'_>) -> Option<usize> {
        self.walk(request).filter(|(option, _)| *option == word).last().map(|(_, value)| value)
    }
}
