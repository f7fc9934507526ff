//! The drain of a running host by its operator: it takes no more jobs, and goes
//! on serving both listeners.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;

use super::PauseSwitch;
use hoth_core::domain::Timestamp;

/// The drain of this host, and the jobs that it still has in hand.
///
/// A clone is cheap, and all clones are one drain. It is in memory: a restart
/// ends it.
#[derive(Debug, Clone)]
pub struct Drain {
    /// Paused while the host is drained.
    pub switch: PauseSwitch,
    in_hand: Arc<AtomicUsize>,
}

/// A group of messages in hand, counted until this is dropped.
pub struct InHand(Arc<AtomicUsize>);

impl Drain {
    /// Creates the drain of a host that takes jobs.
    pub fn new(now: Timestamp) -> Self {
        Self { switch: PauseSwitch::new(false, now), in_hand: Arc::default() }
    }

    /// Returns the number of groups in hand, each of which has one job at work.
    pub fn jobs_in_hand(&self) -> usize {
        self.in_hand.load(Ordering::Relaxed)
    }

    /// Counts a group.
    pub(super) fn take(&self) -> InHand {
        self.in_hand.fetch_add(1, Ordering::Relaxed);
        InHand(Arc::clone(&self.in_hand))
    }
}

impl Drop for InHand {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
