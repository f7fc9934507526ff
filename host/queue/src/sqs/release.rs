//! Giving messages back, without anybody waiting for it.

use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use tokio::sync::watch;
use tracing::debug;

use super::Place;
use super::Shared;
use crate::BATCH_MAX;
use crate::QueueError;
use crate::QueueName;
use crate::Receipt;
use crate::Releases;

/// How long a receive waits for what is on its way back: a call takes some
/// milliseconds, and a receive that comes too early is still right.
const PATIENCE: Duration = Duration::from_secs(2);

/// What of one queue is on its way back. Holds no more than was leased.
pub struct Release {
    asked: Mutex<Vec<Receipt>>,
    /// Whether a task is giving back.
    busy: watch::Sender<bool>,
}

impl Default for Release {
    fn default() -> Self {
        Self { asked: Mutex::default(), busy: watch::Sender::new(false) }
    }
}

impl Release {
    /// Returns when nothing is on its way back, or after a moment.
    pub async fn settled(&self) {
        let mut busy = self.busy.subscribe();
        let _ = tokio::time::timeout(PATIENCE, busy.wait_for(|busy| !busy)).await;
    }

    /// Whether the caller has to start giving back.
    fn ask(&self, receipt: &Receipt) -> bool {
        let mut asked = self.lock();
        asked.push(receipt.clone());
        // Under the lock, so that either this task is started or the one that
        // is under way sees the receipt.
        !self.busy.send_replace(true)
    }

    /// The next ones, in the order in which they were asked for; none ends the
    /// task.
    fn next(&self) -> Vec<Receipt> {
        let mut asked = self.lock();
        let count = asked.len().min(BATCH_MAX);
        let next: Vec<Receipt> = asked.drain(..count).collect();
        if next.is_empty() {
            self.busy.send_replace(false);
        }
        next
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Receipt>> {
        self.asked.lock().expect("no one panics while holding the lock")
    }
}

/// Gives back the messages of one queue.
pub struct Releaser {
    shared: Arc<Shared>,
    place: Arc<Place>,
}

impl Releaser {
    pub fn of(shared: &Arc<Shared>, place: &Arc<Place>) -> Arc<Self> {
        Arc::new(Self { shared: Arc::clone(shared), place: Arc::clone(place) })
    }
}

impl Releases for Releaser {
    fn release(&self, _: &QueueName, receipt: &Receipt) {
        if !self.place.release.ask(receipt) {
            return;
        }
        let (shared, place) = (Arc::clone(&self.shared), Arc::clone(&self.place));
        self.shared.tasks.spawn_on(give_back(shared, place), &self.shared.runtime);
    }

    fn kept(&self, receipt: &Receipt) {
        self.shared.leases.forget(receipt);
    }
}

async fn give_back(shared: Arc<Shared>, place: Arc<Place>) {
    loop {
        let receipts = place.release.next();
        if receipts.is_empty() {
            return;
        }
        match shared.change(&place, &receipts, Duration::ZERO).await {
            Ok(()) | Err(QueueError::LeaseEnded) => {}
            Err(
                error @ (QueueError::Full
                | QueueError::Unreachable(_)
                | QueueError::NotOffered(_)
                | QueueError::Refused(_)),
            ) => {
                debug!(queue = %place.name, error = &error as &dyn std::error::Error, "Messages come back only when their leases run out");
            }
        }
    }
}
