//! TLS towards clients: from certificates to a rustls configuration.

use std::sync::Arc;

use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{Error, RootCertStore, ServerConfig, crypto};

use crate::config::ServerTls;

/// What clients are met with.
///
/// # Errors
/// What is wrong with a certificate or key, in words. Secrets are not repeated.
pub(crate) fn config(tls: &ServerTls) -> Result<Arc<ServerConfig>, String> {
    let identity = tls.identity.as_ref().ok_or("the certificate was not read")?;
    let provider = Arc::new(crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| format!("tls: {error}"))?;
    let builder = match &tls.client_ca {
        None => builder.with_no_client_auth(),
        Some(authorities) => {
            let mut roots = RootCertStore::empty();
            for certificate in
                certificates(authorities).map_err(|error| format!("tls: client_ca: {error}"))?
            {
                roots.add(certificate).map_err(|error| format!("tls: client_ca: {error}"))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            let verifier = if tls.required { verifier } else { verifier.allow_unauthenticated() };
            let verifier = verifier.build().map_err(|error| format!("tls: client_ca: {error}"))?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let chain = certificates(&identity.certificate).map_err(|error| format!("tls: cert: {error}"))?;
    let key = PrivateKeyDer::from_pem_slice(identity.key.reveal().as_bytes())
        .map_err(|error| format!("tls: key: {error}"))?;
    if chain.is_empty() {
        return Err("tls: cert: the file has no line -----BEGIN CERTIFICATE-----".to_owned());
    }
    let config = builder.with_single_cert(chain, key).map_err(|error| match error {
        Error::InconsistentKeys(_) => "tls: cert and key: the key is not that of the certificate".to_owned(),
        error => format!("tls: cert and key: {error}"),
    })?;
    Ok(Arc::new(config))
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().map_err(|error| error.to_string())
}
