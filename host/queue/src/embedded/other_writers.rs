//! Other processes that had the queue file open for writing.
//!
//! A program that takes no locks (`cp` over the file) can damage the database
//! while SQLite itself writes it; then the times of the file say nothing. The
//! kernel tells when another process closes the file after it could write.
//! Then a thread of its own has SQLite read the whole file.

use std::fmt;
use std::fs::File;
use std::io;
use std::io::Read as _;
use std::path::Path;
use std::path::PathBuf;
use std::sync::mpsc;
use std::sync::mpsc::Receiver;
use std::sync::mpsc::TryRecvError;
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::Connection;
use rusqlite::ErrorCode;
use rusqlite::InterruptHandle;
use rustix::fs::inotify;
use rustix::fs::inotify::CreateFlags;
use rustix::fs::inotify::WatchFlags;
use tracing::warn;

use super::schema;
use super::time_limit::within;

/// The longest check of the file. It holds a read transaction, during which the
/// log grows.
const CHECK_MAX: Duration = Duration::from_secs(60);

/// The pause between two interrupts of a check that is to end.
const INTERRUPT_EVERY: Duration = Duration::from_millis(1);

/// The room for events that are read at once. Only their number counts.
const EVENTS_BYTES: usize = 4096;

/// The watch over other writers, and the check that runs.
#[derive(Debug)]
pub struct OtherWriters {
    path: PathBuf,
    /// An inotify descriptor that does not block.
    events: File,
    running: Option<Check>,
    /// Another process has written since the check began.
    again: bool,
}

/// The state of the file, as a check has found it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Intact, or unknown because the check could not be made.
    NotDamaged,
    Damaged,
}

impl OtherWriters {
    /// Watches the file at `path`, which this process has opened already.
    pub fn watch(path: &Path) -> io::Result<Self> {
        let events = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
        inotify::add_watch(&events, path, WatchFlags::CLOSE_WRITE)?;
        Ok(Self { path: path.to_owned(), events: events.into(), running: None, again: false })
    }

    /// Starts a check if another process has written, and returns the result of
    /// the last one. Costs one short read.
    ///
    /// `is_in_place` returns true if the path still leads to the open file.
    pub fn look(&mut self, is_in_place: impl FnOnce() -> bool) -> State {
        let written = (&self.events).read(&mut [0; EVENTS_BYTES]).is_ok();
        self.again |= written;
        let state = match &self.running {
            None => State::NotDamaged,
            Some(check) => match check.result.try_recv() {
                Ok(state) => state,
                Err(TryRecvError::Empty) => return State::NotDamaged,
                // The thread has panicked, which says nothing about the file.
                Err(TryRecvError::Disconnected) => State::NotDamaged,
            },
        };
        self.running = None;
        if std::mem::take(&mut self.again) {
            self.running = Check::start(&self.path, is_in_place);
        }
        state
    }
}

/// A check that runs on a thread of its own. Dropping it ends the thread and its
/// connection, which would keep the log from being emptied.
struct Check {
    result: Receiver<State>,
    interrupt: InterruptHandle,
    /// `None` after the drop.
    thread: Option<JoinHandle<()>>,
}

impl fmt::Debug for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Check").finish_non_exhaustive()
    }
}

impl Check {
    /// Returns `None` if there can be no check.
    fn start(path: &Path, is_in_place: impl FnOnce() -> bool) -> Option<Self> {
        let sql = schema::open_reader(path).ok()?;
        // After it was opened, and before its first statement. A connection to
        // another file under this name would empty the index (-shm), because the
        // locks of one process do not exclude each other. The threads that have
        // the index mapped would then end the process by SIGBUS, where it is to
        // end with the cause in its log.
        if !is_in_place() {
            return None;
        }
        let interrupt = sql.get_interrupt_handle();
        let (ended, result) = mpsc::channel();
        let check = move || {
            let state = check(&sql).unwrap_or_else(|error| {
                warn!(
                    error = &error as &dyn std::error::Error,
                    "Another process had the queue file open for writing, and the file cannot be \
                     checked"
                );
                State::NotDamaged
            });
            // The queue may have been closed meanwhile.
            let _ = ended.send(state);
        };
        let thread = std::thread::Builder::new().name("queue-check".to_owned()).spawn(check);
        Some(Self { result, interrupt, thread: Some(thread.ok()?) })
    }
}

impl Drop for Check {
    fn drop(&mut self) {
        let Some(thread) = self.thread.take() else { return };
        // Repeated, because an interrupt before the statement has begun is lost.
        while !thread.is_finished() {
            self.interrupt.interrupt();
            std::thread::sleep(INTERRUPT_EVERY);
        }
        let _ = thread.join();
    }
}

/// The reason why the file could not be checked.
#[derive(Debug, thiserror::Error)]
enum NotChecked {
    #[error(transparent)]
    Thread(#[from] io::Error),
    #[error(transparent)]
    Sql(#[from] rusqlite::Error),
}

/// Has SQLite read every page of the file, on a connection without pages of its
/// own.
fn check(sql: &Connection) -> Result<State, NotChecked> {
    let report = within(sql, CHECK_MAX, || {
        sql.query_row("PRAGMA quick_check(1)", [], |row| row.get::<_, String>(0))
    })?;
    match report {
        Ok(report) if report == "ok" => Ok(State::NotDamaged),
        Ok(_) => Ok(State::Damaged),
        Err(error) => match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Ok(State::Damaged),
            _ => Err(error.into()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_in_the_place_of_the_queue_is_not_read() {
        let directory = tempfile::tempdir().expect("a temporary folder can be made");
        let path = directory.path().join("hoth.db");
        let sql = Connection::open(&path).expect("a new file");
        sql.execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE t (n)").expect("an empty file");
        for (is_in_place, is_checked) in [(true, true), (false, false)] {
            let mut others = OtherWriters::watch(&path).expect("the kernel can watch a file");
            drop(File::options().append(true).open(&path).expect("it is there"));
            assert_eq!(others.look(|| is_in_place), State::NotDamaged);
            assert_eq!(others.running.is_some(), is_checked);
        }
    }
}
