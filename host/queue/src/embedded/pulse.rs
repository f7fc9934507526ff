//! The writer as other threads see it: its progress, and the size of its log.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::Instant;

/// Numbers that the writer updates, and that others read without it.
#[derive(Debug)]
pub struct Pulse {
    opened_at: Instant,
    /// The last time at which the writer went round its loop, in milliseconds
    /// since `opened_at`.
    turned_ms: AtomicU64,
    log_bytes: AtomicU64,
}

impl Pulse {
    pub fn new() -> Self {
        Self {
            opened_at: Instant::now(),
            turned_ms: AtomicU64::new(0),
            log_bytes: AtomicU64::new(0),
        }
    }

    /// Notes that the writer goes round its loop.
    pub fn turn(&self) {
        let since = u64::try_from(self.opened_at.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.turned_ms.store(since, Ordering::Relaxed);
    }

    /// Returns the time since the writer last went round its loop.
    pub fn since_turn(&self) -> Duration {
        let turned = Duration::from_millis(self.turned_ms.load(Ordering::Relaxed));
        self.opened_at.elapsed().saturating_sub(turned)
    }

    pub fn set_log_bytes(&self, bytes: u64) {
        self.log_bytes.store(bytes, Ordering::Relaxed);
    }

    pub fn log_bytes(&self) -> u64 {
        self.log_bytes.load(Ordering::Relaxed)
    }
}
