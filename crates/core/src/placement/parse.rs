//! `like = "…"` and its options, as a configuration writes them.

use std::fmt;
use std::num::NonZeroU32;

use super::error::SpecError;
use super::options::{
    Distribution, EnvoyHash, EnvoyMaglev, EnvoyRingHash, Jedis, JedisHash, RoshiHash, Twemproxy,
};
use super::spec::Spec;
use crate::hash::{CharSign, TwemproxyHash};

/// The value of an option, before it is known what the option allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OptionValue {
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Integer(i64),
    /// A string.
    Text(String),
}

impl Spec {
    /// The preset of this name with these options; options that are not given have their defaults.
    ///
    /// # Errors
    /// One [`SpecError`], which says what was found and what is allowed: an unknown preset or option, an option given
    /// twice, a value that the option cannot have, a choice that cannot be reproduced.
    ///
    /// ```
    /// use rendis_core::placement::Spec;
    /// let error = Spec::parse("roshi", [("hash".to_owned(), "sha1".into())]).unwrap_err();
    /// assert_eq!(
    ///     error.to_string(),
    ///     r#"placement: "roshi" cannot have hash = "sha1"; allowed: "murmur3", "fnv1", "fnv1a""#,
    /// );
    /// ```
    pub fn parse(
        like: &str,
        options: impl IntoIterator<Item = (String, OptionValue)>,
    ) -> Result<Self, SpecError> {
        let Some(&(preset, allowed)) = OPTIONS.iter().find(|(preset, _)| *preset == like) else {
            return Err(SpecError::UnknownPreset { found: like.to_owned() });
        };
        let options = Options::new(preset, allowed, options)?;
        match preset {
            "go-redis-v7" => Ok(Self::go_redis_v7(options.positive("replicas", 100)?)),
            "roshi" => Ok(Self::roshi(options.choice("hash", &ROSHI_HASHES)?)),
            "twemproxy" => options.twemproxy().map(Self::twemproxy),
            "redis-rb" => Ok(Self::redis_rb()),
            "redis-rb-4" => Ok(Self::redis_rb_4()),
            "predis" => Ok(Self::predis()),
            "predis-ketama" => Ok(Self::predis_ketama()),
            "phpredis" => Ok(Self::phpredis(options.flag("consistent")?)),
            "jedis" => options.jedis().map(Self::jedis),
            "jedis-2.9" => options.jedis().map(Self::jedis_2_9),
            "envoy-ring-hash" => Self::envoy_ring_hash(EnvoyRingHash {
                hash_function: options.choice("hash_function", &ENVOY_HASHES)?,
                minimum_ring_size: options.positive("minimum_ring_size", 1024)?.get(),
                maximum_ring_size: options.positive("maximum_ring_size", 8_388_608)?.get(),
                hash_tag: options.flag("hash_tag")?,
            }),
            "envoy-maglev" => Self::envoy_maglev(EnvoyMaglev {
                table_size: options.positive("table_size", 65_537)?.get(),
                hash_tag: options.flag("hash_tag")?,
            }),
            "jump" => Ok(Self::jump()),
            _ => Ok(Self::go_redis()),
        }
    }
}

/// The presets with the options of each.
const OPTIONS: [(&str, &[&str]); Spec::PRESETS.len()] = [
    ("go-redis", &[]),
    ("go-redis-v7", &["replicas"]),
    ("roshi", &["hash"]),
    ("twemproxy", &["distribution", "hash", "hash_tag", "unsigned_char"]),
    ("redis-rb", &[]),
    ("redis-rb-4", &[]),
    ("predis", &[]),
    ("predis-ketama", &[]),
    ("phpredis", &["consistent"]),
    ("jedis", &["hash", "hash_tag"]),
    ("jedis-2.9", &["hash", "hash_tag"]),
    ("envoy-ring-hash", &["hash_function", "minimum_ring_size", "maximum_ring_size", "hash_tag"]),
    ("envoy-maglev", &["table_size", "hash_tag"]),
    ("jump", &[]),
];

