//! The one thread that writes, and the two threads that work for it.
//!
//! The writer drains the requests of all callers, applies them in one
//! transaction, and hands it to the thread that [syncs and answers](sync). While
//! that waits for the disk, the writer works on the next transaction (group
//! commit). Receives that find nothing wait here, and are served by the
//! transaction that makes a message claimable. A third thread copies the log to
//! the database (see [checkpoints]).

mod checkpoints;
mod ending;
mod fallback;
mod file_watch;
mod gathering;
mod opened;
mod sync;

use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Receiver;
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;
use std::time::Instant;

use rusqlite::Connection;
use tokio::sync::watch;

use self::checkpoints::CheckpointFailed;
use self::checkpoints::Checkpoints;
use self::file_watch::FileWatch;
use self::gathering::gather;
pub use self::opened::Channels;
pub use self::opened::Opened;
use self::sync::Committed;
use self::sync::SyncThread;
use super::backlog::Backlog;
use super::command::Call;
use super::command::Command;
use super::command::Request;
use super::command::closed;
use super::commits::CommitCounter;
use super::failure::HelperThread;
use super::failure::StorageFailure;
use super::groups::Groups;
use super::known_keys::KnownKeys;
use super::lock::FileLock;
use super::log_size::LogSize;
use super::operations::GiveBackMessages;
use super::reserve::Reserve;
use super::sorting::Phase;
use super::sorting::Verdict;
use super::sorting::sort;
use super::statements::Statements;
use super::store::Store;
use super::transaction::Served;
use super::transaction::Transaction;
use super::wait_queues::Undelivered;
use super::wait_queues::WaitQueues;
use crate::error::QueueError;
use crate::name::QueueName;
use hoth_core::domain::Timestamp;
use hoth_platform::clock::Clock;
use hoth_platform::failpoint;
use hoth_platform::failpoint::FailPoint;

/// The pause between two deletions of expired rows, and the pause while there
/// are more, or keys to move: both must be faster than jobs are accepted.
const TEND_EVERY: Duration = Duration::from_secs(30);
const TEND_AGAIN: Duration = Duration::from_millis(20);

/// The pause before receivers are checked again on a full disk, or behind the
/// lock of another process.
const FULL_PAUSE: Duration = Duration::from_secs(1);

/// The pause between two reports of the same trouble.
const REPORT_EVERY: Duration = Duration::from_secs(60);

/// The longest sleep of the writer. It bounds the time for which a failure of
/// another thread goes unnoticed, and the harm of a clock that is set while the
/// writer sleeps.
const IDLE_MAX: Duration = Duration::from_millis(500);

/// The state of the writer's thread.
pub struct Writer {
    /// The only connection of this process that changes rows.
    sql: Connection,
    checkpoints: Checkpoints,
    /// `None` once the thread has ended. The files then come back.
    sync: Option<SyncThread>,
    file_watch: Option<FileWatch>,
    lock: FileLock,
    path: PathBuf,
    clock: Clock,
    reserve: Reserve,
    archive_for: Duration,
    keys: KnownKeys,
    groups: RefCell<Groups>,
    requests: Receiver<Request>,
    failed: watch::Sender<Option<StorageFailure>>,
    log_bytes: Arc<AtomicU64>,
    counter: CommitCounter,
    /// The queues' ids, which saves a query for each command.
    ids: HashMap<QueueName, i64>,
    /// Receives that have found nothing so far.
    waiting: WaitQueues,
    log: LogSize,
    /// The time of the next deletion of expired rows, and of the next part of a
    /// move of keys.
    tend_at: Instant,
    /// The time before which no merge begins, after one that failed.
    merge_not_before: Instant,
    /// The time of the next report of a lock that another process holds.
    report_lock_at: Instant,
}

/// The treatment of waiting receivers by a transaction.
#[derive(Clone, Copy, PartialEq, Eq)]
enum ServeWaiters {
    /// Serves them after the commands.
    Yes,
    /// Leaves them waiting.
    No,
}

