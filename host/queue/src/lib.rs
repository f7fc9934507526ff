//! What every queue promises, whichever backend keeps it.
//!
//! The semantics are those of SQS FIFO queues. A message belongs to a group;
//! a group offers its messages in the order of sending, from the oldest up to
//! the first one that is leased (the prefix rule), so at most one holder works
//! on a group. A lease that runs out, or is given back, makes its messages
//! available again, in the same order. Deduplication is always explicit.
//!
//! [`Queue`] is the trait; `conformance` is the suite that each backend
//! passes, and `model` passes it too: the same promises as lists in memory, which
//! tests compare with. [`embedded`] keeps messages in one SQLite file, for one
//! host, and [`sqs`] on Amazon SQS, for several.

#[cfg(any(test, feature = "testing"))]
pub mod conformance;
pub mod embedded;
mod envelope;
mod lease;
mod message;
#[cfg(any(test, feature = "testing"))]
pub mod model;
mod name;
#[cfg(feature = "sqs")]
pub mod sqs;
mod sqs_config;
mod state;
mod storage;

use std::time::Duration;

use async_trait::async_trait;

pub use lease::Lease;
pub use lease::Receipt;
pub use lease::Releases;
pub use message::Dedup;
pub use message::Delivery;
pub use message::NewMessage;
pub use message::Received;
pub use name::DELIVERIES_MAX;
pub use name::QueueName;
pub use name::Stage;
pub use sqs_config::SqsConfig;
pub use state::BLOCKED_MAX;
pub use state::Blocked;
pub use state::BlockedGroup;
pub use state::DEAD_LETTERS_MAX;
pub use state::DeadLetter;
pub use state::QueueStats;
pub use storage::Storage;

use hoth_core::domain::Timestamp;

/// The most messages that one receive returns (SQS: 10).
pub const BATCH_MAX: usize = 10;

/// The longest that one receive waits (SQS: 20 s).
pub const WAIT_MAX: Duration = Duration::from_secs(20);

/// The longest lease, counted from now (SQS: 12 h).
pub const LEASE_MAX: Duration = Duration::from_secs(12 * 60 * 60);

/// Who asks for messages; it decides what a restart of the host does to the
/// lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holder {
    /// This process: the lease ends with it.
    Process,
    /// An HTTP client: the lease survives a restart, neither shortened nor
    /// extended.
    Client,
}

/// How to receive.
#[derive(Debug, Clone, Copy)]
pub struct Receive {
    /// 1 to [`BATCH_MAX`].
    pub max: usize,
    /// How long to wait for a first message: up to [`WAIT_MAX`].
    pub wait: Duration,
    /// How long the messages are held: up to [`LEASE_MAX`].
    pub lease: Duration,
    pub holder: Holder,
}

impl Receive {
    /// Holds it to the bounds of every backend.
    ///
    /// # Errors
    ///
    /// [`QueueError::Refused`], with the bound that is broken.
    pub fn check(&self) -> Result<(), QueueError> {
        if !(1..=BATCH_MAX).contains(&self.max) {
            return Err(QueueError::Refused("a receive takes 1 to 10 messages"));
        }
        if self.wait > WAIT_MAX {
            return Err(QueueError::Refused("a receive waits up to 20 s"));
        }
        if self.lease.is_zero() || self.lease > LEASE_MAX {
            return Err(QueueError::Refused("a lease lasts up to 12 hours, and not zero"));
        }
        Ok(())
    }
}

/// Holds the time by which a lease is changed, which may be none, to
/// [`LEASE_MAX`].
fn check_lease(after: Duration) -> Result<(), QueueError> {
    match after > LEASE_MAX {
        true => Err(QueueError::Refused("a lease may last 12 hours")),
        false => Ok(()),
    }
}

/// What became of a message that was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sent {
    /// It is on the queue, durably.
    Queued,
    /// It was sent before, with the same content: nothing was queued. (SQS
    /// does not tell, so there this is `Queued`.)
    Duplicate,
    /// Its key was used before with other content: nothing was queued. (SQS
    /// cannot tell, and takes it as another message.)
    Conflict,
}

/// Which consumed messages to put back.
#[derive(Debug, Clone)]
pub enum Redeliver {
    /// Those with one of these keys; at most 1 000.
    Keys(Vec<String>),
    /// Those consumed at this time or later.
    Since(Timestamp),
}

