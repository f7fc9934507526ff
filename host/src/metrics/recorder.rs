//! The recorder of the process.

use std::time::Duration;

use metrics::Unit;
use metrics_exporter_prometheus::BuildError;
use metrics_exporter_prometheus::Matcher;
use metrics_exporter_prometheus::PrometheusBuilder;
use metrics_exporter_prometheus::PrometheusHandle;

use super::definition::Counter;
use super::definition::Definition;
use super::definition::Kind;
use super::table;

/// The pause between two summaries of the recorded values of histograms. Until
/// then each value takes some bytes.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);

/// Counters without labels whose values the operating system keeps.
const READ_AT_SCRAPES: [&str; 1] = [table::PROCESS_CPU.0.name];

/// A failed setup of the recorder.
#[derive(Debug, thiserror::Error)]
#[error("metrics are set up already")]
pub struct RecorderError(#[from] BuildError);

/// The recorder of all metrics of this process. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Recorder(PrometheusHandle);

impl Recorder {
    /// Installs the recorder of this process. Metrics that were recorded before
    /// are lost.
    ///
    /// # Errors
    ///
    /// Returns an error at a second call.
    pub fn install() -> Result<Self, RecorderError> {
        let mut builder = PrometheusBuilder::new();
        for definition in table::all() {
            if let Kind::Histogram(bounds) = definition.kind {
                let name = Matcher::Full(definition.name.to_owned());
                builder = builder.set_buckets_for_metric(name, bounds)?;
            }
        }
        let recorder = Self(builder.install_recorder()?);
        table::all().for_each(describe);
        // From the start on, so that the first event is an increase.
        for definition in table::all().filter(|it| it.labels.is_empty()) {
            if definition.kind == Kind::Counter && !READ_AT_SCRAPES.contains(&definition.name) {
                Counter(*definition).with(&[]).increment(0);
            }
        }
        Ok(recorder)
    }

    /// Returns the text of all recorded metrics.
    pub fn render(&self) -> String {
        self.0.render()
    }

    /// Bounds the memory of histograms, for ever: without a scrape, their
    /// values would be kept one by one.
    pub async fn upkeep(self) {
        loop {
            tokio::time::sleep(UPKEEP_INTERVAL).await;
            self.0.run_upkeep();
        }
    }
}

/// Tells the recorder the help text and the unit of a metric.
fn describe(definition: &Definition) {
    let name = definition.name;
    let unit = unit(name);
    metrics::with_recorder(|recorder| match definition.kind {
        Kind::Counter => recorder.describe_counter(name.into(), unit, definition.help.into()),
        Kind::Gauge => recorder.describe_gauge(name.into(), unit, definition.help.into()),
        Kind::Histogram(_) => {
            recorder.describe_histogram(name.into(), unit, definition.help.into());
        }
    });
}

/// Returns the unit that ends the name of a metric.
fn unit(name: &str) -> Option<Unit> {
    let name = name.strip_suffix("_total").unwrap_or(name);
    [("_seconds", Unit::Seconds), ("_bytes", Unit::Bytes)]
        .into_iter()
        .find_map(|(suffix, unit)| name.ends_with(suffix).then_some(unit))
}