/// The reason why a transaction must not be answered with success.
enum NotStored {
    /// Nothing was stored, and later transactions may work.
    Wait(rusqlite::Error, Phase),
    /// The disk is full. Nothing was stored, and later transactions may work.
    Full,
    /// The state of the file is unknown.
    Failed(rusqlite::Error),
}

/// A transaction that was committed, and is not synced yet.
struct Done<T> {
    result: T,
    number: u64,
    wrote: bool,
}

impl Writer {
    /// Starts the threads that work for the writer.
    pub fn start(opened: Opened, channels: Channels) -> io::Result<Self> {
        let Opened { sql, checkpointer, lock, files, index, log, other_writers, .. } = opened;
        let Channels { received, requests, failed, log_bytes, counter, synced, runtime } = channels;
        let file_watch = FileWatch::new(files, other_writers, Arc::clone(&log_bytes));
        Ok(Self {
            checkpoints: Checkpoints::start(checkpointer, index, opened.log_max_bytes)?,
            sync: Some(SyncThread::start(log, file_watch, synced, requests, runtime)?),
            file_watch: None,
            sql,
            lock,
            path: opened.path,
            clock: opened.clock,
            reserve: opened.reserve,
            archive_for: opened.archive_for,
            keys: opened.keys,
            groups: opened.groups,
            requests: received,
            failed,
            log_bytes,
            counter,
            ids: HashMap::new(),
            waiting: WaitQueues::default(),
            log: LogSize::new(opened.log_max_bytes),
            tend_at: Instant::now() + TEND_EVERY,
            merge_not_before: Instant::now(),
            report_lock_at: Instant::now(),
        })
    }

    /// Serves requests until [`Request::Close`], or until every sender is gone.
    pub fn run(mut self) {
        let mut last = 0;
        loop {
            let mut batch = match self.requests.recv_timeout(self.sleep()) {
                Ok(request) => vec![request],
                Err(RecvTimeoutError::Timeout) => Vec::new(),
                Err(RecvTimeoutError::Disconnected) => return self.end(),
            };
            if !batch.is_empty() {
                let sync = self.sync.as_ref();
                let awaits_sync = || sync.is_some_and(SyncThread::awaits_sync);
                gather(&self.requests, &mut batch, last, awaits_sync);
            }
            last = batch.len();
            let close = batch.iter().position(|request| matches!(request, Request::Close { .. }));
            let late = close.map(|at| batch.split_off(at));
            self.notice_the_end_of_syncing();
            self.process(batch);
            if let Some(late) = late {
                // `close` promises a closed file, so the connection goes before
                // the answer.
                self.end();
                late.into_iter().for_each(|request| request.refuse(closed()));
                return;
            }
        }
    }

    /// Returns the time until the next wait is over, the next message is due,
    /// or rows expire.
    fn sleep(&self) -> Duration {
        if self.has_failed() {
            return IDLE_MAX;
        }
        let now = Instant::now();
        let until = |at: Instant| at.saturating_duration_since(now);
        let due = self.waiting.next_due().map(|due| self.clock.until(due));
        let times = [due, self.waiting.next_expiry().map(until), Some(until(self.tend_at))];
        times.into_iter().flatten().min().unwrap_or(IDLE_MAX).min(IDLE_MAX)
    }