/// Why a queue could not do it.
#[derive(Debug, thiserror::Error)]
pub enum QueueError {
    /// Nothing was stored; the same may work later.
    #[error("queue storage is full")]
    Full,
    /// Nothing is known to have been stored; the same may work later.
    #[error("queue is unreachable")]
    Unreachable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The lease has run out and the message may be with somebody else.
    #[error("the lease has ended")]
    LeaseEnded,
    /// This backend does not offer it.
    #[error("{0} is not offered by this queue backend")]
    NotOffered(&'static str),
    /// The message breaks a bound of the trait.
    #[error("message refused: {0}")]
    Refused(&'static str),
}

/// A set of queues.
///
/// Every method may be cancelled by dropping its future: what was then under
/// way has either happened wholly or not at all, and a receive that is dropped
/// leaves no lease behind.
#[async_trait]
pub trait Queue: Send + Sync {
    /// Sends a message. `Ok` means durable.
    async fn send(&self, queue: &QueueName, message: NewMessage) -> Result<Sent, QueueError>;

    /// Leases up to `max` messages, waiting for the first one. Returns as soon
    /// as there is one: by a send, a delete that frees its group, a release,
    /// or the end of a lease. Empty after the wait.
    async fn receive(
        &self,
        queue: &QueueName,
        receive: Receive,
    ) -> Result<Vec<Delivery>, QueueError>;

    /// Deletes messages for good (a consumed outcome goes to the archive,
    /// where there is one). Repeating it is harmless.
    ///
    /// # Errors
    ///
    /// [`QueueError::LeaseEnded`] when any lease has ended: that message stays,
    /// the others are deleted. Of an outcome that its next holder has deleted
    /// meanwhile, a backend with an archive says the same as long as it is
    /// there; others (SQS) cannot tell, and say nothing.
    async fn delete(&self, queue: &QueueName, receipts: &[Receipt]) -> Result<(), QueueError>;

    /// Makes leases end `after` from now, whatever they were; zero gives the
    /// messages back at once. Not remembered for later receives.
    ///
    /// # Errors
    ///
    /// [`QueueError::LeaseEnded`] when any lease has ended already.
    async fn change_lease(
        &self,
        queue: &QueueName,
        receipts: &[Receipt],
        after: Duration,
    ) -> Result<(), QueueError>;

    /// Sends the successor of a message, then deletes the message: in one
    /// transaction where the backend has them, else in this order, and then a
    /// repetition is recognised by the successor's deduplication.
    ///
    /// # Errors
    ///
    /// [`QueueError::LeaseEnded`] when the lease has ended: nothing was sent.
    async fn settle(
        &self,
        queue: &QueueName,
        receipt: &Receipt,
        successor_queue: &QueueName,
        successor: NewMessage,
    ) -> Result<(), QueueError>;

    /// Moves a message, as it was received, to the queue's dead letters, with
    /// the reason, and sends `report` where there is one, as [`Queue::settle`]
    /// does.
    async fn bury(
        &self,
        queue: &QueueName,
        receipt: &Receipt,
        message: &Received,
        reason: &str,
        report: Option<(QueueName, NewMessage)>,
    ) -> Result<(), QueueError>;

    /// Puts consumed outcomes back on their queue, each in its old place in
    /// its group, and returns how many. Of very many, some may be back when
    /// this fails or is dropped; asking again puts back the rest.
    ///
    /// # Errors
    ///
    /// [`QueueError::NotOffered`] where there is no archive.
    async fn redeliver(&self, queue: &QueueName, which: Redeliver) -> Result<u64, QueueError>;

    /// The dead letters of a queue, in the order in which they were sent: up to
    /// `max` ([`DEAD_LETTERS_MAX`]) behind the one named `after`.
    async fn dead_letters(
        &self,
        queue: &QueueName,
        after: Option<&str>,
        max: usize,
    ) -> Result<Vec<DeadLetter>, QueueError>;

    /// Puts a dead letter back onto its queue as `message`, as
    /// [`Queue::settle`] does. False: there is no such dead letter.
    async fn revive(
        &self,
        queue: &QueueName,
        id: &str,
        message: NewMessage,
    ) -> Result<bool, QueueError>;

    /// Forgets dead letters for good, and returns how many there were.
    async fn discard(&self, queue: &QueueName, ids: &[String]) -> Result<u64, QueueError>;

    /// Groups that offer nothing now, oldest first, up to [`BLOCKED_MAX`].
    ///
    /// # Errors
    ///
    /// [`QueueError::NotOffered`] where the backend cannot tell (SQS).
    async fn blocked(&self, queue: &QueueName) -> Result<Vec<BlockedGroup>, QueueError>;

    /// Answers when a message could be stored now.
    async fn check(&self) -> Result<(), QueueError>;

    /// The queues that hold messages or dead letters, whatever the
    /// configuration says of them.
    ///
    /// # Errors
    ///
    /// [`QueueError::NotOffered`] where the backend cannot tell (SQS).
    async fn in_use(&self) -> Result<Vec<QueueName>, QueueError>;

    /// The state of a queue. Exact on the embedded backend, approximate on SQS.
    async fn stats(&self, queue: &QueueName) -> Result<QueueStats, QueueError>;
}
