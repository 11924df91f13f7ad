//! Whether a failed request is sent again.
//!
//! Two questions in one place, so that nobody else answers them: is it *safe* ([`Policy::check`]: what the command
//! does, and whether it may have run already), and is it *wise* (attempts, the caller's deadline, and a [`Budget`]
//! shared by all requests, because retries are most numerous when servers can bear them least).
//!
//! | failure | may be sent again |
//! |---|---|
//! | never written | any command |
//! | answered `LOADING`, `TRYAGAIN` | any command but one that runs code: the server says that it did not run it, where a script may say so too, and has run |
//! | written, outcome unknown | a read; an idempotent write where the caller opted in |
//! | answered any other error | never |
//!
//! The wait is exponential with full jitter (a random part of 10 ms, 20 ms, 40 ms … 1 s): it spreads what failed
//! together further than half jitter does, at the same mean load (M. Brooker, "Exponential Backoff And Jitter", 2015).

use std::num::NonZeroU32;
use std::time::Duration;

use crate::command::{Repeat, Speaker};
use crate::reply::Reply;

/// How a request failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AttemptFailure {
    /// Of a single request not all bytes were written, of a batch not one: no server can have run it.
    NotWritten,
    /// It was written, and no answer came: it may have run.
    OutcomeUnknown,
    /// The server answered that it cannot run it *now* and did not: `LOADING`, `TRYAGAIN`.
    NotNow,
    /// The server answered any other error.
    Answered,
}

impl AttemptFailure {
    /// The failure that `reply` is; `None` when it is no error.
    #[must_use]
    pub fn of(reply: &Reply, speaker: Speaker) -> Option<Self> {
        if !reply.is_error() {
            return None;
        }
        let Some(error) = reply.as_error() else { return Some(Self::Answered) };
        Some(match error.code {
            b"LOADING" | b"TRYAGAIN" if speaker == Speaker::Server => Self::NotNow,
            _ => Self::Answered,
        })
    }
}

/// An attempt that failed.
#[derive(Clone, Copy, Debug)]
pub struct Attempt {
    /// What the command table says about running it twice.
    pub repeat: Repeat,
    /// How it failed.
    pub failure: AttemptFailure,
    /// How often it was tried; the first try is 1.
    pub attempts: u32,
    /// The time left until the caller's deadline; `None` when there is no deadline.
    pub remaining: Option<Duration>,
}

/// What to do with a request that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Decision {
    /// Plan it anew (the ring may have changed) and send it after this wait.
    Again {
        /// How long to wait; may be zero.
        after: Duration,
    },
    /// Its sender gets the failure.
    GiveUp(Reason),
}

/// Why a request is not sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// It may have run, and running it twice is not the same.
    Unsafe,
    /// The server answered: that is the answer.
    Answered,
    /// It was tried as often as allowed.
    Attempts,
    /// The wait would outlast the caller's deadline.
    Deadline,
    /// Too large a part of all requests are retries already.
    Budget,
}

/// How often and how fast to try again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// The most tries, the first one counted; 1 means never again. Default 3.
    pub attempts: NonZeroU32,
    /// The longest wait before the second try; it doubles with each try after that. Default 10 ms.
    pub first_wait: Duration,
    /// The longest wait at all. Default 1 s.
    pub longest_wait: Duration,
    /// Whether an idempotent write whose outcome is unknown is sent again. Default no: another client's write in
    /// between would be undone.
    pub repeat_idempotent_writes: bool,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            attempts: NonZeroU32::MIN.saturating_add(2),
            first_wait: Duration::from_millis(10),
            longest_wait: Duration::from_secs(1),
            repeat_idempotent_writes: false,
        }
    }
}

