//! A ring on one thread without a listener: its clients are handed in. For tests and fuzzing, and for programs that
//! accept clients in a way of their own.

use std::sync::Arc;

use rendis_engine::error::{Error, Kind};
use rendis_engine::transport::{Io, Transport};
use tokio::runtime::{Handle, RuntimeFlavor};

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
    /// [`Kind::Config`] when a setting cannot be used, and on a runtime of several threads: what a ring counts is counted by one.
    pub async fn start(ring: &config::Ring, transport: &Transport) -> Result<Self, Error> {
        if Handle::current().runtime_flavor() != RuntimeFlavor::CurrentThread {
            return Err(Error::local(Kind::Config, "an embedded ring needs a runtime of one thread"));
        }
        let shared = Shared::new(ring).map_err(|text| Error::local(Kind::Config, text))?;
        let engine = settings::start_over(ring, Arc::clone(&shared.coordinator), transport).await?;
        // The runtime is the caller's, which nobody moderates.
        let context = Context::new(Arc::new(shared), &engine, Arc::default());
        Ok(Self { context: Arc::new(context) })
    }

    /// Begins to serve a client, in a task of its own; the handle ends when the client has left, and
    /// is cancelled where `CLIENT KILL` ended it.
    pub fn serve(&self, client: Box<dyn Io>) -> tokio::task::JoinHandle<()> {
        let here = || "embedded:0".to_owned();
        let identity = Box::new(Identity::new(&self.context.shared, here(), here()));
        let card = Arc::clone(identity.card());
        let task = tokio::spawn(client::serve(Peer::Other(client), identity, Arc::clone(&self.context)));
        card.is_served_by(task.abort_handle());
        task
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

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::atomic::Ordering;
    use std::time::Duration;

    use rendis_core::request::RequestBuf;
    use rendis_testkit::RedisServer;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::*;

    /// Until so many clients wait.
    async fn waiting(ring: &Embedded, number: u32) {
        let until = async {
            while ring.context.moderation.waiting.load(Ordering::Relaxed) != number {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), until).await.expect("as many clients wait");
    }

    #[tokio::test]
    async fn who_waits_for_a_shard_is_counted_until_it_does_not() {
        let server = RedisServer::start();
        let text = format!(
            "[[ring]]\nname = \"r\"\nlisten = \"127.0.0.1:1\"\n[[ring.shard]]\nname = \"one\"\nurl = \"{}\"\n",
            server.url()
        );
        let sources = config::Sources { file: "r", directory: Path::new(""), lookup: None };
        let config = config::parse(&text, &sources).expect("a configuration");
        let ring = Embedded::start(&config.rings[0], &Transport::System).await.expect("a ring");
        let mut clients = Vec::new();
        for _ in 0..3 {
            let (ours, theirs) = duplex(1 << 10);
            clients.push((ours, ring.serve(Box::new(theirs))));
        }
        server.stop();
        let get = RequestBuf::pack([&b"GET"[..], b"a"]).view().bytes().to_vec();
        let mget = RequestBuf::pack([&b"MGET"[..], b"a", b"b"]).view().bytes().to_vec();
        for ((client, _), request) in clients.iter_mut().zip([get.clone(), get.repeat(2), mget]) {
            client.write_all(&request).await.expect("a client that is read from");
        }
        waiting(&ring, 3).await;
        // One is cut off in the midst of it, and the others get their answers.
        clients[0].1.abort();
        waiting(&ring, 2).await;
        server.cont();
        for (client, _) in &mut clients[1..] {
            assert_ne!(client.read(&mut [0; 64]).await.expect("a reply"), 0);
        }
        waiting(&ring, 0).await;
    }
}
