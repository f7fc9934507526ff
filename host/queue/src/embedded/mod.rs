//! Queues in one SQLite file, for one host.
//!
//! WAL mode with `synchronous=FULL`; one [writer] thread with group commit; a
//! connection of its own for reading the state. Truth is in the tables (see
//! [schema]), so a backlog costs disk, not memory, and a restart has nothing to
//! rebuild. Operators may look at the file with `sqlite3` at any time.

#[cfg(test)]
mod against_model;
mod archive;
mod command;
mod inspect;
mod lines;
mod lock;
mod receipt;
mod reserve;
mod schema;
mod store;
#[cfg(test)]
mod tests;
mod writer;

use std::fmt;
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::mpsc;
use std::time::Duration;
use std::time::Instant;

use async_trait::async_trait;
use rusqlite::Connection;
use tokio::sync::Semaphore;
use tokio::sync::oneshot;
use tokio::sync::watch;
use tracing::warn;

use self::archive::REDELIVERED_AT_ONCE;
use self::command::Ask;
use self::command::Command;
use self::command::Waiter;
use self::inspect::Look;
use self::lock::FileLock;
use self::receipt::Held;
use self::reserve::Reserve;
use self::store::Store;
use self::writer::Writer;
use super::BlockedGroup;
use super::DEAD_LETTERS_MAX;
use super::DeadLetter;
use super::Delivery;
use super::Lease;
use super::NewMessage;
use super::Queue;
use super::QueueError;
use super::QueueName;
use super::QueueStats;
use super::Receipt;
use super::Receive;
use super::Received;
use super::Redeliver;
use super::Releases;
use super::Sent;
use super::check_lease;
use hoth_platform::clock::Clock;

/// Callers that may be waiting for the writer at once, but for receivers; the
/// others wait for their turn to ask.
const CALLERS_MAX: usize = 4_096;

/// Keys that one redelivery may name.
const REDELIVER_KEYS_MAX: usize = 1_000;

/// Where the file is, and how long consumed outcomes stay in it.
#[derive(Debug, Clone)]
pub struct Config {
    pub path: PathBuf,
    pub redelivery_hours: u32,
}

/// Why the file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("cannot use {path}")]
    Io { path: PathBuf, source: std::io::Error },
    #[error("cannot open {path} as a database")]
    Database { path: PathBuf, source: rusqlite::Error },
    #[error("{path} is in use by another host ({holder}); one file has one host")]
    Held { path: PathBuf, holder: String },
    #[error("{path} is not durable: journal_mode is {journal}, synchronous is {synchronous}")]
    NotDurable { path: PathBuf, journal: String, synchronous: i64 },
    #[error("{path} was written by a later release (schema {found})")]
    LaterSchema { path: PathBuf, found: i64 },
}

/// Queues in one file. Dropping it lets the writer end after its last commit.
pub struct EmbeddedQueue {
    commands: Arc<Commands>,
    callers: Semaphore,
    reader: Arc<Mutex<Connection>>,
    clock: Clock,
    failed: watch::Receiver<bool>,
    lock: Mutex<Option<FileLock>>,
}

/// The way to the writer; also what leases hold.
struct Commands(mpsc::Sender<Ask>);

impl Releases for Commands {
    fn release(&self, queue: &QueueName, receipt: &Receipt) {
        let Ok(held) = Held::parse(receipt) else { return };
        // A writer that is gone has ended all leases of this process.
        let _ = self.0.send(Ask::Do(Command::ChangeLease {
            queue: queue.clone(),
            held: vec![held],
            after: Duration::ZERO,
            reply: None,
        }));
    }
}

impl fmt::Debug for EmbeddedQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmbeddedQueue").finish_non_exhaustive()
    }
}