impl Policy {
    /// Whether `failed` is sent again.
    ///
    /// `jitter` is a random number from 0 to 1, drawn by the caller. `budget` is asked last and only when everything
    /// else is in favour, so a caller may lock what it shares inside: see [`Budget::withdraw`]. A script that was
    /// unknown is no retry but an errand, and is not charged.
    ///
    /// ```
    /// use std::time::Duration;
    /// use rendis_core::command::Repeat;
    /// use rendis_core::retry::{Decision, Attempt, AttemptFailure, Policy, Reason, Withdrawal};
    ///
    /// let lost = Attempt { repeat: Repeat::Never, failure: AttemptFailure::OutcomeUnknown, attempts: 1, remaining: None };
    /// let policy = Policy::default();
    /// assert_eq!(policy.decide(&lost, 0.5, || Withdrawal::Granted), Decision::GiveUp(Reason::Unsafe));
    /// let unsent = Attempt { failure: AttemptFailure::NotWritten, ..lost };
    /// let again = Decision::Again { after: Duration::from_millis(5) };
    /// assert_eq!(policy.decide(&unsent, 0.5, || Withdrawal::Granted), again);
    /// ```
    pub fn decide(&self, failed: &Attempt, jitter: f64, budget: impl FnOnce() -> Withdrawal) -> Decision {
        if let Err(reason) = self.check(failed.failure, failed.repeat) {
            return Decision::GiveUp(reason);
        }
        if failed.attempts >= self.attempts.get() {
            return Decision::GiveUp(Reason::Attempts);
        }
        let after = self.wait(failed.attempts, jitter);
        if failed.remaining.is_some_and(|remaining| remaining <= after) {
            return Decision::GiveUp(Reason::Deadline);
        }
        if budget() == Withdrawal::Refused {
            return Decision::GiveUp(Reason::Budget);
        }
        Decision::Again { after }
    }

    /// Whether it is safe to run a request again that failed so, by the table of this module, however often it was tried.
    ///
    /// ```
    /// use rendis_core::command::Repeat;
    /// use rendis_core::retry::{AttemptFailure, Policy, Reason};
    ///
    /// let policy = Policy::default();
    /// assert_eq!(policy.check(AttemptFailure::NotNow, Repeat::Never), Ok(()));
    /// assert_eq!(policy.check(AttemptFailure::OutcomeUnknown, Repeat::Read), Ok(()));
    /// assert_eq!(policy.check(AttemptFailure::OutcomeUnknown, Repeat::Never), Err(Reason::Unsafe));
    /// ```
    ///
    /// # Errors
    /// [`Reason::Unsafe`] or [`Reason::Answered`].
    pub const fn check(&self, failure: AttemptFailure, repeat: Repeat) -> Result<(), Reason> {
        match (failure, repeat) {
            (AttemptFailure::Answered, _) => Err(Reason::Answered),
            (AttemptFailure::OutcomeUnknown, Repeat::Never) => Err(Reason::Unsafe),
            (AttemptFailure::OutcomeUnknown, Repeat::IdempotentWrite) if !self.repeat_idempotent_writes => {
                Err(Reason::Unsafe)
            }
            _ => Ok(()),
        }
    }

    /// How long to wait after `attempts` tries.
    fn wait(&self, attempts: u32, jitter: f64) -> Duration {
        let doublings = attempts.saturating_sub(1).min(31);
        let longest = self.first_wait.saturating_mul(1 << doublings).min(self.longest_wait);
        #[expect(clippy::manual_clamp, reason = "clamp keeps NaN, max drops it")]
        let part = jitter.max(0.0).min(1.0);
        longest.mul_f64(part)
    }
}

/// Whether the budget gave a retry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[must_use]
pub enum Withdrawal {
    /// One retry, taken from the budget.
    Granted,
    /// None is left.
    Refused,
}

/// How many retries all requests together may make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BudgetSettings {
    /// Retries for every hundred requests. Default 20.
    pub percent: u32,
    /// Retries for every second, so that a program with few requests can retry too. Default 10.
    pub per_second: u32,
    /// The most retries that can be saved up. Default 16 384: as many requests as one wire holds, so that a lost
    /// connection can be made good at once, and a calm week does not pay for a storm.
    pub most: u32,
}

