//! The one thread that writes.
//!
//! The writer drains the requests of all callers, applies them in one
//! transaction, and answers after COMMIT. While that transaction is synced to
//! disk, the requests of the next one gather (group commit). Receives that find
//! nothing wait here, and are served by the transaction that makes a message
//! claimable.

use std::collections::HashMap;
use std::sync::mpsc::Receiver;
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;
use std::time::Instant;

use rusqlite::Connection;
use rusqlite::ErrorCode;
use tokio::sync::watch;
use tracing::error;
use tracing::warn;

use super::command::Call;
use super::command::Command;
use super::command::Request;
use super::operations::ChangeLeases;
use super::reserve::Reserve;
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

/// The most requests of one transaction: enough to share a sync among all
/// callers, few enough that no caller waits long for the rest.
const BATCH_MAX: usize = 512;

/// The pause between two deletions of expired rows, and the pause while there
/// are more: rows must be deleted faster than jobs are accepted.
const EXPIRE_EVERY: Duration = Duration::from_secs(30);
const EXPIRE_AGAIN: Duration = Duration::from_millis(50);

/// The pause before receivers are checked again on a full disk.
const FULL_PAUSE: Duration = Duration::from_secs(1);

/// The longest sleep of the writer. It bounds the harm of a clock that is set
/// while the writer sleeps.
const IDLE_MAX: Duration = Duration::from_secs(30);

/// The state of the writer's thread.
pub struct Writer {
    /// The only connection that writes, so no transaction ever waits for a
    /// lock of another.
    sql: Connection,
    /// The queue's time. Deadlines of callers and pauses are measured in
    /// [`Instant`] instead, which no operator can set.
    clock: Clock,
    /// Requests of all callers, in order of arrival.
    requests: Receiver<Request>,
    /// True after an I/O error, and never reset: see [`Writer::fail`].
    failed: watch::Sender<bool>,
    /// The time for which consumed outcomes can be redelivered.
    archive_for: Duration,
    /// The queues' ids, which saves a query for each command.
    ids: HashMap<QueueName, i64>,
    /// Receives that have found nothing so far.
    waiting: WaitQueues,
    /// Disk space that is released when the disk is full, so that deletions
    /// still commit.
    reserve: Reserve,
    /// The time of the next deletion of expired rows.
    expire_at: Instant,
}

/// The treatment of waiting receivers by a transaction.
#[derive(Clone, Copy, PartialEq, Eq)]
enum ServeWaiters {
    /// Serves them after the commands.
    Yes,
    /// Leaves them waiting.
    No,
}

/// The reason why a transaction was rolled back.
enum Rollback {
    /// The disk is full. Nothing was stored, and later transactions may work.
    Full,
    /// The state of the file is unknown.
    Failed(rusqlite::Error),
}

impl From<rusqlite::Error> for Rollback {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::Full,
            // No other error is expected, so they are not told apart: a restart
            // reads the true state of the file.
            _ => Self::Failed(error),
        }
    }
}

impl Writer {
    pub fn new(
        sql: Connection,
        clock: Clock,
        requests: Receiver<Request>,
        failed: watch::Sender<bool>,
        archive_for: Duration,
        reserve: Reserve,
    ) -> Self {
        Self {
            sql,
            clock,
            requests,
            failed,
            archive_for,
            ids: HashMap::new(),
            waiting: WaitQueues::default(),
            reserve,
            expire_at: Instant::now() + EXPIRE_EVERY,
        }
    }

    /// Serves requests until [`Request::Close`], or until every sender is gone.
    pub fn run(mut self) {
        loop {
            let mut batch = match self.requests.recv_timeout(self.sleep()) {
                Ok(request) => vec![request],
                Err(RecvTimeoutError::Timeout) => Vec::new(),
                Err(RecvTimeoutError::Disconnected) => return,
            };
            // Requests that arrived during the last sync share the next one.
            while batch.len() < BATCH_MAX {
                match self.requests.try_recv() {
                    Ok(request) => batch.push(request),
                    // After a disconnect the next `recv_timeout` ends the loop,
                    // when this batch has its answers.
                    Err(_) => break,
                }
            }
            let close = batch.iter().position(|request| matches!(request, Request::Close { .. }));
            let late = close.map(|at| batch.split_off(at));
            self.process(batch);
            if let Some(late) = late {
                // `close` promises a closed file, so the connection goes before
                // the answer.
                drop(self);
                late.into_iter().for_each(|request| request.refuse(closed()));
                return;
            }
        }
    }

    /// Returns the time until the next wait is over, the next message is due,
    /// or rows expire.
    fn sleep(&self) -> Duration {
        if *self.failed.borrow() {
            return IDLE_MAX;
        }
        let now = Instant::now();
        let until = |at: Instant| at.saturating_duration_since(now);
        let due = self.waiting.next_due().map(|due| self.clock.until(due));
        let times = [due, self.waiting.next_expiry().map(until), Some(until(self.expire_at))];
        times.into_iter().flatten().min().unwrap_or(IDLE_MAX).min(IDLE_MAX)
    }

