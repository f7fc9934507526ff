//! Messages to send, and messages as they are received.

use hoth_core::domain::Digest;
use hoth_core::domain::MESSAGE_BYTES_MAX;
use hoth_core::domain::Timestamp;

use crate::error::InvalidArgument;
use crate::limits::ID_BYTES_MAX;

/// A message to send.
#[derive(Debug, Clone)]
pub struct NewMessage {
    pub group: GroupId,
    pub dedup: Dedup,
    /// The job's id, for operators and for redelivery.
    pub key: String,
    /// The text: 1 to [`MESSAGE_BYTES_MAX`] bytes.
    pub body: String,
    /// Earliest delivery time, best effort: receivers must check it themselves.
    pub not_before: Option<Timestamp>,
}

impl NewMessage {
    /// Checks the message against the bounds of every backend.
    ///
    /// # Errors
    ///
    /// [`InvalidArgument::Body`] if the text is empty,
    /// [`InvalidArgument::MessageTooLarge`] if it is too large.
    pub fn check(&self) -> Result<(), InvalidArgument> {
        if self.body.is_empty() {
            return Err(InvalidArgument::Body);
        }
        check_size(self.body.len(), MESSAGE_BYTES_MAX)
    }
}

/// Checks the size of a message, as it is stored, against a bound.
pub fn check_size(bytes: usize, bytes_max: usize) -> Result<(), InvalidArgument> {
    match bytes > bytes_max {
        true => Err(InvalidArgument::MessageTooLarge { bytes, bytes_max }),
        false => Ok(()),
    }
}

/// The name of a group, whose messages keep their order: 1 to
/// [`ID_BYTES_MAX`] ASCII letters, digits and punctuation characters.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct GroupId(String);

impl GroupId {
    /// Makes a group id from a text.
    ///
    /// # Errors
    ///
    /// [`InvalidArgument::GroupId`] if the text breaks the bound.
    pub fn new(text: impl Into<String>) -> Result<Self, InvalidArgument> {
        let text = text.into();
        if is_id(&text) { Ok(Self(text)) } else { Err(InvalidArgument::GroupId) }
    }

    /// Returns the name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The key by which a repetition is recognised: 1 to [`ID_BYTES_MAX`] ASCII
/// letters, digits and punctuation characters.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct DedupKey(String);

impl DedupKey {
    /// Makes a deduplication key from a text.
    ///
    /// # Errors
    ///
    /// [`InvalidArgument::DedupKey`] if the text breaks the bound.
    pub fn new(text: impl Into<String>) -> Result<Self, InvalidArgument> {
        let text = text.into();
        if is_id(&text) { Ok(Self(text)) } else { Err(InvalidArgument::DedupKey) }
    }

    /// Returns the key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn is_id(text: &str) -> bool {
    // The characters of SQS, letters, digits and punctuation (AWS
    // documentation, "SendMessage"), are the printable ASCII characters without
    // the space.
    (1..=ID_BYTES_MAX).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic())
}

/// The identity of a message, by which a repetition is recognised even after
/// the first message was deleted.
///
/// The embedded queue remembers it for 24 h and compares over all queues of one
/// family; SQS remembers it for 5 minutes and compares within the queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dedup {
    pub key: DedupKey,
    /// The digest of the content under this key, which tells a repetition from
    /// a conflict.
    pub content: Digest,
}

/// A message as it was received.
///
/// Its texts are as the backend stores them: another tool may have written the
/// message, so they need not keep the bounds of [`NewMessage`].
#[derive(Debug, Clone)]
pub struct Received {
    pub group: String,
    /// The job's id.
    pub key: String,
    pub body: String,
    pub sent_at: Timestamp,
    /// The number of times it has been received, this one included. A receive
    /// that was given back does not count: see
    /// [`Queue::give_back`](crate::Queue::give_back).
    pub receive_count: u32,
}