impl Default for BudgetSettings {
    fn default() -> Self {
        Self { percent: 20, per_second: 10, most: 16_384 }
    }
}

/// A token bucket for retries, filled by requests and by time.
///
/// A request costs nothing here: the budget reads how many there were so far only when a retry is asked for. So a
/// relaxed counter, which the caller keeps for its statistics anyway, is all the data path pays.
///
/// ```
/// use std::time::Duration;
/// use rendis_core::retry::{Budget, BudgetSettings, Withdrawal};
///
/// let settings = BudgetSettings { percent: 20, per_second: 1, most: 100 };
/// let mut budget = Budget::new(settings, Duration::ZERO, 0);
/// assert_eq!(budget.withdraw(Duration::ZERO, 0), Withdrawal::Granted);
/// assert_eq!(budget.withdraw(Duration::ZERO, 4), Withdrawal::Refused);
/// // The retry that was granted is the fifth.
/// assert_eq!(budget.withdraw(Duration::ZERO, 5), Withdrawal::Refused);
/// assert_eq!(budget.withdraw(Duration::ZERO, 6), Withdrawal::Granted);
/// assert_eq!(budget.withdraw(Duration::from_secs(1), 6), Withdrawal::Granted);
/// ```
#[derive(Clone, Debug)]
pub struct Budget {
    settings: BudgetSettings,
    /// What is saved up, in [`RETRY`]ths.
    saved: u64,
    /// When it was last filled, and at how many requests, those counted that it has granted since.
    now: Duration,
    requests: u64,
}

/// One retry in the unit of [`Budget::saved`]: fine enough that neither a nanosecond nor a request is rounded away.
const RETRY: u64 = 1_000_000_000;

impl Budget {
    /// A budget with one second's worth in it. `now` is the time since any fixed moment, `requests` the number of
    /// requests so far: both as in [`Budget::withdraw`].
    #[must_use]
    pub fn new(settings: BudgetSettings, now: Duration, requests: u64) -> Self {
        let saved = u64::from(settings.per_second.min(settings.most)) * RETRY;
        Self { settings, saved, now, requests }
    }

    /// Goes on with other settings, and another count of requests: what is saved stays, as far as it may.
    pub fn recount(&mut self, settings: BudgetSettings, requests: u64) {
        self.settings = settings;
        self.requests = requests;
        self.saved = self.saved.min(u64::from(settings.most) * RETRY);
    }

