//! Answers that wait until a test releases them.

use std::sync::Arc;

use tokio::sync::watch;

/// Holds back answers until it is opened. All clones are one gate.
#[derive(Debug, Clone)]
pub struct Gate(Arc<watch::Sender<bool>>);

impl Gate {
    /// Makes a gate that holds.
    pub fn closed() -> Self {
        Self(Arc::new(watch::Sender::new(false)))
    }

    /// Releases all held and all later answers.
    pub fn open(&self) {
        self.0.send_replace(true);
    }

    /// Returns when the gate is open.
    pub(super) async fn opened(&self) {
        let mut open = self.0.subscribe();
        // The sender lives as long as `self`.
        let _ = open.wait_for(|open| *open).await;
    }
}
