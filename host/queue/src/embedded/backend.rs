//! The embedded queue as its owner sees it: opening, closing, and the ways to
//! the writer and the reader.

use std::cell::RefCell;
use std::fmt;
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::sync::mpsc;
use std::time::Duration;

use rusqlite::Connection;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::sync::oneshot;
use tokio::sync::watch;
use tracing::warn;

use super::command::Call;
use super::command::Operation;
use super::command::Request;
use super::command::Requests;
use super::command::closed;
use super::commits;
use super::commits::NeverSynced;
use super::commits::SyncWait;
use super::config::Config;
use super::config::OpenError;
use super::disk_use::DiskUse;
use super::failure::StorageFailure;
use super::groups::Groups;
use super::identity::QueueFiles;
use super::inspect::QueueReader;
use super::known_keys::KnownKeys;
use super::leasing::end_process_leases;
use super::lock::FileLock;
use super::lock::beside;
use super::log_index::LogIndex;
use super::log_sync::LogSync;
use super::operations::ChangeLeases;
use super::operations::GiveBackMessages;
use super::other_writers::OtherWriters;
use super::receipt::LeaseId;
use super::reserve::Reserve;
use super::schema;
use super::time;
use super::writer::Channels;
use super::writer::Opened;
use super::writer::Writer;
use crate::error::QueueError;
use crate::lease::Dropped;
use crate::lease::Receipt;
use crate::lease::Releases;
use crate::limits::PANIC_PAUSE;
use crate::name::QueueName;
#[cfg(test)]
use crate::state::MessageId;
use hoth_platform::clock::Clock;

/// The most calls that may wait for the writer at once, receives not counted.
/// It bounds the messages in memory; further callers wait for a permit.
const CALLERS_MAX: usize = 4_096;

/// Queues in one file. The writer ends after its last commit when this is
/// dropped.
pub struct EmbeddedQueue {
    /// The channel to the writer. Leases share it, to be released when they are
    /// dropped.
    pub(super) requests: Arc<Requests>,
    /// Permits to call the writer: see [`CALLERS_MAX`].
    callers: Semaphore,
    /// The connection that reads the state. WAL mode lets it read beside the
    /// writer. The lock serializes readers, which use blocking threads.
    /// `None` after [`EmbeddedQueue::close`].
    reader: Arc<Mutex<Option<Connection>>>,
    /// The commits that a reader may have seen.
    seen: SyncWait,
    /// The queue's time, as the writer sees it.
    pub(super) clock: Clock,
    /// The failure of storage, once there is one.
    failed: watch::Receiver<Option<StorageFailure>>,
    /// The queue file, for its size.
    path: PathBuf,
    /// The size of the log, as the writer saw it last.
    log_bytes: Arc<AtomicU64>,
    /// True from the call of [`EmbeddedQueue::close`] on: the writer may end.
    closing: AtomicBool,
    /// Set if the writer had ended by itself before it was closed.
    writer_ended: AtomicBool,
}

impl Releases for Requests {
    fn release(&self, queue: &QueueName, receipt: &Receipt, dropped: Dropped) {
        let Ok(lease) = LeaseId::parse(receipt) else { return };
        let (queue, leases) = (queue.clone(), vec![lease]);
        let release = match dropped {
            Dropped::NotStarted => {
                Call::without_caller(GiveBackMessages { queue, leases, after: Duration::ZERO })
            }
            Dropped::Cancelled => {
                Call::without_caller(ChangeLeases { queue, leases, after: Duration::ZERO })
            }
            Dropped::Panicked => {
                Call::without_caller(ChangeLeases { queue, leases, after: PANIC_PAUSE })
            }
        };
        // Without a writer there is nothing to release: the next process ends
        // all leases of this one.
        let _ = self.send(Request::Apply(release));
    }
}

impl fmt::Debug for EmbeddedQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmbeddedQueue").finish_non_exhaustive()
    }
}

impl EmbeddedQueue {
    /// Opens the queue file, and ends the leases of an earlier process. A
    /// missing file is made, with its directory, for the host's user alone:
    /// requests and outcomes hold personal data.
    ///
    /// # Errors
    ///
    /// [`OpenError`], for example when another host uses the file.
    pub fn open(config: &Config, clock: Clock) -> Result<Self, OpenError> {
        let (writer, queue) = Self::with_writer(config, clock)?;
        std::thread::Builder::new()
            .name("queue-writer".to_owned())
            .spawn(move || writer.run())
            .map_err(|source| OpenError::Io { path: config.path.clone(), source })?;
        Ok(queue)
    }