    fn process(&mut self, batch: Vec<Request>) {
        if self.has_failed() {
            return batch.into_iter().for_each(|request| request.refuse(storage_failed()));
        }
        let returned = self.sync.iter().flat_map(SyncThread::returned).map(release);
        let mut commands: Vec<_> = returned.collect();
        for request in batch {
            match request {
                Request::Apply(command) => commands.push(command),
                // Before the transaction, so that a receive sees the messages
                // that were sent before it in the same batch.
                Request::Receive(waiter) => self.waiting.add(waiter),
                Request::Wake => {}
                // `run` keeps these for the end.
                Request::Close { reply } => drop(reply.send(())),
            }
        }
        self.log.note(self.log_bytes.load(Ordering::Relaxed));
        let mut commands = self.refuse_without_room(commands);
        // Without work, a lock of another process would be waited for in vain.
        if !commands.is_empty() || !self.waiting.dirty(self.clock.now()).is_empty() {
            match self.transact(&mut commands, ServeWaiters::Yes) {
                Ok(done) => self.post(commands, done),
                Err(NotStored::Full) => {
                    self.reserve.release();
                    self.tend_log();
                    self.process_one_by_one(commands);
                }
                Err(NotStored::Wait(cause, Phase::Begin)) => self.postpone(commands, &cause),
                Err(NotStored::Wait(_, Phase::Inside)) => self.process_one_by_one(commands),
                Err(NotStored::Failed(cause)) => self.fail(commands, &cause),
            }
        }
        self.answer_expired();
        if self.tend_at <= Instant::now() || self.is_merge_due() {
            self.tend();
        }
        self.tend_log();
    }

    fn has_failed(&self) -> bool {
        self.failed.borrow().is_some()
    }

    /// Answers the receivers whose wait is over. This follows the transaction,
    /// which may have served an expired receiver with a message that it would
    /// otherwise miss.
    fn answer_expired(&mut self) {
        let expired = self.waiting.take_expired(Instant::now());
        if !expired.is_empty() {
            let result = expired.into_iter().map(|waiter| (waiter, Vec::new())).collect();
            self.post(Vec::new(), Done { result, number: self.counter.last(), wrote: false });
        }
    }

    /// Has the callers of a transaction answered when it is on disk.
    fn post(&self, commands: Vec<Box<dyn Command>>, done: Done<Served>) {
        let Done { result: served, number, wrote } = done;
        let committed = Committed { number, wrote, commands, served };
        match &self.sync {
            Some(sync) => sync.post(committed),
            None => committed.refuse(),
        }
    }

    /// Keeps the log small.
    fn tend_log(&mut self) {
        if self.has_failed() {
            return;
        }
        match self.checkpoints.tend(&self.sql, self.reserve.was_held()) {
            Ok(()) => {}
            Err(CheckpointFailed::Storage(cause)) => return self.fail(Vec::new(), &cause),
            Err(CheckpointFailed::Ended) => return self.lose(HelperThread::Checkpoint),
        }
        if !self.checkpoints.is_running() {
            self.log.shrink(&self.sql);
        }
    }

    /// Applies all commands and serves the receivers, or changes nothing.
    fn transact(
        &mut self,
        commands: &mut [Box<dyn Command>],
        serve: ServeWaiters,
    ) -> Result<Done<Served>, NotStored> {
        let mut served = Served::new();
        let committed = self.in_transaction(|transaction| {
            for command in commands {
                command.apply(transaction)?;
            }
            match serve {
                ServeWaiters::Yes => transaction.serve(&mut served),
                ServeWaiters::No => Ok(()),
            }
        });
        match committed {
            Ok(Done { number, wrote, .. }) => Ok(Done { result: served, number, wrote }),
            Err(not_stored) => {
                // The rollback has undone the leases, so the receivers wait
                // again, in their old places.
                self.waiting.put_back(served.into_iter().map(|(waiter, _)| waiter));
                Err(not_stored)
            }
        }
    }