    fn process(&mut self, batch: Vec<Request>) {
        if *self.failed.borrow() {
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
        match self.transact(&mut commands, ServeWaiters::Yes) {
            Ok(served) => self.answer(commands, served),
            Err(Rollback::Full) => self.process_one_by_one(commands),
            Err(Rollback::Failed(cause)) => self.fail(commands, &cause),
        }
        // After the transaction, which may have served an expired receiver with
        // a message that it would otherwise miss.
        for waiter in self.waiting.take_expired(Instant::now()) {
            waiter.answer(Ok(Vec::new()));
        }
        if self.expire_at <= Instant::now() {
            self.delete_expired();
        }
    }

    /// Refuses the commands that need room while there is none, and returns the
    /// rest.
    fn refuse_without_room(&mut self, commands: Vec<Box<dyn Command>>) -> Vec<Box<dyn Command>> {
        if self.reserve.is_held() {
            return commands;
        }
        let (refused, rest): (Vec<_>, Vec<_>) =
            commands.into_iter().partition(|command| command.needs_room());
        for command in refused {
            command.answer(Err(QueueError::Full));
        }
        rest
    }

    /// Applies the commands of a transaction that met a full disk, each in a
    /// transaction of its own: deletions must not fail together with sends.
    fn process_one_by_one(&mut self, commands: Vec<Box<dyn Command>>) {
        self.reserve.release();
        for mut command in self.refuse_without_room(commands) {
            // Receivers are served at the end: an update may find no room, and
            // would roll back the command with it.
            match self.transact(std::slice::from_mut(&mut command), ServeWaiters::No) {
                Ok(served) => self.answer(vec![command], served),
                Err(Rollback::Full) => command.answer(Err(QueueError::Full)),
                Err(Rollback::Failed(cause)) => return self.fail(vec![command], &cause),
            }
        }
        match self.transact(&mut [], ServeWaiters::Yes) {
            Ok(served) => self.answer(Vec::new(), served),
            Err(Rollback::Full) => {
                warn!("Queue storage is full; receives wait until there is room");
                self.waiting.defer(self.clock.now() + FULL_PAUSE);
            }
            Err(Rollback::Failed(cause)) => self.fail(Vec::new(), &cause),
        }
    }

    /// Refuses everything from now on.
    ///
    /// After a failed write or sync the content of the file is unknown:
    /// SQLite's page cache may hold pages that the file does not have, and a
    /// second fsync may report success for pages that the kernel has dropped
    /// (LWN, "PostgreSQL's fsync() surprise", 2018). Only a new process reads
    /// the stored state.
    fn fail(&mut self, commands: Vec<Box<dyn Command>>, cause: &rusqlite::Error) {
        error!(error = cause as &dyn std::error::Error, "Queue storage failed");
        self.failed.send_replace(true);
        for command in commands {
            command.answer(Err(storage_failed()));
        }
        for waiter in self.waiting.drain() {
            waiter.answer(Err(storage_failed()));
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
            Err(Rollback::Full) => {
                warn!("Queue storage is full; messages come back when their leases run out");
            }
            Err(Rollback::Failed(cause)) => self.fail(releases, &cause),
        }
    }

    /// Applies all commands and serves the receivers, or changes nothing.
    fn transact(
        &mut self,
        commands: &mut [Box<dyn Command>],
        serve: ServeWaiters,
    ) -> Result<Served, Rollback> {
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
            Err(rollback) => {
                // The rollback has undone the leases, so the receivers wait
                // again, in their old places.
                self.waiting.put_back(served.into_iter().map(|(waiter, _)| waiter));
                Err(rollback)
            }
        }
    }

    /// Runs `work` in a transaction, and commits it. A transaction that writes
    /// nothing costs no sync.
    fn in_transaction<T>(
        &mut self,
        work: impl FnOnce(&mut Transaction<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, Rollback> {
        self.sql.execute_batch("BEGIN IMMEDIATE")?;
        let (now, known) = (self.clock.now(), self.ids.len());
        let mut transaction = Transaction {
            store: Store { sql: &self.sql, now },
            archived_from: self.archived_from(now),
            ids: &mut self.ids,
            waiting: &mut self.waiting,
        };
        let committed = work(&mut transaction).and_then(|done| {
            failpoint::reach(FailPoint::BeforeCommit);
            self.sql.execute_batch("COMMIT")?;
            failpoint::reach(FailPoint::AfterCommit);
            Ok(done)
        });
        committed.map_err(|error| {
            // Rows of queues that were made inside are rolled back, and their
            // ids may be given to other queues.
            if self.ids.len() > known {
                self.ids.clear();
            }
            // SQLite rolls back by itself after some errors (SQLITE_FULL and
            // SQLITE_IOERR among them), and then this fails.
            let _ = self.sql.execute_batch("ROLLBACK");
            error.into()
        })
    }

    fn delete_expired(&mut self) {
        let deleted = self.in_transaction(|transaction| {
            transaction.store.delete_expired(transaction.archived_from)
        });
        let pause = match deleted {
            Ok(Backlog::Remains) => EXPIRE_AGAIN,
            // A full disk is no failure: the rows expire at a later try.
            Ok(Backlog::None) | Err(_) => EXPIRE_EVERY,
        };
        self.expire_at = Instant::now() + pause;
        if let Err(Rollback::Failed(cause)) = deleted {
            self.fail(Vec::new(), &cause);
        }
    }

    /// Returns the time from which on consumed outcomes can be redelivered.
    /// Outcomes that were consumed earlier are forgotten, even before they are
    /// deleted.
    fn archived_from(&self, now: Timestamp) -> Timestamp {
        let (now, kept) = (now.as_millis(), self.archive_for.as_millis());
        // An outcome that was consumed exactly this long ago is forgotten, too,
        // hence the added millisecond.
        let forgotten = now.saturating_sub(u64::try_from(kept).unwrap_or(u64::MAX));
        Timestamp::from_millis(forgotten.saturating_add(1))
    }
}

/// Makes the command that gives messages back at once.
fn release(undelivered: Undelivered) -> Box<dyn Command> {
    let Undelivered { queue, leases } = undelivered;
    Call::without_caller(ChangeLeases { queue, leases, after: Duration::ZERO })
}

fn closed() -> QueueError {
    QueueError::Unreachable("the queue was closed".into())
}

fn storage_failed() -> QueueError {
    QueueError::Unreachable("queue storage failed earlier; the host must be restarted".into())
}
