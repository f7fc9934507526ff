//! Tracks batches between their response and their deletion.
//!
//! A client that has read one response may send the next `GET` on another
//! connection before the first batch is deleted. The batch's groups would still
//! be blocked, and the client would get an empty list although more outcomes are
//! queued. So a `GET` first waits briefly for earlier batches.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use hoth_core::domain::JobKind;

/// The longest time that a `GET` waits for earlier batches. A deletion takes a
/// few milliseconds. A client that reads slowly must not delay other clients.
const GRACE: Duration = Duration::from_millis(250);

/// The numbers of batches, by kind, whose response is in flight or whose
/// deletion is under way.
#[derive(Debug, Clone, Default)]
pub struct InFlightResponses {
    /// Watched and not merely counted, so that a `GET` can wait for zero.
    provisioning: Arc<watch::Sender<usize>>,
    cost: Arc<watch::Sender<usize>>,
}

/// A guard that counts one batch as in flight until it is dropped.
#[derive(Debug)]
pub struct InFlightGuard(Arc<watch::Sender<usize>>);

impl InFlightResponses {
    /// Returns the counter of a kind.
    fn of(&self, kind: JobKind) -> &Arc<watch::Sender<usize>> {
        match kind {
            JobKind::Provisioning => &self.provisioning,
            JobKind::Cost => &self.cost,
        }
    }

    /// Counts a batch until the guard is dropped.
    pub fn track(&self, kind: JobKind) -> InFlightGuard {
        let count = Arc::clone(self.of(kind));
        count.send_modify(|count| *count += 1);
        InFlightGuard(count)
    }

    /// Waits until no batch of either kind is in flight, or until `timeout`.
    ///
    /// Without a timeout every flushed batch has been deleted then, so that it
    /// is not delivered again after a restart.
    pub async fn wait_for_all(&self, timeout: Duration) {
        let (mut jobs, mut costs) = (self.provisioning.subscribe(), self.cost.subscribe());
        // One after the other: at shutdown the listeners accept no requests, so
        // a count that has reached zero does not rise again.
        let settled = async {
            // The senders live in `self`, so waiting cannot fail.
            let _ = jobs.wait_for(|count| *count == 0).await;
            let _ = costs.wait_for(|count| *count == 0).await;
        };
        let _ = tokio::time::timeout(timeout, settled).await;
    }

    /// Waits until no batch of `kind` is in flight, or for [`GRACE`].
    pub async fn wait_for(&self, kind: JobKind) {
        let mut count = self.of(kind).subscribe();
        // The receive that follows is correct in both cases. After a timeout it
        // may return fewer outcomes.
        let _ = tokio::time::timeout(GRACE, count.wait_for(|count| *count == 0)).await;
    }
}

impl Drop for InFlightGuard {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}
