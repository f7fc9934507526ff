//! What operators see of a queue.

use std::time::Duration;

use hoth_core::domain::Timestamp;

/// A message that could not be worked off, kept for operators.
#[derive(Debug, Clone)]
pub struct DeadLetter {
    /// Names it within its queue; opaque outside the backend that wrote it.
    pub id: String,
    pub group: String,
    /// The id of the job.
    pub key: String,
    pub body: String,
    pub reason: String,
    pub sent_at: Timestamp,
    pub died_at: Timestamp,
    /// How often it was received.
    pub receive_count: u32,
}

/// The most dead letters that one look returns.
pub const DEAD_LETTERS_MAX: usize = 1_000;

/// A group that offers nothing now, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockedGroup {
    pub group: String,
    /// The key of its oldest message, which blocks it.
    pub head: String,
    pub waiting: u64,
    pub why: Blocked,
    /// When that ends by itself.
    pub until: Timestamp,
}

/// Why a group offers nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blocked {
    /// A worker of this process, or of another host, has it.
    LeasedToWorker,
    /// An HTTP client has it.
    LeasedToClient,
    /// It is not due yet.
    NotDue,
}

/// The most blocked groups that one look returns.
pub const BLOCKED_MAX: usize = 100;

/// The state of one queue.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct QueueStats {
    /// Messages that are not leased, due or not.
    pub depth: u64,
    /// Leased messages.
    pub in_flight: u64,
    /// Age of the oldest message.
    pub oldest_age: Option<Duration>,
    /// Age of the oldest message that a receive would return now.
    pub oldest_claimable_age: Option<Duration>,
    pub dead_letters: u64,
}
