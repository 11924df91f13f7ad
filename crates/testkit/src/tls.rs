//! Certificates for tests.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};
use tempfile::TempDir;

/// A new certificate authority, a server certificate (for `localhost`, `127.0.0.1` and `::1`) and a client certificate
/// (common name `rendis-test-client`), as PEM files in a directory that goes when the last clone of this does.
///
/// Two values made by [`Certificates::generate`] do not trust each other: that is how a wrong authority is tested.
#[derive(Clone, Debug)]
pub struct Certificates {
    directory: Arc<TempDir>,
}

impl Certificates {
    /// Makes all of them.
    ///
    /// # Panics
    /// When the files cannot be written.
    #[must_use]
    pub fn generate() -> Self {
        // As long as the format knows years.
        Self::valid_until(4096)
    }

    /// The same, but that server and client certificate have expired.
    ///
    /// # Panics
    /// When the files cannot be written.
    #[must_use]
    pub fn expired() -> Self {
        Self::valid_until(2001)
    }

    fn valid_until(year: i32) -> Self {
        let directory =
            tempfile::Builder::new().prefix("rendis-tls-").tempdir().expect("a temporary directory");
        let this = Self { directory: Arc::new(directory) };
        let mut authority = CertificateParams::new(Vec::new()).expect("no names are good names");
        authority.distinguished_name.push(DnType::CommonName, "rendis test authority");
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().expect("a key");
        let certificate = authority.self_signed(&key).expect("a self-signed certificate");
        write(&this.ca(), &certificate.pem());
        let issuer = Issuer::new(authority, key);
        let names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
        sign(&issuer, names.to_vec(), "localhost", year, &this.server_cert(), &this.server_key());
        sign(&issuer, Vec::new(), "rendis-test-client", year, &this.client_cert(), &this.client_key());
        this
    }

    /// The authority's certificate: what a client trusts.
    #[must_use]
    pub fn ca(&self) -> PathBuf {
        self.directory.path().join("ca.pem")
    }

    /// The server's certificate.
    #[must_use]
    pub fn server_cert(&self) -> PathBuf {
        self.directory.path().join("server.pem")
    }

    /// The server's private key.
    #[must_use]
    pub fn server_key(&self) -> PathBuf {
        self.directory.path().join("server.key")
    }

    /// The client's certificate.
    #[must_use]
    pub fn client_cert(&self) -> PathBuf {
        self.directory.path().join("client.pem")
    }

    /// The client's private key.
    #[must_use]
    pub fn client_key(&self) -> PathBuf {
        self.directory.path().join("client.key")
    }
}

fn sign(
    issuer: &Issuer<'_, KeyPair>,
    names: Vec<String>,
    common: &str,
    year: i32,
    cert: &Path,
    private: &Path,
) {
    let mut params = CertificateParams::new(names).expect("good names");
    params.not_after = date_time_ymd(year, 1, 1);
    params.distinguished_name.push(DnType::CommonName, common);
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    params.use_authority_key_identifier_extension = true;
    let key = KeyPair::generate().expect("a key");
    let certificate = params.signed_by(&key, issuer).expect("a signed certificate");
    write(cert, &certificate.pem());
    write(private, &key.serialize_pem());
}

fn write(path: &Path, text: &str) {
    fs::write(path, text).unwrap_or_else(|error| panic!("cannot write {}: {error}", path.display()));
}
