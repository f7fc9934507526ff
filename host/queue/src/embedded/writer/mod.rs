//! The one thread that writes.
//!
//! The writer drains the requests of all callers, applies them in one
//! transaction, and answers after COMMIT. While that transaction is synced to
//! disk, the requests of the next one gather (group commit). Receives that find
//! nothing wait here, and are served by the transaction that makes a message
//! claimable.

mod ending;
mod gathering;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::mpsc::Receiver;
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;
use std::time::Instant;

use rusqlite::Connection;
use tokio::sync::watch;
use tracing::warn;

use self::gathering::gather;
use super::command::Call;
use super::command::Command;
use super::command::Request;
use super::failure::StorageFailure;
use super::identity::Displaced;
use super::identity::QueueFiles;
use super::known_keys::KnownKeys;
use super::lock::FileLock;
use super::log_size::LogSize;
use super::operations::GiveBackMessages;
use super::other_writers::OtherWriters;
use super::reserve::Reserve;
use super::schema::BUSY_WAIT;
use super::sorting::Phase;
use super::sorting::Verdict;
use super::sorting::sort;
use super::store::Backlog;
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

/// The longest sleep of the writer. It bounds the time for which it goes
/// unnoticed that the file was removed, and the harm of a clock that is set
/// while the writer sleeps.
const IDLE_MAX: Duration = Duration::from_millis(500);

/// The parts of an opened queue that the writer works with.
pub struct Opened {
    /// The only connection of this process that writes. It is declared before
    /// the lock, and so closed before it: see [`FileLock`].
    pub sql: Connection,
    pub lock: FileLock,
    /// The deduplication keys that were used within a day.
    pub keys: KnownKeys,
    pub files: QueueFiles,
    /// `None` if the kernel does not allow the watch.
    pub other_writers: Option<OtherWriters>,
    /// The queue's time. Deadlines of callers and pauses are measured in
    /// [`Instant`] instead, which no operator can set.
    pub clock: Clock,
    /// Disk space that is released when the disk is full, so that deletions
    /// still commit.
    pub reserve: Reserve,
    /// The time for which consumed outcomes can be redelivered.
    pub archive_for: Duration,
    /// The size of the log from which on new messages are refused.
    pub log_max_bytes: u64,
}

/// The state of the writer's thread.
pub struct Writer {
    opened: Opened,
    /// Requests of all callers, in order of arrival.
    requests: Receiver<Request>,
    /// The failure of storage, which is never reset: see [`Writer::fail`].
    failed: watch::Sender<Option<StorageFailure>>,
    /// The size of the log, for others to read.
    log_bytes: Arc<AtomicU64>,
    /// The queues' ids, which saves a query for each command.
    ids: HashMap<QueueName, i64>,
    /// Receives that have found nothing so far.
    waiting: WaitQueues,
    log: LogSize,
    /// The time of the next deletion of expired rows, and of the next part of a
    /// move of keys.
    tend_at: Instant,
    /// The time of the next look at the files without a commit.
    look_at: Instant,
    /// The time of the next report of a lock that another process holds.
    report_lock_at: Instant,
    /// The database has got a second name, which has been reported.
    linked: bool,
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
    /// Everything was stored, but not in the file that a restart will open.
    Displaced(Displaced),
}

impl Writer {
    pub fn new(
        opened: Opened,
        requests: Receiver<Request>,
        failed: watch::Sender<Option<StorageFailure>>,
        log_bytes: Arc<AtomicU64>,
    ) -> Self {
        Self {
            log: LogSize::new(opened.log_max_bytes),
            opened,
            requests,
            failed,
            log_bytes,
            ids: HashMap::new(),
            waiting: WaitQueues::default(),
            tend_at: Instant::now() + TEND_EVERY,
            look_at: Instant::now(),
            report_lock_at: Instant::now(),
            linked: false,
        }
    }

