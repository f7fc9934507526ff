//! The operations of the writer, each with its parameters and its result.

use std::sync::Arc;
use std::time::Duration;

use super::archive::Selection;
use super::command::Operation;
use super::leasing::TakenRow;
use super::receipt::LeaseId;
use super::store::LeaseEnded;
use super::store::Leased;
use super::transaction::Transaction;
use crate::contract::Redrive;
use crate::contract::Sent;
use crate::contract::Take;
use crate::error::QueueError;
use crate::lease::Delivery;
use crate::lease::Lease;
use crate::lease::Releases;
use crate::message::NewMessage;
use crate::name::QueueName;
use hoth_core::domain::Timestamp;

/// The result of an operation: see [`Operation::apply`].
type Applied<T> = rusqlite::Result<Result<T, QueueError>>;

/// The sending of a message, unless its deduplication key was used before.
pub struct SendMessage {
    pub queue: QueueName,
    pub message: NewMessage,
}

impl Operation for SendMessage {
    type Output = Sent;
    const NEEDS_ROOM: bool = true;

    fn bytes(&self) -> usize {
        self.message.body.len()
    }

    fn apply(&self, transaction: &mut Transaction<'_, '_>) -> Applied<Sent> {
        let queue = transaction.change(&self.queue)?;
        Ok(Ok(transaction.send(queue, &self.message)?))
    }
}

/// The taking of one message, for `lease` from now.
pub struct TakeMessage {
    pub queue: QueueName,
    pub seq: i64,
    pub lease: Duration,
    /// Ends the lease when it is dropped: also if the caller has gone away.
    pub releases: Arc<dyn Releases>,
}

impl Operation for TakeMessage {
    type Output = Take;
    const NEEDS_ROOM: bool = false;

    fn apply(&self, transaction: &mut Transaction<'_, '_>) -> Applied<Take> {
        // Nothing becomes available, but the next message that is due by itself
        // may be another one now.
        let queue = transaction.change(&self.queue)?;
        let until = transaction.store.now + self.lease;
        Ok(Ok(match transaction.store.take(queue, self.seq, until)? {
            TakenRow::NotFound => Take::NotFound,
            TakenRow::InHand(until) => Take::InHand { until },
            TakenRow::Leased(Leased { lease, message }) => {
                let releases = Arc::clone(&self.releases);
                let lease = Lease::new(self.queue.clone(), lease.to_receipt(), releases);
                Take::Taken(Delivery { message, lease })
            }
        }))
    }
}

/// The deletion of leased messages. Messages whose lease has ended stay.
pub struct DeleteMessages {
    pub queue: QueueName,
    pub leases: Vec<LeaseId>,
}

impl Operation for DeleteMessages {
    type Output = ();
    const NEEDS_ROOM: bool = false;

    fn apply(&self, transaction: &mut Transaction<'_, '_>) -> Applied<()> {
        let queue = transaction.change(&self.queue)?;
        let archived_from = transaction.archived_from;
        let mut all = Ok(());
        // Every lease is tried, even behind one that has ended: the contract
        // deletes all other messages.
        for lease in &self.leases {
            all = all.and(transaction.store.delete(queue, *lease, archived_from)?);
        }
        Ok(all.map_err(LeaseEnded::into))
    }
}

/// The change of leases to end `after` from now. Leases that have ended stay
/// ended.
pub struct ChangeLeases {
    pub queue: QueueName,
    pub leases: Vec<LeaseId>,
    pub after: Duration,
}

impl Operation for ChangeLeases {
    type Output = ();
    const NEEDS_ROOM: bool = false;

    fn apply(&self, transaction: &mut Transaction<'_, '_>) -> Applied<()> {
        let queue = transaction.change(&self.queue)?;
        let store = transaction.store;
        let mut all = Ok(());
        for lease in &self.leases {
            all = all.and(store.change_lease(queue, *lease, store.now + self.after)?);
        }
        Ok(all.map_err(LeaseEnded::into))
    }
}

/// The return of leased messages on which no work was started. They are hidden
/// for `after`, and their receives do not count.
pub struct GiveBackMessages {
    pub queue: QueueName,
    pub leases: Vec<LeaseId>,
    pub after: Duration,
}

impl Operation for GiveBackMessages {
    type Output = ();
    const NEEDS_ROOM: bool = false;

