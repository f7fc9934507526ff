//! Durable FIFO queues: one contract, two backends.
//!
//! The semantics are those of SQS FIFO queues. A message belongs to a group. A
//! group offers its messages in the order of sending, from the oldest up to the
//! first one that is leased (the prefix rule), so at most one holder works on a
//! group. When a lease runs out or is released, its messages become available
//! again, in the same order. Deduplication is always explicit.
//!
//! [`Queue`] is the contract. [`embedded`] keeps messages in one SQLite file,
//! for one host; [`sqs`] keeps them on Amazon SQS, for several hosts. With the
//! feature `testing`, `conformance` is the suite that every backend passes,
//! and `model` is a third, minimal implementation that random tests compare
//! with.

mod config;
#[cfg(any(test, feature = "testing"))]
pub mod conformance;
mod contract;
pub mod embedded;
mod envelope;
mod error;
mod lease;
mod limits;
mod message;
#[cfg(any(test, feature = "testing"))]
pub mod model;
mod name;
#[cfg(feature = "sqs")]
pub mod sqs;
mod sqs_config;
mod state;
mod storage;

pub use self::config::Backend;
pub use self::config::Config;
pub use self::contract::Holder;
pub use self::contract::Queue;
pub use self::contract::Receive;
pub use self::contract::Redeliver;
pub use self::contract::Redrive;
pub use self::contract::Sent;
pub use self::contract::Take;
pub use self::error::InvalidArgument;
pub use self::error::QueueError;
pub use self::lease::Delivery;
pub use self::lease::Dropped;
pub use self::lease::Lease;
pub use self::lease::Receipt;
pub use self::lease::Releases;
pub use self::limits::BATCH_MAX;
pub use self::limits::BLOCKED_MAX;
pub use self::limits::DEAD_LETTERS_MAX;
pub use self::limits::DELIVERIES_MAX;
pub use self::limits::LEASE_MAX;
pub use self::limits::WAIT_MAX;
pub use self::message::Dedup;
pub use self::message::DedupKey;
pub use self::message::GroupId;
pub use self::message::NewMessage;
pub use self::message::Received;
pub use self::name::QueueName;
pub use self::name::Stage;
pub use self::sqs_config::SqsConfig;
pub use self::state::Blocked;
pub use self::state::BlockedGroup;
pub use self::state::DeadLetter;
pub use self::state::DeadLetterId;
pub use self::state::Location;
pub use self::state::MessageId;
pub use self::state::MessageLocation;
pub use self::state::MessageState;
pub use self::state::QueueStats;
pub use self::storage::Storage;
