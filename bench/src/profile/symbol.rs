//! Names of functions: whose they are, and short enough for a picture.

/// The crate of a function by its name. Of a method of a trait the crate of the type, unless that is one of the
/// standard library's: then the trait's, as in `<&str as redis::ToRedisArgs>`.
pub(super) fn crates(name: &str) -> impl Iterator<Item = &str> {
    let own = name.trim_start_matches(['<', '&', '(', '*', '[']);
    let own = own.strip_prefix("mut ").or(own.strip_prefix("const ")).unwrap_or(own);
    let of_trait = if name.starts_with('<') { after_as(name) } else { None };
    [Some(own), of_trait].into_iter().flatten().filter_map(first_word)
}

/// What follows ` as ` between the first pair of angle brackets.
fn after_as(name: &str) -> Option<&str> {
    let mut depth = 0_usize;
    for (at, letter) in name.char_indices() {
        match letter {
            '<' => depth += 1,
            '>' if depth <= 1 => return None,
            '>' => depth -= 1,
            ' ' if depth == 1 => {
                if let Some(rest) = name[at..].strip_prefix(" as ") {
                    return Some(rest);
                }
            }
            _ => {}
        }
    }
    None
}

/// The first part of a path; none where it is no path.
fn first_word(path: &str) -> Option<&str> {
    let end = path.find(|letter: char| !letter.is_alphanumeric() && letter != '_')?;
    path[end..].starts_with("::").then_some(&path[..end])
}

/// Without the hash that the compiler appends, and without arguments of types: they make names longer than lines.
pub(super) fn tidy(name: &str) -> String {
    let name = match name.rsplit_once("::h") {
        Some((name, hash)) if hash.len() == 16 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()) => name,
        _ => name,
    };
    let (mut short, mut depth, mut before) = (String::with_capacity(name.len()), 0_usize, ' ');
    for letter in name.chars() {
        if letter == '>' && before != '-' {
            depth = depth.saturating_sub(1);
        }
        // The first pair of brackets of a method's name says whose it is.
        let kept = usize::from(name.starts_with('<') && !short.contains(">::"));
        if depth <= kept {
            short.push(letter);
        }
        if letter == '<' {
            depth += 1;
        }
        before = letter;
    }
    short.replace("{{closure}}", "{closure}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(name: &str) -> Vec<&str> {
        crates(name).collect()
    }

    #[test]
    fn a_function_is_of_its_type_and_of_its_trait() {
        assert_eq!(all("redis::cmd::Cmd::arg"), ["redis"]);
        assert_eq!(all("<&str as redis::types::ToRedisArgs>::write"), ["redis"]);
        assert_eq!(all("<a::B<c::D> as e::F<g::H>>::i"), ["a", "e"]);
        assert_eq!(all("<a::B<c::D as e::F>>::i"), ["a"]);
        assert_eq!(all("__libc_recv"), [""; 0]);
    }

    #[test]
    fn names_lose_hashes_and_arguments() {
        assert_eq!(tidy("a::b::{{closure}}::h0123456789abcdef"), "a::b::{closure}");
        assert_eq!(tidy("core::ptr::drop_in_place<a::B<c::D>>"), "core::ptr::drop_in_place<>");
        assert_eq!(tidy("<a::B<c::D> as e::F<g::H>>::i<j>"), "<a::B<> as e::F<>>::i<>");
        assert_eq!(tidy("malloc"), "malloc");
    }
}
