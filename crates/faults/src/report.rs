//! `docs/faults.md`: what was measured, and whether it is what was promised.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::machine;
use crate::stage::Fault;
use crate::system::Product;
use crate::trial::Figures;

/// A promise, and whether it was kept.
struct Target {
    text: &'static str,
    kept: bool,
}

const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

impl Figures {
    fn targets(&self) -> Vec<Target> {
        let mut targets = Vec::new();
        let mut add = |text, kept| targets.push(Target { text, kept });
        let within = |took: Option<Duration>, limit| took.is_some_and(|took| took <= limit);
        match (self.fault, self.idle) {
            (Fault::Killed, false) => {
                add("out ≤ 0.2 s after the first error", within(self.out_after_error, millis(200)))
            }
            (Fault::Killed, true) => add("out ≤ 2 s when idle", within(self.out, millis(2000))),
            (Fault::CutOff | Fault::Frozen, _) => add("out ≤ 3.5 s", within(self.out, millis(3500))),
            (Fault::Password, _) => add("out", self.out.is_some()),
            (Fault::Full | Fault::Script, _) => add("stays in", self.out.is_none()),
            (Fault::Restarted | Fault::SilentScript, _) => {}
        }
        if self.out.is_some() {
            add("back ≤ 2 s", within(self.back, millis(2000)));
        }
        add("in at the end", self.in_at_the_end);
        add("no other shard left", self.others_out == 0);
        if !self.idle {
            add("≥ 20 000 calls/s", self.rate >= 20_000);
            add("p99 of healthy shards ≤ 2×", self.during <= self.calm * 2);
            add("no wrong answer", self.wrong.0 == 0);
            add("no lost reply", self.lost == 0);
        }
        add("no leak", self.leaks.is_empty());
        targets
    }

    fn product(&self) -> &'static str {
        match self.product {
            Product::Library => "library",
            Product::Proxy => "proxy",
        }
    }

    /// Whether all promises were kept.
    pub(crate) fn good(&self) -> bool {
        self.targets().iter().all(|target| target.kept)
    }

    fn verdict(&self) -> String {
        let missed: Vec<_> =
            self.targets().iter().filter(|target| !target.kept).map(|target| target.text).collect();
        if missed.is_empty() { "all met".to_owned() } else { format!("**missed: {}**", missed.join("; ")) }
    }

    /// One line for whoever watches.
    pub(crate) fn line(&self) -> String {
        let when = if self.idle { "idle" } else { "load" };
        let mut text = format!(
            "{:7} {when} {:36} {:6}/s out {} back {} p99 {} → {} stall {} late {} errors {:?} {}",
            self.product(),
            self.fault.text(),
            self.rate,
            time(self.out),
            time(self.back),
            time(Some(self.calm)),
            time(Some(self.during)),
            time(Some(self.stall)),
            self.late,
            self.errors,
            self.verdict(),
        );
        for wrong in &self.wrong.1 {
            let _ = write!(text, "\n    wrong: {wrong}");
        }
        for leak in &self.leaks {
            let _ = write!(text, "\n    left: {leak}");
        }
        text
    }
}

