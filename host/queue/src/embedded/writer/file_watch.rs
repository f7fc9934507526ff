//! The checks of the queue's files: before every answer, and while there is
//! nothing to answer.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::Instant;

use tracing::warn;

use crate::embedded::identity::Displaced;
use crate::embedded::identity::Displacement;
use crate::embedded::identity::Part;
use crate::embedded::identity::QueueFiles;
use crate::embedded::other_writers::OtherWriters;
use crate::embedded::other_writers::State;

/// The pause between two reports that the files cannot be checked.
const REPORT_EVERY: Duration = Duration::from_secs(60);

/// The check of the files of an open queue, and what it has reported.
pub struct FileWatch {
    pub files: QueueFiles,
    /// `None` if the kernel does not allow the watch.
    other_writers: Option<OtherWriters>,
    /// The size of the log, for others to read.
    log_bytes: Arc<AtomicU64>,
    /// The database has got a second name, which has been reported.
    linked: bool,
    report_at: Instant,
}

impl FileWatch {
    pub fn new(
        files: QueueFiles,
        other_writers: Option<OtherWriters>,
        log_bytes: Arc<AtomicU64>,
    ) -> Self {
        Self { files, other_writers, log_bytes, linked: false, report_at: Instant::now() }
    }

    /// Ends the watch over other writers, and a check that it runs.
    pub fn stop(&mut self) {
        self.other_writers = None;
    }

    /// Checks that a restart would open the files that this process writes.
    pub fn check(&mut self) -> Result<(), Displaced> {
        if let Some(others) = &mut self.other_writers {
            let is_in_place = || matches!(self.files.check(), Ok(Ok(_)));
            match others.look(is_in_place) {
                State::NotDamaged => {}
                State::Damaged => {
                    let what = Displacement::Overwritten;
                    return Err(Displaced { part: Part::Database, what });
                }
            }
        }
        match self.files.check() {
            Ok(found) => {
                let found = found?;
                self.log_bytes.store(found.log_bytes, Ordering::Relaxed);
                let linked = found.links > 1;
                if linked && !self.linked {
                    warn!(
                        links = found.links,
                        "The queue file has got another name (a hard link), which is no backup: \
                         remove the other name, or the next start is refused"
                    );
                }
                self.linked = linked;
            }
            // Says nothing about the files, which SQLite has open.
            Err(error) => {
                if self.report_at <= Instant::now() {
                    self.report_at = Instant::now() + REPORT_EVERY;
                    let error: &dyn std::error::Error = &error;
                    warn!(error, "Cannot check the queue file");
                }
            }
        }
        Ok(())
    }
}
