//! Whether a shard is up.
//!
//! A pure state machine, one for each shard: what probes and requests saw goes in as votes, a [`Transition`] comes
//! out. It asks nobody and waits for nobody.
//!
//! ```text
//!                    fall × Failed in a row, or
//!                    traffic_fall × connection-level failures of requests in a row
//!          ┌─────────────────────────────────────────────────────┐
//!          │                                                     ▼
//!       ┌──┴─┐            rise × Good or Busy in a row        ┌──────┐
//!  ───► │ Up │ ◄──────────────────────────────────────────────┤ Down │ probed ever more seldom
//!       └─┬──┘                                                └─┬────┘
//!         │  ▲                                                  │  ▲
//!         │  │ rise × Good or Busy in a row                     │  │
//!         │  └───────────────────────┐                          │  │
//!         │ Loading                  │                  Loading │  │ fall × Failed in a row
//!         ▼                       ┌──┴──────┐                   ▼  │
//!         └─────────────────────► │ Loading │ ◄─────────────────┴──┘
//!                                 └─────────┘
//! ```
//!
//! One threshold to fall and another to rise, because the errors cost differently: a shard taken out too late fails
//! requests, one taken back too early fails them again. Requests have a threshold of their own, higher than that of
//! probes: they come by the thousand, and one lost connection fails many at once, which the caller should report
//! once.
//!
//! # What it does not decide
//!
//! When to probe (the engine's monitor waits [`Health::next_probe`]), and whether a shard that is down may be taken
//! out of the ring: that depends on the others, see [`may_eject`].

use std::num::NonZeroU32;
use std::time::Duration;

use crate::reply::Reply;

/// How many votes it takes, and how often to ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Probes that must fail in a row before a shard is down. Default 3.
    pub fall: NonZeroU32,
    /// Connection-level failures of real requests in a row before a shard is down. Default 5.
    pub traffic_fall: NonZeroU32,
    /// Probes that must succeed in a row before a shard is up again. Default 2.
    pub rise: NonZeroU32,
    /// The time between two probes of a shard that is up or loading. Default 500 ms.
    pub interval: Duration,
    /// The longest time between two probes of a shard that is down, which grows by half with each that fails.
    /// Default 1.5 s, so that a server that is back is seen within that time; what is less than `interval` counts as
    /// `interval`.
    pub longest_interval: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            fall: NonZeroU32::MIN.saturating_add(2),
            traffic_fall: NonZeroU32::MIN.saturating_add(4),
            rise: NonZeroU32::MIN.saturating_add(1),
            interval: Duration::from_millis(500),
            longest_interval: Duration::from_millis(1500),
        }
    }
}

/// What is known of a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Status {
    /// It serves.
    Up,
    /// It answers, but has not read its data yet: out until it has, and not dead.
    Loading,
    /// It does not answer.
    Down,
}

/// What one probe found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Probe {
    /// A good answer in time.
    Good,
    /// The server runs a script and answers nothing else meanwhile: alive, stays in.
    Busy,
    /// The server is alive and not ready.
    Loading,
    /// No answer in time, no connection, or an answer that says it cannot serve.
    Failed,
    /// It could not be asked, for want of something here: nothing is known.
    Unasked,
}

/// What a vote changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[must_use]
pub enum Transition {
    /// Nothing that a caller can observe.
    Unchanged,
    /// It was up or loading and is down.
    Fell,
    /// It was down or loading and is up.
    Rose,
    /// It was up or down and is loading.
    StartedLoading,
    /// It is up as before, and answered well after probes that failed: it may have been started anew in between, too
    /// quickly to be found down.
    Recovered,
}

