//! Finds the shards that are far slower than their peers, from the reply times of each window.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use rendis_core::outlier::{Detector, Settings};

use crate::shard::Shard;
use crate::times::Distribution;

/// What is known of the shards' reply times.
#[derive(Debug)]
pub(crate) struct Outliers {
    settings: Settings,
    /// By name: the detector, and the reply times up to the last look.
    known: HashMap<String, (Detector, Distribution)>,
}

impl Outliers {
    pub(crate) fn new(settings: Settings) -> Self {
        Self { settings, known: HashMap::new() }
    }

    /// The shards that were slow in enough windows; called at the end of each, with those that serve.
    pub(crate) fn look(&mut self, serving: &[Arc<Shard>]) -> Vec<Arc<Shard>> {
        let times: Vec<Option<Duration>> = serving.iter().map(|shard| self.window(shard)).collect();
        self.known.retain(|name, _| serving.iter().any(|shard| shard.name() == name));
        let mut slow = Vec::new();
        for (at, (shard, own)) in serving.iter().zip(&times).enumerate() {
            let peers = times.iter().enumerate().filter(|(other, _)| *other != at);
            let peers: Vec<Duration> = peers.filter_map(|(_, time)| *time).collect();
            if let Some((detector, _)) = self.known.get_mut(shard.name())
                && detector.judge(*own, &peers)
            {
                slow.push(Arc::clone(shard));
            }
        }
        slow
    }

    /// The 99th percentile of what a shard answered since the last look; `None` where that is nothing.
    fn window(&mut self, shard: &Shard) -> Option<Duration> {
        let read = shard.replies().read();
        let first = || (Detector::new(self.settings), read.clone());
        let (_, before) = self.known.entry(shard.name().to_owned()).or_insert_with(first);
        let window = read.since(before);
        *before = read;
        window.percentile(99)
    }
}