    fn apply(&self, transaction: &mut Transaction<'_, '_>) -> Applied<()> {
        let queue = transaction.change(&self.queue)?;
        let store = transaction.store;
        let mut all = Ok(());
        for lease in &self.leases {
            all = all.and(store.give_back(queue, *lease, store.now + self.after)?);
        }
        Ok(all.map_err(LeaseEnded::into))
    }
}

/// The replacement of a leased message by its successor.
pub struct SettleMessage {
    pub queue: QueueName,
    pub lease: LeaseId,
    pub successor_queue: QueueName,
    pub successor: NewMessage,
}

impl Operation for SettleMessage {
    type Output = ();
    // The successor takes the room of its predecessor, and a job that runs must
    // be able to end on a full disk.
    const NEEDS_ROOM: bool = false;

    fn bytes(&self) -> usize {
        self.successor.body.len()
    }

    fn apply(&self, transaction: &mut Transaction<'_, '_>) -> Applied<()> {
        let queue = transaction.change(&self.queue)?;
        let successor_queue = transaction.change(&self.successor_queue)?;
        let settled =
            transaction.store.settle(queue, self.lease, successor_queue, &self.successor)?;
        Ok(settled.map_err(LeaseEnded::into))
    }
}

/// The move of a leased message to the dead letters, with a report on it.
pub struct DeadLetterMessage {
    pub queue: QueueName,
    pub lease: LeaseId,
    pub reason: String,
    pub report: Option<(QueueName, NewMessage)>,
}

impl Operation for DeadLetterMessage {
    type Output = ();
    const NEEDS_ROOM: bool = false;

    fn bytes(&self) -> usize {
        self.report.as_ref().map_or(0, |(_, report)| report.body.len())
    }

    fn apply(&self, transaction: &mut Transaction<'_, '_>) -> Applied<()> {
        let queue = transaction.change(&self.queue)?;
        // One transaction: a crash leaves the leased message, or the dead
        // letter and its report. An ended lease must not send a report.
        if let Err(ended) = transaction.store.dead_letter_leased(queue, self.lease, &self.reason)? {
            return Ok(Err(ended.into()));
        }
        if let Some((report_queue, report)) = &self.report {
            let report_queue = transaction.change(report_queue)?;
            transaction.store.insert(report_queue, report)?;
        }
        Ok(Ok(()))
    }
}

/// The redelivery of some of the selected outcomes, if they were consumed no
/// later than `until`. The result is their number.
pub struct RedeliverOutcomes {
    pub queue: QueueName,
    pub which: Selection,
    pub until: Timestamp,
}

impl Operation for RedeliverOutcomes {
    type Output = u64;
    const NEEDS_ROOM: bool = true;

    fn apply(&self, transaction: &mut Transaction<'_, '_>) -> Applied<u64> {
        let queue = transaction.change(&self.queue)?;
        let consumed = transaction.archived_from..=self.until;
        Ok(Ok(transaction.store.redeliver(queue, &self.which, consumed)?))
    }
}

/// The replacement of a dead letter by a message.
pub struct RedriveLetter {
    pub queue: QueueName,
    pub id: i64,
    pub message: NewMessage,
}

impl Operation for RedriveLetter {
    type Output = Redrive;
    const NEEDS_ROOM: bool = true;

    fn bytes(&self) -> usize {
        self.message.body.len()
    }

    fn apply(&self, transaction: &mut Transaction<'_, '_>) -> Applied<Redrive> {
        let queue = transaction.change(&self.queue)?;
        Ok(Ok(transaction.store.redrive(queue, self.id, &self.message)?))
    }
}

/// The deletion of dead letters. The result is their number.
pub struct DiscardLetters {
    pub queue: QueueName,
    pub ids: Vec<i64>,
}

impl Operation for DiscardLetters {
    type Output = u64;
    const NEEDS_ROOM: bool = false;

    fn apply(&self, transaction: &mut Transaction<'_, '_>) -> Applied<u64> {
        // No message becomes claimable, so no receiver needs a check.
        let queue = transaction.queue(&self.queue)?;
        Ok(Ok(transaction.store.discard(queue, &self.ids)?))
    }
}

/// A check without a change. It is answered after a commit, unless there is no
/// room.
pub struct CheckStorage;

impl Operation for CheckStorage {
    type Output = ();
    // The question is whether a message could be stored.
    const NEEDS_ROOM: bool = true;

    fn apply(&self, _: &mut Transaction<'_, '_>) -> Applied<()> {
        Ok(Ok(()))
    }
}