impl EmbeddedQueue {
    /// Opens the file, making it and its folder where they are missing, and
    /// ends the leases that an earlier process held. What is made is the host's
    /// alone: requests and outcomes name people.
    ///
    /// # Errors
    ///
    /// [`OpenError`]; among others when another host has the file.
    pub fn open(config: &Config, clock: Clock) -> Result<Self, OpenError> {
        let path = &config.path;
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(folder)
                .map_err(|source| OpenError::Io { path: folder.to_owned(), source })?;
        }
        let lock = FileLock::take(path)?;
        let sql = schema::open_writer(path)?;
        // Before anything asks what time it is.
        schema::continue_time(&sql, &clock)
            .and_then(|()| Store { sql: &sql, now: clock.now() }.end_process_leases())
            .map_err(|source| OpenError::Database { path: path.clone(), source })?;
        let reader = schema::open_reader(path)?;
        let (commands, queue) = mpsc::channel();
        let (failing, failed) = watch::channel(false);
        let archive_for = Duration::from_secs(u64::from(config.redelivery_hours) * 60 * 60);
        let reserve = Reserve::open(path);
        let writer = Writer::new(sql, clock.clone(), queue, failing, archive_for, reserve);
        std::thread::Builder::new()
            .name("queue-writer".to_owned())
            .spawn(move || writer.run())
            .map_err(|source| OpenError::Io { path: path.clone(), source })?;
        Ok(Self {
            commands: Arc::new(Commands(commands)),
            callers: Semaphore::new(CALLERS_MAX),
            reader: Arc::new(Mutex::new(reader)),
            clock,
            failed,
            lock: Mutex::new(Some(lock)),
        })
    }

    /// Returns when storage has failed: from then on every call is refused,
    /// and only a restart helps.
    pub async fn failed(&self) {
        let mut failed = self.failed.clone();
        if failed.wait_for(|failed| *failed).await.is_err() {
            // The writer was closed, in good order.
            std::future::pending::<()>().await;
        }
    }

    /// Lets the writer do what it was asked, closes the file, and gives it
    /// free.
    pub async fn close(&self) {
        let (reply, closed) = oneshot::channel();
        if self.commands.0.send(Ask::Close { reply }).is_ok() {
            // An error means that it was closed before.
            let _ = closed.await;
        }
        self.lock.lock().expect("no one panics while holding the lock").take();
    }

    /// Looks at what has become due by a clock that was moved by hand.
    #[cfg(any(test, feature = "testing"))]
    pub async fn poke(&self) {
        self.check().await.expect("the queue works");
    }

    /// Looks at a queue as it is after the last commit. A queue that nothing
    /// was ever sent to is empty.
    async fn read<T: Default + Send + 'static>(
        &self,
        queue: &QueueName,
        look: impl FnOnce(&Look<'_>) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, QueueError> {
        let (name, now) = (queue.to_string(), self.clock.now());
        self.look(move |reader| match Look::at(reader, &name, now)? {
            Some(queue) => look(&queue),
            None => Ok(T::default()),
        })
        .await
    }

    async fn look<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, QueueError> {
        let reader = Arc::clone(&self.reader);
        let looked = tokio::task::spawn_blocking(move || {
            look(&reader.lock().expect("no one panics while holding the reader"))
        });
        let looked = looked.await.expect("reading the state does not panic");
        looked.map_err(|error| QueueError::Unreachable(error.into()))
    }

    async fn ask<T>(
        &self,
        command: impl FnOnce(command::Reply<T>) -> Command,
    ) -> Result<T, QueueError> {
        let _turn = self.callers.acquire().await.expect("the semaphore is never closed");
        let (reply, answer) = oneshot::channel();
        self.commands.0.send(Ask::Do(command(reply))).map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }
}

/// The dead letters of this backend are numbered.
fn dead_letter_id(text: &str) -> Result<i64, QueueError> {
    text.parse().map_err(|_| QueueError::Refused("not the id of a dead letter of this queue"))
}

fn gone() -> QueueError {
    QueueError::Unreachable("the queue was closed".into())
}

#[async_trait]
impl Queue for EmbeddedQueue {
    async fn send(&self, queue: &QueueName, message: NewMessage) -> Result<Sent, QueueError> {
        message.check()?;
        self.ask(|reply| Command::Send { queue: queue.clone(), message, reply }).await
    }

    async fn receive(
        &self,
        queue: &QueueName,
        receive: Receive,
    ) -> Result<Vec<Delivery>, QueueError> {
        receive.check()?;
        let (reply, answer) = oneshot::channel();
        let until = Instant::now() + receive.wait;
        let waiter = Waiter { queue: queue.clone(), receive, until, reply };
        // Receivers take no turn: those that wait would keep others out.
        self.commands.0.send(Ask::Receive(waiter)).map_err(|_| gone())?;
        let releases = Arc::clone(&self.commands) as Arc<dyn Releases>;
        let leased = InFlight { answer, queue, releases: &releases }.answered().await?;
        Ok(leased)
    }

    async fn delete(&self, queue: &QueueName, receipts: &[Receipt]) -> Result<(), QueueError> {
        let held = Held::parse_all(receipts)?;
        self.ask(|reply| Command::Delete { queue: queue.clone(), held, reply }).await
    }

    async fn change_lease(
        &self,
        queue: &QueueName,
        receipts: &[Receipt],
        after: Duration,
    ) -> Result<(), QueueError> {
        check_lease(after)?;
        let held = Held::parse_all(receipts)?;
        let queue = queue.clone();
        self.ask(|reply| Command::ChangeLease { queue, held, after, reply: Some(reply) }).await
    }

