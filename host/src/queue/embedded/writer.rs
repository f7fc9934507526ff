//! The one thread that writes.
//!
//! It drains what callers have asked, does all of it in one transaction, and
//! answers after COMMIT: while one transaction is synced to disk, the next one
//! gathers (group commit). Receives that find nothing wait here, and are
//! served by the transaction that makes something claimable.

use std::collections::HashMap;
use std::collections::HashSet;
use std::collections::VecDeque;
use std::sync::mpsc::Receiver;
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;
use std::time::Instant;

use rusqlite::Connection;
use rusqlite::ErrorCode;
use tokio::sync::watch;
use tracing::error;
use tracing::warn;

use super::command::Command;
use super::command::Outcome;
use super::command::Remainder;
use super::command::Waiter;
use super::receipt::Held;
use super::store::QueueRow;
use super::store::Store;
use crate::clock::Clock;
use crate::domain::Timestamp;
use crate::queue::QueueError;
use crate::queue::QueueName;

/// Commands in one transaction: enough to share a sync among all who wait for
/// it, few enough that none waits long for the others.
const BATCH_COMMANDS_MAX: usize = 512;

/// How often the writer forgets what has outlived its time, and how soon again
/// while there is more: it must forget faster than jobs are accepted.
const PURGE_EVERY: Duration = Duration::from_secs(30);
const PURGE_AGAIN: Duration = Duration::from_millis(50);

/// The longest sleep of the writer.
const IDLE_MAX: Duration = Duration::from_secs(30);

/// The writer's thread, before it runs.
pub struct Writer {
    sql: Connection,
    clock: Clock,
    commands: Receiver<Command>,
    failed: watch::Sender<bool>,
    archive_for: Duration,
    ids: HashMap<QueueName, i64>,
    lines: HashMap<QueueName, Line>,
    /// Leases of receivers that were gone when they were to be told.
    given_back: Vec<(QueueName, Vec<Held>)>,
    purge_at: Instant,
}

/// Who waits at one queue.
#[derive(Default)]
struct Line {
    waiters: VecDeque<Waiter>,
    /// When something may become claimable without a command.
    next_due: Option<Timestamp>,
}

/// Why a transaction did not take place.
enum Refused {
    /// The disk is full; nothing was stored.
    Full,
    /// Nothing can be trusted any more.
    Broken(rusqlite::Error),
}

impl From<rusqlite::Error> for Refused {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::Full,
            _ => Self::Broken(error),
        }
    }
}

impl Writer {
    pub fn new(
        sql: Connection,
        clock: Clock,
        commands: Receiver<Command>,
        failed: watch::Sender<bool>,
        archive_for: Duration,
    ) -> Self {
        Self {
            sql,
            clock,
            commands,
            failed,
            archive_for,
            ids: HashMap::new(),
            lines: HashMap::new(),
            given_back: Vec::new(),
            purge_at: Instant::now() + PURGE_EVERY,
        }
    }

    /// Works until it is told to close, or until nobody can ask any more.
    pub fn run(mut self) {
        loop {
            let mut batch = match self.commands.recv_timeout(self.sleep()) {
                Ok(command) => vec![command],
                Err(RecvTimeoutError::Timeout) => Vec::new(),
                Err(RecvTimeoutError::Disconnected) => return,
            };
            while batch.len() < BATCH_COMMANDS_MAX {
                match self.commands.try_recv() {
                    Ok(command) => batch.push(command),
                    Err(_) => break,
                }
            }
            let close = batch.iter().position(|c| matches!(c, Command::Close { .. }));
            let closing = close.map(|at| batch.split_off(at));
            self.work(batch);
            if let Some(rest) = closing {
                // After the last commit, and with the file closed.
                drop(self);
                for command in rest {
                    command.answer(Outcome::Failed(closed()));
                }
                return;
            }
        }
    }

    /// Until the next waiter gives up, the next message is due, or something is
    /// to be forgotten.
    fn sleep(&self) -> Duration {
        if *self.failed.borrow() {
            return IDLE_MAX;
        }
        let now = Instant::now();
        let due = |line: &Line| line.next_due.map(|due| self.clock.until(due));
        let until =
            |line: &Line| line.waiters.iter().map(|w| w.until.saturating_duration_since(now)).min();
        let waited_for = self.lines.values().filter(|line| !line.waiters.is_empty());
        let times = waited_for.flat_map(|line| [due(line), until(line)]).flatten();
        times.min().unwrap_or(IDLE_MAX).min(self.purge_at.saturating_duration_since(now))
    }

    fn work(&mut self, batch: Vec<Command>) {
        if *self.failed.borrow() {
            for command in batch {
                command.answer(Outcome::Failed(unreachable_storage()));
            }
            return;
        }
        match self.transact(&batch) {
            Ok(outcomes) => self.answer(batch, outcomes),
            Err(Refused::Full) => self.work_one_by_one(batch),
            Err(Refused::Broken(cause)) => self.fail(batch, &cause),
        }
        self.serve_waiters();
    }

