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
pub struct Begun(Arc<AtomicU64>);

/// The part of the thread that syncs: the last commit that is on disk.
#[derive(Debug)]
pub struct Synced(watch::Sender<u64>);

/// The part of readers.
#[derive(Debug)]
pub struct Seen {
    begun: Arc<AtomicU64>,
    synced: watch::Receiver<u64>,
}

/// The thread that syncs has ended, and there are commits that it has not
/// synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NeverSynced;

/// Makes the three parts.
pub fn numbered() -> (Begun, Synced, Seen) {
    let begun = Arc::new(AtomicU64::new(0));
    let (sender, synced) = watch::channel(0);
    (Begun(Arc::clone(&begun)), Synced(sender), Seen { begun, synced })
}

impl Begun {
    /// Returns the number of the next commit. To be called before the commit: a
    /// reader sees its changes before the writer goes on.
    pub fn next(&self) -> u64 {
        self.0.fetch_add(1, Ordering::SeqCst) + 1
    }

    /// Returns the number of the last commit.
    pub fn last(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}

impl Synced {
    /// Notes that this commit and all earlier ones are on disk, or have changed
    /// nothing.
    pub fn up_to(&self, number: u64) {
        self.0.send_replace(number);
    }
}

impl Seen {
    /// Waits until everything is on disk that a read, which has ended, may have
    /// seen.
    ///
    /// # Errors
    ///
    /// [`NeverSynced`].
    pub async fn on_disk(&self) -> Result<(), NeverSynced> {
        let begun = self.begun.load(Ordering::SeqCst);
        let mut synced = self.synced.clone();
        synced.wait_for(|number| *number >= begun).await.map(drop).map_err(|_| NeverSynced)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[test]
    fn a_read_waits_for_the_sync_of_what_it_may_have_seen() {
        let (begun, synced, seen) = numbered();
        assert_eq!(seen.on_disk().now_or_never(), Some(Ok(())), "nothing was committed");
        begun.next();
        let second = begun.next();
        synced.up_to(second - 1);
        assert_eq!(seen.on_disk().now_or_never(), None, "the second commit is not on disk");
        synced.up_to(second);
        assert_eq!(seen.on_disk().now_or_never(), Some(Ok(())));
        drop(synced);
        assert_eq!(seen.on_disk().now_or_never(), Some(Ok(())), "everything is on disk");
        begun.next();
        assert_eq!(seen.on_disk().now_or_never(), Some(Err(NeverSynced)));
    }
}
