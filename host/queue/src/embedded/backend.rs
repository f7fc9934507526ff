//! The embedded queue as its owner sees it: opening, closing, and the ways to
//! the writer and the reader.

use std::fmt;
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt as _;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::mpsc;
use std::time::Duration;

use rusqlite::Connection;
use tokio::sync::Semaphore;
use tokio::sync::oneshot;
use tokio::sync::watch;

use super::command::Call;
use super::command::Operation;
use super::command::Request;
use super::config::Config;
use super::config::OpenError;
use super::inspect::QueueReader;
use super::lock::FileLock;
use super::operations::ChangeLeases;
use super::receipt::LeaseId;
use super::reserve::Reserve;
use super::schema;
use super::store::Store;
use super::writer::Writer;
use crate::error::QueueError;
use crate::lease::Receipt;
use crate::lease::Releases;
use crate::name::QueueName;
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
    reader: Arc<Mutex<Connection>>,
    /// The queue's time, as the writer sees it.
    pub(super) clock: Clock,
    /// True once storage has failed.
    failed: watch::Receiver<bool>,
    /// The file's lock, until the queue is closed.
    lock: Mutex<Option<FileLock>>,
}

/// The channel to the writer.
pub(super) struct Requests(mpsc::Sender<Request>);

impl Requests {
    pub(super) fn send(&self, request: Request) -> Result<(), QueueError> {
        self.0.send(request).map_err(|_| closed())
    }
}

impl Releases for Requests {
    fn release(&self, queue: &QueueName, receipt: &Receipt) {
        let Ok(lease) = LeaseId::parse(receipt) else { return };
        let release =
            ChangeLeases { queue: queue.clone(), leases: vec![lease], after: Duration::ZERO };
        // Without a writer there is nothing to release: the next process ends
        // all leases of this one.
        let _ = self.send(Request::Apply(Call::without_caller(release)));
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
        let path = &config.path;
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(folder)
                .map_err(|source| OpenError::Io { path: folder.to_owned(), source })?;
        }
        // Before the file is opened: SQLite itself would let two hosts write in
        // turns, each with leases that the other does not know.
        let lock = FileLock::take(path)?;
        let sql = schema::open_writer(path)?;
        // The clock is set first: everything after this compares with its time.
        schema::continue_time(&sql, &clock)
            .and_then(|()| Store { sql: &sql, now: clock.now() }.end_process_leases())
            .map_err(|source| OpenError::Database { path: path.clone(), source })?;
        // After the writer, which makes the tables and the shared memory file:
        // a read-only connection cannot.
        let reader = schema::open_reader(path)?;
        let (requests, received) = mpsc::channel();
        let (failing, failed) = watch::channel(false);
        let archive_for = Duration::from_secs(u64::from(config.redelivery_hours) * 60 * 60);
        let reserve = Reserve::open(path);
        let writer = Writer::new(sql, clock.clone(), received, failing, archive_for, reserve);
        std::thread::Builder::new()
            .name("queue-writer".to_owned())
            .spawn(move || writer.run())
            .map_err(|source| OpenError::Io { path: path.clone(), source })?;
        Ok(Self {
            requests: Arc::new(Requests(requests)),
            callers: Semaphore::new(CALLERS_MAX),
            reader: Arc::new(Mutex::new(reader)),
            clock,
            failed,
            lock: Mutex::new(Some(lock)),
        })
    }

    /// Returns when storage has failed. From then on every call is refused, and
    /// only a restart helps.
    pub async fn failed(&self) {
        let mut failed = self.failed.clone();
        if failed.wait_for(|failed| *failed).await.is_err() {
            // The writer was closed without a failure.
            std::future::pending::<()>().await;
        }
    }

    /// Waits until the writer has served its requests and has closed the file,
    /// then unlocks the file.
    pub async fn close(&self) {
        let (reply, closed) = oneshot::channel();
        if self.requests.send(Request::Close { reply }).is_ok() {
            // An error means that the writer was closed before.
            let _ = closed.await;
        }
        // Unlocked last: no other host may open the file while it is still
        // open.
        self.lock.lock().expect("nothing panics while holding the lock").take();
    }

    /// Has the writer check its waiting receivers, after a test has moved the
    /// clock.
    #[cfg(test)]
    pub async fn wake_waiters(&self) {
        self.apply(super::operations::CheckStorage).await.expect("the queue works");
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
            read(&reader.lock().expect("nothing panics while holding the reader"))
        });
        let result = reading.await.expect("reading the state does not panic");
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

/// Returns the error of a call after [`EmbeddedQueue::close`].
pub fn closed() -> QueueError {
    QueueError::Unreachable("the queue was closed".into())
}
