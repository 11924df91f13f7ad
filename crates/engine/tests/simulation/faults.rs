//! What goes wrong, and when.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use rendis_testkit::sim::{Dice, Host, Lie, Way};
use tokio::time::{Instant, sleep, sleep_until};

use crate::trace::Trace;

/// A host, and when something was wrong with it.
#[derive(Clone)]
pub(crate) struct Patient {
    pub(crate) host: Host,
    illnesses: Arc<Mutex<Vec<Illness>>>,
}

struct Illness {
    from: Instant,
    until: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
enum Fault {
    Cut(Way),
    /// The connections that stand end, in good order or not.
    Lines {
        reset: bool,
    },
    HalfClose,
    Kill {
        reset: bool,
        with_data: bool,
        then_loads: bool,
    },
    Stop,
    Load,
    Slow(Duration),
    Far,
    Sips(usize),
    Lie(Lie),
}

impl Patient {
    pub(crate) fn new(host: Host) -> Self {
        Self { host, illnesses: Arc::default() }
    }

    /// Whether nothing was wrong with it since then.
    pub(crate) fn is_well_since(&self, then: Instant) -> bool {
        self.was_well(then, Instant::now())
    }

    /// Whether nothing was wrong with it from then to then.
    pub(crate) fn was_well(&self, from: Instant, to: Instant) -> bool {
        let overlaps =
            |illness: &Illness| illness.from <= to && illness.until.is_none_or(|until| until > from);
        !self.illnesses.lock().unwrap().iter().any(overlaps)
    }

    pub(crate) fn was_never_ill(&self) -> bool {
        self.illnesses.lock().unwrap().is_empty()
    }

    fn falls_ill(&self) {
        self.illnesses.lock().unwrap().push(Illness { from: Instant::now(), until: None });
    }

    fn is_well_again(&self) {
        self.illnesses.lock().unwrap().iter_mut().for_each(|illness| {
            illness.until = illness.until.or(Some(Instant::now()));
        });
    }

    pub(crate) fn name(&self) -> &str {
        self.host.name()
    }

    /// One fault after the other, with pauses, until the end; then all is well, or the host is dead for good.
    pub(crate) async fn suffer(self, dice: Dice, trace: Trace, until: Instant, dies: bool) {
        // Some are ill all the time, and some never.
        let pause = dice.one_of(&[1000, 6000, 20_000]);
        loop {
            sleep(dice.millis(100..=pause)).await;
            if Instant::now() >= until {
                break;
            }
            let fault = some(&dice);
            let lasts = dice.millis(5..=4000);
            trace.note(|| format!("{} {fault:?} for {lasts:?}", self.host.name()));
            self.falls_ill();
            self.begin(fault);
            sleep_until((Instant::now() + lasts).min(until)).await;
            self.end(fault, &dice).await;
            self.is_well_again();
            trace.note(|| format!("{} is well", self.host.name()));
        }
        if dies {
            self.falls_ill();
            trace.note(|| format!("{} dies for good", self.host.name()));
            self.host.kill(dice.percent(50));
        }
    }

    fn begin(&self, fault: Fault) {
        let host = &self.host;
        match fault {
            Fault::Cut(way) => host.cut(Some(way)),
            Fault::Lines { reset } => host.end_lines(reset),
            Fault::HalfClose => host.half_close(),
            Fault::Kill { reset, .. } => host.kill(reset),
            Fault::Stop => host.stop(true),
            Fault::Load => host.load(true),
            Fault::Slow(latency) => host.answer_after(latency),
            Fault::Far => host.delay(1..=400),
            Fault::Sips(bytes) => host.sip(Some((bytes, Duration::from_millis(7)))),
            Fault::Lie(lie) => host.lie(Some(lie)),
        }
    }

    async fn end(&self, fault: Fault, dice: &Dice) {
        let host = &self.host;
        match fault {
            Fault::Cut(_) => {
                // What stood may have been forgotten meanwhile by whoever is on the way.
                if dice.percent(50) {
                    host.end_lines(true);
                }
                host.cut(None);
            }
            Fault::Lines { .. } | Fault::HalfClose => {}
            Fault::Kill { with_data, then_loads, .. } => {
                host.load(then_loads);
                host.start(with_data);
                if then_loads {
                    sleep(dice.millis(100..=2000)).await;
                    host.load(false);
                }
            }
            Fault::Stop => host.stop(false),
            Fault::Load => host.load(false),
            Fault::Slow(_) => host.answer_after(Duration::ZERO),
            Fault::Far => host.delay(0..=NEAR),
            Fault::Sips(_) => host.sip(None),
            Fault::Lie(_) => {
                // A connection that fell silent after a lie, and is owed nothing, looks like any idle one.
                host.lie(None);
                host.end_lines(true);
            }
        }
    }
}

fn some(dice: &Dice) -> Fault {
    let coin = || dice.percent(50);
    match dice.number(0..=11) {
        0 | 1 => Fault::Cut(dice.one_of(&[Way::There, Way::Back, Way::Both])),
        2 => Fault::Lines { reset: coin() },
        3 => Fault::HalfClose,
        4 | 5 => Fault::Kill { reset: coin(), with_data: coin(), then_loads: coin() },
        6 => Fault::Stop,
        7 => Fault::Load,
        8 => Fault::Slow(dice.millis(5..=1500)),
        9 => Fault::Far,
        10 => Fault::Sips(dice.one_of(&[1, 10, 300])),
        _ => Fault::Lie(dice.one_of(&Lie::ALL)),
    }
}

/// How long bytes take where nothing is wrong, in milliseconds.
pub(crate) const NEAR: u64 = 3;
