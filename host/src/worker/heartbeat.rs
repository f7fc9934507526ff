//! Leases are extended while somebody works under them.

use std::time::Duration;

use tracing::warn;

use hoth_queue::Queue;
use hoth_queue::QueueError;
use hoth_queue::QueueName;
use hoth_queue::Receipt;

/// Two heartbeats may fail before the lease is lost.
const BEATS: u32 = 3;

/// Extends the leases to `lease` in turn; returns only when one of them has
/// been lost.
pub async fn beat(queue: &dyn Queue, name: &QueueName, receipts: &[Receipt], lease: Duration) {
    let interval = lease / BEATS;
    let mut ticks = tokio::time::interval_at(tokio::time::Instant::now() + interval, interval);
    loop {
        ticks.tick().await;
        match queue.change_lease(name, receipts, lease).await {
            Ok(()) => {}
            Err(QueueError::LeaseEnded) => return,
            Err(
                error @ (QueueError::Full
                | QueueError::Unreachable(_)
                | QueueError::NotOffered(_)
                | QueueError::Refused(_)),
            ) => {
                warn!(queue = %name, error = &error as &dyn std::error::Error, "A lease could not be extended; next try in {interval:?}");
            }
        }
    }
}
