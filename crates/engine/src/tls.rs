//! TLS towards servers: the configuration and the handshake, through rustls.

use std::sync::{Arc, OnceLock};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{CertificateError, ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::error::{Cause, Error, Kind};
use crate::settings::TlsSettings;

/// The certificates that the system trusts, read when they are first needed: that takes longer than a client likes to wait,
/// so all servers that are made known together share one.
#[derive(Debug, Default)]
pub struct SystemRoots(OnceLock<(Arc<RootCertStore>, String)>);

impl SystemRoots {
    /// The certificates, and what kept some from being read.
    fn get(&self) -> &(Arc<RootCertStore>, String) {
        self.0.get_or_init(|| {
            let native = rustls_native_certs::load_native_certs();
            let mut roots = RootCertStore::empty();
            roots.add_parsable_certificates(native.certs);
            let errors: Vec<_> = native.errors.iter().map(ToString::to_string).collect();
            (Arc::new(roots), errors.join("; "))
        })
    }
}

/// A checked TLS configuration for one server.
#[derive(Clone)]
pub struct Tls {
    connector: TlsConnector,
    server_name: ServerName<'static>,
}

impl Tls {
    /// Reads certificates and key. `host` is the name that the server's certificate must carry where the settings
    /// give none.
    ///
    /// # Errors
    /// [`Kind::Config`] when a certificate, key or name cannot be used.
    pub fn new(settings: &TlsSettings, host: &str, system: &SystemRoots) -> Result<Self, Error> {
        let refuse = |what: &str, why: &dyn std::fmt::Display| {
            Error::local(Kind::Config, format!("TLS {what}: {why}"))
        };
        let roots = if settings.ca.is_empty() {
            let (roots, errors) = system.get();
            if roots.is_empty() {
                let why = if errors.is_empty() { "" } else { ": " };
                return Err(refuse(
                    "CA",
                    &format!("the system trusts no certificate{why}{errors}; name one with `ca`"),
                ));
            }
            Arc::clone(roots)
        } else {
            let mut roots = RootCertStore::empty();
            for certificate in CertificateDer::pem_slice_iter(&settings.ca) {
                let certificate = certificate.map_err(|error| refuse("CA", &error))?;
                roots.add(certificate).map_err(|error| refuse("CA", &error))?;
            }
            if roots.is_empty() {
                return Err(refuse("CA", &"there is no certificate in it"));
            }
            Arc::new(roots)
        };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| refuse("versions", &error))?
            .with_root_certificates(roots);
        let config = match &settings.client {
            None => builder.with_no_client_auth(),
            Some(client) => {
                let chain: Vec<_> = CertificateDer::pem_slice_iter(&client.certificate)
                    .collect::<Result<_, _>>()
                    .map_err(|error| refuse("client certificate", &error))?;
                let key = PrivateKeyDer::from_pem_slice(client.key.reveal().as_bytes())
                    .map_err(|error| refuse("client key", &error))?;
                builder
                    .with_client_auth_cert(chain, key)
                    .map_err(|error| refuse("client certificate", &error))?
            }
        };
        let name = settings.server_name.as_deref().unwrap_or(host);
        let server_name =
            ServerName::try_from(name.to_owned()).map_err(|error| refuse("server name", &error))?;
        Ok(Self { connector: TlsConnector::from(Arc::new(config)), server_name })
    }

    /// The handshake.
    ///
    /// # Errors
    /// A cause of [`Kind::Tls`].
    pub async fn handshake<S>(&self, socket: S) -> Result<TlsStream<S>, Arc<Cause>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        self.connector.connect(self.server_name.clone(), socket).await.map_err(|error| {
            let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>());
            // Of an authority of the same name, too, the signature is wrong.
            let hint = match cause {
                Some(rustls::Error::InvalidCertificate(
                    CertificateError::UnknownIssuer | CertificateError::BadSignature,
                )) => " (who signed it is not trusted; name that certificate authority with `ca`)",
                _ => "",
            };
            let text = format!("TLS handshake failed: {error}{hint}");
            Cause::caused_by(Kind::Tls, text, error)
        })
    }
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Tls({:?})", self.server_name)
    }
}