    /// Runs `work` in a transaction, and commits it. Nothing of it may be
    /// answered before its sync.
    fn in_transaction<T>(
        &mut self,
        work: impl FnOnce(&mut Transaction<'_, '_>) -> rusqlite::Result<T>,
    ) -> Result<Done<T>, NotStored> {
        let begun = execute(&self.sql, "BEGIN IMMEDIATE");
        begun.map_err(|error| self.not_stored(error, Phase::Begin))?;
        let (now, known) = (self.clock.now(), self.ids.len());
        let (changes, number) = (self.sql.total_changes(), self.counter.next());
        let statements = Statements::of(&self.sql);
        let mut transaction = Transaction {
            store: Store { sql: &statements, now, groups: &self.groups },
            archived_from: archived_from(now, self.archive_for),
            ids: &mut self.ids,
            keys: &mut self.keys,
            waiting: &mut self.waiting,
        };
        let committed = work(&mut transaction).and_then(|result| {
            failpoint::reach(FailPoint::BeforeCommit);
            execute(&self.sql, "COMMIT")?;
            Ok(Done { result, number, wrote: self.sql.total_changes() != changes })
        });
        match committed {
            Ok(done) => {
                self.keys.committed();
                self.groups.get_mut().committed();
                Ok(done)
            }
            Err(error) => {
                self.keys.rolled_back();
                self.groups.get_mut().rolled_back();
                // Rows of queues that were made inside are rolled back, and
                // their ids may be given to other queues.
                if self.ids.len() > known {
                    self.ids.clear();
                }
                // The number stands for nothing, and no reader may wait for it.
                self.post(Vec::new(), Done { result: Served::new(), number, wrote: false });
                Err(self.not_stored(error, Phase::Inside))
            }
        }
    }

    /// Sorts an error, and rolls back.
    fn not_stored(&self, error: rusqlite::Error, phase: Phase) -> NotStored {
        let sql = &self.sql;
        // Before the rollback, which may fail with an error of its own.
        let verdict = sort(sql, &error, phase);
        // SQLite rolls back by itself after some errors (SQLITE_FULL and
        // SQLITE_IOERR among them), and then this fails.
        let _ = sql.execute_batch("ROLLBACK");
        let rolled_back = sql.is_autocommit();
        match verdict {
            Verdict::Wait if rolled_back => NotStored::Wait(error, phase),
            Verdict::Full if rolled_back => NotStored::Full,
            Verdict::Wait | Verdict::Full | Verdict::Stop => NotStored::Failed(error),
        }
    }

    fn is_merge_due(&self) -> bool {
        let is_due = self.keys.is_merge_due() || self.groups.borrow().is_merge_due();
        is_due && self.merge_not_before <= Instant::now()
    }

    /// Deletes what has expired, and moves what is recent, in parts.
    fn tend(&mut self) {
        if self.has_failed() {
            return;
        }
        let tended = self.in_transaction(|transaction| transaction.tend());
        let mut pause = TEND_EVERY;
        match tended {
            Ok(Done { result: backlog, number, wrote }) => {
                if backlog == Backlog::Remains {
                    pause = TEND_AGAIN;
                }
                self.post(Vec::new(), Done { result: Served::new(), number, wrote });
            }
            // A full disk, or a lock of another process, is no failure: the
            // work is done at a later try.
            Err(NotStored::Wait(..) | NotStored::Full) => {
                self.merge_not_before = Instant::now() + FULL_PAUSE
            }
            Err(NotStored::Failed(cause)) => self.fail(Vec::new(), &cause),
        }
        self.tend_at = Instant::now() + pause;
    }
}

/// Runs a statement that stays prepared.
fn execute(sql: &Connection, statement: &str) -> rusqlite::Result<()> {
    sql.prepare_cached(statement)?.execute([]).map(drop)
}

/// Returns the time from which on consumed outcomes can be redelivered. Outcomes
/// that were consumed earlier are forgotten, even before they are deleted.
fn archived_from(now: Timestamp, archive_for: Duration) -> Timestamp {
    let kept = u64::try_from(archive_for.as_millis()).unwrap_or(u64::MAX);
    // An outcome that was consumed exactly this long ago is forgotten, too,
    // hence the added millisecond.
    Timestamp::from_millis(now.as_millis().saturating_sub(kept).saturating_add(1))
}

/// Makes the command that gives messages back at once.
fn release(undelivered: Undelivered) -> Box<dyn Command> {
    let Undelivered { queue, leases } = undelivered;
    Call::without_caller(GiveBackMessages { queue, leases, after: Duration::ZERO })
}

fn storage_failed() -> QueueError {
    QueueError::Unreachable("queue storage failed earlier; the host must be restarted".into())
}
