//! How long things took, counted in buckets.

use std::ops::AddAssign;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A histogram of durations, from 50 µs to 5 s. Adding is three relaxed atomic operations at the most, and may happen on
/// any thread.
#[derive(Debug, Default)]
pub struct Times {
    /// One for each bound, and one for what is longer.
    counts: [AtomicU64; BOUNDS.len() + 1],
    nanoseconds: AtomicU64,
}

/// What a [`Times`] held when it was read. Several can be put together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Distribution {
    counts: [u64; BOUNDS.len() + 1],
    /// All durations together.
    pub sum: Duration,
}

impl Times {
    /// Counts one.
    pub fn add(&self, took: Duration) {
        let bucket = BOUNDS.partition_point(|bound| *bound < took);
        if let Some(count) = self.counts.get(bucket) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        let nanoseconds = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.nanoseconds.fetch_add(nanoseconds, Ordering::Relaxed);
    }

    /// What it holds now. Durations that are being added may be missing in one part and not in the other.
    #[must_use]
    pub fn read(&self) -> Distribution {
        let counts = self.counts.each_ref().map(|count| count.load(Ordering::Relaxed));
        Distribution { counts, sum: Duration::from_nanos(self.nanoseconds.load(Ordering::Relaxed)) }
    }
}

impl Distribution {
    /// For each bound, how many durations were at most that long.
    pub fn up_to(&self) -> impl Iterator<Item = (Duration, u64)> + '_ {
        let mut total = 0;
        BOUNDS.iter().zip(self.counts).map(move |(bound, count)| {
            total += count;
            (*bound, total)
        })
    }

    /// A bound that so many of a hundred durations did not exceed, or the greatest bound; `None` without durations.
    #[must_use]
    pub fn percentile(&self, percent: u64) -> Option<Duration> {
        let rank = self.count().saturating_mul(percent).div_ceil(100);
        let reached = |(bound, count): (Duration, u64)| (count >= rank).then_some(bound);
        (rank > 0).then(|| self.up_to().find_map(reached).unwrap_or(LONGEST_BOUND))
    }

    /// What came in since `before` was read.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        let mut counts = self.counts;
        for (count, before) in counts.iter_mut().zip(before.counts) {
            *count = count.saturating_sub(before);
        }
        Self { counts, sum: self.sum.saturating_sub(before.sum) }
    }

    /// How many durations there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }
}

impl AddAssign<&Self> for Distribution {
    fn add_assign(&mut self, other: &Self) {
        for (count, more) in self.counts.iter_mut().zip(other.counts) {
            *count += more;
        }
        self.sum = self.sum.saturating_add(other.sum);
    }
}

const LONGEST_BOUND: Duration = Duration::from_secs(5);

const BOUNDS: [Duration; 16] = [
    Duration::from_micros(50),
    Duration::from_micros(100),
    Duration::from_micros(250),
    Duration::from_micros(500),
    Duration::from_millis(1),
    Duration::from_micros(2_500),
    Duration::from_millis(5),
    Duration::from_millis(10),
    Duration::from_millis(25),
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(250),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_millis(2_500),
    LONGEST_BOUND,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_counts_for_every_bound_that_it_does_not_exceed() {
        let times = Times::default();
        for micros in [50, 51, 2_000_000, 9_000_000] {
            times.add(Duration::from_micros(micros));
        }
        let mut read = times.read();
        read += &times.read();
        let up_to: Vec<u64> = read.up_to().map(|(_, count)| count).collect();
        assert_eq!(up_to, [2, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 6, 6]);
        assert_eq!((read.count(), read.sum), (8, Duration::from_micros(22_000_202)));
        assert_eq!(read.percentile(25), Some(Duration::from_micros(50)));
        assert_eq!(read.percentile(26), Some(Duration::from_micros(100)));
        assert_eq!(read.percentile(99), Some(Duration::from_secs(5)));
        let news = read.since(&times.read());
        assert_eq!((news.count(), news.sum), (4, Duration::from_micros(11_000_101)));
        assert_eq!(read.since(&read).percentile(99), None);
    }
}