    /// Opens the queue file. The caller runs the writer, on a thread of its own.
    pub(super) fn with_writer(config: &Config, clock: Clock) -> Result<(Writer, Self), OpenError> {
        make_folder(&config.path)?;
        let opened = open_files(config, clock.clone())?;
        let io = |source| OpenError::Io { path: config.path.clone(), source };
        // After the writer's connection, which makes the tables and the shared
        // memory file: a read-only connection cannot.
        let path = opened.lock.path.clone();
        let reader = schema::open_reader(&path)?;
        let (requests, received) = mpsc::channel();
        let requests = Arc::new(Requests(requests));
        let (failing, failed) = watch::channel(None);
        let log_bytes = Arc::new(AtomicU64::new(0));
        let (counter, synced, seen) = commits::numbered();
        let channels = Channels {
            received,
            requests: Arc::downgrade(&requests),
            failed: failing,
            log_bytes: Arc::clone(&log_bytes),
            counter,
            synced,
            runtime: Handle::try_current().ok(),
        };
        let writer = Writer::start(opened, channels).map_err(io)?;
        let queue = Self {
            requests,
            callers: Semaphore::new(CALLERS_MAX),
            reader: Arc::new(Mutex::new(Some(reader))),
            seen,
            clock,
            failed,
            path,
            log_bytes,
            closing: AtomicBool::new(false),
            writer_ended: AtomicBool::new(false),
        };
        Ok((writer, queue))
    }

    /// Returns when storage has failed, or when the writer has ended without
    /// being asked to. From then on every call is refused, and only a restart
    /// helps.
    pub async fn failed(&self) {
        let mut failed = self.failed.clone();
        let ended = failed.wait_for(Option::is_some).await.is_err();
        if ended && self.closing.load(Ordering::SeqCst) {
            // The writer was closed without a failure.
            std::future::pending::<()>().await;
        }
    }

    /// Returns the failure of storage, if there is one. Where messages had to
    /// be saved, their place is known after [`Self::close`].
    pub fn failure(&self) -> Option<StorageFailure> {
        let ended = || self.writer_ended.load(Ordering::SeqCst) || self.has_ended_unasked();
        let failure = self.failed.borrow().clone();
        failure.or_else(|| ended().then_some(StorageFailure::WriterEnded))
    }

    fn has_ended_unasked(&self) -> bool {
        self.failed.has_changed().is_err() && !self.closing.load(Ordering::SeqCst)
    }

    /// Returns the size of SQLite's log.
    pub fn log_bytes(&self) -> u64 {
        self.log_bytes.load(Ordering::Relaxed)
    }

    /// Returns the space of the queue on its disk. Blocks on the file system.
    pub fn disk_use(&self) -> DiskUse {
        DiskUse::read(&self.path)
    }

    /// Waits until the writer has served its requests and has closed and
    /// unlocked the file.
    pub async fn close(&self) {
        // Noted first: from here on an end of the writer is expected.
        if self.has_ended_unasked() {
            self.writer_ended.store(true, Ordering::SeqCst);
        }
        self.closing.store(true, Ordering::SeqCst);
        let reader = Arc::clone(&self.reader);
        // Before the writer, which is to be the last one: only the last
        // connection empties the log. On a blocking thread, because a read may
        // be in progress.
        let closing =
            tokio::task::spawn_blocking(move || drop(reader.lock().map(|mut r| r.take())));
        let _ = closing.await;
        let (reply, closed) = oneshot::channel();
        if self.requests.send(Request::Close { reply }).is_ok() {
            // An error means that the writer was closed before.
            let _ = closed.await;
        }
    }

    /// Has the writer check its waiting receivers, after a test has moved the
    /// clock.
    #[cfg(test)]
    pub async fn wake_waiters(&self) {
        self.apply(super::operations::CheckStorage).await.expect("the queue works");
    }

