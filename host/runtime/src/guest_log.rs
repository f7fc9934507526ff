//! The log lines of a guest, written to the operator's log within bounds.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering;
use std::time::Instant;

use bytes::Bytes;
use tracing::debug;
use tracing::error;
use tracing::info;
use tracing::warn;
use wasmtime_wasi::cli::IsTerminal;
use wasmtime_wasi::cli::StdoutStream;
use wasmtime_wasi::p2::OutputStream;
use wasmtime_wasi::p2::Pollable;
use wasmtime_wasi::p2::StreamResult;

use super::text::cut;
use super::wit::log::Level;
use hoth_core::domain::EVENT_LINES_MAX;
use hoth_core::domain::LogLevel;
use hoth_core::domain::event_line;

/// The most lines of one call, from `log` and WASI's streams together, by the
/// WIT.
const LINES_MAX: u32 = 64;

/// The most bytes of one line, by the WIT.
const LINE_BYTES_MAX: usize = 4_096;

/// The bytes that one version of an adapter may write in a burst, over all its
/// calls: a thousand jobs' worth of ordinary lines.
const VOLUME_BYTES_MAX: u64 = 1 << 20;

/// The bytes a second that one version may write in the long run: 1.4 GB a day.
const VOLUME_BYTES_PER_SECOND: u64 = 16 << 10;

/// The bytes that must be available before a version that was throttled may
/// write again. Without this gap, a flood would pass line by line, each with a
/// report of the host.
const VOLUME_BYTES_TO_GO_ON: u64 = VOLUME_BYTES_MAX / 4;

/// The free space that a stream reports. It accepts every write; this bounds
/// the bytes of one write.
const STREAM_BYTES_MAX: usize = 64 << 10;

/// The token bucket of one version of an adapter, over all its calls.
#[derive(Debug)]
pub(super) struct LogVolume(Mutex<Volume>);

#[derive(Debug)]
struct Volume {
    left: u64,
    counted_at: Instant,
    /// The lines dropped since the bucket was empty. `None` while lines are
    /// written.
    dropped: Option<u64>,
}

/// The decision on one line.
#[derive(Debug, PartialEq, Eq)]
enum LineDecision {
    Write,
    /// The first line after this many dropped ones.
    WriteAfter(u64),
    /// The first dropped line, which the host reports.
    DropAndReport,
    Drop,
}

impl Default for LogVolume {
    fn default() -> Self {
        let (left, counted_at) = (VOLUME_BYTES_MAX, Instant::now());
        Self(Mutex::new(Volume { left, counted_at, dropped: None }))
    }
}

impl LogVolume {
    fn take(&self, bytes: usize, now: Instant) -> LineDecision {
        let bytes = bytes as u64;
        // A panic of another call leaves plain counts behind, so a poisoned
        // lock is still usable.
        let mut volume = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = now.saturating_duration_since(volume.counted_at).as_millis();
        let refill = u64::try_from(waited).unwrap_or(u64::MAX);
        let refill = refill.saturating_mul(VOLUME_BYTES_PER_SECOND) / 1_000;
        // Too short a time for one byte must not be taken off, or frequent
        // lines would keep the bucket from ever being refilled.
        if refill > 0 {
            volume.left = volume.left.saturating_add(refill).min(VOLUME_BYTES_MAX);
            volume.counted_at = now;
        }
        match volume.dropped {
            None if volume.left >= bytes => {
                volume.left -= bytes;
                LineDecision::Write
            }
            None => {
                volume.dropped = Some(1);
                LineDecision::DropAndReport
            }
            Some(dropped) if volume.left >= VOLUME_BYTES_TO_GO_ON => {
                // The caller cuts lines to far less than this bound.
                volume.left -= bytes;
                volume.dropped = None;
                LineDecision::WriteAfter(dropped)
            }
            Some(dropped) => {
                volume.dropped = Some(dropped + 1);
                LineDecision::Drop
            }
        }
    }
}

/// The log of one call. Clones share the lines.
#[derive(Debug, Clone)]
pub(super) struct GuestLog {
    adapter: Arc<str>,
    lines: Arc<Lines>,
    volume: Arc<LogVolume>,
}

/// The lines of one call.
#[derive(Debug, Default)]
struct Lines {
    count: AtomicU32,
    /// The first lines, for the events of the job.
    kept: Mutex<Vec<(LogLevel, Box<str>)>>,
}

impl GuestLog {
    pub fn new(adapter: Arc<str>, volume: Arc<LogVolume>) -> Self {
        Self { adapter, lines: Arc::default(), volume }
    }

    /// Takes the lines that were kept, and leaves none.
    pub fn take_kept(&self) -> Vec<(LogLevel, Box<str>)> {
        std::mem::take(&mut *self.lines.kept())
    }

