//! Whether a CSP's jobs may be taken from their queues.

use std::sync::Arc;

use tokio::sync::watch;

/// An operator's switch for one CSP: while it is closed its jobs wait. Cheap
/// to clone; all clones are one switch. What it starts as is in the
/// configuration, also after a restart.
#[derive(Debug, Clone)]
pub struct Gate(Arc<watch::Sender<bool>>);

impl Gate {
    /// A switch that is open, or closed.
    pub fn new(open: bool) -> Self {
        Self(Arc::new(watch::Sender::new(open)))
    }

    /// Lets jobs through.
    pub fn open(&self) {
        self.0.send_replace(true);
    }

    /// Holds jobs back; those in hand go on.
    pub fn close(&self) {
        self.0.send_replace(false);
    }

    pub fn is_open(&self) -> bool {
        *self.0.borrow()
    }

    /// Returns when the gate is open.
    pub async fn opened(&self) {
        self.becomes(true).await;
    }

    /// Returns when the gate is closed.
    pub async fn closed(&self) {
        self.becomes(false).await;
    }

    async fn becomes(&self, open: bool) {
        let mut state = self.0.subscribe();
        let seen = state.wait_for(|now| *now == open).await;
        seen.expect("the sender lives as long as `self`");
    }
}
