//! Which bytes of a key count: the hash tag and its variants.
//!
//! Keys with the same tag live on the same shard, so that commands on several keys work. Every program has
//! its own idea of what a tag is; each variant below is one of them, edge cases included (`{}`, `{}}`, an
//! unclosed brace).

use memchr::memchr;

/// A rule that picks the bytes of a key that decide its shard.
///
/// ```
/// use rendis_core::tag::Tag;
/// assert_eq!(Tag::Braces.tagged(b"{user:7}:name"), b"user:7");
/// assert_eq!(Tag::Braces.tagged(b"{}:name"), b"{}:name");
/// assert_eq!(Tag::Whole.tagged(b"{user:7}:name"), b"{user:7}:name");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Tag {
    /// No tags: the whole key counts (roshi).
    Whole,
    /// Redis Cluster's rule: what stands between the first `{` and the first `}` after it, if that is not
    /// empty; else the whole key (go-redis, predis, Envoy).
    #[default]
    Braces,
    /// twemproxy's `hash_tag`: like [`Tag::Braces`] with any two bytes, which may be equal.
    Between {
        /// The byte before the tag.
        open: u8,
        /// The byte after the tag.
        close: u8,
    },
    /// redis-rb's `/^\{(.+?)\}/`: only at the start of a line, at least one byte long, within that line. So
    /// `a{b}` has no tag, the tag of `{}}` is `}`, and that of `{}{a}` is `}{a`.
    RedisRb,
    /// phpredis: as [`Tag::Braces`], but an empty tag counts (`{}x` hashes the empty string), and braces
    /// after the first NUL byte are not seen.
    PhpRedis,
    /// The pattern that Jedis offers, `\{(.+?)\}`: anywhere in the key, at least one character, without a
    /// line terminator in the sense of Java (LF, CR, U+0085, U+2028, U+2029). A key that is not UTF-8 cannot
    /// be a Java string; Jedis takes it as `byte[]`, and there the whole key counts.
    Jedis,
}

impl Tag {
    /// The bytes of `key` that count: a part of `key`, or all of it.
    #[inline]
    #[must_use]
    pub fn tagged<'k>(&self, key: &'k [u8]) -> &'k [u8] {
        let tag = match *self {
            Self::Whole => None,
            Self::Braces => between(key, b'{', b'}').filter(|tag| !tag.is_empty()),
            Self::Between { open, close } => between(key, open, close).filter(|tag| !tag.is_empty()),
            Self::RedisRb => redis_rb(key),
            Self::PhpRedis => php_redis(key),
            Self::Jedis => jedis(key),
        };
        tag.unwrap_or(key)
    }
}

/// What stands between the first `open` and the first `close` after it.
#[inline]
fn between(key: &[u8], open: u8, close: u8) -> Option<&[u8]> {
    let (_, rest) = key.split_at_checked(memchr(open, key)? + 1)?;
    rest.get(..memchr(close, rest)?)
}

fn php_redis(key: &[u8]) -> Option<&[u8]> {
    let seen = memchr(0, key).map_or(Some(key), |end| key.get(..end))?;
    between(seen, b'{', b'}')
}

fn redis_rb(key: &[u8]) -> Option<&[u8]> {
    key.split(|&byte| byte == b'\n').find_map(|line| shortest(line.strip_prefix(b"{")?))
}

fn jedis(key: &[u8]) -> Option<&[u8]> {
    let mut start = memchr(b'{', key)?;
    std::str::from_utf8(key).ok()?;
    let mut rest = key;
    loop {
        let (_, after) = rest.split_at_checked(start + 1)?;
        let (line, next) = after.split_at_checked(java_line_end(after))?;
        // A line without a tag after its first brace has none after its others either: none is closed.
        if let Some(tag) = shortest(line) {
            return Some(tag);
        }
        rest = next;
        start = memchr(b'{', rest)?;
    }
}

/// The shortest tag at the start of `text`: at least one byte, up to the next `}`.
fn shortest(text: &[u8]) -> Option<&[u8]> {
    let (_, from_second) = text.split_at_checked(1)?;
    text.get(..memchr(b'}', from_second)? + 1)
}

/// Where the first character stands that Java's `.` does not match.
fn java_line_end(text: &[u8]) -> usize {
    let terminators: [&[u8]; 5] =
        [b"\n", b"\r", "\u{85}".as_bytes(), "\u{2028}".as_bytes(), "\u{2029}".as_bytes()];
    (0..text.len())
        .find(|&at| text.get(at..).is_some_and(|rest| terminators.iter().any(|end| rest.starts_with(end))))
        .unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(tag: Tag, cases: &[(&[u8], &[u8])]) {
        for (key, expected) in cases {
            assert_eq!(tag.tagged(key), *expected, "{tag:?} of {}", key.escape_ascii());
        }
    }

    #[test]
    fn braces_follow_the_cluster_specification() {
        check(
            Tag::Braces,
            &[
                (b"{user1000}.following", b"user1000"),
                (b"foo{}{bar}", b"foo{}{bar}"),
                (b"foo{{bar}}zap", b"{bar"),
                (b"foo{bar}{zap}", b"bar"),
                (b"", b""),
                (b"}a{", b"}a{"),
                (b"}{a}", b"a"),
            ],
        );
    }

    #[test]
    fn whole_knows_no_tags() {
        check(Tag::Whole, &[(b"{a}b", b"{a}b")]);
    }

    #[test]
    fn twemproxy_takes_any_two_bytes() {
        let dollars = Tag::Between { open: b'$', close: b'$' };
        check(dollars, &[(b"x$a$y", b"a"), (b"$$", b"$$"), (b"$$a$", b"$$a$"), (b"a$", b"a$")]);
        check(Tag::Between { open: b'}', close: b'{' }, &[(b"{a}b{c", b"b")]);
    }

    #[test]
    fn redis_rb_looks_at_line_starts_only() {
        check(
            Tag::RedisRb,
            &[
                (b"{a}b", b"a"),
                (b"a{b}", b"a{b}"),
                (b"{}}", b"}"),
                (b"{}{a}", b"}{a"),
                (b"a\n{b}", b"b"),
                (b"{a\n}b", b"{a\n}b"),
                (b"{a\n{b}", b"b"),
                (b"{}", b"{}"),
                (b"\n", b"\n"),
            ],
        );
    }

    #[test]
    fn phpredis_counts_the_empty_tag_and_stops_at_nul() {
        check(
            Tag::PhpRedis,
            &[
                (b"{}x", b""),
                (b"a{b}c", b"b"),
                (b"a\0{b}c", b"a\0{b}c"),
                (b"{a\0}b", b"{a\0}b"),
                (b"{a}\0b", b"a"),
            ],
        );
    }

    #[test]
    fn jedis_follows_its_pattern() {
        check(
            Tag::Jedis,
            &[
                (b"a{b}c", b"b"),
                (b"{}}", b"}"),
                (b"{}{a}", b"}{a"),
                (b"{\n{a}", b"a"),
                (b"{a\r}{b}", b"b"),
                ("{\u{2028}}{b}".as_bytes(), b"b"),
                ("{é}x".as_bytes(), "é".as_bytes()),
                (b"{a}\xff", b"{a}\xff"),
                (b"{}", b"{}"),
            ],
        );
    }
}