    pub fn line(&self, level: Level, message: &str) {
        // Dropped lines are counted, too, so exactly one of them reports the
        // limit.
        let logged = self.lines.count.fetch_add(1, Ordering::Relaxed);
        let adapter = &*self.adapter;
        if logged >= LINES_MAX {
            if logged == LINES_MAX {
                warn!(
                    adapter,
                    "Adapter logs more than {LINES_MAX} lines in one call; the rest are dropped"
                );
            }
            return;
        }
        // A line that the filter drops must not use up the volume.
        if matches!(level, Level::Debug) && !tracing::enabled!(tracing::Level::DEBUG) {
            return;
        }
        match self.volume.take(message.len().min(LINE_BYTES_MAX), Instant::now()) {
            LineDecision::Write => {}
            LineDecision::WriteAfter(lines) => {
                warn!(adapter, "{lines} log lines of the adapter were dropped");
            }
            LineDecision::DropAndReport => {
                warn!(
                    adapter,
                    "Adapter logs more than {VOLUME_BYTES_MAX} bytes in a burst and \
                     {VOLUME_BYTES_PER_SECOND} a second; its lines are dropped for a while"
                );
                return;
            }
            LineDecision::Drop => return,
        }
        self.lines.keep(level, message);
        // A line break would let a guest forge lines of other sources.
        let message = cut(message, LINE_BYTES_MAX).replace(char::is_control, " ");
        match level {
            Level::Debug => debug!(adapter, "{message}"),
            Level::Info => info!(adapter, "{message}"),
            Level::Warn => warn!(adapter, "{message}"),
            Level::Error => error!(adapter, "{message}"),
        }
    }
}

impl Lines {
    fn keep(&self, level: Level, message: &str) {
        let mut kept = self.kept();
        if kept.len() < EVENT_LINES_MAX {
            let level = match level {
                Level::Debug => LogLevel::Debug,
                Level::Info => LogLevel::Info,
                Level::Warn => LogLevel::Warn,
                Level::Error => LogLevel::Error,
            };
            kept.push((level, event_line(message)));
        }
    }

    fn kept(&self) -> MutexGuard<'_, Vec<(LogLevel, Box<str>)>> {
        // A panic while a line is added leaves whole lines behind.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Standard output or error of a guest: its lines become lines of the log.
pub(super) struct GuestStream {
    log: GuestLog,
    level: Level,
}

impl GuestStream {
    pub fn new(log: GuestLog, level: Level) -> Self {
        Self { log, level }
    }
}

impl IsTerminal for GuestStream {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for GuestStream {
    fn async_stream(&self) -> Box<dyn tokio::io::AsyncWrite + Send + Sync> {
        // Only WASI 0.3 asks for this, and it is not linked.
        Box::new(tokio::io::sink())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(LineStream { log: self.log.clone(), level: self.level, partial: Vec::new() })
    }
}

/// A stream that splits bytes into lines. The last line is written when the
/// stream is dropped.
struct LineStream {
    log: GuestLog,
    level: Level,
    partial: Vec<u8>,
}

impl LineStream {
    fn end_line(&mut self) {
        if !self.partial.is_empty() {
            self.log.line(self.level, &String::from_utf8_lossy(&self.partial));
            self.partial.clear();
        }
    }
}

impl OutputStream for LineStream {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        for (nth, piece) in bytes.split(|byte| *byte == b'\n').enumerate() {
            if nth > 0 {
                self.end_line();
            }
            // The rest of a long line is dropped, up to its line break.
            let room = LINE_BYTES_MAX.saturating_sub(self.partial.len());
            self.partial.extend_from_slice(&piece[..piece.len().min(room)]);
        }
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(STREAM_BYTES_MAX)
    }
}

#[async_trait::async_trait]
impl Pollable for LineStream {
    async fn ready(&mut self) {}
}

impl Drop for LineStream {
    fn drop(&mut self) {
        self.end_line();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn an_adapter_that_floods_the_log_is_throttled() {
        let (volume, begun) = (LogVolume::default(), Instant::now());
        let say = |seconds| volume.take(LINE_BYTES_MAX, begun + Duration::from_secs(seconds));
        for _ in 0..256 {
            assert_eq!(say(0), LineDecision::Write);
        }
        assert_eq!(say(0), LineDecision::DropAndReport);
        assert_eq!(say(1), LineDecision::Drop);
        assert_eq!(say(15), LineDecision::Drop);
        assert_eq!(say(16), LineDecision::WriteAfter(3));
        for _ in 0..63 {
            assert_eq!(say(16), LineDecision::Write);
        }
        assert_eq!(say(16), LineDecision::DropAndReport);
        // Silence saves up no more than the bucket holds.
        assert_eq!(say(1_000_000), LineDecision::WriteAfter(1));
        for _ in 0..255 {
            assert_eq!(say(1_000_000), LineDecision::Write);
        }
        assert_eq!(say(1_000_000), LineDecision::DropAndReport);
    }
}
