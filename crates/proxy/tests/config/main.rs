//! What a configuration says, and how it is refused; the fuzz target `config` calls the check of any text.
#![expect(clippy::panic, reason = "helpers of tests fail the test")]

mod access;
#[path = "../configuration/mod.rs"]
mod configuration;
mod mistakes;
mod reading;

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};

use rendis_proxy::config::{self, Config, ConfigError, Lookup, Sources};

const PEM: &str = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
const KEY: &str = "-----BEGIN PRIVATE KEY-----\nhunter2\n-----END PRIVATE KEY-----\n";

fn parse(text: &str) -> Result<Config, ConfigError> {
    let variables =
        HashMap::from([("PW", "hunter2"), ("SESSIONS_PASSWORD", "a@b"), ("APP_PASSWORD", "hunter4")]);
    let files = HashMap::from([
        ("ca.pem", PEM),
        ("ring.pem", PEM),
        ("ring.key", KEY),
        ("clients.pem", PEM),
        ("client.pem", PEM),
        ("client.key", KEY),
        ("locked.key", "-----BEGIN ENCRYPTED PRIVATE KEY-----\nhunter2\n"),
        ("old.key", "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nhunter2\n"),
        ("secrets/s2", "hunter2\n"),
        ("two-lines", "hunter2\nhunter3\n"),
        ("empty", ""),
    ]);
    let files: HashMap<PathBuf, &str> =
        files.into_iter().map(|(name, text)| (Path::new("/etc").join(name), text)).collect();
    let variable = |name: &str| variables.get(name).map(|&value| value.to_owned());
    let read = |path: &Path| match files.get(path) {
        Some(text) => Ok(text.as_bytes().to_vec()),
        None => Err(io::Error::from(io::ErrorKind::NotFound)),
    };
    let lookup = Some(Lookup { variable: &variable, read: &read });
    config::parse(text, &Sources { file: "f.toml", directory: Path::new("/etc"), lookup })
}

fn refused(text: &str) -> String {
    match parse(text) {
        Ok(config) => panic!("{text}\nwas read as {config:?}"),
        Err(error) => {
            assert_eq!(error.all().len(), 1, "{:#?}", error.all());
            let message = error.to_string();
            assert!(!message.contains(char::is_control) && !message.contains("hunter"), "{message:?}");
            message
        }
    }
}

/// A ring of two shards; what is given stands in the ring's table, which begins on line 1.
fn ring(fields: &str) -> String {
    format!("[[ring]]\nname = \"cache\"\n{fields}\n{}", shard("a", "") + &shard("b", ""))
}

fn shard(name: &str, fields: &str) -> String {
    format!("[[ring.shard]]\nname = \"{name}\"\nurl = \"redis://{name}:7001\"\n{fields}\n")
}
