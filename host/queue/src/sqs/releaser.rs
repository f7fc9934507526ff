//! Releasing messages in the background, when their leases are dropped.

use std::sync::Arc;
use std::time::Duration;

use tracing::debug;

use super::release::Task;
use super::shared::QueuePair;
use super::shared::Shared;
use crate::error::QueueError;
use crate::lease::Dropped;
use crate::lease::Receipt;
use crate::lease::Releases;
use crate::limits::PANIC_PAUSE;
use crate::name::QueueName;

/// The part of the leases of one queue that ends them.
pub struct Releaser {
    shared: Arc<Shared>,
    queue: Arc<QueuePair>,
}

impl Releaser {
    /// Makes the releaser of a queue.
    pub fn new(shared: &Arc<Shared>, queue: &Arc<QueuePair>) -> Arc<Self> {
        Arc::new(Self { shared: Arc::clone(shared), queue: Arc::clone(queue) })
    }
}

impl Releases for Releaser {
    fn release(&self, _: &QueueName, receipt: &Receipt, dropped: Dropped) {
        match self.queue.releases.add(receipt, dropped) {
            Task::Running => {}
            Task::Start => {
                let (shared, queue) = (Arc::clone(&self.shared), Arc::clone(&self.queue));
                self.shared.tasks.spawn(release_all(shared, queue));
            }
        }
    }

    fn kept(&self, receipt: &Receipt) {
        let _ = self.shared.leases.forget(receipt);
    }
}

/// Releases the receipts of a queue until there are none left.
async fn release_all(shared: Arc<Shared>, queue: Arc<QueuePair>) {
    loop {
        // Ends only here: `next` notes the end of the task under its lock, so
        // no receipt is left without a task.
        let Some((receipts, dropped)) = queue.releases.next() else { return };
        let released = match dropped {
            Dropped::NotStarted => shared.give_back(&queue, &receipts, Duration::ZERO).await,
            Dropped::Cancelled => shared.change(&queue, &receipts, Duration::ZERO).await,
            Dropped::Panicked => shared.change(&queue, &receipts, PANIC_PAUSE).await,
        };
        match released {
            Ok(()) | Err(QueueError::LeaseEnded) => {}
            Err(
                error @ (QueueError::Full
                | QueueError::Unreachable(_)
                | QueueError::NotOffered(_)
                | QueueError::Refused(_)),
            ) => {
                // The next receipts are tried all the same: the error may be of
                // this batch alone.
                debug!(
                    queue = %queue.name,
                    error = &error as &dyn std::error::Error,
                    "Messages were not released; they come back when their leases run out"
                );
            }
        }
    }
}
