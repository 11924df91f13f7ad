//! TLS towards clients: from certificates to a rustls configuration.

use std::sync::Arc;

use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{Error, RootCertStore, ServerConfig, crypto};

use crate::config::{ServerTls, named};

/// What clients are met with.
///
/// # Errors
/// What is wrong with which file, in words. Secrets are not repeated.
pub(crate) fn config(tls: &ServerTls) -> Result<Arc<ServerConfig>, String> {
    let identity = tls.identity.as_ref().ok_or("the certificate was not read")?;
    let provider = Arc::new(crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| format!("tls: {error}"))?;
    let files = &tls.files;
    let builder = match tls.client_ca.as_ref().zip(files.client_ca.as_deref()) {
        None => builder.with_no_client_auth(),
        Some((authorities, file)) => {
            let wrong = |error: String| format!("tls: client_ca: {}: {error}", named(file));
            let mut roots = RootCertStore::empty();
            for certificate in certificates(authorities).map_err(wrong)? {
                roots.add(certificate).map_err(|error| wrong(words(&error)))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            let verifier = if tls.required { verifier } else { verifier.allow_unauthenticated() };
            let verifier = verifier.build().map_err(|error| wrong(error.to_string()))?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let (cert, key) = (named(&files.cert), named(&files.key));
    let chain = certificates(&identity.certificate).map_err(|error| format!("tls: cert: {cert}: {error}"))?;
    let private = PrivateKeyDer::from_pem_slice(identity.key.reveal().as_bytes());
    let private = private.map_err(|error| match error {
        pem::Error::NoItemsFound => format!("tls: key: {key} has no key without a passphrase"),
        error => format!("tls: key: {key}: {error}"),
    })?;
    if chain.is_empty() {
        return Err(format!("tls: cert: {cert} has no line -----BEGIN CERTIFICATE-----"));
    }
    let config = builder.with_single_cert(chain, private).map_err(|error| match error {
        Error::InconsistentKeys(_) => {
            format!("tls: cert and key: the key in {key} is not that of the certificate in {cert}")
        }
        Error::InvalidCertificate(_) => format!("tls: cert: {cert}: {}", words(&error)),
        error => format!("tls: cert and key: {cert} and {key}: {error}"),
    })?;
    Ok(Arc::new(config))
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
