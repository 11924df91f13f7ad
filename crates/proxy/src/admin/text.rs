//! The text format of Prometheus, version 0.0.4 (<https://prometheus.io/docs/instrumenting/exposition_formats/>).
//!
//! Written by hand: the counters are per thread and exist already, so a registry of metrics would hold them once more
//! and want to be told of each change.

use std::fmt::{Display, Write as _};

use rendis_engine::times::Distribution;

/// A page under way.
#[derive(Debug, Default)]
pub(super) struct Text {
    out: String,
    /// The labels of the samples that follow, with a comma behind each.
    labels: String,
}

impl Text {
    /// Begins a metric. All its samples come before the next.
    pub(super) fn metric(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.out, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    /// One sample.
    pub(super) fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        self.set_labels(labels);
        let labels = self.labels.trim_end_matches(',');
        let _ = if labels.is_empty() {
            writeln!(self.out, "{name} {value}")
        } else {
            writeln!(self.out, "{name}{{{labels}}} {value}")
        };
    }

    /// The samples of a histogram, in seconds.
    pub(super) fn histogram(&mut self, name: &str, labels: &[(&str, &str)], times: &Distribution) {
        self.set_labels(labels);
        let (out, own) = (&mut self.out, &self.labels);
        for (bound, count) in times.up_to() {
            let _ = writeln!(out, "{name}_bucket{{{own}le=\"{}\"}} {count}", bound.as_secs_f64());
        }
        let _ = writeln!(out, "{name}_bucket{{{own}le=\"+Inf\"}} {}", times.count());
        let own = own.trim_end_matches(',');
        let _ = writeln!(out, "{name}_sum{{{own}}} {}", times.sum.as_secs_f64());
        let _ = writeln!(out, "{name}_count{{{own}}} {}", times.count());
    }

    pub(super) fn finish(self) -> String {
        self.out
    }

    fn set_labels(&mut self, labels: &[(&str, &str)]) {
        self.labels.clear();
        for (name, value) in labels {
            let _ = write!(self.labels, "{name}=\"");
            for letter in value.chars() {
                match letter {
                    '\\' | '"' => self.labels.extend(['\\', letter]),
                    '\n' => self.labels.push_str("\\n"),
                    letter => self.labels.push(letter),
                }
            }
            self.labels.push_str("\",");
        }
    }
}

pub(super) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rendis_engine::times::Times;

    use super::*;

    #[test]
    fn samples_have_their_labels_escaped() {
        let mut text = Text::default();
        text.metric("up", "gauge", "Whether it is.");
        text.sample("up", &[], 1);
        text.sample("up", &[("ring", "a\"b\\c\nd"), ("shard", "s1")], 0);
        let lines: Vec<_> = text.out.lines().collect();
        assert_eq!(lines[..3], ["# HELP up Whether it is.", "# TYPE up gauge", "up 1"]);
        assert_eq!(lines[3], r#"up{ring="a\"b\\c\nd",shard="s1"} 0"#);
    }

    #[test]
    fn histograms_end_with_all_there_is() {
        let times = Times::default();
        times.add(Duration::from_micros(70));
        times.add(Duration::from_secs(60));
        let mut text = Text::default();
        text.histogram("t", &[("ring", "a")], &times.read());
        let page = text.finish();
        for line in [
            r#"t_bucket{ring="a",le="0.00005"} 0"#,
            r#"t_bucket{ring="a",le="0.0001"} 1"#,
            r#"t_bucket{ring="a",le="5"} 1"#,
            r#"t_bucket{ring="a",le="+Inf"} 2"#,
            r#"t_sum{ring="a"} 60.00007"#,
            r#"t_count{ring="a"} 2"#,
        ] {
            assert!(page.lines().any(|found| found == line), "{line} is not in\n{page}");
        }
    }
}
