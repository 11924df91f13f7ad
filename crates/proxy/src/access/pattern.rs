//! Glob patterns, as servers match them: `*`, `?`, `[abc]`, `[^a-z]`, and `\` before a character that means itself.

/// Whether `text` as a whole matches `pattern`. Takes time in proportion to the product of their lengths at worst.
pub(crate) fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut rest, mut left) = (pattern, text);
    // Where to go on when what follows the last asterisk does not match: the asterisk then stands for one byte more.
    let mut retry: Option<(&[u8], &[u8])> = None;
    loop {
        if let Some((b'*', after)) = rest.split_first() {
            retry = Some((after, left));
            rest = after;
            continue;
        }
        match (left.split_first(), rest.is_empty()) {
            (None, true) => return true,
            (None, false) => return false,
            (Some((byte, more)), false) => {
                let (same, after) = element(rest, *byte);
                if same {
                    (rest, left) = (after, more);
                    continue;
                }
            }
            (Some(_), true) => {}
        }
        let Some((after, from)) = retry else { return false };
        let Some((_, from)) = from.split_first() else { return false };
        retry = Some((after, from));
        (rest, left) = (after, from);
    }
}

/// Whether the first element of a pattern is this byte, and what comes after the element.
fn element(pattern: &[u8], byte: u8) -> (bool, &[u8]) {
    match pattern {
        [b'?', after @ ..] => (true, after),
        [b'[', b'^', class @ ..] => {
            let (inside, after) = in_class(class, byte);
            (!inside, after)
        }
        [b'[', class @ ..] => in_class(class, byte),
        [b'\\', literal, after @ ..] | [literal, after @ ..] => (*literal == byte, after),
        [] => (false, pattern),
    }
}

/// Whether a byte is in the class whose first member begins here, and what comes after the class. One that is not
/// closed goes up to the end.
fn in_class(mut class: &[u8], byte: u8) -> (bool, &[u8]) {
    let mut inside = false;
    loop {
        class = match class {
            [] => return (inside, class),
            [b'\\', literal, after @ ..] => {
                inside |= *literal == byte;
                after
            }
            [b']', after @ ..] => return (inside, after),
            [from, b'-', to, after @ ..] => {
                inside |= (*from.min(to)..=*from.max(to)).contains(&byte);
                after
            }
            [literal, after @ ..] => {
                inside |= *literal == byte;
                after
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::matches;
    use proptest::prelude::*;

    #[test]
    fn patterns_match_as_servers_match_them() {
        for (pattern, text, expected) in [
            ("*", "", true),
            ("*", "anything", true),
            ("", "", true),
            ("", "a", false),
            ("cache:*", "cache:1", true),
            ("cache:*", "cache", false),
            ("h?llo", "hello", true),
            ("h?llo", "hllo", false),
            ("h[ae]llo", "hallo", true),
            ("h[^ae]llo", "hallo", false),
            ("h[^ae]llo", "hillo", true),
            ("h[a-c]llo", "hbllo", true),
            ("h[c-a]llo", "hbllo", true),
            ("h\\*llo", "h*llo", true),
            ("h\\*llo", "hello", false),
            ("[\\]]", "]", true),
            ("[abc", "b", true),
            ("*a*b*c*", "xxaxxbxxcxx", true),
            ("*a*b*c", "xxaxxbxxcxx", false),
            ("a*", "A", false),
            ("\\", "\\", true),
        ] {
            assert_eq!(matches(pattern.as_bytes(), text.as_bytes()), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn many_asterisks_do_not_take_for_ever() {
        assert!(!matches("*a".repeat(500).as_bytes(), "a".repeat(499).as_bytes()));
        assert!(!matches(("*a".repeat(40) + "b").as_bytes(), "a".repeat(5000).as_bytes()));
    }

    /// The same rule without a thought about time.
    fn twin(pattern: &[u8], text: &[u8]) -> bool {
        match (pattern, text) {
            ([], []) => true,
            ([b'*', rest @ ..], _) => (0..=text.len()).any(|skip| twin(rest, &text[skip..])),
            ([b'?', rest @ ..], [_, more @ ..]) => twin(rest, more),
            ([literal, rest @ ..], [byte, more @ ..]) => literal == byte && twin(rest, more),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn the_quick_way_finds_what_the_plain_way_finds(pattern in "[ab*?]{0,8}", text in "[ab]{0,8}") {
            let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
            prop_assert_eq!(matches(pattern, text), twin(pattern, text));
        }
    }
}