    /// After the disk was full: what makes room must not fail with what needs
    /// it.
    fn work_one_by_one(&mut self, batch: Vec<Command>) {
        warn!("Queue storage is full; what needs room is refused");
        for command in batch {
            let one = std::slice::from_ref(&command);
            match self.transact(one) {
                Ok(outcomes) => self.answer(vec![command], outcomes),
                Err(Refused::Full) => {
                    command.answer(Outcome::Failed(QueueError::Full));
                }
                Err(Refused::Broken(cause)) => {
                    self.fail(vec![command], &cause);
                }
            }
        }
    }

    /// After an error of the disk nobody knows what is stored: SQLite's cache
    /// may hold what the file does not. So there is no answer but this one
    /// until the process has started anew.
    fn fail(&mut self, batch: Vec<Command>, cause: &rusqlite::Error) {
        error!(error = cause as &dyn std::error::Error, "Queue storage failed");
        self.failed.send_replace(true);
        for command in batch {
            command.answer(Outcome::Failed(unreachable_storage()));
        }
        for (_, line) in self.lines.drain() {
            for waiter in line.waiters {
                waiter.answer(Outcome::Failed(unreachable_storage()));
            }
        }
    }

    fn answer(&mut self, batch: Vec<Command>, outcomes: Vec<Outcome>) {
        for (command, outcome) in batch.into_iter().zip(outcomes) {
            let remainder = command.answer(outcome);
            self.keep(remainder);
        }
    }

    fn keep(&mut self, remainder: Remainder) {
        match remainder {
            Remainder::Nothing => {}
            Remainder::Waits(waiter) => {
                self.lines.entry(waiter.queue.clone()).or_default().waiters.push_back(waiter);
            }
            Remainder::GiveBack(queue, held) => self.given_back.push((queue, held)),
        }
    }

    fn transact(&mut self, batch: &[Command]) -> Result<Vec<Outcome>, Refused> {
        if batch.is_empty() {
            return Ok(Vec::new());
        }
        self.in_transaction(|writer| batch.iter().map(|command| writer.apply(command)).collect())
    }

    /// COMMIT or nothing. Ids of queues made inside are forgotten with it.
    fn in_transaction<T>(
        &mut self,
        work: impl FnOnce(&mut Self) -> rusqlite::Result<T>,
    ) -> Result<T, Refused> {
        self.sql.execute_batch("BEGIN IMMEDIATE")?;
        let known = self.ids.len();
        let done = work(self).and_then(|done| self.sql.execute_batch("COMMIT").map(|()| done));
        done.map_err(|error| {
            if self.ids.len() > known {
                self.ids.clear();
            }
            // Some errors have rolled back already, and then this is one more.
            let _ = self.sql.execute_batch("ROLLBACK");
            error.into()
        })
    }

