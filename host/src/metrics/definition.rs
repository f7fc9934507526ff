//! The definition of a metric: its name, type, labels and meaning.

use metrics::Key;
use metrics::Label;
use metrics::Level;
use metrics::Metadata;

/// The type of a metric.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    /// A number that only grows while the process runs.
    Counter,
    /// A number that also falls.
    Gauge,
    /// The distribution of values over buckets with these upper bounds.
    Histogram(&'static [f64]),
}

impl Kind {
    /// Returns the name of the type in the text format.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram(_) => "histogram",
        }
    }
}

/// A metric. Its name ends in the unit: seconds, bytes, or `_total` for counts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Definition {
    pub name: &'static str,
    pub kind: Kind,
    /// The labels of each series. Their values come from the configuration or
    /// from closed lists, so that the number of series is bounded.
    pub labels: &'static [&'static str],
    pub help: &'static str,
}

/// A counter. [`Counter::with`] returns the handle of a series.
#[derive(Debug, Clone, Copy)]
pub struct Counter(pub Definition);

/// A gauge. [`Gauge::with`] returns the handle of a series.
#[derive(Debug, Clone, Copy)]
pub struct Gauge(pub Definition);

/// A histogram. [`Histogram::with`] returns the handle of a series.
#[derive(Debug, Clone, Copy)]
pub struct Histogram(pub Definition);

/// The origin of all handles; the recorder does not use it.
static METADATA: Metadata<'static> = Metadata::new("hoth", Level::INFO, None);

impl Definition {
    /// Returns the key of the series whose labels have these values, in the
    /// order of the definition.
    fn key(&self, values: &[&str]) -> Key {
        debug_assert_eq!(self.labels.len(), values.len(), "labels of {}", self.name);
        let label = |(name, value): (&&'static str, &&str)| Label::new(*name, (*value).to_owned());
        Key::from_parts(self.name, self.labels.iter().zip(values).map(label).collect::<Vec<_>>())
    }
}

impl Counter {
    /// Returns the handle of a series, which begins at 0. A handle is cheap to
    /// use, and finding it is not: code that runs often keeps it.
    pub fn with(&self, values: &[&str]) -> metrics::Counter {
        let key = self.0.key(values);
        metrics::with_recorder(|recorder| recorder.register_counter(&key, &METADATA))
    }
}

impl Gauge {
    /// Returns the handle of a series, as [`Counter::with`] does.
    pub fn with(&self, values: &[&str]) -> metrics::Gauge {
        let key = self.0.key(values);
        metrics::with_recorder(|recorder| recorder.register_gauge(&key, &METADATA))
    }
}

impl Histogram {
    /// Returns the handle of a series, as [`Counter::with`] does.
    pub fn with(&self, values: &[&str]) -> metrics::Histogram {
        let key = self.0.key(values);
        metrics::with_recorder(|recorder| recorder.register_histogram(&key, &METADATA))
    }
}
