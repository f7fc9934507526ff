//! Logs.
//!
//! Log lines go to standard error, as [text for people or JSON for
//! machines](mod@format), and hold ids, names, statuses and times: no payloads, no secrets. A thread
//! with a bounded [buffer](log_buffer) writes them.

mod acts;
mod format;
mod log_buffer;

use std::io::IsTerminal as _;
use std::panic;
use std::sync::OnceLock;
use std::thread;
use std::time::Duration;

use tracing::error;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::JsonFields;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use self::acts::ActsLayer;
pub use self::acts::record_acts;
use self::format::JsonLine;
use self::format::TextFields;
use self::log_buffer::LogBuffer;
use self::log_buffer::ROOM;
pub use self::log_buffer::register_metrics;
use crate::http::audit;

/// The longest wait for log lines at the end of a process: a reader that stalls
/// must not keep the process from its restart.
const FLUSH_MAX: Duration = Duration::from_secs(1);

/// The buffer of this process, and the format of its lines.
static LOG: OnceLock<(LogBuffer, LogFormat)> = OnceLock::new();

/// The format of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// One line of text per event
    Text,
    /// One JSON object per line
    Json,
}

impl LogFormat {
    /// Returns the format for the reader of standard error: text for a terminal,
    /// and JSON for a program.
    pub fn for_standard_error() -> Self {
        if std::io::stderr().is_terminal() { Self::Text } else { Self::Json }
    }

    /// Returns the last line of a process: the error that ends it, or that
    /// keeps it from starting.
    pub fn last_line(self, message: &str) -> String {
        format::last_line(self == Self::Json, message)
    }
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
    let last_line = move |message: &str| format.last_line(message);
    let buffer = LogBuffer::start(std::io::stderr(), ROOM, last_line, ended);
    let buffer = buffer.map_err(TelemetryError::LogThread)?;
    let lines = tracing_subscriber::fmt()
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(buffer.clone())
        .with_env_filter(filter);
    let started = match format {
        LogFormat::Text => lines.fmt_fields(TextFields).finish().with(ActsLayer).try_init(),
        LogFormat::Json => lines
            .fmt_fields(JsonFields::new())
            .event_format(JsonLine)
            .finish()
            .with(ActsLayer)
            .try_init(),
    };
    started.map_err(|_| TelemetryError::Logs)?;
    LOG.get_or_init(|| (buffer, format));
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
    if let Some((buffer, _)) = LOG.get() {
        buffer.flush(FLUSH_MAX);
    }
}

/// Writes the last message of a process to the log, behind all lines.
pub fn write_last(message: &str) {
    if let Some((buffer, format)) = LOG.get() {
        buffer.push_last(&format.last_line(message));
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
    use std::collections::BTreeSet;
    use std::path::Path;

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

    /// Returns the words behind `event = ` in the Rust files below a folder.
    fn events_in(folder: &Path, events: &mut BTreeSet<String>) {
        for entry in std::fs::read_dir(folder).expect("the folder can be read") {
            let path = entry.expect("an entry can be read").path();
            if path.is_dir() {
                events_in(&path, events);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).expect("the file can be read");
                let of_line = |line: &str| {
                    let (_, rest) = line.split_once(concat!("event", " = \""))?;
                    Some(rest.split_once('"')?.0.to_owned())
                };
                events.extend(text.lines().filter_map(of_line));
            }
        }
    }

    #[test]
    fn the_documentation_has_every_event() {
        let host = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut events = BTreeSet::new();
        events_in(host, &mut events);
        let page = std::fs::read_to_string(host.join("../docs/logs.md")).expect("the page exists");
        let of_line = |line: &str| {
            let (name, rest) = line.strip_prefix("| `")?.split_once("` | ")?;
            let level = rest.split_once(" | ")?.0;
            ["INFO", "WARN", "ERROR"]
                .iter()
                .any(|known| level.contains(known))
                .then(|| name.to_owned())
        };
        // The line that ends a process is not an event of the subscriber.
        let documented: BTreeSet<String> =
            page.lines().filter_map(of_line).filter(|name| name != "exit").collect();
        assert_eq!(documented, events);
    }
}
