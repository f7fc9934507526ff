//! Logs and metrics.
//!
//! Log lines go to standard error, as text for people or JSON for machines,
//! and hold ids, names, statuses and times: no payloads, no secrets.

use std::io::IsTerminal as _;

use metrics_exporter_prometheus::PrometheusBuilder;
use metrics_exporter_prometheus::PrometheusHandle;
use tracing_subscriber::EnvFilter;

use crate::http::audit;

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
/// for `RUST_LOG`; audit lines come in any case, unless it names `audit`.
///
/// # Errors
///
/// For a bad filter, and when it is called twice.
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

/// Audit lines are written whatever else is filtered out, unless the filter
/// names their target itself: what comes later counts.
fn with_audit(filter: &str) -> String {
    format!("{}=info,{filter}", audit::TARGET)
}

/// Collects this process's metrics; the handle renders them.
///
/// # Errors
///
/// When it is called twice.
pub fn start_metrics() -> Result<PrometheusHandle, TelemetryError> {
    Ok(PrometheusBuilder::new().install_recorder()?)
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::EnvFilter;

    use super::with_audit;

    #[test]
    fn audit_lines_come_unless_a_filter_names_them() {
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
