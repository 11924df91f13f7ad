//! TLS towards clients.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rendis_engine::secret::Secret;
use rendis_engine::settings::ClientCertificate;
use tokio_rustls::rustls::client::verify_server_cert_signed_by_trust_anchor;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use tokio_rustls::rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use tokio_rustls::rustls::{CertificateError, Error, RootCertStore, ServerConfig, crypto};

use super::error::ConfigError;
use super::fields;
use super::listen::{Listen, Placed};
use super::secret;
use super::section::{Field, Section};
use super::shard::{identity, pem_file};

/// What a ring shows to clients that speak TLS, and wants from them. Files are PEM, and named relative to the
/// configuration file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerTls {
    /// `cert` and `key`: the ring's certificate, those between it and its authority, and its private key. Required.
    /// `None` where files are not read.
    pub identity: Option<ClientCertificate>,
    /// `client_ca`: the authorities of clients' certificates. Default: none, and clients are not asked for one.
    pub client_ca: Option<Vec<u8>>,
    /// `required`: whether a client without a certificate is refused, where there is a `client_ca`. Default: true.
    pub required: bool,
    /// Where all of it was read from.
    pub files: ServerTlsFiles,
}

/// A [`ServerTls`] as clients meet it.
#[derive(Debug)]
pub(crate) struct Shown {
    pub(crate) config: Arc<ServerConfig>,
    /// When the certificate expires, in seconds since 1970, where it does.
    pub(crate) expires: Option<u64>,
}

/// The files of a [`ServerTls`], from where the process was started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerTlsFiles {
    /// `cert`
    pub cert: PathBuf,
    /// `key`
    pub key: PathBuf,
    /// `client_ca`
    pub client_ca: Option<PathBuf>,
}

impl ServerTls {
    /// The same with what its files hold now. Whether that can be used is not looked at.
    ///
    /// # Errors
    /// Which of them cannot be read, in words.
    pub fn read_again(&self) -> Result<Self, String> {
        let read = |field: &str, path: &Path| {
            std::fs::read(path)
                .map_err(|error| format!("tls: {field}: {} cannot be read: {error}", secret::named(path)))
        };
        let certificate = read("cert", &self.files.cert)?;
        let key = String::from_utf8(read("key", &self.files.key)?)
            .map_err(|_| format!("tls: key: {} is not PEM", secret::named(&self.files.key)))?;
        let identity = Some(ClientCertificate { certificate, key: Secret::new(key) });
        let client_ca = self.files.client_ca.as_deref().map(|path| read("client_ca", path)).transpose()?;
        Ok(Self { identity, client_ca, required: self.required, files: self.files.clone() })
    }

    /// What clients are met with.
    ///
    /// # Errors
    /// What is wrong with which file, in words, beginning with `tls` and its field. Secrets are not repeated.
    pub(crate) fn shown(&self) -> Result<Shown, String> {
        let config = self.made().map_err(|wrong| format!("tls: {wrong}"))?;
        Ok(Shown { config, expires: self.expires() })
    }

