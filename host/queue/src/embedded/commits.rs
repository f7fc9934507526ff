//! The numbers of commits, by which a reader waits until what it has read is on
//! disk.
//!
//! A commit is visible to other connections before it is synced. A state that is
//! shown to a client must not be gone after a power cut, so a read is answered
//! after the sync of every commit that it may have seen.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

use tokio::sync::watch;

/// The writer's part: it numbers its commits.
#[derive(Debug)]
pub struct CommitCounter(Arc<AtomicU64>);

/// The part of the thread that syncs: the last commit that is on disk.
#[derive(Debug)]
pub struct SyncMark(watch::Sender<u64>);

/// The part of readers.
#[derive(Debug)]
pub struct SyncWait {
    counter: Arc<AtomicU64>,
    synced: watch::Receiver<u64>,
}

/// The thread that syncs has ended, and there are commits that it has not
/// synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NeverSynced;

/// Makes the three parts.
pub fn numbered() -> (CommitCounter, SyncMark, SyncWait) {
    let counter = Arc::new(AtomicU64::new(0));
    let (sender, synced) = watch::channel(0);
    (CommitCounter(Arc::clone(&counter)), SyncMark(sender), SyncWait { counter, synced })
}

impl CommitCounter {
    /// Returns the number of the next commit. To be called before the commit: a
    /// reader sees its changes before the writer goes on.
    pub fn next(&self) -> u64 {
        self.0.fetch_add(1, Ordering::SeqCst) + 1
    }

    /// Returns the number that [`next`](Self::next) gave last, or 0.
    pub fn last(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}

impl SyncMark {
    /// Notes that this commit and all earlier ones are on disk, or have changed
    /// nothing.
    pub fn up_to(&self, number: u64) {
        self.0.send_replace(number);
    }
}

impl SyncWait {
    /// Waits until everything is on disk that a read, which has ended, may have
    /// seen.
    ///
    /// # Errors
    ///
    /// [`NeverSynced`]: what was read may be gone after a power cut, and must not
    /// be shown.
    pub async fn on_disk(&self) -> Result<(), NeverSynced> {
        let last = self.counter.load(Ordering::SeqCst);
        let mut synced = self.synced.clone();
        synced.wait_for(|number| *number >= last).await.map(drop).map_err(|_| NeverSynced)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[test]
    fn a_read_waits_for_the_sync_of_what_it_may_have_seen() {
        let (counter, synced, wait) = numbered();
        assert_eq!(wait.on_disk().now_or_never(), Some(Ok(())), "nothing was committed");
        counter.next();
        let second = counter.next();
        synced.up_to(second - 1);
        assert_eq!(wait.on_disk().now_or_never(), None, "the second commit is not on disk");
        synced.up_to(second);
        assert_eq!(wait.on_disk().now_or_never(), Some(Ok(())));
        drop(synced);
        assert_eq!(wait.on_disk().now_or_never(), Some(Ok(())), "everything is on disk");
        counter.next();
        assert_eq!(wait.on_disk().now_or_never(), Some(Err(NeverSynced)));
    }
}
