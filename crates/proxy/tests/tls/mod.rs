//! Clients that speak TLS.

#![allow(dead_code, reason = "each test uses its own part")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use rendis_proxy::serve::Proxy;
use rendis_testkit::Certificates;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned, crypto};

use crate::ring::{address, ring};

pub(crate) type TlsStream = StreamOwned<ClientConnection, TcpStream>;

/// A client that speaks TLS, and shows a certificate if it is to.
pub(crate) fn tls_client(proxy: &Proxy, trust: &Certificates, show: bool) -> TlsStream {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(trust.ca()).unwrap()).unwrap();
    let builder = ClientConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let config = if show {
        let chain = vec![CertificateDer::from_pem_file(trust.client_cert()).unwrap()];
        builder
            .with_client_auth_cert(chain, PrivateKeyDer::from_pem_file(trust.client_key()).unwrap())
            .unwrap()
    } else {
        builder.with_no_client_auth()
    };
    let name = ServerName::try_from("localhost").unwrap();
    let socket = TcpStream::connect(address(proxy, "cache")).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    StreamOwned::new(ClientConnection::new(Arc::new(config), name).unwrap(), socket)
}

pub(crate) fn ping(stream: &mut TlsStream) -> io::Result<String> {
    stream.write_all(b"*1\r\n$4\r\nPING\r\n")?;
    let mut reply = [0; 7];
    stream.read_exact(&mut reply)?;
    Ok(String::from_utf8_lossy(&reply).into_owned())
}

pub(crate) fn tls_ring(certificates: &Certificates, more: &str, urls: &[String]) -> String {
    let (cert, key) = (certificates.server_cert(), certificates.server_key());
    let tls = format!("tls = {{ cert = \"{}\", key = \"{}\"{more} }}", cert.display(), key.display());
    ring("cache", &format!("listen = \"tls:127.0.0.1:0\"\n{tls}"), urls)
}
