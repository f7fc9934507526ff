//! The contract of a set of queues.

use std::time::Duration;

use async_trait::async_trait;
use hoth_core::domain::JobKind;
use hoth_core::domain::PortfolioId;
use hoth_core::domain::Timestamp;

use crate::error::InvalidArgument;
use crate::error::QueueError;
use crate::lease::Delivery;
use crate::lease::Receipt;
use crate::limits::BATCH_MAX;
use crate::limits::LEASE_MAX;
use crate::limits::WAIT_MAX;
use crate::message::NewMessage;
use crate::message::Received;
use crate::name::QueueName;
use crate::state::BlockedGroup;
use crate::state::DeadLetter;
use crate::state::DeadLetterId;
use crate::state::Location;
use crate::state::MessageId;
use crate::state::QueueStats;

/// The holder of a lease. It decides what a restart of the host does to the
/// lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holder {
    /// This process: the lease ends with it.
    Process,
    /// An HTTP client: the lease survives a restart, neither shortened nor
    /// extended.
    Client,
}

/// The parameters of a receive.
#[derive(Debug, Clone, Copy)]
pub struct Receive {
    /// The most messages to lease: 1 to [`BATCH_MAX`].
    pub max: usize,
    /// The time to wait for a first message: up to [`WAIT_MAX`].
    pub wait: Duration,
    /// The time for which the messages are leased: up to [`LEASE_MAX`], and not
    /// zero.
    pub lease: Duration,
    pub holder: Holder,
}

impl Receive {
    /// Checks the parameters against the bounds of every backend.
    ///
    /// # Errors
    ///
    /// The argument that breaks its bound.
    pub fn check(&self) -> Result<(), InvalidArgument> {
        if !(1..=BATCH_MAX).contains(&self.max) {
            return Err(InvalidArgument::Batch);
        }
        if self.wait > WAIT_MAX {
            return Err(InvalidArgument::Wait);
        }
        check_new_lease(self.lease)
    }
}

/// Checks the time for which a lease is changed against [`LEASE_MAX`]. Zero is
/// allowed: it releases the message.
pub fn check_lease(after: Duration) -> Result<(), InvalidArgument> {
    match after > LEASE_MAX {
        true => Err(InvalidArgument::Lease),
        false => Ok(()),
    }
}

/// The result of a send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sent {
    /// The message is on the queue, durably.
    Queued,
    /// The message was sent before, with the same content: nothing was queued.
    /// (SQS does not tell, so there the result is `Queued`.)
    Duplicate,
    /// The key was used before with other content: nothing was queued. (SQS
    /// cannot tell, and queues it as another message.)
    Conflict,
}

/// The consumed messages to put back.
#[derive(Debug, Clone)]
pub enum Redeliver {
    /// Messages with one of these keys, at most
    /// [`REDELIVER_KEYS_MAX`](crate::limits::REDELIVER_KEYS_MAX).
    Keys(Vec<String>),
    /// Messages that were consumed at this time or later.
    Since(Timestamp),
}

/// The result of redriving a dead letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Redrive {
    /// The message is on its queue, and the dead letter is gone.
    Sent,
    /// There is no such dead letter; nothing was sent.
    NotFound,
}

/// The result of taking a message.
#[derive(Debug)]
pub enum Take {
    /// The message, leased to this process.
    Taken(Delivery),
    /// Another holder has leased it. The lease ends then, unless its holder ends
    /// or extends it.
    InHand { until: Timestamp },
    /// The message is not on the queue, or not any more.
    NotFound,
}

/// Checks the time for which a message is taken against [`LEASE_MAX`]. It is
/// not zero.
pub fn check_new_lease(lease: Duration) -> Result<(), InvalidArgument> {
    match lease.is_zero() {
        true => Err(InvalidArgument::Lease),
        false => check_lease(lease),
    }
}

/// A set of queues.
///
/// Every method may be cancelled by dropping its future. The act has then
/// happened wholly or not at all. A dropped receive or take leaves no lease
/// behind, and counts for no message.
#[async_trait]
pub trait Queue: Send + Sync {
    /// Sends a message. `Ok` means that the result is durable.
    async fn send(&self, queue: &QueueName, message: NewMessage) -> Result<Sent, QueueError>;

    /// Leases up to `max` messages, and waits for the first one. The wait ends
    /// as soon as a message is available: by a send, by a delete that frees its
    /// group, by a release, or by the end of a lease. After the wait the result
    /// is empty.
    async fn receive(
        &self,
        queue: &QueueName,
        receive: Receive,
    ) -> Result<Vec<Delivery>, QueueError>;

    /// Leases one message that no holder has: whether or not it is due, and
    /// wherever it is in its group. The messages behind it then wait for it, and
    /// those before it are not affected. It counts as a receive, so
    /// [`Queue::give_back`] takes the count back and makes a message due that was
    /// not.
    ///
    /// # Errors
    ///
    /// [`QueueError::NotOffered`] by a backend that cannot look into its
    /// queues.
    async fn take(
        &self,
        queue: &QueueName,
        id: &MessageId,
        lease: Duration,
    ) -> Result<Take, QueueError>;

    /// Deletes messages for good. (A consumed outcome goes to the archive, on a
    /// backend that has one.) A repetition is harmless.
    ///
    /// # Errors
    ///
    /// [`QueueError::LeaseEnded`] if any lease has ended. Its message stays;
    /// the others are deleted. For an outcome that its next holder has deleted
    /// meanwhile, a backend with an archive returns the same error for as long
    /// as the archive has it; SQS cannot tell, and returns `Ok`.
    async fn delete(&self, queue: &QueueName, receipts: &[Receipt]) -> Result<(), QueueError>;

