//! The bounds of the queue contract, which hold on every backend.

use std::time::Duration;

/// The most messages of one receive (SQS: 10).
pub const BATCH_MAX: usize = 10;

/// The longest wait of one receive (SQS: 20 s).
pub const WAIT_MAX: Duration = Duration::from_secs(20);

/// The longest lease, counted from now (SQS: 12 h).
pub const LEASE_MAX: Duration = Duration::from_secs(12 * 60 * 60);

/// The longest group id or deduplication key, in bytes (SQS: 128).
pub const ID_BYTES_MAX: usize = 128;

/// The most keys of one redelivery: one request of ServiceNow may name as many.
pub const REDELIVER_KEYS_MAX: usize = 1_000;

/// The most dead letters of one listing or of one deletion. Each may have a
/// mebibyte.
pub const DEAD_LETTERS_MAX: usize = 1_000;

/// The most blocked groups of one listing: enough for an operator to see the
/// cause.
pub const BLOCKED_MAX: usize = 100;

/// The number of times a job is tried before the worker, at the next delivery,
/// makes it a dead letter and reports a failure.
pub const DELIVERIES_MAX: u32 = 20;

/// The time for which a message stays hidden after the work on it panicked. It
/// bounds the rate of tries of a message that panics every time, and the other
/// jobs of its group wait for no longer.
pub const PANIC_PAUSE: Duration = Duration::from_secs(5);

/// The backend's own limit on deliveries. It moves a message to the dead
/// letters without any report to ServiceNow, so it is the largest that SQS
/// allows: [`DELIVERIES_MAX`] comes first even where the worker is killed again
/// and again.
pub const RECEIVES_MAX: u32 = 1_000;
