//! TLS towards servers: the configuration and the handshake, through rustls.

use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::error::{Cause, Error, Kind};
use crate::settings::TlsSettings;

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
    pub fn new(settings: &TlsSettings, host: &str) -> Result<Self, Error> {
        let refuse = |what: &str, why: &dyn std::fmt::Display| {
            Error::local(Kind::Config, format!("TLS {what}: {why}"))
        };
        let mut roots = RootCertStore::empty();
        if settings.ca.is_empty() {
            let native = rustls_native_certs::load_native_certs();
            roots.add_parsable_certificates(native.certs);
        } else {
            for certificate in CertificateDer::pem_slice_iter(&settings.ca) {
                let certificate = certificate.map_err(|error| refuse("CA", &error))?;
                roots.add(certificate).map_err(|error| refuse("CA", &error))?;
            }
        }
        if roots.is_empty() {
            return Err(refuse("CA", &"no certificate to trust was found"));
        }
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
            let text = format!("TLS handshake failed: {error}");
            Cause::caused_by(Kind::Tls, text, error)
        })
    }
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Tls({:?})", self.server_name)
    }
}
