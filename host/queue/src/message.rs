//! Messages on their way onto a queue and off it.

use super::Lease;
use super::QueueError;
use hoth_core::domain::Digest;
use hoth_core::domain::MESSAGE_BYTES_MAX;
use hoth_core::domain::Timestamp;

/// A message to send.
#[derive(Debug, Clone)]
pub struct NewMessage {
    /// Messages of one group keep their order: 1 to 128 ASCII letters, digits
    /// and punctuation.
    pub group: String,
    pub dedup: Dedup,
    /// The job's id, for people and for redelivery.
    pub key: String,
    /// Text, 1 byte to [`hoth_core::domain::MESSAGE_BYTES_MAX`].
    pub body: String,
    /// Not to be delivered earlier, where the backend can; every receiver
    /// checks for itself.
    pub not_before: Option<Timestamp>,
}

/// The bound on group names and deduplication keys (SQS: 128).
const NAME_BYTES_MAX: usize = 128;

impl NewMessage {
    /// Holds a message to the bounds of every backend.
    ///
    /// # Errors
    ///
    /// [`QueueError::Refused`], with the bound that is broken.
    pub fn check(&self) -> Result<(), QueueError> {
        if !is_name(&self.group) {
            return Err(QueueError::Refused("a group is 1 to 128 letters, digits or punctuation"));
        }
        if !is_name(&self.dedup.key) {
            return Err(QueueError::Refused(
                "a deduplication key is 1 to 128 letters, digits or punctuation",
            ));
        }
        if !(1..=MESSAGE_BYTES_MAX).contains(&self.body.len()) {
            return Err(QueueError::Refused("a message is 1 to 1046528 bytes"));
        }
        Ok(())
    }
}

fn is_name(text: &str) -> bool {
    (1..=NAME_BYTES_MAX).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic())
}

/// How a repetition is recognised: for 24 h on the embedded queue and for 5
/// minutes on SQS, also after the first message was deleted, over all queues
/// of one kind on the embedded queue and within the queue on SQS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dedup {
    /// 1 to 128 ASCII letters, digits and punctuation.
    pub key: String,
    /// What was sent under this key, to tell a repetition from a conflict.
    pub content: Digest,
}

/// A received message and the lease that holds it. Dropping it gives the
/// message back.
#[derive(Debug)]
pub struct Delivery {
    pub message: Received,
    pub lease: Lease,
}

/// A message as it was received.
#[derive(Debug, Clone)]
pub struct Received {
    pub group: String,
    pub key: String,
    pub body: String,
    pub sent_at: Timestamp,
    /// How often it has been received, this time included.
    pub receive_count: u32,
}
