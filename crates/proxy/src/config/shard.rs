//! `[[ring.shard]]`: the servers of a ring.

use rendis_core::placement::Node;
use rendis_engine::address::{Address, ServerUrl};
use rendis_engine::secret::Secret;
use rendis_engine::settings::{ClientCertificate, TlsSettings};
use rendis_engine::tls::Tls;
use toml::de::DeTable;

use super::error::{ConfigError, Errors};
use super::fields;
use super::listen;
use super::secret;
use super::section::{Document, Field, Section, Span};

/// One server of a ring.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shard {
    /// `name`: its name, unique in the ring. Required.
    pub name: String,
    /// `url`: where it listens, and the database. Required. A password that `password_file` gives is put in here.
    pub url: ServerUrl,
    /// `weight`: its share, where the placement knows weights. Default: the placement's own (1, or 100 for predis).
    pub weight: Option<u32>,
    /// `id`: what placement hashes for it, where it is not the placement's default. Refused where positions are hashed.
    pub id: Option<String>,
    /// `named`: Jedis only, whether the shard has a name there. Default: false.
    pub named: bool,
    /// `tls = { ca, cert, key, server_name }`, where the URL says TLS. Files are PEM, and named relative to the configuration
    /// file. `ca`: the certificates to trust; default: the system's. `cert` and `key`: the client's own; default: none.
    /// `server_name`: the name that the server's certificate must carry; default: the host of the URL.
    pub tls: Option<TlsSettings>,
}

impl Shard {
    /// What placement has to know of it.
    #[must_use]
    pub fn node(&self) -> Node {
        let address = self.url.address.on_ring(self.url.tls, self.url.database);
        let (id, weight, named) = (self.id.clone(), self.weight, self.named);
        Node { name: self.name.clone(), address, id, weight, named }
    }
}

/// A shard, and where its parts stand in the file.
pub(super) struct Placed {
    pub(super) shard: Shard,
    pub(super) name: Span,
    pub(super) weight: Option<Span>,
    pub(super) named: Option<Span>,
    pub(super) id: Option<Span>,
}

/// Reads one; `number` counts from 1, `ring` is the place of the ring.
pub(super) fn read(
    document: Document<'_>,
    table: &DeTable<'_>,
    span: Span,
    ring: &str,
    number: usize,
) -> Result<Placed, ConfigError> {
    let named = table.get("name").and_then(|name| name.get_ref().as_str());
    let place = match named {
        Some(name) => format!("{ring}shard {}: ", super::values::quoted(name)),
        None => format!("{ring}shard {number}: "),
    };
    let section = Section::open(document, table, span, place, &fields::SHARD)?;
    let mut errors = Errors::default();
    let name_field = errors.keep(section.required("name"));
    let name = name_field.as_ref().and_then(|field| errors.keep(field.name()));
    let url = errors.keep(section.required("url").and_then(|field| server_url(&field)));
    let weight =
        section.value(&mut errors, "weight", None, |field| field.integer(0..=u32::MAX.into()).map(Some));
    let id = section.value(&mut errors, "id", None, |field| match field.text()? {
        "" => Err(field.wrong("a string that is not empty")),
        id => Ok(Some(id.to_owned())),
    });
    let named = section.value(&mut errors, "named", false, Field::boolean);
    let way = way(&section, &mut errors, url);
    let place = |name| section.field(name).map(|field| field.span());
    let (Some(field), Some(name), Some((url, tls))) = (name_field, name, way) else {
        return errors.or(()).and_then(|()| Err(section.error("it cannot be read")));
    };
    errors.or(Placed {
        shard: Shard { name, url, weight, id, named, tls },
        name: field.span(),
        weight: place("weight"),
        named: place("named"),
        id: place("id"),
    })
}

