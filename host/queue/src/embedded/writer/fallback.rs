//! The treatment of commands whose transaction stored nothing, because the disk
//! is full, another process holds the lock, or one command cannot be applied.

use std::time::Instant;

use tracing::warn;

use super::FULL_PAUSE;
use super::NotStored;
use super::REPORT_EVERY;
use super::ServeWaiters;
use super::Writer;
use super::storage_failed;
use crate::embedded::command::Command;
use crate::embedded::schema::BUSY_WAIT;
use crate::embedded::sorting::Phase;
use crate::error::QueueError;

impl Writer {
    /// Refuses the commands that need room while there is none, and returns the
    /// rest.
    pub(super) fn refuse_without_room(
        &mut self,
        commands: Vec<Box<dyn Command>>,
    ) -> Vec<Box<dyn Command>> {
        if self.reserve.is_held() && self.log.has_room() {
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
    pub(super) fn process_one_by_one(&mut self, commands: Vec<Box<dyn Command>>) {
        if self.has_failed() {
            return commands.into_iter().for_each(|command| command.answer(Err(storage_failed())));
        }
        let mut commands = self.refuse_without_room(commands).into_iter();
        while let Some(mut command) = commands.next() {
            // Receivers are served at the end: an update may find no room, and
            // would roll back the command with it.
            match self.transact(std::slice::from_mut(&mut command), ServeWaiters::No) {
                Ok(done) => self.post(vec![command], done),
                Err(NotStored::Full) => {
                    self.reserve.release();
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
            }
        }
        match self.transact(&mut [], ServeWaiters::Yes) {
            Ok(done) => self.post(Vec::new(), done),
            Err(NotStored::Full) => {
                warn!("Queue storage is full; receives wait until there is room");
                self.waiting.defer(self.clock.now() + FULL_PAUSE);
            }
            Err(NotStored::Wait(cause, _)) => self.postpone(Vec::new(), &cause),
            Err(NotStored::Failed(cause)) => self.fail(Vec::new(), &cause),
        }
    }

    /// Refuses commands for now, and has receivers wait.
    pub(super) fn postpone(&mut self, commands: Vec<Box<dyn Command>>, cause: &rusqlite::Error) {
        if self.report_lock_at <= Instant::now() {
            self.report_lock_at = Instant::now() + REPORT_EVERY;
            warn!(
                error = cause as &dyn std::error::Error,
                "The queue file could not be written for {BUSY_WAIT:?}, probably because another \
                 process holds its lock (`sqlite3`, a backup): calls are refused until it is free"
            );
        }
        self.waiting.defer(self.clock.now() + FULL_PAUSE);
        for command in commands {
            command.answer(Err(in_use()));
        }
    }
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
