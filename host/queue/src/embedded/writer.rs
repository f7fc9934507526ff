//! The one thread that writes.
//!
//! It drains what callers have asked, does all of it in one transaction, and
//! answers after COMMIT: while one transaction is synced to disk, the next one
//! gathers (group commit). Receives that find nothing wait here, and are
//! served by the transaction that makes something claimable.

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

use super::command::Ask;
use super::command::Command;
use super::command::Outcome;
use super::command::Waiter;
use super::lines::Lines;
use super::reserve::Reserve;
use super::store::Leased;
use super::store::QueueRow;
use super::store::Store;
use crate::QueueError;
use crate::QueueName;
use hoth_core::domain::Timestamp;
use hoth_platform::clock::Clock;
use hoth_platform::failpoint;
use hoth_platform::failpoint::FailPoint;

/// What is asked of one transaction: enough to share a sync among all who wait for
/// it, few enough that none waits long for the others.
const BATCH_MAX: usize = 512;

/// How often the writer forgets what has outlived its time, and how soon again
/// while there is more: it must forget faster than jobs are accepted.
const PURGE_EVERY: Duration = Duration::from_secs(30);
const PURGE_AGAIN: Duration = Duration::from_millis(50);

/// How long receivers wait for room on a full disk before the next try.
const FULL_PAUSE: Duration = Duration::from_secs(1);

/// The longest sleep of the writer.
const IDLE_MAX: Duration = Duration::from_secs(30);

/// The writer's thread, before it runs.
pub struct Writer {
    sql: Connection,
    clock: Clock,
    asks: Receiver<Ask>,
    failed: watch::Sender<bool>,
    archive_for: Duration,
    ids: HashMap<QueueName, i64>,
    lines: Lines,
    reserve: Reserve,
    purge_at: Instant,
    /// The moment of the transaction under way, or of the last one. The clock is
    /// read once for each: a message that became due between two readings would
    /// be neither leased by the first nor waited for by the second, and its
    /// receiver would miss it.
    now: Timestamp,
}

/// What one transaction did, to be told when it is committed.
#[derive(Default)]
struct Done {
    /// One for each command.
    outcomes: Vec<Outcome>,
    served: Vec<(Waiter, Vec<Leased>)>,
}

