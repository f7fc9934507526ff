//! Other processes that had the queue file open for writing.
//!
//! A program that takes no locks (`cp` over the file) can damage the database
//! while SQLite itself writes it; then the times of the file say nothing. The
//! kernel tells when another process closes the file after it could write.
//! Then a thread of its own has SQLite read the whole file.

use std::fs::File;
use std::io;
use std::io::Read as _;
use std::path::Path;
use std::path::PathBuf;
use std::sync::mpsc;
use std::sync::mpsc::Receiver;
use std::sync::mpsc::RecvTimeoutError;
use std::sync::mpsc::TryRecvError;
use std::time::Duration;

use rusqlite::Connection;
use rusqlite::ErrorCode;
use rustix::fs::inotify;
use rustix::fs::inotify::CreateFlags;
use rustix::fs::inotify::WatchFlags;
use tracing::warn;

use super::schema;

/// The longest check of the file. It holds a read transaction, during which the
/// log grows.
const CHECK_MAX: Duration = Duration::from_secs(60);

/// The room for events that are read at once. Only their number counts.
const EVENTS_BYTES: usize = 4096;

/// The watch over other writers, and the check that runs.
#[derive(Debug)]
pub struct OtherWriters {
    path: PathBuf,
    /// An inotify descriptor that does not block.
    events: File,
    running: Option<Receiver<State>>,
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
    pub fn look(&mut self) -> State {
        let written = (&self.events).read(&mut [0; EVENTS_BYTES]).is_ok();
        self.again |= written;
        let state = match &self.running {
            None => State::NotDamaged,
            Some(running) => match running.try_recv() {
                Ok(state) => state,
                Err(TryRecvError::Empty) => return State::NotDamaged,
                // The thread has panicked, which says nothing about the file.
                Err(TryRecvError::Disconnected) => State::NotDamaged,
            },
        };
        self.running = None;
        if std::mem::take(&mut self.again) {
            self.running = start(&self.path);
        }
        state
    }
}

fn start(path: &Path) -> Option<Receiver<State>> {
    let (path, (ended, running)) = (path.to_owned(), mpsc::channel());
    let check = move || {
        let state = check(&path).unwrap_or_else(|error| {
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
    let started = std::thread::Builder::new().name("queue-check".to_owned()).spawn(check);
    started.is_ok().then_some(running)
}

/// Has SQLite read every page of the file, on a connection without pages of its
/// own.
fn check(path: &Path) -> rusqlite::Result<State> {
    let Ok(sql) = schema::open_reader(path) else { return Ok(State::NotDamaged) };
    let report = within(&sql, CHECK_MAX, || {
        sql.query_row("PRAGMA quick_check(1)", [], |row| row.get::<_, String>(0))
    });
    match report {
        Ok(report) if report == "ok" => Ok(State::NotDamaged),
        Ok(_) => Ok(State::Damaged),
        Err(error) => match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Ok(State::Damaged),
            _ => Err(error),
        },
    }
}

/// Runs `work` on a connection, and interrupts it after `max`.
fn within<T>(sql: &Connection, max: Duration, work: impl FnOnce() -> T) -> T {
    let (done, ended) = mpsc::channel::<()>();
    let interrupt = sql.get_interrupt_handle();
    let timer = std::thread::spawn(move || {
        if ended.recv_timeout(max) == Err(RecvTimeoutError::Timeout) {
            interrupt.interrupt();
        }
    });
    let result = work();
    drop(done);
    let _ = timer.join();
    result
}
