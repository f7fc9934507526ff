//! The end of the writer: with a closed file, or with a failure of storage.

use std::error::Error;
use std::sync::mpsc::Receiver;
use std::time::Duration;

use tracing::error;
use tracing::info;
use tracing::warn;

use super::ServeWaiters;
use super::Writer;
use super::release;
use super::storage_failed;
use super::sync::EndReason;
use super::sync::Ended;
use super::sync::SyncThread;
use crate::embedded::command::Command;
use crate::embedded::failure::HelperThread;
use crate::embedded::failure::StorageFailure;
use crate::embedded::identity::Displaced;
use crate::embedded::rescue;
use crate::embedded::wait_queues::Undelivered;

/// The longest wait, at the end, for a runtime that answers callers.
const ANSWERS_MAX: Duration = Duration::from_secs(1);

impl Writer {
    /// Closes the file, with everything in the database and an empty log, so
    /// that a copy of the database alone holds everything.
    pub(super) fn end(mut self) {
        if let Some(returned) = self.end_syncing() {
            self.take_back(&returned);
        }
        self.stop_connections();
        let Self { sql, checkpoints, file_watch, lock, failed, .. } = self;
        if failed.borrow().is_some() {
            // Neither may SQLite move a log that it may not be able to read
            // back, nor delete another file in the log's place. The process is
            // about to end, which closes the file as well.
            std::mem::forget((sql, checkpoints));
            return;
        }
        if !rescue::empty_log(&sql) {
            warn!(
                "Another process reads the queue file, so recent messages stay in its log: a copy \
                 of the database needs the file `-wal` as well"
            );
        }
        // The writer is the last connection: only that empties the log. Other
        // descriptors of the files are closed after it (see `FileLock`).
        let index = checkpoints.close();
        drop(sql);
        drop((index, file_watch, lock));
    }

    /// Ends the work of other connections, which would keep the log from being
    /// emptied.
    fn stop_connections(&mut self) {
        self.checkpoints.stop();
        if let Some(file_watch) = &mut self.file_watch {
            file_watch.stop();
        }
    }

    /// Releases the messages of receivers that have gone away. Their leases
    /// would outlive this process.
    fn take_back(&mut self, returned: &Receiver<Undelivered>) {
        // The channel ends with the last answer.
        let until_answered = std::iter::from_fn(|| returned.recv_timeout(ANSWERS_MAX).ok());
        let mut releases: Vec<_> = until_answered.map(release).collect();
        if !releases.is_empty() && self.transact(&mut releases, ServeWaiters::No).is_err() {
            warn!("Some messages come back when their leases run out: the file cannot be written");
        }
    }

    /// Ends the thread that syncs if it has ended by itself.
    pub(super) fn notice_the_end_of_syncing(&mut self) {
        if self.sync.as_ref().is_some_and(SyncThread::has_ended) {
            self.end_syncing();
        }
    }

    /// Waits until every commit is synced and answered, and ends the thread that
    /// does it. Returns the messages of receivers that have gone away, unless
    /// storage has failed.
    fn end_syncing(&mut self) -> Option<Receiver<Undelivered>> {
        let (ended, returned) = self.sync.take()?.finish();
        let Some(Ended { reason, file_watch }) = ended else {
            self.lose(HelperThread::Sync);
            return None;
        };
        self.file_watch = Some(file_watch);
        match reason {
            EndReason::Asked => return Some(returned),
            EndReason::NotSynced(cause) => self.fail(Vec::new(), &cause),
            EndReason::Displaced(displaced) => self.displace(Vec::new(), displaced),
        }
        None
    }

