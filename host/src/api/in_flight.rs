//! Tracks batches between their response and their deletion.
//!
//! A client that has read one response may send the next `GET` on another
//! connection before the first batch is deleted. The batch's groups would still
//! be blocked, and the client would get an empty list although more outcomes are
//! queued. So a `GET` first waits briefly for the batches from before it. It
//! does not wait for a response whose client is slow to read: that client has
//! not sent this `GET`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::time::Duration;

use tokio::sync::watch;

use crate::http::listener::Progress;
use hoth_core::domain::JobKind;

/// The longest time that a `GET` waits for earlier batches. A deletion takes a
/// few milliseconds. A queue that is slow must not delay other clients.
const GRACE: Duration = Duration::from_millis(250);

/// The batches, by kind, whose response is in flight or whose deletion is under
/// way.
#[derive(Debug, Clone, Default)]
pub struct InFlightResponses {
    provisioning: Arc<Mutex<Batches>>,
    cost: Arc<Mutex<Batches>>,
}

#[derive(Debug, Default)]
struct Batches {
    /// The number of the next batch.
    next: u64,
    /// The progress of each response: closed when its guard and its notice are
    /// dropped.
    progress: BTreeMap<u64, watch::Receiver<bool>>,
}

/// A guard that counts one batch as in flight until it is dropped.
#[derive(Debug)]
pub struct InFlightGuard {
    batches: Arc<Mutex<Batches>>,
    number: u64,
    _progress: Progress,
}

impl InFlightResponses {
    fn of(&self, kind: JobKind) -> &Arc<Mutex<Batches>> {
        match kind {
            JobKind::Provisioning => &self.provisioning,
            JobKind::Cost => &self.cost,
        }
    }

    /// Tracks a batch until the guard is dropped.
    pub fn track(&self, kind: JobKind, progress: Progress) -> InFlightGuard {
        let batches = Arc::clone(self.of(kind));
        let mut tracked = lock(&batches);
        let number = tracked.next;
        tracked.next += 1;
        tracked.progress.insert(number, progress.subscribe());
        drop(tracked);
        InFlightGuard { batches, number, _progress: progress }
    }

    /// Waits until no batch of either kind is in flight, or until `timeout`.
    ///
    /// Without a timeout every flushed batch has been deleted then, so that it
    /// is not delivered again after a restart.
    pub async fn wait_for_all(&self, timeout: Duration) {
        let kinds = [JobKind::Provisioning, JobKind::Cost];
        // At shutdown the listeners accept no requests, so no batch is added.
        let batches = kinds.into_iter().flat_map(|kind| self.present(kind));
        let ended = async {
            for mut progress in batches {
                // Never true, so the wait ends when the batch has ended.
                let _ = progress.wait_for(|_| false).await;
            }
        };
        let _ = tokio::time::timeout(timeout, ended).await;
    }

    /// Waits until every batch of `kind` that is in flight now has ended or
    /// waits for its client, or for [`GRACE`].
    pub async fn wait_for(&self, kind: JobKind) {
        let batches = self.present(kind);
        let settled = async {
            for mut progress in batches {
                // An error means that the batch has ended.
                let _ = progress.wait_for(|stalled| *stalled).await;
            }
        };
        // The receive that follows is correct in both cases. After a timeout it
        // may return fewer outcomes.
        let _ = tokio::time::timeout(GRACE, settled).await;
    }

    fn present(&self, kind: JobKind) -> Vec<watch::Receiver<bool>> {
        lock(self.of(kind)).progress.values().cloned().collect()
    }
}

fn lock(batches: &Mutex<Batches>) -> MutexGuard<'_, Batches> {
    batches.lock().expect("no code panics while it holds the batches")
}

impl Drop for InFlightGuard {
    fn drop(&mut self) {
        lock(&self.batches).progress.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::pin::pin;

    use futures_util::FutureExt as _;

    #[tokio::test]
    async fn only_batches_from_before_are_waited_for() {
        let in_flight = InFlightResponses::default();
        let kind = JobKind::Cost;
        let before = in_flight.track(kind, Progress::default());
        let mut wait = pin!(in_flight.wait_for(kind));
        assert!(wait.as_mut().now_or_never().is_none());
        let _after = in_flight.track(kind, Progress::default());
        let _other = in_flight.track(JobKind::Provisioning, Progress::default());
        drop(before);
        wait.now_or_never().expect("the batch from before has ended");
    }

    #[tokio::test]
    async fn a_response_whose_client_does_not_read_is_not_waited_for() {
        let in_flight = InFlightResponses::default();
        let (kind, progress) = (JobKind::Cost, Progress::default());
        let _slow = in_flight.track(kind, progress.clone());
        let mut wait = pin!(in_flight.wait_for(kind));
        assert!(wait.as_mut().now_or_never().is_none());
        progress.set_stalled(true);
        wait.now_or_never().expect("the response waits for its client");
        progress.set_stalled(false);
        let again = in_flight.wait_for(kind).now_or_never();
        assert!(again.is_none(), "the client has the response, and it is being deleted");
    }
}
