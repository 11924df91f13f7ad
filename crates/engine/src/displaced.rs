//! Requests whose keys belong to a shard that is away: what they may write there is entered in the ledger before they go.

use std::sync::Arc;

use rendis_core::command::{Categories, Class, Flags, Found, Library, Row};
use rendis_core::request::Request;
use rendis_core::session::Sent;
use rendis_core::topology::{Member, Standing, Topology};
use tokio::time::{Instant, timeout_at};

use crate::engine::Engine;
use crate::error::{Error, Kind};
use crate::ledger::{Epoch, Noted};
use crate::runtime::{self, unless_ended, within};
use crate::settings::OnReturn;
use crate::shard::Shard;

impl Engine {
    /// The topology to place requests with. Those that may write keys which belong to a shard that is away are entered
    /// in the ledger first, so that it forgets them before it is back; so a request must be placed with what this
    /// returned, and with nothing older or newer.
    ///
    /// Waits while a shard is just returning. Cancel safe.
    ///
    /// # Errors
    /// [`Kind::Timeout`], not sent, when that takes longer than a call may.
    pub(crate) async fn topology_for<'r>(
        &self,
        requests: impl Iterator<Item = (Request<'r>, Found<'r>)> + Clone,
    ) -> Result<Arc<Topology<Shard>>, Error> {
        let topology = self.topology();
        if all_live(&topology) {
            return Ok(topology);
        }
        Box::pin(within(self.runtime(), self.entered(requests))).await
    }

    /// [`Engine::topology_for`] where a shard is away.
    async fn entered<'r>(
        &self,
        requests: impl Iterator<Item = (Request<'r>, Found<'r>)> + Clone,
    ) -> Result<Arc<Topology<Shard>>, Error> {
        let began = Instant::now();
        loop {
            let topology = self.topology();
            if all_live(&topology) {
                return Ok(topology);
            }
            let epoch = self.ledger().epoch();
            if !Arc::ptr_eq(&topology, &self.topology()) {
                continue;
            }
            match self.enter(epoch, &topology, requests.clone()) {
                Noted::Closed => {
                    let settled = async { timeout_at(began + self.allowed(), self.ledger().settled()).await };
                    let Some(settled) = unless_ended(self.runtime(), settled).await else {
                        return Err(Error::new(runtime::ended(), Sent::No, None));
                    };
                    if settled.is_err() {
                        let text =
                            format!("a shard was returning, and did not get ready in {:?}", self.whole());
                        return Err(Error::local(Kind::Timeout, text));
                    }
                }
                // What was entered before a shard returned it has forgotten; what came too late is placed anew.
                Noted::Entered if Arc::ptr_eq(&topology, &self.topology()) => return Ok(topology),
                Noted::Entered => {}
            }
        }
    }

    fn enter<'r>(
        &self,
        epoch: Epoch,
        topology: &Topology<Shard>,
        requests: impl Iterator<Item = (Request<'r>, Found<'r>)>,
    ) -> Noted {
        let forgets = self.settings().on_return == OnReturn::Forget;
        let ledger = self.ledger();
        let names = |away: &dyn Fn(&Member<Shard>) -> bool| -> Vec<&str> {
            topology
                .members()
                .iter()
                .filter(|member| away(member))
                .map(|member| member.shard.name())
                .collect()
        };
        for (request, found) in requests {
            let Found::Row(row) = found else { continue };
            if row.is_read() {
                continue;
            }
            // Also where it keeps its keys: what every shard runs, it does not.
            let away = || names(&|member| member.standing != Standing::Serving);
            if row.library() == Library::ChangesFunctions
                && ledger.note_functions(epoch, &away()) == Noted::Closed
            {
                return Noted::Closed;
            }
            if !forgets {
                continue;
            }
            if deletes_everything(row) && ledger.note_everything(epoch, &away()) == Noted::Closed {
                return Noted::Closed;
            }
            let Ok(keys) = row.written_keys(request) else { continue };
            for key in keys.filter_map(|key| request.argument(key.index)) {
                let Some(owner) = topology.owner(key) else { continue };
                let shards = if !topology.spec().moves_least() {
                    // Anyone may have stood in for a while, and own it again.
                    names(&|member| !Arc::ptr_eq(&member.shard, &owner.shard))
                } else if topology.displaced(key).is_some() {
                    names(&|member| member.standing == Standing::Ejected)
                } else {
                    continue;
                };
                if ledger.note(epoch, &shards, std::iter::once(key)) == Noted::Closed {
                    return Noted::Closed;
                }
            }
        }
        Noted::Entered
    }
}

/// Whether a command deletes the keys of every shard.
fn deletes_everything(row: &Row) -> bool {
    matches!(row.class(), Class::Every(_))
        && row.flags().has(Flags::WRITE)
        && row.categories().overlaps(Categories::KEYSPACE)
}

/// Whether no shard is away, be its keys others' now or not.
fn all_live(topology: &Topology<Shard>) -> bool {
    topology.live().len() == topology.members().len()
}