    async fn settle(
        &self,
        queue: &QueueName,
        receipt: &Receipt,
        successor_queue: &QueueName,
        successor: NewMessage,
    ) -> Result<(), QueueError> {
        successor.check()?;
        let held = Held::parse(receipt)?;
        let (queue, to) = (queue.clone(), successor_queue.clone());
        self.ask(|reply| Command::Settle { queue, held, to, successor, reply }).await
    }

    async fn bury(
        &self,
        queue: &QueueName,
        receipt: &Receipt,
        _: &Received,
        reason: &str,
        report: Option<(QueueName, NewMessage)>,
    ) -> Result<(), QueueError> {
        report.iter().try_for_each(|(_, message)| message.check())?;
        let held = Held::parse(receipt)?;
        let (queue, reason) = (queue.clone(), reason.to_owned());
        self.ask(|reply| Command::Bury { queue, held, reason, report, reply }).await
    }

    async fn redeliver(&self, queue: &QueueName, which: Redeliver) -> Result<u64, QueueError> {
        if matches!(&which, Redeliver::Keys(keys) if keys.len() > REDELIVER_KEYS_MAX) {
            return Err(QueueError::Refused("one redelivery may name 1000 keys"));
        }
        // Part by part, so that nobody waits long for the writer. What is
        // consumed meanwhile is not put back a second time.
        let until = self.clock.now();
        let mut count = 0;
        loop {
            let (queue, which) = (queue.clone(), which.clone());
            let part = self.ask(|reply| Command::Redeliver { queue, which, until, reply }).await?;
            count += part;
            if part < REDELIVERED_AT_ONCE as u64 {
                return Ok(count);
            }
        }
    }

    async fn check(&self) -> Result<(), QueueError> {
        self.ask(|reply| Command::Check { reply }).await
    }

    async fn dead_letters(
        &self,
        queue: &QueueName,
        after: Option<&str>,
        max: usize,
    ) -> Result<Vec<DeadLetter>, QueueError> {
        let after = after.map_or(Ok(0), dead_letter_id)?;
        let max = max.min(DEAD_LETTERS_MAX);
        self.read(queue, move |look| look.dead_letters(after, max)).await
    }

    async fn revive(
        &self,
        queue: &QueueName,
        id: &str,
        message: NewMessage,
    ) -> Result<bool, QueueError> {
        message.check()?;
        let (queue, id) = (queue.clone(), dead_letter_id(id)?);
        let revived = self.ask(|reply| Command::Revive { queue, id, message, reply }).await?;
        Ok(revived == 1)
    }

    async fn discard(&self, queue: &QueueName, ids: &[String]) -> Result<u64, QueueError> {
        if ids.len() > DEAD_LETTERS_MAX {
            return Err(QueueError::Refused("1000 dead letters may be discarded at once"));
        }
        let ids = ids.iter().map(|id| dead_letter_id(id)).collect::<Result<_, _>>()?;
        self.ask(|reply| Command::Discard { queue: queue.clone(), ids, reply }).await
    }

    async fn blocked(&self, queue: &QueueName) -> Result<Vec<BlockedGroup>, QueueError> {
        self.read(queue, |look| look.blocked()).await
    }

    async fn in_use(&self) -> Result<Vec<QueueName>, QueueError> {
        let names = self.look(inspect::names_in_use).await?;
        let known = |name: &String| {
            let known = name.parse();
            // Another release may have had other queues.
            known.inspect_err(|_| warn!("The queue file has a queue `{name}`, which nobody knows"))
        };
        Ok(names.iter().filter_map(|name| known(name).ok()).collect())
    }

    async fn stats(&self, queue: &QueueName) -> Result<QueueStats, QueueError> {
        self.read(queue, |look| look.stats()).await
    }
}

/// A receive that has been asked for. Dropping it gives back what was leased
/// for it meanwhile.
struct InFlight<'a> {
    answer: oneshot::Receiver<Result<Vec<store::Leased>, QueueError>>,
    queue: &'a QueueName,
    releases: &'a Arc<dyn Releases>,
}

impl InFlight<'_> {
    async fn answered(mut self) -> Result<Vec<Delivery>, QueueError> {
        let leased = (&mut self.answer).await.map_err(|_| gone())??;
        Ok(self.deliveries(leased))
    }

    fn deliveries(&self, leased: Vec<store::Leased>) -> Vec<Delivery> {
        let delivery = |leased: store::Leased| Delivery {
            lease: Lease::new(
                self.queue.clone(),
                leased.held.to_receipt(),
                Arc::clone(self.releases),
            ),
            message: leased.message,
        };
        leased.into_iter().map(delivery).collect()
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        // First closed, so that from here on the writer keeps what it leases
        // (it gives back what it cannot hand over), then emptied.
        self.answer.close();
        if let Ok(Ok(leased)) = self.answer.try_recv() {
            drop(self.deliveries(leased));
        }
    }
}
