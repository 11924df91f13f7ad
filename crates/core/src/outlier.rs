//! Which shard is alive and far slower than its peers.
//!
//! A shard that answers late fails no probe and still costs every caller of its keys their time. What counts is not how slow
//! it is but how much slower than the others under the same load: when all are slow, the cause is elsewhere, and taking one
//! out would make it worse for the rest.
//!
//! # What it does not decide
//!
//! Whether a slow shard may be taken out ([`may_eject`](crate::health::may_eject)), and what its reply times are: the caller
//! hands in the 99th percentile of each window.

use std::num::NonZeroU32;
use std::time::Duration;

/// When a shard counts as slow, and for how long it is left alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How many times the median of its peers its 99th percentile has to be. Default 5.
    pub factor: NonZeroU32,
    /// A 99th percentile up to this is never slow. Default 20 ms.
    pub floor: Duration,
    /// How long a window is. Default 1 s.
    pub window: Duration,
    /// In how many windows in a row it has to be slow. Default 5.
    pub windows: NonZeroU32,
    /// How long it stays out. Default 30 s.
    pub rest: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        let five = NonZeroU32::MIN.saturating_add(4);
        Self {
            factor: five,
            floor: Duration::from_millis(20),
            window: Duration::from_secs(1),
            windows: five,
            rest: Duration::from_secs(30),
        }
    }
}

/// How slow one shard has been.
///
/// ```
/// use std::time::Duration;
/// use rendis_core::outlier::{Detector, Settings};
///
/// let millis = Duration::from_millis;
/// let mut detector = Detector::new(Settings::default());
/// let peers = [millis(2), millis(3)];
/// assert!((0..4).all(|_| !detector.judge(Some(millis(200)), &peers)));
/// assert!(detector.judge(Some(millis(200)), &peers));
/// ```
#[derive(Clone, Debug)]
pub struct Detector {
    settings: Settings,
    slow: u32,
}

impl Detector {
    /// A shard of which nothing is known.
    #[must_use]
    pub const fn new(settings: Settings) -> Self {
        Self { settings, slow: 0 }
    }

    /// Counts a window: the 99th percentiles of the shard and of its peers, as far as they answered anything in it; a window
    /// without says nothing. True when it was slow in enough of them in a row; then the count begins anew.
    pub fn judge(&mut self, own: Option<Duration>, peers: &[Duration]) -> bool {
        let (Some(own), Some(typical)) = (own, median(peers)) else {
            return false;
        };
        let much = typical.saturating_mul(self.settings.factor.get());
        self.slow = if own > self.settings.floor && own > much { self.slow.saturating_add(1) } else { 0 };
        let enough = self.slow >= self.settings.windows.get();
        if enough {
            self.slow = 0;
        }
        enough
    }
}

/// The lower median: with two peers, one of which is slow as well, the other counts.
fn median(times: &[Duration]) -> Option<Duration> {
    let mut times = times.to_vec();
    times.sort_unstable();
    times.get(times.len().checked_sub(1)? / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn millis(count: u64) -> Duration {
        Duration::from_millis(count)
    }

    #[test]
    fn one_good_window_ends_the_row() {
        let mut detector = Detector::new(Settings::default());
        let windows = [200, 200, 200, 200, 3, 200, 200, 200, 200];
        assert!(windows.iter().all(|own| !detector.judge(Some(millis(*own)), &[millis(1), millis(2)])));
        assert!(detector.judge(Some(millis(200)), &[millis(1), millis(2)]));
    }

    #[test]
    fn when_all_are_slow_none_is() {
        let mut detector = Detector::new(Settings::default());
        assert!((0..99).all(|_| !detector.judge(Some(millis(300)), &[millis(200), millis(250)])));
    }

    #[test]
    fn what_is_fast_enough_is_not_slow_however_fast_its_peers_are() {
        let mut detector = Detector::new(Settings::default());
        assert!((0..99).all(|_| !detector.judge(Some(millis(20)), &[Duration::from_micros(50)])));
    }

    #[test]
    fn a_shard_that_nobody_asked_or_that_has_no_peers_is_not_slow() {
        let mut detector = Detector::new(Settings::default());
        assert!((0..99).all(|_| !detector.judge(None, &[millis(1)])));
        assert!((0..99).all(|_| !detector.judge(Some(millis(900)), &[])));
        let silences =
            [Some(millis(200)), None, Some(millis(200)), Some(millis(200)), None, Some(millis(200))];
        assert!(silences.iter().all(|own| !detector.judge(*own, &[millis(1)])));
        assert!(detector.judge(Some(millis(200)), &[millis(1)]));
    }
}
