//! How the network to one host behaves, and the randomness of a whole simulation.

use std::{
    ops::RangeInclusive,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// Random numbers from one seed, for all that a simulated world does. Cheap to clone; clones share the sequence.
#[derive(Clone, Debug)]
pub struct Dice(Arc<Mutex<fastrand::Rng>>);

impl Dice {
    /// The sequence of this seed.
    #[must_use]
    pub fn of_seed(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(fastrand::Rng::with_seed(seed))))
    }

    /// One of these numbers.
    #[must_use]
    pub fn number(&self, range: RangeInclusive<u64>) -> u64 {
        self.lock().u64(range)
    }

    /// True in this many of a hundred cases.
    #[must_use]
    pub fn percent(&self, percent: u64) -> bool {
        self.number(1..=100) <= percent
    }

    /// An index below `count`, which is not zero.
    #[must_use]
    pub fn index(&self, count: usize) -> usize {
        self.lock().usize(0..count)
    }

    /// One of these.
    #[must_use]
    pub fn one_of<T: Copy>(&self, choice: &[T]) -> T {
        choice[self.index(choice.len())]
    }

    /// A duration in whole milliseconds.
    #[must_use]
    pub fn millis(&self, range: RangeInclusive<u64>) -> Duration {
        Duration::from_millis(self.number(range))
    }

    fn lock(&self) -> MutexGuard<'_, fastrand::Rng> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The network to one host.
#[derive(Debug)]
pub(super) struct Weather {
    dice: Dice,
    delay: Mutex<(u64, u64)>,
}

impl Weather {
    pub(super) fn new(dice: &Dice) -> Self {
        Self { dice: dice.clone(), delay: Mutex::new((0, 1)) }
    }

    pub(super) fn set_delay(&self, millis: RangeInclusive<u64>) {
        *self.delay.lock().unwrap_or_else(PoisonError::into_inner) = (*millis.start(), *millis.end());
    }

    /// How long the next bytes take.
    pub(super) fn delay(&self) -> Duration {
        let (least, most) = *self.delay.lock().unwrap_or_else(PoisonError::into_inner);
        self.dice.millis(least..=most)
    }

    /// How many of so many bytes are taken at once.
    pub(super) fn bite(&self, offered: usize) -> usize {
        if offered > 1 && self.dice.percent(10) { 1 + self.dice.index(offered - 1) } else { offered }
    }
}