    /// Serves requests until [`Request::Close`], or until every sender is gone.
    pub fn run(mut self) {
        loop {
            let mut batch = match self.requests.recv_timeout(self.sleep()) {
                Ok(request) => vec![request],
                Err(RecvTimeoutError::Timeout) => Vec::new(),
                Err(RecvTimeoutError::Disconnected) => return self.end(),
            };
            gather(&self.requests, &mut batch);
            let close = batch.iter().position(|request| matches!(request, Request::Close { .. }));
            let late = close.map(|at| batch.split_off(at));
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
        if self.failed.borrow().is_some() {
            return IDLE_MAX;
        }
        let now = Instant::now();
        let until = |at: Instant| at.saturating_duration_since(now);
        let due = self.waiting.next_due().map(|due| self.opened.clock.until(due));
        let times = [due, self.waiting.next_expiry().map(until), Some(until(self.tend_at))];
        times.into_iter().flatten().min().unwrap_or(IDLE_MAX).min(IDLE_MAX)
    }

    fn process(&mut self, batch: Vec<Request>) {
        if self.failed.borrow().is_some() {
            return batch.into_iter().for_each(|request| request.refuse(storage_failed()));
        }
        let mut commands = Vec::with_capacity(batch.len());
        for request in batch {
            match request {
                Request::Apply(command) => commands.push(command),
                // Before the transaction, so that a receive sees the messages
                // that were sent before it in the same batch.
                Request::Receive(waiter) => self.waiting.add(waiter),
                // `run` keeps these for the end.
                Request::Close { reply } => drop(reply.send(())),
            }
        }
        let mut commands = self.refuse_without_room(commands);
        // Without work, a lock of another process would be waited for in vain.
        let idle = commands.is_empty() && self.waiting.dirty(self.opened.clock.now()).is_empty();
        if idle {
            self.look_after_a_pause();
        } else {
            match self.transact(&mut commands, ServeWaiters::Yes) {
                Ok(served) => self.answer(commands, served),
                Err(NotStored::Full) => {
                    self.opened.reserve.release();
                    self.process_one_by_one(commands);
                }
                Err(NotStored::Wait(cause, Phase::Begin)) => self.postpone(commands, &cause),
                Err(NotStored::Wait(_, Phase::Inside)) => self.process_one_by_one(commands),
                Err(NotStored::Failed(cause)) => self.fail(commands, &cause),
                Err(NotStored::Displaced(displaced)) => self.displace(commands, displaced),
            }
        }
        // After the transaction, which may have served an expired receiver with
        // a message that it would otherwise miss.
        for waiter in self.waiting.take_expired(Instant::now()) {
            waiter.answer(Ok(Vec::new()));
        }
        if self.failed.borrow().is_none() {
            if self.tend_at <= Instant::now() || self.opened.keys.is_merge_due() {
                self.tend();
            }
            self.log.shrink(&self.opened.sql);
        }
    }

    /// Refuses the commands that need room while there is none, and returns the
    /// rest.
    fn refuse_without_room(&mut self, commands: Vec<Box<dyn Command>>) -> Vec<Box<dyn Command>> {
        if self.opened.reserve.is_held() && self.log.has_room() {
            return commands;
        }
        let (refused, rest): (Vec<_>, Vec<_>) =
            commands.into_iter().partition(|command| command.needs_room());
        for command in refused {
            command.answer(Err(QueueError::Full));
        }
        rest
    }

    /// Applies the commands of a transaction that was rolled back, each in a
    /// transaction of its own: deletions must not fail together with sends, and
    /// a command that can never succeed fails alone.
    fn process_one_by_one(&mut self, commands: Vec<Box<dyn Command>>) {
        let mut commands = self.refuse_without_room(commands).into_iter();
        while let Some(mut command) = commands.next() {
            // Receivers are served at the end: an update may find no room, and
            // would roll back the command with it.
            match self.transact(std::slice::from_mut(&mut command), ServeWaiters::No) {
                Ok(served) => self.answer(vec![command], served),
                Err(NotStored::Full) => {
                    self.opened.reserve.release();
                    command.answer(Err(QueueError::Full));
                }
                Err(NotStored::Wait(cause, Phase::Inside)) => refuse_one(command, &cause),
                Err(NotStored::Wait(cause, Phase::Begin)) => {
                    let rest = [command].into_iter().chain(commands).collect();
                    return self.postpone(rest, &cause);
                }
                Err(NotStored::Failed(cause)) => {
                    let rest = [command].into_iter().chain(commands).collect();
                    return self.fail(rest, &cause);
                }
                Err(NotStored::Displaced(displaced)) => {
                    let rest = [command].into_iter().chain(commands).collect();
                    return self.displace(rest, displaced);
                }
            }
        }
        match self.transact(&mut [], ServeWaiters::Yes) {
            Ok(served) => self.answer(Vec::new(), served),
            Err(NotStored::Full) => {
                warn!("Queue storage is full; receives wait until there is room");
                self.waiting.defer(self.opened.clock.now() + FULL_PAUSE);
            }
            Err(NotStored::Wait(cause, _)) => self.postpone(Vec::new(), &cause),
            Err(NotStored::Failed(cause)) => self.fail(Vec::new(), &cause),
            Err(NotStored::Displaced(displaced)) => self.displace(Vec::new(), displaced),
        }
    }

    /// Refuses commands for now, and has receivers wait.
    fn postpone(&mut self, commands: Vec<Box<dyn Command>>, cause: &rusqlite::Error) {
        if self.report_lock_at <= Instant::now() {
            self.report_lock_at = Instant::now() + REPORT_EVERY;
            warn!(
                error = cause as &dyn std::error::Error,
                "The queue file could not be written for {BUSY_WAIT:?}, probably because another \
                 process holds its lock (`sqlite3`, a backup): calls are refused until it is free"
            );
        }
        self.waiting.defer(self.opened.clock.now() + FULL_PAUSE);
        for command in commands {
            command.answer(Err(in_use()));
        }
    }

    /// Answers all callers of a committed transaction. Messages that were
    /// leased for a receiver that has gone away meanwhile are released, and
    /// offered to the next receiver.
    fn answer(&mut self, commands: Vec<Box<dyn Command>>, served: Served) {
        for command in commands {
            command.answer(Ok(()));
        }
        let undelivered =
            served.into_iter().filter_map(|(waiter, leased)| waiter.answer(Ok(leased)));
        let mut releases: Vec<Box<dyn Command>> = undelivered.map(release).collect();
        if releases.is_empty() {
            return;
        }
        match self.transact(&mut releases, ServeWaiters::Yes) {
            // The recursion ends: each round takes a receiver off its queue.
            Ok(served) => self.answer(releases, served),
            // The leases run out by themselves, later.
            Err(NotStored::Full) => {
                warn!("Queue storage is full; messages come back when their leases run out");
            }
            Err(NotStored::Wait(cause, _)) => self.postpone(releases, &cause),
            Err(NotStored::Failed(cause)) => self.fail(releases, &cause),
            Err(NotStored::Displaced(displaced)) => self.displace(releases, displaced),
        }
    }

    /// Applies all commands and serves the receivers, or changes nothing.
    fn transact(
        &mut self,
        commands: &mut [Box<dyn Command>],
        serve: ServeWaiters,
    ) -> Result<Served, NotStored> {
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
            Ok(()) => Ok(served),
            Err(not_stored) => {
                // The rollback has undone the leases, so the receivers wait
                // again, in their old places.
                self.waiting.put_back(served.into_iter().map(|(waiter, _)| waiter));
                Err(not_stored)
            }
        }
    }

