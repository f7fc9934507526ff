//! The writer's open transaction.

use std::collections::HashMap;

use super::backlog::Backlog;
use super::known_keys::KnownKeys;
use super::store::Leased;
use super::store::QueueRow;
use super::store::Store;
use super::wait_queues::WaitQueues;
use super::wait_queues::Waiter;
use crate::contract::Sent;
use crate::message::NewMessage;
use crate::name::QueueName;
use hoth_core::domain::Timestamp;

/// Receivers and the messages that were leased for them, to be handed over
/// after the commit.
pub type Served = Vec<(Waiter, Vec<Leased>)>;

/// The tables inside a transaction, and the writer's state that follows them.
pub struct Transaction<'a, 'c> {
    /// The tables, at the time at which the transaction began. The clock is
    /// read once: a message that became due between two readings would be
    /// neither leased by the first nor waited for by the second, and its
    /// receiver would miss it.
    pub store: Store<'a, 'c>,
    /// The limit of the archive: outcomes that were consumed earlier are
    /// forgotten, even if they have not been deleted yet.
    pub archived_from: Timestamp,
    /// A cache of the queues' ids.
    pub ids: &'a mut HashMap<QueueName, i64>,
    /// The deduplication keys that were used within a day.
    pub keys: &'a mut KnownKeys,
    /// The receivers that a change may serve.
    pub waiting: &'a mut WaitQueues,
}

impl Transaction<'_, '_> {
    /// Returns the row of a queue that is about to be changed, and has its
    /// receivers checked before the commit.
    pub fn change<'q>(&mut self, queue: &'q QueueName) -> rusqlite::Result<QueueRow<'q>> {
        // The mark stays after a rollback, at the cost of one needless check.
        self.waiting.mark_dirty(queue);
        self.queue(queue)
    }

    /// Returns the row of a queue, and makes it at its first use.
    pub fn queue<'q>(&mut self, name: &'q QueueName) -> rusqlite::Result<QueueRow<'q>> {
        if let Some(id) = self.ids.get(name) {
            return Ok(QueueRow { id: *id, name });
        }
        let id = self.store.queue_id(&name.to_string())?;
        self.ids.insert(name.clone(), id);
        Ok(QueueRow { id, name })
    }

    /// Sends a message, unless its deduplication key was used before.
    pub fn send(&mut self, queue: QueueRow<'_>, message: &NewMessage) -> rusqlite::Result<Sent> {
        match self.keys.sent_before(self.store, queue.name, &message.dedup)? {
            Some(before) => Ok(before),
            None => {
                self.keys.remember(self.store, queue.name, &message.dedup)?;
                self.store.insert(queue, message)?;
                Ok(Sent::Queued)
            }
        }
    }

    /// Deletes a part of what has expired, and moves a part of the recent keys
    /// and of the recent members of groups if there are many.
    pub fn tend(&mut self) -> rusqlite::Result<Backlog> {
        let outcomes = self.store.delete_expired(self.archived_from)?;
        let members = self.store.groups.borrow_mut().tend(self.store.sql)?;
        Ok(outcomes.max(members).max(self.keys.tend(self.store)?))
    }

    /// Leases messages for the receivers of every dirty queue, in order of
    /// arrival.
    ///
    /// # Errors
    ///
    /// `served` then holds the receivers that were taken off their queues; they
    /// must be put back, because the rollback undoes their leases.
    pub fn serve(&mut self, served: &mut Served) -> rusqlite::Result<()> {
        for name in self.waiting.dirty(self.store.now) {
            let queue = self.queue(&name)?;
            while let Some(waiter) = self.waiting.first(&name) {
                // Before the receiver is taken off its queue: after an error it
                // is still in its place.
                let leased = self.store.receive(queue, waiter.receive)?;
                if leased.is_empty() {
                    break;
                }
                served.extend(self.waiting.take_first(&name).map(|waiter| (waiter, leased)));
            }
            // If messages are left, no receiver waits, and the next one marks
            // the queue dirty again.
            let next_due = self.store.next_due(queue)?;
            self.waiting.mark_clean(&name, next_due);
        }
        Ok(())
    }
}
