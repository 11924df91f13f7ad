//! What a library has to do, each in its own most natural way.

use futures_util::future::join_all;
use xxhash_rust::xxh64::xxh64;

use crate::load::Load;

/// A handle that tasks clone.
pub(super) trait Library: Clone + Send + Sync + 'static {
    /// Connects to the shards; panics where it cannot, with the reason.
    fn connect(shards: &[String]) -> impl Future<Output = Self> + Send;

    /// Before a load, outside of what is measured.
    fn prepare(&mut self, _load: &Load) {}

    fn get(&mut self, key: Key<'_>) -> impl Future<Output = ()> + Send;
    fn set(&mut self, key: Key<'_>, value: &str) -> impl Future<Output = ()> + Send;
    fn mget(&mut self, keys: &[String]) -> impl Future<Output = ()> + Send;
    fn mset(&mut self, keys: &[String], value: &str) -> impl Future<Output = ()> + Send;
    /// `GET` at even places and `SET` at odd ones, or `SET` everywhere.
    fn pipeline(&mut self, keys: &[String], value: &str, all_set: bool) -> impl Future<Output = ()> + Send;
    fn eval(&mut self, key: &str) -> impl Future<Output = ()> + Send;
}

/// A key, and its number for those who have something ready for it.
#[derive(Clone, Copy)]
pub(super) struct Key<'a> {
    pub(super) number: u32,
    pub(super) text: &'a str,
}

/// How many requests are made ready beforehand, where a system is given ready ones: few enough that fetching them from
/// memory is not what is measured, and at most 16 MiB.
pub(super) fn prepared(load: &Load) -> usize {
    ((16 << 20) / (load.value + 64)).clamp(8, 4096)
}

/// The script of [`Library::eval`].
pub(super) const SCRIPT: &str = "return redis.call('GET', KEYS[1])";

/// Sharding by hand: one connection a shard, keys placed by a hash modulo their number.
#[derive(Clone)]
pub(super) struct ByHand<C>(pub(super) Vec<C>);

impl<C: Clone> ByHand<C> {
    #[inline]
    pub(super) fn place(&self, key: &str) -> usize {
        (xxh64(key.as_bytes(), 0) % self.0.len() as u64) as usize
    }

    #[inline]
    pub(super) fn shard(&mut self, key: &str) -> &mut C {
        let at = self.place(key);
        &mut self.0[at]
    }

    /// Gives each shard its part of the keys, with their places in the list, side by side, and puts what they answer
    /// where it belongs.
    pub(super) async fn split<'a, F, Fut, T>(&self, keys: &'a [String], run: F) -> Vec<Option<T>>
    where
        F: Fn(C, Vec<usize>, Vec<&'a str>) -> Fut,
        Fut: Future<Output = Vec<T>>,
    {
        let mut parts: Vec<(Vec<usize>, Vec<&str>)> = vec![Default::default(); self.0.len()];
        for (at, key) in keys.iter().enumerate() {
            let part = &mut parts[self.place(key)];
            part.0.push(at);
            part.1.push(key);
        }
        let parts = self.0.iter().zip(parts).filter(|(_, part)| !part.0.is_empty());
        let answers = join_all(parts.map(|(shard, (places, keys))| {
            let answers = run(shard.clone(), places.clone(), keys);
            async { (places, answers.await) }
        }))
        .await;
        let mut merged: Vec<Option<T>> = keys.iter().map(|_| None).collect();
        for (places, answers) in answers {
            for (at, answer) in places.into_iter().zip(answers) {
                merged[at] = Some(answer);
            }
        }
        merged
    }
}
