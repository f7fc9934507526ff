//! Lease renewal for messages whose jobs are in hand.

use std::time::Duration;

use tracing::warn;

use hoth_queue::Queue;
use hoth_queue::QueueError;
use hoth_queue::QueueName;
use hoth_queue::Receipt;

/// Heartbeats per lease: two may fail before the lease is lost.
const BEATS_PER_LEASE: u32 = 3;

/// Extends the leases to `lease` again and again. Returns only when one of them
/// has been lost.
pub async fn beat(queue: &dyn Queue, name: &QueueName, receipts: &[Receipt], lease: Duration) {
    let interval = lease / BEATS_PER_LEASE;
    let mut ticks = tokio::time::interval_at(tokio::time::Instant::now() + interval, interval);
    loop {
        ticks.tick().await;
        // All leases of the group in one call: if one is lost, another worker may
        // run the group, so the work on all of them stops.
        match queue.change_lease(name, receipts, lease).await {
            Ok(()) => {}
            Err(QueueError::LeaseEnded) => return,
            // The lease may still hold, so the job goes on. If it does not, a
            // later heartbeat, or the settlement, finds out.
            Err(
                error @ (QueueError::Full
                | QueueError::Unreachable(_)
                | QueueError::NotOffered(_)
                | QueueError::Refused(_)),
            ) => {
                warn!(queue = %name, error = &error as &dyn std::error::Error, "Lease not extended; next try in {interval:?}");
            }
        }
    }
}