    fn made(&self) -> Result<Arc<ServerConfig>, String> {
        let identity = self.identity.as_ref().ok_or("the certificate was not read")?;
        let provider = Arc::new(crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?;
        let files = &self.files;
        let builder = match &self.client_ca {
            None => builder.with_no_client_auth(),
            Some(authorities) => {
                let file = files.client_ca.as_deref().map(secret::named).unwrap_or_default();
                let wrong = |error: String| format!("client_ca: {file}: {error}");
                let mut roots = RootCertStore::empty();
                for certificate in certificates(authorities).map_err(wrong)? {
                    roots.add(certificate).map_err(|error| wrong(words(&error)))?;
                }
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                let verifier = if self.required { verifier } else { verifier.allow_unauthenticated() };
                let verifier = verifier.build().map_err(|error| wrong(error.to_string()))?;
                builder.with_client_cert_verifier(verifier)
            }
        };
        let (cert, key) = (secret::named(&files.cert), secret::named(&files.key));
        let chain = certificates(&identity.certificate).map_err(|error| format!("cert: {cert}: {error}"))?;
        let private = PrivateKeyDer::from_pem_slice(identity.key.reveal().as_bytes());
        let private = private.map_err(|error| match error {
            pem::Error::NoItemsFound => format!("key: {key} has no key without a passphrase"),
            error => format!("key: {key}: {error}"),
        })?;
        if chain.is_empty() {
            return Err(format!("cert: {cert} has no line -----BEGIN CERTIFICATE-----"));
        }
        let config = builder.with_single_cert(chain, private).map_err(|error| match error {
            Error::InconsistentKeys(_) => {
                format!("cert and key: the key in {key} is not that of the certificate in {cert}")
            }
            Error::InvalidCertificate(_) => format!("cert: {cert}: {}", words(&error)),
            error => format!("cert and key: {cert} and {key}: {error}"),
        })?;
        Ok(Arc::new(config))
    }

    /// When the certificate expires, in seconds since 1970; `None` where it does not, or cannot be read.
    fn expires(&self) -> Option<u64> {
        match self.verified_at(LAST) {
            Some(CertificateError::ExpiredContext { not_after, .. }) => Some(not_after.as_secs()),
            _ => None,
        }
    }

    /// What clients will hold against the certificate at this time though it can be used: that it is not valid yet, or no
    /// more.
    #[must_use]
    pub fn out_of_date(&self, now: SystemTime) -> Option<String> {
        let how = match self.verified_at(now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default())? {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => "has expired",
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => "is not valid yet",
            _ => return None,
        };
        Some(format!("tls: cert: the certificate in {} {how}", secret::named(&self.files.cert)))
    }

    /// What is wrong with the certificate for somebody who trusts nobody, that long after the beginning of 1970: its dates
    /// first, because they need no issuer.
    fn verified_at(&self, time: Duration) -> Option<CertificateError> {
        let certificate = CertificateDer::from_pem_slice(&self.identity.as_ref()?.certificate).ok()?;
        let certificate = ParsedCertificate::try_from(&certificate).ok()?;
        let (nobody, time) = (RootCertStore::empty(), UnixTime::since_unix_epoch(time));
        match verify_server_cert_signed_by_trust_anchor(&certificate, &nobody, &[], time, &[]) {
            Err(Error::InvalidCertificate(error)) => Some(error),
            _ => None,
        }
    }
}

impl ServerTlsFiles {
    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Path> {
        [&self.cert, &self.key].into_iter().chain(&self.client_ca).map(PathBuf::as_path)
    }
}

/// Reads `tls` of a ring whose listeners are known.
pub(super) fn read(ring: &Section<'_>, listen: &[Placed]) -> Result<Option<ServerTls>, ConfigError> {
    let wanted = listen.iter().find(|(address, _)| matches!(address, Listen::Tls(_)));
    let field = match (ring.field("tls"), wanted) {
        (None, None) => return Ok(None),
        (Some(field), Some(_)) => field,
        (Some(field), None) => {
            return Err(
                field.error("no listener speaks TLS; allowed: tls where one of listen begins with tls:")
            );
        }
        (None, Some((address, span))) => {
            let message =
                format!("{}listen: \"{address}\" needs the field tls, with cert and key", ring.place());
            return Err(ring.document.error(span, message));
        }
    };
    let section = field.section(&fields::RING_TLS)?;
    let (cert, key) = (section.required("cert")?, section.required("key")?);
    let files = ServerTlsFiles {
        cert: secret::path(&cert)?,
        key: secret::path(&key)?,
        client_ca: section.read("client_ca", None, |field| secret::path(&field).map(Some))?,
    };
    let identity = identity(&cert, &key)?;
    let required = section.field("required");
    if let (Some(required), None) = (&required, section.field("client_ca")) {
        return Err(required.error("there is no client_ca; allowed: required beside client_ca"));
    }
    let client_ca = section.read("client_ca", None, |field| pem_file(&field, "CERTIFICATE"))?;
    let required = required.map_or(Ok(true), Field::boolean)?;
    let tls = ServerTls { identity, client_ca, required, files };
    if ring.document.tries_certificates.is_some() {
        tls.made().map_err(|wrong| field.error(&wrong))?;
    }
    Ok(Some(tls))
}

/// An error about a certificate of a file, which rustls calls a peer's.
fn words(error: &Error) -> String {
    match error {
        Error::InvalidCertificate(error) => format!("a certificate in it cannot be used: {error}"),
        error => error.to_string(),
    }
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().map_err(|error| error.to_string())
}

/// The last second of the year 9999, at which certificates end that do not expire (RFC 5280).
const LAST: Duration = Duration::from_secs(253_402_300_799);

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::SystemTime;

    use rendis_testkit::Certificates;

    use crate::config::{Config, ConfigError, Listen, Lookup, Secrets, Sources, load, parse};