/// The names of a choice's values, the default first.
type Choices<T, const N: usize> = [(&'static str, T); N];

const ROSHI_HASHES: Choices<RoshiHash, 3> =
    [("murmur3", RoshiHash::Murmur3), ("fnv1", RoshiHash::Fnv1), ("fnv1a", RoshiHash::Fnv1a)];
const DISTRIBUTIONS: Choices<Distribution, 2> =
    [("ketama", Distribution::Ketama), ("modula", Distribution::Modula)];
const JEDIS_HASHES: Choices<JedisHash, 2> = [("murmur", JedisHash::Murmur), ("md5", JedisHash::Md5)];
const ENVOY_HASHES: Choices<EnvoyHash, 2> =
    [("xx_hash", EnvoyHash::XxHash), ("murmur_hash_2", EnvoyHash::Murmur2)];

/// The options given, all of which the preset has, each once.
struct Options {
    preset: &'static str,
    given: Vec<(String, OptionValue)>,
}

impl Options {
    fn new(
        preset: &'static str,
        allowed: &[&str],
        options: impl IntoIterator<Item = (String, OptionValue)>,
    ) -> Result<Self, SpecError> {
        let mut given: Vec<(String, OptionValue)> = Vec::new();
        for (option, value) in options {
            if !allowed.contains(&option.as_str()) {
                let allowed = if allowed.is_empty() { "none".to_owned() } else { allowed.join(", ") };
                return Err(SpecError::UnknownOption { preset, found: option, allowed });
            }
            if given.iter().any(|(earlier, _)| *earlier == option) {
                return Err(SpecError::RepeatedOption { option });
            }
            given.push((option, value));
        }
        Ok(Self { preset, given })
    }

    fn twemproxy(&self) -> Result<Twemproxy, SpecError> {
        if let Some(found @ OptionValue::Text(name)) = self.value("distribution")
            && name == "random"
        {
            return Err(SpecError::Unreproducible {
                preset: self.preset,
                option: "distribution",
                found: found.to_string(),
                reason: "it sends each request to a random server, whatever the key",
            });
        }
        let mut hashes = TwemproxyHash::ALL.map(|hash| (hash.name(), hash));
        hashes.sort_by_key(|&(_, hash)| hash != TwemproxyHash::default());
        let unsigned = self.flag("unsigned_char")?;
        Ok(Twemproxy {
            distribution: self.choice("distribution", &DISTRIBUTIONS)?,
            hash: self.choice("hash", &hashes)?,
            hash_tag: self.two_bytes("hash_tag")?,
            char_sign: if unsigned { CharSign::Unsigned } else { CharSign::Signed },
        })
    }

    fn jedis(&self) -> Result<Jedis, SpecError> {
        Ok(Jedis { hash: self.choice("hash", &JEDIS_HASHES)?, hash_tag: self.flag("hash_tag")? })
    }

    fn value(&self, option: &str) -> Option<&OptionValue> {
        self.given.iter().find(|(given, _)| given == option).map(|(_, value)| value)
    }

    /// A number from 1.
    fn positive(&self, option: &'static str, default: u32) -> Result<NonZeroU32, SpecError> {
        let number = match self.value(option) {
            None => Some(default),
            Some(OptionValue::Integer(number)) => u32::try_from(*number).ok(),
            Some(_) => None,
        };
        number
            .and_then(NonZeroU32::new)
            .ok_or_else(|| self.bad(option, format!("a whole number from 1 to {}", u32::MAX)))
    }

    /// `false` when it is not given.
    fn flag(&self, option: &'static str) -> Result<bool, SpecError> {
        match self.value(option) {
            None => Ok(false),
            Some(OptionValue::Bool(flag)) => Ok(*flag),
            Some(_) => Err(self.bad(option, "false, true".to_owned())),
        }
    }

    /// The first choice when it is not given.
    fn choice<T: Clone, const N: usize>(
        &self,
        option: &'static str,
        choices: &Choices<T, N>,
    ) -> Result<T, SpecError> {
        let chosen = match self.value(option) {
            None => choices.first(),
            Some(OptionValue::Text(text)) => choices.iter().find(|(name, _)| name == text),
            Some(_) => None,
        };
        chosen.map(|(_, value)| value.clone()).ok_or_else(|| {
            let names: Vec<_> = choices.iter().map(|(name, _)| format!("{name:?}")).collect();
            self.bad(option, names.join(", "))
        })
    }

    fn two_bytes(&self, option: &'static str) -> Result<Option<[u8; 2]>, SpecError> {
        match self.value(option) {
            None => Some(None),
            Some(OptionValue::Text(text)) => text.as_bytes().try_into().ok().map(Some),
            Some(_) => None,
        }
        .ok_or_else(|| self.bad(option, "two characters such as \"{}\"; leave it out for none".to_owned()))
    }

    fn bad(&self, option: &'static str, allowed: String) -> SpecError {
        let found = self.value(option).map(OptionValue::to_string).unwrap_or_default();
        SpecError::BadValue { preset: self.preset, option, found, allowed }
    }
}

impl fmt::Display for OptionValue {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(flag) => write!(out, "{flag}"),
            Self::Integer(number) => write!(out, "{number}"),
            Self::Text(text) => write!(out, "{text:?}"),
        }
    }
}

