//! TLS towards clients, as it is in force.

use std::sync::Arc;

use tokio_rustls::rustls::ServerConfig;

use crate::config::ServerTls;

/// What clients are met with.
///
/// # Errors
/// What is wrong with which file, in words. Secrets are not repeated.
pub(crate) fn config(tls: &ServerTls) -> Result<Arc<ServerConfig>, String> {
    tls.server_config().map_err(|wrong| format!("tls: {wrong}"))
}
