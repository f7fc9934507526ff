//! The state of queues, for operators: dead letters, blocked groups, counts.

use std::fmt;
use std::time::Duration;

use crate::name::QueueName;
use hoth_core::domain::Timestamp;

/// The name of a dead letter within its queue. Its text is opaque outside the
/// backend that wrote it; an operator may send it back.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DeadLetterId(String);

impl DeadLetterId {
    /// Wraps a backend's own text, or one that an operator sent. The backend
    /// checks it when it is used.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Returns the backend's own text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for DeadLetterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The name of a waiting message within its queue, as [`MessageLocation`] has
/// it. Its text is opaque outside the backend that wrote it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct MessageId(String);

impl MessageId {
    /// Wraps a backend's own text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Returns the backend's own text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A message that could not be processed, kept for operators.
///
/// Its texts are as the backend stores them, like those of
/// [`Received`](crate::Received).
#[derive(Debug, Clone)]
pub struct DeadLetter {
    pub id: DeadLetterId,
    pub group: String,
    /// The job's id.
    pub key: String,
    pub body: String,
    pub reason: String,
    pub sent_at: Timestamp,
    pub died_at: Timestamp,
    /// The number of times it was received.
    pub receive_count: u32,
}

/// A group that offers no message now, and the reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockedGroup {
    pub group: String,
    /// The key of the group's oldest message, which blocks the group.
    pub head: String,
    /// The time at which that message was sent.
    pub sent_at: Timestamp,
    /// The number of messages in the group, the oldest included.
    pub waiting: u64,
    pub why: Blocked,
    /// The time at which the block ends by itself.
    pub until: Timestamp,
}

/// The reason why a group is blocked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blocked {
    /// A worker holds the oldest message: of this host, or of another.
    LeasedToWorker,
    /// An HTTP client holds the oldest message.
    LeasedToClient,
    /// The oldest message is not due yet.
    NotDue,
}

/// The state of one queue.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct QueueStats {
    /// Messages that are not leased, due or not.
    pub depth: u64,
    /// Leased messages.
    pub in_flight: u64,
    /// The age of the oldest message. `None` if the queue is empty, or if the
    /// backend cannot tell.
    pub oldest_age: Option<Duration>,
    /// The age of the oldest message that a receive would return now.
    pub oldest_claimable_age: Option<Duration>,
    pub dead_letters: u64,
}

/// The traces of one job in the queues.
#[derive(Debug, Clone, Default)]
pub struct Location {
    /// The job's message: its request, its wait, or its outcome.
    pub message: Option<MessageLocation>,
    /// The newest dead letter of the job, and its queue.
    pub dead_letter: Option<(QueueName, DeadLetter)>,
    /// The time at which its outcome was collected, and the text of the
    /// outcome.
    pub collected: Option<(Timestamp, String)>,
}

/// The location of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageLocation {
    pub queue: QueueName,
    /// The name for [`Queue::take`](crate::Queue::take).
    pub id: MessageId,
    pub sent_at: Timestamp,
    pub state: MessageState,
    /// The number of times it was received.
    pub receive_count: u32,
    /// The messages of its group that come first.
    pub before: u64,
    pub body: String,
}

/// The state of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MessageState {
    /// A receive may return it, unless another message of its group is before
    /// it.
    Ready,
    LeasedToWorker {
        until: Timestamp,
    },
    LeasedToClient {
        until: Timestamp,
    },
    /// It waits for its time.
    NotDue {
        until: Timestamp,
    },
}
