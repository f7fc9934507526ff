//! The operator's switch that holds jobs back: those of a CSP, or all of this host.

use std::sync::Arc;

use tokio::sync::watch;

use hoth_core::domain::Timestamp;

/// A switch for one CSP, or for the whole host: while it is paused, the jobs stay
/// on their queues.
///
/// A clone is cheap, and all clones are one switch. The configuration sets the
/// initial position, also after a restart.
#[derive(Debug, Clone)]
pub struct PauseSwitch(Arc<watch::Sender<Position>>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Position {
    Running,
    Paused { since: Timestamp },
}

impl PauseSwitch {
    /// Creates a switch in the position that the configuration asks for; `now`
    /// is the time of the start.
    pub fn new(paused: bool, now: Timestamp) -> Self {
        let position = if paused { Position::Paused { since: now } } else { Position::Running };
        Self(Arc::new(watch::Sender::new(position)))
    }

    /// Lets jobs be received again.
    pub fn resume(&self) {
        self.0.send_replace(Position::Running);
    }

    /// Holds jobs back. Jobs in hand go on. A repetition changes nothing.
    pub fn pause(&self, now: Timestamp) {
        self.0.send_if_modified(|position| match position {
            Position::Paused { .. } => false,
            Position::Running => {
                *position = Position::Paused { since: now };
                true
            }
        });
    }

    /// Returns the time since which jobs are held back; `None` if they are not.
    pub fn since(&self) -> Option<Timestamp> {
        match *self.0.borrow() {
            Position::Paused { since } => Some(since),
            Position::Running => None,
        }
    }

    /// Returns as soon as the switch is not paused.
    pub async fn resumed(&self) {
        self.reaches(|position| matches!(position, Position::Running)).await;
    }

    /// Returns as soon as the switch is paused.
    pub async fn paused(&self) {
        self.reaches(|position| matches!(position, Position::Paused { .. })).await;
    }

    async fn reaches(&self, is_there: impl Fn(&Position) -> bool) {
        let mut current = self.0.subscribe();
        let seen = current.wait_for(|position| is_there(position)).await;
        seen.expect("the sender lives as long as `self`");
    }
}
