//! The simulated network of the testkit, as the engine's transport.

use std::sync::Arc;

use rendis_engine::address::Address;
use rendis_engine::settings::ShardSettings;
use rendis_engine::transport::{Connect, Connecting, Io, Transport};
use rendis_testkit::sim::Host;

/// Leads to these hosts by their names.
pub(crate) struct Network(Vec<Host>);

impl Connect for Network {
    fn connect<'a>(&'a self, address: &'a Address) -> Connecting<'a> {
        Box::pin(async move {
            let Address::Tcp { host: name, .. } = address else {
                panic!("{address} is in no simulated network");
            };
            let host = self.0.iter().find(|host| host.name() == name).expect("a host of this network");
            let socket: Box<dyn Io> = Box::new(host.connect().await?);
            Ok(socket)
        })
    }
}

/// A shard on each of these hosts, with the host's name.
pub(crate) fn shards(hosts: &[Host]) -> Vec<ShardSettings> {
    let network = Arc::new(Network(hosts.to_vec()));
    let shard = |host: &Host| {
        let url = format!("redis://{}:6379", host.name());
        let transport = Transport::Other(network.clone());
        let mut shard = ShardSettings::new(host.name(), &url).unwrap();
        shard.transport = transport;
        shard
    };
    hosts.iter().map(shard).collect()
}