    /// Refuses everything from now on.
    ///
    /// After a failed write or sync the content of the file is unknown:
    /// SQLite's page cache may hold pages that the file does not have, and a
    /// second fsync may report success for pages that the kernel has dropped
    /// (LWN, "PostgreSQL's fsync() surprise", 2018). Only a new process reads
    /// the stored state.
    pub(super) fn fail(&mut self, commands: Vec<Box<dyn Command>>, cause: &(dyn Error + 'static)) {
        // Earlier commits are answered if their sync succeeds.
        self.end_syncing();
        // That may have found the cause, and has then saved what it could. To
        // save it again would move a log that was set aside.
        if self.has_failed() {
            return commands.into_iter().for_each(|command| command.answer(Err(storage_failed())));
        }
        // The cause may be what another program has done to the files.
        let displaced = self.file_watch.as_mut().and_then(|file_watch| file_watch.check().err());
        if let Some(displaced) = displaced {
            return self.displace(commands, displaced);
        }
        error!(error = cause, "Queue storage failed");
        let path = self.path.clone();
        self.refuse_all(commands, StorageFailure::Unknown { path, cause: cause.to_string() });
    }

    /// Refuses everything from now on, because a thread that works for the
    /// writer has panicked.
    pub(super) fn lose(&mut self, thread: HelperThread) {
        self.refuse_all(Vec::new(), StorageFailure::HelperEnded(thread));
    }

    /// Refuses everything from now on, because the file that is written is not
    /// the one that a restart will open. Saves what has been accepted.
    fn displace(&mut self, commands: Vec<Box<dyn Command>>, displacement: Displaced) {
        let path = self.path.clone();
        let failure = |rescue| StorageFailure::Displaced {
            path: path.clone(),
            displacement: displacement.clone(),
            rescue,
        };
        // Callers are refused first: a copy of a large queue takes a while.
        self.refuse_all(commands, failure(None));
        error!("{}: saving the accepted messages", failure(None));
        self.stop_connections();
        let Some(file_watch) = &self.file_watch else { return };
        let now = self.clock.now();
        let rescue = rescue::save(&self.sql, &self.lock, &file_watch.files, &displacement, now);
        let failure = failure(Some(rescue));
        info!("Ended saving: {failure}");
        self.failed.send_replace(Some(failure));
    }

    /// Refuses these commands, every receiver, and everything from now on.
    fn refuse_all(&mut self, commands: Vec<Box<dyn Command>>, failure: StorageFailure) {
        // The first failure is the reason for later ones.
        self.failed.send_if_modified(|failed| {
            let first = failed.is_none();
            failed.get_or_insert(failure);
            first
        });
        for command in commands {
            command.answer(Err(storage_failed()));
        }
        for waiter in self.waiting.drain() {
            waiter.answer(Err(storage_failed()));
        }
    }
}

#[cfg(test)]
mod tests {
    use hoth_platform::clock::Clock;

    use super::*;
    use crate::embedded::backend::EmbeddedQueue;
    use crate::embedded::config::Config;
    use crate::embedded::config::LOG_MAX_BYTES;
    use crate::embedded::rescue::Rescue;
    use hoth_core::domain::Timestamp;

    #[test]
    fn a_displaced_file_is_saved_once() {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let path = folder.path().join("hoth.db");
        let config =
            Config { path: path.clone(), redelivery_hours: 24, log_max_bytes: LOG_MAX_BYTES };
        let clock = Clock::manual(Timestamp::from_millis(1_700_000_000_000));
        let (mut writer, queue) =
            EmbeddedQueue::with_writer(&config, clock).expect("a new file can be opened");
        std::fs::remove_file(&path).expect("the file is there");
        // The thread that syncs finds it by itself, at its next check.
        let until = std::time::Instant::now() + Duration::from_secs(60);
        while !writer.sync.as_ref().is_some_and(SyncThread::has_ended) {
            assert!(std::time::Instant::now() < until, "it does not check");
            std::thread::sleep(Duration::from_millis(10));
        }
        writer.fail(Vec::new(), &rusqlite::Error::InvalidQuery);
        let failure = queue.failure();
        let Some(StorageFailure::Displaced { rescue: Some(Rescue::Restored), .. }) = failure else {
            panic!("{failure:?}");
        };
        writer.end();
    }
}
