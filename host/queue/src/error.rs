//! The errors of queues.

use hoth_core::domain::MESSAGE_BYTES_MAX;

use crate::limits::BATCH_MAX;
use crate::limits::DEAD_LETTERS_MAX;
use crate::limits::ID_BYTES_MAX;
use crate::limits::LEASE_MAX;
use crate::limits::REDELIVER_KEYS_MAX;
use crate::limits::WAIT_MAX;

/// The reason why a queue did not do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum QueueError {
    /// Nothing was stored. The same call may work later.
    #[error("queue storage is full")]
    Full,
    /// The backend did not answer: the call may have taken effect or not. The
    /// same call may work later.
    #[error("queue is unreachable")]
    Unreachable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The lease has run out, and another holder may have the message.
    #[error("the lease has ended")]
    LeaseEnded,
    /// The backend lacks this feature.
    #[error("{0} is not offered by this queue backend")]
    NotOffered(&'static str),
    /// The call breaks the contract. It fails every time.
    #[error("call refused: {0}")]
    Refused(#[from] InvalidArgument),
}

/// The argument that breaks the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidArgument {
    #[error("a group id has 1 to {ID_BYTES_MAX} ASCII letters, digits or punctuation characters")]
    GroupId,
    #[error(
        "a deduplication key has 1 to {ID_BYTES_MAX} ASCII letters, digits or punctuation \
         characters"
    )]
    DedupKey,
    #[error("a message has 1 to {MESSAGE_BYTES_MAX} bytes")]
    Body,
    /// The message as it would be stored exceeds the bound of its queue.
    #[error("the message has {bytes} bytes, and the queue takes up to {bytes_max}")]
    MessageTooLarge { bytes: usize, bytes_max: usize },
    #[error("a receive takes 1 to {BATCH_MAX} messages")]
    Batch,
    #[error("a receive waits up to {} s", WAIT_MAX.as_secs())]
    Wait,
    #[error("a lease lasts more than zero and up to {} h", LEASE_MAX.as_secs() / 3_600)]
    Lease,
    #[error("a redelivery names up to {REDELIVER_KEYS_MAX} keys")]
    RedeliverKeys,
    #[error("a call names up to {DEAD_LETTERS_MAX} dead letters")]
    DiscardIds,
    #[error("not a receipt of this queue")]
    Receipt,
    #[error("not the id of a message of this queue")]
    MessageId,
    #[error("not the id of a dead letter of this queue")]
    DeadLetterId,
    #[error("this host has not opened the queue")]
    UnopenedQueue,
}
