//! Leases are extended while somebody works under them.

use std::time::Duration;

use tracing::warn;

use crate::queue::Queue;
use crate::queue::QueueError;
use crate::queue::QueueName;
use crate::queue::Receipt;

/// How long a worker leases a message: longer than nearly every job takes, so
/// that few need a heartbeat, and short enough that another host soon takes
/// over from one that died.
pub const LEASE: Duration = Duration::from_secs(120);

/// Two heartbeats may fail before the lease is lost.
const INTERVAL: Duration = LEASE.checked_div(3).expect("three is not zero");

/// Extends the leases in turn; returns only when one of them has been lost.
pub async fn beat(queue: &dyn Queue, name: &QueueName, receipts: &[Receipt]) {
    let mut ticks = tokio::time::interval_at(tokio::time::Instant::now() + INTERVAL, INTERVAL);
    loop {
        ticks.tick().await;
        match queue.change_lease(name, receipts, LEASE).await {
            Ok(()) => {}
            Err(QueueError::LeaseEnded) => return,
            Err(
                error @ (QueueError::Full
                | QueueError::Unreachable(_)
                | QueueError::NotOffered(_)
                | QueueError::Refused(_)),
            ) => {
                warn!(queue = %name, error = &error as &dyn std::error::Error, "A lease could not be extended; next try in {INTERVAL:?}");
            }
        }
    }
}
