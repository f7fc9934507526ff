//! Logs and metrics.
//!
//! Log lines go to standard error, as text for people or JSON for machines,
//! and hold ids, names, statuses and times: no payloads, no secrets.

use metrics_exporter_prometheus::PrometheusBuilder;
use metrics_exporter_prometheus::PrometheusHandle;
use tracing_subscriber::EnvFilter;

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// One readable line per event.
    Text,
    /// One JSON object per line.
    Json,
}

/// Why logging or metrics cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    #[error("`{0}` is not a log filter, such as `info` or `hoth=debug,warn`")]
    Filter(String),
    #[error("logging was set up before")]
    Logs,
    #[error("metrics were set up before")]
    Metrics(#[from] metrics_exporter_prometheus::BuildError),
}

/// Sends this process's log lines to standard error. `filter` is written as
/// for `RUST_LOG`.
///
/// # Errors
///
/// For a bad filter, and when it is called twice.
pub fn start_logs(format: LogFormat, filter: &str) -> Result<(), TelemetryError> {
    let filter =
        EnvFilter::try_new(filter).map_err(|_| TelemetryError::Filter(filter.to_owned()))?;
    let lines = tracing_subscriber::fmt().with_writer(std::io::stderr).with_env_filter(filter);
    let started = match format {
        LogFormat::Text => lines.try_init(),
        LogFormat::Json => lines
            .json()
            .flatten_event(true)
            .with_current_span(true)
            .with_span_list(false)
            .try_init(),
    };
    started.map_err(|_| TelemetryError::Logs)
}

/// Collects this process's metrics; the handle renders them.
///
/// # Errors
///
/// When it is called twice.
pub fn start_metrics() -> Result<PrometheusHandle, TelemetryError> {
    Ok(PrometheusBuilder::new().install_recorder()?)
}
