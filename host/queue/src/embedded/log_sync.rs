//! The sync of SQLite's log, by which commits become durable.

use std::fs::File;
use std::io;
use std::path::Path;

/// SQLite's log, opened once to be synced.
///
/// The kernel reports a failed write of a file once to every descriptor that was
/// open before (`errseq_t`), so this one, which stays open, misses no error,
/// even if SQLite's own sync of the log has reported it before. SQLite takes no
/// locks on the log, so closing the descriptor releases none.
#[derive(Debug)]
pub struct LogSync {
    log: File,
    waits_for_disk: bool,
}

impl LogSync {
    pub fn open(log: &Path) -> io::Result<Self> {
        Ok(Self { log: File::open(log)?, waits_for_disk: waits_for_disk() })
    }

    /// Waits until everything that was written to the log is on disk.
    ///
    /// # Errors
    ///
    /// The disk has failed to write. Then the content of the log is unknown: a
    /// second sync may report success for pages that the kernel has dropped.
    pub fn sync(&self) -> io::Result<()> {
        if self.waits_for_disk { self.log.sync_data() } else { Ok(()) }
    }
}

#[cfg(not(debug_assertions))]
fn waits_for_disk() -> bool {
    true
}

/// Returns true unless a test turns the sync off: `tests/crash` proves by it
/// that its power cuts lose messages that were not synced. Release builds have
/// no such switch.
#[cfg(debug_assertions)]
fn waits_for_disk() -> bool {
    std::env::var_os("HOTH_TEST_SYNCHRONOUS").is_none_or(|word| word != "normal")
}
