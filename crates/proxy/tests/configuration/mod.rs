//! What must hold for any text as a configuration: the check that the property tests and the fuzz target share. It panics
//! where something does not hold.

use std::io;
use std::path::Path;

use rendis_proxy::config::{self, Lookup, Sources};

/// As the tests look for it in what is shown; what comes after it would end a password that is put into a URL as it is.
const SECRET: &str = "hunter2@h:1/2";

/// Reads this text with secrets and without:
///
/// - it is a configuration or errors, each on one line, about a line of the text;
/// - no secret that the text only names is shown;
/// - reading it again gives the same.
pub(crate) fn of(text: &str) {
    let variable = |name: &str| (name != "UNSET").then(|| SECRET.to_owned());
    let read = |path: &Path| match path.extension().and_then(|name| name.to_str()) {
        Some("pem") => {
            Ok(format!("-----BEGIN CERTIFICATE-----\n{SECRET}\n-----BEGIN PRIVATE KEY-----\n").into())
        }
        Some("gone") => Err(io::ErrorKind::NotFound.into()),
        _ => Ok(format!("{SECRET}\n").into()),
    };
    for lookup in [None, Some(Lookup { variable: &variable, read: &read })] {
        let sources = Sources { file: "f", directory: Path::new("/etc"), lookup };
        let found = config::parse(text, &sources);
        let mut shown = format!("{found:?}");
        if let Err(error) = &found {
            for error in error.all() {
                let message = error.to_string();
                assert!(!message.contains(char::is_control), "more than one line: {message:?}");
                let lines = 1..=text.matches('\n').count() + 1;
                assert!(
                    error.line().is_none_or(|line| lines.contains(&line)),
                    "no line of the text: {message}"
                );
                shown += &message;
            }
        }
        assert!(text.contains("hunter2") || !shown.contains("hunter2"), "a secret: {shown}");
        assert_eq!(config::parse(text, &sources), found);
    }
}
