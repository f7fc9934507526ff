//! Logs.
//!
//! Log lines go to standard error, as text for people or JSON for machines,
//! and hold ids, names, statuses and times: no payloads, no secrets. A thread
//! with a bounded [buffer](log_buffer) writes them.

mod acts;
mod log_buffer;

use std::io::IsTerminal as _;
use std::panic;
use std::sync::OnceLock;
use std::thread;
use std::time::Duration;

use tracing::error;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use self::acts::ActsLayer;
pub use self::acts::record_acts;
use self::log_buffer::LogBuffer;
use self::log_buffer::ROOM;
pub use self::log_buffer::register_metrics;
use crate::http::audit;

/// The longest wait for log lines at the end of a process: a reader that stalls
/// must not keep the process from its restart.
const FLUSH_MAX: Duration = Duration::from_secs(1);

/// The buffer of this process.
static BUFFER: OnceLock<LogBuffer> = OnceLock::new();

/// The format of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// One line of text per event
    Text,
    /// One JSON object per line
    Json,
}

/// An error in the setup of logs.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    #[error("`{0}` is not a log filter; expected a form such as `info` or `hoth=debug,warn`")]
    Filter(String),
    #[error("logs are set up already")]
    Logs,
    #[error("the thread that writes logs cannot be started")]
    LogThread(#[source] std::io::Error),
}

/// Writes the log lines of this process to standard error. `filter` has the form
/// of `RUST_LOG`. Audit lines are always written, unless it names `audit`. The
/// returned value flushes the log when it is dropped.
///
/// # Errors
///
/// Returns an error for an invalid filter, and at a second call.
pub fn start_logs(format: LogFormat, filter: &str) -> Result<FlushOnDrop, TelemetryError> {
    let filter = EnvFilter::try_new(with_audit(filter))
        .map_err(|_| TelemetryError::Filter(filter.to_owned()))?;
    // Without the thread there is no log, and no audit trail.
    let ended = || std::process::exit(1);
    let buffer = LogBuffer::start(std::io::stderr(), ROOM, ended);
    let buffer = buffer.map_err(TelemetryError::LogThread)?;
    let lines = tracing_subscriber::fmt()
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(buffer.clone())
        .with_env_filter(filter);
    let started = match format {
        LogFormat::Text => lines.finish().with(ActsLayer).try_init(),
        LogFormat::Json => lines
            .json()
            .flatten_event(true)
            .with_current_span(true)
            .with_span_list(false)
            .finish()
            .with(ActsLayer)
            .try_init(),
    };
    started.map_err(|_| TelemetryError::Logs)?;
    BUFFER.get_or_init(|| buffer);
    log_panics();
    Ok(FlushOnDrop)
}

/// Flushes the log when it is dropped, at the end of a process or by the
/// unwinding of a panic.
#[must_use = "the log is flushed when this is dropped"]
#[derive(Debug)]
pub struct FlushOnDrop;

impl Drop for FlushOnDrop {
    fn drop(&mut self) {
        flush_logs();
    }
}

/// Waits until the log lines are written, for [`FLUSH_MAX`] at most.
pub fn flush_logs() {
    if let Some(buffer) = BUFFER.get() {
        buffer.flush(FLUSH_MAX);
    }
}

/// Writes the last message of a process to the log, behind all lines.
pub fn write_last(text: &str) {
    if let Some(buffer) = BUFFER.get() {
        buffer.push_last(text);
    }
}

/// Makes panics lines of the log. The standard library writes them to standard
/// error directly, which blocks when its reader stalls.
fn log_panics() {
    panic::set_hook(Box::new(|panicked| {
        let text = panicked.payload_as_str().unwrap_or("a panic without a text");
        let place = panicked.location().map(ToString::to_string).unwrap_or_default();
        let thread = thread::current();
        let thread = thread.name().unwrap_or("unnamed");
        error!(event = "panic", thread, place, "Panic: {text}");
    }));
}

/// Returns a filter that also passes audit lines. Later directives take
/// precedence, so a filter that names the target `audit` decides itself.
fn with_audit(filter: &str) -> String {
    format!("{}=info,{filter}", audit::TARGET)
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
