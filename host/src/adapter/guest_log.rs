//! What a guest says, brought to the operator's log within bounds.

use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering;

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

/// What a stream claims to have room for. It always takes everything; this
/// bounds what a guest hands over at once.
const STREAM_BYTES_MAX: usize = 64 << 10;

/// The log of one call. Clones share the count of lines.
#[derive(Debug, Clone)]
pub(super) struct GuestLog {
    adapter: Arc<str>,
    lines: Arc<AtomicU32>,
}

impl GuestLog {
    pub fn new(adapter: Arc<str>) -> Self {
        Self { adapter, lines: Arc::new(AtomicU32::new(0)) }
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
