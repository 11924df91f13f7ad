//! A ring on one thread without a listener: its clients are handed in. For tests and fuzzing, and for programs that
//! accept clients in a way of their own.

use std::sync::Arc;

use rendis_engine::error::{Error, Kind};
use rendis_engine::transport::{Io, Transport};

use crate::client;
use crate::config;
use crate::context::{Context, Shared};
use crate::identity::Identity;
use crate::peer::Peer;
use crate::settings;

/// A ring at work. Its connections to shards end when it and the last of its clients are gone.
pub struct Embedded {
    context: Arc<Context>,
}

impl Embedded {
    /// Starts the ring on the current runtime, over connections of this transport. Where the configuration says to
    /// listen is not looked at.
    ///
    /// # Errors
    /// [`Kind::Config`] when a setting cannot be used.
    pub async fn start(ring: &config::Ring, transport: &Transport) -> Result<Self, Error> {
        let shared = Shared::new(ring, 0).map_err(|text| Error::local(Kind::Config, text))?;
        let engine = settings::start_over(ring, Arc::clone(&shared.coordinator), transport).await?;
        // The runtime is the caller's, which nobody moderates.
        let context = Context::new(Arc::new(shared), &engine, Arc::default());
        Ok(Self { context: Arc::new(context) })
    }

    /// Begins to serve a client, in a task of its own; the handle ends when the client has left.
    pub fn serve(&self, client: Box<dyn Io>) -> tokio::task::JoinHandle<()> {
        let here = || "embedded:0".to_owned();
        let identity = Box::new(Identity::new(&self.context.shared, here(), here()));
        tokio::spawn(client::serve(Peer::Other(client), identity, Arc::clone(&self.context)))
    }
}

impl Drop for Embedded {
    /// The threads' list holds the engine, and the engine the ring's connections.
    fn drop(&mut self) {
        self.context.shared.disband();
    }
}

impl std::fmt::Debug for Embedded {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_tuple("Embedded").field(&self.context.shared.name).finish()
    }
}
