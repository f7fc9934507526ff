//! The end of the writer: with a closed file, or with a failure of storage.

use std::sync::atomic::Ordering;
use std::time::Instant;

use tracing::error;
use tracing::info;
use tracing::warn;

use super::IDLE_MAX;
use super::Opened;
use super::REPORT_EVERY;
use super::Writer;
use super::storage_failed;
use crate::embedded::command::Command;
use crate::embedded::failure::StorageFailure;
use crate::embedded::identity::Displaced;
use crate::embedded::identity::Displacement;
use crate::embedded::identity::Part;
use crate::embedded::other_writers::OtherWriters;
use crate::embedded::other_writers::State;
use crate::embedded::rescue;

impl Writer {
    /// Closes the file, with everything in the database and an empty log, so
    /// that a copy of the database alone holds everything.
    pub(super) fn end(self) {
        let Opened { sql, lock, files, .. } = self.opened;
        if self.failed.borrow().is_some() {
            // Neither may SQLite move a log that it may not be able to read
            // back, nor delete another file in the log's place. The process is
            // about to end, which closes the file as well.
            std::mem::forget(sql);
            return;
        }
        if !rescue::empty_log(&sql) {
            warn!(
                "Another process reads the queue file, so recent messages stay in {}: a copy of \
                 the database needs this file as well",
                files.log.display()
            );
        }
        drop(sql);
        drop(lock);
    }

    /// Looks at the files if no commit has done so for a while.
    pub(super) fn look_after_a_pause(&mut self) {
        if self.look_at > Instant::now() {
            return;
        }
        if let Err(displaced) = self.look_at_files() {
            self.displace(Vec::new(), displaced);
        }
    }

    /// Checks that a restart would open the files that this process writes.
    pub(super) fn look_at_files(&mut self) -> Result<(), Displaced> {
        self.look_at = Instant::now() + IDLE_MAX;
        if let Some(State::Damaged) = self.opened.other_writers.as_mut().map(OtherWriters::look) {
            let what = Displacement::Overwritten;
            return Err(Displaced { part: Part::Database, what });
        }
        match self.opened.files.check() {
            Ok(found) => {
                let found = found?;
                self.log.note(found.log_bytes);
                self.log_bytes.store(found.log_bytes, Ordering::Relaxed);
                let linked = found.links > 1;
                if linked && !std::mem::replace(&mut self.linked, linked) {
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
                warn!(error = &error as &dyn std::error::Error, "Cannot look at the queue file");
                self.look_at = Instant::now() + REPORT_EVERY;
            }
        }
        Ok(())
    }

    /// Refuses everything from now on.
    ///
    /// After a failed write or sync the content of the file is unknown:
    /// SQLite's page cache may hold pages that the file does not have, and a
    /// second fsync may report success for pages that the kernel has dropped
    /// (LWN, "PostgreSQL's fsync() surprise", 2018). Only a new process reads
    /// the stored state.
    pub(super) fn fail(&mut self, commands: Vec<Box<dyn Command>>, cause: &rusqlite::Error) {
        error!(error = cause as &dyn std::error::Error, "Queue storage failed");
        let path = self.opened.files.path.clone();
        self.refuse_all(commands, StorageFailure::Unknown { path, cause: cause.to_string() });
    }

    /// Refuses everything from now on, because the file that is written is not
    /// the one that a restart will open. Saves what has been accepted.
    pub(super) fn displace(&mut self, commands: Vec<Box<dyn Command>>, displacement: Displaced) {
        let path = self.opened.files.path.clone();
        let failure = |rescue| StorageFailure::Displaced {
            path: path.clone(),
            displacement: displacement.clone(),
            rescue,
        };
        // Callers are refused first: a copy of a large queue takes a while.
        self.refuse_all(commands, failure(None));
        error!("{}: saving the accepted messages", failure(None));
        let Opened { sql, lock, files, clock, .. } = &self.opened;
        let rescue = rescue::save(sql, lock, files, &displacement, clock.now());
        let failure = failure(Some(rescue));
        info!("Ended saving: {failure}");
        self.failed.send_replace(Some(failure));
    }

    fn refuse_all(&mut self, commands: Vec<Box<dyn Command>>, failure: StorageFailure) {
        self.failed.send_replace(Some(failure));
        for command in commands {
            command.answer(Err(storage_failed()));
        }
        for waiter in self.waiting.drain() {
            waiter.answer(Err(storage_failed()));
        }
    }
}
