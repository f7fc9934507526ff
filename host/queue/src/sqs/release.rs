//! Messages of one queue that are being released.

use std::sync::Mutex;
use std::sync::MutexGuard;
use std::time::Duration;

use tokio::sync::watch;

use crate::lease::Dropped;
use crate::lease::Receipt;
use crate::limits::BATCH_MAX;

/// The time that a receive waits for releases in progress. A release takes some
/// milliseconds. A receive that stops waiting is still correct, and only misses
/// the messages being released.
const PATIENCE: Duration = Duration::from_secs(2);

/// A receipt to release, and the work on its message when it was dropped.
pub type Release = (Receipt, Dropped);

/// The receipts to release on one queue, and the task that does it. At most one
/// task runs for a queue, so that messages come back in order. The list holds
/// no more receipts than were leased.
pub struct Releases {
    pending: Mutex<Vec<Release>>,
    /// True while the task runs. Changed under the lock of `pending`.
    busy: watch::Sender<bool>,
}

/// The state of the task that has to release an added receipt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Task {
    /// No task runs: the caller must start it.
    Start,
    /// A task runs, and will see the receipt.
    Running,
}

impl Default for Releases {
    fn default() -> Self {
        Self { pending: Mutex::default(), busy: watch::Sender::new(false) }
    }
}

impl Releases {
    /// Returns when no release is in progress, or after [`PATIENCE`].
    pub async fn settled(&self) {
        let mut busy = self.busy.subscribe();
        let _ = tokio::time::timeout(PATIENCE, busy.wait_for(|busy| !busy)).await;
    }

    /// Adds a receipt to release.
    pub fn add(&self, receipt: &Receipt, dropped: Dropped) -> Task {
        let mut pending = self.lock();
        pending.push((receipt.clone(), dropped));
        // Under the lock, as in `next`: either the running task still sees the
        // receipt, or it has already set `busy` to false.
        if self.busy.send_replace(true) { Task::Running } else { Task::Start }
    }

    /// Takes the next receipts that were dropped in the same way, in the order
    /// in which they were added. Returns `None` if there are none: then the task
    /// must end.
    pub fn next(&self) -> Option<(Vec<Receipt>, Dropped)> {
        let mut pending = self.lock();
        let Some((_, dropped)) = pending.first().cloned() else {
            self.busy.send_replace(false);
            return None;
        };
        let alike = pending.iter().take_while(|(_, other)| *other == dropped).count();
        let next = pending.drain(..alike.min(BATCH_MAX));
        Some((next.map(|(receipt, _)| receipt).collect(), dropped))
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Release>> {
        self.pending.lock().expect("nothing panics while holding the lock")
    }
}
