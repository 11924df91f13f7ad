//! `[[ring.user]]`: who may log in to a ring, and whether anybody has to.

use std::collections::HashSet;

use crate::access::{Access, PasswordHash, Rules, User};

use super::error::{ConfigError, Errors};
use super::fields;
use super::listen::Placed;
use super::secret;
use super::section::{Document, Field, Section};
use super::values;

/// Reads the users of a ring, and `no_auth`.
pub(super) fn read(ring: &Section<'_>, listen: &[Placed]) -> Result<(Vec<User>, bool), ConfigError> {
    let mut users = Vec::new();
    let mut names = HashSet::new();
    let mut errors = Errors::default();
    for (at, (table, span)) in ring.read("user", Vec::new(), |field| field.tables())?.into_iter().enumerate()
    {
        let place = match table.get("name").and_then(|name| name.get_ref().as_str()) {
            Some(name) => format!("{}user {}: ", ring.place(), values::quoted(name)),
            None => format!("{}user {}: ", ring.place(), at + 1),
        };
        let read = Section::open(ring.document, table, span, place, &fields::USER).and_then(|section| {
            let user = user(&section)?;
            if !names.insert(user.name().to_owned()) {
                let field = section.required("name")?;
                return Err(field.error("it is the name of two users; allowed: each name once"));
            }
            Ok(user)
        });
        users.extend(errors.keep(read));
    }
    let no_auth = ring.value(&mut errors, "no_auth", false, Field::boolean);
    let users = errors.or(users)?;
    match ring.field("no_auth") {
        Some(field) if no_auth && !users.is_empty() => {
            return Err(field.error("found true, though there are users; allowed: one of both"));
        }
        _ => {}
    }
    if users.is_empty() && !no_auth {
        refuse_strangers(ring.document, ring.place(), listen)?;
    }
    Ok((users, no_auth))
}

/// Without a password, only this machine may be listened to.
fn refuse_strangers(document: Document<'_>, place: &str, listen: &[Placed]) -> Result<(), ConfigError> {
    match listen.iter().find(|(address, _)| !address.is_local()) {
        None => Ok(()),
        Some((address, span)) => {
            let message = format!(
                "{place}listen: found \"{address}\", which other machines may reach, and nobody needs a password; \
                 allowed: a [[ring.user]] with a password, or no_auth = true"
            );
            Err(document.error(span, message))
        }
    }
}

fn user(section: &Section<'_>) -> Result<User, ConfigError> {
    let mut errors = Errors::default();
    let name = errors.keep(section.required("name").and_then(|field| name(&field))).unwrap_or_default();
    let rules = errors.keep(section.read("rules", Rules::everything(), |field| rules(&field)));
    let passwords = errors.keep(passwords(section)).unwrap_or_default();
    let given =
        ["password", "password_file", "password_sha256"].iter().any(|name| section.field(name).is_some());
    match rules.as_ref().map(|rules| (given, rules.any_password())) {
        Some((true, true)) => {
            errors.add(section.error("it has a password and the rule nopass; allowed: one of both"));
        }
        Some((false, false)) => {
            let allowed = "password, password_file, password_sha256, or the rule nopass";
            let also = if name.is_empty() || name == Access::DEFAULT { "" } else { ", or no such user" };
            errors.add(section.error(&format!("it has no password; allowed: {allowed}{also}")));
        }
        // Without its rules it cannot be told whether it needs one.
        Some(_) | None => {}
    }
    errors.or(User::new(name, passwords, rules.unwrap_or_else(Rules::everything)))
}

fn name(field: &Field<'_>) -> Result<String, ConfigError> {
    let name = field.name()?;
    if name.chars().any(char::is_whitespace) {
        return Err(field.wrong("a string without blanks"));
    }
    Ok(name)
}

/// `"+@read ~cache:*"`, or a list of such strings.
fn rules(field: &Field<'_>) -> Result<Rules, ConfigError> {
    let texts = field.texts(true)?;
    let texts = texts.iter().map(Field::text).collect::<Result<Vec<_>, _>>()?;
    Rules::parse(&texts.join(" ")).map_err(|error| field.error(&error.to_string()))
}

fn passwords(section: &Section<'_>) -> Result<Vec<PasswordHash>, ConfigError> {
    let mut errors = Errors::default();
    let mut passwords = Vec::new();
    let mut each = |name, read: fn(&Field<'_>) -> Result<Option<PasswordHash>, ConfigError>| {
        let items = errors.keep(section.read(name, Vec::new(), |field| field.texts(true)));
        for item in items.into_iter().flatten() {
            passwords.extend(errors.keep(read(&item)).flatten());
        }
    };
    each("password", |item| match secret::filled(item)?.as_deref() {
        Some("") => Err(item.error("found an empty password; allowed: one with something in it")),
        password => Ok(password.map(|password| PasswordHash::of(password.as_bytes()))),
    });
    each("password_file", |item| {
        let password = secret::line(item)?;
        Ok(password.map(|password| PasswordHash::of(password.reveal().as_bytes())))
    });
    each("password_sha256", |item| {
        let hash = PasswordHash::parse(item.text()?);
        hash.map(Some).ok_or_else(|| item.error("found something else than 64 hexadecimal digits"))
    });
    errors.or(passwords)
}
