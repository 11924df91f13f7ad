//! Tables and their fields, read one by one.
//!
//! Why not `serde`'s derive: its errors repeat the value found, which here may be a password, and know neither the
//! ring nor the shard they lie in. So tables are walked by hand over the spans that the parser gives.

use std::ops::{Range, RangeInclusive};
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use rendis_engine::tls::SystemRoots;

use super::Sources;
use super::error::{ConfigError, Errors};
use super::fields::Fields;
use super::values;

/// A place in the file, in bytes.
pub(super) type Span = Range<usize>;

/// The file being read.
#[derive(Clone, Copy)]
pub(super) struct Document<'a> {
    pub(super) text: &'a str,
    pub(super) sources: &'a Sources<'a>,
    /// Where certificates and keys that were read are tried: those that the system trusts.
    pub(super) tries_certificates: Option<&'a SystemRoots>,
}

impl Document<'_> {
    /// An error at a place.
    pub(super) fn error(&self, span: &Span, message: impl Into<String>) -> ConfigError {
        let before = self.text.get(..span.start).unwrap_or(self.text);
        let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
        ConfigError::new(self.sources.file, Some(line), message)
    }
}

/// A table of the file.
pub(super) struct Section<'a> {
    pub(super) document: Document<'a>,
    table: &'a DeTable<'a>,
    span: Span,
    /// `ring "cache", shard "shard2": `, or nothing at the top.
    place: String,
}

/// A field that is there.
pub(super) struct Field<'a> {
    document: Document<'a>,
    value: &'a DeValue<'a>,
    span: Span,
    /// With the place before it.
    name: String,
}

impl<'a> Section<'a> {
    /// The table, whose fields are to be looked at with [`Section::unknown`].
    pub(super) const fn new(
        document: Document<'a>,
        table: &'a DeTable<'a>,
        span: Span,
        place: String,
    ) -> Self {
        Self { document, table, span, place }
    }

    /// The table, where all names of its fields are known.
    pub(super) fn open(
        document: Document<'a>,
        table: &'a DeTable<'a>,
        span: Span,
        place: String,
        fields: &Fields,
    ) -> Result<Self, ConfigError> {
        let section = Self::new(document, table, span, place);
        let mut errors = Errors::default();
        section.unknown(fields).for_each(|error| errors.add(error));
        errors.or(section)
    }

    /// An error about each field that is not among these, in the order of the file.
    pub(super) fn unknown(&self, fields: &Fields) -> impl Iterator<Item = ConfigError> {
        let mut keys: Vec<_> = self.table.iter().map(|(key, _)| key).collect();
        keys.retain(|key| !fields.names.contains(&key.get_ref().as_ref()));
        keys.sort_by_key(|key| key.span().start);
        keys.into_iter().map(|key| {
            self.document.error(&key.span(), format!("{}{}", self.place, fields.unknown(key.get_ref())))
        })
    }

    /// An error about the table as a whole.
    pub(super) fn error(&self, message: &str) -> ConfigError {
        self.document.error(&self.span, format!("{}{message}", self.place))
    }

    pub(super) fn place(&self) -> &str {
        &self.place
    }

    pub(super) fn span(&self) -> Span {
        self.span.clone()
    }