    fn store(&self) -> Store<'_> {
        Store { sql: &self.sql, now: self.clock.now() }
    }

    fn row(&mut self, queue: &QueueName) -> rusqlite::Result<QueueRow> {
        let kind = queue.kind();
        if let Some(id) = self.ids.get(queue) {
            return Ok(QueueRow { id: *id, kind });
        }
        let id = self.store().queue_id(&queue.to_string())?;
        self.ids.insert(queue.clone(), id);
        Ok(QueueRow { id, kind })
    }

    fn apply(&mut self, command: &Command) -> rusqlite::Result<Outcome> {
        Ok(match command {
            Command::Send { queue, message, .. } => {
                let row = self.row(queue)?;
                Outcome::Sent(self.store().send(row, message)?)
            }
            Command::Receive(waiter) => match self.receive(waiter)? {
                leased if leased.is_empty() && !waiter.receive.wait.is_zero() => Outcome::Parked,
                leased => Outcome::Received(leased),
            },
            Command::Delete { queue, held, .. } => {
                let row = self.row(queue)?;
                let store = self.store();
                let mut all = true;
                for one in held {
                    all &= store.delete(row, *one)?;
                }
                Outcome::Done(all)
            }
            Command::ChangeLease { queue, held, after, .. } => {
                let row = self.row(queue)?;
                let store = self.store();
                let mut all = true;
                for one in held {
                    all &= store.change_lease(row, *one, store.now + *after)?;
                }
                Outcome::Done(all)
            }
            Command::Settle { queue, held, to, successor, .. } => {
                let (row, to) = (self.row(queue)?, self.row(to)?);
                Outcome::Done(self.store().settle(row, *held, to, successor)?)
            }
            Command::Bury { queue, held, reason, report, .. } => {
                let row = self.row(queue)?;
                let buried = self.store().bury_held(row, *held, reason)?;
                if let (true, Some((to, message))) = (buried, report) {
                    let to = self.row(to)?;
                    self.store().insert(to, message)?;
                }
                Outcome::Done(buried)
            }
            Command::Redeliver { queue, which, until, .. } => {
                let row = self.row(queue)?;
                let consumed = self.archived_from()..=*until;
                Outcome::Count(self.store().redeliver(row, which, consumed)?)
            }
            Command::Revive { queue, id, message, .. } => {
                let row = self.row(queue)?;
                Outcome::Count(u64::from(self.store().revive(row, *id, message)?))
            }
            Command::Discard { queue, ids, .. } => {
                let row = self.row(queue)?;
                Outcome::Count(self.store().discard(row, ids)?)
            }
            Command::Check { .. } | Command::Close { .. } => Outcome::Done(true),
        })
    }

    fn receive(&mut self, waiter: &Waiter) -> rusqlite::Result<Vec<super::store::Leased>> {
        if waiter.reply.is_closed() {
            return Ok(Vec::new());
        }
        let row = self.row(&waiter.queue)?;
        let store = self.store();
        let until = store.now + waiter.receive.lease;
        store.receive(row, waiter.receive.max, until, waiter.receive.holder)
    }

    /// Serves who waits, in order of arrival, in a transaction of its own:
    /// it is empty, and so costs no sync, unless there is something to lease.
    fn serve_waiters(&mut self) {
        if self.purge_at <= Instant::now() {
            self.purge();
        }
        self.give_back();
        let waited_for: HashSet<QueueName> = self
            .lines
            .iter()
            .filter(|(_, line)| !line.waiters.is_empty())
            .map(|(name, _)| name.clone())
            .collect();
        for queue in waited_for {
            if let Err(refused) = self.serve_line(&queue) {
                match refused {
                    Refused::Full => warn!(%queue, "Queue storage is full; receivers wait"),
                    Refused::Broken(cause) => return self.fail(Vec::new(), &cause),
                }
            }
        }
    }

    fn serve_line(&mut self, queue: &QueueName) -> Result<(), Refused> {
        let Some(mut line) = self.lines.remove(queue) else { return Ok(()) };
        let now = Instant::now();
        let mut result = Ok(());
        while let Some(waiter) = line.waiters.pop_front() {
            if waiter.reply.is_closed() {
                continue;
            }
            match self.in_transaction(|writer| writer.receive(&waiter)) {
                Ok(leased) if leased.is_empty() => {
                    line.waiters.push_front(waiter);
                    break;
                }
                Ok(leased) => {
                    let remainder = waiter.answer(Outcome::Received(leased));
                    self.keep(remainder);
                }
                Err(refused) => {
                    line.waiters.push_front(waiter);
                    result = Err(refused);
                    break;
                }
            }
        }
        let (over, waiting): (Vec<_>, Vec<_>) =
            line.waiters.into_iter().partition(|waiter| waiter.until <= now);
        for waiter in over {
            waiter.answer(Outcome::Received(Vec::new()));
        }
        line.waiters = waiting.into();
        if !line.waiters.is_empty() {
            let row = self.row(queue)?;
            line.next_due = self.store().next_due(row)?;
            self.lines.insert(queue.clone(), line);
        }
        result
    }

    /// Ends the leases of receivers that are gone. On a full disk they end by
    /// themselves, later.
    fn give_back(&mut self) {
        for (queue, held) in std::mem::take(&mut self.given_back) {
            let released = self.in_transaction(|writer| {
                let row = writer.row(&queue)?;
                let store = writer.store();
                held.iter().try_for_each(|one| store.change_lease(row, *one, store.now).map(drop))
            });
            if let Err(Refused::Broken(cause)) = released {
                return self.fail(Vec::new(), &cause);
            }
        }
    }

    fn purge(&mut self) {
        let from = self.archived_from();
        let purged = self.in_transaction(|writer| writer.store().purge(from));
        let more = matches!(purged, Ok(true));
        self.purge_at = Instant::now() + if more { PURGE_AGAIN } else { PURGE_EVERY };
        if let Err(Refused::Broken(cause)) = purged {
            self.fail(Vec::new(), &cause);
        }
    }

    /// What was consumed before is forgotten, be it purged or not.
    fn archived_from(&self) -> Timestamp {
        let (now, kept) = (self.clock.now().as_millis(), self.archive_for.as_millis());
        let forgotten = now.saturating_sub(u64::try_from(kept).unwrap_or(u64::MAX));
        Timestamp::from_millis(forgotten.saturating_add(1))
    }
}

fn closed() -> QueueError {
    QueueError::Unreachable("the queue was closed".into())
}

fn unreachable_storage() -> QueueError {
    QueueError::Unreachable("queue storage failed earlier; the host must be restarted".into())
}