    /// Makes leases end `after` from now, sooner or later than before. Zero
    /// releases the messages. Later receives of the messages are not affected.
    ///
    /// # Errors
    ///
    /// [`QueueError::LeaseEnded`] if any lease has ended already. The others
    /// are changed.
    async fn change_lease(
        &self,
        queue: &QueueName,
        receipts: &[Receipt],
        after: Duration,
    ) -> Result<(), QueueError>;

    /// Gives messages back on which no work was started. They become available
    /// `after` from now, and their receives do not count: a message that its
    /// holder cannot work on yet comes no nearer to the limit on deliveries.
    ///
    /// SQS cannot take a receive back. There each process subtracts what it has
    /// itself given back while it held the [lease](crate::Lease), so the count is
    /// exact on one host, and too high after a restart or on another host.
    ///
    /// # Errors
    ///
    /// [`QueueError::LeaseEnded`] if any lease has ended already. The others
    /// are given back.
    async fn give_back(
        &self,
        queue: &QueueName,
        receipts: &[Receipt],
        after: Duration,
    ) -> Result<(), QueueError>;

    /// Sends the successor of a message, then deletes the message. A backend
    /// with transactions does both in one. Other backends do it in this order,
    /// and recognise a repetition by the successor's deduplication key.
    ///
    /// # Errors
    ///
    /// [`QueueError::LeaseEnded`] if the lease has ended: nothing was sent.
    async fn settle(
        &self,
        queue: &QueueName,
        receipt: &Receipt,
        successor_queue: &QueueName,
        successor: NewMessage,
    ) -> Result<(), QueueError>;

    /// Moves a message, as it was received, to the queue's dead letters, with
    /// the reason. Sends the report, if there is one, as [`Queue::settle`]
    /// sends a successor.
    ///
    /// # Errors
    ///
    /// [`QueueError::LeaseEnded`] if the lease has ended: nothing was moved or
    /// sent.
    async fn dead_letter(
        &self,
        queue: &QueueName,
        receipt: &Receipt,
        message: &Received,
        reason: &str,
        report: Option<(QueueName, NewMessage)>,
    ) -> Result<(), QueueError>;

    /// Puts consumed outcomes back on their queue, each in its old place in its
    /// group, and returns their number. If a call for very many fails or is
    /// dropped, some of them may be back; another call puts back the rest.
    ///
    /// # Errors
    ///
    /// [`QueueError::NotOffered`] if the backend has no archive (SQS).
    async fn redeliver(&self, queue: &QueueName, which: Redeliver) -> Result<u64, QueueError>;

    /// Lists the dead letters of a queue in the order of their ids: up to `max`
    /// ([`DEAD_LETTERS_MAX`](crate::DEAD_LETTERS_MAX)) behind the one named
    /// `after`.
    async fn dead_letters(
        &self,
        queue: &QueueName,
        after: Option<&DeadLetterId>,
        max: usize,
    ) -> Result<Vec<DeadLetter>, QueueError>;

    /// Returns the dead letters with these ids, in the order of their ids. There
    /// are none for unknown ids. A call names up to
    /// [`DEAD_LETTERS_MAX`](crate::DEAD_LETTERS_MAX).
    async fn find_dead_letters(
        &self,
        queue: &QueueName,
        ids: &[DeadLetterId],
    ) -> Result<Vec<DeadLetter>, QueueError>;

    /// Puts a dead letter back onto its queue as `message`, as
    /// [`Queue::settle`] sends a successor.
    async fn redrive(
        &self,
        queue: &QueueName,
        id: &DeadLetterId,
        message: NewMessage,
    ) -> Result<Redrive, QueueError>;

    /// Deletes dead letters for good, and returns the number of letters found.
    async fn discard(&self, queue: &QueueName, ids: &[DeadLetterId]) -> Result<u64, QueueError>;

    /// Lists groups that offer no message now, oldest first, up to
    /// [`BLOCKED_MAX`](crate::BLOCKED_MAX).
    ///
    /// # Errors
    ///
    /// [`QueueError::NotOffered`] if the backend cannot tell (SQS).
    async fn blocked(&self, queue: &QueueName) -> Result<Vec<BlockedGroup>, QueueError>;

    /// Returns `Ok` if a message could be stored now.
    async fn check(&self) -> Result<(), QueueError>;

    /// Lists the queues that hold messages or dead letters, configured or not.
    ///
    /// # Errors
    ///
    /// [`QueueError::NotOffered`] if the backend cannot tell (SQS).
    async fn in_use(&self) -> Result<Vec<QueueName>, QueueError>;

    /// Finds the message, dead letter and collected outcome of a job. The
    /// message is found fast if `portfolio` is that of the job, or if the job
    /// has none.
    ///
    /// # Errors
    ///
    /// [`QueueError::NotOffered`] by a backend that cannot look into its
    /// queues.
    async fn locate(
        &self,
        kind: JobKind,
        id: &str,
        portfolio: Option<&PortfolioId>,
    ) -> Result<Location, QueueError>;

    /// Returns the state of a queue: exact on the embedded backend, approximate
    /// on SQS.
    async fn stats(&self, queue: &QueueName) -> Result<QueueStats, QueueError>;
}
