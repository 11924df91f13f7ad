//! Passwords from the environment and from files.

use std::io;
use std::path::{Path, PathBuf};

use rendis_engine::secret::Secret;

use super::error::ConfigError;
use super::section::Field;

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

/// The password in the file that the field names, without the line end that editors leave. The file's name is not
/// repeated in errors: it may be the password itself, by mistake.
pub(super) fn line(field: &Field<'_>) -> Result<Option<Secret>, ConfigError> {
    let Some(bytes) = file(field, |_| "the file".to_owned())? else { return Ok(None) };
    let text = String::from_utf8(bytes).map_err(|_| field.error("the file is not UTF-8"))?;
    let text = text.strip_suffix('\n').unwrap_or(&text);
    let text = text.strip_suffix('\r').unwrap_or(text);
    if text.is_empty() || text.contains(['\n', '\r']) {
        return Err(field.error("the file is empty or has several lines; allowed: one line, the password"));
    }
    Ok(Some(Secret::new(text)))
}

/// The contents of the file that the field names; `None` when files are not to be read. `shown` is what an error calls
/// the file.
pub(super) fn file(
    field: &Field<'_>,
    shown: impl FnOnce(&Path) -> String,
) -> Result<Option<Vec<u8>>, ConfigError> {
    let path = path(field)?;
    let Some(lookup) = &field.document().sources.lookup else { return Ok(None) };
    let explain = |error: io::Error| {
        let from = "names are relative to the configuration file";
        field.error(&format!("{} cannot be read ({from}): {error}", shown(&path)))
    };
    (lookup.read)(&path).map(Some).map_err(explain)
}

/// The file that the field names.
pub(super) fn path(field: &Field<'_>) -> Result<PathBuf, ConfigError> {
    match field.text()? {
        "" => Err(field.wrong("the name of a file")),
        name => Ok(field.document().sources.directory.join(name)),
    }
}