/// The tables.
pub(crate) fn tables(all: &[Figures]) -> String {
    let mut text = String::new();
    for product in [Product::Library, Product::Proxy] {
        let of = |idle: bool| all.iter().filter(move |one| one.product == product && one.idle == idle);
        let name = if product == Product::Library {
            "A `Ring` in the caller's process"
        } else {
            "`rendis serve`, over loopback"
        };
        let _ = write!(
            text,
            "\n## {name}\n\n| fault | calls/s before | out after | since the first error | back after | p99 calm | \
             p99 during | longest stall | longest call | wrong | late | lost | left over | promises |\n\
             |---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|---|\n"
        );
        for one in of(false) {
            let _ = writeln!(
                text,
                "| {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} |",
                one.fault.text(),
                one.rate,
                time(one.out),
                time(one.out_after_error),
                time(one.back),
                time(Some(one.calm)),
                time(Some(one.during)),
                time(Some(one.stall)),
                time(Some(one.longest)),
                one.wrong.0,
                one.late,
                one.lost,
                one.leaks.len(),
                one.verdict()
            );
        }
        let _ = write!(text, "\n| fault | calls | errors that callers saw |\n|---|--:|---|\n");
        for one in of(false) {
            let errors: Vec<_> =
                one.errors.iter().map(|(label, count)| format!("{label}: {count}")).collect();
            let errors = if errors.is_empty() { "none".to_owned() } else { errors.join(", ") };
            let _ = writeln!(text, "| {} | {} | {errors} |", one.fault.text(), one.calls);
        }
        let _ = write!(
            text,
            "\n| fault, nobody calling | out after | back after | promises |\n|---|--:|--:|---|\n"
        );
        for one in of(true) {
            let _ = writeln!(
                text,
                "| {} | {} | {} | {} |",
                one.fault.text(),
                time(one.out),
                time(one.back),
                one.verdict()
            );
        }
    }
    text
}

/// Replaces one part of the page and leaves the others. The parts begin with a comment of their name.
pub(crate) fn write(part: &str, body: &str) {
    let path = Path::new("docs/faults.md");
    let page = fs::read_to_string(path).unwrap_or_else(|_| HEAD.to_owned());
    let (begin, end) = (format!("<!-- {part} -->\n"), format!("<!-- end of {part} -->\n"));
    let (before, rest) = page.split_once(&begin).unwrap_or((&page, ""));
    let after = rest.split_once(&end).map_or("", |(_, after)| after);
    let machine = format!(
        "Measured on {}, with a load average of {}.\n",
        rendis_testkit::machine::description(),
        machine::busy()
    );
    fs::create_dir_all("docs").expect("the directory docs");
    fs::write(path, format!("{before}{begin}{machine}{body}{end}{after}")).expect("writing docs/faults.md");
}

fn time(took: Option<Duration>) -> String {
    match took {
        None => "–".to_owned(),
        Some(took) if took < millis(10) => format!("{:.1} ms", took.as_secs_f64() * 1e3),
        Some(took) if took < millis(1000) => format!("{:.0} ms", took.as_secs_f64() * 1e3),
        Some(took) => format!("{:.2} s", took.as_secs_f64()),
    }
}

const HEAD: &str = "\
# Faults

What callers notice while one of three redis-servers fails under load. `scripts/faults.sh --write` and `scripts/soak.sh \
--write` write the figures here, and nobody else does; [what-happens-when.md](what-happens-when.md) says in words what to \
expect.

The load is a closed loop of 180 callers, each of which begins a call every 6 ms: 50 % GET, 25 % SET, 15 % INCR, 10 % MGET \
of four keys. A quarter of them use the keys of all shards; the others keep to one shard each, so that what callers of a \
healthy shard notice can be told apart. Every value names its key and its version, each key has one writer, and counters \
are compared with the servers at the end. All settings are the defaults: `reroute`, `forget`, deadlines of 1 s.

- *out after*: from the fault until the shard was out of the ring; *since the first error*: the same from the first error \
that any caller saw.
- *back after*: from when the server could serve again until the shard was back in the ring, having forgotten what was \
written elsewhere.
- *p99 calm*, *p99 during*: calls of those who keep to the two healthy shards, in the three seconds before the fault, and \
from the fault until the shard was out, at least one second. *longest stall*: the longest of their calls from the fault on.
- *wrong*: replies with another key's value, values older than what was acknowledged, `INCR` applied more often than asked. \
*late*: reads that showed a write whose outcome its caller had been told is unknown, after a later write. *lost*: calls \
without any answer in 10 s.
- errors: by kind, with whether the command may have run; *server's …* is the server's own error reply, passed on.

<!-- trials -->
<!-- end of trials -->

# Soak

<!-- soak -->
<!-- end of soak -->
";