/// The state of one shard.
///
/// ```
/// use rendis_core::health::{Health, Probe, Settings, Status, Transition};
///
/// let mut health = Health::new(Settings::default());
/// assert_eq!(health.probed(Probe::Failed), Transition::Unchanged);
/// assert_eq!(health.probed(Probe::Failed), Transition::Unchanged);
/// assert_eq!(health.probed(Probe::Failed), Transition::Fell);
/// assert_eq!(health.status(), Status::Down);
/// ```
#[derive(Clone, Debug)]
pub struct Health {
    settings: Settings,
    status: Status,
    /// Probes that failed in a row.
    failed: u32,
    /// A probe failed while it was up, and none has gone well since.
    doubted: bool,
    /// Requests that failed in a row while up.
    traffic_failed: u32,
    /// Probes that succeeded in a row while not up.
    good: u32,
    /// The time to the next probe, before jitter.
    interval: Duration,
}

impl Health {
    /// A shard of which nothing is known. It counts as up: the first requests find out as soon as a probe would.
    #[must_use]
    pub const fn new(settings: Settings) -> Self {
        let interval = settings.interval;
        Self { settings, status: Status::Up, failed: 0, doubted: false, traffic_failed: 0, good: 0, interval }
    }

    /// A shard that is known to be up, loading or down.
    #[must_use]
    pub const fn found(settings: Settings, status: Status) -> Self {
        Self { status, ..Self::new(settings) }
    }

    /// What is known of the shard.
    #[must_use]
    pub const fn status(&self) -> Status {
        self.status
    }

    /// Counts a probe.
    pub fn probed(&mut self, probe: Probe) -> Transition {
        match probe {
            Probe::Good | Probe::Busy => {
                self.failed = 0;
                self.good = self.good.saturating_add(1);
                // After a good sign the next probe comes soon, however long the shard was away.
                self.interval = self.settings.interval;
                if self.status != Status::Up && self.good >= self.settings.rise.get() {
                    return self.turn(Status::Up);
                }
                if probe == Probe::Good && std::mem::take(&mut self.doubted) {
                    return Transition::Recovered;
                }
            }
            Probe::Unasked => {}
            Probe::Loading => return self.turn(Status::Loading),
            Probe::Failed => {
                self.good = 0;
                self.failed = self.failed.saturating_add(1);
                self.doubted = self.status == Status::Up;
                if self.status == Status::Down {
                    let longest = self.settings.longest_interval.max(self.settings.interval);
                    self.interval = (self.interval.saturating_mul(3) / 2).min(longest);
                } else if self.failed >= self.settings.fall.get() {
                    return self.turn(Status::Down);
                }
            }
        }
        Transition::Unchanged
    }

    /// Counts a request that failed at the level of the connection: refused, reset, timed out. An error reply is no
    /// such failure. Only a shard that is up can fall by it.
    pub fn request_failed(&mut self) -> Transition {
        if self.status != Status::Up {
            return Transition::Unchanged;
        }
        self.traffic_failed = self.traffic_failed.saturating_add(1);
        if self.traffic_failed >= self.settings.traffic_fall.get() {
            return self.turn(Status::Down);
        }
        Transition::Unchanged
    }

    /// Ends a row of failed requests: one was answered. A probe does not end it, since it has a connection of its
    /// own and sees nothing of what is wrong with those of the requests.
    pub const fn request_answered(&mut self) {
        self.traffic_failed = 0;
    }

    /// How long to wait before the next probe. When a shard that is out answered well, the next comes soon: a fifth of
    /// the interval later.
    ///
    /// `jitter` is a random number from 0 to 1, drawn by the caller. It shortens the wait for a shard that is down by
    /// up to a fifth, so that many processes do not knock on a returning server at the same moment.
    #[must_use]
    pub fn next_probe(&self, jitter: f64) -> Duration {
        match self.status {
            Status::Loading | Status::Down if self.good > 0 => return self.settings.interval / 5,
            Status::Up | Status::Loading => return self.settings.interval,
            Status::Down => {}
        }
        #[expect(clippy::manual_clamp, reason = "clamp keeps NaN, max drops it")]
        let part = jitter.max(0.0).min(1.0);
        self.interval.mul_f64(1.0 - 0.2 * part)
    }

