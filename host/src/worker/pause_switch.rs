//! The operator's switch that holds back the jobs of a CSP.

use std::sync::Arc;

use tokio::sync::watch;

/// A switch for one CSP: while it is paused, the jobs of the CSP stay on their
/// queues.
///
/// A clone is cheap, and all clones are one switch. The configuration sets the
/// initial position, also after a restart.
#[derive(Debug, Clone)]
pub struct PauseSwitch(Arc<watch::Sender<Position>>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Position {
    Running,
    Paused,
}

impl PauseSwitch {
    /// Creates a switch in the position that the configuration asks for.
    pub fn new(paused: bool) -> Self {
        let position = if paused { Position::Paused } else { Position::Running };
        Self(Arc::new(watch::Sender::new(position)))
    }

    /// Lets jobs be received again.
    pub fn resume(&self) {
        self.0.send_replace(Position::Running);
    }

    /// Holds jobs back. Jobs in hand go on.
    pub fn pause(&self) {
        self.0.send_replace(Position::Paused);
    }

    /// Returns `true` if jobs are held back.
    pub fn is_paused(&self) -> bool {
        *self.0.borrow() == Position::Paused
    }

    /// Returns as soon as the CSP is not paused.
    pub async fn resumed(&self) {
        self.reaches(Position::Running).await;
    }

    /// Returns as soon as the CSP is paused.
    pub async fn paused(&self) {
        self.reaches(Position::Paused).await;
    }

    async fn reaches(&self, position: Position) {
        let mut current = self.0.subscribe();
        let seen = current.wait_for(|now| *now == position).await;
        seen.expect("the sender lives as long as `self`");
    }
}
