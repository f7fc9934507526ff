//! Batches whose response is leaving.
//!
//! A client that has read one answer may ask for the next, on another
//! connection, before the first batch has been deleted; its group would still
//! be blocked, and the client would read an empty list where there is more. So
//! a `GET` first waits, for a moment, until no earlier one is leaving.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use hoth_core::domain::JobKind;

/// How long a `GET` waits for earlier ones. A deletion takes a few
/// milliseconds; a client that reads slowly must not hold up the others.
const PATIENCE: Duration = Duration::from_millis(250);

/// How many batches of each kind are leaving.
#[derive(Debug, Clone, Default)]
pub struct Settling {
    provisioning: Arc<watch::Sender<usize>>,
    cost: Arc<watch::Sender<usize>>,
}

/// One batch that is leaving; dropped when it is settled.
#[derive(Debug)]
pub struct Leaving(Arc<watch::Sender<usize>>);

impl Settling {
    fn of(&self, kind: JobKind) -> &Arc<watch::Sender<usize>> {
        match kind {
            JobKind::Provisioning => &self.provisioning,
            JobKind::Cost => &self.cost,
        }
    }

    /// Counts a batch until the return value is dropped.
    pub fn leaving(&self, kind: JobKind) -> Leaving {
        let count = Arc::clone(self.of(kind));
        count.send_modify(|count| *count += 1);
        Leaving(count)
    }

    /// Returns when nothing of either kind is leaving, or after `patience`: what
    /// has left is then deleted, and will not come again after a restart.
    pub async fn all_settled(&self, patience: Duration) {
        let (mut jobs, mut costs) = (self.provisioning.subscribe(), self.cost.subscribe());
        let settled = async {
            // An error would mean that nobody counts any more.
            let _ = jobs.wait_for(|count| *count == 0).await;
            let _ = costs.wait_for(|count| *count == 0).await;
        };
        let _ = tokio::time::timeout(patience, settled).await;
    }

    /// Returns when nothing is leaving, or after a moment.
    pub async fn settled(&self, kind: JobKind) {
        let mut count = self.of(kind).subscribe();
        // Either way the receive that follows is right; it may see less.
        let _ = tokio::time::timeout(PATIENCE, count.wait_for(|count| *count == 0)).await;
    }
}

impl Drop for Leaving {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}
