//! Logs and metrics.
//!
//! Log lines go to standard error, as text for people or JSON for machines,
//! and hold ids, names, statuses and times: no payloads, no secrets.

use std::io::IsTerminal as _;

use metrics_exporter_prometheus::PrometheusBuilder;
use metrics_exporter_prometheus::PrometheusHandle;
use tracing_subscriber::EnvFilter;

use crate::http::audit;

/// The format of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// One line of text per event
    Text,
    /// One JSON object per line
    Json,
}

/// An error in the setup of logs or metrics.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    #[error("`{0}` is not a log filter; expected a form such as `info` or `hoth=debug,warn`")]
    Filter(String),
    #[error("logs are set up already")]
    Logs,
    #[error("metrics are set up already")]
    Metrics(#[from] metrics_exporter_prometheus::BuildError),
}

/// Writes the log lines of this process to standard error. `filter` has the form
/// of `RUST_LOG`. Audit lines are always written, unless it names `audit`.
///
/// # Errors
///
/// Returns an error for an invalid filter, and at a second call.
pub fn start_logs(format: LogFormat, filter: &str) -> Result<(), TelemetryError> {
    let filter = EnvFilter::try_new(with_audit(filter))
        .map_err(|_| TelemetryError::Filter(filter.to_owned()))?;
    let lines = tracing_subscriber::fmt()
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        .with_env_filter(filter);
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

/// Returns a filter that also passes audit lines. Later directives take
/// precedence, so a filter that names the target `audit` decides itself.
fn with_audit(filter: &str) -> String {
    format!("{}=info,{filter}", audit::TARGET)
}

/// Installs the recorder of this process's metrics, and returns the handle that
/// renders them.
///
/// # Errors
///
/// Returns an error at a second call.
pub fn start_metrics() -> Result<PrometheusHandle, TelemetryError> {
    Ok(PrometheusBuilder::new().install_recorder()?)
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::EnvFilter;

    use super::with_audit;

    #[test]
    fn audit_lines_are_written_unless_the_filter_names_them() {
        for (filter, expected) in [
            ("info", "audit=info,info"),
            ("hoth=debug,warn", "audit=info,hoth=debug,warn"),
            ("audit=off,info", "audit=off,info"),
        ] {
            let parsed = EnvFilter::try_new(with_audit(filter)).unwrap().to_string();
            let mut parts: Vec<&str> = parsed.split(',').collect();
            let mut expected: Vec<&str> = expected.split(',').collect();
            parts.sort_unstable();
            expected.sort_unstable();
            assert_eq!(parts, expected, "{filter}");
        }
    }
}
