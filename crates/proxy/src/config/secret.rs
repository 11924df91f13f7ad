//! Passwords from the environment and from files, and other files that the configuration names.

use std::io;
use std::path::{Path, PathBuf};

use rendis_engine::secret::Secret;

use super::error::ConfigError;
use super::section::Field;
use super::values;

/// The text of a field with `${NAME}` replaced by that variable of the environment, `$${` by `${`; `None` when secrets
/// are left out. Neither text nor values are repeated in errors.
pub(super) fn filled(field: &Field<'_>) -> Result<Option<String>, ConfigError> {
    let mut rest = field.text()?;
    let Some(lookup) = &field.document().sources.lookup else { return Ok(None) };
    let mut filled = String::new();
    while let Some((before, after)) = rest.split_once("${") {
        if let Some(before) = before.strip_suffix('$') {
            filled.push_str(before);
            filled.push_str("${");
            rest = after;
            continue;
        }
        let (name, after) = after
            .split_once('}')
            .ok_or_else(|| field.error("there is ${ without }; a literal ${ is written $${"))?;
        let good = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
        if name.is_empty() || !name.chars().all(good) {
            return Err(field.error("there is ${…} with a name that is not of letters, digits and _"));
        }
        let value = (lookup.variable)(name)
            .ok_or_else(|| field.error(&format!("the environment has no variable {name}")))?;
        filled.push_str(before);
        filled.push_str(&value);
        rest = after;
    }
    filled.push_str(rest);
    Ok(Some(filled))
}

/// The password in the file that the field names, without the line end that editors leave. A name that does not begin at
/// the root, or with a dot, is not repeated in errors, because it may be the password itself, by mistake, which may have a
/// slash in it; where it was looked for is.
pub(super) fn line(field: &Field<'_>) -> Result<Option<Secret>, ConfigError> {
    let path = path(field)?;
    let text = field.text()?;
    let is_path = ["./", "../"].iter().any(|start| text.starts_with(start))
        || text.strip_prefix('/').is_some_and(|rest| rest.contains('/'));
    let shown = if is_path {
        named(&path)
    } else {
        let directory = field.document().sources.directory.to_string_lossy();
        let directory = if directory.is_empty() { "." } else { &directory };
        format!("the file of this name in {}", values::quoted(directory))
    };
    let wrong = |what: &str| field.error(&format!("{shown} {what}"));
    let Some(bytes) = file(field, &shown)? else { return Ok(None) };
    let text = String::from_utf8(bytes).map_err(|_| wrong("is not UTF-8"))?;
    let text = text.strip_suffix('\n').unwrap_or(&text);
    let text = text.strip_suffix('\r').unwrap_or(text);
    if text.is_empty() || text.contains(['\n', '\r']) {
        return Err(wrong("is empty or has several lines; allowed: one line, the password"));
    }
    Ok(Some(Secret::new(text)))
}

/// The contents of the file that the field names; `None` when files are not to be read. `shown` is what an error calls
/// the file.
pub(super) fn file(field: &Field<'_>, shown: &str) -> Result<Option<Vec<u8>>, ConfigError> {
    let path = path(field)?;
    let Some(lookup) = &field.document().sources.lookup else { return Ok(None) };
    let explain = |error: io::Error| {
        let from = "names are relative to the configuration file";
        field.error(&format!("{shown} cannot be read ({from}): {error}"))
    };
    (lookup.read)(&path).map(Some).map_err(explain)
}

/// A file as errors call it. Where a key itself was given instead of the name of its file, it is not repeated.
pub(super) fn named(path: &Path) -> String {
    let name = path.to_string_lossy();
    if name.contains("-----") || name.contains(char::is_control) {
        "the file".to_owned()
    } else {
        format!("the file \"{}\"", name.escape_debug())
    }
}

/// The file that the field names.
pub(super) fn path(field: &Field<'_>) -> Result<PathBuf, ConfigError> {
    match field.text()? {
        "" => Err(field.wrong("the name of a file")),
        name => Ok(field.document().sources.directory.join(name)),
    }
}