    /// A ring with these fields from line 3 on; every file has a certificate and a key.
    fn read(fields: &str) -> Result<Config, ConfigError> {
        let shard = "[[ring.shard]]\nname = \"a\"\nurl = \"redis://127.0.0.1:7001\"\n";
        let text = format!("[[ring]]\nname = \"r\"\n{fields}\n{shard}");
        let pem = b"-----BEGIN CERTIFICATE-----\n-----BEGIN PRIVATE KEY-----\n".to_vec();
        let (none, file) = (|_: &str| None, |_: &Path| Ok(pem.clone()));
        let lookup = Some(Lookup { variable: &none, read: &file });
        parse(&text, &Sources { file: "f", directory: Path::new(""), lookup })
    }

    #[test]
    fn listeners_speak_tls_one_by_one() {
        let listen = "listen = [\"127.0.0.1:1\", \"tls:127.0.0.1:2\"]\n";
        let config =
            read(&format!("{listen}tls = {{ cert = \"c\", key = \"k\", client_ca = \"a\" }}")).unwrap();
        let ring = &config.rings[0];
        assert_eq!(ring.listen[1], Listen::Tls(([127, 0, 0, 1], 2).into()));
        assert_eq!(ring.listen[1].to_string(), "tls:127.0.0.1:2");
        let tls = ring.tls.as_ref().unwrap();
        assert!(tls.required && tls.client_ca.is_some() && tls.identity.is_some());
    }

    #[test]
    fn a_certificate_that_is_not_valid_yet_or_no_more_is_noticed() {
        let read = |certificates: &Certificates| {
            let (cert, key) = (certificates.server_cert(), certificates.server_key());
            let path = cert.with_extension("toml");
            let shard = "[[ring.shard]]\nname = \"a\"\nurl = \"redis://127.0.0.1:7001\"\n";
            let tls = format!("tls = {{ cert = \"{}\", key = \"{}\" }}", cert.display(), key.display());
            let text = format!("[[ring]]\nname = \"r\"\nlisten = \"tls:127.0.0.1:2\"\n{tls}\n{shard}");
            std::fs::write(&path, text).unwrap();
            load(&path, Secrets::Read).unwrap().rings.remove(0).tls.unwrap()
        };
        let (good, old) = (Certificates::generate(), Certificates::expired());
        let tls = read(&good);
        assert_eq!(tls.out_of_date(SystemTime::now()), None);
        let file = good.server_cert();
        let told = |how: &str| Some(format!("tls: cert: the certificate in the file {file:?} {how}"));
        assert_eq!(tls.out_of_date(SystemTime::UNIX_EPOCH), told("is not valid yet"));
        let told = read(&old).out_of_date(SystemTime::now()).unwrap();
        assert!(told.ends_with("has expired"), "{told}");
        // In the days of the first of January 4096 and 2001.
        assert_eq!(tls.expires().map(|time| time / 86_400), Some(776_506));
        assert_eq!(read(&old).expires().map(|time| time / 86_400), Some(11_323));
    }

    #[test]
    fn what_does_not_fit_together_is_told() {
        let cases = [
            (
                "tls = { cert = \"c\", key = \"k\" }",
                "f:3: ring \"r\": tls: no listener speaks TLS; allowed: tls where",
            ),
            (
                "listen = \"tls:127.0.0.1:2\"",
                "f:3: ring \"r\": listen: \"tls:127.0.0.1:2\" needs the field tls",
            ),
            (
                "listen = \"tls:127.0.0.1\"",
                "f:3: ring \"r\": listen: found \"tls:127.0.0.1\"; allowed: an IP",
            ),
            (
                "listen = \"tls:127.0.0.1:2\"\ntls = { cert = \"c\" }",
                "f:4: ring \"r\": tls: the field key is missing",
            ),
            (
                "listen = \"tls:127.0.0.1:2\"\ntls = { cert = \"c\", key = \"k\", required = true }",
                "f:4: ring \"r\": tls: required: there is no client_ca",
            ),
            (
                "listen = [\"tls:127.0.0.1:2\", \"127.0.0.1:2\"]\ntls = { cert = \"c\", key = \"k\" }",
                "f:3: ring \"r\": listen: found \"127.0.0.1:2\", but ring \"r\" listens on \"tls:127.0.0.1:2\" already",
            ),
        ];
        for (fields, wanted) in cases {
            let error = read(fields).unwrap_err().to_string();
            assert!(error.starts_with(wanted), "{error}\nis not\n{wanted}");
        }
    }
}