    pub(super) fn field(&self, name: &str) -> Option<Field<'a>> {
        let value = self.table.get(name)?;
        let name = format!("{}{name}", self.place);
        Some(Field { document: self.document, value: value.get_ref(), span: value.span(), name })
    }

    pub(super) fn required(&self, name: &str) -> Result<Field<'a>, ConfigError> {
        self.field(name).ok_or_else(|| self.error(&format!("the field {name} is missing")))
    }

    /// The field's value by `read`, or the default where the field is absent.
    pub(super) fn read<T>(
        &self,
        name: &str,
        default: T,
        read: impl FnOnce(Field<'a>) -> Result<T, ConfigError>,
    ) -> Result<T, ConfigError> {
        self.field(name).map_or(Ok(default), read)
    }

    /// As [`Section::read`], with the default where there is an error, which is kept.
    pub(super) fn value<T: Clone>(
        &self,
        errors: &mut Errors,
        name: &str,
        default: T,
        read: impl FnOnce(Field<'a>) -> Result<T, ConfigError>,
    ) -> T {
        errors.keep(self.read(name, default.clone(), read)).unwrap_or(default)
    }
}

impl<'a> Field<'a> {
    pub(super) fn span(&self) -> Span {
        self.span.clone()
    }

    pub(super) const fn document(&self) -> Document<'a> {
        self.document
    }

    /// An error about this field, beginning with its name.
    pub(super) fn error(&self, message: &str) -> ConfigError {
        self.document.error(&self.span, format!("{}: {message}", self.name))
    }

    /// The error that the field has another value than it may.
    pub(super) fn wrong(&self, allowed: &str) -> ConfigError {
        self.error(&format!("found {}; allowed: {allowed}", values::describe(self.value)))
    }

    /// As [`Field::wrong`], without the value.
    fn wrong_type(&self, allowed: &str) -> ConfigError {
        self.error(&format!("found {}; allowed: {allowed}", values::kind(self.value)))
    }

    pub(super) fn text(&self) -> Result<&'a str, ConfigError> {
        self.value.as_str().ok_or_else(|| self.wrong_type("a string"))
    }

    /// A string with something in it, all of it printable.
    pub(super) fn name(&self) -> Result<String, ConfigError> {
        let text = self.text()?;
        if text.is_empty() || text.chars().any(char::is_control) {
            return Err(self.wrong("a string that is not empty and has no control characters"));
        }
        Ok(text.to_owned())
    }

    pub(super) fn boolean(self) -> Result<bool, ConfigError> {
        self.value.as_bool().ok_or_else(|| self.wrong("true, false"))
    }

    /// A whole number in this range.
    pub(super) fn integer<T: TryFrom<i64>>(&self, range: RangeInclusive<i64>) -> Result<T, ConfigError> {
        let number = values::integer(self.value).filter(|number| range.contains(number));
        number
            .and_then(|number| T::try_from(number).ok())
            .ok_or_else(|| self.wrong(&format!("a whole number from {} to {}", range.start(), range.end())))
    }

    /// A duration in this range.
    pub(super) fn duration(&self, range: RangeInclusive<Duration>) -> Result<Duration, ConfigError> {
        let duration =
            self.value.as_str().and_then(values::duration).filter(|duration| range.contains(duration));
        duration.ok_or_else(|| {
            let (from, to) =
                (humantime::format_duration(*range.start()), humantime::format_duration(*range.end()));
            self.wrong(&format!("a duration from \"{from}\" to \"{to}\", such as \"500ms\" or \"1s\""))
        })
    }

    /// A number of bytes, at least `least`.
    pub(super) fn bytes(&self, least: usize) -> Result<usize, ConfigError> {
        const EXAMPLES: [(&str, usize); 3] =
            [("\"64KiB\"", 64 << 10), ("\"64MiB\"", 64 << 20), ("\"1GiB\"", 1 << 30)];
        values::bytes(self.value).filter(|bytes| *bytes >= least).ok_or_else(|| {
            let good = EXAMPLES.iter().filter(|(_, bytes)| *bytes >= least).map(|(text, _)| *text);
            let good = good.collect::<Vec<_>>().join(", ");
            self.wrong(&format!("a number of bytes from {least}, or a string such as {good}"))
        })
    }

    /// One of these.
    pub(super) fn choice<T: Copy>(&self, choices: &[(&str, T)]) -> Result<T, ConfigError> {
        let chosen = self.value.as_str().and_then(|text| choices.iter().find(|(name, _)| *name == text));
        chosen.map(|(_, value)| *value).ok_or_else(|| {
            let names: Vec<_> = choices.iter().map(|(name, _)| format!("\"{name}\"")).collect();
            self.wrong(&names.join(", "))
        })
    }

    /// A table with these fields.
    pub(super) fn section(&self, fields: &Fields) -> Result<Section<'a>, ConfigError> {
        let table = self.table()?;
        Section::open(self.document, table, self.span(), format!("{}: ", self.name), fields)
    }

    pub(super) fn table(&self) -> Result<&'a DeTable<'a>, ConfigError> {
        self.value.as_table().ok_or_else(|| self.wrong_type("a table"))
    }

    /// The tables of `[[name]]`.
    pub(super) fn tables(&self) -> Result<Vec<(&'a DeTable<'a>, Span)>, ConfigError> {
        let refuse = || {
            self.wrong_type(
                "tables, each begun by its name in [[double brackets]], before what belongs to it",
            )
        };
        let array = self.value.as_array().ok_or_else(refuse)?;
        array
            .iter()
            .map(|one| one.get_ref().as_table().map(|table| (table, one.span())).ok_or_else(refuse))
            .collect()
    }

    /// The strings of a list; a single string is a list of one where `lone` says so.
    pub(super) fn texts(&self, lone: bool) -> Result<Vec<Self>, ConfigError> {
        let allowed = if lone { "a string or a list of strings" } else { "a list of strings" };
        if lone && self.value.as_str().is_some() {
            return Ok(vec![self.item(self.value, self.span())]);
        }
        let array = self.value.as_array().ok_or_else(|| self.wrong_type(allowed))?;
        if array.is_empty() || array.iter().any(|item| item.get_ref().as_str().is_none()) {
            return Err(
                self.error(&format!("found a list that is empty or not of strings; allowed: {allowed}"))
            );
        }
        Ok(array.iter().map(|item| self.item(item.get_ref(), Spanned::span(item))).collect())
    }

    fn item(&self, value: &'a DeValue<'a>, span: Span) -> Self {
        Self { document: self.document, value, span, name: self.name.clone() }
    }
}