/// Whether who waits is served in the same transaction.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Serving {
    Yes,
    No,
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
        asks: Receiver<Ask>,
        failed: watch::Sender<bool>,
        archive_for: Duration,
        reserve: Reserve,
    ) -> Self {
        let now = clock.now();
        Self {
            sql,
            clock,
            now,
            asks,
            failed,
            archive_for,
            ids: HashMap::new(),
            lines: Lines::default(),
            reserve,
            purge_at: Instant::now() + PURGE_EVERY,
        }
    }

    /// Works until it is told to close, or until nobody can ask any more.
    pub fn run(mut self) {
        loop {
            let mut asked = match self.asks.recv_timeout(self.sleep()) {
                Ok(ask) => vec![ask],
                Err(RecvTimeoutError::Timeout) => Vec::new(),
                Err(RecvTimeoutError::Disconnected) => return,
            };
            while asked.len() < BATCH_MAX {
                match self.asks.try_recv() {
                    Ok(ask) => asked.push(ask),
                    Err(_) => break,
                }
            }
            let close = asked.iter().position(|ask| matches!(ask, Ask::Close { .. }));
            let late = close.map(|at| asked.split_off(at));
            self.work(asked);
            if let Some(late) = late {
                // After the last commit, and with the file closed.
                drop(self);
                late.into_iter().for_each(|ask| ask.refuse(closed()));
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
        let until = |at: Instant| at.saturating_duration_since(now);
        let due = self.lines.next_due().map(|due| self.clock.until(due));
        let times = [due, self.lines.next_over().map(until), Some(until(self.purge_at))];
        times.into_iter().flatten().min().unwrap_or(IDLE_MAX).min(IDLE_MAX)
    }

    fn work(&mut self, asked: Vec<Ask>) {
        if *self.failed.borrow() {
            return asked.into_iter().for_each(|ask| ask.refuse(unreachable_storage()));
        }
        let mut commands = Vec::with_capacity(asked.len());
        for ask in asked {
            match ask {
                Ask::Do(command) => commands.push(command),
                Ask::Receive(waiter) => self.lines.add(waiter),
                // `run` keeps these for the end.
                Ask::Close { reply } => drop(reply.send(())),
            }
        }
        let commands = self.with_room(commands);
        match self.transact(&commands, Serving::Yes) {
            Ok(done) => self.answer(commands, done),
            Err(Refused::Full) => self.work_one_by_one(commands),
            Err(Refused::Broken(cause)) => self.fail(commands, &cause),
        }
        for waiter in self.lines.over(Instant::now()) {
            waiter.answer(Ok(Vec::new()));
        }
        if self.purge_at <= Instant::now() {
            self.purge();
        }
    }

    /// Refuses what needs room while there is none. The rest is tried.
    fn with_room(&mut self, commands: Vec<Command>) -> Vec<Command> {
        if self.reserve.is_held() {
            return commands;
        }
        let (refused, tried): (Vec<_>, Vec<_>) =
            commands.into_iter().partition(Command::needs_room);
        for command in refused {
            command.answer(Err(QueueError::Full));
        }
        tried
    }

    /// After the disk was full: what makes room must not fail with what needs
    /// it.
    fn work_one_by_one(&mut self, commands: Vec<Command>) {
        self.reserve.give_up();
        for command in self.with_room(commands) {
            let one = std::slice::from_ref(&command);
            match self.transact(one, Serving::No) {
                Ok(done) => self.answer(vec![command], done),
                Err(Refused::Full) => command.answer(Err(QueueError::Full)),
                Err(Refused::Broken(cause)) => return self.fail(vec![command], &cause),
            }
        }
        match self.transact(&[], Serving::Yes) {
            Ok(done) => self.answer(Vec::new(), done),
            Err(Refused::Full) => {
                warn!("Queue storage is full; receivers wait");
                self.lines.defer(self.clock.now() + FULL_PAUSE);
            }
            Err(Refused::Broken(cause)) => self.fail(Vec::new(), &cause),
        }
    }

    /// After an error of the disk nobody knows what is stored: SQLite's cache
    /// may hold what the file does not. So there is no answer but this one
    /// until the process has started anew.
    fn fail(&mut self, commands: Vec<Command>, cause: &rusqlite::Error) {
        error!(error = cause as &dyn std::error::Error, "Queue storage failed");
        self.failed.send_replace(true);
        for command in commands {
            command.answer(Err(unreachable_storage()));
        }
        for waiter in self.lines.drain() {
            waiter.answer(Err(unreachable_storage()));
        }
    }

    /// Tells everybody, after the commit. What was leased for a receiver that
    /// has gone away meanwhile goes back, and on to the next in line.
    fn answer(&mut self, commands: Vec<Command>, done: Done) {
        for (command, outcome) in commands.into_iter().zip(done.outcomes) {
            command.answer(Ok(outcome));
        }
        let told = done.served.into_iter().map(|(waiter, leased)| waiter.answer(Ok(leased)));
        let given_back: Vec<Command> = told.flatten().collect();
        if given_back.is_empty() {
            return;
        }
        match self.transact(&given_back, Serving::Yes) {
            // Ends, for each round takes somebody out of the lines.
            Ok(done) => self.answer(given_back, done),
            // The leases end by themselves, later.
            Err(Refused::Full) => warn!("Queue storage is full; a lease runs to its end"),
            Err(Refused::Broken(cause)) => self.fail(given_back, &cause),
        }
    }

    /// Does all of the commands and serves who waits, or nothing of it. Where
    /// there is nothing to write, nothing is synced.
    fn transact(&mut self, commands: &[Command], serving: Serving) -> Result<Done, Refused> {
        let mut done = Done::default();
        let committed = self.in_transaction(|writer| {
            for command in commands {
                done.outcomes.push(writer.apply(command)?);
            }
            match serving {
                Serving::Yes => writer.serve(&mut done.served),
                Serving::No => Ok(()),
            }
        });
        match committed {
            Ok(()) => Ok(done),
            Err(refused) => {
                self.lines.put_back(done.served.into_iter().map(|(waiter, _)| waiter));
                Err(refused)
            }
        }
    }

    /// Serves who waits where there may be something to lease, in order of
    /// arrival.
    fn serve(&mut self, served: &mut Vec<(Waiter, Vec<Leased>)>) -> rusqlite::Result<()> {
        for queue in self.lines.worth_a_look(self.now) {
            let row = self.row(&queue)?;
            while let Some(waiter) = self.lines.first(&queue) {
                let receive = waiter.receive;
                let store = self.store();
                let until = store.now + receive.lease;
                let leased = store.receive(row, receive.max, until, receive.holder)?;
                if leased.is_empty() {
                    break;
                }
                served.extend(self.lines.take_first(&queue).map(|waiter| (waiter, leased)));
            }
            let next_due = self.store().next_due(row)?;
            self.lines.looked_at(&queue, next_due);
        }
        Ok(())
    }

    /// COMMIT or nothing. Ids of queues made inside are forgotten with it.
    fn in_transaction<T>(
        &mut self,
        work: impl FnOnce(&mut Self) -> rusqlite::Result<T>,
    ) -> Result<T, Refused> {
        self.sql.execute_batch("BEGIN IMMEDIATE")?;
        self.now = self.clock.now();
        let known = self.ids.len();
        let done = work(self).and_then(|done| {
            failpoint::reach(FailPoint::BeforeCommit);
            self.sql.execute_batch("COMMIT")?;
            failpoint::reach(FailPoint::AfterCommit);
            Ok(done)
        });
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
        Store { sql: &self.sql, now: self.now }
    }

    /// The row of a queue to which something is done that its receivers may
    /// have waited for.
    fn touched<'a>(&mut self, queue: &'a QueueName) -> rusqlite::Result<QueueRow<'a>> {
        self.lines.touch(queue);
        self.row(queue)
    }

    fn row<'a>(&mut self, name: &'a QueueName) -> rusqlite::Result<QueueRow<'a>> {
        if let Some(id) = self.ids.get(name) {
            return Ok(QueueRow { id: *id, name });
        }
        let id = self.store().queue_id(&name.to_string())?;
        self.ids.insert(name.clone(), id);
        Ok(QueueRow { id, name })
    }

    fn apply(&mut self, command: &Command) -> rusqlite::Result<Outcome> {
        Ok(match command {
            Command::Send { queue, message, .. } => {
                let row = self.touched(queue)?;
                Outcome::Sent(self.store().send(row, message)?)
            }
            Command::Delete { queue, held, .. } => {
                let (row, archived_from) = (self.touched(queue)?, self.archived_from());
                let store = self.store();
                let mut all = true;
                for one in held {
                    all &= store.delete(row, *one, archived_from)?;
                }
                Outcome::Done(all)
            }
            Command::ChangeLease { queue, held, after, .. } => {
                let row = self.touched(queue)?;
                let store = self.store();
                let mut all = true;
                for one in held {
                    all &= store.change_lease(row, *one, store.now + *after)?;
                }
                Outcome::Done(all)
            }
            Command::Settle { queue, held, to, successor, .. } => {
                let (row, to) = (self.touched(queue)?, self.touched(to)?);
                Outcome::Done(self.store().settle(row, *held, to, successor)?)
            }
            Command::Bury { queue, held, reason, report, .. } => {
                let row = self.touched(queue)?;
                let buried = self.store().bury_held(row, *held, reason)?;
                if let (true, Some((to, message))) = (buried, report) {
                    let to = self.touched(to)?;
                    self.store().insert(to, message)?;
                }
                Outcome::Done(buried)
            }
            Command::Redeliver { queue, which, until, .. } => {
                let row = self.touched(queue)?;
                let consumed = self.archived_from()..=*until;
                Outcome::Count(self.store().redeliver(row, which, consumed)?)
            }
            Command::Revive { queue, id, message, .. } => {
                let row = self.touched(queue)?;
                Outcome::Count(u64::from(self.store().revive(row, *id, message)?))
            }
            Command::Discard { queue, ids, .. } => {
                let row = self.row(queue)?;
                Outcome::Count(self.store().discard(row, ids)?)
            }
            Command::Check { .. } => Outcome::Done(true),
        })
    }

    fn purge(&mut self) {
        let purged = self.in_transaction(|writer| {
            let from = writer.archived_from();
            writer.store().purge(from)
        });
        let more = matches!(purged, Ok(true));
        self.purge_at = Instant::now() + if more { PURGE_AGAIN } else { PURGE_EVERY };
        if let Err(Refused::Broken(cause)) = purged {
            self.fail(Vec::new(), &cause);
        }
    }

    /// What was consumed before is forgotten, be it purged or not.
    fn archived_from(&self) -> Timestamp {
        let (now, kept) = (self.now.as_millis(), self.archive_for.as_millis());
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