    /// Runs `work` in a transaction, and commits it. A transaction that writes
    /// nothing costs no sync.
    fn in_transaction<T>(
        &mut self,
        work: impl FnOnce(&mut Transaction<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, NotStored> {
        let begun = self.opened.sql.execute_batch("BEGIN IMMEDIATE");
        begun.map_err(|error| self.not_stored(error, Phase::Begin))?;
        let (now, known) = (self.opened.clock.now(), self.ids.len());
        let mut transaction = Transaction {
            store: Store { sql: &self.opened.sql, now },
            archived_from: self.archived_from(now),
            ids: &mut self.ids,
            keys: &mut self.opened.keys,
            waiting: &mut self.waiting,
        };
        let committed = work(&mut transaction).and_then(|done| {
            failpoint::reach(FailPoint::BeforeCommit);
            self.opened.sql.execute_batch("COMMIT")?;
            failpoint::reach(FailPoint::AfterCommit);
            Ok(done)
        });
        match committed {
            Ok(done) => {
                self.opened.keys.committed();
                // Before anything is answered: a success is for the file that a
                // restart will open.
                self.look_at_files().map_err(NotStored::Displaced)?;
                Ok(done)
            }
            Err(error) => {
                self.opened.keys.rolled_back();
                // Rows of queues that were made inside are rolled back, and
                // their ids may be given to other queues.
                if self.ids.len() > known {
                    self.ids.clear();
                }
                Err(self.not_stored(error, Phase::Inside))
            }
        }
    }

    /// Sorts an error, and rolls back.
    fn not_stored(&self, error: rusqlite::Error, phase: Phase) -> NotStored {
        let sql = &self.opened.sql;
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

    /// Deletes what has expired, and moves keys, in parts.
    fn tend(&mut self) {
        let tended = self.in_transaction(|transaction| transaction.tend());
        let pause = match tended {
            Ok(Backlog::Remains) => TEND_AGAIN,
            // A full disk, or a lock of another process, is no failure: the
            // work is done at a later try.
            Ok(Backlog::None) | Err(_) => TEND_EVERY,
        };
        self.tend_at = Instant::now() + pause;
        match tended {
            Ok(_) | Err(NotStored::Wait(..) | NotStored::Full) => {}
            Err(NotStored::Failed(cause)) => self.fail(Vec::new(), &cause),
            Err(NotStored::Displaced(displaced)) => self.displace(Vec::new(), displaced),
        }
    }

    /// Returns the time from which on consumed outcomes can be redelivered.
    /// Outcomes that were consumed earlier are forgotten, even before they are
    /// deleted.
    fn archived_from(&self, now: Timestamp) -> Timestamp {
        let (now, kept) = (now.as_millis(), self.opened.archive_for.as_millis());
        // An outcome that was consumed exactly this long ago is forgotten, too,
        // hence the added millisecond.
        let forgotten = now.saturating_sub(u64::try_from(kept).unwrap_or(u64::MAX));
        Timestamp::from_millis(forgotten.saturating_add(1))
    }
}

/// Makes the command that gives messages back at once.
fn release(undelivered: Undelivered) -> Box<dyn Command> {
    let Undelivered { queue, leases } = undelivered;
    Call::without_caller(GiveBackMessages { queue, leases, after: Duration::ZERO })
}

/// Refuses a command that cannot be applied, or that rows of another program
/// contradict. Nothing was stored.
fn refuse_one(command: Box<dyn Command>, cause: &rusqlite::Error) {
    warn!(error = cause as &dyn std::error::Error, "The queue file refused a change");
    command.answer(Err(QueueError::Unreachable(cause.to_string().into())));
}

fn in_use() -> QueueError {
    QueueError::Unreachable("another process holds the lock of the queue file".into())
}

fn closed() -> QueueError {
    QueueError::Unreachable("the queue was closed".into())
}

fn storage_failed() -> QueueError {
    QueueError::Unreachable("queue storage failed earlier; the host must be restarted".into())
}
