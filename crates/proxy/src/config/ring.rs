//! Reads `[[ring]]`.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;
use std::time::Duration;

use rendis_core::command::{Blocks, Class, Flags, Found, LocalCommand, Table};
use rendis_core::outlier;
use rendis_core::placement::{Node, OptionValue, Placement, PlacementError, Spec, SpecError};
use rendis_core::plan::{Allow, AllowError};
use rendis_core::request::RequestBuf;
use rendis_core::session::QueueLimits;
use rendis_engine::settings::{Deadlines, OnDown, OnReturn};
use toml::de::{DeTable, DeValue};

use super::error::{ConfigError, Errors};
use super::fields;
use super::listen::{self, Listen, Listeners};
use super::section::{Document, Field, Section, Span};
use super::server_tls;
use super::settings::{Health, OnLost, Retries, Ring};
use super::shard::{self, Shard};
use super::users;
use super::values;

const MILLISECOND: Duration = Duration::from_millis(1);
const HOUR: Duration = Duration::from_secs(3600);

/// Reads one; `number` counts from 1.
pub(super) fn read(
    document: Document<'_>,
    table: &DeTable<'_>,
    span: Span,
    number: usize,
    listeners: &mut Listeners,
) -> Result<Ring, ConfigError> {
    let title = match table.get("name").and_then(|name| name.get_ref().as_str()) {
        Some(name) => format!("ring {}", values::quoted(name)),
        None => format!("ring {number}"),
    };
    let section = Section::new(document, table, span, format!("{title}: "));
    spelt(&section)?;
    let mut errors = Errors::default();
    let name = errors.keep(section.required("name").and_then(|field| field.name())).unwrap_or_default();
    // What depends on something else is not looked at where that cannot be read.
    let listen = errors.keep(addresses(&section));
    for (address, span) in listen.iter().flatten() {
        let added = listeners.add(address, &title);
        errors.keep(added.map_err(|message| document.error(span, format!("{}{message}", section.place()))));
    }
    let tls = listen.as_ref().and_then(|listen| errors.keep(server_tls::read(&section, listen)));
    let listen = listen.unwrap_or_default();
    let placement =
        errors.keep(section.read("placement", Spec::default(), |field| spec(&field, section.place())));
    let shards = errors.keep(shards(&section, placement.as_ref()));
    let (users, no_auth) = errors.keep(users::read(&section, &listen)).unwrap_or_default();
    let on_down = section.value(&mut errors, "on_down", OnDown::Reroute, |field| {
        field.choice(&[("reroute", OnDown::Reroute), ("fail", OnDown::Fail), ("miss", OnDown::Miss)])
    });
    let on_return = section.value(&mut errors, "on_return", OnReturn::Forget, |field| {
        field.choice(&[("forget", OnReturn::Forget), ("keep", OnReturn::Keep), ("flush", OnReturn::Flush)])
    });
    let on_lost = section.value(&mut errors, "on_lost", OnLost::Error, |field| {
        field.choice(&[("error", OnLost::Error), ("close", OnLost::Close)])
    });
    let (max_ejected, slow_ejection) = ejection(&section, &mut errors, on_down, shards.as_deref());
    let health = health(&section, &mut errors);
    let deadlines = section.value(&mut errors, "deadlines", Deadlines::default(), |field| deadlines(&field));
    let retries = section.value(&mut errors, "retries", Retries::default(), |field| retries(&field));
    let queue = section.value(&mut errors, "queue", QUEUE, |field| queue(&field));
    let drain = section
        .value(&mut errors, "drain", Duration::from_secs(10), |field| field.duration(Duration::ZERO..=HOUR));
    let max_clients = section.value(&mut errors, "max_clients", 10_000, |field| field.integer(1..=1_000_000));
    let client_memory = section.value(&mut errors, "client_memory", 1 << 30, |field| field.bytes(64 << 20));
    let allow = section.value(&mut errors, "allow", Allow::default(), |field| commands(&field));
    errors.or(Ring {
        name,
        listen: listen.into_iter().map(|(address, _)| address).collect(),
        tls: tls.flatten(),
        placement: placement.unwrap_or_default(),
        on_down,
        on_return,
        on_lost,
        max_ejected,
        slow_ejection,
        health,
        deadlines,
        retries,
        queue,
        drain,
        max_clients,
        client_memory,
        allow,
        no_auth,
        users,
        shards: shards.unwrap_or_default(),
    })
}