    /// Takes one retry, if there is one. `now` is the time since the moment that [`Budget::new`] counted from,
    /// `requests` the number of requests made so far, the retries granted here among them: those fill nothing. (One that
    /// was granted and then not made keeps one request from filling.) Neither goes backwards; where one does, it counts as
    /// standing still.
    pub fn withdraw(&mut self, now: Duration, requests: u64) -> Withdrawal {
        let elapsed = u64::try_from(now.saturating_sub(self.now).as_nanos()).unwrap_or(u64::MAX);
        let made = requests.saturating_sub(self.requests);
        self.now = self.now.max(now);
        self.requests = self.requests.max(requests);
        self.saved = self
            .saved
            .saturating_add(elapsed.saturating_mul(u64::from(self.settings.per_second)))
            .saturating_add(made.saturating_mul(u64::from(self.settings.percent) * (RETRY / 100)))
            .min(u64::from(self.settings.most) * RETRY);
        match self.saved.checked_sub(RETRY) {
            Some(left) => {
                self.saved = left;
                self.requests = self.requests.saturating_add(1);
                Withdrawal::Granted
            }
            None => Withdrawal::Refused,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPEATS: [Repeat; 3] = [Repeat::Read, Repeat::IdempotentWrite, Repeat::Never];

    fn failed(repeat: Repeat, failure: AttemptFailure) -> Attempt {
        Attempt { repeat, failure, attempts: 1, remaining: None }
    }

    fn decide(policy: &Policy, failed: Attempt) -> Decision {
        policy.decide(&failed, 1.0, || Withdrawal::Granted)
    }

    const AGAIN: Decision = Decision::Again { after: Duration::from_millis(10) };

    #[test]
    fn what_was_never_written_is_always_sent_again() {
        for repeat in REPEATS {
            assert_eq!(decide(&Policy::default(), failed(repeat, AttemptFailure::NotWritten)), AGAIN);
        }
    }

    #[test]
    fn an_unknown_outcome_is_repeated_only_for_reads_and_where_the_caller_opted_in() {
        let unknown = |repeat| failed(repeat, AttemptFailure::OutcomeUnknown);
        let policy = Policy::default();
        let opted_in = Policy { repeat_idempotent_writes: true, ..policy };
        assert_eq!(decide(&policy, unknown(Repeat::Read)), AGAIN);
        assert_eq!(decide(&policy, unknown(Repeat::IdempotentWrite)), Decision::GiveUp(Reason::Unsafe));
        assert_eq!(decide(&policy, unknown(Repeat::Never)), Decision::GiveUp(Reason::Unsafe));
        assert_eq!(decide(&opted_in, unknown(Repeat::IdempotentWrite)), AGAIN);
        assert_eq!(decide(&opted_in, unknown(Repeat::Never)), Decision::GiveUp(Reason::Unsafe));
    }

    #[test]
    fn an_error_reply_is_never_retried_except_the_ones_that_say_so() {
        for (frame, failure) in [
            (&b"+OK\r\n"[..], None),
            (b"-LOADING Redis is loading\r\n", Some(AttemptFailure::NotNow)),
            (b"-TRYAGAIN Multiple keys request\r\n", Some(AttemptFailure::NotNow)),
            (b"-NOSCRIPT No matching script. Please use EVAL.\r\n", Some(AttemptFailure::Answered)),
            (b"-NOSCRIPT says a script of itself\r\n", Some(AttemptFailure::Answered)),
            (b"-ERR unknown command\r\n", Some(AttemptFailure::Answered)),
            (b"-MOVED 1 a:1\r\n", Some(AttemptFailure::Answered)),
            (b"!5\r\nERR x\r\n", Some(AttemptFailure::Answered)),
        ] {
            assert_eq!(AttemptFailure::of(&Reply::from_static(frame), Speaker::Server), failure);
            let of_code = if failure == Some(AttemptFailure::NotNow) {
                Some(AttemptFailure::Answered)
            } else {
                failure
            };
            assert_eq!(AttemptFailure::of(&Reply::from_static(frame), Speaker::PerhapsCode), of_code);
        }
        for repeat in REPEATS {
            assert_eq!(decide(&Policy::default(), failed(repeat, AttemptFailure::NotNow)), AGAIN);
            let answered = failed(repeat, AttemptFailure::Answered);
            assert_eq!(decide(&Policy::default(), answered), Decision::GiveUp(Reason::Answered));
        }
    }

    #[test]
    fn there_are_three_attempts_with_waits_from_ten_milliseconds_to_a_second() {
        let nth = |attempts| Attempt { attempts, ..failed(Repeat::Read, AttemptFailure::NotWritten) };
        let policy = Policy::default();
        assert_eq!(decide(&policy, nth(2)), Decision::Again { after: Duration::from_millis(20) });
        assert_eq!(decide(&policy, nth(3)), Decision::GiveUp(Reason::Attempts));
        let patient = Policy { attempts: NonZeroU32::MAX, ..policy };
        let waits = [1, 2, 3, 7, 8, 100].map(|attempts| patient.wait(attempts, 1.0).as_millis());
        assert_eq!(waits, [10, 20, 40, 640, 1000, 1000]);
        assert_eq!(patient.wait(8, 0.25), Duration::from_millis(250));
        for (jitter, wait) in [(0.0, 0), (-1.0, 0), (2.0, 10), (f64::NAN, 0)] {
            assert_eq!(patient.wait(1, jitter).as_millis(), wait);
        }
    }

    #[test]
    fn no_wait_outlasts_the_deadline() {
        let within = |remaining| Attempt {
            remaining: Some(Duration::from_millis(remaining)),
            ..failed(Repeat::Read, AttemptFailure::NotWritten)
        };
        assert_eq!(decide(&Policy::default(), within(10)), Decision::GiveUp(Reason::Deadline));
        assert_eq!(decide(&Policy::default(), within(11)), AGAIN);
    }

    #[test]
    fn only_retries_that_will_happen_are_charged() {
        let mut charged = 0;
        let mut ask = |failed: Attempt| {
            let _ = Policy::default().decide(&failed, 1.0, || {
                charged += 1;
                Withdrawal::Granted
            });
        };
        ask(failed(Repeat::Never, AttemptFailure::OutcomeUnknown));
        ask(failed(Repeat::Read, AttemptFailure::Answered));
        ask(Attempt { attempts: 3, ..failed(Repeat::Read, AttemptFailure::NotWritten) });
        ask(Attempt { remaining: Some(Duration::ZERO), ..failed(Repeat::Read, AttemptFailure::NotWritten) });
        ask(failed(Repeat::Read, AttemptFailure::NotWritten));
        assert_eq!(charged, 1);
        let refused =
            Policy::default()
                .decide(&failed(Repeat::Read, AttemptFailure::NotWritten), 0.0, || Withdrawal::Refused);
        assert_eq!(refused, Decision::GiveUp(Reason::Budget));
    }

    /// How many retries a budget gives when asked again and again.
    fn granted(budget: &mut Budget, now: Duration, requests: u64) -> usize {
        std::iter::from_fn(|| (budget.withdraw(now, requests) == Withdrawal::Granted).then_some(())).count()
    }

    #[test]
    fn the_budget_is_a_fifth_of_the_requests_and_ten_a_second() {
        let mut budget = Budget::new(BudgetSettings::default(), Duration::from_secs(100), 5_000);
        assert_eq!(granted(&mut budget, Duration::from_secs(100), 5_000), 10);
        // Ten of the new requests are those that were granted just now.
        assert_eq!(granted(&mut budget, Duration::from_secs(100), 5_110), 20);
        assert_eq!(granted(&mut budget, Duration::from_secs(102), 5_130), 20);
        // Ninety-nine nanoseconds at a time are not rounded away.
        let mut given = 0;
        for tick in 1..=10_000_000_u64 / 99 {
            let now = Duration::from_secs(102) + Duration::from_nanos(tick * 99 * 100);
            given += granted(&mut budget, now, 5_130);
        }
        assert_eq!(given, 9);
    }

    #[test]
    fn what_is_saved_up_is_bounded_and_time_never_runs_backwards() {
        let mut budget = Budget::new(BudgetSettings::default(), Duration::ZERO, 0);
        assert_eq!(granted(&mut budget, Duration::MAX, u64::MAX), 16_384);
        assert_eq!(granted(&mut budget, Duration::ZERO, 0), 0);
        assert_eq!(granted(&mut budget, Duration::MAX, u64::MAX), 0);
        let settings = BudgetSettings { percent: 0, per_second: 0, most: 10 };
        assert_eq!(granted(&mut Budget::new(settings, Duration::ZERO, 0), Duration::MAX, u64::MAX), 0);
    }

    #[test]
    fn a_budget_earns_by_requests_after_a_recount() {
        let settings = BudgetSettings { percent: 20, per_second: 0, most: 100 };
        let mut budget = Budget::new(settings, Duration::ZERO, 1_000_000);
        assert_eq!(budget.withdraw(Duration::ZERO, 1_000_000), Withdrawal::Refused);
        budget.recount(settings, 10);
        assert_eq!(budget.withdraw(Duration::ZERO, 15), Withdrawal::Granted);
        assert_eq!(budget.withdraw(Duration::ZERO, 15), Withdrawal::Refused);
        budget.recount(BudgetSettings { percent: 100, ..settings }, 0);
        assert_eq!(budget.withdraw(Duration::ZERO, 1), Withdrawal::Granted);
    }
}
