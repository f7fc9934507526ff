//! What a guest says, brought to the operator's log within bounds.

use std::sync::Arc;
use std::sync::Mutex;
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

use super::lift::cut;
use super::wit::log::Level;

/// Lines of one call, from `log` and WASI's streams together; the contract
/// says so.
const LINES_MAX: u32 = 64;

/// Bytes of one line; the contract says so.
const LINE_BYTES_MAX: usize = 4_096;

/// What one version of an adapter may write at once, over all its calls: a
/// thousand jobs' worth of ordinary lines.
const VOLUME_BYTES_MAX: u64 = 1 << 20;

/// What it may write in the long run: 1.4 GB a day, from each of its lines
/// being wanted.
const VOLUME_BYTES_PER_SECOND: u64 = 16 << 10;

/// When it has written too much, it may go on after this much has been made up
/// for. Less would let a flood through in drops, each with our own line.
const VOLUME_BYTES_TO_GO_ON: u64 = VOLUME_BYTES_MAX / 4;

/// What a stream claims to have room for. It always takes everything; this
/// bounds what a guest hands over at once.
const STREAM_BYTES_MAX: usize = 64 << 10;

/// What one version of an adapter may still write, over all its calls.
#[derive(Debug)]
pub(super) struct LogVolume(Mutex<Volume>);

#[derive(Debug)]
struct Volume {
    left: u64,
    counted_at: Instant,
    /// Lines left out since the volume was used up; none while there is some.
    dropped: Option<u64>,
}

/// What becomes of a line.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Write,
    /// The first after so many that were left out.
    WriteAfter(u64),
    /// The first to be left out.
    DropAndSay,
    Drop,
}

impl Default for LogVolume {
    fn default() -> Self {
        let (left, counted_at) = (VOLUME_BYTES_MAX, Instant::now());
        Self(Mutex::new(Volume { left, counted_at, dropped: None }))
    }
}

impl LogVolume {
    fn take(&self, bytes: usize, now: Instant) -> Verdict {
        let bytes = bytes as u64;
        let mut volume = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = now.saturating_duration_since(volume.counted_at).as_millis();
        let refill = u64::try_from(waited).unwrap_or(u64::MAX);
        let refill = refill.saturating_mul(VOLUME_BYTES_PER_SECOND) / 1_000;
        if refill > 0 {
            volume.left = volume.left.saturating_add(refill).min(VOLUME_BYTES_MAX);
            volume.counted_at = now;
        }
        match volume.dropped {
            None if volume.left >= bytes => {
                volume.left -= bytes;
                Verdict::Write
            }
            None => {
                volume.dropped = Some(1);
                Verdict::DropAndSay
            }
            Some(dropped) if volume.left >= VOLUME_BYTES_TO_GO_ON => {
                volume.left -= bytes;
                volume.dropped = None;
                Verdict::WriteAfter(dropped)
            }
            Some(dropped) => {
                volume.dropped = Some(dropped + 1);
                Verdict::Drop
            }
        }
    }
}

/// The log of one call. Clones share the count of lines.
#[derive(Debug, Clone)]
pub(super) struct GuestLog {
    adapter: Arc<str>,
    lines: Arc<AtomicU32>,
    volume: Arc<LogVolume>,
}

impl GuestLog {
    pub fn new(adapter: Arc<str>, volume: Arc<LogVolume>) -> Self {
        Self { adapter, lines: Arc::new(AtomicU32::new(0)), volume }
    }

    pub fn line(&self, level: Level, message: &str) {
        let said = self.lines.fetch_add(1, Ordering::Relaxed);
        let adapter = &*self.adapter;
        if said >= LINES_MAX {
            if said == LINES_MAX {
                warn!(adapter, "The adapter says more than {LINES_MAX} lines in one call");
            }
            return;
        }
        // What nobody wants to read takes nothing of the volume.
        if matches!(level, Level::Debug) && !tracing::enabled!(tracing::Level::DEBUG) {
            return;
        }
        match self.volume.take(message.len().min(LINE_BYTES_MAX), Instant::now()) {
            Verdict::Write => {}
            Verdict::WriteAfter(lines) => {
                warn!(adapter, "{lines} lines of the adapter were left out");
            }
            Verdict::DropAndSay => {
                warn!(
                    adapter,
                    "The adapter says more than {VOLUME_BYTES_MAX} bytes at once and \
                     {VOLUME_BYTES_PER_SECOND} a second; its lines are left out for a while"
                );
                return;
            }
            Verdict::Drop => return,
        }
        // A line break would let a guest write lines in another's name.
        let message = cut(message, LINE_BYTES_MAX).replace(char::is_control, " ");
        match level {
            Level::Debug => debug!(adapter, "{message}"),
            Level::Info => info!(adapter, "{message}"),
            Level::Warn => warn!(adapter, "{message}"),
            Level::Error => error!(adapter, "{message}"),
        }
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
        Box::new(Lines { log: self.log.clone(), level: self.level, partial: Vec::new() })
    }
}

/// Collects bytes into lines. The last one is written when the stream goes.
struct Lines {
    log: GuestLog,
    level: Level,
    partial: Vec<u8>,
}

impl Lines {
    fn end_line(&mut self) {
        if !self.partial.is_empty() {
            self.log.line(self.level, &String::from_utf8_lossy(&self.partial));
            self.partial.clear();
        }
    }
}

impl OutputStream for Lines {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        for (nth, piece) in bytes.split(|byte| *byte == b'\n').enumerate() {
            if nth > 0 {
                self.end_line();
            }
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
impl Pollable for Lines {
    async fn ready(&mut self) {}
}

impl Drop for Lines {
    fn drop(&mut self) {
        self.end_line();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn an_adapter_that_floods_the_log_is_heard_from_time_to_time() {
        let (volume, begun) = (LogVolume::default(), Instant::now());
        let say = |seconds| volume.take(LINE_BYTES_MAX, begun + Duration::from_secs(seconds));
        for _ in 0..256 {
            assert_eq!(say(0), Verdict::Write);
        }
        assert_eq!(say(0), Verdict::DropAndSay);
        assert_eq!(say(1), Verdict::Drop);
        assert_eq!(say(15), Verdict::Drop);
        assert_eq!(say(16), Verdict::WriteAfter(3));
        for _ in 0..63 {
            assert_eq!(say(16), Verdict::Write);
        }
        assert_eq!(say(16), Verdict::DropAndSay);
        // However long it says nothing, no more than the volume is saved up.
        assert_eq!(say(1_000_000), Verdict::WriteAfter(1));
        for _ in 0..255 {
            assert_eq!(say(1_000_000), Verdict::Write);
        }
        assert_eq!(say(1_000_000), Verdict::DropAndSay);
    }
}
