//! Metrics whose values are read at a scrape, in the Prometheus text format.
//!
//! The recorder of the process keeps every series that it has seen. Series of
//! adapter versions and queues come and go, so they are written anew for each
//! scrape.

use std::fmt::Write as _;

use super::definition::Counter;
use super::definition::Definition;
use super::definition::Gauge;
use super::definition::Histogram;
use super::definition::Kind;

/// The media type of the text format, with its version.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The values of the labels of a series, in the order of the definition.
pub type Labels<'a> = Vec<&'a str>;

/// The counts of one series of a histogram.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct HistogramValue {
    /// The number of values in each bucket of the definition, without those in
    /// the buckets before it.
    pub buckets: Vec<u64>,
    /// The number of all values, also of those beyond the last bucket.
    pub count: u64,
    pub sum: f64,
}

/// A text of metrics.
#[derive(Debug, Default)]
pub struct Exposition(String);

impl Exposition {
    /// Writes a gauge with all its series. Writes nothing if there is none.
    pub fn gauge<'a>(
        &mut self,
        gauge: &Gauge,
        series: impl IntoIterator<Item = (Labels<'a>, f64)>,
    ) {
        self.numbers(&gauge.0, series);
    }

    /// Writes a counter with all its series. Writes nothing if there is none.
    pub fn counter<'a>(
        &mut self,
        counter: &Counter,
        series: impl IntoIterator<Item = (Labels<'a>, f64)>,
    ) {
        self.numbers(&counter.0, series);
    }

    /// Writes a histogram with all its series. Writes nothing if there is none.
    pub fn histogram<'a>(
        &mut self,
        histogram: &Histogram,
        series: impl IntoIterator<Item = (Labels<'a>, HistogramValue)>,
    ) {
        let Definition { name, kind: Kind::Histogram(bounds), .. } = histogram.0 else {
            unreachable!("a histogram has buckets");
        };
        let mut series = series.into_iter().peekable();
        if series.peek().is_none() {
            return;
        }
        self.head(&histogram.0);
        for (labels, value) in series {
            let named: Vec<_> = histogram.0.labels.iter().copied().zip(labels).collect();
            let mut below = 0;
            for (bound, count) in bounds.iter().zip(&value.buckets) {
                below += count;
                self.line(&format!("{name}_bucket"), &named, Some(&bound.to_string()), below);
            }
            self.line(&format!("{name}_bucket"), &named, Some("+Inf"), value.count);
            self.line(&format!("{name}_sum"), &named, None, value.sum);
            self.line(&format!("{name}_count"), &named, None, value.count);
        }
        self.0.push('\n');
    }

    fn numbers<'a>(
        &mut self,
        definition: &Definition,
        series: impl IntoIterator<Item = (Labels<'a>, f64)>,
    ) {
        let mut series = series.into_iter().peekable();
        if series.peek().is_none() {
            return;
        }
        self.head(definition);
        for (labels, value) in series {
            debug_assert_eq!(definition.labels.len(), labels.len(), "{}", definition.name);
            let named: Vec<_> = definition.labels.iter().copied().zip(labels).collect();
            self.line(definition.name, &named, None, value);
        }
        self.0.push('\n');
    }

    fn head(&mut self, Definition { name, kind, help, .. }: &Definition) {
        // Writing to a string does not fail.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {}", kind.as_str());
    }

    fn line(
        &mut self,
        name: &str,
        labels: &[(&str, &str)],
        le: Option<&str>,
        value: impl std::fmt::Display,
    ) {
        let text = &mut self.0;
        text.push_str(name);
        let le = le.map(|le| ("le", le));
        let mut before = '{';
        for (label, value) in labels.iter().copied().chain(le) {
            let _ = write!(text, "{before}{label}=\"{}\"", escaped(value));
            before = ',';
        }
        let end = if before == '{' { "" } else { "}" };
        let _ = writeln!(text, "{end} {value}");
    }

    /// Returns the text.
    pub fn into_text(self) -> String {
        self.0
    }
}

/// Escapes the value of a label, as the text format demands.
fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn definition(
        name: &'static str,
        kind: Kind,
        labels: &'static [&'static str],
    ) -> Definition {
        Definition { name, kind, labels, help: "Messages." }
    }

    #[test]
    fn metrics_have_a_help_text_a_type_and_a_line_for_each_series() {
        let mut text = Exposition::default();
        let depth = Gauge(definition("depth", Kind::Gauge, &["queue", "csp"]));
        text.gauge(&depth, [(vec!["a", "\"\\\n"], 1.0)]);
        let sent = Counter(definition("sent_total", Kind::Counter, &[]));
        text.counter(&sent, []);
        text.counter(&sent, [(Vec::new(), 0.5)]);
        let expected = "# HELP depth Messages.\n# TYPE depth gauge\n\
                        depth{queue=\"a\",csp=\"\\\"\\\\\\n\"} 1\n\n\
                        # HELP sent_total Messages.\n# TYPE sent_total counter\n\
                        sent_total 0.5\n\n";
        assert_eq!(text.into_text(), expected);
    }

    #[test]
    fn the_buckets_of_a_histogram_add_up() {
        let mut text = Exposition::default();
        let time = Histogram(definition("time_seconds", Kind::Histogram(&[0.1, 1.0]), &["a"]));
        let value = HistogramValue { buckets: vec![2, 3], count: 6, sum: 4.5 };
        text.histogram(&time, [(vec!["x"], value)]);
        let expected = "# HELP time_seconds Messages.\n# TYPE time_seconds histogram\n\
                        time_seconds_bucket{a=\"x\",le=\"0.1\"} 2\n\
                        time_seconds_bucket{a=\"x\",le=\"1\"} 5\n\
                        time_seconds_bucket{a=\"x\",le=\"+Inf\"} 6\n\
                        time_seconds_sum{a=\"x\"} 4.5\n\
                        time_seconds_count{a=\"x\"} 6\n\n";
        assert_eq!(text.into_text(), expected);
    }
}
