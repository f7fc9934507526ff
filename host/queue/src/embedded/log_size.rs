//! The size of SQLite's log, bounded and reported.
//!
//! The log is copied to the database (a checkpoint, see
//! [checkpoints](super::writer)), and used again from its beginning when no reader
//! needs it. One transaction that another process leaves open keeps it growing.

use std::time::Duration;
use std::time::Instant;

use rusqlite::Connection;
use tracing::info;
use tracing::warn;

use super::rescue::empty_log;
use super::schema::BUSY_WAIT;

/// The size from which on the log is reported.
const WARN_BYTES: u64 = 64 * 1024 * 1024;

/// The pause between two reports, and between two tries to empty a large log.
const WARN_EVERY: Duration = Duration::from_secs(60);
const EMPTY_EVERY: Duration = Duration::from_secs(5);

/// The size of the log, as the writer saw it last.
#[derive(Debug)]
pub struct LogSize {
    bytes: u64,
    max_bytes: u64,
    warn_at: Instant,
    empty_at: Instant,
}

impl LogSize {
    pub fn new(max_bytes: u64) -> Self {
        Self { bytes: 0, max_bytes, warn_at: Instant::now(), empty_at: Instant::now() }
    }

    /// Returns true if the log has room for new messages.
    pub fn has_room(&self) -> bool {
        self.bytes <= self.max_bytes
    }

    /// Notes the size of the log, and reports a large one.
    pub fn note(&mut self, bytes: u64) {
        let was_large = std::mem::replace(&mut self.bytes, bytes) > WARN_BYTES;
        let now = Instant::now();
        if bytes <= WARN_BYTES {
            if was_large {
                info!(bytes, "The log of the queue file is small again");
            }
            return;
        }
        if self.warn_at > now {
            return;
        }
        self.warn_at = now + WARN_EVERY;
        let refused =
            if self.has_room() { "" } else { "; new messages are refused until it shrinks" };
        warn!(
            bytes,
            max_bytes = self.max_bytes,
            "The log of the queue file is large, probably because another process keeps a read \
             transaction open (`sqlite3`, a backup): end that process{refused}"
        );
    }

    /// Empties a large log if no reader needs it. SQLite does so only with
    /// later commits, which may not come while new messages are refused. No
    /// checkpoint may run at the same time.
    pub fn shrink(&mut self, sql: &Connection) {
        let now = Instant::now();
        if self.bytes <= WARN_BYTES.min(self.max_bytes) || self.empty_at > now {
            return;
        }
        self.empty_at = now + EMPTY_EVERY;
        // Without a wait for readers: callers wait behind this.
        let waits = sql.busy_timeout(Duration::ZERO);
        if waits.is_ok() {
            empty_log(sql);
        }
        if let Err(error) = sql.busy_timeout(BUSY_WAIT) {
            warn!(error = &error as &dyn std::error::Error, "Cannot set the wait for locks");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_above_its_bound_leaves_no_room() {
        let mut size = LogSize::new(100);
        for (bytes, has_room) in [(0, true), (100, true), (101, false), (99, true)] {
            size.note(bytes);
            assert_eq!(size.has_room(), has_room, "{bytes}");
        }
    }
}