    /// Returns the id of the first message of a queue with this key.
    #[cfg(test)]
    pub async fn id_of(&self, queue: &QueueName, key: &str) -> Option<MessageId> {
        let (name, key) = (queue.to_string(), key.to_owned());
        let seq = "SELECT MIN(seq) FROM messages JOIN queues ON queues.id = messages.queue
             WHERE name = ?1 AND key = ?2 AND consumed_at IS NULL";
        let read = move |sql: &Connection| sql.query_row(seq, [name, key], |row| row.get(0));
        let found: Option<i64> = self.read(read).await.expect("the file can be read");
        found.map(|seq| MessageId::new(seq.to_string()))
    }

    /// Reads a queue as of the last commit. A queue that no message was ever
    /// sent to has no row, and reads as the default.
    pub(super) async fn read_queue<T: Default + Send + 'static>(
        &self,
        queue: &QueueName,
        read: impl FnOnce(&QueueReader<'_>) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, QueueError> {
        let (name, now) = (queue.to_string(), self.clock.now());
        self.read(move |reader| match QueueReader::find(reader, &name, now)? {
            Some(queue) => read(&queue),
            None => Ok(T::default()),
        })
        .await
    }

    pub(super) async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, QueueError> {
        let reader = Arc::clone(&self.reader);
        let reading = tokio::task::spawn_blocking(move || {
            let reader = reader.lock().expect("nothing panics while holding the reader");
            reader.as_ref().map(read)
        });
        let result = reading.await.expect("reading the state does not panic");
        let result = result.ok_or_else(closed)?;
        self.seen.on_disk().await.map_err(|NeverSynced| not_on_disk())?;
        result.map_err(|error| QueueError::Unreachable(error.into()))
    }

    /// Has the writer apply an operation, and waits for the commit.
    pub(super) async fn apply<O: Operation>(&self, operation: O) -> Result<O::Output, QueueError> {
        // Held until the answer, so that requests in the channel count, too.
        let _permit = self.callers.acquire().await.expect("the semaphore is never closed");
        let (reply, result) = oneshot::channel();
        self.requests.send(Request::Apply(Call::with_caller(operation, reply)))?;
        result.await.map_err(|_| closed())?
    }
}

/// Opens the files of a queue, and ends the leases of an earlier process.
fn open_files(config: &Config, clock: Clock) -> Result<Opened, OpenError> {
    let path = &config.path;
    let database = |source| schema::database_error(path, source);
    let io = |source| OpenError::Io { path: path.clone(), source };
    // Before the file is opened: SQLite itself would let two hosts write in
    // turns, each with leases that the other does not know.
    let lock = FileLock::take(path)?;
    let sql = schema::open_writer(&lock.path)?;
    // The clock is set first: everything after this compares with its time.
    time::continue_time(&sql, &clock)
        .and_then(|()| end_process_leases(&sql, clock.now()))
        .and_then(|_| sql.busy_timeout(schema::BUSY_WAIT))
        .map_err(database)?;
    let groups = Groups::open(&sql).map_err(database)?;
    let keys = KnownKeys::load(&sql).map_err(database)?;
    let checkpointer = schema::open_checkpointer(&lock.path)?;
    let log = LogSync::open(&beside(&lock.path, "-wal")).map_err(io)?;
    // What an earlier process has committed is answered for from now on, synced
    // or not when that was killed.
    log.sync().map_err(io)?;
    let files =
        QueueFiles::note(path, &lock).map_err(|_| OpenError::Displaced { path: path.clone() })?;
    let other_writers = OtherWriters::watch(&lock.path).inspect_err(|error| {
        let error: &dyn std::error::Error = error;
        warn!(error, "Cannot watch the queue file for writes by other processes");
    });
    Ok(Opened {
        sql,
        checkpointer,
        keys,
        groups: RefCell::new(groups),
        files,
        index: LogIndex::open(&beside(&lock.path, "-shm")).map_err(io)?,
        log,
        other_writers: other_writers.ok(),
        path: path.clone(),
        clock,
        reserve: Reserve::open(&lock.path),
        archive_for: Duration::from_secs(u64::from(config.redelivery_hours) * 60 * 60),
        log_max_bytes: config.log_max_bytes,
        lock,
    })
}

/// Makes the directory of a queue file.
fn make_folder(path: &Path) -> Result<(), OpenError> {
    let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) else {
        return Ok(());
    };
    let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.map_err(|source| OpenError::Io { path: folder.to_owned(), source })
}

fn not_on_disk() -> QueueError {
    QueueError::Unreachable("queue storage failed, or was closed, before a read was on disk".into())
}