/// Where there are unknown fields, or fields of the ring behind the head of a shard or user, nothing else is looked at but
/// shards and users by themselves: what seems to be missing, or to be at its default, may be what was misspelt or misplaced.
fn spelt(section: &Section<'_>) -> Result<(), ConfigError> {
    let mut errors = Errors::default();
    section.unknown(&fields::RING).for_each(|error| errors.add(error));
    let misplaced = [("shard", &fields::SHARD), ("user", &fields::USER)].into_iter().any(|(name, own)| {
        let tables = section.field(name).and_then(|field| field.tables().ok()).unwrap_or_default();
        let mut names = tables.into_iter().flat_map(|(table, _)| table.keys());
        names.any(|name| {
            let name = name.get_ref().as_ref();
            fields::RING.names.contains(&name) && !own.names.contains(&name)
        })
    });
    if misplaced || !errors.is_empty() {
        if section.field("shard").is_some() {
            errors.keep(shards(section, None));
        }
        errors.keep(users::read(section, &[]));
    }
    errors.or(())
}

fn addresses(section: &Section<'_>) -> Result<Vec<listen::Placed>, ConfigError> {
    let Some(field) = section.field("listen") else {
        let default = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 6380);
        return Ok(vec![(Listen::Tcp(default), section.span())]);
    };
    let mut errors = Errors::default();
    let mut addresses = Vec::new();
    for item in field.texts(true)? {
        let address = errors.keep(Listen::read(&item, Listen::ALLOWED));
        addresses.extend(address.map(|address| (address, item.span())));
    }
    errors.or(addresses)
}

/// `placement`; what presets and options there are is core's to say.
fn spec(field: &Field<'_>, place: &str) -> Result<Spec, ConfigError> {
    let table = match field.text() {
        Ok(like) => {
            let like = Spec::PRESETS.iter().find(|preset| **preset == like).unwrap_or(&"go-redis");
            return Err(
                field.error(&format!("found a string; allowed: a table, as in {{ like = \"{like}\" }}"))
            );
        }
        Err(_) => field.table()?,
    };
    let document = field.document();
    let allowed = || format!("allowed: {}", Spec::PRESETS.join(", "));
    let like = match table.get("like") {
        Some(like) => like.get_ref().as_str(),
        None => return Err(field.error(&format!("the field like is missing; {}", allowed()))),
    };
    let like = like.ok_or_else(|| field.error(&format!("like is not a string; {}", allowed())))?;
    let mut options = Vec::new();
    for (name, value) in table.iter().filter(|(name, _)| name.get_ref() != "like") {
        let option = match value.get_ref() {
            DeValue::Boolean(flag) => OptionValue::Bool(*flag),
            DeValue::String(text) => OptionValue::Text(text.to_string()),
            other => OptionValue::Integer(values::integer(other).ok_or_else(|| {
                let found = values::describe(other);
                let message = format!("{place}placement: {}: found {found}", name.get_ref().escape_debug());
                document.error(
                    &value.span(),
                    format!("{message}; allowed: a string, a whole number, true, false"),
                )
            })?),
        };
        options.push((name.get_ref().to_string(), option));
    }
    Spec::parse(like, options).map_err(|error| {
        let named = match &error {
            SpecError::UnknownOption { found, .. } => found.as_str(),
            SpecError::BadValue { option, .. } | SpecError::Unreproducible { option, .. } => option,
            _ => "like",
        };
        let span = table.get(named).map_or_else(|| field.span(), |value| value.span());
        document.error(&span, format!("{place}{error}"))
    })
}

/// All of them; without a placement it is not looked at whether they suit it.
fn shards(section: &Section<'_>, spec: Option<&Spec>) -> Result<Vec<Shard>, ConfigError> {
    let document = section.document;
    let tables = section.read("shard", Vec::new(), |field| field.tables())?;
    if tables.is_empty() {
        return Err(
            section.error("there is no shard; allowed: at least one [[ring.shard]] with name and url")
        );
    }
    let mut placed = Vec::with_capacity(tables.len());
    let mut lines = HashMap::new();
    let mut errors = Errors::default();
    for (at, (table, span)) in tables.into_iter().enumerate() {
        let read = shard::read(document, table, span, section.place(), at + 1);
        let Some(one) = errors.keep(read) else { continue };
        if lines.insert(one.shard.name.clone(), placed.len()).is_some() {
            let name = values::quoted(&one.shard.name);
            let message =
                format!("{}name: found {name} for two shards; allowed: each name once", section.place());
            errors.add(document.error(&one.name, message));
        }
        placed.push(one);
    }
    let placed = errors.or(placed)?;
    let nodes: Vec<Node> = placed.iter().map(|one| one.shard.node()).collect();
    let built = spec.map(|spec| Placement::build(spec, &nodes, &vec![true; nodes.len()]));
    if let Some(Err(error)) = built {
        let find = |name: &String| lines.get(name).and_then(|at| placed.get(*at));
        let span = match &error {
            PlacementError::WeightUnsupported { shard, .. } | PlacementError::WeightZero { shard, .. } => {
                find(shard).and_then(|one| one.weight.clone())
            }
            PlacementError::NamedUnsupported { shard, .. } => find(shard).and_then(|one| one.named.clone()),
            PlacementError::IdUnsupported { shard, .. } => find(shard).and_then(|one| one.id.clone()),
            PlacementError::EmptyIdentity { shard, .. }
            | PlacementError::LongIdentity { shard, .. }
            | PlacementError::RepeatedIdentity { second: shard, .. } => {
                find(shard).map(|one| one.id.clone().unwrap_or_else(|| one.name.clone()))
            }
            _ => None,
        };
        return Err(
            document.error(&span.unwrap_or_else(|| section.span()), format!("{}{error}", section.place()))
        );
    }
    Ok(placed.into_iter().map(|one| one.shard).collect())
}

