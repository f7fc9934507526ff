//! Metrics whose values are read at a scrape, in the Prometheus text format.
//!
//! The recorder of the process keeps every series that it has seen. Series of
//! adapter versions and queues come and go, so they are written anew for each
//! scrape.

use std::fmt::Write as _;

/// The kind of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricKind {
    Gauge,
    Counter,
}

/// A name and a value for each label.
pub type Labels<'a> = Vec<(&'static str, &'a str)>;

/// A text of metrics.
#[derive(Debug, Default)]
pub struct Exposition(String);

impl Exposition {
    /// Writes a metric with all its series. Writes nothing if there is none.
    pub fn metric<'a>(
        &mut self,
        (kind, name, help): (MetricKind, &str, &str),
        series: impl IntoIterator<Item = (Labels<'a>, f64)>,
    ) {
        let mut series = series.into_iter().peekable();
        if series.peek().is_none() {
            return;
        }
        let kind = match kind {
            MetricKind::Gauge => "gauge",
            MetricKind::Counter => "counter",
        };
        let text = &mut self.0;
        // Writing to a string does not fail.
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
        for (labels, value) in series {
            text.push_str(name);
            for (at, (label, value)) in labels.iter().enumerate() {
                let before = if at == 0 { '{' } else { ',' };
                let _ = write!(text, "{before}{label}=\"{}\"", escaped(value));
            }
            let end = if labels.is_empty() { "" } else { "}" };
            let _ = writeln!(text, "{end} {value}");
        }
        text.push('\n');
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

    #[test]
    fn metrics_have_a_help_text_a_type_and_a_line_for_each_series() {
        let mut text = Exposition::default();
        let depth = (MetricKind::Gauge, "depth", "Messages.");
        let series = [(vec![("queue", "a"), ("csp", "\"\\\n")], 1.0), (Vec::new(), 0.5)];
        text.metric(depth, series);
        text.metric((MetricKind::Counter, "none", "No series."), []);
        let expected = "# HELP depth Messages.\n# TYPE depth gauge\n\
                        depth{queue=\"a\",csp=\"\\\"\\\\\\n\"} 1\ndepth 0.5\n\n";
        assert_eq!(text.into_text(), expected);
    }
}
