//! Who is let in: users and their passwords, other machines, and certificates. What stands in place of a file's name
//! may be a secret, and is not repeated.

use std::path::Path;

use rendis_proxy::access::Access;
use rendis_proxy::config::{self, Lookup, Sources};

use crate::{parse, refused, ring};

#[test]
fn a_certificate_that_cannot_be_read_is_named_and_a_key_in_its_place_is_not_repeated() {
    let tls = |cert: &str, key: &str| {
        let files = format!("tls = {{ cert = \"{cert}\", key = \"{key}\" }}");
        refused(&ring(&format!("listen = \"tls:127.0.0.1:1\"\n{files}")))
    };
    let why = "cannot be read (names are relative to the configuration file): entity not found";
    let named = |field: &str, file: &str| format!("f.toml:4: ring \"cache\": tls: {field}: {file} {why}");
    assert_eq!(tls("none.pem", "ring.key"), named("cert", "the file \"/etc/none.pem\""));
    assert_eq!(tls("ring.pem", "none.key"), named("key", "the file \"/etc/none.key\""));
    assert_eq!(tls("ring.pem", "-----BEGIN PRIVATE KEY-----hunter2"), named("key", "the file"));
    for locked in ["locked.key", "old.key"] {
        let expected = format!(
            "f.toml:4: ring \"cache\": tls: key: the file \"/etc/{locked}\" is encrypted; allowed: a key without a passphrase"
        );
        assert_eq!(tls("ring.pem", locked), expected);
    }
    // The system's own words, where it is the system that refuses.
    let text = ring("listen = \"tls:127.0.0.1:1\"\ntls = { cert = \"none.pem\", key = \"none.key\" }");
    let (variable, read) = (|_: &str| None, |path: &Path| std::fs::read(path));
    let lookup = Some(Lookup { variable: &variable, read: &read });
    let sources = Sources { file: "f.toml", directory: Path::new("/nowhere"), lookup };
    let message = config::parse(&text, &sources).unwrap_err().to_string();
    assert!(message.contains("\"/nowhere/none.pem\"") && message.contains("No such file"), "{message}");
}

/// A ring with one user.
fn user(fields: &str) -> String {
    ring("") + "[[ring.user]]\n" + fields
}

#[test]
fn users_log_in_with_each_of_their_passwords_wherever_it_comes_from() {
    let hash = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881";
    let text = format!(
        "name = \"app\"\npassword = [\"one\", \"a${{PW}}b\", \"$${{PW}}\"]\npassword_file = \"secrets/s2\"\n\
         password_sha256 = \"{hash}\"\n"
    );
    let config = parse(&user(&text)).unwrap();
    let users = &config.rings[0].users;
    let access = Access::new(users);
    for password in ["one", "ahunter2b", "${PW}", "hunter2", "x"] {
        assert!(access.authenticate(b"app", password.as_bytes()).is_ok(), "{password}");
    }
    for password in ["", "two", "a${PW}b", hash] {
        assert!(access.authenticate(b"app", password.as_bytes()).is_err(), "{password}");
    }
    // Without rules, everything is allowed; nobody is in without a login.
    assert!(users[0].is_unlimited() && access.initial().is_none());
    let limited = parse(&user("name = \"r\"\nrules = [\"nopass\", \"+@read ~ro:*\"]")).unwrap();
    assert!(!limited.rings[0].users[0].is_unlimited() && limited.rings[0].users[0].is_open());
    // Where secrets are left out, users are read all the same.
    let sources = Sources { file: "f.toml", directory: Path::new(""), lookup: None };
    assert_eq!(config::parse(&user(&text), &sources).unwrap().rings[0].users.len(), 1);
}

/// One mistake in a user's table, whose first line is 12.
#[test]
fn each_mistake_in_a_user_names_line_field_found_and_allowed() {
    for (fields, line, expected) in [
        ("password = \"hunter2\"", 12, "user 1: the field name is missing"),
        (
            "name = \"a b\"\npassword = \"x\"",
            13,
            "user \"a b\": name: found \"a b\"; allowed: a string without",
        ),
        (
            "name = \"a\"",
            12,
            "user \"a\": it has no password; allowed: password, password_file, password_sha256",
        ),
        (
            "name = \"a\"\npassword = \"x\"\nrules = \"nopass\"",
            12,
            "a password and the rule nopass; allowed: one",
        ),
        ("name = \"a\"\npassword = \"\"", 14, "password: found an empty password; allowed: one with"),
        ("name = \"a\"\npassword = 7", 14, "password: found a whole number; allowed: a string or a list"),
        ("name = \"a\"\npassword = \"hunter2${NOPE}\"", 14, "password: the environment has no variable NOPE"),
        ("name = \"a\"\npassword = \"hunter2${PW\"", 14, "password: there is ${ without }; a literal ${ is"),
        ("name = \"a\"\npassword = \"hunter2${P-W}\"", 14, "a name that is not of letters, digits and _"),
        (
            "name = \"a\"\npassword_file = \"hunter2\"",
            14,
            "password_file: the file of this name in \"/etc\" cannot be read",
        ),
        (
            "name = \"a\"\npassword_sha256 = \"hunter2\"",
            14,
            "found something else than 64 hexadecimal digits",
        ),
        (
            "name = \"a\"\npassword = \"x\"\nrules = \"+@raed\"",
            15,
            "rules: found \"+@raed\", which is no category",
        ),
        (
            "name = \"a\"\npassword = \"x\"\nrules = \">hunter2\"",
            15,
            "rules: found a password among the rules",
        ),
        (
            "name = \"a\"\npasword = \"hunter2\"",
            14,
            "unknown field \"pasword\"; did you mean \"password\"? allowed: name",
        ),
        (
            "name = \"a\"\npassword = \"x\"\n[[ring.user]]\nname = \"a\"\npassword = \"x\"",
            16,
            "it is the name of two users; allowed: each name once",
        ),
    ] {
        let message = refused(&user(fields));
        assert!(message.starts_with(&format!("f.toml:{line}: ring \"cache\": user ")), "{fields}: {message}");
        assert!(message.contains(expected), "{fields}: {message}");
    }
}

#[test]
fn other_machines_are_listened_to_only_with_a_password_or_where_that_is_said() {
    let there = "listen = [\"127.0.0.1:1\", \"0.0.0.0:2\"]";
    let message = refused(&ring(there));
    let expected = "f.toml:3: ring \"cache\": listen: found \"0.0.0.0:2\", which other machines may reach, and nobody \
                    needs a password; allowed: a [[ring.user]] with a password, or no_auth = true";
    assert_eq!(message, expected);
    assert!(refused(&ring("listen = \"[::]:1\"")).contains("found \"[::]:1\""));
    for here in ["127.0.0.1:1", "127.8.8.8:1", "[::1]:1", "[::ffff:127.0.0.1]:1", "unix:/s"] {
        parse(&ring(&format!("listen = \"{here}\""))).unwrap();
    }
    let config = parse(&ring(&format!("{there}\nno_auth = true"))).unwrap();
    assert!(config.rings[0].no_auth && config.rings[0].users.is_empty());
    let with_user = format!("{}[[ring.user]]\nname = \"a\"\npassword = \"x\"\n", ring(there));
    assert_eq!(parse(&with_user).unwrap().rings[0].users.len(), 1);
    let both = with_user.replace(there, &format!("{there}\nno_auth = true"));
    assert!(refused(&both).contains("f.toml:4: ring \"cache\": no_auth: found true, though there are users"));
}