fn health(section: &Section<'_>, errors: &mut Errors) -> Health {
    let default = Health::default();
    Health {
        frequency: section.value(errors, "heartbeat_frequency", default.frequency, |field| {
            field.duration(Duration::from_millis(10)..=HOUR)
        }),
        timeout: section
            .value(errors, "heartbeat_timeout", default.timeout, |field| field.duration(MILLISECOND..=HOUR)),
        fall: section.value(errors, "fall", default.fall, |field| field.integer(1..=1000)),
        rise: section.value(errors, "rise", default.rise, |field| field.integer(1..=1000)),
        probe: section.value(errors, "probe", default.probe, |field| probe(&field)),
    }
}

/// `probe`; a shard would look dead by one that waits, or that spoils the connection for those after it, and harm is done by
/// one that is sent several times a second for ever.
fn probe(field: &Field<'_>) -> Result<Vec<String>, ConfigError> {
    let items = field.texts(false)?;
    let words = items.iter().map(Field::text).collect::<Result<Vec<_>, _>>()?;
    let request = RequestBuf::pack(words.iter().map(|word| word.as_bytes()).collect::<Vec<_>>());
    let table = Table::default();
    let because = match table.find(request.view()) {
        Found::Row(row) if !row.takes(words.len()) => "which servers refuse with so many words",
        Found::Row(row) => match row.class() {
            _ if row.blocks(request.view()) != Blocks::No => "which waits on the server",
            Class::Subscription(_) => "which subscribes",
            Class::Transaction(_)
            | Class::Refused { allowable: false, .. }
            | Class::Local(
                LocalCommand::Auth
                | LocalCommand::ClientReply
                | LocalCommand::Hello
                | LocalCommand::Quit
                | LocalCommand::Reset
                | LocalCommand::Select,
            ) => "which changes the connection for the probes after it",
            _ if row.flags().has(Flags::ADMIN) => "which is for administrators",
            // A key's value changes with each probe; all values go with a `FLUSHALL`.
            _ if row.flags().has(Flags::WRITE) && row.specs().is_empty() => "which changes more than a key",
            _ => "",
        },
        Found::UnknownSubcommand(_) => "which no server knows",
        // A module's, perhaps.
        Found::Unknown => "",
    };
    if !because.is_empty() {
        let found = values::quoted(&words.join(" "));
        let allowed = "a command that is answered at once, such as [\"PING\"]";
        return Err(field.error(&format!("found {found}, {because}; allowed: {allowed}")));
    }
    Ok(words.into_iter().map(str::to_owned).collect())
}

fn max_ejected(field: &Field<'_>, shards: usize) -> Result<usize, ConfigError> {
    let most = shards.saturating_sub(1);
    field.integer(0..=i64::try_from(most).unwrap_or(i64::MAX)).map_err(|_| {
        field.wrong(&format!("a whole number from 0 to {most}, because the last shard is never taken out"))
    })
}

/// `max_ejected` and `slow_ejection`. How many may be taken out is not looked at where the shards cannot be read.
fn ejection(
    section: &Section<'_>,
    errors: &mut Errors,
    on_down: OnDown,
    shards: Option<&[Shard]>,
) -> (Option<usize>, Option<outlier::Settings>) {
    let most = shards.and_then(|shards| {
        section.value(errors, "max_ejected", None, |field| max_ejected(&field, shards.len()).map(Some))
    });
    let slow = section.value(errors, "slow_ejection", None, |field| slow_ejection(&field).map(Some));
    let field = section.field("slow_ejection");
    if let Some(field) = field.filter(|_| on_down != OnDown::Reroute || most == Some(0)) {
        let message =
            "no shard is ever taken out; allowed: with on_down = \"reroute\" and a max_ejected above 0";
        errors.add(field.error(message));
    }
    (most, slow)
}