    fn turn(&mut self, status: Status) -> Transition {
        let before = std::mem::replace(&mut self.status, status);
        self.failed = 0;
        self.doubted = false;
        self.traffic_failed = 0;
        self.good = 0;
        self.interval = self.settings.interval;
        match status {
            _ if status == before => Transition::Unchanged,
            Status::Up => Transition::Rose,
            Status::Loading => Transition::StartedLoading,
            Status::Down => Transition::Fell,
        }
    }
}

/// What the answer to a probe says, be it `PING` or a command of the user's.
///
/// Any answer but an error is good. `LOADING` and `MASTERDOWN` are loading, `BUSY` is busy. Any other error is a
/// failure: a server that answers a `PING` with `NOAUTH`, `MISCONF` or `ERR max number of clients reached` will not do
/// better with a request.
#[must_use]
pub fn classify(reply: &Reply) -> Probe {
    match reply.as_error().map(|error| error.code) {
        Some(b"LOADING" | b"MASTERDOWN") => Probe::Loading,
        Some(b"BUSY") => Probe::Busy,
        Some(_) => Probe::Failed,
        None if reply.is_error() => Probe::Failed,
        None => Probe::Good,
    }
}

/// Whether one more shard may leave the ring, when `ejected` of `total` have left it.
///
/// `limit` is the most that may be out at the same time; `None` is the default, half of the shards but at least
/// one. Beyond it the ring holds still, because then it is more likely that *we* are cut off, and moving every key
/// of a healthy cache would make it worse. The last shard never leaves: its keys have nowhere to go, and who asks for
/// one is told which shard is down, and why.
#[must_use]
pub fn may_eject(ejected: usize, total: usize, limit: Option<usize>) -> bool {
    ejected < limit.unwrap_or_else(|| (total / 2).max(1)).min(total.saturating_sub(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn health() -> Health {
        Health::new(Settings::default())
    }

    fn down() -> Health {
        let mut health = health();
        for _ in 0..3 {
            let _ = health.probed(Probe::Failed);
        }
        assert_eq!(health.status(), Status::Down);
        health
    }

    #[test]
    fn three_failed_probes_in_a_row_make_it_down() {
        let mut health = health();
        for (probe, transition) in [
            (Probe::Failed, Transition::Unchanged),
            (Probe::Failed, Transition::Unchanged),
            (Probe::Good, Transition::Recovered),
            (Probe::Good, Transition::Unchanged),
            (Probe::Failed, Transition::Unchanged),
            (Probe::Busy, Transition::Unchanged),
            (Probe::Good, Transition::Recovered),
            (Probe::Failed, Transition::Unchanged),
            (Probe::Failed, Transition::Unchanged),
        ] {
            assert_eq!(health.probed(probe), transition);
        }
        assert_eq!(health.probed(Probe::Failed), Transition::Fell);
        assert_eq!(health.status(), Status::Down);
        assert_eq!(health.probed(Probe::Failed), Transition::Unchanged);
    }

    #[test]
    fn five_failed_requests_in_a_row_make_it_down() {
        let mut health = health();
        for _ in 0..4 {
            assert_eq!(health.request_failed(), Transition::Unchanged);
        }
        health.request_answered();
        for _ in 0..4 {
            assert_eq!(health.request_failed(), Transition::Unchanged);
            // The probe's own connection proves nothing about those of the requests.
            assert_eq!(health.probed(Probe::Good), Transition::Unchanged);
        }
        assert_eq!(health.request_failed(), Transition::Fell);
        assert_eq!(health.request_failed(), Transition::Unchanged);
    }

    #[test]
    fn failed_probes_and_failed_requests_are_not_added() {
        let mut health = health();
        for _ in 0..2 {
            assert_eq!(health.probed(Probe::Failed), Transition::Unchanged);
            assert_eq!(health.request_failed(), Transition::Unchanged);
            assert_eq!(health.request_failed(), Transition::Unchanged);
        }
        assert_eq!(health.status(), Status::Up);
    }

    #[test]
    fn two_good_probes_in_a_row_make_it_up() {
        let mut health = down();
        for probe in [Probe::Good, Probe::Failed, Probe::Good] {
            assert_eq!(health.probed(probe), Transition::Unchanged);
        }
        assert_eq!(health.probed(Probe::Good), Transition::Rose);
        assert_eq!(health.status(), Status::Up);
        // It begins anew: what was counted before it fell is forgotten.
        assert_eq!(health.probed(Probe::Failed), Transition::Unchanged);
        assert_eq!(health.probed(Probe::Failed), Transition::Unchanged);
    }

    #[test]
    fn a_loading_shard_is_out_until_it_is_ready_and_not_dead() {
        let mut health = health();
        assert_eq!(health.probed(Probe::Loading), Transition::StartedLoading);
        for _ in 0..100 {
            assert_eq!(health.probed(Probe::Loading), Transition::Unchanged);
        }
        assert_eq!(health.status(), Status::Loading);
        assert_eq!(health.next_probe(0.0), Duration::from_millis(500));
        assert_eq!(health.probed(Probe::Good), Transition::Unchanged);
        assert_eq!(health.probed(Probe::Good), Transition::Rose);

        let mut back = down();
        assert_eq!(back.probed(Probe::Loading), Transition::StartedLoading);
        for _ in 0..2 {
            assert_eq!(back.probed(Probe::Failed), Transition::Unchanged);
        }
        assert_eq!(back.probed(Probe::Failed), Transition::Fell);
    }

    #[test]
    fn a_busy_shard_stays_in() {
        let mut health = health();
        for _ in 0..100 {
            assert_eq!(health.probed(Probe::Busy), Transition::Unchanged);
        }
        assert_eq!(health.status(), Status::Up);
    }

    #[test]
    fn probes_of_a_dead_shard_come_ever_more_seldom_up_to_a_limit() {
        let longest_interval = Duration::from_secs(5);
        let mut health = Health::new(Settings { longest_interval, ..Settings::default() });
        for _ in 0..3 {
            let _ = health.probed(Probe::Failed);
        }
        let mut waits = Vec::new();
        for _ in 0..8 {
            waits.push(health.next_probe(0.0).as_millis());
            let _ = health.probed(Probe::Failed);
        }
        assert_eq!(waits, [500, 750, 1125, 1687, 2531, 3796, 5000, 5000]);
        assert_eq!(health.next_probe(1.0), Duration::from_secs(4));
        assert_eq!(health.next_probe(7.0), Duration::from_secs(4));
        assert_eq!(health.next_probe(f64::NAN), Duration::from_secs(5));
        let _ = health.probed(Probe::Good);
        assert_eq!(health.next_probe(0.0), Duration::from_millis(100));
        let _ = health.probed(Probe::Failed);
        assert_eq!(health.next_probe(0.0), Duration::from_millis(750));
    }

    #[test]
    fn what_a_probe_answers_is_classified() {
        for (frame, probe) in [
            (&b"+PONG\r\n"[..], Probe::Good),
            (b"$-1\r\n", Probe::Good),
            (b"-LOADING Redis is loading the dataset in memory\r\n", Probe::Loading),
            (b"-MASTERDOWN Link with MASTER is down\r\n", Probe::Loading),
            (b"-BUSY Redis is busy running a script.\r\n", Probe::Busy),
            (b"-NOAUTH Authentication required.\r\n", Probe::Failed),
            (b"-ERR max number of clients reached\r\n", Probe::Failed),
            (b"!5\r\nERR x\r\n", Probe::Failed),
            (b"!x", Probe::Failed),
        ] {
            assert_eq!(classify(&Reply::from_static(frame)), probe, "{}", frame.escape_ascii());
        }
    }

    #[test]
    fn never_more_than_half_of_the_shards_leave_the_ring() {
        assert!(!may_eject(0, 1, None) && may_eject(0, 2, None) && !may_eject(1, 2, None));
        assert!(may_eject(0, 3, None) && !may_eject(1, 3, None));
        assert!(may_eject(1, 4, None) && !may_eject(2, 4, None));
        assert!(!may_eject(0, 4, Some(0)));
        assert!(may_eject(2, 4, Some(9)) && !may_eject(3, 4, Some(9)));
    }
}