impl From<bool> for OptionValue {
    fn from(flag: bool) -> Self {
        Self::Bool(flag)
    }
}

impl From<i64> for OptionValue {
    fn from(number: i64) -> Self {
        Self::Integer(number)
    }
}

impl From<&str> for OptionValue {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for OptionValue {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(like: &str, options: &[(&str, OptionValue)]) -> Result<Spec, SpecError> {
        Spec::parse(like, options.iter().map(|(name, value)| ((*name).to_owned(), value.clone())))
    }

    #[test]
    fn every_preset_parses_with_its_defaults_under_its_own_name() {
        assert_eq!(OPTIONS.map(|(preset, _)| preset), Spec::PRESETS);
        for preset in Spec::PRESETS.iter().copied() {
            assert_eq!(parse(preset, &[]).unwrap().like(), preset);
        }
        assert_eq!(parse("go-redis", &[]).unwrap(), Spec::default());
        assert_eq!(parse("roshi", &[]).unwrap(), Spec::roshi(RoshiHash::Murmur3));
        assert_eq!(parse("twemproxy", &[]).unwrap(), Spec::twemproxy(Twemproxy::default()));
        assert_eq!(parse("envoy-ring-hash", &[]), Spec::envoy_ring_hash(EnvoyRingHash::default()));
        assert_eq!(parse("envoy-maglev", &[]), Spec::envoy_maglev(EnvoyMaglev::default()));
    }

    #[test]
    fn options_are_read() {
        assert_eq!(
            parse(
                "twemproxy",
                &[
                    ("distribution", "modula".into()),
                    ("hash", "hsieh".into()),
                    ("hash_tag", "$$".into()),
                    ("unsigned_char", true.into()),
                ]
            ),
            Ok(Spec::twemproxy(Twemproxy {
                distribution: Distribution::Modula,
                hash: TwemproxyHash::Hsieh,
                hash_tag: Some(*b"$$"),
                char_sign: CharSign::Unsigned,
            }))
        );
        assert_eq!(
            parse("jedis-2.9", &[("hash", "md5".into()), ("hash_tag", true.into())]),
            Ok(Spec::jedis_2_9(Jedis { hash: JedisHash::Md5, hash_tag: true }))
        );
        assert_eq!(parse("phpredis", &[("consistent", true.into())]), Ok(Spec::phpredis(true)));
        assert_eq!(
            parse("go-redis-v7", &[("replicas", 7.into())]),
            Ok(Spec::go_redis_v7(NonZeroU32::new(7).unwrap()))
        );
    }

    #[test]
    fn errors_say_what_was_found_and_what_is_allowed() {
        let text = |like, options: &[(&str, OptionValue)]| parse(like, options).unwrap_err().to_string();
        assert!(
            text("goredis", &[]).contains("\"goredis\" is not known; allowed: go-redis, go-redis-v7, roshi")
        );
        assert_eq!(
            text("go-redis", &[("hash", "md5".into())]),
            "placement: \"go-redis\" has no option \"hash\"; allowed: none"
        );
        assert_eq!(
            text("jedis", &[("tag", true.into())]),
            "placement: \"jedis\" has no option \"tag\"; allowed: hash, hash_tag"
        );
        assert_eq!(
            text("jedis", &[("hash_tag", "{}".into())]),
            "placement: \"jedis\" cannot have hash_tag = \"{}\"; allowed: false, true"
        );
        assert!(text("twemproxy", &[("distribution", "random".into())]).contains("cannot be reproduced"));
        assert!(
            text("twemproxy", &[("hash", "sha1".into())])
                .contains("allowed: \"fnv1a_64\", \"one_at_a_time\"")
        );
        assert!(text("twemproxy", &[("hash_tag", "{".into())]).contains("two characters"));
        assert!(text("go-redis-v7", &[("replicas", 0.into())]).contains("from 1"));
        assert!(
            text("go-redis-v7", &[("replicas", 1.into()), ("replicas", 1.into())]).contains("given twice")
        );
        assert!(
            text("envoy-maglev", &[("table_size", 65_536.into())]).contains("a prime number up to 5000011")
        );
        assert!(
            text("envoy-ring-hash", &[("minimum_ring_size", 8.into()), ("maximum_ring_size", 7.into())])
                .contains("1 to 7, which is maximum_ring_size")
        );
        assert!(text("envoy-ring-hash", &[("maximum_ring_size", 8_388_609.into())]).contains("1 to 8388608"));
    }
}