fn slow_ejection(field: &Field<'_>) -> Result<outlier::Settings, ConfigError> {
    let default = outlier::Settings::default();
    let section = field.section(&fields::SLOW_EJECTION)?;
    let mut errors = Errors::default();
    let duration = |errors: &mut Errors, name, default| {
        section.value(errors, name, default, |field| field.duration(MILLISECOND..=HOUR))
    };
    let number = |errors: &mut Errors, name, default: NonZeroU32| {
        let number = section.value(errors, name, default.get(), |field| field.integer(1..=1000));
        NonZeroU32::new(number).unwrap_or(default)
    };
    let settings = outlier::Settings {
        factor: number(&mut errors, "factor", default.factor),
        floor: duration(&mut errors, "floor", default.floor),
        window: duration(&mut errors, "window", default.window),
        windows: number(&mut errors, "windows", default.windows),
        rest: duration(&mut errors, "rest", default.rest),
    };
    errors.or(settings)
}

fn deadlines(field: &Field<'_>) -> Result<Deadlines, ConfigError> {
    let default = Deadlines::default();
    let section = field.section(&fields::DEADLINES)?;
    let mut errors = Errors::default();
    let mut read =
        |name, default| section.value(&mut errors, name, default, |field| field.duration(MILLISECOND..=HOUR));
    let deadlines = Deadlines {
        connect: read("connect", default.connect),
        reply: read("reply", default.reply),
        write: read("write", default.write),
        wait: read("wait", default.wait),
    };
    errors.or(deadlines)
}

fn retries(field: &Field<'_>) -> Result<Retries, ConfigError> {
    let default = Retries::default();
    let section = field.section(&fields::RETRIES)?;
    let mut errors = Errors::default();
    let pause = |name, default| section.read(name, default, |field| field.duration(MILLISECOND..=HOUR));
    let first = errors.keep(pause("first", default.first));
    let longest = errors.keep(pause("longest", default.longest));
    if let (Some(first), Some(longest)) = (first, longest)
        && first > longest
    {
        let show = humantime::format_duration;
        let (first, longest) = (show(first), show(longest));
        errors.add(section.error(&format!("first is \"{first}\"; allowed: up to longest, \"{longest}\"")));
    }
    let retries = Retries {
        attempts: section.value(&mut errors, "attempts", default.attempts, |field| field.integer(1..=100)),
        first: first.unwrap_or_default(),
        longest: longest.unwrap_or_default(),
        idempotent_writes: section.value(
            &mut errors,
            "idempotent_writes",
            default.idempotent_writes,
            Field::boolean,
        ),
    };
    errors.or(retries)
}

/// More requests than an engine's own limit: clients are limited by their windows, and 500 of them with full ones on one
/// thread are more than 16 384 requests on each of three wires. Bytes limit what it takes.
const QUEUE: QueueLimits = QueueLimits { requests: 1 << 18, bytes: 64 << 20 };

fn queue(field: &Field<'_>) -> Result<QueueLimits, ConfigError> {
    let section = field.section(&fields::QUEUE)?;
    let mut errors = Errors::default();
    let limits = QueueLimits {
        requests: section
            .value(&mut errors, "requests", QUEUE.requests, |field| field.integer(1..=16_777_216)),
        bytes: section.value(&mut errors, "bytes", QUEUE.bytes, |field| field.bytes(1024)),
    };
    errors.or(limits)
}

/// `allow`; what can be let through is core's to say.
fn commands(field: &Field<'_>) -> Result<Allow, ConfigError> {
    let (table, items) = (Table::default(), field.texts(false)?);
    let names = items.iter().map(Field::text).collect::<Result<Vec<_>, _>>()?;
    let mut errors = Errors::default();
    for (item, name) in items.iter().zip(&names) {
        let because = match Allow::new([*name], &table) {
            Ok(_) => continue,
            Err(AllowError::NotRefused(_)) => "which nobody refuses",
            Err(AllowError::Never { because, .. }) => &format!("which is never let through: {because}"),
            Err(_) => "which is no command that is known",
        };
        let found = values::quoted(name);
        let allowed = "commands that administer servers, such as \"SAVE\" or \"CONFIG REWRITE\"";
        errors.add(item.error(&format!("found {found}, {because}; allowed: {allowed}")));
    }
    errors.or(())?;
    Allow::new(names, &table).map_err(|error| field.error(&error.to_string()))
}