/// How a server is reached: its URL with the password from a file, and the settings of TLS. What of these depends on the
/// URL is looked at where that can be read.
fn way(
    section: &Section<'_>,
    errors: &mut Errors,
    url: Option<ServerUrl>,
) -> Option<(ServerUrl, Option<TlsSettings>)> {
    let mut password = None;
    if let Some(field) = section.field("password_file") {
        if url.as_ref().is_some_and(|url| url.password.is_some()) {
            errors.add(field.error("the url has a password already; allowed: one of both"));
        } else {
            password = errors.keep(secret::line(&field)).flatten();
        }
    }
    let tls_field = section.field("tls");
    let settings = tls_field.as_ref().map(|field| errors.keep(tls(field)));
    let mut url = url?;
    url.password = url.password.or(password);
    let tls = match (tls_field, settings) {
        (Some(field), _) if !url.tls => {
            errors
                .add(field.error("the url is without TLS; allowed: tls where the url begins with rediss://"));
            None
        }
        (Some(field), Some(settings)) => {
            let settings = settings?;
            errors.keep(tried(&field, &settings, &url));
            Some(settings)
        }
        _ => url.tls.then(TlsSettings::default),
    };
    Some((url, tls))
}

/// Whether a connection to this server could be begun with `tls`.
fn tried(field: &Field<'_>, settings: &TlsSettings, url: &ServerUrl) -> Result<(), ConfigError> {
    if let (Some(system), Address::Tcp { host, .. }) = (field.document().tries_certificates, &url.address) {
        Tls::new(settings, host, system).map_err(|error| field.error(error.text()))?;
    }
    Ok(())
}

fn server_url(field: &Field<'_>) -> Result<ServerUrl, ConfigError> {
    let text = field.text()?;
    let sources = field.document().sources;
    let variable = |name: &str| match &sources.lookup {
        Some(lookup) => (lookup.variable)(name),
        None => Some(String::new()),
    };
    let url = ServerUrl::parse_with(text, &variable).map_err(|error| field.error(&error.to_string()))?;
    if let Address::Unix(path) = &url.address {
        listen::check_socket(path).map_err(|error| field.error(&error))?;
    }
    Ok(url)
}

fn tls(field: &Field<'_>) -> Result<TlsSettings, ConfigError> {
    let section = field.section(&fields::SHARD_TLS)?;
    let ca = section.read("ca", None, |field| pem_file(&field, "CERTIFICATE"))?;
    let client = match (section.field("cert"), section.field("key")) {
        (None, None) => None,
        (Some(cert), Some(key)) => identity(&cert, &key)?,
        _ => return Err(section.error("only one of cert and key is given; allowed: both or none")),
    };
    let server_name = section.read("server_name", None, |field| field.name().map(Some))?;
    Ok(TlsSettings { ca: ca.unwrap_or_default(), client, server_name })
}

/// The contents of two PEM files: a certificate, and its key, which nobody is there to unlock.
pub(super) fn identity(cert: &Field<'_>, key: &Field<'_>) -> Result<Option<ClientCertificate>, ConfigError> {
    let certificate = pem_file(cert, "CERTIFICATE")?;
    let Some(bytes) = pem_file(key, "PRIVATE KEY")? else { return Ok(None) };
    let wrong = |what: &str| Err(key.error(&format!("{} {what}", secret::named(&secret::path(key)?))));
    let Ok(text) = String::from_utf8(bytes) else { return wrong("is not PEM") };
    if ENCRYPTED.iter().any(|sign| text.contains(sign)) {
        return wrong("is encrypted; allowed: a key without a passphrase");
    }
    Ok(certificate.map(|certificate| ClientCertificate { certificate, key: Secret::new(text) }))
}

/// As keys are written by PKCS #8, and as older programs write them.
const ENCRYPTED: [&str; 2] = ["-----BEGIN ENCRYPTED PRIVATE KEY-----", "Proc-Type: 4,ENCRYPTED"];

/// The contents of a PEM file in which there is at least one such block.
pub(super) fn pem_file(field: &Field<'_>, label: &str) -> Result<Option<Vec<u8>>, ConfigError> {
    let shown = secret::named(&secret::path(field)?);
    let Some(bytes) = secret::file(field, &shown)? else { return Ok(None) };
    let text = String::from_utf8_lossy(&bytes);
    let found = text
        .lines()
        .any(|line| line.starts_with("-----BEGIN ") && line.trim_end().ends_with(&format!("{label}-----")));
    if !found {
        return Err(field.error(&format!("{shown} has no line -----BEGIN {label}-----; allowed: PEM files")));
    }
    Ok(Some(bytes))
}
